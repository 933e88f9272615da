"""Counts, by class of damage, how often checker and e2fsck agree on whether images are clean.

``python -m tests.inspection.sweep TIMES SEED [CLASS...]`` sets each field of each kind of metadata
to 0, 1, all ones, its value with the lowest bit flipped, and a random value. It does so TIMES times
each, with corrected and stale checksums, and also cuts images off. A class is a kind of metadata.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ext4writer import write_image
from ext4writer.errors import DamageError, Ext4WriterError, ImageError
from ext4writer.inspection.check import check_opened
from ext4writer.inspection.show import Row, explain
from ext4writer.ondisk.format import Format
from ext4writer.ondisk.units import Unit, checksum_unit
from ext4writer.read import open_image
from tests.judges.fsck import e2fsck
from tests.read.fuzz import small_tree

from .agreement import CLOCK, MKE2FS, OURS, Base, base, files

SEVERAL_GROUPS = {"meta-bg"}
OF_MKE2FS = ("ext4", "plain", "ext2", "ext3", "inline", "bigalloc", "meta-bg", "rest", "uninit")
OF_OURS = ("ours", "ours-random", "ours-rest", "ours-quota")
IDENTITY = "6d5d1a3b-8f1f-4b0e-9a55-0d3a8b8f6c11"
TRUNCATED = "truncated"
CUTS_FOR_EACH = 12
VALUES = 5


class Case(NamedTuple):
    """One damaged image."""

    kind: str
    """The class of damage."""
    what: str
    data: bytes


class Place(NamedTuple):
    """One field of one image."""

    base: Base
    unit: Unit
    row: Row
    format: Format


def small_bases(folder: Path) -> Iterator[Base]:
    """Images without a fault, of kilobytes to megabytes, so thousands can be checked."""
    source = files(folder, names=40, large=300, pieces=12)
    for name in OF_MKE2FS:
        image = folder / name
        size = "4M" if name in SEVERAL_GROUPS else "2M"
        options = ["-q", "-F", "-U", IDENTITY, "-E", f"hash_seed={IDENTITY}", "-d", source]
        command = ["mke2fs", *options, *MKE2FS[name].split(), image, size]
        subprocess.run(command, check=True, capture_output=True)
        attribute = f"ea_set /big user.long {'text' * 60}"
        subprocess.run(["debugfs", "-w", "-R", attribute, image], capture_output=True)
        subprocess.run(["e2fsck", "-fyD", image], capture_output=True)
        yield base(name, image)
    for name in OF_OURS:
        image = folder / name
        write_image(small_tree(), image, OURS[name])
        yield base(name, image)


def truncated(found: Sequence[Base], times: int, chance: random.Random) -> Iterator[Case]:
    """Images that are cut off: anywhere, at a block, in their last page, in their last blocks."""
    for one in found:
        size = len(one.data)
        for number in range(times):
            end = (
                chance.randrange(size),
                chance.randrange(size) // 1024 * 1024,
                size - 1 - chance.randrange(4096),
                size - 1024 * chance.randrange(1, 200),
            )[number % 4]
            yield Case(TRUNCATED, f"{one.name}: {end} of {size} bytes", one.data[:end])


def places(found: Sequence[Base]) -> dict[tuple[str, str], list[Place]]:
    """(kind of metadata, field) -> positions."""
    fields: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for one in found:
        with open_image(one.data) as image:
            for unit in one.units:
                for row in explain(image, unit):
                    name = re.sub(r"\d+", "N", row.name.rpartition(".")[2])
                    if row.name != "unused" and name not in CLOCK:
                        place = Place(one, unit, row, image.format)
                        fields[unit.kind.value, name].append(place)
    return dict(sorted(fields.items()))


def changed(place: Place, which: int, chance: random.Random, *, with_checksum: bool) -> Case | None:
    """The image with value number ``which`` in a field; None if the field has that value."""
    one, unit, row, fmt = place
    at, size = row.offset, row.size
    if size > 8:
        at, size = at + chance.randrange(size), 1
    data = bytearray(one.data)
    old = int.from_bytes(data[at : at + size], "little")
    new = (0, 1, (1 << 8 * size) - 1, old ^ 1, chance.getrandbits(8 * size))[which]
    if new == old:
        return None
    data[at : at + size] = new.to_bytes(size, "little")
    if with_checksum:
        part = bytearray(data[unit.offset : unit.offset + unit.size])
        with suppress(ValueError):
            checksum_unit(fmt, unit, part)
        data[unit.offset : unit.offset + unit.size] = part
    what = f"{one.name}: {row.name} of {unit.owner} at byte {at}: {old:#x} -> {new:#x}, "
    return Case(unit.kind.value, what + ("checksum" if with_checksum else "stale"), bytes(data))


def cases(found: Sequence[Base], times: int, seed: int) -> Iterator[Case]:
    chance = random.Random(seed)
    yield from truncated(found, CUTS_FOR_EACH * times, chance)
    for listed in places(found).values():
        for which in range(VALUES):
            for with_checksum in (False, True):
                for _ in range(times):
                    case = changed(
                        chance.choice(listed), which, chance, with_checksum=with_checksum
                    )
                    if case is not None:
                        yield case


def is_clean(data: bytes) -> bool:
    """The verdict of the checker."""
    met: list[DamageError] = []
    try:
        with open_image(data, on_damage=met.append) as opened:
            return check_opened(opened, met).is_clean
    except (DamageError, ImageError):
        return False


def differing(found: Iterator[Case], scratch: Path) -> tuple[Counter[str], dict[str, list[str]]]:
    """The number of cases of each class, and the cases on which the programs disagree.

    For e2fsck, an image is clean if it logs no problem and does not give up. Its exit status is not
    used: with ``-n`` it is 0 despite many logged problems, because those before pass 1 are
    forgotten (e2fsck/unix.c:main).
    """
    counts: Counter[str] = Counter()
    differ: dict[str, list[str]] = defaultdict(list)
    for case in found:
        image = scratch / "damaged"
        image.write_bytes(case.data)
        try:
            verdict = e2fsck(image, "-n")
        except subprocess.TimeoutExpired:
            continue  # e2fsck never ends on some
        counts[case.kind] += 1
        theirs = not verdict.problems and verdict.status < 8
        ours = is_clean(case.data)
        if theirs is not ours:
            found = f"e2fsck {verdict.status} {' '.join(verdict.problems)}"
            differ[case.kind].append(f"{case.kind} of {case.what}: {found}; check {ours}")
    return counts, differ


def main(times: int, seed: int, *classes: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        found = list(small_bases(scratch))
        wanted = (case for case in cases(found, times, seed) if not classes or case.kind in classes)
        counts, differ = differing(wanted, scratch)
    for kind, count in sorted(counts.items()):
        print(*differ[kind], sep="\n")
        print(f"{kind}: {count - len(differ[kind])} of {count}")


if __name__ == "__main__":
    words = sys.argv[1:]
    try:
        main(*map(int, words[:2]), *words[2:])
    except Ext4WriterError as error:
        sys.exit(str(error))
