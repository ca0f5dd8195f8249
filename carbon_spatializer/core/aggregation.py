"""Exact area-weighted aggregation of polygons' emissions to other polygons: grid cells, townships."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely

from . import ledger
from .errors import MassError

# Share of a polygon's area that is rounding in its coordinates, not ground that lies elsewhere.
_ROUNDING = 1e-6
# Targets that are intersected at a time, between two looks at whether the user wants to stop.
_CHUNK = 20_000


@dataclass(frozen=True)
class Split:
    """Which share of each source lies in which target: three parallel arrays, one entry per pair.

    ``outside`` is the share of each source that lies in no target. The shares of a source and what lies outside add
    up to one.
    """

    source: np.ndarray
    target: np.ndarray
    share: np.ndarray
    outside: np.ndarray

    def totals(self, values: pd.DataFrame, targets: int) -> pd.DataFrame:
        """Sum over the sources of share x value, one row per target; units as in ``values``, one row per source."""
        return pd.DataFrame(
            {
                name: np.bincount(self.target, self.share * column.to_numpy(float)[self.source], targets)
                for name, column in values.items()
            }
        )

    def balance(self, values: pd.DataFrame) -> pd.DataFrame:
        """The closed ledger, one row per field and sign: what came in, what the targets received, what lies outside.

        Positive and negative values are balanced apart, because a loss would hide where the two nearly cancel.

        Raises
        ------
        MassError : a balance does not close to 1e-9, so that something was lost or counted twice.
        """
        rows = []
        for name, column in values.items():
            for sign, part in (("positive", column.clip(lower=0)), ("negative", column.clip(upper=0))):
                amount = part.to_numpy(float)
                if sign == "negative" and not amount.any():
                    continue
                allocated = float(np.sum(self.share * amount[self.source]))
                rows.append((name, sign, float(amount.sum()), allocated, float(np.sum(self.outside * amount))))
        return ledger.close(pd.DataFrame(rows, columns=["field", "sign", "in_t", "allocated_t", "unallocated_t"]))


def split_over_cells(
    parcels: np.ndarray,
    cells: np.ndarray,
    progress: Callable[[float, str], None] = lambda fraction, text="": None,
) -> Split:
    """Split polygons over the cells of a grid, which tile the ground and cover every polygon.

    Parameters
    ----------
    parcels, cells : arrays of polygons in one projected CRS.
    progress : called with the fraction done and a text.

    Returns
    -------
    The share of each parcel's area in each cell. A parcel of zero area goes whole to the cell of its centroid.

    Raises
    ------
    MassError : the cells leave a part of a polygon uncovered.
    """
    split = _split(parcels, cells, np.zeros(0, int), progress)
    if split.outside.any():
        raise MassError(
            f"{np.count_nonzero(split.outside):,} polygons are not covered by the grid (first: number "
            f"{int(np.flatnonzero(split.outside)[0]) + 1}). Nothing was written; please report this with the inputs."
        )
    return split


def split_over_zones(
    parcels: np.ndarray,
    zones: np.ndarray,
    progress: Callable[[float, str], None] = lambda fraction, text="": None,
) -> tuple[Split, pd.DataFrame]:
    """Split polygons over zones, which may leave ground uncovered and may overlap.

    Where zones overlap, the part of a parcel in their union is shared between them in proportion to its areas in each,
    so that nothing counts twice.

    Parameters
    ----------
    parcels, zones : arrays of polygons in one projected CRS.
    progress : called with the fraction done and a text.

    Returns
    -------
    The share of each parcel's area in each zone and outside (a parcel of zero area goes whole to the first zone that
    holds its centroid), and the pairs of zones that overlap: ``first``, ``second`` (positions) and ``area`` in squared
    units of the CRS.
    """
    zones = _valid(zones)
    pairs = _overlaps(zones)
    return _split(parcels, zones, np.union1d(pairs["first"], pairs["second"]), progress), pairs


def _split(parcels: np.ndarray, targets: np.ndarray, overlapping: np.ndarray, progress) -> Split:
    polygons = _valid(parcels)
    areas = shapely.area(polygons)
    solid, flat = np.flatnonzero(areas > 0), np.flatnonzero(~(areas > 0))
    polygons = polygons[solid]
    source, target, area = _intersections(polygons, targets, progress)
    if len(overlapping):
        area = _without_double_count(polygons, targets, overlapping, source, target, area)
    source = solid[source]
    real = area > _ROUNDING**2 * areas[source]
    source, target, area = source[real], target[real], area[real]
    covered = np.bincount(source, area, len(parcels))
    outside = np.where(covered >= (1 - _ROUNDING) * areas, 0.0, 1 - covered / np.where(areas > 0, areas, 1))
    share = area * ((1 - outside) / np.where(covered > 0, covered, 1))[source]
    held, holder = _first_holding(shapely.centroid(parcels[flat]), targets)
    outside[flat] = 1.0
    outside[flat[held]] = 0.0
    return Split(
        np.concatenate([source, flat[held]]),
        np.concatenate([target, holder]),
        np.concatenate([share, np.ones(len(held))]),
        outside,
    )


def _overlaps(zones: np.ndarray) -> pd.DataFrame:
    """Pairs of zones with ground in common (each pair once), and its area."""
    first, second = shapely.STRtree(zones).query(zones, predicate="intersects")
    once = first < second
    first, second = first[once], second[once]
    area = shapely.area(shapely.intersection(zones[first], zones[second]))
    return pd.DataFrame({"first": first, "second": second, "area": area})[area > 0].reset_index(drop=True)


def _first_holding(points: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each point that lies in a target: its index and the index of the first such target."""
    if len(points) == 0:
        return np.zeros(0, int), np.zeros(0, int)
    point, target = shapely.STRtree(targets).query(points, predicate="intersects")
    order = np.lexsort((target, point))
    point, first = np.unique(point[order], return_index=True)
    return point, target[order][first]


