"""Writes ext4 file systems: a tree of files becomes a finished image, without mkfs or root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .late import late_names, names_by_home

if TYPE_CHECKING:
    from . import manifests, nix, sources
    from .api import (
        iter_image,
        iter_layout,
        open_image,
        plan,
        write_image,
        write_journal,
        write_layout,
    )
    from .content import BytesContent, Content, PathContent
    from .damage.override import Override
    from .errors import (
        ArchiveError,
        CancelledError,
        DamageError,
        DeclaredSizeError,
        Ext4WriterError,
        ImageError,
        LimitError,
        NotFoundError,
        OutputError,
        OverrideError,
        PlanError,
        RecordError,
        SizeError,
        SourceChangedError,
        SourceError,
        SpecError,
        TreeError,
        WorkerError,
    )
    from .forked import ProcessPool
    from .layout import Layout
    from .ondisk.features import DEFAULT_FEATURES, FeatureSet
    from .output.compressed import Compression
    from .output.opening import Output, OutputLike
    from .planning.policy import LayoutPolicy
    from .planning.policy_names import policy
    from .planning.quota_options import QuotaGrace, QuotaLimit
    from .planning.random_policy import RandomPolicy
    from .planning.report import ImageReport
    from .planning.spec import Spec
    from .progress import Cancel, Progress, ProgressCallback
    from .slices import PathSliceContent
    from .streamed import CallableContent, IteratorContent
    from .tree import (
        BlockDevice,
        CharacterDevice,
        Device,
        Directory,
        Fifo,
        Loss,
        LossCode,
        Node,
        RegularFile,
        Socket,
        Symlink,
        Tree,
    )
    from .version import __version__

__all__ = [
    "DEFAULT_FEATURES",
    "ArchiveError",
    "BlockDevice",
    "BytesContent",
    "CallableContent",
    "Cancel",
    "CancelledError",
    "CharacterDevice",
    "Compression",
    "Content",
    "ProcessPool",
    "DamageError",
    "DeclaredSizeError",
    "Device",
    "Directory",
    "Ext4WriterError",
    "FeatureSet",
    "Fifo",
    "ImageError",
    "ImageReport",
    "IteratorContent",
    "Layout",
    "LayoutPolicy",
    "LimitError",
    "Loss",
    "LossCode",
    "Node",
    "Output",
    "OutputLike",
    "NotFoundError",
    "OutputError",
    "Override",
    "OverrideError",
    "PathContent",
    "PlanError",
    "PathSliceContent",
    "Progress",
    "ProgressCallback",
    "QuotaGrace",
    "QuotaLimit",
    "RandomPolicy",
    "RecordError",
    "RegularFile",
    "SizeError",
    "Socket",
    "SourceChangedError",
    "SourceError",
    "Spec",
    "SpecError",
    "Symlink",
    "Tree",
    "TreeError",
    "WorkerError",
    "__version__",
    "iter_image",
    "iter_layout",
    "manifests",
    "nix",
    "open_image",
    "plan",
    "policy",
    "sources",
    "write_image",
    "write_journal",
    "write_layout",
]

# Hidden from type checkers, which would otherwise accept any name.
if not TYPE_CHECKING:
    __getattr__ = late_names(
        __name__,
        names_by_home(
            {
                "": "manifests nix sources",
                "api": "iter_image iter_layout open_image plan write_image write_journal "
                "write_layout",
                "content": "BytesContent Content PathContent",
                "damage.override": "Override",
                "errors": "ArchiveError CancelledError DamageError DeclaredSizeError "
                "Ext4WriterError ImageError LimitError NotFoundError OutputError OverrideError "
                "PlanError RecordError SizeError SourceChangedError SourceError SpecError "
                "TreeError WorkerError",
                "forked": "ProcessPool",
                "layout": "Layout",
                "ondisk.features": "DEFAULT_FEATURES FeatureSet",
                "output.compressed": "Compression",
                "output.opening": "Output OutputLike",
                "planning.policy": "LayoutPolicy",
                "planning.policy_names": "policy",
                "planning.quota_options": "QuotaGrace QuotaLimit",
                "planning.random_policy": "RandomPolicy",
                "planning.report": "ImageReport",
                "planning.spec": "Spec",
                "progress": "Cancel Progress ProgressCallback",
                "slices": "PathSliceContent",
                "streamed": "CallableContent IteratorContent",
                "version": "__version__",
                "tree": "BlockDevice CharacterDevice Device Directory Fifo Loss "
                "LossCode Node RegularFile Socket Symlink Tree",
            }
        ),
    )


def __dir__() -> list[str]:
    """All public names, including those that are not loaded yet."""
    return sorted(__all__)
