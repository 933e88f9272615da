"""Reads the sources of a command and lays later ones over earlier ones."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

from ext4writer import Directory, ProcessPool, Tree, sources
from ext4writer.edit.rules_select import Selection
from ext4writer.errors import ArchiveError, SourceError, SpecError, TreeError
from ext4writer.late_dataclasses import NamedTuple
from ext4writer.progress import Cancel, ProgressCallback

from .options import ScanOptions
from .output import Output
from .rule_options import read_file, select
from .source_arguments import NO_PREFIX, STANDARD_INPUT, SourceArgument
from .spool import Spool

if TYPE_CHECKING:
    from ext4writer.sources import ContainerImage

    from .source_settings import SourceSettings


# s_magic of the superblock; other files hardly ever have the same two bytes there.
_MAGIC_AT = 1024 + 0x38
_MAGIC = b"\x53\xef"
_DISK_MAGIC = b"QFI\xfb"
"""The first bytes of a qcow2 disk."""


class Reading(NamedTuple):
    """The settings that all sources of one command share."""

    scan: ScanOptions
    selection: Selection
    outputs: Sequence[Output]
    spool: Spool
    pool: ProcessPool
    progress: ProgressCallback | None
    cancel: Cancel | None


class SourceReport(NamedTuple):
    """Facts about one source, for the report."""

    source: str
    kind: str
    target: str
    facts: Mapping[str, object]
    """Further facts, as JSON values."""


def read_sources(
    arguments: Sequence[SourceArgument], reading: Reading
) -> tuple[Tree, list[SourceReport]]:
    """Read all ``arguments`` in order, later ones over earlier ones, into one tree.

    Without arguments the tree is empty.
    """
    tree: Tree | None = None
    reports = []
    scan = reading.scan
    root_from = _source_of_root(arguments, scan.root_from)
    for number, argument in enumerate(arguments, 1):
        one, kind, facts = _read(argument, reading)
        if number == root_from and one.root.implied:
            raise SpecError("root_from", f"source {number}, {argument.text}, does not state a root")
        target = os.fsdecode(argument.target)
        reports.append(SourceReport(argument.place, kind, target, facts))
        if tree is None and argument.target == b"/":
            tree = one
            continue
        if tree is None:
            tree = Tree(Directory(implied=True))
        tree.overlay(
            one,
            argument.target,
            copy=False,
            keep_directory_symlink=scan.keep_directory_symlink,
            root_attributes=None if root_from is None else number == root_from,
        )
    kinds = {report.kind for report in reports}
    for name, (words, meant_for) in MEANT_FOR.items():
        if getattr(scan, name) and not kinds & meant_for:
            raise SpecError(name, f"is for {words}, and no SOURCE is one")
    if scan.strip_components and not any(report.kind == "tar" for report in reports):
        raise SpecError(
            "strip_components",
            "is for tar archives, and no SOURCE is one; SOURCE,strip-components=N works for any "
            "SOURCE, and SOURCE:/FOLDER reads only what is below a folder",
        )
    if tree is None:
        tree = Tree()
    reading.selection.report(tree)
    return tree, reports


def _read(argument: SourceArgument, reading: Reading) -> Read:
    """Read one source, and apply its own settings."""
    settings = _settings(argument)
    scan, selection = reading.scan, reading.selection
    own_strip = None if settings is None else settings.strip_components
    strip = scan.strip_components if own_strip is None else own_strip
    argument = _split_inside(argument)
    if strip or argument.inside is not None:
        # Patterns are relative to the root that the source has after this.
        reading = reading._replace(selection=select(()))
    one, kind, facts = READERS[argument.kind](argument, reading)
    if argument.inside is not None:
        one = _inside(one, argument)
    if strip and (kind == "tar" or own_strip is not None):
        from ext4writer.edit.filters import strip_components

        one = strip_components(one, strip)
    if argument.kind not in PRUNED or selection.has_includes or reading.selection is not selection:
        selection.take_out(one)
    if settings is not None:
        own = settings.selection()
        own.take_out(one)
        own.report(one)
        rules = settings.compiled()
        if rules:
            from ext4writer.edit.rules import apply_rules

            apply_rules(one, rules)
    return one, kind, facts


def _settings(argument: SourceArgument) -> SourceSettings | None:
    if not argument.settings:
        return None
    from .source_settings import SourceSettings

    return SourceSettings(argument.settings)


def _split_inside(argument: SourceArgument) -> SourceArgument:
    """Split ``PATH:/INSIDE`` of a source without a prefix where an existing path ends."""
    place = argument.place
    if argument.kind != NO_PREFIX or ":/" not in place or os.path.lexists(place):
        return argument
    path, _, inside = place.rpartition(":/")
    if os.path.isdir(path):
        below = os.path.join(path, inside)
        if not os.path.lexists(below):
            raise SourceError(argument.text, f"the folder {path} does not contain {inside or '/'}")
        return argument._replace(place=below)
    if len(path) < 2 and path != STANDARD_INPUT:  # a drive of Windows
        return argument
    return argument._replace(place=path, inside=inside)


def _inside(tree: Tree, argument: SourceArgument) -> Tree:
    """The directory of ``tree`` that ``argument.inside`` names, as a separate tree."""
    path = f"/{(argument.inside or '').strip('/')}"
    try:
        return tree.subtree(path)
    except TreeError as error:
        raise SourceError(argument.place, f"{path}: {error.problem}") from None


def _source_of_root(arguments: Sequence[SourceArgument], number: int | None) -> int | None:
    """Return ``number``; raises ``SpecError`` unless that source can be the root of the image."""
    if number is None:
        return None
    if number > len(arguments):
        raise SpecError("root_from", f"there is no source {number}, only {len(arguments)}")
    argument = arguments[number - 1]
    if argument.target != b"/":
        raise SpecError(
            "root_from",
            f"source {number}, {argument.text}, goes to {os.fsdecode(argument.target)}, so its "
            "root is not the root of the image",
        )
    return number


MEANT_FOR = {
    "platform": ("container images", {"OCI image", "Docker image"}),
    **dict.fromkeys(("content_root", "no_digests", "users", "groups"), ("manifests", {"manifest"})),
}
"""Options for only some kinds of sources -> (words for messages, these kinds in reports)."""

Read = tuple[Tree, str, Mapping[str, object]]
"""(Tree, kind of its source in the report, further facts for the report)."""


def _read_path(argument: SourceArgument, reading: Reading) -> Read:
    """Read a directory, or a tar archive from a file, a pipe or standard input."""
    tree, kind, facts = _read_existing_path(argument, reading)
    if argument.target != b"/":
        # A saved container image that goes into a subdirectory is meant as ordinary files.
        tree.losses = [loss for loss in tree.losses if loss.code != "saved-image"]
    return tree, kind, facts


def _read_existing_path(argument: SourceArgument, reading: Reading) -> Read:
    place = argument.place
    if place == STANDARD_INPUT:
        return _tar(_standard_input(), reading)
    try:
        mode = os.stat(place).st_mode
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        if isinstance(error, FileNotFoundError):
            from .foreign import hint_for_missing
            from .source_settings import wrong_settings

            wrong = wrong_settings(place)
            problem += hint_for_missing(place) if wrong is None else f"; {wrong}"
        raise SourceError(place, problem) from error
    if stat.S_ISDIR(mode):
        return _directory(place, reading)
    if stat.S_ISBLK(mode) or (stat.S_ISREG(mode) and _is_ext4(place)):
        tree, kind, facts = _ext4_image(argument, reading)
        if not reading.selection.has_includes:
            reading.selection.take_out(tree)
        return tree, kind, facts
    try:
        return _tar(place, reading)
    except ArchiveError as error:
        if error.member is None and not error.offset:
            from .foreign import hint_for_file

            problem = f"is not a directory, and {error.problem}{hint_for_file(place)}"
            raise SourceError(error.path, problem) from error
        raise


def _is_ext4(place: str) -> bool:
    """Whether a file has the magic number of a superblock, or of a disk that may contain one.

    No tar archive has either number there.
    """
    try:
        with open(place, "rb") as file:
            if file.read(len(_DISK_MAGIC)) == _DISK_MAGIC:
                return True
            file.seek(_MAGIC_AT)
            return file.read(2) == _MAGIC
    except OSError as error:
        raise SourceError(place, f"cannot be read: {error.strerror}") from error


def _ext4_image(argument: SourceArgument, reading: Reading) -> Read:
    """Read an ext4 image, or the one in a partition of a disk."""
    scan, number = reading.scan, argument.reference
    if number is not None and not number.isdecimal():
        raise SourceError(argument.place, f"{number!r} is not a partition number")
    tree = sources.image(
        argument.place,
        partition=None if number is None else int(number),
        replay=scan.replay,
        xattrs=not scan.no_xattrs,
        keep_times=scan.keep_times,
        progress=reading.progress,
        cancel=reading.cancel,
    )
    return tree, "ext4 image", {}


def _standard_input() -> BinaryIO:
    if sys.stdin.isatty():
        raise SourceError("standard input", "is a terminal; redirect an archive to it")
    return sys.stdin.buffer


def _tar(archive: str | BinaryIO, reading: Reading) -> Read:
    scan = reading.scan
    tree = sources.tar(
        archive,
        spool=reading.spool.open(),
        xattrs=not scan.no_xattrs,
        keep_times=scan.keep_times,
        secure_symlinks=scan.secure_symlinks,
        exclude=reading.selection.prunes,
        limits=scan.limits(),
        progress=reading.progress,
        cancel=reading.cancel,
    )
    return tree, "tar", {}


def _oci(argument: SourceArgument, reading: Reading) -> Read:
    return _image(sources.oci, "OCI image", argument, reading)


def _docker_archive(argument: SourceArgument, reading: Reading) -> Read:
    return _image(sources.docker_archive, "Docker image", argument, reading)


def _image(
    read: Callable[..., ContainerImage], kind: str, argument: SourceArgument, reading: Reading
) -> Read:
    scan = reading.scan
    place = argument.place
    if place != STANDARD_INPUT and not os.path.lexists(place):
        from .foreign import fetch_command

        problem = f"cannot be read: No such file or directory; {fetch_command(argument)}"
        raise SourceError(place, problem)
    image = read(
        _standard_input() if place == STANDARD_INPUT else place,
        argument.reference,
        platform=scan.platform,
        spool=reading.spool.open(),
        xattrs=not scan.no_xattrs,
        keep_times=scan.keep_times,
        secure_symlinks=scan.secure_symlinks,
        exclude=reading.selection.prunes,
        limits=scan.limits(),
        progress=reading.progress,
        cancel=reading.cancel,
    )
    config = image.config
    facts: dict[str, object] = {
        "names": image.names,
        "digest": image.digest,
        "platform": str(image.platform),
        "layers": len(image.layers),
        "user": config.user,
        "env": config.env,
        "entrypoint": config.entrypoint,
        "cmd": config.cmd,
        "workdir": config.working_dir,
        "labels": config.labels,
    }
    return image.tree, kind, facts


def _directory(place: str, reading: Reading) -> Read:
    """Read a directory, leaving out the image and other files that are about to be written."""
    scan = reading.scan
    tree = sources.directory(
        place,
        xattrs=not scan.no_xattrs,
        inode_flags=scan.inode_flags,
        keep_times=scan.keep_times,
        exclude=reading.selection.prunes if reading.selection else (),
        one_file_system=scan.one_file_system,
        skip=_output_test(reading.outputs, place),
        processes=reading.pool,
        progress=reading.progress,
        cancel=reading.cancel,
    )
    return tree, "directory", {}


def _output_test(outputs: Sequence[Output], place: str) -> Callable[[os.stat_result], bool] | None:
    """Return a test whether a file below ``place`` is one of the outputs; None if none can be."""
    tests = [test for output in outputs if (test := output.identity_test(place)) is not None]
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda status: any(test(status) for test in tests)


def _manifest(argument: SourceArgument, reading: Reading) -> Read:
    """Read a manifest from a file, or from standard input.

    Paths in the latter are relative to the current directory.
    """
    scan, place = reading.scan, argument.place
    piped = place == STANDARD_INPUT
    tree = sources.manifest(
        _standard_input() if piped else place,
        root="." if piped and scan.content_root is None else scan.content_root,
        verify=not scan.no_digests,
        users=_names(scan.users, has_group=True),
        groups=_names(scan.groups, has_group=False),
        progress=reading.progress,
        cancel=reading.cancel,
    )
    return tree, "manifest", {}


def _names(path: str | None, *, has_group: bool) -> dict[bytes, int] | None:
    if path is None:
        return None
    from ext4writer.edit.names import read_names

    return read_names(read_file(path), has_group=has_group)


READERS: dict[str, Callable[[SourceArgument, Reading], Read]] = {
    NO_PREFIX: _read_path,
    "oci": _oci,
    "docker-archive": _docker_archive,
    "manifest": _manifest,
    "image": _ext4_image,
}
"""Kind of a source -> its reader."""

PRUNED = {NO_PREFIX, "oci", "docker-archive"}
"""Kinds whose readers skip excluded entries themselves."""
