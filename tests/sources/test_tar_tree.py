"""Trees of archives with members that repeat, replace, precede or contradict each other."""

from __future__ import annotations

import io
import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import Tree, sources
from ext4writer.errors import ArchiveError, CancelledError, SpecError
from ext4writer.progress import Progress
from ext4writer.tree import Directory, Node, RegularFile, Symlink
from tests.judges import tools
from tests.makers.archives import END, archive, directory, header, link, member, pax


def tree(*parts: bytes, **options: object) -> Tree:
    return sources.tar(io.BytesIO(archive(*parts)), **options)  # type: ignore[arg-type]


def names(made: Tree) -> list[str]:
    return [path.decode() for path, _ in made.walk()]


def content(made: Tree, path: str | bytes) -> bytes:
    node = made[path]
    assert isinstance(node, RegularFile)
    data = bytearray(node.content.size)
    node.content.read_whole(memoryview(data))
    return bytes(data)


def symlink(name: bytes, target: bytes = b"x") -> bytes:
    return header(name=name, typeflag=b"2", linkname=target)


class TestParents:
    def test_missing_parents_are_created(self) -> None:
        made = tree(member(b"a/b/c", mtime=5))
        assert names(made) == ["/", "/a", "/a/b", "/a/b/c"]
        for path in ("/", "/a", "/a/b"):
            node = made[path]
            assert (node.mode, node.uid, node.gid, node.mtime_ns) == (0o755, 0, 0, 0)

    def test_implied_parents_have_the_requested_attributes(self) -> None:
        parents = {"mode": 0o700, "uid": 7, "gid": 8, "mtime_ns": 9, "xattrs": {b"user.x": b"1"}}
        made = tree(directory(b"a/b", uid=1), member(b"a/b/c"), parents=parents)
        for path in ("/", "/a"):
            node = made[path]
            assert (node.mode, node.uid, node.gid, node.mtime_ns) == (0o700, 7, 8, 9)
            assert node.xattrs == {b"user.x": b"1"}
        assert (made["/a/b"].mode, made["/a/b"].uid) == (0o755, 1)

    def test_a_later_member_sets_their_attributes(self) -> None:
        made = tree(member(b"a/b"), directory(b"a", mode=0o1777, uid=3, mtime=4))
        assert names(made) == ["/", "/a", "/a/b"]
        assert (made["/a"].mode, made["/a"].uid, made["/a"].mtime_ns) == (0o1777, 3, 4 * 10**9)

    @pytest.mark.parametrize("name", [b".", b"./", b"/", b"", b".//."])
    def test_the_root_has_a_member_too(self, name: bytes) -> None:
        made = tree(
            pax({b"SCHILY.xattr.user.root": b"1"}),
            directory(name, mode=0o2750, uid=5, gid=6, mtime=7),
            member(b"file"),
        )
        root = made.root
        assert (root.mode, root.uid, root.gid, root.mtime_ns) == (0o2750, 5, 6, 7 * 10**9)
        assert root.xattrs == {b"user.root": b"1"}
        assert names(made) == ["/", "/file"]

    @pytest.mark.parametrize("part", [member(b"."), symlink(b"./"), member(b"", b"x")])
    def test_the_root_is_a_directory(self, part: bytes) -> None:
        with pytest.raises(ArchiveError, match=r"replace the root|a directory"):
            tree(member(b"file"), part)


KINDS = {
    "file": member(b"x", b"new", uid=9),
    "symlink": header(name=b"x", typeflag=b"2", linkname=b"to", uid=9),
    "directory": directory(b"x", uid=9),
    "fifo": header(name=b"x", typeflag=b"6", uid=9),
    "link": link(b"x", b"other"),
}


