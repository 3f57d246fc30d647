"""Pretraining: what is masked, what is paired, both losses, the vocabulary, and that a kill changes nothing."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import processes
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import nn
from transformers import BertConfig, BertForPreTraining

from helpers import mini_glue, models, tasks, training
from helpers.artifacts.store import CHECKPOINTS
from helpers.training import Training, masking, pretraining
from helpers.training.masking import IGNORED, mask_tokens, masked_language_loss
from helpers.training.pretraining import (
    UNRELATED_SHARE,
    continue_pretraining,
    next_sentence_loss,
    pairs,
    pretrain,
    train_tokenizer,
)

SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
}


def corpus() -> tasks.Text:
    return tasks.Text(mini_glue.text(lines=256), "generated", "256 lines")


# masking


@pytest.mark.parametrize("share", [0.15, 0.3])
def test_masking_has_bert_s_shares(share: float) -> None:
    torch.manual_seed(0)
    tokens = torch.randint(100, 1000, (2000, 100))
    special = torch.zeros_like(tokens, dtype=torch.bool)
    special[:, [0, -1]] = True
    masked, labels = mask_tokens(tokens, special, share=share, mask_id=4, vocabulary_size=1000)
    chosen = labels != IGNORED
    n = chosen.sum().item()

    def within(found: float, expected: float, of: int) -> bool:
        return abs(found - expected) < 5 * (expected * (1 - expected) / of) ** 0.5

    assert within(n / (~special).sum().item(), share, (~special).sum().item())
    assert not chosen[special].any()
    assert torch.equal(labels[chosen], tokens[chosen])
    assert torch.equal(masked[~chosen], tokens[~chosen])
    became_mask = (masked == 4)[chosen].sum().item()
    stayed = (masked == tokens)[chosen].sum().item()
    assert within(became_mask / n, 0.8 + 0.1 / 1000, n)
    assert within(stayed / n, 0.1 + 0.1 / 1000, n)
    assert within((n - became_mask - stayed) / n, 0.1 * 998 / 1000, n)
    # another token is any token, evenly
    other = masked[chosen & (masked != 4) & (masked != tokens)]
    assert other.min() < 20
    assert abs(other.float().mean().item() - 499.5) < 5 * (1000 / 12**0.5) / len(other) ** 0.5


def test_masking_is_drawn_anew_and_leaves_its_input() -> None:
    tokens = torch.randint(100, 1000, (20, 30))
    before, special = tokens.clone(), torch.zeros_like(tokens, dtype=torch.bool)
    torch.manual_seed(1)
    first = mask_tokens(tokens, special, share=0.15, mask_id=4, vocabulary_size=1000)
    second = mask_tokens(tokens, special, share=0.15, mask_id=4, vocabulary_size=1000)
    torch.manual_seed(1)
    again = mask_tokens(tokens, special, share=0.15, mask_id=4, vocabulary_size=1000)
    assert torch.equal(tokens, before)
    assert not torch.equal(first[1], second[1])
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_nothing_special_is_ever_masked() -> None:
    tokens = torch.randint(100, 1000, (50, 30))
    everything = torch.ones_like(tokens, dtype=torch.bool)
    masked, labels = mask_tokens(tokens, everything, share=1.0, mask_id=4, vocabulary_size=1000)
    assert torch.equal(masked, tokens)
    assert (labels == IGNORED).all()


# pairs of sentences


def test_lines_are_parted_after_their_first_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "UNRELATED_SHARE", 0.0)
    lines = [
        "The cat sat. The dog ran. The owl hid.",
        "Who sat? The cat.",
        "Go! Now.",
        "At 3.14 p.m.he left.",
        "",
        "No.",
    ]
    first, second, labels = pairs(lines, seed=0)
    assert first == ["The cat sat.", "Who sat?", "Go!", "At 3.14 p.m.he left.", "", "No."]
    assert second == ["The dog ran. The owl hid.", "The cat.", "Now.", None, None, None]
    assert labels == [0, 0, 0, IGNORED, IGNORED, IGNORED]


def test_a_share_of_the_second_sentences_is_another_line_s() -> None:
    lines = [f"First {i}. Second {i}." if i % 4 else f"Alone {i}." for i in range(4000)]
    first, second, labels = pairs(lines, seed=0)
    assert len(first) == len(second) == len(labels) == 4000
    kinds = np.array(labels)
    assert (kinds == IGNORED).tolist() == [i % 4 == 0 for i in range(4000)]
    for i, (a, b, label) in enumerate(zip(first, second, labels, strict=True)):
        if label == IGNORED:
            assert (a, b) == (lines[i], None)
        else:
            assert a == f"First {i}."
            assert b == f"Second {i}." if label == 0 else re.fullmatch(r"Second \d+\.", b)
    mixed = (kinds == 1).sum()
    assert abs(mixed / 3000 - UNRELATED_SHARE) < 5 * (UNRELATED_SHARE * (1 - UNRELATED_SHARE) / 3000) ** 0.5
    others = [b for a, b, label in zip(first, second, labels, strict=True) if label == 1]
    assert all(b[7:] != a[6:] for a, b, y in zip(first, second, labels, strict=True) if y == 1), "never its own"
    assert len(set(others)) > 0.8 * mixed, "drawn from all lines, not from a few"


def test_pairs_follow_their_seed() -> None:
    lines = corpus().rows["text"][:]
    assert pairs(lines, seed=3) == pairs(lines, seed=3)
    assert pairs(lines, seed=3)[2] != pairs(lines, seed=4)[2]
    assert pairs(lines, seed=3)[0] == pairs(lines, seed=4)[0]
    assert set(pairs(lines, seed=3)[2]) == {0, 1, IGNORED}, "the corpus has lines of one sentence and of two"


@given(some.lists(some.text(alphabet="ab .?!", max_size=12), max_size=8), some.integers(0, 5))
def test_no_line_is_lost_or_made_up(lines: list[str], seed: int) -> None:
    first, second, labels = pairs(lines, seed=seed)
    for line, a, b, label in zip(lines, first, second, labels, strict=True):
        if label == 0:
            assert line == f"{a} {b}"
        elif label == 1:
            assert line.startswith(f"{a} ") and line != f"{a} {b}" and any(o.endswith(f" {b}") for o in lines)
        else:
            # one sentence; a blank after it is no second one
            assert line in (a, f"{a} ") and not b


# the losses


def language_model() -> BertForPreTraining:
    torch.manual_seed(0)
    return BertForPreTraining(BertConfig(**SHAPE, vocab_size=50)).eval()


def some_batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.ones(6, 12, dtype=torch.int64)
    mask[3:, 8:] = 0
    tokens = torch.randint(5, 50, (6, 12)) * mask
    types = torch.zeros_like(mask)
    types[:, 5:] = 1
    return {"input_ids": tokens, "token_type_ids": types * mask, "attention_mask": mask}


def some_labels(*, chosen: float = 0.3) -> torch.Tensor:
    torch.manual_seed(2)
    return torch.where(torch.rand(6, 12) < chosen, torch.randint(5, 50, (6, 12)), IGNORED)


def gradients(model: nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return each parameter's gradient, zeros where the loss does not reach it."""
    model.zero_grad()
    loss.backward()
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in model.named_parameters()
    }


