"""Aggregation of parcels to cells and zones, files in and files out."""

import re

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from shapely import box

from carbon_spatializer.core.errors import InputError
from carbon_spatializer.jobs.aggregation import aggregate_to_grid, aggregate_to_zones
from carbon_spatializer.jobs.run import Run

UTM = "EPSG:32650"
FLAT = shapely.Polygon([(500100, 3400100), (500200, 3400200), (500100, 3400100)])


@pytest.fixture
def folder(tmp_path):
    """Inputs: two parcels over four 1000 m cells, and two townships that leave the east uncovered."""
    parcels = gpd.GeoDataFrame(
        {
            "name": ["工业", "park"],
            "gross_t": [100.0, 40],
            "sink_t": [0.0, 10],
            "net_t": [100.0, 30],
            "note_t": ["a", "b"],
        },
        geometry=[box(500500, 3400500, 501500, 3401500), box(501000, 3400000, 502000, 3400500)],
        crs=UTM,
    )
    zones = gpd.GeoDataFrame(
        {"township": ["木渎镇", "South-east"], "gdp": [5.5, 7.0]},
        geometry=[box(500000, 3400000, 501000, 3402000), box(501000, 3400000, 501500, 3401000)],
        crs=UTM,
    )
    parcels.to_file(tmp_path / "parcels.gpkg")
    zones.to_file(tmp_path / "zones.gpkg")
    return tmp_path


def change(folder, name="parcels", **columns):
    """Replace columns of an input, its geometry or its CRS."""
    frame = gpd.read_file(folder / f"{name}.gpkg")
    crs = columns.pop("crs", None)
    frame = frame.assign(**columns)
    (folder / f"{name}.gpkg").unlink()
    (frame.to_crs(crs) if crs else frame).to_file(folder / f"{name}.gpkg")


def to_grid(folder, **arguments):
    """The cells by id, the job's result, and what it said."""
    said = []
    run = Run(said.append)
    result = aggregate_to_grid(run, input=str(folder / "parcels.gpkg"), output=str(folder / "grid.gpkg"), **arguments)
    run.commit({})
    text = " ".join(reply["text"] for reply in said)
    return gpd.read_file(folder / "grid.gpkg").set_index("cell_id"), result, text


def to_zones(folder, **arguments):
    said = []
    run = Run(said.append)
    arguments = {"zones": str(folder / "zones.gpkg")} | arguments
    result = aggregate_to_zones(run, input=str(folder / "parcels.gpkg"), output=str(folder / "out.gpkg"), **arguments)
    run.commit({})
    return gpd.read_file(folder / "out.gpkg"), result, " ".join(reply["text"] for reply in said)


def test_squares_by_hand(folder):
    # The first parcel lies to a quarter in each of four cells: 25 t each. The second lies in one: 40 t, and 10 t sink.
    cells, result, _ = to_grid(folder)
    assert cells["gross_t"].to_dict() == pytest.approx(
        {"1000mE500N3400": 25, "1000mE501N3400": 65, "1000mE500N3401": 25, "1000mE501N3401": 25}
    )
    assert cells["sink_t"].to_dict()["1000mE501N3400"] == pytest.approx(10)
    assert list(cells) == ["gross_t", "sink_t", "net_t", "area_m2", "intensity_t_ha", "geometry"]
    assert cells.crs == UTM
    assert cells.geometry["1000mE501N3401"].equals(box(501000, 3401000, 502000, 3402000))
    assert result["total_t"] == 140
    assert result["relative_error"] < 1e-12
    assert "140.00 t came in, 140.00 t lie in the cells" in result["summary"]


def test_area_is_that_of_the_ground(folder):
    # On the central meridian (x = 500,000) UTM shrinks lengths by 0.9996: a cell of 100 ha is 100/0.9996^2 ha.
    cells, _, said = to_grid(folder)
    assert cells["area_m2"].to_numpy() == pytest.approx(np.full(4, 1e6 / 0.9996**2), rel=1e-5)
    assert cells["intensity_t_ha"]["1000mE501N3400"] == pytest.approx(65 * 0.9996**2 / 100, rel=1e-5)
    assert "on the ground" not in said


def test_area_agrees_with_the_ellipsoid(folder):
    cells, _, _ = to_grid(folder)
    geod = pyproj.Geod(ellps="WGS84")
    true = [abs(geod.geometry_area_perimeter(cell)[0]) for cell in cells.to_crs(4326).geometry]
    assert cells["area_m2"].to_numpy() == pytest.approx(true, rel=1e-6)


