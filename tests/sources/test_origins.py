"""One tree gives one image, from every origin: memory, a folder, layers or archives."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import (
    Directory,
    Node,
    RegularFile,
    Socket,
    Spec,
    Symlink,
    Tree,
    sources,
    write_image,
)
from ext4writer.edit import filters
from tests.builder.command import report
from tests.judges.tools import require_root, run
from tests.makers import strategies
from tests.makers.containers import Entry, Layout, docker_archive, layer_tar, opaque, whiteout
from tests.makers.host_tree import materialise

SPEC = Spec(free=0, journal="none", epoch=1_700_000_000)


def image_of(tree: Tree) -> bytes:
    memory = bytearray()
    write_image(tree, memory, SPEC)
    return bytes(memory)


# -- layers cut at random ------------------------------------------------------------------------

Paths = dict[bytes, Node]


def paths_of(tree: Tree) -> Paths:
    return {path.strip(b"/"): node for path, node in tree.walk()}


def names_of(paths: Paths) -> dict[Node, set[bytes]]:
    found: dict[Node, set[bytes]] = {}
    for path, node in paths.items():
        found.setdefault(node, set()).add(path)
    return found


def facts(node: Node) -> tuple[object, ...]:
    """All that two equal nodes have in common, except the children of directories."""
    more: object = None
    if isinstance(node, RegularFile):
        data = bytearray(node.content.size)
        with memoryview(data) as view:
            node.content.read_whole(view)
        more = bytes(data)
    elif isinstance(node, Symlink):
        more = node.target
    else:
        more = getattr(node, "major", None), getattr(node, "minor", None)
    xattrs = tuple(sorted((node.xattrs or {}).items()))
    return type(node), node.mode, node.uid, node.gid, node.mtime_ns, xattrs, more


def changes(lower: Tree, upper: Tree, chance: random.Random) -> list[Entry]:
    """A layer that turns ``lower`` into ``upper``, by image-spec's "Determining Changes".

    ``chance`` decides what the specification leaves open: opaque directories, redundant entries of
    directories, links into the lower layer, the order of entries.
    """
    old, new = paths_of(lower), paths_of(upper)
    old_names, new_names = names_of(old), names_of(new)
    opened: list[bytes] = [
        path
        for path, node in new.items()
        if isinstance(node, Directory) and isinstance(old.get(path), Directory)
        if chance.random() < 0.15
    ]
    entries = [opaque(path) for path in opened]

    def stays(path: bytes) -> bool:
        """Whether the lower layer's entry is still visible."""
        above = [path.rsplit(b"/", count)[0] for count in range(1, path.count(b"/") + 1)]
        return (
            path in old
            and all(isinstance(new.get(one), Directory) for one in above)
            and not any(one in opened for one in (*above, b"") if one != path)
        )

    for path in old:
        parent = path.rpartition(b"/")[0]
        if path and path not in new and stays(path) and isinstance(new.get(parent), Directory):
            entries.append(whiteout(path))
    written: set[Node] = set()
    for path, node in new.items():
        before = old.get(path)
        if isinstance(node, Directory):
            same = isinstance(before, Directory) and facts(before) == facts(node)
            if not (same and stays(path)) or chance.random() < 0.2:
                entries.append(Entry(path, node))
            continue
        if node in written:
            continue
        written.add(node)
        names = new_names[node]
        # If a name of the old file is to be a different file, it would remain linked to this one.
        whole = before is not None and old_names[before] & new.keys() <= names
        if whole and facts(before) == facts(node):
            kept = {name for name in names if old.get(name) is before and stays(name)}
            if kept == names:
                continue
            if kept and chance.random() < 0.7:
                target = chance.choice(sorted(kept))
                entries += [Entry(name, link=target) for name in names - kept]
                continue
        first, *others = sorted(names)
        entries.append(Entry(first, node))
        entries += [Entry(name, link=first) for name in others]
    chance.shuffle(entries)
    return entries