class TestTheLastOneWins:
    @pytest.mark.parametrize(("first", "second"), list(itertools.product(KINDS, KINDS)))
    def test_whatever_its_kind(self, first: str, second: str) -> None:
        other = member(b"other", b"o", uid=9)
        made = tree(other, KINDS[first], KINDS[second])
        expected = tree(other, KINDS[second])
        assert names(made) == names(expected)
        assert type(made["/x"]) is type(expected["/x"])
        assert made["/x"].uid == 9
        assert made.losses == []

    def test_attributes_too(self) -> None:
        xattrs = pax({b"SCHILY.xattr.user.x": b"1"})
        made = tree(xattrs, member(b"f", b"old", uid=1, mtime=5), member(b"f", b"new", gid=2))
        node = made["/f"]
        assert (node.uid, node.gid, node.mtime_ns, node.xattrs) == (0, 2, 0, None)
        assert content(made, "/f") == b"new"

    def test_a_directory_keeps_its_entries(self) -> None:
        made = tree(directory(b"d", uid=1), member(b"d/f", b"1"), directory(b"./d/", uid=2))
        assert names(made) == ["/", "/d", "/d/f"]
        assert made["/d"].uid == 2

    def test_replacing_a_directory_removes_everything_below(self) -> None:
        for other in ("file", "symlink", "fifo"):
            made = tree(member(b"x/a/b", b"1"), member(b"x/c"), KINDS[other])
            assert names(made) == ["/", "/x"]
            [loss] = made.losses
            assert loss.path == b"/x"
            assert "its 2 entries" in loss.what

    def test_a_replaced_directory_may_be_created_again(self) -> None:
        made = tree(member(b"x/a/b", b"1"), KINDS["file"], directory(b"x"), member(b"x/a/c", b"2"))
        assert names(made) == ["/", "/x", "/x/a", "/x/a/c"]

    @pytest.mark.parametrize("kind", ["file", "symlink", "fifo", "link"])
    def test_nothing_can_be_below_a_file(self, kind: str) -> None:
        why = "but /to, reached through the symbolic link /x to to, does not exist"
        if kind != "symlink":
            why = "which an earlier member"
        for below in (b"x/f", b"x/f/g"):
            with pytest.raises(ArchiveError, match=rf"x/f.* is below x, {why}"):
                tree(member(b"other"), KINDS[kind], member(below))

    def test_nothing_can_be_below_a_pending_link(self) -> None:
        with pytest.raises(ArchiveError, match="is below x"):
            tree(link(b"x", b"later"), member(b"x/f"), member(b"later"))


class TestHardLinks:
    @pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
    def test_in_any_order(self, order: tuple[int, ...]) -> None:
        parts = [
            member(b"d/file", b"data", uid=5),
            link(b"one", b"d/file"),
            link(b"e/two", b"/one"),
            link(b"three", b"./e//two"),
        ]
        made = tree(*[parts[number] for number in order])
        node = made["/d/file"]
        assert [made[path] for path in ("/one", "/e/two", "/three")] == [node] * 3
        assert content(made, "/three") == b"data"

    def test_of_other_kinds(self) -> None:
        made = tree(symlink(b"s"), link(b"t", b"s"), KINDS["fifo"], link(b"y", b"x"))
        assert isinstance(made["/t"], Symlink)
        assert made["/t"] is made["/s"]
        assert made["/y"] is made["/x"]

    def test_attributes_of_hard_links_are_ignored(self) -> None:
        made = tree(member(b"f", uid=1, mode=0o600), link(b"g", b"f", uid=2, mode=0o777))
        assert (made["/g"].uid, made["/f"].uid, made["/f"].mode) == (1, 1, 0o600)

    def test_a_replaced_file_remains_under_its_other_name(self) -> None:
        made = tree(member(b"f", b"old"), link(b"g", b"f"), member(b"f", b"new"))
        assert (content(made, "/f"), content(made, "/g")) == (b"new", b"old")
        made = tree(member(b"f", b"old"), link(b"g", b"f"), member(b"g", b"new"))
        assert (content(made, "/f"), content(made, "/g")) == (b"old", b"new")

    def test_a_hard_link_before_its_target_means_the_last_member(self) -> None:
        made = tree(link(b"g", b"f"), member(b"f", b"old"), member(b"f", b"new"))
        assert made["/f"] is made["/g"]
        assert content(made, "/g") == b"new"

    def test_a_link_that_is_replaced_before_it_is_resolved(self) -> None:
        made = tree(link(b"g", b"missing"), member(b"g", b"1"))
        assert content(made, "/g") == b"1"
        made = tree(link(b"d/g", b"missing"), member(b"d", b"1"))
        assert content(made, "/d") == b"1"

    def test_to_itself(self) -> None:
        made = tree(member(b"f", b"1"), link(b"f", b"./f"))
        assert content(made, "/f") == b"1"
        with pytest.raises(ArchiveError, match=r"f \(at byte 0\): is a hard link that leads back"):
            tree(link(b"f", b"f"))

    def test_in_a_circle(self) -> None:
        with pytest.raises(ArchiveError, match="leads back to itself"):
            tree(link(b"a", b"b"), link(b"b", b"c"), link(b"c", b"a"))

    def test_without_a_target(self) -> None:
        with pytest.raises(ArchiveError, match=r"g \(at byte 512\).*does not hold: d/f"):
            tree(member(b"f"), link(b"g", b"d/f"))

    @pytest.mark.parametrize("first", [True, False])
    def test_to_a_directory(self, first: bool) -> None:
        parts = [directory(b"d"), link(b"g", b"d")]
        with pytest.raises(ArchiveError, match="g .*is a hard link to a directory"):
            tree(*(parts if first else reversed(parts)))

    @pytest.mark.parametrize("first", [True, False])
    def test_through_a_symbolic_link(self, first: bool) -> None:
        parts = [member(b"d/f"), symlink(b"s", b"d"), link(b"g", b"s/f")]
        made = tree(*(parts if first else reversed(parts)))
        assert made["/g"] is made["/d/f"]

    def test_through_a_symbolic_link_that_leads_nowhere(self) -> None:
        with pytest.raises(ArchiveError, match="not hold: s/f; /d, reached through .* /s to d, "):
            tree(symlink(b"s", b"d"), link(b"g", b"s/f"))

    def test_into_a_directory_that_it_replaces(self) -> None:
        made = tree(member(b"x/f", b"1"), link(b"x", b"x/f"))
        assert content(made, "/x") == b"1"

    def test_a_long_chain(self) -> None:
        count = 3000
        made = tree(
            *(link(b"%d" % number, b"%d" % (number + 1)) for number in range(count)),
            member(b"%d" % count, b"1"),
        )
        assert len(set(made.root.children.values())) == 1


