"""Splits, calibration and quality of a classification.

Sources: Guo et al. (2017), On calibration of modern neural networks (temperature, expected calibration error).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

_BINS = 10
_WEIGHTS = np.linspace(0.2, 0.8, 13)  # an average always hears both sides


def stratified_split(
    labels: np.ndarray, test_share: float, validation_share: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of the training, validation and test names; every class is in each part whose share is not 0.

    Parameters
    ----------
    labels : class of each name; a class needs as many names as there are parts.
    test_share, validation_share : between 0 and 1, less than 1 together.
    """
    random = np.random.default_rng(seed)
    parts: tuple[list, list, list] = ([], [], [])
    for label in np.unique(labels):
        places = random.permutation(np.flatnonzero(labels == label))
        test = _share(len(places), test_share)
        validation = _share(len(places), validation_share)
        parts[2].append(places[:test])
        parts[1].append(places[test : test + validation])
        parts[0].append(places[test + validation :])
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def _share(count: int, share: float) -> int:
    return min(max(1, round(count * share)), count // 3) if share > 0 else 0


def class_weights(labels: np.ndarray, classes: int, kind: str) -> tuple[float, ...] | None:
    """Weight of each class in the loss, 1 on average over the names.

    Parameters
    ----------
    kind : ``none``, ``balanced`` (inverse of the class's size) or ``sqrt`` (inverse of its square root).
    """
    if kind == "none":
        return None
    sizes = np.bincount(labels, minlength=classes).astype(float)
    weights = 1.0 / (sizes if kind == "balanced" else np.sqrt(sizes))
    return tuple(weights * len(labels) / np.sum(weights * sizes))


def softmax(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities from scores divided by a temperature; shape (names, classes), rows sum to 1."""
    shifted = (scores - scores.max(axis=1, keepdims=True)) / temperature
    powers = np.exp(shifted)
    return powers / powers.sum(axis=1, keepdims=True)


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative logarithm of the probability of each name's true class."""
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of ``log_losses``."""
    return float(log_losses(probabilities, labels).mean())


def temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes the probabilities of held-out names likeliest (Guo et al. 2017, Sec. 4.2).

    One name in n + 2 counts as of any class, as in Platt (1999): few names, all of them right, are no certainty.
    """
    doubt = 1 / (len(labels) + 2)

    def loss(power: float) -> float:
        logarithms = np.log(np.maximum(softmax(scores, np.exp(power)), 1e-12))
        true = logarithms[np.arange(len(labels)), labels]
        return -float(np.mean((1 - doubt) * true + doubt * logarithms.mean(axis=1)))

    return float(np.exp(minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x))


def average_weight(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float:
    """Weight of the first of two classifications in the average that has the lowest log loss on held-out names."""
    losses = [log_loss(weight * first + (1 - weight) * second, labels) for weight in _WEIGHTS]
    return float(_WEIGHTS[int(np.argmin(losses))])


@dataclass(frozen=True)
class Quality:
    """How good a classification is on names that took no part in making it.

    Attributes
    ----------
    accuracy, macro_f1 : over the classes that occur.
    log_loss, calibration_error : of the probabilities; nan where there are none.
    per_class : one row per class: precision, recall, f1, names.
    confusion : names of true class (row) and predicted class (column).
    reliability : per bin of confidence: mean confidence, share that is right, names.
    """

    accuracy: float
    macro_f1: float
    log_loss: float
    calibration_error: float
    per_class: pd.DataFrame
    confusion: np.ndarray
    reliability: pd.DataFrame

    def numbers(self) -> dict[str, float | None]:
        """The four figures, None where there is none."""
        figures = {name: getattr(self, name) for name in ("accuracy", "macro_f1", "log_loss", "calibration_error")}
        return {name: None if np.isnan(value) else value for name, value in figures.items()}


def quality(labels: np.ndarray, probabilities: np.ndarray, classes: int) -> Quality:
    """Compare a classification with the truth.

    Parameters
    ----------
    labels : true classes, 0 ... classes - 1.
    probabilities : shape (names, classes), or (names,) for predicted classes without probabilities.
    """
    predicted = probabilities if probabilities.ndim == 1 else probabilities.argmax(axis=1)
    every = np.arange(classes)
    precision, recall, f1, names = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    per_class = pd.DataFrame({"precision": precision, "recall": recall, "f1": f1, "names": names})
    loss, error, reliability = np.nan, np.nan, pd.DataFrame(columns=["confidence", "right", "names"], dtype=float)
    if probabilities.ndim == 2:
        loss = log_loss(probabilities, labels)
        reliability = _reliability(probabilities.max(axis=1), predicted == labels)
        gaps = (reliability["confidence"] - reliability["right"]).abs()
        error = float((gaps * reliability["names"]).sum() / len(labels))
    return Quality(
        accuracy=float(np.mean(predicted == labels)),
        macro_f1=float(f1_score(labels, predicted, average="macro", zero_division=0)),
        log_loss=loss,
        calibration_error=error,
        per_class=per_class,
        confusion=confusion_matrix(labels, predicted, labels=every),
        reliability=reliability,
    )


def binary_quality(truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Recall and precision of a yes-or-no classification; nan where nothing is true or nothing was found."""
    both = float(np.sum(truth & found))
    return {
        "recall": both / truth.sum() if truth.any() else float("nan"),
        "precision": both / found.sum() if found.any() else float("nan"),
    }


def _reliability(confidence: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    table = pd.DataFrame({"bin": bins, "confidence": confidence, "right": right.astype(float), "names": 1})
    return table.groupby("bin").agg({"confidence": "mean", "right": "mean", "names": "sum"}).reset_index(drop=True)
