"""Jobs ``globalmoransi`` and ``localmoransi``: where emissions cluster, tested by permutation."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from scipy import sparse

from ..core import autocorrelation, significance
from ..core.checks import one_of
from ..core.errors import InputError
from ..core.weights import neighbours
from . import clustermaps, layers
from .clustermaps import ALL, CLUSTERS, NO_NEIGHBOURS, NO_VALUE, NOT_SIGNIFICANT, NOT_TESTED
from .neighbours import Links
from .run import Run

DENOMINATORS = ("none", "area", "field")
RATES = ("plain", "empirical Bayes")

_RESULTS = ("moran_x", "moran_i", "z", "lag", "z_score", "p", "q", "neighbours", "quadrant", "cluster")
_CATEGORY = "cat_"
_MOST_GROUPS = 200
# Corrected significance hangs on small p values, which need many permutations; esda's time grows with them.
_PERMUTATIONS = {autocorrelation.SHARED_TABLE: 99_999, autocorrelation.ESDA: 999}
_MOST_NAMED = 20
_MOST_PERMUTATIONS = 10_000_000
_SQUARE_METRES_PER_HECTARE = 1e4


def global_morans_i(
    run: Run,
    *,
    input,
    fields,
    output,
    report=None,
    second_field: str | None = None,
    divide_by: str = "none",
    second_divide_by: str = "none",
    base_field: str | None = None,
    rate: str = "plain",
    transform: str = "none",
    category_field: str | None = None,
    stratum_field: str | None = None,
    weights: str = "auto",
    k: int = 8,
    distance_m: float | None = None,
    kernel: str = "triangular",
    snap_m: float = 0.0,
    weights_file=None,
    id_field: str | None = None,
    row_standardised: bool = True,
    permutations: int = 999,
    seed: int = 0,
    alpha: float = 0.05,
    alternative: str = significance.TWO_SIDED,
    correction: str = significance.BH,
) -> dict:
    """Global Moran's I, of one variable or of a variable against its neighbours' values of another.

    input : polygon or point layer.
    fields : one or more numeric fields; each is a variable of its own (a sector, say).
    output : table with one row per variable, category and stratum: units, tested, missing, no_neighbours, links,
        mean_neighbours, moran_i, expected_i, sd, z_score, p_normal (two-sided, from z_score), p (permutations), q
        (corrected for the number of rows), significant, note; with a second field also r and lees_l.
    report : HTML page with the Moran scatter plots and the permuted statistics.
    second_field : the neighbours' variable; None takes the variable itself.
    divide_by, second_divide_by : none, area (per hectare of true area) or field (base_field).
    base_field : what to divide by: persons, firms.
    rate : plain or empirical Bayes (Assuncao and Reis 1999), for what is divided.
    transform : none, log1p, rank or winsor (2.5 % at each end), after dividing.
    category_field : each category is also run alone, its units being neighbours among themselves.
    stratum_field : each stratum (urban, rural) is also run alone.
    weights : auto (queen for polygons, nearest for points), queen, rook, nearest, distance, kernel or file.
    k : number of neighbours for nearest and for the adaptive bandwidth of kernel.
    distance_m : distance band, or fixed bandwidth of the kernel, in metres; None takes the shortest band in which
        every unit has a neighbour, or the adaptive bandwidth.
    kernel : triangular, uniform, epanechnikov, quartic or gaussian.
    snap_m : polygons closer than this count as touching, in metres.
    weights_file : .gal or .gwt file; id_field : the field with its ids (None: the field that the file names, or the
        row number).
    row_standardised : whether each unit's weights are divided by their sum.
    permutations, seed, alpha : of the test.
    alternative : two-sided or directed (the smaller tail alone).
    correction : BH, BY, Bonferroni or none.
    """
    _check_test(permutations, seed, alpha, alternative, correction)
    data = _read(run, input, fields, second_field, base_field, category_field, stratum_field, id_field)
    data = data.with_rules(divide_by, second_divide_by, rate, transform)
    links = Links(run, data.frame, weights, k, distance_m, kernel, snap_m, weights_file, id_field, row_standardised)
    parts = [
        (field, category, stratum, in_category & in_stratum)
        for field in data.fields
        for category, in_category in data.groups(category_field, "category_field")
        for stratum, in_stratum in data.groups(stratum_field, "stratum_field")
    ]
    rows, kept, errors = [], [], {}
    for index, (field, category, stratum, chosen) in enumerate(parts):
        step = run.part(0.3 + 0.6 * index / len(parts), 0.3 + 0.6 * (index + 1) / len(parts))
        name = _name(field, category, stratum)
        units, missing = data.with_values(field, chosen)
        row = {"variable": field, "category": category, "stratum": stratum, "units": int(chosen.sum())}
        row |= {"tested": 0, "missing": missing}
        try:
            x, y = data.variables(field, units)
            matrix = links.of(units)
            result = autocorrelation.global_moran(x, matrix, y, permutations, seed, alternative, step)
        except InputError as error:
            errors[name] = error
            rows.append(row | {"note": error.problem})
            continue
        row |= _counts_of_links(matrix) | {"tested": len(units)}
        row |= {"moran_i": result.i, "expected_i": result.expected, "sd": result.sd, "z_score": result.z}
        row |= {"p_normal": result.p_normal, "p": result.p}
        if second_field:
            row |= {"r": result.r, "lees_l": result.lees_l}
        rows.append(row | {"note": ""})
        kept.append((name, x, y, matrix, result))
    if not kept:
        raise next(iter(errors.values()))
    result_table = pd.DataFrame(rows)
    result_table["q"] = significance.q_values(result_table["p"], correction)
    result_table["significant"] = result_table["q"] <= alpha
    order = [name for name in result_table if name not in ("q", "significant", "note", "r", "lees_l")]
    order += ["q", "significant", *(["r", "lees_l"] if second_field else []), "note"]
    result_table = result_table[order].astype({"no_neighbours": "Int64", "links": "Int64"})
    _warn_of_left_out(run, result_table, data, errors)
    run.info(f"Engine: {permutations:,} permutations of the whole layer, seed {seed}; sums over all links of W.")
    test = f"{permutations:,} permutations, {alternative} p, {correction} correction over {len(kept)} tests"
    if not significance.can_reach(result_table["q"], permutations, alpha, correction, alternative):
        run.warning(_too_few(permutations, len(kept), alpha, correction, alternative))
    layers.write_layer(result_table, run.stage(output, "output"), "global_morans_i")
    if report:
        run.progress(0.92, "Drawing the report")
        about = [*data.describe(), f"Weights: {links.words}."]
        text = clustermaps.global_report(about, result_table, kept, f"{test}, level {alpha:g}")
        run.stage(report, "report").write_text(text, encoding="utf-8")
    first = result_table[result_table["moran_i"].notna()].iloc[0]
    return {
        "summary": _global_sentence(first, result_table, second_field, test),
        "moran_i": float(first["moran_i"]),
        "z_score": float(first["z_score"]),
        "p": float(first["p"]),
        "tests": len(kept),
    }


def local_morans_i(
    run: Run,
    *,
    input,
    fields,
    output,
    table=None,
    report=None,
    second_field: str | None = None,
    divide_by: str = "none",
    second_divide_by: str = "none",
    base_field: str | None = None,
    rate: str = "plain",
    transform: str = "none",
    category_field: str | None = None,
    stratum_field: str | None = None,
    weights: str = "auto",
    k: int = 8,
    distance_m: float | None = None,
    kernel: str = "triangular",
    snap_m: float = 0.0,
    weights_file=None,
    id_field: str | None = None,
    row_standardised: bool = True,
    permutations: int | None = None,
    seed: int = 0,
    alpha: float = 0.05,
    alternative: str = significance.TWO_SIDED,
    correction: str = significance.BH,
    ddof: int = 0,
) -> dict:
    """Local Moran's I of every unit: clusters of high and of low values, and outliers among their neighbours.

    input, fields, second_field, divide_by, second_divide_by, base_field, rate, transform, category_field, weights, k,
        distance_m, kernel, snap_m, weights_file, id_field, row_standardised, seed, alpha, alternative, correction : as
        in globalmoransi; q is corrected within each variable and category.
    output : the layer with moran_x (the variable as analysed), moran_i, z, lag, z_score, p, q, neighbours, quadrant
        and cluster (HH, LL, HL, LH where q <= alpha; else not significant, no neighbours, no value, not tested). With
        several fields each has its columns, named field_cluster and so on. With a category field, columns that begin
        with cat_ hold each unit's results among the units of its own category.
    table : counts of clusters per variable, category and stratum, with moran_i of the whole; with a second field also
        r and lees_l.
    report : HTML page with the cluster map, Moran scatter plots and counts.
    stratum_field : strata (urban, rural) in which the clusters are counted.
    permutations : None takes 99,999 where all neighbours of a unit weigh the same and 999 elsewhere (see the log).
    ddof : 0 or 1; z is divided by the standard deviation with n or n - 1. Scales moran_i, never changes p.
    """
    _check_test(permutations or max(_PERMUTATIONS.values()), seed, alpha, alternative, correction)
    data = _read(run, input, fields, second_field, base_field, category_field, stratum_field, id_field)
    data = data.with_rules(divide_by, second_divide_by, rate, transform)
    links = Links(run, data.frame, weights, k, distance_m, kernel, snap_m, weights_file, id_field, row_standardised)
    permutations = permutations or _PERMUTATIONS[links.engine]
    categories = data.groups(category_field, "category_field")
    strata = data.groups(stratum_field, "stratum_field")
    count = len(data.fields) * len(categories)
    columns: dict[str, np.ndarray] = {}
    rows, kept, errors, engines, unreached = [], [], {}, set(), []
    for index, (field, (category, chosen)) in enumerate((f, c) for f in data.fields for c in categories):
        step = run.part(0.3 + 0.5 * index / count, 0.3 + 0.5 * (index + 1) / count)
        prefix = (f"{field}_" if len(data.fields) > 1 else "") + (_CATEGORY if category != ALL else "")
        units, _ = data.with_values(field, chosen)
        whole = {"moran_i": np.nan, "smallest_p": np.nan, "engine": "", "note": ""}
        found = _empty(len(units))
        try:
            x, y = data.variables(field, units)
            found["moran_x"] = x
            matrix = links.of(units)
            result = autocorrelation.local_moran(x, matrix, y, permutations, seed, alternative, ddof, step)
        except InputError as error:
            errors[_name(field, category)] = error
            whole["note"] = error.problem
        else:
            found = _results(x, matrix, result, alpha, correction)
            engines.add(result.engine)
            overall = autocorrelation.global_moran(x, matrix, y, permutations=0)
            whole |= {"moran_i": overall.i, "smallest_p": np.nanmin(result.p), "engine": result.engine}
            if second_field:
                whole |= {"r": overall.r, "lees_l": overall.lees_l}
            kept.append((_name(field, category), units, result, found["cluster"]))
            if not significance.can_reach(found["q"], permutations, alpha, correction, alternative):
                unreached.append((_name(field, category), int(np.isfinite(found["q"]).sum())))
        _store(columns, prefix, found, units, np.flatnonzero(chosen), len(data.frame))
        for stratum, in_stratum in strata:
            inside = in_stratum[units]
            row = {"variable": field, "category": category, "stratum": stratum}
            row |= {"units": int((chosen & in_stratum).sum())}
            row |= {"missing": int((chosen & in_stratum).sum() - inside.sum())}
            rows.append(row | _counts(found, inside, alpha) | (whole if stratum == ALL else {"note": whole["note"]}))
    if not kept:
        raise next(iter(errors.values()))
    result_table = pd.DataFrame(rows)
    _warn_of_left_out(run, result_table, data, errors)
    for engine in sorted(engines):
        run.info(f"Engine: {clustermaps.engine_words(engine)}; {permutations:,} permutations, seed {seed}.")
    for name, tests in unreached:
        run.warning(f"{name}: " + _too_few(permutations, tests, alpha, correction, alternative))
    run.progress(0.82, "Writing the layer")
    layers.write_layer(_with_results(run, data.frame, columns), run.stage(output, "output"))
    if table:
        layers.write_layer(result_table, run.stage(table, "table"), "local_morans_i")
    test = f"{permutations:,} conditional permutations, {alternative} p, {correction} correction, level {alpha:g}"
    if report:
        run.progress(0.9, "Drawing the report")
        words = "; ".join(clustermaps.engine_words(engine) for engine in sorted(engines))
        about = [*data.describe(), f"Weights: {links.words}. Test: {test}. Engine: {words}."]
        text = clustermaps.local_report(about, data.frame, result_table, kept)
        run.stage(report, "report").write_text(text, encoding="utf-8")
    first = result_table.iloc[0]
    cluster = (f"{data.fields[0]}_" if len(data.fields) > 1 else "") + "cluster"
    return {
        "summary": _local_sentence(first, second_field, test, alpha, correction),
        "styles": {"output": clustermaps.style(columns[cluster], cluster)},
        "moran_i": float(first["moran_i"]),
        "significant": int(first["significant_q"]),
        "significant_raw": int(first["significant_p"]),
        **{name.lower(): int(first[name]) for name in CLUSTERS},
        "no_neighbours": int(first["no_neighbours"]),
        "missing": int(first["missing"]),
    }


# Reading ------------------------------------------------------------------------------------------------------------


@dataclass
class _Data:
    """The layer and its variables; NaN where a unit has no value."""

    frame: gpd.GeoDataFrame
    fields: list[str]
    values: dict[str, np.ndarray]
    second: np.ndarray | None
    base: np.ndarray | None
    second_name: str | None = None
    base_name: str | None = None
    is_polygon: bool = True
    area: np.ndarray | None = None
    divide_by: str = "none"
    second_divide_by: str = "none"
    rate: str = "plain"
    transform: str = "none"

    def with_rules(self, divide_by: str, second_divide_by: str, rate: str, transform: str) -> "_Data":
        """Set what is analysed of the values, and check it against what was read."""
        for parameter, value in (("divide_by", divide_by), ("second_divide_by", second_divide_by)):
            one_of(value, DENOMINATORS, parameter)
            if value == "field" and self.base is None:
                raise InputError("base_field", f"{parameter} is 'field', but no field was given", "Choose the field")
            if value == "area" and not self.is_polygon:
                raise InputError(parameter, "points have no area", "Choose polygons, or another denominator")
        one_of(rate, RATES, "rate")
        one_of(transform, autocorrelation.TRANSFORMS, "transform")
        if rate != "plain" and divide_by == "none":
            raise InputError("rate", f"'{rate}' needs something to divide by", "Set divide_by to area or field")
        self.divide_by, self.second_divide_by, self.rate, self.transform = divide_by, second_divide_by, rate, transform
        if "area" in (divide_by, second_divide_by):
            self.area = layers.areas(self.frame) / _SQUARE_METRES_PER_HECTARE
        return self

    def groups(self, field: str | None, parameter: str) -> list[tuple[str, np.ndarray]]:
        """All units, and those of each value of a field."""
        every = [(ALL, np.ones(len(self.frame), bool))]
        if not field:
            return every
        names = layers.keys(self.frame[field]).to_numpy()
        found = sorted(set(names) - {""})
        if not found:
            raise InputError(parameter, f"field '{field}' is empty in all rows", "Choose another field")
        if len(found) > _MOST_GROUPS:
            raise InputError(
                parameter,
                f"field '{field}' has {len(found):,} different values",
                f"Choose a field with at most {_MOST_GROUPS}",
            )
        return every + [(name, names == name) for name in found]

    def with_values(self, field: str, chosen: np.ndarray) -> tuple[np.ndarray, int]:
        """Rows of the chosen units that have all values, and how many have not."""
        complete = chosen & np.isfinite(self.values[field])
        if self.second is not None:
            complete &= np.isfinite(self.second)
        for rule in (self.divide_by, self.second_divide_by):
            if rule != "none":
                complete &= self._denominator(rule) > 0
        return np.flatnonzero(complete), int(chosen.sum() - complete.sum())

    def variables(self, field: str, units: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The variable and the neighbours' one as they are analysed."""
        x = self._variable(self.values[field][units], self.divide_by, units)
        y = None if self.second is None else self._variable(self.second[units], self.second_divide_by, units)
        return x, y

    def describe(self) -> list[str]:
        """The variables in words."""
        text = "; ".join(self._words(field, self.divide_by) for field in self.fields)
        if self.second is not None:
            text += f", against the neighbours' {self._words(self.second_name, self.second_divide_by)}"
        return [f"Analysed: {text}."]

    def _variable(self, values: np.ndarray, divide_by: str, units: np.ndarray) -> np.ndarray:
        if divide_by != "none":
            base = self._denominator(divide_by)[units]
            values = values / base if self.rate == "plain" else autocorrelation.empirical_bayes(values, base)
        return autocorrelation.transform(values, self.transform) if len(values) else values

    def _denominator(self, divide_by: str) -> np.ndarray:
        return self.area if divide_by == "area" else self.base

    def _words(self, field: str, divide_by: str) -> str:
        text = field + {"none": "", "area": " per hectare", "field": f" per {self.base_name}"}[divide_by]
        if divide_by != "none" and self.rate != "plain":
            text += " (empirical-Bayes rate)"
        return text if self.transform == "none" else f"{self.transform} of {text}"


