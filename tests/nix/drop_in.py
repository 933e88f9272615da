"""Images of a small system, built with the drop-in for make-ext4-fs.nix."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from tests.builder import command
from tests.judges.tools import run

from .host import NixHost
from .system import add_nix, add_script, build_system

DROP_IN = command.ROOT / "builder" / "nix" / "make-ext4-fs.nix"
STAND_IN = Path(__file__).with_name("stand_in.nix")
LABEL = "NIXOS_SD"

POPULATE = """
mkdir -p files/boot/extlinux files/etc files/.config/empty
printf 'TIMEOUT 10\\n' > files/boot/extlinux/extlinux.conf
head -c 100000 /dev/zero | tr '\\0' k > files/boot/kernel
echo secret > files/etc/key
chmod 600 files/etc/key
echo dotted > files/.dotted
ln -s /nix/var/nix/profiles/system files/run
chmod 700 files/.config
"""

EXPRESSION = """
let
  pkgs = import {stand_in} {{ python = "{python}"; }};
  storePaths = [ (builtins.storePath "{system}") ];
in
{{
  closure = pkgs.buildPackages.closureInfo {{ rootPaths = storePaths; }};
  image = pkgs.callPackage {drop_in} {{
    inherit storePaths;
    volumeLabel = "{label}";
    populateImageCommands = ''{populate}'';
    {arguments}
  }};
}}
"""


class BuildError(AssertionError):
    """Nix could not build; the text is its complete output."""


class Build:
    """A host with a system in its store, and the expression that builds an image of it."""

    def __init__(self, folder: Path, *, nix: bool = False) -> None:
        """With ``nix`` the system's tools are Nix itself, otherwise something smaller."""
        self.folder = folder
        self.said = ""
        """Nix's output from the last evaluation and build."""
        self.host = NixHost(folder)
        self.tools = (add_nix if nix else add_script)(self.host, folder)
        words = self.host.add(Path(sysconfig.get_path("stdlib"), "encodings"))
        self.system = build_system(self.host, folder, self.tools, words)

    def image(
        self,
        arguments: str = "",
        *options: str,
        label: str = LABEL,
        populate: str = POPULATE,
        drop_in: Path = DROP_IN,
    ) -> Path:
        """The drop-in's image for ``arguments``; ``options`` are Nix's."""
        expression = self.folder / "image.nix"
        expression.write_text(
            EXPRESSION.format(
                stand_in=STAND_IN,
                drop_in=drop_in,
                python=sys.executable,
                system=self.system,
                label=label,
                populate=populate,
                arguments=arguments,
            )
        )
        return self._built(expression, "image", *options)

    def log(self, image: Path) -> str:
        """The log of the build of ``image``."""
        return self.host.run("nix-store", "--read-log", f"/nix/store/{image.name}").stdout

    def closure(self) -> Path:
        """The output of ``closureInfo`` for the system."""
        return self._built(self.folder / "image.nix", "closure")

    def command(self, output: Path, *options: str) -> Path:
        """What the command writes outside Nix, from the store on the host."""
        folder = self.folder / "populated"
        folder.mkdir()
        (folder / "files").mkdir()
        run(["bash", "-euc", POPULATE], cwd=folder)
        store = self.host.nix / "store"
        where = ("--closure", self.closure(), "--store-dir", store, "--files", folder / "files")
        done = command.run("nix", *where, "-o", output, "--label", LABEL, "--quiet", *options)
        assert (done.returncode, done.stderr) == (0, "")
        return output

    def _built(self, expression: Path, attribute: str, *options: str) -> Path:
        arguments = ("nix-build", "--no-out-link", expression, "-A", attribute, *options)
        done = self.host.run(*arguments, check=False)
        self.said = done.stdout
        if done.returncode:
            raise BuildError(done.stdout)
        return self.host.real(done.stdout.splitlines()[-1])
