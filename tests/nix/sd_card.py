"""Disk images with an MBR, as nixpkgs' sd-image.nix creates them, on a larger card."""

from __future__ import annotations

import os
from pathlib import Path

from tests.judges.tools import run

MIB = 1 << 20
GAP = 8 * MIB
FIRMWARE = 30 * MIB
ROOT_START = GAP + FIRMWARE
ROOT_PARTITION = 2
CHUNK = 4 * MIB


def make_card(root: Path, card: Path, size: int) -> None:
    """Put the image ``root`` into the second partition of a card of ``size`` bytes."""
    root_size = root.stat().st_size
    with card.open("wb") as file:
        file.truncate(ROOT_START + root_size)
    table = (
        "label: dos\nlabel-id: 0x2178694e\n"
        f"start={GAP // MIB}M, size={FIRMWARE // 512}, type=b\n"
        f"start={ROOT_START // MIB}M, type=83, bootable\n"
    )
    run(["sfdisk", "--no-reread", "--no-tell-kernel", card], stdin=table.encode())
    _copy(root, 0, card, ROOT_START, root_size)
    os.truncate(card, size)


def take_root(card: Path, root: Path) -> None:
    """Write the bytes from the start of the second partition to the end of the card."""
    size = card.stat().st_size - ROOT_START
    root.touch()
    _copy(card, ROOT_START, root, 0, size)


def _copy(source: Path, source_start: int, target: Path, target_start: int, size: int) -> None:
    """Copy bytes, and leave holes where the source has some."""
    with source.open("rb") as one, target.open("r+b") as other:
        other.truncate(max(other.seek(0, os.SEEK_END), target_start + size))
        position = source_start
        while position < source_start + size:
            try:
                position = one.seek(position, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole up to the end
                return
            piece = one.read(min(CHUNK, source_start + size - position))
            other.seek(target_start + position - source_start)
            other.write(piece)
            position += len(piece)
