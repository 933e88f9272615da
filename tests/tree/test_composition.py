"""Trees overlaid, moved, copied and filtered, compared with a model of flat mappings."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import (
    DeclaredSizeError,
    Directory,
    Loss,
    Node,
    PathSliceContent,
    RegularFile,
    SourceError,
    Spec,
    Symlink,
    Tree,
    TreeError,
    sources,
    write_image,
)
from ext4writer.edit import filters
from tests.conftest import MakeImage
from tests.judges.cost import assert_linear

Model = dict[bytes, tuple[str, int, object]]
"""Path -> kind, mode, and whether a directory is implied, or the hard-link group of a file."""

NAMES = [b"a", b"b", b"c"]


def model_of(tree: Tree) -> Model:
    groups: dict[Node, bytes] = {}
    found: Model = {}
    for path, node in tree.walk():
        if isinstance(node, Directory):
            found[path] = ("directory", node.mode, node.implied)
        else:
            found[path] = ("file", node.mode, groups.setdefault(node, path))
    return found


def grouped(model: Model) -> Model:
    """``model`` with each group of hard links named by its first path."""
    first: dict[object, bytes] = {}
    return {
        path: (kind, mode, first.setdefault(more, path) if kind == "file" else more)
        for path, (kind, mode, more) in sorted(model.items(), key=lambda row: walk_key(row[0]))
    }


def walk_key(path: bytes) -> tuple[object, ...]:
    """Sorts paths like ``Tree.walk``: all names of a directory, then what is below them."""
    names = path.split(b"/")[1:] if path != b"/" else []
    return (*(part for name in names[:-1] for part in (1, name)), 0, *names[-1:])


def over(lower: Model, upper: Model, at: bytes = b"") -> Model:
    """The rule of ``Tree.overlay``, stated again for flat mappings."""
    result = dict(lower)
    for path, (kind, mode, more) in upper.items():
        place = (at + path).rstrip(b"/") or b"/"
        there = result.get(place)
        if kind == "directory" and there is not None and there[0] == "directory":
            if there[2] or not more:
                result[place] = (kind, mode, more)
            continue
        result = {name: row for name, row in result.items() if not name.startswith(place + b"/")}
        result[place] = (kind, mode, more if kind == "directory" else (b"upper", more))
    return result


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Small trees with many common paths, hard links and implied directories."""
    tree = Tree(Directory(draw(st.integers(0, 7)), implied=draw(st.booleans())))
    directories = [b""]
    files: list[bytes] = []
    for _ in range(draw(st.integers(0, 8))):
        path = draw(st.sampled_from(directories)) + b"/" + draw(st.sampled_from(NAMES))
        if path in tree:
            continue
        mode = draw(st.integers(0, 0o777))
        kind = draw(st.sampled_from("dfl" if files else "df"))
        if kind == "d":
            tree.add(path, Directory(mode, implied=draw(st.booleans())))
            directories.append(path)
        elif kind == "f":
            tree.file(path, b"", mode=mode)
            files.append(path)
        else:
            tree.link(path, draw(st.sampled_from(files)))
    return tree


@settings(deadline=None, max_examples=400)
@given(trees(), trees(), st.booleans())
def test_overlay_matches_the_model(lower: Tree, upper: Tree, copy: bool) -> None:
    before = model_of(upper)
    expected = grouped(over(model_of(lower), before))
    assert lower.overlay(upper, copy=copy) is lower
    assert model_of(lower) == expected
    if copy:
        assert model_of(upper) == before
        assert not {node for _, node in lower.walk()} & {node for _, node in upper.walk()}


@settings(deadline=None, max_examples=200)
@given(trees(), trees(), st.lists(st.sampled_from(NAMES), min_size=1, max_size=3))
def test_overlay_into_a_folder(lower: Tree, upper: Tree, names: list[bytes]) -> None:
    expected = model_of(lower)
    for depth in range(1, len(names)):
        above = b"/" + b"/".join(names[:depth])
        kind = expected.setdefault(above, ("directory", 0o755, True))[0]
        if kind != "directory":
            with pytest.raises(TreeError, match="not a directory"):
                lower.overlay(upper, b"/".join(names))
            return
    at = b"/" + b"/".join(names)
    assert model_of(lower.overlay(upper, at)) == grouped(over(expected, model_of(upper), at))


