"""Moran's I against published values, esda, exact enumeration and pure noise."""

import itertools
import warnings

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from libpysal import examples
from libpysal import io as libpysal_io
from libpysal.graph import Graph
from scipy import sparse

from carbon_spatializer.core import autocorrelation, weights
from carbon_spatializer.core.errors import InputError
from carbon_spatializer.core.significance import q_values


def lattice(side: int, row_standardised: bool = True) -> sparse.csr_array:
    """Queen weights of a square grid."""
    row, column = np.divmod(np.arange(side * side), side)
    made = weights.contiguity(shapely.box(column, row, column + 1, row + 1))
    return weights.row_standardise(made) if row_standardised else made


def clustered(side: int, seed: int = 0) -> np.ndarray:
    """Skewed values with a spatial pattern: noise averaged over neighbours twice, then exponentiated."""
    noise = np.random.default_rng(seed).normal(size=side * side)
    smooth = lattice(side) @ (lattice(side) @ noise)
    return np.exp(smooth / smooth.std() + 0.5 * noise)


def shipped(gal: str) -> sparse.csr_array:
    """Row-standardised weights of a file that ships inside libpysal."""
    w = libpysal_io.open(examples.get_path(gal)).read()
    return weights.row_standardise(weights.without_self(w.sparse))


def sids2(*fields: str) -> list[np.ndarray]:
    table = libpysal_io.open(examples.get_path("sids2.dbf"))
    return [np.array(table.by_col(field), dtype=float) for field in fields]


# Published values, with the data that ship inside libpysal ------------------------------------------------------------


def test_published_st_louis_homicides():
    values = np.array(libpysal_io.open(examples.get_path("stl_hom.txt")).by_col("HR8893"))
    result = autocorrelation.global_moran(values, shipped("stl.gal"), permutations=99)
    assert result.i == pytest.approx(0.24365582621771659, abs=1e-12)


def test_published_sids():
    (values,) = sids2("SIDR74")
    result = autocorrelation.global_moran(values, shipped("sids2.gal"), permutations=99)
    assert result.i == pytest.approx(0.24772519320480135, abs=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "expected"), [("SIDR74", "SIDR79", 0.19362610652874668), ("NWR79", "SIDR74", 0.37701382542927858)]
)
def test_published_bivariate(x, y, expected):
    first, second = sids2(x, y)
    result = autocorrelation.global_moran(first, shipped("sids2.gal"), second, permutations=99)
    assert result.i == pytest.approx(expected, abs=1e-12)


def test_published_rates():
    events, births = sids2("SID79", "BIR79")
    rates = autocorrelation.empirical_bayes(events, births)
    result = autocorrelation.global_moran(rates, shipped("sids2.gal"), permutations=99)
    assert result.i == pytest.approx(0.16622343552567395, abs=1e-12)


# esda as the reference ------------------------------------------------------------------------------------------------


def graph(matrix: sparse.csr_array) -> Graph:
    return Graph.from_sparse(matrix)


@pytest.fixture(
    params=[
        pytest.param((clustered(12), lattice(12)), id="grid"),
        pytest.param((sids2("SIDR74")[0], shipped("sids2.gal")), id="sids2"),
        pytest.param((clustered(12), lattice(12, row_standardised=False)), id="binary"),
        pytest.param(
            (clustered(12), weights.row_standardise(weights.kernel(np.random.default_rng(0).uniform(size=(144, 2))))),
            id="kernel",
        ),
    ]
)
def case(request) -> tuple[np.ndarray, sparse.csr_array]:
    return request.param


def test_global_moments_equal_esda(case):
    from esda.moran import Moran

    values, matrix = case
    ours = autocorrelation.global_moran(values, matrix, permutations=99)
    theirs = Moran(values, graph(matrix), transformation="O", permutations=0)
    assert ours.i == pytest.approx(theirs.I, abs=1e-12)
    assert ours.expected == pytest.approx(theirs.EI)
    assert ours.sd**2 == pytest.approx(theirs.VI_rand)
    assert ours.z == pytest.approx(theirs.z_rand)
    assert ours.p_normal == pytest.approx(theirs.p_rand)


