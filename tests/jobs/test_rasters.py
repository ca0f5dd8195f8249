"""The raster seam: grids, reading, resampling, writing and polygons."""

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window
from shapely import box

from carbon_spatializer.core.errors import CarbonError, InputError
from carbon_spatializer.jobs import rasters
from carbon_spatializer.jobs.rasters import Grid
from carbon_spatializer.jobs.run import Run

UTM = pyproj.CRS(32650)
DEGREES = pyproj.CRS(4326)


def grid(width, height, size=1000.0, west=500000.0, north=3400000.0, crs=UTM):
    return Grid(crs, Affine(size, 0, west, 0, -size, north), width, height)


def write(path, values, on=None, crs=UTM, transform=None, **options):
    values = np.asarray(values)
    cells = values if values.ndim == 3 else values[None]
    on = on or grid(cells.shape[2], cells.shape[1], crs=crs)
    options = {"nodata": np.nan if cells.dtype.kind == "f" else None} | options
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(cells),
        height=cells.shape[1],
        width=cells.shape[2],
        dtype=cells.dtype,
        crs=on.crs,
        transform=on.transform if transform is None else transform,
        **options,
    ) as file:
        file.write(cells)
    return str(path)


class Array:
    """An array as a raster."""

    name = parameter = "array"
    quantity = unit = ""

    def __init__(self, values, on):
        self.values, self.grid = np.asarray(values, float), on

    def read(self, window=None):
        window = window or Window(0, 0, self.grid.width, self.grid.height)
        assert window.row_off >= 0 <= window.col_off
        return self.values[
            window.row_off : window.row_off + window.height, window.col_off : window.col_off + window.width
        ]


# Grids ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "height", "rows"), [(3, 5, None), (3, 5, 2), (5000, 1000, None), (9_000_000, 2, None)]
)
def test_windows_cover_the_grid_once(width, height, rows):
    strips = grid(width, height).windows(rows)
    assert [strip.row_off for strip in strips] == list(np.cumsum([0] + [strip.height for strip in strips])[:-1])
    assert sum(strip.height for strip in strips) == height
    assert all(strip.width == width for strip in strips)
    assert all(strip.height * strip.width <= 4_000_000 or strip.height == 1 for strip in strips)


def test_blocks_cover_the_grid_once():
    seen = np.zeros((7, 5), int)
    for block in grid(5, 7).blocks(3):
        seen[block.toslices()] += 1
    assert (seen == 1).all()


def test_refined_and_coarsened_grids():
    fine = grid(4, 3).refined(2)
    assert (fine.shape, fine.bounds, fine.cell) == ((6, 8), grid(4, 3).bounds, (500, 500))
    assert rasters.same_grid(fine.coarsened(2), grid(4, 3))
    assert grid(5, 3).coarsened(2).shape == (2, 3)


def test_cells_in_degrees_add_up_to_the_ellipsoid():
    # The surface of WGS 84 is 510,065,621.724 km2.
    world = grid(36, 18, 10.0, -180.0, 90.0, DEGREES)
    assert world.cell_areas().sum() == pytest.approx(510_065_621.724e6, rel=1e-11)


@pytest.mark.parametrize("latitude", [0.0, 31.0, -45.0, 89.5])
def test_cells_in_degrees_have_their_geodesic_area(latitude):
    cell = grid(1, 1, 0.01, 120.0, latitude + 0.01, DEGREES)
    # Parallels are no geodesics: many vertices bring the polygon to the cell.
    shape = box(*cell.bounds).segmentize(1e-5)
    area, _ = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(shape)
    assert cell.cell_areas()[0, 0] == pytest.approx(abs(area), rel=1e-6)


