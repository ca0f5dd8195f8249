"""Results as the user gets them: loaded into the project, and styled."""

import processing
from qgis.core import QgsProject


def test_a_loaded_result_is_styled(provider, parcels, qgis_iface):
    processing.runAndLoadResults(
        "carbon:aggregatetogrid", {"INPUT": parcels, "CELL_SIZE": 100, "OUTPUT": "TEMPORARY_OUTPUT"}
    )
    grid = next(layer for layer in QgsProject.instance().mapLayers().values() if layer.name() == "Grid")
    assert grid.renderer().type() == "graduatedSymbol"
    labels = [item.label() for item in grid.renderer().ranges()]
    assert all(label.endswith("t CO2e/ha (gross_t)") for label in labels)
