"""Commands of the command line: a function's parameters become options.

The words of an option are those of a form's field of its name, or stand in `options.yaml`.
"""

import inspect
import json
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import typer
from rich.table import Table

from flowers17.config import RunOptions
from flowers17.config.run_options import store_address
from flowers17.errors import short_repr
from flowers17.files import yaml_beside
from flowers17.interrupts import INTERRUPTED
from flowers17.request import StudyRequest, request_from
from flowers17.terminal import Terminal

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A small-data image-classification study that resumes where it was interrupted.",
)
out, err = Terminal(), Terminal(stderr=True)
FIELDS = {**StudyRequest.model_fields, **RunOptions.model_fields}
OWN_OPTIONS = yaml_beside(__file__, "options.yaml")
NAMED_DATA = ("rendered", "oxford17")  # data sets that are no paths
REPEATED = {"set": ("--set", "KEY=VALUE"), "rules": ("--rule", "RULE")}  # by name of the field

Command = Callable[..., None]


def print_json(value: Any) -> None:
    """Print a value for scripts; records by their fields."""
    print(json.dumps(value, indent=1, default=vars))


def show_rows(rows: Sequence[Any], as_json: bool, table: Callable[..., Table]) -> None:
    """Print rows as JSON, or as the table that a function makes of them."""
    if as_json:
        print_json(rows)
    else:
        out.listing(table(rows))


def command(*fields: str) -> Callable[[Command], Command]:
    """Make a function a command of `app`, its parameters options.

    A parameter `request` becomes options for fields of the form; the function gets the request
    that their values make. fields: their names; none: all, and all run options. Ctrl-C is told.
    """

    def registered(function: Command) -> Command:
        own = {**OWN_OPTIONS["every command"], **OWN_OPTIONS.get(function.__name__, {})}
        signature = inspect.signature(function).parameters
        requested = (fields or tuple(FIELDS)) if "request" in signature else ()

        @wraps(function)
        def with_options(**values: Any) -> None:
            if requested:
                values["request"] = _request({name: values.pop(name) for name in requested})
            try:
                function(**values)
            except KeyboardInterrupt:
                err.print(own["on Ctrl-C"], highlight=False)
                raise typer.Exit(INTERRUPTED) from None

        parameters: list[inspect.Parameter] = []
        for name, parameter in signature.items():
            if name == "request":
                parameters += [_parameter(field, _type(field), own) for field in requested]
            elif name in own or name in FIELDS:
                parameters.append(_parameter(name, parameter.annotation, own))
            else:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        app.command()(with_options)
        return function

    return registered


def _parameter(name: str, annotation: Any, own: dict[str, Any]) -> inspect.Parameter:
    """Option or argument of a name, as typer reads it off a signature.

    own: arguments of `typer.Option` by option, which go before what the form's field says.
    """
    words = {**(_words_of_field(name) if name in FIELDS else {}), **own.get(name, {})}
    if annotation in (Path, Path | None) or name in ("dataset", "store"):
        words["callback"] = _expanded
    kind = typer.Argument if words.pop("argument", False) else typer.Option
    is_optional = type(None) in get_args(annotation)
    default = words.pop("default", False if annotation is bool else None if is_optional else ...)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=kind(default, *words.pop("names", ()), **words),
        annotation=annotation,
    )


def _words_of_field(name: str) -> dict[str, Any]:
    field = FIELDS[name]
    text = (field.description or "").replace("`", "")
    if name in REPEATED:
        flag, metavar = REPEATED[name]
        return {"names": [flag], "metavar": metavar, "help": f"{text}; may be repeated"}
    extra = field.json_schema_extra
    empty = extra["empty"] if isinstance(extra, dict) else True
    default = str(field.default) if isinstance(field.default, Path) else field.default
    return {"default": default, "help": text, "show_default": empty}


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


def _expanded(path: Any) -> Any:
    """An option's path with its ~ replaced, which shells leave there behind `=`."""
    if not str(path).startswith("~"):
        return path
    try:
        return type(path)(Path(path).expanduser())
    except RuntimeError:
        raise typer.BadParameter(
            f"expected a path below the home of a user that is known, got {short_repr(str(path))}"
        ) from None