class TestNames:
    @pytest.mark.parametrize("name", [b"..", b"../x", b"a/../b", b"/..", b"a/..", b"./../x"])
    def test_climbing_is_refused(self, name: bytes) -> None:
        with pytest.raises(ArchiveError, match=r"its path climbs with '\.\.', which is refused"):
            tree(member(name))
        with pytest.raises(ArchiveError, match=r"its link target climbs with '\.\.'"):
            tree(link(b"link", name))

    def test_a_symbolic_link_may_lead_anywhere(self) -> None:
        made = tree(symlink(b"s", b"../../../etc/passwd"))
        node = made["/s"]
        assert isinstance(node, Symlink)
        assert node.target == b"../../../etc/passwd"

    @pytest.mark.parametrize("target", [b"", b"\0x"])
    def test_a_symbolic_link_leads_somewhere(self, target: bytes) -> None:
        with pytest.raises(ArchiveError, match="symbolic link whose target is empty"):
            tree(symlink(b"s", target))

    def test_255_bytes_are_the_most(self) -> None:
        longest = b"n" * 255
        made = tree(pax({b"path": b"a/" + longest + b"/b"}), member(b"x"))
        assert longest.decode() in names(made)[2]
        for name in (b"a/n" + longest, b"n" + longest + b"/a"):
            with pytest.raises(ArchiveError, match="has a name of more than 255 bytes"):
                tree(pax({b"path": name}), member(b"x"))

    def test_no_nul(self) -> None:
        with pytest.raises(ArchiveError, match="its path holds a NUL byte"):
            tree(pax({b"path": b"a\0b"}), member(b"x"))
        with pytest.raises(ArchiveError, match="its link target holds a NUL byte"):
            tree(pax({b"linkpath": b"a\0b"}), link(b"x", b"y"))


class TestExclude:
    def test_globs(self) -> None:
        parts = [member(name) for name in (b"a.o", b"a.c", b"d/a.o", b"d/e/a.c", b"f/a.o")]
        made = tree(*parts, exclude=["*.o", "/d/e"])
        assert names(made) == ["/", "/a.c", "/d", "/f"]

    def test_a_file_lives_on_under_a_name_that_is_kept(self) -> None:
        made = tree(member(b"cache/f", b"1"), link(b"g", b"cache/f"), exclude=["cache"])
        assert names(made) == ["/", "/g"]
        assert content(made, "/g") == b"1"

    def test_a_wrong_pattern(self) -> None:
        with pytest.raises(SpecError, match="exclude"):
            tree(exclude=[""])


class TestProgress:
    def test_progress_is_reported(self) -> None:
        seen: list[Progress] = []
        tree(*[member(b"%d" % number, b"12") for number in range(3000)], progress=seen.append)
        assert [(one.stage, one.entries, one.bytes_done) for one in seen] == [
            ("scan", 1024, 2048),
            ("scan", 2048, 4096),
            ("scan", 3000, 6000),
        ]

    @pytest.mark.parametrize("from_file", [True, False])
    def test_cancelling_stops_the_reader(self, from_file: bool, tmp_path: Path) -> None:
        class Stop:
            def is_set(self) -> bool:
                return True

        data = b"".join(member(b"%d" % number) for number in range(2000)) + END
        (tmp_path / "archive").write_bytes(data)
        source = tmp_path / "archive" if from_file else io.BytesIO(data)
        with pytest.raises(CancelledError):
            sources.tar(source, cancel=Stop())


def test_the_tree_is_an_ordinary_one() -> None:
    made = tree(member(b"a", b"1"))
    made.file("/b", b"2")
    made.directory("/c")
    assert isinstance(made["/c"], Directory)
    assert names(made) == ["/", "/a", "/b", "/c"]


