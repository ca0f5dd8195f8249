"""Reading and writing layers and tables, with the checks that every job needs.

A *source* is a path, or a dictionary with ``path``, ``layer`` (name inside the file, optional) and ``crs`` (WKT that
overrides the file's, optional): what the QGIS side sends for a loaded layer.
"""

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import pyproj
import rasterio
import shapely

from ..core.errors import InputError
from .run import Run

_DRIVERS = {
    ".gpkg": "GPKG",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".shp": "ESRI Shapefile",
    ".fgb": "FlatGeobuf",
    ".csv": "CSV",
}
# What GDAL opens that is no file of its own: files in archives, and layers in NetCDF and HDF files.
_WITHIN = ("/vsi", "NETCDF:", "HDF5:")
_DIMENSIONS = {"point": 0, "line": 1, "polygon": 2}
# Cells on a side of the lattice that ``areas`` interpolates from; the most that a cell or a polygon may measure, since
# the ratio of true to plane area bends by 1e-6 over a few kilometres; and the most that an area may be wrong.
_LATTICE = 64
_MOST_M = 5000
_AREA_TOLERANCE = 1e-5


def locate(source, parameter: str) -> tuple[str, str | None, str | None]:
    """Path, layer name and CRS override of a source; the file must exist."""
    if not isinstance(source, dict):
        source = {"path": source}
    path = str(source.get("path") or "")
    if not path:
        raise InputError(parameter, "no layer was given", "Choose a layer or a file")
    if not path.startswith(_WITHIN) and not Path(path).exists():
        raise InputError(parameter, f"the file '{path}' does not exist", "Choose an existing file")
    return path, source.get("layer") or None, source.get("crs") or None


def _read(source, parameter: str, columns, geometry: bool, exact: bool = False):
    path, layer, crs = locate(source, parameter)
    try:
        info = pyogrio.read_info(path, layer=layer)
        if columns is not None:
            require_fields(info["fields"], columns, parameter)
        types = {"types_mapper": pd.ArrowDtype} if exact else {}
        frame = pyogrio.read_dataframe(
            path, layer=layer, columns=columns, read_geometry=geometry, use_arrow=True, arrow_to_pandas_kwargs=types
        )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(
            parameter, f"'{path}' cannot be read as a layer ({error})", "Choose a vector layer or a table"
        ) from None
    if geometry and not isinstance(frame, gpd.GeoDataFrame):
        raise InputError(parameter, f"'{path}' has no geometries", "Choose a layer with geometries")
    if len(frame) == 0:
        raise InputError(parameter, f"'{path}' has no features", "Choose a layer that is not empty")
    return frame, crs


def require_fields(available, wanted, parameter: str) -> None:
    """Raise InputError when a wanted field is not among the available ones."""
    available = [field for field in available if field != "geometry"]
    missing = [field for field in wanted if field not in available]
    if missing:
        raise InputError(
            parameter,
            f"field '{missing[0]}' does not exist",
            f"Choose one of {', '.join(map(str, available)) or '(the layer has no fields)'}",
        )


