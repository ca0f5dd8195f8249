"""Moran's I as tools: results arrive in the customary colours, memory layers and selections work, refusals say why."""

import pytest
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)

SIDE = 6


def block(kind: str) -> QgsVectorLayer:
    """Memory layer of 6 x 6 units of 1 ha, 9 of them high, in the south-west."""
    fields = "field=intensity_t_ha:double&field=firms:integer&field=ring:string"
    layer = QgsVectorLayer(f"{kind}?crs=EPSG:32651&{fields}", "单元", "memory")
    features = []
    for number in range(SIDE * SIDE):
        row, column = divmod(number, SIDE)
        high = row < 3 and column < 3
        feature = QgsFeature(layer.fields())
        feature.setAttributes([50.0 + number if high else number % 7, 1 + number % 5, "urban" if high else "rural"])
        west, south = 270000 + 100 * column, 3464000 + 100 * row
        square = QgsRectangle(west, south, west + 100, south + 100)
        centre = QgsGeometry.fromPointXY(QgsPointXY(square.center()))
        feature.setGeometry(QgsGeometry.fromRect(square) if kind == "Polygon" else centre)
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    QgsProject.instance().addMapLayer(layer, False)
    return layer


@pytest.mark.parametrize("kind", ["Polygon", "Point"])
def test_clusters_arrive_in_their_colours(run, tmp_path, kind):
    output, table, report = tmp_path / "clusters.gpkg", tmp_path / "clusters.csv", tmp_path / "report.html"
    paths = {"OUTPUT": str(output), "TABLE": str(table), "REPORT": str(report)}
    results, log = run("localmoransi", INPUT=block(kind), STRATUM_FIELD="ring", **paths)
    layer = QgsVectorLayer(str(output), "result", "ogr")
    renderer = layer.renderer()
    assert isinstance(renderer, QgsCategorizedSymbolRenderer)
    assert renderer.classAttribute() == "cluster"
    colours = {category.value(): category.symbol().color().name() for category in renderer.categories()}
    assert (colours["HH"], colours["LL"]) == ("#ff0000", "#0000ff")
    clusters = [feature["cluster"] for feature in layer.getFeatures()]
    assert set(clusters) <= set(colours)
    assert clusters.count("HH") == results["HH"] > 0
    assert any("exact shared-table permutation" in line for line in log.infos)
    assert table.exists()
    assert "<img" in report.read_text(encoding="utf-8")


def test_table_of_a_selection(run, tmp_path):
    units = block("Polygon")
    units.selectByExpression("\"ring\" = 'rural'")
    source = QgsProcessingFeatureSourceDefinition(units.id(), True)
    output = tmp_path / "table.csv"
    results, log = run("globalmoransi", INPUT=source, FIELDS=["intensity_t_ha", "firms"], OUTPUT=str(output))
    assert len(output.read_text(encoding="utf-8").splitlines()) == 3
    assert any("for 27 units" in line for line in log.infos)
    assert -1 <= results["MORAN_I"] <= 1


def test_every_choice_reaches_the_job(run, tmp_path):
    # The last of each list, and a distance given as a number: refused only if a word were unknown to the job.
    output = str(tmp_path / "table.csv")
    choices = {"DIVIDE_BY": 2, "BASE_FIELD": "firms", "RATE": 1, "TRANSFORM": 3, "WEIGHTS": 5, "KERNEL": 4}
    choices |= {"DISTANCE_M": 250.0, "ALTERNATIVE": 1, "CORRECTION": 2, "ROW_STANDARDISED": False}
    _, log = run("globalmoransi", INPUT=block("Polygon"), OUTPUT=output, PERMUTATIONS=99, **choices)
    assert any("gaussian kernel, bandwidth 250.0 m, as they are" in line for line in log.infos)
    assert any("directed p, Bonferroni correction" in line for line in log.infos)
    for number in range(5):
        run("globalmoransi", INPUT=block("Polygon"), OUTPUT=output, PERMUTATIONS=99, WEIGHTS=number, K=4)


def test_refusal_is_one_sentence(run, tmp_path):
    with pytest.raises(QgsProcessingException, match="Parameter weights: points have no borders"):
        run("localmoransi", INPUT=block("Point"), WEIGHTS=1, OUTPUT=str(tmp_path / "out.gpkg"))
    assert not list(tmp_path.iterdir())
