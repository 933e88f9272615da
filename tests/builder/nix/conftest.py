"""A real store with a non-trivial closure, created once for all tests of this folder."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.nix.host import NixHost

PROGRAMS = """
let
  odd = builtins.storePath "{odd}";
  word = builtins.storePath "{word}";
  make = name: script: derivation {{
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" ''PATH=/usr/bin:/bin; ${{script}}'' ];
  }};
  # One reference in a name, one in a target, one in the middle of a long row of digits.
  library = make "library" ''
    mkdir -p $out/lib
    ln -s ${{odd}} $out/lib/odd
    echo x > $out/lib/$(basename ${{word}})
  '';
in make "program-1.0" ''
  mkdir -p $out/bin $out/empty
  echo "exec ${{library}}/lib/run $out" > $out/bin/run
  chmod +x $out/bin/run
  h=$(basename ${{word}}); h=''${{h%%-*}}
  head -c 1048563 /dev/zero | tr '\\\\0' 'a' > $out/row
  printf "%s" "$h" >> $out/row
  head -c 100000 /dev/zero | tr '\\\\0' 'b' >> $out/row
''
"""


@dataclass
class RealClosure:
    """The closure of some roots in a store, and the files that describe it."""

    host: NixHost
    folder: Path
    """It contains ``store-paths`` and ``registration``."""
    paths: list[str]
    roots: list[str]

    @property
    def store(self) -> Path:
        """The position of the store on the host."""
        return self.host.real("/nix/store")

    @property
    def options(self) -> list[str | Path]:
        return ["--closure", self.folder, "--store-dir", self.store]

    @property
    def listed(self) -> list[str | Path]:
        """The same options without a registration."""
        return ["--store-paths", self.folder / "store-paths", "--store-dir", self.store]


def odd_tree(folder: Path) -> None:
    """Everything that a store may contain, including extreme names and sizes."""
    chance = random.Random(1)
    folder.mkdir()
    (folder / "empty directory").mkdir()
    (folder / "bin").mkdir()
    (folder / "bin" / "tool").write_text("#!/bin/sh\n")
    (folder / "bin" / "tool").chmod(0o700)
    (folder / "bin" / "setuid").write_text("#!/bin/sh\n")
    (folder / "bin" / "setuid").chmod(0o6755)
    (folder / "private").write_text("text")
    (folder / "private").chmod(0o600)
    (folder / "nothing").touch()
    for name in (b"\xff\xfe", b"new\nline", b" ", b"x" * 255, b"...", b"-rf", b"Case", b"case"):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(name)
    for length in (1, 59, 60, 4000):
        (folder / f"link-{length}").symlink_to("t" * length)
    with open(folder / "sparse", "wb") as file:
        file.truncate(3_000_000)
        file.seek(1_500_000)
        file.write(b"middle")
    (folder / "large").write_bytes(chance.randbytes(2_500_000))
    for name in ("same", "same too"):
        (folder / name).write_bytes(b"the same" * 5000)
    (folder / "bin" / "same").write_bytes(b"the same" * 5000)
    (folder / "bin" / "same").chmod(0o755)
    deep = folder
    for level in range(40):
        deep = deep / f"level {level}"
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("deep")


def many_files(folder: Path, count: int = 1600) -> None:
    """Small files; every tenth equals others."""
    for number in range(count):
        parent = folder / f"folder {number % 37}"
        parent.mkdir(parents=True, exist_ok=True)
        text = "equal\n" if number % 10 == 0 else f"{number}\n" * (number % 50)
        (parent / f"file-{number}").write_text(text)


@pytest.fixture(scope="session")
def closure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealClosure]:
    """A closure of five objects in a separate store; no test changes it."""
    scratch = tmp_path_factory.mktemp("closure")
    host = NixHost(scratch)
    odd_tree(scratch / "odd")
    many_files(scratch / "many")
    (scratch / "word").write_text("a file of its own\n")
    odd, many, word = (host.add(scratch / name) for name in ("odd", "many", "word"))
    expression = scratch / "program.nix"
    expression.write_text(PROGRAMS.format(odd=odd, word=word))
    program = host.run("nix-build", "--no-out-link", expression).stdout.split()[-1]
    roots = sorted([program, many])
    paths = host.closure(*roots)
    folder = scratch / "info"
    folder.mkdir()
    (folder / "store-paths").write_text("".join(f"{path}\n" for path in paths))
    registration = host.run("nix-store", "--dump-db", *paths).stdout
    (folder / "registration").write_text(registration)
    yield RealClosure(host, folder, paths, roots)
    host.run("chmod", "-R", "u+w", "/nix")