@pytest.mark.parametrize(
    ("crs", "west", "north", "size"),
    [(32650, 200000.0, 3500000.0, 1000.0), (3857, 1.3e7, 4.0e6, 1000.0), (2263, 9.8e5, 2.0e5, 3000.0)],
)
def test_projected_cells_have_their_geodesic_area(crs, west, north, size):
    crs = pyproj.CRS(crs)
    cells = grid(200, 150, size, west, north, crs)
    geod = crs.get_geod()
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    areas = cells.cell_areas()
    for row, column in [(0, 0), (149, 199), (77, 33)]:
        ring = box(*cells.bounds_of(Window(column, row, 1, 1))).segmentize(size / 50).exterior
        area, _ = geod.polygon_area_perimeter(*to_degrees.transform(*ring.xy))
        assert areas[row, column] == pytest.approx(abs(area), rel=1e-4)


def test_areas_do_not_depend_on_the_window():
    cells = grid(300, 200, 5000.0, 0.0, 4e6)
    whole = cells.cell_areas()
    for window in (Window(0, 0, 300, 7), Window(13, 50, 20, 150)):
        np.testing.assert_allclose(cells.cell_areas(window), whole[window.toslices()], rtol=1e-12)


def test_a_single_cell_has_an_area():
    assert grid(1, 1).cell_areas()[0, 0] == pytest.approx(1e6 / 0.9996**2, rel=1e-6)


# Reading --------------------------------------------------------------------------------------------------------------


def test_reading_masks_nodata_and_applies_scale(tmp_path):
    path = write(tmp_path / "a.tif", np.array([[1, 2], [-9, 4]], "int16"), nodata=-9)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [0.5], [10.0]
    with rasters.open_band(path, "driver") as raster:
        np.testing.assert_array_equal(raster.read(), [[10.5, 11], [np.nan, 12]])
        assert raster.name == "a"


def test_windows_beyond_the_raster_are_empty_there(tmp_path):
    path = write(tmp_path / "a.tif", np.array([[1.0, 2], [3, 4]]))
    with rasters.open_band(path, "driver") as raster:
        np.testing.assert_array_equal(raster.read(Window(-1, 1, 2, 2)), [[np.nan, 3], [np.nan, np.nan]])
        assert np.isnan(raster.read(Window(5, 5, 2, 2))).all()


def test_bands_are_chosen_by_name_or_number(tmp_path):
    path = write(tmp_path / "a.tif", np.arange(8.0).reshape(2, 2, 2))
    with rasterio.open(path, "r+") as file:
        file.descriptions = ["city", "rural"]
    replies = []
    with rasters.open_band(path, "driver", Run(replies.append)) as raster:
        assert raster.read()[0, 0] == 0
    assert "driver: the first of 2 bands of 'a.tif' is used" in replies[0]["text"]
    with rasters.open_band(path, "driver", band="rural") as raster:
        assert raster.read()[0, 0] == 4
    with pytest.raises(InputError, match=r"driver: .* has no band 'sea'\. Its bands are city, rural"):
        rasters.open_band(path, "driver", band="sea")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crs": None}, "driver: the raster has no CRS"),
        ({"transform": Affine(1, 0.5, 0, 0.5, -1, 0)}, "driver: .* is rotated, mirrored or has no place"),
        ({"transform": Affine(1, 0, 5, 0, 1, 5)}, "driver: .* is rotated, mirrored or has no place"),
        ({"values": np.ones((2, 2), "complex64"), "nodata": None}, "driver: .* holds complex numbers"),
    ],
)
def test_rasters_are_refused(tmp_path, options, message):
    path = write(tmp_path / "a.tif", **{"values": np.ones((2, 2))} | options)
    with pytest.raises(InputError, match=message):
        rasters.open_band(path, "driver")


def test_files_that_are_no_rasters_are_refused(tmp_path):
    (tmp_path / "a.tif").write_text("no raster")
    with pytest.raises(InputError, match=r"driver: .* cannot be read as a raster"):
        rasters.open_band(tmp_path / "a.tif", "driver")
    with pytest.raises(InputError, match=r"driver: the file 'nowhere\.tif' does not exist"):
        rasters.open_band("nowhere.tif", "driver")