def test_web_mercator_is_warned_of_and_not_believed(folder):
    # At 30.73 degrees north Web Mercator stretches areas by 1/cos^2 = 1.35: 100 ha are 73.9 ha by the sphere.
    cells, _, said = to_grid(folder, crs="EPSG:3857")
    assert re.search(r"a cell of 100 ha is 7[34]\.\d+ ha on the ground", said)
    assert cells["area_m2"].mean() == pytest.approx(1e6 * np.cos(np.radians(30.73)) ** 2, rel=0.01)
    assert cells["gross_t"].sum() == pytest.approx(140, rel=1e-12)


def test_hexagons(folder):
    cells, _, _ = to_grid(folder, shape="hexagon", cell_size=500)
    assert cells["gross_t"].sum() == pytest.approx(140, rel=1e-12)
    assert cells.index.str.startswith("hex500mE").all()
    assert shapely.area(cells.geometry.array) == pytest.approx(np.full(len(cells), np.sqrt(3) / 2 * 500**2))


def test_degrees_are_gridded_in_metres_and_the_log_says_so(folder):
    change(folder, crs="EPSG:4326")
    cells, _, said = to_grid(folder)
    assert cells.crs == UTM
    assert "The layer is in degrees (WGS 84); the grid is made in WGS 84 / UTM zone 50N." in said
    # Straight edges in degrees are bent in UTM by centimetres, so that tonnes move by a millionth.
    assert cells["gross_t"]["1000mE501N3400"] == pytest.approx(65, rel=1e-3)
    assert cells["gross_t"].sum() == pytest.approx(140, rel=1e-12)


def test_cell_size_is_in_metres_in_a_crs_in_feet(folder):
    # 1000 m are 3280.83 US feet (EPSG:2263), of which the cells' edges are multiples.
    change(folder, geometry=[box(-74.0, 40.7, -73.99, 40.71), box(-73.99, 40.7, -73.98, 40.71)])
    frame = gpd.read_file(folder / "parcels.gpkg").set_crs(4326, allow_override=True).to_crs(2263)
    (folder / "parcels.gpkg").unlink()
    frame.to_file(folder / "parcels.gpkg")
    cells, _, _ = to_grid(folder)
    assert cells["area_m2"].to_numpy() == pytest.approx(np.full(len(cells), 1e6), rel=1e-3)


def test_chosen_fields_only(folder):
    change(folder, people=[3, 5])
    cells, result, _ = to_grid(folder, fields=["people"])
    assert list(cells) == ["people", "area_m2", "intensity_t_ha", "geometry"]
    assert cells["people"].sum() == pytest.approx(8)
    assert cells["intensity_t_ha"].max() == pytest.approx(5.75 / 100, rel=1e-2)
    assert result["summary"].count("people:") == 1


def test_cells_that_receive_nothing_are_left_out(folder):
    change(folder, gross_t=[0.0, 40], sink_t=[0.0, 0], net_t=[0.0, 40])
    cells, _, _ = to_grid(folder)
    assert list(cells.index) == ["1000mE501N3400"]


def test_a_polygon_without_area_goes_to_its_cell(folder):
    change(folder, geometry=[FLAT, box(501000, 3400000, 502000, 3400500)])
    cells, _, _ = to_grid(folder)
    assert cells["gross_t"].to_dict() == pytest.approx({"1000mE500N3400": 100, "1000mE501N3400": 40})


def test_tonnes_without_geometry_are_reported(folder):
    change(folder, geometry=[None, box(501000, 3400000, 502000, 3400500)])
    _, result, said = to_grid(folder)
    assert "1 features without a geometry" in said
    assert "40.00 t came in" in result["summary"]
    assert "100.00 t more have no geometry and were left out" in result["summary"]


def test_grid_style(folder):
    _, result, _ = to_grid(folder)
    style = result["styles"]["output"]
    assert (style["kind"], style["field"]) == ("graduated", "intensity_t_ha")
    assert "t CO2e/ha" in style["unit"]


