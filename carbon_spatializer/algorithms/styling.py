"""How results are drawn: graduated emissions with readable breaks, and named classes in fixed colours.

A style is what the worker sends with a result:
``{"kind": "graduated", "field": ..., "unit": ..., "breaks": [b0, b1, ...], "ramp": "emission" | "sink"}`` or
``{"kind": "categories", "field": ..., "classes": [[value, colour, label], ...]}``; in both, ``outline`` is the width of
polygon outlines in mm.
"""

from itertools import pairwise

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFillSymbol,
    QgsGradientColorRamp,
    QgsGraduatedSymbolRenderer,
    QgsLineSymbol,
    QgsMarkerSymbol,
    QgsRendererCategory,
    QgsRendererRange,
    QgsSymbol,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtGui import QColor

_RAMPS = {
    "emission": ("#ffffcc", "#fed976", "#fd8d3c", "#e31a1c", "#800026"),
    "sink": ("#f7fcf5", "#c7e9c0", "#74c476", "#238b45", "#00441b"),
}
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
    """Draw the layer at ``path`` in ``style`` and store that as its default style; False when that failed."""
    layer = QgsVectorLayer(path, "result", "ogr")
    if not layer.isValid():
        return False
    layer.setRenderer(renderer(style, layer.geometryType()))
    if path.lower().endswith(".gpkg"):
        return not layer.saveStyleToDatabase("default", "", True, "")
    return layer.saveDefaultStyle(QgsVectorLayer.StyleCategory.AllStyleCategories)[1]


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
    colours = _RAMPS[style.get("ramp", "emission")]
    breaks = style["breaks"]
    count = len(breaks) - 1
    ranges = []
    for index, (low, high) in enumerate(pairwise(breaks)):
        colour = _interpolate(colours, index / max(count - 1, 1))
        label = f"{_number(low)} – {_number(high)} {style['unit']}"
        ranges.append(QgsRendererRange(low, high, symbol(colour), label))
    return QgsGraduatedSymbolRenderer(f'"{style["field"]}"', ranges)


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
