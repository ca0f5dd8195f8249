"""Carbon spatializer: from a city's energy statistics to a map of where the carbon is emitted."""


def classFactory(iface):
    """Return the plugin; QGIS calls this with its interface (or None in ``qgis_process``)."""
    from .plugin import CarbonSpatializerPlugin

    return CarbonSpatializerPlugin(iface)