class TestThroughLinks:
    """Paths through symbolic links of the same archive, judged by GNU tar."""

    @pytest.mark.parametrize(
        ("target", "place"),
        [
            (b"usr/lib", "/usr/lib"),
            (b"/usr/lib", "/usr/lib"),
            (b"../../usr/./lib/", "/usr/lib"),
            (b"usr", "/usr"),
            (b"chain", "/usr/lib"),
        ],
    )
    def test_members_go_where_the_link_leads(self, target: bytes, place: str) -> None:
        made = tree(
            directory(b"usr/lib", mode=0o711),
            symlink(b"chain", b"/usr/lib"),
            symlink(b"lib", target),
            member(b"lib/f", b"1"),
            member(b"lib/new/f", b"2"),
            link(b"lib/g", b"lib/new/f"),
            link(b"h", b"lib/later"),
            member(place[1:].encode() + b"/later"),
        )
        assert content(made, f"{place}/f") == b"1"
        assert made[f"{place}/g"] is made[f"{place}/new/f"]
        assert made["/h"] is made[f"{place}/later"]
        assert isinstance(made["/lib"], Symlink)
        assert made["/usr/lib"].mode == 0o711

    def test_a_replaced_link_is_no_longer_followed(self) -> None:
        made = tree(
            *(directory(b"a"), directory(b"b"), symlink(b"s", b"a"), member(b"s/1")),
            *(symlink(b"s", b"b"), member(b"s/2"), directory(b"s"), member(b"s/3")),
        )
        assert names(made) == ["/", "/a", "/b", "/s", "/a/1", "/b/2", "/s/3"]

    def test_a_pending_hard_link_keeps_its_path(self) -> None:
        made = tree(
            *(directory(b"a"), symlink(b"s", b"a"), link(b"s/g", b"f"), directory(b"s")),
            member(b"f", b"1"),
        )
        assert made["/a/g"] is made["/f"]

    def test_losses_are_reported_by_the_final_path(self) -> None:
        lost = pax({b"SCHILY.xattr.user.x": b"1", b"SCHILY.xattr.": b"2"}) + member(b"s/f")
        made = tree(directory(b"a"), symlink(b"s", b"a"), lost)
        assert {loss.path for loss in made.losses} <= {b"/a/f"}

    @pytest.mark.parametrize(
        ("parts", "problem"),
        [
            ([member(b"s/f")], r"s/f .*is below the symbolic link /s to a, and secure_symlinks"),
            ([member(b"a/f"), link(b"g", b"s/f")], "g .*is a hard link to something below the sym"),
        ],
    )
    def test_they_can_be_refused(self, parts: list[bytes], problem: str) -> None:
        with pytest.raises(ArchiveError, match=problem):
            tree(directory(b"a"), symlink(b"s", b"a"), *parts, secure_symlinks=True)

    @pytest.mark.parametrize("problem", ["to a file", "to itself", "to nothing"])
    def test_the_error_names_the_link(self, problem: str) -> None:
        target = {"to a file": b"f", "to itself": b"v/s", "to nothing": b"x"}[problem]
        with pytest.raises(ArchiveError, match="is below v/s, but .*symbolic link /v/s to"):
            tree(member(b"v/f"), symlink(b"v/s", target), member(b"v/s/x"))

    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def test_as_gnu_tar_unpacks_them(self, data: st.DataObject) -> None:
        paths = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=3)
        parts = []
        for number in range(data.draw(st.integers(1, 8))):
            path = b"/".join(data.draw(paths))
            kind = data.draw(st.sampled_from("dfssh"))
            if kind == "d":
                parts.append(directory(path))
            elif kind == "f":
                parts.append(member(path, b"%d" % number))
            elif kind == "h":
                parts.append(link(path, b"/".join(data.draw(paths))))
            else:
                target = b"/".join(data.draw(paths))
                # Not above the folder in which tar unpacks: for tar that is not the root.
                above = b"../" if b"/" in path and data.draw(st.booleans()) else b""
                parts.append(symlink(path, above + target))
        with tempfile.TemporaryDirectory() as folder:
            # Without -P, links with ".." are created last, so no path could traverse them.
            command = ["tar", "-xPf", "-", "-C", folder]
            done = tools.run(command, stdin=archive(*parts), check=False)
            try:
                made = tree(*parts)
            except ArchiveError:
                assert done.returncode, "tar unpacks what is refused here"
                return
            if not done.returncode:
                assert outline(made) == outline(sources.directory(folder))


def outline(tree: Tree) -> dict[bytes, object]:
    """Each path with what identifies its node: for hard links, the first path."""
    first: dict[Node, bytes] = {}
    found: dict[bytes, object] = {}
    for path, node in tree.walk():
        if isinstance(node, RegularFile):
            found[path] = first.setdefault(node, path), content(tree, path)
        elif isinstance(node, Symlink):
            found[path] = first.setdefault(node, path), node.target
        else:
            found[path] = node.file_type
    return found
