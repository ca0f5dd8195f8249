"""Comparison of regressions and the coarse map, files in and files out."""

import json
import re

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.transform import from_origin
from shapely import box

from carbon_spatializer.core.errors import CarbonError, InputError
from carbon_spatializer.jobs import rasters, regression
from carbon_spatializer.jobs.drivers import open_drivers
from carbon_spatializer.jobs.regression import compare_regressions, read_model, spatialize_coarse
from carbon_spatializer.jobs.run import Run

UTM = "EPSG:32650"
WEST, NORTH = 500000, 3500000
SIDE = 10  # cells of 1 km a region is wide and high
QUICK = {"kinds": ["linear", "nonnegative"], "draws": 10}


def write(path, values, size=1000, crs=UTM, west=WEST, north=NORTH, nodata=None, **tags):
    values = np.asarray(values)
    settings = {"driver": "GTiff", "count": 1, "dtype": values.dtype, "crs": crs, "nodata": nodata}
    transform = from_origin(west, north, size, size)
    with rasterio.open(
        path, "w", height=values.shape[0], width=values.shape[1], transform=transform, **settings
    ) as file:
        file.update_tags(**tags)
        file.write(values, 1)
    return str(path)


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.fixture
def folder(tmp_path):
    """Twelve regions of 10 x 10 km in 3 rows and 4 columns; light (a density) and people (a total per cell).

    Each region emits 4 t per unit of light and 0.01 t per person.
    """
    rng = np.random.default_rng(0)
    region = np.repeat(np.repeat(np.arange(12).reshape(3, 4), SIDE, axis=0), SIDE, axis=1)
    light = rng.lognormal(0, 1, region.shape) * rng.lognormal(0, 1, 12)[region]
    people = rng.lognormal(4, 1, region.shape) * rng.lognormal(0, 1, 12)[region]
    write(tmp_path / "light.tif", light)
    write(tmp_path / "people.tif", people)
    tonnes = np.bincount(region.ravel(), (4 * light + 0.01 * people).ravel())
    frame = gpd.GeoDataFrame(
        {"name": [f"省{number}" for number in range(12)], "co2": tonnes, "co2_before": 0.9 * tonnes},
        geometry=[
            box(WEST + 10000 * c, NORTH - 10000 * (r + 1), WEST + 10000 * (c + 1), NORTH - 10000 * r)
            for r in range(3)
            for c in range(4)
        ],
        crs=UTM,
    )
    frame.to_file(tmp_path / "regions.gpkg")
    return tmp_path


def change(folder, **columns):
    frame = gpd.read_file(folder / "regions.gpkg").assign(**columns)
    frame.to_file(folder / "regions.gpkg", mode="w")


def execute(job, **arguments):
    said = []
    run = Run(lambda reply: said.append(reply.get("text", "")) if reply["type"] != "progress" else None)
    result = job(run, **arguments)
    run.commit({})
    return result, "\n".join(said)


def drivers_of(folder):
    return {"drivers": [str(folder / "light.tif")], "total_drivers": [str(folder / "people.tif")]}


def compare(folder, **arguments):
    defaults = {
        "regions": str(folder / "regions.gpkg"),
        "total_field": "co2",
        "name_field": "name",
        "model": str(folder / "model.json"),
        "output": str(folder / "residuals.gpkg"),
    }
    result, said = execute(compare_regressions, **defaults | drivers_of(folder) | QUICK | arguments)
    return gpd.read_file(folder / "residuals.gpkg"), result, said


def spatialize(folder, **arguments):
    defaults = {"model": str(folder / "model.json"), "output": str(folder / "coarse.tif")}
    result, said = execute(spatialize_coarse, **defaults | drivers_of(folder) | arguments)
    return read(folder / "coarse.tif"), result, said


# Regions and their drivers --------------------------------------------------------------------------------------------