def test_zones_by_hand(folder):
    # Parcel 1 (x 500500..501500, y 3400500..3401500): half in the west, a quarter in the south-east, a quarter outside.
    # Parcel 2 (x 501000..502000): half in the south-east, half outside. 100 t -> 50, 25, 25; 40 t -> 20, 20.
    zones, result, said = to_zones(folder)
    assert zones["gross_t"].tolist() == pytest.approx([50, 45])
    assert zones["sink_t"].tolist() == pytest.approx([0, 5])
    assert zones["township"].tolist() == ["木渎镇", "South-east"]
    assert zones["gdp"].tolist() == [5.5, 7]
    assert zones["intensity_t_ha"].tolist() == pytest.approx([50 / 200, 45 / 50], rel=1e-3)
    assert result["outside_t"] == pytest.approx(45)
    assert result["outside_pct"] == pytest.approx(100 * 45 / 140)
    assert "gross_t: 140.00 t came in, 95.00 t lie in the zones, 45.00 t (32.14 %) outside them" in said
    assert "sink_t: 10.00 t came in, 5.00 t lie in the zones, 5.00 t (50.00 %) outside them" in said
    assert result["styles"]["output"]["field"] == "gross_t"
    assert len(result["styles"]["output"]["breaks"]) <= 6


@pytest.mark.parametrize(("parcels", "zones"), [("EPSG:4326", UTM), (UTM, "EPSG:4326"), ("EPSG:3857", "EPSG:4490")])
def test_layers_in_different_crs_are_aligned(folder, parcels, zones):
    change(folder, "parcels", crs=parcels)
    change(folder, "zones", crs=zones)
    result, _, _ = to_zones(folder)
    assert result["gross_t"].tolist() == pytest.approx([50, 45], rel=1e-3)
    assert result.crs == zones


def test_zones_in_degrees_leave_nothing_outside_for_rounding(folder):
    change(folder, "zones", geometry=[box(500000, 3400000, 501000, 3402000), box(501000, 3400000, 502000, 3402000)])
    change(folder, "zones", crs="EPSG:4326")
    change(folder, "parcels", crs="EPSG:4326")
    _, result, _ = to_zones(folder)
    assert result["outside_pct"] < 0.001


def test_overlapping_zones_are_warned_of_and_count_once(folder):
    # The east grows by 100 m to the west: 100 m x 1000 m = 100,000 m2 of overlap.
    change(folder, "zones", geometry=[box(500000, 3400000, 501000, 3402000), box(500900, 3400000, 502000, 3401000)])
    zones, result, said = to_zones(folder)
    assert "1 pairs overlap, 100,000 m2 in all (most: rows 1 and 2, 100,000 m2)" in said
    # Parcel 1: west 0.5, east 0.6 x 0.5 = 0.3 of its area, union 0.75 (the north-east quarter is outside), so that
    # 75 t are shared 5 : 3. Parcel 2 lies in the east.
    assert zones["gross_t"].tolist() == pytest.approx([75 * 5 / 8, 75 * 3 / 8 + 40])
    assert result["outside_t"] == pytest.approx(25)


def test_fields_of_the_zones_with_the_same_name_are_replaced(folder):
    change(folder, "zones", gross_t=[1e9, 1e9])
    zones, _, said = to_zones(folder)
    assert zones["gross_t"].tolist() == pytest.approx([50, 45])
    assert "the fields gross_t are replaced" in said


def test_cells_can_be_aggregated_again(folder):
    to_grid(folder, cell_size=100)
    (folder / "grid.gpkg").rename(folder / "parcels.gpkg")
    zones, _, _ = to_zones(folder)
    # Cells of 100 m lie wholly on one side of each border, so that nothing changes.
    assert zones["gross_t"].tolist() == pytest.approx([50, 45], rel=1e-9)


def test_london_boroughs_by_polygons_equal_those_by_code(data, tmp_path):
    """Small areas split over their boroughs' outlines give what adding them by borough code gives."""
    frame = gpd.read_file(data / "london" / "london-2011-lsoa-gen20.shp")
    frame = frame[frame["LAD11NM"].isin(["Camden", "Islington", "Hackney", "City of London"])].reset_index(drop=True)
    frame["gross_t"] = np.random.default_rng(0).lognormal(6, 1, len(frame))
    frame.to_file(tmp_path / "parcels.gpkg")
    frame[["LAD11NM", "geometry"]].dissolve("LAD11NM").reset_index().to_file(tmp_path / "zones.gpkg")
    zones, result, _ = to_zones(tmp_path)
    expected = frame.groupby("LAD11NM")["gross_t"].sum()
    assert zones.set_index("LAD11NM")["gross_t"].to_dict() == pytest.approx(expected.to_dict(), rel=1e-9)
    assert abs(result["outside_t"]) < 1e-9 * expected.sum()


