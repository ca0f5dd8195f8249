"""Emission land: which part of a city's emissions each piece of ground belongs to (Nanjing paper, S001-6 and S001-7).

Land-use classes say where the four parts are; industrial parks and the surroundings of enterprises take the ground that
they cover from all classes, so that no ground counts twice. Every fraction of a cell is exact.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyproj
import shapely

from .coverage import Outlines
from .errors import InputError, MassError

# Order of the bands and, from 1, of the classes of the class map; 0 is no emission land.
PARTS = ("industry", "city", "agriculture", "rural")
NONE = "none"
NAMES = (NONE, *PARTS)
INDUSTRY, CITY = 1, 2
GROUNDS = ("land", "water")
CELLS = ("fractions", "whole")
# Neighbours that share less have an edge in common, which rounding has moved.
EDGE_M2 = 0.01

# Sides of the polygon that stands for a circle; it has the circle's area.
_SIDES = 32
# Fractions are multiples of this, so that those of a cell add up exactly even in single precision.
_STEP = 2.0**-20
# Largest relative error between the ground that is in the result and the ground that came in; fractions of cells that
# a finer raster divides are rounded to single precision.
_TOLERANCE, _TOLERANCE_FINER = 1e-9, 1e-7


@dataclass(frozen=True)
class Classes:
    """Land-use classes: parallel arrays in the order of the codes.

    codes : whole numbers, increasing; names : of the classes; parts : positions in NAMES (0 for none);
    water : whether the class is water; groups : what charts show the class as.
    """

    codes: np.ndarray
    names: np.ndarray
    parts: np.ndarray
    water: np.ndarray
    groups: np.ndarray

    @classmethod
    def from_table(cls, table: pd.DataFrame, parameter: str) -> "Classes":
        """Read a table with the columns code, part and, if wanted, name, ground (land or water) and group.

        A blank part is none, a blank ground is land, a blank group is the class's name.

        Raises
        ------
        InputError : a column is missing, a code is no whole number or has two meanings, or a part or a ground is
            unknown.
        """
        for column in ("code", "part"):
            if column not in table:
                raise InputError(parameter, f"the table has no column '{column}'", "Give the columns code and part")
        codes = pd.to_numeric(table["code"], errors="coerce").to_numpy(float, na_value=np.nan)
        bad = ~(np.isfinite(codes) & (codes % 1 == 0) & (np.abs(codes) < 2**31))
        if bad.any():
            raise InputError(
                parameter,
                f"code '{table['code'].iloc[int(np.flatnonzero(bad)[0])]}' is not a whole number",
                "Give each class its number in the raster",
            )
        frame = pd.DataFrame(
            {
                "code": codes.astype(np.int64),
                "part": _words(table["part"], NAMES, NONE, "part", parameter),
                "ground": _words(table["ground"], GROUNDS, "land", "ground", parameter)
                if "ground" in table
                else "land",
                "name": table.get("name", table["code"]).fillna("").astype(str).to_numpy(),
            }
        )
        group = table.get("group", table["code"].map(lambda _: "")).fillna("").astype(str).to_numpy()
        frame["group"] = np.where(group == "", frame["name"], group)
        frame = frame.drop_duplicates(["code", "part", "ground"])
        twice = frame["code"][frame["code"].duplicated()]
        if len(twice):
            raise InputError(parameter, f"code {twice.iloc[0]} has two meanings", "Keep one row for each code")
        frame = frame.sort_values("code")
        return cls(
            frame["code"].to_numpy(),
            frame["name"].to_numpy(object),
            frame["part"].map(NAMES.index).to_numpy(np.int8),
            (frame["ground"] == "water").to_numpy(),
            frame["group"].to_numpy(object),
        )

    def table(self) -> pd.DataFrame:
        """The classes as a table: code, name, part and group."""
        parts = np.array(NAMES, dtype=object)[self.parts]
        return pd.DataFrame({"code": self.codes, "name": self.names, "part": parts, "group": self.groups})

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Position of each cell's class (int16): -1 without data, -2 where the code is none of these.

        values : codes as float64, NaN without data.
        """
        low, high = int(self.codes[0]), int(self.codes[-1])
        known = (values >= low) & (values <= high)
        whole = np.where(known, values, low).astype(np.int64)
        if high - low < 1_000_000:
            table = np.full(high - low + 1, -2, np.int16)
            table[self.codes - low] = np.arange(len(self.codes))
            found = table[whole - low]
        else:
            nearest = np.minimum(np.searchsorted(self.codes, whole), len(self.codes) - 1)
            found = np.where(self.codes[nearest] == whole, nearest, -2).astype(np.int16)
        found[~known | (whole != values)] = -2
        found[np.isnan(values)] = -1
        return found


