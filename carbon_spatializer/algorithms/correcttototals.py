"""Correct to totals: a raster scaled within each region so that its cells add up to the region's total."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm


class CorrectToTotals(CarbonAlgorithm):
    """Scale a raster within each region to the region's total."""

    NAME = "correcttototals"
    TITLE = "Correct to totals"
    GROUP = "4downscaling"
    TAGS = ("statistics", "control total", "scale", "dasymetric", "pycnophylactic", "province", "SVR-ZSSR", "Eq 3")
    HELP = """Scales a raster within each region so that its cells add up to the region's total, to the ninth digit.
<h3>What goes in</h3>
A raster of emissions, or of weights such as night lights: only the proportions within a region count. Cells below zero
are refused. And polygons of regions with their totals, such as the emission statistics of provinces.
<h3>What comes out</h3>
A raster of <b>t CO2e per cell</b> on the same grid. Cells without data and cells outside all regions hold no data. The
table tells for each region its total, the rule that was used, what was allocated (of it by fallback) and what was not,
the sum of its weights, the factor <b>scale</b> and the relative error.
<h3>Method</h3>
CE<sub>c</sub> = SC<sub>n</sub> CW<sub>c</sub> / CW<sub>n</sub>, where CW<sub>c</sub> is the weight of cell c,
CW<sub>n</sub> the sum of the weights in region n and SC<sub>n</sub> its total. A raster of densities is multiplied by
the true area of its cells first. The tool fails rather than lose more than 1e-9 of a total.
<h3>Source</h3>
Equation 3 of the SVR-ZSSR paper on provincial CO2 emissions of China."""

    INPUT = "INPUT"
    REGIONS = "REGIONS"
    TOTAL_FIELD = "TOTAL_FIELD"
    TOTAL_UNIT = "TOTAL_UNIT"
    NAME_FIELD = "NAME_FIELD"
    WEIGHTS = "WEIGHTS"
    BORDERS = "BORDERS"
    WITHOUT_TOTAL = "WITHOUT_TOTAL"
    ZERO_WEIGHTS = "ZERO_WEIGHTS"
    OUTPUT = "OUTPUT"
    TABLE = "TABLE"
    OUTPUTS = {OUTPUT: "output", TABLE: "table"}

    _WEIGHTS = ("auto", "total", "density")
    _BORDERS = ("centre", "parts")
    _WITHOUT_TOTAL = ("empty", "mean", "keep", "refuse")
    _ZERO_WEIGHTS = ("even", "leave", "refuse")

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterRasterLayer(self.INPUT, self.tr("Emissions or weights")),
            "Raster of which only the proportions within a region count; its first band is used.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.REGIONS, self.tr("Regions"), [QgsProcessing.SourceType.TypeVectorPolygon]
            ),
            "Polygons with totals, in any CRS.",
        )
        self.add(
            QgsProcessingParameterField(
                self.TOTAL_FIELD,
                self.tr("Totals"),
                parentLayerParameterName=self.REGIONS,
                type=Qgis.ProcessingFieldParameterDataType.Numeric,
            ),
            "The regions' emissions per year; a blank is no total.",
        )
        self.add(
            QgsProcessingParameterString(self.TOTAL_UNIT, self.tr("Unit of the totals"), "t"),
            "A unit of mass, such as t, kt, 10^4 t or Mt.",
        )
        self.add(
            QgsProcessingParameterField(
                self.NAME_FIELD, self.tr("Names"), parentLayerParameterName=self.REGIONS, optional=True
            ),
            "Names the regions in the table and in messages; each name may occur once.",
        )
        self._add_choice(
            self.WEIGHTS,
            "The raster holds",
            ["what it says of itself, or else totals per cell", "totals per cell", "densities"],
            "Densities are multiplied by the area of their cells. Rasters made by these tools say what they hold.",
        )
        self._add_choice(
            self.BORDERS,
            "Cells on a border belong to",
            ["the region that holds their centre", "each region by the part that lies in it"],
            "By the centre, the cells of each region add up to its total exactly. By parts, small regions and coasts "
            "have all their ground, and each region's parts of cells add up to its total exactly.",
        )
        self._add_choice(
            self.WITHOUT_TOTAL,
            "Regions without a total",
            ["hold no data", "are scaled as the others are in the mean", "stay as they are", "are refused"],
            "What is not held empty counts as arrived by fallback.",
        )
        self._add_choice(
            self.ZERO_WEIGHTS,
            "Regions whose weights are all zero",
            ["spread their total evenly", "leave it unallocated", "are refused"],
            "What is spread evenly counts as arrived by fallback. Regions without any cell are refused unless they are "
            "left unallocated.",
        )
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, self.tr("Corrected emissions")),
            "Raster of t CO2e per cell.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.TABLE,
                self.tr("Table of the regions"),
                QgsProcessing.SourceType.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            "Totals, rules, weights and relative errors.",
        )
        self.addOutput(QgsProcessingOutputNumber("TOTAL_T", self.tr("Total that came in, t")))
        self.addOutput(QgsProcessingOutputNumber("UNALLOCATED_T", self.tr("Unallocated, t")))
        self.addOutput(QgsProcessingOutputNumber("RELATIVE_ERROR", self.tr("Largest relative error of a region")))

    def _add_choice(self, name, title, options, help_text):
        self.add(
            QgsProcessingParameterEnum(name, self.tr(title), [self.tr(option) for option in options], defaultValue=0),
            help_text,
            advanced=True,
        )

    def request(self, parameters, context, feedback):
        def choice(name, values):
            return values[self.parameterAsEnum(parameters, name, context)]

        return {
            "input": self.raster(parameters, self.INPUT, context),
            "regions": self.layer(parameters, self.REGIONS, context, feedback),
            "total_field": self.parameterAsString(parameters, self.TOTAL_FIELD, context),
            "total_unit": self.parameterAsString(parameters, self.TOTAL_UNIT, context),
            "name_field": self.parameterAsString(parameters, self.NAME_FIELD, context) or None,
            "weights": choice(self.WEIGHTS, self._WEIGHTS),
            "borders": choice(self.BORDERS, self._BORDERS),
            "without_total": choice(self.WITHOUT_TOTAL, self._WITHOUT_TOTAL),
            "zero_weights": choice(self.ZERO_WEIGHTS, self._ZERO_WEIGHTS),
        }
