"""Modules that processes of stages are forked with (`flowers17.isolation`), imported but unused.

Nothing may be computed here: threads, a GPU's context or a random state would not outlast a fork.
Ctrl-C ends the imports as kill does, without a word. A worker that cancels a run sends SIGTERM to
all its processes: once this one forks, it outlives that, to tell how those of stages ended.
"""

import os
import signal
import threading
from contextlib import suppress


def _end_with_parent(parent: int, imported: threading.Event) -> None:
    """End this process with its parent, which it is told of otherwise only once it can fork."""
    while not imported.wait(0.1):
        if os.getppid() != parent:
            os._exit(1)


if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
_imported = threading.Event()
_watching = threading.Thread(target=_end_with_parent, args=(os.getppid(), _imported), daemon=True)
_watching.start()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported
with suppress(Exception):  # a stage that needs it tells what is wrong
    import keras  # noqa: F401
    import sklearn.linear_model  # noqa: F401

    import flowers17.isolation  # noqa: F401
signal.signal(signal.SIGTERM, signal.SIG_IGN)
_imported.set()
_watching.join()
