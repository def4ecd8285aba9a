"""Image files, decoded as the data set's images were, a block at a time."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from flowers17.config import ResizeName
from flowers17.data.decoding import squares
from flowers17.data.encoded import file_content
from flowers17.errors import InvalidInput, UnusableImage
from flowers17.terminal import printable

STANDARD_INPUT = "-"
Refuse = Callable[[str], None]


@dataclass(frozen=True)
class Block:
    """Decoded images: their paths, and their squares, uint8 (n, s, s, 3), by side s.

    memo: results that models share on the same block, by their own keys.
    """

    paths: tuple[str, ...]
    squares: Mapping[int, np.ndarray]
    memo: dict[str, Any] = field(default_factory=dict)

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """The result under a key, computed at the first call."""
        if key not in self.memo:
            self.memo[key] = compute()
        return self.memo[key]


def image_paths(names: Iterable[str], lines: Iterable[bytes], refuse: Refuse) -> Iterator[str]:
    """Yield paths of files, in the order of names; of a folder, all visible files below, sorted.

    names: paths, and `-` for those on standard input. lines: standard input, a path a line, in the
    file system's encoding; empty lines are passed over. refuse: called with the reason if a folder
    has no images.
    Linked folders below a folder are not followed, and refused if their images would be missing.
    """
    for name in names:
        if name != STANDARD_INPUT:
            yield from _below(name, refuse)
            continue
        for line in lines:
            line_name = os.fsdecode(line.rstrip(b"\r\n"))
            if line_name:
                yield from _below(line_name, refuse)


def blocks(
    paths: Iterable[str],
    sizes: Iterable[int],
    n_at_once: int,
    refuse: Refuse,
    resize: ResizeName = "crop",
    n_first: int | None = None,
    depth: int = 16,
) -> Iterator[Block]:
    """Yield blocks of decoded images in the order of their paths; the last may be shorter.

    depth: see `decoding.squares`. n_first: images of the first block, if fewer than of the others.
    While one block is used, the next is decoded. Images that cannot be used are left out; `refuse`
    is called with the reason.
    """
    sides = tuple(sorted(set(sizes)))
    remaining = iter(paths)
    waiting: deque[tuple[str, Future[dict[int, np.ndarray]]]] = deque()
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))

    def look_ahead() -> None:
        for path in islice(remaining, n_at_once - len(waiting)):
            waiting.append((path, pool.submit(_squares, path, None, sides, resize, depth)))

    try:
        decoded: list[tuple[str, dict[int, np.ndarray]]] = []
        n_in_block = min(n_at_once, n_first or n_at_once)
        look_ahead()
        while waiting:
            path, future = waiting.popleft()
            look_ahead()
            try:
                decoded.append((path, future.result()))
            except InvalidInput as problem:
                refuse(str(problem))
            if len(decoded) == n_in_block:
                yield _block(decoded, sides)
                decoded, n_in_block = [], n_at_once
        if decoded:
            yield _block(decoded, sides)
    finally:
        pool.shutdown(cancel_futures=True)


def picture(
    data: bytes, name: str, sizes: Iterable[int], resize: ResizeName = "crop", depth: int = 16
) -> Block:
    """A block of one image file's content; raises InvalidInput if it is no image of bounded size.

    name: of the file, for errors.
    """
    sides = tuple(sorted(set(sizes)))
    return _block([(name, _squares(name, data, sides, resize, depth))], sides)


def _block(decoded: Sequence[tuple[str, dict[int, np.ndarray]]], sides: Sequence[int]) -> Block:
    paths = tuple(path for path, _ in decoded)
    return Block(
        paths, {side: np.stack([squares[side] for _, squares in decoded]) for side in sides}
    )


def _squares(
    name: str, content: bytes | None, sides: Sequence[int], resize: ResizeName, depth: int
) -> dict[int, np.ndarray]:
    """Squares of an image file by side; an error leaves out what only a data set could do.

    content: of the file; None: it is read.
    """
    title = printable(name)
    data = file_content(Path(name), title) if content is None else content
    try:
        if isinstance(data, UnusableImage):
            raise data
        return squares(data, title, sides, resize=resize, depth=depth).squares
    except UnusableImage as problem:
        kind, _, advice = problem.kind.partition("; ")
        if advice.startswith(("convert", "install")):
            kind += f"; {advice.removesuffix(', or remove it')}"
        raise UnusableImage(problem.name, kind, problem.detail) from problem


def _below(name: str, refuse: Refuse) -> Iterator[str]:
    """Yield a file's own path, or the paths of all files below a folder."""
    if not name:  # to Path, the folder one stands in
        refuse("expected the path of an image or folder, got an empty one")
        return
    try:
        is_folder = Path(name).is_dir()
    except OSError:  # told when it is to be read
        is_folder = False
    if not is_folder:
        yield name
        return

    def unreadable(problem: OSError) -> None:
        refuse(f"folder {printable(str(problem.filename))}: cannot be read ({problem.strerror})")

    paths = []
    for folder, inner, names in os.walk(name, onerror=unreadable):
        inner[:] = [child for child in inner if not child.startswith(".")]  # as os.walk wants
        paths += [str(Path(folder, child)) for child in names if not child.startswith(".")]
        for link in filter(Path.is_symlink, (Path(folder, child) for child in inner)):
            if not _is_walked(link, Path(name)):
                refuse(
                    f"folder {printable(str(link))}: expected a folder, got a link to one that is "
                    f"not among those below {printable(name)}; give it by itself"
                )
    if not paths:
        refuse(f"folder {printable(name)}: expected images below it, got none")
    yield from sorted(paths)


def _is_walked(link: Path, root: Path) -> bool:
    """Whether the target of a link is found below a folder without the link."""
    target, top = link.resolve(), root.resolve()
    return target.is_relative_to(top) and not any(
        folder_name.startswith(".") for folder_name in target.relative_to(top).parts
    )