@settings(deadline=None, max_examples=200)
@given(trees(), st.data())
def test_a_subtree_is_a_copy(tree: Tree, data: st.DataObject) -> None:
    places = [path for path, node in tree.walk() if isinstance(node, Directory)]
    place = data.draw(st.sampled_from(places))
    before = model_of(tree)
    below = {
        path.removeprefix(place.rstrip(b"/")) or b"/": row
        for path, row in before.items()
        if path == place or path.startswith(place.rstrip(b"/") + b"/")
    }
    part = tree.subtree(place)
    assert model_of(part) == grouped(below)
    filters.set_owner(part, 7, 7)
    for name in list(part.root.children):
        part.remove(name)
    assert model_of(tree) == before
    assert {node.uid for _, node in tree.walk()} == {0}


def small() -> Tree:
    tree = Tree()
    tree.directory("/etc", mode=0o700, uid=5)
    tree.file("/etc/hosts", b"old", mode=0o600)
    tree.link("/hosts", "/etc/hosts")
    tree.symlink("/lib", "etc")
    return tree


def test_the_later_wins_whatever_its_kind() -> None:
    upper = Tree()
    upper.directory("/etc/hosts", parents=True, mode=0o711)
    upper.file("/etc/hosts/new", b"new")
    upper.file("/lib", b"was a link")
    tree = small().overlay(upper)
    assert [path for path, _ in tree.walk()] == [
        *(b"/", b"/etc", b"/hosts", b"/lib", b"/etc/hosts", b"/etc/hosts/new"),
    ]
    assert (tree["/etc"].mode, tree["/etc"].uid) == (0o711, 0)
    assert isinstance(tree["/lib"], RegularFile) and isinstance(tree["/hosts"], RegularFile)


def test_an_implied_directory_leaves_attributes_alone() -> None:
    upper = Tree(Directory(implied=True))
    upper.add("/etc", Directory(implied=True))
    upper.file("/etc/new", b"")
    upper.add("/var", Directory(implied=True))
    tree = small()
    tree.root.mode = 0o750
    tree.overlay(upper)
    assert (tree.root.mode, tree["/etc"].mode, tree["/etc"].uid) == (0o750, 0o700, 5)
    assert (tree["/var"].mode, tree["/var"].uid, tree["/var"].mtime_ns) == (0o755, 0, 0)


def test_created_parents_have_no_current_time() -> None:
    tree = small().overlay(small(), "/opt/vendor/part")
    for path in ("/opt", "/opt/vendor"):
        node = tree[path]
        assert (node.mode, node.uid, node.gid, node.mtime_ns) == (0o755, 0, 0, 0)
    assert tree["/opt/vendor/part/hosts"] is tree["/opt/vendor/part/etc/hosts"]
    assert tree["/opt/vendor/part/hosts"] is not tree["/hosts"]


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("/hosts/x/y", "/hosts is not a directory"),
        ("/etc/hosts/z", "/etc/hosts is not a directory"),
        ("/gone/x", "/nothing, reached through the symbolic link /gone to nothing, does not exist"),
        ("/round/x", "the symbolic link /round to round leads through more than 40 links"),
        (
            "/etc/file/x/y",
            "/hosts, reached through the symbolic link /etc/file to ../hosts, is not",
        ),
    ],
)
def test_files_and_links_to_none_on_the_way_are_refused(place: str, problem: str) -> None:
    tree = small()
    for path, target in (("/gone", "nothing"), ("/round", "round"), ("/etc/file", "../hosts")):
        tree.symlink(path, target)
    with pytest.raises(TreeError) as caught:
        tree.overlay(Tree(), place)
    assert problem in str(caught.value)
    with pytest.raises(TreeError, match="cannot be the name"):
        small().overlay(Tree(), "/etc/../etc")


