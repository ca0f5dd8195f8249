"""Regression of regional totals: scores, models as plain parameters, and what becomes of them on the cells."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_spatializer.core import regression, regressors
from carbon_spatializer.core.errors import InputError
from carbon_spatializer.core.regression import FORMS, LOG_DENSITY, MEAN_DENSITY, SUM
from tests import synthetic_country

FAST = [kind for kind in regressors.KINDS if kind not in ("random_forest", "gradient_boosting")]


def regions(values, tonnes, area=None, totals=None):
    """Regions in a row whose cells are 1 km2; values are mean densities, shape (regions, drivers)."""
    values = np.asarray(values, dtype=float)
    area = np.ones(len(values)) if area is None else np.asarray(area, dtype=float)
    names = [f"driver {number}" for number in range(values.shape[1])]
    return regression.Regions(
        sums=pd.DataFrame(values * area[:, None], columns=names),
        densities=pd.DataFrame(values, columns=names),
        totals=totals or [False] * values.shape[1],
        area_km2=area,
        tonnes=np.asarray(tonnes, dtype=float),
        places=np.stack([1000.0 * np.arange(len(values)), np.zeros(len(values))], axis=1),
    )


@pytest.fixture
def thirty():
    """Thirty regions with two drivers and a power law with some noise."""
    rng = np.random.default_rng(3)
    values = rng.lognormal(1, 1, (30, 2))
    density = 3 * values[:, 0] ** 0.7 * values[:, 1] ** 0.3 * rng.lognormal(0, 0.1, 30)
    area = rng.uniform(50, 150, 30)
    return regions(values, density * area, area)


def one_cell_each(known):
    """A cell per region with the region's mean densities."""
    ones = np.ones(len(known))
    return regression.Cells(known.densities.to_numpy(), np.arange(len(known)), ones, ones)


# Scores (SVR-ZSSR paper, equations 4 to 6) ----------------------------------------------------------------------------


def test_scores_by_hand():
    # Errors 1, -1, 1, 1: squares add up to 4. Mean 5, so that (2-5)^2 + (4-5)^2 + (6-5)^2 + (8-5)^2 = 20.
    # R2 = 1 - 4/20 = 0.8, MAE = 4/4 = 1, RMSE = sqrt(4/4) = 1.
    assert regression.scores([2, 4, 6, 8], [3, 3, 7, 9]) == pytest.approx({"r2": 0.8, "mae": 1, "rmse": 1})


def test_scores_of_a_bad_model():
    # Errors 6, 0, -6: squares 72, spread 18: R2 = -3. MAE = 12/3 = 4, RMSE = sqrt(72/3) = 4.898979.
    assert regression.scores([0, 3, 6], [6, 3, 0]) == pytest.approx({"r2": -3, "mae": 4, "rmse": 24**0.5})


def test_r2_of_equal_values_is_not_a_number():
    assert np.isnan(regression.scores([5, 5], [4, 6])["r2"])


# Table 1 of the paper: R2, MAE, RMSE in 10^4 t, all on the same 30 provinces of 2005.
TABLE_1 = {
    "SVR": (0.72, 1469.00, 1782.92),
    "Bayesian": (0.63, 1769.48, 2053.10),
    "linear": (0.65, 1615.21, 2158.20),
    "ElasticNet": (0.65, 1673.63, 1988.81),
}


@given(st.lists(st.floats(0, 1e3), min_size=3, max_size=30), st.floats(-50, 50))
def test_rmse_and_r2_imply_the_variance_of_the_truth(true, shift):
    """Equations 4 and 6 with the same N: RMSE^2 / (1 - R2) is the variance, whatever the model."""
    true = np.array(true)
    score = regression.scores(true, true[::-1] + shift)
    if true.std() > 1e-3 and score["rmse"] > 1e-3:
        assert score["rmse"] ** 2 / (1 - score["r2"]) == pytest.approx(true.var(), rel=1e-6)


