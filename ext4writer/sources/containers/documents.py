"""The JSON documents of images: indexes, manifests and configurations, validated as they are read.

Sources: OCI image-spec 1.1 (descriptor.md, image-index.md, manifest.md, config.md) and the Docker
image manifest, version 2, schema 2, which has the same members with other media types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ...errors import ArchiveError
from ...late_dataclasses import dataclass, field
from .platforms import Platform

DOCUMENT_BYTES = 8 << 20
"""Most bytes of a document; registries allow 4 MiB."""

PLATFORM_TEXT_MAX = 255
"""Most characters of one part of a platform, because each image keeps one in memory."""

INDEX_TYPES = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}
MANIFEST_TYPES = {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
}
CONFIG_TYPES = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
}
LAYER_TYPE = re.compile(
    r"application/vnd\.oci\.image\.layer(\.nondistributable)?\.v1\.tar(\+gzip|\+zstd)?"
    r"|application/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?"
)
"""Media types of layers. The compression is nevertheless detected from the first bytes."""

DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", re.ASCII)
NAME_ANNOTATIONS = ("org.opencontainers.image.ref.name", "io.containerd.image.name")


SHOWN_MOST = 30
"""Most images listed in an error."""


def named(reference: str, names: Sequence[Collection[str]]) -> list[int]:
    """The indices of the images called ``reference``; ``names`` has the names of each image.

    An exact match takes precedence over a name that means the same to container programs.
    """
    found = [at for at, each in enumerate(names) if reference in each]
    if found:
        return found
    full = full_name(reference)
    return [at for at, each in enumerate(names) if full in map(full_name, each)]


def full_name(name: str) -> str:
    """``name`` completed with registry, repository and tag, as in containers/image.

    The registry is docker.io unless the first part looks like a host; a repository of docker.io
    without a slash is in library/; the tag is latest unless there is a tag or a digest
    (docker/reference: normalize.go, ParseNormalizedNamed, splitDockerDomain, TagNameOnly).
    """
    domain, slash, rest = name.partition("/")
    looks_like_host = "." in domain or ":" in domain or domain == "localhost"
    if not slash or not (looks_like_host or domain != domain.lower()):
        domain, rest = "docker.io", name
    if domain == "index.docker.io":
        domain = "docker.io"
    if domain == "docker.io" and "/" not in rest:
        rest = f"library/{rest}"
    if "@" not in rest and ":" not in rest.rpartition("/")[2]:
        rest += ":latest"
    return f"{domain}/{rest}"


def source_index(reference: str, count: int) -> int:
    """The number N in ``@N``, an index of ``count`` images, from 0.

    Raises ``ValueError`` with a reason if it is out of range or not a number.
    """
    digits = reference[1:]
    if not re.fullmatch("[0-9]{1,9}", digits, re.ASCII) or int(digits) >= count:
        those = "no image" if not count else "one, @0" if count == 1 else f"@0 to @{count - 1}"
        raise ValueError(f"holds no image {reference!r}, only: {those}")
    return int(digits)


def listed(images: Sequence[tuple[Collection[str], str]]) -> str:
    """Text with the references that select each of ``images``, given as (names, digest)."""
    shown = [
        f"@{number} {', '.join([*names[:5], digest] if names else ['(no names)', digest])}"
        for number, (names, digest) in enumerate(
            (sorted(names), digest) for names, digest in images[:SHOWN_MOST]
        )
    ]
    if len(images) > SHOWN_MOST:
        shown.append(f"and {len(images) - SHOWN_MOST:,} more")
    return "; ".join(shown) or "(no images)"


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object; ``archive`` and ``name`` appear in errors."""

    archive: bytes
    name: bytes
    members: Mapping[str, Any]

    def error(self, problem: str) -> ArchiveError:
        """An error in this document."""
        return ArchiveError(self.archive, problem, member=self.name)

    def get(self, key: str, kind: type[Any] | tuple[type[Any], ...], default: Any = None) -> Any:
        """The member ``key``; ``default`` if it is missing or null.

        Raises :class:`ArchiveError` if it is not of type ``kind``.
        """
        value = self.members.get(key)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise self.error(f"its {key!r} is of the wrong type")
        return value

    def strings(self, key: str) -> list[str]:
        """The member ``key``, a list of strings; empty if it is missing or null."""
        values = self.get(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise self.error(f"its {key!r} holds something that is not a string")
        return list(values)

    def below(self, key: str) -> Document:
        """The member ``key``, an object, as a document; empty if it is missing or null."""
        return Document(self.archive, self.name, self.get(key, dict, {}))

    def objects(self, key: str) -> list[Document]:
        """The member ``key``, a list of objects; empty if it is missing or null."""
        values = self.get(key, list, [])
        if not all(isinstance(value, dict) for value in values):
            raise self.error(f"its {key!r} holds something that is not an object")
        return [Document(self.archive, self.name, value) for value in values]


def parse_json(data: bytes, archive: bytes, name: bytes) -> Any:
    """The value in ``data``; raises :class:`ArchiveError` if it is not JSON in valid UTF-8."""
    try:
        value = json.loads(data)
        # An escape can encode a lone surrogate, which cannot be printed.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        what = (
            "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {error}"
        )
        raise ArchiveError(archive, what, member=name) from error
    return value


