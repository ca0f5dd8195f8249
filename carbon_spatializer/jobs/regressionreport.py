"""The report of a comparison of regressions."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from ..core import regression, regressors
from .report import Html, page
from .report import table as html_table

# Classes of relative residuals in percent, and their colours.
_BREAKS = [-100, -50, -25, -10, 10, 25, 50, 100]
_COLOURS = ["#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b"]
_BEYOND = "#67001f"
_MISSING = "#bbbbbb"


def write_report(
    path: Path,
    compared: list[regression.Compared],
    best: regression.Compared,
    pearson: pd.DataFrame,
    true: np.ndarray,
    result: gpd.GeoDataFrame,
    names: np.ndarray,
    summary: str,
    tested_by: str,
    left_out: list[str],
) -> None:
    """Write the HTML report.

    Parameters
    ----------
    true : totals in t that every model was tested on, in the order of its predictions.
    result : the regions with ``residual_pct``, ``total_t`` and ``predicted_t``; names : theirs.
    """
    form = best.model.form
    same_form = [one for one in compared if one.model.form == form]
    sections = [
        ("", summary),
        ("How to read it", _how_to_read(tested_by)),
        ("Drivers", ["Pearson's correlation of each driver with the regions' totals or densities.", _pearson(pearson)]),
        ("Scores on what the models have not seen", _scores(compared, best)),
        ("What becomes of them on the cells", _cells(compared, best)),
        ("Predicted against true totals", _scatters(same_form, true)),
        ("Residuals of the best model", [_map(result), _residuals(result, names)]),
    ]
    if left_out:
        sections.append(("Left out", f"{len(left_out)} regions without total or cells: {', '.join(left_out[:50])}."))
    path.write_text(page("Regressions of emissions on drivers", sections), encoding="utf-8")


def _how_to_read(tested_by: str) -> list:
    items = [
        f"Scores are of totals in t, tested by {tested_by}. R2 is 1 for a perfect model, 0 for one no better than the "
        "mean, and negative below that. Intervals hold 95 % of bootstrap samples of the regions.",
        "A form says what is learnt: totals from sums (as the paper does), or emissions per km2 from mean densities, "
        "plain or logarithmic. Hyper-parameters were searched by leaving out blocks inside the training regions only.",
        "Cells are far smaller than regions, so a model that fits the regions may fail on them. Outside range is the "
        "share of cells beyond the regions' values; negative, the share set to zero; CV, how much the map varies; "
        "R2 from cells, how well the regions' densities come back (as logarithms) when the cells of blocks that "
        "the model did not see are summed.",
        "For a map, trust R2 from cells before the test scores: a high score on regions with a low one from cells "
        "means emissions put in the wrong cells.",
    ]
    return [Html("<ul>"), *(Html(f"<li>{item}</li>") for item in items), Html("</ul>")]


def _pearson(pearson: pd.DataFrame) -> Html:
    return html_table(pearson.rename(columns={"p_value": "p"}), {"r": "{:.3f}", "p": "{:.2g}"})


def _title(one: regression.Compared, best: regression.Compared):
    title = regressors.KINDS[one.model.kind]
    return Html(f"<b>{title} ★</b>") if one is best else title


def _scores(compared: list, best: regression.Compared) -> Html:
    rows = [
        {
            "model": _title(one, best),
            "learns": one.row["form"],
            "R2": one.row["r2"],
            "95 %": f"{one.row['r2_low']:.2f} … {one.row['r2_high']:.2f}",
            "MAE, t": one.row["mae"],
            "RMSE, t": one.row["rmse"],
            "RMSE 95 %": f"{one.row['rmse_low']:,.0f} … {one.row['rmse_high']:,.0f}",
            "found": one.row["settings"],
        }
        for one in sorted(compared, key=lambda one: one.row["rmse"])
    ]
    return html_table(_frame(rows), {"R2": "{:.3f}", "MAE, t": "{:,.0f}", "RMSE, t": "{:,.0f}"})


def _cells(compared: list, best: regression.Compared) -> Html:
    rows = []
    for one in sorted(compared, key=lambda one: -np.nan_to_num(one.row["cells_r2"], nan=-np.inf)):
        constant = regression.is_constant(one.row["cv"], one.row["drivers_cv"])
        negative = one.row["clipped_pct"] > regression.MOST_CLIPPED_PCT
        verdict = "constant: refused" if constant else "negative cells" if negative else "usable"
        rows.append(
            {
                "model": _title(one, best),
                "learns": one.row["form"],
                "R2 from cells": one.row["cells_r2"],
                "outside range, %": one.row["outside_pct"],
                "negative, %": one.row["clipped_pct"],
                "CV": one.row["cv"],
                "map": verdict,
            }
        )
    formats = dict.fromkeys(("R2 from cells", "CV"), "{:.3f}") | dict.fromkeys(
        ("outside range, %", "negative, %"), "{:.1f}"
    )
    return html_table(_frame(rows), formats)


def _frame(rows: list[dict]) -> pd.DataFrame:
    """Rows as a frame that keeps the marked model's HTML."""
    return pd.DataFrame(rows).assign(model=pd.Series([row["model"] for row in rows], dtype=object))


