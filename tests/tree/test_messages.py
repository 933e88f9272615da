"""Messages and reports are printable lines of bounded length, whatever names they contain."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from ext4writer import Ext4WriterError, Loss, SourceError, Tree, TreeError, plan, sources
from ext4writer.edit.globs import matcher
from ext4writer.errors import LINE_MOST
from tests.builder.command import run
from tests.makers.archives import archive, header, member, pax

EVIL = "evil\x1b]0;pwned\x07\n  /: Image verified\x9b\u202e\udcff"
NAME = os.fsencode(EVIL)


def assert_a_line(text: str) -> None:
    assert text.isprintable() and len(text) <= LINE_MOST, text


def test_a_loss_is_one_line() -> None:
    for what in (EVIL, "x" * 10**6, EVIL * 10**5):
        assert_a_line(Loss(b"/x", what).what)
    assert Loss(b"/x", "ä is fine").what == "ä is fine"


def test_an_error_is_one_line_and_says_how_it_ends() -> None:
    for text in (EVIL, "x" * 10**6, "\n" * 10**6):
        for error in (
            Ext4WriterError(text),
            TreeError(b"/" + os.fsencode(text), "is wrong"),
            SourceError("name", text + "; try this"),
        ):
            assert_a_line(str(error))
    assert str(TreeError(b"/" + b"x" * 10**6, "is wrong; do it so")).endswith("is wrong; do it so")


def test_the_longest_path_is_shown_whole() -> None:
    path = b"/" + b"n" * 4094
    assert path.decode() in str(TreeError(path, "is wrong"))


@pytest.mark.parametrize(
    "part",
    [
        header(name=b"x", typeflag=b"1", linkname=b"a\nb"),
        member(NAME + b"/..", b""),
        member(b"f", b"") + member(b"f/" + NAME),
        header(name=NAME, typeflag=b"1", linkname=b"no"),
        header(name=b"s\n", typeflag=b"2", linkname=NAME) + member(b"s\n/x"),
        pax([(b"SCHILY.xattr.user.%06d\n" % one, b"v") for one in range(9000)]) + member(b"a"),
        pax({b"uid": NAME}) + member(b"a"),
    ],
)
def test_archives(part: bytes) -> None:
    with pytest.raises(Ext4WriterError) as caught:
        plan(sources.tar(io.BytesIO(archive(part))))
    assert_a_line(str(caught.value))


def test_patterns() -> None:
    with pytest.raises(Ext4WriterError) as caught:
        matcher(["[a-\n]", f"[z-a{EVIL}]"])
    assert_a_line(str(caught.value))


@pytest.mark.parametrize(
    "part",
    [
        pax({b"SCHILY.xattr." + NAME: b"v"}) + member(b"a"),
        pax({NAME: b"v"}) + member(b"a"),
        member(NAME, b"") + header(name=NAME, typeflag=b"Q"),
        member(NAME + b"/a", b"") + member(NAME, b""),
    ],
)
def test_the_report(part: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(archive(part))
    done = run("plan", path)
    assert all(line.isprintable() for line in done.stdout.splitlines()), done.stdout
    assert "\n  /: Image verified" not in done.stdout and "\x1b" not in done.stdout
    assert "Not kept exactly" in done.stdout
    facts = json.loads(run("plan", path, "--json").stdout)
    assert all(loss["what"].isprintable() for loss in facts["losses"])
    done = run("manifest", path)
    assert all(line.isprintable() for line in done.stderr.splitlines()), done.stderr
    done = run("plan", path, "--strict")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert_a_line(done.stderr.rstrip("\n"))


def test_overlays() -> None:
    lower, upper = Tree(), Tree()
    name = NAME.replace(b"/", b"-")
    lower.directory(name)
    lower.symlink(b"s", NAME)
    upper.file(name, b"")
    upper.file(b"s", b"")
    for loss in lower.overlay(upper).losses:
        assert_a_line(loss.what)


def test_the_order_of_losses_is_that_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("#mtree\na type=fifo foo=1 bar=2 baz=3 qux=4\n")
    reports = set()
    for seed in range(4):
        env = {**os.environ, "PYTHONHASHSEED": str(seed)}
        done = run("plan", f"manifest:{tmp_path / 'm'}", "--json", env=env)
        reports.add(json.dumps(json.loads(done.stdout)["losses"]))
    assert len(reports) == 1
