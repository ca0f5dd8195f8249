"""What the two tools for Moran's I share: the variable, the weights and the test."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
)

_INTEGER = Qgis.ProcessingNumberParameterType.Integer
_DOUBLE = Qgis.ProcessingNumberParameterType.Double
_NUMERIC = Qgis.ProcessingFieldParameterDataType.Numeric
_ANY = Qgis.ProcessingFieldParameterDataType.Any


class MoranParameters:
    """Parameters and request of global and local Moran's I; stands before CarbonAlgorithm among a tool's bases."""

    INPUT = "INPUT"
    FIELDS = "FIELDS"
    DIVIDE_BY = "DIVIDE_BY"
    BASE_FIELD = "BASE_FIELD"
    SECOND_FIELD = "SECOND_FIELD"
    SECOND_DIVIDE_BY = "SECOND_DIVIDE_BY"
    RATE = "RATE"
    TRANSFORM = "TRANSFORM"
    CATEGORY_FIELD = "CATEGORY_FIELD"
    STRATUM_FIELD = "STRATUM_FIELD"
    WEIGHTS = "WEIGHTS"
    K = "K"
    DISTANCE_M = "DISTANCE_M"
    KERNEL = "KERNEL"
    SNAP_M = "SNAP_M"
    WEIGHTS_FILE = "WEIGHTS_FILE"
    ID_FIELD = "ID_FIELD"
    ROW_STANDARDISED = "ROW_STANDARDISED"
    PERMUTATIONS = "PERMUTATIONS"
    SEED = "SEED"
    ALPHA = "ALPHA"
    ALTERNATIVE = "ALTERNATIVE"
    CORRECTION = "CORRECTION"

    SHARED_HELP = """<h3>Variable</h3>
