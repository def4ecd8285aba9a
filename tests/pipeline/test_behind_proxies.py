"""`run` where every proxy variable leads to one that refuses everything.

`serve` and `recover` are held to it in test_operation.py, `run` with SOCKS in
tests/hostile/test_shadowed_packages.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import called
from tests.support.processes import HANG_S, python
from tests.support.proxies import Proxy, no_proxies, refusing_proxy
from tests.support.serving import SMALL, flowers17

pytestmark = [pytest.mark.server, pytest.mark.slow]

SETTINGS = [word for assignment in SMALL for word in ("--set", assignment)]


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """A proxy that answers 403, and to SOCKS that it is not allowed."""
    with refusing_proxy() as proxy, no_proxies():
        yield proxy


@pytest.mark.long
def test_run_with_a_private_server_needs_no_proxy(proxy: Proxy, tmp_path: Path) -> None:
    words = ("run", "dataset", "--json", "--store", str(tmp_path / "store"), *SETTINGS)
    before = len(proxy.requests)
    process = flowers17(*words, home=tmp_path, **proxy.variables("HTTP", "HTTPS"))
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


COMMANDS = (
    ("plan", "dataset"),
    ("run", "dataset"),
    ("recover",),
    ("serve",),
    ("sweep", "features", "--axis", "seed=[1, 2]"),
)
# Each ends before Prefect is imported, which would read the profiles itself.
ENDS = """
import json, sys
from flowers17.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as end:
        print(end.code, "prefect" in sys.modules)
"""


def test_commands_tell_damaged_profiles(tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text('active = "x\n')
    home = {"PREFECT_HOME": str(tmp_path)}
    with python("-c", ENDS, json.dumps(COMMANDS), env=home) as process:
        printed, complaints = process.communicate(timeout=HANG_S)
    assert printed.splitlines() == ["1 False"] * len(COMMANDS), complaints
    told = f"error {tmp_path}/profiles.toml: expected Prefect's profiles as TOML"
    messages = " ".join(complaints.split()).split("error ")[1:]
    assert len(messages) == len(COMMANDS)
    for message in messages:
        assert f"error {message}".startswith(told)
        assert "at line 1" in message
        assert "Traceback" not in message
