"""Programs and factors in tables, figures and the headline."""

from __future__ import annotations

import json
from pathlib import Path

import fake_records
import numpy as np
import pytest

from helpers import figures, records, report
from helpers.environment import InputError
from helpers.labels import ARMS, RUNGS
from helpers.report import sentences, speed

PROGRAMS = {"torch_float32": 20.0, "torch_int8": 40.0, "onnx_int8": 80.0}  # times as fast as BERT-base
SECONDS = {
    "padded": 100.0,
    "true_lengths": 25.0,
    "distilled": 1.0,
    "quantized": 0.5,
    "program": 0.25,
    "cls": 0.22,
    "processes": 0.2,
}


def programs(task: str = "sst2", seed: int = 0, *, slower: float = 1.0) -> dict:
    record = fake_records.make("04_dynamic_quantization", task, seed, profile="minilm_systems", source="folder")
    record["notebook"] = "10_speed"
    base = fake_records.shape("bert_base_shape", np.random.default_rng(seed))
    base["parameter"] = {"floor_ms": {"batch1_length128": 10.0}}
    record["arms"] = [base]
    for name, times in PROGRAMS.items():
        arm = fake_records.trained(f"speed_{name}", task, seed)
        arm |= {"title": ARMS[f"speed_{name}"], "retention": None, "heldout_scores": None, "predictions": None}
        arm["versus"] = {"arm": "speed_torch_float32", "difference": 0.001, "low": -0.002, "high": 0.004}
        arm["versus"] = None if name == "torch_float32" else arm["versus"]
        arm["parameter"] = {
            "max_difference": 0.25 * (name != "torch_float32"),
            "changed": 0.01 * (name != "torch_float32"),
            "floor_ms": {"batch1_length128": 1.0},
            "first_answer_seconds": 2.0,
            "memory_before_mb": 300.0,
            "peak_memory_mb": 500.0 + times,
        }
        arm["latency"] = timed(100.0 / times)
        record["arms"].append(arm)
    base["latency"] = timed(100.0)
    rungs, before = [], SECONDS["padded"]
    for way, seconds in SECONDS.items():
        total = SECONDS["padded"] / seconds
        rungs.append({"way": way, "seconds": seconds * slower, "factor": of(before / seconds), "total": of(total)})
        before = seconds
    missing = {"openvino_int8": "nncf not installed: pip install -r requirements-speed.txt"}
    rates = {"bert_base_shape": {"matrix": 80.0, "read": 20.0}}
    record["speed"] = {"missing": missing, "rates": rates, "program": "onnx_int8", "rungs": rungs}
    return record


def of(value: float) -> dict[str, float]:
    return {"median": value, "low": 0.9 * value, "high": 1.1 * value}


def timed(ms: float) -> dict:
    block = {"median_ms": ms, "p95_ms": 1.2 * ms, "repeats": 30, "mean_tokens": 128.0, "speedup": of(100.0 / ms)}
    return {
        "batch1_length128": block,
        "batch1_length128_warm": block | {"median_ms": ms / 2, "speedup": of(120.0 / ms)},
        "batch32_true": block,
        "batch32_length128": block | {"median_ms": 30 * ms, "mean_tokens": 4096.0},
        "validation_seconds": ms / 100,
        "validation_estimated": False,
    }


def test_a_record_of_programs_is_valid(tmp_path: Path) -> None:
    path = records.write(programs(), tmp_path)
    assert records.read(path)["speed"]["program"] == "onnx_int8"


def test_programs_stand_in_their_order_with_what_they_take() -> None:
    table = report.programs_table([programs()])
    assert list(table.index) == ["BERT-base shape", *(ARMS[f"speed_{name}"] for name in PROGRAMS)]
    row = table.loc["ONNX Runtime, int8"]
    assert row["Answers changed"] == "1.00%" and row["Largest difference of a logit"] == "0.25"
    assert (
        "inside noise" in row["SST-2: difference"] and row["Memory (MB)"] == "580" and row["First answer (s)"] == "2.0"
    )
    assert row["SST-2: rows/s"] == f"{872 / 0.0125:,.0f}"
    assert row["Times the floor, 1 row of 128 tokens"] == "1.2"
    assert row["Times the floor, 32 rows of 128 tokens"] == "—", "no floor was measured for it"
    assert table.loc["PyTorch, float32", "SST-2: difference"] == "—"


