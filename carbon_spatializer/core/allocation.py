"""Allocation of sector totals to land parcels by a rules table, with a fallback cascade and a ledger.

A *rule* says which weight (proxy) spreads the total of a sector and subsector over the parcels of its land types:
``C_i = C * w_i / sum(w)``, the sum running over those parcels of the total's region. The default rules are Table 2 of
the Suzhou paper (carbon-balance zoning of the territorial space of Suzhou, 2020).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import ledger as ledgers
from .errors import InputError

PROXIES = ("poi_count", "poi_weight", "field", "raster", "length", "area")
# The proxies that a cascade may name: those that need nothing but a layer.
FALLBACKS = ("poi_count", "raster", "length", "area")
KINDS = ("emission", "sink")
RULE_COLUMNS = (
    *("sector", "subsector", "land_type", "kind", "share"),
    *("proxy", "categories", "field", "facility_categories"),
)
ALL_PARCELS = "*"
_NEEDED_RULE_COLUMNS = ("sector", "land_type", "kind", "proxy")
_NEED_FIELD = ("poi_weight", "field")
_REGION_WIDE = "area of the whole region"
_NO_PARCEL = "no parcel with an area"
# Names of output columns that a sector's own column must not take.
_RESERVED_SECTORS = ("gross", "sink", "net", "fallback")
_SHARE_TOLERANCE = 1e-6

# weigh(rule, proxy, parcels, region): weights >= 0 of the parcels with these row numbers and region codes, or None
# when the layer that the proxy needs was not given.
Weigh = Callable[["Rule", str, np.ndarray, np.ndarray], np.ndarray | None]


@dataclass(frozen=True)
class Rule:
    """One row of the rules table; empty tuples mean "all"."""

    sector: str
    subsector: str
    land_types: tuple[str, ...]
    kind: str
    share: float | None
    proxy: str
    categories: tuple[str, ...]
    field: str
    facility_categories: tuple[str, ...]

    @property
    def label(self) -> str:
        """The proxy, as it is recorded for a parcel."""
        return f"{self.proxy} {self.field}" if self.proxy in _NEED_FIELD else self.proxy

    @property
    def poi_categories(self) -> tuple[str, ...]:
        """POI categories that count for this rule, whether by itself or as its fallback."""
        return self.facility_categories if self.proxy == "length" else self.categories

    @property
    def line_types(self) -> tuple[str, ...]:
        """Line types that count for this rule, whether by itself or as its fallback."""
        return self.categories if self.proxy == "length" else ()


@dataclass(frozen=True)
class Parcels:
    """What the allocation needs of n parcels.

    area_m2 : (n,) true areas; land_type, region : (n,) categoricals of text, '' where a parcel has none.
    """

    area_m2: np.ndarray
    land_type: pd.Categorical
    region: pd.Categorical


@dataclass(frozen=True)
class Allocation:
    """Emissions of n parcels in t CO2e.

    sectors : (n,) per emission sector; sink_t : (n,) positive magnitudes; fallback_t : (n,) tonnes, emissions and
    sinks, that arrived by fallback; rule : (n,) the proxy of each subsector; ledger : see ``core/ledger.py``.
    """

    sectors: dict[str, np.ndarray]
    sink_t: np.ndarray
    fallback_t: np.ndarray
    rule: pd.Categorical
    ledger: pd.DataFrame

    @property
    def gross_t(self) -> np.ndarray:
        """Emissions of all sectors, without sinks."""
        return sum(self.sectors.values(), np.zeros(len(self.sink_t)))


# Rules ----------------------------------------------------------------------------------------------------------------


def parse_rules(table: pd.DataFrame) -> list[Rule]:
    """Read and check a rules table.

    Parameters
    ----------
    table : columns of ``RULE_COLUMNS`` as text, blank cells as ''; sector, land_type, kind and proxy are required.

    Raises
    ------
    InputError : naming the row and the cell that cannot be used.
    """
    missing = [column for column in _NEEDED_RULE_COLUMNS if column not in table.columns]
    if missing:
        raise InputError(
            "rules",
            f"the rules table has no column '{missing[0]}'",
            f"Give it the columns {', '.join(RULE_COLUMNS)}",
        )
    table = table.reindex(columns=list(RULE_COLUMNS), fill_value="")
    rules = [_parse_rule(row, number) for number, row in enumerate(table.itertuples(index=False), start=1)]
    if not rules:
        raise InputError("rules", "the rules table has no rows", "Give it a row per sector and land type")
    for number, rule in enumerate(rules, start=1):
        if rule in rules[: number - 1]:
            raise InputError("rules", f"row {number} repeats an earlier row", "Remove it")
        kinds = {other.kind for other in rules if other.sector == rule.sector}
        if len(kinds) > 1:
            raise InputError(
                "rules",
                f"sector '{rule.sector}' is both emission and sink",
                "Name the sinks as a sector of their own",
            )
    _check_shares(rules)
    return rules


def _parse_rule(row, number: int) -> Rule:
    def refuse(column: str, mend: str):
        value = getattr(row, column)
        problem = f"row {number} has no {column}" if value == "" else f"row {number} has the {column} '{value}'"
        return InputError("rules", problem, mend)

    if row.sector == "" or (row.kind == "emission" and row.sector in _RESERVED_SECTORS):
        raise refuse("sector", f"Name its sector, but not {', '.join(_RESERVED_SECTORS)}")
    if row.land_type == "":
        raise refuse("land_type", f"Name its land types, separated by |, or {ALL_PARCELS} for all parcels")
    if row.kind not in KINDS:
        raise refuse("kind", f"Use {' or '.join(KINDS)}")
    if row.proxy not in PROXIES:
        raise refuse("proxy", f"Use one of {', '.join(PROXIES)}")
    if row.proxy in _NEED_FIELD and row.field == "":
        raise refuse("field", f"The proxy {row.proxy} needs the name of a numeric field")
    try:
        share = None if row.share == "" else float(row.share)
    except ValueError:
        raise refuse("share", "Use a number between 0 and 1 or leave it blank") from None
    if share is not None and not 0 <= share <= 1:
        raise refuse("share", "Use a number between 0 and 1 or leave it blank")
    return Rule(
        sector=row.sector,
        subsector=row.subsector,
        land_types=() if row.land_type == ALL_PARCELS else _list(row.land_type),
        kind=row.kind,
        share=share,
        proxy=row.proxy,
        categories=_list(row.categories),
        field=row.field,
        facility_categories=_list(row.facility_categories),
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|") if part.strip())


def _check_shares(rules: Sequence[Rule]) -> None:
    for sector, subsector in dict.fromkeys((rule.sector, rule.subsector) for rule in rules):
        shares = [rule.share for rule in rules if (rule.sector, rule.subsector) == (sector, subsector)]
        given = [share for share in shares if share is not None]
        name = _name(sector, subsector)
        if given and len(given) < len(shares):
            raise InputError(
                "rules",
                f"{len(given)} of the {len(shares)} rows of {name} have a share",
                "Give a share to each of them or to none",
            )
        if given and abs(sum(given) - 1) > _SHARE_TOLERANCE:
            raise InputError("rules", f"the shares of {name} sum to {sum(given):g}", "Make them sum to 1")


def _name(sector: str, subsector: str) -> str:
    return f"{sector}/{subsector}" if subsector else sector


# Totals ---------------------------------------------------------------------------------------------------------------


def check_totals(totals: pd.DataFrame, rules: Sequence[Rule], parcels: Parcels) -> pd.DataFrame:
    """Check totals against the rules and the parcels, and sum the rows that mean the same.

    Parameters
    ----------
    totals : sector, subsector, land_type, region (text, '' = not given) and amount_t (signed tonnes CO2e).
    rules : see ``parse_rules``.
    parcels : see ``Parcels``.

    Returns
    -------
    One row per region x sector x subsector x land_type with ``amount_t`` as a magnitude.

    Raises
    ------
    InputError : an unknown sector, subsector, land type or region; an emission below zero; sinks of both signs.
    """
    _refuse_unknown(totals["sector"], {rule.sector for rule in rules}, "sector", "the rules know")
    for sector, rows in totals.groupby("sector"):
        own = [rule for rule in rules if rule.sector == sector]
        _refuse_unknown(
            rows["subsector"], {rule.subsector for rule in own} | {""}, f"subsector of {sector}", "the rules know"
        )
        for subsector, part in rows.groupby("subsector"):
            covered = [rule for rule in own if subsector in ("", rule.subsector)]
            known = {land_type for rule in covered for land_type in rule.land_types} | {""}
            if any(not rule.land_types for rule in covered):
                known |= set(parcels.land_type.categories)
            _refuse_unknown(
                part["land_type"], known, f"land type of {_name(sector, subsector)}", "the rules and parcels know"
            )
        if own[0].kind == "sink" and (rows["amount_t"] > 0).any() and (rows["amount_t"] < 0).any():
            raise InputError(
                "totals",
                f"sector '{sector}' is a sink and has both positive and negative amounts",
                "Give all its amounts the same sign",
            )
    _refuse_unknown(totals["region"], set(parcels.region.categories) | {""}, "region", "the parcels have")
    keys = ["region", "sector", "subsector", "land_type"]
    summed = totals.groupby(keys, sort=True, as_index=False)["amount_t"].sum()
    sinks = summed["sector"].isin([rule.sector for rule in rules if rule.kind == "sink"])
    negative = summed[~sinks & (summed["amount_t"] < 0)]
    if len(negative):
        row = negative.iloc[0]
        raise InputError(
            "totals",
            f"the emission of {_name(row.sector, row.subsector)}{f' in {row.region}' if row.region else ''} is "
            f"{row.amount_t:g} t",
            "Only sinks may be negative; correct the amount or make the sector a sink in the rules",
        )
    return summed.assign(amount_t=summed["amount_t"].abs())


def _refuse_unknown(values: pd.Series, known: set[str], what: str, who: str) -> None:
    unknown = sorted(set(values) - known)
    if unknown:
        listed = ", ".join(f"'{value}'" for value in unknown[:10])
        raise InputError(
            "totals",
            f"the {what} {listed} is unknown" if unknown != [""] else f"a row has no {what}",
            f"Use those that {who}: {', '.join(sorted(known - {''})) or '(none)'}",
        )


def used_rules(totals: pd.DataFrame, rules: Sequence[Rule]) -> list[Rule]:
    """The rules that the totals of ``check_totals`` call for."""
    called = [rule for pool in _pools(totals, rules) for rule in pool.rules]
    return [rule for rule in rules if rule in called]


# Allocation -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pool:
    """Totals that share their weights: one sector, subsector and land type, in several regions or in the city."""

    rules: tuple[Rule, ...]
    land_type: str  # '' = all land types of the rules
    amounts: pd.Series  # region -> t, or '' -> t for the whole city

    @property
    def sector(self) -> str:
        return self.rules[0].sector

    @property
    def is_sink(self) -> bool:
        return self.rules[0].kind == "sink"

    def subsector(self, land_type: str = "") -> str:
        """Subsectors of the rules that cover a land type, or of all where none does."""
        covering = [rule for rule in self.rules if not rule.land_types or land_type in rule.land_types]
        return "|".join(sorted({rule.subsector for rule in covering or self.rules}))

    def label(self, proxy: str | None) -> str:
        """What weighed the parcels: the rules' own proxy (None), which they share, or a fallback."""
        return self.rules[0].label if proxy is None else f"{proxy} (fallback)"

    @property
    def land_types(self) -> tuple[str, ...]:
        """Land types of the parcels that take part; empty = all parcels."""
        if self.land_type:
            return (self.land_type,)
        if any(not rule.land_types for rule in self.rules):
            return ()
        return tuple({land_type for rule in self.rules for land_type in rule.land_types})


