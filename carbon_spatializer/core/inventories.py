"""Comparison of two emission maps on one grid: units of gridded inventories, errors, structure and concentration."""

import numpy as np
from scipy import ndimage

from . import units
from .checks import one_of

CARBON_TO_CO2 = 44 / 12
SUBSTANCES = {"CO2": 1.0, "carbon": CARBON_TO_CO2}
# m2 that a value is for; None is a total of the cell.
PER = {"cell": None, "m2": 1.0, "ha": 1e4, "km2": 1e6}
# Periods of a year of 365 days.
TIMES = {"year": 1.0, "month": 12.0, "day": 365.0, "second": 365 * 86400.0}

# Published inventories: mass, substance, per, time.
KNOWN = {
    "ODIAC": ("t", "carbon", "cell", "month"),
    "FFDAS": ("kg", "carbon", "m2", "year"),
    "EDGAR flux": ("kg", "CO2", "m2", "second"),
    "EDGAR emissions": ("t", "CO2", "cell", "year"),
}

# Side of the windows in which structures are compared and rows that are compared at a time, in cells, and the constants
# of Wang et al. (2004).
_SSIM_WINDOW = 7
_SSIM_ROWS = 256
_SSIM_CONSTANTS = (0.01, 0.03)
TOP_SHARE = 0.10


def to_tonnes(mass: str, substance: str, per: str, time: str) -> tuple[float, bool]:
    """Factor that brings a gridded value to t CO2 per year, and whether it is for a cell's area (then it is per m2).

    mass : a unit of mass; substance : CO2 or carbon (44/12); per : cell, m2, ha or km2; time : year, month, day or
    second, that the value is for.

    Examples
    --------
    ODIAC, t carbon per cell and month: (44, False), as 44/12 x 12 = 44. FFDAS, kg carbon per m2 and year: 44/12/1000.
    """
    for value, known, parameter in ((substance, SUBSTANCES, "substance"), (per, PER, "per"), (time, TIMES, "time")):
        one_of(value, known, parameter)
    area = PER[per]
    factor = units.factor(mass, "t", "mass_unit") * SUBSTANCES[substance] * TIMES[time]
    return factor / (area or 1.0), area is not None


def errors(estimate: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Errors of an estimate over all cells where both have values.

    ``bias`` and ``rmse`` in the unit of the values, ``bias_pct`` of the reference's sum, ``nrmse`` relative to the
    reference's mean, Pearson's ``r``, and ``r_log`` of log(1 + x / mean): NaN where a map is constant.
    """
    valid = np.isfinite(estimate) & np.isfinite(reference)
    x, y = estimate[valid], reference[valid]
    difference = x - y
    rmse = float(np.sqrt(np.mean(difference**2)))
    mean = float(y.mean())
    return {
        "bias": float(difference.mean()),
        "bias_pct": 100 * float(difference.sum() / y.sum()) if y.sum() else np.nan,
        "rmse": rmse,
        "nrmse": rmse / mean if mean else np.nan,
        "r": _pearson(x, y),
        "r_log": _pearson(_log(x), _log(y)),
    }


def _log(values: np.ndarray) -> np.ndarray:
    mean = values.mean()
    return np.log1p(values / mean) if mean > 0 else values


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt(np.sum(x**2) * np.sum(y**2))
    return float(np.sum(x * y) / scale) if scale > 0 else np.nan


def ssim(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Mean structural similarity of log(1 + x), 1 for equal maps; NaN where no window has both maps.

    Equation 13 of Wang et al. (2004), in uniform windows of 7 x 7 cells; the dynamic range is the reference's. Cells
    that either map lacks are left out of the windows, and windows that are less than half full are left out. Densities
    of equal units are meant.
    """
    known = reference[np.isfinite(estimate) & np.isfinite(reference)]
    span = float(np.log1p(known.max()) - np.log1p(known.min())) if len(known) else 0.0
    if span == 0:
        return np.nan
    constants = [(constant * span) ** 2 for constant in _SSIM_CONSTANTS]
    total, count = 0.0, 0
    for start in range(0, len(reference), _SSIM_ROWS):
        above = min(start, _SSIM_WINDOW // 2)
        rows = slice(start - above, start + _SSIM_ROWS + _SSIM_WINDOW // 2)
        similarity = _similarity(estimate[rows], reference[rows], *constants)[above : above + _SSIM_ROWS]
        total += float(np.nansum(similarity))
        count += int(np.isfinite(similarity).sum())
    return total / count if count else np.nan


def _similarity(estimate: np.ndarray, reference: np.ndarray, first: float, second: float) -> np.ndarray:
    """Structural similarity of the window around each cell, NaN where there is none."""
    valid = np.isfinite(estimate) & np.isfinite(reference)
    x, y = (np.log1p(np.where(valid, values, 0.0)) for values in (estimate, reference))
    count = _mean(valid.astype(float))
    full = valid & (count >= 0.5)

    def mean(values):
        return _mean(values)[full] / count[full]

    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    similarity = np.full(valid.shape, np.nan)
    similarity[full] = (2 * mean_x * mean_y + first) * (2 * covariance + second)
    similarity[full] /= (mean_x**2 + mean_y**2 + first) * (variances + second)
    return similarity


def _mean(values: np.ndarray) -> np.ndarray:
    return ndimage.uniform_filter(values, _SSIM_WINDOW, mode="constant")


def lorenz(emissions: np.ndarray, areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lorenz curve: cumulative shares of the ground and of the emissions, cells in the order of rising density."""
    valid = np.isfinite(emissions) & np.isfinite(areas) & (areas > 0)
    amount, ground = emissions[valid], areas[valid]
    order = np.argsort(amount / ground, kind="stable")
    shares = [np.concatenate([[0.0], np.cumsum(values[order])]) for values in (ground, amount)]
    return tuple(share / share[-1] if share[-1] > 0 else share for share in shares)


def concentration(emissions: np.ndarray, areas: np.ndarray) -> dict[str, float]:
    """``gini`` of the emissions over the ground, and ``top_share``: the part of them on the 10 % of densest ground."""
    ground, amount = lorenz(emissions, areas)
    return {
        "gini": 1 - float(np.sum(np.diff(ground) * (amount[1:] + amount[:-1]))),
        "top_share": 1 - float(np.interp(1 - TOP_SHARE, ground, amount)),
    }
