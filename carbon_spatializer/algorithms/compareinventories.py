"""Compare with an inventory: an emission map against ODIAC, EDGAR, FFDAS or any other raster."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm


class CompareInventories(CarbonAlgorithm):
    """Bring an inventory to the units and the grid of an emission map and compare the two."""

    NAME = "compareinventories"
    TITLE = "Compare with an inventory"
    GROUP = "4downscaling"
    TAGS = ("ODIAC", "EDGAR", "FFDAS", "bias", "RMSE", "SSIM", "Lorenz", "Gini", "carbon to CO2", "evaluation")
    HELP = """Compares an emission map with a gridded inventory, whatever units, grid and CRS that has.
<h3>What goes in</h3>
An emission raster in t CO2 per cell and year. An inventory: one raster, the twelve months of a year, or the sectors to
be added; all bands of each file are taken. Cells below zero are refused. If wanted, regions and a land cover.
<h3>What comes out</h3>
The difference, map minus inventory, in t CO2 per km2 and year, on the common grid. A table, for each region and for all
common ground: both totals, bias, RMSE, r (Pearson) and r_log, SSIM, Gini coefficients, the shares of the densest 10 %
of the ground, and with a land cover the shares of built-up land. An HTML report with the maps side by side on one
scale, the whole and close-ups of the strongest places, the cells, and the Lorenz curves.
<h3>Method</h3>
Carbon becomes CO2 by 44/12, values per area are multiplied by the true area of the cells, and months, days or seconds
become a year of 365 days. Each cell gives its total to the cells of the common grid by area. Where the two cover a
cell only in part, densities of the covered ground are compared, in cells that both cover by half at least. SSIM is that
of Wang et al. (2004) on log(1 + x) in windows of 7 x 7 cells.
<h3>Units of published inventories</h3>
ODIAC: t carbon per cell and month<br>
FFDAS: kg carbon per m2 and year<br>
EDGAR flux: kg CO2 per m2 and second<br>
EDGAR emissions: t CO2 per cell and year
<h3>Source</h3>
Comparison with ODIAC and FFDAS in the SVR-ZSSR paper."""

    INPUT = "INPUT"
    INVENTORY = "INVENTORY"
    KIND = "KIND"
    MASS_UNIT = "MASS_UNIT"
    SUBSTANCE = "SUBSTANCE"
    PER = "PER"
    TIME = "TIME"
    SEVERAL = "SEVERAL"
    GRID = "GRID"
    REGIONS = "REGIONS"
    NAME_FIELD = "NAME_FIELD"
    LAND_COVER = "LAND_COVER"
    CLASSES = "CLASSES"
    OUTPUT = "OUTPUT"
    TABLE = "TABLE"
    REPORT = "REPORT"
    OUTPUTS = {OUTPUT: "output", TABLE: "table", REPORT: "report"}

    _KINDS = ("own", "ODIAC", "FFDAS", "EDGAR flux", "EDGAR emissions")
    _SUBSTANCES = ("CO2", "carbon")
    _PER = ("cell", "m2", "ha", "km2")
    _TIMES = ("year", "month", "day", "second")
    _SEVERAL = ("times", "parts")
    _GRIDS = ("coarser", "input", "inventory")

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterRasterLayer(self.INPUT, self.tr("Emission map")),
            "Raster of t CO2 per cell and year; one that says it holds densities is multiplied by its cells' area.",
        )
        self.add(
            QgsProcessingParameterMultipleLayers(
                self.INVENTORY, self.tr("Inventory"), QgsProcessing.SourceType.TypeRaster
            ),
            "One raster, or several on one grid, such as the months of a year.",
        )
        self._add_choice(
            self.KIND,
            "The inventory is",
            ["in the units given below", *self._KINDS[1:]],
            "The units of published inventories are known; for any other give them below.",
        )
        self.add(
            QgsProcessingParameterString(self.MASS_UNIT, self.tr("Unit of mass"), "t"),
            "Of the inventory's values, such as g, kg, t or kt.",
        )
        self._add_choice(self.SUBSTANCE, "Mass of", ["CO2", "carbon (× 44/12)"], "What the inventory weighs.")
        self._add_choice(self.PER, "Values are per", list(self._PER), "A total of the cell, or a density.")
        self._add_choice(self.TIME, "and per", list(self._TIMES), "The time that the inventory's values are for.")
        self._add_choice(
            self.SEVERAL,
            "Several rasters or bands are",
            ["times of one year (mean of the rates)", "parts such as sectors (added)"],
            "Twelve months, each per month, add up to a year.",
            advanced=True,
        )
        self._add_choice(
            self.GRID,
            "Compare on",
            ["the coarser of the two grids", "the emission map's grid", "the inventory's grid"],
            "On a finer grid, what a coarser cell holds is spread evenly.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.REGIONS, self.tr("Regions"), [QgsProcessing.SourceType.TypeVectorPolygon], optional=True
            ),
            "Limits the comparison, and gives figures for each region. A cell is in the region that holds its centre.",
        )
        self.add(
            QgsProcessingParameterField(
                self.NAME_FIELD, self.tr("Names"), parentLayerParameterName=self.REGIONS, optional=True
            ),
            "Names the regions; each name may occur once.",
        )
        self.add(
            QgsProcessingParameterRasterLayer(self.LAND_COVER, self.tr("Land cover"), optional=True),
            "Codes of classes, by default those of IGBP (1 to 17), for the shares of built-up land.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.CLASSES, self.tr("Classes"), [QgsProcessing.SourceType.TypeVector], optional=True
            ),
            "Table with the fields code (number) and class (text, one of them built-up). Empty: classes from IGBP.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, self.tr("Difference")),
            "Map minus inventory, t CO2 per km2 and year.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.TABLE,
                self.tr("Table of figures"),
                QgsProcessing.SourceType.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            "All figures, for each region and for all common ground.",
        )
        self.add(
            QgsProcessingParameterFileDestination(
                self.REPORT, self.tr("Report"), self.tr("HTML files (*.html)"), optional=True
            ),
            "Maps side by side, figures and Lorenz curves.",
        )
        for name, title in (
            ("INPUT_T", "Map, t CO2 on common ground"),
            ("INVENTORY_T", "Inventory, t CO2 on common ground"),
            ("BIAS_PCT", "Bias, %"),
            ("RMSE", "RMSE, t CO2 per km2"),
            ("R", "Pearson's r"),
            ("SSIM", "Structural similarity"),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, self.tr(title)))

    def _add_choice(self, name, title, options, help_text, advanced=False):
        texts = [self.tr(option) for option in options]
        self.add(QgsProcessingParameterEnum(name, self.tr(title), texts, defaultValue=0), help_text, advanced)

    def request(self, parameters, context, feedback):
        def choice(name, values):
            return values[self.parameterAsEnum(parameters, name, context)]

        return {
            "input": self.raster(parameters, self.INPUT, context),
            "inventory": self.rasters(parameters, self.INVENTORY, context),
            "kind": choice(self.KIND, self._KINDS),
            "mass_unit": self.parameterAsString(parameters, self.MASS_UNIT, context),
            "substance": choice(self.SUBSTANCE, self._SUBSTANCES),
            "per": choice(self.PER, self._PER),
            "time": choice(self.TIME, self._TIMES),
            "several": choice(self.SEVERAL, self._SEVERAL),
            "grid": choice(self.GRID, self._GRIDS),
            "regions": self.layer(parameters, self.REGIONS, context, feedback, required=False),
            "name_field": self.parameterAsString(parameters, self.NAME_FIELD, context) or None,
            "land_cover": self.raster(parameters, self.LAND_COVER, context),
            "classes": self.layer(parameters, self.CLASSES, context, feedback, required=False),
        }
