"""Training and applying a super-resolution network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

METHODS = ("fast", "paper")
QUANTITIES = ("total", "density")


@dataclass
class Model:
    """A trained network.

    Attributes
    ----------
    method, factor, quantity, device : as it was trained.
    scale : what the values are divided by before their logarithm is taken, in the unit of the raster.
    halo : cells around a tile that its prediction depends on.
    weights : the network's parameters by name, float32.
    history : ``iterations``, ``seconds``, ``loss`` (list) and ``rates`` (list of [iteration, learning rate]).
    """

    method: str
    factor: int
    quantity: str
    scale: float
    weights: dict[str, np.ndarray]
    history: dict = field(default_factory=dict)
    device: str = "cpu"

    @property
    def halo(self) -> int:
        """Coarse cells around a tile that its prediction depends on."""
        raise NotImplementedError

    def predict(self, tile: np.ndarray) -> np.ndarray:
        """Fine values of a tile, shape (factor * rows, factor * columns) of what is inside the halo.

        ``tile`` has ``halo`` more cells on each of its sides than what is to be predicted, NaN where there are no data
        or the raster ends. The mean of the eight flips and rotations; never negative; each coarse cell is conserved to
        the rounding of float64; NaN where the coarse cell is NaN. Safe to call from several threads.
        """
        raise NotImplementedError

    def state(self) -> dict:
        """Everything the model consists of as plain values and arrays, to be sent to a worker or saved."""
        raise NotImplementedError

    @classmethod
    def from_state(cls, state: dict, device: str = "auto") -> "Model":
        """The model of ``state()``, on a device."""
        raise NotImplementedError


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
    InputError : on parameter ``input`` where the images have too few cells or no emission at all, or differ in
        nothing; on ``device`` when torch finds no such device.
    """
    raise NotImplementedError
