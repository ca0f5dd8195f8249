"""Weights of parcels from other layers: points counted once, lengths of lines, exact raster sums."""

from collections.abc import Callable

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from exactextract import exact_extract

# Points are sorted into this many rows and columns before a query: neighbours then meet the same part of the index.
_SORTING_GRID = 256
_RASTER_CHUNK = 20_000
_LINE_CHUNK = 50_000


class PointLocator:
    """Finds the one parcel that each point belongs to.

    A point on a shared edge, or where parcels overlap, belongs to the smallest parcel there (of equal ones, to the
    one whose bounding box starts furthest west, then south), so that no point counts twice and the order of the
    parcels does not matter. Threads may share a locator.
    """

    def __init__(self, polygons: np.ndarray):
        self._polygons = polygons
        self._tree = shapely.STRtree(polygons)
        self._tree.query(shapely.Point(0, 0))  # builds the index before threads share it

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        """Row of the parcel of each point, -1 outside of all; xy : (2, m) in the CRS of the polygons."""
        x, y = xy
        found = np.full(len(x), -1, dtype=np.intp)
        order = _sort_in_space(x, y)
        hit, parcel = self._tree.query(shapely.points(x[order], y[order]), predicate="intersects")
        point = order[hit]
        found[point] = parcel
        several = np.bincount(point, minlength=len(x)) > 1
        if several.any():
            among = several[point]
            point, parcel = point[among], parcel[among]
            polygons = self._polygons[parcel]
            west, south, _, _ = shapely.bounds(polygons).T
            # Written from the last choice to the first: the first one stays.
            preference = np.lexsort((south, west, shapely.area(polygons)))[::-1]
            found[point[preference]] = parcel[preference]
        return found


def _sort_in_space(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Order in which points that lie near each other follow each other; points at infinity are left out."""
    usable = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    cell = _place(y[usable]) * np.uint16(_SORTING_GRID) + _place(x[usable])
    return usable[np.argsort(cell, kind="stable")]


def _place(values: np.ndarray) -> np.ndarray:
    """Row or column of the sorting grid that each coordinate falls in."""
    if not len(values):
        return np.zeros(0, dtype=np.uint16)
    low, extent = values.min(), np.ptp(values)
    scale = (_SORTING_GRID - 1) / extent if extent > 0 else 0.0
    return ((values - low) * scale).astype(np.uint16)


def first_of_duplicates(xy: np.ndarray, names: np.ndarray, distance: float) -> np.ndarray:
    """Which points to keep so that each place counts once.

    Points with the same name form one place when a chain of steps of at most ``distance`` joins them; its point
    furthest west, then south, is kept. Points without a name ('') are always kept.

    Parameters
    ----------
    xy : (2, m) in metres; names : (m,) text; distance : metres.

    Returns
    -------
    (m,) True where the point is kept.
    """
    # Imported here because few runs need it, and it takes longer to load than a small city to allocate.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    x, y = xy
    keep = np.ones(len(x), dtype=bool)
    named = np.flatnonzero((names != "") & np.isfinite(x) & np.isfinite(y))
    named = named[np.lexsort((y[named], x[named]))]
    code, _ = pd.factorize(names[named])
    # Names become a third axis on which different names are too far apart to meet.
    place = np.column_stack([x[named], y[named], code * (2 * distance + 1)])
    pairs = KDTree(place).query_pairs(distance, output_type="ndarray")
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(named), len(named)))
    _, group = connected_components(links, directed=False)
    _, first = np.unique(group, return_index=True)
    keep[named] = False
    keep[named[first]] = True
    return keep


def count_by_category(
    parcel: np.ndarray, category: np.ndarray, shape: tuple[int, int], weight: np.ndarray | None = None
) -> np.ndarray:
    """Count of points, or sum of their weights, per parcel and category.

    parcel, category : (m,) rows and columns of the result, points with a parcel below 0 do not count; weight : (m,).
    """
    inside = parcel >= 0
    if weight is not None:
        weight = weight[inside]
    flat = np.bincount(parcel[inside] * shape[1] + category[inside], weight, minlength=shape[0] * shape[1])
    return flat.reshape(shape)


def length_by_type(
    polygons: np.ndarray,
    lines: np.ndarray,
    kind: np.ndarray,
    kinds: int,
    progress: Callable[[float, str], None] = lambda fraction, text: None,
) -> np.ndarray:
    """Length of the lines inside each parcel, per type of line, in the unit of the coordinates.

    polygons : (n,); lines : (m,) in the same CRS; kind : (m,) columns of the (n, kinds) result.
    """
    tree = shapely.STRtree(polygons)
    total = np.zeros(len(polygons) * kinds)
    for start in range(0, len(lines), _LINE_CHUNK):
        progress(start / len(lines), "Measuring lines inside parcels")
        part = lines[start : start + _LINE_CHUNK]
        line, parcel = tree.query(part, predicate="intersects")
        inside = shapely.length(shapely.intersection(part[line], polygons[parcel]))
        total += np.bincount(parcel * kinds + kind[start + line], inside, minlength=len(total))
    return total.reshape(len(polygons), kinds)


def corrected_length(length: np.ndarray, facilities: np.ndarray, group: np.ndarray, beta: float) -> np.ndarray:
    """Length corrected by the facilities on a parcel: ``L* = L (1 + beta n / mean(n))``.

    The Suzhou paper corrects the standard length of a road parcel by its POIs of transport facilities but prints no
    formula; in this one a parcel with the mean number of facilities counts ``1 + beta`` times its length.

    Parameters
    ----------
    length, facilities : (n,) length and number of facilities of each parcel; group : (n,) codes of the groups within
    which the mean is taken; beta : strength, 0 = no correction.
    """
    sums = np.bincount(group, facilities)
    mean = sums / np.maximum(np.bincount(group), 1)
    relative = np.divide(facilities, mean[group], out=np.zeros(len(length)), where=mean[group] > 0)
    return length * (1 + beta * relative)


def raster_sums(
    dataset, polygons: gpd.GeoSeries, progress: Callable[[float, str], None] = lambda fraction, text: None
) -> np.ndarray:
    """Sum of a raster inside each polygon, cells on the edge by their exact fraction inside; nodata is zero.

    dataset : an open rasterio dataset, first band; polygons : (n,) in the CRS of the raster.
    """
    total = np.zeros(len(polygons))
    order = np.argsort(polygons.hilbert_distance().to_numpy(), kind="stable")
    for start in range(0, len(order), _RASTER_CHUNK):
        progress(start / len(order), "Summing the raster over parcels")
        rows = order[start : start + _RASTER_CHUNK]
        part = gpd.GeoDataFrame(geometry=polygons.iloc[rows].reset_index(drop=True))
        sums = exact_extract(dataset, part, "sum", strategy="raster-sequential", output="pandas")
        total[rows] = sums["sum"].fillna(0.0)
    return total