def test_infinite_values_are_refused(tmp_path):
    path = write(tmp_path / "a.tif", np.array([[1.0, np.inf]]))
    with rasters.open_band(path, "driver") as raster, pytest.raises(InputError, match="driver: 'a' holds infinite"):
        raster.read()


def test_damaged_files_are_refused_as_they_are_read(tmp_path):
    path = write(tmp_path / "a.tif", np.random.default_rng(0).random((64, 64)), compress="deflate")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 3])
    with rasters.open_band(path, "driver") as raster, pytest.raises(InputError, match=r"driver: .* cannot be read"):
        raster.read()


def test_the_source_s_crs_goes_before_the_file_s(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((2, 2)), crs=None)
    with rasters.open_band({"path": path, "crs": "EPSG:32650"}, "driver") as raster:
        assert raster.grid.crs == UTM


# Resampling -----------------------------------------------------------------------------------------------------------


def test_the_same_grid_passes_through():
    raster = Array(np.ones((2, 2)), grid(2, 2))
    assert rasters.resampled(raster, grid(2, 2, west=500000.01), "sum") is raster
    assert rasters.resampled(raster, grid(2, 2, west=500100.0), "sum") is not raster


def test_shifted_totals_are_divided_by_area():
    # Cells of 1000 m, moved by 250 m: each target cell has 3/4 of one source cell and 1/4 of the next.
    raster = Array([[4, 8], [np.nan, 16]], grid(2, 2))
    moved = rasters.resampled(raster, grid(3, 2, west=499250.0), "sum").read()
    np.testing.assert_allclose(moved, [[1, 5, 6], [np.nan, 4, 12]])
    moved = rasters.resampled(raster, grid(3, 2, west=499250.0), "average").read()
    # 4 x 3/4 + 8 x 1/4 = 5; where only one source cell lies, its own value.
    np.testing.assert_allclose(moved, [[4, 5, 8], [np.nan, 16, 16]])


def test_sums_of_larger_and_smaller_cells():
    raster = Array(np.arange(16.0).reshape(4, 4), grid(4, 4))
    larger = rasters.resampled(raster, grid(2, 2, 2000.0), "sum").read()
    np.testing.assert_allclose(larger, [[0 + 1 + 4 + 5, 2 + 3 + 6 + 7], [8 + 9 + 12 + 13, 10 + 11 + 14 + 15]])
    smaller = rasters.resampled(raster, grid(12, 12, 1000 / 3), "sum").read()
    np.testing.assert_allclose(smaller, np.kron(raster.values, np.full((3, 3), 1 / 9)))
    smaller = rasters.resampled(raster, grid(12, 12, 1000 / 3), "average").read()
    np.testing.assert_allclose(smaller, np.kron(raster.values, np.ones((3, 3))))


def test_nearest_takes_the_cell_that_holds_the_centre():
    raster = Array([[1, 2], [3, np.nan]], grid(2, 2))
    found = rasters.resampled(raster, grid(4, 2, 800.0, 499900.0, 3399900.0), "nearest").read()
    # Centres at x = 500300, 501100, 501900, 502700 and y = 3399500, 3398700.
    np.testing.assert_array_equal(found, [[1, 2, 2, np.nan], [3, np.nan, np.nan, np.nan]])


