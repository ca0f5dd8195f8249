"""Emission land, files in and files out: areas by hand, any CRS, and inputs that are refused."""

import re

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.warp
import shapely
from affine import Affine
from shapely import box

from carbon_spatializer.core.errors import Cancelled, InputError
from carbon_spatializer.jobs.landuse import delineate_emission_land
from carbon_spatializer.jobs.run import Run
from carbon_spatializer.jobs.samplecity import create_sample_city

UTM = "EPSG:32650"
WEST, NORTH = 499_850.0, 3_500_000.0
# Ten by ten cells of 30 m on the zone's central meridian, where 1 m on the map is 1 / 0.9996 m on the ground.
CELL_M2 = 900 / 0.9996**2
LAND_USE = np.full((10, 10), 11)
LAND_USE[:5] = 51
LAND_USE[0] = 53
LAND_USE[9] = 42
LAND_USE[8] = 52
LAND_USE[5, 0] = 0


def write_raster(path, cells, crs=UTM, transform=None, nodata=0, dtype="uint8"):
    settings = {"driver": "GTiff", "count": 1, "dtype": dtype, "nodata": nodata, "crs": crs}
    transform = transform or Affine(30, 0, WEST, 0, -30, NORTH)
    height, width = cells.shape
    with rasterio.open(path, "w", width=width, height=height, transform=transform, **settings) as file:
        file.write(cells.astype(dtype), 1)
    return str(path)


def warped(cells, transform, crs, side):
    """The classes in ``side`` x ``side`` cells of another CRS, 0 outside, and their transform."""
    height, width = cells.shape
    bounds = rasterio.transform.array_bounds(height, width, transform)
    made, *_ = rasterio.warp.calculate_default_transform(
        UTM, crs, width, height, *bounds, dst_width=side, dst_height=side
    )
    result = np.zeros((side, side), np.uint8)
    settings = {"src_transform": transform, "src_crs": UTM, "dst_transform": made, "dst_crs": crs, "dst_nodata": 0}
    rasterio.warp.reproject(cells.astype(np.uint8), result, **settings)
    return result, made


def write_layer(path, shapes, crs=UTM, **fields):
    gpd.GeoDataFrame(fields, geometry=shapes, crs=crs).to_file(path)
    return str(path)


def at(column, row):
    """Point in map coordinates by column and row, in cells."""
    return shapely.Point(WEST + 30 * column, NORTH - 30 * row)


def over(left, top, right, bottom):
    """Box in map coordinates by columns and rows, in cells."""
    return box(WEST + 30 * left, NORTH - 30 * bottom, WEST + 30 * right, NORTH - 30 * top)


@pytest.fixture
def city(tmp_path):
    """Land use; a park over 4 x 2 cells of city; enterprises in the middle of a city and of an arable cell."""
    return {
        "land_use": write_raster(tmp_path / "土地 use.tif", LAND_USE),
        "parks": write_layer(tmp_path / "parks.gpkg", [over(2, 2, 6, 4)], name=["Park"]),
        "enterprises": write_layer(tmp_path / "firms.gpkg", [at(8.5, 2.5), at(3.5, 6.5)]),
    }


class Log:
    """A run that keeps what it said."""

    def __init__(self):
        self.said = []
        self.run = Run(self.said.append)

    def texts(self, kind):
        return [reply["text"] for reply in self.said if reply["type"] == kind]


def delineate(tmp_path, log=None, **arguments):
    """Run the job: its result, the fractions, the class map, the ledger and the overlaps."""
    log = log or Log()
    paths = {"output": "land.tif", "class_map": "classes.tif", "ledger": "ledger.csv", "overlaps": "overlaps.csv"}
    paths = {name: str(tmp_path / "out" / path) for name, path in paths.items()}
    result = delineate_emission_land(log.run, **arguments, **paths)
    log.run.commit({})
    with rasterio.open(paths["output"]) as file:
        assert file.descriptions == ("industry", "city", "agriculture", "rural")
        fractions = file.read()
    with rasterio.open(paths["class_map"]) as file:
        classes = file.read(1)
    ledger, overlaps = (
        pd.read_csv(paths[name], keep_default_na=False, dtype={"code": str}) for name in ("ledger", "overlaps")
    )
    return result, fractions, classes, ledger, overlaps


