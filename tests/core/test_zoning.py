"""Carbon-balance indices and zones."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_spatializer.core import zoning
from carbon_spatializer.core.errors import InputError
from carbon_spatializer.core.zoning import indices, near_threshold, zone_probability, zone_table, zones

# Published counts of Suzhou's 97 townships: zone -> units, share of units in percent.
SUZHOU = {
    zoning.LOW_CARBON_ECONOMIC: (36, 37.11),
    zoning.CARBON_SOURCE_CONTROL: (29, 29.90),
    zoning.CARBON_SINK_FUNCTIONAL: (14, 14.43),
    zoning.HIGH_CARBON_OPTIMIZATION: (18, 18.56),
}


def city_of_97(seed=0):
    """Gross emissions, sinks and GDP of 97 units of which each has the zone wanted, and these zones.

    Emissions are random. Units that shall be high in an index get 1.2 of their share, and the low ones what is left.
    """
    random = np.random.default_rng(seed)
    wanted = random.permutation(np.repeat(list(SUZHOU), [units for units, _ in SUZHOU.values()]))
    gross = random.uniform(0.9, 1.1, 97)

    def amounts(high):
        low = (gross.sum() - 1.2 * gross[high].sum()) / gross[~high].sum()
        return gross * np.where(high, 1.2, low)

    gdp = amounts(np.isin(wanted, [zoning.LOW_CARBON_ECONOMIC, zoning.CARBON_SOURCE_CONTROL]))
    sink = amounts(np.isin(wanted, [zoning.LOW_CARBON_ECONOMIC, zoning.CARBON_SINK_FUNCTIONAL]))
    assert gdp.min() > 0
    return 24027.97e4 * gross / gross.sum(), 251.86e4 * sink / sink.sum(), 5e8 * gdp, wanted


def test_indices_by_hand():
    # C = 100 + 300 = 400, S = 30 + 10 = 40, G = 50 + 50 = 100. Unit 1 has 1/4 of C, 3/4 of S and 1/2 of G:
    # ccr 30/100, ecc 0.5/0.25 = 2, esc 0.75/0.25 = 3. Unit 2: 10/300, 0.5/0.75 = 2/3, 0.25/0.75 = 1/3.
    units = indices(np.array([100, 300]), np.array([30, 10]), np.array([50, 50]))
    assert units["ccr"].tolist() == pytest.approx([0.3, 1 / 30])
    assert units["ccr_pct"].tolist() == pytest.approx([30, 10 / 3])
    assert units["ecc"].tolist() == pytest.approx([2, 2 / 3])
    assert units["esc"].tolist() == pytest.approx([3, 1 / 3])


def test_suzhou_as_one_unit():
    # Published: 251.86 of 24,027.97 x 10^4 t gross is 1.05 %; over net emissions it would be 1.059 %.
    units = indices(np.array([24027.97]), np.array([251.86]), np.array([1.0]))
    assert units["ccr_pct"][0] == pytest.approx(1.048, abs=5e-4)
    assert (units["ecc"][0], units["esc"][0]) == (1, 1)


@pytest.mark.parametrize("seed", range(5))
def test_97_units_give_the_published_counts_and_shares(seed):
    gross, sink, gdp, wanted = city_of_97(seed)
    units = indices(gross, sink, gdp)
    units = units.assign(zone=zones(units["ecc"], units["esc"]), gross_t=gross, sink_t=sink, gdp=gdp)
    units["near_threshold"] = near_threshold(units["ecc"], units["esc"], 5)
    assert (units["zone"] == wanted).all()
    table = zone_table(units).set_index("zone")
    for zone, (count, share) in SUZHOU.items():
        assert table.loc[zone, "units"] == count
        assert round(table.loc[zone, "units_share_pct"], 2) == share
    assert table.loc[zoning.UNDEFINED, "units"] == 0
    assert (table["units_of"] == 97).all()
    assert round(100 * (units["ecc"] > 1).mean(), 2) == 67.01
    assert round(100 * (units["esc"] > 1).mean(), 2) == 51.55
    assert table["gross_t"].sum() == pytest.approx(24027.97e4, rel=1e-12)
    assert table["sink_t_share_pct"].sum() == pytest.approx(100)


AMOUNT = st.floats(1e-3, 1e9)


@given(st.lists(st.tuples(AMOUNT, AMOUNT | st.just(0.0), AMOUNT | st.just(0.0)), min_size=1, max_size=40))
def test_identities_on_any_city(rows):
    gross, sink, gdp = np.array(rows).T
    if sink.sum() == 0 or gdp.sum() == 0:
        return
    units = indices(gross, sink, gdp)
    weight = gross / gross.sum()
    assert units["esc"].to_numpy() == pytest.approx(units["ccr"].to_numpy() / (sink.sum() / gross.sum()), rel=1e-9)
    assert (weight * units["ecc"]).sum() == pytest.approx(1, rel=1e-9)
    assert (weight * units["esc"]).sum() == pytest.approx(1, rel=1e-9)
    found = zones(units["ecc"], units["esc"])
    assert set(found) <= set(zoning.ZONES)
    near = near_threshold(units["ecc"], units["esc"], 5)
    table = zone_table(units.assign(zone=found, near_threshold=near, gross_t=gross, sink_t=sink, gdp=gdp))
    assert table["units"].sum() == len(rows)
    assert table["gross_t"].sum() == pytest.approx(gross.sum(), rel=1e-12)
    assert ((found == zoning.UNDEFINED) == (sink == 0)).all()


@pytest.mark.parametrize(
    ("ecc", "esc", "high", "low"),
    [
        (1, 1, zoning.LOW_CARBON_ECONOMIC, zoning.HIGH_CARBON_OPTIMIZATION),
        (1, 0.5, zoning.CARBON_SOURCE_CONTROL, zoning.HIGH_CARBON_OPTIMIZATION),
        (0.5, 1, zoning.CARBON_SINK_FUNCTIONAL, zoning.HIGH_CARBON_OPTIMIZATION),
        (2, 1, zoning.LOW_CARBON_ECONOMIC, zoning.CARBON_SOURCE_CONTROL),
        (2, 2, zoning.LOW_CARBON_ECONOMIC, zoning.LOW_CARBON_ECONOMIC),
    ],
)
def test_equality_rule(ecc, esc, high, low):
    assert zones(np.array([ecc]), np.array([esc]), "high")[0] == high
    assert zones(np.array([ecc]), np.array([esc]), "low")[0] == low


def test_units_without_emissions_or_sink_are_undefined():
    gross, sink, gdp = np.array([0.0, 5, 5]), np.array([1.0, 0, 1]), np.array([1.0, 1, 1])
    units = indices(gross, sink, gdp)
    assert zones(units["ecc"], units["esc"]).tolist()[:2] == [zoning.UNDEFINED] * 2
    assert units["ecc"].isna().tolist() == [True, False, False]
    assert not near_threshold(units["ecc"], units["esc"], 5)[0]


def test_a_unit_without_gdp_is_low():
    units = indices(np.array([1.0, 1]), np.array([1.0, 1]), np.array([0.0, 1]))
    assert zones(units["ecc"], units["esc"])[0] == zoning.CARBON_SINK_FUNCTIONAL


def test_band_includes_its_limits():
    ecc = np.array([0.95, 1.05, 0.949, 1.051, 3, np.nan])
    esc = np.array([3, 3, 3, 3, 1.01, np.nan])
    assert near_threshold(ecc, esc, 5).tolist() == [True, True, False, False, True, False]


@pytest.mark.parametrize("zero", ["gross", "sink", "gdp"])
def test_zero_totals_are_refused(zero):
    amounts = {"gross": [1, 1], "sink": [1, 1], "gdp": [1, 1], zero: [0, 0]}
    with pytest.raises(InputError, match=f"{zero}_field: .* sum to zero"):
        indices(*map(np.array, amounts.values()))


def test_unknown_equality_rule():
    with pytest.raises(InputError, match="equality: 'even' is unknown"):
        zones(np.ones(1), np.ones(1), "even")


@pytest.mark.parametrize("band", [-1, 100, float("nan")])
def test_impossible_band(band):
    with pytest.raises(InputError, match=r"band_pct: .* is not between 0 and 100"):
        near_threshold(np.ones(1), np.ones(1), band)


def test_probability_without_uncertainty_is_one():
    gross, sink, gdp, _ = city_of_97()
    assert (zone_probability(gross, sink, gdp, (0, 0, 0), draws=10) == 1).all()


def test_probability_on_a_threshold_is_one_half():
    # Of 2,000 equal units those with the GDP of the mean sit on the threshold of ECC; ESC is far above or below it.
    # An error of the GDP alone moves a unit up or down: log-normal with mean 1 and 10 % has its median just below 1,
    # P(factor > 1) = P(z > s/2) with s = sqrt(ln(1 + (0.1/1.96)^2)) = 0.0510: 0.4898. Error of 4,000 draws: 0.008.
    n = 2000
    gross, sink, gdp = np.ones(n), np.tile([0.5, 1.5], n // 2), np.ones(n)
    found = zone_probability(gross, sink, gdp, (0, 0, 10), draws=4000)
    assert found.mean() == pytest.approx(0.4898, abs=0.004)
    assert np.abs(found - 0.4898).max() < 0.05


def test_probability_falls_with_the_uncertainty_and_repeats_with_the_seed():
    gross, sink, gdp, _ = city_of_97()
    sure, unsure = (zone_probability(gross, sink, gdp, (u, u, u), seed=3) for u in (5, 50))
    assert sure.mean() > unsure.mean()
    assert unsure.min() > 0.1
    assert (zone_probability(gross, sink, gdp, (50, 50, 50), seed=3) == unsure).all()
    assert (zone_probability(gross, sink, gdp, (50, 50, 50), seed=4) != unsure).any()


def test_probability_of_an_undefined_zone_is_missing():
    found = zone_probability(np.array([0.0, 1]), np.array([1.0, 1]), np.array([1.0, 1]), (10, 10, 10), draws=10)
    assert np.isnan(found).tolist() == [True, False]


@pytest.mark.parametrize(
    ("uncertainty", "draws", "message"),
    [((-5, 0, 0), 10, "gross_uncertainty_pct: -5 "), ((1, 0, float("inf")), 10, "gdp_unc"), ((1, 1, 1), 0, "draws: 0")],
)
def test_impossible_monte_carlo(uncertainty, draws, message):
    with pytest.raises(InputError, match=message):
        zone_probability(np.ones(2), np.ones(2), np.ones(2), uncertainty, draws=draws)


def test_table_lists_zones_without_units():
    units = pd.DataFrame(
        {"zone": [zoning.UNDEFINED], "near_threshold": [False], "gross_t": [1.0], "sink_t": [2.0], "gdp": [3.0]}
    )
    assert zone_table(units)["units"].tolist() == [0, 0, 0, 0, 1]
