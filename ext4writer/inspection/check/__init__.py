"""Checks an image as e2fsck does, and some things that e2fsck does not check.

The passes have e2fsck's order: superblock and groups, all inodes, all directories, connectivity,
link counts, bitmaps and counts. Each pass records problems and continues with what can still be
read. Problems that e2fsck ignores, such as differing backups, are warnings.
"""

from __future__ import annotations

from collections.abc import Callable

from ...errors import DamageError, ImageError, display_path
from ...late_dataclasses import dataclass
from ...progress import Cancel
from ...read import Image
from ..problems import Problem, of_damage, with_paths
from .attributes import check_references
from .bitmaps import check_bitmaps
from .content import check_content
from .directories import Parents, check_directories
from .groups import check_descriptor_copies, check_groups
from .inodes import check_inodes
from .quota import check_quota
from .special import check_journal, check_mmp, check_orphan_file
from .state import Check
from .superblock import check_backups, check_superblock
from .tree import check_links, check_tree


@dataclass(frozen=True)
class Result:
    """What a check found."""

    problems: list[Problem]
    """In the order in which they were found, at most 10,000."""
    errors: int
    """Problems for which e2fsck would not call the file system clean."""
    warnings: int
    inodes: int
    """The number of inodes in use that were checked."""

    @property
    def is_clean(self) -> bool:
        """Whether there are no errors; there may be warnings."""
        return not self.errors


def check_image(
    image: Image,
    *,
    data: bool = False,
    journal: Image | None = None,
    cancel: Cancel | None = None,
) -> Result:
    """Check all of ``image``.

    ``data`` adds the content of files, and compares files with fs-verity with their Merkle trees.
    ``journal`` is the device that holds the journal, if the image does not contain it.

    The ``on_damage`` of ``image`` is not called while this runs. To report what is found on
    opening, open the image with an ``on_damage`` that collects errors, and pass these to
    :func:`check_opened`. Raises :class:`~ext4writer.ImageError` for features that cannot be read,
    for a journal device, and for a ``journal`` besides one in the image;
    :class:`~ext4writer.CancelledError`.
    """
    return check_opened(image, [], data=data, journal=journal, cancel=cancel)


def check_opened(
    image: Image,
    met: list[DamageError],
    *,
    data: bool = False,
    journal: Image | None = None,
    cancel: Cancel | None = None,
) -> Result:
    """Do the same as :func:`check_image`; ``met`` are the errors that opening the image reported.

    They become the first problems.
    """
    if image.format.journal_dev:
        raise ImageError(image.name, "is a journal device; check the file system that uses it")
    if journal is not None and image.number("s_journal_inum"):
        raise ImageError(
            image.name, f"contains its journal, which is not in {display_path(journal.name)}"
        )
    unknown = image.format.features.unreadable()
    if unknown:
        raise ImageError(image.name, f"has features that cannot be read: {', '.join(unknown)}")
    commits = image.fast_commits
    if commits is not None:
        # Fast commits record changes; recovery chooses the blocks and updates bitmaps and counts.
        image = commits.base
    check = Check(image, cancel)
    if commits is not None:
        text = f"has fast commits with {commits.tags} tags; the image is checked without them"
        check.of_superblock("FAST_COMMITS", "s_feature_incompat", text, warn=True)
    for error in met:
        check.add(of_damage(error))
    previous, image.on_damage = image.on_damage, check.damage
    try:
        _run(check, data, journal)
        problems = with_paths(image, check.problems)
    finally:
        image.on_damage = previous
    return Result(problems, check.errors, check.warnings, len(check.inodes.inos))


def _run(check: Check, data: bool, journal: Image | None) -> None:
    parents = Parents()
    steps: tuple[Callable[[], None], ...] = (
        lambda: check_superblock(check),
        lambda: check_groups(check),
        lambda: check_mmp(check),
        lambda: check_journal(check, journal),
        lambda: check_inodes(check),
        lambda: check_references(check),
        lambda: check_directories(check, parents),
        lambda: check_tree(check, parents),
        lambda: check_links(check),
        lambda: check_orphan_file(check),
        lambda: check_bitmaps(check),
        lambda: check_quota(check),
        lambda: check_backups(check),
        lambda: check_descriptor_copies(check),
        *((lambda: check_content(check),) if data else ()),
    )
    for step in steps:
        try:
            step()
        except DamageError as error:
            # Damage that a step cannot work around ends the step, not the check.
            check.damage(error)
