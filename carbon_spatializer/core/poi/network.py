"""Fine-tuning and applying a transformers sequence classifier (BERT and its kin) on short names.

torch is imported inside the functions. Nothing is read or written here: the caller loads the tokenizer and the model,
and receives what is to be kept through callables.

Sources: Devlin et al. (2019), BERT; Loshchilov and Hutter (2019), AdamW.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from . import evaluation

TRAINED = ("all", "last", "head")
_ROUND_STEPS = 400  # a long epoch is validated, and can be resumed, more than once
_TOKENS_PER_BATCH = 4096
_SHORT = 4  # tokens, with those for begin and end
_MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW
_BATCHES_PER_POOL = 8  # names of this many batches are sorted by length together


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes
    ----------
    trained : ``all`` layers, the ``last`` two and the head, or the ``head`` only.
    learning_rate : peak rate of the pre-trained layers; None takes 2e-4 for small and 3e-5 for large networks.
    new_learning_rate : peak rate of what starts untrained: the head, and the embeddings once characters were added.
    epochs : at most; ``patience`` rounds without a better validation loss end the training earlier.
    batch_size : names per step.
    max_length : tokens per name.
    warm_up : share of the steps in which the rate rises; afterwards it falls along a cosine.
    label_smoothing : share of the target spread over all classes.
    token_dropout : chance of each token to be left out of a training step, so that no single word decides.
    class_weights : weight of each class in the loss, in the order of the classes; None weighs all alike.
    new_embeddings : whether characters were added to the vocabulary; all embeddings then learn at the new rate.
    """

    trained: str = "all"
    learning_rate: float | None = None
    new_learning_rate: float = 1e-3
    epochs: int = 10
    patience: int = 4
    batch_size: int = 32
    max_length: int = 32
    warm_up: float = 0.1
    label_smoothing: float = 0.05
    token_dropout: float = 0.15
    weight_decay: float = 0.01
    seed: int = 0
    class_weights: tuple[float, ...] | None = None
    new_embeddings: bool = False


@dataclass
class State:
    """Where a training stands after a round; enough to go on exactly as if it had never stopped.

    ``tensors`` holds the trained parameters and the optimiser's moments, ``best_losses`` the loss of each validation
    name in the round with the lowest mean, ``worse`` the number of rounds since the last one that was as good.
    """

    step: int = 0
    worse: int = 0
    best_loss: float = math.inf
    best_losses: list[float] = field(default_factory=list)
    history: list[dict] = field(default_factory=list)
    tensors: dict = field(default_factory=dict)


def unknown_characters(tokenizer, names: list[str]) -> list[str]:
    """Characters of the names that the tokenizer cannot represent, most frequent first."""
    counts: dict[str, int] = {}
    for name in names:
        for sign in name:
            counts[sign] = counts.get(sign, 0) + 1
    signs = [sign for sign in sorted(counts, key=lambda sign: (-counts[sign], sign)) if not sign.isspace()]
    ids = tokenizer(signs, add_special_tokens=False)["input_ids"] if signs else []
    return [sign for sign, tokens in zip(signs, ids) if tokenizer.unk_token_id in tokens or not tokens]


def extend(tokenizer, model, names: list[str]) -> int:
    """Give every character of the names a token of its own where it has none; returns how many were added.

    The new rows of the embedding start near the mean of the old ones, so that a character which the training never
    meets carries no meaning instead of a random one.
    """
    import torch

    added = tokenizer.add_tokens(unknown_characters(tokenizer, names))
    if not added:
        return 0
    old = model.get_input_embeddings().weight.detach().clone()
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        new = model.get_input_embeddings().weight[len(old) :]
        noise = torch.randn(new.shape, generator=torch.Generator().manual_seed(0))
        new.copy_(old.mean(0) + 0.5 * old.std(0) * noise)
    return added


