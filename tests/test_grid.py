"""The grid: every wrong input is one sentence before any work; what runs, beside what, and what is not run again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import throwaway
import yaml
from datasets import Dataset
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as some

from helpers import labels, latency, profiles, tasks
from helpers.environment import InputError, RunError
from helpers.study import grid, jobs, planning, progress
from helpers.study.jobs import Job
from tests import published

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the real profiles, its own notebooks, results and artifacts, and little generated data."""
    return throwaway.house(tmp_path, monkeypatch, "01_first", "03_second")


def plan(**given: object) -> list[Job]:
    return planning.plan("mini", **({"tasks": ["sst2"]} | given))[0]


def refused(**given: object) -> str:
    profile = given.pop("profile", "mini")
    with pytest.raises(InputError) as caught:
        planning.plan(profile, **given)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# wrong input


def test_unknown_names() -> None:
    assert refused(tasks=["sst2", "sst-2"]) == f"There is no task 'sst-2'; known are {', '.join(labels.TASKS)}."
    assert "There is no profile 'mimi'" in refused(profile="mimi")
    assert refused(notebooks=["02"]) == "There is no notebook '02'; there are 01_first, 03_second."
    assert "There is no notebook '1'" in refused(notebooks=["01", "1"])
    message = refused(parameters={"temprature": 2.0})
    assert message == (
        "There is no parameter 'temprature' to set; the nearest known: "
        "temperature, temperature_squared, distilbert_temperature."
    )
    message = refused(parameters={"xyz": 2.0})
    assert message.startswith("There is no parameter 'xyz' to set; none of the 92 known is like it.")
    assert "profile" not in message
    for name in ("profile", "task", "seed"):
        assert f"There is no parameter {name!r} to set" in refused(parameters={name: 1})
    assert "There is no generated 'mrpc'" in refused(tasks=["mrpc"])


def test_values_out_of_range_or_of_another_type() -> None:
    assert "amount is the share of weights to remove, from 0 up to below 1, not 1.2" in refused(
        parameters={"pruning_amounts": [0.1, 1.2]}
    )
    assert "not -0.1" in refused(parameters={"recovery_amounts": [-0.1]})
    assert "teacher_epochs must be int, not 'two'" in refused(parameters={"teacher_epochs": "two"})
    assert "(YAML reads 2e-5 as text; write 2.0e-5)" in refused(parameters={"teacher_learning_rate": "2e-5"})
    assert "seed must be a number of at least 0, not -1" in refused(seeds=[0, -1])
    for workers in (0, -2):
        assert refused(workers=workers) == f"The number of workers must be at least 1, not {workers}."


def test_shapes_that_cannot_learn_from_each_other(tmp_path: Path) -> None:
    student = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}

    def why(**parameters: object) -> str:
        return refused(tasks=["sst2"], parameters=parameters)

    assert "layer_map [1, 9] does not fit: it must name 2 of the teacher's layers 1 to 4" in why(layer_map=[1, 9])
    assert "layer_map [1] does not fit" in why(layer_map=[1])
    assert "The student has 2 attention heads, the teacher 4" in why(student_shape=student | {"num_attention_heads": 2})
    wide = student | {"hidden_size": 256}
    for start in ("embeddings", "random"):
        assert "The student is 256 wide, the teacher 128" in why(student_shape=wide, student_start=start)
    published.textattack(tmp_path / "teacher", task="sst2")
    published.tinybert(tmp_path / "tiny")
    both = {"teacher": str(tmp_path / "teacher"), "student_start": str(tmp_path / "tiny")}
    message = why(**both, max_length=64)
    assert "max_length is 64, but a model here reads 32 tokens" in message
    assert "student_shape says {'hidden_size': 64," in why(**both, max_length=32)


def test_nothing_to_run() -> None:
    assert refused(tasks=[]) == "There is no task to run; name one at least."
    assert refused(seeds=[]) == "There is no seed to run; name one at least."
    assert "No notebook is named; there are 01_first" in refused(notebooks=[])


def test_a_grid_that_matches_no_notebook(house: Path) -> None:
    for path in (house / "notebooks").iterdir():
        path.unlink()
    (house / "notebooks" / "first.ipynb").touch()
    assert refused() == f"There are no notebooks in {house / 'notebooks'}."


