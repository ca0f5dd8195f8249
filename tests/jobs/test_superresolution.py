"""Super-resolution by tiles, files in and files out. The networks are hardly trained here: what they must keep at any
quality is tested; how good they are is measured by scripts/bench superresolution."""

import shutil

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from carbon_spatializer.core.errors import Cancelled, CarbonError, InputError
from carbon_spatializer.core.superresolution import fast, paper
from carbon_spatializer.jobs import executors, superresolution
from carbon_spatializer.jobs.rasters import Grid
from carbon_spatializer.jobs.run import Run
from carbon_spatializer.jobs.superresolution import super_resolve

UTM = "EPSG:32650"


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    monkeypatch.setattr(fast, "ITERATIONS", 6)
    monkeypatch.setattr(paper, "MOST_ITERATIONS", 3)


def emissions(height=70, width=90, seed=0):
    """A town on a plain of little emissions, point sources, zeros in the east and a lake without data."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width]
    values = 50 * np.exp(-((row - 30) ** 2 + (column - 35) ** 2) / 200) * rng.gamma(2, 0.5, (height, width))
    values[values < 1e-6] = 0
    values[rng.integers(0, height, 8), rng.integers(0, width, 8)] += 500
    values[:, width - 12 :] = 0
    values[5:12, 8:20] = np.nan
    return values


def write(path, values, crs=UTM, transform=None, nodata=-9999.0, dtype="float64", **tags):
    transform = transform or Affine(1000, 0, 500000, 0, -1000, 3400000)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=values.shape[1],
        height=values.shape[0],
        count=1,
        dtype=dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as dataset:
        dataset.write(np.where(np.isnan(values), nodata, values).astype(dtype), 1)
        dataset.update_tags(**tags)
    return str(path)


@pytest.fixture
def resolve(tmp_path):
    """Super-resolve an array: the fine array, the job's result, and what it said."""

    def resolved(values, name="in.tif", writing=None, **arguments):
        source = write(tmp_path / name, values, **(writing or {}))
        said = []
        run = Run(said.append)
        result = super_resolve(run, **{"input": source, "output": str(tmp_path / "fine.tif")} | arguments)
        run.commit({})
        with rasterio.open(tmp_path / "fine.tif") as dataset:
            fine = dataset.read(1)
        return fine, result, " ".join(reply.get("text", "") for reply in said)

    return resolved


