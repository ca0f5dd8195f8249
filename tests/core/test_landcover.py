"""Shares by land cover and their change in points and relative."""

import numpy as np
import pytest

from carbon_spatializer.core.landcover import shares


@pytest.mark.parametrize(
    ("before", "after", "points", "percent"),
    # Built-up land in the paper: Guangdong 36.60 to 44.88 %, Sichuan 16.18 to 30.52 %.
    [(36.60, 44.88, 8.28, 22.6), (16.18, 30.52, 14.34, 88.6)],
)
def test_the_paper_s_changes_in_points_and_relative(before, after, points, percent):
    tonnes = [[[before, 100 - before], [after, 100 - after]]]
    result = shares(tonnes, ["province"], ["SVR", "SVR-ZSSR"], ["built-up", "other"])
    row = result[(result["map"] == "SVR-ZSSR") & (result["class"] == "built-up")].iloc[0]
    assert row["change_points"] == pytest.approx(points, abs=0.005)
    assert row["change_pct"] == pytest.approx(percent, abs=0.05)


def test_shares_have_their_denominators():
    # 30 of 120 t is 25 %; the second map has 10 of 40 t on the same class; the second region has nothing at all.
    tonnes = np.array([[[30, 90], [10, 30]], [[0, 0], [0, 5]]], float)
    result = shares(tonnes, ["a", "b"], ["one", "two"], ["built-up", "water"])
    assert result["of_t"].tolist() == [120, 120, 40, 40, 0, 0, 5, 5]
    assert result["share_pct"].tolist() == pytest.approx([25, 75, 25, 75, np.nan, np.nan, 0, 100], nan_ok=True)
    assert result["change_points"].tolist() == pytest.approx([np.nan] * 2 + [0, 0] + [np.nan] * 4, nan_ok=True)
    assert result["emission_t"].tolist() == tonnes.ravel().tolist()


def test_a_class_that_the_first_map_lacks_has_no_relative_change():
    result = shares([[[0, 4], [1, 3]]], ["a"], ["one", "two"], ["built-up", "water"])
    row = result.iloc[2]
    assert row["change_points"] == 25
    assert np.isnan(row["change_pct"])
