"""Account sectors: a city's statistics to emissions by region, sector, land type and scope."""

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

_TABLE = [QgsProcessing.SourceType.TypeVector]
_NUMBER = Qgis.ProcessingNumberParameterType.Double


class AccountSectors(CarbonAlgorithm):
    """Multiply activity data by emission factors, by scheme."""

    NAME = "accountsectors"
    TITLE = "Account sectors"
    GROUP = "1accounting"
    TAGS = ("inventory", "emission factor", "energy", "scope", "GPC", "IPCC", "sink", "uncertainty", "statistics")
    HELP = """Turns a city's statistics (fuel, electricity, products, turnover, livestock, waste, land and crops) into
emissions and sinks in t CO2e per year.
<h3>What goes in</h3>
An <b>activity table</b> with <b>sector</b>, <b>carrier</b>, <b>amount</b> and <b>unit</b>, and where known subsector,
region, land_type, year, uncertainty_pct (half of the amount's 95 % range) and sector_total (a printed sum of the
sector's amounts, which is checked). Units such as t, 10^4 t, m3, 10^8 m3, kWh, TJ, tce, ha, mu, head, person, tkm, pkm
and vkm are understood. The carrier <i>CO2e</i> takes emissions or removals as they are; sinks are positive amounts.
<br>Suzhou's sectors: industry (mining, manufacturing, supply), buildings (residential, commercial and public),
transport (road, rail, water, air), agriculture (plantation, livestock), waste (industrial waste, domestic waste) and
sink (land sink, crop sink). Nanjing's: industry, urban, agriculture and rural living, each with subsectors at will.
<br>An optional <b>factor table</b> with carrier, factor and unit (kg/m3, t/MWh, t/ha, kg CH4/head ...), and where
wanted sector, subsector, gas (CO2, CH4, N2O, C or CO2e), uncertainty_pct, scope, gpc, ipcc and source. Its rows come
before the built-in ones; among several the most specific wins.
<h3>What comes out</h3>
The <b>totals</b>: one row per region, year, sector, subsector, land type and scope, with GPC and IPCC categories,
gross_t, sink_t, net_t (= gross_t - sink_t) and their uncertainty_pct. <i>Allocate to parcels</i> takes this table.
On request the <b>lines</b> (each activity line with its factor, source, gas, categories, tonnes and &plusmn; %) and a
<b>report</b> in HTML.
<h3>Method</h3>
Emission = amount x factor x global warming potential. Built-in: eight fuels from EC = LC x CC x COF x 44/12, other
energy, products, livestock, rice, waste and sinks where a published value is known, each with its source; what has
none is asked for. Crop sinks are ca x yield x (1 - w) / HI x 44/12. Grid electricity has no default. Nanjing's scheme
leaves processes and biological sources out. Uncertainty by error propagation: sqrt(amount&sup2; + factor&sup2;) per
line, and lines as independent in sums. Power-plant fuel beside electricity or heat use is counted twice: the Nanjing
scheme deducts the fuel, the Suzhou scheme keeps it, and the log says how many tonnes.
<h3>Sources</h3>
Equations 2 to 7 of the carbon-balance zoning of Suzhou's territorial space (base year 2020); Equations 1 to 3 of the
land-use based carbon pattern of Nanjing (2020), doi 10.3389/fevo.2022.990037; 2006 IPCC Guidelines, Vol. 1, Ch. 3."""

    ACTIVITY = "ACTIVITY"
    FACTORS = "FACTORS"
    SCHEME = "SCHEME"
    GRID_FACTOR = "GRID_FACTOR"
    GWP = "GWP"
    REGION_FIELD = "REGION_FIELD"
    SCHEME_TABLE = "SCHEME_TABLE"
    AMOUNT_UNCERTAINTY = "AMOUNT_UNCERTAINTY"
    FACTOR_UNCERTAINTY = "FACTOR_UNCERTAINTY"
    SHARED_ERRORS = "SHARED_ERRORS"
    OUTPUT = "OUTPUT"
    LINES = "LINES"
    REPORT = "REPORT"
    OUTPUTS = {OUTPUT: "output", LINES: "lines", REPORT: "report"}

    _SCHEMES = ("suzhou", "nanjing")
    _GWP = ("AR4", "AR5", "AR6")

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterFeatureSource(self.ACTIVITY, self.tr("Activity table"), _TABLE),
            "Table (CSV, sheet, layer) with sector, carrier, amount and unit; optional subsector, region, land_type, "
            "year, uncertainty_pct and sector_total.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.SCHEME,
                self.tr("Scheme"),
                [
                    self.tr("Suzhou: six sectors with processes, agriculture, waste and sinks"),
                    self.tr("Nanjing: energy of industry, city, agriculture and rural living"),
                ],
                defaultValue=0,
            ),
            "Says which sectors there are, and their land types, scopes, GPC and IPCC categories.",
        )
        self.add(
            QgsProcessingParameterNumber(
                self.GRID_FACTOR, self.tr("Grid electricity factor (t CO2 per MWh)"), _NUMBER, optional=True
            ),
            "Of the grid and year that the table is about; the same number as kg per kWh. It has no default: needed as "
            "soon as a line uses electricity, unless the factor table has a row for it.",
        )
        self.add(
            QgsProcessingParameterFeatureSource(self.FACTORS, self.tr("Factor table"), _TABLE, optional=True),
            "Own factors, which come before the built-in ones: carrier, factor and unit; optional sector, subsector, "
            "gas, uncertainty_pct, scope, gpc, ipcc and source.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.GWP, self.tr("Global warming potentials"), list(self._GWP), defaultValue=self._GWP.index("AR6")
            ),
            "IPCC assessment report, 100 years; for factors that are given in CH4 or N2O.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterField(
                self.REGION_FIELD,
                self.tr("Region field"),
                defaultValue="region",
                parentLayerParameterName=self.ACTIVITY,
                optional=True,
            ),
            "Field of the activity table that names the region of a line (district, town). Without the field 'region' "
            "all lines belong to one region.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterFeatureSource(self.SCHEME_TABLE, self.tr("Own scheme"), _TABLE, optional=True),
            "A table in place of the scheme above, with the columns of data/scheme_suzhou.csv in the plugin's folder.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterNumber(
                self.AMOUNT_UNCERTAINTY, self.tr("Uncertainty of amounts that give none (%)"), _NUMBER, 5.0
            ),
            "Half of the 95 % range. IPCC 2006 (Vol. 2, Table 2.15) has 3 to 5 % for extrapolated energy statistics.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterNumber(
                self.FACTOR_UNCERTAINTY, self.tr("Uncertainty of own factors that give none (%)"), _NUMBER, 5.0
            ),
            "Half of the 95 % range; for rows of the factor table and for the grid factor.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(
                self.SHARED_ERRORS, self.tr("Lines with one factor share its error"), defaultValue=False
            ),
            "Off: all lines are independent in sums, and many lines make a total look certain. On: the tonnes that "
            "rest on one factor (say, one grid factor in all regions) are added up first.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, self.tr("Totals"), QgsProcessing.SourceType.TypeVector
            ),
            "One row per region, year, sector, subsector, land type and scope, in t CO2e.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.LINES,
                self.tr("Lines"),
                QgsProcessing.SourceType.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            "Every activity line with its factor, source, gas, categories, tonnes and uncertainty.",
        )
        self.add(
            QgsProcessingParameterFileDestination(
                self.REPORT, self.tr("Report"), self.tr("HTML files (*.html)"), optional=True, createByDefault=False
            ),
            "Tables by sector, scope and GPC category with a chart, the checks, and the factors with their sources.",
        )
        for name, description in (
            ("GROSS_T", "Gross emissions, t CO2e"),
            ("SINK_T", "Sinks, t CO2e"),
            ("NET_T", "Net emissions, t CO2e"),
            ("UNCERTAINTY_PCT", "Uncertainty of the net emissions, ± %"),
            ("DEDUCTED_T", "Power-plant fuel deducted, t CO2e"),
            ("COUNTED_TWICE_T", "At most counted twice, t CO2e"),
            ("FAULTY_SUMS", "Printed sums that do not add up"),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, self.tr(description)))

    def request(self, parameters, context, feedback):
        grid_factor = None
        if parameters.get(self.GRID_FACTOR) not in (None, ""):
            grid_factor = self.parameterAsDouble(parameters, self.GRID_FACTOR, context)
        return {
            "activity": self.layer(parameters, self.ACTIVITY, context, feedback),
            "factors": self.layer(parameters, self.FACTORS, context, feedback, required=False),
            "scheme": self._SCHEMES[self.parameterAsEnum(parameters, self.SCHEME, context)],
            "scheme_table": self.layer(parameters, self.SCHEME_TABLE, context, feedback, required=False),
            "grid_factor_t_mwh": grid_factor,
            "gwp": self._GWP[self.parameterAsEnum(parameters, self.GWP, context)],
            "region_field": self.parameterAsString(parameters, self.REGION_FIELD, context) or "region",
            "amount_uncertainty_pct": self.parameterAsDouble(parameters, self.AMOUNT_UNCERTAINTY, context),
            "factor_uncertainty_pct": self.parameterAsDouble(parameters, self.FACTOR_UNCERTAINTY, context),
            "shared_errors": self.parameterAsBoolean(parameters, self.SHARED_ERRORS, context),
        }
