"""Regression of regional totals on drivers, and its use on the cells of a grid.

The regions are few and large, the cells many and small. A model that fits the regions well may be useless on the
cells, because it was never shown values of their size. So every model is judged twice: on regions that it has not
seen, and on the cells, whose predictions must add up to the regions' totals again.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from . import regressors
from .errors import InputError

LOG_DENSITY, MEAN_DENSITY, SUM = "log density", "mean density", "sum"
FORMS = (LOG_DENSITY, MEAN_DENSITY, SUM)
LEAST_REGIONS = 5
# A map that varies by less than this part of what its drivers vary by shows nothing.
LEAST_VARIATION = 0.05
# A model that is negative on more of the cells is not chosen for a map.
MOST_CLIPPED_PCT = 1.0
# What is added before logarithms, as a share of the smallest regional density, so that empty cells have one.
_OFFSET = 0.01
_SEARCH_FOLDS = 5
# Hyper-parameters are searched on a sample of so many regions, as kernels grow with the square of their number.
_MOST_SEARCHED = 400
_REWEIGHTED = 5
# Beyond this, the exponential of a prediction is no longer a number; no sane model comes near.
_LARGEST_EXPONENT = 600.0


# Scores ---------------------------------------------------------------------------------------------------------------


def scores(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """R2, MAE and RMSE of predictions (SVR-ZSSR paper, equations 4 to 6, with N values in each).

    R2 = 1 - sum((p - y)^2) / sum((y - mean(y))^2), which is negative for a model that is worse than the mean and
    nan where all values are equal; MAE = sum(|p - y|) / N; RMSE = sqrt(sum((p - y)^2) / N), in the values' unit.
    """
    true, error = np.asarray(true, dtype=float), np.asarray(predicted, dtype=float) - true
    spread = ((true - true.mean()) ** 2).sum()
    return {
        "r2": float(1 - (error**2).sum() / spread) if spread > 0 else float("nan"),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
    }


def intervals(true: np.ndarray, predicted: np.ndarray, draws: int = 1000, seed: int = 0) -> dict[str, list[float]]:
    """95 % percentile intervals of the scores, by drawing the units with replacement."""
    true, predicted = np.asarray(true, dtype=float), np.asarray(predicted, dtype=float)
    drawn = np.random.default_rng(seed).integers(0, len(true), (draws, len(true)))
    y, error = true[drawn], predicted[drawn] - true[drawn]
    spread = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            "r2": np.where(spread > 0, 1 - (error**2).sum(axis=1) / spread, np.nan),
            "mae": np.abs(error).mean(axis=1),
            "rmse": np.sqrt((error**2).mean(axis=1)),
        }
    return {name: _middle(value[~np.isnan(value)]) for name, value in values.items()}


def _middle(values: np.ndarray) -> list[float]:
    return np.percentile(values, [2.5, 97.5]).tolist() if len(values) else [float("nan")] * 2


def correlations(regions: "Regions", form: str) -> pd.DataFrame:
    """Pearson's r of each driver with the target in one form, strongest first: driver, form, r, p_value (two-sided)."""
    from scipy import stats

    values, target = regions.drivers(form).to_numpy(dtype=float), regions.target(form)
    values = _transformed(values, form, _offsets(values))
    target = np.log(target) if form == LOG_DENSITY else target
    rows = []
    for name, column in zip(regions.densities, values.T):
        tested = stats.pearsonr(column, target)
        rows.append({"driver": name, "form": form, "r": float(tested[0]), "p_value": float(tested[1])})
    return pd.DataFrame(rows).sort_values("r", key=np.abs, ascending=False, ignore_index=True)


