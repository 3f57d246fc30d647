"""Masked language modelling: what is masked, the loss, the vocabulary, and that a kill changes nothing."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import processes
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM

from helpers import mini_glue, models, pretraining, tasks, training
from helpers.pretraining import IGNORED, mask_tokens, masked_language_loss, pretrain, train_tokenizer
from helpers.training import Training

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


def test_masking_has_bert_s_shares() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(100, 1000, (2000, 100))
    special = torch.zeros_like(tokens, dtype=torch.bool)
    special[:, [0, -1]] = True
    masked, labels = mask_tokens(tokens, special, mask_id=4, vocabulary_size=1000)
    chosen = labels != IGNORED
    n = chosen.sum().item()

    def within(share: float, expected: float, of: int) -> bool:
        return abs(share - expected) < 5 * (expected * (1 - expected) / of) ** 0.5

    assert within(n / (~special).sum().item(), 0.15, (~special).sum().item())
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
    first = mask_tokens(tokens, special, mask_id=4, vocabulary_size=1000)
    second = mask_tokens(tokens, special, mask_id=4, vocabulary_size=1000)
    torch.manual_seed(1)
    again = mask_tokens(tokens, special, mask_id=4, vocabulary_size=1000)
    assert torch.equal(tokens, before)
    assert not torch.equal(first[1], second[1])
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_nothing_special_is_ever_masked() -> None:
    tokens = torch.randint(100, 1000, (50, 30))
    everything = torch.ones_like(tokens, dtype=torch.bool)
    masked, labels = mask_tokens(tokens, everything, mask_id=4, vocabulary_size=1000)
    assert torch.equal(masked, tokens)
    assert (labels == IGNORED).all()


# the loss


def language_model() -> BertForMaskedLM:
    torch.manual_seed(0)
    return BertForMaskedLM(BertConfig(**SHAPE, vocab_size=50)).eval()


def masked_batch(labels: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.ones(6, 12, dtype=torch.int64)
    mask[3:, 8:] = 0
    tokens = torch.randint(5, 50, (6, 12)) * mask
    return {"input_ids": tokens, "token_type_ids": torch.zeros_like(mask), "attention_mask": mask, "labels": labels}


def test_masked_loss_is_the_full_cross_entropy() -> None:
    torch.manual_seed(2)
    labels = torch.where(torch.rand(6, 12) < 0.3, torch.randint(5, 50, (6, 12)), IGNORED)
    model, batch = language_model(), masked_batch(labels)
    ours, parts = masked_language_loss(model, batch)
    ours.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    full = model(**batch).loss
    full.backward()
    assert parts == {}
    assert ours.item() == pytest.approx(full.item(), rel=1e-6)
    for name, parameter in model.named_parameters():
        assert torch.allclose(gradients[name], parameter.grad, atol=1e-6), name


def test_masked_loss_of_a_batch_without_a_chosen_token_is_zero() -> None:
    model = language_model()
    loss, _ = masked_language_loss(model, masked_batch(torch.full((6, 12), IGNORED)))
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


# the vocabulary

LEARN = """
import hashlib, pathlib, sys, tempfile
from helpers import mini_glue
from helpers.pretraining import train_tokenizer
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
    whole = pretraining.masked_language_loss

    def counted(model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict]:
        calls.append(1)
        if len(calls) == kill_at_step:
            processes.die()
        return whole(model, batch)

    pretraining.masked_language_loss = counted
    # 256 lines in batches of 8: 32 batches an epoch, the checkpoint after step 51 lies in mid-epoch
    settings = Training(epochs=1, learning_rate=3e-3, batch_size=8)
    pretrain(folder, text=corpus(), shape=SHAPE, vocabulary_size=200, steps=steps, training=settings, max_length=20)
    pretraining.masked_language_loss = whole
    (folder / "calls").write_text(str(len(calls)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return folder


def test_pretraining_lowers_the_loss(made: Path) -> None:
    curve = training.read_curve(made)
    losses = [entry["loss"] for entry in curve]
    assert [entry["step"] for entry in curve] == list(range(3, 70, 3))
    assert abs(losses[0] - torch.tensor(200.0).log().item()) < 0.4  # at first every token is as likely: log V
    assert sum(losses[-5:]) / 5 < losses[0] - 0.3


def test_a_saved_language_model_keeps_its_tied_output_layer(made: Path) -> None:
    loaded, report = BertForMaskedLM.from_pretrained(made, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert loaded.cls.predictions.decoder.weight is loaded.bert.embeddings.word_embeddings.weight
    assert loaded.cls.predictions.decoder.bias is loaded.cls.predictions.bias
    words = models.tokenizer(made)
    lines = corpus().rows["text"][:64]
    encoded = words(lines, truncation=True, max_length=20, padding=True, return_tensors="pt")
    # the stored model knows its text: it is better than chance on tokens that it sees, as the trained one was
    random = models.masked_language_model({**SHAPE, "vocab_size": len(words)}, seed=0).eval()
    torch.manual_seed(0)
    special = torch.isin(
        encoded["input_ids"], torch.tensor([words.pad_token_id, words.cls_token_id, words.sep_token_id])
    )
    tokens, labels = mask_tokens(encoded["input_ids"], special, mask_id=words.mask_token_id, vocabulary_size=len(words))
    batch = {**encoded, "input_ids": tokens, "labels": labels}
    with torch.no_grad():
        assert loaded.eval()(**batch).loss < random(**batch).loss - 0.3


def test_the_encoder_of_a_language_model_is_read(made: Path) -> None:
    loaded = BertForMaskedLM.from_pretrained(made).eval()
    checkpoint = models.read(made)
    assert not [name for name in checkpoint.tensors if not name.startswith("bert.")]
    model = models.classifier(checkpoint, outputs=2, seed=0)
    encoded = models.tokenizer(made)("the painter sat", return_tensors="pt")
    with torch.no_grad():
        ours = model.bert(**encoded).last_hidden_state
        theirs = loaded.bert(**encoded).last_hidden_state
    assert torch.equal(ours, theirs)


def test_a_killed_pretraining_ends_where_an_uninterrupted_one_ends(tmp_path: Path, made: Path) -> None:
    # masks are drawn anew at each step: a resumed run must draw the same ones
    assert processes.run(make, folder=tmp_path, errors=tmp_path / "stderr", kill_at_step=60) == -9
    assert (tmp_path / training.CHECKPOINTS / "checkpoint-51" / "complete").exists()
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
    random = models.masked_language_model({**SHAPE, "vocab_size": len(words)}, seed=0)
    loaded = BertForMaskedLM.from_pretrained(tmp_path)
    assert torch.equal(loaded.cls.predictions.decoder.weight, random.cls.predictions.decoder.weight)
