"""A teacher's stored outputs: what it would say, in 16 bits, for any batch; whole or computed again."""

import errno
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from datasets import Dataset
from transformers import BertForSequenceClassification

from helpers import models, tasks
from helpers.compress.losses import IntermediateLoss
from helpers.compress.teacher_outputs import TeacherOutputs
from helpers.environment import RunError
from helpers.tasks import collate


def stored(folder: Path, teacher: BertForSequenceClassification, rows: Dataset, layers: list[int]) -> TeacherOutputs:
    return TeacherOutputs(teacher, list(rows), layers, folder)


def test_stored_outputs_are_the_teacher_s_in_16_bits(tmp_path: Path) -> None:
    teacher = tiny.classifier(layers=4, spread=4, dropout=0.3).train()  # what is stored is what it says in eval mode
    rows, layers = tiny.tokens(500), [2, 4]
    kept = stored(tmp_path / "kept", teacher, rows, layers)
    lengths = [len(row["input_ids"]) for row in rows]
    models.expose_scores(teacher.eval())
    assert len(set(lengths)) > 2 and len(list(tasks.batches(lengths))) > 1, "batches of rows of different length"
    sizes = [(tmp_path / "kept" / name).stat().st_size for name in ("hidden", "scores")]
    # in 16 bits and without padding: embeddings and two layers of width 16, two heads in each of the two layers
    assert sizes == [2 * sum(3 * 16 * n for n in lengths), 2 * sum(2 * 2 * n * n for n in lengths)]
    for ids in ([3, 499, 0, 3], [70]):
        data = collate([rows[i] for i in ids])
        with torch.no_grad():
            said = teacher(
                **{name: data[name] for name in tasks.FIELDS}, output_hidden_states=True, output_attentions=True
            )
        found = kept.batch(ids, data["input_ids"].shape[1])
        mask = data["attention_mask"]
        for place, layer in enumerate([0, *layers]):
            theirs = said.hidden_states[layer] * mask[:, :, None]
            assert torch.allclose(found["teacher_hidden"][:, place].float(), theirs, rtol=1e-3, atol=1e-4)
        pairs = mask[:, None, :, None] * mask[:, None, None, :]
        for place, layer in enumerate(layers):
            theirs = said.attentions[layer - 1] * pairs
            assert torch.allclose(found["teacher_scores"][:, place].float(), theirs, rtol=1e-3, atol=1e-4)


def test_a_disk_that_fills_is_an_error_and_no_dead_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("helpers.compress.teacher_outputs.os.posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):  # the store makes a sentence of it
        stored(tmp_path / "kept", tiny.classifier(layers=2), tiny.tokens(8), [1, 2])
    assert not (tmp_path / "kept" / "complete").exists()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_losses_from_stored_outputs_equal_those_of_a_teacher_that_is_asked(tmp_path: Path, precision: str) -> None:
    teacher, student = tiny.classifier(layers=4, spread=4), tiny.classifier(layers=2, width=8, spread=4, seed=1)
    rows = tiny.tokens(20)
    kept = TeacherOutputs(teacher, list(rows), [2, 4], tmp_path / "kept", precision=precision)
    module = IntermediateLoss(student, teacher, [2, 4], seed=0).eval()
    data = collate([rows[i] for i in (5, 2, 11)])
    assert teacher.dtype == torch.float32, "what was rounded is a copy"
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        asked = module(**data)
        read = module(**data, **kept.batch([5, 2, 11], data["input_ids"].shape[1]))
        other = module(**data, **kept.batch([2, 5, 11], data["input_ids"].shape[1]))
    for name, value in asked.items():
        assert read[name].item() == pytest.approx(value.item(), rel=1e-3), name
        if precision == "float32":  # what was computed in 16 bits loses nothing
            assert read[name].item() != value.item(), "16 bits were read"
        assert other[name].item() != pytest.approx(value.item(), rel=1e-3), "another row says something else"


def test_stored_outputs_are_used_again_only_when_they_are_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, rows = tiny.classifier(layers=2, spread=4), tiny.tokens(8)
    first = stored(tmp_path / "kept", teacher, rows, [1, 2]).batch([1], 12)
    computed = []
    compute = TeacherOutputs._compute
    monkeypatch.setattr(TeacherOutputs, "_compute", lambda *given: computed.append(1) or compute(*given))
    again = stored(tmp_path / "kept", teacher, rows, [1, 2]).batch([1], 12)
    assert computed == [] and all(torch.equal(again[name], first[name]) for name in first)
    (tmp_path / "kept" / "complete").unlink()  # killed while it was written
    again = stored(tmp_path / "kept", teacher, rows, [1, 2]).batch([1], 12)
    assert computed == [1] and all(torch.equal(again[name], first[name]) for name in first)


def test_what_16_bits_or_the_disk_do_not_hold_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = tiny.classifier(layers=2)
    teacher.bert.encoder.layer[0].output.LayerNorm.weight.data.fill_(1e6)
    with pytest.raises(
        RunError, match="teacher's hidden of row .* which 16 bits do not hold; set teacher_outputs to off"
    ):
        stored(tmp_path / "kept", teacher, tiny.tokens(8), [1, 2])
    assert not (tmp_path / "kept" / "complete").exists()
    with pytest.raises(RunError, match=r"of 8 rows take .* GB, more than teacher_outputs_gb, 1e-07; raise it, or set"):
        TeacherOutputs(tiny.classifier(layers=2), list(tiny.tokens(8)), [1, 2], tmp_path / "many", bound_gb=1e-7)
    assert not (tmp_path / "many").exists()
    usage = shutil._ntuple_diskusage(10, 10, 0)
    monkeypatch.setattr("helpers.compress.teacher_outputs.shutil.disk_usage", lambda path: usage)
    with pytest.raises(RunError, match=r"take 0.0 GB, 0.0 GB are free where artifacts are kept; make room"):
        stored(tmp_path / "other", tiny.classifier(layers=2), tiny.tokens(8), [1, 2])
