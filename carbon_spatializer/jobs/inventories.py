"""Comparison of an emission map with a gridded inventory: ODIAC, EDGAR, FFDAS or any other raster."""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rasterio.windows import Window

from ..core import checks, inventories
from ..core.breaks import readable_breaks
from ..core.errors import InputError
from . import landcover, layers, rasters
from .correction import region_names
from .inventoryreport import UNIT, comparison
from .run import Run

KINDS = ("own", *inventories.KNOWN)
SEVERAL = ("times", "parts")
GRIDS = ("coarser", "input", "inventory")

_WHOLE = "common ground"
# Cells of the common grid that both maps cover by at least this part are compared.
_COVERED = 0.5
# Ratio of the two totals beyond which their units hardly agree.
_PLAUSIBLE = 10
_BUILT_UP = "built-up"


def compare_inventories(
    run: Run,
    *,
    input,
    inventory: list,
    output,
    kind: str = "own",
    mass_unit: str = "t",
    substance: str = "CO2",
    per: str = "cell",
    time: str = "year",
    several: str = "times",
    grid: str = "coarser",
    regions=None,
    name_field: str | None = None,
    land_cover=None,
    classes=None,
    table=None,
    report=None,
) -> dict:
    """Bring an inventory to t CO2 per year and compare a map with it, cell by cell, in structure and concentration.

    input : raster of t CO2 per cell and year (densities as the raster says itself).
    inventory : one raster or several on one grid; all bands of each are taken.
    output : raster of the difference, input minus inventory, in t CO2 per km2 and year, on the common grid.
    kind : own (the four units below) or a published inventory, whose units are known: ODIAC, FFDAS, EDGAR flux or
        EDGAR emissions.
    mass_unit, substance, per, time : of the inventory's values: a unit of mass; CO2 or carbon (x 44/12); per cell, m2,
        ha or km2; for a year, month, day or second.
    several : what several rasters or bands are: times of one year (their mean is taken, so that twelve months add up
        to a year), or parts such as sectors (added).
    grid : on which the two are compared: the coarser of the two, that of the input, or that of the inventory.
    regions : polygon layer; the comparison is limited to it, and the table has a row for each region. A cell belongs to
        the region that holds its centre.
    name_field : names of the regions.
    land_cover, classes : raster of classes and the table of what its codes mean (default: seven classes from IGBP), for
        the share of built-up land.
    table : table of all figures.
    report : HTML report with maps side by side.
    """
    run.progress(0.0, "Reading the maps")
    units = _units(kind, mass_unit, substance, per, time)
    checks.one_of(several, SEVERAL, "several")
    checks.one_of(grid, GRIDS, "grid")
    with ExitStack() as stack:
        mine = rasters.as_total(stack.enter_context(rasters.open_band(input, "input", run)))
        other = _inventory(run, stack, inventory, kind, units, several)
        common = _common_grid(mine, other, grid)
        maps = [_on(run, raster, common, 0.1 + 0.2 * number) for number, raster in enumerate((mine, other))]
        compared = _compared(run, maps, common, regions, name_field)
        del maps  # a large grid's arrays are not needed twice
        run.progress(0.55, "Comparing")
        figures = compared.figures()
        _warn_of_units(run, figures.iloc[-1])
        if land_cover is not None:
            shares = _built_up(run, mine, other, land_cover, classes, compared, stack)
            figures = figures.merge(shares, how="left", on="region")
        run.progress(0.75, "Writing the difference")
        _write(run, run.stage(output, "output"), compared)
        if table:
            layers.write_layer(figures, run.stage(table, "table"))
        summary = _summary(figures.iloc[-1], mine.name, other.name)
        if report:
            run.progress(0.85, "Drawing the maps")
            content = comparison(compared, figures, summary, (mine, other))
            run.stage(report, "report").write_text(content, encoding="utf-8")
    whole = figures.iloc[-1]
    breaks = readable_breaks(compared.difference[np.isfinite(compared.difference)], 8)
    return {
        "summary": summary,
        "styles": {"output": {"kind": "raster", "unit": UNIT, "breaks": breaks, "ramp": "difference"}},
        **{name: float(whole[name]) for name in ("input_t", "inventory_t", "bias_pct", "rmse", "r", "ssim")},
    }


def _units(kind: str, mass: str, substance: str, per: str, time: str) -> tuple[str, str, str, str]:
    checks.one_of(kind, KINDS, "kind")
    return inventories.KNOWN.get(kind, (mass, substance, per, time))


# The two maps ---------------------------------------------------------------------------------------------------------


class _Several:
    """Rasters on one grid as one: their mean or their sum; a cell without data in some is that of the others."""

    quantity = unit = ""

    def __init__(self, members: list, several: str):
        self.grid, self.name, self.parameter = members[0].grid, members[0].name, members[0].parameter
        self._members, self._several = members, several

    def read(self, window: Window | None = None) -> np.ndarray:
        total, count = 0.0, 0
        for member in self._members:
            values = member.read(window)
            total = total + np.nan_to_num(values)
            count = count + np.isfinite(values)
        divisor = count if self._several == "times" else 1
        return np.where(count > 0, total / np.maximum(divisor, 1), np.nan)


