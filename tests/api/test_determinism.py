"""The same tree and Spec give the same bytes, wherever, whenever and however often."""

from __future__ import annotations

import glob
import hashlib
import inspect
import io
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import construct
import pytest

import ext4writer
from ext4writer import (
    DEFAULT_FEATURES,
    FeatureSet,
    LayoutPolicy,
    Spec,
    SpecError,
    Tree,
    api,
    policy,
    sources,
)
from ext4writer.ondisk.format import Format
from ext4writer.planning import hole_search, identity
from tests.builder.command import report
from tests.judges import tools
from tests.makers.host_tree import adapted, materialise, privileged
from tests.makers.manifests import FIXTURES, Manifest, digest, load, manifests, shuffled

ROOT = Path(__file__).parents[2]
OTHER_PYTHONS = ("3.11", "3.12", "3.13")
HOST = FIXTURES / "host.toml"

# Most images equal others, which have been judged already.
pytestmark = pytest.mark.judged("quick")


@pytest.fixture(scope="module")
def host_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tree of ``fixtures/host.toml`` in a directory."""
    folder = tmp_path_factory.mktemp("host") / "tree"
    materialise(adapted(load(HOST).tree), folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def host_digest() -> str:
    """The expected digest for ``host_folder``; pinned if this user can create all of it."""
    manifest = load(HOST)
    return manifest.sha256 if privileged() else digest(adapted(manifest.tree))


def of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pinned() -> dict[str, str]:
    return {path.stem: load(path).sha256 for path in manifests()}


def in_process(
    *arguments: str | Path,
    python: str = sys.executable,
    options: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    preexec_fn: Callable[[], Any] | None = None,
    cwd: Path = ROOT,
) -> dict[str, str]:
    """Run ``tests.makers.manifests`` in another process; return the digest for each name."""
    done = subprocess.run(
        [python, *options, "-m", "tests.makers.manifests", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        preexec_fn=preexec_fn,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    return {name: found for found, name in (line.split() for line in done.stdout.splitlines())}


@pytest.mark.judged("full")
@pytest.mark.parametrize("path", manifests(), ids=lambda path: path.stem)
def test_the_digest_is_the_pinned_one(path: Path) -> None:
    manifest = load(path)
    assert digest(manifest.tree, manifest.spec) == manifest.sha256, (
        "The image has changed. If this was intended: python -m tests.makers.fixtures_update"
    )


@pytest.mark.parametrize(
    "surroundings",
    [
        {"env": {"PYTHONHASHSEED": "0"}},
        {"env": {"PYTHONHASHSEED": "4242", "LC_ALL": "C", "TZ": "Pacific/Kiritimati"}},
        {
            "env": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            "preexec_fn": lambda: os.umask(0o077),
        },
        {
            "env": {"LC_ALL": "tr_TR.ISO-8859-9", "PYTHONUTF8": "0", "TZ": "America/St_Johns"},
            "preexec_fn": lambda: os.umask(0),
        },
        {"env": {"SOURCE_DATE_EPOCH": "1", "HOME": "/", "USER": "x"}, "cwd": Path("/")},
        {"options": ("-OO", "-bb", "-X", "dev")},
    ],
    ids=["hash seed", "hash seed, zone", "ASCII, umask", "other locale, umask", "env", "options"],
)
def test_surroundings_do_not_matter(
    surroundings: dict[str, Any], host_folder: Path, host_digest: str
) -> None:
    found = in_process(*manifests(), host_folder, **surroundings)
    assert found == pinned() | {"tree": host_digest}


def other_python(version: str) -> str | None:
    """An interpreter of this version that really works, or None."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    candidates = [
        *(os.path.join(folder, f"python{version}") for folder in tools.SEARCH_PATH.split(":")),
        *sorted(glob.glob(f"{pyenv}/versions/{version}.*/bin/python")),
    ]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            done = subprocess.run([candidate, "-V"], capture_output=True, text=True)
            if done.returncode == 0 and done.stdout.startswith(f"Python {version}."):
                return candidate
    return None


