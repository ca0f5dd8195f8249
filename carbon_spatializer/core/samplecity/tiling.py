"""The plan of the sample city: rectangles that tile a square without gaps, separated by roads, rails and canals.

All coordinates here are integers in units of 0.25 m on the *plan*, a square that ``landscape`` bends into the city's
shape afterwards. Whole numbers make shared edges exactly equal, so that the parcels tile the city exactly.
"""

from collections.abc import Callable

import numpy as np
import shapely

UNIT = 0.25  # metres per plan unit
VERTEX_SPACING = 400  # plan units between vertices on long edges, so that they bend smoothly
_SHIFT = np.int64(1) << 32

LINE_TYPES = (
    "motorway",
    "trunk",
    "primary",
    "secondary",
    "tertiary",
    "residential",
    "railway",
    "waterway",
    "runway",
)
ROAD_TYPES = LINE_TYPES[:6]
# Width of the strip of land that a line takes, in metres; waterways inside blocks are canals.
WIDTHS = {
    "motorway": 60,
    "trunk": 50,
    "primary": 40,
    "secondary": 30,
    "tertiary": 22,
    "residential": 12,
    "railway": 30,
    "waterway": 24,
}
# Kinds of cells: 0 is land, then the strips of each line type, then the two reserved sites.
LAND = 0
STRIP = {name: code for code, name in enumerate(LINE_TYPES, start=1)}
AIRPORT, PORT = 21, 22

CELL = np.dtype(
    [("x0", "i8"), ("x1", "i8"), ("y0", "i8"), ("y1", "i8"), ("kind", "i2"), ("block", "i8")]
    # half width of the road along each side, by which crossing centre lines reach into it
    + [(side, "i8") for side in ("west", "east", "south", "north")]
)
LINE = np.dtype([("x0", "i8"), ("y0", "i8"), ("x1", "i8"), ("y1", "i8"), ("kind", "i2")])

_AXES = {True: ("x0", "x1", "west", "east", "south", "north"), False: ("y0", "y1", "south", "north", "west", "east")}


class Mass:
    """Expected number of parcels in any rectangle, from a table of densities over the plan.

    Parameters
    ----------
    density : array (n, n), rows along y; only its proportions count.
    size : side of the plan in plan units.
    total : number of parcels that the whole plan is to have.
    """

    def __init__(self, density: np.ndarray, size: int, total: float):
        table = np.zeros((density.shape[0] + 1, density.shape[1] + 1))
        table[1:, 1:] = density.cumsum(axis=0).cumsum(axis=1)
        self._table = table * (total / table[-1, -1])
        self._scale = density.shape[0] / size

    def __call__(self, cells: np.ndarray) -> np.ndarray:
        def upto(x, y):
            return self._upto(cells[x] * self._scale, cells[y] * self._scale)

        return upto("x1", "y1") - upto("x0", "y1") - upto("x1", "y0") + upto("x0", "y0")

    def _upto(self, x, y):
        last = self._table.shape[0] - 2
        column, row = np.minimum(x.astype(int), last), np.minimum(y.astype(int), last)
        right, up = x - column, y - row
        table = self._table
        return (1 - up) * ((1 - right) * table[row, column] + right * table[row, column + 1]) + up * (
            (1 - right) * table[row + 1, column] + right * table[row + 1, column + 1]
        )


def units(metres: float) -> int:
    """Plan units of a length, even so that it has a middle."""
    return 2 * round(metres / UNIT / 2)