TARGETS = {
    "degrees": lambda size: Grid(DEGREES, Affine(size / 1e5, 0, 116.7, 0, -size / 1e5, 30.9), 60, 50),
    "UTM": lambda size: grid(70, 60, size, 480000.0, 3420000.0),
    "Albers": lambda size: grid(
        80, 80, size, 1.0e6, 3.6e6, pyproj.CRS("+proj=aea +lat_1=25 +lat_2=47 +lat_0=0 +lon_0=105 +datum=WGS84")
    ),
    # Sheared by 46 degrees here, as the grids of MODIS are.
    "sinusoidal": lambda size: grid(
        90, 80, size, 11.12e6, 3.45e6, pyproj.CRS("+proj=sinu +lon_0=0 +R=6371007.181 +units=m")
    ),
    # Turned by 33 degrees here.
    "polar": lambda size: grid(90, 90, size, 3.4e6, -5.2e6, pyproj.CRS("+proj=stere +lat_0=90 +lon_0=84 +datum=WGS84")),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", [700.0, 1300.0, 5000.0])
def test_totals_inside_are_kept_whatever_the_projection(target, size):
    target = TARGETS[target](size * 1.0)
    inside = pyproj.Transformer.from_crs(target.crs, UTM, always_xy=True).transform_bounds(*target.bounds)
    west, north = (inside[0] + inside[2]) / 2 - 10000, (inside[1] + inside[3]) / 2 + 8000
    raster = Array(np.random.default_rng(0).lognormal(0, 2, (16, 20)), grid(20, 16, 1000.0, west, north))
    found = rasters.resampled(raster, target, "sum")
    assert np.nansum(found.read()) == pytest.approx(raster.values.sum(), rel=1e-12)
    by_window = np.concatenate([found.read(window) for window in target.windows(7)])
    np.testing.assert_allclose(by_window, found.read(), rtol=1e-9)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_even_on_the_ground_stays_even(target):
    target = TARGETS[target](1100.0)
    west, south, east, north = pyproj.Transformer.from_crs(target.crs, UTM, always_xy=True).transform_bounds(
        *target.bounds
    )
    source = grid(int((east - west) / 1000) + 3, int((north - south) / 1000) + 3, 1000.0, west - 1000, north + 1000)
    found = rasters.resampled(Array(source.cell_areas(), source), target, "sum").read() / target.cell_areas()
    assert np.isfinite(found).all()
    # Cells along the edges of the target are as full as those within.
    assert found.mean() == pytest.approx(1, abs=0.002)
    assert found.std() < 0.04


def test_densities_stay_what_they_are_in_another_projection():
    raster = Array(np.full((40, 40), 7.0), grid(40, 40))
    found = rasters.resampled(raster, TARGETS["degrees"](1000), "average").read()
    assert np.isfinite(found).sum() > 1000
    np.testing.assert_allclose(found[np.isfinite(found)], 7)


def test_totals_over_areas_are_the_density_in_another_projection():
    """A field that is smooth on the ground is found again, cell by cell."""
    source = Grid(DEGREES, Affine(0.01, 0, 116.0, 0, -0.01, 32.0), 200, 200)
    raster = Array(source.cell_areas() * 3.0, source)
    target = grid(60, 60, 1500.0, 500000.0, 3450000.0)
    density = rasters.resampled(raster, target, "sum").read() / target.cell_areas()
    np.testing.assert_allclose(density, 3.0, rtol=0.02)


def test_nearest_in_another_projection_is_what_gdal_finds(tmp_path):
    source = grid(50, 40, 1000.0)
    values = np.random.default_rng(1).integers(1, 9, (40, 50)).astype(float)
    target = TARGETS["degrees"](1700)
    expected = np.full(target.shape, np.nan)
    rasterio.warp.reproject(
        values,
        expected,
        src_transform=source.transform,
        src_crs=UTM,
        dst_transform=target.transform,
        dst_crs=DEGREES,
        dst_nodata=np.nan,
        init_dest_nodata=True,
        resampling=rasterio.warp.Resampling.nearest,
    )
    found = rasters.resampled(Array(values, source), target, "nearest").read()
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    # GDAL's own places are approximate to an eighth of a cell: it may differ at centres that are so near to an edge.
    column, row = np.meshgrid(np.arange(60) + 0.5, np.arange(50) + 0.5)
    x, y = pyproj.Transformer.from_crs(DEGREES, UTM, always_xy=True).transform(*(target.transform @ (column, row)))
    from_edge = np.abs(np.subtract(~source.transform @ (x, y), np.round(~source.transform @ (x, y)))).min(axis=0)
    assert same[from_edge > 0.125].all()
    assert np.isfinite(found).sum() > 200


@given(
    st.floats(300, 4000),
    st.floats(-3000, 3000),
    st.floats(-3000, 3000),
    st.integers(0, 99),
)
@settings(deadline=None)
def test_no_total_is_lost_on_any_covering_grid(size, x, y, seed):
    raster = Array(np.random.default_rng(seed).lognormal(0, 3, (5, 6)), grid(6, 5))
    count = int(16000 / size) + 2
    target = grid(count, count, size, 496000.0 + x - 1000, 3404000.0 + y + 1000)
    found = rasters.resampled(raster, target, "sum").read()
    assert np.nansum(found) == pytest.approx(raster.values.sum(), rel=1e-12)
    assert np.nanmin(found) >= 0
    # Averages of one value are that value, and lie where the sums lie.
    raster.values = np.full((5, 6), 3.0)
    average = rasters.resampled(raster, target, "average").read()
    assert average[np.isfinite(found)] == pytest.approx(3, rel=1e-12)
    assert np.isfinite(average).sum() == np.isfinite(found).sum()


# Writing --------------------------------------------------------------------------------------------------------------


def test_written_rasters_say_what_they_hold(tmp_path):
    cells = grid(300, 2)
    values = np.random.default_rng(0).random((2, 300))
    values[0, 0] = np.nan
    with rasters.create(
        Run(), tmp_path / "a.tif", cells, unit="t CO2e", quantity="total", description="emissions"
    ) as writer:
        for window in cells.windows(1):
            writer.write(window, values[window.toslices()])
    with rasters.open_band(tmp_path / "a.tif", "raster") as raster:
        np.testing.assert_array_equal(raster.read(), values)
        assert (raster.unit, raster.quantity) == ("t CO2e", "total")
        assert rasters.same_grid(raster, cells)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert (file.descriptions, file.units, file.dtypes) == (("emissions",), ("t CO2e",), ("float64",))
        assert file.profile["tiled"]
        assert np.isnan(file.nodata)


def test_classes_and_several_bands_are_written(tmp_path):
    cells = grid(2, 1)
    with rasters.create(
        Run(),
        tmp_path / "a.tif",
        cells,
        unit="1",
        quantity="class",
        description=["a", "b"],
        nodata=255,
        dtype="uint8",
    ) as writer:
        writer.write(cells.windows()[0], np.array([[[1.0, np.nan]], [[3, 4]]]))
    with rasters.open_band(tmp_path / "a.tif", "raster", band="a") as raster:
        np.testing.assert_array_equal(raster.read(), [[1, np.nan]])


def test_a_full_disk_fails_with_its_sentence(tmp_path, monkeypatch):
    run = Run()
    path = run.stage(tmp_path / "a.tif")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with (
        pytest.raises(CarbonError, match=r"The disk is full in .* Nothing was written"),
        rasters.create(run, path, grid(2, 2), unit="t", quantity="total", description="x") as writer,
    ):
        writer.write(grid(2, 2).windows()[0], np.ones((2, 2)))
    run.discard()
    assert list(tmp_path.iterdir()) == []


# Polygons -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def halves():
    """Two regions over 2 x 2 cells: the west up to 3/4 of the first column, and the rest of the grid."""
    west, east = box(500000, 3398000, 500750, 3400000), box(500750, 3398000, 502000, 3400000)
    return gpd.GeoDataFrame({"name": ["west", "east"]}, geometry=[west, east], crs=UTM)


def test_fractions_and_labels(halves):
    cells = grid(2, 2)
    polygon, cell, fraction = rasters.fractions(halves, cells, Window(0, 1, 2, 1))
    assert sorted(zip(polygon.tolist(), cell.tolist(), fraction.tolist())) == [(0, 0, 0.75), (1, 0, 0.25), (1, 1, 1.0)]
    assert rasters.label(halves, cells, Window(0, 0, 2, 2)).tolist() == [[0, 1], [0, 1]]
    assert rasters.label(halves.to_crs(4326), cells, Window(1, 0, 1, 1)).tolist() == [[1]]
    assert rasters.label(halves.iloc[:1], cells, Window(1, 0, 1, 2)).tolist() == [[-1], [-1]]


def test_sums_by_fractions_of_regions_in_degrees(halves):
    cells, values = grid(2, 2), np.array([4.0, 10, 8, 3])
    for regions in (halves, rasters.on_grid(halves.to_crs(4326), cells, "regions")):
        polygon, cell, fraction = rasters.fractions(regions, cells, Window(0, 0, 2, 2))
        # West: 3/4 x (4 + 8) = 9 in 1.5 cells; east: 1/4 x (4 + 8) + 10 + 3 = 16 in 2.5 cells.
        assert np.bincount(polygon, fraction * values[cell]).tolist() == pytest.approx([9, 16], rel=1e-3)
        assert np.bincount(polygon, fraction).tolist() == pytest.approx([1.5, 2.5], rel=1e-3)


def test_of_overlapping_polygons_the_first_counts(halves):
    twice = gpd.GeoDataFrame(geometry=[halves.geometry[0], halves.union_all()], crs=UTM)
    assert rasters.label(twice, grid(2, 2), Window(0, 0, 2, 2)).tolist() == [[0, 1], [0, 1]]


def test_polygons_elsewhere_are_refused(halves):
    with pytest.raises(InputError, match=r"regions: its extent .* does not overlap the raster's"):
        rasters.on_grid(halves, grid(2, 2, west=700000.0), "regions")


def test_what_gdal_noted_of_an_earlier_raster_is_removed(tmp_path):
    (tmp_path / "a.tif.aux.xml").write_text("statistics of yesterday")
    run = Run()
    path = run.stage(tmp_path / "a.tif")
    with rasters.create(run, path, grid(2, 2), unit="t", quantity="total", description="x") as writer:
        writer.write(grid(2, 2).windows()[0], np.ones((2, 2)))
    run.commit({})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tif", "a.tif.run.json"]


# Totals ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "per_m2"), [("t/m2", 1.0), ("t CO2e/ha", 1e-4), ("t CO2/km2 per year", 1e-6), ("t per km2", 1e-6)]
)
def test_densities_become_totals_by_the_area_in_their_unit(tmp_path, unit, per_m2):
    grid = Grid(pyproj.CRS("EPSG:6933"), Affine(1000, 0, 0, 0, -1000, 4000000), 1, 1)
    with rasters.create(Run(), tmp_path / "a.tif", grid, unit=unit, quantity="density", description="d") as writer:
        writer.write(Window(0, 0, 1, 1), np.array([[3.0]]))
    with rasters.open_band(str(tmp_path / "a.tif"), "input") as raster:
        # 1 km2 on the map of an equal-area CRS is 1 km2 on the ground.
        assert rasters.as_total(raster).read()[0, 0] == pytest.approx(3e6 * per_m2, rel=1e-5)


@pytest.mark.parametrize("unit", ["", "t CO2e", "t/cell"])
def test_a_density_that_names_no_area_is_refused(tmp_path, unit):
    grid = Grid(pyproj.CRS("EPSG:6933"), Affine(1000, 0, 0, 0, -1000, 4000000), 1, 1)
    with rasters.create(Run(), tmp_path / "a.tif", grid, unit=unit, quantity="density", description="d") as writer:
        writer.write(Window(0, 0, 1, 1), np.array([[3.0]]))
    with rasters.open_band(str(tmp_path / "a.tif"), "input") as raster, pytest.raises(InputError, match="no area"):
        rasters.as_total(raster)
