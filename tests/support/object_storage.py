"""Object storage on loopback that speaks S3's protocol, in a process of its own (moto's server)."""

import os
import socket
import socketserver
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from tests.support.processes import environment, free_port

BUCKET = "flowers"


@dataclass
class ObjectStorage:
    """A server; `address` is that of a store in its bucket. log: a line for each request."""

    port: int
    log: Path
    prefix: str = "team/store"
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where the store lies."""
        return f"s3://{BUCKET}/{self.prefix}"

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self.port}"

    def requests(self, method: str = "", status: str = "") -> list[str]:
        """Return the requests so far as `METHOD /path`; of a method, and of an answer's status."""
        lines = self.log.read_text(errors="replace").splitlines()
        answers = [line.split('"')[1:3] for line in lines if '"' in line and "HTTP/1" in line]
        return [
            request.rpartition(" ")[0]
            for request, answer in answers
            if request.startswith(method) and answer.strip().startswith(status)
        ]

    def bucket(self) -> Any:
        """Return an fsspec file system on the server, to look at objects and to damage them."""
        import fsspec

        return fsspec.filesystem(
            "s3", endpoint_url=self.url, key="k", secret="s", skip_instance_cache=True,
            use_listings_cache=False,
        )  # fmt: skip

    def names(self) -> list[str]:
        """Return the names of the store's objects."""
        start = len(f"{BUCKET}/{self.prefix}/")
        return [name[start:] for name in self.bucket().find(f"{BUCKET}/{self.prefix}")]


@contextmanager
def serving(port: int, log: Path) -> Iterator[None]:
    """Run a server until the end; what it held is gone then."""
    with log.open("a") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=stream,
            env=environment(),
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/moto-api/data.json", trust_env=False)
                break
            except httpx.HTTPError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def forwarding(target: int, port: int = 0) -> Iterator[int]:
    """Pass connections to a port on to that of a server; at the end all are cut, and none is taken.

    port: 0 for a free one.
    """
    streams: list[socket.socket] = []

    def copied(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # cut
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    class Forwarding(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", target)) as server:
                streams.extend((self.request, server))
                answers = Thread(target=copied, args=(server, self.request))
                answers.start()
                copied(self.request, server)
                answers.join()

    class Forwarder(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Forwarder(("127.0.0.1", port), Forwarding) as forwarder:
        thread = Thread(target=forwarder.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield int(forwarder.server_address[1])
        finally:
            forwarder.shutdown()
            thread.join()
            for stream in streams:
                with suppress(OSError):
                    stream.shutdown(socket.SHUT_RDWR)


@contextmanager
def object_storage(folder: Path) -> Iterator[ObjectStorage]:
    """Run a server with an empty bucket; the environment leads s3fs to it. Skips without moto."""
    pytest.importorskip("moto", reason="needs moto (the extra dev)")
    pytest.importorskip("s3fs", reason="needs s3fs (the extra s3)")
    import s3fs

    # A client of this process that the storage before this one had would ask that one's address.
    s3fs.S3FileSystem.clear_instance_cache()
    port, log = free_port(), folder / "requests.log"
    storage = ObjectStorage(port, log)
    storage.variables = {
        "AWS_ENDPOINT_URL": storage.url,
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    with serving(port, log):
        storage.bucket().mkdir(BUCKET)
        yield storage