def test_input_that_is_not_there(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(house)
    assert "The data folder ../nowhere does not exist" in refused(tasks=["sst2"], inputs={"data": "../nowhere"})
    assert "The text folder nowhere does not exist" in refused(tasks=["sst2"], inputs={"text": "nowhere"})
    (house / "glue").mkdir()
    assert "has no folder 'sst2'; it must hold sst2/train-*.parquet" in refused(tasks=["sst2"], inputs={"data": "glue"})
    assert "There is no model folder ./nowhere" in refused(tasks=["sst2"], parameters={"teacher": "./nowhere"})
    published.glue(house / "glue", "sst2")
    (house / "glue" / "sst2" / "validation-00000-of-00001.parquet").write_bytes(b"PAR1 no more")
    assert "sst2/validation-*.parquet cannot be read" in refused(tasks=["sst2"], inputs={"data": "glue"})
    assert Path.cwd() == house, "the folder is the same as before"


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, house: Path) -> None:
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda path: Usage(2e9, 1.5e9, 0.5e9))
    with pytest.raises(RunError) as caught:
        plan()
    assert str(caught.value) == (
        f"{house} has 0.5 GB free, this profile wants 1 GB; free some space or set STUDY_ARTIFACTS to another folder."
    )
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda path: Usage(9e9, 0, 9e9))
    assert plan()


def test_a_broken_notebook(house: Path) -> None:
    (house / "notebooks" / "05_broken.ipynb").write_text("{", encoding="utf-8")
    assert "05_broken.ipynb is not a notebook (NotJSONError); restore it." in refused(tasks=["sst2"])


