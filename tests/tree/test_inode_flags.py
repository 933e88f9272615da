"""Inode flags and project ids from every source, judged in images by chattr and lsattr."""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import (
    Directory,
    Fifo,
    RegularFile,
    Spec,
    SpecError,
    Symlink,
    Tree,
    TreeError,
    manifests,
    plan,
    sources,
    write_image,
)
from ext4writer.content import BytesContent
from ext4writer.edit.rules import apply_rules
from ext4writer.edit.rules_set import set_rule
from ext4writer.inode_flags import INODE_FLAGS, bsd_words, flags_for, from_bsd_words, parse_flags
from ext4writer.ondisk import inode as ondisk
from tests.builder.command import report
from tests.builder.command import run as command
from tests.judges.debugfs import debugfs
from tests.judges.fsck import assert_clean
from tests.judges.kernel import mounted
from tests.judges.tools import require, require_loop_mount, run

FIXED = Spec(epoch=1_700_000_000, uuid=UUID(int=7), hash_seed=UUID(int=8))
BITS = {flag.name: flag.bit for flag in INODE_FLAGS}
IMMUTABLE, APPEND, NODUMP = BITS["immutable"], BITS["append"], BITS["nodump"]
NOATIME, SYNC, DIRSYNC, TOPDIR = (BITS[name] for name in ("noatime", "sync", "dirsync", "topdir"))
PROJINHERIT, JOURNAL_DATA = BITS["projinherit"], BITS["journal_data"]


def tree() -> Tree:
    made = Tree()
    made.root.flags = NOATIME
    made.file("/plain", b"text")
    made.file("/fixed", b"text", flags=IMMUTABLE | NODUMP)
    made.link("/fixed-too", "/fixed")
    made.file("/log", b"", flags="append,journal_data")
    made.directory("/top", flags=TOPDIR | DIRSYNC | PROJINHERIT)
    for number in range(2000):
        made.file(f"/top/{number:04}", b"", flags=SYNC if number % 7 == 0 else 0)
    made.symlink("/link", "log", flags="noatime")
    made.symlink("/long", "l" * 100, flags="nodump")
    made.fifo("/pipe", flags=NODUMP)
    return made


def flags_of(made: Tree) -> dict[bytes, int]:
    return {path: node.flags for path, node in made.walk() if node.flags}


def lsattr(*places: Path) -> list[int]:
    """The flags that lsattr shows for files and folders."""
    letters = {flag.letter: flag.bit for flag in INODE_FLAGS}
    said = run([require("lsattr"), "-d", *map(str, places)]).stdout.splitlines()
    return [sum(letters.get(letter, 0) for letter in line.split()[0]) for line in said]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flags") / "image"
    write_image(tree(), path, FIXED)
    return path


def test_the_bits_are_those_of_the_format() -> None:
    for flag in INODE_FLAGS:
        assert getattr(ondisk, f"EXT4_{flag.name.upper()}_FL") == flag.bit


