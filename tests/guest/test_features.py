"""Features that only a guest's kernel supports, in images of ours: all of them in one boot."""

from __future__ import annotations

import hashlib
import hmac
import random
import re
from pathlib import Path
from typing import NamedTuple

import pytest

import ext4writer
from ext4writer import NotFoundError, Spec, Tree
from ext4writer.inspection.check import check_image
from ext4writer.inspection.show import explain, units_of_inode
from ext4writer.ondisk.units import UnitKind
from ext4writer.read import open_image
from ext4writer.read.verity import verity
from tests.guest import run_guest
from tests.judges.fsck import judge
from tests.judges.tools import require, run
from tests.planning.test_quota import used

pytestmark = pytest.mark.qemu

FOLDED = [f"Straße Ünïcode Name {number}" for number in range(400)]
OTHER_CASE = [f"STRASSE ünÏcode NAME {number}" for number in range(400)]

FOLDING = """
mount -t ext4 /dev/vda /mnt
while read -r name; do [ -s "/mnt/fold/$name" ]; done < /other-case
[ "$(cat "/mnt/fold/STRASSE ünÏcode NAME 399")" = found ]
while read -r name; do [ -e "/mnt/fold/$name" ]; done < /names
[ "$(cat /mnt/fold/sub/HELLO.txt)" = hello ]
[ ! -e /mnt/FOLD ]
[ ! -e /mnt/exact/HELLO.txt ]
echo changed > "/mnt/fold/STRASSE ünïcode name 7"
i=0
while [ $i -lt 150 ]; do echo new > "/mnt/fold/Neu Äö $i"; i=$((i+1)); done
rm "/mnt/fold/strasse ÜNÏCODE name 8" /mnt/fold/sub/hello.TXT
mkdir /mnt/fold/Made
lsattr -d /mnt/fold/made
umount /mnt
mount -t ext4 /dev/vdb /mnt
[ "$(cat /mnt/strict/hello.txt)" = hello ]
if touch "/mnt/strict/$(printf '\\377')" 2>/dev/null; then exit 9; fi
touch "/mnt/$(printf '\\377')"
umount /mnt
"""


VERITY = """
mkdir -p /etc
keyctl padd asymmetric '' %keyring:.fs-verity < /certificate
mount -t ext4 /dev/vdc /mnt
for file in signed zeros empty large; do fsverity measure /mnt/$file; done
md5sum /mnt/large
cat /mnt/signed > /dev/null
if echo more >> /mnt/large 2>/dev/null; then exit 8; fi
fsverity enable /mnt/plain
rm /mnt/zeros
if cat /mnt/forged 2>/dev/null; then exit 5; fi
echo 1 > /proc/sys/fs/verity/require_signatures
umount /mnt
mount -t ext4 /dev/vdc /mnt
cat /mnt/signed | wc -c
if cat /mnt/large 2>/dev/null; then exit 4; fi
echo 0 > /proc/sys/fs/verity/require_signatures
umount /mnt
mount -t ext4 -o ro /dev/vdd /mnt
fsverity measure /mnt/large
dd if=/mnt/large of=/dev/null bs=4096 count=1 skip=300
if cat /mnt/large > /dev/null 2>/err; then exit 7; fi
cat /err
umount /mnt
"""


ENCRYPTION = """
mount -t ext4 /dev/vde /mnt
xfs_io -r -c get_encpolicy /mnt/secret
xfs_io -r -c get_encpolicy /mnt/locked
if touch /mnt/secret/early 2>/dev/null; then exit 6; fi
xfs_io -r -c add_enckey /mnt < /key
mkdir /mnt/secret/folder
head -c 70000 /dev/zero > /mnt/secret/folder/content
i=0
while [ $i -lt 60 ]; do echo $i > "/mnt/secret/a name that is not so short $i"; i=$((i+1)); done
while [ $i -lt 400 ]; do echo $i > "/mnt/both/Name Ünd $i"; i=$((i+1)); done
[ "$(cat /mnt/plain)" = plain ]
cat /mnt/secret/folder/content | wc -c
umount /mnt
mount -t ext4 /dev/vde /mnt
ls /mnt/secret | wc -l
xfs_io -r -c add_enckey /mnt < /key
[ "$(cat "/mnt/secret/a name that is not so short 7")" = 7 ]
i=60
while [ $i -lt 400 ]; do
    read -r found < "/mnt/both/NAME üND $i"
    [ "$found" = $i ]
    i=$((i+1))
done
[ ! -e "/mnt/both/Name Ünd 400" ]
umount /mnt
"""