def _read(run, source, fields, second_field, base_field, category_field, stratum_field, id_field) -> _Data:
    run.progress(0.0, "Reading the layer")
    names = list(dict.fromkeys([fields] if isinstance(fields, str) else fields or []))
    if not names:
        raise InputError("fields", "no field was chosen", "Choose the field to analyse")
    named = {"second_field": second_field, "base_field": base_field, "category_field": category_field}
    named |= {"stratum_field": stratum_field, "id_field": id_field}
    frame = layers.read_layer(source, "input", run)
    layers.require_fields(frame.columns, names, "fields")
    for parameter, name in named.items():
        if name:
            layers.require_fields(frame.columns, [name], parameter)
    dimensions = shapely.get_dimensions(np.asarray(frame.geometry.array))
    if not ((dimensions == 2).all() or (dimensions == 0).all()):
        raise InputError(
            "input",
            f"{(dimensions == 1).sum():,} of {len(frame):,} features are lines, and polygons and points are not mixed"
            if (dimensions == 1).any()
            else "the layer mixes polygons and points",
            "Choose a layer of polygons (parcels, grid cells, zones) or of points",
        )
    return _Data(
        frame=frame,
        fields=names,
        values={name: layers.numbers(frame, name, "fields", negative=True, missing=True) for name in names},
        second=None
        if not second_field
        else layers.numbers(frame, second_field, "second_field", negative=True, missing=True),
        base=None if not base_field else layers.numbers(frame, base_field, "base_field", missing=True),
        second_name=second_field,
        base_name=base_field,
        is_polygon=bool((dimensions == 2).all()),
    )