def test_losses_of_replaced_paths_are_removed() -> None:
    lower, upper = small(), Tree(Directory(implied=True))
    lower.losses = [Loss(path, "x") for path in (b"/etc/hosts", b"/etc/gone", b"/hosts", b"/")]
    upper.add("/etc", Directory(implied=True))
    upper.file("/etc/hosts", b"new")
    upper.losses = [Loss(b"/etc/other", "y"), Loss(b"/", "z")]
    lower.overlay(upper)
    assert lower.losses == [
        *(Loss(path, "x") for path in (b"/etc/gone", b"/hosts", b"/")),
        *(Loss(b"/etc/other", "y"), Loss(b"/", "z")),
    ]
    assert lower.subtree("/etc").losses == [Loss(b"/gone", "x"), Loss(b"/other", "y")]
    lower.move("/etc", "/usr")
    assert Loss(b"/usr/gone", "x") in lower.losses
    lower.remove("/usr")
    assert lower.losses == [Loss(b"/hosts", "x"), Loss(b"/", "x"), Loss(b"/", "z")]
    assert Tree().overlay(lower, "/at").losses[0] == Loss(b"/at/hosts", "x")


def test_moving_and_removing() -> None:
    tree = small()
    moved = tree["/etc"]
    assert tree.move("/etc", "/usr") is moved
    assert tree["/usr/hosts"] is tree["/hosts"] and "/etc" not in tree
    assert tree.remove("/usr") is moved
    assert "/usr/hosts" not in tree and "/hosts" in tree
    for wrong in (
        lambda: tree.move("/nowhere", "/x"),
        lambda: tree.move("/hosts", "/lib"),
        lambda: tree.move("/hosts", "/no/parent"),
        lambda: tree.move("/hosts", "/hosts/inside"),
        lambda: tree.move("/", "/x"),
        lambda: tree.remove("/nowhere"),
        lambda: tree.remove("/"),
        lambda: tree.subtree("/nowhere"),
        lambda: tree.subtree("/hosts"),
    ):
        with pytest.raises(TreeError):
            wrong()
    assert set(tree.root.children) == {b"hosts", b"lib"}


def test_a_deep_tree_needs_no_stack() -> None:
    tree = Tree()
    node = tree.root
    for _ in range(20_000):
        deeper = Directory()
        node.children[b"d"] = deeper
        node = deeper
    tree.overlay(tree.copy(), copy=False).overlay(tree)
    depth, node = 0, tree.root
    while b"d" in node.children:
        below = node.children[b"d"]
        assert isinstance(below, Directory)
        depth, node = depth + 1, below
    assert depth == 20_000


