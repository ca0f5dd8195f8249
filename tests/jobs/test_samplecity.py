"""The job that writes the sample city: files, figures, and that the other tools take them."""

import time

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import rasterio

from carbon_spatializer.core import samplecity
from carbon_spatializer.core.errors import InputError
from carbon_spatializer.core.samplecity import statistics
from carbon_spatializer.jobs import layers
from carbon_spatializer.jobs.accounting import account_sectors
from carbon_spatializer.jobs.run import Run
from carbon_spatializer.jobs.samplecity import create_sample_city

# Suzhou 2020, Table 3, department sums in 10^4 t (S003-18); the sinks are -71.96 and -179.90.
DEPARTMENTS = {
    "industry": 19334.77,
    "buildings": 2882.76,
    "transport": 1421.44,
    "agriculture": 100.70,
    "waste": 288.30,
    "sink": -251.86,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("样本 city")
    names = {
        "parcels": "parcels.gpkg",
        "pois": "pois.gpkg",
        "roads": "roads.shp",
        "townships": "townships.geojson",
        "population": "population.tif",
        "activity": "activity.csv",
        "totals": "totals.gpkg",
        "parts_activity": "parts.csv",
    }
    paths = {key: str(folder / name) for key, name in names.items()}
    run = Run()
    result = create_sample_city(run, parcels_count=500, seed=3, pois_per_parcel=2.5, **paths)
    run.commit({})
    return paths | {"result": result}


def test_all_files_are_there_in_one_crs(files):
    for name, count, geometry in (("parcels", 500, "Polygon"), ("pois", 1250, "Point"), ("townships", 12, "Polygon")):
        info = pyogrio.read_info(files[name])
        assert (info["features"], info["geometry_type"].removeprefix("Multi")) == (count, geometry)
        assert info["crs"] == "EPSG:32651"
    parcels = gpd.read_file(files["parcels"])
    assert list(parcels.columns[:-1]) == ["parcel_id", "land_type", "region", "township", "floors", "floor_m2"]
    middle = parcels.to_crs(4326).union_all().centroid
    assert (middle.y, middle.x) == pytest.approx((31.3, 120.6), abs=0.1)


def test_points_are_those_of_the_city(files):
    points = gpd.read_file(files["pois"])
    made = pd.concat(samplecity.create(500, 3).points(1250), ignore_index=True)
    assert points["name"].tolist() == made["name"].tolist()
    assert points["category"].tolist() == made["category"].astype(str).tolist()
    assert points["employees"].tolist() == made["employees"].tolist()
    shift = points.geometry.x - made["x"]
    assert shift.max() - shift.min() == pytest.approx(0, abs=1e-6)
    assert points.within(gpd.read_file(files["parcels"]).union_all()).all()


def test_population_is_persons_per_cell_of_100_m(files):
    with rasterio.open(files["population"]) as raster:
        assert raster.res == (100, 100)
        assert raster.crs.to_epsg() == 32651
        assert raster.nodata == -1
        persons = raster.read(1, masked=True).sum(dtype=float)
        bounds = raster.bounds
    townships = gpd.read_file(files["townships"])
    assert persons == pytest.approx(townships["population"].sum(), rel=1e-6)
    west, south, east, north = gpd.read_file(files["parcels"]).total_bounds
    assert bounds.left <= west
    assert bounds.bottom <= south
    assert bounds.right >= east
    assert bounds.top >= north


def test_totals_are_those_published(files):
    totals = layers.read_table(files["totals"], "totals")
    sums = totals.groupby("sector")["net_t"].sum() / 1e4
    assert sums.to_dict() == pytest.approx(DEPARTMENTS, rel=1e-12)
    assert totals["gross_t"].sum() / 1e4 == pytest.approx(24_027.97)
    assert totals["net_t"].sum() / 1e4 == pytest.approx(23_776.11)
    assert (totals["gross_t"] - totals["sink_t"] - totals["net_t"]).abs().max() == 0
    known = {*samplecity.LAND_TYPES, ""}
    assert set(totals["land_type"].fillna("")) <= known


def test_accounting_the_activity_gives_the_totals_back(files, tmp_path):
    run = Run()
    output = tmp_path / "accounted.gpkg"
    account_sectors(
        run,
        activity=files["activity"],
        output=str(output),
        scheme="suzhou",
        grid_factor_t_mwh=statistics.GRID_FACTOR,
    )
    run.commit({})
    by = ["sector", "subsector", "land_type"]
    tables = [layers.read_table(source, "totals").fillna({"land_type": ""}) for source in (output, files["totals"])]
    accounted, published = (table.groupby(by)[["gross_t", "sink_t", "net_t"]].sum() for table in tables)
    pd.testing.assert_frame_equal(accounted, published, rtol=1e-6, check_dtype=False)


def test_accounting_the_four_parts_gives_what_is_published(files, tmp_path):
    """Nanjing paper, Table 2: sums of the districts in 10^4 t, after the fuel of power plants was deducted."""
    run = Run()
    result = account_sectors(
        run,
        activity=files["parts_activity"],
        output=str(tmp_path / "accounted.csv"),
        scheme="nanjing",
        grid_factor_t_mwh=statistics.GRID_FACTOR,
    )
    run.commit({})
    accounted = pd.read_csv(tmp_path / "accounted.csv")
    assert (accounted.groupby("sector")["gross_t"].sum() / 1e4).to_dict() == pytest.approx(
        {"industry": 11916.67, "urban": 785.97, "agriculture": 1.49, "rural living": 10.33}, rel=1e-9
    )
    assert result["deducted_t"] == pytest.approx(4200e4, rel=1e-9)
    assert set(accounted["region"]) == set(gpd.read_file(files["townships"])["region"])


def test_only_the_parcels_are_needed(tmp_path):
    run = Run()
    result = create_sample_city(run, parcels=str(tmp_path / "parcels.fgb"), parcels_count=500)
    run.commit({})
    assert set(result["styles"]) == {"parcels"}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["parcels.fgb", "parcels.fgb.run.json"]


def test_points_can_be_written_to_every_format(tmp_path):
    for ending in ("gpkg", "geojson", "shp", "fgb", "csv"):
        run = Run()
        path = tmp_path / f"pois.{ending}"
        create_sample_city(
            run, parcels=str(tmp_path / "p.gpkg"), parcels_count=500, pois_per_parcel=0.2, pois=str(path)
        )
        run.commit({})
        table = layers.read_table(path, "pois")
        assert len(table) == 100
        assert table["name"].str.contains(r"[\u4e00-\u9fff]").all()


def test_every_class_has_a_colour(files):
    styles = files["result"]["styles"]
    assert {value for value, _, _ in styles["parcels"]["classes"]} == set(samplecity.LAND_TYPES)
    assert {value for value, _, _ in styles["roads"]["classes"]} == set(samplecity.LINE_TYPES)
    assert {value for value, _, _ in styles["pois"]["classes"]} == set(samplecity.CATEGORIES)


@pytest.mark.parametrize(
    ("argument", "value"), [("parcels_count", 10), ("seed", -2), ("pois_per_parcel", 0), ("pois_per_parcel", 21)]
)
def test_bad_numbers_are_refused_and_leave_nothing(tmp_path, argument, value):
    run = Run()
    with pytest.raises(InputError, match=argument):
        create_sample_city(run, parcels=str(tmp_path / "parcels.gpkg"), **{argument: value})
    run.discard()
    assert list(tmp_path.iterdir()) == []


def test_500_parcels_take_seconds(tmp_path):
    started = time.perf_counter()
    create_sample_city(
        Run(), parcels=str(tmp_path / "parcels.gpkg"), pois=str(tmp_path / "pois.gpkg"), parcels_count=500
    )
    assert time.perf_counter() - started < 10


def test_land_use_shows_the_parcels_in_cells_of_30_m(tmp_path):
    run = Run()
    paths = {"parcels": tmp_path / "parcels.gpkg", "land_use": tmp_path / "land.tif", "parks": tmp_path / "parks.gpkg"}
    result = create_sample_city(run, parcels_count=500, seed=3, **{key: str(path) for key, path in paths.items()})
    run.commit({})
    assert set(result["styles"]) == {"parcels", "land_use"}
    parcels, parks = gpd.read_file(paths["parcels"]), gpd.read_file(paths["parks"])
    with rasterio.open(paths["land_use"]) as raster:
        assert (raster.res, raster.nodata, raster.crs.to_epsg()) == ((30, 30), 0, 32651)
        codes = raster.read(1)
        inside = parcels[parcels["land_type"].isin(["forest land", "rural homestead"])]
        middles = inside.geometry.representative_point()
        seen = [code for (code,) in raster.sample(zip(middles.x, middles.y))]
    # The parcels tile the city; a cell has data where its centre lies in it, so that the areas differ by the rim.
    assert (codes > 0).sum() * 900 == pytest.approx(parcels.area.sum(), rel=1e-3)
    assert set(codes[codes > 0]) == {value for value, _, _ in result["styles"]["land_use"]["classes"]}
    # A parcel's middle lies within half a cell of the centre that decides.
    expected = inside["land_type"].map({"forest land": 21, "rural homestead": 52})
    assert (expected == seen).mean() > 0.98
    works = parcels[parcels["land_type"] == "industrial land"]
    assert len(parks) >= 1
    assert parks.is_valid.all()
    assert works.geometry.representative_point().within(parks.union_all()).mean() > 0.5
    assert parks["name"].str.contains("工业园").all()
