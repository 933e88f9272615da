"""Permission bits in octal or in the syntax of chmod(1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

SETUID, SETGID, STICKY = 0o4000, 0o2000, 0o1000
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}

MODE_MOST = 4096
"""Most characters of a mode."""

Change = Callable[[int, bool], int]
"""(permission bits before, whether it is a directory) -> permission bits after."""


def parse_mode(text: str) -> Change:
    """Compile ``text``; raises ``ValueError`` with a reason if it is not a mode.

    Octal digits are the bits themselves. Anything else must be clauses as in chmod(1), such as
    ``u+rwX,go=r,+t``. A clause without u, g, o or a applies to all, and the umask is ignored. As in
    GNU chmod(1), ``=`` keeps the set-user-ID and set-group-ID bits of directories.
    """
    if len(text) > MODE_MOST:
        raise ValueError(f"a mode has at most {MODE_MOST:,} letters, and this one {len(text):,}")
    if re.fullmatch("[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
        bits = int(text, 8)
        return lambda _mode, _is_directory: bits
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    actions = []
    for clause in clauses:
        if clause is None:
            raise ValueError(f"{text!r} is not a mode; write 755 or u=rwx,go=rx")
        letters = set(clause[1].replace("a", "ugo") or "ugo")
        who = "".join(sorted(letters))
        actions += [
            (who, sign, "".join(sorted(set(what)))) for sign, what in _ACTION.findall(clause[2])
        ]

    def change(mode: int, is_directory: bool) -> int:
        runs = is_directory or mode & 0o111 != 0
        for who, sign, what in actions:
            mode = _act(mode, who, sign, what, is_directory, runs)
        return mode

    return chained([change])


def chained(changes: Sequence[Change]) -> Change:
    """A change that applies ``changes`` in order; results are cached for each mode."""
    known: dict[tuple[int, bool], int] = {}

    def change(mode: int, is_directory: bool) -> int:
        result = known.get((mode, is_directory))
        if result is None:
            result = mode
            for each in changes:
                result = each(result, is_directory)
            known[mode, is_directory] = result
        return result

    return change


def _act(mode: int, who: str, sign: str, what: str, is_directory: bool, runs: bool) -> int:
    chosen, reach = 0, 0
    for letter in who:
        shift = _SHIFT[letter]
        reach |= 0o7 << shift
        if what in _SHIFT:
            chosen |= (mode >> _SHIFT[what] & 0o7) << shift
        else:
            for bit in what:
                chosen |= _BITS.get(bit, int(bit == "X" and runs)) << shift
    if what not in _SHIFT:
        if "s" in what:
            chosen |= (SETUID if "u" in who else 0) | (SETGID if "g" in who else 0)
        if "t" in what and "o" in who:
            chosen |= STICKY
    if sign == "+":
        return mode | chosen
    if sign == "-":
        return mode & ~chosen
    if not is_directory or "s" in what:
        reach |= (SETUID if "u" in who else 0) | (SETGID if "g" in who else 0)
    reach |= STICKY if "o" in who else 0
    return mode & ~reach | chosen
