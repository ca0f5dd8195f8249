"""Spatial weights: which units are neighbours of which, and how much each of them counts.

Weights are a scipy CSR array of shape (n, n). Row i holds the neighbours of unit i; the diagonal is empty, since a
unit is no neighbour of its own. Coordinates and distances are in one unit of length throughout, usually metres.
"""

from collections.abc import Callable

import numpy as np
import shapely
from scipy import sparse
from scipy.spatial import cKDTree

from .checks import one_of
from .errors import InputError

_CHUNK = 50_000
_MOST_LINKS = 200_000_000
# A shared border is longer than what two corners that meet can have within the snap tolerance of each other.
_CORNER = 4.0

# Kernels of u = distance / bandwidth, for u <= 1; as libpysal defines them.
KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "triangular": lambda u: 1 - u,
    "uniform": lambda u: np.full_like(u, 0.5),
    "epanechnikov": lambda u: 0.75 * (1 - u**2),
    "quartic": lambda u: 15 / 16 * (1 - u**2) ** 2,
    "gaussian": lambda u: np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi),
}


def contiguity(
    geometries: np.ndarray,
    rook: bool = False,
    snap: float = 0.0,
    progress: Callable[[float, str], None] = lambda fraction, text="": None,
) -> sparse.csr_array:
    """Binary weights of polygons that touch or overlap, found with an STRtree.

    Parameters
    ----------
    geometries : (n,) polygons.
    rook : whether neighbours must share a border and not only a corner (queen).
    snap : gaps up to this distance count as touching. With a tolerance, rook asks for a shared border longer than
        four times it.
    """
    if not (np.isfinite(snap) and snap >= 0):
        raise InputError("snap_m", f"{snap} is not a distance", "Give 0 or a positive number of metres")
    tree = shapely.STRtree(geometries)
    around = shapely.buffer(geometries, snap, quad_segs=2) if rook and snap > 0 else None
    pairs = [np.empty((2, 0), np.int32)]
    for start in range(0, len(geometries), _CHUNK):
        progress(start / len(geometries), "Finding neighbours")
        chunk = geometries[start : start + _CHUNK]
        first, second = _near(tree, chunk, snap)
        # Each pair once: neighbourhood is mutual.
        keep = first + start < second
        first, second = first[keep], second[keep]
        shapely.prepare(chunk)
        other = geometries[second]
        keep = shapely.dwithin(chunk[first], other, snap) if snap > 0 else shapely.intersects(chunk[first], other)
        shapely.destroy_prepared(chunk)
        first, second = first[keep], second[keep]
        if rook:
            keep = _share_border(chunk[first], geometries[second], None if around is None else around[second], snap)
            first, second = first[keep], second[keep]
        pairs.append(np.stack([first + start, second]).astype(np.int32))
        _refuse_too_many(2 * sum(part.shape[1] for part in pairs), "weights", "Choose k nearest neighbours")
    first, second = np.concatenate(pairs, axis=1)
    return _matrix(np.r_[first, second], np.r_[second, first], np.ones(2 * len(first)), len(geometries))


def _near(tree: shapely.STRtree, geometries: np.ndarray, snap: float) -> np.ndarray:
    """Pairs of geometries and tree members whose boxes meet within the tolerance."""
    if snap == 0:
        return tree.query(geometries)
    west, south, east, north = shapely.bounds(geometries).T
    return tree.query(shapely.box(west - snap, south - snap, east + snap, north + snap))


def _share_border(first: np.ndarray, second: np.ndarray, around_second: np.ndarray | None, snap: float) -> np.ndarray:
    """Whether neighbours share more than single points."""
    if around_second is not None:
        return shapely.length(shapely.intersection(shapely.boundary(first), around_second)) > _CORNER * snap
    # DE-9IM: interiors meet (sign 0), or borders do along a line (sign 4).
    signs = np.array(shapely.relate(first, second), dtype="U9").view("U1").reshape(-1, 9)
    return (signs[:, 0] != "F") | (signs[:, 4] == "1")


def nearest(coordinates: np.ndarray, k: int) -> sparse.csr_array:
    """Binary weights of the k nearest other units, (n, 2) coordinates; all others where there are fewer than k."""
    index, _ = _nearest(coordinates, k)
    n, k = index.shape
    return _matrix(np.repeat(np.arange(n), k), index.ravel(), np.ones(n * k), n)


