"""Statistics of the sample city: published emissions of 2020, Suzhou's and Nanjing's, as totals and activity data."""

import numpy as np
import pandas as pd

from .. import units

YEAR = 2020
# Gross domestic product of Suzhou in 2020, 10^4 yuan (20,170.45 x 10^8 yuan).
PRODUCT = 201_704_500.0
# Sample emission factor of grid electricity, t CO2/MWh, with which the activity table gives the published totals.
GRID_FACTOR = 0.5810

_PLACE = ["sector", "subsector", "land_type"]


def totals(published: pd.DataFrame) -> pd.DataFrame:
    """The totals table of the whole city.

    Parameters
    ----------
    published : columns sector, subsector, land_type ('' = all of the rule's) and net_10000t (10^4 t CO2e, sinks
        negative).

    Returns
    -------
    The columns of an accounting's totals: region (blank), sector, subsector, land_type, scope, gpc, ipcc (blank),
    gross_t, sink_t (positive), net_t, uncertainty_pct (unknown) and year.
    """
    net = published["net_10000t"].astype(float) * 1e4
    table = published[_PLACE].assign(scope="", gpc="", ipcc="", gross_t=net.clip(lower=0), sink_t=(-net).clip(lower=0))
    table.insert(0, "region", "")
    return table.assign(net_t=net, uncertainty_pct=np.nan, year=YEAR)


def activity(published: pd.DataFrame, carriers: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """Activity data that give the published totals: each total's share of a carrier, divided by its factor.

    Parameters
    ----------
    published : as for ``totals``.
    carriers : columns sector, subsector, land_type, carrier, share_pct (adding up to 100 for each published row), unit
        (of the activity) and uncertainty_pct.
    factors : columns carrier, dimension, unit and factor_t_per_unit (t CO2e per unit), one row per gas.

    Returns
    -------
    Columns region (blank), sector, subsector, land_type, carrier, amount, unit, uncertainty_pct and year.
    """
    rows = carriers.merge(published, on=_PLACE, how="left", validate="many_to_one")
    rows["dimension"] = [units.dimension(unit) for unit in rows["unit"]]
    by = ["carrier", "dimension", "unit"]
    whole = factors.groupby(by, as_index=False)["factor_t_per_unit"].sum()
    rows = rows.merge(whole, on=by[:2], how="left", validate="many_to_one", suffixes=("", "_of_factor"))
    tonnes = rows["net_10000t"].abs() * 1e4 * rows["share_pct"] / 100
    scale = [units.factor(unit, to) for unit, to in zip(rows["unit"], rows["unit_of_factor"])]
    table = rows[[*_PLACE, "carrier"]].assign(
        amount=tonnes / (rows["factor_t_per_unit"] * scale),
        unit=rows["unit"],
        uncertainty_pct=rows["uncertainty_pct"],
        year=YEAR,
    )
    table.insert(0, "region", "")
    return table


def activity_by_district(
    published: pd.DataFrame, carriers: pd.DataFrame, factors: pd.DataFrame, townships: pd.DataFrame
) -> pd.DataFrame:
    """Activity data of every district, which together give the published totals.

    Parameters
    ----------
    published : as for ``totals``, and by: gdp, population or area, in proportion to which a total is divided.
    carriers, factors : as for ``activity``.
    townships : of the city: region (the district), gdp, population and geometry.
    """
    measures = townships[["gdp", "population"]].assign(area=[shape.area for shape in townships["geometry"]])
    shares = measures.groupby(townships["region"].astype(str)).sum()
    shares /= shares.sum()
    tables = []
    for district, share in shares.iterrows():
        own = published.assign(net_10000t=published["net_10000t"] * published["by"].map(share))
        tables.append(activity(own, carriers, factors).assign(region=district))
    return pd.concat(tables, ignore_index=True)
