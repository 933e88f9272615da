"""External journals: created by -O journal_dev, used by -J device=."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from ext4writer.errors import RecordError
from ext4writer.late_dataclasses import NamedTuple
from ext4writer.ondisk.format import Format
from ext4writer.ondisk.journal import (
    JBD2_MIN_JOURNAL_BLOCKS,
    JOURNAL_SUPERBLOCK,
    journal_device_start,
)
from ext4writer.ondisk.superblock import EXT4_SUPER_MAGIC, SUPERBLOCK, SUPERBLOCK_OFFSET
from ext4writer.planning.system_files.journal import MAX_JOURNAL_DEVICE_BLOCKS

from .refusal import Mistake, Refusal

if TYPE_CHECKING:
    from ext4writer import Layout

    from .arguments import Arguments
    from .console import Console
    from .settings import Clock, JournalDevice
    from .target import Target


class ExistingJournal(NamedTuple):
    """An existing journal device."""

    block_size: int
    """In bytes."""
    blocks: int
    uuid: UUID
    device: int
    """The device number (``st_rdev``); 0 for a file."""


def device_path(name: str) -> str:
    """Return the path of the journal device for ``UUID=...`` or ``LABEL=...``.

    Any other ``name`` is a path and returned unchanged. Raises :class:`Mistake` if no journal
    device of this machine has that UUID or label.
    """
    kind, _, wanted = name.partition("=")
    if kind not in ("UUID", "LABEL"):
        return name
    with suppress(OSError), open("/proc/partitions", encoding="utf-8") as file:
        for line in file:
            # After the heading, columns are major, minor, blocks and name, with ! for slashes.
            path = "/dev/" + line.split()[-1].replace("!", "/") if line.split() else ""
            with suppress(OSError, RecordError, ValueError), open(path, "rb") as device:
                device.seek(SUPERBLOCK_OFFSET)
                data = device.read(SUPERBLOCK.size)
                fields = SUPERBLOCK.parse(data)
                label, uuid = fields["s_volume_name"], fields["s_uuid"]
                assert isinstance(label, bytes) and isinstance(uuid, bytes)
                text = {"LABEL": os.fsdecode(label.rstrip(b"\0")), "UUID": str(UUID(bytes=uuid))}
                is_ext = fields["s_magic"] == EXT4_SUPER_MAGIC
                if is_ext and text[kind] == wanted and Format.of_superblock(data).journal_dev:
                    return path
    raise Mistake(f"-J device={name}: no journal device of this machine has that {kind}")


def _superblock(path: str) -> tuple[Format, ExistingJournal]:
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            file.seek(SUPERBLOCK_OFFSET)
            data = file.read(SUPERBLOCK.size)
            fields = SUPERBLOCK.parse(data)
            fmt = Format.of_superblock(data)
            file.seek(journal_device_start(fmt.block_size) * fmt.block_size)
            journal = JOURNAL_SUPERBLOCK.parse(file.read(JOURNAL_SUPERBLOCK.size))
    except OSError as error:
        raise Mistake(f"{error.strerror} while trying to open journal device {path}\n") from None
    except (RecordError, ValueError):
        raise _none(path) from None
    if fields["s_magic"] != EXT4_SUPER_MAGIC or not fmt.journal_dev:
        raise _none(path)
    if journal["s_nr_users"]:
        raise Mistake(
            f"{path} is the journal of another file system; recreate it with -O journal_dev"
        )
    blocks, uuid = fields["s_blocks_count_lo"], fields["s_uuid"]
    assert isinstance(blocks, int) and isinstance(uuid, bytes)
    number = status.st_rdev if stat.S_ISBLK(status.st_mode) else 0
    return fmt, ExistingJournal(fmt.block_size, blocks, UUID(bytes=uuid), number)


def _none(path: str) -> Mistake:
    return Mistake(f"{path} is not a journal device; create one with -O journal_dev")


def block_size_of(path: str, least: int) -> int:
    """The block size in bytes of a journal device, which the file system must share.

    Raises :class:`Mistake` if it is below ``least`` bytes.
    """
    size = _superblock(path)[1].block_size
    if size < least:
        raise Mistake(f"Journal dev blocksize ({size}) smaller than minimum blocksize {least}\n")
    return size


def usable_journal(path: str, block_size: int) -> ExistingJournal:
    """The journal device at ``path``; raises :class:`Mistake` if it cannot be used."""
    found = _superblock(path)[1]
    if found.block_size != block_size:
        raise Mistake(
            f"{path} has blocks of {found.block_size} bytes, but the file system has {block_size}"
        )
    return found


def make_journal_device(
    wanted: JournalDevice,
    arguments: Arguments,
    target: Target,
    console: Console,
    clock: Clock,
    offset: int,
) -> None:
    """Create a journal device that no file system uses yet (misc/mke2fs.c:create_journal_dev).

    ``offset`` is in bytes. Raises :class:`Refusal`, and the library's errors.
    """
    from ext4writer import Spec, SpecError, Tree, plan, write_journal

    from .settings import chosen_hash_seed, chosen_uuid, option_mistake
    from .writing import open_region

    block_size = wanted.options["block_size"]
    # fs/jbd2/journal.c:journal_reset counts from the first block of the log; mke2fs does not.
    least = JBD2_MIN_JOURNAL_BLOCKS + journal_device_start(block_size)
    if wanted.blocks < least:
        raise Refusal(
            f"{arguments.device}: Journal must be at least {least} blocks "
            "while splitting the journal size\n"
        )
    if wanted.blocks > MAX_JOURNAL_DEVICE_BLOCKS:
        raise Refusal(
            f"{arguments.device}: a journal has at most {MAX_JOURNAL_DEVICE_BLOCKS} blocks, not "
            f"{wanted.blocks}; give a smaller SIZE\n"
        )
    derived = clock.is_given
    try:
        spec = Spec(
            # Only the journal is written, so the size of the file system does not matter.
            size=8192 * block_size,
            journal=wanted.blocks * block_size,
            journal_device=True,
            journal_uuid=chosen_uuid(arguments.uuid, arguments.device, derived),
            hash_seed=chosen_hash_seed(wanted.extended, derived),
            epoch=clock.seconds,
            **wanted.options,
        )
    except SpecError as error:
        raise option_mistake(error) from error
    layout: Layout = plan(Tree(), spec)
    always = arguments.dry_run
    if not always:
        console.out(target.announcement())
    text = f"Creating filesystem with {wanted.blocks} {block_size >> 10}k blocks"
    console.out(f"{text} and 0 inodes\n", always=always)
    console.out(f"Filesystem UUID: {layout.journal_uuid}\n", always=always)
    console.out("Superblock backups stored on blocks: \n\n", always=always)
    if arguments.dry_run:
        return
    with open_region(target, offset, layout.journal_bytes) as (path, begins):
        write_journal(layout, path, offset=begins, unused=True)
    console.numeric("Zeroing journal device: ", wanted.blocks, "")
    console.out("\n", always=True)