class TestFilters:
    def test_a_filter_is_called_once_per_node(self) -> None:
        asked: list[bytes] = []

        def change(path: bytes, node: Node) -> Node:
            asked.append(path)
            node.uid += 1000
            return node

        tree = small()
        assert filters.apply(tree, change) is tree
        assert asked == [b"/", b"/etc", b"/hosts", b"/lib"]
        assert tree["/hosts"].uid == 1000 and tree["/etc"].uid == 1005

    def test_a_replacement_gets_all_names_of_the_node(self) -> None:
        tree = small()
        filters.apply(
            tree, lambda path, node: Symlink(b"x") if isinstance(node, RegularFile) else node
        )
        assert isinstance(tree["/hosts"], Symlink) and tree["/hosts"] is tree["/etc/hosts"]

    def test_dropping_a_directory_drops_what_is_below(self) -> None:
        tree = small()
        tree.losses = [Loss(b"/etc/x", "lost"), Loss(b"/etcetera", "lost")]
        asked: list[bytes] = []

        def change(path: bytes, node: Node) -> Node | None:
            asked.append(path)
            return None if path == b"/etc" else node

        filters.apply(tree, change)
        assert set(tree.root.children) == {b"hosts", b"lib"}
        assert b"/etc/hosts" not in asked
        assert tree.losses == [Loss(b"/etcetera", "lost")]

    def test_dropping_a_node_drops_all_its_names(self) -> None:
        tree = small()
        filters.apply(tree, lambda path, node: None if path == b"/hosts" else node)
        assert "/etc/hosts" not in tree

    def test_filters_are_not_called_for_new_nodes(self) -> None:
        tree = small()

        def change(path: bytes, node: Node) -> Node:
            if path == b"/lib":
                node = Directory()
                node.children[b"new"] = Symlink(b"x")
            assert path != b"/lib/new"
            return node

        assert isinstance(filters.apply(tree, change)["/lib/new"], Symlink)

    def test_the_root_stays_a_directory(self) -> None:
        for answer in (None, Symlink(b"x")):
            with pytest.raises(TreeError, match="root"):
                filters.apply(small(), lambda path, node: answer)  # noqa: B023
        with pytest.raises(TreeError, match="several names"):
            filters.apply(
                small(),
                lambda path, node: Directory() if isinstance(node, RegularFile) else node,
            )

    def test_excluding_goes_by_name(self) -> None:
        tree = small()
        tree.losses = [Loss(b"/etc/hosts", "lost"), Loss(b"/hosts", "lost")]
        assert filters.exclude(tree, ["etc/ho*"]) is tree
        assert "/hosts" in tree and "/etc/hosts" not in tree and "/etc" in tree
        assert tree.losses == [Loss(b"/hosts", "lost")]
        filters.exclude(tree, ["lib", "etc"])
        assert set(tree.root.children) == {b"hosts"}
        assert filters.exclude(tree, []) is tree


def pieces(size: int) -> Iterator[bytes]:
    """``size`` bytes in pieces of growing length, some of them empty."""
    position = step = 0
    while position < size:
        piece = bytes(byte % 251 + 1 for byte in range(position, min(position + step * 13, size)))
        yield piece
        position += len(piece)
        step += 1


@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
def test_one_image_from_every_kind_of_content(
    size: int, make_image: MakeImage, tmp_path: Path
) -> None:
    data = b"".join(pieces(size))
    (tmp_path / "data").write_bytes(data)
    images = []
    for content in (data, tmp_path / "data", partial(open, tmp_path / "data", "rb")):
        tree = Tree()
        tree.file("/data", content, size=size)
        images.append(make_image(tree, name=f"image{len(images)}").read_bytes())
    tree = Tree()
    tree.file("/data", lambda: pieces(size), size=size)
    images.append(make_image(tree, name="pieces").read_bytes())
    for number, iterable in enumerate((pieces(size), list(pieces(size)), io.BytesIO(data))):
        tree = Tree()
        tree.file("/data", iterable, size=size)
        images.append(make_image(tree, name=f"iterable{number}").read_bytes())
        images.append(make_image(tree, name=f"again{number}").read_bytes())
    assert len(set(images)) == 1


@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
def test_a_slice_of_a_file_is_like_the_bytes(
    size: int, make_image: MakeImage, tmp_path: Path
) -> None:
    """With holes of the host around it and inside it."""
    data = b"".join(pieces(size)) + bytes(size)
    host = tmp_path / "host"
    with host.open("wb") as file:
        file.seek(100_001)
        file.write(data.rstrip(b"\0"))
        file.truncate(100_001 + len(data) + 100_000)
    images = []
    for content in (data, PathSliceContent(host, 100_001, len(data))):
        tree = Tree()
        tree.file("/data", content)
        images.append(make_image(tree, name=f"image{len(images)}").read_bytes())
    assert images[0] == images[1]
    if size:
        os.truncate(host, 100_001 + len(data) - 1)
        held = f"host: its declared size is {len(data)}, but it holds {len(data) - 1};"
        with pytest.raises(DeclaredSizeError, match=held):
            write_image(tree, bytearray(), Spec())
    host.unlink()
    if size:
        with pytest.raises(SourceError, match="host: cannot be read: No such file"):
            write_image(tree, bytearray(), Spec())


