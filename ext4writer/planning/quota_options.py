"""The quota options: kinds, limits, and grace times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from ..arguments import count_of, id_of
from ..errors import SpecError
from ..late_dataclasses import NamedTuple
from ..ondisk.quota import GRACE_MOST, LIMIT_MOST_KIB, QUOTA_KINDS
from ..units import KIB, parse_size

_WORDS = {
    word: kind.name
    for kind in QUOTA_KINDS
    for word in (kind.name, kind.short, f"{kind.short}quota")
}
"""The names of each kind: ``user``, and mke2fs's ``usr`` and ``usrquota``."""

_LIMIT = "KIND:ID:BLOCK_SOFT:BLOCK_HARD:INODE_SOFT:INODE_HARD"
_GRACE = "[KIND:]BLOCK_GRACE[:INODE_GRACE]"
_UNITS = {
    "": 1,
    **dict.fromkeys(("s", "second", "seconds"), 1),
    **dict.fromkeys(("m", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86400),
}
"""Units of time, as setquota(8) and edquota(8) have them, in seconds."""
_DURATION = re.compile(r"([0-9]{1,12}) ?([a-z]*)", re.ASCII)


class QuotaLimit(NamedTuple):
    """The limits of a user, group or project; 0 means no limit.

    Block limits are in bytes, and are stored in KiB, rounded up.
    """

    kind: str
    """``user``, ``group`` or ``project``."""
    owner: int
    """The number of the user, group or project."""
    block_soft: int = 0
    block_hard: int = 0
    inode_soft: int = 0
    inode_hard: int = 0


class QuotaGrace(NamedTuple):
    """How many seconds the soft limits of one kind may be exceeded."""

    kind: str
    """``user``, ``group`` or ``project``."""
    block_seconds: int
    inode_seconds: int


def quotatype_of(given: Any) -> tuple[str, ...]:
    """Return the kinds in ``given``: a text such as ``usr:grp:prj``, or some names.

    In a text, ``^`` before a kind removes it again. Raises ``ValueError``.
    """
    if isinstance(given, str):  # lib/support/parse_qtype.c:parse_quota_types
        kinds: set[str] = set()
        for word in filter(None, re.split("[:,]", given)):
            kind = _kind_of(word.removeprefix("^"))
            (kinds.discard if word.startswith("^") else kinds.add)(kind)
    else:
        kinds = {_kind_of(word) for word in _listed(given)}
    return tuple(kind.name for kind in QUOTA_KINDS if kind.name in kinds)


def limits_of(given: Any) -> tuple[QuotaLimit, ...]:
    """Return the limits in ``given``, some :class:`QuotaLimit` or texts, sorted by kind and ID."""
    limits = [_limit_of(one) for one in _listed(given)]
    order = [kind.name for kind in QUOTA_KINDS]
    limits.sort(key=lambda limit: (order.index(limit.kind), limit.owner))
    for one, other in pairwise(limits):
        if one[:2] == other[:2]:
            raise ValueError(f"the {one.kind} {one.owner} has limits twice; give them in one text")
    return tuple(limits)


def grace_of(given: Any) -> tuple[QuotaGrace, ...]:
    """Return the grace times in ``given``, some :class:`QuotaGrace` or texts, sorted by kind."""
    found: dict[str, QuotaGrace] = {}
    for one in _listed(given):
        for grace in _graces_of(one):
            if grace.kind in found:
                raise ValueError(f"the grace of {grace.kind} quota is given twice")
            found[grace.kind] = grace
    return tuple(found[kind.name] for kind in QUOTA_KINDS if kind.name in found)


def _listed(given: Any) -> list[Any]:
    """Return the items of a list; a single text, limit or grace is a list of one."""
    if isinstance(given, str | QuotaLimit | QuotaGrace):
        return [given]
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise ValueError(f"{given!r:.80} is not a list")
    return list(given)


def _kind_of(word: Any) -> str:
    kind = _WORDS.get(word) if isinstance(word, str) else None
    if kind is None:
        kinds = "usr, grp, prj, user, group or project"
        raise ValueError(f"{word!r:.80} is not one of {kinds}")
    return kind


def _limit_of(given: Any) -> QuotaLimit:
    if isinstance(given, QuotaLimit):
        parts: list[Any] = list(given)
    elif isinstance(given, str):
        parts = given.split(":")
        if not 3 <= len(parts) <= len(QuotaLimit._fields):
            raise ValueError(f"{given!r:.200} is not {_LIMIT}, such as user:1000:1G:2G")
    else:
        raise ValueError(f"{given!r:.80} is neither a QuotaLimit nor a text such as user:1000:1G")
    kind = _kind_of(parts[0])
    number = id_of(parts[1])
    limits = [_size_of(part) for part in parts[2:4]] + [_inodes_of(part) for part in parts[4:]]
    limit = QuotaLimit(kind, number, *limits)
    for what, soft, hard in (
        ("block", limit.block_soft, limit.block_hard),
        ("inode", limit.inode_soft, limit.inode_hard),
    ):
        if hard and soft > hard:
            raise ValueError(f"the {what} soft limit of {kind} {number} is above its hard limit")
    if max(limit.block_soft, limit.block_hard) > LIMIT_MOST_KIB * KIB:
        raise ValueError(f"a limit is too large; the maximum is {LIMIT_MOST_KIB * KIB} bytes")
    return limit


def _size_of(part: Any) -> int:
    if isinstance(part, str):
        return parse_size(part) if part else 0
    return _not_negative(count_of(part))


def _inodes_of(part: Any) -> int:
    count = 0 if part == "" else _not_negative(count_of(part))
    if count >= 1 << 63:
        raise ValueError(f"{count} inodes are more than any file system has")
    return count


def _not_negative(count: int) -> int:
    if count < 0:
        raise ValueError(f"{count} is below zero")
    return count


def _graces_of(given: Any) -> list[QuotaGrace]:
    if isinstance(given, QuotaGrace):
        kinds, times = [given.kind], [given.block_seconds, given.inode_seconds]
    elif isinstance(given, str):
        kind, _, rest = given.partition(":")
        kinds, text = ([kind], rest) if kind in _WORDS else ([k.name for k in QUOTA_KINDS], given)
        times = [_seconds_of(part) for part in text.split(":")]
        if len(times) > 2:
            raise ValueError(f"{given!r:.200} is not {_GRACE}, such as 7d or user:7d:14d")
    else:
        raise ValueError(f"{given!r:.80} is neither a QuotaGrace nor a text such as 7d")
    for seconds in times:
        if not 0 < count_of(seconds) <= GRACE_MOST:
            raise ValueError(f"{seconds} seconds are not between 1 and {GRACE_MOST}")
    return [QuotaGrace(_kind_of(kind), times[0], times[-1]) for kind in kinds]


def _seconds_of(text: str) -> int:
    matched = _DURATION.fullmatch(text.strip())
    unit = _UNITS.get(matched[2]) if matched else None
    if matched is None or unit is None:
        raise ValueError(f"{text!r:.80} is not a time such as 7d, 12h or 3600")
    return int(matched[1]) * unit


def check_kinds(
    kinds: Iterable[str], limits: Iterable[QuotaLimit], grace: Iterable[QuotaGrace]
) -> None:
    """Raise :class:`SpecError` for limits or grace of a kind that the file system does not have."""
    present = set(kinds)
    for limit in limits:
        if limit.kind not in present:
            raise SpecError("quota_limits", _missing(limit.kind), "quotatype")
    named = {one.kind for one in grace}
    # A grace time for all kinds applies to those that exist.
    lacking = sorted(named - present)
    if lacking and (not present or len(named) < len(QUOTA_KINDS)):
        raise SpecError("quota_grace", _missing(lacking[0]), "quotatype")


def _missing(kind: str) -> str:
    feature = "project" if kind == "project" else "quota"
    return f"the file system keeps no {kind} quota; add {feature}, or {kind} to quotatype"
