"""Global and local Moran's I, files in and files out: published values, masks, categories, strata, refusals."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from libpysal import examples

from carbon_spatializer.core.errors import InputError
from carbon_spatializer.jobs.run import Run
from carbon_spatializer.jobs.statistics import global_morans_i, local_morans_i

CRS = "EPSG:32650"
SIDE = 10


def grid(size: float = 100.0, gap: float = 0.0) -> np.ndarray:
    """10 x 10 squares from the south-west, row by row."""
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    west, south = 500_000 + size * column, 3_400_000 + size * row
    return shapely.box(west + gap / 2, south + gap / 2, west + size - gap / 2, south + size - gap / 2)


@pytest.fixture
def frame():
    """100 ha of cells: a block of 3 x 3 high values in the south-west, noise elsewhere, and fields for every option."""
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    rng = np.random.default_rng(0)
    block = (row < 3) & (column < 3)
    return gpd.GeoDataFrame(
        {
            "unit": [f"u{n}" for n in range(100)],
            "co2_t": np.where(block, 50 + row + column, rng.uniform(0, 10, 100)),
            "noise": rng.normal(size=100),
            "firms": rng.integers(1, 20, 100).astype(float),
            "constant": 3.5,
            "none": np.nan,
            "sector": np.where(column < 5, "C13", "C26"),
            "ring": np.where(row < 5, "urban", "rural"),
            "same": "u",
            "blank": "",
        },
        geometry=grid(),
        crs=CRS,
    )


@pytest.fixture
def save(tmp_path):
    """Write a frame and give its path."""

    def write(frame, name="units.gpkg"):
        frame.to_file(tmp_path / name)
        return str(tmp_path / name)

    return write


class Log(Run):
    """A run that keeps what it said."""

    def __init__(self):
        self.said = {"info": [], "warning": [], "progress": []}
        super().__init__(lambda reply: self.said[reply["type"]].append(reply.get("text") or reply.get("fraction")))

    def text(self, kind="warning"):
        return "\n".join(map(str, self.said[kind]))


def local(tmp_path, source, **arguments):
    run = Log()
    arguments = {"fields": "co2_t", "permutations": 999} | arguments
    arguments |= {name: str(tmp_path / f"{name}.{end}") for name, end in (("table", "csv"), ("report", "html"))}
    result = local_morans_i(run, input=source, output=str(tmp_path / "out.gpkg"), **arguments)
    run.commit({})
    return gpd.read_file(tmp_path / "out.gpkg"), pd.read_csv(tmp_path / "table.csv"), result, run


def overall(tmp_path, source, **arguments):
    run = Log()
    arguments = {"fields": "co2_t", "report": str(tmp_path / "report.html")} | arguments
    result = global_morans_i(run, input=source, output=str(tmp_path / "out.csv"), **arguments)
    run.commit({})
    return pd.read_csv(tmp_path / "out.csv"), result, run


# Published values, from the files that ship inside libpysal ---------------------------------------------------------


def sids() -> dict:
    return {"path": examples.get_path("sids2.shp"), "crs": "EPSG:4267"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"fields": "SIDR74"}, 0.24772519320480135),
        ({"fields": "SIDR74", "second_field": "SIDR79"}, 0.19362610652874668),
        ({"fields": "NWR79", "second_field": "SIDR74"}, 0.37701382542927858),
        (
            {"fields": "SID79", "divide_by": "field", "base_field": "BIR79", "rate": "empirical Bayes"},
            0.16622343552567395,
        ),
    ],
)
def test_published_values_of_sids(tmp_path, arguments, expected):
    weights_file = examples.get_path("sids2.gal")
    table, result, _ = overall(tmp_path, sids(), weights="file", weights_file=weights_file, **arguments)
    assert table["moran_i"][0] == pytest.approx(expected, abs=1e-12)
    assert result["moran_i"] == pytest.approx(expected, abs=1e-12)
    _, counts, result, _ = local(tmp_path, sids(), weights="file", weights_file=weights_file, **arguments)
    assert counts["moran_i"][0] == pytest.approx(expected, abs=1e-12)


def test_ids_of_a_weights_file_are_matched_not_counted(tmp_path, save):
    # The rows in another order give the same value, because the file names the field with the ids (FIPSNO).
    shuffled = gpd.read_file(examples.get_path("sids2.shp")).set_crs(4267).sample(frac=1, random_state=1)
    shuffled["FIPSNO"] = shuffled["FIPSNO"].astype(float)
    options = {"fields": "SIDR74", "weights": "file", "weights_file": examples.get_path("sids2.gal")}
    table, _, run = overall(tmp_path, save(shuffled), **options)
    assert table["moran_i"][0] == pytest.approx(0.24772519320480135, abs=1e-12)
    assert "units by field 'FIPSNO'" in run.text("info")


def test_gwt_file(tmp_path, save):
    # Four units on a line at 0, 1, 3, 7; the file gives inverse distances, which differ within a unit.
    places = np.array([0.0, 1, 3, 7, 9, 10])
    lines = [
        f"{i + 1} {j + 1} {1 / abs(a - b):.9f}" for i, a in enumerate(places) for j, b in enumerate(places) if i != j
    ]
    (tmp_path / "w.gwt").write_text(f"0 {len(places)} units id\n" + "\n".join(lines) + "\n")
    frame = gpd.GeoDataFrame({"v": [1.0, 2, 5, 3, 9, 4]}, geometry=gpd.points_from_xy(places, 0 * places), crs=CRS)
    layer, _, _, run = local(
        tmp_path, save(frame), fields="v", weights="file", weights_file=str(tmp_path / "w.gwt"), permutations=99
    )
    w = 1 / np.abs(places[0] - places[1:])
    z = (frame["v"] - frame["v"].mean()) / frame["v"].std(ddof=0)
    assert layer["lag"][0] == pytest.approx((w * z[1:]).sum() / w.sum())
    assert "esda's conditional permutation" in run.text("info")
    assert "units by row number from 1" in run.text("info")


# Results ------------------------------------------------------------------------------------------------------------


def test_block_of_high_values_is_found(tmp_path, save, frame):
    layer, table, result, run = local(tmp_path, save(frame), permutations=99_999)
    assert layer.crs == CRS
    assert layer["unit"].tolist() == frame["unit"].tolist()
    assert layer["cluster"].loc[[0, 1, 10, 11]].tolist() == ["HH"] * 4
    assert result["hh"] == (layer["cluster"] == "HH").sum() >= 6
    assert (layer["cluster"].isin(["HH", "LL", "HL", "LH"]) == (layer["q"] <= 0.05)).all()
    assert (layer["q"] >= layer["p"]).all()
    assert layer["neighbours"].iloc[[0, 1, 11]].tolist() == [3, 5, 8]
    assert layer["moran_i"].to_numpy() == pytest.approx(layer["z"] * layer["lag"])
    # Row 11, in the middle of the block: its lag is the mean z of the eight around it.
    around = [0, 1, 2, 10, 12, 20, 21, 22]
    assert layer["lag"][11] == pytest.approx(layer["z"][around].mean())
    assert layer["moran_i"].mean() == pytest.approx(result["moran_i"])
    assert "exact shared-table permutation" in run.text("info")
    assert table["engine"][0] == "shared table"
    style = result["styles"]["output"]
    assert (style["kind"], style["field"]) == ("categories", "cluster")
    assert {value: colour for value, colour, _ in style["classes"]}["HH"] == "#ff0000"
    assert set(layer["cluster"]) <= {value for value, _, _ in style["classes"]}
    assert run.said["progress"]


def test_reports_hold_pictures_and_tables(tmp_path, save, frame):
    source = save(frame)
    local(tmp_path, source, stratum_field="ring")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count("<img") == 3  # shares per stratum, map, scatter
    assert "HH: high values among high ones" in html
    assert html.count("<table>") == 1
    overall(tmp_path, source, stratum_field="ring")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count("<img") == 3  # all, rural, urban


def test_same_seed_same_result_other_seed_other_p(tmp_path, save, frame):
    source = save(frame)
    first, again, other = (local(tmp_path, source, seed=seed)[0]["p"] for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_ddof_scales_i_and_nothing_else(tmp_path, save, frame):
    source = save(frame)
    population, sample = (local(tmp_path, source, ddof=ddof)[0] for ddof in (0, 1))
    assert sample["moran_i"].to_numpy() == pytest.approx(population["moran_i"] * 99 / 100)
    assert sample["p"].tolist() == population["p"].tolist()


def test_directed_p_is_half_of_two_sided(tmp_path, save, frame):
    source = save(frame)
    two, one = (local(tmp_path, source, alternative=name)[0]["p"] for name in ("two-sided", "directed"))
    assert two.to_numpy() == pytest.approx(np.minimum(1, 2 * one))


def test_intensity_per_hectare_and_per_field(tmp_path, save, frame):
    # Cells of 100 m: 1 ha on the map, but UTM is 0.04 % too small at its central meridian.
    layer, *_ = local(tmp_path, save(frame), divide_by="area")
    assert layer["moran_x"].to_numpy() == pytest.approx(frame["co2_t"], rel=1e-3)
    assert layer["moran_x"].to_numpy() != pytest.approx(frame["co2_t"], rel=1e-5)
    layer, *_ = local(tmp_path, save(frame), divide_by="field", base_field="firms", transform="rank")
    assert layer["moran_x"].to_numpy() == pytest.approx((frame["co2_t"] / frame["firms"]).rank())


@pytest.mark.parametrize("weights", ["queen", "rook", "nearest", "distance", "kernel"])
@pytest.mark.parametrize("row_standardised", [True, False])
def test_all_weights_run(tmp_path, save, frame, weights, row_standardised):
    source = save(frame)
    layer, table, _, run = local(tmp_path, source, weights=weights, row_standardised=row_standardised)
    assert layer["p"].notna().all()
    rows, result, _ = overall(tmp_path, source, weights=weights, row_standardised=row_standardised, permutations=99)
    assert result["moran_i"] == pytest.approx(table["moran_i"][0])
    expected = {"queen": 684, "rook": 360, "nearest": 800, "distance": 360, "kernel": 0}[weights]
    if expected:
        assert rows["links"][0] == expected
    if weights == "distance":
        assert "Distance band: 100.0 m, the shortest" in run.text("info")


def test_points_take_their_nearest_neighbours(tmp_path, save, frame):
    points = frame.set_geometry(frame.geometry.centroid)
    layer, _, _, run = local(tmp_path, save(points), k=4)
    assert (layer["neighbours"] == 4).all()
    assert layer.geom_type.unique().tolist() == ["Point"]
    assert "4 nearest neighbours" in run.text("info")


def test_snap_tolerance_joins_parcels_with_gaps(tmp_path, save, frame):
    apart = frame.set_geometry(grid(gap=2.0))
    apart.crs = CRS
    layer, *_ = local(tmp_path, save(apart), snap_m=3)
    assert layer["neighbours"].sum() == 684
    # In degrees the tolerance is still in metres.
    layer, *_ = local(tmp_path, save(apart.to_crs(4326), "degrees.gpkg"), snap_m=3)
    assert layer["neighbours"].sum() == 684


def test_distance_in_metres_on_a_map_in_feet(tmp_path, save, frame):
    # 100 US survey feet are 30.48 m: at 31 m each cell has its four neighbours, at 30 m none.
    feet = gpd.GeoDataFrame(frame.drop(columns="geometry"), geometry=grid(), crs="EPSG:2263")
    source = save(feet)
    rows, *_ = overall(tmp_path, source, weights="distance", distance_m=31, permutations=99)
    assert rows["links"][0] == 360
    with pytest.raises(InputError, match="no unit has a neighbour"):
        overall(tmp_path, source, weights="distance", distance_m=30, permutations=99)


def test_bivariate_reports_r_and_lees_l(tmp_path, save, frame):
    from esda.moran import Moran_BV
    from libpysal.graph import Graph

    source = save(frame)
    graph = Graph.build_contiguity(frame, rook=False)
    expected = Moran_BV(frame["co2_t"].to_numpy(), frame["firms"].to_numpy(), graph, permutations=0).I
    rows, result, _ = overall(tmp_path, source, second_field="firms")
    assert rows["moran_i"][0] == pytest.approx(expected)
    assert rows["r"][0] == pytest.approx(np.corrcoef(frame["co2_t"], frame["firms"])[0, 1])
    assert np.isfinite(rows["lees_l"][0])
    layer, table, *_ = local(tmp_path, source, second_field="firms")
    assert table["moran_i"][0] == pytest.approx(expected)
    assert table[["r", "lees_l"]].iloc[0].tolist() == pytest.approx(rows[["r", "lees_l"]].iloc[0].tolist())
    assert "Lee's L" in result["summary"]
    z = (frame["firms"] - frame["firms"].mean()) / frame["firms"].std(ddof=0)
    assert layer["lag"][11] == pytest.approx(z[[0, 1, 2, 10, 12, 20, 21, 22]].mean())


def test_each_field_is_a_variable_of_its_own(tmp_path, save, frame):
    source = save(frame)
    layer, table, *_ = local(tmp_path, source, fields=["co2_t", "firms"])
    alone, *_ = local(tmp_path, source, fields="firms")
    assert layer["firms_moran_i"].tolist() == pytest.approx(alone["moran_i"].tolist())
    assert table["variable"].tolist() == ["co2_t", "firms"]
    rows, *_ = overall(tmp_path, source, fields=["co2_t", "firms"])
    assert rows["variable"].tolist() == ["co2_t", "firms"]
    # q over two tests: the smaller p doubled, at most the larger.
    assert rows["q"].tolist() == pytest.approx(np.minimum(2 * rows["p"], rows["p"].max()).tolist())


def test_categories_are_run_among_themselves(tmp_path, save, frame):
    source = save(frame)
    layer, table, *_ = local(tmp_path, source, category_field="sector")
    west = frame[frame["sector"] == "C13"]
    alone, *_ = local(tmp_path, save(west.reset_index(drop=True), "west.gpkg"))
    within = layer[layer["sector"] == "C13"]
    for name in ("moran_i", "p", "q", "z"):
        assert within[f"cat_{name}"].to_numpy() == pytest.approx(alone[name].to_numpy())
    # Column 4 borders column 5 only in the whole: there it has eight neighbours, within its sector five.
    assert layer[["neighbours", "cat_neighbours"]].iloc[14].tolist() == [8, 5]
    assert table["category"].tolist() == ["all", "C13", "C26"]
    rows, *_ = overall(tmp_path, source, category_field="sector", stratum_field="ring")
    assert len(rows) == 9
    assert rows.query("category == 'C13' and stratum == 'all'")["moran_i"].iloc[0] == pytest.approx(
        alone["moran_i"].mean()
    )


def test_clusters_are_counted_per_stratum(tmp_path, save, frame):
    _, table, *_ = local(tmp_path, save(frame), stratum_field="ring", permutations=9999)
    whole, rural, urban = (table.set_index("stratum").loc[name] for name in ("all", "rural", "urban"))
    for name in ("units", "tested", "HH", "LL", "HL", "LH", "not_significant", "significant_p", "significant_q"):
        assert rural[name] + urban[name] == whole[name], name
    assert urban["HH"] == whole["HH"] > 0, "the block lies in the south, which is urban"


# Masks and warnings -------------------------------------------------------------------------------------------------


def test_missing_values_are_named_and_take_no_part(tmp_path, save, frame):
    frame.loc[[3, 50], "co2_t"] = np.nan
    layer, table, _, run = local(tmp_path, save(frame))
    assert layer["cluster"].loc[[3, 50]].tolist() == ["no value"] * 2
    assert layer.loc[[3, 50], ["moran_i", "z", "p", "q"]].isna().all(axis=None)
    assert layer["neighbours"][2] == 4, "the unit without a value is nobody's neighbour"
    assert table["missing"][0] == 2
    assert "co2_t: 2 of 100 units have no value; they take no part." in run.text()


def test_nothing_to_divide_by_is_missing(tmp_path, save, frame):
    frame.loc[7, "firms"] = 0
    layer, _, _, run = local(tmp_path, save(frame), divide_by="field", base_field="firms")
    assert layer["cluster"][7] == "no value"
    assert "1 of 100 units have no value or nothing to divide by" in run.text()


def test_islands_are_named_and_never_significant(tmp_path, save, frame):
    frame.loc[[0, 99], "geometry"] = [shapely.box(0, 0, 9, 9), shapely.box(900_000, 0, 900_009, 9)]
    frame.loc[[0, 99], "co2_t"] = 1e6
    layer, table, _, run = local(tmp_path, save(frame))
    assert layer["cluster"].loc[[0, 99]].tolist() == ["no neighbours"] * 2
    assert layer.loc[[0, 99], ["moran_i", "p", "q"]].isna().all(axis=None)
    assert table["no_neighbours"][0] == 2
    assert "2 units have no neighbours (rows 1, 100); they are never significant" in run.text()


def test_constant_category_is_named_and_the_others_run(tmp_path, save, frame):
    frame.loc[frame["sector"] == "C26", "co2_t"] = 4.0
    layer, table, _, run = local(tmp_path, save(frame), category_field="sector")
    east = layer[layer["sector"] == "C26"]
    assert (east["cat_cluster"] == "not tested").all()
    assert east["cat_p"].isna().all()
    assert table["note"].tolist()[2] == "all 50 values are equal (4)"
    assert "co2_t, C26 was not tested: all 50 values are equal (4)." in run.text()
    rows, _, run = overall(tmp_path, save(frame), category_field="sector")
    assert rows["note"].tolist()[2] == "all 50 values are equal (4)"
    assert rows["p"].isna().tolist() == [False, False, True]


def test_too_few_permutations_are_told_with_the_number_needed(tmp_path, save, frame):
    # 100 tests, two-sided: 2 x 100 / 0.05 - 1 = 3,999; of noise nothing is significant.
    _, _, result, run = local(tmp_path, save(frame), fields="noise", permutations=999)
    assert result["significant"] == 0
    assert "one of 100 tests needs 3,999 permutations" in run.text()
    _, _, result, run = local(tmp_path, save(frame), fields="noise", permutations=3999)
    assert run.text() == ""
    _, _, run = overall(tmp_path, save(frame), fields=["noise", "firms"], permutations=39)
    assert "one of 2 tests needs 79 permutations" in run.text()


def test_permutations_are_many_where_they_are_cheap(tmp_path, save, frame):
    source = save(frame)
    assert "99,999 permutations" in local(tmp_path, source, permutations=None)[3].text("info")
    assert "; 999 permutations" in local(tmp_path, source, permutations=None, weights="kernel")[3].text("info")


def test_old_results_are_replaced(tmp_path, save, frame):
    frame["P"], frame["moran_i"] = 1, 2
    layer, _, _, run = local(tmp_path, save(frame))
    assert "the fields P, moran_i are replaced" in run.text()
    assert "P" not in layer


def test_invalid_polygons_are_repaired_to_find_neighbours(tmp_path, save, frame):
    # A bow tie in place of cell 0 still touches the cells 1 and 11.
    west, south = 500_000, 3_400_000
    bow = shapely.Polygon([(west, south), (west + 100, south + 100), (west + 100, south), (west, south + 100)])
    frame.loc[0, "geometry"] = bow
    layer, _, _, run = local(tmp_path, save(frame))
    assert "1 invalid polygons were repaired" in run.text()
    assert layer["neighbours"][0] == 3


# Refusals: one sentence with the parameter, the bad value and the mend, and nothing written -------------------------


def gal(tmp_path, text, name="w.gal"):
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


RING = "100\n" + "".join(f"{i} 2\n{(i - 1) % 100} {(i + 1) % 100}\n" for i in range(100))

REFUSED = {
    "no field": ({"fields": []}, "fields: no field was chosen"),
    "unknown field": ({"fields": "co3"}, "fields: field 'co3' does not exist. Choose one of unit"),
    "text": ({"fields": "unit"}, "fields: field 'unit' holds text, for example 'u0'"),
    "only missing": ({"fields": "none"}, "0 units with values are too few"),
    "all equal": ({"fields": "constant"}, "fields: all 100 values are equal (3.5). Choose a field whose values differ"),
    "unknown second": ({"second_field": "x"}, "second_field: field 'x' does not exist"),
    "second all equal": ({"second_field": "constant"}, "all 100 values are equal (3.5)"),
    "no base": ({"divide_by": "field"}, "base_field: divide_by is 'field', but no field was given"),
    "negative base": ({"divide_by": "field", "base_field": "noise"}, "base_field: field 'noise' holds negative values"),
    "unknown denominator": ({"divide_by": "people"}, "divide_by: 'people' is unknown. Use one of none, area, field"),
    "rate of nothing": ({"rate": "empirical Bayes"}, "rate: 'empirical Bayes' needs something to divide by"),
    "negative rate": (
        {"fields": "noise", "divide_by": "area", "rate": "empirical Bayes"},
        "rate: empirical-Bayes rates need values of 0 or more",
    ),
    "unknown rate": ({"rate": "raw"}, "rate: 'raw' is unknown"),
    "log of negative": ({"fields": "noise", "transform": "log1p"}, "transform: log1p needs values of 0 or more"),
    "unknown transform": ({"transform": "sqrt"}, "transform: 'sqrt' is unknown"),
    "unknown category": ({"category_field": "x"}, "category_field: field 'x' does not exist"),
    "empty category": ({"category_field": "blank"}, "category_field: field 'blank' is empty in all rows"),
    "unknown stratum": ({"stratum_field": "x"}, "stratum_field: field 'x' does not exist"),
    "unknown weights": ({"weights": "bishop"}, "weights: 'bishop' is unknown. Use one of auto, queen"),
    "no k": ({"weights": "nearest", "k": 0}, "k: 0 is not a number of neighbours"),
    "no distance": ({"weights": "distance", "distance_m": 0.0}, "distance_m: 0.0 is not a positive distance"),
    "short distance": ({"weights": "distance", "distance_m": 5.0}, "weights: no unit has a neighbour"),
    "all neighbours": (
        {"weights": "nearest", "k": 99},
        "weights: each of the 100 units has all others as its neighbours",
    ),
    "unknown kernel": ({"weights": "kernel", "kernel": "cone"}, "kernel: 'cone' is unknown"),
    "negative snap": ({"snap_m": -1.0}, "snap_m: -1.0 is not a distance"),
    "no file": ({"weights": "file"}, "weights_file: the file '' does not exist. Choose a .gal or .gwt file"),
    "missing file": ({"weights": "file", "weights_file": "nowhere.gal"}, "the file 'nowhere.gal' does not exist"),
    "other file": ({"weights": "file", "weights_file": ("100", "w.txt")}, "the file type '.txt' is unknown"),
    "broken file": ({"weights": "file", "weights_file": ("3\n1 2\nx", "w.gal")}, "cannot be read"),
    "other ids": (
        {"weights": "file", "weights_file": (RING, "w.gal"), "id_field": "unit"},
        "weights_file: 100 of 100 units are not in it, such as 'u0' (field 'unit')",
    ),
    "twice": (
        {"weights": "file", "weights_file": (RING, "w.gal"), "id_field": "same"},
        "id_field: field 'same' holds 'u' more than once",
    ),
    "negative weights": (
        {"weights": "file", "weights_file": ("0 100 a b\n1 2 -3\n2 1 1\n", "w.gwt")},
        "weights_file: it holds negative or missing weights",
    ),
    "few permutations": ({"permutations": 19}, "permutations: with 19 the smallest two-sided p is 0.1"),
    "negative permutations": ({"permutations": -1}, "permutations: -1 is too few or too many"),
    "too many permutations": ({"permutations": 10**9}, "permutations: 1,000,000,000 is too few or too many"),
    "negative seed": ({"seed": -1}, "seed: -1 is negative"),
    "level": ({"alpha": 5.0}, "alpha: 5 is not between 0 and 1"),
    "unknown correction": ({"correction": "Holm"}, "correction: 'Holm' is unknown. Use one of BH, BY, Bonferroni"),
    "unknown alternative": ({"alternative": "left"}, "alternative: 'left' is unknown"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("job", [local_morans_i, global_morans_i])
def test_bad_settings_are_refused(tmp_path, save, frame, job, case):
    arguments, said = REFUSED[case]
    arguments = {"fields": "co2_t"} | arguments
    if isinstance(arguments.get("weights_file"), tuple):
        arguments["weights_file"] = gal(tmp_path, *arguments["weights_file"])
    refused(tmp_path, job, save(frame), arguments, said)


def refused(tmp_path, job, source, arguments, said):
    run = Run()
    with pytest.raises(InputError) as error:
        job(run, input=source, output=str(tmp_path / "out.gpkg"), **arguments)
    run.discard()
    assert said in str(error.value)
    assert str(error.value).startswith("Parameter ")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("out*"))


def lines(frame):
    return frame.set_geometry(frame.geometry.boundary)


def points(frame):
    return frame.set_geometry(frame.geometry.centroid)


def mixed(frame):
    frame.loc[0, "geometry"] = shapely.Point(500_000, 3_400_000)
    return frame


def infinite(frame):
    frame.loc[0, "co2_t"] = np.inf
    return frame


LAYERS = {
    "lines": (lines, {}, "input: 100 of 100 features are lines"),
    "mixed": (mixed, {}, "input: the layer mixes polygons and points"),
    "no CRS": (lambda frame: frame.set_crs(None, allow_override=True), {}, "input: the layer has no CRS"),
    "empty": (lambda frame: frame[:0], {}, "has no features"),
    "three units": (lambda frame: frame[:3], {}, "input: 3 units with values are too few"),
    "infinite": (infinite, {}, "fields: field 'co2_t' holds infinite values"),
    "apart": (
        lambda frame: frame.set_geometry(frame.geometry.buffer(-1)),
        {},
        "weights: no unit has a neighbour. Choose k nearest neighbours, a longer distance, or a snap tolerance",
    ),
    "queen of points": (points, {"weights": "queen"}, "weights: points have no borders, so 'queen' is undefined"),
    "area of points": (points, {"divide_by": "area"}, "divide_by: points have no area"),
    "degrees": (
        lambda frame: frame.to_crs(4326),
        {"weights": "distance", "distance_m": 100.0},
        "distance_m: the layer is in degrees (WGS 84), in which distances in metres do not hold. Reproject",
    ),
    "degrees, kernel": (
        lambda frame: frame.to_crs(4326),
        {"weights": "kernel", "distance_m": 100.0},
        "distance_m: the layer is in degrees (WGS 84)",
    ),
    "many categories": (
        lambda frame: pd.concat([frame] * 3, ignore_index=True).assign(every=range(300)),
        {"category_field": "every"},
        "category_field: field 'every' has 300 different values. Choose a field with at most 200",
    ),
}


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("job", [local_morans_i, global_morans_i])
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_bad_layers_are_refused(tmp_path, save, frame, job, case):
    change, arguments, said = LAYERS[case]
    refused(tmp_path, job, save(change(frame)), {"fields": "co2_t"} | arguments, said)


def test_unknown_ddof_is_refused(tmp_path, save, frame):
    refused(tmp_path, local_morans_i, save(frame), {"fields": "co2_t", "ddof": 2}, "ddof: 2 is unknown")


# Real data ----------------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_london_electricity_clusters(tmp_path, save, data):
    """Domestic electricity per hectare of 4,835 small areas in 2020: dense centre, empty edge; and libpysal's weights.

    The plain engine is also compared with esda on these real, skewed values.
    """
    from esda.moran import Moran, Moran_Local
    from libpysal.graph import Graph

    zones = gpd.read_file(data / "london" / "london-2011-lsoa-gen20.shp")[["LSOA11CD", "LAD11NM", "geometry"]]
    meters = pd.read_csv(data / "london" / "london-2010-2020-elec.csv", usecols=["LSOA11CD", "total_kWh_2020"])
    zones = zones.merge(meters, on="LSOA11CD")
    zones["co2_t"] = zones["total_kWh_2020"] * 0.1872 / 1000
    zones["ring"] = np.where(zones.distance(shapely.Point(530_000, 180_000)) < 8000, "centre", "edge")
    source = save(zones)
    layer, table, result, run = local(
        tmp_path, source, divide_by="area", stratum_field="ring", permutations=9999, alternative="directed"
    )
    graph = Graph.build_contiguity(zones, rook=False)
    values = layer["moran_x"].to_numpy()
    assert result["moran_i"] == pytest.approx(Moran(values, graph, permutations=0).I)
    assert result["moran_i"] == pytest.approx(0.50, abs=0.02)
    first, second = (
        Moran_Local(values, graph, permutations=999, keep_simulations=False, seed=seed).p_sim <= 0.05 for seed in (1, 2)
    )
    assert ((layer["p"] <= 0.05) == first).mean() >= (first == second).mean() - 0.01
    counts = table.set_index("stratum")
    assert counts.loc["centre", "HH"] > 20 > counts.loc["edge", "HH"]
    assert counts.loc["edge", "LL"] > 100 > counts.loc["centre", "LL"]
    assert "no neighbours" not in run.text()
