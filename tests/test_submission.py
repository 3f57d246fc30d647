"""The leaderboard's files: GLUE's test rows in, a file of the leaderboard's form out."""

from pathlib import Path

import pytest
import throwaway
import tiny
from datasets import Dataset

from helpers import mini_glue, tasks
from helpers.environment import InputError
from helpers.study import commands
from helpers.study.submission import submit


@pytest.fixture
def glue(tmp_path: Path) -> Path:
    """A folder of GLUE with 9 test rows, in another order than their indexes, without labels."""
    folder = tmp_path / "glue" / "rte"
    folder.mkdir(parents=True)
    rows = mini_glue.load("rte", seed=0)
    for split, some in (
        ("train", rows["train"].select(range(60))),
        ("validation", rows["validation"].select(range(30))),
    ):
        some.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    some = rows["validation"].select(range(30, 39)).remove_columns("label")
    columns = {column: some[column][:] for column in some.column_names if column != "idx"}
    columns |= {"label": [-1] * 9, "idx": list(range(8, -1, -1))}
    Dataset.from_dict(columns).to_parquet(folder / "test-00000-of-00001.parquet")
    return tmp_path / "glue"


def test_rows_come_with_their_indexes_and_without_an_answer(glue: Path) -> None:
    found = tasks.load_test("rte", data=str(glue))
    assert list(found) == ["RTE.tsv"]
    rows = found["RTE.tsv"]
    assert rows["idx"][:] == list(range(8, -1, -1)) and set(rows["label"][:]) == {0}
    assert rows.column_names == ["sentence1", "sentence2", "idx", "label"]


def test_rows_without_indexes_are_numbered(glue: Path) -> None:
    file = glue / "rte" / "test-00000-of-00001.parquet"
    Dataset.from_parquet(str(file), cache_dir=str(glue / "cache")).remove_columns(["idx", "label"]).to_parquet(file)
    assert tasks.load_test("rte", data=str(glue))["RTE.tsv"]["idx"][:] == list(range(9))


def test_what_has_no_test_split_is_named(glue: Path) -> None:
    with pytest.raises(InputError, match="There is no task 'wnli'"):
        tasks.load_test("wnli", data=str(glue))
    with pytest.raises(InputError, match="generated rte has no test split; give --data"):
        tasks.load_test("rte", data="generated")
    (glue / "rte" / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"no file test-\*\.parquet, whose rows"):
        tasks.load_test("rte", data=str(glue))
    Dataset.from_dict({"sentence1": ["a"]}).to_parquet(glue / "rte" / "test-00000-of-00001.parquet")
    with pytest.raises(InputError, match="rte/test has no column 'sentence2'"):
        tasks.load_test("rte", data=str(glue))


@pytest.mark.parametrize(
    ("task", "answers", "lines"),
    [
        ("cola", [1, 0], ["0\t1", "1\t0"]),
        ("qnli", [0, 1], ["0\tentailment", "1\tnot_entailment"]),
        ("mnli", [2, 1], ["0\tcontradiction", "1\tneutral"]),
        ("stsb", [5.3, -0.2, 2.34567], ["0\t5.000", "1\t0.000", "2\t2.346"]),
    ],
)
def test_answers_are_written_as_the_leaderboard_reads_them(task: str, answers: list, lines: list[str]) -> None:
    text = tasks.to_tsv(task, answers, range(len(answers)))
    assert text.splitlines() == ["index\tprediction", *lines] and text.endswith("\n")
    with pytest.raises(InputError, match="answers for 9 rows"):
        tasks.to_tsv(task, answers, range(9))


def test_a_model_answers_every_test_row(glue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.few_rows(monkeypatch)
    throwaway.house(tmp_path, monkeypatch, "01_first")
    settings = {"seed": 0, "changes": {"data": str(glue), "pretraining_steps": 4, **tiny.RECIPE}}
    for model in ("student", "int8"):
        (file,) = submit("mini", wanted=["rte"], model=model, **settings)
        assert file.name == "RTE.tsv" and file.parent.name == f"{model}.seed0"
        head, *lines = file.read_text(encoding="utf-8").splitlines()
        assert head == "index\tprediction" and [line.split("\t")[0] for line in lines] == [
            str(i) for i in range(8, -1, -1)
        ]
        assert {line.split("\t")[1] for line in lines} <= {"entailment", "not_entailment"}
    with pytest.raises(InputError, match="no model 'best' to submit; known are teacher"):
        submit("mini", wanted=["rte"], model="best", **settings)


def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    throwaway.house(tmp_path, monkeypatch, "01_first")
    assert commands.main(["submit", "--profile", "mini", "--tasks", "rte"]) == 2
    assert (
        capsys.readouterr().err
        == "error: The generated rte has no test split; give --data a folder or hub id of GLUE.\n"
    )
