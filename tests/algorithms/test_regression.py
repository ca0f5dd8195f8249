"""Regressions as tools: layers from QGIS go in; a model, a styled layer and a styled raster come out."""

import json

import numpy as np
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

WEST, NORTH = 500_000, 3_500_000
SIDE = 8


def raster(folder, name, values):
    path = str(folder / f"{name}.tif")
    file = gdal.GetDriverByName("GTiff").Create(path, values.shape[1], values.shape[0], 1, gdal.GDT_Float64)
    file.SetGeoTransform((WEST, 1000, 0, NORTH, 0, -1000))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32650)
    file.SetProjection(crs.ExportToWkt())
    file.GetRasterBand(1).WriteRaster(0, 0, values.shape[1], values.shape[0], values.tobytes())
    file = None
    layer = QgsRasterLayer(path, name, "gdal")
    QgsProject.instance().addMapLayer(layer, False)
    return layer


@pytest.fixture
def country(tmp_path):
    """Six regions in a memory layer, night lights and people on 24 x 16 cells; 4 t per light, 0.01 t per person."""
    folder = tmp_path / "省 and drivers"
    folder.mkdir()
    rng = np.random.default_rng(0)
    region = np.repeat(np.repeat(np.arange(6).reshape(2, 3), SIDE, axis=0), SIDE, axis=1)
    light = rng.lognormal(0, 1, region.shape) * np.array([1, 3, 2, 7, 5, 0.5])[region]
    people = rng.lognormal(4, 1, region.shape) * np.array([4, 1, 6, 2, 0.5, 3])[region]
    totals = np.bincount(region.ravel(), (4 * light + 0.01 * people).ravel())
    layer = QgsVectorLayer("Polygon?crs=EPSG:32650&field=name:string&field=co2:double", "regions", "memory")
    for number, total in enumerate(totals):
        row, column = divmod(number, 3)
        west, north = WEST + column * SIDE * 1000, NORTH - row * SIDE * 1000
        feature = QgsFeature(layer.fields())
        feature.setAttributes([f"省{number}", float(total)])
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(west, north - SIDE * 1000, west + SIDE * 1000, north)))
        layer.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(layer, False)
    yield {
        "folder": folder,
        "regions": layer,
        "light": raster(folder, "light", light),
        "people": raster(folder, "people", people),
        "total": totals.sum(),
    }
    QgsProject.instance().clear()


def compare(run, country, **parameters):
    folder = country["folder"]
    return run(
        "compareregressions",
        **{
            "REGIONS": country["regions"],
            "TOTAL_FIELD": "co2",
            "NAME_FIELD": "name",
            "DRIVERS": [country["light"]],
            "TOTAL_DRIVERS": [country["people"]],
            "KINDS": [0, 5],
            "MODEL": str(folder / "model.json"),
            "OUTPUT": str(folder / "residuals.gpkg"),
            "REPORT": str(folder / "report.html"),
        }
        | parameters,
    )


def spatialize(run, country, **parameters):
    return run(
        "spatializecoarse",
        **{
            "MODEL": str(country["folder"] / "model.json"),
            "DRIVERS": [country["light"]],
            "TOTAL_DRIVERS": [country["people"]],
            "OUTPUT": str(country["folder"] / "coarse.tif"),
        }
        | parameters,
    )


def test_from_totals_to_a_styled_raster(run, country):
    results, log = compare(run, country)
    assert results["R2"] > 0.99
    assert results["REGIONS_COUNT"] == 6
    assert any("Best of 4: Non-negative linear on mean density" in text for text in log.infos)
    model = json.loads((country["folder"] / "model.json").read_text(encoding="utf-8"))
    assert model["model"]["names"] == ["light", "people"]
    assert model["model"]["totals"] == [False, True]
    residuals = QgsVectorLayer(results["OUTPUT"], "residuals", "ogr")
    residuals.loadDefaultStyle()
    assert residuals.renderer().type() == "graduatedSymbol"
    assert residuals.renderer().classAttribute() == '"residual_pct"'

    results, _ = spatialize(run, country)
    assert results["CELLS"] == 24 * 16
    assert results["TOTAL_T"] == pytest.approx(country["total"], rel=0.01)
    assert results["CLIPPED_PCT"] == 0
    coarse = QgsRasterLayer(results["OUTPUT"], "coarse", "gdal")
    coarse.loadDefaultStyle()
    assert coarse.renderer().type() == "singlebandpseudocolor"
    assert coarse.renderer().legendSymbologyItems()[0][0].endswith("t CO2e per cell")


def test_a_model_of_sums_is_refused_and_nothing_is_written(run, country):
    compare(run, country, FORMS=[2], KINDS=[1])
    state = json.loads((country["folder"] / "model.json").read_text(encoding="utf-8"))
    # As for a country of large regions: what is learnt lies far above any cell.
    state["model"]["centre"] = [value * 1e4 for value in state["model"]["centre"]]
    state["model"]["scale"] = [value * 1e4 for value in state["model"]["scale"]]
    (country["folder"] / "model.json").write_text(json.dumps(state), encoding="utf-8")
    before = sorted(country["folder"].iterdir())
    with pytest.raises(QgsProcessingException, match="the map would be constant: SVR, RBF kernel on sum"):
        spatialize(run, country)
    assert sorted(country["folder"].iterdir()) == before


def test_a_missing_driver_is_one_sentence(run, country):
    compare(run, country)
    with pytest.raises(QgsProcessingException, match="1 were given, but the model was trained on 2"):
        spatialize(run, country, TOTAL_DRIVERS=[])
    with pytest.raises(QgsProcessingException, match="no raster was given"):
        compare(run, country, DRIVERS=[], TOTAL_DRIVERS=[])
