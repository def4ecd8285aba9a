"""What Python finds in our packages: what they offer, and our own `flows` and `tasks`.

The names `flows` and `tasks` are common: a `tasks.py` of a person's own on PYTHONPATH would be
imported in place of ours, and the keys of stages would be digests of its code.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from flowers17.errors import PackageShadowed

HOME = Path(__file__).resolve().parent.parent
SIBLINGS = ("flows", "tasks")
# By package, the modules whose names it offers; docs/python.md describes each name.
OFFERED: Mapping[str, Mapping[str, str]] = json.loads((HOME / "flowers17/offers.json").read_text())


class _SiblingFinder:
    """The first of Python's finders of modules, for the packages beside `flowers17`."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = name.partition(".")
        if package not in SIBLINGS:
            return None
        for sibling in SIBLINGS:
            _check_origin(sibling)
        if module:  # of a package of ours, which knows where its modules lie
            return None
        folder = HOME / package
        return spec_from_file_location(
            package, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


def install_finder() -> None:
    """Make Python import `flows` and `tasks` from beside this package, from now on.

    The import raises PackageShadowed if they are not there, or if others of their names were
    imported before.
    """
    if _SiblingFinder not in sys.meta_path:
        sys.meta_path.insert(0, _SiblingFinder)


def _check_origin(package: str) -> None:
    own = HOME / package / "__init__.py"
    if not own.is_file():
        raise PackageShadowed(
            f"expected the package {package} beside {HOME / 'flowers17'}, found none; take "
            f"{HOME} off PYTHONPATH, or install the whole checkout there"
        )
    module = sys.modules.get(package)
    if module is None:
        return
    paths = [getattr(module, "__file__", None) or "", *getattr(module, "__path__", ())]
    if own.resolve() != Path(paths[0]).resolve():
        raise PackageShadowed(
            f"expected the package {package} of flowers17 ({own}), found another one imported "
            f"before it ({' '.join(filter(None, paths[:2]))}); import flowers17 first, or give "
            "the other one another name"
        )


class _Offering(ModuleType):
    """A package that imports the module of a name that it offers when the name is first read."""

    def __getattr__(self, name: str) -> Any:
        for module, names in OFFERED[self.__name__].items():
            if name in names.split():
                return getattr(import_module(f"{self.__name__}.{module}"), name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        # Python binds a module that is imported; `robustness.fgsm` stays the function.
        if not (isinstance(value, ModuleType) and name in self.__all__):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__all__})


def offer(package: str) -> None:
    """Let a package have the names in OFFERED, without importing what they are of."""
    module = sys.modules[package]
    module.__all__ = [name for names in OFFERED[package].values() for name in names.split()]  # type: ignore[attr-defined]
    module.__class__ = _Offering
