"""The spatial weights of a layer: from its geometries or from a .gal or .gwt file."""

import warnings
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from scipy import sparse

from ..core import weights
from ..core.autocorrelation import ESDA, SHARED_TABLE, has_flat_rows
from ..core.checks import one_of
from ..core.errors import InputError
from . import layers
from .run import Run

KINDS = ("auto", "queen", "rook", "nearest", "distance", "kernel", "file")


class Links:
    """The weights of a layer, and of any part of its units.

    The arguments are those of the jobs. ``words`` describes the weights, ``engine`` is what tests local Moran's I.
    """

    def __init__(
        self,
        run: Run,
        frame: gpd.GeoDataFrame,
        kind: str = "auto",
        k: int = 8,
        distance_m: float | None = None,
        kernel: str = "triangular",
        snap_m: float = 0.0,
        weights_file=None,
        id_field: str | None = None,
        row_standardised: bool = True,
    ):
        self._row_standardised = row_standardised
        self._whole = None
        is_polygon = bool((shapely.get_dimensions(np.asarray(frame.geometry.array)) == 2).all())
        one_of(kind, KINDS, "weights")
        one_of(kernel, weights.KERNELS, "kernel")
        if kind == "auto":
            kind = "queen" if is_polygon else "nearest"
        if kind in ("queen", "rook") and not is_polygon:
            raise InputError(
                "weights", f"points have no borders, so '{kind}' is undefined", "Choose k nearest neighbours"
            )
        run.progress(0.1, "Finding neighbours")
        if kind in ("queen", "rook"):
            geometries, snap = _shapes(run, frame, snap_m)
            self._whole = weights.contiguity(geometries, kind == "rook", snap, run.part(0.1, 0.3))
            words = f"{kind} contiguity" + (f" with a snap tolerance of {snap_m:g} m" if snap_m else "")
        elif kind == "file":
            self._whole, words = _from_file(run, weights_file, frame, id_field)
        else:
            if kind == "distance" or (kind == "kernel" and distance_m is not None):
                _require_metres(frame)
            places = _places(frame)
            if kind == "distance" and distance_m is None:
                distance_m = weights.distance_for_all(places)
                run.info(f"Distance band: {distance_m:,.1f} m, the shortest in which every unit has a neighbour.")
            self._build: Callable = {
                "nearest": lambda units: weights.nearest(places[units], k),
                "distance": lambda units: weights.distance_band(places[units], distance_m),
                "kernel": lambda units: weights.kernel(places[units], kernel, distance_m, k),
            }[kind]
            words = {
                "nearest": f"{k} nearest neighbours",
                "distance": f"distance band of {distance_m or 0:,.1f} m",
                "kernel": f"{kernel} kernel, "
                + (f"bandwidth {distance_m:,.1f} m" if distance_m is not None else f"adaptive to {k} neighbours"),
            }[kind]
        self.words = words + (", row-standardised" if row_standardised else ", as they are")
        matrix = self._whole if self._whole is not None else self._build(np.arange(len(frame)))
        self.engine = SHARED_TABLE if has_flat_rows(matrix) else ESDA
        counts = weights.neighbours(matrix)
        run.info(
            f"Weights: {self.words}; {matrix.nnz:,} links of {len(counts):,} units, "
            f"{counts.min()} to {counts.max()} neighbours, {counts.mean():.2f} on average."
        )
        islands = np.flatnonzero(counts == 0)
        if len(islands):
            rows = ", ".join(str(row + 1) for row in islands[:5]) + (" ..." if len(islands) > 5 else "")
            run.warning(f"{len(islands):,} units have no neighbours (rows {rows}); they are never significant.")

    def of(self, units: np.ndarray) -> sparse.csr_array:
        """Weights among some of the units."""
        if self._whole is None:
            matrix = self._build(units) if len(units) > 1 else sparse.csr_array((len(units), len(units)))
        elif len(units) == self._whole.shape[0]:
            matrix = self._whole
        else:
            matrix = sparse.csr_array(self._whole[units][:, units])
        return weights.row_standardise(matrix) if self._row_standardised else matrix


