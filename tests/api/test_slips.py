"""Any wrong argument of any public function gets an answer of one line."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from uuid import UUID

import pytest

import ext4writer
from ext4writer import (
    Content,
    Ext4WriterError,
    FeatureSet,
    LayoutPolicy,
    OutputError,
    SourceError,
    Spec,
    SpecError,
    Tree,
    TreeError,
    damage,
    delta,
    distributed,
    fuzzing,
    manifests,
    nbd,
    nix,
    read,
    sources,
    virtual,
    watchers,
)
from ext4writer.edit import filters
from ext4writer.edit.rules import apply_rules
from ext4writer.errors import one_line
from tests.makers import containers

HALF = "\ud800"
"""Half of a surrogate pair, which encodes to no bytes."""
WRONG: tuple[Any, ...] = (5, "x", b"x", None, object(), -1, 1.5, [], {}, HALF, True)

MODULES = (
    ext4writer,
    sources,
    filters,
    nix,
    read,
    damage,
    manifests,
    delta,
    fuzzing,
    distributed,
    watchers,
    nbd,
    virtual,
)


class Call(NamedTuple):
    function: Callable[..., Any]
    valid: Mapping[str, Any] = {}
    """Valid arguments; those with defaults may be omitted."""
    own: tuple[str, ...] = ()
    """Further keywords, which are not listed in its signature."""


def small() -> Tree:
    tree = Tree()
    tree.file("/a", b"a", mode=0o644)
    tree.directory("/d")
    tree.symlink("/l", "a")
    return tree


SPEC = Spec(size="256K", journal="none")
SPEC_OF_JOURNAL = Spec(size="1M", journal_device=True)


class ImmediateExecutor(Executor):
    """Runs each task immediately, in this process."""

    def submit(self, work: Any, /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **options))
        except BaseException as error:
            future.set_exception(error)
        return future


EMPTY = ext4writer.BytesContent(b"")
ATTRIBUTES = ("mode", "uid", "gid", "mtime_ns", "atime_ns", "crtime_ns", "xattrs", "flags")


class Prepared:
    """Files and objects for the calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = small()
        self.layout = ext4writer.plan(self.tree, SPEC)
        self.with_journal = ext4writer.plan(self.tree, SPEC_OF_JOURNAL)
        self.bytes = b"".join(ext4writer.iter_layout(self.layout))
        (folder / "image").write_bytes(self.bytes)
        self.layout.save("plan")
        oci = containers.Layout(folder / "oci")
        oci.index([oci.image([archive()])])
        containers.docker_archive(folder / "docker.tar", [archive()])
        with open(folder / "n.nar", "wb") as file:
            file.write(nar())
        (folder / "empty").write_bytes(b"")
        (folder / "in").mkdir()
        (folder / "in" / "f").write_bytes(b"f")
        (folder / "archive.tar").write_bytes(archive())
        (folder / "m").write_text("#mtree\n. type=dir\n")

    def calls(self) -> dict[str, Callable[[], Call]]:
        """Name -> a call that works. Each call creates the objects that it changes."""
        folder, layout = self.folder, self.layout
        image = {"tree": self.tree, "spec": SPEC}
        return {
            "plan": lambda: Call(ext4writer.plan, image),
            "write_image": lambda: Call(ext4writer.write_image, {**image, "output": bytearray()}),
            "write_layout": lambda: Call(
                ext4writer.write_layout, {"layout": layout, "output": bytearray()}
            ),
            "write_journal": lambda: Call(
                ext4writer.write_journal, {"layout": self.with_journal, "output": bytearray()}
            ),
            "iter_image": lambda: Call(ext4writer.iter_image, image),
            "iter_layout": lambda: Call(ext4writer.iter_layout, {"layout": layout}),
            "open_image": lambda: Call(ext4writer.open_image, image),
            "policy": lambda: Call(ext4writer.policy, {"text": "default"}),
            "RandomPolicy": lambda: Call(ext4writer.RandomPolicy, {"seed": 5}),
            "ProcessPool": lambda: Call(ext4writer.ProcessPool, {"processes": 1}),
            "BytesContent": lambda: Call(ext4writer.BytesContent, {"data": b"a"}),
            "PathContent": lambda: Call(ext4writer.PathContent, {"path": "in/f"}),
            "PathSliceContent": lambda: Call(
                ext4writer.PathSliceContent, {"path": "in/f", "offset": 0, "size": 1}
            ),
            "CallableContent": lambda: Call(
                ext4writer.CallableContent, {"opener": lambda: [b"a"], "size": 1}
            ),
            "IteratorContent": lambda: Call(
                ext4writer.IteratorContent, {"pieces": iter([b"a"]), "size": 1}
            ),
            "Compression": lambda: Call(ext4writer.Compression),
            "FeatureSet": lambda: Call(ext4writer.FeatureSet),
            "FeatureSet.of": lambda: Call(lambda name: FeatureSet.of(*[name]), {"name": "extent"}),
            "FeatureSet.parse": lambda: Call(
                ext4writer.FeatureSet.parse, {"text": "extent", "base": ext4writer.FeatureSet()}
            ),
            "FeatureSet.needing": lambda: Call(FeatureSet().needing, {"name": "extent"}),
            "FeatureSet.with_": lambda: Call(
                lambda name: ext4writer.FeatureSet().with_(name), {"name": "extent"}
            ),
            "FeatureSet.without": lambda: Call(
                lambda name: ext4writer.FeatureSet().without(name), {"name": "extent"}
            ),
            "Override": lambda: Call(
                ext4writer.Override,
                {"record": "superblock", "index": "", "field": "s_state", "value": 1},
            ),
            "Override.parse": lambda: Call(
                ext4writer.Override.parse, {"text": "superblock.s_state=1"}
            ),
            "QuotaLimit": lambda: Call(
                lambda **given: Spec(
                    features="quota", quota_limits=[ext4writer.QuotaLimit(**given)]
                ),
                {"kind": "user", "owner": 5},
                ("block_soft", "block_hard", "inode_soft", "inode_hard"),
            ),
            "QuotaGrace": lambda: Call(
                lambda **given: Spec(
                    features="quota", quota_grace=[ext4writer.QuotaGrace(**given)]
                ),
                {"kind": "user", "block_seconds": 5, "inode_seconds": 5},
            ),
            "Spec": lambda: Call(Spec, {}, tuple(each.name for each in fields(Spec))),
            "Spec.of_profile": lambda: Call(
                Spec.of_profile, {"profile": "boot"}, tuple(each.name for each in fields(Spec))
            ),
            "Layout.open": lambda: Call(layout.open),
            "Layout.parts": lambda: Call(layout.parts, {"size": 65536}),
            "Layout.save": lambda: Call(layout.save, {"path": "saved"}),
            "Layout.load": lambda: Call(ext4writer.Layout.load, {"path": "plan"}),
            "Loss": lambda: Call(ext4writer.Loss, {"path": b"/a", "what": "is lost"}),
            "Tree": lambda: Call(Tree),
            **{
                f"Tree.{name}": lambda name=name, valid=valid, own=own: Call(  # type: ignore[misc]
                    getattr(small(), name), valid, own
                )
                for name, valid, own in (
                    ("add", {"path": "/n", "node": ext4writer.Socket(0o755)}, ()),
                    ("apply_layer", {"layer": Tree()}, ()),
                    ("device", {"path": "/n", "kind": "c", "major": 1, "minor": 3}, ATTRIBUTES),
                    ("directory", {"path": "/n"}, ATTRIBUTES),
                    ("fifo", {"path": "/n"}, ATTRIBUTES),
                    ("file", {"path": "/n", "content": b""}, ATTRIBUTES),
                    ("link", {"path": "/n", "existing": "/a"}, ()),
                    ("move", {"path": "/a", "to": "/n"}, ()),
                    ("overlay", {"other": Tree()}, ()),
                    ("remove", {"path": "/a"}, ()),
                    ("socket", {"path": "/n"}, ATTRIBUTES),
                    ("subtree", {"path": "/d"}, ()),
                    ("symlink", {"path": "/n", "target": "a"}, ATTRIBUTES),
                )
            },
            **{
                name: lambda kind=kind, valid=valid: Call(  # type: ignore[misc]
                    planned(kind), valid, ("mode", *ATTRIBUTES)
                )
                for name, kind, valid in (
                    ("Directory", ext4writer.Directory, {}),
                    (
                        "RegularFile",
                        ext4writer.RegularFile,
                        {"content": ext4writer.BytesContent(b"")},
                    ),
                    ("Symlink", ext4writer.Symlink, {"target": b"a"}),
                    ("CharacterDevice", ext4writer.CharacterDevice, {"major": 1, "minor": 3}),
                    ("BlockDevice", ext4writer.BlockDevice, {"major": 1, "minor": 3}),
                    ("Fifo", ext4writer.Fifo, {"mode": 0o644}),
                    ("Socket", ext4writer.Socket, {"mode": 0o644}),
                )
            },
            "directory": lambda: Call(sources.directory, {"path": "in"}),
            "tar": lambda: Call(sources.tar, {"archive": "archive.tar"}),
            "image": lambda: Call(sources.image, {"source": "image"}),
            "manifest": lambda: Call(sources.manifest, {"source": "m"}),
            "nar": lambda: Call(sources.nar, {"path": "n.nar"}),
            "oci": lambda: Call(sources.oci, {"source": "oci"}, OF_LAYERS),
            "docker_archive": lambda: Call(
                sources.docker_archive, {"source": "docker.tar"}, OF_LAYERS
            ),
            "Limits": lambda: Call(sources.Limits),
            "Platform": lambda: Call(sources.Platform),
            "Platform.parse": lambda: Call(sources.Platform.parse, {"text": "linux/arm64"}),
            "Platform.normalized": lambda: Call(sources.Platform("linux").normalized),
            "set_owner": lambda: Call(filters.set_owner, {"tree": small(), "uid": 5, "gid": 5}),
            "set_root_owner": lambda: Call(
                filters.set_root_owner, {"tree": small(), "uid": 5, "gid": 5}
            ),
            "set_all_times": lambda: Call(filters.set_all_times, {"tree": small(), "seconds": 5}),
            "apply": lambda: Call(
                filters.apply, {"tree": small(), "change": lambda path, node: node}
            ),
            "exclude": lambda: Call(filters.exclude, {"tree": small(), "patterns": ["a"]}),
            "strip_components": lambda: Call(
                filters.strip_components, {"tree": small(), "count": 1}
            ),
            "closure": lambda: Call(nix.closure, {"archives": {}}),
            "read_closure": lambda: Call(nix.read_closure, {"archives": {}}),
            "image_tree": lambda: Call(
                nix.image_tree, {"objects": {}, "registration": nix.Registration({}, b"")}
            ),
            "link_equal_files": lambda: Call(
                nix.link_equal_files, {"store": ext4writer.Directory()}
            ),
            "read_contents": lambda: Call(nix.read_contents, {"text": "[]", "where": "here"}),
            "read_registration": lambda: Call(nix.read_registration, {"path": "empty"}),
            "nix.Entry": lambda: Call(
                lambda **given: nix.image_tree(
                    {}, nix.Registration({}, b""), contents=[nix.Entry(**given)]
                ),
                {"source": str(folder / "in"), "target": "/t"},
                ("mode", "user", "group"),
            ),
            "read.open_image": lambda: Call(read.open_image, {"source": "image"}),
            **{
                f"Image.{name}": lambda name=name, valid=valid: Call(  # type: ignore[misc]
                    getattr(read.open_image("image"), name), valid
                )
                for name, valid in (
                    ("block", {"number": 1}),
                    ("descriptor", {"group": 0}),
                    ("descriptor_offset", {"group": 0}),
                    ("entries", {"directory": read.open_image("image").root}),
                    ("has_blocks", {"first": 1}),
                    ("inode", {"ino": 2}),
                    ("inode_offset", {"ino": 2}),
                    ("lookup", {"path": "/a"}),
                    ("number", {"whole": "s_blocks_count"}),
                    ("open", {"inode": "/a"}),
                    ("read", {"offset": 0, "count": 5}),
                    ("try_block", {"number": 1}),
                    ("try_inode", {"ino": 2}),
                    ("walk", {}),
                )
            },
            **{
                f"FileReader.{name}": lambda name=name: Call(  # type: ignore[misc]
                    getattr(read.open_image("image").open("/a"), name), {"offset": 0, "count": 1}
                )
                for name in ("read_at", "read_around")
            },
            "patch": lambda: Call(
                damage.patch, {"image": self.bytes, "overrides": "superblock.s_state=1"}
            ),
            "patch_image": lambda: Call(
                damage.patch_image,
                {"image": "image", "output": bytearray(), "overrides": "superblock.s_state=1"},
            ),
            "reseal": lambda: Call(damage.reseal, {"data": self.bytes}),
            "reseal_into": lambda: Call(damage.reseal_into, {"buffer": bytearray(self.bytes)}),
            "write_dump": lambda: Call(
                manifests.write_dump, {"tree": self.tree, "stream": io.BytesIO(), "unpacked": True}
            ),
            "write_mtree": lambda: Call(
                manifests.write_mtree,
                {"tree": self.tree, "stream": io.BytesIO(), "unpacked": True},
            ),
            "difference": lambda: Call(delta.difference, {"layout": layout, "base": "image"}),
            "open_base": lambda: Call(delta.open_base, {"base": "image"}),
            "Recipe": lambda: Call(lambda **given: fuzzing.Recipe(**given).image(), {}, RECIPE),
            "Recipe.parse": lambda: Call(
                fuzzing.Recipe.parse, {"text": str(fuzzing.random_recipe(1))}
            ),
            "custom_mutator": lambda: Call(
                fuzzing.custom_mutator, {"data": self.bytes, "max_size": 1 << 20, "seed": 1}
            ),
            "mutate": lambda: Call(
                fuzzing.mutate, {"data": self.bytes, "max_size": 1 << 20, "seed": 1}
            ),
            "random_image": lambda: Call(fuzzing.random_image, {"seed": 1}),
            "random_recipe": lambda: Call(fuzzing.random_recipe, {"seed": 1}),
            "write_parts": lambda: Call(
                distributed.write_parts,
                {
                    "plan": "plan",
                    "target": "parts.img",
                    "executor": ImmediateExecutor(),
                    "parts": 2,
                },
            ),
            "Bmap": lambda: Call(watchers.Bmap, {"size": 4096, "unused": []}),
            "Bmap.update": lambda: Call(watchers.Bmap(4096, []).update, {"data": b"a"}),
            "Chunks": lambda: Call(watchers.Chunks, {"chunk_size": 4096}),
            "Chunks.update": lambda: Call(watchers.Chunks(4096).update, {"data": b"a"}),
            "DmVerity": lambda: Call(
                watchers.DmVerity, {"size": 4096, "salt": b"", "uuid": UUID(int=5)}
            ),
            "DmVerity.update": lambda: Call(
                watchers.DmVerity(4096, salt=b"", uuid=UUID(int=5)).update, {"data": b"a"}
            ),
            "Address": lambda: Call(nbd.Address),
            "Address.parse": lambda: Call(nbd.Address.parse, {"text": "unix:sock"}),
            "Server": lambda: Call(
                closed(nbd.Server), {"image": layout.open(), "address": f"unix:{folder}/s"}
            ),
            **{
                f"VirtualImage.{name}": lambda name=name, valid=valid: Call(  # type: ignore[misc]
                    getattr(layout.open(), name), valid
                )
                for name, valid in (
                    ("allocation", {}),
                    ("extents", {}),
                    ("pread", {"offset": 0, "size": 5}),
                )
            },
        }


