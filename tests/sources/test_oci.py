"""Which image of a layout or archive is read, its metadata, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import ArchiveError, Ext4WriterError, RegularFile, SourceError, SpecError, sources
from ext4writer.content import BytesContent
from ext4writer.sources import ContainerImage, Platform
from ext4writer.sources.tar_archive import Limits
from tests.judges.tools import run
from tests.makers.containers import (
    DOCKER,
    OCI,
    Blob,
    Entry,
    Layout,
    docker_archive,
    layer_tar,
    sha256,
)

CONFIG = {
    "User": "1000:100",
    "Env": ["PATH=/bin", "LANG=C"],
    "Entrypoint": ["/bin/init", "--all"],
    "Cmd": ["serve"],
    "WorkingDir": "/srv",
    "Labels": {"maker": "tests"},
}


def tar(name: str) -> bytes:
    return layer_tar([Entry(name.encode(), RegularFile(BytesContent(name.encode())))])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def names(image: ContainerImage) -> set[bytes]:
    return set(image.tree.root.children)


def read(layout: Layout, reference: str | None = None, **options: Any) -> set[bytes]:
    return names(sources.oci(layout.folder, reference, **options))


def test_metadata_of_an_image(layout: Layout) -> None:
    tars = [tar("low"), tar("high")]
    blob = layout.image(tars, config=CONFIG, architecture="arm64")
    layout.index([blob.named("release")])
    image = sources.oci(layout.folder)
    assert names(image) == {b"low", b"high"}
    assert image.digest == sha256(blob.data)
    assert image.names == ("release",)
    assert image.layers == tuple(sha256(one) for one in tars)
    assert str(image.platform) == "linux/arm64"
    config = image.config
    assert (config.user, config.working_dir) == ("1000:100", "/srv")
    assert config.env == ("PATH=/bin", "LANG=C")
    assert (config.entrypoint, config.cmd) == (("/bin/init", "--all"), ("serve",))
    assert config.labels == {"maker": "tests"}


def test_names_and_digests(layout: Layout) -> None:
    one, two = layout.image([tar("one")]), layout.image([tar("two")])
    inner = layout.nested([two])
    layout.index([one.named("first"), inner.named("registry:5000/second:2")])
    assert read(layout, "first") == {b"one"}
    assert read(layout, "registry:5000/second:2") == {b"two"}
    for blob, name in ((one, b"one"), (two, b"two"), (inner, b"two")):
        assert read(layout, sha256(blob.data)) == {name}
    for wrong in (None, "third", "sha256:" + "0" * 64, ""):
        with pytest.raises(
            ArchiveError, match="@0 first, sha256:.*; @1 registry:5000/second:2, sha256:"
        ):
            read(layout, wrong)
    layout.index([one.named("a"), one.named("b")])
    assert read(layout) == read(layout, "b") == {b"one"}


def test_names_are_interpreted_as_by_docker(layout: Layout) -> None:
    layout.index([layout.image([tar("x")]).named("docker.io/library/alpine:3")])
    assert read(layout, "alpine:3") == read(layout, "library/alpine:3") == {b"x"}


def platforms(layout: Layout) -> list[Blob]:
    return [
        layout.image([tar("amd64")]).on("linux", "amd64"),
        layout.image([tar("v6")], architecture="arm").on("linux", "arm", "v6"),
        layout.image([tar("v7")], architecture="arm").on("linux", "arm", "v7"),
        layout.image([tar("arm64")], architecture="arm64").on("linux", "arm64", "v8"),
        layout.image([tar("said inside")], architecture="riscv64"),
    ]


def test_platforms(layout: Layout) -> None:
    layout.index([layout.nested(platforms(layout))])
    for wanted, name in {
        None: b"amd64",
        "linux/amd64": b"amd64",
        "linux/arm/v7": b"v7",
        "linux/arm64": b"arm64",
        "linux/arm64/v8": b"arm64",
        "linux/riscv64": b"said inside",
    }.items():
        assert read(layout, platform=wanted) == {name}
    assert read(layout, platform=Platform("linux", "arm", "v6")) == {b"v6"}
    assert read(layout, platform="linux/arm") == {b"v7"}
    with pytest.raises(ArchiveError, match="linux/s390x, only for linux/amd64, linux/arm/v6"):
        read(layout, platform="linux/s390x")
    for wrong in ("linux/", "/amd64", "a/b/c/d", "", "hello", "linux/*", "linux/a b"):
        with pytest.raises(SpecError, match="platform"):
            read(layout, platform=wrong)


# The cases of containerd/platforms (platforms_test.go, TestParseSelector and TestNormalizePlatform;
# compare_test.go, TestOnly), with Linux and amd64 as defaults.
WORDS = {
    "linux/x86_64": b"amd64",
    "LINUX/X86-64": b"amd64",
    "linux/amd64/v1": b"amd64",
    "linux/amd64/v3": b"amd64",
    "amd64": b"amd64",
    "linux": b"amd64",
    "i386": b"386",
    "linux/386": b"386",
    "linux/aarch64": b"arm64",
    "arm64": b"arm64",
    "linux/arm64/8": b"arm64",
    "linux/arm64/V8.5": b"arm64",
    "linux/arm64/v9.2": b"arm64",
    "linux/armhf": b"v6",
    "linux/arm": b"v6",
    "linux/arm/7": b"v6",
    "linux/arm/v8": b"v6",
    "linux/armel": b"v6",
    "armel": b"v6",
    "macos/arm64": b"mac",
    "darwin/aarch64/v8": b"mac",
    "linux/riscv64": b"said inside",
    "linux/arm/v5": None,
    "linux/amd64p32": None,
    "windows/amd64": None,
}


@pytest.mark.parametrize("wanted", WORDS)
def test_platforms_in_the_words_of_containerd(layout: Layout, wanted: str) -> None:
    layout.index(
        [
            layout.image([tar("amd64")]).on("linux", "amd64"),
            layout.image([tar("386")], architecture="386").on("linux", "i386"),
            layout.image([tar("v6")], architecture="arm").on("linux", "arm", "6"),
            layout.image([tar("v5 of bsd")], architecture="arm").on("freebsd", "arm", "v5"),
            layout.image([tar("arm64")], architecture="arm64").on("linux", "aarch64", "v8"),
            layout.image([tar("mac")], architecture="arm64").on("darwin", "arm64"),
            layout.image([tar("said inside")], architecture="riscv64"),
        ]
    )
    name = WORDS[wanted]
    if name is None:
        with pytest.raises(ArchiveError, match="holds no image for"):
            read(layout, platform=wanted)
    else:
        assert read(layout, platform=wanted) == {name}


def test_the_newest_variant_that_suits(layout: Layout) -> None:
    layout.index(
        [
            layout.image([tar(variant)]).on("linux", "amd64", variant)
            for variant in ("v2", "v4", "v3")
        ]
    )
    assert read(layout, platform="linux/amd64/v3") == {b"v3"}
    assert read(layout, platform="linux/amd64/v9") == {b"v4"}
    with pytest.raises(ArchiveError, match="no image for linux/amd64/v1|several images"):
        read(layout, platform="linux/amd64/v1")
    with pytest.raises(ArchiveError, match="several images for linux/amd64: linux/amd64/v2 sha256"):
        read(layout, platform="linux/amd64")


def test_a_platform_without_a_variant_is_that_without_one_first(layout: Layout) -> None:
    layout.index(
        [
            layout.image([tar("newer")]).on("linux", "amd64", "v3"),
            layout.image([tar("any")]).on("linux", "amd64"),
        ]
    )
    assert read(layout) == read(layout, platform="linux/amd64") == {b"any"}
    assert read(layout, platform="linux/amd64/v3") == {b"newer"}


def test_a_configuration_of_many_manifests_is_read_once(layout: Layout) -> None:
    config = layout.document(
        {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}, "x": [[]] * 300_000},
        f"{OCI}config.v1+json",
    )
    manifests = [
        layout.document(
            {"schemaVersion": 2, "config": config.descriptor(), "annotations": {"n": str(number)}},
            f"{OCI}manifest.v1+json",
        )
        for number in range(100)
    ]
    layout.index(manifests)
    begin = time.process_time()
    with pytest.raises(ArchiveError, match="several images for linux/amd64"):
        sources.oci(layout.folder)
    assert time.process_time() - begin < 3


def test_a_platform_of_many_characters(layout: Layout) -> None:
    layout.index([layout.image([], architecture="a" * 255), layout.image([], architecture="b")])
    with pytest.raises(ArchiveError, match="only for linux/a"):
        sources.oci(layout.folder)
    layout.index([layout.image([], architecture="a" * 256), layout.image([], architecture="b")])
    with pytest.raises(ArchiveError, match="more than 255 characters"):
        sources.oci(layout.folder)


def test_a_configuration_of_many_entries_is_read_once(tmp_path: Path) -> None:
    config = json.dumps({"os": "linux", "rootfs": {"diff_ids": []}, "x": [[]] * 300_000})
    with tarfile.open(tmp_path / "saved.tar", "w") as archive:
        manifest = json.dumps([{"Config": "c", "Layers": []}] * 100)
        for name, text in (("manifest.json", manifest), ("c", config)):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    begin = time.process_time()
    with pytest.raises(ArchiveError, match="several images"):
        sources.docker_archive(tmp_path / "saved.tar")
    assert time.process_time() - begin < 3


@pytest.mark.parametrize("kind", ["dots", "links"])
def test_a_configuration_of_many_names_is_read_once(kind: str, tmp_path: Path) -> None:
    config = json.dumps({"os": "linux", "rootfs": {"diff_ids": []}, "x": [[]] * 300_000})
    names = [f"{'./' * number}c" if kind == "dots" else f"c{number}" for number in range(60)]
    with tarfile.open(tmp_path / "saved.tar", "w") as archive:
        manifest = json.dumps([{"Config": name, "Layers": []} for name in names])
        for name, text in (("manifest.json", manifest), ("c", config)):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
        for name in names if kind == "links" else ():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.LNKTYPE, "c"
            archive.addfile(link)
    begin = time.process_time()
    with pytest.raises(ArchiveError, match="several images"):
        sources.docker_archive(tmp_path / "saved.tar")
    assert time.process_time() - begin < 3


def test_the_platform_does_not_depend_on_the_machine(layout: Layout) -> None:
    blobs = platforms(layout)
    layout.index(blobs[1:3])
    with pytest.raises(ArchiveError, match="no image for linux/amd64, only for linux/arm/v6"):
        read(layout)
    layout.index(blobs[3:4])
    assert read(layout) == {b"arm64"}
    with pytest.raises(ArchiveError, match="linux/amd64"):
        read(layout, platform="linux/amd64")


def test_attestations_of_builders_are_not_images(layout: Layout) -> None:
    image = layout.image([tar("x")]).on("linux", "arm64")
    note = layout.image([tar("note")]).on("unknown", "unknown")
    note = Blob(
        note.data,
        note.media_type,
        {**note.more, "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
    )
    artifact = layout.document(
        {
            "schemaVersion": 2,
            "config": layout.blob(b"{}", "application/vnd.oci.empty.v1+json").descriptor(),
            "layers": [],
        },
        f"{OCI}manifest.v1+json",
    )
    layout.index([image, note])
    assert read(layout) == {b"x"}
    layout.index([image, note, artifact])
    assert read(layout, platform="linux/arm64") == {b"x"}
    with pytest.raises(ArchiveError, match="not a container image"):
        read(layout, sha256(artifact.data))


def test_media_types_of_docker(layout: Layout) -> None:
    data = gzip.compress(tar("x"))
    layer = layout.blob(data, f"{DOCKER}image.rootfs.diff.tar.gzip")
    config = layout.document(
        {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [sha256(tar("x"))]}},
        f"{DOCKER}container.image.v1+json",
    )
    manifest = layout.document(
        {
            "schemaVersion": 2,
            "mediaType": f"{DOCKER}distribution.manifest.v2+json",
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        },
        f"{DOCKER}distribution.manifest.v2+json",
    )
    listed = layout.document(
        {"schemaVersion": 2, "manifests": [manifest.descriptor()]},
        f"{DOCKER}distribution.manifest.list.v2+json",
    )
    layout.index([listed])
    assert read(layout) == {b"x"}


@pytest.mark.parametrize("compression", ["", "gz"])
def test_a_layout_in_an_archive(layout: Layout, compression: str, tmp_path: Path) -> None:
    layout.index([layout.image([tar("a"), tar("b")], ["gzip", "", "zstd"])])
    path = tmp_path / "layout.tar"
    with tarfile.open(path, f"w:{compression}") as archive:
        archive.add(layout.folder, ".")
    with (tmp_path / "spool").open("w+b") as spool:
        image = sources.oci(path, spool=spool)
        assert names(image) == {b"a", b"b"}
        assert data_of(image, "a") == b"a"
    with path.open("rb") as file:
        assert names(sources.oci(file)) == {b"a", b"b"}


def data_of(image: ContainerImage, path: str) -> bytes:
    node = image.tree[path]
    assert isinstance(node, RegularFile)
    found = bytearray(node.content.size)
    with memoryview(found) as view:
        node.content.read_whole(view)
    return bytes(found)


def test_compressed_layers_need_no_memory(layout: Layout, tmp_path: Path) -> None:
    """Without a spool, the memory limit applies. With one, the content is stored in it, once."""
    large = RegularFile(BytesContent(os.urandom(1 << 20)))
    layout.index([layout.image([layer_tar([Entry(b"large", large)])], ["zstd"])])
    limits = Limits(memory_bytes=1 << 19)
    with pytest.raises(Ext4WriterError, match="memory_bytes"):
        sources.oci(layout.folder, limits=limits)
    with (tmp_path / "spool").open("w+b") as spool:
        sources.oci(layout.folder, limits=limits, spool=spool)
        assert os.fstat(spool.fileno()).st_size == 1 << 20


# -- docker archives -----------------------------------------------------------------------------


def test_a_docker_archive(tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    docker_archive(path, [tar("low"), tar("high")], tags=["a:1", "b:2"], config=CONFIG)
    image = sources.docker_archive(path)
    assert names(image) == {b"low", b"high"}
    assert image.names == ("a:1", "b:2")
    assert image.config.user == "1000:100"
    for reference in ("a:1", "b:2", image.digest):
        assert sources.docker_archive(path, reference).digest == image.digest
    with pytest.raises(ArchiveError, match="'c:3', only: @0 a:1, b:2, sha256:"):
        sources.docker_archive(path, "c:3")
    with pytest.raises(ArchiveError, match="for linux/arm64"):
        sources.docker_archive(path, platform="linux/arm64")


def saved_images(path: Path, images: list[tuple[list[str] | None, str]]) -> None:
    """An archive of images, each with names and the user in its configuration."""
    files: dict[str, object] = {"manifest.json": []}
    for tags, user in images:
        layer = tar(user)
        name = sha256(layer).partition(":")[2] + ".tar"
        config = {
            "os": "linux",
            "architecture": "amd64",
            "config": {"User": user},
            "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
        }
        data = json.dumps(config).encode()
        where = f"{sha256(data).partition(':')[2]}.json"
        files |= {name: layer, where: data}
        entry = {"Config": where, "RepoTags": tags, "Layers": [name]}
        files["manifest.json"].append(entry)  # type: ignore[attr-defined]
    with tarfile.open(path, "w") as archive:
        for name, value in files.items():
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


REFERENCES = [
    *("alpine", "alpine:latest", "library/alpine", "docker.io/alpine", "index.docker.io/alpine"),
    *("docker.io/library/alpine:latest", "alpine:3", "quay.io/alpine", "quay.io/alpine:latest"),
    *("localhost/alpine", "localhost:5000/alpine", "localhost:5000/alpine:latest", "team/tool"),
    *("docker.io/team/tool:latest", "team/tool:2", "library/team/tool", "other", "quay.io/other"),
    *("@0", "@1", "@4", "@5", "@6", "@-1", "@", "@x", "@01", "@999999999999"),
]


@pytest.mark.parametrize("reference", REFERENCES)
def test_references_of_docker_archives_work_as_in_skopeo(reference: str, tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    images = [
        (["alpine:latest", "alpine:3"], "hub"),
        (["quay.io/alpine:latest"], "quay"),
        (["localhost:5000/alpine:latest", "localhost/alpine:latest"], "local"),
        (["docker.io/team/tool:latest", "team/tool:1"], "team"),
        (None, "nameless"),
        ([], "nameless, too"),
    ]
    saved_images(path, images)
    place = f"docker-archive:{path}:{reference}"
    judge = run(["skopeo", "inspect", "--config", place], check=False)
    try:
        found = sources.docker_archive(path, reference).config.user
    except ArchiveError as error:
        assert judge.returncode != 0, judge.stdout
        assert "only: @0" in str(error)
    else:
        assert judge.returncode == 0, judge.stdout
        assert json.loads(judge.stdout)["config"]["User"] == found


def test_the_images_in_an_archive_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    saved_images(path, [(None, "a"), (["b:1"], "b"), (None, "c")])
    with pytest.raises(ArchiveError) as caught:
        sources.docker_archive(path)
    form = r"@0 \(no names\), (\S+); @1 b:1, (\S+); @2 \(no names\), (\S+)"
    listed = re.search(form, str(caught.value))
    assert listed is not None
    for number, user in enumerate("abc"):
        assert sources.docker_archive(path, f"@{number}").config.user == user
        assert sources.docker_archive(path, listed[1 + number]).config.user == user
    saved_images(path, [(None, f"user {number}") for number in range(100)])
    with pytest.raises(ArchiveError, match="and 70 more$"):
        sources.docker_archive(path)
    saved_images(path, [])
    for reference in (None, "@0", "a"):
        with pytest.raises(ArchiveError, match="no image"):
            sources.docker_archive(path, reference)


def test_numbers_of_images_in_a_layout(layout: Layout) -> None:
    layout.index([layout.image([tar("one")]), layout.image([tar("two")]).named("two")])
    assert read(layout, "@0") == {b"one"} and read(layout, "@1") == {b"two"}
    with pytest.raises(ArchiveError, match="no image '@2', only: @0 to @1"):
        read(layout, "@2")


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Change the files of an archive."""
    with tarfile.open(path) as archive:
        files = {
            member.name: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
        }
    change(files)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if data.startswith(b"-> "):
                info.type, info.linkname = tarfile.SYMTYPE, data[3:].decode()
                data = b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_layers_that_are_links_in_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    docker_archive(path, [tar("x"), tar("x")])

    def link(files: dict[str, bytes]) -> None:
        first, second = (f"{number:064x}/layer.tar" for number in (0, 1))
        files["shared.tar"] = files[first]
        files[first] = b"-> ../shared.tar"
        files[second] = b"-> /" + first.encode()

    rewrite(path, link)
    assert names(sources.docker_archive(path)) == {b"x"}


