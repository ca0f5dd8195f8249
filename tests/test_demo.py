"""The demo: one command leaves layers, tables, charts and maps."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import rasterio

PROJECT = Path(__file__).resolve().parents[1]
OUT = PROJECT / "demo-output"
# Layer -> classes that its style has at least.
LAYERS = {"city": 10, "parcels": 5, "grid_1000m": 5, "townships": 5, "zones": 4, "land_districts": 4}
RASTERS = {"emission_land": 5, "land_emissions": 4, "land_industry": 3, "land_city": 3, "land_agriculture": 3}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo():
    """Run the demo with the Python of the tests; its seconds of computing and what it said."""
    if not shutil.which("qgis_process"):
        pytest.skip("qgis_process is not installed")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [str(PROJECT / "scripts" / "demo")],
        capture_output=True,
        text=True,
        env={"CARBON_SPATIALIZER_PYTHON": sys.executable} | os.environ,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.stdout


def test_it_says_where_the_results_are_within_a_minute(demo):
    seconds, said = demo
    assert str(OUT) in said
    assert seconds < 60, "of computing, since machines are busy"
    for name in (
        "carbon_city.gpkg",
        "ledger.csv",
        "accounting.html",
        "zoning.html",
        "totals.csv",
        "zones.csv",
        "land_use.html",
    ):
        assert name in said
        assert (OUT / name).stat().st_size > 0


def test_the_geopackage_holds_all_layers_with_their_styles(demo):
    with sqlite3.connect(OUT / "carbon_city.gpkg") as package:
        tables = {name for (name,) in package.execute("SELECT table_name FROM gpkg_contents")}
        styles = dict(package.execute("SELECT f_table_name, styleQML FROM layer_styles WHERE useAsDefault"))
    assert tables >= {*LAYERS, "pois", "roads", "ledger"}
    for name, classes in LAYERS.items():
        assert styles[name].count("<range ") + styles[name].count("<category ") >= classes, name


@pytest.mark.parametrize("name", [*LAYERS, *RASTERS])
def test_the_maps_show_their_classes(demo, name):
    """Colours that fill at least a thousandth of the page: background and text alone would be two or three."""
    image = matplotlib.image.imread(OUT / "maps" / f"{name}.png")[..., :3]
    _, counts = np.unique((image * 15).astype(int).reshape(-1, 3), axis=0, return_counts=True)
    assert (counts > image.shape[0] * image.shape[1] / 1000).sum() >= (LAYERS | RASTERS)[name]


def test_every_tonne_is_in_the_ledger_and_on_each_map(demo):
    totals = pd.read_csv(OUT / "totals.csv")
    ledger = pd.read_csv(OUT / "ledger.csv")
    assert ledger["in_t"].sum() == pytest.approx(totals["net_t"].sum(), rel=1e-9)
    assert (ledger["allocated_t"] + ledger["unallocated_t"]).sum() == pytest.approx(totals["net_t"].sum(), rel=1e-9)
    with sqlite3.connect(OUT / "carbon_city.gpkg") as package:
        for name in ("parcels", "grid_1000m", "townships"):
            [(gross, sink)] = package.execute(f'SELECT sum(gross_t), sum(sink_t) FROM "{name}"')
            assert gross == pytest.approx(totals["gross_t"].sum(), rel=1e-9)
            assert sink == pytest.approx(totals["sink_t"].sum(), rel=1e-9)


def test_every_tonne_is_on_the_land_that_it_comes_from(demo):
    """Nanjing paper, Table 2: 12,714.46 x 10^4 t, 93.73 % of it industry."""
    assert pd.read_csv(OUT / "parts_totals.csv")["gross_t"].sum() == pytest.approx(127_144_600, rel=1e-9)
    sums = {}
    for name in ("emissions", "industry", "city", "agriculture", "rural"):
        with rasterio.open(OUT / f"land_{name}.tif") as raster:
            sums[name] = float(np.nansum(raster.read(1)))
    assert sums["emissions"] == pytest.approx(127_144_600, rel=1e-9)
    assert sums["industry"] == pytest.approx(119_166_700, rel=1e-9)
    assert sum(sums.values()) == pytest.approx(2 * sums["emissions"], rel=1e-9)
    table = pd.read_csv(OUT / "land_table.csv")
    assert table["total"].iloc[-1] == pytest.approx(12714.46, rel=1e-9)
    assert len(table) == 6
