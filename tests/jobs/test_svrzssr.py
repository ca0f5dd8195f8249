"""The whole SVR-ZSSR chain, files in and files out; the networks are hardly trained here."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
from affine import Affine
from shapely import box

from carbon_spatializer.core.errors import Cancelled, InputError
from carbon_spatializer.core.superresolution import fast
from carbon_spatializer.jobs import rasters
from carbon_spatializer.jobs.run import Run
from carbon_spatializer.jobs.svrzssr import svr_zssr

UTM = "EPSG:32650"
SIDE, CELL = 6, 1000.0  # regions of 6 x 6 cells of 1 km


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    monkeypatch.setattr(fast, "ITERATIONS", 6)


@pytest.fixture
def inputs(tmp_path):
    """16 regions whose kt are 0.003 per lamp and 0.002 per head, two of them without a total; drivers of 1 km."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[: 4 * SIDE, : 4 * SIDE]
    town = np.exp(-((row - 9) ** 2 + (column - 13) ** 2) / 40) + 0.05
    lights = 60 * town * rng.gamma(5, 0.2, town.shape)
    people = 3000 * town * rng.gamma(5, 0.2, town.shape)
    for name, values in (("lights", lights), ("people", people)):
        with rasterio.open(
            tmp_path / f"{name}.tif",
            "w",
            driver="GTiff",
            width=4 * SIDE,
            height=4 * SIDE,
            count=1,
            dtype="float64",
            crs=UTM,
            transform=Affine(CELL, 0, 500000, 0, -CELL, 3400000),
        ) as dataset:
            dataset.write(values, 1)
    tonnes = (0.003 * lights + 0.002 * people).reshape(4, SIDE, 4, SIDE).sum(axis=(1, 3)).ravel()
    west, north = 500000 + SIDE * CELL * (np.arange(16) % 4), 3400000 - SIDE * CELL * (np.arange(16) // 4)
    regions = gpd.GeoDataFrame(
        {"name": [f"县{number}" for number in range(16)], "kt": tonnes},
        geometry=[box(x, y - SIDE * CELL, x + SIDE * CELL, y) for x, y in zip(west, north)],
        crs=UTM,
    )
    regions.loc[[3, 15], "kt"] = np.nan
    regions.to_file(tmp_path / "regions.gpkg")
    return {
        "regions": str(tmp_path / "regions.gpkg"),
        "total_field": "kt",
        "total_unit": "kt",
        "name_field": "name",
        "drivers": [str(tmp_path / "lights.tif")],
        "total_drivers": [str(tmp_path / "people.tif")],
        "kinds": ["svr_linear", "linear"],
        "output": str(tmp_path / "fine.tif"),
    }


def sums(path, factor):
    """Sums of the 16 regions, and where they have data."""
    with rasterio.open(path) as dataset:
        values = dataset.read(1)
    blocks = values.reshape(4, SIDE * factor, 4, SIDE * factor).transpose(0, 2, 1, 3).reshape(16, -1)
    return np.nansum(blocks, axis=1), np.isfinite(blocks).all(axis=1), values


def test_every_region_adds_up_on_the_fine_and_the_coarse_raster(inputs, tmp_path):
    files = {"coarse": "coarse.tif", "model": "model.json", "table": "table.csv"}
    files |= {"regression_report": "regression.html", "resolution_report": "resolution.html"}
    progress, said = [], []
    run = Run(lambda reply: progress.append(reply["fraction"]) if "fraction" in reply else said.append(reply["text"]))
    result = svr_zssr(run, **inputs, **{name: str(tmp_path / file) for name, file in files.items()})
    run.commit({})
    tonnes = gpd.read_file(inputs["regions"])["kt"].to_numpy() * 1000
    known = np.isfinite(tonnes)
    for file, factor in (("fine.tif", 2), ("coarse.tif", 1)):
        found, has_data, values = sums(tmp_path / file, factor)
        np.testing.assert_allclose(found[known], tonnes[known], rtol=1e-12)
        np.testing.assert_array_equal(has_data, known)
        assert np.nanmin(values) >= 0
    with rasterio.open(tmp_path / "fine.tif") as dataset:
        assert dataset.res == (500, 500)
        assert dataset.tags()["QUANTITY"] == "total"
        assert dataset.units == ("t CO2e",)
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["relative_error"].abs().max() < 1e-9
    assert result["total_t"] == pytest.approx(tonnes[known].sum())
    assert result["relative_error"] < 1e-9
    assert result["cells_r2"] > 0.9
    assert {"r2", "cv", "rmse_saved_pct_over_bicubic", "rmse_saved_pct_over_area"} <= set(result)
    assert set(result["styles"]) == {"output", "coarse"}
    assert "Held-out test" in result["summary"]
    assert progress == sorted(progress)
    assert progress[-1] <= 1
    assert any("Trained by the method" in text for text in said)
    names = {path.name for path in tmp_path.iterdir()}
    made = {"fine.tif", "fine.tif.run.json", *files.values()}
    assert names == {"lights.tif", "people.tif", "regions.gpkg", *made}


def test_finer_by_four_with_shared_borders_and_means_for_the_rest(inputs, tmp_path):
    run = Run()
    svr_zssr(run, **inputs, factor=4, borders="parts", without_total="mean")
    run.commit({})
    tonnes = gpd.read_file(inputs["regions"])["kt"].to_numpy() * 1000
    found, has_data, _ = sums(tmp_path / "fine.tif", 4)
    known = np.isfinite(tonnes)
    np.testing.assert_allclose(found[known], tonnes[known], rtol=1e-9)
    assert has_data.all()
    assert (found[~known] > 0).all()


def test_drivers_of_the_whole_world_are_cut_to_the_regions(inputs, tmp_path):
    for name in ("lights", "people"):
        with rasterio.open(tmp_path / f"{name}.tif") as dataset:
            profile, values = dataset.profile, dataset.read(1)
        around = np.pad(values, 30, mode="wrap")
        west, north = 500000 - 30 * CELL, 3400000 + 30 * CELL
        profile |= {"width": around.shape[1], "height": around.shape[0]}
        profile["transform"] = Affine(CELL, 0, west, 0, -CELL, north)
        with rasterio.open(tmp_path / f"{name}.tif", "w", **profile) as dataset:
            dataset.write(around, 1)
    run = Run()
    svr_zssr(run, **inputs, without_total="mean")
    run.commit({})
    tonnes = gpd.read_file(inputs["regions"])["kt"].to_numpy() * 1000
    # As large as the regions, and no more.
    found, _, values = sums(tmp_path / "fine.tif", 2)
    assert values.shape == (8 * SIDE, 8 * SIDE)
    known = np.isfinite(tonnes)
    np.testing.assert_allclose(found[known], tonnes[known], rtol=1e-9)


def test_a_map_that_would_be_constant_is_refused(inputs, tmp_path):
    with rasterio.open(tmp_path / "people.tif", "r+") as dataset:
        dataset.write(np.full((1, 4 * SIDE, 4 * SIDE), 500.0))
    with pytest.raises(InputError, match=r"constant|same"):
        svr_zssr(Run(), **inputs | {"drivers": None})
    assert not (tmp_path / "fine.tif").exists()


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"drivers": None, "total_drivers": None}, "drivers"),
        ({"total_field": "Mt"}, "total_field"),
        ({"total_unit": "kWh"}, "total_unit"),
        ({"factor": 3}, "factor"),
        ({"method": "gan"}, "method"),
        ({"borders": "all"}, "borders"),
        ({"without_total": "guess"}, "without_total"),
        ({"kinds": ["oracle"]}, "kinds"),
        ({"device": "abacus"}, "device"),
        ({"regions": "/nowhere/regions.gpkg"}, "regions"),
    ],
)
def test_bad_input_is_refused_before_the_network_is_trained(inputs, tmp_path, monkeypatch, changes, parameter):
    monkeypatch.setattr("carbon_spatializer.core.superresolution.train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(InputError) as error:
        svr_zssr(Run(), **inputs | changes)
    assert str(error.value).startswith(f"Parameter {parameter}: ")
    assert not (tmp_path / "fine.tif").exists()


def test_cancel_in_the_middle_leaves_nothing(inputs, tmp_path):
    seen = []
    run = Run(lambda reply: seen.append(reply.get("fraction", 0)), is_cancelled=lambda: max(seen, default=0) > 0.5)
    with pytest.raises(Cancelled):
        svr_zssr(run, **inputs)
    run.discard()
    assert {path.name for path in tmp_path.iterdir()} == {"lights.tif", "people.tif", "regions.gpkg"}


def test_the_grid_of_the_fine_raster_divides_the_coarse_one():
    grid = rasters.Grid(pyproj.CRS(UTM), Affine(CELL, 0, 500000, 0, -CELL, 3400000), 7, 5)
    assert grid.refined(4).bounds == grid.bounds
    assert grid.refined(4).shape == (20, 28)
