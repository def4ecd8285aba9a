"""Code that a store names: it runs only if the user names it too, and only unchanged.

An artifact is data that others may have written. That of a network built by the user's own function
names the function; without this check a store could have any function called.
"""

from pathlib import Path

from flowers17.digests import file_sha256
from flowers17.errors import InvalidInput
from flowers17.learners.own_modules import module_file, module_places
from flowers17.prediction.models import Loader


def check_own_learner(name: str, learner: str, sha256: str | None, loader: Loader) -> None:
    """Raise InvalidInput unless a function may be called to rebuild a network.

    name: of the model. learner: `module:function`. sha256: of the module's file that the
    network was trained with, from its artifact. Nothing is imported.
    """
    module = learner.partition(":")[0]
    if sha256 is None:
        raise InvalidInput(
            f"{name}: expected the SHA-256 of module {module!r}, which it asks to be run, its "
            "artifact holds none; train it again"
        )
    if learner not in loader.own_learners:
        raise InvalidInput(
            f"{name}: the store asks to run code of module {module!r}, function "
            f"{learner.partition(':')[2]!r}. Whoever can write to the store can name any code. If "
            f"you know and trust this one, add `--own-learner {learner}`; in Python "
            f"Loader(…, own_learners=[{learner!r}])"
        )
    source = _source(module, loader.store.root.resolve(), name)
    source_sha256 = file_sha256(source) if source else None
    if source_sha256 != sha256:
        raise InvalidInput(
            f"{name}: expected the module {module!r} that it was trained with, sha256 "
            f"{sha256[:12]}…, got {f'{source_sha256[:12]}…' if source_sha256 else 'none'}; "
            "put the file that it was trained with where Python finds it, or train again"
        )


def _source(module: str, store: Path, name: str) -> Path | None:
    """The file of a module; raises InvalidInput if it or a package of it is in the store."""
    for file, folders in module_places(module):
        locations = [*folders, *([file] if file else [])]
        if any(location.resolve().is_relative_to(store) for location in locations):
            raise InvalidInput(
                f"{name}: expected module {module!r} outside the store, found it in {store}; code "
                "in a store is never run: move it, and put it where Python finds it"
            )
    return module_file(module)
