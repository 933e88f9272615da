"""Options for one source alone: settings, the folder inside it, names to strip."""

from __future__ import annotations

import io
import os
import re
import tarfile
from pathlib import Path

import pytest

from ext4writer_cli.source_arguments import parse_source
from tests.builder.command import assert_one_line, report, run
from tests.judges import debugfs
from tests.makers.containers import Layout, layer_tar


@pytest.mark.parametrize(
    ("text", "place", "settings"),
    [
        ("overlay,owner=0:0", "overlay", (("owner", "0:0"),)),
        ("overlay[owner=0:0]", "overlay", (("owner", "0:0"),)),
        (
            "a.tar,strip-components=1,owner=5:6,mode-mask=755",
            "a.tar",
            (("strip-components", "1"), ("owner", "5:6"), ("mode-mask", "755")),
        ),
        ("x,exclude=a,b,exclude=c", "x", (("exclude", "a,b"), ("exclude", "c"))),
        ("a,b", "a,b", ()),
        ("a,note=b", "a,note=b", ()),
        ("a[1]", "a[1]", ()),
        ("-,owner=0:0", "-", (("owner", "0:0"),)),
    ],
)
def test_settings_are_parsed(text: str, place: str, settings: tuple[tuple[str, str], ...]) -> None:
    source = parse_source(text + "::/srv")
    assert (source.place, source.settings, source.target) == (place, settings, b"/srv")


@pytest.mark.parametrize("written", [",owner=0:0", "[owner=0:0]"])
def test_settings_after_the_folder_are_answered_with_their_place(written: str) -> None:
    with pytest.raises(ValueError, match="settings after its folder: write 'a,owner=0:0::/srv'"):
        parse_source(f"a::/srv{written}")
    assert parse_source(f"a::/srv{written}/").target == f"/srv{written}".encode()
    assert parse_source("a::/srv,note=b").target == b"/srv,note=b"


@pytest.mark.parametrize(
    ("text", "reference", "inside"),
    [
        ("oci:layout:/srv", None, "/srv"),
        ("oci:layout:release:/srv/app", "release", "srv/app"),
        ("docker-archive:a.tar:alpine:3:/etc", "alpine:3", "etc"),
        ("oci:layout:registry:5000/name", "registry:5000/name", None),
    ],
)
def test_the_folder_inside_of_a_container_image(
    text: str, reference: str | None, inside: str | None
) -> None:
    source = parse_source(text)
    assert (source.reference, source.inside) == (reference, inside)


