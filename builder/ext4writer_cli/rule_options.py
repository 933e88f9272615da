"""Options that are rules: applied in order, they change what the sources put into an image."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ext4writer.late_dataclasses import dataclass, fields

from .options import ORDER, OWNER, PATH, OptionGroup, parsed, row

if TYPE_CHECKING:
    from ext4writer.edit.rules import Rule
    from ext4writer.edit.rules_select import Selection

    from .source_arguments import SourceArgument

Range = tuple[int, int, int]


def parse_range(text: str) -> Range:
    """Return the numbers of ``FROM:TO:COUNT``; raises ``ValueError`` with a reason."""
    from ext4writer.arguments import ID_MOST  # late, so that help does not load the library

    matched = re.fullmatch(r"([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})", text, re.ASCII)
    if matched is None:
        raise ValueError(f"{text!r} is not FROM:TO:COUNT, three numbers such as 0:100000:65536")
    first, to, count = (int(number) for number in matched.groups())
    if not count or max(first, to) + count - 1 > ID_MOST:
        raise ValueError(f"{text!r} is an empty range, or goes beyond {ID_MOST}")
    return first, to, count


def parse_mask(text: str) -> int:
    """Return the bits of the octal ``text``; raises ``ValueError`` with a reason."""
    if not re.fullmatch("[0-7]{1,4}", text, re.ASCII):
        raise ValueError(f"{text!r} is not up to four octal digits, such as 7755")
    return int(text, 8)


RANGE = parsed(parse_range)
MASK = parsed(parse_mask)


def _rule(*flags: str, about: str, **attributes: Any) -> Any:
    return row(*flags, about=about, multiple=True, default=(), **attributes)


@dataclass(init=False, repr=False)
class RuleOptions(OptionGroup):
    """Options that may all be repeated; they take effect in the order given."""

    HEADING = "Rules for what is in the image, applied in the order in which they are given"

    exclude: tuple[str, ...] = _rule(
        "--exclude",
        metavar="GLOB",
        about="Leave out what GLOB matches, and everything below it. A GLOB without a slash "
        "matches names, others match the path below SOURCE. '*' and '?' do not match slashes, '**' "
        "does.",
    )
    include: tuple[str, ...] = _rule(
        "--include",
        metavar="GLOB",
        about="Keep what GLOB matches, even if an earlier --exclude matches it.",
    )
    owner: tuple[tuple[int, int], ...] = _rule(
        "--owner", type=OWNER, metavar="UID:GID", about="Give every entry to this user and group."
    )
    root_owner: tuple[tuple[int, int], ...] = _rule(
        "--root-owner",
        type=OWNER,
        metavar="UID:GID",
        about="Give only the root directory to this user and group.",
    )
    uid_map: tuple[Range, ...] = _rule(
        "--uid-map",
        type=RANGE,
        metavar="FROM:TO:COUNT",
        about="Map COUNT user IDs starting at FROM to those starting at TO. Consecutive options "
        "of this kind form one map; IDs outside its ranges are kept and reported.",
    )
    gid_map: tuple[Range, ...] = _rule(
        "--gid-map", type=RANGE, metavar="FROM:TO:COUNT", about="The same for group IDs."
    )
    mode_mask: tuple[int, ...] = _rule(
        "--mode-mask",
        type=MASK,
        metavar="OCTAL",
        about="Keep only these permission bits of every entry, such as 7755.",
    )
    all_times: tuple[int, ...] = _rule(
        "--all-times",
        type=int,
        metavar="SECONDS",
        about="Set every time of every entry to SECONDS since 1970.",
    )
    set: tuple[str, ...] = _rule(
        "--set",
        metavar="'GLOB: KEY=VALUE...'",
        about="Set uid, gid, mode, mtime, xattr:NAME, caps or label of everything whose path in "
        "the image matches GLOB; docs/rules.md lists all keys.",
    )
    rules: tuple[str, ...] = _rule(
        "--rules", type=PATH, metavar="FILE", about="The same from FILE, one rule on each line."
    )
    device_table: tuple[str, ...] = _rule(
        "-D",
        "--device-table",
        type=PATH,
        metavar="FILE",
        about="Create devices and folders, and set modes and owners, from a genext2fs table.",
    )
    makedevs: tuple[str, ...] = _rule(
        "--makedevs",
        type=PATH,
        metavar="FILE",
        about="The same from a makedevs table, as in Buildroot, whose counts mean something else.",
    )
    casefold: tuple[str, ...] = _rule(
        "--casefold",
        metavar="GLOB",
        about="Ignore case in the folders that GLOB matches and in all folders below them; adds "
        "the feature casefold.",
    )
    verity: tuple[str, ...] = _rule(
        "--verity",
        metavar="GLOB",
        about="Enable fs-verity for the files that GLOB matches, which are read once more for "
        "their Merkle trees; adds the feature verity.",
    )
    file_contexts: tuple[str, ...] = _rule(
        "--file-contexts",
        type=PATH,
        metavar="FILE",
        about="Label everything by the SELinux file_contexts in FILE, and by FILE.homedirs, "
        "FILE.local, FILE.subs and FILE.subs_dist if they exist.",
    )
    mount_point: tuple[str, ...] = _rule(
        "--mount-point",
        metavar="DIR",
        about="Where the image will be mounted, for --file-contexts: its root gets the label of "
        "DIR.  [default: /]",
    )

    def in_order(self) -> Iterator[tuple[str, Any]]:
        """Yield (name, value) for each use of an option, in the order of the command line."""
        context = click.get_current_context(silent=True)
        names = [each.name for each in fields(self)]
        order = (context.meta.get(ORDER) if context is not None else None) or [
            name for name in names for _ in getattr(self, name)
        ]
        values = {name: iter(getattr(self, name)) for name in names}
        for name in order:
            if name in values:
                yield name, next(values[name])

    def selection(self) -> Selection:
        """The entries to read from each source; raises ``SpecError`` for an invalid glob."""
        return select(self.in_order())

    def compiled(self) -> list[Rule]:
        """All other options as rules; raises the library's errors."""
        return compile_rules(self.in_order(), self._mount_point())

    def features(self, sources: Sequence[SourceArgument] = ()) -> list[str]:
        """The features that these options, and the settings of ``sources``, need."""
        of_sources = {key for source in sources for key, _ in source.settings}
        return [
            name for name in ("casefold", "verity") if getattr(self, name) or name in of_sources
        ]

    def _mount_point(self) -> str:
        """The mount point; raises a usage error if there are several, or if no option needs it."""
        if len(set(self.mount_point)) > 1:
            raise click.UsageError("--mount-point is given twice; an image has one mount point")
        if self.mount_point and not self.file_contexts:
            raise click.UsageError("--mount-point is for the labels of --file-contexts")
        return self.mount_point[0] if self.mount_point else "/"


