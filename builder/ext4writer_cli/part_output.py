"""One part of an image, as a file of its own."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import click

from ext4writer import Layout
from ext4writer.content import write_at
from ext4writer.inputs import check_output
from ext4writer.layout import plan_of
from ext4writer.output.beside import NewFile
from ext4writer.output.formats import disk_of
from ext4writer.output.sink import output_error
from ext4writer.progress import Cancel, check_cancelled
from ext4writer.virtual.parts import part_of_count

from .options import OutputOptions
from .output import PathOutput, StandardOutput, Stored

PIECE_BYTES = 1 << 20


class PartOutput(PathOutput):
    """A new file with one part of the image; zeros are holes in it."""

    writes_journal = False

    def __init__(self, path: str, part: tuple[int, int], options: OutputOptions) -> None:
        super().__init__(path, options)
        disk = None if options.raw else options.format or disk_of(os.fsencode(path))
        if self.kind is not None or self.is_device or options.offset is not None or disk:
            raise click.UsageError("--part makes a plain new file, or writes to '-'")
        self._part = part

    def write(self, layout: Layout, **options: Any) -> Stored:
        check_output(plan_of(layout), self.path)
        cancel: Cancel | None = options.get("cancel")
        digest = hashlib.sha256()
        with layout.open(overrides=options.get("overrides", ())) as image:
            part = part_of_count(image, *self._part)
            name = os.fsencode(self.path)
            try:
                file = NewFile(name)
                try:
                    buffer = memoryview(bytearray(PIECE_BYTES))
                    end = part.offset + part.size
                    os.ftruncate(file.fd, part.size)
                    for low, high, is_zero in image.allocation(part.offset, part.size):
                        for offset in range(low, high, PIECE_BYTES):
                            check_cancelled(cancel)
                            view = buffer[: min(PIECE_BYTES, high - offset)]
                            if is_zero:
                                view[:] = bytes(len(view))
                            else:
                                image.preadinto(offset, view)
                                _write(file.fd, view, offset - part.offset)
                            digest.update(view)
                    assert end <= image.size
                    file.commit(sync=self._options.sync)
                finally:
                    file.abort()
            except OSError as error:
                raise output_error(name, error, part.size) from error
        return Stored(part.size, os.stat(self.path).st_blocks * 512, digest.hexdigest())


class PartStream(StandardOutput):
    """One part of the image on standard output."""

    writes_journal = False

    def __init__(self, part: tuple[int, int], options: OutputOptions) -> None:
        super().__init__(options)
        self._part = part

    def write(self, layout: Layout, **options: Any) -> Stored:
        digest = hashlib.sha256()
        stream = self._stream()
        with layout.open(overrides=options.get("overrides", ())) as image:
            part = part_of_count(image, *self._part)
            try:
                for piece in part:
                    check_cancelled(options.get("cancel"))
                    digest.update(piece)
                    view = memoryview(piece)
                    while view:
                        view = view[stream.write(view) :]
            except OSError as error:
                raise output_error(self.name, error, part.size) from error
            stream.check(sync=self._sync)
        return Stored(part.size, 0, digest.hexdigest())


def _write(fd: int, view: memoryview, offset: int) -> None:
    while view:
        count = write_at(fd, view, offset)
        view, offset = view[count:], offset + count


def part_output(
    destination: str, part: tuple[int, int], options: OutputOptions
) -> PartOutput | PartStream:
    """The output for one part that ``-o`` names."""
    for name in ("zstd_level", "dm_verity", "bmap", "chunks"):
        if getattr(options, name) is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} and --part contradict each other")
    if destination != "-":
        return PartOutput(destination, part, options)
    if options.offset is not None:
        raise click.UsageError("--offset needs an --output that is a file or a device")
    return PartStream(part, options)
