"""Aggregate to grid: parcels' emissions on aligned square or hexagonal cells."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterCrs,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterNumber,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm


class AggregateToGrid(CarbonAlgorithm):
    """Split polygons over grid cells by area and sum their emissions."""

    NAME = "aggregatetogrid"
    TITLE = "Aggregate to grid"
    GROUP = "2allocation"
    TAGS = ("grid", "raster", "cells", "hexagon", "square", "intensity", "1 km", "area-weighted", "overlay")
    HELP = """Sums the emissions of parcels on the cells of a regular grid, 1000 m by default.
<h3>What goes in</h3>
A polygon layer with emissions in t CO2e per year, such as the result of <i>Allocate to parcels</i>. Every numeric field
whose name ends in <b>_t</b> is summed unless fields are chosen.
<h3>What comes out</h3>
The cells that receive something, with <b>cell_id</b> (the same in every run), the summed fields in t CO2e per year,
<b>area_m2</b> (the cell's true area on the ellipsoid) and <b>intensity_t_ha</b> (gross_t, or the first summed field
where there is no gross_t, per hectare of the whole cell). Cells are coloured by intensity.
<h3>Method</h3>
A parcel that lies across cells is split by the share of its area in each: nothing is lost or counted twice, and the
tool fails rather than lose more than 1e-9 of the total. A polygon without area goes to the cell of its centroid.
Squares have their edges at multiples of the cell size, hexagons have a centre at the origin of the CRS, so that grids
of different layers and years coincide. A grid needs metres: a layer in degrees is gridded in the given CRS, or in the
UTM zone of its centre, which the log names.
<h3>Source</h3>
Spatialisation on a 1000 m grid in the carbon-balance zoning of Suzhou's territorial space (base year 2020)."""

    INPUT = "INPUT"
    CELL_SIZE = "CELL_SIZE"
    SHAPE = "SHAPE"
    FIELDS = "FIELDS"
    CRS = "CRS"
    OUTPUT = "OUTPUT"
    OUTPUTS = {OUTPUT: "output"}

    _SHAPES = ("square", "hexagon")

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterFeatureSource(
                self.INPUT, self.tr("Parcels"), [QgsProcessing.SourceType.TypeVectorPolygon]
            ),
            "Polygons with emissions in t CO2e per year, in any CRS.",
        )
        self.add(
            QgsProcessingParameterNumber(
                self.CELL_SIZE, self.tr("Cell size (metres)"), Qgis.ProcessingNumberParameterType.Double, 1000.0
            ),
            "Side of a square, or distance between opposite sides of a hexagon.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.SHAPE, self.tr("Shape of the cells"), [self.tr("square"), self.tr("hexagon")], defaultValue=0
            ),
            "A hexagon has 0.866 of the area of a square of the same size; its six neighbours are equally far away.",
        )
        self.add(
            QgsProcessingParameterField(
                self.FIELDS,
                self.tr("Fields to sum"),
                parentLayerParameterName=self.INPUT,
                type=Qgis.ProcessingFieldParameterDataType.Numeric,
                allowMultiple=True,
                optional=True,
            ),
            "Totals (tonnes, persons ...), not densities. Empty: every numeric field whose name ends in _t.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterCrs(self.CRS, self.tr("CRS of the grid"), optional=True),
            "A projected CRS. Empty: the layer's own, or the UTM zone of a layer in degrees.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, self.tr("Grid"), QgsProcessing.SourceType.TypeVectorPolygon
            ),
            "The cells that receive something.",
        )
        self.addOutput(QgsProcessingOutputNumber("CELLS", self.tr("Number of cells")))
        self.addOutput(QgsProcessingOutputNumber("TOTAL_T", self.tr("Total that came in, t")))
        self.addOutput(QgsProcessingOutputNumber("RELATIVE_ERROR", self.tr("Largest relative error of the balance")))

    def request(self, parameters, context, feedback):
        return {
            "input": self.layer(parameters, self.INPUT, context, feedback),
            "cell_size": self.parameterAsDouble(parameters, self.CELL_SIZE, context),
            "shape": self._SHAPES[self.parameterAsEnum(parameters, self.SHAPE, context)],
            "fields": self.parameterAsStrings(parameters, self.FIELDS, context),
            "crs": self.crs(parameters, self.CRS, context),
        }
