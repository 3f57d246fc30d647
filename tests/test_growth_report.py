"""The tables and the figure of how a study grows, from the file that `make growth` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers import figures, report
from helpers.environment import InputError, RunError
from helpers.report.growth import line

AROUND = {"environment": {"cpu": {"model": "a processor", "cores_physical": 2}, "memory_gb": 16.0}}


def study(tasks: int, seeds: int, notebooks: int, workers: int, **changes: Any) -> dict[str, Any]:
    """A study that takes a minute and another one for each run, half of it with two workers."""
    runs = tasks * seeds * notebooks
    row = {"kind": "study", "tasks": tasks, "seeds": seeds, "notebooks": notebooks, "runs": runs, "workers": workers}
    row |= {"seconds": 60.0 + 60.0 * runs / workers, "run_seconds": 60.0 * runs, "memory_mb": 1000.0 + runs}
    return row | {"models_mb": 100.0 + 10.0 * runs, "notebooks_mb": 1.0, "results_mb": 2.0} | AROUND | changes


SIZES = ((1, 1, 1), (1, 1, 4), (4, 1, 4), (4, 4, 4))
STUDIES = [study(*size, workers) for size in SIZES for workers in (1, 2)]
BESIDE = [
    {"kind": kind, "runs": runs, "seconds": 0.1 * runs, "memory_mb": 500.0} | AROUND
    for kind in ("plan", "report")
    for runs in (16, 1008)
]


def write(results: Path, rows: list[dict[str, Any]]) -> Path:
    (results / "growth").mkdir(parents=True)
    (results / "growth" / "growth.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    return results


def test_nothing_measured_nothing_said(tmp_path: Path) -> None:
    assert report.render_growth(tmp_path) == {} and report.growth_rows(tmp_path) == []
    with pytest.raises(InputError, match="make growth"):
        figures.growth([])


def test_a_line_goes_through_the_two_largest_of_one_kind() -> None:
    alone = [row for row in STUDIES if row["workers"] == 1]
    found = line(alone, "seconds")
    assert found == (60.0, 60.0) and found.at(1000) == 60_060.0
    assert line(alone[:2], "seconds") is None, "one notebook and four"
    assert line(alone[:1], "seconds") is None
    other = study(4, 4, 4, 1, environment={"cpu": {"model": "another"}})
    assert line([alone[2], other], "seconds") is None, "two machines"


def test_tables_say_what_was_measured_and_what_follows(tmp_path: Path) -> None:
    made = report.render_growth(write(tmp_path, STUDIES + BESIDE))
    assert sorted(made) == ["beside.csv", "beside.md", "growth.csv", "growth.md"]
    rows = made["growth.csv"].splitlines()
    assert len(rows) == 9
    assert rows[-1] == '64,4 x 4 x 4,2,33.0,64.0,"1,064",740,1.0,2.0'
    said = made["growth.md"]
    # 60 s + 1,000 x 60 s; 100 MB + 1,000 x 10 MB; 1,000 MB + 1,000 x 1 MB
    assert "1,000 runs take 16.7 hours there, 10.1 GB for models and 2.0 GB of memory" in said
    assert "(1.0 minutes)" in said and "10 workers take 1.7 hours and 100 workers take 0.2 hours" in said
    assert "The plan of 1,008 runs takes 1.7 minutes" in said
    # 86,400 s at 1,439 runs, 100 GB at 9,990
    assert "time ends it first: a day is over after 1,439 runs, 100 GB are full after 9,990." in said
    assert "a processor, 2 cores" in said
    assert made["beside.csv"].splitlines()[-1] == "a report,1008,101,500"


def test_what_ends_first_is_found_not_assumed(tmp_path: Path) -> None:
    greedy = [row | {"models_mb": 1000.0 * row["runs"], "memory_mb": 900.0} for row in STUDIES]
    said = report.render_growth(write(tmp_path, greedy))["growth.md"]
    assert "disk ends it first" in said and "full after 100; memory does not grow." in said


@pytest.mark.parametrize("change", [{"runs": 3}, {"seconds": 0}, {"kind": "other"}, {"memory_mb": "much"}])
def test_a_damaged_file_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(RunError, match=r"growth\.json is damaged.*run `make growth` again\.$"):
        report.render_growth(write(tmp_path, [STUDIES[0] | change]))


def test_the_figure_tells_its_points() -> None:
    figure = figures.growth(STUDIES)
    assert "minutes, two workers: 1.5 at 1, 3 at 4, 9 at 16 and 33 at 64" in figures.alt_text(figure)
    lines = figure.axes[0].get_lines()
    assert [tuple(each.get_xdata()) for each in lines] == [(1, 4, 16, 64), (64, 1000)] * 2
    assert lines[1].get_ydata()[1] == pytest.approx(1001.0)
