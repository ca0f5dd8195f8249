"""Job ``delineateemissionland``: the land of industry, city, agriculture and rural living, none of it counted twice."""

import math
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import rasterio
import rasterio.features
import shapely
from rasterio.windows import Window

from ..core import checks, landuse
from ..core.errors import InputError, MassError
from ..core.landuse import NAMES, PARTS
from . import executors, layers, rasters
from .run import Run

SCHEMES = ("resdc", "worldcover", "igbp")
COLOURS = {
    "industry": "#8c5a2b",
    "city": "#d73027",
    "agriculture": "#e6d96b",
    "rural": "#f4a259",
    "none": "#eeeeea",
}
NODATA = 255
_TITLES = {
    "industry": "industry",
    "city": "city",
    "agriculture": "agriculture",
    "rural": "rural living",
    "none": "no emission land",
}

_DATA = Path(__file__).resolve().parents[1] / "data"
_MOST_LISTED = 5
# A finer raster is looked at in at most so many cells a side of each land-use cell.
_FINEST = 16
CACHE_MB = 128
# Cells of a strip, and strips that are overlaid at a time, beside the one that is written.
_CELLS, _THREADS = 1_000_000, 2
# Error of areas that is rounding: shapes and cells are measured apart.
_ROUNDING = 1e-4
_SHARES = [0.0, 0.1, 0.25, 0.5, 0.75, 1.0]


def delineate_emission_land(
    run: Run,
    *,
    land_use,
    output: str,
    classes: str = "resdc",
    class_table=None,
    parks=None,
    park_name_field: str | None = None,
    enterprises=None,
    buffer_m: float = 15.0,
    land_mask=None,
    spare_water: bool = False,
    finer=None,
    finer_classes: str = "worldcover",
    finer_class_table=None,
    minimum_patch_ha: float = 0.0,
    cells: str = "fractions",
    class_map: str | None = None,
    ledger: str | None = None,
    overlaps: str | None = None,
) -> dict:
    """Find the land of the four parts of a city's emissions from land-use classes, parks and enterprises' surroundings.

    land_use : raster of land-use classes, in any CRS; its first band holds the codes.
    output : raster of four bands, industry, city, agriculture and rural: the fraction of each cell's area.
    classes : what the codes mean: resdc (CAS/RESDC), worldcover (ESA WorldCover) or igbp (MCD12Q1).
    class_table : table in place of classes: code, part (industry, city, agriculture, rural or none) and, if wanted,
        name and ground (land or water).
    parks : polygons of industrial parks; their ground is industry whatever the raster says.
    park_name_field : field that names the parks in the table of overlaps; None takes their row numbers.
    enterprises : points; the ground around them is industry, except what parks have already.
    buffer_m : radius of the enterprises' surroundings in metres on the ground.
    land_mask : polygons outside which enterprises' surroundings are cut away.
    spare_water : leave classes that are water to the water, even near enterprises.
    finer : raster of land-use classes with smaller cells, which divides the cells that are city.
    finer_classes : what its codes mean, as classes.
    finer_class_table : table in place of finer_classes.
    minimum_patch_ha : patches of one part that are smaller take the part of their largest neighbour.
    cells : fractions divides every cell by area; whole gives a cell to industry where its centre is in a park or
        near an enterprise.
    class_map : raster of the part with the largest fraction: 0 none, 1 industry, 2 city, 3 agriculture, 4 rural.
    ledger : table of areas: what each source drew, lost to others and contributed, in m2.
    overlaps : table of all overlaps in m2, pair by pair.
    """
    checks.one_of(cells, landuse.CELLS, "cells")
    if not buffer_m > 0 or not np.isfinite(buffer_m):
        raise InputError("buffer_m", f"{buffer_m:g} is not a positive number", "Give the radius in metres, such as 15")
    checks.at_least(minimum_patch_ha, 0, "minimum_patch_ha")
    table = read_classes(classes, class_table, "classes", "class_table")
    finer_table = (
        read_classes(finer_classes, finer_class_table, "finer_classes", "finer_class_table") if finer else None
    )
    outputs = {"output": output, "class_map": class_map, "ledger": ledger, "overlaps": overlaps}
    staged = {name: run.stage(path, name) for name, path in outputs.items() if path}
    with (
        rasterio.Env(GDAL_CACHEMAX=CACHE_MB, GDAL_NUM_THREADS="ALL_CPUS"),
        rasters.open_band(land_use, "land_use", run) as raster,
    ):
        check_nodata(raster, table)
        run.progress(0.0, "Reading parks and enterprises")
        park = _read_parks(run, parks, park_name_field, raster.grid)
        run.progress(0.05, "Drawing the surroundings of enterprises")
        near = _read_enterprises(run, enterprises, buffer_m, land_mask, park, raster.grid)
        if cells == "whole":
            _warn_of_coarse_cells(run, raster.grid, buffer_m, near)
        overlay = landuse.Overlay(
            table, park.shapes, near.shapes, raster.grid.transform, cells == "whole", bool(spare_water)
        )
        patches = _merged_patches(run, raster, table, minimum_patch_ha) if minimum_patch_ha else None
        with _Divider(finer, finer_table, raster.grid) if finer else nullcontext() as divider:
            _write(run, raster, overlay, patches, divider, staged)
    areas = overlay.classes_ledger()
    _say_what_is_missing(run, overlay)
    sources = _ledger(overlay, park, near, areas, cells == "fractions")
    pairs = _pairs(overlay, park, near)
    if ledger:
        layers.write_layer(sources, staged["ledger"])
    if overlaps:
        layers.write_layer(pairs, staged["overlaps"])
    return _result(overlay, sources, pairs)


