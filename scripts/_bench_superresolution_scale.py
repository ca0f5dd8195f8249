"""The part ``scale`` of scripts/bench superresolution: the whole job carbon:superresolve x2 on rasters of growing size,
GeoTIFF in and out, each in a process of its own, so that its peak memory is its own."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
SIZES = ((600, 500), (1200, 1000), (2400, 2000), (4800, 4000))
MOST_MEMORY_GB = 2
CELL = 1000.0


def scale(output: Path, device: str = "auto") -> bool:
    """Measure each size, print the table, write it and a chart to a folder; whether the largest kept to the memory."""
    rows = []
    print(f"\n{'cells':>12} {'megacells':>9} {'training s':>10} {'rest s':>8} {'processor s':>11} {'peak GB':>8}")
    for width, height in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "in.tif"
            write(source, width, height)
            call = [sys.executable, __file__, "--child", str(source), str(Path(folder) / "out.tif"), device]
            row = json.loads(subprocess.run(call, stdout=subprocess.PIPE, check=True).stdout)
        rows.append({"width": width, "height": height, **row})
        print(
            f"{f'{width} x {height}':>12} {width * height / 1e6:9.2f} {row['training_s']:10.1f} {row['rest_s']:8.1f} "
            f"{row['processor_s']:11.1f} {row['peak_gb']:8.2f}",
            flush=True,
        )
    (output / "bench_superresolution_scale.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    plot(rows, output / "bench_superresolution_scale.png")
    peak = rows[-1]["peak_gb"]
    print(f"Peak memory of the largest: {peak:.2f} GB; the aim is less than {MOST_MEMORY_GB}.")
    return peak < MOST_MEMORY_GB


def plot(rows: list[dict], path: Path) -> None:
    import matplotlib.pyplot as plt

    cells = [row["width"] * row["height"] / 1e6 for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    labels = {"training_s": "training", "rest_s": "test, prediction, files", "processor_s": "processor, all"}
    for name, label in labels.items():
        left.plot(cells, [row[name] for row in rows], "o-", label=label)
    left.set(xscale="log", yscale="log", xlabel="million cells of the input", ylabel="seconds", title="Time")
    left.legend()
    right.plot(cells, [row["peak_gb"] for row in rows], "o-")
    right.axhline(MOST_MEMORY_GB, color="#999", linestyle=":")
    right.set(xscale="log", ylim=(0, None), xlabel="million cells of the input", ylabel="GB", title="Peak memory")
    figure.savefig(path, dpi=120)


def emissions(width: int, height: int) -> np.ndarray:
    """Towns of all sizes, roads, point sources, hamlets, empty land and a sea without data; t CO2 per cell."""
    rng = np.random.default_rng(0)
    values = np.zeros((height, width))
    count = width * height // 4000
    places = rng.uniform(0, [height, width], (count, 2))
    for (row, column), reach, height_of in zip(places, rng.pareto(1.5, count) + 1, rng.lognormal(4, 1, count)):
        side = int(4 * min(reach, 30)) + 1
        top, left = int(row) - side, int(column) - side
        y, x = np.ogrid[max(top, 0) : min(top + 2 * side, height), max(left, 0) : min(left + 2 * side, width)]
        values[y, x] += height_of * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * min(reach, 30) ** 2))
    for start, end in zip(places[:-1:4], places[1::4]):
        if np.abs(end - start).max() < 300:
            steps = np.linspace(0, 1, int(np.abs(end - start).max()) + 2)[:, None]
            line = np.clip((start + (end - start) * steps).astype(int), 0, [height - 1, width - 1])
            values[line[:, 0], line[:, 1]] += 30
    points = rng.integers(0, [height, width], (count // 4, 2))
    values[points[:, 0], points[:, 1]] += rng.pareto(1.2, len(points)) * 2000
    values += rng.gamma(0.3, 4, values.shape)
    values[values < 1] = 0
    row, column = np.ogrid[:height, :width]
    sea = column > width * (0.8 + 0.08 * np.sin(row / height * 12))
    return np.where(sea, np.nan, values)


def write(path: Path, width: int, height: int) -> None:
    import rasterio
    from affine import Affine

    options = {"crs": "EPSG:6933", "transform": Affine(CELL, 0, 7e6, 0, -CELL, 6e6), "nodata": np.nan}
    options |= {"tiled": True, "compress": "deflate", "dtype": "float64", "count": 1}
    with rasterio.open(path, "w", driver="GTiff", width=width, height=height, **options) as dataset:
        dataset.write(emissions(width, height), 1)
        dataset.update_tags(QUANTITY="total", UNIT="t CO2")


def child(source: str, output: str, device: str) -> dict:
    sys.path.insert(0, str(PROJECT))
    from carbon_spatializer.jobs.run import Run
    from carbon_spatializer.jobs.superresolution import super_resolve

    started, processor = time.perf_counter(), time.process_time()
    run = Run(lambda reply: reply["type"] == "info" and print(reply["text"], file=sys.stderr))
    result = super_resolve(run, input=source, output=output, device=device)
    run.commit({})
    seconds = time.perf_counter() - started
    return {
        "training_s": result["training_seconds"],
        "rest_s": seconds - result["training_seconds"],
        "processor_s": time.process_time() - processor,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
        "relative_error": result["relative_error"],
        "rmse_saved_pct_over_bicubic": result["rmse_saved_pct_over_bicubic"],
        "output_gb": os.path.getsize(output) / 1e9,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    print(json.dumps(child(*parser.parse_args().child)))