def test_each_source_is_in_the_ledger_with_what_it_gave(city, tmp_path):
    result, fractions, classes, ledger, overlaps = delineate(tmp_path, **city)
    circle = np.pi * 15**2
    share = circle / CELL_M2  # a circle of 15 m lies in its cell of 30 m as a whole
    expected = np.zeros((10, 10))
    expected[0] = 1
    expected[2:4, 2:6] = 1
    expected[2, 8] = expected[6, 3] = share
    # The polygon that stands for the circle has its corners 5 cm outside, in the next cells: 0.01 % of its area.
    assert fractions[0] == pytest.approx(expected, abs=2e-4)
    assert fractions.sum(axis=0).max() <= 1
    assert fractions[1, 2, 8] == pytest.approx(1 - share, abs=2e-4)
    assert classes[2, 8] == classes[6, 3] == 1
    assert classes[5, 0] == 255
    assert classes[9].tolist() == [0] * 10
    rows = ledger.set_index(["source", "code"])
    park, near = rows.loc[("parks", "")], rows.loc[("surroundings of enterprises", "")]
    assert park["drawn_m2"] == pytest.approx(8 * CELL_M2, rel=1e-9)
    assert park["contributed_m2"] == pytest.approx(8 * CELL_M2, rel=1e-7)
    assert near["features"] == "2"
    assert near["drawn_m2"] == pytest.approx(2 * circle, rel=1e-9)
    assert near["contributed_m2"] == pytest.approx(2 * circle, rel=1e-5)
    assert ledger["rounding_m2"].abs().max() < 0.01
    urban, arable = rows.loc[("land use", "51")], rows.loc[("land use", "11")]
    assert (urban["part"], urban["drawn_m2"]) == ("city", pytest.approx(40 * CELL_M2, rel=1e-7))
    assert urban["overlap_m2"] == pytest.approx(8 * CELL_M2 + circle, rel=1e-6)
    assert arable["contributed_m2"] == pytest.approx(29 * CELL_M2 - circle, rel=1e-6)
    assert result["industry_km2"] == pytest.approx((18 * CELL_M2 + 2 * circle) / 1e6, rel=1e-6)
    pairs = overlaps.set_index(["first", "second"])["area_m2"]
    assert pairs["parks", "land use 51 urban land"] == pytest.approx(8 * CELL_M2, rel=1e-6)
    assert pairs["surroundings of enterprises", "land use 11 paddy field"] == pytest.approx(circle, rel=1e-5)
    assert len(pairs) == 3


def test_the_paper_s_classes_alone(city, tmp_path):
    _, fractions, _, ledger, overlaps = delineate(tmp_path, land_use=city["land_use"])
    for band, code in enumerate([53, 51, 11, 52]):
        assert fractions[band].tolist() == (code == LAND_USE).astype(float).tolist()
    assert len(overlaps) == 0
    assert set(ledger["source"]) == {"land use"}
    assert ledger["contributed_m2"].astype(float).sum() == pytest.approx(99 * CELL_M2, rel=1e-7)


