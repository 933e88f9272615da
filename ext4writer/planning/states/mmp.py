"""What the block of multi-mount protection records about hosts that mounted earlier.

Rules: Documentation/filesystems/ext4/mmp.rst and fs/ext4/mmp.c:ext4_multi_mount_protect.
"""

from __future__ import annotations

from ...errors import SpecError
from ...late_dataclasses import NamedTuple
from ...ondisk.mmp import (
    EXT4_MMP_MAX_UPDATE_INTERVAL,
    EXT4_MMP_SEQ_CLEAN,
    EXT4_MMP_SEQ_MAX,
    MMP,
)
from ..plain import plain_number
from ..random_policy import SeededPolicy

_TIMES = 1 << 64


class MmpState(NamedTuple):
    """Fields of the block. The defaults are those of a file system that was never mounted."""

    sequence: int = EXT4_MMP_SEQ_CLEAN
    """Clean, or the last number of a host that crashed: mounts wait to see if it changes."""
    time: int = 0
    """Seconds since 1970 of the last update."""
    node_name: bytes = b""
    device_name: bytes = b""
    check_interval: int | None = None
    """Seconds to wait for an update; None is ``Spec.mmp_update_interval``."""


def checked_mmp_state(given: MmpState) -> MmpState:
    """Return ``given`` with plain values only; raises :class:`SpecError` if it is invalid."""

    def wrong(problem: str) -> SpecError:
        return SpecError("policy", f"a block of multi-mount protection that {problem}")

    try:
        interval = given.check_interval
        state = MmpState(
            plain_number(given.sequence),
            plain_number(given.time),
            bytes(memoryview(given.node_name)),
            bytes(memoryview(given.device_name)),
            None if interval is None else plain_number(interval),
        )
    except (TypeError, AttributeError, ValueError):
        raise wrong(f"is {given!r:.80}, which is not an MmpState") from None
    if state.sequence != EXT4_MMP_SEQ_CLEAN and not 0 < state.sequence <= EXT4_MMP_SEQ_MAX:
        # This includes the number of a check in progress, with which no mount succeeds.
        raise wrong(f"has the sequence {state.sequence:#x}, which no host writes")
    if not 0 <= state.time < _TIMES:
        raise wrong(f"has the time {state.time}")
    for name in ("node_name", "device_name"):
        text, most = getattr(state, name), MMP.fields[f"mmp_{_FIELDS[name]}"].size - 1
        if len(text) > most or b"\0" in text:
            raise wrong(f"has a {name} of {len(text)} bytes; {most} without NUL bytes fit")
    if state.check_interval is not None and not (
        0 <= state.check_interval <= EXT4_MMP_MAX_UPDATE_INTERVAL
    ):
        raise wrong(
            f"has an interval of {state.check_interval} s; the maximum is "
            f"{EXT4_MMP_MAX_UPDATE_INTERVAL} s"
        )
    return state


_FIELDS = {"node_name": "nodename", "device_name": "bdevname"}


class MmpNeverOpened(SeededPolicy):
    """Never mounted by any host, with the feature mmp."""

    name = "mmp-never-opened"

    def mmp_state(self, epoch: int) -> MmpState | None:  # noqa: ARG002
        return MmpState()


class MmpClean(SeededPolicy):
    """Mounted by a host earlier and unmounted cleanly, with the feature mmp."""

    name = "mmp-clean"

    def mmp_state(self, epoch: int) -> MmpState | None:
        number = self.below(100)
        return MmpState(
            EXT4_MMP_SEQ_CLEAN,
            max(epoch - self.below(1 << 24), 0),
            (b"host-%d" % number, b"n" * 63)[self.below(2)],
            (b"sda%d" % number, b"d" * 31)[self.below(2)],
            (5, 10, EXT4_MMP_MAX_UPDATE_INTERVAL)[self.below(3)],
        )


class MmpCrashed(MmpClean):
    """Mounted by a host that crashed, so that mounts wait first, with the feature mmp."""

    name = "mmp-crashed"

    def mmp_state(self, epoch: int) -> MmpState | None:
        state = super().mmp_state(epoch)
        assert state is not None
        sequence = 1 + self.below(EXT4_MMP_SEQ_MAX)
        return state._replace(sequence=sequence, check_interval=5)


MMP_POLICIES: tuple[type[SeededPolicy], ...] = (MmpNeverOpened, MmpClean, MmpCrashed)
