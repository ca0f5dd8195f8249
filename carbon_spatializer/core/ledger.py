"""The ledger of a step that moves emissions: what came in, what went where, and that nothing was lost."""

import numpy as np
import pandas as pd

from .errors import MassError

TOLERANCE = 1e-9


def close(entries: pd.DataFrame, tolerance: float = TOLERANCE) -> pd.DataFrame:
    """Return the ledger with its ``relative_error`` column, or refuse it when mass was lost.

    Parameters
    ----------
    entries : one row per balance (region, sector, land type ...), with the columns ``in_t``, ``allocated_t``
        and ``unallocated_t`` in tonnes CO2e; sinks are negative. Further columns are kept.
    tolerance : largest relative error that is allowed in any row.

    Raises
    ------
    MassError : a row's ``allocated_t + unallocated_t`` differs from ``in_t`` by more than the tolerance.
    """
    ledger = entries.copy()
    difference = ledger["allocated_t"] + ledger["unallocated_t"] - ledger["in_t"]
    scale = np.maximum(ledger["in_t"].abs(), np.finfo(float).tiny)
    ledger["relative_error"] = np.where(difference == 0, 0.0, difference / scale)
    bad = ledger[~(ledger["relative_error"].abs() <= tolerance)]
    if len(bad):
        row = bad.iloc[0]
        raise MassError(
            f"{len(bad)} of {len(ledger)} balances do not close: {row['in_t']:.6g} t came in and "
            f"{row['allocated_t'] + row['unallocated_t']:.6g} t came out ({row.to_dict()}). "
            "Nothing was written; please report this with the run's inputs."
        )
    return ledger


def sentence(ledger: pd.DataFrame, unit: str = "t CO2e") -> str:
    """The ledger's totals as a sentence for the log; ``unit`` says what came in."""
    total = ledger[["in_t", "allocated_t", "unallocated_t"]].sum()
    fallback = ledger["fallback_t"].sum() if "fallback_t" in ledger else 0.0
    worst = ledger["relative_error"].abs().max() if len(ledger) else 0.0
    return (
        f"{total['in_t']:,.2f} {unit} came in, {total['allocated_t']:,.2f} t were allocated, "
        f"{fallback:,.2f} t of them by fallback; {total['unallocated_t']:,.2f} t are unallocated; "
        f"largest relative error {worst:.1e}."
    )
