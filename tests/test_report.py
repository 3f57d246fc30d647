"""The report: cells, rows, footers, headline and README, from invented records whose answers are known."""

import copy
import doctest
import io
import json
import math
import re

import fake_records
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import labels, records, report
from helpers.environment import InputError
from helpers.figures import style
from helpers.labels import ARMS
from helpers.report import cells, differences, reported, summary

ALL = (report.table1, report.table2, report.difference_table, report.latency_table, report.retention_table)


@pytest.fixture(scope="module")
def one():
    return fake_records.study(seeds=(0,))


@pytest.fixture(scope="module")
def three():
    return fake_records.study("minilm", seeds=(0, 1, 2))


def _store(study, results):
    for record in study:
        records.write(record, results / record["profile"] / "records")
    return results


def _arm(study, notebook, task, name, seed=0):
    record = next(r for r in study if (r["notebook"][:2], r["task"], r["seed"]) == (notebook, task, seed))
    return fake_records.arm(record, name)


# --- Table 1


def test_table1_has_the_systems_in_order_and_then_the_reports_rows_as_printed(one):
    table = report.table1(one)
    assert list(table.index[:4]) == [
        "BERT-base shape (size only)",
        "TinyBERT shape (size only)",
        "TinyBERT shape, int8 (size only)",
        "fine-tuned teacher (baseline)",
    ]
    assert list(table.index[-4:]) == [
        "reported: fine-tuned BERT",
        "reported: TinyBERT",
        "reported: Pruned TinyBERT",
        "reported: quantized TinyBERT",
    ]
    pruned = table.loc["reported: Pruned TinyBERT"]
    assert (pruned["State dict (MB)"], pruned["STS-B Spearman"], pruned["Size (MB)"]) == (
        "58.39",
        "0.854",
        "—",
    )
    assert len(report.table1(one, reported=False)) == len(table) - 4


def test_table1_columns_are_the_reports(one):
    assert list(report.table1(one).columns) == [
        "Size (MB)",
        "State dict (MB)",
        "CoLA Matthews",
        "RTE accuracy",
        "STS-B Pearson",
        "STS-B Spearman",
        "QNLI accuracy",
        "SST-2 accuracy",
        "Notebook",
    ]


def test_a_row_names_the_notebook_to_run_for_it(one):
    names = ("fine-tuned teacher (baseline)", "distilled student", "pruned student", "int8 student")
    found = report.table1(one)["Notebook"]
    assert [*found[[*names, "BERT-base shape (size only)"]]] == ["01", "01", "03", "04", "04"]
    assert found["reported: TinyBERT"] == "—", "nobody can run that again"
    assert set(report.table2(one).loc[["TinyBERT shape", "distilled student"], "Notebook"]) == {"04"}, "which times it"
    assert report.retention_table(one).loc["floor (score)", "Notebook"] == "—"
    assert [*report.difference_table(one)["Notebook"]] == ["01", "01", "03", "04"]


def test_one_seed_shows_the_interval_over_examples(one):
    score = _arm(one, "01", "cola", "teacher")["scores"]["matthews_correlation"]
    cell = report.table1(one).loc["fine-tuned teacher (baseline)", "CoLA Matthews"]
    assert cell == f"{score['value']:.3f} [{score['low']:.2f}, {score['high']:.2f}]"


def test_several_seeds_show_mean_t_half_width_and_their_number(three):
    values = [_arm(three, "01", "qnli", "teacher", seed)["scores"]["accuracy"]["value"] for seed in (0, 1, 2)]
    half = 4.302653 * np.std(values, ddof=1) / math.sqrt(3)  # t quantile 0.975 with 2 degrees of freedom
    cell = report.table1(three).loc["fine-tuned teacher (baseline)", "QNLI accuracy"]
    assert cell == f"{np.mean(values):.3f} ± {half:.3f} (3 seeds)"


def test_sizes_are_megabytes_of_ten_to_the_six(one):
    table = report.table1(one)
    assert table.loc["BERT-base shape (size only)", "Size (MB)"] == "438.01"
    assert table.loc["TinyBERT shape, int8 (size only)", "State dict (MB)"] == "43.44"


def test_sizes_that_differ_between_tasks_are_shown_as_a_range():
    study = fake_records.study(tasks=("cola", "rte"))
    for record in study:
        for arm in record["arms"]:
            if record["task"] == "rte" and arm["arm"] == "student":
                arm["bytes"]["file"] *= 2
    assert report.table1(study).loc["distilled student", "Size (MB)"] == "3.13 to 6.26"


