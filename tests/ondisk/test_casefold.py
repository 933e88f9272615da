"""Folded names hash as in e2fsprogs, which has the kernel's tables of Unicode 12.1."""

from __future__ import annotations

import random
import subprocess
import unicodedata
from pathlib import Path

import pytest

from ext4writer.ondisk.casefold import casefold
from ext4writer.ondisk.dirhash import half_md4_hash
from tests.judges import tools

MD4 = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
"""The initial state of debugfs without a seed."""


def debugfs_hashes(names: list[str], tmp_path: Path) -> list[int]:
    commands = tmp_path / "commands"
    commands.write_text("".join(f'dx_hash -h half_md4 -c -e utf8 "{name}"\n' for name in names))
    done = subprocess.run(
        [tools.require("debugfs"), "-f", commands], capture_output=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(b"Hash of")]
    return [int(line.rpartition(b" is ")[2].split()[0], 16) for line in lines]


def of_ours(name: str) -> int:
    folded = casefold(name.encode())
    assert folded is not None
    return half_md4_hash(folded, MD4, signed=True)[0]


def code_points() -> list[str]:
    """All except ideographs, surrogates, and what debugfs's own parser treats as white space."""
    dull = (range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xAC10, 0xD7A0))
    dull += (range(0xD800, 0xF900), range(0x17000, 0x1B000), range(0x20000, 0x2F800))
    dull += (range(0x30000, 0xE0000), range(0xE1010, 0x110000))
    return [
        chr(code)
        for code in range(0x80, 0xE1010)
        if not any(code in each for each in dull) and not chr(code).isspace()
    ]


def test_every_code_point(tmp_path: Path) -> None:
    names = [f"a{character}Z" for character in code_points()]
    assert len(names) > 50_000
    assert [of_ours(name) for name in names] == debugfs_hashes(names, tmp_path)


def test_combining_marks_are_sorted(tmp_path: Path) -> None:
    """This includes ignorable code points, which sorting does not cross."""
    special = [
        character
        for character in code_points()
        if unicodedata.combining(character) or unicodedata.decomposition(character)
    ]
    special += ["\u00ad", "\u200d", "\ufe0f", "A", "b", "\u1b00"] * 20
    numbers = random.Random(1)
    names = ["".join(numbers.choices(special, k=6)) for _ in range(10_000)]
    assert [of_ours(name) for name in names] == debugfs_hashes(names, tmp_path)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("README", "readme"),
        ("Straße", "STRASSE"),
        ("caf\u00e9", "CAFE\u0301"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\u0390", "\u1fd3"),
        ("\u212b", "a\u030a"),
        ("\uac00", "\u1100\u1161"),
    ],
)
def test_names_that_are_the_same_to_the_kernel(name: str, same: str) -> None:
    assert casefold(name.encode()) == casefold(same.encode())


def test_code_points_newer_than_12_1_are_not_folded() -> None:
    """U+A7C7 has folded since Unicode 13; the tables of 12.1 lack it."""
    assert casefold("\ua7c7".encode()) == "\ua7c7".encode()


@pytest.mark.parametrize(
    "name", [b"\xff", b"a\x80", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"]
)
def test_invalid_utf8_has_no_folded_form(name: bytes) -> None:
    assert casefold(name) is None