def test_times_have_their_factor_over_bert_base() -> None:
    table = report.times_table([programs()])
    assert list(table) == ["1 row of 128 tokens", "1 row of 128 tokens, warm", "32 rows of 128 tokens"]
    assert table.loc["PyTorch, int8", "1 row of 128 tokens"] == "2.50 ms (40.0x)"
    assert table.loc["BERT-base shape", "1 row of 128 tokens"] == "100 ms (1.00x)"


def test_factors_are_medians_over_seeds() -> None:
    some = [programs(seed=0), programs(seed=1, slower=3.0), programs(seed=2)]
    table = report.factors_table(some)
    assert list(table.index) == list(RUNGS.values())
    assert table.loc["fastest program", "SST-2: seconds"] == "0.250 (ONNX Runtime, int8)"
    assert table.loc["true lengths, rows of like length together", "SST-2: factor"] == "4.00x [3.60, 4.40]"
    assert table.loc["one process on each core", "SST-2: in all"].startswith("500x")
    assert table.loc[RUNGS["padded"], "SST-2: in all"] == "—"
    assert speed.rungs(some)["sst2"][0]["seconds"] == 100.0


def test_tables_figures_and_numbers_are_published_where_there_are_programs(tmp_path: Path) -> None:
    some = [programs(), *fake_records.study("minilm_systems", tasks=("sst2",))]
    texts = report.render_tables(some)
    assert "**BERT-base shape**" in texts["programs.md"] and f"**{RUNGS['padded']}**" in texts["factors.md"]
    assert "Not available when this was measured: OpenVINO, int8: nncf not installed" in texts["programs.md"]
    assert all("Testor 9000" in texts[f"{name}.md"] for name in ("programs", "program_times", "factors"))
    assert "programs.md" not in report.render_tables(fake_records.study())
    drawn = figures.published(some)
    assert {"programs", "factors"} <= drawn.keys() and "factors" not in figures.published(fake_records.study())
    assert "500 times in all" in figures.alt_text(drawn["factors"])
    assert "ONNX Runtime, int8 1.25 ms for 1 row of 128 tokens" in figures.alt_text(drawn["programs"])
    for record in some:
        records.write(record, tmp_path / "minilm_systems" / "records")
    numbers = json.loads(report.render_headline(tmp_path))
    assert numbers["latency_factor_total_sst2"]["value"] == 500 and numbers["latency_factor_total_sst2"]["unit"] == "x"
    assert numbers["latency_factor_batch1_len128"]["value"] == 80
    assert numbers["latency_factor_batch1_len128_warm"]["value"] == 96, "asked again and again"
    assert numbers["latency_factor_batch1_len128"]["records"][0].endswith("10_speed.sst2.seed0.json")


def test_another_machine_is_not_mixed_in() -> None:
    other = programs(seed=1, slower=9.0)
    other["environment"] = other["environment"] | {"cpu": other["environment"]["cpu"] | {"model": "Other"}}
    other["created"] = "2020-01-01T00:00:00Z"
    assert speed.measured([programs(), other]) == [programs()]
    assert speed.rungs([programs(), other])["sst2"][0]["seconds"] == 100.0


def test_without_programs_there_is_a_sentence() -> None:
    for draw in (figures.programs, figures.speed_factors):
        with pytest.raises(InputError, match="run notebook 10_speed"):
            draw(fake_records.study())


def test_the_readme_says_how_fast() -> None:
    numbers = {"latency_factor_total_sst2": {"value": 512.0}, "latency_factor_batch1_len128": {"value": 71.4}}
    numbers["latency_factor_batch1_len128_warm"] = {"value": 80.2}
    said = sentences.sentences(numbers, [], generated=False)
    assert "SST-2's validation split 512 times as fast" in said
    assert said.endswith(
        "one row of 128 tokens, by one process, 71 times, and 80 times where one program is asked again and again."
    )
    del numbers["latency_factor_total_sst2"]
    assert sentences.sentences(numbers, [], generated=False) == "", "no factor without the way that it took"
