"""What nothing else beats, over models, files and programs."""

from __future__ import annotations

import doctest
from statistics import median

import fake_records
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_speed_report import programs
from test_storage_report import files

from helpers import figures
from helpers.environment import InputError
from helpers.report import pareto

VALUE = st.integers(0, 6).map(float)


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.tuples(VALUE, VALUE), max_size=12))
def test_the_front_is_all_that_nothing_beats(found: dict[str, tuple[float, float]]) -> None:
    line = pareto.front(found)
    best = {value for value in found.values() if not any(beats(other, value) for other in found.values())}
    assert {found[name] for name in line} == best and len(line) == len(best), "one of equals"
    assert [found[name] for name in line] == sorted(best, reverse=True)


def records() -> list[dict]:
    return [*fake_records.systems(profile="minilm_systems"), *files(), programs()]


def test_a_file_has_the_students_time_and_a_program_the_students_bytes() -> None:
    found = pareto.points(records(), "sst2")
    student = found["student"]
    assert found["stored_int4"].factor == student.factor and found["stored_int4"].megabytes == 7.8
    assert found["stored_int8"].factor == found["int8"].factor != student.factor, "its layers compute in eight bits"
    assert found["speed_onnx_int8"].factor == 80.0, "as many times as fast as BERT-base as its record says"
    assert found["teacher"].factor == pytest.approx(beside_bert_base("teacher")), "beside BERT-base, not beside itself"
    assert not any(arm.startswith("bert_base") for arm in found), "a shape has no score"
    assert pareto.tasks(records()) == ["cola", "sst2"]


def beside_bert_base(arm: str) -> float:
    """Return the median over the runs that timed both."""
    found = []
    for record in [r for r in records() if r["task"] == "sst2"]:
        times = {one["arm"]: (one["latency"] or {}).get("batch32_true") for one in record["arms"]}
        if times.get(arm) and times.get("bert_base_shape"):
            found.append(times[arm]["speedup"]["median"] / times["bert_base_shape"]["speedup"]["median"])
    return median(found)


def test_the_picture_has_both_fronts_of_each_task() -> None:
    drawn = figures.choices(records())
    assert [axis.get_xscale() for axis in drawn.axes] == ["log"] * 4
    text = figures.alt_text(drawn)
    assert "SST-2, by size: " in text and "by speed: " in text and "CoLA, by size: " in text
    assert "choices" in figures.published(records())
    assert "choices" not in figures.published(fake_records.study())
    with pytest.raises(InputError, match="run the notebooks 09_storage and 10_speed"):
        figures.choices(fake_records.study())


def test_its_example_holds() -> None:
    found = doctest.testmod(pareto)
    assert found.attempted and not found.failed


def test_scores_are_of_the_seeds_that_all_have() -> None:
    one = pareto.points([record for record in records() if record["seed"] == 0], "sst2")
    more = [*records(), *[record for record in fake_records.systems(profile="minilm_systems", seeds=(2,))]]
    assert pareto.points(more, "sst2")["student"].score == one["student"].score
    assert pareto.points(fake_records.study(), "sst2")["student"].factor > 1


def test_times_are_of_one_machine() -> None:
    other = programs()
    other["environment"]["cpu"]["model"] = "Another 1"
    found = pareto.points([*fake_records.systems(profile="minilm_systems"), *files(), other], "sst2")
    assert found["speed_onnx_int8"].factor is None and found["student"].factor > 1
    untimed = [record | {"latency_setup": None} for record in records()]
    assert all(one.factor is None for one in pareto.points(untimed, "sst2").values())
    assert "by speed: ." in figures.alt_text(figures.choices(untimed))