def _nearest(coordinates: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Index and distance of the k nearest others, shape (n, k)."""
    if k < 1:
        raise InputError("k", f"{k} is not a number of neighbours", "Give 1 or more")
    n = len(coordinates)
    k = min(k, n - 1)
    _refuse_too_many(n * k, "k", "Give a smaller number of neighbours")
    distance, index = cKDTree(coordinates).query(coordinates, k=np.arange(1, k + 2))
    own = index == np.arange(n)[:, None]
    # Among more than k units at one place a unit may not find itself; then the last one found is one too many.
    own[~own.any(axis=1), -1] = True
    others = np.argsort(own, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(index, others, 1), np.take_along_axis(distance, others, 1)


def distance_band(coordinates: np.ndarray, distance: float) -> sparse.csr_array:
    """Binary weights of all other units within a distance (inclusive)."""
    first, second, _ = _within(coordinates, distance)
    return _matrix(first, second, np.ones(len(first)), len(coordinates))


def _within(coordinates: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both directions of every pair of units within a distance, and their distances."""
    if not (np.isfinite(distance) and distance > 0):
        raise InputError("distance_m", f"{distance} is not a positive distance", "Give it in metres, for example 1000")
    tree = cKDTree(coordinates)
    links = tree.count_neighbors(tree, distance) - len(coordinates)
    _refuse_too_many(links, "distance_m", "Give a shorter distance")
    first, second = tree.query_pairs(distance, output_type="ndarray").T
    apart = np.hypot(*(coordinates[first] - coordinates[second]).T)
    return np.concatenate([first, second]), np.concatenate([second, first]), np.concatenate([apart, apart])


def distance_for_all(coordinates: np.ndarray) -> float:
    """Shortest distance band in which every unit has a neighbour."""
    _, distance = _nearest(coordinates, 1)
    # A hair longer, so that rounding does not leave out the unit that sets it.
    return float(distance.max()) * (1 + 1e-9)


def kernel(
    coordinates: np.ndarray, function: str = "triangular", bandwidth: float | None = None, k: int = 8
) -> sparse.csr_array:
    """Weights that fall with distance: K(d / h), and 0 beyond the bandwidth h.

    Parameters
    ----------
    function : one of ``KERNELS``.
    bandwidth : one distance for all units; None takes for each unit the distance of its k-th nearest neighbour, which
        adapts to how densely the units lie.
    """
    one_of(function, KERNELS, "kernel")
    n = len(coordinates)
    if bandwidth is not None:
        first, second, distance = _within(coordinates, bandwidth)
        ratio = distance / bandwidth
    else:
        index, distance = _nearest(coordinates, k)
        first, second = np.repeat(np.arange(n), index.shape[1]), index.ravel()
        # The hair keeps the k-th neighbour itself above zero (as in libpysal); units at one place have no bandwidth.
        widest = np.maximum(distance[:, -1:] * 1.0000001, np.finfo(float).tiny)
        ratio = (distance / widest).ravel()
    return _matrix(first, second, KERNELS[function](ratio), n)


def row_standardise(weights: sparse.csr_array) -> sparse.csr_array:
    """Weights whose rows sum to 1; units without neighbours keep an empty row."""
    sums = weights.sum(axis=1)
    scale = np.divide(1.0, sums, out=np.zeros(len(sums)), where=sums > 0)
    result = weights.copy()
    result.data = result.data * np.repeat(scale, np.diff(weights.indptr))
    return result


def neighbours(weights: sparse.csr_array) -> np.ndarray:
    """Number of neighbours of every unit."""
    return np.diff(weights.indptr)


def without_self(weights: sparse.csr_array) -> sparse.csr_array:
    """Weights without diagonal and without links of weight zero."""
    links = sparse.coo_array(weights)
    keep = links.row != links.col
    return _matrix(links.row[keep], links.col[keep], links.data[keep].astype(float), weights.shape[0])


def _matrix(first: np.ndarray, second: np.ndarray, values: np.ndarray, n: int) -> sparse.csr_array:
    matrix = sparse.csr_array((values, (first.astype(np.int32), second.astype(np.int32))), shape=(n, n))
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def _refuse_too_many(links: int, parameter: str, mend: str) -> None:
    if links > _MOST_LINKS:
        raise InputError(parameter, f"there would be more than {_MOST_LINKS:,} pairs of neighbours", mend)
