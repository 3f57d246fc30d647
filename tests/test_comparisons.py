"""Tables and pictures of what the study's models are compared with, and the numbers that the README quotes of them."""

from __future__ import annotations

import copy
from pathlib import Path

import fake_records
import pytest

from helpers import figures, labels, profiles, records, report
from helpers.environment import InputError
from helpers.labels import ARMS
from helpers.report import cells
from helpers.report.comparisons import FLOOR
from helpers.report.numbers import headline


@pytest.fixture
def some() -> list[dict]:
    return fake_records.compared(seeds=(0, 1, 2))


def test_the_records_are_valid(some: list[dict], tmp_path: Path) -> None:
    for record in some:
        records.write(record, tmp_path)
    assert records.read_all(tmp_path) == some


def test_every_ablation_has_a_name() -> None:
    assert set(labels.ABLATIONS) == set(profiles.ABLATIONS)
    for _, arms in report.COMPARISONS.values():
        assert {arm for arm in arms if "*" not in arm} <= set(ARMS), "of a star the records say how it is called"


def test_a_comparison_has_the_reference_first_and_what_was_measured(some: list[dict]) -> None:
    starts = report.comparison_table(some, "starts")
    assert list(starts.index) == [*(ARMS[arm] for arm in ("student", "start_random", "start_general")), FLOOR]
    assert len(starts.columns) == 2 * 5, "a score and a difference for each task"
    ablations = report.comparison_table(some, "ablations")
    assert list(ablations.columns) == ["SST-2", "SST-2: difference"], "only tasks that have it"
    assert list(ablations.index) == [
        *(ARMS[a] for a in ("student", "ablation_no_hidden", "ablation_authors_code")),
        FLOOR,
    ]
    assert ablations.loc[ARMS["student"], "SST-2: difference"] == "—"
    cell = ablations.loc[ARMS["ablation_no_hidden"], "SST-2: difference"]
    found = [r for r in some if (r["notebook"], r["task"]) == ("01_distillation", "sst2")]
    values = [a["versus"]["difference"] for r in found for a in r["arms"] if a["arm"] == "ablation_no_hidden"]
    assert cell.startswith(f"{cells.signed(sum(values) / 3)} ["), cell
    assert "(3 seeds)" in ablations.loc[ARMS["ablation_no_hidden"], "SST-2"]


def test_a_reference_at_its_floor_is_named(some: list[dict]) -> None:
    """Students that all give one answer, or have too few examples to tell, are no finding about what was changed."""
    table = report.comparison_table(some, "starts")
    rte = [record for record in some if record["task"] == "rte"]
    floor = rte[0]["floor"]
    assert table.loc[FLOOR, "RTE"] == f"{floor:.3f}" and table.loc[FLOOR, "RTE: difference"] == "—"
    said = (
        "RTE: the first row's interval, over seeds or over examples, reaches down to the floor, the score of a "
        "majority or mean predictor, so these differences say little about what was changed."
    )
    assert said not in report.render_tables(some)["starts.md"]
    for above, low, is_said in ((0.0, 0.01, True), (0.02, 0.01, False), (0.02, -0.01, True)):
        for record in rte:
            for arm in record["arms"]:
                if arm["arm"] == "student" and arm["scores"]:
                    arm["scores"]["accuracy"] |= {"value": floor + above, "low": floor + low}
        assert (said in report.render_tables(some)["starts.md"]) is is_said, (above, low)


