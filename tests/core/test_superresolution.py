"""Zero-shot super-resolution: grids by hand and against torch, the learning-rate rule, and small trainings."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from carbon_spatializer.core import superresolution
from carbon_spatializer.core.errors import Cancelled, InputError
from carbon_spatializer.core.superresolution import fast, paper, patches, rates

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Trainings of a second."""
    monkeypatch.setattr(fast, "ITERATIONS", 40)
    monkeypatch.setattr(fast, "BATCH", 4)
    monkeypatch.setattr(fast, "SIZE", 16)
    monkeypatch.setattr(paper, "MOST_ITERATIONS", 6)
    monkeypatch.setattr(paper, "CROP", 32)


def blobs(size=64, seed=0):
    """Round sources of one size on empty ground, t per cell."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    for row, column, tonnes in rng.uniform([0, 0, 5], [size, size, 50], (size * size // 100, 3)):
        image += tonnes * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 4)
    image[image < 0.1] = 0
    return image


def padded(image, model):
    return np.pad(image, model.halo, constant_values=np.nan)


# Grids --------------------------------------------------------------------------------------------------------------


def test_coarsened_sums_totals_and_averages_densities():
    fine = np.array([[1.0, 2, 3, np.nan, 9], [4, 5, 6, 7, 9]])
    # 1 + 2 + 4 + 5 = 12; the other block has a missing cell; the last column fills no block
    assert np.array_equal(superresolution.coarsened(fine, 2, "total"), [[12, np.nan]], equal_nan=True)
    assert np.array_equal(superresolution.coarsened(fine, 2, "density"), [[3, np.nan]], equal_nan=True)


def test_area_weighting_shares_equally():
    coarse = np.array([[8.0, 4.0]])
    assert superresolution.area_weighting(coarse, 2, "total").tolist() == [[2, 2, 1, 1], [2, 2, 1, 1]]
    assert superresolution.area_weighting(coarse, 2, "density").tolist() == [[8, 8, 4, 4], [8, 8, 4, 4]]


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_is_torchs_away_from_the_edges(factor):
    import torch

    tile = np.random.default_rng(0).uniform(1, 2, (12, 9))
    # torch's antialiased enlargement is Keys's with a = -0.5
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(tile)[None, None], scale_factor=factor, mode="bicubic", antialias=True
    )[0, 0].numpy()
    inside = np.s_[2 * factor : -2 * factor, 2 * factor : -2 * factor]
    ours = superresolution.bicubic(tile, factor, "density")
    assert np.allclose(ours[inside], theirs[inside], atol=1e-6)
    assert np.allclose(superresolution.bicubic(tile, factor, "total"), ours / factor**2)


def test_bicubic_of_a_constant_with_missing_cells_is_constant():
    tile = np.full((6, 6), 7.0)
    tile[2, 2:5] = np.nan
    fine = superresolution.bicubic(tile, 2, "density")
    assert np.allclose(fine[np.isfinite(fine)], 7)
    assert np.isnan(fine).sum() == 3 * 4


def test_bicubic_of_logs_follows_a_bell_shape():
    place = np.arange(64) - 31.5
    bell = np.exp(30 - (place[:, None] ** 2 + place**2) / 32)
    coarse = superresolution.coarsened(bell, 2, "density")
    middle = slice(20, -20)
    error = abs(superresolution.bicubic_of_logs(coarse, 2, 1.0) / bell - 1)[middle, middle].max()
    plain = abs(superresolution.bicubic(coarse, 2, "density") / bell - 1)[middle, middle].max()
    assert error < 0.005
    assert plain > 0.1


def test_bicubic_of_logs_stands_any_value():
    tile = np.array([[0, 1e250, 0, np.nan], [1e-300, 1, 0, 0], [0, 0, 1e250, 1e250]])
    fine = superresolution.bicubic_of_logs(tile, 2, 1e-9)
    assert np.isfinite(fine).sum() == 44
    assert np.nanmin(fine) >= 0


def test_bicubic_is_never_negative():
    tile = np.zeros((7, 7))
    tile[3, 3] = 100
    assert superresolution.bicubic(tile, 2).min() == 0


@given(
    arrays(np.float64, (4, 6), elements=st.floats(0, 1e6)),
    arrays(np.float64, (8, 12), elements=st.floats(0, 1e3)),
    st.sampled_from(["total", "density"]),
)
def test_conserved_keeps_every_coarse_cell(coarse, fine, quantity):
    coarse[0, 0] = np.nan
    fine[:2, 2:4] = 0  # spread equally: there is nothing to scale
    result = superresolution.conserved(fine, coarse, 2, quantity)
    assert np.allclose(superresolution.coarsened(result, 2, quantity), coarse, rtol=1e-12, atol=1e-12, equal_nan=True)
    assert np.nanmin(result) >= 0
    assert len(set(result[:2, 2:4].ravel())) == 1


@pytest.mark.parametrize("turn", range(8))
def test_a_turn_is_undone(turn):
    array = np.arange(6).reshape(2, 3)
    assert np.array_equal(patches.turned(patches.turned(array, turn), turn, back=True), array)
    assert len({patches.turned(array, other).tobytes() for other in range(8)}) == 8


def test_parts_are_in_the_order_of_pixel_shuffle():
    import torch

    fine = np.arange(24.0).reshape(4, 6)
    parts = fast._parts(fine, 2)
    assert parts[:, 0, 0].tolist() == [0, 1, 6, 7]  # the upper left block, row by row
    assert torch.pixel_shuffle(torch.from_numpy(parts[None]), 2)[0, 0].tolist() == fine.tolist()


# The learning-rate rule ---------------------------------------------------------------------------------------------

TIMES = np.arange(50, 300, 50)


def test_a_falling_loss_has_not_stalled():
    losses = np.array([1.0, 0.8, 0.62, 0.4, 0.2])
    assert not rates.stalled(TIMES, losses)
    # As the paper words it, "std > 1.5 x slope", the rule would fire on every falling loss: its slope is negative.
    slope = np.polyfit(TIMES, losses, 1)[0]
    assert losses.std() > 1.5 * slope


def test_a_flat_loss_has_stalled():
    assert rates.stalled(TIMES, np.array([0.5, 0.50001, 0.49999, 0.50001, 0.5]))


def test_a_noisy_loss_has_stalled_though_it_falls_a_little():
    assert rates.stalled(TIMES, np.array([0.5, 0.7, 0.3, 0.6, 0.45]))


def test_a_rising_loss_has_stalled():
    assert rates.stalled(TIMES, np.array([0.1, 0.2, 0.3, 0.4, 0.5]))


def test_stalled_by_hand():
    # x = 0, 1, 2 and y = 2, 1, 1: slope -1/2; residuals 1/6, -1/3, 1/6 with squares 1/6 in sum; one degree of freedom,
    # so the slope's standard error is sqrt(1/6 / 2) = 0.2887: 1.5 x 0.5 = 0.75 is more, 0.5 x 0.5 = 0.25 is less
    x, y = np.array([0.0, 1, 2]), np.array([2.0, 1, 1])
    assert not rates.stalled(x, y)
    assert rates.stalled(x, y, steepness=0.5)


def follow(loss):
    """The learning rates under a loss that depends on the iteration."""
    rate = rates.Rate()
    for iteration in range(1, 3001):
        if iteration % rates.TEST_EVERY == 0:
            rate.record(iteration, loss(iteration))
        rate.check(iteration)
        if rate.ended:
            break
    return rate, iteration


def test_the_rate_stays_while_the_loss_falls():
    rate, iteration = follow(lambda iteration: 1 - iteration / 4000)
    assert (rate.value, iteration) == (1e-3, 3000)


def test_the_rate_falls_three_times_on_a_flat_loss_and_then_the_training_ends():
    # checks are at multiples of 60, the first more than 256 iterations after the last change: 300, 600, 900
    rate, iteration = follow(lambda iteration: 0.5 + 0.01 * (-1) ** (iteration // 50))
    assert [change[0] for change in rate.changes] == [0, 300, 600, 900]
    assert [change[1] for change in rate.changes] == pytest.approx([1e-3, 1e-4, 1e-5, 1e-6])
    assert iteration == 900


# Training -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["fast", "paper"])
def method(request):
    return request.param


@pytest.mark.parametrize("quantity", ["total", "density"])
@pytest.mark.parametrize("factor", [2, 3])
def test_a_prediction_conserves_every_coarse_cell(method, factor, quantity):
    image = blobs(48)
    image[5:9, 30:] = np.nan
    model = superresolution.train(image, factor=factor, method=method, quantity=quantity)
    fine = model.predict(padded(image, model))
    assert fine.shape == (48 * factor, 48 * factor)
    assert np.nanmin(fine) >= 0
    back = superresolution.coarsened(fine, factor, quantity)
    assert np.allclose(back, image, rtol=1e-12, atol=0, equal_nan=True)
    assert np.isclose(np.nansum(fine) / (1 if quantity == "total" else factor**2), np.nansum(image), rtol=1e-12)


def test_tiles_are_the_whole(method):
    image = blobs()
    image[:20, 20:33] = np.nan
    model = superresolution.train(image, method=method)
    if method == "fast":
        model._network.trust.fill_(1)  # what the short training is not worth
    whole = model.predict(padded(image, model))
    around = padded(image, model)
    tiles = [
        [
            model.predict(around[row : row + 32 + 2 * model.halo, column : column + 20 + 2 * model.halo])
            for column in (0, 20)
        ]
        for row in (0, 32)
    ]
    assert np.allclose(np.block(tiles), whole[:, :80], rtol=1e-4, atol=1e-6, equal_nan=True)
    less = model.halo - 2
    assert not np.allclose(  # so the halo is needed
        model.predict(np.pad(image[:, 20:52][20:52], less + 2, constant_values=np.nan)),
        whole[40:104, 40:104],
        rtol=1e-4,
        atol=1e-6,
        equal_nan=True,
    )


def test_the_same_seed_gives_the_same(method):
    image = blobs(48)
    first, again, other = (superresolution.train(image, method=method, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(first.weights[name], again.weights[name]) for name in first.weights)
    assert any(not np.array_equal(first.weights[name], other.weights[name]) for name in first.weights)


def test_a_model_is_rebuilt_from_its_state(method):
    image = blobs(48)
    model = superresolution.train(image, method=method)
    state = model.state()
    rebuilt = superresolution.Model.from_state(state, device="cpu")
    assert np.array_equal(rebuilt.predict(padded(image, rebuilt)), model.predict(padded(image, model)))
    assert {type(value) for value in state["weights"].values()} == {np.ndarray}


def test_threads_share_a_model(method):
    image = blobs(48)
    model = superresolution.train(image, method=method)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(model.predict, [padded(image, model)] * 8))
    assert all(np.array_equal(results[0], result) for result in results)


def test_training_from_patches_sees_them_all(method):
    images = [blobs(32, seed) for seed in range(5)]
    model = superresolution.train(images, method=method)
    assert model.scale == pytest.approx(np.median(np.concatenate([image[image > 0] for image in images])))
    assert np.isfinite(model.predict(padded(images[0], model))).all()


def test_training_is_cancelled(method):
    def progress(fraction, text=""):
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        superresolution.train(blobs(48), method=method, progress=progress)


def test_progress_rises_to_the_end():
    fractions = []
    superresolution.train(blobs(48), progress=lambda fraction, text="": fractions.append(fraction))
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_fast_gains_on_sources_of_one_shape(monkeypatch):
    monkeypatch.setattr(fast, "ITERATIONS", 120)
    truth = blobs(128)
    model = superresolution.train(superresolution.coarsened(truth, 2), seed=1)
    scores = superresolution.compare(model, truth)
    assert scores["model"]["rmse"] < 0.95 * scores["bicubic conserved"]["rmse"]
    assert scores["bicubic conserved"]["rmse"] < scores["area weighting"]["rmse"]
    assert max(model.history["trust"]["networks"]) > 0.5


def test_fast_on_noise_shares_equally():
    # Every cell is drawn by itself: nothing can be known of its parts, and cubic convolution does worse than nothing.
    image = np.random.default_rng(0).exponential(size=(96, 96))
    model = superresolution.train(image, seed=1)
    truth = np.random.default_rng(1).exponential(size=(192, 192))
    scores = superresolution.compare(model, truth)
    assert scores["model"]["rmse"] < 1.01 * scores["area weighting"]["rmse"]
    assert scores["area weighting"]["rmse"] < scores["bicubic conserved"]["rmse"]


def test_fast_stays_with_cubic_convolution_where_unseen_folds_contradict(monkeypatch):
    # Each network has learnt the wrong thing by heart: the mirror image of what is true.
    image = blobs(64)

    def mislearn(member, patches, factor, scale, trust, rng, device, progress):
        import torch

        with torch.no_grad():
            member[-1].bias.copy_(torch.tensor([9.0, 0, 0, 0]))
        return []

    monkeypatch.setattr(fast, "_fit_member", mislearn)
    model = superresolution.train(image)
    assert max(model.history["trust"]["networks"]) < 0.1
    cubic = superresolution.conserved(superresolution.bicubic_of_logs(image, 2, model.scale), image, 2)
    assert np.allclose(model.predict(padded(image, model)), cubic, atol=0.1 * image.max())


def test_fast_learns_though_a_single_square_emits():
    image = np.zeros((64, 64))
    image[3:9, 3:9] = blobs(6) + 1
    model = superresolution.train(image)
    fine = model.predict(padded(image, model))
    assert np.isclose(fine.sum(), image.sum(), rtol=1e-12)
    assert fine[20:].sum() == 0


def test_the_smallest_raster(method):
    image = blobs(16)
    model = superresolution.train(image, method=method)
    assert np.isclose(model.predict(padded(image, model)).sum(), image.sum(), rtol=1e-12)


def test_the_published_network_is_eight_layers_of_64_channels():
    network = paper.network(2)
    convolutions = [layer for layer in network if hasattr(layer, "kernel_size")]
    shapes = [(layer.in_channels, layer.out_channels) for layer in convolutions]
    assert shapes == [(1, 64), *[(64, 64)] * 6, (64, 1)]
    assert all(layer.bias is None and layer.kernel_size == (3, 3) for layer in convolutions)


def test_scores_by_hand():
    truth = np.array([[0.0, 3.0, np.nan]])
    result = np.array([[0.0, 1.0, 5.0]])
    found = superresolution.evaluation.scores(truth, result, scale=1.0)
    # errors 0 and -2: RMSE sqrt(2), MAE 1; variance of the truth 2.25, R2 = 1 - 2 / 2.25; logs 0 and log 4 against 0
    # and log 2: RMSE log 2 / sqrt 2, PSNR = 20 log10(2 sqrt 2) = 9.0309
    assert found["cells"] == 2
    assert found["rmse"] == pytest.approx(2**0.5)
    assert found["mae"] == pytest.approx(1)
    assert found["r2"] == pytest.approx(1 - 2 / 2.25)
    assert found["psnr_log"] == pytest.approx(9.0309, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "parameter", "words"),
    [
        ({"factor": 1}, "factor", "1 makes nothing finer"),
        ({"factor": 2.5}, "factor", "2.5"),
        ({"method": "best"}, "method", "'best' is unknown"),
        ({"quantity": "mass"}, "quantity", "'mass' is unknown"),
        ({"images": blobs(64)[:3, :3]}, "input", "3 x 3 cells are too few"),
        ({"images": []}, "input", "too few"),
        ({"images": np.full((32, 32), np.nan)}, "input", "no cell has an emission"),
        ({"images": np.zeros((32, 32))}, "input", "no cell has an emission"),
        ({"images": np.full((32, 32), 5.0)}, "input", "every cell has the value 5"),
        ({"images": blobs(32) - 1}, "input", "are negative"),
        ({"images": np.where(blobs(32) > 0, np.inf, 0)}, "input", "infinite"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(change, parameter, words):
    arguments = {"images": blobs(32)} | change
    with pytest.raises(InputError, match=words) as caught:
        superresolution.train(arguments.pop("images"), **arguments)
    assert caught.value.parameter == parameter


def test_a_device_that_is_not_there_is_refused():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(InputError, match="no CUDA device"):
        superresolution.train(blobs(32), device="cuda")