def blocks(fine, factor):
    rows, columns = (size // factor for size in fine.shape)
    return fine.reshape(rows, factor, columns, factor).transpose(0, 2, 1, 3).reshape(rows, columns, -1)


# What is kept ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fast", "paper"])
def test_every_cell_keeps_its_total(resolve, tmp_path, method):
    values = emissions()
    fine, result, _ = resolve(values, method=method, writing={"UNIT": "t CO2e", "QUANTITY": "total"})
    known = np.isfinite(values)
    np.testing.assert_allclose(blocks(fine, 2).sum(axis=2)[known], values[known], rtol=1e-12)
    assert np.isnan(blocks(fine, 2)[~known]).all()
    assert np.nanmin(fine) >= 0
    assert (blocks(fine, 2)[values == 0] == 0).all()
    assert result["relative_error"] < 1e-12
    assert result["input_sum"] == pytest.approx(np.nansum(values))
    assert result["cells"] == 4 * known.sum()
    with rasterio.open(tmp_path / "fine.tif") as dataset:
        assert dataset.shape == (140, 180)
        assert dataset.transform == Affine(500, 0, 500000, 0, -500, 3400000)
        assert pyproj.CRS(dataset.crs) == pyproj.CRS(UTM)
        assert dataset.units == ("t CO2e",)
        assert dataset.tags()["QUANTITY"] == "total"


def test_densities_keep_their_mean(resolve):
    values = emissions()
    fine, _, _ = resolve(values, writing={"QUANTITY": "density"})
    known = np.isfinite(values)
    np.testing.assert_allclose(blocks(fine, 2).mean(axis=2)[known], values[known], rtol=1e-12)


def test_totals_and_densities_differ_by_the_number_of_parts_only(resolve):
    """A total of 8 has parts that sum to 8, a density of 8 has parts that average to 8: four times as much each."""
    totals, of_totals, _ = resolve(emissions(), quantity="total")
    densities, of_densities, _ = resolve(emissions(), quantity="density")
    np.testing.assert_allclose(densities, 4 * totals, rtol=1e-5)
    for name in ("rmse_saved_pct_over_bicubic", "psnr_gain_db_over_area"):
        assert of_totals[name] == pytest.approx(of_densities[name], abs=1e-3)


@pytest.mark.parametrize("quantity", ["total", "density"])
@pytest.mark.parametrize("factor", [4, 8])
def test_repeated_steps_keep_the_cells(resolve, tmp_path, factor, quantity):
    values = emissions(40, 50)
    fine, result, _ = resolve(values, factor=factor, quantity=quantity)
    known, parts = np.isfinite(values), blocks(fine, factor)
    kept = parts.sum(axis=2) if quantity == "total" else parts.mean(axis=2)
    np.testing.assert_allclose(kept[known], values[known], rtol=1e-12)
    assert fine.shape == (40 * factor, 50 * factor)
    assert result["relative_error"] < 1e-12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fine.tif", "fine.tif.run.json", "in.tif"]


def test_steps_of_totals_and_densities_agree(resolve):
    """The network sees the same numbers at the second step, whatever the quantity."""
    totals, _, _ = resolve(emissions(40, 50), quantity="total", factor=4)
    densities, _, _ = resolve(emissions(40, 50), quantity="density", factor=4)
    np.testing.assert_allclose(densities, 16 * totals, rtol=1e-4, atol=1e-6)


def test_degrees_and_float32_and_scaled_values(resolve, tmp_path):
    degrees = Affine(0.01, 0, 120, 0, -0.01, 31)
    values = np.round(emissions())
    fine, _, _ = resolve(values, writing={"crs": "EPSG:4326", "transform": degrees, "dtype": "float32"})
    assert np.nansum(fine) == pytest.approx(np.nansum(values), rel=1e-12)


def test_the_same_seed_gives_the_same_raster(resolve):
    first, _, _ = resolve(emissions(), seed=3)
    again, _, _ = resolve(emissions(), seed=3)
    other, _, _ = resolve(emissions(), seed=4)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)


# Tiles and executors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fast", "paper"])
def test_tiles_give_what_the_whole_raster_gives(resolve, method):
    whole, _, _ = resolve(emissions(), method=method, tile=256)
    tiled, _, _ = resolve(emissions(), method=method, tile=32)
    np.testing.assert_allclose(tiled, whole, rtol=1e-4, atol=1e-6)
    # Where tiles meet, at every 64th fine cell, there is no more difference than elsewhere.
    difference = np.nan_to_num(np.abs(tiled - whole))
    assert difference[:, 62:66].max() <= 1e-5 * np.nanmax(whole)


def test_any_number_of_threads_gives_the_same(resolve, monkeypatch):
    one_by_one = []
    for count in (1, 3):
        monkeypatch.setattr(executors, "_processors", lambda count=count: count)
        fine, _, said = resolve(emissions(), tile=32)
        assert f"on {count} threads" in said
        one_by_one.append(fine)
    np.testing.assert_array_equal(*one_by_one)


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed", reason="Dask is optional")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "worker_dashboard_address": None}
    with distributed.LocalCluster(**options) as made:
        yield made


def test_dask_workers_give_what_threads_give(resolve, cluster):
    by_threads, _, _ = resolve(emissions(), tile=32)
    by_dask, _, said = resolve(emissions(), tile=32, scheduler=cluster.scheduler_address)
    assert f"2 threads of Dask workers at {cluster.scheduler_address}" in said
    np.testing.assert_array_equal(by_dask, by_threads)


def test_few_tiles_lie_in_memory_at_a_time():
    taken, done = 0, 0
    most = []

    def arguments():
        nonlocal taken
        for number in range(50):
            taken += 1
            most.append(taken - done)
            yield (number,)

    with executors.pool(threads=2) as pool:
        for number, result in enumerate(pool.map(lambda number: number**2, arguments())):
            assert result == number**2
            done += 1
    assert done == 50
    assert max(most) <= 7


def test_waiting_tasks_end_with_the_job():
    started = []

    def task(number):
        started.append(number)
        if number == 0:
            raise Cancelled
        return number

    with executors.pool(threads=1) as pool, pytest.raises(Cancelled):
        list(pool.map(task, ((number,) for number in range(30))))
    assert len(started) < 5


