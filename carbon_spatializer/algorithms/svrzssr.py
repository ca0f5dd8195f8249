"""SVR-ZSSR: regional totals and driver rasters to a fine emission raster, in one step."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm
from .compareregressions import KINDS


class SvrZssr(CarbonAlgorithm):
    """Learn totals from drivers, map them, make the map finer and correct it to the totals."""

    NAME = "svrzssr"
    TITLE = "SVR-ZSSR, the whole chain"
    GROUP = "4downscaling"
    TAGS = ("SVR-ZSSR", "downscaling", "super-resolution", "regression", "night lights", "province", "fine grid")
    HELP = """From emissions by region (provinces, boroughs) to a fine raster that adds up to them, in one step.
<h3>What goes in</h3>
Polygons with a total each, best 30 or more, and driver rasters: densities (night lights, people per km<sup>2</sup>) and
totals per cell (people) apart. They may differ in CRS, extent and resolution.
<h3>What comes out</h3>
A raster in t CO2e per cell, twice as fine as the coarsest driver by default; <b>the cells of every region add up to its
total exactly</b>. On demand the coarse raster, a table of the regions, the regression, and two HTML reports.
<h3>Method</h3>
1. Several regressions learn the totals from the drivers; the one whose cells add up best is taken (<i>Compare
regressions</i>). 2. It is applied to the cells of a common coarse grid (<i>Spatialize to a coarse raster</i>). 3. A
network trained on that raster alone makes it finer (<i>Super-resolve raster</i>). 4. Each region's cells are scaled to
its total (<i>Correct to totals</i>, equation 3). Each step is a tool of its own with more settings.
<h3>What to trust</h3>
The log gives the scores of the regressions on regions that they did not see, the share of cells outside the range that
was learnt from, and what super-resolution gains over interpolation where the truth is known, one level coarser; it says
so plainly when that is nothing.
<h3>Source</h3>
SVR-ZSSR downscaling of provincial carbon emissions, China 2010 (Scientific Reports 2023)."""

    REGIONS = "REGIONS"
    TOTAL_FIELD = "TOTAL_FIELD"
    TOTAL_UNIT = "TOTAL_UNIT"
    NAME_FIELD = "NAME_FIELD"
    DRIVERS = "DRIVERS"
    TOTAL_DRIVERS = "TOTAL_DRIVERS"
    FACTOR = "FACTOR"
    TEST_FIELD = "TEST_FIELD"
    TEST_DRIVERS = "TEST_DRIVERS"
    TEST_TOTAL_DRIVERS = "TEST_TOTAL_DRIVERS"
    FORMS = "FORMS"
    KINDS = "KINDS"
    CHOOSE_BY = "CHOOSE_BY"
    MISSING = "MISSING"
    GRID = "GRID"
    METHOD = "METHOD"
    BORDERS = "BORDERS"
    WITHOUT_TOTAL = "WITHOUT_TOTAL"
    ZERO_WEIGHTS = "ZERO_WEIGHTS"
    SEED = "SEED"
    DEVICE = "DEVICE"
    SCHEDULER = "SCHEDULER"
    OUTPUT = "OUTPUT"
    COARSE = "COARSE"
    MODEL = "MODEL"
    TABLE = "TABLE"
    REGRESSION_REPORT = "REGRESSION_REPORT"
    RESOLUTION_REPORT = "RESOLUTION_REPORT"
    OUTPUTS = {
        OUTPUT: "output",
        COARSE: "coarse",
        MODEL: "model",
        TABLE: "table",
        REGRESSION_REPORT: "regression_report",
        RESOLUTION_REPORT: "resolution_report",
    }

    # Parameter -> title, value and label of each choice, help; the first is the default.
    _CHOICES = {
        FACTOR: ("Times finer", {2: "2", 4: "4", 8: "8"}, "How many times finer than the coarse grid the result is."),
        CHOOSE_BY: (
            "Choose the regression by",
            {"cells": "the cells (for a map)", "test": "the smallest RMSE of the test (as the paper)"},
            "The cells: how well they add up to the regions again.",
        ),
        MISSING: (
            "Cells without data in a driver",
            {"skip": "are left out", "zero": "count as zero"},
            "Population rasters often leave empty cells without data: there they are zero.",
        ),
        METHOD: (
            "Method of super-resolution",
            {"fast": "fast (shares of each cell)", "paper": "paper (published network)"},
            "The fast method is the better choice; the published one is there to compare with the paper.",
        ),
        BORDERS: (
            "Cells on a border",
            {"centre": "belong to the region of their centre", "parts": "are shared by their parts"},
            "Choose parts where regions are small compared with the cells.",
        ),
        WITHOUT_TOTAL: (
            "Regions without a total",
            {
                "empty": "have no data",
                "mean": "get the mean factor of the others",
                "keep": "keep the map's values",
                "refuse": "are refused",
            },
            "What becomes of regions whose total is blank.",
        ),
        ZERO_WEIGHTS: (
            "Regions whose cells are all zero",
            {"even": "get their total evenly", "leave": "leave their total unallocated", "refuse": "are refused"},
            "What becomes of a total that no cell has a weight for.",
        ),
        DEVICE: (
            "Device",
            {"auto": "automatic", "cpu": "cpu", "cuda": "cuda"},
            "Automatic takes an NVIDIA GPU where torch finds one.",
        ),
    }
    _FORMS = ("log density", "mean density", "sum")

    def initAlgorithm(self, configuration=None):
        numeric = Qgis.ProcessingFieldParameterDataType.Numeric
        kinds = QgsProcessing.SourceType
        self.add(
            QgsProcessingParameterFeatureSource(self.REGIONS, self.tr("Regions"), [kinds.TypeVectorPolygon]),
            "Polygons with a total each.",
        )
        self._add_field(self.TOTAL_FIELD, "Total", "Emissions of each region, 0 or more.", numeric, optional=False)
        self.add(
            QgsProcessingParameterString(self.TOTAL_UNIT, self.tr("Unit of the totals"), "t"),
            "A unit of mass: t, kt, 10^4 t, Mt.",
        )
        self._add_field(
            self.NAME_FIELD, "Names", "Names the regions in reports.", Qgis.ProcessingFieldParameterDataType.Any
        )
        self._add_rasters(
            self.DRIVERS, "Drivers: densities", "Radiance, people per km², GDP per km²: averaged on the common grid."
        )
        self._add_rasters(
            self.TOTAL_DRIVERS, "Drivers: totals per cell", "People or GDP per cell: summed on the common grid."
        )
        self._add_choice(self.FACTOR)
        self._add_field(
            self.TEST_FIELD,
            "Totals of a test year",
            "To test the regressions on another year; else spatial blocks of regions are left out.",
            numeric,
            advanced=True,
        )
        for name, title in (
            (self.TEST_DRIVERS, "Test year's drivers: densities"),
            (self.TEST_TOTAL_DRIVERS, "Test year's drivers: totals per cell"),
        ):
            self._add_rasters(name, title, "As many as above, in the same order; none takes the same.", advanced=True)
        self._add_several(
            self.FORMS, "What the regressions learn", self._FORMS, [0, 1], "All chosen ones are compared."
        )
        labels = list(KINDS.values())
        self._add_several(self.KINDS, "Regressions", labels, list(range(len(labels))), "All chosen are compared.")
        for name in list(self._CHOICES)[1:]:
            self._add_choice(name, advanced=True)
        self.add(
            QgsProcessingParameterRasterLayer(self.GRID, self.tr("Coarse grid"), optional=True),
            "A raster whose grid is taken; none takes that of the driver with the largest cells.",
            advanced=True,
        )
        integer = Qgis.ProcessingNumberParameterType.Integer
        self.add(
            QgsProcessingParameterNumber(self.SEED, self.tr("Seed"), integer, 0, minValue=0),
            "The same seed gives the same result on the same machine.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterString(self.SCHEDULER, self.tr("Dask scheduler"), optional=True),
            "Address of a Dask scheduler whose workers super-resolve the tiles. Empty: the processors of this machine.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, self.tr("Fine emissions")),
            "t CO2e per cell; every region's cells add up to its total.",
        )
        self.add(
            QgsProcessingParameterRasterDestination(
                self.COARSE, self.tr("Coarse emissions"), optional=True, createByDefault=True
            ),
            "The raster before super-resolution, corrected to the totals too, to compare with.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.TABLE, self.tr("Table of regions"), kinds.TypeVector, optional=True, createByDefault=False
            ),
            "Total, weight, rule and relative error of each region.",
        )
        for name, title, pattern, help_text in (
            (self.MODEL, "Regression", "JSON files (*.json)", "The chosen regression, for Spatialize."),
            (self.REGRESSION_REPORT, "Regression report", "HTML files (*.html)", "Scores, scatter plots, residuals."),
            (self.RESOLUTION_REPORT, "Super-resolution report", "HTML files (*.html)", "The held-out test and a map."),
        ):
            self.add(
                QgsProcessingParameterFileDestination(
                    name, self.tr(title), self.tr(pattern), optional=True, createByDefault=False
                ),
                help_text,
            )
        for name, title in (
            ("R2", "R2 of the regression's test"),
            ("CELLS_R2", "R2 of the regions from their cells"),
            ("RMSE_SAVED_PCT_OVER_BICUBIC", "RMSE saved over bicubic, %"),
            ("RMSE_SAVED_PCT_OVER_AREA", "RMSE saved over area weighting, %"),
            ("TOTAL_T", "Sum of the totals, t"),
            ("UNALLOCATED_T", "Unallocated, t"),
            ("RELATIVE_ERROR", "Largest relative error of a region"),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, self.tr(title)))

    def _add_field(self, name, title, help_text, kind, optional=True, advanced=False):
        parameter = QgsProcessingParameterField(name, self.tr(title), None, self.REGIONS, kind, optional=optional)
        self.add(parameter, help_text, advanced)

    def _add_rasters(self, name, title, help_text, advanced=False):
        raster = QgsProcessing.SourceType.TypeRaster
        self.add(QgsProcessingParameterMultipleLayers(name, self.tr(title), raster, optional=True), help_text, advanced)

    def _add_choice(self, name, advanced=False):
        title, choices, help_text = self._CHOICES[name]
        labels = [self.tr(label) for label in choices.values()]
        self.add(QgsProcessingParameterEnum(name, self.tr(title), labels, defaultValue=0), help_text, advanced)

    def _add_several(self, name, title, labels, default, help_text):
        labels = [self.tr(label) for label in labels]
        parameter = QgsProcessingParameterEnum(name, self.tr(title), labels, allowMultiple=True, defaultValue=default)
        self.add(parameter, help_text, advanced=True)

    def request(self, parameters, context, feedback):
        def text(name):
            return self.parameterAsString(parameters, name, context) or None

        def several(name, values):
            return [values[index] for index in self.parameterAsEnums(parameters, name, context)]

        chosen = {
            name.lower(): list(choices)[self.parameterAsEnum(parameters, name, context)]
            for name, (_, choices, _) in self._CHOICES.items()
        }
        return chosen | {
            "regions": self.layer(parameters, self.REGIONS, context, feedback),
            "total_field": text(self.TOTAL_FIELD),
            "total_unit": text(self.TOTAL_UNIT),
            "name_field": text(self.NAME_FIELD),
            "drivers": self.rasters(parameters, self.DRIVERS, context),
            "total_drivers": self.rasters(parameters, self.TOTAL_DRIVERS, context),
            "test_field": text(self.TEST_FIELD),
            "test_drivers": self.rasters(parameters, self.TEST_DRIVERS, context),
            "test_total_drivers": self.rasters(parameters, self.TEST_TOTAL_DRIVERS, context),
            "forms": several(self.FORMS, self._FORMS),
            "kinds": several(self.KINDS, list(KINDS)),
            "grid": self.raster(parameters, self.GRID, context),
            "seed": self.parameterAsInt(parameters, self.SEED, context),
            "scheduler": text(self.SCHEDULER),
        }
