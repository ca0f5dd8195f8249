"""The Nanjing chain on real places: Odintsovo from OpenStreetMap, and the counties of Jiangsu with CEADs' city totals.

No land-use raster of either is at hand. Odintsovo's is made of its OpenStreetMap polygons, Jiangsu's of the counties
themselves; borders, names, coordinates and totals are real.
"""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.transform import from_origin

from carbon_spatializer.core.landuse import PARTS
from carbon_spatializer.jobs import find
from carbon_spatializer.jobs.run import Run

pytestmark = pytest.mark.data

# What OpenStreetMap calls land use -> CAS/RESDC code; what is not listed has no data.
OSM_CODES = {
    "residential": 51,
    "garages": 51,
    "commercial": 51,
    "retail": 51,
    "religious": 51,
    "education": 51,
    "military": 53,
    "industrial": 53,
    "construction": 53,
    "brownfield": 53,
    "landfill": 53,
    "railway": 53,
    "allotments": 52,
    "farmland": 12,
    "farmyard": 12,
    "orchard": 24,
    "logging": 21,
    "meadow": 32,
    "grass": 32,
    "village_green": 32,
    "greenfield": 32,
    "recreation_groun": 32,
    "cemetery": 53,
}
# Points that stand for works in OpenStreetMap.
ENTERPRISES = ["chimney", "tower", "mast", "car_wash", "fuel"]
ACTIVITY = """sector,subsector,carrier,amount,unit
industry,manufacturing,natural gas,4000,10^4 m3
industry,manufacturing,electricity,150,GWh
industry,thermal power,natural gas,9000,10^4 m3
urban,residents,natural gas,2500,10^4 m3
urban,services,electricity,210,GWh
urban,transport,gasoline,55,kt
agriculture,farming,diesel,2,kt
rural living,residents,electricity,30,GWh
"""
# Nanjing paper, Table 2: shares of the parts, taken for all cities of its province.
SHARES = {"industry": 0.9373, "city": 0.0618, "agriculture": 0.0001, "rural": 0.0008}


class Chain:
    """Runs jobs into one folder and keeps what they said."""

    def __init__(self, folder):
        self.folder, self.said = folder, {}

    def __call__(self, job, output, **arguments):
        said = []
        run = Run(said.append)
        result = find(job)(run, output=self.path(output), **arguments)
        run.commit({})
        self.said[job] = " ".join(reply["text"] for reply in said if reply["type"] == "warning")
        return result

    def path(self, name):
        return str(self.folder / name)

    def cells(self, name):
        with rasterio.open(self.path(name)) as file:
            return file.read(1)


def write_codes(path, codes, transform, crs="EPSG:4326"):
    height, width = codes.shape
    settings = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": "uint8", "nodata": 0}
    with rasterio.open(path, "w", crs=crs, transform=transform, **settings) as file:
        file.write(codes.astype("uint8"), 1)


# Odintsovo ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odintsovo(data, tmp_path_factory):
    """The chain in degrees, with cells of about 30 m north-south, and districts around the named places."""
    maps = data / "osm_city"
    if not maps.is_dir():
        pytest.skip("the OpenStreetMap extract of Odintsovo is not at hand")
    chain = Chain(tmp_path_factory.mktemp("Одинцово"))
    use = gpd.read_file(maps / "landuse.shp")
    west, south, east, north = use.total_bounds
    size = 30 / 111_000
    transform = from_origin(west, north, size, size)
    shape = int((north - south) / size) + 1, int((east - west) / size) + 1
    use = use[use["type"].isin(OSM_CODES)].sort_values("type")
    codes = rasterize(zip(use.geometry, use["type"].map(OSM_CODES)), shape, transform=transform)
    write_codes(chain.path("use.tif"), codes, transform)
    points = gpd.read_file(maps / "points.shp")
    points[points["type"].isin(ENTERPRISES)].to_file(chain.path("enterprises.gpkg"))
    districts(maps, shapely.box(west, south, east, north)).to_file(chain.path("districts.gpkg"))
    (chain.folder / "activity.csv").write_text(ACTIVITY, encoding="utf-8")
    chain(
        "accountsectors",
        "totals.csv",
        activity=chain.path("activity.csv"),
        scheme="nanjing",
        grid_factor_t_mwh=0.35,
        lines=chain.path("lines.csv"),
    )
    chain(
        "delineateemissionland",
        "land.tif",
        land_use=chain.path("use.tif"),
        enterprises=chain.path("enterprises.gpkg"),
        ledger=chain.path("areas.csv"),
    )
    chain.result = chain(
        "spreadoverlanduse",
        "total.tif",
        land=chain.path("land.tif"),
        districts=chain.path("districts.gpkg"),
        totals=chain.path("totals.csv"),
        share_field="population",
        name_field="name",
        districts_output=chain.path("emissions.gpkg"),
        ledger=chain.path("ledger.csv"),
        intensity=chain.path("intensity.tif"),
        **{part: chain.path(f"{part}.tif") for part in PARTS},
    )
    chain.statistics = chain(
        "landusestatistics",
        "classes.csv",
        land_use=chain.path("use.tif"),
        districts=chain.path("emissions.gpkg"),
        name_field="name",
        lines=chain.path("lines.csv"),
        table=chain.path("table.csv"),
        report=chain.path("report.html"),
    )
    return chain


