"""The published network: eight convolutions on the fine grid, learning what interpolation leaves out.

As published: 64 channels, ReLU, no bias, the interpolated image added to the output; L1 loss; Adam; one crop of 128 x
128 per iteration, half of them warped; the learning-rate rule of ``rates``; the median of eight flips and rotations.
What differs makes it work on emissions: log(1 + value / scale) without clipping instead of values from 0 to 1, missing
cells left out of the loss, and an exact conservation of each coarse cell instead of back-projection.

Source: Shocher, Cohen and Irani (2018); written from the description, not from their code.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from . import grids, rates
from .patches import Patches, cut, turned

CHANNELS, DEPTH = 64, 8
CROP, MOST_ITERATIONS, VALIDATION_CROPS = 128, 3000, 4
AS_IS, WARPED = 0.05, 0.5  # chances of a crop that is only shifted, and of a warped one
LEAST_ZOOM, STRETCH, SHEAR = 0.5, 0.25, 0.1


def halo(factor: int) -> int:
    """Coarse cells around a tile that its prediction depends on."""
    return -(-DEPTH // factor) + 2 * grids.REACH


def network(factor: int):
    """The untrained network."""
    from torch import nn

    sizes = [1, *[CHANNELS] * (DEPTH - 1), 1]
    layers = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.ReLU()]
        nn.init.normal_(layers[-2].weight, std=(0.1 / (9 * inputs)) ** 0.5)
    return nn.Sequential(*layers[:-1])


def fit(network, patches: Patches, factor: int, scale: float, rng, device: str, progress: Callable) -> dict:
    """Train the network in place; the history of its loss and its learning rates."""
    import torch

    patches = Patches([np.log1p(image / scale) for image in patches.images])
    size = min(CROP, max(min(image.shape) for image in patches.images)) // factor * factor
    optimizer = torch.optim.Adam(network.parameters(), lr=rates.START)
    rate = rates.Rate()
    tests = [_pair(patches.crop(size, rng), factor, device) for _ in range(VALIDATION_CROPS)]
    losses = []
    network.train()
    for iteration in range(1, MOST_ITERATIONS + 1):
        inputs, target, known = _pair(_father(patches, size, rng), factor, device)
        loss = (known * (network(inputs) + inputs - target).abs()).sum() / known.sum().clamp(min=1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if iteration % rates.TEST_EVERY == 0:
            with torch.inference_mode():
                errors = [(known * (network(x) + x - y) ** 2).sum() / known.sum().clamp(min=1) for x, y, known in tests]
            rate.record(iteration, float(torch.stack(errors).mean()))
        rate.check(iteration)
        optimizer.param_groups[0]["lr"] = rate.value
        progress(
            iteration / MOST_ITERATIONS, f"{iteration:,} of at most {MOST_ITERATIONS:,} steps, rate {rate.value:g}"
        )
        if rate.ended:
            break
    return {"iterations": iteration, "loss": losses, "rates": rate.changes}


def predict(network, tile: np.ndarray, factor: int, scale: float, device: str) -> np.ndarray:
    """Fine densities of what is inside the halo, not yet made to conserve the coarse cells."""
    import torch

    logs = np.log1p(grids.filled(tile) / scale)
    edge = halo(factor) * factor
    results = []
    for turn in range(8):
        fine = grids.bicubic(turned(logs, turn), factor, "density")
        with torch.inference_mode():
            inputs = torch.from_numpy(fine.astype(np.float32)[None, None]).to(device)
            output = (network(inputs) + inputs)[0, 0].cpu().numpy()
        results.append(turned(output, turn, back=True)[edge:-edge, edge:-edge])
    return np.maximum(np.expm1(np.median(results, axis=0).astype(np.float64)), 0) * scale


def _pair(father: np.ndarray, factor: int, device: str):
    """Interpolated son, father and mask of a crop of logarithms, as tensors of shape (1, 1, rows, columns)."""
    import torch

    son = grids.coarsened(grids.filled(father), factor, "density")
    arrays = (grids.bicubic(son, factor, "density"), np.nan_to_num(father), np.isfinite(father))
    return [torch.from_numpy(array.astype(np.float32)[None, None]).to(device) for array in arrays]


def _father(patches: Patches, size: int, rng: np.random.Generator) -> np.ndarray:
    """A crop as published: 5 % only shifted, 45 % flipped and rotated too, 50 % zoomed, sheared and rotated freely."""
    kind = rng.random()
    if kind < WARPED:
        return _warped(patches.choose(rng), size, rng)
    return patches.crop(size, rng, turns=kind < 1 - AS_IS)


def _warped(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A crop under a random affine map, sampled by cubic convolution; NaN where that needs missing cells."""
    import torch
    from torch.nn.functional import grid_sample

    zoom = rng.uniform(LEAST_ZOOM, 1)
    stretch = np.clip(zoom + rng.normal(0, STRETCH, 2) / 2, LEAST_ZOOM, 1)
    shear = np.array([[1, rng.normal(0, SHEAR)], [rng.normal(0, SHEAR), 1]])
    angle = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    to_source = rotation @ shear @ np.diag(1 / stretch)
    if rng.random() < 0.5:
        to_source[:, 0] *= -1
    window = 2 * int(np.ceil(size / LEAST_ZOOM))
    row, column = (int(rng.integers(n)) - window // 2 for n in image.shape)
    source = cut(image, row, column, window)
    line = torch.arange(size) - (size - 1) / 2
    points = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1) @ torch.from_numpy(to_source.T).float()
    places = (points * 2 / window)[None]
    layers = [
        torch.from_numpy(array.astype(np.float32)[None, None]) for array in (grids.filled(source), ~np.isnan(source))
    ]
    values = grid_sample(layers[0], places, mode="bicubic", padding_mode="zeros", align_corners=False)
    known = grid_sample(layers[1], places, mode="bilinear", padding_mode="zeros", align_corners=False) > 0.999
    return torch.where(known > 0.999, values.clamp(min=0), torch.nan)[0, 0].double().numpy()
