"""Training and applying a classifier of names, files in and files out; and every refusal in a sentence."""

import json
import shutil

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from carbon_spatializer.core.errors import Cancelled, InputError
from carbon_spatializer.core.poi.taxonomy import clean
from carbon_spatializer.jobs import poimodel
from carbon_spatializer.jobs.poi import classify_pois, train_poi_classifier
from carbon_spatializer.jobs.run import Run
from tests import poi_network

MAKES = {"C31": "钢铁 steel", "C15": "饮料 drinks", "J66": "银行 bank"}
PLACES = ["云溪", "澄浦", "岚塘", "霁渚", "沐桥", "栖堰", "芷坞", "砚岸", "枫墩", "棠湾", "鹭荡", "汀泽"]


def names() -> pd.DataFrame:
    """36 names of a steelworks, a bottler and a bank in 12 places."""
    return pd.DataFrame(
        [
            {"name": f"{place}{what} {place[0]}有限公司", "class": code, "city": place}
            for place in PLACES
            for code, what in MAKES.items()
        ]
    )


@pytest.fixture
def table(tmp_path):
    names().to_csv(tmp_path / "names.csv", index=False)
    return str(tmp_path / "names.csv")


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return str(poi_network.save(tmp_path_factory.mktemp("bert")))


class Log(Run):
    """A run that remembers its messages, and can be cancelled when a message holds a text."""

    def __init__(self, cancel_at: str | None = None):
        self.messages = []
        self._cancel_at = cancel_at
        super().__init__(self.messages.append, is_cancelled=lambda: self._cancelled())

    def _cancelled(self):
        return self._cancel_at is not None and self.holds(self._cancel_at)

    def holds(self, text: str) -> bool:
        return any(text in message["text"] for message in self.messages)


def train(table, folder, run=None, **arguments):
    arguments = {"classifier": "tfidf", "text_field": "name", "class_field": "class"} | arguments
    run = run or Log()
    result = train_poi_classifier(run, input=table, output=str(folder), **arguments)
    run.commit({})
    return result


def with_network(bert, **arguments):
    fast = {"epochs": 6, "learning_rate": 3e-3, "batch_size": 8, "device": "cpu", "test_share": 0.25}
    return {"classifier": "auto", "base_model": bert, "validation_share": 0.2} | fast | arguments


def classified(tmp_path, folder, run=None, source=None, **arguments):
    run = run or Log()
    if source is None:
        pd.DataFrame({"name": ["新城钢铁 steel", "新城银行", "新城银行", "", "甜 drinks"]}).to_csv(
            tmp_path / "pois.csv", index=False
        )
        source = str(tmp_path / "pois.csv")
    arguments = {"text_field": "name", "output": str(tmp_path / "out.csv")} | arguments
    result = classify_pois(run, input=source, model=str(folder), **arguments)
    run.commit({})
    return result, pd.read_csv(arguments["output"]) if arguments["output"].endswith("csv") else None


# Training -------------------------------------------------------------------------------------------------------------


def test_tfidf_folder_holds_what_it_should(table, tmp_path):
    result = train(table, tmp_path / "model", report=str(tmp_path / "report.html"))
    assert result["classifier"] == "tfidf"
    assert result["accuracy"] == 1
    assert result["manufacturing_recall"] == result["manufacturing_precision"] == 1
    assert {file.name for file in (tmp_path / "model").iterdir()} == {
        "model.json",
        "taxonomy.csv",
        "tfidf.npz",
        "training_report.json",
    }
    content = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert [record["code"] for record in content["classes"]] == ["C15", "C31", "NM"]
    assert content["finished"] is True
    assert content["data"]["names"] == 36
    assert len(content["data"]["fingerprint"]) == 64
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in ("Confusion matrix", "Calibration", "Keyword rules from class titles", "Most frequent class"):
        assert text in page
    assert not list(tmp_path.glob(".carbon-*"))