def test_overlaps_are_told_pair_by_pair_and_count_once(city, tmp_path):
    # A is 4 x 2 cells, B is A again, C shares 1 x 2 with both and reaches 1 x 2 beyond. The first enterprise lies in A;
    # the next two on one place; the last one's circle is half outside the raster.
    parks = write_layer(tmp_path / "p.gpkg", [over(2, 2, 6, 4), over(2, 2, 6, 4), over(5, 2, 7, 4)], name=list("ABC"))
    firms = write_layer(tmp_path / "f.gpkg", [at(3.5, 2.5), at(8.5, 6.5), at(8.5, 6.5), at(10, 3.5), at(40, 40)])
    log = Log()
    city |= {"parks": parks, "park_name_field": "name", "enterprises": firms}
    _, fractions, _, ledger, overlaps = delineate(tmp_path, log, **city)
    pairs = overlaps.set_index(["first", "second"])
    circle = np.pi * 15**2
    assert pairs.loc[("A", "B"), "area_m2"] == pytest.approx(8 * CELL_M2)
    assert pairs.loc[("A", "C"), "area_m2"] == pytest.approx(2 * CELL_M2)
    assert pairs.loc[("B", "C"), "area_m2"] == pytest.approx(2 * CELL_M2)
    near = "surroundings of enterprises"
    assert pairs.loc[(near, near), "area_m2"] == pytest.approx(circle, rel=1e-6)
    # The corners of the circle's polygon reach 5 cm out of the park.
    assert pairs.loc[("parks", near), "area_m2"] == pytest.approx(circle, rel=1e-4)
    assert pairs.loc[("parks", near), "kept_by"] == "parks"
    rows = ledger.set_index("source").loc[["parks", near]].astype({"drawn_m2": float})
    assert rows["drawn_m2"].tolist() == pytest.approx([20 * CELL_M2, 5 * circle])
    assert rows["overlap_m2"].tolist() == pytest.approx([10 * CELL_M2, 2 * circle], rel=1e-4)
    assert rows["outside_m2"].tolist() == pytest.approx([0, 1.5 * circle], abs=1e-3)
    assert rows["contributed_m2"].tolist() == pytest.approx([10 * CELL_M2, 1.5 * circle], rel=1e-4)
    assert any("3 pairs overlap" in text for text in log.texts("warning"))
    assert any("1 of 5 points lie outside the raster" in text for text in log.texts("warning"))
    assert fractions[0, 2:4, 2:7].tolist() == [[1] * 5] * 2


def test_whole_cells_are_all_or_nothing(city, tmp_path):
    city["enterprises"] = write_layer(tmp_path / "f.gpkg", [at(8.5, 2.5), at(3.99, 6.99)])
    _, fractions, classes, ledger, _ = delineate(tmp_path, **city, cells="whole")
    assert set(np.unique(fractions)) == {0, 1}
    assert fractions[0, 2, 8] == 1
    assert fractions[0, 5:].sum() == 0  # the corner of four cells: no centre is within 15 m
    assert ((fractions * np.arange(1, 5)[:, None, None]).sum(axis=0) == np.where(classes == 255, 0, classes)).all()
    near = ledger.set_index("source").loc["surroundings of enterprises"]
    assert float(near["contributed_m2"]) == pytest.approx(CELL_M2, rel=1e-6)
    assert float(near["rounding_m2"]) == pytest.approx(CELL_M2 - 2 * np.pi * 15**2, rel=1e-5)


def test_a_mask_and_water_keep_surroundings_on_land(city, tmp_path):
    # One enterprise on the edge of the mask, one on the edge of the water (row 9), each with half a circle on land.
    city["enterprises"] = write_layer(tmp_path / "f.gpkg", [at(5, 6.5), at(2.5, 9)])
    mask = write_layer(tmp_path / "mask.gpkg", [over(0, 0, 5, 10), over(0, 4, 5, 10)])
    arguments = {**city, "land_mask": mask, "spare_water": True}
    _, fractions, _, ledger, _ = delineate(tmp_path, **arguments)
    half = np.pi * 15**2 / 2
    near = ledger.set_index("source").loc["surroundings of enterprises"]
    assert float(near["off_land_m2"]) == pytest.approx(2 * half, rel=1e-4)
    assert float(near["contributed_m2"]) == pytest.approx(2 * half, rel=1e-4)
    assert fractions[0, 9].max() == 0
    assert fractions[0, 6].tolist()[5:] == [0] * 5


