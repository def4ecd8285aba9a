"""What names in data sets tell: images, tables and rubbish, parts, masks and spellings."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import takewhile
from posixpath import basename, split, splitext

from flowers17.errors import InvalidInput
from flowers17.files import yaml_beside

MAX_LISTED = 10
MOST_TWINS = 0.1  # share of images that may have the name of another but for its suffix
PARTS = ("train", "validation", "test")

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
WORDS = yaml_beside(__file__, "known/names.yaml")
IMAGE_SUFFIXES, _NOTES = frozenset(WORDS["images"].split()), frozenset(WORDS["others"].split())
_RUBBISH = frozenset(WORDS["rubbish"])
_PART_OF_WORD = {word: part for part in PARTS for word in WORDS["parts"][part].split()}
_BESIDE_PARTS = frozenset(WORDS["beside_parts"].split())
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MASK = re.compile(
    r"(?:^|[ _./(-]+)(?:masks?|seg|segmentations?|annotations?|labels?|ground[ _-]?truth|gt)"
    r"[ _)-]*\d*$",
    re.I,
)

Folders = tuple[str, ...]


def suffix(path: str) -> str:
    """Suffix of a path in small letters, or an empty text."""
    return splitext(path)[1].casefold()


def not_image(path: str) -> str:
    """The path, or that of a folder around it, by which it is no image; empty if it may be one.

    >>> not_image("a/.git/config"), not_image("a/LICENSE"), not_image("a/1.jpg")
    ('a/.git', 'a/LICENSE', '')
    """
    names = path.split("/")
    for n, name in enumerate(names, 1):
        if name.startswith(".") or name.casefold() in _RUBBISH:
            return "/".join(names[:n])
    return path if (suffix(path) or names[-1].casefold()) in _NOTES else ""


def ignored_note(paths: Iterable[str]) -> str:
    """Note on what is not read, as `not_image` gives it: each kind with its count.

    Files of one suffix are a kind, unless all have one name.

    >>> ignored_note(["a/Thumbs.db", "b/Thumbs.db", "LICENSE", "x.txt", "y.txt"])
    'ignored, because they are not images: 2 × *.txt, 2 × Thumbs.db, 1 × LICENSE'
    """
    names = defaultdict(list)
    for name in map(basename, paths):
        kind = "._*" if name.startswith("._") else f"*{suffix(name)}"
        names[name if kind == "*" else kind].append(name)
    kinds = {
        kind if len({*of_kind}) > 1 else of_kind[0]: len(of_kind) for kind, of_kind in names.items()
    }
    counts = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return (
        f"ignored, because they are not images: {listed(f'{n:,} × {kind}' for kind, n in counts)}"
    )


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
    words = set(re.findall(r"[^\W\d_]+", name.casefold())) - _BESIDE_PARTS
    parts = {_PART_OF_WORD.get(word, "") for word in words}
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
        f"images that {reason} are read as images: {listed(suspects)}; move them away if they are "
        "masks"
        for suspects, least, reason in (
            (masks, 0.0, "look like segmentation masks of others"),
            (twins, MOST_TWINS, "share their name with another, as segmentation masks do,"),
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
        "them if they are the same class"
        for names in spellings.values()
        if len(names) > 1
    ]
