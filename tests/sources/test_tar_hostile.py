"""Malicious and damaged archives cause a clear error, or a bounded result."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import random
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext4writer import Spec, Tree, plan, sources, write_image
from ext4writer.content import BytesContent
from ext4writer.errors import ArchiveError, Ext4WriterError, LimitError
from ext4writer.sources.tar_archive import Limits, inputs, read_members
from ext4writer.tree import RegularFile
from tests.makers import archives
from tests.makers.archives import (
    BLOCK,
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
from tests.sources.test_tar_format import FORMS, sparse_parts

MIB = 1 << 20


def tree(*parts: bytes, **options: object) -> Tree:
    return sources.tar(io.BytesIO(archive(*parts)), **options)  # type: ignore[arg-type]


XATTR = b"SCHILY.xattr.user.x"


def dotted(form: str, count: int) -> list[bytes]:
    """A file with one data byte in every ten."""
    pairs = [(10 * number, 1) for number in range(count)]
    return sparse_parts(form, pairs, 10 * count, b"x" * count)


class TestLimits:
    @pytest.mark.parametrize(
        ("limit", "value", "parts"),
        [
            ("members", 9, [member(b"%d" % number) for number in range(10)]),
            ("members", 9, [member(b"a/b/c/d/e/f/g/h/i/j")]),
            ("members", 9, [member(b"same")] * 10),
            ("path_bytes", 50, [member(b"n" * 51)]),
            ("path_bytes", 50, [link(b"n", b"n" * 51)]),
            ("path_bytes", 50, [header(name=b"n", typeflag=b"2", linkname=b"n" * 51)]),
            ("header_bytes", 4096, [pax({b"comment": b"x" * 4000}), member(b"f")]),
            ("header_bytes", 4096, [*[pax({b"comment": b"x"})] * 9, member(b"f")]),
            ("header_bytes", 4096, [long_name(b"x/" * 2000), member(b"f")]),
            ("header_bytes", 4096, [pax({b"comment": b"x" * 4000}, b"g"), member(b"f")]),
            *(("header_bytes", 4096, dotted(form, 999)) for form in FORMS),
            ("metadata_bytes", 1000, [link(b"%d" % n, b"t" * 90) for n in range(12)]),
            ("metadata_bytes", 1000, [pax({XATTR: b"v" * 1000}), member(b"f")]),
            ("metadata_bytes", 1000, [pax({XATTR: b"v" * 1000}, b"g"), member(b"f")]),
            *(("metadata_bytes", 1000, dotted(form, 99)) for form in FORMS),
            ("metadata_bytes", 1000, [header(name=b"%d" % n, typeflag=b"Z") for n in range(4)]),
            ("metadata_bytes", 1000, [link(b"n/" * 40 + b"%d" % n, b"later") for n in range(20)]),
            ("global_bytes", 1000, [pax({XATTR: b"v" * 1000}, b"g"), member(b"f")]),
            ("global_bytes", 1000, [pax({XATTR + b"%d" % n: b"v" * 90}, b"g") for n in range(12)]),
            ("implied_directories", 10, [member(b"a/" * 30 + b"f")]),
            ("content_bytes", 1000, [member(b"a", b"x" * 600), member(b"b", b"x" * 600)]),
            ("content_bytes", 1000, sparse_parts("1.0", [(0, 1)], 1001, b"x")),
            ("memory_bytes", 1000, [member(b"a", b"x" * 600), member(b"b", b"x" * 600)]),
            ("expanded_bytes", MIB, [member(b"a", bytes(MIB))]),
        ],
    )  # fmt: skip
    def test_each_is_named(self, limit: str, value: int, parts: list[bytes]) -> None:
        with pytest.raises(LimitError, match=f"the limit {limit} can be raised") as caught:
            tree(*parts, limits=Limits(**{limit: value}))
        assert caught.value.limit == limit
        list(read_members(io.BytesIO(archive(*parts)), limits=Limits(**{limit: 100 * value})))

    def test_a_bomb(self) -> None:
        """1.1 GiB of zeros in 35 KB, in a member that is skipped, so no disk space is used."""
        data = io.BytesIO()
        with zstandard.ZstdCompressor(level=1).stream_writer(data, closefd=False) as stream:
            stream.write(header(name=b"bomb", size=1100 * MIB, typeflag=b"V"))
            for _ in range(1100):
                stream.write(bytes(MIB))
        data.seek(0)
        with pytest.raises(LimitError, match="packed bytes unpack to") as caught:
            sources.tar(data)
        assert caught.value.limit == "ratio"

    def test_a_size_beyond_the_data_takes_no_memory(self) -> None:
        limits = Limits(memory_bytes=1 << 62, content_bytes=1 << 62)
        with pytest.raises(ArchiveError, match="is cut short in the 1152921504606846976 bytes"):
            tree(header(name=b"f", size=base256(1 << 60, 12)), limits=limits)
        with pytest.raises(LimitError, match="header_bytes"):
            tree(header(name=b"x", size=base256(1 << 60, 12), typeflag=b"x"))
        with pytest.raises(ArchiveError, match="cut short"):
            tree(header(name=b"x", size=6 * MIB, typeflag=b"x"))

    def test_a_size_that_no_file_has(self, tmp_path: Path) -> None:
        (tmp_path / "archive").write_bytes(archive(header(name=b"f", size=base256(1 << 40, 12))))
        with pytest.raises(ArchiveError, match=r"f \(at byte 0\): is cut short"):
            sources.tar(tmp_path / "archive")


class TestAbundance:
    def test_duplicates(self) -> None:
        made = tree(*[member(b"a/same", b"old")] * 200_000, member(b"a/same", b"new"))
        node = made["/a/same"]
        assert isinstance(node, RegularFile)
        assert isinstance(node.content, BytesContent)
        assert node.content.data == b"new"
        assert [path for path, _ in made.walk()] == [b"/", b"/a", b"/a/same"]

    def test_many_pending_hard_links(self) -> None:
        parts = [link(b"%d" % number, b"target") for number in range(10_000)]
        made = tree(*parts, member(b"target"))
        assert len(set(made.root.children.values())) == 1

    def test_nested_folders(self, tmp_path: Path) -> None:
        depth = 50_000
        parts = [pax({b"path": b"d/" * depth + b"file"}), member(b"x", b"deep")]
        with pytest.raises(LimitError, match="path_bytes"):
            tree(*parts)
        made = tree(*parts, limits=Limits(path_bytes=1 << 20))
        layout = plan(made)
        assert layout.entries["directory"] == depth + 2

    def test_nested_folders_with_separate_members(self) -> None:
        path = b""
        parts = []
        for _ in range(2000):
            path += b"d/"
            parts += [pax({b"path": path}), directory(b"x")]
        made = tree(*parts)
        assert plan(made).entries["directory"] == 2002

    def test_folders_without_members(self) -> None:
        """64 KiB of path, compressed to almost nothing, make 32,000 directories."""
        parts = [
            part
            for number in range(20)
            for part in (pax({b"path": b"%d" % number + b"/d" * 32_000}), directory(b"x"))
        ]
        with pytest.raises(LimitError, match="omits 10"):
            tree(*parts)

    @pytest.mark.parametrize("keyword", [b"SCHILY.xattr.odd.", b"SCHILY.acl.ace", b"RHT.odd"])
    def test_losses_of_a_global_header_are_reported_once(self, keyword: bytes) -> None:
        records = {keyword + b"%d" % number * (keyword[-1:] == b"."): b"v" for number in range(9)}
        made = tree(pax(records, b"g"), *[member(b"%d" % number) for number in range(50)])
        known = len(records) if keyword != b"RHT.odd" else 0
        assert len(made.losses) == known
        assert all(loss.path == b"/" for loss in made.losses)
        assert len(made.root.children) == 50

    def test_many_losses_of_one_member_are_counted(self) -> None:
        records = {b"SCHILY.xattr.odd.%d" % number: b"v" for number in range(3000)}
        made = tree(pax(records), member(b"f"), pax(records), member(b"g"))
        assert [loss.path for loss in made.losses] == [b"/f"] * 21 + [b"/g"] * 21
        assert made.losses[-1].what == "2,980 further records were left out"

    def test_global_attributes_hold_for_all(self) -> None:
        made = tree(pax({XATTR: b"all"}, b"g"), member(b"a"), pax({XATTR: b"own"}), member(b"b"))
        assert made["/a"].xattrs == {b"user.x": b"all"}
        assert made["/b"].xattrs == {b"user.x": b"own"}

    def test_unknown_keywords_are_not_kept(self) -> None:
        parts = [
            part
            for number in range(20)
            for part in (pax({b"K%02d" % number + b"x" * MIB: b""}), member(b"f"))
        ]
        data = io.BytesIO(archive(*parts))
        tracemalloc.start()
        made = sources.tar(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(made.losses) == 20
        assert peak < 8 * MIB

    def test_a_deep_path_for_all_members(self) -> None:
        """A global header may set it for all members; it is looked up once."""
        path = b"d/" * 4000 + b"f"
        made = tree(pax({b"path": path}, b"g"), *[member(b"x")] * 3000)
        assert plan(made).entries["directory"] == 4002

    def test_a_sparse_file_of_one_tebibyte(self, tmp_path: Path) -> None:
        pairs = [(number << 30, 100) for number in range(1024)]
        (tmp_path / "archive").write_bytes(
            archive(*sparse_parts("1.0", pairs, 1 << 40, b"x" * 102_400))
        )
        made = sources.tar(tmp_path / "archive")
        write_image(made, tmp_path / "image")
        assert (tmp_path / "image").stat().st_size < 64 * MIB


EVERYTHING = [
    pax({b"comment": b"all that follows"}, b"g"),
    directory(b"./"),
    member(b"file", b"data" * 200, mtime=5),
    member(b"old", b"x", magic=V7, typeflag=b"\0"),
    pax({b"path": b"long/" * 30 + b"name", b"mtime": b"-1.5", b"SCHILY.xattr.user.x": b"1"}),
    member(b"short", b"y" * 513),
    long_name(b"g" * 200),
    long_name(b"t" * 150, b"K"),
    header(name=b"g" * 100, typeflag=b"2", linkname=b"t" * 100, magic=GNU),
    header(name=b"null", typeflag=b"3", devmajor=1, devminor=3),
    header(name=b"fifo", typeflag=b"6"),
    link(b"link", b"file"),
    link(b"early", b"late"),
    member(b"late", b"z"),
    *(
        part
        for form in FORMS
        for part in sparse_parts(form, [(10 * n, 2) for n in range(30)], 999, b"ab" * 30)
    ),
]
ALL = archive(*EVERYTHING)


class TestDamage:
    @pytest.mark.parametrize("from_file", [True, False])
    def test_cut_at_every_byte(self, from_file: bool, tmp_path: Path) -> None:
        parts = [
            pax({b"path": b"name"}),
            member(b"short", b"y" * 513),
            *sparse_parts("1.0", [(0, 5), (100, 5)], 999, b"ab" * 5),
            link(b"link", b"name"),
        ]
        self._cut(parts, 1, tmp_path / "archive" if from_file else None)

    def test_cut_in_every_kind_of_member(self) -> None:
        self._cut(EVERYTHING, 61, None)

    def _cut(self, parts: list[bytes], step: int, path: Path | None) -> None:
        """Assert an error, or the members before the cut and a note on the missing end mark."""
        data = archive(*parts)
        ends = list(itertools.accumulate(map(len, parts)))
        for size in sorted({*range(1, len(data), step), *ends}):
            if path is not None:
                path.write_bytes(data[:size])
            try:
                made = sources.tar(io.BytesIO(data[:size]) if path is None else path)
            except ArchiveError as error:
                assert str(error).count("\n") == 0
                assert size < ends[-1] + BLOCK
                continue
            if any("no end mark" in loss.what for loss in made.losses):
                assert size in ends
            else:
                assert size >= ends[-1] + BLOCK, f"cut at {size}"

    def test_a_bit_that_is_wrong(self) -> None:
        generator = random.Random(1)
        seen = set()
        for _ in range(4000):
            data = bytearray(ALL)
            position = generator.randrange(len(data))
            data[position] ^= 1 << generator.randrange(8)
            try:
                sources.tar(io.BytesIO(data))
            except ArchiveError as error:
                seen.add(error.problem.rsplit(":", 1)[-1].strip()[:40])
        assert any("checksum" in one for one in seen)

    def test_the_error_says_where(self) -> None:
        data = bytearray(archive(member(b"one", b"1"), pax({b"path": b"two"}), member(b"x")))
        data[2 * BLOCK + BLOCK] = ord("x")
        with pytest.raises(ArchiveError) as caught:
            sources.tar(io.BytesIO(data))
        error = caught.value
        assert (error.offset, error.member) == (2 * BLOCK, None)
        assert str(error) == ("(stream): at byte 1024: its extended header has no length at byte 0")

    def test_the_error_is_one_short_line(self) -> None:
        with pytest.raises(ArchiveError) as caught:
            tree(pax({b"path": b"\n\x1b[31m" + b"n" * 5000 + b"/../x"}), member(b"x"))
        assert len(str(caught.value)) < 1000
        assert str(caught.value).isprintable()


# -- random input ----------------------------------------------------------------------------------

LIMITS = Limits(
    members=2000, header_bytes=MIB, content_bytes=64 * MIB, expanded_bytes=8 * MIB, memory_bytes=MIB
)
SPEC = Spec(journal="none", free=0, block_size=1024)


def read(data: bytes, folder: Path | None = None) -> None:
    """Read ``data`` from memory or a file; e2fsck judges the image of the resulting tree."""
    source: io.BytesIO | Path = io.BytesIO(data)
    if folder is not None:
        source = folder / "archive"
        source.write_bytes(data)
    try:
        made = sources.tar(source, limits=LIMITS, keep_times=True)
        write_image(made, bytearray(), SPEC)
    except Ext4WriterError as error:
        assert len(str(error).splitlines()) == 1
        return
    for loss in made.losses:
        assert loss.path.startswith(b"/")


def numbers(width: int) -> st.SearchStrategy[bytes]:
    """Possible content of a numeric field."""
    return st.one_of(
        st.integers(0, 8 ** (width - 1) - 1).map(lambda value: b"%0*o\0" % (width - 1, value)),
        st.integers(0, 3000).map(lambda value: b"%o" % value),
        st.integers(-(1 << (8 * width - 9)), (1 << (8 * width - 9)) - 1).map(
            lambda value: base256(value, width)
        ),
        st.binary(max_size=width),
    )


def texts(width: int) -> st.SearchStrategy[bytes]:
    """Names that often collide, and others."""
    few = st.sampled_from([b"a", b"b", b"a/b", b"a/b/c", b"./", b"b/", b"lost+found", b"/a", b""])
    return st.one_of(few, few, st.binary(max_size=width))


def values() -> st.SearchStrategy[bytes]:
    return st.one_of(
        texts(300),
        st.integers(-(10**12), 10**20).map(lambda value: b"%d" % value),
        st.integers(0, 3000).map(lambda value: b"%d" % value),
        st.sampled_from(
            [b"", b"1.5", b"-0.000000001", b"0,5,10,5", b"user::rwx,group::r--,other::-"]
        ),
        st.binary(max_size=50),
    )


KEYWORDS = [
    *(b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"atime", b"ctime", b"comment"),
    *(b"SCHILY.devmajor", b"SCHILY.devminor", b"SCHILY.acl.access", b"SCHILY.acl.default"),
    *(b"SCHILY.xattr.user.a", b"SCHILY.xattr.system.posix_acl_access", b"RHT.security.selinux"),
    *(b"LIBARCHIVE.xattr.user.b", b"LIBARCHIVE.creationtime", b"SCHILY.fflags", b"hdrcharset"),
    *(b"GNU.sparse.name", b"GNU.sparse.size", b"GNU.sparse.realsize", b"GNU.sparse.map"),
    *(b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.offset", b"GNU.sparse.numbytes"),
]


@st.composite
def parts(draw: st.DrawFn) -> bytes:
    """A member, mostly well formed, of any type and with odd fields."""
    shape = draw(st.integers(0, 9))
    if shape <= 1:
        records = draw(
            st.lists(st.tuples(st.sampled_from(KEYWORDS), values()), min_size=1, max_size=5)
        )
        return pax(records, draw(st.sampled_from([b"x", b"x", b"x", b"g", b"X"])))
    if shape == 2:
        return long_name(draw(texts(300)), draw(st.sampled_from([b"L", b"K"])))
    if shape == 3:
        count = draw(st.integers(0, 30))
        pairs = [(draw(st.integers(0, 5000)), draw(st.integers(0, 9))) for _ in range(count)]
        if draw(st.booleans()):
            pairs.sort()
        data = b"x" * sum(length for _, length in pairs)
        size = draw(st.sampled_from([6000, 100, 1 << 30]))
        return b"".join(sparse_parts(draw(st.sampled_from(FORMS)), pairs, size, data))
    if shape == 4:
        return draw(
            st.binary(min_size=BLOCK, max_size=BLOCK).map(lambda raw: checksummed(bytearray(raw)))
        )
    data = draw(st.one_of(st.just(b""), st.binary(max_size=1100)))
    fields: dict[str, bytes | int] = {
        "size": len(data),
        "typeflag": draw(st.sampled_from([bytes([one]) for one in b"00001122345567DSVMNZ\0"])),
        "linkname": draw(texts(100)),
        "magic": draw(st.sampled_from([POSIX, GNU, V7])),
    }
    for name, width in (("mode", 8), ("uid", 8), ("mtime", 12), ("devmajor", 8), ("size", 12)):
        if draw(st.integers(0, 9)) == 0:
            fields[name] = draw(numbers(width))
    if draw(st.integers(0, 9)) == 0:
        fields["prefix"] = draw(st.binary(max_size=155))
    return header(name=draw(texts(100)), **fields) + padded(data)


FUZZ = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@settings(FUZZ, max_examples=250)
@given(st.lists(parts(), max_size=12), st.binary(max_size=600))
def test_random_members(
    tmp_path_factory: pytest.TempPathFactory, some: list[bytes], tail: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "tar-by-chance"
    folder.mkdir(exist_ok=True)
    read(b"".join(some) + tail + archives.END, folder)


@settings(FUZZ, max_examples=300)
@given(st.data())
def test_random_bytes_in_an_archive(data: st.DataObject) -> None:
    """Bytes of the archive of everything are replaced, removed or inserted; checksums are fixed."""
    mutated = bytearray(ALL)
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(mutated) - 1))
        match data.draw(st.integers(0, 3)):
            case 0:
                mutated[position] = data.draw(st.integers(0, 255))
            case 1:
                del mutated[position : position + data.draw(st.sampled_from([1, 12, BLOCK]))]
            case 2:
                mutated[position:position] = data.draw(st.binary(max_size=20))
            case 3:
                block = position // BLOCK * BLOCK
                width = data.draw(st.sampled_from([1, 8, 12, 24]))
                at = data.draw(st.integers(0, BLOCK - width))
                raw = data.draw(st.binary(min_size=width, max_size=width))
                mutated[block + at : block + at + width] = raw
                whole = bytearray(mutated[block : block + BLOCK])
                if len(whole) == BLOCK:
                    mutated[block : block + BLOCK] = checksummed(whole)
    read(bytes(mutated))


@settings(FUZZ, max_examples=100)
@given(st.binary(max_size=200), st.sampled_from(["gzip", "zstd"]))
def test_random_bytes_in_a_compressed_archive(raw: bytes, name: str) -> None:
    pack = gzip.compress if name == "gzip" else zstandard.compress
    good = pack(ALL)
    read(good[: len(raw)] + raw)
    read(raw + good)
    read(pack(raw))


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no /dev/zero")
def test_a_device_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins like an empty archive."""
    monkeypatch.setattr(inputs, "AFTER_THE_END_MAX", 1 << 20)
    with pytest.raises(ArchiveError, match="continues for more than"):
        sources.tar("/dev/zero")