def test_cancel_between_tiles_leaves_nothing(tmp_path):
    source = write(tmp_path / "in.tif", emissions())
    texts = []
    run = Run(
        lambda reply: texts.append(reply.get("text", "")),
        is_cancelled=lambda: any(text.startswith("Tile") for text in texts),
    )
    with pytest.raises(Cancelled):
        super_resolve(run, input=source, output=str(tmp_path / "fine.tif"), tile=32)
    run.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


# Training and the held-out test ---------------------------------------------------------------------------------------


@pytest.fixture
def training(monkeypatch):
    """What the networks were trained on."""
    seen = []
    train = superresolution.core.train

    def spy(images, **options):
        seen.append([image.copy() for image in images])
        return train(images, **options)

    monkeypatch.setattr(superresolution.core, "train", spy)
    return seen


def test_training_does_not_see_the_blocks_of_the_test(resolve, training):
    values = emissions(96, 96)
    _, result, said = resolve(values)
    [[image]] = training
    hidden = np.isfinite(values) & np.isnan(image)
    # Blocks of 16 x 16 cells: 36, of which those with emissions count, and a tenth of them is hidden.
    assert hidden.sum() in (3 * 256, 4 * 256)
    np.testing.assert_array_equal(image[np.isfinite(image)], values[np.isfinite(image)])
    assert f"({hidden.sum():,} cells)" in said
    assert -50 < result["rmse_saved_pct_over_bicubic"] < 50


def test_large_rasters_are_trained_on_patches(resolve, training, monkeypatch):
    monkeypatch.setattr(superresolution, "_MOST_CELLS_WHOLE", 10_000)
    monkeypatch.setattr(superresolution, "_PATCHES", 5)
    values = emissions(400, 450)
    fine, _, _ = resolve(values)
    [images] = training
    assert len(images) == 5
    assert {image.shape for image in images} <= {(128, 128), (128, 66), (80, 128), (80, 66), (128, 130)}
    assert all((image > 0).any() for image in images)
    assert np.nansum(fine) == pytest.approx(np.nansum(values), rel=1e-12)


def test_the_log_says_when_nothing_is_gained(resolve):
    """Noise has no structure to learn: equal sharing is the best that can be done."""
    _, result, _ = resolve(np.random.default_rng(0).gamma(1, 1, (64, 64)))
    assert "gains NOTHING here" in result["summary"]
    assert result["rmse_saved_pct_over_area"] < 1


def test_the_verdict_names_both_baselines():
    table = {"rmse": 8.0, "mae": 1, "psnr_log": 33.0, "r2": 0.9, "cells": 1234}
    scores = {
        "model": table,
        "bicubic": table | {"rmse": 11.0},
        "bicubic conserved": table | {"rmse": 10.0, "psnr_log": 31.5},
        "area weighting": table | {"rmse": 16.0, "psnr_log": 34.0},
    }
    # 1 - 8 / 10 = 20 %, 33 - 31.5 = 1.5 dB; 1 - 8 / 16 = 50 %, 33 - 34 = -1 dB
    assert superresolution._verdict(scores) == (
        "Held-out test one level coarser (1,234 cells): 20.0 % less RMSE than bicubic conserved and +1.50 dB (log); "
        "50.0 % less RMSE than area weighting and -1.00 dB (log); super-resolution gains here."
    )
    scores["model"] = table | {"rmse": 9.95}
    assert "gains NOTHING" in superresolution._verdict(scores)


def test_a_raster_too_small_for_a_test_is_still_resolved(resolve):
    values = np.full((16, 16), np.nan)
    values[:4, :8] = np.arange(1, 33.0).reshape(4, 8)
    fine, _, said = resolve(values)
    assert "too small to hold a part of it out" in said
    assert np.nansum(fine) == pytest.approx(32 * 33 / 2)


def test_report(resolve, tmp_path):
    resolve(emissions(), report=str(tmp_path / "report.html"), method="paper")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "area weighting" in text
    assert text.count("<img") == 2
    assert "'paper', 3 iterations" in text.replace("&#x27;", "'")


# Bad input ------------------------------------------------------------------------------------------------------------

GOOD = emissions(40, 40)


