"""Carbon-balance zones of townships or other units: indices, zones, table and report."""

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ..core import zoning
from ..core.breaks import readable_breaks
from ..core.errors import InputError
from . import layers
from .report import Html, page
from .report import table as html_table
from .run import Run

_COLOURS = {
    zoning.LOW_CARBON_ECONOMIC: "#009e73",
    zoning.CARBON_SOURCE_CONTROL: "#e69f00",
    zoning.CARBON_SINK_FUNCTIONAL: "#56b4e9",
    zoning.HIGH_CARBON_OPTIMIZATION: "#d55e00",
    zoning.UNDEFINED: "#bdbdbd",
}
_STRATEGIES = {
    zoning.LOW_CARBON_ECONOMIC: (
        "Earns more and takes up more than its share of the emissions. Keep it so: protect the green space that does "
        "the work, cap the footprint of industry, and let it grow by clustering and by low-carbon trades."
    ),
    zoning.CARBON_SOURCE_CONTROL: (
        "Earns well for what it emits, but has little that takes carbon up; typical of town centres. Stop the sprawl "
        "of built-up land, turn to clean energy and efficient buildings, and win back green space where it is missing."
    ),
    zoning.CARBON_SINK_FUNCTIONAL: (
        "Takes up more than its share, but earns little for what it emits. Guard forests, grassland and water as the "
        "city's sink, compensate the place for doing so, and renew the existing industry with cleaner technology."
    ),
    zoning.HIGH_CARBON_OPTIMIZATION: (
        "Emits more than both its economy and its ecology account for. Put reduction first: change the energy mix, "
        "upgrade or move out the heaviest emitters, and invest in new sinks along the way."
    ),
    zoning.UNDEFINED: (
        "Has no emissions or no sink, so that its indices cannot be compared with the city's. Judge it by its land use."
    ),
}
_CLASSES = ("low", "lower", "medium", "higher", "high")
_MOST_LISTED = 50