def test_what_seeds_share_and_what_was_read_is_said(some: list[dict]) -> None:
    once = "is made once for all seeds"
    for record in some:
        record["text"] = None
    assert once not in report.render_tables(some)["starts.md"]
    for record in some:
        record["text"] = {"source": "books", "lines": 1200, "fingerprint": "f00", "revision": None}
        record["data"] |= {"source": "folder", "name": "glue"}
        if record["task"] == "rte":
            record["data"]["note"] = "the teacher was first trained on 9 inference pairs (pairs, fingerprint 1)"
            record["parameters"]["nli"] = "pairs"
    starts = report.render_tables(some)["starts.md"]
    assert once in starts and "Text: books, 1,200 lines, fingerprint f00." in starts
    assert f"RTE {some[0]['data']['fingerprint']}" in starts
    assert "Scores are shown with the half-width of a 95 % t interval over seeds." in starts
    assert "PROFILE=mini DATA=glue NLI=pairs TEXT=books TASKS=" in starts, "a text from elsewhere makes others"
    assert once not in report.render_tables([r for r in some if r["seed"] == 0])["starts.md"], "one seed"


def test_each_task_is_said_to_have_its_own_seeds(some: list[dict]) -> None:
    fewer = [record for record in some if record["task"] != "rte" or record["seed"] == 0]
    starts = report.render_tables(fewer)["starts.md"]
    assert "RTE seed 0" in starts and "CoLA, STS-B, QNLI and SST-2 3 seeds (0, 1, 2)" in starts
    assert "TASKS=cola,stsb,qnli,sst2 SEEDS=0,1,2` and `make study PROFILE=mini TASKS=rte SEEDS=0`" in starts


def test_a_task_without_an_arm_has_a_dash(some: list[dict]) -> None:
    for record in some:
        if record["task"] == "rte":
            record["arms"] = [arm for arm in record["arms"] if arm["arm"] != "augmented_gold"]
    table = report.comparison_table(some, "augmentation")
    assert table.loc[ARMS["augmented_gold"], "RTE"] == table.loc[ARMS["augmented_gold"], "RTE: difference"] == "—"
    assert table.loc[ARMS["augmented"], "RTE"] != "—"


def test_the_ladder_has_medians_over_seeds_of_the_machine_that_measured_last(some: list[dict]) -> None:
    newer = [copy.deepcopy(record) for record in some if record.get("ladder")]
    (task,) = {newer[0]["task"]}
    newer = [record for record in newer if record["task"] == task]
    for record, rate in zip(newer, (100.0, 900.0, 500.0), strict=True):
        record["ladder"]["rungs"]["all together"]["training"] = rate
    newer[0]["created"] = "2027-01-01T00:00:00Z"
    others = [record for record in some if record["task"] != task]
    table = report.ladder_table([*others, *newer])
    assert list(table.index) == ["plain", "bf16", "all together"]
    for record in (r for r in [*others, *newer] if r.get("ladder")):  # a file has them in the order of their names
        record["ladder"]["rungs"] = dict(sorted(record["ladder"]["rungs"].items()))
    assert list(report.ladder_table([*others, *newer]).index) == ["plain", "bf16", "all together"]
    assert list(table.columns) == [
        f"{task}: {what}" for task in ("RTE", "SST-2") for what in ("examples/s", "first epoch", "ten epochs")
    ]
    label = labels.task_label(task)
    other = {"RTE": "SST-2", "SST-2": "RTE"}[label]
    assert table.loc["all together", f"{label}: examples/s"] == "500 (stored at 229)"
    assert table.loc["all together", f"{other}: examples/s"] == "389 (stored at 229)"
    assert table.loc["all together", f"{label}: first epoch"] == "22.9x"
    assert table.loc["plain", f"{label}: ten epochs"] == "1.00x"
    for record in newer:
        record["environment"]["cpu"]["model"] = "another"
    assert list(report.ladder_table([*others, *newer]).columns)[0].startswith(label), "one table, one machine"
    assert len(report.ladder_table([*others, *newer]).columns) == 3


