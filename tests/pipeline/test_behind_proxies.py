"""`run`, `serve` and `recover` where every proxy variable leads to one that refuses everything."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import eventually
from tests.support.proxies import Proxy, no_proxies, refusing_proxy
from tests.support.serving import SMALL, Serving, flowers17

pytestmark = [pytest.mark.server, pytest.mark.slow]

KINDS = {
    "HTTP": ("http", ("HTTP", "HTTPS")),
    "socks": ("socks5", ("ALL", "HTTP", "https")),
}
SETTINGS = [word for assignment in SMALL for word in ("--set", assignment)]


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """A proxy that answers 403, and to SOCKS that it is not allowed."""
    with refusing_proxy() as proxy, no_proxies():
        yield proxy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store and a Prefect home that the module's runs share."""
    folder = tmp_path_factory.mktemp("proxies")
    (folder / "home").mkdir()
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_run_with_a_private_server_needs_no_proxy(kind: str, proxy: Proxy, folder: Path) -> None:
    scheme, names = KINDS[kind]
    words = ("run", "dataset", "--json", "--store", str(folder / "store"), *SETTINGS)
    before = len(proxy.requests)
    process = flowers17(*words, home=folder / "home", **proxy.variables(*names, scheme=scheme))
    assert process.returncode == 0, process.stderr
    counts = json.loads(process.stdout)["counts"]
    assert counts["built"] + counts["reused"] > 0
    assert len(proxy.requests) == before


def test_serve_and_recover_need_no_proxy(proxy: Proxy, folder: Path) -> None:
    variables = {
        **proxy.variables("http", "HTTP", "https", "HTTPS"),
        **dict.fromkeys(("all_proxy", "ALL_PROXY"), f"socks5://{proxy.place}"),
    }
    before = len(proxy.requests)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        serving = Serving(folder / "served", *SMALL)
        try:
            serving.start()
            flow_run_id = serving.start_run("dataset").json()["id"]
            serving.reaches(flow_run_id, "COMPLETED")
            # What tasks did is told over a websocket.
            assert eventually(lambda: serving.tasks(flow_run_id))
            process = flowers17("recover", home=serving.home)
            assert (process.returncode, process.stdout) == (0, "no dead runs\n"), process.stderr
        finally:
            serving.close()
    assert len(proxy.requests) == before


def test_run_with_a_server_elsewhere_tells_that_the_proxy_refused(
    proxy: Proxy, folder: Path
) -> None:
    api = "https://flowers.example/api"
    words = ("run", "dataset", "--store", str(folder / "store"), *SETTINGS)
    variables = {**proxy.variables("HTTPS"), "PREFECT_API_URL": api}
    process = flowers17(*words, home=folder / "home", **variables)
    message = " ".join(process.stderr.split())
    assert process.returncode == 1
    assert f"{api}: expected an answer of this Prefect server, the proxy {proxy.place}" in message
    assert "Traceback" not in message
    assert proxy.requests[-1] == b"CONNECT flowers.example:443 HTTP/1.1"


@pytest.mark.parametrize("command", ["plan", "run", "recover", "serve", "sweep"])
def test_commands_tell_damaged_profiles(command: str, tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text('active = "x\n')
    words = {
        "plan": ("dataset",),
        "run": ("dataset",),
        "sweep": ("features", "--axis", "seed=[1, 2]"),
    }
    process = flowers17(command, *words.get(command, ()), home=tmp_path)
    assert process.returncode == 1, process.stderr
    message = " ".join(process.stderr.split())
    assert f"error {tmp_path}/profiles.toml: expected Prefect's profiles as TOML" in message
    assert "at line 1" in message
    assert "Traceback" not in message