@pytest.mark.parametrize("workers", [1, 4])
def test_a_generator_has_the_holes_of_its_bytes(make_image: MakeImage, workers: int) -> None:
    """Several threads copy what is larger than one of them reads at a time."""
    parts = [b"start", bytes(1 << 20), b"middle" * 12_000_000, bytes((1 << 20) + 5)]
    size = sum(map(len, parts))
    images = []
    for content in (b"".join(parts), (part for part in parts)):
        tree = Tree()
        tree.file("/data", content, size=size)
        tree.link("/again", "/data")
        image = make_image(tree, name=f"image{len(images)}", workers=workers, level="quick")
        images.append(image.read_bytes())
    assert images[0] == images[1]


@pytest.mark.parametrize("one_shot", [False, True])
def test_a_generator_of_the_wrong_size_is_an_error(one_shot: bool) -> None:
    for size in (99, 101, 400_000):
        tree = Tree()
        tree.file("/data", pieces(100) if one_shot else lambda: pieces(100), size=size)
        with pytest.raises(DeclaredSizeError, match=f"/data: its declared size is {size}"):
            write_image(tree, bytearray(), Spec())


def test_a_failing_generator_is_an_error() -> None:
    def failing() -> Iterator[bytes]:
        yield b"x"
        raise OSError(5, "broken wire")

    for content in (failing, failing()):
        tree = Tree()
        tree.file("/data", content, size=2)
        with pytest.raises(SourceError, match="/data: .*broken wire"):
            write_image(tree, bytearray(), Spec())
    with pytest.raises(SourceError, match="/data: .*only once"):
        write_image(tree, bytearray(), Spec())


def test_a_generator_needs_its_size() -> None:
    for content in (lambda: pieces(5), pieces(5), list(pieces(5))):
        with pytest.raises(TreeError, match="/data: .* needs size="):
            Tree().file("/data", content)


def test_an_endless_generator_is_closed_early() -> None:
    tree = Tree()
    tree.file("/data", itertools.repeat(b"x"), size=1000)
    with pytest.raises(DeclaredSizeError, match="is 1000, but it holds more"):
        write_image(tree, bytearray(), Spec())


# -- overlays over links ---------------------------------------------------------------------------


TARGETS = [b"a", b"b", b"c", b"a/b", b"../a", b"..", b"/b", b"/a/c", b".", b"/", b"b/", b"x"]


@st.composite
def linked_trees(draw: st.DrawFn) -> Tree:
    """Small trees of directories, files and links with arbitrary targets."""
    tree = Tree(Directory(implied=draw(st.booleans())))
    directories = [b""]
    for _ in range(draw(st.integers(1, 9))):
        path = draw(st.sampled_from(directories)) + b"/" + draw(st.sampled_from(NAMES))
        if path in tree:
            continue
        kind = draw(st.sampled_from("dddffl"))
        if kind == "d":
            tree.add(path, Directory(implied=draw(st.booleans())))
            directories.append(path)
        elif kind == "f":
            tree.file(path, path)
        else:
            tree.symlink(path, draw(st.sampled_from(TARGETS)))
    return tree


def led_to(tree: Tree, path: bytes, followed: int = 40) -> Node | None:
    """What a kernel with that root finds at ``path``, without following the last name."""
    names = [name for name in path.split(b"/") if name]
    way: list[Directory] = [tree.root]
    for depth, name in enumerate(names, 1):
        if name == b".":
            continue
        if name == b"..":
            del way[1 if len(way) == 1 else -1 :]
            continue
        node = way[-1].children.get(name)
        if depth == len(names):
            return node
        if isinstance(node, Symlink):
            if not followed:
                return None
            rest = b"/".join(names[depth:])
            if not node.target.startswith(b"/"):
                here = b"/".join(place_names(tree, way))
                return led_to(tree, here + b"/" + node.target + b"/" + rest, followed - 1)
            return led_to(tree, node.target + b"/" + rest, followed - 1)
        if not isinstance(node, Directory):
            return None
        way.append(node)
    return way[-1]


def place_names(tree: Tree, way: list[Directory]) -> list[bytes]:
    names = []
    for above, node in itertools.pairwise(way):
        names.append(next(name for name, child in above.children.items() if child is node))
    return names


