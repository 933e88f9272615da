"""Archives of ``docker save`` since Docker 25: an OCI image layout with a ``manifest.json``.

Sources: moby, image/tarexport/save.go (images of Docker's own store), and containerd,
core/images/archive/exporter.go (images of containerd's store, with layers that stay compressed).
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ext4writer import ArchiveError, Directory, RegularFile, Symlink, Tree, sources
from ext4writer.content import BytesContent
from ext4writer.sources import ContainerImage
from tests.builder.command import report
from tests.conftest import MakeImage
from tests.makers.containers import Entry, Layout, docker_save, layer_tar, sha256, whiteout

LOWER = layer_tar(
    [
        Entry(b"bin", Directory(0o755)),
        Entry(b"bin/sh", RegularFile(BytesContent(b"\x7fELF" * 5000), 0o755)),
        Entry(b"gone", RegularFile(BytesContent(b"gone"))),
        Entry(b"link", Symlink(b"bin/sh")),
    ]
)
UPPER = layer_tar([whiteout(b"gone"), Entry(b"bin/ash", link=b"bin/sh")])
CONFIG = {"User": "5:6", "Entrypoint": ["/bin/sh"]}


def expected() -> Tree:
    tree = Tree()
    tree.directory("/bin")
    tree.file("/bin/sh", b"\x7fELF" * 5000, mode=0o755)
    tree.link("/bin/ash", "/bin/sh")
    tree.symlink("/link", "bin/sh")
    return tree


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return tmp_path / "saved.tar"


def one_image(layout: Layout, saved: Path, compressions: Sequence[str]) -> None:
    image = layout.image([LOWER, UPPER], compressions, config=CONFIG).on("linux", "amd64")
    layout.index([image.tagged("box:1"), image.tagged("other:2")])
    docker_save(saved, layout, {image: ["box:1", "other:2"]})


@pytest.mark.parametrize("compressions", [[""], ["gzip"], ["zstd", ""]], ids="-".join)
@pytest.mark.parametrize("outer", ["plain", "gzip", "folder"])
def test_both_kinds_read_the_same_image(
    outer: str,
    compressions: list[str],
    layout: Layout,
    saved: Path,
    tmp_path: Path,
    make_image: MakeImage,
) -> None:
    one_image(layout, saved, compressions)
    place = saved
    if outer == "folder":
        place = layout.folder
    elif outer == "gzip":
        place = tmp_path / "saved.tgz"
        place.write_bytes(gzip.compress(saved.read_bytes()))
    wanted = make_image(expected()).read_bytes()
    for number, read in enumerate((sources.docker_archive, sources.oci)):
        for reference in ("box:1", "docker.io/library/box:1", "other:2", None):
            with (tmp_path / f"spool{number}{reference and len(reference)}").open("w+b") as spool:
                image = read(place, reference, spool=spool)
                assert image.config.user == "5:6"
                assert image.layers == (sha256(LOWER), sha256(UPPER))
                assert str(image.platform) == "linux/amd64"
                assert make_image(image.tree, name="again").read_bytes() == wanted


def test_the_command_accepts_both_kinds(layout: Layout, saved: Path, tmp_path: Path) -> None:
    one_image(layout, saved, [""])
    images = []
    for source in (f"docker-archive:{saved}:box:1", f"oci:{saved}:box:1", "oci:-"):
        with saved.open("rb") as stream:
            facts = report("build", source, "-o", tmp_path / "image", stdin=stream)
        images.append((tmp_path / "image").read_bytes())
        said = facts["sources"][0]["facts"]
        assert (said["user"], said["entrypoint"], said["layers"]) == ("5:6", ["/bin/sh"], 2)
    assert len(set(images)) == 1


def test_images_that_share_a_tag_are_told_apart_by_name(layout: Layout, saved: Path) -> None:
    first = layout.image([layer_tar([Entry(b"first", Directory())])])
    second = layout.image([layer_tar([Entry(b"second", Directory())])])
    layout.index([first.tagged("a:latest"), second.tagged("b:latest")])
    docker_save(saved, layout, {first: ["a:latest"], second: ["b:latest"]})
    for read in (sources.docker_archive, sources.oci):
        assert "/first" in read(saved, "a:latest").tree
        assert "/second" in read(saved, "b:latest").tree
        for reference in (None, "latest", "c:latest"):
            with pytest.raises(ArchiveError, match="a:latest, .*b:latest"):
                read(saved, reference)


def test_only_the_platform_that_was_there_is_saved(layout: Layout, saved: Path) -> None:
    """The index of containerd's store still names the others, and the builder's attestations."""
    images = [
        layout.image([layer_tar([Entry(name.encode(), Directory())])], architecture=name).on(
            "linux", name
        )
        for name in ("amd64", "arm64")
    ]
    attestation = layout.image([layer_tar([])]).on("unknown", "unknown")
    annotations = {"vnd.docker.reference.type": "attestation-manifest"}
    attestation = replace(attestation, more={**attestation.more, "annotations": annotations})
    index = layout.nested([*images, attestation])
    layout.index([index.tagged("box:1")])
    (layout.folder / "blobs" / images[0].descriptor()["digest"].replace(":", "/")).unlink()
    docker_save(saved, layout, {images[1]: ["box:1"]})
    assert "/arm64" in sources.docker_archive(saved).tree
    assert "/arm64" in sources.oci(saved, "box:1", platform="linux/arm64").tree
    with pytest.raises(ArchiveError, match="is missing"):
        sources.oci(saved, "box:1", platform="linux/amd64")


def test_an_image_without_a_tag(layout: Layout, saved: Path) -> None:
    image = layout.image([LOWER])
    layout.index([image])
    docker_save(saved, layout, {image: []})
    found: list[ContainerImage] = [sources.docker_archive(saved), sources.oci(saved)]
    assert [one.names for one in found] == [(), ()]


def test_manifests_without_layers(layout: Layout, saved: Path) -> None:
    """Docker 25.0.0 omitted the layers from the OCI manifest; its own list has them."""
    one_image(layout, saved, [""])
    with tarfile.open(saved) as archive:
        listed = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
    described = (layout.folder / listed[0]["Config"]).read_bytes()
    broken = layout.document(
        {
            "schemaVersion": 2,
            "config": layout.blob(
                described, "application/vnd.oci.image.config.v1+json"
            ).descriptor(),
            "layers": None,
        },
        "application/vnd.oci.image.manifest.v1+json",
    )
    layout.index([broken.tagged("box:1")])
    with tarfile.open(saved, "w") as archive:
        archive.add(layout.folder, ".")
    assert "/bin/ash" in sources.docker_archive(saved).tree
    with pytest.raises(ArchiveError, match="2 diff_ids for 0 layers"):
        sources.oci(saved)