def test_network_folder_has_safetensors_and_no_pickle(table, bert, tmp_path):
    run = Log()
    result = train(table, tmp_path / "model", run, report=str(tmp_path / "report.html"), **with_network(bert))
    files = [file for file in (tmp_path / "model").rglob("*") if file.is_file()]
    assert {file.suffix for file in files} <= {".json", ".csv", ".npz", ".safetensors", ".txt"}
    assert (tmp_path / "model" / "network" / "model.safetensors").is_file()
    assert not (tmp_path / "model" / "training").exists()
    assert run.holds("Device: cpu")
    assert run.holds("characters that the model did not know were added")
    assert any("left" in m["text"] and "loss" in m["text"] for m in run.messages if m["type"] == "progress")
    report = json.loads((tmp_path / "model" / "training_report.json").read_text(encoding="utf-8"))
    assert set(report["test"]) == {"majority", "keywords", "tfidf", "bert", "average"}
    assert set(report["validation"]) == {"tfidf", "bert", "average"}
    assert result["macro_f1"] == report["test"][result["classifier"]]["macro_f1"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Learning curve" in page
    assert "with BERT alone and by" in page


def test_no_character_of_the_corpus_is_unknown(table, bert, tmp_path):
    train(table, tmp_path / "model", **with_network(bert, epochs=1))
    classifier, _ = poimodel.load(str(tmp_path / "model"), "bert")
    ids = classifier.tokenizer(clean(names()["name"]))["input_ids"]
    assert not any(classifier.tokenizer.unk_token_id in row for row in ids)


def test_plain_transformers_gives_the_same_labels(table, bert, tmp_path):
    transformers = pytest.importorskip("transformers")
    train(table, tmp_path / "model", **with_network(bert))
    classifier, _ = poimodel.load(str(tmp_path / "model"), "bert")
    texts = clean(names()["name"])
    pipeline = transformers.pipeline("text-classification", model=str(tmp_path / "model" / "network"), device="cpu")
    plain = [found["label"] for found in pipeline(texts)]
    ours = [classifier.taxonomy.codes[index] for index in classifier.probabilities(texts).argmax(axis=1)]
    assert ours == plain


def test_cancelled_training_keeps_its_best_and_goes_on(table, bert, tmp_path):
    whole = train(table, tmp_path / "whole", **with_network(bert, classifier="bert"))
    with pytest.raises(Cancelled):
        train(table, tmp_path / "model", Log("Epoch 3:"), **with_network(bert, classifier="bert"))
    assert not (tmp_path / "model" / "model.json").exists()
    # what is there classifies, and says that it is not finished
    run = Log()
    _, found = classified(tmp_path, tmp_path / "model", run)
    assert run.holds("the training in")
    assert found["class_code"].notna().sum() == 4
    # the same call goes on, and ends where the uninterrupted one did
    run = Log()
    again = train(table, tmp_path / "model", run, **with_network(bert, classifier="bert"))
    assert run.holds("Training goes on after step")
    assert again["log_loss"] == pytest.approx(whole["log_loss"], abs=1e-9)
    assert not (tmp_path / "model" / "training").exists()


def test_other_settings_start_anew(table, bert, tmp_path):
    with pytest.raises(Cancelled):
        train(table, tmp_path / "model", Log("Epoch 2:"), **with_network(bert))
    run = Log()
    train(table, tmp_path / "model", run, **with_network(bert, seed=1, epochs=1))
    assert not run.holds("goes on after")


def test_retraining_a_folder_replaces_the_model(table, tmp_path):
    train(table, tmp_path / "model", seed=0)
    train(table, tmp_path / "model", seed=7)
    assert json.loads((tmp_path / "model" / "model.json").read_text())["settings"]["seed"] == 7


def test_duplicates_conflicts_empty_names_and_small_classes_are_told(tmp_path):
    frame = names()
    extra = pd.DataFrame(
        {
            "name": [frame["name"][0], frame["name"][0], frame["name"][1], "", "某某家具厂", "x"],
            "class": ["C31", "C31", "C31", "C15", "C21", None],
            "city": "x",
        }
    )
    pd.concat([frame, extra]).to_csv(tmp_path / "names.csv", index=False)
    run = Log()
    result = train(str(tmp_path / "names.csv"), tmp_path / "model", run)
    assert result["classes"] == 3
    assert run.holds("2 rows without a name or a class were left out")
    assert run.holds("1 names occur with more than one class")
    assert run.holds("1 classes with fewer than 10 distinct names were left out: C21 (1).")
    assert json.loads((tmp_path / "model" / "model.json").read_text())["data"]["names"] == 36


def test_taxonomy_of_the_users_own(table, tmp_path):
    (tmp_path / "own.csv").write_text(
        "code,title,manufacturing,keywords,pattern\nmetal,Metal,yes,steel|钢铁,C3\\d\nother,Other,no,bank,[CJ]\\d+\n"
    )
    result = train(table, tmp_path / "model", taxonomy=str(tmp_path / "own.csv"))
    assert result["classes"] == 2
    _, found = classified(tmp_path, tmp_path / "model")
    assert found["class_code"][0] == "metal"
    assert found["class_name"][1] == "Other"


def test_values_of_the_field_as_classes(table, tmp_path):
    result = train(table, tmp_path / "model", scheme="field", use_keywords=False)
    content = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert [record["code"] for record in content["classes"]] == ["C15", "C31", "J66"]
    assert "manufacturing_recall" not in result  # the plugin cannot know which of these are manufacturing


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_field": "label"}, "text_field: field 'label' does not exist"),
        ({"class_field": "kind"}, "class_field: field 'kind' does not exist"),
        ({"context_fields": ["street"]}, "context_fields: field 'street' does not exist"),
        ({"text_field": "number"}, "text_field: field 'number' holds numbers"),
        ({"class_field": "one"}, "only the class 'C31' has"),
        ({"class_field": "city"}, "the class '云溪' is not in the taxonomy"),
        ({"class_field": "lone", "minimum_names": 20}, "only the class 'C15' has at least 20"),
        ({"class_field": "lone", "minimum_names": 1}, "1 names cannot be split"),
        ({"text_field": "blank"}, "no row has both a name and a class"),
        ({"scheme": "isic"}, "'isic' is unknown. Use one of gbt4754, naics, field"),
        ({"classifier": "svm"}, "'svm' is unknown. Use one of auto, bert"),
        ({"trained": "none"}, "'none' is unknown. Use one of all, last, head"),
        ({"class_weights": "heavy"}, "'heavy' is unknown"),
        ({"test_share": 0.9}, "0.9 is not between 0.05 and 0.5"),
        ({"validation_share": 0.0}, "0 is not between 0.05 and 0.4"),
        ({"epochs": 0}, "epochs: 0 is less than 1"),
        ({"learning_rate": -1.0}, "-1 is not between 0 and 1"),
        ({"max_length": 2}, "2 is not between 4 and 512"),
        ({"input": "/no/such.csv"}, "the file '/no/such.csv' does not exist"),
        ({"taxonomy": "/no/such.csv"}, "taxonomy: the file '/no/such.csv' does not exist"),
    ],
)
def test_bad_training_input_is_refused_in_a_sentence(tmp_path, changes, message):
    frame = names().assign(number=range(36), one="C31", blank="", lone="C15")
    frame.loc[0, "lone"] = "C31"
    frame.to_csv(tmp_path / "names.csv", index=False)
    folder = tmp_path / "model"
    arguments = {"input": str(tmp_path / "names.csv"), "output": str(folder)}
    arguments |= {"text_field": "name", "class_field": "class", "classifier": "tfidf"} | changes
    with pytest.raises(InputError) as refusal:
        train_poi_classifier(Log(), **arguments)
    assert message in str(refusal.value)
    assert str(refusal.value).startswith("Parameter ")
    assert not folder.exists()


