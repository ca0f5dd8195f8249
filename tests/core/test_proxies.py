"""Weights from points, lines and rasters, worked out by hand."""

import itertools

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile
from shapely import LineString, Polygon, box

from carbon_spatializer.core import proxies


def locate(polygons, *points):
    return proxies.PointLocator(np.array(polygons))(np.array(points, dtype=float).T).tolist()


def test_a_point_belongs_to_the_parcel_around_it():
    polygons = [box(0, 0, 1, 1), box(1, 0, 2, 1)]
    assert locate(polygons, (0.5, 0.5), (1.5, 0.2), (5, 5), (np.nan, 0), (np.inf, 1)) == [0, 1, -1, -1, -1]


def test_a_point_on_a_shared_edge_or_corner_counts_once():
    # Four unit squares: of equal parcels the one that starts furthest west, then south, is taken.
    polygons = [box(1, 1, 2, 2), box(1, 0, 2, 1), box(0, 1, 1, 2), box(0, 0, 1, 1)]
    assert locate(polygons, (1, 0.5), (0.5, 1), (1, 1), (1, 1.5)) == [3, 3, 3, 2]


def test_where_parcels_overlap_the_smallest_takes_the_point():
    assert locate([box(0, 0, 9, 9), box(1, 1, 2, 2), box(0, 0, 4, 4)], (1.5, 1.5), (3, 3), (8, 8)) == [1, 2, 0]


def test_no_points():
    locator = proxies.PointLocator(np.array([box(0, 0, 1, 1)]))
    assert locator(np.zeros((2, 0))).tolist() == []
    assert locator(np.full((2, 3), np.nan)).tolist() == [-1] * 3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_a_point_finds_the_same_parcel_in_any_order(seed, random):
    # Whole coordinates put many points on edges and corners; the truth is a test of every pair.
    rng = np.random.default_rng(seed)
    corner, size = rng.integers(0, 6, (8, 2)), rng.integers(1, 5, (8, 2))
    polygons = [box(*low, *(low + step)) for low, step in zip(corner, size)]
    xy = rng.integers(0, 11, (2, 50)).astype(float)
    found = proxies.PointLocator(np.array(polygons))(xy)
    for point, place in zip(shapely.points(*xy), found):
        around = [number for number, polygon in enumerate(polygons) if polygon.intersects(point)]
        assert (place == -1) == (not around)
        if around:
            assert place in around
            assert polygons[place].area == min(polygons[number].area for number in around)
    order = list(range(len(polygons)))
    random.shuffle(order)
    moved = proxies.PointLocator(np.array(polygons)[order])(xy)
    for first, second in zip(found, moved):
        assert (first == second == -1) or polygons[first].equals(polygons[order[second]])


def test_counts_and_weights_by_category():
    # Parcel 0 holds two of category 0 (weights 2, 3), parcel 1 one of category 1 (weight 5); the last is outside.
    parcel, category = np.array([0, 0, 1, -1]), np.array([0, 0, 1, 0])
    assert proxies.count_by_category(parcel, category, (2, 2)).tolist() == [[2, 0], [0, 1]]
    weight = np.array([2.0, 3, 5, 9])
    assert proxies.count_by_category(parcel, category, (2, 2), weight).tolist() == [[5, 0], [0, 5]]


def test_points_of_the_same_name_nearby_count_once():
    # Along a line, 0, 4 and 8 m form a chain of steps of at most 5 m; 20 m is another branch. The other name and the
    # nameless points stay.
    xy = np.array([[8.0, 0, 4, 20, 0, 0, 0, np.nan], [0.0, 0, 0, 0, 0, 1, 1, 0]])
    names = np.array(["shop", "shop", "shop", "shop", "mill", "", "", "shop"], dtype=object)
    keep = proxies.first_of_duplicates(xy, names, 5.0)
    assert keep.tolist() == [False, True, False, True, True, True, True, True]
    assert proxies.first_of_duplicates(xy, names, 1.0).all()


def test_length_inside_parcels_by_type():
    # Two squares of 10 m. A road of type 0 crosses both (10 + 5 m), one of type 1 lies in the second (4 m) and one
    # outside of both.
    polygons = np.array([box(0, 0, 10, 10), box(10, 0, 20, 10)])
    lines = np.array([LineString([(0, 5), (15, 5)]), LineString([(12, 2), (12, 6)]), LineString([(30, 0), (40, 0)])])
    found = proxies.length_by_type(polygons, lines, np.array([0, 1, 0]), 2)
    assert found.tolist() == [[10, 0], [5, 4]]
    # The edge of a parcel is part of it.
    edge = proxies.length_by_type(polygons, np.array([LineString([(0, 0), (0, 10)])]), np.array([0]), 1)
    assert edge.tolist() == [[10], [0]]


def test_facilities_correct_lengths_within_their_group():
    # Group 0: n = 0, 2, mean 1, so L* = 100 (1 + 0), 100 (1 + 2). Group 1 has no facilities: unchanged.
    length, facilities, group = np.array([100.0, 100, 50]), np.array([0.0, 2, 0]), np.array([0, 0, 1])
    assert proxies.corrected_length(length, facilities, group, 1.0).tolist() == [100, 300, 50]
    assert proxies.corrected_length(length, facilities, group, 0.5).tolist() == [100, 200, 50]
    assert proxies.corrected_length(length, facilities, group, 0.0).tolist() == [100, 100, 50]


@pytest.fixture
def raster():
    """4 x 4 cells of 10 m from (0, 0) to (40, 40); the first row is 1 2 3 4, the last cell of it nodata."""
    cells = np.arange(1, 17, dtype="float32").reshape(4, 4)
    cells[0, 3] = -9
    with MemoryFile() as memory:
        profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "float32"}
        place = {"crs": "EPSG:32650", "transform": rasterio.transform.from_origin(0, 40, 10, 10), "nodata": -9}
        with memory.open(**profile, **place) as dataset:
            dataset.write(cells, 1)
        with memory.open() as dataset:
            yield dataset


def test_cells_on_the_edge_count_by_their_fraction(raster):
    # Whole cell 1; half of cell 2; a quarter each of 6, 7, 10, 11 = 8.5; the triangle of half of cell 13; nodata as
    # zero beside 8 (half each); outside.
    polygons = [
        box(0, 30, 10, 40),
        box(10, 30, 15, 40),
        box(15, 15, 25, 25),
        Polygon([(0, 0), (10, 0), (0, 10)]),
        box(30, 25, 40, 35),
        box(100, 100, 110, 110),
    ]
    sums = proxies.raster_sums(raster, gpd.GeoSeries(polygons, crs="EPSG:32650"))
    assert sums == pytest.approx([1, 1, 8.5, 6.5, 4, 0])


def test_a_partition_holds_the_whole_raster(raster):
    # 1 + ... + 16 without the 4 that is nodata = 132, whatever the cuts.
    steps = list(itertools.pairwise([0, 3, 17.5, 22, 40]))
    polygons = [box(x0, y0, x1, y1) for x0, x1 in steps for y0, y1 in steps]
    assert proxies.raster_sums(raster, gpd.GeoSeries(polygons, crs="EPSG:32650")).sum() == pytest.approx(132)
