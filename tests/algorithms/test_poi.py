"""From names to manufacturing land as tools, with the classifier that needs no neural network."""

import pytest
from qgis.core import QgsCategorizedSymbolRenderer, QgsFeature, QgsGeometry, QgsPointXY, QgsProject, QgsVectorLayer

TFIDF = 2
MAKES = {"C31": "Steel works", "C15": "Brewery", "J66": "Bank"}


@pytest.fixture
def names(tmp_path):
    """A table of 36 names with their class."""
    rows = [f"{place} {what},{code}" for place in "abcdefghijkl" for code, what in MAKES.items()]
    (tmp_path / "names.csv").write_text("name,class\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return str(tmp_path / "names.csv")


@pytest.fixture
def pois():
    """Three points in the south-western parcel and one far outside."""
    layer = QgsVectorLayer("Point?crs=EPSG:32651&field=name:string", "pois", "memory")
    places = [("x Steel works", 20, 20), ("y Steel works", 30, 30), ("z Bank", 40, 40), ("新 Brewery", 5000, 5000)]
    features = []
    for name, east, north in places:
        feature = QgsFeature(layer.fields())
        feature.setAttributes([name])
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(270000 + east, 3464000 + north)))
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    QgsProject.instance().addMapLayer(layer, False)
    return layer


def values(path, field):
    layer = QgsVectorLayer(str(path), "result", "ogr")
    assert layer.isValid()
    return [feature[field] for feature in layer.getFeatures()]


def test_names_to_manufacturing_land(run, parcels, names, pois, tmp_path):
    model, classified, land = tmp_path / "model", tmp_path / "classified.gpkg", tmp_path / "land.gpkg"
    results, _ = run(
        "trainpoiclassifier",
        INPUT=names,
        TEXT_FIELD="name",
        CLASS_FIELD="class",
        CLASSIFIER=TFIDF,
        OUTPUT=str(model),
        REPORT=str(tmp_path / "report.html"),
    )
    assert results["ACCURACY"] == pytest.approx(1)
    assert (model / "model.json").is_file()
    assert "Confusion matrix" in (tmp_path / "report.html").read_text(encoding="utf-8")
    results, _ = run("classifypois", INPUT=pois, TEXT_FIELD="name", MODEL=str(model), OUTPUT=str(classified))
    assert values(classified, "class_code") == ["C31", "C31", "NM", "C15"]
    assert results["MANUFACTURING"] == 3
    layer = QgsVectorLayer(str(classified), "result", "ogr")
    renderer = layer.renderer()
    assert isinstance(renderer, QgsCategorizedSymbolRenderer)
    assert renderer.classAttribute() == "class_code"
    results, _ = run(
        "identifymanufacturingland",
        POIS=str(classified),
        PARCELS=parcels,
        CLASS_FIELD="class_code",
        PROBABILITY_FIELD="probability",
        OUTPUT=str(land),
    )
    assert values(land, "dominant") == ["C31", "C15"]
    assert values(land, "pois") == [2, 1]
    assert results["POLYGONS"] == 2


def test_folder_without_a_model_is_refused(run, pois, tmp_path):
    with pytest.raises(Exception, match=r"holds no model\.json and so is no model of this plugin"):
        run("classifypois", INPUT=pois, TEXT_FIELD="name", MODEL=str(tmp_path), OUTPUT=str(tmp_path / "out.gpkg"))
    assert not (tmp_path / "out.gpkg").exists()
