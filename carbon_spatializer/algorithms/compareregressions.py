"""Compare regressions of regional totals on driver rasters, and save the best one."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm

# The job's kinds of regression and their titles.
KINDS = {
    "svr_linear": "SVR, linear kernel",
    "svr_rbf": "SVR, RBF kernel",
    "bayesian_ridge": "Bayesian ridge",
    "linear": "Linear",
    "elastic_net": "ElasticNet",
    "nonnegative": "Non-negative linear",
    "random_forest": "Random forest",
    "gradient_boosting": "Gradient boosting",
}


class CompareRegressions(CarbonAlgorithm):
    """Learn regional totals from drivers with several regressions."""

    NAME = "compareregressions"
    TITLE = "Compare regressions"
    GROUP = "4downscaling"
    TAGS = ("SVR", "support vector", "regression", "night lights", "population", "GDP", "driver", "Pearson", "forest")
    HELP = """Learns the totals of regions (provinces, boroughs) from driver rasters such as night lights, population
and GDP with several regressions, tests them, and saves the best one for <i>Spatialize to a coarse raster</i>.
<h3>What goes in</h3>
Polygons with a total per region, best 30 or more, and drivers. Give rasters of densities (radiance, people per
km<sup>2</sup>) and rasters of totals per cell (people) apart: brought onto one grid, densities are averaged and totals
summed. Cells on a border count by their exact fraction in each region.
<h3>What comes out</h3>
The model as a JSON file of plain numbers; the regions with true and predicted totals and residuals; a table of all
models; an HTML report with Pearson's r of each driver, scores with bootstrap intervals, scatter plots and the map of
residuals.
<h3>What the models learn</h3>
<b>sum</b>: totals from the regions' sums, as the paper does. Applied to a cell, that is far outside what was learnt:
kernels and trees become constant, linear models are ruled by their intercept.<br>
<b>mean density</b>: emissions per km<sup>2</sup> from mean densities.<br>
<b>log density</b>: the logarithms of both; never negative.<br>
Features and target are standardised, and hyper-parameters are searched by leaving out spatial blocks.
<h3>How the best one is chosen</h3>
By the cells: each model is applied to the cells, and they are summed to regions again. The model whose sums come
closest (R<sup>2</sup> of log densities) is chosen, among those that are neither constant nor negative anywhere to
speak of. A good score on regions alone does not tell a good map from a bad one.
<h3>Tests</h3>
On a second year's totals (with that year's drivers, if given), on regions held out, or, if neither is chosen, by
leaving out one spatial block of regions after the other.
<h3>Source</h3>
SVR-ZSSR downscaling of China's emissions 2010: R<sup>2</sup>, MAE and RMSE are its equations 4 to 6."""

    REGIONS = "REGIONS"
    TOTAL_FIELD = "TOTAL_FIELD"
    DRIVERS = "DRIVERS"
    TOTAL_DRIVERS = "TOTAL_DRIVERS"
    TOTAL_UNIT = "TOTAL_UNIT"
    NAME_FIELD = "NAME_FIELD"
    TEST_FIELD = "TEST_FIELD"
    TEST_DRIVERS = "TEST_DRIVERS"
    TEST_TOTAL_DRIVERS = "TEST_TOTAL_DRIVERS"
    HOLDOUT_FIELD = "HOLDOUT_FIELD"
    FORMS = "FORMS"
    KINDS = "KINDS"
    CHOOSE_BY = "CHOOSE_BY"
    INTERCEPT = "INTERCEPT"
    MISSING = "MISSING"
    GRID = "GRID"
    BLOCKS = "BLOCKS"
    DRAWS = "DRAWS"
    SEED = "SEED"
    MODEL = "MODEL"
    OUTPUT = "OUTPUT"
    TABLE = "TABLE"
    REPORT = "REPORT"
    OUTPUTS = {MODEL: "model", OUTPUT: "output", TABLE: "table", REPORT: "report"}

    _FORMS = ("log density", "mean density", "sum")
    _CHOICES = ("cells", "test")
    _MISSING = ("skip", "zero")

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterFeatureSource(
                self.REGIONS, self.tr("Regions"), [QgsProcessing.SourceType.TypeVectorPolygon]
            ),
            "Polygons with a total each; regions without one are left out.",
        )
        self._add_field(self.TOTAL_FIELD, "Total", "Emissions of each region, 0 or more.", optional=False)
        self._add_rasters(
            self.DRIVERS, "Drivers: densities", "Radiance, people per km², GDP per km²: averaged on the common grid."
        )
        self._add_rasters(
            self.TOTAL_DRIVERS, "Drivers: totals per cell", "People or GDP per cell: summed on the common grid."
        )
        self.add(
            QgsProcessingParameterString(self.TOTAL_UNIT, self.tr("Unit of the totals"), "t"),
            "A unit of mass: t, kt, 10^4 t, Mt.",
        )
        self._add_field(
            self.NAME_FIELD, "Names", "Names the regions in the report.", Qgis.ProcessingFieldParameterDataType.Any
        )
        self._add_field(self.TEST_FIELD, "Totals of a test year", "Totals of another year to test on, same unit.")
        self._add_rasters(
            self.TEST_DRIVERS,
            "Test year's drivers: densities",
            "As many as above and in the same order (or of the same names); none takes the same.",
            advanced=True,
        )
        self._add_rasters(
            self.TEST_TOTAL_DRIVERS,
            "Test year's drivers: totals per cell",
            "As many as above and in the same order (or of the same names); none takes the same.",
            advanced=True,
        )
        self._add_field(
            self.HOLDOUT_FIELD, "Held out", "Not zero where a region is only to be tested on.", advanced=True
        )
        self.add(
            QgsProcessingParameterEnum(
                self.FORMS, self.tr("What the models learn"), self._FORMS, allowMultiple=True, defaultValue=[0, 1]
            ),
            "All chosen ones are compared. Sums are the paper's way and rarely give a map.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.KINDS,
                self.tr("Models"),
                [self.tr(title) for title in KINDS.values()],
                allowMultiple=True,
                defaultValue=list(range(len(KINDS))),
            ),
            "Choose a single one to have it saved whatever its score.",
            advanced=True,
        )
        self._add_enum(
            self.CHOOSE_BY,
            "Choose the best by",
            ["the cells (for a map)", "the smallest RMSE of the test (as the paper)"],
            "Both are in the report.",
        )
        self.add(
            QgsProcessingParameterBoolean(self.INTERCEPT, self.tr("Linear models have an intercept"), True),
            "Without it, models of sums add up from cells to regions (SVR keeps its intercept).",
            advanced=True,
        )
        self._add_enum(
            self.MISSING,
            "Cells without data in a driver",
            ["are left out", "count as zero"],
            "Population rasters often leave empty cells without data: there they are zero.",
        )
        self.add(
            QgsProcessingParameterRasterLayer(self.GRID, self.tr("Common grid"), optional=True),
            "A raster whose grid is taken; none takes that of the driver with the largest cells.",
            advanced=True,
        )
        self._add_integer(
            self.BLOCKS, "Spatial blocks", 5, "Of regions that lie together, for the cross-validation.", 2
        )
        self._add_integer(self.DRAWS, "Bootstrap samples", 1000, "More make the intervals steadier.", 1)
        self._add_integer(self.SEED, "Seed", 0, "The same seed gives the same result.", 0)
        self.add(
            QgsProcessingParameterFileDestination(self.MODEL, self.tr("Model"), self.tr("JSON files (*.json)")),
            "The best model, for Spatialize to a coarse raster.",
        )
        vector = QgsProcessing.SourceType
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, self.tr("Residuals"), vector.TypeVectorPolygon, optional=True, createByDefault=True
            ),
            "The regions with drivers, true and predicted totals and residuals.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.TABLE, self.tr("Table of models"), vector.TypeVector, optional=True, createByDefault=False
            ),
            "All compared models with their scores and settings.",
        )
        self.add(
            QgsProcessingParameterFileDestination(
                self.REPORT, self.tr("Report"), self.tr("HTML files (*.html)"), optional=True
            ),
            "Tables, scatter plots and the map of residuals.",
        )
        for name, title in (
            ("REGIONS_COUNT", "Regions learnt from"),
            ("R2", "R2 of the test"),
            ("MAE", "MAE of the test, t"),
            ("RMSE", "RMSE of the test, t"),
            ("CELLS_R2", "R2 of the regions from their cells"),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, self.tr(title)))

    def _add_field(
        self,
        name,
        title,
        help_text,
        kind=Qgis.ProcessingFieldParameterDataType.Numeric,
        optional=True,
        advanced=False,
    ):
        self.add(
            QgsProcessingParameterField(
                name, self.tr(title), None, self.REGIONS, kind, allowMultiple=False, optional=optional
            ),
            help_text,
            advanced,
        )

    def _add_rasters(self, name, title, help_text, advanced=False):
        self.add(
            QgsProcessingParameterMultipleLayers(
                name, self.tr(title), QgsProcessing.SourceType.TypeRaster, optional=True
            ),
            help_text,
            advanced,
        )

    def _add_enum(self, name, title, options, help_text):
        options = [self.tr(option) for option in options]
        self.add(QgsProcessingParameterEnum(name, self.tr(title), options, defaultValue=0), help_text, advanced=True)

    def _add_integer(self, name, title, default, help_text, least):
        kind = Qgis.ProcessingNumberParameterType.Integer
        parameter = QgsProcessingParameterNumber(name, self.tr(title), kind, default, minValue=least)
        self.add(parameter, help_text, advanced=True)

    def request(self, parameters, context, feedback):
        def text(name):
            return self.parameterAsString(parameters, name, context) or None

        def enums(name, values):
            return [values[index] for index in self.parameterAsEnums(parameters, name, context)]

        def enum(name, values):
            return values[self.parameterAsEnum(parameters, name, context)]

        return {
            "regions": self.layer(parameters, self.REGIONS, context, feedback),
            "total_field": text(self.TOTAL_FIELD),
            "drivers": self.rasters(parameters, self.DRIVERS, context),
            "total_drivers": self.rasters(parameters, self.TOTAL_DRIVERS, context),
            "total_unit": text(self.TOTAL_UNIT),
            "name_field": text(self.NAME_FIELD),
            "test_field": text(self.TEST_FIELD),
            "test_drivers": self.rasters(parameters, self.TEST_DRIVERS, context),
            "test_total_drivers": self.rasters(parameters, self.TEST_TOTAL_DRIVERS, context),
            "holdout_field": text(self.HOLDOUT_FIELD),
            "forms": enums(self.FORMS, self._FORMS),
            "kinds": enums(self.KINDS, list(KINDS)),
            "choose_by": enum(self.CHOOSE_BY, self._CHOICES),
            "intercept": self.parameterAsBool(parameters, self.INTERCEPT, context),
            "missing": enum(self.MISSING, self._MISSING),
            "grid": self.raster(parameters, self.GRID, context),
            "blocks": self.parameterAsInt(parameters, self.BLOCKS, context),
            "draws": self.parameterAsInt(parameters, self.DRAWS, context),
            "seed": self.parameterAsInt(parameters, self.SEED, context),
        }
