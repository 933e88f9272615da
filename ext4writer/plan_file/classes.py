"""The classes that a plan consists of, and their fields."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any

from ..ondisk.features import FeatureSet
from ..ondisk.format import Format
from ..ondisk.merkle import MerkleTree
from ..planning.dedupe import SharedRun
from ..planning.directories import (
    DirectoryRules,
    IndexedDirectory,
    InlineDirectory,
    LinearDirectory,
    Slack,
)
from ..planning.geometry import Geometry
from ..planning.inode_choices import DeletedInode, InodeChoices
from ..planning.inodes import InodeTable
from ..planning.layout import GroupCounts, ImagePlan, Times
from ..planning.mapping import FileMapping, MappedRun, UnwrittenRun
from ..planning.mapping.block_map import BlockMapping
from ..planning.mapping.extents import ExtentMapping
from ..planning.placement import Demand, PlacedFile, Placement
from ..planning.quota_options import QuotaGrace, QuotaLimit
from ..planning.spec import Spec
from ..planning.states.journal import FastChange, JournalState, Transaction, Write
from ..planning.states.mmp import MmpState
from ..planning.states.orphans import OrphanPlan
from ..planning.system_files import SystemFile
from ..planning.system_files.resize_inode import ResizeMapping
from ..planning.verity import VerityFile
from ..planning.xattrs import Attribute, XattrPlan
from ..spans import Run, Span
from ..tree import Loss
from ..version import __version__
from .contents import CONTENTS, SHARED

PLANNED: tuple[type, ...] = (
    *(QuotaLimit, QuotaGrace, SharedRun),
    *(ImagePlan, Spec, Format, FeatureSet, Times, GroupCounts, Loss),
    *(Geometry, InodeTable, Demand, Placement, PlacedFile, MappedRun, UnwrittenRun, SystemFile),
    *(Run, Span),
    *(DirectoryRules, LinearDirectory, IndexedDirectory, InlineDirectory, Slack),
    *(XattrPlan, Attribute),
    *(VerityFile, MerkleTree, InodeChoices, DeletedInode),
    *(JournalState, Transaction, Write, FastChange, MmpState, OrphanPlan),
)

MAPPINGS: tuple[type[FileMapping], ...] = (BlockMapping, ExtentMapping, ResizeMapping)

LEFT_OUT = {InodeTable: ("nodes", "content_kinds"), Spec: ("policy",)}
"""Fields that are not stored: nodes and their contents become separate columns, and a policy's
choices are in the plan."""


def names_of(kind: type) -> tuple[str, ...]:
    """Return the names of the stored fields of a class."""
    names = (
        [field.name for field in fields(kind)] if is_dataclass(kind) else list(kind._fields)  # type: ignore[attr-defined]
    )
    return tuple(name for name in names if name not in LEFT_OUT.get(kind, ()))


def packed_classes() -> Mapping[type, tuple[str, Callable[[Any], Sequence[Any]]]]:
    """Return class -> (name, function that returns the values of the fields of an object)."""
    classes: dict[type, tuple[str, Callable[[Any], Sequence[Any]]]] = {}
    for kind in PLANNED:
        classes[kind] = kind.__name__, _values(names_of(kind))
    for mapping in MAPPINGS:
        classes[mapping] = mapping.__name__, lambda one: [vars(one)]
    for content, (name, values, _) in CONTENTS.items():
        classes[content] = name, values
    return classes


def _values(names: tuple[str, ...]) -> Callable[[Any], Sequence[Any]]:
    if len(names) == 1:
        get = attrgetter(names[0])
        return lambda one: (get(one),)
    values: Callable[[Any], Sequence[Any]] = attrgetter(*names)
    return values


def unpacked_classes() -> Mapping[str, Callable[..., Any]]:
    """Return name -> function that creates an object from the values of its fields."""
    makers: dict[str, Callable[..., Any]] = {}
    for kind in PLANNED:
        makers[kind.__name__] = _maker(kind, names_of(kind))
    for mapping in MAPPINGS:
        makers[mapping.__name__] = _mapping_maker(mapping)
    makers.update({name: make for name, _, make in (*CONTENTS.values(), *SHARED.values())})
    return makers


def _maker(kind: type, names: tuple[str, ...]) -> Callable[..., Any]:
    return lambda *values: kind(**dict(zip(names, values, strict=True)))


def _mapping_maker(kind: type[FileMapping]) -> Callable[..., Any]:
    def make(attributes: dict[str, Any]) -> FileMapping:
        mapping: FileMapping = kind.__new__(kind)
        vars(mapping).update(attributes)
        return mapping

    return make


def signature() -> str:
    """Return 16 hexadecimal digits that change with the release and with the classes of a plan."""
    words = [__version__]
    words += [f"{kind.__name__}({','.join(names_of(kind))})" for kind in PLANNED]
    words += [kind.__name__ for kind in MAPPINGS]
    words += [name for name, _, _ in CONTENTS.values()]
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]
