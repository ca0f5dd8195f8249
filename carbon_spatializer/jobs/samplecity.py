"""Job ``createsamplecity``: a made-up city with everything that the other tools take."""

from pathlib import Path

import geopandas as gpd
import pandas as pd
import rasterio

from ..core import samplecity
from ..core.errors import InputError
from ..core.samplecity import statistics
from . import layers
from .accounting import factor_library
from .run import Run

# UTM zone 51N; the middle of the city is near 31.3 N 120.6 E.
_CRS = "EPSG:32651"
_MIDDLE = (271_500.0, 3_465_500.0)
_CELL = 100.0
_LAND_USE_CELL = 30.0
_NODATA = -1.0
_DATA = Path(__file__).resolve().parents[1] / "data"

_LAND_COLOURS = {
    "mining land": "#6b4f3a",
    "industrial land": "#b38867",
    "municipal utilities": "#7d6bb3",
    "urban residential land": "#ffd98a",
    "rural homestead": "#e8b45a",
    "commercial and business land": "#e0524f",
    "administration and public service land": "#e88bc0",
    "road land": "#ffffff",
    "railway land": "#555555",
    "airport land": "#9aa5b1",
    "water transport land": "#2c6fa8",
    "cultivated land": "#f4f3c4",
    "garden land": "#cfe39b",
    "agricultural facilities land": "#b0a04c",
    "forest land": "#5e9c57",
    "grassland": "#a8d98a",
    "water": "#9ccbe8",
    "unused land": "#d9d4cc",
}
_LINE_COLOURS = {
    "motorway": "#c2410c",
    "trunk": "#e8743b",
    "primary": "#f0a35e",
    "secondary": "#d6b656",
    "tertiary": "#a3a3a3",
    "residential": "#c9c9c9",
    "railway": "#222222",
    "waterway": "#3b82c4",
    "runway": "#6b7280",
}
_POINT_COLOURS = {
    "mining": "#6b4f3a",
    "manufacturing": "#8c5a2b",
    "utility": "#6b4fb3",
    "commercial service": "#d62728",
    "public service": "#d63f9c",
    "transport facility": "#2c6fa8",
    "residential community": "#e8a200",
}
# CAS/RESDC codes that the city has.
_CLASSES = {
    11: ("#f4f3c4", "11 paddy field"),
    12: ("#e3dc9a", "12 dry farmland"),
    21: ("#5e9c57", "21 closed forest"),
    24: ("#cfe39b", "24 orchards and other woodland"),
    31: ("#a8d98a", "31 dense grassland"),
    42: ("#9ccbe8", "42 lakes"),
    51: ("#e0524f", "51 urban land"),
    52: ("#e8b45a", "52 rural settlements"),
    53: ("#8c5a2b", "53 other construction land"),
    65: ("#d9d4cc", "65 bare soil"),
}


