"""The whole SVR-ZSSR chain: regional totals and drivers to a fine emission raster that adds up to the totals."""

from collections.abc import Callable
from pathlib import Path

from ..core import regression, regressors
from .correction import correct_to_totals
from .regression import compare_regressions, spatialize_coarse
from .run import Run
from .superresolution import check_choices, super_resolve


def svr_zssr(
    run: Run,
    *,
    regions,
    total_field: str,
    drivers=None,
    total_drivers=None,
    output,
    total_unit: str = "t",
    name_field: str | None = None,
    test_field: str | None = None,
    test_drivers=None,
    test_total_drivers=None,
    forms=(regression.LOG_DENSITY, regression.MEAN_DENSITY),
    kinds=tuple(regressors.KINDS),
    choose_by: str = "cells",
    missing: str = "skip",
    grid=None,
    factor: int = 2,
    method: str = "fast",
    borders: str = "centre",
    without_total: str = "empty",
    zero_weights: str = "even",
    seed: int = 0,
    device: str = "auto",
    scheduler: str | None = None,
    coarse=None,
    model=None,
    table=None,
    regression_report=None,
    resolution_report=None,
) -> dict:
    """Learn totals of regions from drivers, map them on the drivers' grid, make that finer, and correct it.

    regions : polygon layer with a total for each region.
    total_field, total_unit : the totals and their unit of mass.
    drivers : rasters of densities (radiance, people per km2).
    total_drivers : rasters of totals per cell (people).
    output : fine raster in t CO2e per cell; every region's cells add up to its total.
    name_field : names of the regions, for messages, reports and the table.
    test_field : totals of a second year to test the regressions on. None leaves out spatial blocks of regions.
    test_drivers, test_total_drivers : drivers of that year; None takes the same.
    forms : what the regressions learn: log density, mean density, and sum (as the paper).
    kinds : regressions to compare.
    choose_by : the best one by cells or by the test.
    missing : what a cell without data in a driver is: skip (left out) or zero.
    grid : raster whose grid is the coarse one; None takes that of the driver with the largest cells.
    factor : how many times finer the result is than the coarse grid: 2, 4 or 8.
    method : of super-resolution: fast or paper.
    borders : cells on a border belong to the region of their centre (centre), or to each region in part (parts).
    without_total : for regions without a total: empty, mean, keep or refuse.
    zero_weights : for regions whose cells are all zero: even, leave or refuse.
    seed : of all that is drawn.
    device : auto, cpu or cuda, for super-resolution.
    scheduler : address of a Dask scheduler for super-resolution; None takes threads.
    coarse : the coarse raster, corrected to the totals too, to compare with.
    model : JSON file of the chosen regression.
    table : table of the regions with totals, weights and relative error of the fine raster.
    regression_report, resolution_report : HTML reports of the two steps.
    """
    check_choices(factor, method, "total", device)
    fine = run.stage(output, "output")
    folder = fine.parent / "steps"
    folder.mkdir()
    # The coarse map is made finer before it is corrected: corrected first, it would have steps at the borders.
    raw, resolved = folder / "coarse.tif", folder / "fine.tif"
    chosen = run.stage(model, "model") if model else folder / "model.json"
    given = {"drivers": drivers, "total_drivers": total_drivers, "grid": grid}
    totals = {"regions": regions, "total_field": total_field, "total_unit": total_unit, "name_field": name_field}
    policies = {"borders": borders, "without_total": without_total, "zero_weights": zero_weights}
    correction = totals | policies | {"weights": "total"}

    fitted = compare_regressions(
        _Step(run, 0.0, 0.3),
        model=chosen,
        report=_staged(run, regression_report, "regression_report"),
        test_field=test_field,
        test_drivers=test_drivers,
        test_total_drivers=test_total_drivers,
        forms=forms,
        kinds=kinds,
        choose_by=choose_by,
        missing=missing,
        seed=seed,
        **totals,
        **given,
    )
    run.info(fitted["summary"])
    mapped = spatialize_coarse(_Step(run, 0.3, 0.35), model=str(chosen), regions=regions, output=raw, **given)
    run.info(mapped["summary"])
    # Corrected now, though only to compare with: what the policies refuse is refused before the network is trained.
    corrected_coarse = run.stage(coarse, "coarse") if coarse else folder / "corrected.tif"
    before = correct_to_totals(_Step(run, 0.35, 0.37), input=str(raw), output=corrected_coarse, **correction)
    finer = super_resolve(
        _Step(run, 0.37, 0.92),
        input=str(raw),
        output=resolved,
        factor=factor,
        method=method,
        quantity="total",
        report=_staged(run, resolution_report, "resolution_report"),
        seed=seed,
        device=device,
        scheduler=scheduler,
    )
    corrected = correct_to_totals(
        _Step(run, 0.92, 1.0), input=str(resolved), output=fine, table=_staged(run, table, "table"), **correction
    )
    styles = {"output": corrected["styles"]["output"]}
    if coarse:
        styles["coarse"] = before["styles"]["output"]
    taken = {name: fitted[name] for name in ("r2", "mae", "rmse", "cells_r2")}
    taken |= {name: mapped[name] for name in ("outside_pct", "clipped_pct", "cv")}
    taken |= {name: value for name, value in finer.items() if name.endswith(("_over_bicubic", "_over_area"))}
    taken |= {name: corrected[name] for name in ("total_t", "unallocated_t", "relative_error")}
    return {"summary": f"{fitted['summary']} {finer['summary']} {corrected['summary']}", "styles": styles, **taken}


def _staged(run: Run, destination, parameter: str) -> Path | None:
    return run.stage(destination, parameter) if destination else None


class _Step(Run):
    """A job as a part of another: it reports into a part of the progress, and its outputs are staged already."""

    def __init__(self, whole: Run, start: float, end: float):
        super().__init__(emit=lambda reply: getattr(whole, reply["type"])(reply["text"]))
        self._whole, self._part = whole, whole.part(start, end)
        self.require_space: Callable[[], None] = whole.require_space

    def progress(self, fraction: float, text: str = "") -> None:
        self._part(fraction, text)

    def stage(self, destination: str | Path, parameter: str = "output") -> Path:
        return Path(destination)
