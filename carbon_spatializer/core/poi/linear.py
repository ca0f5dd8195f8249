"""TF-IDF of words and characters with a linear classifier: the baseline, and often the better half of an average.

Source: Joachims (1998), Text categorization with support vector machines.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

# Kinds of features to choose among: words with their parts for scripts with blanks, characters for those without.
FEATURES = {
    "words and characters": (("word", 1, 2), ("char_wb", 2, 5)),
    "characters 1 to 2": (("char", 1, 2),),
    "characters 1 to 3": (("char", 1, 3),),
}
_WORD = r"(?u)\b\w+\b"
_FOLDS = 3


@dataclass
class LinearModel:
    """A fitted model.

    Attributes
    ----------
    features : key of ``FEATURES``.
    vocabularies : term -> column, one per vectorizer.
    idf : inverse document frequencies, one array per vectorizer.
    coefficients, intercepts : shapes (classes, terms) and (classes,).
    """

    features: str
    vocabularies: list[dict[str, int]]
    idf: list[np.ndarray]
    coefficients: np.ndarray
    intercepts: np.ndarray

    def scores(self, names: list[str]) -> np.ndarray:
        """Margins of every class for every name, shape (names, classes); larger is likelier."""
        vectorizers = []
        for kind, vocabulary, idf in zip(FEATURES[self.features], self.vocabularies, self.idf):
            vectorizer = _vectorizer(*kind, vocabulary=vocabulary)
            vectorizer.idf_ = idf
            vectorizers.append(vectorizer)
        matrix = sp.hstack([vectorizer.transform(names) for vectorizer in vectorizers], format="csr")
        return np.asarray(matrix @ self.coefficients.T + self.intercepts, dtype=float)

    def arrays(self) -> dict[str, np.ndarray]:
        """The model as arrays without objects, for a .npz file that needs no pickle."""
        text = json.dumps({"features": self.features, "terms": [list(terms) for terms in self.vocabularies]})
        result = {
            "text": np.frombuffer(text.encode("utf-8"), dtype=np.uint8),
            "coefficients": self.coefficients.astype(np.float32),
            "intercepts": self.intercepts,
        }
        return result | {f"idf{index}": idf for index, idf in enumerate(self.idf)}

    @classmethod
    def from_arrays(cls, arrays) -> "LinearModel":
        """The model from what ``arrays`` gave; raises ValueError or KeyError when they do not fit together."""
        text = json.loads(bytes(np.asarray(arrays["text"], dtype=np.uint8)).decode("utf-8"))
        vocabularies = [{term: column for column, term in enumerate(terms)} for terms in text["terms"]]
        model = cls(
            features=text["features"],
            vocabularies=vocabularies,
            idf=[np.asarray(arrays[f"idf{index}"]) for index in range(len(vocabularies))],
            coefficients=np.asarray(arrays["coefficients"], dtype=float),
            intercepts=np.asarray(arrays["intercepts"], dtype=float),
        )
        if model.coefficients.shape != (len(model.intercepts), sum(map(len, vocabularies))):
            raise ValueError("the coefficients do not fit the terms")
        return model


def fit(names: list[str], labels: np.ndarray, features: str, balanced: bool = False) -> LinearModel:
    """Fit a one-against-rest linear support vector machine on TF-IDF features.

    Parameters
    ----------
    names : texts.
    labels : class of each, 0 ... classes - 1; every class occurs.
    features : key of ``FEATURES``.
    balanced : weight each class by the inverse of its size.
    """
    vectorizers = [_vectorizer(*kind) for kind in FEATURES[features]]
    matrix = sp.hstack([vectorizer.fit_transform(names) for vectorizer in vectorizers], format="csr")
    machine = LinearSVC(C=1.0, class_weight="balanced" if balanced else None, random_state=0).fit(matrix, labels)
    coefficients, intercepts = machine.coef_, machine.intercept_
    if len(machine.classes_) == 2:
        coefficients, intercepts = np.vstack([-coefficients, coefficients]), np.r_[-intercepts, intercepts]
    # Terms in the order of their columns, so that a list of them is the whole vocabulary.
    vocabularies = [
        dict(sorted(vectorizer.vocabulary_.items(), key=lambda item: item[1])) for vectorizer in vectorizers
    ]
    vocabularies = [{term: int(column) for term, column in terms.items()} for terms in vocabularies]
    return LinearModel(features, vocabularies, [v.idf_ for v in vectorizers], coefficients, intercepts)


def choose_features(
    names: list[str],
    labels: np.ndarray,
    examples: tuple[list[str], np.ndarray] = ([], np.array([], dtype=int)),
    seed: int = 0,
    progress: Callable[[float, str], None] = lambda fraction, text="": None,
) -> tuple[str, np.ndarray]:
    """The kind of features with the best macro-F1 in cross-validation, and its margins from the folds left out.

    Parameters
    ----------
    names, labels : texts and the class of each.
    examples : further texts and classes that every model learns from and none is judged by.

    Returns
    -------
    key of ``FEATURES``; margins, shape (names, classes): no name was in the training of the model that scored it.
    """
    labels = np.asarray(labels)
    classes = int(labels.max()) + 1
    folds = list(StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(labels, labels))
    best = ("", -1.0, np.empty(0))
    for step, features in enumerate(FEATURES):
        scores = np.zeros((len(names), classes))
        for place, (training, left_out) in enumerate(folds):
            progress((step + place / len(folds)) / len(FEATURES), f"TF-IDF: {features}")
            model = fit(
                [names[index] for index in training] + examples[0], np.r_[labels[training], examples[1]], features
            )
            scores[left_out] = model.scores([names[index] for index in left_out])
        quality = f1_score(labels, scores.argmax(1), average="macro")
        if quality > best[1]:
            best = (features, quality, scores)
    return best[0], best[2]


def _vectorizer(analyzer: str, least: int, most: int, vocabulary: dict[str, int] | None = None) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(least, most),
        token_pattern=_WORD if analyzer == "word" else None,
        sublinear_tf=True,
        vocabulary=vocabulary,
    )
