"""The place that an override changes in an image, and the value written there."""

from __future__ import annotations

from collections.abc import Callable

from ..arithmetic import ceil_div
from ..bits import ones, splitmix64
from ..errors import OverrideError
from ..late_dataclasses import dataclass
from ..ondisk.features import FEATURES
from ..ondisk.format import MappingKind
from ..ondisk.inode import EXT4_EXTENTS_FL
from ..ondisk.record import Meaning, WriteBuffer
from ..ondisk.superblock import EXT4_ROOT_INO
from ..ondisk.units import UnitKind
from ..planning.plain import shown, told
from ..read.image import Image
from ..read.inodes import Inode
from ..spans import Run
from .override import Override

STEP = 2017
"""The amount of ``add`` and ``sub``, as in xfs_db's blocktrash."""
_NO_MEANING = Meaning()
_LOWEST_FIELDS = 4


@dataclass(frozen=True)
class Holder:
    """The unit that contains a place, and the values of words such as ``parent``."""

    kind: UnitKind | None
    """None for bytes outside of records."""
    offset: int
    """The offset of the unit in the image, in bytes."""
    size: int
    """In bytes."""
    ino: int = 0
    group: int = 0
    logical: int = 0
    """The logical number of the block in its file."""
    parent_ino: int = 0
    parent_block: int = 0
    capacity: int = 0
    """The number of entries that fit into the unit."""
    generation: int = 0
    """i_generation of the inode."""


