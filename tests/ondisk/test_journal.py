"""The default size of the journal."""

from __future__ import annotations

import pytest

from ext4writer.ondisk.journal import default_fast_commit_blocks, default_journal_blocks


@pytest.mark.parametrize(
    ("fs_blocks", "journal_blocks"),
    [
        (0, 0),
        (2047, 0),
        (2048, 1024),
        (32767, 1024),
        (32768, 4096),
        (2**18, 8192),
        (2**19, 16384),
        (2**22, 32768),
        (2**23, 65536),
        (2**24, 131072),
        (2**25, 262144),
        (2**40, 262144),
    ],
)
def test_default_journal_blocks(fs_blocks: int, journal_blocks: int) -> None:
    assert default_journal_blocks(fs_blocks) == journal_blocks


def test_fast_commit_blocks() -> None:
    assert default_fast_commit_blocks(16384) == 256
