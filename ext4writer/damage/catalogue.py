"""The catalogue: named corruptions of every structure of ext4, one at a time.

A case is a base image and the overrides that damage it. All checksums are right, except those that
are the corruption. :mod:`.answers` records what e2fsck and this library's checker find in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from ..late_dataclasses import dataclass
from ..output.opening import OutputLike, open_sink
from . import patch
from .answers import ANSWERS, KERNEL, answer_of
from .bases import BY_NAME, Base
from .corruptions import TABLE
from .override import Override
from .problems import NAMES, name_of

_PIECE = 64 << 10


@dataclass(frozen=True)
class Case:
    """One corruption. ``overrides`` are applied together to the image of ``base``."""

    name: str
    group: str
    """The structure that is damaged."""
    base: Base
    why: str
    """What is wrong, in one line."""
    overrides: tuple[str, ...]

    @property
    def kernel(self) -> str:
        """What Linux 6.1 does when it mounts, lists, reads and writes the image."""
        return KERNEL.get(answer_of(self.name).kernel, "was not tried")

    @property
    def kernels(self) -> str:
        """What kernels may do with images of this group."""
        return KERNELS[self.group]

    @cached_property
    def parsed(self) -> tuple[Override, ...]:
        return tuple(map(Override.parse, self.overrides))

    def image(self) -> bytes:
        """Return the damaged image."""
        return patch(self.base.image(), self.parsed)

    @property
    def codes(self) -> tuple[str, ...]:
        """The names of the problems that ``e2fsck -fn`` logs, without repetitions, in order."""
        return tuple(map(name_of, answer_of(self.name).found))

    @property
    def repair_codes(self) -> tuple[str, ...]:
        """The same for ``e2fsck -fy``, which continues where ``-fn`` stops."""
        return tuple(map(name_of, answer_of(self.name).repaired))

    @property
    def checker(self) -> tuple[str, ...]:
        """The names of the problems that this library's checker finds."""
        return answer_of(self.name).checked


KERNELS = {
    "superblock": "refuses to mount, or mounts and trusts the value",
    "mmp": "refuses to mount, or waits for an update that does not come",
    "descriptors": "refuses to mount (ext4_check_descriptors), or marks the group's bitmaps as bad",
    "bitmaps": "marks the group as bad when it allocates, or gives a block to two files",
    "inodes": "returns EFSCORRUPTED for the inode (ext4_iget), or trusts the value",
    "special files": "returns EFSCORRUPTED for the inode, or ignores what devices do not use",
    "links": "returns EFSCORRUPTED, or a target that is too short or not terminated",
    "extents": "returns EFSCORRUPTED for the file (ext4_ext_check), or reads other blocks",
    "block maps": "returns EFSCORRUPTED (ext4_check_blockref), or reads other blocks",
    "bad blocks": "ignores the list",
    "directories": "ends the listing with an error (__ext4_check_dir_entry), or shows a wrong name",
    "index": "warns and searches all leaves (dx_probe), or does not find existing names",
    "attributes": "returns EFSCORRUPTED for the attributes (check_xattrs), or other values",
    "values in inodes": "returns EFSCORRUPTED (ext4_xattr_inode_get), or another value",
    "clusters": "returns EFSCORRUPTED for the file, or miscounts clusters when it is deleted",
    "inline data": "returns EFSCORRUPTED for the file, or reads past the end of the inode",
    "quota": "mounts without quota, or miscounts",
    "orphan file": "refuses to mount for writing, or leaves the orphans in place",
    "journal": "refuses to mount (ext4_load_journal), or replays data that is not a transaction",
    "replay": "stops recovery and refuses to mount, recovers partly, or replays the damage",
    "resize inode": "refuses to grow",
    "casefold": "refuses the directory, or finds only one of two names",
    "encryption": "returns an error for the directory (fscrypt_get_encryption_info)",
    "verity": "returns an error when the file is opened",
    "public": "had the named bug; later releases return an error",
}
"""Group -> what kernels may do with its images."""


def _cases() -> Iterator[Case]:
    group, name, base, why = "", "", "", ""
    overrides: list[str] = []
    for line in [*TABLE.split("\n"), "[]"]:
        if line.startswith("  "):
            overrides.append(line.strip())
            continue
        if overrides:
            yield Case(name, group, BY_NAME[base], why, tuple(overrides))
            overrides = []
        if line.startswith("["):
            group = line.strip("[]")
        elif line:
            head, _, why = line.partition(": ")
            name, base = head.split()


CASES: tuple[Case, ...] = tuple(_cases())
CASE = {case.name: case for case in CASES}
"""Name -> case."""


def write_case(case: Case, output: OutputLike) -> None:
    """Write the image of a case to ``output``, which is as for :func:`~ext4writer.write_image`.

    Pieces of 64 KiB that contain only zeros become holes. Raises
    :class:`~ext4writer.OutputError`.
    """
    image = memoryview(case.image())
    zeros = bytes(_PIECE)
    with open_sink(output, len(image), raw=True) as sink:
        for start in range(0, len(image), _PIECE):
            piece = image[start : start + _PIECE]
            if piece != zeros[: len(piece)]:
                sink.write_at(start, piece)
        sink.finish()


def coverage() -> tuple[str, ...]:
    """Return the names of all e2fsck problems that the cases cause, sorted by code."""
    reached = {code for answer in ANSWERS.values() for code in (*answer.found, *answer.repaired)}
    return tuple(NAMES[code] for code in sorted(reached) if code in NAMES)
