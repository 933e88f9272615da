"""The library reads closures without the command: equal images, and its own errors."""

from __future__ import annotations

import lzma
import os
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import zstandard

from ext4writer import (
    LimitError,
    RegularFile,
    Spec,
    SpecError,
    Symlink,
    Tree,
    nix,
    sources,
    write_image,
)
from ext4writer.nix.hashing import describe
from ext4writer.nix.registration import write_registration
from ext4writer.sources.nar_format import word, words
from tests.builder.command import run

from .conftest import RealClosure
from .test_caches import NIX

ID = UUID("12345678-1234-5678-1234-567812345678")


def entries(tree: Tree) -> dict[bytes, tuple[object, ...]]:
    """All that a tree records for each of its names, including the content."""
    found: dict[bytes, tuple[object, ...]] = {}
    for path, node in tree.walk():
        content = b""
        if isinstance(node, RegularFile):
            buffer = bytearray(node.content.size)
            node.content.read_whole(memoryview(buffer))
            content = bytes(buffer)
        target = node.target if isinstance(node, Symlink) else b""
        owner = (node.uid, node.gid)
        found[path] = (node.file_type, node.mode, owner, node.mtime_ns, target, content)
    return found


def test_a_store(closure: RealClosure, tmp_path: Path) -> None:
    """The names are paths or base names; the registration is a file, an object, or missing."""
    bases = [os.path.basename(path) for path in closure.paths]
    registration = closure.folder / "registration"
    trees = [
        nix.closure(closure.paths, store_dir=closure.store),
        nix.closure(
            bases, store_dir=closure.store, registration=registration, verify=True, processes=2
        ),
        nix.closure(
            iter(closure.paths),
            store_dir=os.fspath(closure.store),
            registration=nix.read_registration(os.fspath(registration)),
        ),
    ]
    first, second, third = map(entries, trees)
    # The computed one has no derivers, unlike Nix's own dump.
    key = b"/nix-path-registration"
    assert second == third
    assert {**first, key: second[key]} == second
    own, image = tmp_path / "own.img", tmp_path / "command.img"
    write_image(trees[1], own, Spec(epoch=1, grow_to=1 << 40, align=1 << 20, uuid=ID))
    options = ["--grow-to", "1T", "--uuid", str(ID)]
    done = run("nix", *closure.options, "-o", image, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert own.read_bytes() == image.read_bytes()


def test_files_and_equal_files(closure: RealClosure) -> None:
    files = Tree()
    files.directory("/etc")
    files.file("/etc/hostname", b"box\n", mode=0o640, uid=7)
    tree = nix.closure(closure.paths, store_dir=closure.store, files=files, dedupe=True)
    node = tree["/etc/hostname"]
    assert (node.mode, node.uid, node.mtime_ns) == (0o640, 0, 10**9)
    names = [path for path, node in tree.walk() if path.endswith((b"/same", b"/same too"))]
    same, other = (tree[name] for name in names if b"/bin/" not in name)
    assert same is other


def test_a_cache_and_archives(closure: RealClosure, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    closure.host.run(*NIX, "copy", "--to", f"file://{cache}?compression=xz", *closure.roots)
    wanted = entries(nix.closure(closure.paths, store_dir=closure.store))
    with tempfile.TemporaryFile() as spool:
        found = nix.closure(closure.roots, cache=cache, spool=lambda: spool)
        assert entries(found) == wanted
    archives = {}
    for path in closure.paths:
        file = tmp_path / f"{os.path.basename(path)}.nar"
        with file.open("wb") as stream:
            subprocess.run(
                ["nix-store", "--dump", closure.host.real(path)], stdout=stream, check=True
            )
        archives[path] = file
    assert entries(nix.closure(archives=archives)) == wanted
    with pytest.raises(SpecError, match="spool: is needed"):
        nix.closure(closure.roots, cache=cache)


def test_arguments_that_contradict(tmp_path: Path) -> None:
    path = f"/nix/store/{'0' * 32}-a"
    with pytest.raises(SpecError, match="archives: name store paths themselves"):
        nix.closure([path], archives={path: tmp_path})
    with pytest.raises(SpecError, match="store_dir: cannot be combined"):
        nix.closure([path], cache=tmp_path, store_dir=tmp_path)
    with pytest.raises(SpecError, match="verify: has nothing to compare with"):
        nix.closure([path], verify=True)
    with pytest.raises(nix.NixError, match="store_paths: 'hello' is not the name of a store path"):
        nix.closure(["hello"])
    with pytest.raises(nix.NixError, match="is missing"):
        nix.closure([path], store_dir=tmp_path)


PATHS = [f"/nix/store/{letter * 32}-zeros" for letter in "0123"]


def zeros(mib: int) -> Iterator[bytes]:
    """The pieces of an archive of one file."""
    yield words(b"nix-archive-1", b"(", b"type", b"regular", b"contents")
    yield (mib << 20).to_bytes(8, "little")
    for _ in range(mib):
        yield bytes(1 << 20)
    yield word(b")")


def test_one_ratio_limits_all_archives(tmp_path: Path) -> None:
    """Each of the four unpacks to less than 128 MiB, above which the ratio is limited."""
    pack = zstandard.ZstdCompressor(level=1).compressobj()
    packed = b"".join(map(pack.compress, zeros(40))) + pack.flush()
    archives = {}
    for number, path in enumerate(PATHS):
        archives[path] = tmp_path / f"{number}.nar.zst"
        archives[path].write_bytes(packed)
    with tempfile.TemporaryFile() as spool:
        tree = nix.closure(
            archives=archives,
            spool=lambda: spool,
            limits=sources.Limits(ratio=100_000),
            processes=2,
        )
        assert {node.content.size for _, node in tree.walk() if isinstance(node, RegularFile)} >= {
            40 << 20
        }
    with tempfile.TemporaryFile() as spool:
        with pytest.raises(LimitError, match="packed bytes unpack to") as caught:
            nix.closure(archives=archives, spool=lambda: spool)
        assert caught.value.limit == "ratio"
        assert os.fstat(spool.fileno()).st_size < 200 << 20


def test_decompressors_share_their_memory(tmp_path: Path) -> None:
    """Together, the two threads may use more than the 192 MiB dictionary; each alone may not."""
    [path] = PATHS[:1]
    archive = tmp_path / "a.nar.xz"
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 192 << 20}]
    pack = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=filters)
    archive.write_bytes(b"".join(map(pack.compress, zeros(1))) + pack.flush())
    plain = tmp_path / "a.nar"
    plain.write_bytes(b"".join(zeros(1)))
    registration = write_registration(describe({PATHS[0][11:]: sources.nar(plain)}))

    def read(**limits: int) -> Tree:
        with tempfile.TemporaryFile() as spool:
            return nix.closure(
                archives={path: archive},
                registration=registration,
                spool=lambda: spool,
                limits=sources.Limits(**limits),
                processes=2,
            )

    assert path in {entry.decode() for entry, _ in read().walk()}
    with pytest.raises(LimitError, match="more than 134217728 bytes of memory") as caught:
        read(decoder_bytes=128 << 20)
    assert caught.value.limit == "decoder_bytes"
    # One that requires 4 GiB.
    data = bytearray(archive.read_bytes())
    size = (data[12] + 1) * 4
    data[data.index(b"\x21\x01", 12) + 2] = 40
    data[8 + size : 12 + size] = struct.pack("<I", zlib.crc32(data[12 : 8 + size]))
    archive.write_bytes(data)
    with pytest.raises(LimitError, match="more than 268435456 bytes of memory"):
        read()


def test_a_single_store_path_is_a_list_of_one(closure: RealClosure) -> None:
    path = min(
        closure.paths,
        key=lambda each: sum(1 for _ in closure.store.joinpath(os.path.basename(each)).rglob("*")),
    )
    expected = entries(nix.closure([path], store_dir=closure.store))
    assert entries(nix.closure(path, store_dir=os.fsencode(closure.store))) == expected
    assert entries(nix.closure([Path(path)], store_dir=closure.store)) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"store_paths": 5}, "store_paths: 5 is not a list"),
        ({"store_paths": [5]}, "store_paths: 5 is no path"),
        ({"store_dir": 5}, "store_dir: 5 is no path"),
        ({"cache": 5}, "cache: 5 is no path"),
        ({"registration": 5}, "registration: 5 is no path"),
        ({"archives": 5}, "archives: 5 does not map"),
        ({"files": "rootfs"}, "files: is a str, not a Tree"),
        ({"contents": ["x"]}, "contents: 'x' is not an Entry"),
    ],
)
def test_an_argument_of_another_type_is_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        nix.closure(**arguments)
