"""Trees and Specs in text form, each with the digest of its image.

A manifest is a TOML file in ``fixtures/``:

    sha256 = "..."                                   the digest of the entire image
    [spec]                                           the options of Spec; features as mke2fs -O
    label = "root"
    [tree]                                           path = { kind and content, attributes }
    "/"        = { directory = true, mode = 0o755 }
    "/file"    = { file = "text", mtime_ns = 5 }
    '/\\xff'    = { file = [["noise", 5000, 1], ["zeros", 90000], "end"] }
    "/f%03d"   = { file = "", count = 500 }          a series of nodes, numbered from 0
    "/link"    = { symlink = "target" }
    "/name"    = { link = "/file" }
    "/null"    = { device = ["c", 1, 3] }
    "/pipe"    = { fifo = true }                     and socket = true

Every string may contain ``\\xNN``. File content, and the value of an attribute in ``xattrs``, is a
string or a list of strings, ``["zeros", COUNT]``, ``["noise", COUNT, SEED]`` and
``["repeat", COUNT, [...]]``.

Run as a program, this prints the digests of manifests or directories. It needs only the library::

    python -m tests.makers.manifests [OPTION...] PATH...
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import ext4writer
from ext4writer import DEFAULT_FEATURES, Directory, FeatureSet, Node, Spec, Tree

FIXTURES = Path(__file__).parents[2] / "fixtures"
DIGEST = re.compile(r'^sha256 = "[0-9a-f]*"$', re.MULTILINE)


@dataclass(frozen=True)
class Manifest:
    """One file of ``fixtures/``."""

    name: str
    sha256: str
    tree: Tree
    spec: Spec


def load(path: Path) -> Manifest:
    """Read a manifest. Every call returns a new tree."""
    with path.open("rb") as file:
        facts = tomllib.load(file)
    return Manifest(path.stem, facts["sha256"], _tree(facts["tree"]), _spec(facts.get("spec", {})))


def manifests() -> list[Path]:
    """The manifests of this project."""
    return sorted(FIXTURES.glob("*.toml"))


def content(words: Any) -> bytes:
    """The bytes that a string or a list of pieces stands for."""
    if isinstance(words, str):
        return _bytes(words)
    pieces = []
    for piece in words:
        match piece:
            case str():
                pieces.append(_bytes(piece))
            case ["zeros", int(count)]:
                pieces.append(bytes(count))
            case ["noise", int(count), seed]:
                pieces.append(hashlib.shake_128(str(seed).encode()).digest(count))
            case ["repeat", int(count), list(below)]:
                pieces.append(content(below) * count)
            case _:
                raise ValueError(f"{piece!r} is not a piece of content")
    return b"".join(pieces)


def _bytes(text: str) -> bytes:
    return re.sub(
        rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode()
    )


def _tree(entries: dict[str, dict[str, Any]]) -> Tree:
    tree = Tree()
    for path, facts in entries.items():
        count = facts.pop("count", None)
        for number in range(1 if count is None else count):
            _add(tree, _bytes(path if count is None else path % number), dict(facts))
    return tree


def _add(tree: Tree, path: bytes, facts: dict[str, Any]) -> None:
    if "xattrs" in facts:
        facts["xattrs"] = {_bytes(name): content(value) for name, value in facts["xattrs"].items()}
    kind = next(iter(facts))
    what = facts.pop(kind)
    match kind:
        case "directory" if path == b"/":
            tree.root = Directory(**facts)
        case "directory" | "fifo" | "socket":
            getattr(tree, kind)(path, **facts)
        case "file":
            tree.file(path, content(what), **facts)
        case "symlink" | "link":
            getattr(tree, kind)(path, _bytes(what), **facts)
        case "device":
            tree.device(path, *what, **facts)
        case _:
            raise ValueError(f"{kind} is not a kind of node")


def _spec(facts: dict[str, Any]) -> Spec:
    readers = {
        "label": _bytes,
        "uuid": UUID,
        "hash_seed": UUID,
        "policy": ext4writer.policy,
        "features": lambda text: FeatureSet.parse(text, base=DEFAULT_FEATURES),
    }
    return Spec(
        **{name: readers.get(name, lambda same: same)(value) for name, value in facts.items()}
    )


def shuffled(tree: Tree, seed: int) -> Tree:
    """Shuffle the children of every directory in ``tree``."""
    generator = random.Random(seed)
    directories: list[Node] = [tree.root]
    for node in directories:
        if isinstance(node, Directory):
            children = list(node.children.items())
            generator.shuffle(children)
            node.children = dict(children)
            directories += node.children.values()
    return tree


def digest(tree: Tree, spec: Spec | None = None, *, workers: int = 1) -> str:
    """The sha256 of the image, which is written to memory."""
    image = bytearray()
    ext4writer.write_image(tree, image, spec, workers=workers)
    return hashlib.sha256(image).hexdigest()


def main() -> None:
    """Print one line for each path: the digest, and the name."""
    parser = argparse.ArgumentParser(description="Print the digests of images.")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a manifest or a directory")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--no-xattrs", action="store_true", help="of directories")
    parser.add_argument("--output", type=Path, help="write there, not to memory")
    options = parser.parse_args()
    for path in map(Path, options.paths):
        if path.is_dir():
            tree, spec = ext4writer.sources.directory(path, xattrs=not options.no_xattrs), Spec()
        else:
            manifest = load(path)
            tree, spec = manifest.tree, manifest.spec
        if options.output is None:
            found = digest(tree, spec, workers=options.workers)
        else:
            ext4writer.write_image(tree, options.output, spec, workers=options.workers)
            found = hashlib.sha256(options.output.read_bytes()).hexdigest()
        print(found, path.stem)


if __name__ == "__main__":
    main()
