"""Outputs of the command: parts of files, devices, names, and what is not an output."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import random
import stat
from pathlib import Path

import pytest

from tests.builder.command import assert_one_line, assert_untouched, report, run
from tests.judges import fsck, tools
from tests.judges.devices import contents, loop_device, signatures
from tests.judges.watch import Watch

MIB = 1 << 20


@pytest.fixture
def disk(out: Path) -> Path:
    """A full disk image of 40 MiB."""
    path = out / "disk.raw"
    path.write_bytes(random.Random(1).randbytes(MIB) * 40)
    return path


def image_of(source: Path, out: Path, *options: str) -> bytes:
    path = out / "plain.img"
    assert run("build", source, "-q", "-o", path, *options).returncode == 0
    data = path.read_bytes()
    path.unlink()
    return data


class TestParts:
    def test_an_offset_in_a_disk_image(self, source: Path, out: Path, disk: Path) -> None:
        before = disk.read_bytes()
        facts = report("build", source, "-o", disk, "--offset", "8M", "--size", "16M")
        after = disk.read_bytes()
        assert facts["size"] == 16 * MIB
        assert after[: 8 * MIB] == before[: 8 * MIB]
        assert after[24 * MIB :] == before[24 * MIB :]
        assert after[8 * MIB : 24 * MIB] == image_of(source, out, "--size", "16M")
        assert os.listdir(out) == ["disk.raw"]

    def test_size_region_is_everything_after_the_offset(self, source: Path, disk: Path) -> None:
        facts = report("build", source, "-o", disk, "--offset", "8M", "--size", "region")
        assert facts["size"] == 32 * MIB
        assert disk.stat().st_size == 40 * MIB
        os.truncate(disk, 20 * MIB + 777)
        facts = report("build", source, "-o", disk, "--offset", "1000", "--size", "region")
        assert facts["size"] == (20 * MIB - 223) // 4096 * 4096

    def test_parts_that_do_not_fit_are_refused(self, source: Path, out: Path, disk: Path) -> None:
        before = disk.read_bytes()
        for offset, size in (("8M", "33M"), ("40M", "8M"), ("1G", "8M")):
            done = run("build", source, "-o", disk, "--offset", offset, "--size", size)
            assert_one_line(done, 1, "disk.raw", "the image needs")
        done = run("build", source, "-o", disk, "--offset", "41M", "--size", "region")
        assert_one_line(done, 1, "no bytes follow --offset")
        assert disk.read_bytes() == before
        done = run("build", source, "-o", out / "missing", "--offset", "1M")
        assert_one_line(done, 1, "missing: does not exist")
        assert os.listdir(out) == ["disk.raw"]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["-o", "-", "--offset", "1M"], ["--offset"]),
            (["-o", "a.img", "--size", "device"], ["--size device", "block device"]),
            (["-o", "a.img", "--size", "region"], ["--size region", "--offset"]),
            (["-o", "-", "--size", "region"], ["--size region"]),
        ],
    )
    def test_options_without_effect_are_refused(
        self, source: Path, out: Path, options: list[str], words: list[str]
    ) -> None:
        assert_one_line(run("build", source, *options, cwd=out), 2, *words)
        assert_untouched(out)

    def test_a_plan_accepts_no_output_size(self, source: Path) -> None:
        assert_one_line(run("plan", source, "--size", "device"), 2, "--size device", "--output")


@pytest.mark.root
class TestDevices:
    def test_a_device_is_filled(self, source: Path, disk: Path, watch: Watch) -> None:
        watch.damaged(disk)
        with loop_device(disk, sector_size=4096) as device:
            facts = report("build", source, "-o", device, "--size", "device")
            assert facts["size"] == 40 * MIB
            assert signatures(device) == ["ext4"]
            fsck.assert_clean(device)
            facts = report("build", source, "-o", device, "--offset", "4M", "--size", "region")
            assert facts["size"] == 36 * MIB

    def test_free_blocks_that_are_kept(self, source: Path, disk: Path, out: Path) -> None:
        before = disk.read_bytes()
        for name in (disk, out / "new.img", "-"):
            done = run("build", source, "-o", name, "--free-blocks", "keep")
            assert done.returncode == 2 and "needs an --output that is" in done.stderr
        with loop_device(disk) as device:
            options = ["build", source, "-o", device, "--size", "device", "--free-blocks", "keep"]
            done = run(*options, "--chunks", out / "chunks")
            assert done.returncode == 2 and "--free-blocks keep leaves bytes" in done.stderr
            assert contents(device) == before
            facts = report(*options)
            assert facts["size"] == 40 * MIB
            assert contents(device)[20 * MIB : 30 * MIB] == before[20 * MIB : 30 * MIB]
            assert signatures(device) == ["ext4"]
            fsck.assert_clean(device)

    def test_a_closure_on_a_device(self, tmp_path: Path, disk: Path) -> None:
        name = "0123456789abcdfghijklmnpqrsvwxyz-hello"
        (tmp_path / "store" / name).mkdir(parents=True)
        (tmp_path / "store" / name / "hello").write_text("hello\n")
        (tmp_path / "paths").write_text(f"/nix/store/{name}\n")
        options = ["--store-paths", tmp_path / "paths", "--store-dir", tmp_path / "store"]
        with loop_device(disk) as device:
            facts = report("nix", *options, "-o", device, "--offset", "4M", "--size", "region")
            data = contents(device)
            assert signatures(device) == []
        assert facts["size"] == 36 * MIB
        image = tmp_path / "part"
        image.write_bytes(data[4 * MIB :])
        fsck.assert_clean(image)
        assert tools.run(["sha256sum", image]).stdout.split()[0] == facts["sha256"]

    def test_outputs_that_are_not_free_devices_are_refused(
        self, source: Path, disk: Path, out: Path
    ) -> None:
        assert_one_line(
            run("build", source, "-o", "/dev/sdz99"), 1, "/dev/sdz99: does not exist as a device"
        )
        for command in (["manifest", source], ["build", source, "--raw"]):
            assert_one_line(run(*command, "-o", "/dev/none.gz"), 1, "does not exist as a device")
        tools.run(["mke2fs", "-q", "-F", disk])
        before = disk.read_bytes()
        tools.require_loop_mount()
        (out / "point").mkdir()
        with loop_device(disk) as device:
            tools.run(["mount", "-o", "ro", device, out / "point"])
            try:
                done = run("build", source, "-o", device, "--size", "device")
                assert_one_line(done, 1, "is in use, perhaps mounted")
            finally:
                tools.run(["umount", out / "point"])
        with loop_device(disk, "--read-only") as device:
            done = run("build", source, "-o", device, "--size", "device")
            assert_one_line(done, 1, "is a read-only device")
        assert disk.read_bytes() == before


class TestNames:
    @pytest.mark.parametrize(
        ("name", "unpack"), [("a.img.gz", gzip.decompress), ("a.xz", lzma.decompress)]
    )
    def test_compressed_ones(self, source: Path, out: Path, name: str, unpack: object) -> None:
        assert callable(unpack)
        assert run("build", source, "-q", "-o", out / name).returncode == 0
        data = (out / name).read_bytes()
        assert unpack(data) == image_of(source, out)
        assert run("build", source, "-q", "--workers", "3", "-o", out / name).returncode == 0
        assert (out / name).read_bytes() == data
        assert_one_line(
            run("build", source, "-o", out / name, "--zstd-level", "3"), 2, "--zstd-level"
        )
        assert_one_line(run("build", source, "-o", out / name, "--offset", "3"), 2, "--offset")

    @pytest.mark.parametrize("name", ["a.img.lz4", "a.bz2", "a.vmdk", "a.vhdx", "a.VDI"])
    def test_other_formats_are_refused(self, source: Path, out: Path, name: str) -> None:
        done = run("build", source / "missing", "-o", out / name)
        assert_one_line(done, 1, name, ".zst, .gz or .xz")
        assert_untouched(out)
        done = run("build", source, "-q", "--raw", "-o", out / name)
        assert (done.returncode, done.stderr) == (0, "")
        assert (out / name).read_bytes() == image_of(source, out)

    def test_a_manifest_may_have_any_name(self, source: Path, out: Path) -> None:
        assert run("manifest", source, "-o", out / "a.gz").returncode == 0
        assert (out / "a.gz").read_text().startswith("#mtree")


class TestReplacing:
    @pytest.mark.parametrize("command", ["build", "manifest"])
    def test_modes_stay(self, source: Path, out: Path, command: str) -> None:
        path = out / "a"
        path.touch(0o600)
        path.chmod(0o600)
        done = run(command, source, "-q", "-o", path, umask=0o022)
        assert done.returncode == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.unlink()
        assert run(command, source, "-q", "-o", path, umask=0o027).returncode == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    @pytest.mark.parametrize("command", ["build", "manifest"])
    def test_links(self, source: Path, out: Path, command: str) -> None:
        (out / "link").symlink_to("real")
        done = run(command, source, "-o", out / "link")
        assert_one_line(done, 1, "link: is a link to", "real, which does not exist")
        (out / "real").touch()
        assert run(command, source, "-q", "-o", out / "link").returncode == 0
        assert (out / "link").is_symlink() and (out / "real").stat().st_size

    def test_sync(self, source: Path, out: Path) -> None:
        tools.require("strace")
        trace = out / "trace"
        done = run(
            *("build", source, "-q", "--sync", "-o", out / "a.img"),
            prefix=("strace", "-f", "-e", "trace=fsync,rename", "-o", str(trace)),
        )
        assert done.returncode == 0
        calls = [line.split()[1].partition("(")[0] for line in trace.read_text().splitlines()]
        order = [call for call in calls if call in ("fsync", "rename")]
        assert order == ["fsync", "rename", "fsync"]


class TestSources:
    """Inputs cannot be the output; this is checked before anything is opened."""

    @pytest.mark.parametrize("name", ["a.tar", "link", "second"])
    def test_an_archive(self, source: Path, out: Path, name: str) -> None:
        tools.run(["tar", "-cf", out / "a.tar", "-C", source, "etc"])
        (out / "link").symlink_to("a.tar")
        os.link(out / "a.tar", out / "second")
        before = (out / "a.tar").read_bytes()
        for options in ([], ["--offset", "0"], ["--raw"]):
            done = run("build", out / "a.tar", "-o", out / name, *options)
            assert_one_line(done, 1, name, "does not overwrite its inputs")
        assert (out / "a.tar").read_bytes() == before
        assert sorted(os.listdir(out)) == ["a.tar", "link", "second"]

    def test_standard_streams(self, source: Path, out: Path) -> None:
        tools.run(["tar", "-cf", out / "a.tar", "-C", source, "etc"])
        before = (out / "a.tar").read_bytes()
        with (out / "a.tar").open("rb") as stream:
            done = run("build", "-", "-o", out / "a.tar", stdin=stream)
        assert_one_line(done, 1, "a.tar", "not overwrite its inputs")
        with (out / "a.tar").open("ab") as stream:
            done = run("build", out / "a.tar", "-o", "-", stdout=stream)
        assert_one_line(done, 1, "standard output", "not overwrite its inputs")
        assert (out / "a.tar").read_bytes() == before

    @pytest.mark.parametrize(
        "option", ["--rules", "--file-contexts", "--device-table", "--makedevs", "--users"]
    )
    def test_files_of_options(self, source: Path, out: Path, option: str) -> None:
        (out / "a").write_text("# nothing\n")
        done = run("build", source, option, out / "a", "-o", out / "a")
        assert_one_line(done, 1, "a: is", "not overwrite its inputs")
        assert (out / "a").read_text() == "# nothing\n"

    def test_a_manifest_over_its_source(self, source: Path, out: Path) -> None:
        text = "#mtree\n. type=dir\n"
        (out / "a.mtree").write_text(text)
        done = run("manifest", f"manifest:{out}/a.mtree", "-o", out / "a.mtree")
        assert_one_line(done, 1, "a.mtree", "not overwrite its inputs")
        assert (out / "a.mtree").read_text() == text
        done = run("manifest", source, "-o", source / "large")
        assert_one_line(done, 1, "large", "not overwrite its inputs")
        assert (source / "large").stat().st_size == 255_000

    def test_an_archive_of_nix(self, source: Path, out: Path) -> None:
        nar = out / "hello.nar"
        nar.write_bytes(nar_of(b"hello\n"))
        before = nar.read_bytes()
        path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello"
        done = run("nix", "--nar", f"{path}={nar}", "-o", nar)
        assert_one_line(done, 1, "hello.nar", "not overwrite its inputs")
        assert nar.read_bytes() == before
        for name in (nar, out / "image"):
            done = run("nix", "--nar", f"{path}={nar}", "-o", out / "image", "--bmap", name)
            assert_one_line(done, 1, name.name)
            assert os.listdir(out) == ["hello.nar"] and nar.read_bytes() == before


def nar_of(data: bytes) -> bytes:
    """The archive of a file."""

    def text(value: bytes) -> bytes:
        return len(value).to_bytes(8, "little") + value + bytes(-len(value) % 8)

    words = (b"nix-archive-1", b"(", b"type", b"regular", b"contents", data, b")")
    return b"".join(map(text, words))


def test_a_report_says_what_was_written(source: Path, disk: Path) -> None:
    done = run("build", source, "-o", disk, "--offset", "1M", "--size", "8M", "--json")
    assert json.loads(done.stdout)["image"] == str(disk)


@pytest.mark.parametrize("sync", [[], ["--sync"]])
@pytest.mark.parametrize("command", ["build", "manifest"])
def test_errors_on_closing_standard_output_are_reported(
    source: Path, out: Path, command: str, sync: list[str]
) -> None:
    """A network file system may report only on closing that it could not write."""
    if sync and command == "manifest":
        return
    call = "fsync" if sync else "close"
    script = f"""
import os, stat, sys
from ext4writer_cli.__main__ import main
original, home = os.{call}, os.fstat(1)
def refuse(fd):
    is_output = os.path.samestat(os.fstat(fd), home)
    original(fd)
    if is_output:
        raise OSError(5, "Input/output error")
os.{call} = refuse
main()
"""
    with (out / "a").open("wb") as stream:
        done = run(command, source, "-q", *sync, "-o", "-", script=script, stdout=stream)
    assert_one_line(done, 1, "standard output", "Input/output error")