def test_regions_get_sums_and_means_of_exact_fractions(tmp_path):
    # Cells of 1 km: light 1 2 / 3 4, people 10 20 / 30 40. A region takes half of the left column: light mean
    # (1 + 3)/2 = 2; people 5 + 15 = 20 on 1 km2 (half of two cells).
    write(tmp_path / "light.tif", np.array([[1.0, 2], [3, 4]]))
    write(tmp_path / "people.tif", np.array([[10.0, 20], [30, 40]]))
    half = box(WEST, NORTH - 2000, WEST + 500, NORTH)
    frame = gpd.GeoDataFrame(geometry=[half, box(WEST, NORTH - 2000, WEST + 2000, NORTH)], crs=UTM)
    run = Run()
    with open_drivers(run, str(tmp_path / "light.tif"), str(tmp_path / "people.tif")) as drivers:
        known, cells = regression._summarise(run, frame, np.array([1.0, 2]), drivers, 0, run.progress)
    # On the meridian of a UTM zone lengths are 0.9996 of the true ones, areas 0.9992.
    assert known.area_km2 == pytest.approx([1, 4], rel=1e-3)
    assert known.sums["people"].tolist() == pytest.approx([20, 100])
    assert known.sums["light"].tolist() == pytest.approx([2, 10])
    assert known.densities["light"].tolist() == pytest.approx([2, 2.5])
    assert known.densities["people"].tolist() == pytest.approx([20, 25], rel=1e-3)
    assert cells.weight[cells.region == 0].tolist() == pytest.approx([0.5, 0.5])
    assert cells.weight.sum() == pytest.approx(5)


def test_cells_without_data_in_one_driver_count_in_none(tmp_path):
    write(tmp_path / "light.tif", np.array([[1.0, 2], [3, -9]]), nodata=-9)
    write(tmp_path / "people.tif", np.array([[np.nan, 20], [30, 40]]))
    frame = gpd.GeoDataFrame(geometry=[box(WEST, NORTH - 2000, WEST + 2000, NORTH)], crs=UTM)
    run = Run()
    for missing, area, people, light in (("skip", 2, 50, 2.5), ("zero", 4, 90, 1.5)):
        sources = str(tmp_path / "light.tif"), str(tmp_path / "people.tif")
        with open_drivers(run, *sources, missing=missing) as drivers:
            known, _ = regression._summarise(run, frame, np.array([1.0]), drivers, 0, run.progress)
        assert known.area_km2 == pytest.approx([area], rel=1e-3)
        assert known.sums["people"].tolist() == pytest.approx([people])
        assert known.densities["light"].tolist() == pytest.approx([light])


def test_large_regions_are_sampled_by_weight(folder, monkeypatch):
    monkeypatch.setattr(regression, "_CELLS_JUDGED", 1)
    monkeypatch.setattr(regression, "_CELLS_PER_REGION", 40)
    run = Run()
    frame = gpd.read_file(folder / "regions.gpkg")
    with open_drivers(run, **drivers_of(folder)) as drivers:
        _, cells = regression._summarise(run, frame, frame["co2"].to_numpy(), drivers, 0, run.progress)
    assert 350 < len(cells.region) < 610
    assert cells.weight.sum() == pytest.approx(1200, rel=0.15)


# The common grid ------------------------------------------------------------------------------------------------------


def test_totals_are_summed_and_densities_averaged_on_the_coarsest_grid(tmp_path):
    # Fine cells of 500 m: light 1..16, people all 1. On 1 km: light means, people 4 per cell.
    write(tmp_path / "light.tif", np.arange(1.0, 17).reshape(4, 4), size=500)
    write(tmp_path / "people.tif", np.ones((4, 4)), size=500)
    write(tmp_path / "gdp.tif", np.array([[1.0, 2], [3, 4]]))
    light, people, gdp = (str(tmp_path / f"{name}.tif") for name in ("light", "people", "gdp"))
    with open_drivers(Run(), [light, gdp], [people]) as drivers:
        assert drivers.grid.shape == (2, 2)
        assert drivers.names == ["light", "gdp", "people"]
        assert drivers.totals == [False, False, True]
        values = drivers.read(drivers.windows()[0])
    # (1 + 2 + 5 + 6)/4 = 3.5, then 5.5, 11.5, 13.5.
    assert values[:, 0].tolist() == pytest.approx([3.5, 5.5, 11.5, 13.5])
    assert values[:, 1].tolist() == [1, 2, 3, 4]
    assert values[:, 2].tolist() == pytest.approx([4, 4, 4, 4])


