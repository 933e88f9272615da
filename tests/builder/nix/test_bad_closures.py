"""A faulty closure is reported in one line that names the fault, and no file is left."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ext4writer.nix.errors import NixError
from ext4writer.nix.hashes import parse_sha256, to_base32
from ext4writer.nix.narinfo import read_narinfo
from ext4writer.nix.registration import read_registration, write_registration
from ext4writer.nix.store_paths import read_list
from tests.builder.command import assert_one_line, assert_untouched, run
from tests.builder.test_bad_input import AT_STAGE
from tests.judges import tools

from .conftest import RealClosure

STRANGER = f"/nix/store/{'0' * 32}-stranger"

Lines = list[str]


def at(lines: Lines, suffix: str) -> int:
    """The line of the record of the path whose name ends with ``suffix``."""
    [found] = [
        number
        for number, line in enumerate(lines)
        if line.endswith(suffix) and len(lines[number + 1]) == 64
    ]
    return found


def edited(suffix: str, offset: int, text: str) -> Callable[[Lines], str]:
    """Replace one line of a record."""

    def edit(lines: Lines) -> str:
        lines[at(lines, suffix) + offset] = text
        return joined(lines)

    return edit


def joined(lines: Lines) -> str:
    return "".join(f"{line}\n" for line in lines)


def twice_and_different(lines: Lines) -> str:
    start = at(lines, "-word")
    record = lines[start : start + 5]
    record[2] = "7"
    return joined(lines + record)


REGISTRATIONS: dict[str, tuple[Callable[[Lines], str], tuple[str, ...]]] = {
    "nothing": (lambda lines: "", ("is listed, but not registered",)),
    "cut in the middle of a line": (lambda lines: joined(lines)[:-5], ("cut short",)),
    "cut after a path": (
        lambda lines: joined(lines[: at(lines, "-word") + 1]),
        ("cut short",),
    ),
    "cut among the references": (
        lambda lines: joined(lines[: at(lines, "-program-1.0") + 6]),
        ("3 references", "the count is wrong or the file was cut short"),
    ),
    "a count too large": (edited("-word", 4, "1"), ()),
    "a count too small": (edited("-program-1.0", 4, "2"), ()),
    "a count beyond the end": (
        edited("-word", 4, "99"),
        ("99 references", "the count is wrong"),
    ),
    "a count of no number": (edited("-word", 4, "none"), ("'none'", "count of references")),
    "a negative count": (edited("-word", 4, "-1"), ("'-1'",)),
    "a size of no number": (edited("-word", 2, "1e3"), ("'1e3'", "size")),
    "a size that is too large": (edited("-word", 2, "9" * 40), ("size",)),
    "a hash of no form": (edited("-word", 1, "x" * 64), ("not a SHA-256 hash", "-word")),
    "no hash": (edited("-word", 1, ""), ("not a SHA-256 hash",)),
    "another kind of hash": (edited("-word", 1, "md5:" + "0" * 32), ("not a SHA-256 hash",)),
    "a path outside the store": (edited("-word", 0, "/etc/passwd"), ("/etc/passwd",)),
    "a path inside a path": (
        lambda lines: edited("-word", 0, lines[at(lines, "-word")] + "/bin")(lines),
        ("-word/bin", "not a path directly below /nix/store"),
    ),
    "a path above": (edited("-word", 0, "/nix/store/.."), ("not the name of a store path",)),
    "a name of no form": (edited("-word", 0, f"/nix/store/{'e' * 32}-word"), ("not the name",)),
    "a deriver outside the store": (edited("-word", 3, "/tmp/x.drv"), ("/tmp/x.drv",)),
    "a reference outside the store": (edited("-library", 5, "/usr/lib"), ("/usr/lib",)),
    "a reference that is not there": (
        edited("-library", 5, STRANGER),
        ("-library", "refers to " + STRANGER, "not registered"),
    ),
    "a path that differs from itself": (twice_and_different, ("registered twice", "-word")),
    "a path that is not listed": (
        lambda lines: joined([*lines, STRANGER, "0" * 64, "1", "", "0"]),
        (STRANGER, "is registered, but not listed"),
    ),
}


@pytest.mark.parametrize("case", REGISTRATIONS)
def test_a_registration_that_is_wrong(
    case: str, closure: RealClosure, out: Path, tmp_path: Path
) -> None:
    edit, words = REGISTRATIONS[case]
    lines = (closure.folder / "registration").read_text().splitlines()
    file = tmp_path / "registration"
    file.write_text(edit(lines))
    done = run("nix", *closure.listed, "--registration", file, "-o", out / "a.img")
    assert_one_line(done, 1, *words)
    assert_untouched(out)


def test_a_registration_that_misses_a_path(closure: RealClosure, out: Path, tmp_path: Path) -> None:
    lines = (closure.folder / "registration").read_text().splitlines()
    start = at(lines, "-many")
    file = tmp_path / "registration"
    file.write_text(joined(lines[:start] + lines[start + 5 :]))
    done = run("nix", *closure.listed, "--registration", file, "-o", out / "a.img")
    assert_one_line(done, 1, "-many", "is listed, but not registered")
    assert_untouched(out)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "lists no store path"),
        ("/nix/store", "cut short"),
        ("/nix/store\n", "not a path directly below"),
        ("\n", "not a path directly below"),
        ("/etc/passwd\n", "/etc/passwd"),
        (f"{STRANGER}/bin\n", "not a path directly below"),
        (f"{STRANGER}\n", "is missing"),
        (f"/nix/store/{'0' * 32}-\n", "not the name of a store path"),
        ("/nix/store/.links\n", "not the name of a store path"),
        (f"/nix/store/{'0' * 32}-a\0b\n", "not the name of a store path"),
        (f"/nix/store/../../{'0' * 32}-a\n", "not a path directly below"),
    ],
)
def test_a_list_that_is_wrong(
    text: str, word: str, closure: RealClosure, out: Path, tmp_path: Path
) -> None:
    file = tmp_path / "store-paths"
    file.write_text(text)
    options = ["--store-paths", file, "--store-dir", closure.store]
    assert_one_line(run("nix", *options, "-o", out / "a.img"), 1, word)
    assert_untouched(out)


def test_a_list_of_nothing(closure: RealClosure, out: Path) -> None:
    options = ["--store-paths", "/dev/null", "--registration", closure.folder / "registration"]
    done = run("nix", *options, "-o", out / "a.img")
    assert_one_line(done, 1, closure.paths[0], "is registered, but not listed")
    assert_untouched(out)


def test_a_path_that_is_missing_in_the_store(
    closure: RealClosure, out: Path, tmp_path: Path
) -> None:
    done = run(
        *("nix", "--closure", closure.folder, "--store-dir", tmp_path / "elsewhere"),
        *("-o", out / "a.img"),
    )
    assert_one_line(done, 1, closure.paths[0], "is missing", "elsewhere")
    assert_untouched(out)


@pytest.fixture
def copy(closure: RealClosure, tmp_path: Path) -> Path:
    """A copy of the store that tests may change."""
    store = tmp_path / "copy"
    shutil.copytree(closure.store, store, symlinks=True)
    tools.run(["chmod", "-R", "u+w", store])
    return store


def more(path: Path) -> None:
    with open(path / "nothing", "wb") as file:
        file.write(b"more")


def a_bit(path: Path) -> None:
    data = bytearray((path / "large").read_bytes())
    data[1_234_567] ^= 4
    (path / "large").write_bytes(data)


def renamed(path: Path) -> None:
    (path / "Case").rename(path / "Casf")


def executable(path: Path) -> None:
    (path / "private").chmod(0o755)


def target(path: Path) -> None:
    (path / "link-1").unlink()
    (path / "link-1").symlink_to("u")


@pytest.mark.parametrize("change", [more, a_bit, renamed, executable, target])
@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_verify_finds_what_was_changed(
    change: Callable[[Path], None], suffix: str, closure: RealClosure, copy: Path, out: Path
) -> None:
    [odd] = [path for path in closure.paths if path.endswith("-odd")]
    change(copy / os.path.basename(odd))
    options = ["--closure", closure.folder, "--store-dir", copy]
    done = run("nix", *options, "--verify", "-o", out / f"a.img{suffix}")
    assert_one_line(done, 1, odd, "it was changed after")
    assert_untouched(out)
    # Nothing is read twice unless requested.
    assert run("nix", *options, "-o", out / "a.img").returncode == 0


def test_files_that_no_store_contains_are_refused(
    closure: RealClosure, copy: Path, out: Path
) -> None:
    [many] = [path for path in closure.paths if path.endswith("-many")]
    pipe = copy / os.path.basename(many) / "pipe"
    os.mkfifo(pipe)
    done = run("nix", "--closure", closure.folder, "--store-dir", copy, "-o", out / "a.img")
    assert_one_line(done, 1, f"{many}/pipe", "is neither a file")
    assert_untouched(out)


def a_file_for_the_store(folder: Path) -> None:
    (folder / "nix").mkdir()
    (folder / "nix" / "store").touch()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, ("No such file",)),
        (lambda folder: folder.write_text(""), ("not a directory",)),
        (lambda folder: (folder / "nix").symlink_to("usr"), (": /nix: ", "directory")),
        (a_file_for_the_store, (": /nix/store: ", "directory")),
        (
            lambda folder: (folder / "nix-path-registration").mkdir(),
            (": /nix-path-registration: ", "must be a file"),
        ),
    ],
    ids=["missing", "a file", "a link", "the store", "the registration"],
)
def test_files_in_conflict_with_the_closure_are_refused(
    make: Callable[[Path], object],
    words: tuple[str, ...],
    closure: RealClosure,
    out: Path,
    tmp_path: Path,
) -> None:
    files = tmp_path / "files"
    if not {"No such file", "not a directory"} & set(words):
        files.mkdir()
    make(files)
    done = run("nix", *closure.options, "--files", files, "-o", out / "a.img")
    assert_one_line(done, 1, *words)
    assert_untouched(out)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ("-o {out}/a.img", "give --closure"),
        ("--closure {folder}", "--output"),
        ("--closure {folder} --store-paths {folder}/store-paths -o {out}/a.img", "--store-paths"),
        ("--closure {folder} --registration {folder}/registration -o {out}/a", "--registration"),
        ("--closure {folder} --root x -o {out}/a.img", "--cache"),
        ("--closure {folder} --nar x=y -o {out}/a.img", "--nar"),
        ("--closure {folder} --cache {out} --store-dir {out} -o {out}/a.img", "--store-dir"),
        ("--closure {folder} --zstd-level 3 -o {out}/a.img", "--zstd-level"),
        ("--closure {folder} --zstd-level 99 -o {out}/a.img.zst", "--zstd-level"),
        ("--closure {folder} --free-inodes=-1 -o {out}/a.img", "--free-inodes"),
        ("--closure {folder} --block-size 1000 -o {out}/a.img", "--block-size"),
        ("registration", "give --closure"),
        ("registration --store-paths x --registration y", "--registration"),
        ("registration --closure {folder} --verify", "--verify has nothing to compare with"),
        ("--store-paths x --verify -o {out}/a.img", "--verify has nothing to compare with"),
        ("--nar x=y --verify -o {out}/a.img", "--verify has nothing to compare with"),
        ("--closure {folder} -o {out}/a.img registration --closure {folder}", "--closure is given"),
        ("--cache {out} registration", "--cache is given before 'registration'"),
        ("--closure {folder} -q registration", "--closure is given before"),
        ("-q registration --closure {folder}", "--quiet is given before"),
        ("nonsense", "nonsense"),
    ],
)
def test_options_that_contradict(
    arguments: str, word: str, closure: RealClosure, out: Path
) -> None:
    words = arguments.format(out=out, folder=closure.folder).split()
    assert_one_line(run("nix", *words), 2, word)
    assert_untouched(out)


def test_impossible_outputs_are_refused(closure: RealClosure, out: Path) -> None:
    for name in ("missing/a.img.zst", "a.img.zst/"):
        assert_one_line(run("nix", *closure.options, "-o", f"{out}/{name}"), 1)
    (out / "a.zst").mkdir()
    assert_one_line(run("nix", *closure.options, "-o", out / "a.zst"), 1, "is a directory")
    (out / "a.zst").rmdir()
    (out / "b.zst").symlink_to("/dev/null")
    assert_one_line(run("nix", *closure.options, "-o", out / "b.zst"), 1, "neither")
    assert os.listdir(out) == ["b.zst"]


def test_writing_a_registration_to_a_full_device_is_an_error(closure: RealClosure) -> None:
    with open("/dev/full", "wb") as full:
        done = run("nix", "registration", *closure.listed, stdout=full)
    assert_one_line(done, 1, "standard output", "No space left on device")


def test_an_older_image_stays_until_the_new_one_is_complete(
    closure: RealClosure, out: Path
) -> None:
    import resource

    image = out / "a.img.zst"
    image.write_bytes(b"older")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = run("nix", *closure.options, "-o", image, preexec_fn=limit)
    assert_one_line(done, 1, str(image), "a limit")
    assert os.listdir(out) == ["a.img.zst"]
    assert image.read_bytes() == b"older"
    assert run("nix", *closure.options, "-o", image).returncode == 0
    tools.run(["zstd", "-t", image])


# -- readers of arbitrary input --------------------------------------------------------------------

CALM = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def damage(data: bytes, seed: int) -> bytes:
    """Make a few edits, typical of how files get damaged."""
    chance = random.Random(seed)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + data[at + chance.randrange(1, 70) :]
            case 2:
                data = data[:at] + chance.randbytes(chance.randrange(1, 5)) + data[at:]
            case _:
                lines = data.split(b"\n")
                chance.shuffle(lines)
                data = b"\n".join(lines)
        data = data or b"\n"
    return data


@given(seed=st.integers(0, 1 << 40))
@CALM
def test_a_damaged_registration(seed: int, closure: RealClosure, tmp_path: Path) -> None:
    """It is refused, or it is parsed: written again, the result says the same."""
    file = tmp_path / "registration"
    file.write_bytes(damage((closure.folder / "registration").read_bytes(), seed))
    try:
        read = read_registration(str(file))
    except NixError as error:
        assert str(error) and "\n" not in str(error)
        return
    file.write_bytes(write_registration(read.infos).text)
    assert read_registration(str(file)).infos == read.infos


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@CALM
def test_anything_for_a_list_or_a_registration(data: bytes, tmp_path: Path) -> None:
    assume(data.strip(b"\n"))  # empty input is a valid list and registration
    file = tmp_path / "file"
    file.write_bytes(data)
    for read in (read_list, read_registration, read_narinfo):
        with pytest.raises(NixError) as caught:
            read(str(file))
        assert "\n" not in str(caught.value)


NARINFO = f"""\
StorePath: {STRANGER}
URL: nar/x.nar.xz
Compression: xz
FileHash: sha256:{"0" * 52}
FileSize: 100
NarHash: sha256:{"1" * 52}
NarSize: 200
References: {"0" * 32}-stranger {"1" * 32}-other
Deriver: {"2" * 32}-stranger.drv
Sig: cache.nixos.org-1:abc==
CA: fixed:r:sha256:x
""".encode()


@given(seed=st.integers(0, 1 << 40))
@CALM
def test_a_damaged_narinfo(seed: int, tmp_path: Path) -> None:
    file = tmp_path / "x.narinfo"
    file.write_bytes(NARINFO)
    assert read_narinfo(str(file)).url == "nar/x.nar.xz"
    file.write_bytes(damage(NARINFO, seed))
    try:
        found = read_narinfo(str(file))
    except NixError as error:
        assert "\n" not in str(error)
    else:
        assert not found.url.startswith("/") and ".." not in found.url.split("/")


@given(digest=st.binary(min_size=32, max_size=32))
@settings(deadline=None, max_examples=50)
def test_every_notation_of_a_hash(digest: bytes) -> None:
    """These are the notations that Nix writes and we read."""
    text = tools.run(
        ["nix-hash", "--type", "sha256", "--to-base32", digest.hex()],
        environment={"HOME": "/nonexistent"},
    ).stdout.split()[-1]
    assert to_base32(digest) == text
    assert parse_sha256(text) == parse_sha256(f"sha256:{text}") == digest
    assert parse_sha256(digest.hex()) == parse_sha256(f"sha256:{digest.hex().upper()}") == digest
    import base64

    base64_text = base64.b64encode(digest).decode()
    assert parse_sha256(f"sha256-{base64_text}") == parse_sha256(base64_text) == digest


@given(text=st.text(max_size=70))
@settings(deadline=None)
def test_malformed_hashes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256 hash"):
        parse_sha256(text)


@pytest.mark.parametrize("stage", ["scan", "plan", "write"])
@pytest.mark.parametrize("name", ["a.img", "a.img.zst"])
def test_a_signal_leaves_nothing(stage: str, name: str, closure: RealClosure, out: Path) -> None:
    do = "os.kill(os.getpid(), signal.SIGTERM)"
    script = AT_STAGE.format(stage=stage, times=1, do=do)
    done = run("nix", *closure.options, "--verify", "-o", out / name, script=script)
    assert_one_line(done, 143, "SIGTERM")
    assert_untouched(out)
