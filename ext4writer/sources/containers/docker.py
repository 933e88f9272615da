"""The archives of ``docker save``: ``manifest.json`` has the paths of configurations and layers.

Older archives have a directory for each layer; newer ones are also OCI image layouts. Both have
the same ``manifest.json`` (moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset").
"""

from __future__ import annotations

import re
from functools import partial

from ...content import Content
from ...errors import ArchiveError
from .blobs import Files, read_small, sha256
from .documents import (
    Document,
    listed,
    named,
    parse_document,
    parse_json,
    parse_platform,
    source_index,
)
from .image import parse_diff_ids
from .platforms import Platform, best_for
from .stack import LayerBlob

_HAS_DIGEST = re.compile(r"(?:blobs/(sha256|sha512)/)?([0-9a-f]{64}|[0-9a-f]{128})(?:\.json)?")


class DockerArchive:
    """The images listed in ``manifest.json``."""

    def __init__(self, files: Files) -> None:
        """Raises :class:`ArchiveError` if ``files`` is not such an archive."""
        self.files = files
        name = "manifest.json"
        content = files.get(name)
        if content is None:
            hint = "; oci: reads it" if files.get("oci-layout") is not None else ""
            problem = f"is not an archive of docker save: it has no manifest.json{hint}"
            raise ArchiveError(files.path, problem)
        listed = parse_json(read_small(files, name, content, []), files.path, name.encode())
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise ArchiveError(files.path, "is not a list of objects", member=name.encode())
        self._images = [Document(files.path, name.encode(), one) for one in listed]
        self._facts_of: dict[Content, tuple[Platform, str]] = {}
        """Content of a configuration -> its platform and digest, for those read so far."""
        self._platforms: dict[str, Platform] = {}
        """SHA-256 of a configuration -> its platform; several names may have the same bytes."""

    def find(
        self, reference: str | None, platform: Platform | None
    ) -> tuple[Document, Document, str]:
        """The selected entry, its configuration and the digest of the configuration.

        ``reference`` is a name in the archive, in full or in a short form that container programs
        complete, ``@N`` for the N-th image (from 0), or the digest of a configuration. Raises
        :class:`ArchiveError` unless it selects exactly one image.
        """
        images = self._images
        chosen = list(range(len(images)))
        if reference is not None and reference.startswith("@"):
            try:
                chosen = [source_index(reference, len(images))]
            except ValueError as error:
                raise self._error(str(error)) from None
        elif reference is not None:
            chosen = named(reference, [entry.strings("RepoTags") for entry in images])
            chosen = chosen or [at for at in range(len(images)) if self._facts(at)[1] == reference]
        request = f" {reference!r}" if reference is not None else ""
        if platform is not None:
            request += f" for {platform}"
            chosen = best_for(platform, [(at, self._facts(at)[0]) for at in chosen])
        if len(chosen) == 1:
            entry = images[chosen[0]]
            return entry, *self._config(entry)
        shown = listed(
            [(entry.strings("RepoTags"), self._facts(at)[1]) for at, entry in enumerate(images)]
        )
        if not chosen:
            raise self._error(f"holds no image{request}, only: {shown}")
        raise self._error(f"holds several images{request}; name one of: {shown}")

    def _facts(self, at: int) -> tuple[Platform, str]:
        """The platform of an image, and the digest of its configuration."""
        name = self._images[at].get("Config", str, "")
        said = _digest_in(name, "")
        content = self._file(name)
        known = self._facts_of.get(content)
        if known is None or said not in (None, known[1]):
            data, digest = self._read_config(name, content)
            ours = sha256(data)
            platform = self._platforms.get(ours)
            if platform is None:
                platform = parse_platform(parse_document(data, self.files.path, name.encode()))
                self._platforms[ours] = platform
            known = self._facts_of[content] = platform, digest
        return known

    def _error(self, problem: str) -> ArchiveError:
        return ArchiveError(self.files.path, problem)

    def layers(self, entry: Document, config: Document) -> list[LayerBlob]:
        """The layers of an image, lowest first."""
        names = entry.strings("Layers")
        found = zip(names, parse_diff_ids(config, len(names)), strict=True)
        for name in names:
            self._file(name)
        return [
            LayerBlob(name, partial(self._file, name), _digest_in(name, "blobs/"), diff_id)
            for name, diff_id in found
        ]

    def _config(self, entry: Document) -> tuple[Document, str]:
        name = entry.get("Config", str, "")
        data, digest = self._read_config(name, self._file(name))
        return parse_document(data, self.files.path, name.encode()), digest

    def _read_config(self, name: str, content: Content) -> tuple[bytes, str]:
        """The bytes of a configuration, and its digest, taken from its name or computed."""
        said = _digest_in(name, "")
        data = read_small(self.files, name, content, [] if said is None else [said])
        return data, said or sha256(data)

    def _file(self, name: str) -> Content:
        content = self.files.get(name)
        if content is None:
            raise ArchiveError(self.files.path, "is missing", member=name.encode())
        return content


def _digest_in(name: str, prefix: str) -> str | None:
    """The digest in a file name that begins with ``prefix``; None if there is none."""
    matched = _HAS_DIGEST.fullmatch(name) if name.startswith(prefix) else None
    if matched is None:
        return None
    return f"{matched[1] or ('sha256' if len(matched[2]) == 64 else 'sha512')}:{matched[2]}"
