"""The command line: exit codes, one line for each error, kernels for throwaway notebooks, status, clean, report."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import fake_records
import nbformat
import pytest
import throwaway
from PIL import Image

from helpers import artifacts, profiles, records
from helpers.artifacts import Store
from helpers.environment import RunError
from helpers.study import commands, grid, jobs, planning

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the real profiles, and with its own notebooks, results and artifacts."""
    return throwaway.house(tmp_path, monkeypatch, "01_first")


def store(house: Path, study_records: list[dict]) -> None:
    for record in study_records:
        records.write(record, house / "results" / record["profile"] / "records")


def line(capsys: pytest.CaptureFixture) -> str:
    """Return the one line on stderr."""
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert said.startswith("error: ")
    return said.removeprefix("error: ").rstrip()


# wrong input: exit code 2, one line


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "run --profile mimi",
            f"There is no profile 'mimi'; the profiles in params/ are {', '.join(profiles.names())}.",
        ),
        ("run --tasks sst2,sts-b", "There is no task 'sts-b'; known are cola, rte, stsb, qnli, sst2, mrpc, qqp, mnli."),
        ("run --tasks ,", "There is no task to run; name one at least."),
        ("run --notebooks 99", "There is no notebook '99'; there are 01_first."),
        ("run --seeds 0,one", "--seeds takes whole numbers from 0, with commas, not 'one'."),
        ("run -p temprature 2", "There is no parameter 'temprature' to set"),
        ("run -p temperature [1", "-p temperature is not valid YAML: while parsing"),
        ("run -p data !!python/name:os.system x", "unrecognized arguments: x"),
        ("run -p temperature !!python/name:os.system", "could not determine a constructor"),
        ("run -p pruning_amounts [-0.1]", "from 0 up to below 1, not -0.1."),
        ("run -p temperature", "argument -p: expected 2 arguments; see python -m helpers.study --help."),
        ("run --data ../nowhere", "The data folder ../nowhere does not exist"),
        ("run --data generated -p data generated", "data is given twice, as --data and as -p data; give it once."),
        ("run --worker 2", "unrecognized arguments: --worker 2; see python -m helpers.study --help."),
        ("run --workers two", "argument --workers: invalid int value: 'two'"),
        ("run --workers 0", "The number of workers must be at least 1, not 0."),
        ("fly", "invalid choice: 'fly'"),
        ("", "the following arguments are required: command"),
    ],
)
def test_wrong_input(command: str, expected: str, capsys: pytest.CaptureFixture, house: Path) -> None:
    assert commands.main(command.split()) == 2
    assert expected in line(capsys)
    assert not (house / "artifacts").exists(), "nothing was begun"


