"""Hash trees, block maps and chunks equal those of other programs."""

from __future__ import annotations

import hashlib
import random
from array import array
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import pytest

import ext4writer
from ext4writer import Layout, SpecError
from ext4writer.spans import Span
from ext4writer.watchers import Bmap, Chunks, DmVerity
from tests.guest.qemu import run_guest
from tests.judges import fsck
from tests.judges.tools import require, run
from tests.makers.layouts import plan_of_noise

MIB = 1 << 20
UUID_OF_TREE = UUID("11111111-2222-3333-4444-555555555555")

# The content of the disks is compared with an image that was judged.
pytestmark = pytest.mark.judged("quick")


@pytest.fixture(scope="module", name="layout")
def _layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return plan_of_noise(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module", name="image")
def _image(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "image"
    ext4writer.write_layout(layout, path)
    return path


def test_the_tree_of_veritysetup(layout: Layout, image: Path, tmp_path: Path) -> None:
    require("veritysetup")
    for salt in (b"", b"\xaa\xbb", bytes(range(256))):
        verity = DmVerity(layout.size_bytes, salt=salt, uuid=UUID_OF_TREE)
        ext4writer.write_layout(layout, tmp_path / "image", watch=verity.update)
        ours = verity.finish()
        theirs = tmp_path / "theirs"
        told = run(
            [
                *("veritysetup", "format", f"--salt={salt.hex() or '-'}"),
                *(f"--uuid={UUID_OF_TREE}", image, theirs),
            ]
        ).stdout
        assert verity.root_hash in told
        assert ours == theirs.read_bytes()
        assert len(ours) == verity.area_size


@pytest.mark.parametrize("name", ["image", "image.qcow2", "stream"])
def test_the_tree_after_the_image(layout: Layout, image: Path, tmp_path: Path, name: str) -> None:
    require("veritysetup")
    verity = DmVerity(layout.size_bytes, salt=b"salt", uuid=UUID_OF_TREE)
    path = tmp_path / name
    digest = hashlib.sha256()
    if name == "stream":
        with path.open("wb") as file:

            class Stream:
                def write(self, data: bytes) -> None:
                    file.write(data)

            ext4writer.write_layout(layout, Stream(), trailer=verity, watch=digest.update)
    else:
        ext4writer.write_layout(layout, path, trailer=verity, watch=digest.update)
    if name == "image.qcow2":
        plain = tmp_path / "plain"
        run(["qemu-img", "convert", "-O", "raw", path, plain])
        path = plain
    size = layout.size_bytes
    assert path.read_bytes()[:size] == image.read_bytes()
    assert digest.hexdigest() == hashlib.sha256(image.read_bytes()).hexdigest()
    run(["veritysetup", "verify", path, path, verity.root_hash, f"--hash-offset={size}"])


@pytest.mark.qemu
def test_a_kernel_opens_the_tree(tmp_path: Path) -> None:
    """It also detects a byte that changed since."""
    require("veritysetup")
    tree, noise = ext4writer.Tree(), random.Random(5).randbytes(3 * MIB)
    tree.file("/noise", noise)
    layout = ext4writer.plan(tree)
    verity = DmVerity(layout.size_bytes, salt=b"salt", uuid=UUID_OF_TREE)
    path = tmp_path / "image"
    ext4writer.write_layout(layout, path, trailer=verity)
    open_it = (
        f"veritysetup open /dev/vda root /dev/vda {verity.root_hash} "
        f"--hash-offset={layout.size_bytes}\n"
    )
    # The guest has no udev.
    script = (
        f"export DM_DISABLE_UDEV=1\n{open_it}"
        "mount -t ext4 -o ro /dev/mapper/root /mnt\n"
        "sha256sum /mnt/noise\n"
        "umount /mnt\nveritysetup close root\n"
        "printf x | dd of=/dev/vda bs=1 seek=1100 conv=notrunc 2>/dev/null\n"
        f"{open_it}"
        "head -c 4096 /dev/mapper/root >/dev/null || echo refused\n"
    )
    told = run_guest(
        script,
        [path],
        programs=["veritysetup"],
        modules=["dm-mod", "dm-verity", "sha256_generic"],
        snapshot=True,
        check=False,
    )
    first, *_, last = told.splitlines()
    assert (first.split()[0], last) == (hashlib.sha256(noise).hexdigest(), "refused")
    assert "data block 0 is corrupted" in told


def test_impossible_hash_options_are_refused() -> None:
    for arguments in ({"salt": bytes(257)}, {"algorithm": "md5"}, {"block_size": 8192}):
        given = {"salt": b"", "uuid": UUID_OF_TREE, **arguments}
        with pytest.raises(SpecError):
            DmVerity(12288, **given)  # type: ignore[arg-type]


def test_the_chunks(layout: Layout, image: Path, tmp_path: Path) -> None:
    data = image.read_bytes()
    for size in (1000, 4096, 3 * MIB, 1 << 40):
        chunks = Chunks(size)
        ext4writer.write_layout(layout, tmp_path / "image", watch=chunks.update)
        found, whole = chunks.finish()
        assert whole == hashlib.sha256(data).hexdigest()
        position = 0
        for chunk in found:
            assert chunk.offset == position
            piece = data[position : position + chunk.size]
            assert chunk.sha256 == hashlib.sha256(piece).hexdigest()
            position += chunk.size
        assert position == len(data)


def test_bmaptool_writes_the_mapped_blocks(layout: Layout, image: Path, tmp_path: Path) -> None:
    require("bmaptool")
    bmap = Bmap(layout.size_bytes, layout.unused)
    ext4writer.write_layout(layout, tmp_path / "image", watch=bmap.update)
    described = tmp_path / "image.bmap"
    described.write_bytes(bmap.finish())
    assert b"<MappedBlocksCount>" in described.read_bytes()
    target = tmp_path / "target"
    run(["bmaptool", "copy", "--bmap", described, image, target])
    assert target.read_bytes() == image.read_bytes()
    # bmaptool empties a file; a used card keeps the bytes that do not matter.
    wanted = image.read_bytes()
    card = bytearray(b"\xaa" * len(wanted))
    for each in ElementTree.parse(described).iter("Range"):
        first, _, last = (each.text or "").strip().partition("-")
        low, high = 4096 * int(first), 4096 * (int(last or first) + 1)
        card[low:high] = wanted[low:high]
        assert each.get("chksum") == hashlib.sha256(wanted[low:high]).hexdigest()
    assert card != wanted
    target.write_bytes(card)
    fsck.assert_clean(target)


def watchers_of(size: int) -> tuple[DmVerity, Bmap, Chunks]:
    verity = DmVerity(size, salt=b"", uuid=UUID_OF_TREE)
    return verity, Bmap(size, [Span(4096, 8192)]), Chunks(5000)


def test_watchers_see_bytes_however_they_are_counted() -> None:
    words = array("I", range(4096))
    for plain, other in zip(watchers_of(16384), watchers_of(16384), strict=True):
        plain.update(words.tobytes())
        for piece in (words[:100], array("I"), memoryview(words)[100:]):
            other.update(piece)
        assert plain.finish() == other.finish()
        with pytest.raises(SpecError, match="data: .*gaps"):
            other.update(memoryview(b"abcdef")[::2])


@pytest.mark.parametrize("passed", [0, 4096, 20480])
def test_digests_of_the_wrong_number_of_bytes_are_refused(passed: int) -> None:
    verity, bmap, _ = watchers_of(16384)
    verity.update(bytes(passed))
    bmap.update(bytes(passed))
    for digest in (verity.finish, bmap.finish, verity.facts, lambda: verity.root_hash):
        with pytest.raises(SpecError, match=f"size: is 16384, but {passed} bytes were passed"):
            digest()


@pytest.mark.parametrize("size", [0, -4096])
def test_images_of_no_size(size: int) -> None:
    with pytest.raises(SpecError, match="is not positive"):
        DmVerity(size, salt=b"", uuid=UUID_OF_TREE)
    with pytest.raises(SpecError, match="is negative"):
        Bmap(-1, [])