def test_the_common_grid_is_cut_to_where_all_drivers_lie(tmp_path):
    write(tmp_path / "wide.tif", np.ones((6, 8)))
    write(tmp_path / "small.tif", np.ones((4, 4)), size=500, west=WEST + 2000, north=NORTH - 1000)
    with open_drivers(Run(), [str(tmp_path / "wide.tif"), str(tmp_path / "small.tif")]) as drivers:
        assert drivers.grid.bounds == (WEST + 2000, NORTH - 3000, WEST + 4000, NORTH - 1000)
    # A given grid is taken as it is.
    with open_drivers(Run(), str(tmp_path / "wide.tif"), grid=str(tmp_path / "small.tif")) as drivers:
        assert drivers.grid.shape == (4, 4)


def test_drivers_in_other_crs_keep_their_totals(folder):
    with rasterio.open(folder / "people.tif") as file:
        people = file.read(1).sum()
    # The same people on a grid of 0.01 degrees around.
    grid = rasters.Grid(pyproj.CRS(4326), Affine(0.01, 0, 116.9, 0, -0.01, 31.8), 70, 60)
    with rasters.open_band(str(folder / "people.tif"), "input") as raster:
        in_degrees = rasters.resampled(raster, grid, "sum").read()
    write(folder / "people.tif", in_degrees, size=0.01, crs="EPSG:4326", west=116.9, north=31.8)
    assert np.nansum(in_degrees) == pytest.approx(people, rel=1e-9)
    frame, result, said = compare(folder, forms="mean density")
    assert "Common grid" in said
    # Those in the part of a border cell that reaches out of the regions are outside now.
    assert (frame["people"] * frame["area_km2"]).sum() == pytest.approx(people, rel=0.03)
    assert result["r2"] > 0.95


def test_a_raster_that_says_that_it_holds_totals_is_one(folder):
    write(folder / "people.tif", read(folder / "people.tif"), QUANTITY="total")
    both = [str(folder / "light.tif"), str(folder / "people.tif")]
    _, _, said = compare(folder, drivers=both, total_drivers=None)
    assert "'people' says that it holds totals per cell" in said
    model, missing, from_cells = read_model(folder / "model.json")
    assert model.totals == [False, True]
    assert missing == "skip"
    assert from_cells > 0.9


# The comparison -------------------------------------------------------------------------------------------------------


def test_the_law_of_the_data_is_found(folder):
    frame, result, said = compare(folder, table=str(folder / "models.csv"), report=str(folder / "report.html"))
    assert "Pearson r of light" in said
    assert "Best of 4: Non-negative linear on mean density" in result["summary"]
    assert result["r2"] > 0.999
    assert result["regions_count"] == 12
    assert frame["predicted_t"].to_numpy() == pytest.approx(frame["co2"].to_numpy(), rel=1e-3)
    assert frame["residual_t"].to_numpy() == pytest.approx((frame["predicted_t"] - frame["total_t"]).to_numpy())
    assert frame["tested"].tolist() == [1] * 12
    assert frame["name"].tolist() == [f"省{number}" for number in range(12)]
    table = pd.read_csv(folder / "models.csv")
    assert table[["form", "model"]].to_numpy().tolist() == [
        [form, kind] for form in ("log density", "mean density") for kind in QUICK["kinds"]
    ]
    assert (table["r2_low"] <= table["r2_high"]).all()
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2
    assert "Non-negative linear ★" in page
    assert "nan" not in re.sub(r'src="[^"]*"', "", page)
    style = result["styles"]["output"]
    assert (style["field"], style["ramp"]) == ("residual_pct", "difference")
    assert style["breaks"] == sorted(style["breaks"])


def test_units_of_the_totals(folder):
    change(folder, mt=lambda frame: frame["co2"] / 1e6)
    frame, _, _ = compare(folder, total_field="mt", total_unit="Mt")
    assert frame["total_t"].to_numpy() == pytest.approx(frame["co2"].to_numpy())