def test_the_papers_table_1_is_consistent_but_for_one_row():
    """With that identity, three rows of Table 1 tell of one test set; the linear row's R2 can't be 0.65."""
    low, high = {}, {}
    for name, (r2, _, rmse) in TABLE_1.items():
        low[name], high[name] = (rmse**2 / (1 - (r2 + rounding)) for rounding in (-0.005, 0.005))
    others = [name for name in TABLE_1 if name != "linear"]
    shared = max(low[name] for name in others), min(high[name] for name in others)
    assert shared[0] < shared[1]
    assert low["linear"] > shared[1]
    # The R2 that its RMSE allows: 0.59.
    assert 1 - TABLE_1["linear"][2] ** 2 / np.mean(shared) == pytest.approx(0.59, abs=0.005)


def test_intervals_hold_the_score_and_repeat_themselves():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 10, 200)
    predicted = true + rng.normal(0, 3, 200)
    score, bounds = regression.scores(true, predicted), regression.intervals(true, predicted)
    for name in score:
        assert bounds[name][0] < score[name] < bounds[name][1]
    assert bounds == regression.intervals(true, predicted)
    # Normal errors: the standard error of the RMSE is sigma / sqrt(2 n) = 3 / 20 = 0.15, the interval 4 x 0.15 wide.
    assert bounds["rmse"][1] - bounds["rmse"][0] == pytest.approx(0.6, rel=0.25)


def test_intervals_of_equal_errors_are_points():
    assert regression.intervals([1.0, 5.0, 9.0], [3.0, 7.0, 11.0])["mae"] == [2, 2]


def test_correlations_are_sorted_and_follow_the_form():
    # Densities 1, 2, 4: r with 1, 2, 4 is 1; with 2, 2, 1 by hand: x - mean = (-4/3, -1/3, 5/3), y - mean =
    # (1/3, 1/3, -2/3): sum xy = -4/9 - 1/9 - 10/9 = -15/9; sqrt(42/9 x 6/9) = 15.8745/9: r = -0.944911.
    known = regions([[2, 1], [2, 2], [1, 4]], [1, 2, 4])
    table = regression.correlations(known, MEAN_DENSITY)
    assert table["driver"].tolist() == ["driver 1", "driver 0"]
    assert table["r"].tolist() == pytest.approx([1, -0.944911])
    # Areas of 1, 1 and 10 km2 change the sums only: 1, 2, 40 against 1, 2, 4 is no longer a straight line.
    wider = regions([[2, 1], [2, 2], [1, 4]], [1, 2, 4], [1, 1, 10])
    assert regression.correlations(wider, SUM)["r"].iloc[0] < 0.999


