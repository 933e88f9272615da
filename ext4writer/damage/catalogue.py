"""The catalogue: corruptions of every structure of ext4, one at a time, each by name.

A case is a base image and the overrides that damage it; all checksums are right, except those that
are the corruption. :mod:`.answers` says what e2fsck and the checker of this library find in each.
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
    """One corruption. ``overrides`` are carried out together on the image of ``base``."""

    name: str
    group: str
    """The structure that it is about."""
    base: Base
    why: str
    """What is wrong, in one line."""
    overrides: tuple[str, ...]

    @property
    def kernel(self) -> str:
        """What Linux 6.1 does with the image: mounts, lists, reads and writes it, or does not."""
        return KERNEL.get(answer_of(self.name).kernel, "was not asked")

    @property
    def kernels(self) -> str:
        """What kernels may do with images of this group."""
        return KERNELS[self.group]

    @cached_property
    def parsed(self) -> tuple[Override, ...]:
        return tuple(map(Override.parse, self.overrides))

    def image(self) -> bytes:
        """The damaged image."""
        return patch(self.base.image(), self.parsed)

    @property
    def codes(self) -> tuple[str, ...]:
        """The names of the problems that ``e2fsck -fn`` logs, each once, in order."""
        return tuple(map(name_of, answer_of(self.name).found))

    @property
    def repair_codes(self) -> tuple[str, ...]:
        """The same of ``e2fsck -fy``, which goes further."""
        return tuple(map(name_of, answer_of(self.name).repaired))

    @property
    def checker(self) -> tuple[str, ...]:
        """The names of the problems that the checker of this library finds."""
        return answer_of(self.name).checked


KERNELS = {
    "superblock": "refuses to mount, or mounts and believes it",
    "mmp": "refuses to mount, or waits for an update that does not come",
    "descriptors": "refuses to mount (ext4_check_descriptors), or calls the group's bitmaps bad",
    "bitmaps": "calls the group bad when it allocates, or gives a block to two files",
    "inodes": "gives EFSCORRUPTED for the inode (ext4_iget), or believes it",
    "special files": "gives EFSCORRUPTED for the inode, or ignores what a device has no use for",
    "links": "gives EFSCORRUPTED, or a target that is too short or not ended",
    "extents": "gives EFSCORRUPTED for the file (ext4_ext_check), or reads other blocks",
    "block maps": "gives EFSCORRUPTED (ext4_check_blockref), or reads other blocks",
    "bad blocks": "never looks",
    "directories": "ends the listing with an error (__ext4_check_dir_entry), or shows a wrong name",
    "index": "warns and searches all leaves (dx_probe), or does not find names that are there",
    "attributes": "gives EFSCORRUPTED for the attributes (check_xattrs), or shows other values",
    "values in inodes": "gives EFSCORRUPTED (ext4_xattr_inode_get), or another value",
    "clusters": "gives EFSCORRUPTED for the file, or counts clusters wrongly when it is deleted",
    "inline data": "gives EFSCORRUPTED for the file, or reads past the end of the inode",
    "quota": "mounts without quota, or counts wrongly",
    "orphan file": "refuses to mount for writing, or leaves the orphans where they are",
    "journal": "refuses to mount (ext4_load_journal), or replays what is no transaction",
    "replay": "stops recovery and refuses to mount, recovers a part, or replays what is told",
    "resize inode": "refuses to grow",
    "casefold": "refuses the directory, or finds one of two names",
    "encryption": "gives an error for the directory (fscrypt_get_encryption_info)",
    "verity": "gives an error when the file is opened",
    "public": "did what the name of the bug says; releases after it give an error",
}
"""Group -> what kernels may do with an image of it."""


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
"""Each case by its name."""


def write_case(case: Case, output: OutputLike) -> None:
    """Write the image of a case to ``output``, as :func:`~ext4writer.write_image` takes it.

    Blocks of zeros stay holes. Raises :class:`~ext4writer.OutputError`.
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
    """Return the names of all problems of e2fsck that the cases reach, in the order of codes."""
    reached = {code for answer in ANSWERS.values() for code in (*answer.found, *answer.repaired)}
    return tuple(NAMES[code] for code in sorted(reached) if code in NAMES)
