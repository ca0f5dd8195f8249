"""Exact area-weighted split of polygons over cells and zones."""

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import box

from carbon_spatializer.core.aggregation import Split, split_over_cells, split_over_zones
from carbon_spatializer.core.errors import Cancelled, MassError
from carbon_spatializer.core.grid import SHAPES, cells

FLAT = shapely.Polygon([(1.2, 0.5), (1.4, 0.5), (1.2, 0.5)])


def over_zones(parcels, zones, values):
    """Totals of one field by zone, what lies outside, and the overlaps."""
    split, overlaps = split_over_zones(np.array(parcels), np.array(zones), lambda fraction, text="": None)
    frame = pd.DataFrame({"gross_t": values})
    ledger = split.balance(frame)
    totals = split.totals(frame, len(zones))["gross_t"]
    assert totals.sum() + ledger["unallocated_t"].sum() == pytest.approx(sum(values), rel=1e-12)
    return list(totals), ledger["unallocated_t"].sum(), overlaps


def test_a_parcel_is_split_by_area():
    # 2 x 1 parcel at x 0.5..2.5: a quarter in cell 0, a half in cell 1, a quarter in cell 2; 8 t give 2, 4 and 2.
    column, _, squares = cells(np.array([[0.5, 0, 2.5, 0.999]]), 1)
    split = split_over_cells(np.array([box(0.5, 0, 2.5, 0.999)]), squares)
    totals = split.totals(pd.DataFrame({"gross_t": [8.0]}), len(squares))
    assert dict(zip(column, totals["gross_t"])) == pytest.approx({0: 2, 1: 4, 2: 2})


def test_a_triangle_is_split_by_its_true_area_not_its_box():
    # Right triangle with legs 2 over two unit-wide zones: areas 1.5 and 0.5 of 2, so 3 t and 1 t of 4 t.
    triangle = shapely.Polygon([(0, 0), (2, 0), (0, 2)])
    totals, outside, _ = over_zones([triangle], [box(0, 0, 1, 2), box(1, 0, 2, 2)], [4.0])
    assert totals == pytest.approx([3, 1])
    assert outside == 0


def test_a_hole_receives_nothing():
    # 3 x 3 parcel with a 1 x 1 hole in the middle zone: 3 + 2 + 3 of 8 area units, 8 t.
    ring = box(0, 0, 3, 3) - box(1, 1, 2, 2)
    totals, _, _ = over_zones([ring], [box(x, 0, x + 1, 3) for x in range(3)], [8.0])
    assert totals == pytest.approx([3, 2, 3])


def test_sinks_and_emissions_keep_their_signs():
    # Half of -6 t and half of +2 t lie in each zone.
    totals, _, _ = over_zones([box(0, 0, 2, 1)] * 2, [box(0, 0, 1, 1), box(1, 0, 2, 1)], [-6.0, 2.0])
    assert totals == pytest.approx([-2, -2])


def test_what_lies_outside_is_reported():
    # A quarter of 8 t lies in the zone, and 5 t lie wholly outside: 6 + 5 outside.
    totals, outside, _ = over_zones([box(0, 0, 4, 1), box(10, 0, 11, 1)], [box(0, 0, 1, 1)], [8.0, 5.0])
    assert totals == pytest.approx([2])
    assert outside == pytest.approx(11)


def test_overlapping_zones_do_not_count_twice():
    # Zones 0..2 and 1..3 overlap in 1..2. A 4 x 1 parcel of 8 t lies to 3/4 in their union: 6 t, shared 2 : 2; the
    # third zone, which overlaps nothing, keeps its own quarter.
    zones = [box(0, 0, 2, 1), box(1, 0, 3, 1), box(3, 0, 4, 1)]
    totals, outside, overlaps = over_zones([box(0, 0, 4, 1)], zones, [8.0])
    assert totals == pytest.approx([3, 3, 2])
    assert outside == 0
    assert overlaps.to_numpy().tolist() == [[0, 1, 1]]


def test_the_same_zone_twice_shares_its_parcels():
    totals, outside, _ = over_zones([box(0, 0, 1, 1), box(0, 0, 4, 1)], [box(0, 0, 2, 1)] * 2, [6.0, 8.0])
    # 6 t lie inside, 4 t of the 8 t too: 5 t for each of the twins, 4 t outside.
    assert totals == pytest.approx([5, 5])
    assert outside == pytest.approx(4)


