"""The regular expressions of file_contexts: the supported subset of PCRE.

An expression is parsed token by token, and an unsupported construct is named in an error. An
automaton matches nearly all expressions in linear time. Python's ``re`` matches expressions with
look-around, inner anchors or possessive parts, with a limit on its work.
"""

from __future__ import annotations

import re
from functools import cache

from ...late_dataclasses import NamedTuple, dataclass
from ..automaton import ANY_BYTE, Builder, Expression, Part, byte_set, set_for_re

DEPTH_MOST = 100
"""Most levels of groups. PCRE2 allows 250 (PARENS_NEST_LIMIT); ``re`` recurses for each."""

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
_CLASSES = "dDsSwW"
"""Letters of escapes for sets, with the same meaning in PCRE and ``re``."""
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
_REPEATS = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_NEWLINE = 1 << 10


@dataclass(frozen=True, slots=True)
class Ways:
    """Upper bound for the number of ways to match a subject of n bytes: ``number * n**power``."""

    number: float = 1
    power: int = 0

    def then(self, other: Ways) -> Ways:
        """The bound for one expression followed by another."""
        return Ways(self.number * other.number, self.power + other.power)

    def either(self, other: Ways) -> Ways:
        """The bound for one of two expressions."""
        return Ways(self.number + other.number, max(self.power, other.power))

    def repeat(self, least: int, most: int | None) -> Ways:
        """The bound for a repeated expression; infinite for many repeats of one with a choice."""
        if self.number <= 1 and not self.power:
            return Ways(1, 1) if most is None else Ways(most - least + 1)
        if most is None or most > 64:
            return Ways(float("inf"))
        return Ways((most - least + 1) * self.number**most, self.power * most)


ONE_WAY = Ways()


@dataclass(frozen=True, slots=True)
class Translated:
    """A supported expression."""

    expression: str
    """The expression in the syntax of ``re``."""
    prefix: str
    """The common prefix of everything it matches, if it is anchored at the start."""
    literal: bool
    """Whether it matches only ``prefix``."""
    alternatives: bool
    """Whether it has a bar outside all groups."""
    rest: Expression | None
    """Matches the rest of ``^expression$`` after ``prefix``; None if literal or only for ``re``.

    A bar outside all groups also separates the anchors, and ``$`` also matches before a final
    newline.
    """
    ways: Ways
    """The bound for ``re``."""
    rest_for_re: str
    """The part of ``expression`` after ``prefix``."""


class _Token(NamedTuple):
    kind: str
    """The kind of token; ``one`` is a set of bytes, ``else`` is for ``re`` only."""
    written: str
    choice: int = 0
    least: int = 0
    most: int | None = None


def translate(text: str) -> Translated:
    """Translate ``text``; raises ``ValueError`` for anything unsupported or different in ``re``."""
    tokens: list[_Token] = []
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
            token, literal = _escape(piece)
        elif kind == "set":
            choice, at = _set(text, at)
            token = _Token("one", set_for_re(choice).decode(), choice)
        elif kind == "group":
            depth += 1
            if depth > DEPTH_MOST:
                raise ValueError(f"more than {DEPTH_MOST} groups are nested")
            is_plain = piece in ("(", "(?:")
            token = _Token("group" if is_plain else "look", "(?:" if is_plain else piece)
        elif kind == "close":
            depth -= 1
            if depth < 0:
                raise ValueError("a parenthesis is closed but was not opened")
            token = _Token("close", piece)
        elif kind == "repeat":
            if can_repeat:
                token = _repeat(piece)
                if plain and prefix:
                    prefix.pop()
            elif repeated and piece in "?+":
                # A lazy repeat matches the same subjects; a possessive one never backtracks.
                token = _Token("lazy" if piece == "?" else "else", piece)
            else:
                raise ValueError(f"{piece!r} has nothing to repeat")
        elif kind in ("special", "brace"):
            raise ValueError(f"{text[found.start() : at + 3]!r} is not supported")
        elif piece == "|":
            token = _Token("bar", piece)
            alternatives |= depth == 0
        elif piece in "^$":
            token = _Token(piece, piece)
        elif piece == ".":
            token = _Token("one", piece, ANY_BYTE)
        else:
            token, literal = _character(piece), piece
        repeated = kind == "repeat" and can_repeat
        can_repeat = kind in ("set", "close", "escape") or (kind == "plain" and piece not in "^$|")
        if literal is None:
            plain = False
        elif plain:
            prefix.append(literal)
        tokens.append(token)
    if depth:
        raise ValueError("a parenthesis is not closed")
    expression = "".join(token.written for token in tokens)
    start = "" if alternatives else "".join(prefix)
    rest = None if plain else _rest(tokens[len(start) :], at_start=not start)
    ways = ONE_WAY if plain else _ways(tokens[len(start) :])
    if rest is None and not plain:
        try:
            re.compile(expression.encode())
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"it is wrong: {error}") from None
    written = "".join(token.written for token in tokens[len(start) :])
    return Translated(expression, start, plain, alternatives, rest, ways, written)


