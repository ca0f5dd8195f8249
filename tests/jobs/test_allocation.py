"""Allocation, files in and files out: a town of eight parcels whose numbers are worked out by hand."""

import datetime

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import pytest
import rasterio
import shapely
from shapely import LineString, MultiPoint, Point, box

from carbon_spatializer.core.errors import InputError
from carbon_spatializer.jobs.allocation import SUZHOU_RULES, allocate_to_parcels
from carbon_spatializer.jobs.run import Run

OSM_CLASSES = SUZHOU_RULES.with_name("classes_osm.csv")
UTM = "EPSG:32650"
WEST, SOUTH, SIZE = 500000, 3400000, 100


def square(column, row, width=1):
    """Squares of 100 m near the central meridian, where UTM areas are 0.08 % too small."""
    x, y = WEST + SIZE * column, SOUTH + SIZE * row
    return box(x, y, x + SIZE * width, y + SIZE)


def place(column, row):
    return Point(WEST + SIZE * column, SOUTH + SIZE * row)


LAND_TYPES = [
    *("industrial land", "industrial land", "urban residential land", "rural homestead"),
    *("road land", "road land", "forest land", "mining land"),
]
POIS = [
    # two factories in parcel 0, one in parcel 1; one on their shared edge, which the western one keeps
    *(((0.5, 0.5), "manufacturing", 10.0), ((0.2, 0.7), "manufacturing", 30.0), ((1.5, 0.5), "manufacturing", 60.0)),
    ((1.0, 0.5), "manufacturing", 0.0),
    # a factory on residential land does not count, nor does one outside
    *(((2.5, 0.5), "manufacturing", 5.0), ((50, 50), "manufacturing", 7.0)),
    # bus stops: two on the first road parcel, none on the second
    *(((0.5, 1.5), "transport facility", 1.0), ((0.6, 1.5), "transport facility", 1.0)),
]
RULES = "sector,subsector,land_type,kind,share,proxy,categories,field,facility_categories\n"


@pytest.fixture
def folder(tmp_path):
    parcels = gpd.GeoDataFrame(
        {"parcel": np.arange(8), "land_type": LAND_TYPES, "district": ["N"] * 4 + ["S"] * 4},
        geometry=[square(column, row) for row in (0, 1) for column in range(4)],
        crs=UTM,
    )
    parcels.to_file(tmp_path / "parcels.gpkg")
    points, categories, employees = zip(*POIS)
    pois = gpd.GeoDataFrame(
        {"name": [f"poi {number}" for number in range(len(POIS))], "category": categories, "employees": employees},
        geometry=[place(*point) for point in points],
        crs=UTM,
    )
    pois.to_file(tmp_path / "pois.gpkg")
    road = LineString([(WEST, SOUTH + 150), (WEST + 200, SOUTH + 150)])
    path = LineString([(WEST, SOUTH + 120), (WEST + 100, SOUTH + 120)])
    lines = gpd.GeoDataFrame({"type": ["primary", "footway"]}, geometry=[road, path], crs=UTM)
    lines.to_file(tmp_path / "lines.gpkg")
    # 2 x 2 cells of 100 m over parcels 2, 3, 6, 7; persons 30 and 10 on the two homes.
    profile = {"driver": "GTiff", "width": 2, "height": 2, "count": 1, "dtype": "float32", "crs": UTM, "nodata": -1}
    transform = rasterio.Affine(SIZE, 0, WEST + 2 * SIZE, 0, -SIZE, SOUTH + 2 * SIZE)
    with rasterio.open(tmp_path / "population.tif", "w", transform=transform, **profile) as dataset:
        dataset.write(np.array([[-1, 5], [30, 10]], dtype="float32"), 1)
    write_totals(
        tmp_path,
        "industry,manufacturing,,80",
        "buildings,residential,,40",
        "transport,road,,60",
        "sink,land sink,,-5",
    )
    return tmp_path


