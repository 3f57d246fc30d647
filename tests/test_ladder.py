"""The training ladder: what each rung changes, what is timed, and the factors that follow."""

from __future__ import annotations

import itertools
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from helpers.compress import ladder
from helpers.environment import InputError


def test_the_rungs_are_the_plain_way_each_speed_up_alone_and_all() -> None:
    rungs = ladder.ways()
    larger = "all together, 128 rows a step"
    assert list(rungs) == ["plain", *ladder.SPEED_UPS, "all together", larger]
    assert list(ladder.SPEED_UPS) == ["true lengths", "bf16", "fused optimizer", "stored outputs"]
    plain = vars(rungs["plain"])
    assert plain == {
        "padded_to": 128,
        "precision": "float32",
        "optimizer": "adamw_torch",
        "stored": False,
        "batch_size": 32,
    }
    for name, changes in ladder.SPEED_UPS.items():
        assert vars(rungs[name]) == plain | changes and len(changes) == 1
    together = {"padded_to": None, "precision": "bf16", "optimizer": "adamw_torch_fused", "stored": True}
    assert vars(rungs["all together"]) == together | {"batch_size": 32}
    assert vars(rungs[larger]) == together | {"batch_size": 128}
    assert list(ladder.ways(["bf16"])) == ["plain", "bf16", "all together", larger]


@pytest.mark.parametrize("name", ["plain", "all together"])
def test_steps_are_timed_after_two_that_do_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    # a clock on which the first steps take 100 s and each later one 0.5 s
    clock = itertools.accumulate(itertools.chain([0, 100], itertools.repeat(0.5)))
    monkeypatch.setattr(ladder, "_now", lambda: next(clock))
    asked = []
    collate = ladder.tasks.collate
    monkeypatch.setattr(ladder.tasks, "collate", lambda rows, **given: asked.append(given) or collate(rows, **given))
    way = replace(ladder.ways()[name], batch_size=8)
    found = ladder.seconds_per_example(
        way if way.padded_to is None else replace(way, padded_to=24),  # this model reads 32 tokens
        tiny.classifier(layers=2),
        tiny.classifier(layers=1, width=8, seed=1),
        tiny.tokens(80, longest=9),
        layers=[2],
        steps=5,
        folder=tmp_path / "ladder",
    )
    assert found["training"] == 0.5 / 8 and not list((tmp_path / "ladder").iterdir()), "nothing is left behind"
    assert ("storing" in found) == (name == "all together")
    lengths = {given.get("length") for given in asked}
    assert lengths == ({24} if name == "plain" else {None})


def test_no_way_leaves_the_teacher_s_outputs_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[weakref.ref] = []
    timed, store = ladder.seconds_per_example, ladder.TeacherOutputs

    def stored(*given: object, **named: object) -> object:
        outputs = store(*given, **named)
        made.append(weakref.ref(outputs))
        return outputs

    def seconds(*given: object, **named: object) -> dict[str, float]:
        assert not [outputs for outputs in made if outputs()], "of an earlier way"
        return timed(*given, **named)

    monkeypatch.setattr(ladder, "TeacherOutputs", stored)
    monkeypatch.setattr(ladder, "seconds_per_example", seconds)
    way = replace(ladder.ways()["all together"], batch_size=8, precision="float32")
    ladder.measure(
        tiny.tokens(80, longest=9),
        teacher=lambda: tiny.classifier(layers=2),
        student=lambda: tiny.classifier(layers=1, width=8),
        layers=[2],
        steps=3,
        folder=tmp_path / "ladder",
        ladder={"plain": replace(way, stored=False), "one": way, "two": way},
    )
    assert len(made) == 4


def test_factors_count_what_is_done_once() -> None:
    plain, fast = {"training": 10.0}, {"training": 400.0, "storing": 200.0}
    assert ladder.factor(plain, {"training": 400.0}, epochs=3) == pytest.approx(40)
    assert ladder.factor(plain, fast, epochs=1) == pytest.approx(0.1 / (1 / 200 + 1 / 400))
    assert ladder.factor(plain, fast, epochs=10) == pytest.approx(1.0 / (1 / 200 + 10 / 400))


def test_every_way_is_compared_with_the_plain_one() -> None:
    rates = {"plain": {"training": 10.0}, "all together": {"training": 400.0, "storing": 200.0}}
    found = ladder.with_factors(rates)
    assert found["plain"] == {"training": 10.0, "first_epoch": 1.0, "ten_epochs": 1.0}
    assert found["all together"]["first_epoch"] == ladder.factor(*rates.values(), epochs=1)
    assert found["all together"]["ten_epochs"] == ladder.factor(*rates.values(), epochs=10)


@pytest.mark.parametrize("steps", [0, 9, 60])
def test_too_few_rows_or_too_many_steps(tmp_path: Path, steps: int) -> None:
    options = {"layers": [1], "steps": steps, "folder": tmp_path}
    way = replace(ladder.PLAIN, batch_size=8)
    said = f"{steps} steps of 8 rows are to be timed, after 2 more; there are 80 rows"
    with pytest.raises(InputError, match=said):
        ladder.seconds_per_example(way, tiny.classifier(), tiny.classifier(), tiny.tokens(80), **options)
    with pytest.raises(InputError, match=said):
        models = {"teacher": tiny.classifier, "student": tiny.classifier}
        ladder.measure(tiny.tokens(80), **models, **options, ladder={"plain": way})


def test_the_ways_take_turns_and_only_the_last_one_stores_all_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    def seconds(way: ladder.Way, *_: object, steps: int, **__: object) -> dict[str, float]:
        rows = _[2]
        seen.append((way, len(rows), steps))
        value = float(len(seen))
        return {"training": value, **({"storing": value} if way.stored else {})}

    monkeypatch.setattr(ladder, "seconds_per_example", seconds)
    left = tmp_path / "of a killed run"
    left.mkdir()
    way = replace(ladder.ways()["all together"], batch_size=8)
    rungs = {"plain": replace(ladder.PLAIN, batch_size=8), "all together": way, "larger": replace(way, batch_size=16)}
    found = ladder.measure(
        tiny.tokens(80),
        teacher=tiny.classifier,
        student=tiny.classifier,
        layers=[1],
        steps=3,
        folder=tmp_path,
        ladder=rungs,
    )
    plain, fast, larger = rungs.values()
    turns = [(plain, 40, 3), (fast, 80, 8), (larger, 80, 3), (larger, 80, 3), (plain, 40, 3)]
    assert seen == turns, "most steps: 80 / 8 or 80 / 16, less two"
    assert found["plain"]["training"] == 1 / 3, "the mean of 1 s and 5 s"
    assert found["all together"]["training"] == found["all together"]["storing"] == 1 / 2
    assert not left.exists()
    assert [rung["steps"] for rung in found.values()] == [3, 8, 3]
    few = {"plain": plain, ladder.LARGER: replace(way, batch_size=40)}
    models = {"teacher": tiny.classifier, "student": tiny.classifier, "layers": [1]}
    assert list(ladder.measure(tiny.tokens(80), **models, steps=3, folder=tmp_path, ladder=few)) == ["plain"]
