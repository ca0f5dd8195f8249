"""The measuring part of scripts/bench statistics: weights and local Moran's I of irregular cells, from geometries in
memory to p values, against libpysal's Graph and esda; and the whole job on a million cells, GeoPackage in and out.

Each measurement is a process of its own, so that its peak memory is its own. Loading the libraries is not counted.
Both run on one thread, so that processor time is what a machine without other load would take; the comparison rests on
it, and the wall clock is printed beside it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
OUTPUT = PROJECT / "bench-output"
OURS, REFERENCE, JOB = "carbon spatializer", "libpysal Graph + esda", "carbon:localmoransi, whole job"
COMPARED, PERMUTATIONS = 100_000, 999
LARGEST, MANY_PERMUTATIONS = 1_000_000, 9_999
LEAST_RATIO = 20
MOST_MEMORY_GB = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--repeat", type=int, default=3, help="runs of each comparison; the fastest counts (default: 3)"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        default=[1_000, 10_000, COMPARED, LARGEST],
        metavar="CELLS",
        help=f"numbers of cells for the growth (default: 1000 10000 {COMPARED} {LARGEST})",
    )
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        tool, size, permutations = options.child
        print(json.dumps(CHILDREN[tool](int(size), int(permutations))))
        return 0
    OUTPUT.mkdir(exist_ok=True)
    runs = []
    for size in sorted({*options.size, COMPARED}):
        # Taking turns lets other load on the machine meet both alike.
        for _ in range(options.repeat if size <= COMPARED else 1):
            for tool in (OURS, REFERENCE) if size <= COMPARED else (OURS,):
                runs.append(measure(tool, size, PERMUTATIONS))
    largest = max(options.size)
    runs += [measure(OURS, largest, MANY_PERMUTATIONS), measure(JOB, largest, MANY_PERMUTATIONS)]
    passed = report(runs, largest)
    plot(runs)
    (OUTPUT / "bench_statistics.json").write_text(json.dumps(runs, indent=1), encoding="utf-8")
    print(f"\nThe figures are in {OUTPUT / 'bench_statistics.json'}, the chart in {OUTPUT / 'bench_statistics.png'}.")
    return 0 if passed else 1


# The children -------------------------------------------------------------------------------------------------------


def cells(size: int) -> np.ndarray:
    """At least ``size`` quadrilaterals of a grid of 100 m whose corners are moved at random, and share them exactly."""
    import shapely

    side = int(np.ceil(np.sqrt(size)))
    corners = np.stack(np.meshgrid(np.arange(side + 1.0), np.arange(side + 1.0)), axis=-1)
    corners += np.random.default_rng(0).uniform(-0.3, 0.3, corners.shape)
    corners = 500_000 + 100 * corners
    rings = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=2)
    return shapely.polygons(rings.reshape(-1, 4, 2))


def values(size: int) -> np.ndarray:
    """Skewed values with a spatial pattern."""
    side = int(np.sqrt(size))
    east, north = np.meshgrid(np.arange(side), np.arange(side))
    noise = np.random.default_rng(1).normal(size=size)
    return np.exp(np.sin(8 * east / side) * np.cos(6 * north / side)).ravel() * np.exp(0.5 * noise)


def run_ours(size: int, permutations: int) -> dict:
    sys.path.insert(0, str(PROJECT))
    from carbon_spatializer.core import autocorrelation, weights

    geometries = cells(size)
    x = values(len(geometries))
    started, processor = time.perf_counter(), time.process_time()
    matrix = weights.row_standardise(weights.contiguity(geometries))
    linked = time.process_time()
    result = autocorrelation.local_moran(x, matrix, permutations=permutations, alternative="directed")
    return {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - processor,
        "weights_seconds": linked - processor,
        "cells": len(geometries),
        "links": matrix.nnz,
        "significant": float((result.p <= 0.05).mean()),
    }


def run_reference(size: int, permutations: int) -> dict:
    import geopandas
    from esda.moran import Moran_Local
    from libpysal.graph import Graph

    geometries = geopandas.GeoSeries(cells(size))
    x = values(len(geometries))
    started, processor = time.perf_counter(), time.process_time()
    graph = Graph.build_contiguity(geometries, rook=False)
    linked = time.process_time()
    result = Moran_Local(x, graph, permutations=permutations, keep_simulations=False, seed=0)
    return {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - processor,
        "weights_seconds": linked - processor,
        "cells": len(geometries),
        "links": int((graph.adjacency > 0).sum()),
        "significant": float((result.p_sim <= 0.05).mean()),
    }


def run_job(size: int, permutations: int) -> dict:
    folder = Path(os.environ["BENCH_FOLDER"])
    sys.path.insert(0, str(PROJECT))
    from carbon_spatializer.jobs.run import Run
    from carbon_spatializer.jobs.statistics import local_morans_i

    started, processor = time.perf_counter(), time.process_time()
    run = Run()
    result = local_morans_i(
        run,
        input=str(folder / "cells.gpkg"),
        fields="co2_t",
        divide_by="area",
        permutations=permutations,
        output=str(folder / "clusters.gpkg"),
        report=str(folder / "report.html"),
    )
    run.commit({})
    return {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - processor,
        "cells": size,
        "significant": result["significant"],
    }


def make_layer(size: int, permutations: int) -> dict:
    import geopandas

    geometries = cells(size)
    frame = geopandas.GeoDataFrame({"co2_t": values(len(geometries))}, geometry=geometries, crs="EPSG:32650")
    frame.to_file(Path(os.environ["BENCH_FOLDER"]) / "cells.gpkg", use_arrow=True)
    return {"cells": len(frame)}


CHILDREN = {OURS: run_ours, REFERENCE: run_reference, JOB: run_job, "layer": make_layer}


# The parent ---------------------------------------------------------------------------------------------------------


def measure(tool: str, size: int, permutations: int) -> dict:
    """Run a child; its figures and its peak memory in GB."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if tool == JOB:
            start("layer", size, permutations, folder)
        found = {"tool": tool, "size": size, "permutations": permutations} | start(tool, size, permutations, folder)
    print(
        f"  {tool:32}{found['cells']:>10,} cells{permutations:>7,} permutations"
        f"{found['seconds']:9.2f} s{found['gigabytes']:7.2f} GB",
        flush=True,
    )
    return found


