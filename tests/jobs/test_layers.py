"""Reading and writing layers: what is repaired is said, what cannot be used is refused by name."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely

from carbon_spatializer.core.errors import InputError
from carbon_spatializer.jobs import layers
from carbon_spatializer.jobs.run import Run

UTM = "EPSG:32651"
SQUARE = shapely.box(270000, 3464000, 270100, 3464100)  # 1 ha


@pytest.fixture
def said():
    return []


@pytest.fixture
def run(said):
    return Run(said.append)


def saved(tmp_path, geometries, crs=UTM, name="layer.gpkg", **columns):
    """A layer on disk."""
    path = tmp_path / name
    columns = columns or {"value": range(len(geometries))}
    layers.write_layer(gpd.GeoDataFrame(columns, geometry=list(geometries), crs=crs), path)
    return str(path)


class TestReadLayer:
    def test_a_bow_tie_is_repaired_and_said(self, tmp_path, run, said):
        # The bow tie's two triangles of 100 x 50 / 2 m2 each remain: 5000 m2.
        bow_tie = shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])
        frame = layers.read_layer(saved(tmp_path, [SQUARE, bow_tie]), "parcels", run, "polygon")
        assert shapely.is_valid(frame.geometry.array).all()
        assert frame.area.tolist() == pytest.approx([10000, 5000])
        assert [reply["text"] for reply in said] == ["parcels: 1 invalid polygons were repaired (first at row 2)."]

    def test_features_without_geometry_are_left_out_and_said(self, tmp_path, run, said):
        frame = layers.read_layer(saved(tmp_path, [None, SQUARE]), "parcels", run, "polygon")
        assert frame["value"].tolist() == [1]
        assert said[0]["text"] == "parcels: 1 features without a geometry were left out."

    @pytest.mark.parametrize(
        ("geometries", "crs", "kind", "problem"),
        [
            ([SQUARE], None, "polygon", "has no CRS"),
            ([SQUARE.centroid], UTM, "polygon", "1 of 1 features are not polygons"),
            ([SQUARE], UTM, "point", "are not points"),
            ([None], UTM, "polygon", "no feature has a geometry"),
            ([], UTM, "polygon", "has no features"),
            ([shapely.Point(np.inf, 0)], UTM, "point", "infinite"),
        ],
    )
    def test_refused(self, tmp_path, run, geometries, crs, kind, problem):
        path = saved(tmp_path, geometries, crs)
        with pytest.raises(InputError, match=problem) as error:
            layers.read_layer(path, "parcels", run, kind)
        assert str(error.value).startswith("Parameter parcels: ")

    def test_files_that_are_no_layers(self, tmp_path, run):
        with pytest.raises(InputError, match="does not exist"):
            layers.read_layer(str(tmp_path / "absent.gpkg"), "parcels", run)
        (tmp_path / "text.gpkg").write_text("this is no GeoPackage")
        with pytest.raises(InputError, match="cannot be read as a layer"):
            layers.read_layer(str(tmp_path / "text.gpkg"), "parcels", run)
        (tmp_path / "table.csv").write_text("a,b\n1,2\n")
        with pytest.raises(InputError, match="has no geometries"):
            layers.read_layer(str(tmp_path / "table.csv"), "parcels", run)
        with pytest.raises(InputError, match="no layer was given"):
            layers.read_layer("", "parcels", run)

    def test_the_layer_and_crs_that_qgis_names_win(self, tmp_path, run):
        path = tmp_path / "two.gpkg"
        for name, value in (("first", 1), ("second", 2)):
            layers.write_layer(gpd.GeoDataFrame({"value": [value]}, geometry=[SQUARE], crs=UTM), path, layer=name)
        frame = layers.read_layer({"path": str(path), "layer": "second", "crs": "EPSG:32650"}, "parcels", run)
        assert frame["value"].tolist() == [2]
        assert frame.crs == "EPSG:32650"

    def test_fields(self, tmp_path, run):
        path = saved(tmp_path, [SQUARE], land_type=["water"])
        with pytest.raises(InputError, match="field 'landtype' does not exist\\. Choose one of land_type"):
            layers.read_layer(path, "parcels", run, columns=["landtype"])


class TestNumbers:
    @pytest.mark.parametrize(
        ("values", "problem"),
        [
            (["1", "two"], "holds text, for example 'two'"),
            ([1.0, None], r"no value in 1 of 2 rows \(first in row 2\)"),
            ([1.0, np.inf], "infinite"),
            ([1.0, -2.0], "negative values, for example -2 in row 2"),
        ],
    )
    def test_refused(self, values, problem):
        with pytest.raises(InputError, match=problem):
            layers.numbers(pd.DataFrame({"amount": values}), "amount", "totals")

    def test_numbers_in_text_are_numbers(self):
        frame = pd.DataFrame({"amount": ["1", " 2.5 "]})
        assert layers.numbers(frame, "amount", "totals").tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([1, 2], ["1", "2"]),
        ([1.0, None], ["1", ""]),
        ([1.5, 2.0], ["1.5", "2.0"]),
        (["007 ", None], ["007", ""]),
    ],
)
def test_keys_match_across_types(column, expected):
    assert layers.keys(pd.Series(column)).tolist() == expected


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3857"])
def test_areas_are_true_in_any_crs(crs):
    # One hectare in UTM 200 km from the central meridian, where a square metre of the map is 0.99985 of the ground's.
    frame = gpd.GeoDataFrame(geometry=[SQUARE], crs=UTM)
    geod = frame.crs.get_geod()
    truth = abs(geod.geometry_area_perimeter(frame.to_crs(4326).geometry.iloc[0])[0])
    assert layers.areas(frame.to_crs(crs))[0] == pytest.approx(truth, rel=1e-5)


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3857"])
def test_areas_of_small_and_large_polygons_are_those_after_projection(crs):
    random = np.random.default_rng(0)
    west, south = random.uniform((300_000, 3_400_000), (340_000, 3_440_000), (200, 2)).T
    width, height = random.uniform(5, 400, (2, 200))
    width[:3], height[:2] = 20_000, 3
    frame = gpd.GeoDataFrame(geometry=shapely.box(west, south, west + width, south + height), crs=UTM).to_crs(crs)
    projected = shapely.area(frame.geometry.to_crs(layers.work_crs(frame)).array)
    assert layers.areas(frame) == pytest.approx(projected, rel=1e-5)


def test_disjoint_layers_are_refused():
    here = gpd.GeoDataFrame(geometry=[SQUARE], crs=UTM)
    there = gpd.GeoDataFrame(geometry=[shapely.Point(0, 50)], crs=4326)
    with pytest.raises(InputError, match="does not overlap"):
        layers.align(there, here, "pois")


@pytest.mark.parametrize("name", ["layer.gpkg", "layer.geojson", "layer.fgb", "layer.shp", "地块 🌍.gpkg"])
def test_formats(tmp_path, run, name):
    frame = layers.read_layer(saved(tmp_path, [SQUARE], name=name), "parcels", run, "polygon")
    assert frame.area.sum() == pytest.approx(10000)


def test_unknown_format(tmp_path):
    with pytest.raises(InputError, match=r"file type '.xyz' is unknown"):
        layers.write_layer(pd.DataFrame({"a": [1]}), tmp_path / "layer.xyz")


@pytest.mark.parametrize(
    ("in_file", "given", "expected"), [(UTM, None, UTM), (UTM, "EPSG:32650", "EPSG:32650"), (None, UTM, UTM)]
)
def test_the_crs_of_a_raster_that_qgis_names_wins(tmp_path, in_file, given, expected):
    path = tmp_path / "population.tif"
    transform = rasterio.transform.from_origin(270000, 3464100, 100, 100)
    with rasterio.open(path, "w", "GTiff", 1, 1, 1, crs=in_file, transform=transform, dtype="float32") as dataset:
        dataset.write(np.ones((1, 1, 1), "float32"))
    dataset, crs = layers.open_raster({"path": str(path), "crs": given}, "population")
    with dataset:
        assert crs == expected


def test_a_raster_without_crs_is_refused(tmp_path):
    path = tmp_path / "population.tif"
    transform = rasterio.transform.from_origin(0, 1, 1, 1)
    with rasterio.open(path, "w", "GTiff", 1, 1, 1, transform=transform, dtype="float32") as dataset:
        dataset.write(np.ones((1, 1, 1), "float32"))
    with pytest.raises(InputError, match="the raster has no CRS"):
        layers.open_raster(str(path), "population")