def test_local_statistics_equal_esda(case):
    from esda.moran import Moran_Local

    values, matrix = case
    ours = {ddof: autocorrelation.local_moran(values, matrix, permutations=99, ddof=ddof) for ddof in (0, 1)}
    theirs = Moran_Local(values, graph(matrix), transformation="O", permutations=99, seed=1)
    linked = weights.neighbours(matrix) > 0
    assert ours[0].z == pytest.approx(theirs.z), "esda's z divides by n"
    assert ours[1].i[linked] == pytest.approx(theirs.Is[linked]), "esda's I is the product of z that divide by n - 1"
    expected = (ours[0].i - theirs.EIc) / np.sqrt(theirs.VIc)
    assert ours[0].z_score[linked] == pytest.approx(expected[linked])
    names = np.array(["", "HH", "LH", "LL", "HL"])
    assert (ours[0].quadrant[linked] == names[theirs.q][linked]).all()
    # What is tested does not depend on ddof.
    assert ours[0].z_score[linked] == pytest.approx(ours[1].z_score[linked])
    assert (ours[0].quadrant == ours[1].quadrant).all()
    assert ours[0].p[linked] == pytest.approx(ours[1].p[linked])


def test_bivariate_local_statistics_equal_esda():
    from esda.moran import Moran_Local_BV

    first, second = sids2("SIDR74", "NWR74")
    matrix = shipped("sids2.gal")
    ours = autocorrelation.local_moran(first, matrix, second, permutations=99, ddof=1)
    theirs = Moran_Local_BV(first, second, graph(matrix), transformation="O", permutations=99, seed=1)
    linked = weights.neighbours(matrix) > 0
    assert ours.i[linked] == pytest.approx(theirs.Is[linked])


@pytest.mark.parametrize("fields", [("SIDR74", "NWR74"), ("SIDR79", "SIDR74")])
def test_lees_l_equals_esda(fields):
    from esda.lee import Spatial_Pearson

    first, second = sids2(*fields)
    matrix = shipped("sids2.gal")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = Spatial_Pearson(sparse.csc_matrix(matrix), permutations=0)
        reference.fit(first[:, None], second[:, None])
    assert autocorrelation.lees_l(first, second, matrix) == pytest.approx(reference.association_[0, 1])
    assert autocorrelation.global_moran(first, matrix, second, permutations=9).r == pytest.approx(
        np.corrcoef(first, second)[0, 1]
    )


def test_rates_equal_esda():
    from esda.smoothing import assuncao_rate

    events, births = sids2("SID74", "BIR74")
    assert autocorrelation.empirical_bayes(events, births) == pytest.approx(assuncao_rate(events, births))
    # Rates that vary less than counts would: the variance falls back to beta / b where it would be negative.
    even = np.array([10.0, 20, 30, 40.1])
    assert autocorrelation.empirical_bayes(even, even) == pytest.approx(assuncao_rate(even, even))
    assert not autocorrelation.empirical_bayes(np.zeros(4), even).any()


@pytest.mark.parametrize("bivariate", [False, True])
@pytest.mark.parametrize("field", ["clustered", "noise"])
def test_engine_agrees_with_esda(field, bivariate):
    # Significance at 0.05 agrees with esda's in no fewer units than esda's own under another seed, less one point.
    from esda.moran import Moran_Local, Moran_Local_BV

    side, permutations = 50, 999
    matrix = lattice(side)
    x = clustered(side) if field == "clustered" else np.random.default_rng(5).normal(size=side**2)
    y = clustered(side, seed=9) if bivariate else None
    options = {"transformation": "O", "permutations": permutations, "keep_simulations": False}

    def esda(seed):
        if bivariate:
            return Moran_Local_BV(x, y, graph(matrix), seed=seed, **options).p_sim
        return Moran_Local(x, graph(matrix), seed=seed, **options).p_sim

    def own(seed, alternative="directed"):
        result = autocorrelation.local_moran(x, matrix, y, permutations, seed, alternative)
        assert result.engine == autocorrelation.SHARED_TABLE
        return result.p

    def compare(first, second):
        """Share of units whose significance agrees, and mean difference of p."""
        return np.array([((first <= 0.05) == (second <= 0.05)).mean(), np.abs(first - second).mean()])

    # Draws are shared between units, so errors are too; pairs of six seeds are averaged.
    theirs = [esda(seed) for seed in range(6)]
    ours = [own(seed) for seed in range(6)]
    agreement, difference = np.mean([compare(a, b) for a in ours for b in theirs], axis=0)
    reference, reference_difference = np.mean([compare(a, b) for a, b in itertools.combinations(theirs, 2)], axis=0)
    assert agreement >= reference - 0.01
    assert difference <= 1.25 * reference_difference
    assert own(0, "two-sided") == pytest.approx(np.minimum(1, 2 * ours[0])), "two-sided p is twice the directed one"