def test_a_finer_raster_divides_the_city(city, tmp_path):
    # WorldCover at 10 m: of the city cells the west third is tree cover, the middle third cropland, the rest built-up;
    # the east half of the raster has no data. Cells that are not city stay as they are.
    finer = np.tile([10, 40, 50], (30, 10))
    finer[:, 15:] = 0
    path = write_raster(tmp_path / "finer.tif", finer, transform=Affine(10, 0, WEST, 0, -10, NORTH))
    _, fractions, classes, ledger, _ = delineate(tmp_path, land_use=city["land_use"], finer=path)
    assert fractions[:, 1, 0] == pytest.approx([0, 1 / 3, 1 / 3, 0])
    assert fractions[:, 1, 7] == pytest.approx([0, 1, 0, 0])
    assert fractions[:, 0, 0] == pytest.approx([1, 0, 0, 0])
    urban = ledger[ledger["code"] == "51"].set_index("part")["contributed_m2"]
    assert urban.astype(float).to_dict() == pytest.approx(
        {"none": 20 / 3 * CELL_M2, "agriculture": 20 / 3 * CELL_M2, "city": (20 / 3 + 20) * CELL_M2}, rel=1e-6
    )
    assert classes[1, 0] == 2
    _, fractions, _, _, _ = delineate(tmp_path, land_use=city["land_use"], finer=path, cells="whole")
    assert set(np.unique(fractions)) == {0, 1}


def test_a_finer_raster_may_be_in_degrees(city, tmp_path):
    # Built-up in the west, tree cover in the east of column 4.5, in cells of about 3 m.
    finer = np.where(np.arange(100) < 45, 50, 10) * np.ones((100, 1))
    transform = Affine(3, 0, WEST, 0, -3, NORTH)
    cells, transform = warped(finer, transform, "EPSG:4326", 120)
    path = write_raster(tmp_path / "f.tif", cells, crs="EPSG:4326", transform=transform)
    _, fractions, _, _, _ = delineate(tmp_path, land_use=city["land_use"], finer=path)
    assert fractions[1, 1:5, :4].min() > 0.95
    assert fractions[1, 1:5, 5:].max() < 0.05
    assert fractions[1, 1:5, 4] == pytest.approx([0.5] * 4, abs=0.1)


def test_small_patches_take_the_part_around_them(city, tmp_path):
    # A village of one cell in the fields, a pond in the fields, and the village of row 8 with ten cells.
    land_use = LAND_USE.copy()
    land_use[6, 6], land_use[6, 2] = 52, 42
    path = write_raster(tmp_path / "patches.tif", land_use)
    log = Log()
    _, fractions, _, ledger, _ = delineate(tmp_path, log, land_use=path, minimum_patch_ha=0.2)
    assert fractions[:, 6, 6].tolist() == [0, 0, 1, 0]
    assert fractions[:, 6, 2].tolist() == [0, 0, 0, 0]
    assert fractions[3, 8].tolist() == [1] * 10
    villages = ledger[ledger["code"] == "52"].set_index("part")["contributed_m2"].astype(float)
    assert villages.to_dict() == pytest.approx({"agriculture": CELL_M2, "rural": 10 * CELL_M2}, rel=1e-6)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "ESRI:102025"])
def test_areas_are_true_in_every_crs(city, tmp_path, crs):
    """The same city as a raster of 90 x 90 cells in another CRS gives the same m2 to within its resolution."""
    cells, transform = warped(LAND_USE, Affine(30, 0, WEST, 0, -30, NORTH), crs, 90)
    path = write_raster(tmp_path / "other.tif", cells, crs=crs, transform=transform)
    result, *_ = delineate(tmp_path, **city)
    other, fractions, _, ledger, _ = delineate(tmp_path, **(city | {"land_use": path}))
    rows = ledger.set_index("source")["contributed_m2"].astype(float)
    # What parks and enterprises give does not depend on the cells at all.
    assert rows["parks"] == pytest.approx(8 * CELL_M2, rel=1e-5)
    assert rows["surroundings of enterprises"] == pytest.approx(2 * np.pi * 15**2, rel=1e-5)
    for part in ("industry", "city", "agriculture", "rural"):
        assert other[f"{part}_km2"] == pytest.approx(result[f"{part}_km2"], rel=0.03)
    assert fractions.sum(axis=0).max() <= 1