@pytest.mark.parametrize("case", ["missing", "no config", "pickle only", "no weights", "garbage"])
def test_bad_base_models_are_refused(table, bert, tmp_path, case):
    folder = tmp_path / "base"
    if case != "missing":
        shutil.copytree(bert, folder)
    if case == "no config":
        (folder / "config.json").unlink()
    if case in ("pickle only", "no weights"):
        (folder / "model.safetensors").unlink()
    if case == "pickle only":
        (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    if case == "garbage":
        (folder / "model.safetensors").write_bytes(b"nothing")
    message = {
        "missing": "does not exist",
        "no config": "holds no config.json",
        "pickle only": "only as 'pytorch_model.bin', a format that can run foreign code",
        "no weights": "holds no weights",
        "garbage": "cannot be loaded",
    }[case]
    with pytest.raises(InputError, match="base_model") as refusal:
        train(table, tmp_path / "model", **with_network(str(folder)))
    assert message in str(refusal.value)
    assert not (tmp_path / "model" / "model.json").exists()


def test_folder_with_foreign_files_is_not_touched(table, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.docx").write_text("mine")
    with pytest.raises(InputError, match=r"holds 'thesis\.docx', which is no part of a model"):
        train(table, tmp_path / "model")
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["thesis.docx"]


# Classifying ----------------------------------------------------------------------------------------------------------


def test_classes_probabilities_top_three_and_review(table, tmp_path):
    train(table, tmp_path / "model")
    run = Log()
    result, found = classified(tmp_path, tmp_path / "model", run, threshold=0.9999)
    assert found["class_code"].fillna("").tolist() == ["C31", "NM", "NM", "", "C15"]
    assert found["class_name"][1] == "Not manufacturing"
    assert found["review"].all()
    assert found["probability"][1] == found["probability"][2]
    assert found["top3"][0].startswith("C31 0.")
    assert found["top3"][0].count(";") == 2
    assert (result["names"], result["distinct_names"], result["manufacturing"], result["review"]) == (5, 4, 2, 5)
    assert run.holds("1 rows have no name")
    assert "styles" not in result


def test_wide_output_sums_to_one_and_feeds_the_rules(table, tmp_path):
    train(table, tmp_path / "model")
    rules = tmp_path / "rules.csv"
    _, found = classified(tmp_path, tmp_path / "model", wide=True, least_ratio=0.0, rules=str(rules))
    wide = found[["p_C15", "p_C31", "p_NM"]]
    assert wide.dropna().sum(axis=1).to_numpy() == pytest.approx(1)
    assert wide.isna().all(axis=1).tolist() == [False, False, False, True, False]
    assert wide.dropna().max(axis=1).to_numpy() == pytest.approx(found["probability"].dropna().to_numpy())
    written = pd.read_csv(rules)
    assert written["subsector"].tolist() == ["C15", "C31"]
    assert written["field"].tolist() == ["p_C15", "p_C31"]
    assert set(written["proxy"]) == {"poi_weight"}


def test_points_keep_their_geometry_fields_and_get_a_style(table, tmp_path):
    train(table, tmp_path / "model")
    points = gpd.GeoDataFrame(
        {"name": ["新城钢铁 steel", "新城银行"], "Probability": [7, 8], "id": [1, 2]},
        geometry=gpd.points_from_xy([120.6, 120.7], [31.3, 31.2]),
        crs="EPSG:4326",
    )
    points.to_file(tmp_path / "pois.gpkg")
    run = Log()
    result, _ = classified(
        tmp_path, tmp_path / "model", run, source=str(tmp_path / "pois.gpkg"), output=str(tmp_path / "out.gpkg")
    )
    layer = gpd.read_file(tmp_path / "out.gpkg")
    assert layer["id"].tolist() == [1, 2]
    assert layer.geometry.geom_equals(points.geometry).all()
    assert run.holds("the fields Probability are replaced")
    style = result["styles"]["output"]
    assert [entry[0] for entry in style["classes"]] == ["C31", "NM"]
    assert style["classes"][1][1] == "#b5b5b5"


def test_context_fields_are_read_by_their_names(table, tmp_path):
    train(table, tmp_path / "model", context_fields=["city"])
    run = Log()
    classified(tmp_path, tmp_path / "model", run)
    assert run.holds("the field 'city', which the model was trained with, is missing")
    run = Log()
    classified(tmp_path, tmp_path / "model", run, source=table)
    assert not run.holds("is missing")


def test_each_half_of_an_average_can_be_asked_for(table, bert, tmp_path):
    train(table, tmp_path / "model", **with_network(bert, classifier="average", epochs=1))
    chances = {}
    for kind in ("bert", "tfidf", "average"):
        _, found = classified(tmp_path, tmp_path / "model", classifier=kind, wide=True, least_ratio=0.0)
        chances[kind] = found[["p_C15", "p_C31", "p_NM"]].dropna().to_numpy()
    content = json.loads((tmp_path / "model" / "model.json").read_text())
    weight, heat = content["weight_of_bert"], content["temperatures"]["average"]
    powers = (weight * chances["bert"] + (1 - weight) * chances["tfidf"]) ** (1 / heat)
    assert chances["average"] == pytest.approx(powers / powers.sum(axis=1, keepdims=True), abs=1e-6)
    assert not np.allclose(chances["bert"], chances["tfidf"])


def test_characters_that_the_training_did_not_meet_are_told(table, bert, tmp_path):
    train(table, tmp_path / "model", **with_network(bert, classifier="bert", epochs=1))
    run = Log()
    classified(tmp_path, tmp_path / "model", run)
    assert run.holds("hold characters that the training did not meet")  # 新城厂 were in no name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "/no/such"}, "model: the folder '/no/such' does not exist"),
        ({"text_field": "label"}, "text_field: field 'label' does not exist"),
        ({"text_field": "number"}, "text_field: field 'number' holds numbers"),
        ({"text_field": "blank"}, "no row has a name in the field 'blank'"),
        ({"least_ratio": -1.0}, "least_ratio: -1 is not between 0 and 1"),
        ({"threshold": 2.0}, "threshold: 2 is not between 0 and 1"),
        ({"classifier": "svm"}, "'svm' is unknown"),
        ({"classifier": "bert"}, "'bert' was not trained in"),
        ({"input": "/no/such.gpkg"}, "the file '/no/such.gpkg' does not exist"),
    ],
)
def test_bad_classification_input_is_refused_in_a_sentence(table, tmp_path, changes, message):
    train(table, tmp_path / "model")
    names().assign(number=range(36), blank="").to_csv(tmp_path / "pois.csv", index=False)
    arguments = {"input": str(tmp_path / "pois.csv"), "model": str(tmp_path / "model"), "text_field": "name"}
    with pytest.raises(InputError) as refusal:
        classify_pois(Log(), output=str(tmp_path / "out.csv"), **(arguments | changes))
    assert message in str(refusal.value)
    assert not (tmp_path / "out.csv").exists()


