"""The wheel and the sdist each install a command and a library that work on their own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.judges import fsck, tools

ROOT = Path(__file__).parents[2]


def python(*arguments: str | Path, cwd: Path = ROOT, path: Path | None = None) -> str:
    """Run Python; of our code it finds only ``path``."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built from a copy of this project."""
    tools.require_importable("hatchling", "hatchling")
    copy = tmp_path_factory.mktemp("copy")
    listed = subprocess.run(
        [tools.require("git"), "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so the files of the project are unknown")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            place = copy / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((ROOT / name).read_bytes())
    python("-m", "hatchling", "build", cwd=copy)
    return copy / "dist"


def test_the_wheel_contains_only_library_and_command(made: Path) -> None:
    [wheel] = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        *("ext4writer", "ext4writer_cli"),
    }
    assert "ext4writer/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_sdist_contains_what_the_tests_need(made: Path) -> None:
    [sdist] = made.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    for name in (
        *("README.md", "LICENSE", "CHANGELOG.md", "Makefile", "pyproject.toml"),
        *("docs/library.md", "docs/report.schema.json", "fixtures/plain.toml"),
        *("tests/conftest.py", "tests/project/test_floors.py", "builder/nix/package.nix"),
        *(".ci/packages.txt", "benchmarks/__main__.py"),
    ):
        assert name in names, name


def test_twine_accepts_the_distribution(made: Path) -> None:
    tools.require_importable("twine", "twine")
    said = python("-m", "twine", "check", "--strict", *sorted(made.iterdir()))
    assert said.count("PASSED") == 2


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_the_installed_package_works(kind: str, made: Path, tmp_path: Path) -> None:
    """Dependencies are this environment's; of the project, only the wheel or sdist is visible."""
    tools.require_importable("pip", "pip")
    [archive] = made.glob(kind)
    site = tmp_path / "site"
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--target", site]
    python("-m", "pip", "install", *offline, archive, cwd=tmp_path)
    path = Path(f"{site}{os.pathsep}{sysconfig.get_path('purelib')}")
    asked = "import ext4writer; print(ext4writer.__file__)"
    where = python("-S", "-c", asked, cwd=tmp_path, path=path)
    assert where.startswith(str(site))
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs" / "file").write_text("text")
    for program in ("ext4writer", "ext4writer_cli"):
        built = ["build", "rootfs", "-o", "image", "--quiet"]
        python("-S", "-m", program, *built, cwd=tmp_path, path=path)
        fsck.assert_clean(tmp_path / "image")
    assert (site / "bin" / "ext4writer").exists()
