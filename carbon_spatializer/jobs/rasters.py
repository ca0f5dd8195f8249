"""Reading, resampling and writing rasters, with the checks that every job needs.

A raster in hand is one band on a ``Grid``; whatever has a ``grid``, a ``name`` and ``read(window)`` can stand for it:
``Raster`` (a file), ``Resampled`` (a raster brought onto another grid), or a job's own class. Arrays are float64 with
NaN where there are no data. A *source* is what ``layers`` says: a path, or a dictionary with path and CRS.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import rasterio
import rasterio.features
import shapely
from affine import Affine
from exactextract import exact_extract
from exactextract.raster import RasterSource
from rasterio.windows import Window
from scipy import sparse

from ..core.errors import InputError
from . import layers
from .run import Run

# In MB; else GDAL takes a twentieth of the machine's memory for its cache.
os.environ.setdefault("GDAL_CACHEMAX", "256")

HOW = ("sum", "average", "nearest")

_CELLS_AT_ONCE = 4_000_000
_TILE = 256
# Places per side at which the cells' areas of a projected grid are computed.
_AREA_NODES = 128
# Shift of a grid's corner, in cells, below which two grids are the same.
_SAME = 1e-3
# Largest error, in cells, of coordinates that are interpolated on a lattice instead of projected one by one.
_LATTICE_ERROR = 0.005
# Units of area in the unit of a density, in m2.
_AREAS = {"m2": 1.0, "ha": 1e4, "km2": 1e6, "m²": 1.0, "km²": 1e6}
# Edges of cells that miss an edge of the other grid by less than this part of a cell are taken to lie on it.
_SNAP = 1e-6
# Polygons that are summed at a time, between two looks at whether the user wants to stop.
_POLYGONS_AT_ONCE = 500


@dataclass(frozen=True)
class Grid:
    """A north-up grid: where its cells lie on the ground.

    Parameters
    ----------
    crs : of the coordinates.
    transform : of column and row to coordinates, without rotation.
    width, height : in cells.
    """

    crs: pyproj.CRS
    transform: Affine
    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        return self.bounds_of(Window(0, 0, self.width, self.height))

    def bounds_of(self, window: Window) -> tuple[float, float, float, float]:
        """West, south, east, north of a window."""
        west, north = self.transform @ (window.col_off, window.row_off)
        east, south = self.transform @ (window.col_off + window.width, window.row_off + window.height)
        return west, south, east, north

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of a cell in units of the CRS."""
        return self.transform.a, -self.transform.e

    def windows(self, rows: int | None = None) -> list[Window]:
        """Full-width strips from north to south, of about four million cells or of a number of rows."""
        if rows is None:
            rows = max(1, _CELLS_AT_ONCE // self.width)
            rows = rows // _TILE * _TILE or rows
        return [Window(0, row, self.width, min(rows, self.height - row)) for row in range(0, self.height, rows)]

    def blocks(self, size: int = 512) -> list[Window]:
        """Squares of at most ``size`` cells a side, row by row."""
        return [
            Window(column, row, min(size, self.width - column), min(size, self.height - row))
            for row in range(0, self.height, size)
            for column in range(0, self.width, size)
        ]

    def part(self, window: Window) -> "Grid":
        """The grid of a window alone."""
        moved = self.transform @ Affine.translation(window.col_off, window.row_off)
        return Grid(self.crs, moved, window.width, window.height)

    def window_of(self, other) -> Window | None:
        """The cells that meet the bounds of another grid, or of a raster; None where there are none."""
        other = getattr(other, "grid", other)
        transformer = pyproj.Transformer.from_crs(other.crs, self.crs, always_xy=True)
        west, south, east, north = transformer.transform_bounds(*other.bounds)
        if not np.isfinite([west, south, east, north]).all():
            return Window(0, 0, self.width, self.height)
        if east < west:  # across the 180th meridian
            west, east = self.bounds[0], self.bounds[2]
        left, top = ~self.transform @ (west, north)
        right, bottom = ~self.transform @ (east, south)
        left, top = max(0, math.floor(left + _SAME)), max(0, math.floor(top + _SAME))
        right, bottom = min(self.width, math.ceil(right - _SAME)), min(self.height, math.ceil(bottom - _SAME))
        return Window(left, top, right - left, bottom - top) if left < right and top < bottom else None

    def refined(self, factor: int) -> "Grid":
        """The grid whose cells are this many times smaller on each side."""
        scale = Affine.scale(1 / factor)
        return Grid(self.crs, self.transform @ scale, self.width * factor, self.height * factor)

    def coarsened(self, factor: int) -> "Grid":
        """The grid whose cells are this many times larger on each side; its last ones may reach over the edge."""
        scale = Affine.scale(factor)
        return Grid(self.crs, self.transform @ scale, -(-self.width // factor), -(-self.height // factor))

    def cell_areas(self, window: Window | None = None) -> np.ndarray:
        """True areas of the cells of a window, (height, width) in m2, on the CRS's own ellipsoid.

        Cells of a grid in degrees are computed by the formula of the authalic latitude, without approximation; those of
        projected grids at up to 128 x 128 places with bilinear interpolation between them. NaN where the projection has
        no place on the ground.
        """
        window = window or Window(0, 0, self.width, self.height)
        rows, columns = _centres(window)
        if self.crs.is_geographic:
            return np.repeat(self._strip_areas(rows)[:, None], len(columns), axis=1)
        lattice, nodes = self._ground_per_cell
        down, across = (_between(places, at) for places, at in zip((rows, columns), nodes))
        return (across @ (down @ lattice).T).T

    def _strip_areas(self, rows: np.ndarray) -> np.ndarray:
        """Areas of one cell per row of a grid in degrees."""
        ellipsoid = self.crs.ellipsoid
        e = math.sqrt(1 - (ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre) ** 2)
        radians = self.crs.axis_info[0].unit_conversion_factor

        def zone(row):
            """Area between equator and parallel, per radian of longitude (Snyder 1987, equation 3-12)."""
            sine = np.sin(np.clip((self.transform.f + self.transform.e * row) * radians, -np.pi / 2, np.pi / 2))
            curved = np.arctanh(e * sine) / e if e else sine
            return ellipsoid.semi_minor_metre**2 / 2 * (curved + sine / (1 - (e * sine) ** 2))

        return (zone(rows - 0.5) - zone(rows + 0.5)) * self.transform.a * radians

    @cached_property
    def _ground_per_cell(self) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Area of a cell in m2 on a lattice, from the derivatives of longitude and latitude; the lattice's places."""
        rows, columns = _nodes(self.height, _AREA_NODES), _nodes(self.width, _AREA_NODES)
        row, column = np.meshgrid(rows, columns, indexing="ij")
        to_degrees = pyproj.Transformer.from_crs(self.crs, self.crs.geodetic_crs, always_xy=True)

        def places(rows, columns):
            return np.radians(to_degrees.transform(*(self.transform @ (columns, rows))))

        _, latitude = places(row, column)
        with np.errstate(invalid="ignore"):
            down = places(row + 0.5, column) - places(row - 0.5, column)
            across = places(row, column + 0.5) - places(row, column - 0.5)
            ellipsoid = self.crs.ellipsoid
            flat = 1 - (ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre) ** 2
            curved = 1 - flat * np.sin(latitude) ** 2
            radii = ellipsoid.semi_major_metre**2 * (1 - flat) / curved**2  # meridional x transverse radius
            area = np.abs(down[0] * across[1] - down[1] * across[0]) * radii * np.cos(latitude)
        area[~np.isfinite(area)] = np.nan
        return area, (rows, columns)


def same_grid(one, other) -> bool:
    """Whether two grids, or the grids of two rasters, have the same cells."""
    one, other = getattr(one, "grid", one), getattr(other, "grid", other)
    if one.shape != other.shape or not same_crs(one.crs, other.crs):
        return False
    width, height = one.cell
    shifts = np.subtract(one.bounds, other.bounds) / [width, height, width, height]
    return bool((np.abs(shifts) < _SAME).all())


def same_crs(one: pyproj.CRS, other: pyproj.CRS) -> bool:
    """Whether two CRS mean the same, however they are written."""
    return one == other or one.equals(other, ignore_axis_order=True) or _code(one) == _code(other) is not None


def _code(crs: pyproj.CRS) -> int | None:
    return crs.to_epsg(min_confidence=100)


def _nodes(count: int, most: int) -> np.ndarray:
    """Places along a side, from the first cell's centre to the last's; at least two."""
    if count == 1:
        return np.array([0.25, 0.75])
    return np.linspace(0.5, count - 0.5, min(count, most))


def _centres(window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the centres of a window's cells."""
    return window.row_off + np.arange(window.height) + 0.5, window.col_off + np.arange(window.width) + 0.5


def _between(places: np.ndarray, nodes: np.ndarray) -> sparse.csr_array:
    """Weights, (places, nodes), of linear interpolation between nodes."""
    low = np.clip(np.searchsorted(nodes, places, side="right") - 1, 0, len(nodes) - 2)
    share = (places - nodes[low]) / (nodes[low + 1] - nodes[low])
    index = np.arange(len(places))
    entries = (np.concatenate([1 - share, share]), (np.tile(index, 2), np.concatenate([low, low + 1])))
    return sparse.csr_array(entries, shape=(len(places), len(nodes)))


# Reading --------------------------------------------------------------------------------------------------------------


class Raster:
    """The first band of an open raster file; a context manager that closes it.

    Attributes
    ----------
    grid : its cells; name : the file's stem; parameter : its name in messages.
    bands : how many the file has.
    quantity, unit : ``total`` or ``density`` and the unit, where the file says so (as those written here do), else "".
    """

    def __init__(self, dataset: rasterio.DatasetReader, grid: Grid, parameter: str, band: int = 1):
        self.grid, self.parameter, self.band = grid, parameter, band
        self.path = dataset.name
        self.name = Path(dataset.name).stem
        self.bands = dataset.count
        self.tags = dataset.tags() | dataset.tags(band)
        self.quantity = self.tags.get("QUANTITY", "")
        self.unit = dataset.units[band - 1] or self.tags.get("UNIT", "")
        self._dataset = dataset
        self._scale, self._offset = dataset.scales[band - 1], dataset.offsets[band - 1]
        self._all_valid = dataset.mask_flag_enums[band - 1] == [rasterio.enums.MaskFlags.all_valid]

    def __enter__(self) -> "Raster":
        return self

    def __exit__(self, *_) -> None:
        self._dataset.close()

    def read(self, window: Window | None = None) -> np.ndarray:
        """Values of a window, (height, width) float64, NaN where there are no data or the raster ends.

        Raises
        ------
        InputError : the file cannot be read there, or holds infinite values.
        """
        window = window or Window(0, 0, self.grid.width, self.grid.height)
        inside, place = _inside(window, self.grid)
        if inside is None:
            return np.full((window.height, window.width), np.nan)
        try:
            part = self._dataset.read(self.band, window=inside, out_dtype=np.float64)
            if not self._all_valid:
                part[self._dataset.read_masks(self.band, window=inside) == 0] = np.nan
        except rasterio.errors.RasterioIOError as error:
            raise InputError(
                self.parameter, f"'{self.path}' cannot be read ({error})", "Repair the file or choose another"
            ) from None
        if self._scale != 1 or self._offset != 0:
            part = part * self._scale + self._offset
        if np.isinf(part).any():
            raise InputError(
                self.parameter,
                f"'{self.name}' holds infinite values",
                "Correct them, or set them as the raster's nodata value",
            )
        if part.shape == (window.height, window.width):
            return part
        values = np.full((window.height, window.width), np.nan)
        values[place] = part
        return values


def _inside(window: Window, grid: Grid):
    """The part of a window that lies on a grid (None where there is none), and its place in the window."""
    top, bottom = max(0, window.row_off), min(grid.height, window.row_off + window.height)
    left, right = max(0, window.col_off), min(grid.width, window.col_off + window.width)
    if top >= bottom or left >= right:
        return None, None
    place = (
        slice(top - window.row_off, bottom - window.row_off),
        slice(left - window.col_off, right - window.col_off),
    )
    return Window(left, top, right - left, bottom - top), place


def open_band(source, parameter: str, run: Run | None = None, band: int | str = 1) -> Raster:
    """Open one band of a raster: the first unless another is named by its number or its description.

    Raises
    ------
    InputError : the file is missing or no raster, has no CRS or no such band, is rotated or not north-up, or holds
        complex numbers.
    """
    dataset, crs = layers.open_raster(source, parameter)
    try:
        number = _band_number(dataset, band, parameter)
        transform = dataset.transform
        if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
            raise InputError(
                parameter,
                f"'{dataset.name}' is rotated, mirrored or has no place on the map",
                "Warp it to a north-up raster (Raster > Projections > Warp) and choose that",
            )
        if dataset.dtypes[number - 1].startswith("complex"):
            raise InputError(parameter, f"'{dataset.name}' holds complex numbers", "Choose a raster of real numbers")
        if dataset.count > 1 and band == 1 and run is not None:
            run.info(f"{parameter}: the first of {dataset.count} bands of '{Path(dataset.name).name}' is used.")
    except InputError:
        dataset.close()
        raise
    return Raster(dataset, Grid(crs, transform, dataset.width, dataset.height), parameter, number)


def _band_number(dataset, band: int | str, parameter: str) -> int:
    names = [name or str(number + 1) for number, name in enumerate(dataset.descriptions)]
    if band in names:
        return names.index(band) + 1
    if isinstance(band, int) and 1 <= band <= dataset.count:
        return band
    raise InputError(parameter, f"'{dataset.name}' has no band '{band}'", f"Its bands are {', '.join(names)}")


def refuse_negative(values: np.ndarray, raster) -> None:
    """Raise InputError when values that were read from a raster go below zero."""
    least = np.nanmin(values, initial=0)
    if least < 0:
        raise InputError(
            raster.parameter,
            f"'{raster.name}' has cells below zero, for example {least:g}",
            "Correct them, or set the raster's nodata value if they mean no data",
        )


def as_total(raster, factor: float = 1.0, by_area: bool | None = None):
    """A raster as totals per cell.

    factor : by which values are multiplied; by_area : whether they are per m2 and so multiplied by the cells' areas.
        None leaves that to what the raster says of itself: its unit may be per m2, ha or km2; else m2 is meant.
    """
    if by_area is None:
        by_area = raster.quantity == "density"
        factor /= _AREAS.get(raster.unit.rpartition("/")[2].strip().lower(), 1.0) if by_area else 1.0
    return _Total(raster, factor, by_area) if by_area or factor != 1 else raster


class _Total:
    """A raster multiplied by a factor and the areas of its cells; see ``as_total``."""

    quantity = "total"

    def __init__(self, raster, factor: float, by_area: bool):
        self.grid, self.name, self.parameter, self.unit = raster.grid, raster.name, raster.parameter, raster.unit
        self._raster, self._factor, self._by_area = raster, factor, by_area

    def read(self, window: Window | None = None) -> np.ndarray:
        values = self._raster.read(window) * self._factor
        return values * self.grid.cell_areas(window) if self._by_area else values


class Ground:
    """The true areas in m2 of the cells of a raster that have data, as a raster."""

    quantity, unit = "total", "m2"

    def __init__(self, raster):
        self.grid, self.name, self.parameter, self._raster = raster.grid, raster.name, raster.parameter, raster

    def read(self, window: Window | None = None) -> np.ndarray:
        return np.where(np.isfinite(self._raster.read(window)), self.grid.cell_areas(window), np.nan)


# Resampling -----------------------------------------------------------------------------------------------------------


def resampled(raster, grid: Grid, how: str):
    """A raster on another grid, computed as its windows are read; the raster itself where the grids are the same.

    how : ``sum`` for totals per cell, where each source cell is divided by area over the cells that it lies in, so that
        all that is inside the grid is kept; ``average`` for densities, the mean of the source cells weighted by area;
        ``nearest`` for classes, the source cell that holds the centre. Cells without data are left out of each.
    """
    if how not in HOW:
        raise InputError("how", f"'{how}' is unknown", f"Use one of {', '.join(HOW)}")
    return raster if same_grid(raster, grid) else Resampled(raster, grid, how)


class Resampled:
    """A raster seen on another grid; see ``resampled``.

    Source cells are rectangles on the target grid: where they are larger than its cells, or turned against them by
    another projection, they are first divided. Their places are projected on a lattice and interpolated between, to
    a hundredth of a cell.
    """

    def __init__(self, raster, grid: Grid, how: str):
        self.grid, self.how, self._raster = grid, how, raster
        self.name, self.parameter = raster.name, raster.parameter
        self.quantity, self.unit = raster.quantity, raster.unit

    def read(self, window: Window | None = None) -> np.ndarray:
        """Values of a window, (height, width) float64, NaN where no source cell with data lies."""
        window = window or Window(0, 0, self.grid.width, self.grid.height)
        if self.how == "nearest":
            return self._nearest(window)
        size = window.width * window.height
        total, weight = np.zeros(size), np.zeros(size)
        for part in self._source_strips(window):
            for rows, columns, value, share in self._pieces(self._raster.read(part), part):
                row, column = rows - window.row_off, columns - window.col_off
                here = (row >= 0) & (row < window.height) & (column >= 0) & (column < window.width)
                target = row[here] * window.width + column[here]
                total += np.bincount(target, (value * share)[here], size)
                weight += np.bincount(target, share[here], size)
        if self.how == "average":
            total = np.divide(total, weight, out=total, where=weight > 0)
        return np.where(weight > 0, total, np.nan).reshape(window.height, window.width)

    def _nearest(self, window: Window) -> np.ndarray:
        row, column = self._to_source(*_centres(window))
        known = np.isfinite(row) & np.isfinite(column)
        height, width = self._raster.grid.shape
        known &= (row >= 0) & (row < height) & (column >= 0) & (column < width)
        values = np.full(known.shape, np.nan)
        if not known.any():
            return values
        row, column = row[known].astype(int), column[known].astype(int)
        found = np.empty(len(row))
        for part in _strips(row.min(), row.max() + 1, column.min(), column.max() + 1):
            here = (row >= part.row_off) & (row < part.row_off + part.height)
            found[here] = self._raster.read(part)[row[here] - part.row_off, column[here] - part.col_off]
        values[known] = found
        return values

    def _source_window(self, window: Window) -> tuple[int, int, int, int] | None:
        """First and last row and column of the source that reach into a window; None where it has none."""
        row, column = self._to_source(_lines(window.row_off, window.height), _lines(window.col_off, window.width))
        known = np.isfinite(row) & np.isfinite(column)
        if not known.any():
            return None
        height, width = self._raster.grid.shape
        top, bottom = np.clip([np.floor(row[known].min()) - 2, np.ceil(row[known].max()) + 2], 0, height).astype(int)
        left, right = np.clip([np.floor(column[known].min()) - 2, np.ceil(column[known].max()) + 2], 0, width).astype(
            int
        )
        return (top, bottom, left, right) if top < bottom and left < right else None

    def _source_strips(self, window: Window) -> Iterator[Window]:
        """Strips of the source that reach into a window, small enough to be divided at once."""
        around = self._source_window(window)
        if around is not None:
            yield from _strips(*around, math.prod(self._divisions))

    def _pieces(self, values: np.ndarray, part: Window) -> Iterator[tuple]:
        """Rows, columns, value and share of a cell's area: what the source cells of a window give to target cells."""
        many_down, many_across = self._divisions
        values = np.repeat(np.repeat(values, many_down, axis=0), many_across, axis=1)
        rows = part.row_off + (np.arange(values.shape[0]) + 0.5) / many_down
        columns = part.col_off + (np.arange(values.shape[1]) + 0.5) / many_across
        row, column, half_height, half_width = self._to_target(rows, columns, self._divisions)
        on = np.isfinite(values) & np.isfinite(row) & np.isfinite(column)
        value, half_height, half_width = values[on], half_height[on], half_width[on]
        # Totals are divided by the cell's own share; averages weigh by the ground that is covered.
        area = 1 / (many_down * many_across) if self.how == "sum" else 4 * half_height * half_width
        column_overlaps = _overlaps(column[on], half_width)
        for row_hit, row_share in _overlaps(row[on], half_height):
            for column_hit, column_share in column_overlaps:
                share = row_share * column_share * area
                some = share > 0
                yield row_hit[some], column_hit[some], value[some], share[some]

    @cached_property
    def _divisions(self) -> tuple[int, int]:
        """Parts into which source cells are divided, down and across, to be no larger than a target cell."""
        height, width = self._raster.grid.shape
        whole = self._source_window(Window(0, 0, self.grid.width, self.grid.height))
        top, bottom, left, right = whole or (0, height, 0, width)
        _, _, *halves = self._to_target(top + _nodes(bottom - top, 16), left + _nodes(right - left, 16), (1, 1))
        turned = 1 if self._straight else 2
        largest = (np.max(half[np.isfinite(half)], initial=0.5) * 2 for half in halves)
        return tuple(max(turned, math.ceil(size - _LATTICE_ERROR)) for size in largest)

    @cached_property
    def _straight(self) -> bool:
        return same_crs(self._raster.grid.crs, self.grid.crs)

    def _to_target(self, rows: np.ndarray, columns: np.ndarray, divisions: tuple[int, int]) -> tuple[np.ndarray, ...]:
        """Rows, columns, half heights and half widths on the target grid of parts of source cells, each 2-D."""
        many_down, many_across = divisions
        row, column = self._forward(rows, columns)
        with np.errstate(invalid="ignore"):
            down = np.subtract(self._forward(rows + 0.5 / many_down, columns), (row, column))
            across = np.subtract(self._forward(rows, columns + 0.5 / many_across), (row, column))
        return row, column, np.hypot(down[0], across[0]), np.hypot(down[1], across[1])

    @cached_property
    def _forward(self) -> Callable:
        projection = _projection(self._raster.grid, self.grid)
        if not self._straight:
            projection = _interpolated(projection, self._raster.grid)
        return projection

    @cached_property
    def _to_source(self) -> Callable:
        return _projection(self.grid, self._raster.grid)


def _lines(start: int, count: int) -> np.ndarray:
    """Edges of up to 64 parts of a side."""
    return np.linspace(start, start + count, min(count, 64) + 1)


def _strips(top: int, bottom: int, left: int, right: int, divided: int = 1) -> Iterator[Window]:
    """Windows of about four million cells, or parts of cells where each is divided into so many."""
    rows = max(1, _CELLS_AT_ONCE // ((right - left) * divided))
    for row in range(top, bottom, rows):
        yield Window(left, row, right - left, min(rows, bottom - row))


def _overlaps(middle: np.ndarray, half: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cells along one side that intervals no longer than a cell lie in, each with the share of the interval.

    The shares of an interval add up to one exactly.
    """
    low, high = _snapped(middle - half), _snapped(middle + half)
    first = np.floor(low)
    inside = np.where(high > low, np.clip((first + 1 - low) / np.where(high > low, high - low, 1), 0, 1), 1.0)
    last = first.astype(int) + 1
    return [(first.astype(int), inside), (last, 1 - inside)]


def _snapped(places: np.ndarray) -> np.ndarray:
    nearest = np.round(places)
    return np.where(np.abs(places - nearest) < _SNAP, nearest, places)


def _projection(source: Grid, target: Grid) -> Callable:
    """Function of m rows and n columns of one grid to those of another, two arrays (m, n); not finite where there is
    no such place.
    """
    transformer = pyproj.Transformer.from_crs(source.crs, target.crs, always_xy=True)
    straight = same_crs(source.crs, target.crs)

    def projected(rows, columns):
        column, row = np.meshgrid(columns, rows)
        x, y = source.transform @ (column, row)
        with np.errstate(invalid="ignore"):
            column, row = ~target.transform @ ((x, y) if straight else transformer.transform(x, y))
        return row, column

    return projected


def _interpolated(projection: Callable, grid: Grid) -> Callable:
    """The same function by interpolation on a lattice, dense enough to be as true as wanted."""
    step = 64
    while step >= 4:
        # One node beyond each edge, as parts of edge cells are looked up too.
        nodes = [np.arange(-step, count + 2 * step, step, dtype=float) for count in grid.shape]
        lattice = projection(*nodes)
        if not all(np.isfinite(places).all() for places in lattice):
            break

        def looked_up(rows, columns, nodes=nodes, lattice=lattice):
            down, across = _between(rows, nodes[0]), _between(columns, nodes[1])
            return tuple((across @ (down @ places).T).T for places in lattice)

        between = [places[:-1] + step / 2 for places in nodes]
        if np.max(np.abs(np.subtract(looked_up(*between), projection(*between)))) < _LATTICE_ERROR:
            return looked_up
        step //= 2
    return projection


# Writing --------------------------------------------------------------------------------------------------------------


class Writer:
    """A GeoTIFF that is being written window by window; see ``create``."""

    def __init__(self, run: Run, dataset):
        self._run, self._dataset = run, dataset

    def write(self, window: Window, values: np.ndarray) -> None:
        """Write a window, (height, width), or (bands, height, width) where there are several."""
        cells = np.asarray(values)
        kind = np.dtype(self._dataset.dtypes[0])
        if kind.kind != "f" and cells.dtype.kind == "f":
            cells = np.where(np.isnan(cells), self._dataset.nodata, cells)
        self._dataset.write(cells.astype(kind), **({"indexes": 1} if cells.ndim == 2 else {}), window=window)
        self._run.require_space()


@contextmanager
def create(
    run: Run,
    path: str | Path,
    grid: Grid,
    *,
    unit: str,
    quantity: str,
    description: str | Sequence[str],
    nodata: float = np.nan,
    dtype: str = "float64",
) -> Iterator[Writer]:
    """Create a GeoTIFF (tiled, compressed) that says what it holds.

    Parameters
    ----------
    path : where to write, from ``run.stage``.
    unit, quantity : unit of the values, and ``total`` (per cell), ``density``, ``fraction`` or ``class``.
    description : of the band, or of each of several bands.
    """
    descriptions = [description] if isinstance(description, str) else list(description)
    kind = np.dtype(dtype).kind
    try:
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=grid.width,
            height=grid.height,
            count=len(descriptions),
            dtype=dtype,
            crs=rasterio.crs.CRS.from_wkt(grid.crs.to_wkt()),
            transform=grid.transform,
            nodata=nodata,
            tiled=True,
            blockxsize=_TILE,
            blockysize=_TILE,
            interleave="band",
            # A third of the time of deflate for files of the same size; every QGIS reads it.
            compress="zstd",
            zstd_level=1,
            # Differences of neighbours help where values vary smoothly, and hurt where most are 0 or 1.
            predictor={"fraction": 1, "class": 1}.get(quantity, 3 if kind == "f" else 2),
            BIGTIFF="IF_SAFER",
        ) as dataset:
            dataset.update_tags(UNIT=unit, QUANTITY=quantity)
            dataset.units = [unit] * len(descriptions)
            dataset.descriptions = descriptions
            yield Writer(run, dataset)
    except rasterio.errors.RasterioError:
        run.require_space()
        raise
    run.require_space()


# Polygons -------------------------------------------------------------------------------------------------------------


def on_grid(polygons: gpd.GeoDataFrame, raster, parameter: str) -> gpd.GeoDataFrame:
    """Polygons in the CRS of a raster (or a grid); refuses those that do not meet it at all.

    Edges are divided first, so that straight edges stay where they are on the ground.
    """
    grid = getattr(raster, "grid", raster)
    if not same_crs(polygons.crs, grid.crs):
        # A hundredth of the layer's extent is short enough for the curve of an edge to be below a cell.
        west, south, east, north = polygons.total_bounds
        length = max(east - west, north - south) / 100
        polygons = polygons.set_geometry(polygons.geometry.segmentize(length)).to_crs(grid.crs)
        bounds = polygons.total_bounds
        if not np.isfinite(bounds).all():
            raise InputError(parameter, f"it cannot be brought into '{grid.crs.name}'", "Check its CRS")
    west, south, east, north = polygons.total_bounds
    left, bottom, right, top = grid.bounds
    if not (west < right and left < east and south < top and bottom < north):
        raise InputError(
            parameter,
            f"its extent ({west:g}, {south:g}, {east:g}, {north:g}) does not overlap the raster's "
            f"({left:g}, {bottom:g}, {right:g}, {top:g}) in {grid.crs.name}",
            "Check the CRS of both",
        )
    return polygons


class _Source(RasterSource):
    """A raster as exactextract wants it."""

    def __init__(self, raster):
        super().__init__()
        self._raster = raster

    def res(self):
        return self._raster.grid.cell

    def extent(self):
        return self._raster.grid.bounds

    def srs_wkt(self):
        return None

    def nodata_value(self):
        return None

    def read_window(self, x0, y0, nx, ny):
        return np.ascontiguousarray(self._raster.read(Window(x0, y0, nx, ny)))


def zonal_sums(
    polygons: gpd.GeoDataFrame,
    raster,
    parameter: str,
    progress: Callable[..., None] = lambda fraction, text="": None,
) -> pd.DataFrame:
    """Sums of a raster inside each polygon; cells on an edge count by their exact fraction inside, nodata not at all.

    polygons : in any CRS; parameter : their name in messages.

    Returns
    -------
    One row per polygon: ``sum``; ``cells``, how many cells with data lie inside, by their fractions.
    """
    shapes = on_grid(polygons, raster, parameter).geometry
    result = np.zeros((len(shapes), 2))
    order = np.argsort(shapes.hilbert_distance().to_numpy(), kind="stable")
    for start in range(0, len(order), _POLYGONS_AT_ONCE):
        progress(start / len(order), f"Summing {raster.name} over {parameter}")
        rows = order[start : start + _POLYGONS_AT_ONCE]
        part = gpd.GeoDataFrame(geometry=shapes.iloc[rows].reset_index(drop=True))
        found = exact_extract(_Source(raster), part, ["sum", "count"], strategy="raster-sequential", output="pandas")
        result[rows] = found[["sum", "count"]].fillna(0.0).to_numpy()
    return pd.DataFrame(result, columns=["sum", "cells"])


class _Blank:
    """A raster of ones on a window of a grid."""

    def __init__(self, grid: Grid, window: Window):
        self.grid = grid.part(window)

    def read(self, window: Window) -> np.ndarray:
        return np.ones((window.height, window.width))


def fractions(polygons: gpd.GeoDataFrame, grid: Grid, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which fraction of each cell of a window lies in which polygon.

    polygons : in the grid's CRS (see ``on_grid``).

    Returns
    -------
    Three parallel arrays: position of the polygon; place of the cell in the flattened window; exact fraction (0, 1].
    """
    meeting = np.flatnonzero(
        shapely.intersects(np.asarray(polygons.geometry.array), shapely.box(*grid.bounds_of(window)))
    )
    if len(meeting) == 0:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    part = gpd.GeoDataFrame(geometry=polygons.geometry.iloc[meeting].reset_index(drop=True))
    found = exact_extract(
        _Source(_Blank(grid, window)), part, ["cell_id", "coverage"], strategy="raster-sequential", output="pandas"
    )
    counts = found["coverage"].map(len).to_numpy()
    coverage = np.concatenate(found["coverage"].to_list()).astype(float)
    cells = np.concatenate(found["cell_id"].to_list()).astype(int)
    real = coverage > 0
    return np.repeat(meeting, counts)[real], cells[real], coverage[real]


def label(polygons: gpd.GeoDataFrame, grid: Grid, window: Window) -> np.ndarray:
    """Position of the polygon that holds each cell's centre, (height, width) int32; -1 where none does.

    polygons : in any CRS, but those in the grid's (see ``on_grid``) need no projection at each window. Of polygons that
    overlap the first counts.
    """
    if not same_crs(polygons.crs, grid.crs):
        polygons = on_grid(polygons, grid, "polygons")
    result = np.full((window.height, window.width), -1, dtype=np.int32)
    shapes = np.asarray(polygons.geometry.array)
    meeting = np.flatnonzero(shapely.intersects(shapes, shapely.box(*grid.bounds_of(window))))
    if len(meeting):
        rasterio.features.rasterize(
            ((shapes[row], int(row)) for row in meeting[::-1]),
            out=result,
            transform=grid.transform @ Affine.translation(window.col_off, window.row_off),
        )
    return result
