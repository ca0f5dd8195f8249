"""Carbon-balance zoning, files in and files out."""

import re

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely import box

from carbon_spatializer.core import zoning
from carbon_spatializer.core.errors import InputError
from carbon_spatializer.jobs.run import Run
from carbon_spatializer.jobs.zoning import carbon_balance_zoning

CRS = "EPSG:32650"


@pytest.fixture
def folder(tmp_path):
    """Five townships: C = 1000 t, S = 100 t, G = 100.

    ==  =====  ====  ===  =======================  =======================  =======
    .   gross  sink  gdp  ecc = gdp/100 / share C  esc = sink/100 / share   CCR, %
    ==  =====  ====  ===  =======================  =======================  =======
    1    100    20    20  0.2/0.1 = 2              2                          20
    2    200    10    30  0.3/0.2 = 1.5            0.5                         5
    3    200    50    10  0.5                      2.5                        25
    4    300    20    20  2/3                      2/3                     6.667
    5    200     0    20  1                        0                           0
    ==  =====  ====  ===  =======================  =======================  =======
    """
    units = gpd.GeoDataFrame(
        {
            "township": ["甪直镇 & <b>", "B", "C", "D", "E"],
            "gross_t": [100.0, 200, 200, 300, 200],
            "sink_t": [20.0, 10, 50, 20, 0],
            "crop_t": [4.0, 5, 1, 20, 0],
            "gdp": [20, 30, 10, 20, 20],
        },
        geometry=[box(x, 0, x + 1000, 1000) for x in range(500000, 505000, 1000)],
        crs=CRS,
    )
    units.to_file(tmp_path / "units.gpkg")
    return tmp_path


def zone(folder, **arguments):
    run = Run()
    arguments = {"input": str(folder / "units.gpkg"), "output": str(folder / "out.gpkg")} | arguments
    result = carbon_balance_zoning(run, **arguments)
    run.commit({})
    return gpd.read_file(folder / "out.gpkg"), result


def change(folder, **columns):
    frame = gpd.read_file(folder / "units.gpkg").assign(**columns)
    (folder / "units.gpkg").unlink()
    frame.to_file(folder / "units.gpkg")


def test_five_townships_by_hand(folder):
    units, result = zone(folder)
    assert units["ccr_pct"].tolist() == pytest.approx([20, 5, 25, 20 / 3, 0])
    assert units["ecc"].tolist() == pytest.approx([2, 1.5, 0.5, 2 / 3, 1])
    assert units["esc"].tolist() == pytest.approx([2, 0.5, 2.5, 2 / 3, 0])
    assert units["zone"].tolist() == list(zoning.ZONES)
    assert units["township"][0] == "甪直镇 & <b>"
    assert units.crs == CRS
    assert result["ccr_pct"] == pytest.approx(10)
    assert result["summary"] == (
        "5 units: 1 low-carbon economic zone (20.00 %), 1 carbon-source control zone (20.00 %), 1 carbon-sink "
        "functional zone (20.00 %), 1 high-carbon optimization zone (20.00 %), 1 undefined (20.00 %); shares are of "
        "all 5 units. The whole takes up 100.00 t of 1,000.00 t gross, a CCR of 10.000 %. ECC ≥ 1 in 3 units "
        "(60.00 %), ESC ≥ 1 in 2 units (40.00 %). 0 units lie within ±5 % of a threshold."
    )


def test_four_colours_and_grey(folder):
    _, result = zone(folder)
    style = result["styles"]["output"]
    assert (style["kind"], style["field"]) == ("categories", "zone")
    assert [entry[0] for entry in style["classes"]] == list(zoning.ZONES)
    colours = [entry[1] for entry in style["classes"]]
    assert len(set(colours)) == 5
    assert colours[-1] == "#bdbdbd"


def test_table_prints_its_denominators(folder):
    zone(folder, table=str(folder / "zones.csv"))
    table = pd.read_csv(folder / "zones.csv").set_index("zone")
    row = table.loc[zoning.HIGH_CARBON_OPTIMIZATION]
    # Township 4 alone: 1 of 5 units, 300 of 1000 t, 20 of 100 t, 20 of 100 GDP.
    assert row[["units", "units_share_pct", "units_of"]].tolist() == [1, 20, 5]
    assert row[["gross_t", "gross_t_share_pct", "gross_t_of"]].tolist() == pytest.approx([300, 30, 1000])
    assert row[["sink_t", "sink_t_share_pct", "sink_t_of"]].tolist() == pytest.approx([20, 20, 100])
    assert row[["gdp", "gdp_share_pct", "gdp_of"]].tolist() == pytest.approx([20, 20, 100])
    assert table["units"].sum() == 5


def test_near_threshold_is_marked(folder):
    # ECC 1.5 is the one nearest to 1: half away. A band of 50 % reaches 0.5, 1.5 and 2/3, but no undefined unit.
    units, result = zone(folder, band_pct=50)
    assert units["near_threshold"].tolist() == [False, True, True, True, False]
    assert result["near_threshold_count"] == 3


def test_equality_rule_decides_an_index_of_one(folder):
    change(folder, sink_t=[20.0, 10, 50, 10, 10])
    # Township 5 now has ecc 1 and esc (10/100)/(200/1000) = 0.5.
    assert zone(folder)[0]["zone"][4] == zoning.CARBON_SOURCE_CONTROL
    assert zone(folder, equality="low")[0]["zone"][4] == zoning.HIGH_CARBON_OPTIMIZATION


