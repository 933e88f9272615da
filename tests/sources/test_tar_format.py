"""Every form of a header, built for the test: numbers, names, extended headers, sparse maps."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from ext4writer import (
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    RegularFile,
    Symlink,
    Tree,
    TreeError,
    plan,
    sources,
)
from ext4writer.errors import ArchiveError
from ext4writer.sources.tar_archive import Member, read_members
from tests.makers.archives import (
    END,
    GNU,
    POSIX,
    V7,
    archive,
    base256,
    checksummed,
    directory,
    header,
    link,
    long_name,
    member,
    padded,
    pax,
)


def members(*parts: bytes, **options: object) -> list[Member]:
    return list(read_members(io.BytesIO(archive(*parts)), **options))  # type: ignore[arg-type]


def tree(*parts: bytes, **options: object) -> Tree:
    return sources.tar(io.BytesIO(archive(*parts)), **options)  # type: ignore[arg-type]


def content(one: Member | Tree, path: bytes = b"") -> bytes:
    if isinstance(one, Member):
        what = one.content
    else:
        node = one[path]
        assert isinstance(node, RegularFile)
        what = node.content
    assert what is not None
    data = bytearray(what.size)
    what.read_whole(memoryview(data))
    return bytes(data)


class TestHeader:
    def test_all_fields(self) -> None:
        [one] = members(
            member(b"a/b", b"data", mode=0o4751, uid=1000, gid=100, mtime=1_700_000_000)
        )
        assert (one.path, one.mode, one.uid, one.gid) == (b"a/b", 0o4751, 1000, 100)
        assert one.mtime_ns == 1_700_000_000 * 10**9
        assert (one.atime_ns, one.ctime_ns, one.xattrs) == (None, None, None)
        assert content(one) == b"data"

    @pytest.mark.parametrize("magic", [POSIX, GNU, V7, b"ustar\0\0\0", b"ustar\x0011"])
    def test_kinds(self, magic: bytes) -> None:
        made = tree(
            member(b"file", b"1", magic=magic),
            member(b"old", b"2", typeflag=b"\0", magic=magic),
            member(b"contiguous", b"3", typeflag=b"7", magic=magic),
            directory(b"folder/", magic=magic),
            header(name=b"old folder/", typeflag=b"\0", mode=0o700, magic=magic),
            header(name=b"symlink", typeflag=b"2", linkname=b"../x//./y/", magic=magic),
            header(name=b"c", typeflag=b"3", devmajor=5, devminor=7, magic=magic),
            header(name=b"b", typeflag=b"4", devmajor=8, devminor=300, magic=magic),
            header(name=b"fifo", typeflag=b"6", magic=magic),
            link(b"link", b"./file", magic=magic),
        )
        assert [content(made, path) for path in (b"file", b"old", b"contiguous")] == [
            b"1",
            b"2",
            b"3",
        ]
        assert isinstance(made["/folder"], Directory)
        assert isinstance(made["/old folder"], Directory)
        assert made["/old folder"].mode == 0o700
        symlink, character, block = made["/symlink"], made["/c"], made["/b"]
        assert isinstance(symlink, Symlink)
        assert symlink.target == b"../x//./y/"
        assert isinstance(character, CharacterDevice)
        assert (character.major, character.minor) == (5, 7)
        assert isinstance(block, BlockDevice)
        assert (block.major, block.minor) == (8, 300)
        assert isinstance(made["/fifo"], Fifo)
        assert made["/link"] is made["/file"]
        assert made.losses == []

    def test_names_that_fill_their_fields(self) -> None:
        full = b"n" * 100
        [one] = members(member(full, prefix=b"p" * 155))
        assert one.path == b"p" * 155 + b"/" + full
        [one] = members(member(full, magic=GNU, at={345: b"12345670123\0"}))
        assert one.path == full, "GNU keeps times there"

    def test_the_prefix_of_star_is_shorter(self) -> None:
        times = {345 + 131: b"00000000001 00000000002 ", 508: b"tar\0"}
        [one] = members(header(name=b"name", prefix=b"p" * 130, at=times))
        assert one.path == b"p" * 130 + b"/name"

    @pytest.mark.parametrize(
        ("raw", "path"),
        [
            (b"/abs/file", b"abs/file"),
            (b"///abs", b"abs"),
            (b"./a", b"a"),
            (b"a/./b//c", b"a/b/c"),
            (b"././.", b""),
            (b".hidden", b".hidden"),
            (b"a/.hidden", b"a/.hidden"),
            (b"...", b"..."),
            (b"..a/b..", b"..a/b.."),
            (b"\xff\n", b"\xff\n"),
        ],
    )
    def test_paths(self, raw: bytes, path: bytes) -> None:
        [one] = members(header(name=raw, typeflag=b"5" if not path else b"0"))
        assert one.path == path

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            (b"0000644\0", 0o644),
            (b"000644 \0", 0o644),
            (b"   644 \0", 0o644),
            (b"   644\0\0", 0o644),
            (b"644\0\xff\0\0\0", 0o644),
            (b"00000644", 0o644),
            (b"\0" * 8, 0),
            (b" " * 8, 0),
            (base256(0o644, 8), 0o644),
        ],
    )
    def test_numbers(self, field: bytes, value: int) -> None:
        [one] = members(member(b"f", mode=field, uid=field))
        assert (one.mode, one.uid) == (value, value)

    @pytest.mark.parametrize(
        "field", [b"0000648\0", b"644x\0\0\0\0", b"0o644\0\0\0", b"+644\0\0\0\0", b"6_4\0\0\0\0\0"]
    )
    @pytest.mark.parametrize("name", ["mode", "uid", "gid", "size", "mtime"])
    def test_no_numbers(self, name: str, field: bytes) -> None:
        with pytest.raises(ArchiveError, match=f"its {name} is not an octal number"):
            members(header(name=b"f", **{name: field}))

    def test_large_and_negative_numbers(self) -> None:
        [one] = members(
            member(
                b"f",
                uid=base256(4_000_000_000, 8),
                mtime=base256(-86_400, 12),
            )
        )
        assert (one.uid, one.mtime_ns) == (4_000_000_000, -86_400 * 10**9)
        [one] = members(member(b"f", mtime=base256(1 << 40, 12)))
        assert one.mtime_ns == (1 << 40) * 10**9

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            ({"uid": base256(1 << 32, 8)}, "owner 4294967296:0 is out of range"),
            ({"gid": base256(-1, 8)}, "owner 0:-1 is out of range"),
            ({"size": base256(-1, 12)}, "size -1 is out of range"),
            ({"size": base256(1 << 63, 12)}, "size 9223372036854775808 is out of range"),
            ({"typeflag": b"3", "devmajor": base256(-1, 8)}, "major -1 is out of range"),
            ({"typeflag": b"4", "devminor": base256(1 << 40, 8)}, "minor 1099511627776 is out"),
        ],
    )
    def test_numbers_out_of_range(self, fields: dict[str, bytes], problem: str) -> None:
        with pytest.raises(ArchiveError, match=problem):
            members(header(name=b"f", **fields))

    def test_device_numbers_of_other_kinds_are_ignored(self) -> None:
        [one] = members(member(b"f", devmajor=b"garbage!", devminor=b"\xff" * 8))
        assert (one.major, one.minor) == (0, 0)

    def test_signed_checksums(self) -> None:
        name = b"\xe4\xf6\xfc" * 20
        for signed in (False, True):
            [one] = members(header(name=name, signed=signed))
            assert one.path == name

    @pytest.mark.parametrize("spaces", [b"%6o\0 ", b"%06o \0", b"%07o\0", b"%o\0"])
    def test_checksums_are_written_in_many_ways(self, spaces: bytes) -> None:
        block = bytearray(member(b"f"))
        total = int(bytes(block[148:154]), 8)
        block[148:156] = (spaces % total).ljust(8, b"\0")
        assert [one.path for one in members(bytes(block))] == [b"f"]

    def test_a_wrong_checksum(self) -> None:
        wrong = bytearray(member(b"second"))
        wrong[0] ^= 1
        with pytest.raises(ArchiveError, match="at byte 1024: its header has a wrong checksum"):
            members(member(b"first", b"x"), bytes(wrong))

    def test_an_unknown_type(self) -> None:
        made = tree(member(b"f", b"data", typeflag=b"Z"))
        assert content(made, b"f") == b"data"
        [loss] = made.losses
        assert loss.path == b"/f"
        assert "unknown type" in loss.what

    @pytest.mark.parametrize(("typeflag", "problem"), [(b"M", "volume"), (b"N", "oldest form")])
    def test_types_that_are_refused(self, typeflag: bytes, problem: str) -> None:
        with pytest.raises(ArchiveError, match=f"archive: .*f.*{problem}"):
            members(header(name=b"archive: f", typeflag=typeflag))

    def test_labels_and_lists_of_names_are_passed_over(self) -> None:
        made = tree(
            header(name=b"a volume", typeflag=b"V"),
            member(b"folder/", b"Yfile\0\0", typeflag=b"D", mode=0o700, magic=GNU),
            member(b"folder/file", b"1"),
        )
        assert [path for path, _ in made.walk()] == [b"/", b"/folder", b"/folder/file"]
        assert made["/folder"].mode == 0o700

    def test_the_size_of_a_member_without_data_is_ignored(self) -> None:
        made = tree(
            member(b"file", b"data"),
            header(name=b"folder", typeflag=b"5", size=10_000),
            header(name=b"symlink", typeflag=b"2", linkname=b"x", size=77),
            header(name=b"fifo", typeflag=b"6", size=512),
            link(b"link", b"file", size=4),
            member(b"last", b"1"),
        )
        assert content(made, b"last") == b"1"

    def test_a_hard_link_of_a_pax_archive_may_carry_the_file(self) -> None:
        made = tree(
            member(b"file", b"data"),
            pax({b"comment": b"x"}),
            link(b"link", b"file", size=4),
            padded(b"data"),
            member(b"last", b"1"),
        )
        assert made["/link"] is made["/file"]
        assert content(made, b"last") == b"1"


class TestGnu:
    def test_long_names(self) -> None:
        name, target = b"n" * 200 + b"/" + b"m" * 200, b"t" * 300
        made = tree(
            long_name(target, b"K"),
            long_name(name),
            header(name=name[:100], typeflag=b"2", linkname=target[:100], magic=GNU),
            member(b"next", b"1"),
        )
        symlink = made[name]
        assert isinstance(symlink, Symlink)
        assert symlink.target == target
        assert content(made, b"next") == b"1"

    def test_a_pax_header_overrules_them(self) -> None:
        [one] = members(long_name(b"gnu"), pax({b"path": b"posix"}), member(b"short"))
        assert one.path == b"posix"


class TestPax:
    def test_overrides(self) -> None:
        [one] = members(
            pax(
                {
                    b"path": b"long/" * 50 + b"name",
                    b"uid": b"4000000000",
                    b"gid": b"3000000000",
                    b"size": b"4",
                    b"mtime": b"1700000000.123456789",
                    b"atime": b"1700000001.5",
                    b"ctime": b"1700000002",
                    b"LIBARCHIVE.creationtime": b"1600000000.000000001",
                    b"uname": b"webmaster",
                    b"hdrcharset": b"BINARY",
                    b"comment": b"nothing\nto see=",
                }
            ),
            header(name=b"short", size=0, uid=1, mtime=1) + padded(b"data"),
            keep_times=True,
        )
        assert one.path == b"long/" * 50 + b"name"
        assert (one.uid, one.gid) == (4_000_000_000, 3_000_000_000)
        assert one.mtime_ns == 1_700_000_000_123_456_789
        assert (one.atime_ns, one.ctime_ns) == (1_700_000_001_500_000_000, 1_700_000_002 * 10**9)
        assert one.crtime_ns == 1_600_000_000_000_000_001
        assert content(one) == b"data"

    def test_times_are_kept_only_when_asked(self) -> None:
        [one] = members(pax({b"atime": b"1", b"ctime": b"2"}), member(b"f"))
        assert (one.atime_ns, one.ctime_ns) == (None, None)

    @pytest.mark.parametrize(
        ("value", "time"),
        [
            (b"0", 0),
            (b"-1", -(10**9)),
            (b"-1.5", -1_500_000_000),
            (b"-0.25", -250_000_000),
            (b"1.", 10**9),
            (b"1.1234567899999", 1_123_456_789),
            (b"-1.1234567891", -1_123_456_790),
            (b"-1.1234567890", -1_123_456_789),
            (b"99999999999999", 99_999_999_999_999 * 10**9),
        ],
    )
    def test_times(self, value: bytes, time: int) -> None:
        [one] = members(pax({b"mtime": value}), member(b"f"))
        assert one.mtime_ns == time

    @pytest.mark.parametrize("value", [b"x", b"1e9", b"1,5", b" 1", b".5", b"9" * 31, b"9" * 9999])
    @pytest.mark.parametrize("keyword", [b"mtime", b"uid", b"size"])
    def test_no_numbers(self, keyword: bytes, value: bytes) -> None:
        with pytest.raises(ArchiveError, match="is not a (time|number)"):
            members(pax({keyword: value}), member(b"f"))

    def test_global_headers_hold_until_they_are_replaced(self) -> None:
        made = members(
            pax({b"uid": b"7", b"gid": b"8", b"mtime": b"5"}, b"g"),
            member(b"a"),
            pax({b"uid": b"9"}),
            member(b"b"),
            pax({b"gid": b"", b"mtime": b"6"}, b"g"),
            member(b"c", gid=3),
        )
        assert [(one.uid, one.gid, one.mtime_ns // 10**9) for one in made] == [
            (7, 8, 5),
            (9, 8, 5),
            (7, 3, 6),
        ]

    def test_an_empty_value_cancels_a_global_one(self) -> None:
        [one] = members(
            pax({b"uid": b"7", b"path": b"global"}, b"g"),
            pax({b"uid": b"", b"path": b""}),
            member(b"f", uid=3),
        )
        assert (one.uid, one.path) == (3, b"f")

    def test_device_numbers_of_star(self) -> None:
        [one] = members(
            pax({b"SCHILY.devmajor": b"4000", b"SCHILY.devminor": b"1000000"}),
            header(name=b"c", typeflag=b"3", devmajor=1, devminor=1),
        )
        assert (one.major, one.minor) == (4000, 1_000_000)

    @pytest.mark.parametrize(
        "data",
        [
            b"path=x\n",
            b"999 path=x\n",
            b"7 path=x\n",
            b"10 path=xyz",
            b"9 pathxy\n",
            b"-9 path=x\n",
            b"0 path=x\n",
            b"9999999999999999999999 path=x\n",
            b"\xb2 path=x\n",
        ],
    )
    def test_malformed_records(self, data: bytes) -> None:
        with pytest.raises(ArchiveError, match="its extended header has"):
            members(member(b"x", data, typeflag=b"x"), member(b"f"))

    def test_an_extended_header_without_its_member(self) -> None:
        with pytest.raises(ArchiveError, match="without the member it describes"):
            members(member(b"f"), pax({b"path": b"x"}))

    def test_the_header_of_solaris(self) -> None:
        [one] = members(pax({b"path": b"long"}, b"X"), member(b"f"))
        assert one.path == b"long"


class TestXattrs:
    def test_of_gnu_and_star(self) -> None:
        [one] = members(
            pax(
                {
                    b"SCHILY.xattr.user.note": b"a\0b\n=",
                    b"SCHILY.xattr.user.empty": b"",
                    b"SCHILY.xattr.user.a%3Db%25c": b"1",
                    b"RHT.security.selinux": b"system_u:object_r:etc_t:s0",
                }
            ),
            member(b"f"),
        )
        assert one.xattrs == {
            b"user.note": b"a\0b\n=",
            b"user.empty": b"",
            b"user.a=b%c": b"1",
            b"security.selinux": b"system_u:object_r:etc_t:s0\0",
        }

    def test_of_libarchive(self) -> None:
        [one] = members(
            pax(
                {
                    b"LIBARCHIVE.xattr.user.a%20b%3D": b"AAr/AA",
                    b"SCHILY.xattr.user.a%20b%3D": b"\0\n\xff\0",
                    b"LIBARCHIVE.xattr.user.pad": b"YQ==",
                }
            ),
            member(b"f"),
        )
        assert one.xattrs == {b"user.a b=": b"\0\n\xff\0", b"user.pad": b"a"}

    def test_access_control_lists(self) -> None:
        [one] = members(
            pax(
                {
                    b"SCHILY.acl.access": b"user::rw-,group::r--,other::r--,user:root:--x:0,"
                    b"group:54321:rwx,mask::rwx",
                    b"SCHILY.acl.default": b"user::rwx\nuser:7:r-x\ngroup::r-x\t#effective:r--\n"
                    b"mask::r-x\nother::---\n",
                }
            ),
            directory(b"d"),
        )
        assert one.xattrs == {
            b"system.posix_acl_access": bytes.fromhex(
                "02000000 01000600ffffffff 0200010000000000 04000400ffffffff 0800070031d40000"
                "10000700ffffffff 20000400ffffffff"
            ),
            b"system.posix_acl_default": bytes.fromhex(
                "02000000 01000700ffffffff 0200050007000000 04000500ffffffff 10000500ffffffff"
                "20000000ffffffff"
            ),
        }

    def test_an_access_list_equal_to_the_mode_is_dropped(self) -> None:
        made = tree(pax({b"SCHILY.acl.access": b"user::rw-,group::r--,other::r--"}), member(b"f"))
        assert made["/f"].xattrs is None
        assert made.losses == []

    @pytest.mark.parametrize(
        ("records", "problem"),
        [
            ({b"SCHILY.acl.access": b"user::rw-,user:joe:r--"}, "user:joe:r-- has a name"),
            ({b"SCHILY.acl.access": b"user::rwz"}, "permissions of user::rwz are malformed"),
            ({b"SCHILY.acl.access": b"nobody::rwx"}, "entry nobody::rwx is malformed"),
            ({b"SCHILY.acl.default": b"mask:7:rwx"}, "entry mask:7:rwx is malformed"),
            ({b"LIBARCHIVE.xattr.user.x": b"*"}, "is not base64"),
            ({b"SCHILY.acl.ace": b"owner@:rw::allow"}, "NFSv4 cannot be kept"),
            ({b"SCHILY.fflags": b"uappnd"}, "file flags uappnd cannot be kept"),
            ({b"SCHILY.xattr.system.nfs4_acl": b"x"}, "system.nfs4_acl belongs to another"),
            ({b"SCHILY.xattr.com.apple.quarantine": b"x"}, "com.apple.quarantine belongs to"),
        ],
    )
    def test_attributes_that_cannot_be_kept_are_losses(
        self, records: dict[bytes, bytes], problem: str
    ) -> None:
        made = tree(pax({b"SCHILY.xattr.user.kept": b"1", **records}), member(b"f"))
        assert made["/f"].xattrs == {b"user.kept": b"1"}
        [loss] = made.losses
        assert loss.path == b"/f"
        assert problem in loss.what

    def test_they_can_be_left_out(self) -> None:
        records = {b"SCHILY.xattr.user.note": b"1", b"SCHILY.fflags": b"nodump"}
        made = tree(pax(records), member(b"f"), xattrs=False)
        assert made["/f"].xattrs is None
        assert made.losses == []

    def test_equal_sets_are_one(self) -> None:
        records = pax({b"SCHILY.xattr.user.same": b"value"})
        one, two = members(records, member(b"a"), records, member(b"b"))
        assert one.xattrs is two.xattrs


def old_sparse(pairs: list[tuple[int, int]], size: int, data: bytes, **fields: bytes) -> bytes:
    """A member of type S, with as many extension blocks as its map needs."""

    def packed(some: list[tuple[int, int]]) -> bytes:
        return b"".join(b"%011o\0%011o\0" % pair for pair in some)

    at = {386: packed(pairs[:4]), 482: bytes([len(pairs) > 4]), 483: b"%011o\0" % size}
    head = header(name=b"s", typeflag=b"S", magic=GNU, size=len(data), at=at, **fields)
    blocks = []
    for start in range(4, len(pairs), 21):
        more = packed(pairs[start : start + 21]).ljust(504, b"\0")
        blocks.append((more + bytes([start + 21 < len(pairs)])).ljust(512, b"\0"))
    return head + b"".join(blocks) + padded(data)


def pax_sparse(form: str, pairs: list[tuple[int, int]], size: int, data: bytes) -> list[bytes]:
    """A member in a form with PAX headers (GNU tar manual, "Storing Sparse Files")."""
    numbers = [number for pair in pairs for number in pair]
    records: list[tuple[bytes, bytes]]
    if form == "1.0":
        lines = b"".join(b"%d\n" % number for number in [len(pairs), *numbers])
        data = padded(lines) + data
        records = [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", b"s"),
            (b"GNU.sparse.realsize", b"%d" % size),
        ]
    elif form == "0.1":
        records = [
            (b"GNU.sparse.size", b"%d" % size),
            (b"GNU.sparse.numblocks", b"%d" % len(pairs)),
            (b"GNU.sparse.name", b"s"),
            (b"GNU.sparse.map", b",".join(b"%d" % number for number in numbers)),
        ]
    else:
        records = [
            (b"GNU.sparse.size", b"%d" % size),
            (b"GNU.sparse.numblocks", b"%d" % len(pairs)),
        ]
        for start, length in pairs:
            records.append((b"GNU.sparse.offset", b"%d" % start))
            records.append((b"GNU.sparse.numbytes", b"%d" % length))
    name = b"s" if form == "0.0" else b"GNUSparseFile.0/s"
    return [pax(records), member(name, data)]


FORMS = ["old", "0.0", "0.1", "1.0"]


def sparse_parts(form: str, pairs: list[tuple[int, int]], size: int, data: bytes) -> list[bytes]:
    if form == "old":
        return [old_sparse(pairs, size, data)]
    return pax_sparse(form, pairs, size, data)


@pytest.mark.parametrize("form", FORMS)
class TestHoles:
    @pytest.mark.parametrize("count", [0, 1, 4, 5, 25, 26, 60])
    def test_maps_of_any_length(self, form: str, count: int) -> None:
        pairs = [(1000 * number + 7, number + 1) for number in range(count)]
        size = 1000 * count + 5000
        pieces = [bytes([number + 1]) * (number + 1) for number in range(count)]
        expected = bytearray(size)
        for (start, length), piece in zip(pairs, pieces, strict=True):
            expected[start : start + length] = piece
        ended = [*pairs, (size, 0)]  # GNU tar marks a hole at the end like this
        for some in (pairs, ended):
            [one, last] = members(
                *sparse_parts(form, some, size, b"".join(pieces)), member(b"last", b"1")
            )
            assert one.path == b"s"
            assert content(one) == expected
            assert content(last) == b"1"

    def test_from_a_file_at_any_offset(self, form: str, tmp_path: Path) -> None:
        pairs = [(512, 512), (2048, 100)]
        data = b"a" * 512 + b"b" * 100
        expected = bytes(512) + b"a" * 512 + bytes(1024) + b"b" * 100 + bytes(852)
        path = tmp_path / "archive"
        path.write_bytes(archive(*sparse_parts(form, pairs, 3000, data)))
        [one] = read_members(path)
        assert one.content is not None
        reader = one.content.open()
        for start in (0, 1, 511, 512, 513, 1024, 2047, 2048, 2100, 2148, 2149, 2999):
            for length in (1, 2, 600, 3000):
                view = memoryview(bytearray(length))
                count = reader.readinto(view, start)
                assert bytes(view[:count]) == expected[start : start + length]
        reader.close()

    def test_sparse_maps_out_of_order(self, form: str) -> None:
        for pairs in (
            [(100, 10), (50, 10)],
            [(0, 20), (10, 20)],
            [(0, 10), (0, 10)],
            [(990, 20), (2000, 0)],
            [(5000, 20)],
        ):
            data = bytes(sum(length for _, length in pairs))
            with pytest.raises(ArchiveError, match="out of order or past"):
                members(*sparse_parts(form, pairs, 1000, data))

    def test_a_map_that_does_not_fit_the_data(self, form: str) -> None:
        for size in (9, 11):
            with pytest.raises(ArchiveError, match="has 10 bytes of data"):
                members(*sparse_parts(form, [(0, 10)], 1000, bytes(size)))

    def test_sizes_that_overflow(self, form: str) -> None:
        if form != "old":
            with pytest.raises(ArchiveError, match="out of range|limit|instead of a number"):
                members(*sparse_parts(form, [(0, 10)], 1 << 63, bytes(10)))
            with pytest.raises(ArchiveError, match="instead of a number"):
                members(*sparse_parts(form, [(10**19, 10)], 1000, bytes(10)))


class TestMalformedMaps:
    @pytest.mark.parametrize(
        "text", [b"x\n", b"\n", b"-1\n", b"1\n5\n", b"2\n0\n1\n", b"1\n0\nx\n", b"9" * 600]
    )
    def test_in_front_of_the_data(self, text: bytes) -> None:
        records = {
            b"GNU.sparse.major": b"1",
            b"GNU.sparse.minor": b"0",
            b"GNU.sparse.name": b"s",
            b"GNU.sparse.realsize": b"10",
        }
        with pytest.raises(ArchiveError, match="map of holes"):
            members(pax(records), member(b"x", text))

    @pytest.mark.parametrize("text", [b"1", b"1,2,3", b"1,,2", b"a,b", b"-1,2", b","])
    def test_in_a_record(self, text: bytes) -> None:
        records = {b"GNU.sparse.size": b"10", b"GNU.sparse.map": text}
        with pytest.raises(ArchiveError, match="map of holes"):
            members(pax(records), member(b"x", b"12"))

    def test_in_records_that_repeat(self) -> None:
        for keywords in (["numbytes"], ["offset", "offset"], ["offset"]):
            records = [(b"GNU.sparse.size", b"10")]
            records += [(b"GNU.sparse." + keyword.encode(), b"1") for keyword in keywords]
            with pytest.raises(ArchiveError, match="map of holes"):
                members(pax(records), member(b"x", b"1"))

    @pytest.mark.parametrize("keyword", [b"GNU.sparse.size", b"GNU.sparse.realsize"])
    def test_an_empty_size(self, keyword: bytes) -> None:
        """In POSIX, an empty value means that there is no record."""
        (one,) = members(pax({keyword: b""}), member(b"x", b"12"))
        assert one.content is not None
        assert one.content.size == 2

    def test_a_map_without_a_size(self) -> None:
        for records in (
            [(b"GNU.sparse.map", b"5,2")],
            [(b"GNU.sparse.realsize", b""), (b"GNU.sparse.map", b"5,2")],
            [(b"GNU.sparse.offset", b"5"), (b"GNU.sparse.numbytes", b"2")],
            [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")],
        ):
            with pytest.raises(ArchiveError, match="map of holes and no size"):
                members(pax(records), member(b"x", b"12"))

    def test_an_unknown_form(self) -> None:
        records = {
            b"GNU.sparse.major": b"2",
            b"GNU.sparse.minor": b"0",
            b"GNU.sparse.realsize": b"10",
        }
        with pytest.raises(ArchiveError, match="unknown form"):
            members(pax(records), member(b"x", b"1"))

    def test_the_form_of_star(self) -> None:
        block = header(name=b"s", typeflag=b"S", at={508: b"tar\0"})
        with pytest.raises(ArchiveError, match="star's own form"):
            members(block)


class TestUnknownRecords:
    def test_each_unknown_keyword_is_reported_once(self) -> None:
        made = tree(
            pax({b"SUN.holesdata": b"0 5", b"comment": b"x", b"hdrcharset": b"BINARY"}),
            member(b"a"),
            pax({b"SUN.holesdata": b"0 5", b"VENDOR.x\n": b"1", b"uname": b"me"}),
            member(b"b"),
            pax({b"VENDOR.global": b"1"}, b"g"),
            member(b"c"),
        )
        assert [(loss.path, loss.what) for loss in made.losses] == [
            (b"/", f"the records {keyword} of its extended headers are left out")
            for keyword in ("SUN.holesdata", "VENDOR.x\\x0a", "VENDOR.global")
        ]

    def test_not_all_of_endless_keywords_are_reported(self) -> None:
        parts = []
        for number in range(200):
            parts += [pax({b"VENDOR.%d" % number: b"1"}), member(b"f")]
        assert len(tree(*parts).losses) == 100


class TestEnd:
    def test_an_end_mark_and_filling(self) -> None:
        for filling in (0, 512, 10240 - 1536, 1 << 20):
            stream = io.BytesIO(archive(member(b"f")) + bytes(filling))
            made = sources.tar(stream)
            assert made.losses == []
            assert stream.read() == b"", "a stream is read to its end"

    def test_without_an_end_mark(self) -> None:
        made = sources.tar(io.BytesIO(member(b"f", b"data")))
        assert content(made, b"f") == b"data"
        [loss] = made.losses
        assert (loss.path, "no end mark" in loss.what) == (b"/", True)

    def test_half_an_end_mark_is_enough(self) -> None:
        assert sources.tar(io.BytesIO(member(b"f") + bytes(512))).losses == []

    @pytest.mark.parametrize("gap", [0, 512, 5000])
    def test_bytes_after_the_end_mark(self, gap: int, tmp_path: Path) -> None:
        data = archive(member(b"f")) + bytes(gap) + b"garbage" + bytes(100)
        (tmp_path / "archive").write_bytes(data)
        for source in (tmp_path / "archive", io.BytesIO(data)):
            made = sources.tar(source)
            assert list(made.root.children) == [b"f"]
            [loss] = made.losses
            assert f"{512 + gap + 7} bytes after the end mark" in loss.what

    def test_an_archive_of_nothing(self) -> None:
        made = sources.tar(io.BytesIO(END))
        assert [path for path, _ in made.walk()] == [b"/"]
        assert made.losses == []

    @pytest.mark.parametrize("size", [1024, 512, 20_000])
    def test_zeros_before_other_data_are_not_an_archive(self, size: int, tmp_path: Path) -> None:
        """Disk images also begin like this."""
        data = bytes(size) + b"file system"
        (tmp_path / "image").write_bytes(data)
        for source in (tmp_path / "image", io.BytesIO(data)):
            with pytest.raises(ArchiveError, match="is not a tar archive.* begins with zeros"):
                sources.tar(source)

    def test_no_archive_at_all(self, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        with pytest.raises(ArchiveError, match="empty: is empty"):
            sources.tar(tmp_path / "empty")
        for data in (b"x", b"text " * 1000, checksummed(bytearray(b"x" * 512))[:500]):
            (tmp_path / "text").write_bytes(data)
            with pytest.raises(ArchiveError, match="not a tar archive|cut short"):
                sources.tar(tmp_path / "text")


@pytest.mark.parametrize("value", [b"", b"\2", b"\2\0\0\0nonsense!", b"\2\0\0\0" + bytes(8)])
def test_a_malformed_access_list_is_named_where_it_is_stored(value: bytes) -> None:
    records = {b"SCHILY.xattr.system.posix_acl_access": value}
    made = tree(pax(records), member(b"file", mode=0o640))
    with pytest.raises(TreeError, match="/file: .*ACL"):
        plan(made)
