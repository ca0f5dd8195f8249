"""Allocation on arrays: hand-worked cases, what a rules table may not say, and invariants on random cities."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_spatializer.core import allocation
from carbon_spatializer.core.allocation import Parcels, Rule
from carbon_spatializer.core.errors import InputError

SUZHOU = Path(allocation.__file__).parents[1] / "data" / "allocation_rules_suzhou.csv"


def rule(land_types=(), proxy="field", kind="emission", sector="s", subsector="", share=None, field="w", categories=()):
    return Rule(sector, subsector, tuple(land_types), kind, share, proxy, tuple(categories), field, ())


def parcels(area, land_type=None, region=None):
    n = len(area)
    return Parcels(
        np.array(area, dtype=float), pd.Categorical(land_type or [""] * n), pd.Categorical(region or [""] * n)
    )


def totals(*rows):
    """Rows of (sector, subsector, land_type, region, amount)."""
    return pd.DataFrame(rows, columns=["sector", "subsector", "land_type", "region", "amount_t"])


def weigher(parcels, weights):
    """``weights``: proxy -> array; a proxy that is not there has no layer, except area."""

    def weigh(rule, proxy, rows, region):
        if proxy == "area":
            return parcels.area_m2[rows]
        return None if proxy not in weights else np.asarray(weights[proxy], dtype=float)[rows]

    return weigh


def run(parcels, rows, rules, weights, cascade=("poi_count", "area")):
    checked = allocation.check_totals(totals(*rows), rules, parcels)
    return allocation.allocate(parcels, checked, rules, weigher(parcels, weights), cascade)


# Hand-worked cases ----------------------------------------------------------------------------------------------------


def test_weights_share_a_total_within_each_region():
    # North: 12 t by 1 : 3 = 3, 9. South: 10 t by 0 : 5 = 0, 10. The last parcel's region has no total.
    city = parcels([1] * 5, region=["N", "N", "S", "S", "W"])
    result = run(city, [("s", "", "", "N", 12), ("s", "", "", "S", 10)], [rule()], {"field": [1, 3, 0, 5, 7]})
    assert result.sectors["s"].tolist() == [3, 9, 0, 10, 0]
    assert result.gross_t.tolist() == [3, 9, 0, 10, 0]
    assert result.fallback_t.tolist() == [0] * 5
    assert list(result.rule) == ["s: field w"] * 4 + ["none"]
    assert result.ledger[["region", "land_type", "in_t", "allocated_t"]].values.tolist() == [
        ["N", "*", 12, 12],
        ["S", "*", 10, 10],
    ]


def test_a_total_without_region_spreads_over_the_whole_city():
    # 8 t by 1 : 3 over both regions, and 10 t more for the north alone.
    city = parcels([1, 1], region=["N", "S"])
    result = run(city, [("s", "", "", "", 8), ("s", "", "", "N", 10)], [rule()], {"field": [1, 3]})
    assert result.sectors["s"].tolist() == [12, 6]


def test_rules_of_one_subsector_form_one_pool():
    # Both land types weigh in one unit: 10 t by 1 : 1 : 3, so the first land type receives 4 t and the second 6 t.
    city = parcels([1, 1, 1, 1], land_type=["a", "a", "b", "c"])
    rules = [rule(["a"]), rule(["b"])]
    result = run(city, [("s", "", "", "", 10)], rules, {"field": [1, 1, 3, 9]})
    assert result.sectors["s"].tolist() == [2, 2, 6, 0]
    assert result.ledger[["land_type", "in_t", "allocated_t"]].values.tolist() == [["a", 4, 4], ["b", 6, 6]]


def test_a_share_splits_the_total_before_the_weights_do():
    # 10 t: 70 % to a by 1 : 1, 30 % to b by area 1 : 2.
    city = parcels([1, 1, 1, 2], land_type=["a", "a", "b", "b"])
    rules = [rule(["a"], share=0.7), rule(["b"], proxy="area", share=0.3)]
    result = run(city, [("s", "", "", "", 10)], rules, {"field": [4, 4, 1, 1]})
    assert result.sectors["s"] == pytest.approx([3.5, 3.5, 1, 2])
    # A total that names the land type belongs to it alone.
    result = run(city, [("s", "", "b", "", 9)], rules, {"field": [4, 4, 1, 1]})
    assert result.sectors["s"] == pytest.approx([0, 0, 3, 6])


def test_a_total_of_a_land_type_stays_on_it():
    city = parcels([1, 3, 1], land_type=["a", "a", "b"])
    result = run(city, [("s", "", "a", "", 8)], [rule(["a", "b"], proxy="area")], {})
    assert result.sectors["s"].tolist() == [2, 6, 0]


def test_sinks_are_magnitudes_apart_from_emissions():
    # Sink 6 t by area 1 : 2; the emission of 3 t goes to the first parcel.
    city = parcels([1, 2], land_type=["a", "b"])
    rules = [rule(["a"]), rule(proxy="area", kind="sink", sector="sink")]
    for sign in (-1, 1):
        result = run(city, [("s", "", "", "", 3), ("sink", "", "", "", sign * 6)], rules, {"field": [1, 1]})
        assert list(result.sectors) == ["s"]
        assert result.gross_t.tolist() == [3, 0]
        assert result.sink_t.tolist() == [2, 4]
        assert result.ledger.set_index("sector")["in_t"].to_dict() == {"s": 3, "sink": -6}


def test_zero_weights_fall_back_along_the_cascade_per_region():
    # N has weights. In S they are zero: points 1 : 1. In W the points are zero too: area 1 : 4.
    city = parcels([1, 1, 1, 1, 1, 4], region=list("NNSSWW"))
    weights = {"field": [1, 3, 0, 0, 0, 0], "poi_count": [9, 9, 5, 5, 0, 0]}
    rows = [("s", "", "", region, 10) for region in "NSW"]
    result = run(city, rows, [rule()], weights)
    assert result.sectors["s"].tolist() == [2.5, 7.5, 5, 5, 2, 8]
    assert result.fallback_t.tolist() == [0, 0, 5, 5, 2, 8]
    expected = ["s: field w"] * 2 + ["s: poi_count (fallback)"] * 2 + ["s: area (fallback)"] * 2
    assert list(result.rule) == expected
    assert result.ledger["fallback_t"].tolist() == [0, 10, 10]


def test_the_cascade_is_tried_in_the_given_order_and_ends_with_area():
    city = parcels([1, 4])
    weights = {"field": [0, 0], "poi_count": [1, 1], "raster": [1, 2]}
    allocate = [("s", "", "", "", 15)]
    assert run(city, allocate, [rule()], weights, ("poi_count", "raster")).gross_t.tolist() == [7.5, 7.5]
    assert run(city, allocate, [rule()], weights, ("raster", "poi_count")).gross_t.tolist() == [5, 10]
    assert run(city, allocate, [rule()], weights, ()).gross_t.tolist() == [3, 12]


def test_a_missing_layer_falls_back():
    city = parcels([1, 4])
    result = run(city, [("s", "", "", "", 15)], [rule(proxy="length")], {})
    assert result.gross_t.tolist() == [3, 12]
    assert result.fallback_t.tolist() == [3, 12]


def test_a_region_without_parcels_of_the_land_type_uses_all_its_parcels():
    # S has no parcel of type a: its 6 t go to all its parcels by area 1 : 2, as when a district has industry but no
    # industrial land.
    city = parcels([5, 1, 2], land_type=["a", "b", "c"], region=list("NSS"))
    result = run(city, [("s", "", "", "N", 1), ("s", "", "", "S", 6)], [rule(["a"])], {"field": [1, 1, 1]})
    assert result.gross_t.tolist() == [1, 2, 4]
    assert list(result.rule) == ["s: field w"] + ["s: area of the whole region (fallback)"] * 2
    assert result.ledger["land_type"].tolist() == ["a", "*"]


def test_a_region_without_any_area_leaves_its_total_unallocated():
    city = parcels([0.0])
    result = run(city, [("s", "", "", "", 6)], [rule()], {"field": [0]})
    assert result.gross_t.tolist() == [0]
    assert result.ledger[["in_t", "allocated_t", "unallocated_t"]].values.tolist() == [[6, 0, 6]]


def test_rows_that_mean_the_same_are_summed():
    # A deduction in one scope is allowed as long as the sum is an emission.
    city = parcels([1, 1])
    result = run(city, [("s", "", "", "", 10), ("s", "", "", "", -4)], [rule()], {"field": [1, 2]})
    assert result.gross_t.tolist() == [2, 4]


def test_suzhou_rules_bring_table_3_to_its_land_types():
    """Table 3 of the paper (10^4 t), with the department sums where a row is misprinted."""
    rules = allocation.parse_rules(pd.read_csv(SUZHOU, dtype=str, keep_default_na=False))
    land_types = sorted({name for rule in rules for name in rule.land_types})
    city = parcels(np.arange(1, len(land_types) + 1), land_type=land_types)
    rows = [
        ("industry", "manufacturing", "", "", 12430.46),
        ("industry", "supply", "", "", 6904.31),
        ("buildings", "residential", "urban residential land", "", 767.06),
        ("buildings", "residential", "rural homestead", "", 537.13),
        ("buildings", "commercial and public", "commercial and business land", "", 1030.09),
        ("buildings", "commercial and public", "administration and public service land", "", 548.48),
        ("transport", "", "", "", 1421.44),
        ("agriculture", "plantation", "", "", 94.68),
        ("agriculture", "livestock", "", "", 6.02),
        ("waste", "industrial waste", "", "", 1.02),
        ("waste", "domestic waste", "", "", 287.28),
        ("sink", "land sink", "", "", -71.96),
        ("sink", "crop sink", "", "", -179.90),
    ]
    result = run(city, rows, rules, {"poi_count": np.ones(len(land_types))}, ("poi_count",))
    net = pd.Series(result.gross_t - result.sink_t, land_types)
    assert net["industrial land"] == pytest.approx(12430.46 + 1.02)
    assert net["municipal utilities"] == pytest.approx(6904.31 + 287.28)
    assert net["urban residential land"] == pytest.approx(767.06)
    assert net["rural homestead"] == pytest.approx(537.13)
    assert net["commercial and business land"] == pytest.approx(1030.09)
    assert net["administration and public service land"] == pytest.approx(548.48)
    assert net[["road land", "railway land", "airport land", "water transport land"]].sum() == pytest.approx(1421.44)
    assert net[["cultivated land", "garden land"]].sum() == pytest.approx(94.68 - 179.90)
    assert net["agricultural facilities land"] == pytest.approx(6.02)
    assert net[["forest land", "grassland", "water", "unused land"]].sum() == pytest.approx(-71.96)
    assert net["mining land"] == 0
    assert result.gross_t.sum() == pytest.approx(24027.97)
    assert {name: values.sum() for name, values in result.sectors.items()} == pytest.approx(
        {"industry": 19334.77, "buildings": 2882.76, "transport": 1421.44, "agriculture": 100.70, "waste": 288.30}
    )


# What is refused ------------------------------------------------------------------------------------------------------

ROW = {"sector": "s", "subsector": "", "land_type": "a", "kind": "emission", "share": "", "proxy": "area"}


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{**ROW, "proxy": "nights"}], "row 1 has the proxy 'nights'"),
        ([{**ROW, "kind": "source"}], "row 1 has the kind 'source'"),
        ([{**ROW, "land_type": ""}], "row 1 has no land_type"),
        ([{**ROW, "sector": ""}], "row 1 has no sector"),
        ([{**ROW, "sector": "gross"}], "row 1 has the sector 'gross'"),
        ([{**ROW, "proxy": "field"}], "row 1 has no field"),
        ([{**ROW, "share": "half"}], "row 1 has the share 'half'"),
        ([{**ROW, "share": "1.5"}], "row 1 has the share '1.5'"),
        ([{**ROW, "share": "0.5"}, {**ROW, "share": "0.4", "land_type": "b"}], "the shares of s sum to 0.9"),
        ([{**ROW, "share": "1"}, {**ROW, "land_type": "b"}], "1 of the 2 rows of s have a share"),
        ([ROW, ROW], "row 2 repeats an earlier row"),
        ([ROW, {**ROW, "kind": "sink", "land_type": "b"}], "sector 's' is both emission and sink"),
        ([], "the rules table has no column 'sector'"),
    ],
)
def test_rules_that_are_refused(rows, sentence):
    with pytest.raises(InputError, match="Parameter rules: ") as refusal:
        allocation.parse_rules(pd.DataFrame(rows))
    assert sentence in str(refusal.value)


MIXED = [rule(["a"], subsector="x"), rule(["b"], proxy="area", subsector="y"), rule(kind="sink", sector="sink")]
SPLIT = [
    rule(["a"], subsector="x", share=1.0),
    rule(["b"], subsector="y", share=0.0),
    rule(["c"], subsector="y", share=1.0),
]


@pytest.mark.parametrize(
    ("rows", "rules", "sentence"),
    [
        ([("steel", "", "", "", 1)], MIXED, "Parameter totals: the sector 'steel' is unknown"),
        ([("", "", "", "", 1)], MIXED, "Parameter totals: a row has no sector"),
        ([("s", "z", "", "", 1)], MIXED, "Parameter totals: the subsector of s 'z' is unknown"),
        ([("s", "x", "b", "", 1)], MIXED, "Parameter totals: the land type of s/x 'b' is unknown"),
        ([("s", "x", "", "Q", 1), ("s", "x", "", "R", 1)], MIXED, "Parameter totals: the region 'Q', 'R' is unknown"),
        ([("s", "x", "", "N", -1)], MIXED, "Parameter totals: the emission of s/x in N is -1 t"),
        ([("sink", "", "", "", -1), ("sink", "", "", "", 2)], MIXED, "both positive and negative amounts"),
        ([("s", "", "", "", 1)], MIXED, "Parameter rules: the total of s would be split by field w and area"),
        ([("s", "", "", "", 1)], SPLIT, "Parameter totals: the total of s names no subsector"),
        ([("s", "y", "b", "", 1)], SPLIT, "Parameter rules: the rules of s/y for the land type 'b' have the share 0"),
    ],
)
def test_totals_that_are_refused(rows, rules, sentence):
    city = parcels([1, 1], land_type=["a", "b"], region=["N", "S"])
    with pytest.raises(InputError) as refusal:
        run(city, rows, rules, {"field": [1, 1]})
    assert sentence in str(refusal.value)


def test_a_cascade_of_unknown_proxies_is_refused():
    with pytest.raises(InputError, match="Parameter fallback: the proxy 'nights' is unknown"):
        run(parcels([1]), [("s", "", "", "", 1)], [rule()], {"field": [1]}, ("nights",))


# Random cities --------------------------------------------------------------------------------------------------------

LAND_TYPES = ["a", "b", "c"]
REGIONS = ["N", "S", "W"]
RULES = [
    rule(["a"], proxy="poi_count", sector="one", subsector="x"),
    rule(["b"], proxy="poi_count", sector="one", subsector="x"),
    rule(["c"], proxy="raster", sector="one", subsector="y"),
    rule(["a"], proxy="field", sector="two", share=0.25),
    rule(["b", "c"], proxy="area", sector="two", share=0.75),
    rule(proxy="length", sector="three"),
    rule(["c"], proxy="area", kind="sink", sector="sink"),
]
KEYS = [("one", "x"), ("one", "y"), ("two", ""), ("three", ""), ("sink", "")]
SIZES = st.sampled_from([0.0, 0.0, 1e-3, 1.0, 7.0, 1e6])


@st.composite
def cities(draw):
    """A city of up to 12 parcels, weights with many zeros and missing layers, and totals of any size."""
    n = draw(st.integers(1, 12))

    def column(values):
        return draw(st.lists(values, min_size=n, max_size=n))

    areas = column(st.sampled_from([0.5, 1.0, 3.0, 1e4]))
    city = parcels(areas, column(st.sampled_from([*LAND_TYPES, ""])), column(st.sampled_from(REGIONS)))
    weights = {"field": np.array(column(SIZES))}
    for proxy in ("poi_count", "raster", "length"):
        if draw(st.booleans()):
            weights[proxy] = np.array(column(SIZES))
    rows = []
    for sector, subsector in KEYS:
        for region in draw(st.sets(st.sampled_from([*city.region.categories, ""]))):
            amount = draw(st.sampled_from([0.0, 1e-6, 1.0, 12345.678, 1e9]))
            rows.append((sector, subsector, "", region, -amount if sector == "sink" else amount))
    cascade = draw(st.lists(st.sampled_from(allocation.FALLBACKS), max_size=4))
    return city, rows, weights, tuple(cascade)


def outputs(result):
    return np.column_stack([*(result.sectors[name] for name in sorted(result.sectors)), result.sink_t])


@settings(max_examples=60, deadline=None)
@given(cities())
def test_no_mass_is_lost(city_rows):
    city, rows, weights, cascade = city_rows
    result = run(city, rows, RULES, weights, cascade)
    given_rows = totals(*rows)
    regions = np.array(city.region)
    for sector in given_rows["sector"].unique():
        values = result.sink_t if sector == "sink" else result.sectors[sector]
        assert (values >= 0).all()
        own = given_rows[given_rows["sector"] == sector]
        assert values.sum() == pytest.approx(own["amount_t"].abs().sum(), rel=1e-9)
        if (own["region"] != "").all():
            for region in city.region.categories:
                expected = own.loc[own["region"] == region, "amount_t"].abs().sum()
                assert values[regions == region].sum() == pytest.approx(expected, rel=1e-9)
    assert (result.fallback_t <= (result.gross_t + result.sink_t) * (1 + 1e-9)).all()
    assert result.ledger["fallback_t"].abs().sum() == pytest.approx(result.fallback_t.sum(), rel=1e-9)
    assert result.ledger["in_t"].sum() == pytest.approx(given_rows["amount_t"].sum(), rel=1e-9, abs=1e-6)
    groups = pd.Series(list(result.rule)).groupby([np.array(city.land_type), regions]).nunique()
    assert (groups == 1).all()


@settings(max_examples=30, deadline=None)
@given(cities(), st.randoms(use_true_random=False))
def test_the_order_of_parcels_rules_and_totals_does_not_matter(city_rows, random):
    city, rows, weights, cascade = city_rows
    first = run(city, rows, RULES, weights, cascade)
    order = list(range(len(city.area_m2)))
    random.shuffle(order)
    moved = Parcels(city.area_m2[order], city.land_type[order], city.region[order])
    moved_weights = {proxy: values[order] for proxy, values in weights.items()}
    rules, mixed = list(RULES), list(rows)
    random.shuffle(rules)
    random.shuffle(mixed)
    second = run(moved, mixed, rules, moved_weights, cascade)
    np.testing.assert_allclose(outputs(second), outputs(first)[order], rtol=1e-9)
    assert list(second.rule) == [first.rule[place] for place in order]
    pd.testing.assert_frame_equal(first.ledger, second.ledger, rtol=1e-9, check_exact=False, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(cities(), st.data())
def test_the_parts_of_a_split_parcel_receive_what_the_whole_did(city_rows, data):
    city, rows, weights, cascade = city_rows
    place = data.draw(st.integers(0, len(city.area_m2) - 1))
    part = data.draw(st.sampled_from([0.5, 0.25]))
    again = [*range(len(city.area_m2)), place]

    def split(values):
        values = np.asarray(values, dtype=float)[again]
        values[place] *= part
        values[-1] *= 1 - part
        return values

    divided = Parcels(split(city.area_m2), city.land_type[again], city.region[again])
    whole = outputs(run(city, rows, RULES, weights, cascade))
    pieces = outputs(run(divided, rows, RULES, {proxy: split(values) for proxy, values in weights.items()}, cascade))
    pieces[place] += pieces[-1]
    np.testing.assert_allclose(pieces[:-1], whole, rtol=1e-9)
