"""Folders as public bug reports show them: what a person would expect of each.

Own versions of most stand beside the modules; these are made by a script that lies beside the
project, and skip without it.
"""

import sys
import tarfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from flowers17.data.images import image_set
from flowers17.data.source import source_from
from flowers17.errors import Flowers17Error, UnusableImages
from tests.support.image_files import ROOT

SHARED = ROOT.parent / "shared"
SCRIPT = SHARED / "cases" / "make_inputs.py"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of all cases."""
    if not SCRIPT.exists():
        pytest.skip(f"needs {SCRIPT.name} beside the project")
    spec = spec_from_file_location("make_inputs", SCRIPT)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules.pop("make_inputs", None)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("cases")
    for name, write in module.CASES.items():
        write(folder / name)
    return folder


IGNORED = {
    "apple_rubbish": "2 × .DS_Store, 1 × ._000.png, 1 × .ipynb_checkpoints",
    "csv_in_class": "3 × *.csv",
    "desktop_ini": "1 × desktop.ini",
    "macosx_folder": "1 × __MACOSX",
    "readme_and_labels": "1 × README.txt, 1 × labels.csv",
}
SUMMARIES = {
    **dict.fromkeys(IGNORED, "2 classes, 24 images"),
    **dict.fromkeys(("plain", "symlinks-real", "twelve_bit", "flat"), "2 classes, 24 images"),
    "csv_in_class": "3 classes, 36 images",
    "mac_screenshots": "2 classes, 27 images",
    "spaces_of_others": "3 classes, 36 images",
    "unicode_names": "4 classes, 50 images",
    "train_val": "2 classes, 24 + 8 + 8 images, parts as given",
    "mixed_names": "4 classes, 64 images",
    "odd_names": "4 classes, 48 images",
    "long_names": "3 classes, 36 images",
    "exif_kinds": "2 classes, 27 images",
    "modes": "2 classes, 32 images",
    "iccp": "2 classes, 26 images",
    "one_pixel": "2 classes, 26 images",
    "same_in_two": "2 classes, 27 images",
    "imbalance": "3 classes, 75 images",
    "tiny_classes": "3 classes, 6 images",
    "binary": "2 classes, 40 images",
    "four": "4 classes, 96 images",
}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("case", SUMMARIES)
def test_case_is_read_as_it_is(cases: Path, case: str) -> None:
    source = source_from(str(cases / case))
    assert source.summary == SUMMARIES[case]
    images = image_set(source, size=16)
    assert len(set(images.names)) == len(images.labels)
    if case in IGNORED:
        assert source.notes == (f"ignored, because they are not images: {IGNORED[case]}",)
    elif case != "modes":  # which has sixteen.png beside sixteen.tif
        assert source.notes == ()


REFUSED = {
    "petimages": (
        r"3 of 27 images cannot.*2 images: .*an empty file.*Cat/666\.jpg.*Dog/11702\.jpg.*"
        r"1 image: .*truncated.*Dog/900\.jpg"
    ),
    "truncated": r"2 of 26 images cannot.*daisy/cut\.jpg.*tulip/crc\.png",
    "heic_avif": (
        r"4 of 28 images cannot.*HEIC picture.*IMG_0001\.HEIC.*AVIF picture.*IMG_0002\.jpg.*"
        r"an HTML page.*IMG_0003\.jpg.*a JPEG XL picture.*IMG_0004\.jxl"
    ),
    "train_val_flat": r"class folders in each part of the data.*test1, train;.*\(\.csv\)",
    "single_image_class": r"got c \(one image\), d \(one image\); add images or remove the class",
    "empty_class": r"got zinnia \(no image\)",
    "symlinks": r"leave it: daisy/000\.png.* and 14 more; set dataset\.links=follow",
    "to_predict": "printable UTF-8 names",
}


def test_every_case_has_its_test(cases: Path) -> None:
    assert {folder.name for folder in cases.iterdir()} == {*SUMMARIES, *REFUSED}


@pytest.mark.parametrize("case", REFUSED)
def test_case_is_refused_in_one_go(cases: Path, case: str) -> None:
    with pytest.raises(Flowers17Error, match=f"(?s){REFUSED[case]}"):
        image_set(source_from(str(cases / case)), size=16)


def test_links_are_followed_if_that_is_wanted(cases: Path) -> None:
    linked = source_from(str(cases / "symlinks"), follows_links=True)
    assert linked.digest == source_from(str(cases / "symlinks-real")).digest


def test_levels_of_twelve_bits_are_not_black(cases: Path) -> None:
    images = image_set(source_from(str(cases / "twelve_bit")), size=16)
    assert images.source["depth"] == 12
    assert 60 < images.images.mean() < 120


def test_cut_jpegs_are_read_if_that_is_wanted(cases: Path) -> None:
    with pytest.raises(UnusableImages, match="1 of 26 images cannot"):
        image_set(source_from(str(cases / "truncated")), size=16, reads_cut=True)


REAL = {
    "brain_mri": ("2 classes, 253 images", ("no", "yes")),
    "sign_digits": ("10 classes, 600 images", tuple("0123456789")),
    "grocery": ("16 classes, 704 + 81 + 693 images, parts as given", None),
}


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_set_is_accepted_as_it_is(tmp_path: Path, name: str) -> None:
    path = SHARED / "data" / f"own_{name}.tgz"
    if not path.exists():
        pytest.skip(f"needs {path.name} beside the project")
    summary, class_names = REAL[name]
    packed = source_from(str(path))
    assert packed.summary == summary
    [note] = packed.notes
    assert note.startswith("ignored, because they are not images: ")
    assert "1 × LICENSE" in note
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = source_from(str(tmp_path / name))
    assert (folder.digest, folder.summary) == (packed.digest, summary)
    images = image_set(packed, size=16)
    assert class_names in (None, images.class_names)
    if name == "grocery":
        assert images.class_names[:2] == ("Apple/Golden-Delicious", "Apple/Granny-Smith")
        counts = [images.parts.count(part) for part in ("train", "validation", "test")]
        assert counts == [704, 81, 693]
