"""Emissions by class of land cover, per region and for several maps side by side."""

from contextlib import ExitStack
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..core import landcover, ledger
from ..core.errors import InputError
from . import layers, rasters
from .correction import region_names
from .report import page
from .report import table as html_table
from .run import Run

_CLASSES = Path(__file__).resolve().parents[1] / "data" / "seven_classes_igbp.csv"
_COLOURS = {
    "forest": "#1b7837",
    "shrubland": "#8c9f3e",
    "grassland": "#b8e186",
    "water": "#56b4e9",
    "cropland": "#f1c232",
    "built-up": "#d7191c",
    "bare land": "#bfa68a",
    landcover.UNCLASSIFIED: "#bdbdbd",
}
_MORE_COLOURS = ("#7570b3", "#e7298a", "#66a61e", "#a6761d", "#1f78b4", "#6a3d9a")
_MOST_LISTED = 50


def share_by_land_cover(
    run: Run,
    *,
    emissions: list,
    land_cover,
    output,
    regions=None,
    name_field: str | None = None,
    classes=None,
    chosen_class: str = "built-up",
    report=None,
) -> dict:
    """Sum emissions over classes of land cover and give each class's share, per region and map.

    emissions : rasters, for example a coarse one, a fine one and an inventory; the first is what the others are
        compared with. Densities are multiplied by the area of their cells.
    land_cover : raster of class codes, by default of the 17 IGBP classes.
    output : table with one row per region, map and class: emission_t, share_pct, of_t (what it is a share of),
        change_points and change_pct (against the first map).
    regions : polygon layer; the table then has a row for each region and for all regions together. Without it, all land
        that has a class is one.
    name_field : names of the regions.
    classes : table with the fields code and class (text), which says what land-cover codes mean; by default seven
        classes from IGBP.
    chosen_class : the class that the summary and the report compare across regions.
    report : HTML report with charts.
    """
    run.progress(0.0, "Reading the classes")
    codes, names = class_codes(classes)
    if chosen_class not in names:
        raise InputError("chosen_class", f"there is no class '{chosen_class}'", f"Use one of {', '.join(names)}")
    sources = emissions if isinstance(emissions, list) else [emissions]
    if not sources:
        raise InputError("emissions", "no raster was given", "Choose at least one")
    with ExitStack() as stack:
        cover = stack.enter_context(rasters.open_band(land_cover, "land_cover", run))
        maps = [stack.enter_context(rasters.open_band(source, "emissions", run)) for source in sources]
        titles = _titles([raster.name for raster in maps])
        frame, region_titles = _regions(run, regions, name_field, cover)
        tonnes = np.zeros((len(region_titles), len(maps), len(names)))
        for number, raster in enumerate(maps):
            progress = run.part(0.05 + 0.85 * number / len(maps), 0.05 + 0.85 * (number + 1) / len(maps))
            tonnes[:, number], outside = _sums(raster, cover, codes, frame, len(region_titles), progress)
            _tell(run, titles[number], tonnes[:, number], outside)
    if len(region_titles) > 1:
        tonnes = np.concatenate([tonnes, tonnes.sum(axis=0, keepdims=True)])
        region_titles = [*region_titles, landcover.WHOLE]
    used = [place for place, name in enumerate(names) if name != landcover.UNCLASSIFIED or tonnes[..., place].any()]
    result = landcover.shares(tonnes[..., used], region_titles, titles, [names[place] for place in used])
    run.progress(0.95, "Writing the table")
    layers.write_layer(result, run.stage(output, "output"))
    summary = _summary(result, region_titles[-1], titles, chosen_class)
    if report:
        run.stage(report, "report").write_text(_report(result, summary, chosen_class, titles), encoding="utf-8")
    whole = result[(result["region"] == region_titles[-1]) & (result["class"] == chosen_class)]
    return {
        "summary": summary,
        "regions_count": len(region_titles) - (len(region_titles) > 1),
        "share_pct": float(whole["share_pct"].iloc[-1]),
        "first_share_pct": float(whole["share_pct"].iloc[0]),
    }