OF_LAYERS = (
    *("spool", "xattrs", "keep_times", "exclude", "secure_symlinks", "limits", "progress"),
    "cancel",
)
RECIPE = ("entries", "spec", "policy", "overrides")


def archive() -> bytes:
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    return file.getvalue()


def nar() -> bytes:
    """A Nix archive of an empty file."""
    words = [b"nix-archive-1", b"(", b"type", b"regular", b"contents", b"", b")"]
    return b"".join(
        len(word).to_bytes(8, "little") + word + bytes(-len(word) % 8) for word in words
    )


def planned(kind: Callable[..., Any]) -> Callable[..., object]:
    """A node is checked when it is planned."""

    def make(**given: Any) -> object:
        tree = Tree()
        tree.root.children[b"n"] = kind(**given)
        return ext4writer.plan(tree, SPEC)

    return make


def closed(make: Callable[..., Any]) -> Callable[..., None]:
    def make_and_close(**given: Any) -> None:
        make(**given).close()

    return make_and_close


HOOKS = ("Content", "LayoutPolicy")
"""Base classes whose methods the library calls, and callers may implement."""
OTHERS = {
    # What only the library creates, for callers to read.
    *("Closure", "ContainerImage", "Difference", "ImageConfig", "ImageReport", "PathInfo"),
    *("Progress", "Registration", "Result", "Saving", "Chunk", "Extent", "Part", "Partition"),
    *("Found", "Inode", "FileExtent", "TreeBlock", "Unit", "UnitRun", "read.Entry", "Layout"),
    *("Image", "FileReader", "VirtualImage", "Extent.cut", "Inode.error", "Inode.wrong"),
    *("UnitRun.at", "UnitRun.find", "UnitRun.of_owner", "UnitRun.unit", "UnitKind"),
    *(
        "FeatureSet.check",
        "Image.damage",
        "Image.inode_of_bytes",
        "Image.check_group",
        "ProcessPool.can_know",
    ),
    # Base classes for callers, methods that the library calls, and names of types.
    *("Node", "Device", "Cancel", "Output", "Output.write", "Cancel.is_set", "ExtentKind"),
    *("ProgressCallback", "OnDamage", "LossCode", "OutputLike", "Base", *HOOKS),
    # Methods of Python's files, which have Python's errors.
    *("FileReader.readinto", "FileReader.seek", "VirtualImage.readinto", "VirtualImage.seek"),
    *("VirtualImage.preadinto", "VirtualImage.read", "VirtualImage.write"),
}
"""Names that are not called with a caller's values, and why."""
PYTHON = re.compile(r"'\w+' object|not supported between|unhashable|codec can't|argument must")
"""Phrases of Python's own errors."""