def start(tool: str, size: int, permutations: int, folder: str) -> dict:
    command = [sys.executable, __file__, "--child", tool, str(size), str(permutations)]
    # One thread for the libraries of both, which the work does not need more of.
    environment = os.environ | {"BENCH_FOLDER": folder, "OMP_NUM_THREADS": "1"}
    with (OUTPUT / "log_statistics.txt").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        lines = log.read().strip().splitlines()
    if process.returncode != 0:
        sys.exit(f"{tool} failed on {size:,} cells; see {OUTPUT / 'log_statistics.txt'}.")
    return json.loads(lines[-1]) | {"gigabytes": usage.ru_maxrss / 1e6}


def best(runs: list[dict], tool: str, permutations: int) -> list[dict]:
    """The fastest run of a tool for each size."""
    chosen: dict[int, dict] = {}
    for run in runs:
        if (run["tool"], run["permutations"]) == (tool, permutations):
            before = chosen.get(run["size"])
            if before is None or run["processor_seconds"] < before["processor_seconds"]:
                chosen[run["size"]] = run
    return [chosen[size] for size in sorted(chosen)]


def report(runs: list[dict], largest: int) -> bool:
    """Print the tables; whether the aims are met."""
    ours, theirs = ({run["size"]: run for run in best(runs, tool, PERMUTATIONS)} for tool in (OURS, REFERENCE))
    first, second = ours[COMPARED], theirs[COMPARED]
    print(f"\n{first['cells']:,} cells, {PERMUTATIONS} permutations, geometries in memory to p values (fastest run)")
    print(f"{'':24}{'processor time: all':>20}{'weights':>10}{'test':>10}{'wall clock':>12}", end="")
    print(f"{'memory':>12}{'links':>10}{'p <= 0.05':>11}")
    for run in (first, second):
        test_seconds = run["processor_seconds"] - run["weights_seconds"]
        print(f"{run['tool']:24}{run['processor_seconds']:18.2f} s{run['weights_seconds']:8.2f} s", end="")
        print(f"{test_seconds:8.2f} s{run['seconds']:10.2f} s{run['gigabytes']:9.2f} GB", end="")
        print(f"{run['links']:10,}{run['significant']:11.4f}")
    ratio, weights_ratio, wall_ratio = (
        second[key] / first[key] for key in ("processor_seconds", "weights_seconds", "seconds")
    )
    print(f"{'times faster':24}{ratio:18.1f}{weights_ratio:12.1f}{'':10}{wall_ratio:12.1f}")
    fast = ratio >= LEAST_RATIO and first["links"] == second["links"]
    print(f"At least {LEAST_RATIO} times faster, with the same links: {'yes' if fast else 'NO'}")
    small = True
    print(f"\n{largest:,} cells, {MANY_PERMUTATIONS:,} permutations")
    for tool in (OURS, JOB):
        [run] = best(runs, tool, MANY_PERMUTATIONS)
        print(f"{tool:32}{run['processor_seconds']:8.2f} s{run['seconds']:8.2f} s wall clock", end="")
        print(f"{run['gigabytes']:9.2f} GB")
        small &= run["gigabytes"] < MOST_MEMORY_GB
    print(f"Peak memory under {MOST_MEMORY_GB} GB: {'yes' if small else 'NO'}")
    print(f"\nGrowth of the processor time, {PERMUTATIONS} permutations")
    print(f"{'cells':>12}{OURS:>24}{REFERENCE:>26}")
    for size in sorted(ours):
        line = f"{ours[size]['cells']:12,}{ours[size]['processor_seconds']:22.3f} s"
        print(line + (f"{theirs[size]['processor_seconds']:24.2f} s" if size in theirs else ""))
    return fast and small


def plot(runs: list[dict]) -> None:
    """Time and memory over the number of cells, on logarithmic axes."""
    figure, (time_axes, memory_axes) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    series = [
        (OURS, PERMUTATIONS, "o-", "#b30000"),
        (OURS, MANY_PERMUTATIONS, "D", "#fc8d59"),
        (JOB, MANY_PERMUTATIONS, "s", "#7a0177"),
        (REFERENCE, PERMUTATIONS, "^-", "#225ea8"),
    ]
    for tool, permutations, marker, colour in series:
        found = best(runs, tool, permutations)
        sizes = [run["cells"] for run in found]
        label = f"{tool}, {permutations:,} permutations"
        time_axes.loglog(sizes, [run["processor_seconds"] for run in found], marker, color=colour, label=label)
        memory_axes.semilogx(sizes, [run["gigabytes"] for run in found], marker, color=colour)
    memory_axes.axhline(MOST_MEMORY_GB, color="0.5", ls="--")
    for axes, label in ((time_axes, "seconds of processor time"), (memory_axes, "peak memory of the process, GB")):
        axes.set(xlabel="cells", ylabel=label)
        axes.grid(which="major", alpha=0.3)
    time_axes.legend(fontsize=8)
    figure.suptitle("Weights and local Moran's I")
    figure.savefig(OUTPUT / "bench_statistics.png", dpi=150)


if __name__ == "__main__":
    sys.exit(main())
