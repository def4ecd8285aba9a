"""Exporting a model from the command line: the file, its labels and its model card."""

import json
import tempfile
from pathlib import Path

from flowers17.digests import file_sha256
from flowers17.manifests import read_as_written
from flowers17.prediction import exporting
from flowers17.prediction.catalogue import Catalogue
from flowers17.prediction.model_card import model_card, model_facts
from flowers17.prediction.models import Loader, open_model
from flowers17.terminal import Terminal


def export(name: str, path: Path, *, loader: Loader, err: Terminal) -> list[Path]:
    """Write a model to a file, and its labels and model card beside it; return the three.

    name: of the model, or STAGE/KEY. path: ends in `.keras` or `.onnx`. Which model it is and how
    the file was checked goes to `err`. Files of these names are replaced once all three are there.
    Raises InvalidInput for another ending, an unknown name or a file that fails its check;
    ArtifactMissing or ArtifactDamaged if the store lacks what the model needs.
    """
    exporting.check_target(path)
    entry = Catalogue(loader.store).named(name)
    model = open_model(entry.manifest, loader)
    artifact = loader.artifact(entry.manifest)
    err.text_line(f"model: {entry.name}")
    paths = [path.with_name(f"{path.name}{ending}") for ending in ("", ".labels.json", ".md")]
    # Files take the names of the given ones once all are there, or are gone on an error.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        files = [Path(folder, each.name) for each in paths]
        new, *beside = files
        with loader.building("float32"):
            exporting.write(model, new)
        with read_as_written(entry.name):
            labels, known = exporting.labels(model), model_facts(artifact, loader)
        checked = exporting.file_check(new, model, artifact, loader)
        card = model_card(known, labels, file=path.name, sha256=file_sha256(new), check=checked)
        text = json.dumps(labels, ensure_ascii=False, indent=1) + "\n"
        for file, content in zip(beside, (text, card), strict=True):
            file.write_text(content, encoding="utf-8")
        for file, target in zip(files, paths, strict=True):
            file.replace(target)
    if checked:
        line = f"checked: {checked.n_correct} of {checked.n} held-out images right, as in the study"
        line = line if checked.n_correct == known.entry.score.n_correct else line.partition(",")[0]
        if entry.is_of_all:
            line = f"fitted on {entry.fitted_on}; checked on {checked.n} of them"
        line += f"; probabilities within {checked.difference:.1e}"
        err.text_line(line)
    else:
        err.text_line("not checked: the store lacks the images that it was trained on")
    return paths