def test_other_schemes_and_own_tables(tmp_path, city):
    cover = write_raster(tmp_path / "cover.tif", np.tile([10, 40, 50, 80], (4, 1)))
    log = Log()
    _, fractions, _, _, _ = delineate(tmp_path, log, land_use=cover, classes="worldcover")
    assert fractions[:, 0].tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert [text for text in log.texts("warning") if "no land of rural" in text]
    igbp = write_raster(tmp_path / "igbp.tif", np.tile([1, 12, 13, 14], (4, 1)))
    _, fractions, _, _, _ = delineate(tmp_path, land_use=igbp, classes="igbp")
    assert fractions[:, 0].tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]]
    table = tmp_path / "classes.csv"
    table.write_text("code,part\n10,rural\n40,industry\n50,\n80,none\n", encoding="utf-8")
    _, fractions, _, _, _ = delineate(tmp_path, land_use=cover, class_table=str(table))
    assert fractions[:, 0].tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_the_works_of_the_sample_city_are_found(tmp_path):
    """Against the city's own parcels: its works are industry, and its homes and fields are not."""
    names = {"parcels": "p.gpkg", "land_use": "l.tif", "parks": "k.gpkg", "pois": "i.gpkg"}
    paths = {name: str(tmp_path / file) for name, file in names.items()}
    run = Run()
    create_sample_city(run, parcels_count=1500, seed=2, **paths)
    run.commit({})
    points = gpd.read_file(paths["pois"])
    firms = points[points["category"].isin(["manufacturing", "mining", "utility"])]
    firms.to_file(tmp_path / "firms.gpkg")
    sources = {name: paths[name] for name in ("land_use", "parks")} | {"enterprises": str(tmp_path / "firms.gpkg")}
    result, _, _, ledger, _ = delineate(tmp_path, **sources)
    assert ledger.loc[ledger["source"] != "land use", "contributed_m2"].astype(float).min() > 0
    parcels = gpd.read_file(paths["parcels"])
    middles = parcels.geometry.representative_point()
    with rasterio.open(tmp_path / "out" / "land.tif") as land:
        industry, city, agriculture, rural = np.array(list(land.sample(zip(middles.x, middles.y)))).T
    of = parcels["land_type"]
    assert industry[of == "industrial land"].mean() > 0.75
    assert city[of == "urban residential land"].mean() > 0.75
    assert agriculture[of == "cultivated land"].mean() > 0.9
    assert rural[of == "rural homestead"].mean() > 0.9
    assert (
        sum(result[f"{part}_km2"] for part in ("industry", "city", "agriculture", "rural")) < parcels.area.sum() / 1e6
    )


def test_cells_larger_than_the_surroundings(city, tmp_path):
    """A raster of 300 m: the circles are fractions of a cell; in whole cells they vanish, with a warning."""
    path = write_raster(tmp_path / "coarse.tif", np.array([[11]]), transform=Affine(300, 0, WEST, 0, -300, NORTH))
    arguments = {"land_use": path, "enterprises": city["enterprises"]}
    result, fractions, _, _, _ = delineate(tmp_path, **arguments)
    assert result["industry_km2"] == pytest.approx(2 * np.pi * 15**2 / 1e6, rel=1e-4)
    assert fractions[0, 0, 0] == pytest.approx(2 * np.pi * 15**2 / (100 * CELL_M2), rel=1e-4)
    log = Log()
    result, *_ = delineate(tmp_path, log, **arguments, cells="whole")
    assert result["industry_km2"] == 0
    assert any("wider than the surroundings of enterprises (30 m)" in text for text in log.texts("warning"))


