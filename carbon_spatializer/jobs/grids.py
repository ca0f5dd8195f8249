"""Where the cells of rasters lie on the ground: grids, their windows, true areas, and when two are the same."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyproj
from affine import Affine
from rasterio.windows import Window
from scipy import sparse

# Cells that are in memory at a time.
CELLS_AT_ONCE = 4_000_000
# Side of the tiles of a GeoTIFF.
TILE = 256
# Places per side at which the cells' areas of a projected grid are computed.
_AREA_NODES = 128
# Shift of a grid's corner, in cells, below which two grids are the same.
_SAME = 1e-3


@dataclass(frozen=True)
class Grid:
    """A north-up grid: where its cells lie on the ground.

    Parameters
    ----------
    crs : of the coordinates.
    transform : of column and row to coordinates, without rotation.
    width, height : in cells.
    """

    crs: pyproj.CRS
    transform: Affine
    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        return self.bounds_of(Window(0, 0, self.width, self.height))

    def bounds_of(self, window: Window) -> tuple[float, float, float, float]:
        """West, south, east, north of a window."""
        west, north = self.transform @ (window.col_off, window.row_off)
        east, south = self.transform @ (window.col_off + window.width, window.row_off + window.height)
        return west, south, east, north

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of a cell in units of the CRS."""
        return self.transform.a, -self.transform.e

    def windows(self, rows: int | None = None, cells: int = CELLS_AT_ONCE) -> list[Window]:
        """Full-width strips from north to south, of a number of rows, or of about so many cells and whole tiles."""
        if rows is None:
            rows = max(1, cells // self.width)
            rows = rows // TILE * TILE or rows
        return [Window(0, row, self.width, min(rows, self.height - row)) for row in range(0, self.height, rows)]

    def blocks(self, size: int = 512) -> list[Window]:
        """Squares of at most ``size`` cells a side, row by row."""
        return [
            Window(column, row, min(size, self.width - column), min(size, self.height - row))
            for row in range(0, self.height, size)
            for column in range(0, self.width, size)
        ]

    def part(self, window: Window) -> "Grid":
        """The grid of a window alone."""
        moved = self.transform @ Affine.translation(window.col_off, window.row_off)
        return Grid(self.crs, moved, window.width, window.height)

    def window_of(self, other) -> Window | None:
        """The cells that meet the bounds of another grid, or of a raster; None where there are none."""
        other = getattr(other, "grid", other)
        transformer = pyproj.Transformer.from_crs(other.crs, self.crs, always_xy=True)
        west, south, east, north = transformer.transform_bounds(*other.bounds)
        if not np.isfinite([west, south, east, north]).all():
            return Window(0, 0, self.width, self.height)
        if east < west:  # across the 180th meridian
            west, east = self.bounds[0], self.bounds[2]
        left, top = ~self.transform @ (west, north)
        right, bottom = ~self.transform @ (east, south)
        left, top = max(0, math.floor(left + _SAME)), max(0, math.floor(top + _SAME))
        right, bottom = min(self.width, math.ceil(right - _SAME)), min(self.height, math.ceil(bottom - _SAME))
        return Window(left, top, right - left, bottom - top) if left < right and top < bottom else None

    def refined(self, factor: int) -> "Grid":
        """The grid whose cells are this many times smaller on each side."""
        scale = Affine.scale(1 / factor)
        return Grid(self.crs, self.transform @ scale, self.width * factor, self.height * factor)

    def coarsened(self, factor: int) -> "Grid":
        """The grid whose cells are this many times larger on each side; its last ones may reach over the edge."""
        scale = Affine.scale(factor)
        return Grid(self.crs, self.transform @ scale, -(-self.width // factor), -(-self.height // factor))

    @property
    def middle_area(self) -> float:
        """True area in m2 of the cell in the middle, to compare grids by; 0 where it has no place on the ground."""
        area = float(self.cell_areas(Window(self.width // 2, self.height // 2, 1, 1))[0, 0])
        return area if math.isfinite(area) else 0.0

    def cell_areas(self, window: Window | None = None) -> np.ndarray:
        """True areas of the cells of a window, (height, width) in m2, on the CRS's own ellipsoid.

        Cells of a grid in degrees are computed by the formula of the authalic latitude, without approximation; those of
        projected grids at up to 128 x 128 places with bilinear interpolation between them. NaN where the projection has
        no place on the ground.
        """
        window = window or Window(0, 0, self.width, self.height)
        rows, columns = centres(window)
        if self.crs.is_geographic:
            return np.repeat(self._strip_areas(rows)[:, None], len(columns), axis=1)
        lattice, nodes = self._ground_per_cell
        down, across = (interpolation(places, at) for places, at in zip((rows, columns), nodes))
        return (across @ (down @ lattice).T).T

    def _strip_areas(self, rows: np.ndarray) -> np.ndarray:
        """Areas of one cell per row of a grid in degrees."""
        ellipsoid = self.crs.ellipsoid
        e = math.sqrt(1 - (ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre) ** 2)
        radians = self.crs.axis_info[0].unit_conversion_factor

        def zone(row):
            """Area between equator and parallel, per radian of longitude (Snyder 1987, equation 3-12)."""
            sine = np.sin(np.clip((self.transform.f + self.transform.e * row) * radians, -np.pi / 2, np.pi / 2))
            curved = np.arctanh(e * sine) / e if e else sine
            return ellipsoid.semi_minor_metre**2 / 2 * (curved + sine / (1 - (e * sine) ** 2))

        return (zone(rows - 0.5) - zone(rows + 0.5)) * self.transform.a * radians

    @cached_property
    def _ground_per_cell(self) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Area of a cell in m2 on a lattice, from the derivatives of longitude and latitude; the lattice's places."""
        rows, columns = nodes_of(self.height, _AREA_NODES), nodes_of(self.width, _AREA_NODES)
        row, column = np.meshgrid(rows, columns, indexing="ij")
        to_degrees = pyproj.Transformer.from_crs(self.crs, self.crs.geodetic_crs, always_xy=True)

        def places(rows, columns):
            return np.radians(to_degrees.transform(*(self.transform @ (columns, rows))))

        _, latitude = places(row, column)
        with np.errstate(invalid="ignore"):
            down = places(row + 0.5, column) - places(row - 0.5, column)
            across = places(row, column + 0.5) - places(row, column - 0.5)
            ellipsoid = self.crs.ellipsoid
            flat = 1 - (ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre) ** 2
            curved = 1 - flat * np.sin(latitude) ** 2
            radii = ellipsoid.semi_major_metre**2 * (1 - flat) / curved**2  # meridional x transverse radius
            area = np.abs(down[0] * across[1] - down[1] * across[0]) * radii * np.cos(latitude)
        area[~np.isfinite(area)] = np.nan
        return area, (rows, columns)


def same_grid(one, other) -> bool:
    """Whether two grids, or the grids of two rasters, have the same cells."""
    one, other = getattr(one, "grid", one), getattr(other, "grid", other)
    if one.shape != other.shape or not same_crs(one.crs, other.crs):
        return False
    width, height = one.cell
    shifts = np.subtract(one.bounds, other.bounds) / [width, height, width, height]
    return bool((np.abs(shifts) < _SAME).all())


def same_crs(one: pyproj.CRS, other: pyproj.CRS) -> bool:
    """Whether two CRS mean the same, however they are written."""
    return one == other or one.equals(other, ignore_axis_order=True) or _code(one) == _code(other) is not None


def _code(crs: pyproj.CRS) -> int | None:
    return crs.to_epsg(min_confidence=100)


def nodes_of(count: int, most: int) -> np.ndarray:
    """Places along a side, from the first cell's centre to the last's; at least two."""
    if count == 1:
        return np.array([0.25, 0.75])
    return np.linspace(0.5, count - 0.5, min(count, most))


def centres(window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the centres of a window's cells."""
    return window.row_off + np.arange(window.height) + 0.5, window.col_off + np.arange(window.width) + 0.5


def interpolation(places: np.ndarray, nodes: np.ndarray) -> sparse.csr_array:
    """Weights, (places, nodes), of linear interpolation between nodes."""
    low = np.clip(np.searchsorted(nodes, places, side="right") - 1, 0, len(nodes) - 2)
    share = (places - nodes[low]) / (nodes[low + 1] - nodes[low])
    index = np.arange(len(places))
    entries = (np.concatenate([1 - share, share]), (np.tile(index, 2), np.concatenate([low, low + 1])))
    return sparse.csr_array(entries, shape=(len(places), len(nodes)))