# Reading --------------------------------------------------------------------------------------------------------------


def read_classes(scheme: str, table, scheme_parameter: str, table_parameter: str) -> landuse.Classes:
    """The classes of a user's table, or of a built-in scheme."""
    if table:
        return landuse.Classes.from_table(layers.read_table(table, table_parameter), table_parameter)
    checks.one_of(scheme, SCHEMES, scheme_parameter)
    frame = pd.read_csv(_DATA / f"land_classes_{scheme}.csv", keep_default_na=False)
    return landuse.Classes.from_table(frame, scheme_parameter)


def check_nodata(raster, table: landuse.Classes) -> None:
    """Refuse a raster whose nodata value is one of the classes that matter."""
    match = np.flatnonzero((table.codes == raster.nodata) & (table.parts > 0))
    if len(match):
        raise InputError(
            raster.parameter,
            f"its nodata value {raster.nodata:g} is the code of '{table.names[match[0]]}', so that this class is lost",
            "Unset the nodata value (gdal_edit -unsetnodata) or set another",
        )


@dataclass
class _Claim:
    """Ground that parks or enterprises claim: its shapes on the grid, and what became of all that was drawn, in m2."""

    shapes: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=object))
    features: int = 0
    drawn: float = 0.0
    own_overlap: float = 0.0
    outside: float = 0.0
    off_land: float = 0.0
    to_parks: float = 0.0
    pairs: pd.DataFrame = field(default_factory=pd.DataFrame)


