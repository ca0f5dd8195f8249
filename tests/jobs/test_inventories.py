"""A map against an inventory of other units, grid and CRS; files in and files out."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
from affine import Affine
from shapely import box

from carbon_spatializer.core.errors import InputError
from carbon_spatializer.jobs import rasters
from carbon_spatializer.jobs.inventories import compare_inventories
from carbon_spatializer.jobs.run import Run

CRS = "EPSG:32650"
WEST, NORTH = 500000, 3400000


def write_raster(path, values, size=1000.0, west=WEST, north=NORTH, crs=CRS, nodata=np.nan, **tags):
    values = np.atleast_3d(np.asarray(values).T).T
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(values),
        height=values.shape[1],
        width=values.shape[2],
        dtype=values.dtype,
        crs=crs,
        transform=Affine(size, 0, west, 0, -size, north),
        nodata=nodata,
    ) as file:
        file.write(values)
        file.update_tags(**tags)


def field(shape=(24, 30), seed=0):
    """Emissions in t per cell: smooth, with a few peaks."""
    rng = np.random.default_rng(seed)
    return rng.lognormal(3, 1, shape) + 1e4 * (rng.random(shape) > 0.99)


@pytest.fixture
def folder(tmp_path):
    write_raster(tmp_path / "map.tif", field())
    write_raster(tmp_path / "other.tif", field(seed=1))
    return tmp_path


def compared(folder, inventory=("other.tif",), **arguments):
    replies = []
    run = Run(replies.append)
    result = compare_inventories(
        run,
        **{
            "input": str(folder / "map.tif"),
            "inventory": [str(folder / name) for name in inventory],
            "output": str(folder / "out.tif"),
            "table": str(folder / "table.csv"),
        }
        | arguments,
    )
    run.commit({})
    said = " ".join([result["summary"], *(reply.get("text", "") for reply in replies)])
    return pd.read_csv(folder / "table.csv").set_index("region"), result, said


def difference(folder):
    with rasterio.open(folder / "out.tif") as file:
        return file.read(1), file.tags() | {"units": file.units}


def test_a_map_equals_itself(folder):
    table, result, said = compared(folder, ("map.tif",))
    row = table.loc["common ground"]
    assert row["cells"] == 720
    assert row[["bias_pct", "rmse", "r", "r_log", "ssim"]].tolist() == pytest.approx([0, 0, 1, 1, 1])
    assert row["input_t"] == pytest.approx(field().sum(), rel=1e-12)
    assert row["gini_input"] == row["gini_inventory"]
    assert np.abs(difference(folder)[0]).max() < 1e-9
    assert result["r"] == pytest.approx(1)
    assert "a bias of +0.00 %" in said


def test_two_maps_by_hand(folder):
    write_raster(folder / "map.tif", np.array([[3.0, 1, np.nan], [0, 4, 5]]))
    write_raster(folder / "other.tif", np.array([[1.0, 1, 7], [2, 2, np.nan]]))
    table, _, said = compared(folder)
    row = table.loc["common ground"]
    # Four cells have both: 8 against 6 t; differences 2, 0, -2, 2 t per cell of 1.0008 km2 (scale of UTM 0.9996).
    assert row[["cells", "input_t", "inventory_t"]].tolist() == pytest.approx([4, 8, 6])
    assert row["bias_pct"] == pytest.approx(100 * 2 / 6)
    assert row["rmse"] == pytest.approx(np.sqrt(3) * 0.9996**2, rel=1e-6)
    found, says = difference(folder)
    np.testing.assert_allclose(found, np.array([[2, 0, np.nan], [-2, 2, np.nan]]) * 0.9996**2, rtol=1e-6, atol=1e-12)
    assert (says["QUANTITY"], says["units"]) == ("density", ("t CO2/km2",))
    assert "The input has 5.00 t more on the common grid" in said
    assert "The inventory has 7.00 t more on the common grid" in said


def test_odiac_like_months_in_carbon_on_a_finer_grid_agree(folder):
    """The same field as t carbon per cell of 500 m in twelve months is found to be the same."""
    fine = np.kron(field(), np.full((2, 2), 0.25)) * 12 / 44
    seasons = np.random.default_rng(0).dirichlet(np.ones(12))
    for month, share in enumerate(seasons):
        write_raster(folder / f"month{month:02}.tif", fine * share, 500.0)
    table, _, said = compared(folder, [f"month{month:02}.tif" for month in range(12)], kind="ODIAC")
    row = table.loc["common ground"]
    assert row["inventory_t"] == pytest.approx(field().sum(), rel=1e-9)
    assert row[["bias_pct", "r", "ssim"]].tolist() == pytest.approx([0, 1, 1], abs=1e-6)
    assert "t carbon per cell and month; they are multiplied by 44 to t CO2 per cell and year; the mean of 12" in said


def test_months_as_bands_agree_too(folder):
    write_raster(folder / "year.tif", np.stack([field() * 12 / 44 / 12] * 12))
    table, _, _ = compared(folder, ("year.tif",), kind="ODIAC")
    assert table["inventory_t"].iloc[0] == pytest.approx(field().sum(), rel=1e-9)


def test_a_part_of_the_months_is_warned_of(folder):
    assert "inventory: one month is given" in compared(folder, time="month")[2]
    table, _, said = compared(folder, ("other.tif", "other.tif"), time="month")
    assert "inventory: 2 months are given" in said
    assert table["inventory_t"].iloc[0] == pytest.approx(12 * field(seed=1).sum())


def test_units_that_hardly_agree_are_warned_of(folder):
    assert "times as much as the inventory: check the units" in compared(folder, mass_unit="kg")[2]
    assert "check the units" not in compared(folder)[2]


def test_a_layer_of_a_netcdf_file_is_no_missing_file(folder):
    refused(folder, "inventory: .* cannot be read as a raster", inventory=['NETCDF:"nowhere.nc":emi_co2'])


def test_sectors_are_added(folder):
    table, _, _ = compared(folder, ("other.tif", "map.tif"), several="parts")
    assert table["inventory_t"].iloc[0] == pytest.approx(field().sum() + field(seed=1).sum())


def test_ffdas_like_fluxes_in_degrees_agree(folder):
    """The same field as kg carbon per m2 on cells of 0.02 degrees, made by another program (GDAL)."""
    cells = rasters.Grid(pyproj.CRS(CRS), Affine(1000, 0, WEST, 0, -1000, NORTH), 120, 100)
    rows, columns = np.mgrid[:100, :120]
    smooth = 1000 * (2 + np.sin(rows / 15) + np.cos(columns / 20))
    write_raster(folder / "map.tif", smooth)
    flux, target = np.full((36, 50), np.nan), Affine(0.02, 0, 117.1, 0, -0.02, 30.65)
    rasterio.warp.reproject(
        smooth / cells.cell_areas() * 12 / 44 * 1000,
        flux,
        src_transform=cells.transform,
        src_crs=CRS,
        dst_transform=target,
        dst_crs="EPSG:4326",
        dst_nodata=np.nan,
        init_dest_nodata=True,
        resampling=rasterio.warp.Resampling.average,
    )
    assert np.isfinite(flux).all()
    write_raster(folder / "flux.tif", flux, 0.02, 117.1, 30.65, "EPSG:4326")
    for grid in ("coarser", "input", "inventory"):
        table, _, _ = compared(folder, ("flux.tif",), kind="FFDAS", grid=grid)
        row = table.loc["common ground"]
        assert row["bias_pct"] == pytest.approx(0, abs=0.1)  # GDAL's averages are approximate
        assert row["r"] > 0.999
        assert row["nrmse"] < 0.02


def test_a_world_inventory_is_compared_where_the_map_is(folder):
    world = np.ones((180, 360))
    write_raster(folder / "world.tif", world, 1.0, -180.0, 90.0, "EPSG:4326")
    table, _, _ = compared(folder, ("world.tif",), grid="input")
    assert table["cells"].iloc[0] == 720
    # The map covers less than half of any cell of a degree.
    with pytest.raises(InputError, match="no cell of the common grid has data of both maps"):
        compared(folder, ("world.tif",))


def test_regions_limit_the_comparison(folder):
    west, east = (box(WEST + a, NORTH - 24000, WEST + b, NORTH) for a, b in ((0, 10000), (10000, 20000)))
    gpd.GeoDataFrame({"name": ["W", "东"]}, geometry=[west, east], crs=CRS).to_file(folder / "regions.gpkg")
    table, _, _ = compared(folder, regions=str(folder / "regions.gpkg"), name_field="name")
    assert table.index.tolist() == ["W", "东", "common ground"]
    assert table["cells"].tolist() == [240, 240, 480]
    assert table["input_t"].tolist() == pytest.approx(
        [field()[:, :10].sum(), field()[:, 10:20].sum(), field()[:, :20].sum()]
    )
    assert np.isnan(difference(folder)[0][:, 20:]).all()


def test_built_up_shares(folder):
    cover = np.full((24, 30), 12, "uint8")
    cover[:, :6] = 13
    write_raster(folder / "cover.tif", cover, nodata=255)
    table, _, said = compared(folder, land_cover=str(folder / "cover.tif"))
    expected = [100 * values[:, :6].sum() / values.sum() for values in (field(), field(seed=1))]
    found = table.loc["common ground", ["built_up_input_pct", "built_up_inventory_pct"]]
    assert found.tolist() == pytest.approx(expected)
    assert "built-up land" in said


def test_the_report_shows_maps_and_curves(folder):
    write_raster(folder / "map.tif", field((80, 90)))
    write_raster(folder / "other.tif", field((40, 45), 1), 2000.0)
    compared(folder, report=str(folder / "report.html"))
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.count("<img") == 2
    assert "around 30." in text
    assert "Lorenz curves" in text


def test_the_difference_is_drawn_around_zero(folder):
    _, result, _ = compared(folder)
    style = result["styles"]["output"]
    assert style["ramp"] == "difference"
    assert 0 in style["breaks"]


def refused(folder, message, **arguments):
    before = sorted(folder.iterdir())
    run = Run()
    values = {
        "input": str(folder / "map.tif"),
        "inventory": [str(folder / "other.tif")],
        "output": str(folder / "out.tif"),
    }
    with pytest.raises(InputError, match=message) as error:
        compare_inventories(run, **values | arguments)
    run.discard()
    assert sorted(folder.iterdir()) == before
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inventory": []}, "inventory: no raster was given"),
        ({"inventory": ["nowhere.tif"]}, "inventory: the file 'nowhere.tif' does not exist"),
        ({"kind": "VULCAN"}, "kind: 'VULCAN' is unknown. Use one of own, ODIAC"),
        ({"per": "mile"}, "per: 'mile' is unknown"),
        ({"time": "week"}, "time: 'week' is unknown"),
        ({"mass_unit": "m3"}, "mass_unit: unit 'm3' measures volume"),
        ({"several": "both"}, "several: 'both' is unknown"),
        ({"grid": "finer"}, "grid: 'finer' is unknown"),
        ({"land_cover": "nowhere.tif"}, "land_cover: the file 'nowhere.tif' does not exist"),
    ],
)
def test_arguments_are_refused(folder, arguments, message):
    refused(folder, message, **arguments)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.full((24, 30), np.nan), {}, "inventory: no cell of the common grid has data of both maps"),
        (field() - 5e3, {}, "inventory: 'other' has cells below zero"),
        (field() * np.inf, {}, "inventory: 'other' holds infinite values"),
        (field(), {"west": 900000}, "inventory: it does not overlap the input"),
        (field(), {"crs": None}, "inventory: the raster has no CRS"),
    ],
)
def test_inventories_are_refused(folder, values, options, message):
    write_raster(folder / "other.tif", values, **options)
    refused(folder, message)


def test_months_on_different_grids_are_refused(folder):
    write_raster(folder / "shifted.tif", field(), west=WEST + 500)
    refused(
        folder,
        "inventory: 'shifted' has another grid than 'other'",
        inventory=[str(folder / "other.tif"), str(folder / "shifted.tif")],
    )


def test_regions_elsewhere_are_refused(folder):
    gpd.GeoDataFrame({"name": ["A"]}, geometry=[box(0, 0, 1, 1)], crs=CRS).to_file(folder / "regions.gpkg")
    refused(folder, "regions: its extent .* does not overlap", regions=str(folder / "regions.gpkg"))


def test_classes_without_towns_are_refused(folder):
    write_raster(folder / "cover.tif", np.ones((24, 30), "uint8"), nodata=255)
    pd.DataFrame({"code": [1], "class": ["forest"]}).to_csv(folder / "mine.csv", index=False)
    refused(
        folder,
        "classes: no code has the class 'built-up'",
        land_cover=str(folder / "cover.tif"),
        classes=str(folder / "mine.csv"),
    )
