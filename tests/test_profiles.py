"""Profiles: every file loads, every wrong file or value is one sentence before anything runs."""

from __future__ import annotations

from pathlib import Path

import papermill
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some
from transformers import BertConfig

from helpers import labels, profiles, tasks
from helpers.environment import InputError

SHIPPED = [
    (profile, task) for profile in ("mini", "minilm", "paper") for task in ("cola", "rte", "stsb", "qnli", "sst2")
]

PROFILE = """
data: generated
language_model: built
teacher_epochs: 2
teacher_learning_rate: 1.0e-3
student_shape: {hidden_size: 8, num_hidden_layers: 1}
intermediate_epochs: 3
intermediate_learning_rate: 2.0e-3
prediction_epochs: 4
prediction_learning_rate: 5.0e-4
pruning_amounts: [0, 0.5]
tasks:
  rte: {teacher_epochs: 5, nli_epochs: 2, pruning_amounts: [0.25]}
study: {tasks: [rte, sst2], seeds: [0, 1], workers: 2, disk_gb: 1}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write the profile `own`, with a text of PROFILE replaced; nothing else is there."""
    monkeypatch.setattr(profiles.files, "PARAMS", tmp_path)

    def write(old: str = "", new: str = "", *, text: str = PROFILE) -> None:
        assert old in text
        (tmp_path / "own.yaml").write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")

    write()
    return write


