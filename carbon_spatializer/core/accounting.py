"""Sector accounting: activity data times emission factors, as tables that allocation and reports build on.

Two tables steer it, and both are data. The *scheme* says which sector, subsector and carrier belong where: land type,
kind (``emission``, ``sink`` or ``excluded``), scope, GPC and IPCC category, and the part a line plays in the supply of
power (``use``: electricity or heat bought; ``fuel``: burnt to make them; ``fuel deducted``: the same, and taken out
where power use is charged too). The *factors* say how much a unit of a carrier emits.

Sources: Equations 2 to 7 of the Suzhou paper (territorial space carbon emissions and carbon balance zoning), Equations
1 to 3 of the Nanjing paper (land-use based carbon emission pattern), and IPCC 2006, Vol. 1, Ch. 3, approach 1 (error
propagation). Emissions are t CO2e per year throughout; sinks are positive magnitudes in a column of their own.
"""

import re
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pandas as pd

from . import units
from .errors import InputError

ANY = "*"
CARBON_TO_CO2 = 44 / 12
KEYS = ["sector", "subsector", "carrier"]
KINDS = ("emission", "sink", "excluded")
ELECTRICITY = "electricity"

_POWER = ("", "use", "fuel", "fuel deducted")
_FACTOR_UNIT = re.compile(
    r"\s*(?P<mass>.+?)\s*(?P<gas>CO2e|CO2eq|CO2|CH4|N2O|C)?\s*(?:/|\bper\b)\s*(?P<activity>.+?)"
    r"\s*(?:(?:/|\bper\b)\s*(?:a|yr|year))?\s*",
    re.IGNORECASE,
)
_GASES = {name.casefold(): name for name in ("CO2e", "CO2", "CH4", "CH4 fossil", "N2O", "C")} | {"co2eq": "CO2e"}
# What takes the place of ANY, from the most specific match to the least.
_SCHEME_LEVELS = ([], ["carrier"], ["subsector"], ["subsector", "carrier"])
_FACTOR_LEVELS = ([], ["subsector"], ["sector"], ["sector", "subsector"])


def key(column: pd.Series) -> pd.Series:
    """Text for matching: without case and extra blanks."""
    return column.astype(str).str.split().str.join(" ").str.casefold()


def fuel_factor(lc_kj_per_unit, cc_kg_per_gj, cof):
    """CO2 factor of a fuel, EC = LC * CC * COF * 44/12 * 1e-6 (SVR-ZSSR paper, Equation 1).

    Parameters
    ----------
    lc_kj_per_unit : lower calorific value, kJ per kg or per m3.
    cc_kg_per_gj : carbon content, kg C per GJ.
    cof : share of the carbon that is oxidised, 0 to 1.

    Returns
    -------
    kg CO2 per kg or per m3. Numbers or arrays of one shape.
    """
    return lc_kj_per_unit * cc_kg_per_gj * cof * CARBON_TO_CO2 * 1e-6


def crop_factor(carbon_fraction, water_content, harvest_index):
    """CO2 that a crop takes up per tonne of yield, ca * (1 - w) / HI * 44/12 (Suzhou paper, Equation 7).

    Parameters
    ----------
    carbon_fraction : carbon in dry matter, the paper's carbon absorption rate, 0 to 1.
    water_content : water in the harvested product, 0 to 1.
    harvest_index : harvested share of the crop's dry matter, the paper's economic coefficient, above 0 to 1.

    Returns
    -------
    t CO2 per t. Numbers or arrays of one shape.
    """
    return carbon_fraction * (1 - water_content) / harvest_index * CARBON_TO_CO2