def test_crops_on_and_off(folder):
    units, result = zone(folder, crop_sink_field="crop_t")
    # Of 100 t of sinks 30 t are crops: CCR 10 % with, 7 % without.
    assert result["ccr_pct"] == pytest.approx(10)
    assert (result["ccr_pct_with_crops"], result["ccr_pct_without_crops"]) == pytest.approx((10, 7))
    assert units["ccr_pct_without_crops"].tolist() == pytest.approx([16, 2.5, 24.5, 0, 0])
    assert units["ccr_pct"].tolist() == units["ccr_pct_with_crops"].tolist()
    units, result = zone(folder, crop_sink_field="crop_t", crop_sinks=False)
    assert result["ccr_pct"] == pytest.approx(7)
    assert units["ccr_pct"].tolist() == units["ccr_pct_without_crops"].tolist()
    # Township 4 has no other sink than crops: it becomes undefined.
    assert units["zone"][3] == zoning.UNDEFINED
    assert "7.000 %" in result["summary"]


def test_probabilities_are_made_on_request(folder):
    assert "zone_probability" not in zone(folder)[0]
    units, _ = zone(folder, gdp_uncertainty_pct=30.0, seed=1)
    assert units["zone_probability"][:4].between(0.5, 1).all()
    assert np.isnan(units["zone_probability"][4])
    # Township 1 has twice its share of GDP, nothing moves it at 30 %.
    assert units["zone_probability"][0] > 0.99


def test_a_second_run_replaces_the_fields_of_the_first(folder):
    zone(folder)
    units, _ = zone(folder, input=str(folder / "out.gpkg"), output=str(folder / "out.gpkg"))
    assert units["zone"].tolist() == list(zoning.ZONES)
    assert list(units).count("ecc") == 1


def test_report(folder):
    zone(folder, report=str(folder / "report.html"), name_field="township", crop_sink_field="crop_t", band_pct=50)
    text = (folder / "report.html").read_text(encoding="utf-8")
    for heading in ("How to read it", "What each zone asks for", "With and without crops", "Units near a threshold"):
        assert f"<h2>{heading}</h2>" in text
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/png;base64,iVBOR', text)) == 2
    assert "% of 1,000" in text
    # Every table cell is closed, and no script or outside file is used.
    assert text.count("<td") == text.count("</td>")
    assert "<script" not in text
    assert "http" not in text


def test_report_escapes_names(folder):
    # Township 1 now has ecc 0.1/0.1 = 1, so that it is listed among those near the threshold.
    change(folder, gdp=[10, 30, 20, 20, 20])
    zone(folder, report=str(folder / "report.html"), name_field="township", band_pct=50)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "甪直镇 &amp; &lt;b&gt;" in text
    assert "<b>" not in text


def refused(folder, message, **arguments):
    before = sorted(folder.iterdir())
    run = Run()
    arguments = {"input": str(folder / "units.gpkg"), "output": str(folder / "out.gpkg")} | arguments
    with pytest.raises(InputError, match=message) as error:
        carbon_balance_zoning(run, **arguments)
    run.discard()
    assert sorted(folder.iterdir()) == before
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"gdp": [1, None, 1, 1, 1]}, r"gdp_field: field 'gdp' has no value in 1 of 5 rows \(first in row 2\)"),
        ({"gdp": [1, -2, 1, 1, 1]}, "gdp_field: field 'gdp' holds negative values, for example -2 in row 2"),
        ({"gdp": 0}, "gdp_field: the GDP of all units sum to zero"),
        ({"gdp": ["1", "much", "1", "1", "1"]}, "gdp_field: field 'gdp' holds text, for example 'much'"),
        ({"gross_t": [1.0, None, 1, 1, 1]}, "gross_field: field 'gross_t' has no value"),
        ({"gross_t": [1.0, -2, 1, 1, 1]}, "gross_field: field 'gross_t' holds negative values"),
        ({"gross_t": 0.0}, "gross_field: the gross emissions of all units sum to zero"),
        (
            {"sink_t": [-1.0, -2, 0, 0, 0]},
            "sink_field: field 'sink_t' holds negative .* Give sinks as positive numbers",
        ),
        ({"sink_t": 0.0}, "sink_field: the sinks of all units sum to zero"),
        ({"geometry": gpd.points_from_xy(range(5), range(5))}, "input: 5 of 5 features are not polygons"),
    ],
)
def test_refuses_layers(folder, columns, message):
    change(folder, **columns)
    refused(folder, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gross_field": "co2"}, "gross_field: field 'co2' does not exist. Choose one of township, gross_t"),
        ({"gdp_field": "township"}, "gdp_field: field 'township' holds text"),
        ({"name_field": "nom"}, "name_field: field 'nom' does not exist"),
        ({"equality": "both"}, "equality: 'both' is unknown. Use one of high, low"),
        ({"band_pct": -1.0}, "band_pct: -1.0 is not between 0 and 100"),
        ({"crop_sinks": False}, "crop_sink_field: crop sinks are not to count, but no field says how much"),
        (
            {"crop_sink_field": "gross_t"},
            "crop_sink_field: in row 1 crops take up 100 t, more than the whole sink of 20",
        ),
        ({"gdp_uncertainty_pct": -5.0}, "gdp_uncertainty_pct: -5.0 is not a percentage"),
        ({"gdp_uncertainty_pct": 5.0, "draws": 0}, "draws: 0 draws are too few"),
        ({"input": "nowhere.gpkg"}, "input: the file 'nowhere.gpkg' does not exist"),
    ],
)
def test_refuses_arguments(folder, arguments, message):
    refused(folder, message, **arguments)


def test_crops_that_are_all_of_the_sink_cannot_be_left_out(folder):
    change(folder, crop_t=[20.0, 10, 50, 20, 0])
    refused(folder, "sink_field: the sinks of all units sum to zero", crop_sink_field="crop_t", crop_sinks=False)
