"""Spreading totals over emission land, files in and files out."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from shapely import box

from carbon_spatializer.core.errors import CarbonError, InputError
from carbon_spatializer.core.landuse import PARTS
from carbon_spatializer.jobs.run import Run
from carbon_spatializer.jobs.spreading import spread_over_land_use

UTM = "EPSG:32650"
WEST, NORTH, CELL = 600_000, 3_600_000, 30
# Nanjing paper, Table 2, 10^4 t CO2e: agriculture, industry, city, rural and the printed total.
TABLE_2 = {
    "Xuanwu": (0.00, 8.48, 35.76, 0.00, 44.24),
    "Qinhuai": (0.00, 17.06, 39.04, 0.00, 56.10),
    "Jianye": (0.01, 0.00, 38.40, 0.01, 38.41),
    "Gulou": (0.00, 0.00, 39.32, 0.00, 39.32),
    "Pukou": (0.21, 2206.15, 86.67, 1.69, 2294.72),
    "Qixia": (0.05, 1736.65, 116.37, 0.31, 1853.38),
    "Yuhuatai": (0.01, 125.72, 58.00, 0.13, 183.87),
    "Jiangning": (0.34, 3289.64, 203.55, 2.30, 3495.83),
    "Liuhe": (0.41, 1826.91, 94.55, 3.15, 1925.02),
    "Lishui": (0.27, 2430.79, 42.22, 1.58, 2474.86),
    "Gaochun": (0.19, 275.27, 32.09, 1.16, 308.71),
}
TABLE_PARTS = ["agriculture", "industry", "city", "rural"]


def near(values):
    """What cells hold: the areas of cells differ by a few parts in a million over the map."""
    return pytest.approx(np.array(values, float), rel=1e-5)


def write_land(path, bands, names=PARTS, crs=UTM, transform=None, nodata=None, dtype="float32"):
    bands = np.asarray(bands, dtype)
    transform = transform or from_origin(WEST, NORTH, CELL, CELL)
    count, height, width = bands.shape
    settings = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": dtype, "nodata": nodata}
    with rasterio.open(path, "w", crs=crs, transform=transform, **settings) as file:
        file.write(bands)
        if names:
            file.descriptions = names


def strip(first, last, rows=4):
    """Rectangle over columns first to last (excluded) of the land."""
    return box(WEST + first * CELL, NORTH - rows * CELL, WEST + last * CELL, NORTH)


@pytest.fixture
def folder(tmp_path):
    """Two districts of 4 x 2 cells; each row is the land of one part, but B has no rural land."""
    land = np.zeros((4, 4, 4))
    for part in range(4):
        land[part, part] = 1
    land[PARTS.index("rural"), 3, 2:] = 0
    land[PARTS.index("city"), 1, 0] = 0.5
    write_land(tmp_path / "land.tif", land)
    frame = gpd.GeoDataFrame({"district": ["A", "B"], "people": [1, 3]}, geometry=[strip(0, 2), strip(2, 4)], crs=UTM)
    frame.to_file(tmp_path / "districts.gpkg")
    rows = [("A", "industry", 10.0), ("A", "urban", 30.0), ("B", "agriculture", 4.0), ("B", "Rural living", 12.0)]
    pd.DataFrame(rows, columns=["region", "sector", "gross_t"]).to_csv(tmp_path / "totals.csv", index=False)
    return tmp_path


def spread(folder, **arguments):
    """The rasters by argument (those asked for by name), the ledger, and what was said."""
    said = []
    run = Run(said.append)
    wanted = arguments.pop("rasters", [])
    arguments = {
        "land": str(folder / "land.tif"),
        "districts": str(folder / "districts.gpkg"),
        "totals": str(folder / "totals.csv"),
        "region_field": "district",
        "output": str(folder / "output.tif"),
        "ledger": str(folder / "ledger.csv"),
        "districts_output": str(folder / "made.gpkg"),
        **{name: str(folder / f"{name}.tif") for name in wanted},
    } | arguments
    result = spread_over_land_use(run, **arguments)
    run.commit({})
    cells = {name: read(folder / f"{name}.tif") for name in ["output", *wanted]}
    ledger = pd.read_csv(folder / "ledger.csv", keep_default_na=False)
    return cells, ledger, result, " ".join(reply["text"] for reply in said if reply["type"] != "progress")


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def change(folder, name="districts", **columns):
    frame = gpd.read_file(folder / f"{name}.gpkg").assign(**columns)
    (folder / f"{name}.gpkg").unlink()
    frame.to_file(folder / f"{name}.gpkg")


def table(folder, rows, columns=("region", "sector", "gross_t")):
    pd.DataFrame(rows, columns=list(columns)).to_csv(folder / "totals.csv", index=False)


def test_cells_by_hand(folder):
    # A: industry 10 t on 2 cells; city 30 t on half a cell and one: 10 and 20 t. B: agriculture 4 t on 2 cells; rural
    # 12 t have no land and go evenly to its emission land, 6 cells.
    cells, ledger, result, said = spread(folder, rasters=["city", "rural"])
    assert cells["output"] == near([[5, 5, 2, 2], [10, 20, 2, 2], [0, 0, 4, 4], [0, 0, 0, 0]])
    assert cells["city"] == near([[0] * 4, [10, 20, 0, 0], [0] * 4, [0] * 4])
    assert cells["rural"][:3, 2:] == near(np.full((3, 2), 2.0))
    assert "No rural land in 'B': 12.00 t went to the emission land of the district" in said
    assert result["fallback_t"] == 12
    assert result["total_t"] == result["allocated_t"] == 56
    rows = ledger.set_index(["region", "part"])
    assert rows.loc[("A", "city"), "basis"] == "even over its land"
    assert rows.loc[("B", "rural"), ["in_t", "allocated_t", "fallback_t", "land_m2"]].tolist() == pytest.approx(
        [12, 12, 12, 0]
    )


def test_rasters_say_what_they_hold(folder):
    spread(folder, rasters=["intensity", "rural_intensity"])
    for name, unit, quantity in (("output", "t CO2e", "total"), ("intensity", "t CO2e/ha", "density")):
        with rasterio.open(folder / f"{name}.tif") as file:
            assert (file.units[0], file.tags()["QUANTITY"], file.dtypes[0]) == (unit, quantity, "float64")
            assert np.isnan(file.nodata)
            assert "all emissions" in file.descriptions[0]


def test_intensity_is_per_hectare_of_the_true_area(folder):
    cells, _, _, _ = spread(folder, rasters=["intensity"])
    # UTM's scale in the zone's middle is 0.9996, so that a cell of 900 map m2 has 900 / 0.9996^2 m2 and a bit less.
    emits = cells["output"] > 0
    area = cells["output"][emits] / cells["intensity"][emits] * 1e4
    assert area.min() == pytest.approx(900 / 0.9996**2, rel=3e-4)


def test_districts_tell_what_their_cells_hold(folder):
    _, _, result, _ = spread(folder)
    made = gpd.read_file(folder / "made.gpkg").set_index("district")
    assert made["gross_t"].to_dict() == pytest.approx({"A": 40, "B": 16})
    assert made.loc["B", ["industry_t", "city_t", "agriculture_t", "rural_t"]].tolist() == pytest.approx([0, 0, 4, 12])
    assert made["fallback_t"].to_dict() == pytest.approx({"A": 0, "B": 12})
    assert made["city_ha"].to_dict() == pytest.approx({"A": 1.5 * 0.09, "B": 2 * 0.09}, rel=1e-3)
    assert made["area_m2"].to_numpy() == pytest.approx([7200, 7200], rel=1e-3)
    assert made.loc["A", "intensity_t_ha"] == pytest.approx(40 / 0.72, rel=1e-3)
    assert made["people"].tolist() == [1, 3]
    assert result["styles"]["districts_output"]["field"] == "gross_t"
    assert result["styles"]["output"]["kind"] == "raster"


# The published table -------------------------------------------------------------------------------------------------


@pytest.fixture
def nanjing(tmp_path):
    """The eleven districts, each 3 cells wide, with a row of cells for each part and one of none."""
    width = 3 * len(TABLE_2)
    land = np.zeros((4, 5, width))
    for part in range(4):
        land[part, part] = 1
    write_land(tmp_path / "land.tif", land)
    shapes = [strip(3 * number, 3 * number + 3, rows=5) for number in range(len(TABLE_2))]
    gpd.GeoDataFrame({"district": list(TABLE_2)}, geometry=shapes, crs=UTM).to_file(tmp_path / "districts.gpkg")
    write_table_2(tmp_path)
    return tmp_path


def write_table_2(folder, **printed):
    rows = [(name, *row[:4], printed.get(name, row[4])) for name, row in TABLE_2.items()]
    names = ["Districts", "Agricultural production", "Industrial production system", "Inner city", "Rural residents"]
    table(folder, rows, [*names, "Total"])


def spread_table_2(folder, **arguments):
    arguments = {"totals_region_field": "Districts", "totals_unit": "10^4 t", "rasters": PARTS} | arguments
    return spread(folder, **arguments)


def test_rasters_sum_back_to_table_2(nanjing):
    cells, _, result, said = spread_table_2(nanjing)
    for number, (district, row) in enumerate(TABLE_2.items()):
        own = np.s_[:, 3 * number : 3 * number + 3]
        for part, tonnes in zip(TABLE_PARTS, row):
            assert cells[part][own].sum() == pytest.approx(tonnes * 1e4, rel=1e-9), (district, part)
        assert cells["output"][own].sum() == pytest.approx(sum(row[:4]) * 1e4, rel=1e-9)
    sums = {part: cells[part].sum() / 1e4 for part in PARTS}
    assert sums == pytest.approx({"agriculture": 1.49, "industry": 11916.67, "city": 785.97, "rural": 10.33})
    total = cells["output"].sum() / 1e4
    assert total == pytest.approx(12714.46, rel=1e-9)
    assert round(100 * sums["industry"] / total, 2) == 93.73
    assert round(100 * sums["city"] / total, 2) == 6.18
    assert "industry 93.73 %, city 6.18 %" in result["summary"]
    # Jianye's parts exceed its printed total by 0.01, Yuhuatai's fall short by 0.01: that is rounding.
    assert "printed total" not in said


def test_each_part_lies_on_its_own_land_only(nanjing):
    cells, _, _, _ = spread_table_2(nanjing)
    for row, part in enumerate(PARTS):
        others = np.delete(cells[part], row, axis=0)
        assert not others.any()
    assert not cells["output"][4].any()


def test_the_misprinted_total_of_xuanwu_is_told(nanjing):
    """The paper prints 4424 for 44.24: the parts count, and the message says so."""
    write_table_2(nanjing, Xuanwu=4424)
    cells, _, _, said = spread_table_2(nanjing)
    assert "the parts of Xuanwu add up to 44.24, but the printed total is 4,424" in said
    assert said.count("printed total") == 1
    assert cells["output"].sum() / 1e4 == pytest.approx(12714.46, rel=1e-9)


def test_the_twelfth_district_has_no_totals_and_no_data(nanjing):
    """The paper speaks of 12 districts, its table has 11: one without totals is told and stays empty."""
    frame = gpd.read_file(nanjing / "districts.gpkg")
    frame.loc[len(frame)] = ["Jiangbei", strip(0, 1, rows=5)]
    frame.loc[0, "geometry"] = strip(1, 3, rows=5)
    (nanjing / "districts.gpkg").unlink()
    frame.set_crs(UTM).to_file(nanjing / "districts.gpkg")
    cells, _, _, said = spread_table_2(nanjing)
    assert "districts: 1 of 12 have no totals and get no data: 'Jiangbei'" in said
    assert np.isnan(cells["output"][:, 0]).all()
    assert np.nansum(cells["output"]) / 1e4 == pytest.approx(12714.46, rel=1e-9)
    assert np.isnan(gpd.read_file(nanjing / "made.gpkg").set_index("district").loc["Jiangbei", "gross_t"])


def test_industry_without_industrial_land(nanjing):
    """Xuanwu loses its industrial land: its 8.48 x 10^4 t go to its other emission land and are told."""
    land = np.zeros((4, 5, 3 * len(TABLE_2)))
    for part in range(4):
        land[part, part] = 1
    land[0, 0, :3] = 0
    write_land(nanjing / "land.tif", land)
    cells, _, result, said = spread_table_2(nanjing)
    assert "No industry land in 'Xuanwu': 84,800.00 t went to the emission land of the district" in said
    assert result["fallback_t"] == pytest.approx(84_800)
    assert cells["industry"][1:4, :3] == pytest.approx(np.full((3, 3), 84_800 / 9), rel=1e-6)
    assert cells["output"].sum() / 1e4 == pytest.approx(12714.46, rel=1e-9)


# Forms of the inputs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:4490", "EPSG:32651", "ESRI:54009"])
def test_mass_and_intensity_in_any_crs(folder, crs):
    """The same city on grids of other CRS: every district keeps its tonnes, and t per ha stay what they are."""
    frame = gpd.read_file(folder / "districts.gpkg").to_crs(crs)
    west, south, east, north = frame.total_bounds
    size = (east - west) / 40, (north - south) / 40
    transform = from_origin(west - 2 * size[0], north + 2 * size[1], *size)
    land = np.zeros((4, 44, 44))
    land[PARTS.index("city")] = 1
    write_land(folder / "land.tif", land, crs=crs, transform=transform)
    table(folder, [("A", "urban", 7.2), ("B", "urban", 1.44)])
    cells, ledger, _, _ = spread(folder, rasters=["intensity"])
    assert ledger["relative_error"].abs().max() < 1e-9
    made = gpd.read_file(folder / "made.gpkg").set_index("district")
    assert made["gross_t"].to_dict() == pytest.approx({"A": 7.2, "B": 1.44}, rel=1e-9)
    # 7200 m2 each (in UTM, whose scale here is 0.9996): 10 and 2 t per ha, whatever the grid.
    values = np.unique(np.round(cells["intensity"][np.isfinite(cells["intensity"])], 1))
    assert values == pytest.approx([2, 10], rel=0.06)


def test_a_raster_of_classes(folder):
    classes = np.repeat([[1], [2], [3], [0]], 4, axis=1)
    write_land(folder / "land.tif", classes[None], names=None, dtype="uint8", nodata=255)
    table(folder, [("A", "industry", 10), ("B", "agriculture", 4), ("B", "urban", 6)])
    cells, _, _, _ = spread(folder)
    assert cells["output"] == near([[5, 5, 0, 0], [0, 0, 3, 3], [0, 0, 2, 2], [0, 0, 0, 0]])


def test_the_order_of_rows_and_districts_does_not_matter(folder):
    first, _, _, _ = spread(folder)
    frame = gpd.read_file(folder / "districts.gpkg").iloc[::-1]
    (folder / "districts.gpkg").unlink()
    frame.to_file(folder / "districts.gpkg")
    pd.read_csv(folder / "totals.csv").iloc[::-1].to_csv(folder / "totals.csv", index=False)
    second, _, _, _ = spread(folder)
    assert np.array_equal(first["output"], second["output"])


def test_totals_of_the_whole_city_spread_over_all_districts(folder):
    table(folder, [("industry", 8)], ["sector", "gross_t"])
    cells, ledger, _, _ = spread(folder)
    assert cells["output"][0] == near([2, 2, 2, 2])
    assert ledger.loc[0, "region"] == "all districts"


def test_totals_of_a_city_divided_by_population_first(folder):
    table(folder, [("", "industry", 8)])
    cells, ledger, _, _ = spread(folder, share_field="people", name_field="district")
    assert cells["output"][0] == near([1, 1, 3, 3])
    assert ledger["region"].unique().tolist() == ["A", "B"]


def test_cities_of_several_districts(folder):
    change(folder, city=["Nanjing", "Nanjing"])
    table(folder, [("Nanjing", "industry", 8)])
    cells, _, _, _ = spread(folder, region_field="city")
    assert cells["output"][0] == near([2, 2, 2, 2])


def test_sectors_of_ones_own(folder):
    table(folder, [("A", "Steel", 8), ("A", "sink", 0)])
    pd.DataFrame({"sector": ["steel"], "part": ["industry"]}).to_csv(folder / "parts.csv", index=False)
    cells, _, _, _ = spread(folder, parts_table=str(folder / "parts.csv"))
    assert cells["output"][0, :2] == near([4, 4])


def test_a_region_column_with_the_name_of_a_part(folder):
    table(folder, [("A", 8.0, 2.0)], ["city", "industry", "agriculture"])
    cells, _, result, _ = spread(folder, totals_region_field="city")
    assert cells["output"][0, :2] == near([4, 4])
    assert result["total_t"] == 10


@pytest.mark.parametrize("unit", ["t", "kt", "Mt", "10^4 t"])
def test_units_of_the_totals(folder, unit):
    factor = {"t": 1, "kt": 1e3, "Mt": 1e6, "10^4 t": 1e4}[unit]
    _, _, result, _ = spread(folder, totals_unit=unit)
    assert result["total_t"] == pytest.approx(56 * factor)


@pytest.mark.parametrize("quantity", ["density", "total"])
def test_weights(folder, quantity):
    # One cell of the weight over each column of the land: 1, 3, 0, no data. A's industry: 1/4 and 3/4; its city:
    # half a cell at 1 and one at 3: 0.5 to 3.
    values = np.array([[[1, 3, 0, -9]]])
    transform = from_origin(WEST, NORTH, CELL, 4 * CELL)
    write_land(folder / "weight.tif", values, names=None, transform=transform, nodata=-9)
    weight = {"weight": str(folder / "weight.tif"), "weight_quantity": quantity}
    cells, ledger, _, said = spread(folder, **weight)
    assert cells["output"][0, :2] == pytest.approx([2.5, 7.5], rel=1e-6)
    assert cells["output"][1, :2] == pytest.approx([30 / 7, 180 / 7], rel=1e-6)
    assert "weight: 3 cells of land have none and count as zero" in said
    rows = ledger.set_index(["region", "part"])
    assert rows.loc[("A", "city"), "basis"] == "by weight over its land"
    # Agriculture is not among the weighted parts.
    assert cells["output"][2, 2:].tolist() == pytest.approx([4, 4])
    cells, _, _, said = spread(folder, **weight, weighted_parts=["agriculture"])
    assert "weight: it is zero on all agriculture land of 'B', whose 4.00 t are spread evenly" in said


def test_negative_weights_count_as_zero(folder):
    values = np.array([[[-1, 3, 1, 1]]])
    write_land(folder / "weight.tif", values, names=None, transform=from_origin(WEST, NORTH, CELL, 4 * CELL))
    cells, _, _, said = spread(folder, weight=str(folder / "weight.tif"))
    assert cells["output"][0, :2].tolist() == pytest.approx([0, 10])
    assert "weight: 4 cells are negative and count as zero" in said


def test_without_fallbacks_tonnes_are_left_over_and_told(folder):
    cells, ledger, result, said = spread(folder, fallbacks=[])
    assert cells["output"].sum() == pytest.approx(44)
    assert result["unallocated_t"] == 12
    assert "No rural land in 'B': 12.00 t stay unallocated" in said
    assert ledger["unallocated_t"].sum() == 12


def test_districts_that_overlap_or_leave_gaps_are_told(folder):
    # A takes a part of B's first column; B's last column is left out. The overlap is 12 m x 120 m.
    change(folder, geometry=[strip(0, 2.4), strip(2, 3)])
    cells, _, _, said = spread(folder)
    assert "districts: 1 pairs overlap, 1,441 m2 in all (most: A and B, 1,441 m2)" in said
    assert "ha of emission land" in said
    assert "in no district with totals" in said
    assert np.isnan(cells["output"][:, 3]).all()
    assert np.nansum(cells["output"]) == pytest.approx(56)


def test_a_raster_that_covers_a_part_of_a_district_is_told(folder):
    change(folder, geometry=[strip(-2, 2), strip(2, 4)])
    _, _, result, said = spread(folder)
    assert "land: the raster covers only a part of 1 districts (least of A: 50.0 %)" in said
    assert result["allocated_t"] == 56


def test_land_without_data_is_no_land(folder):
    land = np.zeros((4, 4, 4))
    land[0, 0] = [1, -9, 1, 1]
    write_land(folder / "land.tif", land, nodata=-9)
    table(folder, [("A", "industry", 10)])
    cells, _, _, _ = spread(folder)
    assert cells["output"][0, :2] == near([10, 0])


# Bad input -----------------------------------------------------------------------------------------------------------


def refused(folder, message, **arguments):
    """The job refuses its input in one sentence and leaves nothing behind."""
    before = sorted(folder.iterdir())
    run = Run()
    arguments = {
        "land": str(folder / "land.tif"),
        "districts": str(folder / "districts.gpkg"),
        "totals": str(folder / "totals.csv"),
        "region_field": "district",
        "output": str(folder / "output.tif"),
    } | arguments
    with pytest.raises(InputError, match=message) as error:
        spread_over_land_use(run, **arguments)
    run.discard()
    assert sorted(folder.iterdir()) == before
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"land": "nowhere.tif"}, "land: the file 'nowhere.tif' does not exist"),
        ({"districts": "nowhere.gpkg"}, "districts: the file 'nowhere.gpkg' does not exist"),
        ({"totals_unit": "stone"}, "totals_unit: unit 'stone' is unknown"),
        ({"totals_unit": "ha"}, "totals_unit: unit 'ha' measures area"),
        ({"totals_field": "co2"}, r"totals: field 'co2' does not exist\. Choose one of region, sector, gross_t"),
        ({"totals_region_field": "town"}, "totals_region_field: field 'town' does not exist"),
        ({"region_field": "town"}, "region_field: field 'town' does not exist"),
        ({"region_field": None}, r"region_field: the totals name regions, for example 'A', .* district, people"),
        ({"name_field": "town"}, "name_field: field 'town' does not exist"),
        ({"share_field": "district"}, "share_field: field 'district' holds text, for example 'A'"),
        ({"weight_quantity": "heavy"}, r"weight_quantity: 'heavy' is unknown\. Use one of density, total"),
        ({"weighted_parts": ["sea"]}, r"weighted_parts: 'sea' is unknown\. Use one of industry, city"),
        ({"fallbacks": ["sea"]}, r"fallbacks: 'sea' is unknown\. Use one of emission land of the district"),
        ({"weight": "nowhere.tif"}, "weight: the file 'nowhere.tif' does not exist"),
    ],
)
def test_refuses(folder, arguments, message):
    refused(folder, message, **arguments)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("A", "industry", np.nan)], r"totals: field 'gross_t' has no value in 1 of 1 rows"),
        ([("A", "industry", np.inf)], "totals: field 'gross_t' holds infinite values"),
        ([("A", "industry", -5.0)], "totals: field 'gross_t' holds negative values, for example -5"),
        ([("A", "industry", "much")], "totals: field 'gross_t' holds text, for example 'much'"),
        ([("A", "industry", 0.0)], "totals: all amounts are zero"),
        ([("A", "fishing", 5.0)], r"totals: sector 'fishing' belongs to no part\. Say in a table of parts"),
        ([("A", "industry", 5.0), ("Lihe", "industry", 1.0)], "totals: no district is named 'Lihe'.* 'A', 'B'"),
        ([("A", "industry", 5.0), ("", "industry", 1.0)], "totals: row 2 names no region, but others do"),
        ([], "totals: .* has no features"),
    ],
)
def test_refuses_totals(folder, rows, message):
    table(folder, rows)
    refused(folder, message)


def test_refuses_totals_without_sectors_and_parts(folder):
    table(folder, [("A", 5)], ["region", "coal"])
    refused(folder, r"totals: it has neither a field 'sector' nor one for a part \(its other fields are coal\)")


def test_refuses_totals_of_regions_that_no_field_names(folder):
    """A table of districts whose field of names was not chosen is no table of the whole city."""
    table(folder, [("A", 5, 1), ("B", 6, 1)], ["town", "industry", "city"])
    message = r"totals: it has 2 rows of totals but no field 'region' .* \(totals_region_field\) among town, industry"
    refused(folder, message)


def test_rows_by_sector_without_regions_are_told(folder):
    table(folder, [("A", "industry", 5), ("B", "industry", 6), ("B", "city", 1)], ["town", "sector", "gross_t"])
    _, _, result, said = spread(folder)
    assert "totals: without a field 'region' all rows of a sector are added up" in said
    assert result["total_t"] == 12
    table(folder, [("A", "industry", 5), ("A", "city", 1)], ["town", "sector", "gross_t"])
    assert "totals:" not in spread(folder)[3]


def test_refuses_totals_of_several_years(folder):
    rows = [("A", "industry", 5, 2019), ("A", "industry", 6, 2020)]
    table(folder, rows, ["region", "sector", "gross_t", "year"])
    refused(folder, r"totals: they are of several years \('2019', '2020'\)")


def test_refuses_an_unknown_part(folder):
    pd.DataFrame({"sector": ["steel"], "part": ["moon"]}).to_csv(folder / "parts.csv", index=False)
    refused(folder, "parts_table: the part 'moon' is unknown", parts_table=str(folder / "parts.csv"))


def test_refuses_land_in_two_parts(folder):
    write_land(folder / "land.tif", np.full((4, 4, 4), 0.5))
    refused(folder, "land: the parts' shares of a cell are, or add up to, 2")


def test_refuses_negative_shares(folder):
    write_land(folder / "land.tif", np.full((4, 4, 4), -0.5))
    refused(folder, "land: the parts' shares of a cell are, or add up to, -0.5")


def test_refuses_bands_that_do_not_say_their_part(folder):
    write_land(folder / "land.tif", np.zeros((4, 4, 4)), names=None)
    refused(folder, "land: none of its 4 bands is described as industry, city, agriculture, rural")


def test_refuses_codes_of_land_use(folder):
    write_land(folder / "land.tif", np.full((1, 4, 4), 51), names=None, dtype="int16")
    refused(folder, "land: the value 51 is no part of emission land")


def test_refuses_a_raster_without_crs(folder):
    write_land(folder / "land.tif", np.zeros((4, 4, 4)), crs=None)
    refused(folder, "land: the raster has no CRS")


def test_refuses_infinite_weights(folder):
    write_land(folder / "weight.tif", np.full((1, 4, 4), np.inf), names=None)
    refused(folder, "weight: 'weight' holds infinite values", weight=str(folder / "weight.tif"))


def test_refuses_districts_elsewhere(folder):
    change(folder, geometry=[box(0, 0, 1, 1), box(1, 0, 2, 1)])
    refused(folder, "districts: its extent .* does not overlap the raster's")


def test_refuses_points_as_districts(folder):
    change(folder, geometry=[shapely.Point(WEST, NORTH), shapely.Point(WEST + 50, NORTH - 50)])
    refused(folder, "districts: 2 of 2 features are not polygons")


def test_refuses_a_district_smaller_than_a_cell(folder):
    change(folder, geometry=[strip(0, 2), box(WEST + 91, NORTH - 9, WEST + 94, NORTH - 1)])
    refused(folder, "districts: no cell of the land has its centre in 'B', which has emissions")


def test_refuses_shares_that_are_all_zero(folder):
    change(folder, people=[0, 3])
    refused(folder, "share_field: 'people' is zero in all districts of 'A'", share_field="people")


def test_refuses_one_file_for_two_outputs(folder):
    refused(folder, "is the file of another output too", city=str(folder / "output.tif"))


def test_a_full_disk_is_told(folder, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 0}))
    run = Run()
    with pytest.raises(CarbonError, match="The disk is full"):
        spread_over_land_use(
            run,
            land=str(folder / "land.tif"),
            districts=str(folder / "districts.gpkg"),
            totals=str(folder / "totals.csv"),
            region_field="district",
            output=str(folder / "output.tif"),
        )
    run.discard()
    assert not (folder / "output.tif").exists()


def test_fields_of_the_districts_keep_their_types(folder):
    change(folder, founded=pd.to_datetime(["1961-05-01", None]), people=pd.array([7, None], dtype="Int64"))
    before = pyogrio.read_info(folder / "districts.gpkg")
    spread(folder)
    after = pyogrio.read_info(folder / "made.gpkg")
    assert (
        dict(zip(before["fields"], before["ogr_types"])).items()
        <= dict(zip(after["fields"], after["ogr_types"])).items()
    )