def public() -> Iterator[str]:
    """The names of all public functions, classes and methods."""
    for module in MODULES:
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
        ]
        for name in names:
            value = getattr(module, name)
            if isinstance(value, ModuleType | str | FeatureSet):
                continue
            if isinstance(value, type) and issubclass(value, Exception):
                continue
            known = name if getattr(ext4writer, name, value) is value else f"read.{name}"
            yield "nix.Entry" if value is nix.Entry else "read.Entry" if name == "Entry" else known
            if isinstance(value, type) and not issubclass(value, (Content, LayoutPolicy)):
                yield from (f"{name}.{method}" for method in methods_of(value))


def methods_of(kind: type) -> Iterator[str]:
    """The public methods of a class of this library that accept arguments."""
    for name in dir(kind):
        value = inspect.getattr_static(kind, name)
        function = getattr(value, "__func__", value)
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        if not function.__module__.startswith("ext4writer"):
            continue
        names = list(inspect.signature(function).parameters)
        if len(names) > (names[:1] in (["self"], ["cls"])):
            yield name


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("wrong_answers")
    with contextlib.chdir(folder):
        yield Prepared(folder)


def test_each_public_function_is_called(prepared: Prepared) -> None:
    names = set(public())
    assert names - prepared.calls().keys() - OTHERS == set()
    assert prepared.calls().keys() - names == set()