class TestImages:
    def test_e2fsck_and_debugfs(self, image: Path) -> None:
        assert_clean(image)
        for path, expected in (
            ("/", ondisk.EXT4_EXTENTS_FL | NOATIME),
            ("/plain", ondisk.EXT4_EXTENTS_FL),
            ("/fixed-too", ondisk.EXT4_EXTENTS_FL | IMMUTABLE | NODUMP),
            ("/log", ondisk.EXT4_EXTENTS_FL | APPEND | JOURNAL_DATA),
            (
                "/top",
                ondisk.EXT4_EXTENTS_FL | ondisk.EXT4_INDEX_FL | TOPDIR | DIRSYNC | PROJINHERIT,
            ),
            ("/top/0007", ondisk.EXT4_EXTENTS_FL | SYNC),
            ("/top/0008", ondisk.EXT4_EXTENTS_FL),
            ("/link", NOATIME),
            ("/long", ondisk.EXT4_EXTENTS_FL | NODUMP),
            ("/pipe", NODUMP),
        ):
            said = debugfs(image, f"stat {path}")
            found = re.search(r"Flags: (0x[0-9a-f]+)", said)
            assert found and int(found[1], 16) == expected, path

    def test_the_kernel_obeys(self, image: Path) -> None:
        with mounted(image) as point:
            shown = lsattr(*(point / name for name in ("plain", "fixed", "log", "top", "")))
            assert shown == [
                0,
                IMMUTABLE | NODUMP,
                APPEND | JOURNAL_DATA,
                TOPDIR | DIRSYNC | PROJINHERIT,
                NOATIME,
            ]
        with mounted(image.with_name("image"), options="noload") as point:
            again = sources.directory(point, inode_flags=True)
        shown_kinds = {
            path: flags
            for path, flags in flags_of(tree()).items()
            if path not in (b"/link", b"/long", b"/pipe")
        }
        assert flags_of(again) == shown_kinds
        assert again["/fixed"] is again["/fixed-too"]
        assert again.losses == []

    def test_an_immutable_file_stays(self, tmp_path: Path) -> None:
        write_image(tree(), tmp_path / "image", FIXED)
        with mounted(tmp_path / "image", rw=True) as point:
            with pytest.raises(PermissionError):
                (point / "fixed").write_bytes(b"other")
            with pytest.raises(PermissionError):
                (point / "log").write_bytes(b"other")
            with open(point / "log", "ab") as file:
                file.write(b"more")
        assert_clean(tmp_path / "image")

    def test_an_image_is_a_source(self, image: Path, tmp_path: Path) -> None:
        again = sources.image(image)
        assert flags_of(again) == flags_of(tree())
        assert again.losses == []
        again.remove("/lost+found")
        write_image(again, tmp_path / "again", FIXED)
        assert (tmp_path / "again").read_bytes() == image.read_bytes()

    def test_inodes_of_128_bytes_and_another_order(self, tmp_path: Path) -> None:
        spec = Spec(inode_size=128, epoch=0, policy=None, block_size=1024)
        write_image(tree(), tmp_path / "image", spec)
        assert_clean(tmp_path / "image")
        assert flags_of(sources.image(tmp_path / "image")) == flags_of(tree())

    def test_the_identity_follows_from_flags_and_not_without(self) -> None:
        one, other, none = Tree(), Tree(), Tree()
        one.file("/a", b"", flags=NODUMP)
        other.file("/a", b"", flags=NOATIME)
        none.file("/a", b"")
        assert len({plan(each).uuid for each in (one, other, none)}) == 3
        one["/a"].flags = 0
        assert plan(one).uuid == plan(none).uuid

    @pytest.mark.parametrize(
        ("path", "flags", "problem"),
        [
            ("/file", DIRSYNC, "/file: the inode flag dirsync is only for directories"),
            (
                "/link",
                IMMUTABLE,
                "/link: the inode flag immutable is only for files and directories",
            ),
            ("/pipe", APPEND | NODUMP, "/pipe: the inode flag append is only for files and"),
            ("/file", 0x80000, "/file: users cannot set the inode flag 0x80000"),
            ("/", 0x40000000, "/: the inode flag casefold needs the feature casefold; add it"),
        ],
    )
    def test_flags_that_no_inode_may_have_are_refused(
        self, path: str, flags: int, problem: str
    ) -> None:
        made = Tree()
        made.file("/file", b"")
        made.symlink("/link", "file")
        made.fifo("/pipe")
        made[path].flags = flags
        with pytest.raises(TreeError, match=problem):
            plan(made)

    def test_projects_are_refused_by_path(self) -> None:
        made = Tree()
        made.file("/a", b"", project=7)
        with pytest.raises(TreeError, match="/a: project 7 needs the feature project"):
            plan(made)
        apply_rules(made, [set_rule("**: project=0")])
        plan(made)


