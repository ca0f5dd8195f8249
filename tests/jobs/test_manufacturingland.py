"""Manufacturing land, files in and files out; and the sample city, whose points are known."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from shapely import Point, box

from carbon_spatializer.core.errors import InputError
from carbon_spatializer.jobs.allocation import allocate_to_parcels
from carbon_spatializer.jobs.manufacturingland import identify_manufacturing_land
from carbon_spatializer.jobs.poi import classify_pois, train_poi_classifier
from carbon_spatializer.jobs.run import Run
from carbon_spatializer.jobs.samplecity import create_sample_city

CRS = "EPSG:32651"


class Log(Run):
    def __init__(self):
        self.messages = []
        super().__init__(self.messages.append)

    def holds(self, text: str) -> bool:
        return any(text in message["text"] for message in self.messages)


@pytest.fixture
def folder(tmp_path):
    """Three parcels of 100 m in a row, the third not industrial; points in the first two, and one far from all."""
    squares = [box(270000 + 100 * i, 3464000, 270100 + 100 * i, 3464100) for i in range(3)]
    parcels = gpd.GeoDataFrame({"id": [1, 2, 3], "use": ["ind", "ind", "res"]}, geometry=squares, crs=CRS)
    parcels.to_file(tmp_path / "parcels.gpkg")
    places = [Point(270050, 3464050), Point(270060, 3464050), Point(270250, 3464050), Point(270600, 3464050)]
    points = gpd.GeoDataFrame(
        {"class_code": ["C31", "C13", "NM", "C26"], "probability": [0.9, 0.6, 0.9, 0.7]}, geometry=places, crs=CRS
    )
    points.to_crs("EPSG:4326").to_file(tmp_path / "pois.gpkg")
    return tmp_path


def identify(folder, run=None, **arguments):
    run = run or Log()
    arguments = {
        "pois": str(folder / "pois.gpkg"),
        "parcels": str(folder / "parcels.gpkg"),
        "output": str(folder / "land.gpkg"),
    } | arguments
    result = identify_manufacturing_land(run, **arguments)
    run.commit({})
    return result, gpd.read_file(arguments["output"])


def test_parcels_and_a_buffer(folder):
    result, land = identify(folder, table=str(folder / "classes.csv"))
    assert land["dominant"].tolist() == ["C31", "C26"]
    assert land["industries"].tolist() == ["C31 1; C13 1", "C26 1"]
    assert land["id"][0] == 1
    assert np.isnan(land["id"][1])
    assert land.crs == CRS
    # a parcel of 1 ha by UTM has 1.0013 ha or so on the ground here; the buffer is a disc of 15 m
    assert land["area_m2"][0] == pytest.approx(10000, rel=5e-3)
    assert land["area_m2"][1] == pytest.approx(np.pi * 15**2, rel=0.01)
    assert result["area_m2"] == pytest.approx(land["area_m2"].sum())
    classes = pd.read_csv(folder / "classes.csv").set_index("class_code")
    assert classes["pois"].to_dict() == {"C13": 1, "C26": 1, "C31": 1}
    assert classes["area_m2"].sum() == pytest.approx(land["area_m2"].sum())
    assert [entry[0] for entry in result["styles"]["output"]["classes"]] == ["C26", "C31"]


def test_land_use_as_reference(folder):
    # found: parcel 1 of the known 1 and 2, and a buffer outside
    result, _ = identify(folder, land_use_field="use", land_use_values="ind|other", buffer=0.0)
    shares = [result[f"{share}_{by}"] for share in ("recall", "precision") for by in ("count", "area")]
    assert shares == pytest.approx([0.5, 0.5, 1, 1], rel=1e-5)  # parcels differ by the map's scale only
    assert "recall 50.00% by count" in result["summary"]


def test_layer_as_reference_in_another_crs(folder):
    known = gpd.GeoDataFrame(geometry=[box(270000, 3464000, 270100, 3464050)], crs=CRS).to_crs("EPSG:3857")
    known.to_file(folder / "known.gpkg")
    result, _ = identify(folder, reference=str(folder / "known.gpkg"), buffer=0.0)
    assert result["recall_area"] == pytest.approx(1, abs=1e-6)
    assert result["precision_area"] == pytest.approx(0.5, abs=1e-6)


def test_all_parcels_are_kept_on_request(folder):
    _, land = identify(folder, all_parcels=True)
    assert land["manufacturing"].tolist() == ["yes", "no", "no", "yes"]
    assert land["dominant"].fillna("").tolist() == ["C31", "", "", "C26"]


def test_buffers_alone(folder):
    _, land = identify(folder, parcels=None, buffer=20.0)
    assert len(land) == 2  # the two points of the first parcel are 10 m apart
    assert land["pois"].tolist() == [2, 1]


def test_strictness(folder):
    _, land = identify(folder, minimum_probability=0.8)
    assert land["industries"].tolist() == ["C31 1"]
    _, land = identify(folder, minimum_pois=2)
    assert land["id"].tolist() == [1]
    _, land = identify(folder, not_manufacturing="NM, C31")
    assert land["dominant"].tolist() == ["C13", "C26"]


def test_points_outside_are_told_when_there_is_no_buffer(folder):
    run = Log()
    identify(folder, run, buffer=0.0)
    assert run.holds("1 manufacturing points lie in no parcel")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_field": "klass"}, "class_field: field 'klass' does not exist"),
        ({"probability_field": "p"}, "probability_field: field 'p' does not exist"),
        ({"probability_field": "class_code"}, "holds text"),
        ({"probability_field": "percent"}, "holds 90, which is no probability"),
        ({"not_manufacturing": "NM,C31,C13,C26"}, "no point is manufacturing"),
        ({"minimum_probability": 0.99}, "no point is manufacturing with a probability of at least 0.99"),
        ({"minimum_pois": 0}, "minimum_pois: 0 is less than 1"),
        ({"minimum_pois": 9}, "no parcel holds 9 manufacturing points"),
        ({"buffer": -1.0}, "buffer: -1 is less than 0"),
        ({"parcels": None, "buffer": 0.0}, "there are no parcels, so there is no land"),
        ({"parcels": None, "land_use_field": "use"}, "there are no parcels to read it from"),
        ({"land_use_field": "landuse"}, "field 'landuse' does not exist"),
        ({"land_use_field": "use"}, "no parcel has 'industrial land' in the field 'use'. Use its values"),
        ({"minimum_overlap": 120.0}, "120 is not between 0 and 100"),
        ({"pois": "parcels"}, "3 of 3 features are not points"),
        ({"parcels": "pois"}, "are not polygons"),
        ({"pois": "elsewhere"}, "does not overlap"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(folder, changes, message):
    points = gpd.read_file(folder / "pois.gpkg").assign(percent=90.0)
    points.to_file(folder / "pois.gpkg")
    points.set_geometry(shapely.transform(points.geometry.array, lambda xy: xy - [0, 40])).set_crs(4326).to_file(
        folder / "elsewhere.gpkg"
    )
    for name in ("pois", "parcels"):
        if changes.get(name):
            changes = changes | {name: str(folder / f"{changes[name]}.gpkg")}
    with pytest.raises(InputError) as refusal:
        identify(folder, **changes)
    assert message in str(refusal.value)
    assert not (folder / "land.gpkg").exists()


# The sample city ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """A city to learn from and another one to classify."""
    folder = tmp_path_factory.mktemp("city")
    for seed in (0, 1):
        run = Run()
        create_sample_city(
            run,
            parcels=str(folder / f"parcels{seed}.gpkg"),
            pois=str(folder / f"pois{seed}.gpkg"),
            parcels_count=1000,
            seed=seed,
        )
        run.commit({})
    run = Run()
    train_poi_classifier(
        run,
        input=str(folder / "pois1.gpkg"),
        text_field="name",
        class_field="industry",
        output=str(folder / "model"),
        classifier="tfidf",
    )
    classify_pois(
        run,
        input=str(folder / "pois0.gpkg"),
        text_field="name",
        model=str(folder / "model"),
        output=str(folder / "classified.gpkg"),
        wide=True,
        rules=str(folder / "by_probability.csv"),
    )
    classify_pois(
        run,
        input=str(folder / "pois0.gpkg"),
        text_field="name",
        model=str(folder / "model"),
        output=str(folder / "hard.gpkg"),
        rules=str(folder / "by_class.csv"),
    )
    run.commit({})
    return folder


def test_sample_city_land_is_found(city):
    result, _ = identify(
        city, pois=str(city / "classified.gpkg"), parcels=str(city / "parcels0.gpkg"), output=str(city / "land.gpkg")
    )
    found = gpd.read_file(city / "land.gpkg")
    points, parcels = gpd.read_file(city / "pois0.gpkg"), gpd.read_file(city / "parcels0.gpkg")
    factories = points[points["industry"] != "NM"]
    known = set(gpd.sjoin(factories, parcels[["parcel_id", "geometry"]], predicate="within")["parcel_id"])
    hit = set(found["parcel_id"])
    assert len(known & hit) / len(known) > 0.98
    assert len(known & hit) / len(hit) > 0.98
    assert result["polygons"] == len(found)


@pytest.mark.parametrize("rules", ["by_class", "by_probability"])
def test_sample_city_emissions_reach_the_parcels_of_their_industry(city, rules):
    points, parcels = gpd.read_file(city / "pois0.gpkg"), gpd.read_file(city / "parcels0.gpkg")
    industries = sorted(set(points["industry"]) - {"NM"})
    totals = pd.DataFrame({"sector": "industry", "subsector": industries, "net_t": 1000.0})
    totals.to_csv(city / "totals.csv", index=False)
    run = Run()
    allocate_to_parcels(
        run,
        parcels=str(city / "parcels0.gpkg"),
        totals=str(city / "totals.csv"),
        output=str(city / f"{rules}.gpkg"),
        ledger=str(city / f"{rules}_ledger.csv"),
        rules=str(city / f"{rules}.csv"),
        pois=str(city / "classified.gpkg"),
        poi_category_field="class_code",
    )
    run.commit({})
    received = gpd.read_file(city / f"{rules}.gpkg").set_index("parcel_id")["gross_t"]
    assert received.sum() == pytest.approx(1000 * len(industries), rel=1e-9)
    where = gpd.sjoin(points, parcels[["parcel_id", "geometry"]], predicate="within")
    shares = where[where["industry"] != "NM"].groupby(["industry", "parcel_id"]).size()
    expected = (1000 * shares / shares.groupby("industry").transform("sum")).groupby("parcel_id").sum()
    misplaced = (received - expected.reindex(received.index).fillna(0)).abs().sum() / 2 / received.sum()
    assert misplaced < 0.03
