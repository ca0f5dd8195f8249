"""Sector totals to land parcels: weights from points, lines, rasters, fields and areas, by an editable rules table."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from ..core import allocation, units
from ..core import ledger as ledgers
from ..core.allocation import Parcels, Rule
from ..core.breaks import readable_breaks
from ..core.errors import InputError
from . import layers, points
from .run import Run
from .weights import Weights, text

SUZHOU_RULES = Path(__file__).resolve().parents[1] / "data" / "allocation_rules_suzhou.csv"
# Columns of a class table: what a value of the parcels', points' and lines' field stands for.
_CLASS_COLUMNS = ("land_type", "category", "line_type")
_M2_PER_HA = 1e4
_LISTED = 10


def allocate_to_parcels(
    run: Run,
    *,
    parcels,
    totals,
    output,
    ledger=None,
    land_type_field: str = "land_type",
    region_field: str | None = None,
    totals_field: str = "net_t",
    totals_unit: str = "t",
    totals_region_field: str = "region",
    rules=None,
    pois=None,
    poi_category_field: str = "category",
    lines=None,
    line_type_field: str = "type",
    population=None,
    beta: float = 1.0,
    fallback: Sequence[str] = ("poi_count", "area"),
    duplicate_distance: float = 0.0,
    poi_name_field: str = "name",
    classes=None,
) -> dict:
    """Allocate sector totals to land parcels.

    parcels : polygon layer; its fields pass through.
    totals : table with sector, an amount, and optionally subsector, land_type and region (blank = the whole city).
    output : parcels with <sector>_t, <sink subsector>_t (for example crop_sink_t), gross_t, sink_t, net_t, area_m2,
        intensity_t_ha (gross_t per hectare), rule and fallback_t (tonnes that arrived by fallback).
    ledger : table with what came in and where it went, per region, sector, subsector and land type.
    land_type_field, region_field : fields of the parcels; the first is needed unless every rule is for all parcels,
        the second when the totals name regions.
    totals_field, totals_unit : amount of the totals, sinks negative (or all positive), and its unit of mass.
    totals_region_field : region of the totals, matched as text with the parcels' region field.
    rules : rules table; None = Table 2 of the Suzhou paper.
    pois, poi_category_field : points and their category.
    lines, line_type_field : roads, railways, waterways, runways and their type.
    population : raster of persons per cell; an edge cell counts by its fraction inside, nodata is zero.
    beta : strength of the correction of lengths by facilities, L* = L (1 + beta n / mean n).
    fallback : proxies to try where the weights sum to zero: poi_count, raster, length, area (always the last).
    duplicate_distance, poi_name_field : points with the same name within this distance (m) count once; 0 = off.
    classes : table with ``value`` and land_type, category or line_type: what a value of the three fields above stands
        for, for example data/classes_osm.csv for OpenStreetMap; values that it lacks stay as they are.
    """
    beta, duplicate_distance = _not_negative(beta, "beta"), _not_negative(duplicate_distance, "duplicate_distance")
    rule_list = allocation.parse_rules(layers.read_table(rules or SUZHOU_RULES, "rules").apply(layers.keys))
    amounts = _read_totals(totals, totals_field, totals_unit, totals_region_field, region_field)
    names = _read_classes(classes)
    run.progress(0.02, "Reading the parcels")
    with ThreadPoolExecutor(1) as background:
        # The points are read beside the parcels, and the areas worked out beside the counting.
        if pois:
            called = [rule for rule in rule_list if rule.sector in set(amounts["sector"])]
            fields = Weights.poi_fields(called, poi_category_field) + [poi_name_field] * (duplicate_distance > 0)
            pois = background.submit(points.read, pois, "pois", run, fields)
        frame = layers.read_layer(parcels, "parcels", run, kind="polygon", exact=True)
        land_type, region = _describe(frame, rule_list, land_type_field, region_field, names["land_type"])
        amounts = allocation.check_totals(amounts, rule_list, land_type.categories, region.categories)
        used = allocation.used_rules(amounts, rule_list)
        _warn_of_gaps(run, land_type, region, amounts, rule_list)
        run.progress(0.15, "Weighing the parcels")
        weights = Weights(run, frame, land_type, used, fallback, beta, names)
        weights.take_fields()
        area = background.submit(layers.areas, frame)
        if pois:
            pois = pois.result()
            weights.take_pois(pois, poi_category_field, poi_name_field, duplicate_distance, run.part(0.15, 0.45))
        weights.area_m2 = area.result()
    if lines:
        weights.take_lines(lines, line_type_field, run.part(0.45, 0.6))
    if population:
        weights.take_population(population, run.part(0.6, 0.8))
    weights.warn_of_missing()
    described = Parcels(weights.area_m2, land_type, region)
    result = allocation.allocate(described, amounts, rule_list, weights, fallback, run.part(0.8, 0.9))
    run.progress(0.9, "Writing the parcels")
    made = _columns(result, described.area_m2)
    layers.write_layer(layers.with_columns(frame, made, "parcels", run), run.stage(output, "output"))
    if ledger:
        layers.write_layer(result.ledger, run.stage(ledger, "ledger"))
    return _report(run, result, made)


# Reading --------------------------------------------------------------------------------------------------------------


def _not_negative(value, parameter: str) -> float:
    if not float(value) >= 0:
        raise InputError(parameter, f"{value} is below zero", "Give zero or a positive number")
    return float(value)


def _read_totals(source, field: str, unit: str, region_field: str, parcel_region_field: str | None) -> pd.DataFrame:
    """Totals as text keys and tonnes."""
    factor = units.factor(unit, "t", "totals_unit")
    table = layers.read_table(source, "totals")
    layers.require_fields(table.columns, ["sector", field], "totals")
    texts = {
        name: layers.keys(table[column]) if column in table else pd.Series("", index=table.index)
        for name, column in (
            ("sector", "sector"),
            ("subsector", "subsector"),
            ("land_type", "land_type"),
            ("region", region_field),
        )
    }
    regions = sorted(set(texts["region"]) - {""})
    if regions and not parcel_region_field:
        raise InputError(
            "region_field",
            f"the totals name regions ({', '.join(regions[:_LISTED])}), but no field tells the parcels' region",
            f"Choose the parcels' region field, or clear the field '{region_field}' of the totals",
        )
    amount = layers.numbers(table, field, "totals", negative=True) * factor
    return pd.DataFrame(texts).assign(amount_t=amount)


def _read_classes(source) -> dict[str, dict[str, str]]:
    """For each column of ``_CLASS_COLUMNS``, value -> class."""
    if not source:
        return {column: {} for column in _CLASS_COLUMNS}
    table = layers.read_table(source, "classes").apply(layers.keys)
    layers.require_fields(table.columns, ["value"], "classes")
    if not table.columns.isin(_CLASS_COLUMNS).any():
        raise InputError("classes", "it has no column of classes", f"Add {', '.join(_CLASS_COLUMNS)}, or one of them")
    repeated = table["value"].duplicated()
    if repeated.any():
        raise InputError("classes", f"the value '{table['value'][repeated].iloc[0]}' has two rows", "Keep one of them")
    table = table.set_index("value").reindex(columns=_CLASS_COLUMNS, fill_value="")
    return {column: table[column][table[column] != ""].to_dict() for column in _CLASS_COLUMNS}


def _describe(
    frame: gpd.GeoDataFrame, rules: Sequence[Rule], land_type_field: str, region_field: str | None, classes: dict
) -> tuple[pd.Categorical, pd.Categorical]:
    """Land type and region of the parcels, '' where there is none."""
    wanted = [field for field in (region_field,) if field]
    if any(rule.land_types for rule in rules):
        wanted.append(land_type_field)
    layers.require_fields(frame.columns.drop("geometry"), wanted, "parcels")
    nothing = pd.Series("", index=frame.index)
    return (
        pd.Categorical(text(frame.get(land_type_field, nothing), classes)),
        pd.Categorical(text(frame.get(region_field, nothing), {})),
    )


def _warn_of_gaps(
    run: Run, land_type: pd.Categorical, region: pd.Categorical, totals: pd.DataFrame, rules: Sequence[Rule]
) -> None:
    """Name the parcels that cannot receive anything, and totals that may count twice."""
    if all(rule.land_types for rule in rules):
        known = {land_type for rule in rules for land_type in rule.land_types}
        counts = land_type.value_counts()
        unknown = counts[[name not in known for name in counts.index]].sort_values(ascending=False)
        if len(unknown):
            listed = ", ".join(f"'{name}' ({count:,})" for name, count in unknown.head(_LISTED).items())
            run.warning(
                f"parcels: {unknown.sum():,} parcels have a land type that no rule knows, and receive emissions only "
                f"where a whole region's parcels stand in: {listed}."
            )
    regions = set(totals["region"]) - {""}
    if not regions:
        return
    city = sorted(set(totals.loc[totals["region"] == "", "sector"]) & set(totals.loc[totals["region"] != "", "sector"]))
    if city:
        run.warning(f"totals: {', '.join(city)} have amounts for regions and for the whole city; the two are added.")
    counts = region.value_counts()
    without = counts[[name not in regions for name in counts.index]]
    if len(without) and (totals["region"] != "").all():
        listed = ", ".join(f"'{name}' ({count:,})" for name, count in without.head(_LISTED).items())
        run.warning(f"totals: {without.sum():,} parcels lie in regions without a total, and receive nothing: {listed}.")


# Writing --------------------------------------------------------------------------------------------------------------


def _columns(result: allocation.Allocation, area_m2: np.ndarray) -> dict[str, np.ndarray]:
    """The fields that the allocation adds to the parcels."""
    gross, sink = result.gross_t, result.sink_t
    sinks = {f"{name.replace(' ', '_')}_t": values for name, values in sorted(result.sinks.items()) if name}
    intensity = np.divide(gross * _M2_PER_HA, area_m2, out=np.zeros(len(gross)), where=area_m2 > 0)
    return {
        **sinks,
        **{f"{sector}_t": values for sector, values in result.sectors.items()},
        "gross_t": gross,
        "sink_t": sink,
        "net_t": gross - sink,
        "area_m2": area_m2,
        "intensity_t_ha": intensity,
        "rule": result.rule.astype(object),
        "fallback_t": result.fallback_t,
    }


def _report(run: Run, result: allocation.Allocation, made: dict) -> dict:
    gross, sink = float(made["gross_t"].sum()), float(made["sink_t"].sum())
    fallback = float(made["fallback_t"].sum())
    share = fallback / (gross + sink) if gross + sink else 0.0
    unallocated = float(result.ledger["unallocated_t"].abs().sum())
    if unallocated:
        run.warning(f"{unallocated:,.2f} t CO2e found no parcel with an area; the ledger names them.")
    run.info(ledgers.sentence(result.ledger, "t CO2e (net)"))
    intensity = made["intensity_t_ha"]
    return {
        "summary": f"{np.count_nonzero(made['gross_t'] + made['sink_t']):,} of {len(intensity):,} parcels received "
        f"{gross:,.2f} t CO2e gross and {sink:,.2f} t of sinks; {share:.1%} of that arrived by fallback.",
        "styles": {
            "output": {
                "kind": "graduated",
                "field": "intensity_t_ha",
                "unit": "t CO2e/ha",
                "breaks": readable_breaks(intensity),
            }
        },
        "gross_t": gross,
        "sink_t": sink,
        "fallback_t": fallback,
        "unallocated_t": unallocated,
    }