def test_a_test_year_has_its_own_totals_and_drivers(folder):
    # A year before there was 10 % less of everything.
    for name in ("light", "people"):
        write(folder / f"{name}_before.tif", 0.9 * read(folder / f"{name}.tif"))
    frame, result, said = compare(
        folder,
        test_field="co2_before",
        test_drivers=[str(folder / "light_before.tif")],
        test_total_drivers=[str(folder / "people_before.tif")],
    )
    assert frame["total_t"].to_numpy() == pytest.approx(frame["co2_before"].to_numpy())
    assert frame["predicted_t"].to_numpy() == pytest.approx(frame["co2_before"].to_numpy(), rel=1e-3)
    assert "taken in their order" in said
    assert "tested by the totals in 'co2_before' of 12 regions" in result["summary"].replace("Tested", "tested")
    # With the drivers of the later year 1/9 too much is predicted.
    frame, _, _ = compare(folder, test_field="co2_before")
    assert frame["residual_pct"].to_numpy() == pytest.approx(100 / 9, rel=1e-2)


def test_regions_held_out_are_not_learnt_from(folder):
    change(folder, held=[1, 0, 0, 0] * 3)
    change(folder, co2=lambda frame: np.where(frame["held"] == 1, 1e6, frame["co2"]))
    frame, result, _ = compare(folder, holdout_field="held")
    assert result["regions_count"] == 9
    assert frame["tested"].tolist() == [1, 0, 0, 0] * 3
    # What was held out is absurd, and the model did not see it.
    assert (frame["predicted_t"][frame["held"] == 1] < 1e5).all()
    assert frame["total_t"][frame["held"] == 1].tolist() == [1e6] * 3


def test_regions_without_a_total_or_cells_are_named(folder):
    frame = gpd.read_file(folder / "regions.gpkg")
    frame.loc[3, "co2"] = np.nan
    far = gpd.GeoDataFrame({"name": ["far"], "co2": [5.0]}, geometry=[box(9e5, 3e6, 9.1e5, 3.1e6)], crs=UTM)
    pd.concat([frame, far], ignore_index=True).to_file(folder / "regions.gpkg", mode="w")
    result, report, said = compare(folder, report=str(folder / "report.html"))
    assert "1 regions have no total and are left out (省3)" in said
    assert "1 hold no cell with data in all drivers and are left out (far)" in said
    assert report["regions_count"] == 11
    assert result["predicted_t"].notna().tolist() == [True] * 12 + [False]
    assert "2 regions without total or cells: 省3, far." in (folder / "report.html").read_text(encoding="utf-8")


def test_regions_with_gaps_are_named(folder):
    light = read(folder / "light.tif")
    light[:6, :SIDE] = np.nan
    write(folder / "light.tif", light)
    _, _, said = compare(folder)
    assert "in 1 of them less than 50 % of the area has data in all drivers (省0)" in said


def test_the_same_seed_gives_the_same_files(folder):
    kinds = ["random_forest", "svr_linear"]
    compare(folder, kinds=kinds, forms="log density", choose_by="test")
    before = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    compare(folder, kinds=kinds, forms="log density", choose_by="test")
    assert json.loads((folder / "model.json").read_text(encoding="utf-8")) == before


def test_two_blocks_are_enough(folder):
    _, result, _ = compare(folder, blocks=2, kinds=["elastic_net", "nonnegative"])
    assert result["r2"] > 0.99


def test_a_cancelled_run_leaves_nothing(folder):
    before = sorted(folder.iterdir())
    calls = iter(range(10**6))
    run = Run(is_cancelled=lambda: next(calls) > 5)
    with pytest.raises(CarbonError, match="Cancelled"):
        compare_regressions(
            run,
            regions=str(folder / "regions.gpkg"),
            total_field="co2",
            model=str(folder / "model.json"),
            **drivers_of(folder),
            **QUICK,
        )
    run.discard()
    assert sorted(folder.iterdir()) == before


