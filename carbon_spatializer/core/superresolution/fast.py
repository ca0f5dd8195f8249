"""The fast method: small networks on the coarse grid that learn how each cell is shared among its parts.

The son is made by aggregating raw emissions. A network sees log(1 + value / scale) on the coarse grid and a mask of
what is known; its last layer has one output per part. Their softmax, started at the shares that cubic convolution of
logarithms gives, multiplies the coarse cell, so that the result is never negative and conserves mass by construction.
The loss is the cross-entropy between true and predicted shares, weighted by emission: its minimum is the expected
share. Logarithms, because emissions fall off by factors around their sources: to them a bell-shaped source is a
parabola, which cubic convolution follows exactly.

The few largest sources decide the error in tonnes, and a network soon knows them by heart. So there are several, each
blind to one fold of the image, and the folds tell how far the networks can be trusted at each level of emission: the
result lies between cubic convolution and the mean of the networks.

Sources: Shi et al. (2016) for the coarse-grid network; Harder et al. (2023) for the softmax constraint layer; Wolpert
(1992), stacked generalization, for the trust.
"""

from collections.abc import Callable

import numpy as np

from . import grids
from .patches import Patches, turned

CHANNELS, DEPTH, MEMBERS = 24, 5, 4
ITERATIONS, BATCH, SIZE = 600, 8, 32  # SIZE: coarse cells of the son that count, on each side of a crop
RATE, WEIGHT_DECAY = 3e-3, 1e-2
BRIGHTNESS = 1.0  # crops are brightened or dimmed by up to a factor e
EXPONENT = 0.5  # of the emission as the weight of a cell in the loss
LEAST_SHARE = 1e-3  # of a part in what cubic convolution gives
SHARED = 2  # each network predicts every second flip and rotation
BLOCK = 48  # cells of the side of the squares that the folds of a few images consist of; of many, whole images
MOST_CELLS = 1_000_000  # of the images, from which the trust is measured
LEVELS = np.arange(-4.0, 9.0)  # of log(value / scale), where the trust is measured
HALO = max(DEPTH, 4 * grids.REACH)  # twice filled and convolved


def halo(factor: int) -> int:
    """Coarse cells around a tile that its prediction depends on."""
    return HALO


def network(factor: int):
    """The untrained networks and the trust in them, which is none."""
    import torch
    from torch import nn

    module = nn.Module()
    module.members = nn.ModuleList(_member(factor) for _ in range(MEMBERS))
    module.register_buffer("trust", torch.zeros(len(LEVELS), dtype=torch.float64))
    return module


def _member(factor: int):
    """One network; without padding, so that its output is ``DEPTH`` cells smaller on every side."""
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
    """Train the networks in place and measure the trust in them; the history of their loss."""
    import torch

    folds = _folds(patches.images, factor)
    losses = []
    for number, member in enumerate(network.members):
        seen = [np.where(fold == number, np.nan, image) for image, fold in zip(patches.images, folds)]
        if not any((image > 0).any() for image in seen):  # nothing emits elsewhere
            seen, folds = patches.images, [np.where(fold == number, -1, fold) for fold in folds]

        def step(fraction, text, number=number):
            progress((number + fraction) / MEMBERS, f"network {number + 1} of {MEMBERS}, {text}")

        losses += _fit_member(member, Patches(seen), factor, scale, rng, device, step)
    network.trust.copy_(torch.from_numpy(_trust(network, patches, folds, factor, scale, device)))
    return {"iterations": ITERATIONS * MEMBERS, "loss": losses, "trust": network.trust.tolist()}


