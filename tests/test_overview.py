"""All systems side by side: one table, one picture, the pictures of what was removed, the numbers quoted."""

from __future__ import annotations

import fnmatch
import math
from pathlib import Path

import fake_records
import pytest

from helpers import figures, records, report
from helpers.environment import InputError
from helpers.labels import ARMS, DISTILBERT, SYSTEMS
from helpers.profiles import DISTILBERT as CHANGES
from helpers.profiles import ROOT
from helpers.report import differences, summary
from helpers.report.comparisons import COMPARISONS
from helpers.report.footers import OTHERS
from helpers.report.systems import of_task, timed_tasks


@pytest.fixture
def some() -> list[dict]:
    return fake_records.systems(seeds=(0, 1, 2))


def test_the_records_are_valid(some: list[dict], tmp_path: Path) -> None:
    for record in some:
        records.write(record, tmp_path)
    assert records.read_all(tmp_path) == some


def test_every_system_has_a_notebook_and_every_ablation_a_name() -> None:
    assert all((ROOT / "notebooks" / f"{name}.ipynb").exists() for name in SYSTEMS)
    assert set(DISTILBERT) == set(CHANGES)


def test_speed_is_beside_the_teacher_of_the_same_run(some: list[dict]) -> None:
    found = of_task(some, "cola")
    assert found["teacher"].factor == 1.0
    runs = [r for r in some if (r["notebook"], r["task"]) == ("06_distilbert", "cola")]
    ratios = []
    for record in runs:
        factors = {a["arm"]: a["latency"]["batch32_true"]["speedup"]["median"] for a in record["arms"] if a["latency"]}
        ratios.append(factors["distilbert"] / factors["teacher"])
    assert found["distilbert"].factor == pytest.approx(sorted(ratios)[1])
    assert found["distilbert_two_stage"].factor is None, "it was not timed"
    assert "albert" not in of_task(some, "rte"), "measured for two tasks"


def test_the_table_has_all_systems_in_order(some: list[dict]) -> None:
    table = report.systems_table(some)
    titles = [
        "BERT-base shape",
        "TinyBERT shape",
        *(ARMS[a] for a in ("teacher", "control", "student", "pruned", "int8")),
    ]
    titles += [ARMS[a] for a in ("distilbert", "distilbert_two_stage", "albert", "low_rank_linear_recovered")]
    titles += ["teacher without 50 of both, recovered", "teacher without 50 of both, recovered, int8"]
    titles += ["teacher without 1 of layers, recovered"]
    assert list(table.index) == titles
    assert list(table.columns[:3]) == ["Size (MB)", "Weights (M)", "Speed beside the teacher"]
    assert table.columns[3] == "CoLA Matthews" and len(table.columns) == 3 + 5
    assert table.loc[ARMS["teacher"], "Speed beside the teacher"] == "1.00x"
    assert table.loc[ARMS["distilbert_two_stage"], "Speed beside the teacher"] == "—"
    assert table.loc[ARMS["albert"], "RTE accuracy"] == "—"
    score = summary.score(some, "cola", "albert")
    assert table.loc[ARMS["albert"], "CoLA Matthews"].startswith(f"{score.value:.3f} ± ")


def _untime(some: list[dict], notebook: str, task: str, name: str) -> None:
    for record in some:
        if (record["notebook"], record["task"]) == (notebook, task):
            record["arms"] = [arm for arm in record["arms"] if arm["arm"] != name]


def test_the_footer_names_the_tasks_whose_times_count(some: list[dict]) -> None:
    assert timed_tasks(some) == ["cola", "sst2"], "the tasks with most systems that were timed"
    assert "Speeds are of CoLA and SST-2." in report.render_tables(some)["systems.md"]
    _untime(some, "07_albert", "sst2", "albert")
    assert timed_tasks(some) == ["cola"], "one system was not timed in SST-2"
    assert report.systems_table(some).loc[ARMS["albert"], "Speed beside the teacher"] != "—"
    _untime(some, "08_structured_pruning", "cola", "structured_both_50_recovered")
    assert timed_tasks(some) == ["cola"], "as many in SST-2, but others"
    for record in some:
        record["latency_setup"] = None
    assert timed_tasks(some) == [] and "Speeds are of" not in report.render_tables(some)["systems.md"]