def test_tables_are_written_where_there_is_something(some: list[dict]) -> None:
    every = report.render_tables(some)
    more = {"starts", "teachers", "ablations", "augmentation", "ladder"}
    assert {f"{name}.{kind}" for name in more for kind in ("md", "csv")} <= set(every)
    usual = report.render_tables(fake_records.study(seeds=(0,)))
    assert not {f"{name}.md" for name in more} & set(usual)
    assert "| **plain**" in every["ladder.md"]
    assert "peak resident memory was 0.9 GB" in every["ladder.md"]
    assert "6 and 47 steps (more where they are short) of 32 rows, teacher" in every["ladder.md"]
    assert "Teachers in use start from: CoLA given (2 of 3) and random (1 of 3); " in every["teachers.md"]
    assert "Made by `make study PROFILE=mini TASKS=cola,rte SEEDS=0,1,2 NOTEBOOKS=02`." in every["augmentation.md"]
    teachers = list(report.comparison_table(some, "teachers").index)
    assert teachers == [ARMS["teacher_given"], ARMS["teacher_random"], FLOOR]
    assert "All took the same number of steps." in every["augmentation.md"]
    for record in some:
        record["parameters"]["augmentation_steps"] = 3
    assert "took 3 times the steps" in report.render_tables(some)["augmentation.md"]
    assert f"| **{ARMS['student']}** " in every["ablations.md"]
    assert "inside noise" in every["ablations.md"] and "not adjusted" in every["ablations.md"]
    assert "validation examples: CoLA 300, RTE 277." in every["augmentation.md"], "of the tasks that have it"


@pytest.mark.parametrize("name", report.COMPARISONS)
def test_nothing_to_compare(name: str) -> None:
    with pytest.raises(InputError, match=f"table {name}"):
        report.comparison_table(fake_records.study(), name)
    with pytest.raises(InputError, match=f"No record has an arm of {name}"):
        figures.differences(fake_records.study(), [name])


def test_no_ladder() -> None:
    with pytest.raises(InputError, match="No record has a ladder; run notebook 01_distillation with ladder_steps"):
        report.ladder_table(fake_records.study())


def test_headline_numbers_of_the_text_stages_and_of_speed(tmp_path: Path) -> None:
    for profile in ("mini", "minilm"):
        for record in fake_records.compared(profile=profile, seeds=(0, 1, 2)):
            records.write(record, tmp_path / "results" / profile / "records")
    found = headline(tmp_path / "results")
    assert (found["mask_filling_factor"]["value"], found["mask_filling_factor"]["unit"]) == (15.0, "x")
    assert (found["general_stage_minutes"]["value"], found["general_stage_minutes"]["unit"]) == (23.5, "min")
    for task in ("sst2", "rte"):
        assert found[f"training_factor_{task}_first_epoch"]["value"] == 22.9
        assert found[f"training_factor_{task}_ten_epochs"]["value"] == 52.4
        paths = found[f"training_factor_{task}_ten_epochs"]["records"]
        assert paths == [f"results/minilm/records/01_distillation.{task}.seed{seed}.json" for seed in (0, 1, 2)]
    assert not [name for name in found if name.startswith("training_factor_cola")]


def test_the_picture_of_differences(some: list[dict]) -> None:
    figure = figures.differences(some, ["starts", "ablations"])
    axes = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in axes] == [
        "CoLA: Matthews",
        "RTE: accuracy",
        "STS-B: Pearson",
        "QNLI: accuracy",
        "SST-2: accuracy",
    ]
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == [
        ARMS[arm] for arm in ("start_random", "start_general", "ablation_no_hidden", "ablation_authors_code")
    ]
    assert figure.get_supxlabel() == f"difference to the {ARMS['student']}"
    assert "an open circle is inside noise" in figures.caption(figure)
    assert f"{ARMS['start_random']} +" in figures.alt_text(figure) or f"{ARMS['start_random']} -" in figures.alt_text(
        figure
    )
    for record in some:
        for arm in record["arms"]:
            if arm["arm"] == "start_random":
                arm["versus"] |= {"difference": 0.5, "low": 0.45, "high": 0.55}
    filled = figures.differences(some, ["starts"]).axes[0]
    faces = {line.get_markerfacecolor() for line in filled.lines if line.get_marker() == "o"}
    assert faces == {"white", figures.COLOURS["student"]}
