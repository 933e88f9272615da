"""U-Boot reads images of ours. It verifies no checksums, so this tests only the layout."""

from __future__ import annotations

import pytest

from ext4writer import BytesContent, FeatureSet, RegularFile, Spec, Tree, policy
from ext4writer.ondisk.features import DEFAULT_FEATURES
from tests.conftest import MakeImage

from .u_boot import u_boot

pytestmark = pytest.mark.qemu

WHERE = "virtio 0"
KERNEL = bytes(range(1, 251)) * 9000
FILES = {
    "/boot/kernel": KERNEL,
    "/boot/again": KERNEL,
    "/fast": KERNEL,
    "/slow": KERNEL,
    "/absolute": KERNEL,
    "/boot/holes": b"first" + bytes(3_000_000) + b"last",
    "/boot/zeros": bytes(2_000_000),
    "/boot/two words": b"x",
    "/many/name-0000": b"0",
    "/many/name-1999": b"1999",
}


def sample() -> Tree:
    tree = Tree()
    tree.directory("/boot")
    tree.file("/boot/kernel", KERNEL, xattrs={b"user.note": b"n" * 300})
    tree.link("/boot/again", "/boot/kernel")
    tree.symlink("/fast", "boot/kernel")
    tree.symlink("/slow", "boot/" + "./" * 60 + "kernel")
    tree.symlink("/absolute", "/boot/kernel")
    for path in ("/boot/holes", "/boot/zeros", "/boot/two words"):
        tree.file(path, FILES[path])
    many = tree.directory("/many")
    for number in range(2000):
        many.children[b"name-%04d" % number] = RegularFile(BytesContent(b"%d" % number))
    return tree


@pytest.mark.judged("quick")
@pytest.mark.parametrize(
    "spec",
    [
        Spec(),
        Spec(block_size=1024),
        Spec(block_size=2048, inode_size=128),
        Spec(features=FeatureSet.parse("^64bit,metadata_csum_seed", base=DEFAULT_FEATURES)),
        Spec(policy=policy("random:3")),
    ],
    ids=["default", "1k blocks", "2k blocks, small inodes", "32 bits", "random layout"],
)
def test_u_boot_reads_everything(make_image: MakeImage, spec: Spec) -> None:
    image = make_image(sample(), spec)
    with u_boot([image]) as loader:
        boot = loader.listing(WHERE, "/boot")
        assert boot == {
            **dict.fromkeys((".", "..")),
            **{name: len(FILES[f"/boot/{name}"]) for name in boot if not name.startswith(".")},
        }
        assert {"kernel", "again", "holes", "zeros", "two words"} <= boot.keys()
        assert len(loader.listing(WHERE, "/many")) == 2002
        for path, data in FILES.items():
            loader.assert_reads(WHERE, path, data)
