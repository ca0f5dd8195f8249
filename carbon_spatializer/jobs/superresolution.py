"""Super-resolution of an emission raster, tile by tile: its size is limited by the disk, not by memory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rasterio.windows import Window

from ..core import checks
from ..core import superresolution as core
from ..core.breaks import readable_breaks
from ..core.errors import InputError, MassError
from ..core.ledger import TOLERANCE
from ..core.superresolution.tiles import predict_tile
from . import executors, rasters
from . import report as html
from .run import Run

FACTORS = (2, 4, 8)
QUANTITIES = ("auto", *core.QUANTITIES)
DEVICES = ("auto", "cpu", "cuda")
# A raster of more cells is trained on patches of it, so that neither time nor memory depend on its size.
_MOST_CELLS_WHOLE = 2_000_000
_PATCHES = 200
_BLOCK = 64
_TESTED_SHARE, _MOST_TESTED = 0.1, 36
# A gain of less than this in RMSE, in per cent, is none.
_LEAST_GAIN = 1.0
_BASELINES = ("bicubic conserved", "area weighting")
_STYLE_SAMPLE = 50_000


def super_resolve(
    run: Run,
    *,
    input,
    output,
    factor: int = 2,
    method: str = "fast",
    quantity: str = "auto",
    report=None,
    seed: int = 0,
    device: str = "auto",
    tile: int = 256,
    scheduler: str | None = None,
) -> dict:
    """Make an emission raster finer with a network that is trained on nothing but the raster itself (ZSSR).

    input : raster of one band, not negative; cells without data stay without data.
    output : raster whose cells are ``factor`` times smaller. Every cell of the input keeps its value exactly: its
        parts sum to it (totals) or average to it (densities).
    factor : 2, 4 or 8; 4 and 8 apply the network again to its own result.
    method : ``fast``, or ``paper``, the published network and learning-rate rule.
    quantity : ``total`` (per cell), ``density`` (per area), or ``auto``: what the raster says of itself, else total.
    report : HTML file with the test against bicubic interpolation and area weighting, the training, and a map.
    seed : of the first weights, the crops, and the blocks held out for the test.
    device : ``auto``, ``cpu`` or ``cuda``.
    tile : side of a tile in cells of the input.
    scheduler : address of a Dask scheduler whose workers predict the tiles; None takes threads of this machine.
    """
    check_choices(factor, method, quantity, device)
    checks.between(tile, 32, 2048, "tile")
    with rasters.open_band(input, "input", run) as raster:
        quantity = _quantity(run, raster, quantity)
        survey = _survey(raster, run.part(0.0, 0.05))
        tested = survey.held_out(np.random.default_rng(seed))
        model = _trained(run, raster, survey, tested, method=method, quantity=quantity, seed=seed, device=device)
        run.progress(0.5, "Testing on the blocks held out")
        scores = _tested(model, raster, survey, tested)
    verdict = _verdict(scores)
    run.info(verdict)
    staged = run.stage(output, "output")
    steps = factor.bit_length() - 1
    with executors.pool(scheduler, 1 if model.device.startswith("cuda") else None) as pool:
        run.info(f"Tiles of {tile} x {tile} cells are predicted on {pool.place}.")
        source = input
        for step in range(steps):
            target = staged if step == steps - 1 else staged.with_name(f"step{step + 1}.tif")
            progress = run.part(0.55 + 0.45 * step / steps, 0.55 + 0.45 * (step + 1) / steps)
            with rasters.open_band(source, "input") as raster:
                outcome = _predicted(run, model, step, raster, target, tile, pool, device, progress)
            source = str(target)
    total = outcome.total / (4 ** (steps - 1) if model.quantity == "density" else 1)
    relative_error = float(abs(total / survey.total - 1))
    if relative_error > TOLERANCE:
        raise MassError(f"{survey.total:.9g} {outcome.unit} came in and {total:.9g} came out. Nothing was written.")
    if report:
        _write_report(run.stage(report, "report"), scores, verdict, model, input, staged, survey, factor)
    rows, columns = outcome.grid.shape
    style = {"kind": "raster", "unit": outcome.unit, "breaks": readable_breaks(outcome.sample), "ramp": "emission"}
    return {
        "summary": f"{columns:,} x {rows:,} cells, {factor} times finer. Every cell of the input keeps its value "
        f"(relative error of the whole {relative_error:.1e}). {verdict}",
        "styles": {"output": style},
        "cells": outcome.cells,
        "input_sum": survey.total,
        "relative_error": relative_error,
        "training_seconds": model.history["seconds"],
        **_numbers(scores),
    }


def check_choices(factor: int, method: str, quantity: str, device: str) -> None:
    """Raise InputError on a choice that does not exist."""
    checks.one_of(method, core.METHODS, "method")
    checks.one_of(quantity, QUANTITIES, "quantity")
    checks.one_of(device, DEVICES, "device")
    if factor not in FACTORS:
        raise InputError("factor", f"{factor:g} is not possible", f"Use one of {', '.join(map(str, FACTORS))}")


# What the raster holds ------------------------------------------------------------------------------------------------


def _quantity(run: Run, raster: rasters.Raster, chosen: str) -> str:
    stated = raster.quantity if raster.quantity in core.QUANTITIES else ""
    if chosen == "auto":
        if not stated:
            run.info("The raster does not say whether it holds totals or densities; it is taken for totals per cell.")
        return stated or "total"
    if stated and stated != chosen:
        run.warning(f"The raster says that it holds a {stated}; as you chose, it is taken for a {chosen}.")
    return chosen


@dataclass(frozen=True)
class _Survey:
    """What a first pass over the raster finds, by blocks of ``side`` x ``side`` cells.

    positive : number of cells with emissions per block; total : sum of the raster.
    """

    side: int
    positive: np.ndarray
    total: float

    def held_out(self, rng: np.random.Generator) -> np.ndarray:
        """Mask of the blocks that training does not see: about a tenth of those with emissions."""
        chosen = np.zeros(self.positive.shape, dtype=bool)
        candidates = np.flatnonzero(self.positive)
        if len(candidates) > 3:
            count = min(max(1, round(_TESTED_SHARE * len(candidates))), _MOST_TESTED)
            chosen.ravel()[rng.choice(candidates, count, replace=False)] = True
        return chosen

    def cells(self, blocks: np.ndarray, window: Window) -> np.ndarray:
        """A mask of blocks as a mask of a window's cells."""
        rows = np.arange(window.row_off, window.row_off + window.height) // self.side
        columns = np.arange(window.col_off, window.col_off + window.width) // self.side
        return blocks[np.ix_(rows, columns)]


