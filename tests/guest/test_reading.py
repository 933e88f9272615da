"""What only a guest's kernel writes: folded names, fs-verity, encryption, projects."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from ext4writer import DamageError, NotFoundError
from ext4writer.inspection.check import check_image
from ext4writer.read import open_image
from ext4writer.read.directories import block_kind, blocks
from ext4writer.read.verity import check, verity
from tests.builder.command import run as command
from tests.guest import run_guest
from tests.judges.fsck import problems
from tests.judges.tools import require, run
from tests.judges.watch import Watch

pytestmark = pytest.mark.qemu

FEATURES = "casefold,verity,project,encrypt,stable_inodes,fast_commit,orphan_file,large_dir"

CIPHERS = ("ecb", "xts", "cts", "sha512_generic")
"""Modules that fscrypt needs."""

SCRIPT = """
mount -t ext4 /dev/vda /mnt
mkdir /mnt/fold /mnt/project
chattr +F /mnt/fold
i=0
while [ $i -lt 400 ]; do echo $i > "/mnt/fold/Straße Ünïcode Name $i"; i=$((i+1)); done
echo ascii > /mnt/fold/Hello.TXT
head -c 300000 /dev/urandom > /mnt/checksummed
fsverity enable /mnt/checksummed --salt=0102030405
fsverity measure /mnt/checksummed
head -c 5000 /dev/zero > /mnt/zeros
fsverity enable /mnt/zeros
chattr +P -p 77 /mnt/project
echo x > /mnt/project/file
md5sum /mnt/checksummed /mnt/fold/hello.txt /mnt/zeros
mkdir /mnt/secret /mnt/both
key=$(printf '%064d' 7 | xfs_io -c add_enckey /mnt | sed 's/.*identifier //')
xfs_io -c "set_encpolicy $key" /mnt/secret
xfs_io -c "set_encpolicy $key" /mnt/both
chattr +F /mnt/both
i=0
while [ $i -lt 300 ]; do
    echo $i > /mnt/secret/$i; echo $i > "/mnt/both/Name $i"; i=$((i+1))
done
head -c 9000 /dev/urandom > /mnt/secret/large
ln -s where/it/leads /mnt/secret/link
umount /mnt
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("guest") / "image"
    run([require("mke2fs"), "-q", "-t", "ext4", "-b", "4096", "-O", FEATURES, str(path), "64M"])
    said = run_guest(SCRIPT, [path], programs=["chattr", "fsverity", "xfs_io"], modules=CIPHERS)
    return path, said


def test_folded_names_are_found_through_the_index(image: tuple[Path, str]) -> None:
    path, _ = image
    with open_image(path) as opened:
        folder = opened.lookup("/fold")
        assert "CASEFOLD" in folder.flag_names
        kinds = {block_kind(folder, block).value for block in blocks(folder)}
        assert "dx_root" in kinds
        for number in range(400):
            for name in (f"Straße Ünïcode Name {number}", f"STRASSE ünÏcode NAME {number}"):
                assert opened.open(f"/fold/{name}").read() == b"%d\n" % number
        assert opened.open("/fold/hELLO.txt").read() == b"ascii\n"
        with pytest.raises(NotFoundError):
            opened.lookup("/FOLD")


def test_verity(image: tuple[Path, str]) -> None:
    path, said = image
    with open_image(path) as opened:
        for name in ("/checksummed", "/zeros"):
            assert check(opened.lookup(name)) is not None
        content = opened.open("/checksummed").read()
        assert content is not None and hashlib.md5(content).hexdigest() in said
        found = verity(opened.lookup("/checksummed"))
        assert found is not None and found.tree.salt == bytes([1, 2, 3, 4, 5])
        digest = re.search("sha256:([0-9a-f]{64})", said)
        assert digest and hashlib.sha256(found.descriptor).hexdigest() == digest[1]
        assert verity(opened.lookup("/fold/hello.txt")) is None
        place = next(opened.lookup("/checksummed").runs()).physical * opened.block_size
    data = bytearray(path.read_bytes())
    data[place + 777] ^= 1
    with open_image(bytes(data)) as opened, pytest.raises(DamageError, match="root_hash"):
        check(opened.lookup("/checksummed"))


def test_projects(image: tuple[Path, str]) -> None:
    path, _ = image
    with open_image(path) as opened:
        inode = opened.lookup("/project/file")
        assert inode.projid == 77
        assert "PROJINHERIT" in opened.lookup("/project").flag_names


def test_encrypted_data_is_read_as_stored(
    image: tuple[Path, str], tmp_path: Path, watch: Watch
) -> None:
    path, _ = image
    with open_image(path) as opened:
        secret, both = opened.lookup("/secret"), opened.lookup("/both")
        assert "ENCRYPT" in secret.flag_names and "CASEFOLD" in both.flag_names
        for folder, count in ((secret, 302), (both, 300)):
            found = list(opened.walk(folder))
            assert len(found) == count
            # Padded and encrypted names have at least 16 bytes, of any value.
            assert all(len(each.name) >= 16 for each in found)
            assert len({block_kind(folder, block) for block in blocks(folder)}) > 1
        for each in opened.walk(secret):
            ino = each.inode.ino
            if each.inode.is_symlink:
                assert len(each.inode.target()) == 18  # two bytes of length, and one block of AES
                continue
            dumped = tmp_path / "dumped"
            run([require("debugfs"), "-R", f"dump <{ino}> {dumped}", str(path)])
            assert opened.open(each.inode).read() == dumped.read_bytes()
        result = check_image(opened, data=True)
        assert result.is_clean, [problem.line for problem in result.problems]
    assert not problems(path)
    facts = json.loads(command("stat", path, "/secret", "--json").stdout)
    assert facts[0]["encrypted"].startswith("020104")  # version 2, AES-256-XTS and CTS
    done = command("extract", path, "/secret", "-C", tmp_path / "out")
    assert done.returncode == 0 and "encrypted" in done.stderr
    made = list((tmp_path / "out/secret").iterdir())
    assert 0 < len(made) <= 302


def test_everything_is_read_without_errors(image: tuple[Path, str], watch: Watch) -> None:
    path, _ = image
    with open_image(path) as opened:
        assert sum(1 for _ in opened.walk()) > 400
        assert sum(1 for _ in opened.unit_runs()) > 20
