"""File capabilities: from the text of setcap(8) to the value of ``security.capability``.

The text has the syntax of cap_from_text(3); the value is the kernel's ``struct vfs_cap_data``
(include/uapi/linux/capability.h). It has a single bit for "effective", so a text in which only
some capabilities are effective is refused, as in libcap's cap_set_file.
"""

from __future__ import annotations

import re
import struct

NAMES = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid"),
    *("setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw"),
    *("ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct"),
    *("sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod"),
    *("lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog"),
    *("wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore"),
)
"""Capabilities in the order of their numbers. The last one was added in Linux 5.9."""

XATTR = b"security.capability"
VFS_CAP_REVISION_2 = 0x02000000
VFS_CAP_REVISION_3 = 0x03000000
VFS_CAP_FLAGS_EFFECTIVE = 1
ALL = (1 << len(NAMES)) - 1

_CLAUSE = re.compile(r"([^=+-]*)((?:[=+-][eip]*)+)")
_ACTION = re.compile(r"([=+-])([eip]*)")


def capability_value(text: str, root_id: int | None = None) -> bytes:
    """The value of ``security.capability`` for ``text``, such as ``cap_net_bind_service=ep``.

    ``root_id`` is the user who is root in the user namespace where the capabilities apply (setcap
    -n); with it the value has revision 3. Raises ``ValueError`` with a reason for an invalid text
    and for capabilities that a file cannot have.
    """
    sets = {"e": 0, "i": 0, "p": 0}
    clauses = text.split()
    if not clauses:
        raise ValueError("no capabilities are named")
    for clause in clauses:
        found = _CLAUSE.fullmatch(clause)
        if found is None:
            raise ValueError(f"{clause!r} is not like cap_net_raw,cap_kill=ep")
        _apply(sets, found[1], found[2])
    reach = sets["p"] | sets["i"]
    if sets["e"] and reach & ~sets["e"]:
        raise ValueError(f"{text!r}: a file has all of its capabilities effective or none")
    revision = VFS_CAP_REVISION_2 if root_id is None else VFS_CAP_REVISION_3
    magic = revision | (VFS_CAP_FLAGS_EFFECTIVE if sets["e"] else 0)
    low = 0xFFFFFFFF
    value = struct.pack(
        "<5I", magic, sets["p"] & low, sets["i"] & low, sets["p"] >> 32, sets["i"] >> 32
    )
    return value if root_id is None else value + struct.pack("<I", root_id)


def _apply(sets: dict[str, int], names: str, actions: str) -> None:
    if names.lower() == "all" or (not names and actions.startswith("=")):
        chosen = ALL
    else:
        chosen = 0
        for name in names.split(","):
            chosen |= 1 << _number(name)
    for sign, flags in _ACTION.findall(actions):
        if sign == "=":
            for flag in sets:
                sets[flag] &= ~chosen
        for flag in flags:
            if sign == "-":
                sets[flag] &= ~chosen
            else:
                sets[flag] |= chosen


def _number(name: str) -> int:
    try:
        return NAMES.index(name.lower().removeprefix("cap_"))
    except ValueError:
        raise ValueError(f"{name!r} is not a capability") from None
