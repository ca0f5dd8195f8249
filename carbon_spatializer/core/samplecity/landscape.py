"""Where things are in the sample city: its shape, centre, waters, hills and villages, as smooth random fields.

Fields are functions of *positions* s, t in [-1, 1] on the plan (east, north); they return an array of the same shape.
"""

from itertools import pairwise

import numpy as np

from .tiling import AIRPORT, CELL, LAND, LINE, STRIP, UNIT, WIDTHS, divide, units

# Main lines over the whole plan: position, line type.
_EAST_WEST = ((-0.66, "motorway"), (-0.25, "trunk"), (0.10, "trunk"), (0.36, "railway"), (0.66, "motorway"))
_NORTH_SOUTH = ((-0.66, "motorway"), (-0.20, "river"), (0.12, "trunk"), (0.66, "motorway"))
_BUILT_UP = 0.2  # urbanity from which land is town


class _Waves:
    """A smooth random field: a sum of sine waves in random directions, of variance 1.

    Parameters
    ----------
    frequency : waves per plan half-width.
    """

    def __init__(self, rng: np.random.Generator, frequency: float, count: int = 7):
        angle = rng.uniform(0, 2 * np.pi, count)
        self._east = 2 * np.pi * frequency * np.cos(angle)
        self._north = 2 * np.pi * frequency * np.sin(angle)
        self._phase = rng.uniform(0, 2 * np.pi, count)

    def __call__(self, s, t):
        total = np.zeros(np.shape(s))
        for east, north, phase in zip(self._east, self._north, self._phase):
            total += np.sin(east * s + north * t + phase)
        return total * np.sqrt(2 / len(self._phase))


