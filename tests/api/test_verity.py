"""Files with fs-verity Merkle trees, judged by fsverity-utils, e2fsck and our check."""

from __future__ import annotations

import io
import json
import os
import random
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import DamageError, Layout, RandomPolicy, Spec, SpecError, Tree, TreeError
from ext4writer.edit.rules import apply_rules
from ext4writer.edit.rules_flags import verity
from ext4writer.inode_flags import FS_VERITY_FL
from ext4writer.inspection.check import check_opened
from ext4writer.planning import verity as planned_verity
from ext4writer.read import open_image
from ext4writer.read.verity import check as check_file
from ext4writer.read.verity import verity as verity_of
from tests.builder.command import report
from tests.builder.command import run as command
from tests.judges import tools
from tests.judges.fsck import judge

FULL = 128 * 4096
"""Bytes whose hashes fill one block of sha256."""
SIZES = (0, 1, 4096, 65536, 65537, FULL, FULL + 1, 3 * FULL + 5, 10 << 20)


def sample() -> Tree:
    tree = Tree()
    for size in SIZES:
        tree.file(f"files/{size}", random.Random(size).randbytes(size), parents=True)
    tree.file("files/zeros", bytes(3 << 20))
    tree.file("files/holes", b"start" + bytes(2 << 20) + b"end" + bytes(1 << 20))
    tree.file("plain", b"p" * 300_000)
    tree.link("link", "files/1")
    tree.file("files/again", random.Random(10 << 20).randbytes(10 << 20))
    apply_rules(tree, [verity("files/*")])
    return tree


