"""A real Nix with a folder of the test as ``/nix``; the host's root is unchanged."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.judges.tools import require, run

CONFIG = "build-users-group =\nsandbox = false\nsubstitute = false\n"
"""The user who runs the test builds, without substitutes."""

Argument = str | os.PathLike[str]


class NixHost:
    """A host with a store at ``/nix/store``, as its programs see it."""

    def __init__(self, folder: Path) -> None:
        """Do not raise; skip or fail the test if bubblewrap or Nix is missing."""
        require("bwrap")
        require("nix-store")
        self.nix = folder / "nix"
        self.home = folder / "home"
        self.nix.mkdir()
        self.home.mkdir()

    def run(
        self,
        *arguments: Argument,
        check: bool = True,
        stdin: bytes = b"",
        alone: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program that sees the folder as ``/nix`` and everything else unchanged.

        ``alone`` hides other processes, where Nix looks for roots of the garbage collector.
        """
        wrapper: list[Argument] = ["bwrap", "--tmpfs", "/"]
        for path in sorted(Path("/").iterdir()):
            if path == Path("/nix"):
                continue
            if path.is_symlink():
                wrapper += ["--symlink", os.readlink(path), path]
            elif path.is_dir():
                wrapper += ["--dev-bind", path, path]
        if alone:
            wrapper += ["--unshare-pid", "--proc", "/proc"]
        wrapper += ["--bind", self.nix, "/nix", "--"]
        environment = {"HOME": str(self.home), "NIX_CONFIG": CONFIG}
        return run([*wrapper, *arguments], check=check, stdin=stdin, environment=environment)

    def add(self, path: Path) -> str:
        """Add a file or a tree to the store; return its store path."""
        return self.run("nix-store", "--add", path).stdout.strip()

    def real(self, store_path: str) -> Path:
        """The host's path of what its programs see below ``/nix``."""
        return self.nix / Path(store_path).relative_to("/nix")

    def closure(self, *store_paths: str) -> list[str]:
        """These store paths and all that they refer to."""
        return sorted(self.run("nix-store", "-qR", *store_paths).stdout.split())
