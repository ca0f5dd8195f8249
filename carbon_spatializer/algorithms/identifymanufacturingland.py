"""Identify manufacturing land: the parcels with manufacturing POIs, and their industries."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm


class IdentifyManufacturingLand(CarbonAlgorithm):
    """Find the parcels, or buffers, with manufacturing POIs, and compare them with a reference."""

    NAME = "identifymanufacturingland"
    TITLE = "Identify manufacturing land"
    GROUP = "3poi"
    TAGS = ("industrial land", "land use", "POI", "parcel", "buffer", "recall", "precision", "BERT")
    HELP = """Finds the land that manufacturing stands on: parcels with classified manufacturing points, and buffers
around points where there are no parcels.
<h3>What goes in</h3>
Points classified by <i>Classify POIs</i>, and parcels. Both may be in any CRS.
<h3>What comes out</h3>
Polygons with their own fields and<ul>
<li><b>manufacturing</b>: yes or no; <b>pois</b>: the number of manufacturing points;</li>
<li><b>dominant</b>: the class with the largest sum of probabilities, <b>dominant_share</b>: its part of the sum;</li>
<li><b>industries</b>: every class with its number of points; <b>area_m2</b>: true area.</li></ul>
A table counts points, polygons and area per class.
<h3>Comparison</h3>
With a reference layer, or a land-use field of the parcels, recall (how much of the known manufacturing land was found;
98.72 % in the paper on manufacturing POIs and BERT, Environment and Planning B 2025) and precision (how much of what
was found is known), each by count and by area. By count, a polygon counts when the given part of its area is shared.
<h3>Method</h3>
Buffers of 15 m are those of the Nanjing study for enterprise points. Buffers that touch are merged, and parcels are cut
out of them. A point on the border of two parcels goes to the first."""

    POIS = "POIS"
    PARCELS = "PARCELS"
    CLASS_FIELD = "CLASS_FIELD"
    PROBABILITY_FIELD = "PROBABILITY_FIELD"
    LAND_USE_FIELD = "LAND_USE_FIELD"
    LAND_USE_VALUES = "LAND_USE_VALUES"
    REFERENCE = "REFERENCE"
    BUFFER = "BUFFER"
    MINIMUM_PROBABILITY = "MINIMUM_PROBABILITY"
    MINIMUM_POIS = "MINIMUM_POIS"
    NOT_MANUFACTURING = "NOT_MANUFACTURING"
    MINIMUM_OVERLAP = "MINIMUM_OVERLAP"
    ALL_PARCELS = "ALL_PARCELS"
    OUTPUT = "OUTPUT"
    TABLE = "TABLE"
    OUTPUTS = {OUTPUT: "output", TABLE: "table"}

    def initAlgorithm(self, configuration=None):
        source = QgsProcessing.SourceType
        field = Qgis.ProcessingFieldParameterDataType
        whole, real = Qgis.ProcessingNumberParameterType.Integer, Qgis.ProcessingNumberParameterType.Double
        self.add(
            QgsProcessingParameterFeatureSource(self.POIS, self.tr("Classified POIs"), [source.TypeVectorPoint]),
            "Points with their class.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.PARCELS, self.tr("Parcels"), [source.TypeVectorPolygon], optional=True
            ),
            "Without them every point gets a buffer.",
        )
        self.add(
            QgsProcessingParameterField(
                self.CLASS_FIELD, self.tr("Field with the class"), "class_code", self.POIS, field.Any
            ),
            "Class code of each point.",
        )
        self.add(
            QgsProcessingParameterField(
                self.LAND_USE_FIELD,
                self.tr("Land use of the parcels, to compare with"),
                None,
                self.PARCELS,
                field.Any,
                optional=True,
            ),
            "Without it, and without a reference layer, nothing is compared.",
        )
        self.add(
            QgsProcessingParameterString(
                self.LAND_USE_VALUES, self.tr("Its values that mean manufacturing"), "industrial land", optional=True
            ),
            "Parted by |.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.REFERENCE,
                self.tr("Known manufacturing land, to compare with"),
                [source.TypeVectorPolygon],
                optional=True,
            ),
            "Goes before the land-use field.",
        )
        self.add(
            QgsProcessingParameterField(
                self.PROBABILITY_FIELD,
                self.tr("Field with the probability"),
                "probability",
                self.POIS,
                field.Numeric,
                optional=True,
            ),
            "Weighs the points where industries compete for a parcel. Without it each counts 1.",
            advanced=True,
        )
        for name, title, number, value, low, high, help_text in (
            (self.BUFFER, "Buffer (m)", real, 15.0, 0, 10000, "Around points in no parcel; 0 leaves these out."),
            (self.MINIMUM_PROBABILITY, "Least probability", real, 0.0, 0, 1, "Less likely points do not count."),
            (self.MINIMUM_POIS, "Points that a parcel needs", whole, 1, 1, 1000000, "More make it stricter."),
            (self.MINIMUM_OVERLAP, "Shared area (%)", real, 10.0, 0, 100, "Of a polygon, to count as found or right."),
        ):
            self.add(
                QgsProcessingParameterNumber(name, self.tr(title), number, value, minValue=low, maxValue=high),
                help_text,
                advanced=True,
            )
        self.add(
            QgsProcessingParameterString(self.NOT_MANUFACTURING, self.tr("Codes that are not manufacturing"), "NM"),
            "Parted by commas.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(self.ALL_PARCELS, self.tr("Keep the other parcels too"), False),
            "They have manufacturing = no.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, self.tr("Manufacturing land"), source.TypeVectorPolygon
            ),
            "The polygons.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.TABLE, self.tr("Industries"), source.TypeVector, optional=True, createByDefault=False
            ),
            "Table with points, polygons and area per class.",
        )
        for name, title in (
            ("POLYGONS", "Polygons"),
            ("AREA_M2", "Area (m2)"),
            ("RECALL_COUNT", "Recall by count"),
            ("RECALL_AREA", "Recall by area"),
            ("PRECISION_COUNT", "Precision by count"),
            ("PRECISION_AREA", "Precision by area"),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, self.tr(title)))

    def request(self, parameters, context, feedback):
        return {
            "pois": self.layer(parameters, self.POIS, context, feedback),
            "parcels": self.layer(parameters, self.PARCELS, context, feedback, required=False),
            "reference": self.layer(parameters, self.REFERENCE, context, feedback, required=False),
            "class_field": self.parameterAsString(parameters, self.CLASS_FIELD, context),
            "probability_field": self.parameterAsString(parameters, self.PROBABILITY_FIELD, context) or None,
            "land_use_field": self.parameterAsString(parameters, self.LAND_USE_FIELD, context) or None,
            "land_use_values": self.parameterAsString(parameters, self.LAND_USE_VALUES, context),
            "buffer": self.parameterAsDouble(parameters, self.BUFFER, context),
            "minimum_probability": self.parameterAsDouble(parameters, self.MINIMUM_PROBABILITY, context),
            "minimum_pois": self.parameterAsInt(parameters, self.MINIMUM_POIS, context),
            "minimum_overlap": self.parameterAsDouble(parameters, self.MINIMUM_OVERLAP, context),
            "not_manufacturing": self.parameterAsString(parameters, self.NOT_MANUFACTURING, context),
            "all_parcels": self.parameterAsBoolean(parameters, self.ALL_PARCELS, context),
        }