def _edit(folder, change):
    content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    change(content)
    (folder / "model.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.json").unlink(), "holds no model.json"),
        (lambda folder: (folder / "model.json").write_text("{"), "cannot be read"),
        (lambda folder: _edit(folder, lambda content: content.pop("temperatures")), "lacks 'temperatures'"),
        (lambda folder: _edit(folder, lambda content: content.update(format=99)), "format 99 is unknown"),
        (lambda folder: _edit(folder, lambda content: content.update(classifier="x")), "'x' is unknown"),
        (lambda folder: _edit(folder, lambda content: content["classes"].pop()), "it has 3 classes, the label map 2"),
        (lambda folder: (folder / "tfidf.npz").write_bytes(b"no"), "cannot be used"),
        (
            lambda folder: np.savez(folder / "tfidf.npz", text=np.array([{"a": 1}], dtype=object)),
            "cannot be used (Object arrays cannot be loaded when allow_pickle=False)",
        ),
    ],
)
def test_broken_model_folders_are_refused(table, tmp_path, spoil, message):
    train(table, tmp_path / "model")
    spoil(tmp_path / "model")
    with pytest.raises(InputError, match="model") as refusal:
        classified(tmp_path, tmp_path / "model")
    assert message in str(refusal.value)


def test_label_map_that_does_not_fit_the_network_is_refused(table, bert, tmp_path):
    train(table, tmp_path / "model", **with_network(bert, classifier="bert", epochs=1))
    _edit(tmp_path / "model", lambda content: content["classes"].reverse())
    with pytest.raises(InputError, match="not those of its label map"):
        classified(tmp_path, tmp_path / "model")


def test_network_that_is_a_pickle_is_refused(table, bert, tmp_path):
    train(table, tmp_path / "model", **with_network(bert, classifier="bert", epochs=1))
    (tmp_path / "model" / "network" / "model.safetensors").rename(tmp_path / "model" / "network" / "pytorch_model.bin")
    with pytest.raises(InputError, match="can run foreign code"):
        classified(tmp_path, tmp_path / "model")