def test_inputs_in_another_crs_and_invalid_parks_are_brought_in(city, tmp_path):
    bow = shapely.Polygon([at(2, 2), at(6, 4), at(6, 2), at(2, 4)])  # crosses itself: two triangles of 2 cells each
    city["parks"] = write_layer(tmp_path / "p.gpkg", gpd.GeoSeries([bow], crs=UTM).to_crs(4326), crs="EPSG:4326")
    points = gpd.GeoSeries([shapely.MultiPoint([at(8.5, 2.5), at(3.5, 6.5)])], crs=UTM).to_crs(3857)
    city["enterprises"] = write_layer(tmp_path / "f.gpkg", points, crs="EPSG:3857")
    log = Log()
    _, _, _, ledger, _ = delineate(tmp_path, log, **city)
    rows = ledger.set_index("source")["contributed_m2"].astype(float)
    assert rows["parks"] == pytest.approx(4 * CELL_M2, rel=1e-4)
    assert rows["surroundings of enterprises"] == pytest.approx(2 * np.pi * 15**2, rel=1e-5)
    assert any("1 invalid polygons were repaired" in text for text in log.texts("warning"))


# Refusals -------------------------------------------------------------------------------------------------------------


def other_raster(cells, **settings):
    """A land use of its own, alone."""
    alone = {"parks": None, "enterprises": None}
    return lambda folder: alone | {"land_use": write_raster(folder / "bad.tif", np.array(cells), **settings)}


def layer(argument, shapes, crs=UTM, **fields):
    return lambda folder: {argument: write_layer(folder / "bad.gpkg", shapes, crs=crs, **fields)}


def empty_layer(argument):
    def make(folder):
        gpd.GeoDataFrame({"name": []}, geometry=[], crs=UTM).to_file(folder / "bad.gpkg")
        return {argument: str(folder / "bad.gpkg")}

    return make


def text_file(argument, text):
    def make(folder):
        (folder / "bad.csv").write_text(text, encoding="utf-8")
        return {argument: str(folder / "bad.csv")}

    return make


def plain(**arguments):
    return lambda folder: arguments


