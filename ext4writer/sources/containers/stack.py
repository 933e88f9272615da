"""Reads the layers of one image, each once and checked, and applies them one over the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, TypedDict, cast

from ...content import Content
from ...edit.filters import exclude
from ...edit.globs import Patterns
from ...errors import LimitError
from ...progress import Cancel, ProgressCallback
from ...tree import NAME_MAX, Directory, Loss, Tree
from ..tar_archive import DEFAULT_LIMITS, Limits, Member, read_members
from ..tar_archive.decoders import MAGIC_BYTES, Decoded, compression_of
from ..tar_archive.header import BLOCK, has_checksum
from .blobs import Checked, ContentSource
from .layers import WHITEOUT, Layer

RATIO_FROM = 1 << 30
"""Unpacked bytes from which on ``Limits.ratio`` counts."""


class Keywords(TypedDict, total=False):
    """What every function for images takes, and hands on as it is."""

    spool: BinaryIO | None
    xattrs: bool
    keep_times: bool
    exclude: Patterns
    limits: Limits
    progress: ProgressCallback | None
    cancel: Cancel | None


@dataclass(frozen=True)
class Options:
    """The same with the values of what was left out."""

    spool: BinaryIO | None = None
    xattrs: bool = True
    keep_times: bool = False
    exclude: Patterns = ()
    limits: Limits = DEFAULT_LIMITS
    progress: ProgressCallback | None = None
    cancel: Cancel | None = None


@dataclass(frozen=True)
class LayerBlob:
    """One layer before it is read."""

    name: str
    """In its layout or archive, for errors."""
    open: Callable[[], Content]
    """Called when it is this layer's turn, so that not all layers need be open at once."""
    digest: str | None
    """Of what is opened, where something says it."""
    diff_id: str
    """The digest of the layer when it is unpacked."""


def apply_layers(archive: bytes, layers: Sequence[LayerBlob], options: Options) -> Tree:
    """The tree that ``layers`` make together, the first one lowest.

    Raises what :func:`~ext4writer.sources.tar_archive.read_members` raises, and
    :class:`ArchiveError` for a layer that is not what its digests say. The limits count for all
    layers together.
    """
    tree = Tree(Directory(implied=True))
    left = options.limits
    for blob in layers:
        losses: list[Loss] = []
        layer = Layer(tree, archive, left, losses)
        reading = _Reading(archive, blob, left, losses, options)
        members = 0
        for member in reading.members():
            layer.add(member)
            members += 1
        layer.apply()
        left = replace(
            left,
            members=left.members - members,
            expanded_bytes=left.expanded_bytes - reading.expanded,
        )
    return exclude(tree, options.exclude)


class _Reading:
    """One layer while it is read."""

    def __init__(
        self,
        archive: bytes,
        blob: LayerBlob,
        limits: Limits,
        losses: list[Loss],
        options: Options,
    ) -> None:
        self.expanded = 0
        """Bytes of the unpacked layer, once it has been read."""
        self._archive = archive
        self._blob = blob
        self._limits = limits
        self._losses = losses
        self._options = options

    def members(self) -> Iterator[Member]:
        """Yield all members; when there are no more, every digest has been right."""
        blob = self._blob
        content = blob.open()
        head = ContentSource(content).read(BLOCK)
        plain = len(head) == BLOCK and has_checksum(head)
        compression = None if plain else compression_of(head[:MAGIC_BYTES])
        known = [] if blob.digest is None else [blob.digest]
        if compression is None:
            whole = self._checked(ContentSource(content), [*known, blob.diff_id])
            whole.finish(self._options.cancel)
            self.expanded = whole.count
            yield from self._read(content)
            return
        packed = self._checked(ContentSource(content), known)
        path = self._archive + b"/" + blob.name.encode()
        decoded = Decoded(packed, compression, path, self._limits)
        unpacked = self._checked(_Bounded(decoded, path, self._limits), [blob.diff_id])
        yield from self._read(cast(BinaryIO, _Named(unpacked, path)))
        unpacked.finish(self._options.cancel)
        packed.finish(self._options.cancel)
        self.expanded = unpacked.count

    def _read(self, archive: Content | BinaryIO) -> Iterator[Member]:
        options = self._options
        return read_members(
            archive,
            spool=options.spool,
            xattrs=options.xattrs,
            keep_times=options.keep_times,
            limits=self._limits,
            name_bytes=NAME_MAX + len(WHITEOUT),
            losses=self._losses,
            progress=options.progress,
            cancel=options.cancel,
        )

    def _checked(self, source: ContentSource | _Bounded, digests: list[str]) -> Checked:
        return Checked(source, self._archive, self._blob.name.encode(), digests)


class _Bounded:
    """Unpacked bytes, as long as they are not too many for the packed ones."""

    def __init__(self, decoded: Decoded, path: bytes, limits: Limits) -> None:
        self._decoded = decoded
        self._path = path
        self._limits = limits
        self._count = 0

    def read(self, size: int, /) -> bytes:
        data = self._decoded.read(size)
        self._count += len(data)
        packed = self._decoded.packed
        if self._count > RATIO_FROM and self._count > self._limits.ratio * packed:
            raise LimitError(
                self._path,
                "ratio",
                f"{packed} packed bytes unpack to {self._count} and more, over "
                f"{self._limits.ratio} for each",
            )
        return data


class _Named:
    """A source with the name that errors call it."""

    def __init__(self, source: Checked, name: bytes) -> None:
        self.name = name
        self.read = source.read
