import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flowers17.data.download import download
from flowers17.errors import ChecksumMismatch, DownloadFailed

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Site:
    """A server on the loopback address, and how it behaves."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    break_after: int | None = None
    ignores_range: bool = False
    status: int = 200
    declares_length: bool = True
    location: str | None = None  # where it redirects to, with an endless body
    total: str | None = None  # the size of the whole that it claims for a part
    requests: list[dict[str, str]] = field(default_factory=list)
    n_bytes_sent: int = 0
    url: str = ""


def handler_of(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            site.requests.append(dict(self.headers))
            if site.location and self.path != "/end":
                self.send_response(302)
                self.send_header("Location", site.location)
                self.end_headers()
                with suppress(OSError):
                    while site.n_bytes_sent < 2**26:
                        self.wfile.write(CONTENT)
                        site.n_bytes_sent += len(CONTENT)
                return
            if site.status != 200:
                self.send_error(site.status)
                return
            start = 0
            requested = self.headers.get("Range")
            unchanged = self.headers.get("If-Range") in (None, site.etag)
            if requested and unchanged and not site.ignores_range:
                start = int(requested.removeprefix("bytes=").removesuffix("-"))
                if start >= len(site.content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(site.content)}")
                    self.end_headers()
                    return
            body = site.content[start:]
            self.send_response(206 if start else 200)
            if start:
                end, total = len(site.content) - 1, site.total or len(site.content)
                self.send_header("Content-Range", f"bytes {start}-{end}/{total}")
            if site.declares_length:
                self.send_header("Content-Length", str(len(body)))
            if site.etag:
                self.send_header("ETag", site.etag)
            self.end_headers()
            sent = body if site.break_after is None else body[: site.break_after]
            self.wfile.write(sent)
            site.n_bytes_sent += len(sent)

    return Handler


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    running = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(running))
    running.url = f"http://127.0.0.1:{server.server_address[1]}/flowers.tgz"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield running
    server.shutdown()
    thread.join()
    server.server_close()


def broken_download(site: Site, target: Path, n_bytes: int, *, sha256: str | None = None) -> None:
    site.break_after = n_bytes
    with pytest.raises(DownloadFailed) as failure:
        download(site.url, target, sha256=sha256)
    assert failure.value.transient
    site.break_after = None


def test_whole_file_arrives_and_nothing_else_stays(site: Site, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    target = tmp_path / "deep" / "flowers.tgz"
    result = download(
        site.url, target, sha256=SHA256, md5=MD5, progress=lambda *step: steps.append(step)
    )
    assert result == target
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["flowers.tgz"]
    assert steps[0] == (0, len(CONTENT))
    assert steps[-1] == (len(CONTENT), len(CONTENT))


def test_broken_download_resumes_and_fetches_only_the_rest(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "flowers.tgz"
    broken_download(site, target, 300_000)
    assert not target.exists()
    n_kept = (tmp_path / "flowers.tgz.part").stat().st_size
    assert n_kept > 0
    download(site.url, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert site.requests[-1]["Range"] == f"bytes={n_kept}-"
    assert site.requests[-1]["If-Range"] == '"one"'
    assert site.n_bytes_sent == 300_000 + len(CONTENT) - n_kept


def test_server_that_ignores_ranges_sends_all_anew(site: Site, tmp_path: Path) -> None:
    broken_download(site, tmp_path / "f", 100_000)
    site.ignores_range = True
    assert download(site.url, tmp_path / "f").read_bytes() == CONTENT


def test_file_that_changed_meanwhile_is_fetched_anew(site: Site, tmp_path: Path) -> None:
    broken_download(site, tmp_path / "f", 100_000)
    site.content, site.etag = b"other" * 50_000, '"two"'
    assert download(site.url, tmp_path / "f").read_bytes() == site.content


def test_changed_file_is_noticed_though_the_server_ignores_if_range(
    site: Site, tmp_path: Path
) -> None:
    broken_download(site, tmp_path / "f", 100_000)
    (tmp_path / "f.part.json").write_text(f'{{"url": "{site.url}", "validator": "W/\\"old\\""}}')
    assert download(site.url, tmp_path / "f").read_bytes() == CONTENT


def test_part_without_validator_counts_only_if_the_digest_is_checked(
    site: Site, tmp_path: Path
) -> None:
    site.etag = None
    broken_download(site, tmp_path / "f", 100_000)
    download(site.url, tmp_path / "f")
    assert "Range" not in site.requests[-1]
    broken_download(site, tmp_path / "g", 100_000, sha256=SHA256)
    download(site.url, tmp_path / "g", sha256=SHA256)
    assert "Range" in site.requests[-1]
    assert (tmp_path / "g").read_bytes() == CONTENT


def test_part_of_another_address_is_not_continued(site: Site, tmp_path: Path) -> None:
    broken_download(site, tmp_path / "f", 100_000)
    download(site.url + "?version=2", tmp_path / "f")
    assert "Range" not in site.requests[-1]


@pytest.mark.parametrize("surplus", [b"", b"junk"])
def test_part_that_is_whole_or_too_long_ends_in_the_right_file(
    site: Site, tmp_path: Path, surplus: bytes
) -> None:
    (tmp_path / "f.part").write_bytes(CONTENT + surplus)
    (tmp_path / "f.part.json").write_text(f'{{"url": "{site.url}", "validator": "\\"one\\""}}')
    assert download(site.url, tmp_path / "f", sha256=SHA256).read_bytes() == CONTENT


def test_target_with_the_right_digest_costs_no_request(site: Site, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(CONTENT)
    download(site.url, tmp_path / "f", sha256=SHA256)
    assert not site.requests


def test_target_with_the_wrong_digest_is_replaced(site: Site, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    assert download(site.url, tmp_path / "f", md5=MD5).read_bytes() == CONTENT


def test_wrong_digest_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ChecksumMismatch, match=r"expected sha256 0000.*got .*again"):
        download(site.url, tmp_path / "f", sha256="0" * 64)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "transient"), [(404, False), (403, False), (429, True), (500, True), (503, True)]
)
def test_error_status_tells_whether_a_retry_may_help(
    site: Site, tmp_path: Path, status: int, transient: bool
) -> None:
    site.status = status
    with pytest.raises(DownloadFailed, match=str(status)) as failure:
        download(site.url, tmp_path / "f")
    assert failure.value.transient == transient


@pytest.mark.parametrize("declares_length", [True, False])
def test_too_large_a_file_is_refused(site: Site, tmp_path: Path, declares_length: bool) -> None:
    site.declares_length = declares_length
    with pytest.raises(DownloadFailed, match="at most 1,000 bytes"):
        download(site.url, tmp_path / "f", max_bytes=1000)
    assert not (tmp_path / "f").exists()


def test_redirect_is_followed_and_its_body_is_not_read(site: Site, tmp_path: Path) -> None:
    site.location = "/end"
    assert download(site.url, tmp_path / "f", sha256=SHA256).read_bytes() == CONTENT
    assert site.n_bytes_sent < 2**26, "the body of the redirect was read to its end"


def test_redirects_without_end_are_refused(site: Site, tmp_path: Path) -> None:
    site.location = "/again"
    with pytest.raises(DownloadFailed, match="at most 5 redirects") as failure:
        download(site.url, tmp_path / "f")
    assert not failure.value.transient
    assert len(site.requests) == 6
    assert not list(tmp_path.iterdir())


def test_size_that_is_no_number_of_bytes_is_passed_over(site: Site, tmp_path: Path) -> None:
    broken_download(site, tmp_path / "f", 100_000)
    site.total = "9" * 5000  # Python converts no string of more than 4,300 digits
    assert download(site.url, tmp_path / "f").read_bytes() == CONTENT


def test_unknown_host_is_not_worth_a_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadFailed, match="unknown one") as failure:
        download("http://flowers.invalid/x", tmp_path / "f")
    assert not failure.value.transient


def test_silent_server_is_a_transient_failure(tmp_path: Path, site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(DownloadFailed, match="in time") as failure:
            download(f"http://127.0.0.1:{port}/x", tmp_path / "f", timeout=0.2)
    assert failure.value.transient


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "no address", "http://[broken/x"])
def test_address_that_cannot_work_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadFailed) as failure:
        download(url, tmp_path / "f")
    assert not failure.value.transient
