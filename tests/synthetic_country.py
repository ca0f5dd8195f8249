"""A synthetic country in which the true emissions of every cell are known: what the regressions are held to."""

import numpy as np
import pandas as pd

from carbon_spatializer.core import regression


def country(seed, units=30):
    """Thirty provinces of 3000 to 9000 cells, about 5 % of them built up, where most of the emissions arise.

    Provinces differ in development, so that their lights and the share of built-up cells go together; 10 % of noise
    between provinces, 60 % between cells.

    Returns
    -------
    The cells with night lights, people and wealth; the true tonnes of each; and whether it is built up.
    """
    rng = np.random.default_rng(seed)
    region = np.repeat(np.arange(units), rng.integers(3000, 9001, units))
    count = len(region)
    development = rng.lognormal(0, 0.6, units)
    built = rng.random(count) < np.clip(0.05 * development / development.mean(), 0.005, 0.3)[region]
    dark = rng.exponential(0.15, count) * (rng.random(count) < 0.6)
    light = np.where(built, rng.gamma(2, 8, count) * development[region] ** 0.5, dark)
    people = np.where(built, rng.lognormal(7.5, 0.6, count), rng.lognormal(3.5, 1, count))
    wealth = np.where(built, rng.lognormal(6, 0.8, count) * development[region], rng.lognormal(2.5, 1, count))
    tonnes = light / light[built].mean() + 0.15 * people / people[built].mean()
    tonnes *= rng.lognormal(0, 0.6, count) * rng.lognormal(0, 0.1, units)[region]
    cells = regression.Cells(np.stack([light, people, wealth], axis=1), region, np.ones(count), np.ones(count))
    return cells, tonnes, built


def sample(cells, every=6):
    """A part of the cells that stands for all, as a comparison takes of large regions."""
    kept = slice(None, None, every)
    return regression.Cells(cells.values[kept], cells.region[kept], cells.weight[kept] * every, cells.area_km2[kept])


def provinces(cells, tonnes):
    """The provinces of a country, as a comparison takes them, and their spatial blocks."""
    count = cells.region.max() + 1
    area = np.bincount(cells.region).astype(float)
    sums = np.stack([np.bincount(cells.region, column, count) for column in cells.values.T], axis=1)
    names = ["light", "people", "wealth"]
    known = regression.Regions(
        sums=pd.DataFrame(sums, columns=names),
        densities=pd.DataFrame(sums / area[:, None], columns=names),
        totals=[False] * 3,
        area_km2=area,
        tonnes=np.bincount(cells.region, tonnes, count),
        places=np.stack(np.divmod(np.arange(count), 6), axis=1).astype(float),
    )
    return known, regression.spatial_blocks(known.places, 5)


def built_up_share(model, cells, known, built):
    """Share of the emissions on built-up cells when every province is corrected to its total (equation 3); a province
    without any predicted emissions gets its own evenly.
    """
    predicted = np.maximum(model.predict(cells.values), 0)
    nothing = np.bincount(cells.region, predicted, len(known)) == 0
    predicted[nothing[cells.region]] = 1
    factor = known.tonnes / np.bincount(cells.region, predicted, len(known))
    return np.average(built, weights=predicted * factor[cells.region])