def _pools(totals: pd.DataFrame, rules: Sequence[Rule]) -> list[_Pool]:
    """Group the totals into pools; rules with shares make a pool each."""
    totals = totals.assign(city=totals["region"] == "")
    pools = []
    for (_, sector, subsector, land_type), rows in totals.groupby(["city", "sector", "subsector", "land_type"]):
        matched = [
            rule
            for rule in rules
            if rule.sector == sector
            and subsector in ("", rule.subsector)
            and (land_type == "" or not rule.land_types or land_type in rule.land_types)
        ]
        amounts = rows.set_index("region")["amount_t"]
        name = _name(sector, subsector)
        if all(rule.share is None for rule in matched):
            kinds = dict.fromkeys(rule.label for rule in matched)
            if len(kinds) > 1:
                raise InputError(
                    "rules",
                    f"the total of {name} would be split by {' and '.join(kinds)}, which have no common unit",
                    "Give the totals by subsector, or each of these rules a share",
                )
            pools.append(_Pool(tuple(matched), land_type, amounts))
            continue
        if len({rule.subsector for rule in matched}) > 1:
            raise InputError(
                "totals",
                f"the total of {name} names no subsector, but the rules' shares hold within one subsector",
                "Give the totals by subsector",
            )
        whole = sum(rule.share for rule in matched)
        if whole == 0:
            raise InputError(
                "rules",
                f"the rules of {name} for the land type '{land_type}' have the share 0",
                "Give one of them a share",
            )
        pools += [_Pool((rule,), land_type, amounts * (rule.share / whole)) for rule in matched if rule.share > 0]
    return pools