def _check_test(permutations: int, seed: int, alpha: float, alternative: str, correction: str) -> None:
    one_of(alternative, significance.ALTERNATIVES, "alternative")
    one_of(correction, significance.CORRECTIONS, "correction")
    if seed < 0:
        raise InputError("seed", f"{seed} is negative", "Give 0 or a positive whole number")
    if not 0 < alpha < 1:
        raise InputError("alpha", f"{alpha:g} is not between 0 and 1", "Give a level such as 0.05")
    if not 1 <= permutations <= _MOST_PERMUTATIONS:
        raise InputError("permutations", f"{permutations:,} is too few or too many", "Give 99 to 10,000,000, say 9999")
    smallest = significance.smallest_p(permutations, alternative)
    if smallest > alpha:
        needed = significance.needed_permutations(1, alpha, significance.NONE, alternative)
        raise InputError(
            "permutations",
            f"with {permutations:,} the smallest {alternative} p is {smallest:.3g}, above the level of {alpha:g}",
            f"Give at least {needed:,}",
        )


# Results ------------------------------------------------------------------------------------------------------------


def _empty(n: int) -> dict[str, np.ndarray]:
    """Results of units that could not be tested."""
    found: dict[str, np.ndarray] = {name: np.full(n, np.nan) for name in _RESULTS[:7]}
    found |= {"neighbours": np.full(n, np.nan), "quadrant": np.full(n, "", object)}
    return found | {"cluster": np.full(n, NOT_TESTED, object)}


