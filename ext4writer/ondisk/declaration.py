"""The types in which structures are declared: those of construct, without loading construct.

Loading construct takes longer than writing a small image, and no image needs it: packers, offsets
and sizes follow from the declarations. Each type has a method ``made`` that returns the construct
object of the same name. Those objects build and parse a record as construct does, and tests compare
both ways.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .record import Meaning


class Word:
    """One type in a declaration; ``made`` returns construct's object of the same name."""

    __slots__ = ()

    def made(self) -> Any:
        """Load construct, and return its object."""
        raise NotImplementedError


class Number(Word):
    """An integer of ``width`` bytes, with its letter and byte order for the module struct."""

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
    """``length`` bytes as one value."""

    __slots__ = ("length",)

    def __init__(self, length: int) -> None:
        self.length = length

    def made(self) -> Any:
        import construct

        return construct.Bytes(self.length)


class Padding(Word):
    """``length`` bytes that belong to no field."""

    __slots__ = ("length",)

    def __init__(self, length: int) -> None:
        self.length = length

    def made(self) -> Any:
        import construct

        return construct.Padding(self.length)


class Array(Word):
    """``count`` numbers as one value."""

    __slots__ = ("count", "item")

    def __init__(self, count: int, item: Number) -> None:
        self.count = count
        self.item = item

    def made(self) -> Any:
        import construct

        return construct.Array(self.count, self.item.made())


class Named(Word):
    """A field: a type with a name and a meaning, which do not affect how it is packed."""

    __slots__ = ("meaning", "name", "word")

    def __init__(self, name: str, word: Word, meaning: Meaning) -> None:
        self.name = name
        self.word = word
        self.meaning = meaning

    def made(self) -> Any:
        return self.name / self.word.made()


class Struct(Word):
    """Fields in sequence, with padding between them."""

    __slots__ = ("subcons",)

    def __init__(self, *subcons: Word) -> None:
        self.subcons = subcons

    def made(self) -> Any:
        import construct

        return construct.Struct(*(word.made() for word in self.subcons))
