"""A hub on this machine that answers as it is told to: well, slowly, wrongly or never."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch

__all__ = ["misbehaving_hub"]

COMMIT = "c" * 40


class Hub(http.server.ThreadingHTTPServer):
    """Has one model of two files."""

    manner = ""  # how it answers; well, if that is empty
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        weights = folder / "model.safetensors"
        folder.mkdir(parents=True)
        safetensors.torch.save_file({"weights": torch.arange(5000.0)}, weights)
        self.files = {"config.json": b'{"model_type": "bert"}', weights.name: weights.read_bytes()}
        self.checksum = hashlib.sha256(self.files[weights.name]).hexdigest()
        self.address = f"http://127.0.0.1:{self.server_port}"


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, _, file = self.path.partition("?")[0].partition(f"/resolve/{COMMIT}/")
        if self.server.manner == "no answer":
            time.sleep(120)
        elif self.server.manner == "an error":
            self._answer(503, b"busy")
        elif self.server.manner == "another page":
            self._answer(200, b"<html>Sign in to this network</html>", {"Content-Type": "text/html"})
        elif file:
            self._file(self.server.files[file])
        elif path.startswith("/api/"):
            listed = [
                {"type": "file", "path": name, "oid": "0" * 40, "size": len(content), "rfilename": name}
                for name, content in self.server.files.items()
            ]
            about = {"id": "some/model", "sha": COMMIT, "siblings": listed}
            body = listed if "/tree/" in path else about
            self._answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
        else:
            self._answer(404, b"{}")

    def _file(self, content: bytes) -> None:
        about = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if self.server.manner == "wrong bytes":
            content = bytes([content[0] ^ 1]) + content[1:]
        self._answer(200, content, about)

    def _answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.manner == "half an answer" and len(body) > 1000:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif self.server.manner == "few bytes a second" and len(body) > 1000:
            for start in range(0, len(body), 2000):
                self.wfile.write(body[start : start + 2000])
                time.sleep(0.3)
        else:
            self.wfile.write(body)


@contextmanager
def misbehaving_hub(folder: Path) -> Iterator[Hub]:
    """Run a hub whose `manner` may be changed."""
    with Hub(folder / "hub") as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
