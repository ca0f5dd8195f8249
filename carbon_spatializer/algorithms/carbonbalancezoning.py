"""Carbon-balance zoning: CCR, ECC, ESC and the four zones of townships or other units."""

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm


class CarbonBalanceZoning(CarbonAlgorithm):
    """Compare each unit's sink and GDP with its emissions and name its zone."""

    NAME = "carbonbalancezoning"
    TITLE = "Carbon-balance zoning"
    GROUP = "6zoning"
    TAGS = ("CCR", "ECC", "ESC", "carbon sink", "compensation", "GDP", "township", "strategy", "Monte Carlo")
    HELP = """Compares what each unit emits, takes up and earns with the whole, and puts it into one of four zones.
<h3>What goes in</h3>
Polygons (townships, districts) with gross emissions and sinks in t CO2e per year and GDP in any one unit, such as the
result of <i>Aggregate to zones</i>. Sinks are positive numbers, kept apart from the gross emissions. Missing or
negative values are refused.
<h3>What comes out</h3>
The units with<ul>
<li><b>ccr</b>, <b>ccr_pct</b>: carbon compensation rate S<sub>i</sub> / C<sub>i</sub>, as a ratio and in percent;</li>
<li><b>ecc</b>: economic contribution coefficient (G<sub>i</sub> / G) / (C<sub>i</sub> / C);</li>
<li><b>esc</b>: ecological support coefficient (S<sub>i</sub> / S) / (C<sub>i</sub> / C);</li>
<li><b>zone</b>, and <b>near_threshold</b>: true where ecc or esc lies within the tolerance band around 1;</li>
<li>with a crop sink field <b>ccr_pct_with_crops</b> and <b>ccr_pct_without_crops</b>; with uncertainties
<b>zone_probability</b> (0 to 1).</li></ul>
C is gross emissions (before sinks), S the sink and G the GDP; letters without index are the sums over all units of the
layer. A table holds counts and shares with their denominators; an HTML report adds charts and strategies.
<h3>Zones</h3>
low-carbon economic zone: ecc &gt; 1, esc &gt; 1<br>
carbon-source control zone: ecc &gt; 1, esc &lt; 1<br>
carbon-sink functional zone: ecc &lt; 1, esc &gt; 1<br>
high-carbon optimization zone: ecc &lt; 1, esc &lt; 1<br>
undefined: no emissions or no sink
<h3>Source</h3>
Equations 8 to 10 and Table 4 of the carbon-balance zoning of Suzhou's territorial space (base year 2020)."""

    INPUT = "INPUT"
    GROSS_FIELD = "GROSS_FIELD"
    SINK_FIELD = "SINK_FIELD"
    GDP_FIELD = "GDP_FIELD"
    NAME_FIELD = "NAME_FIELD"
    EQUALITY = "EQUALITY"
    BAND_PCT = "BAND_PCT"
    CROP_SINK_FIELD = "CROP_SINK_FIELD"
    CROP_SINKS = "CROP_SINKS"
    GROSS_UNCERTAINTY_PCT = "GROSS_UNCERTAINTY_PCT"
    SINK_UNCERTAINTY_PCT = "SINK_UNCERTAINTY_PCT"
    GDP_UNCERTAINTY_PCT = "GDP_UNCERTAINTY_PCT"
    DRAWS = "DRAWS"
    SEED = "SEED"
    OUTPUT = "OUTPUT"
    TABLE = "TABLE"
    REPORT = "REPORT"
    OUTPUTS = {OUTPUT: "output", TABLE: "table", REPORT: "report"}

    _EQUALITY = ("high", "low")

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterFeatureSource(
                self.INPUT, self.tr("Units"), [QgsProcessing.SourceType.TypeVectorPolygon]
            ),
            "Townships or other polygons with emissions, sinks and GDP.",
        )
        self._add_field(self.GROSS_FIELD, "Gross emissions", "gross_t", "t CO2e per year, before sinks.")
        self._add_field(self.SINK_FIELD, "Sink", "sink_t", "t CO2e per year, as a positive number.")
        self._add_field(self.GDP_FIELD, "GDP", "gdp", "In any one unit, for example 10⁴ yuan.")
        self._add_field(
            self.NAME_FIELD,
            "Names",
            None,
            "Names the units in the report.",
            advanced=True,
            kind=Qgis.ProcessingFieldParameterDataType.Any,
        )
        self.add(
            QgsProcessingParameterEnum(
                self.EQUALITY, self.tr("An index of exactly 1 counts as"), ["high", "low"], defaultValue=0
            ),
            "The published table leaves 1 itself open.",
            advanced=True,
        )
        self._add_number(
            self.BAND_PCT,
            "Tolerance band (± %)",
            5.0,
            "Units with an index this close to 1 are marked: a small change in the data would move them.",
        )
        self._add_field(
            self.CROP_SINK_FIELD,
            "Crops' part of the sink",
            None,
            "t CO2e per year, contained in the sink. The CCR is then reported with and without crops.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(self.CROP_SINKS, self.tr("Crop sinks count"), True),
            "What crops take up returns to the air within a year or so; without this, their part is deducted.",
            advanced=True,
        )
        uncertainty = "Of each unit's own value, half of the 95 % interval. Above 0 makes zone_probability."
        self._add_number(self.GROSS_UNCERTAINTY_PCT, "Uncertainty of gross emissions (± %)", 0.0, uncertainty)
        self._add_number(self.SINK_UNCERTAINTY_PCT, "Uncertainty of sinks (± %)", 0.0, uncertainty)
        self._add_number(self.GDP_UNCERTAINTY_PCT, "Uncertainty of GDP (± %)", 0.0, uncertainty)
        integer = Qgis.ProcessingNumberParameterType.Integer
        self._add_number(self.DRAWS, "Monte Carlo draws", 1000, "More draws make zone_probability steadier.", integer)
        self._add_number(self.SEED, "Seed", 0, "The same seed gives the same result.", integer)
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, self.tr("Carbon-balance zones"), QgsProcessing.SourceType.TypeVectorPolygon
            ),
            "The units with their indices and zones.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.TABLE,
                self.tr("Table of zones"),
                QgsProcessing.SourceType.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            "Counts and sums per zone, with shares and their denominators.",
        )
        self.add(
            QgsProcessingParameterFileDestination(
                self.REPORT, self.tr("Report"), self.tr("HTML files (*.html)"), optional=True
            ),
            "Charts, strategies and how to read them.",
        )
        self.addOutput(QgsProcessingOutputNumber("UNITS", self.tr("Number of units")))
        self.addOutput(QgsProcessingOutputNumber("CCR_PCT", self.tr("CCR of the whole, %")))
        self.addOutput(QgsProcessingOutputNumber("NEAR_THRESHOLD_COUNT", self.tr("Units near a threshold")))

    def _add_field(
        self, name, title, default, help_text, advanced=False, kind=Qgis.ProcessingFieldParameterDataType.Numeric
    ):
        self.add(
            QgsProcessingParameterField(
                name, self.tr(title), default, self.INPUT, kind, allowMultiple=False, optional=default is None
            ),
            help_text,
            advanced,
        )

    def _add_number(self, name, title, default, help_text, kind=Qgis.ProcessingNumberParameterType.Double):
        self.add(QgsProcessingParameterNumber(name, self.tr(title), kind, default), help_text, advanced=True)

    def request(self, parameters, context, feedback):
        def text(name):
            return self.parameterAsString(parameters, name, context) or None

        def number(name):
            return self.parameterAsDouble(parameters, name, context)

        return {
            "input": self.layer(parameters, self.INPUT, context, feedback),
            "gross_field": text(self.GROSS_FIELD),
            "sink_field": text(self.SINK_FIELD),
            "gdp_field": text(self.GDP_FIELD),
            "name_field": text(self.NAME_FIELD),
            "equality": self._EQUALITY[self.parameterAsEnum(parameters, self.EQUALITY, context)],
            "band_pct": number(self.BAND_PCT),
            "crop_sink_field": text(self.CROP_SINK_FIELD),
            "crop_sinks": self.parameterAsBool(parameters, self.CROP_SINKS, context),
            "gross_uncertainty_pct": number(self.GROSS_UNCERTAINTY_PCT),
            "sink_uncertainty_pct": number(self.SINK_UNCERTAINTY_PCT),
            "gdp_uncertainty_pct": number(self.GDP_UNCERTAINTY_PCT),
            "draws": self.parameterAsInt(parameters, self.DRAWS, context),
            "seed": self.parameterAsInt(parameters, self.SEED, context),
        }
