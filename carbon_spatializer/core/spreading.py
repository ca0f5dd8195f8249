"""Spreading totals over emission land: every part's tonnes on its own land, district by district, cell by cell.

Per district d and part s the emission of a cell is ``e = CE(d, s) / A(d, s) * a``, where A is the area of the part's
land in the district and a the cell's share of it (spatialisation in the land-use based carbon emission pattern of
Nanjing, base year 2020). A weight may take the place of the area. The land is looked at twice, window by window: first
to measure A, then to spread.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import ledger
from .errors import InputError
from .landuse import PARTS

EVEN, WEIGHTED = "even over its land", "by weight over its land"
# What is done, in this order, with a part that has emissions but no land in a district.
EMISSION_LAND, DISTRICT = "emission land of the district", "whole district"
FALLBACKS = (EMISSION_LAND, DISTRICT)
NOWHERE = "unallocated"


@dataclass(frozen=True)
class Tile:
    """A window of the land.

    Parameters
    ----------
    district : (height, width) integers, the district of each cell, -1 outside all.
    area : (height, width) true areas of the cells, m2.
    land : for each part the cells that hold some of its land, as places in the flattened window, and their shares of
        the cell's area, above 0 to 1.
    density : for each part the weight per m2 of these cells, NaN or not positive where there is none; None without
        weights.
    """

    district: np.ndarray
    area: np.ndarray
    land: list[tuple[np.ndarray, np.ndarray]]
    density: list[np.ndarray] | None = None

    @classmethod
    def of(
        cls, district: np.ndarray, area: np.ndarray, shares: np.ndarray, density: np.ndarray | None = None
    ) -> "Tile":
        """The same from shares in full, (parts, height, width), 0 where there is none, and density (height, width)."""
        places = [np.flatnonzero(share) for share in shares]
        land = [(cells, share.ravel()[cells]) for cells, share in zip(places, shares)]
        return cls(district, area, land, None if density is None else [density.ravel()[cells] for cells in places])


@dataclass
class Land:
    """What the districts hold: m2 of each part's land (parts, districts), its weight, and m2 of all ground."""

    area: np.ndarray
    weight: np.ndarray
    ground: np.ndarray
    outside: np.ndarray  # m2 of each part's land in no district

    def __add__(self, other: "Land") -> "Land":
        return Land(
            self.area + other.area, self.weight + other.weight, self.ground + other.ground, self.outside + other.outside
        )

    def per_region(self, region: np.ndarray, regions: int) -> "Land":
        """The same for regions made of districts; ``region`` holds the number of each district's region."""
        return Land(
            np.array([np.bincount(region, row, regions) for row in self.area]),
            np.array([np.bincount(region, row, regions) for row in self.weight]),
            np.bincount(region, self.ground, regions),
            self.outside,
        )


def measure(tile: Tile, districts: int) -> Land:
    """Area and weight of each part's land in each district, as far as they lie in a window; windows add up.

    Parameters
    ----------
    tile : a window.
    districts : number of districts.
    """
    count = districts + 1
    area, weight = np.zeros((len(PARTS), count)), np.zeros((len(PARTS), count))
    district, size = tile.district.ravel() + 1, tile.area.ravel()
    ground = np.bincount(district, size, count)
    for part, (cells, share) in enumerate(tile.land):
        here, held = district[cells], share * size[cells]
        area[part] = np.bincount(here, held, count)
        if tile.density is not None:
            weight[part] = np.bincount(here, held * _weights(tile.density[part]), count)
    return Land(area[:, 1:], weight[:, 1:], ground[1:], area[:, 0])


def _weights(density: np.ndarray) -> np.ndarray:
    return np.where(density > 0, density, 0.0)


@dataclass(frozen=True)
class Plan:
    """How many tonnes a unit of land receives.

    Each rate is (parts, regions): tonnes per weight, per m2 of the part's land, per m2 of any emission land, and per m2
    of ground. ``basis`` (parts, regions) says in words which of them hold.
    """

    per_weight: np.ndarray
    per_land: np.ndarray
    per_emission_land: np.ndarray
    per_ground: np.ndarray
    basis: np.ndarray


def plan(tonnes: np.ndarray, land: Land, weighted: Iterable[str] = (), fallbacks: Iterable[str] = FALLBACKS) -> Plan:
    """Rates at which each part's tonnes spread over each region.

    Parameters
    ----------
    tonnes : (parts, regions), t CO2e, not negative.
    land : of the regions.
    weighted : parts that spread by weight, where their land has any; the others spread evenly.
    fallbacks : what to do, in this order, with tonnes that have no land of their own: ``emission land of the district``
        (evenly over the land of all parts), ``whole district`` (evenly over its ground).
    """
    rates = {name: np.zeros(tonnes.shape) for name in ("per_weight", "per_land", "per_emission_land", "per_ground")}
    basis = np.full(tonnes.shape, "", dtype=object)
    left = tonnes > 0
    by_weight = np.isin(PARTS, list(weighted))[:, None]
    steps = [("per_weight", WEIGHTED, np.where(by_weight, land.weight, 0.0)), ("per_land", EVEN, land.area)]
    own_ground = {
        EMISSION_LAND: ("per_emission_land", EMISSION_LAND, land.area.sum(axis=0)[None, :]),
        DISTRICT: ("per_ground", DISTRICT, land.ground[None, :]),
    }
    for rate, name, amount in [*steps, *(own_ground[fallback] for fallback in fallbacks)]:
        settled = left & (amount > 0)
        rates[rate][settled] = (tonnes / np.where(amount > 0, amount, 1.0))[settled]
        basis[settled] = name
        left &= ~settled
    basis[left] = NOWHERE
    return Plan(**rates, basis=basis)


