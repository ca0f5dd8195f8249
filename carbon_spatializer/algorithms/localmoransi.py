"""Local Moran's I: where emissions cluster, and which units differ from their neighbours."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm
from .moran import MoranParameters


class LocalMoransI(MoranParameters, CarbonAlgorithm):
    """Map clusters of high and low values, and outliers."""

    NAME = "localmoransi"
    TITLE = "Local Moran's I"
    GROUP = "5statistics"
    TAGS = ("Moran", "LISA", "cluster map", "hot spot", "outlier", "HH", "LL", "spatial weights", "permutation")
    HELP = """Maps where high values lie among high ones (HH), low among low (LL), high among low (HL) and low among
high (LH), as far as chance does not explain it.
<h3>What goes in</h3>
Polygons or points with numbers: emissions per parcel, grid cell or zone.
<h3>What comes out</h3>
The layer with<ul>
<li><b>cluster</b>: HH, LL, HL or LH where q is at most the level; else not significant, no neighbours, no value, or
not tested (constant values, too few units);</li>
<li><b>moran_x</b>: the variable as analysed; <b>z</b>: standardised; <b>lag</b>: the neighbours' weighted z;</li>
<li><b>moran_i</b> = z · lag; <b>z_score</b>: its distance from what chance gives, in standard deviations;</li>
<li><b>p</b>, <b>q</b>: raw and corrected; <b>quadrant</b>: HH, LL, HL, LH whether significant or not.</li></ul>
With a category field, columns that begin with <b>cat_</b> hold the same within each category. A table counts clusters
per field, category and stratum; the HTML report has cluster maps and Moran scatter plots.
<h3>Method</h3>
Anselin (1995), conditional permutation: each unit keeps its value, all others are dealt out anew. Where all neighbours
of a unit weigh the same (contiguity, k nearest, distance), one table of random draws serves all units exactly and in
little time; kernel weights and weights of a file that differ are left to esda. The log says which. z_score uses the
exact mean and variance (Sokal et al. 1998).
<h3>Standardisation</h3>
z divides by the standard deviation with n (as esda's z) or n - 1 (as R's scale(), GeoDa and pygeoda). moran_i with
n - 1 equals esda's Is; with n the mean of moran_i is global I. p, q and clusters are the same."""

    DDOF = "DDOF"
    OUTPUT = "OUTPUT"
    TABLE = "TABLE"
    REPORT = "REPORT"
    OUTPUTS = {OUTPUT: "output", TABLE: "table", REPORT: "report"}

    def initAlgorithm(self, configuration=None):
        self.add_variable()
        self.add_stratum("Clusters are counted in each stratum.")
        self.add_weights()
        self.add_test(
            0,
            "0: automatic, 99,999 where all neighbours of a unit weigh the same and 999 with esda. Corrections for "
            "many tests need small p values, and so many permutations; the log warns and says how many.",
            0,
        )
        self.add(
            QgsProcessingParameterEnum(
                self.DDOF,
                self.tr("Standard deviation of z"),
                [self.tr("with n"), self.tr("with n - 1")],
                defaultValue=0,
            ),
            "Scales moran_i, never changes p.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, self.tr("Clusters"), QgsProcessing.SourceType.TypeVectorAnyGeometry
            ),
            "The units with their clusters, drawn in the customary colours.",
        )
        self.add(
            QgsProcessingParameterVectorDestination(
                self.TABLE,
                self.tr("Table of clusters"),
                QgsProcessing.SourceType.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            "Counts per field, category and stratum.",
        )
        self.add(
            QgsProcessingParameterFileDestination(
                self.REPORT, self.tr("Report"), self.tr("HTML files (*.html)"), optional=True
            ),
            "Cluster maps, Moran scatter plots, counts and how to read them.",
        )
        for name, title in (("MORAN_I", "Global Moran's I"), ("SIGNIFICANT", "Significant units")):
            self.addOutput(QgsProcessingOutputNumber(name, self.tr(title)))
        for name in ("HH", "LL", "HL", "LH"):
            self.addOutput(QgsProcessingOutputNumber(name, self.tr(f"Units {name}")))

    def request(self, parameters, context, feedback):
        ddof = self.parameterAsEnum(parameters, self.DDOF, context)
        return super().request(parameters, context, feedback) | {"ddof": ddof}
