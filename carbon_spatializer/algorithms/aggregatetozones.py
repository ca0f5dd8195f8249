"""Aggregate to zones: parcels' emissions by township, district or any other polygons."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm


class AggregateToZones(CarbonAlgorithm):
    """Split polygons over zones by area and sum their emissions."""

    NAME = "aggregatetozones"
    TITLE = "Aggregate to zones"
    GROUP = "2allocation"
    TAGS = ("townships", "districts", "boundaries", "sum", "area-weighted", "interpolation", "overlay")
    HELP = """Sums the emissions of parcels (or of grid cells) by township, district or any other zones.
<h3>What goes in</h3>
A polygon layer with emissions in t CO2e per year, and a polygon layer of zones. The two may have different CRSs. Every
numeric field whose name ends in <b>_t</b> is summed unless fields are chosen.
<h3>What comes out</h3>
The zones with all their fields (names, GDP ...), the summed fields in t CO2e per year, <b>area_m2</b> (true area on the
ellipsoid) and <b>intensity_t_ha</b> (gross_t, or the first summed field where there is no gross_t, per hectare of the
zone). Zones are coloured by gross_t in five classes.
<h3>Method</h3>
A parcel that lies in several zones is split by the share of its area in each. What lies outside all zones is reported
in tonnes and as a share, in the log and as numeric outputs. Where zones overlap, what lies there is shared between them
in proportion to the parcel's area in each, so that no tonne counts twice, and the log tells the overlap in m2. The
balance closes to 1e-9, or nothing is written. A polygon without area goes to the first zone that holds its centroid.
<h3>Source</h3>
Township totals in the carbon-balance zoning of Suzhou's territorial space (97 units, base year 2020)."""

    INPUT = "INPUT"
    ZONES = "ZONES"
    FIELDS = "FIELDS"
    OUTPUT = "OUTPUT"
    OUTPUTS = {OUTPUT: "output"}

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterFeatureSource(
                self.INPUT, self.tr("Parcels"), [QgsProcessing.SourceType.TypeVectorPolygon]
            ),
            "Polygons with emissions in t CO2e per year, in any CRS.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.ZONES, self.tr("Zones"), [QgsProcessing.SourceType.TypeVectorPolygon]
            ),
            "Townships or other polygons; their fields are kept.",
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
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, self.tr("Zone totals"), QgsProcessing.SourceType.TypeVectorPolygon
            ),
            "The zones with their sums.",
        )
        self.addOutput(QgsProcessingOutputNumber("TOTAL_T", self.tr("Total that came in, t")))
        self.addOutput(QgsProcessingOutputNumber("OUTSIDE_T", self.tr("Outside the zones, t")))
        self.addOutput(QgsProcessingOutputNumber("OUTSIDE_PCT", self.tr("Outside the zones, %")))
        self.addOutput(QgsProcessingOutputNumber("RELATIVE_ERROR", self.tr("Largest relative error of the balance")))

    def request(self, parameters, context, feedback):
        return {
            "input": self.layer(parameters, self.INPUT, context, feedback),
            "zones": self.layer(parameters, self.ZONES, context, feedback),
            "fields": self.parameterAsStrings(parameters, self.FIELDS, context),
        }