def carbon_balance_zoning(
    run: Run,
    *,
    input,
    output,
    gross_field: str = "gross_t",
    sink_field: str = "sink_t",
    gdp_field: str = "gdp",
    name_field: str | None = None,
    equality: str = "high",
    band_pct: float = 5.0,
    crop_sink_field: str | None = None,
    crop_sinks: bool = True,
    gross_uncertainty_pct: float = 0.0,
    sink_uncertainty_pct: float = 0.0,
    gdp_uncertainty_pct: float = 0.0,
    draws: int = 1000,
    seed: int = 0,
    table=None,
    report=None,
) -> dict:
    """Compare each unit's sink and GDP with its emissions, relative to the whole, and name its zone.

    input : polygon layer of units (townships, districts, cells).
    output : the units with ccr, ccr_pct, ecc, esc, zone and near_threshold; with a crop sink field also
        ccr_pct_with_crops and ccr_pct_without_crops; with uncertainties also zone_probability (0 to 1).
    gross_field, sink_field : gross emissions and sinks (as a positive magnitude), t CO2e per year.
    gdp_field : GDP in any one unit.
    name_field : names of the units, for the report.
    equality : what an index of exactly 1 counts as, high or low.
    band_pct : units with ecc or esc within 1 +- this percentage are marked in near_threshold.
    crop_sink_field : the part of sink_field that crops take up, t CO2e per year.
    crop_sinks : whether crops count as a sink; if not, crop_sink_field is deducted.
    gross_uncertainty_pct, sink_uncertainty_pct, gdp_uncertainty_pct : of each unit, half of the 95 % interval in
        percent; any above zero makes zone_probability.
    draws, seed : of the Monte Carlo behind zone_probability.
    table : table of the zones with counts, sums, shares and their denominators.
    report : HTML report with charts.
    """
    run.progress(0.0, "Reading the units")
    frame = layers.read_layer(input, "input", run, kind="polygon")
    gross = layers.numbers(frame, gross_field, "gross_field")
    gdp = layers.numbers(frame, gdp_field, "gdp_field")
    all_sinks = _sinks(frame, sink_field)
    crops = _crops(frame, crop_sink_field, crop_sinks, all_sinks)
    sink = all_sinks if crop_sinks else np.maximum(all_sinks - crops, 0)
    if name_field:
        layers.require_fields(frame.columns, [name_field], "name_field")
    run.progress(0.2, "Computing the indices")
    units = zoning.indices(gross, sink, gdp)
    units["zone"] = zoning.zones(units["ecc"], units["esc"], equality)
    units["near_threshold"] = zoning.near_threshold(units["ecc"], units["esc"], band_pct)
    rates = {}
    if crops is not None:
        rates = {"with crops": all_sinks, "without crops": np.maximum(all_sinks - crops, 0)}
        for name, sinks in rates.items():
            units[f"ccr_pct_{name.replace(' ', '_')}"] = 100 * sinks / np.where(gross > 0, gross, np.nan)
    uncertainty = (gross_uncertainty_pct, sink_uncertainty_pct, gdp_uncertainty_pct)
    if any(uncertainty):
        units["zone_probability"] = zoning.zone_probability(
            gross, sink, gdp, uncertainty, equality, draws, seed, run.part(0.3, 0.8)
        )
    run.progress(0.8, "Writing the zones")
    result = frame.drop(columns=[name for name in units if name in frame]).assign(**units)
    layers.write_layer(result, run.stage(output, "output"))
    units = units.assign(gross_t=gross, sink_t=sink, gdp=gdp)
    zone_table = zoning.zone_table(units)
    if table:
        layers.write_layer(zone_table, run.stage(table, "table"))
    summary = _summary(units, zone_table, equality, band_pct)
    if report:
        names = layers.keys(frame[name_field]) if name_field else pd.Series(np.arange(1, len(frame) + 1).astype(str))
        content = _report(units.assign(name=names), zone_table, rates, summary, equality, band_pct, crop_sinks)
        run.stage(report, "report").write_text(content, encoding="utf-8")
    return {
        "summary": summary,
        "styles": {"output": _style(zone_table)},
        "units": len(units),
        "ccr_pct": 100 * float(sink.sum() / gross.sum()),
        "near_threshold_count": int(units["near_threshold"].sum()),
        **{f"ccr_pct_{name.replace(' ', '_')}": 100 * float(s.sum() / gross.sum()) for name, s in rates.items()},
    }


def _sinks(frame: pd.DataFrame, field: str) -> np.ndarray:
    values = layers.numbers(frame, field, "sink_field", negative=True)
    if (values < 0).any():
        raise InputError(
            "sink_field",
            f"field '{field}' holds negative values, for example {values[values < 0][0]:g}",
            "Give sinks as positive numbers, as gross emissions and sinks are kept apart",
        )
    return values


def _crops(frame: pd.DataFrame, field: str | None, count: bool, sink: np.ndarray) -> np.ndarray | None:
    """The crops' part of the sink, or None where it is not known."""
    if not field:
        if not count:
            raise InputError(
                "crop_sink_field",
                "crop sinks are not to count, but no field says how much they are",
                "Choose the field with the crops' part of the sink, or let crop sinks count",
            )
        return None
    crops = layers.numbers(frame, field, "crop_sink_field")
    excess = crops > sink * (1 + 1e-9)
    if excess.any():
        row = int(np.flatnonzero(excess)[0])
        raise InputError(
            "crop_sink_field",
            f"in row {row + 1} crops take up {crops[row]:g} t, more than the whole sink of {sink[row]:g} t",
            "Choose the field with the crops' part of the sink",
        )
    return crops


def _summary(units: pd.DataFrame, zone_table: pd.DataFrame, equality: str, band_pct: float) -> str:
    counts = ", ".join(
        f"{row.units:,} {row.zone} ({row.units_share_pct:.2f} %)" for row in zone_table.itertuples() if row.units
    )
    gross, sink = units["gross_t"].sum(), units["sink_t"].sum()
    return (
        f"{len(units):,} units: {counts}; shares are of all {len(units):,} units. The whole takes up {sink:,.2f} t of "
        f"{gross:,.2f} t gross, a CCR of {100 * sink / gross:.3f} %. {_high_shares(units, equality)} "
        f"{units['near_threshold'].sum():,} units lie within ±{band_pct:g} % of a threshold."
    )


