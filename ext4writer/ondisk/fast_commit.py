"""Fast commits: tags with values, in the last blocks of the journal; little-endian.

Rules: fs/ext4/fast_commit.h and Documentation/filesystems/ext4/journal.rst.
"""

from __future__ import annotations

from .declaration import Bytes, Int16ul, Int32ul, Struct
from .record import Record, field

# fc_tag
EXT4_FC_TAG_ADD_RANGE = 1
EXT4_FC_TAG_DEL_RANGE = 2
EXT4_FC_TAG_CREAT = 3
EXT4_FC_TAG_LINK = 4
EXT4_FC_TAG_UNLINK = 5
EXT4_FC_TAG_INODE = 6
EXT4_FC_TAG_PAD = 7
EXT4_FC_TAG_TAIL = 8
EXT4_FC_TAG_HEAD = 9

TAGS = {
    EXT4_FC_TAG_ADD_RANGE: "ADD_RANGE",
    EXT4_FC_TAG_DEL_RANGE: "DEL_RANGE",
    EXT4_FC_TAG_CREAT: "CREAT",
    EXT4_FC_TAG_LINK: "LINK",
    EXT4_FC_TAG_UNLINK: "UNLINK",
    EXT4_FC_TAG_INODE: "INODE",
    EXT4_FC_TAG_PAD: "PAD",
    EXT4_FC_TAG_TAIL: "TAIL",
    EXT4_FC_TAG_HEAD: "HEAD",
}
"""Each fc_tag -> its name."""

FC_TL = Record(
    "fc_tl",
    Struct(
        field("fc_tag", Int16ul, "Kind of the value", "code", names=TAGS),
        field("fc_len", Int16ul, "Bytes of the value", "bytes"),
    ),
    size=4,
    doc="Begins every tag; the value follows. fast_commit.h.",
)

FC_HEAD = Record(
    "fc_head",
    Struct(
        field(
            "fc_features",
            Int32ul,
            "Features that a replay must support; none are defined",
            "flags",
        ),
        field("fc_tid", Int32ul, "Transaction that the fast commits extend"),
    ),
    size=8,
    doc="Value of HEAD, the first tag of a fast commit area; fast_commit.h.",
)

FC_ADD_RANGE = Record(
    "fc_add_range",
    Struct(
        field("fc_ino", Int32ul, "Inode", "inode"),
        field("fc_ex", Bytes(12), "An entry of an extent tree"),
    ),
    size=16,
    doc="Value of ADD_RANGE, which maps an extent; fast_commit.h.",
)

FC_DEL_RANGE = Record(
    "fc_del_range",
    Struct(
        field("fc_ino", Int32ul, "Inode", "inode"),
        field("fc_lblk", Int32ul, "First block of the file", "file block"),
        field("fc_len", Int32ul, "Number of blocks", "blocks"),
    ),
    size=12,
    doc="Value of DEL_RANGE, which turns blocks of a file into a hole; fast_commit.h.",
)

FC_DENTRY_INFO = Record(
    "fc_dentry_info",
    Struct(
        field("fc_parent_ino", Int32ul, "Directory", "inode"),
        field("fc_ino", Int32ul, "Inode that the name refers to", "inode"),
    ),
    size=8,
    doc="Value of CREAT, LINK and UNLINK; the name follows. fast_commit.h.",
)

FC_INODE = Record(
    "fc_inode",
    Struct(
        field("fc_ino", Int32ul, "Inode", "inode"),
    ),
    size=4,
    doc="Value of INODE; the raw inode follows. fast_commit.h.",
)

FC_TAIL = Record(
    "fc_tail",
    Struct(
        field("fc_tid", Int32ul, "Transaction that the fast commit extends"),
        field(
            "fc_crc", Int32ul, "crc32c of all tags since the previous tail, up to here", "checksum"
        ),
    ),
    size=8,
    doc="Value of TAIL, which ends one fast commit; fast_commit.h.",
)

FC_VALUES = {
    EXT4_FC_TAG_ADD_RANGE: FC_ADD_RANGE,
    EXT4_FC_TAG_DEL_RANGE: FC_DEL_RANGE,
    EXT4_FC_TAG_CREAT: FC_DENTRY_INFO,
    EXT4_FC_TAG_LINK: FC_DENTRY_INFO,
    EXT4_FC_TAG_UNLINK: FC_DENTRY_INFO,
    EXT4_FC_TAG_INODE: FC_INODE,
    EXT4_FC_TAG_TAIL: FC_TAIL,
    EXT4_FC_TAG_HEAD: FC_HEAD,
}
"""Each fc_tag -> the record that its value begins with; the value of PAD is zeros."""
FC_NAMES = (EXT4_FC_TAG_CREAT, EXT4_FC_TAG_LINK, EXT4_FC_TAG_UNLINK)
"""Tags whose value ends with a name."""
