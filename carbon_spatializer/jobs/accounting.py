"""Job ``accountsectors``: activity data and factors to the emissions of every sector."""

from pathlib import Path

import pandas as pd

from ..core import accounting
from ..core.errors import InputError

_DATA = Path(__file__).resolve().parents[1] / "data"
_SCHEME_COLUMNS = ["sector", "subsector", "carrier", "land_type", "kind", "scope", "gpc", "ipcc", "power", "equation"]
BUILT_IN = "built-in"


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
        factors = pd.concat([factors, _grid(grid_factor_t_mwh, {})], ignore_index=True)
    usable = factors[factors["sector"].isin([accounting.ANY, *known["sector"]])].reset_index(drop=True)
    usable["carrier"] = usable["name"]
    usable = usable.rename(columns={"unit": "factor_unit", "activity_unit": "unit"})
    measures = ["factor_t_per_unit", "unit", "dimension", "factor", "factor_unit", "gas", "gwp", "uncertainty_pct"]
    return usable[[*accounting.KEYS, *measures, "scope", "gpc", "ipcc", "source"]]


def _scheme(name: str) -> pd.DataFrame:
    if name not in schemes():
        raise InputError("scheme", f"'{name}' is unknown", f"Use one of {', '.join(schemes())}")
    return _read(f"scheme_{name}.csv", dtype=str)


def _read(name: str, **options) -> pd.DataFrame:
    return pd.read_csv(_DATA / name, keep_default_na=False, **options)


def _gwp(name: str) -> dict[str, float]:
    table = _read("gwp.csv")
    if name not in set(table["set"]):
        raise InputError("gwp", f"'{name}' is unknown", f"Use one of {', '.join(table['set'].unique())}")
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


def _grid(grid_factor_t_mwh: float, gwp: dict[str, float]) -> pd.DataFrame:
    row = {
        "carrier": accounting.ELECTRICITY,
        "factor": grid_factor_t_mwh,
        "unit": "t/MWh",
        "source": "grid factor given",
    }
    return accounting.prepare_factors(pd.DataFrame([row]), gwp, "grid_factor_t_mwh", "grid factor")
