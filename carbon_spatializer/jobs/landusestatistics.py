"""Job ``landusestatistics``: the classes of land in each district, and what the four parts emit there."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import rasterio
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve

from ..core import landstatistics as statistics
from ..core.errors import InputError
from ..core.landstatistics import DEDUCTED, TABLE_PARTS
from . import landuse, layers, rasters
from . import report as pages
from .run import Run
from .spreading import parts_of_sectors, tell_of_borders

_WHOLE = "all districts"
_COLOURS = landuse.COLOURS | {DEDUCTED: "#b8b8b8"}
# From top to bottom of a flow diagram.
_ORDER = ["industry", "city", "rural", "agriculture", DEDUCTED]
# Classes of a chart that are told apart, and their colours where the class table gives none.
_MOST_CLASSES = 12
_GROUP_COLOURS = {
    "arable land": "#e6d96b",
    "cropland": "#e6d96b",
    "woodland": "#4d8f4a",
    "grassland": "#a8d08d",
    "water": "#6aaed6",
    "construction land": "#d73027",
    "built-up": "#d73027",
    "unused land": "#cfc4b4",
    "no data": "#e6e6e6",
}
# Half of the gap between two bands of a flow diagram, as a share of its height.
_GAP = 0.012


def land_use_statistics(
    run: Run,
    *,
    land_use,
    districts,
    output: str,
    classes: str = "resdc",
    class_table=None,
    name_field: str | None = None,
    lines=None,
    parts_table=None,
    table: str | None = None,
    report: str | None = None,
) -> dict:
    """Areas and shares of land classes by district, with tables and charts of what the four parts emit.

    Parameters
    ----------
    land_use : raster of land-use classes, in any CRS; its first band holds the codes.
    districts : polygons; with the fields industry_t, city_t, agriculture_t and rural_t, as ``spreadoverlanduse`` makes
        them, emissions by district are told too. A cell belongs to the district that holds its centre.
    output : table of the classes: district, code, class, group, part, area_m2 and share_pct, with all districts last.
    classes : what the codes mean: resdc (CAS/RESDC), worldcover (ESA WorldCover) or igbp (MCD12Q1).
    class_table : table in place of classes: code, part and, if wanted, name and group.
    name_field : field of the districts' names; polygons of one name are one district. Without it they are numbered.
    lines : lines of an accounting (sector, carrier, status, t_co2e), for the flows of energy to the parts.
    parts_table : table with sector and part, where the lines' sectors are not those of the Nanjing scheme.
    table : table of emissions in 10^4 t by district and part, as the paper's Table 2.
    report : path of an HTML report with tables and charts.
    """
    run.progress(0.0, "Reading")
    known = landuse.read_classes(classes, class_table, "classes", "class_table")
    frame = layers.read_layer(districts, "districts", run, "polygon")
    names, district = _names(frame, name_field)
    emissions = _emissions(frame)
    if table and emissions is None:
        raise InputError(
            "table",
            "the districts have no emissions (fields industry_t, city_t, agriculture_t and rural_t)",
            "Choose the districts that Spread over land use makes, or leave the table out",
        )
    flows = _flows(lines, parts_table)
    with (
        rasterio.Env(GDAL_CACHEMAX=landuse.CACHE_MB, GDAL_NUM_THREADS="ALL_CPUS"),
        rasters.open_band(land_use, "land_use", run) as raster,
    ):
        landuse.check_nodata(raster, known)
        polygons = rasters.on_grid(frame[["geometry"]], raster, "districts")
        areas = statistics.class_areas(_tiles(run, raster, polygons, known), len(frame), len(known.codes))
        outcome = "areas and shares are those of that part"
        tell_of_borders(run, polygons, [names[row] for row in district], raster.grid, "land_use", outcome)
    areas = np.array([np.bincount(district, column, len(names)) for column in areas.T]).T
    emissions = emissions.groupby(district).sum() if emissions is not None else None
    empty = areas.sum(axis=1) == 0
    if empty.any():
        run.warning(f"districts: no cell of the land use has its centre in {', '.join(np.array(names)[empty][:5])}.")
    run.progress(0.9, "Writing")
    shares = statistics.share_table(areas, names, known.table(), _WHOLE)
    layers.write_layer(shares, run.stage(output, "output"))
    emitted = statistics.emission_table(emissions, names, _WHOLE) if emissions is not None else None
    if table:
        layers.write_layer(emitted, run.stage(table, "table"))
    summary = _summary(shares, emitted, flows)
    if report:
        html = pages.page("Land use and emissions", _sections(shares, emitted, emissions, areas, flows, summary))
        run.stage(report, "report").write_text(html, encoding="utf-8")
    run.progress(1.0)
    return {
        "summary": summary,
        "styles": {},
        "area_km2": float(areas.sum() / 1e6),
        "no_data_km2": float(areas[:, -1].sum() / 1e6),
        "total_t": 0.0 if emissions is None else float(emissions.to_numpy().sum()),
        "deducted_t": 0.0 if flows is None else float(flows.loc[flows["target"] == DEDUCTED, "t_co2e"].sum()),
    }


def _tiles(run: Run, raster, polygons, known) -> Iterator[tuple]:
    windows = raster.grid.windows()
    for number, window in enumerate(windows):
        run.progress(0.05 + 0.85 * number / len(windows), "Measuring the classes")
        district = rasters.label(polygons, raster.grid, window)
        position = landuse.read_positions(raster, window, known)
        yield district, position, raster.grid.cell_areas(window)


def _names(frame: pd.DataFrame, name_field: str | None) -> tuple[list[str], np.ndarray]:
    """Names of the districts, and each polygon's district: polygons of one name are one district."""
    if not name_field:
        return [str(row + 1) for row in range(len(frame))], np.arange(len(frame))
    layers.require_fields(frame.columns, [name_field], "name_field")
    names = layers.keys(frame[name_field])
    return names.unique().tolist(), pd.factorize(names)[0]


