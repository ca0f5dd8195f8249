"""Odintsovo from OpenStreetMap as it comes: Shapefiles in degrees, overlapping land use, broken polygons, Cyrillic.

From an activity table over land-use parcels, with points, buildings and roads, to grid cells, zones around the named
places, and carbon-balance zones. The activity and the GDP are made up; the map is real.
"""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely

from carbon_spatializer.jobs import find
from carbon_spatializer.jobs.allocation import SUZHOU_RULES
from carbon_spatializer.jobs.run import Run

pytestmark = pytest.mark.data

CLASSES = SUZHOU_RULES.with_name("classes_osm.csv")
METRES = "EPSG:32637"
GRID_FACTOR = 0.35
ACTIVITY = """sector,subsector,carrier,amount,unit
industry,manufacturing,natural gas,4000,10^4 m3
industry,manufacturing,electricity,150,GWh
buildings,residential,natural gas,2500,10^4 m3
buildings,residential,electricity,160,GWh
buildings,commercial and public,electricity,210,GWh
transport,road,gasoline,55,kt
transport,road,diesel,30,kt
transport,rail,electricity,20,GWh
agriculture,plantation,nitrogen in fertilizer,90,t
agriculture,livestock,dairy cattle,400,head
waste,domestic waste,incinerated waste,30,kt
sink,land sink,CO2e,9,kt
sink,crop sink,wheat,2,kt
"""
ROADS = ("motorway", "trunk", "primary", "secondary", "tertiary", "residential")


class Chain:
    """Runs jobs into one folder and keeps what they said."""

    def __init__(self, folder):
        self.folder, self.said, self.results = folder, {}, {}

    def run(self, job, output, **arguments):
        said = self.said[output] = []
        run = Run(said.append)
        self.results[output] = find(job)(run, output=self.path(output), **arguments)
        run.commit({})
        return self.path(output)

    def path(self, name):
        return str(self.folder / name)

    def warnings(self, output):
        return [reply["text"] for reply in self.said[output] if reply["type"] == "warning"]

    def read(self, output):
        return gpd.read_file(self.path(output), layer=output.partition(".")[0])


@pytest.fixture(scope="module")
def maps(data):
    folder = data / "osm_city"
    if not folder.is_dir():
        pytest.skip("the OpenStreetMap extract of Odintsovo is not at hand")
    return folder


@pytest.fixture(scope="module")
def points(maps):
    """The extract's points, and every building as a point with its footprint in m2."""
    buildings = gpd.read_file(maps / "buildings.shp")
    footprint = buildings.to_crs(METRES).area
    centres = buildings.set_geometry(buildings.representative_point())[["name", "type", "geometry"]]
    nodes = gpd.read_file(maps / "points.shp")[["name", "type", "geometry"]]
    return pd.concat([nodes.assign(footprint_m2=np.nan), centres.assign(footprint_m2=footprint)], ignore_index=True)


@pytest.fixture(scope="module")
def chain(maps, points, tmp_path_factory):
    chain = Chain(tmp_path_factory.mktemp("Одинцово"))
    (chain.folder / "activity.csv").write_text(ACTIVITY, encoding="utf-8")
    chain.run("accountsectors", "totals.gpkg", activity=chain.path("activity.csv"), grid_factor_t_mwh=GRID_FACTOR)
    points.to_file(chain.path("points.gpkg"))
    rules = pd.read_csv(SUZHOU_RULES, keep_default_na=False).set_index(["sector", "subsector"], drop=False)
    # OpenStreetMap has no road parcels: roads emit where they run. People live where the residential buildings are.
    rules.loc[("transport", "road"), "land_type"] = "*"
    amounts = chain.read("totals.gpkg")
    amounts["land_type"] = amounts["land_type"].replace("road land", "")
    amounts.to_csv(chain.path("amounts.csv"), index=False)
    home = ["poi_weight", "residential community", "footprint_m2"]
    rules.loc[("buildings", "residential"), ["proxy", "categories", "field"]] = home
    rules.to_csv(chain.path("rules.csv"), index=False)
    chain.run(
        "allocatetoparcels",
        "parcels.gpkg",
        parcels=str(maps / "landuse.shp"),
        land_type_field="type",
        totals=chain.path("amounts.csv"),
        rules=chain.path("rules.csv"),
        classes=str(CLASSES),
        pois=chain.path("points.gpkg"),
        poi_category_field="type",
        lines=str(maps / "roads.shp"),
        line_type_field="type",
        beta=0.0,
        ledger=chain.path("ledger.csv"),
    )
    chain.run("aggregatetogrid", "grid.gpkg", input=chain.path("parcels.gpkg"))
    _zones(maps).to_file(chain.path("zones.gpkg"))
    chain.run("aggregatetozones", "units.gpkg", input=chain.path("parcels.gpkg"), zones=chain.path("zones.gpkg"))
    chain.run(
        "carbonbalancezoning",
        "balance.gpkg",
        input=chain.path("units.gpkg"),
        name_field="name",
        report=chain.path("report.html"),
    )
    return chain


