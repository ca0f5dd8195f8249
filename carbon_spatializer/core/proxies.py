"""Weights of parcels from other layers: points counted once, lengths of lines, exact raster sums."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from exactextract import exact_extract

_LONGEST_RUN = 16
_RUNS_AT_ONCE = 8192
_MOST_THREADS = 4
_RASTER_CHUNK = 20_000
_LINE_CHUNK = 50_000


def parcels_of_points(
    polygons: np.ndarray,
    xy: np.ndarray,
    progress: Callable[[float, str], None] = lambda fraction, text: None,
) -> np.ndarray:
    """Find the one parcel that each point belongs to.

    A point on a shared edge, or where parcels overlap, belongs to the smallest parcel there (of equal ones, to the
    one whose bounding box starts furthest west, then south), so that no point counts twice and the order of the
    parcels does not matter.

    The points are put in Morton order and asked for in runs: one look-up in the index serves the neighbours of a run.

    Parameters
    ----------
    polygons : (n,) parcels; xy : (2, m) in the same CRS, not finite where a point has no place.

    Returns
    -------
    (m,) row of the parcel, -1 outside of all.
    """
    tree = shapely.STRtree(polygons)
    tree.query(shapely.Point(0, 0))  # builds the index before threads share it
    bounds = shapely.bounds(polygons)
    order = _morton_order(*xy)
    # About as many points as a parcel holds; longer runs where points are few would meet too many parcels.
    length = int(np.clip(1.5 * len(order) / len(polygons), 1, _LONGEST_RUN))
    order = np.append(order, np.repeat(order[-1:], -len(order) % length)).reshape(-1, length)
    found = np.full(xy.shape[1], -1, dtype=np.intp)

    def locate(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = xy[0][runs], xy[1][runs]
        run, parcel = tree.query(shapely.box(x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)))
        x, y = x[run], y[run]
        west, south, east, north = bounds[parcel].T[:, :, None]
        pair, place = np.nonzero((x >= west) & (x <= east) & (y >= south) & (y <= north))
        parcel = parcel[pair]
        inside = shapely.intersects_xy(polygons[parcel], x[pair, place], y[pair, place])
        point, parcel = _one_parcel_each((run[pair] * length + place)[inside], parcel[inside], polygons)
        return runs.ravel()[point], parcel

    chunks = [order[start : start + _RUNS_AT_ONCE] for start in range(0, len(order), _RUNS_AT_ONCE)]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
        for number, (point, parcel) in enumerate(pool.map(locate, chunks)):
            progress(number / len(chunks), "Counting points in parcels")
            found[point] = parcel
    return found


def _morton_order(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Order in which points that lie near each other follow each other; points that are not finite are left out."""
    usable = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    code = _every_other_bit(_steps(x[usable])) | _every_other_bit(_steps(y[usable])) << np.uint32(1)
    # Two sorts of 16 bits, for which numpy counts instead of comparing, are three times as fast as one of 32.
    order = np.argsort(code.astype(np.uint16), kind="stable")
    order = order[np.argsort((code >> np.uint32(16)).astype(np.uint16)[order], kind="stable")]
    return usable[order]


def _steps(values: np.ndarray) -> np.ndarray:
    """Coordinates in 2^16 steps from the smallest to the largest."""
    if not len(values):
        return np.zeros(0, dtype=np.uint32)
    low, extent = values.min(), np.ptp(values)
    scale = (2**16 - 1) / extent if extent > 0 else 0.0
    return ((values - low) * scale).astype(np.uint32)


def _every_other_bit(values: np.ndarray) -> np.ndarray:
    """Spread 16 bits over the even bits of 32."""
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        values = (values | values << np.uint32(shift)) & np.uint32(mask)
    return values


def _one_parcel_each(point: np.ndarray, parcel: np.ndarray, polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the pairs of points and parcels, keep one per point; see ``parcels_of_points`` for which."""
    several = np.bincount(point)[point] > 1
    if not several.any():
        return point, parcel
    among = polygons[parcel[several]]
    west, south, _, _ = shapely.bounds(among).T
    preferred = np.flatnonzero(several)[np.lexsort((south, west, shapely.area(among), point[several]))]
    _, first = np.unique(point[preferred], return_index=True)
    keep = np.concatenate([np.flatnonzero(~several), preferred[first]])
    return point[keep], parcel[keep]


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
