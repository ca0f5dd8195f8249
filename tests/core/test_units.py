"""Units against conversions that are defined elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_spatializer.core import units
from carbon_spatializer.core.errors import InputError


@pytest.mark.parametrize(
    ("unit", "to", "expected"),
    [
        ("10^4 t", "t", 10_000),
        ("Mt", "10^4 t", 100),
        ("10^8 kWh", "MWh", 100_000),
        ("GJ", "kWh", 277.7777778),  # 1 kWh = 3.6 MJ
        ("tce", "GJ", 29.3076),  # standard coal: 7000 kcal/kg
        ("tce", "kWh", 8141.0),  # as printed in China's conversion tables
        ("ha", "mu", 15),
        ("km2", "ha", 100),
        ("10^4 head", "head", 10_000),
        ("10^8 tkm", "10^4 tkm", 10_000),
        ("L", "m3", 0.001),
    ],
)
def test_conversion(unit, to, expected):
    assert units.factor(unit, to) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    ("spelling", "unit"),
    [
        ("万吨", "10^4 t"),
        ("10⁴ t", "10^4 t"),
        ("10,000 t", "10^4 t"),
        ("10000 T", "10^4 t"),
        ("亿立方米", "10^8 m3"),
        ("亿千瓦时", "10^8 kWh"),
        ("KWH", "kWh"),
        ("km²", "km2"),
        ("m³", "m3"),
        ("hm2", "ha"),
        ("公顷", "ha"),
        ("亩", "mu"),
        ("万头", "10^4 head"),
        ("万人", "10^4 person"),
        ("t CO2e", "t"),
        ("ktCO2", "kt"),
        ("10^4 t CO2eq", "10^4 t"),
    ],
)
def test_spellings_of_one_unit(spelling, unit):
    assert units.factor(spelling, unit) == 1.0


def test_no_two_units_share_a_spelling():
    """Were two units one spelling, the later would silently take the place of the former."""
    sizes = {name: (units.dimension(name), units.factor(name, name)) for name in units.known_units()}
    assert len(sizes) == len({name.lower().replace(" ", "") for name in sizes})


@given(st.data())
def test_there_and_back_is_one(data):
    unit = data.draw(st.sampled_from(units.known_units()))
    to = data.draw(st.sampled_from(units.known_units(units.dimension(unit))))
    via = data.draw(st.sampled_from(units.known_units(units.dimension(unit))))
    assert units.factor(unit, to) * units.factor(to, unit) == pytest.approx(1.0)
    assert units.factor(unit, via) * units.factor(via, to) == pytest.approx(units.factor(unit, to))


@pytest.mark.parametrize("unit", ["", "tons", "kg2", "nan", "CO2", "10^3 t"])
def test_unknown_unit(unit):
    with pytest.raises(InputError, match=r"Parameter activity: unit '.*' is unknown\. Use one of .*10\^4 t"):
        units.dimension(unit, "activity")


def test_units_of_different_things():
    with pytest.raises(
        InputError, match=r"'kWh' measures energy, but 't' measures mass\. Give the amount in one of g,"
    ):
        units.factor("kWh", "t")