def device_named(name: str) -> str:
    """``auto``, ``cpu`` or ``cuda`` as the device that torch will use; raises ValueError when it is not there."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("torch finds no CUDA device")
    return name


def encode(tokenizer, names: list[str], max_length: int) -> list[list[int]]:
    """Token ids of each name, special tokens included."""
    return tokenizer(names, truncation=True, max_length=max_length, return_attention_mask=False)["input_ids"]


def logits(
    model,
    tokens: list[list[int]],
    pad: int,
    device: str = "cpu",
    progress: Callable[[float, str], None] = lambda fraction, text="": None,
) -> np.ndarray:
    """Scores of every class for every name, shape (names, classes), float64.

    Names are sorted by length and batched by their number of tokens, so that next to nothing is computed on padding.
    """
    import torch

    order = np.argsort([len(ids) for ids in tokens], kind="stable")[::-1]
    result = np.empty((len(tokens), model.config.num_labels))
    model.eval()
    start = 0
    began = time.monotonic()
    with torch.inference_mode():
        while start < len(order):
            size = max(1, _TOKENS_PER_BATCH // max(len(tokens[order[start]]), 1))
            chosen = order[start : start + size]
            ids, mask = _padded([tokens[index] for index in chosen], pad, device)
            result[chosen] = model(input_ids=ids, attention_mask=mask).logits.double().cpu().numpy()
            start += len(chosen)
            progress(start / len(order), f"{start:,} of {len(order):,} names{_left(began, start / len(order))}")
    return result


def train(
    model,
    tokens: list[list[int]],
    labels: np.ndarray,
    validation_tokens: list[list[int]],
    validation_labels: np.ndarray,
    pad: int,
    settings: Training,
    device: str = "cpu",
    state: State | None = None,
    keep_best: Callable[[np.ndarray], None] = lambda scores: None,
    keep_state: Callable[[State], None] = lambda state: None,
    progress: Callable[[float, str], None] = lambda fraction, text="": None,
    info: Callable[[str], None] = lambda text: None,
) -> State:
    """Fine-tune a sequence classifier with early stopping on the (calibrated) validation loss.

    Parameters
    ----------
    model : transformers sequence classifier; trained in place. It holds the last round's parameters on return; those
        of the best round went to ``keep_best``.
    tokens, labels : of the training names; see ``encode``.
    pad : id of the padding token.
    state : of an interrupted training with the same data and settings, to go on from.
    keep_best, keep_state : called after each round that was better, with the validation names' scores, and after every
        round.

    Returns
    -------
    The state at the end, with the learning curve in ``history``: step, epoch, training and validation loss, accuracy.
    """
    import torch

    model.to(device)
    groups = _parameter_groups(model, settings)
    optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, eps=1e-6)
    per_epoch = math.ceil(len(tokens) / settings.batch_size)
    total = per_epoch * settings.epochs
    round_steps = math.ceil(per_epoch / math.ceil(per_epoch / _ROUND_STEPS))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, total, settings.warm_up))
    state = state or State()
    if state.tensors:
        _restore(model, optimizer, scheduler, state)
        info(f"Training goes on after step {state.step:,} of {total:,}.")
    weights = None
    if settings.class_weights is not None:
        weights = torch.tensor(settings.class_weights, dtype=torch.float32, device=device)
    loss_of = torch.nn.CrossEntropyLoss(weight=weights, label_smoothing=settings.label_smoothing)
    labels = np.asarray(labels)
    began, first = time.monotonic(), state.step
    while state.step < total and state.worse < settings.patience:
        # The epoch's order and the round's dropout follow from the seed, so that a resumed training is the same one.
        torch.manual_seed(settings.seed * 1_000_003 + state.step)
        model.train()
        losses = []
        epoch = state.step // per_epoch
        batches = _batches([len(ids) for ids in tokens], settings.batch_size, [settings.seed, epoch])
        for step in range(state.step, min(state.step + round_steps, (epoch + 1) * per_epoch)):
            chosen = batches[step % per_epoch]
            thinned = _thinned([tokens[index] for index in chosen], settings.token_dropout, [settings.seed, step])
            ids, mask = _padded(thinned, pad, device)
            target = torch.from_numpy(labels[chosen]).to(device)
            loss = loss_of(model(input_ids=ids, attention_mask=mask).logits, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
            done = (step + 1 - first) / (total - first)
            text = f"Epoch {epoch + 1} of {settings.epochs}, step {step + 1:,} of {total:,}, loss {loss.item():.3f}"
            progress((step + 1) / total, text + _left(began, done))
        state.step = step + 1
        scores = logits(model, validation_tokens, pad, device)
        # Calibrated, so that growing confidence alone does not pass for getting worse.
        heat = evaluation.temperature(scores, validation_labels)
        losses_now = evaluation.log_losses(evaluation.softmax(scores, heat), validation_labels)
        validation_loss = float(losses_now.mean())
        accuracy = float((scores.argmax(1) == validation_labels).mean())
        state.history.append(
            {
                "step": state.step,
                "epoch": state.step / per_epoch,
                "training_loss": float(np.mean(losses)),
                "validation_loss": validation_loss,
                "validation_accuracy": accuracy,
            }
        )
        info(
            f"Epoch {state.step / per_epoch:.3g}: training loss {np.mean(losses):.3f}, validation loss "
            f"{validation_loss:.3f}, validation accuracy {accuracy:.3f}."
        )
        if _as_good(losses_now, state):
            state.worse = 0
            keep_best(scores)
        else:
            state.worse += 1
        if validation_loss < state.best_loss:
            state.best_loss, state.best_losses = validation_loss, losses_now.tolist()
        state.tensors = _snapshot(model, optimizer)
        keep_state(state)
    return state


def _as_good(losses: np.ndarray, state: State) -> bool:
    """Whether a round's losses are no more than one standard error of the difference above the lowest ones.

    Of rounds that the validation names cannot tell apart, the later one has the smaller learning rate behind it.
    """
    if not state.best_losses:
        return True
    gaps = losses - np.asarray(state.best_losses)
    return bool(gaps.mean() <= gaps.std() / math.sqrt(len(gaps)))


def _batches(lengths: list[int], size: int, seed: list[int]) -> list[np.ndarray]:
    """The names of each step of an epoch: random, but alike in length within a batch, which spares padding."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(lengths))
    lengths = np.asarray(lengths)
    pool = size * _BATCHES_PER_POOL
    pools = [order[start : start + pool] for start in range(0, len(order), pool)]
    order = np.concatenate([names[np.argsort(lengths[names], kind="stable")] for names in pools])
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return [batches[index] for index in generator.permutation(len(batches))]