def use(value: Any) -> None:
    """Use what a call returns, as some calls raise their errors only then."""
    if isinstance(value, contextlib.AbstractContextManager) and not hasattr(value, "read"):
        with value:
            return
    if inspect.isgenerator(value):
        for _ in value:
            pass


ARGUMENT_ERRORS = (SpecError, TreeError, SourceError, OutputError)
"""The other errors are about the content of an image or a plan."""


def names_it(text: str, parameter: str, wrong: object) -> bool:
    """Whether a message names the argument or shows its value."""
    shown = wrong.decode() if isinstance(wrong, bytes) else one_line(str(wrong))
    return parameter.rstrip("s") in text or shown in text or ascii(wrong)[:80] in text


def wrong_answers(name: str, make: Callable[[], Call]) -> Iterator[str]:
    """What is wrong with the answers to wrong values, as lines."""
    call = make()
    use(call.function(**call.valid))
    listed = [
        each.name
        for each in inspect.signature(call.function).parameters.values()
        if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    ]
    for parameter in dict.fromkeys((*listed, *call.valid, *call.own)):
        for wrong in WRONG:
            call = make()
            shown = f"{name}({parameter}={wrong!r})"
            try:
                use(call.function(**{**call.valid, parameter: wrong}))
            except Ext4WriterError as error:
                text = str(error)
                if not text.isprintable() or PYTHON.search(text):
                    yield f"{shown}: {text!r}"
                elif isinstance(error, ARGUMENT_ERRORS) and not names_it(text, parameter, wrong):
                    yield f"{shown}: {type(error).__name__} names nothing: {text}"
            except ValueError as error:
                if not name.startswith("VirtualImage."):  # this is a file, with Python's messages
                    yield f"{shown}: ValueError: {error}"
            except Exception as error:
                yield f"{shown}: {type(error).__name__}: {error}"


