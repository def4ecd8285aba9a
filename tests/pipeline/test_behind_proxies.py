"""`run` where every proxy variable leads to one that refuses everything.

`serve` and `recover` are held to it in test_operation.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import called
from tests.support.proxies import Proxy, no_proxies, refusing_proxy
from tests.support.serving import SMALL, flowers17

pytestmark = [pytest.mark.server, pytest.mark.slow]

SETTINGS = [word for assignment in SMALL for word in ("--set", assignment)]


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """A proxy that answers 403, and to SOCKS that it is not allowed."""
    with refusing_proxy() as proxy, no_proxies():
        yield proxy


@pytest.mark.parametrize(
    ("scheme", "names"),
    [
        ("socks5", ("ALL", "HTTP", "https")),
        pytest.param("http", ("HTTP", "HTTPS"), marks=pytest.mark.long),
    ],
)
def test_run_with_a_private_server_needs_no_proxy(
    scheme: str, names: tuple[str, ...], proxy: Proxy, tmp_path: Path
) -> None:
    words = ("run", "dataset", "--json", "--store", str(tmp_path / "store"), *SETTINGS)
    before = len(proxy.requests)
    process = flowers17(*words, home=tmp_path, **proxy.variables(*names, scheme=scheme))
    assert process.returncode == 0, process.stderr
    counts = json.loads(process.stdout)["counts"]
    assert counts["built"] + counts["reused"] > 0
    assert len(proxy.requests) == before


def test_run_with_a_server_elsewhere_tells_that_the_proxy_refused(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = "https://flowers.example/api"
    for name, value in proxy.variables("HTTPS").items():
        monkeypatch.setenv(name, value)
    code, _, complaints = called("run", "dataset", "--store", str(tmp_path / "store"), api=api)
    message = " ".join(complaints.split())
    assert code == 1
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
