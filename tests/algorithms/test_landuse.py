"""Emission land as a tool: layers from QGIS go in, styled rasters and tables come out, refusals say what to do."""

import csv

import pytest
from osgeo import gdal, osr
from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsPalettedRasterRenderer,
    QgsPointXY,
    QgsProcessingException,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)

WEST, NORTH = 270_000, 3_465_000


@pytest.fixture
def land_use(tmp_path):
    """Four by two cells of 30 m: city, city, arable, works; the second row the same."""
    path = str(tmp_path / "land use.tif")
    file = gdal.GetDriverByName("GTiff").Create(path, 4, 2, 1, gdal.GDT_Byte)
    file.SetGeoTransform((WEST, 30, 0, NORTH, 0, -30))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32651)
    file.SetProjection(crs.ExportToWkt())
    file.GetRasterBand(1).WriteRaster(0, 0, 4, 2, bytes([51, 51, 11, 53] * 2))
    file = None
    layer = QgsRasterLayer(path, "land use", "gdal")
    QgsProject.instance().addMapLayer(layer, False)
    yield layer
    QgsProject.instance().clear()


def memory_layer(kind, geometries):
    layer = QgsVectorLayer(f"{kind}?crs=EPSG:32651&field=name:string", "memory", "memory")
    for number, geometry in enumerate(geometries):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([f"第{number + 1}"])
        feature.setGeometry(geometry)
        layer.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(layer, False)
    return layer


@pytest.fixture
def parks():
    """Two parks over the first column's north half; the second is the first again."""
    return memory_layer("Polygon", [QgsGeometry.fromRect(QgsRectangle(WEST, NORTH - 30, WEST + 15, NORTH))] * 2)


@pytest.fixture
def enterprises():
    """One enterprise in the middle of the arable cell."""
    return memory_layer("Point", [QgsGeometry.fromPointXY(QgsPointXY(WEST + 75, NORTH - 15))])


def test_land_arrives_styled_with_its_ledger(run, land_use, parks, enterprises, tmp_path):
    paths = {"OUTPUT": "land.tif", "CLASS_MAP": "classes.tif", "LEDGER": "ledger.csv", "OVERLAPS": "overlaps.csv"}
    paths = {name: str(tmp_path / path) for name, path in paths.items()}
    arguments = {"LAND_USE": land_use, "PARKS": parks, "PARK_NAME_FIELD": "name", "ENTERPRISES": enterprises}
    results, log = run("delineateemissionland", **arguments, **paths)
    # In zone 51 at 270 km east 1 m2 of ground is 1.00047 map units. Two cells of works, half a cell of park, a circle.
    assert results["INDUSTRY_KM2"] * 1e6 == pytest.approx(2.5 * 900 + 3.1416 * 225, rel=1e-3)
    assert results["CITY_KM2"] * 1e6 == pytest.approx(3.5 * 900, rel=1e-3)
    assert any("1 pairs overlap" in text for text in log.warnings)
    land, classes = (QgsRasterLayer(paths[name], name, "gdal") for name in ("OUTPUT", "CLASS_MAP"))
    assert land.bandCount() == 4
    # QGIS names a band by its number and description.
    assert [land.bandName(band).split(": ")[-1] for band in range(1, 5)] == ["industry", "city", "agriculture", "rural"]
    classes.loadDefaultStyle()
    renderer = classes.renderer()
    assert isinstance(renderer, QgsPalettedRasterRenderer)
    labels = {entry.value: entry.label for entry in renderer.classes()}
    assert labels == {1: "industry", 2: "city", 3: "agriculture", 4: "rural living", 0: "no emission land"}
    with open(paths["OVERLAPS"], encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    assert (first["first"], first["second"], first["kept_by"]) == ("第1", "第2", "both, once")
    assert float(first["area_m2"]) == pytest.approx(450, rel=1e-3)
    with open(paths["LEDGER"], encoding="utf-8") as file:
        rows = {(row["source"], row["code"]): row for row in csv.DictReader(file)}
    assert rows.keys() >= {("parks", ""), ("surroundings of enterprises", ""), ("land use", "53")}


def test_only_the_land_use_is_needed(run, land_use, tmp_path):
    results, _ = run("delineateemissionland", LAND_USE=land_use, OUTPUT=str(tmp_path / "land.tif"))
    assert results["INDUSTRY_KM2"] * 1e6 == pytest.approx(1800, rel=1e-3)
    assert results["RURAL_KM2"] == 0


def test_a_selection_of_enterprises_is_all_that_counts(run, land_use, enterprises, tmp_path):
    from qgis.core import QgsProcessingFeatureSourceDefinition

    other = QgsFeature(enterprises.fields())
    other.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(WEST + 15, NORTH - 15)))
    enterprises.dataProvider().addFeature(other)
    enterprises.selectByIds([1])
    chosen = QgsProcessingFeatureSourceDefinition(enterprises.id(), selectedFeaturesOnly=True)
    results, _ = run("delineateemissionland", LAND_USE=land_use, ENTERPRISES=chosen, OUTPUT=str(tmp_path / "land.tif"))
    assert results["INDUSTRY_KM2"] * 1e6 == pytest.approx(1800 + 3.1416 * 225, rel=1e-3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"CLASSES": 1}, "Parameter land_use: its codes 51 .* are not among the classes"),
        ({"PARK_NAME_FIELD": "title"}, "Parameter parks: field 'title' does not exist"),
    ],
)
def test_refusals(run, land_use, parks, tmp_path, parameters, message):
    output = tmp_path / "out" / "land.tif"
    output.parent.mkdir()
    with pytest.raises(QgsProcessingException, match=message):
        run("delineateemissionland", LAND_USE=land_use, PARKS=parks, OUTPUT=str(output), **parameters)
    assert list(output.parent.iterdir()) == []
