"""Allocation as a tool: any layers in, a styled layer and a ledger out, refusals in one sentence."""

import csv

import pytest
from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsGraduatedSymbolRenderer,
    QgsPointXY,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProject,
    QgsVectorLayer,
)

from .conftest import total


@pytest.fixture
def totals():
    """A table in memory: 90 t of manufacturing, 30 t of residents, 8 t of sinks."""
    fields = "field=sector:string&field=subsector:string&field=net_t:double"
    rows = [("industry", "manufacturing", 90.0), ("buildings", "residential", 30.0), ("sink", "land sink", -8.0)]
    return table(fields, rows)


def table(fields, rows):
    layer = QgsVectorLayer(f"NoGeometry?{fields}", "table", "memory")
    for row in rows:
        feature = QgsFeature(layer.fields())
        feature.setAttributes(list(row))
        layer.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(layer, False)
    return layer


def test_only_parcels_and_totals(run, parcels, totals, tmp_path):
    output, ledger = tmp_path / "结果.gpkg", tmp_path / "ledger.csv"
    results, log = run("allocatetoparcels", PARCELS=parcels, TOTALS=totals, OUTPUT=str(output), LEDGER=str(ledger))
    assert (results["GROSS_T"], results["SINK_T"]) == (pytest.approx(120), pytest.approx(8))
    assert total(output, "industry_t") == pytest.approx(90)
    assert total(output, "net_t") == pytest.approx(112)
    assert any("buildings/residential are spread by the fallback cascade" in line for line in log.warnings)
    assert any("received 120.00 t CO2e gross and 8.00 t of sinks" in line for line in log.infos)
    with ledger.open(encoding="utf-8") as file:
        rows = {row["land_type"]: float(row["allocated_t"]) for row in csv.DictReader(file)}
    assert rows == pytest.approx({"industrial land": 90, "urban residential land": 30, "forest land": -8})
    layer = QgsVectorLayer(str(output), "result", "ogr")
    renderer = layer.renderer()
    assert isinstance(renderer, QgsGraduatedSymbolRenderer)
    assert renderer.classAttribute() == '"intensity_t_ha"'
    assert all(entry.label().endswith("t CO2e/ha") for entry in renderer.ranges())


def test_points_rules_and_unit_from_memory_layers(run, parcels, tmp_path):
    # 3 kt by the points on all parcels: two on the first, one on the second.
    points = QgsVectorLayer("Point?crs=EPSG:32651&field=kind:string", "points", "memory")
    for x in (270010, 270020, 270110):
        feature = QgsFeature(points.fields())
        feature.setAttributes(["mill"])
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(x, 3464010)))
        points.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(points, False)
    names = "field=sector:string&field=land_type:string&field=kind:string&field=proxy:string&field=categories:string"
    output = tmp_path / "out.gpkg"
    run(
        "allocatetoparcels",
        PARCELS=parcels,
        TOTALS=table("field=sector:string&field=amount:double", [("mills", 3.0)]),
        RULES=table(names, [("mills", "*", "emission", "poi_count", "mill")]),
        POIS=points,
        POI_CATEGORY_FIELD="kind",
        TOTALS_FIELD="amount",
        TOTALS_UNIT=2,
        OUTPUT=str(output),
    )
    found = {
        feature["parcel_id"]: feature["mills_t"]
        for feature in QgsVectorLayer(str(output), "result", "ogr").getFeatures()
    }
    assert found == pytest.approx({0: 2000, 1: 1000, 2: 0, 3: 0})


def test_selected_parcels_only(run, parcels, totals, tmp_path):
    parcels.selectByExpression("land_type <> 'industrial land'")
    output = tmp_path / "out.gpkg"
    source = QgsProcessingFeatureSourceDefinition(parcels.id(), True)
    run("allocatetoparcels", PARCELS=source, TOTALS=totals, OUTPUT=str(output))
    layer = QgsVectorLayer(str(output), "result", "ogr")
    assert layer.featureCount() == 3
    # No industrial land is left: its total goes to all three parcels.
    assert sorted(feature["industry_t"] for feature in layer.getFeatures()) == pytest.approx([30, 30, 30])


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"LAND_TYPE_FIELD": "use"}, "Parameter parcels: field 'use' does not exist"),
        ({"FALLBACK": "area, nights"}, "Parameter fallback: the proxy 'nights' is unknown"),
        ({"TOTALS_FIELD": "sector"}, "Parameter totals: field 'sector' holds text"),
    ],
)
def test_refusals_are_one_sentence_and_leave_no_file(run, parcels, totals, tmp_path, parameters, sentence):
    with pytest.raises(QgsProcessingException) as refusal:
        run("allocatetoparcels", PARCELS=parcels, TOTALS=totals, OUTPUT=str(tmp_path / "out.gpkg"), **parameters)
    assert sentence in str(refusal.value)
    assert list(tmp_path.iterdir()) == []
