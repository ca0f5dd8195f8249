"""Share by land cover: how much of the emissions lies on each class of land, per region and for several maps."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm


class ShareByLandCover(CarbonAlgorithm):
    """Sum emissions over classes of land cover."""

    NAME = "sharebylandcover"
    TITLE = "Share by land cover"
    GROUP = "4downscaling"
    TAGS = ("IGBP", "MODIS", "MCD12Q1", "built-up", "land use", "zonal", "ODIAC", "evaluation", "SVR-ZSSR")
    HELP = """Sums emissions over classes of land cover and compares the shares between maps.
<h3>What goes in</h3>
One or more emission rasters, such as a coarse map, the super-resolved one and an inventory, all in any one unit. A
raster of land-cover codes: the 17 IGBP classes of MODIS, which become seven (forest, shrubland, grassland, water,
cropland, built-up, bare land), or any others with a table of their classes. And, if wanted, regions.
<h3>What comes out</h3>
A table with a row for each region, map and class: <b>emission_t</b>; <b>share_pct</b>, the share of the region's
emissions <b>of_t</b> in that map; and the change against the first map, both as <b>change_points</b> (percentage
points) and <b>change_pct</b> (relative): from 36.60 to 44.88 % is 8.28 points and 22.6 %. Land whose code has no class
counts as <i>unclassified</i>; what lies outside is reported. An HTML report adds charts.
<h3>Method</h3>
The emissions of a cell are divided by area over the cells of the land cover in it, whatever grid or CRS the two have;
nothing is lost. Densities are multiplied by the area of their cells. A cell of land cover is in the region that holds
its centre. A larger share on built-up land shows that a map is more concentrated, not that it is truer.
<h3>Source</h3>
Evaluation by land cover of the SVR-ZSSR paper; classes of IGBP as in the MODIS product MCD12Q1. The paper doesn't tell
how it makes seven classes of 17: the table is data/seven_classes_igbp.csv, and yours replaces it."""

    EMISSIONS = "EMISSIONS"
    LAND_COVER = "LAND_COVER"
    REGIONS = "REGIONS"
    NAME_FIELD = "NAME_FIELD"
    CLASSES = "CLASSES"
    CHOSEN_CLASS = "CHOSEN_CLASS"
    OUTPUT = "OUTPUT"
    REPORT = "REPORT"
    OUTPUTS = {OUTPUT: "output", REPORT: "report"}

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterMultipleLayers(
                self.EMISSIONS, self.tr("Emission rasters"), QgsProcessing.SourceType.TypeRaster
            ),
            "The first is what the others are compared with.",
        )
        self.add(
            QgsProcessingParameterRasterLayer(self.LAND_COVER, self.tr("Land cover")),
            "Codes of classes, by default those of IGBP (1 to 17).",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.REGIONS, self.tr("Regions"), [QgsProcessing.SourceType.TypeVectorPolygon], optional=True
            ),
            "Provinces or other polygons. Empty: all land is one.",
        )
        self.add(
            QgsProcessingParameterField(
                self.NAME_FIELD, self.tr("Names"), parentLayerParameterName=self.REGIONS, optional=True
            ),
            "Names the regions; each name may occur once.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.CLASSES, self.tr("Classes"), [QgsProcessing.SourceType.TypeVector], optional=True
            ),
            "Table with the fields code (number) and class (text). Empty: seven classes from IGBP.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterString(self.CHOSEN_CLASS, self.tr("Class to compare"), "built-up"),
            "The summary and the report compare this class across maps and regions.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, self.tr("Shares"), QgsProcessing.SourceType.TypeVector
            ),
            "Table of the shares.",
        )
        self.add(
            QgsProcessingParameterFileDestination(
                self.REPORT, self.tr("Report"), self.tr("HTML files (*.html)"), optional=True
            ),
            "Charts and tables.",
        )
        self.addOutput(QgsProcessingOutputNumber("REGIONS_COUNT", self.tr("Number of regions")))
        self.addOutput(QgsProcessingOutputNumber("FIRST_SHARE_PCT", self.tr("Share of the class in the first map, %")))
        self.addOutput(QgsProcessingOutputNumber("SHARE_PCT", self.tr("Share of the class in the last map, %")))

    def request(self, parameters, context, feedback):
        return {
            "emissions": self.rasters(parameters, self.EMISSIONS, context),
            "land_cover": self.raster(parameters, self.LAND_COVER, context),
            "regions": self.layer(parameters, self.REGIONS, context, feedback, required=False),
            "name_field": self.parameterAsString(parameters, self.NAME_FIELD, context) or None,
            "classes": self.layer(parameters, self.CLASSES, context, feedback, required=False),
            "chosen_class": self.parameterAsString(parameters, self.CHOSEN_CLASS, context),
        }