def test_blocks_hold_neighbours():
    places = np.array([[0, 0], [1, 0], [0, 1], [100, 100], [101, 100], [100, 101]], dtype=float)
    blocks = regression.spatial_blocks(places, 2)
    assert len(set(blocks[:3])) == len(set(blocks[3:])) == 1
    assert blocks[0] != blocks[3]
    assert len(np.unique(regression.spatial_blocks(places, 50))) == 6
    assert regression.spatial_blocks(places * 0, 3).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("groups", [np.arange(30) // 15, np.arange(30)])
def test_two_blocks_or_a_block_each_are_enough(thirty, groups):
    kinds = ("svr_linear", "elastic_net")
    for one in regression.compare(thirty, one_cell_each(thirty), groups, kinds=kinds, draws=10):
        assert np.isfinite(one.tested).all()


# Models ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", regressors.KINDS)
def test_plain_parameters_predict_what_scikit_learn_does(kind):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    settings = regressors.candidates(kind)[-1]
    expected = regressors._build(kind, settings, True, 5).fit(x, y).predict(np.concatenate([x, 3 * x]))
    parameters = regressors.fit(kind, settings, x, y, seed=5)
    assert regressors.apply(kind, parameters, np.concatenate([x, 3 * x])) == pytest.approx(expected, abs=1e-9)


def test_many_cells_are_predicted_in_chunks(monkeypatch, thirty):
    model = regression.fit("svr_rbf", MEAN_DENSITY, thirty)
    values = np.random.default_rng(0).lognormal(1, 1, (1000, 2))
    expected = model.predict(values)
    monkeypatch.setattr(regressors, "_CHUNK", 100)
    assert model.predict(values) == pytest.approx(expected)
    assert model.predict(values[:0]).shape == (0,)


@pytest.mark.parametrize("kind", regressors.KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_a_model_survives_its_file(kind, form, thirty):
    model = regression.fit(kind, form, thirty, settings=regressors.candidates(kind)[0])
    again = regression.Model.from_state(json.loads(json.dumps(model.state())))
    values = thirty.drivers(form).to_numpy() * 1.5
    assert again.predict(values) == pytest.approx(model.predict(values), rel=1e-12)
    assert again.outside(values).tolist() == model.outside(values).tolist()
    assert (again.names, again.totals, again.settings) == (model.names, model.totals, model.settings)


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "pickle"},
        {"form": "median"},
        {"names": ["one"]},
        {"totals": []},
        {"parameters": {}},
        {"parameters": {"coefficients": [1, 2, 3], "intercept": 0}},
        {"scale": "wide"},
        {"offset": None},
    ],
)
def test_a_damaged_state_is_refused(thirty, damage):
    state = regression.fit("linear", LOG_DENSITY, thirty).state()
    regression.Model.from_state(state)
    with pytest.raises(InputError, match="the file holds no regression model"):
        regression.Model.from_state(state | damage)


def test_a_power_law_is_found_on_log_densities():
    values = np.random.default_rng(0).lognormal(2, 1, (20, 2))
    law = lambda x: 3 * x[:, 0] ** 0.7 * x[:, 1] ** 0.3  # noqa: E731
    model = regression.fit("linear", LOG_DENSITY, regions(values, law(values)))
    # An offset of a hundredth of the smallest value bends the law a little there.
    assert model.predict(values) == pytest.approx(law(values), rel=0.02)
    assert (model.predict(np.array([[0.0, 0.0], [-5.0, 1e9]])) > 0).all()


def test_a_non_negative_linear_model_adds_up_from_cells():
    # Two cells per region and e = 2 a + 0.5 b; what is learnt on the means holds on each cell.
    rng = np.random.default_rng(0)
    cells = rng.lognormal(0, 1, (12, 2, 2))
    means = cells.mean(axis=1)
    model = regression.fit("nonnegative", MEAN_DENSITY, regions(means, means @ [2, 0.5]))
    assert model.predict(cells.reshape(-1, 2)) == pytest.approx(cells.reshape(-1, 2) @ [2, 0.5])
    assert model.predict(np.zeros((1, 2))) == pytest.approx([0])


def test_the_non_negative_linear_model_is_not_drawn_down_by_noise():
    """Errors relative to the truth would favour small predictions; relative to the prediction, the sum is kept."""
    rng = np.random.default_rng(5)
    values = rng.lognormal(0, 1, (200, 1))
    tonnes = 2 * values[:, 0] * rng.lognormal(-0.18, 0.6, 200)  # noise of mean 1
    model = regression.fit("nonnegative", MEAN_DENSITY, regions(values, tonnes))
    assert model.predict(np.ones((1, 1)))[0] == pytest.approx(2, rel=0.1)


def test_without_intercept_a_linear_model_of_sums_adds_up_too(thirty):
    model = regression.fit("linear", SUM, thirty, intercept=False)
    sums = thirty.sums.to_numpy()
    assert model.predict(sums / 1000).sum() * 1000 == pytest.approx(model.predict(sums).sum())
    with_intercept = regression.fit("linear", SUM, thirty)
    assert with_intercept.predict(np.zeros((1, 2)))[0] != pytest.approx(0, abs=1)


