"""The sample city: it tiles, holds every land type, is the same for the same seed, and its figures are Suzhou's."""

import numpy as np
import pandas as pd
import pytest
import shapely

from carbon_spatializer.core import samplecity
from carbon_spatializer.core.errors import Cancelled, InputError
from carbon_spatializer.core.samplecity import statistics, tiling

ROADS = ("motorway", "trunk", "primary", "secondary", "tertiary", "residential")


@pytest.fixture(scope="module", params=[(500, 0), (500, 7), (3000, 1)], ids=str)
def city(request):
    return samplecity.create(*request.param)


def _points(city, count=2000):
    return pd.concat(city.points(count), ignore_index=True)


def _length_inside(lines, polygons):
    ground = shapely.union_all(polygons.to_numpy())
    return shapely.length(shapely.intersection(lines.to_numpy(), ground)).sum() / shapely.length(lines.to_numpy()).sum()


def test_parcels_tile_the_city_without_gaps_or_overlaps(city):
    shapes = city.parcels["geometry"].to_numpy()
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)
    whole = shapely.union_all(shapes)
    assert whole.geom_type == "Polygon"
    assert len(whole.interiors) == 0
    assert shapely.area(shapes).sum() == pytest.approx(whole.area, rel=1e-9)


def test_number_of_parcels_is_the_one_asked_for():
    assert len(samplecity.create(777, 3).parcels) == 777


@pytest.mark.parametrize("seed", range(6))
def test_every_land_type_is_there_even_in_the_smallest_city(seed):
    counts = samplecity.create(500, seed).parcels["land_type"].value_counts()
    assert set(counts.index) == set(samplecity.LAND_TYPES)
    assert counts.min() >= 3


def test_townships_are_the_union_of_their_parcels(city):
    by_township = city.parcels["geometry"].map(shapely.area).groupby(city.parcels["township"].astype(str)).sum()
    areas = city.townships.set_index("township")["geometry"].map(shapely.area)
    pd.testing.assert_series_equal(by_township.sort_index(), areas.sort_index(), check_names=False, rtol=1e-9)
    one_region = city.parcels.groupby(city.parcels["township"].astype(str))["region"].nunique()
    assert (one_region == 1).all()
    assert set(city.townships["region"]) == set(city.parcels["region"])


def test_number_of_townships_and_districts():
    large = samplecity.create(4000, 0).townships
    assert len(large) == 97
    assert large["township"].is_unique
    assert large["region"].nunique() == 5
    assert len(samplecity.create(500, 0).townships) == 12


def test_every_township_has_land_that_takes_up_carbon():
    parcels = samplecity.create(5000, 0).parcels
    sinks = ["forest land", "grassland", "water", "unused land", "cultivated land", "garden land"]
    assert parcels.loc[parcels["land_type"].isin(sinks), "township"].nunique() == 97


def test_product_is_suzhous_and_positive_everywhere(city):
    # Suzhou 2020: 20,170.45 x 10^8 yuan = 201,704,500 x 10^4 yuan
    assert city.townships["gdp"].sum() == pytest.approx(201_704_500)
    assert (city.townships["gdp"] > 0).all()


def test_points_lie_in_the_city_and_mostly_in_fitting_land(city):
    points = _points(city)
    assert len(points) == 2000
    tree = shapely.STRtree(city.parcels["geometry"].to_numpy())
    point, parcel = tree.query(shapely.points(points["x"], points["y"]), predicate="within")
    assert len(np.unique(point)) == 2000
    land = pd.Series(np.asarray(city.parcels["land_type"])[parcel], index=point)
    category = points["category"].iloc[point]
    share = pd.crosstab(category.to_numpy(), land.to_numpy(), normalize="index")
    assert share.loc["manufacturing", "industrial land"] > 0.8
    assert share.loc["utility", "municipal utilities"] > 0.9
    assert share.loc["commercial service", ["commercial and business land", "urban residential land"]].sum() > 0.8


