"""The archives of ``docker save``: ``manifest.json`` names configurations and layers by path.

Older ones keep a folder for each layer, newer ones are an OCI image layout as well; both have the
same ``manifest.json`` (moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from ...content import Content
from ...errors import ArchiveError
from .blobs import Files, read_small, sha256
from .documents import Document, Platform, is_called, parse_document, parse_json, parse_platform
from .image import parse_diff_ids
from .stack import LayerBlob

_HAS_DIGEST = re.compile(r"(?:blobs/(sha256|sha512)/)?([0-9a-f]{64}|[0-9a-f]{128})(?:\.json)?")


class DockerArchive:
    """What ``manifest.json`` lists."""

    def __init__(self, files: Files) -> None:
        """Raises :class:`ArchiveError` if ``files`` is no such archive."""
        self.files = files
        name = "manifest.json"
        content = files.get(name)
        if content is None:
            raise ArchiveError(files.path, "is no archive of docker save: it has no manifest.json")
        listed = parse_json(read_small(files, name, content, []), files.path, name.encode())
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise ArchiveError(files.path, "is no list of objects", member=name.encode())
        self._images = [Document(files.path, name.encode(), one) for one in listed]
        self._known: dict[str, tuple[Platform, str]] = {}
        """The platform and the digest of each configuration that was read, by its name."""

    def find(
        self, reference: str | None, platform: Platform | None
    ) -> tuple[Document, Document, str]:
        """The entry that is meant, its configuration and the digest of that.

        ``reference`` is one of the names that the archive gives, or a configuration's digest.
        """
        found = []
        for entry in self._images:
            name = entry.get("Config", str, "")
            if name not in self._known:
                config, digest = self._config(entry)
                self._known[name] = parse_platform(config), digest
            of_config, digest = self._known[name]
            tags = entry.strings("RepoTags")
            named = reference in (None, digest) or is_called(str(reference), tags)
            if named and (platform is None or of_config.satisfies(platform)):
                found.append(entry)
        if len(found) == 1:
            return found[0], *self._config(found[0])
        wanted = f" {reference!r}" if reference is not None else ""
        if platform is not None:
            wanted += f" for {platform}"
        shown = ", ".join(self._names(self._images)) or "(no names)"
        if not found:
            raise ArchiveError(self.files.path, f"holds no image{wanted}, only: {shown}")
        raise ArchiveError(self.files.path, f"holds several images{wanted}; name one of: {shown}")

    def layers(self, entry: Document, config: Document) -> list[LayerBlob]:
        """The layers of an image, the lowest first."""
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
        said = _digest_in(name, "")
        checked = [] if said is None else [said]
        data = read_small(self.files, name, self._file(name), checked)
        digest = said or sha256(data)
        return parse_document(data, self.files.path, name.encode()), digest

    def _file(self, name: str) -> Content:
        content = self.files.get(name)
        if content is None:
            raise ArchiveError(self.files.path, "is missing", member=name.encode())
        return content

    def _names(self, entries: Sequence[Document]) -> list[str]:
        return sorted({name for entry in entries for name in entry.strings("RepoTags")})


def _digest_in(name: str, prefix: str) -> str | None:
    """The digest that a file name states, if it begins with ``prefix``."""
    matched = _HAS_DIGEST.fullmatch(name) if name.startswith(prefix) else None
    if matched is None:
        return None
    return f"{matched[1] or ('sha256' if len(matched[2]) == 64 else 'sha512')}:{matched[2]}"