def _scatters(compared: list, true: np.ndarray) -> Figure:
    """One small plot per model, with the line of equality."""
    columns = min(4, len(compared))
    rows = -(-len(compared) // columns)
    figure = Figure(figsize=(2.6 * columns + 0.6, 2.7 * rows + 0.5), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
    shown = [np.where(one.tested > 0, one.tested, np.nan) for one in compared]
    positive = np.concatenate([true[true > 0], *(values[np.isfinite(values)] for values in shown)])
    low, high = positive.min(initial=1e300), positive.max(initial=1)
    low = max(low, high / 1e5)
    for axes, one, predicted in zip(grid, compared, shown):
        axes.plot([low, high], [low, high], color="#888", lw=0.8)
        axes.scatter(true, predicted, s=14, color="#0072b2", edgecolors="white", lw=0.3)
        axes.set(xscale="log", yscale="log", title=f"{regressors.KINDS[one.model.kind]}\nR2 {one.row['r2']:.2f}")
        axes.title.set_fontsize(10)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 3), numticks=4))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(EngFormatter(sep=" "))
            axis.set_tick_params(labelsize=8)
    for axes in grid[len(compared) :]:
        axes.set_visible(False)
    figure.supxlabel("true total, t CO2e per year", fontsize=10)
    figure.supylabel("predicted, t", fontsize=10)
    return figure


def _map(result: gpd.GeoDataFrame) -> Figure:
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    values = result["residual_pct"].to_numpy(dtype=float)
    colours = ListedColormap(_COLOURS).with_extremes(over=_BEYOND)
    result.plot(
        ax=axes,
        column=values,
        cmap=colours,
        norm=BoundaryNorm(_BREAKS, len(_COLOURS)),
        edgecolor="#555555",
        linewidth=0.3,
        legend=True,
        legend_kwds={"label": "predicted too little  |  too much, %", "shrink": 0.7, "extend": "max"},
        missing_kwds={"color": _MISSING},
    )
    axes.set_axis_off()
    axes.set_title("Residuals, % of the true total")
    return figure


def _residuals(result: gpd.GeoDataFrame, names: np.ndarray) -> list:
    shown = pd.DataFrame(
        {
            "region": names,
            "true, t": result["total_t"],
            "predicted, t": result["predicted_t"],
            "residual, %": result["residual_pct"],
        }
    ).dropna()
    order = shown["residual, %"].abs().sort_values(ascending=False).index
    formats = dict.fromkeys(("true, t", "predicted, t"), "{:,.0f}") | {"residual, %": "{:+.1f}"}
    return ["The ten regions with the largest relative residuals:", html_table(shown.loc[order].head(10), formats)]