@pytest.mark.parametrize("name", sorted(set(public()) - OTHERS))
def test_a_wrong_argument_is_one_line_that_names_it(name: str, prepared: Prepared) -> None:
    assert list(wrong_answers(name, prepared.calls()[name])) == []


UNKNOWN = "procesess"
CALLED_A_LOT = ("BytesContent", "Image.number", "Image.try_")
"""For these, Python's message for an unknown keyword suffices: it names keyword and function."""


@pytest.mark.parametrize("name", sorted(set(public()) - OTHERS))
def test_an_unknown_argument_is_named(name: str, prepared: Prepared) -> None:
    call = prepared.calls()[name]()
    if name.startswith(CALLED_A_LOT) or "<lambda>" in getattr(call.function, "__qualname__", ""):
        return
    with pytest.raises(Ext4WriterError) as caught:
        use(call.function(**{**call.valid, UNKNOWN: 5}))
    assert UNKNOWN in str(caught.value) and str(caught.value).isprintable()


def test_missing_and_surplus_arguments_are_reported() -> None:
    with pytest.raises(SpecError, match=r"^output: is missing in the call of write_image\(\)"):
        ext4writer.write_image(small())  # type: ignore[call-arg]
    with pytest.raises(SpecError, match="too many positional arguments; its arguments are tree, "):
        ext4writer.write_image(small(), "x.img", SPEC, 5)  # type: ignore[misc]
    with pytest.raises(SpecError, match=r"of write_image\(\); did you mean processes\?"):
        ext4writer.write_image(small(), "x.img", procesess=2)  # type: ignore[call-arg]
    with pytest.raises(TreeError, match="/n: parent: is no attribute; did you mean parents"):
        small().file("/n", b"", parent=True)  # type: ignore[call-arg]
    assert not Path("x.img").exists()