def _words(column: pd.Series, known: tuple[str, ...], blank: str, name: str, parameter: str) -> np.ndarray:
    words = column.fillna("").astype(str).str.strip().str.casefold().replace("", blank)
    wrong = ~words.isin(known)
    if wrong.any():
        raise InputError(parameter, f"{name} '{column[wrong].iloc[0]}' is unknown", f"Use one of {', '.join(known)}")
    return words.to_numpy()


# Parks and enterprises ------------------------------------------------------------------------------------------------


def ground_steps(crs: pyproj.CRS, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far one metre to the east and one to the north go on the map, at each place.

    Returns
    -------
    (n, 2, 2): [[dx/deast, dx/dnorth], [dy/deast, dy/dnorth]], in units of the CRS per metre on its ellipsoid.
    """
    to_map = pyproj.Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)
    longitude, latitude = to_map.transform(x, y, direction="INVERSE")
    unit = crs.geodetic_crs.axis_info[0].unit_conversion_factor
    semi_major, semi_minor = crs.ellipsoid.semi_major_metre, crs.ellipsoid.semi_minor_metre
    squared = 1 - (semi_minor / semi_major) ** 2
    bend = 1 - squared * np.sin(np.asarray(latitude) * unit) ** 2
    north = 1 / (unit * semi_major * (1 - squared) / bend**1.5)
    east = 1 / (unit * semi_major / np.sqrt(bend) * np.maximum(np.cos(np.asarray(latitude) * unit), 1e-9))
    metres = 10.0

    def central(d_longitude, d_latitude):
        ahead = to_map.transform(longitude + metres * d_longitude, latitude + metres * d_latitude)
        behind = to_map.transform(longitude - metres * d_longitude, latitude - metres * d_latitude)
        return np.subtract(ahead, behind) / (2 * metres)

    return np.stack([central(east, 0 * north), central(0 * east, north)], axis=-1).transpose(1, 0, 2)


def map_scale(crs: pyproj.CRS, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared map units per square metre of ground at each place."""
    return np.abs(np.linalg.det(ground_steps(crs, x, y)))


def circles(crs: pyproj.CRS, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Circles of a radius in metres on the ground, as polygons in the CRS that have the circles' area.

    In a CRS that distorts, the polygons are the ellipses that circles become there (Tissot's indicatrix).
    """
    step = 2 * np.pi / _SIDES
    angles = step * np.arange(_SIDES)
    ring = radius * np.sqrt(step / np.sin(step)) * np.stack([np.cos(angles), np.sin(angles)])
    corners = (ground_steps(crs, x, y) @ ring).transpose(0, 2, 1) + np.stack([x, y], axis=-1)[:, None]
    return shapely.polygons(shapely.linearrings(corners))


def true_areas(shapes: np.ndarray, crs: pyproj.CRS) -> np.ndarray:
    """Areas on the ground in m2 of polygons in the CRS, by the areal scale at the centroid of each of their parts."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    if len(parts) == 0:
        return np.zeros(len(shapes))
    middle = shapely.centroid(parts)
    areas = shapely.area(parts) / map_scale(crs, shapely.get_x(middle), shapely.get_y(middle))
    return np.bincount(owner, areas, len(shapes))


def dissolved(shapes: np.ndarray) -> np.ndarray:
    """The polygons' union as polygons that have no ground in common; the order of the input does not matter."""
    shapes = np.asarray(shapes, dtype=object)
    if len(shapes) == 0:
        return shapes
    meeting = np.bincount(shapely.STRtree(shapes).query(shapes)[0], minlength=len(shapes)) > 1
    together = np.array([shapely.disjoint_subset_union_all(shapes[meeting])])
    return np.concatenate([_solid(shapes[~meeting]), _solid(together)])


def without(shapes: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Polygons less the ground of others, which have no ground in common; what nothing is left of is dropped."""
    shapes = np.array(shapes, dtype=object)
    if len(shapes) == 0 or len(taken) == 0:
        return shapes
    shape, other = shapely.STRtree(taken).query(shapes, predicate="intersects")
    cut = np.unique(shape)
    whole = np.delete(shapes, cut)
    while len(shape):
        now, first = np.unique(shape, return_index=True)
        shapes[now] = shapely.difference(shapes[now], taken[other[first]])
        shape, other = np.delete(shape, first), np.delete(other, first)
    return np.concatenate([whole, _solid(shapes[cut])])


def within(shapes: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The parts of polygons that lie in others, which have no ground in common."""
    if len(shapes) == 0 or len(kept) == 0:
        return np.zeros(0, dtype=object)
    shapely.prepare(kept)
    other, shape = shapely.STRtree(shapes).query(kept, predicate="intersects")
    parts = np.array(shapes, dtype=object)[shape]
    cut = ~shapely.covers(kept[other], parts)
    parts[cut] = shapely.intersection(parts[cut], kept[other[cut]])
    return _solid(parts)


def _solid(shapes: np.ndarray) -> np.ndarray:
    """The single polygons with an area that geometries are made of."""
    parts = shapes
    while (shapely.get_type_id(parts) > 3).any():
        parts = shapely.get_parts(parts)
    return parts[shapely.area(parts) > 0]


def overlapping_pairs(shapes: np.ndarray, crs: pyproj.CRS) -> pd.DataFrame:
    """Pairs of polygons with ground in common: first, second (positions, first < second) and area_m2.

    Less than 0.01 m2 is no overlap but an edge in common, which rounding has moved.
    """
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    once = first < second
    first, second = first[once], second[once]
    area = true_areas(shapely.intersection(shapes[first], shapes[second]), crs)
    pairs = pd.DataFrame({"first": first, "second": second, "area_m2": area})
    return pairs[pairs["area_m2"] > EDGE_M2].sort_values(["first", "second"], ignore_index=True)


# The overlay ----------------------------------------------------------------------------------------------------------


def divided(positions: np.ndarray, classes: Classes, factor: int) -> np.ndarray:
    """Shares of the parts in cells that a finer raster divides.

    Parameters
    ----------
    positions : (height x factor, width x factor) classes of the finer cells, -1 without data.
    classes : of the finer raster.

    Returns
    -------
    (NAMES, height, width) shares of the finer cells with data; NaN where there are none.
    """
    parts = np.where(positions >= 0, classes.parts[np.maximum(positions, 0)], -1)
    height, width = positions.shape[0] // factor, positions.shape[1] // factor
    parts = parts.reshape(height, factor, width, factor)
    counts = np.stack([(parts == part).sum(axis=(1, 3)) for part in range(len(NAMES))]).astype(float)
    known = counts.sum(axis=0)
    return np.divide(counts, known, out=np.full(counts.shape, np.nan), where=known > 0)


@dataclass
class Areas:
    """Areas in m2 of one window, or of several together.

    found : by class and part, before parks and buffers take theirs; taken : what each of the two takes of it.
    written : of the parts in the result.
    unknown : ground of parks and of buffers where the land use has no data; on_water : of buffers on water.
    rounded : whether a finer raster divided cells, by fractions in single precision.
    """

    found: np.ndarray
    taken: dict[str, np.ndarray]
    written: np.ndarray
    unknown: dict[str, float]
    on_water: float = 0.0
    rounded: bool = False

    def __iadd__(self, other: "Areas") -> "Areas":
        self.found += other.found
        self.written += other.written
        for source in self.taken:
            self.taken[source] += other.taken[source]
            self.unknown[source] += other.unknown[source]
        self.on_water += other.on_water
        self.rounded |= other.rounded
        return self


class Overlay:
    """Parks over enterprises' surroundings over land-use classes, window by window, with the ledger of areas.

    Parameters
    ----------
    classes : of the land use.
    parks, buffers : polygons in the grid's CRS; none of them has ground in common with another, of either kind.
    transform : of the grid's columns and rows to coordinates.
    whole : a cell whose centre lies in a park or a buffer is industry as a whole, and one that a finer raster divides
        belongs to the part with the largest share; otherwise every cell is divided by area.
    spare_water : buffers take nothing from classes that are water.
    """

    def __init__(self, classes: Classes, parks, buffers, transform, whole: bool = False, spare_water: bool = False):
        self.classes = classes
        self._outlines = {"parks": Outlines(parks, transform), "buffers": Outlines(buffers, transform)}
        self._whole, self._spare_water = whole, spare_water
        self._areas = self._none()

    def _none(self) -> Areas:
        shape = (len(self.classes.codes), len(NAMES))
        sources = tuple(self._outlines)
        return Areas(
            np.zeros(shape),
            {source: np.zeros(shape) for source in sources},
            np.zeros(len(PARTS)),
            dict.fromkeys(sources, 0.0),
        )

    def window(self, top: int, positions, area, parts=None, finer=None) -> tuple[np.ndarray, np.ndarray, Areas]:
        """The parts' fractions in the rows from ``top`` on, the class map, and the areas; safe to call from threads.

        Parameters
        ----------
        positions : (height, width) class of each cell, -1 without data.
        area : (height, width) m2.
        parts : (height, width) position in NAMES of each cell, where it is not that of its class.
        finer : places of cells (in the flattened window) that a finer raster divides, and their shares,
            (NAMES, places), which add up to one.

        Returns
        -------
        Fractions, (PARTS, height, width) float32, which add up to one at most; the part with the largest fraction,
        (height, width) uint8, position in NAMES: none where the rest is larger; and the window's areas, which the
        ledger counts once they are given to ``add``.
        """
        areas = self._none()
        height, width = positions.shape
        position, area = positions.ravel(), area.ravel()
        if parts is None:
            parts = np.append(self.classes.parts, 0)[positions]
        largest = parts.astype(np.uint8).ravel()
        fractions = np.empty((len(PARTS), len(largest)), np.float32)
        for part, fraction in enumerate(fractions, 1):
            np.equal(largest, part, out=fraction)
        whole_area = area
        if finer is not None:
            places, shares = finer
            winner = _winner(shares)
            if self._whole:
                shares = (winner == np.arange(len(NAMES))[:, None]).astype(float)
            largest[places], fractions[:, places] = winner, shares[1:]
            areas.rounded = True
            _add(areas.found, position[places], area[places] * shares)
            whole_area = area.copy()
            whole_area[places] = 0.0
        # Cells without data fall into one bin more, which is left out.
        found = areas.found
        index = np.where(position >= 0, position, len(found)) * np.intp(len(NAMES)) + largest
        found += np.bincount(index, whole_area, found.size + len(NAMES))[: found.size].reshape(found.shape)
        self._take(areas, top, position, area, fractions, largest, (height, width))
        areas.written += [np.dot(fraction, area) for fraction in fractions]
        return fractions.reshape(-1, height, width), largest.reshape(height, width), areas

    def add(self, areas: Areas) -> None:
        """Count a window's areas in the ledger."""
        self._areas += areas

    def _take(self, areas: Areas, top, position, area, fractions, largest, shape) -> None:
        """Give the ground of parks and buffers to industry."""
        parks, buffers = (self._covered(outlines, top, shape) for outlines in self._outlines.values())
        some = parks > _STEP / 2
        some |= buffers > _STEP / 2
        places = np.flatnonzero(some)
        position, area = position[places], area[places]
        parks, buffers = (np.rint(share[some] / _STEP) * _STEP for share in (parks, buffers))
        covered = {"parks": parks, "buffers": np.minimum(buffers, 1 - parks)}
        for source, share in covered.items():
            areas.unknown[source] += float(np.sum((share * area)[position < 0]))
            share[position < 0] = 0.0
        if self._spare_water:
            water = self.classes.water[position] & (position >= 0)
            areas.on_water += float(np.sum((covered["buffers"] * area)[water]))
            covered["buffers"][water] = 0.0
        own = np.empty((len(NAMES), len(places)))
        own[1:] = fractions[:, places]
        own[0] = 1 - own[1:].sum(axis=0)
        for source, share in covered.items():
            _add(areas.taken[source], position, area * share * own)
        industry = covered["parks"] + covered["buffers"]
        own *= 1 - industry
        own[INDUSTRY] += industry
        fractions[:, places] = own[1:]
        largest[places] = _winner(own)

    def _covered(self, outlines: Outlines, top: int, shape: tuple[int, int]) -> np.ndarray:
        """Share of each cell that polygons take, (height, width)."""
        if len(outlines) == 0:
            return np.zeros(shape)
        return (outlines.centres if self._whole else outlines.fractions)(top, *shape)

    def taken_m2(self, source: str) -> float:
        """Ground that ``parks`` or ``buffers`` have given to industry."""
        return float(self._areas.taken[source].sum())

    def unknown_m2(self, source: str) -> float:
        """Ground of ``parks`` or ``buffers`` where the land use has no data."""
        return self._areas.unknown[source]

    @property
    def on_water_m2(self) -> float:
        """Ground of buffers that was left to the water."""
        return self._areas.on_water

    def classes_ledger(self) -> pd.DataFrame:
        """What each class of the land use contributed, one row per class and part that it was read as.

        Returns
        -------
        code, class, part, drawn_m2, overlap_m2 (taken by parks and buffers), contributed_m2.

        Raises
        ------
        MassError : the result's areas differ from the ledger's by more than 1e-9 of the ground (1e-7 where a finer
            raster divided cells).
        """
        found, written = self._areas.found, self._areas.written
        overlap = sum(self._areas.taken.values())
        contributed = found - overlap
        expected = contributed[:, 1:].sum(axis=0)
        expected[INDUSTRY - 1] += overlap.sum()
        error = np.abs(written - expected).max()
        if not error <= (_TOLERANCE_FINER if self._areas.rounded else _TOLERANCE) * max(found.sum(), 1.0):
            raise MassError(
                f"The emission land's areas {written.tolist()} m2 differ from the ledger's {expected.tolist()} "
                "m2. Nothing was written; please report this with the run's inputs."
            )
        row, part = np.nonzero(found)
        return pd.DataFrame(
            {
                "code": self.classes.codes[row],
                "class": self.classes.names[row],
                "part": np.array(NAMES, dtype=object)[part],
                "drawn_m2": found[row, part],
                "overlap_m2": overlap[row, part],
                "contributed_m2": contributed[row, part],
            }
        )

    def class_overlaps(self) -> pd.DataFrame:
        """Ground that parks and buffers took from each class: source, code, class, area_m2."""
        rows = [
            (source, code, name, area)
            for source, taken in self._areas.taken.items()
            for code, name, area in zip(self.classes.codes, self.classes.names, taken.sum(axis=1))
            if area > 0
        ]
        return pd.DataFrame(rows, columns=["source", "code", "class", "area_m2"])

    @property
    def areas_m2(self) -> dict[str, float]:
        """Area of each part in the result."""
        return dict(zip(PARTS, self._areas.written.tolist()))

    @property
    def ground_m2(self) -> float:
        """Area of all cells with data."""
        return float(self._areas.found.sum())


def _add(sums: np.ndarray, position: np.ndarray, areas: np.ndarray) -> None:
    """Add areas, (NAMES, cells), to the sums by class and part."""
    known = position >= 0
    for part, area in enumerate(areas):
        sums[:, part] += np.bincount(position[known], area[known], len(sums))


def _winner(shares: np.ndarray) -> np.ndarray:
    """Position in NAMES of the largest share of each cell; of equal shares the first part, and none as the last."""
    return np.roll(np.arange(len(NAMES)), -1)[np.argmax(np.roll(shares, -1, axis=0), axis=0)].astype(np.uint8)
