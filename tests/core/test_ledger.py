"""The ledger closes when mass is kept and refuses when it is not."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_spatializer.core import ledger
from carbon_spatializer.core.errors import MassError

tonnes = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 3))


def balance(**values):
    return pd.DataFrame([{"sector": "industry", "unallocated_t": 0.0, **values}])


@given(st.lists(st.tuples(tonnes, tonnes), min_size=1))
def test_balanced_entries_close(pairs):
    allocated, unallocated = np.array(pairs).T
    entries = pd.DataFrame(
        {"in_t": allocated + unallocated, "allocated_t": allocated, "unallocated_t": unallocated, "sector": "sink"}
    )
    closed = ledger.close(entries)
    assert (closed["relative_error"].abs() <= ledger.TOLERANCE).all()
    assert "relative_error" not in entries  # inputs are not changed
    assert closed["sector"].eq("sink").all()


@pytest.mark.parametrize(
    ("came_in", "came_out"),
    [(100.0, 100.0 + 1e-6), (100.0, 99.0), (-100.0, -99.0), (0.0, 1.0), (100.0, np.nan), (np.nan, 100.0)],
)
def test_lost_mass_is_refused(came_in, came_out):
    """1e-6 of 100 t is a relative error of 1e-8, ten times the tolerance."""
    good = balance(in_t=1.0, allocated_t=1.0)
    bad = balance(in_t=came_in, allocated_t=came_out)
    with pytest.raises(MassError, match=r"1 of 2 balances do not close"):
        ledger.close(pd.concat([good, bad], ignore_index=True))


def test_rounding_of_doubles_is_allowed():
    """0.1 + 0.2 differs from 0.3 by 5.6e-17: a relative error of 1.9e-16."""
    closed = ledger.close(balance(in_t=0.3, allocated_t=0.1, unallocated_t=0.2))
    assert closed["relative_error"].item() == pytest.approx(1.9e-16, rel=0.1)


def test_nothing_in_nothing_out():
    assert ledger.close(balance(in_t=0.0, allocated_t=0.0))["relative_error"].item() == 0.0


def test_sentence_has_the_totals():
    entries = pd.DataFrame(
        {
            "in_t": [1000.0, -250.0],
            "allocated_t": [900.0, -250.0],
            "unallocated_t": [100.0, 0.0],
            "fallback_t": [60.0, 5.0],
        }
    )
    text = ledger.sentence(ledger.close(entries), "t CO2e (net)")
    assert "750.00 t CO2e (net) came in, 650.00 t were allocated, 65.00 t of them by fallback; 100.00 t" in text
