"""Reports policies that had nothing to choose in an image, so that none is ignored silently."""

from __future__ import annotations

from collections.abc import Iterator

from ..tree import Loss
from .checked_policy import CheckedPolicy
from .layout import ImagePlan
from .plain import shown
from .policy import LayoutPolicy

_JOURNAL = "a journal inside the image"
_VALUES = "the feature ea_inode, and attributes"
_PIECES = "sequential to be False"
_NEEDED = {
    **dict.fromkeys(("run_lengths", "shuffle", "gap", "leaf_bytes", "empty_blocks"), _PIECES),
    **dict.fromkeys(("record_slack", "deleted_name", "entry_order"), _PIECES),
    **dict.fromkeys(("metadata_order", "metadata_gap"), "moves_metadata to be True"),
    "journal_state": _JOURNAL,
    "journal_places": f"{_JOURNAL} that nothing else places",
    "journal_extra": f"{_JOURNAL} whose size is automatic",
    "mmp_state": "the feature mmp",
    "orphan_state": "an image without the feature quota",
    "backup_numbers": "the feature sparse_super2",
    "inline": "the feature inline_data, and files that fit into their inodes",
    "xattr_value_apart": _VALUES,
    "xattr_values_shared": _VALUES,
    "xattrs_outside": "attributes",
    "xattrs_shared": "equal attributes in blocks",
    "block_mapped": "the feature extent, without bigalloc",
    "unwritten_blocks": "the feature extent, and files with holes",
    "blocks_past_end": "the feature extent, and files",
    "extra_isize": "inodes of more than 128 bytes",
    "indexed": "the feature dir_index, and directories of several blocks",
    "index_entries": "the feature dir_index, and directories of several blocks",
}
"""What a method needs to be called. All others are called for any tree with files."""


def without_choices(policy: LayoutPolicy, plan: ImagePlan) -> Iterator[Loss]:
    """Yield a loss if the policy could not do in ``plan`` what it is for; call it last."""
    if not isinstance(policy, CheckedPolicy):
        return  # the default policy, and those that draw all choices
    own, asked = policy.own_methods(), {*policy.asked, *_asked_elsewhere(plan)}
    if own and asked.isdisjoint(own):
        needed = dict.fromkeys(_NEEDED.get(method, "more files") for method in own)
        what = f"has nothing to choose in this image; it needs {', or '.join(needed)}"
    elif policy.needs and not getattr(plan.format, policy.needs):
        what = f"needs the feature {policy.needs}, which the image does not have"
    else:
        return
    yield Loss(b"/", f"the policy {shown(policy.name)} {what}", "policy-unused")


def _asked_elsewhere(plan: ImagePlan) -> Iterator[str]:
    """Yield the methods that were called on other copies of the policy, or need no call."""
    if plan.format.sparse_super2 and plan.spec.num_backup_sb:
        yield "backup_numbers"
    if plan.demand.journal_blocks and plan.spec.journal == "auto":
        yield "journal_extra"
    if plan.xattrs.blocks:
        yield "xattrs_outside"  # attributes that do not fit into inodes are outside anyway
