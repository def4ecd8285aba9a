"""Downloads that resume where they broke, verify what came, and appear whole or not at all."""

import json
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from flowers17.digests import digest_difference
from flowers17.errors import ChecksumMismatch, DownloadFailed
from flowers17.files import flush, open_regular, read_regular, replacing

Progress = Callable[[int, int | None], None]

MAX_BYTES = 2**30
MAX_REDIRECTS = 5
_MAX_NOTE_BYTES = 2**16
_CHUNK = 2**16
_NUMBER = re.compile("[0-9]{1,19}")
_RANGE = re.compile(rf"bytes (?:({_NUMBER.pattern})-[0-9]*|\*)/({_NUMBER.pattern}|\*)")
_BUSY = frozenset({408, 425, 429})


@dataclass(frozen=True)
class _Part:
    """An unfinished download, and the note beside it with its URL and validator."""

    path: Path

    @property
    def note(self) -> Path:
        """Its URL and validator."""
        return self.path.with_name(f"{self.path.name}.json")

    def resumable_bytes(self, url: str, *, checked_at_end: bool) -> tuple[int, str | None]:
        """Number of bytes that may be kept, and the validator of their file."""
        try:
            with os.fdopen(open_regular(self.path), "rb") as stream:
                status = os.fstat(stream.fileno())
            origin = json.loads(read_regular(self.note, at_most=_MAX_NOTE_BYTES))
            validator = origin["validator"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return 0, None
        is_same = origin["url"] == url and (isinstance(validator, str) or checked_at_end)
        is_ours = status.st_nlink == 1  # else it is a file of somebody's, linked here
        return (status.st_size, validator) if is_same and is_ours else (0, None)

    def describe(self, url: str, validator: str | None) -> None:
        """Write the note, as a new file that takes the place of any other."""
        with replacing(self.note) as stream:
            stream.write(json.dumps({"url": url, "validator": validator}).encode())

    def opened(self, *, resumed: bool) -> IO[bytes]:
        """Return the part opened to be written to, at its end or anew, never through a link."""
        if not resumed:
            self.path.unlink(missing_ok=True)
        flags = os.O_WRONLY | (os.O_APPEND if resumed else os.O_CREAT | os.O_EXCL)
        return os.fdopen(open_regular(self.path, flags), "ab")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    progress: Progress | None = None,
    timeout: float = 60.0,
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Download a URL to a file; return its path.

    sha256, md5: in hexadecimal; a target that has them is left as it is, another is replaced.
    Without them, an existing target is left as it is.
    progress: called with bytes done and bytes in all, if known. timeout: seconds without an answer.
    Bytes arrive in `<target>.part` and stay there if the connection breaks; the next call asks for
    the rest, and starts anew if the file at the URL has changed since.
    Raises DownloadFailed, transient for time-outs, broken connections and busy or failing servers;
    ChecksumMismatch if what came is not what was expected (the part is removed).
    """
    digests = {"sha256": sha256, "md5": md5}
    if target.exists() and not digest_difference(target, digests):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(target.with_name(f"{target.name}.part"))
    report = progress or (lambda n_bytes, total: None)
    try:
        with httpx.Client(timeout=timeout) as client:
            is_complete = _fetch(client, url, part, any(digests.values()), report, max_bytes)
            if not is_complete:
                part.remove()
                _fetch(client, url, part, False, report, max_bytes)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise _failure(url, problem) from problem
    difference = digest_difference(part.path, digests)
    if difference:
        part.remove()
        raise ChecksumMismatch(f"{url}: {difference}; nothing was kept, run the same command again")
    flush(part.path)
    part.path.replace(target)
    part.note.unlink(missing_ok=True)
    flush(target.parent)
    return target


def _fetch(
    client: httpx.Client,
    url: str,
    part: _Part,
    checked_at_end: bool,
    progress: Progress,
    max_bytes: int,
) -> bool:
    """Add the missing bytes to the part; return False if the server has another file."""
    start, validator = part.resumable_bytes(url, checked_at_end=checked_at_end)
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator and not validator.startswith("W/"):
            headers["If-Range"] = validator
    with _response(client, url, headers) as response:
        first, total = _extent(response)
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return total == start and checked_at_end
        status = response.status_code
        if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            is_busy = status >= 500 or status in _BUSY
            advice = "try again later" if is_busy else "check the URL, or fetch the file by hand"
            raise DownloadFailed(
                f"{url}: expected the file, got status {status} {response.reason_phrase}; {advice}",
                transient=is_busy,
            )
        if status == httpx.codes.PARTIAL_CONTENT:
            changed = validator is not None and _validator(response) not in (validator, None)
            if first != start or changed:
                return False
        else:
            start = 0
        _refuse_size(url, total or 0, max_bytes)
        part.describe(url, _validator(response))
        with part.opened(resumed=bool(start)) as stream:
            n_received = start
            progress(n_received, total)
            for chunk in response.iter_raw(_CHUNK):
                n_received += len(chunk)
                _refuse_size(url, n_received, max_bytes)
                stream.write(chunk)
                progress(n_received, total)
        if total is not None and n_received != total:
            raise DownloadFailed(
                f"{url}: expected {total:,} bytes, got {n_received:,}; run the same command again",
                transient=True,
            )
    return True


@contextmanager
def _response(
    client: httpx.Client, url: str, headers: Mapping[str, str]
) -> Iterator[httpx.Response]:
    """Open a URL through its redirects; httpx would read the body of each into memory."""
    request = client.build_request("GET", url, headers=headers)
    for _ in range(MAX_REDIRECTS + 1):
        response = client.send(request, stream=True)
        try:
            if response.next_request is None:
                yield response
                return
            request = response.next_request
        finally:
            response.close()
    raise DownloadFailed(
        f"{url}: expected at most {MAX_REDIRECTS} redirects, got more; check the URL"
    )


def _validator(response: httpx.Response) -> str | None:
    """ETag or date that identifies a version of a file; None if the server sends neither."""
    return response.headers.get("etag") or response.headers.get("last-modified")


def _extent(response: httpx.Response) -> tuple[int | None, int | None]:
    """First byte of what a server sends, and size of the whole file; None where it does not say."""
    part = _RANGE.fullmatch(response.headers.get("content-range", ""))
    texts = part.groups() if part else (None, response.headers.get("content-length"))
    first, total = (int(text) if text and _NUMBER.fullmatch(text) else None for text in texts)
    return first, total


def _refuse_size(url: str, n_bytes: int, max_bytes: int) -> None:
    if n_bytes > max_bytes:
        raise DownloadFailed(
            f"{url}: expected at most {max_bytes:,} bytes, got more; check the URL"
        )


def _failure(url: str, problem: Exception) -> DownloadFailed:
    causes: list[BaseException] = [problem]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return DownloadFailed(
            f"{url}: expected a reachable host, got an unknown one; check the connection and the "
            "URL"
        )
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return DownloadFailed(f"{url}: expected a valid certificate, got another ({problem})")
    if isinstance(problem, httpx.TimeoutException):
        return DownloadFailed(
            f"{url}: expected an answer in time, got none; run the same command again",
            transient=True,
        )
    if isinstance(problem, httpx.TransportError) and not isinstance(
        problem, httpx.UnsupportedProtocol | httpx.ProxyError
    ):
        return DownloadFailed(
            f"{url}: the connection broke ({problem}); run the same command again to get the rest",
            transient=True,
        )
    return DownloadFailed(f"{url}: expected an http or https address that works, got {problem}")
