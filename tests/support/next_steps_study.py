"""The part on what to do next of a small study, and a log of its work on single models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowers17.request import request_from
from flowers17.stages import Stage
from flows import next_steps
from tasks import costs
from tests.support.builds import build


def stages(root: Path, dataset: str, settings: tuple[str, ...]) -> list[Stage]:
    """Stages of the part and its report."""
    request = request_from(settings, store=root, device="cpu", dataset=dataset)
    return next_steps.stages(request.settings, request.options)


def build_with_log(of_part: list[Stage], root: Path, label: str, n_before: int, log: Path) -> None:
    """Build as `builds.build` does; `log` gets a line for each computed cost or saliency map."""
    for name, function in (("costs", "_measured"), ("saliency", "_mapped")):
        setattr(costs, function, _logged(getattr(costs, function), name, log))
    build(of_part, root, label, n_before)


def _logged(compute: Callable[..., Any], name: str, log: Path) -> Callable[..., Any]:
    def computed(*arguments: Any, **options: Any) -> Any:
        with log.open("a") as stream:
            stream.write(f"{name}\n")
        return compute(*arguments, **options)

    return computed