def make_archive(path: Path) -> None:
    """An archive like that of a release: one folder around everything, and a file next to it."""
    with tarfile.open(path, "w") as archive:
        for name, data in (
            ("pkg-1.0/bin/tool", b"#!/bin/sh\n"),
            ("pkg-1.0/README", b"text\n"),
            ("beside", b"?"),
        ):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.uid = len(data), 0o644, 7
            archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_archive(tmp_path / "pkg.tar")
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "site").write_text("site\n")
    (tmp_path / "overlay" / "site").chmod(0o666)
    (tmp_path / "overlay" / "note.txt").write_text("note\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def owner(path: str) -> tuple[int, int]:
    found = debugfs.inode(Path("image"), path)
    return found.uid, found.gid


def test_settings_apply_to_one_source_only(folder: Path) -> None:
    done = run(
        *("build", "pkg.tar,strip-components=1,set=bin/*: mode=755", "-o", "image", "-q"),
        "overlay,owner=3:4,mode-mask=644,exclude=*.txt::/srv",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert owner("/README") == (7, 0)
    assert owner("/srv/site") == (3, 4)
    assert debugfs.inode(Path("image"), "/srv/site").mode == 0o644
    assert debugfs.inode(Path("image"), "/bin/tool").mode == 0o755
    assert "note.txt" not in debugfs.debugfs(Path("image"), "ls /srv")
    # Options of the command apply when all sources are combined.
    run("build", "pkg.tar", "overlay,owner=3:4", "--owner", "9:9", "-o", "image", "-q")
    assert owner("/site") == (9, 9)


def test_the_same_in_brackets(folder: Path) -> None:
    plain = report("plan", "pkg.tar,owner=3:4", "overlay")
    assert report("plan", "pkg.tar[owner=3:4]", "overlay")["uuid"] == plain["uuid"]
    assert report("plan", "pkg.tar", "overlay")["uuid"] != plain["uuid"]


def test_a_file_with_a_name_like_settings_is_found(folder: Path) -> None:
    os.rename("overlay", "overlay,owner=3:4")
    facts = report("plan", "overlay,owner=3:4")
    assert facts["sources"][0]["source"] == "overlay,owner=3:4"


@pytest.mark.parametrize("settings", ["owner=x", "strip-components=x", "all-times=x", "uid-map=1"])
def test_a_wrong_setting_is_one_line(settings: str, folder: Path) -> None:
    key, _, value = settings.partition("=")
    assert_one_line(run("plan", f"overlay,{settings}"), 2, f"{key}: ", value)


@pytest.mark.parametrize("source", ["overlay,ownr=0:0", "pkg.tar[owners=0:0]"])
def test_a_setting_that_does_not_exist_is_named(source: str, folder: Path) -> None:
    key = re.split(r"[,\[=]", source)[1]
    assert_one_line(
        run("plan", source), 1, f"{key!r} is not a setting", "owner", "strip-components"
    )
    assert_one_line(run("plan", f"no-{source}"), 1, "No such file")


@pytest.mark.parametrize(
    ("source", "status", "says"),
    [
        ("overlay,owner=0:0,foo=1", 2, "'foo' is not a setting; the settings are exclude, "),
        ("overlay,owner=0:0,onwer=1:1", 2, "'onwer' is not a setting; did you mean owner?"),
        ("overlay,exclude=.gitkeep,onwer=0:0", 2, "'onwer' is not a setting; did you mean owner?"),
        ("overlay,strip_components=1", 1, "did you mean strip-components?"),
        ("overlay[owner=0:0,strip_components=1]", 2, "did you mean strip-components?"),
        ("overlay,", 1, "overlay exists; remove the comma, or add a setting after it"),
        ("overlay,owner", 1, "overlay exists; owner needs a value, such as overlay,owner=0:0"),
        ("overlay,ownr", 1, "a setting is KEY=VALUE, such as overlay,owner=..."),
        ("overlay:/nope", 1, "the folder overlay does not contain nope"),
        ("o:/nope", 1, "the folder o does not contain nope"),
    ],
)
def test_an_invalid_suffix_of_a_source_is_reported(
    source: str, status: int, says: str, folder: Path
) -> None:
    os.mkdir("o")
    assert_one_line(run("plan", source), status, says)


def test_a_comma_in_a_value_starts_no_setting(folder: Path) -> None:
    os.mkdir("o")
    assert report("plan", "o,set=.: xattr:user.a=b,colour=c")["entries"]["directory"]
    assert report("plan", "overlay:/.")["entries"] == report("plan", "overlay")["entries"]


def test_names_are_stripped(folder: Path) -> None:
    facts = report("plan", "pkg.tar", "--strip-components", "1")
    assert (facts["entries"]["file"], facts["entries"]["directory"]) == (2, 3)
    assert [(loss["path"], loss["code"]) for loss in facts["losses"]] == [("/beside", "left-out")]
    run("build", "pkg.tar", "overlay", "--strip-components", "1", "-o", "image", "-q")
    assert owner("/bin/tool") == (7, 0)
    assert owner("/site") == (os.getuid(), os.getgid())  # a folder keeps its names
    assert_one_line(
        run("plan", "pkg.tar", "--strip-components", "1", "--strict"), 1, "/beside", "strip"
    )


def test_names_that_are_all_stripped_are_reported(folder: Path) -> None:
    """tar prints nothing in this case."""
    facts = report("plan", "pkg.tar", "--strip-components", "9")
    assert facts["entries"]["file"] == 0
    losses = {(loss["path"], loss["code"]) for loss in facts["losses"]}
    assert losses == {
        (path, "left-out") for path in ("/beside", "/pkg-1.0/README", "/pkg-1.0/bin/tool")
    }
    done = run("build", "pkg.tar", "--strip-components", "9", "--strict", "-o", "image")
    assert_one_line(done, 1, "/beside", "stripping 9 names")
    assert not Path("image").exists()


def test_names_of_a_folder_are_stripped_on_request(folder: Path) -> None:
    Path("overlay/sub").mkdir()
    Path("overlay/sub/file").write_text("x")
    facts = report("plan", "overlay,strip-components=1")
    assert facts["entries"]["file"] == 1
    assert {loss["path"] for loss in facts["losses"]} == {"/site", "/note.txt"}
    done = run("plan", "overlay", "--strip-components", "1")
    assert_one_line(done, 2, "--strip-components", "tar archives", "strip-components=N")
    assert_one_line(run("plan", "--strip-components", "1"), 2, "--strip-components")


@pytest.mark.parametrize("source", ["pkg.tar:/pkg-1.0", "pkg.tar:/pkg-1.0/", "-:/pkg-1.0"])
def test_a_folder_inside_of_an_archive(source: str, folder: Path) -> None:
    with open("pkg.tar", "rb") as archive:
        done = run("build", f"{source}::/opt", "-o", "image", "-q", stdin=archive)
    assert (done.returncode, done.stderr) == (0, "")
    assert owner("/opt/bin/tool") == (7, 0)


def test_a_folder_inside_of_a_folder_or_an_image(folder: Path) -> None:
    (folder / "tree" / "sub").mkdir(parents=True)
    (folder / "tree" / "sub" / "file").write_text("text")
    assert report("plan", "tree:/sub")["entries"]["file"] == 1
    assert report("plan", "tree:/sub")["sources"][0]["source"] == "tree:/sub"
    layout = Layout(folder / "layout")
    with open("pkg.tar", "rb") as archive:
        layout.index([layout.image([archive.read(), layer_tar([])])])
    assert report("plan", "oci:layout:/pkg-1.0")["entries"]["file"] == 2


@pytest.mark.parametrize(
    ("source", "words"),
    [("pkg.tar:/no-such", "/no-such: is not in"), ("pkg.tar:/beside", "is not a directory")],
)
def test_a_folder_that_is_not_inside_is_named(source: str, words: str, folder: Path) -> None:
    assert_one_line(run("plan", source), 1, "pkg.tar: ", words)


def test_patterns_begin_where_the_source_does(folder: Path) -> None:
    done = report("plan", "pkg.tar:/pkg-1.0", "--exclude", "bin/tool", "--strict")
    assert done["entries"]["file"] == 1
    done = report("plan", "pkg.tar", "--strip-components", "1", "--exclude", "bin/tool")
    assert done["entries"]["file"] == 1
