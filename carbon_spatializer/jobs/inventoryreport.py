"""The report on two compared emission maps: figures, maps side by side, cells and Lorenz curves."""

import numpy as np
import pandas as pd
import pyproj
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from rasterio.windows import Window
from scipy import ndimage

from ..core import inventories
from . import rasters
from .report import page
from .report import table as html_table

UNIT = "t CO2/km²"

_PANEL_CELLS = 600
_CLOSE_UPS = 4
_CURVE_POINTS = 1001
_HEADINGS = {
    "region": "place",
    "input_t": "map, t CO2",
    "inventory_t": "inventory, t CO2",
    "bias": "bias, t/km²",
    "bias_pct": "bias, %",
    "rmse": "RMSE, t/km²",
    "nrmse": "RMSE / mean",
    "r_log": "r of logs",
    "ssim": "SSIM",
    "gini_input": "Gini, map",
    "gini_inventory": "Gini, inventory",
    "top10_input_pct": "densest 10 %, map, %",
    "top10_inventory_pct": "densest 10 %, inventory, %",
    "built_up_input_pct": "built-up, map, %",
    "built_up_inventory_pct": "built-up, inventory, %",
}
_FORMATS = {"cells": "{:,.0f}", "map, t CO2": "{:,.0f}", "inventory, t CO2": "{:,.0f}", "bias, %": "{:+.2f}"}
_SECOND_TABLE = ("SSIM", "Gini", "densest", "built-up")


def comparison(compared, figures: pd.DataFrame, summary: str, maps: tuple) -> str:
    """The HTML page.

    compared : the ``Compared`` maps of the job; figures : its table; maps : the two rasters on their own grids.
    """
    sections = [
        ("", summary),
        (
            "How to read it",
            [
                "Both maps are brought to t CO2 per year and to the common grid, where each cell gives its total to "
                "the cells that it lies in by area. Errors are of densities in t CO2 per km2 of the ground that both "
                "maps cover.",
                "Bias and RMSE are input minus inventory; r is Pearson's, r of logs that of log(1 + x / mean). SSIM "
                "compares structure in windows of 7 x 7 cells of log(1 + x), 1 being equal.",
                "The Gini coefficient and the share of the densest 10 % of the ground tell how concentrated a map is. "
                "An inventory is itself an estimate: agreement is no proof, and difference no error.",
            ],
        ),
        ("Figures", _figure_tables(figures)),
        ("Side by side", _side_by_side(compared, maps)),
        ("Cell by cell, and concentration", _charts(compared, [raster.name for raster in maps])),
    ]
    return page(f"{maps[0].name} against {maps[1].name}", sections)


def _figure_tables(figures: pd.DataFrame) -> list:
    """Totals and errors, and structure and concentration; places as rows."""
    shown = figures.rename(columns=_HEADINGS)
    formats = {heading: pattern for heading, pattern in _FORMATS.items() if heading in shown}
    later = [heading for heading in shown if heading.startswith(_SECOND_TABLE)]
    first = shown.drop(columns=later)
    second = shown[["place", *later]]
    return [html_table(table, {name: formats.get(name, "{:.4g}") for name in table}) for table in (first, second)]


def _side_by_side(compared, maps: tuple) -> Figure:
    """Both maps in their own cells, on one scale of colours: the whole, and the places where most is emitted."""
    places = [("whole", Window(0, 0, compared.grid.width, compared.grid.height)), *_close_ups(compared)]
    positive = np.concatenate([values[values > 0] for values in (compared.mine, compared.other)])
    low, high = np.quantile(positive, [0.05, 0.999]) if len(positive) else (0.1, 1.0)
    norm = LogNorm(max(low, high / 1e5), max(high, low * 1.001), clip=True)
    figure = Figure(figsize=(10, 1 + 4 * len(places)), layout="constrained")
    all_axes = figure.subplots(len(places), 2, squeeze=False)
    for axes_row, (title, window) in zip(all_axes, places):
        for axes, raster in zip(axes_row, maps):
            image, extent = _panel(raster, compared, window)
            middle = np.radians((extent[2] + extent[3]) / 2)
            aspect = 1 / np.cos(middle) if raster.grid.crs.is_geographic else 1
            shown = axes.imshow(image, norm=norm, cmap="YlOrRd", extent=extent, interpolation="nearest", aspect=aspect)
            axes.set_title(f"{raster.name}: {title}", fontsize=10)
            axes.set_facecolor("#eeeeee")
            axes.tick_params(labelsize=7)
    bar = {"location": "top", "shrink": 0.6, "aspect": 40, "pad": 0.01, "extend": "both"}
    figure.colorbar(shown, ax=all_axes[0], label=f"{UNIT} per year, all maps", **bar)
    return figure


