"""Any field of any image is changed by name, with right, stale or wrong checksums."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import (
    DEFAULT_FEATURES,
    DamageError,
    ImageError,
    Override,
    OverrideError,
    Spec,
    SpecError,
    Tree,
    write_image,
)
from ext4writer.damage import patch, patch_image, reseal
from ext4writer.damage.bases import BASES, BY_NAME
from ext4writer.damage.locate import Locator
from ext4writer.damage.override import OPERATORS
from ext4writer.inspection.check import check_opened
from ext4writer.read import open_image
from ext4writer.read.verity import verity as read_verity
from ext4writer.read.xattrs import encryption_context
from tests.builder.command import run as command
from tests.judges.fsck import e2fsck
from tests.judges.tools import run

pytestmark = pytest.mark.damaged


@cache
def image(features: str = "") -> bytes:
    tree = Tree()
    tree.directory("/etc")
    tree.file("/etc/passwd", b"root\n", xattrs={"user.note": b"inside"})
    tree.file("/other", b"o" * 3000, xattrs={"user.big": b"v" * 400})
    tree.file("/a][b", b"")
    for name in range(60):
        tree.file(f"/etc/{name:090}", b"")
    data = bytearray()
    wanted = f"{DEFAULT_FEATURES}{features}"
    write_image(tree, data, Spec(features=wanted, block_size=1024, size="8M"))
    return bytes(data)


def value(data: bytes, text: str) -> int | bytes | list[int]:
    """The value of a field as ``patch`` passes it to a function."""
    seen: list[int | bytes] = []

    def look(old: int | bytes) -> int | bytes:
        seen.append(old)
        return old

    named = Override.parse(f"{text}=0")
    patch(data, [Override(named.record, named.index, named.field, look)])
    return seen[-1]


def problems(data: bytes, path: Path) -> list[str]:
    path.write_bytes(data)
    return e2fsck(path, "-n").problems


SIZE = "inode[/other].i_size"


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ("inode[/other].i_size_lo=0xffffffff", "i_size_lo", 0xFFFFFFFF),
        ("inode[/other].i_size_lo+=1", "i_size_lo", 3001),
        ("inode[/other].i_size_lo-=3001", "i_size_lo", 0xFFFFFFFF),
        ("inode[/other].i_size_lo^=1", "i_size_lo", 3001),
        ("inode[/other].i_size_lo|=1", "i_size_lo", 3001),
        ("inode[/other].i_size_lo&=0xff", "i_size_lo", 3000 & 0xFF),
        ("inode[/other].i_size_lo=zeroes", "i_size_lo", 0),
        ("inode[/other].i_size_lo=ones", "i_size_lo", 0xFFFFFFFF),
        ("inode[/other].i_size_lo=firstbit", "i_size_lo", 3000 | 1 << 31),
        ("inode[/other].i_size_lo=middlebit", "i_size_lo", 3000 ^ 1 << 16),
        ("inode[/other].i_size_lo=lastbit", "i_size_lo", 3001),
        ("inode[/other].i_size_lo=add", "i_size_lo", 5017),
        ("inode[/other].i_size_lo=sub", "i_size_lo", 983),
        ("inode[/other].i_size_lo=blocksize-1", "i_size_lo", 1023),
        ("inode[/other].i_size=limit+1", "i_size", 1 << 42),
        ("inode[/other].i_size=sign", "i_size", 1 << 63),
        ("inode[/other].i_flags|=name:INDEX", "i_flags", 0x80000 | 0x1000),
        ("inode[/other].i_block[0]=7", "i_block[0]", 7),
        ("inode[/other].i_file_acl_lo=superblock", "i_file_acl_lo", 1),
        ("inode[/other].i_file_acl_lo=limit", "i_file_acl_lo", 8191),
        ("extent[/other][0].ee_len=limit", "ee_len", 8192),
        ("dir_entry_2[/etc][passwd].inode=itself", "inode", None),
        ("dir_entry_2[/etc][..].inode=journal", "inode", None),
        ("dir_entry_2[/etc][passwd].rec_len=0", "rec_len", 0),
        ("superblock.s_feature_incompat^=name:inline_data", "s_feature_incompat", None),
        ("bytes[0x438:2]=hex:0102", "", b"\x01\x02"),
        ("bytes[/other][7]=text:x", "", b"x"),
    ],
)
def test_a_value_is_what_the_grammar_says(
    change: str, field: str, expected: int | bytes | None
) -> None:
    before = image()
    named = Override.parse(change)
    after = patch(before, [change])
    assert after != before
    if expected is None:
        return
    place = f"{named.record}[{named.index}]" + (f".{named.field}" if named.field else "")
    if "rec_len" in change or "inode=" in change or "flags" in change or "0x438" in change:
        return  # its object is no longer found through it
    assert value(after, place) == expected
    assert field in place


def test_an_override_addresses_the_right_bytes() -> None:
    with open_image(image()) as opened:
        etc = opened.lookup("/etc").ino
        other = next(opened.lookup("/other").runs()).physical
        table = opened.descriptor(0)["bg_inode_table"]

    def told(change: str) -> int:
        override = Override.parse(change)
        found: list[int] = []
        with open_image(image()) as opened:
            place = Locator(opened, len(image())).find(override)
            found.append(place.changed(opened, bytearray(image())))  # type: ignore[arg-type]
        return found[0]

    assert told("dir_entry_2[/etc][passwd].inode=itself") == etc
    assert told("dir_entry_2[/etc][passwd].inode=parent") == 2
    assert told("extent[/other][0].ee_start_lo=neighbour") == other + 1
    assert told("extent[/etc][0].ee_start_lo=parent") != other
    assert told("inode[/other].i_file_acl_lo=inode_table") == table
    assert told("dx_root[/etc].block=itself") == 0
    assert told("dx_root[/etc].limit=limit+1") == 124
    assert told("inode[/other].i_uid=random:7") == told("inode[/etc].i_uid=random:7")
    assert told("inode[/other].i_uid=random:7") != told("inode[/etc].i_uid=random:8")


def test_both_forms_of_an_index_name_the_same() -> None:
    for one, other in (
        ("dir_entry_2[/etc/passwd].inode=9", "dir_entry_2[/etc][passwd].inode=9"),
        ("extent[/other:0:0].ee_len=9", "extent[/other][0][0].ee_len=9"),
        ("extent[/other:0:0].ee_len=9", "extent[/other][0].ee_len=9"),
        ("xattr_entry[/other:user.big].e_hash=9", "xattr_entry[/other][user.big].e_hash=9"),
        ("xattr_entry[/other:user.big].e_hash=9", "xattr_entry[/other][#0].e_hash=9"),
        ("dir_entry_2[/etc/.].inode=9", "dir_entry_2[/etc][#0].inode=9"),
        ("superblock.s_mnt_count=9", "superblock[@1024].s_mnt_count=9"),
    ):
        assert patch(image(), [one]) == patch(image(), [other])


def test_a_path_may_end_in_a_colon_and_digits() -> None:
    tree, data = Tree(), bytearray()
    tree.file("/part:2", b"x" * 9000)
    write_image(tree, data, Spec(free=0, journal="none"))
    for text in ("extent[/part:2][0].ee_len=9", "extent[/part:2:0:0].ee_len=9"):
        assert value(patch(bytes(data), [text]), "extent[/part:2][0].ee_len") == 9


def test_a_checksum_is_right_stale_or_wrong(tmp_path: Path) -> None:
    path = tmp_path / "image"
    text = "inode[/other].i_links_count=7"
    assert problems(patch(image(), [text]), path) == ["0x040003"]
    assert "0x010068" in problems(patch(image(), [Override.parse(text, reseal=False)]), path)
    assert "0x010068" in problems(patch(image(), [Override.parse(text, poison=True)]), path)
    for poisoned, code in (
        ("block_bitmap[0].9=1", "0x05001b"),
        ("inode_bitmap[0].9=1", "0x05001a"),
        ("group_desc[0].bg_flags=name:INODE_ZEROED", "0x000035"),
        ("extent[/etc][0].ee_len+=0", "0x010068"),
        ("dir_entry_2[/etc][..].file_type+=0", "0x020049"),
        ("dir_entry_2[/][etc].file_type+=0", "0x02004d"),
        ("xattr_header[/other].h_blocks=1", "0x01006c"),
    ):
        found = problems(patch(image(), [Override.parse(poisoned, poison=True)]), path)
        assert code in found
        assert not set(found) & {"0x000035", "0x05001a", "0x05001b"} - {code}


def test_every_level_above_is_corrected(tmp_path: Path) -> None:
    path = tmp_path / "image"
    for changes in (
        ["superblock.s_uuid^=1"],
        ["inode[/etc].i_generation=77", "inode[/other].i_generation=78"],
        ["bytes[/other][5]=hex:00"],
    ):
        assert problems(patch(image(), changes), path) == []
    found = problems(patch(image(), ["block_bitmap[0].8000=1"]), path)
    assert found
    assert "0x05001b" not in found


def test_a_function_sees_the_old_value() -> None:
    def halve(old: int | bytes) -> int:
        assert isinstance(old, int)
        return old // 2

    changed = patch(image(), [Override("inode", "/other", "i_size_lo", halve)])
    assert value(changed, "inode[/other].i_size_lo") == 1500
    with pytest.raises(OverrideError, match="a function returned"):
        patch(image(), [Override("inode", "/other", "i_size_lo", lambda _: None)])  # type: ignore
    with pytest.raises(OverrideError, match="i_size_lo has 32 bits"):
        patch(image(), [Override("inode", "/other", "i_size_lo", lambda _: 1 << 32)])


def test_a_failing_function_is_reported_with_its_cause() -> None:
    def fail(old: int | bytes) -> int:
        raise ZeroDivisionError(f"of {old!r}\n")

    for field in ("i_size_lo", "i_block"):
        expected = rf"^override inode\[/other\].{field}: the function raised ZeroDivisionError: of "
        with pytest.raises(OverrideError, match=expected) as caught:
            patch(image(), [Override("inode", "/other", field, fail)])
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert "\n" not in str(caught.value)


class Odd(int):
    """A number that fails when it is compared or truncated."""

    def _fail(self, *_: object) -> bool:
        raise ZeroDivisionError

    __lt__ = __le__ = __gt__ = __ge__ = __and__ = __rshift__ = _fail  # type: ignore[assignment]


def test_a_number_of_a_class_of_its_own_is_a_number() -> None:
    seven = patch(image(), ["inode[/other].i_size_lo=7"])
    assert patch(image(), [Override("inode", "/other", "i_size_lo", lambda _: Odd(7))]) == seven
    assert patch(image(), [Override("inode", "/other", "i_size_lo", Odd(7))]) == seven


@pytest.mark.parametrize(
    ("value", "operator", "words"),
    [
        (7, "??", "operator: '\\?\\?' is none of =, "),
        (7, "", "operator: '' is none of =, "),
        ("limit+1+1", "=", "value: 'limit.1.1' is not a word of the grammar; Override.parse"),
        ("7", "=", "value: '7' is not a word of the grammar"),
    ],
)
def test_invalid_changes_are_refused_immediately(
    value: int | str, operator: str, words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        Override("inode", "/other", "i_size_lo", value, operator=operator)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inode[/nowhere].i_uid=1", "no such path"),
        ("inode[/other].i_uid=parent", "parent has no meaning for a field of unit user"),
        ("inode[/other].i_flags=name:nonsense", "nonsense is not a name there; known names: SECRM"),
        ("inode[/other].i_uid=70000", "16 bits"),
        ("bytes[99999999999]=1", "bytes"),
        ("bytes[/other][1023:2]=0", "several blocks"),
        ("bytes[/other][9000]=0", "in a hole"),
        ("nonsense.x=1", "no such record"),
    ],
)
def test_impossible_changes_are_reported(text: str, words: str) -> None:
    with pytest.raises(OverrideError, match=words):
        patch(image(), [text])
    with pytest.raises(ImageError):
        patch(bytes(4096), ["superblock.s_magic=1"])


def test_an_image_of_mke2fs_is_patched_to_a_file(tmp_path: Path) -> None:
    made, out = tmp_path / "made", tmp_path / "out"
    options = ("-b", "1024", "-O", "inline_data,orphan_file,quota,mmp")
    run(["mke2fs", "-q", "-F", "-t", "ext4", *options, made, "8M"])
    before = made.read_bytes()
    changes = [
        "orphan_block[0].0=5",
        "mmp.mmp_nodename=text:elsewhere",
        "quota_info[user].dqi_blocks+=1",
        "inode[/lost+found].i_links_count=9",
        "journal_superblock.s_maxlen-=1",
    ]
    patch_image(made, out, changes)
    assert made.read_bytes() == before
    after = out.read_bytes()
    assert after == patch(before, changes) == reseal(after)
    assert out.stat().st_blocks <= made.stat().st_blocks + 16


def test_the_command_patches(tmp_path: Path) -> None:
    made, out = tmp_path / "made", tmp_path / "out"
    made.write_bytes(image())
    text = "inode[/other].i_links_count=7"
    done = command("patch", made, text, "-o", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_bytes() == patch(image(), [text])
    done = command("patch", made, text, "-o", out, "--poison")
    assert done.returncode == 0
    assert out.read_bytes() == patch(image(), [Override.parse(text, poison=True)])
    for arguments, words in (
        (("inode[/none].i_uid=1", "-o", out), "no such path"),
        ((text, "-o", made), "does not overwrite its inputs"),
        ((text, "-o", out, "--poison", "--no-reseal"), "give one"),
        (("nonsense", "-o", out), "record[index].field=value"),
    ):
        kept = out.read_bytes()
        done = command("patch", made, *arguments)
        assert done.returncode in (1, 2)
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
        assert out.read_bytes() == kept
    assert made.read_bytes() == image()
    made.write_bytes(bytes(4096))
    done = command("patch", made, text, "-o", out)
    assert done.returncode == 1 and str(made) in done.stderr


def test_a_partition_is_patched_and_the_rest_kept(tmp_path: Path) -> None:
    disk, out = tmp_path / "disk", tmp_path / "out"
    before = b"b" * (1 << 20)
    disk.write_bytes(before + image() + b"after")
    run(["sfdisk", "-q", "--no-reread", disk], stdin=b"label: dos\n2048 16384 L\n")
    whole = disk.read_bytes()
    text = "inode[/other].i_links_count=7"
    for arguments in ((f"{disk}:1",), (disk, "--offset", "1M")):
        done = command("patch", *arguments, text, "-o", out)
        assert (done.returncode, done.stderr) == (0, "")
        expected = whole[: 1 << 20] + patch(image(), [text]) + b"after"
        assert out.read_bytes() == expected
        out.unlink()
    assert disk.read_bytes() == whole
    done = command("patch", f"{disk}:2", text, "-o", out)
    assert "has no partition 2; there are 1" in done.stderr and not out.exists()


def test_build_accepts_the_same_grammar(tmp_path: Path) -> None:
    source, plain, damaged = tmp_path / "source", tmp_path / "plain", tmp_path / "damaged"
    source.mkdir()
    (source / "f").write_text("text")
    texts = ["inode[/f].i_size_lo=limit+1", "dir_entry_2[/][f].inode^=1"]
    assert command("build", source, "-o", plain).returncode == 0
    options = [word for text in texts for word in ("--override", text)]
    assert command("build", source, "-o", damaged, *options).returncode == 0
    assert damaged.read_bytes() == patch(plain.read_bytes(), texts)
    done = command("build", source, "-o", damaged, "--override", "bytes[/f][0]=text:T")
    assert "content of a file" in done.stderr


def test_records_of_rare_features_have_names() -> None:
    for base, change, path in (
        ("verity", "fsverity_descriptor[/sealed].data_size+=1", "/sealed"),
        ("locked", "fscrypt_context_v2[/vault].version=9", "/vault"),
        ("quota", "quota_entry[user][5][0].dqb_curspace+=1", "/owned"),
    ):
        truth = BY_NAME[base].image()
        changed = patch(truth, [change])
        assert sum(a != b for a, b in zip(truth, changed, strict=True)) <= 5 + 4
        with open_image(changed, on_damage=None) as opened:
            inode = opened.lookup(path)
            if base == "verity":
                with pytest.raises(DamageError, match="data_size"):
                    read_verity(inode)
            elif base == "locked":
                assert (encryption_context(inode) or b"")[0] == 9
    for text, words in (
        ("fsverity_descriptor[/plain].version=1", "is not a file with fs-verity"),
        ("fscrypt_context_v2[/plain].version=1", "is not encrypted"),
        ("dir_entry_hash[/plain][.].hash=1", "have no hashes"),
    ):
        base = "verity" if "verity" in text else "locked"
        with pytest.raises(OverrideError, match=words):
            patch(BY_NAME[base].image(), [text])


WORDS = (
    *("zeroes", "ones", "firstbit", "middlebit", "lastbit", "add", "sub", "random:3", "sign"),
    *("max", "limit", "limit+1", "limit-1", "blocksize-1", "itself", "parent", "neighbour"),
    *("another", "superblock", "inode_table", "root", "journal", "7", "-1", "0xffff"),
)
INDEXES = (
    *("", "0", "2", "8", "11", "/", "/etc", "/most", "/deep", "/folded", "/inside", "/one"),
    *("/many][0", "/most][1", "/deep][1][2", "/wide:1:3", "/][#2", "/etc][#3", "/d/a", "user][5"),
    *("/shared1][#0", "/one][#1", "0][1", "1", "@1024", "/missing"),
)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_override_changes_its_field_or_is_an_error(data: st.DataObject) -> None:
    """For every base, record, field, word and operator: no crash, and the size is unchanged."""
    base = data.draw(st.sampled_from(BASES)).image()
    with open_image(base) as opened:
        records = Locator(opened, len(base)).records
    name = data.draw(st.sampled_from(sorted(records)))
    field = data.draw(st.sampled_from(sorted(records[name].fields)))
    override = Override(
        name,
        data.draw(st.sampled_from(INDEXES)),
        data.draw(st.sampled_from([field, f"{field}[0]"])),
        Override.parse(f"superblock.s_magic={data.draw(st.sampled_from(WORDS))}").value,
        operator=data.draw(st.sampled_from(OPERATORS)),
        reseal=data.draw(st.booleans()),
        poison=data.draw(st.booleans()),
    )
    try:
        changed = patch(base, [override])
    except OverrideError as error:
        assert str(error).startswith(f"override {override}: ")
        return
    assert len(changed) == len(base)
    met: list[DamageError] = []
    try:
        with open_image(changed, on_damage=met.append) as opened:
            check_opened(opened, met)
    except (DamageError, ImageError):
        pass