def write_totals(folder, *rows, head="sector,subsector,region,net_t"):
    (folder / "totals.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def write_rules(folder, *rows):
    (folder / "rules.csv").write_text(RULES + "\n".join(rows) + "\n", encoding="utf-8")
    return str(folder / "rules.csv")


def change(folder, layer, crs=None, **columns):
    """Replace columns of a layer, its geometry or its CRS."""
    frame = gpd.read_file(folder / f"{layer}.gpkg").assign(**columns)
    (folder / f"{layer}.gpkg").unlink()
    (frame.to_crs(crs) if crs else frame).to_file(folder / f"{layer}.gpkg")


ALL = {"pois": "pois.gpkg", "lines": "lines.gpkg", "population": "population.tif"}


def allocate(folder, layers=ALL, **arguments):
    """The parcels, the ledger, and what the job said."""
    said = []
    run = Run(said.append)
    arguments = {name: str(folder / file) for name, file in layers.items()} | arguments
    files = {"parcels": folder / "parcels.gpkg", "totals": folder / "totals.csv"} | {
        "output": folder / "out.gpkg",
        "ledger": folder / "ledger.csv",
    }
    result = allocate_to_parcels(run, **{name: str(path) for name, path in files.items()} | arguments)
    run.commit({})
    parcels = gpd.read_file(arguments.get("output", folder / "out.gpkg"))
    return parcels, pd.read_csv(folder / "ledger.csv", keep_default_na=False), said, result


def warnings(said):
    return [reply["text"] for reply in said if reply["type"] == "warning"]


# Hand-worked ----------------------------------------------------------------------------------------------------------


def test_every_proxy_by_hand(folder):
    # Industry 80 t by points 3 : 1. Residents 40 t by persons 30 : 10. Roads 60 t: 100 m of primary road on each
    # parcel, 2 and 0 bus stops, mean 1, so 100 (1 + 2) : 100 = 45 : 15. Forest -5 t. Mining land has no total.
    parcels, ledger, said, result = allocate(folder)
    assert parcels["industry_t"].tolist() == pytest.approx([60, 20, 0, 0, 0, 0, 0, 0])
    assert parcels["buildings_t"].tolist() == pytest.approx([0, 0, 30, 10, 0, 0, 0, 0])
    assert parcels["transport_t"].tolist() == pytest.approx([0, 0, 0, 0, 45, 15, 0, 0])
    assert parcels["gross_t"].tolist() == pytest.approx([60, 20, 30, 10, 45, 15, 0, 0])
    assert parcels["sink_t"].tolist() == pytest.approx([0, 0, 0, 0, 0, 0, 5, 0])
    assert parcels["net_t"].tolist() == pytest.approx([60, 20, 30, 10, 45, 15, -5, 0])
    # One hectare on the plane is 10,008 m2 on the ground: UTM lengths are 0.9996 of the true ones here.
    assert parcels["area_m2"].to_numpy() == pytest.approx(1e4 / 0.9996**2, rel=1e-6)
    assert parcels["intensity_t_ha"].to_numpy() == pytest.approx(parcels["gross_t"] * 0.9996**2, rel=1e-6)
    assert parcels["rule"].tolist() == [
        *["industry/manufacturing: poi_count"] * 2,
        *["buildings/residential: raster"] * 2,
        *["transport/road: length"] * 2,
        *["sink/land sink: area", "none"],
    ]
    assert parcels["fallback_t"].tolist() == [0] * 8
    assert list(parcels.columns) == [
        *("parcel", "land_type", "district", "buildings_t", "industry_t", "transport_t", "gross_t", "sink_t", "net_t"),
        *("area_m2", "intensity_t_ha", "rule", "fallback_t", "geometry"),
    ]
    assert parcels.crs == UTM
    assert ledger.columns.tolist() == [
        *("region", "sector", "subsector", "land_type", "rule", "in_t", "allocated_t", "fallback_t"),
        *("unallocated_t", "relative_error"),
    ]
    assert ledger["in_t"].tolist() == pytest.approx([10, 30, 80, -5, 60])
    assert (ledger["relative_error"].abs() < 1e-9).all()
    assert "1 of 8 points lie outside" in " ".join(warnings(said))
    assert result["gross_t"] == pytest.approx(180)
    assert result["styles"]["output"]["field"] == "intensity_t_ha"
    progress = [reply["fraction"] for reply in said if reply["type"] == "progress"]
    assert progress == pytest.approx(sorted(progress))


def test_only_parcels_and_totals(folder):
    """Without any other layer everything falls back to area, and nothing is lost."""
    parcels, ledger, said, _ = allocate(folder, layers={})
    assert parcels["gross_t"].tolist() == pytest.approx([40, 40, 20, 20, 30, 30, 0, 0], rel=1e-6)
    assert parcels["fallback_t"].tolist() == pytest.approx([40, 40, 20, 20, 30, 30, 0, 0], rel=1e-6)
    assert parcels["rule"][0] == "industry/manufacturing: area (fallback)"
    assert ledger["fallback_t"].sum() == pytest.approx(180)
    assert [text.split(":")[0] for text in warnings(said)] == ["pois", "population", "lines"]
    assert "industry/manufacturing are spread by the fallback cascade" in warnings(said)[0]


def test_lengths_without_correction(folder):
    # 100 m on each road parcel: 30 : 30. Beta 0.5: 100 (1 + 1) : 100 = 40 : 20.
    assert allocate(folder, beta=0.0)[0]["transport_t"][[4, 5]].tolist() == pytest.approx([30, 30])
    assert allocate(folder, beta=0.5)[0]["transport_t"][[4, 5]].tolist() == pytest.approx([40, 20])
    parcels, _, said, _ = allocate(folder, layers={"lines": "lines.gpkg"})
    assert parcels["transport_t"][[4, 5]].tolist() == pytest.approx([30, 30])
    assert "lengths are not corrected" in " ".join(warnings(said))


def test_points_by_weight_and_parcels_by_field(folder):
    # Employees 10 + 30 + 0 : 60 of 80 t = 32 : 48. A field of the parcels 1 : 3 with a gap that weighs zero.
    rules = write_rules(
        folder,
        "industry,manufacturing,industrial land,emission,,poi_weight,manufacturing,employees,",
        "buildings,residential,*,emission,,field,,dwellings,",
        "transport,road,road land,emission,,area,,,",
        "sink,land sink,forest land,sink,,area,,,",
    )
    change(folder, "parcels", dwellings=[0, 0, 1, 3, None, 0, 0, 0])
    parcels, _, said, _ = allocate(folder, rules=rules)
    assert parcels["industry_t"][[0, 1]].tolist() == pytest.approx([32, 48])
    assert parcels["buildings_t"].tolist() == pytest.approx([0, 0, 10, 30, 0, 0, 0, 0])
    assert parcels["rule"][2] == "buildings/residential: field dwellings"
    assert "1 parcels have no value in 'dwellings' and weigh zero" in " ".join(warnings(said))


def test_totals_by_region(folder):
    # The north has industrial land: 3 : 1. The south has none: 8 t by area over its four parcels.
    write_totals(folder, "industry,manufacturing,N,40", "industry,manufacturing,S,8", "sink,land sink,,-5")
    parcels, ledger, _, _ = allocate(folder, region_field="district")
    assert parcels["industry_t"].tolist() == pytest.approx([30, 10, 0, 0, 2, 2, 2, 2])
    assert parcels["fallback_t"].tolist() == pytest.approx([0, 0, 0, 0, 2, 2, 2, 2])
    assert ledger["region"].tolist() == ["", "N", "S"]
    assert ledger["rule"].tolist() == ["area", "poi_count", "area of the whole region (fallback)"]


def test_regions_are_matched_as_text(folder):
    write_totals(folder, "industry,manufacturing,320505,40")
    change(folder, "parcels", district=[320505] * 8)
    assert allocate(folder, region_field="district")[0]["industry_t"][0] == pytest.approx(30)
    change(folder, "parcels", district=[320505.0] * 7 + [None])
    parcels, _, said, _ = allocate(folder, region_field="district")
    assert parcels["industry_t"][0] == pytest.approx(30)
    assert "1 parcels lie in regions without a total" in " ".join(warnings(said))


def test_the_cascade_is_a_choice(folder):
    # No persons on the homes: points of residential communities (none), then the raster is out, so area. With
    # length in the cascade the road along parcel 2 would count.
    change(folder, "lines", geometry=[square(2, 0).boundary, square(2, 0).boundary])
    layers = {"lines": "lines.gpkg"}
    assert allocate(folder, layers)[0]["buildings_t"][[2, 3]].tolist() == pytest.approx([20, 20])
    parcels = allocate(folder, layers, fallback=["length"])[0]
    # Both lines are 400 m around parcel 2 and share 100 m of edge with parcel 3: 800 : 200.
    assert parcels["buildings_t"][[2, 3]].tolist() == pytest.approx([32, 8])
    assert parcels["rule"][2] == "buildings/residential: length (fallback)"


def test_unit_and_field_of_the_totals(folder):
    write_totals(folder, "industry,manufacturing,0.04", head="sector,subsector,emission")
    parcels = allocate(folder, totals_field="emission", totals_unit="10^4 t")[0]
    assert parcels["gross_t"].sum() == pytest.approx(400)


def test_degrees_give_the_same_result(folder):
    expected = allocate(folder)[0]
    for name in ("parcels", "pois", "lines"):
        change(folder, name, crs="EPSG:4326")
    parcels = allocate(folder)[0]
    assert parcels.crs == "EPSG:4326"
    # A point on an edge falls on either side once the edge is rounded to degrees.
    columns = ["buildings_t", "transport_t", "sink_t", "area_m2"]
    np.testing.assert_allclose(parcels[columns], expected[columns], rtol=1e-6)
    assert parcels["gross_t"].sum() == pytest.approx(180)


def test_layers_in_different_crs(folder):
    expected = allocate(folder)[0]
    change(folder, "lines", crs="EPSG:3857")
    change(folder, "pois", geometry=[place(x - 0.01 * (x == 1), y) for (x, y), *_ in POIS])
    change(folder, "pois", crs="EPSG:4490")
    parcels = allocate(folder)[0]
    np.testing.assert_allclose(parcels["gross_t"], expected["gross_t"], rtol=1e-6)


def test_classes_translate_the_values_of_all_three_fields(folder):
    plain = allocate(folder)[0]
    names = {name: f"kind {number}" for number, name in enumerate(dict.fromkeys(LAND_TYPES))}
    change(folder, "parcels", land_type=[names[name] for name in LAND_TYPES])
    change(folder, "pois", category=["works" if name == "manufacturing" else "bus_stop" for _, name, _ in POIS])
    # "footway" has no class and stays what no rule knows; "primary" needs none.
    change(folder, "lines", type=["primary_link", "footway"])
    rows = [f"{code},{name},," for name, code in names.items()]
    rows += ["works,,manufacturing,", "bus_stop,,transport facility,", "primary_link,,,primary"]
    (folder / "classes.csv").write_text("\n".join(["value,land_type,category,line_type", *rows]), encoding="utf-8")
    translated = allocate(folder, classes=str(folder / "classes.csv"))[0]
    for column in ("gross_t", "sink_t", "rule"):
        assert translated[column].tolist() == plain[column].tolist()
    assert translated["land_type"].tolist() == [names[name] for name in LAND_TYPES]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("land_type\nforest land\n", "Parameter classes: field 'value' does not exist"),
        ("value,note\nwood,green\n", "Parameter classes: it has no column of classes"),
        ("value,land_type\nwood,forest land\nwood,water\n", "Parameter classes: the value 'wood' has two rows"),
    ],
)
def test_bad_classes_are_refused(folder, table, sentence):
    (folder / "classes.csv").write_text(table, encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        allocate(folder, classes=str(folder / "classes.csv"))
    assert not (folder / "out.gpkg").exists()


def test_classes_for_openstreetmap_name_only_what_the_rules_know():
    table = pd.read_csv(OSM_CLASSES, keep_default_na=False)
    rules = pd.read_csv(SUZHOU_RULES, keep_default_na=False)
    assert table["value"].is_unique
    known = {
        "land_type": {*rules["land_type"].str.split("|").explode()},
        "category": {*rules["categories"].str.split("|").explode(), "transport facility"},
        "line_type": {*rules["categories"].str.split("|").explode()},
    }
    for column, names in known.items():
        assert set(table[column]) <= names | {""}


def test_own_fields_pass_through_unchanged(folder):
    frame = gpd.read_file(folder / "parcels.gpkg").assign(
        whole=pd.array([2**60 + 1, *[None] * 7], dtype="Int64"),
        built=pd.array([datetime.date(1999, 5, 17), *[None] * 7], dtype=pd.ArrowDtype(pa.date32())),
        open=pd.array([True, False, *[None] * 6], dtype="boolean"),
        note=["工业区 🏭", *[None] * 7],
        gross_t=1.0,
    )
    (folder / "parcels.gpkg").unlink()
    frame.to_file(folder / "parcels.gpkg", use_arrow=True)
    parcels, _, said, _ = allocate(folder)
    before, after = (pyogrio.read_info(folder / name) for name in ("parcels.gpkg", "out.gpkg"))
    types = [dict(zip(info["fields"], zip(info["ogr_types"], info["ogr_subtypes"]))) for info in (before, after)]
    for name in ("parcel", "land_type", "whole", "built", "open", "note"):
        assert types[0][name] == types[1][name]
    kept = pyogrio.read_dataframe(
        folder / "out.gpkg", use_arrow=True, arrow_to_pandas_kwargs={"types_mapper": pd.ArrowDtype}
    )
    assert kept["whole"].tolist()[0] == 2**60 + 1
    assert kept["built"].tolist()[0] == datetime.date(1999, 5, 17)
    assert kept["note"].tolist()[0] == "工业区 🏭"
    assert kept["whole"].isna().sum() == 7
    assert "the fields gross_t are replaced" in " ".join(warnings(said))
    assert parcels["gross_t"].sum() == pytest.approx(180)
    assert shapely.equals(parcels.geometry.array, frame.geometry.array).all()


def test_invalid_polygons_are_repaired_and_count_once(folder):
    bow = shapely.Polygon([(WEST, SOUTH), (WEST + 100, SOUTH + 100), (WEST + 100, SOUTH), (WEST, SOUTH + 100)])
    frame = gpd.read_file(folder / "parcels.gpkg")
    change(folder, "parcels", geometry=[bow, *frame.geometry[1:]])
    parcels, _, said, _ = allocate(folder, layers={})
    # The bow tie has half the area of a square: 80 t by 1 : 2.
    assert parcels["industry_t"][[0, 1]].tolist() == pytest.approx([80 / 3, 160 / 3], rel=1e-6)
    assert "1 invalid polygons were repaired" in " ".join(warnings(said))


def test_unknown_land_types_are_counted(folder):
    change(folder, "parcels", land_type=[*LAND_TYPES[:6], "moon", "moon"])
    said = allocate(folder)[2]
    assert "2 parcels have a land type that no rule knows" in " ".join(warnings(said))
    assert "'moon' (2)" in " ".join(warnings(said))


def test_names_that_nothing_has_are_told(folder):
    change(folder, "pois", category="shop")
    change(folder, "lines", type=["path", "path"])
    text = " ".join(warnings(allocate(folder)[2]))
    assert "no point has the category 'manufacturing', 'residential community', 'transport facility'" in text
    assert "no line has the type 'motorway', 'trunk', 'primary'" in text


def test_duplicates_within_a_distance_count_once(folder):
    # The three factories of parcel 0 get one name; their steps are 36 m and 54 m, so that at 60 m they are one place,
    # and the parcels have 1 : 1 factories.
    names = ["mill", "mill", "other", "mill", "a", "b", "c", "d"]
    change(folder, "pois", name=names)
    parcels, _, said, _ = allocate(folder, duplicate_distance=60.0)
    assert parcels["industry_t"][[0, 1]].tolist() == pytest.approx([40, 40])
    assert any("2 points repeat another of the same name" in reply["text"] for reply in said)


def test_points_of_other_geometry_types(folder):
    expected = allocate(folder)[0]["gross_t"].tolist()
    frame = gpd.read_file(folder / "pois.gpkg")
    change(folder, "pois", geometry=[MultiPoint([point]) for point in frame.geometry])
    assert allocate(folder)[0]["gross_t"].tolist() == pytest.approx(expected)
    (folder / "pois.gpkg").unlink()
    frame.geometry = shapely.force_3d(frame.geometry.array, 7.0)
    extra = gpd.GeoDataFrame({"name": ["x"], "category": [None], "employees": [1.0]}, geometry=[None], crs=UTM)
    pd.concat([frame, extra]).to_file(folder / "pois.gpkg")
    parcels, _, said, _ = allocate(folder)
    assert parcels["gross_t"].tolist() == pytest.approx(expected)
    assert "1 features without a geometry" in " ".join(warnings(said))


@pytest.mark.parametrize("name", ["out.shp", "out.geojson", "out.fgb", "结果 🏙.gpkg"])
def test_other_outputs(folder, name):
    parcels = allocate(folder, output=str(folder / name))[0]
    assert len(parcels) == 8
    assert parcels["gross_t"].sum() == pytest.approx(180)


def test_a_result_can_be_the_input(folder):
    parcels = allocate(folder)[0]
    (folder / "parcels.gpkg").unlink()
    (folder / "out.gpkg").rename(folder / "parcels.gpkg")
    again = allocate(folder)[0]
    pd.testing.assert_frame_equal(parcels.drop(columns="geometry"), again.drop(columns="geometry"))


def test_suzhou_rules_know_every_subsector(folder):
    # Every subsector of Table 2 in one run, on a town without the land of most: nothing is lost.
    rules = pd.read_csv(SUZHOU_RULES)
    rows = [
        f"{sector},{subsector},,{-10 if sector == 'sink' else 10}"
        for sector, subsector in rules[["sector", "subsector"]].drop_duplicates().itertuples(index=False)
    ]
    write_totals(folder, *rows)
    parcels, ledger, _, _ = allocate(folder)
    assert parcels["gross_t"].sum() == pytest.approx(10 * (rules["sector"] != "sink").sum())
    assert parcels["sink_t"].sum() == pytest.approx(20)
    assert ledger["unallocated_t"].abs().sum() == 0


# Bad inputs -----------------------------------------------------------------------------------------------------------


def bad_population(folder, **profile):
    with rasterio.open(folder / "population.tif") as dataset:
        cells, own = dataset.read(1), dataset.profile
    with rasterio.open(folder / "population.tif", "w", **own | profile) as dataset:
        dataset.write(cells, 1)


def bad_points(folder):
    frame = gpd.read_file(folder / "pois.gpkg")
    change(folder, "pois", geometry=[MultiPoint([point, place(3, 0)]) for point in frame.geometry])


def text_file(folder):
    (folder / "totals.csv").write_text("", encoding="utf-8")


def no_crs(folder, name):
    frame = gpd.read_file(folder / f"{name}.gpkg")
    (folder / f"{name}.gpkg").unlink()
    frame.set_crs(None, allow_override=True).to_file(folder / f"{name}.gpkg")


def far_away(folder, name):
    frame = gpd.read_file(folder / f"{name}.gpkg")
    change(folder, name, geometry=frame.geometry.translate(1e5, 0))


def field_rule(folder):
    write_totals(folder, "industry,manufacturing,,80")
    return write_rules(folder, "industry,manufacturing,*,emission,,field,,dwellings,")


WEIGHT_RULE = "industry,manufacturing,*,emission,,poi_weight,,employees,"
BAD = {
    "parcels: missing file": (None, {"parcels": "nowhere.gpkg"}, "Parameter parcels: the file 'nowhere.gpkg' does not"),
    "parcels: a table": (
        None,
        {"parcels": "{folder}/totals.csv"},
        "Parameter parcels: '{folder}/totals.csv' has no geom",
    ),
    "parcels: points": (None, {"parcels": "{folder}/pois.gpkg"}, "Parameter parcels: 8 of 8 features are not polygons"),
    "parcels: no CRS": (lambda f: no_crs(f, "parcels"), {}, "Parameter parcels: the layer has no CRS"),
    "parcels: land type": (None, {"land_type_field": "use"}, "Parameter parcels: field 'use' does not exist"),
    "parcels: region": (None, {"region_field": "county"}, "Parameter parcels: field 'county' does not exist"),
    "parcels: no weight field": (field_rule, {}, "Parameter parcels: field 'dwellings' does not exist"),
    "parcels: negative weights": (
        lambda f: change(f, "parcels", dwellings=-2.0) or field_rule(f),
        {},
        "Parameter parcels: field 'dwellings' holds negative values, for example -2 in row 1",
    ),
    "parcels: text weights": (
        lambda f: change(f, "parcels", dwellings="many") or field_rule(f),
        {},
        "Parameter parcels: field 'dwellings' holds text, for example 'many'",
    ),
    "totals: missing file": (
        None,
        {"totals": "nowhere.csv"},
        "Parameter totals: the file 'nowhere.csv' does not exist",
    ),
    "totals: empty": (text_file, {}, "Parameter totals: "),
    "totals: no amount": (None, {"totals_field": "co2"}, "Parameter totals: field 'co2' does not exist"),
    "totals: no sector": (
        lambda f: write_totals(f, "a,1", head="name,net_t"),
        {},
        "Parameter totals: field 'sector' does not exist. Choose one of name, net_t.",
    ),
    "totals: text amount": (
        lambda f: write_totals(f, "industry,manufacturing,,much"),
        {},
        "Parameter totals: field 'net_t' holds text, for example 'much'",
    ),
    "totals: blank amount": (
        lambda f: write_totals(f, "industry,manufacturing,,80", "industry,manufacturing,,"),
        {},
        "Parameter totals: field 'net_t' has no value in 1 of 2 rows (first in row 2)",
    ),
    "totals: negative emission": (
        lambda f: write_totals(f, "industry,manufacturing,,-80"),
        {},
        "Parameter totals: the emission of industry/manufacturing is -80 t. Only sinks may be negative",
    ),
    "totals: mixed sinks": (
        lambda f: write_totals(f, "sink,land sink,,-80", "sink,crop sink,,8"),
        {},
        "Parameter totals: sector 'sink' is a sink and has both positive and negative amounts",
    ),
    "totals: unknown sector": (
        lambda f: write_totals(f, "steel,,,80"),
        {},
        "Parameter totals: the sector 'steel' is unknown. Use those that the rules know: agriculture, buildings, "
        "industry, sink, transport, waste.",
    ),
    "totals: unknown subsector": (
        lambda f: write_totals(f, "industry,steel,,80"),
        {},
        "Parameter totals: the subsector of industry 'steel' is unknown. Use those that the rules know: manufacturing, "
        "mining, supply.",
    ),
    "totals: unknown land type": (
        lambda f: write_totals(f, "industry,manufacturing,forest,80", head="sector,subsector,land_type,net_t"),
        {},
        "Parameter totals: the land type of industry/manufacturing 'forest' is unknown",
    ),
    "totals: unknown regions": (
        lambda f: write_totals(f, "industry,manufacturing,X,1", "industry,manufacturing,Y,1"),
        {"region_field": "district"},
        "Parameter totals: the region 'X', 'Y' is unknown. Use those that the parcels have: N, S.",
    ),
    "totals: regions without a field": (
        lambda f: write_totals(f, "industry,manufacturing,N,1"),
        {},
        "Parameter region_field: the totals name regions (N), but no field tells the parcels' region",
    ),
    "totals: one total for two units": (
        lambda f: write_totals(f, "buildings,,,80"),
        {},
        "Parameter rules: the total of buildings would be split by raster and poi_count, which have no common unit. "
        "Give the totals by subsector, or each of these rules a share.",
    ),
    "totals: unit": (None, {"totals_unit": "barrels"}, "Parameter totals_unit: unit 'barrels' is unknown"),
    "totals: unit of energy": (None, {"totals_unit": "MWh"}, "Parameter totals_unit: unit 'MWh' measures energy"),
    "rules: wrong table": (None, {"rules": "{folder}/totals.csv"}, "Parameter rules: the rules table has no column"),
    "rules: unknown proxy": (
        lambda f: write_rules(f, "industry,manufacturing,*,emission,,nights,,,"),
        {},
        "Parameter rules: row 1 has the proxy 'nights'. Use one of poi_count",
    ),
    "pois: lines": (None, {"pois": "{folder}/lines.gpkg"}, "Parameter pois: field 'category' does not exist"),
    "pois: several points each": (
        bad_points,
        {},
        "Parameter pois: it has features that are not single points, but Multi",
    ),
    "pois: no CRS": (lambda f: no_crs(f, "pois"), {}, "Parameter pois: the layer has no CRS"),
    "pois: elsewhere": (lambda f: far_away(f, "pois"), {}, "Parameter pois: none of the 8 points lies inside a parcel"),
    "pois: no category": (None, {"poi_category_field": "kind"}, "Parameter pois: field 'kind' does not exist"),
    "pois: negative weights": (
        lambda f: change(f, "pois", employees=-1.0) or write_totals(f, "industry,,,1") or write_rules(f, WEIGHT_RULE),
        {},
        "Parameter pois: field 'employees' holds negative values",
    ),
    "lines: elsewhere": (lambda f: far_away(f, "lines"), {}, "Parameter lines: its extent ("),
    "lines: points": (None, {"lines": "{folder}/pois.gpkg"}, "Parameter lines: field 'type' does not exist"),
    "population: no raster": (
        None,
        {"population": "{folder}/totals.csv"},
        "Parameter population: '{folder}/totals.csv'",
    ),
    "population: below zero": (
        lambda f: bad_population(f, nodata=-9999),
        {},
        "Parameter population: it has cells below zero, for example -1",
    ),
    "population: no CRS": (lambda f: bad_population(f, crs=None), {}, "Parameter population: the raster has no CRS"),
    "population: elsewhere": (
        lambda f: bad_population(f, transform=rasterio.Affine(1, 0, 0, 0, -1, 0)),
        {},
        "Parameter population: its extent (0, -2, 2, 0) does not overlap the parcels",
    ),
    "beta": (None, {"beta": -1}, "Parameter beta: -1 is below zero"),
    "fallback": (None, {"fallback": ["nights"]}, "Parameter fallback: the proxy 'nights' is unknown"),
    "output: type": (None, {"output": "{folder}/out.xyz"}, "Parameter output: the file type '.xyz' is unknown"),
    "output: a folder": (None, {"output": "{folder}"}, "Parameter output: '{folder}' is a folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_its_sentence_and_no_output(folder, case):
    prepare, arguments, sentence = BAD[case]
    rules = prepare(folder) if prepare else None
    arguments = {
        name: value.format(folder=folder) if isinstance(value, str) else value for name, value in arguments.items()
    }
    if rules:
        arguments["rules"] = rules
    files = {path.name for path in folder.iterdir()}
    with pytest.raises(InputError) as refusal:
        allocate(folder, **arguments)
    text = str(refusal.value)
    assert text.startswith(sentence.format(folder=folder)), text
    assert "\n" not in text
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".carbon-")} == files