def _results(x, matrix, result: autocorrelation.LocalMoran, alpha: float, correction: str) -> dict[str, np.ndarray]:
    q = significance.q_values(result.p, correction)
    counts = neighbours(matrix)
    cluster = np.where(q <= alpha, result.quadrant.astype(object), NOT_SIGNIFICANT)
    cluster[counts == 0] = NO_NEIGHBOURS
    return {
        "moran_x": x,
        "moran_i": result.i,
        "z": result.z,
        "lag": result.lag,
        "z_score": result.z_score,
        "p": result.p,
        "q": q,
        "neighbours": counts.astype(float),
        "quadrant": result.quadrant.astype(object),
        "cluster": cluster,
    }


def _store(columns: dict, prefix: str, found: dict, units: np.ndarray, chosen: np.ndarray, n: int) -> None:
    """Put the results of some units into the layer's columns."""
    for name in _RESULTS:
        text = name in ("quadrant", "cluster")
        column = columns.setdefault(prefix + name, np.full(n, "" if text else np.nan, object if text else float))
        if name == "cluster":
            column[chosen] = NO_VALUE
        column[units] = found[name]


def _with_results(run: Run, frame: gpd.GeoDataFrame, columns: dict[str, np.ndarray]) -> gpd.GeoDataFrame:
    made = {name.lower() for name in columns}
    replaced = [name for name in frame if str(name).lower() in made]
    if replaced:
        run.warning(f"input: the fields {', '.join(map(str, replaced))} are replaced by the new results.")
    content = pd.DataFrame(columns, index=frame.index)
    for name in content:
        if name.endswith("neighbours"):
            content[name] = content[name].astype("Int64")
        elif name.endswith(("quadrant", "cluster")):
            content[name] = content[name].replace("", None)
    kept = frame.drop(columns=replaced)
    return gpd.GeoDataFrame(pd.concat([kept, content], axis=1), geometry=kept.geometry.name, crs=frame.crs)


