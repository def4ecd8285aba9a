"""What names in data sets tell: images, tables and rubbish, parts, masks and spellings."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import takewhile
from posixpath import split, splitext

from flowers17.errors import InvalidInput

MAX_LISTED = 10
MOST_TWINS = 0.1  # share of images that may have the name of another but for its suffix
PARTS = ("train", "validation", "test")

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
_IMAGES = """
    .jpg .jpeg .jpe .jfif .png .apng .webp .bmp .dib .tif .tiff .gif .avif .avifs .heic .heif .hif
    .jxl .jp2 .j2k .svg .ico .psd .dng .cr2 .cr3 .nef .arw .raw .ppm .pgm .pnm .tga .eps
"""
_OTHERS = """
    .txt .csv .tsv .parquet .json .jsonl .xml .md .rst .yaml .yml .toml .ini .cfg .log .db .url
    .bib .doc .docx .xls .xlsx .mat .npy .npz .pkl .h5 .hdf5 .sha256 .md5 .lnk .py .ipynb .sh .m .r
    readme license licence copying notice authors citation contributing changelog makefile
    sha256sums md5sums checksums
"""
IMAGE_SUFFIXES, _NOTES = frozenset(_IMAGES.split()), frozenset(_OTHERS.split())
_RUBBISH = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PART_WORDS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_PART_WORDS |= dict.fromkeys(("val", "valid", "validation", "dev"), "validation")
_PART_FILLERS = frozenset({"set", "seg", "images", "imgs", "data", "dataset", "split"})
_MASK = re.compile(
    r"(?:^|[ _./(-]+)(?:masks?|seg|segmentations?|annotations?|labels?|ground[ _-]?truth|gt)"
    r"[ _)-]*\d*$",
    re.I,
)

Folders = tuple[str, ...]


def suffix(path: str) -> str:
    """Suffix of a path in small letters, or an empty text."""
    return splitext(path)[1].casefold()


def passed_over(path: str) -> str:
    """Name under which a file of a source is passed over, or an empty text if it may be an image.

    >>> passed_over("a/.git/config"), passed_over("a/LICENSE"), passed_over("a/1.jpg")
    ('.git', 'LICENSE', '')
    """
    *folders, name = path.split("/")
    for folder in (*folders, name):
        if folder.startswith(".") or folder.casefold() in _RUBBISH:
            return folder
    return name if (suffix(name) or name.casefold()) in _NOTES else ""


def check_names(paths: Sequence[str], place: str) -> None:
    """Raise InvalidInput if names hold control characters, or bytes that are no UTF-8."""
    odd = [path for path in paths if _CONTROL.search(path)]
    if odd:
        raise InvalidInput(
            f"{place}: expected printable UTF-8 names, without control characters; got "
            f"{listed([repr(path) for path in odd])}; rename them"
        )


def listed(names: Iterable[str]) -> str:
    """Names in one line: ten at most, and how many more there are.

    >>> listed("abc")
    'a, b, c'
    """
    every = list(names)
    more = f" and {len(every) - MAX_LISTED:,} more" if len(every) > MAX_LISTED else ""
    return ", ".join(every[:MAX_LISTED]) + more


def shared_folders(every: Iterable[Folders]) -> Folders:
    """Folders that all lie in, without the last of any."""
    levels = zip(*(folders[:-1] for folders in every), strict=False)
    return tuple(names[0] for names in takewhile(lambda names: len(set(names)) == 1, levels))


def part_named(name: str) -> str:
    """Part that a name stands for, or an empty text.

    >>> [part_named(name) for name in ("Training", "val", "test1", "seg_test", "test tube")]
    ['train', 'validation', 'test', 'test', '']
    """
    words = set(re.findall(r"[^\W\d_]+", name.casefold())) - _PART_FILLERS
    parts = {_PART_WORDS.get(word, "") for word in words}
    return parts.pop() if len(parts) == 1 else ""


def divided(folders: Collection[Folders]) -> Mapping[Folders, tuple[str, Folders]]:
    """Part of each folder, and the folders of its class; empty if the folders show no parts.

    folders: those that hold images. Parts stand above all classes, or below each; archives of
    others often hold a part's folder twice, as `seg_test/seg_test`.

    >>> divided({("train", "a"), ("test", "a")})["test", "a"]
    ('test', ('a',))
    """
    n_shared = len(shared_folders(folders))
    for position in (n_shared, -1):
        parts = {path: part_named(path[position]) if path else "" for path in folders}
        if all(parts.values()) and len(set(parts.values())) > 1:
            return {
                path: (part, tuple(name for name in path[n_shared:] if part_named(name) != part))
                for path, part in parts.items()
            }
    return {}


def mask_notes(names: Sequence[str]) -> list[str]:
    """Notes on images that may be segmentation masks of others, by their names."""
    places = {name: split(splitext(name)[0]) for name in names}
    beside = Counter(places.values())
    elsewhere = {stem for folder, stem in beside if not _MASK.search(folder)}
    masks, twins = [], []
    for name, (folder, stem) in places.items():
        bare = _MASK.sub("", stem)
        is_beside = bare != stem and (folder, bare) in beside
        if is_beside or (stem in elsewhere and _MASK.search(folder)):
            masks.append(name)
        elif beside[folder, stem] > 1:
            twins.append(name)
    return [
        f"{len(suspects):,} images {reason}, and are read as images: {listed(suspects)}; move them "
        "away if they are masks"
        for suspects, least, reason in (
            (masks, 0.0, "look like segmentation masks of others"),
            (twins, MOST_TWINS, "share their name with another, as segmentation masks do"),
        )
        if len(suspects) > least * len(names)
    ]


def spelling_notes(class_names: Iterable[str]) -> list[str]:
    """Notes on classes whose names differ in nothing but case, spaces or look."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in class_names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        spellings[" ".join(re.split(r"[\s_-]+", plain)).strip()].append(repr(name))
    return [
        f"{len(names)} classes whose names differ only in case or spaces: {listed(names)}; rename "
        "them if they are one"
        for names in spellings.values()
        if len(names) > 1
    ]