def _survey(raster: rasters.Raster, progress: Callable) -> _Survey:
    """Read the raster once; raises InputError when there is nothing to learn from, or a negative value."""
    height, width = raster.grid.shape
    # Blocks of a small raster are smaller, so that some can be held out; even, as they are aggregated in pairs.
    side = int(np.clip(min(height, width) // 12 * 2, 4, _BLOCK))
    positive, total, valid = [], 0.0, 0
    windows = raster.grid.windows(side * max(1, 2_000_000 // (width * side)))
    for number, window in enumerate(windows):
        progress(number / len(windows), "Reading the raster")
        values = raster.read(window)
        if (values < 0).any():
            raise InputError(
                "input",
                f"'{raster.name}' holds negative values, for example {np.nanmin(values):g}",
                "Super-resolve gross emissions and sinks apart, or set negative noise to zero",
            )
        valid += np.count_nonzero(np.isfinite(values))
        total += float(np.nansum(values))
        by_rows = np.add.reduceat((values > 0).astype(int), np.arange(0, window.height, side), axis=0)
        positive.append(np.add.reduceat(by_rows, np.arange(0, width, side), axis=1))
    if valid == 0:
        raise InputError("input", f"'{raster.name}' holds no data", "Choose another raster")
    if total == 0:
        raise InputError("input", f"all values of '{raster.name}' are zero", "Choose a raster that holds emissions")
    return _Survey(side, np.concatenate(positive), total)


# Training and testing -------------------------------------------------------------------------------------------------


def _trained(run: Run, raster: rasters.Raster, survey: _Survey, tested: np.ndarray, **options) -> core.Model:
    """A network trained on the raster, or on patches of it where it is large, without the blocks held out."""
    height, width = raster.grid.shape
    windows = [Window(0, 0, width, height)]
    if width * height > _MOST_CELLS_WHOLE:
        # A patch is a block with emissions and its neighbours to the east and south.
        weight = np.where(tested, 0, survey.positive).ravel()
        count = min(_PATCHES, np.count_nonzero(weight))
        rng = np.random.default_rng(options["seed"])
        chosen = np.sort(rng.choice(weight.size, count, replace=False, p=weight / weight.sum()))
        corners = survey.side * np.column_stack(np.unravel_index(chosen, tested.shape))
        windows = [
            Window(column, row, min(2 * survey.side, width - column), min(2 * survey.side, height - row))
            for row, column in corners.tolist()
        ]
    images = [np.where(survey.cells(tested, window), np.nan, raster.read(window)) for window in windows]
    model = core.train(images, factor=2, progress=run.part(0.05, 0.5), **options)
    history = model.history
    run.info(
        f"Trained by the method '{model.method}' on {model.device}: {history['iterations']:,} iterations in "
        f"{history['seconds']:.0f} s."
    )
    return model


def _tested(model: core.Model, raster: rasters.Raster, survey: _Survey, tested: np.ndarray) -> dict | None:
    """Scores on the blocks held out, which are aggregated, predicted back and compared with what they were."""
    places = survey.side * np.argwhere(tested)
    if len(places) == 0:
        return None
    margin = model.factor * model.halo
    side = survey.side + 2 * margin
    across = int(np.ceil(np.sqrt(len(places))))
    # The blocks side by side in one raster; their margins keep them from seeing each other.
    truth = np.full((side * -(-len(places) // across), side * across), np.nan)
    chosen = np.zeros(truth.shape, dtype=bool)
    for number, (row, column) in enumerate(places.tolist()):
        top, left = side * (number // across), side * (number % across)
        truth[top : top + side, left : left + side] = raster.read(Window(column - margin, row - margin, side, side))
        inner = slice(top + margin, top + side - margin), slice(left + margin, left + side - margin)
        chosen[inner] = True
    # One level coarser a total is larger; the network is to see values such as it was trained on.
    per_cell = model.factor**2 if model.quantity == "total" else 1
    scores = core.compare(model, truth / per_cell, chosen)
    return {name: found | {key: per_cell * found[key] for key in ("rmse", "mae")} for name, found in scores.items()}


def _gains(scores: dict) -> dict[str, tuple[float, float]]:
    """Against each baseline: RMSE saved in per cent, and PSNR of the logarithm gained in dB."""
    own = scores["model"]
    return {
        name: (100 * (1 - own["rmse"] / scores[name]["rmse"]), own["psnr_log"] - scores[name]["psnr_log"])
        for name in _BASELINES
        if scores[name]["rmse"] > 0
    }


def _verdict(scores: dict | None) -> str:
    """What the test says, in words."""
    if scores is None:
        return "The raster is too small to hold a part of it out, so that the gain over interpolation is not known."
    gains = _gains(scores)
    told = "; ".join(
        f"{abs(saved):.1f} % {'less' if saved >= 0 else 'more'} RMSE than {name} and {decibels:+.2f} dB (log)"
        for name, (saved, decibels) in gains.items()
    )
    judged = (
        "super-resolution gains here."
        if gains and min(saved for saved, _ in gains.values()) >= _LEAST_GAIN
        else "super-resolution gains NOTHING here over simple interpolation; do not read new detail into the result."
    )
    cells = f"{scores['model']['cells']:,} cells"
    return f"Held-out test one level coarser ({cells}): {told or 'no error to compare'}; {judged}"


def _numbers(scores: dict | None) -> dict[str, float]:
    if scores is None:
        return {}
    names = {"bicubic conserved": "bicubic", "area weighting": "area"}
    return {
        f"{measure}_over_{names[name]}": value
        for name, gain in _gains(scores).items()
        for measure, value in zip(("rmse_saved_pct", "psnr_gain_db"), gain)
    }


# Predicting -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Outcome:
    """A fine raster: its grid and unit, cells with data, sum in terms of the coarse one, and values for its style."""

    grid: rasters.Grid
    unit: str
    cells: int
    total: float
    sample: np.ndarray


def _predicted(
    run: Run,
    model: core.Model,
    step: int,
    raster: rasters.Raster,
    target: Path,
    tile: int,
    pool: executors.Pool,
    device: str,
    progress: Callable,
) -> _Outcome:
    """Predict a raster tile by tile into a file; ``step`` counts the applications of the network."""
    factor, halo = model.factor, model.halo
    grid, windows = raster.grid.refined(factor), raster.grid.blocks(tile)
    parts = factor**2
    # Totals become smaller with every step, and the network is to see values such as it was trained on.
    state = model.state() | {"scale": model.scale / parts**step if model.quantity == "total" else model.scale}
    thinned = max(1, grid.width * grid.height // _STYLE_SAMPLE)
    cells, total, sample = 0, 0.0, []

    def tasks():
        for window in windows:
            around = Window(
                window.col_off - halo, window.row_off - halo, window.width + 2 * halo, window.height + 2 * halo
            )
            yield state, raster.read(around), device

    with rasters.create(
        run,
        target,
        grid,
        unit=raster.unit,
        quantity=model.quantity,
        description=f"{raster.name}, super-resolved x{factor}",
    ) as writer:
        for number, (window, fine) in enumerate(zip(windows, pool.map(predict_tile, tasks()))):
            progress(number / len(windows), f"Tile {number + 1:,} of {len(windows):,}")
            place = [factor * part for part in (window.col_off, window.row_off, window.width, window.height)]
            writer.write(Window(*place), fine)
            known = fine[np.isfinite(fine)]
            cells += known.size
            total += known.sum() / (parts if model.quantity == "density" else 1)
            sample.append(known[::thinned])
    return _Outcome(grid, raster.unit, cells, total, np.concatenate(sample))


# Report ---------------------------------------------------------------------------------------------------------------


def _write_report(
    path: Path, scores: dict | None, verdict: str, model: core.Model, source, fine: Path, survey: _Survey, factor: int
) -> None:
    history = model.history
    sections = [("", verdict)]
    if scores:
        rows = [{"method": name} | measures for name, measures in scores.items()]
        table = pd.DataFrame(rows)[["method", "rmse", "mae", "psnr_log", "r2", "cells"]]
        sections.append(
            (
                "Test on blocks held out",
                [
                    "Blocks of the raster that training did not see were aggregated and predicted back. RMSE and MAE "
                    "are in the unit of the raster, PSNR in dB of log(1 + value / scale). The test is one level "
                    "coarser than the result: it tells what to expect of it, not what it is.",
                    html.table(table, {"psnr_log": "{:.2f}", "r2": "{:.4f}", "cells": "{:,.0f}"}),
                ],
            )
        )
    sections += [
        ("Where the emissions are highest", [_map(source, fine, survey, factor)]),
        (
            "Training",
            [
                f"Method '{model.method}', {history['iterations']:,} iterations, {history['seconds']:.0f} s on "
                f"{model.device}. Scale of the logarithm: {model.scale:g}. Dotted lines: falls of the learning rate.",
                _curve(history),
            ],
        ),
    ]
    path.write_text(html.page("Super-resolution", sections), encoding="utf-8")


def _map(source, fine: Path, survey: _Survey, factor: int) -> Figure:
    """The block with most emission cells, before and after."""
    block = np.array(np.unravel_index(np.argmax(survey.positive), survey.positive.shape)) * survey.side
    row, column = (int(place) for place in block)
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    with rasters.open_band(source, "input") as raster, rasters.open_band(str(fine), "output") as result:
        before = raster.read(Window(column, row, survey.side, survey.side))
        side = survey.side * factor
        after = result.read(Window(column * factor, row * factor, side, side))
        per_cell = factor**2 if result.quantity == "total" else 1
        top = np.nanquantile(before, 0.995) or None
        for axes, values, title in zip(
            figure.subplots(1, 2), (before, after * per_cell), ("Input", f"Result, {factor} times finer")
        ):
            drawn = axes.imshow(np.sqrt(values), cmap="YlOrRd", vmin=0, vmax=None if top is None else np.sqrt(top))
            axes.set_title(title)
            axes.set_axis_off()
    ticks = drawn.get_clim()[1] * np.linspace(0, 1, 5)
    bar = figure.colorbar(drawn, ax=figure.axes, ticks=ticks)
    bar.ax.set_yticklabels([f"{tick**2:,.3g}" for tick in ticks])
    bar.set_label(f"{raster.unit or 'value'} per cell of the input")
    return figure


def _curve(history: dict) -> Figure:
    """Loss by iteration, each dot the mean of about a hundredth of them, with the falls of the learning rate."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    parts = [part for part in np.array_split(np.asarray(history["loss"], dtype=float), 100) if part.size]
    axes.plot(history["iterations"] * (np.arange(len(parts)) + 0.5) / len(parts), [part.mean() for part in parts], ".-")
    for start, _ in history.get("rates", [])[1:]:
        axes.axvline(start, color="#999", linewidth=0.8, linestyle=":")
    axes.set(xlabel="iteration", ylabel="loss")
    return figure
