"""Reading and writing rasters, with the checks that every job needs, and which polygons hold which cells.

A raster in hand is one band on a ``Grid``; whatever has a ``grid``, a ``name`` and ``read(window)`` can stand for it:
``Raster`` (a file), ``Resampled`` (a raster brought onto another grid), or a job's own class. Arrays are float64 with
NaN where there are no data. A *source* is what ``layers`` says: a path, or a dictionary with path and CRS.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.features
import shapely
from affine import Affine
from exactextract import exact_extract
from exactextract.raster import RasterSource
from rasterio.windows import Window

from ..core.errors import InputError
from . import layers
from .grids import TILE, Grid, same_crs, same_grid
from .resampling import resampled
from .run import Run

# In MB; else GDAL takes a twentieth of the machine's memory for its cache.
os.environ.setdefault("GDAL_CACHEMAX", "256")

__all__ = [
    "Grid",
    "Ground",
    "Raster",
    "Writer",
    "as_total",
    "create",
    "fractions",
    "label",
    "on_grid",
    "open_band",
    "refuse_negative",
    "resampled",
    "same_crs",
    "same_grid",
]

# Units of area in the unit of a density, in m2.
_AREAS = {"m2": 1.0, "ha": 1e4, "km2": 1e6, "m²": 1.0, "km²": 1e6}


# Reading --------------------------------------------------------------------------------------------------------------


class Raster:
    """The first band of an open raster file; a context manager that closes it.

    Attributes
    ----------
    grid : its cells; name : the file's stem; parameter : its name in messages.
    bands : how many the file has; nodata : the value that marks cells without data, None where there is none.
    quantity, unit : ``total`` or ``density`` and the unit, where the file says so (as those written here do), else "".
    """

    def __init__(self, dataset: rasterio.DatasetReader, grid: Grid, parameter: str, band: int = 1):
        self.grid, self.parameter, self.band = grid, parameter, band
        self.path = dataset.name
        self.name = Path(dataset.name).stem
        self.bands, self.nodata = dataset.count, dataset.nodatavals[band - 1]
        self.tags = dataset.tags() | dataset.tags(band)
        self.quantity = self.tags.get("QUANTITY", "")
        self.unit = dataset.units[band - 1] or self.tags.get("UNIT", "")
        self._dataset, self._lock = dataset, Lock()
        self._scale, self._offset = dataset.scales[band - 1], dataset.offsets[band - 1]
        self._all_valid = dataset.mask_flag_enums[band - 1] == [rasterio.enums.MaskFlags.all_valid]

    def __enter__(self) -> "Raster":
        return self

    def __exit__(self, *_) -> None:
        self._dataset.close()

    def read(self, window: Window | None = None) -> np.ndarray:
        """Values of a window, (height, width) float64, NaN where there are no data or the raster ends.

        Threads may read at the same time; they take turns with the file.

        Raises
        ------
        InputError : the file cannot be read there, or holds infinite values.
        """
        window = window or Window(0, 0, self.grid.width, self.grid.height)
        inside, place = _inside(window, self.grid)
        if inside is None:
            return np.full((window.height, window.width), np.nan)
        try:
            with self._lock:
                part = self._dataset.read(self.band, window=inside, out_dtype=np.float64)
                missing = None if self._all_valid else self._dataset.read_masks(self.band, window=inside) == 0
        except rasterio.errors.RasterioIOError as error:
            raise InputError(
                self.parameter, f"'{self.path}' cannot be read ({error})", "Repair the file or choose another"
            ) from None
        if missing is not None:
            part[missing] = np.nan
        if self._scale != 1 or self._offset != 0:
            part = part * self._scale + self._offset
        if np.isinf(part).any():
            raise InputError(
                self.parameter,
                f"'{self.name}' holds infinite values",
                "Correct them, or set them as the raster's nodata value",
            )
        if part.shape == (window.height, window.width):
            return part
        values = np.full((window.height, window.width), np.nan)
        values[place] = part
        return values


def _inside(window: Window, grid: Grid):
    """The part of a window that lies on a grid (None where there is none), and its place in the window."""
    top, bottom = max(0, window.row_off), min(grid.height, window.row_off + window.height)
    left, right = max(0, window.col_off), min(grid.width, window.col_off + window.width)
    if top >= bottom or left >= right:
        return None, None
    place = (
        slice(top - window.row_off, bottom - window.row_off),
        slice(left - window.col_off, right - window.col_off),
    )
    return Window(left, top, right - left, bottom - top), place


def open_band(source, parameter: str, run: Run | None = None, band: int | str = 1) -> Raster:
    """Open one band of a raster: the first unless another is named by its number or its description.

    Raises
    ------
    InputError : the file is missing or no raster, has no CRS or no such band, is rotated or not north-up, or holds
        complex numbers.
    """
    dataset, crs = layers.open_raster(source, parameter)
    try:
        number = _band_number(dataset, band, parameter)
        transform = dataset.transform
        if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
            raise InputError(
                parameter,
                f"'{dataset.name}' is rotated, mirrored or has no place on the map",
                "Warp it to a north-up raster (Raster > Projections > Warp) and choose that",
            )
        if dataset.dtypes[number - 1].startswith("complex"):
            raise InputError(parameter, f"'{dataset.name}' holds complex numbers", "Choose a raster of real numbers")
        if dataset.count > 1 and band == 1 and run is not None:
            run.info(f"{parameter}: the first of {dataset.count} bands of '{Path(dataset.name).name}' is used.")
    except InputError:
        dataset.close()
        raise
    return Raster(dataset, Grid(crs, transform, dataset.width, dataset.height), parameter, number)


def _band_number(dataset, band: int | str, parameter: str) -> int:
    names = [name or str(number + 1) for number, name in enumerate(dataset.descriptions)]
    if band in names:
        return names.index(band) + 1
    if isinstance(band, int) and 1 <= band <= dataset.count:
        return band
    raise InputError(parameter, f"'{dataset.name}' has no band '{band}'", f"Its bands are {', '.join(names)}")


def refuse_negative(values: np.ndarray, raster) -> None:
    """Raise InputError when values that were read from a raster go below zero."""
    least = np.nanmin(values, initial=0)
    if least < 0:
        raise InputError(
            raster.parameter,
            f"'{raster.name}' has cells below zero, for example {least:g}",
            "Correct them, or set the raster's nodata value if they mean no data",
        )


def as_total(raster, factor: float = 1.0, by_area: bool | None = None):
    """A raster as totals per cell.

    factor : by which values are multiplied; by_area : whether they are per m2 and so multiplied by the cells' areas.
        None leaves that to what the raster says of itself: a density's unit must be per m2, ha or km2.

    Raises
    ------
    InputError : the raster says that it holds a density, but not per which area.
    """
    if by_area is None:
        by_area = raster.quantity == "density"
        factor /= _area_of(raster) if by_area else 1.0
    return _Total(raster, factor, by_area) if by_area or factor != 1 else raster


def _area_of(raster) -> float:
    """The area in m2 that a density is given per."""
    _, _, per = raster.unit.lower().replace(" per ", "/").partition("/")
    area = per.split("/")[0].split()
    if not area or area[0] not in _AREAS:
        raise InputError(
            raster.parameter,
            f"'{raster.name}' holds a density, but its unit '{raster.unit}' names no area",
            f"Give its band a unit such as t/km2 (known are {', '.join(_AREAS)})",
        )
    return _AREAS[area[0]]


class _Total:
    """A raster multiplied by a factor and the areas of its cells; see ``as_total``."""

    quantity = "total"

    def __init__(self, raster, factor: float, by_area: bool):
        self.grid, self.name, self.parameter, self.unit = raster.grid, raster.name, raster.parameter, raster.unit
        self._raster, self._factor, self._by_area = raster, factor, by_area

    def read(self, window: Window | None = None) -> np.ndarray:
        values = self._raster.read(window) * self._factor
        return values * self.grid.cell_areas(window) if self._by_area else values


class Ground:
    """The true areas in m2 of the cells of a raster that have data, as a raster."""

    quantity, unit = "total", "m2"

    def __init__(self, raster):
        self.grid, self.name, self.parameter, self._raster = raster.grid, raster.name, raster.parameter, raster

    def read(self, window: Window | None = None) -> np.ndarray:
        return np.where(np.isfinite(self._raster.read(window)), self.grid.cell_areas(window), np.nan)


# Writing --------------------------------------------------------------------------------------------------------------


class Writer:
    """A GeoTIFF that is being written window by window; see ``create``."""

    def __init__(self, run: Run, dataset):
        self._run, self._dataset = run, dataset

    def write(self, window: Window, values: np.ndarray) -> None:
        """Write a window, (height, width), or (bands, height, width) where there are several."""
        cells = np.asarray(values)
        kind = np.dtype(self._dataset.dtypes[0])
        if kind.kind != "f" and cells.dtype.kind == "f":
            cells = np.where(np.isnan(cells), self._dataset.nodata, cells)
        self._dataset.write(cells.astype(kind), **({"indexes": 1} if cells.ndim == 2 else {}), window=window)
        self._run.require_space()


@contextmanager
def create(
    run: Run,
    path: str | Path,
    grid: Grid,
    *,
    unit: str,
    quantity: str,
    description: str | Sequence[str],
    nodata: float = np.nan,
    dtype: str = "float64",
) -> Iterator[Writer]:
    """Create a GeoTIFF (tiled, compressed) that says what it holds.

    Parameters
    ----------
    path : where to write, from ``run.stage``.
    unit, quantity : unit of the values, and ``total`` (per cell), ``density``, ``fraction`` or ``class``.
    description : of the band, or of each of several bands.
    """
    descriptions = [description] if isinstance(description, str) else list(description)
    kind = np.dtype(dtype).kind
    try:
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=grid.width,
            height=grid.height,
            count=len(descriptions),
            dtype=dtype,
            crs=rasterio.crs.CRS.from_wkt(grid.crs.to_wkt()),
            transform=grid.transform,
            nodata=nodata,
            tiled=True,
            blockxsize=TILE,
            blockysize=TILE,
            interleave="band",
            # A third of the time of deflate for files of the same size; GDAL 2.3 or newer reads it, if built with zstd.
            compress="zstd",
            zstd_level=1,
            # Differences of neighbours help where values vary smoothly, and hurt where most are 0 or 1.
            predictor={"fraction": 1, "class": 1}.get(quantity, 3 if kind == "f" else 2),
            BIGTIFF="IF_SAFER",
        ) as dataset:
            dataset.update_tags(UNIT=unit, QUANTITY=quantity)
            dataset.units = [unit] * len(descriptions)
            dataset.descriptions = descriptions
            yield Writer(run, dataset)
    except rasterio.errors.RasterioError:
        run.require_space()
        raise
    run.require_space()


# Polygons -------------------------------------------------------------------------------------------------------------


def on_grid(polygons: gpd.GeoDataFrame, raster, parameter: str) -> gpd.GeoDataFrame:
    """Polygons in the CRS of a raster (or a grid); refuses those that do not meet it at all.

    Edges are divided first, so that straight edges stay where they are on the ground.
    """
    grid = getattr(raster, "grid", raster)
    if not same_crs(polygons.crs, grid.crs):
        # A hundredth of the layer's extent is short enough for the curve of an edge to be below a cell.
        west, south, east, north = polygons.total_bounds
        length = max(east - west, north - south) / 100
        polygons = polygons.set_geometry(polygons.geometry.segmentize(length)).to_crs(grid.crs)
        bounds = polygons.total_bounds
        if not np.isfinite(bounds).all():
            raise InputError(parameter, f"it cannot be brought into '{grid.crs.name}'", "Check its CRS")
    west, south, east, north = polygons.total_bounds
    left, bottom, right, top = grid.bounds
    if not (west < right and left < east and south < top and bottom < north):
        raise InputError(
            parameter,
            f"its extent ({west:g}, {south:g}, {east:g}, {north:g}) does not overlap the raster's "
            f"({left:g}, {bottom:g}, {right:g}, {top:g}) in {grid.crs.name}",
            "Check the CRS of both",
        )
    return polygons


class _Ones(RasterSource):
    """A raster of ones on a grid, as exactextract wants it."""

    def __init__(self, grid: Grid):
        super().__init__()
        self._grid = grid

    def res(self):
        return self._grid.cell

    def extent(self):
        return self._grid.bounds

    def srs_wkt(self):
        return None

    def nodata_value(self):
        return None

    def read_window(self, x0, y0, nx, ny):
        return np.ones((ny, nx))


def fractions(polygons: gpd.GeoDataFrame, grid: Grid, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which fraction of each cell of a window lies in which polygon.

    polygons : in the grid's CRS (see ``on_grid``).

    Returns
    -------
    Three parallel arrays: position of the polygon; place of the cell in the flattened window; exact fraction (0, 1].
    """
    meeting = np.flatnonzero(
        shapely.intersects(np.asarray(polygons.geometry.array), shapely.box(*grid.bounds_of(window)))
    )
    if len(meeting) == 0:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    part = gpd.GeoDataFrame(geometry=polygons.geometry.iloc[meeting].reset_index(drop=True))
    ones = _Ones(grid.part(window))
    found = exact_extract(ones, part, ["cell_id", "coverage"], strategy="raster-sequential", output="pandas")
    counts = found["coverage"].map(len).to_numpy()
    coverage = np.concatenate(found["coverage"].to_list()).astype(float)
    cells = np.concatenate(found["cell_id"].to_list()).astype(int)
    real = coverage > 0
    return np.repeat(meeting, counts)[real], cells[real], coverage[real]


def label(polygons: gpd.GeoDataFrame, grid: Grid, window: Window) -> np.ndarray:
    """Position of the polygon that holds each cell's centre, (height, width) int32; -1 where none does.

    polygons : in any CRS, but those in the grid's (see ``on_grid``) need no projection at each window. Of polygons that
    overlap the first counts.
    """
    if not same_crs(polygons.crs, grid.crs):
        polygons = on_grid(polygons, grid, "polygons")
    result = np.full((window.height, window.width), -1, dtype=np.int32)
    shapes = np.asarray(polygons.geometry.array)
    meeting = np.flatnonzero(shapely.intersects(shapes, shapely.box(*grid.bounds_of(window))))
    if len(meeting):
        rasterio.features.rasterize(
            ((shapes[row], int(row)) for row in meeting[::-1]),
            out=result,
            transform=grid.transform @ Affine.translation(window.col_off, window.row_off),
        )
    return result
