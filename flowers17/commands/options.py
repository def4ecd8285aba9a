"""Options that stand in the form too: their name, type, default and help are its fields'."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
import yaml

from flowers17.config import RunOptions
from flowers17.config.run_options import store_address
from flowers17.errors import short_repr
from flowers17.request import StudyRequest, request_from

FIELDS = {**StudyRequest.model_fields, **RunOptions.model_fields}
PATHS = ("dataset", "store", "weights_dir", "tensorboard")
OWN_OPTIONS = yaml.safe_load((Path(__file__).parent / "options.yaml").read_text())
NAMED_DATA = ("rendered", "oxford17")  # data sets that are no paths
REPEATED = {"set": ("--set", "KEY=VALUE"), "rules": ("--rule", "RULE")}  # by name of the field

Json = Annotated[bool, typer.Option("--json", help="print JSON for scripts")]
OwnLearner = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE:FUNCTION",
        help="a function of yours that the model's networks are built by, and that may be run; "
        "may be repeated",
        show_default=False,
    ),
]


def option(name: str, **changes: Any) -> Any:
    """Option for a field of every form or of RunOptions, as a parameter's default.

    changes: keyword arguments of `typer.Option` that differ from the field's.
    """
    field = FIELDS[name]
    text = (field.description or "").replace("`", "")
    if name in REPEATED:
        flag, metavar = REPEATED[name]
        return typer.Option(None, flag, metavar=metavar, help=f"{text}; may be repeated")
    extra = field.json_schema_extra
    empty = extra["empty"] if isinstance(extra, dict) else True
    default = str(field.default) if isinstance(field.default, Path) else field.default
    callback = expanded if name in PATHS else None
    settings = {"default": default, "help": text, "show_default": empty, "callback": callback}
    return typer.Option(**{**settings, **changes})


def own(command: str, name: str, default: Any = None, **changes: Any) -> Any:
    """Option or argument that a single command has, as a parameter's default.

    Its words are those of `options.yaml`; changes: further arguments of `typer.Option`.
    """
    words = {**OWN_OPTIONS[command][name], **changes}
    kind = typer.Argument if words.pop("argument", False) else typer.Option
    return kind(default, *words.pop("names", ()), **words)


def with_request(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command options for fields of the form in place of its parameter `request`.

    names: the fields; none: all, and all run options. The command gets the request that the
    options' values make.
    """
    fields = names or tuple(FIELDS)

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_options(**values: Any) -> None:
            request = _request({name: values.pop(name) for name in fields})
            command(request=request, **values)

        options = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=option(name), annotation=_type(name)
            )
            for name in fields
        ]
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command).parameters.values():
            own = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            parameters += options if parameter.name == "request" else [own]
        with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return with_options

    return decorated


def _type(name: str) -> Any:
    """Type of an option: text where the request validates more than typer could."""
    annotation = FIELDS[name].annotation
    if name in REPEATED:
        return list[str] | None
    if annotation in (int, float) or annotation == Path | None:
        return annotation
    return str | None if type(None) in get_args(annotation) else str


def _request(values: dict[str, Any]) -> StudyRequest:
    """Request for values of options, paths made absolute: the run can be resumed from anywhere."""
    assignments = values.pop("set", None) or ()
    if "store" in values:
        values["store"] = store_address(values["store"])
    if values.get("dataset", "") not in ("", None, *NAMED_DATA):
        values["dataset"] = str(Path(values["dataset"]).absolute())
    paths = {name: path.absolute() for name, path in values.items() if isinstance(path, Path)}
    return request_from(assignments, **{**values, **paths})


def expanded(path: Any) -> Any:
    """An option's path with its ~ replaced, which shells leave there behind `=`."""
    if not str(path).startswith("~"):
        return path
    try:
        return type(path)(Path(path).expanduser())
    except RuntimeError:
        raise typer.BadParameter(
            f"expected a path below the home of a user that is known, got {short_repr(str(path))}"
        ) from None
