"""The sample city as others map it: a land-use raster with CAS/RESDC codes, and industrial parks."""

import numpy as np
import shapely
from affine import Affine
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..coverage import Outlines

# Land type -> CAS/RESDC code. Roads and railways are too narrow for such a map: they take the code of what is beside.
CODES = {
    "mining land": 53,
    "industrial land": 53,
    "municipal utilities": 53,
    "urban residential land": 51,
    "rural homestead": 52,
    "commercial and business land": 51,
    "administration and public service land": 51,
    "road land": 0,
    "railway land": 0,
    "airport land": 53,
    "water transport land": 53,
    "cultivated land": 11,
    "garden land": 24,
    "agricultural facilities land": 12,
    "forest land": 21,
    "grassland": 31,
    "water": 42,
    "unused land": 65,
}
_OUTSIDE, _BESIDE = -1, 0
# Works on less ground (m2) are read as the town around them, as land-use maps do that are drawn from satellites.
_SEEN = 20_000
_WORKS = ("industrial land", "mining land")
# Works with no more than a road (m) between them make a park, from so many on; the largest group always does.
_ROAD, _LEAST_WORKS = 60.0, 8
_PARCELS_AT_ONCE = 100_000


def land_use(geometry: np.ndarray, land_types: np.ndarray, side: float) -> tuple[np.ndarray, float, float]:
    """Codes of square cells, rows from the north, 0 outside the city; and the upper left corner (x, y).

    Parameters
    ----------
    geometry : polygons that tile the city, in metres; a cell has the code of the one that holds its centre.
    land_types : name of each one's land type.
    side : of a cell, m.
    """
    codes = np.array([CODES[name] for name in land_types])
    codes[(shapely.area(geometry) < _SEEN) & np.isin(land_types, _WORKS)] = CODES["urban residential land"]
    west, south, east, north = shapely.total_bounds(geometry)
    west, north = side * np.floor(west / side), side * np.ceil(north / side)
    height, width = int(np.ceil((north - south) / side)), int(np.ceil((east - west) / side))
    transform = Affine(side, 0, west, 0, -side, north)
    grid = np.full((height, width), float(_OUTSIDE))
    for start in range(0, len(geometry), _PARCELS_AT_ONCE):
        part = slice(start, start + _PARCELS_AT_ONCE)
        grid += Outlines(geometry[part], transform, codes[part] - _OUTSIDE).centres(0, height, width)
    nearest = distance_transform_edt(grid <= _BESIDE, return_distances=False, return_indices=True)
    return np.where(grid == _OUTSIDE, 0, grid[tuple(nearest)]).astype(np.uint8), west, north


def parks(geometry: np.ndarray, land_types: np.ndarray) -> np.ndarray:
    """Outlines of industrial parks: hulls around works that lie together, with the roads between them."""
    works = geometry[np.asarray(land_types) == "industrial land"]
    first, second = shapely.STRtree(works).query(works, predicate="dwithin", distance=_ROAD)
    links = coo_array((np.ones(len(first)), (first, second)), shape=(len(works), len(works)))
    _, group = connected_components(links, directed=False)
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group)
    members = np.split(works[order], np.cumsum(counts)[:-1])
    large = [shapely.union_all(part) for part in members if len(part) >= min(_LEAST_WORKS, counts.max())]
    return shapely.concave_hull(np.array(large, dtype=object), ratio=0.4)
