"""Train POI classifier: names with known classes to a model that classifies names."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
)

from .base import CarbonAlgorithm


class TrainPoiClassifier(CarbonAlgorithm):
    """Fine-tune a BERT, and a TF-IDF model beside it, on names whose classes are known."""

    NAME = "trainpoiclassifier"
    TITLE = "Train POI classifier"
    GROUP = "3poi"
    TAGS = (
        "BERT",
        "TF-IDF",
        "text",
        "names",
        "enterprise",
        "industry",
        "GB/T 4754",
        "NAICS",
        "transformers",
        "learning",
    )
    HELP = """Learns from names whose industry is known, to tell the industry of other names.
<h3>What goes in</h3>
A layer or table with a field of names (enterprises, points of interest) and a field with their class. A few thousand
names are a good start; every class should have some dozen. Include names that are not manufacturing, or nothing will
be classified so.
<h3>What comes out</h3>
A model folder for <i>Classify POIs</i> (weights as safetensors, classes, calibration temperature, report and
fingerprint of the data; no file can run code), and an HTML report: accuracy, macro-F1, quality per class, confusion
matrix, calibration, learning curve, and the baselines on the same names.
<h3>Method</h3>
A pre-trained BERT (Devlin et al. 2019) is fine-tuned with AdamW, a warm-up and a cosine; characters that it does not
know are added to its vocabulary. Beside it a linear support vector machine learns from TF-IDF of words and characters.
Both learn from the taxonomy's titles and keywords too. The network's training ends when the loss on validation names
stops falling; probabilities are calibrated by a temperature on the same names (Guo et al. 2017). <i>Automatic</i> takes
BERT, TF-IDF or the average of both, whichever has the best macro-F1 on the validation names; the average where these
are too few to tell. The test names take part in none of this.
<h3>Cancelling</h3>
The best model so far and the state of the training stay in the folder, and can be used. Running the tool again with the
same data, settings and folder goes on from there.
<h3>Model to start from</h3>
The built-in model knows English. For Chinese names choose the folder of a Chinese BERT (config.json, vocabulary,
model.safetensors). The part <i>deep</i> of <i>Set up environment</i> is needed, except for TF-IDF alone."""

    INPUT = "INPUT"
    TEXT_FIELD = "TEXT_FIELD"
    CLASS_FIELD = "CLASS_FIELD"
    SCHEME = "SCHEME"
    BASE_MODEL = "BASE_MODEL"
    CLASSIFIER = "CLASSIFIER"
    CONTEXT_FIELDS = "CONTEXT_FIELDS"
    TAXONOMY = "TAXONOMY"
    USE_KEYWORDS = "USE_KEYWORDS"
    TRAINED = "TRAINED"
    EPOCHS = "EPOCHS"
    PATIENCE = "PATIENCE"
    LEARNING_RATE = "LEARNING_RATE"
    BATCH_SIZE = "BATCH_SIZE"
    MAX_LENGTH = "MAX_LENGTH"
    CLASS_WEIGHTS = "CLASS_WEIGHTS"
    TEST_SHARE = "TEST_SHARE"
    VALIDATION_SHARE = "VALIDATION_SHARE"
    MINIMUM_NAMES = "MINIMUM_NAMES"
    SEED = "SEED"
    DEVICE = "DEVICE"
    OUTPUT = "OUTPUT"
    REPORT = "REPORT"
    OUTPUTS = {OUTPUT: "output", REPORT: "report"}

    _SCHEMES = ("gbt4754", "naics", "field")
    _CLASSIFIERS = ("auto", "bert", "tfidf", "average")
    _TRAINED = ("all", "last", "head")
    _CLASS_WEIGHTS = ("none", "sqrt", "balanced")
    _DEVICES = ("auto", "cpu", "cuda")

    def initAlgorithm(self, configuration=None):
        any_field = Qgis.ProcessingFieldParameterDataType.Any
        text_field = Qgis.ProcessingFieldParameterDataType.String
        self.add(
            QgsProcessingParameterFeatureSource(
                self.INPUT, self.tr("Names with classes"), [QgsProcessing.SourceType.TypeVector]
            ),
            "Layer or table.",
        )
        self.add(
            QgsProcessingParameterField(
                self.TEXT_FIELD, self.tr("Field with the names"), "name", self.INPUT, text_field
            ),
            "Each distinct name counts once; where it has several classes, the most frequent one.",
        )
        self.add(
            QgsProcessingParameterField(self.CLASS_FIELD, self.tr("Field with the classes"), "", self.INPUT, any_field),
            "Codes or titles of the taxonomy. Longer codes count as the class that they begin with (C2614 is C26).",
        )
        self._add_enum(
            self.SCHEME,
            "Taxonomy",
            [
                "GB/T 4754-2017: divisions C13 to C43, and not manufacturing",
                "NAICS 2017: 3 digits of manufacturing, and not manufacturing",
                "The class field's own values",
            ],
            0,
            "All sections of GB/T 4754 but C, and all of NAICS but 31-33, are one class: not manufacturing (NM).",
        )
        self.add(
            QgsProcessingParameterFile(
                self.BASE_MODEL,
                self.tr("Model to start from"),
                Qgis.ProcessingFileParameterBehavior.Folder,
                optional=True,
            ),
            "Folder of a transformers model with safetensors; without one, the built-in English MiniLM.",
        )
        self._add_enum(
            self.CLASSIFIER,
            "Classifier",
            ["Automatic", "BERT", "TF-IDF and linear model (fast, no network)", "Average of both"],
            0,
            "Which one goes into the folder. Automatic decides on the validation names.",
        )
        self._add_advanced(any_field)
        self.add(
            QgsProcessingParameterFolderDestination(self.OUTPUT, self.tr("Model folder")),
            "New or empty, or that of an earlier training.",
        )
        self.add(
            QgsProcessingParameterFileDestination(
                self.REPORT, self.tr("Report"), self.tr("HTML files (*.html)"), optional=True, createByDefault=True
            ),
            "Quality on the test names, with pictures.",
        )
        self.addOutput(QgsProcessingOutputNumber("ACCURACY", self.tr("Accuracy on the test names")))
        self.addOutput(QgsProcessingOutputNumber("MACRO_F1", self.tr("Macro-F1 on the test names")))

    def _add_advanced(self, any_field):
        whole, real = Qgis.ProcessingNumberParameterType.Integer, Qgis.ProcessingNumberParameterType.Double
        self.add(
            QgsProcessingParameterField(
                self.CONTEXT_FIELDS,
                self.tr("Further fields to read with the name"),
                None,
                self.INPUT,
                any_field,
                allowMultiple=True,
                optional=True,
            ),
            "Address or category, for example. The layers to classify need fields of the same names.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                self.TAXONOMY, self.tr("Taxonomy of your own"), [QgsProcessing.SourceType.TypeVector], optional=True
            ),
            "Table with code and title; optional: manufacturing (yes or no), keywords (parted by |), and pattern, a "
            "regular expression of further values that mean the class.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(self.USE_KEYWORDS, self.tr("Learn from titles and keywords too"), True),
            "The taxonomy's titles and keywords become further names to learn from; it helps classes with few names.",
            advanced=True,
        )
        self._add_enum(
            self.TRAINED,
            "Layers to train",
            ["All", "The last two and the head", "The head only"],
            0,
            "Fewer layers train faster and forget less, and mostly reach less.",
            advanced=True,
        )
        self._add_enum(
            self.CLASS_WEIGHTS,
            "Weights of the classes",
            ["None", "Inverse square root of the class's size", "Inverse of the class's size"],
            0,
            "Heavier weights favour rare classes: a better macro-F1 for a lower accuracy.",
            advanced=True,
        )
        for name, title, kind, value, low, high, help_text in (
            (self.EPOCHS, "Epochs at most", whole, 10, 1, 1000, "Passes over the training names."),
            (self.PATIENCE, "Patience", whole, 4, 1, 1000, "Rounds without improvement that end the training."),
            (self.BATCH_SIZE, "Names per step", whole, 32, 1, 1024, "Larger needs more memory."),
            (self.MAX_LENGTH, "Tokens per name", whole, 32, 4, 512, "What is longer is cut off."),
            (self.TEST_SHARE, "Share of test names", real, 0.2, 0.05, 0.5, "Only for the report."),
            (self.VALIDATION_SHARE, "Share of validation names", real, 0.1, 0.05, 0.4, "For stopping and calibration."),
            (self.MINIMUM_NAMES, "Names that a class needs", whole, 10, 5, 1000000, "Smaller classes are left out."),
            (self.SEED, "Seed", whole, 0, 0, 2147483647, "Of the split, the order and the dropout."),
        ):
            self.add(
                QgsProcessingParameterNumber(name, self.tr(title), kind, value, minValue=low, maxValue=high),
                help_text,
                advanced=True,
            )
        self.add(
            QgsProcessingParameterNumber(
                self.LEARNING_RATE, self.tr("Learning rate"), real, None, optional=True, minValue=0, maxValue=1
            ),
            "Peak rate of the pre-trained layers. Without one 2e-4 below 50 million parameters, else 3e-5.",
            advanced=True,
        )
        self._add_enum(
            self.DEVICE,
            "Device",
            ["Automatic", "CPU", "CUDA"],
            0,
            "Automatic takes a CUDA device where torch finds one. The log says which is used.",
            advanced=True,
        )

    def _add_enum(self, name, title, options, default, help_text, advanced=False):
        options = [self.tr(option) for option in options]
        self.add(
            QgsProcessingParameterEnum(name, self.tr(title), options, defaultValue=default),
            help_text,
            advanced=advanced,
        )

    def request(self, parameters, context, feedback):
        def choice(name, values):
            return values[self.parameterAsEnum(parameters, name, context)]

        def has(name):
            return parameters.get(name) is not None

        request = {
            "input": self.layer(parameters, self.INPUT, context, feedback),
            "text_field": self.parameterAsString(parameters, self.TEXT_FIELD, context),
            "class_field": self.parameterAsString(parameters, self.CLASS_FIELD, context),
            "context_fields": self.parameterAsStrings(parameters, self.CONTEXT_FIELDS, context),
            "scheme": choice(self.SCHEME, self._SCHEMES),
            "taxonomy": self.layer(parameters, self.TAXONOMY, context, feedback, required=False),
            "use_keywords": self.parameterAsBoolean(parameters, self.USE_KEYWORDS, context),
            "base_model": self.parameterAsFile(parameters, self.BASE_MODEL, context) or None,
            "classifier": choice(self.CLASSIFIER, self._CLASSIFIERS),
            "trained": choice(self.TRAINED, self._TRAINED),
            "class_weights": choice(self.CLASS_WEIGHTS, self._CLASS_WEIGHTS),
            "device": choice(self.DEVICE, self._DEVICES),
            "test_share": self.parameterAsDouble(parameters, self.TEST_SHARE, context),
            "validation_share": self.parameterAsDouble(parameters, self.VALIDATION_SHARE, context),
        }
        for name in (self.EPOCHS, self.PATIENCE, self.BATCH_SIZE, self.MAX_LENGTH, self.MINIMUM_NAMES, self.SEED):
            request[name.lower()] = self.parameterAsInt(parameters, name, context)
        if has(self.LEARNING_RATE):
            request["learning_rate"] = self.parameterAsDouble(parameters, self.LEARNING_RATE, context)
        return request
