"""Proxies: what goes to this machine uses none, what goes outside does, refusals are theirs."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.request import proxy_bypass

import httpx
import pytest

from flowers17.data.download import download
from flowers17.errors import DownloadFailed, Flowers17Error
from flows.local_server import Server
from flows.prefect_api import bypass_proxies
from tests.support.proxies import Proxy, no_proxies, refusing_proxy

HERE = ("http://localhost:4200/", "http://127.0.0.1:4200/", "http://[::1]:4200/")
KINDS = [("http", "http"), ("HTTP", "http"), ("ALL", "http"), ("all", "http"), ("ALL", "socks5")]


@pytest.fixture(autouse=True)
def _own_variables() -> Iterator[None]:
    """Take the environment's proxies out."""
    with no_proxies():
        yield


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Return a proxy that answers 403."""
    with refusing_proxy() as proxy:
        yield proxy


def _set(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def _uses_proxy(client: httpx.Client, url: str) -> bool:
    return client._transport_for_url(httpx.URL(url)) is not client._transport


class TestThisMachine:
    @pytest.mark.parametrize("given", ["", "*", "flowers.example", "localhost, ::1", "10.0.0.0/8,"])
    @pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
    def test_is_reached_without_one(
        self, given: str, variable: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _set(monkeypatch, proxy.variables("http", "HTTPS", "ALL"))
        monkeypatch.setenv(variable, given)
        bypass_proxies("http://127.0.0.2:4200/api")
        bypass_proxies(None)
        with httpx.Client() as client:
            for url in (*HERE, "http://127.0.0.2:4200/"):
                assert not _uses_proxy(client, url)
                assert proxy_bypass(httpx.URL(url).netloc.decode().strip("[").replace("]", ""))
            assert _uses_proxy(client, "https://elsewhere.example/") is (given != "*")
            assert _uses_proxy(client, "https://flowers.example/") is (
                given not in ("*", "flowers.example")
            )

    def test_under_a_name_of_the_outside_is_the_proxys_affair(
        self, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _set(monkeypatch, proxy.variables("http"))
        bypass_proxies("http://flowers.example/api")
        assert "flowers.example" not in os.environ["NO_PROXY"]


class TestServerElsewhere:
    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
    def test_that_a_proxy_refuses_is_not_a_matter_of_credentials(
        self, scheme: str, status: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PREFECT_API_URL", f"{scheme}://flowers.example/api")
        with refusing_proxy(status) as proxy:
            _set(monkeypatch, proxy.variables("http", "https"))
            told = rf"the proxy {proxy.place} .*refused: {status}.*NO_PROXY"
            with pytest.raises(Flowers17Error, match=told) as problem, Server().connected():
                pass
        assert "secret" not in str(problem.value)
        assert "credentials" not in str(problem.value)
        (request,) = proxy.requests
        assert b"flowers.example" in request

    def test_is_asked_through_socks(self, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PREFECT_API_URL", "http://flowers.example/api")
        _set(monkeypatch, proxy.variables("ALL", scheme="socks5"))
        with pytest.raises(Flowers17Error, match=f"the proxy {proxy.place}"), Server().connected():
            pass
        assert proxy.requests[0].startswith(b"\x05")

    @pytest.mark.parametrize("address", ["socks4://127.0.0.1:1", "ftp://127.0.0.1:1"])
    def test_behind_a_proxy_that_no_client_knows_is_told(
        self, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PREFECT_API_URL", "http://flowers.example/api")
        monkeypatch.setenv("ALL_PROXY", address)
        told = r"usable proxies in .*ALL_PROXY.*unset"
        with pytest.raises(Flowers17Error, match=told), Server().connected():
            pass


@pytest.mark.parametrize(("kind", "scheme"), KINDS)
def test_downloads_go_through_the_proxy(
    kind: str, scheme: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, proxy.variables(kind, scheme=scheme))
    bypass_proxies(None)
    with pytest.raises(DownloadFailed):
        download("http://images.example/flowers.tgz", tmp_path / "flowers.tgz")
    assert len(proxy.requests) == 1
