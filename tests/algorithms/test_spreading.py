"""Spreading and land-use statistics as tools: layers from QGIS go in, styled rasters and a report come out."""

import pytest
from osgeo import gdal, osr
from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsProcessingException,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)

from .conftest import total

WEST, NORTH = 270_000, 3_465_000


@pytest.fixture
def raster(tmp_path):
    """Makes rasters of four by two cells of 30 m."""

    def make(name, values):
        path = str(tmp_path / f"{name}.tif")
        file = gdal.GetDriverByName("GTiff").Create(path, 4, 2, 1, gdal.GDT_Byte)
        file.SetGeoTransform((WEST, 30, 0, NORTH, 0, -30))
        crs = osr.SpatialReference()
        crs.ImportFromEPSG(32651)
        file.SetProjection(crs.ExportToWkt())
        file.GetRasterBand(1).WriteRaster(0, 0, 4, 2, bytes(values))
        file = None
        layer = QgsRasterLayer(path, name, "gdal")
        QgsProject.instance().addMapLayer(layer, False)
        return layer

    yield make
    QgsProject.instance().clear()


@pytest.fixture
def districts():
    """Two districts of 2 x 2 cells, as a memory layer."""
    layer = QgsVectorLayer("Polygon?crs=EPSG:32651&field=region:string", "districts", "memory")
    for number, name in enumerate(["浦口", "Gulou"]):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([name])
        west = WEST + number * 60
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(west, NORTH - 60, west + 60, NORTH)))
        layer.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(layer, False)
    return layer


@pytest.fixture
def totals(tmp_path):
    path = tmp_path / "totals.csv"
    rows = ["浦口,industry,80", "浦口,urban,30", "Gulou,urban,20", "Gulou,rural living,6"]
    path.write_text("\n".join(["region,sector,gross_t", *rows]), encoding="utf-8")
    return str(path)


def test_layers_alone_are_enough_and_the_result_is_styled(run, raster, districts, totals, tmp_path):
    land = raster("land", [1, 2, 2, 2, 1, 0, 0, 4])
    output = str(tmp_path / "total.tif")
    results, log = run("spreadoverlanduse", LAND=land, DISTRICTS=districts, TOTALS=totals, OUTPUT=output)
    assert results["ALLOCATED_T"] == pytest.approx(136)
    assert results["FALLBACK_T"] == 0
    layer = QgsRasterLayer(output, "total", "gdal")
    # Industry 80 t on two cells, city 30 t on one; city 20 t on two, rural 6 t on one.
    assert layer.dataProvider().block(1, layer.extent(), 4, 2).value(0, 0) == pytest.approx(40, rel=1e-5)
    assert layer.dataProvider().block(1, layer.extent(), 4, 2).value(1, 3) == pytest.approx(6, rel=1e-5)
    layer.loadDefaultStyle()
    items = layer.renderer().shader().rasterShaderFunction().colorRampItemList()
    assert items[0].label == "no emissions"
    assert all("t CO2e per cell" in item.label for item in items[1:])
    assert any("136.00 t CO2e came in, 136.00 t were allocated" in text for text in log.infos)


def test_all_outputs_and_the_statistics(run, raster, districts, totals, tmp_path):
    land = raster("land", [1, 2, 2, 2, 1, 0, 0, 4])
    use = raster("use", [53, 51, 51, 51, 53, 41, 21, 52])
    names = ["OUTPUT", "INTENSITY", *(f"{part}{kind}" for part in _PARTS for kind in ("", "_INTENSITY"))]
    paths = {name: str(tmp_path / f"{name}.tif") for name in names}
    paths |= {"DISTRICTS_OUTPUT": str(tmp_path / "districts.gpkg"), "LEDGER": str(tmp_path / "ledger.csv")}
    results, _ = run("spreadoverlanduse", LAND=land, DISTRICTS=districts, TOTALS=totals, **paths)
    for name in names:
        layer = QgsRasterLayer(paths[name], name, "gdal")
        assert layer.isValid(), name
        assert ("INTENSITY" in name) == ("per ha" in layer.bandName(1)), name
    assert total(paths["DISTRICTS_OUTPUT"], "gross_t") == pytest.approx(136)
    out = {"OUTPUT": str(tmp_path / "classes.csv"), "TABLE": str(tmp_path / "table.csv")}
    out["REPORT"] = str(tmp_path / "report.html")
    told, log = run(
        "landusestatistics", LAND_USE=use, DISTRICTS=results["DISTRICTS_OUTPUT"], NAME_FIELD="region", **out
    )
    assert told["TOTAL_T"] == pytest.approx(136)
    assert told["AREA_KM2"] == pytest.approx(0.0072, rel=2e-3)
    assert "浦口" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert any("construction land 75.0 %" in text for text in log.infos)


_PARTS = ("INDUSTRY", "CITY", "AGRICULTURE", "RURAL")


def test_a_refusal_says_what_to_do(run, raster, districts, totals, tmp_path):
    use = raster("use", [53, 51, 51, 51, 53, 41, 21, 52])
    with pytest.raises(QgsProcessingException, match="land: the value 53 is no part of emission land"):
        run("spreadoverlanduse", LAND=use, DISTRICTS=districts, TOTALS=totals, OUTPUT=str(tmp_path / "total.tif"))
    assert not (tmp_path / "total.tif").exists()