def spread(tile: Tile, plan: Plan, region: np.ndarray) -> np.ndarray:
    """Tonnes of each part in each cell.

    Parameters
    ----------
    tile : a window of the land.
    plan : rates per region.
    region : number of each district's region.

    Returns
    -------
    (parts, height, width) t CO2e per cell: 0 where a district emits nothing, NaN outside all districts.
    """
    # The last entry of each table is what lies outside all districts.
    home = np.append(region, plan.basis.shape[1])[tile.district.ravel()]
    area = tile.area.ravel()
    nothing = np.append(np.zeros(plan.basis.shape[1]), np.nan)[home]
    result = np.empty((len(PARTS), len(home)))
    for part, (cells, share) in enumerate(tile.land):
        tonnes = result[part]
        tonnes[:] = nothing
        rate = np.append(plan.per_land[part], np.nan)[home[cells]]
        if plan.per_weight[part].any():
            rate += np.append(plan.per_weight[part], np.nan)[home[cells]] * _weights(tile.density[part])
        tonnes[cells] = rate * share * area[cells]
        if plan.per_emission_land[part].any():
            for places, held in tile.land:
                own = np.append(plan.per_emission_land[part], np.nan)[home[places]]
                tonnes[places] += own * held * area[places]
        if plan.per_ground[part].any():
            tonnes += np.append(plan.per_ground[part], np.nan)[home] * area
    return result.reshape(len(PARTS), *tile.district.shape)


def tonnes_by_part(rows: pd.DataFrame, parts: dict[str, str], parameter: str = "totals") -> pd.DataFrame:
    """Tonnes of each region and part.

    Parameters
    ----------
    rows : columns region, sector (text) and amount (t CO2e, not negative), in any order and number.
    parts : sector, in lower case, -> part.
    parameter : name for messages.

    Returns
    -------
    One column per part, regions as index, in the order in which they first appear.

    Raises
    ------
    InputError : a sector with emissions belongs to no part.
    """
    part = rows["sector"].str.casefold().map(parts)
    unknown = part.isna() & (rows["amount"] != 0)
    if unknown.any():
        raise InputError(
            parameter,
            f"sector '{rows.loc[unknown, 'sector'].iloc[0]}' belongs to no part",
            f"Say in a table of parts which of {', '.join(PARTS)} it is; known sectors are {', '.join(parts)}",
        )
    sums = rows["amount"].groupby([rows["region"], part], sort=False).sum().unstack(fill_value=0.0)
    return sums.reindex(rows["region"].unique()).reindex(columns=list(PARTS)).fillna(0.0)


def share_out(tonnes: np.ndarray, weight: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Divide regions' tonnes over their districts, in proportion to a weight of the districts.

    Parameters
    ----------
    tonnes : (parts, regions).
    weight, region : of each district.

    Returns
    -------
    (parts, districts).
    """
    sums = np.bincount(region, weight, tonnes.shape[1])
    return tonnes[:, region] * (weight / np.where(sums > 0, sums, 1.0)[region])


def balance(names: Iterable[str], tonnes: np.ndarray, allocated: np.ndarray, land: Land, plan: Plan) -> pd.DataFrame:
    """The closed ledger: one row per region and part that has tonnes or land.

    Parameters
    ----------
    names : of the regions.
    tonnes, allocated : (parts, regions), t CO2e that came in, and the sums of the cells.
    land, plan : of the regions.

    Returns
    -------
    region, part, in_t, allocated_t, fallback_t, unallocated_t, land_m2, basis, relative_error.

    Raises
    ------
    MassError : tonnes of a region and part differ from the sum of its cells by more than 1e-9.
    """
    rows = pd.DataFrame(
        {
            "region": np.repeat(np.asarray(list(names), dtype=object), len(PARTS)),
            "part": np.tile(PARTS, tonnes.shape[1]),
            "in_t": tonnes.T.ravel(),
            "allocated_t": allocated.T.ravel(),
            "fallback_t": np.where(np.isin(plan.basis, FALLBACKS), tonnes, 0.0).T.ravel(),
            "unallocated_t": np.where(plan.basis == NOWHERE, tonnes, 0.0).T.ravel(),
            "land_m2": land.area.T.ravel(),
            "basis": plan.basis.T.ravel(),
        }
    )
    kept = rows[(rows["in_t"] > 0) | (rows["land_m2"] > 0)]
    return ledger.close(kept.reset_index(drop=True))