def test_points_are_uneven_between_parcels_and_in_size(city):
    points = _points(city, 6000)
    tree = shapely.STRtree(city.parcels["geometry"].to_numpy())
    _, parcel = tree.query(shapely.points(points["x"], points["y"]), predicate="within")
    industrial = np.flatnonzero(city.parcels["land_type"] == "industrial land")
    counts = np.bincount(parcel, minlength=len(city.parcels))[industrial]
    # a Poisson count of one rate has a variance equal to its mean
    assert counts.var() > 2 * counts.mean()
    staff = points.loc[points["category"] == "manufacturing", "employees"].sort_values(ascending=False)
    assert staff.min() >= 1
    assert staff.head(len(staff) // 10).sum() > 0.35 * staff.sum()


def test_names_are_in_chinese_and_english_and_tell_the_trade(city):
    names = _points(city)["name"]
    assert names.str.match(r"^[\u4e00-\u9fff]+ [A-Z][A-Za-z -]+").all()
    assert names.nunique() > 1900


def test_lines_run_along_their_own_land(city):
    roads, parcels = city.roads, city.parcels
    for types, land in (
        (ROADS, "road land"),
        (["railway"], "railway land"),
        (["runway"], "airport land"),
    ):
        lines = roads.loc[roads["type"].isin(types), "geometry"]
        assert _length_inside(lines, parcels.loc[parcels["land_type"] == land, "geometry"]) > 0.95
    waterways = roads.loc[roads["type"] == "waterway", "geometry"]
    afloat = parcels["land_type"].isin(["water", "water transport land"])
    assert _length_inside(waterways, parcels.loc[afloat, "geometry"]) > 0.95
    port = shapely.union_all(parcels.loc[parcels["land_type"] == "water transport land", "geometry"].to_numpy())
    assert shapely.length(shapely.intersection(waterways.to_numpy(), port)).max() > 100


def test_population_raster_holds_the_townships_people(city):
    grid, west, north = city.population(100.0)
    assert grid.min() >= 0
    assert grid.sum() == pytest.approx(city.townships["population"].sum(), rel=1e-9)
    left, bottom, right, top = shapely.total_bounds(city.parcels["geometry"].to_numpy())
    assert west <= left < west + 100
    assert north - 100 < top <= north
    assert west + 100 * grid.shape[1] >= right
    assert north - 100 * grid.shape[0] <= bottom


def test_population_lives_on_residential_land(city):
    grid, west, north = city.population(100.0)
    rows, columns = np.nonzero(grid)
    cells = shapely.box(west + 100 * columns, north - 100 * rows - 100, west + 100 * columns + 100, north - 100 * rows)
    lived_in = city.parcels["land_type"].isin(["urban residential land", "rural homestead"])
    homes = shapely.STRtree(city.parcels.loc[lived_in, "geometry"].to_numpy())
    assert len(np.unique(homes.query(cells, predicate="intersects")[0])) == len(cells)


def test_the_centre_is_dense_and_the_country_is_wide(city):
    parcels = city.parcels.assign(
        area=city.parcels["geometry"].map(shapely.area),
        radius=[np.hypot(shape.centroid.x, shape.centroid.y) for shape in city.parcels["geometry"]],
    )
    medians = parcels.groupby("land_type", observed=True)[["area", "radius"]].median()
    assert medians.loc["commercial and business land", "radius"] < medians.loc["industrial land", "radius"]
    assert medians.loc["industrial land", "radius"] < medians.loc["cultivated land", "radius"]
    assert 5 * medians.loc["commercial and business land", "area"] < medians.loc["cultivated land", "area"]


def _fingerprint(city):
    frames = [city.parcels, city.roads, city.townships, _points(city)]
    parts = []
    for frame in frames:
        if "geometry" in frame:
            frame = frame.assign(geometry=frame["geometry"].map(shapely.to_wkb))
        parts.append(pd.util.hash_pandas_object(frame.astype(object), index=True).sum())
    return (*parts, city.population()[0].tobytes())


def test_the_same_seed_gives_the_same_city_and_another_seed_another():
    first = _fingerprint(samplecity.create(600, 11))
    assert first == _fingerprint(samplecity.create(600, 11))
    other = _fingerprint(samplecity.create(600, 12))
    assert all(a != b for a, b in zip(first, other))


@pytest.mark.parametrize("parcels", [0, -1, 499, 2_000_001])
def test_a_number_of_parcels_out_of_range_is_refused(parcels):
    with pytest.raises(InputError, match="parcels_count"):
        samplecity.create(parcels)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed"):
        samplecity.create(500, -1)


def test_it_stops_when_progress_says_so():
    def stop(fraction, text=""):
        if fraction > 0.05:
            raise Cancelled

    with pytest.raises(Cancelled):
        samplecity.create(500, 0, stop)


def test_progress_goes_forward():
    seen = []
    samplecity.create(500, 0, lambda fraction, text="": seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_polygons_share_the_corners_of_their_neighbours():
    # A square of 4 x 4 units: its west half is one cell, its east half two, so the west cell gets the T-corner (2, 2).
    cells = np.zeros(3, tiling.CELL)
    cells["x0"], cells["x1"] = [0, 2, 2], [2, 4, 4]
    cells["y0"], cells["y1"] = [0, 0, 2], [4, 2, 4]
    west, south_east, north_east = tiling.polygons(cells, lambda x, y: (x.astype(float), y.astype(float)))
    assert list(west.exterior.coords) == [(0, 0), (2, 0), (2, 2), (2, 4), (0, 4), (0, 0)]
    assert list(south_east.exterior.coords) == [(2, 0), (4, 0), (4, 2), (2, 2), (2, 0)]
    assert north_east.area == 4


def test_a_strip_divides_a_cell_and_its_line_reaches_the_roads_across():
    # 100 x 60 with a road of half width 6 along the south side; a strip of 10 from x = 40 leaves 40 and 50.
    cell = np.zeros(1, tiling.CELL)
    cell["x1"], cell["y1"], cell["south"] = 100, 60, 6
    one = np.ones(1, np.int64)
    low, strip, high, line = tiling.divide(cell, True, 40 * one, 10 * one, tiling.STRIP["tertiary"] * one)
    assert (low["x0"][0], low["x1"][0], low["east"][0]) == (0, 40, 5)
    assert (high["x0"][0], high["x1"][0], high["west"][0]) == (50, 100, 5)
    assert (strip["x0"][0], strip["x1"][0]) == (40, 50)
    assert (line["x0"][0], line["y0"][0], line["x1"][0], line["y1"][0]) == (45, -6, 45, 60)


def test_mass_of_a_rectangle_is_the_integral_of_the_density():
    # 2 x 2 table over a plan of 8 units, densities 1, 2 / 3, 4 and a total of 10: each quarter of 16 square units holds
    # its density; the rectangle x 2..6, y 0..4 takes half of 1 and half of 2.
    mass = tiling.Mass(np.array([[1.0, 2.0], [3.0, 4.0]]), 8, 10.0)
    cells = np.zeros(2, tiling.CELL)
    cells["x0"], cells["x1"], cells["y0"], cells["y1"] = [2, 0], [6, 8], [0, 0], [4, 8]
    assert mass(cells) == pytest.approx([1.5, 10.0])


def test_activity_is_the_total_over_the_factor():
    # 3 x 10^4 t of which 40 % from coal at 2 kg/kg = 0.002 t/kg: 12,000 t / 0.002 = 6,000,000 kg = 0.6 x 10^4 t.
    # 60 % from swine with two gases, 0.1 + 0.2 t/head: 18,000 t / 0.3 = 60,000 head.
    place = {"sector": "a", "subsector": "b", "land_type": "c"}
    published = pd.DataFrame([place | {"net_10000t": -3.0}])
    carriers = pd.DataFrame(
        [
            place | {"carrier": "coal", "share_pct": 40, "unit": "10^4 t", "uncertainty_pct": 5},
            place | {"carrier": "swine", "share_pct": 60, "unit": "head", "uncertainty_pct": 5},
        ]
    )
    factors = pd.DataFrame(
        {
            "carrier": ["coal", "coal", "swine", "swine"],
            "dimension": ["mass", "energy", "count", "count"],
            "unit": ["kg", "TJ", "head", "head"],
            "factor_t_per_unit": [0.002, 90.0, 0.1, 0.2],
        }
    )
    table = statistics.activity(published, carriers, factors)
    assert table["amount"].tolist() == pytest.approx([0.6, 60_000])