def test_a_grid_without_notebooks(house: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.rmtree(house / "notebooks")
    assert commands.main(["run"]) == 2
    assert line(capsys).startswith("There are no notebooks in ")


def test_a_full_disk_is_a_failed_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    assert commands.main(["run"]) == 1
    assert "free some space or set STUDY_ARTIFACTS to another folder." in line(capsys)


@pytest.mark.parametrize(
    ("reasons", "code"),
    [
        ({"cola": "InputError: The data are wrong."}, 2),
        ({"cola": "RunError: The teacher is at its floor."}, 1),
        ({"cola": "InputError: The data are wrong.", "rte": "RunError: The teacher is at its floor."}, 1),
        ({"cola": "InputError: a.", "rte": "InputError: b."}, 2),
    ],
)
def test_failed_runs(
    reasons: dict[str, str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(grid, "execute", lambda job: reasons.get(job.task, ""))
    assert commands.main(["run", "--tasks", "cola,rte,sst2", "--seeds", "0"]) == code
    said = capsys.readouterr()
    told = [f"error: 01_first {task} seed 0: {reason}" for task, reason in reasons.items()]
    assert sorted(said.err.splitlines()) == sorted(told)
    assert "Table 1" not in said.out


def test_an_interrupted_study(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(grid, "run", interrupt)
    assert commands.main(["run", "--tasks", "sst2"]) == 1
    assert capsys.readouterr().err == "Interrupted; the same command goes on where this one stopped.\n"


def test_the_command_itself_has_the_exit_code(tmp_path: Path) -> None:
    """As a process, with the real notebooks: no traceback, no warning, one line."""
    command = [sys.executable, "-m", "helpers.study", "run", "--tasks", "sst-2"]
    surroundings = os.environ | {"STUDY_ARTIFACTS": str(tmp_path / "artifacts")}
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("error: There is no task 'sst-2'; known are cola, rte, stsb, qnli, sst2, mrpc, qqp, mnli.\n")


# real kernels

FAIL = """\
import os, signal
class InputError(ValueError): pass
if task == "cola":
    raise InputError("The data are\\nwrong.")
if task == "rte":
    os.kill(os.getpid(), signal.SIGKILL)"""


def test_a_study_of_throwaway_notebooks(house: Path, capfd: pytest.CaptureFixture) -> None:
    """One failing run, one with a killed kernel, one that ends: the others go on, and the same command goes on too."""
    throwaway.write(house / "notebooks", "01_first", FAIL, throwaway.TELL, required=True)
    throwaway.write(house / "notebooks", "03_second", "from pathlib import Path\nPath(f'second.{task}').touch()")
    command = "run --tasks cola,rte,sst2 --seeds 3 --notebooks 01,03 --workers 2 -p temperature 2.5 -p batch_size 8"
    assert commands.main(command.split()) == 1
    out, err = capfd.readouterr()
    folder = house / "notebooks"
    assert sorted(p.name for p in folder.iterdir() if p.suffix != ".ipynb") == ["second.sst2", "sst2.3.json"]
    assert json.loads((folder / "sst2.3.json").read_text()) == {
        "profile": "mini",
        "task": "sst2",
        "seed": 3,
        "data": "generated",
        "text": "generated",
        "temperature": 2.5,
        "overrides": {"batch_size": 8},
    }
    assert sorted(err.splitlines()) == [
        "error: 01_first cola seed 3: InputError: The data are wrong. (see 01_first.cola.seed3.ipynb in "
        "artifacts/runs)",
        "error: 01_first rte seed 3: its process was killed, as happens when memory runs out; the same command goes on "
        "from there.",
    ]
    assert "03_second cola seed 3: left out" in out
    # what is remembered: the executed notebook of each, and a note of what ended well
    runs = house / "artifacts" / "runs" / "mini"
    assert {p.name for p in runs.glob("*.json")} == {"01_first.sst2.seed3.json", "03_second.sst2.seed3.json"}
    executed = nbformat.read(runs / "01_first.sst2.seed3.ipynb", as_version=4)
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
    # the same command runs what failed, and only that
    jobs, _ = planning.plan(
        "mini", tasks=["cola", "rte", "sst2"], seeds=[3], parameters={"temperature": 2.5, "batch_size": 8}
    )
    assert [str(job) for job in jobs if job.done()] == ["01_first sst2 seed 3", "03_second sst2 seed 3"]
    assert jobs[2].remembered()["seconds"] > 0


def test_a_study_ends_with_its_tables(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    store(house, fake_records.study(seeds=(0, 1)))
    for file in ("results/mini/table1.md", "figures/mini/figure1.svg", "figures/mini/figure1.png"):
        records.write_text(house / file, "<svg/>")
    monkeypatch.setattr(grid, "execute", lambda job: "")
    published = []
    monkeypatch.setattr(commands, "publish", published.append)
    assert commands.main(["run"]) == 0
    assert published == [profiles.ROOT]
    out, err = capsys.readouterr()
    assert err == ""
    first, second = out.index("Table 1: size and score"), out.index("Table 2: seconds")
    assert first < out.index("| distilled student") < second < out.rindex("BERT-base shape")
    assert "*inside noise*" in out and "Made by `make study" in out, "what stands under the tables is printed, too"
    assert "Not of this run, in these tables: seeds 1, which were published or made before.\n" in out
    files = "\nresults/mini: report.html, table1.md\nfigures/mini: figure1.png, figure1.svg\n"
    assert f"{files}results/mini/records: what all of these are made from, README.md's numbers too\n" in out
    assert out.rstrip().endswith("/artifacts/runs/mini: the executed notebooks")
    assert out.count("done in 0 s") == len(profiles.settings("mini")["study"]["tasks"])


def test_one_notebook_alone_ends_with_what_there_is(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    store(house, [fake_records.make("01_distillation", "sst2", 0)])
    monkeypatch.setattr(grid, "execute", lambda job: "")
    monkeypatch.setattr(commands, "publish", lambda root: [])
    assert commands.main(["run", "--tasks", "sst2"]) == 0
    told = capsys.readouterr().out
    assert "Table 1: size and score" in told and "Table 2" not in told, "nothing was timed"


RATE = {"teacher_learning_rate": 0.002}


def test_a_variant_ends_with_its_own_tables(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    store(house, fake_records.study(tasks=("sst2",), seeds=(0, 1)))
    (book,) = house.glob("notebooks/01_first.ipynb")
    book.rename(book.with_name("01_distillation.ipynb"))
    made, other = (fake_records.make("01_distillation", "sst2", seed) for seed in (0, 1))
    monkeypatch.setattr(grid, "execute", lambda job: str(records.write(made, job.records))[:0])
    monkeypatch.setattr(commands, "publish", lambda root: pytest.fail("only the profile's settings are published"))
    arguments = ["run", "--tasks", "sst2", "--seeds", "0", "--notebooks", "01", "-p", "teacher_learning_rate", "0.002"]
    records.write(other, planning.plan("mini", tasks=["sst2"], seeds=[0], parameters=RATE)[0][0].records)
    assert commands.main(arguments) == 0
    out = capsys.readouterr().out
    table = out[out.index("Table 1: size and score") : out.index("Not the profile's settings: the records are in ")]
    assert "| distilled student" in table and "Profile `mini`, seed 0;" in table, (
        "another run's seed is no part of these"
    )
    assert f"Made by `python -m helpers.study {' '.join(arguments)}`" in table
    assert "Table 2" not in out and out.rstrip().endswith(", not in results/.")
    monkeypatch.setattr(grid, "execute", lambda job: "RunError: broken")
    assert commands.main(arguments) == 1
    assert "Table 1" not in capsys.readouterr().out, "what an earlier run made is not this one's"


# status, clean, report


@artifacts.step(version=1)
def written_for_study(folder: Path, *, text: str, after: Path | None = None) -> None:
    (folder / "logits.npy").write_text(text * 1000)


def test_status_and_clean(house: Path, capsys: pytest.CaptureFixture) -> None:
    kept = Store()
    base = artifacts.node(written_for_study, text="base")
    used = artifacts.node(written_for_study, text="used", after=base)
    loose = artifacts.node(written_for_study, text="loose")
    for each in (used, loose):
        kept.path(each)
    assert commands.main(["status"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("MB in 3 artifacts under artifacts/\n")
    names, row, _ = said.splitlines()
    assert "      3  " in row and row.endswith("  written_for_study")
    assert [names.index(name) for name in ("newest", "step")] == [row.index("20"), row.index("written_for_study")]
    assert commands.main(["status", "--each"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {each.key}\n" in said for each in (base, used, loose))
    record = fake_records.make("01_distillation", "sst2", 0) | {"created": "2099-01-01T00:00:00Z"}
    for arm in record["arms"]:
        if arm["predictions"]:
            arm["predictions"]["artifact"] = used.key
    store(house, [record])
    assert commands.main(["clean"]) == 0
    assert "MB freed; what records refer to, and what is newer than all, was kept." in capsys.readouterr().out
    assert [kept.has(each) for each in (base, used, loose)] == [True, True, False]
    assert commands.main(["clean"]) == 0
    assert capsys.readouterr().out.startswith("0.0 MB freed")


def test_clean_keeps_the_models_of_a_study_that_was_stopped(house: Path, capsys: pytest.CaptureFixture) -> None:
    store(house, [fake_records.make("01_distillation", "sst2", 0)])  # older than the model
    newer = artifacts.node(written_for_study, text="newer")
    Store().path(newer)
    assert commands.main(["clean"]) == 0
    assert Store().has(newer)


def test_clean_removes_nothing_while_a_record_cannot_be_read(house: Path, capsys: pytest.CaptureFixture) -> None:
    loose = artifacts.node(written_for_study, text="loose")
    Store().path(loose)
    records.write_text(house / "results" / "minilm" / "records" / "01_distillation.sst2.seed0.json", "{")
    assert commands.main(["clean"]) == 1
    assert "is not valid JSON" in line(capsys)
    assert Store().has(loose)


def test_an_empty_store(capsys: pytest.CaptureFixture) -> None:
    assert commands.main(["status"]) == 0
    assert capsys.readouterr().out == "      0.0 MB in 0 artifacts under artifacts/\n"
    assert commands.main(["clean"]) == 0


def readme(house: Path) -> None:
    markers = [f"<!-- {name}:{end} -->" for name in ("results", "notebooks") for end in ("begin", "end")]
    (house / "README.md").write_text("\n".join(["# Title", *markers, "The end."]) + "\n", encoding="utf-8")
    shutil.copy(ROOT / "CITATION.cff", house)


def test_report_writes_and_checks(house: Path, capsys: pytest.CaptureFixture) -> None:
    readme(house)
    assert commands.main(["report"]) == 2
    assert line(capsys).startswith("There is no record in ")
    store(house, fake_records.study(tasks=("sst2",)))
    assert commands.main(["report", "--check"]) == 1
    said = line(capsys)
    assert said.startswith("These are not what the records say; run `make report`: ")
    assert all(name in said for name in ("results/headline.json", "results/mini/table1.md", "README.md"))
    assert not (house / "results" / "headline.json").exists()
    assert commands.main(["report"]) == 0
    out = capsys.readouterr().out
    assert " written\n" in out and out.rstrip().endswith("results/mini/report.html")
    assert "Profile mini" in (house / "results" / "mini" / "report.html").read_text(encoding="utf-8")
    assert commands.main(["report", "--check"]) == 0
    assert capsys.readouterr().out == "everything is up to date with the records\n"
    assert commands.main(["report", "--chek"]) == 2
    assert "unrecognized arguments: --chek" in line(capsys)


def test_a_killed_runner_leaves_no_note(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Papermill itself killed: said so, and the run counts as not done."""
    (job,), _ = planning.plan("mini", tasks=["sst2"])
    ended = subprocess.CompletedProcess([], -signal.SIGKILL, "", "Input Notebook:  01_first.ipynb\n")
    monkeypatch.setattr(grid.execute.__globals__["subprocess"], "run", lambda *_, **__: ended)
    assert grid.execute(job).startswith("its process was killed")
    assert not job.note.exists()
    assert not job.done()


def test_a_kernel_that_never_began_is_started_once_more(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    throwaway.write(house / "notebooks", "01_first", "1 + 1")
    (job,) = planning.plan("mini", tasks=["sst2"], notebooks=["01"])[0]
    run, calls = subprocess.run, []
    lost = subprocess.CompletedProcess([], 1, "", "RuntimeError: Kernel died before replying to kernel_info\n")

    def first_lost(*arguments: object, **options: object) -> subprocess.CompletedProcess:
        calls.append(arguments)
        return lost if len(calls) == 1 else run(*arguments, **options)

    monkeypatch.setattr(grid.execute.__globals__["subprocess"], "run", first_lost)
    assert grid.execute(job) == ""
    assert len(calls) == 2
    monkeypatch.setattr(grid.execute.__globals__["subprocess"], "run", lambda *_, **__: calls.append(1) or lost)
    assert "Kernel died before replying" in grid.execute(job)
    assert len(calls) == 4, "not forever"


def test_outputs_are_stored_with_light_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import io; from PIL import Image; from IPython.display import display; stream = io.BytesIO()"
    code += "\nImage.linear_gradient('L').convert('RGBA').save(stream, 'png')"
    code += "\ndisplay({'image/png': stream.getvalue()}, raw=True); print(task)"
    path = throwaway.write(tmp_path, "01_shows", code)
    monkeypatch.setenv("STUDY_PROGRESS", "0")  # as it was, afterwards
    jobs.refresh(path)
    shown = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    assert shown[-1]["text"] == "sst2\n"
    picture = Image.open(io.BytesIO(base64.b64decode(shown[0]["data"]["image/png"])))
    assert (picture.mode, picture.size) == ("P", (256, 256))
    assert picture.convert("L").getpixel((0, 200)) == pytest.approx(200, abs=2), "the same picture"
    throwaway.write(tmp_path, "02_breaks", "raise ValueError('broken here')")
    with pytest.raises(RunError, match="02_breaks.ipynb stopped with ValueError: broken here"):
        jobs.refresh(tmp_path / "02_breaks.ipynb")