def test_unequal_weights_go_to_esda():
    from esda.moran import Moran_Local

    points = np.random.default_rng(0).uniform(size=(200, 2))
    matrix = weights.row_standardise(weights.kernel(points, k=6))
    values = np.random.default_rng(1).gamma(1.0, size=200)
    ours = autocorrelation.local_moran(values, matrix, permutations=199, seed=7, alternative="directed")
    theirs = Moran_Local(values, graph(matrix), transformation="O", permutations=199, keep_simulations=False, seed=7)
    assert ours.engine == autocorrelation.ESDA
    assert ours.p == pytest.approx(theirs.p_sim)


# Exactness ------------------------------------------------------------------------------------------------------------

PATH = sparse.csr_array(
    # 0-1-2-3-4-5 with a further link 1-4: units with 1, 2 and 3 neighbours; 6 is an island.
    (np.ones(12), ([0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 1, 4], [1, 0, 2, 1, 3, 2, 4, 3, 5, 4, 4, 1])),
    shape=(7, 7),
)


@pytest.mark.parametrize("values", [[1.0, 5, 2, 8, 3, 13, 4], [0.0, 0, 0, 2, 2, 5, 0]], ids=["distinct", "ties"])
@pytest.mark.parametrize("rows", [True, False])
def test_engine_against_every_arrangement(values, rows):
    # All choices of k of the 6 others, counted out: the permutations must come to the same shares of sums at least
    # and at most as large. With 200,000 draws the standard error is at most 0.0011.
    values = np.array(values)
    permutations = 200_000
    matrix = weights.row_standardise(PATH) if rows else PATH
    greater, lesser = autocorrelation._shared_table(
        autocorrelation.standardise(values), matrix, permutations, np.random.default_rng(0), lambda *_: None
    )
    for unit, k in enumerate(weights.neighbours(PATH)):
        others = np.delete(values, unit)
        sums = np.array([sum(chosen) for chosen in itertools.combinations(others, k)])
        observed = (PATH @ values)[unit]
        if k:
            assert greater[unit] / permutations == pytest.approx((sums >= observed).mean(), abs=0.005)
            assert lesser[unit] / permutations == pytest.approx((sums <= observed).mean(), abs=0.005)


def test_distinct_ids_are_distinct_and_even():
    rng = np.random.default_rng(0)
    for width, n in ((3, 13), (10, 13)):  # drawn again where repeated; shuffled rows
        ids = autocorrelation._distinct_ids(rng, 60_000, width, n)
        assert ids.shape == (60_000, width)
        assert (np.diff(np.sort(ids, axis=1), axis=1) > 0).all()
        # Every unit equally often in every column: 60000 / 13 = 4615 with standard deviation 65.
        for column in ids.T:
            assert np.abs(np.bincount(column, minlength=n) - 60_000 / n).max() < 5 * 66


def test_blocks_make_no_difference_to_the_law(monkeypatch):
    values, matrix = clustered(12), lattice(12)
    whole = autocorrelation.local_moran(values, matrix, permutations=9999)
    monkeypatch.setattr(autocorrelation, "_BLOCK_ENTRIES", 5000)
    parts = autocorrelation.local_moran(values, matrix, permutations=9999)
    assert np.abs(whole.p - parts.p).max() < 0.05
    assert np.corrcoef(whole.p, parts.p)[0, 1] > 0.999


# Pure noise -----------------------------------------------------------------------------------------------------------


