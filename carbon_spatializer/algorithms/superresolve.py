"""Super-resolve an emission raster: zero-shot super-resolution that keeps every coarse cell's value."""

from qgis.core import (
    Qgis,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .base import CarbonAlgorithm


class SuperResolve(CarbonAlgorithm):
    """Make an emission raster two, four or eight times finer."""

    NAME = "superresolve"
    TITLE = "Super-resolve raster (ZSSR)"
    GROUP = "4downscaling"
    TAGS = (
        "super-resolution",
        "zssr",
        "downscaling",
        "neural network",
        "cnn",
        "resample",
        "fine grid",
        "raster",
        "gpu",
    )
    HELP = """Makes an emission raster finer with a small neural network that is trained on that raster alone
(zero-shot super-resolution).
<h3>What goes in</h3>
A raster of one band that is not negative: emissions per cell or per area, night lights, population. Cells without data
stay without data.
<h3>What comes out</h3>
A raster whose cells are 2, 4 or 8 times smaller, in the same unit. <b>Every cell of the input keeps its value
exactly</b>: its parts sum to it (totals) or average to it (densities). No value is negative.
<h3>Method</h3>
The raster is aggregated, the network learns to undo that, and is then applied to the raster itself. Values are
learned as log(1 + value / scale), eight flips and rotations are combined, and each coarse cell is scaled to its value.
<b>fast</b> works on the coarse grid and shares each cell among its parts: it goes from equal parts to cubic
interpolation, to that of logarithms, which follows sources that fall off smoothly, and to its networks, each only as
far as the raster itself, aggregated once more, bears it out. <b>paper</b> is the published network (8 layers of 64
channels, learning rate lowered when the loss stalls) and takes several times as long. The time of training does not
depend on the size of the raster; prediction runs by tiles on all processors, so that rasters may exceed memory.
<h3>What to trust</h3>
About a tenth of the blocks is held out of the training, aggregated and predicted back: the log states the gain over
bicubic interpolation and over equal sharing, and says so plainly when there is none. The network adds the texture that
the raster has at its own scale. It knows no roads and no factories that the raster does not show.
<h3>Source</h3>
SVR-ZSSR downscaling of provincial carbon emissions, China 2010 (Scientific Reports 2023); Shocher, Cohen and Irani
(2018), “Zero-Shot” Super-Resolution using Deep Internal Learning."""

    INPUT = "INPUT"
    FACTOR = "FACTOR"
    METHOD = "METHOD"
    QUANTITY = "QUANTITY"
    SEED = "SEED"
    DEVICE = "DEVICE"
    TILE = "TILE"
    SCHEDULER = "SCHEDULER"
    OUTPUT = "OUTPUT"
    REPORT = "REPORT"
    OUTPUTS = {OUTPUT: "output", REPORT: "report"}

    _FACTORS = (2, 4, 8)
    _METHODS = ("fast", "paper")
    _QUANTITIES = ("auto", "total", "density")
    _DEVICES = ("auto", "cpu", "cuda")

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterRasterLayer(self.INPUT, self.tr("Coarse raster")),
            "A raster of one band without negative values. Its nodata cells stay nodata.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.FACTOR, self.tr("Times finer"), [str(factor) for factor in self._FACTORS], defaultValue=0
            ),
            "How many times smaller the cells become. 4 and 8 apply the network again to its own result, which no data "
            "of the raster can confirm.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.METHOD,
                self.tr("Method"),
                [self.tr("fast (shares of each cell, on the coarse grid)"), self.tr("paper (published network)")],
                defaultValue=0,
            ),
            "The fast method is the better choice; the published one is there to compare with the paper.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.QUANTITY,
                self.tr("The cells hold"),
                [self.tr("what the raster says of itself, else totals"), self.tr("totals"), self.tr("densities")],
                defaultValue=0,
            ),
            "Totals (t per cell) sum over the parts of a cell; densities (t per hectare, night lights) average.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterNumber(
                self.SEED, self.tr("Seed"), Qgis.ProcessingNumberParameterType.Integer, 0, minValue=0
            ),
            "The same seed gives the same result on the same machine.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterEnum(
                self.DEVICE, self.tr("Device"), [self.tr("automatic"), "cpu", "cuda"], defaultValue=0
            ),
            "Automatic takes an NVIDIA GPU where torch finds one.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterNumber(
                self.TILE,
                self.tr("Side of a tile (cells of the input)"),
                Qgis.ProcessingNumberParameterType.Integer,
                256,
                minValue=32,
                maxValue=2048,
            ),
            "Smaller tiles need less memory. They do not change the result, as they overlap by what the network sees.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterString(self.SCHEDULER, self.tr("Dask scheduler"), optional=True),
            "Address of a Dask scheduler, such as tcp://host:8786, whose workers predict the tiles. They need numpy "
            "and torch; the worker's Python needs the package distributed. Empty: the processors of this machine.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, self.tr("Fine raster")),
            "GeoTIFF in the unit of the input.",
        )
        self.add(
            QgsProcessingParameterFileDestination(
                self.REPORT,
                self.tr("Super-resolution report"),
                self.tr("HTML files (*.html)"),
                optional=True,
                createByDefault=False,
            ),
            "The held-out test against bicubic interpolation and equal sharing, the training, and a map.",
        )
        self.addOutput(QgsProcessingOutputNumber("CELLS", self.tr("Cells with data")))
        self.addOutput(QgsProcessingOutputNumber("RELATIVE_ERROR", self.tr("Relative error of the total")))
        self.addOutput(QgsProcessingOutputNumber("RMSE_SAVED_PCT_OVER_BICUBIC", self.tr("RMSE saved over bicubic, %")))
        self.addOutput(
            QgsProcessingOutputNumber("RMSE_SAVED_PCT_OVER_AREA", self.tr("RMSE saved over area weighting, %"))
        )

    def request(self, parameters, context, feedback):
        return {
            "input": self.raster(parameters, self.INPUT, context),
            "factor": self._FACTORS[self.parameterAsEnum(parameters, self.FACTOR, context)],
            "method": self._METHODS[self.parameterAsEnum(parameters, self.METHOD, context)],
            "quantity": self._QUANTITIES[self.parameterAsEnum(parameters, self.QUANTITY, context)],
            "seed": self.parameterAsInt(parameters, self.SEED, context),
            "device": self._DEVICES[self.parameterAsEnum(parameters, self.DEVICE, context)],
            "tile": self.parameterAsInt(parameters, self.TILE, context),
            "scheduler": self.parameterAsString(parameters, self.SCHEDULER, context) or None,
        }
