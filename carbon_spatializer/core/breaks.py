"""Class breaks that a reader can say aloud, for maps of skewed values."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import numpy as np

_DIGITS = 2
_MOST_DIGITS = 15
# A smallest value below this share of the next break is told as zero.
_NEARLY_ZERO = 0.02


def readable_breaks(values, count: int = 7) -> list[float]:
    """Breaks of about ``count`` classes with equally many distinct values each, rounded to two significant digits.

    Emissions are skewed, so that equal intervals would put nearly all units in one class; quantiles of the distinct
    values are taken instead, which also keeps many equal values (zeros, say) from taking several classes.

    Parameters
    ----------
    values : numbers of any unit; missing and infinite ones are ignored.
    count : number of classes wanted; there are fewer where the values do not allow it, and at least one.

    Returns
    -------
    Strictly increasing breaks, one more than there are classes. The first is at most the smallest value and the last
    at least the largest. Zero is a break where values lie on both sides of it. More than two digits are used only
    where the values differ by too little to be told apart by two.
    """
    distinct = np.asarray(values, dtype=float).ravel()
    distinct = np.unique(distinct[np.isfinite(distinct)])
    if len(distinct) < 2:
        value = distinct[0] if len(distinct) else 0.0
        return [0.0, 1.0] if value == 0 else sorted([0.0, float(value)])
    low, *inner, high = np.quantile(distinct, np.linspace(0, 1, min(count, len(distinct)) + 1))
    if low < 0 < high and inner:
        inner[int(np.argmin(np.abs(inner)))] = 0.0
    if inner and 0 < low < _NEARLY_ZERO * inner[0]:
        low = 0.0
    for digits in range(_DIGITS, _MOST_DIGITS + 1):
        rounded = {_round(value, digits, ROUND_HALF_EVEN) for value in inner}
        breaks = sorted(rounded | {_round(low, digits, ROUND_FLOOR), _round(high, digits, ROUND_CEILING)})
        # Half of the classes that were possible is few enough to be read and many enough to show a pattern.
        if len(breaks) - 1 > len(inner) / 2:
            return breaks
    return [float(low), float(high)]


def _round(value: float, digits: int, rounding: str) -> float:
    """Round to significant digits of the decimal number that the float prints as."""
    if value == 0:
        return 0.0
    number = Decimal(repr(float(value)))
    return float(number.quantize(Decimal(1).scaleb(number.adjusted() - digits + 1), rounding=rounding))