def fuel_factors(fuels: pd.DataFrame) -> pd.DataFrame:
    """Factor rows of fuels, by amount and by energy, from a table of LC, CC and COF (data/fuels.csv)."""
    by_amount = pd.DataFrame(
        {
            "carrier": fuels["carrier"],
            "factor": fuel_factor(fuels["lc_kj_per_unit"], fuels["cc_kg_per_gj"], fuels["cof"]),
            "unit": "kg/" + fuels["unit"],
            "uncertainty_pct": np.hypot(fuels["lc_uncertainty_pct"], fuels["cc_uncertainty_pct"]),
        }
    )
    by_energy = by_amount.assign(
        factor=fuels["cc_kg_per_gj"] * fuels["cof"] * CARBON_TO_CO2,
        unit="t/TJ",
        uncertainty_pct=fuels["cc_uncertainty_pct"],
    )
    return pd.concat([part.assign(gas="CO2", source=fuels["source"]) for part in (by_amount, by_energy)])


def crop_factors(crops: pd.DataFrame) -> pd.DataFrame:
    """Factor rows of crop sinks, from a table of carbon fraction, water content and harvest index (data/crops.csv)."""
    return pd.DataFrame(
        {
            "sector": "sink",
            "subsector": "crop sink",
            "carrier": crops["carrier"],
            "factor": crop_factor(crops["carbon_fraction"], crops["water_content"], crops["harvest_index"]),
            "unit": "t/t",
            "gas": "CO2",
            "uncertainty_pct": crops["uncertainty_pct"],
            "source": crops["source"],
        }
    )


def prepare_factors(rows: pd.DataFrame, gwp: dict[str, float], parameter: str, origin: str) -> pd.DataFrame:
    """Factor rows with what one activity unit emits in t CO2e.

    Parameters
    ----------
    rows : columns carrier, factor (numbers), unit (mass of a gas per activity unit, for example ``kg CH4/head``) and,
        optional, sector, subsector (blank: any), gas (CO2e where neither it nor the unit names one), uncertainty_pct,
        scope, gpc, ipcc and source.
    gwp : gas (CH4, CH4 fossil, N2O) -> global warming potential.
    parameter : name for messages.
    origin : where the rows come from, for the lines.

    Returns
    -------
    The rows with ``factor_t_per_unit`` (t CO2e per ``activity_unit``), ``dimension``, ``gwp``, ``origin`` and ``name``
    (the carrier as it was written); blank sectors and subsectors are ANY.

    Raises
    ------
    InputError : an unknown unit or gas, or two rows for the same.
    """
    texts = ["sector", "subsector", "gas", "scope", "gpc", "ipcc", "source"]
    rows = rows.reset_index(drop=True).reindex(columns=[*KEYS, "factor", "unit", "uncertainty_pct", *texts[2:]])
    rows[texts] = rows[texts].astype(object).fillna("")
    rows["name"] = rows["carrier"].astype(str).str.strip()
    rows[KEYS] = rows[KEYS].apply(key)
    rows[["sector", "subsector"]] = rows[["sector", "subsector"]].replace("", ANY)
    rows["origin"] = origin
    by_unit = {text: _factor_unit(text, parameter) for text in rows["unit"].unique()}
    mass, unit_gas, rows["activity_unit"] = zip(*rows["unit"].map(by_unit))
    rows["dimension"] = [units.dimension(unit, parameter) for unit in rows["activity_unit"]]
    given = [_gas(gas, parameter) for gas in rows["gas"]]
    for row, (stated, implied) in enumerate(zip(given, unit_gas)):
        if stated and implied and stated.removesuffix(" fossil") != implied:
            raise InputError(
                parameter,
                f"row {row + 1} has the gas '{stated}', but its unit '{rows['unit'][row]}' says {implied}",
                "Correct one of the two",
            )
    rows["gas"] = [stated or implied or "CO2e" for stated, implied in zip(given, unit_gas)]
    rows["gwp"] = rows["gas"].map({"CO2e": 1.0, "CO2": 1.0, "C": CARBON_TO_CO2} | gwp)
    to_tonnes = np.array([units.factor(unit, "t", parameter) for unit in mass])
    rows["factor_t_per_unit"] = rows["factor"] * to_tonnes * rows["gwp"]
    same = rows.duplicated([*KEYS, "dimension", "gas", "ipcc"], keep="first")
    if same.any():
        row = int(np.flatnonzero(same)[0])
        raise InputError(
            parameter,
            f"row {row + 1} gives the carrier '{rows['carrier'][row]}' a second factor for the same sector, subsector, "
            f"gas and IPCC category",
            "Keep one of the two rows",
        )
    return rows


