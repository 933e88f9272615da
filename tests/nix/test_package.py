"""ext4writer as a package of Nix: what the expression contains, and which files it uses."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.builder.command import ROOT
from tests.judges.tools import run

from .host import NixHost

PACKAGE = ROOT / "builder" / "nix" / "package.nix"
STAND_IN = Path(__file__).with_name("stand_in.nix")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def host(tmp_path: Path) -> NixHost:
    return NixHost(tmp_path)


def expression(host: NixHost) -> Path:
    path = host.home / "package.nix"
    path.write_text(
        f'(import {STAND_IN} {{ python = "{sys.executable}"; }}).callPackage {PACKAGE} {{ }}\n'
    )
    return path


def attributes(host: NixHost) -> Any:
    """The attributes that the expression passes to ``buildPythonApplication``."""
    words = ("nix-instantiate", "--eval", "--strict", "--read-write-mode", "--json")
    return json.loads(host.run(*words, expression(host), "-A", "arguments").stdout)


@pytest.mark.parametrize("name", ["make-ext4-fs.nix", "package.nix"])
def test_the_expressions_are_valid(name: str) -> None:
    run(["nix-instantiate", "--parse", PACKAGE.with_name(name)])


def test_the_package_agrees_with_the_project(host: NixHost) -> None:
    found = attributes(host)
    assert (found["pname"], found["version"]) == (PROJECT["name"], PROJECT["version"])
    assert found["meta"]["description"] == PROJECT["description"]
    assert found["meta"]["license"]["spdxId"] == PROJECT["license"]
    assert found["meta"]["mainProgram"] in PROJECT["scripts"]
    wanted = [re.split("[><=]", requirement)[0] for requirement in PROJECT["dependencies"]]
    assert found["dependencies"] == wanted
    assert found["build-system"] == ["hatchling"]


def test_the_source_is_the_package_and_nothing_else(host: NixHost) -> None:
    """The source has everything for a wheel, and no tests, caches or environments."""
    source = host.real(attributes(host)["src"])
    found = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    wanted = {"LICENSE", "README.md", "pyproject.toml"}
    for package in ("builder", "ext4writer"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                wanted.add(str(path.relative_to(ROOT)))
    assert found == wanted


def test_the_package_runs_out_of_the_store(host: NixHost) -> None:
    built = host.run("nix-build", "--no-out-link", expression(host)).stdout.splitlines()[-1]
    done = host.run(f"{built}/bin/ext4writer", "--version")
    assert done.stdout == f"ext4writer, version {PROJECT['version']}\n"
    for module in attributes(host)["pythonImportsCheck"]:
        source = attributes(host)["src"]
        code = f"import {module}; print({module}.__file__)"
        path = f"PYTHONPATH={source}:{source}/builder"
        shown = host.run("env", path, sys.executable, "-Pc", code).stdout
        assert shown.startswith(source)
