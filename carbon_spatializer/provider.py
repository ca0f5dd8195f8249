"""The Processing provider: an explicit list of the tools, and the graphical models of the whole chains."""

from pathlib import Path

from qgis.core import QgsApplication, QgsProcessingModelAlgorithm, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.accountsectors import AccountSectors
from .algorithms.aggregatetogrid import AggregateToGrid
from .algorithms.aggregatetozones import AggregateToZones
from .algorithms.allocatetoparcels import AllocateToParcels
from .algorithms.carbonbalancezoning import CarbonBalanceZoning
from .algorithms.checkenvironment import CheckEnvironment
from .algorithms.classifypois import ClassifyPois
from .algorithms.compareinventories import CompareInventories
from .algorithms.compareregressions import CompareRegressions
from .algorithms.correcttototals import CorrectToTotals
from .algorithms.createsamplecity import CreateSampleCity
from .algorithms.delineateemissionland import DelineateEmissionLand
from .algorithms.globalmoransi import GlobalMoransI
from .algorithms.identifymanufacturingland import IdentifyManufacturingLand
from .algorithms.landusestatistics import LandUseStatistics
from .algorithms.localmoransi import LocalMoransI
from .algorithms.setupenvironment import SetupEnvironment
from .algorithms.sharebylandcover import ShareByLandCover
from .algorithms.spatializecoarse import SpatializeCoarse
from .algorithms.spreadoverlanduse import SpreadOverLandUse
from .algorithms.superresolve import SuperResolve
from .algorithms.svrzssr import SvrZssr
from .algorithms.trainpoiclassifier import TrainPoiClassifier

ALGORITHMS = [
    SetupEnvironment,
    CheckEnvironment,
    CreateSampleCity,
    AccountSectors,
    AllocateToParcels,
    AggregateToGrid,
    AggregateToZones,
    DelineateEmissionLand,
    SpreadOverLandUse,
    LandUseStatistics,
    TrainPoiClassifier,
    ClassifyPois,
    IdentifyManufacturingLand,
    CompareRegressions,
    SpatializeCoarse,
    SuperResolve,
    CorrectToTotals,
    SvrZssr,
    ShareByLandCover,
    CompareInventories,
    GlobalMoransI,
    LocalMoransI,
    CarbonBalanceZoning,
]

_FOLDER = Path(__file__).parent


class CarbonProvider(QgsProcessingProvider):
    """Provider ``carbon``."""

    def id(self):
        return "carbon"

    def name(self):
        return "Carbon spatializer"

    def longName(self):
        return "Carbon spatializer: city carbon inventories on the map"

    def icon(self):
        return QIcon(str(_FOLDER / "icons" / "provider.svg"))

    def loadAlgorithms(self):
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())
        # A model finds its steps only when the provider is registered; plugin.py refreshes it then.
        if QgsApplication.processingRegistry().providerById(self.id()):
            for file in sorted((_FOLDER / "models").glob("*.model3")):
                model = QgsProcessingModelAlgorithm()
                if model.fromFile(str(file)):
                    self.addAlgorithm(model)

    def supportedOutputVectorLayerExtensions(self):
        return ["gpkg", "geojson", "fgb", "shp", "csv"]

    def supportedOutputRasterLayerExtensions(self):
        return ["tif"]

    def supportsNonFileBasedOutput(self):
        return False
