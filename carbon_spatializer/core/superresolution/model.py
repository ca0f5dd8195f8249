"""Training and applying a super-resolution network."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..checks import one_of
from ..errors import InputError
from . import fast, grids, paper
from .patches import Patches

METHODS = {"fast": fast, "paper": paper}
QUANTITIES = ("total", "density")
LEAST_SIDE = 8  # cells of the shorter side of the largest image, times the factor


@dataclass
class Model:
    """A trained network.

    Attributes
    ----------
    method, factor, quantity, device : as it was trained.
    scale : what the values are divided by before their logarithm is taken, in the unit of the raster.
    weights : the network's parameters by name, float32.
    history : ``iterations``, ``seconds``, ``loss`` (list) and, of the paper's method, ``rates`` (list of [iteration,
        learning rate]).
    """

    method: str
    factor: int
    quantity: str
    scale: float
    weights: dict[str, np.ndarray]
    history: dict = field(default_factory=dict)
    device: str = "cpu"

    def __post_init__(self):
        import torch

        network = METHODS[self.method].network(self.factor)
        network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in self.weights.items()})
        self._network = network.to(self.device).eval()

    @property
    def halo(self) -> int:
        """Coarse cells around a tile that its prediction depends on."""
        return METHODS[self.method].halo(self.factor)

    def predict(self, tile: np.ndarray) -> np.ndarray:
        """Fine values of a tile, shape (factor * rows, factor * columns) of what is inside the halo.

        ``tile`` has ``halo`` more cells on each of its sides than what is to be predicted, NaN where there are no data
        or the raster ends. Eight flips and rotations are combined; never negative; each coarse cell is conserved to the
        rounding of float64; NaN where the coarse cell is NaN. Safe to call from several threads.
        """
        tile = np.asarray(tile, dtype=np.float64)
        inner = tile[self.halo : tile.shape[0] - self.halo, self.halo : tile.shape[1] - self.halo]
        if not (inner > 0).any():
            return grids.area_weighting(inner, self.factor, self.quantity)
        fine = METHODS[self.method].predict(self._network, tile, self.factor, self.scale, self.device)
        return grids.conserved(fine, inner, self.factor, self.quantity)

    def state(self) -> dict:
        """Everything the model consists of as plain values and arrays, to be sent to a worker or saved."""
        names = ("method", "factor", "quantity", "scale", "weights", "history")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_state(cls, state: dict, device: str = "auto") -> "Model":
        """The model of ``state()``, on a device."""
        return cls(**state, device=device_named(device))


def train(
    images: np.ndarray | Sequence[np.ndarray],
    *,
    factor: int = 2,
    method: str = "fast",
    quantity: str = "total",
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[float, str], None] = lambda fraction, text="": None,
) -> Model:
    """Train a network on a raster, or on patches of it where it is large.

    Time and memory depend on the method and not on the number or the size of the images, apart from holding them.

    Parameters
    ----------
    images : the raster, or patches of it of any size (64 to 256 cells a side are good); not negative, NaN where there
        are no data.
    factor : how many times finer the result is along each side.
    method : ``fast`` or ``paper``.
    quantity : ``total`` or ``density``.
    seed : of the first weights and of the crops; the same seed on the same machine gives the same model.
    device : ``auto``, ``cpu`` or ``cuda``.
    progress : called with the done share and a text; may raise to cancel.

    Raises
    ------
    InputError : on ``factor``, ``method`` and ``quantity`` of other values; on ``input`` where the images have too few
        cells, hold negative or infinite values, no emission at all or the same value everywhere; on ``device`` when
        torch finds no such device.
    """
    import torch

    images = [images] if isinstance(images, np.ndarray) else list(images)
    _check(images, factor, method, quantity)
    device = device_named(device)
    rng = np.random.default_rng(seed)
    scale = float(np.median(np.concatenate([image[image > 0] for image in images])))
    started = time.monotonic()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = METHODS[method].network(factor).to(device)
        history = METHODS[method].fit(network, Patches(images), factor, scale, rng, device, progress)
    history["seconds"] = time.monotonic() - started
    weights = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
    return Model(method, factor, quantity, scale, weights, history, device)


def device_named(name: str) -> str:
    """``auto``, ``cpu`` or ``cuda`` as the device that torch will use."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device", "torch finds no CUDA device", "Use auto or cpu")
    return name


def _check(images: list[np.ndarray], factor: int, method: str, quantity: str) -> None:
    if factor != int(factor) or factor < 2:
        raise InputError("factor", f"{factor} makes nothing finer", "Give a whole number of at least 2")
    one_of(method, METHODS, "method")
    one_of(quantity, QUANTITIES, "quantity")
    least = LEAST_SIDE * factor
    if max((min(image.shape) for image in images), default=0) < least:
        sizes = ", ".join(f"{image.shape[1]} x {image.shape[0]}" for image in images[:3]) or "no"
        raise InputError("input", f"{sizes} cells are too few to learn from", f"Give at least {least} x {least} cells")
    known = np.concatenate([image[~np.isnan(image)] for image in images])
    if not np.isfinite(known).all():
        raise InputError("input", "the raster holds infinite values", "Set them to nodata")
    if (known < 0).any():
        raise InputError(
            "input", f"{(known < 0).sum():,} cells are negative", "Super-resolve emissions and sinks one by one"
        )
    if not (known > 0).any():
        raise InputError("input", "no cell has an emission", "Check the raster and its nodata value")
    if known.min() == known.max():
        raise InputError("input", f"every cell has the value {known[0]:g}", "A constant raster holds nothing to learn")
