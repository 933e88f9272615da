"""Empty directories with an fscrypt policy. In tests/guest, a guest's kernel uses some."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

import ext4writer
from ext4writer import Override, RandomPolicy, Spec, SpecError, Tree, TreeError, sources
from ext4writer.inspection.check import check_opened
from ext4writer.ondisk.encryption import FSCRYPT_CONTEXT_V2
from ext4writer.read import open_image
from ext4writer.read.xattrs import encryption_context
from tests.builder.command import run as command
from tests.judges import debugfs
from tests.judges.fsck import judge, problems

KEY = "00112233445566778899aabbccddeeff"


def sample() -> Tree:
    tree = Tree()
    tree.directory("people/one", parents=True, xattrs={b"user.note": b"n" * 20})
    tree.directory("people/two", flags="nodump")
    tree.file("plain", b"plain")
    return tree


@pytest.mark.judged("quick")
@pytest.mark.parametrize(
    "spec",
    [
        Spec(),
        Spec(inode_size=128, block_size=1024),
        Spec(features="inline_data,quota,casefold", policy=RandomPolicy(8), inode_size=512),
        Spec(features="^metadata_csum,uninit_bg", type="ext3"),
    ],
)
def test_directories_have_contexts(spec: Spec, tmp_path: Path) -> None:
    policies = {
        "people/one": KEY,
        b"/people/two/": f"{KEY.upper()},contents=Adiantum,filenames=adiantum,padding=4,direct-key",
    }
    options = {name: getattr(spec, name) for name in ("inode_size", "block_size", "type", "policy")}
    spec = Spec(features=spec.features, encryption_policies=policies, **options)  # type: ignore[arg-type]
    image = tmp_path / "image"
    layout = ext4writer.write_image(sample(), image, spec)
    judge(image, "quick")
    assert "encrypt" in layout.features and layout.available_bytes >= spec.fitted_free
    nonces = set()
    with open_image(image) as opened:
        assert not check_opened(opened, [], data=True).problems
        for name, contents, flags in (("one", 1, 3), ("two", 9, 4)):
            inode = opened.lookup(f"/people/{name}")
            assert "ENCRYPT" in inode.flag_names and not inode.has_inline_data
            context = encryption_context(inode)
            assert context is not None and len(context) == FSCRYPT_CONTEXT_V2.size
            found = FSCRYPT_CONTEXT_V2.parse(context)
            assert (found["version"], found["contents_encryption_mode"]) == (2, contents)
            assert found["flags"] == flags
            assert found["master_key_identifier"] == bytes.fromhex(KEY)
            nonces.add(found["nonce"])
        assert opened.lookup("/people/one").xattrs() == {b"user.note": b"n" * 20}
        assert "NODUMP" in opened.lookup("/people/two").flag_names
        assert opened.open("/plain").read() == b"plain"
    assert len(nonces) == 2
    again = bytearray()
    ext4writer.write_image(sample(), again, spec)
    assert again == image.read_bytes()


def test_nonces_follow_from_the_uuid_and_the_path() -> None:
    def context(**options: object) -> bytes | None:
        data = bytearray()
        spec = Spec(encryption_policies={"people/one": KEY}, **options)  # type: ignore[arg-type]
        ext4writer.write_image(sample(), data, spec)
        with open_image(bytes(data)) as opened:
            return encryption_context(opened.lookup("/people/one"))

    tree, policies = sample(), {"people/one": KEY}
    uuids = {ext4writer.plan(tree, Spec(encryption_policies=policies)).uuid}
    uuids.add(ext4writer.plan(tree, Spec(features="encrypt")).uuid)
    assert len(uuids) == 2
    assert context() == context() != context(uuid="12345678-1234-5678-1234-567812345678")


@pytest.mark.judged("quick")
def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "source/vault").mkdir(parents=True)
    image = tmp_path / "image"
    done = command(
        *("build", tmp_path / "source", "-o", image, "--encrypt-policy", f"vault={KEY},padding=16")
    )
    assert not done.returncode, done.stderr
    judge(image, "quick")
    said = debugfs.superblock(image)
    assert "encrypt" in said["Filesystem features"]
    assert KEY in command("stat", image, "/vault", "--json").stdout
    shown = command("show", image, "superblock").stdout
    assert re.search(r"s_encrypt_algos.*01040000", shown)
    shown = command("show", image, "/vault").stdout
    assert re.search(r"fscrypt_context_v2.contents_encryption_mode +1 +AES-256-XTS", shown)
    assert re.search(rf"fscrypt_context_v2.master_key_identifier +{KEY}", shown)
    tree = sources.image(image)
    assert [loss.what for loss in tree.losses] == ["the inode flags encrypt are not kept"]
    done = command(
        "build", tmp_path / "source", "-o", tmp_path / "no", "--encrypt-policy", "vault=short"
    )
    assert done.returncode and "32 hexadecimal digits" in done.stderr


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("/", KEY, "^/: cannot be encrypted"),
        ("lost+found", KEY, "cannot be encrypted"),
        ("people", KEY, "^/people: has an encryption policy but is not empty"),
        ("plain", KEY, "is not a directory"),
        ("none", KEY, "^/none: has an encryption policy but is not in the tree"),
        ("people/one", f"{KEY},iv-ino-lblk-32", "needs the feature stable_inodes"),
    ],
)
def test_directories_that_cannot_be_encrypted_are_refused(
    path: str, text: str, problem: str
) -> None:
    with pytest.raises(TreeError, match=problem):
        ext4writer.plan(sample(), Spec(encryption_policies={path: text}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY[:-1],
        f"{KEY},contents=AES-256-CTS",
        f"{KEY},contents=Adiantum",
        f"{KEY},padding=5",
        f"{KEY},direct-key",
        f"{KEY},iv-ino-lblk-64,iv-ino-lblk-32",
        f"{KEY},contents=Adiantum,filenames=Adiantum,iv-ino-lblk-64",
        f"{KEY},compressed",
    ],
)
def test_policies_that_linux_refuses(text: str) -> None:
    with pytest.raises(SpecError, match="^encryption_policies: "):
        Spec(encryption_policies={"a": text})


def test_an_encryption_context_among_attributes_is_refused() -> None:
    tree = sample()
    tree["people/two"].xattrs = {b"\0encryption.c": bytes(40)}
    with pytest.raises(TreeError, match="^/people/two: attribute"):
        ext4writer.plan(tree, Spec(features="encrypt"))


@pytest.mark.damaged
@pytest.mark.parametrize(
    ("damage", "code", "number"),
    [
        ("flag", "PR_1_MISSING_ENCRYPTION_XATTR", "0x01008a"),
        ("version", "PR_1_CORRUPT_ENCRYPTION_XATTR", "0x01008b"),
        ("short", "PR_2_BAD_ENCRYPTED_NAME", "0x020050"),
        ("a name of a plain file", "PR_2_UNENCRYPTED_FILE", "0x020051"),
    ],
)
def test_the_check_agrees_with_e2fsck(damage: str, code: str, number: str, tmp_path: Path) -> None:
    tree = Tree()
    tree.directory("vault")
    tree.file("full/name", b"x", parents=True)
    image = tmp_path / "image"
    spec = Spec(features="^metadata_csum", encryption_policies={"vault": KEY})
    overrides = [Override.parse("inode[/full].i_flags=0x80800")] if damage == "flag" else []
    ext4writer.write_image(tree, image, spec, overrides=overrides)
    data = bytearray(image.read_bytes())
    with open_image(bytes(data)) as opened:
        context = encryption_context(opened.lookup("/vault"))
        ino = opened.lookup("/full/name").ino
        [run] = opened.lookup("/vault").runs()
    assert context is not None
    if damage == "version":
        data[data.index(context)] = 1
    elif damage != "flag":
        name = damage.encode()
        entry = struct.pack("<IHBB", ino, 4096 - 24, len(name), 1) + name
        data[run.physical * 4096 + 16 : run.physical * 4096 + 18] = struct.pack("<H", 12)
        data[run.physical * 4096 + 24 : run.physical * 4096 + 24 + len(entry)] = entry
    image.write_bytes(data)
    with open_image(image) as opened:
        assert code in {problem.code for problem in check_opened(opened, []).problems}
    assert number in problems(image)
