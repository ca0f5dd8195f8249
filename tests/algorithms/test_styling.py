"""Styles as they are stored beside a result and read again."""

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import QgsRasterLayer
from qgis.PyQt.QtGui import QColor

from carbon_spatializer.algorithms import styling

gdal.UseExceptions()


@pytest.fixture
def raster(tmp_path, qgis_app) -> str:
    """Raster of 2 x 2 cells: 1, 3, 30 and 300."""
    path = str(tmp_path / "raster.tif")
    dataset = gdal.GetDriverByName("GTiff").Create(path, 2, 2, 1, gdal.GDT_Float64)
    dataset.SetGeoTransform((0, 1, 0, 2, 0, -1))
    dataset.GetRasterBand(1).WriteArray(np.array([[1.0, 3.0], [30.0, 300.0]]))
    return path


def drawn(path: str) -> QgsRasterLayer:
    layer = QgsRasterLayer(path, "again", "gdal")
    layer.loadDefaultStyle()
    return layer


def colours(layer: QgsRasterLayer) -> list[str]:
    """Colour of each cell, row by row."""
    provider = layer.dataProvider()
    block = layer.renderer().block(1, provider.extent(), 2, 2)
    return [QColor(block.color(row, column)).name() for row in range(2) for column in range(2)]


def test_a_raster_is_drawn_in_classes(raster):
    style = {"kind": "raster", "unit": "t CO2e", "breaks": [0, 2, 10, 100, 250]}
    assert styling.save_default(raster, style)
    layer = drawn(raster)
    items = layer.renderer().shader().rasterShaderFunction().colorRampItemList()
    assert [item.label for item in items] == ["0 – 2 t CO2e", "2 – 10 t CO2e", "10 – 100 t CO2e", "100 – 250 t CO2e"]
    # A value above the last break is in the last class.
    assert colours(layer) == [item.color.name() for item in items]
    assert len(set(colours(layer))) == 4


def test_a_raster_of_classes_is_drawn_in_its_colours(raster):
    style = {"kind": "raster classes", "classes": [[1, "#ff0000", "city"], [3, "#00ff00", "rural"]]}
    assert styling.save_default(raster, style)
    layer = drawn(raster)
    assert [(entry.value, entry.label) for entry in layer.renderer().classes()] == [(1, "city"), (3, "rural")]
    assert colours(layer)[:2] == ["#ff0000", "#00ff00"]


def test_what_is_no_raster_is_not_styled(tmp_path, qgis_app):
    (tmp_path / "raster.tif").write_text("text")
    assert not styling.save_default(str(tmp_path / "raster.tif"), {"kind": "raster", "unit": "t", "breaks": [0, 1]})


def test_differences_are_blue_below_zero_and_red_above(raster):
    style = {"kind": "raster", "unit": "t", "breaks": [-50, -5, 0, 5, 50, 500], "ramp": "difference"}
    assert styling.save_default(raster, style)
    layer = drawn(raster)
    items = layer.renderer().shader().rasterShaderFunction().colorRampItemList()
    assert [item.color.blue() > item.color.red() for item in items] == [True, True, False, False, False]