@pytest.mark.parametrize("target", [b"../../../etc/passwd", b"layer.tar", b"nowhere", b"/../x"])
def test_links_out_of_the_archive_lead_nowhere(target: bytes, tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    docker_archive(path, [tar("x")])
    layer = f"{0:064x}/layer.tar"
    rewrite(path, lambda files: files.update({layer: b"-> " + target}))
    with pytest.raises(ArchiveError, match="layer.tar: is missing"):
        sources.docker_archive(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: files.pop("manifest.json"), "no manifest.json"),
        (lambda files: files.update({"manifest.json": b"{}"}), "not a list"),
        (lambda files: files.update({"manifest.json": b"[1]"}), "not a list"),
        (lambda files: files.update({"manifest.json": b"[{}]"}), "is missing"),
        (lambda files: files.update({"manifest.json": b"[]"}), "holds no image"),
        (lambda files: files.update({f"{0:064x}/layer.tar": tar("other")}), "its digest is"),
        (lambda files: files.pop(f"{0:064x}/layer.tar"), "is missing"),
    ],
)
def test_invalid_docker_archives_are_refused(
    change: Callable[[dict[str, bytes]], None], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "saved.tar"
    docker_archive(path, [tar("x")])
    rewrite(path, change)
    with pytest.raises(ArchiveError, match=words):
        sources.docker_archive(path)


def test_a_configuration_that_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    docker_archive(path, [tar("x")])

    def change(files: dict[str, bytes]) -> None:
        [name] = [name for name in files if len(name) == 69]
        files[name] += b" "

    rewrite(path, change)
    with pytest.raises(ArchiveError, match="its digest is"):
        sources.docker_archive(path)


# -- what is refused -----------------------------------------------------------------------------


def test_folders_that_are_not_layouts_are_refused(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        sources.oci(tmp_path / "nowhere")
    with pytest.raises(ArchiveError, match="holds no image"):
        sources.oci(layout.folder)
    (layout.folder / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    with pytest.raises(ArchiveError, match="version '2.0.0'"):
        sources.oci(layout.folder)
    (layout.folder / "oci-layout").unlink()
    with pytest.raises(ArchiveError, match="no file oci-layout"):
        sources.oci(layout.folder)


def blob_path(layout: Layout, digest: str) -> Path:
    return layout.folder / "blobs" / digest.replace(":", "/")


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "gone", "folder", "pipe"])
def test_a_layer_that_is_damaged(layout: Layout, compression: str, damage: str) -> None:
    layout.index([layout.image([tar("x")], [compression])])
    manifest = json.loads((layout.folder / "index.json").read_text())["manifests"][0]
    described = json.loads(blob_path(layout, manifest["digest"]).read_text())["layers"][0]
    path = blob_path(layout, described["digest"])
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    elif damage == "cut":
        del data[-1]
    elif damage == "grow":
        data.append(0)
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "pipe":
        os.mkfifo(path)
    elif damage != "gone":
        path.write_bytes(data)
    with pytest.raises(SourceError) as caught:
        sources.oci(layout.folder)
    assert described["digest"].partition(":")[2] in str(caught.value)


def test_a_layer_that_unpacks_to_something_else(layout: Layout) -> None:
    """Its own digest is right; only the configuration reveals the change."""
    config = layout.document(
        {"rootfs": {"diff_ids": [sha256(tar("expected"))]}}, f"{OCI}config.v1+json"
    )
    for compression in ("", "gzip", "zstd"):
        manifest = layout.document(
            {
                "schemaVersion": 2,
                "config": config.descriptor(),
                "layers": [layout.layer(tar("found"), compression).descriptor()],
            },
            f"{OCI}manifest.v1+json",
        )
        layout.index([manifest])
        with pytest.raises(ArchiveError, match="its digest is sha256:.*, not sha256:"):
            sources.oci(layout.folder)


def test_sha512(layout: Layout) -> None:
    image = layout.image([tar("x")])
    digest = "sha512:" + hashlib.sha512(image.data).hexdigest()
    blob_path(layout, digest).parent.mkdir()
    blob_path(layout, digest).write_bytes(image.data)
    layout.index([Blob(image.data, image.media_type, {"digest": digest})])
    assert read(layout) == {b"x"}
    blob_path(layout, digest).write_bytes(image.data.replace(b"2", b"3", 1))
    with pytest.raises(ArchiveError, match="its digest is sha512:"):
        read(layout)


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../etc/passwd",
        "sha256:" + "0" * 63,
        "sha256:" + "A" * 64,
        "sha256:" + "0" * 64 + "/..",
        "md5:" + "0" * 32,
        "../x",
        "",
        7,
        None,
    ],
)
def test_invalid_digests_are_refused(layout: Layout, digest: Any) -> None:
    image = layout.image([tar("x")])
    layout.index([Blob(image.data, image.media_type, {"digest": digest})])
    with pytest.raises(ArchiveError, match=r"index\.json.*(not a digest|wrong type)"):
        read(layout)


