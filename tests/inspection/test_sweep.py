"""Checker and e2fsck agree, whichever field is damaged and wherever an image is cut off."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import pytest

from tests.judges import tools

from . import agreement, sweep

pytestmark = pytest.mark.damaged

CASES = 150
CUTS = 4


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[agreement.Base]:
    tools.require("mke2fs")
    tools.require("debugfs")
    return list(sweep.small_bases(tmp_path_factory.mktemp("bases")))


def test_images_that_end_early(found: list[agreement.Base], tmp_path: Path) -> None:
    """They are never clean, though ``e2fsck -fn`` ends with 0 if it does not need the rest."""
    cases = sweep.truncated(found, CUTS, random.Random(8))
    counts, differ = sweep.differing(cases, tmp_path)
    assert counts.total() >= CUTS * len(found) - 2 and not differ, differ


def test_fields_that_are_damaged(found: list[agreement.Base], tmp_path: Path) -> None:
    """This covers each field of each structure; docs/checking.md lists where they may differ."""
    chance = random.Random(9)
    fields = list(sweep.places(found).values())
    chance.shuffle(fields)
    cases = (
        case
        for number, listed in enumerate(fields)
        if (
            case := sweep.changed(
                chance.choice(listed), number % sweep.VALUES, chance, with_checksum=number % 3 > 0
            )
        )
    )
    counts, differ = sweep.differing(islice(cases, CASES), tmp_path)
    wrong = [line for lines in differ.values() for line in lines]
    assert counts.total() > CASES - 5
    assert len(wrong) <= counts.total() // 20, "\n".join(wrong)
