"""A small system in the store of a host, with what a NixOS image contains besides its closure."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.judges.tools import require, run

from .host import NixHost

SYSTEM = """
let
  tools = builtins.storePath "{tools}";
  words = builtins.storePath "{words}";
in
derivation {{
  name = "system";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  args = [ "-c" ''
    PATH=/usr/bin:/bin
    mkdir -p $out/sw/bin $out/empty "$out/odd  name"
    for program in ${{tools}}/bin/*; do ln -s $program $out/sw/bin/; done
    ln -s ${{words}} $out/sw/words
    echo "exec ${{tools}}/bin/sh" > $out/activate
    chmod +x $out/activate
  '' ];
}}
"""


def add_nix(host: NixHost, scratch: Path) -> str:
    """Add the host's Nix with all its libraries to the store; return the store path."""
    tree = scratch / "nix-bin"
    (tree / "bin").mkdir(parents=True)
    (tree / "lib").mkdir()
    program = Path(require("nix-store")).resolve()
    shutil.copy(program, tree / "bin" / "nix")
    for name in ("nix-build", "nix-store"):
        (tree / "bin" / name).symlink_to("nix")
    for library in re.findall(r"(/\S+) \(0x", run(["ldd", program]).stdout):
        shutil.copy(library, tree / "lib")
    return host.add(tree)


def add_script(host: NixHost, scratch: Path) -> str:
    """Add a package with one small program to the store; return the store path."""
    tree = scratch / "script"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "hello").write_text("#!/bin/sh\necho hello\n")
    (tree / "bin" / "hello").chmod(0o755)
    return host.add(tree)


def build_system(host: NixHost, scratch: Path, tools: str, words: str) -> str:
    """Build a system that refers to tools, with programs, and words. Return its store path."""
    expression = scratch / "system.nix"
    expression.write_text(SYSTEM.format(tools=tools, words=words))
    return host.run("nix-build", "--no-out-link", expression).stdout.splitlines()[-1]