class TestNodes:
    def test_both_are_kept_apart(self) -> None:
        node = RegularFile(BytesContent(b""), flags=NODUMP, project=4_294_967_294)
        assert (node.flags, node.project) == (NODUMP, 4_294_967_294)
        node.flags = IMMUTABLE
        assert (node.flags, node.project) == (IMMUTABLE, 4_294_967_294)
        node.project = 0
        assert (node.flags, node.project) == (IMMUTABLE, 0)
        assert repr(node) == "<RegularFile 0 bytes mode=0o644 flags=immutable>"

    def test_invalid_flag_values_are_refused(self) -> None:
        made = Tree()
        with pytest.raises(TreeError, match="/a: flags: 'frozen' is no inode flag; there are"):
            made.file("/a", b"", flags="frozen")
        with pytest.raises(TreeError, match="/a: flags: 4294967296 is out of range"):
            made.file("/a", b"", flags=1 << 32)
        with pytest.raises(TreeError, match="/a: project: 4294967295"):
            made.file("/a", b"", project=0xFFFFFFFF)
        with pytest.raises(SpecError, match="flags: None is no number of inode flags"):
            made.root.flags = None  # type: ignore[assignment]

    def test_composition_keeps_them(self) -> None:
        lower, upper = Tree(), Tree()
        lower.directory("/d", flags=TOPDIR)
        lower.file("/d/kept", b"", flags=NODUMP, project=1)
        upper.directory("/d", flags=NOATIME, project=3)
        upper.file("/d/new", b"", flags=SYNC)
        upper.link("/d/other", "/d/new")
        merged = lower.overlay(upper)
        assert flags_of(merged) == {
            b"/d": NOATIME,
            b"/d/kept": NODUMP,
            b"/d/new": SYNC,
            b"/d/other": SYNC,
        }
        assert (merged["/d"].project, merged["/d/kept"].project) == (3, 1)
        assert flags_of(merged.copy()) == flags_of(merged)

    def test_a_directory_reached_through_a_link_reports_dropped_attributes(self) -> None:
        lower, upper = Tree(), Tree()
        lower.directory("/real")
        lower.symlink("/way", "real")
        upper.directory("/way", flags=NOATIME)
        [loss] = lower.overlay(upper).losses
        assert loss.code == "attributes-not-taken"


class TestRules:
    @pytest.mark.parametrize(
        ("texts", "expected"),
        [
            (["f: flags=immutable"], IMMUTABLE),
            (["f: flags=immutable,noatime"], IMMUTABLE | NOATIME),
            (["f: flags=ia"], IMMUTABLE | APPEND),
            (["f: flags==i"], IMMUTABLE),
            (["f: flags=+i"], IMMUTABLE | NODUMP),
            (["f: flags=-nodump"], 0),
            (["f: flags=+immutable,append,-nodump"], IMMUTABLE | APPEND),
            (["f: flags=none"], 0),
            (["f: flags=schg,dirsync"], IMMUTABLE),
            (["f: flags=+i", "f: flags=+A flags=-d"], IMMUTABLE | NOATIME),
            (["f: flags=-i"], NODUMP),
        ],
    )
    def test_flags(self, texts: list[str], expected: int) -> None:
        made = Tree()
        made.file("/f", b"", flags=NODUMP)
        apply_rules(made, map(set_rule, texts))
        assert made["/f"].flags == expected
        assert made.losses == []

    def test_only_kinds_that_can_have_them(self) -> None:
        made = Tree()
        made.directory("/d")
        made.file("/d/f", b"")
        made.symlink("/d/l", "f")
        apply_rules(
            made, [set_rule("**: flags=+immutable"), set_rule("d/**: flags=+nodump,dirsync")]
        )
        assert flags_of(made) == {
            b"/": IMMUTABLE,
            b"/d": IMMUTABLE,
            b"/d/f": IMMUTABLE | NODUMP,
            b"/d/l": NODUMP,
        }
        apply_rules(made, [set_rule("l: flags=immutable")])
        assert [loss.code for loss in made.losses] == ["unmatched"]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("f: flags=frozen", "'frozen' is no inode flag"),
            ("f: flags=", "'' is no inode flag"),
            ("f: flags=i,", "'' is no inode flag"),
            ("f: flags=iq", "'iq' is no inode flag"),
            ("f: type=l flags=i", "no kind in its type="),
            ("f: project=-1", "project=-1 is not a number from 0 to 4294967294"),
        ],
    )
    def test_meaningless_flags_are_refused(self, text: str, problem: str) -> None:
        with pytest.raises(SpecError, match=re.escape(problem)):
            set_rule(text)


FLAGS = st.integers(0, (1 << 32) - 1)


