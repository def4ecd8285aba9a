"""A user's own modules: where their files lie, without running their code, and functions of them.

`importlib.util.find_spec` imports the packages around a module. A plan imports nothing that its
settings name, since they may come from somebody else's form or deployment.
"""

import symtable
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from flowers17.errors import InvalidInput, InvalidSettings


def module_places(module: str) -> Iterator[tuple[Path | None, tuple[Path, ...]]]:
    """Yield file and folders of each package around a module, and at last those of the module.

    file: None for a namespace package, and for what is built into Python. Ends early if there is no
    such module.
    """
    path: Sequence[str] | None = None
    parts = module.split(".")
    for n_parts in range(1, len(parts) + 1):
        if not parts[n_parts - 1].isidentifier() or (n_parts > 1 and path is None):
            return
        try:
            name = ".".join(parts[:n_parts])
            specs = (finder.find_spec(name, path) for finder in sys.meta_path)
            spec = next((spec for spec in specs if spec is not None), None)
            if spec is None:
                return
            file = Path(spec.origin) if spec.has_location and spec.origin else None
            folders = spec.submodule_search_locations
            path = None if folders is None else list(folders)
        except KeyError:  # a namespace package inside another one, which is not imported
            inner = (Path(folder, parts[n_parts - 1]) for folder in path or ())
            file, path = None, [str(folder) for folder in inner if folder.is_dir()]
        yield file, tuple(map(Path, path or ()))


def module_file(module: str) -> Path | None:
    """File of a module; None if there is no such module, or if it has no file."""
    places = list(module_places(module))
    return places[-1][0] if len(places) == module.count(".") + 1 else None


def check_function(name: str) -> Path:
    """File of the module of a learner `module:function`, which is read and not run.

    Raises InvalidSettings if there is none, or if it is source that does not name the function.
    """
    module, _, function = name.partition(":")
    file = module_file(module)
    if file is None:
        if module.partition(".")[0] in sys.stdlib_module_names:
            raise InvalidSettings(
                f"{name!r}: expected a function of a module of your own, got one of "
                "Python's standard library; name `module:function` of your own file"
            )
        raise _refusal(name, f"no file of a module {module!r}")
    if file.suffix != ".py":
        return file
    try:
        source = file.read_text("utf-8")
        table = symtable.symtable(source, str(file), "exec")
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as problem:
        raise _refusal(name, f"a module that cannot be read ({problem})") from problem
    names = set(table.get_identifiers())
    if function not in names and "import *" not in source:
        own = ", ".join(sorted(names & {child.get_name() for child in table.get_children()}))
        raise _refusal(name, f"no function {function!r} in {file}, which has {own or 'none'}")
    return file


def own_model(name: str, *arguments: Any) -> Any:
    """What a person's own `module:function` returns for some arguments; its module is imported.

    Raises InvalidSettings if there is no such function, InvalidInput with the line of the module
    if its code raises.
    """
    file, (module, _, attribute) = check_function(name), name.partition(":")
    try:
        function: Callable[..., Any] = getattr(import_module(module), attribute)
        return function(*arguments)
    except (Exception, SystemExit) as problem:  # whatever a person's code may raise
        frames = traceback.extract_tb(problem.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == file]
        place = f"{file}, line {lines[-1]}" if lines else str(file)
        shapes = ", ".join(map(str, arguments))
        raise InvalidInput(
            f"{name}: expected a function that returns a Keras model for {shapes}, got "
            f"{type(problem).__name__}: {problem} ({place}); mend the function, and try it alone: "
            f"`python -c 'import {module}; {module}.{attribute}({shapes})'`"
        ) from problem


def _refusal(name: str, received: str) -> InvalidSettings:
    return InvalidSettings(
        f"{name!r}: expected a function that can be imported, got {received}; correct the name, or "
        "put its module where Python finds it (PYTHONPATH), under a name that no other module has"
    )
