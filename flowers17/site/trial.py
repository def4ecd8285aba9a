"""One photograph at a time, predicted in a process of its own.

That process imports TensorFlow, keeps one model, and ends when nobody asks for ten minutes; the
server stays small and answers meanwhile. What is sent to it stays in memory and is forgotten.
"""

import asyncio
import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowers17.config.run_options import DeviceName
from flowers17.errors import Flowers17Error, InvalidInput
from flowers17.fork_server import start_process

if TYPE_CHECKING:
    from flowers17.prediction.models import Model

MOST_BYTES = 20 * 2**20
MOST_WAITING = 4
TIMEOUT_S, IDLE_S = 300.0, 600.0


class TooBusy(Flowers17Error):
    """More photographs wait than are kept waiting."""


class TooLarge(InvalidInput):
    """A photograph has more than MOST_BYTES."""

    def __init__(self) -> None:
        super().__init__(f"photograph: expected at most {MOST_BYTES:,} bytes, got more")


@dataclass(frozen=True)
class TrialOptions:
    """Store, and options of `prediction.models.Loader`."""

    store: str
    weights_dir: Path | None = None
    device: DeviceName = "auto"
    own_learners: tuple[str, ...] = ()


class Trials:
    """Predictions of single photographs, one after the other."""

    def __init__(self, options: TrialOptions) -> None:
        self._options = options
        self._turn, self._n_waiting = threading.Lock(), 0
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    async def answer(self, model: str, photograph: bytes) -> dict[str, Any]:
        """What a model, STAGE/KEY with all of the key, says of an image file, as plain JSON.

        Raises TooBusy, what `predict` raises as InvalidInput, and Flowers17Error if the process
        ends or outlasts TIMEOUT_S.
        """
        if self._n_waiting >= MOST_WAITING:
            raise TooBusy("expected a few photographs at a time, got more; try again in a moment")
        self._n_waiting += 1
        try:
            return await asyncio.to_thread(self._answer, model, photograph)
        finally:
            self._n_waiting -= 1

    def close(self) -> None:
        """End the process; whoever waits for its answer is told so."""
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if process:
            process.kill()  # it keeps nothing, and may have inherited that SIGTERM is ignored
            process.join()
        if connection:
            connection.close()

    def _answer(self, model: str, photograph: bytes) -> dict[str, Any]:
        with self._turn:
            try:
                connection = self._connected()
                connection.send_bytes(model.encode())
                connection.send_bytes(photograph)
                if not connection.poll(TIMEOUT_S):
                    raise EOFError
                answer: dict[str, Any] = json.loads(connection.recv_bytes())
            except (EOFError, OSError):
                self.close()
                raise Flowers17Error(
                    f"expected the model's answer within {TIMEOUT_S:.0f} s, the process that "
                    "predicts took longer or ended; try again, or another model"
                ) from None
        if "refusal" in answer:
            raise InvalidInput(answer["refusal"])
        return answer

    def _connected(self) -> Connection:
        if not (self._connection and self._process and self._process.is_alive()):
            self.close()
            self._connection, inner = Pipe()
            self._process = start_process(
                _serve, (inner, self._options), name="trial", forked=False
            )
            inner.close()  # so that the end of the process is seen
        return self._connection


def _serve(connection: Connection, options: TrialOptions) -> None:
    """Answer what comes through a connection until it ends, or nothing comes for IDLE_S."""
    os.nice(5)  # the server goes first
    with suppress(EOFError, OSError):
        while connection.poll(IDLE_S):
            model, photograph = connection.recv_bytes().decode(), connection.recv_bytes()
            try:
                answer = _described(_opened(options, model), photograph)
            except Flowers17Error as problem:
                answer = {"refusal": str(problem)}
            connection.send_bytes(json.dumps(answer).encode())


@lru_cache(1)
def _opened(options: TrialOptions, name: str) -> "Model":
    from flowers17.prediction.catalogue import Catalogue
    from flowers17.prediction.models import Loader, open_model
    from flowers17.shared.store import existing_store

    values = dict(vars(options))
    loader = Loader(existing_store(values.pop("store")), **values)
    return open_model(Catalogue(loader.store).named(name).manifest, loader)


def _described(model: "Model", photograph: bytes) -> dict[str, Any]:
    """Prediction for an image file as plain JSON, the nearest training images as pictures."""
    from flowers17.prediction.models import predictions_of
    from flowers17.prediction.pictures import picture
    from flowers17.reporting.figures import data_uri

    block = picture(photograph, "the photograph", model.sizes, model.resize, model.depth)
    [prediction] = predictions_of(model, block)
    answer = {
        "classes": prediction.ranked,
        "is_calibrated": prediction.is_calibrated,
        "agreement": prediction.agreement,
        "members": [
            (name, *max(proba.items(), key=lambda pair: pair[1]))
            for name, proba in prediction.members.items()
        ],
        "is_unlike": False,
        "nearest": [],
    }
    likeness, evidence = prediction.likeness, model.evidence
    if likeness and evidence:
        answer |= {"is_unlike": likeness.is_unlike, "words": likeness.words}
        answer["nearest"] = [
            (data_uri(evidence.images[n.row], lossless=True), model.classes[n.label], n.distance)
            for n in likeness.nearest
        ]
    return answer