@pytest.mark.parametrize("size", [-1, True, 1.5, "5", None, 1 << 200])
def test_invalid_sizes_are_refused(layout: Layout, size: Any) -> None:
    image = layout.image([tar("x")])
    layout.index([Blob(image.data, image.media_type, {"size": size})])
    with pytest.raises(ArchiveError, match=r"size|wrong type|its descriptor says"):
        read(layout)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"manifests": ' * 50_000,
        b'{"manifests": "x"}',
        b'{"manifests": [1]}',
        b'{"manifests": [{"annotations": {"a": 1}}]}',
        b'{"a": "\\ud800", "manifests": []}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"schemaVersion": 1, "manifests": []}',
        b'{"manifests": [], "layers": []}',
        b'{"a": "' + b"x" * (8 << 20) + b'"}',
    ],
)
def test_an_invalid_index_is_refused(layout: Layout, text: bytes) -> None:
    (layout.folder / "index.json").write_bytes(text)
    with pytest.raises(ArchiveError, match=r"layout: (index\.json: |holds no image)"):
        read(layout)


def test_a_document_of_two_kinds(layout: Layout) -> None:
    """CVE-2021-41190: one program treats it as an index, another as a manifest."""
    both = {"schemaVersion": 2, "manifests": [], "layers": [], "config": {}}
    for kind in ("index", "manifest"):
        layout.index([layout.document(both, f"{OCI}{kind}.v1+json")])
        with pytest.raises(ArchiveError, match=" but has "):
            read(layout)
    other = {"schemaVersion": 2, "mediaType": f"{OCI}index.v1+json", "layers": []}
    layout.index([layout.document(other, f"{OCI}manifest.v1+json")])
    with pytest.raises(ArchiveError, match="has the media type"):
        read(layout)


