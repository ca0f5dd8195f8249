"""Spatial autocorrelation: global, local and bivariate Moran's I with permutation tests, and Lee's L.

Values are standardised to z with mean 0; ``ddof`` 0 divides by n, 1 by n - 1. The choice scales local I by (n - 1)/n
and never changes a p value, nor global I. With ddof 0 (esda's z) the local I of row-standardised weights average to
global I; with ddof 1 (R's scale(), GeoDa and pygeoda) z Wz is the local I that esda reports, since esda multiplies by
(n - 1)/n.
"""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

from .checks import one_of
from .errors import InputError
from .significance import DIRECTED, TWO_SIDED, permutation_p

TRANSFORMS = ("none", "log1p", "rank", "winsor")
WINSOR_PCT = 2.5
QUADRANTS = ("HH", "LH", "LL", "HL")
SHARED_TABLE, ESDA = "shared table", "esda"

_FEWEST = 4
_BLOCK_ENTRIES = 4_000_000
_TIE = 1e-10
_CONSTANT = 1e-12

Progress = Callable[[float, str], None]


def _silent(fraction: float, text: str = "") -> None:
    """Progress that nobody watches."""


@dataclass
class GlobalMoran:
    """Global Moran's I of one or two variables.

    ``i`` the statistic, ``expected`` and ``sd`` its mean and standard deviation under random permutation, ``z`` =
    (i - expected) / sd, ``p_normal`` the two-sided p value of z, ``p`` that of the permutations, ``simulated`` the
    permuted statistics; of two variables also Pearson's ``r`` in place and ``lees_l``.
    """

    i: float
    expected: float
    sd: float
    z: float
    p_normal: float
    p: float
    simulated: np.ndarray
    r: float = np.nan
    lees_l: float = np.nan


@dataclass
class LocalMoran:
    """Local Moran's I of every unit: arrays of shape (n,); NaN (quadrant: '') where a unit has no neighbours.

    ``i`` the statistic z_x W z_y, ``z`` the standardised (first) variable, ``lag`` the neighbours' weighted sum of the
    standardised (second) variable, ``z_score`` of i under conditional permutation (exact mean and variance, Sokal
    1998), ``p``, ``quadrant`` (HH, LH, LL, HL: own value, then neighbours), and which ``engine`` gave p.
    """

    i: np.ndarray
    z: np.ndarray
    lag: np.ndarray
    z_score: np.ndarray
    p: np.ndarray
    quadrant: np.ndarray
    engine: str


# The variable -------------------------------------------------------------------------------------------------------


def transform(values: np.ndarray, kind: str) -> np.ndarray:
    """Tame skewed values: ``none``, ``log1p`` (natural log of 1 + value, value in its own unit), ``rank`` (average
    ranks, 1 to n) or ``winsor`` (the lowest and highest 2.5 % are set to these percentiles). No value may be NaN."""
    one_of(kind, TRANSFORMS, "transform")
    if kind == "log1p":
        if (values < 0).any():
            raise InputError(
                "transform",
                f"log1p needs values of 0 or more, but there are {(values < 0).sum():,} negative ones "
                f"(down to {values.min():g})",
                "Choose rank or winsor",
            )
        return np.log1p(values)
    if kind == "rank":
        return stats.rankdata(values)
    if kind == "winsor":
        return np.clip(values, *np.percentile(values, [WINSOR_PCT, 100 - WINSOR_PCT]))
    return np.asarray(values, dtype=float)


