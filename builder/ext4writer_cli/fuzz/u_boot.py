"""U-Boot as an oracle: a boot loader in QEMU that lists directories and loads files."""

from __future__ import annotations

import re
from pathlib import Path

from .foreign import DEPTH, PIECE, Walk
from .machine import Machine
from .programs import PATIENCE

ROMS = ("/usr/lib/u-boot/qemu-x86/u-boot.rom", "/usr/lib/u-boot/qemu-x86_64/u-boot.rom")
"""Paths in Debian's package u-boot-qemu."""
PROMPT = "\n=> "
AUTOBOOT = "Hit any key to stop autoboot"
ADDRESS = 0x1000000
ROW = re.compile(r"^(<DIR>|<SYM>|     ) +(\d+) (.*)$", re.MULTILINE)
NAME = re.compile(r"[\w.,+=@%-]+", re.ASCII)
"""Names that need no quoting at U-Boot's prompt; files with other names are only listed."""
COMPLAINT = re.compile(r"(?i)error|invalid|unsupported|bad |not found|unable|unrecognized|\*\*")
BOOT_SECONDS = 120.0
MOST = 60
"""Most entries to visit."""


def find_rom(text: str) -> Path:
    """The ROM at ``text``, or else Debian's; raises :class:`FileNotFoundError` with a remedy."""
    for place in (text,) if text else ROMS:
        if Path(place).is_file():
            return Path(place)
    if text:
        raise FileNotFoundError(f"there is no U-Boot {text}")
    raise FileNotFoundError("U-Boot is missing: apt-get install u-boot-qemu")


def look(text: str, image: str, seconds: float) -> str:
    """Let U-Boot list and load the files in ``image``, and return its output.

    Raises :class:`MachineError` if it crashes or hangs.
    """
    arguments = ("-M", "pc,accel=tcg", "-bios", str(find_rom(text)))
    machine = Machine(arguments, Path(image), snapshot=True)
    said: list[str] = []
    walk = Walk()
    walk.left = MOST

    def ask(command: str) -> str:
        machine.send(command)
        answer = machine.until(PROMPT, seconds * PATIENCE)
        said.append(answer)
        return answer

    def go(path: str, depth: int) -> None:
        for kind, _, name in walk.children(ROW.findall(ask(f'ext4ls virtio 0 "{path}"'))):
            if name in (".", "..") or not NAME.fullmatch(name):
                continue
            if kind == "<DIR>":
                if depth < DEPTH:
                    go(f"{path}{name}/", depth + 1)
            else:
                ask(f'ext4load virtio 0 {ADDRESS:x} "{path}{name}" {PIECE:x}')

    try:
        machine.until(AUTOBOOT, BOOT_SECONDS)
        machine.send("")
        machine.until(PROMPT, BOOT_SECONDS)
        ask("virtio scan")
        go("/", 0)
    finally:
        machine.close()
    return "".join(said)


def complaint(said: str) -> str:
    """The first line in which U-Boot reports that it cannot read something, or ``""``."""
    if ROW.search(said) is None:
        return "it lists no entries"
    lines = said.splitlines()
    return next((line.strip()[:200] for line in lines if COMPLAINT.search(line)), "")
