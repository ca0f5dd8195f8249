"""Regressors as plain parameters: searched and fitted with scikit-learn, kept as arrays, applied with numpy alone.

A fitted regressor is a dictionary of arrays. It goes into a JSON file and comes back on any machine and under any
version of scikit-learn, and reading it can run no code.
"""

import itertools

import numpy as np

# Name -> title, in the order of the tables.
KINDS = {
    "svr_linear": "SVR, linear kernel",
    "svr_rbf": "SVR, RBF kernel",
    "bayesian_ridge": "Bayesian ridge",
    "linear": "Linear",
    "elastic_net": "ElasticNet",
    "nonnegative": "Non-negative linear",
    "random_forest": "Random forest",
    "gradient_boosting": "Gradient boosting",
}
_LINEAR = ("svr_linear", "bayesian_ridge", "linear", "elastic_net", "nonnegative")
# Kinds whose intercept can be left out.
WITHOUT_INTERCEPT = ("bayesian_ridge", "linear", "elastic_net", "nonnegative")
# Hyper-parameters that are searched; features and target are standardised, so that the values suit any unit.
_SEARCHED = {
    "svr_linear": {"C": (0.01, 0.1, 1.0, 10.0), "epsilon": (0.02, 0.1, 0.3)},
    "svr_rbf": {"C": (0.1, 1.0, 10.0, 100.0), "gamma": (0.01, 0.1, 1.0), "epsilon": (0.02, 0.1)},
    "bayesian_ridge": {},
    "linear": {},
    "elastic_net": {"alpha": (0.001, 0.01, 0.1, 0.5), "l1_ratio": (0.1, 0.5, 0.9)},
    "nonnegative": {},
    "random_forest": {"min_samples_leaf": (1, 3), "max_features": (0.5,)},
    "gradient_boosting": {"n_estimators": (100,), "max_depth": (1, 3)},
}
_TREES = 100
# Cells times support vectors that are held at once; trees are quickest on parts that stay in the processor's cache.
_CHUNK = 4_000_000
_TREES_WIDTH = 250


def candidates(kind: str) -> list[dict]:
    """All combinations of the hyper-parameters that are searched for one kind."""
    searched = _SEARCHED[kind]
    return [dict(zip(searched, values)) for values in itertools.product(*searched.values())]


def fit(
    kind: str,
    settings: dict,
    x: np.ndarray,
    y: np.ndarray,
    intercept: bool = True,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> dict:
    """Fit a regressor and return its parameters.

    Parameters
    ----------
    kind : one of ``KINDS``.
    settings : hyper-parameters, one of ``candidates``.
    x : standardised features, shape (samples, features).
    y : standardised target, shape (samples,).
    intercept : False lets the kinds in ``WITHOUT_INTERCEPT`` pass through the origin.
    seed : of the forest and the boosting.
    weights : of the samples; None weighs them alike.

    Returns
    -------
    Name -> array, for ``apply``.
    """
    model = _build(kind, settings, intercept, seed)
    model.fit(x, y) if weights is None else model.fit(x, y, sample_weight=weights)
    if kind in _LINEAR:
        return {"coefficients": np.ravel(model.coef_), "intercept": np.float64(np.ravel(model.intercept_)[0])}
    if kind == "svr_rbf":
        return {
            "support": model.support_vectors_,
            "dual": model.dual_coef_[0],
            "intercept": np.float64(model.intercept_[0]),
            "gamma": np.float64(model.gamma),
        }
    if kind == "random_forest":
        return _trees([tree.tree_ for tree in model.estimators_], 1 / len(model.estimators_), 0.0)
    start = float(model.init_.constant_[0, 0])
    return _trees([tree.tree_ for tree in model.estimators_[:, 0]], model.learning_rate, start)


def apply(kind: str, parameters: dict, x: np.ndarray) -> np.ndarray:
    """Predict the standardised target of standardised features, shape (samples, features) -> (samples,)."""
    if kind in _LINEAR:
        return x @ parameters["coefficients"] + parameters["intercept"]
    if kind == "svr_rbf":
        return _in_chunks(lambda part: _kernel_sum(parameters, part), x, len(parameters["support"]))
    return _in_chunks(lambda part: _descend(parameters, part), x, _TREES_WIDTH)


def _build(kind: str, settings: dict, intercept: bool, seed: int):
    from sklearn import ensemble, linear_model, svm

    return {
        "svr_linear": lambda: svm.SVR(kernel="linear", max_iter=200_000, **settings),
        "svr_rbf": lambda: svm.SVR(kernel="rbf", **settings),
        "bayesian_ridge": lambda: linear_model.BayesianRidge(fit_intercept=intercept, **settings),
        "linear": lambda: linear_model.LinearRegression(fit_intercept=intercept, **settings),
        "elastic_net": lambda: linear_model.ElasticNet(fit_intercept=intercept, max_iter=20_000, **settings),
        "nonnegative": lambda: linear_model.LinearRegression(fit_intercept=intercept, positive=True, **settings),
        "random_forest": lambda: ensemble.RandomForestRegressor(_TREES, random_state=seed, **settings),
        "gradient_boosting": lambda: ensemble.GradientBoostingRegressor(
            learning_rate=0.1, subsample=0.8, random_state=seed, **settings
        ),
    }[kind]()


def _trees(trees: list, weight: float, start: float) -> dict:
    """Binary trees, one after the other in flat arrays; a leaf is its own child."""
    sizes = np.array([tree.node_count for tree in trees])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    node = np.arange(sizes.sum())
    leaf = np.concatenate([tree.children_left for tree in trees]) < 0
    shift = np.repeat(roots, sizes)
    return {
        "roots": roots,
        "feature": np.where(leaf, 0, np.concatenate([tree.feature for tree in trees])),
        "threshold": np.where(leaf, 0.0, np.concatenate([tree.threshold for tree in trees])),
        "left": np.where(leaf, node, np.concatenate([tree.children_left for tree in trees]) + shift),
        "right": np.where(leaf, node, np.concatenate([tree.children_right for tree in trees]) + shift),
        "value": weight * np.concatenate([tree.value[:, 0, 0] for tree in trees]),
        "depth": np.int64(max(tree.max_depth for tree in trees)),
        "start": np.float64(start),
    }


def _descend(parameters: dict, x: np.ndarray) -> np.ndarray:
    # scikit-learn holds features in single precision when it compares them with a threshold.
    x = x.astype(np.float32)
    rows = np.arange(len(x))
    total = np.full(len(x), float(parameters["start"]))
    for root in parameters["roots"]:
        node = np.full(len(x), root)
        for _ in range(int(parameters["depth"])):
            goes_left = x[rows, parameters["feature"][node]] <= parameters["threshold"][node]
            node = np.where(goes_left, parameters["left"][node], parameters["right"][node])
        total += parameters["value"][node]
    return total


def _kernel_sum(parameters: dict, x: np.ndarray) -> np.ndarray:
    support = parameters["support"]
    distance = (x**2).sum(axis=1)[:, None] + (support**2).sum(axis=1) - 2 * x @ support.T
    return np.exp(-parameters["gamma"] * np.maximum(distance, 0)) @ parameters["dual"] + parameters["intercept"]


def _in_chunks(function, x: np.ndarray, width: int) -> np.ndarray:
    size = max(_CHUNK // max(width, 1), 1)
    parts = [function(x[start : start + size]) for start in range(0, len(x), size)]
    return np.concatenate(parts) if parts else np.empty(0)
