"""The file or device for the file system: its size and properties, and whether it is in use."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property, partial
from struct import pack, unpack

from .console import Console
from .numbers import strtoul
from .refusal import Mistake, Refusal

# linux/fs.h. The number is the same on most architectures; on others the ioctl fails.
BLKPBSZGET = 0x127B

# (byte offset, signature, name) in the order in which util-linux's libblkid tries them.
_SIGNATURES = (
    (0, b"XFSB", "xfs"),
    (3, b"NTFS    ", "ntfs"),
    (0, b"hsqs", "squashfs"),
    (0, b"LUKS\xba\xbe", "crypto_LUKS"),
    (1024, b"\xe2\xe1\xf5\xe0", "erofs"),
    (1024, b"\x10\x20\xf5\xf2", "f2fs"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (0x8001, b"CD001", "iso9660"),
    (0x200, b"LABELONE", "LVM2_member"),
    (0xFF6, b"SWAPSPACE2", "swap"),
    (0x52, b"FAT32   ", "vfat"),
    (0x36, b"FAT16   ", "vfat"),
    (0x36, b"FAT12   ", "vfat"),
)
_TABLES = ((0x200, b"EFI PART", "gpt"), (0x1FE, b"\x55\xaa", "dos"))


class Target:
    """The device argument; never opened for writing here."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._is_announced = False
        try:
            self.status: os.stat_result | None = os.stat(path)
        except FileNotFoundError:
            self.status = None
        except OSError as error:
            raise self._undetermined(error) from None
        mode = self.status.st_mode if self.status is not None else stat.S_IFREG
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            kind = "a directory" if stat.S_ISDIR(mode) else "neither a file nor a block device"
            raise Mistake(f"{path} is {kind}; name a file or a block device")
        self.is_device = stat.S_ISBLK(mode)

    @property
    def name(self) -> str:
        return self.path

    @cached_property
    def size(self) -> int | None:
        """The size in bytes; None if the file does not exist."""
        if self.status is None:
            return None
        if not self.is_device:
            return self.status.st_size
        try:
            with open(self.path, "rb", buffering=0) as file:
                return file.seek(0, os.SEEK_END)
        except OSError as error:
            raise self._undetermined(error) from None

    def refuse_if_not_creatable(self) -> None:
        """Raise :class:`Mistake` if the file does not exist and cannot be created."""
        if self.status is not None:
            return
        folder = os.path.dirname(os.path.realpath(self.path))
        problem = 0
        if not self.path or not os.path.isdir(folder):
            problem = errno.ENOENT
        elif not os.access(folder, os.W_OK | os.X_OK):
            problem = errno.EACCES
        if problem:
            raise self._undetermined(OSError(problem, f"{self.path}: {os.strerror(problem)}"))

    def announcement(self) -> str:
        """The line that a file is created, which mke2fs prints first; later calls return ``""``."""
        if self.status is not None or self._is_announced:
            return ""
        self._is_announced = True
        return f"Creating regular file {self.path}\n"

    def _undetermined(self, error: OSError) -> Mistake:
        return Mistake(f"{error.strerror} while trying to determine filesystem size")

    def identity_test(self, source: str) -> Callable[[os.stat_result], bool] | None:  # noqa: ARG002
        """Return a test whether a file of ``source`` is this one, to leave it out; or None."""
        return None if self.status is None else partial(os.path.samestat, self.status)

    def sector_sizes(self) -> tuple[int, int]:
        """(Logical, physical) sector size in bytes; 0 for a file."""
        logical = physical = 0
        if self.is_device:
            from ext4writer.output.device import BLKSSZGET  # late: not needed for a file

            logical, physical = self._ioctl(BLKSSZGET), self._ioctl(BLKPBSZGET)
        for name in ("MKE2FS_DEVICE_SECTSIZE", "MKE2FS_DEVICE_PHYS_SECTSIZE"):
            text = os.environ.get(name)
            if text is not None:
                number = strtoul(text)[0]
                if name == "MKE2FS_DEVICE_SECTSIZE":
                    logical = number
                else:
                    physical = number
        return logical, physical or logical

    def _ioctl(self, request: int) -> int:
        import fcntl

        with suppress(OSError), open(self.path, "rb", buffering=0) as file:
            answer: int = unpack("i", fcntl.ioctl(file, request, pack("i", 0)))[0]
            return answer
        return 0

    # -- properties of a device, from sysfs ----------------------------------------------------

    def topology(self, block_size: int) -> tuple[int, int, bool]:
        """(Minimum I/O size, optimal I/O size, is rotational); sizes in bytes, 0 if unknown."""
        if not self.is_device:
            return 0, 0, True
        least, best = (self._queue(name) for name in ("minimum_io_size", "optimal_io_size"))
        _, physical = self.sector_sizes()
        if not least and physical > block_size:
            least = physical
        return least, best or least, self._queue("rotational", 1) != 0

    def can_discard(self) -> bool:
        """Whether this is a device that supports discards."""
        return self.is_device and self._queue("discard_max_bytes") > 0

    def partition_start(self) -> int:
        """The first sector of this partition on its disk; 0 for a file or an entire disk."""
        if not self.is_device or self.status is None:
            return 0
        device = self.status.st_rdev
        path = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/start"
        with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            return int(file.read())
        return 0

    def _queue(self, name: str, default: int = 0) -> int:
        assert self.status is not None
        device = self.status.st_rdev
        folder = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
        for queue in (f"{folder}/queue", f"{folder}/../queue"):
            with suppress(OSError, ValueError), open(f"{queue}/{name}", encoding="ascii") as file:
                return int(file.read())
        return default

    # -- in use --------------------------------------------------------------------------------

    def refuse_if_used(self, force: int, console: Console, what: str = "filesystem") -> None:
        """Raise :class:`Refusal` if it is mounted or in use, unless ``force`` is at least 2.

        ``what`` names what is to be created there, for the message. Rules: e2fsprogs
        misc/util.c:check_mount and lib/ext2fs/ismounted.c. The kernel refuses a device in use even
        if it is forced.
        """
        if self.status is None:
            return
        problem = ""
        if self._is_mounted() or self._is_swap():
            problem = f"{self.path} is mounted; "
        elif self.is_device and self._is_busy():
            problem = f"{self.path} is apparently in use by the system; "
        if not problem:
            return
        if force < 2:
            raise Refusal(f"{problem}will not make a {what} here!\n")
        console.err(f"{problem}mke2fs forced anyway.\n")

    def _is_mounted(self) -> bool:
        assert self.status is not None
        for device in _mounted_devices():
            with suppress(OSError):
                status = os.stat(device)
                if self.is_device:
                    if stat.S_ISBLK(status.st_mode) and status.st_rdev == self.status.st_rdev:
                        return True
                elif os.path.samestat(status, self.status) or self._is_backed_by(status):
                    return True
        return self.is_device and os.stat("/").st_dev == self.status.st_rdev

    def _is_backed_by(self, device: os.stat_result) -> bool:
        """Whether ``device`` is a loop device that is backed by this file."""
        assert self.status is not None
        if not stat.S_ISBLK(device.st_mode):
            return False
        number = f"{os.major(device.st_rdev)}:{os.minor(device.st_rdev)}"
        with suppress(OSError), open(f"/sys/dev/block/{number}/loop/backing_file", "rb") as file:
            return os.path.samestat(os.stat(file.read().rstrip(b"\n")), self.status)
        return False

    def _is_swap(self) -> bool:
        assert self.status is not None
        with suppress(OSError), open("/proc/swaps", "rb") as file:
            for line in file.read().splitlines()[1:]:
                with suppress(OSError):
                    status = os.stat(line.split()[0])
                    if os.path.samestat(status, self.status) or (
                        self.is_device and status.st_rdev == self.status.st_rdev
                    ):
                        return True
        return False

    def _is_busy(self) -> bool:
        try:
            os.close(os.open(self.path, os.O_RDONLY | os.O_EXCL))
        except OSError as error:
            return error.errno == errno.EBUSY
        return False

    # -- existing content ----------------------------------------------------------------------

    def found(self) -> str | None:
        """Describe the existing content in a line before a question; None if it is unknown."""
        if not self.size:
            return None
        try:
            with open(self.path, "rb") as file:
                head = file.read(0x11000)
        except OSError:
            return None
        if head[0x438:0x43A] == b"\x53\xef":
            return self._ext(head[1024:2048])
        for offset, signature, name in _SIGNATURES:
            if head[offset : offset + len(signature)] == signature:
                return f"{self.path} contains a {name} file system\n"
        for offset, signature, name in _TABLES:
            if head[offset : offset + len(signature)] == signature:
                return f"Found a {name} partition table in {self.path}\n"
        return None

    def _ext(self, superblock: bytes) -> str:
        import time

        from ext4writer.ondisk.features import FeatureSet
        from ext4writer.ondisk.superblock import SUPERBLOCK

        def number(field: str) -> int:
            return SUPERBLOCK.number(superblock, 0, field)

        def text_of(field: str) -> str:
            start = SUPERBLOCK.offset(field)
            value = superblock[start : start + SUPERBLOCK.fields[field].size]
            return value.rstrip(b"\0").decode("utf-8", "replace")

        superblock = superblock.ljust(SUPERBLOCK.size, b"\0")
        words = (number(f"s_feature_{word}") for word in ("compat", "incompat", "ro_compat"))
        label, mounted = text_of("s_volume_name"), text_of("s_last_mounted")
        kind = FeatureSet(*words).driver()
        text = f"{self.path} contains a {kind} file system"
        text += f" labelled '{label}'\n" if label else "\n"
        last, made = number("s_mtime"), number("s_mkfs_time")
        if last:
            where = f" on {mounted}" if mounted else ""
            text += f"\tlast mounted{where} on {time.ctime(last)}\n"
        elif made:
            text += f"\tcreated on {time.ctime(made)}\n"
        return text


def _mounted_devices() -> Iterator[bytes]:
    with suppress(OSError), open("/proc/self/mounts", "rb") as file:
        for line in file:
            device = line.split(b" ", 1)[0]
            if device.startswith(b"/"):
                yield device.replace(b"\\040", b" ").replace(b"\\011", b"\t")
