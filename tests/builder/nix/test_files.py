"""What is added to the closure: files that contain a store, and further contents."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from pathlib import Path
from uuid import UUID

import pytest

from tests.builder.command import assert_one_line, assert_untouched, report, run
from tests.judges import tools
from tests.judges.debugfs import debugfs, superblock
from tests.judges.fsck import assert_clean
from tests.judges.kernel import mounted

from .conftest import RealClosure
from .test_bad_closures import STRANGER, Lines, at, joined
from .test_closures import nix_store, registered

SUFFIX = "~nix~case~hack~"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def object_named(closure: RealClosure, suffix: str) -> str:
    [found] = [path for path in closure.paths if path.endswith(suffix)]
    return found


# -- files below nix -------------------------------------------------------------------------------


def test_files_with_a_database_of_nix(
    closure: RealClosure, files: Path, out: Path, tmp_path: Path
) -> None:
    """The files are as ``NIX_REMOTE=local?root=$PWD/files nix-store --load-db`` leaves them."""
    tools.require_root()
    registration = (closure.folder / "registration").read_bytes()
    nix_store(files, tmp_path, "--load-db", stdin=registration)
    assert (files / "nix/store/.links").is_dir()
    image = out / "a.img"
    facts = report("nix", *closure.options, "--files", files, "--strict", "-o", image)
    assert facts["losses"] == []
    copy = tmp_path / "copy"
    with mounted(image) as root:
        assert os.listdir(root / "nix/store/.links") == []
        tools.run(["cp", "-a", root, copy])
    assert registered(copy, tmp_path) == closure.paths
    said = nix_store(copy, tmp_path, "--verify", "--check-contents").stderr
    assert "modified" not in said and "disappeared" not in said
    tools.run(["chmod", "-R", "u+w", copy])


def test_a_store_path_that_is_in_both(closure: RealClosure, files: Path, out: Path) -> None:
    """One equal to the registered one, apart from modes, is accepted; any other is refused."""
    odd = object_named(closure, "-odd")
    store = files / "nix/store"
    store.mkdir(parents=True)
    shutil.copytree(closure.host.real(odd), store / os.path.basename(odd), symlinks=True)
    tools.run(["chmod", "-R", "u+w", store])
    plain, image = out / "plain.img", out / "a.img"
    assert run("nix", *closure.options, "-o", plain).returncode == 0
    done = run("nix", *closure.options, "--files", files, "--strict", "-o", image)
    assert (done.returncode, done.stderr) == (0, "")
    assert plain.read_bytes() == image.read_bytes()
    (store / os.path.basename(odd) / "more").write_text("more")
    done = run("nix", *closure.options, "--files", files, "-o", out / "b.img")
    assert_one_line(done, 1, odd, "differs from the registered object")
    assert sorted(os.listdir(out)) == ["a.img", "plain.img"]


def test_unregistered_paths_are_reported(closure: RealClosure, files: Path, out: Path) -> None:
    tools.require_root()
    stranger = files / STRANGER[1:]
    stranger.mkdir(parents=True)
    (stranger / "file").write_text("text")
    image = out / "a.img"
    facts = report("nix", *closure.options, "--files", files, "-o", image)
    what = "is in the store without being registered"
    [loss] = facts["losses"]
    assert (loss["path"], loss["what"]) == (STRANGER, what)
    with mounted(image) as root:
        assert (root / STRANGER[1:] / "file").read_text() == "text"
    done = run("nix", *closure.options, "--files", files, "--strict", "-o", out / "b.img")
    assert_one_line(done, 1, "--strict", STRANGER, what)


def own_registration(closure: RealClosure, files: Path, edit: str = "") -> None:
    """A registration of the caller's with an additional path, which is in the files."""
    lines: Lines = (closure.folder / "registration").read_text().splitlines()
    start = at(lines, "-word")
    if edit == "less":
        start = at(lines, "-many")
        lines = lines[start : start + 5]
    elif edit == "other":
        lines[start + 2] = "7"
    if edit != "no object":
        (files / STRANGER[1:]).mkdir(parents=True)
    lines += [STRANGER, "0" * 64, "96", "", "0"]
    (files / "nix-path-registration").write_text(joined(lines))


