"""Damaged images are read to a deliberate end; ``python -m tests.read.fuzz`` does more of it."""

from __future__ import annotations

from . import fuzz


def test_damaged_images_are_read_to_a_deliberate_end() -> None:
    seen = fuzz.run(120)
    assert seen["damage heard"] > 20 and seen["nothing heard"] > 5


def test_whole_images_are_read_without_a_complaint() -> None:
    for seed in fuzz.seeds():
        heard: list[Exception] = []
        fuzz.read_everything(seed.data, heard)
        assert not heard, (seed.name, heard[:3])


def test_seeds_that_failed_once() -> None:
    """A root that is no directory; a table without inodes; an inline file of terabytes."""
    for number in (24, 1080, 1810, 21656):
        fuzz.run(1, number)