@pytest.mark.parametrize("name", sorted(set(public()) - OTHERS))
def test_an_integral_float_equals_the_integer_or_is_refused(name: str, prepared: Prepared) -> None:
    call = prepared.calls()[name]()
    expected = call.function(**call.valid)
    for parameter, value in call.valid.items():
        if type(value) is int:
            call = prepared.calls()[name]()
            try:
                found = call.function(**{**call.valid, parameter: float(value)})
            except Ext4WriterError as error:
                assert parameter in str(error)
            else:
                assert type(found) is type(expected)
                if isinstance(found, int | bytes):
                    assert found == expected


def with_mode(mode: int) -> Tree:
    tree = Tree()
    tree.file("/m", b"", mode=mode)
    return tree


def with_content(content: Any) -> Tree:
    tree = Tree()
    tree.file("/c", content, size=3)
    return tree


NO_FUNCTION_FOR_IT: dict[str, Callable[[Any], object]] = {
    "change: is called with a path and a node": lambda one: filters.apply(small(), one),
    "patterns: is called with a path and its last": lambda one: filters.exclude(small(), one),
    "progress: is called with a Progress": lambda one: ext4writer.plan(small(), progress=one),
    "/c: the function of its content is called with no": lambda one: ext4writer.write_image(
        with_content(one), bytearray()
    ),
}


