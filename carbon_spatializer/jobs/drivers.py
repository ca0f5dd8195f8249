"""Driver rasters (night lights, population, GDP ...) brought onto one grid: totals as sums, densities as means."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pyproj
from affine import Affine
from rasterio.windows import Window

from ..core.checks import one_of
from ..core.errors import InputError
from . import rasters
from .grids import Grid
from .run import Run

MISSING = ("skip", "zero")
# Values of all drivers together that are held at once.
_VALUES_AT_ONCE = 6_000_000


@dataclass(frozen=True)
class Drivers:
    """Drivers on a common grid.

    Attributes
    ----------
    grid : of all; names : of the drivers, each different.
    totals : for each driver, whether it is a total per cell.
    """

    grid: Grid
    names: list[str]
    totals: list[bool]
    _rasters: list
    _missing: str

    def windows(self) -> list[Window]:
        """Full-width strips that are small enough to hold all drivers of one."""
        rows = max(1, _VALUES_AT_ONCE // (self.grid.width * len(self.names)))
        return self.grid.windows(rows // 256 * 256 or rows)

    def read(self, window: Window) -> np.ndarray:
        """Values of a window's cells in row-major order, shape (cells, drivers); nan where there are no data."""
        values = np.stack([raster.read(window).ravel() for raster in self._rasters], axis=1)
        return np.nan_to_num(values, nan=0.0) if self._missing == "zero" else values

    def in_order(self, names: list[str], totals: list[bool], run: Run) -> "Drivers":
        """The drivers in the order of a model: by their names where these are the model's, else as they were given."""
        if len(names) != len(self.names):
            raise InputError(
                "drivers",
                f"{len(self.names)} were given, but the model was trained on {len(names)} ({', '.join(names)})",
                "Give the same drivers",
            )
        order = [self.names.index(name) for name in names] if set(names) == set(self.names) else range(len(names))
        chosen = [self.names[index] for index in order]
        if chosen != names:
            pairs = ", ".join(f"'{given}' as '{wanted}'" for given, wanted in zip(chosen, names))
            run.warning(f"The drivers are taken in their order, as their names are not those of the model: {pairs}.")
        for index, name, total in zip(order, names, totals):
            if self.totals[index] != total:
                raise InputError(
                    "drivers",
                    f"'{self.names[index]}' is given as a {_quantity(not total)}, but the model was trained on "
                    f"'{name}' as a {_quantity(total)}",
                    "Give it among the drivers of the other kind",
                )
        return Drivers(self.grid, names, totals, [self._rasters[index] for index in order], self._missing)


def _quantity(total: bool) -> str:
    return "total per cell" if total else "density"


@contextmanager
def open_drivers(
    run: Run, drivers, total_drivers=None, grid=None, missing: str = "skip", within: gpd.GeoDataFrame | None = None
) -> Iterator[Drivers]:
    """Open drivers and bring them onto one grid.

    Parameters
    ----------
    drivers, total_drivers : sources of densities and of totals per cell; a raster that says itself that it holds
        totals is one.
    grid : source of a raster whose grid is taken as it is; None takes that of the driver with the largest cells, cut
        to where all drivers lie.
    missing : what cells without data in a driver are: ``skip`` (without data in all) or ``zero``.
    within : polygons beyond which the grid need not reach.

    Raises
    ------
    InputError : no driver, an unusable raster, or rasters that do not overlap.
    """
    one_of(missing, MISSING, "missing")
    sources = [(source, "drivers") for source in _listed(drivers)]
    sources += [(source, "total_drivers") for source in _listed(total_drivers)]
    if not sources:
        raise InputError("drivers", "no raster was given", "Choose at least one, such as night lights or population")
    with ExitStack() as stack:
        opened = [stack.enter_context(rasters.open_band(source, parameter, run)) for source, parameter in sources]
        totals = [
            parameter == "total_drivers" or raster.quantity == "total"
            for raster, (_, parameter) in zip(opened, sources)
        ]
        common = _given_grid(grid, opened) if grid else _common_grid(opened, within)
        for raster, total, (_, parameter) in zip(opened, totals, sources):
            if total and parameter == "drivers":
                run.info(f"'{raster.name}' says that it holds totals per cell and is taken as such.")
        width, height = common.cell
        run.info(
            f"Common grid: {common.width:,} x {common.height:,} cells of {width:g} x {height:g} "
            f"{common.crs.axis_info[0].unit_name}s in {common.crs.name}."
        )
        brought = [
            rasters.resampled(raster, common, "sum" if total else "average") for raster, total in zip(opened, totals)
        ]
        yield Drivers(common, _different([raster.name for raster in opened]), totals, brought, missing)


def _listed(sources) -> list:
    if sources is None:
        return []
    return list(sources) if isinstance(sources, (list, tuple)) else [sources]


def _different(names: list[str]) -> list[str]:
    """Names of which a repeated one gets a number."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return result


def _given_grid(source, opened: list) -> Grid:
    with rasters.open_band(source, "grid") as raster:
        grid = raster.grid
    for driver in opened:
        _overlap(_bounds_in(driver, grid.crs), grid.bounds, driver, "the chosen grid")
    return grid


def _common_grid(opened: list, within: gpd.GeoDataFrame | None) -> Grid:
    """The grid of the driver with the largest cells, cut to what all drivers (and the polygons) cover."""
    coarsest = max(opened, key=lambda raster: raster.grid.middle_area)
    grid = coarsest.grid
    bounds = np.array(grid.bounds)
    for raster in opened:
        bounds = _overlap(_bounds_in(raster, grid.crs), bounds, raster, f"'{coarsest.name}' and the other drivers")
    if within is not None:
        outline = rasters.on_grid(within, grid, "regions").total_bounds
        cut = _common(outline, bounds)
        if cut is None:
            raise InputError("regions", "the regions lie where not all drivers do", "Choose drivers that cover them")
        bounds = cut
    return _cut(grid, bounds)


def _bounds_in(raster, crs: pyproj.CRS) -> np.ndarray:
    if rasters.same_crs(raster.grid.crs, crs):
        return np.array(raster.grid.bounds)
    transformer = pyproj.Transformer.from_crs(raster.grid.crs, crs, always_xy=True)
    return np.array(transformer.transform_bounds(*raster.grid.bounds))


def _common(one, other) -> np.ndarray | None:
    bounds = np.concatenate([np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])])
    return bounds if (bounds[:2] < bounds[2:]).all() else None


def _overlap(bounds, other, raster, whose: str) -> np.ndarray:
    common = _common(bounds, other) if np.isfinite(bounds).all() else None
    if common is None:
        raise InputError(
            raster.parameter,
            f"'{raster.name}' does not overlap {whose}",
            "Check the CRS and the extent of the rasters",
        )
    return common


def _cut(grid: Grid, bounds) -> Grid:
    """The cells of a grid that reach into bounds."""
    left, top = ~grid.transform @ (bounds[0], bounds[3])
    right, bottom = ~grid.transform @ (bounds[2], bounds[1])
    # Coordinates that miss a cell's edge only by rounding are on it.
    first_column, first_row = (int(np.floor(place + 1e-6)) for place in (left, top))
    last_column, last_row = (int(np.ceil(place - 1e-6)) for place in (right, bottom))
    first_column, first_row = max(first_column, 0), max(first_row, 0)
    width = min(last_column, grid.width) - first_column
    height = min(last_row, grid.height) - first_row
    return Grid(grid.crs, grid.transform @ Affine.translation(first_column, first_row), max(width, 1), max(height, 1))
