"""Reads the layers of an image, verifies their digests and applies them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, TypedDict, cast

from ...checked import check_fields, refuse_unknown
from ...content import Content, ContentSource
from ...edit.filters import exclude
from ...edit.globs import Patterns
from ...late_dataclasses import dataclass
from ...losses import LossRecord
from ...progress import Cancel, ProgressCallback
from ...tree import NAME_MAX, Directory, Loss, Tree
from ..tar_archive import DEFAULT_LIMITS, Limits, Member, read_members
from ..tar_archive.decoders import MAGIC_BYTES, Decoded, compression_of
from ..tar_archive.header import BLOCK, has_checksum
from ..tar_archive.inputs import Counted
from ..tar_archive.limits import Usage
from .blobs import Checked
from .layers import WHITEOUT, Layer


class Keywords(TypedDict, total=False):
    """The keywords that every function for images accepts and passes on."""

    spool: BinaryIO | None
    xattrs: bool
    keep_times: bool
    secure_symlinks: bool
    exclude: Patterns
    limits: Limits
    progress: ProgressCallback | None
    cancel: Cancel | None


@dataclass(frozen=True)
class Options:
    """The same keywords, with defaults."""

    _refuse_unknown = refuse_unknown

    spool: BinaryIO | None = None
    xattrs: bool = True
    keep_times: bool = False
    secure_symlinks: bool = False
    exclude: Patterns = ()
    limits: Limits = DEFAULT_LIMITS
    progress: ProgressCallback | None = None
    cancel: Cancel | None = None

    def __post_init__(self) -> None:
        """Raises :class:`SpecError` for a value of the wrong type."""
        check_fields(self)


@dataclass(frozen=True)
class LayerBlob:
    """One layer before it is read."""

    name: str
    """Its name in the layout or archive, for errors."""
    open: Callable[[], Content]
    """Called when this layer is read, so that not all layers are open at the same time."""
    digest: str | None
    """Digest of the blob as ``open`` returns it; None if unknown."""
    diff_id: str
    """The digest of the uncompressed layer."""


def apply_layers(
    archive: bytes, layers: Sequence[LayerBlob], usage: Usage, options: Options
) -> Tree:
    """The tree that results from applying ``layers``, lowest first.

    ``usage`` counts all layers together, and already includes the documents and an archive around
    them. Raises what :func:`~ext4writer.sources.tar_archive.read_members` raises, and
    :class:`ArchiveError` for a layer with a wrong digest.
    """
    tree = Tree(Directory(implied=True))
    record = LossRecord()
    for blob in layers:
        losses: list[Loss] = []
        layer = Layer(tree, usage, losses, record, secure_symlinks=options.secure_symlinks)
        for member in _Reading(archive, blob, usage, losses, options).members():
            layer.add(member)
        layer.apply()
    tree.losses = record.in_order()
    return exclude(tree, options.exclude)


class _Reading:
    """Reads one layer."""

    def __init__(
        self,
        archive: bytes,
        blob: LayerBlob,
        usage: Usage,
        losses: list[Loss],
        options: Options,
    ) -> None:
        self._archive = archive
        self._blob = blob
        self._usage = usage
        self._losses = losses
        self._options = options

    def members(self) -> Iterator[Member]:
        """Yield all members; every digest has been verified when the iterator ends."""
        blob, usage = self._blob, self._usage
        path = self._archive + b"/" + blob.name.encode()
        content = blob.open()
        head = ContentSource(content).read(BLOCK)
        plain = len(head) == BLOCK and has_checksum(head)
        compression = None if plain else compression_of(head[:MAGIC_BYTES])
        known = [] if blob.digest is None else [blob.digest]
        if compression is None:
            counted = Counted(ContentSource(content), path, usage)
            self._checked(counted, [*known, blob.diff_id]).finish(self._options.cancel)
            yield from self._read(content)
            return
        packed = self._checked(ContentSource(content), known)
        decoded = Decoded(packed, compression, path, usage.limits)
        unpacked = self._checked(Counted(decoded, path, usage), [blob.diff_id])
        yield from self._read(cast(BinaryIO, _Named(unpacked, path)))
        unpacked.finish(self._options.cancel)
        packed.finish(self._options.cancel)
        rest = decoded.rest()
        if rest is not None:
            self._losses.append(Loss(b"/", f"the layer {blob.name}: {rest}", "archive-rest-unread"))

    def _read(self, archive: Content | BinaryIO) -> Iterator[Member]:
        options = self._options
        return read_members(
            archive,
            spool=options.spool,
            xattrs=options.xattrs,
            keep_times=options.keep_times,
            usage=self._usage,
            name_bytes=NAME_MAX + len(WHITEOUT),
            losses=self._losses,
            progress=options.progress,
            cancel=options.cancel,
        )

    def _checked(self, source: ContentSource | Counted, digests: list[str]) -> Checked:
        return Checked(source, self._archive, self._blob.name.encode(), digests)


class _Named:
    """A source with a name for errors; its bytes are counted already."""

    counted = True

    def __init__(self, source: Checked, name: bytes) -> None:
        self.name = name
        self.read = source.read