def fsverity_digest(data: bytes, spec: Spec, folder: Path) -> str:
    file = folder / "data"
    file.write_bytes(data)
    options = [
        f"--hash-alg={spec.verity_hash_alg}",
        f"--block-size={spec.verity_tree_block_size}",
        *([f"--salt={spec.verity_salt.hex()}"] if spec.verity_salt else []),
    ]
    done = subprocess.run(
        [tools.require("fsverity"), "digest", *options, file],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[0]


def assert_right(tree: Tree, layout: Layout, image: Path, folder: Path) -> None:
    judge(image, "quick")
    digests = dict(layout.verity_digests)
    with open_image(image) as opened:
        assert not check_opened(opened, [], data=True).problems
        for path, node in tree.walk():
            if not node.flags & FS_VERITY_FL:
                continue
            data = opened.open(path).read()
            assert data == b"".join(contents(node.content))
            assert digests.pop(path) == fsverity_digest(data, layout.spec, folder)
            assert check_file(opened.lookup(path)) is not None
        assert verity_of(opened.root) is None
    assert not digests


def contents(content: ext4writer.Content) -> list[bytes]:
    reader = content.open()
    data = bytearray(content.size)
    if data:
        reader.readinto(memoryview(data), 0)
    reader.close()
    return [bytes(data)]


SPECS = {
    "default": Spec(features="verity"),
    "1 KiB": Spec(features="verity", block_size=1024, verity_salt="0102", free=1 << 20),
    "sha512, 1 KiB": Spec(features="verity", verity_hash_alg="sha512", verity_block_size=1024),
    "salt, random": Spec(features="verity", verity_salt=bytes(range(32)), policy=RandomPolicy(4)),
    "inline, quota": Spec(features="verity,inline_data,quota", inode_size=1024),
    "clusters": Spec(features="verity,bigalloc", cluster_size=32768),
    "large clusters": Spec(features="verity,bigalloc", block_size=1024, cluster_size=1 << 18),
    "shared blocks": Spec(features="verity,shared_blocks"),
    "given size": Spec(features="verity,^64bit", size=80 << 20, hole_size=0),
}


@pytest.mark.judged("quick")
@pytest.mark.parametrize("name", SPECS)
def test_digests_are_those_of_fsverity_utils(name: str, tmp_path: Path) -> None:
    spec, tree, image = SPECS[name], sample(), tmp_path / "image"
    layout = ext4writer.write_image(tree, image, spec)
    assert_right(tree, layout, image, tmp_path)
    assert layout.space["verity"] > sum(SIZES) // 130
    if spec.size is None:
        assert layout.available_bytes >= spec.fitted_free
    written = image.read_bytes()
    assert b"".join(ext4writer.iter_image(sample(), spec)) == written
    if name != "default":
        return
    with layout.open() as opened:
        assert opened.pread(0, len(written)) == written
    layout.save(tmp_path / "plan")
    again = bytearray()
    ext4writer.write_layout(Layout.load(tmp_path / "plan"), again)
    assert again == written


@pytest.mark.judged("quick")
def test_large_trees_are_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes do not depend on what is kept in memory."""
    images = []
    for kept, spec in ((32 << 20, "a"), (0, "b"), (40_000, "c")):
        monkeypatch.setattr(planned_verity, "TREES_KEPT_BYTES", kept)
        image = tmp_path / spec
        ext4writer.write_image(sample(), image, SPECS["1 KiB"])
        images.append(image.read_bytes())
    assert images[0] == images[1] == images[2]


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.integers(0, 70_000),
            st.sampled_from([65535, 65536, 65537, FULL - 1, FULL, FULL + 4096, 1 << 20]),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["sha256", "sha512"]),
    st.sampled_from([1024, 2048, 4096]),
    st.integers(0, 3),
    st.booleans(),
)
@pytest.mark.judged("quick")
def test_any_files(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    algorithm: str,
    block_size: int,
    seed: int,
    holes: bool,
) -> None:
    folder = tmp_path_factory.mktemp("verity")
    tree = Tree()
    for number, size in enumerate(sizes):
        data = bytearray(random.Random(size).randbytes(size))
        if holes:
            data[size // 4 : size // 2] = bytes(size // 2 - size // 4)
        tree.file(f"{number}", bytes(data), flags="verity")
    spec = Spec(
        features="verity",
        block_size=block_size,
        verity_block_size=1024,
        verity_hash_alg=algorithm,  # type: ignore[arg-type]
        policy=RandomPolicy(seed) if seed else None,
        free=0,
    )
    layout = ext4writer.write_image(tree, folder / "image", spec)
    assert_right(tree, layout, folder / "image", folder)


@pytest.mark.judged("quick")
def test_the_command_reports_digests_and_takes_signatures(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "usr/bin").mkdir(parents=True)
    data = {name: os.urandom(200_000) for name in ("app", "tool", "other")}
    for name, content in data.items():
        (source / "usr/bin" / name).write_bytes(content)
    key, cert, signature = (tmp_path / name for name in ("key.pem", "cert.pem", "app.sig"))
    tools.run(
        [
            *("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-x509"),
            *("-out", cert, "-subj", "/CN=test"),
        ]
    )
    app = source / "usr/bin/app"
    tools.run(["fsverity", "sign", app, signature, f"--key={key}", f"--cert={cert}"])
    image = tmp_path / "image"
    options = ("--verity", "usr/bin/app", "--verity", "tool")
    done = report(
        *("build", source, "-o", image, "--json", *options, "--set", "app: flags=immutable"),
        *("--verity-signature", f"usr/bin/app={signature}"),
    )
    judge(image, "quick")
    assert "verity" in done["features"]
    assert done["verity"] == {
        f"/usr/bin/{name}": fsverity_digest(data[name], Spec(), tmp_path)
        for name in ("app", "tool")
    }
    with open_image(image) as opened:
        found = verity_of(opened.lookup("/usr/bin/app"))
        assert found is not None and found.signature == signature.read_bytes()
        assert {"VERITY", "IMMUTABLE"} <= set(opened.lookup("/usr/bin/app").flag_names)
        assert verity_of(opened.lookup("/usr/bin/other")) is None
    text = command("plan", source, *options).stdout
    assert done["verity"]["/usr/bin/tool"] in text
    [shown] = json.loads(command("stat", image, "/usr/bin/app", "--json").stdout)
    assert done["verity"]["/usr/bin/app"] == f"sha256:{shown['verity']['digest']}"
    shown = command("show", image, "/usr/bin/app").stdout
    assert re.search(rf"fsverity_descriptor.sig_size +{signature.stat().st_size}\b", shown)
    done = command(
        *("build", source, "-o", signature, *options),
        *("--verity-signature", f"usr/bin/app={signature}"),
    )
    assert done.returncode and signature.read_bytes() == found.signature
    # The verity data of an image is not carried over, and this is reported.
    again = report("build", image, "-o", tmp_path / "again", "--json")
    assert [loss["what"] for loss in again["losses"]] == ["the inode flags verity are not kept"] * 2


def test_invalid_verity_options_are_refused(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("a", b"a", flags="verity")
    with pytest.raises(TreeError, match="^/a: the inode flag verity needs the feature verity"):
        ext4writer.plan(tree)
    with pytest.raises(TreeError, match="^/b: has a signature but is not a file"):
        ext4writer.plan(tree, Spec(features="verity", verity_signatures={"b": b"s"}))
    tree.directory("c", flags="verity")
    with pytest.raises(TreeError, match="^/c: the inode flag verity is only for files"):
        ext4writer.plan(tree, Spec(features="verity"))
    for wrong, problem in (
        ({"features": "verity,^extent,^64bit"}, "verity needs extent"),
        ({"verity_salt": "00"}, "verity_salt: needs the feature verity"),
        ({"verity_signatures": {"a": b"s"}}, "verity_signatures: needs the feature"),
        ({"features": "verity", "verity_salt": "xy"}, "is not hexadecimal"),
        ({"features": "verity", "verity_salt": bytes(33)}, "the maximum is 32"),
        ({"features": "verity", "verity_block_size": 8192}, "to the block size"),
        ({"features": "verity", "verity_hash_alg": "md5"}, "is not one of sha256, sha512"),
        ({"features": "verity", "verity_signatures": {"a": bytes(20_000)}}, "not a signature"),
    ):
        with pytest.raises(SpecError, match=problem):
            Spec(**wrong)  # type: ignore[arg-type]


@pytest.mark.damaged
def test_damage_is_found_by_the_check(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("a", bytes(range(256)) * 3000, flags="verity")
    data = bytearray()
    ext4writer.write_image(tree, data, Spec(features="verity"))
    with open_image(bytes(data)) as opened:
        runs = list(opened.lookup("/a").runs())
    for run, field in ((runs[0], "root_hash"), (runs[-1], "root_hash")):
        damaged = bytearray(data)
        damaged[run.physical * 4096 + 5] ^= 1
        with open_image(bytes(damaged)) as opened:
            problems = check_opened(opened, [], data=True).problems
        assert {problem.field for problem in problems} == {field}
        with open_image(bytes(damaged)) as opened, pytest.raises(DamageError):
            check_file(opened.lookup("/a"))


def test_content_that_changes_is_noticed(tmp_path: Path) -> None:
    tree = Tree()
    file = tmp_path / "file"
    file.write_bytes(b"one" * 1000)
    tree.file("a", file, flags="verity")
    layout = ext4writer.plan(tree, Spec(features="verity"))
    file.write_bytes(b"two" * 1000)
    with pytest.raises(ext4writer.SourceChangedError):
        ext4writer.write_layout(layout, io.BytesIO())


def test_identity_follows_salt_and_signature() -> None:
    def uuid(**options: object) -> object:
        tree = Tree()
        tree.file("a", b"a", flags="verity")
        return ext4writer.plan(tree, Spec(features="verity", **options)).uuid  # type: ignore[arg-type]

    found = {
        uuid(),
        uuid(verity_salt="01"),
        uuid(verity_signatures={"a": b"s"}),
        uuid(identity="content"),
    }
    assert len(found) == 4 and uuid() == uuid(verity_hash_alg="sha256")
