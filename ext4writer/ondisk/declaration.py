"""The words in which the structures are declared: construct's own, without construct.

To load construct takes longer than to write a small image, and no image needs it: packers, offsets
and sizes follow from the words. Each word has ``made``, which is the construct object of its name;
with these a record is built and parsed as construct does it, and the tests hold both side by side.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .record import Meaning


class Word:
    """One word of a declaration; ``made`` returns what construct has under its name."""

    __slots__ = ()

    def made(self) -> Any:
        """Return the construct object, and load construct for it."""
        raise NotImplementedError


class Number(Word):
    """An integer of ``width`` bytes: its struct letter, and ``<`` or ``>``."""

    __slots__ = ("letter", "name", "order", "width")

    def __init__(self, name: str, letter: str, width: int) -> None:
        self.name = name
        self.letter = letter
        self.width = width
        self.order = ">" if name.endswith("b") else "<"

    def made(self) -> Any:
        import construct

        return getattr(construct, self.name)


Int8ul = Number("Int8ul", "B", 1)
Int16ul = Number("Int16ul", "H", 2)
Int32ul = Number("Int32ul", "I", 4)
Int64ul = Number("Int64ul", "Q", 8)
Int8ub = Number("Int8ub", "B", 1)
Int16ub = Number("Int16ub", "H", 2)
Int32ub = Number("Int32ub", "I", 4)
Int64ub = Number("Int64ub", "Q", 8)


class Bytes(Word):
    """``length`` bytes, which are one value."""

    __slots__ = ("length",)

    def __init__(self, length: int) -> None:
        self.length = length

    def made(self) -> Any:
        import construct

        return construct.Bytes(self.length)


class Padding(Word):
    """``length`` bytes that are no field."""

    __slots__ = ("length",)

    def __init__(self, length: int) -> None:
        self.length = length

    def made(self) -> Any:
        import construct

        return construct.Padding(self.length)


class Array(Word):
    """``count`` numbers, which are one value."""

    __slots__ = ("count", "item")

    def __init__(self, count: int, item: Number) -> None:
        self.count = count
        self.item = item

    def made(self) -> Any:
        import construct

        return construct.Array(self.count, self.item.made())


class Named(Word):
    """A field: a word with its name and its meaning, which changes nothing of how it is packed."""

    __slots__ = ("meaning", "name", "word")

    def __init__(self, name: str, word: Word, meaning: Meaning) -> None:
        self.name = name
        self.word = word
        self.meaning = meaning

    def made(self) -> Any:
        return self.name / self.word.made()


class Struct(Word):
    """Fields one after the other, and padding between them."""

    __slots__ = ("subcons",)

    def __init__(self, *subcons: Word) -> None:
        self.subcons = subcons

    def made(self) -> Any:
        import construct

        return construct.Struct(*(word.made() for word in self.subcons))