class Landscape:
    """The fields of one city.

    Parameters
    ----------
    rng : random generator; the city is a function of its state.
    parcels : number of parcels; the area grows with its power 0.675, from 50 km2 at 500 to 8,500 km2 at 1,000,000.
    """

    def __init__(self, rng: np.random.Generator, parcels: int):
        self._parcels = parcels
        self.half_side = np.sqrt(50e6 * (parcels / 500) ** 0.675) / 2  # metres
        self.size = 2 * round(self.half_side / UNIT)  # plan units
        self.centre = rng.uniform(-0.04, 0.04, 2)
        self.east_west = [(y + rng.uniform(-0.02, 0.02), kind) for y, kind in _EAST_WEST]
        self.north_south = [(x + rng.uniform(-0.02, 0.02), kind) for x, kind in _NORTH_SOUTH]
        self.river = self.north_south[1][0]
        self.river_width = np.clip(0.02 * self.half_side, 120, 400)
        # Bends of the whole plan; the steepness of all waves together stays below 1, so that nothing folds.
        shortest = 2 * self.half_side / np.sqrt(parcels) * 9 / self.half_side
        self._bends = [
            [(0.16 / (2 * np.pi * f) / np.sqrt(3), _Waves(rng, f, 3)) for f in (0.6, 1.3, 2.6, 1 / shortest)]
            for _ in range(2)
        ]
        self._meander_phase = rng.uniform(0, 2 * np.pi)
        self.texture = _Waves(rng, 2.2)
        self.fine_texture = _Waves(rng, 6.0)
        self._coast = _Waves(rng, 4.0)
        self._hill_shape = _Waves(rng, 1.8)
        # x, y, radius: hills in the north-west and north-east corners, a lake at the edge and one in town.
        jitter = rng.uniform(-0.03, 0.03, (4, 2))
        self._hills = [(-0.85 + jitter[0, 0], 0.85, 0.55), (0.95, 0.95 + jitter[1, 1], 0.38)]
        self._lakes = [(-0.97, -0.46 + jitter[2, 1], 0.19), (0.40 + jitter[3, 0], -0.08 + jitter[3, 1], 0.075)]
        self._towns = self._new_towns(rng)
        self._village_spacing = 2 / np.sqrt(max(parcels / 70, 8))
        self._village_seed = int(rng.integers(1 << 30))

    def _new_towns(self, rng):
        """Smaller centres outside the main one: x, y, weight, radius."""
        places = [(0.62, 0.45), (0.50, -0.66), (-0.55, -0.70), (-0.62, 0.20), (0.80, -0.15)]
        return [
            (x + rng.uniform(-0.05, 0.05), y + rng.uniform(-0.05, 0.05), rng.uniform(0.5, 0.75), rng.uniform(0.1, 0.15))
            for x, y in places
        ]

    # Plan and map ------------------------------------------------------------------------------------------------

    def position(self, x, y):
        """Plan units to positions."""
        return 2 * np.asarray(x) / self.size - 1, 2 * np.asarray(y) / self.size - 1

    def plan(self, position: float) -> int:
        """A position as a plan unit."""
        return round((position + 1) / 2 * self.size)

    def bend(self, x, y):
        """Plan units to metres from the city's middle: waves, meanders of the river, and rounded corners."""
        s, t = self.position(x, y)
        east = s + 0.03 * np.sin(2 * np.pi * t / 0.62 + self._meander_phase) * np.exp(-(((s - self.river) / 0.2) ** 2))
        north = t.copy()
        for amplitude, waves in self._bends[0]:
            east += amplitude * waves(s, t)
        for amplitude, waves in self._bends[1]:
            north += amplitude * waves(s, t)
        rounded_east = east * np.sqrt(1 - 0.37 * np.minimum(north**2, 1.3))
        rounded_north = north * np.sqrt(1 - 0.37 * np.minimum(east**2, 1.3))
        return rounded_east * self.half_side, rounded_north * self.half_side

    # Fields ------------------------------------------------------------------------------------------------------

    def urbanity(self, s, t):
        """1 in the middle of the city, 0 far out; raised along trunk roads and in new towns."""
        radius = np.hypot(s - self.centre[0], t - self.centre[1]) * (1 + 0.13 * self.texture(s, t))
        main = np.exp(-((radius / 0.40) ** 1.6))
        trunks = [np.abs(t - y) for y, kind in self.east_west if kind == "trunk"]
        trunks += [np.abs(s - x) for x, kind in self.north_south if kind == "trunk"]
        main = main + 0.10 * np.exp(-np.minimum.reduce(trunks) / 0.04) * np.exp(-((radius / 0.75) ** 2))
        for x, y, weight, size in self._towns:
            near = ((s - x) ** 2 + (t - y) ** 2) / size**2 * (1 + 0.2 * self.fine_texture(s, t))
            main = np.maximum(main, weight * np.exp(-np.maximum(near, 0)))
        return np.clip(main, 0, 1)

    def hills(self, s, t):
        """Positive in the wooded hills."""
        return self._inside(self._hills, s, t, 0.22 * self._hill_shape(s, t) + 0.06 * self.fine_texture(s, t))

    def lakes(self, s, t):
        """Positive in the lakes."""
        return self._inside(self._lakes, s, t, 0.12 * self._coast(s, t))

    @staticmethod
    def _inside(places, s, t, roughness):
        return np.maximum.reduce([1 - np.hypot(s - x, t - y) / radius for x, y, radius in places]) + roughness

    def villages(self, s, t):
        """Distance to the nearest village's edge over its radius: below 1 inside a village."""
        column, row = np.floor(s / self._village_spacing), np.floor(t / self._village_spacing)
        nearest = np.full(np.shape(s), np.inf)
        for right in (-1, 0, 1):
            for up in (-1, 0, 1):
                a, b = column + right, row + up
                shift = _scatter(a, b, self._village_seed)
                x = (a + 0.15 + 0.7 * shift[0]) * self._village_spacing
                y = (b + 0.15 + 0.7 * shift[1]) * self._village_spacing
                radius = self._village_spacing * (0.10 + 0.13 * shift[2] ** 2)
                nearest = np.minimum(nearest, np.hypot(s - x, t - y) / radius)
        return nearest

    def density(self):
        """Relative number of parcels per area over the plan, a square array, rows along t."""
        cells = int(np.clip(10 * np.sqrt(self._parcels), 256, 1024))
        middle = (np.arange(cells) + 0.5) * 2 / cells - 1
        s, t = np.meshgrid(middle, middle)
        urbanity = self.urbanity(s, t)
        hills, lakes = self.hills(s, t), self.lakes(s, t)
        density = 0.05 + 1.1 * urbanity**2 + 0.3 * (self.villages(s, t) < 1) * (urbanity < _BUILT_UP)
        density = np.where(hills > 0, 0.03, density)
        shore = np.exp(-((lakes / 0.08) ** 2))
        return np.where(lakes > 0, 0.012, density) + 0.6 * shore

    # Main lines and sites ----------------------------------------------------------------------------------------

    def districts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The land between the main lines, their strips, and their centre lines (see ``tiling.divide``)."""
        cells = np.array([(0, self.size, 0, self.size, LAND, -1, 0, 0, 0, 0)], CELL)
        strips, lines = [], []
        for along_x, places in ((False, self.east_west), (True, self.north_south)):
            lower, upper = ("x0", "x1") if along_x else ("y0", "y1")
            for position, name in places:
                line_type = "waterway" if name == "river" else name
                width = units(self.river_width if name == "river" else WIDTHS[name])
                start = self.plan(position) - width // 2
                crossed = (cells[lower] < start) & (cells[upper] > start)
                ones = np.ones(crossed.sum(), np.int64)
                low, strip, high, line = divide(
                    cells[crossed], along_x, start * ones, width * ones, STRIP[line_type] * ones
                )
                cells = np.concatenate([cells[~crossed], low, high])
                strips.append(strip)
                lines.append(line)
        return cells, np.concatenate(strips), np.concatenate(lines)

    def airport(self) -> tuple[int, int, int, int]:
        """The airport's rectangle on the plan, x0, x1, y0, y1, east of the motorway ring; 2.8 km long where it fits."""
        size = min(0.2, 2800 / self.half_side)
        x, y = self.plan(0.75), self.plan(0.20)
        return x, x + self.plan(size - 1), y - self.plan(size - 1) // 4, y + self.plan(size - 1) // 4

    def port(self) -> tuple[int, int, int, int]:
        """The port's rectangle on the plan, on the river's east bank in the south; 1.8 km long where it fits."""
        bank = self.plan(self.river) + units(self.river_width) // 2
        length, depth = min(0.22, 1800 / self.half_side), min(0.06, 450 / self.half_side)
        return bank, bank + self.plan(depth - 1), self.plan(-0.45 - length / 2), self.plan(-0.45 + length / 2)

    def built_up(self, urbanity):
        """Whether land of an urbanity is town."""
        return urbanity > _BUILT_UP