def _valid(polygons: np.ndarray) -> np.ndarray:
    """Polygons that a change of CRS made invalid, repaired."""
    invalid = ~shapely.is_valid(polygons)
    polygons = polygons.copy()
    polygons[invalid] = shapely.make_valid(polygons[invalid], method="structure", keep_collapsed=False)
    return polygons


def _intersections(sources: np.ndarray, targets: np.ndarray, progress) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source, target and common area of all pairs that meet."""
    tree = shapely.STRtree(sources)
    area_of_source, area_of_target = shapely.area(sources), shapely.area(targets)
    chunks = np.array_split(np.arange(len(targets)), max(1, min(len(targets), 50), len(targets) // _CHUNK))
    parts = []
    for number, chunk in enumerate(chunks):
        progress(number / len(chunks), "" if number else "Intersecting polygons")
        target, source = tree.query(targets[chunk], predicate="intersects")
        target = chunk[target]
        area = np.full(len(target), np.nan)
        # Most sources lie inside one target, and large ones hold whole targets: only the rest need an intersection.
        shapely.prepare(targets[chunk])
        inside = shapely.covers(targets[target], sources[source])
        area[inside] = area_of_source[source[inside]]
        large = np.flatnonzero(~inside & (area_of_target[target] <= area_of_source[source]))
        shapely.prepare(sources[np.unique(source[large])])
        holding = large[shapely.covers(sources[source[large]], targets[target[large]])]
        area[holding] = area_of_target[target[holding]]
        rest = np.isnan(area)
        area[rest] = shapely.area(shapely.intersection(sources[source[rest]], targets[target[rest]]))
        parts.append((source, target, area))
    return tuple(np.concatenate(part) for part in zip(*parts))


def _without_double_count(parcels, zones, overlapping, source, target, area) -> np.ndarray:
    """Areas in overlapping zones, scaled so that those of one parcel add up to its area in the zones' union."""
    concerned = np.isin(target, overlapping)
    concerned &= (np.bincount(source[concerned], minlength=len(parcels)) > 1)[source]
    owner, place = np.unique(source[concerned], return_inverse=True)
    union = shapely.union_all(zones[overlapping])
    shapely.prepare(union)
    cut = ~shapely.covers(union, parcels[owner])
    true = shapely.area(parcels[owner])
    true[cut] = shapely.area(shapely.intersection(parcels[owner][cut], union))
    scaled = area.copy()
    scaled[concerned] *= (true / np.bincount(place, area[concerned], len(owner)))[place]
    return scaled
