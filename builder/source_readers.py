"""Reads the sources of a command, each of its kind, and lays the later over the earlier."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ext4writer import Directory, Tree, sources
from ext4writer.progress import Cancel, ProgressCallback

from .options import ScanOptions
from .output import Output
from .source_arguments import FOUND, SourceArgument
from .spool import Spool


@dataclass(frozen=True)
class Reading:
    """What all sources of one command share."""

    scan: ScanOptions
    output: Output | None
    spool: Spool
    progress: ProgressCallback | None
    cancel: Cancel | None


@dataclass(frozen=True)
class SourceReport:
    """What the report says of one source."""

    source: str
    kind: str
    target: str
    facts: Mapping[str, object] = field(default_factory=dict)
    """More about it, as values of JSON."""


def read_sources(
    arguments: Sequence[SourceArgument], reading: Reading
) -> tuple[Tree, list[SourceReport]]:
    """Read all of ``arguments`` in their order, later ones over earlier; none is an empty tree."""
    tree: Tree | None = None
    reports = []
    for argument in arguments:
        read = READERS[argument.kind]
        one, kind, facts = read(argument, reading)
        target = os.fsdecode(argument.target)
        reports.append(SourceReport(argument.place, kind, target, facts))
        if tree is None and argument.target == b"/":
            tree = one
            continue
        if tree is None:
            tree = Tree(Directory(implied=True))
        tree.overlay(one, argument.target, copy=False)
    return tree or Tree(), reports


Read = tuple[Tree, str, Mapping[str, object]]
"""A tree, what its source is called in the report, and what else is known of it."""


def _found(argument: SourceArgument, reading: Reading) -> Read:
    """Read a folder."""
    place = argument.place
    return _directory(place, reading)


def _directory(place: str, reading: Reading) -> Read:
    """Read a folder, without the image that is about to be written."""
    scan, output = reading.scan, reading.output
    tree = sources.directory(
        place,
        xattrs=not scan.no_xattrs,
        keep_times=scan.keep_times,
        exclude=scan.exclude,
        one_file_system=scan.one_file_system,
        skip=output.itself(place) if output is not None else None,
        progress=reading.progress,
        cancel=reading.cancel,
    )
    return tree, "directory", {}


READERS: dict[str, Callable[[SourceArgument, Reading], Read]] = {
    FOUND: _found,
}
"""Kind of a source -> what reads it."""
