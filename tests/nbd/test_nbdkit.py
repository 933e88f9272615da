"""The plugin for nbdkit serves the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import ext4writer
import ext4writer_cli
from ext4writer import Spec, sources
from tests.judges.tools import require

PLUGIN = Path(ext4writer_cli.__file__).parent / "nbdkit_plugin.py"


def nbdkit(*arguments: object, run: str) -> subprocess.CompletedProcess[str]:
    """Serve, and run a command at the same time, under the system's own Python."""
    program = require("nbdkit")
    told = subprocess.run([program, "python", "--dump-plugin"], capture_output=True, text=True)
    version = ".".join(map(str, sys.version_info[:2]))
    if f"python_version={version}." not in told.stdout:
        pytest.skip(f"nbdkit's Python is not {version}, for which the libraries here are built")
    packages = [sysconfig.get_path("purelib"), *(p for p in sys.path if p)]
    return subprocess.run(
        [program, "-U", "-", "python", PLUGIN, *map(str, arguments), "--run", run],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(packages)},
        capture_output=True,
        text=True,
    )


def test_folders_and_plans(tmp_path: Path) -> None:
    require("nbdcopy")
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "file").write_bytes(os.urandom(100_000))
    layout = ext4writer.plan(sources.directory(folder), Spec(free="1M", label="kit"))
    layout.save(tmp_path / "root.plan")
    image = tmp_path / "root.img"
    ext4writer.write_layout(layout, image)
    for arguments in (
        [f"source={folder}", "free=1M", "label=kit"],
        [f"plan={tmp_path / 'root.plan'}"],
    ):
        copy = tmp_path / "copy.img"
        done = nbdkit(*arguments, run=f'nbdcopy "$uri" {copy}')
        assert done.returncode == 0, done.stderr
        assert copy.read_bytes() == image.read_bytes()


def test_missing_parameters_are_reported() -> None:
    done = nbdkit(run="true")
    assert done.returncode != 0 and "give one plan=PLAN" in done.stderr


def test_a_profile_is_an_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    done = nbdkit(f"source={tmp_path}", "profile=boot", "features=inline_data", run="true")
    assert done.returncode != 0 and "the profile boot refuses inline_data" in done.stderr
    assert nbdkit(f"source={tmp_path}", "profile=boot", run="true").returncode == 0