def _high_shares(units: pd.DataFrame, equality: str) -> str:
    sign = "≥" if equality == "high" else ">"
    parts = []
    for index in ("ecc", "esc"):
        high = (units[index] >= 1) if equality == "high" else (units[index] > 1)
        parts.append(f"{index.upper()} {sign} 1 in {high.sum():,} units ({100 * high.mean():.2f} %)")
    return ", ".join(parts) + "."


def _style(zone_table: pd.DataFrame) -> dict:
    counts = zip(zone_table["zone"], zone_table["units"])
    return {
        "kind": "categories",
        "field": "zone",
        "outline": 0.3,
        "classes": [[zone, _COLOURS[zone], f"{zone} ({count:,})"] for zone, count in counts],
    }


# The report -----------------------------------------------------------------------------------------------------------


def _report(units, zone_table, rates, summary, equality, band_pct, crop_sinks) -> str:
    sections = [
        ("", summary),
        ("How to read it", _how_to_read(units, equality, band_pct, crop_sinks)),
        ("Zones", [_counts(zone_table), _charts(zone_table), "Each share is printed with the total it is a share of."]),
        ("Economy against ecology", _scatter(units, band_pct)),
        ("What each zone asks for", _strategies(zone_table)),
        ("Indices", _index_table(units)),
        ("Emissions and sinks in five classes", [_classes(units, "gross_t"), _classes(units, "sink_t")]),
    ]
    if rates:
        sections.append(("With and without crops", _crop_rates(units, rates)))
    sections.append(("Units near a threshold", _near(units, band_pct)))
    return page("Carbon-balance zones", sections)


def _how_to_read(units: pd.DataFrame, equality: str, band_pct: float, crop_sinks: bool) -> list:
    items = [
        "CCR, the carbon compensation rate, is a unit's sink over its gross emissions (before sinks). Below 100 % the "
        "unit is a net source, above it a net sink.",
        "ECC, the economic contribution coefficient, is a unit's share of GDP over its share of gross emissions. "
        "Above 1 the unit earns more than it emits, relative to the whole.",
        "ESC, the ecological support coefficient, is a unit's share of the sink over its share of gross emissions; "
        "it equals the unit's CCR over the CCR of the whole.",
        f"Shares are of the sums over the {len(units):,} units of this layer, not of a wider region.",
        f"An index of exactly 1 counts as {equality}. Units within ±{band_pct:g} % of 1 are marked in near_threshold: "
        "a small change in the data would move them to another zone.",
        "A unit is undefined where its emissions or its sink are zero.",
        f"Crop sinks {'count' if crop_sinks else 'do not count'} here. What crops take up returns to the air within a "
        "year or so, so it is worth looking at both.",
    ]
    return [Html("<ul>"), *(Html(f"<li>{item}</li>") for item in items), Html("</ul>")]


def _counts(zone_table: pd.DataFrame) -> Html:
    shown = pd.DataFrame({"zone": zone_table["zone"]})
    formats = {}
    for name, title in (("units", "units"), ("gross_t", "gross, t"), ("sink_t", "sink, t"), ("gdp", "GDP")):
        share = f"% of {zone_table[f'{name}_of'].iloc[0]:,.0f}"
        shown[title], formats[title] = zone_table[name], "{:,.0f}"
        shown[share], formats[share] = zone_table[f"{name}_share_pct"], "{:.2f}"
    return html_table(shown, formats)


def _charts(zone_table: pd.DataFrame) -> Figure:
    """Bar chart of the counts and pie chart of the shares."""
    present = zone_table[(zone_table["units"] > 0) | (zone_table["zone"] != zoning.UNDEFINED)]
    colours = [_COLOURS[zone] for zone in present["zone"]]
    labels = [zone.replace(" zone", "").replace(" ", "\n", 1) for zone in present["zone"]]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    bars, pie = figure.subplots(1, 2, width_ratios=(3, 2))
    bars.bar_label(bars.bar(labels, present["units"], color=colours), [f"{n:,}" for n in present["units"]])
    bars.set_title("Number of units")
    bars.margins(y=0.1)
    bars.spines[["top", "right"]].set_visible(False)
    some = present[present["units"] > 0]
    pie.pie(
        some["units"],
        labels=[f"{share:.2f} %" for share in some["units_share_pct"]],
        colors=[_COLOURS[zone] for zone in some["zone"]],
        startangle=90,
        counterclock=False,
        wedgeprops={"edgecolor": "white"},
    )
    pie.set_title(f"Share of {some['units'].sum():,} units")
    return figure