def is_told(losses: list[Loss], path: bytes) -> bool:
    """Whether a loss is for ``path`` or a directory above it, or its text names one of these."""
    names = path.split(b"/")
    above = [b"/".join(names[:depth]) for depth in range(2, len(names) + 1)]
    return any(
        loss.path in above or any(one.decode() in loss.what.split() for one in above)
        for loss in losses
    )


@settings(deadline=None, max_examples=600)
@given(linked_trees(), linked_trees(), st.booleans())
def test_reachable_files_stay_reachable_or_are_reported(
    lower: Tree, upper: Tree, keep: bool
) -> None:
    mine = {path: node for path, node in lower.walk() if not isinstance(node, Directory)}
    others = list(upper.walk())[1:]
    above = {node for _, node in others}
    lower.overlay(upper, copy=False, keep_directory_symlink=keep)
    # A link that is replaced, and reported, may have been part of other links' paths.
    link_is_gone = any(loss.what.startswith("the symbolic link to") for loss in lower.losses)
    for path, node in mine.items():
        now = lower[path] if path in lower else None  # noqa: SIM401 a Tree has no get
        replaced = now in above and type(now) is type(node)
        assert now is node or replaced or is_told(lower.losses, path), path
    for path, node in others:
        now = led_to(lower, path)
        if isinstance(node, Directory):
            if isinstance(now, Symlink):
                now = led_to(lower, path + b"/.")
            assert isinstance(now, Directory) or link_is_gone or is_told(lower.losses, path), path
        else:
            assert now is node or link_is_gone or is_told(lower.losses, path), path


@settings(deadline=None, max_examples=300)
@given(linked_trees(), linked_trees(), st.booleans(), st.randoms(use_true_random=False))
def test_an_overlay_does_not_depend_on_the_order_of_names(
    lower: Tree, upper: Tree, keep: bool, random: Random
) -> None:
    outcomes = []
    for _ in range(3):
        tree = lower.copy().overlay(upper, keep_directory_symlink=keep)
        outcomes.append(
            (
                [
                    (path, node.file_type, getattr(node, "target", b""))
                    for path, node in tree.walk()
                ],
                sorted((loss.path, loss.what) for loss in tree.losses),
            )
        )
        for one in (lower, upper):
            for _, node in list(one.walk()):
                if isinstance(node, Directory):
                    shuffled = list(node.children.items())
                    random.shuffle(shuffled)
                    node.children = dict(shuffled)
    assert outcomes[0] == outcomes[1] == outcomes[2]


def of_what(tree: Tree, path: bytes) -> tuple[int, Node]:
    """How many leading names of ``path`` exist in the tree, and the node of the last one."""
    node: Node = tree.root
    names = [name for name in path.split(b"/") if name]
    for depth, name in enumerate(names):
        child = node.children.get(name) if isinstance(node, Directory) else None
        if child is None:
            return depth, node
        node = child
    return len(names), node


LOST = st.lists(
    st.lists(st.sampled_from(NAMES), max_size=4).map(lambda names: b"/" + b"/".join(names))
)


@settings(deadline=None, max_examples=150)
@given(
    linked_trees(),
    LOST,
    st.lists(st.tuples(linked_trees(), LOST, st.sampled_from(["/", "/a", "/b/c"])), max_size=4),
)
def test_losses_stay_while_they_are_true(
    tree: Tree, lost: list[bytes], overlays: list[tuple[Tree, list[bytes], str]]
) -> None:
    """Losses of replaced nodes, and of a directory that gets other attributes, are removed."""
    numbers = itertools.count(1)

    def losses(paths: list[bytes]) -> list[Loss]:
        return [Loss(path, str(next(numbers))) for path in paths]

    tree.losses += losses(lost)
    for upper, upper_lost, at in overlays:
        for _, node in upper.walk():
            node.uid = next(numbers)
        upper.losses += losses(upper_lost)
        before = [(loss, *of_what(tree, loss.path)) for loss in tree.losses]
        owners = {node: node.uid for _, node in tree.walk()}
        try:
            tree.overlay(upper, at, copy=False)
        except TreeError:
            assert tree.losses == [loss for loss, _, _ in before]
            continue
        kept = []
        for loss, depth, node in before:
            depth_now, now = of_what(tree, loss.path)
            implied = isinstance(now, Directory) and now.implied
            restated = owners.get(now) != now.uid and not implied
            left_out = depth < len([name for name in loss.path.split(b"/") if name])
            if implied if depth_now > depth else now is node and (left_out or not restated):
                kept.append(loss)
        assert tree.losses[: len(kept)] == kept
        added = [loss.what for loss in tree.losses[len(kept) :]]
        assert added[: len(upper.losses)] == [loss.what for loss in upper.losses]
        assert not any(what.isdigit() for what in added[len(upper.losses) :])


