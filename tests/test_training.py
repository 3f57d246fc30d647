"""The one training loop: its batches, its losses, its equality with plain torch, and that a kill changes nothing."""

import json
import math
import random
import shutil
from pathlib import Path

import numpy as np
import processes
import pytest
import safetensors.torch
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers import models, training
from helpers.artifacts.store import CHECKPOINTS, spent
from helpers.environment import InputError, RunError
from helpers.tasks import collate
from helpers.training import LengthBuckets, Training, fit, logits_of, task_loss

# one test process has the server that killed processes fork from
pytestmark = pytest.mark.xdist_group("killed")

# 10 epochs of 12 batches: a checkpoint after 54 steps in the middle of an epoch, after 108 at the end of one
STEPS = 120
ROWS = 48
SETTINGS = Training(epochs=10, learning_rate=1e-3, batch_size=4)


# batches


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=300),
    size=st.integers(1, 9),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_buckets_hold_each_row_once(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    buckets = LengthBuckets(lengths, size, seed=seed, epoch=lambda: epoch)
    batches = list(buckets)
    assert len(batches) == len(buckets) == math.ceil(len(lengths) / size)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)


@given(
    lengths=st.lists(st.integers(1, 60), min_size=9, max_size=100), size=st.integers(1, 9), seed=st.integers(0, 2**31)
)
@settings(max_examples=60, deadline=None)
def test_incomplete_batches_may_be_dropped(lengths: list[int], size: int, seed: int) -> None:
    buckets = LengthBuckets(lengths, size, seed=seed, drop_incomplete=True)
    batches = list(buckets)
    assert len(batches) == len(buckets) == len(lengths) // size
    assert {len(batch) for batch in batches} <= {size}
    rows = [row for batch in batches for row in batch]
    assert len(set(rows)) == len(rows) and set(rows) <= set(range(len(lengths)))


@given(seed=st.integers(0, 2**31), epoch=st.integers(0, 5), noise=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_buckets_depend_on_seed_and_epoch_alone(seed: int, epoch: int, noise: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 40, 200)

    def order(seed: int, epoch: int) -> list[list[int]]:
        return list(LengthBuckets(lengths, 8, seed=seed, epoch=lambda: epoch))

    before = order(seed, epoch)
    random.seed(noise)
    np.random.seed(noise)
    torch.manual_seed(noise)
    assert order(seed, epoch) == before
    assert order(seed, epoch + 1) != before
    assert order(seed + 1, epoch) != before


def test_the_order_of_rows_begins_where_it_is_told_to(tmp_path: Path) -> None:
    """Two stages of less than one pass each read other rows, and a second pass has the order of the second epoch."""
    seen: dict[str, list] = {}

    def loss(model: nn.Module, batch: dict) -> tuple[torch.Tensor, dict]:
        seen[now].append(batch["input_ids"].tolist())
        return task_loss(model, batch)

    training = Training(epochs=1, learning_rate=1e-3, batch_size=8)
    for now, first, steps in (("both", 0, 20), ("second", 1, 10), ("again", 0, 10)):
        seen[now] = []
        fit(
            tiny.classifier(),
            tiny.tokens(80),
            loss=loss,
            training=training,
            folder=tmp_path / now,
            max_steps=steps,
            first_epoch=first,
        )
    assert seen["both"] == seen["again"] + seen["second"]
    assert seen["again"] != seen["second"]


def test_buckets_hold_rows_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 1000)
    padded = sum(max(lengths[batch]) * len(batch) for batch in LengthBuckets(lengths, 8, seed=0))
    by_chance = sum(max(lengths[i : i + 8]) * 8 for i in range(0, 1000, 8))
    assert padded < 1.08 * lengths.sum() < by_chance / 1.5
    # not sorted as a whole: an epoch does not go from long rows to short ones
    means = [lengths[batch].mean() for batch in LengthBuckets(lengths, 8, seed=0)]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.4


