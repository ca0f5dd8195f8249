"""The measuring part of scripts/bench: sample cities, timed runs of qgis_process, a table and a chart.

Both tools read two GeoPackages and write one. A run's fixed cost, the start of QGIS and of the worker, is measured on a
city of 500 parcels in the same session; the rest is the work on the files.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt

PROJECT = Path(__file__).resolve().parents[1]
CITIES = PROJECT / "build" / "bench"
OUTPUT = PROJECT / "bench-output"
POIS_PER_PARCEL = 10
SMALLEST = 500
COMPARED = 100_000
LEAST_RATIO = 8
MOST_MEMORY_GB = 3
NATIVE, OURS = "native:countpointsinpolygon", "carbon:allocatetoparcels"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        default=[10_000, COMPARED, 1_000_000],
        metavar="PARCELS",
        help="numbers of parcels for the growth, each with 10 POIs (default: 10000 100000 1000000)",
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; the fastest counts (default: 3)")
    options = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    sizes = sorted({SMALLEST, *options.size})
    for size in sizes:
        make_city(size)
    runs = {}
    # Taking turns lets other load on the machine meet both tools alike.
    for size in sizes:
        for _ in range(options.repeat if size <= COMPARED else 1):
            for tool in (OURS, NATIVE) if size in (SMALLEST, COMPARED) else (OURS,):
                runs.setdefault((tool, size), []).append(measure(tool, size))
    best = {key: min(measured) for key, measured in runs.items()}
    memory = {key: max(gigabytes for _, gigabytes in measured) for key, measured in runs.items()}
    seconds = {key: value for key, (value, _) in best.items()}
    starts = [value for value, _ in runs[OURS, SMALLEST]]
    passed = report(seconds, memory, sizes[1:], max(starts) - min(starts))
    plot(seconds, sizes[1:])
    content = [
        {"tool": tool, "parcels": size, "seconds": round(value, 3), "gigabytes": round(memory[tool, size], 3)}
        for (tool, size), value in seconds.items()
    ]
    (OUTPUT / "bench.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(f"\nThe figures are in {OUTPUT / 'bench.json'}, the chart in {OUTPUT / 'bench.png'}.")
    return 0 if passed else 1


def make_city(size: int) -> None:
    """Parcels, POIs and totals of a sample city, kept for the next run."""
    folder = CITIES / str(size)
    if (folder / "done").exists():
        return
    print(f"Making a city of {size:,} parcels with {size * POIS_PER_PARCEL:,} POIs", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    request = {name: str(folder / f"{name}.gpkg") for name in ("parcels", "pois")}
    request |= {"totals": str(folder / "totals.csv"), "parcels_count": size, "pois_per_parcel": POIS_PER_PARCEL}
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    job = [sys.executable, "-m", "carbon_spatializer.worker", "createsamplecity", str(folder / "request.json")]
    subprocess.run(job, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    (folder / "done").touch()


def measure(tool: str, size: int) -> tuple[float, float]:
    """Wall-clock seconds of one run, and the largest resident memory (GB) of QGIS or of its worker."""
    folder = CITIES / str(size)
    output = folder / "output.gpkg"
    output.unlink(missing_ok=True)
    parameters = {
        NATIVE: {"POLYGONS": folder / "parcels.gpkg", "POINTS": folder / "pois.gpkg"},
        OURS: {"PARCELS": folder / "parcels.gpkg", "TOTALS": folder / "totals.csv", "POIS": folder / "pois.gpkg"},
    }[tool]
    command = ["qgis_process", "run", tool, *(f"--{name}={path}" for name, path in parameters.items())]
    started = time.perf_counter()
    with (OUTPUT / "log.txt").open("w") as log:
        process = subprocess.Popen([*command, f"--OUTPUT={output}"], stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or not output.exists():
        sys.exit(f"{tool} failed on {size:,} parcels; see {OUTPUT / 'log.txt'}.")
    print(f"  {tool:28} {size:>9,} parcels  {seconds:7.2f} s", flush=True)
    return seconds, usage.ru_maxrss / 1e6


def report(seconds: dict, memory: dict, sizes: list[int], spread: float) -> bool:
    """Print the tables; whether the aims are met. ``spread`` : seconds by which the measured start varies."""
    passed = True
    work = {key: value - seconds[key[0], SMALLEST] for key, value in seconds.items()}
    if (NATIVE, COMPARED) in seconds:
        print(f"\n{COMPARED:,} parcels, {COMPARED * POIS_PER_PARCEL:,} POIs, GeoPackage in and out (fastest run)")
        print(f"{'':30}{'whole run':>12}{'start':>10}{'work':>10}{'peak memory':>14}")
        for tool in (NATIVE, OURS):
            key = tool, COMPARED
            print(f"{tool:30}{seconds[key]:10.2f} s{seconds[tool, SMALLEST]:8.2f} s", end="")
            print(f"{work[key]:8.2f} s{memory[key]:11.2f} GB")
        whole = seconds[NATIVE, COMPARED] / seconds[OURS, COMPARED]
        ratio = work[NATIVE, COMPARED] / work[OURS, COMPARED]
        print(f"{'times faster':30}{whole:12.1f}{'':10}{ratio:10.1f}")
        fast, small = ratio >= LEAST_RATIO, memory[OURS, COMPARED] < MOST_MEMORY_GB
        print(f"Work at least {LEAST_RATIO} times faster: {'yes' if fast else 'NO'}")
        print(f"Peak memory under {MOST_MEMORY_GB} GB: {'yes' if small else 'NO'}")
        passed = fast and small
    print(f"\nGrowth of {OURS}, {POIS_PER_PARCEL} POIs per parcel")
    print(f"{'parcels':>12}{'whole run':>12}{'work':>10}{'peak memory':>14}{'grew by':>10}{'n log n':>10}")
    for number, size in enumerate(sizes):
        key = OURS, size
        line = f"{size:12,}{seconds[key]:10.2f} s{work[key]:8.2f} s{memory[key]:11.2f} GB"
        if number:
            before = sizes[number - 1]
            grew, most = work[key] / max(work[OURS, before], 1e-3), n_log_n(size) / n_log_n(before)
            line += f"{grew:10.1f}{most:10.1f}"
            passed &= work[key] <= most * (work[OURS, before] + spread)
        print(line)
    return passed


def n_log_n(size: int) -> float:
    return size * math.log(size)


def plot(seconds: dict, sizes: list[int]) -> None:
    """Growth on logarithmic axes, with n log n through the largest size and QGIS's own tool beside it."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    times = [seconds[OURS, size] for size in sizes]
    work = [value - seconds[OURS, SMALLEST] for value in times]
    axes.loglog(sizes, times, "o-", color="#b30000", label=f"{OURS}, whole run")
    axes.loglog(sizes, work, "o-", color="#fc8d59", label=f"{OURS}, work without start")
    for size, value in zip(sizes, times):
        axes.annotate(f"{value:.1f} s", (size, value), textcoords="offset points", xytext=(0, 8), ha="center")
    scale = work[-1] / n_log_n(sizes[-1])
    axes.loglog(sizes, [scale * n_log_n(size) for size in sizes], "--", color="0.5", label="n log n")
    if (NATIVE, COMPARED) in seconds:
        value = seconds[NATIVE, COMPARED]
        axes.loglog([COMPARED], [value], "s", color="#225ea8", label=f"{NATIVE}, whole run")
        axes.annotate(f"{value:.1f} s", (COMPARED, value), textcoords="offset points", xytext=(0, 8), ha="center")
    axes.set(xlabel=f"parcels, each with {POIS_PER_PARCEL} POIs", ylabel="seconds", title="Allocation to parcels")
    axes.margins(x=0.12, y=0.15)
    axes.grid(which="major", alpha=0.3)
    axes.legend()
    figure.savefig(OUTPUT / "bench.png", dpi=150)


if __name__ == "__main__":
    sys.exit(main())
