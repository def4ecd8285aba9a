"""Archives that would fill memory and logs: refused in little memory, in a short sentence."""

import json
from typing import Any

import pytest

from tests.support.hostile_archives import CASES, HARMLESS, LONG
from tests.support.processes import HANG_S, program

MAX_MB = 300
MAX_MESSAGE = 2000


@pytest.fixture(scope="module")
def costs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """Read each archive of a test in a process of its own, without TensorFlow, and measure it."""
    own = [item for item in request.session.items if item.path == request.path]
    names = [item.callspec.params["case"] for item in own if isinstance(item, pytest.Function)]
    folder = str(tmp_path_factory.mktemp("archives"))
    printed = program("tests.support.hostile_archives", folder, *names, seconds=2 * HANG_S)
    costs: dict[str, dict[str, Any]] = json.loads(printed)
    for name, cost in costs.items():
        costs_s = f"{cost['s']:.2f} s, {cost['cpu_s']:.2f} s of CPU"
        print(f"{name}: {cost['error'] or 'read'}, {cost['mb']:.0f} MB, {costs_s}")
    return costs


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in CASES]
)
def test_hostile_archive_costs_little_memory_and_a_short_sentence(
    costs: dict[str, dict[str, Any]], case: str
) -> None:
    cost = costs[case]
    assert cost["error"] == ("" if case in HARMLESS else "InvalidInput"), cost
    assert cost["mb"] < MAX_MB
    assert len(cost["message"]) < MAX_MESSAGE
    assert cost["message"].replace("\n", "").isprintable()