@given(FLAGS)
def test_words_of_manifests_and_back(number: int) -> None:
    flags = number & flags_for(Directory.file_type)
    assert from_bsd_words(bsd_words(flags)) == (flags, [])


@given(FLAGS, FLAGS, st.sampled_from("=+-"))
def test_names_and_letters_say_the_same(before: int, number: int, sign: str) -> None:
    before, flags = (each & flags_for(Directory.file_type) for each in (before, number))
    some = [flag for flag in INODE_FLAGS if flag.bit & flags]
    by_name = parse_flags(sign + (",".join(flag.name for flag in some) or "none"))
    # One letter at a time: "dax" and the like are names.
    by_letter = parse_flags(sign + (",".join(flag.letter for flag in some) or "none"))
    wanted = {"=": flags, "+": before | flags, "-": before & ~flags}[sign]
    assert by_name.apply(before) == by_letter.apply(before) == wanted


class TestManifests:
    def test_mtree_and_back(self) -> None:
        made = tree()
        made["/fixed"].project = 12
        text = io.BytesIO()
        manifests.write_mtree(made, text, unpacked=True)
        assert b"./fixed type=file mode=0644 uid=0 gid=0 time=0.000000000 flags=schg,nodump" in (
            text.getvalue()
        )
        empty = re.sub(rb" size=\d+", b" size=0", text.getvalue())
        again = sources.manifest(io.BytesIO(empty))
        assert flags_of(again) == flags_of(made)
        assert again["/fixed"].project == 12
        assert again.losses == []

    def test_bsdtar_reads_what_we_write_and_we_what_it_writes(self, tmp_path: Path) -> None:
        made = Tree()
        flags = sum(flag.bit for flag in INODE_FLAGS if flag.name not in ("dax", "verity"))
        made.directory("/d", flags=flags)
        made.directory("/e", flags=NODUMP)
        made.directory("/plain")
        with open(tmp_path / "m", "wb") as file:
            manifests.write_mtree(made, file)
        bsdtar = require("bsdtar")
        for kind in ("mtree", "pax"):
            out = tmp_path / kind
            run([bsdtar, "-cf", str(out), f"--format={kind}", f"@{tmp_path}/m"])
        for again in (sources.manifest(tmp_path / "mtree"), sources.tar(tmp_path / "pax")):
            assert flags_of(again) == flags_of(made)
            assert again.losses == []

    def test_defaults_and_words_that_mean_none(self) -> None:
        text = (
            "/set flags=schg\n. type=dir\n./a type=fifo\n./b type=dir flags=none\n..\n"
            "./c type=file size=0 flags=uarch,nodump,nosappnd\n"
            "./d type=dir flags=dump,schg,noschg\n"
        )
        again = sources.manifest(io.BytesIO(text.encode()))
        assert flags_of(again) == {b"/": IMMUTABLE, b"/c": NODUMP}
        assert [(loss.path, loss.what) for loss in again.losses] == [
            (b"/a", "the file flags schg are not kept"),
            (b"/c", "the file flags uarch are not kept"),
        ]

    def test_a_dump_reports_flags_for_which_it_has_no_field(self) -> None:
        made = Tree()
        made.directory("/d", flags=NODUMP, project=3)
        losses = manifests.write_dump(made, io.BytesIO())
        assert [loss.what for loss in losses] == [
            "the inode flags nodump have no field in a dump",
            "the project 3 has no field in a dump",
        ]


