"""Platforms of images, with the names that container programs use.

Names are normalized and variants compared as in containerd (containerd/platforms: database.go,
normalizeArch and normalizeOS; compare.go, platformVector; platforms.go, Parse). The default for an
omitted operating system or architecture is Linux and amd64; in containerd it is the machine's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from ...checked import check_fields, checked, refuse_unknown
from ...errors import SpecError
from ...late_dataclasses import dataclass

_SYSTEMS = {
    *("aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux"),
    *("nacl", "netbsd", "openbsd", "plan9", "solaris", "windows", "zos"),
}
_ARCHITECTURES = {
    *("386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64"),
    *("mips", "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le", "ppc", "ppc64"),
    *("ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64", "wasm"),
}
_OTHER_NAMES = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
"""Alias of an architecture -> its name in images, and the variant it implies (None: none)."""
_VARIANTS = {
    "amd64": {"v1": ""},
    "arm64": {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"},
    "arm": {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"},
}
_PART = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_VERSION = re.compile(r"v([0-9]{1,2})(?:\.([0-9]))?", re.ASCII)

One = TypeVar("One")


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform of an image; omitted parts are empty."""

    _refuse_unknown = refuse_unknown

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __post_init__(self) -> None:
        """Raises :class:`SpecError` for a value of the wrong type."""
        check_fields(self)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @classmethod
    @checked()
    def parse(cls, text: str) -> Platform:
        """Parse ``os/architecture[/variant]``, or only an operating system or an architecture.

        Case is ignored, and aliases such as x86_64 and aarch64 are accepted. Raises
        :class:`SpecError` with a reason for anything else.
        """
        parts = text.split("/")
        if len(parts) > 3 or not all(map(_PART.fullmatch, parts)):
            raise SpecError(
                "platform",
                f"{text!r} is not OS/ARCHITECTURE[/VARIANT], such as linux/arm64 or linux/arm/v7",
            )
        if len(parts) > 1:
            return cls(*parts).normalized(keep_variant=len(parts) == 3)
        system = _system(text)
        if system in _SYSTEMS:
            return cls(system, DEFAULT_PLATFORM.architecture)
        alone = cls(DEFAULT_PLATFORM.os, text).normalized()
        if alone.architecture not in _ARCHITECTURES:
            raise SpecError(
                "platform", f"{text!r} is neither an operating system nor an architecture"
            )
        return alone

    @checked()
    def normalized(self, *, keep_variant: bool = False) -> Platform:
        """The same platform with the names that images use.

        The default variant of an architecture is omitted unless ``keep_variant``.
        """
        architecture, variant = self.architecture.lower(), self.variant.lower()
        architecture, implied = _OTHER_NAMES.get(architecture, (architecture, None))
        variant = variant if implied is None else implied
        short = _VARIANTS.get(architecture, {}).get(variant, variant)
        if not keep_variant and (architecture, short) == ("arm", "v7"):
            short = ""
        return Platform(_system(self.os), architecture, short)

    def suitable(self) -> list[Platform]:
        """The platforms whose images run on this one: itself first, then older variants."""
        mine = self.normalized(keep_variant=True)
        variants = [mine.variant]
        version = _VERSION.fullmatch(mine.variant or "v8")
        if version is not None:
            major, minor = int(version[1]), int(version[2] or 0)
            if mine.architecture == "amd64" and mine.variant:
                variants += [f"v{number}" for number in range(major - 1, 0, -1)]
            elif mine.architecture == "arm":
                variants += [f"v{number}" for number in range(major - 1, 4, -1)]
            elif mine.architecture == "arm64":
                variants += [f"v{major}.{number}" for number in range(minor - 1, 0, -1)]
                variants.append(f"v{major}")
                if major == 9:
                    # ARMv9.n includes ARMv8.(n+5), and 8.9 is the last version of ARMv8.
                    variants += [f"v8.{number}" for number in range(min(minor + 5, 9), 0, -1)]
                    variants.append("v8")
        return [
            Platform(mine.os, mine.architecture, variant).normalized(keep_variant=True)
            for variant in variants
        ]


DEFAULT_PLATFORM = Platform("linux", "amd64")
"""The choice among several platforms if none is requested, on any machine."""


def best_for(requested: Platform, known: Sequence[tuple[One, Platform]]) -> list[One]:
    """The items of ``known`` whose platform suits ``requested`` best; empty if none does.

    Another architecture never suits, even if machines could run it. If no variant is requested and
    every image has one, any variant suits.
    """
    named = [(one, its.normalized(keep_variant=True)) for one, its in known]
    for suitable in requested.suitable():
        found = [one for one, its in named if its == suitable]
        if found:
            return found
    if requested.variant:
        return []
    base = requested.normalized()
    return [one for one, its in named if (its.os, its.architecture) == (base.os, base.architecture)]


def _system(name: str) -> str:
    lower = name.lower()
    return "darwin" if lower == "macos" else lower
