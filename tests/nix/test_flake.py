"""The flake: a real Nix evaluates it and builds its images, with a stand-in for nixpkgs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builder.command import ROOT
from tests.judges import debugfs
from tests.judges.fsck import assert_clean
from tests.judges.tools import require, run

from .drop_in import Build

HERE = Path(__file__).parent
FLAKES = ("--extra-experimental-features", "nix-command flakes", "--offline")


class Flake:
    """The flake of a copy of the project, with a stand-in for nixpkgs."""

    def __init__(self, build: Build) -> None:
        self.host = build.host
        project, nixpkgs = build.folder / "project", build.folder / "nixpkgs"
        nixpkgs.mkdir()
        for name in ("stand_in.nix", "closure_info.py", "modules.nix"):
            shutil.copy(HERE / name, nixpkgs)
        text = (HERE / "nixpkgs_flake.nix").read_text()
        (nixpkgs / "flake.nix").write_text(text.replace('"/python"', f'"{sys.executable}"'))
        text = (HERE / "nixos_options.nix").read_text()
        (nixpkgs / "system.nix").write_text(text.replace("@system@", build.system))
        for name in ("builder", "ext4writer"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, project / name, ignore=ignored)
        for name in ("LICENSE", "README.md", "pyproject.toml"):
            shutil.copy(ROOT / name, project)
        # Nix 2.8 supports a flake in a subfolder only within a repository.
        git = ("git", "-C", project, "-c", "user.name=x", "-c", "user.email=x@example.org")
        for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "x")):
            run([*git, *words])
        self._where = (f"git+file://{project}?dir=builder/nix", f"path:{nixpkgs}")

    def _run(self, verb: str, attribute: str, *options: str) -> str:
        flake, nixpkgs = self._where
        words = ("nix", *FLAKES, verb, f"{flake}#{attribute}", "--impure", "--no-write-lock-file")
        return self.host.run(*words, "--override-input", "nixpkgs", nixpkgs, *options).stdout

    def value(self, attribute: str, function: str = "x: x") -> Any:
        said = self._run("eval", attribute, "--json", "--apply", function)
        return json.loads(said.splitlines()[-1])

    def built(self, attribute: str) -> Path:
        said = self._run("build", attribute, "--no-link", "--json")
        [made] = json.loads(said.splitlines()[-1])
        return self.host.real(made["outputs"]["out"])


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return Build(tmp_path_factory.mktemp("flake"))


@pytest.fixture(scope="module")
def flake(build: Build) -> Flake:
    return Flake(build)


def test_outputs_of_the_flake(flake: Flake) -> None:
    system = flake.value("lib", "_: builtins.currentSystem")
    names = flake.value(f"packages.{system}", "builtins.attrNames")
    assert names == ["default", "ext4writer"]
    systems = flake.value("packages", "builtins.attrNames")
    assert {"x86_64-linux", "aarch64-linux", "x86_64-darwin", "aarch64-darwin"} <= set(systems)
    for name in ("sd-image", "repart"):
        assert flake.value("nixosModules", "builtins.attrNames").count(name) == 1
        assert flake.value("nixosConfigurations", "builtins.attrNames").count(name) == 1


def test_make_ext4_fs(flake: Flake) -> None:
    function = "x: builtins.attrNames (builtins.functionArgs (x { callPackage = f: import f; }))"
    assert {"storePaths", "volumeLabel", "database"} <= set(flake.value("lib.makeExt4Fs", function))


def test_an_sd_card(flake: Flake, build: Build) -> None:
    """The example's arguments reach the image that sd-image.nix uses."""
    where = "nixosConfigurations.sd-image"
    assert flake.value(where, "x: x.system") == "aarch64-linux"
    creator = flake.value(f"{where}.config.sdImage", "x: toString x.rootFilesystemCreator")
    assert creator.endswith("/builder/nix/make-ext4-fs.nix")
    image = flake.built(f"{where}.config.sdImage.rootFilesystemImage")
    assert_clean(image)
    found = debugfs.superblock(image)
    assert found["Filesystem volume name"] == "NIXOS_SD"
    assert int(found["Free blocks"]) * 4096 >= 64 << 20
    link = debugfs.debugfs(image, "stat /nix/var/nix/profiles/system-1-link")
    assert build.system in link
    assert "kernel" in debugfs.debugfs(image, "cat /boot/kernel")
    assert os.path.basename(build.system) in debugfs.debugfs(image, "ls /nix/store")


def test_a_partition_of_repart(flake: Flake) -> None:
    partition = 'nixosConfigurations.repart.config.image.repart.partitions."20-root"'
    config = flake.value(f"{partition}.repartConfig")
    copied = config.pop("CopyBlocks")
    assert config == {"Type": "root", "Label": "nixos", "GrowFileSystem": True}
    assert "Format" not in config
    assert copied.startswith("/nix/store/") and copied.endswith("-ext4-fs.img")
    esp = flake.value('nixosConfigurations.repart.config.image.repart.partitions."10-esp"')
    assert esp["repartConfig"]["Type"] == "esp"


OPTIONS = """
let
  lib = {{
    mkOption = options: options;
    types = {{ anything = 1; attrsOf = _: 1; }};
    mkIf = _: value: value;
    optionalAttrs = condition: value: if condition then value else {{ }};
  }};
  module = import {module} {{ inherit lib config; pkgs.callPackage = _: _: "/image"; }};
  config = {{
    ext4writer = {{
      sdImage = {{ {arguments} }};
      repart.root = {{ {arguments} }};
    }};
    sdImage = {{
      storePaths = [ ];
      compressImage = false;
      populateRootCommands = "";
      rootVolumeLabel = "ROOT";
      rootPartitionUUID = null;
    }};
  }};
in
toString module.config.{value}
"""
VALUES = {
    "sd-image": "sdImage.rootFilesystemImage",
    "repart": "image.repart.partitions.root.repartConfig.CopyBlocks",
}


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("sd-image", "compressImage = true;", ("compressImage:", "sdImage.compressImage")),
        ("sd-image", 'label = "OTHER";', ("label:", "sdImage.rootVolumeLabel")),
        ("sd-image", 'compressImage = false; volumeLabel = "ROOT";', ()),
        ("repart", "compressImage = true;", ("repart.root:", "instead of compressImage")),
        ("repart", "compressImage = false;", ()),
    ],
)
def test_options_for_a_broken_disk_are_refused(
    name: str, arguments: str, words: tuple[str, ...]
) -> None:
    """The image is copied unchanged: it can neither be compressed nor have another label."""
    require("nix-instantiate")
    module = ROOT / "builder" / "nix" / f"{name}.nix"
    expression = OPTIONS.format(module=module, arguments=arguments, value=VALUES[name])
    evaluate = ["nix-instantiate", "--store", "dummy://", "--eval", "-E", expression]
    done = run(evaluate, check=False)
    said = done.stdout
    assert (done.returncode == 0) == (not words), said
    for word in words or ('"/image"',):
        assert word in said


NAMES = ("flake", "sd-image", "repart", "examples/sd-image", "examples/repart")


@pytest.mark.parametrize("name", NAMES)
def test_the_expressions_are_valid(name: str) -> None:
    run(["nix-instantiate", "--parse", ROOT / "builder" / "nix" / f"{name}.nix"])
