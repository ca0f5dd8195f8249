"""Job ``accountsectors``: activity data times factors to the emissions of every region, sector and land type."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..core import accounting
from ..core.checks import one_of
from ..core.errors import InputError
from . import layers
from . import report as pages
from .run import Run

# Where a factor comes from.
OWN, BUILT_IN = "factor table", "built-in"

_DATA = Path(__file__).resolve().parents[1] / "data"
_SCHEME_COLUMNS = ["sector", "subsector", "carrier", "land_type", "kind", "scope", "gpc", "ipcc", "power", "equation"]
_LINE_COLUMNS = [
    *(
        "line",
        "region",
        "year",
        "sector",
        "subsector",
        "land_type",
        "carrier",
        "amount",
        "unit",
        "factor",
        "factor_unit",
    ),
    *("gas", "gwp", "origin", "source", "equation", "kind", "scope", "gpc", "ipcc", "status", "t_co2e"),
    *("amount_uncertainty_pct", "factor_uncertainty_pct", "uncertainty_pct"),
]
# t CO2 per MWh; no grid is near it, while kg or g per MWh or kWh would be above it.
_LARGEST_GRID_FACTOR = 5.0
_MOST_REGIONS = 50
_COLOURS = {"scope 1": "#b5402f", "scope 2": "#e6a04f", "scope 3": "#8a8f98", "sink": "#2e8b57"}


def account_sectors(
    run: Run,
    *,
    activity,
    output: str,
    factors=None,
    scheme: str = "suzhou",
    scheme_table=None,
    grid_factor_t_mwh: float | None = None,
    gwp: str = "AR6",
    region_field: str = "region",
    amount_uncertainty_pct: float = 5.0,
    factor_uncertainty_pct: float = 5.0,
    shared_errors: bool = True,
    lines: str | None = None,
    report: str | None = None,
) -> dict:
    """Emissions and sinks by region, sector, land type and scope, in t CO2e per year.

    Parameters
    ----------
    activity : table with sector, carrier, amount and unit; optional subsector, region, land_type, year,
        uncertainty_pct (of the amount) and sector_total (a printed sum of the sector's amounts, which is checked).
    output : path of the totals table.
    factors : factor table that comes before the built-in factors: carrier, factor and unit (mass of a gas per activity
        unit); optional sector, subsector (blank: any), gas, uncertainty_pct, scope, gpc, ipcc and source.
    scheme : ``suzhou`` (Equations 2 to 7 of the paper) or ``nanjing`` (Equations 1 to 3).
    scheme_table : a scheme of one's own in place of it, with the columns of data/scheme_suzhou.csv.
    grid_factor_t_mwh : t CO2 per MWh of grid electricity; it has no default.
    gwp : global warming potentials, ``AR4``, ``AR5`` or ``AR6``, for factors of CH4 and N2O.
    region_field : the activity table's field of regions; without that field all lines are one region.
    amount_uncertainty_pct, factor_uncertainty_pct : +-% of amounts and of own factors that give none.
    shared_errors : whether lines with one factor share its error, as regions with one grid factor do; otherwise all
        lines are independent, and many lines make a total look certain.
    lines : path of the table of lines, each with its factor, source and tonnes.
    report : path of an HTML report.
    """
    run.progress(0.0, "Reading")
    for name, value in (
        ("amount_uncertainty_pct", amount_uncertainty_pct),
        ("factor_uncertainty_pct", factor_uncertainty_pct),
    ):
        if not (np.isfinite(value) and value >= 0):
            raise InputError(name, f"{value:g} % is not a number from 0 up", "Give half the width of the 95 % range")
    place = accounting.prepare_scheme(_scheme(scheme) if scheme_table is None else _own_scheme(scheme_table))
    table, printed = _activity(activity, region_field, amount_uncertainty_pct)
    library = _factors(factors, grid_factor_t_mwh, _gwp(gwp), factor_uncertainty_pct)
    accounted = accounting.account_lines(table, place, library, shared_errors, run.part(0.1, 0.6))
    _warn_unused(run, library, accounted)
    if not (accounted["status"] == "counted").any():
        raise InputError("activity", "every line lies outside the scheme", "Choose another scheme or add other lines")
    accounted, double = accounting.guard_double_counting(accounted)
    _tell_double_counting(run, accounted, double)
    sums = _check_row_sums(run, printed)
    run.progress(0.7, "Writing")
    totals = accounting.totals(accounted)
    layers.write_layer(_with_year(totals), run.stage(output, "output"), "totals")
    if lines is not None:
        layers.write_layer(_with_year(accounted[_LINE_COLUMNS]), run.stage(lines, "lines"), "lines")
    whole = accounting.summarise(accounted, []).iloc[0]
    if report is not None:
        title = f"Sector accounts ({scheme.title() if scheme_table is None else 'own'} scheme, GWP of {gwp})"
        html = pages.page(title, _sections(accounted, shared_errors, double, sums))
        run.stage(report, "report").write_text(html, encoding="utf-8")
    run.progress(1.0)
    return {
        "summary": f"{_sentence(accounted)} Regions: {table['region'].nunique():,}; activity lines: {len(table):,}.",
        "styles": {},
        "gross_t": float(whole["gross_t"]),
        "sink_t": float(whole["sink_t"]),
        "net_t": float(whole["net_t"]),
        "uncertainty_pct": float(whole["uncertainty_pct"]),
        "deducted_t": float(double["deducted_t"].sum()),
        "counted_twice_t": float(double["twice_t"].sum()),
        "faulty_sums": int(sums["faulty"].sum()),
    }


def schemes() -> list[str]:
    """Names of the accounting schemes that come with the plugin."""
    return sorted(file.stem.removeprefix("scheme_") for file in _DATA.glob("scheme_*.csv"))


def factor_library(scheme: str, grid_factor_t_mwh: float | None = None, gwp: str = "AR6") -> pd.DataFrame:
    """The built-in factors that a scheme can use, in t CO2e.

    Parameters
    ----------
    scheme : ``suzhou`` or ``nanjing``.
    grid_factor_t_mwh : t CO2 per MWh of grid electricity; None leaves electricity without a factor.
    gwp : set of global warming potentials, ``AR4``, ``AR5`` or ``AR6``.

    Returns
    -------
    One row per carrier, dimension (fuels have a factor by mass or volume and one by energy) and gas: sector, subsector
    (``*`` for any), carrier, factor_t_per_unit (t CO2e per ``unit``; sum it over the gases of a carrier), unit (of the
    activity), dimension, factor and factor_unit as published, gas, gwp, uncertainty_pct, scope, gpc, ipcc and source.
    """
    known = accounting.prepare_scheme(_scheme(scheme))
    factors = _built_in(_gwp(gwp))
    if grid_factor_t_mwh is not None:
        factors = pd.concat([factors, _grid(grid_factor_t_mwh, np.nan)], ignore_index=True)
    usable = factors[factors["sector"].isin([accounting.ANY, *known["sector"]])].reset_index(drop=True)
    usable["carrier"] = usable["name"]
    usable = usable.rename(columns={"unit": "factor_unit", "activity_unit": "unit"})
    measures = ["factor_t_per_unit", "unit", "dimension", "factor", "factor_unit", "gas", "gwp", "uncertainty_pct"]
    return usable[[*accounting.KEYS, *measures, "scope", "gpc", "ipcc", "source"]]


def _own_scheme(source) -> pd.DataFrame:
    table = _lower_case(layers.read_table(source, "scheme_table"))
    layers.require_fields(table.columns, _SCHEME_COLUMNS, "scheme_table")
    return table[_SCHEME_COLUMNS].apply(layers.keys)


def _scheme(name: str) -> pd.DataFrame:
    one_of(name, schemes(), "scheme")
    return _read(f"scheme_{name}.csv", dtype=str)


def _read(name: str, **options) -> pd.DataFrame:
    return pd.read_csv(_DATA / name, keep_default_na=False, **options)


def _gwp(name: str) -> dict[str, float]:
    table = _read("gwp.csv")
    one_of(name, table["set"].unique(), "gwp")
    return dict(table.loc[table["set"] == name, ["gas", "gwp"]].itertuples(index=False, name=None))


def _built_in(gwp: dict[str, float]) -> pd.DataFrame:
    rows = pd.concat(
        [
            accounting.fuel_factors(_read("fuels.csv")),
            _read("factors.csv", dtype={"scope": str}),
            accounting.crop_factors(_read("crops.csv")),
        ]
    )
    return accounting.prepare_factors(rows, gwp, "factors", BUILT_IN)


def _grid(grid_factor_t_mwh: float, uncertainty_pct: float) -> pd.DataFrame:
    value = float(grid_factor_t_mwh)
    if not 0 <= value <= _LARGEST_GRID_FACTOR:
        raise InputError(
            "grid_factor_t_mwh",
            f"{value:g} t CO2 per MWh is not between 0 and {_LARGEST_GRID_FACTOR:g}",
            "Give tonnes per MWh, the same number as kg per kWh",
        )
    row = {
        "carrier": accounting.ELECTRICITY,
        "factor": value,
        "unit": "t/MWh",
        "uncertainty_pct": uncertainty_pct,
        "source": "Grid factor given to the tool",
    }
    return accounting.prepare_factors(pd.DataFrame([row]), {}, "grid_factor_t_mwh", "grid factor")


def _lower_case(table: pd.DataFrame) -> pd.DataFrame:
    """Column names without case and blanks, where that leaves them distinct."""
    names = pd.Series(table.columns.astype(str)).str.strip().str.lower()
    return table.set_axis(names.where(~names.duplicated(keep=False), table.columns), axis=1)


def _texts(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Columns as text for matching; blank where the table lacks them."""
    return pd.DataFrame(
        {name: layers.keys(table[name]) if name in table else "" for name in names}, index=table.index, dtype=object
    )


def _uncertainty(table: pd.DataFrame, parameter: str, default: float) -> np.ndarray:
    """The +-% of a table's rows, with the default where they give none."""
    if "uncertainty_pct" not in table:
        return np.full(len(table), float(default))
    given = layers.numbers(table, "uncertainty_pct", parameter, missing=True)
    return np.where(np.isnan(given), default, given)


def _activity(source, region_field: str, default_uncertainty_pct: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The activity table as the core takes it, and the same rows with their printed sums."""
    table = _lower_case(layers.read_table(source, "activity"))
    layers.require_fields(table.columns, ["sector", "carrier", "amount", "unit"], "activity")
    region = region_field.strip().lower()
    if region != "region":
        layers.require_fields(table.columns, [region], "region_field")
    rows = _texts(table, ["sector", "subsector", "carrier", "land_type", "unit"])
    rows.insert(0, "region", _texts(table, [region])[region])
    rows["year"] = _texts(table, ["year"])["year"]
    if "year" in table:
        layers.numbers(table, "year", "activity", missing=True)
    rows["amount"] = layers.numbers(table, "amount", "activity")
    rows["uncertainty_pct"] = _uncertainty(table, "activity", default_uncertainty_pct)
    printed = rows[["region", "year", "sector", "unit", "amount"]].copy()
    printed["sector_total"] = (
        layers.numbers(table, "sector_total", "activity", negative=True, missing=True)
        if "sector_total" in table
        else np.nan
    )
    return rows, printed


def _factors(source, grid: float | None, gwp: dict[str, float], default_uncertainty_pct: float) -> pd.DataFrame:
    """All factors: the user's first, then the grid factor, then the built-in ones."""
    parts = [_built_in(gwp)]
    if grid is not None:
        parts.insert(0, _grid(grid, default_uncertainty_pct))
    if source is not None:
        table = _lower_case(layers.read_table(source, "factors"))
        layers.require_fields(table.columns, ["carrier", "factor", "unit"], "factors")
        rows = _texts(table, [*accounting.KEYS, "unit", "gas", "scope", "gpc", "ipcc", "source"])
        rows["factor"] = layers.numbers(table, "factor", "factors")
        rows["uncertainty_pct"] = _uncertainty(table, "factors", default_uncertainty_pct)
        parts.insert(0, accounting.prepare_factors(rows, gwp, "factors", OWN))
    return pd.concat(parts, ignore_index=True)


def _warn_unused(run: Run, library: pd.DataFrame, lines: pd.DataFrame) -> None:
    """Name the user's factors that no activity line uses: most often a misspelt name."""
    own = library[library["origin"] == OWN]
    unused = own[~own.index.isin(lines["factor_row"])]
    if len(unused):
        row = unused.iloc[0]
        run.warning(
            f"factors: {len(unused):,} of {len(own):,} rows are used by no activity line, for example the one for "
            f"'{row['name']}' in {row['sector']}, {row['subsector']} ({accounting.ANY}: any)."
        )


def _tell_double_counting(run: Run, lines: pd.DataFrame, findings: pd.DataFrame) -> None:
    for text in _double_counting(findings):
        run.warning(text)
    left_out = lines[lines["status"] == "excluded"]
    if len(left_out):
        run.info(
            f"{left_out['line'].nunique():,} lines ({left_out['t_co2e'].sum():,.2f} t CO2e) lie outside the scheme and "
            "are not counted."
        )


def _double_counting(findings: pd.DataFrame) -> list[str]:
    """One sentence per year in which power-plant fuel stands beside the use of power."""
    sentences = []
    for row in findings.itertuples():
        year = f" in {row.year}" if row.year else ""
        found = (
            f"Double counting{year}: power-plant fuel ({row.fuel_t:,.2f} t CO2e) stands beside electricity and heat "
        )
        found += f"use ({row.use_t:,.2f} t CO2e)"
        if row.deducted_t:
            sentences.append(f"{found}; {row.deducted_t:,.2f} t of fuel were deducted, the use is charged.")
        else:
            sentences.append(f"{found}; both are counted, so up to {row.twice_t:,.2f} t may be counted twice.")
    return sentences


def _check_row_sums(run: Run, printed: pd.DataFrame) -> pd.DataFrame:
    """Check the amounts of each sector against the printed sums that the activity table gives."""
    groups = printed.groupby(["region", "year", "sector"], sort=False)
    mixed = printed["sector_total"].notna() & (groups["unit"].transform("nunique") > 1)
    if mixed.any():
        raise InputError(
            "activity",
            f"sector '{printed.loc[mixed, 'sector'].iloc[0]}' has a sector_total, but its amounts are in several units",
            "Give these amounts in one unit, or no sector_total",
        )
    checked = accounting.row_sum_check(printed, "amount", "sector_total", ["region", "year", "sector"])
    checked = checked.merge(printed.drop_duplicates(["region", "year", "sector"])[["region", "year", "sector", "unit"]])
    for row in checked[checked["faulty"]].itertuples():
        place = ", ".join(filter(None, (row.region, row.year, row.sector)))
        run.warning(
            f"Row sums: the {row.parts} amounts of {place} add up to {row.sum:,.10g} {row.unit}, but the printed sum "
            f"is {row.printed:,.10g} ({row.difference:+,.6g}); rounding explains at most {row.rounding:.2g}."
        )
    return checked


def _with_year(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(year=pd.to_numeric(table["year"], errors="coerce").astype("Int64"))


def _sentence(lines: pd.DataFrame) -> str:
    parts = [accounting.summarise(lines[lines["kind"] == kind], []).iloc[0] for kind in ("emission", "sink")]
    (gross, sink), net = parts, accounting.summarise(lines, []).iloc[0]
    return (
        f"Gross emissions {gross['gross_t']:,.2f} t CO2e (± {gross['uncertainty_pct']:.1f} %), sinks "
        f"{sink['sink_t']:,.2f} t (± {sink['uncertainty_pct']:.1f} %), net {net['net_t']:,.2f} t "
        f"(± {net['uncertainty_pct']:.1f} %)."
    )


def _sections(lines: pd.DataFrame, shared_errors: bool, double: pd.DataFrame, sums: pd.DataFrame) -> list[tuple]:
    """What the report shows."""
    gross = accounting.summarise(lines, [])["gross_t"].item()
    sections = [
        ("", [_sentence(lines), f"Shares are of the gross emissions, {gross:,.2f} t CO2e; sinks are not subtracted."]),
        ("Sectors", [_shares(lines, ["sector"], gross), _chart(lines, gross)]),
    ]
    regions = lines.groupby("region")["t_co2e"].sum().nlargest(_MOST_REGIONS).index
    if len(regions) > 1:
        heading = f"Regions ({len(regions)} largest of {lines['region'].nunique():,})"
        sections.append((heading, _shares(lines[lines["region"].isin(regions)], ["region"], gross)))
    sections += [
        ("Sectors and subsectors", _shares(lines, ["sector", "subsector"], gross)),
        ("Scopes", _shares(lines, ["scope"], gross)),
        ("GPC categories", _shares(lines.sort_values("gpc"), ["gpc"], gross)),
    ]
    left_out = lines.loc[lines["status"] == "excluded"].groupby(["sector", "carrier"], sort=False)["t_co2e"].sum()
    if len(left_out):
        sections.append(("Outside the scheme, not counted", left_out.rename("t CO2e").reset_index()))
    if len(double):
        sections.append(("Double counting", _double_counting(double)))
    if len(sums):
        names = [name for name in ("region", "year", "sector") if (sums[name] != "").any()]
        shown = sums[[*names, "parts", "sum", "printed", "difference", "rounding", "unit"]].assign(
            verdict=np.where(sums["faulty"], "does not add up", "adds up")
        )
        formats = dict.fromkeys(["sum", "printed", "difference", "rounding"], "{:,.12g}")
        sections.append(("Printed sums", pages.table(shown, formats)))
    columns = ["carrier", "factor", "factor_unit", "gas", "gwp", "factor_uncertainty_pct", "origin", "source"]
    used = lines[columns].drop_duplicates().rename(columns={"factor_unit": "unit", "factor_uncertainty_pct": "± %"})
    method = (
        "Each line is amount x factor (x global warming potential). ± is half the 95 % range: "
        "sqrt(amount² + factor²) per line; in sums errors add as independent (IPCC 2006, Vol. 1, Ch. 3, approach 1)"
        + (", after lines with one amount or factor were added up." if shared_errors else ".")
    )
    return [*sections, ("Factors used", [method, pages.table(used, {"± %": "{:.1f}"})])]


def _shares(lines: pd.DataFrame, by: list[str], gross: float) -> pages.Html:
    """Gross, sink, net and their shares of the gross total."""
    sums = accounting.summarise(lines, by)
    shown = sums[by].assign(
        **{
            "gross, t CO2e": sums["gross_t"],
            "gross, % of gross": 100 * sums["gross_t"] / gross if gross else np.nan,
            "sink, t CO2e": sums["sink_t"],
            "sink, % of gross": 100 * sums["sink_t"] / gross if gross else np.nan,
            "net, t CO2e": sums["net_t"],
            "± % of net": sums["uncertainty_pct"],
        }
    )
    percent = dict.fromkeys(["gross, % of gross", "sink, % of gross"], "{:.2f}")
    tonnes = dict.fromkeys(["gross, t CO2e", "sink, t CO2e", "net, t CO2e"], "{:,.0f}" if gross >= 1e4 else "{:,.2f}")
    return pages.table(shown, percent | tonnes | {"± % of net": "{:.1f}"})


def _chart(lines: pd.DataFrame, gross: float) -> Figure:
    """Bars of the sectors: emissions by scope to the right, sinks to the left."""
    counted = lines[lines["status"] == "counted"]
    part = np.where(counted["kind"] == "sink", "sink", "scope " + counted["scope"].astype(str))
    signed = counted["t_co2e"].where(counted["kind"] != "sink", -counted["t_co2e"])
    table = signed.groupby([counted["sector"], part], sort=False).sum().unstack(fill_value=0.0)
    table = table.loc[counted["sector"].unique()[::-1], sorted(table.columns, key=lambda name: (name == "sink", name))]
    largest = table.abs().to_numpy().max(initial=0.0)
    scale, unit = next((s, u) for s, u in ((1e6, "Mt"), (1e3, "kt"), (1.0, "t")) if largest >= s or s == 1.0)
    fig = Figure(figsize=(8, 1.2 + 0.45 * len(table)), layout="constrained")
    axes = fig.add_subplot()
    start = np.zeros(len(table))
    for name in table:
        values = table[name].to_numpy() / scale
        left = np.zeros(len(table)) if name == "sink" else start
        axes.barh(table.index, values, left=left, color=_COLOURS.get(name, "#7f8c8d"), label=name)
        start = start + (0 if name == "sink" else values)
    for row, total in enumerate(table.sum(axis=1)):
        share = f"{100 * total / gross:.2f} %" if gross else ""
        axes.annotate(share, (max(start[row], 0.0), row), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.axvline(0, color="#444444", linewidth=0.8)
    axes.margins(x=0.12)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{unit} CO2e; labels are shares of the gross emissions ({gross / scale:,.4g} {unit})")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    return fig
