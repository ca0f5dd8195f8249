"""Spreading totals over emission land, on cells whose shares can be worked out by hand."""

from functools import reduce
from operator import add

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_spatializer.core import spreading
from carbon_spatializer.core.errors import InputError, MassError
from carbon_spatializer.core.landuse import PARTS
from carbon_spatializer.core.spreading import DISTRICT, EMISSION_LAND, EVEN, NOWHERE, WEIGHTED, Tile

INDUSTRY, CITY, AGRICULTURE, RURAL = range(4)


def land(**cells):
    """Shares (parts, 1, width) from a row of shares per part; other parts have none."""
    width = len(next(iter(cells.values())))
    shares = np.zeros((len(PARTS), 1, width))
    for part, row in cells.items():
        shares[PARTS.index(part), 0] = row
    return shares


def tile(district, area, density=None, **cells):
    row = np.array([district])
    return Tile.of(row, np.array([area], float), land(**cells), None if density is None else np.array([density], float))


def tonnes(**parts):
    none = np.zeros(len(next(iter(parts.values()))))
    return np.array([parts.get(part, none) for part in PARTS], float)


def spread(one, totals, region=None, weighted=(), fallbacks=spreading.FALLBACKS):
    region = np.arange(totals.shape[1]) if region is None else np.array(region)
    held = spreading.measure(one, len(region)).per_region(region, totals.shape[1])
    plan = spreading.plan(totals, held, weighted, fallbacks)
    cells = spreading.spread(one, plan, region)
    return cells[:, 0], plan, held


def test_even_by_area_of_the_land():
    # District 0: city land 0.5 x 100 and 1 x 200 m2 = 250 m2; 500 t -> 2 t/m2: 100 t and 400 t. The last cell is
    # outside.
    one = tile([0, 0, 0, -1], [100, 200, 300, 100], city=[0.5, 1, 0, 1])
    cells, plan, held = spread(one, tonnes(city=[500]))
    assert cells[CITY].tolist()[:3] == [100, 400, 0]
    assert np.isnan(cells[:, 3]).all()
    assert held.area[CITY].tolist() == [250]
    assert held.ground.tolist() == [600]
    assert held.outside[CITY] == 100
    assert plan.basis[CITY, 0] == EVEN


def test_each_district_keeps_its_own():
    one = tile([0, 1, 1], [10, 10, 10], industry=[1, 1, 0.5], rural=[0, 0, 0.5])
    cells, _, _ = spread(one, tonnes(industry=[7, 30], rural=[0, 4]))
    assert cells[INDUSTRY].tolist() == pytest.approx([7, 20, 10])
    assert cells[RURAL].tolist() == [0, 0, 4]


def test_districts_of_one_region_share_its_total():
    one = tile([0, 1, 1], [10, 10, 20], city=[1, 1, 1])
    cells, _, _ = spread(one, tonnes(city=[80]), region=[0, 0])
    assert cells[CITY].tolist() == [20, 20, 40]


def test_weights_times_area():
    # Weight per m2 x land: 1 x 10, 3 x 5 and none: 10 + 15 = 25; 50 t -> 20, 30, 0.
    one = tile([0, 0, 0], [10, 10, 10], density=[1, 3, np.nan], city=[1, 0.5, 1])
    cells, plan, _ = spread(one, tonnes(city=[50]), weighted=["city"])
    assert cells[CITY].tolist() == pytest.approx([20, 30, 0])
    assert plan.basis[CITY, 0] == WEIGHTED


def test_only_chosen_parts_are_weighted():
    one = tile([0, 0], [10, 10], density=[1, 3], city=[0.5, 0.5], industry=[0.5, 0.5])
    cells, _, _ = spread(one, tonnes(city=[4], industry=[4]), weighted=["city"])
    assert cells[CITY].tolist() == pytest.approx([1, 3])
    assert cells[INDUSTRY].tolist() == pytest.approx([2, 2])


@pytest.mark.parametrize("density", [[0, 0], [np.nan, np.nan], [-1, -2]])
def test_no_weight_at_all_is_even(density):
    one = tile([0, 0], [10, 30], density=density, city=[1, 1])
    cells, plan, _ = spread(one, tonnes(city=[8]), weighted=["city"])
    assert cells[CITY].tolist() == [2, 6]
    assert plan.basis[CITY, 0] == EVEN


def test_without_land_the_other_parts_land_takes_it():
    # Gulou's industry has no land: its 9 t go to the city's 10 and the rural part's 20 m2.
    one = tile([0, 0, 0], [10, 20, 30], city=[1, 0, 0], rural=[0, 1, 0])
    cells, plan, _ = spread(one, tonnes(industry=[9], city=[5]))
    assert cells[INDUSTRY].tolist() == pytest.approx([3, 6, 0])
    assert cells[CITY].tolist() == [5, 0, 0]
    assert plan.basis[:2, 0].tolist() == [EMISSION_LAND, EVEN]


def test_without_any_land_the_district_takes_it():
    one = tile([0, 0, -1], [10, 20, 30], city=[0, 0, 1])
    cells, plan, _ = spread(one, tonnes(city=[9]))
    assert cells[CITY].tolist()[:2] == pytest.approx([3, 6])
    assert np.isnan(cells[CITY, 2])
    assert plan.basis[CITY, 0] == DISTRICT


