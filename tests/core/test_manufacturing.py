"""Manufacturing land from points, by hand."""

import numpy as np
import pandas as pd
import pytest
import shapely
from shapely import Point, box

from carbon_spatializer.core.poi import manufacturing

SQUARES = np.array([box(0, 0, 10, 10), box(10, 0, 20, 10), box(40, 0, 50, 10)])


def points(*places):
    return shapely.points(places)


def test_point_on_a_border_goes_to_the_first_polygon():
    found = manufacturing.first_container(points((5, 5), (10, 5), (15, 5), (30, 5)), SQUARES)
    assert found.tolist() == [0, 0, 1, -1]
    assert manufacturing.first_container(points((5, 5)), np.array([], dtype=object)).tolist() == [-1]


def test_buffers_that_touch_are_one_and_parcels_are_cut_out():
    patches = manufacturing.patches(points((30, 5), (31, 5), (21, 5)), 2.0, SQUARES)
    assert len(patches) == 2
    left, right = sorted(patches, key=lambda patch: patch.centroid.x)
    assert left.area < Point(21, 5).buffer(2).area
    assert left.bounds[0] == pytest.approx(20)  # cut at the second square
    assert right.area == pytest.approx(Point(30, 5).buffer(2).union(Point(31, 5).buffer(2)).area)
    assert manufacturing.nearest(points((31, 5), (21, 5)), np.array([left, right])).tolist() == [1, 0]


def test_point_whose_buffer_is_covered_keeps_a_patch():
    ring = np.array([box(0, 0, 10, 10) - box(4.9, 4.9, 5.1, 5.1)])
    assert manufacturing.first_container(points((5, 5)), ring).tolist() == [-1]
    [patch] = manufacturing.patches(points((5, 5)), 1.0, ring)
    assert patch.contains(Point(5, 5))


def test_industries_of_each_polygon():
    # polygon 0: C31 0.9 + 0.2, C13 0.8, so C31 with 1.1 of 1.9; polygon 1: a tie, the lower code; polygon 2: one point
    codes = pd.Series(["C31", "C13", "C31", "C40", "C14", "C20"])
    weights = np.array([0.9, 0.8, 0.2, 0.5, 0.5, 1.0])
    table = manufacturing.describe(np.array([0, 0, 0, 1, 1, 2]), codes, weights, 4, minimum_points=2)
    assert table["manufacturing"].tolist() == [True, True, False, False]
    assert table["pois"].tolist() == [3, 2, 1, 0]
    assert table["dominant"].tolist() == ["C31", "C14", "", ""]
    assert table["dominant_share"].tolist()[:2] == pytest.approx([1.1 / 1.9, 0.5])
    assert table["industries"].tolist() == ["C31 2; C13 1", "C14 1; C40 1", "C20 1", ""]


def test_table_of_classes():
    land = pd.DataFrame({"dominant": ["C31", "C31", "C14"], "area_m2": [100.0, 50, 30]})
    codes = pd.Series(["C31", "C31", "C14", "C40"])
    table = manufacturing.by_class(codes, np.array([1, 0.5, 0.5, 0.25]), land).set_index("class_code")
    assert table.loc["C31"].tolist() == [2, 1.5, 2, 150]
    assert table.loc["C40"].tolist() == [1, 0.25, 0, 0]
    assert table["area_m2"].sum() == land["area_m2"].sum()


def test_recall_and_precision_by_count_and_area():
    # known: 10 x 10 and 20 x 10; found: the first, a tenth of the second (20 of 200 m2), and 100 m2 of nothing known
    known = np.array([box(0, 0, 10, 10), box(10, 0, 30, 10)])
    found = np.array([box(0, 0, 10, 10), box(10, 0, 12, 10), box(50, 0, 60, 10)])
    result = manufacturing.compare(found, known, overlap=0.5)
    assert result["recall_count"] == pytest.approx(1 / 2)
    assert result["recall_area"] == pytest.approx(120 / 300)
    assert result["precision_count"] == pytest.approx(2 / 3)
    assert result["precision_area"] == pytest.approx(120 / 220)
    assert manufacturing.compare(found, known, overlap=0.1)["recall_count"] == 1


def test_polygons_that_share_a_border_only_are_not_found():
    result = manufacturing.compare(np.array([box(0, 0, 10, 10)]), np.array([box(10, 0, 20, 10)]), overlap=0.0)
    assert result == {"recall_count": 0, "recall_area": 0, "precision_count": 0, "precision_area": 0}


def test_overlapping_found_polygons_do_not_count_twice():
    twice = np.array([box(0, 0, 10, 10), box(0, 0, 10, 10)])
    result = manufacturing.compare(twice, np.array([box(0, 0, 20, 10)]), overlap=0.1)
    assert result["recall_area"] == pytest.approx(0.5)
    assert result["precision_area"] == pytest.approx(1)
