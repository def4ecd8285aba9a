"""A study in Python: the report's tables as frames, its figures, models and comparisons."""

import importlib
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flowers17.artifacts import Store
from flowers17.cli import main
from flowers17.errors import ArtifactDamaged, ArtifactMissing, InvalidInput, WeightsMissing
from flowers17.packages import OFFERED
from flowers17.reporting.tables import csv_text, padded
from flowers17.study import Picture, Study
from tests.support import tiny_store
from tests.support.processes import HANG_S, ROOT, environment, output_of

DOCUMENT = (ROOT / "docs" / "python.md").read_text()
NOTEBOOK = json.loads((ROOT / "docs" / "study.ipynb").read_text())
NAMES = [
    (package, module, name)
    for package, modules in OFFERED.items()
    for module, names in modules.items()
    for name in names.split()
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with studies of seeds 17 and 18."""
    root = tmp_path_factory.mktemp("study") / "store"
    tiny_store.build(root)
    return root


@pytest.fixture(scope="module")
def study(store: Path) -> Study:
    return Study(store)


def test_a_study_is_the_newest_or_that_of_a_key(store: Path, study: Study) -> None:
    first, last = Study.all(store)
    assert [each.results["settings"]["seed"] for each in (first, last)] == [17, 18]
    assert study == last != first
    for key in (first.key, first.key[:10], f"study/{first.key}"):
        assert Study(store, key=key) == first
    assert repr(first) == f"Study({str(store)!r}, key={first.key[:12]!r})"


def test_wrong_keys_stores_and_numbers_are_told(store: Path, study: Study, tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match=r"expected an artifact 'study/0{9}'"):
        Study(store, key="0" * 9)
    with pytest.raises(InvalidInput, match="expected the folder of a store"):
        Study(tmp_path / "nowhere")
    Store(tmp_path / "empty").root.mkdir()
    with pytest.raises(ArtifactMissing, match="expected a study, found none"):
        Study(tmp_path / "empty")
    with pytest.raises(InvalidInput, match=r"expected a number .*'99'; there are: 1, 2, 3"):
        study.tables["99"]
    with pytest.raises(InvalidInput, match="expected a number in the report"):
        study.figures["99"]
    with pytest.raises(InvalidInput, match=r"model 'x': .*; there are: tiny, report split"):
        study.predict(np.zeros((8, 8, 3), np.uint8), "x")


def test_the_page_has_every_option_of_predict_and_the_errors_that_are_raised(study: Study) -> None:
    part = DOCUMENT.partition("## Functions")[0]
    for name in inspect.signature(study.predict).parameters:
        assert f"`{name}`" in part or f"predict({name}" in part or f"{name}=" in part, name
    for problem in (ArtifactMissing, InvalidInput, ArtifactDamaged, WeightsMissing):
        assert f"| `{problem.__name__}`" in part
    assert "see `" not in (inspect.getdoc(type(study).tables) or "")


def test_tables_are_the_reports_files_and_results_to_the_bit(study: Study) -> None:
    assert set(study.tables) == set(study.results["tables"]) == set(study.titles)
    assert list(study.tables)[:2] == ["1", "2"]
    for number, frame in study.tables.items():
        file = study.file(f"tables/table-{padded(number)}.csv")
        written = pd.read_csv(file, dtype=str, keep_default_na=False)
        assert list(frame.columns) == list(written.columns), number
        rows = study.results["tables"][number]["rows"]
        assert len(frame) == len(written) == len(rows), number
        for (_, line), (_, texts), row in zip(
            frame.iterrows(), written.iterrows(), rows, strict=True
        ):
            for key, cell in row["cells"].items():
                value = cell["value"]
                assert pd.isna(line[key]) if value == "–" else line[key] == value, (number, key)
                if "interval" in cell:
                    assert [line[f"{key}_low"], line[f"{key}_high"]] == cell["interval"]
            for name in ("artifact", "note"):
                assert ("" if pd.isna(line[name]) else line[name]) == texts[name]
    table = study.tables["2"]
    assert table["ours"].dtype == np.float64
    assert (table["ours_low"] <= table["ours"]).all()
    assert table["artifact"].tolist() == ["/".join(entry) for entry in _trainings(study)]


def _trainings(study: Study) -> list[tuple[str, str]]:
    return [
        (part["stage"], part["key"]) for part in study.parts.values() if part["stage"] == "training"
    ]


def test_a_damaged_table_is_refused(tmp_path: Path, store: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    study = Study(tmp_path / "store")
    (study.path.parent / "tables" / "table-02.csv").write_text("learner,note,artifact\n")
    with pytest.raises(ArtifactDamaged, match=r"table-02\.csv"):
        study.tables["2"]


def test_figures_are_what_a_notebook_draws(study: Study, tmp_path: Path) -> None:
    bundle = study.figures["2"]._repr_mimebundle_()
    assert list(bundle) == ["image/svg+xml"]
    assert str(bundle["image/svg+xml"]).lstrip().startswith(("<svg", "<?xml"))
    (tmp_path / "figure-01.png").write_bytes(b"\x89PNG")
    assert Picture(tmp_path / "figure-01.png")._repr_mimebundle_() == {"image/png": b"\x89PNG"}
    assert all(isinstance(picture, Picture) for picture in study.figures.values())


def test_models_predict_paths_and_pixels_alike(study: Study, tmp_path: Path) -> None:
    from PIL import Image

    assert study.models[["name", "kind"]].to_numpy().tolist() == [["tiny, report split", "network"]]
    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), np.uint8)
    paths = [str(tmp_path / f"{number}.png") for number in range(2)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    by_path, by_pixels = study.predict(paths), study.predict(pixels)
    assert by_path.index.tolist() == paths
    assert by_pixels.index.tolist() == [0, 1]
    assert by_path.to_numpy().tolist() == by_pixels.to_numpy().tolist()
    probabilities = by_pixels.drop(columns=["class", "probability", "agreement", "unlike"])
    assert probabilities.sum(axis=1).to_numpy() == pytest.approx(1)
    assert (probabilities.idxmax(axis=1) == by_pixels["class"]).all()
    assert study.predict(tmp_path).equals(by_path)
    assert len(vars(study)["_loaders"]) == 1
    with pytest.raises(InvalidInput, match=r"expected uint8 \(h, w, 3\).*got float64"):
        study.predict(pixels / 255)
    with pytest.raises(InvalidInput, match="expected an image"):
        study.predict(tmp_path / "nothing.png")


@pytest.fixture(scope="module")
def page(store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """Outputs, complaints and an image of a program.

    It predicts that image, ends the complaints so far with a line, and runs the page's examples and
    the notebook.
    """
    from PIL import Image

    folder = tmp_path_factory.mktemp("page")
    path = str(folder / "image.png")
    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), np.uint8)
    Image.fromarray(pixels[0]).save(path)
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.M | re.S)
    assert len(blocks) >= len(NAMES)
    cells = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
    (folder / "checkpoints").mkdir()
    start = (
        "import sys\nfrom flowers17 import Study\n"
        "print(Study(sys.argv[1]).predict([sys.argv[2]]).to_json(orient='records'))\n"
        "print('predicted', file=sys.stderr, flush=True)\n"
        "from pathlib import Path\nimport numpy as np\n"
        "store, path, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])\n"
        "pixels = np.zeros((2, 32, 32, 3), np.uint8)\n"
    )
    program = "\n".join([start, *blocks, *cells, "print('the end')"])
    end = subprocess.run(
        [sys.executable, "-c", program, str(store), path, str(folder / "checkpoints")],
        env=environment(STORE=str(store)),
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * HANG_S,
    )
    assert end.returncode == 0, end.stderr
    return end.stdout, end.stderr, path


def test_predictions_are_those_of_the_command_and_nothing_else_is_printed(
    store: Path, page: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    output, complaints, path = page
    assert complaints.startswith("predicted\n")
    [row] = json.loads(output.splitlines()[0])
    options = ["predict", path, "--store", str(store), "--device", "cpu", "--json"]
    with pytest.raises(SystemExit):
        main(options)
    told = json.loads(capsys.readouterr().out)
    assert (row["class"], row["probability"]) == (told["class"], pytest.approx(told["probability"]))
    assert {name: row[name] for name in told["probabilities"]} == pytest.approx(
        told["probabilities"]
    )
    likeness = told["likeness"]
    assert row["unlike"] == (likeness and likeness["is_unlike"])


def test_two_studies_are_compared_number_by_number(store: Path) -> None:
    first, last = Study.all(store)
    comparison = first.compare(last)
    rows = comparison.tables["2"]
    ours = rows[rows["name"] == "ours"].iloc[0]
    assert ours["before"] == first.tables["2"]["ours"].iloc[0]
    assert ours["difference"] == ours["after"] - ours["before"]
    assert any("seed: 17 → 18" in line for line in comparison.differences["seeds"])
    assert comparison.untested
    alike = first.compare(first)
    assert all((table["difference"].dropna() == 0).all() for table in alike.tables.values())
    assert "Table 2: 0 of" in alike._repr_html_()


def test_a_study_shows_itself_and_escapes_what_it_shows(study: Study) -> None:
    text = study._repr_html_()
    for words in ("seed 18", "best single network", "tiny, report split", "tables[&#34;2&#34;]"):
        assert words in text.replace('"', "&#34;"), words
    vars(study)["headline"] = study.headline.assign(label="<script>")
    try:
        assert "<script>" not in study._repr_html_()
    finally:
        del vars(study)["headline"]


def test_csv_of_a_frame_guards_formulas_and_keeps_whole_numbers_beside_gaps() -> None:
    frame = pd.DataFrame({"a": [1, None], "b": ["=1+1", "x"], "c": [-0.5, 2]}, dtype=object)
    assert csv_text(frame) == "a,b,c\n1,'=1+1,-0.5\n,x,2\n"


# What people import


@pytest.mark.parametrize(("package", "module", "name"), NAMES)
def test_a_name_is_offered_where_people_look_and_described(
    package: str, module: str, name: str
) -> None:
    value = getattr(importlib.import_module(f"{package}.{module}"), name)
    assert getattr(importlib.import_module(package), name) is value  # its module is bound by now
    assert name in dir(importlib.import_module(package))
    assert f"### `{name}{_signature(value)}`" in DOCUMENT
    assert f"from {package} import {name}\n" in DOCUMENT


def _signature(function: Any) -> str:
    parameters = inspect.signature(function).parameters.values()
    plain = inspect.Signature([each.replace(annotation=each.empty) for each in parameters])
    return re.sub(r"<built-in function (\w+)>", r"numpy.\1", str(plain))


def test_a_name_that_is_not_offered_is_no_attribute() -> None:
    import flowers17.robustness

    with pytest.raises(AttributeError, match=r"flowers17\.robustness.*'nothing'"):
        _ = flowers17.robustness.nothing


def test_importing_the_packages_and_the_help_load_nothing_heavy() -> None:
    heavy = "{'pandas', 'scipy', 'sklearn', 'keras', 'tensorflow', 'matplotlib', 'prefect'}"
    packages = ", ".join(OFFERED)
    code = f"import sys, {packages}; print(sorted({heavy} & set(sys.modules)), "
    code += "len([name for name in sys.modules if name.startswith('flowers17')]))"
    heavies, _, n_own = output_of(code).strip().rpartition(" ")
    assert heavies == "[]"
    assert int(n_own) <= len(OFFERED) + 3  # with their packages, errors and study's folder
    help_code = (
        "import sys\nfrom flowers17.cli import main\nsys.argv = ['flowers17', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    assert output_of(help_code).strip().splitlines()[-1] == "[]"


def test_the_examples_of_the_page_run_and_so_does_the_notebook(page: tuple[str, str, str]) -> None:
    assert page[0].endswith("the end\n")