def spatial_blocks(points: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Number of the compact block of neighbours that each unit belongs to (k-means of their places).

    Parameters
    ----------
    points : shape (units, 2), in metres.
    count : blocks wanted; there are never more than units. Units that all lie in one place are a block each.
    """
    from sklearn.cluster import KMeans

    count = min(count, len(np.unique(points, axis=0)))
    if count < 2:
        return np.arange(len(points))
    return KMeans(count, n_init=10, random_state=seed).fit_predict(points)


# The model ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A regression of emissions on drivers, as plain parameters.

    ``names`` and ``totals`` say what the drivers are, in their order: a driver is a total per cell (people) or a
    density (people per km2, radiance). Densities of totals are per km2. What goes in and comes out depends on the
    form: with ``sum`` the regions' sums (of a density, the sum of its cells) and t; else mean densities and t/km2.
    """

    kind: str
    form: str
    names: list[str]
    totals: list[bool]
    settings: dict
    parameters: dict[str, np.ndarray]
    offset: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    target_centre: float
    target_scale: float
    smearing: float
    low: np.ndarray  # smallest and largest standardised feature of the training regions
    high: np.ndarray

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Emissions for driver values, shape (n, drivers) -> (n,); nan where a driver is; may be negative."""
        features = self._features(values)
        result = np.full(len(features), np.nan)
        known = np.isfinite(features).all(axis=1)
        y = regressors.apply(self.kind, self.parameters, features[known]) * self.target_scale + self.target_centre
        if self.form == LOG_DENSITY:
            y = self.smearing * np.exp(np.minimum(y, _LARGEST_EXPONENT))
        result[known] = y
        return result

    def outside(self, values: np.ndarray) -> np.ndarray:
        """Whether driver values leave the range of the training regions in any driver."""
        features = self._features(values)
        slack = 1e-9
        return ((features < self.low - slack) | (features > self.high + slack)).any(axis=1)

    def _features(self, values: np.ndarray) -> np.ndarray:
        return (_transformed(np.asarray(values, dtype=float), self.form, self.offset) - self.centre) / self.scale

    def state(self) -> dict:
        """The model as what JSON knows."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_state(cls, state: dict) -> "Model":
        """The model of a state; raises InputError where it is none."""
        try:
            arrays = {
                name: np.asarray(state[name], dtype=float) for name in ("offset", "centre", "scale", "low", "high")
            }
            parameters = {name: np.asarray(value) for name, value in state["parameters"].items()}
            model = cls(**{f.name: state[f.name] for f in fields(cls)} | arrays | {"parameters": parameters})
            drivers = len(model.names)
            whole = model.kind in regressors.KINDS and model.form in FORMS and len(model.totals) == drivers
            whole &= all(array.shape == (drivers,) and np.isfinite(array).all() for array in arrays.values())
            whole = whole and model.predict(np.ones((1, drivers))).shape == (1,)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            whole = False
        if not whole:
            raise InputError("model", "the file holds no regression model", "Choose a file that a comparison saved")
        return model


def _plain(value):
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return value


def _offsets(values: np.ndarray) -> np.ndarray:
    """What is added to each driver before logarithms."""
    positive = np.where(values > 0, values, np.inf).min(axis=0)
    return _OFFSET * np.where(np.isfinite(positive), positive, 1.0)


def _transformed(values: np.ndarray, form: str, offset: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(values, 0) + offset) if form == LOG_DENSITY else values


@dataclass(frozen=True)
class Regions:
    """Regions to learn from.

    Attributes
    ----------
    sums, densities : per driver a column: sum over the cells with data, and mean density (per km2 where the driver is
        a total).
    totals : for each driver, whether it is a total per cell.
    area_km2 : of the cells with data.
    tonnes : total of each region; places : its centre, shape (regions, 2), in metres.
    """

    sums: pd.DataFrame
    densities: pd.DataFrame
    totals: list[bool]
    area_km2: np.ndarray
    tonnes: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.tonnes)

    def drivers(self, form: str) -> pd.DataFrame:
        """What a model of this form learns from."""
        return self.sums if form == SUM else self.densities

    def target(self, form: str) -> np.ndarray:
        """What a model of this form predicts: t or t/km2."""
        return self.tonnes if form == SUM else self.tonnes / self.area_km2

    def in_tonnes(self, form: str, predicted: np.ndarray) -> np.ndarray:
        """Predictions of a model of this form as totals."""
        return predicted if form == SUM else predicted * self.area_km2

    def rows(self, chosen) -> "Regions":
        """Some of the regions, by a mask or by positions."""
        take = np.flatnonzero(chosen) if np.asarray(chosen).dtype == bool else np.asarray(chosen)
        return Regions(
            self.sums.iloc[take].reset_index(drop=True),
            self.densities.iloc[take].reset_index(drop=True),
            self.totals,
            self.area_km2[take],
            self.tonnes[take],
            self.places[take],
        )

    def check(self, form: str) -> None:
        """Raise InputError when the regions cannot be learnt from in this form."""
        target, drivers = self.target(form), self.drivers(form)
        if len(self) < LEAST_REGIONS:
            raise InputError(
                "regions",
                f"only {len(self)} regions to learn from have a total and cells with drivers",
                f"Give at least {LEAST_REGIONS} regions, better 30",
            )
        for name in drivers:
            values = drivers[name].to_numpy()
            if np.ptp(values) <= 1e-12 * np.abs(values).max():
                raise InputError(
                    "drivers", f"driver '{name}' is {values[0]:.6g} in all regions", "Leave it out, it explains nothing"
                )
            if form == LOG_DENSITY and not (values > 0).any():
                raise InputError("drivers", f"driver '{name}' is nowhere above zero", f"Use the form '{MEAN_DENSITY}'")
        if np.ptp(target) <= 1e-12 * np.abs(target).max():
            raise InputError("total_field", "all regions have the same total or density", "Choose a field that varies")
        if form == LOG_DENSITY and not (target > 0).all():
            raise InputError(
                "total_field",
                f"{(target <= 0).sum()} regions have a total that is not above zero, which has no logarithm",
                f"Leave these regions out or use the form '{MEAN_DENSITY}'",
            )


