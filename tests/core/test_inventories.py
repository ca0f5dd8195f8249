"""Units of gridded inventories, errors, structure and concentration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from carbon_spatializer.core.errors import InputError
from carbon_spatializer.core.inventories import KNOWN, concentration, errors, lorenz, ssim, to_tonnes


@pytest.mark.parametrize(
    ("units", "factor", "by_area"),
    [
        (("t", "CO2", "cell", "year"), 1.0, False),
        # ODIAC: 1 t carbon a month is 44/12 x 12 = 44 t CO2 a year.
        (KNOWN["ODIAC"], 44.0, False),
        # FFDAS: 1 kg carbon per m2 is 44/12/1000 t CO2 per m2.
        (KNOWN["FFDAS"], 44 / 12 / 1000, True),
        # EDGAR: 1 kg per m2 and second is 31,536,000 kg per m2 and year.
        (KNOWN["EDGAR flux"], 31536.0, True),
        (KNOWN["EDGAR emissions"], 1.0, False),
        (("kt", "CO2", "km2", "day"), 1000 * 365 / 1e6, True),
        (("g", "carbon", "ha", "month"), 1e-6 * 44 / 12 * 12 / 1e4, True),
    ],
)
def test_units_become_tonnes_of_co2_a_year(units, factor, by_area):
    found, areal = to_tonnes(*units)
    assert found == pytest.approx(factor, rel=1e-12)
    assert areal is by_area


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (("t", "CO", "cell", "year"), "substance: 'CO' is unknown. Use one of CO2, carbon"),
        (("t", "CO2", "mile", "year"), "per: 'mile' is unknown"),
        (("t", "CO2", "cell", "week"), "time: 'week' is unknown"),
        (("MWh", "CO2", "cell", "year"), "mass_unit: unit 'MWh' measures energy"),
        (("lump", "CO2", "cell", "year"), "mass_unit: unit 'lump' is unknown"),
    ],
)
def test_units_are_refused(units, message):
    with pytest.raises(InputError, match=message):
        to_tonnes(*units)


def test_errors_by_hand():
    # Differences 1, -1, 3 over a reference of 1, 2, 3: bias 1, of the sum 50 %; RMSE sqrt(11/3); the fourth is empty.
    found = errors(np.array([2.0, 1, 6, 9]), np.array([1.0, 2, 3, np.nan]))
    assert found["bias"] == pytest.approx(1)
    assert found["bias_pct"] == pytest.approx(50)
    assert found["rmse"] == pytest.approx(np.sqrt(11 / 3))
    assert found["nrmse"] == pytest.approx(np.sqrt(11 / 3) / 2)
    # Deviations -1, -2, 3 and -1, 0, 1: 4 / sqrt(14 x 2).
    assert found["r"] == pytest.approx(4 / np.sqrt(28))


def test_a_constant_map_has_no_correlation():
    found = errors(np.ones(4), np.arange(4.0))
    assert np.isnan(found["r"])
    assert found["bias"] == -0.5


def test_equal_maps_are_equal_in_structure_and_others_are_not():
    rng = np.random.default_rng(0)
    one = rng.lognormal(0, 2, (40, 40))
    assert ssim(one, one) == pytest.approx(1)
    noisy, shuffled = one * rng.lognormal(0, 0.3, one.shape), rng.permutation(one.ravel()).reshape(one.shape)
    assert 1 > ssim(noisy, one) > 0.7
    assert ssim(shuffled, one) < 0.2


def test_structural_similarity_of_one_window_by_hand():
    # One full window of 7 x 7: x = log1p, so that values of e - 1 and 0 become 1 and 0. y is 1 in 7 of 49 cells, x in
    # those and 7 more: means 2/7 and 1/7, variances 10/49 and 6/49, covariance 1/7 - 2/49 = 5/49.
    x, y = np.zeros((7, 7)), np.zeros((7, 7))
    x[:2], y[:1] = np.e - 1, np.e - 1
    first, second = 1e-4, 9e-4
    expected = (2 * 2 / 49 + first) * (10 / 49 + second) / ((5 / 49 + first) * (16 / 49 + second))
    # The other windows are cut by the map's edge; their means are over what they hold, those under half left out.
    values = [expected]
    for top in range(-3, 4):
        for left in range(-3, 4):
            if (top, left) != (0, 0):
                rows, columns = (slice(max(0, shift), 7 + min(0, shift)) for shift in (top, left))
                a, b = np.log1p(x[rows, columns]), np.log1p(y[rows, columns])
                if a.size < 24.5:
                    continue
                covariance = (a * b).mean() - a.mean() * b.mean()
                top_part = (2 * a.mean() * b.mean() + first) * (2 * covariance + second)
                values.append(top_part / ((a.mean() ** 2 + b.mean() ** 2 + first) * (a.var() + b.var() + second)))
    assert ssim(x, y) == pytest.approx(np.mean(values))


def test_structural_similarity_does_not_depend_on_the_rows_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    one, other = rng.lognormal(0, 2, (2, 40, 30))
    one[rng.random(one.shape) < 0.2] = np.nan
    whole = ssim(one, other)
    monkeypatch.setattr("carbon_spatializer.core.inventories._SSIM_ROWS", 5)
    assert ssim(one, other) == pytest.approx(whole, rel=1e-12)


def test_maps_without_common_cells_or_contrast_have_no_similarity():
    assert np.isnan(ssim(np.full((9, 9), np.nan), np.ones((9, 9))))
    assert np.isnan(ssim(np.arange(81.0).reshape(9, 9), np.ones((9, 9))))


def test_lorenz_curve_by_hand():
    # Densities 1, 3 and 0 on ground of 2, 1 and 1: sorted 0, 1, 3; emissions 0, 2, 3 of 5.
    ground, amount = lorenz(np.array([2.0, 3, 0]), np.array([2.0, 1, 1]))
    assert ground.tolist() == pytest.approx([0, 0.25, 0.75, 1])
    assert amount.tolist() == pytest.approx([0, 0, 0.4, 1])
    found = concentration(np.array([2.0, 3, 0]), np.array([2.0, 1, 1]))
    # Twice the area under the curve: 0.5 x 0.4 + 0.25 x 1.4 = 0.55.
    assert found["gini"] == pytest.approx(0.45)
    # The densest tenth of the ground lies in the last quarter, which holds 0.6.
    assert found["top_share"] == pytest.approx(0.24)


def test_even_emissions_are_not_concentrated_and_one_cell_is_all():
    even = concentration(np.ones(100), np.ones(100))
    assert even["gini"] == pytest.approx(0, abs=1e-12)
    assert even["top_share"] == pytest.approx(0.1)
    one = concentration(np.eye(1, 1000).ravel(), np.ones(1000))
    assert one["gini"] == pytest.approx(0.999)
    assert one["top_share"] == pytest.approx(1)


@given(
    arrays(float, 12, elements=st.floats(0, 1e9)), arrays(float, 12, elements=st.floats(0.1, 1e6)), st.floats(0.1, 9)
)
def test_concentration_does_not_depend_on_units_or_division(amount, ground, scale):
    if amount.sum() < 1e-6:
        return
    found = concentration(amount, ground)
    assert -1e-9 <= found["gini"] <= 1
    assert 0.1 - 1e-9 <= found["top_share"] <= 1
    again = concentration(np.repeat(amount * scale, 2) / 2, np.repeat(ground, 2) / 2)
    assert again["gini"] == pytest.approx(found["gini"], abs=1e-9)
    assert again["top_share"] == pytest.approx(found["top_share"], abs=1e-9)