def _factor_unit(text: str, parameter: str) -> tuple[str, str, str]:
    """Mass unit, gas ('' where none is named) and activity unit of a factor's unit."""
    match = _FACTOR_UNIT.fullmatch(str(text))
    if match is None:
        raise InputError(
            parameter,
            f"the factor unit '{text}' is not a mass per activity unit",
            "Write it like kg/m3, t/MWh, t/ha, kg CH4/head or kg/tkm",
        )
    return match["mass"], _gas(match["gas"] or "", parameter), match["activity"]


def _gas(text: str, parameter: str) -> str:
    name = " ".join(str(text).split()).casefold()
    if name and name not in _GASES:
        raise InputError(
            parameter, f"the gas '{text}' is unknown", f"Use one of {', '.join(dict.fromkeys(_GASES.values()))}"
        )
    return _GASES.get(name, "")


def prepare_scheme(rows: pd.DataFrame, parameter: str = "scheme") -> pd.DataFrame:
    """A scheme with one row per sector, subsector and carrier.

    Parameters
    ----------
    rows : columns sector, subsector, carrier, land_type, kind, scope, gpc, ipcc, power and equation, all text.
        Subsector and carrier may list names separated by ``|``; ``*`` stands for any name, and a blank subsector for
        lines that give none. Land type may list the types that the lines spread over.

    Raises
    ------
    InputError : an unknown kind or part in the power supply, or two rows for the same.
    """
    rows = rows.fillna("")
    for column, allowed in (("kind", KINDS), ("power", _POWER)):
        wrong = ~rows[column].isin(allowed)
        if wrong.any():
            raise InputError(
                parameter,
                f"{column} '{rows[column][wrong].iloc[0]}' is unknown",
                f"Use one of {', '.join(name or '(blank)' for name in allowed)}",
            )
    for column in ("subsector", "carrier"):
        rows = rows.assign(**{column: rows[column].str.split("|")}).explode(column)
    rows = rows.reset_index(drop=True)
    rows[["sector_name", "subsector_name"]] = rows[["sector", "subsector"]].apply(lambda text: text.str.strip())
    rows[KEYS] = rows[KEYS].apply(key)
    same = rows.duplicated(KEYS)
    if same.any():
        names = " / ".join(rows.loc[same, KEYS].iloc[0])
        raise InputError(parameter, f"two rows are for {names}", "Keep one of them")
    return rows


