"""Accounting by hand-worked numbers, published tables and properties that hold for any city."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_spatializer.core import accounting as acc
from carbon_spatializer.core import units
from carbon_spatializer.core.errors import InputError

GWP = {"CH4": 27.0, "CH4 fossil": 29.8, "N2O": 273.0}

# Published: LC (kJ/kg or kJ/m3), CC (kg/GJ), COF and the EC that follows (kg CO2/kg or /m3).
FUELS = {
    "coal": (20908, 26.37, 0.94, 1.9003),
    "coke": (28435, 29.50, 0.93, 2.8604),
    "crude oil": (41816, 20.10, 0.98, 3.0202),
    "gasoline": (43070, 18.90, 0.98, 2.9251),
    "kerosene": (43070, 19.50, 0.98, 3.0179),
    "diesel": (42652, 20.20, 0.98, 3.0959),
    "fuel oil": (41816, 21.10, 0.98, 3.1705),
    "natural gas": (38931, 15.30, 0.99, 2.1622),
}

SCHEME = acc.prepare_scheme(
    pd.DataFrame(
        [
            ("Industry", "Works", "*", "mill land", "emission", "1", "I.3.1", "1.A.2", "", "1"),
            ("Industry", "Works", "electricity|heat", "mill land", "emission", "2", "I.3.2", "1.A.1", "use", "1"),
            ("Industry", "Works", "lime", "mill land", "emission", "1", "IV.1", "2.A", "", "1"),
            ("Industry", "Works", "marble", "mill land", "excluded", "1", "IV.1", "2.A", "", "1"),
            ("Industry", "Plant", "*", "plant land", "emission", "1", "I.4.4", "1.A.1", "fuel", "1"),
            ("Industry", "Old plant", "*", "plant land", "emission", "1", "I.4.4", "1.A.1", "fuel deducted", "1"),
            ("Homes", "*", "*", "town|village", "emission", "1", "I.1.1", "1.A.4", "", "2"),
            ("Homes", "*", "electricity", "town|village", "emission", "2", "I.1.2", "1.A.1", "use", "2"),
            ("Sink", "", "*", "wood", "sink", "1", "V.2", "3.B", "", "3"),
        ],
        columns=[
            *("sector", "subsector", "carrier", "land_type", "kind", "scope", "gpc", "ipcc", "power", "equation"),
        ],
    )
)


def factor_rows(*rows):
    return pd.DataFrame([dict(zip(("carrier", "factor", "unit", "uncertainty_pct"), row)) for row in rows])


FACTORS = acc.prepare_factors(
    factor_rows(
        ("coal", 2.0, "kg/kg", 4.0),
        ("coal", 0.1, "t/GJ", 4.0),
        ("electricity", 0.5, "t/MWh", 0.0),
        ("lime", 0.75, "t/t", 0.0),
        ("marble", 0.44, "t/t", 0.0),
        ("wood", 2.0, "t C/ha", 30.0),
    ),
    GWP,
    "factors",
    "built-in",
)


def activity(*rows):
    """Rows of sector, subsector, carrier, amount, unit and, optional, uncertainty, region, land type and year."""
    names = ("sector", "subsector", "carrier", "amount", "unit", "uncertainty_pct", "region", "land_type", "year")
    defaults = (0.0, "", "", "")
    return pd.DataFrame([(*row, *defaults[len(row) - 5 :]) for row in rows], columns=names)


def account(*rows, factors=FACTORS, shared_errors=False):
    return acc.account_lines(activity(*rows), SCHEME, factors, shared_errors)


class TestFactors:
    @pytest.mark.parametrize("fuel", FUELS)
    def test_eight_fuels_as_published(self, fuel):
        *parameters, published = FUELS[fuel]
        assert acc.fuel_factor(*parameters) == pytest.approx(published, abs=5e-5)

    def test_fuel_by_energy_is_the_same_fuel(self):
        """1 kg of coal holds 20908 kJ: its CO2 must not depend on how the amount is given."""
        fuels = pd.DataFrame(
            [("coal", "kg", 20908, 26.37, 0.94, 3.0, 4.0, "")],
            columns=[
                *("carrier", "unit", "lc_kj_per_unit", "cc_kg_per_gj", "cof"),
                *("lc_uncertainty_pct", "cc_uncertainty_pct", "source"),
            ],
        )
        by_mass, by_energy = acc.fuel_factors(fuels).itertuples()
        assert by_mass.factor == pytest.approx(by_energy.factor * 20908e-9 * 1000)  # kg/kg = t/TJ x TJ/kg x kg/t
        assert (by_mass.uncertainty_pct, by_energy.uncertainty_pct) == (5.0, 4.0)  # sqrt(3^2 + 4^2) and CC alone

    def test_crop_by_hand(self):
        """0.45 x (1 - 0.12) / 0.40 = 0.99 t C per t of yield; x 44/12 = 3.63 t CO2."""
        assert acc.crop_factor(0.45, 0.12, 0.40) == pytest.approx(3.63)

    @pytest.mark.parametrize(
        ("unit", "gas", "per_unit", "activity_unit"),
        [
            ("kg/m3", "", 0.001, "m3"),
            ("t CO2/MWh", "", 1.0, "MWh"),
            ("kg CO2e / t", "", 0.001, "t"),
            ("kg CH4/head", "", 0.027, "head"),
            ("kg CH4/head/yr", "", 0.027, "head"),
            ("kg per head per year", "CH4", 0.027, "head"),
            ("kg/head", "ch4 fossil", 0.0298, "head"),
            ("kg CH4/head", "CH4 fossil", 0.0298, "head"),
            ("kg N2O/ha", "N2O", 0.273, "ha"),
            ("t C/ha", "", 44 / 12, "ha"),
            ("10^4 t/10^8 m3", "", 1e4, "10^8 m3"),
        ],
    )
    def test_units_and_gases(self, unit, gas, per_unit, activity_unit):
        row = acc.prepare_factors(factor_rows(("x", 1.0, unit)).assign(gas=gas), GWP, "factors", "own").iloc[0]
        assert row["factor_t_per_unit"] == pytest.approx(per_unit)
        assert row["activity_unit"] == activity_unit

    @pytest.mark.parametrize(
        ("unit", "gas", "message"),
        [
            ("kg", "", "the factor unit 'kg' is not a mass per activity unit. Write it like kg/m3"),
            ("m3/t", "", "unit 'm3' measures volume, but 't' measures mass"),
            ("kg/parsec", "", "unit 'parsec' is unknown"),
            ("kg/t", "SF6", "the gas 'SF6' is unknown. Use one of CO2e, CO2, CH4"),
            ("kg CH4/t", "N2O", "row 1 has the gas 'N2O', but its unit 'kg CH4/t' says CH4"),
        ],
    )
    def test_bad_units_and_gases(self, unit, gas, message):
        with pytest.raises(InputError) as error:
            acc.prepare_factors(factor_rows(("x", 1.0, unit)).assign(gas=gas), GWP, "factors", "own")
        assert message in str(error.value)

    def test_second_factor_for_the_same(self):
        rows = factor_rows(("Coal", 1.0, "t/t", 0.0), ("coal ", 2.0, "kg/kg", 0.0))
        with pytest.raises(InputError, match="row 2 gives the carrier 'coal' a second factor"):
            acc.prepare_factors(rows, GWP, "factors", "own")


class TestScheme:
    def test_unknown_kind(self):
        with pytest.raises(InputError, match=r"kind 'source' is unknown\. Use one of emission, sink, excluded"):
            acc.prepare_scheme(pd.DataFrame({name: ["source"] for name in ("kind", "power", *acc.KEYS)}))

    def test_two_rows_for_the_same(self):
        rows = pd.DataFrame(
            {"sector": "a", "subsector": ["b|c", "C"], "carrier": "*", "kind": "emission", "power": "", "land_type": ""}
        )
        with pytest.raises(InputError, match=r"two rows are for a / c / \*"):
            acc.prepare_scheme(rows)


class TestLines:
    def test_by_hand(self):
        """2 x 10^4 t of coal x 2 kg/kg = 40,000 t; 3-4-5: sqrt(3^2 + 4^2) = 5 %."""
        line = account(("industry", " WORKS", "Coal", 2.0, "10^4 t", 3.0)).iloc[0]
        assert line["t_co2e"] == pytest.approx(40_000)
        assert line["uncertainty_pct"] == pytest.approx(5.0)
        names = ["sector", "subsector", "land_type", "scope", "gpc", "ipcc", "kind", "status", "line"]
        assert list(line[names]) == ["Industry", "Works", "mill land", "1", "I.3.1", "1.A.2", "emission", "counted", 1]

    def test_factor_is_chosen_by_what_the_unit_measures(self):
        """100 GJ x 0.1 t/GJ = 10 t; 100 t x 2 t/t = 200 t."""
        lines = account(("industry", "works", "coal", 100.0, "GJ"), ("industry", "works", "coal", 100.0, "t"))
        assert list(lines["t_co2e"]) == pytest.approx([10.0, 200.0])

    def test_carrier_decides_scope_and_category(self):
        lines = account(
            ("industry", "works", "electricity", 10.0, "MWh"),
            ("industry", "works", "lime", 10.0, "t"),
            ("industry", "works", "marble", 10.0, "t"),
        )
        assert list(lines["gpc"]) == ["I.3.2", "IV.1", "IV.1"]
        assert list(lines["scope"]) == ["2", "1", "1"]
        assert list(lines["status"]) == ["counted", "counted", "excluded"]

    def test_land_type(self):
        lines = account(
            ("homes", "any", "coal", 1.0, "t"),
            ("homes", "any", "coal", 1.0, "t", 0.0, "", "VILLAGE"),
            ("industry", "works", "coal", 1.0, "t"),
        )
        assert list(lines["land_type"]) == ["", "village", "mill land"]
        with pytest.raises(
            InputError, match=r"row 1: land type 'sea' does not belong to Homes, any\. Use one of town,"
        ):
            account(("homes", "any", "coal", 1.0, "t", 0.0, "", "sea"))

    @pytest.mark.parametrize(
        ("own", "expected"),
        [
            ([("", "", 3.0)], 3.0),  # own before built-in (2.0)
            ([("", "", 3.0), ("homes", "", 5.0)], 5.0),  # the sector's before the general
            ([("", "flats", 4.0), ("homes", "", 5.0)], 5.0),  # the sector's before another sector's subsector
            ([("homes", "flats", 6.0), ("homes", "", 5.0)], 6.0),
            ([("industry", "", 9.0)], 2.0),  # none of ours
        ],
    )
    def test_most_specific_factor_wins(self, own, expected):
        rows = pd.DataFrame(own, columns=["sector", "subsector", "factor"]).assign(carrier="coal", unit="t/t")
        factors = pd.concat([acc.prepare_factors(rows, GWP, "factors", "own"), FACTORS], ignore_index=True)
        assert account(("homes", "flats", "coal", 1.0, "t"), factors=factors)["t_co2e"].item() == expected

    def test_own_factor_shadows_every_built_in_one_of_its_carrier(self):
        """An own factor per tonne must not leave amounts in GJ to the built-in factor unseen."""
        own = acc.prepare_factors(factor_rows(("coal", 3.0, "t/t", 0.0)), GWP, "factors", "own")
        with pytest.raises(InputError, match="unit 'GJ' of carrier 'coal' measures energy, but its factor is in t/t"):
            account(("homes", "", "coal", 1.0, "GJ"), factors=pd.concat([own, FACTORS], ignore_index=True))

    def test_gases_of_one_carrier_become_lines(self):
        """1000 head x (50 kg CH4 x 27 + 2 kg N2O x 273) / 1000 = 1350 + 546 t."""
        cows = factor_rows(("cow", 50.0, "kg CH4/head", 0.0), ("cow", 2.0, "kg N2O/head", 0.0))
        cows["ipcc"] = ["3.A.1", "3.A.2"]
        lines = account(
            ("homes", "farm", "cow", 1000.0, "head"),
            ("homes", "farm", "coal", 1.0, "t"),
            factors=pd.concat([acc.prepare_factors(cows, GWP, "factors", "own"), FACTORS], ignore_index=True),
        )
        assert list(lines["t_co2e"]) == pytest.approx([1350.0, 546.0, 2.0])
        assert list(lines["ipcc"]) == ["3.A.1", "3.A.2", "1.A.4"]
        assert list(lines["line"]) == [1, 1, 2]

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (("farms", "", "coal", 1.0, "t"), "row 1: sector 'farms' is unknown. Use one of Industry, Homes, Sink"),
            (
                ("industry", "mine", "coal", 1.0, "t"),
                "row 1: subsector 'mine' of sector 'industry' is unknown. Use one",
            ),
            (("industry", "", "coal", 1.0, "t"), "row 1: subsector (blank) of sector 'industry' is unknown"),
            (("homes", "", "peat", 1.0, "t"), "row 1: carrier 'peat' of Homes, (blank) has no factor. Add a row"),
            (("homes", "", "peat", 1.0, "t"), "use one of coal, electricity, lime, marble, wood"),
            (("homes", "", "coal", 1.0, "cartload"), "row 1: unit 'cartload' is unknown. Use one of g, kg, t"),
            (
                ("homes", "", "coal", 1.0, "ha"),
                "row 1: unit 'ha' of carrier 'coal' measures area, but its factor is in ",
            ),
        ],
    )
    def test_refusals(self, row, message):
        with pytest.raises(InputError) as error:
            account(row)
        assert message in str(error.value)
        assert error.value.parameter == "activity"

    def test_electricity_has_no_default(self):
        rows = [("homes", "", "coal", 1.0, "t"), *[("homes", "", "Electricity", 1.0, "kWh")] * 6]
        without = FACTORS[FACTORS["carrier"] != "electricity"]
        with pytest.raises(InputError) as error:
            account(*rows, factors=without)
        assert error.value.parameter == "grid_factor_t_mwh"
        assert "6 lines use electricity (rows 2, 3, 4, 5, 6, ...)" in str(error.value)
        assert "t CO2 per MWh here, or a row for the carrier 'electricity' in the factor table" in str(error.value)


class TestDoubleCounting:
    ROWS = (
        ("homes", "", "electricity", 100.0, "MWh"),  # 50 t
        ("industry", "works", "electricity", 20.0, "MWh"),  # 10 t
        ("industry", "works", "coal", 30.0, "t"),  # 60 t, no power-plant fuel
    )

    def test_warned(self):
        """Plant fuel 40 x 2 = 80 t beside 60 t of use: up to 60 t are counted twice, nothing is taken out."""
        lines, found = acc.guard_double_counting(account(*self.ROWS, ("industry", "plant", "coal", 40.0, "t")))
        assert found[["fuel_t", "use_t", "deducted_t", "twice_t"]].to_numpy().tolist() == [[80.0, 60.0, 0.0, 60.0]]
        assert acc.summarise(lines, [])["gross_t"].item() == pytest.approx(200.0)

    def test_deducted(self):
        """80 t of plant fuel come out, the use stays: 50 + 10 + 60 = 120 t."""
        lines, found = acc.guard_double_counting(account(*self.ROWS, ("industry", "old plant", "coal", 40.0, "t")))
        assert found[["fuel_t", "use_t", "deducted_t", "twice_t"]].to_numpy().tolist() == [[80.0, 60.0, 80.0, 0.0]]
        assert acc.summarise(lines, [])["gross_t"].item() == pytest.approx(120.0)
        assert list(lines["status"]) == ["counted"] * 3 + ["deducted"]
        assert len(acc.totals(lines)) == 3

    @pytest.mark.parametrize("plant", ["plant", "old plant"])
    def test_fuel_without_use_is_no_double_counting(self, plant):
        rows = [("industry", plant, "coal", 40.0, "t"), ("industry", "works", "coal", 30.0, "t")]
        lines, found = acc.guard_double_counting(account(*rows))
        assert found.empty
        assert acc.summarise(lines, [])["gross_t"].item() == pytest.approx(140.0)

    def test_years_are_kept_apart(self):
        rows = [
            ("industry", "old plant", "coal", 40.0, "t", 0.0, "", "", "2019"),
            ("homes", "", "electricity", 100.0, "MWh", 0.0, "", "", "2020"),
        ]
        assert acc.guard_double_counting(account(*rows))[1].empty


class TestTotals:
    def test_uncertainty_by_hand(self):
        """100 t +-10 % and 200 t +-5 %: sqrt(10^2 + 10^2) = 14.14 t of 300 t = 4.714 %."""
        rows = [("homes", "", "electricity", 200.0, "MWh", 10.0), ("homes", "", "electricity", 400.0, "MWh", 5.0)]
        total = acc.totals(account(*rows)).iloc[0]
        assert total["gross_t"] == pytest.approx(300.0)
        assert total["uncertainty_pct"] == pytest.approx(100 * np.hypot(10, 10) / 300)

    def test_shared_error_by_hand(self):
        """Coal +-4 %: 30 t and 40 t. Independent: 0.04 x 50 t of 70 t = 2.857 %; one error for both: 4 %."""
        rows = [("homes", "", "coal", 15.0, "t"), ("homes", "", "coal", 20.0, "t")]
        independent = acc.summarise(account(*rows), []).iloc[0]
        shared = acc.summarise(account(*rows, shared_errors=True), []).iloc[0]
        assert (independent["uncertainty_pct"], shared["uncertainty_pct"]) == pytest.approx((20 / 7, 4.0))
        assert independent["net_t"] == shared["net_t"] == pytest.approx(70.0)

    def test_gases_of_one_animal_share_the_error_of_its_count(self):
        """10 % on the count alone: CH4 27 t and N2O 273 t together are 10 % off, not sqrt(2.7^2 + 27.3^2)/300."""
        cows = factor_rows(("cow", 1000.0, "kg CH4/head", 0.0), ("cow", 1000.0, "kg N2O/head", 0.0))
        factors = acc.prepare_factors(cows, GWP, "factors", "own")
        lines = account(("homes", "", "cow", 1.0, "head", 10.0), factors=factors, shared_errors=True)
        assert acc.summarise(lines, [])["uncertainty_pct"].item() == pytest.approx(10.0)

    def test_sinks_stay_apart_and_widen_the_net(self):
        """30 ha x 2 t C x 44/12 = 220 t +-30 % (66 t) of a net of 1000 - 220 = 780 t: 8.46 %."""
        lines = account(("homes", "", "coal", 500.0, "t"), ("sink", "", "wood", 30.0, "ha"))
        lines["factor_uncertainty_pct"] = [0.0, 30.0]
        whole = acc.summarise(lines, []).iloc[0]
        assert list(whole[["gross_t", "sink_t", "net_t"]]) == pytest.approx([1000.0, 220.0, 780.0])
        assert whole["uncertainty_pct"] == pytest.approx(100 * 66 / 780)
        assert list(acc.totals(lines)["net_t"]) == pytest.approx([1000.0, -220.0])

    def test_categories_of_one_row_are_joined(self):
        lines = account(("industry", "works", "coal", 1.0, "t"), ("industry", "works", "lime", 1.0, "t"))
        total = acc.totals(lines)
        assert total["gpc"].tolist() == ["I.3.1; IV.1"]
        assert total["gross_t"].item() == pytest.approx(2.75)

    def test_nothing_is_zero_percent_uncertain(self):
        assert acc.summarise(account(("homes", "", "coal", 0.0, "t", 5.0)), [])["uncertainty_pct"].item() == 0.0


amounts = st.floats(0, 1e7, allow_nan=False).map(lambda value: round(value, 2))
rows = st.lists(
    st.tuples(
        st.sampled_from(
            [
                ("industry", "works", "coal", "mass"),
                ("industry", "plant", "coal", "energy"),
                ("industry", "old plant", "coal", "mass"),
                ("homes", "flats", "electricity", "energy"),
                ("sink", "", "wood", "area"),
            ]
        ),
        amounts,
        st.sampled_from(["a", "b"]),
        st.sampled_from(["", "2019", "2020"]),
        st.floats(0, 100),
    ),
    min_size=1,
    max_size=12,
)


def city(drawn, scale=1.0):
    return [
        (sector, subsector, carrier, amount * scale, units.known_units(dimension)[0], uncertainty, region, "", year)
        for (sector, subsector, carrier, dimension), amount, region, year, uncertainty in drawn
    ]


def totals_of(rows):
    return acc.totals(acc.guard_double_counting(account(*rows))[0])


def by_key(totals):
    return totals.set_index(["region", "year", "sector", "subsector", "land_type", "scope"]).sort_index()


any_city = settings(deadline=None, max_examples=40)


class TestAnyCity:
    @any_city
    @given(rows)
    def test_net_is_gross_less_sink_and_lines_add_up(self, drawn):
        lines, _ = acc.guard_double_counting(account(*city(drawn)))
        totals = acc.totals(lines)
        assert (totals["net_t"] == totals["gross_t"] - totals["sink_t"]).all()
        assert (totals[["gross_t", "sink_t"]] >= 0).all(axis=None)
        counted = lines[lines["status"] == "counted"]
        assert totals[["gross_t", "sink_t"]].sum().sum() == pytest.approx(counted["t_co2e"].sum())
        assert (totals["uncertainty_pct"] <= lines["uncertainty_pct"].max() * (1 + 1e-9)).all()

    @any_city
    @given(rows)
    def test_twice_the_amounts_give_twice_the_tonnes(self, drawn):
        once, twice = totals_of(city(drawn)), totals_of(city(drawn, 2.0))
        numbers = ["gross_t", "sink_t", "net_t"]
        np.testing.assert_allclose(twice[numbers], 2 * once[numbers], rtol=1e-12)
        np.testing.assert_allclose(twice["uncertainty_pct"], once["uncertainty_pct"], rtol=1e-9)

    @any_city
    @given(rows, st.randoms())
    def test_order_of_lines_does_not_matter(self, drawn, random):
        ordered = city(drawn)
        shuffled = random.sample(ordered, len(ordered))
        left, right = by_key(totals_of(ordered)), by_key(totals_of(shuffled))
        assert list(left.index) == list(right.index)
        np.testing.assert_allclose(left["net_t"], right["net_t"], rtol=1e-12)

    @any_city
    @given(rows, st.data())
    def test_unit_of_the_amount_does_not_matter(self, drawn, data):
        given_in = city(drawn)
        converted = []
        for sector, subsector, carrier, amount, unit, *rest in given_in:
            other = data.draw(st.sampled_from(units.known_units(units.dimension(unit))))
            converted.append((sector, subsector, carrier, amount * units.factor(unit, other), other, *rest))
        np.testing.assert_allclose(totals_of(given_in)["net_t"], totals_of(converted)["net_t"], rtol=1e-9)


class TestRowSums:
    # Suzhou's Table 3 as printed, 10^4 t: department, amount, department's sum
    SUZHOU = pd.DataFrame(
        [
            ("industry", 12430.46, 19334.77),
            ("industry", 6905.31, np.nan),
            ("construction", 767.06, 2882.76),
            ("construction", 537.13, np.nan),
            ("construction", 1030.09, np.nan),
            ("construction", 548.48, np.nan),
            ("traffic", 421.44, 1421.44),
            ("agriculture", 94.68, 100.70),
            ("agriculture", 6.02, np.nan),
            ("waste", 1.02, 288.30),
            ("waste", 287.28, np.nan),
            ("sink", -71.96, -251.86),
            ("sink", -179.90, np.nan),
        ],
        columns=["department", "amount", "printed"],
    )

    def test_suzhou_has_two_faulty_rows(self):
        """12430.46 + 6905.31 = 19335.77, not 19334.77; and the road land's 421.44 is not 1421.44."""
        checked = acc.row_sum_check(self.SUZHOU, "amount", "printed", ["department"])
        faulty = checked[checked["faulty"]].set_index("department")["difference"]
        assert faulty.to_dict() == pytest.approx({"industry": 1.00, "traffic": -1000.00})
        assert len(checked) == 6

    def test_suzhou_departments_give_the_printed_total(self):
        """The department sums hold: gross 24027.97, sink 251.86, net 23776.11 as printed."""
        printed = self.SUZHOU["printed"].dropna()
        table = pd.DataFrame({"of": "city", "amount": printed, "printed": 23776.11})
        assert not acc.row_sum_check(table, "amount", "printed", ["of"])["faulty"].item()
        assert printed[printed > 0].sum() == pytest.approx(24027.97)

    def test_rounding_is_no_fault(self):
        """Nanjing's Jianye: 0.01 + 0.00 + 38.40 + 0.01 = 38.42, printed 38.41; five roundings explain 0.025."""
        table = pd.DataFrame({"district": "Jianye", "amount": [0.01, 0.0, 38.40, 0.01], "printed": 38.41})
        checked = acc.row_sum_check(table, "amount", "printed", ["district"])
        assert checked["difference"].item() == pytest.approx(0.01)
        assert not checked["faulty"].item()

    def test_one_digit_more_than_rounding_is_a_fault(self):
        """Two parts and a sum of one decimal: rounding explains 0.15; 1.0 + 1.0 against 2.2 is 0.2 off."""
        table = pd.DataFrame({"of": "x", "amount": [1.1, 1.0], "printed": 2.3})
        assert acc.row_sum_check(table, "amount", "printed", ["of"])["faulty"].item()
        table["printed"] = 2.2
        assert not acc.row_sum_check(table, "amount", "printed", ["of"])["faulty"].item()

    def test_two_printed_sums(self):
        table = pd.DataFrame({"of": "x", "amount": [1.0, 1.0], "printed": [2.0, 3.0]})
        with pytest.raises(InputError, match="'printed' of x is both 2 and 3"):
            acc.row_sum_check(table, "amount", "printed", ["of"])