def _zones(maps):
    """The land nearest to each town and village, over the whole extract; GDP by population, made up."""
    places = gpd.read_file(maps / "places.shp")
    places = places[places["type"].isin(["city", "town", "village", "suburb"])].drop_duplicates("geometry")
    west, south, east, north = gpd.read_file(maps / "landuse.shp").total_bounds
    cells = shapely.get_parts(
        shapely.voronoi_polygons(shapely.multipoints(places.geometry.to_numpy()), extend_to=shapely.box(0, 0, 90, 90))
    )
    zones = gpd.GeoDataFrame(geometry=shapely.intersection(cells, shapely.box(west, south, east, north)), crs=4326)
    zones = zones.sjoin(places[["name", "population", "geometry"]]).drop(columns="index_right")
    people = zones["population"].fillna(zones["population"].median())
    return zones.assign(gdp=people * 0.8).reset_index(drop=True)


@pytest.fixture(scope="module")
def parcels(chain):
    return chain.read("parcels.gpkg")


@pytest.fixture(scope="module")
def sums(chain):
    return chain.read("totals.gpkg").groupby("sector")[["gross_t", "sink_t", "net_t"]].sum()


def test_parcels_come_back_in_degrees_with_their_fields_and_letters(maps, parcels):
    source = gpd.read_file(maps / "landuse.shp")
    assert parcels.crs == "EPSG:4326"
    assert len(parcels) == len(source) == 1705
    assert parcels["type"].tolist() == source["type"].tolist()
    assert parcels["name"].fillna("").tolist() == source["name"].fillna("").tolist()
    assert parcels["name"].str.contains("[а-яА-Я]").sum() > 50


def test_invalid_polygons_are_reported_and_repaired(maps, chain, parcels):
    broken = ~gpd.read_file(maps / "landuse.shp").is_valid
    assert broken.sum() == 7
    assert any("7 invalid polygons were repaired" in text for text in chain.warnings("parcels.gpkg"))
    # Four of them enclose nothing; they stay as they came, and receive nothing.
    flat = parcels[~parcels.is_valid]
    assert len(flat) == 4
    assert (flat[["area_m2", "gross_t", "sink_t"]] == 0).all(axis=None)


def test_areas_are_those_on_the_ellipsoid(parcels):
    earth = pyproj.Geod(ellps="WGS84")
    some = parcels.iloc[::50]
    true = [abs(earth.geometry_area_perimeter(shape)[0]) for shape in some.geometry]
    # A geodesic and a straight line in degrees differ by little over a parcel.
    assert some["area_m2"].tolist() == pytest.approx(true, rel=1e-5)


def test_points_outside_all_parcels_are_counted(maps, points, chain):
    ground = gpd.read_file(maps / "landuse.shp").make_valid()
    outside = ~points.index.isin(points.sjoin(gpd.GeoDataFrame(geometry=ground)).index)
    expected = f"pois: {outside.sum():,} of {len(points):,} points lie outside all parcels"
    assert any(text.startswith(expected) for text in chain.warnings("parcels.gpkg"))


def test_mass_is_kept_from_the_totals_to_the_zones(chain, parcels, sums):
    ledger = pd.read_csv(chain.path("ledger.csv"), keep_default_na=False)
    assert ledger["relative_error"].abs().max() < 1e-9
    assert ledger["in_t"].sum() == pytest.approx(sums["net_t"].sum(), rel=1e-12)
    assert ledger["unallocated_t"].abs().sum() == 0
    for sector in sums.index.drop("sink"):
        assert parcels[f"{sector}_t"].sum() == pytest.approx(sums.loc[sector, "net_t"], rel=1e-9)
    for output in ("parcels.gpkg", "grid.gpkg", "units.gpkg", "balance.gpkg"):
        layer = chain.read(output)
        assert layer["gross_t"].sum() == pytest.approx(sums["gross_t"].sum(), rel=1e-9), output
        assert layer["sink_t"].sum() == pytest.approx(sums["sink_t"].sum(), rel=1e-9), output


def test_only_what_openstreetmap_lacks_arrives_by_fallback(chain):
    ledger = pd.read_csv(chain.path("ledger.csv"), keep_default_na=False)
    by_fallback = ledger[ledger["fallback_t"].abs() > 0]
    # no railway lines in the extract's roads; everything else has its own proxy
    assert set(by_fallback["subsector"]) == {"rail"}


