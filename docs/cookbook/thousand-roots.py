#!/usr/bin/env python3
"""Writes a thousand microVM roots from one base: thousand-roots.py BASE.tar FOLDER [COUNT]

The base is read once. Each root is a copy of its tree, which shares all contents, plus a few
separate files. So an image takes only the time to write it.
"""

from __future__ import annotations

import argparse
import time
import uuid
from pathlib import Path

from ext4writer import Ext4WriterError, Spec, sources, write_image

NAMESPACE = uuid.UUID("8e2e7b0c-6f0a-4f0e-9d57-5c1f0a7c2f11")


def main(archive: str, folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    base = sources.tar(archive)
    began = time.monotonic()
    for number in range(count):
        name = f"vm-{number:04}"
        tree = base.copy()
        if "/etc" not in tree:
            tree.directory("/etc")
        for path, text in {
            "/etc/hostname": f"{name}\n",
            "/etc/machine-id": f"{uuid.uuid5(NAMESPACE, name).hex}\n",
        }.items():
            if path in tree:
                tree.remove(path)
            tree.file(path, text.encode())
        spec = Spec(label="root", uuid=uuid.uuid5(NAMESPACE, f"root of {name}"), free="64M")
        write_image(tree, folder / f"{name}.img", spec)
    print(f"{count} images, {(time.monotonic() - began) / count:.3f} seconds each")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base")
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=1000)
    arguments = parser.parse_args()
    try:
        main(arguments.base, arguments.folder, arguments.count)
    except (Ext4WriterError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