def test_fallbacks_in_the_order_that_is_asked_for():
    one = tile([0, 0], [10, 20], city=[1, 0])
    cells, plan, _ = spread(one, tonnes(rural=[9]), fallbacks=[DISTRICT, EMISSION_LAND])
    assert cells[RURAL].tolist() == pytest.approx([3, 6])
    assert plan.basis[RURAL, 0] == DISTRICT


def test_without_fallback_tonnes_are_left_over():
    one = tile([0, 0], [10, 20], city=[1, 0])
    cells, plan, held = spread(one, tonnes(rural=[9], city=[1]), fallbacks=[])
    assert cells[RURAL].tolist() == [0, 0]
    assert plan.basis[RURAL, 0] == NOWHERE
    closed = spreading.balance(["Gulou"], tonnes(rural=[9], city=[1]), cells.sum(axis=1)[:, None], held, plan)
    assert closed["unallocated_t"].tolist() == [0, 9]
    assert closed["part"].tolist() == ["city", "rural"]


def test_the_ledger_refuses_what_was_lost():
    one = tile([0, 0], [10, 20], city=[1, 0])
    cells, plan, held = spread(one, tonnes(city=[9]))
    allocated = cells.sum(axis=1)[:, None]
    assert spreading.balance(["Gulou"], tonnes(city=[9]), allocated, held, plan)["relative_error"].tolist() == [0]
    with pytest.raises(MassError, match="1 of 1 balances do not close"):
        spreading.balance(["Gulou"], tonnes(city=[9]), allocated * (1 - 1e-8), held, plan)


def test_region_totals_divided_by_population():
    # Region 0 has districts of 1 and 3 million, region 1 has one district.
    shared = spreading.share_out(tonnes(city=[8, 5]), np.array([1.0, 3, 2]), np.array([0, 0, 1]))
    assert shared[CITY].tolist() == [2, 6, 5]


def test_sectors_of_the_totals():
    rows = pd.DataFrame(
        {
            "region": ["Pukou", "Gulou", "Pukou", "Pukou", "Gulou"],
            "sector": ["industry", "Urban", "industry", "rural living", "sink"],
            "amount": [1.0, 2, 3, 4, 0],
        }
    )
    parts = {"industry": "industry", "urban": "city", "rural living": "rural"}
    table = spreading.tonnes_by_part(rows, parts)
    assert table.index.tolist() == ["Pukou", "Gulou"]
    assert table.columns.tolist() == list(PARTS)
    assert table.to_numpy().tolist() == [[4, 0, 0, 4], [0, 2, 0, 0]]
    with pytest.raises(InputError, match="sector 'sink' belongs to no part"):
        spreading.tonnes_by_part(rows.assign(amount=1.0), parts)


@st.composite
def cities(draw):
    """Random cities: districts, areas, shares that add up to one at most and weights; regions; totals."""
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    districts = draw(st.integers(1, 4))
    regions = draw(st.integers(1, districts))
    shares = rng.random((len(PARTS), height, width)) * (rng.random((len(PARTS), height, width)) < 0.4)
    shares /= np.maximum(shares.sum(axis=0), 1)
    district = rng.integers(-1, districts, (height, width))
    district.ravel()[:1] = 0
    density = np.where(rng.random((height, width)) < 0.7, rng.lognormal(0, 3, (height, width)), np.nan)
    full = district, rng.uniform(1, 1000, (height, width)), shares, density
    region = np.concatenate([np.arange(regions), rng.integers(0, regions, districts - regions)])
    ground = np.bincount(region[district[district >= 0]], minlength=regions)
    totals = rng.lognormal(5, 4, (len(PARTS), regions)) * (rng.random((len(PARTS), regions)) < 0.8) * (ground > 0)
    return full, region, totals


@settings(max_examples=200)
@given(cities(), st.booleans())
def test_mass_is_kept_in_any_city(city, weighted):
    (district, area, shares, density), region, totals = city
    one = Tile.of(district, area, shares, density)
    held = spreading.measure(one, len(region)).per_region(region, totals.shape[1])
    plan = spreading.plan(totals, held, PARTS if weighted else ())
    cells = spreading.spread(one, plan, region)
    inside = district >= 0
    assert np.isnan(cells[:, ~inside]).all()
    assert (cells[:, inside] >= 0).all()
    home = np.append(region, -1)[district]
    for number in range(totals.shape[1]):
        sums = cells[:, inside & (home == number)].sum(axis=1)
        assert sums == pytest.approx(totals[:, number], rel=1e-12)
        own = np.isin(plan.basis[:, number], [EVEN, WEIGHTED])
        for part in np.flatnonzero(own):
            assert not cells[part][(home == number) & (shares[part] == 0)].any()


@settings(max_examples=50)
@given(cities())
def test_windows_and_order_do_not_matter(city):
    (district, area, shares, density), region, totals = city
    one = Tile.of(district, area, shares, density)
    rows = [
        Tile.of(district[row], area[row], shares[:, row], density[row])
        for row in (slice(number, number + 1) for number in range(len(district)))
    ]
    whole = spreading.measure(one, len(region))
    parts = reduce(add, (spreading.measure(row, len(region)) for row in rows[::-1]))
    assert parts.area == pytest.approx(whole.area, rel=1e-12)
    assert parts.weight == pytest.approx(whole.weight, rel=1e-12)
    plan = spreading.plan(totals, whole.per_region(region, totals.shape[1]))
    together = spreading.spread(one, plan, region)
    apart = np.concatenate([spreading.spread(row, plan, region) for row in rows], axis=1)
    assert np.array_equal(together, apart, equal_nan=True)