@pytest.mark.parametrize("shape", ["square", "hexagon"])
def test_odintsovo_in_degrees_keeps_its_mass(data, tmp_path, shape):
    frame = gpd.read_file(data / "osm_city" / "landuse.shp")
    frame["gross_t"] = np.random.default_rng(0).lognormal(6, 2, len(frame))
    frame.to_file(tmp_path / "parcels.gpkg")
    cells, result, said = to_grid(tmp_path, shape=shape)
    assert cells["gross_t"].sum() == pytest.approx(frame["gross_t"].sum(), rel=1e-12)
    assert result["relative_error"] < 1e-9
    assert "UTM zone 37N" in said


def refused(folder, job, message, **arguments):
    """The job refuses its input in one sentence and leaves nothing behind."""
    before = sorted(folder.iterdir())
    run = Run()
    arguments = {"input": str(folder / "parcels.gpkg"), "output": str(folder / "out.gpkg")} | arguments
    with pytest.raises(InputError, match=message) as error:
        job(run, **arguments)
    run.discard()
    assert sorted(folder.iterdir()) == before
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell_size": 0}, r"cell_size: 0 is not a positive number\. Give the size in metres"),
        ({"cell_size": -5.0}, "cell_size: -5"),
        ({"cell_size": 0.01}, "cell_size: cells of 0.01 m would make about .* Use at least"),
        ({"shape": "circle"}, r"shape: 'circle' is unknown\. Use one of square, hexagon"),
        ({"crs": "EPSG:4326"}, r"crs: 'WGS 84' is not in metres\. Choose a projected CRS"),
        ({"crs": "EPSG:nonsense"}, "crs: 'EPSG:nonsense' is not a known CRS"),
        ({"fields": ["co2"]}, r"fields: field 'co2' does not exist\. Choose one of name, gross_t"),
        ({"fields": ["name"]}, "input: field 'name' holds text, for example '工业'"),
        ({"input": "nowhere.gpkg"}, "input: the file 'nowhere.gpkg' does not exist"),
    ],
)
def test_grid_refuses(folder, arguments, message):
    refused(folder, aggregate_to_grid, message, **arguments)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"gross_t": [1.0, np.nan]}, r"input: field 'gross_t' has no value in 1 of 2 rows \(first in row 2\)"),
        ({"gross_t": [1.0, np.inf]}, "input: field 'gross_t' holds infinite values"),
        ({"gross_t": 0.0, "sink_t": 0.0, "net_t": 0.0}, "fields: all values of gross_t, sink_t, net_t are zero"),
        ({"geometry": [shapely.Point(0, 0), shapely.Point(1, 1)]}, "input: 2 of 2 features are not polygons"),
        ({"geometry": [None, None]}, "input: "),
    ],
)
def test_grid_refuses_layers(folder, columns, message):
    change(folder, **columns)
    refused(folder, aggregate_to_grid, message)


def test_grid_refuses_a_layer_without_emissions(folder):
    gpd.read_file(folder / "zones.gpkg").to_file(folder / "parcels.gpkg", mode="w")
    refused(folder, aggregate_to_grid, "no numeric field of the input has a name that ends in '_t'. .* township, gdp")


def test_grid_refuses_fields_that_it_makes_itself(folder):
    change(folder, area_m2=[1.0, 2.0])
    refused(folder, aggregate_to_grid, "fields: 'area_m2' is a field that this tool makes itself", fields=["area_m2"])


def test_metres_declared_as_degrees_are_refused(folder):
    frame = gpd.read_file(folder / "parcels.gpkg").set_crs(4326, allow_override=True)
    frame.to_file(folder / "parcels.gpkg", mode="w")
    refused(folder, aggregate_to_grid, "crs: the layer cannot be brought into 'OSGB36", crs="EPSG:27700")
    refused(folder, aggregate_to_grid, "crs: no UTM zone fits the layer's coordinates in 'WGS 84'")


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ([box(0, 0, 1, 1), box(1, 0, 2, 1)], "zones: its extent .* does not overlap"),
        # The extents overlap, the polygons do not.
        (
            [box(499000, 3399000, 499100, 3409000), box(509000, 3399000, 509100, 3409000)],
            "no polygon of the input lies",
        ),
        ([shapely.Point(500500, 3400500)] * 2, "zones: 2 of 2 features are not polygons"),
    ],
)
def test_zones_refuse(folder, geometry, message):
    change(folder, "zones", geometry=geometry)
    refused(folder, aggregate_to_zones, message, zones=str(folder / "zones.gpkg"))


def test_zones_without_features_are_refused(folder):
    gpd.read_file(folder / "zones.gpkg").iloc[:0].to_file(folder / "none.gpkg")
    refused(folder, aggregate_to_zones, "zones: .* has no features", zones=str(folder / "none.gpkg"))
