"""Arguments of the library are accepted if their meaning is plain, and refused by name if not."""

from __future__ import annotations

import inspect
import io
import pydoc
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID

import pytest

import ext4writer
from ext4writer import (
    DEFAULT_FEATURES,
    BytesContent,
    CallableContent,
    CharacterDevice,
    DeclaredSizeError,
    Directory,
    Ext4WriterError,
    FeatureSet,
    Fifo,
    Loss,
    Node,
    Override,
    OverrideError,
    PathContent,
    PathSliceContent,
    ProcessPool,
    RandomPolicy,
    RegularFile,
    SourceChangedError,
    SourceError,
    Spec,
    SpecError,
    Symlink,
    Tree,
    TreeError,
    iter_layout,
    manifests,
    plan,
    policy,
    sources,
    write_image,
    write_layout,
)
from ext4writer.edit import filters
from ext4writer.read import open_image
from ext4writer.units import parse_size
from tests.conftest import MakeImage
from tests.judges import debugfs

TEXT = "12345678-1234-5678-1234-567812345678"


@pytest.mark.parametrize(
    ("option", "given", "taken"),
    [
        ("size", "64M", 64 << 20),
        ("size", "1.5G", 3 << 29),
        ("size", 64e6, 64_000_000),
        ("free", "16 MiB", 16 << 20),
        ("grow_to", "1T", 1 << 40),
        ("block_size", "1K", 1024),
        ("inode_size", "512", 512),
        ("hole_size", "64K", 65536),
        ("journal", "8M", 8 << 20),
        ("journal", "none", "none"),
        ("free_inodes", "9", 9),
        ("free_inodes", "1,088", 1088),
        ("free", "1,088 KiB", 1088 << 10),
        ("groups_per_flex", 8.0, 8),
        ("reserved_percent", "5", 5.0),
        ("reserved_percent", "2.5%", 2.5),
        ("label", "wörld", "wörld".encode()),
        ("label", bytearray(b"x"), b"x"),
        ("uuid", TEXT, UUID(TEXT)),
        ("uuid", UUID(TEXT).bytes, UUID(TEXT)),
        ("hash_seed", TEXT.replace("-", ""), UUID(TEXT)),
        ("features", "^huge_file", DEFAULT_FEATURES.without("huge_file")),
        ("epoch", 1_700_000_000.9, 1_700_000_000),
    ],
)
def test_an_option_is_accepted(option: str, given: Any, taken: Any) -> None:
    spec = Spec(**{option: given})
    assert getattr(spec, option) == taken
    assert type(getattr(spec, option)) is type(taken)
    assert spec == replace(Spec(), **{option: taken})
    assert plan(Tree(), spec).uuid == plan(Tree(), replace(Spec(), **{option: taken})).uuid


def test_a_policy_is_accepted_by_name() -> None:
    spec = Spec(policy="random:7")
    assert spec.policy is not None and spec.policy.name == "random:7"


@pytest.mark.parametrize(
    ("option", "given"),
    [
        *(("size", wrong) for wrong in ("64X", "", "1.5", 1.5, b"5", True, [], float("nan"))),
        *(("free", wrong) for wrong in ("x%", "%", -1)),
        *(("label", wrong) for wrong in (5, None, ["x"])),
        *(("uuid", wrong) for wrong in ("x", 5, b"short", True)),
        *(("features", wrong) for wrong in ("^x", 5, None, ["^huge_file"])),
        *(("epoch", wrong) for wrong in ("now", float("inf"), b"1", True)),
        *(("journal", wrong) for wrong in ("big", None, 0, True)),
        *(("leading_hole", wrong) for wrong in ("no", 1, None)),
        *(("lost_and_found", wrong) for wrong in ("false", 0)),
        *(("policy", wrong) for wrong in ("odd", 7)),
        *(("free_inodes", wrong) for wrong in ("many", 1.5, "1,08", "1,0880")),
        *(("reserved_uid", wrong) for wrong in ("1,000", "root")),
        *(("reserved_percent", wrong) for wrong in ("x", None, True)),
        *(("block_size", wrong) for wrong in ("3000", None)),
    ],
)
def test_a_meaningless_option_is_named(option: str, given: Any) -> None:
    if (option, given) == ("size", "1.5"):
        assert Spec(size="1.5").size == 2  # bytes are rounded up
        return
    with pytest.raises(SpecError) as caught:
        Spec(**{option: given})
    assert caught.value.option == option
    assert "\n" not in str(caught.value)