def _scatter(units: pd.DataFrame, band_pct: float) -> list:
    """ECC against ESC on logarithmic axes, with the four quadrants."""
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    axes = figure.subplots()
    shown = units[(units["ecc"] > 0) & (units["esc"] > 0)]
    for zone in zoning.ZONES[:4]:
        group = shown[shown["zone"] == zone]
        axes.scatter(group["ecc"], group["esc"], s=22, color=_COLOURS[zone], label=zone, edgecolors="white", lw=0.4)
    for draw_line, draw_band in ((axes.axvline, axes.axvspan), (axes.axhline, axes.axhspan)):
        draw_line(1, color="#444", lw=0.8)
        draw_band(1 - band_pct / 100, 1 + band_pct / 100, color="#888", alpha=0.15, lw=0)
    axes.set(xscale="log", yscale="log", title="Economic contribution and ecological support")
    axes.set(xlabel="ECC (share of GDP / share of emissions)", ylabel="ESC (share of sink / share of emissions)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    hidden = len(units) - len(shown)
    note = f"The grey band is ±{band_pct:g} % around 1."
    return [figure, note + (f" {hidden:,} units with an index of zero or none are not shown." if hidden else "")]


def _strategies(zone_table: pd.DataFrame) -> Html:
    present = zone_table.loc[zone_table["units"] > 0, "zone"]
    swatches = [Html(f'<span style="color:{_COLOURS[zone]}">■</span> {zone}') for zone in present]
    strategies = [_STRATEGIES[zone] for zone in present]
    return html_table(pd.DataFrame({"zone": swatches, "strategy": strategies}, dtype=object))


def _index_table(units: pd.DataFrame) -> Html:
    columns = {"CCR, %": "ccr_pct", "ECC": "ecc", "ESC": "esc"}
    described = units[list(columns.values())].agg(["min", "median", "mean", "max"]).T
    described = described.set_index(pd.Index(columns, name="index")).rename(columns={"mean": "mean of the units"})
    return html_table(described.reset_index(), dict.fromkeys(described, "{:,.4g}"))


def _classes(units: pd.DataFrame, field: str) -> pd.DataFrame:
    breaks = readable_breaks(units[field], len(_CLASSES))
    names = _CLASSES if len(breaks) == len(_CLASSES) + 1 else [str(number + 1) for number in range(len(breaks) - 1)]
    counts = pd.cut(units[field], breaks, include_lowest=True).value_counts(sort=False).to_numpy()
    return pd.DataFrame(
        {
            "class": names,
            f"{field.replace('_t', '')}, t": [f"{low:,.6g} – {high:,.6g}" for low, high in pairwise(breaks)],
            "units": counts,
            f"% of {len(units):,} units": np.round(100 * counts / len(units), 2),
        }
    )


def _crop_rates(units: pd.DataFrame, rates: dict[str, np.ndarray]) -> pd.DataFrame:
    gross = units["gross_t"].sum()
    return pd.DataFrame(
        {
            "sink": list(rates),
            "sink, t": [sinks.sum() for sinks in rates.values()],
            "gross, t": gross,
            "CCR, %": [100 * sinks.sum() / gross for sinks in rates.values()],
        }
    )


def _near(units: pd.DataFrame, band_pct: float) -> list:
    near = units[units["near_threshold"]]
    text = f"{len(near):,} of {len(units):,} units lie within ±{band_pct:g} % of a threshold."
    if near.empty:
        return [text]
    columns = [name for name in ("name", "ecc", "esc", "zone", "zone_probability") if name in near]
    listed = near[columns].head(_MOST_LISTED)
    return [text + (f" The first {_MOST_LISTED} are listed." if len(near) > _MOST_LISTED else ""), listed]
