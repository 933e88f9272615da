"""The regular expressions of file_contexts: those of PCRE that Python's ``re`` matches alike.

An expression is read piece by piece and written anew; what is not known to mean the same in both is
refused by name. Groups become such that capture nothing, unless something refers to them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PIECE = re.compile(
    r"""
      (?P<escape>\\(?:x[0-9a-fA-F]{2}|.)|\\\Z)
    | (?P<set>\[)
    | (?P<group>\((?:\?(?:[:=!>]|<[=!])|(?![?*])))
    | (?P<special>\()
    | (?P<close>\))
    | (?P<repeat>[*+?]|\{[0-9]{1,5}(?:,[0-9]{0,5})?\})
    | (?P<brace>\{,)
    | (?P<plain>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_CLASSES = set("dDsSwWbB")
"""Escapes with a letter that mean the same in both."""
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t-\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_META = set(".^$|")
_INTRICATE = re.compile(r"\[|\{|\(\?[^:]|\\[A-Za-z]|[*+?]{2}")
"""What may be wrong although it is made of known pieces; the rest is compiled when needed."""


@dataclass(frozen=True, slots=True)
class Translated:
    """An expression in the words of ``re``."""

    expression: str
    prefix: str
    """What all that it matches begins with, if it is anchored at the beginning."""
    literal: bool
    """Whether it matches ``prefix`` and nothing else."""
    alternatives: bool
    """Whether a bar outside of all groups parts it."""


def translate(text: str) -> Translated:
    """Translate ``text``; ``ValueError`` for what Python's ``re`` lacks or means otherwise."""
    out: list[str] = []
    prefix: list[str] = []
    plain = True
    alternatives = False
    can_repeat = repeated = False
    depth = at = 0
    while at < len(text):
        found = _PIECE.match(text, at)
        assert found is not None
        kind, piece = found.lastgroup, found[0]
        at = found.end()
        literal = None
        if kind == "escape":
            written, literal = _escape(piece)
        elif kind == "set":
            written, at = _set(text, at)
        elif kind == "group":
            depth += 1
            written = "(?:" if piece == "(" else piece
        elif kind == "close":
            depth -= 1
            if depth < 0:
                raise ValueError("a parenthesis is closed that was not opened")
            written = piece
        elif kind == "repeat":
            if not can_repeat and not (repeated and piece in "?+"):
                raise ValueError(f"{piece!r} has nothing to repeat")
            if plain and prefix:
                prefix.pop()
            written = piece
        elif kind in ("special", "brace"):
            raise ValueError(f"{text[found.start() : at + 3]!r} is not understood here")
        else:
            written = piece if piece in _META else re.escape(piece)
            literal = None if piece in _META else piece
            alternatives |= piece == "|" and depth == 0
        repeated = kind == "repeat" and can_repeat
        can_repeat = kind in ("set", "close", "escape") or (kind == "plain" and piece not in "^$|")
        if literal is None:
            plain = False
        elif plain:
            prefix.append(literal)
        out.append(written)
    if depth:
        raise ValueError("a parenthesis is not closed")
    expression = "".join(out)
    if _INTRICATE.search(expression):
        try:
            re.compile(expression.encode())
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"it is wrong: {error}") from None
    return Translated(expression, "" if alternatives else "".join(prefix), plain, alternatives)


def _escape(piece: str) -> tuple[str, str | None]:
    """What to write for a backslash and what is behind it; and the character if it is just one."""
    letter = piece[1:2]
    if not letter:
        raise ValueError("it ends with a backslash")
    if letter == "x" and len(piece) == 4:
        character = bytes.fromhex(piece[2:]).decode("latin-1")
        if ord(character) > 0x7E:
            raise ValueError(f"{piece} is no character of ASCII")
        return re.escape(character), character
    if letter in _CONTROLS:
        return re.escape(_CONTROLS[letter]), _CONTROLS[letter]
    if letter in _CLASSES:
        return piece, None
    if letter == "A":
        return r"\A", None
    if letter == "z":
        return r"\Z", None
    if letter == "Z":
        return r"(?=\n?\Z)", None
    if letter.isalnum():
        raise ValueError(f"\\{letter} is not understood here")
    return re.escape(letter), letter


def _set(text: str, at: int) -> tuple[str, int]:
    """Translate the set that was opened before ``at``; return it and where it ends."""
    out = ["["]
    if text[at : at + 1] == "^":
        out.append("^")
        at += 1
    first = True
    while True:
        character = text[at : at + 1]
        if not character:
            raise ValueError("a set is not closed")
        if character == "]" and not first:
            return "".join([*out, "]"]), at + 1
        first = False
        if character == "[" and text[at + 1 : at + 2] in (":", ".", "="):
            end = text.find(":]", at + 2)
            name = text[at + 2 : end]
            if text[at + 1] != ":" or end < 0 or name not in _POSIX:
                raise ValueError(f"{text[at : at + 8]!r} is not understood here")
            out.append(_POSIX[name])
            at = end + 2
        elif character == "\\":
            found = _PIECE.match(text, at)
            assert found is not None
            if found[0][1:2] in ("b", "B", "A", "z", "Z"):
                raise ValueError(f"{found[0]} is not understood in a set")
            written, literal = _escape(found[0])
            out.append(written if literal is None else _in_set(literal))
            at = found.end()
        else:
            out.append(character if character == "-" else _in_set(character))
            at += 1


def _in_set(character: str) -> str:
    return f"\\{character}" if character in r"\]^-[&~|" else re.escape(character)
