"""Correction of a raster to statistics: what each region's cells are multiplied by so that they add up to its total.

Equation 3 of the SVR-ZSSR paper: CE_c = SC_n CW_c / CW_n, where CW_c is the weight (the emission before correction) of
cell c, CW_n the sum of the weights in region n and SC_n the region's total.
"""

import numpy as np
import pandas as pd

from .checks import one_of
from .errors import InputError

WITHOUT_TOTAL = ("empty", "mean", "keep", "refuse")
ZERO_WEIGHTS = ("even", "leave", "refuse")


def factors(names, totals, weights, areas, without_total: str = "empty", zero_weights: str = "even") -> pd.DataFrame:
    """How each region is corrected.

    Parameters
    ----------
    names : of the regions, for messages.
    totals : SC_n in t, NaN for regions without a total.
    weights : CW_n, sums of the cells' weights, in any unit.
    areas : m2 of the cells with data that count for the region; 0 where there is none.
    without_total : for regions without a total: ``empty`` (their cells hold nothing), ``mean`` (multiplied as the other
        regions are in the mean, an estimate), ``keep`` (cells stay as they are) or ``refuse``.
    zero_weights : for regions whose weights are all zero: ``even`` (spread evenly over the ground), ``leave``
        (unallocated) or ``refuse``. Regions without cells are refused unless they are left.

    Returns
    -------
    One row per region: region, rule (text), in_t, allocated_t, fallback_t, unallocated_t, weight, area_m2, and what its
    cells become: weight x ``scale`` + m2 x ``per_m2``; both are NaN where they hold nothing.

    Raises
    ------
    InputError : a total is negative, a policy refuses a region, or there is no region with a total at all.
    """
    one_of(without_total, WITHOUT_TOTAL, "without_total")
    one_of(zero_weights, ZERO_WEIGHTS, "zero_weights")
    names = [str(name) for name in names]
    totals, weights, areas = (np.asarray(values, float) for values in (totals, weights, areas))
    known = ~np.isnan(totals)
    if not known.any():
        raise InputError("total_field", "no region has a total", "Choose the field with the regions' totals")
    if (totals < 0).any():
        row = int(np.flatnonzero(totals < 0)[0])
        raise InputError("total_field", f"region '{names[row]}' has the negative total {totals[row]:g}", "Correct it")
    weighted = weights > 0
    held = areas > 0
    wanted = known & (totals > 0)
    if zero_weights != "leave":
        mend = "Count border cells in parts, take a raster that is finer or covers them, or leave them unallocated"
        _refuse(names, wanted & ~held, "regions", "have no cell with data", mend)
    if zero_weights == "refuse":
        _refuse(
            names, wanted & ~weighted, "regions", "have weights that are all zero", "Choose another policy for them"
        )
    if without_total == "refuse":
        _refuse(names, ~known, "total_field", "have no total", "Fill their totals or choose another policy for them")
    scaled, spread = known & weighted, wanted & ~weighted & held & (zero_weights == "even")
    result = pd.DataFrame({"region": names, "rule": "left unallocated", "in_t": np.where(known, totals, 0.0)})
    scale, per_m2 = np.zeros(len(names)), np.zeros(len(names))
    scale[scaled] = totals[scaled] / weights[scaled]
    per_m2[spread] = totals[spread] / areas[spread]
    result.loc[scaled, "rule"] = "proportional to weights"
    result.loc[spread, "rule"] = "evenly over the ground"
    result.loc[known & ~weighted & (totals == 0), "rule"] = "zero"
    missing = ~known
    if without_total == "mean":
        if not scaled.any():
            raise InputError("without_total", "there is no mean factor, as all weights are zero", "Choose another")
        scale[missing] = totals[scaled].sum() / weights[scaled].sum()
        result.loc[missing, "rule"] = "no total: by the mean factor of the others"
    elif without_total == "keep":
        scale[missing] = 1.0
        result.loc[missing, "rule"] = "no total: kept as it was"
    else:
        scale[missing] = per_m2[missing] = np.nan
        result.loc[missing, "rule"] = "no total: left empty"
    estimated = missing & (without_total in ("mean", "keep"))
    result.loc[estimated, "in_t"] = (scale * weights)[estimated]
    allocated = np.where(scaled | spread | estimated, result["in_t"], 0.0)
    return result.assign(
        allocated_t=allocated,
        fallback_t=np.where(spread | estimated, allocated, 0.0),
        unallocated_t=result["in_t"] - allocated,
        weight=weights,
        area_m2=areas,
        scale=scale,
        per_m2=per_m2,
    )


def _refuse(names: list[str], bad: np.ndarray, parameter: str, problem: str, mend: str) -> None:
    """Refuse the marked regions, naming the first of them."""
    if bad.any():
        listed = [names[row] for row in np.flatnonzero(bad)[:3]]
        more = ", ..." if bad.sum() > 3 else ""
        raise InputError(parameter, f"{bad.sum():,} regions {problem} ({', '.join(listed)}{more})", mend)