def test_nested_indexes(layout: Layout) -> None:
    blob = layout.image([tar("x")])
    for _ in range(14):
        blob = layout.nested([blob, blob, blob])
    layout.index([blob])
    assert read(layout) == {b"x"}
    for _ in range(3):
        blob = layout.nested([blob])
    layout.index([blob])
    with pytest.raises(ArchiveError, match="deep"):
        read(layout)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rootfs": {"diff_ids": []}}, "0 diff_ids for 1 layers"),
        ({"rootfs": {"diff_ids": ["x"]}}, "'x' is not a digest"),
        ({"rootfs": None}, "0 diff_ids"),
        ({"config": []}, "'config' is of the wrong type"),
        ({"config": {"Env": "x"}}, "'Env' is of the wrong type"),
        ({"config": {"Env": [1]}}, "'Env' holds something that is not a string"),
        ({"config": {"Labels": {"a": 1}}}, "'Labels' are not all strings"),
        ({"config": {"User": 0}}, "'User' is of the wrong type"),
    ],
)
def test_an_invalid_image_configuration_is_refused(
    layout: Layout, change: dict[str, Any], words: str
) -> None:
    config = {"os": "linux", "rootfs": {"diff_ids": [sha256(tar("x"))]}, **change}
    manifest = {
        "schemaVersion": 2,
        "config": layout.document(config, f"{OCI}config.v1+json").descriptor(),
        "layers": [layout.layer(tar("x")).descriptor()],
    }
    layout.index([layout.document(manifest, f"{OCI}manifest.v1+json")])
    with pytest.raises(ArchiveError, match=words):
        read(layout)


