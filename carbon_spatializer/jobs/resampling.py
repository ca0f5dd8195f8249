"""Rasters on another grid: totals that are kept, densities that are averaged, classes that are looked up."""

import math
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import pyproj
from rasterio.windows import Window
from scipy import sparse

from ..core import checks
from .grids import CELLS_AT_ONCE, Grid, centres, interpolation, nodes_of, same_crs, same_grid

HOW = ("sum", "average", "nearest")

# Largest error, in cells, of coordinates that are interpolated on a lattice instead of projected one by one.
_LATTICE_ERROR = 0.005
# Edges of cells that miss an edge of the other grid by less than this part of a cell are taken to lie on it.
_SNAP = 1e-6


def resampled(raster, grid: Grid, how: str):
    """A raster on another grid, computed as its windows are read; the raster itself where the grids are the same.

    how : ``sum`` for totals per cell, where each source cell is divided by area over the cells that it lies in, so that
        all that is inside the grid is kept; ``average`` for densities, the mean of the source cells weighted by area;
        ``nearest`` for classes, the source cell that holds the centre. Cells without data are left out of each.
    """
    checks.one_of(how, HOW, "how")
    return raster if same_grid(raster, grid) else Resampled(raster, grid, how)


class Resampled:
    """A raster seen on another grid; see ``resampled``.

    In one CRS the shares of cells are exact. In another, source cells are divided into parts no larger than a target
    cell, and each part stands for a rectangle of its area; places are projected on a lattice and interpolated between,
    to a few thousandths of a cell.
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
        total, weight = self._straight(window) if self._parallel else self._turned(window)
        if self.how == "average":
            total = np.divide(total, weight, out=total, where=weight > 0)
        return np.where(weight > 0, total, np.nan)

    def _straight(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Sums and weights in a window of the same CRS, where rows and columns are parallel: products of matrices."""
        total, weight = np.zeros((window.height, window.width)), np.zeros((window.height, window.width))
        for part in self._source_strips(window, 1):
            values = self._raster.read(part)
            valid = np.isfinite(values)
            across = self._shares(part.col_off, part.width, window.col_off, window.width, axis=1)
            down = self._shares(part.row_off, part.height, window.row_off, window.height, axis=0)
            total += (across @ (down @ np.where(valid, values, 0.0)).T).T
            weight += (across @ (down @ valid.astype(float)).T).T
        return total, weight

    def _shares(self, first: int, count: int, target_first: int, target_count: int, axis: int) -> sparse.csr_array:
        """Which share of each source row (column) lies in each target row (column), (targets, sources).

        Averages weigh by the length that lies there instead.
        """
        edges = first + np.arange(count + 1.0)
        edges = self._forward(edges, np.zeros(1))[0][:, 0] if axis == 0 else self._forward(np.zeros(1), edges)[1][0]
        edges = _snapped(edges - target_first)
        low, high = edges[:-1], edges[1:]
        hit = np.ceil(high).astype(int) - np.floor(low).astype(int)
        source = np.repeat(np.arange(count), hit)
        target = np.floor(low).astype(int)[source] + np.arange(len(source)) - np.repeat(np.cumsum(hit) - hit, hit)
        length = np.minimum(high[source], target + 1) - np.maximum(low[source], target)
        share = length / (high - low)[source] if self.how == "sum" else length
        inside = (target >= 0) & (target < target_count) & (share > 0)
        entries = (share[inside], (target[inside], source[inside]))
        return sparse.csr_array(entries, shape=(target_count, count))

    def _turned(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Sums and weights in a window of another projection: source cells are divided and stand for rectangles."""
        size = window.width * window.height
        total, weight = np.zeros(size), np.zeros(size)
        for part in self._source_strips(window, math.prod(self._divisions)):
            for rows, columns, value, share in self._pieces(self._raster.read(part), part):
                row, column = rows - window.row_off, columns - window.col_off
                here = (row >= 0) & (row < window.height) & (column >= 0) & (column < window.width)
                target = row[here] * window.width + column[here]
                total += np.bincount(target, (value * share)[here], size)
                weight += np.bincount(target, share[here], size)
        return total.reshape(window.height, window.width), weight.reshape(window.height, window.width)

    def _nearest(self, window: Window) -> np.ndarray:
        row, column = self._to_source(*centres(window))
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
        row, column = row[known], column[known]
        top, bottom = np.clip([np.floor(row.min()) - 2, np.ceil(row.max()) + 2], 0, height).astype(int)
        left, right = np.clip([np.floor(column.min()) - 2, np.ceil(column.max()) + 2], 0, width).astype(int)
        return (top, bottom, left, right) if top < bottom and left < right else None

    def _source_strips(self, window: Window, divided: int) -> Iterator[Window]:
        """Strips of the source that reach into a window, of about four million parts of cells."""
        around = self._source_window(window)
        if around is not None:
            yield from _strips(*around, divided)

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
        _, _, *halves = self._to_target(top + nodes_of(bottom - top, 16), left + nodes_of(right - left, 16), (1, 1))
        largest = (np.max(half[np.isfinite(half)], initial=0.5) * 2 for half in halves)
        return tuple(max(2, math.ceil(size - _LATTICE_ERROR)) for size in largest)

    @cached_property
    def _parallel(self) -> bool:
        return same_crs(self._raster.grid.crs, self.grid.crs)

    def _to_target(self, rows: np.ndarray, columns: np.ndarray, divisions: tuple[int, int]) -> tuple[np.ndarray, ...]:
        """Rows, columns, half heights and half widths on the target grid of parts of source cells, each 2-D."""
        many_down, many_across = divisions
        row, column = self._forward(rows, columns)
        with np.errstate(invalid="ignore"):
            down = np.subtract(self._forward(rows + 0.5 / many_down, columns), (row, column))
            across = np.subtract(self._forward(rows, columns + 0.5 / many_across), (row, column))
            return row, column, *_half_sides(down, across)

    @cached_property
    def _forward(self) -> Callable:
        projection = _projection(self._raster.grid, self.grid)
        if not self._parallel:
            projection = _interpolated(projection, self._raster.grid)
        return projection

    @cached_property
    def _to_source(self) -> Callable:
        return _projection(self.grid, self._raster.grid)


def _half_sides(down, across) -> tuple[np.ndarray, np.ndarray]:
    """Half height and width of the rectangle that stands for a parallelogram: of its area and, where it is sheared but
    not turned, as high and wide as its rows are apart and its sides are long, so that neighbours leave no gap.

    down, across : row and column of the vectors from its middle to the middles of two sides.
    """
    height, width = np.abs(down[0]), np.abs(across[1])
    turned = np.abs(across[0]) * np.abs(down[1]) > height * width
    height, width = np.where(turned, np.abs(across[0]), height), np.where(turned, np.abs(down[1]), width)
    area = np.abs(down[0] * across[1] - down[1] * across[0])
    scale = np.sqrt(area / np.maximum(height * width, np.finfo(float).tiny))
    return height * scale, width * scale


def _lines(start: int, count: int) -> np.ndarray:
    """Edges of up to 64 parts of a side."""
    return np.linspace(start, start + count, min(count, 64) + 1)


def _strips(top: int, bottom: int, left: int, right: int, divided: int = 1) -> Iterator[Window]:
    """Windows of about four million cells, or parts of cells where each is divided into so many."""
    rows = max(1, CELLS_AT_ONCE // ((right - left) * divided))
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
            down, across = interpolation(rows, nodes[0]), interpolation(columns, nodes[1])
            return tuple((across @ (down @ places).T).T for places in lattice)

        between = [places[:-1] + step / 2 for places in nodes]
        if np.max(np.abs(np.subtract(looked_up(*between), projection(*between)))) < _LATTICE_ERROR:
            return looked_up
        step //= 2
    return projection
