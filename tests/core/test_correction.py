"""Correction to statistics (equation 3): factors, policies and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_spatializer.core.correction import factors
from carbon_spatializer.core.errors import InputError

NAN = np.nan


def rows(result, *columns):
    return list(zip(*(result[column] for column in columns)))


def test_regions_with_weights_are_scaled_to_their_totals():
    # 100 t over weights of 20: each weighs 5 t; 30 t over 60: each 0.5 t.
    result = factors(["a", "b"], [100, 30], [20, 60], [1, 1])
    assert rows(result, "scale", "per_m2", "in_t", "allocated_t") == [(5, 0, 100, 100), (0.5, 0, 30, 30)]
    assert result["rule"].unique().tolist() == ["proportional to weights"]
    assert result[["fallback_t", "unallocated_t"]].to_numpy().sum() == 0


def test_zero_weights_are_spread_evenly_by_default():
    result = factors(["a"], [100], [0], [400])
    assert rows(result, "scale", "per_m2", "allocated_t", "fallback_t") == [(0, 0.25, 100, 100)]
    left = factors(["a"], [100], [0], [400], zero_weights="leave")
    assert rows(left, "scale", "per_m2", "allocated_t", "unallocated_t") == [(0, 0, 0, 100)]


def test_a_total_of_zero_needs_no_weights():
    result = factors(["a", "b"], [0, 0], [0, 5], [0, 9], zero_weights="refuse")
    assert rows(result, "scale", "per_m2", "unallocated_t") == [(0, 0, 0), (0, 0, 0)]


@pytest.mark.parametrize(
    ("policy", "scale", "tonnes"),
    # The others get 130 t over weights of 80: 1.625 t each; the third weighs 8.
    [("empty", NAN, 0.0), ("mean", 1.625, 13.0), ("keep", 1.0, 8.0)],
)
def test_regions_without_a_total(policy, scale, tonnes):
    result = factors(["a", "b", "c"], [100, 30, NAN], [20, 60, 8], [1, 1, 1], without_total=policy)
    assert result["scale"][2] == pytest.approx(scale, nan_ok=True)
    assert result["in_t"][2] == result["allocated_t"][2] == result["fallback_t"][2] == tonnes
    assert result["in_t"][:2].tolist() == [100, 30]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"totals": [NAN, NAN]}, "total_field: no region has a total"),
        ({"totals": [5, -3]}, "total_field: region 'b' has the negative total -3"),
        ({"totals": [5, NAN], "without_total": "refuse"}, r"total_field: 1 regions have no total \(b\)"),
        ({"weights": [1, 0], "zero_weights": "refuse"}, r"regions: 1 regions have weights that are all zero \(b\)"),
        ({"weights": [1, 0], "areas": [1, 0]}, r"regions: 1 regions have no cell with data \(b\)\. Count border cells"),
        ({"weights": [0, 0], "totals": [5, NAN], "without_total": "mean"}, "without_total: there is no mean factor"),
        ({"without_total": "guess"}, "without_total: 'guess' is unknown. Use one of empty, mean, keep, refuse"),
        ({"zero_weights": "guess"}, "zero_weights: 'guess' is unknown. Use one of even, leave, refuse"),
    ],
)
def test_what_is_refused(arguments, message):
    values = {"names": ["a", "b"], "totals": [5, 6], "weights": [1, 1], "areas": [1, 1]} | arguments
    with pytest.raises(InputError, match=message):
        factors(**values)


amounts = st.one_of(st.just(0.0), st.floats(1e-6, 1e12))


@given(
    st.lists(st.tuples(st.one_of(st.just(NAN), amounts), amounts, st.floats(1, 1e9)), min_size=1, max_size=8),
    st.sampled_from(["empty", "mean", "keep"]),
    st.sampled_from(["even", "leave"]),
)
def test_every_total_is_kept(regions, without_total, zero_weights):
    totals, weights, areas = np.array(regions).T
    if np.isnan(totals).all() or (without_total == "mean" and not (weights[~np.isnan(totals)] > 0).any()):
        return
    result = factors(range(len(totals)), totals, weights, areas, without_total, zero_weights)
    known = ~np.isnan(totals)
    assert result["in_t"][known].tolist() == totals[known].tolist()
    assert (result["allocated_t"] + result["unallocated_t"]).to_numpy() == pytest.approx(result["in_t"].to_numpy())
    held = result["scale"].fillna(0) * weights + result["per_m2"].fillna(0) * areas
    assert held.to_numpy() == pytest.approx(result["allocated_t"].to_numpy(), rel=1e-12)
    assert (held >= 0).all()