def test_rows_with_a_reference_of_their_own_say_so(some: list[dict]) -> None:
    tables = report.render_tables(some)
    assert "Zeros are compared with the smaller model" in tables["structured.md"]
    assert "in eight bits is compared with the same in 32" in tables["structured.md"]
    assert "from scratch is compared" not in tables["albert.md"]
    figure = figures.differences(some, ["structured"])
    said = '"teacher without 50 of weights" is compared with "teacher without 50 of both".'
    assert said in figures.caption(figure) and said in figures.alt_text(figure)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert "teacher without 50 of weights *" in labels and "teacher without 50 of both" in labels
    assert "is compared with" not in figures.caption(figures.differences(some, ["albert"]))


@pytest.mark.parametrize("profile", sorted(path.parent.name for path in (ROOT / "results").glob("*/records")))
def test_every_published_row_with_another_reference_is_explained(profile: str) -> None:
    published = records.read_all(ROOT / "results" / profile / "records")
    for table, (first, patterns) in COMPARISONS.items():
        if table == "augmentation":
            continue  # its footer always says so
        for arm in summary.matching(published, patterns):
            found = [differences.difference(published, task, arm) for task in summary.tasks_of(published)]
            if any(one is not None and one[0] != first for one in found):
                assert any(fnmatch.fnmatchcase(arm, pattern) for pattern in OTHERS), arm


def test_other_machines_times_are_not_mixed(some: list[dict]) -> None:
    before = of_task(some, "cola")["albert"]
    for record in some:
        if (record["notebook"], record["task"]) == ("07_albert", "cola"):
            record["environment"] = record["environment"] | {"cpu": {"model": "Another", "flags": []}}
    after = of_task(some, "cola")["albert"]
    assert before.factor is not None and after.factor is None and after.score == before.score


def test_tables_of_each_system_stand_beside(some: list[dict]) -> None:
    every = report.render_tables(some)
    assert {f"{name}.md" for name in ("distilbert", "albert", "low_rank", "structured", "systems")} <= every.keys()
    assert "ALBERT, embeddings 8 wide" in every["albert.md"], "a name with a number is the record's"
    assert f"| **{ARMS['distilbert']}** " in every["distilbert.md"]
    assert "The student starts from" not in every["structured.md"]
    assert "2 threads" in every["systems.md"] and "same run" in every["systems.md"]
    plain = report.render_tables(fake_records.study())
    assert not {"systems.md", "distilbert.md", "structured.md"} & plain.keys()


def test_the_picture_of_all_systems(some: list[dict]) -> None:
    figure = figures.systems(some)
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert len(panels) == 5
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:3] == [f"{n} {ARMS[a]}" for n, a in enumerate(("teacher", "control", "student"), start=1)]
    numbers = {name.partition(" ")[2]: name.partition(" ")[0] for name in names}
    cola = next(axis for axis in panels if axis.get_title().startswith("CoLA"))
    found = {arm: one for arm, one in of_task(some, "cola").items() if one.score}
    places = {tuple(map(float, each.get_offsets()[0])) for each in cola.collections}
    assert places == {(one.megabytes, one.score.value) for one in found.values()}
    at = {text.get_text(): tuple(map(float, text.xy)) for text in cola.texts}
    albert = found["albert"]
    assert at[numbers["ALBERT"]] == (albert.megabytes, albert.score.value), "numbered as in the legend"
    assert "CoLA: " in figures.alt_text(figure) and "DistilBERT" in figures.alt_text(figure)
    shapes = [r for r in fake_records.study() if r["notebook"] == "04_dynamic_quantization"]
    for record in shapes:
        record["arms"] = [arm for arm in record["arms"] if arm["scores"] is None]
    with pytest.raises(InputError, match="No record has a score"):
        figures.systems(shapes)


