"""Allocate to parcels: sector totals on land parcels, by a rules table, with a ledger."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm


class AllocateToParcels(CarbonAlgorithm):
    """Allocate sector totals to land parcels."""

    NAME = "allocatetoparcels"
    TITLE = "Allocate to parcels"
    GROUP = "2allocation"
    TAGS = (
        "allocation",
        "disaggregation",
        "downscaling",
        "dasymetric",
        "proxy",
        "weights",
        "parcels",
        "POI",
        "land use",
    )
    HELP = """Spreads the emissions of a city or its regions over land parcels. No tonne is lost: a ledger shows it.
<h3>What goes in</h3>
<b>Parcels</b> with a land type, and the <b>totals</b>: a table with <i>sector</i> and an amount, and optionally
<i>subsector</i>, <i>land_type</i> and <i>region</i>, such as the result of <i>Account sectors</i>. Sinks are negative.
A total without a region is spread over the whole city. Points of interest, lines and a population raster are optional:
a rule whose layer is missing falls back along the cascade, and the log says so.
<h3>What comes out</h3>
The parcels with their own fields and, in t CO2e per year, <b>&lt;sector&gt;_t</b>, <b>gross_t</b> (all emissions),
<b>sink_t</b> (positive) and <b>net_t</b>; <b>area_m2</b> (true area, in any CRS); <b>intensity_t_ha</b> (gross per
hectare); <b>rule</b>, what weighed each subsector; and <b>fallback_t</b>, the tonnes that arrived by fallback.
The <b>ledger</b> lists in, allocated, by fallback, unallocated and the relative error for each region, sector,
subsector and land type. The tool fails rather than lose more than 1e-9 of any of them.
<h3>Method</h3>
A parcel <i>i</i> of the rule's land types receives <i>C&#7522; = C &#183; w&#7522; / &#931;w</i> within its region. The
weight <i>w</i> is the rule's <b>proxy</b>:
<ul>
<li><b>poi_count</b>: points of the categories inside the parcel. A point on a shared edge, or where parcels overlap,
counts once, for the smallest parcel.</li>
<li><b>poi_weight</b>: the sum of a numeric field of those points: employees, floor area, or the probability of the
class (expected-value allocation).</li>
<li><b>field</b>: a numeric field of the parcels; missing values weigh zero.</li>
<li><b>raster</b>: the sum of the population raster, an edge cell by its exact fraction inside; nodata is zero.</li>
<li><b>length</b>: metres of lines of the types inside the parcel, corrected by the facilities on it:
<i>L* = L (1 + &#946; n / mean n)</i>, the mean over the rule's parcels of the region.</li>
<li><b>area</b>: true area.</li>
</ul>
All rules that a total calls for share one pool of weights, unless the rules give each a <i>share</i>; proxies of
different units share no pool. Where the weights sum to zero, the proxies of the cascade are tried, then the area of the
rule's land types, then the area of all parcels of the region.
<h3>Rules</h3>
A table with the columns sector, subsector, land_type (separated by |, or * for all parcels), kind (emission or sink),
share, proxy, categories (points or line types, separated by |, blank = all), field, facility_categories and source.
The default is the file data/allocation_rules_suzhou.csv of the plugin: copy and edit it.
<h3>Classes</h3>
Layers whose fields hold other names than the rules need a table with the columns <i>value</i> and <i>land_type</i>,
<i>category</i> (of points) or <i>line_type</i>: each value is read as the class in its row; blank or missing, it stays
as it is. The file data/classes_osm.csv of the plugin does that for OpenStreetMap's keys landuse, amenity, highway ...
<h3>Source</h3>
Table 2 of the carbon-balance zoning of Suzhou's territorial space (base year 2020). The paper prints no formula for
the correction of road lengths; the one above, with &#946; = 1, doubles the weight of a metre of road on a parcel with
the mean number of facilities."""

    PARCELS = "PARCELS"
    TOTALS = "TOTALS"
    LAND_TYPE_FIELD = "LAND_TYPE_FIELD"
    REGION_FIELD = "REGION_FIELD"
    POIS = "POIS"
    POI_CATEGORY_FIELD = "POI_CATEGORY_FIELD"
    LINES = "LINES"
    LINE_TYPE_FIELD = "LINE_TYPE_FIELD"
    POPULATION = "POPULATION"
    RULES = "RULES"
    CLASSES = "CLASSES"
    TOTALS_FIELD = "TOTALS_FIELD"
    TOTALS_UNIT = "TOTALS_UNIT"
    TOTALS_REGION_FIELD = "TOTALS_REGION_FIELD"
    FALLBACK = "FALLBACK"
    BETA = "BETA"
    DUPLICATE_DISTANCE = "DUPLICATE_DISTANCE"
    POI_NAME_FIELD = "POI_NAME_FIELD"
    OUTPUT = "OUTPUT"
    LEDGER = "LEDGER"
    OUTPUTS = {OUTPUT: "output", LEDGER: "ledger"}

    _UNITS = ("t", "kg", "kt", "10^4 t", "Mt", "10^8 t")

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterFeatureSource(
                self.PARCELS, self.tr("Parcels"), [QgsProcessing.SourceType.TypeVectorPolygon]
            ),
            "Land parcels in any CRS. Invalid polygons are repaired, and the log says how many.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(self.TOTALS, self.tr("Totals"), [QgsProcessing.SourceType.TypeVector]),
            "Table with sector, an amount, and optionally subsector, land_type and region.",
        )
        self._field(
            self.LAND_TYPE_FIELD,
            "Land type of the parcels",
            self.PARCELS,
            "Matched with the land types of the rules. Not needed when every rule is for all parcels.",
            default="land_type",
        )
        self._field(
            self.REGION_FIELD,
            "Region of the parcels",
            self.PARCELS,
            "Needed when the totals name regions; matched with them as text.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.POIS, self.tr("Points of interest"), [QgsProcessing.SourceType.TypeVectorPoint], optional=True
            ),
            "Points with a category.",
        )
        self._field(
            self.POI_CATEGORY_FIELD,
            "Category of the points",
            self.POIS,
            "Matched with the categories of the rules.",
            default="category",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.LINES, self.tr("Lines"), [QgsProcessing.SourceType.TypeVectorLine], optional=True
            ),
            "Roads, railways, waterways and runways.",
        )
        self._field(
            self.LINE_TYPE_FIELD,
            "Type of the lines",
            self.LINES,
            "Matched with the categories of the rules whose proxy is length.",
            default="type",
        )
        self.add(
            QgsProcessingParameterRasterLayer(self.POPULATION, self.tr("Population"), optional=True),
            "Persons per cell (not per square kilometre); the first band counts.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.RULES, self.tr("Rules"), [QgsProcessing.SourceType.TypeVector], optional=True
            ),
            "Table of rules. Empty: Table 2 of the Suzhou paper.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.CLASSES, self.tr("Classes"), [QgsProcessing.SourceType.TypeVector], optional=True
            ),
            "Table of what the values of the parcels', points' and lines' fields stand for, where they are not the "
            "names that the rules use.",
            advanced=True,
        )
        self._field(
            self.TOTALS_FIELD,
            "Amount of the totals",
            self.TOTALS,
            "Numeric; sinks are negative, or all positive.",
            default="net_t",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterEnum(
                self.TOTALS_UNIT,
                self.tr("Unit of the totals"),
                [f"{unit} CO2e" for unit in self._UNITS],
                defaultValue=0,
            ),
            "Unit of mass of the amounts; the results are in t.",
            advanced=True,
        )
        self._field(
            self.TOTALS_REGION_FIELD,
            "Region of the totals",
            self.TOTALS,
            "A row without a region is a total of the whole city.",
            default="region",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterString(self.FALLBACK, self.tr("Fallback cascade"), "poi_count, area", optional=True),
            "Proxies to try, in this order, where a rule's weights sum to zero or its layer is missing: poi_count, "
            "raster, length and area. The last is always area, and then the area of all parcels of the region.",
            advanced=True,
        )
        self._number(
            self.BETA,
            "Correction of lengths by facilities (β)",
            1.0,
            "L* = L (1 + β n / mean n) with n facilities on a parcel; 0 = no correction.",
        )
        self._number(
            self.DUPLICATE_DISTANCE,
            "Count points of the same name once within (metres)",
            0.0,
            "Points with the same name that lie within this distance of each other are one place; 0 counts them all.",
        )
        self._field(
            self.POI_NAME_FIELD,
            "Name of the points",
            self.POIS,
            "Used to find points that repeat each other.",
            default="name",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, self.tr("Parcels with emissions"), QgsProcessing.SourceType.TypeVectorPolygon
            ),
            "The parcels with a column per sector, coloured by intensity.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.LEDGER, self.tr("Ledger"), QgsProcessing.SourceType.TypeVector, optional=True
            ),
            "Table with what came in and where it went.",
        )
        self.addOutput(QgsProcessingOutputNumber("GROSS_T", self.tr("Emissions allocated, t CO2e")))
        self.addOutput(QgsProcessingOutputNumber("SINK_T", self.tr("Sinks allocated, t CO2e")))
        self.addOutput(QgsProcessingOutputNumber("FALLBACK_T", self.tr("Of these by fallback, t CO2e")))
        self.addOutput(QgsProcessingOutputNumber("UNALLOCATED_T", self.tr("Unallocated, t CO2e")))

    def _field(self, name, title, parent, help_text, default=None, advanced=False):
        parameter = QgsProcessingParameterField(name, self.tr(title), default, parent, optional=True)
        self.add(parameter, help_text, advanced=advanced)

    def _number(self, name, title, default, help_text):
        kind = Qgis.ProcessingNumberParameterType.Double
        parameter = QgsProcessingParameterNumber(name, self.tr(title), kind, default, minValue=0.0)
        self.add(parameter, help_text, advanced=True)

    def request(self, parameters, context, feedback):
        def layer(name, required=False):
            return self.layer(parameters, name, context, feedback, required)

        def text(name):
            return self.parameterAsString(parameters, name, context)

        cascade = [proxy.strip() for proxy in text(self.FALLBACK).split(",") if proxy.strip()]
        return {
            "parcels": layer(self.PARCELS, required=True),
            "totals": layer(self.TOTALS, required=True),
            "land_type_field": text(self.LAND_TYPE_FIELD),
            "region_field": text(self.REGION_FIELD) or None,
            "pois": layer(self.POIS),
            "poi_category_field": text(self.POI_CATEGORY_FIELD),
            "lines": layer(self.LINES),
            "line_type_field": text(self.LINE_TYPE_FIELD),
            "population": self.raster(parameters, self.POPULATION, context),
            "rules": layer(self.RULES),
            "classes": layer(self.CLASSES),
            "totals_field": text(self.TOTALS_FIELD),
            "totals_unit": self._UNITS[self.parameterAsEnum(parameters, self.TOTALS_UNIT, context)],
            "totals_region_field": text(self.TOTALS_REGION_FIELD),
            "fallback": cascade,
            "beta": self.parameterAsDouble(parameters, self.BETA, context),
            "duplicate_distance": self.parameterAsDouble(parameters, self.DUPLICATE_DISTANCE, context),
            "poi_name_field": text(self.POI_NAME_FIELD),
        }
