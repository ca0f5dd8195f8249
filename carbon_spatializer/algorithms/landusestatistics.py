"""Land-use statistics: classes of land by district, emissions by district and part, and energy flows."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm
from .delineateemissionland import SCHEME_TITLES, SCHEMES

_TABLE = [QgsProcessing.SourceType.TypeVector]


class LandUseStatistics(CarbonAlgorithm):
    """Tell what land the districts have and what their parts emit."""

    NAME = "landusestatistics"
    TITLE = "Land-use statistics"
    GROUP = "2allocation"
    TAGS = ("Nanjing", "land cover", "area", "share", "district", "Sankey", "energy", "flow", "chart", "report", "LUCC")
    HELP = """Tables and charts of the land use of districts and of what the four parts (industry, city, agriculture,
rural) emit there.
<h3>What goes in</h3>
A raster of land-use classes in any CRS and districts as polygons. With the districts that <i>Spread over land use</i>
makes, emissions are told too; with the lines that <i>Account sectors</i> makes, so are the flows of energy.
<h3>What comes out</h3>
A table with the area (m2, true on the ellipsoid) and share of each class in each district and in all of them; a table
of emissions by district and part in 10⁴ t CO2e per year, as Table 2 of the paper; and an HTML report with shares of
land classes (Figure 5 of the paper), the emissions by district and part, bar charts of each part, intensities, and a
flow diagram from coal, gas, electricity and other carriers to the parts, with the power plants' fuel that was deducted
because electricity is charged to its users.
<h3>Method</h3>
A cell belongs to the district that holds its centre, as in <i>Spread over land use</i>. Shares are of the district's
ground in the raster; ground without data is told as such. Codes that the classes do not know are refused.
<h3>Source</h3>
Land-use based carbon emission pattern of Nanjing (2020), doi 10.3389/fevo.2022.990037."""

    LAND_USE = "LAND_USE"
    DISTRICTS = "DISTRICTS"
    NAME_FIELD = "NAME_FIELD"
    CLASSES = "CLASSES"
    CLASS_TABLE = "CLASS_TABLE"
    LINES = "LINES"
    PARTS_TABLE = "PARTS_TABLE"
    OUTPUT = "OUTPUT"
    TABLE = "TABLE"
    REPORT = "REPORT"
    OUTPUTS = {OUTPUT: "output", TABLE: "table", REPORT: "report"}

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterRasterLayer(self.LAND_USE, self.tr("Land use")),
            "Raster whose first band holds the codes of the classes.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.DISTRICTS, self.tr("Districts"), [QgsProcessing.SourceType.TypeVectorPolygon]
            ),
            "Polygons in any CRS. With the fields industry_t, city_t, agriculture_t and rural_t, emissions are told.",
        )
        self.add(
            QgsProcessingParameterField(
                self.NAME_FIELD,
                self.tr("Name of the districts"),
                None,
                self.DISTRICTS,
                Qgis.ProcessingFieldParameterDataType.Any,
                allowMultiple=False,
                optional=True,
            ),
            "Polygons of one name are one district. Empty: districts are numbered.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.CLASSES,
                self.tr("Meaning of the codes"),
                [self.tr(title) for title in SCHEME_TITLES],
                defaultValue=0,
            ),
            "Built-in class tables. A class table of your own takes its place.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(self.CLASS_TABLE, self.tr("Own class table"), _TABLE, optional=True),
            "Table in place of the above: code, part and, if wanted, name and group (charts show a group as one).",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterFeatureSource(self.LINES, self.tr("Lines of the accounting"), _TABLE, optional=True),
            "Activity lines with sector, carrier, status and t_co2e, for the flows of energy to the parts.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.PARTS_TABLE, self.tr("Parts of the sectors"), _TABLE, optional=True
            ),
            "Table with sector and part, for lines whose sectors are not those of the Nanjing scheme.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, self.tr("Land classes by district"), QgsProcessing.SourceType.TypeVector
            ),
            "Table: district, code, class, group, part, area_m2, share_pct.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.TABLE,
                self.tr("Emissions by district and part"),
                QgsProcessing.SourceType.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            "Table in 10⁴ t CO2e; needs districts with emissions.",
        )
        self.add(
            QgsProcessingParameterFileDestination(
                self.REPORT, self.tr("Report"), self.tr("HTML files (*.html)"), optional=True
            ),
            "All tables and charts.",
        )
        for name, description in (
            ("AREA_KM2", "Ground in the districts, km2"),
            ("NO_DATA_KM2", "Of it without data, km2"),
            ("TOTAL_T", "Emissions of the districts, t CO2e"),
            ("DEDUCTED_T", "Power-plant fuel deducted, t CO2e"),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, self.tr(description)))

    def request(self, parameters, context, feedback):
        return {
            "land_use": self.raster(parameters, self.LAND_USE, context),
            "districts": self.layer(parameters, self.DISTRICTS, context, feedback),
            "name_field": self.parameterAsString(parameters, self.NAME_FIELD, context) or None,
            "classes": SCHEMES[self.parameterAsEnum(parameters, self.CLASSES, context)],
            "class_table": self.layer(parameters, self.CLASS_TABLE, context, feedback, required=False),
            "lines": self.layer(parameters, self.LINES, context, feedback, required=False),
            "parts_table": self.layer(parameters, self.PARTS_TABLE, context, feedback, required=False),
        }