def fit(
    kind: str,
    form: str,
    regions: Regions,
    groups: np.ndarray | None = None,
    settings: dict | None = None,
    intercept: bool = True,
    seed: int = 0,
) -> Model:
    """Fit one kind of model in one form on regions; features and target are standardised.

    Parameters
    ----------
    kind : one of ``regressors.KINDS``. Where the form is not logarithmic, the non-negative linear one passes through
        the origin, so that what fits the regions also adds up from their cells, and its errors are weighted relative
        to its predictions, so that small regions count as large ones do.
    form : one of ``FORMS``.
    groups : spatial block of each region; the hyper-parameters are searched by leaving out blocks, or
        single regions where there are no two blocks.
    settings : hyper-parameters; None searches them.
    intercept : False lets all linear models but SVR pass through the origin.
    """
    values, y = regions.drivers(form).to_numpy(dtype=float), regions.target(form)
    offset = np.zeros(values.shape[1])
    if form == LOG_DENSITY:
        offset, y = _offsets(values), np.log(y)
    x = _transformed(values, form, offset)
    consistent = kind == "nonnegative" and form != LOG_DENSITY
    through_origin = consistent or (not intercept and kind in regressors.WITHOUT_INTERCEPT)
    centre = np.zeros(x.shape[1]) if through_origin else x.mean(axis=0)
    scale = _nonzero(x.std(axis=0))
    target_centre, target_scale = (0.0 if through_origin else y.mean()), _nonzero(y.std())
    features, standardised = (x - centre) / scale, (y - target_centre) / target_scale
    with_intercept = not through_origin
    if settings is None:
        settings = _search(kind, features, standardised, groups, with_intercept, seed)
    parameters = regressors.fit(kind, settings, features, standardised, with_intercept, seed)
    for _ in range(_REWEIGHTED if consistent else 0):
        weights = _relative(regressors.apply(kind, parameters, features))
        parameters = regressors.fit(kind, settings, features, standardised, with_intercept, seed, weights)
    fitted = regressors.apply(kind, parameters, features) * target_scale + target_centre
    # The mean of exponentials is not the exponential of the mean (Duan's smearing factor mends that).
    smearing = float(np.exp(np.clip(y - fitted, -50, 50)).mean()) if form == LOG_DENSITY else 1.0
    return Model(
        kind=kind,
        form=form,
        names=[str(name) for name in regions.densities],
        totals=[bool(total) for total in regions.totals],
        settings=settings,
        parameters=parameters,
        offset=offset,
        centre=centre,
        scale=scale,
        target_centre=float(target_centre),
        target_scale=float(target_scale),
        smearing=smearing,
        low=features.min(axis=0),
        high=features.max(axis=0),
    )


def _nonzero(scale):
    return np.where(scale > 0, scale, 1.0)


def _relative(fitted: np.ndarray) -> np.ndarray:
    """Weights that make squared errors relative to what is predicted, down to a hundredth of the largest."""
    return 1 / np.maximum(fitted, 0.01 * fitted.max(initial=1e-300)) ** 2