def _read_parks(run: Run, source, name_field: str | None, grid: rasters.Grid) -> _Claim:
    if not source:
        return _Claim()
    frame = layers.read_layer(source, "parks", run, kind="polygon", columns=[name_field] if name_field else [])
    names = layers.keys(frame[name_field]).to_numpy() if name_field else None
    if names is None:
        names = np.array([f"park {row}" for row in range(1, len(frame) + 1)], dtype=object)
    shapes = _valid(np.asarray(rasters.on_grid(frame, grid, "parks").geometry.array))
    pairs = landuse.overlapping_pairs(shapes, grid.crs)
    pairs = pairs.assign(first=names[pairs["first"]], second=names[pairs["second"]])
    drawn = landuse.true_areas(shapes, grid.crs)
    single = landuse.dissolved(shapes)
    areas = landuse.true_areas(single, grid.crs)
    if len(pairs):
        run.warning(
            f"parks: {len(pairs):,} pairs overlap; {drawn.sum() - areas.sum():,.0f} m2 that are drawn more than once "
            "count once."
        )
    return _Claim(
        single, len(frame), drawn.sum(), drawn.sum() - areas.sum(), _outside(single, areas, grid), pairs=pairs
    )


def _read_enterprises(run: Run, source, radius: float, mask, parks: _Claim, grid: rasters.Grid) -> _Claim:
    if not source:
        if mask:
            run.warning("land_mask: it cuts the surroundings of enterprises, and no enterprises were given.")
        return _Claim()
    frame = layers.read_layer(source, "enterprises", run, kind="point", columns=[])
    to_grid = pyproj.Transformer.from_crs(frame.crs, grid.crs, always_xy=True)
    x, y = to_grid.transform(*shapely.get_coordinates(frame.geometry.array).T)
    # A circle that reaches into the raster has its centre no farther than its radius from it.
    steps = np.abs(landuse.ground_steps(grid.crs, *_middle(grid))).sum(axis=-1)[0]
    west, south, east, north = grid.bounds
    reach_x, reach_y = 2 * radius * steps
    near = (x > west - reach_x) & (x < east + reach_x) & (y > south - reach_y) & (y < north + reach_y)
    if not near.any():
        raise InputError(
            "enterprises",
            f"none of {len(x):,} points lies on the raster, whose extent is {west:g}, {south:g}, {east:g}, {north:g} "
            f"in {grid.crs.name}",
            "Check the CRS of both layers",
        )
    if not near.all():
        run.warning(f"enterprises: {np.count_nonzero(~near):,} of {len(x):,} points lie outside the raster.")
    single = landuse.dissolved(landuse.circles(grid.crs, x[near], y[near], radius))
    area = landuse.true_areas(single, grid.crs)
    drawn = len(x) * math.pi * radius**2
    away = np.count_nonzero(~near) * math.pi * radius**2
    claim = _Claim(single, len(x), drawn, drawn - away - area.sum(), away)
    if mask:
        ground = rasters.on_grid(
            layers.read_layer(mask, "land_mask", run, kind="polygon", columns=[]), grid, "land_mask"
        )
        claim.shapes = landuse.within(single, landuse.dissolved(_valid(np.asarray(ground.geometry.array))))
        masked = landuse.true_areas(claim.shapes, grid.crs)
        claim.off_land, area = area.sum() - masked.sum(), masked
    if len(parks.shapes):
        claim.shapes = landuse.without(claim.shapes, parks.shapes)
        free = landuse.true_areas(claim.shapes, grid.crs)
        claim.to_parks, area = area.sum() - free.sum(), free
    claim.outside += _outside(claim.shapes, area, grid)
    return claim


def _valid(shapes: np.ndarray) -> np.ndarray:
    """Polygons that a change of CRS made invalid, repaired."""
    invalid = ~shapely.is_valid(shapes)
    shapes = shapes.copy()
    shapes[invalid] = shapely.make_valid(shapes[invalid], method="structure", keep_collapsed=False)
    return shapes


def _middle(grid: rasters.Grid) -> tuple[np.ndarray, np.ndarray]:
    west, south, east, north = grid.bounds
    return np.array([(west + east) / 2]), np.array([(south + north) / 2])


def _outside(shapes: np.ndarray, areas: np.ndarray, grid: rasters.Grid) -> float:
    """Ground of shapes beyond the edges of a grid, m2."""
    frame = shapely.box(*grid.bounds)
    crossing = ~shapely.covers(frame, shapes)
    inside = landuse.true_areas(landuse.within(shapes[crossing], np.array([frame])), grid.crs)
    return float(max(areas[crossing].sum() - inside.sum(), 0.0))


