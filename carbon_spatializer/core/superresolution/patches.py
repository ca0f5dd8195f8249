"""Random crops of the images that a network learns from."""

from collections.abc import Sequence

import numpy as np

_TRIES = 20
_LEAST_KNOWN = 0.25  # of the cells of a crop


def turned(array: np.ndarray, turn: int, back: bool = False) -> np.ndarray:
    """One of the eight flips and rotations (0 to 7) of an array's first two axes, or the one that undoes it."""
    if back:
        array = np.rot90(array, -(turn % 4))
        return array[:, ::-1] if turn >= 4 else array
    return np.rot90(array[:, ::-1] if turn >= 4 else array, turn % 4)


class Patches:
    """Images to crop from, each as likely as it has emitting cells.

    Parameters
    ----------
    images : rasters or patches of them, NaN where there are no data.
    """

    def __init__(self, images: Sequence[np.ndarray]):
        self.images = [np.asarray(image, dtype=np.float64) for image in images]
        emitting = np.array([np.count_nonzero(image > 0) for image in self.images], dtype=float)
        self._chances = emitting / emitting.sum()

    def choose(self, rng: np.random.Generator) -> np.ndarray:
        """An image at random."""
        return self.images[rng.choice(len(self.images), p=self._chances)]

    def crop(self, size: int, rng: np.random.Generator, turns: bool = True) -> np.ndarray:
        """A square crop, flipped and rotated at random if it ``turns``; NaN where it reaches beyond its image.

        Of several tries the first that is known and emits well enough, or else the last.
        """
        for _ in range(_TRIES):
            image = self.choose(rng)
            starts = [int(rng.integers(min(0, n - size), max(0, n - size) + 1)) for n in image.shape]
            crop = cut(image, *starts, size)
            if np.isfinite(crop).mean() >= _LEAST_KNOWN * min(1, image.size / size**2) and (crop > 0).any():
                break
        return turned(crop, int(rng.integers(8))) if turns else crop


def cut(image: np.ndarray, row: int, column: int, size: int) -> np.ndarray:
    """size x size cells from a corner that may lie outside; NaN beyond the image."""
    result = np.full((size, size), np.nan)
    rows, columns = slice(max(row, 0), row + size), slice(max(column, 0), column + size)
    part = image[rows, columns]
    top, left = rows.start - row, columns.start - column
    result[top : top + part.shape[0], left : left + part.shape[1]] = part
    return result