def class_codes(source) -> tuple[dict[int, int], list[str]]:
    """Place of each land-cover code among the classes, and the classes in the order of the table."""
    frame = pd.read_csv(_CLASSES) if source is None else layers.read_table(source, "classes")
    layers.require_fields(frame.columns, ["code", "class"], "classes")
    codes = layers.numbers(frame, "code", "classes", negative=True)
    if (codes % 1 != 0).any():
        raise InputError("classes", f"code {codes[codes % 1 != 0][0]:g} is no whole number", "Correct the table")
    twice = pd.Series(codes)[pd.Series(codes).duplicated()]
    if len(twice):
        raise InputError("classes", f"code {twice.iloc[0]:g} stands there twice", "Give each code one class")
    titles = layers.keys(frame["class"])
    if (titles == "").any():
        raise InputError("classes", f"code {codes[titles == ''][0]:g} has no class", "Fill it or remove the row")
    names = [*dict.fromkeys(titles), landcover.UNCLASSIFIED]
    return {int(code): names.index(title) for code, title in zip(codes, titles)}, names


def _titles(names: list[str]) -> list[str]:
    """Names of the maps, made different where they are not."""
    return [
        f"{name} ({names[:place].count(name) + 1})" if name in names[:place] else name
        for place, name in enumerate(names)
    ]


def _regions(run: Run, source, name_field, cover) -> tuple[gpd.GeoDataFrame | None, list[str]]:
    if source is None:
        return None, ["all land"]
    frame = layers.read_layer(source, "regions", run, kind="polygon")
    return rasters.on_grid(frame, cover, "regions"), region_names(frame, name_field)


def _sums(raster, cover, codes: dict[int, int], frame, count: int, progress) -> tuple[np.ndarray, float]:
    """Emissions (regions, classes) and those that lie outside all regions.

    The emissions of a cell are divided by area over the cells of the land cover that it lies in.
    """
    emissions = rasters.as_total(raster)
    on_cover = rasters.resampled(emissions, cover.grid, "sum")
    classes = max(codes.values()) + 2
    table = np.array(sorted(codes))
    place = np.array([codes[code] for code in sorted(codes)] + [classes - 1])
    total = 0.0
    for number, window in enumerate(windows := raster.grid.windows()):
        progress(0.1 * number / len(windows), f"Summing {raster.name}")
        values = emissions.read(window)
        rasters.refuse_negative(values, raster)
        total += float(np.nansum(values))
    tonnes, on_land_cover = np.zeros((count, classes)), 0.0
    for number, window in enumerate(windows := cover.grid.windows()):
        progress(0.1 + 0.9 * number / len(windows), f"Summing {raster.name} over the land cover")
        values = on_cover.read(window)
        known = np.isfinite(values)
        if not known.any():
            continue
        amount, code = values[known], cover.read(window)[known]
        at = np.minimum(np.searchsorted(table, code), len(table) - 1)
        kind = np.where(table[at] == code, place[at], classes - 1)
        region = 0 if frame is None else rasters.label(frame, cover.grid, window)[known]
        inside = np.broadcast_to(region, kind.shape) >= 0
        pair = (region * classes + kind)[inside]
        tonnes += np.bincount(pair, amount[inside], count * classes).reshape(count, classes)
        on_land_cover += float(amount.sum())
    if not tonnes.any():
        raise InputError(
            raster.parameter,
            f"'{raster.name}' has no emissions where the land cover and the regions lie",
            "Check the CRS and the extent of the layers",
        )
    outside = max(total - on_land_cover, 0.0) + max(on_land_cover - float(tonnes.sum()), 0.0)
    ledger.close(pd.DataFrame({"in_t": [total], "allocated_t": [tonnes.sum()], "unallocated_t": [outside]}))
    return tonnes, outside


def _tell(run: Run, title: str, tonnes: np.ndarray, outside: float) -> None:
    total, unclassified = float(tonnes.sum()) + outside, float(tonnes[:, -1].sum())
    run.info(
        f"{title}: {total:,.2f} t, of them {outside:,.2f} t ({100 * outside / total:.2f} %) outside the land cover or "
        f"the regions, and {unclassified:,.2f} t ({100 * unclassified / total:.2f} %) on land whose code has no class."
    )


def _summary(result: pd.DataFrame, region: str, titles: list[str], chosen: str) -> str:
    rows = result[(result["region"] == region) & (result["class"] == chosen)].set_index("map")
    text = f"{chosen.capitalize()} in {region}: " + ", ".join(
        f"{rows['share_pct'][title]:.2f} % of {rows['of_t'][title]:,.0f} t in {title}" for title in titles
    )
    changes = [
        f"{title} against {titles[0]} {rows['change_points'][title]:+.2f} percentage points, "
        f"{rows['change_pct'][title]:+.1f} % of its share"
        for title in titles[1:]
    ]
    return "; ".join([text, *changes]) + "."