def parse_document(data: bytes, archive: bytes, name: bytes) -> Document:
    """The object in ``data``; raises :class:`ArchiveError` for anything else."""
    value = parse_json(data, archive, name)
    if not isinstance(value, dict):
        raise ArchiveError(archive, "is not a JSON object", member=name)
    return Document(archive, name, value)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to a blob: its type, digest and size, and its purpose."""

    media_type: str
    digest: str
    size: int | None
    """In bytes; None if unknown."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None

    @property
    def names(self) -> list[str]:
        """The image names that select this descriptor."""
        return [self.annotations[key] for key in NAME_ANNOTATIONS if key in self.annotations]

    @property
    def is_attestation(self) -> bool:
        """Whether this is not an image but a builder's attestation of another one."""
        return "vnd.docker.reference.type" in self.annotations


def parse_descriptor(document: Document) -> Descriptor:
    """Read one descriptor; raises :class:`ArchiveError` if it is malformed."""
    digest = document.get("digest", str, "")
    if not DIGEST.fullmatch(digest):
        raise document.error(f"{digest!r} is not a digest of sha256 or sha512")
    size = document.get("size", int, -1)
    if size < 0:
        raise document.error(f"the descriptor of {digest} has no valid size")
    annotations = document.get("annotations", dict, {})
    if not all(isinstance(value, str) for value in annotations.values()):
        raise document.error(f"the annotations of {digest} are not all strings")
    platform = None
    if document.get("platform", dict) is not None:
        platform = parse_platform(document.below("platform"))
    return Descriptor(document.get("mediaType", str, ""), digest, size, annotations, platform)


def parse_platform(document: Document) -> Platform:
    """Read the platform in ``document``, a platform object or a configuration.

    Raises :class:`ArchiveError` if it is malformed.
    """
    parts = [document.get(key, str, "") for key in ("os", "architecture", "variant")]
    if max(map(len, parts)) > PLATFORM_TEXT_MAX:
        raise document.error(f"a part of its platform has more than {PLATFORM_TEXT_MAX} characters")
    return Platform(*parts)


def check_kind(document: Document, expected: Descriptor, other: str) -> None:
    """Raise :class:`ArchiveError` for a document that could be read as two kinds (CVE-2021-41190).

    ``other`` is a member that only the other kind has.
    """
    said = document.get("mediaType", str, expected.media_type)
    if said != expected.media_type:
        raise document.error(
            f"has the media type {said!r}, but its descriptor {expected.media_type!r}"
        )
    if other in document.members:
        raise document.error(f"is {expected.media_type!r} but has {other!r}")
    if document.get("schemaVersion", int, 2) != 2:
        raise document.error("is not of schema version 2")
