"""The fast method: small networks on the coarse grid that learn how each cell is shared among its parts.

The son is made by aggregating raw emissions. A network sees log(1 + value / scale) on the coarse grid and a mask of
what is known; its last layer has one output per part. Their softmax, started at the shares that interpolation gives,
multiplies the coarse cell, so that the result is never negative and conserves mass by construction. The loss is the
cross-entropy between true and predicted shares, weighted by emission: its minimum is the expected share.

Interpolation is cubic convolution of logarithms where that has proved right. Emissions fall off by factors around large
works and towns: to the logarithm a bell-shaped source is a parabola, which cubic convolution follows exactly. But a
source may also fill a single cell. So the result goes from equal parts to cubic convolution, on to that of logarithms
and on to the networks, each time as far as the raster, aggregated once more, bears it out at that level of emission.

The few largest sources decide the error in tonnes, and a network soon knows them by heart. So there are several, each
blind to one fold of the image, and are trusted by how they do on that.

Sources: Shi et al. (2016) for the coarse-grid network; Harder et al. (2023) for the softmax constraint layer; Wolpert
(1992), stacked generalization, for the trust.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from . import grids
from .patches import Patches, turned

CHANNELS, DEPTH, MEMBERS = 24, 5, 4
ITERATIONS, BATCH, SIZE = 500, 8, 32  # SIZE: coarse cells of the son that count, on each side of a crop
RATE, WEIGHT_DECAY = 3e-3, 1e-2
BRIGHTNESS = 1.0  # crops are brightened or dimmed by up to a factor e
EXPONENT = 0.5  # of the emission as the weight of a cell in the loss
LEAST_SHARE = 1e-3  # of a part in what a network starts from
SHARED = 2  # each network predicts every second flip and rotation
BLOCK = 48  # cells of the side of the squares that the folds of a few images consist of; of many, whole images
MOST_CELLS = 1_000_000  # of the images, from which the trust is measured
LEVELS = np.arange(-4.0, 9.0)  # of log(value / scale), where the trust is measured
STEPS = ("cubic", "logs", "networks")  # from equal parts on; see the module
HALO = max(DEPTH, 4 * grids.REACH)  # twice filled and convolved


def halo(factor: int) -> int:
    """Coarse cells around a tile that its prediction depends on."""
    return HALO


def network(factor: int):
    """The untrained networks and the trust in each step, which is none."""
    import torch
    from torch import nn

    module = nn.Module()
    module.members = nn.ModuleList(_member(factor) for _ in range(MEMBERS))
    module.register_buffer("trust", torch.zeros((len(STEPS), len(LEVELS)), dtype=torch.float64))
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
    """Train the networks in place and measure the trust in each step; the history of their loss."""
    import torch

    trust = np.zeros(network.trust.shape)
    for number in range(len(_INTERPOLATIONS)):
        trust[number] = _trust_in_interpolation(number, trust, patches.images, factor, scale)
    folds = _folds(patches.images, factor)
    losses = []
    for number, member in enumerate(network.members):
        seen = [np.where(fold == number, np.nan, image) for image, fold in zip(patches.images, folds)]
        if not any((image > 0).any() for image in seen):  # nothing emits elsewhere
            seen, folds = patches.images, [np.where(fold == number, -1, fold) for fold in folds]

        def step(fraction, text, number=number):
            progress((number + fraction) / MEMBERS, f"network {number + 1} of {MEMBERS}, {text}")

        losses += _fit_member(member, Patches(seen), factor, scale, trust, rng, device, step)
    trust[-1] = _trust_in_networks(network, trust, patches.images, folds, factor, scale, device)
    network.trust.copy_(torch.from_numpy(trust))
    return {"iterations": ITERATIONS * MEMBERS, "loss": losses, "trust": dict(zip(STEPS, trust.tolist()))}


def _fit_member(
    member, patches: Patches, factor: int, scale: float, trust: np.ndarray, rng, device: str, progress: Callable
) -> list:
    import torch

    optimizer = torch.optim.AdamW(member.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=ITERATIONS, pct_start=0.2)
    losses = []
    for iteration in range(ITERATIONS):
        inputs, start, target, weight = (
            torch.from_numpy(array).to(device) for array in _batch(patches, factor, scale, trust, rng)
        )
        logs = torch.log_softmax(member(inputs) + start, dim=1)
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
    trust = network.trust.cpu().numpy()
    inner = _inner(tile)
    start = _interpolated(tile, factor, scale, trust)
    shares = (
        sum(
            _shares(member, tile, start, factor, scale, device, turns=range(number % SHARED, 8, SHARED))
            for number, member in enumerate(network.members)
        )
        / MEMBERS
    )
    shares = start + _at_level(trust[-1], inner, factor, scale) * (shares - start)
    return shares * factor**2 * grids.repeated(inner, factor)


def _shares(
    member, tile: np.ndarray, start: np.ndarray, factor: int, scale: float, device: str, turns=range(8)
) -> np.ndarray:
    """Fine grid of the shares that one network predicts: the mean over some of the eight flips and rotations."""
    import torch

    inputs = np.moveaxis(_inputs(tile, scale), 0, -1)
    mean = np.zeros_like(start)
    for turn in turns:
        seen = np.ascontiguousarray(np.moveaxis(turned(inputs, turn), -1, 0))
        logs = np.log(_parts(turned(start, turn), factor) + LEAST_SHARE).astype(np.float32)
        with torch.inference_mode():
            scores = member(torch.from_numpy(seen[None]).to(device)).cpu() + torch.from_numpy(logs[None])
            shares = torch.pixel_shuffle(torch.softmax(scores, dim=1), factor)[0, 0].numpy()
        mean += turned(shares, turn, back=True)
    return mean / len(turns)


# Trust ----------------------------------------------------------------------------------------------------------------


class _Evidence:
    """How far a change of the parts is right at each level of emission: sums over all cells near the level."""

    def __init__(self):
        self._squares, self._products, self._noise = np.zeros((3, len(LEVELS)))

    def add(self, emission: np.ndarray, change: np.ndarray, wanted: np.ndarray, scale: float) -> None:
        """Count cells: their emission, (cells,), and their parts' change and what would be right, (parts, cells)."""
        place = np.clip(np.log(emission / scale) - LEVELS[0], 0, len(LEVELS) - 1)
        for level in range(len(LEVELS)):
            near = np.maximum(0, 1 - np.abs(place - level))
            self._squares[level] += (near * (change**2).sum(0)).sum()
            self._products[level] += (near * (change * wanted).sum(0)).sum()
            self._noise[level] += (near * (change * (wanted - change)).sum(0) ** 2).sum()

    def trust(self, doubt: float, unseen: float | None = None) -> np.ndarray:
        """The share of the change, 0 to 1, with the least squared error, less ``doubt`` times its standard error.

        unseen : trust at levels without cells; None takes that of all levels together.
        """
        if unseen is None:
            unseen = self._products.sum() / max(self._squares.sum(), np.finfo(float).tiny)
        trust = np.full(len(LEVELS), float(unseen))
        np.divide(self._products - doubt * np.sqrt(self._noise), self._squares, out=trust, where=self._squares > 0)
        return np.clip(trust, 0, 1)


