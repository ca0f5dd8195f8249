"""The measuring part of scripts/bench superresolution: the fast method against the published one (paper), bicubic
interpolation and area weighting, where the finer truth is known.

city: synthetic emissions of 400 x 400 cells (settlements, roads, 40 point sources on grounds of a few cells, nothing in
between), aggregated to 200 x 200 and super-resolved. sharp: the same with sources that fill rectangles of 1 to 6 cells
evenly, which nothing in the coarse raster can tell from others. lights: real night lights of Pune
(CARBON_SPATIALIZER_DATA or ../shared/data). scale: the whole job on rasters of up to 4800 x 4000 cells.

Every training is a process of its own on one thread; times are processor time, so that other load on the machine
matters little. Finished trainings are kept in bench-output/superresolution and not repeated.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from _bench_superresolution_scale import scale  # noqa: E402

from carbon_spatializer.core import superresolution  # noqa: E402

OUTPUT = PROJECT / "bench-output"
KEPT = OUTPUT / "superresolution"
METHODS = ("fast", "paper")
BASELINES = ("bicubic", "bicubic conserved", "bicubic of logs", "area weighting")
CASES = ("city", "sharp", "lights")
FACTOR = 2
LEAST_TRAINING_RATIO, LEAST_INFERENCE_RATIO = 4, 8
LEAST_GAIN_DB = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help=f"of {', '.join(CASES)}, scale (default: city lights scale)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23], help="default: 21 22 23")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="default: both")
    parser.add_argument("--parallel", type=int, default=1, help="trainings at once (default: 1)")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        case, method, seed = options.child
        measure(case, method, int(seed))
        return 0
    KEPT.mkdir(parents=True, exist_ok=True)
    chosen = options.what or ["city", "lights", "scale"]
    cases = [case for case in chosen if case in CASES]
    wanted = [(case, method, seed) for case in cases for seed in options.seeds for method in options.methods]
    with ThreadPoolExecutor(options.parallel) as pool:
        runs = list(pool.map(lambda one: start(*one), wanted))
    passed = True
    for case in cases:
        passed &= report(case, [run for run in runs if run["case"] == case])
        plot(case, options.seeds[0], options.methods)
    (OUTPUT / "bench_superresolution.json").write_text(json.dumps(runs, indent=1), encoding="utf-8")
    print(
        f"\nThe figures are in {OUTPUT / 'bench_superresolution.json'}, maps in bench_superresolution_*.png beside it."
    )
    if "scale" in chosen:
        passed = scale(OUTPUT) and passed
    return 0 if passed else 1


# The data -----------------------------------------------------------------------------------------------------------


def truth_of(case: str, seed: int) -> np.ndarray:
    """The fine raster of a case."""
    return night_lights() if case == "lights" else city(seed, sharp=case == "sharp")


def city(seed: int, size: int = 400, sharp: bool = False) -> np.ndarray:
    """Emissions of settlements, the roads between them and 40 point sources, t per cell; most cells have none."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size].astype(float)
    emissions = np.zeros((size, size))
    texture = np.exp(3 * gaussian_filter(rng.normal(size=(size, size)), 1.5))
    centres = rng.uniform(0, size, (26, 2))
    for row, column in centres:
        radius, density, stretch = rng.lognormal(2.3, 0.5), rng.lognormal(1, 0.7), rng.uniform(0.6, 1.6)
        angle = rng.uniform(0, np.pi)
        along = (columns - column) * np.cos(angle) + (rows - row) * np.sin(angle)
        across = (rows - row) * np.cos(angle) - (columns - column) * np.sin(angle)
        distance = (along / (radius * stretch)) ** 2 + (across * stretch / radius) ** 2
        emissions += np.where(distance < 6, density * np.exp(-distance / 2), 0) * texture
    roads = np.zeros_like(emissions)
    for _ in range(41):
        begin, end = centres[rng.choice(len(centres), 2, replace=False)]
        length = np.hypot(*(end - begin))
        share = np.linspace(0, 1, int(length) * 3 + 2)[:, None]
        sideways = np.array([-(end - begin)[1], (end - begin)[0]]) * rng.normal(0, 0.08)
        cells = (begin + (end - begin) * share + sideways * np.sin(np.pi * share)).astype(int)
        cells = tuple(cells[((cells >= 0) & (cells < size)).all(axis=1)].T)
        roads[cells] = np.maximum(roads[cells], rng.lognormal(0, 0.5))
    emissions += roads
    for _ in range(40):
        tonnes = rng.lognormal(6, 0.8)
        if sharp:
            (high, wide), (row, column) = rng.integers(1, 7, 2), rng.integers(0, size - 6, 2)
            emissions[row : row + high, column : column + wide] += tonnes / (high * wide)
        else:
            (row, column), spread = rng.uniform(0, size, 2), rng.uniform(1, 2.5)
            grounds = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2 / spread**2)
            grounds[grounds < 0.01] = 0
            emissions += tonnes * grounds / grounds.sum()
    return emissions


