"""Check environment: says what the other tools compute with, what is missing, and the mend."""

import json

from qgis.core import QgsProcessingException, QgsProcessingOutputBoolean, QgsProcessingOutputString

from ..worker import client
from .base import CarbonAlgorithm


class CheckEnvironment(CarbonAlgorithm):
    """Report on the worker's Python; never fails because something is missing."""

    NAME = "checkenvironment"
    TITLE = "Check environment"
    GROUP = "0environment"
    TAGS = ("python", "version", "torch", "cuda", "dependencies", "diagnosis")
    HELP = """Says which Python the tools compute with, which packages it has in which versions, which device neural
networks would run on, what is missing, and how to mend it. Nothing is changed. The sentences are in the log; the
outputs say the same for scripts and models: whether the parts <b>base</b> (all tools but those with neural networks)
and <b>deep</b> are ready, the interpreter, the device, and everything as JSON."""

    OUTPUT_READY = "OUTPUT_READY"
    OUTPUT_DEEP_READY = "OUTPUT_DEEP_READY"
    OUTPUT_PYTHON = "OUTPUT_PYTHON"
    OUTPUT_DEVICE = "OUTPUT_DEVICE"
    OUTPUT_REPORT = "OUTPUT_REPORT"

    def initAlgorithm(self, configuration=None):
        self.addOutput(QgsProcessingOutputBoolean(self.OUTPUT_READY, self.tr("Part base is ready")))
        self.addOutput(QgsProcessingOutputBoolean(self.OUTPUT_DEEP_READY, self.tr("Part deep is ready")))
        self.addOutput(QgsProcessingOutputString(self.OUTPUT_PYTHON, self.tr("The worker's Python")))
        self.addOutput(QgsProcessingOutputString(self.OUTPUT_DEVICE, self.tr("Device for neural networks")))
        self.addOutput(QgsProcessingOutputString(self.OUTPUT_REPORT, self.tr("Report as JSON")))

    def processAlgorithm(self, parameters, context, feedback):
        report = {"base_ready": False, "deep_ready": False, "device": "", "python": str(client.interpreter())}
        try:
            report |= client.run(self.NAME, {}, [], feedback)
        except QgsProcessingException as error:
            if feedback.isCanceled():
                raise
            report["summary"] = str(error)
        tell = feedback.pushInfo if report["base_ready"] else feedback.pushWarning
        tell(report["summary"])
        return {
            self.OUTPUT_READY: report["base_ready"],
            self.OUTPUT_DEEP_READY: report["deep_ready"],
            self.OUTPUT_PYTHON: report["python"],
            self.OUTPUT_DEVICE: report["device"],
            self.OUTPUT_REPORT: json.dumps(report, ensure_ascii=False),
        }
