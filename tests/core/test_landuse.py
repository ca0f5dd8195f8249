"""Emission land: the overlay by hand, circles on the ground, and what holds in every city."""

import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from carbon_spatializer.core import landuse
from carbon_spatializer.core.coverage import Outlines
from carbon_spatializer.core.errors import InputError, MassError
from carbon_spatializer.core.landuse import NAMES, Classes, Overlay

UTM = pyproj.CRS("EPSG:32650")
ORIGIN = np.array([500_000, 3_500_000])
# West edge 0, north edge 300, cells of 30 m: cell (row, column) is x 30c..30c+30, y 270-30r..300-30r.
GRID = Affine(30, 0, 0, 0, -30, 300)
TABLE = pd.DataFrame(
    {
        "code": [11, 42, 51, 52, 53],
        "part": ["agriculture", "none", "city", "rural", "industry"],
        "ground": ["land", "water", "land", "land", "land"],
        "name": ["arable", "lake", "urban", "village", "works"],
    }
)
CLASSES = Classes.from_table(TABLE, "classes")


def drawn(overlay, *window, **settings):
    """Fractions and class map of a window, whose areas the overlay's ledger counts."""
    fractions, largest, areas = overlay.window(*window, **settings)
    overlay.add(areas)
    return fractions, largest


def overlay_of(codes, parks=(), buffers=(), **settings):
    """The overlay of a small raster (NaN without data), and its fractions and class map; cells of 900 m2."""
    positions = CLASSES.positions(np.array(codes, dtype=float))
    made = Overlay(CLASSES, np.array(parks, dtype=object), np.array(buffers, dtype=object), GRID, **settings)
    fractions, largest = drawn(made, 0, positions, np.full(positions.shape, 900.0))
    return made, fractions, largest


# By hand --------------------------------------------------------------------------------------------------------------


def test_parks_and_surroundings_take_what_they_cover():
    # Row 0: city, arable, lake. Row 1: works, village, no data.
    # The park covers the east half of (0, 0) and all of (0, 1); the surroundings cover the south-west quarter of
    # (0, 2), the lake, the north half of (1, 0), the works, and all of (1, 2), where nothing is known.
    park = box(15, 270, 60, 300)
    near = [box(60, 270, 75, 285), box(0, 255, 30, 270), box(60, 240, 90, 270)]
    made, fractions, largest = overlay_of([[51, 11, 42], [53, 52, np.nan]], [park], near)
    assert fractions[0].tolist() == [[0.5, 1, 0.25], [1, 0, 0]]
    assert fractions[1].tolist() == [[0.5, 0, 0], [0, 0, 0]]
    assert fractions[2].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert fractions[3].tolist() == [[0, 0, 0], [0, 1, 0]]
    # A tie between industry and city goes to the first part; the lake is none for its larger rest.
    assert largest.tolist() == [[1, 1, 0], [1, 4, 0]]
    ledger = made.classes_ledger().set_index("code")
    assert ledger["drawn_m2"].to_dict() == {11: 900, 42: 900, 51: 900, 52: 900, 53: 900}
    assert ledger["overlap_m2"].to_dict() == {11: 900, 42: 225, 51: 450, 52: 0, 53: 450}
    assert ledger["contributed_m2"].to_dict() == {11: 0, 42: 675, 51: 450, 52: 900, 53: 450}
    assert (made.taken_m2("parks"), made.taken_m2("buffers")) == (1350, 675)
    assert made.unknown_m2("parks") == 0
    assert made.unknown_m2("buffers") == 900
    assert made.areas_m2 == {"industry": 1350 + 675 + 450, "city": 450, "agriculture": 0, "rural": 900}
    pairs = made.class_overlaps()
    assert pairs[["source", "code", "area_m2"]].to_numpy().tolist() == [
        ["parks", 11, 900],
        ["parks", 51, 450],
        ["buffers", 42, 225],
        ["buffers", 53, 450],
    ]


def test_water_can_be_spared_by_enterprises_but_not_by_parks():
    made, fractions, _ = overlay_of([[42, 42]], [box(0, 270, 30, 300)], [box(30, 270, 60, 300)], spare_water=True)
    assert fractions[0].tolist() == [[1, 0]]
    assert made.on_water_m2 == 900


def test_whole_cells_follow_their_centre():
    # The first box holds the centre (15, 285) of (0, 0), the second only the rim of (0, 1).
    _, fractions, largest = overlay_of([[11, 11]], [box(14, 284, 16, 286)], [box(30, 270, 44, 300)], whole=True)
    assert fractions[:, 0].tolist() == [[1, 0], [0, 0], [0, 1], [0, 0]]
    assert largest.tolist() == [[1, 3]]


