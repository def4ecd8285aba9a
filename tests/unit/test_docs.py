"""What the documents tell people to type exists: commands, options, settings, targets, files."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer.main

from flowers17.cli import Flow, app
from flowers17.config import Places, StudySettings
from flowers17.prediction.catalogue import KINDS
from flowers17.profiles import PROFILES
from flowers17.request import request_from
from flowers17.stages import in_order
from tests.support.processes import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
GROUP: Any = typer.main.get_command(app)  # typer may bring a click of its own
MAKEFILE = (ROOT / "Makefile").read_text()


def _blocks(language: str) -> Iterator[tuple[str, str]]:
    for path in DOCUMENTS:
        for found in re.finditer(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S):
            yield path.name, found.group(1)


def _commands(program: str) -> list[tuple[str, ...]]:
    """Return the words after a program's name in each shell line of the documents."""
    found = []
    for name, block in _blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words and Path(words[0]).name == program:
                found.append((name, *words[1:]))
    return found


def _named(one: tuple[str, ...]) -> str:
    return " ".join(one)


@pytest.mark.parametrize("words", _commands("flowers17"), ids=_named)
def test_a_command_in_a_document_can_be_given(words: tuple[str, ...]) -> None:
    name, *arguments = words[1:]
    command = GROUP.commands[name]
    # Parsing checks the options, their types and the choices; nothing is run.
    parsed = command.make_context(name, arguments).params
    if "flow" in parsed:
        assert parsed["flow"] in list(Flow)
    if parsed.get("profile"):
        assert parsed["profile"] in PROFILES
    if parsed.get("set"):
        assert request_from(parsed["set"]).settings


def _models(settings: StudySettings) -> set[str]:
    """Return the names of the models that the flows make by some settings."""
    from flows import ensemble, features, finetune, learners

    parts = [flow.parts(settings, Places()) for flow in (learners, features, finetune, ensemble)]
    return {one.label for one in in_order(chain(*parts)) if one.name in KINDS}


@cache
def _profiles_models() -> set[str]:
    return set[str]().union(*map(_models, PROFILES.values()))


def _named_models() -> list[tuple[str, str]]:
    """Return the models that commands of the documents name, each with its document."""
    found = []
    for name, command, *arguments in _commands("flowers17"):
        if command in ("predict", "export"):
            parsed = GROUP.commands[command].make_context(command, arguments).params
            found += [(name, parsed["model"])] if parsed["model"] else []
    return found


@pytest.mark.parametrize(("name", "model"), _named_models())
def test_a_model_named_in_a_document_is_made_by_a_profile_or_a_run_of_that_document(
    name: str, model: str
) -> None:
    runs = (words[3:] for words in _commands("flowers17") if words[:2] == (name, "run"))
    given = (GROUP.commands["run"].make_context("run", ["study", *one]).params for one in runs)
    own = (request_from(one["set"], profile=one["profile"]).settings for one in given)
    assert model in _profiles_models() or any(model in _models(one) for one in own)


@pytest.mark.parametrize("words", _commands("make"), ids=_named)
def test_a_make_target_in_a_document_exists(words: tuple[str, ...]) -> None:
    variables = [one.partition("=")[0] for one in words[1:] if "=" in one]
    targets = [one for one in words[1:] if "=" not in one and not one.startswith("-")]
    assert [one for one in targets if not re.search(rf"^{one}:", MAKEFILE, re.M)] == []
    assert [one for one in variables if f"$({one})" not in MAKEFILE] == []


@pytest.mark.parametrize("block", [block for _, block in _blocks("python")])
def test_python_in_a_document_imports_what_there_is(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom):
            path = ROOT / Path(*str(node.module).split(".")).with_suffix(".py")
            text = path.read_text()
            for alias in node.names:
                assert re.search(rf"(def|class) {alias.name}\b|^{alias.name} =", text, re.M)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_the_changelog_names_this_version_or_what_comes_next() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version is not None
    assert "## [Unreleased]" in text or f"## [{version.group(1)}]" in text


def test_the_readme_names_every_command_profile_and_flow() -> None:
    text = (ROOT / "README.md").read_text()
    for word in (*GROUP.commands, *PROFILES, *Flow):
        assert re.search(rf"\b{word}\b", text), word


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_no_path_of_one_machine(path: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:work|home|root|tmp)/\S+", path.read_text()) == []