def districts(maps, extent):
    """The land nearest to each town, suburb and village with a known population."""
    places = gpd.read_file(maps / "places.shp").drop_duplicates("geometry")
    places["population"] = pd.to_numeric(places["population"], errors="coerce").fillna(0)
    places = places[places["type"].isin(["city", "town", "suburb", "village"]) & (places["population"] > 0)]
    points = shapely.multipoints(places.geometry.to_numpy())
    cells = shapely.get_parts(shapely.voronoi_polygons(points, extend_to=extent.buffer(1)))
    zones = gpd.GeoDataFrame(geometry=shapely.intersection(cells, extent), crs=4326)
    zones = zones[~zones.is_empty]
    return zones.sjoin(places[["name", "population", "geometry"]]).drop(columns="index_right").reset_index(drop=True)


def test_odintsovo_keeps_every_tonne(odintsovo):
    totals = pd.read_csv(odintsovo.path("totals.csv"))
    ledger = pd.read_csv(odintsovo.path("ledger.csv"))
    assert ledger["in_t"].sum() == pytest.approx(totals["gross_t"].sum(), rel=1e-9)
    assert ledger["relative_error"].abs().max() < 1e-9
    assert ledger["unallocated_t"].sum() == 0
    assert np.nansum(odintsovo.cells("total.tif")) == pytest.approx(totals["gross_t"].sum(), rel=1e-9)
    parts = sum(np.nansum(odintsovo.cells(f"{part}.tif")) for part in PARTS)
    assert parts == pytest.approx(totals["gross_t"].sum(), rel=1e-9)


def test_odintsovo_divides_totals_by_population(odintsovo):
    made = gpd.read_file(odintsovo.path("emissions.gpkg"))
    share = made["gross_t"] / made["gross_t"].sum()
    assert share.to_numpy() == pytest.approx((made["population"] / made["population"].sum()).to_numpy(), rel=1e-9)


def test_odintsovos_power_plant_is_deducted_and_reported(odintsovo):
    report = (odintsovo.folder / "report.html").read_text(encoding="utf-8")
    assert odintsovo.statistics["deducted_t"] > 0
    assert f"{odintsovo.statistics['deducted_t']:,.2f} t CO2e is deducted" in report
    assert report.count("<img") == 4


def test_odintsovos_enterprises_emit_as_industry(odintsovo):
    """Each enterprise's circle of 15 m turns into industry, though a cell of 30 m x 17 m is wider than a half of it."""
    areas = pd.read_csv(odintsovo.path("areas.csv"))
    near = areas[areas["source"] == "surroundings of enterprises"].iloc[0]
    assert near["contributed_m2"] > 0.9 * near["drawn_m2"] - near["overlap_m2"] - near["outside_m2"]
    assert (odintsovo.cells("industry.tif") > 0).sum() > (odintsovo.cells("use.tif") == 53).sum()


def test_odintsovos_areas_are_those_of_the_ellipsoid(odintsovo):
    """The districts' ground in the raster against polygons in the UTM zone, whose scale is within 0.1 % here."""
    made = gpd.read_file(odintsovo.path("emissions.gpkg"))
    assert made["area_m2"].sum() == pytest.approx(made.to_crs(32637).area.sum(), rel=5e-3)
    table = pd.read_csv(odintsovo.path("classes.csv"))
    shares = table.groupby("district")["share_pct"].sum()
    assert shares.to_numpy() == pytest.approx(np.full(len(shares), 100), rel=1e-9)


# Jiangsu --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counties(data):
    file = data / "china" / "jiangsu_counties_mapchina.geojson"
    if not file.exists():
        pytest.skip("the counties of Jiangsu are not at hand")
    return gpd.read_file(file)[["Name_County", "Name_Perfecture", "Pop_2010", "geometry"]]


@pytest.fixture(scope="module")
def jiangsu(counties, tmp_path_factory):
    """Land in cells of a hundredth of a degree: towns in the middle of each county, larger where more people live,
    works at their edge, villages here and there, fields all over.
    """
    chain = Chain(tmp_path_factory.mktemp("江苏"))
    west, south, east, north = counties.total_bounds
    transform = from_origin(west, north, 0.01, 0.01)
    shape = int((north - south) / 0.01) + 1, int((east - west) / 0.01) + 1
    middles = counties.representative_point().to_numpy()
    radius = np.sqrt(counties["Pop_2010"].to_numpy() / 1e6) * 0.06
    works, towns = shapely.buffer(middles, 1.3 * radius), shapely.buffer(middles, radius)
    layers = [(counties.geometry, 11), (works, 53), (towns, 51)]
    codes = rasterize([(shape, code) for shapes, code in layers for shape in shapes], shape, transform=transform)
    villages = (np.random.default_rng(0).random(shape) < 0.03) & (codes == 11)
    write_codes(chain.path("use.tif"), np.where(villages, 52, codes), transform)
    counties.to_file(chain.path("counties.gpkg"))
    chain("delineateemissionland", "land.tif", land_use=chain.path("use.tif"))
    return chain


