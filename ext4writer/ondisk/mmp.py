"""Multi-mount protection: a block that shows hosts whether another host has mounted.

Rules: Documentation/filesystems/ext4/mmp.rst and fs/ext4/ext4.h:struct mmp_struct.
"""

from __future__ import annotations

from .declaration import Array, Bytes, Int16ul, Int32ul, Int64ul, Struct
from .record import Record, field

EXT4_MMP_MAGIC = 0x004D4D50

# mmp_seq; any other value means that a host has mounted.
EXT4_MMP_SEQ_CLEAN = 0xFF4D4D50
EXT4_MMP_SEQ_FSCK = 0xE24D4D50
EXT4_MMP_SEQ_MAX = 0xE24D4D4F

EXT4_MMP_UPDATE_INTERVAL = 5
"""Seconds; the default of mke2fs."""
EXT4_MMP_MAX_UPDATE_INTERVAL = 300
"""Seconds (fs/ext4/ext4.h)."""

MMP = Record(
    "mmp",
    Struct(
        field("mmp_magic", Int32ul, "0x004D4D50", "magic", names={EXT4_MMP_MAGIC: "mmp"}),
        field(
            "mmp_seq",
            Int32ul,
            "Changes with each update; special values mean that no host has mounted",
            "code",
            names={EXT4_MMP_SEQ_CLEAN: "clean", EXT4_MMP_SEQ_FSCK: "fsck"},
        ),
        field(
            "mmp_time",
            Int64ul,
            "Last update",
            "time",
            writes="0, unless a policy states an update",
        ),
        field(
            "mmp_nodename",
            Bytes(64),
            "Host that mounted",
            "text",
            writes="none, unless a policy states a mount",
        ),
        field(
            "mmp_bdevname",
            Bytes(32),
            "Device on that host",
            "text",
            writes="none, unless a policy states a mount",
        ),
        field("mmp_check_interval", Int16ul, "Time to wait for an update", "seconds"),
        field("mmp_pad1", Int16ul, "Padding", "reserved"),
        field("mmp_pad2", Array(226, Int32ul), "Padding", "reserved"),
        field(
            "mmp_checksum",
            Int32ul,
            "crc32c of the bytes before it",
            "checksum",
            when="metadata_csum",
        ),
    ),
    size=1024,
    doc="The first 1024 bytes of the block s_mmp_block; mmp.rst.",
)
