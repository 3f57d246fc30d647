"""The table of spoilt inputs and its numbers, from the file that `make faults` writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers import report
from helpers.environment import RunError
from helpers.report.faults import fault_numbers, render_faults

FOUND = {
    "seconds": 600.0,
    "environment": {"cpu": {"model": "a processor"}},
    "rows": [
        {"name": "profile", "tried": 1000, "said": 900, "right": 99, "mishandled": 1},
        {"name": "records", "tried": 20, "said": 15, "right": 5, "mishandled": 0},
    ],
    "mishandled": [{"name": "profile", "number": 7, "kind": "traceback"}],
}


def write(results: Path, found: object) -> Path:
    (results / "faults").mkdir(parents=True, exist_ok=True)
    (results / "faults" / "bad_inputs.json").write_text(json.dumps(found), encoding="utf-8")
    return results


def test_nothing_tried_nothing_said(tmp_path: Path) -> None:
    assert render_faults(tmp_path) == {} and fault_numbers(tmp_path) == {}


def test_the_table_has_a_row_for_each_kind_and_one_for_all(tmp_path: Path) -> None:
    made = report.render_faults(write(tmp_path, FOUND))
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in made["bad_inputs.md"].splitlines()[:5]]
    assert lines[0] == ["Input", "Tried", "A sentence", "A right result", "Mishandled"]
    assert lines[2:] == [
        ["profile", "1,000", "900", "99", "1"],
        ["records", "20", "15", "5", "0"],
        ["all", "1,020", "915", "104", "1"],
    ]
    assert "Tried in 10 minutes on a processor by `make faults`." in made["bad_inputs.md"]
    assert made["bad_inputs.csv"].splitlines()[-1] == "all,1020,915,104,1"


def test_the_numbers_are_those_of_the_table(tmp_path: Path) -> None:
    numbers = fault_numbers(write(tmp_path / "results", FOUND))
    assert {name: one["value"] for name, one in numbers.items()} == {
        "bad_inputs_tried": 1020,
        "bad_inputs_mishandled": 1,
    }
    assert all(one["records"] == ["results/faults/bad_inputs.json"] for one in numbers.values())


@pytest.mark.parametrize(
    "found",
    [
        [],
        {"rows": []},
        FOUND | {"seconds": "long"},
        FOUND | {"rows": [{"name": "profile", "tried": 3, "said": 1, "right": 1, "mishandled": 0}]},
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, found: object) -> None:
    with pytest.raises(RunError, match=r"bad_inputs\.json is damaged.*run `make faults` again\.$"):
        render_faults(write(tmp_path, found))


BROKEN = {
    "rows": [
        {
            "name": "kill -9",
            "tried": 50,
            "survived": 49,
            "during": {"distil": 30, "between two steps": 20},
            "wrong": ["x"],
        },
        {
            "name": "a disk that becomes full",
            "tried": 4,
            "survived": 4,
            "during": {"between two steps": 4},
            "wrong": [],
        },
    ]
}
for _row in BROKEN["rows"]:
    _row |= {"seconds": 3600.0, "environment": {"cpu": {"model": "a processor"}}}


def broken(results: Path, found: object) -> Path:
    (results / "faults").mkdir(parents=True, exist_ok=True)
    (results / "faults" / "faults.json").write_text(json.dumps(found), encoding="utf-8")
    return results


def test_broken_studies_have_a_table_and_numbers_too(tmp_path: Path) -> None:
    results = broken(tmp_path / "results", BROKEN)
    made, numbers = render_faults(results), fault_numbers(results)
    assert made["faults.csv"].splitlines()[1:] == ["kill -9,50,49", "a disk that becomes full,4,4", "all,54,53"]
    assert "Tried in 2.0 hours on a processor by `make faults`." in made["faults.md"]
    assert "Unfinished when something was killed: distil." in made["faults.md"]
    assert {name: one["value"] for name, one in numbers.items()} == {"faults_tried": 54, "faults_survived": 53}
    assert numbers["faults_tried"]["records"] == ["results/faults/faults.json"]


@pytest.mark.parametrize(
    "change", [{"survived": 51}, {"survived": 50}, {"wrong": []}, {"seconds": None}, {"during": 3}]
)
def test_a_damaged_file_of_broken_studies_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    rows = [BROKEN["rows"][0] | change]
    with pytest.raises(RunError, match=r"faults\.json is damaged.*run `make faults` again\.$"):
        render_faults(broken(tmp_path, {"rows": rows}))
