"""What jobs share is found from names alone, and each waits for what it starts from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import throwaway

from helpers import tasks
from helpers.artifacts import Node, node, step
from helpers.profiles import Recipe
from helpers.study import graph, planning
from helpers.study.jobs import Job


@step(version=1)
def _made(folder: Path, *, name: str, start: Path | None = None, other: Path | None = None) -> None:
    raise AssertionError("nothing is built")


def job(task: str, seed: int = 0, notebook: str = "01_first", *, required: bool = False) -> Job:
    return Job(Path(f"{notebook}.ipynb"), "mini", task, seed, {}, "state", 1, required=required)


def closed(*nodes: Node) -> dict[str, Node]:
    found = {one.key: one for one in nodes}
    for one in nodes:
        found |= closed(*one.inputs())
    return found


LANGUAGE = node(_made, name="language model")
GENERAL = node(_made, name="general", start=LANGUAGE)
PAIRS = node(_made, name="pairs", start=LANGUAGE)


def student(task: str, *, pairs: bool = False) -> Node:
    return node(_made, name=task, start=GENERAL, other=PAIRS if pairs else None)


def test_only_the_last_of_what_the_same_jobs_share_is_built_ahead() -> None:
    made = {job(task): closed(student(task)) for task in ("cola", "sst2")}
    shared, needs = graph.beginnings(made)
    assert [one.key for one in shared] == [GENERAL.key]
    assert set(map(len, needs.values())) == {1}


def test_what_more_jobs_share_comes_before_what_fewer_share() -> None:
    cola, first, second = job("cola"), job("rte", 0), job("rte", 1)
    made = {cola: closed(node(_made, name="cola", start=LANGUAGE)), first: closed(PAIRS), second: closed(PAIRS)}
    shared, needs = graph.beginnings(made)
    assert [one.key for one in shared] == [LANGUAGE.key, PAIRS.key]
    assert [one.needs for one in shared] == [frozenset(), {LANGUAGE.key}]
    assert needs == {cola: {LANGUAGE.key}, first: {PAIRS.key}, second: {PAIRS.key}}


def test_what_a_task_s_first_notebook_makes_for_its_others_is_its_own() -> None:
    maker, other = job("rte", required=True), job("rte", notebook="03_second")
    shared, needs = graph.beginnings({maker: closed(student("rte")), other: closed(student("rte"))})
    assert shared == []
    assert needs == {maker: frozenset(), other: frozenset()}


def test_what_nobody_shares_is_no_beginning() -> None:
    assert graph.beginnings({job("rte"): closed(student("rte"))})[0] == []
    assert graph.beginnings({}) == ([], {})


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    throwaway.house(tmp_path, monkeypatch, "01_first")
    return planning.plan("mini", tasks=["sst2", "rte"], seeds=[0, 1])[0]


def test_names_come_without_building(jobs: list[Job], tmp_path: Path) -> None:
    made = graph.made_from(jobs)
    assert list(made) == jobs
    assert not list((tmp_path / "artifacts").glob("*-*"))
    shared, needs = graph.beginnings(made)
    assert [one.key.rpartition("-")[0] for one in shared] == ["distil_on_text"], "one general student for all"
    assert set(needs.values()) == {frozenset({shared[0].key})}


def test_rows_and_text_are_read_once_for_all_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of a thousand runs would read for half an hour."""
    throwaway.house(tmp_path, monkeypatch, "01_first")
    read: list[str] = []

    def noticed(function: Callable[..., object]) -> Callable[..., object]:
        def noticing(what: str, **more: object) -> object:
            read.append(what)
            return function(what, **more)

        return noticing

    for name in ("load", "load_text"):
        monkeypatch.setattr(tasks, name, noticed(getattr(tasks, name)))
    jobs, _ = planning.plan("mini", tasks=["sst2", "rte"], seeds=range(4))
    assert sorted(read) == ["generated", "rte", "sst2"]
    assert len({*graph.made_from(jobs)}) == 8 and len(read) <= 6, "once more by the graph"


def test_a_worker_finds_what_is_named(jobs: list[Job]) -> None:
    beginning = graph.beginnings(graph.made_from(jobs))[0][0]
    sent = json.loads(json.dumps(vars(beginning.job.recipe)))  # as a worker gets it
    found = graph.find(Recipe(**sent), list(beginning.job.values), beginning.key)
    assert found is not None and found.key == beginning.key
    assert graph.find(Recipe(**sent | {"general_steps": 7}), list(beginning.job.values), beginning.key) is None
