"""Delineate emission land: where industry, city, agriculture and rural living are."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm

_TABLE = [QgsProcessing.SourceType.TypeVector]
PARTS = ("industry", "city", "agriculture", "rural")
# Built-in class tables, and what they are called.
SCHEMES = ("resdc", "worldcover", "igbp")
SCHEME_TITLES = ("CAS/RESDC land use (LUCC)", "ESA WorldCover", "MCD12Q1 (IGBP)")


class DelineateEmissionLand(CarbonAlgorithm):
    """Overlay land-use classes, industrial parks and the surroundings of enterprises by area."""

    NAME = "delineateemissionland"
    TITLE = "Delineate emission land"
    GROUP = "2allocation"
    TAGS = (
        "land use",
        "land cover",
        "industrial land",
        "industrial park",
        "enterprise",
        "buffer",
        "overlay",
        "raster",
        "fraction",
        "Nanjing",
        "LUCC",
        "WorldCover",
        "MCD12Q1",
    )
    HELP = """Finds the ground on which a city emits: the land of industry, city, agriculture and rural living. It is
the step before <i>Spread over land use</i>.
<h3>What goes in</h3>
<ul>
<li>A <b>land-use raster</b> of any cell size, in any CRS, also in degrees. The CAS/RESDC codes are built in (1x arable
land is agriculture, 51 city, 52 rural, 53 industry), and so are ESA WorldCover and MCD12Q1 (IGBP), which know no rural
and no industrial land; any other raster takes a table with the columns <b>code</b> and <b>part</b> (industry, city,
agriculture, rural, none) and, if wanted, <b>name</b> and <b>ground</b> (land, water).</li>
<li><b>Industrial parks</b> (polygons) and <b>enterprises</b> (points), both optional.</li>
<li>A <b>finer raster</b>, optional, such as WorldCover at 10 m: the land-use raster's city cells are divided as it
says; where it has no data they stay city.</li>
</ul>
<h3>What comes out</h3>
<ul>
<li><b>Emission land</b>: a raster of four bands, industry, city, agriculture and rural: the fraction (0 to 1) of the
cell's area. They add up to 1 at most.</li>
<li><b>Class map</b>: the part with the largest fraction: 0 none, 1 industry, 2 city, 3 agriculture, 4 rural.</li>
<li><b>Ledger of areas</b>: what the parks, the surroundings of enterprises and each land-use class drew, lost by
overlap, lost outside the raster or off the land, and contributed, in m2 on the ellipsoid.</li>
<li><b>Overlaps</b>: every overlap in m2 and who kept the ground: park by park, of parks and of the surroundings of
enterprises with each land-use class and with one another; enterprises that lie close together are one row.</li>
</ul>
<h3>Method</h3>
Industry is class 53, the parks, and the ground within 15 m of an enterprise. Parks go first, then the surroundings of
enterprises, then the land-use classes, so that no ground counts twice, a park drawn twice counts once, and the order of
the features does not matter. A circle of 15 m covers up to four cells of 30 m in part: by default each is divided
by the exact area that is covered. <i>Whole cells</i> gives a cell to industry where its centre is covered, as
rasterising does. Distances are metres on the ground in every CRS. Inside a cell that a finer raster divides, parks
and surroundings take from all parts alike.
<h3>Source</h3>
Land found for the four parts in the land-use based carbon emission pattern of Nanjing (base year 2020), where parks and
buffers of 15 m are taken out of all other classes."""

    LAND_USE = "LAND_USE"
    CLASSES = "CLASSES"
    CLASS_TABLE = "CLASS_TABLE"
    PARKS = "PARKS"
    PARK_NAME_FIELD = "PARK_NAME_FIELD"
    ENTERPRISES = "ENTERPRISES"
    BUFFER_M = "BUFFER_M"
    LAND_MASK = "LAND_MASK"
    SPARE_WATER = "SPARE_WATER"
    FINER = "FINER"
    FINER_CLASSES = "FINER_CLASSES"
    FINER_CLASS_TABLE = "FINER_CLASS_TABLE"
    MINIMUM_PATCH_HA = "MINIMUM_PATCH_HA"
    CELLS = "CELLS"
    OUTPUT = "OUTPUT"
    CLASS_MAP = "CLASS_MAP"
    LEDGER = "LEDGER"
    OVERLAPS = "OVERLAPS"
    OUTPUTS = {OUTPUT: "output", CLASS_MAP: "class_map", LEDGER: "ledger", OVERLAPS: "overlaps"}

    _CELLS = ("fractions", "whole")

    def initAlgorithm(self, configuration=None):
        source = QgsProcessing.SourceType
        real = Qgis.ProcessingNumberParameterType.Double
        schemes = [self.tr(title) for title in SCHEME_TITLES]
        self.add(
            QgsProcessingParameterRasterLayer(self.LAND_USE, self.tr("Land use")),
            "Raster of land-use or land-cover codes; its first band is used.",
        )
        self.add(
            QgsProcessingParameterEnum(self.CLASSES, self.tr("Meaning of the codes"), schemes, defaultValue=0),
            "Built-in class tables. A class table of your own takes its place.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.PARKS, self.tr("Industrial parks"), [source.TypeVectorPolygon], optional=True
            ),
            "Polygons in any CRS; all their ground is industry.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.ENTERPRISES, self.tr("Enterprises"), [source.TypeVectorPoint], optional=True
            ),
            "Points in any CRS, such as the industrial points of interest; the ground around them is industry.",
        )
        self.add(
            QgsProcessingParameterNumber(
                self.BUFFER_M, self.tr("Radius around enterprises (metres)"), real, 15.0, minValue=0.001
            ),
            "In metres on the ground, whatever the CRS. The paper uses 15 m.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.CELLS,
                self.tr("Cells are"),
                [self.tr("divided by area"), self.tr("whole: the centre decides")],
                defaultValue=0,
            ),
            "Cells much larger than the surroundings of enterprises must be divided, or these vanish.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(self.CLASS_TABLE, self.tr("Class table"), _TABLE, optional=True),
            "Table with code, part (industry, city, agriculture, rural, none) and, if wanted, name and ground.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterField(
                self.PARK_NAME_FIELD, self.tr("Name of the parks"), None, self.PARKS, optional=True
            ),
            "Names the parks in the table of overlaps. Empty: their row numbers.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.LAND_MASK, self.tr("Land mask"), [source.TypeVectorPolygon], optional=True
            ),
            "Surroundings of enterprises are cut to these polygons, such as the land without rivers and roads.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(self.SPARE_WATER, self.tr("Enterprises take no water"), defaultValue=False),
            "Cells whose class is water stay water, even near enterprises. Parks take them all the same.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterRasterLayer(self.FINER, self.tr("Finer raster for the city"), optional=True),
            "Raster of smaller cells in any CRS; it divides the cells that are city.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterEnum(
                self.FINER_CLASSES, self.tr("Meaning of the finer raster's codes"), schemes, defaultValue=1
            ),
            "Built-in class tables. A class table of your own takes its place.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.FINER_CLASS_TABLE, self.tr("Class table of the finer raster"), _TABLE, optional=True
            ),
            "As the class table.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterNumber(
                self.MINIMUM_PATCH_HA, self.tr("Smallest patch (hectares)"), real, 0.0, minValue=0.0
            ),
            "Smaller patches of one part in the land-use raster take the part of their largest neighbour. 0: all stay.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, self.tr("Emission land")),
            "Fractions of each cell's area: industry, city, agriculture, rural.",
        )
        self.add(
            QgsProcessingParameterRasterDestination(
                self.CLASS_MAP, self.tr("Class map"), optional=True, createByDefault=True
            ),
            "The part with the largest fraction, in colours.",
        )
        for name, title, help_text in (
            (self.LEDGER, "Ledger of areas", "What each source drew, lost and contributed, in m2."),
            (self.OVERLAPS, "Overlaps", "Every overlap in m2, pair by pair, and who kept the ground."),
        ):
            self.add(
                QgsProcessingParameterVectorDestination(
                    name, self.tr(title), source.TypeVector, optional=True, createByDefault=True
                ),
                help_text,
            )
        for part in PARTS:
            self.addOutput(QgsProcessingOutputNumber(f"{part.upper()}_KM2", self.tr(f"Land of {part}, km2")))

    def request(self, parameters, context, feedback):
        def layer(name, required=False):
            return self.layer(parameters, name, context, feedback, required=required)

        return {
            "land_use": self.raster(parameters, self.LAND_USE, context),
            "classes": SCHEMES[self.parameterAsEnum(parameters, self.CLASSES, context)],
            "class_table": layer(self.CLASS_TABLE),
            "parks": layer(self.PARKS),
            "park_name_field": self.parameterAsString(parameters, self.PARK_NAME_FIELD, context) or None,
            "enterprises": layer(self.ENTERPRISES),
            "buffer_m": self.parameterAsDouble(parameters, self.BUFFER_M, context),
            "land_mask": layer(self.LAND_MASK),
            "spare_water": self.parameterAsBoolean(parameters, self.SPARE_WATER, context),
            "finer": self.raster(parameters, self.FINER, context),
            "finer_classes": SCHEMES[self.parameterAsEnum(parameters, self.FINER_CLASSES, context)],
            "finer_class_table": layer(self.FINER_CLASS_TABLE),
            "minimum_patch_ha": self.parameterAsDouble(parameters, self.MINIMUM_PATCH_HA, context),
            "cells": self._CELLS[self.parameterAsEnum(parameters, self.CELLS, context)],
        }
