"""What every tool shares: names, help, the request to the worker, and the styled result."""

import os
from pathlib import Path

from qgis.core import (
    Qgis,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingUtils,
    QgsVectorFileWriter,
)
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon

from ..worker import client
from . import styling

_ICONS = Path(__file__).resolve().parents[1] / "icons"
# Formats that the worker reads as they are; any other layer is exported first.
_FORMATS = ["gpkg", "shp", "geojson", "json", "fgb", "csv"]


# QGIS keeps no reference to a Python post-processor, and calls it when the tool itself may be gone.
_post_processors = []


class CarbonAlgorithm(QgsProcessingAlgorithm):
    """A tool that hands its work to a job of the same name in the worker.

    A child sets the class constants and implements ``initAlgorithm`` and ``request``.
    ``request`` returns the job's arguments; those named in ``OUTPUTS`` are destinations.
    """

    NAME = ""  # the tool's id and the job's name
    TITLE = ""
    GROUP = ""  # one of the groups below
    HELP = ""
    TAGS: tuple[str, ...] = ()
    # Output parameter -> argument of the job that receives the destination's path.
    OUTPUTS: dict[str, str] = {}

    # id -> title, in the order of the work; the id is also the icon's file name
    GROUPS = {
        "0environment": "0 · Set up",
        "1accounting": "1 · Sector accounting",
        "2allocation": "2 · Allocation",
        "3poi": "3 · POI classification",
        "4downscaling": "4 · SVR-ZSSR downscaling",
        "5statistics": "5 · Spatial statistics",
        "6zoning": "6 · Carbon-balance zoning",
    }

    def name(self):
        return self.NAME

    def displayName(self):
        return self.tr(self.TITLE)

    def group(self):
        return self.GROUPS[self.GROUP]

    def groupId(self):
        return self.GROUP

    def icon(self):
        return QIcon(str(_ICONS / f"{self.GROUP}.svg"))

    def tags(self):
        return list(self.TAGS)

    def shortHelpString(self):
        # QGIS makes a paragraph of every line; the help's line breaks are only those of the source.
        return " ".join(self.tr(self.HELP).split())

    def createInstance(self):
        return type(self)()

    def tr(self, text):
        return QCoreApplication.translate("CarbonSpatializer", text)

    def add(self, parameter, help_text, advanced=False, **kwargs):
        """Add a parameter with its help."""
        parameter.setHelp(self.tr(help_text))
        if advanced:
            parameter.setFlags(parameter.flags() | parameter.Flag.FlagAdvanced)
        self.addParameter(parameter, **kwargs)

    def request(self, parameters, context, feedback) -> dict:
        """The job's arguments, without the destinations."""
        raise NotImplementedError

    def processAlgorithm(self, parameters, context, feedback):
        destinations = {}
        for output in self.OUTPUTS:
            path = self.parameterAsOutputLayer(parameters, output, context) or self.parameterAsFileOutput(
                parameters, output, context
            )
            if path:
                destinations[output] = path
        arguments = self.request(parameters, context, feedback)
        arguments |= {self.OUTPUTS[output]: path for output, path in destinations.items()}
        result = client.run(self.NAME, arguments, list(destinations.values()), feedback)
        feedback.pushInfo(result["summary"])
        by_argument = {argument: output for output, argument in self.OUTPUTS.items()}
        for argument, style in result.get("styles", {}).items():
            output = by_argument[argument]
            if output in destinations:
                self._style(destinations[output], style, context, feedback)
        numbers = {key.upper(): value for key, value in result.items() if isinstance(value, (int, float))}
        return destinations | numbers

    def _style(self, path, style, context, feedback):
        """Store the style as the layer's default, and have the project use it when it loads the layer."""
        if not styling.save_default(path, style):
            feedback.pushWarning(
                self.tr(f"The style of '{path}' could not be stored; the layer is drawn in one colour.")
            )
        if context.willLoadLayerOnCompletion(path):
            details = context.layerToLoadOnCompletionDetails(path)
            _post_processors.append(_DefaultStyle())
            details.setPostProcessor(_post_processors[-1])

    # What goes into the request -----------------------------------------------------------------------------------

    def layer(self, parameters, name, context, feedback, required=True):
        """A vector parameter as a source for the worker: its path, the layer's name in it, and its CRS."""
        source = self.parameterAsSource(parameters, name, context)
        if source is None:
            if required:
                raise QgsProcessingException(self.invalidSourceError(parameters, name))
            return None
        layer = self.parameterAsVectorLayer(parameters, name, context)
        if layer is not None and _differs_from_its_file(layer):
            path, layer_name = self._export(layer, parameters[name], name, context), ""
        else:
            path, layer_name = self.parameterAsCompatibleSourceLayerPathAndLayerName(
                parameters, name, context, _FORMATS, "gpkg", feedback
            )
        return {"path": path, "layer": layer_name, "crs": _crs_text(source.sourceCrs())}

    def _export(self, layer, value, name, context):
        """Write a layer to a temporary file, with the joins, virtual fields and edits that its own file lacks."""
        path = QgsProcessingUtils.generateTempFilename(f"{name}.gpkg", context)
        options = QgsVectorFileWriter.SaveVectorOptions()
        options.driverName = "GPKG"
        options.onlySelectedFeatures = getattr(value, "selectedFeaturesOnly", False)
        error, message, *_ = QgsVectorFileWriter.writeAsVectorFormatV3(layer, path, context.transformContext(), options)
        if error != QgsVectorFileWriter.WriterError.NoError:
            text = f"Parameter {name}: '{layer.name()}' could not be exported ({message}); save it as a GeoPackage."
            raise QgsProcessingException(self.tr(text))
        return path

    def raster(self, parameters, name, context):
        """A raster parameter as a source for the worker, or None."""
        value = parameters.get(name)
        if isinstance(value, str) and os.path.isfile(value) and not _known_layer(value, context):
            # The file stays closed here: QGIS would compute its statistics, which takes longer than some jobs.
            return {"path": str(Path(value).absolute())}
        layer = self.parameterAsRasterLayer(parameters, name, context)
        return None if layer is None else self._raster_source(layer, name)

    def rasters(self, parameters, name, context):
        """A parameter of several rasters as a list of sources for the worker."""
        layers = self.parameterAsLayerList(parameters, name, context)
        return [self._raster_source(layer, name) for layer in layers]

    def _raster_source(self, layer, name):
        if layer.dataProvider().name() != "gdal":
            raise QgsProcessingException(
                self.tr(f"Parameter {name}: '{layer.name()}' is not a file; save it as a GeoTIFF and choose that.")
            )
        return {"path": layer.source(), "crs": _crs_text(layer.crs())}

    def crs(self, parameters, name, context):
        """A CRS parameter as text for the worker, or None."""
        crs = self.parameterAsCrs(parameters, name, context)
        return _crs_text(crs) if crs.isValid() else None


def _known_layer(text, context) -> bool:
    """Whether a text means a layer of the project or of the model that runs."""
    return QgsProcessingUtils.mapLayerFromString(text, context, allowLoadingNewLayers=False) is not None


def _differs_from_its_file(layer) -> bool:
    """Whether a layer shows joins, virtual fields or unsaved edits, which the worker would not see in its file."""
    return layer.fields().count() != layer.dataProvider().fields().count() or layer.isModified()


def _crs_text(crs) -> str:
    """A CRS by its public code, or as WKT where it has none."""
    public = crs.authid().partition(":")[0] in ("EPSG", "ESRI", "OGC", "IGNF")
    return crs.authid() if public else crs.toWkt(Qgis.CrsWktVariant.Preferred)


class _DefaultStyle(QgsProcessingLayerPostProcessorInterface):
    def postProcessLayer(self, layer, context, feedback):
        layer.loadDefaultStyle()
        layer.triggerRepaint()