def night_lights() -> np.ndarray:
    """Radiance over Pune at 15 arc-seconds, nW cm-2 sr-1; NaN outside the district."""
    import rasterio

    folder = Path(os.environ.get("CARBON_SPATIALIZER_DATA", PROJECT.parent / "shared" / "data"))
    with rasterio.open(folder / "raster_pune" / "ntl_dec2025_city.tif") as raster:
        radiance = raster.read(1, masked=True).astype(np.float64).filled(np.nan)
    return np.maximum(radiance, 0)


# The child ----------------------------------------------------------------------------------------------------------


def measure(case: str, method: str, seed: int) -> None:
    """Train, predict and score; the figures and the fine raster are written to ``KEPT``."""
    import torch

    torch.set_num_threads(1)
    truth = truth_of(case, seed)
    truth = truth[: len(truth) // FACTOR * FACTOR, : truth.shape[1] // FACTOR * FACTOR]
    quantity = "density" if case == "lights" else "total"
    coarse = superresolution.coarsened(truth, FACTOR, quantity)
    clocks = [time.process_time()]
    model = superresolution.train(coarse, factor=FACTOR, method=method, quantity=quantity, seed=seed, device="cpu")
    clocks.append(time.process_time())
    tile = np.pad(coarse, model.halo, constant_values=np.nan)
    fine = model.predict(tile)
    clocks.append(time.process_time())
    figures = {
        "case": case,
        "method": method,
        "seed": seed,
        "iterations": model.history["iterations"],
        "rates": model.history.get("rates"),
        "trust": model.history.get("trust"),
        "training_seconds": clocks[1] - clocks[0],
        "inference_seconds": clocks[2] - clocks[1],
        "mass_error": float(np.nanmax(np.abs(superresolution.coarsened(fine, FACTOR, quantity) - coarse))),
        "least": float(np.nanmin(fine)),
        "scores": superresolution.compare(model, truth),
    }
    np.savez_compressed(kept(case, method, seed, "npz"), fine=fine.astype(np.float32))
    kept(case, method, seed, "json").write_text(json.dumps(figures, indent=1), encoding="utf-8")


def kept(case: str, method: str, seed: int, ending: str) -> Path:
    return KEPT / f"{case}_{method}_{seed}.{ending}"


# The parent ---------------------------------------------------------------------------------------------------------


def start(case: str, method: str, seed: int) -> dict:
    """The figures of a training, measured in a process of its own unless they are kept."""
    file = kept(case, method, seed, "json")
    if not file.exists():
        command = [sys.executable, __file__, "--child", case, method, str(seed)]
        with (KEPT / f"{case}_{method}_{seed}.log").open("w") as log:
            done = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )
        if done.returncode:
            sys.exit(f"{method} failed on {case}, seed {seed}; see {log.name}.")
    figures = json.loads(file.read_text(encoding="utf-8"))
    found = figures["scores"]["model"]
    print(
        f"  {case:8}{method:7} seed {seed}{figures['training_seconds']:8.1f} s{figures['inference_seconds']:7.2f} s"
        f"   RMSE {found['rmse']:.4g}   PSNR {found['psnr_log']:.2f} dB",
        flush=True,
    )
    return figures