def test_a_finer_raster_divides_a_city_cell():
    # Two cells of 3 x 3: the first 5 x city, 3 x arable, 1 x lake; of the second three are known, all city.
    finer = np.array(
        [[51, 51, 51, np.nan, 51, np.nan], [51, 51, 11, np.nan, 51, np.nan], [11, 11, 42, np.nan, 51, np.nan]]
    )
    shares = landuse.divided(CLASSES.positions(finer), CLASSES, 3)
    assert shares[:, 0, 0] == pytest.approx([1 / 9, 0, 5 / 9, 3 / 9, 0])
    assert shares[:, 0, 1] == pytest.approx([0, 0, 1, 0, 0])
    assert np.isnan(landuse.divided(np.full((3, 3), -1), CLASSES, 3)).all()
    # A park over the first cell's west half takes half of everything in it.
    made = Overlay(CLASSES, [box(0, 270, 15, 300)], [], GRID)
    positions = CLASSES.positions(np.array([[51.0, 51.0]]))
    fractions, largest = drawn(made, 0, positions, np.full((1, 2), 900.0), finer=(np.array([0, 1]), shares[:, 0]))
    assert fractions[:, 0, 0] == pytest.approx([0.5, 5 / 18, 3 / 18, 0])
    assert fractions[:, 0, 1] == pytest.approx([0, 1, 0, 0])
    assert largest.tolist() == [[1, 2]]
    ledger = made.classes_ledger().set_index("part")["contributed_m2"]
    assert ledger.to_dict() == pytest.approx({"none": 50, "city": 250 + 900, "agriculture": 150})


def test_a_loss_of_ground_is_refused():
    made, _, _ = overlay_of([[11, 51]])
    made._areas.written[1] -= 1e-5
    with pytest.raises(MassError, match="differ from the ledger's"):
        made.classes_ledger()


# Classes --------------------------------------------------------------------------------------------------------------


def test_codes_are_found_whatever_their_range():
    table = pd.DataFrame({"code": ["-7", "3000000", " 5 "], "part": ["City", None, "rural "]})
    classes = Classes.from_table(table, "class_table")
    assert [NAMES[part] for part in classes.parts] == ["city", "rural", "none"]
    values = np.array([[-7, 5, 3_000_000, 4, np.nan, 5.5, 1e12, -1e12]])
    assert classes.positions(values).tolist() == [[0, 1, 2, -2, -1, -2, -2, -2]]
    assert CLASSES.positions(np.array([51, 51.5, 0, np.nan])).tolist() == [2, -2, -2, -1]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"klass": [1], "part": ["city"]}, "the table has no column 'code'"),
        ({"code": [1]}, "the table has no column 'part'"),
        ({"code": [1, 2.5], "part": ["city", "city"]}, "code '2.5' is not a whole number"),
        ({"code": [1, "x"], "part": ["city", "city"]}, "code 'x' is not a whole number"),
        ({"code": [1, None], "part": ["city", "city"]}, "is not a whole number"),
        ({"code": [1, 1], "part": ["city", "rural"]}, "code 1 has two meanings"),
        ({"code": [1], "part": ["urban"]}, "part 'urban' is unknown. Use one of none, industry"),
        ({"code": [1], "part": ["city"], "ground": ["sea"]}, "ground 'sea' is unknown. Use one of land, water"),
    ],
)
def test_bad_class_tables_are_refused(table, message):
    with pytest.raises(InputError, match=f"Parameter class_table: .*{message}"):
        Classes.from_table(pd.DataFrame(table), "class_table")


# Circles --------------------------------------------------------------------------------------------------------------

PLACES = [
    ("EPSG:4326", 118.8, 32.0),
    ("EPSG:4326", 37.2, 68.0),
    ("EPSG:3857", 118.8, 32.0),
    ("EPSG:32650", 118.8, 32.0),
    ("EPSG:2249", -71.0, 42.3),  # feet
    ("ESRI:102025", 60.0, 60.0),  # Albers, which stretches shapes
]


@pytest.mark.parametrize(("crs", "longitude", "latitude"), PLACES)
def test_circles_are_round_and_true_on_the_ground(crs, longitude, latitude):
    crs = pyproj.CRS(crs)
    x, y = pyproj.Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True).transform(longitude, latitude)
    [circle] = landuse.circles(crs, np.array([x]), np.array([y]), 15.0)
    back = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    corners = np.array(back.transform(*shapely.get_coordinates(circle).T))
    geod = crs.get_geod()
    distances = geod.inv(np.full(33, longitude), np.full(33, latitude), *corners)[2]
    # The corners of a polygon of 32 sides with the circle's area lie sqrt(a / sin a) = 1.0032 radii away, a = 2 pi/32.
    assert distances == pytest.approx(15 * 1.003224, rel=1e-4)
    area = abs(geod.polygon_area_perimeter(*corners)[0])
    assert area == pytest.approx(np.pi * 15**2, rel=1e-4)
    assert landuse.true_areas(np.array([circle]), crs)[0] == pytest.approx(np.pi * 15**2, rel=1e-7)


