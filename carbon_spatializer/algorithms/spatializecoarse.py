"""Apply a saved regression to driver rasters: a coarse raster of emissions."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
)

from .base import CarbonAlgorithm


class SpatializeCoarse(CarbonAlgorithm):
    """Predict emissions of the cells of driver rasters."""

    NAME = "spatializecoarse"
    TITLE = "Spatialize to a coarse raster"
    GROUP = "4downscaling"
    TAGS = ("SVR", "regression", "dasymetric", "night lights", "raster", "emission", "map", "downscaling")
    HELP = """Applies a model that <i>Compare regressions</i> saved to the cells of driver rasters.
<h3>What goes in</h3>
The model and the drivers that it was trained on, or those of another year: as many, told apart in the same way into
densities and totals per cell. They are matched by their names where these are the model's, else by their order.
<h3>What comes out</h3>
A raster of emissions in t CO2e per cell (a total, not a density), computed in strips, so that it may be larger than
memory. Negative predictions are set to zero. Cells without data in a driver have none, unless the model was trained
with such cells as zero. The map is not yet corrected: let <i>Correct to regional totals</i> make every region exact.
<h3>What the log says</h3>
The share of the cells outside the training range (the box of the regions' values), the share that was negative, and
the map's coefficient of variation.
<h3>When it refuses</h3>
Models of regional sums often predict one and the same value for all cells, as these are far smaller than any region. A
map that varies by less than a twentieth of what its drivers do is refused, and nothing is written.
<h3>Source</h3>
The coarse step of the SVR-ZSSR downscaling of China's emissions 2010."""

    MODEL = "MODEL"
    DRIVERS = "DRIVERS"
    TOTAL_DRIVERS = "TOTAL_DRIVERS"
    REGIONS = "REGIONS"
    GRID = "GRID"
    OUTPUT = "OUTPUT"
    OUTPUTS = {OUTPUT: "output"}

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterFile(
                self.MODEL, self.tr("Model"), Qgis.ProcessingFileParameterBehavior.File, extension="json"
            ),
            "JSON file from Compare regressions.",
        )
        for name, title, help_text in (
            (self.DRIVERS, "Drivers: densities", "Radiance, people per km²: averaged on the common grid."),
            (self.TOTAL_DRIVERS, "Drivers: totals per cell", "People per cell: summed on the common grid."),
        ):
            self.add(
                QgsProcessingParameterMultipleLayers(
                    name, self.tr(title), QgsProcessing.SourceType.TypeRaster, optional=True
                ),
                help_text,
            )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.REGIONS, self.tr("Regions"), [QgsProcessing.SourceType.TypeVectorPolygon], optional=True
            ),
            "Cells that lie wholly outside these polygons have no data; none takes all cells.",
        )
        self.add(
            QgsProcessingParameterRasterLayer(self.GRID, self.tr("Grid"), optional=True),
            "A raster whose grid is taken; none takes that of the driver with the largest cells.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, self.tr("Coarse emissions")),
            "t CO2e per cell, not yet corrected to totals.",
        )
        for name, title in (
            ("CELLS", "Cells with data"),
            ("TOTAL_T", "Sum of the raster, t CO2e"),
            ("OUTSIDE_PCT", "Cells outside the training range, %"),
            ("CLIPPED_PCT", "Cells that were negative, %"),
            ("CV", "Coefficient of variation"),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, self.tr(title)))

    def request(self, parameters, context, feedback):
        return {
            "model": self.parameterAsFile(parameters, self.MODEL, context),
            "drivers": self.rasters(parameters, self.DRIVERS, context),
            "total_drivers": self.rasters(parameters, self.TOTAL_DRIVERS, context),
            "regions": self.layer(parameters, self.REGIONS, context, feedback, required=False),
            "grid": self.raster(parameters, self.GRID, context),
        }