FAR = shapely.Point(900_000, 100_000)
REFUSALS = {
    "codes not in the class map": (
        other_raster([[11, 77, 77], [51, 78, 11]]),
        "Parameter land_use: its codes 77 (2 cells), 78 (1 cells) are not among the classes. Choose the raster's own",
    ),
    "nodata as a code": (
        other_raster([[11, 255], [255, 255]], nodata=None),
        "land_use: its codes 255 (3 cells) are not among the classes. Choose the raster's own scheme, give a class "
        "table that has them, or set the value that marks cells without data as its nodata value",
    ),
    "a class as nodata": (
        other_raster([[11, 51]], nodata=51),
        "land_use: its nodata value 51 is the code of 'urban land'",
    ),
    "codes that are no whole numbers": (
        other_raster([[11, 51.5]], dtype="float32"),
        "land_use: its codes 51.5 (1 cells)",
    ),
    "infinite codes": (other_raster([[11, np.inf]], dtype="float32"), "land_use: 'bad' holds infinite values"),
    "nothing but nodata": (other_raster([[0, 0]]), "land_use: it holds no data"),
    "cells off the globe": (
        other_raster([[11, 51]], crs="EPSG:3035", transform=Affine(30, 0, 9e7, 0, -30, 9e7)),
        "land_use: some of its cells lie where 'ETRS89-extended / LAEA Europe' has no ground",
    ),
    "raster without CRS": (other_raster([[11, 51]], crs=None), "land_use: the raster has no CRS"),
    "rotated raster": (
        other_raster([[11, 51]], transform=Affine(30, 5, WEST, 5, -30, NORTH)),
        "land_use: .* is rotated, mirrored",
    ),
    "missing raster": (plain(land_use="/nowhere/land.tif"), "land_use: the file '/nowhere/land.tif' does not exist"),
    "a text file as raster": (text_file("land_use", "code\n1\n"), "land_use: .* cannot be read as a raster"),
    "another scheme's raster": (plain(classes="worldcover"), "land_use: its codes 51 .* are not among the classes"),
    "unknown scheme": (plain(classes="corine"), "classes: 'corine' is unknown. Use one of resdc, worldcover, igbp"),
    "class table without parts": (
        text_file("class_table", "code,use\n1,2\n"),
        "class_table: the table has no column 'part'",
    ),
    "class table with an unknown part": (
        text_file("class_table", "code,part\n11,farms\n"),
        "class_table: part 'farms' is unknown. Use one of none, industry, city, agriculture, rural",
    ),
    "class table with two meanings": (
        text_file("class_table", "code,part\n11,city\n11,rural\n"),
        "class_table: code 11 has two meanings",
    ),
    "empty park layer": (empty_layer("parks"), "parks: .* has no features"),
    "parks that are points": (layer("parks", [at(2, 2)]), "parks: 1 of 1 features are not polygons"),
    "parks elsewhere": (layer("parks", [FAR.buffer(100)]), "parks: its extent .* does not overlap the raster's"),
    "parks without CRS": (layer("parks", [over(1, 1, 2, 2)], crs=None), "parks: the layer has no CRS"),
    "no such name field": (plain(park_name_field="title"), "parks: field 'title' does not exist. Choose one of name"),
    "enterprises elsewhere": (layer("enterprises", [FAR]), "enterprises: none of 1 points lies on the raster"),
    "enterprises that are polygons": (
        layer("enterprises", [over(1, 1, 2, 2)]),
        "enterprises: 1 of 1 features are not points",
    ),
    "empty enterprise layer": (empty_layer("enterprises"), "enterprises: .* has no features"),
    "no radius": (plain(buffer_m=0), "buffer_m: 0 is not a positive number"),
    "radius that is no number": (plain(buffer_m=float("nan")), "buffer_m: nan is not a positive number"),
    "mask elsewhere": (layer("land_mask", [FAR.buffer(100)]), "land_mask: its extent .* does not overlap"),
    "finer raster that is coarser": (
        lambda folder: {
            "finer": write_raster(folder / "f.tif", LAND_USE[:2, :2], transform=Affine(60, 0, WEST, 0, -60, NORTH))
        },
        "finer: its cells are 2 times as wide as those of land_use",
    ),
    "a class of the finer raster as nodata": (
        lambda folder: {
            "finer": write_raster(
                folder / "f.tif", np.full((9, 9), 40), transform=Affine(10, 0, WEST, 0, -10, NORTH), nodata=50
            )
        },
        "finer: its nodata value 50 is the code of 'built-up'",
    ),
    "finer raster of another scheme": (
        lambda folder: {
            "finer": write_raster(
                folder / "f.tif", LAND_USE.repeat(3, 0).repeat(3, 1), transform=Affine(10, 0, WEST, 0, -10, NORTH)
            )
        },
        "finer: its codes 51 .* are not among the classes",
    ),
    "negative patch": (plain(minimum_patch_ha=-1), "minimum_patch_ha: -1 is less than 0"),
    "unknown kind of cells": (plain(cells="halves"), "cells: 'halves' is unknown. Use one of fractions, whole"),
    "a folder as output": (lambda folder: {"output": str(folder)}, "output: .* is a folder"),
    "one file for two outputs": (
        lambda folder: {"class_map": str(folder / "land.tif")},
        "class_map: .* is the file of another output too",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_leave_nothing(city, tmp_path, case):
    make, message = REFUSALS[case]
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "made").mkdir()
    arguments = city | {"output": str(out / "land.tif"), "ledger": str(out / "ledger.csv")}
    bad = make(out if "output" in case else tmp_path / "made")
    run = Run()
    pattern = ".*".join(re.escape(piece) for piece in message.split(".*"))
    with pytest.raises(InputError, match=pattern):
        delineate_emission_land(run, **(arguments | bad))
    run.discard()
    assert list(out.iterdir()) == []


def test_cancelling_leaves_nothing(city, tmp_path):
    out = tmp_path / "out"
    steps = []

    def stop():
        steps.append(1)
        return len(steps) > 2

    run = Run(is_cancelled=stop)
    with pytest.raises(Cancelled):
        delineate_emission_land(run, **city, output=str(out / "land.tif"))
    run.discard()
    assert list(out.iterdir()) == []
