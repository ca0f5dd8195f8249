"""Reading point layers of any size: coordinates and a few fields, batch by batch."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyogrio
import pyproj
import shapely
from pyogrio.raw import open_arrow

from ..core.errors import InputError
from . import layers
from .run import Run

BATCH = 2**17
# A two-dimensional point in little-endian WKB: byte order, geometry type, x, y.
_WKB_POINT = np.array([1, 1, 0, 0, 0], dtype=np.uint8)
_WKB_POINT_BYTES = 21


def stream(
    source, parameter: str, run: Run, columns: list[str], crs: pyproj.CRS
) -> Iterator[tuple[np.ndarray, pa.RecordBatch, float]]:
    """Read a point layer in batches of at most ``BATCH`` features.

    Parameters
    ----------
    source, parameter, run : as for ``layers.read_layer``.
    columns : fields to read.
    crs : the coordinates are brought into this CRS.

    Yields
    ------
    xy : (2, m) coordinates, not finite where a feature has no geometry or does not fit the CRS.
    batch : the fields.
    fraction : how much of the layer has been read.

    Raises
    ------
    InputError : no file, no features, no CRS, a missing field, or features that are not single points.
    """
    path, layer, own_crs = layers.locate(source, parameter)
    try:
        info = pyogrio.read_info(path, layer=layer, force_feature_count=True)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(parameter, f"'{path}' cannot be read as a layer ({error})", "Choose a point layer") from None
    layers.require_fields(info["fields"], columns, parameter)
    if info["geometry_type"] is None:
        raise InputError(parameter, f"'{path}' has no geometries", "Choose a point layer")
    if info["features"] == 0:
        raise InputError(parameter, f"'{path}' has no features", "Choose a layer that is not empty")
    own_crs = own_crs or info["crs"]
    if own_crs is None:
        raise InputError(parameter, "the layer has no CRS", "Set its coordinate reference system and run again")
    own_crs = pyproj.CRS.from_user_input(own_crs)
    transformer = None if own_crs == crs else pyproj.Transformer.from_crs(own_crs, crs, always_xy=True)
    read = missing = 0
    with open_arrow(path, layer=layer, columns=columns, batch_size=BATCH, use_pyarrow=True) as (meta, reader):
        geometry = meta["geometry_name"] or "wkb_geometry"
        for batch in reader:
            xy = _coordinates(batch.column(geometry), parameter)
            missing += int(np.isnan(xy[0]).sum())
            if transformer is not None:
                xy = np.stack(transformer.transform(*xy))
            read += len(batch)
            yield xy, batch, read / info["features"]
    if missing:
        run.warning(f"{parameter}: {missing:,} features without a geometry were left out.")


def _coordinates(column: pa.Array, parameter: str) -> np.ndarray:
    """(2, m) coordinates of a WKB column, NaN where there is no geometry."""
    if column.null_count == 0 and column.type == pa.binary():
        _, offsets, content = column.buffers()
        offsets = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
        if (np.diff(offsets) == _WKB_POINT_BYTES).all():
            start, step = int(offsets[0]), _WKB_POINT_BYTES
            head = np.ndarray((len(column), len(_WKB_POINT)), np.uint8, content, start, (step, 1))
            if (head == _WKB_POINT).all():
                return np.ndarray((2, len(column)), "<f8", content, start + len(_WKB_POINT), (8, step)).copy()
    points = shapely.from_wkb(column.to_numpy(zero_copy_only=False))
    present = ~(shapely.is_missing(points) | shapely.is_empty(points))
    wrong = present & ((shapely.get_dimensions(points) != 0) | (shapely.get_num_geometries(points) != 1))
    if wrong.any():
        kind = points[np.flatnonzero(wrong)[0]].geom_type
        raise InputError(parameter, f"it has features that are not single points, but {kind}s", "Choose a point layer")
    xy = np.full((2, len(points)), np.nan)
    xy[:, present] = shapely.get_coordinates(points[present]).T
    return xy
