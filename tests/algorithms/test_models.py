"""The graphical models of the whole chains: offered by the provider, whole, and giving what the tools give."""

from pathlib import Path

import pytest
from qgis.core import Qgis, QgsApplication, QgsProcessingModelAlgorithm, QgsRasterLayer, QgsVectorLayer

from .conftest import total

MODELS = Path(__file__).resolve().parents[2] / "carbon_spatializer" / "models"
GRID_FACTOR = 0.5810
TFIDF = 2  # of the classifiers that the training offers


@pytest.fixture(scope="module")
def city(provider, tmp_path_factory):
    """A small sample city."""
    folder = tmp_path_factory.mktemp("city")
    names = {
        "PARCELS": "parcels.gpkg",
        "POIS": "pois.gpkg",
        "ROADS": "roads.gpkg",
        "TOWNSHIPS": "townships.gpkg",
        "POPULATION": "population.tif",
        "ACTIVITY": "activity.csv",
        "TOTALS": "totals.csv",
        "LAND_USE": "land_use.tif",
        "PARKS": "parks.gpkg",
        "PARTS_ACTIVITY": "parts_activity.csv",
    }
    from qgis.core import QgsProcessingContext, QgsProcessingFeedback

    paths = {name: str(folder / file) for name, file in names.items()}
    tool = QgsApplication.processingRegistry().createAlgorithmById("carbon:createsamplecity")
    tool.run({"PARCELS_COUNT": 500, **paths}, QgsProcessingContext(), QgsProcessingFeedback(), {}, False)
    return paths


@pytest.mark.parametrize("file", sorted(MODELS.glob("*.model3")), ids=lambda file: file.stem)
def test_model_is_whole(provider, file):
    model = QgsProcessingModelAlgorithm()
    assert model.fromFile(str(file))
    assert model.validate() == (True, [])
    assert model.canExecute()[0]
    assert provider.algorithm(model.name()) is not None, "the provider does not offer it"
    assert model.name() == file.stem


def test_suzhou_chain(run, city, tmp_path):
    outputs = {
        "totals_by_sector": "totals.csv",
        "accounting_report": "accounting.html",
        "parcels_with_emissions": "parcels.gpkg",
        "allocation_ledger": "ledger.csv",
        "emission_grid": "grid.gpkg",
        "townships_with_emissions": "townships.gpkg",
        "carbonbalance_zones": "zones.gpkg",
        "zone_table": "table.csv",
        "zoning_report": "zoning.html",
    }
    outputs = {name: str(tmp_path / file) for name, file in outputs.items()}
    run(
        "suzhouchain",
        ACTIVITY=city["ACTIVITY"],
        GRID_FACTOR=GRID_FACTOR,
        PARCELS=city["PARCELS"],
        POIS=city["POIS"],
        LINES=city["ROADS"],
        POPULATION=city["POPULATION"],
        TOWNSHIPS=city["TOWNSHIPS"],
        **outputs,
    )
    missing = [name for name, path in outputs.items() if not Path(path).exists()]
    assert not missing
    # Suzhou paper, Table 3, in t: departments 24,027.97 and sinks 251.86 x 10^4 t.
    for name in ("parcels_with_emissions", "emission_grid", "townships_with_emissions", "carbonbalance_zones"):
        assert total(outputs[name], "gross_t") == pytest.approx(240_279_700, rel=1e-9), name
        assert total(outputs[name], "sink_t") == pytest.approx(2_518_600, rel=1e-9), name


def test_nanjing_chain(run, city, tmp_path):
    outputs = {
        "totals_by_sector": "totals.csv",
        "emission_land": "land.tif",
        "ledger_of_areas": "areas.csv",
        "overlaps": "overlaps.csv",
        "emissions": "total.tif",
        "emission_intensity": "intensity.tif",
        "industry": "industry.tif",
        "districts_with_emissions": "districts.gpkg",
        "emission_ledger": "ledger.csv",
        "land_classes_by_district": "classes.csv",
        "emissions_by_district_and_part": "table.csv",
        "landuse_report": "report.html",
    }
    outputs = {name: str(tmp_path / file) for name, file in outputs.items()}
    run(
        "nanjingchain",
        ACTIVITY=city["PARTS_ACTIVITY"],
        GRID_FACTOR=GRID_FACTOR,
        LAND_USE=city["LAND_USE"],
        PARKS=city["PARKS"],
        ENTERPRISES=f"{city['POIS']}|subset=category = 'manufacturing'",
        DISTRICTS=city["TOWNSHIPS"],
        REGION_FIELD="region",
        **outputs,
    )
    missing = [name for name, path in outputs.items() if not Path(path).exists()]
    assert not missing
    # Nanjing paper, Table 2, in t: 12,714.46 x 10^4, of which industry 11,916.67.
    assert total(outputs["districts_with_emissions"], "gross_t") == pytest.approx(127_144_600, rel=1e-9)
    assert total(outputs["districts_with_emissions"], "industry_t") == pytest.approx(119_166_700, rel=1e-9)
    layer = QgsRasterLayer(outputs["emissions"], "emissions")
    cells = layer.dataProvider().bandStatistics(1, Qgis.RasterBandStatistic.Sum, layer.extent(), 0)
    assert cells.sum == pytest.approx(127_144_600, rel=1e-9)
    assert "42,000,000.00 t CO2e is deducted" in Path(outputs["landuse_report"]).read_text(encoding="utf-8")


def test_manufacturing_chain(run, city, tmp_path):
    model = str(tmp_path / "model")
    run(
        "trainpoiclassifier",
        INPUT=city["POIS"],
        TEXT_FIELD="name",
        CLASS_FIELD="industry",
        CLASSIFIER=TFIDF,
        MINIMUM_NAMES=5,
        OUTPUT=model,
    )
    # Two industries and their totals; the names of the sample city tell the industry without doubt.
    totals = tmp_path / "totals.csv"
    totals.write_text("sector,subsector,net_t\nindustry,C17,600000\nindustry,C39,400000\n", encoding="utf-8")
    outputs = {
        "classified_pois": "classified.gpkg",
        "manufacturing_land": "land.gpkg",
        "parcels_with_emissions": "parcels.gpkg",
        "allocation_ledger": "ledger.csv",
        "morans_i_per_industry": "moran.csv",
        "clusters": "clusters.gpkg",
        "cluster_report": "clusters.html",
    }
    outputs = {name: str(tmp_path / file) for name, file in outputs.items()}
    run(
        "manufacturingchain",
        POIS=city["POIS"],
        TEXT_FIELD="name",
        MODEL=model,
        PARCELS=city["PARCELS"],
        LAND_USE_FIELD="land_type",
        TOTALS=str(totals),
        **outputs,
    )
    missing = [name for name, path in outputs.items() if not Path(path).exists()]
    assert not missing
    for name in ("parcels_with_emissions", "clusters"):
        assert total(outputs[name], "gross_t") == pytest.approx(1_000_000, rel=1e-9), name
    land = QgsVectorLayer(outputs["manufacturing_land"], "land", "ogr")
    assert 0 < land.featureCount() < 500