def _emissions(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Tonnes by part of districts that have them; districts without totals count as zero."""
    fields = {part: f"{part}_t" for part in TABLE_PARTS}
    if not set(fields.values()) <= set(frame.columns):
        return None
    values = {part: layers.numbers(frame, field, "districts", missing=True) for part, field in fields.items()}
    return pd.DataFrame(values).fillna(0.0)


def _flows(lines, parts_table) -> pd.DataFrame | None:
    if lines is None:
        return None
    table = layers.read_table(lines, "lines")
    layers.require_fields(table.columns, ["sector", "carrier", "status", "t_co2e"], "lines")
    rows = table[["sector", "carrier", "status"]].apply(layers.keys)
    rows["t_co2e"] = layers.numbers(table, "t_co2e", "lines")
    flows = statistics.energy_flows(rows, parts_of_sectors(parts_table))
    if flows.empty:
        raise InputError(
            "lines",
            f"they hold no emissions of a sector that is in a part; the first is '{rows['sector'].iloc[0]}'",
            "Account with the Nanjing scheme, or say in a table of parts which part each sector is",
        )
    return flows


def _summary(shares: pd.DataFrame, emitted: pd.DataFrame | None, flows: pd.DataFrame | None) -> str:
    whole = shares[shares["district"] == _WHOLE]
    groups = whole.groupby("group")["share_pct"].sum().sort_values(ascending=False)
    text = f"{whole['area_m2'].sum() / 1e6:,.1f} km2: " + ", ".join(f"{n} {v:.1f} %" for n, v in groups.head(4).items())
    text += "." if len(groups) <= 4 else " ..."
    if emitted is not None:
        last = emitted.iloc[-1]
        parts = ", ".join(f"{part} {100 * last[part] / last['total']:.2f} %" for part in TABLE_PARTS if last["total"])
        text += f" Emissions {last['total']:,.2f} x 10^4 t CO2e: {parts}."
    if flows is not None:
        deducted = flows.loc[flows["target"] == DEDUCTED, "t_co2e"].sum()
        text += f" {deducted:,.2f} t of power plants' fuel were deducted, as electricity is charged to its users."
    return text


# The report -----------------------------------------------------------------------------------------------------------


def _sections(shares, emitted, emissions, areas, flows, summary) -> list[tuple]:
    by_group = shares.pivot_table("share_pct", "district", "group", "sum", sort=False, fill_value=0.0)
    by_group = by_group[by_group.loc[_WHOLE].sort_values(ascending=False).index]
    sections = [
        ("", summary),
        (
            "Land use by district",
            [
                "Shares of each district's area in the raster, in %; areas are true on the ellipsoid.",
                _stacked(by_group),
                pages.table(by_group.reset_index(), dict.fromkeys(by_group, "{:.1f}")),
            ],
        ),
    ]
    if emitted is not None:
        shown = emitted.drop(columns="unit").rename(columns={"total": "all parts"})
        share = shown.iloc[-1:].assign(district="% of all parts")
        share[list(TABLE_PARTS)] = 100 * share[list(TABLE_PARTS)] / share["all parts"].iloc[0]
        share["all parts"] = 100.0
        table = pd.concat([shown, share])
        ground = areas.sum(axis=1)
        sections += [
            (
                "Emissions by district and part",
                ["10⁴ t CO2e per year.", pages.table(table, dict.fromkeys(table.columns[1:], "{:,.2f}"))],
            ),
            ("Each part by district", _bars(emitted.iloc[:-1])),
            (
                "Emission intensity of the districts",
                _intensity(emitted["district"].iloc[:-1], emissions.sum(axis=1).to_numpy(), ground),
            ),
        ]
    if flows is not None:
        sections.append(("From energy to the parts", _flow_section(flows)))
    return sections


def _stacked(shares: pd.DataFrame) -> Figure:
    """Horizontal bars of the districts, stacked by group of classes."""
    if shares.shape[1] > _MOST_CLASSES:
        rest = shares.iloc[:, _MOST_CLASSES:].sum(axis=1)
        shares = shares.iloc[:, :_MOST_CLASSES].assign(**{statistics.OTHER: rest})
    figure = Figure(figsize=(9, 1.4 + 0.34 * len(shares)), layout="constrained")
    axes = figure.subplots()
    start = np.zeros(len(shares))
    spare = iter(["#8c6bb1", "#41b6c4", "#bf812d", "#f768a1", "#66c2a4", "#9e9ac8", "#fdae6b", "#737373", "#c51b7d"])
    places = np.arange(len(shares))[::-1]
    for group in shares:
        colour = _GROUP_COLOURS.get(group) or next(spare, "#dddddd")
        values = shares[group].to_numpy()
        axes.barh(places, values, left=start, color=colour, label=group, edgecolor="white", linewidth=0.4)
        for place, value, left in zip(places, values, start):
            if value >= 6:
                axes.text(left + value / 2, place, f"{value:.0f}", ha="center", va="center", fontsize=8)
        start += values
    axes.set_yticks(places, shares.index)
    axes.set(xlim=(0, 100), xlabel="% of the district's area", title="Land use by district")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _bars(emitted: pd.DataFrame) -> Figure:
    """One bar chart per part, each with its own scale: the parts differ by orders of magnitude."""
    figure = Figure(figsize=(10, 2.2 + 0.42 * len(emitted)), layout="constrained")
    for axes, part in zip(figure.subplots(2, 2).ravel(), TABLE_PARTS):
        places = np.arange(len(emitted))[::-1]
        bars = axes.barh(places, emitted[part], color=_COLOURS[part])
        axes.bar_label(bars, [f"{value:,.2f}" for value in emitted[part]], fontsize=7, padding=2)
        axes.set_yticks(places, emitted["district"], fontsize=8)
        axes.set(title=part, xlabel="10⁴ t CO2e")
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _intensity(names: pd.Series, tonnes: np.ndarray, ground: np.ndarray) -> Figure:
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(names))[::-1]
    values = tonnes / np.where(ground > 0, ground, np.nan) * 1e4
    axes.bar_label(axes.barh(places, values, color="#e31a1c"), [f"{v:,.1f}" for v in values], fontsize=8, padding=2)
    axes.set_yticks(places, names)
    axes.set(xlabel="t CO2e per ha of the district", title="Emission intensity")
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _flow_section(flows: pd.DataFrame) -> list:
    table = flows.pivot_table("t_co2e", "source", "target", "sum", sort=False, fill_value=0.0) / 1e4
    table.loc["sum"] = table.sum()
    counted = table.drop(columns=DEDUCTED, errors="ignore")
    table.insert(len(counted.columns), "all parts", counted.sum(axis=1))
    table = table.reset_index(names="energy")
    deducted = flows.loc[flows["target"] == DEDUCTED, "t_co2e"].sum()
    text = (
        f"Power plants' fuel of {deducted:,.2f} t CO2e is deducted: what it makes is charged to those who use it, as "
        "electricity and heat."
        if deducted
        else "No fuel of power plants stands beside electricity, so nothing is deducted."
    )
    shown = pages.table(table, dict.fromkeys(table.columns[1:], "{:,.2f}"))
    return [text, _sankey(flows), "10⁴ t CO2e per year.", shown]


def _sankey(flows: pd.DataFrame) -> Figure:
    """Bands from energy carriers on the left to parts on the right; widths are tonnes."""
    total = flows["t_co2e"].sum()
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    free = {}
    for side, x, align in (("source", 0.0, "right"), ("target", 1.0, "left")):
        amounts = flows.groupby(side, sort=False)["t_co2e"].sum()
        amounts = amounts.reindex([name for name in _ORDER if name in amounts] if side == "target" else amounts.index)
        free[side] = dict(zip(amounts.index, _tops(amounts / total)))
        for name, amount in amounts.items():
            top, height = free[side][name], amount / total
            axes.bar(x, height, 0.03, top - height, color=_COLOURS.get(name, "#555555"), edgecolor="white", lw=0.5)
            beside = x + (0.025 if align == "left" else -0.025)
            label = f"{name}\n{amount / 1e4:,.2f}"
            axes.text(beside, top - height / 2, label, ha=align, va="center", fontsize=9)
    for row in flows.assign(order=flows["target"].map(_ORDER.index)).sort_values("order", kind="stable").itertuples():
        width = row.t_co2e / total
        left, right = free["source"][row.source], free["target"][row.target]
        free["source"][row.source], free["target"][row.target] = left - width, right - width
        axes.add_patch(PathPatch(_band(left, right, width), facecolor=_COLOURS[row.target], alpha=0.55, lw=0))
    axes.set(xlim=(-0.35, 1.4), title="From energy to the parts, 10⁴ t CO2e per year")
    axes.axis("off")
    return figure


def _tops(shares: pd.Series) -> np.ndarray:
    """Upper edges of nodes that lie one below the other, centred; small ones are kept apart for their labels."""
    room = np.maximum(shares.to_numpy(), 0.045) + 2 * _GAP
    upper = room.sum() / 2 - np.concatenate([[0], np.cumsum(room)[:-1]])
    return upper - (room - shares.to_numpy()) / 2


def _band(left: float, right: float, width: float) -> Curve:
    start, end, middle = 0.015, 0.985, 0.5
    corners = [(start, left), (middle, left), (middle, right), (end, right), (end, right - width)]
    corners += [(middle, right - width), (middle, left - width), (start, left - width), (start, left)]
    codes = [Curve.MOVETO, *[Curve.CURVE4] * 3, Curve.LINETO, *[Curve.CURVE4] * 3, Curve.CLOSEPOLY]
    return Curve(corners, codes)