def _refused(**arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        profiles.load("own", task="rte", **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_the_shipped_profiles_are_the_designed_ones() -> None:
    assert profiles.names() == ["mini", "minilm", "minilm_comparisons", "minilm_ladder", "minilm_systems", "paper"]
    for name in profiles.names():
        study = profiles.settings(name)["study"]
        some = {"minilm_comparisons": ["cola", "rte", "stsb"], "minilm_ladder": ["rte", "sst2"]}
        some["minilm_systems"] = ["cola", "rte", "sst2", "stsb"]
        assert sorted(study["tasks"]) == sorted(some.get(name, ["cola", "rte", "stsb", "qnli", "sst2"]))
        assert study["workers"] >= 1


def test_a_profile_may_extend_another(write, tmp_path: Path) -> None:
    base = yaml.safe_load((profiles.ROOT / "notebooks" / "params" / "mini.yaml").read_text(encoding="utf-8"))
    base["tasks"] = {"rte": {"teacher_epochs": 7, "temperature": 2.0}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base), encoding="utf-8")
    write(text="extends: base\ntasks: {rte: {temperature: 3.0}, cola: {threads: 3}}\nstudy: {seeds: [5]}\n")
    rte, cola = (profiles.load("own", task=task) for task in ("rte", "cola"))
    assert (rte.teacher_epochs, rte.temperature, cola.temperature, cola.threads) == (7, 3.0, 1.0, 3)
    assert rte.batch_size == base["batch_size"] and rte.profile == "own"
    assert profiles.settings("own")["study"] == base["study"] | {"seeds": [5]}
    write(text="extends: nothing\n")
    assert "There is no profile 'nothing'" in _refused()
    write(text="extends: own\n")
    assert "own.yaml extends own, which extends it in turn; name one that stands by itself" in _refused()


def test_extended_profiles_may_extend_others(write, tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text(PROFILE, encoding="utf-8")
    (tmp_path / "second.yaml").write_text(
        "extends: first\nthreads: 3\ntasks: {rte: {nli_epochs: 1}}\n", encoding="utf-8"
    )
    write(text="extends: second\nteacher_epochs: 9\ntasks: {sst2: {threads: 4}}\n")
    rte, sst2 = (profiles.load("own", task=task) for task in ("rte", "sst2"))
    assert (rte.threads, rte.nli_epochs, rte.teacher_epochs, rte.intermediate_epochs) == (3, 1, 5, 3)
    assert (sst2.threads, sst2.nli_epochs, sst2.teacher_epochs) == (4, 0, 9)
    assert "extends" not in profiles.settings("own")
    (tmp_path / "first.yaml").write_text("extends: own\n", encoding="utf-8")
    assert "first.yaml extends own, which extends it in turn" in _refused()


@pytest.mark.parametrize(("profile", "task"), SHIPPED)
def test_every_profile_loads_for_every_task(profile: str, task: str) -> None:
    recipe = profiles.load(profile, task=task, seed=3)
    assert (recipe.profile, recipe.task, recipe.seed) == (profile, task, 3)
    assert (recipe.student_shape["hidden_size"] == 312) == (profile != "mini"), "TinyBERT's shape on real data"
    assert profiles.differences(recipe) == {}
    assert recipe.teacher_epochs > 0 or recipe.teacher.startswith("textattack/bert-base-uncased-")
    # the report's own settings
    if profile == "paper":
        assert (recipe.intermediate_epochs, recipe.prediction_epochs, recipe.batch_size) == (10, 3, 32)
        assert recipe.prediction_learning_rate == recipe.intermediate_learning_rate == 3e-5
        assert recipe.student_start == "huawei-noah/TinyBERT_General_4L_312D"
    if profile == "minilm":
        assert recipe.language_model_sha256.startswith("53aa5117")
        assert (recipe.nli_epochs > 0) == (task == "rte")


@pytest.mark.parametrize(("profile", "task"), SHIPPED)
def test_what_a_notebook_is_given_comes_back(profile: str, task: str, tmp_path: Path) -> None:
    """The runner writes the values as YAML, papermill reads them: every one must come back as it was."""
    recipe = profiles.load(profile, task=task)
    own = {name: getattr(recipe, name) for name in profiles.FIELDS if name not in ("profile", "task", "seed")}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    given = papermill.iorw.read_yaml_file(str(tmp_path / "values.yaml"))
    assert given == own
    assert {name: type(value) for name, value in given.items()} == {name: type(value) for name, value in own.items()}
    assert profiles.load(profile, task=task, **given) == recipe


@given(some.floats(min_value=1e-9, max_value=1.0, allow_nan=False))
def test_every_learning_rate_survives_yaml(rate: float) -> None:
    assert yaml.safe_load(yaml.safe_dump({"rate": rate})) == {"rate": rate}
    assert profiles.load("mini", task="rte", teacher_learning_rate=rate).teacher_learning_rate == rate


def test_a_task_has_its_own_values(write) -> None:
    rte, sst2 = profiles.load("own", task="rte"), profiles.load("own", task="sst2")
    assert (rte.teacher_epochs, rte.nli_epochs, rte.pruning_amounts) == (5, 2, [0.25])
    assert (sst2.teacher_epochs, sst2.nli_epochs, sst2.pruning_amounts) == (2, 0, [0, 0.5])
    assert rte.prediction_epochs == sst2.prediction_epochs == 4
    assert rte.batch_size == 32, "what the file does not say has its default"


def test_what_is_given_comes_last_and_is_told(write) -> None:
    recipe = profiles.load(
        "own", task="rte", teacher_epochs=7, threads=None, layer_map=[1], data="folder", text="words"
    )
    assert (recipe.teacher_epochs, recipe.threads, recipe.layer_map) == (7, 2, [1])
    # where rows come from is named in a run's header; it is no departure from the profile's settings
    assert profiles.differences(recipe) == {"teacher_epochs": (7, 5), "layer_map": ([1], "uniform")}
    assert profiles.differences(profiles.load("own", task="rte", teacher_epochs=5)) == {}


def test_an_unknown_profile() -> None:
    with pytest.raises(
        InputError,
        match=f"There is no profile 'mimi'; the profiles in params/ are {', '.join(profiles.names())}",
    ):
        profiles.load("mimi", task="rte")
    for name in ("../params/mini", "", "mini.yaml"):
        with pytest.raises(InputError, match="There is no profile"):
            profiles.settings(name)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("data:", "teacher_epoch: 3\ndata:", "own.yaml: there is no parameter 'teacher_epoch'"),
        ("nli_epochs: 2", "nil_epochs: 2", "own.yaml, tasks: rte: there is no parameter 'nil_epochs'"),
        ("workers: 2", "worker: 2", "own.yaml, study: there is no parameter 'worker'"),
        ("data:", "seed: 3\ndata:", "own.yaml: there is no parameter 'seed'"),
        ("data:", "1: 2\ndata:", "own.yaml: there is no parameter 1"),
        ("hidden_size", "hiden_size", "student_shape: there is no 'hiden_size'"),
        ("  rte:", "  rta:", "own.yaml: there is no task 'rta'; known are cola"),
        ("[rte, sst2]", "[rte, sst-2]", "own.yaml: there is no task 'sst-2'"),
    ],
)
def test_unknown_keys(write, old: str, new: str, where: str) -> None:
    write(old, new)
    assert where in _refused()