def _panel(raster, compared, window: Window) -> tuple[np.ndarray, tuple]:
    """Densities in t per km2 of a raster's own cells, thinned to what a panel shows, and their extent."""
    around = raster.grid.window_of(compared.grid.part(window))
    step = max(1, -(-max(around.width, around.height) // _PANEL_CELLS))
    part = raster.grid.part(around)
    coarse = part.coarsened(step)
    totals, ground = (rasters.resampled(source, coarse, "sum").read() for source in (raster, rasters.Ground(raster)))
    west, south, east, north = coarse.bounds
    return totals / ground * 1e6, (west, east, south, north)


def _close_ups(compared) -> list[tuple[str, Window]]:
    """Windows around the places of the largest emissions, apart from each other; none of a small grid."""
    height, width = compared.grid.shape
    side = max(12, min(height, width) // 8)
    if min(height, width) < 3 * side:
        return []
    heat = ndimage.uniform_filter(np.nan_to_num(compared.mine + compared.other), side, mode="constant")
    to_degrees = pyproj.Transformer.from_crs(compared.grid.crs, 4326, always_xy=True)
    places = []
    while len(places) < _CLOSE_UPS and heat.max() > 0:
        row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
        top = int(np.clip(row - side // 2, 0, height - side))
        left = int(np.clip(column - side // 2, 0, width - side))
        east, north = to_degrees.transform(*(compared.grid.transform @ (left + side / 2, top + side / 2)))
        places.append((f"around {north:.2f}°, {east:.2f}°", Window(left, top, side, side)))
        heat[max(0, top - side) : top + 2 * side, max(0, left - side) : left + 2 * side] = 0
    return places


def _charts(compared, titles: list[str]) -> Figure:
    """Both maps cell by cell, and their Lorenz curves."""
    valid = np.isfinite(compared.mine)
    mine, other, ground = compared.mine[valid], compared.other[valid], compared.ground[valid]
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    cells, curves = figure.subplots(1, 2)
    both = (mine > 0) & (other > 0)
    if both.any():
        shown = cells.hexbin(
            other[both],
            mine[both],
            gridsize=50,
            bins="log",
            xscale="log",
            yscale="log",
            mincnt=1,
            cmap="YlOrRd",
            lw=0.1,
        )
        figure.colorbar(shown, ax=cells, label="cells")
        ends = [min(mine[both].min(), other[both].min()), max(mine[both].max(), other[both].max())]
        cells.plot(ends, ends, color="#444", lw=0.8, ls="--")
    cells.set(xlabel=f"{titles[1]}, {UNIT}", ylabel=f"{titles[0]}, {UNIT}", title="Cells with emissions in both")
    for density, title, colour in ((mine, titles[0], "#d7191c"), (other, titles[1], "#2b83ba")):
        places, curve = inventories.lorenz(density * ground, ground)
        shown_at = np.linspace(0, 1, _CURVE_POINTS)
        curves.plot(100 * shown_at, 100 * np.interp(shown_at, places, curve), color=colour, label=title)
    curves.plot([0, 100], [0, 100], color="#444", lw=0.8, ls="--", label="evenly spread")
    curves.axvline(100 * (1 - inventories.TOP_SHARE), color="#888", lw=0.8, ls=":")
    curves.set(xlabel="ground, % (least dense first)", ylabel="emissions, %", title="Lorenz curves")
    curves.legend(frameon=False, loc="upper left")
    for axes in (cells, curves):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
