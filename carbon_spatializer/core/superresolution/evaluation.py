"""How much super-resolution gains, measured where the truth is known."""

from typing import TYPE_CHECKING

import numpy as np

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
    For ``model``, ``bicubic``, ``bicubic conserved`` and ``area weighting``: ``rmse`` and ``mae`` in the unit of the
    raster, ``psnr_log`` in dB of log(1 + value / scale), ``r2``, ``cells``. All but ``bicubic`` are conserving.
    """
    raise NotImplementedError
