"""Reading point layers of any size: coordinates and a few fields, without an object per point."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyogrio
import pyproj
import shapely
from pyogrio.raw import open_arrow

from ..core.errors import InputError
from . import layers
from .run import Run

_BATCH = 2**17
# A two-dimensional point in little-endian WKB: byte order, geometry type, x, y.
_WKB_POINT = np.array([1, 1, 0, 0, 0], dtype=np.uint8)
_WKB_POINT_BYTES = 21


@dataclass(frozen=True)
class Points:
    """m points.

    xy : (2, m) coordinates in the CRS, NaN where there is no geometry; fields : those asked for, text as dictionaries.
    """

    xy: np.ndarray
    crs: pyproj.CRS
    fields: pa.Table

    def in_crs(self, crs: pyproj.CRS) -> np.ndarray:
        """(2, m) coordinates in another CRS, not finite where they do not fit it."""
        if self.crs == crs:
            return self.xy
        return np.stack(pyproj.Transformer.from_crs(self.crs, crs, always_xy=True).transform(*self.xy))


def read(source, parameter: str, run: Run, columns: Sequence[str]) -> Points:
    """Read a point layer.

    Parameters
    ----------
    source, parameter, run : as for ``layers.read_layer``.
    columns : fields to read.

    Raises
    ------
    InputError : no file, no features, no CRS, a missing field, or features that are not single points.
    """
    path, layer, crs = layers.locate(source, parameter)
    try:
        info = pyogrio.read_info(path, layer=layer)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(parameter, f"'{path}' cannot be read as a layer ({error})", "Choose a point layer") from None
    layers.require_fields(info["fields"], columns, parameter)
    if info["geometry_type"] is None:
        raise InputError(parameter, f"'{path}' has no geometries", "Choose a point layer")
    crs = crs or info["crs"]
    if crs is None:
        raise InputError(parameter, "the layer has no CRS", "Set its coordinate reference system and run again")
    xy, fields = [], []
    with open_arrow(path, layer=layer, columns=list(columns), batch_size=_BATCH, use_pyarrow=True) as (meta, reader):
        geometry = meta["geometry_name"] or "wkb_geometry"
        for batch in reader:
            xy.append(_coordinates(batch.column(geometry), parameter))
            fields.append(pa.record_batch({name: _compact(batch.column(name)) for name in columns}))
    if not sum(part.shape[1] for part in xy):
        raise InputError(parameter, f"'{path}' has no features", "Choose a layer that is not empty")
    xy = np.concatenate(xy, axis=1)
    missing = np.isnan(xy[0]).sum()
    if missing:
        run.warning(f"{parameter}: {missing:,} features without a geometry were left out.")
    return Points(xy, pyproj.CRS.from_user_input(crs), pa.Table.from_batches(fields))


def _compact(column: pa.Array) -> pa.Array:
    return column.dictionary_encode() if pa.types.is_string(column.type) else column


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
