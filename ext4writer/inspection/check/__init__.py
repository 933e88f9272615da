"""Checks an image as e2fsck does, and what e2fsck never looks at.

The passes have the order of e2fsck's: superblock and groups, all inodes, all directories, how they
hang together, link counts, bitmaps and counts. Each notes problems, and goes on with what can still
be read. Problems that e2fsck would pass over, such as copies that differ, are warnings.
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
    """In the order in which they were found, 10,000 at most."""
    errors: int
    """Problems for which e2fsck would not call the file system clean."""
    warnings: int
    inodes: int
    """Inodes in use that were checked."""

    @property
    def is_clean(self) -> bool:
        """Whether there are no errors; warnings may be there."""
        return not self.errors


def check_image(
    image: Image,
    *,
    data: bool = False,
    journal: Image | None = None,
    cancel: Cancel | None = None,
) -> Result:
    """Check all of ``image``, with ``data`` the content of files too, and verity against its trees.

    ``journal`` is the device that holds the journal, where that is not in the image.

    ``image`` hears of no damage itself while this runs; open it with an ``on_damage`` that keeps
    what is found on opening, and pass that in :func:`check_opened`. Raises
    :class:`~ext4writer.ImageError` for features that cannot be read, and
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
    """Like :func:`check_image`; ``met`` is what opening the image reported."""
    if image.format.journal_dev:
        raise ImageError(image.name, "is a journal by itself; check the file system that uses it")
    if journal is not None and image.number("s_journal_inum"):
        raise ImageError(
            image.name, f"has its journal inside, and not in {display_path(journal.name)}"
        )
    unknown = image.format.features.unreadable()
    if unknown:
        raise ImageError(image.name, f"has features that cannot be read: {', '.join(unknown)}")
    commits = image.fast_commits
    if commits is not None:
        # They say what to do, and recovery decides where: bitmaps and counts come with it.
        image = commits.base
    check = Check(image, cancel)
    if commits is not None:
        text = f"has fast commits of {commits.tags} tags, and what is checked is without them"
        check.of_superblock("FAST_COMMITS", "s_feature_incompat", text, warn=True)
    for error in met:
        check.add(of_damage(error))
    heard, image.on_damage = image.on_damage, check.damage
    try:
        _run(check, data, journal)
        problems = with_paths(image, check.problems)
    finally:
        image.on_damage = heard
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
            # Damage that cannot be gone round ends a step, and not the check.
            check.damage(error)