def assert_same(model: nn.Module, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Check two losses and their gradients against each other."""
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    found, expected = gradients(model, ours), gradients(model, theirs)
    assert any(value.abs().max() > 1e-4 for value in expected.values())
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-6), name


def test_masked_loss_is_the_full_cross_entropy() -> None:
    model, batch, labels = language_model(), some_batch(), some_labels()
    ours = masked_language_loss(model, model.bert(**batch).last_hidden_state, labels)
    logits = model(**batch).prediction_logits
    assert_same(model, ours, nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()))


def test_next_sentence_loss_is_over_the_rows_with_two() -> None:
    model, batch = language_model(), some_batch()
    together = torch.tensor([0, 1, IGNORED, 1, 0, IGNORED])
    ours = next_sentence_loss(model, model.bert(**batch).last_hidden_state, together)
    logits = model(**batch).seq_relationship_logits
    rows = [0, 1, 3, 4]
    by_hand = -sum(logits[row].log_softmax(0)[together[row]] for row in rows) / len(rows)
    assert ours.item() == pytest.approx(by_hand.item(), rel=1e-6)
    assert_same(model, ours, by_hand)


def test_both_losses_together_are_the_library_s_own() -> None:
    """A label of 0 says the same here as there: these two sentences belong together."""
    model, batch, labels = language_model(), some_batch(), some_labels()
    together = torch.tensor([0, 1, IGNORED, 1, 0, 0])
    hidden = model.bert(**batch).last_hidden_state
    ours = masked_language_loss(model, hidden, labels) + next_sentence_loss(model, hidden, together)
    assert_same(model, ours, model(**batch, labels=labels, next_sentence_label=together).loss)


def test_the_losses_are_computed_in_half_precision_where_training_is(tmp_path: Path) -> None:
    kinds = []
    words = train_tokenizer(corpus().rows["text"][:], vocabulary_size=200, folder=tmp_path)
    model = BertForPreTraining(BertConfig(**SHAPE, vocab_size=len(words)))
    model.cls.predictions.register_forward_hook(lambda module, inputs, output: kinds.append(output.dtype))
    rows = pretraining._tokens(words, *pairs(corpus().rows["text"][:32], seed=0), max_length=20)
    for precision in ("float32", "bf16"):
        settings = Training(epochs=1, learning_rate=1e-3, batch_size=8, precision=precision)
        loss = pretraining.pretraining_loss(words, masked_share=0.3, precision=precision)
        training.fit(model, rows, loss=loss, training=settings, folder=tmp_path / precision, max_steps=1)
    assert kinds == [torch.float32, torch.bfloat16]


def test_losses_without_anything_to_predict_are_zero() -> None:
    model, batch = language_model(), some_batch()
    hidden = model.bert(**batch).last_hidden_state
    nothing = masked_language_loss(model, hidden, some_labels(chosen=0.0))
    nobody = next_sentence_loss(model, hidden, torch.full((6,), IGNORED))
    assert nothing.item() == nobody.item() == 0.0
    assert all(not value.any() for value in gradients(model, nothing + nobody).values())


# the vocabulary

LEARN = """
import hashlib, pathlib, sys, tempfile
from helpers import mini_glue
from helpers.training.pretraining import train_tokenizer
folder = pathlib.Path(tempfile.mkdtemp(dir=sys.argv[1]))
train_tokenizer(mini_glue.text(lines=400)["text"][:], vocabulary_size=300, folder=folder)
print(hashlib.sha256((folder / "vocab.txt").read_bytes()).hexdigest())
"""


def test_a_vocabulary_is_the_same_in_every_process(tmp_path: Path) -> None:
    train_tokenizer(mini_glue.text(lines=400)["text"][:], vocabulary_size=300, folder=tmp_path)
    here = hashlib.sha256((tmp_path / "vocab.txt").read_bytes()).hexdigest()
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    there = subprocess.run(
        [sys.executable, "-c", LEARN, str(tmp_path)],
        env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here
    assert there.stderr == ""


def test_a_vocabulary_spells_every_word_of_its_text(tmp_path: Path) -> None:
    lines = ["The Cats sat, unhappily.", "a cat and the cats", "the cats and a hat", "ça va été"] * 3
    words = train_tokenizer(lines, vocabulary_size=60, folder=tmp_path)
    vocabulary = (tmp_path / "vocab.txt").read_text(encoding="utf-8").split()
    assert vocabulary[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(vocabulary) == len(set(vocabulary)) == len(words) <= 60
    assert words.get_vocab() == {word: i for i, word in enumerate(vocabulary)}
    assert "the" in vocabulary  # lower case, and frequent words are one token
    for line in lines:
        ids = words(line)["input_ids"]
        assert words.unk_token_id not in ids, words.convert_ids_to_tokens(ids)
    assert words.unk_token_id in words("zebra")["input_ids"]
    # only letters that stand inside a word have a continuation: no ##, for the comma
    assert not {"##,", "##."} & set(vocabulary)
    assert words.tokenize("the cat [MASK]")[-1] == "[MASK]"


# the step


def make(folder: Path, *, steps: int = 70, kill_at_step: int = 0) -> None:
    calls = []
    whole = masking.masked_language_loss

    def counted(model: nn.Module, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        calls.append((labels != IGNORED).float().mean().item())
        if len(calls) == kill_at_step:
            processes.die()
        return whole(model, hidden, labels)

    masking.masked_language_loss = counted
    # 256 lines in batches of 8: 32 batches an epoch, the checkpoint after step 51 lies in mid-epoch
    settings = Training(epochs=1, learning_rate=3e-3, batch_size=8)
    pretrain(
        folder,
        text=corpus(),
        shape=SHAPE,
        vocabulary_size=200,
        masked_share=0.25,
        steps=steps,
        training=settings,
        max_length=20,
    )
    masking.masked_language_loss = whole
    (folder / "calls").write_text(str(len(calls)))
    (folder / "masked").write_text(str(np.mean(calls) if calls else 0))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return folder


def test_pretraining_lowers_the_loss(made: Path) -> None:
    curve = training.read_curve(made)
    masked = [entry["masked"] for entry in curve]
    assert [entry["step"] for entry in curve] == list(range(3, 70, 3))
    # at first every token is as likely, log V, and so is every pair
    assert abs(masked[0] - torch.tensor(200.0).log().item()) < 0.4
    assert abs(curve[0]["next_sentence"] - torch.tensor(2.0).log().item()) < 0.4
    assert sum(masked[-5:]) / 5 < masked[0] - 0.3
    for entry in curve:
        assert entry["loss"] == pytest.approx(entry["masked"] + entry["next_sentence"], abs=1e-3)


def test_the_share_of_masked_tokens_is_the_given_one(made: Path) -> None:
    # a quarter of the tokens that are neither [CLS], [SEP] nor padding: two to five in a row of about 20
    assert 0.25 * 0.6 < float((made / "masked").read_text()) < 0.25


def tokens_of(folder: Path, lines: list[str]) -> dict[str, torch.Tensor]:
    first, second, labels = pairs(lines, seed=0)
    kept = [i for i, label in enumerate(labels) if label != IGNORED]
    words = models.tokenizer(folder)
    encoded = words(
        [first[i] for i in kept],
        [second[i] for i in kept],
        truncation=True,
        max_length=20,
        padding=True,
        return_tensors="pt",
    )
    return {**encoded, "next_sentence_label": torch.tensor([labels[i] for i in kept])}


def test_a_saved_language_model_keeps_its_tied_output_layer(made: Path) -> None:
    loaded, report = BertForPreTraining.from_pretrained(made, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert loaded.cls.predictions.decoder.weight is loaded.bert.embeddings.word_embeddings.weight
    assert loaded.cls.predictions.decoder.bias is loaded.cls.predictions.bias
    words = models.tokenizer(made)
    batch = tokens_of(made, corpus().rows["text"][:64])
    # the stored model knows its text: it is better than chance on tokens that it sees, as the trained one was
    random = models.language_model({**SHAPE, "vocab_size": len(words)}, seed=0).eval()
    assert all(random.state_dict()[name].shape == value.shape for name, value in loaded.state_dict().items())
    torch.manual_seed(0)
    special = torch.isin(batch["input_ids"], torch.tensor([words.pad_token_id, words.cls_token_id, words.sep_token_id]))
    tokens, labels = mask_tokens(
        batch["input_ids"], special, share=0.15, mask_id=words.mask_token_id, vocabulary_size=len(words)
    )
    with torch.no_grad():
        ours, chance = (
            model.eval()(**{**batch, "input_ids": tokens, "labels": labels}).loss for model in (loaded, random)
        )
    assert ours < chance - 0.3


def test_the_output_layer_is_stored_once(made: Path) -> None:
    stored = safetensors.torch.load_file(made / "model.safetensors")
    shapes = [tuple(value.shape) for value in stored.values()]
    vocabulary = len(models.tokenizer(made))
    assert shapes.count((vocabulary, SHAPE["hidden_size"])) == 1, "the output layer is the word embedding"
    assert shapes.count((vocabulary,)) == 1
    assert {"cls.seq_relationship.weight", "cls.seq_relationship.bias", "cls.predictions.bias"} <= stored.keys()


def test_the_encoder_of_a_language_model_is_read(made: Path) -> None:
    loaded = BertForPreTraining.from_pretrained(made).eval()
    checkpoint = models.read(made)
    assert not [name for name in checkpoint.tensors if not name.startswith("bert.")]
    model = models.classifier(checkpoint, outputs=2, seed=0)
    encoded = models.tokenizer(made)("the painter sat", return_tensors="pt")
    with torch.no_grad():
        ours, theirs = (m.bert(**encoded) for m in (model, loaded))
    assert torch.equal(ours.last_hidden_state, theirs.last_hidden_state)
    # the pooler that told pairs apart begins the classifier's
    assert torch.equal(ours.pooler_output, theirs.pooler_output)


@pytest.mark.xdist_group("killed")
def test_a_killed_pretraining_ends_where_an_uninterrupted_one_ends(tmp_path: Path, made: Path) -> None:
    # masks are drawn anew at each step: a resumed run must draw the same ones
    assert processes.run(make, folder=tmp_path, errors=tmp_path / "stderr", kill_at_step=60) == -9
    assert (tmp_path / CHECKPOINTS / "checkpoint-51" / "complete").exists()
    assert processes.run(make, folder=tmp_path, errors=tmp_path / "stderr") == 0
    assert (tmp_path / "calls").read_text() == "19"
    for file in ("model.safetensors", "vocab.txt", "curve.json"):
        assert (tmp_path / file).read_bytes() == (made / file).read_bytes(), file
    assert (tmp_path / "stderr").read_text() == ""


def test_no_steps_leave_a_random_language_model(tmp_path: Path) -> None:
    make(tmp_path, steps=0)
    assert (tmp_path / "calls").read_text() == "0"
    assert training.read_curve(tmp_path) == []
    words = models.tokenizer(tmp_path)
    random = models.language_model({**SHAPE, "vocab_size": len(words)}, seed=0)
    loaded = BertForPreTraining.from_pretrained(tmp_path)
    assert torch.equal(loaded.cls.predictions.decoder.weight, random.cls.predictions.decoder.weight)


# from given weights


def test_pretraining_goes_on_from_an_encoder_and_makes_the_head(tmp_path: Path, made: Path) -> None:
    words = models.tokenizer(made)
    (tmp_path / "encoder").mkdir()
    models.save(models.encoder(models.read(made)), words, tmp_path / "encoder")
    settings = Training(epochs=1, learning_rate=5e-3, batch_size=8)
    arguments = {"start": tmp_path / "encoder", "text": corpus(), "masked_share": 0.15, "length": 16}
    for name, steps in (("on", 150), ("none", 0)):
        (tmp_path / name).mkdir()
        continue_pretraining(tmp_path / name, training=settings, steps=steps, **arguments)
    curve = training.read_curve(tmp_path / "on")
    assert sorted(curve[0]) == ["loss", "masked", "step"]
    assert np.mean([e["loss"] for e in curve[-4:]]) < 0.95 * curve[0]["loss"]
    before, untrained, after = (models.read(tmp_path / name).tensors for name in ("encoder", "none", "on"))
    encoder = [name for name in before if not name.startswith("bert.pooler.")]
    assert all(torch.equal(untrained[name], before[name]) for name in encoder), "it begins with the given weights"
    assert sum(not torch.equal(after[name], before[name]) for name in encoder) > 0.9 * len(encoder)
    assert not any(name.startswith("bert.pooler.") for name in after)
    # the result fills masks, and begins a teacher
    assert models.masked_language_model(tmp_path / "on").cls.predictions.bias.abs().max() > 0
    assert models.classifier(models.read(tmp_path / "on"), outputs=2, seed=0).config.num_labels == 2
