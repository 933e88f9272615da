"""Builds container images as the specifications define: layers, OCI layouts, docker archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import zstandard

from ext4writer import BlockDevice, CharacterDevice, Directory, Fifo, Node, RegularFile, Symlink

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."

COMPRESS = {
    "": lambda data: data,
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}


@dataclass(frozen=True)
class Entry:
    """One member of a layer: a node, a hard link to the path ``link``, or a whiteout."""

    path: bytes
    node: Node | None = None
    link: bytes | None = None


def whiteout(path: bytes) -> Entry:
    """The whiteout that hides ``path`` of the layers below."""
    head, _, name = path.rpartition(b"/")
    return Entry((head + b"/" if head else b"") + b".wh." + name)


def opaque(path: bytes) -> Entry:
    """The opaque whiteout that hides what lower layers have in the directory ``path``."""
    return Entry((path + b"/" if path else b"") + b".wh..wh..opq")


def layer_tar(entries: Iterable[Entry]) -> bytes:
    """A tar archive of ``entries``, written by Python's tarfile; the root is ``.``."""
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer,
        mode="w",
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        for entry in entries:
            info = tarfile.TarInfo(os.fsdecode(entry.path or b"."))
            info.mode, info.mtime = 0, 0
            data = b""
            if entry.link is not None:
                info.type, info.linkname = tarfile.LNKTYPE, os.fsdecode(entry.link)
            elif entry.node is not None:
                data = _describe(info, entry.node)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _describe(info: tarfile.TarInfo, node: Node) -> bytes:
    info.mode, info.uid, info.gid = node.mode, node.uid, node.gid
    seconds, nanoseconds = divmod(abs(node.mtime_ns), 10**9)
    # A float cannot hold the time; the pax record is exact.
    info.pax_headers["mtime"] = f"{'-' * (node.mtime_ns < 0)}{seconds}.{nanoseconds:09d}"
    for name, value in (node.xattrs or {}).items():
        key = "SCHILY.xattr." + name.decode()
        info.pax_headers[key] = value.decode("utf-8", "surrogateescape")
    if isinstance(node, RegularFile):
        info.size = node.content.size
        data = bytearray(info.size)
        with memoryview(data) as view:
            node.content.read_whole(view)
        return bytes(data)
    if isinstance(node, Symlink):
        info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(node.target)
    elif isinstance(node, CharacterDevice | BlockDevice):
        info.type = tarfile.CHRTYPE if isinstance(node, CharacterDevice) else tarfile.BLKTYPE
        info.devmajor, info.devminor = node.major, node.minor
    else:
        assert isinstance(node, Directory | Fifo)
        info.type = tarfile.DIRTYPE if isinstance(node, Directory) else tarfile.FIFOTYPE
    return b""


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Blob:
    """A blob, and the descriptors that refer to it."""

    data: bytes
    media_type: str
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def descriptor(self) -> dict[str, Any]:
        return {
            "mediaType": self.media_type,
            "digest": sha256(self.data),
            "size": len(self.data),
            **self.more,
        }

    def named(self, name: str) -> Blob:
        """The descriptor with the annotation for a name."""
        annotation = {"org.opencontainers.image.ref.name": name}
        return replace(self, more={**self.more, "annotations": annotation})

    def tagged(self, tag: str) -> Blob:
        """The descriptor with the two annotations of Docker for a tag on its own hub."""
        annotations = {
            "io.containerd.image.name": f"docker.io/library/{tag}",
            "org.opencontainers.image.ref.name": tag.partition(":")[2],
        }
        return replace(self, more={**self.more, "annotations": annotations})

    def on(self, os_: str, architecture: str, variant: str = "") -> Blob:
        """The descriptor with a platform."""
        platform = {"os": os_, "architecture": architecture}
        if variant:
            platform["variant"] = variant
        return replace(self, more={**self.more, "platform": platform})


class Layout:
    """An OCI image layout in a new folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.index([])

    def blob(self, data: bytes, media_type: str) -> Blob:
        """Store ``data``, and return its blob."""
        path = self.folder / "blobs" / sha256(data).replace(":", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return Blob(data, media_type)

    def document(self, value: Any, media_type: str) -> Blob:
        return self.blob(json.dumps(value).encode(), media_type)

    def layer(self, tar: bytes, compression: str = "gzip") -> Blob:
        suffix = f"+{compression}" if compression else ""
        return self.blob(COMPRESS[compression](tar), f"{OCI}layer.v1.tar{suffix}")

    def image(
        self,
        tars: Sequence[bytes],
        compressions: Sequence[str] = ("gzip",),
        *,
        config: Mapping[str, Any] | None = None,
        architecture: str = "amd64",
    ) -> Blob:
        """Store an image of layers, the lowest first. ``compressions`` are used in turn."""
        layers = [
            self.layer(tar, compressions[number % len(compressions)])
            for number, tar in enumerate(tars)
        ]
        described = self.document(
            {
                "os": "linux",
                "architecture": architecture,
                "config": dict(config or {}),
                "rootfs": {"type": "layers", "diff_ids": [sha256(tar) for tar in tars]},
            },
            f"{OCI}config.v1+json",
        )
        return self.document(
            {
                "schemaVersion": 2,
                "mediaType": f"{OCI}manifest.v1+json",
                "config": described.descriptor(),
                "layers": [layer.descriptor() for layer in layers],
            },
            f"{OCI}manifest.v1+json",
        )

    def nested(self, blobs: Sequence[Blob]) -> Blob:
        """Store an index of ``blobs``."""
        return self.document(_index(blobs), f"{OCI}index.v1+json")

    def index(self, blobs: Sequence[Blob]) -> None:
        """Write the index of the layout."""
        (self.folder / "index.json").write_text(json.dumps(_index(blobs)))


def _index(blobs: Sequence[Blob]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": f"{OCI}index.v1+json",
        "manifests": [blob.descriptor() for blob in blobs],
    }


def docker_archive(
    path: Path,
    tars: Sequence[bytes],
    *,
    tags: Sequence[str] = ("example:1",),
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write the format of ``docker save`` from before OCI layouts."""
    described = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": [sha256(tar) for tar in tars]},
        }
    ).encode()
    files: dict[str, bytes] = {}
    names = []
    for number, tar in enumerate(tars):
        names.append(f"{number:064x}/layer.tar")
        files[names[-1]] = tar
    name = sha256(described).removeprefix("sha256:") + ".json"
    files[name] = described
    manifest = [{"Config": name, "RepoTags": list(tags), "Layers": names}]
    files["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(path, "w") as archive:
        for member, data in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def docker_save(path: Path, layout: Layout, images: Mapping[Blob, Sequence[str]]) -> None:
    """Write the format of ``docker save`` since 25: ``layout`` plus a ``manifest.json``.

    ``images`` are its manifests and their tags. The layout's index must exist.
    """
    listed = []
    for image, tags in images.items():
        manifest = json.loads(image.data)
        listed.append(
            {
                "Config": _blob_name(manifest["config"]),
                "RepoTags": list(tags) or None,
                "Layers": [_blob_name(layer) for layer in manifest["layers"]],
                "LayerSources": {layer["digest"]: layer for layer in manifest["layers"]},
            }
        )
    (layout.folder / "manifest.json").write_text(json.dumps(listed))
    (layout.folder / "repositories").write_text("{}")
    with tarfile.open(path, "w") as archive:
        for each in sorted(layout.folder.rglob("*")):
            archive.add(each, each.relative_to(layout.folder), recursive=False)


def _blob_name(descriptor: Mapping[str, Any]) -> str:
    return "blobs/" + descriptor["digest"].replace(":", "/")