@pytest.mark.parametrize(("low", "high", "marked"), [(-0.02, 0.01, True), (-0.03, -0.01, False), (0.01, 0.03, False)])
def test_inside_noise_is_marked_where_the_paired_interval_contains_zero(low, high, marked):
    study = fake_records.study(tasks=("stsb",))
    _arm(study, "01", "stsb", "student")["versus"] |= {
        "difference": (low + high) / 2,
        "low": low,
        "high": high,
    }
    row = report.table1(study).loc["distilled student"]
    assert row["STS-B Pearson"].endswith(" inside noise") is marked
    assert "noise" not in row["STS-B Spearman"]  # only the main metric was compared in pairs


def test_over_seeds_the_wider_source_of_noise_decides():
    study = fake_records.study(tasks=("cola",), seeds=(0, 1, 2))
    for seed, shift in enumerate((-0.0301, -0.03, -0.0299)):  # seeds agree: the t interval is far from zero
        _arm(study, "01", "cola", "student", seed)["versus"] |= {
            "difference": shift,
            "low": -0.07,
            "high": 0.01,
        }
    assert differences.difference(study, "cola", "student")[1].high == pytest.approx(0.01)
    for seed, shift in enumerate((-0.09, -0.03, 0.03)):  # examples agree, seeds do not
        bounds = {"difference": shift, "low": -0.031, "high": -0.029}
        _arm(study, "01", "cola", "student", seed)["versus"] |= bounds
    assert differences.difference(study, "cola", "student")[1].high > 0


def test_the_first_notebook_of_the_study_counts_and_later_ones_never():
    study = fake_records.study(tasks=("cola",))
    other = copy.deepcopy(study[0]) | {"notebook": "06_distilbert"}
    fake_records.arm(other, "student")["scores"]["matthews_correlation"]["value"] = 0.999
    fake_records.arm(study[1], "student")["scores"]["matthews_correlation"]["value"] = 0.888
    expected = fake_records.arm(study[0], "student")["scores"]["matthews_correlation"]["value"]
    assert summary.score([other, *reversed(study)], "cola", "student").value == expected


# --- Table 2, latency, retention, differences


def test_table2_has_seconds_and_factor_and_the_reports_seconds(one):
    table = report.table2(one)
    base = _arm(one, "04", "rte", "bert_base_shape")["latency"]["validation_seconds"]
    tiny = _arm(one, "04", "rte", "tinybert_shape")["latency"]["validation_seconds"]
    assert table.loc["TinyBERT shape", "RTE"] == f"{cells.number(tiny)} s ({cells.number(base / tiny)}x)"
    assert table.loc["reported: TinyBERT", "QNLI"] == "138.9 s (16.3x)"


def test_estimated_seconds_say_so(one):
    study = copy.deepcopy(one)
    _arm(study, "04", "rte", "int8")["latency"]["validation_estimated"] = True
    table = report.table2(study)
    assert table.loc["int8 student", "RTE"].startswith("≈ ")
    assert not table.loc["int8 student", "CoLA"].startswith("≈")


def test_a_latency_table_never_mixes_two_machines(one, tmp_path):
    study = copy.deepcopy(one)
    for record in study:
        if record["task"] == "qnli":
            record["environment"]["cpu"]["model"] = "Other 1"
    assert set(report.table2(study, reported=False)["QNLI"]) == {"—"}
    assert "QNLI" not in report.latency_table(study).index.get_level_values("Task")
    report.write_tables(study, tmp_path)
    text = (tmp_path / "latency.md").read_text(encoding="utf-8")
    assert "Another machine timed QNLI" in text and "Other 1" not in text


def test_latency_shows_every_block_with_its_tail_and_interval(one):
    table = report.latency_table(one)
    block = _arm(one, "04", "sst2", "tinybert_shape")["latency"]["batch32_padded"]
    row = table.loc[("SST-2", "TinyBERT shape")]
    assert row["batch 32, padded: ms (p95)"] == f"{block['median_ms']:.0f} ({block['p95_ms']:.0f})"
    assert row["batch 32, padded: speed-up"].startswith(f"{cells.number(block['speedup']['median'])}x [")
    assert len(table.columns) == 8 and list(table.columns)[0] == "batch 1, true: ms (p95)"


def test_retention_is_between_floor_and_teacher(one):
    table = report.retention_table(one)
    kept = _arm(one, "01", "cola", "student")["retention"]
    assert table.loc["distilled student", "CoLA"] == f"{100 * kept:.0f} %"
    assert table.loc["floor (score)", "RTE"] == "0.530"


