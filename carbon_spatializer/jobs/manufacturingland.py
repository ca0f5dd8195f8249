"""Job ``identifymanufacturingland``: parcels with manufacturing points, and buffers where there are no parcels."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from ..core import checks
from ..core.errors import InputError
from ..core.poi import manufacturing
from ..core.poi.taxonomy import Taxonomy
from . import layers
from .poi import class_style
from .run import Run


def identify_manufacturing_land(
    run: Run,
    *,
    pois,
    output: str,
    class_field: str = "class_code",
    probability_field: str | None = "probability",
    parcels=None,
    not_manufacturing: str = "NM",
    minimum_probability: float = 0.0,
    minimum_pois: int = 1,
    buffer: float = 15.0,
    all_parcels: bool = False,
    reference=None,
    land_use_field: str | None = None,
    land_use_values: str = "industrial land",
    minimum_overlap: float = 10.0,
    table: str | None = None,
) -> dict:
    """Find manufacturing land: the parcels with manufacturing POIs, and buffers around POIs that lie in no parcel.

    Parameters
    ----------
    pois : classified points; see ``classify_pois``.
    output : manufacturing land with manufacturing (yes or no), pois (manufacturing ones), dominant (class with the
        largest sum of probabilities), dominant_share, industries (``code points`` of every class, ``; `` between) and
        area_m2; parcels keep their fields.
    class_field, probability_field : class code and its probability; without the latter every point counts 1.
    parcels : polygons; without them all land is buffers.
    not_manufacturing : codes, parted by commas, that are not manufacturing.
    minimum_probability : manufacturing points below it do not count.
    minimum_pois : manufacturing points that make a parcel manufacturing land.
    buffer : radius around points outside all parcels, in metres; 0 leaves such points out. Buffers that touch are one,
        and parcels are cut out of them.
    all_parcels : keep the other parcels too, with manufacturing = no.
    reference : polygons of known manufacturing land, to compare with.
    land_use_field, land_use_values : or a field of the parcels, and its values (parted by ``|``) that mean it.
    minimum_overlap : percent of a polygon's area that must be shared to count as found (or as right).
    table : output table: per class its points, parcels and area where it dominates.

    Returns
    -------
    ``recall_count``, ``recall_area``, ``precision_count``, ``precision_area`` (shares) where there is a reference, and
    ``area_m2``.
    """
    checks.between(minimum_probability, 0.0, 1.0, "minimum_probability")
    checks.between(minimum_overlap, 0.0, 100.0, "minimum_overlap")
    checks.at_least(minimum_pois, 1, "minimum_pois")
    checks.at_least(buffer, 0, "buffer")
    if parcels is None and buffer == 0:
        raise InputError("buffer", "it is 0 and there are no parcels, so there is no land", "Give parcels or a buffer")
    if land_use_field and parcels is None:
        raise InputError("land_use_field", "there are no parcels to read it from", "Give parcels, or a reference layer")
    run.progress(0.0, "Reading")
    points, weights = _manufacturing_points(
        run, pois, class_field, probability_field, not_manufacturing, minimum_probability
    )
    if parcels is None:
        frame = gpd.GeoDataFrame(geometry=gpd.GeoSeries([], crs=points.crs))
        ground = np.array([], dtype=object)
        crs = layers.work_crs(points)
    else:
        frame = layers.read_layer(parcels, "parcels", run, kind="polygon", exact=True)
        points = layers.align(points, frame, "pois")
        crs = layers.work_crs(frame)
        ground = np.asarray(frame.geometry.to_crs(crs).array)
    run.progress(0.2, "Finding the parcel of each point")
    places = np.asarray(points.geometry.to_crs(crs).array)
    owner = manufacturing.first_container(places, ground)
    outside = np.flatnonzero(owner < 0)
    codes = layers.keys(points[class_field])
    patches = np.array([], dtype=object)
    if len(outside) and buffer > 0:
        run.progress(0.4, "Buffering the points outside all parcels")
        patches = manufacturing.patches(places[outside], buffer, ground)
        owner[outside] = len(ground) + manufacturing.nearest(places[outside], patches)
    elif len(outside):
        run.warning(f"pois: {len(outside):,} manufacturing points lie in no parcel and were left out.")
    land = np.concatenate([ground, patches])
    inside = owner >= 0
    made = manufacturing.describe(owner[inside], codes[inside], weights[inside], len(land), minimum_pois)
    made["area_m2"] = shapely.area(land)
    found = made["manufacturing"].to_numpy()
    if not found.any():
        raise InputError(
            "pois",
            f"no parcel holds {minimum_pois} manufacturing points",
            "Check the CRS of both layers, or lower minimum_pois",
        )
    numbers = {"polygons": int(found.sum()), "area_m2": float(made["area_m2"][found].sum())}
    if reference is not None or land_use_field:
        run.progress(0.6, "Comparing with the reference")
        known = _reference(run, reference, frame, ground, land_use_field, land_use_values, crs)
        numbers |= manufacturing.compare(land[found], known, minimum_overlap / 100)
    run.progress(0.85, "Writing")
    buffers = gpd.GeoDataFrame(geometry=gpd.GeoSeries(patches, crs=crs).to_crs(frame.crs))
    whole = gpd.GeoDataFrame(pd.concat([frame, buffers], ignore_index=True), geometry="geometry", crs=frame.crs)
    made["manufacturing"] = np.where(found, "yes", "no")
    columns = {name: made[name].to_numpy() for name in made}
    result = layers.with_columns(whole, columns, "parcels", run)
    result = result[found | (np.arange(len(land)) < len(ground))] if all_parcels else result[found]
    layers.write_layer(result.reset_index(drop=True), run.stage(output, "output"))
    if table:
        layers.write_layer(manufacturing.by_class(codes, weights, made[found]), run.stage(table, "table"))
    run.progress(1.0)
    shown = made.loc[found, "dominant"]
    classes = Taxonomy.from_values(shown)
    return {
        "summary": _land_sentence(numbers, len(points), len(outside), len(patches)),
        "styles": {"output": class_style("dominant", shown, classes)},
        **numbers,
    }


def _manufacturing_points(
    run: Run, source, class_field: str, probability_field: str | None, excluded: str, least: float
) -> tuple[gpd.GeoDataFrame, np.ndarray]:
    """The points of manufacturing classes, and their weights."""
    points = layers.read_layer(source, "pois", run, kind="point")
    layers.require_fields(points.columns, [class_field], "class_field")
    weights = np.ones(len(points))
    if probability_field:
        layers.require_fields(points.columns, [probability_field], "probability_field")
        weights = np.nan_to_num(layers.numbers(points, probability_field, "probability_field", missing=True))
        if (weights > 1).any():
            raise InputError(
                "probability_field",
                f"field '{probability_field}' holds {weights.max():g}, which is no probability",
                "Choose a field with values between 0 and 1",
            )
    codes = layers.keys(points[class_field])
    others = {code.strip() for code in excluded.split(",")} | {""}
    chosen = (~codes.isin(others)).to_numpy() & (weights >= least) & (weights > 0)
    if not chosen.any():
        raise InputError(
            "class_field",
            f"no point is manufacturing with a probability of at least {least:g}",
            "Classify the points first, or choose the field with their classes",
        )
    run.info(f"{chosen.sum():,} of {len(points):,} points are manufacturing.")
    return points[chosen].reset_index(drop=True), weights[chosen]


def _reference(run, reference, frame, ground, field, values, crs) -> np.ndarray:
    """Polygons of known manufacturing land."""
    if reference is not None:
        known = layers.align(layers.read_layer(reference, "reference", run, kind="polygon"), frame, "reference")
        return np.asarray(known.geometry.to_crs(crs).array)
    layers.require_fields(frame.columns, [field], "land_use_field")
    uses = layers.keys(frame[field])
    wanted = [value.strip() for value in values.split("|")]
    known = uses.isin(wanted).to_numpy()
    if not known.any():
        raise InputError(
            "land_use_values",
            f"no parcel has '{values}' in the field '{field}'",
            f"Use its values, for example {', '.join(sorted(uses.unique())[:5])}",
        )
    return ground[known]


def _land_sentence(numbers: dict, points: int, outside: int, patches: int) -> str:
    text = (
        f"{numbers['polygons']:,} polygons with {numbers['area_m2'] / 1e4:,.2f} ha are manufacturing land, found by "
        f"{points:,} points, {outside:,} of them in no parcel ({patches:,} buffers)."
    )
    if "recall_area" in numbers:
        text += (
            f" Against the reference: recall {numbers['recall_count']:.2%} by count and {numbers['recall_area']:.2%} "
            f"by area, precision {numbers['precision_count']:.2%} by count and {numbers['precision_area']:.2%} by area."
        )
    return text