def sources_that_lose(count: int, replaces: bool) -> list[Tree]:
    trees = []
    for number in range(count):
        tree = Tree(Directory(implied=True))
        tree.file("/same" if replaces else f"/{number}", b"")
        tree.losses.append(Loss(b"/same" if replaces else b"/%d" % number, "lost"))
        trees.append(tree)
    return trees


@pytest.mark.parametrize("replaces", [False, True])
def test_overlays_take_linear_time(replaces: bool) -> None:
    def run(count: int) -> Callable[[], object]:
        trees = sources_that_lose(count, replaces)

        def overlay() -> None:
            tree = Tree()
            for each in trees:
                tree.overlay(each, copy=False)
            assert len(tree.losses) == (1 if replaces else count)

        return overlay

    assert_linear(run, 1000)


def merged_usr() -> Tree:
    tree = Tree()
    tree.directory("/usr/lib/modules", parents=True)
    tree.file("/usr/lib/libc.so", b"C")
    tree.directory("/run")
    tree.directory("/var")
    for path, target in (
        ("/lib", "usr/lib"),
        ("/lib64", "lib"),
        ("/var/run", "/run"),
        ("/var/lib", "../../lib"),
        ("/gone", "nowhere"),
        ("/round", "round"),
        ("/file", "lib/libc.so"),
    ):
        tree.symlink(path, target)
    return tree


@pytest.mark.parametrize("implied", [False, True])
@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/lib/m.ko", "/usr/lib/m.ko"),
        ("/lib64/modules/m.ko", "/usr/lib/modules/m.ko"),
        ("/lib64/new/m.ko", "/usr/lib/new/m.ko"),
        ("/var/run/x", "/run/x"),
        ("/var/lib/x", "/usr/lib/x"),
    ],
)
def test_entries_below_a_link_go_to_its_target(path: str, place: str, implied: bool) -> None:
    upper = Tree(Directory(implied=implied))
    above = path.rpartition("/")[0]
    upper.directory(above, parents=True)
    for _, node in upper.walk():
        if isinstance(node, Directory):
            node.implied = implied
    upper.file(path, b"new")
    upper.losses.append(Loss(path.encode(), "not all of it"))
    tree = merged_usr().overlay(upper)
    assert isinstance(tree[place], RegularFile)
    assert isinstance(tree["/lib"], Symlink) and isinstance(tree["/var/run"], Symlink)
    assert tree.losses == [Loss(place.encode(), "not all of it")]


@pytest.mark.parametrize("at", ["/lib", "/lib64/", "/var/lib", "/lib/modules/x", "/var/run/a/b"])
def test_an_overlay_path_may_pass_through_links(at: str) -> None:
    upper = Tree()
    upper.file("/m.ko", b"new")
    upper.losses.append(Loss(b"/m.ko", "not all of it"))
    tree = merged_usr().overlay(upper, at)
    [place] = [path for path, node in tree.walk() if path.endswith(b"/m.ko")]
    assert place.startswith((b"/usr/lib/", b"/run/a/b/"))
    assert tree.losses == [Loss(place, "not all of it")]


