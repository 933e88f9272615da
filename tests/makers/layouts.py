"""Layouts of files with content that compresses badly."""

from __future__ import annotations

import random
from pathlib import Path

import ext4writer
from ext4writer import Layout, Spec, sources


def plan_of_noise(folder: Path) -> Layout:
    """Create files in ``folder``, and plan an image of them with 40 MiB free."""
    chance = random.Random(4)
    for number in range(40):
        text = chance.randbytes(50) * chance.randrange(3000)
        (folder / f"file{number}").write_bytes(text)
    (folder / "noise").write_bytes(chance.randbytes(1 << 20))
    return ext4writer.plan(sources.directory(folder), Spec(free="40M"))