@pytest.mark.parametrize("kind", ["", f"{OCI}layer.v1.tar+encrypted", "text/plain"])
def test_a_layer_of_an_unknown_type(layout: Layout, kind: str) -> None:
    layer = layout.blob(tar("x"), kind)
    config = layout.document({"rootfs": {"diff_ids": [sha256(tar("x"))]}}, f"{OCI}config.v1+json")
    manifest = {
        "schemaVersion": 2,
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
    }
    layout.index([layout.document(manifest, f"{OCI}manifest.v1+json")])
    with pytest.raises(ArchiveError, match="has a layer of the unsupported type"):
        read(layout)


# -- fuzzing -------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "manifests",
                    "layers",
                    "config",
                    "digest",
                    "size",
                    "mediaType",
                    "platform",
                    "rootfs",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = Layout(tmp_path_factory.mktemp("pristine") / "layout")
    image = layout.image([tar("a"), tar("b"), tar("c")], ["gzip", "", "zstd"], config=CONFIG)
    layout.index([layout.nested([image.on("linux", "amd64")]).named("it")])
    docker_archive(layout.folder / "saved.tar", [tar("a"), tar("b")], config=CONFIG)
    return layout.folder


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside ``value``."""
    found = [path] if path else []
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_changed_documents_give_deliberate_errors_only(
    pristine: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """One value of a document is replaced; the digests above it are corrected."""
    folder = tmp_path_factory.mktemp("changed") / "layout"
    shutil.copytree(pristine, folder)
    index = json.loads((folder / "index.json").read_bytes())
    chain = [index]
    descriptors = [index["manifests"][0]]
    for key in ("manifests", "config"):
        document = json.loads(blob_path_in(folder, descriptors[-1]["digest"]).read_bytes())
        chain.append(document)
        descriptors.append(document[key] if key == "config" else document[key][0])
    chain.append(json.loads(blob_path_in(folder, descriptors[-1]["digest"]).read_bytes()))
    level = data.draw(st.integers(0, len(chain) - 1))
    place = data.draw(st.sampled_from(places(chain[level])))
    changed = replaced(chain[level], place, data.draw(json_values))
    for above in range(level - 1, -1, -1):
        text = json.dumps(changed).encode()
        digest = sha256(text)
        blob_path_in(folder, digest).write_bytes(text)
        old = descriptors[above]
        new = {**old, "digest": digest, "size": len(text)}
        changed = json.loads(json.dumps(chain[above]).replace(json.dumps(old), json.dumps(new)))
    (folder / "index.json").write_text(json.dumps(changed))
    try:
        sources.oci(folder)
    except Ext4WriterError as error:
        assert "\n" not in str(error)
    finally:
        shutil.rmtree(folder.parent)


def blob_path_in(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.replace(":", "/")


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_changed_bytes_give_deliberate_errors_only(
    pristine: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("changed") / "layout"
    shutil.copytree(pristine, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] = data.draw(st.integers(0, 255))
    else:
        content[at : at + data.draw(st.integers(0, 600))] = data.draw(st.binary(max_size=600))
    path.write_bytes(content)
    try:
        for read_image in (
            lambda: sources.oci(folder),
            lambda: sources.docker_archive(folder / "saved.tar"),
        ):
            try:
                read_image()
            except Ext4WriterError as error:
                assert "\n" not in str(error)
    finally:
        shutil.rmtree(folder.parent)


@settings(deadline=None, max_examples=100)
@given(json_values)
def test_any_manifest_of_docker(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("docker") / "saved.tar"
    docker_archive(path, [])
    rewrite(path, lambda files: files.update({"manifest.json": json.dumps(value).encode()}))
    with pytest.raises(Ext4WriterError):
        sources.docker_archive(path)
