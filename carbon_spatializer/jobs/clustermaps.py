"""How the results of Moran's I are shown: colours of clusters, cluster maps, scatter plots and HTML reports."""

from collections.abc import Iterator

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from matplotlib.figure import Figure

from ..core import autocorrelation
from .report import page
from .report import table as html_table

NOT_SIGNIFICANT, NO_NEIGHBOURS, NO_VALUE, NOT_TESTED = "not significant", "no neighbours", "no value", "not tested"
CLUSTERS = ("HH", "LL", "HL", "LH")
ALL = "all"

# The customary colours of cluster maps, as in GeoDa.
COLOURS = {
    "HH": "#ff0000",
    "LL": "#0000ff",
    "HL": "#f4ada8",
    "LH": "#a7adf9",
    NOT_SIGNIFICANT: "#eeeeee",
    NO_NEIGHBOURS: "#999999",
    NO_VALUE: "#464646",
    NOT_TESTED: "#c8c8c8",
}
_LONG = {
    "HH": "HH: high among high",
    "LL": "LL: low among low",
    "HL": "HL: high among low",
    "LH": "LH: low among high",
}
_OTHERS = "other units"
_MOST_POLYGONS_DRAWN = 20_000
_MOST_POINTS_DRAWN = 20_000
_MOST_FIGURES = 6


def engine_words(engine: str) -> str:
    """Which engine gave the p values of local Moran's I, and why."""
    if engine == autocorrelation.ESDA:
        return "esda's conditional permutation, since a unit's neighbours differ in weight"
    return "exact shared-table permutation, since all neighbours of a unit weigh the same"


def p_text(p: float) -> str:
    """A p value for a sentence."""
    return f"{p:.3g}"


def style(cluster: np.ndarray, field: str) -> dict:
    """Style of a layer of clusters, with the number of units of every class."""
    names, counts = np.unique(cluster.astype(str), return_counts=True)
    found = dict(zip(names, counts))
    classes = [
        [name, colour, f"{_LONG.get(name, name)} ({found.get(name, 0):,})"]
        for name, colour in COLOURS.items()
        if name in found or name in CLUSTERS or name == NOT_SIGNIFICANT
    ]
    return {"kind": "categories", "field": field, "classes": classes}


def global_report(about: list[str], result_table: pd.DataFrame, kept: list, test: str) -> str:
    """HTML page of global Moran's I.

    Parameters
    ----------
    about : sentences on what was analysed.
    kept : per test its name, x, y (or None), weights and ``GlobalMoran``.
    """
    figures = [_global_figure(*parts) for parts in kept[:_MOST_FIGURES]]
    if len(kept) > len(figures):
        figures.append(f"The first {len(figures)} of {len(kept)} tests are drawn; all are in the table.")
    reading = [
        "Moran's I above its expectation: like values lie side by side; below it: high beside low. p is the share of "
        "random rearrangements at least as extreme, q is p corrected for the number of rows.",
        "The slope of the scatter plot is Moran's I of row-standardised weights. With a second variable I mixes how "
        "the two go together in place (r) with how they go together with their surroundings; compare r and Lee's L "
        "before reading it as spatial.",
    ]
    return page(
        "Global Moran's I",
        [
            ("", about),
            ("Result", [_global_html(result_table), f"{test}."]),
            ("Moran scatter plots and permuted statistics", figures),
            ("How to read it", reading),
        ],
    )


def _global_html(result_table: pd.DataFrame) -> str:
    formats = {"units": "{:,.0f}", "tested": "{:,.0f}", "missing": "{:,.0f}", "no_neighbours": "{:,.0f}"}
    formats |= {"moran_i": "{:.4f}", "expected_i": "{:.4f}", "sd": "{:.4f}", "z_score": "{:.2f}", "links": "{:,.0f}"}
    formats |= {"mean_neighbours": "{:.2f}", "r": "{:.4f}", "lees_l": "{:.4f}"}
    return html_table(result_table, formats | dict.fromkeys(("p", "p_normal", "q"), "{:.3g}"))


def _global_figure(name: str, x: np.ndarray, y: np.ndarray | None, matrix, result) -> Figure:
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    z = autocorrelation.standardise(x)
    _draw_scatter(
        left, z, matrix @ autocorrelation.standardise(x if y is None else y), np.full(len(z), "#4477aa", object)
    )
    left.set_title(name, fontsize=10)
    right.hist(result.simulated, bins=40, color="#bbbbbb")
    right.axvline(result.i, color="#cc3311", lw=2)
    right.axvline(result.expected, color="#333333", lw=1, ls="--")
    right.set(xlabel="Moran's I of random rearrangements", ylabel="permutations")
    title = f"observed {result.i:.4f} (red), expected {result.expected:.4f} (dashed), p = {p_text(result.p)}"
    right.set_title(title, fontsize=10)
    right.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_scatter(axes, z: np.ndarray, lag: np.ndarray, colours: np.ndarray) -> None:
    """Moran scatter plot; its line through the origin has the slope of global I."""
    linked = np.flatnonzero(np.isfinite(lag))
    shown = linked
    if len(shown) > _MOST_POINTS_DRAWN:
        shown = np.random.default_rng(0).choice(shown, _MOST_POINTS_DRAWN, replace=False)
        axes.text(
            0.02, 0.98, f"{len(shown):,} of {len(linked):,} units", transform=axes.transAxes, va="top", fontsize=8
        )
    slope = np.sum(z[linked] * lag[linked]) / np.sum(z[linked] ** 2)
    axes.scatter(z[shown], lag[shown], s=10, c=list(colours[shown]), edgecolors="#66666666", linewidths=0.3)
    axes.axhline(0, color="#999999", lw=0.8)
    axes.axvline(0, color="#999999", lw=0.8)
    ends = np.array([z[linked].min(), z[linked].max()])
    axes.plot(ends, slope * ends, color="#222222", lw=1.5, label=f"slope {slope:.4f}")
    axes.set(xlabel="standardised value z", ylabel="neighbours' value (lag of z)")
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)


