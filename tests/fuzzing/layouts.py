"""Judges layouts of many seeds: ``python -m tests.fuzzing.layouts [COUNT [FIRST]]``.

Each seed is a small tree with options, features and a policy, and without wrong fields. e2fsck and
our checker must find no problem. The kernel mounts and reads some of the images.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from ext4writer import Ext4WriterError
from ext4writer.fuzzing import Recipe, random_image
from ext4writer.inspection.check import check_image
from ext4writer.read import open_image
from tests.judges import fsck, raw
from tests.judges.compare import assert_tree_equal
from tests.judges.kernel import mounted

NARROW = "no_optimize_extents"
"""Accepts extent trees that are deliberately deeper than necessary."""
MEMORY = "/dev/shm"


def recipe_of(seed: int) -> tuple[Recipe, bytes]:
    """The recipe of a seed, always with an unusual policy, and its image."""
    recipe, image = random_image(seed, overrides=0)
    if recipe.policy != "default":
        return recipe, image
    kind = "random-features" if seed % 2 else "random"
    unusual = replace(recipe, policy=f"{kind}:{seed}")
    try:
        return unusual, unusual.image()
    except Ext4WriterError:
        return recipe, image  # such as an inode size that the policy's features exclude


def problem_of_checker(image: bytes) -> str:
    """The first problem that our checker finds, or ""."""
    with open_image(image, replay=True) as opened:
        # Only the kernel checks the content of fast commits.
        problems = check_image(opened, data=True).problems
        found = [each for each in problems if each.code != "FAST_COMMITS"]
    return f"our checker: {found[0].line}" if found else ""


def problem_of_e2fsck(recipe: Recipe, image: bytes, folder: Path) -> str:
    """The problem that e2fsck finds, or ""."""
    path, log = folder / "image", folder / "log"
    path.write_bytes(image)
    log.unlink(missing_ok=True)
    if raw.waits_for_recovery(path):
        try:
            fsck.assert_recovers(path, repair=False)
        except AssertionError as error:
            return str(error)
        return ""
    extended = f"problem_log={log}" + (f",{NARROW}" if "deep-extents" in recipe.policy else "")
    done = subprocess.run(
        ["e2fsck", "-fn", "-E", extended, path],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    logged = log.read_text(errors="replace") if log.exists() else ""
    if done.returncode or "<problem " in logged:
        return f"e2fsck ends with {done.returncode}: {done.stdout[:2000]}\n{logged[:2000]}"
    return ""


def read_all(point: Path) -> None:
    """Read all files below ``point``; read errors are raised."""
    for each in point.rglob("*"):
        if not each.is_symlink() and each.is_file():  # a link may be too long to follow
            each.read_bytes()


def run(count: int, first: int = 0, *, e2fsck_each: int = 1, kernel_each: int = 0) -> Counter[str]:
    """Judge ``count`` seeds; raise AssertionError with the recipe of the first wrong one.

    e2fsck judges one of ``e2fsck_each`` images, and the kernel one of ``kernel_each``; 0 means
    none.
    """
    seen: Counter[str] = Counter()
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ext4writer-layouts-", dir=memory) as scratch:
        folder, path = Path(scratch), Path(scratch, "image")
        for seed in range(first, first + count):
            recipe, image = recipe_of(seed)
            problem = problem_of_checker(image)
            if not problem and seed % e2fsck_each == 0:
                problem = problem_of_e2fsck(recipe, image, folder)
            assert not problem, f"seed {seed}: {problem}\n{recipe}"
            seen[recipe.policy.partition(":")[0]] += 1
            if kernel_each and seed % kernel_each == 0:
                path.write_bytes(image)
                with open_image(image) as opened:
                    is_read_only = opened.format.shared_blocks
                waits = raw.waits_for_recovery(path) and not is_read_only  # and logs this
                with mounted(path, rw=waits, quiet=not waits) as point:
                    if waits:  # recovery sets times of files that it truncates
                        read_all(point)
                    else:
                        assert_tree_equal(recipe.make_tree(), point, recipe.make_spec())
                seen["mounted"] += 1
    return seen


def main(count: int, first: int) -> None:
    """Judge all, and print progress and problems."""
    failed, started = 0, time.monotonic()
    for seed in range(first, first + count):
        try:
            run(1, seed)
        except Exception as error:
            failed += 1
            print(f"{type(error).__name__}: {error}", flush=True)
        if (seed - first) % 1000 == 999:
            done, took = seed - first + 1, time.monotonic() - started
            print(f"{done} seeds, {failed} failures, {took:.0f} s", flush=True)
    print(f"{count} seeds starting at {first}, {failed} failures")


if __name__ == "__main__":
    main(*map(int, (*sys.argv[1:3], *("1000", "0")[len(sys.argv) - 1 :])))