def account_lines(
    activity: pd.DataFrame,
    scheme: pd.DataFrame,
    factors: pd.DataFrame,
    shared_errors: bool = False,
    progress: Callable[..., None] = lambda fraction, text="": None,
) -> pd.DataFrame:
    """Every activity line with its place in the scheme, its factor and its tonnes (amount x factor).

    Parameters
    ----------
    activity : columns region, year, sector, subsector, carrier, land_type, unit (text, '' where blank), amount
        (non-negative) and uncertainty_pct.
    scheme : from ``prepare_scheme``.
    factors : from ``prepare_factors``. Rows whose ``origin`` comes first win; among them the most specific ones do
        (sector and subsector, then sector, then subsector, then the carrier alone). A carrier with factors for
        several gases yields a line for each.
    shared_errors : whether lines with the same amount or factor share its error in sums, instead of being independent.
    progress : called as ``progress(fraction, text)``.

    Returns
    -------
    One row per activity line and factor row, in the order of the activity table: line (from 1), the activity's
    columns, factor, factor_unit, gas, gwp, origin, source, kind, scope, gpc, ipcc, equation, power, t_co2e (positive,
    for sinks too), status (``counted``, or ``excluded`` where the scheme leaves the line out), uncertainty_pct,
    sqrt(amount's^2 + factor's^2), IPCC approach 1, Equation 3.1, and amount_error and factor_error, which number the
    errors: rows with the same number share one.

    Raises
    ------
    InputError : an unknown sector, subsector, land type, carrier or unit; a unit of the wrong dimension; electricity
        without a factor.
    """
    lines = activity.reset_index(drop=True)
    lines["carrier"] = lines["carrier"].str.split().str.join(" ")
    lines.insert(0, "line", lines.index + 1)
    progress(0.1, "Matching lines to the scheme")
    lines = _place(lines, scheme)
    progress(0.4, "Matching lines to factors")
    lines = _apply_factors(lines, factors)
    progress(0.8, "Calculating")
    lines["t_co2e"] = lines["amount"] * lines["to_factor_unit"] * lines["factor_t_per_unit"]
    lines["uncertainty_pct"] = np.hypot(lines["amount_uncertainty_pct"], lines["factor_uncertainty_pct"])
    lines["status"] = np.where(lines["kind"] == "excluded", "excluded", "counted")
    lines["amount_error"] = lines["line"] if shared_errors else lines.index
    lines["factor_error"] = lines["factor_row"] if shared_errors else lines.index
    return lines.drop(columns=["to_factor_unit", "dimension"])


def _most_specific(wanted: pd.DataFrame, table: pd.DataFrame, levels) -> pd.DataFrame:
    """For each wanted key the most specific one that the table has; NaN where it has none."""
    known = pd.MultiIndex.from_frame(table[KEYS])
    found = pd.DataFrame(np.nan, index=wanted.index, columns=KEYS, dtype=object)
    for anything in levels:
        candidate = wanted.assign(**dict.fromkeys(anything, ANY))
        hit = found["carrier"].isna() & pd.MultiIndex.from_frame(candidate[KEYS]).isin(known)
        found.loc[hit] = candidate.loc[hit, KEYS]
    return found


def _place(lines: pd.DataFrame, scheme: pd.DataFrame) -> pd.DataFrame:
    """Add what the scheme says about each line."""
    wanted = lines[KEYS].apply(key)
    found = _most_specific(wanted, scheme, _SCHEME_LEVELS)
    missing = found["carrier"].isna()
    if missing.any():
        _refuse_place(lines[missing].iloc[0], wanted[missing].iloc[0], scheme)
    place = found.merge(scheme, on=KEYS, how="left")
    lines = lines.copy()
    lines["sector"] = place["sector_name"]
    lines["subsector"] = place["subsector_name"].where(place["subsector"] != ANY, lines["subsector"].str.strip())
    lines["land_type"] = _land_types(lines, place["land_type"])
    lines[["kind", "scope", "gpc", "ipcc", "power", "equation"]] = place[
        ["kind", "scope", "gpc", "ipcc", "power", "equation"]
    ]
    return lines


def _refuse_place(line: pd.Series, names: pd.Series, scheme: pd.DataFrame) -> None:
    sectors = scheme["sector_name"].unique()
    of_sector = scheme[scheme["sector"] == names["sector"]]
    of_subsector = of_sector[of_sector["subsector"].isin([names["subsector"], ANY])]
    if of_sector.empty:
        what, known = f"sector '{line['sector']}' is unknown", sectors
    elif of_subsector.empty:
        name = f"'{line['subsector']}'" if line["subsector"] else "(blank)"
        what, known = f"subsector {name} of sector '{line['sector']}' is unknown", of_sector["subsector_name"].unique()
    else:
        what = f"carrier '{line['carrier']}' does not belong to {line['sector']}, {line['subsector']}"
        known = of_subsector["carrier"].unique()
    raise InputError(
        "activity", f"row {line['line']}: {what}", f"Use one of {', '.join(name or '(blank)' for name in known)}"
    )


