"""What is in the sample city: points of interest, people, townships and their product."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from . import wording
from .landscape import Landscape
from .landuse import LAND_TYPES
from .tiling import units

_POI_CHUNK = 500_000

# Land type -> points per parcel (relative) and what they are; the rest of the land has none.
_POINTS = {
    "mining land": (2.0, {"mining": 0.9, "transport facility": 0.1}),
    "industrial land": (
        4.5,
        {"manufacturing": 0.82, "commercial service": 0.08, "transport facility": 0.07, "public service": 0.03},
    ),
    "municipal utilities": (2.5, {"utility": 0.95, "public service": 0.05}),
    "urban residential land": (
        3.0,
        {
            "residential community": 0.25,
            "commercial service": 0.57,
            "public service": 0.13,
            "transport facility": 0.05,
        },
    ),
    "rural homestead": (
        1.2,
        {
            "residential community": 0.4,
            "commercial service": 0.35,
            "public service": 0.15,
            "manufacturing": 0.1,
        },
    ),
    "commercial and business land": (
        9.0,
        {
            "commercial service": 0.86,
            "public service": 0.05,
            "residential community": 0.04,
            "transport facility": 0.05,
        },
    ),
    "administration and public service land": (
        4.0,
        {"public service": 0.82, "commercial service": 0.13, "transport facility": 0.05},
    ),
    "road land": (0.6, {"transport facility": 0.9, "commercial service": 0.1}),
    "railway land": (0.6, {"transport facility": 1.0}),
    "airport land": (5.0, {"transport facility": 0.7, "commercial service": 0.3}),
    "water transport land": (4.0, {"transport facility": 0.75, "manufacturing": 0.25}),
    "cultivated land": (0.05, {"commercial service": 0.6, "public service": 0.4}),
    "garden land": (0.1, {"commercial service": 0.8, "public service": 0.2}),
    "agricultural facilities land": (0.6, {"manufacturing": 0.6, "commercial service": 0.4}),
    "forest land": (0.04, {"public service": 0.7, "commercial service": 0.3}),
    "grassland": (0.4, {"public service": 0.8, "commercial service": 0.2}),
}
# Smallest usual number of employees by category; the distribution has a heavy tail (Pareto, exponent 1.2).
_STAFF = {
    "mining": 15,
    "manufacturing": 12,
    "utility": 15,
    "commercial service": 2,
    "public service": 6,
    "transport facility": 1,
    "residential community": 2,
}
_LARGEST_STAFF = 30_000

# Storeys in the middle of the city and far out, and the share of the ground that is built on.
_BUILDINGS = {
    "urban residential land": (16, 4, 0.2),
    "commercial and business land": (40, 3, 0.4),
    "administration and public service land": (12, 3, 0.25),
    "industrial land": (4, 1, 0.45),
    "municipal utilities": (3, 1, 0.25),
    "rural homestead": (3, 2, 0.25),
    "airport land": (2, 1, 0.05),
    "railway land": (1, 1, 0.02),
    "water transport land": (2, 1, 0.1),
    "mining land": (1, 1, 0.02),
    "agricultural facilities land": (1, 1, 0.4),
}
# Floor area per person, m2, where people live.
_FLOOR_PER_PERSON = {"urban residential land": 50.0, "rural homestead": 90.0}
# Product per square metre of floor, relative.
_PRODUCT = {
    "industrial land": 2.0,
    "commercial and business land": 2.2,
    "administration and public service land": 0.7,
    "municipal utilities": 1.0,
    "urban residential land": 0.12,
    "rural homestead": 0.1,
    "agricultural facilities land": 0.15,
    "mining land": 3.0,
    "airport land": 2.0,
    "water transport land": 2.0,
}


def _by_type(table: dict, codes: np.ndarray, default=0.0) -> np.ndarray:
    return np.array([table.get(name, default) for name in LAND_TYPES], dtype=float)[codes]


def buildings(codes: np.ndarray, urbanity: np.ndarray, area: np.ndarray, rng: np.random.Generator):
    """Storeys (whole numbers) and floor area in m2 of each parcel."""
    centre = _by_type({name: row[0] for name, row in _BUILDINGS.items()}, codes)
    outside = _by_type({name: row[1] for name, row in _BUILDINGS.items()}, codes)
    covered = _by_type({name: row[2] for name, row in _BUILDINGS.items()}, codes)
    floors = outside + (centre - outside) * urbanity**1.3 * rng.uniform(0.5, 1.2, len(codes))
    floors = np.where(centre > 0, np.maximum(np.rint(floors), 1), 0).astype(np.int32)
    return floors, np.rint(floors * covered * area * rng.uniform(0.7, 1.1, len(codes)))


def residents(codes: np.ndarray, floor_area: np.ndarray) -> np.ndarray:
    """Persons living in each parcel."""
    per_person = _by_type(_FLOOR_PER_PERSON, codes)
    return np.divide(floor_area, per_person, out=np.zeros(len(codes)), where=per_person > 0)


def population_grid(
    landscape: Landscape, cells: np.ndarray, persons: np.ndarray, inside: tuple[float, float, float, float], side: float
):
    """Persons per square cell; each parcel's persons are spread evenly over its area, on points that follow it.

    Parameters
    ----------
    cells : CELL array of the parcels.
    persons : residents of each parcel.
    inside : west, south, east and north bounds of the city in metres.
    side : side of a cell, m.

    Returns
    -------
    (grid, west, north) : array (rows from the north, columns), and the upper left corner in metres.
    """
    west, south = (np.floor(bound / side) * side for bound in inside[:2])
    east, north = (np.ceil(bound / side) * side for bound in inside[2:])
    columns, rows = round((east - west) / side), round((north - south) / side)
    grid = np.zeros(rows * columns)
    lived_in = np.flatnonzero(persons > 0)
    cells, persons = cells[lived_in], persons[lived_in]
    # as many points per direction as the largest parcel needs for one every 40 m
    width, height = cells["x1"] - cells["x0"], cells["y1"] - cells["y0"]
    number = int(np.clip(np.ceil(np.quantile(np.maximum(width, height), 0.9) / units(40)), 2, 8)) if len(cells) else 2
    for right in range(number):
        for up in range(number):
            x, y = landscape.bend(
                cells["x0"] + width * ((right + 0.5) / number), cells["y0"] + height * ((up + 0.5) / number)
            )
            column = np.clip(((x - west) // side).astype(np.int64), 0, columns - 1)
            row = np.clip(((north - y) // side).astype(np.int64), 0, rows - 1)
            grid += np.bincount(row * columns + column, weights=persons / number**2, minlength=grid.size)
    return grid.reshape(rows, columns), west, north


def township_of(
    s: np.ndarray, t: np.ndarray, block: np.ndarray, blocks: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Townships as groups of neighbouring blocks, smaller where blocks are smaller (k-means on block centres).

    Parameters
    ----------
    s, t : positions of the parcels.
    block : block of each parcel, -1 for strips, which go to the nearest township.
    blocks : positions of the blocks, array (blocks, 2).
    count : number of townships.

    Returns
    -------
    (township, centres) : number of each parcel's township, and the positions of the townships, array (count, 2).
    """
    sample = blocks[rng.permutation(len(blocks))[:20_000]]
    centres = sample[:count].copy()
    for _ in range(12):
        nearest = _nearest(sample, centres)
        members = np.maximum(np.bincount(nearest, minlength=count), 1)
        for axis in (0, 1):
            sums = np.bincount(nearest, weights=sample[:, axis], minlength=count)
            moved = np.bincount(nearest, minlength=count) > 0
            centres[moved, axis] = (sums / members)[moved]
    of_block = _nearest(blocks, centres)
    place = np.column_stack([s, t])
    return np.where(block >= 0, of_block[np.maximum(block, 0)], _nearest(place, centres)), centres


