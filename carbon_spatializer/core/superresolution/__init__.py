"""Zero-shot super-resolution of an emission raster: a network is trained on the raster itself and on no other data.

The raster is aggregated by the factor, the network learns to undo that, and is then applied to the raster. Two
methods: ``paper``, the published network and learning-rate rule, and ``fast``, which works on the coarse grid and
learns how each cell is shared among its parts.

Arrays are float64 of shape (rows, columns), NaN where there are no data. A raster holds totals (t per cell) or
densities (t per area): the parts of a cell sum to its total, or average to its density. Beyond a raster there are no
data, so that a tile with a halo of ``Model.halo`` cells, NaN where the raster ends, gives the same as the whole raster.

    model = train(image, factor=2, method="fast", seed=0)
    fine = model.predict(np.pad(image, model.halo, constant_values=np.nan))

Sources: Shocher, Cohen and Irani (2018), "Zero-Shot" Super-Resolution using Deep Internal Learning; He et al. (2023),
Scientific Reports, the SVR-ZSSR method; Shi et al. (2016), sub-pixel convolution; Harder et al. (2023), constraint
layers for downscaling.
"""

from .evaluation import compare
from .grids import area_weighting, bicubic, bicubic_of_logs, coarsened, conserved
from .model import METHODS, QUANTITIES, Model, train

__all__ = [
    "METHODS",
    "QUANTITIES",
    "Model",
    "area_weighting",
    "bicubic",
    "bicubic_of_logs",
    "coarsened",
    "compare",
    "conserved",
    "train",
]
