"""Emissions by class of land cover: shares within each region, and how they differ between maps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

UNCLASSIFIED = "unclassified"
WHOLE = "all regions"


def shares(tonnes: np.ndarray, regions: Sequence[str], maps: Sequence[str], classes: Sequence[str]) -> pd.DataFrame:
    """Share of each class in the emissions of each region, per map, and its change against the first map.

    Parameters
    ----------
    tonnes : (regions, maps, classes) emissions in t; the last class may be land that has none.
    regions, maps, classes : their names.

    Returns
    -------
    One row per region, map and class: ``emission_t``; ``share_pct`` of the region's emissions in that map, which are
    ``of_t``; and against the same class in the first map ``change_points`` (percentage points) and ``change_pct``
    (relative to the first map's share, in percent). A rise from 36.60 to 44.88 % is 8.28 points and 22.6 %. NaN where
    there is nothing to divide by.
    """
    tonnes = np.asarray(tonnes, float)
    of = np.broadcast_to(tonnes.sum(axis=2, keepdims=True), tonnes.shape)
    share = 100 * np.divide(tonnes, of, out=np.full(tonnes.shape, np.nan), where=of > 0)
    first = np.broadcast_to(share[:, :1], share.shape)
    points = share - first
    relative = 100 * np.divide(points, first, out=np.full(share.shape, np.nan), where=first > 0)
    points[:, 0] = relative[:, 0] = np.nan
    index = pd.MultiIndex.from_product([regions, maps, classes], names=["region", "map", "class"])
    columns = {
        "emission_t": tonnes,
        "share_pct": share,
        "of_t": of,
        "change_points": points,
        "change_pct": relative,
    }
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index).reset_index()
