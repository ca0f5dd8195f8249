"""Sector totals to land parcels: weights from points, lines, rasters, fields and areas, by an editable rules table."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyproj
import shapely

from ..core import allocation, proxies, units
from ..core import ledger as ledgers
from ..core.allocation import Parcels, Rule
from ..core.breaks import readable_breaks
from ..core.errors import InputError
from . import layers, points
from .run import Run

SUZHOU_RULES = Path(__file__).resolve().parents[1] / "data" / "allocation_rules_suzhou.csv"
# Columns of a class table: what a value of the parcels', points' and lines' field stands for.
_CLASS_COLUMNS = ("land_type", "category", "line_type")
_M2_PER_HA = 1e4
_LISTED = 10
_MOST_THREADS = 4
_RASTER_ROWS = 1024


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
    output : parcels with <sector>_t, gross_t, sink_t, net_t, area_m2, intensity_t_ha (gross_t per hectare), rule and
        fallback_t (tonnes that arrived by fallback).
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
    frame = layers.read_layer(parcels, "parcels", run, kind="polygon", exact=True)
    ground = frame.geometry.to_crs(layers.work_crs(frame))
    described = _describe(frame, shapely.area(ground.array), rule_list, land_type_field, region_field, names)
    amounts = allocation.check_totals(amounts, rule_list, described)
    used = allocation.used_rules(amounts, rule_list)
    _warn_of_gaps(run, described, amounts, rule_list)
    run.progress(0.15, "Weighing the parcels")
    weights = _Weights(run, frame, described, used, fallback, beta, names)
    weights.take_fields()
    if pois:
        weights.take_pois(pois, poi_category_field, poi_name_field, duplicate_distance, run.part(0.15, 0.45))
    if lines:
        weights.take_lines(lines, line_type_field, ground, run.part(0.45, 0.6))
    if population:
        weights.take_population(population, run.part(0.6, 0.8))
    weights.warn_of_missing()
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
    frame, area, rules: Sequence[Rule], land_type_field: str, region_field: str | None, classes: dict
) -> Parcels:
    wanted = [field for field in (region_field,) if field]
    if any(rule.land_types for rule in rules):
        wanted.append(land_type_field)
    layers.require_fields(frame.columns.drop("geometry"), wanted, "parcels")

    def category(field: str | None, names: dict[str, str]) -> pd.Categorical:
        return pd.Categorical(_text(frame[field], names) if field in frame else np.full(len(frame), ""))

    land_type = category(land_type_field, classes["land_type"])
    return Parcels(area_m2=area, land_type=land_type, region=category(region_field, {}))


def _text(column: pd.Series, classes: dict[str, str]) -> pd.Series:
    """``_classed`` for a column with few distinct values."""
    codes, values = pd.factorize(column, use_na_sentinel=False)
    return pd.Series(_classed(pd.Series(values), classes).to_numpy()[codes])


def _classed(values: pd.Series, classes: dict[str, str]) -> pd.Series:
    """Values as text, each replaced by its class where it has one."""
    return layers.keys(values).map(lambda value: classes.get(value, value))


def _warn_of_gaps(run: Run, parcels: Parcels, totals: pd.DataFrame, rules: Sequence[Rule]) -> None:
    """Name the parcels that cannot receive anything, and totals that may count twice."""
    if all(rule.land_types for rule in rules):
        known = {land_type for rule in rules for land_type in rule.land_types}
        counts = parcels.land_type.value_counts()
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
    counts = parcels.region.value_counts()
    without = counts[[name not in regions for name in counts.index]]
    if len(without) and (totals["region"] != "").all():
        listed = ", ".join(f"'{name}' ({count:,})" for name, count in without.head(_LISTED).items())
        run.warning(f"totals: {without.sum():,} parcels lie in regions without a total, and receive nothing: {listed}.")


# Weights --------------------------------------------------------------------------------------------------------------


class _Weights:
    """Weights of all parcels by every proxy that the rules or the cascade may ask for; see ``allocation.Weigh``."""

    def __init__(self, run: Run, frame: gpd.GeoDataFrame, parcels: Parcels, rules, cascade, beta: float, classes: dict):
        self._run, self._frame, self._parcels, self._beta = run, frame, parcels, beta
        self._rules, self._cascade, self._classes = rules, cascade, classes
        self._categories = _distinct(name for rule in rules for name in rule.poi_categories)
        self._line_types = _distinct(name for rule in rules for name in rule.line_types)
        self._fields: dict[str, np.ndarray] = {}
        self._poi_weights: dict[str, np.ndarray] = {}
        self._poi_counts = self._lengths = self._persons = None

    def __call__(self, rule: Rule, proxy: str, parcels: np.ndarray, region: np.ndarray) -> np.ndarray | None:
        match proxy:
            case "area":
                return self._parcels.area_m2[parcels]
            case "field":
                return self._fields[rule.field][parcels]
            case "raster":
                return None if self._persons is None else self._persons[parcels]
            case "poi_count":
                return _pick(self._poi_counts, parcels, self._categories, rule.poi_categories)
            case "poi_weight":
                return _pick(self._poi_weights.get(rule.field), parcels, self._categories, rule.poi_categories)
            case "length":
                length = _pick(self._lengths, parcels, self._line_types, rule.line_types)
                if length is None or self._poi_counts is None or not rule.facility_categories:
                    return length
                facilities = _pick(self._poi_counts, parcels, self._categories, rule.facility_categories)
                return proxies.corrected_length(length, facilities, region, self._beta)

    def _needing(self, proxy: str) -> list[Rule]:
        """Rules that ask for a proxy, by themselves or as their fallback."""
        return [rule for rule in self._rules if proxy in (rule.proxy, *self._cascade)]

    def _parcels_of(self, rules: Sequence[Rule]) -> np.ndarray:
        """Rows of the parcels that some of these rules cover."""
        if any(not rule.land_types for rule in rules):
            return np.arange(len(self._frame))
        wanted = {land_type for rule in rules for land_type in rule.land_types}
        return np.flatnonzero(self._parcels.land_type.isin(wanted))

    def take_fields(self) -> None:
        for field in _distinct(rule.field for rule in self._rules if rule.proxy == "field"):
            values = layers.numbers(self._frame, field, "parcels", missing=True)
            missing = np.isnan(values).sum()
            if missing:
                self._run.warning(f"parcels: {missing:,} parcels have no value in '{field}' and weigh zero.")
            self._fields[field] = np.nan_to_num(values)

    def take_pois(self, source, category_field: str, name_field: str, distance: float, progress: Callable) -> None:
        weight_fields = _distinct(rule.field for rule in self._rules if rule.proxy == "poi_weight")
        by_length = any(rule.proxy == "length" and rule.facility_categories for rule in self._rules)
        if not (self._needing("poi_count") or weight_fields or by_length):
            return
        keep = None
        if distance > 0:
            keep = self._first_of_duplicates(source, name_field, distance)
        columns = _distinct([*([category_field] if self._categories else []), *weight_fields])
        locate = proxies.PointLocator(np.asarray(self._frame.geometry.array))
        parcel, category, weights = [], [], {field: [] for field in weight_fields}
        waiting, start = deque(), 0
        threads = min(os.cpu_count() or 1, _MOST_THREADS)
        with ThreadPoolExecutor(threads) as pool:
            for xy, batch, fraction in points.stream(source, "pois", self._run, columns, self._frame.crs):
                progress(fraction, "Counting points in parcels")
                if keep is not None:
                    xy = np.where(keep[start : start + len(batch)], xy, np.nan)
                start += len(batch)
                waiting.append(pool.submit(locate, xy))
                category.append(_codes(batch, category_field, self._categories, self._classes["category"]))
                for field in weight_fields:
                    weights[field].append(self._weights_of(batch, field))
                if len(waiting) > threads:
                    parcel.append(waiting.popleft().result())
            parcel += [found.result() for found in waiting]
        parcel, category = np.concatenate(parcel), np.concatenate(category)
        self._report_points(parcel, category, keep)
        shape = len(self._frame), len(self._categories) + 1
        self._poi_counts = proxies.count_by_category(parcel, category, shape)
        for field in weight_fields:
            weight = np.concatenate(weights[field])
            self._poi_weights[field] = proxies.count_by_category(parcel, category, shape, weight)

    def _first_of_duplicates(self, source, name_field: str, distance: float) -> np.ndarray:
        crs = layers.work_crs(self._frame)
        parts = [
            (xy, layers.keys(batch.column(name_field).to_pandas()).to_numpy())
            for xy, batch, _ in points.stream(source, "pois", self._run, [name_field], crs)
        ]
        xy, names = (np.concatenate(part, axis=-1) for part in zip(*parts))
        return proxies.first_of_duplicates(xy, names, distance)

    def _weights_of(self, batch: pa.RecordBatch, field: str) -> np.ndarray:
        values = layers.numbers(batch.select([field]).to_pandas(), field, "pois", missing=True)
        return np.nan_to_num(values)

    def _report_points(self, parcel, category, keep) -> None:
        dropped = 0 if keep is None else int((~keep).sum())
        if dropped:
            self._run.info(f"pois: {dropped:,} points repeat another of the same name and were left out.")
        outside = int((parcel < 0).sum()) - dropped
        if outside + dropped == len(parcel):
            raise InputError(
                "pois",
                f"none of the {len(parcel):,} points lies inside a parcel",
                "Check the CRS of both layers, or leave the points out",
            )
        if outside:
            self._run.warning(f"pois: {outside:,} of {len(parcel):,} points lie outside all parcels and do not count.")
        counts = np.bincount(category, minlength=len(self._categories) + 1)
        absent = [name for name, count in zip(self._categories, counts) if count == 0]
        if absent:
            self._run.warning(f"pois: no point has the category {', '.join(map(repr, absent))}, which the rules name.")

    def take_lines(self, source, type_field: str, ground: gpd.GeoSeries, progress: Callable) -> None:
        rules = self._needing("length")
        if not rules:
            return
        columns = [type_field] if self._line_types else []
        frame = layers.read_layer(source, "lines", self._run, kind="line", columns=columns)
        frame = layers.align(frame, self._frame, "lines").to_crs(ground.crs)
        codes = np.zeros(len(frame), dtype=np.intp)
        if self._line_types:
            codes = _index_of(_text(frame[type_field], self._classes["line_type"]), self._line_types)
            counts = np.bincount(codes, minlength=len(self._line_types) + 1)
            absent = [name for name, count in zip(self._line_types, counts) if count == 0]
            if absent:
                self._run.warning(f"lines: no line has the type {', '.join(map(repr, absent))}, which the rules name.")
        rows = self._parcels_of(rules)
        kinds = len(self._line_types) + 1
        lengths = np.zeros((len(ground), kinds))
        polygons, curves = np.asarray(ground.array)[rows], np.asarray(frame.geometry.array)
        lengths[rows] = proxies.length_by_type(polygons, curves, codes, kinds, progress)
        self._lengths = lengths

    def take_population(self, source, progress: Callable) -> None:
        rules = self._needing("raster")
        if not rules:
            return
        rows = self._parcels_of(rules)
        with layers.open_raster(source, "population") as dataset:
            crs = dataset.crs or source["crs"]
            polygons = self._frame.geometry.iloc[rows].to_crs(pyproj.CRS.from_user_input(crs))
            _check_raster(self._run, dataset, polygons)
            self._persons = np.zeros(len(self._frame))
            self._persons[rows] = proxies.raster_sums(dataset, polygons, progress)

    def warn_of_missing(self) -> None:
        """Name the rules whose own layer was not given, and the step that stands in."""
        layer = {
            "poi_count": ("pois", self._poi_counts),
            "poi_weight": ("pois", self._poi_counts),
            "length": ("lines", self._lengths),
            "raster": ("population", self._persons),
        }
        missing: dict[str, list[str]] = {}
        for rule in self._rules:
            parameter, found = layer.get(rule.proxy, ("", ()))
            if found is None:
                missing.setdefault(parameter, []).append(f"{rule.sector}/{rule.subsector}")
        for parameter, names in missing.items():
            self._run.warning(
                f"{parameter}: not given; {', '.join(_distinct(names))} are spread by the fallback cascade."
            )
        if (
            self._poi_counts is None
            and any(rule.facility_categories for rule in self._rules)
            and self._lengths is not None
        ):
            self._run.warning("pois: not given; lengths are not corrected by facilities.")


def _distinct(names) -> list[str]:
    return list(dict.fromkeys(names))


def _pick(table: np.ndarray | None, parcels: np.ndarray, names: list[str], wanted: Sequence[str]) -> np.ndarray | None:
    """Sum over the wanted columns (all when none is named) of a table with a column per name and one for the rest."""
    if table is None:
        return None
    columns = [names.index(name) for name in wanted] or range(table.shape[1])
    return sum((table[parcels, column] for column in columns), np.zeros(len(parcels)))


def _index_of(values: pd.Series, names: list[str]) -> np.ndarray:
    """Position of each value among the names; the number of names where it is none of them."""
    found = pd.Index(names, dtype=object).get_indexer(values.astype(object))
    return np.where(found < 0, len(names), found)


def _codes(batch: pa.RecordBatch, field: str, names: list[str], classes: dict[str, str]) -> np.ndarray:
    """``_index_of`` for a field of a batch."""
    if not names:
        return np.zeros(len(batch), dtype=np.intp)
    encoded = batch.column(field).dictionary_encode(null_encoding="encode")
    codes = _index_of(_classed(encoded.dictionary.to_pandas(), classes), names)
    return codes[encoded.indices.to_numpy()]


def _check_raster(run: Run, dataset, polygons: gpd.GeoSeries) -> None:
    """Refuse a raster that misses the parcels or has cells below zero; name what it does not cover."""
    if not len(polygons):
        return
    bounds = shapely.bounds(np.asarray(polygons.array))
    left, bottom, right, top = dataset.bounds
    beside = (bounds[:, 0] > right) | (bounds[:, 2] < left) | (bounds[:, 1] > top) | (bounds[:, 3] < bottom)
    if beside.all():
        raise InputError(
            "population",
            f"its extent ({left:g}, {bottom:g}, {right:g}, {top:g}) does not overlap the parcels",
            "Check the CRS of both layers",
        )
    if beside.any():
        run.warning(f"population: {beside.sum():,} parcels lie outside the raster and weigh zero in it.")
    for start in range(0, dataset.height, _RASTER_ROWS):
        window = ((start, min(start + _RASTER_ROWS, dataset.height)), (0, dataset.width))
        cells = dataset.read(1, window=window, masked=True)
        if (cells < 0).any():
            raise InputError(
                "population",
                f"it has cells below zero, for example {cells[cells < 0][0]:g}",
                "Correct them, or set the raster's nodata value if they mean no data",
            )


# Writing --------------------------------------------------------------------------------------------------------------


def _columns(result: allocation.Allocation, area_m2: np.ndarray) -> dict[str, np.ndarray]:
    """The fields that the allocation adds to the parcels."""
    gross = result.gross_t
    intensity = np.divide(gross * _M2_PER_HA, area_m2, out=np.zeros(len(gross)), where=area_m2 > 0)
    return {
        **{f"{sector}_t": values for sector, values in result.sectors.items()},
        "gross_t": gross,
        "sink_t": result.sink_t,
        "net_t": gross - result.sink_t,
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
    run.info(ledgers.sentence(result.ledger))
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
