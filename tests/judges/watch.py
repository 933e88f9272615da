"""Ensures that every image a test writes is judged.

There are two nets. The library's ``write_layout``, which writes every image, is wrapped: its output
is judged immediately, so a property test cannot overwrite an image before it is judged. After each
test, its ``tmp_path`` is searched for images that the wrapper missed, such as those of another
process.

Images written with overrides are meant to be wrong and are not judged. A test that damages images
by other means says so with the marker ``damaged`` or with ``watch.damaged(path)``.
"""

from __future__ import annotations

import functools
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ext4writer
from ext4writer import api

from . import raw
from .fsck import Level, judge, judge_bytes
from .tools import find

FULL_BYTES_MAX = 64 << 20
"""Images that use more disk space are only judged quickly."""

ENTRIES_SEARCHED_MAX = 20_000

COMPRESSED = {".zst", ".gz", ".xz"}

Stamp = tuple[int, int, int]


class Watch:
    """The images of the running test."""

    def __init__(self) -> None:
        self.judging = False
        self._level: Level = "full"
        self._judged: dict[Path, Stamp] = {}
        self._damaged: set[Path] = set()
        self.count = 0
        """The number of images judged in this test."""

    def start(self, *, judging: bool, level: Level) -> None:
        """Begin a test. ``level`` applies to its first image only, as there are often many."""
        self.judging = judging and find("e2fsck") is not None
        self._level = level
        self._judged.clear()
        self._damaged.clear()
        self.count = 0

    def damaged(self, path: Path) -> None:
        """Do not judge the file at ``path`` for the rest of the test."""
        self._damaged.add(path.absolute())

    def judge(self, path: Path, level: Level | None = None) -> None:
        """Judge the image at ``path`` unless it is damaged on purpose or already judged."""
        path = path.absolute()
        if not self.judging or path in self._damaged or self._judged.get(path) == _stamp(path):
            return
        if level is None:
            level = self._level
            if path.stat().st_blocks * 512 > FULL_BYTES_MAX:
                level = "quick"
        judge(path, level, clock=clock_of(path))
        self._level = "quick"
        self._judged[path] = _stamp(path)
        self.count += 1

    def search(self, folder: Path) -> None:
        """Judge every image below ``folder`` that has not been judged."""
        if self.judging:
            for path in _files(folder):
                if raw.looks_like_ext4(path):
                    self.judge(path, "quick")

    def written(
        self,
        output: object,
        size: int,
        *,
        offset: int | None = None,
        overrides: object = (),
        disk: str | None = None,
    ) -> None:
        """Judge the ``size`` bytes that the library has just written to ``output``."""
        if isinstance(output, str | bytes | os.PathLike):
            path = Path(os.fsdecode(output))
            if overrides:
                self.damaged(path)
            elif not path.is_file() or not self.judging or path.parts[1:2] in (("dev",), ("proc",)):
                return
            elif offset is not None:
                self.damaged(path)  # a disk around an image is not an image
                with open(path, "rb") as file:
                    file.seek(offset)
                    self._judge_bytes(file.read(size))
            elif raw.looks_like_ext4(path) or (
                path.suffix.lower() not in (*COMPRESSED, ".qcow2", ".simg", ".vhd")
                and disk in (None, "raw")
            ):
                self.judge(path)
        elif overrides or not self.judging:
            return
        elif isinstance(output, bytearray):
            self._judge_bytes(output[offset or 0 :][:size])
        elif isinstance(output, io.BytesIO):
            end = output.tell()
            self._judge_bytes(output.getvalue()[end - size : end])

    def _judge_bytes(self, image: bytes | bytearray) -> None:
        judge_bytes(image)
        self.count += 1


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _files(folder: Path) -> Iterator[Path]:
    """The regular files below ``folder``, up to a limit."""
    left = ENTRIES_SEARCHED_MAX
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink() and path.is_file():
                yield path
        left -= len(names) + 1
        if left < 0:
            return


def clock_of(path: Path) -> int | None:
    """The clock that e2fsck needs for an image with times in the future."""
    with open(path, "rb") as file:
        superblock = raw.read_superblock(file)
    stamps = [(0x2C, 0x275), (0x30, 0x274), (0x40, 0x277)]
    latest = max(superblock.u32(low) | superblock.data[high] << 32 for low, high in stamps)
    return latest if latest > time.time() else None


watch = Watch()
"""The only instance; the fixtures of ``conftest.py`` control it."""


def install() -> None:
    """Wrap ``write_layout`` for the rest of the run."""
    if getattr(api.write_layout, "watched", False):
        return
    wrapped = _watched(api.write_layout)
    api.write_layout = wrapped
    ext4writer.write_layout = wrapped


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def write_layout(layout: Any, output: Any, **options: Any) -> Any:
        result = function(layout, output, **options)
        watch.written(
            output,
            layout.size_bytes,
            offset=options.get("offset"),
            overrides=options.get("overrides"),
            disk=options.get("format"),
        )
        return result

    write_layout.watched = True  # type: ignore[attr-defined]
    return write_layout
