"""Rasters corrected to the totals of regions, files in and files out."""

import tempfile
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
from affine import Affine
from exactextract import exact_extract
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from carbon_spatializer.core.errors import InputError
from carbon_spatializer.jobs.correction import correct_to_totals
from carbon_spatializer.jobs.run import Run

CRS = "EPSG:32650"
WEST, NORTH = 500000, 3400000


def write_raster(path, values, west=WEST, north=NORTH, size=1000.0, crs=CRS, **options):
    values = np.asarray(values, float)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        height=values.shape[0],
        width=values.shape[1],
        dtype="float64",
        crs=crs,
        transform=Affine(size, 0, west, 0, -size, north),
        nodata=options.pop("nodata", np.nan),
    ) as file:
        file.write(values, 1)
        file.update_tags(**options)


def regions(*shapes, crs=CRS, **fields):
    """Regions from columns and rows of cells: (west, south, east, north), counted from the north-west corner."""
    geometry = [box(WEST + w * 1000, NORTH - s * 1000, WEST + e * 1000, NORTH - n * 1000) for w, s, e, n in shapes]
    return gpd.GeoDataFrame(fields, geometry=geometry, crs=crs)


@pytest.fixture
def folder(tmp_path):
    """Weights of 3 x 2 cells; region A has the first column and 3/4 of the second, B the rest; 60 and 40 t."""
    write_raster(tmp_path / "weights.tif", [[1, 2, 5], [3, np.nan, 5]])
    frame = regions((0, 2, 1.75, 0), (1.75, 2, 3, 0), name=["甲", "B"], co2=[60.0, 40.0])
    frame.to_file(tmp_path / "regions.gpkg")
    return tmp_path


def corrected(folder, **arguments):
    replies = []
    run = Run(replies.append)
    result = correct_to_totals(
        run,
        **{
            "input": str(folder / "weights.tif"),
            "regions": str(folder / "regions.gpkg"),
            "total_field": "co2",
            "name_field": "name",
            "output": str(folder / "out.tif"),
            "table": str(folder / "table.csv"),
        }
        | arguments,
    )
    run.commit({})
    with rasterio.open(folder / "out.tif") as file:
        cells = file.read(1)
    said = " ".join([result["summary"], *(reply.get("text", "") for reply in replies)])
    return cells, pd.read_csv(folder / "table.csv").set_index("region"), result, said


def test_cells_by_their_centre(folder):
    # The centre of the second column lies in A: weights 1 + 3 + 2 = 6, 10 t each; B: 5 + 5, 4 t each.
    cells, table, result, said = corrected(folder)
    np.testing.assert_allclose(cells, [[10, 20, 20], [30, np.nan, 20]])
    assert table["allocated_t"].tolist() == [60, 40]
    assert table["scale"].tolist() == [10, 4]
    assert "100.00 t CO2e came in, 100.00 t were allocated" in said
    assert "Nothing of the weights lay outside" in said
    assert result["total_t"] == 100
    assert result["relative_error"] <= 1e-9
    assert result["styles"]["output"]["kind"] == "raster"


def test_cells_by_their_parts(folder):
    # A: 1 + 3 + 3/4 x 2 = 5.5; B: 10 + 1/4 x 2 = 10.5. The second cell gets 1.5 x 60/5.5 + 0.5 x 40/10.5.
    cells, table, _, _ = corrected(folder, borders="parts")
    a, b = 60 / 5.5, 40 / 10.5
    np.testing.assert_allclose(cells, [[a, 1.5 * a + 0.5 * b, 5 * b], [3 * a, np.nan, 5 * b]])
    assert table["allocated_t"].tolist() == pytest.approx([60, 40])
    assert np.nansum(cells) == pytest.approx(100, rel=1e-12)


def test_units_are_converted(folder):
    cells, _, result, _ = corrected(folder, total_unit="10^4 t")
    assert np.nansum(cells) == pytest.approx(1e6)
    assert result["total_t"] == pytest.approx(1e6)