def empirical_bayes(events: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Empirical-Bayes standardised rates: (e/b - beta) / sqrt(v), which damp the rates of small bases.

    beta = sum e / sum b; v = alpha + beta / b with alpha = sum(b (e/b - beta)^2) / sum b - beta / mean b, and beta / b
    alone where that is negative. Assuncao and Reis (1999), Statistics in Medicine 18, equation 8, as in esda's
    ``assuncao_rate``. The variance is that of counts, so one unit of ``events`` (a tonne, say) counts as one event.

    Parameters
    ----------
    events : (n,) not negative.
    base : (n,) positive: population, area, number of firms.
    """
    if (events < 0).any():
        raise InputError(
            "rate",
            f"empirical-Bayes rates need values of 0 or more, but there are {(events < 0).sum():,} negative ones",
            "Choose plain rates or gross emissions",
        )
    rate = events / base
    beta = events.sum() / base.sum()
    if beta == 0:
        return np.zeros(len(events))
    alpha = np.sum(base * (rate - beta) ** 2) / base.sum() - beta / base.mean()
    variance = alpha + beta / base
    variance = np.where(variance < 0, beta / base, variance)
    return (rate - beta) / np.sqrt(variance)


def is_constant(values: np.ndarray) -> bool:
    """Whether values differ by no more than rounding, so that they have no spatial pattern."""
    return bool(np.ptp(values) <= _CONSTANT * max(np.abs(values).max(), np.finfo(float).tiny)) if len(values) else True


def standardise(values: np.ndarray, ddof: int = 0) -> np.ndarray:
    """z values; raises InputError on constant or too few values."""
    if ddof not in (0, 1):
        raise InputError("ddof", f"{ddof} is unknown", "Use 0 (divide by n) or 1 (divide by n - 1)")
    if len(values) < _FEWEST:
        raise InputError(
            "input", f"{len(values):,} units with values are too few", f"Choose a layer with {_FEWEST} or more"
        )
    if is_constant(values):
        raise InputError(
            "fields", f"all {len(values):,} values are equal ({values[0]:g})", "Choose a field whose values differ"
        )
    return (values - values.mean()) / values.std(ddof=ddof)


# Global -------------------------------------------------------------------------------------------------------------


def global_moran(
    x: np.ndarray,
    weights: sparse.csr_array,
    y: np.ndarray | None = None,
    permutations: int = 999,
    seed: int = 0,
    alternative: str = TWO_SIDED,
    progress: Progress = _silent,
) -> GlobalMoran:
    """Global Moran's I = n / S0 · z'Wz / z'z, or bivariate n / S0 · z_x'W z_y / sqrt(z_x'z_x z_y'z_y).

    Moran (1950), Biometrika 37; moments under randomisation by Cliff and Ord (1981). The bivariate test permutes y
    against x and W, for which mean 0 and the variance are exact. Units without neighbours stay in n and z, as in
    esda and GeoDa.

    Parameters
    ----------
    x, y : (n,) values without NaN; x is in place, y is lagged. None takes the univariate statistic.
    weights : (n, n), row-standardised or not.
    """
    z = standardise(x)
    z_lagged = z if y is None else standardise(y)
    _require_pattern(weights)
    rng = np.random.default_rng(seed)
    scale = 1 / weights.sum()  # n / S0 / z'z with z'z = n
    # Sums of products by einsum, since the threads of BLAS cost more than they bring for vectors.
    simulated = np.empty(permutations)
    if y is None:
        # z'Wz sums every pair once in the upper triangle of W + W'.
        upper = sparse.triu(weights + weights.T, format="csr")
        observed = scale * (z @ (upper @ z))
        for index in range(permutations):
            if index % 50 == 0:
                progress(index / permutations, "Permuting")
            shuffled = rng.permutation(z)
            simulated[index] = scale * np.einsum("i,i", shuffled, upper @ shuffled)
        expected, sd = _moments(z, weights)
        r = lee = np.nan
    else:
        pull = weights.T @ z
        observed = scale * (pull @ z_lagged)
        for index in range(permutations):
            if index % 50 == 0:
                progress(index / permutations, "Permuting")
            simulated[index] = scale * np.einsum("i,i", pull, rng.permutation(z_lagged))
        expected = 0.0
        sd = scale * np.sqrt(np.sum((pull - pull.mean()) ** 2) * len(z) / (len(z) - 1))
        r, lee = float(z @ z_lagged) / len(z), lees_l(x, y, weights)
    tie = _TIE * max(1.0, abs(observed))
    p = permutation_p(
        np.sum(simulated >= observed - tie), np.sum(simulated <= observed + tie), permutations, alternative
    )
    score = (observed - expected) / sd if sd > 0 else np.nan
    return GlobalMoran(
        float(observed), expected, float(sd), float(score), float(2 * stats.norm.sf(abs(score))), float(p), simulated,
        r, lee,
    )  # fmt: skip


def _moments(z: np.ndarray, weights: sparse.csr_array) -> tuple[float, float]:
    """Mean and standard deviation of global I under randomisation (Cliff and Ord 1981, equation 1.37)."""
    n = len(z)
    s0 = weights.sum()
    s1 = ((weights + weights.T).power(2)).sum() / 2
    s2 = np.sum((weights.sum(axis=1) + weights.sum(axis=0)) ** 2)
    kurtosis = np.mean(z**4) / np.mean(z**2) ** 2
    expected = -1 / (n - 1)
    first = n * ((n**2 - 3 * n + 3) * s1 - n * s2 + 3 * s0**2)
    second = kurtosis * ((n**2 - n) * s1 - 2 * n * s2 + 6 * s0**2)
    variance = (first - second) / ((n - 1) * (n - 2) * (n - 3) * s0**2) - expected**2
    return expected, float(np.sqrt(max(variance, 0)))


def lees_l(x: np.ndarray, y: np.ndarray, weights: sparse.csr_array) -> float:
    """Lee's L: how far the neighbourhoods of x and y go together, in place and in space.

    L = n / sum_i (sum_j w_ij)^2 · sum_i (W z_x)_i (W z_y)_i / sqrt(z_x'z_x z_y'z_y). Lee (2001), Journal of
    Geographical Systems 3, equation 19; the weights are those of Moran's I, a unit is not its own neighbour.
    """
    lag_x, lag_y = weights @ standardise(x), weights @ standardise(y)
    return float(lag_x @ lag_y / np.sum(weights.sum(axis=1) ** 2))


# Local --------------------------------------------------------------------------------------------------------------


def local_moran(
    x: np.ndarray,
    weights: sparse.csr_array,
    y: np.ndarray | None = None,
    permutations: int = 9999,
    seed: int = 0,
    alternative: str = TWO_SIDED,
    ddof: int = 0,
    progress: Progress = _silent,
) -> LocalMoran:
    """Local Moran's I_i = z_i (Wz)_i, or bivariate z_x,i (W z_y)_i, tested by conditional permutation.

    Anselin (1995), Geographical Analysis 27. Unit i keeps its value while the values of all other units are dealt out
    anew to its neighbours. Where all neighbours of a unit count the same, one table of random draws serves every unit
    (see ``_shared_table``), which is exact; otherwise esda draws.

    Parameters
    ----------
    x, y : (n,) values without NaN; x is in place, y is lagged. None takes the univariate statistic.
    weights : (n, n), row-standardised or not.
    """
    z = standardise(x, ddof)
    z_lagged = z if y is None else standardise(y, ddof)
    _require_pattern(weights)
    lag = weights @ z_lagged
    island = np.diff(weights.indptr) == 0
    if has_flat_rows(weights):
        engine = SHARED_TABLE
        greater, lesser = _shared_table(z_lagged, weights, permutations, np.random.default_rng(seed), progress)
        p = permutation_p(greater, lesser, permutations, alternative)
    else:
        engine = ESDA
        p = _esda_p(x, y, weights, permutations, seed, alternative, progress)
    # A unit at the mean has I = 0 whatever its neighbours are.
    at_mean = np.abs(z) <= _TIE
    p = np.where(island, np.nan, np.where(at_mean, 1.0, p))
    score = np.where(at_mean, 0.0, np.sign(z) * _lag_score(z_lagged, lag, weights))
    high, lag_high = z > 0, lag > 0
    quadrant = np.select([high & lag_high, ~high & lag_high, ~high & ~lag_high], QUADRANTS[:3], QUADRANTS[3])
    return LocalMoran(
        i=np.where(island, np.nan, z * lag),
        z=z,
        lag=np.where(island, np.nan, lag),
        z_score=np.where(island, np.nan, score),
        p=p,
        quadrant=np.where(island, "", quadrant),
        engine=engine,
    )


def _lag_score(z: np.ndarray, lag: np.ndarray, weights: sparse.csr_array) -> np.ndarray:
    """The lag less its mean, over its standard deviation, when the other units' values are dealt out at random.

    A weighted sum of draws without replacement from N = n - 1 values with mean m and variance s2 has the mean m sum w
    and the variance s2 N / (N - 1) (sum w^2 - (sum w)^2 / N); Sokal et al. (1998), equations A7 and A8.
    """
    n = len(z)
    others = n - 1
    mean = (z.sum() - z) / others
    variance = np.maximum((np.sum(z**2) - z**2) / others - mean**2, 0)
    first, second = weights.sum(axis=1), weights.power(2).sum(axis=1)
    spread = variance * others / (others - 1) * np.maximum(second - first**2 / others, 0)
    return np.divide(lag - mean * first, np.sqrt(spread), out=np.zeros(n), where=spread > 0)


def has_flat_rows(weights: sparse.csr_array) -> bool:
    """Whether all neighbours of a unit count the same, for every unit."""
    filled = np.diff(weights.indptr) > 0
    if not filled.any():
        return True
    starts = weights.indptr[:-1][filled]
    high, low = np.maximum.reduceat(weights.data, starts), np.minimum.reduceat(weights.data, starts)
    return bool((high - low <= _TIE * high).all())


def _shared_table(
    z: np.ndarray, weights: sparse.csr_array, permutations: int, rng: np.random.Generator, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of permutations whose neighbour sum is at least, and at most, the observed one, for every unit.

    The sum over k neighbours drawn at random has the same distribution for all units with k neighbours, but that a
    unit may not draw itself. So one table of distinct units, one row per permutation, gives by its first k columns the
    sums for all of them; they are sorted once per k and each observed sum is looked up. Where a row holds the unit
    itself among its first k, the (k + 1)-th takes its place and that one comparison is corrected. Each unit is thus
    compared with ``permutations`` exact draws without replacement from the other units.
    """
    n = len(z)
    count = np.diff(weights.indptr).astype(np.int64)
    pattern = sparse.csr_array((np.ones(len(weights.data)), weights.indices, weights.indptr), shape=weights.shape)
    observed = pattern @ z
    tie = _TIE * np.maximum(count, 1) * np.abs(z).max()
    floor, ceiling = observed - tie, observed + tie
    # Units in groups of equal k and by their sum, so that the look-ups of a group run through memory in order.
    order = np.lexsort((observed, count))
    groups = [group for group in np.split(order, np.flatnonzero(np.diff(count[order])) + 1) if count[group[0]] > 0]
    width = int(count.max()) + 1
    greater, lesser = np.zeros(n, np.int64), np.zeros(n, np.int64)
    block = max(1, min(permutations, _BLOCK_ENTRIES // (n if _is_wide(width, n) else width)))
    for start in range(0, permutations, block):
        progress(start / permutations, f"Permuting with a shared table: {start:,} of {permutations:,}")
        ids = _distinct_ids(rng, min(block, permutations - start), width, n)
        sums = np.cumsum(z[ids[:, :-1]], axis=1)
        for group in groups:
            column = np.sort(sums[:, count[group[0]] - 1])
            greater[group] += len(column) - np.searchsorted(column, floor[group], "left")
            lesser[group] += np.searchsorted(column, ceiling[group], "right")
        row, slot = np.nonzero(np.arange(width - 1) < count[ids[:, :-1]])
        unit = ids[row, slot]
        drawn = sums[row, count[unit] - 1]
        mended = drawn - z[unit] + z[ids[row, count[unit]]]
        for counts, change in (
            (greater, (mended >= floor[unit]).astype(np.int8) - (drawn >= floor[unit])),
            (lesser, (mended <= ceiling[unit]).astype(np.int8) - (drawn <= ceiling[unit])),
        ):
            changed = change != 0
            np.add.at(counts, unit[changed], change[changed])
    return greater, lesser


def _is_wide(width: int, n: int) -> bool:
    return width > n // 4


def _distinct_ids(rng: np.random.Generator, rows: int, width: int, n: int) -> np.ndarray:
    """(rows, width) random units below n, distinct within each row, each ordered choice equally likely."""
    if _is_wide(width, n):
        return rng.permuted(np.tile(np.arange(n, dtype=np.int32), (rows, 1)), axis=1)[:, :width]
    ids = rng.integers(n, size=(rows, width), dtype=np.int32)
    # Repeats are drawn again until there is none. No unit is treated unlike another, so all choices stay as likely.
    pending = np.arange(rows)
    while len(pending):
        part = ids[pending]
        order = np.argsort(part, axis=1, kind="stable")
        ranked = np.take_along_axis(part, order, axis=1)
        row, place = np.nonzero(ranked[:, 1:] == ranked[:, :-1])
        ids[pending[row], order[row, place + 1]] = rng.integers(n, size=len(row), dtype=np.int32)
        pending = pending[np.unique(row)]
    return ids


def _esda_p(
    x: np.ndarray,
    y: np.ndarray | None,
    weights: sparse.csr_array,
    permutations: int,
    seed: int,
    alternative: str,
    progress: Progress,
) -> np.ndarray:
    """p values of esda's conditional permutation, for weights that differ within a unit's neighbours."""
    from esda.moran import Moran_Local, Moran_Local_BV
    from libpysal.graph import Graph

    progress(0.0, f"Permuting with esda: {permutations:,} permutations of {len(x):,} units")
    graph = Graph.from_sparse(weights)
    statistic, variables = (Moran_Local, (x,)) if y is None else (Moran_Local_BV, (x, y))
    options = {"transformation": "O", "permutations": permutations, "keep_simulations": False, "seed": seed}
    if "alternative" in inspect.signature(statistic).parameters:
        options["alternative"] = DIRECTED  # which older versions know alone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        result = statistic(*variables, graph, **options)
    # esda counts the smaller tail and adds 1.
    tail = np.rint(result.p_sim * (permutations + 1)) - 1
    return permutation_p(tail, tail, permutations, alternative)


def _require_pattern(weights: sparse.csr_array) -> None:
    """Refuse weights under which every arrangement of the values has the same statistic."""
    n = weights.shape[0]
    if weights.nnz == 0:
        raise InputError(
            "weights",
            "no unit has a neighbour",
            "Choose k nearest neighbours, a longer distance, or a snap tolerance that closes gaps",
        )
    if weights.nnz == n * (n - 1) and np.ptp(weights.data) <= _TIE * weights.data.max():
        raise InputError(
            "weights",
            f"each of the {n:,} units has all others as its neighbours, so that no arrangement differs",
            "Choose fewer neighbours or a shorter distance",
        )