def test_noise_is_significant_as_often_as_alpha_says_and_never_after_bh():
    # 40 fields of 900 units. Tests of neighbouring units are correlated, so the error is estimated between fields.
    matrix, alpha = lattice(30), 0.05
    shares, found = [], 0
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(size=900)
        p = autocorrelation.local_moran(noise, matrix, permutations=9999, seed=seed).p
        shares.append((p <= alpha).mean())
        found += (q_values(p) <= alpha).sum()
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - alpha) < 4 * error
    assert error < 0.002
    # 40 x 0.05 = 2 fields may have a false finding; 1,800 units were significant without the correction.
    assert found <= 8


def test_global_noise():
    # 200 fields, exact test: the number of p <= 0.05 is binomial with mean 10 and standard deviation 3.1.
    matrix = lattice(10)
    for second in (False, True):
        rejected = 0
        for seed in range(200):
            x, y = np.random.default_rng(seed).gamma(0.5, size=(2, 100))
            p = autocorrelation.global_moran(x, matrix, y if second else None, permutations=199, seed=seed).p
            rejected += p <= 0.05
        assert 1 <= rejected <= 22


def test_global_permutations_have_the_analytic_moments():
    values = clustered(15)
    for y in (None, clustered(15, seed=4)):
        result = autocorrelation.global_moran(values, lattice(15), y, permutations=4999)
        assert result.simulated.mean() == pytest.approx(result.expected, abs=4 * result.sd / np.sqrt(4999))
        assert result.simulated.std() == pytest.approx(result.sd, rel=0.05)


# Rules ----------------------------------------------------------------------------------------------------------------


def test_checkerboard_and_halves_by_hand():
    # 4 x 4 rook. Checkerboard: every neighbour differs, I = -1.
    row, column = np.divmod(np.arange(16), 4)
    matrix = weights.contiguity(shapely.box(column, row, column + 1, row + 1), rook=True)
    checkers = (row + column) % 2
    assert autocorrelation.global_moran(checkers, matrix, permutations=9).i == pytest.approx(-1)
    # Left and right half: 24 undirected links, 4 of them across: I = (20 - 4) / 24.
    assert autocorrelation.global_moran(column // 2, matrix, permutations=9).i == pytest.approx(16 / 24)


def test_local_values_by_hand():
    # Three in a row and one more: values 1, 2, 3, 6 (mean 3, variance 3.5), links 0-1-2-3, row-standardised.
    matrix = weights.row_standardise(weights.distance_band(np.array([[0.0, 0], [1, 0], [2, 0], [3, 0]]), 1.0))
    result = autocorrelation.local_moran(np.array([1.0, 2, 3, 6]), matrix, permutations=99)
    # z = -2, -1, 0, 3 over sqrt(3.5); lags -1, -1, 1, 0 over sqrt(3.5).
    assert result.lag * np.sqrt(3.5) == pytest.approx([-1, -1, 1, 0])
    assert result.i == pytest.approx(np.array([2, 1, 0, 0]) / 3.5)
    assert result.quadrant.tolist() == ["LL", "LL", "LH", "HL"]
    # A unit at the mean has I = 0 whatever its neighbours are.
    assert (result.p[2], result.z_score[2]) == (1, 0)


def test_local_values_average_to_the_global_one():
    values, matrix = clustered(12), lattice(12)
    local = autocorrelation.local_moran(values, matrix, permutations=99)
    assert local.i.mean() == pytest.approx(autocorrelation.global_moran(values, matrix, permutations=9).i)


@pytest.mark.parametrize(
    ("build", "engine"),
    [(weights.distance_band, autocorrelation.SHARED_TABLE), (weights.kernel, autocorrelation.ESDA)],
)
def test_islands_are_never_significant(build, engine):
    # esda alone would give them the smallest p.
    points = np.r_[np.random.default_rng(0).uniform(0, 10, (60, 2)), [[1e6, 1e6], [2e6, 0]]]
    matrix = build(points, 3.0) if build is weights.distance_band else build(points, bandwidth=3.0)
    matrix = weights.row_standardise(matrix)
    result = autocorrelation.local_moran(np.arange(62.0) ** 3, matrix, permutations=199)
    assert result.engine == engine
    for array in (result.i, result.lag, result.p, result.z_score):
        assert np.isnan(array[60:]).all()
    assert (result.quadrant[60:] == "").all()
    assert np.isfinite(result.p[:60]).all()


def test_seed_repeats_and_changes_the_draws():
    values, matrix = clustered(12), lattice(12)
    first, again, other = (autocorrelation.local_moran(values, matrix, permutations=99, seed=s).p for s in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    runs = [autocorrelation.global_moran(values, matrix, permutations=99, seed=s).simulated for s in (1, 1, 2)]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


def test_almost_everybody_is_everybodys_neighbour():
    # k = n - 2: the sum misses one value only, which is equally likely any of the others'.
    n = 12
    matrix = weights.nearest(np.arange(2.0 * n).reshape(n, 2), n - 2)
    values = np.arange(n) ** 2.0
    result = autocorrelation.local_moran(values, matrix, permutations=99_999, alternative="directed")
    # Unit 0 misses unit 11, the highest: its sum is the lowest of 11 possible ones.
    assert result.p[0] == pytest.approx(1 / 11, abs=0.005)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.01, 1e6), st.integers(-1000, 1000))
