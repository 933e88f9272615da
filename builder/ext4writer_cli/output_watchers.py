"""Digests and maps of an image that are computed while the image is written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any
from uuid import UUID

from ext4writer import Layout
from ext4writer.inputs import check_output
from ext4writer.layout import plan_of
from ext4writer.output.atomic_file import write_file
from ext4writer.output.sink import Buffer, output_error
from ext4writer.watchers import Bmap, Chunks, DmVerity

from .options import APPEND, OutputOptions

CHUNK_BYTES = 4 << 20
SALT_BYTES = 32


class OutputWatchers:
    """The watchers that the options request, and the files that they write."""

    def __init__(self, layout: Layout, options: OutputOptions) -> None:
        """Raises ``SpecError`` for a salt that is too long.

        Raises ``OutputError`` if one of the files is a source of the image.
        """
        for path in options.files().values():
            check_output(plan_of(layout), path)
        self._options = options
        self._verity: DmVerity | None = None
        self._bmap: Bmap | None = None
        self._chunks: Chunks | None = None
        size = layout.size_bytes
        if options.dm_verity is not None:
            salt = options.dm_verity_salt
            if salt is None:
                # veritysetup uses a random salt. A salt derived from the UUID is reproducible, and
                # protects equally well against precomputed tables.
                salt = hashlib.sha256(b"dm-verity salt" + layout.uuid.bytes).digest()[:SALT_BYTES]
            uuid = options.dm_verity_uuid
            if uuid is None:
                digest = bytearray(hashlib.sha256(b"dm-verity uuid" + layout.uuid.bytes).digest())
                # RFC 9562: version 8 is for custom values, variant 10 for all UUIDs of the RFC.
                digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80
                uuid = UUID(bytes=bytes(digest[:16]))
            self._verity = DmVerity(size, salt=salt, uuid=uuid)
        if options.bmap is not None:
            self._bmap = Bmap(size, layout.unused)
        if options.chunks is not None:
            self._chunks = Chunks(options.chunk_size or CHUNK_BYTES)

    @property
    def trailer(self) -> DmVerity | None:
        """The hash tree to append to the image; None if nothing is appended."""
        return self._verity if self._options.dm_verity == APPEND else None

    def watch(self, other: Callable[[Buffer], object] | None) -> Callable[[Buffer], object] | None:
        """Return one function that passes all bytes of the image to all watchers and ``other``.

        None if there are neither.
        """
        verity = None if self.trailer is not None else self._verity
        watchers: list[Callable[[Buffer], object]] = [
            each.update for each in (verity, self._bmap, self._chunks) if each is not None
        ]
        if other is not None:
            watchers.append(other)
        if len(watchers) < 2:
            return watchers[0] if watchers else None

        def all_of_them(data: Buffer) -> None:
            for watch in watchers:
                watch(data)

        return all_of_them

    def store(self) -> dict[str, Any]:
        """Write the files after the image is written; return facts for the report."""
        facts: dict[str, Any] = {}
        options = self._options
        if self._verity is not None:
            facts["dm_verity"] = self._verity.facts()
            if options.dm_verity not in (None, APPEND):
                _write(options.dm_verity, self._verity.finish())
        if self._bmap is not None and options.bmap is not None:
            _write(options.bmap, self._bmap.finish())
        if self._chunks is not None and options.chunks is not None:
            chunks, whole = self._chunks.finish()
            lines = [f"{each.offset} {each.size} {each.sha256}\n" for each in chunks]
            _write(options.chunks, "".join(lines).encode())
            facts["sha256"] = whole
        return facts


def _write(path: str | None, data: bytes) -> None:
    assert path is not None
    name = os.fsencode(path)
    try:
        write_file(name, data)
    except OSError as error:
        raise output_error(name, error, len(data)) from error
