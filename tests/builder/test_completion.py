"""Shells complete the command line, and manual pages are generated from the help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from ext4writer_cli.cli import commands
from tests.builder.command import assert_one_line, environment, run
from tests.judges import tools


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_accepts_the_completion_script(shell: str, tmp_path: Path) -> None:
    done = run("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_EXT4WRITER_COMPLETE" in done.stdout and "ext4writer" in done.stdout
    if tools.find(shell) is not None:
        script = tmp_path / "script"
        script.write_text(done.stdout)
        tools.run([shell, "-n", script])


def test_other_shells_are_refused() -> None:
    assert_one_line(run("completion", "tcsh"), 2, "tcsh", "bash")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ext4writer b", {"plain,build"}),
        ("ext4writer build --no-los", {"plain,--no-lost-and-found"}),
        ("ext4writer build -o ro", {"file,ro"}),
        ("ext4writer build ro", {"file,ro"}),
        ("ext4writer nix reg", {"plain,registration"}),
        ("ext4writer completion z", {"plain,zsh"}),
    ],
)
def test_words_are_completed(words: str, found: set[str]) -> None:
    asked = {
        "_EXT4WRITER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = run(env=asked)
    assert set(done.stdout.split()) == found


# What each shell runs when the key is pressed; it prints what it would show.
PRESSED = {
    "bash": """
        source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _ext4writer_completion "$1"; printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() { }
        compadd() { print -l -- $completions }
        _describe() { print -l -- ${completions_with_descriptions%%:*} }
        _path_files() { print -- files $* }
        source $1; shift; words=("$@"); CURRENT=$#
        _ext4writer_completion
    """,
    "fish": """
        source $argv[1]
        complete -C "$argv[2..]" | string replace -r '\\t.*' ''; or true
    """,
}


@pytest.mark.parametrize("shell", PRESSED)
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("b", {"build"}),
        ("build --no-los", {"--no-lost-and-found"}),
        ("nix reg", {"registration"}),
        ("completion z", {"zsh"}),
    ],
)
def test_the_shell_itself_completes(
    shell: str, words: str, found: set[str], tmp_path: Path
) -> None:
    script, pressed = tmp_path / "script", tmp_path / "pressed"
    script.write_text(run("completion", shell).stdout)
    pressed.write_text(PRESSED[shell])
    start = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = tools.run(
        [shell, *start, pressed, script, "ext4writer", *words.split()],
        environment={
            "HOME": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        },
    )
    assert set(done.stdout.split()) == found


def all_commands(group: click.Group, path: str) -> set[str]:
    found = {path}
    for name, below in group.commands.items():
        inner = f"{path}-{name}"
        found |= all_commands(below, inner) if isinstance(below, click.Group) else {inner}
    return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    subprocess.run(
        [sys.executable, "-m", "ext4writer_cli.man_pages", folder], env=environment(), check=True
    )
    return folder


def test_every_command_has_a_manual_page(pages: Path) -> None:
    assert {path.stem for path in pages.iterdir()} == all_commands(commands, "ext4writer")


def test_manual_pages_have_every_option(pages: Path) -> None:
    for name in ("build", "plan", "manifest", "nix"):
        text = (pages / f"ext4writer-{name}.1").read_text()
        for param in commands.commands[name].params:
            if isinstance(param, click.Option):
                assert max(param.opts, key=len).replace("-", "\\-") in text


def test_groff_accepts_the_pages(pages: Path) -> None:
    for page in sorted(pages.iterdir()):
        done = tools.run(["groff", "-man", "-Tutf8", "-ww", "-z", page])
        assert done.stdout == ""
