"""The second place for artifacts: what one machine built another one takes, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import types
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.artifacts import SHARED, Mirror, Store, node, step
from helpers.environment import InputError, RunError

BUILT: list[str] = []


@step(version=1)
def _first(folder: Path, *, word: str) -> None:
    BUILT.append(word)
    (folder / "deep").mkdir()
    (folder / "deep" / "word.txt").write_text(word)


@step(version=1)
def _second(folder: Path, *, start: Path) -> None:
    BUILT.append("second")
    (folder / "both.txt").write_text((start / "deep" / "word.txt").read_text() * 2)


@pytest.fixture(params=["folder", "bucket"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder, and a bucket of a server on this machine where what it needs is installed."""
    BUILT.clear()
    if request.param == "folder":
        place = f"file://{tmp_path}/shared"
        monkeypatch.setenv(SHARED, place)
        yield place
        return
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    filesystem = pytest.importorskip("s3fs").S3FileSystem
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    filesystem.clear_instance_cache()
    bucket = uuid.uuid4().hex  # what one server holds, the next one still has
    filesystem().mkdir(bucket)
    monkeypatch.setenv(SHARED, f"s3://{bucket}/all")
    yield f"s3://{bucket}/all"
    server.stop()
    filesystem.clear_instance_cache()


def machine(tmp_path: Path, name: str) -> Store:
    return Store(tmp_path / name)


def wanted(word: str = "a") -> tuple:
    first = node(_first, word=word)
    return first, node(_second, start=first)


def test_what_one_machine_built_another_takes(address: str, tmp_path: Path) -> None:
    first, second = wanted()
    here = machine(tmp_path, "here").path(second)
    assert BUILT == ["a", "second"]
    other = machine(tmp_path, "other")
    there = other.path(second)
    assert BUILT == ["a", "second"], "taken, not built"
    assert (there / "both.txt").read_text() == (here / "both.txt").read_text() == "aa"
    assert not (other.folder / first.key).exists(), "only what is asked for is copied"
    assert (other.path(first) / "deep" / "word.txt").read_text() == "a"
    assert BUILT == ["a", "second"]


def test_the_time_behind_a_result_is_known_where_only_the_result_is(address: str, tmp_path: Path) -> None:
    first, second = wanted()
    known = machine(tmp_path, "here")
    known.path(second)
    other = machine(tmp_path, "other")
    other.path(second)
    assert other.here().keys() == {second.key}
    assert other.manifests().keys() == {first.key, second.key}
    assert other.manifests()[first.key]["seconds"] == known.manifests()[first.key]["seconds"]
    assert other.clean(set()) > 0, "what is not here cannot be removed here"


def test_what_was_built_before_there_was_a_mirror_is_offered(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = wanted()
    monkeypatch.delenv(SHARED)
    machine(tmp_path, "here").path(first)
    monkeypatch.setenv(SHARED, address)
    machine(tmp_path, "here").path(first)
    machine(tmp_path, "other").path(first)
    assert BUILT == ["a"]


def test_half_a_result_is_none(address: str, tmp_path: Path) -> None:
    first, _ = wanted()
    Mirror(address).write(
        f"{first.key}/{hashlib.sha256(b'a').hexdigest()}", b"a"
    )  # a machine that was stopped before the manifest
    machine(tmp_path, "here").path(first)
    assert BUILT == ["a"]


@pytest.mark.parametrize("file", ["deep/word.txt", "manifest.json"])
def test_a_damaged_result_is_named_built_again_and_written_anew(address: str, tmp_path: Path, file: str) -> None:
    first, _ = wanted()
    machine(tmp_path, "here").path(first)
    stored = file if file == "manifest.json" else hashlib.sha256(b"a").hexdigest()
    Mirror(address).write(f"{first.key}/{stored}", b"x")
    with pytest.warns(UserWarning, match=f"{first.key} in .* is damaged .{file}"):
        machine(tmp_path, "other").path(first)
    assert BUILT == ["a", "a"]
    machine(tmp_path, "third").path(first)
    assert BUILT == ["a", "a"], "the third found the second's"


def test_no_file_is_written_outside_the_folder(address: str, tmp_path: Path) -> None:
    first, _ = wanted()
    machine(tmp_path, "here").path(first)
    name, mirror = f"{first.key}/manifest.json", Mirror(address)
    manifest = json.loads(mirror.read(name) or b"")
    checksum = hashlib.sha256(b"x").hexdigest()
    manifest["files"] = {"../../../out.txt": checksum}
    mirror.write(name, json.dumps(manifest).encode())
    mirror.write(f"{first.key}/{checksum}", b"x")
    with pytest.warns(UserWarning, match="out.txt"):
        machine(tmp_path, "other").path(first)
    assert not list(tmp_path.glob("out.txt")) and not list((tmp_path / "other").glob("out.txt"))


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    mirror = Mirror(f"file://{tmp_path}/shared")
    mirror.write("one", b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match="one could not be written at file://"):
        mirror.write("one", tmp_path / "folder")  # fails after the file there was opened
    assert mirror.read("one") == b"old"
    assert mirror.read("two") is None


def test_two_machines_that_built_the_same_do_not_mix_their_files(address: str, tmp_path: Path) -> None:
    first, _ = wanted()
    store, mirror = machine(tmp_path, "here"), Mirror(address)
    folder = store.path(first)
    shown = tmp_path / "copy" / folder.name  # another machine's, of other bits, whose manifest did not arrive yet
    (shown / "deep").mkdir(parents=True)
    (shown / "deep" / "word.txt").write_text("b")
    checksum = hashlib.sha256(b"b").hexdigest()
    mirror.write(f"{first.key}/{checksum}", shown / "deep" / "word.txt")
    assert (machine(tmp_path, "other").path(first) / "deep" / "word.txt").read_text() == "a"
    assert BUILT == ["a"]


def test_an_address_that_nobody_knows() -> None:
    with pytest.raises(InputError, match="The shared address 'nowhere://x' cannot be used"):
        Mirror("nowhere://x")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(SHARED, f"{tmp_path}/file")
    with pytest.raises(RunError, match="check the address and the network"):
        machine(tmp_path, "here").path(wanted("z")[0])


def test_the_readmes_code_for_colab_names_a_place_on_the_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (code,) = [each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "google.colab" in each]
    mounted = []
    colab = types.ModuleType("google.colab")
    colab.drive = types.SimpleNamespace(mount=mounted.append)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setenv(SHARED, "none yet")
    exec(code, {})
    assert os.environ[SHARED].startswith(f"{mounted[0]}/MyDrive/"), "what Colab keeps of a drive"
