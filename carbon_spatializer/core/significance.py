"""Many tests at once: q values, and how many permutations they need."""

import math

import numpy as np
from scipy import stats

from .checks import one_of

BH, BY, BONFERRONI, NONE = "BH", "BY", "Bonferroni", "none"
CORRECTIONS = (BH, BY, BONFERRONI, NONE)
TWO_SIDED, DIRECTED = "two-sided", "directed"
ALTERNATIVES = (TWO_SIDED, DIRECTED)


def q_values(p: np.ndarray, correction: str = BH) -> np.ndarray:
    """p values corrected for the number of tests; a test is significant at level alpha where q <= alpha.

    Parameters
    ----------
    p : (n,) raw p values. NaN stands for units that were not tested; they do not count and stay NaN.
    correction : ``BH`` (Benjamini and Hochberg 1995: expected share of false findings among the findings, for
        independent or positively dependent tests), ``BY`` (Benjamini and Yekutieli 2001: the same under any
        dependence), ``Bonferroni`` (chance of even one false finding) or ``none``.
    """
    one_of(correction, CORRECTIONS, "correction")
    q = np.array(p, dtype=float)
    tested = np.isfinite(q)
    if tested.any() and correction == BONFERRONI:
        q[tested] = np.minimum(1, q[tested] * tested.sum())
    elif tested.any() and correction in (BH, BY):
        q[tested] = stats.false_discovery_control(q[tested], method=correction.lower())
    return q


def permutation_p(
    greater: np.ndarray, lesser: np.ndarray, permutations: int, alternative: str = TWO_SIDED
) -> np.ndarray:
    """Pseudo p values from counts of permutations.

    Parameters
    ----------
    greater, lesser : number of permutations with a statistic of at least, and at most, the observed one; ties are in
        both.
    permutations : how many there were.
    alternative : ``two-sided`` doubles the smaller tail (at most 1); ``directed`` takes the smaller tail as it is,
        which is esda's custom up to 2.9 and calls about twice as many units of pure noise significant.
    """
    one_of(alternative, ALTERNATIVES, "alternative")
    tail = (np.minimum(greater, lesser) + 1) / (permutations + 1)
    return np.minimum(1.0, _sides(alternative) * tail)


def smallest_p(permutations: int, alternative: str = TWO_SIDED) -> float:
    """The smallest p value that so many permutations can give."""
    return _sides(alternative) / (permutations + 1)


def needed_permutations(tests: int, alpha: float, correction: str = BH, alternative: str = TWO_SIDED) -> int:
    """Permutations with which a single one of several tests can be significant after the correction.

    The smallest p value must be at most alpha / m for BH and Bonferroni, alpha / (m sum of 1/i) for BY, and alpha
    without a correction; m is the number of tests.
    """
    one_of(correction, CORRECTIONS, "correction")
    burden = 1.0 if correction == NONE else float(max(tests, 1))
    if correction == BY:
        burden *= float(np.sum(1 / np.arange(1, max(tests, 1) + 1)))
    # Rounded first, so that 2 / 0.05 is 40 and not 40.000000001.
    return math.ceil(round(_sides(alternative) * burden / alpha, 6)) - 1


def can_reach(
    q: np.ndarray, permutations: int, alpha: float, correction: str = BH, alternative: str = TWO_SIDED
) -> bool:
    """Whether the permutations suffice for the correction: something is significant, or a single test could be."""
    tests = int(np.isfinite(q).sum())
    if tests == 0 or permutations >= needed_permutations(tests, alpha, correction, alternative):
        return True
    return bool(np.nanmin(q) <= alpha)


def _sides(alternative: str) -> int:
    return 2 if alternative == TWO_SIDED else 1
