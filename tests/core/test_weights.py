"""Weights: grids worked out by hand, slivers, islands, units at one place, and libpysal as the reference."""

import numpy as np
import pytest
import shapely
from libpysal import weights as libpysal_weights
from libpysal.graph import Graph

from carbon_spatializer.core import weights
from carbon_spatializer.core.errors import InputError


def squares(columns: int, rows: int, gap: float = 0.0) -> np.ndarray:
    """Unit squares row by row, each shrunk so that a gap lies between neighbours."""
    row, column = np.divmod(np.arange(columns * rows), columns)
    return shapely.box(column + gap / 2, row + gap / 2, column + 1 - gap / 2, row + 1 - gap / 2)


def links(matrix) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in zip(*matrix.nonzero())}


def random_points(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1000, (n, 2))


def dense(w) -> np.ndarray:
    """A libpysal W as a dense matrix without its diagonal."""
    matrix = w.sparse.toarray()
    np.fill_diagonal(matrix, 0)
    return matrix


def test_queen_and_rook_of_a_block_of_four():
    # 2 3
    # 0 1   every square touches every other; 0-3 and 1-2 only in the corner.
    block = squares(2, 2)
    assert links(weights.contiguity(block)) == {(i, j) for i in range(4) for j in range(4) if i != j}
    assert links(weights.contiguity(block, rook=True)) == {
        (0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1), (2, 3), (3, 2)
    }  # fmt: skip


@pytest.mark.parametrize(("rook", "expected"), [(False, 2 * (2 * 10 * 9 + 2 * 9 * 9)), (True, 2 * 2 * 10 * 9)])
def test_links_of_a_grid(rook, expected):
    # 10 x 10: 90 horizontal, 90 vertical and 2 x 81 diagonal pairs, each in both directions.
    assert weights.contiguity(squares(10, 10), rook).nnz == expected


@pytest.mark.parametrize("rook", [False, True])
def test_snap_tolerance_closes_gaps(rook):
    # Squares 0.01 apart: islands without a tolerance, the full grid with one of 0.02.
    apart = squares(4, 4, gap=0.01)
    assert weights.contiguity(apart, rook).nnz == 0
    assert links(weights.contiguity(apart, rook, snap=0.02)) == links(weights.contiguity(squares(4, 4), rook))


def test_border_without_common_vertices():
    # One long rectangle below two squares: they meet along its upper edge, where it has no vertex in the middle.
    shapes = np.array([shapely.box(0, 0, 2, 1), shapely.box(0, 1, 1, 2), shapely.box(1, 1, 2, 2)])
    every = {(i, j) for i in range(3) for j in range(3) if i != j}
    assert links(weights.contiguity(shapes, rook=True)) == every


def test_overlaps_are_neighbours():
    shapes = np.array([shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3), shapely.box(9, 9, 10, 10)])
    for rook in (False, True):
        found = weights.contiguity(shapes, rook)
        assert links(found) == {(0, 1), (1, 0)}
        assert weights.neighbours(found).tolist() == [1, 1, 0]


@pytest.mark.parametrize("rook", [False, True])
def test_contiguity_equals_libpysal(rook):
    import geopandas

    # Voronoi cells: irregular, shared vertices.
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(random_points(300))))
    reference = Graph.build_contiguity(geopandas.GeoSeries(cells), rook=rook).sparse
    assert (abs(weights.contiguity(cells, rook) - reference)).sum() == 0


def test_nearest_equals_libpysal():
    points = random_points(200)
    reference = libpysal_weights.KNN.from_array(points, k=5)
    assert np.array_equal(weights.nearest(points, 5).toarray(), dense(reference))


def test_nearest_of_units_at_one_place():
    # Five points at (0, 0), one far away: every unit has three neighbours and is none of its own.
    points = np.array([[0.0, 0.0]] * 5 + [[100.0, 0.0]])
    found = weights.nearest(points, 3)
    assert weights.neighbours(found).tolist() == [3] * 6
    assert not found.diagonal().any()


def test_nearest_with_few_units():
    # Three units cannot have eight neighbours: each has the two others.
    assert weights.neighbours(weights.nearest(random_points(3), 8)).tolist() == [2, 2, 2]