def portable(tree: Tree) -> Tree:
    """``tree`` without what layers or Python cannot express: sockets, access times, odd names."""

    def change(path: bytes, node: Node) -> Node | None:
        if isinstance(node, Socket) or os.path.basename(path).startswith(b".wh."):
            return None
        node.atime_ns = node.ctime_ns = node.crtime_ns = None
        node.xattrs = {
            name: value
            for name, value in (node.xattrs or {}).items()
            if name.isascii() and not name.startswith(b"system.") and not {*b"=%"} & {*name}
        }
        return node

    return filters.apply(tree, change)


def stack_of(trees: Iterable[Tree], chance: random.Random) -> list[bytes]:
    lower, tars = Tree(Directory(implied=True)), []
    for tree in trees:
        tars.append(layer_tar(changes(lower, tree, chance)))
        lower = tree
    return tars


@st.composite
def neighbours(draw: st.DrawFn) -> list[Tree]:
    """A few similar trees; the last one is the expected result."""
    found = [portable(draw(strategies.trees(max_nodes=10)))]
    for _ in range(draw(st.integers(0, 2))):
        tree = found[-1].copy()
        for path in [path for path, _ in tree.walk() if path != b"/"]:
            if path in tree and draw(st.integers(0, 4)) == 0:
                tree.remove(path)
        tree.overlay(portable(draw(strategies.trees(max_nodes=6))))
        found.append(tree)
    return found


@pytest.mark.judged("quick")
@settings(deadline=None, max_examples=40)
@given(neighbours(), st.integers(0, 1 << 32))
def test_layers_cut_at_random(trees: list[Tree], seed: int) -> None:
    chance = random.Random(seed)
    tars = stack_of(trees, chance)
    expected = image_of(trees[-1])
    with tempfile.TemporaryDirectory() as scratch:
        layout = Layout(Path(scratch, "layout"))
        kinds = chance.choices(["", "gzip", "zstd"], k=len(tars))
        layout.index([layout.image(tars, kinds)])
        with Path(scratch, "spool").open("w+b") as spool:
            image = sources.oci(layout.folder, spool=spool)
            assert image.tree.losses == []
            assert image_of(image.tree) == expected
        saved = Path(scratch, "saved.tar")
        docker_archive(saved, tars)
        assert image_of(sources.docker_archive(saved).tree) == expected


# -- other programs ------------------------------------------------------------------------------


def sample() -> Tree:
    """Everything that a folder, a tar archive and a layer can all express."""
    second = 10**9
    tree = Tree(Directory(0o750, uid=3, gid=4, mtime_ns=1_600_000_000 * second))
    tree.directory("/etc", uid=1, gid=2, mtime_ns=1_500_000_000 * second)
    tree.file("/etc/hosts", b"127.0.0.1 localhost\n", mode=0o640, mtime_ns=7 * second)
    tree.link("/etc/again", "/etc/hosts")
    tree.directory("/usr/bin", parents=True, mtime_ns=8 * second)
    tree.file("/usr/bin/su", b"#!/bin/sh\n", mode=0o4755, mtime_ns=9 * second)
    tree.file("/usr/large", bytes(range(1, 256)) * 2000, mtime_ns=10 * second, uid=70_000)
    tree.file("/usr/holes", b"x" * 5000 + bytes(300_000) + b"y", mtime_ns=11 * second)
    tree.symlink("/bin", "usr/bin", mtime_ns=12 * second)
    tree.directory("/dev", mtime_ns=13 * second)
    tree.device("/dev/null", "c", 1, 3, mode=0o666, mtime_ns=14 * second)
    tree.device("/dev/loop0", "b", 7, 0, mtime_ns=15 * second)
    tree.fifo("/dev/initctl", mtime_ns=16 * second)
    tree.file(
        "/usr/bin/ping",
        b"ping",
        mode=0o755,
        mtime_ns=17 * second,
        xattrs={b"security.capability": strategies.CAPABILITY, b"user.note": b"a note"},
    )
    tree.file(b"/usr/\xc3\xa4 " + b"n" * 150, b"long", mtime_ns=18 * second)
    tree.directory("/empty", mode=0o1777, mtime_ns=19 * second)
    return tree