def _inventory(run: Run, stack: ExitStack, sources, kind: str, units: tuple, several: str):
    """The inventory in t CO2 per cell and year."""
    sources = sources if isinstance(sources, list) else [sources]
    if not sources:
        raise InputError("inventory", "no raster was given", "Choose at least one")
    members = []
    for source in sources:
        first = stack.enter_context(rasters.open_band(source, "inventory"))
        bands = [stack.enter_context(rasters.open_band(source, "inventory", band=n)) for n in range(2, first.bands + 1)]
        members += [first, *bands]
    for member in members[1:]:
        if not rasters.same_grid(member, members[0]):
            raise InputError(
                "inventory",
                f"'{member.name}' has another grid than '{members[0].name}'",
                "Choose rasters with the same CRS, extent and cell size, or compare them one by one",
            )
    factor, by_area = inventories.to_tonnes(*units)
    mass, substance, per, time = units
    count = len(members)
    if time == "month" and several == "times" and count not in (1, 12):
        run.warning(f"inventory: {count} months are given; a year is taken as twelve times their mean.")
    if count == 1 and time == "month":
        run.warning("inventory: one month is given; a year is taken as twelve times it.")
    joined = "" if count == 1 else f"; the {'mean' if several == 'times' else 'sum'} of {count} rasters or bands"
    run.info(
        f"The inventory's values are {mass} {substance} per {per} and {time}; they are multiplied by {factor:.6g}"
        f"{' and the cells’ areas in m2' if by_area else ''} to t CO2 per cell and year{joined}."
    )
    raster = rasters.as_total(members[0] if count == 1 else _Several(members, several), factor, by_area)
    if kind != "own":
        raster.name = kind
    elif len(sources) > 1:
        raster.name = f"{members[0].name} and {len(sources) - 1} more"
    return raster


def _common_grid(mine, other, choice: str) -> rasters.Grid:
    """The chosen grid, where the two maps meet."""
    if choice == "coarser":
        sizes = [raster.grid.middle_area for raster in (mine, other)]
        choice = "input" if sizes[0] >= sizes[1] else "inventory"
    chosen, against = (mine, other) if choice == "input" else (other, mine)
    window = chosen.grid.window_of(against)
    if window is None:
        raise InputError("inventory", "it does not overlap the input", "Check the CRS and the extent of both rasters")
    return chosen.grid.part(window)


def _on(run: Run, raster, common: rasters.Grid, start: float) -> tuple[np.ndarray, np.ndarray]:
    """Totals in t and covered ground in m2 of a raster's share in each cell of the common grid."""
    totals, ground = (rasters.resampled(part, common, "sum") for part in (raster, rasters.Ground(raster)))
    result = np.zeros((2, *common.shape))
    progress = run.part(start, start + 0.2)
    for number, window in enumerate(windows := common.windows()):
        progress(number / len(windows), f"Reading {raster.name}")
        rows = slice(window.row_off, window.row_off + window.height)
        result[0, rows], result[1, rows] = totals.read(window), ground.read(window)
    rasters.refuse_negative(result[0], raster)
    return result[0], np.nan_to_num(result[1])


@dataclass(frozen=True)
class Compared:
    """Two maps on the common ground: densities in t per km2, NaN where not compared, and m2 of common ground."""

    grid: rasters.Grid
    mine: np.ndarray
    other: np.ndarray
    ground: np.ndarray
    region: np.ndarray
    names: list[str]

    @property
    def difference(self) -> np.ndarray:
        return self.mine - self.other

    def figures(self) -> pd.DataFrame:
        """One row per region, and one for all of the common ground."""
        places = [(name, self.region == number) for number, name in enumerate(self.names)]
        if len(places) != 1 or places[0][0] != _WHOLE:
            places.append((_WHOLE, self.region >= 0))
        return pd.DataFrame([self._row(name, here & np.isfinite(self.mine)) for name, here in places])

    def _row(self, name: str, here: np.ndarray) -> dict:
        row = {"region": name, "cells": int(here.sum())}
        if not here.any():
            return row
        ground = self.ground[here]
        maps = {"input": self.mine[here], "inventory": self.other[here]}
        row |= {f"{title}_t": float(np.sum(density * ground)) / 1e6 for title, density in maps.items()}
        row |= inventories.errors(maps["input"], maps["inventory"])
        if row["inventory_t"]:
            row["bias_pct"] = 100 * (row["input_t"] / row["inventory_t"] - 1)
        row["ssim"] = inventories.ssim(*(np.where(here, density, np.nan) for density in (self.mine, self.other)))
        for title, density in maps.items():
            found = inventories.concentration(density * ground, ground)
            row |= {f"gini_{title}": found["gini"], f"top10_{title}_pct": 100 * found["top_share"]}
        return row