def _land_types(lines: pd.DataFrame, allowed: pd.Series) -> pd.Series:
    """The line's own land type in the scheme's spelling, else the scheme's where it has one only, else blank."""
    result = pd.Series("", index=lines.index, dtype=object)
    for text in allowed.unique():
        types = {name.strip().casefold(): name.strip() for name in text.split("|")}
        rows = allowed == text
        own = key(lines.loc[rows, "land_type"])
        wrong = ~own.isin(["", *types])
        if wrong.any():
            line = lines.loc[own.index[wrong][0]]
            raise InputError(
                "activity",
                f"row {line['line']}: land type '{line['land_type']}' does not belong to {line['sector']}, "
                f"{line['subsector'] or 'all subsectors'}",
                f"Use one of {', '.join(types.values())}, or leave it blank",
            )
        only = next(iter(types.values())) if len(types) == 1 else ""
        result[rows] = own.map(types).fillna(only)
    return result


def _apply_factors(lines: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """Join each line with its factors and bring its amount into their unit."""
    found = _find_factors(lines, factors)
    table = factors.rename(
        columns={"unit": "factor_unit", "uncertainty_pct": "factor_uncertainty_pct"}
        | {name: f"factor_{name}" for name in (*KEYS, "scope", "gpc", "ipcc")}
    ).drop(columns="name")
    table["factor_row"] = range(len(table))
    lines = lines.rename(columns={"uncertainty_pct": "amount_uncertainty_pct"})
    lines["dimension"] = _dimensions(lines)
    lines[found.columns] = found
    on = [*found.columns, "dimension"]
    joined = lines.merge(table, on=on, how="left", sort=False)
    wrong = joined["factor_t_per_unit"].isna()
    if wrong.any():
        line = joined[wrong].iloc[0]
        _refuse_unit(line, table.merge(line[found.columns].to_frame().T, on=list(found.columns)))
    for name in ("scope", "gpc", "ipcc"):
        own = joined.pop(f"factor_{name}")
        joined[name] = own.where(own != "", joined[name].str.replace("|", "; "))
    pairs = joined[["unit", "activity_unit"]].drop_duplicates()
    scale = {pair: units.factor(*pair, "activity") for pair in pairs.itertuples(index=False, name=None)}
    joined["to_factor_unit"] = [scale[pair] for pair in zip(joined["unit"], joined["activity_unit"])]
    return joined.drop(columns=["factor_sector", "factor_subsector", "factor_carrier"])


def _find_factors(lines: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """The key and origin of each line's factors, in the columns that the factors will be joined on."""
    wanted = lines[KEYS].apply(key)
    found = pd.DataFrame(np.nan, index=lines.index, columns=[*KEYS, "origin"], dtype=object)
    for origin, rows in factors.groupby("origin", sort=False):
        still = found["carrier"].isna()
        match = _most_specific(wanted[still], rows, _FACTOR_LEVELS)
        found.loc[still, KEYS] = match
        found.loc[match.index[match["carrier"].notna()], "origin"] = origin
    missing = found["carrier"].isna()
    if missing.any():
        _refuse_carrier(lines[missing], wanted, factors)
    return found.rename(columns={name: f"factor_{name}" for name in KEYS})


def _dimensions(lines: pd.DataFrame) -> pd.Series:
    """What the unit of each line measures."""
    known = {}
    for unit, row in lines.drop_duplicates("unit")[["unit", "line"]].itertuples(index=False):
        try:
            known[unit] = units.dimension(unit, "activity")
        except InputError as error:
            raise InputError("activity", f"row {row}: {error.problem}", error.mend) from None
    return lines["unit"].map(known)


def _refuse_unit(line: pd.Series, fits: pd.DataFrame) -> None:
    known = [unit for dimension in fits["dimension"].unique() for unit in units.known_units(dimension)]
    raise InputError(
        "activity",
        f"row {line['line']}: unit '{line['unit']}' of carrier '{line['carrier']}' measures {line['dimension']}, but "
        f"its factor is in {' and '.join(fits['factor_unit'].unique())}",
        f"Give the amount in one of {', '.join(known)}, or add a factor for this unit to the factor table",
    )


def _refuse_carrier(lines: pd.DataFrame, wanted: pd.DataFrame, factors: pd.DataFrame) -> None:
    carriers = wanted.loc[lines.index, "carrier"]
    if (carriers == ELECTRICITY).any():
        rows = lines.loc[carriers == ELECTRICITY, "line"]
        first = ", ".join(str(row) for row in rows[:5]) + (", ..." if len(rows) > 5 else "")
        raise InputError(
            "grid_factor_t_mwh",
            f"{len(rows):,} lines use electricity (rows {first}) and there is no grid factor, which has no default",
            "Give the grid's t CO2 per MWh here, or a row for the carrier 'electricity' in the factor table",
        )
    line, names = lines.iloc[0], wanted.loc[lines.index[0]]
    fits = factors["sector"].isin([ANY, names["sector"]]) & factors["subsector"].isin([ANY, names["subsector"]])
    raise InputError(
        "activity",
        f"row {line['line']}: carrier '{line['carrier']}' of {line['sector']}, {line['subsector'] or '(blank)'} has no "
        "factor",
        f"Add a row for it to the factor table, or use one of {', '.join(factors.loc[fits, 'name'].unique())}",
    )


def guard_double_counting(lines: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find power-plant fuel beside the use of power, and take it out where the scheme says so.

    Electricity charged to its consumers with a grid factor already holds the fuel of the plants that made it. Nanjing
    paper, Equation 2: the primary-to-secondary conversion is deducted; the Suzhou paper counts both.

    Parameters
    ----------
    lines : from ``account_lines``.

    Returns
    -------
    The lines, with ``status`` ``deducted`` where fuel was taken out, and the findings: one row per year with fuel_t,
    use_t, deducted_t and twice_t, the tonnes that may still be counted twice (at most the smaller of fuel and use).
    """
    counted = lines["status"] == "counted"
    fuel, use = counted & lines["power"].str.startswith("fuel"), counted & (lines["power"] == "use")
    by_year = pd.DataFrame(
        {
            "fuel_t": lines["t_co2e"].where(fuel, 0.0).groupby(lines["year"]).sum(),
            "use_t": lines["t_co2e"].where(use, 0.0).groupby(lines["year"]).sum(),
        }
    )
    both = by_year[(by_year["fuel_t"] > 0) & (by_year["use_t"] > 0)]
    deducted = fuel & (lines["power"] == "fuel deducted") & lines["year"].isin(both.index)
    lines = lines.assign(status=lines["status"].mask(deducted, "deducted"))
    out = lines["t_co2e"].where(deducted, 0.0).groupby(lines["year"]).sum().reindex(both.index)
    findings = both.assign(deducted_t=out, twice_t=np.minimum(both["fuel_t"] - out, both["use_t"]))
    return lines, findings.reset_index()


def summarise(lines: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Gross emissions, sinks and net of the counted lines, with the +-% of the net.

    Errors are independent of each other: U = sqrt(sum((U_i x_i)^2)) / |sum(x_i)| (IPCC 2006, Vol. 1, Ch. 3, Equation
    3.2), after the tonnes that share an error were added up; U is 0 where the net is 0.

    Parameters
    ----------
    lines : from ``guard_double_counting``.
    by : columns to group by; an empty list gives the whole in one row.

    Returns
    -------
    The columns in ``by`` in the order in which they first appear, gross_t, sink_t (positive), net_t = gross_t - sink_t
    and uncertainty_pct.
    """
    lines = lines[lines["status"] == "counted"]
    sink = lines["kind"] == "sink"
    parts = pd.DataFrame({"gross_t": lines["t_co2e"].mask(sink, 0.0), "sink_t": lines["t_co2e"].where(sink, 0.0)})
    parts["net_t"] = parts["gross_t"] - parts["sink_t"]
    keys = [lines[name] for name in by] or [pd.Series(0, index=lines.index)]
    sums = parts.groupby(keys, sort=False).sum()
    sums["net_t"] = sums["gross_t"] - sums["sink_t"]
    levels = list(range(len(keys)))
    variance = 0.0
    for source in ("amount", "factor"):
        deviation = lines[f"{source}_uncertainty_pct"] * parts["net_t"]
        shared = deviation.groupby([*keys, lines[f"{source}_error"]], sort=False).sum()
        variance = variance + (shared**2).groupby(level=levels, sort=False).sum()
    sums["uncertainty_pct"] = (np.sqrt(variance) / sums["net_t"].abs()).where(sums["net_t"] != 0, 0.0)
    if not by:
        return sums.reindex([0], fill_value=0.0).reset_index(drop=True)
    return sums.reset_index()


def totals(lines: pd.DataFrame) -> pd.DataFrame:
    """The totals table: one row per region, year, sector, subsector, land type and scope.

    GPC and IPCC categories that meet in a row are joined by ``; ``. Columns: region, sector, subsector, land_type,
    scope, gpc, ipcc, gross_t, sink_t, net_t, uncertainty_pct, year.
    """
    by = ["region", "year", "sector", "subsector", "land_type", "scope"]
    result = summarise(lines, by)
    counted = lines[lines["status"] == "counted"]
    for name in ("gpc", "ipcc"):
        codes = counted.drop_duplicates([*by, name]).groupby(by, sort=False)[name].agg("; ".join)
        result[name] = codes.to_numpy()
    order = ["region", "sector", "subsector", "land_type", "scope", "gpc", "ipcc"]
    return result[[*order, "gross_t", "sink_t", "net_t", "uncertainty_pct", "year"]]


def row_sum_check(table: pd.DataFrame, part: str, total: str, by: list[str]) -> pd.DataFrame:
    """Compare the parts of a published table with its printed sums.

    Parameters
    ----------
    table : one row per part; ``total`` holds the printed sum of the row's group, in each row or in one of them.
    part, total : the columns of the parts and of the printed sums, in one unit.
    by : columns that make the groups.

    Returns
    -------
    One row per group with a printed sum: the columns in ``by``, parts (their number), sum, printed, difference (sum -
    printed), rounding (the most that rounding of the printed digits explains) and faulty.

    Raises
    ------
    InputError : a group has several printed sums.
    """
    table = table.assign(**{name: table[name].fillna("") for name in by})
    table = table[table[total].notna().groupby([table[name] for name in by]).transform("any")]
    rows = []
    for names, group in table.groupby(by, sort=False):
        printed = group[total].dropna().unique()
        if len(printed) > 1:
            raise InputError(
                "activity",
                f"'{total}' of {', '.join(filter(None, map(str, names)))} is both {printed[0]:g} and {printed[1]:g}",
                "Give one printed sum per group",
            )
        if len(printed) == 1:
            digits = max(_decimals(value) for value in (*group[part], printed[0]))
            difference = round(group[part].sum() - printed[0], digits)
            # Each part and the sum may be off by half a unit of the last printed digit.
            rounding = round(0.5 * 10.0**-digits * (len(group) + 1), digits + 1)
            rows.append((*names, len(group), round(group[part].sum(), digits), printed[0], difference, rounding))
    result = pd.DataFrame(rows, columns=[*by, "parts", "sum", "printed", "difference", "rounding"])
    result["faulty"] = result["difference"].abs() > result["rounding"]
    return result


def _decimals(value: float) -> int:
    return max(0, -Decimal(repr(float(value))).normalize().as_tuple().exponent)