@dataclass(frozen=True)
class Place:
    """A number or byte string in one part of an image, or in several.

    ``parts`` are runs of bytes, the lowest part of a number first.
    """

    override: Override
    holder: Holder
    parts: tuple[Run, ...]
    meaning: Meaning = _NO_MEANING
    big_endian: bool = False
    is_bytes: bool = False
    bit: int | None = None
    """For a bitmap, the bit within the byte."""
    field: str = ""

    @property
    def bits(self) -> int:
        return 1 if self.bit is not None else 8 * sum(size for _, size in self.parts)

    @property
    def order(self) -> str:
        return "big" if self.big_endian else "little"

    def number(self, buffer: WriteBuffer) -> int:
        """Return the number at this place, joined from all parts."""
        value, shift = 0, 0
        for at, size in self.parts:
            part = int.from_bytes(buffer[at : at + size], self.order)  # type: ignore[arg-type]
            value |= part << shift
            shift += 8 * size
        return value if self.bit is None else value >> self.bit & 1

    def put(self, buffer: WriteBuffer, value: int | bytes) -> None:
        """Write a number or bytes, which must fit."""
        if isinstance(value, bytes):
            ((at, size),) = self.parts
            buffer[at : at + size] = value
            return
        if self.bit is not None:
            ((at, _),) = self.parts
            buffer[at] = buffer[at] & ~(1 << self.bit) | value << self.bit
            return
        for at, size in self.parts:
            part = value & ones(8 * size)
            buffer[at : at + size] = part.to_bytes(size, self.order)  # type: ignore[arg-type]
            value >>= 8 * size

    def changed(self, image: Image, buffer: WriteBuffer) -> int | bytes:
        """Return the value by which the override replaces the one in ``buffer``."""
        override, old = self.override, self.number(buffer)
        value = override.value
        if callable(value):
            value = self._called(value, self._bytes(buffer) if self.is_bytes else old)
        elif isinstance(value, str):
            value = _Words(self, image).value(value, old)
        value = self._plain(value)
        if isinstance(value, bytes):
            if self.bit is not None:
                raise self._error("a bit is 0 or 1")
            if not self.is_bytes or override.operator != "=":
                raise self._error("the value must be a number")
            if len(value) > self.bits // 8:
                raise self._error(f"{self.field} has {self.bits // 8} bytes")
            return value.ljust(self.bits // 8, b"\0")
        if self.is_bytes and override.operator == "=" and isinstance(override.value, int):
            raise self._error("the value of a byte field must be hex:... or text:...")
        mask = ones(self.bits)
        operator = override.operator
        if operator == "=":
            if value < 0 and self.bit is None:
                value += mask + 1
            if not isinstance(override.value, str) and not 0 <= value <= mask:
                text = (
                    "a bit is 0 or 1"
                    if self.bit is not None
                    else f"{self.field} has {self.bits} bits"
                )
                raise self._error(text)
        elif operator == "+=":
            value = old + value
        elif operator == "-=":
            value = old - value
        elif operator == "^=":
            value ^= old
        elif operator == "|=":
            value |= old
        else:
            value &= old
        value &= mask
        return value

    def _called(
        self, function: Callable[[int | bytes], int | bytes], old: int | bytes
    ) -> int | bytes:
        """Return what the caller's function returns for ``old``."""
        try:
            return function(old)
        except Exception as error:
            problem = f"the function raised {type(error).__name__}{told(error)}"
            raise self._error(f"{problem}; it must return the new value") from error

    def _plain(self, value: object) -> int | bytes:
        """Return ``value`` as a plain int or bytes, not of a subclass."""
        kind = type(value)  # a value can deceive isinstance
        if issubclass(kind, int):
            number: int = int.__add__(value, 0)  # type: ignore[operator]
            return number
        if issubclass(kind, bytes):
            return bytes(memoryview(value))  # type: ignore[arg-type]
        raise self._error(f"a function returned {shown(value)}, not a number or bytes")

    def _bytes(self, buffer: WriteBuffer) -> bytes:
        ((at, size),) = self.parts
        return bytes(buffer[at : at + size])

    def _error(self, problem: str) -> OverrideError:
        return OverrideError(f"override {self.override}: {problem}")


class _Words:
    """Evaluates the words of the grammar for one place."""

    def __init__(self, place: Place, image: Image) -> None:
        self._place = place
        self._image = image
        self._unit = place.meaning.unit
        self._bits = place.bits

    def value(self, text: str, old: int) -> int:
        word, plus, rest = text.partition("+")
        sign = 1
        if not plus:
            word, minus, rest = text.partition("-")
            sign = -1 if minus else 0
        number = self._word(word, old) + sign * int(rest or 0)
        return number & ones(self._bits)

    def _word(self, text: str, old: int) -> int:
        word, _, argument = text.partition(":")
        bits, all_ones = self._bits, ones(self._bits)
        fixed = {
            "zeroes": 0,
            "ones": all_ones,
            "max": all_ones,
            "sign": 1 << bits - 1,
            "firstbit": old ^ 1 << bits - 1,
            "middlebit": old ^ 1 << bits // 2,
            "lastbit": old ^ 1,
            "add": old + STEP,
            "sub": old - STEP,
            "neighbour": old + 1,
            "blocksize": self._image.block_size,
        }
        if word in fixed:
            return fixed[word]
        if word == "random":
            return _random(int(argument or 0), bits)
        if word == "name":
            return self._named(argument)
        if word == "limit":
            return self._limit()
        if self._unit == "inode":
            found = self._inode(word)
        elif self._unit in ("block", "file block"):
            found = self._block(word)
        else:
            found = None
        if found is None:
            what = f" for a field of unit {self._unit}" if self._unit else " for this field"
            raise self._error(f"{word} has no meaning{what}")
        return found

    def _named(self, name: str) -> int:
        wanted = name.casefold()
        for value, known in self._place.meaning.names.items():
            if known.casefold() == wanted:
                return value
        if self._unit == "features":
            for row in FEATURES:
                if row.name == name and self._place.field == f"s_feature_{row.word}":
                    return row.mask
        known_names = ", ".join(self._place.meaning.names.values())
        raise self._error(f"{name} is not a name there; known names: {known_names or 'none'}")

    def _limit(self) -> int:
        image, unit, meaning = self._image, self._unit, self._place.meaning
        fmt = image.format
        if meaning.limits is not None:
            return meaning.limits[1]
        if unit == "code" and meaning.names:
            return max(meaning.names)
        if unit == "flags" and meaning.names:
            return sum(meaning.names)
        if unit == "entries":
            return self._place.holder.capacity
        if self._place.field.startswith("i_size"):
            return self._largest_file()
        limits = {
            "block": image.blocks_count - 1,
            "blocks": image.blocks_count,
            "clusters": fmt.clusters_per_group,
            "inode": image.inodes_count,
            "inodes": image.inodes_count,
            "group": image.groups - 1,
            "groups": image.groups,
            "bytes": image.block_size,
            "offset": image.block_size - _LOWEST_FIELDS,
        }
        if unit == "file block":
            return self._file_blocks() - 1
        return limits.get(unit, ones(self._bits))

    def _largest_file(self) -> int:
        inode = self._try_inode(self._place.holder.ino)
        extents = self._image.format.mapping is MappingKind.EXTENTS
        if inode is not None:
            extents = bool(inode.flags & EXT4_EXTENTS_FL)
        size = self._image.block_size
        if extents:
            return (1 << 32) * size - 1  # fs/ext4/super.c:ext4_max_size
        words = size // 4
        return (12 + words + words**2 + words**3) * size

    def _file_blocks(self) -> int:
        inode = self._try_inode(self._place.holder.ino)
        if inode is None:
            return 1
        return max(ceil_div(inode.size, self._image.block_size), 1)

    def _try_inode(self, ino: int) -> Inode | None:
        return self._image.inode(ino) if 1 <= ino <= self._image.inodes_count else None

    def _inode(self, word: str) -> int | None:
        holder = self._place.holder
        if word == "itself":
            return holder.ino or None
        if word == "parent":
            return holder.parent_ino or None
        if word == "root":
            return EXT4_ROOT_INO
        if word == "journal":
            return self._image.number("s_journal_inum") or None
        if word == "another":
            first = self._image.format.first_ino
            for inode in self._image.inodes():
                if inode.ino > first and inode.ino != holder.ino and inode.links:
                    return inode.ino
        return None

    def _block(self, word: str) -> int | None:
        image, holder = self._image, self._place.holder
        if word == "itself":
            return (
                holder.logical if self._unit == "file block" else holder.offset // image.block_size
            )
        if word == "parent":
            return holder.parent_block or None
        if word == "superblock":
            return image.format.super_block(0)
        if word == "descriptors":
            return image.descriptor_offset(0) // image.block_size
        if word == "bitmap":
            return image.descriptor(0)["bg_block_bitmap"]
        if word == "inode_table":
            return image.descriptor(0)["bg_inode_table"]
        if word == "root":
            return _first_block(image.root)
        if word == "journal":
            ino = image.number("s_journal_inum")
            return _first_block(image.inode(ino)) if ino else None
        if word == "another":
            first = image.format.first_ino
            for inode in image.inodes():
                if inode.ino > first and inode.ino != holder.ino and inode.links:
                    block = _first_block(inode)
                    if block is not None:
                        return block
        return None

    def _error(self, problem: str) -> OverrideError:
        return OverrideError(f"override {self._place.override}: {problem}")


def _first_block(inode: Inode) -> int | None:
    for run in inode.runs():
        return run.physical
    return None


def _random(seed: int, bits: int) -> int:
    """Return a number of ``bits`` bits from ``seed``, by SplitMix64."""
    value, made, state = 0, 0, seed
    while made < bits:
        state, mixed = splitmix64(state)
        value |= mixed << made
        made += 64
    return value & ones(bits)
