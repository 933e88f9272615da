"""An earlier revision of ext4writer in a separate environment, to be compared with this one.

It is built from a git worktree and installed by pip, like this revision. Both use the same files of
the packages they depend on, so that other versions of these do not affect the figures.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from . import tools, trees
from .kinds import Contender, Setting, Step, Workload
from .measure import shortened

FOLDER = "earlier"
INSIDE = ("__init__.py", "generator.py", "inside.py")
"""The files of this package that a process using the library needs; both revisions run them."""
DEPENDENCIES = "zz-dependencies.pth"
"""Python reads this file last, so that the packages of the environment itself come first."""


class NoRevisionError(Exception):
    """A revision cannot be installed, for the reason in the message."""


@dataclass(frozen=True)
class Earlier:
    """An installed revision."""

    name: str
    """Its short hash."""
    folder: Path
    """Where its processes start; they import only :data:`INSIDE` from there."""

    @property
    def bin(self) -> Path:
        """The folder of its programs."""
        return self.folder / "environment" / "bin"

    def of(self, ours: Contender) -> Contender:
        """A contender that does the same work with this revision."""

        def commands(at: Setting) -> list[Step]:
            return [self._step(step) for step in ours.commands(at)]

        return replace(
            ours,
            key=f"{ours.key}@{self.name}",
            label=f"{ours.label}, {self.name}",
            commands=commands,
            ours=False,
            charted=False,
            beside=ours.key,
        )

    def beside(self, workload: Workload) -> Workload | None:
        """Return ``workload`` with only ext4writer's rows, each followed by this revision's.

        None if it has no such rows.
        """
        pairs = [(row, self.of(row)) for row in workload.contenders if row.ours and not row.again]
        if not pairs:
            return None
        keys = [row.key for row, _ in pairs]
        read = {row.source for row, _ in pairs}
        return replace(
            workload,
            baseline=workload.baseline if workload.baseline in keys else keys[0],
            contenders=tuple(each for pair in pairs for each in pair),
            sources=tuple(source for source in workload.sources if source.key in read),
        )

    def _step(self, step: Step) -> Step:
        if not step.ours:
            return step
        programs = {os.fspath(tools.COMMAND): "ext4writer", sys.executable: "python"}
        program = os.fspath(self.bin / programs[step.argv[0]])
        return replace(step, argv=(program, *step.argv[1:]), cwd=self.folder)


@contextmanager
def installed(revision: str, work: Path) -> Iterator[Earlier]:
    """Install ``revision`` in ``work``; it is removed when the ``with`` block ends.

    Raises :class:`NoRevisionError` if this is not a git checkout, if there is no such revision, or
    if it cannot be installed or started with the packages of this environment.
    """
    absent = tools.missing(("git",))
    if absent:
        raise NoRevisionError(absent)
    top = _answer("git", "-C", tools.REPOSITORY, "rev-parse", "--show-toplevel")
    if Path(top) != tools.REPOSITORY:
        raise NoRevisionError(f"{tools.REPOSITORY} is not a git checkout, so it has no revisions")
    at = f"{revision}^{{commit}}"
    commit = _answer("git", "-C", tools.REPOSITORY, "rev-parse", "--verify", "--end-of-options", at)
    name = _answer("git", "-C", tools.REPOSITORY, "rev-parse", "--short", commit)
    folder = work / FOLDER
    trees.remove(folder)  # left by a run that was killed
    folder.mkdir()
    earlier = Earlier(name, folder)
    try:
        _install(earlier, commit)
        yield earlier
    finally:
        trees.remove(folder)


def _install(earlier: Earlier, commit: str) -> None:
    environment, source = earlier.folder / "environment", earlier.folder / "source"
    venv.create(environment, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": os.fspath(environment)}))
    mine = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    python = earlier.bin / "python"
    # --force, because git still lists the worktree of a run that was killed
    worktree = ("git", "-C", tools.REPOSITORY, "worktree")
    _answer(*worktree, "add", "--quiet", "--force", "--detach", source, commit)
    try:
        _answer(
            *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
            *("--no-deps", "--ignore-installed", "--no-build-isolation", "--no-index", source),
            PYTHONPATH=os.pathsep.join(mine),  # for the build backend
        )
    finally:
        _answer(*worktree, "remove", "--force", source)
    (packages / DEPENDENCIES).write_text("".join(f"{path}\n" for path in mine))
    copies = earlier.folder / tools.HERE.name
    copies.mkdir()
    for name in INSIDE:
        shutil.copyfile(tools.HERE / name, copies / name)
    compileall.compile_dir(copies, quiet=2)
    _answer(earlier.bin / "ext4writer", "--version")
    where = _answer(python, "-P", "-c", "import ext4writer; print(ext4writer.__file__)")
    assert Path(where).is_relative_to(packages), where


def _answer(*argv: str | Path, **more: str) -> str:
    """Return a command's output; raises :class:`NoRevisionError` with its message if it fails."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C", **more},
        check=False,
    )
    if done.returncode:
        said = shortened(done.stderr or done.stdout)
        raise NoRevisionError(said or f"{argv[0]}: status {done.returncode}")
    return done.stdout.strip()