def test_collate_pads_to_the_longest_or_to_a_length() -> None:
    rows = [
        {"input_ids": [2, 7, 3], "token_type_ids": [0, 1, 1], "attention_mask": [1, 1, 1], "labels": 1},
        {"input_ids": [2, 3], "token_type_ids": [0, 0], "attention_mask": [1, 1], "labels": 0},
    ]
    batch = collate(rows)
    assert batch["input_ids"].tolist() == [[2, 7, 3], [2, 3, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [1, 0]
    assert {value.dtype for value in batch.values()} == {torch.int64}
    assert collate(rows, length=5)["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]]
    without = collate([{name: row[name] for name in row if name != "labels"} for row in rows])
    assert sorted(without) == ["attention_mask", "input_ids", "token_type_ids"]
    assert collate([row | {"labels": 2.5} for row in rows])["labels"].dtype == torch.float32


# losses


@pytest.mark.parametrize("regression", [False, True])
def test_task_loss_is_that_of_transformers(regression: bool) -> None:
    model = tiny.classifier(outputs=1 if regression else 3, spread=5)
    batch = collate(list(tiny.tokens(20, regression=regression)))
    with torch.no_grad():
        loss, parts = task_loss(model, batch)
        expected = model(**batch)
        logits = expected.logits.double().numpy()
    assert parts == {}
    assert loss.item() == pytest.approx(expected.loss.item(), rel=1e-6)
    labels = batch["labels"].numpy()
    if regression:
        by_hand = ((logits[:, 0] - labels) ** 2).mean()
    else:
        by_hand = (np.log(np.exp(logits).sum(1)) - logits[np.arange(20), labels]).mean()
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)


# the loop


def plain_loop(model: nn.Module, rows: list[dict], settings: Training) -> list[float]:
    """AdamW, linear warm-up and decay, clipping at norm 1: the loop that fit must be equal to. Returns the losses."""
    per_epoch = math.ceil(len(rows) / settings.batch_size)
    total = per_epoch * settings.epochs
    warmup = int(settings.warmup_fraction * total)
    no_decay = {
        f"{name}.{part}".lstrip(".")
        for name, module in model.named_modules()
        for part, _ in module.named_parameters(recurse=False)
        if isinstance(module, nn.LayerNorm) or part == "bias"
    }
    named = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in named.items() if n not in no_decay], "weight_decay": settings.weight_decay},
            {"params": [p for n, p in named.items() if n in no_decay], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
    )
    model.train()
    step, losses = 0, []
    lengths = [len(row["input_ids"]) for row in rows]
    for epoch in range(settings.epochs):
        for batch in LengthBuckets(lengths, settings.batch_size, seed=settings.seed, epoch=lambda e=epoch: e):
            share = step / warmup if step < warmup else (total - step) / (total - warmup)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * share
            loss, _ = task_loss(model, collate([rows[i] for i in batch]))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            step += 1
    return losses


def test_fit_equals_a_plain_loop(tmp_path: Path) -> None:
    rows = tiny.tokens(90)
    settings = Training(epochs=3, learning_rate=5e-3, batch_size=8, weight_decay=0.1, seed=3)
    ours, theirs = (tiny.classifier(dropout=0.0, spread=3) for _ in range(2))
    start = {name: value.clone() for name, value in ours.state_dict().items()}
    curve = fit(ours, rows, loss=task_loss, training=settings, folder=tmp_path)
    losses = plain_loop(theirs, list(rows), settings)
    for name, value in theirs.state_dict().items():
        if name.endswith("key.bias"):
            continue  # the softmax does not see it: its gradient is rounding noise, which AdamW makes large
        assert torch.allclose(ours.state_dict()[name], value, atol=1e-5, rtol=1e-5), name
        # not equal by standing still: a mean step is thousands of times the tolerance
        assert (value - start[name]).abs().max() > 1e-3, name
    # the curve is the mean loss since the entry before
    steps = [entry["step"] for entry in curve]
    assert steps == list(range(1, 37))
    assert [entry["loss"] for entry in curve] == pytest.approx(losses, rel=1e-3)
    # the last checkpoint would be of no use: nothing goes on from it
    assert not list((tmp_path / CHECKPOINTS).glob("checkpoint-36"))


def test_fit_calls_after_step_after_every_step(tmp_path: Path) -> None:
    model, seen = tiny.classifier(), []
    settings = Training(epochs=2, learning_rate=1e-3, batch_size=8)

    def freeze_at_one(trained: nn.Module) -> None:
        seen.append(trained is model)
        trained.classifier.bias.data.fill_(1.0)

    fit(model, tiny.tokens(40), loss=task_loss, training=settings, folder=tmp_path, after_step=freeze_at_one)
    assert seen == [True] * 10
    assert model.classifier.bias.tolist() == [1.0, 1.0]


