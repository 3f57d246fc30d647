"""Attention maps: what a model looks at in one text, and the picture of teacher and student side by side."""

from pathlib import Path

import fake_records
import numpy as np
import pytest
import tiny
import torch
from transformers import BertForSequenceClassification

from helpers import figures, models, records
from helpers.environment import InputError, RunError

TEXT = "word1 word2 word3"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory):
    return tiny.words(tmp_path_factory.mktemp("words"))


def model(layers: int = 2) -> BertForSequenceClassification:
    torch.manual_seed(0)
    return BertForSequenceClassification(tiny.config(layers=layers, dropout=0.5)).train()


def test_maps_are_the_softmax_of_the_scores_on_the_mean_over_heads(words) -> None:
    given = model()
    usual = given.config._attn_implementation
    pieces, found = models.attention_maps(given, words, TEXT)
    assert pieces == ["[CLS]", "word1", "word2", "word3", "[SEP]"] and np.shape(found) == (2, 5, 5)
    assert np.allclose(np.sum(found, axis=-1), 1.0)
    assert given.config._attn_implementation == usual and given.training, "the model is left as it was"
    scores = models.expose_scores(given.eval())(**words(TEXT, return_tensors="pt"), output_attentions=True).attentions
    for ours, layer in zip(found, scores, strict=True):
        assert np.allclose(ours, layer[0].softmax(dim=-1).mean(dim=0).detach().numpy(), atol=1e-6)


def test_pairs_have_both_texts_and_nothing_is_refused(words) -> None:
    pieces, _ = models.attention_maps(model(), words, "word1", "word2")
    assert pieces == ["[CLS]", "word1", "[SEP]", "word2", "[SEP]"]
    with pytest.raises(InputError, match="no pieces to look at"):
        models.attention_maps(model(), words, "")


def attention(words) -> dict:
    pieces, teacher = models.attention_maps(model(2), words, TEXT)
    _, student = models.attention_maps(model(1), words, TEXT)
    return {"text": TEXT, "pieces": pieces, "layers": [2], "teacher": teacher[1:], "student": student}


def test_a_record_keeps_maps_and_a_figure_shows_them(words, tmp_path: Path) -> None:
    record = fake_records.make("01_distillation", "cola", 0) | {"attention": attention(words)}
    kept = records.read(records.write(record, tmp_path))["attention"]
    figure = figures.attention_maps(kept)
    shown = [axis for axis in figure.axes if axis.images and axis.get_title()]
    assert [axis.get_title() for axis in shown] == ["teacher, layer 2", "student, layer 1"]
    for axis, maps in zip(shown, (kept["teacher"], kept["student"]), strict=True):
        assert np.allclose(axis.images[0].get_array(), maps[0])
    both = [np.ravel(kept[whose][0]) for whose in ("teacher", "student")]
    assert f"{np.corrcoef(*both)[0, 1]:.2f}" in figures.caption(figure) and TEXT in figures.caption(figure)
    assert "1 layer each of teacher" in figures.alt_text(figure)


def test_maps_that_do_not_fit_are_refused(words, tmp_path: Path) -> None:
    found = attention(words)
    with pytest.raises(InputError, match="as many attention maps as each other"):
        figures.attention_maps(found | {"student": found["student"] * 2})
    wrong = fake_records.make("01_distillation", "cola", 0) | {"attention": found | {"teacher": [[[1.5]]]}}
    with pytest.raises(RunError, match=r"attention\.teacher"):
        records.write(wrong, tmp_path)
