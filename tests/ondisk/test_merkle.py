"""Trees and digests of fs-verity equal those of fsverity-utils."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from ext4writer import SpecError
from ext4writer.ondisk.merkle import MerkleTree
from tests.judges import tools


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("block_size", [1024, 4096])
@pytest.mark.parametrize("salt", [b"", b"salt", bytes(range(32))], ids=["none", "short", "longest"])
def test_trees_are_those_of_fsverity_utils(
    tmp_path: Path, algorithm: str, block_size: int, salt: bytes
) -> None:
    kind = MerkleTree(algorithm, block_size, salt)
    full = kind.hashes_per_block * block_size
    for size in (0, 1, block_size, block_size + 1, full - 1, full, full + 1, 3 * full + 5):
        data = random.Random(size).randbytes(size)
        file, tree_file, descriptor = (tmp_path / name for name in ("file", "tree", "descriptor"))
        file.write_bytes(data)
        options = [f"--hash-alg={algorithm}", f"--block-size={block_size}"]
        options += [f"--salt={salt.hex()}"] if salt else []
        options += [f"--out-merkle-tree={tree_file}", f"--out-descriptor={descriptor}"]
        done = subprocess.run(
            [tools.require("fsverity"), "digest", "--compact", *options, file],
            capture_output=True,
            text=True,
            check=True,
        )
        step = 16 * block_size
        tree, root = kind.build(data[first : first + step] for first in range(0, size, step))
        assert tree == tree_file.read_bytes()
        assert len(tree) == kind.tree_size(size)
        assert kind.descriptor(size, root) == descriptor.read_bytes()
        assert kind.file_digest(size, root).hex() == done.stdout.strip()


def test_a_signature_follows_the_descriptor_and_is_not_digested() -> None:
    kind = MerkleTree()
    _, root = kind.build([b"data"])
    plain, signed = kind.descriptor(4, root), kind.descriptor(4, root, b"signature")
    assert signed[len(plain) :] == b"signature"
    assert signed != plain + b"signature"  # the descriptor contains its length
    assert kind.file_digest(4, root) == MerkleTree().file_digest(4, root)


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "md5"},
        {"block_size": 512},
        {"block_size": 5000},
        {"block_size": 1 << 17},
        {"salt": bytes(33)},
    ],
)
def test_parameters_unknown_to_fs_verity_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="verity"):
        MerkleTree(**options)  # type: ignore[arg-type]