def test_free_space_in_percent_of_the_content() -> None:
    tree = Tree()
    tree.file("/data", bytes(range(1, 256)) * 40_000)
    layout = plan(tree, Spec(free="10%"))
    assert layout.content_bytes == 255 * 40_000
    assert 255 * 4_000 <= layout.available_bytes < 255 * 4_000 + 2 * 4096
    both = plan(tree, Spec(free="1M", free_percent=10))
    assert both.available_bytes >= (1 << 20) + 255 * 4_000
    with pytest.raises(ext4writer.SizeError):
        plan(tree, Spec(free="100%", size=layout.size_bytes))


def test_the_help_of_a_spec_has_every_option_and_its_unit() -> None:
    text = pydoc.render_doc(Spec, renderer=pydoc.plaintext)
    for option in fields(Spec):
        assert f"\n |  {option.name} (default " in text, option.name
    assert inspect.getdoc(Spec).count("bytes") >= 6
    assert max(map(len, inspect.getdoc(Spec).splitlines())) <= 100


def test_a_spec_is_shown_as_the_call_that_makes_it() -> None:
    spec = Spec(size="64M", label="root", features="^huge_file")
    shown = repr(spec)
    assert shown.startswith("Spec(size=67108864, label=b'root', features=FeatureSet.of('has_")
    assert eval(shown, vars(ext4writer)) == spec
    assert repr(Spec()) == "Spec()"


def test_attributes_and_paths_are_accepted(make_image: MakeImage) -> None:
    tree = Tree()
    tree.file(
        PurePosixPath("/usr/lib/file"),
        b"text",
        parents=True,
        mode="4755",
        uid="5",
        gid=7.0,
        mtime_ns=1.7e18,
        atime_ns=None,
        xattrs={"user.note": "text", "user.other": b"\xff"},
    )
    tree.symlink("/link", PurePosixPath("usr/lib"))
    tree.directory(PureWindowsPath("a\\b"), parents=True)
    tree.device("/dev/null", "c", 1, 3, parents=True, mode="666")
    tree.fifo("/run/fifo", parents=True)
    tree.socket("/run/socket", parents=True)
    tree.link("/bin/file", "/usr/lib/file", parents=True)
    node = tree["/usr/lib/file"]
    assert (node.mode, node.uid, node.gid, node.mtime_ns) == (0o4755, 5, 7, 1_700_000_000 * 10**9)
    assert node.xattrs == {b"user.note": b"text", b"user.other": b"\xff"}
    above = tree["/usr"]
    assert (above.mode, above.uid, above.gid, above.xattrs) == (0o755, 5, 7, None)
    assert above.mtime_ns == node.mtime_ns
    assert PurePosixPath("/a/b") in tree and "/a/c" not in tree
    image = make_image(tree, level="quick")
    assert debugfs.inode(image, "/usr/lib/file").mode == 0o4755
    tree.remove(PurePosixPath("a/b"))
    tree.move(PurePosixPath("/a"), PurePosixPath("/c"))
    assert tree.subtree(PurePosixPath("/c")).root is not tree["/c"]


def direct(**attributes: Any) -> Tree:
    """A tree with a file whose attributes were assigned directly."""
    tree = Tree()
    tree.add("/file", RegularFile(BytesContent(b"")))
    for name, value in attributes.items():
        setattr(tree["/file"], name, value)
    return tree


@pytest.mark.parametrize(
    ("attribute", "given", "taken"),
    [
        ("mode", "755", 0o755),
        ("uid", "5", 5),
        ("mtime_ns", 1.5e18, 1_500_000_000_000_000_000),
        ("crtime_ns", 0.0, 0),
        ("xattrs", {"user.note": "text"}, {b"user.note": b"text"}),
    ],
)
def test_directly_assigned_attributes_are_accepted(attribute: str, given: Any, taken: Any) -> None:
    for spec in (Spec(), Spec(uuid=TEXT, hash_seed=TEXT)):
        image, other = bytearray(), bytearray()
        write_image(direct(**{attribute: given}), image, spec)
        write_image(direct(**{attribute: taken}), other, spec)
        assert image == other


def of_root(name: Any, node: Any) -> Tree:
    tree = Tree()
    tree.root.children[name] = node
    return tree


