"""Super-resolution and the SVR-ZSSR chain as the toolbox runs them: a tool, the chain in one tool, and its model."""

import csv
from pathlib import Path

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

gdal.UseExceptions()

WEST, NORTH, SIDE = 500_000, 3_500_000, 6  # regions of 6 x 6 cells of 1 km


def raster(path, values) -> str:
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), values.shape[1], values.shape[0], 1, gdal.GDT_Float64)
    dataset.SetGeoTransform((WEST, 1000, 0, NORTH, 0, -1000))
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32650)
    dataset.SetProjection(reference.ExportToWkt())
    dataset.GetRasterBand(1).SetNoDataValue(-1)
    dataset.GetRasterBand(1).WriteArray(np.where(np.isnan(values), -1, values))
    return str(path)


def cells(path) -> np.ndarray:
    return gdal.Open(str(path)).ReadAsArray()


def block_sums(values, side) -> np.ndarray:
    rows, columns = (size // side for size in values.shape)
    return values.reshape(rows, side, columns, side).sum(axis=(1, 3))


@pytest.fixture
def country(tmp_path):
    """16 regions of a memory layer whose totals are 4 t per light and 0.01 t per person on 24 x 24 cells."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[: 4 * SIDE, : 4 * SIDE]
    town = np.exp(-((row - 9) ** 2 + (column - 13) ** 2) / 40) + 0.05
    lights = 60 * town * rng.gamma(5, 0.2, town.shape)
    people = 3000 * town * rng.gamma(5, 0.2, town.shape)
    totals = block_sums(4 * lights + 0.01 * people, SIDE).round(3)  # a memory layer keeps five decimals
    regions = QgsVectorLayer("Polygon?crs=EPSG:32650&field=name:string&field=co2:double", "regions", "memory")
    for (down, across), total in np.ndenumerate(totals):
        feature = QgsFeature(regions.fields())
        feature.setAttributes([f"省{4 * down + across}", float(total)])
        west, north = WEST + across * SIDE * 1000, NORTH - down * SIDE * 1000
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(west, north - SIDE * 1000, west + SIDE * 1000, north)))
        regions.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(regions, False)
    folder = tmp_path / "数据"
    folder.mkdir()
    yield {
        "regions": regions,
        "lights": raster(folder / "lights.tif", lights),
        "people": raster(folder / "people.tif", people),
        "land_cover": raster(folder / "cover.tif", np.where(town > 0.3, 13.0, 10.0)),
        "totals": totals,
    }
    QgsProject.instance().clear()


@pytest.mark.slow
def test_a_raster_is_made_finer(run, tmp_path):
    values = np.random.default_rng(0).gamma(0.5, 10, (40, 48))
    values[3:8, 3:8] = np.nan
    results, log = run(
        "superresolve",
        INPUT=raster(tmp_path / "in.tif", values),
        OUTPUT=str(tmp_path / "out.tif"),
        REPORT=str(tmp_path / "report.html"),
    )
    fine = cells(tmp_path / "out.tif")
    known = np.isfinite(values)
    np.testing.assert_allclose(block_sums(fine, 2)[known], values[known], rtol=1e-12)
    assert np.isnan(block_sums(fine, 2)[~known]).all()
    assert results["CELLS"] == 4 * known.sum()
    assert results["RELATIVE_ERROR"] < 1e-9
    assert any("Held-out test one level coarser" in line for line in log.infos)
    # Noise cannot be foreseen, and the tool says so.
    assert any("gains NOTHING" in line for line in log.infos)
    layer = QgsRasterLayer(str(tmp_path / "out.tif"), "out")
    layer.loadDefaultStyle()
    assert layer.renderer().type() == "singlebandpseudocolor"
    assert layer.rasterUnitsPerPixelX() == 500
    assert "area weighting" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_whole_chain_in_one_tool(run, country, tmp_path):
    files = {"OUTPUT": "fine.tif", "COARSE": "coarse.tif", "MODEL": "model.json", "TABLE": "table.csv"}
    results, log = run(
        "svrzssr",
        REGIONS=country["regions"],
        TOTAL_FIELD="co2",
        NAME_FIELD="name",
        DRIVERS=[country["lights"]],
        TOTAL_DRIVERS=[country["people"]],
        KINDS=[0, 3],
        **{name: str(tmp_path / file) for name, file in files.items()},
    )
    np.testing.assert_allclose(block_sums(cells(tmp_path / "fine.tif"), 2 * SIDE), country["totals"], rtol=1e-9)
    np.testing.assert_allclose(block_sums(cells(tmp_path / "coarse.tif"), SIDE), country["totals"], rtol=1e-9)
    assert results["TOTAL_T"] == pytest.approx(country["totals"].sum())
    assert results["RELATIVE_ERROR"] < 1e-9
    assert results["CELLS_R2"] > 0.9
    assert any("Best of 4" in line for line in log.infos)
    with open(tmp_path / "table.csv", encoding="utf-8") as file:
        assert [row["region"] for row in csv.DictReader(file)] == [f"省{number}" for number in range(16)]


@pytest.mark.slow
def test_the_chain_as_a_model(run, country, tmp_path):
    outputs = {
        "fine_emissions": "fine.tif",
        "coarse_emissions": "coarse.tif",
        "table_of_regions": "regions.csv",
        "shares_by_land_cover": "shares.csv",
        "residuals": "residuals.gpkg",
        "regression_report": "regression.html",
        "superresolution_report": "resolution.html",
        "landcover_report": "shares.html",
    }
    outputs = {name: str(tmp_path / file) for name, file in outputs.items()}
    run(
        "svrzssrchain",
        REGIONS=country["regions"],
        TOTAL_FIELD="co2",
        TOTAL_UNIT="kt",
        NAME_FIELD="name",
        DRIVERS=[country["lights"]],
        TOTAL_DRIVERS=[country["people"]],
        LAND_COVER=country["land_cover"],
        **outputs,
    )
    missing = [name for name, path in outputs.items() if not Path(path).exists()]
    assert not missing
    tonnes = 1000 * country["totals"]
    np.testing.assert_allclose(block_sums(cells(outputs["fine_emissions"]), 2 * SIDE), tonnes, rtol=1e-9)
    np.testing.assert_allclose(block_sums(cells(outputs["coarse_emissions"]), SIDE), tonnes, rtol=1e-9)
    with open(outputs["shares_by_land_cover"], encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # Of both rasters, in the sixteen regions and in all together.
    shared = [
        sum(float(row["emission_t"]) for row in rows if (row["region"] == "all regions") == together)
        for together in (False, True)
    ]
    assert shared == pytest.approx([2 * tonnes.sum()] * 2, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.full((40, 40), -2.0), "negative values, for example -2"),
        (np.ones((3, 3)), "too few to learn from"),
        (np.zeros((40, 40)), "are zero"),
    ],
)
def test_a_raster_that_cannot_be_made_finer_is_refused(run, tmp_path, values, text):
    path = tmp_path / "in.tif"
    raster(path, values)
    dataset = gdal.Open(str(path), gdal.GA_Update)
    dataset.GetRasterBand(1).SetNoDataValue(-9999)
    dataset = None
    with pytest.raises(QgsProcessingException, match=text):
        run("superresolve", INPUT=str(path), OUTPUT=str(tmp_path / "out.tif"))
    assert not (tmp_path / "out.tif").exists()
