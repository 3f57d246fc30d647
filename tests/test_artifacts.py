"""The artifact store: equal work has one key and is done once; a result is whole or not there, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as some
from safetensors import SafetensorError

from helpers import artifacts
from helpers.artifacts import MANIFEST, STEPS, Node, Store, digest, fingerprint, node, step
from helpers.artifacts.store import SPENT
from helpers.environment import InputError, RunError

BUILDS: list[str] = []


@dataclass(frozen=True)
class Rows:
    """Stands for data: known by its fingerprint alone."""

    fingerprint: str
    where: str = "here"


@dataclass(frozen=True)
class Options:
    rate: float
    words: tuple[str, ...] = ()


@step(version=1)
def _base(folder: Path, *, value: int = 0, data: Rows | None = None, options: Options | None = None) -> None:
    BUILDS.append("base")
    (folder / "value.txt").write_text(f"{value}")


@step(version=1)
def _next(folder: Path, *, start: Path, factor: int) -> None:
    BUILDS.append("next")
    (folder / "deep").mkdir()
    (folder / "deep" / "value.txt").write_text(str(factor * int((start / "value.txt").read_text())))


@step(version=1)
def _slow(folder: Path, *, start: Path | None = None) -> None:
    time.sleep(0.05)


@step(version=1)
def _failing(folder: Path, *, error: str) -> None:
    BUILDS.append("failing")
    (folder / "half.txt").write_text("half")
    raise ERRORS[error]


ERRORS = {
    "input": InputError("The rows are wrong."),
    "bug": RuntimeError("something else"),
    "network": ConnectionError(errno.ENETUNREACH, "no route"),
    "missing": FileNotFoundError(errno.ENOENT, "vocab.txt"),
    "full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "quota": OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    # as numpy, safetensors and torch put it when the file system fills up
    "numpy": OSError("600000 requested and 131056 written"),
    "safetensors": SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    "torch": RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
    "torch writer": RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    "tokenizers": Exception("No space left on device (os error 28)"),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    BUILDS.clear()
    return Store(tmp_path / "artifacts")


def _visible(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.glob("*") if not path.name.startswith("."))


def test_equal_work_has_an_equal_key() -> None:
    first = node(_next, start=node(_base, value=2), factor=3)
    second = node(_next, factor=3, start=node(_base, value=2))
    assert first is not second
    assert first.key == second.key
    assert first.key.startswith("_next-")
    assert node(_base, data=Rows("abc", "here")).key == node(_base, data=Rows("abc", "there")).key
    assert node(_base, options=Options(0.5, ("a",))).key == node(_base, options=Options(0.5, ("a",))).key


def test_the_key_is_the_same_in_every_process() -> None:
    # a salted hash would differ between processes; this number changes only with the way keys are made
    assert digest({"b": [1, 2.5, None, "ä"], "a": True}) == digest({"a": True, "b": [1, 2.5, None, "ä"]})
    assert digest({"b": [1, 2.5, None, "ä"], "a": True}) == "5d904a262b09cc32"


@pytest.mark.parametrize(
    "other",
    [
        lambda: node(_next, start=node(_base, value=2), factor=4),
        lambda: node(_next, start=node(_base, value=3), factor=3),
        lambda: node(_next, start=node(_base, value=2, data=Rows("abc")), factor=3),
        lambda: node(_next, start=node(_base, value=2, options=Options(0.5)), factor=3),
        lambda: node(_next, start=node(_base, value=2), factor=3.0),
        lambda: node(_next, start=node(_base, value=2), factor="3"),
    ],
    ids=["argument", "input", "data", "settings", "float", "text"],
)
def test_the_key_changes_with_all_that_goes_in(other) -> None:
    assert other().key != node(_next, start=node(_base, value=2), factor=3).key


def test_the_key_changes_with_data_settings_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert node(_base, data=Rows("abc")).key != node(_base, data=Rows("abd")).key
    assert node(_base, options=Options(0.5)).key != node(_base, options=Options(0.25)).key
    assert node(_base, options=Options(0.5)).key != node(_base, options=Options(0.5, ("a",))).key
    before, after_it = node(_base).key, node(_next, start=node(_base), factor=1).key
    monkeypatch.setattr(_base, "version", 2)
    assert node(_base).key != before
    assert node(_next, start=node(_base), factor=1).key != after_it, (
        "a new version of a step must remake what builds on it"
    )


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, JSON)
def test_different_values_have_different_digests(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(fingerprint(one)) == digest(fingerprint(other))) == same


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no fingerprint"):
        node(_base, value=object()).key  # noqa: B018
    with pytest.raises(TypeError, match="not declared with @step"):
        node(lambda folder: None)
    assert STEPS["_base"] is _base


def test_nothing_is_built_twice(store: Store) -> None:
    wanted = node(_next, start=node(_base, value=2), factor=3)
    assert not store.has(wanted)
    assert (store.path(wanted) / "deep" / "value.txt").read_text() == "6"
    assert BUILDS == ["base", "next"]
    store.path(node(_next, start=node(_base, value=2), factor=3))
    store.path(node(_next, start=node(_base, value=2), factor=5))
    Store(store.folder).path(wanted)  # as another process would
    assert BUILDS == ["base", "next", "next"]
    assert store.has(wanted)
    manifest = json.loads((store.path(wanted) / MANIFEST).read_text())
    assert manifest["inputs"] == [node(_base, value=2).key]
    assert manifest["step"] == "_next"
    assert manifest["files"] == {"deep/value.txt": artifacts.sha256_of_file(store.path(wanted) / "deep" / "value.txt")}
    assert store.checksum(wanted, "deep/value.txt") == manifest["files"]["deep/value.txt"]
    assert manifest["environment"]["versions"]["torch"]


def test_the_folder_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STUDY_ARTIFACTS", str(tmp_path / "elsewhere"))
    assert Store().folder == tmp_path / "elsewhere"
    monkeypatch.delenv("STUDY_ARTIFACTS")
    assert Store().folder == artifacts.store.ROOT / "artifacts"


def test_a_step_that_fails_leaves_nothing(store: Store) -> None:
    for _ in range(2):
        with pytest.raises(InputError, match="The rows are wrong"):
            store.path(node(_failing, error="input"))
    assert BUILDS == ["failing", "failing"]
    assert _visible(store) == []
    assert not store.has(node(_failing, error="input"))
    with pytest.raises(RuntimeError, match="something else") as caught:
        store.path(node(_failing, error="bug"))
    assert not isinstance(caught.value, RunError), "a bug must not be called a full disk"


@pytest.mark.parametrize("error", [name for name in ERRORS if name not in ("input", "bug", "network", "missing")])
def test_a_full_disk_is_one_line(store: Store, error: str) -> None:
    wanted = node(_failing, error=error)
    with pytest.raises(RunError) as caught:
        store.path(wanted)
    message = str(caught.value)
    assert "\n" not in message
    assert wanted.key in message
    assert str(store.folder) in message
    assert "free some space or set STUDY_ARTIFACTS" in message
    assert _visible(store) == []


def test_a_full_disk_in_an_input_names_the_input(store: Store) -> None:
    inner = node(_failing, error="full")
    with pytest.raises(RunError) as caught:
        store.path(node(_next, start=inner, factor=1))
    assert str(caught.value).count("could not be written") == 1
    assert inner.key in str(caught.value)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"could not be written under .*file/artifacts \(Not a directory\)"):
        Store(tmp_path / "file" / "artifacts").path(node(_base))


def test_a_read_only_folder(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    command = [sys.executable, "-c", READ_ONLY, str(locked)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=artifacts.store.ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "could not be written under" in done.stdout
    assert "(Permission denied); free some space or set STUDY_ARTIFACTS" in done.stdout
    assert done.stdout.count("\n") == 1
    assert list(locked.iterdir()) == []


READ_ONLY = """
import os, sys
from helpers.artifacts import Store, node, step
from helpers.environment import RunError
@step(version=1)
def some(folder): pass
os.chdir(sys.argv[1])
if os.geteuid() == 0:  # root may write anywhere: become nobody
    os.setuid(65534)