def test_densities_are_multiplied_by_the_area_of_the_cells(folder):
    # In degrees, one cell at the equator and one at 60 degrees north, of about half its area.
    write_raster(folder / "weights.tif", [[1.0]] + [[np.nan]] * 59 + [[1.0]], 116, 60.5, 1.0, "EPSG:4326")
    gpd.GeoDataFrame({"name": ["A"], "co2": [90.0]}, geometry=[box(115, -1, 118, 61)], crs=4326).to_file(
        folder / "regions.gpkg", mode="w"
    )
    cells, _, _, _ = corrected(folder, weights="total")
    assert cells[[0, 60], 0].tolist() == [45, 45]
    cells, _, _, _ = corrected(folder, weights="density")
    geod = pyproj.Geod(ellps="WGS84")
    areas = [abs(geod.geometry_area_perimeter(box(116, s, 117, s + 1).segmentize(0.01))[0]) for s in (59.5, -0.5)]
    np.testing.assert_allclose(cells[[0, 60], 0], 90 * np.array(areas) / sum(areas), rtol=1e-5)


def test_a_raster_that_says_it_is_a_density_is_believed(folder):
    write_raster(folder / "weights.tif", [[1.0]] + [[1.0]] * 60, 116, 60.5, 1.0, "EPSG:4326", QUANTITY="density")
    gpd.GeoDataFrame({"name": ["A"], "co2": [90.0]}, geometry=[box(115, -1, 118, 61)], crs=4326).to_file(
        folder / "regions.gpkg", mode="w"
    )
    believed, _, _, _ = corrected(folder)
    asked, _, _, _ = corrected(folder, weights="density")
    other, _, _, _ = corrected(folder, weights="total")
    np.testing.assert_array_equal(believed, asked)
    assert not np.allclose(believed, other)


def test_zero_weights_are_spread_over_the_ground_and_told(folder):
    write_raster(folder / "weights.tif", [[1, 2, 0], [3, 4, 0]])
    cells, table, _, said = corrected(folder)
    assert cells[:, 2].tolist() == pytest.approx([20, 20], rel=1e-4)
    assert table.loc["B", ["rule", "fallback_t"]].tolist() == ["evenly over the ground", 40]
    assert "1 regions (B): evenly over the ground, 40.00 t" in said
    cells, table, result, _ = corrected(folder, zero_weights="leave")
    assert cells[:, 2].tolist() == [0, 0]
    assert result["unallocated_t"] == table.loc["B", "unallocated_t"] == 40


def test_regions_without_a_total(folder):
    regions((0, 2, 1.75, 0), (1.75, 2, 3, 0), name=["甲", "B"], co2=[60.0, None]).to_file(
        folder / "regions.gpkg", mode="w"
    )
    cells, _, _, said = corrected(folder)
    assert np.isnan(cells[:, 2]).all()
    assert "1 regions (B): no total: left empty" in said
    assert corrected(folder, without_total="keep")[0][:, 2].tolist() == [5, 5]
    # The mean factor is that of A, 10 t.
    cells, table, _, _ = corrected(folder, without_total="mean")
    assert cells[:, 2].tolist() == [50, 50]
    assert table.loc["B", "fallback_t"] == 100


def test_what_lies_outside_all_regions_is_told(folder):
    regions((0, 2, 1, 0), name=["A"], co2=[60.0]).to_file(folder / "regions.gpkg", mode="w")
    cells, _, _, said = corrected(folder)
    np.testing.assert_allclose(cells, [[15, np.nan, np.nan], [45, np.nan, np.nan]])
    assert "75.00 % of the weights lay outside all regions" in said  # 12 of 16


def test_overlapping_regions_do_not_count_twice(folder):
    regions((0, 2, 2, 0), (1, 2, 3, 0), name=["A", "B"], co2=[60.0, 40.0]).to_file(folder / "regions.gpkg", mode="w")
    for borders in ("centre", "parts"):
        cells, table, _, _ = corrected(folder, borders=borders)
        assert np.nansum(cells) == pytest.approx(100, rel=1e-12)
        assert table["allocated_t"].tolist() == pytest.approx([60, 40])