def city_totals(data, chain, year):
    """CEADs' totals (Mt CO2) of the cities of Jiangsu, as a table with a column per part."""
    book = data / "china" / "The_Emission_Inventories_for_290_Chinese_Cities_from_1997_to_2019.xlsx"
    table = pd.read_excel(book, sheet_name="emission vector")
    table = table[table["city"].str.startswith("江苏") & (table["year"] == year)]
    rows = pd.DataFrame({"name": table["city"].str.removeprefix("江苏") + "市"})
    for part, share in SHARES.items():
        rows[part] = share * table["emission"]
    rows.to_csv(chain.path(f"totals_{year}.csv"), index=False)
    return rows.set_index("name")


def spread_cities(chain, year, **arguments):
    return chain(
        "spreadoverlanduse",
        f"total_{year}.tif",
        land=chain.path("land.tif"),
        districts=chain.path("counties.gpkg"),
        region_field="Name_Perfecture",
        name_field="Name_County",
        totals=chain.path(f"totals_{year}.csv"),
        totals_region_field="name",
        totals_unit="Mt",
        districts_output=chain.path(f"counties_{year}.gpkg"),
        ledger=chain.path(f"ledger_{year}.csv"),
        **arguments,
    )


def test_jiangsus_counties_sum_to_their_cities(data, jiangsu):
    totals = city_totals(data, jiangsu, 2010)
    assert len(totals) == 13
    result = spread_cities(jiangsu, 2010)
    assert result["total_t"] == pytest.approx(715_641_000, rel=1e-4)
    made = gpd.read_file(jiangsu.path("counties_2010.gpkg"))
    cities = made.groupby("Name_Perfecture")[[f"{part}_t" for part in SHARES]].sum()
    for part in SHARES:
        assert cities[f"{part}_t"].to_dict() == pytest.approx((totals[part] * 1e6).to_dict(), rel=1e-9)
    assert np.nansum(jiangsu.cells("total_2010.tif")) == pytest.approx(totals.to_numpy().sum() * 1e6, rel=1e-9)
    # Inside a city counties emit by the land that they have.
    own = made[made["Name_Perfecture"] == "苏州市"]
    assert (own["industry_t"] / own["industry_ha"]).std() < 1e-9 * (own["industry_t"] / own["industry_ha"]).mean()


def test_jiangsus_counties_by_population(data, jiangsu):
    totals = city_totals(data, jiangsu, 2010)
    spread_cities(jiangsu, 2010, share_field="Pop_2010")
    made = gpd.read_file(jiangsu.path("counties_2010.gpkg"))
    people = made.groupby("Name_Perfecture")["Pop_2010"].transform("sum")
    expected = made["Pop_2010"] / people * made["Name_Perfecture"].map(totals.sum(axis=1)) * 1e6
    assert made["gross_t"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-9)


def test_cities_without_a_total_in_2019_get_no_data(data, jiangsu, counties):
    """CEADs has 11 of the 13 cities in 2019: the counties of the other two stay empty, and are named."""
    totals = city_totals(data, jiangsu, 2019)
    missing = sorted(set(counties["Name_Perfecture"]) - set(totals.index))
    assert len(missing) == 2
    result = spread_cities(jiangsu, 2019)
    assert result["total_t"] == pytest.approx(totals.to_numpy().sum() * 1e6)
    assert all(f"'{city}'" in jiangsu.said["spreadoverlanduse"] for city in missing)
    made = gpd.read_file(jiangsu.path("counties_2019.gpkg"))
    assert made.loc[made["Name_Perfecture"].isin(missing), "gross_t"].isna().all()
    assert made.loc[~made["Name_Perfecture"].isin(missing), "gross_t"].gt(0).all()


def test_statistics_of_jiangsus_cities(data, jiangsu):
    city_totals(data, jiangsu, 2010)
    spread_cities(jiangsu, 2010)
    jiangsu(
        "landusestatistics",
        "classes.csv",
        land_use=jiangsu.path("use.tif"),
        districts=jiangsu.path("counties_2010.gpkg"),
        name_field="Name_Perfecture",
        table=jiangsu.path("table.csv"),
        report=jiangsu.path("report.html"),
    )
    table = pd.read_csv(jiangsu.path("table.csv")).set_index("district")
    assert len(table) == 14
    assert table.loc["南京市", "total"] == pytest.approx(11_316.89, rel=1e-5)
    assert table.loc["all districts", "industry"] / table.loc["all districts", "total"] == pytest.approx(0.9373)
    # Published area of Jiangsu: 107,200 km2, of which this map leaves out some water.
    areas = pd.read_csv(jiangsu.path("classes.csv")).groupby("district")["area_m2"].sum() / 1e6
    assert areas["all districts"] == pytest.approx(102_000, rel=0.05)
