"""Fine-tuning and applying a network, on a BERT of next to no size."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from carbon_spatializer.core.errors import Cancelled  # noqa: E402
from carbon_spatializer.core.poi import network  # noqa: E402
from tests import poi_network  # noqa: E402

NAMES = ["steel mill", "iron mill", "rolling mill", "dairy farm", "milk dairy", "dairy shop"] * 4
LABELS = np.array([0, 0, 0, 1, 1, 1] * 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return poi_network.save(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def parts(folder):
    torch.manual_seed(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    return tokenizer, model


def run(parts, settings, state=None, **callables):
    tokenizer, model = parts
    tokens = network.encode(tokenizer, NAMES, 16)
    return network.train(model, tokens, LABELS, tokens[:6], LABELS[:6], 0, settings, state=state, **callables)


def settings(**changes):
    return network.Training(**({"epochs": 4, "learning_rate": 3e-3, "batch_size": 6, "patience": 10} | changes))


def test_unknown_characters_get_tokens_of_their_own(parts):
    tokenizer, model = parts
    names = ["钢铁厂 steel", "钢厂"]
    assert network.unknown_characters(tokenizer, names) == ["厂", "钢", "铁"]
    before = model.get_input_embeddings().weight.detach().clone()
    assert network.extend(tokenizer, model, names) == 3
    assert tokenizer.unk_token_id not in tokenizer("钢铁厂 steel")["input_ids"]
    after = model.get_input_embeddings().weight
    assert after.shape[0] == before.shape[0] + 3
    assert torch.equal(after[: len(before)], before)
    assert network.extend(tokenizer, model, names) == 0


def test_scores_do_not_depend_on_the_batch(parts, monkeypatch):
    tokenizer, model = parts
    names = ["a", "steel mill of the north", "dairy", "b c"]
    tokens = network.encode(tokenizer, names, 32)
    together = network.logits(model, tokens, 0)
    monkeypatch.setattr(network, "_TOKENS_PER_BATCH", 1)
    assert network.logits(model, tokens, 0) == pytest.approx(together, abs=1e-5)
    # and are the model's own for a single name
    with torch.inference_mode():
        alone = model(**tokenizer(names[1], return_tensors="pt")).logits
    assert together[1] == pytest.approx(alone[0].numpy(), abs=1e-5)


def test_training_learns(parts):
    state = run(parts, settings(epochs=8))
    assert state.history[-1]["validation_accuracy"] == 1
    assert state.history[-1]["training_loss"] < state.history[0]["training_loss"]
    assert state.step == 8 * 4  # 24 names, 6 per step


def test_resumed_training_is_the_uninterrupted_one(parts, folder):
    whole = run(parts, settings())
    kept = []
    torch.manual_seed(1)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)

    def stop(state):
        kept.append(network.State(**vars(state)))
        if len(kept) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        run((parts[0], model), settings(), keep_state=stop)
    torch.manual_seed(1)
    fresh = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    half = kept[-1]
    half.history = list(half.history[:2])
    resumed = run((parts[0], fresh), settings(), state=half)
    assert [row["validation_loss"] for row in resumed.history] == [row["validation_loss"] for row in whole.history]
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[name]), name


def test_same_seed_same_model(folder):
    def trained(seed):
        torch.manual_seed(1)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
        return run((tokenizer, model), settings(seed=seed)).history[-1]["validation_loss"]

    assert trained(0) == trained(0)
    assert trained(0) != trained(1)


@pytest.mark.parametrize(("trained", "moves"), [("all", 1), ("last", 1), ("head", 0)])
def test_only_the_chosen_layers_move(parts, trained, moves):
    model = parts[1]
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    run(parts, settings(trained=trained, epochs=1))
    moved = {name for name, value in model.named_parameters() if not torch.equal(before[name], value)}
    assert {name for name in moved if name.startswith("classifier")}
    assert bool({name for name in moved if ".layer.1." in name}) == bool(moves)
    assert bool({name for name in moved if "word_embeddings" in name}) == (trained == "all")


def test_early_stopping_ends_a_training_that_only_gets_worse(parts, monkeypatch):
    losses = iter([np.full(6, 1.0), np.full(6, 2.0), np.full(6, 3.0), np.full(6, 0.5)])
    monkeypatch.setattr(network.evaluation, "temperature", lambda *_: 1.0)
    monkeypatch.setattr(network.evaluation, "log_losses", lambda *_: next(losses))
    best = []
    state = run(parts, settings(patience=2, epochs=9), keep_best=best.append)
    assert len(state.history) == 3  # the best round and two worse ones
    assert len(best) == 1


def test_rounds_within_one_standard_error_are_as_good():
    state = network.State(best_losses=[0.0, 1.0, 0.0, 1.0])
    # mean gap 0.1, standard deviation 0.3, standard error 0.3 / 2 = 0.15
    assert network._as_good(np.array([0.4, 1.4, -0.2, 0.8]), state)
    # mean gap 0.2, standard deviation 0: beyond it
    assert not network._as_good(np.array([0.2, 1.2, 0.2, 1.2]), state)


def test_thinning_keeps_the_ends_and_short_rows():
    rows = [[2, *range(10, 40), 3], [2, 7, 8, 3]]
    thinned = network._thinned(rows, 0.5, [0, 1])
    assert thinned[1] == rows[1]
    assert (thinned[0][0], thinned[0][-1]) == (2, 3)
    assert 5 < len(thinned[0]) < 28
    assert set(thinned[0]) <= set(rows[0])
    assert network._thinned(rows, 0.0, [0, 1]) == rows


def test_batches_hold_each_name_once_and_are_alike_in_length():
    lengths = list(np.random.default_rng(0).integers(3, 30, 500))
    batches = network._batches(lengths, 16, [0, 1])
    assert sorted(np.concatenate(batches)) == list(range(500))
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert padded < 1.2 * sum(lengths)


def test_learning_rate_rises_and_falls():
    rates = [network._rate(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == pytest.approx(1)
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] < 0.001


def test_cuda_is_refused_where_there_is_none():
    if torch.cuda.is_available():
        assert network.device_named("auto") == "cuda"
    else:
        assert network.device_named("auto") == "cpu"
        with pytest.raises(ValueError, match="CUDA"):
            network.device_named("cuda")
