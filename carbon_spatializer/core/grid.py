"""Cells of an aligned grid, squares or hexagons, made only where something lies."""

import numpy as np
import shapely

from .checks import one_of
from .errors import InputError

SHAPES = ("square", "hexagon")

_MOST_PIECES = 10_000_000
_MOST_CELLS = 2_000_000

# Corners of a cell around its anchor (a square's lower left corner, a hexagon's centre), in steps of the lattice.
_CORNERS = {
    "square": np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]),
    "hexagon": np.array([(0, -2), (1, -1), (1, 1), (0, 2), (-1, 1), (-1, -1), (0, -2)]),
}


def cells(
    bounds: np.ndarray, size: float, shape: str = "square", metres_per_unit: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cells that the given boxes touch.

    The grid depends on ``size`` and ``shape`` alone, so that cells of different layers and years coincide: squares
    have their edges at multiples of ``size``; hexagons stand on a corner, and one has its centre at the origin.
    Corners are whole multiples of one step, so that neighbours share them exactly and no gap opens between cells.

    Parameters
    ----------
    bounds : (n, 4) array of xmin, ymin, xmax, ymax in the units of a projected CRS.
    size : side of a square; distance between opposite sides of a hexagon, which is also the distance between the
        centres of neighbours (its area is sqrt(3)/2 size^2). In metres.
    shape : ``square`` or ``hexagon``.
    metres_per_unit : length of the CRS's unit, for example 0.3048 where it is the foot.

    Returns
    -------
    column, row (integer arrays, sorted by row, then column) and the polygons.

    Raises
    ------
    InputError : the size is not positive, the shape is unknown, or there would be too many cells to handle.
    """
    one_of(shape, SHAPES, "shape")
    if not (np.isfinite(size) and size > 0):
        raise InputError("cell_size", f"{size:g} is not a positive number", "Give the size in metres, for example 1000")
    bounds = np.atleast_2d(bounds)
    across = (bounds[:, 2:] - bounds[:, :2]) * metres_per_unit / size + 1
    _refuse_too_many(np.sum(np.prod(across, axis=1)), _MOST_PIECES, size, "pieces")
    step = _step(size, shape) / metres_per_unit
    low, high = bounds[:, :2] / step, bounds[:, 2:] / step
    if shape == "square":
        owner, row = _ranges(np.floor(low[:, 1]), np.floor(high[:, 1]))
        shift = 0
        first, last = np.floor(low[owner, 0]), np.floor(high[owner, 0])
    else:
        owner, row = _ranges(np.ceil((low[:, 1] - 2) / 3), np.floor((high[:, 1] + 2) / 3))
        shift = row & 1
        first, last = np.ceil((low[owner, 0] - 1 - shift) / 2), np.floor((high[owner, 0] + 1 - shift) / 2)
    owner, column = _ranges(first, last)
    row, column = np.unique(np.column_stack([row[owner], column]), axis=0).T
    _refuse_too_many(len(row), _MOST_CELLS, size, "cells")
    return column, row, _polygons(column, row, step, shape)


def cell_ids(column: np.ndarray, row: np.ndarray, size: float, shape: str = "square") -> np.ndarray:
    """Names of cells that stay the same in every run, for example ``1000mE312N3458``: size, column and row.

    The left edge of a square cell lies at column x size, its lower edge at row x size; ids of hexagons start with
    ``hex``, their centres lie at (column + (row odd ? 1/2 : 0)) x size and row x sqrt(3)/2 x size.
    """
    head = f"{'hex' if shape == 'hexagon' else ''}{size:.10g}m"
    return np.char.add(np.char.add(f"{head}E", column.astype(str)), np.char.add("N", row.astype(str))).astype(object)


def _step(size: float, shape: str) -> np.ndarray:
    """Width and height of the lattice on which all corners lie."""
    return np.array([size, size]) if shape == "square" else np.array([size / 2, size / (2 * np.sqrt(3))])


def _polygons(column: np.ndarray, row: np.ndarray, step: np.ndarray, shape: str) -> np.ndarray:
    anchor = (column, row) if shape == "square" else (2 * column + (row & 1), 3 * row)
    return shapely.polygons((np.column_stack(anchor)[:, None, :] + _CORNERS[shape]) * step)


def _ranges(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All integers of each range first..last, with the index of the range that each comes from."""
    first, count = first.astype(np.int64), (last - first + 1).astype(np.int64)
    owner = np.repeat(np.arange(len(first)), count)
    return owner, first[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)


def _refuse_too_many(number: float, most: int, size: float, what: str) -> None:
    if number > most:
        raise InputError(
            "cell_size",
            f"cells of {size:g} m would make about {number:,.0f} {what}, more than the {most:,} that can be handled",
            f"Use at least {float(f'{size * np.sqrt(number / most) * 1.1:.2g}'):,.6g} m or a smaller area",
        )
