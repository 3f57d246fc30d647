"""The ladder of files in tables, figures and the headline; what `python -m helpers.storage inspect` prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import fake_records
import numpy as np
import pytest
import torch
from test_storage import bert
from tokenizers import Tokenizer
from transformers import BertTokenizer

from helpers import backends, figures, records, report, storage
from helpers.compress import quantization
from helpers.environment import InputError
from helpers.labels import ARMS
from helpers.report import sentences
from helpers.report import storage as ladder
from helpers.storage import __main__ as command

# what each file loses, in hundredths, by task and seed: on validation and on held-out rows
LOST = {
    "stored_int8": {
        ("cola", 0): (0.0, 0.0),
        ("sst2", 0): (-0.2, 0.0),
        ("cola", 1): (0.2, 0.1),
        ("sst2", 1): (0.4, 0.1),
    },
    "stored_int4": {
        ("cola", 0): (-3.0, 0.6),
        ("sst2", 0): (-1.0, 0.2),
        ("cola", 1): (-2.0, 0.4),
        ("sst2", 1): (0.0, 0.0),
    },
    "stored_aware": {("cola", 0): (0.5, 2), ("sst2", 0): (0.5, 2), ("cola", 1): (0.5, 2), ("sst2", 1): (0.5, 2)},
}
NAMES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{i}" for i in range(55))]
SIZES = {"stored_float32": 57_500_000, "stored_int8": 14_600_000, "stored_int4": 7_800_000, "stored_aware": 5_600_000}


def files(profile: str = "minilm_systems") -> list[dict]:
    made = []
    for task, seed in LOST["stored_int8"]:
        record = fake_records.make("02_augmentation", task, seed, profile=profile, source="folder")
        record["notebook"], record["arms"] = "09_storage", []
        metric = record["metrics"][0]
        for name, size in SIZES.items():
            arm = fake_records.trained(name, task, seed)
            arm["title"], arm["parameter"] = ARMS[name], {"predicted_bytes": size - 120_000}
            arm["bytes"] |= {"file": size, "embedding": size // 2, "encoder": size // 3, "head": 10_000}
            arm["bytes"] |= {"tokenizer": 110_000, "gzip": None}
            lost, held = LOST.get(name, {}).get((task, seed), (0.0, 0.0))
            arm["scores"][metric] = {"value": 0.7 + lost / 100, "low": 0.6, "high": 0.8}
            arm["heldout_scores"] = {metric: 0.7 - held / 100}
            arm["versus"] = None
            if name != "stored_float32":
                arm["versus"] = {"arm": "stored_float32", "difference": lost / 100, "low": -0.05, "high": 0.05}
            record["arms"].append(arm)
        made.append(record)
    return made


def test_the_mean_loss_is_over_tasks_and_then_over_seeds() -> None:
    found = ladder.mean_loss(files(), "stored_int4")
    assert found.value == pytest.approx((-2.0 + -1.0) / 2) and found.seeds == 2
    # t with one degree of freedom, 12.706, times the standard error of -2 and -1
    assert found.high - found.value == pytest.approx(12.706 * np.std([-2, -1], ddof=1) / np.sqrt(2), rel=1e-3)
    assert ladder.mean_loss(files(), "stored_int4", split="heldout").value == pytest.approx(-0.3)
    assert ladder.mean_loss(files(), "stored_float32").value == 0
    assert ladder.mean_loss(files(), "stored_bf16") is None
    one = ladder.mean_loss(files()[:1], "stored_int4")
    assert one.value == pytest.approx(-3.0) and one.seeds == 1 and one.low != one.low


def test_a_seed_that_lacks_a_task_does_not_count() -> None:
    some = [r for r in files() if (r["task"], r["seed"]) != ("sst2", 1)]
    assert ladder.mean_loss(some, "stored_int4").value == pytest.approx(-2.0)


def test_the_smallest_file_is_chosen_on_held_out_rows() -> None:
    assert ladder.chosen(files(), points=1.0) == "stored_int4", "the smaller one lost two points on held-out rows"
    assert ladder.chosen(files(), points=2.5) == "stored_aware"
    assert ladder.chosen(files(), points=-1.0) is None


def test_the_table_has_bytes_losses_and_scores() -> None:
    table = report.storage_table(files())
    assert list(table.index) == [ARMS[name] for name in SIZES]
    row = table.loc["student in int4"]
    assert row["File (MB)"] == "7.80" and row["Smaller by"] == "7.4x" and row["tokenizer (MB)"] == "0.110"
    assert row["Mean difference (points)"].startswith("-1.50 ± ") and row["Mean difference (points)"].endswith(
        "(2 seeds)"
    )
    assert "inside noise" in row["CoLA: difference"]
    assert table.loc["student in float32", "Mean difference (points)"] == "—"
    assert {column.partition(" ")[0] for column in table} >= {"CoLA", "SST-2"}


def test_tables_and_figure_are_published_where_there_are_files() -> None:
    some = files() + fake_records.study("minilm_systems", tasks=("cola", "sst2"), seeds=(0, 1))
    texts = report.render_tables(some)
    assert "**student in float32**" in texts["storage.md"]
    assert (
        "storage_min_count" in texts["storage.md"]
        and "Made by `make study PROFILE=minilm_systems" in texts["storage.md"]
    )
    assert "reaches down to the floor" not in texts["storage.md"]
    for record in some:
        record["floor"] = 0.65 if record["task"] == "cola" else 0.1
    told = report.render_tables(some)["storage.md"]
    assert "CoLA: the first row's interval, over seeds or over examples, reaches down to the floor" in told
    assert "storage.md" not in report.render_tables(fake_records.study())
    assert "storage" in figures.published(some) and "storage" not in figures.published(fake_records.study())
    figure = figures.storage_ladder(some)
    assert "student in int4 7.80 MB, -1.50 points" in figures.alt_text(figure)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == [ARMS[name] for name in SIZES]
    assert left.dataLim.x1 == pytest.approx(57.5, rel=0.01), "the parts of a file come to the file"
    assert "95 % interval over seeds" in figures.caption(figure)
    assert "without intervals" in figures.caption(figures.storage_ladder(files()[:1]))
    half_done = [r for r in files() if (r["task"] == "cola") == (r["seed"] == 0)]
    assert "points" not in figures.alt_text(figures.storage_ladder(half_done)), "no seed has both tasks"
    with pytest.raises(InputError, match="09_storage"):
        figures.storage_ladder(fake_records.study())


def test_the_headline_has_the_files(tmp_path: Path) -> None:
    for record in files():
        records.write(record, tmp_path / "results" / "minilm_systems" / "records")
    found = report.headline(tmp_path / "results")
    assert found["int8_all_mb"]["value"] == 14.6 and found["int8_all_loss_points"]["value"] == -0.1
    assert "packed_loss_points" not in found, "the file that was chosen on held-out rows loses 1.5 on the others"
    for record in files():
        for arm in record["arms"]:
            if arm["arm"] == "stored_int4":
                arm["scores"][record["metrics"][0]]["value"] += 0.01
        records.write(record, tmp_path / "results" / "minilm_systems" / "records")
    found = report.headline(tmp_path / "results")
    assert found["packed_mb_within_1_point"]["value"] == 7.8 and found["packed_loss_points"]["value"] == 0.5
    assert len(found["packed_loss_points"]["records"]) == 4
    assert found["packed_loss_half_width"]["value"] == 6.35, "12.706 times the standard error of -1 and 0"


# ---- what is in a file


@pytest.mark.parametrize("layouts", [("dense",), ("bitmask",), storage.LAYOUTS])
def test_bytes_are_predicted(layouts: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    model = bert()
    with torch.no_grad():
        model.bert.embeddings.word_embeddings = torch.nn.Embedding(4000, 16)
        model.bert.embeddings.word_embeddings.weight[torch.rand(4000, 16) < 0.5] = 0
    small = quantization.rounded(model, "int4", 8)
    found, measured = storage.predicted(small, layouts=layouts), storage.breakdown(small, layouts=layouts)
    assert found.keys() == measured.keys()
    assert found["embedding"] == pytest.approx(measured["embedding"], rel=0.04 if "entropy" in layouts else 1e-3)
    assert found["embedding"] != storage.predicted(model)["embedding"] == storage.breakdown(model)["embedding"]


def test_an_exported_file_answers_without_this_collection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = BertTokenizer(vocab={name: i for i, name in enumerate(NAMES)})
    path, graph = tmp_path / "model", tmp_path / "out" / "student.onnx"
    model = quantization.rounded(bert(), "int4", 8)
    storage.save(model, path, tokenizer=tokenizer, layouts=("entropy",))
    if reason := backends.why_not("onnx_float32"):
        assert command.main(["export", str(path), str(graph)]) == 2 and "not installed" in capsys.readouterr().err
        pytest.skip(reason)
    assert command.main(["export", str(path), str(graph)]) == 0
    assert "student.onnx: " in capsys.readouterr().out and len(list(graph.parent.iterdir())) == 2
    import onnxruntime

    long = " ".join(["word7"] * 100)  # more than the model has positions for
    rows = Tokenizer.from_file(str(graph.with_suffix(".tokenizer.json"))).encode_batch(["word3 word4", long])
    inputs = {"input_ids": [r.ids for r in rows], "token_type_ids": [r.type_ids for r in rows]}
    inputs = {name: np.array(each) for name, each in inputs.items()}
    inputs["attention_mask"] = np.array([row.attention_mask for row in rows])
    found = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, inputs)[0]
    own = tokenizer(["word3 word4", long], padding=True, truncation=True, max_length=20, return_tensors="pt")
    assert np.allclose(found, storage.load(path)(**own).logits.detach().numpy(), atol=1e-5)


def test_the_readmes_code_classifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    colab, packed, exported = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "colab" in colab, "tested with what else is shared between machines"
    monkeypatch.chdir(tmp_path)
    file = re.search(r'file = "(.*)"', packed)[1]
    storage.save(bert(), file, tokenizer=BertTokenizer(vocab={name: i for i, name in enumerate(NAMES)}))
    exec(packed, {})
    assert capsys.readouterr().out.count("[") == 3, "two rows"
    command_line = re.search(r"python -m helpers.storage (export .*)", text)[1]
    if reason := backends.why_not("onnx_float32"):
        pytest.skip(reason)
    assert command.main(command_line.split()) == 0
    exec(exported, {})
    assert capsys.readouterr().out.count("[") == 3


def test_what_onnx_has_no_words_for_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if reason := backends.why_not("onnx_float32"):
        pytest.skip(reason)
    path = tmp_path / "model"
    storage.save(quantization.quantize(bert()), path)
    assert command.main(["export", str(path), str(tmp_path / "int8.onnx")]) == 2
    assert "layers of PyTorch's own int8 weights" in capsys.readouterr().err
    storage.save(bert(), path, tokenizer=BertTokenizer(vocab={name: i for i, name in enumerate(NAMES)}))
    (tmp_path / "folder.onnx").mkdir()
    for to, code, said in (
        ("folder.onnx", 1, "folder.onnx"),
        ("model/student.onnx", 1, "student.onnx"),
        ("model", 2, "ends in .onnx"),
        (".", 2, "ends in .onnx"),
    ):
        assert command.main(["export", str(path), str(tmp_path / to)]) == code
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder.onnx", "model"], "nothing half-written"


def test_the_readme_says_how_small_and_what_it_loses() -> None:
    values = {"int8_all_mb": 14.61, "int8_all_loss_points": -0.004, "packed_mb_within_1_point": 5.64}
    values["packed_loss_points"] = 0.61
    paths = [f"results/minilm_systems/records/09_storage.{task}.seed0.json" for task in ("sst2", "cola")]
    numbers = {name: {"value": value, "records": paths} for name, value in values.items()}
    said = sentences.sentences(numbers, [], generated=False)
    assert "in eight bits throughout it has 14.6 MB (0.00 points)" in said
    assert "no more than a point on held-out rows it has 5.6 MB (-0.61 points)." in said
    assert "over CoLA and SST-2; what each task loses" in said
    for name in ("packed", "int8_all"):
        numbers[f"{name}_loss_half_width"] = {"value": 0.3, "records": paths}
    said = sentences.sentences(numbers, [], generated=False)
    assert "it has 5.6 MB (-0.61 ± 0.30 points)." in said and "14.6 MB (0.00 ± 0.30 points)" in said
    assert sentences.sentences({}, [], generated=False) == ""


def test_inspect_says_what_is_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = BertTokenizer(vocab={name: i for i, name in enumerate(NAMES)})
    path = tmp_path / "model"
    size = storage.save(quantization.rounded(bert(), "int4", 8), path, tokenizer=tokenizer, layouts=("entropy",))
    assert command.main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "bert-study, version 3" in shown and "2 layers of 16, 60 pieces" in shown
    assert "int4, group 8, entropy" in shown and "do_lower_case" in shown
    total = int(shown.partition("bytes: ")[2].split(",  ")[0].split(", embedding")[0].replace(",", ""))
    assert total < size < total + 20_000
    path.write_bytes(path.read_bytes()[:-1])
    assert command.main(["inspect", str(path)]) == 1
    assert command.main(["inspect", str(tmp_path / "absent")]) == 2
    told = capsys.readouterr()
    assert not told.out and told.err.count("\n") == 2 and "damaged" in told.err and "no model file" in told.err
    storage.save(bert(), path)
    assert "tokenizer: none" in command.inspect(str(path))
    json.dumps(storage.read_header(path)[0])