def test_fit_may_train_on_whole_batches_only(tmp_path: Path) -> None:
    settings = Training(epochs=2, learning_rate=1e-3, batch_size=3)
    rows, seen = tiny.tokens(8), []

    def loss(model: nn.Module, batch: dict) -> tuple[torch.Tensor, dict]:
        seen.append(batch["input_ids"].tolist())
        return task_loss(model, batch)

    options = {"loss": loss, "training": settings, "drop_incomplete": True}
    fit(tiny.classifier(), rows, folder=tmp_path / "dropped", **options)
    lengths = [len(ids) for ids in rows["input_ids"]]
    orders = [LengthBuckets(lengths, 3, seed=0, epoch=lambda e=epoch: e, drop_incomplete=True) for epoch in (0, 1)]
    batches = [batch for order in orders for batch in order]
    assert [len(batch) for batch in batches] == [3, 3, 3, 3] and batches[:2] != batches[2:]
    assert seen == [collate([rows[i] for i in batch])["input_ids"].tolist() for batch in batches]
    with pytest.raises(InputError, match="2 rows fill no batch of 3: set drop_incomplete to false"):
        fit(tiny.classifier(), tiny.tokens(2), folder=tmp_path / "none", **options)


def test_fit_logs_the_parts_of_a_loss(tmp_path: Path) -> None:
    def halves(model: nn.Module, batch: dict) -> tuple[torch.Tensor, dict]:
        loss, _ = task_loss(model, batch)
        return loss, {"third": loss / 3, "rest": 2 * loss / 3}

    settings = Training(epochs=1, learning_rate=1e-3, batch_size=8)
    curve = fit(tiny.classifier(), tiny.tokens(64), loss=halves, training=settings, folder=tmp_path)
    assert len(curve) == 8
    for entry in curve:
        assert sorted(entry) == ["loss", "rest", "step", "third"]
        assert entry["third"] + entry["rest"] == pytest.approx(entry["loss"], abs=1e-3)
        assert entry["rest"] == pytest.approx(2 * entry["third"], rel=1e-5)


@pytest.mark.parametrize(("epochs", "limit"), [(0, None), (1, 0)])
def test_no_training_changes_nothing(tmp_path: Path, epochs: int, limit: int | None) -> None:
    model = tiny.classifier()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = Training(epochs=epochs, learning_rate=1e-3)
    assert fit(model, tiny.tokens(8), loss=task_loss, training=settings, folder=tmp_path, max_steps=limit) == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("bad_step", [3, 45])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, bad_step: int) -> None:
    # 45 steps, logged every second: what goes wrong at the very last is noticed too
    calls = []

    def explode(model: nn.Module, batch: dict) -> tuple[torch.Tensor, dict]:
        calls.append(1)
        loss, parts = task_loss(model, batch)
        return loss * (math.inf if len(calls) == bad_step else 1.0), parts

    settings = Training(epochs=3, learning_rate=0.125, batch_size=8)
    with pytest.raises(RunError, match=r"not? longer finite after \d+ steps; lower the learning rate \(0.125\)"):
        fit(tiny.classifier(), tiny.tokens(120), loss=explode, training=settings, folder=tmp_path)
    assert len(calls) <= bad_step + 1


# killed and started again


def train(folder: Path, *, kill_at_step: int = 0, kill_at_save: int = 0) -> None:
    """One call as a study makes it; the arguments say when this process is killed."""
    calls, saves = [], []
    whole = training.loop._Steps.on_save

    def counted(model: nn.Module, batch: dict) -> tuple[torch.Tensor, dict]:
        calls.append(1)
        if len(calls) == kill_at_step:
            processes.die()
        loss, _ = task_loss(model, batch)
        return loss, {"twice": 2 * loss}

    def on_save(*arguments: object, **others: object) -> None:
        saves.append(1)
        if len(saves) == kill_at_save:
            processes.die()  # the checkpoint's files are there, the mark that it is whole is not
        whole(*arguments, **others)

    training.loop._Steps.on_save = on_save
    model = tiny.classifier(dropout=0.2)
    curve = fit(model, tiny.tokens(ROWS), loss=counted, training=SETTINGS, folder=folder)
    words = tiny.words(folder)
    models.save(model, words, folder)
    training.write_curve(folder, curve)
    (folder / "calls").write_text(str(len(calls)))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert processes.run(train, folder=folder, errors=folder / "stderr") == 0
    assert int((folder / "calls").read_text()) == STEPS
    return folder


def test_training_writes_nothing_to_stderr(uninterrupted: Path) -> None:
    assert (uninterrupted / "stderr").read_text() == ""


def checkpoints(folder: Path) -> dict[str, bool]:
    found = sorted((folder / CHECKPOINTS).glob("*"))
    return {path.name: (path / "complete").exists() for path in found if path.is_dir()}


