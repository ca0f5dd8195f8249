"""The HTML report of a training: quality, calibration, learning curve, and what BERT adds to the baselines."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..core.poi import evaluation
from ..core.poi.classifier import Classifier
from ..core.poi.taxonomy import Taxonomy
from . import report as pages

TITLES = {
    "majority": "Most frequent class",
    "keywords": "Keyword rules from class titles",
    "tfidf": "TF-IDF and linear model",
    "bert": "BERT",
    "average": "Average of BERT and TF-IDF",
}


def page(
    best: Classifier,
    choice: str,
    places: tuple,
    content: dict,
    qualities: dict[str, evaluation.Quality],
    summary: str,
) -> str:
    """The report of a training.

    Parameters
    ----------
    best, choice : the classifier, and what was asked for (``auto`` or a kind).
    places : of the training, validation and test names.
    content : of ``training_report.json``.
    qualities : on the test names, of the trained kinds and the baselines.
    """
    classes = best.taxonomy
    history = content["learning_curve"]
    quality = qualities[best.kind]
    rows = [
        {
            "Classifier": TITLES[kind],
            "Accuracy": other.accuracy,
            "Macro-F1": other.macro_f1,
            "Log loss": other.log_loss,
            "Calibration error": other.calibration_error,
            "Validation macro-F1": content["validation"].get(kind, {}).get("macro_f1", np.nan),
        }
        for kind, other in qualities.items()
    ]
    formats = dict.fromkeys(list(rows[0])[1:], "{:.3f}")
    per_class = pd.DataFrame({"Class": classes.codes, "Title": classes.titles}).join(
        quality.per_class.rename(columns=str.capitalize)
    )
    sections = [
        ("", [summary, _verdict(choice, best, qualities)]),
        ("All classifiers on the same test names", pages.table(pd.DataFrame(rows), formats)),
        (
            "Classes",
            pages.table(per_class, {**dict.fromkeys(("Precision", "Recall", "F1"), "{:.3f}"), "Names": "{:,.0f}"}),
        ),
        ("Confusion matrix", _confusion_figure(quality.confusion, classes)),
        (
            "Calibration",
            [
                "Names are grouped by the probability of their class. On the diagonal a probability of 0.8 is right in "
                f"8 of 10 cases; the mean distance from it is {quality.calibration_error:.3f}.",
                _calibration_figure(quality.reliability),
            ],
        ),
    ]
    if history:
        sections.append(("Learning curve", _learning_figure(history)))
    sections.append(
        (
            "How it was made",
            f"{len(places[0]):,} names for training, {len(places[1]):,} for early stopping, calibration and the choice "
            f"of the classifier, {len(places[2]):,} for this report alone. Every class is in each part in proportion. "
            "Temperatures (Guo et al. 2017): "
            + ", ".join(f"{TITLES[kind]} {value:.3f}" for kind, value in best.temperatures.items())
            + f". Weight of BERT in the average: {best.weight:.2f}.",
        )
    )
    return pages.page("Training of a name classifier", sections)


def _verdict(choice: str, best: Classifier, qualities: dict) -> str:
    """What BERT adds to the baseline, in a sentence."""
    if "bert" not in qualities:
        return "Only the TF-IDF model was trained."
    baseline = qualities["tfidf"].macro_f1
    alone, together = (qualities[kind].macro_f1 - baseline for kind in ("bert", "average"))
    text = f"Against TF-IDF, macro-F1 changes by {alone:+.3f} with BERT alone and by {together:+.3f} with the average."
    if max(alone, together) < 0:
        text = f"The baseline wins. {text}"
    how = "chosen by macro-F1 on the validation names" if choice == "auto" else "chosen by you"
    return f"{text} The classifier in the folder is: {TITLES[best.kind]} ({how}); the others can be used instead."


def _confusion_figure(confusion: np.ndarray, classes: Taxonomy) -> Figure:
    count = len(confusion)
    size = 3 + 0.28 * count
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(confusion)):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, confusion[row, column], ha="center", va="center", fontsize=6, color=colour)
    axes.set_xticks(range(count), classes.codes, rotation=90)
    axes.set_yticks(range(count), classes.codes)
    axes.set(xlabel="Predicted class", ylabel="True class", title="Names by true and predicted class")
    return figure


def _calibration_figure(reliability: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfect")
    axes.plot(reliability["confidence"], reliability["right"], marker="o", color="tab:blue", label="test names")
    for row in reliability.itertuples():
        side = "right" if row.confidence > 0.9 else "left"
        axes.annotate(f"{row.names:,}", (row.confidence, row.right), (0, -14), textcoords="offset points", ha=side)
    axes.set(xlabel="Mean probability", ylabel="Share that is right", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("Calibration (with the number of names)")
    axes.legend()
    return figure


def _learning_figure(history: list[dict]) -> Figure:
    curve = pd.DataFrame(history)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve["epoch"], curve["training_loss"], marker="o", color="tab:grey", label="training loss")
    axes.plot(curve["epoch"], curve["validation_loss"], marker="o", color="tab:blue", label="validation loss")
    axes.axvline(curve.loc[curve["validation_loss"].idxmin(), "epoch"], color="tab:blue", linestyle=":")
    axes.set(xlabel="Epoch", ylabel="Loss", title="Learning curve")
    right = axes.twinx()
    right.plot(
        curve["epoch"], curve["validation_accuracy"], marker="s", color="tab:orange", label="validation accuracy"
    )
    right.set_ylabel("Accuracy")
    lines = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    axes.legend(lines, [line.get_label() for line in lines], loc="center right")
    return figure
