"""Land types of the sample city's parcels, chosen block by block as planners would."""

import numpy as np
import pandas as pd

from .landscape import Landscape
from .tiling import AIRPORT, LAND, PORT, ROAD_TYPES, STRIP

LAND_TYPES = (
    "mining land",
    "industrial land",
    "municipal utilities",
    "urban residential land",
    "rural homestead",
    "commercial and business land",
    "administration and public service land",
    "road land",
    "railway land",
    "airport land",
    "water transport land",
    "cultivated land",
    "garden land",
    "agricultural facilities land",
    "forest land",
    "grassland",
    "water",
    "unused land",
)
_CODE = {name: code for code, name in enumerate(LAND_TYPES)}
_LEAST = 3  # parcels of every land type, however small the city


def land_types(landscape: Landscape, cells: np.ndarray, block_centres: np.ndarray, rng: np.random.Generator):
    """Land type of each cell.

    Parameters
    ----------
    landscape : the fields.
    cells : CELL array of the parcels.
    block_centres : positions (s, t) of the blocks, array (blocks, 2).

    Returns
    -------
    (codes, urbanity) : indices into LAND_TYPES, and the urbanity at each parcel's middle.
    """
    s, t = landscape.position((cells["x0"] + cells["x1"]) / 2, (cells["y0"] + cells["y1"]) / 2)
    land = cells["kind"] == LAND
    block = np.where(land, cells["block"], 0)
    urbanity = landscape.urbanity(s, t)
    chance = rng.random(len(cells))
    block_chance = rng.random(len(block_centres))
    codes = np.full(len(cells), -1)

    def free():
        return land & (codes < 0)

    def choose(pool, score, share, name, least=_LEAST):
        """Give the best ``share`` of a pool of parcels a land type."""
        number = min(max(round(share * pool.sum()), least), pool.sum())
        best = np.flatnonzero(pool)[np.argsort(-score[pool], kind="stable")[:number]]
        codes[best] = _CODE[name]

    def choose_blocks(pool, score, share, name):
        """Give whole blocks a land type, the best first, until they hold ``share`` of the pool's parcels."""
        order = np.argsort(-score, kind="stable")
        rank = np.empty(len(score), np.int64)
        rank[order] = np.arange(len(score))
        members = np.bincount(block[pool], minlength=len(score))
        taken = np.cumsum(members[order]) - members[order] < share * pool.sum()
        codes[pool & taken[rank[block]]] = _CODE[name]

    codes[(cells["kind"] > 0) & (cells["kind"] <= len(ROAD_TYPES))] = _CODE["road land"]
    codes[cells["kind"] == STRIP["railway"]] = _CODE["railway land"]
    codes[cells["kind"] == STRIP["waterway"]] = _CODE["water"]
    codes[cells["kind"] == AIRPORT] = _CODE["airport land"]
    codes[cells["kind"] == PORT] = _CODE["water transport land"]

    lakes, hills = landscape.lakes(s, t), landscape.hills(s, t)
    codes[free() & (lakes > 0)] = _CODE["water"]
    wooded = free() & (hills > 0)
    pits = np.flatnonzero(wooded)[np.argsort(-chance[wooded])[:3]] if wooded.any() else np.zeros(1, int)
    to_pit = np.min([np.hypot(s - s[pit], t - t[pit]) for pit in pits], axis=0)
    choose(wooded, -to_pit + 0.02 * chance, 0.07, "mining land")
    codes[free() & (hills > 0)] = _CODE["forest land"]

    centre_s, centre_t = block_centres.T
    block_urbanity = landscape.urbanity(centre_s, centre_t)
    town = free() & landscape.built_up(block_urbanity + 0.1 * (block_chance - 0.5))[block]
    arteries = [np.abs(centre_t - y) for y, kind in landscape.east_west if kind in ("motorway", "railway")]
    arteries += [np.abs(centre_s - x) for x, kind in landscape.north_south if kind in ("motorway", "river")]
    edge = np.exp(-np.minimum.reduce(arteries) / 0.12) - 1.6 * np.abs(block_urbanity - 0.31)
    edge += 0.35 * landscape.texture(centre_s, centre_t) + 0.3 * block_chance
    bank = np.exp(-np.abs(s - landscape.river) / 0.02) + np.exp(-np.abs(lakes) / 0.1)
    luckiest = np.zeros(len(block_centres))
    np.maximum.at(luckiest, block[town], chance[town])
    choose(town & (chance == luckiest[block]), bank + block_chance[block], 0.8, "grassland")  # a park in most blocks
    choose_blocks(town & free(), edge, 0.26, "industrial land")
    industry = codes == _CODE["industrial land"]
    choose(industry, rng.random(len(cells)) - urbanity, 0.05, "municipal utilities")
    avenue = [np.abs(t - y) for y, kind in landscape.east_west if kind == "trunk"]
    avenue += [np.abs(s - x) for x, kind in landscape.north_south if kind == "trunk"]
    frontage = np.exp(-np.minimum.reduce(avenue) / 0.015)
    choose(
        town & free(),
        1.3 * urbanity + 0.4 * frontage + 0.35 * block_chance[block] + 0.25 * chance,
        0.18,
        "commercial and business land",
    )
    choose(
        town & free(),
        0.5 * urbanity + 0.6 * block_chance[::-1][block] + 0.5 * chance,
        0.13,
        "administration and public service land",
    )
    codes[town & free()] = _CODE["urban residential land"]

    village = landscape.villages(s, t)
    codes[free() & (village < 1)] = _CODE["rural homestead"]
    if (codes == _CODE["rural homestead"]).sum() < _LEAST:
        choose(free(), -village, 0, "rural homestead")
    field = free()
    choose(field, chance - 0.25 * village, 0.04, "agricultural facilities land")
    choose(free(), -np.abs(hills + 0.08) + 0.05 * chance, 0.05, "grassland")
    choose(free(), 0.6 * landscape.texture(t, s) - np.abs(hills) + 0.8 * block_chance[block], 0.16, "garden land")
    choose(free(), landscape.fine_texture(t, s) + chance, 0.03, "water")
    choose(free(), 2 * urbanity + 0.5 * block_chance[block] + 0.3 * chance, 0.025, "unused land")
    choose(free(), landscape.fine_texture(s, -t) + chance, 0.04, "forest land")
    codes[free()] = _CODE["cultivated land"]
    return codes, urbanity


def names(codes: np.ndarray) -> pd.Categorical:
    """Land type codes as names."""
    return pd.Categorical.from_codes(codes, LAND_TYPES)