def earlier() -> Tree:
    """An earlier state, which later layers change and remove."""
    tree = sample()
    tree.remove("/usr/bin/su")
    tree.directory("/usr/bin/su", mode=0o711)
    tree.file("/usr/bin/su/inside", b"a file in a folder that becomes a file")
    tree.file("/etc/passwd", b"is removed")
    tree.directory("/var/cache/x", parents=True)
    tree.file("/var/cache/x/y", b"is removed with its folder")
    tree["/etc"].mode = 0o700
    tree.remove("/etc/again")
    tree.remove("/empty")
    tree.symlink("/empty", "usr")
    return tree


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    require_root()
    found = []
    for number, tree in enumerate((earlier(), sample())):
        found.append(tmp_path / f"tree{number}")
        materialise(tree, found[-1])
    return found


@pytest.mark.root
def test_a_folder_and_memory(folders: list[Path]) -> None:
    assert image_of(sources.directory(folders[1])) == image_of(sample())


def test_layers_by_the_specification(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    tars = stack_of([earlier(), sample()], random.Random(5))
    layout.index([layout.image(tars, ["zstd", "gzip"])])
    assert image_of(sources.oci(layout.folder).tree) == image_of(sample())


@pytest.mark.root
def test_layers_by_umoci_and_skopeo(folders: list[Path], tmp_path: Path) -> None:
    """umoci packs the layers; skopeo converts the layout into the other forms."""
    layout, bundle = tmp_path / "layout", tmp_path / "bundle"
    name = f"{layout}:it"
    run(["umoci", "init", "--layout", str(layout)])
    run(["umoci", "new", "--image", name])
    run(["umoci", "unpack", "--image", name, str(bundle)])
    rootfs = bundle / "rootfs"
    for folder in folders:
        shutil.rmtree(rootfs)
        run(["cp", "-a", "--sparse=never", str(folder), str(rootfs)])
        run(["umoci", "repack", "--refresh-bundle", "--image", name, str(bundle)])
    run(["umoci", "config", "--image", name, "--config.user", "7:8"])
    image = sources.oci(layout)
    assert len(image.layers) == 2
    assert image.config.user == "7:8"
    expected = image_of(sample())
    assert image_of(image.tree) == expected
    saved, other = tmp_path / "saved.tar", tmp_path / "other"
    run(["skopeo", "copy", f"oci:{name}", f"docker-archive:{saved}:example:1"])
    assert image_of(sources.docker_archive(saved, "example:1").tree) == expected
    run(["skopeo", "copy", f"oci:{name}", f"oci-archive:{other}.tar:it"])
    assert image_of(sources.oci(f"{other}.tar").tree) == expected
    flags = ["--dest-compress-format", "zstd", "--dest-compress"]
    run(["skopeo", "copy", *flags, f"docker-archive:{saved}", f"oci:{other}:it"])
    assert any(data.startswith(b"\x28\xb5\x2f\xfd") for data in blobs(other))
    assert image_of(sources.oci(other).tree) == expected


def blobs(layout: Path) -> list[bytes]:
    return [path.read_bytes() for path in (layout / "blobs" / "sha256").iterdir()]


@pytest.mark.root
def test_the_command_builds_one_image_from_every_origin(
    folders: list[Path], tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "layout")
    tars = stack_of([earlier(), sample()], random.Random(6))
    layout.index([layout.image(tars, ["zstd", "gzip"]).named("v1")])
    docker_archive(tmp_path / "saved.tar", tars)
    run(["tar", "-C", str(layout.folder), "-cf", str(tmp_path / "layout.tar"), "."])
    texts = [
        str(folders[1]),
        f"oci:{layout.folder}",
        f"oci:{layout.folder}:v1",
        f"oci:{tmp_path}/layout.tar:v1",
        f"docker-archive:{tmp_path}/saved.tar",
    ]
    images = []
    for number, text in enumerate(texts):
        made = tmp_path / f"{number}.img"
        facts = report("build", text, "-o", made)
        assert facts["losses"] == []
        images.append(made.read_bytes())
    assert len(set(images)) == 1
    assert not [name for name in os.listdir(tmp_path) if name.startswith("tmp")]
