"""Layers applied in order, compared with a model of flat mappings and with overlayfs."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext4writer import (
    ArchiveError,
    CharacterDevice,
    Directory,
    Fifo,
    LimitError,
    Node,
    RegularFile,
    Spec,
    Symlink,
    Tree,
    TreeError,
    sources,
    write_image,
)
from ext4writer.content import BytesContent
from ext4writer.sources.tar_archive import Limits
from tests.judges.compare import assert_dirs_equal
from tests.judges.cost import assert_linear
from tests.judges.kernel import mounted
from tests.judges.tools import missing, require_loop_mount, run
from tests.makers.archives import header
from tests.makers.containers import COMPRESS, OCI, Entry, Layout, layer_tar, opaque, whiteout

NAMES = [b"a", b"b", b"c"]
PATHS = [b"/".join(names) for depth in (1, 2, 3) for names in product(NAMES, repeat=depth)]

Record = tuple[str, int, int, object]
"""Kind, mode, time, and other attributes to compare."""
Model = dict[bytes, Record]
IMPLIED: Record = ("Directory", 0o755, 0, None)


# -- strategies ----------------------------------------------------------------------------------


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    attributes = {
        "mode": draw(st.sampled_from([0o700, 0o644, 0o755, 0o4711])),
        "mtime_ns": draw(st.integers(0, 99)) * 10**9 + draw(st.sampled_from([0, 5])),
    }
    kind = draw(st.sampled_from("dddffflpc"))
    if kind == "d":
        if draw(st.booleans()):
            return Directory(**attributes, xattrs={b"user.note": b"d"})
        return Directory(**attributes)
    if kind == "f":
        return RegularFile(BytesContent(draw(st.binary(max_size=3))), **attributes)
    if kind == "l":
        target = draw(st.sampled_from([b"a", b"/b", b"../c", b"a/b", b"/etc/passwd", b".."]))
        return Symlink(target, **{**attributes, "mode": 0o777})
    if kind == "p":
        return Fifo(**attributes)
    return CharacterDevice(1, 3, **attributes)


@st.composite
def layers(draw: st.DrawFn, *, every_parent: bool = False) -> list[Entry]:
    """One layer, in random order, with consistent paths.

    With ``every_parent`` it contains all parent directories of its entries, as in layers that
    programs write.
    """
    chosen: dict[bytes, Entry] = {}
    if draw(st.booleans()):
        chosen[b""] = Entry(b"", Directory(0o750, mtime_ns=7 * 10**9))
    for path in draw(st.lists(st.sampled_from(PATHS), unique=True, max_size=8)):
        above = [path.rsplit(b"/", count)[0] for count in range(1, path.count(b"/") + 1)]
        if any(one in chosen and not isinstance(chosen[one].node, Directory) for one in above):
            continue
        below = [one for one in chosen if one.startswith(path + b"/")]
        node = draw(nodes())
        if below and not isinstance(node, Directory):
            continue
        chosen[path] = Entry(path, node)
        if every_parent:
            for one in above:
                chosen.setdefault(one, Entry(one, Directory(0o711, mtime_ns=3 * 10**9)))
    linked = [path for path, entry in chosen.items() if isinstance(entry.node, RegularFile)]
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=2)):
        above = [path.rsplit(b"/", count)[0] for count in range(1, path.count(b"/") + 1)]
        parents = [chosen.get(one, Entry(one)).node for one in above]
        if path in chosen or any(one.startswith(path + b"/") for one in chosen):
            continue
        if linked and all(isinstance(one, Directory) for one in parents):
            chosen[path] = Entry(path, link=draw(st.sampled_from(linked)))
    marks = []
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=4)):
        head = path.rpartition(b"/")[0]
        parents = [path.rsplit(b"/", count)[0] for count in range(1, path.count(b"/") + 1)]
        if any(one in chosen and not isinstance(chosen[one].node, Directory) for one in parents):
            continue
        if every_parent and not all(one in chosen for one in parents):
            continue
        marks.append(whiteout(path))
        if draw(st.integers(0, 3)) == 0:
            marks.append(opaque(head))
    entries = [*chosen.values(), *{mark.path: mark for mark in marks}.values()]
    return list(draw(st.permutations(entries)) if draw(st.booleans()) else entries)


# -- the model -----------------------------------------------------------------------------------


def record(node: Node, group: object) -> Record:
    more: object = None
    if isinstance(node, RegularFile):
        data = bytearray(node.content.size)
        with memoryview(data) as view:
            node.content.read_whole(view)
        more = (bytes(data), group)
    elif isinstance(node, Symlink):
        more = node.target
    elif isinstance(node, Directory):
        more = tuple((node.xattrs or {}).items()) or None
    return type(node).__name__, node.mode, node.mtime_ns, more


def erase(model: Model, path: bytes, *, itself: bool = True) -> None:
    prefix = path + b"/" if path else b""
    for one in list(model):
        if (itself and one == path) or (one and one.startswith(prefix) and one != path):
            del model[one]


def make_parents(model: Model, path: bytes) -> None:
    names = path.split(b"/")
    for depth in range(1, len(names)):
        above = b"/".join(names[:depth])
        if model.get(above, IMPLIED)[0] != "Directory":
            erase(model, above)
        model.setdefault(above, IMPLIED)


def apply(model: Model, layer: Sequence[Entry], number: int) -> None:
    """Apply a layer to ``model``: the specification rules, and overlayfs for links."""
    marks = [entry.path for entry in layer if entry.node is None and entry.link is None]
    for path in marks:
        head, _, name = path.rpartition(b"/")
        if name != b".wh..wh..opq":
            erase(model, (head + b"/" if head else b"") + name.removeprefix(b".wh."))
        elif model.get(head, IMPLIED)[0] == "Directory":
            erase(model, head, itself=False)
    for path in marks:
        make_parents(model, path)
    found = {entry.path: entry for entry in layer if entry.node is not None or entry.link}
    for path in sorted(found):
        entry = found[path]
        node, first = entry.node, path
        while node is None:
            assert entry.link is not None
            first = entry.link
            entry = found[first]
            node = entry.node
        make_parents(model, path)
        if not isinstance(node, Directory) or model.get(path, IMPLIED)[0] != "Directory":
            erase(model, path, itself=bool(path))
        model[path] = record(node, (number, first))


def expected(stack: Sequence[Sequence[Entry]]) -> Model:
    model: Model = {b"": IMPLIED}
    for number, layer in enumerate(stack):
        apply(model, layer, number)
    groups: dict[object, bytes] = {}
    for path in sorted(model):
        kind, mode, time, more = model[path]
        if kind == "RegularFile":
            assert isinstance(more, tuple)
            model[path] = kind, mode, time, (more[0], groups.setdefault(more[1], path))
    return model


def found(tree: Tree) -> Model:
    groups: dict[Node, bytes] = {}
    walked = {path.strip(b"/"): node for path, node in tree.walk()}
    return {
        path: record(walked[path], groups.setdefault(walked[path], path)) for path in sorted(walked)
    }


def read(stack: Sequence[Sequence[Entry]], folder: Path) -> Tree:
    layout = Layout(folder)
    tars = [layer_tar(layer) for layer in stack]
    layout.index([layout.image(tars, ["gzip", "", "zstd"])])
    return sources.oci(folder).tree


@settings(deadline=None, max_examples=250)
@given(st.lists(layers(), min_size=1, max_size=4))
def test_layers_match_the_model(stack: list[list[Entry]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        assert found(read(stack, Path(scratch, "layout"))) == expected(stack)


# -- overlayfs -----------------------------------------------------------------------------------


def unpack(layer: Sequence[Entry], folder: Path, lower: Model) -> None:
    """Create an overlayfs directory from one layer that contains all parents of its entries.

    ``lower`` is below it: overlayfs shows a whiteout that hides nothing as a file.
    """
    folder.mkdir()
    root = os.fsencode(folder)
    ordered = sorted(layer, key=lambda entry: (entry.link is not None, entry.path))
    directories = []
    for entry in ordered:
        place = os.path.join(root, entry.path).rstrip(b"/")
        if entry.link is not None:
            os.link(os.path.join(root, entry.link), place, follow_symlinks=False)
            continue
        node = entry.node
        if node is None:
            continue
        if isinstance(node, Directory):
            if entry.path:
                os.mkdir(place)
            directories.append((place, node))
        elif isinstance(node, RegularFile):
            *_, more = record(node, None)
            assert isinstance(more, tuple)
            Path(os.fsdecode(place)).write_bytes(more[0])
        elif isinstance(node, Symlink):
            os.symlink(node.target, place)
        else:
            device = os.makedev(1, 3) if isinstance(node, CharacterDevice) else 0
            os.mknod(place, node.file_type | 0o600, device)
        if not isinstance(node, Symlink):
            os.chmod(place, node.mode)
        os.utime(place, ns=(node.mtime_ns, node.mtime_ns), follow_symlinks=False)
    marks = {entry.path for entry in layer if entry.node is None and entry.link is None}
    for path in marks:
        head, _, name = path.rpartition(b"/")
        if name == b".wh..wh..opq" and head:
            os.setxattr(os.path.join(root, head), "trusted.overlay.opaque", b"y")
            continue
        # The top of a layer cannot be opaque in overlayfs: everything that could be there is
        # hidden.
        all_names = NAMES if name == b".wh..wh..opq" else [name.removeprefix(b".wh.")]
        for hidden in (os.path.join(head, one) for one in all_names):
            place = os.path.join(root, hidden)
            if os.path.isdir(place) and not os.path.islink(place):
                os.setxattr(place, "trusted.overlay.opaque", b"y")
            elif (
                hidden in lower and not hidden_already(hidden, marks) and not os.path.lexists(place)
            ):
                os.mknod(place, 0o020000, 0)
    for place, node in reversed(directories):
        for key, value in (node.xattrs or {}).items():
            os.setxattr(place, key, value)
        os.chmod(place, node.mode)
        os.utime(place, ns=(node.mtime_ns, node.mtime_ns))


def hidden_already(path: bytes, marks: set[bytes]) -> bool:
    """Whether ``marks`` hide ``path`` by hiding or emptying a directory above it."""
    above = [path.rsplit(b"/", count)[0] for count in range(1, path.count(b"/") + 1)]
    return any(whiteout(one).path in marks or opaque(one).path in marks for one in above) or (
        bool(above) and opaque(b"").path in marks
    )


@contextmanager
def overlay(folders: Sequence[Path], scratch: Path) -> Iterator[Path]:
    """What overlayfs shows for ``folders``, the lowest first."""
    point, empty = scratch / "point", scratch / "empty"
    point.mkdir()
    empty.mkdir()
    names = ":".join(folder.name for folder in reversed([empty, *folders]))
    done = run(
        ["mount", "-t", "overlay", "overlay", "-o", f"ro,lowerdir={names}", str(point)],
        cwd=scratch,
        check=False,
    )
    if done.returncode:
        missing("overlayfs", f"mount says: {done.stdout.strip()}")
    try:
        yield point
    finally:
        run(["umount", str(point)])


@pytest.mark.root
@pytest.mark.judged("quick")
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(layers(every_parent=True), min_size=2, max_size=4))
def test_overlayfs_shows_the_same(watch, stack: list[list[Entry]]) -> None:
    require_loop_mount()
    # A root that no layer contains has the attributes of the mounted directory.
    stack[0] = [entry for entry in stack[0] if entry.path] + [
        Entry(b"", Directory(0o755, mtime_ns=9 * 10**9))
    ]
    with tempfile.TemporaryDirectory(prefix="ext4writer-layers-") as name:
        scratch = Path(name)
        tree = read(stack, scratch / "layout")
        image = scratch / "image"
        write_image(tree, image, Spec(free=0, journal="none"))
        folders = []
        for number, layer in enumerate(stack):
            folders.append(scratch / f"layer{number}")
            unpack(layer, folders[-1], expected(stack[:number]))
        with overlay(folders, scratch) as shown, mounted(image) as point:
            # The topmost directory determines the root's attributes, with or without an entry.
            root = any(not entry.path for entry in stack[-1])
            assert_dirs_equal(shown, point, root=root)


# -- special cases of layers ---------------------------------------------------------------------


def built(tmp_path: Path, *stack: list[Entry], **options: object) -> Tree:
    layout = Layout(tmp_path / "layout")
    layout.index([layout.image([layer_tar(layer) for layer in stack])])
    return sources.oci(tmp_path / "layout", **options).tree  # type: ignore[arg-type]


def file(path: bytes, data: bytes = b"x") -> Entry:
    return Entry(path, RegularFile(BytesContent(data)))


def directory(path: bytes, mode: int = 0o755) -> Entry:
    return Entry(path, Directory(mode))


def symlink(path: bytes, target: bytes) -> Entry:
    return Entry(path, Symlink(target))


def data(node: Node) -> bytes:
    assert isinstance(node, RegularFile)
    found = bytearray(node.content.size)
    with memoryview(found) as view:
        node.content.read_whole(view)
    return bytes(found)


def test_the_example_of_the_specification(tmp_path: Path) -> None:
    """image-spec, layer.md: an opaque whiteout applies first, wherever it is in the layer."""
    base = [directory(b"a"), directory(b"a/b"), directory(b"a/b/c"), file(b"a/b/c/bar")]
    over = [directory(b"a"), directory(b"a/b"), directory(b"a/b/c"), file(b"a/b/c/foo")]
    for number, layer in enumerate(([opaque(b"a"), *over], [*over, opaque(b"a")])):
        (tmp_path / str(number)).mkdir()
        tree = built(tmp_path / str(number), base, layer)
        assert [path for path, _ in tree.walk()] == [
            *(b"/", b"/a", b"/a/b", b"/a/b/c", b"/a/b/c/foo"),
        ]


def test_a_whiteout_hides_lower_layers_only(tmp_path: Path) -> None:
    tree = built(
        tmp_path,
        [directory(b"d"), file(b"d/old"), file(b"f", b"old")],
        [file(b"f", b"new"), whiteout(b"f"), file(b"d/new"), whiteout(b"d")],
    )
    assert data(tree["/f"]) == b"new"
    assert "/d/new" in tree and "/d/old" not in tree
    assert not any(b".wh." in path for path, _ in tree.walk())


def test_a_hard_link_into_a_lower_layer(tmp_path: Path) -> None:
    tree = built(
        tmp_path,
        [directory(b"usr"), file(b"usr/old", b"lower"), symlink(b"lib", b"usr")],
        [Entry(b"new", link=b"usr/old"), Entry(b"through", link=b"lib/old"), whiteout(b"usr/old")],
        [file(b"through", b"replaced")],
    )
    assert data(tree["/new"]) == b"lower"
    assert data(tree["/through"]) == b"replaced"
    assert "/usr/old" not in tree


def test_hard_links_of_all_layers_are_one_file(tmp_path: Path) -> None:
    tree = built(
        tmp_path,
        [file(b"one")],
        [Entry(b"two", link=b"one")],
        [Entry(b"three", link=b"two"), Entry(b"four", link=b"three")],
    )
    assert tree["/one"] is tree["/two"] is tree["/three"] is tree["/four"]


@pytest.mark.parametrize("target", [b"nowhere", b"d", b"loop", b"../x"])
def test_hard_links_to_nothing(tmp_path: Path, target: bytes) -> None:
    with pytest.raises(ArchiveError, match="link|climbs"):
        built(tmp_path, [directory(b"d")], [Entry(b"loop", link=target)])


def test_a_link_of_a_lower_layer_is_replaced_not_followed(tmp_path: Path) -> None:
    tree = built(
        tmp_path,
        [symlink(b"out", b"/etc"), symlink(b"up", b"../../.."), symlink(b"gone", b"/var")],
        [file(b"out/passwd"), file(b"up/x"), whiteout(b"gone/x")],
    )
    for path in ("/out", "/up", "/gone"):
        assert isinstance(tree[path], Directory)
    assert "/etc" not in tree


def test_a_link_of_the_same_layer_is_followed_inside_the_image(tmp_path: Path) -> None:
    tree = built(
        tmp_path,
        [file(b"real/hidden"), directory(b"usr", 0o711)],
        [
            *(symlink(b"lib", b"usr/lib"), symlink(b"abs", b"/usr/./lib/../lib")),
            *(symlink(b"up", b"../../.."), symlink(b"chain", b"lib"), symlink(b"to", b"real")),
            *(file(b"lib/a"), file(b"abs/b"), file(b"up/c"), file(b"chain/d")),
            *(whiteout(b"to/hidden"), Entry(b"e", link=b"chain/a")),
        ],
    )
    assert {path for path, node in tree.walk() if isinstance(node, RegularFile)} == {
        *(b"/usr/lib/a", b"/usr/lib/b", b"/usr/lib/d", b"/c", b"/e"),
    }
    assert tree["/e"] is tree["/usr/lib/a"]
    assert tree["/usr"].mode == 0o711
    assert isinstance(tree["/lib"], Symlink)


def test_link_cycles_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="a/x.*symbolic link /a to b leads through more than 40"):
        built(tmp_path, [symlink(b"a", b"b"), symlink(b"b", b"a"), file(b"a/x")])


@pytest.mark.parametrize("name", [b".wh.", b".wh...", b".wh..", b"d/.wh...", b".wh.d/x"])
def test_whiteouts_that_name_nothing(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(ArchiveError, match="whiteout"):
        built(tmp_path, [directory(b"d"), file(b"d/x")], [Entry(name)])


def test_a_whiteout_of_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    name = b"n" * 255
    assert not built(tmp_path, [file(name)], [whiteout(name)]).root.children
    (tmp_path / "again").mkdir()
    tree = built(tmp_path / "again", [file(name + b"n")])
    with pytest.raises(TreeError, match="256 bytes"):
        write_image(tree, bytearray())


def test_a_whiteout_below_a_path_that_becomes_a_file(tmp_path: Path) -> None:
    """umoci writes whiteouts for the content of a directory even if a file replaces it."""
    for number, layer in enumerate(
        ([file(b"d"), whiteout(b"d/x"), opaque(b"d")], [whiteout(b"d/x"), opaque(b"d"), file(b"d")])
    ):
        (tmp_path / str(number)).mkdir()
        tree = built(tmp_path / str(number), [directory(b"d"), file(b"d/x")], layer)
        assert data(tree["/d"]) == b"x"


def test_metadata_of_aufs_is_left_out_and_reported(tmp_path: Path) -> None:
    tree = built(
        tmp_path,
        [file(b"x"), directory(b".wh..wh.plnk"), file(b".wh..wh.plnk/1.2"), file(b".wh..wh.aufs")],
    )
    assert set(tree.root.children) == {b"x"}
    assert [loss.path for loss in tree.losses] == [
        *(b"/.wh..wh.plnk", b"/.wh..wh.plnk/1.2", b"/.wh..wh.aufs"),
    ]


def test_attributes_of_directories_that_a_layer_does_not_state(tmp_path: Path) -> None:
    tree = built(
        tmp_path,
        [directory(b"", 0o700), directory(b"root", 0o700), file(b"root/a")],
        [file(b"root/b"), file(b"new/deep/c")],
    )
    assert (tree.root.mode, tree["/root"].mode) == (0o700, 0o700)
    for path in ("/new", "/new/deep"):
        node = tree[path]
        assert (node.mode, node.uid, node.gid, node.mtime_ns) == (0o755, 0, 0, 0)


def test_patterns_leave_out_of_every_layer(tmp_path: Path) -> None:
    tree = built(tmp_path, [file(b"a/x.pyc"), file(b"a/y")], [file(b"a/z.pyc")], exclude=["*.pyc"])
    assert [path for path, _ in tree.walk()] == [b"/", b"/a", b"/a/y"]


def test_limits_count_for_all_layers_together(tmp_path: Path) -> None:
    stack = [[file(b"a"), file(b"b")], [file(b"c"), file(b"d")]]
    assert len(built(tmp_path, *stack, limits=Limits(members=4)).root.children) == 4
    for limits in (
        Limits(members=3),
        Limits(expanded_bytes=11_000),
        Limits(content_bytes=3),
        Limits(memory_bytes=3),
    ):
        with pytest.raises(LimitError):
            sources.oci(tmp_path / "layout", limits=limits)


def test_memory_limits_count_all_layers_together(tmp_path: Path) -> None:
    links = [[symlink(b"%d" % number, b"t" * 90)] for number in range(5)]
    long = b"d/" * 40
    marks = [[file(long + b"a")], *([whiteout(long + b"%d" % number)] for number in range(5))]
    deep = [[file(b"%d/" % number + b"d/" * 50 + b"f")] for number in range(5)]
    for name, stack in {"links": links, "marks": marks}.items():
        (tmp_path / name).mkdir()
        built(tmp_path / name, *stack, limits=Limits(metadata_bytes=600))
        with pytest.raises(LimitError, match="metadata_bytes"):
            sources.oci(tmp_path / name / "layout", limits=Limits(metadata_bytes=300))
    with pytest.raises(LimitError, match="implied_directories"):
        built(tmp_path, *deep, limits=Limits(implied_directories=100))
    assert len(sources.oci(tmp_path / "layout").tree.root.children) == 5


@pytest.mark.parametrize("outer", ["", "zstd"])
def test_one_ratio_limits_all_layers(outer: str, tmp_path: Path) -> None:
    """Each of two layers unpacks to 0.6 GiB of zeros, inside a compressed archive or not."""
    size = 600 << 20
    layout = Layout(tmp_path / "layout")
    zeros = zstandard.ZstdCompressor(level=1).compressobj()
    digest = hashlib.sha256()
    packed = b""
    # Of the type of GNU's volume labels, so none of it is kept.
    for piece in (
        header(name=b"v", size=size, typeflag=b"V"),
        *[bytes(1 << 20)] * 600,
        bytes(1024),
    ):
        digest.update(piece)
        packed += zeros.compress(piece)
    packed += zeros.flush()
    layer = layout.blob(packed, f"{OCI}layer.v1.tar+zstd").descriptor()
    config = layout.document(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest.hexdigest()}"] * 2},
        },
        f"{OCI}config.v1+json",
    )
    manifest = {"schemaVersion": 2, "config": config.descriptor(), "layers": [layer] * 2}
    layout.index([layout.document(manifest, f"{OCI}manifest.v1+json")])
    source: Path | io.BytesIO = layout.folder
    limits = Limits()
    if outer:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            archive.add(layout.folder, ".")
        source = io.BytesIO(zstandard.compress(data.getvalue() + bytes(1 << 20)))
        # A layer unpacks by a factor of 30,000, and the archive compresses it once more.
        limits = Limits(ratio=100_000)
    with pytest.raises(LimitError, match="packed bytes unpack to") as caught:
        sources.oci(source, limits=limits)
    assert caught.value.limit == "ratio"


def test_a_loss_that_is_replaced_later_is_removed(tmp_path: Path) -> None:
    odd = RegularFile(BytesContent(b""), xattrs={b"odd.name": b"x"})
    tree = built(tmp_path, [Entry(b"a", odd), Entry(b"b", odd), Entry(b"d/c", odd)])
    lost = {loss.path for loss in tree.losses}
    (tmp_path / "again").mkdir()
    tree = built(
        tmp_path / "again",
        [Entry(b"a", odd), Entry(b"b", odd), Entry(b"d/c", odd)],
        [file(b"a"), whiteout(b"d")],
    )
    assert lost == {b"/a", b"/b", b"/d/c"}
    assert {loss.path for loss in tree.losses} == {b"/b"}


def test_many_layers_with_losses_take_linear_time(tmp_path: Path) -> None:
    def reading(count: int) -> Callable[[], object]:
        folder = tmp_path / f"{count}-{len(list(tmp_path.iterdir()))}"
        layout = Layout(folder)
        odd = RegularFile(BytesContent(b""), xattrs={b"odd.name": b"x"})
        layers = [
            layer_tar([Entry(b"f%d.%d" % (layer, at), odd) for at in range(8)])
            for layer in range(count)
        ]
        layout.index([layout.image(layers, ("",))])
        return lambda: sources.oci(folder)

    assert_linear(reading, 150)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_bytes_after_a_compressed_layer_are_reported(tmp_path: Path, compression: str) -> None:
    layout = Layout(tmp_path / "layout")
    tar = layer_tar([file(b"f")])
    with pytest.MonkeyPatch.context() as patch:
        pack = COMPRESS[compression]
        patch.setitem(COMPRESS, compression, lambda data: pack(data) + b"more")
        layout.index([layout.image([tar], (compression,))])
    tree = sources.oci(tmp_path / "layout").tree
    assert data(tree["/f"]) == b"x"
    [loss] = tree.losses
    assert loss.code == "archive-rest-unread"
    assert f"4 bytes after the end of its {compression} data" in loss.what