# the parameters cell


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("temperature", "temprature", "01_first.ipynb: the parameters cell declares temprature; profiles know profile"),
        (
            "# a task",
            "# task=cola",
            """write one `=` on each line of the parameters cell, comments included, not 'task""",
        ),
        ('str = "sst2"  # a task', 'str = "a=b"', "write one `=` on each line"),
        ("profile: str", "# profile: str", "the parameters cell declares profile (missing)"),
    ],
)
def test_a_wrong_parameters_cell(
    house: Path, old: str, new: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert old in throwaway.PARAMETERS
    throwaway.write(house / "notebooks", "01_first", parameters=throwaway.PARAMETERS.replace(old, new))
    assert expected in refused(tasks=["sst2"])
    assert not caplog.messages, "papermill's own warning would be a second line"


def test_a_comment_line_may_have_several_equals_signs(house: Path) -> None:
    with_comment = f"# a = b = c\n{throwaway.PARAMETERS}"
    throwaway.write(house / "notebooks", "01_first", parameters=with_comment)
    assert plan(notebooks=["01"])[0].values["task"] == "sst2"


def test_no_parameters_cell(house: Path) -> None:
    throwaway.write(house / "notebooks", "01_first", parameters=None)
    assert "01_first.ipynb: the parameters cell declares profile (missing)" in refused(tasks=["sst2"])


def test_values_are_the_profile_s_per_task() -> None:
    for profile, task in (("mini", "sst2"), ("mini", "cola")):
        recipe = profiles.load(profile, task=task, seed=2)
        (job,) = plan(notebooks=["01"], tasks=[task], seeds=[2])
        assert job.values == {
            "profile": "mini",
            "task": task,
            "seed": 2,
            "data": "generated",
            "text": "generated",
            "temperature": recipe.temperature,
            "overrides": {},
        }


def test_each_task_has_its_own_value(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = house / "params"
    params.mkdir()
    monkeypatch.setattr(profiles.files, "PARAMS", params)
    shipped = Path(planning.__file__).parents[2] / "notebooks" / "params" / "mini.yaml"
    values = yaml.safe_load(shipped.read_text(encoding="utf-8")) | {"temperature": 1.5}
    values |= {"tasks": {"cola": {"temperature": 3.0}}}
    (params / "mini.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    found = {job.task: job.values["temperature"] for job in plan(notebooks=["01"], tasks=["cola", "sst2"])}
    assert found == {"cola": 3.0, "sst2": 1.5}


def test_another_value_in_the_profile_makes_another_run(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = house / "params"
    params.mkdir()
    monkeypatch.setattr(profiles.files, "PARAMS", params)
    shipped = (Path(planning.__file__).parents[2] / "notebooks" / "params" / "mini.yaml").read_text(encoding="utf-8")
    found = []
    for epochs in (3, 5):
        values = yaml.safe_load(shipped) | {"teacher_epochs": epochs}  # which no notebook here declares
        (params / "mini.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        found += [job.state for job in plan(notebooks=["01"])]
    assert found[0] != found[1]


def test_a_given_value_goes_to_its_parameter_or_to_overrides() -> None:
    (job,) = plan(notebooks=["01"], parameters={"temperature": 4.0, "batch_size": 8, "pruning_amounts": [0.2]})
    assert job.values["temperature"] == 4.0
    assert job.values["overrides"] == {"batch_size": 8, "pruning_amounts": [0.2]}


def test_what_a_notebook_cannot_take_is_an_error(house: Path) -> None:
    without = throwaway.PARAMETERS.rpartition("\n")[0].replace("data: str = None\n", "")
    throwaway.write(house / "notebooks", "01_first", parameters=without)
    assert "01_first.ipynb has no parameter 'batch_size', and no overrides" in refused(
        tasks=["sst2"], parameters={"batch_size": 8}
    )
    published.glue(house / "glue", "sst2")
    assert "01_first.ipynb has no parameter 'data'" in refused(tasks=["sst2"], inputs={"data": str(house / "glue")}), (
        "else the profile's own rows would be read"
    )


def test_folders_are_given_as_the_notebooks_see_them(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published.glue(house / "elsewhere" / "glue", "sst2")
    published.write(house / "elsewhere" / "text" / "train-0.parquet", {"text": ["A line.", "Another."] * 20})
    (house / "elsewhere" / "generated").mkdir()
    monkeypatch.chdir(house / "elsewhere")
    (job,) = plan(notebooks=["01"], inputs={"data": "glue", "text": None})
    assert job.values["data"] == "../elsewhere/glue"
    (named,) = plan(notebooks=["01"], parameters={"data": "glue"}, inputs={"text": "./text"})
    assert named.values["data"] == "../elsewhere/glue"
    assert named.values["text"] == "../elsewhere/text"
    (same,) = plan(notebooks=["01"], inputs={"data": str(house / "elsewhere" / "glue")})
    assert same.values["data"] == "../elsewhere/glue"
    assert same.state == job.state
    (word,) = plan(notebooks=["01"], inputs={"data": "generated"})
    assert word.values["data"] == "generated", "a folder of that name changes nothing"


def test_what_is_given_twice_is_an_error() -> None:
    for name in ("data", "text", "nli"):
        message = refused(tasks=["sst2"], inputs={name: "generated"}, parameters={name: "generated"})
        assert message == f"{name} is given twice, as --{name} and as -p {name}; give it once."


# the grid


def test_the_grid_is_notebooks_by_seeds_by_tasks(house: Path) -> None:
    throwaway.write(house / "notebooks", "05_tables", parameters='profile: str = "mini"')
    found = plan(tasks=["cola", "sst2"], seeds=[0, 1])
    each = [("cola", 0), ("sst2", 0), ("cola", 1), ("sst2", 1)]
    assert [(job.notebook.stem, job.task, job.seed) for job in found] == [
        *((name, *cell) for cell in each for name in ("01_first", "03_second")),
        ("05_tables", None, None),
    ]
    assert [str(found[0]), str(found[-1])] == ["01_first cola seed 0", "05_tables"]
    outputs = [job.output for job in found]
    assert len(set(outputs)) == len({job.note for job in found}) == len(found)
    assert found[0].output == house / "artifacts" / "runs" / "mini" / "01_first.cola.seed0.ipynb"


def test_a_task_named_twice_runs_once() -> None:
    found = plan(tasks=["sst2", "cola", "sst2"], seeds=[1, 1], notebooks=["01", "01_first"])
    assert [(job.task, job.seed) for job in found] == [("sst2", 1), ("cola", 1)]


def test_the_profile_s_own_grid() -> None:
    found, workers = planning.plan("mini")
    usual = profiles.settings("mini")["study"]
    assert [job.task for job in found] == [task for task in usual["tasks"] for _ in range(2)]
    assert {job.seed for job in found} == set(usual["seeds"])
    assert workers == usual["workers"]
    assert planning.plan("mini", workers=3)[1] == 3


def test_a_notebook_may_have_fewer_tasks_unless_it_is_asked_for(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    throwaway.write(house / "notebooks", "02_augmentation")
    settings, few = profiles.settings, {"notebook_tasks": {"02_augmentation": ["rte"]}}
    changed = settings("mini") | {"study": settings("mini")["study"] | few}
    monkeypatch.setattr(profiles, "settings", lambda _: changed)

    def tasks_of(number: str, **given: object) -> list[str]:
        return [job.task for job in planning.plan("mini", **given)[0] if job.notebook.stem[:2] == number]

    every = changed["study"]["tasks"]
    assert tasks_of("02") == ["rte"] and tasks_of("01") == every
    assert tasks_of("02", tasks=["stsb", "rte"]) == ["rte"]
    assert tasks_of("02", notebooks=["02"]) == every


def test_profiles_on_real_data_are_planned_beside_a_notebook_that_augments(house: Path, tmp_path: Path) -> None:
    """One has not all that augmentation takes; what nobody asked for must not stop the rest."""
    augmenting = throwaway.PARAMETERS + "\naugmentation_variants: int = None"
    throwaway.write(house / "notebooks", "02_augmentation", parameters=augmenting)
    published.minilm(tmp_path / "lm")
    published.textattack(tmp_path / "teacher", task="sst2")
    published.tinybert(tmp_path / "tiny")
    published.masked(tmp_path / "bert")
    published.glue(tmp_path / "glue", "sst2")
    published.write(tmp_path / "text" / "train-00000-of-00001.parquet", {"text": ["one line", "and another"] * 20})
    inputs = {"data": str(tmp_path / "glue"), "nli": None}
    small = {"hidden_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    weights = (tmp_path / "lm" / "model.safetensors").read_bytes()
    own = {"language_model": str(tmp_path / "lm"), "language_model_sha256": hashlib.sha256(weights).hexdigest()}
    given = {
        "minilm": own | {"student_shape": small},
        "paper": {"teacher": str(tmp_path / "teacher"), "student_start": str(tmp_path / "tiny"), "student_shape": {}},
    }
    given["paper"]["language_model"] = str(tmp_path / "bert")
    for profile, parameters in given.items():
        asked = {"tasks": ["sst2"], "seeds": [0], "parameters": parameters | {"max_length": 32}}
        asked["inputs"] = inputs | {"text": str(tmp_path / "text") if profile == "minilm" else None}
        jobs, _ = planning.plan(profile, **asked)
        assert [job.notebook.stem for job in jobs] == ["01_first", "03_second"], profile
        if profile == "paper":
            message = refused(profile=profile, notebooks=["02"], **asked)
            assert "ugmentation without word_vectors needs text" in message


def test_word_vectors_count_among_what_goes_in(house: Path, tmp_path: Path) -> None:
    file = tmp_path / "vectors.txt"
    found = []
    for line in ("good 0.1 0.2", "good 0.1 0.3"):
        file.write_text(f"{line}\nfine 0.1 0.3\n", encoding="utf-8")
        found += [job.state for job in plan(notebooks=["01"], parameters={"word_vectors": str(file)})]
    assert len(set(found)) == 2
    file.write_text("good 0.1 0.2\nfine 0.1\n", encoding="utf-8")
    assert "Line 2 of" in refused(parameters={"word_vectors": str(file)})


def test_no_head_that_fills_masks_is_said_before_any_work(house: Path, tmp_path: Path) -> None:
    throwaway.write(
        house / "notebooks", "02_augmentation", parameters=throwaway.PARAMETERS + "\naugmentation_variants: int = None"
    )
    published.textattack(tmp_path / "model", task="sst2")  # an encoder with a classifier
    given = {"language_model": str(tmp_path / "model"), "max_length": 32, "teacher_starts": ["given"]}
    shape = {"hidden_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    given |= {"student_shape": shape, "pretraining_steps": 0, "compared_starts": []}
    assert "has no head that fills masks" in refused(tasks=["sst2"], notebooks=["02"], parameters=given)
    assert plan(notebooks=["01"], parameters=given), "nothing else needs it"


@pytest.mark.parametrize(
    ("parameter", "change", "sentence"),
    [
        ("distilbert_layers: str", {"distilbert_steps": 0}, "DistilBERT needs distilbert_steps of distillation on"),
        ("distilbert_layers: str", {"distilbert_layers": [3, 9]}, "the language model has the layers 1 to 4"),
        ("albert_sharing: str", {"albert_embedding_sizes": [4096]}, "embedding_size is 4096"),
        ("albert_sharing: str", {"albert_embedding_sizes": [8, 8]}, "albert_embedding_sizes names each of the others"),
        ("albert_sharing: str", {"albert_embedding_sizes": [0]}, "albert_embedding_sizes names each of the others"),
        ("structured_shares: list", {"structured_layers": [0]}, "say how much goes"),
        ("structured_shares: list", {"structured_shares": [0.0]}, "say how much goes"),
        ("structured_shares: list", {"structured_layers": [-1]}, "structured_layers"),
        (
            "structured_shares: list",
            {"structured_shares": [], "structured_layers": []},
            "Nothing is to be removed",
        ),
        ("structured_shares: list", {"structured_shares": [0.121, 0.124]}, "must name each amount once"),
        ("structured_shares: list", {"structured_layers": [2, 2]}, "must name each amount once"),
        ("structured_shares: list", {"structured_shares": [0.99]}, "would leave one of the 4 layers with none"),
        ("structured_shares: list", {"structured_layers": [4]}, "4 of 4 layers are to go; one at least must stay"),
    ],
)
def test_a_system_that_cannot_be_is_said_before_any_work(
    house: Path, parameter: str, change: dict[str, object], sentence: str
) -> None:
    throwaway.write(house / "notebooks", "06_systems", parameters=f"{throwaway.PARAMETERS}\n{parameter} = None")
    assert sentence in refused(tasks=["sst2"], notebooks=["06"], parameters=change)
    assert plan(notebooks=["01"], parameters=change), "nothing else needs it"
    assert plan(notebooks=["06"])


@pytest.mark.parametrize(
    ("budget", "chain", "sentence"),
    [
        ("66 kB", "distil > prun 0.3", "no step 'prun'; the nearest known"),
        ("66 kB", "distil > int4 > int8", "the weights are rounded already"),
        ("6 kB", "distil > int4", "above its budget of 6 kB"),
    ],
)
def test_a_chain_that_cannot_be_is_said_before_any_work(house: Path, budget: str, chain: str, sentence: str) -> None:
    throwaway.write(house / "notebooks", "06_order", parameters=f"{throwaway.PARAMETERS}\norder_chains: dict = None")
    change = {"order_chains": {budget: [chain]}}
    assert sentence in refused(tasks=["sst2"], notebooks=["06"], parameters=change)
    assert plan(notebooks=["01"], parameters=change), "nothing else needs it"
    assert plan(tasks=["sst2"], notebooks=["06"], parameters={"order_chains": {"1 MB": ["distil > int4"]}})


def test_what_makes_the_models_comes_first_then_task_by_task(house: Path) -> None:
    throwaway.write(house / "notebooks", "01_first", required=True)
    throwaway.write(house / "notebooks", "04_third")
    throwaway.write(house / "notebooks", "02_tables", parameters='profile: str = "mini"')
    found = plan(tasks=["sst2", "cola"], seeds=[1, 0], parameters={"threads": 5})
    cells = [("sst2", 1), ("cola", 1), ("sst2", 0), ("cola", 0)]
    assert [(job.notebook.stem[:2], job.task, job.seed) for job in found] == [
        *(("01", *cell) for cell in cells),
        *((number, *cell) for cell in cells for number in ("03", "04")),
        ("02", None, None),
    ]
    assert {job.threads for job in found[:-1]} == {5}


# what makes a run another run


def states(**given: object) -> list[str]:
    return [job.state for job in plan(notebooks=["01"], **given)]


def test_the_same_run_has_the_same_state(house: Path) -> None:
    before = states()
    assert states() == before
    path = throwaway.write(house / "notebooks", "01_first", throwaway.TELL, question="Put in other words?")
    assert states() == before, "what is only read does not count"
    throwaway.write(house / "notebooks", "01_first", throwaway.TELL + "\nprint()")
    assert states() != before
    path.unlink()
    throwaway.write(house / "notebooks", "01_first", throwaway.TELL)
    assert states() == before


def test_parameters_and_seeds_make_other_runs() -> None:
    found = [
        *states(seeds=[0, 1]),
        *states(parameters={"temperature": 2.0}),
        *states(parameters={"batch_size": 8}),
        *states(tasks=["cola"]),
    ]
    assert len(set(found)) == 5


def test_changed_helpers_make_other_runs(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "HELPERS", house / "helpers")
    (house / "helpers" / "compress").mkdir(parents=True)
    files = [house / "helpers" / name for name in ("__init__.py", "scores.py", "compress/__init__.py")]
    for file in files:
        file.write_text("a = 1\n", encoding="utf-8")
    found = states()
    for file in files:
        file.write_text("a = 2\n", encoding="utf-8")
        found += states()
    assert len(set(found)) == 4


def test_changed_rows_make_other_runs(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published.glue(house / "glue", "sst2")
    folder = {"data": str(house / "glue")}
    found = [*states(inputs=folder)]
    made = published.rows("sst2", 40, seed=9)
    published.write(house / "glue" / "sst2" / "train-00000-of-00001.parquet", made, published.features("sst2"))
    found += states(inputs=folder)
    assert len(set(found)) == 2
    before, lines = states(), Dataset.from_dict({"text": ["some words"] * 40})
    monkeypatch.setattr(tasks, "load_text", lambda text, **_: tasks.Text(lines, "generated", "other lines"))
    assert states() != before, "the text of the language model counts too"


def test_tables_are_always_made_again(house: Path) -> None:
    throwaway.write(house / "notebooks", "05_tables", parameters='profile: str = "mini"')
    first, second = (plan(notebooks=["05"])[0] for _ in range(2))
    assert first.state != second.state


def note(job: Job, **changes: object) -> None:
    job.note.parent.mkdir(parents=True, exist_ok=True)
    job.note.write_text(json.dumps(changes), encoding="utf-8")


def record_of(job: Job) -> Path:
    return profiles.ROOT / "results" / "mini" / "records" / f"{job.notebook.stem}.{job.task}.seed{job.seed}.json"


def test_a_run_is_done_while_note_and_record_match() -> None:
    (job,) = plan(notebooks=["01"])
    assert not job.done()
    record = record_of(job)
    record.parent.mkdir(parents=True)
    record.write_text("{}", encoding="utf-8")
    whole = {"state": job.state, "seconds": 3.0, "record": hashlib.sha256(b"{}").hexdigest()}
    note(job, **whole)
    assert job.done()
    note(job, **whole | {"state": "another"})
    assert not job.done()
    note(job, **whole)
    record.write_text("{ }", encoding="utf-8")
    assert not job.done(), "the record is another's, or was edited"
    record.unlink()
    assert not job.done(), "the record is gone"
    record.write_text("{}", encoding="utf-8")
    assert job.done()
    for broken in ("", "{", "[]", "[1]", "3"):
        job.note.write_text(broken, encoding="utf-8")
        assert not job.done(), broken


# running


class Runner:
    """Stand-in for the kernels: notes when each job starts and ends."""

    def __init__(self, failures: dict[str, str]) -> None:
        self.failures, self.log, self.lock = failures, [], threading.Lock()

    def __call__(self, job: Job) -> str:
        with self.lock:
            self.log.append(("start", job))
        time.sleep(0.005)
        with self.lock:
            self.log.append(("end", job))
        return self.failures.get(str(job), "")

    @property
    def started(self) -> list[str]:
        return [str(job) for kind, job in self.log if kind == "start"]

    def side_by_side(self) -> list[set[Job]]:
        """Return which jobs were running together, at each moment."""
        running, moments = set(), []
        for kind, job in self.log:
            running = running | {job} if kind == "start" else running - {job}
            moments.append(running)
        return moments


def go(monkeypatch: pytest.MonkeyPatch, order: list[Job], *, workers: int = 2, failing: dict | None = None) -> tuple:
    runner = Runner(failing or {})
    monkeypatch.setattr(grid, "execute", runner)
    return runner, grid.run(order, workers=workers)


def job(notebook: str, task: str | None = "sst2", seed: int | None = 0, *, required: bool = False) -> Job:
    return Job(Path(f"{notebook}.ipynb"), "mini", task, seed, {}, "state", 1, required=required)


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> set[Job]:
    """Those that wait to measure."""
    those: set[Job] = set()
    monkeypatch.setattr(Job, "asks", lambda self: self in those)
    return those


def test_no_core_waits_for_a_notebook_that_it_does_not_need(asking: set[Job]) -> None:
    maker, needs = job("01", "sst2", required=True), job("03", "sst2")
    other, timed, table = job("03", "cola"), job("04", "sst2"), job("05", None, None)
    assert grid._next([needs, other, table], [maker], 2) is other, "03 of sst2 waits for 01 of sst2"
    assert grid._next([maker, needs], [job("01", "cola", required=True), other], 3) is maker
    assert grid._next([needs, timed], [maker], 2) is None
    assert grid._next([needs, other, table], [maker], 1) is None
    assert grid._next([timed, table], [needs], 2) is timed, "what both need is made"
    assert grid._next([table], [timed], 2) is None, "it reads what all have written"
    assert grid._next([table], [], 2) is table
    assert grid._next([needs], [table], 2) is None
    assert grid._next([], [], 2) is None


def test_those_that_wait_to_measure_leave_their_place_to_others_but_only_so_many(
    asking: set[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = namedtuple("Memory", "percent")
    monkeypatch.setattr(grid.psutil, "virtual_memory", lambda: memory(30.0))
    timed = [job("04", task, seed) for seed in (0, 1) for task in ("cola", "rte", "sst2")]
    more = [job("03", "qnli"), job("03", "stsb")]
    asking |= set(timed)
    assert grid._next(more, timed[:5], 2) is more[0]
    assert grid._next(more[:1], [*timed[:4], more[1]], 2) is more[0]
    assert grid._next(more[:1], [more[1], job("02")], 2) is None
    assert grid._next(more, timed, 2) is None, "each holds its models in memory"
    assert grid._next(more[:1], [*timed[:5], more[1]], 2) is None
    assert grid._next(more, timed[:1], 1) is None, "one at a time is one at a time"
    monkeypatch.setattr(grid.psutil, "virtual_memory", lambda: memory(70.0))
    assert grid._next(more, timed[:2], 2) is None and grid._next(more, timed[:1], 2) is more[0]


@given(
    some.lists(some.tuples(some.sampled_from("134"), some.integers(0, 3), some.booleans()), min_size=1, max_size=9),
    some.integers(1, 3),
)
def test_what_may_run_beside_what(kinds: list[tuple[str, int, bool]], workers: int) -> None:
    asking: set[Job] = set()
    running: list[Job] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "asks", lambda self: self in asking)
        for notebook, seed, asks in kinds:
            new = job(notebook, seed=seed, required=notebook == "1")
            if grid._next([new], running, workers):
                running.append(new)
                asking |= {new} if asks else set()
    assert running, "something always runs"
    assert len(running) <= (3 * workers if workers > 1 else 1)
    assert len([each for each in running if each not in asking]) <= workers
    for maker in (each for each in running if each.required):
        after = running[running.index(maker) + 1 :]
        assert maker.seed not in {each.seed for each in after}, "03 of a seed waits for 01 of that seed"


def test_runs_are_side_by_side_and_what_needs_another_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    order = [
        *(job("01", task, required=True) for task in ("cola", "rte", "sst2")),
        *(job(book, task) for task in ("cola", "rte", "sst2") for book in ("03", "04")),
        job("05", None, None),
    ]
    runner, failures = go(monkeypatch, order, workers=2)
    assert failures == []
    assert sorted(runner.started) == sorted(map(str, order))
    moments = runner.side_by_side()
    assert max(map(len, moments)) == 2
    for moment in moments:
        for maker in (each for each in moment if each.required):
            assert [each for each in moment if each.task == maker.task] == [maker]
        assert len(moment) == 1 or not any(each.task is None for each in moment)
    runner, _ = go(monkeypatch, order, workers=1)
    assert max(map(len, runner.side_by_side())) == 1
    assert runner.started == [str(each) for each in order]


AT_WORK = """
import json, time
from pathlib import Path
from helpers import latency
log = Path("../log")
def say(word):
    with log.open("a") as file:
        file.write(json.dumps([task, word]) + "\\n")
say("starts")
for _ in range(3):
    time.sleep(0.2)
    say("works")
if task != "qnli":
    latency.wait_for_turn()
    latency.wait_for_turn()  # once for all that it measures
    Path(f"../waited.{task}").write_text(str(latency.waited()))
    say("measures")
    time.sleep(0.5)
    say("ends")
"""


def test_a_run_that_measures_time_has_the_machine_for_itself(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Real runs: from "measures" to "ends" nobody else says a word, and what waited is no part of what it took."""
    monkeypatch.setenv("PYTHONPATH", str(Path(grid.__file__).parents[2]))
    monkeypatch.setattr(grid, "FULL", 101)  # whatever else has this machine's memory
    throwaway.write(house / "notebooks", "01_first", AT_WORK)
    order = plan(notebooks=["01"], tasks=["cola", "rte", "qnli"])
    began = time.monotonic()
    assert grid.run(order, workers=2) == []
    took = time.monotonic() - began
    said = [json.loads(line) for line in (house / "log").read_text(encoding="utf-8").splitlines()]
    assert said[-4:] == [[task, word] for task in ("cola", "rte") for word in ("measures", "ends")], "after all else"
    assert {task for task, _ in said[:-4]} == {"cola", "rte", "qnli"}
    assert not any(each.asks() for each in order)
    told = capsys.readouterr().out
    seconds = [json.loads(each.note.read_text(encoding="utf-8"))["seconds"] for each in order]
    assert f"01_first rte seed 0: done in {seconds[1]:.0f} s" in told
    # the last to measure waits at least while the first does, and that is no part of what it took
    after = float((house / "waited.rte").read_text(encoding="utf-8"))
    assert after > 0.5 and 0.6 < seconds[1] <= took - after + 0.1  # rounded


def test_a_run_whose_study_is_gone_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, ended before the run asks, or ended while it waits: in no case may the run measure."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    killed, here = tmp_path / str(gone.pid), tmp_path / str(os.getpid())
    killed.mkdir()
    for place in (killed, here):
        monkeypatch.setenv(latency.TURN, str(place / "04.sst2.seed0"))
        with pytest.raises(RunError, match="The study that this run belongs to has ended; start it again"):
            latency.wait_for_turn()
    here.mkdir()
    monkeypatch.setenv(latency.TURN, str(here / "04.sst2.seed0"))
    threading.Timer(0.5, shutil.rmtree, [here]).start()
    with pytest.raises(RunError, match="has ended"):
        latency.wait_for_turn()
    latency.wait_for_turn()  # outside of a study there is nothing to wait for


def test_what_an_earlier_study_left_is_no_turn_asked_for(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = job("04")
    one.turn.parent.mkdir(parents=True)
    one.turn.touch()
    old = one.turn.parents[1] / "1"
    old.mkdir()
    runner, failures = go(monkeypatch, [one])
    assert runner.started == [str(one)] and failures == []
    assert not old.parent.exists()


def test_a_study_that_breaks_off_lets_go_of_those_that_wait(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    def execute(job: Job) -> str:
        monkeypatch.setenv(latency.TURN, str(job.turn))
        try:
            latency.wait_for_turn()
        except RunError as error:
            ended.append(str(error))
        return ""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(grid, "execute", execute)
    monkeypatch.setattr(grid, "wait", broken)
    with pytest.raises(ZeroDivisionError):
        grid.run([job("04")], workers=1)
    assert len(ended) == 1


def test_after_a_failure_the_others_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    order = [job(book, task, seed) for book in ("01", "03") for seed in (0, 1) for task in ("cola", "sst2")]
    order = [replace(each, required=each.notebook.stem == "01") for each in order]
    order.append(job("05", None, None))
    failing = {"01 cola seed 1": "InputError: no.", "03 sst2 seed 0": "RunError: no."}
    runner, failures = go(monkeypatch, order, failing=failing)
    assert {str(bad): reason for bad, reason in failures} == failing
    assert sorted(runner.started) == sorted(str(each) for each in order if str(each) != "03 cola seed 1")
    said = capsys.readouterr().out
    assert "03 cola seed 1: left out, since it needs what failed" in said
    assert "01 cola seed 1: FAILED in 0 s" in said


def test_what_is_done_is_not_run_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    first, second = plan(notebooks=["01"], tasks=["cola", "sst2"])
    note(first, state=first.state, seconds=61.4, record="missing")
    runner, _ = go(monkeypatch, [first, second])
    assert runner.started == [str(second)]
    assert "01_first cola seed 0: done before" in capsys.readouterr().out
    grid.run([first, second], workers=1, again=True)
    assert runner.started == [str(second), str(first), str(second)]
    said = capsys.readouterr().out
    assert "01_first cola seed 0: started, about 61 s" in said, "a run says how long it took last time"
    assert "[  2/2] 01_first sst2 seed 0: done in 0 s; 0:00 so far, about 0:00 left" in said


def test_the_time_to_expect_is_a_published_run_s_or_that_of_the_others(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = house / "records"
    folder.mkdir()
    published = folder / "01.cola.seed0.json"
    published.write_text(json.dumps({"seconds": 2.0, "building_seconds": 100.0}), encoding="utf-8")
    one = replace(job("01", "cola", 5), records=folder)
    assert one.expected() == 2.0 and replace(one, required=True).expected() == 102.0, "the first builds, too"
    published.write_text("{", encoding="utf-8")
    assert one.expected() is None and replace(one, task="rte").expected() is None
    known = [replace(one, task=task) for task in ("cola", "sst2", "rte")]
    monkeypatch.setattr(jobs.Job, "expected", lambda self: {"sst2": 60.0}.get(self.task))
    # two workers: half of 60 s and of the 20 s that the others took
    monkeypatch.setattr(jobs.Job, "remembered", lambda self: {})
    lines = progress.Progress(workers=2)
    lines.ended(one, "", 10.0, running=0, waiting=[])
    lines.ended(one, "", 30.0, running=0, waiting=known)
    assert capsys.readouterr().out.endswith(f"about 0:{(60 + 20 + 20) // 2} left\n")


def test_a_long_run_says_now_and_then_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT", 0.02)
    monkeypatch.setattr(grid, "PAUSE", 0.02)
    monkeypatch.setattr(grid, "execute", lambda job: time.sleep(0.1) or "")
    assert grid.run([job("01")], workers=1) == []
    assert "           still running: 01 sst2 seed 0 for 0:00; 0:00 so far\n" in capsys.readouterr().out


def test_two_studies_do_not_run_beside_each_other(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = house / "artifacts" / "runs" / ".lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock), pytest.raises(RunError, match="Another study is at work on the artifacts in .*; wait for it"):
        grid.run([job("01")], workers=1)
    runner, failures = go(monkeypatch, [job("01")])
    assert runner.started == ["01 sst2 seed 0"] and failures == []


def test_a_run_with_other_settings_has_its_record_elsewhere(house: Path) -> None:
    (usual,) = plan(notebooks=["01"])
    assert usual.records == house / "results" / "mini" / "records"
    (other,) = plan(notebooks=["01"], parameters={"temperature": 2.0})
    assert other.records == house / "artifacts" / "records" / "mini"


def test_a_relative_folder_of_artifacts_is_the_same_for_all(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(house)
    monkeypatch.setenv("STUDY_ARTIFACTS", "kept")
    told = house / "told"
    tell = f"import os; open({str(told)!r}, 'w').write(os.environ['STUDY_ARTIFACTS'])"
    throwaway.write(house / "notebooks", "01_first", tell)
    (job,) = plan(notebooks=["01"])
    assert jobs.execute(job) == ""
    assert told.read_text() == str(house / "kept")


def test_no_room_for_a_run_s_files(house: Path) -> None:
    (house / "artifacts").write_text("a file where a folder should be", encoding="utf-8")
    (job,) = plan(notebooks=["01"])
    reason = jobs.execute(job)
    assert reason == (
        f"{house / 'artifacts' / 'runs' / 'mini'} cannot be written (Not a directory); make room, or set "
        "STUDY_ARTIFACTS."
    )
