"""A gate before Keras: while it is closed, stages that need Keras wait in their import of it.

So a run can be killed or cancelled in the middle of a stage, and pays for no TensorFlow before.
"""

from pathlib import Path

from tests.support.processes import ROOT

# The server that stages are forked from does without; each stage waits.
_MODULE = """
import multiprocessing, sys, time
from pathlib import Path
folder = Path(__file__).parent
while not (folder / "open").exists():
    if multiprocessing.parent_process() is None:
        raise ImportError("the gate is closed")
    time.sleep(0.02)
sys.path.remove(str(folder))
del sys.modules["keras"]
import keras
"""


class KerasGate:
    """An open gate, which processes pass whose environment has its variables.

    folder: which is made for it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "keras.py").write_text(_MODULE)
        self.variables = {"PYTHONPATH": f"{folder}:{ROOT}"}
        self._mark = folder / "open"
        self.open()

    def open(self) -> None:
        """Let those go on that wait, and all others pass."""
        self._mark.touch()

    def close(self) -> None:
        """Hold up all that come from now on."""
        self._mark.unlink()
