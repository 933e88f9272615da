"""The outputs for one part of an image."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import click

from ext4writer import Layout
from ext4writer.inputs import check_output
from ext4writer.layout import plan_of
from ext4writer.output.atomic_file import NewFile
from ext4writer.output.formats import disk_of
from ext4writer.output.sink import output_error
from ext4writer.progress import Cancel, check_cancelled
from ext4writer.virtual.parts import Part, part_of_count, write_part

from .options import OutputOptions
from .output import PathOutput, StandardOutput, Stored


class PartOutput(PathOutput):
    """A new file with one part of the image, in which zeros are holes."""

    writes_journal = False

    def __init__(self, path: str, part: tuple[int, int], options: OutputOptions) -> None:
        super().__init__(path, options)
        disk = None if options.raw else options.format or disk_of(os.fsencode(path))
        if self.kind is not None or self.is_device or options.offset is not None or disk:
            raise click.UsageError("--part can only write a new raw file, or to '-'")
        self._part = part

    def write(self, layout: Layout, **options: Any) -> Stored:
        check_output(plan_of(layout), self.path)
        cancel: Cancel | None = options.get("cancel")
        with layout.open(overrides=options.get("overrides", ())) as image:
            part = part_of_count(image, *self._part)
            name = os.fsencode(self.path)
            try:
                file = NewFile(name)
                try:
                    os.ftruncate(file.fd, part.size)
                    digest = write_part(part, file.fd, 0, is_new=True, cancel=cancel)
                    file.commit(sync=self._options.sync)
                finally:
                    file.abort()
            except OSError as error:
                raise output_error(name, error, part.size) from error
        return Stored(part.size, os.stat(self.path).st_blocks * 512, digest, _facts(part))


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
        return Stored(part.size, 0, digest.hexdigest(), _facts(part))


def _facts(part: Part) -> dict[str, dict[str, int]]:
    facts = {name: getattr(part, name) for name in ("number", "count", "offset", "size")}
    return {"part": facts}


def part_output(
    destination: str, part: tuple[int, int], options: OutputOptions
) -> PartOutput | PartStream:
    """The output for part N of M, which are the numbers in ``part``."""
    for name in ("zstd_level", "dm_verity", "bmap", "chunks"):
        if getattr(options, name) is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} and --part contradict each other")
    if destination != "-":
        return PartOutput(destination, part, options)
    if options.offset is not None:
        raise click.UsageError("--offset needs an --output that is a file or a device")
    return PartStream(part, options)