def _rest(tokens: list[_Token], *, at_start: bool) -> Expression | None:
    """Compile ``tokens$`` for an automaton; None if an automaton cannot match them.

    ``at_start``: the tokens are at the start of the expression.
    """
    if any(token.kind in ("look", "else") for token in tokens):
        return None
    builder = Builder()
    groups: list[list[list[Part]]] = [[[]]]
    """The alternatives of each open group, as lists of parts."""
    for at, token in enumerate(tokens):
        if token.kind == "one":
            groups[-1][-1].append(builder.one(token.choice))
        elif token.kind == "repeat":
            parts = groups[-1][-1]
            parts[-1] = builder.repeat(parts[-1], token.least, token.most)
        elif token.kind == "group":
            groups.append([[]])
        elif token.kind == "close":
            closed = _joined(builder, groups.pop())
            groups[-1][-1].append(closed)
        elif token.kind == "bar":
            groups[-1].append([])
        elif token.kind == "^":
            # At the start an anchor is redundant; elsewhere it would need context.
            if not at_start or groups != [[[]]]:
                return None
        elif token.kind == "$" and at < len(tokens) - 1:
            return None
    [alternatives] = groups
    for number, parts in enumerate(alternatives):
        if number:
            parts.insert(0, builder.repeat(builder.one(ANY_BYTE), 0, None))
        if number < len(alternatives) - 1:
            parts.append(builder.repeat(builder.one(ANY_BYTE), 0, None))
        else:
            parts.append(builder.repeat(builder.one(_NEWLINE), 0, 1))
    return builder.finish(_joined(builder, alternatives))


def _joined(builder: Builder, alternatives: list[list[Part]]) -> Part:
    joined: Part | None = None
    for parts in alternatives:
        one = builder.nothing()
        if parts:
            one = parts[0]
            for part in parts[1:]:
                one = builder.then(one, part)
        joined = one if joined is None else builder.either(joined, one)
    assert joined is not None
    return joined


def _ways(tokens: list[_Token]) -> Ways:
    """The bound for the ways in which ``re`` can match ``tokens``."""
    groups: list[list[Ways]] = [[ONE_WAY]]
    """The bounds of the alternatives of each open group; the last one excludes its last piece."""
    pieces = [ONE_WAY]
    """The bound of the last piece of each open group."""
    for token in tokens:
        if token.kind == "repeat":
            pieces[-1] = pieces[-1].repeat(token.least, token.most)
            continue
        if token.kind == "lazy" or token.written == "+":
            continue
        if token.kind == "close":
            groups[-1][-1] = groups[-1][-1].then(pieces.pop())
            piece, *others = groups.pop()
            for other in others:
                piece = piece.either(other)
        else:
            piece = ONE_WAY
        if pieces[-1] is not ONE_WAY:
            groups[-1][-1] = groups[-1][-1].then(pieces[-1])
        pieces[-1] = piece
        if token.kind in ("group", "look"):
            groups.append([ONE_WAY])
            pieces.append(ONE_WAY)
        elif token.kind == "bar":
            groups[-1].append(ONE_WAY)
    found = groups[-1][-1].then(pieces[-1])
    for other in groups[-1][:-1]:
        found = found.either(other)
    return found.then(Ways(1, 1)) if len(groups[-1]) > 1 else found


