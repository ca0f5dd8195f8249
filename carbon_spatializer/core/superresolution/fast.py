"""The fast network: from the coarse grid, how each cell is shared among its factor x factor parts.

The son is made by aggregating raw emissions. The network sees log(1 + value / scale) on the coarse grid and a mask of
what is known; its last layer has one output per part. Their softmax, started at the shares that cubic convolution gives,
multiplies the coarse cell, so that the result is never negative and conserves mass by construction. The loss is the
cross-entropy between true and predicted shares, weighted by emission: its minimum is the expected share.

Sources: Shi et al. (2016) for the coarse-grid network; Harder et al. (2023) for the softmax constraint layer.
"""

from collections.abc import Callable

import numpy as np

from . import grids
from .patches import Patches, turned

CHANNELS, DEPTH = 48, 6
ITERATIONS, BATCH, SIZE = 1000, 8, 32  # SIZE: coarse cells of the son that count, on each side of a crop
RATE = 3e-3
WEIGHT_DECAY = 1e-3
EXPONENT = 1.0  # of the emission as the weight of a cell in the loss
LEAST_SHARE = 1e-3  # of a part in what cubic convolution gives
HALO = max(DEPTH, 2 * grids.REACH)


def halo(factor: int) -> int:
    """Coarse cells around a tile that its prediction depends on."""
    return HALO


def network(factor: int):
    """The untrained network; without padding, so that its output is ``DEPTH`` cells smaller on every side."""
    from torch import nn

    layers = []
    for inputs in (2, *[CHANNELS] * (DEPTH - 2)):
        layers += [nn.Conv2d(inputs, CHANNELS, 3), nn.ReLU()]
    last = nn.Conv2d(CHANNELS, factor**2, 3)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers, last)


def fit(network, patches: Patches, factor: int, scale: float, rng, device: str, progress: Callable) -> dict:
    """Train the network in place; the history of its loss."""
    import torch

    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=ITERATIONS, pct_start=0.2)
    losses = []
    network.train()
    for iteration in range(ITERATIONS):
        inputs, base, target, weight = (
            torch.from_numpy(array).to(device) for array in _batch(patches, factor, scale, rng)
        )
        logs = torch.log_softmax(network(inputs) + base, dim=1)
        loss = -(weight * (target * logs).sum(dim=1)).sum() / weight.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        progress((iteration + 1) / ITERATIONS, f"{iteration + 1:,} of {ITERATIONS:,} steps")
    return {"iterations": ITERATIONS, "loss": losses}


def predict(network, tile: np.ndarray, factor: int, scale: float, device: str) -> np.ndarray:
    """Fine densities of what is inside the halo, not yet made to conserve the coarse cells exactly."""
    import torch

    mean = 0.0
    for turn in range(8):
        inputs, base = _features(turned(tile, turn), factor, scale)
        with torch.inference_mode():
            scores = network(torch.from_numpy(inputs[None]).to(device)).cpu() + torch.from_numpy(base[None])
            shares = torch.pixel_shuffle(torch.softmax(scores, dim=1), factor)[0, 0].numpy()
        mean = mean + turned(shares, turn, back=True).astype(np.float64)
    inner = tile[HALO : tile.shape[0] - HALO, HALO : tile.shape[1] - HALO]
    return mean / 8 * factor**2 * grids.repeated(inner, factor)


def _batch(patches: Patches, factor: int, scale: float, rng) -> tuple[np.ndarray, ...]:
    """Inputs, logarithms of the cubic shares, true shares and weights of a batch of random crops."""
    inputs, bases, targets, weights = [], [], [], []
    for _ in range(BATCH):
        father = patches.crop((SIZE + 2 * HALO) * factor, rng)
        son = grids.coarsened(father, factor, "density")
        seen, base = _features(son, factor, scale)
        inside = slice(HALO, -HALO)
        son = np.nan_to_num(son[inside, inside])
        parts = father[HALO * factor : -HALO * factor, HALO * factor : -HALO * factor]
        shares = _parts(np.nan_to_num(parts), factor) / np.where(son > 0, son * factor**2, 1)
        inputs.append(seen)
        bases.append(base)
        targets.append(shares)
        weights.append((son / scale) ** EXPONENT)
    return tuple(np.stack(arrays).astype(np.float32) for arrays in (inputs, bases, targets, weights))


def _features(tile: np.ndarray, factor: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees of a tile, and inside the halo the logarithms of the shares by cubic convolution."""
    known = ~np.isnan(tile)
    seen = np.stack([np.log1p(np.where(known, tile, 0) / scale), known]).astype(np.float32)
    cut = slice(HALO - 2 * grids.REACH, 2 * grids.REACH - HALO or None)
    fine = grids.bicubic(tile[cut, cut], factor, "density")
    inside = slice(2 * grids.REACH * factor, -2 * grids.REACH * factor)
    parts = _parts(np.nan_to_num(fine[inside, inside]), factor)
    sums = parts.sum(axis=0)
    shares = np.divide(parts, sums, out=np.full_like(parts, 1 / factor**2), where=sums > 0)
    return seen, np.log(shares + LEAST_SHARE).astype(np.float32)


def _parts(fine: np.ndarray, factor: int) -> np.ndarray:
    """The factor x factor parts of each cell as layers, in the order of torch's pixel_shuffle."""
    rows, columns = (size // factor for size in fine.shape)
    parts = fine.reshape(rows, factor, columns, factor).transpose(1, 3, 0, 2)
    return np.ascontiguousarray(parts).reshape(factor**2, rows, columns)