def _warn_of_coarse_cells(run: Run, grid: rasters.Grid, radius: float, near: _Claim) -> None:
    side = math.sqrt(grid.middle_area)
    if near.features and side > 2 * radius:
        run.warning(
            f"cells: cells of {side:,.0f} m are wider than the surroundings of enterprises ({2 * radius:g} m), most of "
            "which hold no cell's centre and vanish; choose fractions."
        )


def _merged_patches(run: Run, raster, table: landuse.Classes, hectares: float) -> np.ndarray | None:
    """Part of each cell of the whole raster (position in NAMES), where patches below a size took their neighbour's."""
    least = math.ceil(hectares * 1e4 / raster.grid.middle_area - 1e-6)
    if least < 2:
        run.info(f"minimum_patch_ha: every cell is larger than {hectares:g} ha; no patch was merged.")
        return None
    parts = np.zeros(raster.grid.shape, np.uint8)
    known = np.zeros(raster.grid.shape, bool)
    for window in raster.grid.windows():
        run.progress(0.1, "Merging small patches")
        rows = slice(window.row_off, window.row_off + window.height)
        positions = read_positions(raster, window, table)
        known[rows] = positions >= 0
        parts[rows] = np.append(table.parts, 0)[positions]
    merged = rasterio.features.sieve(parts, least, mask=known, connectivity=8)
    # A pond stays a pond: ground becomes no emission land that was none.
    return np.where(parts == 0, 0, merged)


def read_positions(raster, window: Window, table: landuse.Classes) -> np.ndarray:
    """Classes of a window's cells; refuses codes that the table lacks."""
    values = raster.read(window)
    positions = table.positions(values)
    if (positions == -2).any():
        codes, counts = np.unique(values[positions == -2], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:_MOST_LISTED]
        listed = ", ".join(f"{codes[place]:g} ({counts[place]:,} cells)" for place in order)
        more = f" and {len(codes) - _MOST_LISTED} more" if len(codes) > _MOST_LISTED else ""
        raise InputError(
            raster.parameter,
            f"its codes {listed}{more} are not among the classes",
            "Choose the raster's own scheme, give a class table that has them, or set the value that marks cells "
            "without data as its nodata value",
        )
    return positions