def divide(cells: np.ndarray, along_x: bool, start: np.ndarray, width: np.ndarray, kind: np.ndarray):
    """Divide cells in two by a strip (or by an edge where the width is 0).

    Parameters
    ----------
    cells : CELL array.
    along_x : True divides x, so that the strip runs along y.
    start, width : where each strip starts, and its width, in plan units.
    kind : code of each strip's line type.

    Returns
    -------
    (low, strips, high, lines) : two CELL arrays with a row per cell, and the strips and their centre lines with a
    row per cell whose width is not 0.
    """
    lower, upper, before, after, left, right = _AXES[along_x]
    low, high = cells.copy(), cells.copy()
    low[upper], high[lower] = start, start + width
    wide = width > 0
    # Roads meet in the middle of roads and railways, but end at the bank of a waterway.
    half = np.where(kind <= STRIP["railway"], width // 2, 0)
    low[after] = high[before] = half
    strips = cells[wide].copy()
    strips[lower], strips[upper] = start[wide], (start + width)[wide]
    strips["kind"] = kind[wide]
    lines = np.zeros(len(strips), LINE)
    lines["kind"] = strips["kind"]
    reach = kind[wide] <= STRIP["residential"]
    across, along = ("x", "y") if along_x else ("y", "x")
    middle = (strips[lower] + strips[upper]) // 2
    lines[f"{across}0"] = lines[f"{across}1"] = middle
    lines[f"{along}0"] = strips[f"{along}0"] - strips[left] * reach
    lines[f"{along}1"] = strips[f"{along}1"] + strips[right] * reach
    return low, strips, high, lines


def cut(strips: np.ndarray, length: int) -> np.ndarray:
    """Cut strips across into pieces of about ``length`` plan units, each a parcel of its own."""
    long_x = strips["x1"] - strips["x0"] > strips["y1"] - strips["y0"]
    parts = []
    for along_x in (True, False):
        chosen = strips[long_x == along_x]
        lower, upper = _AXES[along_x][:2]
        extent = chosen[upper] - chosen[lower]
        pieces = np.maximum(1, np.rint(extent / length)).astype(np.int64)
        owner = np.repeat(np.arange(len(chosen)), pieces)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        part = chosen[owner]
        part[lower] = chosen[lower][owner] + extent[owner] * place // pieces[owner]
        part[upper] = chosen[lower][owner] + extent[owner] * (place + 1) // pieces[owner]
        parts.append(part)
    return np.concatenate(parts)


def split_blocks(
    cells: np.ndarray, mass: Mass, mean_mass: float, rng: np.random.Generator, progress: Callable[..., None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split land by ever smaller roads until each block holds a handful of parcels, more in the country.

    Parameters
    ----------
    cells : CELL array of the districts between the main lines.
    mass : expected parcels in a cell.
    mean_mass : parcels per square plan unit over the whole city; denser cells count as town.
    progress : called once per round; may raise to stop.

    Returns
    -------
    (blocks, strips, lines)
    """
    blocks, strips, lines = [], [], []
    while len(cells):
        progress(0.0, "")
        width, height = cells["x1"] - cells["x0"], cells["y1"] - cells["y0"]
        weight = mass(cells)
        town = weight > 0.6 * mean_mass * width * height
        long_side = np.maximum(width, height)
        again = (weight > np.where(town, 11, 40)) & (long_side > units(180))
        blocks.append(cells[~again])
        cells, town, along_x, long_side = cells[again], town[again], (width >= height)[again], long_side[again]
        kind = np.searchsorted([units(500), units(1200), units(2600)], long_side)
        kind = np.array([STRIP[name] for name in ("residential", "tertiary", "secondary", "primary")])[kind]
        canal = ~town & (rng.random(len(cells)) < 0.3)
        kind = np.where(canal, STRIP["waterway"], kind)
        gap = np.array([0] + [units(WIDTHS.get(name, 0)) for name in LINE_TYPES])[kind]
        share = rng.uniform(0.38, 0.62, len(cells))
        following = []
        for direction in (True, False):
            chosen = along_x == direction
            lower = _AXES[direction][0]
            start = cells[lower] + np.rint(share * (long_side - gap)).astype(np.int64)
            low, strip, high, line = divide(
                cells[chosen], direction, start[chosen], gap[chosen].astype(np.int64), kind[chosen]
            )
            following += [low, high]
            strips.append(strip)
            lines.append(line)
        cells = np.concatenate(following)
    return np.concatenate(blocks), np.concatenate(strips), np.concatenate(lines)


def split_parcels(
    blocks: np.ndarray, count: int, mass: Mass, rng: np.random.Generator, progress: Callable[..., None]
) -> np.ndarray:
    """Split blocks into exactly ``count`` parcels, always those with the largest expected number of parcels.

    Returns a CELL array whose ``block`` says which block each parcel lies in.
    """
    cells = blocks
    weight = mass(cells)
    missing = count - len(cells)
    while missing > 0:
        progress(1 - missing / count, "Dividing blocks into parcels")
        order = np.argsort(-weight, kind="stable")
        number = min(missing, max(1, int((weight > 0.6 * weight[order[0]]).sum())))
        chosen, rest = order[:number], order[number:]
        parents = cells[chosen]
        width, height = parents["x1"] - parents["x0"], parents["y1"] - parents["y0"]
        share = rng.uniform(0.4, 0.6, number)
        children = []
        for direction in (True, False):
            turned = (width >= height) == direction
            part = parents[turned]
            lower, upper = _AXES[direction][:2]
            start = part[lower] + np.rint(share[turned] * (part[upper] - part[lower])).astype(np.int64)
            none = np.zeros(len(part), np.int64)
            low, _, high, _ = divide(part, direction, start, none, none)
            children += [low, high]
        children = np.concatenate(children)
        cells = np.concatenate([cells[rest], children])
        weight = np.concatenate([weight[rest], mass(children)])
        missing -= number
    return cells


def carve(cells: np.ndarray, site: tuple[int, int, int, int], kind: int) -> np.ndarray:
    """Cut a rectangle (x0, x1, y0, y1) that lies inside one cell out of it, as a cell of its own kind."""
    x0, x1, y0, y1 = site
    inside = (cells["x0"] <= x0) & (cells["x1"] >= x1) & (cells["y0"] <= y0) & (cells["y1"] >= y1)
    index = int(np.flatnonzero(inside)[0])
    middle = cells[index]
    around = []
    for lower, upper, low, high in (("x0", "x1", x0, x1), ("y0", "y1", y0, y1)):
        before, after = middle.copy(), middle.copy()
        before[upper], after[lower] = low, high
        middle[lower], middle[upper] = low, high
        around += [part for part in (before, after) if part[upper] > part[lower]]
    middle["kind"] = kind
    return np.concatenate([np.delete(cells, index), np.array([middle, *around], CELL)])


def polygons(cells: np.ndarray, bend: Callable[[np.ndarray, np.ndarray], tuple]) -> np.ndarray:
    """Polygons of cells that tile the plan, bent into the city's shape.

    Every corner that lies on a side belongs to that side, so neighbours share all their vertices.

    Parameters
    ----------
    cells : CELL array that tiles the plan.
    bend : maps plan coordinates x, y to map coordinates.
    """
    count = len(cells)
    column, row = _vertices(cells)  # sorted by column, then by row
    by_column = column * _SHIFT + row
    order = np.lexsort((column, row))
    by_row = (row * _SHIFT + column)[order]
    x0, x1, y0, y1 = (cells[name] for name in ("x0", "x1", "y0", "y1"))

    def place_in_column(x, y):
        return np.searchsorted(by_column, x * _SHIFT + y)

    def place_in_row(x, y):
        return np.searchsorted(by_row, y * _SHIFT + x) + len(column)

    # Each ring: south side eastward, east side northward, north side westward, west side southward, and its start.
    starts = np.empty((count, 5), np.int64)
    lengths = np.empty((count, 5), np.int64)
    starts[:, 0], starts[:, 2] = place_in_row(x0, y0), place_in_row(x1, y1)
    starts[:, 1], starts[:, 3] = place_in_column(x1, y0), place_in_column(x0, y1)
    starts[:, 4] = starts[:, 0]
    lengths[:, 0] = place_in_row(x1, y0) - starts[:, 0]
    lengths[:, 1] = place_in_column(x1, y1) - starts[:, 1]
    lengths[:, 2] = starts[:, 2] - place_in_row(x0, y1)
    lengths[:, 3] = starts[:, 3] - place_in_column(x0, y0)
    lengths[:, 4] = 1
    steps = np.tile(np.array([1, 1, -1, -1, 1]), count)
    starts, lengths = starts.ravel(), lengths.ravel()
    offsets = np.cumsum(lengths) - lengths
    index = np.repeat(starts, lengths) + np.repeat(steps, lengths) * (
        np.arange(lengths.sum()) - np.repeat(offsets, lengths)
    )
    vertex = np.concatenate([np.arange(len(column)), order])[index]
    x, y = bend(column, row)
    rings = np.append(offsets[::5], lengths.sum())
    return shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, np.column_stack([x[vertex], y[vertex]]), (rings, np.arange(count + 1))
    )


def _vertices(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of every vertex: all corners, and points at a regular spacing on long sides."""
    found = []
    for x in ("x0", "x1"):
        for y in ("y0", "y1"):
            found.append(cells[x] * _SHIFT + cells[y])
        between, owner = _multiples(cells["y0"], cells["y1"])
        found.append(cells[x][owner] * _SHIFT + between)
    for y in ("y0", "y1"):
        between, owner = _multiples(cells["x0"], cells["x1"])
        found.append(between * _SHIFT + cells[y][owner])
    key = np.unique(np.concatenate(found))
    return key // _SHIFT, key % _SHIFT


def _multiples(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multiples of the vertex spacing strictly between two bounds, and the row that each belongs to."""
    first = low // VERTEX_SPACING + 1
    number = np.maximum((high - 1) // VERTEX_SPACING - first + 1, 0)
    owner = np.repeat(np.arange(len(low)), number)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(number) - number, number)
    return (first[owner] + place) * VERTEX_SPACING, owner


def centre_lines(lines: np.ndarray, bend: Callable[[np.ndarray, np.ndarray], tuple]) -> np.ndarray:
    """Line strings of LINE rows, bent into shape by vertices at a regular spacing; runways stay straight."""
    upright = lines["x0"] == lines["x1"]
    low = np.where(upright, lines["y0"], lines["x0"])
    high = np.where(upright, lines["y1"], lines["x1"])
    between, owner = _multiples(low, np.where(lines["kind"] == STRIP["runway"], low, high))
    along = np.concatenate([low, high, between])
    owner = np.concatenate([np.arange(len(lines)), np.arange(len(lines)), owner])
    order = np.lexsort((along, owner))
    along, owner = along[order], owner[order]
    x = np.where(upright[owner], lines["x0"][owner], along)
    y = np.where(upright[owner], along, lines["y0"][owner])
    parts = np.append(0, np.cumsum(np.bincount(owner, minlength=len(lines))))
    return shapely.from_ragged_array(shapely.GeometryType.LINESTRING, np.column_stack(bend(x, y)), (parts,))
