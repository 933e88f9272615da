"""Everything in the README and in docs/ works: Python runs, commands and options exist."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import zstandard
from click.testing import CliRunner

import ext4writer
from ext4writer.ondisk.features import _NEVER, FEATURES
from ext4writer_cli.cli import commands
from tests.builder.command import environment, run
from tests.judges import fsck

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

PAGES = sorted((ROOT / "docs").glob("*.md"))
COMMAND_PAGE = (ROOT / "docs" / "command.md").read_text()
BLOCKS = FENCED.findall(README)
DOCS = [
    pytest.param(text, id=f"{page.name}-{number}")
    for page in PAGES
    for number, (kind, text) in enumerate(FENCED.findall(page.read_text()))
    if kind == "python"
]
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
SHELL = [
    line
    for kind, text in [*BLOCKS, *FENCED.findall(COMMAND_PAGE)]
    if kind == "sh"
    for line in text.splitlines()
]
REPORTS = [text for kind, text in FENCED.findall(COMMAND_PAGE) if kind == ""]
INSTALL = "pipx install ."

WRONG_ON_PURPOSE = "wrong.img"


def help_page(command: str) -> str:
    return CliRunner().invoke(commands, [command, "--help"]).output


def options_of(page: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", page))


def test_the_blocks_are_found() -> None:
    assert len(PYTHON) >= 2
    assert len(SHELL) >= 10
    assert len(REPORTS) == 1
    assert README.count("```") == 2 * len(BLOCKS)


@pytest.mark.parametrize(
    "code", [*(pytest.param(code, id=str(n)) for n, code in enumerate(PYTHON)), *DOCS]
)
def test_an_example_runs(code: str, tmp_path: Path, watch) -> None:
    watch.damaged(tmp_path / WRONG_ON_PURPOSE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    images = sorted(tmp_path.glob("*.img"))
    if "CancelledError" in code:
        assert done.stdout.endswith("stopped\n")
        assert images == []
        return
    assert images
    for image in images:
        if image.name == WRONG_ON_PURPOSE:
            assert fsck.problems(image)
        else:
            fsck.judge(image)


def test_the_examples_use_every_main_name() -> None:
    """Every public name that a user starts with appears in some example."""
    shown = set(re.findall(r"\w+", "\n".join(PYTHON + [page.values[0] for page in DOCS])))
    assert {
        *("Tree", "directory", "file", "symlink", "link", "device", "fifo", "socket"),
        *("mode", "uid", "gid", "mtime_ns", "atime_ns", "ctime_ns", "crtime_ns", "xattrs"),
        *("Spec", "plan", "write_image", "write_layout", "sources", "filters", "FeatureSet"),
        *("policy", "Override", "Progress", "CancelledError", "cancel", "workers", "losses"),
    } <= shown


def test_every_error_is_named() -> None:
    errors = {
        name
        for name in ext4writer.__all__
        if isinstance(getattr(ext4writer, name), type)
        and issubclass(getattr(ext4writer, name), ext4writer.Ext4WriterError)
    }
    # A record's error is a fault of an Override or of this library.
    assert errors - {"RecordError"} <= set(
        re.findall(r"`(\w+Error)`", (ROOT / "docs" / "library.md").read_text())
    )


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("ext4writer")])
def test_a_command_exists(line: str) -> None:
    words = shlex.split(line.partition("|")[0])
    assert words[1] in commands.commands
    known = options_of(help_page(words[1]))
    if words[1:3] == ["nix", "registration"]:
        known = options_of(CliRunner().invoke(commands, [*words[1:3], "--help"]).output)
    for word in words[2:]:
        if word.startswith("-") and word != "-":
            assert word in known


def make_closure(folder: Path) -> None:
    """A store with one path, and the files that describe it."""
    name = f"{'0' * 32}-hello"
    (folder / "store" / name / "bin").mkdir(parents=True)
    (folder / "store" / name / "bin" / "hello").write_text("#!/bin/sh\n")
    info = folder / "closure-info"
    info.mkdir()
    (info / "store-paths").write_text(f"/nix/store/{name}\n")
    listed = ["--store-paths", info / "store-paths", "--store-dir", folder / "store"]
    (info / "registration").write_text(run("nix", "registration", *listed).stdout)


def make_archive(path: Path) -> None:
    """A compressed tar archive of one file."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        member = tarfile.TarInfo("etc/hostname")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"box\n"))
    path.write_bytes(zstandard.compress(plain.getvalue()))


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("ext4writer")])
def test_a_command_runs(line: str, tmp_path: Path, watch) -> None:
    watch.damaged(tmp_path / WRONG_ON_PURPOSE)
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs" / "file").write_text("text")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    if line.startswith("ext4writer nix"):
        make_closure(tmp_path)
    for folder in ("overlay", "app"):
        (tmp_path / folder).mkdir()
    make_archive(tmp_path / "base.tar.zst")
    if "manifest:rootfs.mtree" in line:
        run("manifest", "rootfs", "-o", "rootfs.mtree", cwd=tmp_path)
    done = run(*shlex.split(line.partition("|")[0])[1:], cwd=tmp_path, text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout or (tmp_path / "rootfs.mtree").exists()


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("make")])
def test_a_target_of_make_exists(line: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    _, target, *settings = shlex.split(line)
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for setting in settings:
        assert re.search(rf"^{setting.partition('=')[0]} \?=", makefile, re.MULTILINE)


def test_no_other_shell_lines() -> None:
    assert all(line.startswith(("ext4writer ", "make ")) for line in SHELL if line != INSTALL)


def test_the_first_screen_installs_and_builds() -> None:
    """Above the chart are a description, one line to install it, and one that works as shown."""
    first = README.partition("![")[0]
    assert len(first.splitlines()) <= 16
    [(kind, text)] = FENCED.findall(first)
    assert kind == "sh" and text.splitlines() == [INSTALL, "ext4writer build docs -o docs.img"]


def links(page: Path) -> set[str]:
    return set(re.findall(r"\]\(([^)#:]+)\)", page.read_text()))


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        assert (page.parent / link).exists(), link


def test_the_index_has_every_page() -> None:
    index = links(ROOT / "docs" / "README.md")
    assert {page.name for page in PAGES} - {"README.md"} <= index
    assert "cookbook/README.md" in index


def test_every_option_in_the_text_exists() -> None:
    known = options_of(help_page("build")) | options_of(help_page("nix"))
    text = README + COMMAND_PAGE
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    shown = {
        word
        for quoted in re.findall(r"`(--[^`]*)`", prose)
        for word in quoted.split()
        if word.startswith("-")
    }
    assert len(shown) > 15
    assert shown <= known


def test_the_sample_report_has_the_form_of_a_real_one(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs" / "file").write_text("text")
    real = run("build", "rootfs", "-o", "rootfs.img", cwd=tmp_path).stdout

    def form(report: str) -> list[str]:
        """The first words of each line that does not depend on the tree."""
        return [re.split(r"  +|:|\d", line.strip())[0] for line in report.splitlines()]

    sample = form(REPORTS[0])
    # "extent blocks" appears if files have many extents.
    assert [word for word in sample[1:] if word != "extent blocks"] == form(real)[1:]


def test_no_feature_that_a_new_file_system_can_have_is_missing() -> None:
    """The page has no such list. These three do not apply to a new file system."""
    refused = {row.name for row in FEATURES if row.support == "no" and row.reason != _NEVER}
    assert refused == {"journal_dev", "needs_recovery", "orphan_present"}


def test_paths_in_the_text_exist() -> None:
    """Check paths in backquotes, except those that users create."""
    made = {"build/stdlib.img", ".venv"}
    for name in set(re.findall(r"`([\w.-]+/[\w./-]*|[A-Z]{4,}|\.[a-z]+)`", README)) - made:
        if name in ("TREE", "IMAGE"):
            continue
        assert (ROOT / name).exists(), name


def test_the_licence_is_mit() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")
    assert 'license = "MIT"' in (ROOT / "pyproject.toml").read_text()


def test_the_changelog_has_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in changelog
    assert ext4writer.__version__ in changelog
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == ext4writer.__version__
