"""How much of each cell of a grid polygons cover: exact fractions, and the rule of the cell's centre.

Every edge is cut where it crosses a row or a column of cells. A piece inside one cell adds to it the signed area
between the piece and the cell's right side, and its height to all cells on the right; a running sum along each row
then gives the covered area (Green's theorem, as in the anti-aliasing of fonts). The work grows with the length of the
outlines and not with the area, and no geometry is intersected.
"""

import numpy as np
import shapely


class Outlines:
    """Edges of polygons in cells of a grid: columns from its west edge, rows from its north edge.

    Parameters
    ----------
    polygons : polygons or multipolygons, valid. Ground that several of them cover counts several times.
    transform : of column and row to coordinates, north-up (``affine.Affine``).
    weights : what each polygon counts for, for example the code of a class; one each by default.
    """

    def __init__(self, polygons, transform, weights=None):
        self._polygons = np.asarray(polygons, dtype=object)
        self._to_cells = ~transform
        self._weights = np.ones(len(self._polygons)) if weights is None else np.asarray(weights, dtype=float)
        _, south, _, north = shapely.bounds(self._polygons).T
        self._top, self._bottom = ((self._to_cells @ (0.0, y))[1] for y in (north, south))

    def __len__(self) -> int:
        return len(self._polygons)

    def fractions(self, top: int, height: int, width: int) -> np.ndarray:
        """Covered fraction of each cell of the rows ``top`` to ``top + height``, (height, width) float64.

        Weights multiply the fractions; without them and without overlaps the result lies between 0 and 1.
        """
        x0, y0, x1, y1, weight = self._between(top, height)
        y0, x0, y1, x1, weight = _cut(y0, x0, y1, x1, weight)
        row = np.floor((y0 + y1) / 2)
        inside = (row >= 0) & (row < height)
        x0, y0, x1, y1, weight = _cut(*(values[inside] for values in (x0, y0, x1, y1, weight)))
        row = np.clip(np.floor((y0 + y1) / 2), 0, height - 1).astype(np.int64)
        middle = np.clip((x0 + x1) / 2, 0, width)
        column = np.minimum(np.floor(middle), width - 1).astype(np.int64)
        step = (y1 - y0) * weight
        right = (column + 1 - middle) * step
        place = row * (width + 1) + column
        return _running_sum(np.concatenate([place, place + 1]), np.concatenate([right, step - right]), height, width)

    def centres(self, top: int, height: int, width: int) -> np.ndarray:
        """Sum of the weights of the polygons that hold each cell's centre, (height, width) float64.

        A centre on an outline belongs to the polygon on its east or south, so that of polygons that share an edge
        exactly one holds it.
        """
        x0, y0, x1, y1, weight = self._between(top, height)
        low, high = np.minimum(y0, y1), np.maximum(y0, y1)
        # Rows whose centre line c lies in low <= c < high.
        first = np.maximum(np.ceil(low - 0.5), 0).astype(np.int64)
        last = np.minimum(np.ceil(high - 0.5), height).astype(np.int64)
        count = np.maximum(last - first, 0)
        edge = np.repeat(np.arange(len(count)), count)
        row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        share = (row + 0.5 - y0[edge]) / (y1 - y0)[edge]
        crossing = x0[edge] + share * (x1 - x0)[edge]
        column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
        signed = np.where(y1 > y0, weight, -weight)[edge]
        return _running_sum(row * (width + 1) + column, signed, height, width)

    def _between(self, top: int, height: int) -> tuple[np.ndarray, ...]:
        """The edges that meet some rows, the first of which becomes row 0: start and end, and the polygon's weight."""
        # The edges are made anew for each window, so that those of all polygons never lie in memory together.
        meeting = np.flatnonzero((self._bottom >= top) & (self._top <= top + height))
        parts, owner = shapely.get_parts(shapely.orient_polygons(self._polygons[meeting]), return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        column, row = self._to_cells @ (points[:, 0], points[:, 1])
        row -= top
        start = np.flatnonzero(ring[1:] == ring[:-1])
        low, high = np.minimum(row[start], row[start + 1]), np.maximum(row[start], row[start + 1])
        start = start[(low < high) & (high > 0) & (low < height)]
        weight = self._weights[meeting][owner[part[ring[start]]]]
        return column[start], row[start], column[start + 1], row[start + 1], weight


def _running_sum(place: np.ndarray, values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Values at places of rows that are one cell wider, added up along each row."""
    sums = np.bincount(place, values, height * (width + 1)).reshape(height, width + 1)
    return np.cumsum(sums, axis=1, out=sums)[:, :width]


def _cut(along0, across0, along1, across1, weight) -> tuple[np.ndarray, ...]:
    """Cut edges where their first coordinate is a whole number; both pieces get the same point."""
    low, high = np.floor(np.minimum(along0, along1)), np.ceil(np.maximum(along0, along1))
    pieces = np.maximum(high - low, 1).astype(np.int64)
    few, many = np.flatnonzero(pieces == 1), np.flatnonzero(pieces > 1)
    edge = np.repeat(many, pieces[many])
    count_of_edge = pieces[edge]
    number = np.arange(len(edge)) - np.repeat(np.cumsum(pieces[many]) - pieces[many], pieces[many])
    rising = (along1 > along0)[edge]

    def place(step):
        """First and second coordinate of the cut after ``step`` pieces."""
        along = np.where(rising, low[edge] + step, high[edge] - step)
        share = (along - along0[edge]) / (along1 - along0)[edge]
        return along, across0[edge] + share * (across1 - across0)[edge]

    # The ends are those of the edge itself, so that the pieces of an outline stay closed.
    along_start, across_start = place(number)
    along_end, across_end = place(number + 1)
    first, last = number == 0, number == count_of_edge - 1
    return (
        np.concatenate([along0[few], np.where(first, along0[edge], along_start)]),
        np.concatenate([across0[few], np.where(first, across0[edge], across_start)]),
        np.concatenate([along1[few], np.where(last, along1[edge], along_end)]),
        np.concatenate([across1[few], np.where(last, across1[edge], across_end)]),
        np.concatenate([weight[few], weight[edge]]),
    )