def read_table(source, parameter: str, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table (or a layer's attributes) as a frame; raises InputError on a missing file or field, or no rows."""
    frame, _ = _read(source, parameter, columns, geometry=False)
    return frame


def read_layer(
    source,
    parameter: str,
    run: Run,
    kind: str | None = None,
    columns: list[str] | None = None,
    exact: bool = False,
) -> gpd.GeoDataFrame:
    """Read a vector layer with geometries that can be relied on.

    Parameters
    ----------
    source : see the module.
    parameter : name for messages.
    run : receives the warnings about repaired and dropped geometries.
    kind : ``point``, ``line`` or ``polygon``; None accepts any.
    columns : fields to read; None reads all.
    exact : keep the fields' exact types (whole numbers with gaps, dates) so that they can be written as they came.

    Returns
    -------
    GeoDataFrame with a CRS, a RangeIndex, no missing geometries, and polygons made valid.

    Raises
    ------
    InputError : no file, no features, no CRS, the wrong geometry type, or no usable geometry.
    """
    frame, crs = _read(source, parameter, columns, geometry=True, exact=exact)
    if crs:
        frame = frame.set_crs(pyproj.CRS.from_user_input(crs), allow_override=True)
    if frame.crs is None:
        raise InputError(parameter, "the layer has no CRS", "Set its coordinate reference system and run again")
    geometry = frame.geometry.array
    missing = shapely.is_missing(np.asarray(geometry)) | shapely.is_empty(np.asarray(geometry))
    if missing.any():
        run.warning(f"{parameter}: {missing.sum():,} features without a geometry were left out.")
        frame = frame[~missing].reset_index(drop=True)
        if frame.empty:
            raise InputError(parameter, "no feature has a geometry", "Choose a layer with geometries")
    if kind is not None:
        dimension = shapely.get_dimensions(frame.geometry.array)
        wrong = dimension != _DIMENSIONS[kind]
        if wrong.any():
            raise InputError(
                parameter,
                f"{wrong.sum():,} of {len(frame):,} features are not {kind}s",
                f"Choose a {kind} layer",
            )
    if kind == "polygon":
        valid = shapely.is_valid(frame.geometry.array)
        if not valid.all():
            run.warning(
                f"{parameter}: {(~valid).sum():,} invalid polygons were repaired "
                f"(first at row {int(np.flatnonzero(~valid)[0]) + 1})."
            )
            mended = np.array(frame.geometry.array)
            repaired = _polygonal(shapely.make_valid(mended[~valid]))
            # A polygon without area has no valid form; as it is, it still has its place.
            mended[~valid] = np.where(shapely.is_empty(repaired), mended[~valid], repaired)
            frame = frame.set_geometry(gpd.GeoSeries(mended, crs=frame.crs))
    bounds = frame.total_bounds
    if not np.isfinite(bounds).all():
        raise InputError(parameter, "coordinates are infinite or not numbers", "Repair the geometries and run again")
    return frame


def _polygonal(geometries: np.ndarray) -> np.ndarray:
    """Keep the polygon parts that make_valid leaves, drop its stray lines and points."""
    parts, index = shapely.get_parts(geometries, return_index=True)
    nested = shapely.get_type_id(parts) == 6
    if nested.any():
        inner, inner_index = shapely.get_parts(parts[nested], return_index=True)
        parts, index = (
            np.concatenate([parts[~nested], inner]),
            np.concatenate([index[~nested], index[nested][inner_index]]),
        )
    keep = shapely.get_type_id(parts) == 3
    order = np.argsort(index[keep], kind="stable")
    result = np.full(len(geometries), shapely.MultiPolygon(), dtype=object)
    owner = index[keep][order]
    shapely.multipolygons(parts[keep][order], indices=owner, out=result) if len(owner) else None
    return result


def numbers(
    frame: pd.DataFrame, field: str, parameter: str, negative: bool = False, missing: bool = False
) -> np.ndarray:
    """A field as float64 numbers.

    Raises
    ------
    InputError : the field is missing, is text that holds no numbers, or holds NaN, infinite or negative values
        that are not allowed by ``missing`` and ``negative``.
    """
    require_fields(frame.columns, [field], parameter)
    values = pd.to_numeric(frame[field], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    text = frame[field][np.isnan(values) & frame[field].notna().to_numpy()].astype(str).str.strip()
    text = text[text != ""]
    if len(text):
        raise InputError(
            parameter,
            f"field '{field}' holds text, for example '{text.iloc[0]}'",
            "Choose a numeric field or correct the values",
        )
    if not missing and np.isnan(values).any():
        raise InputError(
            parameter,
            f"field '{field}' has no value in {np.isnan(values).sum():,} of {len(values):,} rows "
            f"(first in row {int(np.flatnonzero(np.isnan(values))[0]) + 1})",
            "Fill the values or remove the rows",
        )
    if np.isinf(values).any():
        raise InputError(parameter, f"field '{field}' holds infinite values", "Correct the values")
    if not negative and (values < 0).any():
        raise InputError(
            parameter,
            f"field '{field}' holds negative values, for example {values[values < 0][0]:g} in row "
            f"{int(np.flatnonzero(values < 0)[0]) + 1}",
            "Correct the values",
        )
    return values


def keys(column: pd.Series) -> pd.Series:
    """A column as text that can be matched: blanks stripped, whole numbers without decimals, missing as ''."""
    if pd.api.types.is_float_dtype(column) and (column.dropna().astype(float) % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string").fillna("").str.strip().astype(object)


def with_columns(frame: pd.DataFrame, made: dict, parameter: str, run: Run) -> pd.DataFrame:
    """A frame's own fields and new ones; a field that has the name of a new one gives way, with a warning."""
    taken = {name.casefold() for name in made}
    replaced = [name for name in frame.columns if name.casefold() in taken]
    if replaced:
        run.warning(f"{parameter}: the fields {', '.join(replaced)} are replaced by the result's.")
    return frame.drop(columns=replaced).assign(**made)


def work_crs(frame: gpd.GeoDataFrame) -> pyproj.CRS:
    """Equal-area CRS in metres centred on a layer: areas are true in it, whatever CRS the layer is in."""
    west, south, east, north = frame.geometry.total_bounds
    to_degrees = pyproj.Transformer.from_crs(frame.crs, frame.crs.geodetic_crs or 4326, always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(west, south, east, north)
    if not np.isfinite([west, south, east, north]).all():
        raise InputError("crs", f"the layer's coordinates do not fit its CRS '{frame.crs.name}'", "Set the right CRS")
    return pyproj.CRS.from_proj4(
        f"+proj=laea +lat_0={(south + north) / 2:.6f} +lon_0={(west + east) / 2:.6f} +datum=WGS84 +units=m +no_defs"
    )


def areas(frame: gpd.GeoDataFrame) -> np.ndarray:
    """True (ellipsoidal) areas of polygons in square metres, to 1e-5 of each.

    A small polygon's area in its own coordinates is multiplied by the ratio of true to plane area at its centroid,
    which is much faster than to project its vertices; the others are projected.
    """
    polygons = np.asarray(frame.geometry.array)
    to_true = pyproj.Transformer.from_crs(frame.crs, work_crs(frame), always_xy=True)
    result = _areas_by_ratio(polygons, frame.total_bounds, to_true)
    others = np.isnan(result)
    if others.any():
        result[others] = shapely.area(frame.geometry[others].to_crs(to_true.target_crs).array)
    return result


def _areas_by_ratio(polygons: np.ndarray, bounds: np.ndarray, to_true: pyproj.Transformer) -> np.ndarray:
    """Plane areas times the ratio of true to plane area at the centroids; NaN where that is not exact enough."""
    west, south, east, north = bounds
    step = max(east - west, north - south) / _LATTICE
    if step == 0:
        return np.full(len(polygons), np.nan)
    # Around each node of a lattice, the true area of a tiny diamond by the cross product of its diagonals ...
    x, y = np.meshgrid(west + step * np.arange(_LATTICE + 1), south + step * np.arange(_LATTICE + 1))
    half = step / 100
    middle = np.array(to_true.transform(x, y))
    left, right, below, above = (
        np.array(to_true.transform(x + half * dx, y + half * dy)) for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1))
    )
    across, up = right - left, above - below
    nodes = np.abs(across[0] * up[1] - across[1] * up[0]) / (2 * half) ** 2
    # ... and how strongly a straight line on the map bends on the ground, in 1/m.
    bend = max(
        (np.hypot(*(first + last - 2 * middle)) / np.hypot(*(last - first) / 2) ** 2).max()
        for first, last in ((left, right), (below, above))
    )
    place = (shapely.get_coordinates(shapely.centroid(polygons)) - (west, south)) / step
    column, row = np.minimum(place.astype(int), _LATTICE - 1).T
    right, up = place.T - (column, row)
    ratio = (nodes[row, column] * (1 - right) + nodes[row, column + 1] * right) * (1 - up) + (
        nodes[row + 1, column] * (1 - right) + nodes[row + 1, column + 1] * right
    ) * up
    metres = np.sqrt(ratio)
    extent = np.ptp(shapely.bounds(polygons).reshape(-1, 2, 2), axis=1).max(axis=1) * metres
    area = shapely.area(polygons) * ratio
    # An edge of length L and its arc enclose bend L^3 / 12.
    enclosed = bend * extent**2 * shapely.length(polygons) * metres / 12
    exact = (step * metres <= _MOST_M) & (extent <= _MOST_M) & (enclosed <= _AREA_TOLERANCE * area)
    return np.where(exact, area, np.nan)


def align(frame: gpd.GeoDataFrame, other: gpd.GeoDataFrame, parameter: str) -> gpd.GeoDataFrame:
    """Bring ``frame`` into the CRS of ``other`` and refuse it when the two do not overlap."""
    if frame.crs != other.crs:
        frame = frame.to_crs(other.crs)
    west, south, east, north = frame.total_bounds
    left, bottom, right, top = other.total_bounds
    if not (west <= right and left <= east and south <= top and bottom <= north):
        raise InputError(
            parameter,
            f"its extent ({west:g}, {south:g}, {east:g}, {north:g}) does not overlap the other layer's "
            f"({left:g}, {bottom:g}, {right:g}, {top:g}) in {other.crs.name}",
            "Check the CRS of both layers",
        )
    return frame


def open_raster(source, parameter: str) -> tuple[rasterio.DatasetReader, pyproj.CRS]:
    """Open a raster, and its CRS, the source's before the file's; raises InputError when it is missing, unreadable or
    has no CRS. The caller closes it.
    """
    path, _, crs = locate(source, parameter)
    try:
        dataset = rasterio.open(path)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(parameter, f"'{path}' cannot be read as a raster ({error})", "Choose a raster") from None
    if dataset.crs is None and not crs:
        dataset.close()
        raise InputError(parameter, "the raster has no CRS", "Set its coordinate reference system and run again")
    return dataset, pyproj.CRS.from_user_input(crs or dataset.crs)


def write_layer(frame: gpd.GeoDataFrame | pd.DataFrame, path: str | Path, layer: str | None = None) -> None:
    """Write a layer or a table; the driver follows the file's ending (gpkg, geojson, shp, fgb, csv)."""
    options = _writing(path, layer)
    if options["driver"] == "CSV":
        pd.DataFrame(frame.drop(columns="geometry", errors="ignore")).to_csv(path, index=False, encoding="utf-8")
        return
    if isinstance(frame, gpd.GeoDataFrame):
        options["promote_to_multi"] = bool((shapely.get_type_id(frame.geometry.array) > 3).any())
    if options["driver"] == "GPKG":
        # The file's own columns must not meet a field of the same name, such as the fid of an exported Shapefile.
        options["layer_options"] = {"FID": _free_name("fid", frame), "GEOMETRY_NAME": _free_name("geom", frame)}
    pyogrio.write_dataframe(frame, path, use_arrow=True, **options)


def _free_name(name: str, frame: pd.DataFrame) -> str:
    taken = {str(column).casefold() for column in frame.columns}
    while name in taken:
        name += "_"
    return name


def write_points(frames: Iterable[pd.DataFrame], path: str | Path, crs) -> None:
    """Write a point layer frame by frame, so that millions of points never lie in memory together.

    Parameters
    ----------
    frames : at least one, all with the same columns: ``x`` and ``y`` in the CRS, and the fields.
    """
    frames = iter(frames)
    first = _points_batch(next(frames))
    batches = chain([first], map(_points_batch, frames))
    options = _writing(path) | {"geometry_name": "geometry", "geometry_type": "Point", "encoding": "UTF-8"}
    if options["driver"] == "CSV":
        options = {"driver": "CSV", "layer": options["layer"]}
        batches = (batch.drop_columns("geometry") for batch in batches)
        first = first.drop_columns("geometry")
    else:
        options["crs"] = pyproj.CRS.from_user_input(crs).to_wkt()
    pyogrio.write_arrow(pa.RecordBatchReader.from_batches(first.schema, batches), path, **options)


def _points_batch(frame: pd.DataFrame) -> pa.RecordBatch:
    """Fields and points, the latter as little-endian WKB."""
    wkb = np.empty(len(frame), np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")]))
    wkb["order"], wkb["type"], wkb["x"], wkb["y"] = 1, 1, frame["x"], frame["y"]
    offsets = np.arange(len(frame) + 1, dtype=np.int32) * wkb.itemsize
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(wkb.view("u1"))]
    points = pa.BinaryArray.from_buffers(pa.binary(), len(frame), buffers)
    fields = pa.RecordBatch.from_pandas(frame.drop(columns=["x", "y"]), preserve_index=False)
    return fields.append_column("geometry", points)


def _writing(path: str | Path, layer: str | None = None) -> dict:
    """Options for writing a layer."""
    path = Path(path)
    driver = _DRIVERS.get(path.suffix.lower())
    if driver is None:
        raise InputError("output", f"the file type '{path.suffix}' is unknown", f"Use one of {', '.join(_DRIVERS)}")
    # GDAL 3.6, as in QGIS 3.40 on Debian 12, warns about GeoPackage 1.4.
    version = {"dataset_options": {"VERSION": "1.2"}} if driver == "GPKG" else {}
    return {"layer": layer or path.stem, "driver": driver} | version


def write_json(content: dict, path: str | Path) -> None:
    """Write a JSON file in UTF-8."""
    Path(path).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