def _repeat(piece: str) -> _Token:
    if piece in _REPEATS:
        least, most = _REPEATS[piece]
        return _Token("repeat", piece, 0, least, most)
    low, comma, high = piece[1:-1].partition(",")
    least, most = int(low), int(high) if high else None if comma else int(low)
    if most is not None and most < least:
        raise ValueError(f"it is wrong: {piece} has a maximum below its minimum")
    return _Token("repeat", piece, 0, least, most)


@cache
def _character(character: str) -> _Token:
    return _Token("one", re.escape(character), 1 << ord(character))


def _escape(piece: str) -> tuple[_Token, str | None]:
    """The meaning of an escape, and its character if it is a single one."""
    letter = piece[1:2]
    if not letter:
        raise ValueError("it ends with a backslash")
    if letter == "x" and len(piece) == 4:
        character = bytes.fromhex(piece[2:]).decode("latin-1")
        if ord(character) > 0x7E:
            raise ValueError(f"{piece} is not an ASCII character")
        return _character(character), character
    if letter in _CONTROLS:
        return _character(_CONTROLS[letter]), _CONTROLS[letter]
    if letter in _CLASSES:
        return _Token("one", piece, _class(letter)), None
    if letter in "bBA":
        return _Token("else", piece), None
    if letter == "z":
        return _Token("else", r"\Z"), None
    if letter == "Z":
        return _Token("else", r"(?=\n?\Z)"), None
    if letter.isalnum():
        raise ValueError(f"\\{letter} is not supported")
    return _character(letter), letter


@cache
def _class(letter: str) -> int:
    """The set of bytes that the escape with ``letter`` matches."""
    expression = re.compile(rb"\%b" % letter.encode())
    return byte_set(byte for byte in range(256) if expression.fullmatch(bytes((byte,))))


@cache
def _posix(name: str) -> int:
    expression = re.compile(f"[{_POSIX[name]}]".encode())
    return byte_set(byte for byte in range(256) if expression.fullmatch(bytes((byte,))))


def _set(text: str, at: int) -> tuple[int, int]:
    """The bytes of the set opened before index ``at``, and the index after its end."""
    negated = text[at : at + 1] == "^"
    at += negated
    choice = 0
    begins: int | None = None
    """The previous character, if it can begin a range."""
    in_range = False
    first = True
    while True:
        character = text[at : at + 1]
        if not character:
            raise ValueError("a set is not closed")
        if character == "]" and not first:
            if in_range:
                choice |= 1 << ord("-")
            return (~choice & ANY_BYTE if negated else choice), at + 1
        first = False
        if character == "-" and begins is not None and not in_range:
            in_range = True
            at += 1
            continue
        several, literal, at = _member(text, at)
        if in_range:
            assert begins is not None
            if literal is None or literal < begins:
                shown = text[max(0, at - 8) : at]
                raise ValueError(f"it is wrong: {shown!r} does not end a valid range")
            choice |= (1 << literal + 1) - (1 << begins)
            begins, in_range = None, False
        else:
            choice |= several
            begins = literal


def _member(text: str, at: int) -> tuple[int, int | None, int]:
    """The bytes of the set member at ``at``, its code if it is one byte, and the next index."""
    character = text[at]
    if character == "[" and text[at + 1 : at + 2] in (":", ".", "="):
        end = text.find(":]", at + 2)
        name = text[at + 2 : end]
        if text[at + 1] != ":" or end < 0 or name not in _POSIX:
            raise ValueError(f"{text[at : at + 8]!r} is not supported")
        return _posix(name), None, end + 2
    if character == "\\":
        found = _PIECE.match(text, at)
        assert found is not None
        token, literal = _escape(found[0])
        if token.kind != "one":
            raise ValueError(f"{found[0]} is not supported in a set")
        return token.choice, None if literal is None else ord(literal), found.end()
    return 1 << ord(character), ord(character), at + 1