def test_areas_of_parts_that_lie_far_apart_are_true():
    """Two squares of 0.05 degrees at 31 and 34.5 degrees north, as one multipolygon: 51.93 km2 on the ellipsoid."""
    parts = [box(118, 31, 118.05, 31.05), box(118, 34.5, 118.05, 34.55)]
    geod = pyproj.CRS("EPSG:4326").get_geod()
    area = sum(abs(geod.geometry_area_perimeter(part)[0]) for part in parts)
    shapes = np.array([shapely.MultiPolygon(parts), parts[0]])
    assert landuse.true_areas(shapes, pyproj.CRS("EPSG:4326"))[0] == pytest.approx(area, rel=1e-6)
    assert landuse.true_areas(np.zeros(0, object), UTM).tolist() == []


def test_overlapping_pairs_and_unions():
    # Squares of 100 m on the meridian, where the scale is 0.9996: the first two share 50 x 100, the third touches
    # the second, the fourth lies apart.
    shapes = np.array([box(0, 0, 100, 100), box(50, 0, 150, 100), box(150, 0, 250, 100), box(0, 500, 100, 600)])
    shapes = shapely.transform(shapes, lambda xy: xy + ORIGIN)
    pairs = landuse.overlapping_pairs(shapes, UTM)
    assert pairs[["first", "second"]].to_numpy().tolist() == [[0, 1]]
    assert pairs["area_m2"][0] == pytest.approx(5000 / 0.9996**2, rel=1e-8)
    union = landuse.dissolved(shapes)
    assert shapely.area(union).sum() == pytest.approx(35_000)
    left = landuse.without(shapes[1:], shapes[:1])
    assert sorted(shapely.area(left)) == pytest.approx([5_000, 10_000, 10_000])
    kept = landuse.within(shapes, np.array([shapes[0], shapes[3]]))
    assert sorted(shapely.area(kept)) == pytest.approx([5_000, 10_000, 10_000])
    none = np.zeros(0, dtype=object)
    assert len(landuse.dissolved(none)) == len(landuse.without(none, shapes)) == len(landuse.within(none, shapes)) == 0
    assert landuse.without(shapes, none).tolist() == shapes.tolist()


# Every city -----------------------------------------------------------------------------------------------------------

place = st.floats(-20, 320, allow_nan=False).map(lambda value: round(value, 2))
size = st.floats(1, 150).map(lambda value: round(value, 2))


@st.composite
def cities(draw):
    """A land use of up to 10 x 10 cells, parks (rectangles and triangles, some twice), enterprises, and settings."""
    height, width = draw(st.integers(1, 10)), draw(st.integers(1, 10))
    codes = draw(
        st.lists(st.sampled_from([11, 42, 51, 52, 53, np.nan]), min_size=height * width, max_size=height * width)
    )
    corners = draw(st.lists(st.tuples(place, place, size, size, st.booleans()), max_size=4))
    parks = [
        shapely.Polygon([(x, y), (x + w, y), (x, y + h)]) if triangle else box(x, y, x + w, y + h)
        for x, y, w, h, triangle in corners
    ]
    points = draw(st.lists(st.tuples(place, place), max_size=8))
    return {
        "codes": np.array(codes).reshape(height, width),
        "parks": parks,
        "points": points,
        "radius": draw(st.sampled_from([5.0, 15.0, 40.0])),
        "whole": draw(st.booleans()),
        "spare_water": draw(st.booleans()),
    }


def ground(city):
    """Parks and what enterprises add to them, as the job makes them; plain circles, as the city has no place."""
    parks = landuse.dissolved(np.array(city["parks"], dtype=object))
    near = landuse.dissolved(shapely.buffer(shapely.points(np.reshape(city["points"], (-1, 2))), city["radius"]))
    return parks, landuse.without(near, parks)


def delineated(city):
    parks, near = ground(city)
    return overlay_of(city["codes"], parks, near, whole=city["whole"], spare_water=city["spare_water"])