def test_regions_in_degrees(folder):
    frame = gpd.read_file(folder / "regions.gpkg").to_crs(4326)
    frame.to_file(folder / "regions.gpkg", mode="w")
    np.testing.assert_allclose(corrected(folder)[0], [[10, 20, 20], [30, np.nan, 20]])


def test_windows_give_what_the_whole_gives(folder, monkeypatch):
    values = np.random.default_rng(0).lognormal(0, 2, (40, 30))
    write_raster(folder / "weights.tif", values)
    frame = regions((0, 20, 30, 0), (0, 40, 13, 20), (13, 40, 30, 20), name=list("abc"), co2=[7e8, 3.0, 5e3])
    frame.to_file(folder / "regions.gpkg", mode="w")
    whole, _, _, _ = corrected(folder)
    monkeypatch.setattr("carbon_spatializer.jobs.grids.CELLS_AT_ONCE", 70)
    by_window, table, _, _ = corrected(folder)
    np.testing.assert_allclose(by_window, whole, rtol=1e-12)
    assert by_window[:20].sum() == pytest.approx(7e8, rel=1e-9)
    assert by_window[20:, :13].sum() == pytest.approx(3, rel=1e-9)
    assert table["relative_error"].abs().max() <= 1e-9


@given(
    st.integers(0, 10_000),
    # Cuts beside the centres of cells, as a centre on a border may go either way.
    st.lists(st.integers(3, 96).map(lambda tenths: tenths / 10 + 0.03), min_size=1, max_size=5, unique=True),
    st.sampled_from(["centre", "parts"]),
    st.sampled_from([CRS, "EPSG:4326", "EPSG:3857"]),
)
@settings(deadline=None, max_examples=12)
def test_every_region_is_exact(seed, cuts, borders, crs):
    """Strips of any width over 10 x 10 cells, in any CRS; each cell's centre found again by another library."""
    rng = np.random.default_rng(seed)
    edges = [0, *sorted(cuts), 10]
    frame = regions(*((w, 10, e, 0) for w, e in pairwise(edges)), co2=rng.lognormal(0, 5, len(edges) - 1))
    weights = rng.lognormal(0, 3, (10, 10)) * (rng.random((10, 10)) > 0.3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_raster(folder / "weights.tif", weights)
        frame.to_crs(crs).to_file(folder / "regions.gpkg")
        cells, table, result, _ = corrected(folder, name_field=None, borders=borders, zero_weights="leave")
    left = table["unallocated_t"].sum()
    assert cells.sum() + left == pytest.approx(frame["co2"].sum(), rel=1e-9)
    assert result["relative_error"] <= 1e-9
    assert cells.min() >= 0
    if borders == "centre" and crs == CRS:
        centres = gpd.GeoSeries.from_xy(WEST + 500 + np.arange(10) * 1e3, np.full(10, NORTH - 500), crs=CRS)
        column = [int(np.flatnonzero(frame.contains(point))[0]) for point in centres]
        sums = np.bincount(column, cells.sum(axis=0), len(frame))
        assert sums == pytest.approx(table["allocated_t"].to_numpy(), rel=1e-9)


def test_chinese_provinces_are_exact(data, tmp_path):
    """Statistics of 30 provinces on a raster that knows nothing of them, summed again by another library."""
    frame = gpd.read_file(data / "china" / "ne50m_china_provinces.geojson")
    frame["co2"] = np.random.default_rng(0).lognormal(4, 1, len(frame))
    frame["id"] = range(len(frame))
    frame.to_file(tmp_path / "regions.gpkg")
    west, south, east, north = frame.total_bounds
    values = np.random.default_rng(1).lognormal(0, 2, (int((north - south) * 10) + 1, int((east - west) * 10) + 1))
    write_raster(tmp_path / "weights.tif", values, west, north, 0.1, "EPSG:4326")
    cells, _, result, _ = corrected(tmp_path, name_field="id", total_unit="Mt", borders="parts")
    assert np.nansum(cells) == pytest.approx(frame["co2"].sum() * 1e6, rel=1e-9)
    assert result["relative_error"] < 1e-9
    _, _, result, _ = corrected(tmp_path, name_field="id", total_unit="Mt", zero_weights="leave")
    assert result["relative_error"] < 1e-9
    large = frame.to_crs("+proj=cea").area > 5e9
    sums = exact_extract(str(tmp_path / "out.tif"), frame, "sum", output="pandas")["sum"]
    # Sums by fractions share border cells with the neighbours.
    assert np.median(np.abs(sums[large] / (frame["co2"][large] * 1e6) - 1)) < 0.05


def refused(folder, message, **arguments):
    before = sorted(folder.iterdir())
    run = Run()
    values = {
        "input": str(folder / "weights.tif"),
        "regions": str(folder / "regions.gpkg"),
        "total_field": "co2",
        "name_field": "name",
        "output": str(folder / "out.tif"),
    }
    with pytest.raises(InputError, match=message) as error:
        correct_to_totals(run, **values | arguments)
    run.discard()
    assert sorted(folder.iterdir()) == before
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_field": "co3"}, "total_field: field 'co3' does not exist"),
        ({"total_field": "name"}, "total_field: field 'name' holds text, for example '甲'"),
        ({"name_field": "title"}, "name_field: field 'title' does not exist"),
        ({"total_unit": "m3"}, "total_unit: unit 'm3' measures volume"),
        ({"total_unit": "lumps"}, "total_unit: unit 'lumps' is unknown"),
        ({"weights": "both"}, "weights: 'both' is unknown. Use one of auto, total, density"),
        ({"borders": "open"}, "borders: 'open' is unknown. Use one of centre, parts"),
        ({"input": "nowhere.tif"}, "input: the file 'nowhere.tif' does not exist"),
    ],
)
def test_arguments_are_refused(folder, arguments, message):
    refused(folder, message, **arguments)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([[1, -2, 5], [3, 4, 5]], {}, "input: 'weights' has cells below zero, for example -2"),
        ([[1, np.inf, 5], [3, 4, 5]], {}, "input: 'weights' holds infinite values"),
        (np.full((2, 3), np.nan), {}, "input: it has no cell with data in any region"),
        (np.full((2, 3), -1.0), {"nodata": -1}, "input: it has no cell with data in any region"),
        ([[1, 2]], {"west": 900000}, "regions: its extent .* does not overlap the raster's"),
        ([[1, 2]], {"west": 116, "north": 31, "size": 0.01, "crs": "EPSG:4326"}, "regions: its extent .* not overlap"),
        ([[1.0]], {}, r"regions: 1 regions have no cell with data \(B\)"),
    ],
)
def test_rasters_are_refused(folder, values, options, message):
    write_raster(folder / "weights.tif", values, **options)
    refused(folder, message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"co2": [1.0, -5.0]}, "total_field: region 'B' has the negative total -5"),
        ({"co2": [np.nan, np.nan]}, "total_field: no region has a total"),
        ({"co2": [1.0, np.inf]}, "total_field: field 'co2' holds infinite values"),
        ({"name": ["A", "A"]}, "name_field: region 'A' has 2 rows. Dissolve the layer by its names"),
    ],
)
def test_regions_are_refused(folder, fields, message):
    gpd.read_file(folder / "regions.gpkg").assign(**fields).to_file(folder / "regions.gpkg", mode="w")
    refused(folder, message)


def test_a_region_smaller_than_a_cell_has_its_part(folder):
    shapes = (0, 2, 3, 0), (0.1, 0.2, 0.2, 0.1)
    regions(*shapes[::-1], name=["speck", "A"], co2=[1.0, 99.0]).to_file(folder / "regions.gpkg", mode="w")
    refused(folder, r"regions: 1 regions have no cell with data \(speck\)")
    cells, table, _, _ = corrected(folder, borders="parts")
    assert table.loc["speck", "allocated_t"] == pytest.approx(1)
    assert np.nansum(cells) == pytest.approx(100, rel=1e-12)