@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_other_pythons_give_the_same_bytes(
    version: str, host_folder: Path, host_digest: str, tmp_path: Path
) -> None:
    """With this Python's construct, and without crc32c, which is compiled for this Python only."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        pytest.skip("the other tests have this Python")
    python = other_python(version)
    if python is None:
        message = f"Python {version} is not here to compare with; install python{version}"
        tools.missing_oracles.add(message)
        pytest.skip(message)
    (tmp_path / "construct").symlink_to(Path(construct.__file__).parent)
    env = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "PYTHONDONTWRITEBYTECODE": "1"}
    found = in_process(*manifests(), host_folder, python=python, env=env)
    assert found == pinned() | {"tree": host_digest}


@pytest.mark.parametrize("count", [1, 2, 4, 13])
@pytest.mark.parametrize("kind", ["workers", "processes"])
def test_workers_do_not_matter(
    kind: str,
    count: int,
    host_folder: Path,
    host_digest: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hole_search, "LEAST_COST_TO_SHARE", 0)
    monkeypatch.setattr(hole_search, "TASK_COST", 3)
    monkeypatch.setattr(api, "LEAST_BYTES_TO_SHARE", 0)
    image = tmp_path / "image"
    ext4writer.write_image(sources.directory(host_folder), image, **{kind: count})
    assert of_file(image) == host_digest


def test_doing_it_again_does_not_matter(host_folder: Path, host_digest: str) -> None:
    """One tree is planned twice, and one plan is carried out twice."""
    tree = sources.directory(host_folder)
    for _ in range(2):
        layout = ext4writer.plan(tree)
        for _ in range(2):
            image = bytearray()
            ext4writer.write_layout(layout, image)
            assert hashlib.sha256(image).hexdigest() == host_digest


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_a_scan_does_not_matter(
    seed: int, host_folder: Path, host_digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir
    asked = []

    @contextmanager
    def disordered(path: Any) -> Iterator[Iterator[os.DirEntry[bytes]]]:
        asked.append(path)
        with scandir(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        random.Random(seed).shuffle(found)
        yield iter(found)

    monkeypatch.setattr(os, "scandir", disordered)
    tree = sources.directory(host_folder)
    monkeypatch.undo()
    assert len(asked) == 3
    assert digest(tree) == host_digest


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("path", manifests(), ids=lambda path: path.stem)
def test_the_order_of_building_a_tree_does_not_matter(path: Path, seed: int) -> None:
    manifest = load(path)
    assert digest(shuffled(manifest.tree, seed), manifest.spec) == manifest.sha256


def test_a_directory_gives_the_same_image_as_the_tree_in_memory(
    host_folder: Path, host_digest: str
) -> None:
    tree = sources.directory(host_folder)
    assert tree.losses == []
    assert digest(tree) == host_digest


def test_holes_of_the_host_do_not_matter(
    host_folder: Path, host_digest: str, tmp_path: Path
) -> None:
    """The same content, stored with holes wherever there are zeros."""
    copy = tmp_path / "copy"
    copy.mkdir()
    tools.run(["cp", "-a", "--sparse=always", f"{host_folder}/.", str(copy)])
    saved = [
        (folder / "sparse").stat().st_blocks < (folder / "sparse").stat().st_size // 512
        for folder in (host_folder, copy)
    ]
    assert digest(sources.directory(copy)) == host_digest
    if saved != [False, True]:
        pytest.skip("this file system has no holes, or has them everywhere")


def test_the_command_gives_what_the_library_gives(
    host_folder: Path, host_digest: str, tmp_path: Path
) -> None:
    report("build", host_folder, "-o", tmp_path / "image")
    assert of_file(tmp_path / "image") == host_digest


def through_a_path(manifest: Manifest, folder: Path) -> bytes:
    ext4writer.write_image(manifest.tree, folder / "image", manifest.spec)
    return (folder / "image").read_bytes()


def over_an_older_file(manifest: Manifest, folder: Path) -> bytes:
    (folder / "image").write_bytes(b"\xff" * 30_000_000)
    return through_a_path(manifest, folder)


def through_a_pipe(manifest: Manifest, _folder: Path) -> bytes:
    reading, writing = os.pipe()
    found: list[bytes] = []

    def read() -> None:
        with open(reading, "rb") as stream:
            found.append(stream.read())

    reader = threading.Thread(target=read)
    reader.start()
    with open(writing, "wb", buffering=0) as stream:
        ext4writer.write_image(manifest.tree, stream, manifest.spec)
    reader.join()
    return found[0]


def through_memory(manifest: Manifest, _folder: Path) -> bytes:
    image = bytearray(b"\xff" * 1000)
    ext4writer.write_image(manifest.tree, image, manifest.spec)
    return bytes(image)


def through_an_object(manifest: Manifest, _folder: Path) -> bytes:
    file = io.BytesIO(b"\xff" * 300_000_000)
    file.seek(12345)
    ext4writer.write_image(manifest.tree, file, manifest.spec)
    image = file.getvalue()
    assert image[:12345].count(b"\xff") == 12345
    assert image[file.tell() :].count(b"\xff") == len(image) - file.tell()
    return image[12345 : file.tell()]


def through_an_open_file(manifest: Manifest, folder: Path) -> bytes:
    with (folder / "image").open("w+b") as file:
        file.write(b"\xff" * 30_000_000)
        ext4writer.write_image(manifest.tree, file, manifest.spec, workers=3)
        file.seek(30_000_000)
        return file.read()


def in_pieces(manifest: Manifest, _folder: Path) -> bytes:
    return b"".join(ext4writer.iter_image(manifest.tree, manifest.spec))


@pytest.mark.parametrize(
    "write",
    [
        through_a_path,
        over_an_older_file,
        through_a_pipe,
        through_memory,
        through_an_object,
        in_pieces,
        through_an_open_file,
    ],
    ids=lambda write: write.__name__,
)
@pytest.mark.parametrize("name", ["extents", "groups", "kinds"])
def test_the_kind_of_output_does_not_matter(
    name: str, write: Callable[[Manifest, Path], bytes], tmp_path: Path
) -> None:
    manifest = load(FIXTURES / f"{name}.toml")
    assert hashlib.sha256(write(manifest, tmp_path)).hexdigest() == manifest.sha256


def small_tree() -> Tree:
    tree = Tree()
    tree.file("/file", b"content", mtime_ns=1, xattrs={b"user.b": b"2", b"user.a": b"1"})
    return tree


@pytest.mark.parametrize(
    "alike",
    [
        Spec(reserved_percent=0),
        Spec(policy=policy("default")),
        Spec(policy=LayoutPolicy()),
        Spec(label=b""),
        replace(Spec()),
        Spec(features=DEFAULT_FEATURES.with_("extent")),
    ],
)
def test_equal_specs_give_the_same_bytes(alike: Spec) -> None:
    assert digest(small_tree(), alike) == digest(small_tree())


def test_a_policy_is_not_used_up() -> None:
    spec = Spec(policy=policy("random:9"))
    again = Spec(policy=policy("random:009"))
    assert digest(small_tree(), spec) == digest(small_tree(), spec) == digest(small_tree(), again)


@pytest.mark.parametrize(
    "change",
    [
        {"label": b"x"},
        {"free": 1 << 20},
        {"free_inodes": 5},
        {"grow_to": 1 << 40},
        {"grow_at_least": 1 << 40},
        {"inode_ratio": 32 << 10},
        {"align": 1 << 20},
        {"size": 64 << 20},
        {"free_percent": 10.0},
        {"inodes": 5000},
        {"reserved_percent": 1.0},
        {"block_size": 1024},
        {"inode_size": 512},
        {"features": DEFAULT_FEATURES.without("resize_inode")},
        {"type": "ext3"},
        {
            "num_backup_sb": 1,
            "features": DEFAULT_FEATURES.without("resize_inode").with_("sparse_super2"),
        },
        {"journal": "none"},
        {"journal_device": True, "journal_uuid": UUID(int=5)},
        {"journal_device": True, "journal_dev": 5},
        {"journal_features": "journal_64bit"},
        {"dedupe": "blocks"},
        {"bad_blocks": [3000]},
        {"quotatype": "usr", "features": DEFAULT_FEATURES.with_("quota")},
        {"quota_limits": "user:1:1M", "features": DEFAULT_FEATURES.with_("quota")},
        {"quota_grace": "1d", "features": DEFAULT_FEATURES.with_("quota")},
        {"reserved_blocks": 5},
        {"reserved_uid": 5},
        {"reserved_gid": 5},
        {"cluster_size": 16384, "features": "bigalloc"},
        {"desc_size": 128},
        {"first_meta_bg": 1, "features": "meta_bg,^resize_inode"},
        {"journal_location": 8 << 20, "size": 64 << 20},
        {"features": "fast_commit", "fast_commit_size": 256 << 10, "size": 64 << 20},
        {"features": "mmp", "mmp_update_interval": 9},
        {"features": "orphan_file", "orphan_file_size": 64 << 10, "size": 64 << 20},
        {"lost_and_found_size": 32 << 10},
        {"packed_meta_blocks": True},
        {"group_tables": "mke2fs", "size": 64 << 20},
        {"lazy_itable_init": True},
        {"blocks_per_group": 8192},
        {"reserved_gdt_blocks": 5},
        {"raid_stride": 5},
        {"raid_stripe_width": 5},
        {"errors": "panic"},
        {"default_mntopts": 4},
        {"mount_opts": b"noatime"},
        {"creator_os": "FreeBSD", "features": "^metadata_csum"},
        {"last_mounted": b"/mnt"},
        {"max_mount_count": 5},
        {"check_interval": 5},
        {"test_fs": True},
        {"hash_alg": "tea"},
        {"encoding": "utf8"},
        {"encoding_flags": "strict", "features": "casefold"},
        {"verity_hash_alg": "sha512", "features": "verity"},
        {"verity_block_size": 1024, "features": "verity"},
        {"verity_salt": "00", "features": "verity"},
        {"epoch": 5},
        {"hole_size": 0},
        {"leading_hole": True},
        {"lost_and_found": False},
        {"groups_per_flex": 8},
        {"policy": policy("random:1")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_spec_is_another_file_system(change: dict[str, Any]) -> None:
    """Two different images must not look like copies of the same one.

    With equal entries, their directories are hashed alike; otherwise a size computed for one would
    not suit the other.
    """
    first = ext4writer.plan(small_tree())
    other = ext4writer.plan(small_tree(), Spec(**change))
    same_entries = not {"epoch", "lost_and_found"} & change.keys()
    assert (first.hash_seed == other.hash_seed) is same_entries
    assert len({first.uuid, first.hash_seed, other.uuid, other.hash_seed}) == 4 - same_entries


def test_the_list_of_changes_above_is_complete() -> None:
    marker = test_another_spec_is_another_file_system.pytestmark[0]
    tried = {name for change in marker.args[1] for name in change}
    # This tree has no entries for signatures and policies, and it has attributes, which revision 0
    # cannot store.
    elsewhere = {"verity_signatures", "encryption_policies", "revision"}
    untried = {each.name for each in fields(Spec)} - tried - elsewhere
    assert untried == {"uuid", "hash_seed", "identity"}


def test_an_option_that_a_later_release_adds_changes_nothing_at_its_default() -> None:
    @dataclass(frozen=True)
    class LaterSpec(Spec):
        another_option: int | None = None

    tree = small_tree()
    assert ext4writer.plan(tree, LaterSpec()).uuid == ext4writer.plan(tree, Spec()).uuid
    assert ext4writer.plan(tree, LaterSpec(another_option=1)).uuid != ext4writer.plan(tree).uuid


def test_a_default_that_is_spelled_out_changes_nothing() -> None:
    spelled = Spec(**{each.name: each.default for each in fields(Spec)})
    by_name = replace(spelled, policy=policy("default"), reserved_percent=0)
    assert digest(small_tree(), spelled) == digest(small_tree(), by_name) == digest(small_tree())


@pytest.mark.parametrize(
    ("features", "implied", "other"),
    [
        ("", {"desc_size": 64}, {"desc_size": 128}),
        ("", {"blocks_per_group": 32768}, {"blocks_per_group": 16384}),
        ("", {"groups_per_flex": 16}, {"groups_per_flex": 8}),
        ("bigalloc", {"cluster_size": 65536}, {"cluster_size": 32768}),
        ("sparse_super2", {"num_backup_sb": 2}, {"num_backup_sb": 1}),
        ("meta_bg,^resize_inode", {"first_meta_bg": 0}, {"first_meta_bg": 1}),
    ],
)
def test_a_default_that_follows_from_others_changes_nothing(
    features: str, implied: dict[str, Any], other: dict[str, Any]
) -> None:
    spec = Spec(features=FeatureSet.parse(features, base=DEFAULT_FEATURES))
    assert digest(small_tree(), replace(spec, **implied)) == digest(small_tree(), spec)
    plain = ext4writer.plan(small_tree(), spec).uuid
    assert ext4writer.plan(small_tree(), replace(spec, **other)).uuid != plain


def test_every_option_of_the_format_may_follow_from_others() -> None:
    """Those that only ``Format.of`` uses; the identity tries them at their defaults."""
    given = set(inspect.signature(Format.of).parameters) - {"features", "block_size", "inode_size"}
    renamed = {"clusters_per_group": "blocks_per_group"}
    assert {renamed.get(name, name) for name in given} == set(identity._FORMAT_OPTIONS)


TIMES = ("mtime_ns", "atime_ns", "ctime_ns", "crtime_ns")


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    ("inode_size", "first", "second"),
    [(256, 6 * 10**9, 7 * 10**9 + 1), (128, 3 * 10**9 + 1, 3 * 10**9 + 2), (128, 10**19, 10**20)],
    ids=["after the epoch", "parts of a second", "after what an inode holds"],
)
def test_times_count_as_they_are_written(
    name: str, inode_size: int, first: int, second: int
) -> None:
    """What no image stores does not affect the UUID, and so no byte."""
    images = set()
    for time in (first, second):
        tree = small_tree()
        for _, node in tree.walk():
            setattr(node, name, time)
        images.add(digest(tree, Spec(inode_size=inode_size, epoch=5)))
    assert len(images) == 1


def test_content_is_part_of_the_identity_on_request() -> None:
    trees = [Tree(), Tree(), Tree()]
    zeros, text = bytes(300_000), b"text" * 1000
    trees[0].file("/file", zeros + text)
    trees[1].file("/file", lambda: io.BytesIO(zeros + text), size=len(zeros + text))
    trees[2].file("/file", zeros + text[::-1])
    plain = [ext4writer.plan(tree) for tree in trees]
    assert len({layout.uuid for layout in plain}) == 1
    spec = Spec(identity="content")
    one, same, other = (ext4writer.plan(tree, spec) for tree in trees)
    assert one.uuid == same.uuid != other.uuid
    assert one.uuid != plain[0].uuid
    assert {one.hash_seed, other.hash_seed} == {plain[0].hash_seed}
    given = UUID(int=1)
    assert ext4writer.plan(trees[0], replace(spec, uuid=given)).uuid == given
    with pytest.raises(SpecError, match="identity"):
        Spec(identity="name")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", 0o600),
        ("uid", 1),
        ("gid", 1),
        ("mtime_ns", 2),
        ("atime_ns", 1),
        ("ctime_ns", 1),
        ("crtime_ns", 1),
        ("xattrs", {b"user.a": b"1"}),
    ],
)
def test_another_attribute_is_another_file_system(name: str, value: Any) -> None:
    other = small_tree()
    setattr(other["/file"], name, value)
    assert ext4writer.plan(other).uuid != ext4writer.plan(small_tree()).uuid


def test_a_given_identity_is_kept() -> None:
    uuid, seed = UUID(int=1), UUID(int=2)
    layout = ext4writer.plan(small_tree(), Spec(uuid=uuid, hash_seed=seed))
    assert (layout.uuid, layout.hash_seed) == (uuid, seed)
    assert ext4writer.plan(small_tree(), Spec(uuid=uuid)).hash_seed != seed
