"""The plugin inside QGIS: what the tests of the tools share. They run in QGIS's own Python."""

from pathlib import Path

import pytest

pytest.importorskip("qgis.core", reason="needs QGIS's own Python")

from qgis.core import (
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)

SQUARE = 100.0
PARCELS = [  # column, row, land type, gross, sink: a block of 2 x 2 parcels of 1 ha each
    (0, 0, "industrial land", 700.0, 0.0),
    (1, 0, "urban residential land", 200.0, 0.0),
    (0, 1, "forest land", 0.0, 50.0),
    (1, 1, "cultivated land", 100.0, 30.0),
]


@pytest.fixture(scope="session")
def provider(qgis_app, qgis_processing):
    """The provider, registered as QGIS does it."""
    from carbon_spatializer import classFactory

    plugin = classFactory(None)
    plugin.initProcessing()
    yield plugin.provider
    plugin.unload()


@pytest.fixture
def parcels() -> QgsVectorLayer:
    """Memory layer of four parcels with emissions: 1000 t gross, 80 t sink."""
    fields = "field=parcel_id:integer&field=land_type:string&field=gross_t:double&field=sink_t:double"
    layer = QgsVectorLayer(f"Polygon?crs=EPSG:32651&{fields}", "parcels", "memory")
    features = []
    for number, (column, row, land_type, gross, sink) in enumerate(PARCELS):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([number, land_type, gross, sink])
        west, south = 270000 + column * SQUARE, 3464000 + row * SQUARE
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(west, south, west + SQUARE, south + SQUARE)))
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    QgsProject.instance().addMapLayer(layer, False)
    yield layer
    QgsProject.instance().clear()


class Log(QgsProcessingFeedback):
    """A feedback that keeps what the tool said."""

    def __init__(self):
        super().__init__(False)
        self.infos, self.warnings = [], []

    def pushInfo(self, info):
        self.infos.append(info)

    def pushWarning(self, warning):
        self.warnings.append(warning)


@pytest.fixture
def run(provider):
    """Run a tool by its name: ``run("aggregatetogrid", INPUT=layer, ...)`` gives its results and the log."""

    def run_tool(name: str, feedback=None, **parameters):
        tool = QgsApplication.processingRegistry().createAlgorithmById(f"carbon:{name}")
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        log = feedback or Log()
        good, message = tool.checkParameterValues(parameters, context)
        assert good, message
        results, _ = tool.run(parameters, context, log, {}, False)
        return results, log

    return run_tool


def total(path: str | Path, field: str) -> float:
    """Sum of a field of a layer on disk."""
    layer = QgsVectorLayer(str(path), "result", "ogr")
    assert layer.isValid(), path
    return sum(feature[field] for feature in layer.getFeatures())