def test_a_registration_with_additional_paths(closure: RealClosure, files: Path, out: Path) -> None:
    tools.require_root()
    own_registration(closure, files)
    image = out / "a.img"
    options = ["--files", files, "--database"]
    facts = report("nix", *closure.options, *options, "-o", image)
    assert facts["losses"] == []
    with mounted(image) as root:
        path = root / "nix-path-registration"
        assert path.read_bytes() == (files / "nix-path-registration").read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
        assert STRANGER.encode() in (root / "nix/var/nix/db/db.sqlite").read_bytes()


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("less", ("does not register /nix/store/",)),
        ("other", ("contradicts that of", "-word")),
        ("no object", (f"registers {STRANGER}", "is missing")),
    ],
)
def test_a_registration_that_contradicts(
    edit: str, words: tuple[str, ...], closure: RealClosure, files: Path, out: Path
) -> None:
    own_registration(closure, files, edit)
    done = run("nix", *closure.options, "--files", files, "-o", out / "a.img")
    assert_one_line(done, 1, "/nix-path-registration", *words)
    assert_untouched(out)


def test_an_invalid_registration_is_refused(closure: RealClosure, files: Path, out: Path) -> None:
    for text, word in (("", "does not register"), ("x", "cut short"), ("x\n", "cut short")):
        (files / "nix-path-registration").write_text(text)
        done = run("nix", *closure.options, "--files", files, "-o", out / "a.img")
        assert_one_line(done, 1, "/nix-path-registration", word)
        assert_untouched(out)


# -- names of macOS --------------------------------------------------------------------------------


@pytest.fixture
def hacked(closure: RealClosure, tmp_path: Path) -> Path:
    """The store as unpacked by Nix on macOS: of ``Case`` and ``case``, the second has a suffix."""
    store = tmp_path / "hacked"
    shutil.copytree(closure.store, store, symlinks=True)
    tools.run(["chmod", "-R", "u+w", store])
    odd = store / os.path.basename(object_named(closure, "-odd"))
    (odd / "case").rename(odd / f"case{SUFFIX}1")
    (odd / "empty directory").rename(odd / f"empty directory{SUFFIX}27")
    return store


def test_case_hack(closure: RealClosure, hacked: Path, out: Path, tmp_path: Path) -> None:
    plain, image = out / "plain.img", out / "a.img"
    assert run("nix", *closure.options, "-o", plain).returncode == 0
    options = ["--closure", closure.folder, "--store-dir", hacked]
    done = run("nix", *options, "--case-hack", "--verify", "--strict", "-o", image)
    assert (done.returncode, done.stderr) == (0, "")
    assert image.read_bytes() == plain.read_bytes()
    # Nix finds the same in such a store.
    home = {"HOME": str(tmp_path), "NIX_CONFIG": "use-case-hack = true"}
    odd = object_named(closure, "-odd")
    said = tools.run(
        ["nix-hash", "--type", "sha256", hacked / os.path.basename(odd)], environment=home
    )
    assert said.stdout.split()[-1] in (closure.folder / "registration").read_text()
    # Without the option, names are unchanged, and this is reported.
    done = run("nix", *options, "--verify", "-o", out / "b.img")
    assert_one_line(done, 1, odd, "it was changed after")
    facts = report("nix", *options, "-o", out / "b.img")
    [loss] = facts["losses"]
    assert loss["path"] == odd and SUFFIX in loss["what"]


def test_case_hack_that_maps_two_names_to_one(
    closure: RealClosure, hacked: Path, out: Path
) -> None:
    odd = hacked / os.path.basename(object_named(closure, "-odd"))
    options = ["--closure", closure.folder, "--store-dir", hacked, "--case-hack"]
    for name in ("case", f"case{SUFFIX}2"):
        (odd / name).write_text("too many")
        done = run("nix", *options, "-o", out / "a.img")
        assert_one_line(done, 1, f"case{SUFFIX}", "another entry")
        (odd / name).unlink()
    (odd / f"{SUFFIX}1").write_text("no name is left")
    assert_one_line(run("nix", *options, "-o", out / "a.img"), 1, "another entry")
    assert_untouched(out)


