"""Raster to statistics: every region's cells are scaled so that they add up to its total exactly."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
from rasterio.windows import Window

from ..core import checks, correction, ledger, units
from ..core.breaks import readable_breaks
from ..core.errors import InputError
from . import layers, rasters
from .run import Run

BORDERS = ("centre", "parts")
WEIGHTS = ("auto", "total", "density")
# Cells that are looked at for the class breaks.
_SAMPLE = 200_000
# Share of the weights that is rounding in the parts of cells.
_ROUNDING = 1e-6


def correct_to_totals(
    run: Run,
    *,
    input,
    regions,
    output,
    total_field: str,
    total_unit: str = "t",
    name_field: str | None = None,
    weights: str = "auto",
    borders: str = "centre",
    without_total: str = "empty",
    zero_weights: str = "even",
    table=None,
) -> dict:
    """Scale a raster within each region so that its cells add up to the region's total (equation 3).

    input : raster of emissions or of weights, none of them negative; only their proportions within a region count.
    regions : polygon layer with totals.
    output : raster of t CO2e per cell; cells outside all regions hold no data.
    total_field, total_unit : field of the regions with their totals, and its unit of mass; blank is no total.
    name_field : names of the regions, for messages and the table.
    weights : whether the raster holds a total per cell or a density, which is multiplied by the cells' area first; auto
        believes what the file says of itself, and takes totals where it says nothing.
    borders : cells on a border belong to the region that holds their centre (centre), so that each region's cells add
        up to its total; or to each region by the part of the cell that lies in it (parts), so that each region's parts
        add up to its total and small regions have cells too.
    without_total : for regions without a total: empty, mean (the mean factor of the others), keep or refuse.
    zero_weights : for regions whose weights are all zero: even, leave (unallocated) or refuse.
    table : table of the regions with rule, totals, weights and relative error.
    """
    run.progress(0.0, "Reading the regions")
    frame = layers.read_layer(regions, "regions", run, kind="polygon")
    totals = layers.numbers(frame, total_field, "total_field", missing=True, negative=True)
    totals = totals * units.factor(total_unit, "t", "total_unit")
    names = region_names(frame, name_field)
    with rasters.open_band(input, "input", run) as raster:
        made = correct(
            run,
            raster,
            frame,
            totals,
            names,
            run.stage(output, "output"),
            weights=weights,
            borders=borders,
            without_total=without_total,
            zero_weights=zero_weights,
        )
    if table:
        layers.write_layer(made.ledger, run.stage(table, "table"))
    return {
        "summary": made.sentence,
        "styles": {"output": {"kind": "raster", "unit": "t CO2e", "breaks": made.breaks}},
        "total_t": float(made.ledger["in_t"].sum()),
        "unallocated_t": float(made.ledger["unallocated_t"].sum()),
        "relative_error": float(made.ledger["relative_error"].abs().max()),
    }


@dataclass(frozen=True)
class Corrected:
    """The balance of a correction, one row per region; class breaks of the cells; and a sentence for the log."""

    ledger: pd.DataFrame
    breaks: list[float]
    sentence: str


def region_names(frame: gpd.GeoDataFrame, field: str | None, parameter: str = "name_field") -> list[str]:
    """Names of regions, each once; their row numbers where no field names them."""
    if not field:
        return [str(number) for number in range(1, len(frame) + 1)]
    layers.require_fields(frame.columns, [field], parameter)
    names = layers.keys(frame[field])
    twice = names[names.duplicated() & (names != "")]
    if len(twice):
        raise InputError(
            parameter,
            f"region '{twice.iloc[0]}' has {(names == twice.iloc[0]).sum()} rows",
            "Dissolve the layer by its names, so that no total counts twice",
        )
    return [name or f"row {number}" for number, name in enumerate(names, 1)]


def correct(
    run: Run,
    raster,
    regions: gpd.GeoDataFrame,
    totals: np.ndarray,
    names: list[str],
    path,
    *,
    weights: str = "auto",
    borders: str = "centre",
    without_total: str = "empty",
    zero_weights: str = "even",
    part: tuple[float, float] = (0.0, 1.0),
) -> Corrected:
    """Correct a raster in hand, by windows, in two passes; see ``correct_to_totals``.

    totals : t per region, NaN for none; path : staged file to write; part : of the job's progress.
    """
    checks.one_of(weights, WEIGHTS, "weights")
    checks.one_of(borders, BORDERS, "borders")
    middle = (part[0] + part[1]) / 2
    cells = _Cells(raster, rasters.on_grid(regions, raster, "regions"), weights, borders)
    sums, area, beside = cells.sums(run.part(part[0], middle))
    rules = correction.factors(names, totals, sums, area, without_total, zero_weights)
    told = (rules["fallback_t"] + rules["unallocated_t"] > 0) | np.isnan(totals)
    for rule, group in rules[told].groupby("rule"):
        listed = ", ".join(group["region"].head(5)) + (", ..." if len(group) > 5 else "")
        run.warning(f"{len(group):,} regions ({listed}): {rule}, {group['in_t'].sum():,.2f} t.")
    written, sample = np.zeros(len(names)), []
    step = max(1, round((raster.grid.width * raster.grid.height / _SAMPLE) ** 0.5))
    progress = run.part(middle, part[1])
    with rasters.create(
        run, path, raster.grid, unit="t CO2e", quantity="total", description="emissions, t CO2e per cell"
    ) as writer:
        windows = raster.grid.windows()
        for number, window in enumerate(windows):
            progress(number / len(windows), "Correcting the cells")
            values, region, amount = cells.corrected(window, rules["scale"], rules["per_m2"])
            written += np.bincount(region, amount, len(names))
            sample.append(values[::step, ::step].ravel())
            writer.write(window, values)
    made = ledger.close(rules.assign(allocated_t=written).drop(columns="per_m2"))
    inside = float(sums.sum())
    share = f"{100 * beside / (inside + beside):.2f} %" if beside > _ROUNDING * inside else "Nothing"
    sentence = f"{ledger.sentence(made)} {share} of the weights lay outside all regions."
    return Corrected(made, readable_breaks(np.concatenate(sample)), sentence)


class _Cells:
    """The cells of a raster with the regions that they belong to."""

    def __init__(self, raster, regions: gpd.GeoDataFrame, weights: str, borders: str):
        self._raster, self._regions, self._borders = raster, regions, borders
        self._by_area = weights == "density" or (weights == "auto" and raster.quantity == "density")

    def sums(self, progress) -> tuple[np.ndarray, np.ndarray, float]:
        """Weights and m2 of the cells with data per region, and the weights that lie outside all regions."""
        count = len(self._regions)
        weights, area, all_weights = np.zeros(count), np.zeros(count), 0.0
        windows = self._raster.grid.windows()
        for number, window in enumerate(windows):
            progress(number / len(windows), "Summing the weights")
            values, square_metres, region, cell, share = self._read(window)
            weights += np.bincount(region, share * values[cell], count)
            area += np.bincount(region, share * square_metres[cell], count)
            all_weights += float(np.nansum(values))
        if all_weights == 0 and not area.any():
            raise InputError(
                "input", "it has no cell with data in any region", "Choose a raster that covers the regions"
            )
        return weights, area, max(0.0, all_weights - float(weights.sum()))

    def corrected(self, window: Window, scale, per_m2):
        """The cells of a window in t; and, in parallel, the t that a cell holds of a region, and which region."""
        values, square_metres, region, cell, share = self._read(window)
        scale, per_m2 = np.asarray(scale)[region], np.asarray(per_m2)[region]
        holds = np.isfinite(scale)
        region, cell, share = region[holds], cell[holds], share[holds]
        amount = share * (values[cell] * scale[holds] + square_metres[cell] * per_m2[holds])
        result = np.bincount(cell, amount, values.size)
        result[np.bincount(cell, minlength=values.size) == 0] = np.nan
        return result.reshape(window.height, window.width), region, amount

    def _read(self, window: Window) -> tuple[np.ndarray, ...]:
        """Flat weights and areas of a window's cells; and region, cell and share of each cell with data in a region."""
        values = self._raster.read(window).ravel()
        rasters.refuse_negative(values, self._raster)
        square_metres = self._raster.grid.cell_areas(window).ravel()
        if self._by_area:
            values = values * square_metres
        if self._borders == "centre":
            region = rasters.label(self._regions, self._raster.grid, window).ravel()
            cell = np.flatnonzero((region >= 0) & np.isfinite(values))
            region, share = region[cell], np.ones(len(cell))
        else:
            region, cell, share = rasters.fractions(self._regions, self._raster.grid, window)
            # Where regions overlap, a cell is shared between them, so that nothing counts twice.
            share = share / np.maximum(np.bincount(cell, share, values.size), 1)[cell]
            known = np.isfinite(values[cell])
            region, cell, share = region[known], cell[known], share[known]
        return values, square_metres, region, cell, share
