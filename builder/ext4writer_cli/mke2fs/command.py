"""The command ``ext4writer mke2fs``, which also runs if the program is called mkfs.ext4."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ext4writer.arithmetic import ceil_div, round_up
from ext4writer.late_dataclasses import replace
from ext4writer.units import NANOSECONDS

from .arguments import Arguments, read_arguments
from .console import VERSION, Console
from .refusal import Mistake, Refusal

if TYPE_CHECKING:
    from ext4writer import Layout, ProcessPool, Spec, Tree
    from ext4writer.progress import Cancel

    from ..options import ScanOptions
    from .huge_files import HugeFiles
    from .own_options import LongOptions
    from .settings import Clock, Settings
    from .target import Target

_V1_JOURNAL = (
    "journal_superblock.h_blocktype=3",
    "journal_superblock.s_nr_users=0",
    f"journal_superblock.s_uuid=hex:{'00' * 16}",
)
"""Overrides for a journal superblock of version 1 (misc/util.c:parse_journal_opts, v1_superblock).

They clear the fields that only version 2 has. mke2fs leaves values there, which e2fsck clears.
"""


def run(program: str, given: Sequence[str]) -> int:
    """Make the file system that the arguments describe; return the exit status."""
    console = Console()
    try:
        return _run(program, given, console)
    except Refusal as refusal:
        text = refusal.message
        if isinstance(refusal, Mistake):
            text = f"{program}: {text}\n"
        if refusal.to_stdout:
            console.out(text, always=True)
        else:
            console.err(text)
        return 1


def _run(program: str, given: Sequence[str], console: Console) -> int:
    arguments = read_arguments(program, given)
    if "--help" in arguments.long_options:
        from .own_options import help_page

        console.out(help_page(program) + "\n", always=True)
        return 0
    console.quiet = arguments.quiet
    for text in arguments.warnings:
        console.err(text)
    if arguments.show_version or not arguments.quiet:
        console.err(f"mke2fs {VERSION}, ext4writer\n")
    if arguments.show_version:
        from ext4writer.version import __version__

        console.err(f"\tUsing ext4writer {__version__}\n")
        return 0
    own = _long_options(arguments)
    if own is not None and own.install_links is not None:
        raise Mistake("--install-links cannot be combined with other arguments")

    from .profile import Profile
    from .target import Target

    config = os.environ.get("MKE2FS_CONFIG")
    profile = Profile.built_in() if config is None else Profile.read(config)
    target = Target(arguments.device)
    target.refuse_if_used(arguments.force, console)
    if arguments.journal.device is not None:
        from .external_journal import device_path

        arguments.journal.device = device_path(arguments.journal.device)
        Target(arguments.journal.device).refuse_if_used(arguments.force, console, "journal")

    from .settings import JournalDevice, clock_of, derive_settings, identify

    with console.held() as said:
        settings = derive_settings(arguments, profile, target, console)
        if not arguments.dry_run:
            target.refuse_if_not_creatable()
            if said and not console.quiet:
                said.insert(0, target.announcement())
    offset = settings.extended.offset
    if not arguments.force and not offset and console.is_interactive():
        found = target.found()
        if found is not None:
            console.out(found, always=True)
            console.proceed(profile.option("proceed_delay", -1))
    clock = clock_of(dict(os.environ), int(time.time()))
    if isinstance(settings, JournalDevice):
        from ext4writer.errors import Ext4WriterError

        from .external_journal import make_journal_device

        try:
            make_journal_device(settings, arguments, target, console, clock, offset)
        except Ext4WriterError as error:
            raise Mistake(str(error)) from error
        return 0
    spec = identify(settings, arguments, clock)
    if own is not None:
        spec = replace(
            spec,
            hole_size=own.hole_size,
            leading_hole=own.leading_hole,
            identity=own.identity,
        )
    _FileSystemMaker(arguments, settings, target, console, own, clock).make(spec)
    return 0


def _long_options(arguments: Arguments) -> LongOptions | None:
    if not arguments.long_options:
        return None
    from .own_options import parse_long_options

    return parse_long_options(arguments.long_options)


class _FileSystemMaker:
    """Makes a file system from a Spec: tree, plan, output."""

    def __init__(
        self,
        arguments: Arguments,
        settings: Settings,
        target: Target,
        console: Console,
        own: LongOptions | None,
        clock: Clock,
    ) -> None:
        self._arguments = arguments
        self._settings = settings
        self._target = target
        self._console = console
        self._own = own
        self._clock = clock
        self._huge_files: HugeFiles | None = None
        self._no_huge_files = ""

    def make(self, spec: Spec) -> None:
        """Plan and write, or with -n only show the plan; raises :class:`Refusal`."""
        import gc

        from ext4writer import ProcessPool, SpecError
        from ext4writer.errors import Ext4WriterError

        from ..signals import cancel_on_signals
        from ..spool import Spool
        from .settings import option_mistake

        # The UUID is printed only with the list of backups. Unless given, it comes from the plan.
        shows_no_plan = spec.uuid is not None or self._settings.numbers.groups == 1
        if self._arguments.dry_run and self._arguments.source is None and shows_no_plan:
            self._show(spec.uuid.bytes if spec.uuid is not None else None)
            return
        gc.disable()
        folder = os.path.dirname(os.path.realpath(self._target.path))
        piped = self._arguments.source == "-"
        try:
            with ExitStack() as stack:
                cancel = stack.enter_context(cancel_on_signals(at_once=piped))
                spool = stack.enter_context(Spool(None if self._target.is_device else folder))
                pool = stack.enter_context(ProcessPool(self._workers()))
                tree = self._tree(spec, spool, pool, cancel)
                layout = self._with_huge_files(tree, spec, pool, cancel)
                if layout is None:
                    layout = self._planned(tree, spec, pool, cancel)
                self._print_losses(layout)
                self._show(layout.uuid.bytes)
                if not self._arguments.dry_run:
                    self._write(layout, pool, cancel)
        except SpecError as error:
            raise option_mistake(error) from error
        except Ext4WriterError as error:
            raise Mistake(" ".join(str(error).split("\n"))) from error

    def _workers(self) -> int:
        if self._own is not None:
            return self._own.workers
        if self._arguments.source is None:
            return 1
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1

    # -- the tree ------------------------------------------------------------------------------

    def _tree(self, spec: Spec, spool: object, pool: ProcessPool, cancel: Cancel) -> Tree:
        """Return the tree that -d names, or an empty one, after applying rules and root options."""
        from ext4writer import Tree

        own, extended = self._own, self._settings.extended
        if self._arguments.source is not None:
            tree = self._read(spool, pool, cancel)
        else:
            tree = Tree()
            tree.root.mtime_ns = (spec.epoch or 0) * NANOSECONDS
        if own is not None and own.rules:
            from ext4writer.edit.rules import apply_rules

            apply_rules(tree, own.rules)
        root = tree.root
        if extended.root_owner is not None:
            root.uid, root.gid = extended.root_owner
        if extended.root_perms is not None:
            root.mode = extended.root_perms
        if extended.root_selinux is not None:
            label = os.fsencode(extended.root_selinux) + b"\0"
            root.xattrs = {**(root.xattrs or {}), b"security.selinux": label}
        return tree

    def _read(self, spool: object, pool: ProcessPool, cancel: Cancel) -> Tree:
        from ext4writer.edit.rules_select import Selection

        from ..source_arguments import NO_PREFIX, SourceArgument, parse_source
        from ..source_readers import Reading, read_sources

        place = self._arguments.source
        assert place is not None
        own = self._own
        if place == "-" or os.path.lexists(place):
            argument = SourceArgument(place, NO_PREFIX, place)
        else:
            try:
                argument = parse_source(place)
            except ValueError as error:
                raise Mistake(str(error)) from None
        reading = Reading(
            self._scan(),
            own.selection if own is not None else Selection(()),
            (self._target,),  # type: ignore[arg-type]
            spool,  # type: ignore[arg-type]
            pool,
            None,
            cancel,
        )
        tree, _ = read_sources([argument], reading)
        return tree

    def _scan(self) -> ScanOptions:
        from ..options import ScanOptions

        scan = self._own.scan if self._own is not None else ScanOptions()
        return replace(scan, no_xattrs=True) if self._settings.extended.no_copy_xattrs else scan

    # -- the plan ------------------------------------------------------------------------------

    def _planned(self, tree: Tree, spec: Spec, pool: ProcessPool, cancel: Cancel) -> Layout:
        from ext4writer import SpecError, plan

        try:
            return plan(tree, spec, processes=pool, cancel=cancel)
        except SpecError as error:
            if error.option != "inodes":
                raise
            if self._arguments.inodes:
                raise Mistake(
                    f"Could not allocate inode in ext2 filesystem while populating file system: "
                    f"-N: {error.problem}"
                ) from None
        needed = len({node for _, node in tree.walk()}) + 11
        per_group = ceil_div(needed, self._settings.numbers.groups)
        unit = spec.block_size // spec.inode_size
        per_group = round_up(per_group, max(8, unit))
        spec = replace(spec, inodes=per_group * self._settings.numbers.groups)
        numbers = self._settings.numbers._replace(inodes_per_group=per_group)
        self._settings = replace(self._settings, numbers=numbers)
        return plan(tree, spec, processes=pool, cancel=cancel)

    def _with_huge_files(
        self, tree: Tree, spec: Spec, pool: ProcessPool, cancel: Cancel
    ) -> Layout | None:
        """Plan with the files of ``make_hugefiles``; return None if there are none.

        Their sizes depend on the free blocks of a file system without any other files.
        """
        settings = self._settings
        if not settings.profile.bool_for(settings.types, "make_hugefiles", False):
            return None
        from ext4writer import Layout, Tree
        from ext4writer.planning.planner import plan_image

        from . import huge_files

        bare = Tree()
        try:
            wanted = huge_files.wanted_files(settings, self._target)
            huge_files.add_folders(bare, wanted, 0)
            empty = self._planned(bare, spec, pool, cancel)
            files = huge_files.arranged(wanted, empty)
        except huge_files.NoHugeFilesError as error:
            self._no_huge_files = f"{error} while creating huge files"
            if self._own is not None and self._own.strict:
                raise Mistake(f"--strict: {self._no_huge_files}") from None
            return None
        self._huge_files = files
        newest = max(node.mtime_ns for _, node in tree.walk())
        time_ns = newest if spec.epoch is None else spec.epoch * NANOSECONDS
        runs = huge_files.add_files(tree, files, spec.block_size, time_ns)
        if files.is_large:
            spec = replace(spec, features=empty.features.with_("large_file"))
        if self._arguments.source is None:
            spec = replace(spec, policy=huge_files.LinearDirectories())
        layout = self._planned(tree, spec, pool, cancel)
        hints = huge_files.hints(wanted, runs, layout, self._settings.numbers)
        return Layout(plan_image(tree, layout.spec, hints=hints, processes=pool, cancel=cancel))

    def _print_losses(self, layout: Layout) -> None:
        losses = layout.losses
        if not losses:
            return
        from ext4writer.errors import display_path

        if self._own is not None and self._own.strict:
            first = losses[0]
            raise Mistake(f"--strict: {display_path(first.path)}: {first.what}")
        from ext4writer.planning.report_text import LOSSES_SHOWN

        for loss in losses[:LOSSES_SHOWN]:
            self._console.err(f"not kept exactly: {display_path(loss.path)}: {loss.what}\n")
        if len(losses) > LOSSES_SHOWN:
            self._console.err(f"and {len(losses) - LOSSES_SHOWN} more\n")

    # -- what is printed, and written ---------------------------------------------------------

    def _show(self, uuid: bytes | None) -> None:
        """Print the statistics (misc/mke2fs.c:show_stats); with -n even if -q is given."""
        from .stats import stats, unused

        always = self._arguments.dry_run
        if not always:
            self._console.out(self._target.announcement())
        self._print_discards()
        if always or not self._console.quiet:
            self._console.err(unused(self._settings, self._arguments))
        self._console.out(stats(self._settings, self._arguments, uuid), always=always)

    def _print_discards(self) -> None:
        """Print whether blocks are discarded or already zero (misc/mke2fs.c:main)."""
        console, verbose = self._console, self._arguments.verbose
        if self._settings.extended.assume_storage_prezeroed and verbose:
            console.out(
                "Assuming the storage device is prezeroed - "
                "skipping inode table and journal wipe\n",
                always=True,
            )
        device = self._target.is_device
        discards = self._settings.discards and (self._target.can_discard() or not device)
        if discards and not self._arguments.dry_run:
            console.numeric("Discarding device blocks: ", self._settings.numbers.blocks)
            # It is unknown what a device returns after a discard.
            if verbose and not device:
                text = "Discard succeeded and will return 0s - skipping inode table wipe\n"
                console.out(text, always=True)

    def _write_journal(self, layout: Layout) -> None:
        """Write the external journal of the file system, if it has one."""
        place = self._arguments.journal.device
        if place is None:
            return
        from ext4writer import write_journal

        self._console.out(f"Adding journal to device {place}: ")
        write_journal(layout, place, offset=0)
        self._console.out("done\n")

    def _overrides(self) -> tuple[str, ...]:
        """Overrides for fields that mke2fs writes and a Spec cannot request."""
        settings = self._settings
        is_v1 = self._arguments.journal.v1_superblock and settings.journal_blocks
        return (*(_V1_JOURNAL if is_v1 else ()), *settings.overrides)

    def _free_blocks(self) -> str:
        """How mke2fs leaves free blocks, as a value of ``write_layout(free_blocks=...)``.

        In a file they are zeros with and without a discard.
        """
        if not self._target.is_device:
            return "zero"
        if self._settings.extended.assume_storage_prezeroed:
            return "prezeroed"
        return "discard" if self._settings.discards else "keep"

    def _write(self, layout: Layout, pool: ProcessPool, cancel: Cancel) -> None:
        from .writing import write

        console, settings = self._console, self._settings
        groups = settings.numbers.groups
        # misc/mke2fs.c:packed_allocate_tables does not count.
        packed = layout.spec.packed_meta_blocks
        console.numeric("Allocating group tables: ", 0 if packed else groups)
        console.numeric("Writing inode tables: ", groups)
        if settings.journal_blocks:
            console.out(f"Creating journal ({settings.journal_blocks} blocks): done\n")
        if settings.numbers.format.mmp:
            console.out(
                "Multiple mount protection is enabled with update interval "
                f"{layout.spec.mmp_update_interval} seconds.\n"
            )
        if self._no_huge_files:
            console.err(f"{self._arguments.program}: {self._no_huge_files}\n")
        if self._huge_files is not None:
            console.out(self._huge_files.announcement())
        if self._arguments.source is not None:
            console.out("Copying files into the device: ")
        sync = settings.profile.option("sync_kludge", 0) != 0
        write(
            layout,
            self._target,
            settings.extended.offset,
            sparse=settings.extended.android_sparse,
            free_blocks=self._free_blocks(),
            overrides=self._overrides(),
            sync=sync or os.environ.get("MKE2FS_SYNC", "0") not in ("", "0"),
            processes=pool,
            cancel=cancel,
        )
        if self._arguments.source is not None:
            console.out("done\n")
        self._write_journal(layout)
        label = "Writing superblocks and filesystem accounting information: "
        console.numeric(label, groups, "done\n\n")
        mounts = layout.spec.max_mount_count
        days = layout.spec.check_interval / 86400
        if (mounts or days) and "MKE2FS_SKIP_CHECK_MSG" not in os.environ:
            console.out(
                f"This filesystem will be automatically checked every {mounts} mounts or\n"
                f"{days:g} days, whichever comes first.  "
                "Use tune2fs -c or -i to override.\n"
            )


def main(program: str, given: Sequence[str]) -> int:
    """Run the command line and return its exit status; every failure is one line."""
    from ..streams import open_missing

    open_missing()
    if "--install-links" in " ".join(given):
        return _links(program, given)
    try:
        return run(program, given)
    except Exception as error:
        from ..failures import explain

        explained = explain(error)
        if explained is None:
            raise
        sys.stderr.write(f"{program}: {explained[0]}\n")
        return explained[1]


def _links(program: str, given: Sequence[str]) -> int:
    console = Console()
    if len(given) == 1 and "=" in given[0]:
        given = given[0].split("=", 1)
    if len(given) != 2 or given[0] != "--install-links":
        console.err(f"{program}: --install-links DIR cannot be combined with other arguments\n")
        return 1
    from .links import install

    try:
        for path in install(given[1]):
            console.out(f"{path}\n")
    except Mistake as mistake:
        console.err(f"{program}: {mistake.message}\n")
        return 1
    return 0
