"""Classify POIs: names to industries, with calibrated probabilities."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm


class ClassifyPois(CarbonAlgorithm):
    """Give names their class with a trained classifier."""

    NAME = "classifypois"
    TITLE = "Classify POIs"
    GROUP = "3poi"
    TAGS = ("BERT", "TF-IDF", "text", "names", "enterprise", "industry", "manufacturing", "probability")
    HELP = """Gives each name its industry, and says how sure that is.
<h3>What goes in</h3>
A layer or table with a field of names, and a model folder made by <i>Train POI classifier</i>.
<h3>What comes out</h3>
The features with<ul>
<li><b>class_code</b>, <b>class_name</b>: the likeliest class; not manufacturing is a class of its own;</li>
<li><b>probability</b>: its calibrated probability, 0 to 1;</li>
<li><b>manufacturing</b>: the probability of all manufacturing classes together;</li>
<li><b>top3</b>: the three likeliest classes with their probabilities;</li>
<li><b>review</b>: true where the probability is below the threshold, or there is no name;</li>
<li>with wide output <b>p_</b>code: the probability of each class; classes far less likely than the likeliest one are
0 and the others are scaled to sum to 1 (see the least ratio).</li></ul>
Each distinct name is classified once.
<h3>Emissions to points</h3>
The rules table makes <i>Allocate to parcels</i> share out each industry's emissions (sector industry, subsector = class
code) by the probabilities of the wide output: a point that is a steelworks with probability 0.7 counts 0.7 there and
the rest elsewhere, so that mistakes of the classifier even out. Without wide output each point counts fully in its
likeliest class; then choose class_code as the category field of the POIs."""

    INPUT = "INPUT"
    TEXT_FIELD = "TEXT_FIELD"
    MODEL = "MODEL"
    THRESHOLD = "THRESHOLD"
    WIDE = "WIDE"
    LEAST_RATIO = "LEAST_RATIO"
    CLASSIFIER = "CLASSIFIER"
    DEVICE = "DEVICE"
    OUTPUT = "OUTPUT"
    RULES = "RULES"
    OUTPUTS = {OUTPUT: "output", RULES: "rules"}

    _CLASSIFIERS = (None, "bert", "tfidf", "average")
    _DEVICES = ("auto", "cpu", "cuda")

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterFeatureSource(self.INPUT, self.tr("POIs"), [QgsProcessing.SourceType.TypeVector]),
            "Points, or any other layer or table with names.",
        )
        self.add(
            QgsProcessingParameterField(
                self.TEXT_FIELD,
                self.tr("Field with the names"),
                "name",
                self.INPUT,
                Qgis.ProcessingFieldParameterDataType.String,
            ),
            "Rows without a name have no class.",
        )
        self.add(
            QgsProcessingParameterFile(
                self.MODEL, self.tr("Model folder"), Qgis.ProcessingFileParameterBehavior.Folder
            ),
            "Made by Train POI classifier.",
        )
        self.add(
            QgsProcessingParameterNumber(
                self.THRESHOLD,
                self.tr("Threshold for review"),
                Qgis.ProcessingNumberParameterType.Double,
                0.5,
                minValue=0,
                maxValue=1,
            ),
            "Names whose probability is lower are flagged.",
        )
        self.add(
            QgsProcessingParameterBoolean(self.WIDE, self.tr("Wide output: a probability field for each class"), False),
            "Needed for allocation by probabilities.",
        )
        self.add(
            QgsProcessingParameterNumber(
                self.LEAST_RATIO,
                self.tr("Least ratio to the likeliest class"),
                Qgis.ProcessingNumberParameterType.Double,
                0.5,
                minValue=0,
                maxValue=1,
            ),
            "Less likely classes are 0 in the wide output: else the small probabilities of many shops outweigh the "
            "large ones of a few factories. 0 keeps all probabilities; 1 keeps the likeliest class only.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterEnum(
                self.CLASSIFIER,
                self.tr("Classifier"),
                [
                    self.tr("As the training chose"),
                    self.tr("BERT"),
                    self.tr("TF-IDF and linear model"),
                    self.tr("Average of both"),
                ],
                defaultValue=0,
            ),
            "The folder holds each one that was trained.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterEnum(
                self.DEVICE, self.tr("Device"), [self.tr("Automatic"), "CPU", "CUDA"], defaultValue=0
            ),
            "Automatic takes a CUDA device where torch finds one.",
            advanced=True,
        )
        self.add(QgsProcessingParameterVectorDestination(self.OUTPUT, self.tr("Classified POIs")), "The features.")
        self.add(
            QgsProcessingParameterVectorDestination(
                self.RULES,
                self.tr("Rules for Allocate to parcels"),
                QgsProcessing.SourceType.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            "Table with a row for each manufacturing class.",
        )
        for name, title in (
            ("NAMES", "Names"),
            ("DISTINCT_NAMES", "Distinct names"),
            ("MANUFACTURING", "Manufacturing"),
            ("REVIEW", "Flagged for review"),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, self.tr(title)))

    def request(self, parameters, context, feedback):
        return {
            "input": self.layer(parameters, self.INPUT, context, feedback),
            "text_field": self.parameterAsString(parameters, self.TEXT_FIELD, context),
            "model": self.parameterAsFile(parameters, self.MODEL, context),
            "threshold": self.parameterAsDouble(parameters, self.THRESHOLD, context),
            "least_ratio": self.parameterAsDouble(parameters, self.LEAST_RATIO, context),
            "wide": self.parameterAsBoolean(parameters, self.WIDE, context),
            "classifier": self._CLASSIFIERS[self.parameterAsEnum(parameters, self.CLASSIFIER, context)],
            "device": self._DEVICES[self.parameterAsEnum(parameters, self.DEVICE, context)],
        }