def test_differences_carry_their_sign_and_reference(one):
    table = report.difference_table(one)
    versus = _arm(one, "01", "cola", "control")["versus"]
    cell = table.loc["student without a teacher - fine-tuned teacher", "CoLA"]
    assert cell.startswith(f"{versus['difference']:+.3f} [{versus['low']:+.3f}, {versus['high']:+.3f}]")


# --- gaps


@pytest.mark.parametrize("make", ALL)
def test_no_record_at_all_is_a_sentence_with_folder_and_command(make):
    with pytest.raises(InputError, match=r"results/<profile>/records.*make study"):
        make([])


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("notebook", ["01", "03", "04"])
def test_one_record_alone_gives_a_table_with_dashes(make, notebook, one):
    some = [record for record in one if record["notebook"].startswith(notebook) and record["task"] == "stsb"]
    table = make(some)
    assert not table.isna().to_numpy().any()
    assert not any("nan" in str(cell) or "None" in str(cell) for cell in table.to_numpy().ravel())
    assert report.markdown(table)


def test_undefined_numbers_become_dashes_not_nan(one, tmp_path):
    study = copy.deepcopy(one)
    for record in study:
        for arm in record["arms"]:
            arm["retention"] = None
            if arm["scores"]:
                arm["scores"] = {m: {"value": None, "low": None, "high": None} for m in arm["scores"]}
                arm["versus"] = arm["versus"] and {
                    **arm["versus"],
                    "difference": None,
                    "low": None,
                    "high": None,
                }
            if arm["latency"]:
                arm["latency"]["validation_seconds"] = None
                arm["latency"]["batch1_true"] |= {"median_ms": None, "speedup": None}
    for make in ALL:
        assert not any("nan" in str(cell) for cell in make(study).to_numpy().ravel())
    assert set(report.table1(study, reported=False)["CoLA Matthews"]) == {"—"}


@given(keep=st.sets(st.integers(0, 29)), make=st.sampled_from(ALL))
def test_any_part_of_a_study_makes_every_table(keep, make):
    study = fake_records.study("minilm", seeds=(0, 1))
    some = [record for index, record in enumerate(study) if index in keep]
    if some:
        report.markdown(make(some))
    else:
        with pytest.raises(InputError):
            make(some)


@given(value=st.floats(min_value=1e-3, max_value=1e5))
def test_a_number_keeps_three_digits_and_no_exponent(value):
    text = cells.number(value)
    assert "e" not in text and float(text) == pytest.approx(value, rel=6e-3)


# --- files


def test_tables_are_written_as_markdown_with_footer_and_as_plain_csv(three, tmp_path):
    written = report.write_tables(three, tmp_path, command="make study PROFILE=minilm SEEDS=0,1,2")
    assert sorted(path.name for path in written) == sorted(
        f"{name}.{end}"
        for name in ("table1", "table2", "differences", "significance", "claims", "latency", "retention")
        for end in ("md", "csv")
    )
    text = (tmp_path / "table1.md").read_text(encoding="utf-8")
    for part in (
        "`minilm`",
        "3 seeds (0, 1, 2)",
        "CoLA 300",
        "SST-2 872",
        "Machine: Testor 9000.",
        "10^6 bytes",
    ):
        assert part in text
    assert "Made by `make study PROFILE=minilm SEEDS=0,1,2`." in text
    assert "QNLI: train is 18,869 of 104,743 rows." in text
    assert "generated" not in text
    back = pd.read_csv(tmp_path / "table1.csv", index_col=0)
    assert list(back.index) == list(report.table1(three).index)
    assert "*" not in (tmp_path / "table1.csv").read_text(encoding="utf-8")


def test_generated_scores_say_so(one, tmp_path):
    report.write_tables(one, tmp_path)
    assert "Scores are about the generated tasks" in (tmp_path / "table1.md").read_text(encoding="utf-8")
    text = (tmp_path / "table2.md").read_text(encoding="utf-8")
    assert (
        "Made by `make study PROFILE=mini TASKS=cola,rte,stsb,qnli,sst2 SEEDS=0`; a row by itself: the same with "
        "`NOTEBOOKS=` and what stands under Notebook." in text
    )
    assert "Made by `make study PROFILE=mini TASKS=cola,rte,stsb,qnli,sst2 SEEDS=0`." in (
        tmp_path / "latency.md"
    ).read_text(encoding="utf-8"), "whose rows are all of one notebook"


