"""What to send with a bug: a script, the bytes that are wrong, a program of syzkaller."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

from ..spans import Span
from .recipe import Recipe


def script(recipe: Recipe) -> str:
    """A short Python program that writes the image of a recipe."""
    return (
        "from ext4writer.fuzzing import Recipe\n"
        "\n"
        f'recipe = Recipe.parse("""\\\n{recipe}""")\n'
        'with open("image", "wb") as file:\n'
        "    file.write(recipe.image())\n"
    )


def hex_patch(recipe: Recipe) -> str:
    """The bytes that the overrides change: offset, before and after, one line for each stretch."""
    right, wrong = replace(recipe, overrides=()).image(), recipe.image()
    lines = [
        f"{start:#010x}  {right[start:end].hex()} -> {wrong[start:end].hex()}\n"
        for start, end in _differences(right, wrong)
    ]
    return "".join(lines)


def _differences(first: bytes, second: bytes) -> Iterator[Span]:
    start = -1
    for block in range(0, len(first), 4096):
        if first[block : block + 4096] == second[block : block + 4096]:
            continue
        for offset in range(block, min(block + 4096, len(first))):
            if first[offset] != second[offset]:
                if start < 0:
                    start = offset
            elif start >= 0:
                yield Span(start, offset)
                start = -1
    if start >= 0:
        yield Span(start, len(first))


def syz_program(recipe: Recipe) -> str:
    """A program of syzkaller that mounts the image.

    sys/linux/filesystem.txt of syzkaller: the image is compressed with zlib, in base64.
    """
    image = recipe.image()
    packed = zlib.compress(image, 9)
    return (
        "syz_mount_image$ext4(&(0x7f0000000000)='ext4\\x00', &(0x7f0000000040)='./file0\\x00', "
        f"0x0, &(0x7f0000000080), 0x1, {len(packed):#x}, "
        f'&(0x7f00000000c0)="${b64encode(packed).decode()}")\n'
    )