class _Divider:
    """A finer raster that says how the cells of city are divided; a context manager."""

    def __init__(self, source, table: landuse.Classes, grid: rasters.Grid):
        self._table = table
        with ExitStack() as stack:
            self._raster = stack.enter_context(rasters.open_band(source, "finer"))
            check_nodata(self._raster, table)
            ratio = math.sqrt(grid.middle_area / self._raster.grid.middle_area)
            if ratio < 1.5:
                raise InputError(
                    "finer",
                    f"its cells are {1 / ratio:.3g} times as wide as those of land_use",
                    "Choose a raster of smaller cells, such as 10 m for 30 m",
                )
            stack.pop_all()
        self._factor = min(math.ceil(ratio - 0.1), _FINEST)
        self._fine = rasters.resampled(self._raster, grid.refined(self._factor), "nearest")

    def __enter__(self) -> "_Divider":
        return self

    def __exit__(self, *_) -> None:
        self._raster.__exit__()

    def shares(self, window: Window, city: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Places of a window's city cells that the finer raster knows, and their shares; None where it has none."""
        rows, columns = (np.flatnonzero(city.any(axis=axis)) for axis in (1, 0))
        if len(rows) == 0:
            return None
        left, width = int(columns[0]), int(columns[-1] - columns[0] + 1)
        many = max(1, 4_000_000 // (width * self._factor**2))
        found = []
        for top in range(int(rows[0]), int(rows[-1]) + 1, many):
            height = min(many, int(rows[-1]) + 1 - top)
            part = Window(window.col_off + left, window.row_off + top, width, height)
            fine = Window(*(self._factor * side for side in part.flatten()))
            shares = landuse.divided(read_positions(self._fine, fine, self._table), self._table, self._factor)
            divided = city[top : top + height, left : left + width] & ~np.isnan(shares[0])
            row, column = np.nonzero(divided)
            found.append(((row + top) * window.width + column + left, shares[:, divided]))
        places, shares = zip(*found)
        return np.concatenate(places), np.concatenate(shares, axis=1)


# Writing --------------------------------------------------------------------------------------------------------------


def _write(run: Run, raster, overlay: landuse.Overlay, patches, divider: _Divider | None, staged: dict) -> None:
    """Overlay and write the rasters, strip by strip."""
    grid = raster.grid
    windows = grid.windows(cells=_CELLS)
    with ExitStack() as stack:
        pool = stack.enter_context(executors.pool(threads=_THREADS))
        fractions_file = stack.enter_context(
            rasters.create(
                run,
                staged["output"],
                grid,
                unit="fraction of the cell's area",
                quantity="fraction",
                description=PARTS,
                nodata=None,
                dtype="float32",
            )
        )
        map_file = "class_map" in staged and stack.enter_context(
            rasters.create(
                run,
                staged["class_map"],
                grid,
                unit="0 none, 1 industry, 2 city, 3 agriculture, 4 rural",
                quantity="class",
                description="part with the largest fraction",
                nodata=NODATA,
                dtype="uint8",
            )
        )
        overlaid = pool.map(partial(_overlaid, raster, overlay, patches, divider), ((window,) for window in windows))
        for number, (window, fractions, largest, areas) in enumerate(overlaid):
            run.progress(0.15 + 0.8 * number / len(windows), "" if number else "Overlaying the sources")
            overlay.add(areas)
            fractions_file.write(window, fractions)
            if map_file:
                map_file.write(window, largest)
    if overlay.ground_m2 == 0:
        raise InputError("land_use", "it holds no data", "Choose a raster that is not empty")


def _overlaid(raster, overlay: landuse.Overlay, patches, divider: _Divider | None, window: Window) -> tuple:
    """A window, the fractions in it, its class map and its areas."""
    positions = read_positions(raster, window, overlay.classes)
    parts = None if patches is None else patches[window.row_off : window.row_off + window.height]
    finer = None
    if divider is not None:
        here = np.append(overlay.classes.parts, 0)[positions] if parts is None else parts
        finer = divider.shares(window, here == landuse.CITY)
    area = _areas(raster.grid, window, positions)
    fractions, largest, areas = overlay.window(window.row_off, positions, area, parts=parts, finer=finer)
    largest[positions < 0] = NODATA
    return window, fractions, largest, areas


def _areas(grid: rasters.Grid, window: Window, positions: np.ndarray) -> np.ndarray:
    """Areas of a window's cells, m2; those without data may lie off the globe, where there is no area."""
    area = grid.cell_areas(window)
    if np.isnan(area).any():
        if np.isnan(area[positions >= 0]).any():
            raise InputError(
                "land_use", f"some of its cells lie where '{grid.crs.name}' has no ground", "Set the raster's right CRS"
            )
        area = np.nan_to_num(area)
    return area


def _say_what_is_missing(run: Run, overlay: landuse.Overlay) -> None:
    for part, area in overlay.areas_m2.items():
        if area == 0:
            run.warning(f"There is no land of {part}: its emissions will have no land of their own.")


# Ledger ---------------------------------------------------------------------------------------------------------------

_PARKS, _NEAR, _LAND_USE = "parks", "surroundings of enterprises", "land use"


def _ledger(overlay: landuse.Overlay, park: _Claim, near: _Claim, areas: pd.DataFrame, exact: bool) -> pd.DataFrame:
    """What each source drew, lost and contributed; in whole cells the difference between shape and cells is told."""
    rows = []
    for source, key, claim in ((_PARKS, "parks", park), (_NEAR, "buffers", near)):
        if not claim.features:
            continue
        overlap = claim.own_overlap + claim.to_parks
        outside = claim.outside + overlay.unknown_m2(key)
        off_land = claim.off_land + (overlay.on_water_m2 if key == "buffers" else 0.0)
        contributed = overlay.taken_m2(key)
        rounding = contributed - (claim.drawn - overlap - outside - off_land)
        if exact and abs(rounding) > _ROUNDING * claim.drawn:
            raise MassError(
                f"The area of {source} does not close: {claim.drawn:,.0f} m2 were drawn and {rounding:,.1f} m2 are not "
                "accounted for. Nothing was written; please report this with the run's inputs."
            )
        rows.append((source, "", "", "industry", claim.features, claim.drawn, overlap, outside, off_land, contributed))
    columns = ["source", "code", "class", "part", "features", "drawn_m2", "overlap_m2", "outside_m2", "off_land_m2"]
    claims = pd.DataFrame(rows, columns=[*columns, "contributed_m2"])
    uses = areas.assign(
        source=_LAND_USE, code=areas["code"].astype(str), features=pd.NA, outside_m2=0.0, off_land_m2=0.0
    )
    ledger = (
        pd.concat([claims, uses[claims.columns]], ignore_index=True) if len(claims) else uses[claims.columns].copy()
    )
    ledger["features"] = ledger["features"].astype("Int64")
    lost = ledger[["overlap_m2", "outside_m2", "off_land_m2"]].sum(axis=1)
    ledger["rounding_m2"] = ledger["contributed_m2"] - (ledger["drawn_m2"] - lost)
    return ledger


def _pairs(overlay: landuse.Overlay, park: _Claim, near: _Claim) -> pd.DataFrame:
    """All overlaps: first, second, area_m2 and which of them kept the ground."""
    rows = [(first, second, area, "both, once") for first, second, area in park.pairs.itertuples(index=False)]
    if near.own_overlap > landuse.EDGE_M2:
        rows.append((_NEAR, _NEAR, near.own_overlap, "both, once"))
    if near.to_parks > landuse.EDGE_M2:
        rows.append((_PARKS, _NEAR, near.to_parks, _PARKS))
    titles = {"parks": _PARKS, "buffers": _NEAR}
    for source, code, name, area in overlay.class_overlaps().itertuples(index=False):
        rows.append((titles[source], f"{_LAND_USE} {code} {name}", area, titles[source]))
    return pd.DataFrame(rows, columns=["first", "second", "area_m2", "kept_by"])


def _result(overlay: landuse.Overlay, ledger: pd.DataFrame, pairs: pd.DataFrame) -> dict:
    km2 = {part: area / 1e6 for part, area in overlay.areas_m2.items()}
    industry = ledger[ledger["part"] == "industry"].groupby("source", sort=False)["contributed_m2"].sum() / 1e6
    told = ", ".join(f"{area:,.2f} from {source}" for source, area in industry.items())
    rest = ", ".join(f"{part} {km2[part]:,.2f} km2" for part in PARTS[1:])
    return {
        "summary": (
            f"Of {overlay.ground_m2 / 1e6:,.2f} km2: industry {km2['industry']:,.2f} km2 ({told}), {rest}; "
            f"{len(pairs):,} overlaps count once."
        ),
        "styles": {
            "output": {"kind": "raster", "unit": "of the cell (industry)", "breaks": _SHARES, "ramp": "emission"},
            "class_map": {
                "kind": "raster classes",
                "classes": [[NAMES.index(name), COLOURS[name], _TITLES[name]] for name in (*PARTS, "none")],
            },
        },
        **{f"{part}_km2": area for part, area in km2.items()},
        "overlaps_count": len(pairs),
    }
