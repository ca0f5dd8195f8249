"""The worker's promises kept by a job of the plugin itself, which writes through GDAL."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import pytest

PROJECT = Path(__file__).resolve().parents[2]


def start(job, request, **arguments):
    request.write_text(json.dumps(arguments), encoding="utf-8")
    call = [sys.executable, "-m", "carbon_spatializer.worker", job, str(request)]
    return subprocess.Popen(call, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def finish(process):
    """Exit status and last reply."""
    output, _ = process.communicate(timeout=120)
    return process.returncode, json.loads(output.splitlines()[-1])


def mass_of(file):
    return gpd.read_file(file, layer=file.stem)["gross_t"].sum()


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """A sample city in a folder with blanks, Chinese characters and an emoji."""
    folder = tmp_path_factory.mktemp("a city 城市 🌆")
    outputs = {name: str(folder / f"{name}.gpkg") for name in ("parcels", "pois", "roads", "townships")}
    outputs |= {name: str(folder / f"{name}.csv") for name in ("activity", "totals")}
    outputs["population"] = str(folder / "population.tif")
    status, reply = finish(start("createsamplecity", folder / "request.json", parcels_count=600, **outputs))
    assert status == 0, reply
    return folder


@pytest.fixture(scope="module")
def parcels(city):
    """Parcels with emissions, and their sum."""
    output = city / "allocated 排放.gpkg"
    process = start(
        "allocatetoparcels",
        city / "request.json",
        parcels=str(city / "parcels.gpkg"),
        totals=str(city / "totals.csv"),
        pois=str(city / "pois.gpkg"),
        lines=str(city / "roads.gpkg"),
        population=str(city / "population.tif"),
        output=str(output),
    )
    status, reply = finish(process)
    assert status == 0, reply
    return output, mass_of(output)


def test_killed_at_20_random_moments_never_leaves_half_a_layer(parcels, tmp_path):
    source, mass = parcels
    moments = random.Random(11)
    started = time.monotonic()
    status, _ = finish(
        start("aggregatetogrid", tmp_path / "r.json", input=str(source), output=str(tmp_path / "0.gpkg"))
    )
    whole = time.monotonic() - started
    assert status == 0
    outcomes = set()
    for number in range(20):
        output = tmp_path / f"grid{number}.gpkg"
        # Half of the moments fall into the last part of the run, where the file is written and moved.
        moment = moments.uniform(0, 1.2) if number % 2 else moments.uniform(0.8, 1.1)
        process = start("aggregatetogrid", tmp_path / "r.json", input=str(source), output=str(output))
        time.sleep(moment * whole)
        process.kill()
        process.communicate()
        outcomes.add(output.exists())
        if output.exists():
            assert mass_of(output) == pytest.approx(mass, rel=1e-9)
    assert False in outcomes


@pytest.mark.parametrize(("job", "output"), [("aggregatetogrid", "grid.gpkg"), ("createsamplecity", "population.tif")])
def test_full_disk(parcels, tmp_path, job, output):
    folder = tmp_path / "small disk"
    folder.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)]
    mounted = subprocess.run(call, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here ({mounted.stderr.strip()})")
    arguments = {"input": str(parcels[0]), "output": str(folder / output)}
    if job == "createsamplecity":
        others = {name: str(tmp_path / f"{name}.csv") for name in ("activity", "totals")}
        others |= {name: str(tmp_path / f"{name}.gpkg") for name in ("parcels", "pois", "roads", "townships")}
        arguments = {"parcels_count": 20000, "population": str(folder / output), **others}
    try:
        status, reply = finish(start(job, tmp_path / "r.json", **arguments))
        assert status == 1
        assert "disk is full" in reply["text"]
        assert list(folder.iterdir()) == []
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_two_runs_of_qgis_process_side_by_side(qgis_process, parcels, tmp_path):
    source, mass = parcels
    folder = tmp_path / "两个 runs 🌆"
    folder.mkdir()
    outputs = [folder / f"grid {size}.gpkg" for size in (500, 1000)]
    processes = [
        qgis_process.start(
            "run", "carbon:aggregatetogrid", f"--INPUT={source}", f"--CELL_SIZE={size}", f"--OUTPUT={output}"
        )
        for size, output in zip((500, 1000), outputs)
    ]
    for process, output in zip(processes, outputs):
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 0, text
        assert mass_of(output) == pytest.approx(mass, rel=1e-9)
    assert not list(folder.glob(".carbon-*"))


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_to_qgis_process_end_the_worker(qgis_process, tmp_path, sign):
    """Ctrl-C cancels; a terminated or killed QGIS takes its worker along. Nothing is left in either case."""

    def workers():
        commands = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
        return [command for command in commands if b"createsamplecity" in command and b"__main__.py" in command]

    assert not workers()
    outputs = [f"--{name}={tmp_path / name}.gpkg" for name in ("PARCELS", "POIS", "ROADS", "TOWNSHIPS")]
    process = qgis_process.start("run", "carbon:createsamplecity", "--PARCELS_COUNT=300000", *outputs)
    end = time.monotonic() + 60
    while not list(tmp_path.glob(".carbon-*")) and time.monotonic() < end:
        time.sleep(0.05)
    assert workers()
    signalled = time.monotonic()
    os.killpg(process.pid, sign)
    while (workers() or list(tmp_path.iterdir())) and time.monotonic() - signalled < 10:
        time.sleep(0.02)
    took = time.monotonic() - signalled
    text, _ = process.communicate(timeout=60)
    assert took < 2, text
    assert process.returncode != 0
    assert list(tmp_path.iterdir()) == []
    if sign == signal.SIGINT:
        assert "Cancelled; nothing was written." in text
