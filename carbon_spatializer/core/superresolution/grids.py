"""Coarse and fine grids: aggregating, interpolating and conserving, in raw units and without a network."""

import numpy as np

KNEE = 0.1  # times the scale: values above it are interpolated as logarithms, those below it nearly as they are
REACH = 2  # coarse cells that cubic convolution, and the filling of missing values before it, look away
_MOST_LOG = 300.0  # of what is interpolated: few that large can be added up in float64


def coarsened(fine: np.ndarray, factor: int, quantity: str = "total") -> np.ndarray:
    """Blocks of factor x factor cells as sums of totals or means of densities; NaN where a cell of the block is NaN.

    Rows and columns that do not fill a block are left out.
    """
    blocks = _blocks(fine, factor)
    return blocks.sum(axis=(1, 3)) if quantity == "total" else blocks.mean(axis=(1, 3))


def area_weighting(tile: np.ndarray, factor: int, quantity: str = "total") -> np.ndarray:
    """Every cell shared equally among its parts."""
    fine = repeated(tile, factor)
    return fine / factor**2 if quantity == "total" else fine


def bicubic(tile: np.ndarray, factor: int, quantity: str = "total") -> np.ndarray:
    """Cubic convolution (Keys 1981, a = -0.5) between cell centres; negative values are set to zero.

    Missing neighbours and what lies beyond the edge are filled from the valid cells nearby. Not conserving.
    """
    fine = np.maximum(_convolved(tile, factor), 0)
    return fine / factor**2 if quantity == "total" else fine


def bicubic_of_logs(tile: np.ndarray, factor: int, scale: float) -> np.ndarray:
    """Densities by cubic convolution of log(1 + value / (KNEE scale)), once corrected; not conserving.

    Follows what falls off by factors around its sources: to the logarithm a bell shape is a parabola, which cubic
    convolution reproduces. A cell is the mean of its parts and not their middle, which flattens peaks: how far the
    parts' means are off is interpolated too, and taken away (back-projection, Irani and Peleg 1991).
    """
    knee = KNEE * scale
    logs = np.clip(_convolved(np.log1p(tile / knee), factor), 0, _MOST_LOG)
    means = coarsened(np.expm1(logs) * knee, factor, "density")
    logs += _convolved(np.log(tile + knee) - np.log(means + knee), factor)
    return np.expm1(np.clip(logs, 0, _MOST_LOG)) * knee


def _convolved(tile: np.ndarray, factor: int) -> np.ndarray:
    """Cubic convolution of cells that may be negative; see ``bicubic``."""
    around = filled(np.pad(tile, REACH, constant_values=np.nan))
    for _ in range(2):  # along the columns, then along the rows
        lines = len(around) - 2 * REACH
        fine = np.zeros((lines, factor, around.shape[1]))
        for part in range(factor):
            offset = (part + 0.5) / factor - 0.5
            for step in range(-REACH, REACH + 1):
                fine[:, part] += _keys(step - offset) * around[REACH + step : REACH + step + lines]
        around = fine.reshape(lines * factor, -1).T
    return np.where(np.isnan(repeated(tile, factor)), np.nan, around)


def conserved(fine: np.ndarray, tile: np.ndarray, factor: int, quantity: str = "total") -> np.ndarray:
    """The fine values scaled so that each block has its coarse value again; spread equally where the block is zero."""
    sums = repeated(coarsened(fine, factor, quantity), factor)
    shares = np.divide(fine, sums, out=np.zeros_like(sums), where=sums > 0)
    return np.where(sums > 0, shares * repeated(tile, factor), area_weighting(tile, factor, quantity))


def repeated(tile: np.ndarray, factor: int) -> np.ndarray:
    """Every cell factor x factor times."""
    return tile.repeat(factor, axis=0).repeat(factor, axis=1)


def filled(tile: np.ndarray) -> np.ndarray:
    """NaN within ``REACH`` cells of valid ones replaced by the mean of their valid neighbours; zero farther away."""
    tile = np.array(tile, dtype=np.float64)
    for _ in range(REACH):
        missing = np.isnan(tile)
        if not missing.any():
            return tile
        sums = _sums_of_nine(np.where(missing, 0.0, tile))
        counts = _sums_of_nine(~missing)
        np.divide(sums, counts, out=tile, where=missing & (counts > 0))
    return np.nan_to_num(tile, copy=False, nan=0.0)


def _sums_of_nine(values: np.ndarray) -> np.ndarray:
    """Sum of each cell and its eight neighbours."""
    around = np.pad(values, 1).astype(np.float64)
    rows = around[:-2] + around[1:-1] + around[2:]
    return rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]


def _blocks(fine: np.ndarray, factor: int) -> np.ndarray:
    """View of shape (rows, factor, columns, factor)."""
    rows, columns = (size // factor for size in fine.shape)
    return fine[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)


def _keys(distance: float) -> float:
    """Weight of cubic convolution at a distance in cells."""
    x = abs(distance)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0
