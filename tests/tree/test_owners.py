"""4294967295 is not a valid user or group: it is refused by path, whatever its origin."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ext4writer import Tree, manifests, plan, sources
from ext4writer.edit import filters
from ext4writer.edit.rules import IdMap, Owner, apply_rules
from ext4writer.edit.rules_devices import DeviceTable
from ext4writer.edit.rules_makedevs import MakedevsTable
from ext4writer.edit.rules_set import set_rule
from ext4writer.errors import Ext4WriterError
from tests.builder.command import assert_one_line, run
from tests.makers.archives import archive, base256, header, member, pax

NO_ID = 4294967295
LAST = NO_ID - 1


def tar(part: bytes) -> Tree:
    return sources.tar(io.BytesIO(archive(part)))


def mtree(words: str) -> Tree:
    return sources.manifest(io.BytesIO(f"#mtree\nf type=fifo {words}\n".encode()), root=".")


def dump(uid: int, gid: int) -> Tree:
    line = f"/f 0 10644 1 {uid} {gid} 0 0.0 - - -\n"
    return sources.manifest(io.BytesIO(f"/ 0 40755 2 0 0 0 0.0 - - -\n{line}".encode()), root=".")


def made(**owner: int) -> Tree:
    tree = Tree()
    tree.fifo("/f", **owner)  # type: ignore[arg-type]
    return tree


def bare(uid: int, gid: int) -> Tree:
    tree = made()
    tree["/f"].uid, tree["/f"].gid = uid, gid
    return tree


def acl(number: int) -> Tree:
    entries = ((1, 6, NO_ID), (2, 4, number), (4, 4, NO_ID), (16, 4, NO_ID), (32, 0, NO_ID))
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in entries)
    tree = made()
    tree["/f"].xattrs = {b"system.posix_acl_access": value}
    return tree


def with_group(text: bytes) -> Tree:
    tree = Tree()
    tree.file("/etc/group", text, parents=True)
    return tree


def table(text: str) -> Tree:
    tree = Tree()
    kind = DeviceTable if text.endswith("genext2fs") else MakedevsTable
    kind(text.removesuffix("genext2fs").encode(), "table").apply(tree)
    return tree


WAYS: dict[str, Callable[[int], Tree]] = {
    "tar, binary": lambda number: tar(header(name=b"f", uid=base256(number, 8))),
    "tar, PAX": lambda number: tar(pax({b"gid": b"%d" % number}) + member(b"f")),
    "tar, global": lambda number: tar(pax({b"uid": b"%d" % number}, typeflag=b"g") + member(b"f")),
    "mtree uid": lambda number: mtree(f"uid={number}"),
    "mtree gid": lambda number: mtree(f"gid={number}"),
    "dump uid": lambda number: dump(number, 0),
    "dump gid": lambda number: dump(0, number),
    "Tree uid": lambda number: made(uid=number),
    "Tree gid": lambda number: made(gid=number),
    "bare node, uid": lambda number: bare(number, 0),
    "bare node, gid": lambda number: bare(0, number),
    "access list": acl,
}


@pytest.mark.parametrize("way", WAYS)
def test_no_source_and_no_tree_brings_it(way: str) -> None:
    assert "/f" in WAYS[way](LAST)
    plan(WAYS[way](LAST))
    with pytest.raises(Ext4WriterError, match=r"(^|[\s/(])f\b.*(no user|out of range|4294967295)"):
        plan(WAYS[way](NO_ID))


def test_numbers_that_contain_its_bytes_are_accepted() -> None:
    tree = Tree()
    for number, uid in enumerate((0xFFFF0000, 0x0000FFFF, 0xFF000000, 0x00FFFFFF, LAST)):
        tree.fifo(f"/{number}", uid=uid, gid=uid)
    plan(tree)


def test_no_rule_brings_it() -> None:
    for rule in (
        lambda: Owner(NO_ID, 0).apply(made()),
        lambda: filters.set_owner(made(), 0, NO_ID),
        lambda: filters.set_root_owner(made(), NO_ID, 0),
        lambda: set_rule(f"f: uid={NO_ID}"),
        lambda: IdMap([(0, LAST, 2)]),
        lambda: IdMap((), [(LAST, 0, 2)]),
        lambda: table(f"/a d 755 {NO_ID} 0"),
        lambda: table(f"/a d 755 0 {NO_ID} 0 0 - - -genext2fs"),
        lambda: MakedevsTable(b"/a d 755 0 no", "table").apply(with_group(b"no:x:%d:" % NO_ID)),
        lambda: sources.manifest(
            io.BytesIO(b"#mtree\nf type=fifo uname=no\n"), root=".", users={b"no": NO_ID}
        ),
    ):
        with pytest.raises((Ext4WriterError, ValueError, KeyError)):
            rule()


def test_a_map_that_leaves_it_is_refused_by_path() -> None:
    tree = apply_rules(bare(NO_ID, 0), [IdMap([(0, 100, 10)])])
    with pytest.raises(Ext4WriterError, match="/f: uid 4294967295"):
        plan(tree)


@pytest.mark.parametrize("write", [manifests.write_mtree, manifests.write_dump])
@pytest.mark.parametrize("owner", [(NO_ID, 0), (0, -1)])
def test_no_manifest_contains_it(write: Callable[..., object], owner: tuple[int, int]) -> None:
    with pytest.raises(Ext4WriterError, match="/f: its owner .* is out of range"):
        write(bare(*owner), io.BytesIO(), root=".")


def test_the_command_refuses_it(tmp_path: Path) -> None:
    (tmp_path / "m").write_text(f"#mtree\nf type=fifo uid={NO_ID}\n")
    assert_one_line(run("plan", f"manifest:{tmp_path / 'm'}"), 1, "/f", str(NO_ID))
    assert_one_line(run("plan", "--uid-map", f"0:{LAST}:2"), 2, "--uid-map", str(LAST))
    assert_one_line(run("plan", "--root-owner", f"{NO_ID}:0"), 2, "--root-owner", str(LAST))
