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
SITE_VARIABLE = "FLOWERS17_SITE"  # address of the site, to which runs link
SITE_STORE_VARIABLE = "FLOWERS17_SITE_STORE"  # address of the store that it shows


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


def weights_folder(path: Path | None) -> Path | None:
    """A folder of weights, its ~ replaced; None: none is given. Raises InvalidInput for others."""
    folder = path and path.expanduser()
    if folder and not folder.is_dir():
        raise InvalidInput(
            f"weights_dir {folder}: expected a folder with extractor weights, got "
            f"{'a file' if folder.exists() else 'no such folder'}; correct --weights-dir, or "
            "leave it out to use Keras's download"
        )
    return folder


class CommonOptions(Model):
    """Options of a run that every form shows: its folders, runner, workers and device."""

    store: StoreAddress = Path("store")
    weights_dir: Path | None = Field(None, json_schema_extra={"empty": "Keras's download"})
    runner: RunnerName = "local"
    workers: int = Field(2, ge=1, le=256)
    device: DeviceName = "auto"
    rules: tuple[str, ...] = Field((), json_schema_extra={"empty": "nothing"})

    @field_validator("rules")
    @classmethod
    def _check_rules(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(rule_from(text).text for text in texts)


class RunOptions(CommonOptions):
    """All options of a run; never part of a key."""

    ray_address: str = "auto"
    gpus_per_training: float = Field(1.0, gt=0, le=64)
    cpus_per_stage: int = Field(1, ge=1, le=1024)
    tensorboard: Path | None = Field(None, json_schema_extra={"empty": "none"})

    @field_validator("gpus_per_training")
    @classmethod
    def _check_gpus(cls, value: float) -> float:
        if value > 1 and value % 1:
            raise ValueError(f"expected a part of one GPU or a whole number of them, got {value}")
        return value
