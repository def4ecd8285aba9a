"""Options of a run: its folders, runner, workers and device."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, WithJsonSchema, field_validator

from flowers17.config.base import Model
from flowers17.errors import InvalidInput
from flowers17.rules import rule_from

RunnerName = Literal["local", "processes", "ray"]
DeviceName = Literal["auto", "cpu", "gpu"]


def store_address(value: Path | str) -> Path | str:
    """Return a store's address: the path of a folder, or text such as `s3://bucket/prefix`.

    Raises InvalidInput if it names no bucket, or holds a secret.
    """
    if not isinstance(value, str | Path):  # of a form
        raise InvalidInput(f"expected s3://bucket/prefix or a folder, got {value!r}")
    protocol, separator, rest = str(value).partition("://")
    rest = rest.rstrip("/")
    if not separator:
        if re.match(r"[a-z][a-z0-9]+:/", str(value)):
            raise InvalidInput(f"expected s3://bucket/prefix or a folder, got {str(value)!r}")
        return Path(value)
    if protocol == "file":
        return Path(rest or "/")
    if not rest or rest.startswith("/"):
        raise InvalidInput(f"expected {protocol}://bucket/prefix, got {value!r}")
    if re.match(r"[^/@]*:[^/]*@", rest) or "?" in rest:
        raise InvalidInput(
            f"expected {protocol}://bucket/prefix, got one with credentials; they are read from "
            "the environment and stored nowhere"
        )
    return f"{protocol}://{rest}"


StoreAddress = Annotated[
    Path | str, PlainValidator(store_address), WithJsonSchema({"type": "string"})
]


class CommonOptions(Model):
    """Options of a run that every form shows: its folders, runner, workers and device."""

    store: StoreAddress = Field(
        Path("store"),
        description="folder of the artifact store, or its address on object storage: "
        "`s3://bucket/prefix`",
    )
    weights_dir: Path | None = Field(
        None,
        description="folder with extractor weights",
        json_schema_extra={"empty": "Keras's download"},
    )
    runner: RunnerName = Field(
        "local",
        description="`local`: one stage at a time; `processes`: several; `ray`: as many as a Ray "
        "cluster has room for",
    )
    workers: int = Field(
        2,
        ge=1,
        le=256,
        description="stages at a time under the runner `processes`; under `ray`, those of them "
        "that are short and built by the run itself",
    )
    device: DeviceName = Field(
        "auto",
        description="what trains: `cpu`, `gpu` (fails without) or `auto` (a GPU if there is one)",
    )
    rules: tuple[str, ...] = Field(
        (),
        description="what must hold of the study, or the run fails: `nothing missing`, "
        "`METRIC >= NUMBER`, `METRIC not worse` (than in the last study)",
        json_schema_extra={"empty": "nothing"},
    )

    @field_validator("rules")
    @classmethod
    def _check_rules(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(rule_from(text).text for text in texts)


class RunOptions(CommonOptions):
    """All options of a run; never part of a key."""

    ray_address: str = Field(
        "auto",
        description="runner `ray`: host:port of a cluster that this machine belongs to; `auto`: "
        "the one that runs here, or what RAY_ADDRESS names",
    )
    gpus_per_training: float = Field(
        1.0,
        gt=0,
        le=64,
        description="runner `ray`: GPUs of a stage that uses one; 0.5: two such stages share one",
    )
    cpus_per_stage: int = Field(
        1,
        ge=1,
        le=1024,
        description="runner `ray`: processors that a node must have free for a stage",
    )
    tensorboard: Path | None = Field(
        None,
        description="folder for TensorBoard's logs of every training",
        json_schema_extra={"empty": "none"},
    )

    @field_validator("gpus_per_training")
    @classmethod
    def _check_gpus(cls, value: float) -> float:
        if value > 1 and value % 1:
            raise ValueError(f"expected a part of one GPU or a whole number of them, got {value}")
        return value