def _counts(found: dict[str, np.ndarray], inside: np.ndarray, alpha: float) -> dict:
    cluster = found["cluster"][inside]
    counts = {
        "no_neighbours": int((cluster == NO_NEIGHBOURS).sum()),
        "tested": int(np.isfinite(found["p"][inside]).sum()),
    }
    counts |= {name: int((cluster == name).sum()) for name in CLUSTERS}
    counts |= {"not_significant": int((cluster == NOT_SIGNIFICANT).sum())}
    return counts | {f"significant_{name}": int((found[name][inside] <= alpha).sum()) for name in ("p", "q")}


def _counts_of_links(matrix: sparse.csr_array) -> dict:
    counts = neighbours(matrix)
    return {"no_neighbours": int((counts == 0).sum()), "links": matrix.nnz, "mean_neighbours": float(counts.mean())}


# Sentences ----------------------------------------------------------------------------------------------------------


def _name(field: str, category: str = ALL, stratum: str = ALL) -> str:
    return ", ".join([field, *(part for part in (category, stratum) if part != ALL)])


def _too_few(permutations: int, tests: int, alpha: float, correction: str, alternative: str) -> str:
    needed = significance.needed_permutations(tests, alpha, correction, alternative)
    smallest = significance.smallest_p(permutations, alternative)
    return (
        f"nothing can be significant at {alpha:g} after the {correction} correction on its own: with {permutations:,} "
        f"permutations the smallest {alternative} p is {smallest:.3g}, and one of {tests:,} tests needs {needed:,} "
        "permutations."
    )