def with_cell(value):
    values = GOOD.copy()
    values[30, 30] = value
    return values


@pytest.mark.parametrize(
    ("values", "changes", "parameter", "text"),
    [
        (GOOD, {"factor": 1}, "factor", "1 is not possible. Use one of 2, 4, 8"),
        (GOOD, {"factor": 3}, "factor", "3 is not possible"),
        (GOOD, {"factor": 0}, "factor", "0 is not possible"),
        (GOOD, {"method": "gan"}, "method", "'gan' is unknown. Use one of fast, paper"),
        (GOOD, {"quantity": "mean"}, "quantity", "'mean' is unknown"),
        (GOOD, {"device": "tpu"}, "device", "'tpu' is unknown"),
        (GOOD, {"tile": 8}, "tile", "8 is not between 32 and 2048"),
        (GOOD, {"input": "/nowhere/in.tif"}, "input", "does not exist"),
        (GOOD, {"input": None}, "input", "no layer was given"),
        (GOOD, {"input": __file__}, "input", "cannot be read as a raster"),
        (GOOD, {"output": "/proc/fine.tif"}, "output", "cannot be written"),
        (GOOD, {"writing": {"crs": None}}, "input", "the raster has no CRS"),
        (GOOD, {"writing": {"transform": Affine(1000, 200, 0, 200, -1000, 0)}}, "input", "rotated"),
        (GOOD, {"writing": {"dtype": "complex64", "nodata": None}}, "input", "complex"),
        (GOOD[:3, :3], {}, "input", "3 x 3 cells are too few"),
        (GOOD[:, :10], {}, "input", "10 x 40 cells are too few"),
        (GOOD * np.nan, {}, "input", "holds no data"),
        (GOOD * 0, {}, "input", "all values of 'in' are zero"),
        (np.full((40, 40), 7.0), {}, "input", "every cell has the value 7"),
        (with_cell(-0.5), {}, "input", "negative values, for example -0.5"),
        (with_cell(np.inf), {}, "input", "infinite values"),
        (GOOD, {"scheduler": "tcp://127.0.0.1:1"}, "scheduler", ""),
        (GOOD, {"scheduler": "nonsense"}, "scheduler", ""),
    ],
)
def test_bad_input_is_refused_in_a_sentence(resolve, tmp_path, monkeypatch, values, changes, parameter, text):
    monkeypatch.setattr(executors, "_CONNECT_SECONDS", 2)
    with pytest.raises(InputError) as error:
        resolve(values, **changes)
    assert str(error.value).startswith(f"Parameter {parameter}: ")
    assert text in str(error.value)
    assert not (tmp_path / "fine.tif").exists()


def test_a_missing_gpu_is_told(resolve):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="no CUDA device"):
        resolve(GOOD, device="cuda")


def test_a_full_disk_is_told(resolve, tmp_path, monkeypatch):
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=1000))
    with pytest.raises(CarbonError, match="The disk is full"):
        resolve(GOOD)
    assert not (tmp_path / "fine.tif").exists()


def test_a_file_cut_short_is_told(resolve, tmp_path):
    """A GeoTIFF whose second half is missing opens, but cannot be read to its end."""
    source = tmp_path / "cut.tif"
    write(source, emissions(300, 300))
    source.write_bytes(source.read_bytes()[:200_000])
    with pytest.raises(InputError, match="cannot be read"):
        resolve(GOOD, input=str(source))


def test_windows_of_a_grid_follow_the_blocks():
    """The survey cuts a raster of 300 x 100 in strips that hold whole blocks, and finds each cell once."""
    values = np.zeros((300, 100))
    values[299, 99] = values[64, 0] = 1

    class Raster:
        grid = Grid(pyproj.CRS(UTM), Affine(1, 0, 0, 0, -1, 0), 100, 300)
        name = "in"

        def read(self, window: Window):
            return values[window.toslices()]

    survey = superresolution._survey(Raster(), lambda fraction, text: None)
    # 100 // 12 * 2 = 16 cells a side; cell 299 is in block 18, cell 64 in block 4, cell 99 in block 6.
    assert survey.side == 16
    assert survey.positive.shape == (19, 7)
    assert np.argwhere(survey.positive).tolist() == [[4, 0], [18, 6]]
    assert survey.total == 2