def test_markdown_has_the_baseline_bold_and_noise_in_italics(one):
    lines = report.markdown(report.table1(one)).splitlines()
    width = lines[0].count("|")
    assert all(line.count("|") == width for line in lines)
    bold = [line for line in lines if "**" in line]
    assert len(bold) == 1 and bold[0].startswith(f"| **{ARMS['teacher']} (baseline)** |")
    noisy = report.table1(one).map(lambda cell: cell.endswith("inside noise")).to_numpy().sum()
    assert "\n".join(lines).count("*inside noise*") == noisy > 0


def test_the_reports_numbers_are_the_committed_ones():
    table = pd.read_csv(reported.FOLDER / "table1.csv").set_index("system")
    assert table.loc["TinyBERT", "size_mb"] == 58.39 and table.loc["quantized TinyBERT", "sst2_acc"] == 0.8853
    assert pd.read_csv(reported.FOLDER / "table2.csv").set_index("system").loc["fine-tuned BERT", "qnli"] == 2263.6


# --- headline


def test_headline_prefers_minilm_and_names_existing_records(one, three, tmp_path):
    results = _store([*one, *three], tmp_path / "results")
    numbers = report.headline(results)
    factors = [
        _arm(three, "04", task, "tinybert_shape", seed)["latency"]["batch32_true"]["speedup"]["median"]
        for task in fake_records.TASKS
        for seed in (0, 1, 2)
    ]
    assert numbers["latency_factor_tinybert"]["value"] == pytest.approx(np.median(factors), abs=0.006)
    assert numbers["int8_mb"] == numbers["int8_mb"] | {"value": 43.41, "unit": "MB"}
    values = [_arm(three, "01", "stsb", "student", seed)["scores"]["pearson"]["value"] for seed in (0, 1, 2)]
    assert numbers["minilm_student_stsb"]["value"] == pytest.approx(np.mean(values), abs=6e-5)
    assert numbers["minilm_student_stsb"]["unit"] == "pearson"
    assert len([name for name in numbers if name.startswith("minilm_")]) == 25
    for entry in numbers.values():
        assert entry["records"] and all((tmp_path / path).is_file() for path in entry["records"])
        assert all("/minilm/" in path for path in entry["records"])


def test_headline_of_mini_alone_has_sizes_and_factors_but_no_real_score(one, tmp_path):
    numbers = report.headline(_store(one, tmp_path / "results"))
    names = {"bert_base_mb", "tinybert_mb", "int8_mb", "latency_factor_tinybert", "latency_factor_int8"}
    assert set(numbers) == names
    assert numbers["bert_base_mb"]["value"] == 438.01


def test_headline_leaves_out_what_was_not_measured(one, three, tmp_path):
    some = [record for record in three if record["task"] == "rte" and record["notebook"] == "01_distillation"]
    numbers = report.headline(_store([*one, *some], tmp_path / "results"))
    assert "minilm_int8_rte" not in numbers and "minilm_student_rte" in numbers
    assert all("/mini/" in path for path in numbers["latency_factor_int8"]["records"])  # minilm was not timed
    assert all("/mini/" in path for path in numbers["tinybert_mb"]["records"])  # nor were the shapes weighed


def test_headline_is_written_as_json_and_twice_the_same(one, tmp_path):
    results = _store(one, tmp_path / "results")
    first = report.write_headline(results).read_bytes()
    assert report.write_headline(results).read_bytes() == first
    assert json.loads(first)["tinybert_mb"]["value"] == 57.41


def test_no_record_anywhere_is_named_with_the_command(tmp_path):
    for make in (report.headline, report.readme_block, report.write_headline):
        with pytest.raises(InputError, match=re.escape(str(tmp_path)) + ".*make study"):
            make(tmp_path)


# --- README


def test_readme_is_filled_between_its_marks_and_then_up_to_date(one, tmp_path):
    results = _store(one, tmp_path / "results")
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n\n<!-- results:begin -->\nold\n<!-- results:end -->\n\n## After\n", encoding="utf-8")
    assert report.update_readme(readme, results, check=True) is False
    assert "old" in readme.read_text(encoding="utf-8")
    assert report.update_readme(readme, results) is False
    assert report.update_readme(readme, results, check=True) is True
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("# Title\n\n<!-- results:begin -->") and text.endswith("<!-- results:end -->\n\n## After\n")
    assert "BERT-base is a file of 438 MB" in text and "generated tasks" in text and "old" not in text
    assert "figure1" not in text  # no figure was drawn, so none is linked


