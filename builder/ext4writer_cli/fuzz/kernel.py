"""A Linux kernel as an oracle: a guest that mounts one image after another.

The guest is a QEMU machine with one disk. An image is copied into the file of that disk; then the
guest receives a command and answers over the serial line. The guest is kept until it crashes or
hangs, or until a file system cannot be unmounted, because its start takes seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from multiprocessing.util import Finalize
from pathlib import Path

from ext4writer.late_dataclasses import NamedTuple

from .initramfs import Archive, modules
from .machine import Machine, MachineError
from .programs import PATIENCE

MODULES = ("virtio_pci", "virtio_blk", "crc32c-intel", "crc32c_generic", "ext4", "quota_v2")
"""Modules to load, unless they are built into the kernel."""
DISK = 64 << 20
"""Initial size of the guest's disk in bytes; larger images enlarge it."""
BOOT_SECONDS = 120.0
STARTS = 3
"""How often to try to start the guest."""
BUGS = re.compile(
    r"^.*?((?:Kernel panic - not syncing|BUG|WARNING|KASAN|UBSAN|Oops|general protection fault"
    r"|INFO: task|watchdog: BUG|rcu: INFO|kernel BUG at)[^\n]*)",
    re.MULTILINE,
)
"""Log messages about a bug in the kernel; the first one is the reason."""
COMPLAINTS = re.compile(r"(EXT4-fs (?:error|warning)[^\n]*|JBD2: [^\n]*|EXT4-fs \(vda\)[^\n]*)")

USUAL = (
    *("mounted filesystem", "unmounting filesystem", "recovery complete", "re-mounted"),
    *("write access will be enabled", "INFO:", "Mount option"),
    # Messages about orphans, which are not corruption.
    *("orphan cleanup on readonly fs", " deleted", " cleaned up"),
)

INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /mnt
/bin/busybox --install -s /bin
export PATH=/bin LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in MODULES; do insmod /modules/$module; done
stty -echo
cd /
dmesg -c >/dev/null
echo "==== ready ===="
# After so long without a command, the host has given up this guest.
while read -t 900 word; do
  sh /look 2>&1 | tail -c 2000
  echo "==== kernel log ===="
  dmesg -c
  echo "==== done ===="
