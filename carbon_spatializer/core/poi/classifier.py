"""A trained classifier of names: a network, a linear model, or the average of both, with calibrated probabilities."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from . import evaluation, network
from .linear import LinearModel
from .taxonomy import Taxonomy, clean

KINDS = ("bert", "tfidf", "average")


@dataclass
class Classifier:
    """A trained classifier.

    Attributes
    ----------
    taxonomy : its classes, in the order of the probabilities' columns.
    kind : ``bert``, ``tfidf``, or ``average`` of both.
    linear, model, tokenizer : the halves; one of them may be missing when the kind does not need it.
    temperatures : of each kind that was trained.
    weight : of BERT in the average.
    max_length : tokens per name.
    """

    taxonomy: Taxonomy
    kind: str
    linear: LinearModel | None = None
    model: object = None
    tokenizer: object = None
    temperatures: dict[str, float] = field(default_factory=dict)
    weight: float = 0.5
    max_length: int = 32

    def probabilities(
        self,
        names,
        device: str = "cpu",
        progress: Callable[[float, str], None] = lambda fraction, text="": None,
    ) -> np.ndarray:
        """Calibrated probability of every class for every name, shape (names, classes).

        Each distinct name is classified once. Names without a letter or digit have no probabilities: nan.
        """
        places, distinct = pd.factorize(pd.Series(clean(names), dtype=object))
        distinct = list(distinct)
        usable = np.array([any(sign.isalnum() for sign in name) for name in distinct], dtype=bool)
        result = np.full((len(distinct), len(self.taxonomy.codes)), np.nan)
        chosen = [name for name, good in zip(distinct, usable) if good]
        if chosen:
            result[usable] = self.parts(chosen, device, progress, self.kind)[self.kind]
        return result[places]

    def parts(
        self,
        names: list[str],
        device: str = "cpu",
        progress: Callable[[float, str], None] = lambda fraction, text="": None,
        kind: str = "average",
    ) -> dict[str, np.ndarray]:
        """Calibrated probabilities of clean names by the kind, and by the halves that it takes."""
        scores = {}
        if kind != "tfidf":
            self.model.to(device)
            tokens = network.encode(self.tokenizer, names, self.max_length)
            scores["bert"] = network.logits(self.model, tokens, self.tokenizer.pad_token_id, device, progress)
        if kind != "bert":
            scores["tfidf"] = self.linear.scores(names)
        parts = {name: evaluation.softmax(values, self.temperatures[name]) for name, values in scores.items()}
        if kind == "average":
            parts["average"] = average(parts, self.weight, self.temperatures["average"])
        return parts


def average(parts: dict[str, np.ndarray], weight: float, temperature: float = 1.0) -> np.ndarray:
    """The weighted mean of BERT's and TF-IDF's probabilities, calibrated by a temperature of its own.

    The mean of two calibrated probabilities is too low: each side leaves room for what the other one knows.
    """
    mean = weight * parts["bert"] + (1 - weight) * parts["tfidf"]
    return evaluation.softmax(np.log(np.maximum(mean, 1e-12)), temperature)


def weights(probabilities: np.ndarray, least_ratio: float) -> np.ndarray:
    """Probabilities as weights for sharing out emissions: classes far less likely than the likeliest one get 0.

    Without this the small probabilities of thousands of shops outweigh the large ones of a few factories.

    Parameters
    ----------
    least_ratio : least ratio to the likeliest class's probability, from 0 (all count) to 1 (the likeliest class only).

    Returns
    -------
    shape (names, classes); rows sum to 1, or are nan.
    """
    kept = np.where(probabilities >= least_ratio * probabilities.max(axis=1, keepdims=True), probabilities, 0.0)
    kept[np.isnan(probabilities).any(axis=1)] = np.nan
    return kept / kept.sum(axis=1, keepdims=True)


def classify(probabilities: np.ndarray, taxonomy: Taxonomy, threshold: float) -> pd.DataFrame:
    """What the probabilities say about each name.

    Returns
    -------
    frame with ``class_code``, ``class_name``, ``probability``, ``manufacturing`` (probability of all manufacturing
    classes together), ``top3`` (``code probability`` of the three likeliest, ``; `` between) and ``review`` (the
    probability is below the threshold, or the name is empty). Names without probabilities have no class.
    """
    known = ~np.isnan(probabilities[:, 0])
    filled = np.where(known[:, None], probabilities, 0.0)
    count = min(3, filled.shape[1])
    order = np.argsort(-filled, axis=1, kind="stable")[:, :count]
    best = order[:, 0]
    codes, titles = np.array(taxonomy.codes, dtype=object), np.array(taxonomy.titles, dtype=object)
    chance = filled[np.arange(len(filled)), best]
    top = codes[order]
    shares = np.take_along_axis(filled, order, axis=1)
    text = ["; ".join(f"{code} {share:.3f}" for code, share in zip(*row)) for row in zip(top, shares)]
    return pd.DataFrame(
        {
            "class_code": np.where(known, codes[best], ""),
            "class_name": np.where(known, titles[best], ""),
            "probability": np.where(known, chance, np.nan),
            "manufacturing": np.where(
                known, np.minimum(filled @ np.array(taxonomy.manufacturing, dtype=float), 1.0), np.nan
            ),
            "top3": np.where(known, np.array(text, dtype=object), ""),
            "review": ~known | (chance < threshold),
        }
    )