@pytest.mark.parametrize("says", NO_FUNCTION_FOR_IT)
def test_callbacks_with_wrong_parameters_are_refused(says: str) -> None:
    with pytest.raises(Ext4WriterError, match=f"^{says}") as caught:
        NO_FUNCTION_FOR_IT[says](lambda one, two, three: None)
    assert "missing a required argument" in str(caught.value)


@pytest.mark.parametrize("says", NO_FUNCTION_FOR_IT)
def test_exceptions_of_callbacks_are_passed_on(says: str) -> None:
    def fails(*given: Any) -> Any:
        return given + 5  # type: ignore[operator]

    with pytest.raises(TypeError, match="can only concatenate tuple") as caught:
        NO_FUNCTION_FOR_IT[says](fails)
    assert caught.traceback[-1].name == "fails"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ext4writer.write_image(small(), ""), "(output): a file name cannot be empty"),
        (lambda: ext4writer.write_image(small(), None), "None is neither a path nor a binary"),  # type: ignore[arg-type]
        (lambda: ext4writer.plan(small(), size="1M"), "belong to its Spec(size=...)"),  # type: ignore[call-arg]
        (lambda: apply_rules(small(), "set"), "rules: 'set' is no list"),  # type: ignore[arg-type]
        (lambda: apply_rules(small(), ["set"]), "rules: 'set' is no rule"),  # type: ignore[list-item]
        (lambda: Spec(features="^has_journl"), "did you mean has_journal?"),
        (lambda: small().device("/n", "c", (1, 3)), "minor: is missing in the call of Tree.device"),  # type: ignore
        (Spec.of_profile, "profile: is missing in the call"),  # type: ignore[call-arg]
        (lambda: Spec(size="64M", grow_to="32M"), "grow_to: 33554432 bytes are less than the size"),
        (
            lambda: ext4writer.plan(with_mode(4755)),
            "/m: mode 11223 is out of range; did you mean 0o4755?",
        ),
        (
            lambda: ext4writer.plan(with_mode(0o100755)),
            "a mode has twelve bits, without those of the kind of file",
        ),
        (lambda: read.open_image("image").open("/d"), "/d: is a directory; entries() lists it"),
        (lambda: read.open_image("image").open(2), "<2>: is a directory; entries() lists it"),
    ],
)
def test_beginners_calls_are_answered_with_a_remedy(make: Callable[[], object], says: str) -> None:
    with pytest.raises(Ext4WriterError) as caught:
        make()
    assert says in str(caught.value)