def test_readme_notices_a_changed_record(one, tmp_path):
    results = _store(one, tmp_path / "results")
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results:begin --><!-- results:end -->", encoding="utf-8")
    report.update_readme(readme, results)
    changed = copy.deepcopy(one[0])
    fake_records.arm(changed, "teacher")["scores"]["matthews_correlation"]["value"] = 0.111
    records.write(changed, results / "mini" / "records")
    assert report.update_readme(readme, results, check=True) is False


def test_readme_shows_the_best_profile_and_its_figure(one, three, tmp_path):
    results = _store([*one, *three], tmp_path / "results")
    (tmp_path / "figures" / "minilm").mkdir(parents=True)
    (tmp_path / "figures" / "minilm" / "figure1.svg").write_text("<svg/>", encoding="utf-8")
    block = report.readme_block(results)
    assert "(figures/minilm/figure1.svg)" in block and "![Line charts of score against pruning amount: CoLA" in block
    assert "On real GLUE" in block and "generated" not in block
    table = next(line for line in io.StringIO(block) if line.startswith("| **fine-tuned teacher"))
    assert "(3 seeds)" in table


def test_readme_sentences_use_only_numbers_that_exist(three, tmp_path):
    some = [record for record in three if record["notebook"] == "03_pruning_sweep"]
    block = report.readme_block(_store(some, tmp_path / "results"))
    assert "BERT-base is a file" not in block and "times as fast" not in block and "nan" not in block


@pytest.mark.parametrize("text", ["", "<!-- results:begin -->", "<!-- results:end --><!-- results:begin -->"])
def test_a_readme_without_both_marks_is_refused(one, tmp_path, text):
    results = _store(one[:1], tmp_path / "results")
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="README.md lacks the lines"):
        report.update_readme(readme, results)
    assert readme.read_text(encoding="utf-8") == text


def test_a_missing_readme_is_a_sentence(one, tmp_path):
    results = _store(one[:1], tmp_path / "results")
    with pytest.raises(InputError, match=r"no file at .*README.md"):
        report.update_readme(tmp_path / "README.md", results)


@pytest.mark.parametrize("module", [cells, labels, records, style])
def test_examples_in_docstrings_hold(module):
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def test_captions_tell_one_seed_from_several_and_from_a_mixture(one, three) -> None:
    mixed = [r for r in three if r["task"] == "rte"] + [r | {"profile": "minilm"} for r in one if r["task"] == "sst2"]
    footers = [report.render_tables(some)["table1.md"] for some in (one, three, mixed)]
    assert "with a 95 % bootstrap interval over examples" in footers[0] and "t interval" not in footers[0]
    assert "half-width of a 95 % t interval over seeds." in footers[1] and "bootstrap interval over" not in footers[1]
    assert "t interval over seeds (a task with one seed: bootstrap interval over examples)" in footers[2]
    assert all("not adjusted for the number of comparisons" in footer for footer in footers)


def test_times_taken_on_the_processor_do_not_name_the_accelerator(three) -> None:
    record = next(r for r in three if r["latency_setup"])
    record = json.loads(json.dumps(record))
    record["environment"] |= {"device": "cuda", "accelerator": "NVIDIA X"}
    record["latency_setup"]["device"] = "cpu"
    assert "NVIDIA" not in summary.machine(record)
    record["latency_setup"]["device"] = "cuda"
    assert summary.machine(record).startswith("NVIDIA X")


def test_the_readme_says_when_a_student_is_at_its_floor(three, tmp_path) -> None:
    some = copy.deepcopy([record for record in three if record["task"] in ("rte", "sst2")])
    for record in some:
        for arm in record["arms"]:
            if record["task"] == "rte" and arm["arm"] == "student":
                arm["scores"]["accuracy"]["value"] = record["floor"] - 0.01
    (tmp_path / "figures").mkdir()
    block = report.readme_block(_store(some, tmp_path / "results"))
    said = re.search(r"scores (RTE .*?\)); (SST-2 .*?\))\.", block)
    assert re.match(
        r"RTE 0\.\d+, no better than its floor, a constant answer's 0\.\d+ "
        r"\(the teacher 0\.\d+, the same model without",
        said[1],
    )
    assert re.match(r"SST-2 0\.\d+ \(the teacher 0\.\d+, the same model without a teacher 0\.\d+, in int8 0", said[2])