def create_sample_city(
    run: Run,
    *,
    parcels: str,
    parcels_count: int = 5000,
    seed: int = 0,
    pois_per_parcel: float = 3.0,
    pois: str | None = None,
    roads: str | None = None,
    townships: str | None = None,
    population: str | None = None,
    land_use: str | None = None,
    parks: str | None = None,
    activity: str | None = None,
    totals: str | None = None,
    parts_activity: str | None = None,
) -> dict:
    """Make a city that looks like one, with Suzhou's published emissions of 2020; the same seed gives the same city.

    parcels : output polygons: parcel_id, land_type, region, township, floors, floor_m2
    parcels_count : number of parcels, 500 to 2,000,000
    seed : of the random numbers
    pois_per_parcel : mean number of points of interest per parcel, more than 0 to 20
    pois : output points: name, category, industry (GB/T 4754 division, or NM), employees; None leaves them out, as
        for all that follow
    roads : output lines: name, type (roads, railway, waterway, runway)
    townships : output polygons: township, region, gdp (10^4 yuan), population (persons)
    population : output raster, persons per cell of 100 m
    land_use : output raster of 30 m cells with CAS/RESDC codes, for ``delineateemissionland``
    parks : output polygons of industrial parks: name
    activity : output table for ``accountsectors``, worked out from the totals with a grid factor of 0.5810 t/MWh
    totals : output table for ``allocatetoparcels``, t CO2e
    parts_activity : output table for ``accountsectors`` with the scheme nanjing, by district and with the same grid
        factor: Nanjing's published emissions of 2020
    """
    if not 0 < pois_per_parcel <= 20:
        raise InputError("pois_per_parcel", f"{pois_per_parcel:g} is out of range", "Give more than 0 and at most 20")
    outputs = {"parcels": parcels, "pois": pois, "roads": roads, "townships": townships}
    outputs |= {"population": population, "land_use": land_use, "parks": parks, "activity": activity, "totals": totals}
    outputs["parts_activity"] = parts_activity
    staged = {name: run.stage(path, name) for name, path in outputs.items() if path}
    city = samplecity.create(parcels_count, seed, run.part(0.0, 0.4))
    points = round(parcels_count * pois_per_parcel)
    numbers = {"townships_count": len(city.townships)}
    run.progress(0.4, "Writing parcels")
    _write(city.parcels, staged["parcels"])
    if roads:
        run.progress(0.55, "Writing roads")
        _write(city.roads, staged["roads"])
    if townships:
        _write(city.townships, staged["townships"])
    if population:
        run.progress(0.6, "Writing the population")
        numbers["persons"] = _write_population(city, staged["population"])
    if land_use:
        run.progress(0.62, "Writing the land use")
        _write_land_use(city, staged["land_use"])
    if parks:
        _write(city.parks(), staged["parks"])
    if pois:
        _write_points(city, points, staged["pois"], run.part(0.65, 0.98))
        numbers["pois_count"] = points
    published = pd.read_csv(_DATA / "suzhou_totals.csv", keep_default_na=False)
    if activity:
        carriers = pd.read_csv(_DATA / "sample_carriers.csv", keep_default_na=False)
        factors = factor_library("suzhou", statistics.GRID_FACTOR)
        layers.write_layer(statistics.activity(published, carriers, factors), staged["activity"])
    if totals:
        layers.write_layer(statistics.totals(published), staged["totals"])
    if parts_activity:
        tables = [pd.read_csv(_DATA / f"nanjing_{name}.csv", keep_default_na=False) for name in ("totals", "carriers")]
        factors = factor_library("nanjing", statistics.GRID_FACTOR)
        by_district = statistics.activity_by_district(*tables, factors, city.townships)
        layers.write_layer(by_district, staged["parts_activity"])
    styles = {
        "parcels": _categories("land_type", _LAND_COLOURS),
        "roads": _categories("type", _LINE_COLOURS),
        "pois": _categories("category", _POINT_COLOURS),
        "land_use": {
            "kind": "raster classes",
            "classes": [[code, colour, name] for code, (colour, name) in _CLASSES.items()],
        },
    }
    return {
        "summary": _sentence(city, points if pois else None),
        "styles": {name: style for name, style in styles.items() if name in staged},
        **numbers,
    }


def _sentence(city: samplecity.City, points: int | None) -> str:
    area = sum(shape.area for shape in city.townships["geometry"]) / 1e6
    text = f"A city of {area:,.0f} km2 with {len(city.parcels):,} parcels in {len(city.townships)} townships"
    return text + (f" and {points:,} points of interest." if points else ".")


def _categories(field: str, colours: dict[str, str]) -> dict:
    return {"kind": "categories", "field": field, "classes": [[name, code, name] for name, code in colours.items()]}


def _write(frame: pd.DataFrame, path: Path) -> None:
    text = {name: frame[name].astype(str) for name in frame.select_dtypes("category")}
    geometry = gpd.GeoSeries(frame["geometry"], crs=_CRS).translate(*_MIDDLE)
    layers.write_layer(gpd.GeoDataFrame(frame.assign(**text), geometry=geometry), path)


def _write_points(city: samplecity.City, count: int, path: Path, progress) -> None:
    def frames():
        done = 0
        for frame in city.points(count):
            progress(done / count, "Writing points of interest")
            done += len(frame)
            text = {name: frame[name].astype(str) for name in frame.select_dtypes("category")}
            yield frame.assign(x=frame["x"] + _MIDDLE[0], y=frame["y"] + _MIDDLE[1], **text)

    layers.write_points(frames(), path, _CRS)


def _write_population(city: samplecity.City, path: Path) -> float:
    grid, west, north = city.population(_CELL)
    _write_raster(path, grid.astype("float32"), west, north, _CELL, _NODATA, "persons per cell")
    return float(grid.sum())


def _write_land_use(city: samplecity.City, path: Path) -> None:
    grid, west, north = city.land_use(_LAND_USE_CELL)
    _write_raster(path, grid, west, north, _LAND_USE_CELL, 0, "CAS/RESDC land-use code")


def _write_raster(path: Path, grid, west: float, north: float, side: float, nodata: float, description: str) -> None:
    settings = {"driver": "GTiff", "count": 1, "dtype": grid.dtype, "nodata": nodata, "compress": "deflate"}
    transform = rasterio.transform.from_origin(west + _MIDDLE[0], north + _MIDDLE[1], side, side)
    height, width = grid.shape
    with rasterio.open(path, "w", height=height, width=width, crs=_CRS, transform=transform, **settings) as file:
        file.write(grid, 1)
        file.set_band_description(1, description)
