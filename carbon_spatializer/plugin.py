"""The plugin: adds the Processing provider and takes it away again."""

from qgis.core import QgsApplication

from .provider import CarbonProvider


class CarbonSpatializerPlugin:
    """Entry point of the plugin; works with and without a QGIS window."""

    def __init__(self, iface):
        self.iface = iface
        self.provider = None

    def initProcessing(self):
        """Add the provider; ``qgis_process`` calls only this."""
        self.provider = CarbonProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)
        self.provider.refreshAlgorithms()

    def initGui(self):
        self.initProcessing()

    def unload(self):
        QgsApplication.processingRegistry().removeProvider(self.provider)