INSIDE = """
mount -t ext4 /dev/vdf /mnt
[ "$(cat /mnt/fold/HELLO.txt)" = hello ]
i=0
while [ $i -lt 40 ]; do echo $i > "/mnt/fold/New $i"; i=$((i+1)); done
[ "$(cat "/mnt/fold/nEW 17")" = 17 ]
mkdir /mnt/fold/Inner
touch "/mnt/fold/inner/One Name"
getfattr --only-values -n user.large /mnt/first | md5sum
chown 5:6 /mnt/first
setfattr -n user.large -v small /mnt/second
rm /mnt/third
echo more >> /mnt/small
setfattr -n user.note -v "$(seq 1 60)" /mnt/tiny
umount /mnt
"""


PROJECTS = """
mount -t ext4 -o prjquota /dev/vdg /mnt
head -c 100000 /dev/zero > /mnt/mine/new
mkdir /mnt/mine/folder
head -c 50000 /dev/zero > /mnt/mine/folder/below
head -c 30000 /dev/zero > /mnt/others/new
lsattr -p /mnt/mine/new /mnt/others/new
lsattr -p -d /mnt/mine/folder /mnt/mine/folder/below
if ln /mnt/others/new /mnt/mine/link 2>/dev/null; then exit 3; fi
if su member -c "head -c 900000 /dev/zero > /mnt/mine/much" 2>/dev/null; then exit 2; fi
umount /mnt
"""


class Guest(NamedTuple):
    """The images after the guest used them."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    """Everything that the tests of this module need, from one boot."""
    require("qemu-system-x86_64")
    folder = tmp_path_factory.mktemp("guest")
    large = random.Random(5).randbytes(2_000_000)
    drives = [
        _folding(folder / "folding"),
        _strict(folder / "strict"),
        _verified(folder / "verified", large),
        _corrupted(folder / "verified", folder / "corrupted"),
        _encrypted(folder / "encrypted"),
        _inside(folder / "inside"),
        _projects(folder / "projects"),
    ]
    said = run_guest(
        FOLDING + VERITY + ENCRYPTION + INSIDE + PROJECTS,
        drives,
        programs=["lsattr", "fsverity", "keyctl", "xfs_io", "getfattr", "setfattr"],
        modules=["ecb", "xts", "cts", "sha512_generic"],
        files={
            "/certificate": (folder / "certificate").read_bytes(),
            "/etc/passwd": b"member:x:5000:5000::/:/bin/sh\n",
            "/key": KEY,
            "/names": "".join(f"{name}\n" for name in FOLDED).encode(),
            "/other-case": "".join(f"{name}\n" for name in OTHER_CASE).encode(),
        },
    )
    return Guest(folder, said)


def _written(tree: Tree, image: Path, spec: Spec) -> Path:
    ext4writer.write_image(tree, image, spec)
    judge(image, "quick")
    return image


def _folding(image: Path) -> Path:
    tree = Tree()
    tree.directory("fold", flags="casefold")
    for name in FOLDED:
        tree.file(f"fold/{name}", b"found\n")
    tree.directory("fold/sub", flags="casefold")
    tree.directory("exact")
    for folder in ("fold/sub", "exact"):
        tree.file(f"{folder}/Hello.TXT", b"hello\n")
    return _written(tree, image, Spec(encoding="utf8", block_size=1024))


def _strict(image: Path) -> Path:
    tree = Tree()
    tree.directory("strict", flags="casefold")
    tree.file("strict/Hello.TXT", b"hello\n")
    spec = Spec(encoding="utf8-12.1", encoding_flags="strict", hash_alg="tea_unsigned")
    return _written(tree, image, spec)


def _verified(image: Path, large: bytes) -> Path:
    tree = Tree()
    tree.file("plain", b"p" * 10_000)
    tree.file("signed", b"s" * 100_000, flags="verity")
    tree.file("zeros", bytes(1 << 20), flags="verity")
    tree.file("empty", b"", flags="verity")
    tree.file("large", large, flags="verity")
    tree.file("forged", b"f" * 50_000, flags="verity")
    signature = _signature(image.parent, b"s" * 100_000, "c0ffee")
    signatures = {"signed": signature, "forged": signature}
    spec = Spec(features="verity", verity_salt="c0ffee", verity_signatures=signatures)
    return _written(tree, image, spec)


def _signature(folder: Path, content: bytes, salt: str) -> bytes:
    """Sign ``content`` for fs-verity with a new key; leave its certificate in ``folder``."""
    key, pem, file, signature = (folder / name for name in ("key", "pem", "file", "signature"))
    run(
        [
            *("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-x509"),
            *("-out", pem, "-subj", "/CN=test"),
        ]
    )
    run(["openssl", "x509", "-in", pem, "-out", folder / "certificate", "-outform", "der"])
    file.write_bytes(content)
    run(["fsverity", "sign", file, signature, f"--key={key}", f"--cert={pem}", f"--salt={salt}"])
    return signature.read_bytes()


def _corrupted(verified: Path, image: Path) -> Path:
    """The same image with one bit of the file's content flipped."""
    data = bytearray(verified.read_bytes())
    with open_image(bytes(data)) as opened:
        [run, *_] = opened.lookup("/large").runs()
    data[(run.physical + 201) * 4096 + 99] ^= 4
    image.write_bytes(data)
    return image