def _trust_in_interpolation(number: int, trust: np.ndarray, images: list, factor: int, scale: float) -> np.ndarray:
    """By what it adds to the interpolations before it."""
    evidence = _Evidence()
    for _, son, tile, truth in _sons(images, factor):
        start = _interpolated(tile, factor, scale, trust[:number])
        _compare(evidence, son, _INTERPOLATIONS[number](tile, factor, scale), start, truth, son > 0, factor, scale)
    return evidence.trust(doubt=0)


def _trust_in_networks(
    network, trust: np.ndarray, images: list, folds: list, factor: int, scale: float, device: str
) -> np.ndarray:
    """By what each network makes of the fold that it has not seen."""
    evidence = _Evidence()
    for place, son, tile, truth in _sons(images, factor):
        start = _interpolated(tile, factor, scale, trust)
        fold = folds[place][::factor, ::factor][: son.shape[0], : son.shape[1]]
        for number, member in enumerate(network.members):
            chosen = (fold == number) & (son > 0)
            if chosen.any():
                shares = _shares(member, tile, start, factor, scale, device)
                _compare(evidence, son, shares, start, truth, chosen, factor, scale)
    return evidence.trust(doubt=1, unseen=0)


def _sons(images: list[np.ndarray], factor: int) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Number of an image, its aggregate, that with a halo, and what its parts are in truth; until there are enough."""
    cells = 0
    for number, image in enumerate(images):
        if cells <= MOST_CELLS:
            son = grids.coarsened(image, factor, "density")
            truth = np.nan_to_num(image[: son.shape[0] * factor, : son.shape[1] * factor])
            yield number, son, np.pad(son, HALO, constant_values=np.nan), truth
        cells += image.size


def _compare(evidence: _Evidence, son, shares, start, truth, chosen, factor: int, scale: float) -> None:
    """Count what shares change of others that they start from, and what would be right, on chosen cells."""
    weight = grids.repeated(np.where(chosen, son, 0), factor) * factor**2
    change = _parts((shares - start) * weight, factor)[:, chosen]
    wanted = _parts(truth - start * weight, factor)[:, chosen]
    evidence.add(son[chosen], change, wanted, scale)


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


def _batch(patches: Patches, factor: int, scale: float, trust: np.ndarray, rng) -> tuple[np.ndarray, ...]:
    """Inputs, logarithms of the shares to start from, true shares and weights of a batch of random crops."""
    inputs, starts, targets, weights = [], [], [], []
    for _ in range(BATCH):
        father = patches.crop((SIZE + 2 * HALO) * factor, rng) * np.exp(rng.uniform(-BRIGHTNESS, BRIGHTNESS))
        son = grids.coarsened(father, factor, "density")
        inner = _inner(son)
        edge = HALO * factor
        parts = _parts(np.nan_to_num(father[edge:-edge, edge:-edge]), factor)
        inputs.append(_inputs(son, scale))
        starts.append(np.log(_parts(_interpolated(son, factor, scale, trust), factor) + LEAST_SHARE))
        targets.append(parts / np.where(inner > 0, inner * factor**2, 1))
        weights.append((inner / scale) ** EXPONENT)
    # Values may span more than float32 does; the loss does not depend on the scale of its weights.
    weights = np.stack(weights)
    weights /= max(weights.max(), np.finfo(float).tiny)
    return tuple(np.stack(arrays).astype(np.float32) for arrays in (inputs, starts, targets, weights))


def _inputs(tile: np.ndarray, scale: float) -> np.ndarray:
    """What a network sees of a tile: logarithms and a mask of what is known."""
    beyond = HALO - DEPTH
    near = tile[beyond : tile.shape[0] - beyond, beyond : tile.shape[1] - beyond]
    known = ~np.isnan(near)
    return np.stack([np.log1p(np.where(known, near, 0) / scale), known]).astype(np.float32)


def _interpolated(tile: np.ndarray, factor: int, scale: float, trust: Sequence[np.ndarray]) -> np.ndarray:
    """Fine grid of what share of its cell each part has, inside the halo, by the interpolations as far as trusted."""
    inner = _inner(tile)
    shares = np.full([size * factor for size in inner.shape], 1 / factor**2)
    for interpolation, own in zip(_INTERPOLATIONS, trust):
        shares += _at_level(own, inner, factor, scale) * (interpolation(tile, factor, scale) - shares)
    return shares


def _cubic_shares(tile: np.ndarray, factor: int, scale: float) -> np.ndarray:
    return _shares_of(grids.bicubic(tile, factor, "density"), factor)


def _log_shares(tile: np.ndarray, factor: int, scale: float) -> np.ndarray:
    return _shares_of(grids.bicubic_of_logs(tile, factor, scale), factor)


_INTERPOLATIONS = (_cubic_shares, _log_shares)


def _shares_of(fine: np.ndarray, factor: int) -> np.ndarray:
    """Fine values inside the halo as shares of their cells."""
    edge = HALO * factor
    fine = np.nan_to_num(fine[edge:-edge, edge:-edge])
    return grids.conserved(fine, np.ones([size // factor for size in fine.shape]), factor)


def _at_level(trust: np.ndarray, inner: np.ndarray, factor: int, scale: float) -> np.ndarray:
    """Fine grid of the trust at each cell's level of emission."""
    return grids.repeated(np.interp(np.log(np.maximum(inner, 1e-300) / scale), LEVELS, trust), factor)


def _inner(tile: np.ndarray) -> np.ndarray:
    """What is inside the halo, zero where nothing is known."""
    return np.nan_to_num(tile[HALO:-HALO, HALO:-HALO])


def _parts(fine: np.ndarray, factor: int) -> np.ndarray:
    """The factor x factor parts of each cell as layers, in the order of torch's pixel_shuffle."""
    rows, columns = (size // factor for size in fine.shape)
    parts = fine.reshape(rows, factor, columns, factor).transpose(1, 3, 0, 2)
    return np.ascontiguousarray(parts).reshape(factor**2, rows, columns)
