"""The hub that KerasHub downloads its presets from, on loopback.

KerasHub asks kagglehub for its presets. With `KAGGLE_API_ENVIRONMENT=LOCALHOST` that asks
http://localhost, port 80; as a proxy for http, a server on any port takes these requests. For
`hf://` presets, huggingface_hub has an address to be set.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Hub:
    """What a hub serves: the files of one preset, whatever its name.

    breaks: names of files of which the first answer ends after half; spoilt: of which the digest is
    another's. requests: each one as its method, path and range, in order.
    """

    folder: Path
    url: str = ""
    breaks: set[str] = field(default_factory=set)
    spoilt: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        """Names of the files that were sent, each as often as it was."""
        paths = [path for method, path, _ in self.requests if method == "GET"]
        return [path.rpartition("/")[2] for path in paths]


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """Serve a preset's folder as Kaggle and as Hugging Face do."""
    hub = Hub(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Of kagglehub: the address of a preset's file."""
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._note()
            path = hub.folder / request.get("path", "")
            if "DownloadModelInstanceVersion" not in self.path or not path.is_file():
                return self._answer(404)
            handle = "/".join(str(request[part]) for part in ("ownerSlug", "instanceSlug"))
            return self._answer(302, {"Location": f"http://localhost/{handle}/{path.name}"})

        def do_HEAD(self) -> None:
            self._file(has_body=False)

        def do_GET(self) -> None:
            self._file(has_body=True)

        def _file(self, *, has_body: bool) -> None:
            self._note()
            name = urlsplit(self.path).path.rpartition("/")[2]
            if not (hub.folder / name).is_file():
                return self._answer(404, {"X-Error-Code": "EntryNotFound"})
            content = (hub.folder / name).read_bytes()
            start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
            told = b"other" if name in hub.spoilt else content
            headers = {
                "Accept-Ranges": "bytes",
                "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Repo-Commit": "0" * 40,
                "x-goog-hash": f"md5={base64.b64encode(hashlib.md5(told).digest()).decode()}",
            }
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            body = content[start:]
            if has_body and name in hub.breaks:
                hub.breaks.discard(name)
                self.close_connection = True
                return self._answer(200, headers, body[: len(body) // 2], length=len(body))
            return self._answer(206 if start else 200, headers, body, has_body=has_body)

        def _answer(
            self,
            status: int,
            headers: dict[str, str] | None = None,
            body: bytes = b"",
            *,
            has_body: bool = True,
            length: int | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body if has_body else b"")

        def _note(self) -> None:
            path = urlsplit(self.path).path
            hub.requests.append((self.command, path, self.headers.get("Range", "")))

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that left
        hub.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = Thread(target=http.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            http.shutdown()
            thread.join()