# The coarse map -------------------------------------------------------------------------------------------------------


def test_each_cell_gets_what_the_law_says(folder):
    compare(folder)
    cells, result, _ = spatialize(folder)
    expected = 4 * read(folder / "light.tif") + 0.01 * read(folder / "people.tif")
    assert cells == pytest.approx(expected, rel=2e-3)
    assert result["total_t"] == pytest.approx(cells.sum())
    assert result["cells"] == 1200
    assert result["clipped_pct"] == 0
    assert result["cv"] == pytest.approx(cells.std() / cells.mean(), rel=1e-3)
    assert "coefficient of variation" in result["summary"]
    with rasterio.open(folder / "coarse.tif") as file:
        assert file.tags()["QUANTITY"] == "total"
        assert file.units == ("t CO2e",)
        assert file.dtypes == ("float64",)
    breaks = result["styles"]["output"]["breaks"]
    assert breaks[0] <= cells.min()
    assert breaks[-1] >= cells.max()


def test_strips_give_what_the_whole_gives(folder, monkeypatch):
    compare(folder)
    whole, result, _ = spatialize(folder)
    monkeypatch.setattr("carbon_spatializer.jobs.drivers._VALUES_AT_ONCE", 2 * 40 * 7)
    strips, again, _ = spatialize(folder)
    assert strips.tolist() == whole.tolist()
    assert again["cv"] == pytest.approx(result["cv"])
    assert again["outside_pct"] == pytest.approx(result["outside_pct"])
    frame, _, _ = compare(folder)
    assert frame["area_km2"].to_numpy() == pytest.approx(100, rel=1e-3)


def test_only_the_regions_where_these_are_given(folder):
    compare(folder)
    everywhere, _, _ = spatialize(folder)
    # A region of 10 x 10 cells, moved by half a cell, and a corner of 2 x 2: a square of 12 x 12 cells is cut out.
    moved = box(WEST + 5500, NORTH - 15500, WEST + 15500, NORTH - 5500)
    corner = box(WEST + 16000, NORTH - 17000, WEST + 17000, NORTH - 16000)
    gpd.GeoDataFrame(geometry=[moved, corner], crs=UTM).to_file(folder / "one.gpkg")
    cells, result, _ = spatialize(folder, regions=str(folder / "one.gpkg"))
    assert cells.shape == (12, 12)
    assert np.isfinite(cells).sum() == result["cells"] == 11 * 11 + 1
    known = np.isfinite(cells)
    assert cells[known].tolist() == everywhere[5:17, 5:17][known].tolist()


def test_cells_without_data_have_none_unless_they_are_zero(folder):
    light = read(folder / "light.tif")
    light[0, 0] = np.nan
    write(folder / "light.tif", light)
    for missing, nothing in (("skip", True), ("zero", False)):
        compare(folder, missing=missing)
        cells, _, _ = spatialize(folder)
        assert np.isnan(cells[0, 0]) == nothing
    # 0.01 t per person remain.
    assert cells[0, 0] == pytest.approx(0.01 * read(folder / "people.tif")[0, 0], rel=0.02)


def test_drivers_are_matched_by_name_whatever_their_order(folder):
    for name in ("b", "a"):
        write(folder / f"{name}.tif", read(folder / "light.tif") * (1 if name == "a" else np.arange(1, 41)))
    sources = [str(folder / "a.tif"), str(folder / "b.tif")]
    compare(folder, drivers=sources, total_drivers=None)
    one, _, said = spatialize(folder, drivers=sources, total_drivers=None)
    other, _, _ = spatialize(folder, drivers=sources[::-1], total_drivers=None)
    assert one.tolist() == other.tolist()
    assert "in their order" not in said


