"""Every checksum is right after a mutation: e2fsck finds none wrong, on images of all kinds.

A new UUID changes every seed, so an image is clean again only if all its checksums have been
recomputed.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import DEFAULT_FEATURES, Spec, Tree, write_image
from ext4writer.damage import reseal, reseal_into
from ext4writer.ondisk.htree import DX_ROOT_COUNT_OFFSET
from ext4writer.read import open_image
from ext4writer.read.fast_commits import Tag, tags
from ext4writer.read.journal import Journal
from tests.judges.fsck import e2fsck
from tests.judges.kernel import mounted
from tests.judges.tools import run
from tests.read.test_journal import KINDS, crashed, fast_commits

UUID_AT = 1024 + 0x68

CHECKSUMS = {
    *("0x000035", "0x00003e", "0x000047", "0x00004a", "0x000054", "0x010054", "0x010068"),
    *("0x01006a", "0x01006c", "0x020049", "0x02004a", "0x02004c", "0x02004d", "0x05001a"),
    "0x05001b",
}
"""The codes of e2fsck/problem.h for a wrong checksum or hash."""

CHAIN_BROKEN = "0x02004c"
"""rec_len does not lead to a tail; no checksum can correct that."""

SUPERBLOCK_GIVEN_UP = {"0x000004", "0x000044", "0x000045"}
"""e2fsck continues with a backup, or with corrected counts."""

SMALL = ("-b", "1024", "-N", "32", "-O", "^has_journal,^resize_inode")

MKE2FS: dict[str, tuple[str, tuple[str, ...]]] = {
    "small": ("256k", SMALL),
    "plain": ("8M", ("-b", "1024")),
    "journal": ("8M", ("-b", "1024", "-O", "^dir_index")),
    "4k blocks": ("8M", ()),
    "crc16": ("8M", ("-b", "1024", "-O", "^metadata_csum,uninit_bg")),
    "small inodes": ("8M", ("-I", "128")),
    "block maps": ("8M", ("-O", "^extent,^64bit")),
    "meta_bg": ("20M", ("-b", "1024", "-O", "meta_bg,^resize_inode")),
    "sparse_super2": ("20M", ("-b", "1024", "-O", "sparse_super2")),
    "mmp": ("8M", ("-O", "mmp")),
    "orphan_file": ("8M", ("-O", "orphan_file")),
    "inline_data": ("8M", ("-O", "inline_data", "-I", "512")),
    "ea_inode": ("8M", ("-O", "ea_inode", "-b", "1024")),
    "stored seed": ("8M", ("-O", "metadata_csum_seed")),
    "bigalloc": ("8M", ("-O", "bigalloc", "-C", "16384")),
    "fast_commit": ("8M", ("-b", "1024", "-O", "fast_commit")),
    "casefold": ("8M", ("-O", "casefold")),
    "64k blocks": ("32M", ("-b", "65536")),
    "revision of ext2": ("8M", ("-O", "none")),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """An image of mke2fs of each kind, with a few files and attributes."""
    scratch = tmp_path_factory.mktemp("mke2fs")
    source = scratch / "tree"
    (source / "d").mkdir(parents=True)
    (source / "f").write_bytes(b"x" * 5000)
    (source / "link").symlink_to("a" * 200)
    for name in range(12):
        (source / "d" / f"{name:0120}").write_bytes(b"y")
    commands = ["ea_set f user.block " + "v" * 400, "ea_set d user.small w"]

    @cache
    def make(kind: str) -> bytes:
        size, options = MKE2FS[kind]
        path = scratch / "image"
        path.unlink(missing_ok=True)
        run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", source, *options, path, size])
        if kind != "mmp":  # debugfs leaves its sequence, and e2fsck waits for another one
            change(path, *commands)
        return path.read_bytes()

    return make


def change(image: Path, *requests: str) -> None:
    """Have debugfs write to an image."""
    run(["debugfs", "-w", "-f", "-", image], stdin="\n".join(requests).encode())


def problems(image: bytes | bytearray, path: Path) -> list[str]:
    path.write_bytes(image)
    return e2fsck(path, "-n").problems


@pytest.mark.parametrize("kind", MKE2FS)
def test_all_checksums_are_recomputed(
    kind: str, made: Callable[[str], bytes], tmp_path: Path
) -> None:
    image = made(kind)
    assert reseal(image) == image
    changed = bytearray(image)
    for at in range(16):
        changed[UUID_AT + at] ^= 0x55
    assert problems(reseal(changed), tmp_path / "image") == []


@cache
def ours(features: str, size: str) -> bytes:
    tree = Tree()
    tree.directory("/etc")
    for number in range(60):
        tree.file(f"/etc/{number:0100}", b"z" * number, xattrs={"user.a": b"v" * 300})
    tree.symlink("/link", "t" * 100)
    image = bytearray()
    wanted = f"{DEFAULT_FEATURES},{features}".rstrip(",")
    spec = Spec(features=wanted, block_size=1024, size=size)
    write_image(tree, image, spec)
    return bytes(image)


@pytest.mark.parametrize(
    "features",
    [
        "",
        "orphan_file,mmp,metadata_csum_seed",
        "^metadata_csum,uninit_bg,^metadata_csum_seed",
        "^has_journal,^resize_inode,sparse_super2",
    ],
)
def test_resealing_our_images_changes_nothing(features: str, tmp_path: Path) -> None:
    image = ours(features, "8M")
    assert reseal(image) == image
    changed = bytearray(image)
    changed[UUID_AT] ^= 1
    assert problems(reseal(changed), tmp_path / "image") == []


def test_a_value_after_the_end_of_its_list_is_unchanged(tmp_path: Path) -> None:
    # The end of a list takes four bytes. A value of the maximum size begins right after, at the
    # position of e_value_inum, which is the number of an inode here.
    tree = Tree()
    tree.directory("/d")
    for number in range(3):
        tree.file(f"/d/{number:050}", b"")
    spec = Spec(features=f"{DEFAULT_FEATURES},inline_data,metadata_csum_seed", inode_size=512)
    image = bytearray()
    write_image(tree, image, spec)
    assert reseal(image) == image
    changed = bytearray(image)
    changed[UUID_AT] ^= 1
    assert problems(reseal(changed), tmp_path / "image") == []


def test_resealing_an_image_written_by_the_kernel_changes_nothing(
    made: Callable[[str], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "image"
    path.write_bytes(made("plain"))
    with mounted(path, rw=True) as root:
        for number in range(300):
            (root / f"file with a long name {number:060}").write_bytes(b"k" * number * 10)
        with open(root / "scattered", "wb") as file:
            for place in range(0, 4 << 20, 8192):
                file.seek(place)
                file.write(b"s")
        run(["setfattr", "-n", "user.kernel", "-v", "v" * 500, root / "f"])
    image = path.read_bytes()
    assert reseal(image) == image


@pytest.mark.parametrize("wide", ["64bit", "^64bit"])
@pytest.mark.parametrize("version", ["2", "3"])
def test_a_log_is_sealed(version: str, wide: str, tmp_path: Path) -> None:
    """What is to be replayed is replayed, including the byte that was changed in the log."""
    path, source = tmp_path / "image", tmp_path / "source"
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", wide, path, "8M"])
    content = random.Random(version).randbytes(3072)
    source.write_bytes(content)
    change(
        path,
        f"journal_open -c -v {version}",
        f"journal_write -b 4000,4001,4002 {source}",
        "journal_write -r 4002",
        "journal_close",
    )
    image = bytearray(path.read_bytes())
    assert reseal(image) == image
    at = image.index(content[1024:2048])
    for replayed, make in ((False, bytes), (True, reseal), (True, lambda d: reseal(d, [at]))):
        changed = bytearray(image)
        changed[at] ^= 0xFF
        path.write_bytes(make(changed))
        e2fsck(path, "-y")
        after = path.read_bytes()
        assert (after[4001 * 1024] == content[1024] ^ 0xFF) is replayed


@pytest.mark.damaged
def test_changes_to_logged_blocks_are_sealed_in_the_log(
    made: Callable[[str], bytes], tmp_path: Path
) -> None:
    """A copy of a mounted image, with its last transactions only in the journal."""
    path, copy = tmp_path / "image", tmp_path / "copy"
    path.write_bytes(made("journal"))
    with mounted(path, rw=True) as root:
        for number in range(40):
            (root / f"file with a long name {number:0100}").write_bytes(b"k" * number * 10)
        run(["sync", "-f", root])
        copy.write_bytes(path.read_bytes())
    image = copy.read_bytes()
    assert reseal(image) == image
    tag = b"file with a long name "
    places = [at for at in range(0, len(image), 1024) if tag in image[at : at + 1024]]
    assert len(places) > 1
    uuid = image[UUID_AT : UUID_AT + 16]
    assert image.count(uuid) > 2, "one of them in the log"
    copy.write_bytes(reseal(image.replace(uuid, bytes(range(16)))))
    assert not set(e2fsck(copy, "-y").problems) & CHECKSUMS
    for at in (*places[:2], *places[-2:]):
        # The name of a file, in the log and in its block.
        changed = bytearray(image)
        changed[at + image[at : at + 1024].index(tag)] = ord("F")
        copy.write_bytes(reseal(changed))
        assert not set(e2fsck(copy, "-y").problems) & CHECKSUMS


@pytest.mark.root
@pytest.mark.damaged
@pytest.mark.parametrize("kind", ["csum v3", "old checksum", "data journal"])
def test_resealing_an_image_after_a_crash_changes_nothing(kind: str, tmp_path: Path) -> None:
    image = crashed(tmp_path / "image", *KINDS[kind]).read_bytes()
    assert reseal(image) == image


@pytest.mark.root
@pytest.mark.damaged
def test_fast_commits_are_sealed(tmp_path: Path) -> None:
    """A changed tag is read once it is sealed, and so are all tags after it."""
    image = fast_commits(tmp_path / "image").read_bytes()
    assert reseal(image) == image

    def found(data: bytes | bytearray) -> list[Tag]:
        with open_image(data) as opened:
            journal = Journal(opened)
            return tags(journal, journal.sequence_after(journal.transactions()))

    before = found(image)
    named = next(tag for tag in before if tag.name == "CREAT")
    changed = bytearray(image)
    changed[named.offset + 4 + len(named.value) - 1] ^= 1
    assert len(found(changed)) < len(found(reseal(changed))) == len(before)


@pytest.mark.damaged
def test_a_checksum_that_covers_itself_is_solved_for(tmp_path: Path) -> None:
    """If an index counts more entries than fit, they extend over its checksum."""
    tree, right = Tree(), bytearray()
    for number in range(300):
        tree.file(f"/names/{number:060}", b"", parents=True)
    write_image(tree, right, Spec(block_size=1024, free=0, journal="none"))
    with open_image(bytes(right)) as opened:
        (root,) = [run.physical for run in opened.lookup("/names").runs()][:1]
    limit_at = root * 1024 + DX_ROOT_COUNT_OFFSET
    _, count = struct.unpack_from("<HH", right, limit_at)
    solved = 0
    for limit in range(count):
        image = bytearray(right)
        struct.pack_into("<H", image, limit_at, limit)
        sealed = reseal(image)
        found = problems(sealed, tmp_path / "image")
        is_solved = sealed != image
        assert ("0x020049" in found) is not is_solved
        assert "0x02003d" in found  # e2fsck/problem.h:PR_2_HTREE_BAD_LIMIT
        assert reseal(sealed) == sealed == reseal(image, [limit_at])
        solved += is_solved
    assert solved > 0  # some have no valid solution


MUTATED = ("small", "small inodes", "inline_data", "ea_inode", "orphan_file", "mmp", "meta_bg")


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_no_checksum_is_wrong_after_a_flip(
    made: Callable[[str], bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    image = bytearray(made(data.draw(st.sampled_from(MUTATED))))
    used = [at for at in range(0, len(image), 64) if any(image[at : at + 64])]
    places = st.builds(lambda row, at: row + at, st.sampled_from(used), st.integers(0, 63))
    flips = data.draw(st.lists(st.tuples(places, st.integers(0, 7)), min_size=1, max_size=3))
    for at, bit in flips:
        image[at] ^= 1 << bit
    sealed = reseal(image)
    assert reseal(sealed) == sealed
    assert reseal(image, [at for at, _ in flips]) == sealed
    found = set(problems(sealed, tmp_path_factory.getbasetemp() / "flipped"))
    if not found & SUPERBLOCK_GIVEN_UP:
        wrong = found & CHECKSUMS
        assert not wrong or CHAIN_BROKEN in wrong


def test_sealing_any_bytes_takes_linear_time(made: Callable[[str], bytes]) -> None:
    rng = random.Random(1)
    for turn in range(400):
        image = bytearray(made(rng.choice(MUTATED[:-1]))[: 1 << rng.randrange(10, 24)])
        blocks = len(image) // 1024
        if turn % 2:
            for _ in range(200):
                image[rng.randrange(len(image))] = rng.choice((0, 1, 255, rng.randrange(256)))
            for _ in range(rng.randrange(20)):
                if len(image) >= 2048:
                    image[1024 + rng.randrange(1024)] = rng.choice((0, 1, 255))
        else:
            for block in rng.sample(range(2, blocks), min(20, blocks - 2)) if blocks > 2 else ():
                image[block * 1024 : block * 1024 + 1024] = rng.randbytes(1024)
        before = time.process_time()
        sealed = reseal(image)
        assert time.process_time() - before < 0.2 + len(image) / 1e6
        assert len(sealed) == len(image)
    assert reseal(b"") == b""
    assert reseal(bytes(1 << 20)) == bytes(1024 + 0x3FC) + sealed_zeros() + bytes((1 << 20) - 2048)


def sealed_zeros() -> bytes:
    """The checksum of a superblock of zeros."""
    return reseal(bytes(2048))[-4:]


def test_thousands_of_small_images_are_sealed_in_a_second(made: Callable[[str], bytes]) -> None:
    image = made("small")
    assert len(image) == 256 << 10
    reseal(image)
    before = time.process_time()
    for _ in range(200):
        reseal(image)
    assert time.process_time() - before < 0.2


def test_a_view_is_sealed_in_place(made: Callable[[str], bytes]) -> None:
    buffer = bytearray(made("small"))
    struct.pack_into("<H", buffer, 1024 + 0x36, 77)
    expected = reseal(buffer)
    with memoryview(buffer) as view:
        reseal_into(view, [1024 + 0x36])
    assert buffer == expected