def _search(kind: str, x: np.ndarray, y: np.ndarray, groups, intercept: bool, seed: int) -> dict:
    """The hyper-parameters with the smallest squared error on blocks that were left out."""
    options = regressors.candidates(kind)
    if len(options) == 1:
        return options[0]
    if groups is None or len(np.unique(groups)) < 2:
        groups = np.arange(len(y))
    if len(y) > _MOST_SEARCHED:
        sample = np.random.default_rng(seed).choice(len(y), _MOST_SEARCHED, replace=False)
        x, y, groups = x[sample], y[sample], groups[sample]
    folds = list(_folds(groups, _SEARCH_FOLDS))
    errors = []
    for settings in options:
        error = 0.0
        for train, held in folds:
            parameters = regressors.fit(kind, settings, x[train], y[train], intercept, seed)
            error += ((regressors.apply(kind, parameters, x[held]) - y[held]) ** 2).sum()
        errors.append(error)
    return options[int(np.argmin(errors))]


def _folds(groups: np.ndarray, count: int):
    """Pairs of training and held-out rows; the groups are dealt to at most ``count`` folds of about the same size."""
    names, sizes = np.unique(groups, return_counts=True)
    load, fold = np.zeros(min(count, len(names))), {}
    for index in np.argsort(-sizes, kind="stable"):
        fold[names[index]] = int(np.argmin(load))
        load[fold[names[index]]] += sizes[index]
    of_row = np.array([fold[name] for name in groups])
    for number in range(len(load)):
        yield np.flatnonzero(of_row != number), np.flatnonzero(of_row == number)


# On the cells ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """Cells of the regions, or a sample of them.

    Attributes
    ----------
    values : drivers as the rasters hold them, shape (cells, drivers); no nan.
    region : row of the region that each cell lies in.
    weight : how many cells it stands for, by its fraction in the region.
    area_km2 : its area.
    """

    values: np.ndarray
    region: np.ndarray
    weight: np.ndarray
    area_km2: np.ndarray


def cell_values(model: Model, values: np.ndarray, area_km2: np.ndarray) -> np.ndarray:
    """Driver values of cells, as the rasters hold them, in the form that the model wants."""
    if model.form == SUM or not any(model.totals):
        return values
    return np.where(model.totals, values / area_km2[:, None], values)


def on_cells(model: Model, cells: Cells) -> dict[str, float]:
    """What becomes of a model on cells.

    Returns
    -------
    outside_pct : share of the cells outside the training range of any driver.
    clipped_pct : share of the cells where the prediction is negative and becomes zero.
    cv : standard deviation over mean of what is predicted (negative as zero): t of the cells in the form ``sum``, else
        t/km2 weighted by area; nan when all are zero.
    drivers_cv : the same of the drivers, their mean.
    """
    values = cell_values(model, cells.values, cells.area_km2)
    weight = cells.weight if model.form == SUM else cells.weight * cells.area_km2
    predicted = model.predict(values)
    return {
        "outside_pct": 100 * float(np.average(model.outside(values), weights=cells.weight)),
        "clipped_pct": 100 * float(np.average(predicted < 0, weights=cells.weight)),
        "cv": variation(np.maximum(predicted, 0), weight),
        "drivers_cv": float(np.nanmean([variation(np.maximum(column, 0), weight) for column in values.T])),
    }


def _per_km2(model: Model, predicted: np.ndarray, area_km2: np.ndarray) -> np.ndarray:
    return np.maximum(predicted, 0) / (area_km2 if model.form == SUM else 1.0)


def cells_r2(cells: Cells, density: np.ndarray, tonnes: np.ndarray) -> float:
    """How well a map on cells adds up to the regions again.

    Parameters
    ----------
    density : emissions of the cells in t/km2, none negative; tonnes : the regions' true totals.

    Returns
    -------
    R2 of the logarithms of the regions' mean densities, when the cells are summed to regions and the whole map is
    scaled to the sum of the totals. A map that does not tell regions apart has no reason to tell cells apart. nan when
    a region that emits gets nothing.
    """
    weight = cells.weight * cells.area_km2
    area, summed = (np.bincount(cells.region, part, len(tonnes)) for part in (weight, weight * density))
    seen = (area > 0) & (tonnes > 0)
    if seen.sum() < 2 or not (summed[seen] > 0).all():
        return float("nan")
    scaled = summed[seen] * tonnes[seen].sum() / summed[seen].sum()
    return scores(np.log(tonnes[seen] / area[seen]), np.log(scaled / area[seen]))["r2"]


def cross_validated(
    kind: str,
    form: str,
    regions: Regions,
    cells: Cells,
    groups: np.ndarray,
    progress: Callable[..., None] = lambda fraction, text="": None,
    **options,
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions by models that saw no region of the block, not even in their search: t of the regions, and t/km2 of
    the cells (negative ones as zero).
    """
    totals, density = np.full(len(regions), np.nan), np.full(len(cells.region), np.nan)
    folds = list(_folds(groups, len(np.unique(groups))))
    for index, (train, held) in enumerate(folds):
        progress(index / len(folds))
        model = fit(kind, form, regions.rows(train), groups[train], **options)
        unseen = regions.rows(held)
        totals[held] = unseen.in_tonnes(form, model.predict(unseen.drivers(form).to_numpy(dtype=float)))
        here, area = np.isin(cells.region, held), cells.area_km2
        predicted = model.predict(cell_values(model, cells.values[here], area[here]))
        density[here] = _per_km2(model, predicted, area[here])
    return totals, density