done
poweroff -f
"""

LOOK = """\
walk() {
  find /mnt -xdev | head -n 500 | while IFS= read -r path; do
    if [ -L "$path" ]; then readlink "$path" >/dev/null
    elif [ -f "$path" ]; then head -c 262144 "$path" >/dev/null
    else stat "$path" >/dev/null; fi
  done 2>/dev/null
}
if ! mount -t ext4 -o ro,errors=continue /dev/vda /mnt; then echo "==== refused ===="; exit; fi
walk
umount /mnt || { echo "==== stuck ===="; exit; }
if ! mount -t ext4 -o errors=continue /dev/vda /mnt; then echo "==== refused ===="; exit; fi
walk
{
  find /mnt -xdev -type f | head -n 20 | while IFS= read -r path; do echo more >> "$path"; done
  find /mnt -xdev -type f | tail -n 20 | while IFS= read -r path; do rm -f "$path"; done
  mkdir /mnt/ext4writer.new && cd /mnt/ext4writer.new && {
    for number in 0 1 2 3 4 5 6 7 8 9; do echo $number > $number; done
    head -c 20000 /dev/zero > zeros
    mv 0 moved; rm 1; ln 2 hard; ln -s 3 soft; truncate -s 5 zeros; rm zeros
    cd /
  }
  sync
} 2>/dev/null
cd /
umount /mnt || echo "==== stuck ===="
"""


class KernelFiles(NamedTuple):
    """A kernel and where its modules are."""

    image: Path
    modules: Path | None


def find_kernel(text: str) -> KernelFiles:
    """The kernel at ``text``: its file, or the folder of an unpacked package.

    An empty text means this machine's newest kernel. Raises :class:`FileNotFoundError` with a
    remedy.
    """
    place = Path(text or "/")
    if place.is_dir():
        found = [path for path in place.glob("boot/vmlinuz-*") if path.is_file()]
        if not found:
            raise FileNotFoundError(
                f"there is no vmlinuz in {place / 'boot'}; name a kernel, as in kernel:DIR after "
                "apt-get download linux-image-VERSION and dpkg -x of it to DIR"
            )
        place = max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)])
    if not place.is_file():
        raise FileNotFoundError(f"there is no kernel {place}")
    version = place.name.removeprefix("vmlinuz-")
    for base in (place.absolute().parent.parent, Path("/")):
        for lib in ("lib", "usr/lib"):
            folder = base / lib / "modules" / version
            if folder.is_dir():
                return KernelFiles(place, folder)
    return KernelFiles(place, None)


def initramfs(kernel: KernelFiles, busybox: Path) -> bytes:
    """The compressed archive that the guest boots from."""
    archive = Archive()
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)
    archive.file("bin/busybox", busybox.read_bytes())
    names = []
    for name, data in modules(kernel.modules, MODULES) if kernel.modules else ():
        archive.file(f"modules/{name}", data, 0o644)
        names.append(name)
    archive.file("look", LOOK.encode())
    archive.file("init", INIT.replace("MODULES", " ".join(names)).encode())
    return archive.compressed()


class Guest:
    """A kernel that mounts images, for one thread at a time."""

    def __init__(self, text: str) -> None:
        self._kernel = find_kernel(text)
        busybox = shutil.which("busybox")
        if busybox is None:
            raise FileNotFoundError(
                "the program busybox is missing: apt-get install busybox-static"
            )
        self._scratch = tempfile.TemporaryDirectory(prefix="ext4writer-guest-")
        self._folder = Path(self._scratch.name)
        self.disk = self._folder / "disk"
        (self._folder / "initrd").write_bytes(initramfs(self._kernel, Path(busybox)))
        self._machine: Machine | None = None
        self._size = DISK

    def look(self, image: str, seconds: float) -> str:
        """Let the guest mount ``image``, and return its output.

        Raises :class:`MachineError` if it crashes or hangs.
        """
        self._put(image)
        if self._machine is None:
            self._machine = self._start()
        try:
            self._machine.send("look")
            said = self._machine.until("==== done ====", seconds * PATIENCE)
        except BaseException:
            self._stop()
            raise
        if "==== stuck ====" in said or BUGS.search(said):
            self._stop()  # the next image needs an intact kernel
        return said

    def _put(self, image: str) -> None:
        size = os.path.getsize(image)
        if size > self._size:
            self._stop()
            self._size = 1 << (size - 1).bit_length()
        with open(self.disk, "wb") as disk, open(image, "rb") as source:
            shutil.copyfileobj(source, disk, 1 << 20)
            disk.truncate(self._size)

    def _start(self) -> Machine:
        arguments = (
            *("-M", "q35,accel=tcg", "-kernel", str(self._kernel.image)),
            *("-initrd", str(self._folder / "initrd"), "-append"),
            # On a busy host the timer may not tick while the kernel checks whether it works.
            "console=ttyS0 quiet panic=-1 oops=panic mitigations=off no_timer_check",
        )
        said = ""
        for _ in range(STARTS):
            machine = Machine(arguments, self.disk, snapshot=False)
            try:
                machine.until("==== ready ====", BOOT_SECONDS)
            except MachineError as error:
                machine.close()
                said = bug(error.console) or error.console[-500:]
            except BaseException:
                machine.close()
                raise
            else:
                return machine
        raise OSError(f"the guest does not start: {said}")

    def _stop(self) -> None:
        if self._machine is not None:
            self._machine.close()
            self._machine = None

    def close(self) -> None:
        """Switch the guest off and remove its files."""
        self._stop()
        self._scratch.cleanup()


_guests: dict[tuple[int, str], Guest] = {}
_lock = threading.Lock()


def guest(text: str) -> Guest:
    """The guest of this process for the kernel at ``text``, started on first use."""
    key = os.getpid(), text
    if key not in _guests:
        _guests[key] = made = Guest(text)
        # Unlike atexit, Finalize also runs when a worker of multiprocessing ends.
        Finalize(made, made.close, exitpriority=10)
    return _guests[key]


def look(text: str, image: str, seconds: float) -> str:
    """Let the guest of this process mount ``image``; see :meth:`Guest.look`."""
    with _lock:
        return guest(text).look(image, seconds)


def bug(said: str) -> str:
    """The first log message about a bug in the kernel, or ``""``."""
    found = BUGS.search(said)
    return found[1][:200] if found else ""


def complaint(said: str) -> str:
    """The first log message about corruption in the image, or ``""``."""
    log = said.partition("==== kernel log ====")[2]
    lines = [line for line in COMPLAINTS.findall(log) if not _is_usual(line)]
    return lines[0][:200] if lines else ""


def _is_usual(line: str) -> bool:
    return any(word in line for word in USUAL)
