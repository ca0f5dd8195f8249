"""The learning-rate rule of zero-shot super-resolution."""

from dataclasses import dataclass, field

import numpy as np

START, LAST = 1e-3, 9e-6  # of the learning rate: the published training ends when it would fall to 1e-6
DIVISOR = 10
TEST_EVERY, CHECK_EVERY, RANGE = 50, 60, 256  # iterations
STEEPNESS = 1.5


def stalled(iterations: np.ndarray, losses: np.ndarray, steepness: float = STEEPNESS) -> bool:
    """Whether a loss no longer falls clearly: its slope, times ``steepness``, is within its own standard error.

    A straight line is fitted to the losses. The paper writes "standard deviation > 1.5 x slope", which always holds for
    a falling loss, whose slope is negative; meant, and coded by Shocher et al., is the slope's size and sign.
    """
    [slope, _], covariance = np.polyfit(iterations, losses, 1, cov=True)
    return bool(-steepness * slope < np.sqrt(covariance[0, 0]))


@dataclass
class Rate:
    """The learning rate of a training: divided by ten whenever the reconstruction loss has stalled.

    The loss is given every ``TEST_EVERY`` iterations; every ``CHECK_EVERY`` the rule looks at the last ``RANGE``
    iterations, once as many have passed since the rate last changed.
    """

    value: float = START
    iterations: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    changes: list[list[float]] = field(default_factory=lambda: [[0, START]])

    @property
    def ended(self) -> bool:
        return self.value < LAST

    def record(self, iteration: int, loss: float) -> None:
        """Note a reconstruction loss."""
        self.iterations.append(iteration)
        self.losses.append(loss)

    def check(self, iteration: int) -> None:
        """Lower the rate if it is time to look and the loss has stalled."""
        points = RANGE // TEST_EVERY
        if iteration % CHECK_EVERY or iteration - self.changes[-1][0] <= RANGE or len(self.losses) < points:
            return
        if stalled(np.array(self.iterations[-points:]), np.array(self.losses[-points:])):
            self.value /= DIVISOR
            self.changes.append([iteration, self.value])
