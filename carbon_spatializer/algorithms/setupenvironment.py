"""Set up environment: creates or repairs the Python that the other tools compute in."""

import os
from pathlib import Path

from qgis.core import (
    Qgis,
    QgsProcessingException,
    QgsProcessingOutputString,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterString,
    QgsSettings,
)

from ..worker import client, environment
from .base import CarbonAlgorithm


class SetupEnvironment(CarbonAlgorithm):
    """Create or repair the worker's Python, or take an existing interpreter."""

    NAME = "setupenvironment"
    TITLE = "Set up environment"
    GROUP = "0environment"
    TAGS = ("install", "python", "pip", "venv", "conda", "torch", "dependencies")
    HELP = """Makes the Python environment that the other tools compute in, or repairs it. Run it once after installing
the plugin, and again whenever a tool says that something is missing. QGIS's own Python is never touched.
<h3>What happens</h3>
A virtual environment is made in a folder of your user account, and pip installs the packages from wherever pip is
configured to get them on this machine (pip.conf, PIP_ variables, proxies). pip's output is shown in the log. The tool
can be cancelled at any time; running it again picks up or starts over as needed.
<h3>Parts</h3>
<b>base</b>: layers, tables, rasters, statistics and charts (about 1 GB).<br>
<b>deep</b>: base, and torch and transformers for the tools with neural networks (about 2 GB with a CPU build).
<h3>CPU or CUDA</h3>
pip's configured index decides which build of torch arrives. PyPI offers the CUDA build on Linux (several GB) and the
CPU build on Windows. For the other one, give the address of PyTorch's own index as <i>Further index for torch</i>;
PyTorch's site names it for each driver under 'Get started'. With the device CUDA the tool makes sure at the end that
torch finds the GPU.
<h3>An interpreter of your own</h3>
Under the advanced parameters an existing interpreter (conda, system) can be given instead; it is checked, nothing is
installed into it, and it is remembered until this tool is run without one."""

    PART = "PART"
    DEVICE = "DEVICE"
    FOLDER = "FOLDER"
    TORCH_INDEX = "TORCH_INDEX"
    PYTHON = "PYTHON"
    OUTPUT_PYTHON = "OUTPUT_PYTHON"

    _DEVICES = ("cpu", "cuda")

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterEnum(
                self.PART,
                self.tr("Part"),
                [
                    self.tr("base: layers, tables, rasters, statistics"),
                    self.tr("deep: base, and torch and transformers for neural networks"),
                ],
                defaultValue=0,
            ),
            "base is enough for accounting, allocation, aggregation and zoning; deep contains base.",
        )
        self.add(
            QgsProcessingParameterEnum(
                self.DEVICE,
                self.tr("Device for neural networks"),
                [self.tr("CPU"), self.tr("CUDA (NVIDIA GPU)")],
                defaultValue=0,
            ),
            "Counts for the part deep only. With CUDA the tool makes sure that torch finds the GPU.",
        )
        self.add(
            QgsProcessingParameterFile(
                self.FOLDER,
                self.tr("Folder of the environment"),
                behavior=Qgis.ProcessingFileParameterBehavior.Folder,
                optional=True,
            ),
            "A new or empty folder, or one that this tool made before. Empty: one folder per user account.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterString(self.TORCH_INDEX, self.tr("Further index for torch"), optional=True),
            "Address of a package index that pip asks for torch beside the configured one. Empty: none.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterFile(
                self.PYTHON, self.tr("Existing interpreter"), optional=True, fileFilter=self.tr("All files (*)")
            ),
            "Program file of a Python that has all packages already (conda, system). It is checked and remembered, "
            "and nothing is installed. Empty: the environment is made with pip.",
            advanced=True,
        )
        self.addOutput(QgsProcessingOutputString(self.OUTPUT_PYTHON, self.tr("The worker's Python")))

    def processAlgorithm(self, parameters, context, feedback):
        own = self.parameterAsFile(parameters, self.PYTHON, context)
        python = self._take(Path(own), feedback) if own else self._make(parameters, context, feedback)
        overriding = os.environ.get(environment.VARIABLE)
        if overriding and Path(overriding) != python:
            feedback.pushWarning(
                self.tr(f"The tools use '{overriding}', because the variable {environment.VARIABLE} says so.")
            )
        return {self.OUTPUT_PYTHON: str(python)}

    def _make(self, parameters, context, feedback) -> Path:
        base, problem = environment.base_interpreter()
        if base is None:
            raise QgsProcessingException(
                self.tr(
                    f"No Python was found to make the environment from ({problem}); install one or give the "
                    f"interpreter of an environment of your own as {self.PYTHON}."
                )
            )
        part = environment.PARTS[self.parameterAsEnum(parameters, self.PART, context)]
        folder = Path(self.parameterAsFile(parameters, self.FOLDER, context) or environment.default_folder())
        arguments = {
            "part": part,
            "folder": str(folder.absolute()),
            "device": self._DEVICES[self.parameterAsEnum(parameters, self.DEVICE, context)],
            "torch_index": self.parameterAsString(parameters, self.TORCH_INDEX, context) or None,
        }
        feedback.pushInfo(self.tr(f"The environment is made from '{base}'."))
        try:
            result = client.run(self.NAME, arguments, [], feedback, base)
        except QgsProcessingException:
            if feedback.isCanceled():
                raise QgsProcessingException(
                    self.tr("Cancelled; run the tool again to finish the environment.")
                ) from None
            raise
        feedback.pushInfo(result["summary"])
        python = Path(result["python"])
        if python == environment.python_in(environment.default_folder()):
            QgsSettings().remove(environment.SETTING)
        else:
            QgsSettings().setValue(environment.SETTING, str(python))
        return python

    def _take(self, python: Path, feedback) -> Path:
        result = client.run("checkenvironment", {}, [], feedback, python)
        if not result["base_ready"]:
            raise QgsProcessingException(
                self.tr(
                    f"Parameter {self.PYTHON}: '{python}' lacks {', '.join(result['missing']['base'])}. Install them "
                    f'there (pip install -r "{environment.requirements("base")}") or choose another interpreter.'
                )
            )
        QgsSettings().setValue(environment.SETTING, str(python))
        feedback.pushInfo(self.tr(f"The tools compute with '{python}' from now on."))
        return python
