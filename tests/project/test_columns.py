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

from ext4writer import Layout, Spec, Tree, plan, sources, write_layout

FILES = 2000
CALLS_FOR_AN_ENTRY = 0.3
"""The entries of a directory are handled in batches of hundreds to thousands."""
CALLS_FOR_A_DIRECTORY = 60
SPEC = Spec(free=0)


def calls(work: Callable[[], Any]) -> tuple[Any, Counter[str]]:
    """The result of ``work``, and how often it calls each function written in Python."""
    found: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
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
