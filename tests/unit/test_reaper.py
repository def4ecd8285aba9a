"""What `serve` starts ends with it, whichever of those that wait for its end was killed before."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows.reaper import MARK, marked
from tests.support.processes import HANG_S, ROOT, environment, eventually, kill

TOKEN = "a-token-of-this-test"
SLEEPER = "import time; time.sleep(600)"


class Family:
    """As `serve` starts them: a reaper, two parts, and a run in a session of its own."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        (folder / "part_of_serve.py").write_text(
            f"import sys; print(sys.argv[1:], __name__, flush=True)\n{SLEEPER}\n"
        )
        self._stack = stack
        env = environment(PYTHONPATH=f"{ROOT}:{folder}")
        self.reaper = self._started(["-m", "flows.reaper", TOKEN], env)
        mine = {**env, MARK: TOKEN}
        words = ["-m", "flows.reaper", TOKEN, "part_of_serve", "--port", "1"]
        self.parts = [self._started(words, mine) for _ in range(2)]
        self.run = self._started(["-c", SLEEPER], mine)
        for part in self.parts:
            assert part.stdout is not None
            assert part.stdout.readline() == b"['--port', '1'] __main__\n"

    def _started(self, words: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            cwd=ROOT,
            start_new_session=True,
        )
        self._stack.callback(process.communicate)
        self._stack.callback(process.kill)
        return process

    def serve_ends(self) -> None:
        """Let go of what `serve` holds: the other ends of standard inputs."""
        for process in (self.reaper, *self.parts):
            if process.stdin is not None:
                process.stdin.close()
                process.stdin = None


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    """Return a family that is alive; whatever is left of it is killed."""
    with ExitStack() as stack:
        yield Family(stack, tmp_path)


@pytest.mark.parametrize("killed", ["nobody", "the reaper", "a part", "all but one part", "parts"])
def test_one_that_is_left_ends_all(family: Family, killed: str) -> None:
    victims = {
        "nobody": [],
        "the reaper": [family.reaper],
        "a part": family.parts[:1],
        "all but one part": [family.reaper, *family.parts[1:]],
        "parts": family.parts,
    }[killed]
    for process in victims:
        kill(process.pid)
        process.wait()
    family.serve_ends()
    assert eventually(lambda: not marked(TOKEN)), marked(TOKEN)
    for process in (family.reaper, *family.parts, family.run):
        assert process.wait(HANG_S) is not None


def test_nobody_ends_while_serve_lives(family: Family) -> None:
    kill(family.reaper.pid)
    time.sleep(0.5)
    assert [process.poll() for process in (*family.parts, family.run)] == [None] * 3