def test_unknown_parameters(write) -> None:
    message = _refused(teacher_epoch=3)
    assert message.startswith(
        "the parameters given: there is no parameter 'teacher_epoch'; the nearest known: teacher_epochs, "
    )
    assert "'nothing'" in _refused(nothing=None), "an unknown name is wrong whatever its value"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1.0e-3", "2e-5", "teacher_learning_rate must be float, not '2e-5' (YAML reads 2e-5 as text; write 2.0e-5)"),
        ("teacher_epochs: 2", "teacher_epochs: 2.5", "teacher_epochs must be int, not 2.5"),
        ("teacher_epochs: 2", "teacher_epochs: true", "teacher_epochs must be int, not True"),
        ("teacher_epochs: 2", "teacher_epochs:", "teacher_epochs must be int, not None"),
        ("teacher_epochs: 2", "teacher_epochs: two", "teacher_epochs must be int, not 'two'."),
        ("generated", "3", "data must be str, not 3"),
        ("[0, 0.5]", "0.5", "pruning_amounts must be list[float], not 0.5"),
        ("[0, 0.5]", "[0, half]", "pruning_amounts must be list[float], not [0, 'half']"),
        ("{hidden_size: 8, num_hidden_layers: 1}", "8", "student_shape must be dict[str, float], not 8"),
        ("hidden_size: 8", "hidden_size: wide", "student_shape must be dict[str, float], not {'hidden_size': 'wide',"),
        (
            "hidden_size: 8",
            "hidden_size: 8.5",
            "student_shape: hidden_size must be a whole number of at least 1, not 8.5",
        ),
        ("hidden_size: 8", "hidden_size: true", "student_shape must be dict[str, float], not {'hidden_size': True,"),
        ("teacher_epochs: 5", "layer_map: 3", "tasks: rte: layer_map must be str | list[int], not 3"),
        ("seeds: [0, 1]", "seeds: 0", "own.yaml, study: seeds must be list[int], not 0"),
        ("disk_gb: 1", "disk_gb: much", "own.yaml, study: disk_gb must be float, not 'much'"),
    ],
)
def test_values_of_another_type(write, old: str, new: str, expected: str) -> None:
    write(old, new)
    assert expected in _refused()


def test_a_long_value_of_another_type_is_not_repeated_but_its_part_is(write) -> None:
    chains = {"5 MB": [f"distil > prune 0.{share}" for share in range(100, 120)]}
    for wrong in (7, {"distil": "int4"}):
        message = _refused(order_chains=chains | {"8 MB": ["distil", wrong]})
        assert message.endswith(f"order_chains must be dict[str, list[str]], and {wrong!r} in it is not.")
    long = _refused(teacher_epochs="x" * 200)
    assert "teacher_epochs must be int, not 'xxxxx" in long and long.endswith("xxxxx'.") and len(long) < 160
    most = _refused(student_shape={"num_attention_heads": 2, "hidden_size": 2**21})
    assert most.endswith("student_shape: hidden_size must be 1,048,576 at most, not 2097152.")
    assert _refused(student_shape={"num_hidden_layers": 1000}).endswith("must be 256 at most, not 1000.")


def test_given_values_of_another_type(write) -> None:
    assert "teacher_learning_rate must be float, not '3e-5' (YAML reads" in _refused(teacher_learning_rate="3e-5")
    assert profiles.load("own", task="rte", teacher_learning_rate=1).teacher_learning_rate == 1
    assert profiles.load("own", task="rte", text=None, latency_max_batches=None).text is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, 2\nb: {", "is not valid YAML"),
        ("data: a: b", "is not valid YAML"),
        ("!!python/object/apply:os.system [exit 1]", "is not valid YAML"),
        ("- 1\n- 2\n", "must hold one mapping"),
        ("", "must hold one mapping"),
        (PROFILE.partition("tasks:")[0] + "tasks: [rte]", "own.yaml: tasks must hold a mapping"),
        (PROFILE.partition("tasks:")[0] + "tasks: {rte: 3}", "own.yaml: tasks must hold a mapping"),
        (PROFILE.partition("tasks:")[0] + "tasks:", "own.yaml: tasks must hold a mapping"),
        (PROFILE.partition("study:")[0] + "study: all", "own.yaml: study must hold a mapping"),
    ],
)
def test_broken_files(write, text: str, expected: str) -> None:
    write(text=text)
    assert expected in _refused()