def read(content: Any) -> None:
    tree = Tree()
    tree.file("/f", content, size=4)
    plan(tree)
    write_image(tree, bytearray())


def plan_of(make: Callable[[Tree], object]) -> None:
    tree = Tree()
    make(tree)
    plan(tree)


SLIPS: dict[str, tuple[Callable[[], Any], str]] = {
    "text": (lambda: Tree().file("/f", "text"), "a str is the path of a file"),
    "mode": (lambda: Tree().file("/f", b"", mode="rwx"), "/f: mode: 'rwx'"),
    "uid": (lambda: Tree().file("/f", b"", uid=None), "/f: uid: None"),
    "time": (lambda: Tree().file("/f", b"", mtime_ns="now"), "/f: mtime_ns: 'now'"),
    "xattrs": (lambda: Tree().file("/f", b"", xattrs=[1]), "/f: xattrs: [1]"),
    "xattr": (lambda: Tree().file("/f", b"", xattrs={"user.a": 5}), "/f: xattrs: 'user.a': 5"),
    "attribute": (lambda: Tree().file("/f", b"", mod=5), "/f: mod: is no attribute"),
    "content": (lambda: Tree().file("/f", 5), "/f: its content 5"),
    "size of bytes": (lambda: Tree().file("/f", b"x", size=5), "/f: size: 5 was declared"),
    "size": (lambda: Tree().file("/f", iter([b"x"]), size="x"), "/f: size: 'x'"),
    "major": (lambda: Tree().device("/d", "c", "x", 1), "/d: major: 'x'"),
    "path": (lambda: Tree().file(5, b""), "5: is no path"),
    "node": (lambda: Tree().add("/f", b"text"), "/f: cannot be b'text'"),
    "mode by hand": (lambda: plan(direct(mode=None)), "/file: mode: None"),
    "uid by hand": (lambda: plan(direct(uid="x")), "/file: uid: 'x'"),
    "content by hand": (lambda: plan(direct(content=b"abc")), "/file: its content is b'abc'"),
    "time by hand": (lambda: plan(direct(atime_ns="x")), "/file: atime_ns: 'x'"),
    "name by hand": (lambda: plan(of_root("abc", Directory())), "/: has a child named 'abc'"),
    "child by hand": (lambda: plan(of_root(b"abc", b"text")), "/abc: is b'text'"),
    "device by hand": (lambda: plan(of_root(b"d", CharacterDevice("x", 1))), "/d: major: 'x'"),
    "target by hand": (lambda: plan(of_root(b"l", Symlink(5))), "/l: target: 5"),
    "no tree": (lambda: plan("rootfs"), "tree: is a str, not a Tree; ext4writer.sources.direct"),
    "no Spec": (lambda: plan(Tree(), {}), "spec: is a dict, not a Spec"),
    "no Layout": (lambda: write_layout(Tree(), bytearray()), "layout: is a Tree"),
    "workers": (lambda: write_image(Tree(), bytearray(), workers="x"), "workers: 'x'"),
    "processes": (lambda: write_image(Tree(), bytearray(), processes="x"), "processes: 'x'"),
    "pool": (lambda: ProcessPool(None), "processes: None"),
    "override": (lambda: write_image(Tree(), bytearray(), overrides="x"), "override 'x'"),
    "overrides": (lambda: write_image(Tree(), bytearray(), overrides=5), "overrides: 5"),
    "one override": (lambda: write_image(Tree(), bytearray(), overrides=[5]), "override 5"),
    "progress": (lambda: write_image(Tree(), bytearray(), progress=5), "progress: 5"),
    "cancel": (lambda: write_image(Tree(), bytearray(), cancel=5), "cancel: 5"),
    "no Layout to iterate": (lambda: list(iter_layout(Tree())), "layout: is a Tree"),
    "folder": (lambda: sources.directory(5), "5: is not a source"),
    "archive": (lambda: sources.tar(None), "None: is not a source"),
    "archive as text": (lambda: sources.tar(io.StringIO("")), "is text; open it with mode 'rb'"),
    "layout of an image": (lambda: sources.oci(5), "5: is not a source"),
    "manifest": (lambda: sources.manifest(5), "5: is not a source"),
    "Nix archive": (lambda: sources.nar(5), "5: is not a source"),
    "missing Nix archive": (lambda: sources.nar("/no/such"), "/no/such: cannot be read: No such"),
    "mtree of no tree": (lambda: manifests.write_mtree("rootfs", io.BytesIO()), "tree: is a str"),
    "dump of no tree": (lambda: manifests.write_dump({}, io.BytesIO()), "tree: is a dict"),
    "mtree into a path": (lambda: manifests.write_mtree(Tree(), "a"), "is not a binary file"),
    "dump as text": (lambda: manifests.write_dump(Tree(), io.StringIO()), "is not a binary file"),
    "image": (lambda: open_image("/no/such/image"), "/no/such/image: cannot be read: No such"),
    "policy": (lambda: policy(7), "policy: 7"),
    "features": (lambda: FeatureSet.parse(5, base=DEFAULT_FEATURES), "features: 5"),
    "feature": (lambda: FeatureSet.of(5), "features: 5"),
    "text of an override": (lambda: Override.parse(5), "override 5"),
    "overlay": (lambda: Tree().overlay("rootfs"), "/: 'rootfs' is no Tree"),
    "root": (lambda: Tree("rootfs"), "/: 'rootfs' is no Directory"),
    "size below zero": (
        lambda: plan_of(lambda tree: tree.file("/f", iter([b""]), size=-1)),
        "/f: has -1 bytes",
    ),
    "filter": (lambda: filters.set_owner("rootfs", 0, 0), "tree: is a str"),
    "function of a filter": (lambda: filters.apply(Tree(), 5), "change: 5"),
    "text of a callable": (lambda: read(lambda: "text"), "/f: its content is text"),
    "text of a generator": (lambda: read(iter(["text"])), "/f: its content is text"),
    "text of a file": (lambda: read(lambda: io.StringIO("text")), "/f: its content is text"),
    "no content": (lambda: read(lambda: None), "/f: its content is None"),
    "numbers": (lambda: read(lambda: [1, 2]), "/f: its content is 1"),
    "owner": (lambda: filters.set_owner(Tree(), "root", 0), "uid: 'root'"),
    "half a pair as path": (lambda: Tree().file("/\ud800", b""), "half of a surrogate pair"),
    "half a pair as target": (lambda: Tree().symlink("/a", "\ud800"), "/a: its target '\\ud800'"),
    "target": (lambda: Tree().symlink("/a", 5), "/a: its target 5 is no path"),
    "flags by hand": (lambda: setattr(Fifo(0o644), "flags", None), "flags: None"),
    "project by hand": (lambda: setattr(Fifo(0o644), "project", -1), "project: -1"),
    "compression": (
        lambda: write_image(Tree(), bytearray(), compression="x"),
        "compression: is a str, not a Compression",
    ),
    "watch": (lambda: write_image(Tree(), bytearray(), watch=5), "watch: 5 is not a function"),
    "trailer": (lambda: write_image(Tree(), bytearray(), trailer=5), "trailer: 5 is no trailer"),
    "layout": (
        lambda: write_image(plan(Tree()), bytearray()),
        "tree: is a Layout, not a Tree; write_",
    ),
    "xattrs of a folder": (lambda: sources.directory("/", xattrs="no"), "xattrs: 'no' is neither"),
    "processes of a folder": (lambda: sources.directory("/", processes=-1), "processes: -1"),
    "progress of a folder": (lambda: sources.directory("/", progress=5), "progress: 5"),
    "limits": (lambda: sources.tar("/x", limits={"x": 5}), "limits: is a dict, not a Limits"),
    "layer": (lambda: Tree().apply_layer(5), "/: 5 is no Tree"),
    "place of a plan": (lambda: plan(Tree()).save(5), "path: 5 is no path"),
    "path of content": (lambda: PathContent(5), "path: 5 is no path"),
    "bytes of content": (lambda: BytesContent(5), "data: 5 is neither bytes"),
    "opener": (lambda: CallableContent(5, 5), "opener: 5 is not a function"),
    "part of a file": (lambda: PathSliceContent("/x", "x", 5), "offset: 'x'"),
    "part of no file": (lambda: PathSliceContent(Path("/x\0"), 0, 5), "holds a NUL byte"),
    "NUL in a path": (lambda: PathContent("/x\0"), "path: '/x\\x00' holds a NUL byte"),
    "NUL in a content's path": (lambda: Tree().file("/f", Path("/x\0")), "holds a NUL byte"),
    "NUL in a text": (
        lambda: Tree().file("/f", "te\0xt"),
        "a str is the path of a file",
    ),
    "seed": (lambda: RandomPolicy("x"), "seed: 'x'"),
    "option": (lambda: Spec(lable="x"), "lable: is not an option of a Spec; did you mean label?"),
    "option of a profile": (
        lambda: Spec.of_profile("boot", lable="x"),
        "lable: is not an option of a Spec; did you mean label?",
    ),
    "option that is replaced": (
        lambda: replace(Spec(), lable="x"),
        "lable: is not an option of a Spec; did you mean label?",
    ),
    "nothing like an option": (lambda: Spec(xyz=1), "xyz: is not an option of a Spec; help(Spec)"),
    "bad blocks": (lambda: Spec(bad_blocks=5), "bad_blocks: 5 is not a list"),
    "policies": (
        lambda: Spec(encryption_policies=5),
        "encryption_policies: 5 is not a mapping of paths to policies",
    ),
    "signatures": (
        lambda: Spec(verity_signatures=5),
        "verity_signatures: 5 is not a mapping of paths to signatures",
    ),
    "times": (lambda: filters.set_all_times(Tree(), "now"), "seconds: 'now'"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_wrong_value_is_one_line_that_names_its_argument(slip: str) -> None:
    make, words = SLIPS[slip]
    with pytest.raises(Ext4WriterError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_str_that_names_a_file_is_its_path(tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("Welcome.\n")
    tree = Tree()
    assert tree.file("/motd", str(tmp_path / "motd")).content.size == 9
    assert tree.file("/again", tmp_path / "motd").content.size == 9
    with pytest.raises(SourceError, match="no-such"):
        tree.file("/none", tmp_path / "no-such")


@pytest.mark.parametrize("declared", [4, 20])
@pytest.mark.parametrize("kind", ["path", "stream", "iterator"])
def test_a_wrong_declared_size_is_named(declared: int, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "nine"
    path.write_bytes(b"123456789")
    content: dict[str, Any] = {
        "path": path,
        "stream": lambda: path.open("rb"),
        "iterator": iter([b"123456789"]),
    }
    tree = Tree()
    tree.file("/file", content[kind], size=declared)
    with pytest.raises(SourceError, match=rf"declared size is {declared}, but it holds") as caught:
        write_image(tree, bytearray())
    assert isinstance(caught.value, DeclaredSizeError)
    assert not isinstance(caught.value, SourceChangedError)
    assert caught.value.declared == declared and caught.value.held in (9, None)


@pytest.mark.parametrize("offset, held", [(0, 9), (4, 5), (30, 0)])
def test_a_slice_past_the_end_of_a_file_is_named(offset: int, held: int, tmp_path: Path) -> None:
    path = tmp_path / "nine"
    path.write_bytes(b"123456789")
    tree = Tree()
    tree.file("/file", PathSliceContent(path, offset, 20))
    with pytest.raises(DeclaredSizeError, match=f"declared size is 20, but it holds {held};"):
        write_image(tree, bytearray())


def test_a_slice_of_a_missing_file_is_not_called_vanished(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("/file", PathSliceContent(tmp_path / "none", 0, 5))
    with pytest.raises(SourceError, match="none: cannot be read: No such file") as caught:
        write_image(tree, bytearray())
    assert not isinstance(caught.value, SourceChangedError)


def test_a_missing_file_of_declared_size_is_not_called_vanished(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("/file", PathContent(tmp_path / "none", size=5))
    with pytest.raises(SourceError, match="none: cannot be read: No such file") as caught:
        write_image(tree, bytearray())
    assert not isinstance(caught.value, SourceChangedError)
    (tmp_path / "there").write_bytes(b"12345")
    tree = Tree()
    tree.file("/file", tmp_path / "there")
    (tmp_path / "there").unlink()
    with pytest.raises(SourceChangedError, match="vanished after it was scanned"):
        write_image(tree, bytearray())


def test_overrides_are_accepted_as_strings() -> None:
    one, other = bytearray(), bytearray()
    write_image(Tree(), one, overrides="superblock.s_state=2")
    write_image(Tree(), other, overrides=[Override.parse("superblock.s_state=2")])
    assert one == other
    with pytest.raises(OverrideError):
        write_image(Tree(), one, overrides=["nonsense"])


def test_a_tree_is_a_collection_of_paths() -> None:
    tree = Tree()
    tree.file("/a/b/c", b"x", parents=True)
    tree.link("/d", "/a/b/c")
    assert [path for path, _ in tree] == [b"/", b"/a", b"/d", b"/a/b", b"/a/b/c"]
    assert dict(tree)[b"/d"] is tree["/a/b/c"]
    assert len(tree) == 5 == len(list(tree))
    assert len(Tree()) == 1 and Tree()
    assert "/a/b" in tree and b"a//b/" in tree and "/b" not in tree


def test_reprs_of_trees_nodes_and_layouts() -> None:
    tree = Tree()
    tree.file("/a/file", b"x" * 70, parents=True, uid=5, xattrs={b"user.a": b"b"})
    tree.symlink("/link", "a")
    tree.device("/null", "c", 1, 3)
    assert repr(tree) == "<Tree of 5 paths>"
    assert repr(tree["/a/file"]) == (
        "<RegularFile 70 bytes mode=0o644 uid=5 xattrs={b'user.a': b'b'}>"
    )
    assert repr(tree["/a"]) == "<Directory 1 name mode=0o755 uid=5>"
    assert repr(tree["/link"]) == "<Symlink to b'a' mode=0o777>"
    assert repr(tree["/null"]) == "<CharacterDevice 1:3 mode=0o600>"
    tree.losses.append(Loss(b"/a", "is lost"))
    assert repr(tree) == "<Tree of 5 paths, 1 loss>" and repr(Tree()) == "<Tree of 1 path>"
    tree.losses.append(Loss(b"/a", "is lost as well"))
    assert repr(tree) == "<Tree of 5 paths, 2 losses>"
    assert repr(RegularFile(BytesContent(b"x"))) == "<RegularFile 1 byte mode=0o644>"
    layout = plan(tree, Spec(label="root"))
    for word in ("b'root'", str(layout.uuid), f"{layout.size_bytes} bytes"):
        assert word in repr(layout)


def test_the_error_for_a_wrong_node_is_a_tree_error() -> None:
    with pytest.raises(TreeError) as caught:
        plan(direct(mode=None))
    assert caught.value.path == b"/file"


def test_sources_are_listed() -> None:
    assert set(dir(sources)) >= {"directory", "tar", "oci", "docker_archive", "manifest", "nar"}
    assert set(sources.__all__) == set(dir(sources))


def test_the_grammar_of_overrides_is_public() -> None:
    text = inspect.getdoc(Override)
    assert text is not None
    for record in ("superblock", "group_desc", "inode", "extent", "dir_entry_2", "xattr_entry"):
        assert f"{record}[" in text or f"{record}." in text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("64M", 64 << 20),
        ("64MiB", 64 << 20),
        ("64 MiB", 64 << 20),
        ("64mib", 64 << 20),
        ("1.5G", 3 << 29),
        ("0.5K", 512),
        ("317.4 MiB", 332818432),
        ("0.7K", 1024),
        ("332,861,440 bytes", 332861440),
        ("332,861,440", 332861440),
        ("1023 bytes", 1023),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["64MB", "64 M", "1,5G", "1,00", "-5", "5s", "1e6", ".5M", "5.M", "1..5M", "٣", "5 "]
)
def test_text_that_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


class _Odd(RegularFile):
    file_type = Fifo.file_type


class _Unknown(Fifo):
    file_type = 0o170000


class _Negative(Fifo):
    file_type = -1


class _Hidden(Directory):
    file_type = Fifo.file_type


class _NoDirectory(Fifo):
    file_type = Directory.file_type


class _SizedBy(BytesContent):
    def __init__(self, size: Any) -> None:
        super().__init__(b"")
        self.size = size


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (Node(0o644), "of the class Node, which is not a kind of file; use one of Directory"),
        (_Odd(BytesContent(b"x")), "of the class _Odd, a RegularFile, and has the file_type"),
        (_Unknown(0o644), "of the class _Unknown, a Fifo"),
        (_Negative(0o644), "of the class _Negative, a Fifo"),
        (_Hidden(), "of the class _Hidden, a Directory"),
        (_NoDirectory(0o644), "of the class _NoDirectory, a Fifo"),
        *((RegularFile(_SizedBy(size)), "has the size") for size in (1.5, None, "5")),
    ],
)
def test_nodes_of_no_kind(node: Node, words: str) -> None:
    tree = Tree()
    tree.directory("/d")
    tree.root.children[b"d"].children[b"x"] = node  # type: ignore[attr-defined]
    with pytest.raises(TreeError, match="^/d/x: ") as caught:
        plan(tree)
    assert words in str(caught.value)


def test_node_classes_of_the_caller() -> None:
    class Marked(RegularFile):
        pass

    tree = Tree()
    tree.root.children[b"x"] = Marked(BytesContent(b"x"))
    assert plan(tree).entries["file"] == 1


@pytest.mark.parametrize("children", [None, [1], "text"])
def test_children_that_are_not_a_mapping_are_refused(children: Any) -> None:
    tree = Tree()
    tree.directory("/d")
    tree["/d"].children = children  # type: ignore[attr-defined]
    with pytest.raises(TreeError, match="^/d: has .* as children"):
        plan(tree)


def test_a_root_that_is_not_a_directory_is_refused() -> None:
    tree = Tree()
    tree.root = RegularFile(BytesContent(b""))  # type: ignore[assignment]
    with pytest.raises(TreeError, match="^/: .* the root must be a directory"):
        plan(tree)


@pytest.mark.parametrize("name", ["mtime_ns", "atime_ns", "ctime_ns", "crtime_ns"])
@pytest.mark.parametrize("seconds", [1_700_000_000.5, -5.0, 1_700_000_000_000.0])
def test_seconds_in_place_of_nanoseconds_are_refused(name: str, seconds: float) -> None:
    """``time.time()`` returns such values, as do millisecond clocks; in nanoseconds it was 1970."""
    tree = Tree()
    with pytest.raises(TreeError, match=rf"^/f: {name}: .*; give int\(seconds \* 10\*\*9\)"):
        tree.file("/f", b"", **{name: seconds})  # type: ignore[arg-type]
    setattr(tree.file("/f", b""), name, seconds)
    with pytest.raises(TreeError, match=rf"^/f: {name}: "):
        plan(tree)


def test_nanoseconds_in_place_of_seconds_are_refused() -> None:
    with pytest.raises(SpecError, match="^seconds: 1700000000000000000 would be .* give seconds"):
        filters.set_all_times(Tree(), 1_700_000_000_000_000_000)
    with pytest.raises(SpecError, match="^epoch: "):
        Spec(epoch=1_700_000_000_000_000_000)


def test_the_error_for_a_wrong_attribute_names_the_node() -> None:
    tree = Tree()
    node = tree.file("/f", b"abc")
    for name in ("project", "flags"):
        with pytest.raises(
            SpecError, match=rf"^{name}: None .*; 0 is none, in <RegularFile 3 bytes"
        ):
            setattr(node, name, None)

    def change(path: bytes, node: Node) -> Node:
        if path == b"/f":
            node.project = None  # type: ignore[assignment]
        return node

    with pytest.raises(TreeError, match="^/f: project: None is no whole number"):
        filters.apply(tree, change)


def test_contents_are_shown_with_name_and_size(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    tree = Tree()
    tree.file("/called", lambda: [b"a"], size=1)
    called = tree["/called"]
    scanned = sources.directory(tmp_path)["/f"]
    assert isinstance(called, RegularFile) and isinstance(scanned, RegularFile)
    shown = {
        repr(BytesContent(b"abc")): "<BytesContent of 3 bytes>",
        repr(PathContent(path)): f"<PathContent '{path}' of 5 bytes>",
        repr(PathSliceContent(path, 1, 1)): f"<PathSliceContent '{path}' of 1 byte>",
        repr(called.content): "<CallableContent '/called' of 1 byte>",
        repr(scanned.content): f"<HostFile '{path}' of 5 bytes>",
    }
    assert list(shown) == list(shown.values())


def test_help_of_a_spec_begins_with_a_short_line_and_editors_know_all_options() -> None:
    text = pydoc.render_doc(Spec, renderer=pydoc.plaintext)
    assert " |  Spec(**options)\n" in text
    assert max(map(len, text.partition("Methods defined")[0].splitlines())) <= 110
    assert list(inspect.signature(Spec).parameters) == [each.name for each in fields(Spec)]


def test_an_invalid_digest_is_named() -> None:
    for digest in ("a\0b", "sha257"):
        with pytest.raises(SpecError, match="^digest: "):
            manifests.write_mtree(Tree(), io.BytesIO(), unpacked=True, digest=digest)