def _fit_member(member, patches: Patches, factor: int, scale: float, rng, device: str, progress: Callable) -> list:
    import torch

    optimizer = torch.optim.AdamW(member.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=ITERATIONS, pct_start=0.2)
    losses = []
    for iteration in range(ITERATIONS):
        inputs, base, target, weight = (
            torch.from_numpy(array).to(device) for array in _batch(patches, factor, scale, rng)
        )
        logs = torch.log_softmax(member(inputs) + base, dim=1)
        loss = -(weight * (target * logs).sum(dim=1)).sum() / weight.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(member.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        progress((iteration + 1) / ITERATIONS, f"{iteration + 1:,} of {ITERATIONS:,} steps")
    return losses


def predict(network, tile: np.ndarray, factor: int, scale: float, device: str) -> np.ndarray:
    """Fine densities of what is inside the halo, not yet made to conserve the coarse cells exactly."""
    base = _cubic_shares(tile, factor, scale)
    shares = (
        sum(
            _shares(member, tile, base, factor, scale, device, turns=range(number % SHARED, 8, SHARED))
            for number, member in enumerate(network.members)
        )
        / MEMBERS
    )
    inner = np.nan_to_num(tile[HALO:-HALO, HALO:-HALO])
    trust = np.interp(np.log(np.maximum(inner, 1e-300) / scale), LEVELS, network.trust.cpu().numpy())
    shares = base + grids.repeated(trust, factor) * (shares - base)
    return shares * factor**2 * grids.repeated(inner, factor)


def _shares(
    member, tile: np.ndarray, base: np.ndarray, factor: int, scale: float, device: str, turns=range(8)
) -> np.ndarray:
    """Fine grid of the shares that one network predicts: the mean over some of the eight flips and rotations."""
    import torch

    inputs = np.moveaxis(_inputs(tile, scale), 0, -1)
    mean = np.zeros_like(base)
    for turn in turns:
        seen = np.ascontiguousarray(np.moveaxis(turned(inputs, turn), -1, 0))
        logs = np.log(_parts(turned(base, turn), factor) + LEAST_SHARE).astype(np.float32)
        with torch.inference_mode():
            scores = member(torch.from_numpy(seen[None]).to(device)).cpu() + torch.from_numpy(logs[None])
            shares = torch.pixel_shuffle(torch.softmax(scores, dim=1), factor)[0, 0].numpy()
        mean += turned(shares, turn, back=True)
    return mean / len(turns)


def _trust(network, patches: Patches, folds: list, factor: int, scale: float, device: str) -> np.ndarray:
    """How far from cubic convolution towards the networks, from 0 to 1, at each level of emission.

    Least squares of the raw error on the folds that a network has not seen, less one standard error.
    """
    # Sums over the parts of all cells near a level, for each network's own fold: of d^2, d e, and of the square of it,
    # where d is what the network changes of a part, and e what would be right.
    squares, products, noise = np.zeros((3, len(LEVELS)))
    cells = 0
    for image, fold in zip(patches.images, folds):
        son = grids.coarsened(image, factor, "density")
        tile = np.pad(son, HALO, constant_values=np.nan)
        base = _cubic_shares(tile, factor, scale)
        fold = fold[::factor, ::factor][: son.shape[0], : son.shape[1]]
        truth = np.nan_to_num(image[: son.shape[0] * factor, : son.shape[1] * factor])
        for number, member in enumerate(network.members):
            chosen = (fold == number) & (son > 0)
            if not chosen.any():
                continue
            change = _shares(member, tile, base, factor, scale, device) - base
            weight = np.where(chosen, son, 0) * factor**2
            wanted = _parts(truth - base * grids.repeated(weight, factor), factor)[:, chosen]
            change = _parts(change * grids.repeated(weight, factor), factor)[:, chosen]
            place = np.clip(np.log(son[chosen] / scale) - LEVELS[0], 0, len(LEVELS) - 1)
            for level in range(len(LEVELS)):
                near = np.maximum(0, 1 - np.abs(place - level))
                squares[level] += (near * (change**2).sum(0)).sum()
                products[level] += (near * (change * wanted).sum(0)).sum()
                noise[level] += (near * (change * (wanted - change)).sum(0) ** 2).sum()
        cells += image.size
        if cells > MOST_CELLS:
            break
    estimate = np.divide(products - np.sqrt(noise), squares, out=np.zeros_like(squares), where=squares > 0)
    return np.clip(estimate, 0, 1)


def _folds(images: list[np.ndarray], factor: int) -> list[np.ndarray]:
    """Number of the fold of each cell: squares in a pattern without rows of their own, or whole images."""
    if len(images) >= MEMBERS:
        return [np.full(image.shape, number % MEMBERS) for number, image in enumerate(images)]
    folds = []
    for image in images:
        side = max(min(BLOCK, max(image.shape) // MEMBERS) // factor, 1) * factor
        rows, columns = (np.arange(size) // side for size in image.shape)
        folds.append((2 * rows[:, None] + rows[:, None] // MEMBERS + columns) % MEMBERS)
    return folds


def _batch(patches: Patches, factor: int, scale: float, rng) -> tuple[np.ndarray, ...]:
    """Inputs, logarithms of the cubic shares, true shares and weights of a batch of random crops."""
    inputs, bases, targets, weights = [], [], [], []
    for _ in range(BATCH):
        father = patches.crop((SIZE + 2 * HALO) * factor, rng) * np.exp(rng.uniform(-BRIGHTNESS, BRIGHTNESS))
        son = grids.coarsened(father, factor, "density")
        inner = np.nan_to_num(son[HALO:-HALO, HALO:-HALO])
        edge = HALO * factor
        parts = _parts(np.nan_to_num(father[edge:-edge, edge:-edge]), factor)
        inputs.append(_inputs(son, scale))
        bases.append(np.log(_parts(_cubic_shares(son, factor, scale), factor) + LEAST_SHARE))
        targets.append(parts / np.where(inner > 0, inner * factor**2, 1))
        weights.append((inner / scale) ** EXPONENT)
    # Values may span more than float32 does; the loss does not depend on the scale of its weights.
    weights = np.stack(weights)
    weights /= max(weights.max(), np.finfo(float).tiny)
    return tuple(np.stack(arrays).astype(np.float32) for arrays in (inputs, bases, targets, weights))


def _inputs(tile: np.ndarray, scale: float) -> np.ndarray:
    """What a network sees of a tile: logarithms and a mask of what is known."""
    beyond = HALO - DEPTH
    near = tile[beyond : tile.shape[0] - beyond, beyond : tile.shape[1] - beyond]
    known = ~np.isnan(near)
    return np.stack([np.log1p(np.where(known, near, 0) / scale), known]).astype(np.float32)


def _cubic_shares(tile: np.ndarray, factor: int, scale: float) -> np.ndarray:
    """Fine grid of what share of its cell each part has by cubic convolution of logarithms, inside the halo."""
    edge = HALO * factor
    fine = np.nan_to_num(grids.bicubic_of_logs(tile, factor, scale)[edge:-edge, edge:-edge])
    return grids.conserved(fine, np.ones([size // factor for size in fine.shape]), factor)


def _parts(fine: np.ndarray, factor: int) -> np.ndarray:
    """The factor x factor parts of each cell as layers, in the order of torch's pixel_shuffle."""
    rows, columns = (size // factor for size in fine.shape)
    parts = fine.reshape(rows, factor, columns, factor).transpose(1, 3, 0, 2)
    return np.ascontiguousarray(parts).reshape(factor**2, rows, columns)