A field, or a field per hectare or per another field. Divide totals: large parcels emit more only because they are
large. <i>Empirical-Bayes rates</i> (Assunção and Reis 1999) damp the rates of small areas or populations; their
variance is that of counts, so one tonne counts as one event. Emissions are skewed: <i>log1p</i>, <i>rank</i> or
<i>winsor</i> (2.5 % at each end) keep a few giants from deciding all.
<h3>Two variables</h3>
With a second field the statistic relates each unit's own value to its neighbours' values of the second field, and no
more: it grows whenever the two are correlated in place and both are clustered. So the plain correlation r and Lee's L
(Lee 2001) are reported beside it.
<h3>Neighbours</h3>
Queen (a common border or corner), rook (a common border), k nearest, within a distance, kernel (weights fall with
distance), or a .gal or .gwt file of GeoDa or PySAL. Gaps between parcels are bridged by the snap tolerance. Distances
are between centroids. Units without neighbours and without values are named, and never significant.
<h3>Test</h3>
p is two-sided: twice the share of permutations in the smaller tail (with the custom of adding one to both counts).
<i>Directed</i> p is half of that and finds about twice as many units in pure noise. q is p corrected for the number of
tests: BH (Benjamini and Hochberg 1995) and BY (Benjamini and Yekutieli 2001) bound the share of false findings,
Bonferroni the chance of any. The same seed gives the same result."""

    _WEIGHTS = ("auto", "queen", "rook", "nearest", "distance", "kernel", "file")
    _DENOMINATORS = ("none", "area", "field")
    _RATES = ("plain", "empirical Bayes")
    _TRANSFORMS = ("none", "log1p", "rank", "winsor")
    _KERNELS = ("triangular", "uniform", "epanechnikov", "quartic", "gaussian")
    _ALTERNATIVES = ("two-sided", "directed")
    _CORRECTIONS = ("BH", "BY", "Bonferroni", "none")

    def shortHelpString(self):
        return super().shortHelpString() + "\n" + self.tr(self.SHARED_HELP)

    def add_variable(self):
        """Add the parameters that say what is analysed."""
        self.add(
            QgsProcessingParameterFeatureSource(
                self.INPUT,
                self.tr("Units"),
                [QgsProcessing.SourceType.TypeVectorPolygon, QgsProcessing.SourceType.TypeVectorPoint],
            ),
            "Parcels, grid cells, zones or points with the values.",
        )
        help_text = "One or more numeric fields, each analysed by itself."
        self._add_field(self.FIELDS, "Field", help_text, many=True, default="intensity_t_ha")
        self._add_choice(
            self.DIVIDE_BY,
            "Divide by",
            ["nothing", "area (per hectare)", "another field"],
            "Area is the true, ellipsoidal one, whatever the layer's CRS.",
        )
        self._add_field(self.SECOND_FIELD, "Second field (bivariate)", "The neighbours' variable. Empty: univariate.")
        self._add_choice(
            self.SECOND_DIVIDE_BY,
            "Divide the second field by",
            ["nothing", "area (per hectare)", "another field"],
            "As above, for the second field.",
            advanced=True,
        )
        self._add_field(self.BASE_FIELD, "Field to divide by", "Persons, firms, floor area: above 0.", advanced=True)
        self._add_choice(
            self.RATE,
            "Rates",
            ["plain", "empirical Bayes"],
            "Empirical-Bayes rates need something to divide by.",
            advanced=True,
        )
        self._add_choice(
            self.TRANSFORM,
            "Transform",
            ["none", "log1p: ln(1 + value)", "rank", "winsor: 2.5 % at each end"],
            "Applied after dividing, to both fields.",
            advanced=True,
        )
        self._add_field(
            self.CATEGORY_FIELD,
            "Category field",
            "Each category (manufacturing sector, say) is also run by itself, its units being each other's neighbours. "
            "Choose k nearest neighbours where the units of a category do not touch.",
            kind=_ANY,
        )

    def add_stratum(self, help_text):
        """Add the stratum field."""
        self._add_field(self.STRATUM_FIELD, "Stratum field (urban/rural)", help_text, kind=_ANY)

    def add_weights(self):
        """Add the parameters that say who is whose neighbour."""
        self._add_choice(
            self.WEIGHTS,
            "Neighbours",
            [
                "automatic: queen for polygons, k nearest for points",
                "queen: common border or corner",
                "rook: common border",
                "k nearest",
                "within a distance",
                "kernel",
                "file (.gal, .gwt)",
            ],
            "Who counts as whose neighbour.",
        )
        self._add_number(
            self.K,
            "Number of neighbours (k)",
            8,
            "For k nearest, and for the kernel's adaptive bandwidth.",
            _INTEGER,
            1,
        )
        self._add_number(
            self.DISTANCE_M,
            "Distance (m)",
            None,
            "Distance band, or the kernel's fixed bandwidth. Empty: the shortest band in which every unit has a "
            "neighbour; for the kernel, for each unit the distance of its k-th neighbour.",
        )
        self._add_choice(self.KERNEL, "Kernel", list(self._KERNELS), "How weights fall with distance.", advanced=True)
        self._add_number(
            self.SNAP_M, "Snap tolerance (m)", 0.0, "Polygons no farther apart count as touching (slivers, gaps)."
        )
        self.add(
            QgsProcessingParameterFile(
                self.WEIGHTS_FILE, self.tr("Weights file"), optional=True, fileFilter="Weights (*.gal *.gwt)"
            ),
            "Of GeoDa or PySAL, made for this layer.",
            advanced=True,
        )
        self._add_field(
            self.ID_FIELD,
            "Field with the file's ids",
            "Empty: the field that the file names, or else the row number from 0 or 1.",
            kind=_ANY,
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(self.ROW_STANDARDISED, self.tr("Row-standardise the weights"), True),
            "Each unit's weights are divided by their sum, so that its lag is its neighbours' mean. Off: weights as "
            "they are (1 for contiguity, k nearest and distance).",
            advanced=True,
        )

    def add_test(self, permutations, permutations_help, least):
        """Add the parameters of the permutation test."""
        self._add_number(self.PERMUTATIONS, "Permutations", permutations, permutations_help, _INTEGER, least)
        self._add_number(self.SEED, "Seed", 0, "The same seed gives the same result.", _INTEGER)
        self._add_number(self.ALPHA, "Significance level", 0.05, "Compared with q.")
        self._add_choice(
            self.ALTERNATIVE,
            "p values",
            ["two-sided", "directed (the smaller tail alone)"],
            "Directed p values are those that esda up to 2.9 and GeoDa report.",
            advanced=True,
        )
        self._add_choice(
            self.CORRECTION,
            "Correction for many tests",
            ["BH: Benjamini-Hochberg", "BY: Benjamini-Yekutieli", "Bonferroni", "none"],
            "Gives q from p.",
            advanced=True,
        )

    def request(self, parameters, context, feedback):
        def text(name):
            return self.parameterAsString(parameters, name, context) or None

        def choice(name, values):
            return values[self.parameterAsEnum(parameters, name, context)]

        given = parameters.get(self.DISTANCE_M) not in (None, "")
        return {
            "input": self.layer(parameters, self.INPUT, context, feedback),
            "fields": self.parameterAsStrings(parameters, self.FIELDS, context),
            "divide_by": choice(self.DIVIDE_BY, self._DENOMINATORS),
            "base_field": text(self.BASE_FIELD),
            "second_field": text(self.SECOND_FIELD),
            "second_divide_by": choice(self.SECOND_DIVIDE_BY, self._DENOMINATORS),
            "rate": choice(self.RATE, self._RATES),
            "transform": choice(self.TRANSFORM, self._TRANSFORMS),
            "category_field": text(self.CATEGORY_FIELD),
            "stratum_field": text(self.STRATUM_FIELD),
            "weights": choice(self.WEIGHTS, self._WEIGHTS),
            "k": self.parameterAsInt(parameters, self.K, context),
            "distance_m": self.parameterAsDouble(parameters, self.DISTANCE_M, context) if given else None,
            "kernel": choice(self.KERNEL, self._KERNELS),
            "snap_m": self.parameterAsDouble(parameters, self.SNAP_M, context),
            "weights_file": self.parameterAsFile(parameters, self.WEIGHTS_FILE, context) or None,
            "id_field": text(self.ID_FIELD),
            "row_standardised": self.parameterAsBool(parameters, self.ROW_STANDARDISED, context),
            "permutations": self.parameterAsInt(parameters, self.PERMUTATIONS, context),
            "seed": self.parameterAsInt(parameters, self.SEED, context),
            "alpha": self.parameterAsDouble(parameters, self.ALPHA, context),
            "alternative": choice(self.ALTERNATIVE, self._ALTERNATIVES),
            "correction": choice(self.CORRECTION, self._CORRECTIONS),
        }

    def _add_field(self, name, title, help_text, advanced=False, kind=_NUMERIC, many=False, default=None):
        self.add(
            QgsProcessingParameterField(
                name, self.tr(title), default, self.INPUT, kind, allowMultiple=many, optional=not many
            ),
            help_text,
            advanced,
        )

    def _add_choice(self, name, title, options, help_text, advanced=False):
        options = [self.tr(option) for option in options]
        self.add(QgsProcessingParameterEnum(name, self.tr(title), options, defaultValue=0), help_text, advanced)

    def _add_number(self, name, title, default, help_text, kind=_DOUBLE, least=0):
        self.add(
            QgsProcessingParameterNumber(name, self.tr(title), kind, default, optional=default is None, minValue=least),
            help_text,
            advanced=True,
        )