@settings(deadline=None)
@given(cities())
def test_no_ground_counts_twice_and_none_is_lost(city):
    made, fractions, largest = delineated(city)
    known = ~np.isnan(city["codes"])
    total = fractions.sum(axis=0, dtype=float)
    assert (fractions >= 0).all()
    assert (total <= 1).all()
    assert (total[~known] == 0).all()
    if city["whole"]:
        assert set(np.unique(fractions)) <= {0, 1}
        assert (largest == (fractions * np.arange(1, 5)[:, None, None]).sum(axis=0)).all()
    # The parts and the rest add up to the ground with data, and each part to its ledger.
    ledger = made.classes_ledger()
    assert ledger["drawn_m2"].sum() == pytest.approx(900 * known.sum())
    rest = 900 * (1 - total[known]).sum()
    assert ledger.loc[ledger["part"] == "none", "contributed_m2"].sum() == pytest.approx(rest, abs=1e-6)
    assert sum(made.areas_m2.values()) + rest == pytest.approx(900 * known.sum())
    from_classes = ledger.groupby("part")["contributed_m2"].sum()
    taken = made.taken_m2("parks") + made.taken_m2("buffers")
    for part, area in made.areas_m2.items():
        expected = from_classes.get(part, 0.0) + (taken if part == "industry" else 0)
        assert area == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(cities())
def test_industry_is_the_union_of_works_parks_and_surroundings(city):
    """Against shapely alone, cell by cell."""
    city |= {"whole": False, "spare_water": False}
    _, fractions, _ = delineated(city)
    circles = shapely.buffer(shapely.points(np.reshape(city["points"], (-1, 2))), city["radius"])
    union = shapely.union_all([*city["parks"], *circles])
    height, width = city["codes"].shape
    cells = np.array(
        [[box(30 * c, 270 - 30 * r, 30 * c + 30, 300 - 30 * r) for c in range(width)] for r in range(height)]
    )
    share = shapely.area(shapely.intersection(cells, union)) / 900
    share[city["codes"] == 53] = 1
    share[np.isnan(city["codes"])] = 0
    assert fractions[0] == pytest.approx(share, abs=2e-6)


@settings(deadline=None)
@given(cities(), st.randoms(use_true_random=False))
def test_order_does_not_matter_and_a_park_drawn_twice_counts_once(city, random):
    _, fractions, largest = delineated(city)
    parks, points = [*city["parks"], *city["parks"]], [*city["points"], *city["points"]]
    random.shuffle(parks)
    random.shuffle(points)
    _, again, map_again = delineated(city | {"parks": parks, "points": points})
    assert again == pytest.approx(fractions, abs=2.1e-6)
    differing = map_again != largest
    assert np.abs(np.sort(fractions, axis=0)[-1] - 0.5)[differing].max(initial=0) < 0.5
    assert not differing[np.isin(fractions, [0, 1]).all(axis=0)].any()


@settings(deadline=None)
@given(cities(), st.lists(st.tuples(place, place), min_size=2, max_size=6, unique=True))
def test_areas_add_up_to_the_districts(city, centres):
    """Districts that tile the ground and cut cells: their parts, and what is none, add up to their areas."""
    city["codes"][np.isnan(city["codes"])] = 42
    _, fractions, _ = delineated(city)
    height, width = city["codes"].shape
    whole = box(0, 300 - 30 * height, 30 * width, 300)
    cells = shapely.voronoi_polygons(shapely.MultiPoint(centres), extend_to=whole.buffer(500))
    districts = shapely.intersection(shapely.get_parts(cells), whole)
    inside = [Outlines([district], GRID).fractions(0, height, width) for district in districts]
    none = 1 - fractions.sum(axis=0, dtype=float)
    for share, district in zip(inside, districts):
        areas = [900 * (share * part).sum() for part in (*fractions, none)]
        assert min(areas) >= -1e-6
        assert sum(areas) == pytest.approx(district.area, rel=1e-7, abs=1e-5)
    for part in fractions:
        assert sum((share * part).sum() for share in inside) == pytest.approx(part.sum(dtype=float), rel=1e-5, abs=1e-5)


@settings(deadline=None)
@given(cities(), st.integers(1, 10))
def test_windows_give_the_same_land(city, rows):
    made, fractions, _ = delineated(city)
    parks, near = ground(city)
    strips = Overlay(CLASSES, parks, near, GRID, city["whole"], city["spare_water"])
    positions = CLASSES.positions(city["codes"])
    parts = []
    for top in range(0, len(positions), rows):
        window = positions[top : top + rows]
        parts.append(drawn(strips, top, window, np.full(window.shape, 900.0)))
    assert np.concatenate([part for part, _ in parts], axis=1) == pytest.approx(fractions, abs=2.1e-6)
    pd.testing.assert_frame_equal(strips.classes_ledger(), made.classes_ledger(), atol=1e-2)
