"""Spread over land use: totals of districts, part by part, on the cells of each part's land."""

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
from .delineateemissionland import PARTS

_TABLE = [QgsProcessing.SourceType.TypeVector]


class SpreadOverLandUse(CarbonAlgorithm):
    """Spread each part's tonnes over its land, district by district."""

    NAME = "spreadoverlanduse"
    TITLE = "Spread over land use"
    GROUP = "2allocation"
    TAGS = ("Nanjing", "raster", "land cover", "downscaling", "dasymetric", "district", "industry", "intensity", "LUCC")
    HELP = """Spreads the emissions of each district and part (industry, city, agriculture, rural) over the cells of
that part's land in the district.
<h3>What goes in</h3>
Emission land from <i>Delineate emission land</i>: a raster with a band per part that holds the share of each cell's
area, or one band of classes (1 industry, 2 city, 3 agriculture, 4 rural). Districts as polygons in any CRS. Totals in t
CO2e per year, in one of two forms: a row per region and sector, as <i>Account sectors</i> makes them with its Nanjing
scheme (industry; urban, which is city; agriculture; rural living), or a row per region and a column per part. Totals
that name no region are those of all districts together. Weights such as population or night lights, if wanted.
<h3>What comes out</h3>
Rasters of the sum and of each part, as t per cell and as t per ha of the whole cell, on the grid of the emission land:
0 where a district emits nothing, no data outside. The districts with what their cells hold (<b>industry_t</b> ...,
<b>gross_t</b>, <b>fallback_t</b>, <b>industry_ha</b> ..., <b>area_m2</b>, <b>intensity_t_ha</b>), and a ledger
of every district and part.
<h3>Method</h3>
e(cell) = CE / A · a: the part's tonnes in the district, over the area of its land there, times the cell's share of that
land. Areas are those of the ellipsoid, so that grids in degrees or Web Mercator give true t per ha. A cell belongs to
the district that holds its centre. With a weight the share follows weight × area. Where a district has emissions but no
such land, they go to the emission land of the other parts, or else to the whole district; the log and the ledger tell.
The tool fails rather than lose more than 1e-9 of any district and part.
<h3>Source</h3>
Spatialisation of the land-use based carbon emission pattern of Nanjing (2020), doi 10.3389/fevo.2022.990037. The
published table counts 11 districts (10⁴ t): districts without totals get no data, and printed totals that do not add up
are told."""

    LAND = "LAND"
    DISTRICTS = "DISTRICTS"
    TOTALS = "TOTALS"
    REGION_FIELD = "REGION_FIELD"
    TOTALS_REGION_FIELD = "TOTALS_REGION_FIELD"
    TOTALS_FIELD = "TOTALS_FIELD"
    TOTALS_UNIT = "TOTALS_UNIT"
    PARTS_TABLE = "PARTS_TABLE"
    NAME_FIELD = "NAME_FIELD"
    SHARE_FIELD = "SHARE_FIELD"
    WEIGHT = "WEIGHT"
    WEIGHT_QUANTITY = "WEIGHT_QUANTITY"
    WEIGHTED_PARTS = "WEIGHTED_PARTS"
    FALLBACKS = "FALLBACKS"
    OUTPUT = "OUTPUT"
    INTENSITY = "INTENSITY"
    DISTRICTS_OUTPUT = "DISTRICTS_OUTPUT"
    LEDGER = "LEDGER"
    OUTPUTS = {
        "OUTPUT": "output",
        "INTENSITY": "intensity",
        "INDUSTRY": "industry",
        "CITY": "city",
        "AGRICULTURE": "agriculture",
        "RURAL": "rural",
        "INDUSTRY_INTENSITY": "industry_intensity",
        "CITY_INTENSITY": "city_intensity",
        "AGRICULTURE_INTENSITY": "agriculture_intensity",
        "RURAL_INTENSITY": "rural_intensity",
        "DISTRICTS_OUTPUT": "districts_output",
        "LEDGER": "ledger",
    }

    _UNITS = ("t", "kt", "10^4 t", "Mt")
    _QUANTITIES = ("density", "total")
    _FALLBACKS = ("emission land of the district", "whole district")

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterRasterLayer(self.LAND, self.tr("Emission land")),
            "A band of area shares per part, told by the bands' descriptions, or one band of classes 0 to 4.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.DISTRICTS, self.tr("Districts"), [QgsProcessing.SourceType.TypeVectorPolygon]
            ),
            "Polygons in any CRS; several may make up one region of the totals.",
        )
        self._add_field(
            self.REGION_FIELD,
            "Region of the districts",
            self.DISTRICTS,
            "Field that holds the regions' names as the totals write them. Needed when the totals name regions, unless "
            "the field is named as in the totals.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(self.TOTALS, self.tr("Totals"), _TABLE),
            "Table with region, sector and amount, or with a column per part. A column 'total' is checked.",
        )
        self._add_text(
            self.TOTALS_REGION_FIELD, "Region field of the totals", "region", "Field with the region's name."
        )
        self._add_text(
            self.TOTALS_FIELD,
            "Amount field of the totals",
            "gross_t",
            "Emissions by sector; not used where the totals have a column per part.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.TOTALS_UNIT, self.tr("Unit of the totals"), list(self._UNITS), defaultValue=0
            ),
            "Mass of CO2e that the amounts are given in.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.PARTS_TABLE, self.tr("Parts of the sectors"), _TABLE, optional=True
            ),
            "Table with sector and part (industry, city, agriculture, rural), for sectors that are not the Nanjing "
            "scheme's.",
            advanced=True,
        )
        self._add_field(
            self.NAME_FIELD,
            "Name of the districts",
            self.DISTRICTS,
            "Names districts in messages and the ledger where several share a region.",
            advanced=True,
        )
        self._add_field(
            self.SHARE_FIELD,
            "Divide a region's total over its districts by",
            self.DISTRICTS,
            "Population, GDP or another number. Empty: the total spreads over the region's land as a whole.",
            advanced=True,
            kind=Qgis.ProcessingFieldParameterDataType.Numeric,
        )
        self.add(
            QgsProcessingParameterRasterLayer(self.WEIGHT, self.tr("Weight"), optional=True),
            "Raster by which parts spread inside their land, in any CRS. Empty: evenly. Where it is zero on all "
            "land of a part, that part spreads evenly.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.WEIGHT_QUANTITY,
                self.tr("The weight is given"),
                [self.tr("per area, such as night lights"), self.tr("per cell, such as persons")],
                defaultValue=0,
            ),
            "Tells how it is brought onto the grid of the emission land: as an average or as a sum.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterEnum(
                self.WEIGHTED_PARTS,
                self.tr("Parts that spread by the weight"),
                [self.tr(part) for part in PARTS],
                allowMultiple=True,
                defaultValue=[0, 1, 3],
            ),
            "Population suits city and rural; night lights suit industry too.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterEnum(
                self.FALLBACKS,
                self.tr("Emissions without land of their own go to"),
                [self.tr("the emission land of the district"), self.tr("the whole district")],
                allowMultiple=True,
                defaultValue=[0, 1],
                optional=True,
            ),
            "The first that there is. Without any, they stay unallocated and the ledger says so.",
            advanced=True,
        )
        self._add_raster("OUTPUT", "Emissions", "All parts, t CO2e per cell and year.", required=True)
        self._add_raster(
            "INTENSITY", "Emission intensity", "All parts, t CO2e per ha of the cell and year.", shown=True
        )
        for part in PARTS:
            self._add_raster(part.upper(), f"Emissions: {part}", "t CO2e per cell and year.")
        for part in PARTS:
            self._add_raster(
                f"{part.upper()}_INTENSITY", f"Emission intensity: {part}", "t CO2e per ha of the cell and year."
            )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.DISTRICTS_OUTPUT,
                self.tr("Districts with emissions"),
                QgsProcessing.SourceType.TypeVectorPolygon,
                optional=True,
                createByDefault=False,
            ),
            "The districts with the tonnes and hectares of each part that their cells hold.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.LEDGER,
                self.tr("Ledger"),
                QgsProcessing.SourceType.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            "Table: what came in and went where, by region and part.",
        )
        for name, description in (
            ("TOTAL_T", "Emissions that came in, t CO2e"),
            ("ALLOCATED_T", "Emissions in the cells, t CO2e"),
            ("FALLBACK_T", "Emissions without land of their own, t CO2e"),
            ("UNALLOCATED_T", "Emissions left over, t CO2e"),
            ("RELATIVE_ERROR", "Largest relative error of the balance"),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, self.tr(description)))

    def _add_field(
        self, name, title, parent, help_text, advanced=False, kind=Qgis.ProcessingFieldParameterDataType.Any
    ):
        self.add(
            QgsProcessingParameterField(name, self.tr(title), None, parent, kind, allowMultiple=False, optional=True),
            help_text,
            advanced,
        )

    def _add_text(self, name, title, default, help_text):
        self.add(QgsProcessingParameterString(name, self.tr(title), default), help_text, advanced=True)

    def _add_raster(self, name, title, help_text, required=False, shown=False):
        self.add(
            QgsProcessingParameterRasterDestination(
                name, self.tr(title), optional=not required, createByDefault=required or shown
            ),
            help_text,
        )

    def request(self, parameters, context, feedback):
        def text(name):
            return self.parameterAsString(parameters, name, context) or None

        def choice(name, values):
            return values[self.parameterAsEnum(parameters, name, context)]

        def choices(name, values):
            return [values[number] for number in self.parameterAsEnums(parameters, name, context)]

        return {
            "land": self.raster(parameters, self.LAND, context),
            "districts": self.layer(parameters, self.DISTRICTS, context, feedback),
            "totals": self.layer(parameters, self.TOTALS, context, feedback),
            "region_field": text(self.REGION_FIELD),
            "name_field": text(self.NAME_FIELD),
            "share_field": text(self.SHARE_FIELD),
            "totals_region_field": text(self.TOTALS_REGION_FIELD) or "region",
            "totals_field": text(self.TOTALS_FIELD) or "gross_t",
            "totals_unit": choice(self.TOTALS_UNIT, self._UNITS),
            "parts_table": self.layer(parameters, self.PARTS_TABLE, context, feedback, required=False),
            "weight": self.raster(parameters, self.WEIGHT, context),
            "weight_quantity": choice(self.WEIGHT_QUANTITY, self._QUANTITIES),
            "weighted_parts": choices(self.WEIGHTED_PARTS, PARTS),
            "fallbacks": choices(self.FALLBACKS, self._FALLBACKS),
        }
