"""Statistics of land use and emissions by district, files in and files out."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.transform import from_origin
from shapely import box

from carbon_spatializer.core import landstatistics
from carbon_spatializer.core.errors import InputError
from carbon_spatializer.jobs.landusestatistics import land_use_statistics
from carbon_spatializer.jobs.run import Run

UTM = "EPSG:32650"
WEST, NORTH, CELL = 600_000, 3_600_000, 30


def strip(first, last):
    """Rectangle over columns first to last (excluded) of the land."""
    return box(WEST + first * CELL, NORTH - 2 * CELL, WEST + last * CELL, NORTH)


def write_codes(path, codes, nodata=0, crs=UTM):
    codes = np.array(codes, "int16")
    height, width = codes.shape
    settings = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "int16", "nodata": nodata}
    with rasterio.open(path, "w", crs=crs, transform=from_origin(WEST, NORTH, CELL, CELL), **settings) as file:
        file.write(codes, 1)


@pytest.fixture
def folder(tmp_path):
    """A: one arable, two urban cells, one without data; B: three arable cells and one of industry; one cell outside."""
    write_codes(tmp_path / "use.tif", [[11, 51, 12, 12, 21], [51, 0, 11, 53, 41]])
    tonnes = {"industry_t": [0.0, 5e4], "city_t": [3e4, 0], "agriculture_t": [1e4, 1e4], "rural_t": [0.0, 0]}
    shapes = [strip(0, 2), strip(2, 4)]
    gpd.GeoDataFrame({"name": ["甲", "B"]} | tonnes, geometry=shapes, crs=UTM).to_file(tmp_path / "districts.gpkg")
    rows = [
        ("industry", "coal", "counted", 4e4),
        ("industry", "electricity", "counted", 1e4),
        ("Urban", "electricity", "counted", 3e4),
        ("agriculture", "diesel", "counted", 2e4),
        ("industry", "coal", "deducted", 7e4),
        ("industry", "cement", "excluded", 9e9),
        ("sink", "wheat", "counted", 9e9),
    ]
    pd.DataFrame(rows, columns=["sector", "carrier", "status", "t_co2e"]).to_csv(tmp_path / "lines.csv", index=False)
    return tmp_path


def tell(folder, **arguments):
    said = []
    run = Run(said.append)
    arguments = {
        "land_use": str(folder / "use.tif"),
        "districts": str(folder / "districts.gpkg"),
        "name_field": "name",
        "output": str(folder / "classes.csv"),
        "table": str(folder / "table.csv"),
        "report": str(folder / "report.html"),
    } | arguments
    result = land_use_statistics(run, **arguments)
    run.commit({})
    text = " ".join(reply["text"] for reply in said if reply["type"] != "progress")
    return pd.read_csv(folder / "classes.csv"), result, text


def test_shares_by_hand(folder):
    table, result, _ = tell(folder)
    rows = table.set_index(["district", "class"])
    assert rows.loc[("甲", "urban land"), "share_pct"] == pytest.approx(50, rel=1e-6)
    assert rows.loc[("甲", "no data"), "share_pct"] == pytest.approx(25, rel=1e-6)
    assert rows.loc[("B", "dry farmland"), "share_pct"] == pytest.approx(50, rel=1e-6)
    whole = table[table["district"] == "all districts"].set_index("class")
    assert whole["area_m2"].to_dict() == pytest.approx(
        {
            "paddy field": 1800 / 0.9996**2,
            "dry farmland": 1800 / 0.9996**2,
            "urban land": 1800 / 0.9996**2,
            "other construction land": 900 / 0.9996**2,
            "no data": 900 / 0.9996**2,
        },
        rel=3e-4,
    )
    assert whole["group"].to_dict()["dry farmland"] == "arable land"
    assert whole["part"].to_dict()["urban land"] == "city"
    assert result["area_km2"] == pytest.approx(0.0072 / 0.9996**2, rel=3e-4)
    assert result["no_data_km2"] == pytest.approx(0.0009 / 0.9996**2, rel=3e-4)


def test_table_of_emissions_in_the_papers_form(folder):
    _, result, _ = tell(folder)
    table = pd.read_csv(folder / "table.csv")
    assert list(table) == ["district", "agriculture", "industry", "city", "rural", "total", "unit"]
    assert table["district"].tolist() == ["甲", "B", "all districts"]
    assert table["total"].tolist() == [4, 6, 10]
    assert table["industry"].tolist() == [0, 5, 5]
    assert set(table["unit"]) == {"10^4 t"}
    assert result["total_t"] == 1e5
    assert "industry 50.00 %" in result["summary"]


def test_polygons_of_one_name_are_one_district(folder):
    frame = gpd.read_file(folder / "districts.gpkg").assign(name="Nanjing")
    (folder / "districts.gpkg").unlink()
    frame.to_file(folder / "districts.gpkg")
    table, _, _ = tell(folder)
    assert table["district"].unique().tolist() == ["Nanjing", "all districts"]
    assert pd.read_csv(folder / "table.csv")["total"].tolist() == [10, 10]


def test_the_report_shows_tables_charts_and_flows(folder):
    _, result, _ = tell(folder, lines=str(folder / "lines.csv"))
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert html.count("<img") == 4
    for title in ("Land use by district", "agriculture; industry; city; rural", "Emission intensity", "From energy to"):
        assert title in html
    assert "甲" in html
    assert "Power plants&#x27; fuel of 70,000.00 t CO2e is deducted" in html
    assert result["deducted_t"] == 7e4


def test_without_emissions_the_land_use_alone_is_told(folder):
    frame = gpd.read_file(folder / "districts.gpkg")[["name", "geometry"]]
    (folder / "districts.gpkg").unlink()
    frame.to_file(folder / "districts.gpkg")
    table, result, _ = tell(folder, table=None, name_field=None)
    assert table["district"].unique().tolist() == ["1", "2", "all districts"]
    assert result["total_t"] == 0
    assert (folder / "report.html").read_text(encoding="utf-8").count("<img") == 1


def test_flows_by_hand():
    lines = pd.DataFrame(
        [
            ("industry", "coal", "counted", 4.0),
            ("industry", "coal", "deducted", 7.0),
            ("urban", "power", "counted", 3.0),
            ("urban", "wood", "counted", 1.0),
            ("urban", "peat", "counted", 0.5),
            ("sink", "wheat", "counted", 9.0),
            ("industry", "cement", "excluded", 9.0),
        ],
        columns=["sector", "carrier", "status", "t_co2e"],
    )
    flows = landstatistics.energy_flows(lines, {"industry": "industry", "urban": "city"}, most=2)
    assert flows.to_numpy().tolist() == [
        ["coal", "industry", 4.0],
        ["coal", landstatistics.DEDUCTED, 7.0],
        ["power", "city", 3.0],
        ["other", "city", 1.5],
    ]


def test_a_district_without_cells_is_told(folder):
    frame = gpd.read_file(folder / "districts.gpkg")
    frame.loc[1, "geometry"] = box(WEST + 91, NORTH - 9, WEST + 94, NORTH - 1)
    (folder / "districts.gpkg").unlink()
    frame.to_file(folder / "districts.gpkg")
    _, _, said = tell(folder)
    assert "districts: no cell of the land use has its centre in B" in said


def test_districts_that_overlap_or_leave_the_raster_are_told(folder):
    frame = gpd.read_file(folder / "districts.gpkg")
    west, south, east, north = frame.geometry.iloc[0].bounds
    frame.loc[0, "geometry"] = box(2 * west - east, south, east + 30, north)
    (folder / "districts.gpkg").unlink()
    frame.to_file(folder / "districts.gpkg")
    _, _, said = tell(folder)
    assert "land_use: the raster covers only a part of 1 districts (least of 甲: 60.0 %)" in said
    assert "areas and shares are those of that part" in said
    assert "districts: 1 pairs overlap" in said
    assert "(most: 甲 and B" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"land_use": "nowhere.tif"}, "land_use: the file 'nowhere.tif' does not exist"),
        ({"classes": "corine"}, "classes: 'corine' is unknown"),
        ({"classes": "worldcover"}, r"land_use: its codes .* are not among the classes"),
        ({"name_field": "county"}, "name_field: field 'county' does not exist"),
        ({"lines": "nowhere.csv"}, "lines: the file 'nowhere.csv' does not exist"),
    ],
)
def test_refuses(folder, arguments, message):
    refused(folder, message, **arguments)


def refused(folder, message, **arguments):
    before = sorted(folder.iterdir())
    run = Run()
    arguments = {
        "land_use": str(folder / "use.tif"),
        "districts": str(folder / "districts.gpkg"),
        "output": str(folder / "classes.csv"),
        "table": str(folder / "table.csv"),
    } | arguments
    with pytest.raises(InputError, match=message) as error:
        land_use_statistics(run, **arguments)
    run.discard()
    assert sorted(folder.iterdir()) == before
    assert "\n" not in str(error.value)


def test_refuses_nodata_as_a_code(folder):
    write_codes(folder / "use.tif", [[11, 255, 12, 12, 21], [51, 255, 11, 53, 41]])
    refused(folder, r"land_use: its codes 255 \(2 cells\) are not among the classes.*nodata")


def test_refuses_a_class_as_nodata(folder):
    write_codes(folder / "use.tif", [[11, 51, 12, 12, 21]], nodata=51)
    refused(folder, "land_use: its nodata value 51 is the code of 'urban land'")


def test_refuses_a_table_without_emissions(folder):
    frame = gpd.read_file(folder / "districts.gpkg")[["name", "geometry"]]
    (folder / "districts.gpkg").unlink()
    frame.to_file(folder / "districts.gpkg")
    refused(folder, "table: the districts have no emissions")


def test_refuses_lines_of_another_scheme(folder):
    rows = [("buildings", "coal", "counted", 1.0)]
    pd.DataFrame(rows, columns=["sector", "carrier", "status", "t_co2e"]).to_csv(folder / "lines.csv", index=False)
    message = "lines: they hold no emissions of a sector that is in a part; the first is 'buildings'"
    refused(folder, message, lines=str(folder / "lines.csv"))


def test_refuses_lines_without_tonnes(folder):
    pd.DataFrame({"sector": ["industry"], "carrier": ["coal"]}).to_csv(folder / "lines.csv", index=False)
    refused(folder, "lines: field 'status' does not exist", lines=str(folder / "lines.csv"))


def test_refuses_negative_emissions(folder):
    frame = gpd.read_file(folder / "districts.gpkg").assign(city_t=[-5.0, 1])
    (folder / "districts.gpkg").unlink()
    frame.to_file(folder / "districts.gpkg")
    refused(folder, "districts: field 'city_t' holds negative values, for example -5")
