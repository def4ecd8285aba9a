"""Where a study reads and writes, and how it is executed."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from flowers17.config.base import Model

RunnerName = Literal["local", "processes"]
DeviceName = Literal["auto", "cpu", "gpu"]


class Places(Model):
    """Where a study reads and writes, and how it is executed; never part of a key."""

    store: Path = Field(Path("store"), description="folder of the artifact store")
    weights_dir: Path | None = Field(
        None, description="folder with extractor weights; empty: Keras's download"
    )
    runner: RunnerName = Field(
        "local", description="`local`: one stage at a time; `processes`: several"
    )
    workers: int = Field(
        2, ge=1, le=256, description="stages at a time under the runner `processes`"
    )
    device: DeviceName = Field(
        "auto", description="what trains: `gpu` fails without one, `auto` uses it if there is one"
    )
    tensorboard: Path | None = Field(
        None, description="folder for TensorBoard's logs of every training; empty: none"
    )
