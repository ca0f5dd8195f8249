"""Training a classifier of names: the linear model, the network, their calibration, and the choice between them."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from . import evaluation, linear, network
from .classifier import KINDS, Classifier, average
from .taxonomy import Taxonomy

CHOICES = ("auto", *KINDS)


def train(
    names: list[str],
    labels: np.ndarray,
    training: np.ndarray,
    validation: np.ndarray,
    taxonomy: Taxonomy,
    keep_best: Callable[[Classifier, dict[str, evaluation.Quality]], None],
    choice: str = "auto",
    model=None,
    tokenizer=None,
    settings: network.Training | None = None,
    device: str = "cpu",
    state: network.State | None = None,
    with_keywords: bool = True,
    keep_state: Callable[[network.State], None] = lambda state: None,
    progress: Callable[[float, str], None] = lambda fraction, text="": None,
    info: Callable[[str], None] = lambda text: None,
) -> network.State:
    """Train on some names, calibrate and choose on others.

    Parameters
    ----------
    names, labels : clean names and their classes; see ``taxonomy.clean``.
    training, validation : places of the names to learn from, and of those that early stopping, temperatures, the
        average's weight and the choice rest on. No other name is looked at.
    choice : ``bert``, ``tfidf``, ``average``, or ``auto``; see ``best_kind``.
    model, tokenizer : transformers sequence classifier and its tokenizer; not needed for ``tfidf``.
    settings, device, state, keep_state : see ``network.train``.
    with_keywords : learn from the taxonomy's titles and keywords too.
    keep_best : receives the whole classifier, and the quality on the validation names of each kind, after each round
        of the network that was better; the last one it receives is the result.

    Returns
    -------
    The network's final state, with the learning curve.
    """
    settings = settings or network.Training()
    labels = np.asarray(labels)
    subset = [[names[place] for place in places] for places in (training, validation)]
    truth = labels[validation]
    examples = taxonomy.examples() if with_keywords else ([], np.array([], dtype=int))
    features, margins = linear.choose_features(
        subset[0], labels[training], examples, settings.seed, lambda fraction, text="": progress(0.05 * fraction, text)
    )
    info(f"TF-IDF works with {features}.")
    learned, learned_labels = subset[0] + examples[0], np.r_[labels[training], examples[1]]
    first = linear.fit(learned, learned_labels, features)
    classifier = Classifier(
        taxonomy=taxonomy,
        kind="tfidf",
        # Features and temperature are set: the linear model may now learn from the validation names too.
        linear=linear.fit(learned + subset[1], np.r_[learned_labels, truth], features),
        model=model,
        tokenizer=tokenizer,
        temperatures={"tfidf": evaluation.temperature(margins, labels[training])},
        max_length=settings.max_length,
    )
    by_linear = {"tfidf": evaluation.softmax(first.scores(subset[1]), classifier.temperatures["tfidf"])}
    if choice == "tfidf":
        keep_best(classifier, _qualities(by_linear, truth, taxonomy))
        return network.State()
    tokens = [network.encode(tokenizer, part, settings.max_length) for part in (learned, subset[1])]

    def better(scores: np.ndarray) -> None:
        heat = evaluation.temperature(scores, truth)
        parts = {"bert": evaluation.softmax(scores, heat), **by_linear}
        weight = evaluation.average_weight(parts["bert"], parts["tfidf"], truth)
        mean = average(parts, weight)
        temperatures = {**classifier.temperatures, "bert": heat, "average": evaluation.temperature(np.log(mean), truth)}
        parts["average"] = average(parts, weight, temperatures["average"])
        qualities = _qualities(parts, truth, taxonomy)
        kind = best_kind(qualities, len(truth)) if choice == "auto" else choice
        keep_best(replace(classifier, kind=kind, temperatures=temperatures, weight=weight), qualities)

    return network.train(
        model,
        tokens[0],
        learned_labels,
        tokens[1],
        truth,
        tokenizer.pad_token_id,
        settings,
        device=device,
        state=state,
        keep_best=better,
        keep_state=keep_state,
        progress=lambda fraction, text="": progress(0.05 + 0.95 * fraction, text),
        info=info,
    )


def best_kind(qualities: dict[str, evaluation.Quality], names: int) -> str:
    """The kind with the best macro-F1; the average where no other one is better by more than a standard error.

    The average of two classifiers that err on different names is seldom worse than either, and few names cannot tell.
    The standard error is that of the average's share of right names.
    """
    best = max(KINDS, key=lambda kind: qualities[kind].macro_f1)
    accuracy = qualities["average"].accuracy
    error = math.sqrt(accuracy * (1 - accuracy) / names)
    return best if qualities[best].macro_f1 > qualities["average"].macro_f1 + error else "average"


def _qualities(parts: dict, truth: np.ndarray, taxonomy: Taxonomy) -> dict[str, evaluation.Quality]:
    return {kind: evaluation.quality(truth, chances, len(taxonomy.codes)) for kind, chances in parts.items()}
