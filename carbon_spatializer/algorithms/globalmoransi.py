"""Global Moran's I: whether emissions cluster at all, per sector and stratum."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterVectorDestination,
)

from .base import CarbonAlgorithm
from .moran import MoranParameters


class GlobalMoransI(MoranParameters, CarbonAlgorithm):
    """Test one or two variables of a layer for spatial autocorrelation."""

    NAME = "globalmoransi"
    TITLE = "Global Moran's I"
    GROUP = "5statistics"
    TAGS = ("Moran", "spatial autocorrelation", "cluster", "bivariate", "Lee's L", "spatial weights", "permutation")
    HELP = """Says with one number whether like values lie side by side (I above its expectation), high beside low
(below it) or at random, and tests it by rearranging the values at random.
<h3>What goes in</h3>
Polygons or points with numbers: emissions per parcel, grid cell or zone.
<h3>What comes out</h3>
A table with a row for the whole and for each field, category and stratum: units, links, moran_i, its expectation and
standard deviation, z_score, p_normal (from z_score), p (permutations), q; for two variables also r and lees_l; and a
note where a row could not be tested (constant values, too few units, no neighbours). The HTML report draws Moran
scatter plots and the permuted statistics.
<h3>Method</h3>
I = n / S<sub>0</sub> · z'Wz / z'z (Moran 1950); bivariate I = n / S<sub>0</sub> · z<sub>x</sub>'W z<sub>y</sub> /
√(z<sub>x</sub>'z<sub>x</sub> z<sub>y</sub>'z<sub>y</sub>), tested by rearranging y. z_score has the mean and variance
under randomisation (Cliff and Ord 1981). Neither I nor p depends on whether z is standardised with n or n - 1. Units
without neighbours stay in n, as in esda and GeoDa."""

    OUTPUT = "OUTPUT"
    REPORT = "REPORT"
    OUTPUTS = {OUTPUT: "output", REPORT: "report"}

    def initAlgorithm(self, configuration=None):
        self.add_variable()
        self.add_stratum("Each stratum is also run by itself.")
        self.add_weights()
        self.add_test(999, "More make p finer: the smallest two-sided p is 2 / (permutations + 1).", 1)
        self.add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, self.tr("Global Moran's I"), QgsProcessing.SourceType.TypeVector
            ),
            "The table.",
        )
        self.add(
            QgsProcessingParameterFileDestination(
                self.REPORT, self.tr("Report"), self.tr("HTML files (*.html)"), optional=True
            ),
            "Moran scatter plots, permuted statistics and how to read them.",
        )
        self.addOutput(QgsProcessingOutputNumber("MORAN_I", self.tr("Moran's I of the first row")))
        self.addOutput(QgsProcessingOutputNumber("Z_SCORE", self.tr("z score of the first row")))
        self.addOutput(QgsProcessingOutputNumber("P", self.tr("p of the first row")))