def test_unit_of_measurement_makes_no_difference(seed, factor, shift):
    # Counts from 0 to 8, so that sums tie often: ties must be seen through the rounding.
    values, matrix = np.random.default_rng(seed).integers(0, 9, 100).astype(float), lattice(10)
    plain = autocorrelation.local_moran(values, matrix, permutations=99)
    scaled = autocorrelation.local_moran((values + shift) * factor, matrix, permutations=99)
    assert plain.p == pytest.approx(scaled.p)


def test_transforms_by_hand():
    values = np.array([0.0, 3, 3, 100])
    assert autocorrelation.transform(values, "none").tolist() == [0, 3, 3, 100]
    assert autocorrelation.transform(values, "log1p") == pytest.approx(np.log([1, 4, 4, 101]))
    assert autocorrelation.transform(values, "rank").tolist() == [1, 2.5, 2.5, 4]
    # 0..1000: 2.5 % below 25 and above 975 are pulled in.
    tamed = autocorrelation.transform(np.arange(1001.0), "winsor")
    assert (tamed.min(), tamed.max(), tamed[500]) == (25, 975, 500)


def test_progress_and_cancel():
    seen = []
    autocorrelation.local_moran(
        clustered(12), lattice(12), permutations=99, progress=lambda fraction, text="": seen.append(fraction)
    )
    assert seen == sorted(seen)

    def stop(fraction, text=""):
        raise KeyboardInterrupt

    for run in (autocorrelation.local_moran, autocorrelation.global_moran):
        with pytest.raises(KeyboardInterrupt):
            run(clustered(12), lattice(12), progress=stop)


NONE = sparse.csr_array((144, 144))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: autocorrelation.local_moran(clustered(12), NONE), "Parameter weights: no unit has a neighbour"),
        (lambda: autocorrelation.global_moran(clustered(12), NONE), "Parameter weights: no unit has a neighbour"),
        (
            lambda: autocorrelation.global_moran(np.arange(12.0), weights.nearest(np.arange(24.0).reshape(12, 2), 11)),
            "Parameter weights: each of the 12 units has all others as its neighbours",
        ),
        (lambda: autocorrelation.local_moran(np.full(144, 0.1), lattice(12)), "all 144 values are equal (0.1)"),
        (lambda: autocorrelation.global_moran(np.ones(3), PATH[:3, :3]), "3 units with values are too few"),
        (lambda: autocorrelation.local_moran(clustered(12), lattice(12), ddof=2), "Parameter ddof: 2 is unknown"),
        (lambda: autocorrelation.transform(np.array([-2.0, 1]), "log1p"), "1 negative ones (down to -2)"),
        (lambda: autocorrelation.transform(np.ones(2), "sqrt"), "Parameter transform: 'sqrt' is unknown"),
        (lambda: autocorrelation.empirical_bayes(np.array([-1.0, 2]), np.ones(2)), "Parameter rate: empirical-Bayes"),
        (lambda: autocorrelation.local_moran(clustered(12), lattice(12), alternative="up"), "'up' is unknown"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(InputError) as error:
        call()
    assert said in str(error.value)
