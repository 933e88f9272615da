"""Material for bug reports: a script, a patch of the wrong bytes, a syzkaller program."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Iterator

from ..late_dataclasses import replace
from ..spans import Span
from .recipe import Recipe

ROW = 16
"""The number of bytes on a line, the maximum for ``xxd -r``."""


def script(recipe: Recipe) -> str:
    """Return a short Python program that writes the image of a recipe."""
    return (
        "from ext4writer.fuzzing import Recipe\n"
        "\n"
        f'recipe = Recipe.parse("""\\\n{recipe}""")\n'
        'with open("image", "wb") as file:\n'
        "    file.write(recipe.image())\n"
    )


def hex_patch(recipe: Recipe) -> str:
    """Return the bytes that the overrides change as input of ``xxd -r PATCH IMAGE``.

    IMAGE is the image of the recipe without overrides. For a recipe that has none, the patch
    contains all bytes that are not zero.
    """
    wrong = recipe.image()
    if recipe.overrides:
        right = replace(recipe, overrides=()).image()
        head = "# xxd -r PATCH IMAGE; IMAGE is that of the recipe without its overrides\n"
    else:
        right = bytes(len(wrong))
        head = f"# truncate -s {len(wrong)} IMAGE && xxd -r PATCH IMAGE\n"
    lines = [
        f"{start:08x}: {wrong[start:end].hex(' ')}"
        + (f"  # was {right[start:end].hex(' ')}\n" if recipe.overrides else "\n")
        for start, end in _differences(right, wrong)
    ]
    return head + "".join(lines)


def _differences(first: bytes, second: bytes) -> Iterator[Span]:
    """Yield spans of at most ``ROW`` bytes in which two images of the same size differ."""
    for block in range(0, len(first), 4096):
        if first[block : block + 4096] == second[block : block + 4096]:
            continue
        start = -1
        end = min(block + 4096, len(first))
        for offset in range(block, end):
            if first[offset] != second[offset]:
                start = offset if start < 0 else start
            elif start >= 0:
                yield Span(start, offset)
                start = -1
            if start >= 0 and offset + 1 - start == ROW:
                yield Span(start, offset + 1)
                start = -1
        if start >= 0:
            yield Span(start, end)


def syz_program(recipe: Recipe) -> str:
    """Return a syzkaller program that mounts the image.

    The arguments are those of ``syz_mount_image$ext4`` in syzkaller's sys/linux/filesystem.txt:
    type, mount point, flags, options, whether to change to that directory, and the image,
    compressed with zlib. A ``$`` before data indicates base64 (prog/encoding.go, deserializeData).
    """
    packed = zlib.compress(recipe.image(), 9)
    return (
        "syz_mount_image$ext4(&(0x7f0000000000)='ext4\\x00', &(0x7f0000000040)='./file0\\x00', "
        f"0x0, &(0x7f0000000080), 0x1, {len(packed):#x}, "
        f'&(0x7f00000000c0)="${b64encode(packed).decode()}")\n'
    )
