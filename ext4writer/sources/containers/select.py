"""Selects one of the images in an OCI image layout."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ArchiveError
from .blobs import Files, blob_name, find_blob, read_small
from .documents import (
    CONFIG_TYPES,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    Document,
    check_kind,
    listed,
    named,
    parse_descriptor,
    parse_document,
    parse_platform,
    source_index,
)
from .platforms import DEFAULT_PLATFORM, Platform, best_for

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYOUT_VERSION = "1.0.0"
DEPTH = 16
"""Most levels of nested indexes."""


class Layout:
    """The documents of one OCI image layout."""

    def __init__(self, files: Files) -> None:
        """Raises :class:`ArchiveError` if ``files`` is not such a layout."""
        self.files = files
        version = self._named("oci-layout").get("imageLayoutVersion", str)
        if version != LAYOUT_VERSION:
            raise self._error(f"is an OCI image layout of version {version!r}, not 1.0.0")
        index = self._named("index.json")
        check_kind(index, Descriptor(index.get("mediaType", str, INDEX_TYPE), "", None), "layers")
        self._top = [parse_descriptor(one) for one in index.objects("manifests")]
        self._platforms: dict[str, Platform] = {}
        """Platforms of the configurations read so far, by their digests."""

    def find(self, reference: str | None, platform: Platform | None) -> Descriptor:
        """The descriptor of the selected manifest.

        ``reference`` is a name in the layout or a digest. Without one, the layout must hold a
        single image, possibly for several platforms; ``platform`` selects one of these, by default
        linux/amd64. Raises :class:`ArchiveError`, which lists the choices, unless exactly one
        manifest is selected.
        """
        found = self._manifests(self._referred(reference))
        if not found:
            raise self._error("holds no image")
        if platform is None and len(found) == 1:
            return found[0]
        requested = platform or DEFAULT_PLATFORM
        known = [(one, self._platform(one)) for one in found]
        fitting = best_for(requested, known)
        if len(fitting) == 1:
            return fitting[0]
        shown = ", ".join(sorted({str(its) or "(not stated)" for _, its in known}))
        if not fitting:
            raise self._error(
                f"holds no image for {requested}, only for {shown}; choose a platform"
            )
        several = sorted(f"{self._platform(one)} {one.digest}" for one in fitting)
        raise self._error(f"holds several images for {requested}: {', '.join(several)}; name one")

    def document(self, descriptor: Descriptor, types: set[str], other: str) -> Document:
        """The document of ``descriptor``, which must have one of the media ``types``.

        See :func:`check_kind` for ``other``. Raises :class:`ArchiveError`.
        """
        name = blob_name(descriptor.digest)
        if descriptor.media_type not in types:
            raise ArchiveError(
                self.files.path,
                f"is of the type {descriptor.media_type!r}, which is not a container image",
                member=name.encode(),
            )
        content = find_blob(self.files, descriptor)
        data = read_small(self.files, name, content, [descriptor.digest])
        document = parse_document(data, self.files.path, name.encode())
        check_kind(document, descriptor, other)
        return document

    def manifest(self, descriptor: Descriptor) -> Document:
        """The manifest of ``descriptor``."""
        return self.document(descriptor, MANIFEST_TYPES, "manifests")

    def config(self, manifest: Document) -> tuple[Descriptor, Document]:
        """The configuration of ``manifest``, and its descriptor."""
        descriptor = parse_descriptor(manifest.below("config"))
        name = blob_name(descriptor.digest)
        if descriptor.media_type not in CONFIG_TYPES:
            raise manifest.error(
                "is not a container image: its configuration is of the type "
                f"{descriptor.media_type!r}"
            )
        content = find_blob(self.files, descriptor)
        data = read_small(self.files, name, content, [descriptor.digest])
        return descriptor, parse_document(data, self.files.path, name.encode())

    def _referred(self, reference: str | None) -> list[Descriptor]:
        found = self._top
        if reference is not None and reference.startswith("@"):
            try:
                return [self._top[source_index(reference, len(self._top))]]
            except ValueError as error:
                raise self._error(str(error)) from None
        if reference is not None:
            found = [one for one in self._top if one.digest == reference] or [
                self._top[at] for at in named(reference, [one.names for one in self._top])
            ]
        several = len({name for one in found for name in one.names[-1:]}) > 1
        if several and len({one.digest for one in found}) > 1:
            raise self._error(f"holds several images; name one of: {self._listed()}")
        if found or reference is None:
            return found
        found = [one for one in self._all(self._top) if one.digest == reference][:1]
        if not found:
            raise self._error(f"holds no image {reference!r}, only: {self._listed()}")
        return found

    def _listed(self) -> str:
        return listed([(one.names[-1:], one.digest) for one in self._top])

    def _all(self, descriptors: Sequence[Descriptor]) -> list[Descriptor]:
        """``descriptors`` and the entries of indexes among them, recursively, each once."""
        found: dict[str, Descriptor] = {}
        level = list(descriptors)
        for _ in range(DEPTH):
            below: list[Descriptor] = []
            for one in level:
                if one.digest in found or one.is_attestation:
                    continue
                found[one.digest] = one
                if one.media_type in INDEX_TYPES:
                    index = self.document(one, INDEX_TYPES, "layers")
                    below += [parse_descriptor(entry) for entry in index.objects("manifests")]
            if not below:
                return list(found.values())
            level = below
        raise self._error(f"has indexes nested more than {DEPTH} deep")

    def _manifests(self, descriptors: Sequence[Descriptor]) -> list[Descriptor]:
        return [one for one in self._all(descriptors) if one.media_type not in INDEX_TYPES]

    def _platform(self, descriptor: Descriptor) -> Platform:
        """The platform of an image, from its index or else from its configuration."""
        if descriptor.platform is not None and descriptor.platform.os:
            return descriptor.platform
        if descriptor.media_type not in MANIFEST_TYPES:
            return Platform()
        manifest = self.manifest(descriptor)
        if manifest.below("config").get("mediaType", str) not in CONFIG_TYPES:
            return Platform()
        digest = parse_descriptor(manifest.below("config")).digest
        if digest not in self._platforms:
            self._platforms[digest] = parse_platform(self.config(manifest)[1])
        return self._platforms[digest]

    def _named(self, name: str) -> Document:
        content = self.files.get(name)
        if content is None:
            is_other = name == "oci-layout" and self.files.get("manifest.json") is not None
            hint = "; docker-archive: may read it" if is_other else ""
            raise self._error(f"is not an OCI image layout: it has no file {name}{hint}")
        data = read_small(self.files, name, content, [])
        return parse_document(data, self.files.path, name.encode())

    def _error(self, problem: str) -> ArchiveError:
        return ArchiveError(self.files.path, problem)