KEY = bytes(range(64))


def _key_identifier(key: bytes) -> str:
    """The kernel's identifier of a master key: HKDF-SHA512 (fs/crypto/hkdf.c) of the key."""
    extracted = hmac.digest(bytes(64), key, "sha512")
    return hmac.digest(extracted, b"fscrypt\0\1\1", "sha512")[:16].hex()


def _encrypted(image: Path) -> Path:
    tree = Tree()
    tree.directory("secret")
    tree.directory("both", flags="casefold")
    tree.directory("locked")
    tree.file("plain", b"plain\n")
    policies = {
        "secret": _key_identifier(KEY),
        "both": f"{_key_identifier(KEY)},padding=16",
        "locked": f"{'ab' * 16},iv-ino-lblk-64",
    }
    return _written(
        tree, image, Spec(features="casefold,stable_inodes", encryption_policies=policies)
    )


LARGE = random.Random(6).randbytes(50_000)


def _inside(image: Path) -> Path:
    """Names, content and values in inodes, counted by quotas, which this kernel enforces."""
    tree = Tree()
    tree.directory("fold", flags="casefold", uid=3)
    tree.file("fold/Hello.TXT", b"hello\n")
    for number, name in enumerate(("first", "second", "third")):
        tree.file(name, b"", uid=number, gid=number, xattrs={b"user.large": LARGE})
    tree.file("small", b"s" * 70, uid=1)
    tree.file("tiny", b"t" * 120, uid=2)
    tree.symlink("link", b"l" * 100, uid=2)
    features = "inline_data,ea_inode,casefold,quota,project"
    return _written(tree, image, Spec(features=features))


def _projects(image: Path) -> Path:
    """A directory whose new files inherit its project, with a limit, and one without a project."""
    tree = Tree()
    tree.directory("mine", mode=0o777, project=77, flags="projinherit")
    tree.file("mine/old", b"o" * 10_000, project=77)
    tree.directory("others", project=88)
    spec = Spec(features="quota,project", quota_limits="project:77::800K:0:0", free="9M")
    return _written(tree, image, spec)


def _assert_right(image: Path) -> None:
    judge(image, "quick")
    with open_image(image) as opened:
        assert not check_image(opened).problems


