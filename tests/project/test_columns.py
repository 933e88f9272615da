"""Code for many entries handles them as columns: it calls none of our functions per entry.

Time depends on the machine, so these tests count calls for N files and for 2N.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import ext4writer
from ext4writer import Layout, Spec, Tree, plan, sources, write_layout
from tests.judges.fsck import judge

FILES = 2000
CALLS_FOR_AN_ENTRY = 0.3
"""The entries of a directory are handled in batches of hundreds to thousands."""
CALLS_FOR_A_DIRECTORY = 60
SPEC = Spec(free=0)
OURS = (str(Path(ext4writer.__file__).parent), "<string>")
"""The library, and methods that classes are given; what is finalized meanwhile does not count."""


def calls(work: Callable[[], Any]) -> tuple[Any, Counter[str]]:
    """The result of ``work``, and how often it calls each function written in Python."""
    found: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            found[f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"] += 1

    sys.setprofile(count)
    try:
        result = work()
    finally:
        sys.setprofile(None)
    return result, found


def stages(folder: Path, files: int, files_in_each: int) -> dict[str, Counter[str]]:
    """The calls in each stage of an image of ``files`` files, from a folder and from memory."""
    tree = Tree()
    for number in range(files):
        directory, name = divmod(number, files_in_each)
        content = bytes(number % 3000)
        path = folder / f"{directory:05}" / f"{name:05}"
        if not name:
            path.parent.mkdir(parents=True)
            tree.directory(f"/{directory:05}")
        path.write_bytes(content)
        tree.file(f"/{directory:05}/{name:05}", content)
    found = {}
    scanned, found["scan"] = calls(partial(sources.directory, folder))
    layout: Layout
    for kind, given in (("folder", scanned), ("memory", tree)):
        layout, found[f"plan, {kind}"] = calls(partial(plan, given, SPEC))
        image = folder.with_name(f"{folder.name}.{kind}")
        _, found[f"write, {kind}"] = calls(partial(write_layout, layout, image))
    return found


@pytest.mark.parametrize("files_in_each", [100, 2 * FILES], ids=["many", "one"])
def test_no_function_is_called_for_each_entry(files_in_each: int, tmp_path: Path) -> None:
    stages(tmp_path / "warm", 200, files_in_each)  # load modules and build tables
    few = stages(tmp_path / "few", FILES, files_in_each)
    many = stages(tmp_path / "many", 2 * FILES, files_in_each)
    directories = FILES // files_in_each
    for stage, counted in many.items():
        more = counted - few[stage]
        most = FILES * CALLS_FOR_AN_ENTRY + directories * CALLS_FOR_A_DIRECTORY
        assert more.total() <= most, (stage, more.most_common(5))
        assert more.most_common(1)[0][1] < FILES / 4 + 8 * directories, (stage, more.most_common(5))


KINDS: dict[str, tuple[float, float]] = {
    "owners": (0.3, 0.4),
    "empty": (0.3, 0.4),
    "block maps": (0.3, 0.4),
    "quota": (0.4, 0.4),
    "hard links": (0.4, 0.4),
    "symbolic links": (5, 6),
    "devices": (4, 5),
    "attributes": (4, 2),
    "flags": (17, 0.4),
}
"""Kinds of entries -> the most calls for each, to plan and to write it.

What few entries have may cost some calls, but a change that adds more is seen here."""
OPTIONS = {"block maps": "^extent,^64bit", "quota": "quota,project"}


def tree_of(kind: str, files: int) -> Tree:
    tree = Tree()
    for number in range(files):
        directory, name = divmod(number, 100)
        path = f"/{directory:05}/{name:05}"
        if not name:
            tree.directory(f"/{directory:05}")
        if kind == "owners":
            tree.file(path, b"x", uid=number, gid=number, mode=number % 512, mtime_ns=number)
        elif kind == "empty":
            tree.file(path, b"")
        elif kind == "hard links":
            tree.file(path, b"x")
            tree.link(f"{path}-too", path)
        elif kind == "symbolic links":
            tree.symlink(path, "x" * (number % 50 + 40))
        elif kind == "devices":
            tree.device(path, "c", 1, number)
        elif kind == "attributes":
            tree.file(path, b"x", xattrs={"user.name": b"x" * 300})
        elif kind == "flags":
            tree.file(path, b"x", flags="immutable")
        else:
            tree.file(path, bytes(number % 3000))
    return tree


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_entry_costs(kind: str, tmp_path: Path) -> None:
    spec = Spec(free=0, features=OPTIONS.get(kind, ""))
    found = []
    for files in (1200, 1200, 600, 1200):  # first come modules, tables, and methods made late
        layout, planned = calls(partial(plan, tree_of(kind, files), spec))
        _, written = calls(partial(write_layout, layout, tmp_path / "image"))
        judge(tmp_path / "image")
        found.append((planned, written))
    for most, few, many in zip(KINDS[kind], *found[2:], strict=True):
        more = many - few
        assert more.total() <= 600 * most, more.most_common(5)