def allocate(
    parcels: Parcels,
    totals: pd.DataFrame,
    rules: Sequence[Rule],
    weigh: Weigh,
    cascade: Sequence[str] = ("area",),
    progress: Callable[[float, str], None] = lambda fraction, text: None,
) -> Allocation:
    """Allocate totals to parcels; no tonne is lost.

    The rules that match a total form one pool of weights (per subsector when the total names it), or split it by
    their shares. Where the pool's weights sum to zero in a region, or the layer is missing, the proxies of the
    cascade are tried in their order, then the area of the pool's parcels, then the area of all parcels of the region.

    Parameters
    ----------
    parcels : n parcels.
    totals : result of ``check_totals``; a blank region is the whole city.
    rules : see ``parse_rules``.
    weigh : gives a rule's weights, see ``Weigh``.
    cascade : proxies of ``FALLBACKS`` in the order to try; area is always the last.
    progress : called with a fraction and a text; may raise to stop.

    Raises
    ------
    InputError : rules with different proxies and no shares would share one total.
    MassError : a balance does not close to 1e-9.
    """
    unknown = [proxy for proxy in cascade if proxy not in FALLBACKS]
    if unknown:
        raise InputError("fallback", f"the proxy '{unknown[0]}' is unknown", f"Use {', '.join(FALLBACKS)}")
    pools = _pools(totals, rules)
    book = _Book(parcels, pools)
    for number, pool in enumerate(pools):
        progress(number / len(pools), f"Allocating {_name(pool.sector, pool.subsector())}")
        _allocate_pool(book, pool, weigh, [*dict.fromkeys(cascade), "area"])
    return book.close(totals)


