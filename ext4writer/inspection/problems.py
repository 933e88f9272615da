"""What a check finds: single problems, each with its place and e2fsck's name for it."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import DamageError, display_path
from ..late_dataclasses import NamedTuple
from ..ondisk.verity import FSVERITY_DESCRIPTOR
from ..read import Image


class Problem(NamedTuple):
    """One problem. ``offset`` is in bytes from the start of the file system."""

    code: str
    """The name in e2fsck/problem.h, or one of our own for what e2fsck does not check."""
    record: str
    field: str
    offset: int | None
    text: str
    """The value found and the one expected, as the predicate of record and field."""
    ino: int | None = None
    path: bytes | None = None
    is_warning: bool = False
    """Whether e2fsck would still call the file system clean."""

    @property
    def line(self) -> str:
        """The problem in one line, in characters that a terminal can show."""
        place = "" if self.path is None else f"{display_path(self.path)}: "
        if self.path is None and self.ino is not None:
            place = f"inode {self.ino}: "
        at = "" if self.offset is None else f" at byte {self.offset}"
        kind = "warning: " if self.is_warning else ""
        return f"{kind}{place}{self.record}.{self.field}{at} {self.text} [{self.code}]"


_CODES = {
    ("superblock", "s_checksum"): "PR_0_SB_CORRUPT",
    ("superblock", "s_blocks_count_lo"): "PR_0_FS_SIZE_WRONG",
    ("group_desc", "bg_checksum"): "PR_0_GDT_CSUM",
    ("group_desc", "bg_inode_table_lo"): "PR_0_ITABLE_NOT_GROUP",
    ("inode", "l_i_checksum_lo"): "PR_1_INODE_ONLY_CSUM_INVALID",
    ("inode", "i_extra_isize"): "PR_1_EXTRA_ISIZE",
    ("inode", "i_block"): "PR_1_ILLEGAL_BLOCK_NUM",
    ("inode", "i_size_lo"): "PR_1_BAD_I_SIZE",
    ("inode", "i_size_high"): "PR_1_BAD_I_SIZE",
    ("inode", "i_file_acl_lo"): "PR_2_FILE_ACL_BAD",
    ("inode", "i_mode"): "PR_2_BAD_MODE",
    ("extent_header", "eh_magic"): "PR_1_MISSING_EXTENT_HEADER",
    ("extent_header", "eh_depth"): "PR_1_EXTENT_HEADER_INVALID",
    ("extent_header", "eh_max"): "PR_1_EXTENT_HEADER_INVALID",
    ("extent_header", "eh_entries"): "PR_1_EXTENT_HEADER_INVALID",
    ("extent", "ee_start_lo"): "PR_1_EXTENT_BAD_START_BLK",
    ("extent", "ee_len"): "PR_1_EXTENT_LENGTH_ZERO",
    ("extent", "ee_block"): "PR_1_OUT_OF_ORDER_EXTENTS",
    ("extent_idx", "ei_leaf_lo"): "PR_1_EXTENT_BAD_START_BLK",
    ("extent_tail", "et_checksum"): "PR_1_EXTENT_ONLY_CSUM_INVALID",
    ("dir_entry_2", "rec_len"): "PR_2_DIR_CORRUPTED",
    ("dir_entry_2", "inode"): "PR_2_BAD_INO",
    ("dir_entry_2", "name_len"): "PR_2_DIR_CORRUPTED",
    ("dir_entry_tail", "det_checksum"): "PR_2_LEAF_NODE_ONLY_CSUM_INVALID",
    ("dx_tail", "dt_checksum"): "PR_2_HTREE_NODE_CSUM_INVALID",
    ("dx_root", "limit"): "PR_2_HTREE_BAD_LIMIT",
    ("dx_root", "count"): "PR_2_HTREE_BAD_COUNT",
    ("dx_node", "limit"): "PR_2_HTREE_BAD_LIMIT",
    ("dx_node", "count"): "PR_2_HTREE_BAD_COUNT",
    ("xattr_header", "h_magic"): "PR_1_BAD_EA_BLOCK",
    ("xattr_header", "h_blocks"): "PR_1_EA_MULTI_BLOCK",
    ("xattr_header", "h_checksum"): "PR_1_EA_BLOCK_ONLY_CSUM_INVALID",
    ("xattr_entry", "e_name_len"): "PR_1_ATTR_NAME_LEN",
    ("xattr_entry", "e_value_offs"): "PR_1_ATTR_VALUE_OFFSET",
    ("xattr_entry", "e_value_size"): "PR_1_ATTR_VALUE_SIZE",
    ("xattr_entry", "e_value_inum"): "PR_1_ATTR_VALUE_EA_INODE",
    ("xattr_entry", "e_name_index"): "PR_1_EA_BAD_NAME",
}
"""Record and field that a reader reports as damaged -> e2fsck's name for the problem."""

_SPELLINGS = {"inode_128": "inode", "group_desc_32": "group_desc"}


def of_damage(error: DamageError) -> Problem:
    """Return the problem for an error of a reader."""
    key = _SPELLINGS.get(error.record, error.record), error.field
    text = error.problem
    code = "VERITY" if key[0] == FSVERITY_DESCRIPTOR.name else _CODES.get(key, "DAMAGE")
    if error.kind == "depth":
        # e2fsck relies on the depth in the root; the kernel refuses the node.
        return Problem(
            "EXTENT_DEPTH", key[0], error.field, error.offset, text, error.ino, None, True
        )
    if error.kind == "past-end":
        code = "PAST_THE_END"  # the superblock has its own problem; this is what cannot be read
    elif error.kind == "unmapped":
        code = "PR_2_DIRECTORY_HOLE"
    elif error.kind == "missing" and key[1] == "det_checksum":
        code = "PR_2_LEAF_NODE_MISSING_CSUM"
    return Problem(code, key[0], error.field, error.offset, text, error.ino)


def with_paths(image: Image, problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems with the paths of their inodes, where a walk finds them."""
    listed = list(problems)
    wanted = {problem.ino for problem in listed if problem.ino is not None}
    paths: dict[int, bytes] = {2: b"/"} if 2 in wanted else {}
    previous, image.on_damage = image.on_damage, lambda _: None
    try:
        if wanted - paths.keys():
            for found in image.walk():
                if found.inode.ino in wanted and found.inode.ino not in paths:
                    paths[found.inode.ino] = found.path
                    if len(paths) == len(wanted):
                        break
    except (DamageError, ValueError):
        pass  # the walk cannot continue; the remaining inodes get no path
    finally:
        image.on_damage = previous
    return [
        problem if problem.ino is None else problem._replace(path=paths.get(problem.ino))
        for problem in listed
    ]
