"""The stage `weights` fetches what Keras names, from a server on loopback, and says what failed."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from flowers17.artifacts import Store
from flowers17.backbones.facts import known_facts
from flowers17.errors import ChecksumMismatch, WeightsMissing
from flowers17.stages import ensure
from tasks import weights

CONTENT = b"weights of a network" * 1000


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/weights.h5" else 404)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


def _published(monkeypatch: pytest.MonkeyPatch, url: str, digest: str | None) -> None:
    facts = replace(known_facts()["convnexttiny"], url=url, digest=digest)
    monkeypatch.setitem(known_facts(), "convnexttiny", facts)


@pytest.mark.parametrize("kind", ["sha256", "md5", None])
def test_download_is_checked_by_the_digest_that_keras_gives(
    kind: str | None, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.new(kind, CONTENT).hexdigest() if kind else None
    _published(monkeypatch, f"{server}/weights.h5", digest)
    counts: list[int] = []
    reference = ensure(
        weights.stage("convnexttiny"),
        {},
        Store(tmp_path),
        progress=lambda n_done, *_: counts.append(n_done),
    ).reference
    artifact = Store(tmp_path).open(reference)
    assert artifact.file("convnext_tiny_notop.h5").read_bytes() == CONTENT
    assert counts[-1] == len(CONTENT)


def test_other_bytes_than_keras_publishes_are_refused(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _published(monkeypatch, f"{server}/weights.h5", "0" * 64)
    with pytest.raises(ChecksumMismatch, match="expected sha256 000000000000…, got"):
        ensure(weights.stage("convnexttiny"), {}, Store(tmp_path))


def test_without_the_file_it_says_how_to_provide_it(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _published(monkeypatch, f"{server}/other.h5", None)
    with pytest.raises(WeightsMissing, match=r"Put convnexttiny_notop.weights.h5 into the folder"):
        ensure(weights.stage("convnexttiny"), {}, Store(tmp_path))


def test_preset_that_cannot_be_fetched_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("keras_hub")
    with pytest.raises(WeightsMissing, match=r"hub:no_such_preset: expected a preset .* put the"):
        ensure(weights.stage("hub:no_such_preset"), {}, Store(tmp_path))
    source = tmp_path / "source"
    _small_preset(source)
    reference = ensure(weights.stage(f"hub:{source}"), {}, Store(tmp_path)).reference
    files = Store(tmp_path).open(reference).manifest["files"]
    assert {"config.json", "model.weights.h5"} <= set(files)


def _small_preset(folder: Path) -> None:
    import keras_hub

    keras_hub.models.ViTBackbone((32, 32, 3), 8, 1, 2, 16, 32).save_to_preset(str(folder))
