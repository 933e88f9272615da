"""A plan that was saved and loaded gives the same image, in this process or another."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import (
    DEFAULT_FEATURES,
    CallableContent,
    Layout,
    OutputError,
    PathContent,
    PathSliceContent,
    PlanError,
    RandomPolicy,
    RegularFile,
    SourceChangedError,
    Spec,
    SpecError,
    Tree,
    TreeError,
    sources,
)
from ext4writer.ondisk.features import FEATURES, Feature
from ext4writer.plan_file.classes import signature
from ext4writer.plan_file.saved import MAGIC
from tests.makers.strategies import specs, trees

# The images equal others, which have been judged already.
pytestmark = pytest.mark.judged("quick")

MIB = 1 << 20


def digest(layout: Layout) -> str:
    with layout.open() as image:
        return hashlib.file_digest(image, "sha256").hexdigest()  # type: ignore[arg-type]


def reloaded(layout: Layout, folder: Path) -> Layout:
    path = folder / "saved.plan"
    layout.save(path)
    return Layout.load(path)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    tree=trees(max_nodes=15),
    spec=specs(fixed_sizes=False),
    policy=st.none() | st.integers(0, 99),
)
def test_any_plan_survives_saving(tree: Tree, spec: Spec, policy: int | None) -> None:
    spec = replace(spec, policy=None if policy is None else RandomPolicy(policy))
    try:
        layout = ext4writer.plan(tree, spec)
    except (TreeError, SpecError):
        assume(False)
    assume(layout.size_bytes < 256 * MIB)
    with tempfile.TemporaryDirectory() as folder:
        again = reloaded(layout, Path(folder))
    assert digest(again) == digest(layout)
    assert (
        again.report() == layout.report() or again.report().as_dict() == layout.report().as_dict()
    )
    assert again.spec == replace(spec, policy=None)


@pytest.mark.parametrize("row", [row for row in FEATURES if row.support == "write"], ids=str)
def test_the_plan_of_every_feature_survives_saving(row: Feature, tmp_path: Path) -> None:
    tree = Tree()
    tree.file("/a", b"a" * 5000)
    for number in range(200):
        tree.file(f"/many/{number:050}", b"", parents=True)
    features = DEFAULT_FEATURES.with_(row.name, *row.needs).without(
        *(
            other.name
            for other in FEATURES
            if other.name in row.conflicts or row.name in other.conflicts
        )
    )
    try:
        layout = ext4writer.plan(tree, Spec(features=features, size="32M"))
    except SpecError:
        # Features that need options, or different defaults, have separate tests.
        return
    assert digest(reloaded(layout, tmp_path)) == digest(layout)


def test_the_plan_of_groups_like_mke2fs_survives_saving(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("/a", b"a" * 50_000)
    spec = Spec(size="32M", block_size=1024, group_tables="mke2fs", lazy_itable_init=True)
    layout = ext4writer.plan(tree, spec)
    assert digest(reloaded(layout, tmp_path)) == digest(layout)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "below").mkdir(parents=True)
    chance = random.Random(1)
    for number in range(20):
        (folder / "below" / f"f{number}").write_bytes(chance.randbytes(300 * number))
    with (folder / "sparse").open("wb") as file:
        file.seek(MIB)
        file.write(b"x" * 10_000)
        file.truncate(2 * MIB)
    (folder / "link").symlink_to("below")
    os.link(folder / "below" / "f3", folder / "hard")
    return folder


def tree_of_all_contents(folder: Path, tmp_path: Path) -> Tree:
    """Files of the host, an archive with a sparse member, slices, bytes and others."""
    archive = tmp_path / "archive.tar"
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder / "below", "in-archive")
    tree = sources.directory(folder)
    tree.overlay(sources.tar(archive))
    tree.file("/bytes", b"in memory")
    tree.add("/path", RegularFile(PathContent(folder / "below" / "f9")))
    tree.add("/slice", RegularFile(PathSliceContent(folder / "below" / "f9", 100, 500)))
    return tree


def test_contents_of_all_kinds_are_read_again(folder: Path, tmp_path: Path) -> None:
    layout = ext4writer.plan(tree_of_all_contents(folder, tmp_path))
    assert digest(reloaded(layout, tmp_path)) == digest(layout)


def test_files_of_an_image_are_read_again(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.img"
    ext4writer.write_image(sources.directory(folder), old)
    layout = ext4writer.plan(sources.image(old))
    assert digest(reloaded(layout, tmp_path)) == digest(layout)


def test_another_process_writes_it_from_another_directory(folder: Path, tmp_path: Path) -> None:
    here = Path.cwd()
    os.chdir(folder.parent)
    try:
        layout = ext4writer.plan(sources.directory("source"))
        layout.save("relative.plan")
    finally:
        os.chdir(here)
    code = (
        "import sys; from ext4writer import Layout, write_layout; "
        "write_layout(Layout.load(sys.argv[1]), sys.argv[2])"
    )
    image = tmp_path / "image"
    subprocess.run(
        [sys.executable, "-c", code, folder.parent / "relative.plan", image], check=True, cwd="/"
    )
    assert hashlib.sha256(image.read_bytes()).hexdigest() == digest(layout)


def test_the_same_plan_is_the_same_file(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        ext4writer.plan(sources.directory(folder)).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_plan_replaces_no_source_and_no_pipe(folder: Path, tmp_path: Path) -> None:
    layout = ext4writer.plan(sources.directory(folder))
    source = folder / "below" / "f9"
    before = source.read_bytes()
    with pytest.raises(OutputError, match="is the source of /below/f9; "):
        layout.save(source)
    with pytest.raises(OutputError, match="is the source of /below/f9; "):
        reloaded(layout, tmp_path).save(source)
    assert source.read_bytes() == before
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="something other than a regular file"):
        layout.save(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_a_changed_source_is_detected(folder: Path, tmp_path: Path) -> None:
    again = reloaded(ext4writer.plan(sources.directory(folder)), tmp_path)
    (folder / "below" / "f9").write_bytes(b"!" * 2700)
    with pytest.raises(SourceChangedError, match="f9"):
        digest(again)


@pytest.mark.parametrize("kind", ["function", "piped"])
def test_content_of_this_process_is_refused_by_path(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    tree = Tree()
    if kind == "function":
        opener = lambda: io.BytesIO(b"x" * 10)  # noqa: E731
        tree.directory("/a")
        tree.add("/a/stream", RegularFile(CallableContent(opener, 10)))
        expected = "/a/stream"
    else:
        packed = io.BytesIO()
        (folder / "below" / "large").write_bytes(random.Random(2).randbytes(3 * MIB))
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            tar.add(folder / "below", "below")
        archive = tmp_path / "archive.tar.gz"
        archive.write_bytes(packed.getvalue())
        with tempfile.TemporaryFile() as spool:
            tree = sources.tar(archive, spool=spool)
        expected = "/below/.*temporary file"
    path = tmp_path / "refused.plan"
    path.write_bytes(b"kept")
    with pytest.raises(PlanError, match=expected):
        ext4writer.plan(tree).save(path)
    assert path.read_bytes() == b"kept"


def test_a_file_that_is_not_a_plan_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(PlanError, match="No such file"):
        Layout.load(missing)
    other = tmp_path / "other"
    for data, expected in (
        (b"", "not a plan"),
        (b"PK\3\4", "not a plan"),
        (MAGIC + b"0123456789abcdef\n", "another release"),
        (MAGIC + signature().encode() + b"\n", "incomplete"),
    ):
        other.write_bytes(data)
        with pytest.raises(PlanError, match=expected):
            Layout.load(other)


def test_a_plan_that_was_cut_or_changed(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "saved.plan"
    ext4writer.plan(sources.directory(folder)).save(path)
    data = path.read_bytes()
    for changed in (data[:-1], data[:100], data[:200] + b"!" + data[201:]):
        path.write_bytes(changed)
        with pytest.raises(PlanError, match="damaged or incomplete"):
            Layout.load(path)


def test_a_plan_with_one_wrong_byte(tmp_path: Path) -> None:
    """No wrong byte is ignored."""
    path = tmp_path / "saved.plan"
    tree = Tree()
    tree.file("/file", b"x" * 5000)
    ext4writer.plan(tree).save(path)
    data = path.read_bytes()
    after_the_digest = data.index(b"\n", data.index(b"\n") + 1) + 1
    chance = random.Random(8)
    places = [*range(after_the_digest + 8), *chance.sample(range(len(data)), 100)]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(PlanError):
            Layout.load(path)


def test_a_plan_of_another_release(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may make the same decisions but write different bytes."""
    path = tmp_path / "saved.plan"
    ext4writer.plan(sources.directory(folder)).save(path)
    monkeypatch.setattr("ext4writer.plan_file.classes.__version__", "0.0.9")
    with pytest.raises(PlanError, match="another release"):
        Layout.load(path)


def test_a_forged_plan_never_ends_in_a_traceback(folder: Path, tmp_path: Path) -> None:
    """The digest is right, and the content under it is wrong at one position after another."""
    path = tmp_path / "saved.plan"
    ext4writer.plan(sources.directory(folder)).save(path)
    head, _, frame = path.read_bytes().split(b"\n", 2)
    inner = zstandard.ZstdDecompressor().decompress(frame)
    chance = random.Random(5)
    refused = 0
    for _ in range(300):
        forged = bytearray(inner)
        for _ in range(chance.randrange(1, 4)):
            forged[chance.randrange(len(forged))] = chance.randrange(256)
        packed = zstandard.ZstdCompressor().compress(bytes(forged))
        digest_line = hashlib.sha256(packed).hexdigest().encode()
        path.write_bytes(b"\n".join([head, digest_line, packed]))
        try:
            Layout.load(path)
        except (PlanError, ext4writer.SourceError):
            refused += 1
    assert refused > 100
