"""A journal that needs recovery: the blocks of its log, and other blocks as they are until then.

Rules: fs/jbd2/commit.c:jbd2_journal_commit_transaction and fs/jbd2/journal.c.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property, partial

from ..arithmetic import ceil_div
from ..bits import high_32, low_16, low_32
from ..ondisk.checksum import CRC_START, crc32c
from ..ondisk.journal import (
    JBD2_COMMIT_BLOCK,
    JBD2_DESCRIPTOR_BLOCK,
    JBD2_MAGIC_NUMBER,
    JBD2_REVOKE_BLOCK,
    JOURNAL_HEADER,
)
from ..ondisk.journal_log import (
    JBD2_CRC32_CHKSUM,
    JBD2_CRC32_CHKSUM_SIZE,
    JBD2_FLAG_ESCAPE,
    JBD2_FLAG_LAST_TAG,
    JBD2_FLAG_SAME_UUID,
    JOURNAL_BLOCK_TAG,
    JOURNAL_BLOCK_TAG3,
    JOURNAL_BLOCK_TAIL,
    JOURNAL_COMMIT_HEADER,
    JOURNAL_REVOKE_HEADER,
)
from ..ondisk.superblock import EXT4_JOURNAL_INO
from ..ondisk.units import Make, Unit, UnitKind, UnitRun
from ..planning.layout import ImagePlan
from ..planning.states.journal import JournalState, LogBlock, Version, Write, log_blocks
from ..planning.states.room import log_length, shape_of
from .data import copy_jobs
from .fast_commits import FastCommits
from .older_versions import MAGIC, version_of

_KINDS = {
    "descriptor": UnitKind.JOURNAL_DESCRIPTOR,
    "revoke": UnitKind.JOURNAL_REVOKE,
    "block": UnitKind.JOURNAL_BLOCK,
    "commit": UnitKind.JOURNAL_COMMIT,
}


class JournalLog:
    """The log of one layout; ``runs`` is all its other metadata."""

    def __init__(self, layout: ImagePlan, state: JournalState, runs: Sequence[UnitRun]) -> None:
        self._layout, self._state, self._runs = layout, state, runs
        self._size = layout.block_size
        self._shape = shape_of(layout, state)
        self._seed = crc32c(CRC_START, layout.uuid.bytes)
        self._fast = FastCommits(layout, state) if state.fast_commits else None
        self._at_home: dict[int, Version] = {}
        if self._fast is not None:
            # Before recovery, these blocks are as the transactions leave them: no fast commits.
            self._at_home = dict.fromkeys(self._fast.blocks, "right")
        self._at_home.update(state.at_home)

    # -- public ----------------------------------------------------------------------------------

    def written(self) -> Iterator[UnitRun]:
        """Yield all metadata as it is before recovery, and the log."""
        changed = sorted(self._at_home)
        for run in self._runs:
            blocks = self._overlapped(run, changed)
            yield run._replace(make=partial(self._before, run, blocks)) if blocks else run
        yield from self._log()
        if self._fast is not None:
            yield from self._fast_commits()

    # -- blocks that transactions write ------------------------------------------------------------

    def _overlapped(self, run: UnitRun, blocks: list[int]) -> list[int]:
        """Return those of ``blocks``, which ascend, that overlap a run."""
        first = run.offset // self._size
        last = (run.offset + run.size * run.count - 1) // self._size
        return blocks[bisect_left(blocks, first) : bisect_right(blocks, last)]

    def _before(self, run: UnitRun, blocks: list[int]) -> bytearray:
        """Return the bytes of a run, with ``blocks`` as they are before recovery."""
        assert run.make is not None
        data = bytearray(run.make())
        for block in blocks:
            changed = self._version(block, self._at_home[block])
            first = max(block * self._size, run.offset)
            end = min((block + 1) * self._size, run.offset + len(data))
            start = block * self._size
            data[first - run.offset : end - run.offset] = changed[first - start : end - start]
        return data

    def _version(self, block: int, version: Version) -> bytes:
        data, units = self._right[block]
        return version_of(self._layout.format, block, version, data, units)

    @cached_property
    def _right(self) -> dict[int, tuple[bytes, list[Unit]]]:
        """By block: its bytes after all transactions, and the units in it."""
        found = self._final()
        self._inodes: dict[int, bytes] = {}
        if self._fast is not None:
            self._inodes = self._fast.revert({block: data for block, (data, _) in found.items()})
        return {block: (bytes(data), units) for block, (data, units) in found.items()}

    def _final(self) -> dict[int, tuple[bytearray, list[Unit]]]:
        """Return by block: its bytes after recovery, and the units in it."""
        state, size = self._state, self._size
        every = [*state.transactions, *([state.uncommitted] if state.uncommitted else [])]
        wanted = sorted({block for each in every for block, _ in each.writes} | {*self._at_home})
        found: dict[int, tuple[bytearray, list[Unit]]] = {
            block: (bytearray(size), []) for block in wanted
        }
        for run in self._runs:
            blocks = self._overlapped(run, wanted)
            if not blocks:
                continue
            assert run.make is not None
            data = bytes(run.make())
            for block in blocks:
                start = block * size
                first, end = max(start, run.offset), min(start + size, run.offset + len(data))
                buffer, units = found[block]
                buffer[first - start : end - start] = data[first - run.offset : end - run.offset]
                place = max(0, ceil_div(start - run.offset, run.size))
                end_place = min(run.count, ceil_div(start + size - run.offset, run.size))
                for number in range(place, end_place):
                    unit = run.unit(number)
                    generation = 0
                    if unit.kind is UnitKind.DIR_BLOCK:
                        generation = self._layout.inode_choices.generation(unit.owner)
                    units.append(unit._replace(make=None, generation=generation))
        known = {block for block, (_, units) in found.items() if units}
        self._read_content(found, [block for block in wanted if block not in known])
        return found

    def _read_content(
        self, found: dict[int, tuple[bytearray, list[Unit]]], blocks: list[int]
    ) -> None:
        """Fill in those of ``blocks``, which ascend, that hold file content."""
        size = self._size
        if not blocks:
            return
        for offset, content, start, length in copy_jobs(self._layout):
            low = bisect_left(blocks, ceil_div(offset, size))
            held = blocks[low : bisect_left(blocks, ceil_div(offset + length, size))]
            if not held:
                continue
            reader = content.open()
            try:
                for block in held:
                    at = block * size - offset
                    count = min(size, length - at)
                    view = memoryview(found[block][0])[:count]
                    done = 0
                    while done < count:
                        got = reader.readinto(view[done:], start + at + done)
                        if not got:
                            break  # the copier reports that the source has changed
                        done += got
            finally:
                reader.close()

    # -- the log ---------------------------------------------------------------------------------

    def _log(self) -> Iterator[UnitRun]:
        size = self._size
        places, last = self._physical_blocks, log_length(self._layout)
        position = self._state.start
        summed: list[Make] = []
        for block in log_blocks(self._state, self._shape):
            make = self._maker(block, summed)
            if block.kind in ("descriptor", "block"):
                summed.append(make)
            elif block.kind == "commit":
                summed = []
            yield UnitRun(
                _KINDS[block.kind],
                EXT4_JOURNAL_INO,
                position,
                places[position] * size,
                size,
                make=make,
            )
            position = position + 1 if position < last else 1

    @cached_property
    def _physical_blocks(self) -> list[int]:
        """By logical block of the journal: its block in the image."""
        runs = self._layout.placement.system[EXT4_JOURNAL_INO].runs
        return [block for run in runs for block in range(run.physical, run.physical + run.length)]

    def _fast_commits(self) -> Iterator[UnitRun]:
        """Yield the fast-commit blocks after the log; their first is never used (jbd2_fc_init)."""
        first, size = log_length(self._layout) + 2, self._size
        for number in range(first, first + len(self._tags)):
            yield UnitRun(
                UnitKind.FAST_COMMIT,
                EXT4_JOURNAL_INO,
                number,
                self._physical_blocks[number] * size,
                size,
                make=partial(self._tags.__getitem__, number - first),
            )

    @cached_property
    def _tags(self) -> list[bytes]:
        assert self._fast is not None
        assert self._right
        return self._fast.contents(self._inodes)

    def _maker(self, block: LogBlock, summed: list[Make]) -> Make:
        if block.kind == "descriptor":
            return partial(self._descriptor, block)
        if block.kind == "revoke":
            return partial(self._revokes, block)
        if block.kind == "commit":
            return partial(self._commit, block, tuple(summed))
        return partial(self._stored, block.writes[0])

    def _stored(self, write: Write) -> bytes:
        """Return a block as the log stores it: a magic number at its start is escaped."""
        data = self._version(*write)
        return bytes(len(MAGIC)) + data[len(MAGIC) :] if data.startswith(MAGIC) else data

    def _header(self, kind: int, block: LogBlock) -> dict[str, int]:
        return {
            "h_magic": JBD2_MAGIC_NUMBER,
            "h_blocktype": kind,
            "h_sequence": block.sequence,
        }

    def _descriptor(self, block: LogBlock) -> bytearray:
        data = bytearray(JOURNAL_HEADER.pack(self._header(JBD2_DESCRIPTOR_BLOCK, block)))
        for place, write in enumerate(block.writes):
            flags = 0
            if self._version(*write).startswith(MAGIC):
                flags |= JBD2_FLAG_ESCAPE
            if place:
                flags |= JBD2_FLAG_SAME_UUID
            if place == len(block.writes) - 1:
                flags |= JBD2_FLAG_LAST_TAG
            data += self._tag(block.sequence, write, flags)
            if not place:
                data += self._layout.uuid.bytes
        return self._with_tail(data)

    def _tag(self, sequence: int, write: Write, flags: int) -> bytes:
        shape = self._shape
        checksum = 0
        if shape.checksum in ("v2", "v3"):
            # fs/jbd2/commit.c:jbd2_block_tag_csum_set
            number = crc32c(self._seed, struct.pack(">I", sequence))
            checksum = crc32c(number, self._stored(write))
        record = JOURNAL_BLOCK_TAG
        if shape.checksum == "v3":
            record = JOURNAL_BLOCK_TAG3
        else:
            checksum = low_16(checksum)
        tag = record.pack(
            {
                "t_blocknr": low_32(write.block),
                "t_blocknr_high": high_32(write.block),
                "t_flags": flags,
                "t_checksum": checksum,
            }
        )
        return tag[: shape.tag_size].ljust(shape.tag_size, b"\0")

    def _revokes(self, block: LogBlock) -> bytearray:
        width = 8 if self._shape.is_64bit else 4
        numbers = b"".join(number.to_bytes(width, "big") for number in block.revokes)
        head = JOURNAL_REVOKE_HEADER.pack(
            {
                **self._header(JBD2_REVOKE_BLOCK, block),
                "r_count": JOURNAL_REVOKE_HEADER.size + len(numbers),
            }
        )
        return self._with_tail(bytearray(head + numbers))

    def _with_tail(self, data: bytearray) -> bytearray:
        """Pad ``data`` to a block, and put its checksum at the end if the log has checksums."""
        data += bytes(self._size - len(data))
        if self._shape.checksum in ("v2", "v3"):
            tail = JOURNAL_BLOCK_TAIL.pack({"t_checksum": crc32c(self._seed, data)})
            data[-len(tail) :] = tail
        return data

    def _commit(self, block: LogBlock, summed: Sequence[Make]) -> bytearray:
        """Build a commit block; ``summed`` builds the transaction's descriptors and blocks."""
        values: dict[str, int | bytes | list[int]] = {
            **self._header(JBD2_COMMIT_BLOCK, block),
            "h_commit_sec": max(self._layout.epoch, 0),
        }
        if self._shape.checksum == "v1":
            # fs/jbd2/commit.c:journal_submit_commit_record
            from ..ondisk.crc32 import crc32_be  # imported late: few journals have such checksums

            crc = CRC_START
            for make in summed:
                crc = crc32_be(crc, make())
            values["h_chksum_type"] = JBD2_CRC32_CHKSUM
            values["h_chksum_size"] = JBD2_CRC32_CHKSUM_SIZE
            values["h_chksum"] = [crc] + [0] * 7
        data = bytearray(JOURNAL_COMMIT_HEADER.pack(values).ljust(self._size, b"\0"))
        if self._shape.checksum in ("v2", "v3"):
            at = JOURNAL_COMMIT_HEADER.offset("h_chksum")
            data[at : at + 4] = struct.pack(">I", crc32c(self._seed, data))
        return data
