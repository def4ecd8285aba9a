"""The packages `flows` and `tasks` are those beside `flowers17`, whatever lies on Python's path.

Both names are common: a `tasks.py` of a person's own on PYTHONPATH would be imported in place of
ours, and the keys of stages would be digests of its code.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from flowers17.errors import PackageShadowed

HOME = Path(__file__).resolve().parent.parent
SIBLINGS = ("flows", "tasks")


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
