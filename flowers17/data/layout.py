"""Layouts of data sets: from the names of files to classes, parts and groups.

Class folders at any depth, with parts above or below them or without; or a table of paths and
labels. Contents of images play no role here. What is ignored is noted: a file that is ignored
in silence could be an image that is missing in silence.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from flowers17.config.data import ColumnSettings
from flowers17.data import oxford17
from flowers17.data.encoded import ImageFile
from flowers17.data.names import (
    IMAGE_SUFFIXES,
    PARTS,
    Folders,
    check_names,
    divided,
    ignored_note,
    listed,
    mask_notes,
    not_image,
    shared_folders,
    spelling_notes,
    suffix,
)
from flowers17.data.tables import images_of_table, only_table
from flowers17.errors import InvalidInput

MIN_PER_CLASS = 2


@dataclass(frozen=True)
class Layout:
    """What is understood of a source. rows: by label, then name; notes: what people should know.

    is_official: whether it is that of Oxford Flowers-17, whose classes follow from numbers.
    """

    class_names: tuple[str, ...]
    rows: tuple[ImageFile, ...]
    notes: tuple[str, ...] = ()
    is_official: bool = False

    @property
    def summary(self) -> str:
        """Classes, images, parts and groups in a line.

        >>> rows = [ImageFile("", "a", "train")] * 4 + [ImageFile("", "b", "test")] * 3
        >>> Layout(("a", "b"), tuple(rows)).summary
        '2 classes, 4 training + 3 test images, parts as given'
        """
        counts = Counter(row.part for row in self.rows)
        words = {"train": " training", "validation": " validation", "test": " test", "": " free"}
        if set(counts) in ({""}, set(PARTS)):
            words = dict.fromkeys(words, "")
        sizes = [f"{counts[part]:,}{words[part]}" for part in words if part in counts]
        text = f"{len(self.class_names):,} classes, {' + '.join(sizes)} images"
        n_groups = len({row.group for row in self.rows} - {""})
        text += ", parts as given" if set(counts) - {""} else ""
        return text + (f", {n_groups:,} groups" if n_groups else "")


def layout_of(
    place: str,
    files: Sequence[str],
    *,
    empty: Sequence[str] = (),
    columns: ColumnSettings = ColumnSettings(),
    table: str = "",
    read: Callable[[str], bytes],
) -> Layout:
    """Layout of a source by the paths of its files.

    place: the source, for messages. empty: folders without files. table: path of the table to use;
    without it one is used if `columns` names columns, or if there are no class folders. read: gives
    the content of a table. Raises InvalidInput if there are no two classes of two images, or images
    are in none.
    """
    check_names(files, place)
    if any(path.startswith("jpg/image_") for path in files):
        return _official(place, files)
    ignored = {name for path in files if (name := not_image(path))} - {table}
    files_of_images = [path for path in files if not not_image(path)]
    # The innermost folders of files that are images by their names, or have no suffix.
    folders_of_images = {
        _folders(path) for path in files_of_images if suffix(path) in ("", *IMAGE_SUFFIXES)
    }
    classes = folders_of_images - {
        folders[:n] for folders in folders_of_images for n in range(len(folders))
    }
    parts = divided(classes)
    is_flat = len({rest for _, rest in parts.values() if rest} if parts else classes) < 2
    if not table and (is_flat or columns != ColumnSettings()):
        table = only_table(place, files, columns, read)
        ignored.discard(table)
    notes: list[str] = []
    vacant: set[Folders] = set()  # folders without files that may stand for classes
    if table:
        images = images_of_table(place, table, files_of_images, columns, read, notes)
    else:
        if not parts:
            vacant = {
                folders
                for folders in map(_split, empty)
                if not any(folders[:n] in classes for n in range(len(folders) + 1))
            }
            parts = {folders: ("", folders) for folders in {*classes, *vacant}}
        images = _by_folders(place, files_of_images, parts, ignored, notes)
    if ignored:
        notes.insert(0, ignored_note(ignored))
    layout = _layout(images, notes)
    n_shared = len(shared_folders({*classes, *vacant}))
    _check_classes(place, layout, ["/".join(folders[n_shared:]) for folders in vacant])
    return layout


def _layout(images: Sequence[ImageFile], notes: Iterable[str]) -> Layout:
    """Layout of images; class names have one spelling of letters that can be composed."""
    names = {image.class_name for image in images}
    spelled = {name: unicodedata.normalize("NFC", name) for name in names}
    counts = Counter(spelled.values())
    class_names = tuple(sorted(counts))
    label = {name: index for index, name in enumerate(class_names)}
    start = len("/".join((*shared_folders({_folders(image.path) for image in images}), "")))
    rows = sorted(
        (
            image._replace(
                class_name=spelled[image.class_name],
                name=image.path[start:],
                label=label[spelled[image.class_name]],
            )
            for image in images
        ),
        key=lambda row: (row.label, row.name),
    )
    variants = [name for name in class_names if counts[name] > 1]
    composed_note = (
        "classes whose names are written in two ways, with composed and with decomposed letters, "
        f"are taken as one: {listed(variants)}"
    )
    masks = mask_notes([row.name for row in rows])
    every = (*notes, *[composed_note] * bool(variants), *spelling_notes(class_names), *masks)
    numbered = tuple(image._replace(row=row) for row, image in enumerate(rows))
    return Layout(class_names, numbered, every)


def _official(place: str, files: Sequence[str]) -> Layout:
    """Layout of Oxford Flowers-17; raises InvalidInput if an image is missing, or one too many."""
    names = [oxford17.image_name(number) for number in range(1, oxford17.N_IMAGES + 1)]
    missing = sorted(set(names) - set(files))
    others = sorted({path for path in files if not not_image(path)} - set(names))
    if missing or others:
        raise InvalidInput(
            f"{place}: expected jpg/image_0001.jpg … jpg/image_1360.jpg of Oxford Flowers-17; "
            f"missing: {listed(missing) or 'none'}; others: {listed(others) or 'none'}; fetch the "
            "archive again, or put images of your own into class folders of another name than jpg"
        )
    labels = [index // oxford17.IMAGES_PER_CLASS for index in range(oxford17.N_IMAGES)]
    rows = [
        ImageFile(name, oxford17.CLASS_NAMES[label], name=name, label=label, row=row)
        for row, (name, label) in enumerate(zip(names, labels, strict=True))
    ]
    return Layout(oxford17.CLASS_NAMES, tuple(rows), is_official=True)


def _folders(path: str) -> Folders:
    return _split(path.rpartition("/")[0])


@lru_cache(maxsize=4096)
def _split(folder: str) -> Folders:
    return tuple(folder.split("/")) if folder else ()


def _by_folders(
    place: str,
    files: Iterable[str],
    parts: Mapping[Folders, tuple[str, Folders]],
    ignored: set[str],
    notes: list[str],
) -> list[ImageFile]:
    """Images by their folders; files in no class are ignored, or refused if they are images.

    parts: part of each class folder, and the folders of its class.
    """
    flat = {folders: part for folders, (part, rest) in parts.items() if part and not rest}
    if set(flat.values()) - {"test"}:
        raise InvalidInput(
            f"{place}: expected class folders in each part of the data, got images directly in "
            f"{listed(sorted('/'.join(folders) for folders in flat))}; put the images of each "
            "class into a folder of its own, or give a table of paths, labels and parts (.csv) as "
            "the data set"
        )
    n_shared = len(shared_folders({rest for _, rest in parts.values()} - {()}))
    images, loose, n_flat = [], [], 0
    for path in files:
        folders = _folders(path)
        if folders in flat:
            n_flat += 1
        elif folders in parts:
            part, rest = parts[folders]
            images.append(ImageFile(path, "/".join(rest[n_shared:]), part))
        elif suffix(path) in IMAGE_SUFFIXES:
            loose.append(path)
        else:
            ignored.add(path)
    if loose:
        raise InvalidInput(
            f"{place}: expected images inside class folders, got these beside them: "
            f"{listed(loose)}; put them into the folder of their class or move them away"
        )
    if n_flat:
        notes.append(
            f"ignored: {n_flat:,} of the test part's images, which lie in no class folder, so that "
            "their class is not known"
        )
    return images


def _check_classes(place: str, layout: Layout, vacant: Iterable[str]) -> None:
    counts = dict.fromkeys((*vacant, *layout.class_names), 0)
    for row in layout.rows:
        counts[row.class_name] += row.part != "test"
    if len(counts) < 2:
        actual = f"one, {next(iter(counts))!r}" if any(counts) else "none"
        raise InvalidInput(
            f"{place}: expected at least 2 class folders, got {actual}; put the images of each "
            "class into a folder of its own, named for the class, or give a table of paths and "
            "labels (.csv) as the data set"
        )
    sparse = [
        f"{name} ({('no image', 'one image')[count]})"
        for name, count in sorted(counts.items())
        if count < MIN_PER_CLASS
    ]
    if sparse:
        raise InvalidInput(
            f"{place}: expected at least {MIN_PER_CLASS} images a class outside of a given test "
            f"part (one to train on, one to validate), got {listed(sparse)}; add images or "
            "remove the class"
        )
