"""Create sample city: a made-up city with everything that the other tools take."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm


class CreateSampleCity(CarbonAlgorithm):
    """Make parcels, points of interest, roads, population, townships and statistics of an invented city."""

    NAME = "createsamplecity"
    TITLE = "Create sample city"
    GROUP = "0environment"
    TAGS = ("sample", "example", "demo", "synthetic", "test data", "tutorial", "benchmark", "parcels", "poi")
    HELP = """Makes an invented city to try the tools on, of any size and in seconds.
<h3>What goes in</h3>
Only the number of parcels and a seed; the same numbers give the same city.
<h3>What comes out</h3>
<ul>
<li><b>Parcels</b>: polygons that tile the city, with parcel_id, land_type (the 18 land types of the Suzhou rules),
region, township, floors and floor_m2 (floor area, m2).</li>
<li><b>Points of interest</b>: name (Chinese and English, invented), category (mining, manufacturing, utility,
commercial service, public service, transport facility, residential community), industry (its division of GB/T
4754-2017 in manufacturing, else NM: the truth to try the classification of names on) and employees.</li>
<li><b>Roads and other lines</b>: name and type (motorway, trunk, primary, secondary, tertiary, residential, railway,
waterway, runway).</li>
<li><b>Townships</b>: township, region, gdp (10^4 yuan) and population (persons).</li>
<li><b>Population</b>: raster of 100 m cells, persons per cell.</li>
<li><b>Land use</b>: raster of 30 m cells with CAS/RESDC codes, the input of <i>Delineate emission land</i>; as on such
maps, roads and small works are not told apart from what is around them.</li>
<li><b>Industrial parks</b>: polygons around works that lie together.</li>
<li><b>Totals</b>: emissions in t CO2e by sector, subsector and land type, the input of <i>Allocate to parcels</i>.</li>
<li><b>Activity</b>: energy, products, stock and yields, the input of <i>Account sectors</i>.</li>
<li><b>Activity of the four parts</b>: energy of industry, city, agriculture and rural living in each district, the
input of <i>Account sectors</i> with the scheme nanjing.</li>
</ul>
<h3>The figures</h3>
The totals are those published for Suzhou in 2020 (carbon-balance zoning of Suzhou's territorial space, Table 3), and
so is the gross domestic product; the city itself is not Suzhou. Where the printed table contradicts itself, the figure
that fits its department sums is used: municipal utilities 6904.31 x 10^4 t (printed 6905.31; industry 19334.77) and
transport 1421.44 x 10^4 t (the land row is printed 421.44). Splitting transport over road (84 %), rail (3 %), water
(9 %) and air (4 %) is ours. The activity data are worked out from the totals with the built-in factors: <i>Account
sectors</i> with the scheme suzhou and a grid factor of <b>0.5810 t CO2/MWh</b>, a sample value, gives the totals back.
The split over fuels and products is ours. The activity of the four parts gives, with the scheme nanjing and the same
grid factor, what is published for Nanjing in 2020 (Table 2: 12714.46 x 10^4 t); it is divided over this city's
districts by product, population and area, and 4200 x 10^4 t of power plants' fuel are added, which that scheme deducts.
<h3>Method</h3>
A square plan is divided by ever smaller roads into blocks and these into parcels, smaller where the city is denser, and
bent into shape; smooth random fields place the centre, new towns, hills, lakes and villages, and land types follow from
them block by block. The area grows with the number of parcels: about 40 km2 at 500 and 200 km2 at 5,000. The city
lies in EPSG:32651 near 31.3 N 120.6 E."""

    PARCELS_COUNT = "PARCELS_COUNT"
    SEED = "SEED"
    POIS_PER_PARCEL = "POIS_PER_PARCEL"
    PARCELS = "PARCELS"
    POIS = "POIS"
    ROADS = "ROADS"
    TOWNSHIPS = "TOWNSHIPS"
    POPULATION = "POPULATION"
    LAND_USE = "LAND_USE"
    PARKS = "PARKS"
    ACTIVITY = "ACTIVITY"
    TOTALS = "TOTALS"
    PARTS_ACTIVITY = "PARTS_ACTIVITY"
    OUTPUTS = {
        PARCELS: "parcels",
        POIS: "pois",
        ROADS: "roads",
        TOWNSHIPS: "townships",
        POPULATION: "population",
        LAND_USE: "land_use",
        PARKS: "parks",
        ACTIVITY: "activity",
        TOTALS: "totals",
        PARTS_ACTIVITY: "parts_activity",
    }

    def initAlgorithm(self, configuration=None):
        whole = Qgis.ProcessingNumberParameterType.Integer
        self.add(
            QgsProcessingParameterNumber(
                self.PARCELS_COUNT, self.tr("Number of parcels"), whole, 5000, minValue=500, maxValue=2_000_000
            ),
            "Exactly so many are made. 5,000 take a few seconds and give 97 townships; 1,000,000 take minutes.",
        )
        self.add(
            QgsProcessingParameterNumber(self.SEED, self.tr("Seed"), whole, 0, minValue=0),
            "Another number gives another city.",
        )
        self.add(
            QgsProcessingParameterNumber(
                self.POIS_PER_PARCEL,
                self.tr("Points of interest per parcel"),
                Qgis.ProcessingNumberParameterType.Double,
                3.0,
                minValue=0.01,
                maxValue=20.0,
            ),
            "Mean over all parcels. Most lie in commercial, industrial and residential parcels.",
            advanced=True,
        )
        source = QgsProcessing.SourceType
        for name, title, kind, help_text in (
            (self.PARCELS, "Parcels", source.TypeVectorPolygon, "Polygons with their land type."),
            (
                self.POIS,
                "Points of interest",
                source.TypeVectorPoint,
                "Points with name, category, industry, employees.",
            ),
            (self.ROADS, "Roads and other lines", source.TypeVectorLine, "Centre lines with their type."),
            (self.TOWNSHIPS, "Townships", source.TypeVectorPolygon, "Zones with product and population."),
        ):
            self.add(
                QgsProcessingParameterVectorDestination(
                    name, self.tr(title), kind, optional=name != self.PARCELS, createByDefault=True
                ),
                help_text,
            )
        self.add(
            QgsProcessingParameterRasterDestination(
                self.POPULATION, self.tr("Population"), optional=True, createByDefault=True
            ),
            "Persons per cell of 100 m.",
        )
        self.add(
            QgsProcessingParameterRasterDestination(
                self.LAND_USE, self.tr("Land use"), optional=True, createByDefault=False
            ),
            "CAS/RESDC codes of cells of 30 m, for Delineate emission land.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.PARKS, self.tr("Industrial parks"), source.TypeVectorPolygon, optional=True, createByDefault=False
            ),
            "Polygons around works that lie together, for Delineate emission land.",
        )
        for name, title, help_text in (
            (self.ACTIVITY, "Activity", "Table for Account sectors; use a grid factor of 0.5810 t CO2/MWh."),
            (self.TOTALS, "Totals", "Table for Allocate to parcels, t CO2e."),
        ):
            self.add(
                QgsProcessingParameterVectorDestination(
                    name, self.tr(title), source.TypeVector, optional=True, createByDefault=True
                ),
                help_text,
            )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.PARTS_ACTIVITY,
                self.tr("Activity of the four parts"),
                source.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            "Table for Account sectors with the Nanjing scheme, by district; use a grid factor of 0.5810 t CO2/MWh.",
        )
        self.addOutput(QgsProcessingOutputNumber("TOWNSHIPS_COUNT", self.tr("Number of townships")))
        self.addOutput(QgsProcessingOutputNumber("POIS_COUNT", self.tr("Number of points of interest")))
        self.addOutput(QgsProcessingOutputNumber("PERSONS", self.tr("Persons")))

    def request(self, parameters, context, feedback):
        return {
            "parcels_count": self.parameterAsInt(parameters, self.PARCELS_COUNT, context),
            "seed": self.parameterAsInt(parameters, self.SEED, context),
            "pois_per_parcel": self.parameterAsDouble(parameters, self.POIS_PER_PARCEL, context),
        }