def test_roads_emit_by_their_length_in_each_parcel(maps, parcels, sums):
    lines = gpd.read_file(maps / "roads.shp").to_crs(METRES)
    lines = lines[lines["type"].str.removesuffix("_link").isin([*ROADS, "unclassified", "living_street", "road"])]
    ground = parcels.to_crs(METRES)
    tree = shapely.STRtree(lines.geometry.to_numpy())
    parcel, line = tree.query(ground.geometry.to_numpy(), predicate="intersects")
    inside = shapely.intersection(ground.geometry.to_numpy()[parcel], lines.geometry.to_numpy()[line])
    length = np.bincount(parcel, weights=shapely.length(inside), minlength=len(ground))
    road_t = parcels["transport_t"].where(parcels["type"] != "railway", np.nan)
    share = road_t / road_t.sum()
    expected = length / length[road_t.notna()].sum()
    # Lengths on the two map projections differ by less than a thousandth.
    assert share.dropna().to_numpy() == pytest.approx(expected[share.notna()], rel=1e-3, abs=1e-9)
    assert (length > 0).sum() > 100


def test_homes_emit_by_the_footprint_of_residential_buildings(points, parcels, sums):
    classes = pd.read_csv(CLASSES, keep_default_na=False).set_index("value")["category"]
    homes = points[points["type"].map(classes) == "residential community"]
    land = parcels[parcels["type"].isin(["residential", "garages"])]
    # A building in two overlapping parcels counts for the smaller one.
    found = homes.sjoin(land[["area_m2", "geometry"]]).sort_values("area_m2")
    owner = found[~found.index.duplicated()].groupby("index_right")["footprint_m2"].sum()
    owner = owner[owner > 0]
    # Other parcels may be smaller still and take the building away; compare where they do not.
    others = parcels.drop(index=land.index)
    untouched = owner.index.difference(land.sjoin(others[["geometry"]], predicate="intersects").index)
    emitted = parcels["buildings_t"][untouched]
    ratio = emitted / owner[untouched]
    assert len(untouched) > 20
    assert ratio.to_numpy() == pytest.approx(ratio.mean(), rel=1e-6)
    assert parcels.loc[land.index, "buildings_t"].sum() > 0.5 * sums.loc["buildings", "gross_t"]


def test_grid_cells_are_square_kilometres_in_metres(chain):
    grid = chain.read("grid.gpkg")
    assert grid.crs == METRES
    assert grid.area.to_numpy() == pytest.approx(1e6)
    assert (grid.bounds % 1000 == 0).all(axis=None)


def test_zones_keep_their_names_and_get_an_index(chain):
    balance = chain.read("balance.gpkg")
    assert {"Одинцово", "ВНИИССОК"} <= set(balance["name"])
    share = balance["gross_t"] / balance["gross_t"].sum()
    # S003-16: the indices average to 1 with the emissions as weights, and ESC = CCR / CCR of the whole.
    assert (share * balance["esc"].fillna(0)).sum() == pytest.approx(1)
    assert (share * balance["ecc"].fillna(0)).sum() == pytest.approx(1)
    whole = balance["sink_t"].sum() / balance["gross_t"].sum()
    assert (balance["ccr"] / whole).dropna().to_numpy() == pytest.approx(balance["esc"].dropna().to_numpy())
    assert balance["zone"].notna().all()


def test_buildings_can_be_the_parcels(maps, chain):
    totals = chain.read("totals.gpkg")
    totals[totals["sector"] == "buildings"].to_csv(chain.path("buildings.csv"), index=False)
    chain.run(
        "allocatetoparcels",
        "buildings.gpkg",
        parcels=str(maps / "buildings.shp"),
        land_type_field="type",
        totals=chain.path("buildings.csv"),
        classes=str(CLASSES),
        fallback=["area"],
    )
    buildings = chain.read("buildings.gpkg")
    warnings = " ".join(chain.warnings("buildings.gpkg"))
    assert len(buildings) == 18_046
    assert "30 invalid polygons were repaired" in warnings
    assert "have a land type that no rule knows" in warnings
    amount = totals.loc[totals["sector"] == "buildings", "net_t"].sum()
    assert buildings["gross_t"].sum() == pytest.approx(amount, rel=1e-9)
    homes = buildings["type"].isin(["apartments", "house", "detached"]) & (buildings["area_m2"] > 0)
    assert homes.sum() == 2162
    per_m2 = buildings.loc[homes, "gross_t"] / buildings.loc[homes, "area_m2"]
    assert per_m2.to_numpy() == pytest.approx(per_m2.mean(), rel=1e-9)