def report(case: str, runs: list[dict]) -> bool:
    """Print the table of a case, means over the seeds; whether the aims are met."""
    seeds = sorted({run["seed"] for run in runs})
    print(f"\n{case}, x{FACTOR}, mean of {len(seeds)} seeds ({', '.join(map(str, seeds))})")
    print(f"{'':20}{'training s':>11}{'inference s':>12}{'RMSE':>9}{'MAE':>9}{'PSNR(log) dB':>14}")
    lines = {method: [run for run in runs if run["method"] == method] for method in METHODS}
    for method, found in lines.items():
        if found:
            times = f"{mean(found, 'training_seconds'):11.1f}{mean(found, 'inference_seconds'):12.2f}"
            print(f"{method:20}{times}{line(found, 'model')}")
    for name in BASELINES:
        print(f"{name:20}{'':23}{line(runs, name)}")
    fast, paper = lines["fast"], lines["paper"]
    aims = {}
    if fast and paper:
        training, inference = (
            mean(paper, f"{work}_seconds") / mean(fast, f"{work}_seconds") for work in ("training", "inference")
        )
        aims[f"fast trains {training:.1f} times faster (aim {LEAST_TRAINING_RATIO})"] = training >= LEAST_TRAINING_RATIO
        aims[f"fast infers {inference:.1f} times faster (aim {LEAST_INFERENCE_RATIO})"] = (
            inference >= LEAST_INFERENCE_RATIO
        )
        ratios = [rmse(one, "model") / rmse(other, "model") for one, other in pairs(fast, paper)]
        aims[f"RMSE of fast / paper {listed(ratios)} (aim 1)"] = max(ratios) <= 1
    for method, found in lines.items():
        if found:
            ratios = [rmse(run, "model") / rmse(run, "bicubic") for run in found]
            aims[f"RMSE of {method} / bicubic {listed(ratios)} (aim below 1)"] = max(ratios) < 1
    if case == "lights" and fast:
        gains = [run["scores"]["model"]["psnr_log"] - run["scores"]["bicubic"]["psnr_log"] for run in fast]
        aims[f"PSNR(log) of fast over bicubic {listed(gains)} dB (aim {LEAST_GAIN_DB})"] = min(gains) >= LEAST_GAIN_DB
    for aim, met in aims.items():
        print(f"{aim}: {'yes' if met else 'NO'}")
    mass, least = max(run["mass_error"] for run in runs), min(run["least"] for run in runs)
    print(f"Largest error of a coarse cell after super-resolution: {mass:.1e}; least value: {least:g}")
    return all(aims.values()) or case == "sharp"


def pairs(some: list[dict], others: list[dict]) -> list[tuple[dict, dict]]:
    """The runs of two methods with the same seed."""
    by_seed = {run["seed"]: run for run in others}
    return [(run, by_seed[run["seed"]]) for run in some if run["seed"] in by_seed]


def rmse(run: dict, name: str) -> float:
    return run["scores"][name]["rmse"]


def mean(runs: list[dict], key: str) -> float:
    return float(np.mean([run[key] for run in runs]))


def line(runs: list[dict], name: str) -> str:
    scores = [run["scores"][name] for run in runs]
    values = (np.mean([score[key] for score in scores]) for key in ("rmse", "mae", "psnr_log"))
    return "{:9.4f}{:9.4f}{:14.2f}".format(*values)


def listed(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def plot(case: str, seed: int, methods: tuple[str, ...]) -> None:
    """Maps of a part of the raster: what is given, what is true, and what each method makes of it."""
    import matplotlib.pyplot as plt

    truth = truth_of(case, seed)
    truth = truth[: len(truth) // FACTOR * FACTOR, : truth.shape[1] // FACTOR * FACTOR]
    quantity = "density" if case == "lights" else "total"
    coarse = superresolution.coarsened(truth, FACTOR, quantity)
    maps = {
        "given": superresolution.area_weighting(coarse, FACTOR, quantity),
        "truth": truth,
        "bicubic": superresolution.bicubic(coarse, FACTOR, quantity),
    }
    for method in methods:
        with np.load(kept(case, method, seed, "npz")) as arrays:
            maps[method] = arrays["fine"]
    side = 100
    places = [
        (row, column) for row in range(0, len(truth) - side, 25) for column in range(0, truth.shape[1] - side, 25)
    ]
    row, column = max(places, key=lambda place: np.nansum(truth[place[0] :, place[1] :][:side, :side]))
    figure, axes = plt.subplots(1, len(maps), figsize=(3 * len(maps), 3.3), layout="constrained")
    highest = np.nanmax(np.log1p(truth[row : row + side, column : column + side]))
    for axis, (name, values) in zip(axes, maps.items()):
        axis.imshow(np.log1p(values[row : row + side, column : column + side]), cmap="inferno", vmin=0, vmax=highest)
        axis.set(title=name, xticks=[], yticks=[])
    figure.savefig(OUTPUT / f"bench_superresolution_{case}.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