def _scatter(a, b, seed):
    """Three pseudo-random numbers in [0, 1) for each pair of whole numbers."""
    mixed = (a.astype(np.int64) * 73856093) ^ (b.astype(np.int64) * 19349663) ^ seed
    numbers = []
    for factor in (2654435761, 2246822519, 3266489917):
        mixed = (mixed * factor) & 0xFFFFFFFF
        mixed ^= mixed >> 15
        numbers.append(mixed / 2**32)
    return numbers


def sites(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut the airport into airfield and aprons and the port into quays, with their runway and basin lines.

    Parameters
    ----------
    cells : the two CELL rows of kind AIRPORT and PORT.

    Returns
    -------
    (cells, lines)
    """
    parts, lines = [], []
    for cell in cells:
        x0, x1, y0, y1 = (int(cell[name]) for name in ("x0", "x1", "y0", "y1"))
        if cell["kind"] == AIRPORT:
            middle = y0 + (y1 - y0) * 3 // 5
            half = (x0 + x1) // 2
            rectangles = [(x0, x1, y0, middle), (x0, half, middle, y1), (half, x1, middle, y1)]
            along = (y0 + middle) // 2
            lines.append((x0 + (x1 - x0) // 20, along, x1 - (x1 - x0) // 20, along, STRIP["runway"]))
        else:
            marks = [y0 + (y1 - y0) * k // 5 for k in range(6)]
            rectangles = [(x0, x1, low, high) for low, high in pairwise(marks)]
            along = (x0 + x1) // 2
            lines.append((along, y0, along, y1, STRIP["waterway"]))
        for rectangle in rectangles:
            part = cell.copy()
            part["x0"], part["x1"], part["y0"], part["y1"] = rectangle
            parts.append(part)
    return np.array(parts, CELL), np.array(lines, LINE)
