"""Exact coverage of cells, against hand-worked cells, shapely and exactextract."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_spatializer.core.coverage import Outlines

# Rows count from y = 10 downwards, so that cell (row, column) is the square x column..column+1, y 9-row..10-row.
UNIT = Affine(1, 0, 0, 0, -1, 10)


def by_shapely(shapes, width=8, height=10):
    cells = [[shapely.box(c, 9 - r, c + 1, 10 - r) for c in range(width)] for r in range(height)]
    return sum(shapely.area(shapely.intersection(np.array(cells), shape)) for shape in shapes)


def test_a_square_across_four_cells_covers_a_quarter_of_each():
    covered = Outlines([shapely.box(1.5, 7.5, 2.5, 8.5)], UNIT).fractions(0, 4, 4)
    expected = np.zeros((4, 4))
    expected[1:3, 1:3] = 0.25
    assert covered == pytest.approx(expected)


def test_a_triangle_leaves_the_corner_of_its_cells():
    # The diagonal from (0, 10) to (2, 8) halves the cells (0, 0) and (1, 1); (1, 0) lies below it, (0, 1) above.
    covered = Outlines([shapely.Polygon([(0, 10), (0, 8), (2, 8)])], UNIT).fractions(0, 2, 2)
    assert covered == pytest.approx(np.array([[0.5, 0], [1, 0.5]]))


def test_holes_parts_and_weights():
    ring = shapely.Polygon(shapely.box(1, 6, 4, 9).exterior, [shapely.box(2, 7, 3, 8).exterior])
    both = shapely.MultiPolygon([ring, shapely.box(5.5, 1, 7, 3)])
    shapes = [both, shapely.box(0, 0, 8, 0.5)]
    assert Outlines(shapes, UNIT).fractions(0, 10, 8) == pytest.approx(by_shapely(shapes))
    weighted = Outlines(shapes, UNIT, weights=[3, 5]).fractions(0, 10, 8)
    assert weighted == pytest.approx(3 * by_shapely(shapes[:1]) + 5 * by_shapely(shapes[1:]))


def test_ground_beyond_the_grid_does_not_count():
    large = shapely.Polygon([(-30, -7), (5, 27), (40, 3.3), (6, -20)])
    assert Outlines([large], UNIT).fractions(0, 10, 8) == pytest.approx(by_shapely([large]))
    assert Outlines([shapely.box(-5, 2, -1, 8)], UNIT).fractions(0, 10, 8).sum() == 0
    assert Outlines([shapely.box(9, 2, 12, 8)], UNIT).fractions(0, 10, 8).sum() == 0


def test_no_polygon_covers_nothing():
    assert len(Outlines([], UNIT)) == 0
    assert Outlines([], UNIT).fractions(0, 3, 2).tolist() == [[0, 0]] * 3
    assert Outlines([], UNIT).centres(0, 3, 2).tolist() == [[0, 0]] * 3


def test_centres_of_polygons_that_share_edges_are_held_once():
    # A grid of squares whose edges run through the centres of cells.
    squares = [shapely.box(x, y, x + 2, y + 2) for x in (0.5, 2.5, 4.5) for y in (1.5, 3.5, 5.5)]
    held = Outlines(squares, UNIT).centres(0, 10, 8)
    assert set(np.unique(held)) == {0, 1}
    assert held.sum() == 36
    codes = Outlines(squares, UNIT, weights=range(1, 10)).centres(0, 10, 8)
    assert np.unique(codes, return_counts=True)[1][1:].tolist() == [4] * 9


coordinate = st.floats(-3, 12, allow_nan=False).map(lambda value: round(value, 3))


@settings(deadline=None)
@given(st.lists(st.tuples(coordinate, coordinate), min_size=4, max_size=12), st.integers(1, 10))
def test_any_polygon_is_covered_exactly_and_by_windows_alike(points, rows):
    hull = shapely.concave_hull(shapely.MultiPoint(points), ratio=0.1)
    if hull.geom_type != "Polygon" or not hull.is_valid:
        hull = shapely.MultiPoint(points).convex_hull.buffer(0.1)
    outlines = Outlines([hull], UNIT)
    whole = outlines.fractions(0, 10, 8)
    assert whole == pytest.approx(by_shapely([hull]), abs=1e-9)
    assert whole.min() > -1e-12
    assert whole.max() < 1 + 1e-12
    strips = [outlines.fractions(top, min(rows, 10 - top), 8) for top in range(0, 10, rows)]
    assert np.concatenate(strips) == pytest.approx(whole, abs=1e-12)
    centres = outlines.centres(0, 10, 8)
    x, y = np.meshgrid(np.arange(8) + 0.5, 9.5 - np.arange(10))
    inside, near = shapely.contains_xy(hull, x, y), shapely.distance(hull.exterior, shapely.points(x, y)) < 1e-9
    assert (centres == inside)[~near].all()


def test_it_agrees_with_exactextract():
    exactextract = pytest.importorskip("exactextract")
    import geopandas as gpd
    from exactextract.raster import NumPyRasterSource

    rng = np.random.default_rng(4)
    shapes = shapely.disjoint_subset_union_all(shapely.buffer(shapely.points(rng.uniform(0, 40, (60, 2))), 2.3))
    transform = Affine(0.7, 0, 0, 0, -0.7, 42)
    frame = gpd.GeoDataFrame(geometry=[shapes], crs=32650)
    source = NumPyRasterSource(np.ones((60, 60)), 0, 0, 42, 42)
    found = exactextract.exact_extract(source, frame, ["cell_id", "coverage"], output="pandas")
    expected = np.zeros(3600)
    expected[np.asarray(found["cell_id"][0], int)] = found["coverage"][0]
    # exactextract keeps single precision.
    assert Outlines([shapes], transform).fractions(0, 60, 60).ravel() == pytest.approx(expected, abs=1e-6)


def test_centres_are_those_that_gdal_burns():
    import rasterio.features

    rng = np.random.default_rng(5)
    shapes = [
        *shapely.buffer(shapely.points(rng.uniform(-2, 44, (40, 2))), 2.3),
        shapely.Polygon(shapely.box(3, 3, 30, 20).exterior, [shapely.box(7.2, 6.1, 22.8, 15.4).exterior]),
    ]
    transform = Affine(0.7, 0, 0, 0, -0.7, 42)
    burnt = rasterio.features.rasterize(shapes, (60, 60), transform=transform)
    assert ((Outlines(shapes, transform).centres(0, 60, 60) > 0) == burnt).all()