def test_case_hack_in_added_files_and_contents(
    closure: RealClosure, hacked: Path, files: Path, out: Path, tmp_path: Path
) -> None:
    """A store among the files, and further contents, come from the same store of macOS."""
    tools.require_root()
    odd = object_named(closure, "-odd")
    shutil.copytree(hacked / os.path.basename(odd), files / odd[1:], symlinks=True)
    image = out / "a.img"
    contents = [
        {"source": f"{hacked / os.path.basename(odd)}", "target": "/whole"},
        {"source": f"{hacked / os.path.basename(odd)}/*ase*", "target": "/some"},
    ]
    options = ["--case-hack", "--strict", "--files", files, "-o", image]
    done = run(*with_contents(closure, tmp_path, contents, *options))
    assert (done.returncode, done.stderr) == (0, "")
    with mounted(image) as root:
        assert os.listdir(root / "whole") == os.listdir(root / odd[1:])
        assert sorted(os.listdir(root / "some")) == ["Case", "case"]
        for folder, folders, names in os.walk(os.fsencode(root)):
            assert not any(SUFFIX.encode() in name for name in (*folders, *names)), folder


# -- contents --------------------------------------------------------------------------------------


def with_contents(
    closure: RealClosure, tmp_path: Path, contents: object, *options: str | Path
) -> list[str | Path]:
    file = tmp_path / "contents.json"
    file.write_text(contents if isinstance(contents, str) else json.dumps(contents))
    return ["nix", *closure.options, "--contents", file, *options]