def _shapes(run: Run, frame: gpd.GeoDataFrame, snap_m: float) -> tuple[np.ndarray, float]:
    """Valid polygons for contiguity, and the snap tolerance in their unit."""
    geometry = frame.geometry
    snap = snap_m
    if snap_m > 0 and not frame.crs.is_projected:
        geometry = geometry.to_crs(layers.work_crs(frame))
    elif snap_m > 0:
        snap = snap_m / frame.crs.axis_info[0].unit_conversion_factor
    shapes = np.array(geometry.array)
    invalid = ~shapely.is_valid(shapes)
    if invalid.any():
        run.warning(f"input: {invalid.sum():,} invalid polygons were repaired to find their neighbours.")
        shapes[invalid] = shapely.make_valid(shapes[invalid])
    return shapes, snap


def _places(frame: gpd.GeoDataFrame) -> np.ndarray:
    """Centroids in metres."""
    crs = frame.crs
    geometry = frame.geometry if crs.is_projected else frame.geometry.to_crs(layers.work_crs(frame))
    scale = crs.axis_info[0].unit_conversion_factor if crs.is_projected else 1.0
    return shapely.get_coordinates(shapely.centroid(np.asarray(geometry.array))) * scale


def _require_metres(frame: gpd.GeoDataFrame) -> None:
    if not frame.crs.is_projected:
        raise InputError(
            "distance_m",
            f"the layer is in degrees ({frame.crs.name}), in which distances in metres do not hold",
            "Reproject the layer to a projected CRS such as a UTM zone, or choose k nearest neighbours",
        )


def _from_file(run: Run, source, frame: gpd.GeoDataFrame, id_field: str | None) -> tuple[sparse.csr_array, str]:
    """Weights of a .gal or .gwt file, in the order of the layer's rows."""
    from libpysal import io

    path = Path(str(source or ""))
    if not source or not path.is_file():
        raise InputError("weights_file", f"the file '{source or ''}' does not exist", "Choose a .gal or .gwt file")
    if path.suffix.lower() not in (".gal", ".gwt"):
        raise InputError("weights_file", f"the file type '{path.suffix}' is unknown", "Choose a .gal or .gwt file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = path.read_text(encoding="utf-8").split("\n", 1)[0].split()
            w = io.open(str(path), "r", path.suffix.lower()[1:]).read()
        matrix = weights.without_self(w.sparse)
    except Exception as error:
        raise InputError(
            "weights_file", f"'{path}' cannot be read ({type(error).__name__}: {error})", "Export the weights again"
        ) from None
    if not np.isfinite(matrix.data).all() or (matrix.data < 0).any():
        raise InputError("weights_file", "it holds negative or missing weights", "Give weights above 0")
    named = header[3] if len(header) == 4 and header[3] in frame else None
    field = id_field or named
    rows = pd.Index([str(key) for key in w.id_order])
    wanted, how = _ids(frame, field, rows)
    places = rows.get_indexer(wanted)
    if (places < 0).any():
        raise InputError(
            "weights_file",
            f"{(places < 0).sum():,} of {len(wanted):,} units are not in it, such as '{wanted[places < 0][0]}' ({how})",
            "Choose the field that holds the file's ids as id_field, or the file made for this layer",
        )
    left_over = len(rows) - len(wanted)
    if left_over:
        run.warning(f"weights_file: {left_over:,} of its units are not in the layer and were left out.")
    return sparse.csr_array(matrix[places][:, places]), f"file {path.name}, units by {how}"


def _ids(frame: gpd.GeoDataFrame, field: str | None, rows: pd.Index) -> tuple[pd.Index, str]:
    """The layer's ids as the file writes them."""
    if field:
        ids = pd.Index(layers.keys(frame[field]))
        if ids.has_duplicates:
            twice = ids[ids.duplicated()][0]
            raise InputError(
                "id_field", f"field '{field}' holds '{twice}' more than once", "Choose a field with unique ids"
            )
        return ids, f"field '{field}'"
    first = 0 if "0" in rows else 1
    return pd.Index([str(first + row) for row in range(len(frame))]), f"row number from {first}"