def test_cells_without_a_driver_are_not_predicted(thirty):
    model = regression.fit("linear", MEAN_DENSITY, thirty)
    predicted = model.predict(np.array([[1.0, np.nan], [1.0, 1.0]]))
    assert np.isnan(predicted[0])
    assert np.isfinite(predicted[1])


def test_units_of_the_drivers_do_not_matter(thirty):
    other = regions(thirty.densities.to_numpy() * [1000, 0.01], thirty.tonnes, thirty.area_km2)
    for kind in FAST:
        one = regression.fit(kind, LOG_DENSITY, thirty)
        two = regression.fit(kind, LOG_DENSITY, other)
        assert one.settings == two.settings
        predicted = two.predict(other.densities.to_numpy())
        assert predicted == pytest.approx(one.predict(thirty.densities.to_numpy()), rel=1e-3)


def test_outside_means_outside_the_box_of_the_regions():
    model = regression.fit("linear", MEAN_DENSITY, regions([[1, 5], [2, 9], [3, 6], [4, 7], [5, 8]], [1, 2, 3, 5, 4]))
    cells = np.array([[1, 5], [3, 7], [5, 9], [0.9, 7], [3, 9.1], [6, 4]])
    assert model.outside(cells).tolist() == [False, False, False, True, True, True]


def test_the_search_takes_what_predicts_unseen_blocks_best(monkeypatch, thirty):
    monkeypatch.setitem(regressors._SEARCHED, "elastic_net", {"alpha": (0.001, 1000.0), "l1_ratio": (0.5,)})
    # An alpha of 1000 leaves only the mean.
    assert regression.fit("elastic_net", LOG_DENSITY, thirty).settings["alpha"] == 0.001


def test_held_out_regions_have_no_say(thirty):
    groups = np.arange(30) // 6
    cells = one_cell_each(thirty)
    before, cells_before = regression.cross_validated("svr_linear", LOG_DENSITY, thirty, cells, groups)
    changed = regions(
        thirty.densities.to_numpy(), np.where(groups == 2, thirty.tonnes * 100, thirty.tonnes), thirty.area_km2
    )
    after, cells_after = regression.cross_validated("svr_linear", LOG_DENSITY, changed, cells, groups)
    assert cells_after[groups == 2] == pytest.approx(cells_before[groups == 2])
    assert before == pytest.approx(cells_before * thirty.area_km2)
    assert after[groups == 2] == pytest.approx(before[groups == 2])
    assert after[groups != 2] != pytest.approx(before[groups != 2])