def test_the_picture_of_what_was_removed(some: list[dict]) -> None:
    figure = figures.removal_curves(some)
    score, size, time, _ = figure.axes
    assert score.get_title() == "CoLA: Matthews", "of tasks with as many arms the first"
    drawn = {tuple(line.get_xdata()): line.get_ydata() for line in score.get_lines() if line.get_linestyle() == "-"}
    assert set(drawn) == {(100.0, 50.0), (100.0, 75.0)}, "what recovered, from the whole model to what is left"
    value = summary.score(some, "cola", "structured_both_50_recovered")
    assert drawn[100.0, 50.0][1] == value.value
    (bar,) = [c.get_segments()[1] for c in score.collections if c.get_segments()[1][0][1] == pytest.approx(value.low)]
    assert bar[1][1] == pytest.approx(value.high), "the interval over seeds"
    assert any(set(line.get_ydata()) == {0.0} for line in score.get_lines()), "the floor"
    assert len(size.get_lines()) == 4 and len(time.get_lines()) == 1, "one arm was timed"
    times = [
        arm["latency"]["batch32_true"]["median_ms"]
        for record in some
        for arm in record["arms"]
        if (record["task"], arm["arm"]) == ("cola", "structured_both_50_recovered")
    ]
    assert time.get_lines()[0].get_ydata()[1] == sorted(times)[1], "the median"
    for record in some:
        for arm in record["arms"]:
            if arm["arm"] == "structured_both_50":
                arm["scores"]["matthews_correlation" if record["task"] == "cola" else "accuracy"]["value"] = None
    assert "without 50 of both " not in figures.alt_text(figures.removal_curves(some)), "an undefined score"
    with pytest.raises(InputError, match="run notebook 08"):
        figures.removal_curves([r for r in some if r["notebook"] != "08_structured_pruning"])


def test_heads_and_layers() -> None:
    figure = figures.head_importance([[0.1, 0.3], [0.0, 0.0]])
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown == ["25", "75", "0", "0"], "percent of the layer's; a layer without any is no division by zero"
    assert "layer 1 head 2" in figures.alt_text(figure)
    with pytest.raises(InputError, match="no head"):
        figures.head_importance([])
    bars = figures.layer_influence([0.5, -0.1]).axes[0].patches
    assert [bar.get_height() for bar in bars] == [0.5, -0.1]


def test_numbers_quoted_are_of_real_text_alone(tmp_path: Path) -> None:
    for profile in ("mini", "minilm_systems"):
        for record in fake_records.systems(profile=profile, seeds=(0, 1, 2)):
            records.write(record, tmp_path / "results" / profile / "records")
    found = report.headline(tmp_path / "results")
    real = records.read_all(tmp_path / "results" / "minilm_systems" / "records")
    quoted = {"distilbert": "distilbert", "structured_half": "structured_both_50_recovered"}
    for name, arm in (quoted | {"systems_teacher": "teacher", "systems_student": "student"}).items():
        entry = found[f"minilm_{name}_cola"]
        assert math.isclose(entry["value"], summary.score(real, "cola", arm).value, abs_tol=1e-4)
        assert all(path.startswith("results/minilm_systems/records/") for path in entry["records"])
    assert {f"minilm_{n}_sst2" for n in ("distilbert_two_stage", "albert_shared")} <= found.keys()
    assert found["latency_factor_structured_half"]["unit"] == "x"
    assert "minilm_distilbert_rte" not in found
    told = report.readme_block(tmp_path / "results")
    score = found["minilm_albert_shared_cola"]["value"]
    assert "profile `minilm_systems`:\n\n- CoLA: teacher " in told and f", ALBERT {score:.3f}, " in told
    assert "\n- SST-2: teacher " in told and "RTE: teacher" not in told, "measured for two tasks"
    factor = found["latency_factor_structured_half"]["value"]
    assert f"Without half of its heads and neurons the teacher is {factor:.2f} times as fast" in told
