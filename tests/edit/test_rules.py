"""Rules: what they match, what they set, in which order, and what they report."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import Directory, Loss, SourceError, SpecError, Symlink, Tree
from ext4writer.edit.modes import parse_mode
from ext4writer.edit.rules import AllTimes, IdMap, ModeMask, Owner, RootOwner, Rule, apply_rules
from ext4writer.edit.rules_select import Selection
from ext4writer.edit.rules_set import set_rule, set_rules
from tests.judges.tools import run


def tree_of(*paths: str) -> Tree:
    """Files at ``paths``, or folders for paths that end with a slash."""
    tree = Tree()
    for path in paths:
        above = os.path.dirname(path.rstrip("/"))
        if above and above not in tree:
            tree.directory(above, parents=True)
        if path.endswith("/"):
            tree.directory(path)
        else:
            tree.file(path, path.encode())
    return tree


def paths_of(tree: Tree) -> list[str]:
    return [os.fsdecode(path) for path, _ in tree.walk()][1:]


def owned(tree: Tree) -> dict[str, int]:
    return {os.fsdecode(path): node.uid for path, node in tree.walk() if node.uid}


def whats(tree: Tree) -> list[str]:
    return [loss.what for loss in tree.losses]


class TestSet:
    @pytest.mark.parametrize(
        ("glob", "found"),
        [
            ("f", ["/a/b/f", "/a/f", "/f"]),
            ("/f", ["/f"]),
            ("a/f", ["/a/f"]),
            ("/a/f", ["/a/f"]),
            ("a/*", ["/a/b", "/a/f"]),
            ("a/**", ["/a/b", "/a/b/f", "/a/f"]),
            ("**/f", ["/a/b/f", "/a/f", "/f"]),
            ("a/**/f", ["/a/b/f", "/a/f"]),
            ("?", ["/a", "/a/b", "/a/b/f", "/a/f", "/f", "/z"]),
            ("[fx]", ["/a/b/f", "/a/f", "/f"]),
            ("/", ["/"]),
            ("/**", ["/", "/a", "/a/b", "/a/b/f", "/a/f", "/f", "/with space: x", "/z"]),
            ("**", ["/", "/a", "/a/b", "/a/b/f", "/a/f", "/f", "/with space: x", "/z"]),
            ("*", ["/a", "/a/b", "/a/b/f", "/a/f", "/f", "/with space: x", "/z"]),
            ("with space\\: x", ["/with space: x"]),
            ("with*", ["/with space: x"]),
            ("b/", ["/a/b"]),
        ],
    )
    def test_what_a_glob_matches(self, glob: str, found: list[str]) -> None:
        tree = tree_of("f", "a/f", "a/b/f", "z", "with space: x")
        apply_rules(tree, [set_rule(f"{glob}: uid=7")])
        assert sorted(owned(tree)) == sorted(found)
        assert tree.losses == []

    def test_all_keys(self) -> None:
        tree = tree_of("f")
        tree["/f"].xattrs = {b"user.old": b"1", b"user.kept": b"2"}
        rule = set_rule(
            "f: uid=1 gid=4294967294 mode=u+s,go-r mtime=1.5 atime=-2.25 ctime=3 crtime=4 "
            "xattr:user.text='two words' xattr:user.hex=0x00ff xattr:user.base=0sAAE= "
            "-xattr:user.old xattr:user.empty= label=system_u:object_r:etc_t:s0 "
            'caps="cap_net_raw,cap_kill=ep" xattr:user.quoted="a\\"b" type=f'
        )
        apply_rules(tree, [rule])
        node = tree["/f"]
        assert (node.uid, node.gid, node.mode) == (1, 4294967294, 0o4600)
        assert (node.mtime_ns, node.atime_ns) == (1_500_000_000, -2_250_000_000)
        assert (node.ctime_ns, node.crtime_ns) == (3_000_000_000, 4_000_000_000)
        assert node.xattrs == {
            b"user.kept": b"2",
            b"user.text": b"two words",
            b"user.hex": b"\0\xff",
            b"user.base": b"\0\1",
            b"user.empty": b"",
            b"user.quoted": b'a"b',
            b"security.selinux": b"system_u:object_r:etc_t:s0\0",
            b"security.capability": struct.pack("<5I", 0x02000001, 1 << 13 | 1 << 5, 0, 0, 0),
        }

    def test_later_rules_win_and_build_on_earlier_ones(self) -> None:
        tree = tree_of("a/f", "a/g")
        rules = ["**: uid=1 mode=600", "a/*: mode=g+r", "f: uid=2", "a: uid=3 mode=u+x"]
        apply_rules(tree, [set_rule(text) for text in rules])
        assert owned(tree) == {"/": 1, "/a": 3, "/a/f": 2, "/a/g": 1}
        assert [oct(tree[path].mode) for path in ("/a", "/a/f")] == ["0o700", "0o640"]

    def test_kinds(self) -> None:
        tree = tree_of("d/", "d/f")
        tree.symlink("/d/l", "f")
        tree.fifo("/d/p")
        apply_rules(tree, [set_rule("d/*: type=fp uid=5"), set_rule("*: type=d gid=6")])
        assert owned(tree) == {"/d/f": 5, "/d/p": 5}
        assert tree["/d"].gid == 6
        apply_rules(tree, [set_rule("**: caps=cap_kill=p mode=0")])
        assert [path for path, node in tree.walk() if node.xattrs] == [b"/d/f"]

    def test_links_keep_their_mode(self) -> None:
        tree = tree_of("f")
        tree.symlink("/l", "f")
        apply_rules(tree, [set_rule("*: mode=600"), ModeMask(0o700)])
        assert (tree["/f"].mode, tree["/l"].mode) == (0o600, 0o777)

    def test_a_file_with_two_names_is_changed_once_by_both(self) -> None:
        tree = tree_of("a", "z/")
        tree.link("/z/b", "/a")
        apply_rules(tree, [set_rule("z/b: uid=1 gid=1"), set_rule("/a: uid=2")])
        assert (tree["/a"].uid, tree["/a"].gid) == (2, 1)

    def test_shared_attributes_are_not_changed_in_place(self) -> None:
        tree = tree_of("a", "b", "c")
        shared = {b"user.a": b"1"}
        for name in "abc":
            tree["/" + name].xattrs = shared
        apply_rules(tree, [set_rule("[ab]: xattr:user.b=2")])
        assert shared == {b"user.a": b"1"}
        assert tree["/c"].xattrs is shared
        assert tree["/a"].xattrs is tree["/b"].xattrs

    def test_rules_that_match_nothing_are_reported(self) -> None:
        tree = tree_of("f")
        rules: list[Rule] = [set_rule("nowhere: uid=0", "--set 'nowhere: uid=0'")]
        rules += [set_rule("f: type=d uid=0"), *set_rules(b"\n# x\nf: uid=1\ng: uid=2\n", "file")]
        apply_rules(tree, rules)
        assert tree.losses == [
            Loss(b"/", "--set 'nowhere: uid=0' matched nothing"),
            Loss(b"/", "the rule 'f: type=d uid=0' matched nothing"),
            Loss(b"/", "line 4 of file matched nothing"),
        ]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "it is not GLOB"),
            ("f", "it is not GLOB"),
            ("f:uid=1", "it is not GLOB"),
            (": uid=1", "it is not GLOB"),
            ("f:", "it sets nothing"),
            ("f: type=f", "it sets nothing"),
            ("f: uid", "'uid' is not KEY=VALUE"),
            ("f: uid=x", "is not a number from 0"),
            ("f: uid=-1", "is not a number from 0"),
            ("f: gid=4294967295", "is not a number from 0"),
            ("f: mode=9", "is not a mode"),
            ("f: mode=17777", "is not a mode"),
            ("f: mode=u+q", "is not a mode"),
            ("f: mtime=now", "is not a time"),
            ("f: xattr:=x", "needs the name"),
            ("f: xattr:user.a=0xzz", "is not hexadecimal"),
            ("f: xattr:user.a=0s!", "is not base64"),
            ("f: caps=cap_fly=ep", "'cap_fly' is not a capability"),
            ("f: type=d caps=cap_kill=ep", "capabilities are for regular files"),
            ("f: type=x uid=1", "type=x has letters other than"),
            ("f: colour=red", "'colour' is not a key"),
            ("f: label='x", "ends within a quote"),
            ("f: uid=1 \\", "ends within a quote"),
            ("[z-a]: uid=1", "is wrong"),
            ("//: uid=1", "is empty"),
        ],
    )
    def test_invalid_values_are_refused(self, text: str, problem: str) -> None:
        with pytest.raises(SpecError) as caught:
            set_rule(text)
        assert caught.value.option == "set"
        assert problem in caught.value.problem
        if text:
            with pytest.raises(SourceError, match="rules: line 2: "):
                set_rules(b"#\n" + text.encode(), "rules")


class TestModes:
    @pytest.mark.parametrize("before", [0, 0o644, 0o4711, 0o1777, 0o2070])
    @pytest.mark.parametrize("is_directory", [False, True])
    @pytest.mark.parametrize(
        "text",
        [
            *(
                "644",
                "7777",
                "0",
                "u+x",
                "a-w",
                "+x",
                "u=rwx,go=rx",
                "go=u",
                "u=g,g=o",
                "a=X",
                "+X",
            ),
            *("u+s,g+s", "+t", "o+t", "u-s", "g=s", "ug=rw,o=u", "u+rwx-w", "=r", "u=", "a+st"),
        ],
    )
    def test_chmod_does_the_same(
        self, text: str, before: int, is_directory: bool, tmp_path: Path
    ) -> None:
        place = tmp_path / "f"
        place.mkdir() if is_directory else place.touch()
        os.chmod(place, before)
        # chmod(1) preserves set-group-ID on directories unless the mode has more digits.
        exact = text.rjust(5, "0") if text.isdigit() else text
        run(["sh", "-c", 'umask 0; exec chmod -- "$0" "$1"', exact, place])
        found = os.stat(place).st_mode & 0o7777
        assert oct(parse_mode(text)(before, is_directory)) == oct(found)


class TestOwners:
    def test_in_order(self) -> None:
        tree = tree_of("a/f")
        apply_rules(tree, [Owner(1, 2), set_rule("f: uid=5"), RootOwner(3, 4)])
        assert owned(tree) == {"/": 3, "/a": 1, "/a/f": 5}
        apply_rules(tree, [RootOwner(3, 4), Owner(9, 9)])
        assert set(owned(tree).values()) == {9}

    def test_all_times(self) -> None:
        tree = tree_of("f")
        tree["/f"].atime_ns = 7
        apply_rules(tree, [AllTimes(-3)])
        assert (tree["/f"].mtime_ns, tree["/f"].atime_ns) == (-3_000_000_000, None)

    def test_several_maps_act_as_one_and_keep_other_ids(self) -> None:
        tree = tree_of("a", "b", "c", "d")
        for number, name in enumerate("abcd"):
            tree["/" + name].uid = tree["/" + name].gid = number * 1000
        tree.link("/e", "/b")
        swap = IdMap([(0, 1000, 1), (1000, 0, 1), (2000, 5000, 500), (9, 8, 1)], [(0, 7, 2001)])
        apply_rules(tree, [swap])
        assert [tree["/" + name].uid for name in "abcd"] == [1000, 0, 5000, 3000]
        assert [tree["/" + name].gid for name in "abcd"] == [7, 1007, 2007, 3000]
        assert tree.losses == [
            Loss(b"/d", "its uid 3000 is outside all ranges of the map; kept"),
            Loss(b"/", "the uid map 9:8:1 matched nothing"),
            Loss(b"/d", "its gid 3000 is outside all ranges of the map; kept"),
        ]

    def test_access_lists_and_name_spaces_are_mapped(self) -> None:
        tree = tree_of("f", "g")
        entries = [(1, 7, ~0), (2, 6, 1000), (4, 5, ~0), (8, 4, 50), (16, 7, ~0), (32, 0, ~0)]

        def acl(user: int, group: int) -> bytes:
            parts = [struct.pack("<I", 2)]
            for tag, bits, number in entries:
                number = {2: user, 8: group}.get(tag, 0xFFFFFFFF)
                parts.append(struct.pack("<HHI", tag, bits, number))
            return b"".join(parts)

        cap = struct.pack("<6I", 0x03000001, 1, 0, 0, 0, 1000)
        for name in "fg":
            tree["/" + name].xattrs = {
                b"system.posix_acl_access": acl(1000, 50),
                b"security.capability": cap,
                b"user.x": b"1000",
            }
        maps = IdMap([(0, 100000, 65536)], [(0, 200000, 65536)])
        apply_rules(tree, [maps])
        assert tree.losses == []
        assert tree["/f"].xattrs == {
            b"system.posix_acl_access": acl(101000, 200050),
            b"security.capability": cap[:20] + struct.pack("<I", 101000),
            b"user.x": b"1000",
        }
        assert tree["/f"].xattrs is tree["/g"].xattrs

    @pytest.mark.parametrize(
        "ranges",
        [[(0, 0, 0)], [(0, 5, 3), (2, 9, 1)], [(-1, 0, 1)], [(0, 4294967290, 10)], [(1, -1, 1)]],
    )
    def test_wrong_ranges(self, ranges: list[tuple[int, int, int]]) -> None:
        with pytest.raises(SpecError, match="gid_map: "):
            IdMap([], ranges)

    def test_a_mask(self) -> None:
        tree = tree_of("d/", "f")
        tree["/f"].mode = 0o6777
        apply_rules(tree, [ModeMask(0o7750)])
        assert [oct(tree[path].mode) for path in ("/f", "/d", "/")] == ["0o6750", "0o750", "0o750"]
        apply_rules(tree, [ModeMask(0o7777)])
        assert whats(tree) == ["the mode mask 7777 removed no permission"]


class TestSelection:
    PATHS = ("a/b/c", "a/b/d", "a/e", "f", "g.pyc", "a/h.pyc")

    @pytest.mark.parametrize(
        ("steps", "left"),
        [
            ("-a", ["/f", "/g.pyc"]),
            ("-*.pyc", ["/a", "/a/b", "/a/b/c", "/a/b/d", "/a/e", "/f"]),
            ("-a +a/b/c", ["/a", "/a/b", "/a/b/c", "/f", "/g.pyc"]),
            ("+a/b/c -a", ["/f", "/g.pyc"]),
            ("-a +a/b", ["/a", "/a/b", "/a/b/c", "/a/b/d", "/f", "/g.pyc"]),
            ("-a +a/b -c", ["/a", "/a/b", "/a/b/d", "/f", "/g.pyc"]),
            ("-** +f", ["/f"]),
            ("-* +h.pyc", ["/a", "/a/h.pyc"]),
            ("-*.pyc +a/*.pyc", ["/a", "/a/b", "/a/b/c", "/a/b/d", "/a/e", "/a/h.pyc", "/f"]),
        ],
    )
    def test_the_last_one_that_matches_decides(self, steps: str, left: list[str]) -> None:
        chosen = [(step[0] == "-", step[1:]) for step in steps.split()]
        tree = tree_of(*self.PATHS)
        apply_rules(tree, [Selection(chosen)])
        assert sorted(paths_of(tree)) == left
        # Entries that a scan may skip are absent in the end.
        selection = Selection(chosen)
        for path, _ in tree_of(*self.PATHS).walk():
            if path != b"/" and selection.prunes(path[1:], os.path.basename(path)):
                assert os.fsdecode(path) not in left

    def test_losses_of_excluded_paths_are_removed(self) -> None:
        tree = tree_of("a/b", "c")
        tree.losses = [Loss(b"/a/b", "x"), Loss(b"/c", "y"), Loss(b"/", "z")]
        apply_rules(tree, [Selection([(True, "a")])])
        assert tree.losses == [Loss(b"/c", "y"), Loss(b"/", "z")]

    def test_rules_that_match_nothing_are_reported(self) -> None:
        tree = tree_of("a")
        apply_rules(tree, [Selection([(True, "x*"), (False, "/y"), (True, "a")])])
        assert whats(tree) == [
            "nothing matches 'x*', which is to exclude",
            "nothing matches '/y', which is to include",
        ]

    def test_wrong_globs(self) -> None:
        for excludes, option in ((True, "exclude"), (False, "include")):
            with pytest.raises(SpecError) as caught:
                Selection([(excludes, "")])
            assert caught.value.option == option

    def test_a_deep_tree(self) -> None:
        tree = Tree()
        folder = tree.root
        for _ in range(3000):
            below = folder.children[b"d"] = Directory()
            assert isinstance(below, Directory)
            folder = below
        folder.children[b"f"] = Symlink(b"x")
        apply_rules(tree, [Selection([(True, "d"), (False, "f")])])
        assert len(paths_of(tree)) == 3001
        apply_rules(tree, [Selection([(True, "f"), (False, "nothing")])])
        assert len(paths_of(tree)) == 3000
        apply_rules(tree, [Selection([(True, "d"), (False, "nothing")])])
        assert paths_of(tree) == []


RULE_WORDS = st.text(
    alphabet=st.sampled_from(list("ab*?[]!\\/: ='\"-x0s.,:uidgmo78\n\0é")), max_size=40
)


@settings(max_examples=500, deadline=None)
@given(
    text=st.one_of(RULE_WORDS, RULE_WORDS.map(lambda words: f"a: {words}"), st.text(max_size=30))
)
def test_any_text_is_a_rule_or_an_error(text: str) -> None:
    tree = tree_of("a", "b/a")
    try:
        apply_rules(tree, [set_rule(text)])
    except ext4writer.Ext4WriterError as error:
        assert isinstance(error, SpecError)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_file_of_rules_is_rules_or_an_error(data: bytes) -> None:
    try:
        set_rules(data, "file")
    except ext4writer.Ext4WriterError as error:
        assert "file: line " in str(error)


@pytest.mark.slow
def test_many_rules_over_many_entries_are_not_quadratic() -> None:
    """50,000 entries: a thousand rules cost at most a few times as much as ten."""

    def spent(rules: int) -> float:
        tree = Tree()
        for folder in range(50):
            parent = tree.directory(f"/d{folder}")
            for name in range(1000):
                parent.children[b"f%d" % name] = Symlink(b"x")
        chosen = []
        for number in range(rules):
            glob = (f"d{number % 50}/f{number}", f"d{number % 50}/f{number}*", f"name{number}")
            chosen.append(set_rule(f"{glob[number % 3]}: uid={number}"))
        began = time.process_time()
        apply_rules(tree, chosen)
        return time.process_time() - began

    few = min(spent(9) for _ in range(2))
    many = min(spent(3000) for _ in range(2))
    assert many < 12 * few + 1, (few, many)
