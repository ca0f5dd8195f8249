"""Emissions by land cover, files in and files out."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from shapely import box

from carbon_spatializer.core.errors import InputError
from carbon_spatializer.jobs.landcover import share_by_land_cover
from carbon_spatializer.jobs.run import Run

CRS = "EPSG:32650"
WEST, NORTH = 500000, 3400000


def write_raster(path, values, size=1000.0, west=WEST, north=NORTH, crs=CRS, nodata=np.nan, **tags):
    values = np.asarray(values)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        height=values.shape[0],
        width=values.shape[1],
        dtype=values.dtype,
        crs=crs,
        transform=Affine(size, 0, west, 0, -size, north),
        nodata=nodata,
    ) as file:
        file.write(values, 1)
        file.update_tags(**tags)


@pytest.fixture
def folder(tmp_path):
    """Emissions of 2 x 1 cells of 1000 m, 40 and 8 t, and finer with more in the town; land cover of 500 m.

    13 is built-up, 12 cropland, 1 forest, 17 water, 99 nothing that is known.
    """
    write_raster(tmp_path / "coarse.tif", np.array([[40.0, 8.0]]))
    write_raster(tmp_path / "fine.tif", np.array([[25.0, 5, 2, 2], [5, 5, 2, 2]]), 500.0)
    write_raster(tmp_path / "cover.tif", np.array([[13, 12, 1, 17], [12, 12, 99, 255]], "uint8"), 500.0, nodata=255)
    frame = gpd.GeoDataFrame(
        {"name": ["west", "东"]},
        geometry=[box(WEST, NORTH - 1000, WEST + 1000, NORTH), box(WEST + 1000, NORTH - 1000, WEST + 2000, NORTH)],
        crs=CRS,
    )
    frame.to_file(tmp_path / "regions.gpkg")
    return tmp_path


def shared(folder, maps=("coarse.tif", "fine.tif"), **arguments):
    replies = []
    run = Run(replies.append)
    result = share_by_land_cover(
        run,
        **{
            "emissions": [str(folder / name) for name in maps],
            "land_cover": str(folder / "cover.tif"),
            "regions": str(folder / "regions.gpkg"),
            "name_field": "name",
            "output": str(folder / "out.csv"),
            "report": str(folder / "report.html"),
        }
        | arguments,
    )
    run.commit({})
    said = " ".join([result["summary"], *(reply.get("text", "") for reply in replies)])
    return pd.read_csv(folder / "out.csv").set_index(["region", "map", "class"]).sort_index(), result, said


def test_cells_are_divided_over_the_land_cover(folder):
    table, result, said = shared(folder)
    # Coarse: the west's 40 t lie to a quarter on built-up land; the east's 8 t to a quarter each on forest and water,
    # the rest on land without class. Fine: 25 of 40 t are built-up.
    assert table.loc[("west", "coarse", "built-up"), "emission_t"] == 10
    assert table.loc[("west", "coarse", "cropland"), "emission_t"] == 30
    assert table.loc[("东", "coarse"), "emission_t"].to_dict() == {
        "forest": 2,
        "shrubland": 0,
        "grassland": 0,
        "water": 2,
        "cropland": 0,
        "built-up": 0,
        "bare land": 0,
        "unclassified": 4,
    }
    row = table.loc[("west", "fine", "built-up")]
    assert row[["emission_t", "of_t", "share_pct", "change_points"]].tolist() == [25, 40, 62.5, 37.5]
    assert row["change_pct"] == pytest.approx(150)
    assert table.loc[("all regions", "fine", "built-up"), "share_pct"] == pytest.approx(100 * 25 / 48)
    assert table.groupby(level=["region", "map"])["emission_t"].sum().loc["all regions"].tolist() == [48, 48]
    assert result["first_share_pct"] == pytest.approx(100 * 10 / 48)
    assert "Built-up in all regions: 20.83 % of 48 t in coarse, 52.08 % of 48 t in fine; fine against coarse" in said
    assert "+31.25 percentage points, +150.0 % of its share" in said
    assert "0.00 t (0.00 %) outside the land cover or the regions, and 4.00 t (8.33 %) on land whose code" in said


def test_the_report_shows_classes_and_regions(folder):
    shared(folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.count("<img") == 2
    assert "Built-up by region" in text
    assert "东" in text


def test_without_regions_all_land_is_one(folder):
    table, result, _ = shared(folder, ("fine.tif",), regions=None, name_field=None)
    assert table.index.get_level_values("region").unique().tolist() == ["all land"]
    assert result["share_pct"] == pytest.approx(100 * 25 / 48)
    assert table["change_points"].isna().all()


def test_maps_of_one_name_are_told_apart(folder):
    table, _, _ = shared(folder, ("coarse.tif", "coarse.tif"))
    assert table.index.get_level_values("map").unique().tolist() == ["coarse", "coarse (2)"]
    assert table.loc[("all regions", "coarse (2)"), "change_points"].tolist() == [0] * 8


def test_what_lies_outside_is_told(folder):
    write_raster(folder / "coarse.tif", np.array([[40.0, 8.0, 16.0]]))
    _, _, said = shared(folder, ("coarse.tif",))
    assert "coarse: 64.00 t, of them 16.00 t (25.00 %) outside the land cover or the regions" in said


def test_own_classes(folder):
    pd.DataFrame({"code": [13, 12, 99], "class": ["town", "field", "town"]}).to_csv(folder / "mine.csv", index=False)
    table, result, _ = shared(folder, classes=str(folder / "mine.csv"), chosen_class="town")
    assert table.loc[("all regions", "coarse"), "emission_t"].to_dict() == {"town": 12, "field": 30, "unclassified": 6}
    assert result["share_pct"] == pytest.approx(100 * (25 + 2) / 48)


def test_land_cover_in_another_projection_keeps_the_mass(folder):
    cover = np.random.default_rng(0).integers(1, 18, (60, 80)).astype("uint8")
    write_raster(folder / "cover.tif", cover, 0.001, 116.98, 30.75, "EPSG:4326", 255)
    table, _, said = shared(folder)
    assert table["emission_t"].groupby(level=["region", "map"]).sum().loc["all regions"].tolist() == pytest.approx(
        [48, 48], rel=0.03
    )  # cells of land cover on the border lie wholly in or out
    alone, _, _ = shared(folder, regions=None, name_field=None)
    assert alone["emission_t"].groupby(level="map").sum().tolist() == pytest.approx([48, 48], rel=1e-9)
    assert "outside" in said


def test_densities_weigh_by_area(folder):
    says = {"QUANTITY": "density", "UNIT": "t CO2/km2 per year"}
    write_raster(folder / "density.tif", np.ones((2, 1)), 10.0, 100.0, 65.0, "EPSG:4326", **says)
    write_raster(folder / "cover.tif", np.array([[13], [12]], "uint8"), 10.0, 100.0, 65.0, "EPSG:4326", 255)
    table, _, _ = shared(folder, ("density.tif",), regions=None, name_field=None)
    # Zones of a sphere: sin 65 - sin 55 against sin 55 - sin 45 degrees; the ellipsoid differs by less than 1 %.
    north, south = (np.diff(np.sin(np.radians(zone)))[0] for zone in ([55, 65], [45, 55]))
    share = table.loc[("all land", "density", "built-up"), "share_pct"]
    assert share == pytest.approx(100 * north / (north + south), rel=0.01)


def test_built_up_pune_shines(data, tmp_path):
    """Real night lights over a land cover made of the lights themselves: nearly all light is built-up."""
    with rasterio.open(data / "raster_pune" / "ntl_dec2025_city.tif") as file:
        lights, transform, crs = file.read(1, masked=True).filled(np.nan), file.transform, file.crs
    bright = lights > np.nanquantile(lights, 0.9)
    cover = np.where(np.isnan(lights), 255, np.where(bright, 13, 12)).astype("uint8")
    write_raster(tmp_path / "cover.tif", cover, transform.a, transform.c, transform.f, crs, 255)
    table, _, _ = shared(
        tmp_path,
        (data / "raster_pune" / "ntl_dec2025_city.tif",),
        regions=str(data / "raster_pune" / "Pune.geojson"),
        name_field="NAME_3",
    )
    share = np.nansum(lights[bright]) / np.nansum(lights)
    whole = table.loc["all regions"]["emission_t"]
    assert whole.groupby(level="class").sum()["built-up"] / whole.sum() == pytest.approx(share, abs=0.01)


def refused(folder, message, **arguments):
    before = sorted(folder.iterdir())
    run = Run()
    values = {
        "emissions": [str(folder / "coarse.tif")],
        "land_cover": str(folder / "cover.tif"),
        "regions": str(folder / "regions.gpkg"),
        "output": str(folder / "out.csv"),
    }
    with pytest.raises(InputError, match=message) as error:
        share_by_land_cover(run, **values | arguments)
    run.discard()
    assert sorted(folder.iterdir()) == before
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"emissions": []}, "emissions: no raster was given"),
        ({"emissions": ["nowhere.tif"]}, "emissions: the file 'nowhere.tif' does not exist"),
        ({"land_cover": "nowhere.tif"}, "land_cover: the file 'nowhere.tif' does not exist"),
        ({"chosen_class": "city"}, "chosen_class: there is no class 'city'. Use one of forest, shrubland"),
        ({"name_field": "title"}, "name_field: field 'title' does not exist"),
    ],
)
def test_arguments_are_refused(folder, arguments, message):
    refused(folder, message, **arguments)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([[1.0, -2.0]], {}, "emissions: 'coarse' has cells below zero, for example -2"),
        ([[1.0, np.inf]], {}, "emissions: 'coarse' holds infinite values"),
        ([[np.nan, np.nan]], {}, "emissions: 'coarse' has no emissions where the land cover and the regions lie"),
        ([[0.0, 0.0]], {}, "emissions: 'coarse' has no emissions where"),
        ([[1.0, 1.0]], {"west": 900000}, "emissions: 'coarse' has no emissions where"),
        ([[1.0, 1.0]], {"crs": None}, "emissions: the raster has no CRS"),
    ],
)
def test_rasters_are_refused(folder, values, options, message):
    write_raster(folder / "coarse.tif", np.array(values), **options)
    refused(folder, message)


def test_regions_elsewhere_are_refused(folder):
    frame = gpd.read_file(folder / "regions.gpkg")
    frame.set_geometry(frame.translate(1e5)).to_file(folder / "regions.gpkg", mode="w")
    refused(folder, "regions: its extent .* does not overlap")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"code": [1, 1], "class": ["built-up", "b"]}, "classes: code 1 stands there twice"),
        ({"code": [1, 2.5], "class": ["built-up", "b"]}, "classes: code 2.5 is no whole number"),
        ({"code": [1, 2], "class": ["built-up", ""]}, "classes: code 2 has no class"),
        ({"code": [1, 2], "kind": ["built-up", "b"]}, "classes: field 'class' does not exist"),
        ({"code": ["x", "y"], "class": ["built-up", "b"]}, "classes: field 'code' holds text"),
    ],
)
def test_class_tables_are_refused(folder, columns, message):
    pd.DataFrame(columns).to_csv(folder / "mine.csv", index=False)
    refused(folder, message, classes=str(folder / "mine.csv"))
