"""A planned image as its users see it."""

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
from .planning.options import Size, size_of, taken
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

    Everything in it follows from the tree and the Spec. It refers to the tree's nodes, which must
    not change before it is written.
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
        """The options that it was planned with."""
        return self._plan.spec

    @property
    def features(self) -> FeatureSet:
        """As written: a journal that the image is too small for is left out."""
        return self._plan.features

    @property
    def uuid(self) -> UUID:
        """As given, or derived; see ``Spec.identity``."""
        return self._plan.uuid

    @property
    def hash_seed(self) -> UUID:
        """Key of the directory hash."""
        return self._plan.hash_seed

    @property
    def epoch(self) -> int:
        """Seconds since 1970; the stamp of the file system itself."""
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
        """Bytes of a block."""
        return self._plan.block_size

    @property
    def blocks_count(self) -> int:
        """Blocks of the file system."""
        return self._plan.blocks_count

    @property
    def inodes_count(self) -> int:
        """Inodes, the reserved ones among them."""
        return self._plan.inodes_count

    @property
    def free_blocks(self) -> int:
        """Blocks not in use."""
        return self._plan.free_blocks

    @property
    def free_inodes(self) -> int:
        """Inodes not in use; the reserved ones count as used."""
        return self._plan.free_inodes

    @property
    def reserved_blocks(self) -> int:
        """Blocks that are kept for the superuser."""
        return self._plan.reserved_blocks

    @property
    def available_bytes(self) -> int:
        """Bytes that every user can write: those free, less what kernel and superuser keep."""
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
        """Bytes of file content to be copied; holes do not count."""
        return self._plan.content_bytes

    @property
    def verity_digests(self) -> dict[bytes, str]:
        """The digest of each file with verity, as ``fsverity measure`` prints it, by path."""
        return self._plan.verity_digests

    @property
    def entries(self) -> dict[str, int]:
        """Counts by kind; ``hard link`` counts the names beyond the first."""
        return self._plan.entries

    @property
    def space(self) -> Mapping[str, int]:
        """Bytes by purpose; the sum is ``size_bytes``."""
        return self._plan.space

    @property
    def grow_to_bytes(self) -> int:
        """The size in bytes up to which descriptors are reserved."""
        return self._plan.grow_to_bytes

    @property
    def inodes_per_gib(self) -> int:
        """Inodes that each GiB of growth brings, in whole groups."""
        return self._plan.inodes_per_gib

    @property
    def table_bytes_for_growth(self) -> int:
        """Bytes of the inode tables that are there for ``Spec.inode_ratio`` alone."""
        return self._plan.table_bytes_for_growth

    @property
    def inputs(self) -> Mapping[FileId, bytes]:
        """What the sources of the tree have read; see :attr:`Tree.inputs`."""
        return self._plan.inputs

    @property
    def unused(self) -> list[Span]:
        """The bytes of free blocks, ascending, whose content does not matter."""
        return unused_bytes(self._plan)

    @property
    def losses(self) -> list[Loss]:
        """What is not kept exactly as the tree has it."""
        return self._plan.losses

    @checked("overrides")
    def open(
        self, *, overrides: Sequence[Override | str] = (), memory: Size = METADATA_MEMORY
    ) -> VirtualImage:
        """Open the image for reading as if it were written; see :func:`ext4writer.open_image`."""
        from .damage.override import parsed_overrides
        from .virtual import VirtualImage

        kept = taken("memory", memory, size_of)
        return VirtualImage(self._plan, overrides=parsed_overrides(overrides), memory=kept)

    @checked("overrides")
    def parts(self, size: Size, *, overrides: Sequence[Override | str] = ()) -> tuple[Part, ...]:
        """Cut the image into ranges of ``size`` bytes, each with its bytes and its digest.

        Raises :class:`SpecError` for a size that is not positive.
        """
        from .virtual.parts import parts_of_size

        return parts_of_size(self.open(overrides=overrides), taken("size", size, size_of))

    @checked()
    def save(self, path: Path, *, sync: bool = False) -> None:
        """Save the plan in a file, with the names of its sources, for :meth:`load`.

        It replaces a file of that name when it is complete, and with ``sync`` is on the disk then.
        Raises :class:`PlanError` if a content exists in this process alone, such as a function or
        a piped archive, and :class:`OutputError`, for one of its sources too.
        """
        from .inputs import check_output
        from .plan_file import save

        check_output(self._plan, path)
        save(self._plan, path, sync=sync)

    @staticmethod
    @checked()
    def load(path: Path) -> Layout:
        """Load a plan that :meth:`save` wrote, here or on another machine with the same sources.

        A source that changed since is an error when it is read. A plan names files that will be
        read, as a script does: load those that you trust. ``spec.policy`` is None in it, since only
        what a policy chose is saved. Raises :class:`PlanError` if the file holds no plan, is
        damaged, or was saved by another release, and :class:`SourceError`.
        """
        from .plan_file import load

        return Layout(load(path))

    def _journal_device(self) -> dict[str, int | str] | None:
        if not self.journal_bytes:
            return None
        return {"size": self.journal_bytes, "uuid": str(self.journal_uuid)}

    def report(self) -> ImageReport:
        """The report that the command prints, without what only the command knows."""
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
    """What only emission needs of a layout."""
    return layout._plan