def _allocate_pool(book: "_Book", pool: _Pool, weigh: Weigh, cascade: Sequence[str]) -> None:
    scope = book.scope(pool)
    inside = (scope.amount > 0)[scope.code]
    members = np.flatnonzero(inside & book.of_land_types(pool.land_types))
    waiting = scope.amount > 0
    for proxy in (None, *cascade):
        if not waiting.any():
            return
        weights = _pool_weights(book, pool, weigh, proxy, members, scope.code[members])
        if weights is not None:
            waiting = book.spread(pool, scope, waiting, members, weights, proxy)
    everyone = np.flatnonzero(inside)
    waiting = book.spread(pool, scope, waiting, everyone, book.parcels.area_m2[everyone], _REGION_WIDE)
    book.leave(pool, scope, waiting)


def _pool_weights(book, pool, weigh, proxy, members, region) -> np.ndarray | None:
    """Weights of a pool's parcels by the rules' own proxies (None) or another one; None when a layer is missing."""
    weights = np.zeros(len(members))
    for rule in pool.rules:
        own = np.flatnonzero(book.of_land_types(rule.land_types)[members])
        found = weigh(rule, proxy or rule.proxy, members[own], region[own])
        if found is None:
            return None
        # A fallback weighs a parcel once, however many rules cover it.
        weights[own] = weights[own] + found if proxy is None else np.maximum(weights[own], found)
    return weights


@dataclass(frozen=True)
class _Scope:
    """Where the amounts of a pool apply: R regions, or the city as one. code : (n,) region of each parcel."""

    names: list[str]
    code: np.ndarray
    amount: np.ndarray