@pytest.mark.parametrize(
    ("kill", "lying", "remaining"),
    [
        # at the first step after the first whole checkpoint, in the middle of an epoch
        ({"kill_at_step": 55}, {"checkpoint-54": True}, STEPS - 54),
        # while the second checkpoint is written: it is not whole and must not be used
        ({"kill_at_save": 2}, {"checkpoint-108": False, "checkpoint-54": True}, STEPS - 54),
        # before anything was kept
        ({"kill_at_save": 1}, {"checkpoint-54": False}, STEPS),
    ],
)
def test_a_killed_training_ends_where_an_uninterrupted_one_ends(
    tmp_path: Path, uninterrupted: Path, kill: dict[str, int], lying: dict[str, bool], remaining: int
) -> None:
    assert processes.run(train, folder=tmp_path, errors=tmp_path / "stderr", **kill) == -9
    assert not (tmp_path / "calls").exists()
    assert checkpoints(tmp_path) == lying
    assert (spent(tmp_path) > 0) == any(lying.values()), "what went into a whole checkpoint is known"
    assert processes.run(train, folder=tmp_path, errors=tmp_path / "stderr") == 0
    assert int((tmp_path / "calls").read_text()) == remaining
    expected = weights(uninterrupted)
    assert expected.keys() == weights(tmp_path).keys()
    for name, value in weights(tmp_path).items():
        assert torch.equal(value, expected[name]), name
    assert training.read_curve(tmp_path) == training.read_curve(uninterrupted)
    assert (tmp_path / "stderr").read_text() == ""


def test_two_kills_are_as_none(tmp_path: Path, uninterrupted: Path) -> None:
    errors = tmp_path / "stderr"
    assert processes.run(train, folder=tmp_path, errors=errors, kill_at_step=60) == -9
    assert (
        processes.run(train, folder=tmp_path, errors=errors, kill_at_step=STEPS - 54) == -9
    )  # at the last step of all
    assert processes.run(train, folder=tmp_path, errors=errors) == 0
    assert int((tmp_path / "calls").read_text()) == STEPS - 108
    assert (tmp_path / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()


def test_a_resumed_run_depends_on_its_checkpoint(tmp_path: Path, uninterrupted: Path) -> None:
    # the test of the tests above: with another random state in the checkpoint the weights do differ
    assert processes.run(train, folder=tmp_path, errors=tmp_path / "stderr", kill_at_step=70) == -9
    state = tmp_path / CHECKPOINTS / "checkpoint-54" / "rng_state.pth"
    state.unlink()
    assert processes.run(train, folder=tmp_path, errors=tmp_path / "stderr") == 0
    expected = weights(uninterrupted)
    assert any(not torch.equal(value, expected[name]) for name, value in weights(tmp_path).items())


# applying a model


def test_logits_keep_the_order_of_the_rows() -> None:
    model, rows = tiny.classifier(spread=5, layers=2).train(), tiny.tokens(50)
    logits = logits_of(model, rows, batch_size=8)
    assert not model.training
    assert logits.shape == (50, 2)
    assert logits.dtype == np.float32
    with torch.no_grad():
        alone = np.concatenate([model(**{k: v for k, v in collate([r]).items() if k != "labels"}).logits for r in rows])
    assert np.abs(logits - alone).max() < 1e-5
    # rows differ, so that another order would be seen
    assert np.abs(logits[1:] - logits[:-1]).max(axis=1).min() > 1e-3
    assert np.array_equal(logits_of(model, rows, batch_size=8), logits)


def test_logits_do_not_depend_on_labels_or_batch_size() -> None:
    model, rows = tiny.classifier(spread=5), tiny.tokens(17)
    logits = logits_of(model, rows, batch_size=5)
    assert np.array_equal(logits, logits_of(model, rows.remove_columns("labels"), batch_size=5))
    assert np.abs(logits - logits_of(model, rows, batch_size=1)).max() < 1e-5
    assert np.abs(logits - logits_of(model, rows, batch_size=64)).max() < 1e-5


def test_fine_tune_gives_a_new_head_and_a_curve(tmp_path: Path) -> None:
    encoder = tiny.classifier(outputs=3)
    start = tiny.saved(tmp_path / "start", encoder)
    made = tmp_path / "made"
    made.mkdir()
    data = tiny.task_data()
    settings = Training(epochs=2, learning_rate=1e-3, batch_size=16)
    training.fine_tune(made, start=start, data=data, training=settings, max_length=16)
    shutil.rmtree(made / CHECKPOINTS, ignore_errors=True)
    model = models.load(made)
    assert model.classifier.weight.shape == (2, 16)
    assert not torch.equal(
        model.bert.encoder.layer[0].output.dense.weight, encoder.bert.encoder.layer[0].output.dense.weight
    )
    assert [entry["step"] for entry in training.read_curve(made)] == list(range(1, 9))
    assert json.loads((made / "curve.json").read_text()) == training.read_curve(made)
    assert training.read_curve(start) == []
