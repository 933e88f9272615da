"""``ext4writer nix`` reads binary caches and archives that a real Nix wrote, without a store."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from ext4writer import Directory, Symlink
from ext4writer.sources.nar_dump import dump_nar
from tests.builder.command import assert_one_line, assert_untouched, report, run
from tests.judges import tools
from tests.sources.test_nar import BAD

from .conftest import RealClosure

NIX = ("nix", "--extra-experimental-features", "nix-command")
COMPRESSIONS = ("none", "xz", "zstd", "bzip2", "gzip")
ONES = "sha256:" + "1" * 52
"""A hash that matches nothing here."""


@pytest.fixture(scope="session")
def caches(closure: RealClosure, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Binary caches with the entire closure, by compression."""
    scratch = tmp_path_factory.mktemp("caches")

    def cache(compression: str) -> Path:
        folder = scratch / compression
        if not folder.exists():
            url = f"file://{folder}?compression={compression}"
            closure.host.run(*NIX, "copy", "--to", url, *closure.roots)
        return folder

    return cache


def roots(closure: RealClosure) -> list[str]:
    return [word for root in closure.roots for word in ("--root", root)]


@pytest.fixture(scope="session")
def live(closure: RealClosure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of the store itself, with the registration that we compute."""
    image = tmp_path_factory.mktemp("live") / "a.img"
    assert run("nix", *closure.listed, "-o", image).returncode == 0
    return image


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_cache_gives_the_image_of_the_store(
    compression: str,
    closure: RealClosure,
    caches: Callable[[str], Path],
    live: Path,
    out: Path,
) -> None:
    cache = caches(compression)
    files = list((cache / "nar").iterdir())
    assert len(files) == 5
    image = out / "a.img"
    facts = report("nix", "--cache", f"file://{cache}", *roots(closure), "-o", image)
    assert os.listdir(out) == ["a.img"]
    assert image.read_bytes() == live.read_bytes()
    assert facts["store_paths"] == 5
    assert facts["verified"] is True
    spooled = facts["peak_disk"] - image.stat().st_blocks * 512
    nar_size = facts["nar_size"]
    assert spooled == 0 if compression == "none" else nar_size <= spooled < nar_size + 5 * 4096


def test_a_cache_and_the_registration_of_the_store(
    closure: RealClosure, caches: Callable[[str], Path], out: Path
) -> None:
    assert run("nix", *closure.options, "-o", out / "a.img").returncode == 0
    cache = caches("xz")
    done = run("nix", "--closure", closure.folder, "--cache", cache, "-o", out / "b.img")
    assert (done.returncode, done.stderr) == (0, "")
    assert (out / "a.img").read_bytes() == (out / "b.img").read_bytes()


def test_the_closure_is_followed(
    closure: RealClosure, caches: Callable[[str], Path], out: Path
) -> None:
    [program] = [root for root in closure.roots if root.endswith("-program-1.0")]
    done = run("nix", "registration", "--cache", caches("xz"), "--root", program)
    assert done.returncode == 0
    found = [line for line in done.stdout.splitlines() if line in closure.paths]
    assert set(found) == set(closure.host.closure(program))
    assert len(set(found)) == 4
    base_name = os.path.basename(program)
    again = run("nix", "registration", "--cache", caches("zstd"), "--root", base_name)
    assert again.stdout == done.stdout


def test_the_number_of_workers_changes_nothing(
    closure: RealClosure, caches: Callable[[str], Path], live: Path, out: Path
) -> None:
    for workers in ("1", "4"):
        options = ["--cache", caches("zstd"), *roots(closure), "--workers", workers]
        assert run("nix", *options, "-o", out / "a.img").returncode == 0
        assert (out / "a.img").read_bytes() == live.read_bytes()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_archives_by_themselves(
    compression: str,
    closure: RealClosure,
    caches: Callable[[str], Path],
    live: Path,
    out: Path,
    tmp_path: Path,
) -> None:
    """The file's name does not matter; hash, size and references follow from the content."""
    options: list[str | Path] = []
    for number, info in enumerate(caches(compression).glob("*.narinfo")):
        facts = dict(line.split(": ", 1) for line in info.read_text().splitlines())
        file = tmp_path / f"a={number}.nar"
        shutil.copy(caches(compression) / facts["URL"], file)
        options += ["--nar", f"{facts['StorePath']}={file}"]
    assert len(options) == 10
    assert run("nix", *options, "-o", out / "a.img").returncode == 0
    assert (out / "a.img").read_bytes() == live.read_bytes()
    with_one = ["--verify", "--registration", closure.folder / "registration"]
    assert report("nix", *options, *with_one, "-o", out / "a.img")["verified"] is True
    assert run("nix", *closure.options, "-o", out / "b.img").returncode == 0
    assert (out / "a.img").read_bytes() == (out / "b.img").read_bytes()


def test_no_store_and_no_nix_are_needed(
    closure: RealClosure, caches: Callable[[str], Path], live: Path, out: Path
) -> None:
    """The sandbox has neither a store nor a program of Nix, and cannot write to the cache."""
    cache = caches("xz")
    hidden = closure.host.nix
    sandbox = [
        *(tools.require("bwrap"), "--dev-bind", "/", "/", "--tmpfs", str(hidden)),
        *("--ro-bind", str(cache), str(cache), "--unshare-net"),
        *("--ro-bind", "/dev/null", tools.require("nix-store")),
    ]
    done = run(
        *("nix", "--cache", cache, *roots(closure), "-o", out / "a.img"), prefix=tuple(sandbox)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (out / "a.img").read_bytes() == live.read_bytes()


# -- incomplete caches -----------------------------------------------------------------------------


def narinfo(cache: Path, suffix: str) -> Path:
    """The description of the path whose name ends with ``suffix``."""
    [found] = [
        path
        for path in cache.glob("*.narinfo")
        if path.read_text().splitlines()[0].endswith(suffix)
    ]
    return found


def archive(cache: Path, suffix: str) -> Path:
    """The archive of the path whose name ends with ``suffix``."""
    lines = narinfo(cache, suffix).read_text().splitlines()
    [url] = [line.removeprefix("URL: ") for line in lines if line.startswith("URL: ")]
    return cache / url


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def drop_line(path: Path, key: str) -> None:
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"{key}:")]
    assert len(kept) < len(lines)
    path.write_text("".join(kept))


def corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def without_file_facts(cache: Path, suffix: str) -> None:
    """Remove the facts that would reveal a fault before the archive is read."""
    for key in ("FileHash", "FileSize"):
        drop_line(narinfo(cache, suffix), key)


def truncated(cache: Path, suffix: str, *, known: bool) -> None:
    if not known:
        without_file_facts(cache, suffix)
    path = archive(cache, suffix)
    os.truncate(path, path.stat().st_size * 2 // 3)


def set_line(path: Path, key: str, value: str) -> None:
    drop_line(path, key)
    path.write_text(f"{path.read_text()}{key}: {value}\n")


def longer(cache: Path, more: bytes = bytes(8)) -> None:
    without_file_facts(cache, "-odd")
    with archive(cache, "-odd").open("ab") as file:
        file.write(more)


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def huge(cache: Path) -> None:
    """Give later archives larger claimed sizes, so the last is unpacked first."""
    for number, path in enumerate(sorted(cache.glob("*.narinfo"))):
        set_line(path, "NarSize", str((1 << 62) + number))


DAMAGES: dict[str, tuple[str, Callable[[Path], object], tuple[str, ...]]] = {
    "no such cache": ("xz", shutil.rmtree, ("not a folder",)),
    "no cache at all": ("xz", lambda cache: (cache / "nix-cache-info").unlink(), ("not a binary",)),
    "another store": (
        "xz",
        lambda cache: replace(cache / "nix-cache-info", "/nix/store", "/gnu/store"),
        ("/gnu/store",),
    ),
    "a path that is missing": (
        "xz",
        lambda cache: narinfo(cache, "-odd").unlink(),
        ("-odd", "is missing in the cache", "-library refers to it"),
    ),
    "an archive that is missing": (
        "xz",
        lambda cache: archive(cache, "-odd").unlink(),
        (".nar.xz", "No such file"),
    ),
    "a truncated xz": (
        "xz",
        lambda cache: truncated(cache, "-odd", known=True),
        ("bytes, and its narinfo says",),
    ),
    "a truncated xz of unknown size": (
        "xz",
        lambda cache: truncated(cache, "-odd", known=False),
        (".nar.xz", "xz data is cut short"),
    ),
    "a truncated zstd": (
        "zstd",
        lambda cache: truncated(cache, "-odd", known=False),
        (".nar.zst", "zstd data is cut short"),
    ),
    "a truncated bzip2": (
        "bzip2",
        lambda cache: truncated(cache, "-odd", known=False),
        (".nar.bz2", "bzip2 data is cut short"),
    ),
    "a truncated gzip": (
        "gzip",
        lambda cache: truncated(cache, "-odd", known=False),
        (".nar", "gzip data is cut short"),
    ),
    "a truncated nar": (
        "none",
        lambda cache: truncated(cache, "-odd", known=False),
        ("-odd: its archive ", ".nar has ", "so it is cut short"),
    ),
    "a nar with more after it": (
        "none",
        longer,
        ("-odd: its archive ", "more than the", "that are declared"),
    ),
    "an xz with more after it": (
        "xz",
        lambda cache: longer(cache, b"more"),
        (".nar.xz: 4 bytes follow its xz data",),
    ),
    "a bit in an xz": ("xz", lambda cache: corrupt(archive(cache, "-odd")), (".nar.xz",)),
    "a bit in a zstd": ("zstd", lambda cache: corrupt(archive(cache, "-odd")), (".nar.zst",)),
    "a bit in a nar": (
        "none",
        lambda cache: corrupt(archive(cache, "-odd")),
        (".nar", "has the hash sha256:"),
    ),
    "a file hash of no form": (
        "xz",
        lambda cache: replace(narinfo(cache, "-odd"), "FileHash: sha256:", "FileHash: sha256:0"),
        ("narinfo", "not a SHA-256 hash"),
    ),
    "another file hash": (
        "xz",
        lambda cache: set_line(narinfo(cache, "-odd"), "FileHash", ONES),
        (".nar.xz: has the hash sha256:", f", and its narinfo says {ONES}"),
    ),
    "another file hash of a nar": (
        "none",
        lambda cache: set_line(narinfo(cache, "-odd"), "FileHash", ONES),
        (".nar: has the hash sha256:", f", and its narinfo says {ONES}"),
    ),
    "another file size": (
        "zstd",
        lambda cache: set_line(narinfo(cache, "-odd"), "FileSize", "77"),
        (".nar.zst: has ", "bytes, and its narinfo says 77"),
    ),
    "a pipe": (
        "xz",
        lambda cache: piped(archive(cache, "-odd")),
        (".nar.xz: is not a regular file",),
    ),
    "sizes that no file has": ("xz", huge, ("declare more bytes than a file",)),
    "a size that no file has": (
        "xz",
        lambda cache: set_line(narinfo(cache, "-odd"), "NarSize", str(1 << 63)),
        ("narinfo: '9223372036854775808' is not a size in bytes",),
    ),
    "another archive hash": (
        "xz",
        lambda cache: set_line(narinfo(cache, "-word"), "NarHash", ONES),
        ("-word", "has the hash sha256:", "is registered"),
    ),
    "a larger size": (
        "xz",
        lambda cache: replace(narinfo(cache, "-word"), "NarSize: ", "NarSize: 9"),
        ("-word", "bytes"),
    ),
    "a smaller size": (
        "xz",
        lambda cache: set_line(narinfo(cache, "-many"), "NarSize", "4096"),
        ("-many", "more than the 4096 bytes"),
    ),
    "a compression that is not known": (
        "xz",
        lambda cache: replace(narinfo(cache, "-odd"), "Compression: xz", "Compression: br"),
        ("'br'",),
    ),
    "the wrong compression": (
        "xz",
        lambda cache: replace(narinfo(cache, "-odd"), "Compression: xz", "Compression: bzip2"),
        ("damaged",),
    ),
    "an address outside": (
        "xz",
        lambda cache: replace(narinfo(cache, "-odd"), "URL: nar/", "URL: nar/../../"),
        ("is not in the cache",),
    ),
    "an address on the net": (
        "xz",
        lambda cache: replace(narinfo(cache, "-odd"), "URL: nar/", "URL: https://host/"),
        ("is not in the cache",),
    ),
    "an address with a NUL": (
        "xz",
        lambda cache: replace(narinfo(cache, "-odd"), "URL: nar/", "URL: nar/\0"),
        ("is not in the cache",),
    ),
    "another path": (
        "xz",
        lambda cache: replace(narinfo(cache, "-odd"), "-odd", "-even"),
        ("-even instead of",),
    ),
    "no hash": ("xz", lambda cache: drop_line(narinfo(cache, "-odd"), "NarHash"), ("'NarHash'",)),
    "a line twice": (
        "xz",
        lambda cache: replace(narinfo(cache, "-odd"), "URL: ", "URL: nar/x\nURL: "),
        ("second time",),
    ),
    "a line of no form": (
        "xz",
        lambda cache: replace(narinfo(cache, "-odd"), "URL: ", "URL "),
        ("Key: value",),
    ),
    "a reference of no form": (
        "xz",
        lambda cache: replace(narinfo(cache, "-odd"), "References: ", "References: ../x"),
        ("not the name of a store path",),
    ),
    "a description that is cut short": (
        "xz",
        lambda cache: os.truncate(narinfo(cache, "-odd"), 100),
        ("cut short",),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_incomplete_cache_is_refused(
    damage: str,
    closure: RealClosure,
    caches: Callable[[str], Path],
    out: Path,
    tmp_path: Path,
) -> None:
    compression, act, words = DAMAGES[damage]
    cache = tmp_path / "cache"
    shutil.copytree(caches(compression), cache)
    act(cache)
    [library] = [path for path in closure.paths if path.endswith("-library")]
    [many] = [path for path in closure.paths if path.endswith("-many")]
    options = ["--cache", cache, "--root", library, "--root", many, "--workers", "1"]
    done = run("nix", *options, "-o", out / "a.img.zst")
    assert_one_line(done, 1, *words)
    assert_untouched(out)


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("https://cache.nixos.org", "file://"),
        ("http://[x", "Invalid IPv6 URL"),
        ("//[x", "Invalid IPv6 URL"),
    ],
)
def test_a_cache_on_the_network_is_refused(
    place: str, word: str, out: Path, closure: RealClosure
) -> None:
    options = ["--cache", place, *roots(closure)]
    assert_one_line(run("nix", *options, "-o", out / "a.img"), 1, place, word)
    assert_untouched(out)


def test_a_registration_of_something_else(
    closure: RealClosure, caches: Callable[[str], Path], out: Path, tmp_path: Path
) -> None:
    [many] = [path for path in closure.paths if path.endswith("-many")]
    options = ["--cache", caches("xz"), "--root", many]
    registration = closure.folder / "registration"
    done = run("nix", *options, "--registration", registration, "-o", out / "a.img")
    assert_one_line(done, 1, "is registered, but not listed")
    lines = run("nix", "registration", *options).stdout.splitlines()
    lines[1] = "sha256:" + "1" * 52
    other = tmp_path / "registration"
    other.write_text("".join(f"{line}\n" for line in lines))
    done = run("nix", *options, "--registration", other, "-o", out / "a.img")
    assert_one_line(done, 1, "-many", "sha256:1111")
    assert_untouched(out)


def test_a_full_disk_for_the_temporary_file(
    closure: RealClosure, caches: Callable[[str], Path], out: Path
) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    options = ["--cache", caches("xz"), *roots(closure)]
    done = run("nix", *options, "-o", out / "a.img.zst", preexec_fn=limit)
    assert_one_line(done, 1, f"{out}: the temporary file for archives", "File too large")
    assert_untouched(out)


def test_invalid_archives_are_refused(closure: RealClosure, out: Path, tmp_path: Path) -> None:
    path = closure.roots[0]
    file = tmp_path / "a.nar"
    file.write_bytes(b"not an archive")
    for given, words in (
        (f"{path}={file}", (str(file), "not a Nix archive")),
        (f"{path}={tmp_path / 'missing'}", ("missing", "cannot be read")),
        (f"/elsewhere/{os.path.basename(path)}={file}", ("directly below /nix/store",)),
        (f"short={file}", ("not the name of a store path",)),
    ):
        done = run("nix", "--nar", given, "-o", out / "a.img")
        assert_one_line(done, 1, *words)
    assert_one_line(run("nix", "--nar", path, "-o", out / "a.img"), 2, "PATH=FILE")
    twice = ["--nar", f"{path}={file}"] * 2
    assert_one_line(run("nix", *twice, "-o", out / "a.img"), 1, "given twice")
    assert_untouched(out)


def test_no_place_for_a_temporary_file(closure: RealClosure, caches: Callable[[str], Path]) -> None:
    """Uncompressed archives need none."""
    everything = (tools.require("bwrap"), "--ro-bind", "/", "/", "--dev", "/dev")
    for compression, status in (("xz", 1), ("none", 0)):
        options = ["--cache", caches(compression), *roots(closure), "--quiet"]
        done = run("nix", *options, "-o", "-", prefix=everything, text=False)
        assert (done.returncode, bool(done.stdout)) == (status, not status)
        if status:
            assert done.stderr.startswith(b"ext4writer: TMPDIR: a temporary file cannot be created")
            assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("compress", [bytes, lzma.compress], ids=["nar", "xz"])
def test_an_archive_that_nix_does_not_write(
    case: str, compress: Callable[[bytes], bytes], closure: RealClosure, out: Path, tmp_path: Path
) -> None:
    make, word = BAD[case]
    file = tmp_path / "a.nar"
    file.write_bytes(compress(make()))
    done = run("nix", "--nar", f"{closure.roots[0]}={file}", "-o", out / "a.img.zst")
    assert_one_line(done, 1, str(file), word)
    assert_untouched(out)


def test_five_percent_of_many_inodes_are_free(out: Path, tmp_path: Path) -> None:
    """Above 20,480 entries, that is more than the minimum, which the other images have."""
    root = Directory()
    for number in range(30_000):
        root.children[b"%d" % number] = Symlink(b"x")
    with open(tmp_path / "a.nar", "wb") as file:
        dump_nar(root, file.write)
    path = f"/nix/store/{'0' * 32}-many"
    facts = report("nix", "--nar", f"{path}={tmp_path / 'a.nar'}", "-o", out / "a.img")
    entries = sum(facts["entries"].values())
    assert entries > 30_000
    assert entries / 20 <= facts["free_inodes"] < entries / 20 + 1000


@pytest.mark.parametrize("program", ["xz", "zstd", "bzip2", "gzip"])
def test_a_compressed_archive_cut_anywhere(
    program: str,
    closure: RealClosure,
    caches: Callable[[str], Path],
    out: Path,
    tmp_path: Path,
) -> None:
    """This includes cuts where the archive inside is complete and only its check is missing."""
    [word] = [path for path in closure.paths if path.endswith("-word")]
    plain = archive(caches("none"), "-word")
    with open(tmp_path / "whole", "wb") as whole:
        subprocess.run([tools.require(program), "-c", plain], stdout=whole, check=True)
    data = (tmp_path / "whole").read_bytes()
    file = tmp_path / "a.nar"
    for cut in (1, 4, 5, 8, 9, len(data) // 2, len(data) - 6):
        file.write_bytes(data[:-cut])
        done = run("nix", "--nar", f"{word}={file}", "-o", out / "a.img.zst")
        assert_one_line(done, 1, str(file), f"its {program} data is cut short")
        assert_untouched(out)


def test_a_stream_of_several_frames(
    closure: RealClosure, caches: Callable[[str], Path], out: Path, tmp_path: Path
) -> None:
    """Like pzstd's: with frames cut at any point, and one to skip."""
    [many] = [path for path in closure.paths if path.endswith("-many")]
    data = archive(caches("none"), "-many").read_bytes()
    images = []
    for name, cuts in (("one", [0, len(data)]), ("several", [0, 1, 1000, 300_000, len(data)])):
        file = tmp_path / f"{name}.nar.zst"
        frames = [zstandard.compress(data[start:end]) for start, end in pairwise(cuts)]
        frames.insert(1, b"\x50\x2a\x4d\x18\x03\0\0\0any")
        file.write_bytes(b"".join(frames))
        images.append(out / f"{name}.img")
        done = run("nix", "--nar", f"{many}={file}", "-o", images[-1])
        assert (done.returncode, done.stderr) == (0, "")
    assert images[0].read_bytes() == images[1].read_bytes()


def test_a_bomb_is_not_unpacked(closure: RealClosure, out: Path, tmp_path: Path) -> None:
    """Gigabytes of zeros in a small file: unpacking stops at the registered size."""
    [word] = [path for path in closure.paths if path.endswith("-word")]
    file = tmp_path / "bomb.nar.zst"
    with open(file, "wb") as stream:
        zeros = subprocess.Popen(["head", "-c", "2G", "/dev/zero"], stdout=subprocess.PIPE)
        subprocess.run(
            [tools.require("zstd"), "-1", "-c"], stdin=zeros.stdout, stdout=stream, check=True
        )
        zeros.wait()
    text = run("nix", "registration", "--store-paths", _one(tmp_path, word), *closure.listed[2:])
    registration = tmp_path / "registration"
    registration.write_text(text.stdout)
    done = run(
        *("nix", "--nar", f"{word}={file}", "--registration", registration),
        *("-o", out / "a.img"),
    )
    assert_one_line(done, 1, "-word", "more than the")
    assert_untouched(out)


def _one(folder: Path, path: str) -> Path:
    file = folder / "store-paths"
    file.write_text(f"{path}\n")
    return file
