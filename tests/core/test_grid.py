"""Aligned cells of a grid."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from carbon_spatializer.core.errors import InputError
from carbon_spatializer.core.grid import SHAPES, cell_ids, cells


def test_squares_lie_on_multiples_of_the_size():
    # The box 2500..3500 x 900..1100 touches columns 2 and 3, rows 0 and 1 of a 1000 m grid.
    column, row, polygons = cells(np.array([[2500, 900, 3500, 1100]]), 1000)
    assert list(zip(column, row)) == [(2, 0), (3, 0), (2, 1), (3, 1)]
    assert polygons[0].equals(shapely.box(2000, 0, 3000, 1000))
    assert polygons[3].equals(shapely.box(3000, 1000, 4000, 2000))


def test_only_touched_cells_are_made():
    # Two far corners, 100 km apart: two cells, not 10,000.
    column, row, _ = cells(np.array([[10, 10, 20, 20], [99500, 99500, 99600, 99600]]), 1000)
    assert list(zip(column, row)) == [(0, 0), (99, 99)]


def test_cells_shared_by_boxes_are_made_once():
    assert len(cells(np.array([[10, 10, 20, 20], [30, 30, 40, 40]]), 1000)[0]) == 1


def test_hexagon_at_the_origin():
    # Distance between opposite sides 2: side 2/sqrt(3) = 1.1547, corners at (0, +-1.1547) and (+-1, +-0.57735).
    _, _, polygons = cells(np.array([[0, 0, 0, 0]]), 2, "hexagon")
    [hexagon] = polygons
    corners = sorted((round(x, 4), round(y, 4)) for x, y in hexagon.exterior.coords[:-1])
    assert corners == [(-1, -0.5774), (-1, 0.5774), (0, -1.1547), (0, 1.1547), (1, -0.5774), (1, 0.5774)]
    assert hexagon.area == pytest.approx(np.sqrt(3) / 2 * 4)


def test_odd_rows_of_hexagons_are_shifted_by_half_a_cell():
    # Rows are sqrt(3)/2 apart: row 1 has its centres at y = 0.866, x = 0.5, 1.5, ... for size 1.
    column, row, polygons = cells(np.array([[1.5, 0.866, 1.5, 0.866]]), 1, "hexagon")
    [index] = np.flatnonzero((row == 1) & (column == 1))
    centre = polygons[index].centroid
    assert (centre.x, centre.y) == pytest.approx((1.5, 0.8660254))


@pytest.mark.parametrize("shape", SHAPES)
def test_cells_tile_without_gaps_or_overlaps(shape):
    _, _, polygons = cells(np.array([[500000, 3400000, 507000, 3405000]]), 1000, shape)
    union = shapely.union_all(polygons)
    assert union.geom_type == "Polygon"
    assert not union.interiors
    assert union.area == pytest.approx(shapely.area(polygons).sum(), rel=1e-12)
    # Neighbours share their corners exactly: each inner corner has 4 squares or 3 hexagons.
    corners, count = np.unique(
        shapely.get_coordinates([shapely.normalize(p) for p in polygons]), axis=0, return_counts=True
    )
    assert len(corners) < len(shapely.get_coordinates(polygons)) / (3 if shape == "square" else 2)
    assert count.max() >= (4 if shape == "square" else 3)


@pytest.mark.parametrize("shape", SHAPES)
@given(
    x=st.floats(-1e6, 1e6), y=st.floats(-1e7, 1e7), width=st.floats(0, 5e3), height=st.floats(0, 5e3),
    size=st.floats(300, 3000),
)  # fmt: skip
def test_cells_cover_their_box(shape, x, y, width, height, size):
    box = np.array([[x, y, x + width, y + height]])
    union = shapely.union_all(cells(box, size, shape)[2])
    # A thousandth of a metre covers the rounding of the corners.
    assert shapely.covers(shapely.buffer(union, 1e-3), shapely.box(*box[0]))


@pytest.mark.parametrize("shape", SHAPES)
def test_ids_do_not_depend_on_what_else_is_gridded(shape):
    def ids(bounds):
        column, row, polygons = cells(np.array(bounds), 1000, shape)
        return dict(zip(cell_ids(column, row, 1000, shape), shapely.to_wkt(polygons)))

    one = ids([[500100, 100, 500200, 200]])
    both = ids([[-70000, -5000, -69000, -4000], [500100, 100, 500200, 200]])
    assert one.items() <= both.items()
    assert len(both) > len(one)


def test_ids_tell_size_column_and_row():
    assert list(cell_ids(np.array([312, -3]), np.array([3458, 0]), 1000)) == ["1000mE312N3458", "1000mE-3N0"]
    assert list(cell_ids(np.array([1]), np.array([2]), 0.5, "hexagon")) == ["hex0.5mE1N2"]


@pytest.mark.parametrize("size", [0, -1000, float("nan"), float("inf")])
def test_size_must_be_positive(size):
    with pytest.raises(InputError, match=r"cell_size: .* is not a positive number"):
        cells(np.array([[0, 0, 1, 1]]), size)


def test_unknown_shape():
    with pytest.raises(InputError, match=r"shape: 'triangle' is unknown\. Use one of square, hexagon"):
        cells(np.array([[0, 0, 1, 1]]), 1000, "triangle")


@pytest.mark.parametrize("size", [1, 1e-6])
def test_a_province_in_tiny_cells_is_refused_at_once(size):
    # 500 km x 500 km in cells of 1 m: 2.5e11 cells; sqrt(2.5e11 / 1e7) = 158 m, plus a tenth, to two digits: 170 m.
    with pytest.raises(InputError, match=r"more than the 10,000,000 .* Use at least 170 m"):
        cells(np.array([[0, 0, 5e5, 5e5]]), size)
