"""A made-up city to try the tools on: parcels, points of interest, roads, population, townships and products.

The plan is a square of rectangles separated by roads (``tiling``), bent into the city's shape, with smooth random
fields that say where the centre, waters, hills and villages are (``landscape``); parcels get their land type from these
fields (``landuse``), and people, firms and townships from their land type (``content``). A land-use raster and parks
show the parcels as other maps would (``landcover``). All names are invented (``wording``); the ``statistics`` are
Suzhou's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely

from ..errors import InputError
from . import content, landcover, landscape, landuse, statistics, tiling, wording
from .landuse import LAND_TYPES
from .tiling import LINE_TYPES
from .wording import CATEGORIES

__all__ = ["CATEGORIES", "LAND_TYPES", "LEAST_PARCELS", "LINE_TYPES", "MOST_PARCELS", "City", "create", "statistics"]

LEAST_PARCELS, MOST_PARCELS = 500, 2_000_000
# Share of the parcels that are neither roads nor waterways, as planned; the rest fills up the number asked for.
_LAND_SHARE = 0.8
_MOST_TOWNSHIPS = 97  # as in Suzhou


@dataclass
class City:
    """A sample city; coordinates are metres east and north of its middle.

    Attributes
    ----------
    parcels : parcel_id, land_type, region, township, floors (storeys), floor_m2 (floor area) and geometry (polygons
        that tile the city).
    roads : name, type (LINE_TYPES) and geometry (line strings along their strips of land).
    townships : township, region, gdp (10^4 yuan), population (persons) and geometry.
    """

    parcels: pd.DataFrame
    roads: pd.DataFrame
    townships: pd.DataFrame
    _landscape: landscape.Landscape
    _cells: np.ndarray
    _codes: np.ndarray
    _urbanity: np.ndarray
    _persons: np.ndarray
    _seed: int

    def points(self, count: int) -> Iterator[pd.DataFrame]:
        """Points of interest in frames of limited size: x, y, name, category (CATEGORIES), industry and employees."""
        return content.points(self._landscape, self._cells, self._codes, self._urbanity, count, self._seed)

    def population(self, side: float = 100.0) -> tuple[np.ndarray, float, float]:
        """Persons per square cell of ``side`` metres (rows from the north), and the upper left corner (x, y)."""
        bounds = shapely.total_bounds(self.townships["geometry"].to_numpy())
        return content.population_grid(self._landscape, self._cells, self._persons, bounds, side)

    def land_use(self, side: float = 30.0) -> tuple[np.ndarray, float, float]:
        """CAS/RESDC code of each square cell of ``side`` metres (rows from the north, 0 outside the city), and the
        upper left corner (x, y)."""
        land_types = self.parcels["land_type"].to_numpy()
        return landcover.land_use(self.parcels["geometry"].to_numpy(), land_types, side)

    def parks(self) -> pd.DataFrame:
        """Industrial parks: name and geometry (polygons around works that lie together)."""
        outlines = landcover.parks(self.parcels["geometry"].to_numpy(), self.parcels["land_type"].to_numpy())
        names = wording.parks(len(outlines), np.random.default_rng([self._seed, 3]))
        return pd.DataFrame({"name": names, "geometry": outlines})


def create(parcels: int = 5000, seed: int = 0, progress: Callable[..., None] = lambda fraction, text="": None) -> City:
    """Make a city; the same arguments give the same city.

    Parameters
    ----------
    parcels : number of parcels, 500 to 2,000,000. The area grows with its power 0.675: 50 km2 at 500, 8,500 km2 at
        1,000,000.
    seed : of the random numbers, not negative.
    progress : called as ``progress(fraction, text)``; may raise to stop.

    Raises
    ------
    InputError : a number out of its range.
    """
    if not LEAST_PARCELS <= parcels <= MOST_PARCELS:
        raise InputError(
            "parcels_count", f"{parcels:,} parcels cannot be made", f"Give {LEAST_PARCELS:,} to {MOST_PARCELS:,}"
        )
    if seed < 0:
        raise InputError("seed", f"{seed} is negative", "Give a whole number from 0")
    rng = np.random.default_rng([seed, 0])
    progress(0.0, "Laying out the city")
    land = landscape.Landscape(rng, parcels)
    cells, lines, blocks = _plan(land, parcels, rng, progress)
    progress(0.4, "Drawing parcels")
    geometry = tiling.polygons(cells, land.bend)
    progress(0.6, "Choosing land types")
    s, t = land.position((cells["x0"] + cells["x1"]) / 2, (cells["y0"] + cells["y1"]) / 2)
    codes, urbanity = landuse.land_types(land, cells, blocks, rng)
    floors, floor_m2 = content.buildings(codes, urbanity, shapely.area(geometry), rng)
    persons = content.residents(codes, floor_m2)
    progress(0.7, "Forming townships")
    count = int(min(_MOST_TOWNSHIPS, max(12, parcels // 40), len(blocks)))
    township, centres = content.township_of(s, t, cells["block"], blocks, count, rng)
    names = wording.townships(land.built_up(land.urbanity(*centres.T)), rng)
    regions = content.regions(centres)
    outlines = _outlines(geometry, township, count, lambda done: progress(0.7 + 0.2 * done, "Forming townships"))
    townships = pd.DataFrame(
        {
            "township": names,
            "region": regions,
            "gdp": content.products(codes, floor_m2, township, count, statistics.PRODUCT, rng),
            "population": np.bincount(township, weights=persons, minlength=count),
            "geometry": outlines,
        }
    )
    frame = pd.DataFrame(
        {
            "parcel_id": np.arange(1, len(cells) + 1),
            "land_type": landuse.names(codes),
            "region": pd.Categorical(regions[township]),
            "township": pd.Categorical.from_codes(township, names),
            "floors": floors,
            "floor_m2": floor_m2,
            "geometry": geometry,
        }
    )
    line_types = np.array(LINE_TYPES)[lines["kind"] - 1]
    roads = pd.DataFrame(
        {
            "name": wording.roads(line_types, rng),
            "type": line_types,
            "geometry": tiling.centre_lines(lines, land.bend),
        }
    )
    progress(1.0)
    return City(frame, roads, townships, land, cells, codes, urbanity, persons, seed)


def _plan(land, parcels, rng, progress):
    """Cells of all parcels (ordered from south to north), centre lines, and the positions of the blocks."""
    districts, strips, lines = land.districts()
    districts = tiling.carve(districts, land.airport(), tiling.AIRPORT)
    districts = tiling.carve(districts, land.port(), tiling.PORT)
    reserved = districts["kind"] != tiling.LAND
    sites, site_lines = landscape.sites(districts[reserved])
    expected = _LAND_SHARE * parcels
    mass = tiling.Mass(land.density(), land.size, expected)
    blocks, streets, street_lines = tiling.split_blocks(
        districts[~reserved], mass, expected / land.size**2, rng, progress
    )
    blocks["block"] = np.arange(len(blocks))
    piece = int(2.2 * land.size / np.sqrt(parcels))
    fixed = np.concatenate([tiling.cut(np.concatenate([strips, streets]), piece), sites])
    cells = tiling.split_parcels(
        blocks, parcels - len(fixed), mass, rng, lambda done, text: progress(0.05 + 0.35 * done, text)
    )
    cells = np.concatenate([cells, fixed])
    # Neighbours on the ground become neighbours in the file, which makes reading by window fast.
    rows = np.maximum(land.size // 64, 1)
    cells = cells[np.lexsort((cells["y0"], cells["x0"], cells["y0"] // rows))]
    places = land.position((blocks["x0"] + blocks["x1"]) / 2, (blocks["y0"] + blocks["y1"]) / 2)
    return cells, np.concatenate([lines, street_lines, site_lines]), np.column_stack(places)


def _outlines(geometry, township, count, progress) -> np.ndarray:
    """Outline of each township from the parcels that it is made of."""
    order = np.argsort(township, kind="stable")
    ends = np.searchsorted(township[order], np.arange(count), side="right")
    outlines = np.empty(count, dtype=object)
    for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends)):
        progress(number / count)
        outlines[number] = shapely.coverage_union_all(geometry[order[start:end]])
    return outlines