def test_a_missing_value_is_named(write) -> None:
    write("teacher_epochs: 2\n", "")
    assert profiles.load("own", task="rte").teacher_epochs == 5
    with pytest.raises(InputError, match="'own' gives no value for teacher_epochs; add it to own.yaml"):
        profiles.load("own", task="sst2")


@pytest.mark.parametrize(
    "wrong",
    [
        {"pruning_amounts": [0.1, 1.2]},
        {"pruning_amounts": [-0.1]},
        {"pruning_amounts": [1]},
        {"recovery_amounts": [float("nan")]},
        {"batch_size": 0},
        {"teacher_epochs": -1},
        {"max_length": 0},
        {"threads": 0},
        {"weight_decay": -0.5},
        {"teacher_learning_rate": float("inf")},
        {"temperature": 0},
        {"warmup_fraction": 1.5},
        {"precision": "float16"},
        {"student_shape": {"hidden_size": 0}},
        {"student_shape": {"num_hidden_layers": 2.0}},
        {"student_shape": {"hidden_dropout_prob": 1.0}},
        {"student_shape": {"attention_probs_dropout_prob": -0.1}},
        {"language_model_shape": {"initializer_range": float("nan")}},
        {"language_model_shape": {"initializer_range": 1}},
        {"language_model_shape": {"initializer_range": 0.0}},
        {"pretraining_masked_share": -0.1},
        {"vocabulary_size": 3},
    ],
    ids=str,
)
def test_values_outside_their_range(write, wrong: dict[str, object]) -> None:
    assert _refused(**wrong).startswith(next(iter(wrong)))
    with pytest.raises(InputError, match="seed must be a number of at least 0, not -1"):
        profiles.load("own", task="rte", seed=-1)


@given(
    some.dictionaries(
        some.sampled_from(["hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"]),
        some.floats(0, 1, exclude_min=True, exclude_max=True),
    )
)
def test_shapes_take_shares_and_whole_sizes(shares: dict[str, float]) -> None:
    shape = {"hidden_size": 8, "type_vocab_size": 2} | shares
    recipe = profiles.load("mini", task="rte", student_shape=shape, language_model_shape=shape)
    assert recipe.student_shape == recipe.language_model_shape == shape
    # what is known of a shape is what the library knows: a name of ours alone would be taken without a word
    assert set(profiles.checks.SHAPE) <= set(BertConfig().to_dict())
    config = BertConfig(**shape)
    assert all(getattr(config, name) == value for name, value in shape.items())


@given(some.lists(some.integers(0, 9999).map(lambda n: n / 10_000), max_size=4, unique=True))
def test_amounts_from_0_to_below_1_are_taken(amounts: list[float]) -> None:
    assert profiles.load("mini", task="rte", pruning_amounts=amounts).pruning_amounts == amounts


def test_amounts_that_would_make_arms_of_one_name() -> None:
    with pytest.raises(InputError, match=r"pruning_amounts names an amount twice: \[0.2, 0.2\]"):
        profiles.load("mini", task="rte", pruning_amounts=[0.2, 0.2])
    with pytest.raises(InputError, match="recovery_amounts: give amounts with four digits at most"):
        profiles.load("mini", task="rte", recovery_amounts=[0.00001])


def test_a_run_departs_from_its_profile_by_settings_or_by_the_kind_of_its_data() -> None:
    def departs(profile: str, **changes: object) -> bool:
        return profiles.departs(profiles.load(profile, task="sst2", seed=1, **changes))

    assert not departs("mini") and not departs("minilm") and not departs("minilm", data="../a/folder", nli="../b")
    assert departs("mini", temperature=2.0) and departs("minilm", pruning_amounts=[0.2])
    assert departs("mini", data="../a/folder") and departs("minilm", data="generated")
    assert departs("mini", text="../a/folder") and not departs("minilm", text="../a/folder")
    assert departs("minilm_comparisons", text="generated") and departs("minilm", text="generated"), "another kind"
    assert not departs("mini", teacher_outputs_gb=99.0), "a bound changes nothing"


def test_the_task_names_are_those_of_the_loader() -> None:
    assert list(labels.TASKS) == list(tasks.TASKS)


def test_a_profile_is_read_without_running_anything_in_it(write, tmp_path: Path) -> None:
    write(text=f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{tmp_path}/ran']]")
    assert "is not valid YAML" in _refused()
    assert not (tmp_path / "ran").exists()
