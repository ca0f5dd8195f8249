"""q values against worked examples, p values by hand, and how many permutations a correction needs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_spatializer.core import significance
from carbon_spatializer.core.errors import InputError

# The 15 p values of Benjamini and Hochberg (1995), section 4.1: their procedure finds 4 at 0.05, Bonferroni 3.
PUBLISHED = np.array(
    [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590,
     1.0000]
)  # fmt: skip


@pytest.mark.parametrize(("correction", "found"), [("BH", 4), ("Bonferroni", 3), ("none", 9)])
def test_example_of_benjamini_and_hochberg(correction, found):
    assert (significance.q_values(PUBLISHED, correction) <= 0.05).sum() == found


def test_q_values_by_hand():
    # m = 4, sorted 0.01 0.02 0.03 0.5: BH m p / rank = 0.04 0.04 0.04 0.5; Bonferroni 4 p;
    # BY = BH (1 + 1/2 + 1/3 + 1/4).
    p = np.array([0.03, 0.5, 0.01, 0.02])
    assert significance.q_values(p, "BH") == pytest.approx([0.04, 0.5, 0.04, 0.04])
    assert significance.q_values(p, "Bonferroni") == pytest.approx([0.12, 1, 0.04, 0.08])
    assert significance.q_values(p, "BY") == pytest.approx([0.04 * 25 / 12, 1, 0.04 * 25 / 12, 0.04 * 25 / 12])
    assert significance.q_values(p, "none").tolist() == p.tolist()


@pytest.mark.parametrize("correction", significance.CORRECTIONS)
def test_untested_units_do_not_count(correction):
    p = np.array([0.01, np.nan, 0.04, np.nan, 0.2])
    q = significance.q_values(p, correction)
    assert np.isnan(q[[1, 3]]).all()
    assert q[[0, 2, 4]] == pytest.approx(significance.q_values(p[[0, 2, 4]], correction))
    assert np.isnan(significance.q_values(np.full(3, np.nan), correction)).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_corrections_are_ordered(values):
    p = np.array(values)
    raw, bh, by, bonferroni = (significance.q_values(p, name) for name in ("none", "BH", "BY", "Bonferroni"))
    assert (raw <= bh + 1e-12).all()
    assert (bh <= by + 1e-12).all()
    assert (bh <= bonferroni + 1e-12).all()
    assert (by <= 1).all()


def test_permutation_p_by_hand():
    # 99 permutations; 2 at least as large, 97 at most as large: (2 + 1) / 100, doubled 0.06.
    greater, lesser = np.array([2, 99, 0, 50]), np.array([97, 0, 99, 50])
    assert significance.permutation_p(greater, lesser, 99) == pytest.approx([0.06, 0.02, 0.02, 1.0])
    assert significance.permutation_p(greater, lesser, 99, "directed") == pytest.approx([0.03, 0.01, 0.01, 0.51])


def test_all_ties_are_never_significant():
    # Every permutation equals the observed value, as of a constant field.
    assert significance.permutation_p(np.array([999]), np.array([999]), 999) == [1.0]


@pytest.mark.parametrize(
    ("tests", "correction", "alternative", "needed"),
    [
        (1, "none", "two-sided", 39),  # 2 / 40 = 0.05
        (1000, "none", "directed", 19),  # 1 / 20
        (1000, "BH", "two-sided", 39_999),  # 2 / 40000 = 0.05 / 1000
        (1000, "Bonferroni", "directed", 19_999),
        (2, "BY", "two-sided", 119),  # 2 (1 + 1/2) = 3; 2 * 3 / 0.05 - 1
    ],
)
def test_needed_permutations(tests, correction, alternative, needed):
    assert significance.needed_permutations(tests, 0.05, correction, alternative) == needed
    # With that many a single smallest p among ones is significant, with one fewer it is not.
    for permutations, expected in ((needed, True), (needed - 1, False)):
        p = np.ones(tests)
        p[0] = significance.smallest_p(permutations, alternative)
        assert (significance.q_values(p, correction)[0] <= 0.05 * (1 + 1e-9)) == expected
        q = significance.q_values(np.ones(tests), correction)
        assert significance.can_reach(q, permutations, 0.05, correction, alternative) == expected


def test_what_was_found_was_in_reach():
    # 999 permutations are too few for one of 1,000 tests, but 100 at the floor of 0.002 have q = 0.02.
    p = np.r_[np.full(100, 0.002), np.ones(900)]
    assert significance.can_reach(significance.q_values(p), 999, 0.05)


@pytest.mark.parametrize(
    "call",
    [
        lambda: significance.q_values(PUBLISHED, "Holm"),
        lambda: significance.permutation_p(np.zeros(1), np.zeros(1), 9, "left"),
        lambda: significance.needed_permutations(3, 0.05, "Holm"),
    ],
)
def test_unknown_names_are_refused(call):
    with pytest.raises(InputError, match="is unknown"):
        call()
