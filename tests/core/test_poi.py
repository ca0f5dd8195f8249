"""Names to classes: taxonomies, the linear model, calibration and quality, with numbers worked out by hand."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import log_loss as reference_log_loss
from sklearn.svm import LinearSVC

from carbon_spatializer.core.errors import InputError
from carbon_spatializer.core.poi import evaluation, linear, training
from carbon_spatializer.core.poi.classifier import Classifier, average, classify, weights
from carbon_spatializer.core.poi.taxonomy import Taxonomy, clean, keyword_rules

DATA = Path(__file__).parents[2] / "carbon_spatializer" / "data"
MILLS = ["steel mill", "rolling mill steel", "old steel works", "iron and steel", "blue steel plant", "steel of acme"]
DAIRIES = ["sunny dairy", "milk dairy co", "dairy cheese", "acme dairy plant", "green dairy", "dairy and butter"]
SHOPS = ["corner shop", "book shop", "acme shop", "tea shop", "shop of toys", "flower shop"]
NAMES = MILLS + DAIRIES + SHOPS
LABELS = np.repeat([0, 1, 2], 6)


def taxonomy(**columns):
    table = {"code": ["A1", "B2", "NM"], "title": ["Steel", "Dairy", "Other"], "manufacturing": ["yes", "yes", "no"]}
    return Taxonomy.from_table(pd.DataFrame(table | columns))


@pytest.fixture(scope="module")
def gbt():
    return Taxonomy.from_table(pd.read_csv(DATA / "taxonomy_gbt4754_2017.csv", dtype=str))


@pytest.fixture(scope="module")
def naics():
    return Taxonomy.from_table(pd.read_csv(DATA / "taxonomy_naics_2017.csv", dtype=str))


# Taxonomies -----------------------------------------------------------------------------------------------------------


def test_gbt4754_has_the_31_divisions_and_one_class_for_the_rest(gbt):
    assert gbt.codes == (*(f"C{number}" for number in range(13, 44)), "NM")
    assert gbt.manufacturing == (True,) * 31 + (False,)
    assert gbt.other_titles[gbt.codes.index("C26")] == "化学原料和化学制品制造业"


def test_crosswalk_covers_every_division():
    table = pd.read_csv(DATA / "taxonomy_gbt4754_2017.csv", dtype=str).set_index("code").drop("NM")
    assert table["isic4"].notna().all()
    # Repair of machinery has no sector of its own in the energy statistics, recycling none in NAICS manufacturing.
    assert table.index[table["energy_sector"].isna()].tolist() == ["C43"]
    assert table.index[table["naics3"].isna()].tolist() == ["C42"]
    divisions = table["isic4"].str.split("|").explode().astype(int)
    assert set(range(10, 34)) <= set(divisions)  # ISIC Rev.4 section C is divisions 10 to 33


def test_energy_sectors_are_those_of_the_ceads_inventories(data):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.load_workbook(data / "china" / "Emission_Inventories_for_30_Provinces_2010.xlsx", read_only=True)
    cells = book[book.sheetnames[1]].iter_rows(min_col=1, max_col=1, values_only=True)
    known = {str(value).strip() for (value,) in cells if value}
    table = pd.read_csv(DATA / "taxonomy_gbt4754_2017.csv", dtype=str)
    assert set(table["energy_sector"].dropna().str.split("|").explode()) <= known


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("C26", "C26"),
        ("C2614", "C26"),
        ("26", "C26"),
        ("C39计算机、通信和其他电子设备制造业", "C39"),
        ("医药制造业", "C27"),
        ("Manufacture of medicines", "C27"),
        ("J66货币金融服务", "NM"),
        ("06", "NM"),
        ("NM", "NM"),
    ],
)
def test_gbt4754_reads_codes_titles_and_longer_codes(gbt, value, code):
    assert gbt.codes[gbt.classes([value])[0]] == code


def test_naics_reads_six_digits(naics):
    found = naics.classes(["325211", "327310", "221112", "311", None, ""])
    assert [naics.codes[index] if index >= 0 else None for index in found] == ["325", "327", "NM", "311", None, None]


def test_every_company_of_the_real_data_has_a_class(gbt, data):
    companies = pd.read_csv(data / "poi_names" / "cn_company_gbt4754.csv", dtype=str)
    found = gbt.classes(companies["gbt4754"])
    assert (found == gbt.codes.index("NM")).sum() == 1680  # 5,190 companies, 3,510 of them manufacturers
    assert (found >= 0).all()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name\nx", "columns name"),
        ("code,title\nA,x", "1 class"),
        ("code,title\nA,x\nA,y", "'A' is blank or occurs twice"),
        ("code,title\nA,x\n,y", "blank"),
        ("code,title,pattern\nA,x,(\nB,y,", "no regular expression"),
    ],
)
def test_broken_taxonomies_are_refused(table, message):
    with pytest.raises(InputError, match=message):
        Taxonomy.from_table(pd.read_csv(io.StringIO(table)))


def test_unknown_class_is_named(gbt):
    with pytest.raises(InputError, match=r"the class 'Bakery' is not in the taxonomy \(2 such"):
        gbt.classes(["C13", "Bakery", "Cafe"])


def test_records_bring_the_taxonomy_back(gbt):
    assert Taxonomy.from_records(json.loads(json.dumps(gbt.records()))).codes == gbt.codes
    assert Taxonomy.from_records(gbt.records()) == gbt


def test_clean_unifies_and_leaves_out_legal_forms():
    names = ["ＡＢＣ  Steel", "苏州恒达印染有限公司", "万科企业股份有限公司", "有限公司", None, " "]
    assert clean(names) == ["abc steel", "苏州恒达印染", "万科企业", "有限公司", "", ""]


def test_keyword_rules_take_the_longest_word(gbt):
    names = ["恒达水泥厂", "Sunny Furniture Factory", "某某有色金属冶炼厂", "xyz"]
    found = keyword_rules(gbt, names, otherwise=gbt.codes.index("NM"))
    assert [gbt.codes[index] for index in found] == ["C30", "C21", "C32", "NM"]


def test_examples_are_titles_and_keywords_once():
    names, labels = taxonomy(keywords=["mill|Steel", "milk", ""]).examples()
    assert dict(zip(names, labels.tolist())) == {"steel": 0, "mill": 0, "dairy": 1, "milk": 1, "other": 2}
    assert Taxonomy.from_values(["x", "y"]).examples()[0] == []


# Linear model ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", linear.FEATURES)
def test_linear_scores_are_those_of_scikit_learn(features):
    model = linear.fit(NAMES, LABELS, features)
    others = ["new steel mill", "cheese dairy", "x"]
    kinds = linear.FEATURES[features]
    vectorizers = [
        TfidfVectorizer(
            analyzer=kind,
            ngram_range=(low, high),
            sublinear_tf=True,
            token_pattern=r"(?u)\b\w+\b" if kind == "word" else None,
        ).fit(NAMES)
        for kind, low, high in kinds
    ]
    known, new = (np.hstack([v.transform(texts).toarray() for v in vectorizers]) for texts in (NAMES, others))
    reference = LinearSVC(C=1.0, random_state=0).fit(known, LABELS).decision_function(new)
    assert model.scores(others) == pytest.approx(reference, abs=1e-3)


@pytest.mark.parametrize("count", [2, 3])
def test_linear_model_survives_a_file_without_pickle(tmp_path, count):
    model = linear.fit(NAMES[: 6 * count], LABELS[: 6 * count], "words and characters")
    np.savez(tmp_path / "m.npz", **model.arrays())
    with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
        again = linear.LinearModel.from_arrays(arrays)
    assert again.scores(NAMES) == pytest.approx(model.scores(NAMES), abs=1e-5)
    assert again.scores(NAMES).shape == (18, count)


def test_features_are_chosen_by_names_left_out():
    features, margins = linear.choose_features(NAMES, LABELS, seed=1)
    assert features == "words and characters"
    # No model saw the name that it scored: a name without its like cannot be known.
    _, alone = linear.choose_features(["qqqq qqqq", *NAMES[1:]], LABELS, seed=1)
    assert margins.shape == (18, 3)
    assert alone[0].max() < margins[0].max()


# Calibration and quality ----------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(3, 40), min_size=2, max_size=6), st.floats(0.05, 0.4), st.floats(0.05, 0.4), st.integers(0, 9)
)
def test_every_class_is_in_every_part(sizes, test, validation, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    parts = evaluation.stratified_split(labels, test, validation, seed)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for part in parts:
        assert set(labels[part]) == set(range(len(sizes)))


def test_split_follows_the_seed():
    first, second, third = (evaluation.stratified_split(LABELS, 0.2, 0.2, seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, second))
    assert any((a != b).any() for a, b in zip(first, third))


def test_class_weights():
    # 4 and 1 names. balanced: 1/4 and 1, mean over the names (4 * 1/4 + 1) / 5 = 2/5, so 0.625 and 2.5.
    labels = np.array([0, 0, 0, 0, 1])
    assert evaluation.class_weights(labels, 2, "balanced") == pytest.approx((0.625, 2.5))
    # sqrt: 1/2 and 1, mean (4 * 1/2 + 1) / 5 = 3/5.
    assert evaluation.class_weights(labels, 2, "sqrt") == pytest.approx((5 / 6, 5 / 3))
    assert evaluation.class_weights(labels, 2, "none") is None


def test_temperature_undoes_overconfidence():
    random = np.random.default_rng(0)
    scores = random.normal(size=(4000, 3))
    labels = (evaluation.softmax(scores).cumsum(1) < random.random((4000, 1))).sum(1)
    # Labels were drawn from these probabilities; three times the scores need three times the temperature.
    assert evaluation.temperature(3 * scores, labels) == pytest.approx(3, rel=0.08)


def test_few_right_names_are_no_certainty():
    # Ten names, all right by a margin of 1 over the other class: p is the share of 11.5 in 12 names.
    scores, labels = np.tile([1.0, 0.0], (10, 1)), np.zeros(10, dtype=int)
    chance = evaluation.softmax(scores, evaluation.temperature(scores, labels))[0, 0]
    assert chance == pytest.approx(11.5 / 12, abs=1e-3)


def test_quality_by_hand():
    # true 0 0 1 1, predicted 0 1 1 1: accuracy 3/4; class 0: precision 1, recall 1/2, f1 2/3; class 1: precision 2/3,
    # recall 1, f1 4/5; macro-F1 11/15.
    chances = np.array([[0.9, 0.1], [0.3, 0.7], [0.1, 0.9], [0.45, 0.55]])
    labels = np.array([0, 0, 1, 1])
    found = evaluation.quality(labels, chances, 2)
    assert found.accuracy == 0.75
    assert found.macro_f1 == pytest.approx(11 / 15)
    assert found.per_class[["precision", "recall", "f1"]].to_numpy() == pytest.approx(
        np.array([[1, 1 / 2, 2 / 3], [2 / 3, 1, 4 / 5]])
    )
    assert found.confusion.tolist() == [[1, 1], [0, 2]]
    assert found.log_loss == pytest.approx(reference_log_loss(labels, chances))
    # bins: 0.9 and 0.9 right 2 of 2; 0.7 right 0 of 1; 0.55 right 1 of 1: (2 * 0.1 + 0.7 + 0.45) / 4 = 0.3375
    assert found.calibration_error == pytest.approx(0.3375)


def test_quality_without_probabilities():
    found = evaluation.quality(np.array([0, 1]), np.array([0, 0]), 2)
    assert found.accuracy == 0.5
    assert np.isnan(found.log_loss)
    assert np.isnan(found.calibration_error)


def test_average_weight_favours_the_better_half():
    labels = np.array([0, 1, 0, 1])
    good, bad = np.eye(2)[labels] * 0.8 + 0.1, np.full((4, 2), 0.5)
    assert evaluation.average_weight(good, bad, labels) == pytest.approx(0.8)
    assert evaluation.average_weight(bad, good, labels) == pytest.approx(0.2)
    assert average({"bert": good, "tfidf": bad}, 0.25) == pytest.approx(0.25 * good + 0.375)
    # 0.6 and 0.4 at the temperature 1/2: squares 0.36 and 0.16, of 0.52
    assert average({"bert": good, "tfidf": bad}, 0.25, 0.5)[0] == pytest.approx([0.36 / 0.52, 0.16 / 0.52])


# Training and classifying without a network ---------------------------------------------------------------------------


def trained(**options):
    kept = []
    places = evaluation.stratified_split(LABELS, 0, 0.2, 0)
    training.train(NAMES, LABELS, places[0], places[1], taxonomy(), lambda *best: kept.append(best), "tfidf", **options)
    return kept[-1]


def test_automatic_choice_needs_a_clear_difference():
    def quality(macro_f1, accuracy=0.8):
        return evaluation.Quality(accuracy, macro_f1, 0, 0, None, None, None)

    qualities = {"bert": quality(0.70), "tfidf": quality(0.73), "average": quality(0.70)}
    # standard error sqrt(0.8 * 0.2 / 100) = 0.04 of 100 names, and 0.02 of 400
    assert training.best_kind(qualities, 100) == "average"
    assert training.best_kind(qualities, 400) == "tfidf"
    assert training.best_kind(qualities | {"average": quality(0.74)}, 400) == "average"


def test_titles_and_keywords_teach_what_no_name_says():
    classifier, qualities = trained()
    assert set(qualities) == {"tfidf"}
    chances = classifier.probabilities(["big steel mill", "Big STEEL  mill", "dairy of x", "", "---"])
    assert chances[:3].sum(axis=1) == pytest.approx(1)
    assert chances[0].tolist() == chances[1].tolist()
    assert chances[:3].argmax(axis=1).tolist() == [0, 0, 1]
    assert np.isnan(chances[3:]).all()


def test_classify_by_hand():
    chances = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [np.nan] * 3])
    table = classify(chances, taxonomy(), 0.55)
    assert table["class_code"].tolist() == ["A1", "NM", ""]
    assert table["class_name"].tolist() == ["Steel", "Other", ""]
    assert table["probability"].tolist()[:2] == [0.5, 0.6]
    assert table["manufacturing"].tolist()[:2] == pytest.approx([0.8, 0.4])
    assert table["top3"].tolist() == ["A1 0.500; B2 0.300; NM 0.200", "NM 0.600; A1 0.200; B2 0.200", ""]
    assert table["review"].tolist() == [True, False, True]
    assert np.isnan(table["probability"].iloc[2])


def test_weights_by_hand():
    chances = np.array([[0.5, 0.3, 0.2], [0.9, 0.06, 0.04], [np.nan] * 3])
    assert weights(chances, 0.5)[:2] == pytest.approx(np.array([[5 / 8, 3 / 8, 0], [1, 0, 0]]))
    assert weights(chances, 0.0)[:2] == pytest.approx(chances[:2])
    assert weights(chances, 1.0)[0].tolist() == [1, 0, 0]
    assert np.isnan(weights(chances, 0.5)[2]).all()


def test_two_classes_have_a_top_two():
    two = Taxonomy.from_values(["x", "y"])
    assert classify(np.array([[0.2, 0.8]]), two, 0.5)["top3"].tolist() == ["y 0.800; x 0.200"]
    assert Classifier(two, "tfidf").temperatures == {}
