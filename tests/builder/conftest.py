"""A small tree, and a folder for images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree with every kind of file that any user can create; all its times are 1,700,000,000."""
    root = tmp_path / "source"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    (root / "empty").write_bytes(b"")
    (root / "large").write_bytes(bytes(range(1, 256)) * 1000)
    os.link(root / "large", root / "etc" / "second name")
    os.symlink("etc/hosts", root / "link")
    os.mkfifo(root / "pipe")
    for path in (root, *root.rglob("*")):
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    return root


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder for images."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder
