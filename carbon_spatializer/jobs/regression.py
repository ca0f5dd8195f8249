"""Regional totals to a coarse raster: compare regressions on driver rasters, and apply the chosen one to the cells."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from ..core import regression, regressors, units
from ..core.breaks import readable_breaks
from ..core.checks import at_least, between, one_of
from ..core.errors import InputError
from . import layers, rasters
from .correction import region_names
from .drivers import Drivers, open_drivers
from .regressionreport import write_report
from .run import Run

CHOICES = ("cells", "test")
_MODEL_FORMAT = 1
_FEWEST_FOR_TRUST = 15
# Share of a region's area below which the log warns of missing data.
_LEAST_COVERED = 0.5
# Cells on which each model is judged, of all regions together, and of each at least.
_CELLS_JUDGED, _CELLS_PER_REGION = 300_000, 500
# Values that the breaks of a map are made from.
_STYLED = 100_000
# Coefficient of variation below which drivers are uniform, but for rounding and the different areas of cells.
_UNIFORM_CV = 1e-3
# Above this share of cells a map rests on extrapolation, or on clipping, and the log says so.
_MANY_PCT = 50


def compare_regressions(
    run: Run,
    *,
    regions,
    total_field: str,
    drivers=None,
    total_drivers=None,
    model,
    output=None,
    table=None,
    report=None,
    total_unit: str = "t",
    name_field: str | None = None,
    test_field: str | None = None,
    test_drivers=None,
    test_total_drivers=None,
    holdout_field: str | None = None,
    forms=(regression.LOG_DENSITY, regression.MEAN_DENSITY),
    kinds=tuple(regressors.KINDS),
    choose_by: str = "cells",
    intercept: bool = True,
    missing: str = "skip",
    grid=None,
    blocks: int = 5,
    draws: int = 1000,
    seed: int = 0,
) -> dict:
    """Learn regional totals from driver rasters with several regressions, and save the best one.

    regions : polygon layer with a total for each region; those without one are left out.
    total_field, total_unit : the totals to learn from, and their unit of mass.
    drivers : rasters of densities (radiance, people per km2); on the common grid they are averaged.
    total_drivers : rasters of totals per cell (people); on the common grid they are summed.
    model : JSON file of the best model, as plain parameters.
    output : the regions with area_km2, the drivers' mean densities, total_t, predicted_t, residual_t, residual_pct and
        tested (1 where the prediction is for a region or year that the model has not seen).
    table : the compared models with their scores.
    report : HTML report with tables, scatter plots and the map of residuals.
    name_field : names of the regions, for messages and the report.
    test_field : totals of a second year to test on, in the same unit. None, and no holdout_field, leaves out spatial
        blocks of regions one after the other.
    test_drivers, test_total_drivers : drivers of that year, as many and in the same order; None takes the same.
    holdout_field : numeric field, not zero where a region is only to be tested on.
    forms : what the models learn: log density, mean density, and sum (as the paper).
    kinds : models to compare: svr_linear, svr_rbf, bayesian_ridge, linear, elastic_net, nonnegative, random_forest,
        gradient_boosting.
    choose_by : cells (the map whose cells add up best to the regions again) or test (the smallest RMSE of the test).
    intercept : whether linear models have an intercept.
    missing : what a cell without data in a driver is: skip (left out) or zero.
    grid : raster whose grid is the common one; None takes that of the driver with the largest cells.
    blocks : spatial blocks of the cross-validation and of the search for hyper-parameters.
    draws : bootstrap samples behind the intervals of the scores.
    seed : of blocks, samples and forests.
    """
    forms, kinds = _listed(forms, regression.FORMS, "forms"), _listed(kinds, regressors.KINDS, "kinds")
    one_of(choose_by, CHOICES, "choose_by")
    at_least(blocks, 2, "blocks")
    between(draws, 1, 100_000, "draws")
    if test_field and holdout_field:
        raise InputError("holdout_field", "a test year was chosen too", "Choose one of the two tests")
    if (test_drivers or test_total_drivers) and not test_field:
        raise InputError("test_field", "there are test drivers but no totals to test on", "Choose the field")
    run.progress(0.0, "Reading the regions")
    frame = layers.read_layer(regions, "regions", run, kind="polygon", exact=True)
    tonnes = _tonnes(frame, total_field, total_unit, "total_field")
    names = np.array(region_names(frame, name_field))
    options = {"grid": grid, "missing": missing}
    with open_drivers(run, drivers, total_drivers, within=frame, **options) as opened:
        every, cells = _summarise(run, frame, tonnes, opened, seed, run.part(0.02, 0.35))
        common = opened.grid
    has_cells = every.area_km2 > 0
    _warn_of_left_out(run, names, has_cells, np.isfinite(tonnes))
    _warn_of_gaps(run, names, np.where(np.isfinite(tonnes), every.area_km2 / (layers.areas(frame) / 1e6), np.nan))
    learns = has_cells & np.isfinite(tonnes)
    test, test_rows = None, np.flatnonzero(learns)
    if test_field:
        true = _tonnes(frame, test_field, total_unit, "test_field")
        other = every
        if test_drivers or test_total_drivers:
            with open_drivers(run, test_drivers, test_total_drivers, within=frame, **options) as opened:
                opened = opened.in_order(list(every.densities), every.totals, run)
                other, _ = _summarise(run, frame, true, opened, seed, run.part(0.35, 0.5))
        test_rows = np.flatnonzero((other.area_km2 > 0) & np.isfinite(true))
        test = _with_tonnes(other, true).rows(test_rows)
    if holdout_field:
        held = layers.numbers(frame, holdout_field, "holdout_field", negative=True) != 0
        test_rows = np.flatnonzero(learns & held)
        learns &= ~held
        test = every.rows(test_rows)
    if len(test_rows) < 2:
        raise InputError(
            "holdout_field" if holdout_field else "test_field", f"{len(test_rows)} regions to test on", "Give some more"
        )
    known, cells = every.rows(learns), _of_regions(cells, learns)
    if regression.LEAST_REGIONS <= len(known) < _FEWEST_FOR_TRUST:
        run.warning(f"{len(known)} regions are few to learn from; look at the intervals of the scores.")
    groups = regression.spatial_blocks(known.places, blocks, seed) if len(known) else np.zeros(0, int)
    compared = regression.compare(
        known,
        cells,
        groups,
        forms=forms,
        kinds=kinds,
        test=test,
        intercept=intercept,
        draws=draws,
        seed=seed,
        progress=run.part(0.5, 0.9),
    )
    best = regression.best(compared, choose_by)
    pearson = pd.concat([regression.correlations(known, form) for form in forms], ignore_index=True)
    _log(run, compared, pearson, best)
    run.progress(0.9, "Writing the model")
    about = {"missing": missing, "total_field": total_field, "regions": len(known), "scores": best.row}
    about |= {"cell": list(common.cell), "crs": common.crs.to_string()}
    _write_model(best.model, about, run.stage(model, "model"))
    result = _with_predictions(run, frame, every, best, test_rows, test)
    if output:
        layers.write_layer(result, run.stage(output, "output"))
    rows = pd.DataFrame([one.row for one in compared])
    if table:
        layers.write_layer(rows, run.stage(table, "table"))
    tested_by = _tested_by(test_field, holdout_field, test_rows, groups)
    summary = _summary(best, compared, tested_by)
    if report:
        true = known.tonnes if test is None else test.tonnes
        left_out = names[~(learns | np.isin(np.arange(len(frame)), test_rows))].tolist()
        path = run.stage(report, "report")
        write_report(path, compared, best, pearson, true, result, names, summary, tested_by, left_out)
    return {
        "summary": summary,
        "styles": {"output": _residual_style(result)} if output else {},
        "regions_count": len(known),
        **{name: best.row[name] for name in ("r2", "mae", "rmse", "outside_pct", "clipped_pct", "cv", "cells_r2")},
    }


def spatialize_coarse(
    run: Run,
    *,
    model,
    drivers=None,
    total_drivers=None,
    regions=None,
    grid=None,
    output,
) -> dict:
    """Apply a saved regression to driver rasters, cell by cell.

    model : JSON file that a comparison of regressions saved.
    drivers, total_drivers : the drivers that it was trained on (or another year's), as densities and as totals.
    regions : polygon layer; cells that lie wholly outside have no data. None takes all cells.
    grid : raster whose grid is taken; None takes that of the driver with the largest cells.
    output : raster of emissions in t CO2e per cell, not yet corrected to any total; negative predictions are zero.
    """
    fitted, missing, from_cells = read_model(model)
    run.progress(0.0, "Opening the drivers")
    frame = layers.read_layer(regions, "regions", run, kind="polygon", columns=[]) if regions else None
    with open_drivers(run, drivers, total_drivers, grid, missing, frame) as opened:
        opened = opened.in_order(fitted.names, fitted.totals, run)
        within = None if frame is None else rasters.on_grid(frame, opened.grid, "regions")
        path = run.stage(output, "output")
        seen = _Seen(fitted)
        with rasters.create(
            run, path, opened.grid, unit="t CO2e", quantity="total", description="emissions, not yet corrected"
        ) as writer:
            windows = opened.windows()
            for index, window in enumerate(windows):
                run.progress(0.95 * index / len(windows), "Predicting the cells")
                writer.write(window, seen.predict(opened, window, within))
    seen.check()
    summary = seen.summary()
    if seen.outside_pct > _MANY_PCT:
        run.warning(
            f"{seen.outside_pct:.1f} % of the cells lie outside the range of the regions that the model was trained "
            "on: the map extrapolates."
        )
    if seen.clipped_pct > _MANY_PCT:
        run.warning(f"{seen.clipped_pct:.1f} % of the cells would be negative and are set to zero.")
    if not from_cells > 0:
        run.warning(
            "In the comparison, the cells of this model did not add up to the regions (its R2 from cells is not above "
            "zero): do not trust the map. Compare again and choose by the cells."
        )
    return {
        "summary": summary,
        "styles": {"output": seen.style()},
        "cells": seen.cells,
        "total_t": seen.tonnes,
        "outside_pct": seen.outside_pct,
        "clipped_pct": seen.clipped_pct,
        "cv": seen.cv,
    }


# Model files ----------------------------------------------------------------------------------------------------------


def _write_model(fitted: regression.Model, about: dict, path: Path) -> None:
    content = {"file": "regression model", "format": _MODEL_FORMAT, "about": about, "model": fitted.state()}
    path.write_text(json.dumps(_without_nan(content), ensure_ascii=False, allow_nan=False), encoding="utf-8")


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def read_model(path) -> tuple[regression.Model, str, float]:
    """A model file: the model, what its cells without data are (``skip`` or ``zero``), and its R2 from cells."""
    path, _, _ = layers.locate(path, "model")
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        state, missing, from_cells = (
            content["model"],
            content["about"]["missing"],
            content["about"]["scores"]["cells_r2"],
        )
        newer = content["format"] > _MODEL_FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            "model", f"'{path}' holds no regression model", "Choose a file that Compare regressions saved"
        ) from None
    if newer:
        raise InputError("model", f"'{path}' was written by a newer version", "Update the plugin")
    return regression.Model.from_state(state), missing, float("nan") if from_cells is None else from_cells


# Regions --------------------------------------------------------------------------------------------------------------


def _listed(values, known, parameter: str) -> list[str]:
    values = list(dict.fromkeys([values] if isinstance(values, str) else values))
    if not values:
        raise InputError(parameter, "nothing was chosen", f"Choose among {', '.join(known)}")
    for value in values:
        one_of(value, known, parameter)
    return values


def _tonnes(frame: pd.DataFrame, field: str, unit: str, parameter: str) -> np.ndarray:
    return layers.numbers(frame, field, parameter, missing=True) * units.factor(unit, "t", "total_unit")


def _summarise(
    run: Run, frame: gpd.GeoDataFrame, tonnes: np.ndarray, opened: Drivers, seed: int, progress
) -> tuple[regression.Regions, regression.Cells]:
    """Sums and mean densities of all drivers in each region, with exact fractions, and a sample of the cells."""
    polygons = rasters.on_grid(frame, opened.grid, "regions")
    count, drivers = len(frame), len(opened.names)
    area, sums, weighted = np.zeros(count), np.zeros((count, drivers)), np.zeros((count, drivers))
    width, height = opened.grid.cell
    wanted = max(_CELLS_JUDGED // count, _CELLS_PER_REGION)
    probability = np.minimum(1, wanted / np.maximum(shapely.area(polygons.geometry.array) / (width * height), 1))
    rng = np.random.default_rng(seed)
    sampled = []
    windows = opened.windows()
    for index, window in enumerate(windows):
        progress(index / len(windows), "Summing the drivers over the regions")
        region, cell, fraction = rasters.fractions(polygons, opened.grid, window)
        if len(region) == 0:
            continue
        values, cell_km2 = opened.read(window)[cell], opened.grid.cell_areas(window).ravel()[cell] / 1e6
        valid = np.isfinite(values).all(axis=1) & np.isfinite(cell_km2)
        region, fraction, values, cell_km2 = region[valid], fraction[valid], values[valid], cell_km2[valid]
        area += np.bincount(region, fraction * cell_km2, count)
        for column in range(drivers):
            sums[:, column] += np.bincount(region, fraction * values[:, column], count)
            weighted[:, column] += np.bincount(region, fraction * cell_km2 * values[:, column], count)
        kept = rng.random(len(region)) < probability[region]
        sampled.append((values[kept], region[kept], (fraction / probability[region])[kept], cell_km2[kept]))
    densities = np.where(opened.totals, sums, weighted) / np.where(area > 0, area, np.nan)[:, None]
    centres = frame.geometry.to_crs(layers.work_crs(frame)).centroid
    known = regression.Regions(
        sums=pd.DataFrame(sums, columns=opened.names),
        densities=pd.DataFrame(densities, columns=opened.names),
        totals=opened.totals,
        area_km2=area,
        tonnes=tonnes,
        places=np.stack([centres.x, centres.y], axis=1),
    )
    if not sampled:
        raise InputError("drivers", "no cell in the regions was found", "Check the CRS of the regions and the drivers")
    return known, regression.Cells(*(np.concatenate(parts) for parts in zip(*sampled)))


def _with_tonnes(regions: regression.Regions, tonnes: np.ndarray) -> regression.Regions:
    return regression.Regions(regions.sums, regions.densities, regions.totals, regions.area_km2, tonnes, regions.places)


def _of_regions(cells: regression.Cells, chosen: np.ndarray) -> regression.Cells:
    """The cells of some of the regions, which are renumbered."""
    kept = chosen[cells.region]
    number = np.cumsum(chosen) - 1
    return regression.Cells(cells.values[kept], number[cells.region[kept]], cells.weight[kept], cells.area_km2[kept])


def _warn_of_left_out(run: Run, names: np.ndarray, has_cells: np.ndarray, has_total: np.ndarray) -> None:
    if not has_cells.any():
        raise InputError(
            "drivers",
            "no region holds a cell with data in all drivers",
            "Choose drivers that cover the regions, or let missing cells count as zero",
        )
    if not has_cells.all():
        run.warning(
            f"regions: {(~has_cells).sum():,} hold no cell with data in all drivers and are left out "
            f"({_few(names[~has_cells])})."
        )
    if not has_total.all():
        run.info(f"{(~has_total).sum():,} regions have no total and are left out ({_few(names[~has_total])}).")


def _warn_of_gaps(run: Run, names: np.ndarray, covered: np.ndarray) -> None:
    gaps = (covered > 0) & (covered < _LEAST_COVERED)
    if gaps.any():
        run.warning(
            f"regions: in {gaps.sum():,} of them less than {100 * _LEAST_COVERED:.0f} % of the area has data in all "
            f"drivers ({_few(names[gaps])}); their totals are taken to arise there."
        )


def _few(names: np.ndarray, most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _with_predictions(run, frame, every, best, test_rows, test) -> gpd.GeoDataFrame:
    """The regions with drivers, true and predicted totals; predictions of the test where there are any."""
    model, form = best.model, best.model.form
    predicted = every.in_tonnes(form, model.predict(every.drivers(form).to_numpy(dtype=float)))
    true, tested = every.tonnes.copy(), np.zeros(len(frame), dtype=np.int16)
    predicted[test_rows], tested[test_rows] = best.tested, 1
    if test is not None:
        true[test_rows] = test.tonnes
    residual = predicted - true
    made = {"area_km2": every.area_km2, **every.densities.to_dict("series"), "total_t": true, "predicted_t": predicted}
    made |= {"residual_t": residual, "residual_pct": 100 * residual / np.where(true > 0, true, np.nan)}
    return layers.with_columns(frame, made | {"tested": tested}, "regions", run)


# Words ----------------------------------------------------------------------------------------------------------------


def _tested_by(test_field, holdout_field, test_rows, groups) -> str:
    if test_field:
        return f"the totals in '{test_field}' of {len(test_rows)} regions"
    if holdout_field:
        return f"{len(test_rows)} regions held out"
    return f"cross-validation that leaves out one of {len(np.unique(groups))} spatial blocks of regions after the other"


def _title(one: regression.Compared) -> str:
    return f"{regressors.KINDS[one.model.kind]} on {one.model.form}"


def _summary(best: regression.Compared, compared: list, tested_by: str) -> str:
    row = best.row
    return (
        f"Best of {len(compared)}: {_title(best)} ({row['settings'] or 'nothing to search'}). Tested by {tested_by}: "
        f"R2 {row['r2']:.3f} (95 % {row['r2_low']:.3f} to {row['r2_high']:.3f}), MAE {row['mae']:,.0f} t, "
        f"RMSE {row['rmse']:,.0f} t. On the cells: R2 of the regions summed from their cells {row['cells_r2']:.3f}, "
        f"{row['outside_pct']:.1f} % outside the training range, {row['clipped_pct']:.1f} % negative, "
        f"coefficient of variation {row['cv']:.2f}."
    )


def _log(run: Run, compared: list, pearson: pd.DataFrame, best: regression.Compared) -> None:
    for row in pearson.itertuples():
        run.info(f"Pearson r of {row.driver} ({row.form}): {row.r:.3f}, p = {row.p_value:.2g}.")
    for one in compared:
        row = one.row
        run.info(
            f"{_title(one)}: R2 {row['r2']:.3f} ({row['r2_low']:.3f} to {row['r2_high']:.3f}), "
            f"MAE {row['mae']:,.0f} t, RMSE {row['rmse']:,.0f} t; cells: R2 {row['cells_r2']:.3f}, "
            f"{row['clipped_pct']:.1f} % negative, CV {row['cv']:.2f}; {row['settings'] or 'nothing to search'}."
        )
    if regression.is_constant(best.row["cv"], best.row["drivers_cv"]):
        run.warning(
            f"{_title(best)} is nearly constant on the cells, so that no map can be made with it. Compare again with "
            f"the forms '{regression.LOG_DENSITY}' or '{regression.MEAN_DENSITY}' and linear models."
        )
    elif best.row["clipped_pct"] > regression.MOST_CLIPPED_PCT:
        run.warning(
            f"{_title(best)} is negative in {best.row['clipped_pct']:.1f} % of the cells. Compare again with the form "
            f"'{regression.LOG_DENSITY}' or with non-negative linear models."
        )


def _residual_style(result: pd.DataFrame) -> dict:
    values = result["residual_pct"].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    inner = [-50.0, -25.0, -10.0, 10.0, 25.0, 50.0]
    breaks = [min(-100.0, values.min(initial=0)), *inner, max(100.0, values.max(initial=0))]
    return {
        "kind": "graduated",
        "field": "residual_pct",
        "unit": "%",
        "breaks": breaks,
        "ramp": "difference",
        "outline": 0.2,
    }


# The coarse map -------------------------------------------------------------------------------------------------------


class _Seen:
    """Predicts window by window and keeps what is to be said about the whole map."""

    def __init__(self, fitted: regression.Model):
        self._model = fitted
        self.cells = self._outside = self._clipped = 0
        self.tonnes = 0.0
        # Of the predictions, then of each driver: sums of weight, weight x value, and weight x value squared.
        self._moments = np.zeros((1 + len(fitted.names), 3))
        self._sample, self._largest = np.zeros(0), 0.0

    def predict(self, opened: Drivers, window, within) -> np.ndarray:
        """Emissions of a window in t per cell, (height, width), never negative."""
        model = self._model
        values, area_km2 = opened.read(window), opened.grid.cell_areas(window).ravel() / 1e6
        known = np.isfinite(values).all(axis=1) & np.isfinite(area_km2)
        if within is not None:
            _, touched, _ = rasters.fractions(within, opened.grid, window)
            known &= np.isin(np.arange(len(values)), touched)
        result = np.full(len(values), np.nan)
        values, area_km2 = values[known], area_km2[known]
        inputs = regression.cell_values(model, values, area_km2)
        predicted = model.predict(inputs)
        tonnes = np.maximum(predicted, 0) * (1.0 if model.form == regression.SUM else area_km2)
        if not np.isfinite(tonnes).all():
            raise InputError(
                "model",
                "its predictions for these drivers are not finite numbers",
                "Check the units of the drivers, or compare the regressions again with another form",
            )
        result[known] = tonnes
        self.cells += len(tonnes)
        self._outside += int(model.outside(inputs).sum())
        self._clipped += int((predicted < 0).sum())
        self.tonnes += float(tonnes.sum())
        weight = np.ones(len(area_km2)) if model.form == regression.SUM else area_km2
        for moments, column in zip(self._moments, [np.maximum(predicted, 0), *np.maximum(inputs, 0).T]):
            moments += [weight.sum(), (weight * column).sum(), (weight * column**2).sum()]
        step = max(1, len(tonnes) * len(opened.windows()) // _STYLED)
        self._sample = np.concatenate([self._sample, tonnes[::step]])
        self._largest = max(self._largest, tonnes.max(initial=0))
        return result.reshape(window.height, window.width)

    def check(self) -> None:
        """Raise InputError when the map shows nothing."""
        if self.cells == 0:
            raise InputError("drivers", "no cell has data in all drivers", "Choose drivers that cover the same place")
        advice = (
            f"Compare the regressions again with the form '{regression.LOG_DENSITY}' or '{regression.MEAN_DENSITY}' "
            "and choose by the cells"
        )
        title = f"{regressors.KINDS[self._model.kind]} on {self._model.form}"
        if self.tonnes <= 0:
            raise InputError("model", f"{title} predicts no emissions in any of {self.cells:,} cells", advice)
        if self._drivers_cv < _UNIFORM_CV:
            raise InputError(
                "drivers", "the drivers are the same in all cells, or nearly so, and the map would be", "Choose others"
            )
        if regression.is_constant(self.cv, self._drivers_cv):
            raise InputError(
                "model",
                f"the map would be constant: {title} varies by {100 * self.cv:.2g} % of its mean over the cells, while "
                f"the drivers vary by {100 * self._drivers_cv:.3g} %, as it knows only values of whole regions",
                advice,
            )

    def style(self) -> dict:
        """How the map is drawn."""
        breaks = readable_breaks(np.append(self._sample, self._largest))
        return {"kind": "raster", "unit": "t CO2e per cell", "breaks": breaks, "ramp": "emission"}

    @property
    def cv(self) -> float:
        """Coefficient of variation of the predictions (see ``regression.on_cells``)."""
        return float(self._variations()[0])

    @property
    def _drivers_cv(self) -> float:
        return float(self._variations()[1:].mean())

    def _variations(self) -> np.ndarray:
        weight, first, second = self._moments.T
        mean = first / weight
        spread = np.sqrt(np.maximum(second / weight - mean**2, 0))
        return np.where(mean > 0, spread / np.where(mean > 0, mean, 1), 0.0)

    @property
    def outside_pct(self) -> float:
        return 100 * self._outside / max(self.cells, 1)

    @property
    def clipped_pct(self) -> float:
        return 100 * self._clipped / max(self.cells, 1)

    def summary(self) -> str:
        return (
            f"{self.cells:,} cells, {self.tonnes:,.0f} t CO2e before any correction to totals. "
            f"{self.outside_pct:.1f} % of the cells lie outside the training range, {self.clipped_pct:.1f} % were "
            "negative and are zero; "
            f"coefficient of variation {self.cv:.2f} (of the drivers {self._drivers_cv:.2f})."
        )