def _nearest(places: np.ndarray, centres: np.ndarray) -> np.ndarray:
    best = np.full(len(places), np.inf)
    index = np.zeros(len(places), np.int32)
    for number, centre in enumerate(centres):
        distance = ((places - centre) ** 2).sum(axis=1)
        closer = distance < best
        best[closer], index[closer] = distance[closer], number
    return index


def regions(centres: np.ndarray) -> np.ndarray:
    """District of each township: one in the middle, four around it."""
    quarter = np.floor(((np.degrees(np.arctan2(centres[:, 1], centres[:, 0])) + 45) % 360) / 90).astype(int)
    middle = np.hypot(*centres.T) < 0.27
    return np.array(wording.DISTRICTS)[np.where(middle, 0, 1 + quarter)]


def products(codes, floor_area, township, count, total, rng) -> np.ndarray:
    """Gross domestic product of each township, summing to ``total``: by floor area and land type, and by chance."""
    weight = np.bincount(township, weights=_by_type(_PRODUCT, codes) * floor_area, minlength=count)
    weight = (weight + 0.01 * weight.sum() / count) * rng.lognormal(0, 0.5, count)
    return total * weight / weight.sum()


def points(
    landscape: Landscape, cells: np.ndarray, codes: np.ndarray, urbanity: np.ndarray, count: int, seed: int
) -> Iterator[pd.DataFrame]:
    """Points of interest, in frames of at most 500,000 rows with x, y (metres), name, category, industry and employees.

    Parameters
    ----------
    cells, codes, urbanity : the parcels, their land type and urbanity.
    count : number of points over all frames.
    seed : of the random numbers.
    """
    rng = np.random.default_rng([seed, 1])
    rate = _by_type({name: row[0] for name, row in _POINTS.items()}, codes)
    # Parcels of a kind differ widely: many have no point at all, few have dozens.
    rate *= (0.4 + 1.6 * urbanity) * rng.gamma(0.9, 1 / 0.9, len(codes))
    parcel = np.repeat(np.arange(len(codes), dtype=np.int32), rng.multinomial(count, rate / rate.sum()))
    shares = np.array([[_POINTS.get(name, (0, {}))[1].get(c, 0) for c in wording.CATEGORIES] for name in LAND_TYPES])
    limits = shares.cumsum(axis=1)
    staff = np.array([_STAFF[category] for category in wording.CATEGORIES])
    for start in range(0, count, _POI_CHUNK):
        rng = np.random.default_rng([seed, 2, start])
        mine = parcel[start : start + _POI_CHUNK]
        cell = cells[mine]
        # Within the middle of the plan's rectangle, a point stays inside the bent parcel.
        across, along = rng.uniform(0.15, 0.85, (2, len(mine)))
        x, y = landscape.bend(
            cell["x0"] + across * (cell["x1"] - cell["x0"]), cell["y0"] + along * (cell["y1"] - cell["y0"])
        )
        category = (rng.random(len(mine))[:, None] >= limits[codes[mine]]).sum(axis=1)
        category = np.minimum(category, len(wording.CATEGORIES) - 1)
        employees = np.minimum(np.ceil(staff[category] * (1 + rng.pareto(1.2, len(mine)))), _LARGEST_STAFF)
        name, industry = wording.points(category, rng)
        yield pd.DataFrame(
            {
                "x": x,
                "y": y,
                "name": name,
                "category": pd.Categorical.from_codes(category, wording.CATEGORIES),
                "industry": industry,
                "employees": employees.astype(np.int32),
            }
        )