def test_contents(closure: RealClosure, files: Path, out: Path, tmp_path: Path) -> None:
    """make-disk-image.nix treats them like this, with rsync, chmod and chown."""
    tools.require_root()
    source = tmp_path / "source"
    (source / "folder/deep").mkdir(parents=True)
    (source / "folder/deep/file").write_text("deep")
    (source / "folder/run").write_text("#!/bin/sh\n")
    (source / "folder/run").chmod(0o755)
    (source / "folder/link").symlink_to("run")
    for name in ("1.conf", "2.conf", ".hidden.conf", "3.txt"):
        (source / name).write_text(name)
    (source / "also").symlink_to("folder")
    (files / "etc").mkdir()
    (files / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nalice:x:1000:100::/home/alice:\n")
    (files / "etc/group").write_text("root:x:0:\nusers:x:100:alice\n")
    contents = [
        {"source": f"{source}/folder", "target": "/home/alice", "user": "alice", "group": "users"},
        {"source": f"{source}/folder/run", "target": "opt/run", "mode": "0700"},
        {"source": f"{source}/also", "target": "/also", "mode": "u=rwX,go=", "user": "12"},
        {"source": f"{source}/*.conf", "target": "/etc/all", "mode": "600", "group": "0"},
        {"source": f"{source}/3.txt", "target": "/etc/three", "mode": None, "user": None},
    ]
    image = out / "a.img"
    options = with_contents(closure, tmp_path, contents, "--files", files, "-o", image)
    done = run(*options)
    assert (done.returncode, done.stderr) == (0, "")

    def facts(path: str) -> tuple[str, int, int]:
        status = os.lstat(root / path)
        return f"{stat.S_IMODE(status.st_mode):o}", status.st_uid, status.st_gid

    with mounted(image) as root:
        assert (root / "home/alice/deep/file").read_text() == "deep"
        assert facts("home") == ("755", 0, 0)
        for path in ("", "/deep", "/run"):
            assert facts(f"home/alice{path}") == ("755", 1000, 100)
        assert facts("home/alice/link")[1:] == (1000, 100)
        assert os.readlink(root / "home/alice/link") == "run"
        assert facts("opt/run") == ("700", 0, 0)
        assert facts("also") == ("700", 12, 0) and facts("also/deep/file") == ("600", 12, 0)
        assert sorted(os.listdir(root / "etc/all")) == ["1.conf", "2.conf"]
        assert facts("etc/all/1.conf") == ("600", 0, 0)
        assert (root / "etc/three").read_text() == "3.txt"
        stamps = {os.lstat(root / path).st_mtime_ns for path in ("home", "also/run", "opt/run")}
        assert stamps == {10**9}


def test_wildcards_of_contents(closure: RealClosure, out: Path, tmp_path: Path) -> None:
    """As in the shell and rsync: links stay links, and all kinds of wildcards work."""
    source = tmp_path / "source"
    for name in ("a1", "a2", "b1", "b2"):
        (source / name).mkdir(parents=True)
        (source / name / f"{name}.txt").write_text(name)
    (source / "a1/link").symlink_to("../b1")
    contents = [{"source": f"{source}/[a]?/*", "target": "/found"}]
    image = out / "a.img"
    assert run(*with_contents(closure, tmp_path, contents, "-o", image)).returncode == 0
    names = re.findall(r"\(\d+\) (\w\S*)", debugfs(image, "ls /found"))
    assert sorted(names) == ["a1.txt", "a2.txt", "link"]
    assert 'dest: "../b1"' in debugfs(image, "stat /found/link")


def test_contents_below_the_store(closure: RealClosure, out: Path, tmp_path: Path) -> None:
    """They are handled like files there: registered paths stay as they are, none are added."""
    odd = object_named(closure, "-odd")
    real = str(closure.host.real(odd))
    image, hosts = out / "a.img", "/etc/hosts"
    done = run(
        *with_contents(closure, tmp_path, [{"source": hosts, "target": f"{odd}/new"}], "-o", image)
    )
    assert_one_line(done, 1, odd, "differs from the registered object")
    assert_untouched(out)
    contents = [
        {"source": real, "target": odd},
        {"source": hosts, "target": STRANGER},
        {"source": hosts, "target": "/nix/store/.links"},
    ]
    facts = report(*with_contents(closure, tmp_path, contents, "-o", image))
    assert {(loss["path"], loss["code"]) for loss in facts["losses"]} == {
        (path, "unregistered") for path in (STRANGER, "/nix/store/.links")
    }
    own = closure.folder / "registration"
    contents = [{"source": str(own), "target": "/nix-path-registration", "mode": "600"}]
    options = with_contents(closure, tmp_path, contents, "--strict", "-o", image)
    assert run(*options).returncode == 0
    assert "Mode:  0444" in debugfs(image, "stat /nix-path-registration")


# -- what is left out ------------------------------------------------------------------------------


def test_nothing_that_is_registered_is_left_out(closure: RealClosure, out: Path) -> None:
    image = out / "a.img"
    odd = object_named(closure, "-odd")
    for glob in ("/nix", "*", odd):
        for option in ("--dedupe", "--database"):
            done = run("nix", *closure.options, "--exclude", glob, option, "-o", image)
            assert_one_line(done, 2, "--exclude: leaves out /nix/store/", "which is registered")
    assert_untouched(out)
    options = ["--exclude", f"{odd}/bin", "-o", image]
    [loss] = report("nix", *closure.options, *options)["losses"]
    assert (loss["path"], loss["code"]) == (odd, "left-out")
    assert "parts of it are excluded" in loss["what"]


def test_without_a_registration_the_closure_may_be_left_out(
    closure: RealClosure, out: Path
) -> None:
    image = out / "a.img"
    options = ["--no-registration", "--dedupe", "--exclude"]
    facts = report("nix", *closure.options, *options, "/nix", "-o", image)
    assert (facts["losses"], facts["linked_files"]) == ([], 0)
    system = closure.roots[0]
    done = run("nix", *closure.options, *options, system, "--system", system, "-o", out / "b.img")
    assert_one_line(done, 1, "is to be the system, but is not in the closure")


@pytest.mark.parametrize(
    ("contents", "status", "words"),
    [
        ("{", 1, ("contents.json", "is not JSON")),
        ({}, 1, ("is not a list",)),
        ([7], 1, ("entry 1", "not a set")),
        ([{"source": "/etc/hosts"}], 1, ("entry 1", "no target")),
        ([{"source": "/etc/hosts", "target": "/a", "owner": "me"}], 1, ("'owner'", "none of")),
        ([{"source": ["/etc"], "target": "/a"}], 1, ("its source is not text",)),
        ([{"source": "/nonexistent", "target": "/a"}], 1, ("nonexistent",)),
        ([{"source": "/nonexistent/*", "target": "/a"}], 1, ("matches nothing",)),
        ([{"source": "/etc/hosts", "target": "/"}], 1, ("the root itself",)),
        ([{"source": "/etc/hosts", "target": "/../a"}], 1, ("..",)),
        ([{"source": "/etc/hosts", "target": "/nix"}], 1, ("/nix:", "must be a directory")),
        ([{"source": "/etc/hosts", "target": "/a"}] * 2, 1, ("exists already",)),
        (
            [{"source": "/etc/hosts", "target": f"/a{below}"} for below in ("", "/b")],
            1,
            ("is not a folder",),
        ),
        ([{"source": "/etc/hosts", "target": "/a", "mode": "rw"}], 2, ("--contents", "not a mode")),
        ([{"source": "/etc/hosts", "target": "/a", "user": "bob"}], 2, ("--contents", "'bob'")),
        ([{"source": "/etc/hosts", "target": "/a", "group": "4294967295"}], 2, ("a number",)),
    ],
)
def test_impossible_contents_are_refused(
    contents: object,
    status: int,
    words: tuple[str, ...],
    closure: RealClosure,
    out: Path,
    tmp_path: Path,
) -> None:
    done = run(*with_contents(closure, tmp_path, contents, "-o", out / "a.img"))
    assert_one_line(done, status, *words)
    assert_untouched(out)


# -- options of mke2fs -----------------------------------------------------------------------------


def test_uuids_in_the_words_of_mke2fs(closure: RealClosure, out: Path) -> None:
    image = out / "a.img"
    options = ("nix", *closure.options, "-o", image, "--uuid")
    assert report(*options, "CLEAR")["uuid"] == nil
    image.unlink()
    for word in ("random", "Time"):
        done = run(*options, word)
        assert_one_line(done, 2, f"--uuid {word.lower()} would make a different image each time")
        assert_untouched(out)
    made = [report(*options, word, "--not-reproducible")["uuid"] for word in ("random", "time")]
    assert [UUID(uuid).version for uuid in made] == [4, 1]
    assert_one_line(run(*options, "often"), 2, "'often' is not a UUID, clear, random or time")


nil = "00000000-0000-0000-0000-000000000000"


def test_blocks_as_mke2fs_chooses_them(closure: RealClosure, out: Path, tmp_path: Path) -> None:
    paths = tmp_path / "paths"
    paths.write_text(f"{object_named(closure, '-many')}\n")
    listed = ("nix", "--store-paths", paths, "--store-dir", closure.store)
    options = (*listed, "-o", out / "a.img", "--block-size", "auto")
    assert report(*options)["block_size"] == 1024
    assert report(*options, "--free", "520M")["block_size"] == 4096
    assert report(*options, "--size", "511M")["block_size"] == 1024
    # This one has a link that is too long for a block of 1 KiB.
    options = ("nix", *closure.options, "-o", out / "a.img", "--block-size", "auto")
    assert report(*options)["block_size"] == 4096


def test_the_largest_blocks(closure: RealClosure, out: Path) -> None:
    """A group with 64 KiB blocks cannot hold an inode for each 16 KiB, or for each block."""
    options = ("nix", *closure.options, "-o", out / "a.img", "--block-size", "64K")
    facts = report(*options)
    assert facts["block_size"] == 65536
    assert int(superblock(out / "a.img")["Inodes per group"]) >= 65_000
    assert_clean(out / "a.img")