def test_the_kernel_finds_names_in_another_case(guest: Guest) -> None:
    for name in ("folding", "strict"):
        _assert_right(guest.folder / name)
    with open_image(guest.folder / "folding") as opened:
        assert opened.open("/fold/Straße Ünïcode Name 7").read() == b"changed\n"
        assert opened.open("/fold/neu äÖ 149").read() == b"new\n"
        assert "CASEFOLD" in opened.lookup("/fold/made").flag_names
    assert re.search(r"F.* /mnt/fold/made", guest.said)


def test_the_kernel_verifies_files(guest: Guest) -> None:
    _assert_right(guest.folder / "verified")
    digests = dict(re.findall(r"(sha256:[0-9a-f]{64}) /mnt/(\w+)", guest.said))
    with open_image(guest.folder / "verified") as opened:
        for name in ("signed", "empty", "large"):
            said = verity(opened.lookup(f"/{name}"))
            assert said is not None
            digest = said.tree.file_digest(said.size, said.root_hash).hex()
            assert digests[f"sha256:{digest}"] == name
        content = opened.open("/large").read()
    assert hashlib.md5(content).hexdigest() in guest.said
    assert len(digests) == 4
    # Where signatures are required, the kernel reads only signed files.
    assert "\n100000\n" in guest.said
    # The kernel detects the flipped bit when it reads that block.
    assert re.search("cat:.*Input/output error|cat:.*I/O error", guest.said)


def test_the_kernel_encrypts_in_empty_directories(guest: Guest) -> None:
    _assert_right(guest.folder / "encrypted")
    for line in (
        f"Master key identifier: {_key_identifier(KEY)}",
        f"Master key identifier: {'ab' * 16}",
        "Policy version: 2",
        "70000",
        "61",
    ):
        assert line in guest.said
    with open_image(guest.folder / "encrypted") as opened:
        assert len([*opened.entries(opened.lookup("/secret"))]) > 60
        both = opened.lookup("/both")
        assert {"ENCRYPT", "CASEFOLD", "INDEX"} <= set(both.flag_names)
        [root] = units_of_inode(both, UnitKind.DX_ROOT)
        hashed = {row.name: row.means for row in explain(opened, root)}
        assert hashed["dx_root.hash_version"] == "siphash"
        assert len([*opened.entries(both)]) == 342
        assert opened.open("/plain").read() == b"plain\n"


def test_the_kernel_counts_content_in_inodes(guest: Guest) -> None:
    _assert_right(guest.folder / "inside")
    assert hashlib.md5(LARGE).hexdigest() in guest.said
    with open_image(guest.folder / "inside") as opened:
        assert opened.open("/fold/new 39").read() == b"39\n"
        assert opened.lookup("/fold/Inner").has_inline_data
        assert opened.open("/small").read() == b"s" * 70 + b"more\n"
        assert opened.lookup("/small").has_inline_data
        assert opened.lookup("/first").xattrs() == {b"user.large": LARGE}
        assert opened.lookup("/second").xattrs() == {b"user.large": b"small"}
        assert len(opened.lookup("/tiny").xattrs()[b"user.note"]) == 170


def test_files_inherit_the_project_of_their_directory(guest: Guest) -> None:
    image = guest.folder / "projects"
    _assert_right(image)
    rows = re.findall(r"^ +(\d+) \S+ /mnt/((?:mine|others)/\S+)", guest.said, re.MULTILINE)
    told = {name: project for project, name in rows}
    assert told == {
        "mine/new": "77",
        "mine/folder": "77",
        "mine/folder/below": "77",
        "others/new": "0",
    }
    # With "mine", "old", "folder", "below", "new" and the part of "much" that the limit allows.
    blocks, _, hard, inodes = used(image, "project")[77][:4]
    assert (hard, inodes) == (800, 6)
    assert 790 << 10 < blocks <= 800 << 10
    assert used(image, "project")[88][3] == 1
    with open_image(image) as opened, pytest.raises(NotFoundError):
        opened.lookup("/mine/link")
