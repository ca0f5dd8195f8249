"""Parcels to grid cells and to townships: totals and intensity, with no tonne lost or counted twice."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely

from ..core import aggregation, grid
from ..core.breaks import readable_breaks
from ..core.errors import InputError
from . import layers
from .run import Run

_MADE = ("cell_id", "area_m2", "intensity_t_ha")
_ZONE_CLASSES = 5
# Edges are divided to this length in degrees (about 500 m) before they leave a CRS in degrees, so that straight edges
# of different layers stay together to a centimetre.
_SEGMENT_DEGREES = 0.005


def aggregate_to_grid(
    run: Run, *, input, output, cell_size: float = 1000.0, shape: str = "square", fields=None, crs=None
) -> dict:
    """Split parcels over the cells of an aligned grid by area and sum them.

    input : polygon layer with emissions in t CO2e per year.
    output : layer of the cells that receive something: cell_id, the summed fields, area_m2 (true area of the whole
        cell, on the ellipsoid), intensity_t_ha (gross_t, or the first summed field, per hectare of that area).
    cell_size : side of a square, or distance between opposite sides of a hexagon, in metres.
    shape : square or hexagon.
    fields : fields to sum; None takes every numeric field whose name ends in _t.
    crs : projected CRS of the grid; None takes the layer's own, or the UTM zone of a layer in degrees.
    """
    frame, values, lost = _read(run, input, fields)
    run.progress(0.2, "Making the grid")
    grid_crs = _grid_crs(run, frame, crs)
    polygons = frame.geometry.to_crs(grid_crs).array
    bounds = shapely.bounds(np.asarray(polygons))
    if not np.isfinite(bounds).all():
        raise InputError(
            "crs", f"the layer cannot be brought into '{grid_crs.name}'", "Choose a CRS made for its place"
        )
    metres = grid_crs.axis_info[0].unit_conversion_factor
    column, row, cells = grid.cells(bounds, cell_size, shape, metres)
    split = aggregation.split_over_cells(np.asarray(polygons), cells, run.part(0.25, 0.8))
    ledger = split.balance(values)
    totals = split.totals(values, len(cells))
    received = (totals != 0).any(axis=1).to_numpy()
    if not received.any():
        raise InputError("fields", f"all values of {', '.join(values)} are zero", "Choose fields that hold emissions")
    run.progress(0.8, "Measuring the cells")
    names = grid.cell_ids(column[received], row[received], cell_size, shape)
    result = gpd.GeoDataFrame({"cell_id": names}, geometry=cells[received], crs=grid_crs)
    result = _with_totals(result, totals[received].reset_index(drop=True))
    _warn_of_distortion(run, result, shapely.area(cells[0]) * metres**2)
    run.progress(0.9, "Writing the cells")
    layers.write_layer(result, run.stage(output, "output"))
    main = _main_field(values)
    sentence = _sentence(ledger, main, "cells", lost)
    return {
        "summary": f"{len(result):,} cells of {cell_size:g} m in {grid_crs.name}. {sentence}",
        "styles": {"output": _style(result, "intensity_t_ha", f"t CO2e/ha ({main})", 7)},
        "cells": len(result),
        "total_t": float(values[main].sum()),
        "relative_error": float(ledger["relative_error"].abs().max()),
    }


def aggregate_to_zones(run: Run, *, input, zones, output, fields=None) -> dict:
    """Split parcels over zones (townships, districts) by area and sum them.

    input : polygon layer with emissions in t CO2e per year.
    zones : polygon layer. Where zones overlap, what lies there is shared between them, so that nothing counts twice.
    output : the zones with their fields, the summed fields, area_m2 (true area, on the ellipsoid) and intensity_t_ha
        (gross_t, or the first summed field, per hectare). What lies outside the zones is reported.
    fields : fields to sum; None takes every numeric field whose name ends in _t.
    """
    frame, values, lost = _read(run, input, fields)
    run.progress(0.2, "Reading the zones")
    areas = layers.read_layer(zones, "zones", run, kind="polygon")
    frame = layers.align(frame, areas, "zones")
    work_crs = areas.crs if areas.crs.is_projected else layers.work_crs(areas)
    split, overlaps = aggregation.split_over_zones(
        _in_crs(frame, work_crs), _in_crs(areas, work_crs), run.part(0.25, 0.8)
    )
    ledger = split.balance(values)
    if len(split.source) == 0:
        raise InputError("zones", "no polygon of the input lies in a zone", "Choose zones that cover the input")
    _warn_of_overlaps(run, overlaps["area"] * work_crs.axis_info[0].unit_conversion_factor ** 2, overlaps)
    replaced = [name for name in areas if name in (*values, "area_m2", "intensity_t_ha")]
    if replaced:
        run.warning(f"zones: the fields {', '.join(replaced)} are replaced by the new sums.")
    run.progress(0.8, "Measuring the zones")
    result = _with_totals(areas.drop(columns=replaced), split.totals(values, len(areas)))
    run.progress(0.9, "Writing the zones")
    layers.write_layer(result, run.stage(output, "output"))
    for name in values.columns[values.any()]:
        run.info(_sentence(ledger, name, "zones", lost))
    main = _main_field(values)
    entries = ledger[ledger["field"] == main]
    outside, total = float(entries["unallocated_t"].sum()), float(entries["in_t"].sum())
    return {
        "summary": f"{len(result):,} zones. {_sentence(ledger, main, 'zones', lost)}",
        "styles": {"output": _style(result, main, "t CO2e", _ZONE_CLASSES) | {"outline": 0.3}},
        "zones_count": len(result),
        "total_t": total,
        "outside_t": outside,
        "outside_pct": 100 * outside / total if total else 0.0,
        "relative_error": float(ledger["relative_error"].abs().max()),
    }


def _read(run: Run, source, fields) -> tuple[gpd.GeoDataFrame, pd.DataFrame, pd.Series]:
    """The polygons, the values to sum (one column per field), and per field what rows without geometry carry."""
    run.progress(0.0, "Reading the polygons")
    table = layers.read_table(source, "input")
    names = _fields(table, fields)
    every = pd.DataFrame({name: layers.numbers(table, name, "input", negative=True) for name in names})
    frame = layers.read_layer(source, "input", run, kind="polygon", columns=names)
    values = pd.DataFrame({name: layers.numbers(frame, name, "input", negative=True) for name in names})
    lost = every.sum() - values.sum() if len(every) > len(values) else 0 * values.sum()
    return frame, values, lost


def _fields(table: pd.DataFrame, fields) -> list[str]:
    if fields:
        names = list(dict.fromkeys([fields] if isinstance(fields, str) else fields))
        layers.require_fields(table.columns, names, "fields")
        made = [name for name in names if name in _MADE]
        if made:
            raise InputError("fields", f"'{made[0]}' is a field that this tool makes itself", "Leave it out")
        return names
    names = [name for name in table if str(name).endswith("_t") and pd.api.types.is_numeric_dtype(table[name])]
    if not names:
        raise InputError(
            "fields",
            "no numeric field of the input has a name that ends in '_t'",
            f"Choose the fields to sum among {', '.join(map(str, table)) or '(the layer has no fields)'}",
        )
    return names


def _main_field(values: pd.DataFrame) -> str:
    """The field that intensity, style and summary speak of."""
    return "gross_t" if "gross_t" in values else values.columns[0]


def _grid_crs(run: Run, frame: gpd.GeoDataFrame, crs) -> pyproj.CRS:
    if crs:
        try:
            chosen = pyproj.CRS.from_user_input(crs)
        except pyproj.exceptions.CRSError:
            raise InputError("crs", f"'{crs}' is not a known CRS", "Give a code such as EPSG:32650") from None
        if not chosen.is_projected:
            raise InputError("crs", f"'{chosen.name}' is not in metres", "Choose a projected CRS, such as a UTM zone")
        return chosen
    if frame.crs.is_projected:
        return frame.crs
    try:
        estimated = frame.estimate_utm_crs()
    except (RuntimeError, pyproj.exceptions.ProjError):
        raise InputError(
            "crs",
            f"no UTM zone fits the layer's coordinates in '{frame.crs.name}'",
            "Set the layer's right CRS, or choose a projected CRS for the grid",
        ) from None
    run.info(f"The layer is in degrees ({frame.crs.name}); the grid is made in {estimated.name}.")
    return estimated


def _in_crs(frame: gpd.GeoDataFrame, crs: pyproj.CRS) -> np.ndarray:
    geometry = frame.geometry
    if frame.crs != crs and frame.crs.is_geographic:
        geometry = geometry.segmentize(_SEGMENT_DEGREES)
    return np.asarray(geometry.to_crs(crs).array)


def _with_totals(frame: gpd.GeoDataFrame, totals: pd.DataFrame) -> gpd.GeoDataFrame:
    """The frame with its sums, true areas and intensities."""
    area = layers.areas(frame)
    hectares = np.where(area > 0, area / 1e4, np.nan)
    intensity = totals[_main_field(totals)].to_numpy() / hectares
    return frame.assign(**totals, area_m2=area, intensity_t_ha=intensity)


def _warn_of_distortion(run: Run, cells: gpd.GeoDataFrame, nominal_m2: float) -> None:
    true = cells["area_m2"].mean()
    if abs(true / nominal_m2 - 1) > 0.01:
        run.warning(
            f"In '{cells.crs.name}' a cell of {nominal_m2 / 1e4:,.4g} ha is {true / 1e4:,.4g} ha on the ground; "
            "area_m2 and intensity_t_ha use the true area. Choose a local CRS, such as a UTM zone, for true cell sizes."
        )


def _warn_of_overlaps(run: Run, square_metres: pd.Series, overlaps: pd.DataFrame) -> None:
    seen = square_metres >= 1
    if seen.any():
        worst = overlaps.loc[square_metres.idxmax()]
        run.warning(
            f"zones: {seen.sum():,} pairs overlap, {square_metres.sum():,.0f} m2 in all (most: rows "
            f"{int(worst['first']) + 1} and {int(worst['second']) + 1}, {square_metres.max():,.0f} m2); emissions "
            "there are shared between the zones by area, so that nothing counts twice."
        )


def _sentence(ledger: pd.DataFrame, field: str, targets: str, lost: pd.Series) -> str:
    """The balance of one field."""
    total = ledger.loc[ledger["field"] == field, ["in_t", "allocated_t", "unallocated_t"]].sum()
    text = f"{field}: {total['in_t']:,.2f} t came in, {total['allocated_t']:,.2f} t lie in the {targets}"
    if targets == "zones":
        share = 100 * total["unallocated_t"] / total["in_t"] if total["in_t"] else 0.0
        text += f", {total['unallocated_t']:,.2f} t ({share:.2f} %) outside them"
    if lost[field]:
        text += f"; {lost[field]:,.2f} t more have no geometry and were left out"
    return f"{text}; largest relative error {ledger['relative_error'].abs().max():.1e}."


def _style(frame: gpd.GeoDataFrame, field: str, unit: str, count: int) -> dict:
    return {"kind": "graduated", "field": field, "unit": unit, "breaks": readable_breaks(frame[field], count)}