def test_noise_cannot_be_learnt():
    rng = np.random.default_rng(2)
    noise = regions(rng.lognormal(size=(60, 3)), rng.lognormal(size=60))
    for kind in ("svr_rbf", "linear", "gradient_boosting"):
        predicted, _ = regression.cross_validated(kind, MEAN_DENSITY, noise, one_cell_each(noise), np.arange(60) // 6)
        assert regression.scores(noise.tonnes, predicted)["r2"] < 0.15


@pytest.mark.parametrize(
    ("values", "tonnes", "form", "message"),
    [
        ([[1, 2], [2, 1], [3, 5], [4, 4]], [1, 2, 3, 4], MEAN_DENSITY, "regions: only 4 regions .* at least 5"),
        ([[1, 7], [2, 7], [3, 7], [4, 7], [5, 7]], [1, 2, 3, 4, 5], MEAN_DENSITY, "'driver 1' is 7 in all regions"),
        ([[1, 0], [2, 0], [3, 0], [4, 0], [5, 0]], [1, 2, 3, 4, 5], SUM, "'driver 1' is 0 in all regions"),
        ([[1], [2], [3], [4], [5]], [2, 2, 2, 2, 2], MEAN_DENSITY, "total_field: all regions have the same"),
        ([[1], [2], [3], [4], [5]], [0, 2, 3, 4, 5], LOG_DENSITY, "1 regions have a total that is not above zero"),
        ([[-1], [-2], [-3], [-4], [0]], [1, 2, 3, 4, 5], LOG_DENSITY, "'driver 0' is nowhere above zero"),
    ],
)
def test_regions_that_teach_nothing_are_refused(values, tonnes, form, message):
    with pytest.raises(InputError, match=message):
        regions(values, tonnes).check(form)


# On the cells ---------------------------------------------------------------------------------------------------------


def test_what_is_said_of_the_cells_by_hand():
    # Learnt on sums without an intercept: e = 2 x. Two regions of two cells of 1 km2: x = 1, 3 and -2, 8.
    known = regions([[1], [2], [3], [4], [5]], [2, 4, 6, 8, 10])
    model = regression.fit("linear", SUM, known, intercept=False)
    cells = regression.Cells(np.array([[1.0], [3.0], [-2.0], [8.0]]), np.array([0, 0, 1, 1]), np.ones(4), np.ones(4))
    said = regression.on_cells(model, cells)
    # Emissions 2, 6, 0 (clipped from -4), 16: mean 6, deviations -4, 0, -6, 10: variance 152/4 = 38. Drivers, with
    # negative values as zero: 1, 3, 0, 8, mean 3, variance (4 + 0 + 9 + 25)/4 = 9.5.
    assert said["clipped_pct"] == 25
    assert said["outside_pct"] == 50
    assert said["cv"] == pytest.approx(38**0.5 / 6)
    assert said["drivers_cv"] == pytest.approx(9.5**0.5 / 3)


def test_how_cells_add_up_to_regions_by_hand():
    cells = regression.Cells(np.zeros((4, 1)), np.array([0, 0, 1, 1]), np.ones(4), np.ones(4))
    density = np.array([2.0, 6.0, 0.0, 16.0])
    # The cells sum to 8 and 16 t; any multiple of that is as good.
    assert regression.cells_r2(cells, density, np.array([8.0, 16.0])) == pytest.approx(1)
    assert regression.cells_r2(cells, 7 * density, np.array([8.0, 16.0])) == pytest.approx(1)
    # Against 6 and 18 t, densities of 3 and 9 are predicted as 4 and 8: errors ln(4/3) and ln(8/9), and the logarithms
    # lie ln(3)/2 to both sides of their mean.
    errors = np.log(4 / 3) ** 2 + np.log(8 / 9) ** 2
    assert regression.cells_r2(cells, density, np.array([6.0, 18.0])) == pytest.approx(
        1 - errors / (np.log(3) ** 2 / 2)
    )
    # A region that emits must not get nothing.
    assert np.isnan(regression.cells_r2(cells, np.array([1.0, 1.0, 0.0, 0.0]), np.array([6.0, 18.0])))


def test_totals_per_cell_become_densities():
    # 10 people on 2 km2 are 5 per km2; radiance stays.
    known = regions([[5, 1], [2, 2], [3, 5], [4, 3], [1, 4]], [5, 2, 3, 4, 1], totals=[True, False])
    model = regression.fit("linear", MEAN_DENSITY, known)
    assert regression.cell_values(model, np.array([[10.0, 7.0]]), np.array([2.0])).tolist() == [[5, 7]]
    of_sums = regression.fit("linear", SUM, known)
    assert regression.cell_values(of_sums, np.array([[10.0, 7.0]]), np.array([2.0])).tolist() == [[10, 7]]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_kernels_and_trees_on_sums_are_found_out(seed):
    """They score well on provinces and put the same emissions into every cell."""
    cells, tonnes, built = synthetic_country.country(seed)
    known, groups = synthetic_country.provinces(cells, tonnes)
    kinds = ("svr_rbf", "gradient_boosting")
    for one in regression.compare(known, synthetic_country.sample(cells), groups, forms=(SUM,), kinds=kinds, draws=10):
        assert one.row["r2"] > 0.6
        assert regression.is_constant(one.row["cv"], one.row["drivers_cv"])
        # As if each province's emissions were spread by area.
        by_area = np.average(np.bincount(cells.region, built) / known.area_km2, weights=known.tonnes)
        assert by_area < 0.1
        assert synthetic_country.built_up_share(one.model, cells, known, built) == pytest.approx(by_area, abs=0.01)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_linear_models_on_sums_are_ruled_by_their_intercept(seed):
    """A negative one makes nearly all cells negative, a positive one makes them equal; without, they add up."""
    cells, tonnes, built = synthetic_country.country(seed)
    known, groups = synthetic_country.provinces(cells, tonnes)
    kinds = ("linear", "bayesian_ridge", "svr_linear")
    for one in regression.compare(known, cells, groups, forms=(SUM,), kinds=kinds, draws=10):
        negative = one.row["clipped_pct"] > 90
        assert negative == (one.model.predict(np.zeros((1, 3)))[0] < 0)
        assert negative or one.row["cv"] < 0.1 * one.row["drivers_cv"]
    without = regression.fit("nonnegative", SUM, known, groups)
    true = tonnes[built].sum() / tonnes.sum()
    assert synthetic_country.built_up_share(without, cells, known, built) == pytest.approx(true, abs=0.05)


@pytest.mark.parametrize(("seed", "kinds"), [(0, list(regressors.KINDS)), *((seed, FAST) for seed in range(1, 5))])
def test_the_default_finds_the_built_up_share(seed, kinds, monkeypatch):
    """Most countries are so near to the truth; scripts/bench regression tells how many."""
    monkeypatch.setattr(regressors, "_TREES", 20)
    cells, tonnes, built = synthetic_country.country(seed)
    known, groups = synthetic_country.provinces(cells, tonnes)
    judged = synthetic_country.sample(cells)
    best = regression.best(regression.compare(known, judged, groups, kinds=kinds, draws=10))
    true = tonnes[built].sum() / tonnes.sum()
    assert 0.85 < true < 0.95
    assert 0.04 < built.mean() < 0.06
    assert best.row["clipped_pct"] == 0
    assert synthetic_country.built_up_share(best.model, cells, known, built) == pytest.approx(true, abs=0.05)


def test_the_best_by_the_test_is_the_papers_choice(thirty):
    rng = np.random.default_rng(0)
    cells = regression.Cells(rng.lognormal(0, 2, (3000, 2)), np.arange(3000) % 30, np.ones(3000), np.ones(3000))
    compared = regression.compare(thirty, cells, np.arange(30) // 6, kinds=FAST, draws=10)
    assert regression.best(compared, "test").row["rmse"] == min(one.row["rmse"] for one in compared)
    by_cells = regression.best(compared)
    usable = [one for one in compared if one.row["clipped_pct"] <= 1 and np.isfinite(one.row["cells_r2"])]
    assert by_cells.row["cells_r2"] == max(one.row["cells_r2"] for one in usable)


def test_a_second_year_is_predicted_by_the_model_of_the_first(thirty):
    rng = np.random.default_rng(0)
    cells = regression.Cells(rng.lognormal(0, 1, (300, 2)), np.arange(300) % 30, np.ones(300), np.ones(300))
    earlier = regions(thirty.densities.to_numpy() * 0.8, thirty.tonnes * 0.8, thirty.area_km2)
    options = {"forms": (LOG_DENSITY,), "kinds": ("linear",), "draws": 10}
    [one] = regression.compare(thirty, cells, np.arange(30) // 6, test=earlier, **options)
    expected = one.model.predict(earlier.densities.to_numpy()) * thirty.area_km2
    assert one.tested == pytest.approx(expected)
    assert one.row["r2"] == pytest.approx(regression.scores(earlier.tonnes, expected)["r2"])
    assert one.row["r2"] > 0.9