def select(options: Iterable[tuple[str, Any]]) -> Selection:
    """The entries that ``options`` select from a source; raises ``SpecError`` for a bad glob."""
    from ext4writer.edit.rules_select import Selection

    return Selection(
        (name == "exclude", glob) for name, glob in options if name in ("exclude", "include")
    )


def compile_rules(options: Iterable[tuple[str, Any]], mount_point: str = "/") -> list[Rule]:
    """All other ``options`` as rules; raises the library's errors."""
    found: list[Rule] = []
    maps: dict[str, list[Range]] = {}
    for name, value in options:
        if name in ("uid_map", "gid_map"):
            maps.setdefault(name, []).append(value)
            continue
        if name in ("exclude", "include", "mount_point"):
            continue
        found += _id_map(maps)
        maps = {}
        if name == "file_contexts":
            found += _file_contexts(value, mount_point)
        else:
            found += _COMPILERS[name](value)
    return found + _id_map(maps)


def read_file(path: str) -> bytes:
    """The content of the file at ``path``; raises ``SourceError`` if it cannot be read."""
    from ext4writer.documents import read_document

    return read_document(path)


def _id_map(maps: Mapping[str, Sequence[Range]]) -> list[Rule]:
    """The one rule for consecutive ID map options; an empty list if there are none."""
    if not maps:
        return []
    from ext4writer.edit.rules import IdMap

    return [IdMap(maps.get("uid_map", ()), maps.get("gid_map", ()))]


def _owner(value: tuple[int, int]) -> list[Rule]:
    from ext4writer.edit.rules import Owner

    return [Owner(*value)]


def _root_owner(value: tuple[int, int]) -> list[Rule]:
    from ext4writer.edit.rules import RootOwner

    return [RootOwner(*value)]


def _all_times(value: int) -> list[Rule]:
    from ext4writer.edit.rules import AllTimes

    return [AllTimes(value)]


def _mode_mask(value: int) -> list[Rule]:
    from ext4writer.edit.rules import ModeMask

    return [ModeMask(value)]


def _set(value: str) -> list[Rule]:
    from ext4writer.edit.rules_set import set_rule

    return [set_rule(value, f"--set {value!r}")]


def _casefold(value: str) -> list[Rule]:
    from ext4writer.edit.rules_flags import casefold

    return [casefold(value, f"--casefold {value!r}")]


def _verity(value: str) -> list[Rule]:
    from ext4writer.edit.rules_flags import verity

    return [verity(value, f"--verity {value!r}")]


def _rules(value: str) -> list[Rule]:
    from ext4writer.edit.rules_set import set_rules

    return [*set_rules(read_file(value), value)]


def _device_table(value: str) -> list[Rule]:
    from ext4writer.edit.rules_devices import DeviceTable

    return [DeviceTable(read_file(value), os.fsencode(value))]


def _makedevs(value: str) -> list[Rule]:
    from ext4writer.edit.rules_makedevs import MakedevsTable

    return [MakedevsTable(read_file(value), os.fsencode(value))]


def _file_contexts(value: str, mount_point: str) -> list[Rule]:
    from ext4writer.edit.selinux.file_contexts import FileContexts

    return [FileContexts.load(value, mount_point=mount_point)]


_COMPILERS: dict[str, Callable[[Any], list[Rule]]] = {
    "owner": _owner,
    "root_owner": _root_owner,
    "all_times": _all_times,
    "mode_mask": _mode_mask,
    "set": _set,
    "casefold": _casefold,
    "verity": _verity,
    "rules": _rules,
    "device_table": _device_table,
    "makedevs": _makedevs,
}
"""Option -> the function that converts one value to rules."""
