"""Readable breaks: strictly increasing, covering, short to say."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_spatializer.core.breaks import readable_breaks

NUMBERS = st.floats(-1e12, 1e12, allow_subnormal=False).map(lambda v: 0.0 if abs(v) < 1e-9 else v)


def test_quantiles_rounded_to_two_digits():
    # 1..100 in four classes: quantiles 1, 25.75, 50.5, 75.25, 100 -> two digits.
    assert readable_breaks(np.arange(1, 101), 4) == [1, 26, 50, 75, 100]


def test_ends_are_rounded_outward():
    # 243,412 is floored to 240,000 and 30,984,099 raised to 31,000,000.
    breaks = readable_breaks([243412, 2e6, 3e6, 30984099], 2)
    assert (breaks[0], breaks[-1]) == (240000, 31000000)


def test_many_zeros_take_one_class():
    # Distinct values 0, 1, 2, 4, 8: two classes meet at their median 2, however many zeros there are.
    assert readable_breaks([0] * 1000 + [1, 2, 4, 8], 2) == [0, 2, 8]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], [0, 1]), ([np.nan, np.inf], [0, 1]), ([0, 0], [0, 1]), ([5, 5], [0, 5]), ([-3], [-3, 0])],
)
def test_nothing_to_classify(values, expected):
    assert readable_breaks(values) == expected


def test_a_tiny_smallest_value_is_told_as_zero():
    assert readable_breaks([8.2e-5, 4, 5, 6], 3)[:2] == [0, 4]
    assert readable_breaks([1, 4, 5, 6], 3)[:2] == [1, 4]


def test_zero_is_a_break_between_signs():
    # Quantiles -10, 2.5, 15, 27.5, 40: the one nearest to zero moves there.
    assert readable_breaks([-10, 0, 10, 20, 30, 40], 4) == [-10, 0, 15, 28, 40]


def test_close_values_get_more_digits():
    breaks = readable_breaks([2020.1, 2020.2, 2020.3, 2020.4], 3)
    assert len(breaks) >= 3


def test_missing_values_are_ignored():
    assert readable_breaks([1, np.nan, 2, 3, np.inf], 2) == [1, 2, 3]


@given(st.lists(NUMBERS | st.just(float("nan")), max_size=60), st.integers(1, 9))
def test_any_values(values, count):
    breaks = readable_breaks(values, count)
    assert 2 <= len(breaks) <= count + 1
    assert all(low < high for low, high in pairwise(breaks))
    finite = [value for value in values if np.isfinite(value)]
    if finite:
        assert breaks[0] <= min(finite)
        assert breaks[-1] >= max(finite)
