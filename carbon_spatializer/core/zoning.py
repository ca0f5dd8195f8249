"""Carbon-balance zoning: what a unit emits, takes up and earns, compared with the city as a whole.

Equations 8 to 10 and Table 4 of the carbon-balance zoning of Suzhou's territorial space (base year 2020).
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from .checks import one_of
from .errors import InputError

LOW_CARBON_ECONOMIC = "low-carbon economic zone"
CARBON_SOURCE_CONTROL = "carbon-source control zone"
CARBON_SINK_FUNCTIONAL = "carbon-sink functional zone"
HIGH_CARBON_OPTIMIZATION = "high-carbon optimization zone"
UNDEFINED = "undefined"
ZONES = (LOW_CARBON_ECONOMIC, CARBON_SOURCE_CONTROL, CARBON_SINK_FUNCTIONAL, HIGH_CARBON_OPTIMIZATION, UNDEFINED)

EQUALITY = ("high", "low")

_DRAWS_AT_A_TIME = 1_000_000
_HALF_WIDTH_95 = 1.959964


def indices(gross: np.ndarray, sink: np.ndarray, gdp: np.ndarray) -> pd.DataFrame:
    """Carbon compensation rate, economic contribution and ecological support of each unit.

    With C_i the gross emissions, S_i the sink and G_i the GDP of unit i, and C, S and G their sums over all units:

    - ``ccr`` = S_i / C_i (Eq 8), as a ratio, and ``ccr_pct`` in percent; below 1 the unit is a net source;
    - ``ecc`` = (G_i / G) / (C_i / C) (Eq 9); above 1 it earns more than its share of the emissions;
    - ``esc`` = (S_i / S) / (C_i / C) (Eq 10); above 1 it takes up more than its share of the emissions.

    It follows that esc = ccr / (S / C), and that both ecc and esc have the mean 1 when weighted by C_i.

    Parameters
    ----------
    gross : gross emissions (before sinks), t CO2e per year, not negative.
    sink : uptake as a positive magnitude, t CO2e per year, not negative.
    gdp : gross domestic product in any one unit, not negative.

    Returns
    -------
    One row per unit; missing where C_i is zero.

    Raises
    ------
    InputError : the gross emissions, the sinks or the GDP of all units sum to zero.
    """
    for parameter, what, values in (
        ("gross_field", "gross emissions", gross),
        ("sink_field", "sinks", sink),
        ("gdp_field", "GDP", gdp),
    ):
        if not np.sum(values) > 0:
            raise InputError(
                parameter, f"the {what} of all units sum to zero, so that no share is defined", "Choose another field"
            )
    ccr, ecc, esc = _indices(np.asarray(gross, float), np.asarray(sink, float), np.asarray(gdp, float))
    return pd.DataFrame({"ccr": ccr, "ccr_pct": 100 * ccr, "ecc": ecc, "esc": esc})


def zones(ecc: np.ndarray, esc: np.ndarray, equality: str = "high") -> np.ndarray:
    """The zone of each unit after Table 4.

    ====================  =============  ============
    zone                  ecc            esc
    ====================  =============  ============
    low-carbon economic   high           high
    carbon-source control high           low
    carbon-sink functional low           high
    high-carbon optimization low         low
    ====================  =============  ============

    High is above 1, low below 1; the table leaves 1 itself open, and ``equality`` says what it counts as. A unit is
    ``undefined`` where its emissions or its sink are zero: esc is then missing or zero.

    Raises
    ------
    InputError : ``equality`` is neither ``high`` nor ``low``.
    """
    one_of(equality, EQUALITY, "equality")
    is_high = np.greater_equal if equality == "high" else np.greater
    rich, green = is_high(ecc, 1), is_high(esc, 1)
    return np.select(
        [~(np.asarray(esc) > 0), rich & green, rich, green],
        [UNDEFINED, LOW_CARBON_ECONOMIC, CARBON_SOURCE_CONTROL, CARBON_SINK_FUNCTIONAL],
        HIGH_CARBON_OPTIMIZATION,
    ).astype(object)


def near_threshold(ecc: np.ndarray, esc: np.ndarray, band_pct: float) -> np.ndarray:
    """Whether ecc or esc of a unit with a zone lies within 1 +- band_pct percent, so that little would move it."""
    if not (np.isfinite(band_pct) and 0 <= band_pct < 100):
        raise InputError("band_pct", f"{band_pct} is not between 0 and 100", "Give a percentage, for example 5")
    # The limits themselves are inside the band, in spite of how 1.05 - 1 is rounded.
    band = band_pct / 100 * (1 + 1e-9)
    near = (np.abs(np.asarray(ecc) - 1) <= band) | (np.abs(np.asarray(esc) - 1) <= band)
    return near & (np.asarray(esc) > 0)


def zone_table(units: pd.DataFrame) -> pd.DataFrame:
    """Counts and sums per zone with their shares, and beside each share what it is a share of.

    Parameters
    ----------
    units : one row per unit with the columns ``zone``, ``near_threshold``, ``gross_t``, ``sink_t`` and ``gdp``.

    Returns
    -------
    One row per zone, also for zones without units: ``units``, ``units_near_threshold``, ``gross_t``, ``sink_t`` and
    ``gdp``; for units, gross_t, sink_t and gdp also ``..._share_pct`` and ``..._of``, the denominator.
    """
    grouped = units.assign(units=1).groupby("zone")
    sums = grouped[["units", "gross_t", "sink_t", "gdp"]].sum().reindex(list(ZONES), fill_value=0)
    table = pd.DataFrame({"zone": ZONES})
    for name in sums:
        total = len(units) if name == "units" else float(units[name].sum())
        table[name] = sums[name].to_numpy()
        table[f"{name}_share_pct"] = 100 * table[name] / total
        table[f"{name}_of"] = total
    near = grouped["near_threshold"].sum().reindex(list(ZONES), fill_value=0)
    table.insert(4, "units_near_threshold", near.to_numpy().astype(int))
    return table


def zone_probability(
    gross: np.ndarray,
    sink: np.ndarray,
    gdp: np.ndarray,
    uncertainty_pct: tuple[float, float, float],
    equality: str = "high",
    draws: int = 1000,
    seed: int = 0,
    progress: Callable[[float, str], None] = lambda fraction, text="": None,
) -> np.ndarray:
    """Probability that a unit belongs to the zone that it was given, by Monte Carlo.

    Each unit's emissions, sink and GDP are drawn independently from log-normal distributions whose mean is the given
    value and whose standard deviation is that of an IPCC uncertainty (half of the 95 % interval, in percent). An error
    that all units share multiplies a unit and the city alike and cancels, so that only the units' own errors count.

    Parameters
    ----------
    gross, sink, gdp : as in ``indices``.
    uncertainty_pct : of gross emissions, sink and GDP, in percent.
    equality : as in ``zones``.
    draws : number of draws, at least 1.
    seed : the same seed gives the same result.
    progress : called with the fraction done and a text.

    Returns
    -------
    Share of the draws, between 0 and 1; missing where the zone is undefined.

    Raises
    ------
    InputError : a negative uncertainty, or no draws.
    """
    for name, value in zip(("gross_uncertainty_pct", "sink_uncertainty_pct", "gdp_uncertainty_pct"), uncertainty_pct):
        if not (np.isfinite(value) and value >= 0):
            raise InputError(name, f"{value} is not a percentage of zero or more", "Give a percentage, for example 10")
    if draws < 1:
        raise InputError("draws", f"{draws} draws are too few", "Use at least 100")
    values = np.array([gross, sink, gdp], float)
    spread = np.sqrt(np.log1p((np.array(uncertainty_pct) / 100 / _HALF_WIDTH_95) ** 2))[:, None, None]
    given = zones(*_indices(*values)[1:], equality)
    random = np.random.default_rng(seed)
    hits = np.zeros(values.shape[1])
    at_a_time = max(1, _DRAWS_AT_A_TIME // values.shape[1])
    for done in range(0, draws, at_a_time):
        progress(done / draws, "Drawing zones")
        shape = (3, min(at_a_time, draws - done), values.shape[1])
        factors = np.exp(spread * random.standard_normal(shape) - spread**2 / 2)
        _, ecc, esc = _indices(*(values[:, None, :] * factors))
        hits += (zones(ecc, esc, equality) == given).sum(axis=0)
    return np.where(given == UNDEFINED, np.nan, hits / draws)


def _indices(gross: np.ndarray, sink: np.ndarray, gdp: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ccr, ecc and esc along the last axis; missing where a unit has no emissions."""
    emits = np.where(gross > 0, gross, np.nan)
    share = emits / gross.sum(axis=-1, keepdims=True)
    ecc = gdp / gdp.sum(axis=-1, keepdims=True) / share
    esc = sink / sink.sum(axis=-1, keepdims=True) / share
    return sink / emits, ecc, esc
