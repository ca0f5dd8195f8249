"""How much super-resolution gains, measured where the truth is known."""

from typing import TYPE_CHECKING

import numpy as np

from . import grids

if TYPE_CHECKING:
    from .model import Model


def compare(model: "Model", truth: np.ndarray, chosen: np.ndarray | None = None) -> dict[str, dict[str, float]]:
    """Aggregate a raster by the model's factor, predict it back and score that against bicubic and area weighting.

    Parameters
    ----------
    model : trained without the cells it is scored on.
    truth : raster, NaN where there are no data.
    chosen : mask of the cells of ``truth`` that count; None takes all that have data.

    Returns
    -------
    For ``model``, ``bicubic``, ``bicubic conserved``, ``bicubic of logs`` and ``area weighting`` what ``scores``
    returns. All but ``bicubic`` conserve each coarse cell.
    """
    factor, quantity = model.factor, model.quantity
    rows, columns = (size // factor * factor for size in truth.shape)
    truth = truth[:rows, :columns]
    chosen = None if chosen is None else chosen[:rows, :columns]
    tile = grids.coarsened(truth, factor, quantity)
    interpolated = grids.bicubic(tile, factor, quantity)
    results = {
        "model": model.predict(np.pad(tile, model.halo, constant_values=np.nan)),
        "bicubic": interpolated,
        "bicubic conserved": grids.conserved(interpolated, tile, factor, quantity),
        "bicubic of logs": grids.conserved(grids.bicubic_of_logs(tile, factor, model.scale), tile, factor, quantity),
        "area weighting": grids.area_weighting(tile, factor, quantity),
    }
    scale = model.scale / factor**2 if quantity == "total" else model.scale
    return {name: scores(truth, result, scale, chosen) for name, result in results.items()}


def scores(truth: np.ndarray, result: np.ndarray, scale: float, chosen: np.ndarray | None = None) -> dict[str, float]:
    """``rmse`` and ``mae`` in the unit of the raster, ``r2``, ``psnr_log`` in dB, ``cells``.

    ``psnr_log`` is the ratio of the largest log(1 + truth / scale) to the root mean square error of that quantity.
    """
    counted = np.isfinite(truth) & np.isfinite(result)
    if chosen is not None:
        counted &= chosen
    truth, result = truth[counted], result[counted]
    if not len(truth):
        return {"rmse": np.nan, "mae": np.nan, "r2": np.nan, "psnr_log": np.nan, "cells": 0}
    error = result - truth
    square = float((error**2).mean())
    logs, guessed = np.log1p(truth / scale), np.log1p(result / scale)
    log_square = ((guessed - logs) ** 2).mean()
    variance = truth.var()
    with np.errstate(divide="ignore"):
        return {
            "rmse": square**0.5,
            "mae": float(np.abs(error).mean()),
            "r2": float(1 - square / variance) if variance else np.nan,
            "psnr_log": float(20 * np.log10(logs.max()) - 10 * np.log10(log_square)),
            "cells": len(truth),
        }
