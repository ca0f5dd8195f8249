"""Any layer that QGIS can show may be an input: the worker sees what the user sees."""

import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsField,
    QgsProcessingFeatureSourceDefinition,
    QgsProject,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsVectorLayerJoinInfo,
)
from qgis.PyQt.QtCore import QMetaType

from .conftest import total


def save(layer, path, driver):
    """Write a layer to disk and open it there."""
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = driver
    QgsVectorFileWriter.writeAsVectorFormatV3(layer, str(path), QgsCoordinateTransformContext(), options)
    saved = QgsVectorLayer(str(path), "saved", "ogr")
    assert saved.isValid()
    QgsProject.instance().addMapLayer(saved, False)
    return saved


def gross(run, source, folder, **parameters):
    """Total gross emission of the grid that a source gives."""
    output = folder / "grid.gpkg"
    run("aggregatetogrid", INPUT=source, OUTPUT=str(output), **parameters)
    return total(output, "gross_t")


def test_memory_layer(run, parcels, tmp_path):
    assert gross(run, parcels, tmp_path) == pytest.approx(1000)


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("p.gpkg", "GPKG"),
        ("p.shp", "ESRI Shapefile"),
        ("p.geojson", "GeoJSON"),
        ("p.fgb", "FlatGeobuf"),
        ("p.gml", "GML"),
    ],
)
def test_file_formats(run, parcels, tmp_path, name, driver):
    assert gross(run, save(parcels, tmp_path / name, driver), tmp_path) == pytest.approx(1000)


@pytest.mark.parametrize("folder", ["with blanks", "苏州市 碳排放", "emoji 🌍"])
def test_paths(run, parcels, tmp_path, folder):
    home = tmp_path / folder
    home.mkdir()
    assert gross(run, save(parcels, home / "地块.gpkg", "GPKG"), home) == pytest.approx(1000)


def test_filtered_layer(run, parcels, tmp_path):
    layer = save(parcels, tmp_path / "p.gpkg", "GPKG")
    layer.setSubsetString("\"land_type\" = 'industrial land'")
    assert gross(run, layer, tmp_path) == pytest.approx(700)


def test_selected_features_only(run, parcels, tmp_path):
    layer = save(parcels, tmp_path / "p.gpkg", "GPKG")
    layer.selectByExpression('"gross_t" < 300')
    assert gross(run, QgsProcessingFeatureSourceDefinition(layer.id(), True), tmp_path) == pytest.approx(300)


def test_feature_filter_of_the_dialog(run, parcels, tmp_path):
    layer = save(parcels, tmp_path / "p.gpkg", "GPKG")
    source = QgsProcessingFeatureSourceDefinition(layer.id(), filterExpression='"gross_t" > 150')
    assert gross(run, source, tmp_path) == pytest.approx(900)


def test_joined_field(run, parcels, tmp_path):
    layer = save(parcels, tmp_path / "p.gpkg", "GPKG")
    table = tmp_path / "extra.csv"
    table.write_text("parcel_id,waste_t\n0,1.5\n1,2.5\n2,3\n3,4\n")
    extra = QgsVectorLayer(f"file://{table}?type=csv&geomType=none", "extra", "delimitedtext")
    QgsProject.instance().addMapLayer(extra, False)
    join = QgsVectorLayerJoinInfo()
    join.setJoinLayer(extra)
    join.setJoinFieldName("parcel_id")
    join.setTargetFieldName("parcel_id")
    join.setPrefix("")
    join.setUsingMemoryCache(True)
    assert layer.addJoin(join)
    gross(run, layer, tmp_path)
    assert total(tmp_path / "grid.gpkg", "waste_t") == pytest.approx(11)


def test_virtual_field_and_unsaved_edits(run, parcels, tmp_path):
    layer = save(parcels, tmp_path / "p.gpkg", "GPKG")
    layer.addExpressionField('"gross_t" / 10', QgsField("tenth_t", QMetaType.Type.Double))
    layer.startEditing()
    layer.deleteFeature(next(f.id() for f in layer.getFeatures() if f["land_type"] == "industrial land"))
    assert gross(run, layer, tmp_path) == pytest.approx(300)
    assert total(tmp_path / "grid.gpkg", "tenth_t") == pytest.approx(30)
    layer.rollBack()


def test_crs_that_the_user_set(run, parcels, tmp_path):
    layer = save(parcels, tmp_path / "p.gpkg", "GPKG")
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32650"))
    gross(run, layer, tmp_path)
    assert QgsVectorLayer(str(tmp_path / "grid.gpkg"), "", "ogr").crs().authid() == "EPSG:32650"