class _Book:
    """What the parcels and the ledger hold so far."""

    def __init__(self, parcels: Parcels, pools: Sequence[_Pool]):
        n = len(parcels.area_m2)
        self.parcels = parcels
        emitting = [pool.sector for pool in pools if not pool.is_sink]
        self._sectors = {sector: np.zeros(n) for sector in dict.fromkeys(emitting)}
        self._sink = np.zeros(n)
        self._fallback = np.zeros(n)
        self._regions = list(parcels.region.categories)
        self._region = parcels.region.codes.astype(np.intp)
        self._land_types = list(parcels.land_type.categories)
        # Parcels of one region and land type form a group: they share their rules.
        self._group = self._region * len(self._land_types) + parcels.land_type.codes
        self._texts = [[] for _ in range(len(self._regions) * len(self._land_types))]
        self._rows = []

    def scope(self, pool: _Pool) -> _Scope:
        if "" in pool.amounts.index:
            return _Scope([""], np.zeros_like(self._region), pool.amounts.to_numpy())
        return _Scope(self._regions, self._region, pool.amounts.reindex(self._regions, fill_value=0.0).to_numpy())

    def of_land_types(self, land_types: tuple[str, ...]) -> np.ndarray:
        """(n,) whether a parcel is of one of these land types; of any when there are none."""
        wanted = np.array([not land_types or name in land_types for name in self._land_types])
        return wanted[self.parcels.land_type.codes]

    def spread(self, pool, scope, waiting, members, weights, proxy) -> np.ndarray:
        """Give the waiting regions' amounts to the members by weight; returns which regions still wait."""
        total = np.bincount(scope.code[members], weights, minlength=len(scope.names))
        served = waiting & (total > 0)
        keep = served[scope.code[members]]
        members, weights = members[keep], weights[keep]
        region = scope.code[members]
        share = weights / total[region]
        tonnes = scope.amount[region] * share
        (self._sink if pool.is_sink else self._sectors[pool.sector])[members] += tonnes
        if proxy is not None:
            self._fallback[members] += tonnes
        for group in np.flatnonzero(np.bincount(self._group[members], minlength=len(self._texts))):
            land_type = self._land_types[group % len(self._land_types)]
            self._texts[group].append(f"{_name(pool.sector, pool.subsector(land_type))}: {pool.label(proxy)}")
        self._enter(pool, scope, members, share, tonnes, proxy)
        return waiting & ~served

    def _enter(self, pool, scope, members, share, tonnes, proxy) -> None:
        """Ledger rows: one per region and land type, or per region where the land type does not matter."""
        names = self._land_types if pool.land_types and proxy != _REGION_WIDE else [""]
        land_type = self.parcels.land_type.codes[members] if names is self._land_types else 0
        line = scope.code[members] * len(names) + land_type
        size = len(scope.names) * len(names)
        part = np.bincount(line, share, minlength=size)
        whole = part.reshape(len(scope.names), len(names)).sum(axis=1)
        allocated = np.bincount(line, tonnes, minlength=size)
        for entry in np.flatnonzero(np.bincount(line, minlength=size)):
            region, name = entry // len(names), names[entry % len(names)]
            incoming = scope.amount[region] * (part[entry] / whole[region])
            self._row(pool, scope.names[region], name, proxy, incoming, allocated[entry])

    def leave(self, pool, scope, waiting) -> None:
        """Enter what found no parcel of any area as unallocated."""
        for region in np.flatnonzero(waiting):
            self._row(pool, scope.names[region], "", _NO_PARCEL, scope.amount[region], 0.0)

    def _row(self, pool, region, land_type, proxy, incoming, allocated) -> None:
        sign = -1.0 if pool.is_sink else 1.0
        self._rows.append(
            {
                "region": region,
                "sector": pool.sector,
                "subsector": pool.subsector(land_type),
                "land_type": land_type or ALL_PARCELS,
                "rule": pool.label(proxy),
                "in_t": sign * incoming,
                "allocated_t": sign * allocated,
                "fallback_t": sign * allocated if proxy is not None else 0.0,
                "unallocated_t": sign * incoming if proxy == _NO_PARCEL else 0.0,
            }
        )

    def close(self, totals: pd.DataFrame) -> Allocation:
        """Check that all mass arrived, per ledger row and per total, and hand over."""
        columns = ["region", "sector", "subsector", "land_type", "rule"]
        amounts = ["in_t", "allocated_t", "fallback_t", "unallocated_t"]
        rows = pd.DataFrame(self._rows, columns=columns + amounts).groupby(columns, as_index=False)[amounts].sum()
        came = totals[totals["amount_t"] > 0].groupby(["region", "sector"])["amount_t"].sum()
        went = rows.groupby(["region", "sector"])[["allocated_t", "unallocated_t"]].sum().abs()
        ledgers.close(went.reindex(came.index, fill_value=0.0).assign(in_t=came).reset_index())
        texts = pd.Series(["; ".join(sorted(lines)) or "none" for lines in self._texts], dtype=object)
        codes, names = pd.factorize(texts)
        return Allocation(
            sectors=self._sectors,
            sink_t=self._sink,
            fallback_t=self._fallback,
            rule=pd.Categorical.from_codes(codes[self._group], names),
            ledger=ledgers.close(rows),
        )