def local_report(about: list[str], frame: gpd.GeoDataFrame, result_table: pd.DataFrame, kept: list) -> str:
    """HTML page of local Moran's I.

    Parameters
    ----------
    about : sentences on what was analysed.
    frame : the layer.
    kept : per run its name, the rows of its units, its ``LocalMoran`` and its clusters.
    """
    sections = [("", about), ("Counts", [_local_html(result_table), *_share_figures(result_table)])]
    for name, units, result, cluster in kept[:_MOST_FIGURES]:
        figures = [_map(frame, units, cluster), _scatter(result, cluster)]
        sections.append((f"Cluster map and Moran scatter plot: {name}", figures))
    if len(kept) > _MOST_FIGURES:
        sections.append(("", f"The first {_MOST_FIGURES} of {len(kept)} runs are drawn; all are in the table."))
    reading = [
        "HH: high values among high ones, LL: low among low, HL: a high value among low ones, LH: a low value among "
        "high ones. A unit has its colour only where q is at most the level; q is p corrected for testing many units.",
        "Units without neighbours, without a value or in a group that could not be tested are never significant.",
    ]
    if "lees_l" in result_table:
        reading.append(
            "The first letter is the unit's own variable, the second its neighbours' other variable. Compare the plain "
            "correlation r and Lee's L in the table before reading a pattern as spatial."
        )
    return page("Local Moran's I", [*sections, ("How to read it", reading)])


def _local_html(result_table: pd.DataFrame) -> str:
    formats = {name: "{:,.0f}" for name in result_table if pd.api.types.is_integer_dtype(result_table[name])}
    return html_table(
        result_table, formats | dict.fromkeys(("moran_i", "r", "lees_l"), "{:.4f}") | {"smallest_p": "{:.3g}"}
    )


def _share_figures(result_table: pd.DataFrame) -> Iterator[Figure]:
    """Shares of the clusters in every stratum or category, where there is more than one."""
    for kind, other in (("stratum", "category"), ("category", "stratum")):
        for field, rows in result_table[result_table[other] == ALL].groupby("variable", sort=False):
            rows = rows[rows["tested"] > 0]
            if len(rows) < 2:
                continue
            figure = Figure(figsize=(9, 1.2 + 0.35 * len(rows)), layout="constrained")
            axes = figure.subplots()
            left = np.zeros(len(rows))
            for name in CLUSTERS:
                share = (100 * rows[name] / rows["tested"]).to_numpy()
                axes.barh(rows[kind], share, left=left, color=COLOURS[name], edgecolor="white", lw=0.5, label=name)
                left += share
            axes.invert_yaxis()
            axes.set(xlabel="% of the tested units", title=f"{field}: significant units by {kind}")
            axes.spines[["top", "right"]].set_visible(False)
            figure.legend(loc="outside right center", frameon=False)
            yield figure


def _map(frame: gpd.GeoDataFrame, units: np.ndarray, cluster: np.ndarray) -> Figure:
    """Cluster map; many units are drawn as points. Units that took no part stay in the background."""
    labels = np.full(len(frame), _OTHERS, object)
    labels[units] = cluster
    geometry = frame.geometry
    west, south, east, north = geometry.total_bounds
    aspect = 1 / np.cos(np.radians((south + north) / 2)) if frame.crs.is_geographic else 1.0
    ratio = np.clip((north - south) * aspect / max(east - west, 1e-12), 0.4, 1.3)
    figure = Figure(figsize=(9, 1.0 + 7 * ratio), layout="constrained")
    axes = figure.subplots()
    points = len(frame) > _MOST_POLYGONS_DRAWN or bool((shapely.get_dimensions(geometry.array) == 0).all())
    places = shapely.get_coordinates(shapely.centroid(np.asarray(geometry.array))) if points else None
    size = np.clip(250_000 / len(frame), 0.5, 8)  # in square points, so that evenly spread units just fill the map
    colours = COLOURS | {_OTHERS: "#fcfcfc"}
    if points:
        # Points have no outline, so that they need more contrast with the paper.
        colours |= {NOT_SIGNIFICANT: "#d9d9d9", _OTHERS: "#f0f0f0"}
    # Clusters last, so that they lie on top.
    for name in (_OTHERS, NOT_TESTED, NO_NEIGHBOURS, NOT_SIGNIFICANT, *CLUSTERS[::-1]):
        chosen = labels == name
        if not chosen.any():
            continue
        if points:
            axes.scatter(*places[chosen].T, s=size, c=colours[name], marker="s", lw=0)
        else:
            geometry[chosen].plot(ax=axes, color=colours[name], edgecolor="#8888", linewidth=0.15, aspect=None)
        label = f"{_LONG.get(name, name)} ({chosen.sum():,})"
        axes.scatter([], [], marker="s", s=60, c=colours[name], edgecolors="#999", lw=0.4, label=label)
    axes.set_aspect(aspect)
    axes.set_axis_off()
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], names[::-1], loc="outside lower center", ncols=3, frameon=False)
    return figure


def _scatter(result: autocorrelation.LocalMoran, cluster: np.ndarray) -> Figure:
    figure = Figure(figsize=(6.5, 5), layout="constrained")
    axes = figure.subplots()
    colours = np.array([COLOURS[name] for name in cluster], object)
    _draw_scatter(axes, result.z, result.lag, colours)
    return figure