def test_a_polygon_without_area_goes_to_its_centroid():
    totals, outside, _ = over_zones([FLAT, FLAT], [box(0, 0, 1, 1), box(1, 0, 2, 1)], [7.0, 1.0])
    assert totals == [0, 8]
    assert outside == 0
    column, _, squares = cells(shapely.bounds(np.array([FLAT])), 1)
    assert column[split_over_cells(np.array([FLAT]), squares).target].tolist() == [1]


def test_a_polygon_without_area_on_a_common_edge_counts_once():
    flat = shapely.Polygon([(1, 0.4), (1, 0.6), (1, 0.4)])
    totals, outside, _ = over_zones([flat], [box(0, 0, 1, 1), box(1, 0, 2, 1)], [7.0])
    assert totals == [7, 0]
    assert outside == 0


def test_a_bow_tie_is_repaired_before_it_is_split():
    # Two triangles of area 1 (x 0..1 and 1..2): half of the 4 t in each zone.
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    totals, outside, _ = over_zones([bow_tie], [box(0, 0, 1, 2), box(1, 0, 2, 2)], [4.0])
    assert totals == pytest.approx([2, 2])
    assert outside == 0


def test_inputs_are_not_changed():
    parcels, zones = np.array([box(0, 0, 4, 1)]), np.array([box(0, 0, 2, 1), box(1, 0, 3, 1)])
    before = shapely.to_wkb(parcels).tolist(), shapely.to_wkb(zones).tolist()
    split_over_zones(parcels, zones)
    assert (shapely.to_wkb(parcels).tolist(), shapely.to_wkb(zones).tolist()) == before


def test_cells_that_leave_a_parcel_uncovered_are_refused():
    with pytest.raises(MassError, match="1 polygons are not covered by the grid"):
        split_over_cells(np.array([box(0, 0, 1, 1), box(0, 0, 2, 1)]), np.array([box(0, 0, 1, 1)]))


@pytest.mark.parametrize("share", [0.5, 0.5 + 1e-8])
def test_a_balance_that_does_not_close_is_refused(share):
    split = Split(np.array([0, 0]), np.array([0, 1]), np.array([0.5, share]), np.zeros(1))
    values = pd.DataFrame({"gross_t": [1000.0]})
    if share == 0.5:
        assert split.balance(values)["relative_error"].tolist() == [0]
    else:
        with pytest.raises(MassError, match="1 of 1 balances do not close"):
            split.balance(values)


def test_positive_and_negative_values_are_balanced_apart():
    # Net is 0, but half of the +5 t and none of the -5 t lies outside.
    split = Split(np.array([0, 1]), np.array([0, 0]), np.array([0.5, 1.0]), np.array([0.5, 0.0]))
    ledger = split.balance(pd.DataFrame({"net_t": [5.0, -5.0]}))
    columns = ["in_t", "allocated_t", "unallocated_t", "relative_error"]
    assert ledger[columns].to_numpy().tolist() == [[5, 2.5, 2.5, 0], [-5, -5, 0, 0]]


def test_cancelling_stops_the_work():
    def stop(fraction, text=""):
        raise Cancelled

    with pytest.raises(Cancelled):
        split_over_zones(np.array([box(0, 0, 1, 1)]), np.array([box(0, 0, 1, 1)]), stop)


POLYGONS = st.lists(
    st.tuples(st.floats(-3000, 3000), st.floats(-3000, 3000), st.floats(1, 2500), st.floats(1, 2500), st.floats(0, 90)),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("shape", SHAPES)
@given(POLYGONS, st.integers(0, 2**32 - 1))
def test_any_polygons_keep_their_mass(shape, rectangles, seed):
    parcels = np.array(
        [shapely.affinity.rotate(box(x, y, x + width, y + height), angle) for x, y, width, height, angle in rectangles]
    )
    values = pd.DataFrame({"gross_t": np.random.default_rng(seed).lognormal(0, 5, len(parcels))})
    polygons = cells(shapely.bounds(parcels), 700, shape)[2]
    split = split_over_cells(parcels, polygons)
    totals = split.totals(values, len(polygons))
    assert totals["gross_t"].sum() == pytest.approx(values["gross_t"].sum(), rel=1e-12)
    assert np.bincount(split.source, split.share) == pytest.approx(np.ones(len(parcels)), rel=1e-12)
    # Each share is the share of the area, computed here one by one.
    for source, target, share in zip(split.source, split.target, split.share):
        assert share == pytest.approx((parcels[source] & polygons[target]).area / parcels[source].area, abs=1e-9)
