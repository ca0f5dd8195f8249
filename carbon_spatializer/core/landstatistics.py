"""Land-use and emission statistics of districts: Figure 5 and Table 2 of the land-use based carbon pattern of Nanjing,
and the flows of energy to the four parts.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from .landuse import PARTS

# The order of the published table.
TABLE_PARTS = ("agriculture", "industry", "city", "rural")
DEDUCTED = "power plants, deducted"
OTHER = "other"
_NO_DATA = "no data"


def class_areas(tiles: Iterable[tuple], districts: int, classes: int) -> np.ndarray:
    """Area of each class in each district.

    Parameters
    ----------
    tiles : district (-1 outside all), position of the class (-1 without data) and area in m2 of each cell of a window,
        arrays of one shape.
    districts, classes : how many there are.

    Returns
    -------
    (districts, classes + 1) m2; the last column is ground without data.
    """
    width = classes + 1
    sums = np.zeros(districts * width)
    for district, position, area in tiles:
        inside = district >= 0
        place = district[inside] * width + position[inside] % width
        sums += np.bincount(place, np.broadcast_to(area, district.shape)[inside], len(sums))
    return sums.reshape(districts, width)


def share_table(areas: np.ndarray, names: list[str], classes: pd.DataFrame, whole: str) -> pd.DataFrame:
    """Area and share of each class in each district and in all of them.

    Parameters
    ----------
    areas : from ``class_areas``.
    names : of the districts.
    classes : code, name, group and part of each class.
    whole : what all districts together are called.

    Returns
    -------
    One row per district and class that it has: district, code, class, group, part, area_m2, share_pct (of the
    district's area in the raster).
    """
    known = classes.rename(columns={"name": "class"})[["code", "class", "group", "part"]].astype({"code": "Int64"})
    missing = pd.DataFrame([(pd.NA, _NO_DATA, _NO_DATA, "none")], columns=known.columns).astype(known.dtypes)
    known = pd.concat([known, missing], ignore_index=True)
    areas = np.vstack([areas, areas.sum(axis=0)])
    district, position = np.nonzero(areas)
    table = known.iloc[position].reset_index(drop=True)
    table.insert(0, "district", np.array([*names, whole], dtype=object)[district])
    table["area_m2"] = areas[district, position]
    table["share_pct"] = 100 * table["area_m2"] / areas.sum(axis=1)[district]
    return table


def emission_table(tonnes: pd.DataFrame, names: list[str], whole: str) -> pd.DataFrame:
    """Emissions of each district and part, in the form of the paper's Table 2.

    Parameters
    ----------
    tonnes : one column per part, t CO2e, one row per district.
    names : of the districts.
    whole : what all districts together are called.

    Returns
    -------
    district, agriculture, industry, city, rural, total and unit (10^4 t), with the sums in the last row.
    """
    table = (tonnes[list(TABLE_PARTS)] / 1e4).reset_index(drop=True)
    table.loc[len(table)] = table.sum()
    table["total"] = table.sum(axis=1)
    table.insert(0, "district", [*names, whole])
    return table.assign(unit="10^4 t")


def energy_flows(lines: pd.DataFrame, parts: dict[str, str], most: int = 8) -> pd.DataFrame:
    """How much of each energy carrier's emissions goes to which part, and what was deducted.

    Parameters
    ----------
    lines : sector, carrier, status (``counted``, ``deducted`` or ``excluded``) and t_co2e, as an accounting makes them.
    parts : sector, in lower case, -> part; others are left out.
    most : carriers that are told apart; the smaller ones become ``other``.

    Returns
    -------
    source (carrier), target (part, or power plants whose fuel was deducted) and t_co2e, largest carriers first.
    """
    target = lines["sector"].str.casefold().map(parts).mask(lines["status"] == "deducted", DEDUCTED)
    kept = lines[target.notna() & (lines["status"] != "excluded") & (lines["t_co2e"] > 0)]
    order = kept.groupby("carrier")["t_co2e"].sum().sort_values(ascending=False).index
    source = kept["carrier"].where(kept["carrier"].isin(order[:most]), OTHER)
    flows = kept["t_co2e"].groupby([source.rename("source"), target.rename("target")]).sum().reset_index()
    sources, targets = [*order[:most], OTHER], [*PARTS, DEDUCTED]
    flows["source"] = pd.Categorical(flows["source"], sources)
    flows["target"] = pd.Categorical(flows["target"], targets)
    return flows.sort_values(["source", "target"], ignore_index=True).astype({"source": object, "target": object})