def _compared(run: Run, maps, common: rasters.Grid, source, name_field) -> Compared:
    areas = common.cell_areas()
    ground = np.minimum(np.minimum(maps[0][1], maps[1][1]), areas)
    names, region = [_WHOLE], np.zeros(common.shape, dtype=np.int32)
    if source is not None:
        frame = layers.read_layer(source, "regions", run, kind="polygon")
        names = region_names(frame, name_field)
        frame = rasters.on_grid(frame, common, "regions")
        region = np.concatenate([rasters.label(frame, common, window) for window in common.windows()])
    compared = (ground >= _COVERED * areas) & (region >= 0)
    if not compared.any():
        raise InputError(
            "inventory",
            "no cell of the common grid has data of both maps" + (" in a region" if source is not None else ""),
            "Check the extents and the nodata values of both rasters",
        )
    densities = []
    for name, (total, covered) in zip(("The input", "The inventory"), maps):
        density = np.divide(total, covered, out=np.full(common.shape, np.nan), where=covered > 0) * 1e6
        densities.append(np.where(compared, density, np.nan))
        left_out = float(np.nansum(total)) - float(np.nansum(densities[-1] * ground)) / 1e6
        run.info(f"{name} has {max(left_out, 0):,.2f} t more on the common grid, beyond the ground that is compared.")
    region = np.where(compared, region, -1)
    return Compared(common, *densities, np.where(compared, ground, 0.0), region, names)


def _warn_of_units(run: Run, row: pd.Series) -> None:
    ratio = row["input_t"] / row["inventory_t"] if row["inventory_t"] else np.inf
    if not 1 / _PLAUSIBLE < ratio < _PLAUSIBLE:
        run.warning(f"The input holds {ratio:,.3g} times as much as the inventory: check the units of both.")


def _built_up(run: Run, mine, other, land_cover, classes, compared: Compared, stack: ExitStack) -> pd.DataFrame:
    """Share of built-up land in both maps, on the grid of the land cover, over the ground that is compared."""
    codes, names = landcover.class_codes(classes)
    if _BUILT_UP not in names:
        raise InputError(
            "classes", f"no code has the class '{_BUILT_UP}'", f"Give the codes of towns the class '{_BUILT_UP}'"
        )
    built = [code for code, place in codes.items() if names[place] == _BUILT_UP]
    cover = stack.enter_context(rasters.open_band(land_cover, "land_cover", run))
    on_cover = [rasters.resampled(raster, cover.grid, "sum") for raster in (mine, other)]
    region_of = rasters.resampled(_Held(compared), cover.grid, "nearest")
    count = len(compared.names)
    sums = np.zeros((2, 2, count))  # map, all or built-up, region
    progress = run.part(0.6, 0.75)
    for number, window in enumerate(windows := cover.grid.windows()):
        progress(number / len(windows), "Summing over the land cover")
        region = region_of.read(window)
        values = [raster.read(window) for raster in on_cover]
        code = cover.read(window)
        known = (region >= 0) & np.isfinite(values[0]) & np.isfinite(values[1]) & np.isfinite(code)
        at, town = region[known].astype(int), np.isin(code[known], built)
        for place, value in enumerate(values):
            sums[place, 0] += np.bincount(at, value[known], count)
            sums[place, 1] += np.bincount(at[town], value[known][town], count)
    if not sums[:, 0].any():
        raise InputError("land_cover", "it does not overlap the two maps", "Check its CRS and extent")
    if count > 1 or compared.names != [_WHOLE]:
        sums = np.concatenate([sums, sums.sum(axis=2, keepdims=True)], axis=2)
    share = 100 * np.divide(sums[:, 1], sums[:, 0], out=np.full(sums[:, 1].shape, np.nan), where=sums[:, 0] > 0)
    titles = [*compared.names, _WHOLE][: share.shape[1]]
    return pd.DataFrame({"region": titles, "built_up_input_pct": share[0], "built_up_inventory_pct": share[1]})


class _Held:
    """The regions of the common grid as a raster."""

    name = parameter = "regions"
    quantity, unit = "class", "1"

    def __init__(self, compared: Compared):
        self.grid, self._region = compared.grid, compared.region.astype(float)

    def read(self, window: Window) -> np.ndarray:
        rows, columns = window.toslices()
        return self._region[rows, columns]


def _write(run: Run, path, compared: Compared) -> None:
    with rasters.create(
        run,
        path,
        compared.grid,
        unit="t CO2/km2",
        quantity="density",
        description="input minus inventory, t CO2 per km2 and year",
    ) as writer:
        for window in compared.grid.windows():
            writer.write(window, compared.difference[window.toslices()])


def _summary(row: pd.Series, mine: str, other: str) -> str:
    text = (
        f"On {row['cells']:,} cells of common ground {mine} has {row['input_t']:,.2f} t CO2 and {other} "
        f"{row['inventory_t']:,.2f} t, a bias of {row['bias_pct']:+.2f} %; RMSE {row['rmse']:,.4g} t/km2, "
        f"r {row['r']:.3f}, SSIM {row['ssim']:.3f}; the densest 10 % of the ground hold {row['top10_input_pct']:.1f} "
        f"against {row['top10_inventory_pct']:.1f} %"
    )
    if "built_up_input_pct" in row:
        text += f", built-up land {row['built_up_input_pct']:.1f} against {row['built_up_inventory_pct']:.1f} %"
    return f"{text}."