def test_an_explicit_directory_replaces_a_link_on_request() -> None:
    for at in ("/", "/lib"):
        upper, stated = Tree(), "/lib" if at == "/" else "/"
        if at == "/":
            upper.directory("/lib")
        upper.file(f"{stated}/m.ko", b"new")
        tree = merged_usr().overlay(upper, at, keep_directory_symlink=False)
        assert isinstance(tree["/lib"], Directory)
        what = (
            f"the symbolic link to usr/lib is replaced by the directory {stated} of a later source"
        )
        assert tree.losses == [Loss(b"/lib", what)]
        upper["/" if at == "/lib" else "/lib"].implied = True  # type: ignore[attr-defined]
        tree = merged_usr().overlay(upper, at, keep_directory_symlink=False)
        assert "/usr/lib/m.ko" in tree and not tree.losses


@pytest.mark.parametrize("implied", [False, True])
@pytest.mark.parametrize(
    ("name", "target"), [("gone", "nowhere"), ("round", "round"), ("file", "lib/libc.so")]
)
def test_a_link_to_no_directory_is_replaced_and_reported(
    name: str, target: str, implied: bool
) -> None:
    upper = Tree()
    upper.add(f"/{name}", Directory(implied=implied))
    upper.file(f"/{name}/x", b"")
    tree = merged_usr().overlay(upper)
    assert isinstance(tree[f"/{name}/x"], RegularFile)
    what = f"the symbolic link to {target} is replaced by the directory /{name} of a later source"
    assert tree.losses == [Loss(f"/{name}".encode(), what)]


def test_replacement_by_another_kind_is_reported() -> None:
    upper = Tree()
    upper.directory("/usr")
    upper.file("/usr/lib", b"")
    upper.file("/lib", b"")
    upper.symlink("/run", "tmp")
    upper.symlink("/file", "other")  # overlays are meant to replace links by links
    tree = merged_usr().overlay(upper)
    by = "of a later source"
    assert sorted((loss.path, loss.what) for loss in tree.losses) == [
        (
            b"/lib",
            "the symbolic link to usr/lib is replaced by the regular file /lib of a later source",
        ),
        (
            b"/run",
            "the directory with 0 entries is replaced by the symbolic link /run of a later source",
        ),
        (
            b"/usr/lib",
            f"the directory with 2 entries is replaced by the regular file /usr/lib {by}",
        ),
    ]


def test_two_files_that_links_lead_to_one_path_are_reported() -> None:
    upper = Tree()
    upper.directory("/lib")
    upper.directory("/usr/lib", parents=True)
    upper.file("/lib/new", b"1")
    upper.file("/usr/lib/new", b"2")
    tree = merged_usr().overlay(upper, copy=False)
    assert tree["/usr/lib/new"] is upper["/lib/new"]
    what = (
        "the regular file /usr/lib/new of a later source is replaced by /lib/new of the same "
        "source: links bring both here"
    )
    assert tree.losses == [Loss(b"/usr/lib/new", what)]


def test_attributes_lost_because_of_a_link_are_reported() -> None:
    upper = Tree()
    upper.directory("/lib", mode=0o700)
    tree = merged_usr().overlay(upper)
    assert tree["/usr/lib"].mode == 0o755
    [loss] = tree.losses
    assert loss.path == b"/lib" and "mode, owner" in loss.what


def test_the_root_of_a_folder_is_that_of_the_first_source(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    tmp_path.chmod(0o700)
    folder = sources.directory(tmp_path)
    assert Tree().overlay(folder).root.mode == 0o700
    base = merged_usr()
    assert base.copy().overlay(folder).root.mode == 0o755
    assert base.copy().overlay(folder.copy(), root_attributes=True).root.mode == 0o700
    assert base.copy().overlay(folder, "/run").root.mode == 0o755
    assert base.copy().overlay(folder, "/run")["/run"].mode == 0o700
    stated = Tree(Directory(0o711))
    assert base.copy().overlay(stated).root.mode == 0o711
    assert base.copy().overlay(stated, root_attributes=False).root.mode == 0o755
    assert base.overlay(Tree(Directory(0o711, implied=True))).root.mode == 0o755