class TestTar:
    def test_records_of_libarchive(self) -> None:
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, kind in (("f", tarfile.REGTYPE), ("l", tarfile.SYMTYPE)):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, "f" if kind == tarfile.SYMTYPE else ""
                info.pax_headers = {"SCHILY.fflags": "schg,nodump,opaque"}
                archive.addfile(info)
        held.seek(0)
        made = sources.tar(held)
        assert flags_of(made) == {b"/f": IMMUTABLE | NODUMP, b"/l": NODUMP}
        assert [(loss.path, loss.what) for loss in made.losses] == [
            (b"/f", "the file flags opaque cannot be kept"),
            (b"/l", "the file flags schg,opaque cannot be kept"),
        ]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on a file system of mke2fs, with flags and projects set by chattr."""
    require_loop_mount()
    image = tmp_path_factory.mktemp("host") / "image"
    run([require("mke2fs"), "-q", "-t", "ext4", "-I", "256", str(image), "16M"])
    with mounted(image, rw=True) as point:
        (point / "d").mkdir()
        for name in ("fixed", "log", "plain", "mine"):
            (point / "d" / name).write_bytes(b"text")
        os.link(point / "d" / "log", point / "d" / "log-too")
        os.symlink("log", point / "d" / "link")
        os.mkfifo(point / "d" / "pipe")
        for change, name in (("+id", "fixed"), ("+aS", "log"), ("+AD", "")):
            run([require("chattr"), change, str(point / "d" / name)])
    # Kernels without quotas mount a file system with projects read-only.
    for request in ("feature project", "set_inode_field /d/mine projid 77"):
        run([require("debugfs"), "-w", "-R", request, str(image)])
    with mounted(image) as point:
        yield point / "d"


EXPECTED = {
    b"/": NOATIME | DIRSYNC,
    b"/fixed": IMMUTABLE | NODUMP,
    b"/log": APPEND | SYNC,
    b"/log-too": APPEND | SYNC,
}


class TestHost:
    def test_on_request_alone(self, host: Path) -> None:
        assert flags_of(sources.directory(host)) == {}
        made = sources.directory(host, inode_flags=True)
        assert flags_of(made) == EXPECTED
        assert {path: node.project for path, node in made if node.project} == {b"/mine": 77}
        assert made.losses == []

    def test_several_processes_and_long_ways(self, host: Path, tmp_path: Path) -> None:
        made = sources.directory(host.parent, inode_flags=True, names=["d"], processes=2)
        below = {b"/d" + path.rstrip(b"/"): flags for path, flags in EXPECTED.items()}
        assert flags_of(made) == below

    def test_the_command(self, host: Path, tmp_path: Path) -> None:
        out = tmp_path / "image"
        arguments = ("build", host, "--inode-flags", "-o", out)
        done = command(*arguments)
        assert done.returncode == 1
        assert "/mine: project 77 needs the feature project" in done.stderr
        assert not out.exists()
        rules = ("--set", "**: project=0", "--set", "plain: flags=+c")
        said = report(*arguments, *rules)
        assert said["losses"] == []
        assert_clean(out)
        with mounted(out) as point:
            names = ("", "fixed", "log", "plain", "mine")
            shown = lsattr(*(point / name for name in names))
        assert shown == [NOATIME | DIRSYNC, IMMUTABLE | NODUMP, APPEND | SYNC, BITS["compr"], 0]

    def test_a_project_of_an_image(self, tmp_path: Path) -> None:
        image = tmp_path / "image"
        run([require("mke2fs"), "-q", "-t", "ext4", "-I", "256", str(image), "16M"])
        for request in ("feature project", "set_inode_field / projid 9"):
            run([require("debugfs"), "-w", "-R", request, str(image)])
        made = sources.image(image)
        assert made.root.project == 9
        assert made.losses == []

    def test_a_file_system_without_flags_gives_none(self) -> None:
        made = sources.directory("/proc/self/fdinfo", inode_flags=True, names=[])
        assert (made.root.flags, made.losses) == (0, [])


@settings(deadline=None, max_examples=12)
@given(
    st.lists(
        st.tuples(st.sampled_from("dflp"), st.just(0) | FLAGS),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([1024, 4096]),
    st.sampled_from([128, 256]),
)
def test_any_flags_are_restored(files: list[tuple[str, int]], block_size: int, inode: int) -> None:
    made = Tree()
    for number, (kind, flags) in enumerate(files):
        node = {
            "d": Directory,
            "f": lambda: RegularFile(BytesContent(b"content")),
            "l": lambda: Symlink(b"target"),
            "p": lambda: Fifo(0o644),
        }[kind]()
        node.flags = flags & flags_for(node.file_type) & ~(BITS["casefold"] | BITS["verity"])
        made.add(f"/{number}", node)
    image = bytearray()
    write_image(made, image, Spec(block_size=block_size, inode_size=inode, epoch=0, journal="none"))
    again = sources.image(bytes(image))
    assert flags_of(again) == flags_of(made)
    assert again.losses == []
