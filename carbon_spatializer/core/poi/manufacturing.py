"""Manufacturing land from classified points: where each lies, the industries of each polygon, and their quality."""

import numpy as np
import pandas as pd
import shapely

_SLIVER_M2 = 1.0


def first_container(points: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """Place of the first polygon that holds each point (its boundary included), -1 where none does."""
    owner = np.full(len(points), -1)
    if len(polygons):
        point, polygon = shapely.STRtree(polygons).query(points, predicate="intersects")
        order = np.lexsort((polygon, point))
        first = np.unique(point[order], return_index=True)[1]
        owner[point[order][first]] = polygon[order][first]
    return owner


def patches(points: np.ndarray, radius: float, polygons: np.ndarray) -> np.ndarray:
    """Discs around points outside all polygons; discs that touch are one, and the polygons are cut out of them.

    A disc whose every part lies over polygons still leaves its point a patch: the whole disc is kept then.
    """
    discs = shapely.buffer(points, radius, quad_segs=16)
    free = discs.copy()
    if len(polygons):
        disc, polygon = shapely.STRtree(polygons).query(discs, predicate="intersects")
        for index in np.unique(disc):
            cut = shapely.difference(discs[index], shapely.union_all(polygons[polygon[disc == index]]))
            free[index] = cut if shapely.area(cut) > _SLIVER_M2 else discs[index]
    parts = shapely.get_parts(shapely.union_all(free))
    return parts[shapely.get_dimensions(parts) == 2]


def nearest(points: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """Place of the polygon nearest to each point."""
    point, polygon = shapely.STRtree(polygons).query_nearest(points, all_matches=False)
    result = np.zeros(len(points), dtype=int)
    result[point] = polygon
    return result


def describe(
    owner: np.ndarray, codes: pd.Series, weights: np.ndarray, polygons: int, minimum_points: int
) -> pd.DataFrame:
    """What the manufacturing points say about each polygon.

    Parameters
    ----------
    owner, codes, weights : polygon, class and probability of each point.
    polygons : number of polygons.
    minimum_points : points that make a polygon manufacturing land.

    Returns
    -------
    frame with one row per polygon: manufacturing (bool), pois, dominant (the class with the largest sum of weights, the
    lower code in a tie), dominant_share (its share of that sum), industries (``code points``, dominant first).
    """
    points = pd.DataFrame({"owner": owner, "code": codes.to_numpy(), "weight": weights, "points": 1})
    sums = points.groupby(["owner", "code"], as_index=False)[["weight", "points"]].sum()
    sums = sums.sort_values(["owner", "weight", "code"], ascending=[True, False, True], kind="stable")
    sums["text"] = sums["code"] + " " + sums["points"].astype(str)
    groups = sums.groupby("owner")
    table = pd.DataFrame(
        {
            "pois": groups["points"].sum(),
            "dominant": groups["code"].first(),
            "dominant_share": groups["weight"].first() / groups["weight"].sum(),
            "industries": groups["text"].agg("; ".join),
        }
    ).reindex(np.arange(polygons))
    enough = (table["pois"].fillna(0) >= minimum_points).to_numpy()
    table["pois"] = table["pois"].fillna(0).astype(int)
    table["dominant"] = table["dominant"].where(enough, "").fillna("")
    table["dominant_share"] = table["dominant_share"].where(enough)
    table["industries"] = table["industries"].fillna("")
    table.insert(0, "manufacturing", enough)
    return table


def by_class(codes: pd.Series, weights: np.ndarray, land: pd.DataFrame) -> pd.DataFrame:
    """Per class its points, their sum of probabilities, and the number and area of the polygons where it dominates."""
    points = pd.DataFrame({"code": codes.to_numpy(), "pois": 1, "expected_pois": weights}).groupby("code").sum()
    dominated = land.groupby("dominant")["area_m2"].agg(polygons="size", area_m2="sum")
    table = points.join(dominated).fillna({"polygons": 0, "area_m2": 0.0}).astype({"polygons": int})
    return table.rename_axis("class_code").reset_index()


def compare(found: np.ndarray, known: np.ndarray, overlap: float) -> dict[str, float]:
    """Recall and precision of manufacturing land, by count and by area.

    Parameters
    ----------
    found, known : polygons in an equal-area CRS.
    overlap : share of its area that a known polygon must have in common with found land to count as found, and a found
        one with known land to count as right; at least one square metre in any case.

    Returns
    -------
    recall_count, recall_area, precision_count, precision_area : shares, areas without double counting.
    """
    all_found, all_known = shapely.union_all(found), shapely.union_all(known)
    common = shapely.area(shapely.intersection(all_found, all_known))
    return {
        "recall_count": float(np.mean(_covered(known, found, overlap))),
        "recall_area": float(common / shapely.area(all_known)),
        "precision_count": float(np.mean(_covered(found, known, overlap))),
        "precision_area": float(common / shapely.area(all_found)),
    }


def _covered(polygons: np.ndarray, others: np.ndarray, overlap: float) -> np.ndarray:
    """Whether others cover at least a share of each polygon."""
    polygon, other = shapely.STRtree(others).query(polygons, predicate="intersects")
    shared = np.zeros(len(polygons))
    np.add.at(shared, polygon, shapely.area(shapely.intersection(polygons[polygon], others[other])))
    return shared >= np.maximum(overlap * shapely.area(polygons), _SLIVER_M2)
