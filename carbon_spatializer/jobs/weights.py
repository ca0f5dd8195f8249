"""Weights of land parcels from the layers that a user has: points, lines, a population raster, fields and areas."""

from collections.abc import Callable, Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely

from ..core import proxies
from ..core.allocation import Rule
from ..core.errors import InputError
from . import layers
from .points import Points
from .run import Run

_RASTER_ROWS = 1024


class Weights:
    """Weights of all parcels by every proxy that the rules or the cascade may ask for; see ``allocation.Weigh``.

    run : receives warnings; frame : the parcels; land_type : (n,) of the parcels; rules, cascade : what may be asked;
    beta : see ``proxies.corrected_length``; classes : column of a class table -> value -> class.
    The areas (m2) are set from outside, the other weights are taken from their layers.
    """

    area_m2: np.ndarray

    def __init__(
        self,
        run: Run,
        frame: gpd.GeoDataFrame,
        land_type: pd.Categorical,
        rules: Sequence[Rule],
        cascade: Sequence[str],
        beta: float,
        classes: dict[str, dict[str, str]],
    ):
        self._run, self._frame, self._land_type = run, frame, land_type
        self._rules, self._cascade, self._beta, self._classes = rules, cascade, beta, classes
        self._categories = _distinct(name for rule in rules for name in rule.poi_categories)
        self._line_types = _distinct(name for rule in rules for name in rule.line_types)
        self._fields: dict[str, np.ndarray] = {}
        self._poi_weights: dict[str, np.ndarray] = {}
        self._poi_counts = self._lengths = self._persons = None

    def __call__(self, rule: Rule, proxy: str, parcels: np.ndarray, region: np.ndarray) -> np.ndarray | None:
        match proxy:
            case "area":
                return self.area_m2[parcels]
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

    @staticmethod
    def poi_fields(rules: Sequence[Rule], category_field: str) -> list[str]:
        """Fields of the points that some of these rules ask for."""
        fields = [category_field] if any(rule.poi_categories for rule in rules) else []
        return _distinct(fields + [rule.field for rule in rules if rule.proxy == "poi_weight"])

    def _needing(self, proxy: str) -> list[Rule]:
        """Rules that ask for a proxy, by themselves or as their fallback."""
        return [rule for rule in self._rules if proxy in (rule.proxy, *self._cascade)]

    def _parcels_of(self, rules: Sequence[Rule]) -> np.ndarray:
        """Rows of the parcels that some of these rules cover."""
        if any(not rule.land_types for rule in rules):
            return np.arange(len(self._frame))
        wanted = {land_type for rule in rules for land_type in rule.land_types}
        return np.flatnonzero(self._land_type.isin(wanted))

    def take_fields(self) -> None:
        """The parcels' own fields; a missing value weighs zero."""
        for field in _distinct(rule.field for rule in self._rules if rule.proxy == "field"):
            values = layers.numbers(self._frame, field, "parcels", missing=True)
            self._fields[field] = self._without_gaps(values, field, "parcels", "parcels")

    def _without_gaps(self, values: np.ndarray, field: str, parameter: str, what: str) -> np.ndarray:
        missing = np.isnan(values)
        if missing.any():
            self._run.warning(f"{parameter}: {missing.sum():,} {what} have no value in '{field}' and weigh zero.")
        return np.where(missing, 0.0, values)

    def take_pois(
        self, pois: Points, category_field: str, name_field: str, distance: float, progress: Callable
    ) -> None:
        """Counts and sums of weights per category; points of one name within the distance (m) count once."""
        xy, keep = pois.in_crs(self._frame.crs), np.ones(pois.xy.shape[1], dtype=bool)
        if distance > 0:
            place = pois.in_crs(layers.work_crs(self._frame))
            names = text(pois.fields[name_field].to_pandas(), {}).to_numpy()
            keep = proxies.first_of_duplicates(place, names, distance)
            xy = np.where(keep, xy, np.nan)
        category = np.full(len(keep), len(self._categories))
        if self._categories:
            parts = pois.fields[category_field].chunks
            category = np.concatenate([_codes(part, self._categories, self._classes["category"]) for part in parts])
        parcel = proxies.parcels_of_points(np.asarray(self._frame.geometry.array), xy, progress)
        self._report_points(parcel, category, keep)
        shape = len(self._frame), len(self._categories) + 1
        self._poi_counts = proxies.count_by_category(parcel, category, shape)
        for field in _distinct(rule.field for rule in self._rules if rule.proxy == "poi_weight"):
            weight = layers.numbers(pois.fields.select([field]).to_pandas(), field, "pois", missing=True)
            weight = self._without_gaps(weight, field, "pois", "points")
            self._poi_weights[field] = proxies.count_by_category(parcel, category, shape, weight)

    def _report_points(self, parcel, category, keep) -> None:
        dropped = int((~keep).sum())
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

    def take_lines(self, source, type_field: str, progress: Callable) -> None:
        rules = self._needing("length")
        if not rules:
            return
        columns = [type_field] if self._line_types else []
        frame = layers.read_layer(source, "lines", self._run, kind="line", columns=columns)
        crs = layers.work_crs(self._frame)
        curves = np.asarray(layers.align(frame, self._frame, "lines").geometry.to_crs(crs).array)
        codes = np.zeros(len(frame), dtype=np.intp)
        if self._line_types:
            codes = _index_of(text(frame[type_field], self._classes["line_type"]), self._line_types)
            counts = np.bincount(codes, minlength=len(self._line_types) + 1)
            absent = [name for name, count in zip(self._line_types, counts) if count == 0]
            if absent:
                self._run.warning(f"lines: no line has the type {', '.join(map(repr, absent))}, which the rules name.")
        rows = self._parcels_of(rules)
        kinds = len(self._line_types) + 1
        polygons = np.asarray(self._frame.geometry.iloc[rows].to_crs(crs).array)
        self._lengths = np.zeros((len(self._frame), kinds))
        self._lengths[rows] = proxies.length_by_type(polygons, curves, codes, kinds, progress)

    def take_population(self, source, progress: Callable) -> None:
        rules = self._needing("raster")
        if not rules:
            return
        rows = self._parcels_of(rules)
        dataset, crs = layers.open_raster(source, "population")
        with dataset:
            polygons = self._frame.geometry.iloc[rows].to_crs(crs)
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


def _codes(column: pa.Array, names: list[str], classes: dict[str, str]) -> np.ndarray:
    """``_index_of`` for a part of a column that may be a dictionary."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    codes = np.append(_index_of(_classed(encoded.dictionary.to_pandas(), classes), names), len(names))
    return codes[encoded.indices.fill_null(len(codes) - 1).to_numpy()]


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


def text(column: pd.Series, classes: dict[str, str]) -> pd.Series:
    """``_classed`` for a column with few distinct values."""
    codes, values = pd.factorize(column, use_na_sentinel=False)
    return pd.Series(_classed(pd.Series(values), classes).to_numpy()[codes])


def _classed(values: pd.Series, classes: dict[str, str]) -> pd.Series:
    """Values as text, each replaced by its class where it has one."""
    return layers.keys(values).map(lambda value: classes.get(value, value))