def test_many_negative_cells_are_told(folder):
    # Emissions fall with light, so that bright cells are below zero.
    change(folder, co2=lambda frame: 1e4 / np.arange(1, 13))
    write(folder / "light.tif", np.repeat(np.repeat(np.arange(12.0).reshape(3, 4), SIDE, 0), SIDE, 1) ** 2 + 1)
    arguments = {
        "forms": "mean density",
        "kinds": "linear",
        "drivers": [str(folder / "light.tif")],
        "total_drivers": None,
    }
    compare(folder, **arguments)
    bright = read(folder / "light.tif") + 200
    bright[0] = 1
    write(folder / "light.tif", bright)
    cells, result, said = spatialize(folder, drivers=arguments["drivers"], total_drivers=None)
    assert result["clipped_pct"] > 90
    assert (cells >= 0).all()
    assert "would be negative and are set to zero" in said
    assert "did not add up to the regions" in said
    assert "the map extrapolates" in said


def test_a_constant_map_is_refused_with_its_cure(folder):
    """Weakness of the published method: an RBF kernel that learnt sums puts the same into every cell."""
    # The same drivers in cells of 100 m, so that a region has 10,000 of them.
    write(folder / "light.tif", np.kron(read(folder / "light.tif"), np.ones((10, 10))), size=100)
    write(folder / "people.tif", np.kron(read(folder / "people.tif"), np.full((10, 10), 0.01)), size=100)
    _, result, said = compare(folder, forms="sum", kinds="svr_rbf")
    assert result["cv"] < 0.05
    assert "nearly constant on the cells" in said
    refused(
        folder,
        r"model: the map would be constant: SVR, RBF kernel on sum varies by .* of its mean over the cells, .* "
        r"Compare the regressions again with the form 'log density' or 'mean density' and choose by the cells\.",
    )


def test_a_map_of_nothing_is_refused(folder):
    compare(folder, forms="mean density", kinds="nonnegative")
    for name in ("light", "people"):
        write(folder / f"{name}.tif", 0 * read(folder / f"{name}.tif"))
    refused(folder, "model: Non-negative linear on mean density predicts no emissions in any of 1,200 cells")


def test_a_uniform_map_is_refused(folder):
    compare(folder)
    for name in ("light", "people"):
        write(folder / f"{name}.tif", 0 * read(folder / f"{name}.tif") + 1)
    refused(folder, "drivers: the drivers are the same in all cells, or nearly so")


# Bad input ------------------------------------------------------------------------------------------------------------


def refused(folder, message, job=spatialize_coarse, **arguments):
    """The job refuses its input in one sentence and leaves nothing behind."""
    defaults = {"model": str(folder / "model.json")} | drivers_of(folder)
    if job is spatialize_coarse:
        defaults["output"] = str(folder / "refused.tif")
    else:
        defaults |= {"regions": str(folder / "regions.gpkg"), "total_field": "co2"} | QUICK
    before = sorted(folder.iterdir())
    run = Run()
    with pytest.raises(InputError, match=message) as error:
        job(run, **defaults | arguments)
    run.discard()
    assert sorted(folder.iterdir()) == before
    assert "\n" not in str(error.value)


def values(folder, name, change_them):
    """Change a driver's values."""
    write(folder / f"{name}.tif", change_them(read(folder / f"{name}.tif")))


