"""Two studies compared: which ones, the comparison as plain JSON, its lines in words, its page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flowers17.errors import ArtifactMissing, Flowers17Error, InvalidInput
from flowers17.manifests import read_as_written
from flowers17.reporting.html import environment
from flowers17.reporting.studies.changes import changes
from flowers17.reporting.studies.records import Study, named_study, newest, studies_in
from flowers17.reporting.wording import p_text, true_minus


def study_pair(before: str | None, after: str | None, store: Path | str) -> tuple[Study, Study]:
    """Two studies to compare: as they are named, else the older first.

    Without `after`: `before` and the store's newest other one of its label; without both: the
    newest and the one before it with its label.
    Raises as `named_study`, of two wrong names on both; ArtifactMissing if there is no second one.
    """
    named: list[Study] = []
    problems: list[Flowers17Error] = []
    for name in filter(None, (before, after)):
        try:
            named.append(named_study(name, store))
        except Flowers17Error as problem:
            problems.append(problem)
    if problems:
        raise type(problems[0])("\n".join(map(str, problems))) from problems[0]
    if before and after:
        return named[0], named[1]
    studies = studies_in(store)
    first = named[0] if before else newest(studies, store)
    label = first.label or None
    candidates = [
        study for study in studies if study.path != first.path and label in (None, study.label)
    ]
    if not candidates:
        raise ArtifactMissing(
            f"{store}: expected another study {first.label!r} to compare {first.title} with, found "
            "none; name a second one, or the folder of another store"
        )
    other = candidates[-1]
    if before is None or (other.created, other.path) < (first.created, first.path):
        return other, first
    return first, other


def comparison_of(before: Study, after: Study) -> dict[str, Any]:
    """Comparison of two studies as plain JSON: differences, tables and paired tests.

    Raises what `Study.results` and `compared_models` raise.
    """
    from flowers17.reporting.studies.comparison import compared_tables
    from flowers17.reporting.studies.paired import compared_models

    with read_as_written(f"{before.title}, {after.title}"):
        tables = compared_tables(before.results, after.results)
        paired = compared_models(before, after)
        differences = asdict(changes(before, after))
    return {
        "before": study_facts(before),
        "after": study_facts(after),
        "differences": differences,
        "tables": tables,
        "paired": paired,
    }


def study_facts(study: Study) -> dict[str, str]:
    return {
        "study": study.title,
        "label": study.label,
        "created": study.created,
        "results": str(study.path),
    }


def difference_lines(differences: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Lines on the differences of two studies by what they concern, which has a title."""
    titles = {"libraries": "library versions", "stages": "settings of stages"}
    concerned = {name: differences[name] for name in ("settings", "data", "code")}
    concerned |= {name: differences[name] for name in ("libraries", "seeds", "stages")}
    return [
        (titles.get(name, name), _by_stages(lines) if isinstance(lines, dict) else list(lines))
        for name, lines in concerned.items()
    ]


def _by_stages(lines: dict[str, list[str]]) -> list[str]:
    """Lines of the same stages joined, with those stages."""
    lines_by_stages: dict[tuple[str, ...], list[str]] = {}
    for line, stages in lines.items():
        lines_by_stages.setdefault(tuple(stages), []).append(line)
    return [f"{', '.join(lines)}{few(stages)}" for stages, lines in lines_by_stages.items()]


def few(labels: Sequence[str]) -> str:
    """Up to three labels in brackets, and how many more there are."""
    if not labels:
        return ""
    more = f"; and {len(labels) - 3} more" if len(labels) > 3 else ""
    return f" ({'; '.join(labels[:3])}{more})"


def number_text(value: Any) -> str:
    """Text of a number: whole ones whole, others with four decimals.

    >>> number_text(12), number_text(0.91470588), number_text(0.00004), number_text(None)
    ('12', '0.9147', '4e−05', '–')
    """
    if value is None:
        return "–"
    if not isinstance(value, float):
        return true_minus(str(value)) if isinstance(value, int) else str(value)
    form = ".4f" if value == 0 or 0.001 <= abs(value) < 1e6 else ".4g"
    return true_minus(format(value, form))


def difference_text(value: float | None) -> str:
    """Text of a difference with its sign, as `number_text` shows numbers.

    >>> difference_text(-0.0118), difference_text(3), difference_text(0.0)
    ('−0.0118', '+3', '0')
    """
    if not value:
        return number_text(None if value is None else 0)
    return ("+" if value > 0 else "") + number_text(value)


def write_page(comparison: Mapping[str, Any], path: Path) -> None:
    """Write the page of a comparison (`comparison_of`).

    Raises InvalidInput if the file cannot be written.
    """
    try:
        path.write_text(page(comparison))
    except OSError as problem:
        raise InvalidInput(
            f"--html {path}: expected a file that can be written, got {problem.strerror}; choose "
            "another"
        ) from problem


def page(comparison: Mapping[str, Any]) -> str:
    """HTML of the page of a comparison, which a browser shows without a network."""
    return environment().get_template("comparison.html").render(template_values(comparison))


def template_values(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """What the template `comparison.html` shows of a comparison."""
    lines = difference_lines(comparison["differences"])
    return {
        **comparison,
        "differing": lines,
        "equal": [title for title, differences in lines if not differences],
        **{"number": number_text, "difference": difference_text, "p": p_text, "few": few},
    }
