"""Correct to totals, share by land cover and compare with an inventory as the toolbox runs them."""

import csv

import numpy as np
import pytest
from osgeo import gdal, osr
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)

gdal.UseExceptions()

WEST, NORTH = 270000, 3464200  # of the parcels: 2 x 2 squares of 100 m


def raster(folder, name, values, size=100, nodata=-1, kind=gdal.GDT_Float64) -> str:
    path = str(folder / f"{name}.tif")
    values = np.array(values)
    dataset = gdal.GetDriverByName("GTiff").Create(path, values.shape[1], values.shape[0], 1, kind)
    dataset.SetGeoTransform((WEST, size, 0, NORTH, 0, -size))
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32651)
    dataset.SetProjection(reference.ExportToWkt())
    dataset.GetRasterBand(1).SetNoDataValue(nodata)
    dataset.GetRasterBand(1).WriteArray(values)
    return path


def cells(path) -> np.ndarray:
    return gdal.Open(str(path)).ReadAsArray()


def test_a_raster_is_corrected_to_a_memory_layer_s_totals(run, parcels, tmp_path):
    weights = raster(tmp_path, "weights", [[1, 2], [5, 4]])
    results, log = run(
        "correcttototals",
        INPUT=weights,
        REGIONS=parcels,
        TOTAL_FIELD="gross_t",
        NAME_FIELD="parcel_id",
        OUTPUT=str(tmp_path / "out.tif"),
        TABLE=str(tmp_path / "table.csv"),
    )
    # Parcels from the south-west: 700 and 200 t below, 0 and 100 t above.
    np.testing.assert_allclose(cells(tmp_path / "out.tif"), [[0, 100], [700, 200]], rtol=1e-12)
    assert results["TOTAL_T"] == 1000
    assert results["RELATIVE_ERROR"] <= 1e-9
    assert any("1,000.00 t were allocated" in line for line in log.infos)
    layer = QgsRasterLayer(str(tmp_path / "out.tif"), "out")
    layer.loadDefaultStyle()
    assert layer.renderer().type() == "singlebandpseudocolor"
    assert (tmp_path / "out.tif.run.json").is_file()


def test_a_raster_file_stays_closed_in_qgis_but_a_layer_of_the_project_gives_its_crs(provider, tmp_path):
    path = raster(tmp_path, "weights 权重", [[1, 2], [5, 4]])
    tool = QgsApplication.processingRegistry().createAlgorithmById("carbon:correcttototals")
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    assert tool.raster({"INPUT": path}, "INPUT", context) == {"path": path}
    assert not context.temporaryLayerStore().count()
    # The source of a web layer is longer than a file's name may be.
    assert tool.raster({"INPUT": f"url={'x' * 5000}"}, "INPUT", context) is None
    layer = QgsRasterLayer(path, "weights", "gdal")
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    QgsProject.instance().addMapLayer(layer, False)
    assert tool.raster({"INPUT": path}, "INPUT", context) == {"path": path, "crs": "EPSG:4326"}


def test_shares_by_land_cover(run, parcels, tmp_path):
    results, log = run(
        "sharebylandcover",
        EMISSIONS=[
            raster(tmp_path, "coarse", [[40]], 200),
            raster(tmp_path, "fine", [[25, 5], [5, 5]]),
        ],
        LAND_COVER=raster(tmp_path, "cover", [[13, 12], [12, 1]], nodata=255, kind=gdal.GDT_Byte),
        REGIONS=parcels,
        NAME_FIELD="land_type",
        OUTPUT=str(tmp_path / "shares.csv"),
        REPORT=str(tmp_path / "report.html"),
    )
    assert results["FIRST_SHARE_PCT"] == pytest.approx(25)
    assert results["SHARE_PCT"] == pytest.approx(62.5)
    assert results["REGIONS_COUNT"] == 4
    with open(tmp_path / "shares.csv", encoding="utf-8") as file:
        rows = {(row["region"], row["map"], row["class"]): row for row in csv.DictReader(file)}
    assert float(rows["all regions", "fine", "built-up"]["change_points"]) == pytest.approx(37.5)
    assert float(rows["forest land", "fine", "built-up"]["share_pct"]) == pytest.approx(100)
    assert "Built-up by region" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert any("+37.50 percentage points, +150.0 % of its share" in line for line in log.infos)


def test_a_map_against_months_in_carbon(run, tmp_path):
    values = np.array([[44.0, 88], [132, 4]])
    months = [raster(tmp_path, f"month{number:02}", values / 44) for number in range(12)]
    results, log = run(
        "compareinventories",
        INPUT=raster(tmp_path, "map", values),
        INVENTORY=months,
        KIND=1,
        OUTPUT=str(tmp_path / "difference.tif"),
        TABLE=str(tmp_path / "table.gpkg"),
        REPORT=str(tmp_path / "report.html"),
    )
    assert results["INPUT_T"] == pytest.approx(268)
    assert results["BIAS_PCT"] == pytest.approx(0, abs=1e-9)
    assert results["R"] == pytest.approx(1)
    assert np.abs(cells(tmp_path / "difference.tif")).max() < 1e-6
    assert QgsVectorLayer(str(tmp_path / "table.gpkg"), "table").featureCount() == 1
    assert any("t carbon per cell and month; they are multiplied by 44" in line for line in log.infos)


def test_bad_rasters_are_refused_in_one_sentence(run, parcels, tmp_path):
    weights = raster(tmp_path, "weights", [[1, -2], [5, 4]], nodata=-9)
    with pytest.raises(QgsProcessingException, match="'weights' has cells below zero, for example -2") as error:
        run("correcttototals", INPUT=weights, REGIONS=parcels, TOTAL_FIELD="gross_t", OUTPUT=str(tmp_path / "out.tif"))
    assert "\n" not in str(error.value).strip()
    assert not (tmp_path / "out.tif").exists()
