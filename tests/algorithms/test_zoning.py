"""Grid, zones and carbon-balance zoning as tools: results arrive styled, refusals say what to do."""

import pytest
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFeature,
    QgsGeometry,
    QgsGraduatedSymbolRenderer,
    QgsProcessingException,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)

from .conftest import total


def opened(path):
    """A layer as QGIS opens it, which reads its default style."""
    layer = QgsVectorLayer(str(path), "result", "ogr")
    assert layer.isValid()
    return layer


@pytest.fixture
def townships():
    """Two townships, one over each row of the block of parcels."""
    layer = QgsVectorLayer("Polygon?crs=EPSG:32651&field=name:string&field=gdp:double", "townships", "memory")
    features = []
    for row, (name, gdp) in enumerate([("南镇", 6.0), ("北镇", 4.0)]):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([name, gdp])
        south = 3464000 + 100 * row
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(270000, south, 270200, south + 100)))
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    QgsProject.instance().addMapLayer(layer, False)
    return layer


@pytest.mark.parametrize("shape", [0, 1])
def test_grid_arrives_graduated(run, parcels, tmp_path, shape):
    output = tmp_path / "grid.gpkg"
    results, log = run("aggregatetogrid", INPUT=parcels, SHAPE=shape, CELL_SIZE=50, OUTPUT=str(output))
    assert total(output, "gross_t") == pytest.approx(1000)
    assert results["TOTAL_T"] == pytest.approx(1000)
    assert any("1,000.00 t came in, 1,000.00 t lie in the cells" in line for line in log.infos)
    layer = opened(output)
    renderer = layer.renderer()
    assert isinstance(renderer, QgsGraduatedSymbolRenderer)
    assert renderer.classAttribute() == '"intensity_t_ha"'
    labels = [entry.label() for entry in renderer.ranges()]
    assert len(labels) >= 2
    assert all(label.endswith("t CO2e/ha (gross_t)") for label in labels)


def test_parcels_to_townships_to_zones(run, parcels, townships, tmp_path):
    # South: 700 + 200 t gross, no sink. North: 100 t gross, 80 t sink; 1/10 of the emissions, the whole sink and 4/10
    # of the GDP: ecc 4, esc 10.
    zones, balance, report = tmp_path / "townships.gpkg", tmp_path / "balance.gpkg", tmp_path / "report.html"
    results, _ = run("aggregatetozones", INPUT=parcels, ZONES=townships, OUTPUT=str(zones))
    assert results["OUTSIDE_T"] == pytest.approx(0, abs=1e-9)
    layer = opened(zones)
    assert isinstance(layer.renderer(), QgsGraduatedSymbolRenderer)
    results, _ = run("carbonbalancezoning", INPUT=str(zones), OUTPUT=str(balance), REPORT=str(report))
    assert results["CCR_PCT"] == pytest.approx(8)
    assert report.stat().st_size > 10000
    layer = opened(balance)
    rows = {feature["name"]: feature for feature in layer.getFeatures()}
    assert rows["南镇"]["zone"] == "undefined"
    assert rows["北镇"]["zone"] == "low-carbon economic zone"
    assert (rows["北镇"]["ecc"], rows["北镇"]["esc"]) == pytest.approx((4, 10))
    renderer = layer.renderer()
    assert isinstance(renderer, QgsCategorizedSymbolRenderer)
    colours = {category.value(): category.symbol().color().name() for category in renderer.categories()}
    assert len(set(colours.values())) == 5
    assert {feature["zone"] for feature in rows.values()} <= set(colours)


@pytest.mark.parametrize(
    ("tool", "parameters", "message"),
    [
        ("aggregatetogrid", {"CELL_SIZE": 0}, "Parameter cell_size: 0 is not a positive number"),
        ("aggregatetogrid", {"CELL_SIZE": 0.001}, "Parameter cell_size: cells of 0.001 m would make about"),
        ("aggregatetogrid", {"CRS": "EPSG:4326"}, "Parameter crs: 'WGS 84' is not in metres"),
        ("aggregatetogrid", {"FIELDS": ["land_type"]}, "Parameter input: field 'land_type' holds text"),
        ("carbonbalancezoning", {"GDP_FIELD": "gdp"}, "Parameter gdp_field: field 'gdp' does not exist"),
        ("carbonbalancezoning", {"GDP_FIELD": "gross_t", "BAND_PCT": 200}, "Parameter band_pct: 200"),
        ("carbonbalancezoning", {"GDP_FIELD": "gross_t", "CROP_SINKS": False}, "Parameter crop_sink_field: crop sinks"),
    ],
)
def test_refusals(run, parcels, tmp_path, tool, parameters, message):
    with pytest.raises(QgsProcessingException, match=message):
        run(tool, INPUT=parcels, OUTPUT=str(tmp_path / "out.gpkg"), **parameters)
    assert list(tmp_path.iterdir()) == []