try:
    Store(".").path(node(some))
except RunError as error:
    print(error)
"""

SLOW = """
import os, sys, time
from pathlib import Path
from helpers.artifacts import Store, node, step
@step(version=1)
def slow(folder, *, wait):
    with open(Path(sys.argv[1]) / "builds", "a") as log:
        log.write(f"{os.getpid()} {sorted(p.name for p in folder.iterdir())}\\n")
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "step").write_text("100")
    (folder / "half.txt").write_text("half")
    (folder / "half").mkdir(exist_ok=True)
    (folder / "half" / "manifest.json").write_text("{}")
    (folder / "manifest.json").write_text("{}")
    until = time.monotonic() + 60
    while not (Path(sys.argv[1]) / "go").exists() and time.monotonic() < until:
        time.sleep(0.02)
    (folder / "half.txt").unlink(), (folder / "half" / "manifest.json").unlink(), (folder / "half").rmdir()
    (folder / "manifest.json").unlink()
    (folder / "result.txt").write_text("whole")
with open(Path(sys.argv[1]) / "came", "a") as log:
    log.write(f"{os.getpid()}\\n")
print(Store(Path(sys.argv[1]) / "artifacts").path(node(slow, wait=True)).name)
"""


def _start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SLOW), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=artifacts.store.ROOT,
    )


def _wait_for(path: Path, lines: int = 1) -> list[str]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if path.exists() and len(path.read_text().splitlines()) >= lines:
            return path.read_text().splitlines()
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written in time")


def test_two_processes_build_once(tmp_path: Path) -> None:
    processes = [_start(tmp_path) for _ in range(2)]
    _wait_for(tmp_path / "builds")
    _wait_for(tmp_path / "came", 2)
    time.sleep(0.3)  # a second build, were there one, would begin at once
    (tmp_path / "go").touch()
    names = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert len((tmp_path / "builds").read_text().splitlines()) == 1
    assert names[0] == names[1] != ""
    assert (tmp_path / "artifacts" / names[0] / "result.txt").read_text() == "whole"


def test_killed_in_the_middle(tmp_path: Path) -> None:
    process = _start(tmp_path)
    _wait_for(tmp_path / "builds")
    until = time.monotonic() + 60
    while not list(tmp_path.glob("artifacts/.building/*/manifest.json")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    kept = Store(tmp_path / "artifacts")
    assert _visible(kept) == []
    assert kept.manifests() == {}
    building = list((tmp_path / "artifacts" / ".building").iterdir())
    assert len(building) == 1
    assert (building[0] / "checkpoints" / "step").read_text() == "100"

    (building[0] / "checkpoints" / SPENT).write_text("1000.5")
    (tmp_path / "go").touch()
    name = _start(tmp_path).communicate(timeout=60)[0].strip()
    assert 1000.5 <= kept.manifests()[name]["seconds"] < 1100, "the seconds of the first go count"
    log = (tmp_path / "builds").read_text().splitlines()
    assert len(log) == 2
    assert log[1].endswith("['checkpoints']"), "of a stopped build only its checkpoints may be found again"
    final = tmp_path / "artifacts" / name
    assert sorted(path.name for path in final.rglob("*")) == [MANIFEST, "result.txt"]
    assert _visible(kept) == [name]
    assert json.loads((final / MANIFEST).read_text())["files"].keys() == {"result.txt"}


def _damage_byte(folder: Path) -> None:
    content = bytearray((folder / "value.txt").read_bytes())
    content[0] ^= 1
    (folder / "value.txt").write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_damage_byte, "value.txt"),
        (lambda folder: (folder / "value.txt").unlink(), MANIFEST),
        (lambda folder: (folder / MANIFEST).unlink(), MANIFEST),
        (lambda folder: (folder / MANIFEST).write_text('{"files": '), MANIFEST),
        (lambda folder: (folder / MANIFEST).write_text("[]"), MANIFEST),
    ],
    ids=["flipped bit", "file gone", "manifest gone", "manifest cut off", "manifest of another kind"],
)
def test_a_damaged_result_is_named_set_aside_and_rebuilt(store: Store, damage, named: str) -> None:
    wanted = node(_base, value=7)
    damage(store.path(wanted))
    later = Store(store.folder)
    assert later.clean({wanted.key}) == 0  # listing and cleaning do not stumble over it
    with pytest.warns(UserWarning, match=f"{wanted.key} was damaged .*{named}") as caught:
        folder = later.path(wanted)
    assert len(caught) == 1
    aside = list((store.folder / ".damaged").iterdir())
    assert [path.name.rpartition(".")[0] for path in aside] == [wanted.key]
    assert str(aside[0]) in str(caught[0].message)
    assert (folder / "value.txt").read_text() == "7"
    assert BUILDS == ["base", "base"]
    assert Store(store.folder).path(wanted) == folder
    assert BUILDS == ["base", "base"]


def test_clean_keeps_what_is_wanted_and_what_went_into_it(store: Store) -> None:
    inner, wanted = node(_base, value=2), node(_next, start=node(_base, value=2), factor=3)
    lost, child = node(_base, value=9), node(_next, start=node(_base, value=9), factor=3)
    for each in (wanted, child):
        store.path(each)
    sizes = {key: manifest["size_bytes"] for key, manifest in store.manifests().items()}
    assert sizes.keys() == {inner.key, wanted.key, lost.key, child.key}
    assert sizes[lost.key] == sum(f.stat().st_size for f in (store.folder / lost.key).iterdir())
    freed = store.clean({wanted.key, "predict-0000000000000000"})
    assert _visible(store) == sorted([inner.key, wanted.key])
    assert freed == sizes[lost.key] + sizes[child.key]
    assert store.clean({wanted.key}) == 0
    BUILDS.clear()
    store.path(child)
    assert BUILDS == ["base", "next"], "what was removed is built again, also in the same process"
    assert store.clean(set()) > 0
    assert _visible(store) == []


def test_clean_removes_what_was_set_aside_or_left_half_done_unless_someone_is_at_it(store: Store) -> None:
    for part in (".damaged/old-0123.99", ".building/left-0123", ".building/busy-0123"):
        (store.folder / part).mkdir(parents=True)
        (store.folder / part / "weights").write_bytes(b"12345")
    (store.folder / ".locks").mkdir()
    with FileLock(store.folder / ".locks" / "busy-0123.lock"):
        assert store.clean(set()) == 10
    assert [path.name for path in store.folder.glob(".[bd]*/*")] == ["busy-0123"]
    assert store.clean(set()) == 5


def test_an_error_that_is_not_about_the_disk_is_not_called_so(store: Store) -> None:
    with pytest.raises(ConnectionError, match="no route"):
        store.path(node(_failing, error="network"))
    with pytest.raises(FileNotFoundError, match="vocab"):
        store.path(node(_failing, error="missing"))


def test_the_time_of_building_and_waiting_is_counted_once(store: Store) -> None:
    began = time.monotonic()
    store.path(node(_slow, start=node(_slow)))
    spent = time.monotonic() - began
    assert 0.1 <= store.seconds <= spent
    before = store.seconds
    store.path(node(_slow, start=node(_slow)))
    assert store.seconds == before, "nothing to do, nothing to count"
    with pytest.raises(InputError):
        store.path(node(_failing, error="input"))
    store.path(node(_base, value=77))
    assert store.seconds < time.monotonic() - began


def test_a_node_is_a_promise(store: Store) -> None:
    promised = Node(_base, {"value": 1})
    assert promised.key == node(_base, value=1).key
    assert BUILDS == []
    assert store.manifests() == {}
