"""Job ``spreadoverlanduse``: totals of districts, part by part, on the cells of each part's land."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from rasterio.windows import Window

from ..core import accounting, checks, spreading, units
from ..core.breaks import readable_breaks
from ..core.errors import InputError
from ..core.landuse import PARTS, overlapping_pairs, true_areas
from ..core.ledger import sentence
from . import executors, layers, rasters
from .landuse import CACHE_MB
from .run import Run

# The value that a class raster has for each part.
CODES = {part: number + 1 for number, part in enumerate(PARTS)}
QUANTITIES = ("density", "total")

_DATA = Path(__file__).resolve().parents[1] / "data"
_MOST_LISTED = 5
# Shares of a cell, and their sum, may be this much off by rounding.
_ROUNDING = 1e-5
# A district of which the raster covers less than this is told.
_COVERED = 0.999
# Cells per side of a window, a multiple of the blocks that rasters are written in; cells of a land that is kept.
_SIDE, _MOST_KEPT = 1024, 16_000_000
# Windows that are worked on at a time, beside the one that is written; each takes some 100 MB.
_THREADS = 2
# Values of a window that the breaks of a map are made of.
_SAMPLE = 5_000
_PER_HECTARE = 1e4


def spread_over_land_use(
    run: Run,
    *,
    land,
    districts,
    totals,
    output: str,
    region_field: str | None = None,
    name_field: str | None = None,
    share_field: str | None = None,
    totals_region_field: str = "region",
    totals_field: str = "gross_t",
    totals_unit: str = "t",
    parts_table=None,
    weight=None,
    weight_quantity: str = "density",
    weighted_parts: list[str] = ("industry", "city", "rural"),
    fallbacks: list[str] = spreading.FALLBACKS,
    intensity: str | None = None,
    industry: str | None = None,
    city: str | None = None,
    agriculture: str | None = None,
    rural: str | None = None,
    industry_intensity: str | None = None,
    city_intensity: str | None = None,
    agriculture_intensity: str | None = None,
    rural_intensity: str | None = None,
    districts_output: str | None = None,
    ledger: str | None = None,
) -> dict:
    """Spread each part's tonnes over its land in each district, cell by cell; t CO2e per year.

    Parameters
    ----------
    land : emission land: a raster with a band per part (industry, city, agriculture, rural: shares of the cell's area,
        0 to 1, found by the bands' descriptions), or one band of classes 1 to 4 in that order, 0 elsewhere.
    districts : polygons. A cell belongs to the district that holds its centre, to the first where they overlap.
    totals : table with a row per region and sector (region, sector, amount), or a row per region and a column per part,
        where a column ``total`` is checked against the parts. Regions blank throughout: one total for all districts.
    output : raster of the sum of the parts, t per cell: 0 where a district emits nothing, no data outside.
    region_field : field of the districts that the totals' regions refer to; several districts may share a region.
        Without it the field named as in the totals.
    name_field : field that names the districts in messages and the ledger; without it the region field.
    share_field : numeric field (population, GDP) by which a region's total is first divided over its districts;
        without it the total spreads over the region's land as a whole.
    totals_region_field, totals_field, totals_unit : fields of the totals with the region and, in a table by sector, the
        amount; and the amounts' unit.
    parts_table : table with sector and part, where the totals' sectors are not those of the Nanjing scheme.
    weight : raster by which parts spread in proportion, evenly where it is zero on all of a part's land.
    weight_quantity : ``density`` (per area, such as night lights) or ``total`` (per cell, such as persons).
    weighted_parts : parts that spread by the weight.
    fallbacks : what to do, in this order, with a part that has emissions but no land in a region: ``emission land of
        the district`` (evenly over the land of all parts), ``whole district``. Left out, the tonnes stay unallocated.
    intensity : raster of the sum, t per ha of the whole cell.
    industry, city, agriculture, rural : rasters of the parts, t per cell.
    industry_intensity, city_intensity, agriculture_intensity, rural_intensity : rasters of the parts, t per ha.
    districts_output : the districts with the tonnes that their cells hold: a field ``<part>_t`` and ``<part>_ha`` per
        part, gross_t, fallback_t (of it without land of its own), area_m2 and intensity_t_ha.
    ledger : path of the ledger: region, part, tonnes in, allocated, by fallback, unallocated, land and basis.
    """
    run.progress(0.0, "Reading")
    checks.one_of(weight_quantity, QUANTITIES, "weight_quantity")
    for chosen, known, parameter in (
        (weighted_parts, PARTS, "weighted_parts"),
        (fallbacks, spreading.FALLBACKS, "fallbacks"),
    ):
        for one in chosen:
            checks.one_of(one, known, parameter)
    everywhere = layers.read_layer(districts, "districts", run, "polygon", exact=districts_output is not None)
    table = read_totals(run, totals, totals_region_field, totals_field, totals_unit, parts_table)
    if not table.to_numpy().any():
        raise InputError("totals", "all amounts are zero", f"Choose the field with the emissions, not '{totals_field}'")
    region = _region_of(everywhere, table, region_field, totals_region_field)
    known = _known(run, region, table)
    frame = everywhere[known].reset_index(drop=True)
    chosen = _units(frame, region[known], table, name_field, share_field)
    weighted_parts = weighted_parts if weight is not None else []
    staged = _staged(
        run,
        (output, industry, city, agriculture, rural),
        (intensity, industry_intensity, city_intensity, agriculture_intensity, rural_intensity),
    )
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_MB, GDAL_NUM_THREADS="ALL_CPUS"))
        source = LandSource(stack, land, run)
        density = stack.enter_context(rasters.open_band(weight, "weight", run)) if weight is not None else None
        pool = stack.enter_context(executors.pool(threads=_THREADS))
        polygons = rasters.on_grid(frame[["geometry"]], source.grid, "districts")
        tiles = _Tiles(pool, source, polygons, density, weight_quantity)

        def measure(tile):
            return spreading.measure(tile, len(frame))

        held = tiles.each(measure, run.part(0.02, 0.4), "Measuring the land")
        by_district = reduce(add, (land for _, land in held))
        of_units = by_district.per_region(chosen.of_district, len(chosen.names))
        _check_ground(run, tiles, chosen, by_district, of_units)
        plan = spreading.plan(chosen.tonnes, of_units, weighted_parts, fallbacks)
        _tell(run, chosen, plan, weighted_parts, tiles)
        sums, samples = _write(run, tiles, plan, chosen, staged)
    allocated = np.array([np.bincount(chosen.of_district, row, len(chosen.names)) for row in sums])
    closed = spreading.balance(chosen.names, chosen.tonnes, allocated, of_units, plan)
    styles = {name: _style(samples[name], raster.per_hectare) for name, raster in staged.items()}
    if districts_output:
        by_fallback = np.isin(plan.basis, spreading.FALLBACKS)[:, chosen.of_district]
        made = _columns(sums, by_district, by_fallback).set_index(np.flatnonzero(known)).reindex(everywhere.index)
        made = layers.with_columns(everywhere, dict(made), "districts", run)
        layers.write_layer(made, run.stage(districts_output, "districts_output"))
        styles["districts_output"] = _district_style(made["gross_t"])
    if ledger:
        layers.write_layer(closed, run.stage(ledger, "ledger"))
    run.progress(1.0)
    parts = closed.groupby("part")["in_t"].sum()
    shares = ", ".join(f"{part} {100 * parts.get(part, 0.0) / parts.sum():.2f} %" for part in PARTS)
    return {
        "summary": f"{sentence(closed)} Shares: {shares}.",
        "styles": styles,
        "total_t": float(closed["in_t"].sum()),
        "allocated_t": float(closed["allocated_t"].sum()),
        "fallback_t": float(closed["fallback_t"].sum()),
        "unallocated_t": float(closed["unallocated_t"].sum()),
        "relative_error": float(closed["relative_error"].abs().max()),
    }


# Totals ---------------------------------------------------------------------------------------------------------------


def read_totals(run: Run, source, region_field: str, amount_field: str, unit: str, parts_table) -> pd.DataFrame:
    """Totals by region (index, text; '' for all districts) and part (columns), in t; see ``spread_over_land_use``."""
    scale = units.factor(unit, "t", "totals_unit")
    parts = parts_of_sectors(parts_table)
    table = layers.read_table(source, "totals")
    table.columns = table.columns.astype(str)
    sector = next((name for name in table if name.strip().casefold() == "sector"), None)
    if region_field in table:
        region = layers.keys(table[region_field])
    elif region_field == "region":
        region = pd.Series("", index=table.index)
    else:
        layers.require_fields(table.columns, [region_field], "totals_region_field")
    _refuse_years(table)
    if region.eq("").any() and not region.eq("").all():
        raise InputError(
            "totals",
            f"row {int(np.flatnonzero(region == '')[0]) + 1} names no region, but others do",
            "Name the region in every row, or in none where the totals are those of all districts together",
        )
    if sector is not None:
        rows = pd.DataFrame({"region": region, "sector": layers.keys(table[sector])})
        rows["amount"] = layers.numbers(table, amount_field, "totals")
        if region_field not in table and rows["sector"].duplicated().any():
            run.warning(
                f"totals: without a field '{region_field}' all rows of a sector are added up, and the sums spread over "
                "all districts together."
            )
    else:
        rows = _by_column(run, table.drop(columns=region_field, errors="ignore"), region, parts)
        if region_field not in table and len(table) > 1:
            raise InputError(
                "totals",
                f"it has {len(table):,} rows of totals but no field '{region_field}' that says of which regions",
                f"Choose the field with the regions' names (totals_region_field) among {', '.join(table)}",
            )
    return spreading.tonnes_by_part(rows, parts) * scale


def _refuse_years(table: pd.DataFrame) -> None:
    """Refuse totals of several years, which would be added up."""
    for name in table:
        years = layers.keys(table[name]).unique() if name.strip().casefold() == "year" else []
        if len(years) > 1:
            raise InputError(
                "totals", f"they are of several years ({_listed(years)})", "Choose the rows of one year, by a filter"
            )


def parts_of_sectors(source) -> dict[str, str]:
    """Sector, in lower case, -> part: the built-in ones and the user's."""
    built_in = pd.read_csv(_DATA / "parts_of_sectors.csv")
    parts = dict(zip(built_in["sector"], built_in["part"]))
    if source is None:
        return parts
    table = layers.read_table(source, "parts_table")
    layers.require_fields(table.columns, ["sector", "part"], "parts_table")
    own = dict(zip(layers.keys(table["sector"]).str.casefold(), layers.keys(table["part"]).str.casefold()))
    for part in own.values():
        if part not in PARTS:
            raise InputError("parts_table", f"the part '{part}' is unknown", f"Use one of {', '.join(PARTS)}")
    return parts | own


def _by_column(run: Run, table: pd.DataFrame, region: pd.Series, parts: dict[str, str]) -> pd.DataFrame:
    """Rows of a table that has a column per part; a column of printed totals is checked."""
    columns = [name for name in table if name.strip().casefold() in parts]
    if not columns:
        raise InputError(
            "totals",
            f"it has neither a field 'sector' nor one for a part (its other fields are {', '.join(table)})",
            f"Give a row per sector, or columns named {', '.join(PARTS)}",
        )
    rows = pd.concat(
        [
            pd.DataFrame({"region": region, "sector": name.strip(), "amount": layers.numbers(table, name, "totals")})
            for name in columns
        ]
    )
    printed = next((name for name in table if name.strip().casefold() == "total"), None)
    if printed is not None:
        total = pd.Series(layers.numbers(table, printed, "totals", missing=True), index=table.index)
        checked = accounting.row_sum_check(rows.assign(total=total.loc[rows.index]), "amount", "total", ["region"])
        for row in checked[checked["faulty"]].itertuples():
            run.warning(
                f"totals: the parts of {row.region or 'the whole'} add up to {row.sum:,.10g}, but the printed total is "
                f"{row.printed:,.10g}, which rounding cannot explain; the parts are used."
            )
    return rows


def _region_of(frame: pd.DataFrame, table: pd.DataFrame, region_field: str | None, default: str) -> pd.Series:
    """Each district's region as in the totals."""
    if list(table.index) == [""]:
        return pd.Series("", index=frame.index)
    if region_field is None and default not in frame:
        raise InputError(
            "region_field",
            f"the totals name regions, for example '{table.index[0]}', but no field of the districts is chosen",
            f"Choose the field that holds these names among {', '.join(frame.columns.drop('geometry'))}",
        )
    layers.require_fields(frame.columns, [region_field or default], "region_field")
    return layers.keys(frame[region_field or default])


def _known(run: Run, region: pd.Series, table: pd.DataFrame) -> np.ndarray:
    """Which districts have totals; totals of unknown districts are refused, districts without totals are told."""
    unknown = [name for name in table.index[table.sum(axis=1) > 0] if name not in set(region)]
    if unknown:
        raise InputError(
            "totals",
            f"no district is named {_listed(unknown)}",
            f"Correct the names; the districts' are {_listed(sorted(region.unique()), 20)}",
        )
    known = region.isin(table.index).to_numpy()
    if not known.all():
        run.warning(
            f"districts: {np.count_nonzero(~known):,} of {len(known):,} have no totals and get no data: "
            f"{_listed(region[~known].unique())}."
        )
    return known


def _listed(names, most: int = _MOST_LISTED) -> str:
    names = [f"'{name}'" for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


@dataclass(frozen=True)
class _Units:
    """What a total spreads over evenly: regions, or districts where regions are first divided over them.

    names; tonnes : (parts, units); of_district : each district's unit; districts : names of the districts.
    """

    names: list[str]
    tonnes: np.ndarray
    of_district: np.ndarray
    districts: list[str]


def _units(
    frame: pd.DataFrame, region: pd.Series, table: pd.DataFrame, name_field: str | None, share_field: str | None
) -> _Units:
    names = [name for name in table.index if name in set(region)]
    number = pd.Index(names).get_indexer(region)
    tonnes = table.loc[names].to_numpy().T
    if name_field:
        layers.require_fields(frame.columns, [name_field], "name_field")
        districts = layers.keys(frame[name_field]).tolist()
    else:
        rows = [str(row + 1) for row in range(len(frame))]
        districts = (
            region.tolist() if region.is_unique else [f"{name} {row}".strip() for name, row in zip(region, rows)]
        )
    if share_field is None:
        return _Units([name or "all districts" for name in names], tonnes, number, districts)
    weight = layers.numbers(frame, share_field, "share_field")
    empty = np.bincount(number, weight, len(names)) == 0
    if (empty & (tonnes.sum(axis=0) > 0)).any():
        raise InputError(
            "share_field",
            f"'{share_field}' is zero in all districts of '{np.array(names, object)[empty][0]}'",
            "Choose another field, or none",
        )
    return _Units(districts, spreading.share_out(tonnes, weight, number), np.arange(len(frame)), districts)


# Land -----------------------------------------------------------------------------------------------------------------


class LandSource:
    """Emission land in a file: a band per part, or one band of classes.

    Parameters
    ----------
    stack : closes the file.
    source, run : see ``layers`` and ``Run``.
    """

    def __init__(self, stack: ExitStack, source, run: Run):
        dataset, _ = layers.open_raster(source, "land")
        with dataset:
            named = [part for part in PARTS if part in dataset.descriptions]
            if not named and dataset.count > 1:
                raise InputError(
                    "land",
                    f"none of its {dataset.count} bands is described as {', '.join(PARTS)}",
                    "Choose the result of Delineate emission land, or describe the bands",
                )
        self._shares = {part: stack.enter_context(rasters.open_band(source, "land", band=part)) for part in named}
        self._classes = None if named else stack.enter_context(rasters.open_band(source, "land"))
        self.grid = (self._classes or self._shares[named[0]]).grid

    def read(self, window: Window) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each part the places of the cells in a window that hold some of its land, and their shares."""
        if self._classes is not None:
            return self._of_classes(window)
        whole, result = np.zeros(window.height * window.width), []
        for part in PARTS:
            share = self._shares[part].read(window).ravel() if part in self._shares else np.zeros(0)
            places = np.flatnonzero(share > 0)
            if (share < 0).any():
                self._refuse(share[share < 0].min())
            whole[places] += share[places]
            result.append((places, share[places].astype(np.float32)))
        if whole.max() > 1 + _ROUNDING:
            self._refuse(whole.max())
        return result

    def _refuse(self, share: float) -> None:
        raise InputError(
            "land",
            f"the parts' shares of a cell are, or add up to, {share:g}",
            "Give shares of the cell's area, from 0 up and at most 1 together",
        )

    def _of_classes(self, window: Window) -> list[tuple[np.ndarray, np.ndarray]]:
        values = self._classes.read(window).ravel()
        wrong = ~(np.isin(values, [0, *CODES.values()]) | np.isnan(values))
        if wrong.any():
            raise InputError(
                "land",
                f"the value {values[wrong][0]:g} is no part of emission land",
                f"Use 0 for none and {', '.join(f'{code} for {part}' for part, code in CODES.items())}; Delineate "
                "emission land makes such a raster of land-use classes",
            )
        places = [np.flatnonzero(values == code) for code in CODES.values()]
        return [(cells, np.ones(len(cells), np.float32)) for cells in places]


class _Tiles:
    """The windows of the land with all that spreading needs; those of a small land are kept from one look to the next.

    Parameters
    ----------
    pool : where they are worked on.
    source : of the land; polygons : the districts, in its CRS.
    weight, quantity : a raster or None, and whether it is a density or a total.
    """

    def __init__(self, pool: executors.Pool, source: LandSource, polygons: gpd.GeoDataFrame, weight, quantity: str):
        self.grid = source.grid
        self.polygons = polygons
        self._pool, self._source, self._quantity = pool, source, quantity
        how = "sum" if quantity == "total" else "average"
        self._weight = rasters.resampled(weight, self.grid, how) if weight is not None else None
        self._windows = self.grid.blocks(_SIDE)
        self._keeps, self._kept = self.grid.width * self.grid.height <= _MOST_KEPT, {}
        # Cells with a negative weight, and cells of land without one, by window.
        self._odd = {}

    @property
    def odd_weights(self) -> tuple[int, int]:
        """Cells with a negative weight, and cells of land (part by part) without any."""
        return tuple(np.sum(list(self._odd.values()), axis=0, dtype=int)) if self._odd else (0, 0)

    def each(self, work: Callable[[spreading.Tile], Any], progress, text: str) -> Iterator[tuple[Window, Any]]:
        """Windows in order, and what ``work``, on threads, makes of their tiles."""
        made = self._pool.map(lambda number: work(self._tile(number)), ((n,) for n in range(len(self._windows))))
        for number, result in enumerate(made):
            progress(number / len(self._windows), text)
            yield self._windows[number], result

    def _tile(self, number: int) -> spreading.Tile:
        if number in self._kept:
            return self._kept[number]
        tile = self._read(self._windows[number])
        if self._keeps:
            self._kept[number] = tile
        return tile

    def _read(self, window: Window) -> spreading.Tile:
        district = rasters.label(self.polygons, self.grid, window)
        area = self.grid.cell_areas(window)
        land = self._source.read(window)
        density = None
        if self._weight is not None:
            values = self._weight.read(window)
            negative = np.count_nonzero(values < 0)
            values = (values / area if self._quantity == "total" else values).ravel()
            density = [values[places] for places, _ in land]
            self._odd[window.flatten()] = negative, sum(np.count_nonzero(np.isnan(part)) for part in density)
        return spreading.Tile(district, area, land, density)


def tell_of_borders(
    run: Run, polygons: gpd.GeoDataFrame, names: list[str], grid: rasters.Grid, raster: str, outcome: str
) -> None:
    """Warn of districts that a raster does not cover, and of districts that overlap.

    polygons : in the CRS of the raster's grid; names : of the polygons; raster : its parameter; outcome : what it means
        that a district is covered in part.
    """
    shapes = np.asarray(polygons.geometry.array)
    inside = shapely.area(shapely.intersection(shapes, shapely.box(*grid.bounds)))
    covered = inside / np.maximum(shapely.area(shapes), np.finfo(float).tiny)
    short = np.flatnonzero(covered < _COVERED)
    if len(short):
        row = short[np.argmin(covered[short])]
        run.warning(
            f"{raster}: the raster covers only a part of {len(short):,} districts (least of {names[row]}: "
            f"{100 * covered[row]:.1f} %); {outcome}."
        )
    pairs = overlapping_pairs(shapes, grid.crs)
    pairs = pairs[pairs["area_m2"] > _ROUNDING * true_areas(shapes, grid.crs).max()]
    if len(pairs):
        most = pairs.loc[pairs["area_m2"].idxmax()]
        first, second = names[int(most["first"])], names[int(most["second"])]
        run.warning(
            f"districts: {len(pairs):,} pairs overlap, {pairs['area_m2'].sum():,.0f} m2 in all (most: {first} and "
            f"{second}, {most['area_m2']:,.0f} m2); their cells count to the first of the two."
        )


def _check_ground(
    run: Run, tiles: _Tiles, chosen: _Units, by_district: spreading.Land, of_units: spreading.Land
) -> None:
    """Refuse tonnes that have no cell at all; tell of districts that the raster does not cover, and of overlaps."""
    homeless = (of_units.ground == 0) & (chosen.tonnes.sum(axis=0) > 0)
    if homeless.any():
        raise InputError(
            "districts",
            f"no cell of the land has its centre in {_listed(np.array(chosen.names, object)[homeless])}, which has "
            "emissions",
            "Choose a raster that covers all districts, with cells smaller than they are; a district that lies under "
            "another has no cells of its own",
        )
    outcome = "all their tonnes lie on that part"
    tell_of_borders(run, tiles.polygons, chosen.districts, tiles.grid, "land", outcome)
    outside = by_district.outside.sum()
    if outside > 0:
        whole = outside + by_district.area.sum()
        run.info(
            f"{outside / 1e4:,.1f} ha of emission land ({100 * outside / whole:.2f} %) lie in no district with totals "
            "and receive nothing."
        )


def _tell(run: Run, chosen: _Units, plan: spreading.Plan, weighted_parts, tiles: _Tiles) -> None:
    """Warn of fallbacks, of tonnes left over and of weights that could not be used."""
    negative, unknown = tiles.odd_weights
    if negative:
        run.warning(f"weight: {negative:,} cells are negative and count as zero.")
    if unknown:
        run.info(f"weight: {unknown:,} cells of land have none and count as zero, as far as their part is weighted.")
    for number, part in enumerate(PARTS):
        tonnes = chosen.tonnes[number]
        for basis in (*spreading.FALLBACKS, spreading.NOWHERE):
            here = plan.basis[number] == basis
            if here.any():
                where = "stay unallocated" if basis == spreading.NOWHERE else f"went to the {basis}"
                run.warning(
                    f"No {part} land in {_listed(np.array(chosen.names, object)[here])}: {tonnes[here].sum():,.2f} t "
                    f"{where}."
                )
        if part in weighted_parts:
            even = (plan.basis[number] == spreading.EVEN) & (tonnes > 0)
            if even.any():
                run.warning(
                    f"weight: it is zero on all {part} land of {_listed(np.array(chosen.names, object)[even])}, whose "
                    f"{tonnes[even].sum():,.2f} t are spread evenly."
                )


# Results --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Output:
    """A raster to write: a part or the sum (None), as t per cell or per hectare."""

    part: str | None
    per_hectare: bool
    path: Path

    def values(self, tonnes: dict[str | None, np.ndarray], area: np.ndarray) -> np.ndarray:
        """The cells of a window, of their tonnes by part (None for the sum) and their areas in m2."""
        return tonnes[self.part] / area * _PER_HECTARE if self.per_hectare else tonnes[self.part]

    @property
    def unit(self) -> str:
        return "t CO2e/ha" if self.per_hectare else "t CO2e"

    @property
    def description(self) -> str:
        return f"{self.part or 'all'} emissions, {'t CO2e per ha' if self.per_hectare else 't CO2e per cell'}"


def _staged(run: Run, totals, densities) -> dict[str, _Output]:
    """Outputs that are asked for, by argument; each tuple holds the paths of the sum and of the parts."""
    wanted = {"output": (None, False, totals[0]), "intensity": (None, True, densities[0])}
    for part, total, density in zip(PARTS, totals[1:], densities[1:]):
        wanted |= {part: (part, False, total), f"{part}_intensity": (part, True, density)}
    return {
        name: _Output(part, per_hectare, run.stage(path, name))
        for name, (part, per_hectare, path) in wanted.items()
        if path
    }


def _write(run: Run, tiles: _Tiles, plan: spreading.Plan, chosen: _Units, staged: dict[str, _Output]):
    """Write all rasters; the sums of the cells, (parts, districts), and a sample of each raster's values."""
    sums = np.zeros((len(PARTS), len(chosen.of_district) + 1))
    samples = {name: [] for name in staged}
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(
                rasters.create(
                    run,
                    raster.path,
                    tiles.grid,
                    unit=raster.unit,
                    quantity="density" if raster.per_hectare else "total",
                    description=raster.description,
                )
            )
            for name, raster in staged.items()
        }

        def spread(tile):
            tonnes = spreading.spread(tile, plan, chosen.of_district)
            place = tile.district.ravel() + 1
            # Outside all districts, at place 0, there are no data.
            held = [np.bincount(place, cells.ravel(), sums.shape[1]) for cells in tonnes]
            by_part = dict(zip(PARTS, tonnes)) | {None: tonnes.sum(axis=0)}
            values = {name: raster.values(by_part, tile.area) for name, raster in staged.items()}
            return held, values, {name: _sample(cells) for name, cells in values.items()}

        for window, (held, values, sample) in tiles.each(spread, run.part(0.4, 0.97), "Spreading"):
            sums += held
            for name in staged:
                writers[name].write(window, values[name])
                samples[name].append(sample[name])
    return sums[:, 1:], {name: np.concatenate(parts) for name, parts in samples.items()}


def _sample(values: np.ndarray) -> np.ndarray:
    """Some of the positive values of a window."""
    positive = values[values > 0]
    return positive[:: max(1, len(positive) // _SAMPLE)].copy()  # a view would keep all of them


def _columns(sums: np.ndarray, land: spreading.Land, by_fallback: np.ndarray) -> pd.DataFrame:
    """What the districts' cells hold: tonnes and hectares of each part, and all; ``by_fallback`` (parts, districts)."""
    columns = {f"{part}_t": row for part, row in zip(PARTS, sums)}
    columns["gross_t"] = sums.sum(axis=0)
    columns["fallback_t"] = (sums * by_fallback).sum(axis=0)
    columns |= {f"{part}_ha": row / _PER_HECTARE for part, row in zip(PARTS, land.area)}
    columns["area_m2"] = land.ground
    columns["intensity_t_ha"] = columns["gross_t"] / np.where(land.ground > 0, land.ground, np.nan) * _PER_HECTARE
    return pd.DataFrame(columns)


def _style(values: np.ndarray, per_hectare: bool) -> dict:
    unit = "t CO2e/ha" if per_hectare else "t CO2e per cell"
    style = {"kind": "raster", "unit": unit, "breaks": readable_breaks(values), "ramp": "emission"}
    return style | {"zero": "no emissions"}


def _district_style(values: pd.Series) -> dict:
    style = {"kind": "graduated", "field": "gross_t", "unit": "t CO2e", "ramp": "emission", "outline": 0.3}
    return style | {"breaks": readable_breaks(values, 5)}