def test_distance_band_includes_its_limit():
    # On a line at 0, 1, 2, 4: distances 1, 1, 2; at 1 the last is an island, at 2 it has the third.
    points = np.array([[0.0, 0], [1, 0], [2, 0], [4, 0]])
    assert links(weights.distance_band(points, 1.0)) == {(0, 1), (1, 0), (1, 2), (2, 1)}
    assert weights.neighbours(weights.distance_band(points, 2.0)).tolist() == [2, 2, 3, 1]
    assert weights.distance_for_all(points) == pytest.approx(2.0)
    assert (weights.neighbours(weights.distance_band(points, weights.distance_for_all(points))) > 0).all()


def test_distance_band_equals_libpysal():
    points = random_points(200)
    reference = libpysal_weights.DistanceBand.from_array(points, threshold=90, silence_warnings=True)
    assert np.array_equal(weights.distance_band(points, 90).toarray(), dense(reference))


_LIBPYSAL_NAMES = {"epanechnikov": "quadratic"}


@pytest.mark.parametrize("function", list(weights.KERNELS))
@pytest.mark.parametrize("fixed", [True, False])
def test_kernels_equal_libpysal(function, fixed):
    points = random_points(150)
    name = _LIBPYSAL_NAMES.get(function, function)
    if fixed:
        reference = libpysal_weights.Kernel(points, bandwidth=120.0, fixed=True, function=name)
        found = weights.kernel(points, function, bandwidth=120.0)
    else:
        reference = libpysal_weights.Kernel(points, fixed=False, k=6, function=name)
        found = weights.kernel(points, function, k=6)
    assert found.toarray() == pytest.approx(dense(reference), abs=1e-12)


def test_kernel_by_hand():
    # On a line at 0, 1, 3 with bandwidth 4: 1 - 1/4, 1 - 3/4, 1 - 2/4.
    found = weights.kernel(np.array([[0.0, 0], [1, 0], [3, 0]]), bandwidth=4.0)
    assert found.toarray() == pytest.approx(np.array([[0, 0.75, 0.25], [0.75, 0, 0.5], [0.25, 0.5, 0]]))


def test_kernel_of_units_at_one_place_is_finite():
    found = weights.kernel(np.zeros((5, 2)), k=2)
    assert np.isfinite(found.data).all()
    assert weights.neighbours(found).tolist() == [2] * 5


def test_row_standardise_keeps_islands_empty():
    matrix = weights.distance_band(np.array([[0.0, 0], [1, 0], [2, 0], [9, 0]]), 1.0)
    rows = weights.row_standardise(matrix)
    assert rows.sum(axis=1).tolist() == [1, 1, 1, 0]
    assert rows.toarray()[1].tolist() == [0.5, 0, 0.5, 0]
    assert matrix.sum() == 4, "the input is not changed"


def test_without_self_drops_diagonal_and_zeros():
    from scipy import sparse

    matrix = weights.without_self(sparse.csr_array(np.array([[1.0, 2, 0], [0, 3, 4], [5, 0, 0]])))
    assert links(matrix) == {(0, 1), (1, 2), (2, 0)}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda points: weights.nearest(points, 0), "Parameter k: 0 is not a number of neighbours"),
        (lambda points: weights.distance_band(points, 0.0), "Parameter distance_m: 0.0 is not a positive distance"),
        (lambda points: weights.distance_band(points, np.nan), "Parameter distance_m: nan is not"),
        (lambda points: weights.kernel(points, "cone"), "Parameter kernel: 'cone' is unknown. Use one of triangular"),
        (lambda points: weights.kernel(points, bandwidth=-5.0), "Parameter distance_m: -5.0 is not"),
        (lambda points: weights.contiguity(shapely.points(points), snap=-1), "Parameter snap_m: -1 is not a distance"),
    ],
)
def test_bad_settings_are_named(call, said):
    with pytest.raises(InputError) as error:
        call(random_points(10))
    assert said in str(error.value)


def test_too_many_pairs_are_refused_before_they_are_made():
    # 20,000 units all within the band: 400 million pairs.
    with pytest.raises(InputError, match="Give a shorter distance"):
        weights.distance_band(random_points(20_000), 5000.0)
