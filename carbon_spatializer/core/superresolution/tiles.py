"""One tile of a raster as a task that can run anywhere: a thread, a process, another machine."""

import numpy as np

from .model import Model


def predict_tile(state: dict, tile: np.ndarray, device: str = "auto") -> np.ndarray:
    """``Model.from_state(state, device).predict(tile)`` on one thread.

    On one thread the sums of the network are taken in the same order wherever the task runs, so that threads, Dask
    workers and any number of them give identical results; tasks side by side use the processors as well.
    """
    import torch

    torch.set_num_threads(1)
    return Model.from_state(state, device).predict(tile)
