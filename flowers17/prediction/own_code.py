"""Code that a store names: it is run only if the person names it too, and only as it was trained.

An artifact is data that others may have written. A network of a function of one's own says in it
which function that is; without this check a store could have any function called.
"""

from pathlib import Path

from flowers17.artifacts import file_sha256
from flowers17.errors import InvalidInput
from flowers17.learners.own_modules import module_file, module_places
from flowers17.prediction.models import Loader


def check_own_learner(name: str, learner: str, trained: str | None, loader: Loader) -> None:
    """Raise InvalidInput unless a function may be called to rebuild a network.

    name: of the model. learner: `module:function`. trained: SHA-256 of the module's file that the
    network was trained with, as its artifact says. Nothing is imported.
    """
    module = learner.partition(":")[0]
    if trained is None:
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
    found = file_sha256(source) if source else None
    if found != trained:
        raise InvalidInput(
            f"{name}: expected the module {module!r} that it was trained with, sha256 "
            f"{trained[:12]}…, got {f'{found[:12]}…' if found else 'none'}; put the file that it "
            "was trained with where Python finds it, or train again"
        )


def _source(module: str, store: Path, name: str) -> Path | None:
    """Return the file of a module; raises InvalidInput if it or a package of it is in the store."""
    for file, folders in module_places(module):
        places = [*folders, *([file] if file else [])]
        if any(place.resolve().is_relative_to(store) for place in places):
            raise InvalidInput(
                f"{name}: expected module {module!r} outside the store, found it in {store}; code "
                "in a store is never run: move it, and put it where Python finds it"
            )
    return module_file(module)