def _warn_of_left_out(run: Run, result_table: pd.DataFrame, data: _Data, errors: dict[str, InputError]) -> None:
    whole = result_table[(result_table["category"] == ALL) & (result_table["stratum"] == ALL)]
    for row in whole.itertuples():
        if row.missing:
            why = (
                "no value" if data.divide_by == data.second_divide_by == "none" else "no value or nothing to divide by"
            )
            run.warning(f"{row.variable}: {row.missing:,} of {row.units:,} units have {why}; they take no part.")
    for name, error in list(errors.items())[:_MOST_NAMED]:
        run.warning(f"{name} was not tested: {error.problem}.")
    if len(errors) > _MOST_NAMED:
        run.warning(f"{len(errors) - _MOST_NAMED:,} more were not tested; the note in the table says why.")


def _global_sentence(first: pd.Series, result_table: pd.DataFrame, second_field: str | None, test: str) -> str:
    name = _name(first["variable"], first["category"], first["stratum"])
    p, q = (clustermaps.p_text(first[column]) for column in ("p", "q"))
    text = (
        f"{name}: Moran's I = {first['moran_i']:.4f} (expected {first['expected_i']:.4f}, z = {first['z_score']:.2f}, "
        f"p = {p}, q = {q}) for {first['tested']:,} units."
    )
    if second_field:
        text += f" In place r = {first['r']:.4f}, Lee's L = {first['lees_l']:.4f}."
    if len(result_table) > 1:
        text += f" {int(result_table['significant'].sum())} of {len(result_table)} rows are significant."
    return f"{text} {test}."


def _local_sentence(first: pd.Series, second_field: str | None, test: str, alpha: float, correction: str) -> str:
    counts = ", ".join(f"{first[name]:,} {name}" for name in CLUSTERS)
    text = (
        f"{first['variable']}: {counts} of {first['tested']:,} tested units at q ≤ {alpha:g}; "
        f"{first['significant_p']:,} had p ≤ {alpha:g} before the {correction} correction. "
        f"Moran's I = {first['moran_i']:.4f}."
    )
    if second_field:
        text += f" In place r = {first['r']:.4f}, Lee's L = {first['lees_l']:.4f}."
    return f"{text} {test}."