def variation(values: np.ndarray, weights: np.ndarray) -> float:
    """Weighted coefficient of variation; nan when the mean is not above zero."""
    mean = np.average(values, weights=weights)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weights)) / mean) if mean > 0 else float("nan")


def is_constant(cv: float, drivers_cv: float) -> bool:
    """Whether a map varies so little, against its drivers, that it shows nothing (weakness of RBF kernels on sums)."""
    return not cv >= LEAST_VARIATION * drivers_cv


# The comparison -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """One model of a comparison.

    Attributes
    ----------
    model : fitted on all regions to learn from.
    tested : predictions in t for the regions that it was tested on.
    row : its scores (r2, mae, rmse with ``_low`` and ``_high``), what becomes of it on the cells, and cells_r2, where
        the cells of each block of regions are predicted by a model that did not see it.
    """

    model: Model
    tested: np.ndarray
    row: dict


def compare(
    regions: Regions,
    cells: Cells,
    groups: np.ndarray,
    *,
    forms=(LOG_DENSITY, MEAN_DENSITY),
    kinds=tuple(regressors.KINDS),
    test: Regions | None = None,
    intercept: bool = True,
    draws: int = 1000,
    seed: int = 0,
    progress: Callable[..., None] = lambda fraction, text="": None,
) -> list[Compared]:
    """Fit every kind of model in every form and judge it on unseen regions and on the cells.

    Parameters
    ----------
    regions : to learn from; cells : theirs.
    groups : spatial block of each region.
    test : regions (or another year of the same) to test on; None leaves out one block after the other.
    """
    for form in forms:
        regions.check(form)
    true = (test or regions).tonnes
    result = []
    todo = [(form, kind) for form in forms for kind in kinds]
    for index, (form, kind) in enumerate(todo):
        text = f"{regressors.KINDS[kind]}, {form}"

        def step(fraction, _="", done=index, text=text):
            progress((done + fraction) / len(todo), text)

        step(0)
        model = fit(kind, form, regions, groups, None, intercept, seed)
        tested, density = cross_validated(kind, form, regions, cells, groups, step, intercept=intercept, seed=seed)
        if test is not None:
            tested = test.in_tonnes(form, model.predict(test.drivers(form).to_numpy(dtype=float)))
        bounds = {
            f"{name}_{side}": value
            for name, pair in intervals(true, tested, draws, seed).items()
            for side, value in zip(("low", "high"), pair)
        }
        row = {"form": form, "model": kind} | scores(true, tested) | bounds | on_cells(model, cells)
        row["cells_r2"] = cells_r2(cells, density, regions.tonnes)
        row["settings"] = ", ".join(f"{name} {value:g}" for name, value in model.settings.items())
        result.append(Compared(model, tested, row))
    return result


def best(compared: list[Compared], by: str = "cells") -> Compared:
    """The model to use.

    by : ``cells`` takes the highest cells_r2 of those whose map is neither constant nor clipped in more than
        1 % of the cells, if there are any; ``test`` the smallest RMSE on the test, as the paper does.
    """
    if by == "cells":
        usable = [
            one
            for one in compared
            if np.isfinite(one.row["cells_r2"])
            and one.row["clipped_pct"] <= MOST_CLIPPED_PCT
            and not is_constant(one.row["cv"], one.row["drivers_cv"])
        ]
        if usable:
            return max(usable, key=lambda one: one.row["cells_r2"])
    return min(compared, key=lambda one: one.row["rmse"])
