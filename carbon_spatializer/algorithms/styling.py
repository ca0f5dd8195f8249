"""How results are drawn: graduated emissions with readable breaks, and named classes in fixed colours.

A style is what the worker sends with a result:
``{"kind": "graduated", "field": ..., "unit": ..., "breaks": [b0, b1, ...], "ramp": "emission" | "sink" | ...}`` or
``{"kind": "categories", "field": ..., "classes": [[value, colour, label], ...]}``; in both, ``outline`` is the width of
polygon outlines in mm. A raster has ``{"kind": "raster", "unit": ..., "breaks": ..., "ramp": ...}`` (the ramp
``difference`` has its middle at zero; ``zero`` names cells of zero that are to stand apart) or
``{"kind": "raster classes", "classes": [[value, colour, label], ...]}``.
"""

from itertools import pairwise

from qgis.core import (
    Qgis,
    QgsCategorizedSymbolRenderer,
    QgsColorRampShader,
    QgsFillSymbol,
    QgsGradientColorRamp,
    QgsGraduatedSymbolRenderer,
    QgsLineSymbol,
    QgsMapLayer,
    QgsMarkerSymbol,
    QgsPalettedRasterRenderer,
    QgsRasterLayer,
    QgsRasterShader,
    QgsRendererCategory,
    QgsRendererRange,
    QgsSingleBandPseudoColorRenderer,
    QgsSymbol,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtGui import QColor

_RAMPS = {
    "emission": ("#ffffcc", "#fed976", "#fd8d3c", "#e31a1c", "#800026"),
    "difference": ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b"),
    "sink": ("#f7fcf5", "#c7e9c0", "#74c476", "#238b45", "#00441b"),
}
_ZERO = "#eeeeea"
# Geometry type -> maker of a symbol and its settings.
_SYMBOLS = {
    QgsWkbTypes.GeometryType.PointGeometry: (QgsMarkerSymbol.createSimple, {"size": "1", "outline_style": "no"}),
    QgsWkbTypes.GeometryType.LineGeometry: (QgsLineSymbol.createSimple, {"line_width": "0.3"}),
    QgsWkbTypes.GeometryType.PolygonGeometry: (
        QgsFillSymbol.createSimple,
        {"outline_color": "120,120,120,90", "outline_width": "0.05"},
    ),
}


def save_default(path: str, style: dict) -> bool:
    """Draw the layer at ``path`` in ``style`` and store that as its default style; False when that failed.

    A table without geometry has nothing to draw.
    """
    if style["kind"].startswith("raster"):
        return _save_raster(path, style)
    layer = QgsVectorLayer(path, "result", "ogr")
    if not layer.isValid():
        return False
    if not layer.isSpatial():
        return True
    # A Shapefile keeps ten characters of a field's name.
    field = next((name for name in (style["field"], style["field"][:10]) if name in layer.fields().names()), None)
    if field is None:
        return False
    layer.setRenderer(renderer(style | {"field": field}, layer.geometryType()))
    if path.lower().endswith(".gpkg"):
        return not layer.saveStyleToDatabase("default", "", True, "")
    return layer.saveDefaultStyle(QgsMapLayer.StyleCategory.AllStyleCategories)[1]


def _save_raster(path: str, style: dict) -> bool:
    layer = QgsRasterLayer(path, "result", "gdal")
    if not layer.isValid():
        return False
    layer.setRenderer(raster_renderer(style, layer.dataProvider()))
    return layer.saveDefaultStyle(QgsMapLayer.StyleCategory.AllStyleCategories)[1]


def raster_renderer(style: dict, provider):
    """The renderer of the first band for a raster's style."""
    if style["kind"] == "raster classes":
        classes = [QgsPalettedRasterRenderer.Class(value, QColor(c), label) for value, c, label in style["classes"]]
        return QgsPalettedRasterRenderer(provider, 1, classes)
    breaks = style["breaks"]
    items = [QgsColorRampShader.ColorRampItem(high, colour, label) for _, high, colour, label in _classes(style)]
    items[-1].value = float("inf")  # a discrete class holds what lies below its value
    if "zero" in style:
        items.insert(0, QgsColorRampShader.ColorRampItem(0.0, QColor(_ZERO), style["zero"]))
    function = QgsColorRampShader(breaks[0], breaks[-1], None, Qgis.ShaderInterpolationMethod.Discrete)
    function.setColorRampItemList(items)
    shader = QgsRasterShader()
    shader.setRasterShaderFunction(function)
    made = QgsSingleBandPseudoColorRenderer(provider, 1, shader)
    made.setClassificationMin(breaks[0])
    made.setClassificationMax(breaks[-1])
    return made


def renderer(style: dict, geometry=QgsWkbTypes.GeometryType.PolygonGeometry):
    """The renderer for a style, with symbols for points, lines or polygons."""
    create, settings = _SYMBOLS[geometry]
    if "outline" in style:
        settings = settings | {"outline_width": str(style["outline"])}

    def symbol(colour) -> QgsSymbol:
        made = create(settings)
        made.setColor(QColor(colour))
        return made

    return {"graduated": _graduated, "categories": _categories}[style["kind"]](style, symbol)


def _graduated(style: dict, symbol) -> QgsGraduatedSymbolRenderer:
    ranges = [QgsRendererRange(low, high, symbol(colour), label) for low, high, colour, label in _classes(style)]
    return QgsGraduatedSymbolRenderer(f'"{style["field"]}"', ranges)


def _classes(style: dict) -> list[tuple[float, float, QColor, str]]:
    """Bounds, colour and label of the classes between a style's breaks."""
    colours = _RAMPS[style.get("ramp", "emission")]
    breaks = style["breaks"]
    places = _diverging(breaks) if style.get("ramp") == "difference" else _even(len(breaks) - 1)
    return [
        (low, high, _interpolate(colours, place), f"{_number(low)} – {_number(high)} {style['unit']}")
        for (low, high), place in zip(pairwise(breaks), places)
    ]


def _even(count: int) -> list[float]:
    return [index / max(count - 1, 1) for index in range(count)]


def _diverging(breaks: list[float]) -> list[float]:
    """Places on a ramp whose middle is zero: classes below zero on the left half, those above on the right."""
    below = sum(high <= 0 for high in breaks[1:])
    above = len(breaks) - 1 - below
    left = [0.4 * (index + 0.5) / below for index in range(below)]
    return left + [0.6 + 0.4 * (index + 0.5) / above for index in range(above)]


def _number(value: float) -> str:
    """A break as a reader writes it, without exponents."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.6g}"


def _interpolate(colours: tuple[str, ...], position: float) -> QColor:
    place = position * (len(colours) - 1)
    start = min(int(place), len(colours) - 2)
    return QgsGradientColorRamp(QColor(colours[start]), QColor(colours[start + 1])).color(place - start)


def _categories(style: dict, symbol) -> QgsCategorizedSymbolRenderer:
    categories = [QgsRendererCategory(value, symbol(colour), label) for value, colour, label in style["classes"]]
    return QgsCategorizedSymbolRenderer(style["field"], categories)
