"""Small file systems of their own: a full one, a read-only one, one that fails; need root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a tmpfs on a new folder, or skip the test where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, *options: str) -> None:
    """Change the options of a mounted file system."""
    choice = ",".join(("remount", *options))
    subprocess.run(["mount", "-o", choice, str(folder)], check=True)


class Disk:
    """An ext4 file system in a file: it becomes read-only under those who write, and is mended."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder, self._image = folder, image

    def attach(self) -> None:
        """Mount it, or skip the test where that is not allowed."""
        command = ["mount", "-o", "loop", str(self._image), str(self.folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a file by a loop device is not permitted here")

    def fail(self) -> None:
        """Refuse every write from now on, as the kernel does when a disk returns errors."""
        remount(self.folder, "abort")

    def mend(self) -> None:
        """Mount it anew, with what had reached the disk."""
        self.detach()
        self.attach()

    def detach(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", str(self.folder)], check=True)


@contextmanager
def failing_disk(folder: Path) -> Iterator[Disk]:
    """Mount a small disk on a new folder, or skip the test where that is not allowed."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("making a small disk needs root and mkfs.ext4")
    folder.mkdir()
    image = folder.with_suffix(".img")
    with image.open("wb") as stream:
        stream.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    disk = Disk(folder, image)
    disk.attach()
    try:
        yield disk
    finally:
        disk.detach()
        image.unlink()