# The report -----------------------------------------------------------------------------------------------------------


def _report(result: pd.DataFrame, summary: str, chosen: str, titles: list[str]) -> str:
    regions = list(dict.fromkeys(result["region"]))
    whole = result[result["region"] == regions[-1]]
    sections = [
        ("", summary),
        (
            "How to read it",
            [
                "The emissions of a cell are divided over the land cover in it by area. Each share is of the emissions "
                "of that map in that region on land with data.",
                "Changes are against the first map: in percentage points (share minus share), and relative (percent of "
                "the first map's share).",
                "A larger share on built-up land says that a map is more concentrated there, not that it is truer: "
                "compare with places whose emissions are known.",
            ],
        ),
        (f"Classes in {regions[-1]}", [_class_chart(whole, titles), _class_table(whole)]),
    ]
    if len(regions) > 1:
        of_class = result[result["class"] == chosen]
        listed = of_class[of_class["region"].isin(regions[:_MOST_LISTED])]
        note = f"The first {_MOST_LISTED} regions are shown." if len(regions) - 1 > _MOST_LISTED else ""
        sections.append(
            (f"{chosen.capitalize()} by region", [note, _region_chart(listed, titles, chosen), _class_table(of_class)])
        )
    return page("Emissions by land cover", sections)


def _class_table(rows: pd.DataFrame):
    """A table of one region's classes, or of one class's regions."""
    key = "class" if rows["region"].nunique() == 1 else "region"
    shown = rows[[key, "map", "emission_t", "of_t", "share_pct", "change_points", "change_pct"]]
    shown = shown.set_axis(
        [key, "map", "emission, t", "of, t", "share, %", "change, points", "change, % of the share"], axis=1
    )
    formats = {"emission, t": "{:,.0f}", "of, t": "{:,.0f}", "share, %": "{:.2f}"}
    return html_table(shown, formats | {"change, points": "{:+.2f}", "change, % of the share": "{:+.1f}"})


def _class_chart(rows: pd.DataFrame, titles: list[str]) -> Figure:
    """Bars of the shares: one group per class, one bar per map."""
    table = rows.pivot(index="class", columns="map", values="share_pct")
    table = table.reindex(index=rows["class"].unique(), columns=titles)
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(titles)
    for number, title in enumerate(titles):
        place = np.arange(len(table)) + (number - (len(titles) - 1) / 2) * width
        colours = [_colour(name, order) for order, name in enumerate(table.index)]
        bars = axes.bar(place, table[title], width * 0.92, color=colours, alpha=1 - 0.6 * number / len(titles))
        axes.bar_label(bars, [f"{value:.1f}" for value in table[title]], fontsize=8 if len(titles) < 3 else 6)
    axes.set_xticks(np.arange(len(table)), table.index)
    axes.set(ylabel="share of emissions, %", title=f"From left to right: {', '.join(titles)}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.12)
    return figure


def _region_chart(rows: pd.DataFrame, titles: list[str], chosen: str) -> Figure:
    """Dots of the chosen class's share: one row per region, one dot per map."""
    table = rows.pivot(index="region", columns="map", values="share_pct")[titles].sort_values(titles[-1])
    figure = Figure(figsize=(8, 1.5 + 0.25 * len(table)), layout="constrained")
    axes = figure.subplots()
    axes.hlines(np.arange(len(table)), table.min(axis=1), table.max(axis=1), color="#ccc", lw=2, zorder=1)
    palette = ("#bdbdbd", "#d7191c", *_MORE_COLOURS)
    for number, title in enumerate(titles):
        colour = palette[number % len(palette)] if len(titles) > 1 else palette[1]
        axes.scatter(table[title], np.arange(len(table)), s=36, color=colour, label=title, zorder=2)
    axes.set_yticks(np.arange(len(table)), table.index)
    axes.set(xlabel="share of the region's emissions, %", title=f"Share of {chosen}")
    axes.set_xlim(left=0)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _colour(name: str, order: int) -> str:
    return _COLOURS.get(name, _MORE_COLOURS[order % len(_MORE_COLOURS)])
