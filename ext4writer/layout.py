"""The public view of a planned image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from .checked import checked
from .content import FileId
from .errors import counted
from .late_dataclasses import dataclass
from .ondisk.features import FeatureSet
from .planning.layout import METADATA_MEMORY, ImagePlan, unused_bytes
from .planning.options import Size, converted, size_of
from .planning.report import ImageReport, as_key
from .planning.spec import Spec
from .spans import Span
from .tree import Loss, Path

if TYPE_CHECKING:
    from .damage.override import Override
    from .virtual import Part, VirtualImage


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Layout:
    """A frozen plan of an image; :func:`ext4writer.write_layout` carries it out.

    It depends only on the tree and the Spec. It refers to the tree's nodes, which must not change
    before the image is written.
    """

    _plan: ImagePlan

    def __repr__(self) -> str:
        label = f" {self.label!r}" if self.label else ""
        losses = f", {counted(len(self.losses), 'loss', 'losses')}" if self.losses else ""
        return (
            f"<Layout{label} {self.uuid} of {self.size_bytes} bytes: {self.blocks_count} blocks of "
            f"{self.block_size} bytes, {self.free_blocks} free; {self.inodes_count} inodes, "
            f"{self.free_inodes} free{losses}>"
        )

    @property
    def spec(self) -> Spec:
        """The options that the image was planned with."""
        return self._plan.spec

    @property
    def features(self) -> FeatureSet:
        """The features as written; without has_journal if the image is too small for a journal."""
        return self._plan.features

    @property
    def uuid(self) -> UUID:
        """The UUID of the file system, given or derived; see ``Spec.identity``."""
        return self._plan.uuid

    @property
    def hash_seed(self) -> UUID:
        """The key of the directory hash, given or derived; see ``Spec.identity``."""
        return self._plan.hash_seed

    @property
    def epoch(self) -> int:
        """The time stamp of the file system itself, in seconds since 1970."""
        return self._plan.epoch

    @property
    def label(self) -> bytes:
        """The label, without padding."""
        return self._plan.label

    @property
    def size_bytes(self) -> int:
        """Size of the image in bytes."""
        return self._plan.size_bytes

    @property
    def block_size(self) -> int:
        """Size of a block in bytes."""
        return self._plan.block_size

    @property
    def blocks_count(self) -> int:
        """Number of blocks in the file system."""
        return self._plan.blocks_count

    @property
    def inodes_count(self) -> int:
        """Number of inodes, including the reserved ones."""
        return self._plan.inodes_count

    @property
    def free_blocks(self) -> int:
        """Number of blocks not in use."""
        return self._plan.free_blocks

    @property
    def free_inodes(self) -> int:
        """Number of inodes not in use; the reserved ones count as used."""
        return self._plan.free_inodes

    @property
    def reserved_blocks(self) -> int:
        """Number of blocks that are kept for the superuser."""
        return self._plan.reserved_blocks

    @property
    def available_bytes(self) -> int:
        """Bytes that any user can write: free bytes without those kept for kernel and superuser."""
        return self._plan.available_bytes

    @property
    def shared_bytes(self) -> int:
        """Bytes saved by storing equal blocks once; see ``Spec.dedupe``."""
        return self._plan.shared_bytes

    @property
    def journal_bytes(self) -> int:
        """Size in bytes of the device that holds the journal; 0 if there is none."""
        return self._plan.external_journal_blocks * self.block_size

    @property
    def journal_uuid(self) -> UUID | None:
        """UUID of that device; None if there is none."""
        uuid = self._plan.journal_uuid
        return UUID(bytes=uuid) if uuid else None

    @property
    def content_bytes(self) -> int:
        """Bytes of file content to copy; holes do not count."""
        return self._plan.content_bytes

    @property
    def verity_digests(self) -> dict[bytes, str]:
        """Path -> digest of each file with verity, as ``fsverity measure`` prints it."""
        return self._plan.verity_digests

    @property
    def entries(self) -> dict[str, int]:
        """Kind -> number of entries; ``hard link`` counts names beyond the first."""
        return self._plan.entries

    @property
    def space(self) -> Mapping[str, int]:
        """Purpose -> bytes; the sum is ``size_bytes``."""
        return self._plan.space

    @property
    def grow_to_bytes(self) -> int:
        """The size in bytes that the reserved group descriptors allow the image to grow to."""
        return self._plan.grow_to_bytes

    @property
    def inodes_per_gib(self) -> int:
        """Number of inodes that each GiB of growth adds, in whole groups."""
        return self._plan.inodes_per_gib

    @property
    def table_bytes_for_growth(self) -> int:
        """Bytes of inode tables that exist only because of ``Spec.inode_ratio``."""
        return self._plan.table_bytes_for_growth

    @property
    def inputs(self) -> Mapping[FileId, bytes]:
        """The files that the sources of the tree have read; see :attr:`Tree.inputs`."""
        return self._plan.inputs

    @property
    def unused(self) -> list[Span]:
        """Spans of bytes in free blocks, ascending; their content does not matter."""
        return unused_bytes(self._plan)

    @property
    def losses(self) -> list[Loss]:
        """What the image does not keep exactly as in the tree."""
        return self._plan.losses

    @checked("overrides")
    def open(
        self, *, overrides: Sequence[Override | str] = (), memory: Size = METADATA_MEMORY
    ) -> VirtualImage:
        """Open the image for reading without writing it; see :func:`ext4writer.open_image`."""
        from .damage.override import parsed_overrides
        from .virtual import VirtualImage

        kept = converted("memory", memory, size_of)
        return VirtualImage(self._plan, overrides=parsed_overrides(overrides), memory=kept)

    @checked("overrides")
    def parts(self, size: Size, *, overrides: Sequence[Override | str] = ()) -> tuple[Part, ...]:
        """Cut the image into ranges of ``size`` bytes, each with its bytes and its digest.

        Raises :class:`SpecError` for a size that is not positive.
        """
        from .virtual.parts import parts_of_size

        return parts_of_size(self.open(overrides=overrides), converted("size", size, size_of))

    @checked()
    def save(self, path: Path, *, sync: bool = False) -> None:
        """Save the plan in a file for :meth:`load`, with the paths of its sources.

        The file replaces an existing one only when it is complete, and with ``sync`` only when it
        is on the disk. Raises :class:`PlanError` if a content exists only in this process, such as
        a function or a piped archive, and :class:`OutputError`, also if ``path`` is a source.
        """
        from .inputs import check_output
        from .plan_file import save

        check_output(self._plan, path)
        save(self._plan, path, sync=sync)

    @staticmethod
    @checked()
    def load(path: Path) -> Layout:
        """Load a plan that :meth:`save` wrote, here or on another machine with the same sources.

        A source that has changed since causes an error when it is read. A plan names files to be
        read, like a script: load only plans that you trust. Its ``spec.policy`` is None, since only
        the choices of a policy are saved. Raises :class:`PlanError` if the file is not a plan, is
        damaged, or was saved by another release, and :class:`SourceError`.
        """
        from .plan_file import load

        return Layout(load(path))

    def _journal_device(self) -> dict[str, int | str] | None:
        if not self.journal_bytes:
            return None
        return {"size": self.journal_bytes, "uuid": str(self.journal_uuid)}

    def report(self) -> ImageReport:
        """The report that the command prints, without the fields that only the command can fill."""
        return ImageReport(
            size=self.size_bytes,
            block_size=self.block_size,
            blocks=self.blocks_count,
            free_blocks=self.free_blocks,
            inodes=self.inodes_count,
            free_inodes=self.free_inodes,
            available=self.available_bytes,
            grow_to=self.grow_to_bytes,
            inodes_per_gib=self.inodes_per_gib,
            table_bytes_for_growth=self.table_bytes_for_growth,
            uuid=str(self.uuid),
            hash_seed=str(self.hash_seed),
            label=self.label.decode("utf-8", "surrogateescape"),
            features=self.features.names(),
            entries={as_key(kind): count for kind, count in self.entries.items()},
            content=self.content_bytes,
            shared=self.shared_bytes,
            space={as_key(purpose): count for purpose, count in self.space.items()},
            journal_device=self._journal_device(),
            verity={
                path.decode("utf-8", "surrogateescape"): digest
                for path, digest in self.verity_digests.items()
            },
            losses=tuple(self.losses),
        )


def plan_of(layout: Layout) -> ImagePlan:
    """The internal plan of a layout, for emission."""
    return layout._plan
