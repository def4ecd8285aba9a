"""What the documents tell people to type exists: commands, options, settings, targets, files."""

import ast
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer.main

import flowers17
import flowers17.cli  # its commands
from flowers17.commands.flow_commands import Flow
from flowers17.commands.options import app
from flowers17.config import RunOptions, StudySettings
from flowers17.prediction.catalogue import KINDS
from flowers17.profiles import PROFILES
from flowers17.reporting import reference
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

    options = RunOptions()
    parts = [flow.parts(settings, options) for flow in (learners, features, finetune, ensemble)]
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
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_package_project_and_changelog_name_one_version() -> None:
    newest = re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert newest is not None
    assert newest.group(1) == project["version"] == flowers17.__version__


def _tables_of_the_study() -> dict[str, list[list[str]]]:
    """Return the body rows of the tables in docs/the-study.md, by their header row."""
    text = (ROOT / "docs" / "the-study.md").read_text()
    tables = re.findall(r"^\|(.+)\|\n\|[-|]+\|\n((?:\|.+\|\n)+)", text, re.M)
    return {
        header.strip(): [
            [cell.strip() for cell in row.strip("|").split("|")] for row in body.splitlines()
        ]
        for header, body in tables
    }


def test_the_page_on_the_study_has_every_number_that_the_report_compares_with() -> None:
    networks, table_2, table_3, ensemble, table_7, table_8, table_9, table_10, _ = (
        _tables_of_the_study().values()
    )

    def blocks(shape: reference.LearnerShape) -> str:
        return " ".join(f"({' '.join(map(str, block))})" for block in shape.blocks)

    shapes = reference.TABLE_1 | reference.TABLE_4
    assert networks == [
        [
            reference.LEARNERS[name],
            *(str(shape.n_convolutions), str(shape.n_poolings), shape.padding, shape.activation),
            *(f"{shape.n_parameters:,}", blocks(shape), f"{shape.units:,}"),
        ]
        for name, shape in shapes.items()
    ]
    assert {shape.n_dense for shape in shapes.values()} == {1}
    assert [[row[0], *map(float, row[1:])] for row in table_2] == [
        [
            reference.LEARNERS[name],
            *(row.train_loss, row.train_accuracy, row.validation_loss, row.validation_accuracy),
        ]
        for name, row in reference.TABLE_2.items()
    ]
    assert [[row[0], *map(float, row[1:])] for row in table_3] == [
        [
            reference.LEARNERS[name],
            *(row["none"].train_accuracy, row["none"].validation_accuracy),
            *(row["wide"].train_accuracy, row["wide"].validation_accuracy),
        ]
        for name, row in reference.TABLE_3.items()
    ]
    assert [[row[0], float(row[1])] for row in ensemble] == [
        *([reference.LEARNERS[name], accuracy] for name, accuracy in reference.TABLE_5.items()),
        ["average", reference.AVERAGE_OF_TABLE_5],
        ["stacking, random forest", reference.STACKING_OF_TABLE_5],
    ]
    assert [float(row[2]) for row in ensemble[:-2]] == list(reference.TABLE_6.values())
    assert table_7 == [
        [
            reference.EXTRACTORS[name],
            *(str(shape.n_layers), f"{shape.n_parameters:,}"),
            " × ".join(f"{side:,}" for side in shape.shape),
            f"{shape.n_columns:,}",
        ]
        for name, shape in reference.TABLE_7.items()
    ]
    assert [[row[0], *map(float, row[1:])] for row in table_8] == [
        [reference.CLASSIFIERS[name], *(row[extractor] for extractor in reference.EXTRACTORS)]
        for name, row in reference.TABLE_8.items()
    ]
    assert [[row[0].lower(), *map(float, row[1:])] for row in table_9] == [
        [
            head,
            *(row[name][phase] for name in ("vgg16", "mobilenet") for phase in "ab"),
        ]
        for head, row in reference.TABLE_9.items()
    ]
    assert [float(row[2]) for row in table_10] == [
        max(row.validation_accuracy for row in reference.TABLE_2.values()),
        max(row["wide"].validation_accuracy for row in reference.TABLE_3.values()),
        reference.STACKING_OF_TABLE_5,
        reference.BEST_OF_TABLE_8,
        reference.BEST_OF_TABLE_9,
    ]


def test_the_page_on_the_study_has_its_set_up() -> None:
    text = (ROOT / "docs" / "the-study.md").read_text()
    epochs, rates = reference.PHASE_EPOCHS, reference.PHASE_RATES
    for words in (
        f"{reference.N_CLASSES} kinds",
        f"{reference.N_TRAINING_IMAGES:,} training images",
        f"{reference.IMAGE_SIZE} × {reference.IMAGE_SIZE} pixels",
        f"plain data for {reference.PLAIN_EPOCHS} epochs",
        f"augmented data for {reference.AUGMENTED_EPOCHS} epochs",
        f"one dense layer of {reference.HEAD_UNITS} units",
        f"{epochs['a']} epochs, learning rate {rates['a']}",
        f"{epochs['b']} epochs, learning rate {rates['b']}",
        f"the probability {reference.DROPOUT}",
    ):
        assert words in " ".join(text.split()), words


def test_each_profile_states_its_command_time_and_accuracy() -> None:
    for name in PROFILES:
        profile = (ROOT / f"flowers17/config/profiles/{name}.yaml").read_text(encoding="utf-8")
        text = profile.replace("\n# ", "\n")
        assert re.search("^Command: flowers17 run", text, re.M), name
        assert re.search("^Time: ", text, re.M), name
        assert re.search("^Accuracy", text, re.M), name


def test_pictures_of_the_readme_are_light() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert len(pictures) == 2
    assert sum((ROOT / picture).stat().st_size for picture in pictures) < 400_000


def test_the_readme_names_every_command_profile_and_flow() -> None:
    text = (ROOT / "README.md").read_text()
    for word in (*GROUP.commands, *PROFILES, *Flow):
        assert re.search(rf"\b{word}\b", text), word


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_no_path_of_one_machine(path: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:work|home|root|tmp)/\S+", path.read_text()) == []
