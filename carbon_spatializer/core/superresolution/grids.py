"""Coarse and fine grids: aggregating, interpolating and conserving, in raw units and without a network."""

import numpy as np


def coarsened(fine: np.ndarray, factor: int, quantity: str = "total") -> np.ndarray:
    """Blocks of factor x factor cells as sums of totals or means of densities; NaN where a cell of the block is NaN.

    Rows and columns that do not fill a block are left out.
    """
    raise NotImplementedError


def area_weighting(tile: np.ndarray, factor: int, quantity: str = "total") -> np.ndarray:
    """Every cell shared equally among its parts."""
    raise NotImplementedError


def bicubic(tile: np.ndarray, factor: int, quantity: str = "total") -> np.ndarray:
    """Cubic convolution (Keys 1981, a = -0.5) between cell centres; negative values are set to zero.

    Missing neighbours and what lies beyond the edge are filled from the valid cells nearby. Not conserving.
    """
    raise NotImplementedError


def conserved(fine: np.ndarray, tile: np.ndarray, factor: int, quantity: str = "total") -> np.ndarray:
    """The fine values scaled so that each block has its coarse value again; spread equally where the block is zero."""
    raise NotImplementedError