def some(array, value):
    array[3, 3] = value
    return array


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: values(f, "light", lambda a: some(a, np.inf)), "drivers: .*infinite"),
        (lambda f: values(f, "light", lambda a: a * np.nan), "no region holds a cell with data in all drivers"),
        (lambda f: values(f, "light", lambda a: 0 * a + 3), "driver 'light' is 3 in all regions"),
        (lambda f: write(f / "light.tif", read(f / "light.tif"), west=0), "'light' does not overlap|'people' does not"),
        (lambda f: write(f / "light.tif", read(f / "light.tif"), crs=None), "the raster has no CRS"),
        (lambda f: write(f / "light.tif", read(f / "light.tif"), crs="EPSG:4326"), "does not overlap"),
        (lambda f: (f / "light.tif").write_text("light"), "cannot be read as a raster"),
        (lambda f: (f / "light.tif").unlink(), "does not exist"),
        (lambda f: change(f, co2=[1.0, 2, 3, 4, *[np.nan] * 8]), "only 4 regions"),
        (lambda f: change(f, co2=0.0), "all regions have the same total or density|not above zero"),
        (lambda f: change(f, co2=[0.0, *range(1, 12)]), "1 regions have a total that is not above zero"),
        (lambda f: change(f, co2=-1.0), "field 'co2' holds negative values"),
        (lambda f: change(f, co2="much"), "field 'co2' holds text, for example 'much'"),
        (lambda f: change(f, co2=[np.inf, *range(11)]), "field 'co2' holds infinite values"),
        (
            lambda f: change(f, geometry=gpd.read_file(f / "regions.gpkg").translate(1e6)),
            "regions: its extent .* does not overlap",
        ),
        (
            lambda f: change(f, geometry=gpd.read_file(f / "regions.gpkg").centroid),
            "regions: 12 of 12 features are not polygons",
        ),
    ],
)
def test_bad_files_are_refused(folder, spoil, message):
    spoil(folder)
    refused(folder, message, compare_regressions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drivers": None, "total_drivers": None}, "drivers: no raster was given"),
        ({"total_field": "co3"}, "total_field: field 'co3' does not exist. Choose one of name, co2"),
        ({"total_unit": "km"}, "total_unit: unit 'km'"),
        ({"name_field": "label"}, "name_field: field 'label' does not exist"),
        ({"forms": "median"}, "forms: 'median' is unknown. Use one of log density, mean density, sum"),
        ({"forms": []}, "forms: nothing was chosen"),
        ({"kinds": "lasso"}, "kinds: 'lasso' is unknown"),
        ({"choose_by": "luck"}, "choose_by: 'luck' is unknown"),
        ({"missing": "mean"}, "missing: 'mean' is unknown"),
        ({"blocks": 1}, "blocks: 1 is less than 2"),
        ({"draws": 0}, "draws: 0 is not between"),
        ({"grid": "nowhere.tif"}, "grid: the file 'nowhere.tif' does not exist"),
        ({"test_field": "co2", "holdout_field": "co2"}, "holdout_field: a test year was chosen too"),
        ({"test_drivers": ["light.tif"]}, "test_field: there are test drivers but no totals"),
        ({"holdout_field": "name"}, "field 'name' holds text"),
    ],
)
def test_bad_arguments_are_refused(folder, arguments, message):
    refused(folder, message, compare_regressions, **arguments)


def test_a_region_in_two_rows_is_refused(folder):
    change(folder, name=["省0", "省0", *"abcdefghij"])
    refused(folder, "name_field: region '省0' has 2 rows. Dissolve", compare_regressions, name_field="name")


def test_a_hold_out_of_nothing_or_of_all_is_refused(folder):
    change(folder, none=0, all=1)
    refused(folder, "holdout_field: 0 regions to test on", compare_regressions, holdout_field="none")
    refused(folder, "only 0 regions to learn from", compare_regressions, holdout_field="all")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no regression model"),
        ("[1, 2]", "holds no regression model"),
        ('{"format": 1, "about": {}, "model": {"kind": "linear"}}', "holds no regression model"),
        ('{"format": 1, "about": ABOUT, "model": {"kind": "linear"}}', "the file holds no regression model"),
        ('{"format": 2, "about": ABOUT, "model": {}}', "was written by a newer version"),
        ("\x80\x04\x95pickle", "holds no regression model"),
    ],
)
def test_bad_models_are_refused(folder, content, message):
    about = '{"missing": "skip", "scores": {"cells_r2": 0.9}}'
    (folder / "model.json").write_text(content.replace("ABOUT", about), encoding="utf-8")
    refused(folder, message)


def test_other_drivers_than_the_models_are_refused(folder):
    compare(folder)
    light, people = str(folder / "light.tif"), str(folder / "people.tif")
    refused(
        folder,
        r"drivers: 1 were given, but the model was trained on 2 \(light, people\)",
        drivers=light,
        total_drivers=None,
    )
    refused(
        folder,
        "'people' is given as a density, but the model was trained on 'people' as a total per cell",
        drivers=[light, people],
        total_drivers=None,
    )
    refused(folder, "model: the file 'nowhere.json' does not exist", model="nowhere.json")