def _thinned(rows: list[list[int]], chance: float, seed: list[int]) -> list[list[int]]:
    """Rows without some of their tokens; the first and last, which mark begin and end, and short rows stay whole."""
    generator = np.random.default_rng(seed)
    result = []
    for row in rows:
        kept = generator.random(len(row)) >= chance
        kept[[0, -1]] = True
        result.append([token for token, keep in zip(row, kept) if keep] if len(row) > _SHORT else row)
    return result


def _rate(step: int, total: int, warm_up: float) -> float:
    rising = max(1, round(warm_up * total))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def _padded(rows: list[list[int]], pad: int, device: str):
    import torch

    length = max(map(len, rows))
    ids = torch.full((len(rows), length), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return ids.to(device), mask.to(device)


def _parameter_groups(model, settings: Training) -> list[dict]:
    """Parameters to train with their peak rates; the others are frozen."""
    body = {id(parameter) for parameter in model.base_model.parameters()}
    head = [parameter for parameter in model.parameters() if id(parameter) not in body]
    embeddings = model.get_input_embeddings().weight
    layers = _layers(model)
    for parameter in model.base_model.parameters():
        parameter.requires_grad = settings.trained == "all"
    if settings.trained == "last":
        for layer in layers[-2:]:
            for parameter in layer.parameters():
                parameter.requires_grad = True
    pooler = getattr(model.base_model, "pooler", None)
    if pooler is not None:
        for parameter in pooler.parameters():
            parameter.requires_grad = True
    # Added characters know nothing yet: they are trained whatever else stays frozen.
    embeddings.requires_grad = settings.trained == "all" or settings.new_embeddings
    rest = [
        parameter
        for parameter in model.base_model.parameters()
        if parameter.requires_grad and not (parameter is embeddings and settings.new_embeddings)
    ]
    rate = settings.learning_rate or (2e-4 if sum(p.numel() for p in model.parameters()) < 5e7 else 3e-5)
    new = [*head, *([embeddings] if settings.new_embeddings else [])]
    return [{"params": rest, "lr": rate}, {"params": new, "lr": settings.new_learning_rate}]


def _layers(model) -> list:
    """The stack of transformer layers: the longest list of modules in the model."""
    import torch

    stacks = [module for module in model.base_model.modules() if isinstance(module, torch.nn.ModuleList)]
    return list(max(stacks, key=len)) if stacks else []


def _snapshot(model, optimizer) -> dict:
    """Trained parameters and the optimiser's moments as named tensors on the CPU."""
    tensors = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            tensors[f"parameter.{name}"] = parameter.detach().cpu().clone()
            moments = optimizer.state.get(parameter, {})
            for key in _MOMENTS:
                if key in moments:
                    tensors[f"{key}.{name}"] = moments[key].detach().cpu().clone()
    return tensors


def _restore(model, optimizer, scheduler, state: State) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(state.tensors[f"parameter.{name}"])
                keys = [key for key in _MOMENTS if f"{key}.{name}" in state.tensors]
                if keys:
                    moments = {key: state.tensors[f"{key}.{name}"].to(parameter) for key in keys}
                    optimizer.state[parameter] = {"step": torch.tensor(float(state.step)), **moments}
    scheduler.last_epoch = state.step
    for group, base in zip(optimizer.param_groups, scheduler.base_lrs):
        group["lr"] = base * scheduler.lr_lambdas[0](state.step)


def _left(began: float, done: float) -> str:
    if done <= 0:
        return ""
    seconds = (time.monotonic() - began) * (1 - done) / done
    return f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"
