"""The command as scripts use it: its output, what it leaves alone, its exit status."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ext4writer.ondisk.superblock import SUPERBLOCK
from ext4writer.version import __version__
from tests.builder.command import command, environment
from tests.judges import debugfs, kernel
from tests.judges.fsck import e2fsck, judge
from tests.judges.tools import open_terminal, require, require_loop_mount, run
from tests.judges.watch import Watch

from .front import Done, dumpe2fs, ours, theirs

MIB = 1 << 20


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_bytes(b"content\n" * 5000)
    os.link(folder / "file", folder / "sub" / "other")
    (folder / "link").symlink_to("file")
    os.utime(folder / "file", ns=(10**18 + 7, 10**18 + 7))
    return folder


def lines(done: Done) -> list[str]:
    """Standard output without backspaces and values that differ each time."""
    text = re.sub("Filesystem UUID: .*\n", "", done.stdout.replace("\b", ""))
    return [line.rstrip() for line in text.splitlines()]


def contents(image: Path, name: str) -> bytes:
    """The bytes of a file."""
    command = ["debugfs", "-R", f"cat {name}", image]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        "-t ext4 IMAGE 300M",
        "-t ext4 -v IMAGE 8M",
        "-o hurd -v IMAGE 8M",
        "-t ext2 -m 1 IMAGE 20000",
        "-j -b 4096 IMAGE 33000",
        "-t ext4 -O mmp IMAGE 70M",
        "-t ext4 -q IMAGE 9M",
        "-t ext4 -n IMAGE 5G",
    ],
)
def test_standard_output_is_the_same(arguments: str, tmp_path: Path) -> None:
    require("mke2fs")
    image = tmp_path / "image"
    line = [str(image) if word == "IMAGE" else word for word in arguments.split()]
    image.touch()
    expected = theirs(*line, env={"E2FSPROGS_SKIP_PROGRESS": "1"})
    image.write_bytes(b"")
    found = ours(*line)
    assert (found.status, lines(found)) == (expected.status, lines(expected))
    if "-n" in line:
        assert image.stat().st_size == 0


@pytest.mark.parametrize(
    "options",
    ["", "-v", "-q -v", "-v -K", "-v -E nodiscard", "-v -E assume_storage_prezeroed", "-v -n"],
)
def test_standard_output_reports_discarded_blocks(options: str, tmp_path: Path) -> None:
    require("mke2fs")
    image, shown = tmp_path / "image", []
    for run_one in (theirs, ours):
        image.write_bytes(b"\xaa" * (16 * MIB))
        done = run_one(*options.split(), "-t", "ext4", image, env={"E2FSPROGS_SKIP_PROGRESS": "1"})
        shown.append((done.status, lines(done)))
    assert shown[0] == shown[1]


def test_a_dry_run_shows_the_uuid_that_will_be_derived(tmp_path: Path) -> None:
    image = tmp_path / "image"
    line, env = ("-t", "ext4", image, "1G"), {"SOURCE_DATE_EPOCH": "1700000000"}
    dry, wet = (ours(*options, *line, env=env) for options in (["-n"], []))
    uuid = dumpe2fs(image)["Filesystem UUID"]
    assert f"Filesystem UUID: {uuid}\n" in dry.stdout
    assert f"Filesystem UUID: {uuid}\n" in wet.stdout


@pytest.mark.parametrize("arguments", ["-t ext4 IMAGE 20M", "-O journal_dev IMAGE 4M"])
def test_a_new_file_is_named_where_mke2fs_names_it(arguments: str, tmp_path: Path) -> None:
    require("mke2fs")
    image = tmp_path / "image"
    line = [str(image) if word == "IMAGE" else word for word in arguments.split()]
    expected = theirs(*line, env={"E2FSPROGS_SKIP_PROGRESS": "1"})
    image.unlink()
    found = ours(*line)
    assert found.status == expected.status == 0
    assert lines(found)[:4] == lines(expected)[:4]
    assert lines(found)[0] == f"Creating regular file {image}"


@pytest.mark.parametrize("place", ["missing/image", ""])
def test_nothing_is_announced_if_the_file_cannot_be_created(place: str, tmp_path: Path) -> None:
    require("mke2fs")
    device = str(tmp_path / place) if place else ""
    expected, found = (run("-text4", device, "16M") for run in (theirs, ours))
    assert (found.status, found.stdout) == (expected.status, expected.stdout) == (1, "")
    assert "No such file or directory while trying to determine filesystem size" in found.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("features", ["journal_dev", "journal_dev,metadata_csum"])
def test_a_journal_device_accepts_only_its_own_options(features: str, tmp_path: Path) -> None:
    require("mke2fs")
    seed, uuid = (f"{digit * 8}-{digit * 4}-{digit * 4}-8888-{digit * 12}" for digit in "12")
    options = (
        f"-L journal -M /x -e panic -U {uuid} -m 3 -E stride=4,stripe_width=8,hash_seed={seed}"
    )
    shown = []
    for make in (theirs, ours):
        disk, part = tmp_path / f"{make.__name__}-disk", tmp_path / "part"
        disk.write_bytes(b"\xaa" * (12 * MIB))
        line = f"-q -F -O {features} {options},offset={2 * MIB}".split()
        assert make(*line, disk, "8M").status == 0
        data = disk.read_bytes()
        assert set(data[: 2 * MIB]) == set(data[10 * MIB :]) == {0xAA}
        part.write_bytes(data[2 * MIB : 10 * MIB])
        found = dumpe2fs(part)
        assert found["Filesystem volume name"] == "journal"
        others = ("Filesystem created", "Last write time", "Last checked", "Checksum")
        others = (*others, "Lifetime writes")
        shown.append({name: value for name, value in found.items() if name not in others})
    assert shown[0] == shown[1]


def test_a_folder_gives_the_same_bytes_each_time(folder: Path, tmp_path: Path) -> None:
    images = [tmp_path / name for name in ("one", "two")]
    for image in images:
        done = ours("-t", "ext4", "-d", folder, image, "40M")
        assert done.status == 0 and "Copying files into the device: done\n" in done.stdout
        judge(image, "quick")
    assert images[0].read_bytes() == images[1].read_bytes()
    assert debugfs.inode(images[0], "/file").links == 2
    assert debugfs.inode(images[0], "/link").kind == "symlink"


def test_a_tree_may_be_an_archive_or_standard_input(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "folder.tar"
    subprocess.run(["tar", "cf", archive, "-C", folder, "."], check=True)
    assert ours("-t", "ext4", "-q", "-d", archive, tmp_path / "one", "40M").status == 0
    with open(archive, "rb") as file:
        done = subprocess.run(
            command("mke2fs", "-t", "ext4", "-q", "-d", "-", tmp_path / "two", "40M"),
            env=environment(),
            stdin=file,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    judge(tmp_path / "two", "quick")


def test_bytes_around_the_file_system_stay(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xaa" * (24 * MIB))
    inode = disk.stat().st_ino
    assert ours("-q", "-t", "ext4", "-E", f"offset={MIB}", disk, "16M").status == 0
    data = disk.read_bytes()
    assert (len(data), disk.stat().st_ino) == (24 * MIB, inode)
    assert set(data[:MIB]) == set(data[17 * MIB :]) == {0xAA}
    part = tmp_path / "part"
    part.write_bytes(data[MIB : 17 * MIB])
    judge(part, "quick")


def test_a_file_grows_to_the_requested_size_and_is_never_cut(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    assert ours("-q", image, "8M").status == 0
    assert image.stat().st_size == 8 * MIB
    with open(image, "ab") as file:
        file.write(b"tail")
    assert ours("-q", image, "8M").status == 0
    assert image.read_bytes()[8 * MIB :] == b"tail"
    assert dumpe2fs(image)["Block count"] == "8192"


def test_an_offset_beyond_the_end_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"\xff" * MIB)
    done = ours("-E", f"offset={2 * MIB}", image)
    assert (done.status, done.stdout) == (1, "")
    assert f"offset: {2 * MIB} is beyond the end of {image}" in done.stderr
    assert image.read_bytes() == b"\xff" * MIB


def test_a_failure_restores_the_size_of_a_file(folder: Path, tmp_path: Path) -> None:
    (folder / "large").write_bytes(os.urandom(3 * MIB))
    for existed in (False, True):
        image = tmp_path / "image"
        if existed:
            image.write_bytes(b"old" * 1000)
        done = ours("-q", "-d", folder, image, "2M")
        assert done.status == 1 and "size" in done.stderr
        assert image.exists() is existed
        assert not existed or image.read_bytes() == b"old" * 1000


def test_without_a_tree_no_two_have_the_same_identity(tmp_path: Path) -> None:
    """Two disks with one UUID are taken for the same disk. A given time requests equal UUIDs."""
    found = []
    for env in ({}, {"SOURCE_DATE_EPOCH": "1700000000"}):
        for name in ("one", "two"):
            ours("-q", tmp_path / name, "2M", env=env)
            found.append(dumpe2fs(tmp_path / name)["Filesystem UUID"])
    assert len(set(found[:2])) == 2 and len(set(found[2:])) == 1
    assert dumpe2fs(tmp_path / "two")["Filesystem created"].startswith("Tue Nov 14 22:13:20 2023")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("clear", "<none>"),
        ("null", "<none>"),
        ("12345678-1234-5678-1234-56789ABCDEF0", "12345678-1234-5678-1234-56789abcdef0"),
    ],
)
def test_a_given_uuid_is_used(given: str, shown: str, tmp_path: Path, watch: Watch) -> None:
    watch.damaged(tmp_path / "image")  # e2fsck generates a UUID if there is none
    ours("-q", "-U", given, tmp_path / "image", "2M")
    assert dumpe2fs(tmp_path / "image")["Filesystem UUID"] == shown


@pytest.mark.parametrize("word", ["random", "time"])
def test_generated_uuids_differ(word: str, folder: Path, tmp_path: Path) -> None:
    found = set()
    for _ in range(2):
        ours("-q", "-U", word, "-d", folder, tmp_path / "image", "4M")
        found.add(dumpe2fs(tmp_path / "image")["Filesystem UUID"])
    assert len(found) == 2


@pytest.mark.parametrize(
    ("program", "features"),
    [
        ("mke2fs", "has_journal not, extent not"),
        ("mkfs.ext2", "has_journal not, extent not"),
        ("mkfs.ext3", "has_journal, extent not"),
        ("mkfs.ext4", "has_journal, extent"),
    ],
)
def test_the_name_says_the_type(program: str, features: str, tmp_path: Path) -> None:
    assert ours("-q", tmp_path / "image", "20M", program=program).status == 0
    found = dumpe2fs(tmp_path / "image")["Filesystem features"].split()
    for word in features.split(", "):
        name, _, absent = word.partition(" ")
        assert (name in found) is not bool(absent)


def test_links_make_the_names(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "ext4writer"
    if not program.exists():
        pytest.skip("the command is not installed for this Python")
    names = tmp_path / "bin"
    for status in (0, 1):
        done = subprocess.run(
            [program, "mke2fs", "--install-links", names], capture_output=True, check=False
        )
        assert done.returncode == status
    assert sorted(os.listdir(names)) == ["mke2fs", "mkfs.ext2", "mkfs.ext3", "mkfs.ext4"]
    image = tmp_path / "image"
    subprocess.run([names / "mkfs.ext4", "-q", image, "20M"], check=True, env=environment())
    assert "extent" in dumpe2fs(image)["Filesystem features"]


REFUSED = [
    ("-c IMAGE", "-c is not supported"),
    ("-z undo IMAGE", "-z is not supported"),
    ("-S IMAGE", "-S is not supported"),
    ("-E android_sparse,offset=4096 IMAGE 4M", "a sparse image has no offset"),
    (
        "-O has_journal,fast_commit -J v1_superblock IMAGE 20M",
        "with fast commits needs a superblock",
    ),
    ("-O journal_dev -J v1_superblock IMAGE 20M", "on an external device needs a superblock"),
    ("-b 500 IMAGE", "invalid block size - 500"),
    ("-i 5 IMAGE", "invalid inode ratio 5 (min 1024/max 67108864)"),
    ("-m 51 IMAGE", "invalid reserved blocks percent - 51"),
    ("-g 1001 IMAGE", "blocks per group must be multiple of 8"),
    ("-G 3 IMAGE", "flex_bg size must be a power of 2"),
    ("-O nonsense IMAGE 4M", "Invalid filesystem option set: nonsense"),
    ("-O ^^has_journal IMAGE 4M", "Invalid filesystem option set: ^^has_journal"),
    ("-O journal_dev IMAGE 900K", "Journal must be at least 1026 blocks"),
    ("-O journal_dev -C 8192 IMAGE 8M", "specifying a cluster size requires the bigalloc feature"),
    ("-O journal_dev -E no_such_option IMAGE 8M", "Bad option(s) specified: no_such_option"),
    ("-O journal_dev -E stride=99999 IMAGE 8M", "mke2fs: -E stride: 99999 is not between"),
    ("-O journal_dev -o hurd IMAGE 8M", "-o hurd: only Linux supports external journals"),
    ("-J device=LABEL=nobody-has-it IMAGE 8M", "-J device=LABEL=nobody-has-it: no journal device"),
    ("-E root_owner=4294967295:0 IMAGE 8M", "Invalid root_owner: '4294967295:0'"),
    ("-O journal_dev IMAGE 9000G", "a journal has at most 2147483647 blocks, not 2359296000"),
    ("-J device=/dev/null IMAGE 40M", "neither a file nor a block device"),
    ("-E stride=x IMAGE 4M", "Invalid stride parameter: x"),
    ("-E no_such_option IMAGE 4M", "Bad option(s) specified: no_such_option"),
    ("-J some=thing IMAGE", "Bad journal options specified."),
    ("-e ignore IMAGE", "bad error behavior - ignore"),
    ("-o plan9 IMAGE 4M", "unknown os - plan9"),
    ("-U nothing IMAGE 4M", "could not parse UUID: nothing"),
    ("-r 0 IMAGE", "the -r option has been removed."),
    ("-r 2 IMAGE", "Filesystem revision too high while trying to create revision 2"),
    ("-s 0 IMAGE", "the -s option has been removed."),
    ("-m 1_0 IMAGE 4M", "invalid reserved blocks percent - 1_0"),
    ("-m nan IMAGE 4M", "invalid reserved blocks percent - nan"),
    ("-E encoding= IMAGE 4M", "encoding: '' is neither"),
    ("-t ext4 -t ext3 IMAGE", "The -t option may only be used once"),
    ("-y IMAGE", "invalid option -- 'y'"),
    ("--no-such IMAGE", "unrecognized option '--no-such'"),
    ("IMAGE", "does not exist and no size was specified."),
    ("IMAGE 4M more", "Usage: mke2fs"),
    ("IMAGE 4Q", "invalid blocks '4Q' on device"),
    ("-t ext4 -O ^flex_bg -G 4 IMAGE 4M", "Flex_bg feature not enabled"),
    ("-t ext4 -J size=1024 IMAGE 64M", "Total journal size too big for filesystem."),
    ("-d nowhere IMAGE 4M", "nowhere: cannot be read: No such file or directory"),
    ("/dev/null 4M", "/dev/null is neither a file nor a block device"),
]


@pytest.mark.parametrize(("arguments", "problem"), REFUSED)
def test_unsupported_options_are_refused_by_name(
    arguments: str, problem: str, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    done = ours(*(str(image) if word == "IMAGE" else word for word in arguments.split()))
    assert done.status == 1
    assert problem in done.stderr
    assert not image.exists()


@pytest.mark.parametrize(
    ("option", "status"), [("-t", 1), ("-o", 1), ("-U", 1), ("-T", 0), ("-L", 0), ("-M", 0)]
)
def test_an_empty_option_value_is_not_a_missing_option(
    option: str, status: int, tmp_path: Path
) -> None:
    require("mke2fs")
    image = tmp_path / "image"
    image.touch()
    expected, found = (run("-n", option, "", image, "16M") for run in (theirs, ours))
    assert (found.status, lines(found)) == (expected.status, lines(expected))
    assert found.status == status


@pytest.mark.parametrize("option", ["lazy_journal_init", "discard", "nodiscard"])
def test_options_for_writing_zeros_change_no_byte(option: str, tmp_path: Path) -> None:
    env = {"SOURCE_DATE_EPOCH": "1"}
    ours("-q", "-t", "ext4", tmp_path / "one", "8M", env=env)
    assert ours("-q", "-t", "ext4", "-E", option, tmp_path / "two", "8M", env=env).status == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_root_has_the_requested_attributes(folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    options = "root_owner=5:6,root_perms=0711,root_selinux=system_u:object_r:root_t:s0"
    assert ours("-q", "-E", options, image, "4M").status == 0
    found = debugfs.inode(image, "/")
    assert (found.uid, found.gid, found.mode & 0o7777) == (5, 6, 0o711)
    text = subprocess.run(
        ["debugfs", "-R", "ea_get / security.selinux", image], capture_output=True, check=True
    ).stdout
    assert b"system_u:object_r:root_t:s0" in text
    folder.chmod(0o2775)
    assert ours("-q", "-d", folder, image, "4M").status == 0
    assert debugfs.inode(image, "/").mode & 0o7777 == 0o2775
    judge(image, "quick")


def test_rules_of_ours_are_long_options(folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    rules = ["--owner", "7:8", "--set=file: mode=600", "--exclude", "sub"]
    assert ours("-q", *rules, "-d", folder, image, "4M").status == 0
    found = debugfs.inode(image, "/file")
    assert (found.uid, found.gid, found.mode & 0o7777, found.links) == (7, 8, 0o600, 1)
    help_page = ours("--help")
    assert help_page.status == 0 and "--file-contexts" in help_page.stdout


def test_more_files_than_inodes(folder: Path, tmp_path: Path) -> None:
    """The ratio yields to the files; a given number does not."""
    for number in range(700):
        (folder / f"file{number}").touch()
    image = tmp_path / "image"
    assert ours("-q", "-d", folder, "-i", "65536", image, "20M").status == 0
    judge(image, "quick")
    done = ours("-q", "-d", folder, "-N", "100", image, "20M")
    assert done.status == 1 and "-N" in done.stderr


def test_a_sparse_image_of_android(folder: Path, tmp_path: Path) -> None:
    """It replaces a file, and its content equals that of the raw image."""
    require("simg2img")
    plain, sparse, again = (tmp_path / name for name in ("plain", "sparse", "again"))
    sparse.write_bytes(b"old" * 10**6)
    for image, options in ((plain, "root_owner=0:0"), (sparse, "root_owner=0:0,android_sparse")):
        assert ours("-q", "-t", "ext4", "-E", options, "-d", folder, image, "20M").status == 0
    assert sparse.stat().st_size < 2 * MIB
    subprocess.run(["simg2img", sparse, again], check=True)
    assert again.read_bytes() == plain.read_bytes()


@pytest.mark.root
def test_a_journal_of_version_1(tmp_path: Path) -> None:
    """It lacks the fields of version 2 that mke2fs leaves in place, so e2fsck finds nothing."""
    image = tmp_path / "image"
    assert ours("-q", "-t", "ext3", "-J", "v1_superblock", image, "20M").status == 0
    judge(image, "quick")
    # JBD2_MAGIC_NUMBER, JBD2_SUPERBLOCK_V1
    assert contents(image, "<8>")[:8] == bytes.fromhex("c03b399800000003")
    require_loop_mount()
    with kernel.mounted(image, rw=True) as point:
        (point / "file").write_bytes(b"x")
    judge(image, "quick")


@pytest.mark.parametrize(("blocksize", "shown"), [("3000", "2048"), ("-4096", None), ("512", None)])
def test_a_block_size_of_the_configuration(
    blocksize: str, shown: str | None, tmp_path: Path
) -> None:
    """It is a power of two, rounded down. mke2fs divides by zero for values below 1,024."""
    config, image = tmp_path / "mke2fs.conf", tmp_path / "image"
    config.write_text(f"[defaults]\n\tblocksize = {blocksize}\n[fs_types]\n")
    done = ours("-q", "-T", "default", image, "20M", env={"MKE2FS_CONFIG": str(config)})
    if shown is None:
        assert done.status == 1 and f"block size in profile - {blocksize}\n" in done.stderr
    else:
        assert dumpe2fs(image)["Block size"] == shown


HUGE_FILES = """
[defaults]
\tblocksize = 4096
\tinode_ratio = 16384
[fs_types]
\text4 = {
\t\tfeatures = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,ext_attr
\t}
\tstore = {
\t\tmake_hugefiles = 1
\t\thugefiles_dir = /store/deep
\t\thugefiles_digits = 0
\t\thugefiles_align = 1M
\t\tnum_hugefiles = 3
\t\thugefiles_uid = 7
\t\thugefiles_gid = 70000
\t\thugefiles_umask = 022
\t}
\tmany = {
\t\tmake_hugefiles = 1
\t\thugefiles_size = 3M
\t\thugefiles_align = 2M
\t}
\trest = {
\t\tmake_hugefiles = true
\t\thugefiles_name = big
\t\thugefiles_slack = 5M
\t}
\tlarge = {
\t\tmake_hugefiles = true
\t\thugefiles_size = 2500M
\t\tnum_hugefiles = 1
\t\tfeatures = sparse_super2
\t\tzero_hugefiles = 0
\t\tpacked_meta_blocks = 1
\t}
"""


@pytest.mark.parametrize(
    ("usage", "size", "files"),
    [
        ("store", "100M", ["/store/deep", "/store/deep/hugefile0", "/store/deep/hugefile2"]),
        ("many", "300M", ["/hugefile00000", "/hugefile00043", "/hugefile00066"]),
        ("rest", "300M", ["/big00000"]),
        ("large", "3G", ["/hugefile00000"]),
    ],
)
def test_huge_files_are_those_of_mke2fs(
    usage: str, size: str, files: list[str], tmp_path: Path, watch: Watch
) -> None:
    """They have the same sizes and positions, and are zeros even where the file had data."""
    require("mke2fs")
    config, image, other = tmp_path / "mke2fs.conf", tmp_path / "image", tmp_path / "other"
    config.write_text(HUGE_FILES)
    env = {"MKE2FS_CONFIG": str(config), "E2FSPROGS_SKIP_PROGRESS": "1"}
    image.write_bytes(b"\xff" * (20 * MIB))
    line = ["-F", "-t", "ext4", "-T", usage, "-E", "nodiscard"]
    expected = theirs(*line, other, size, env=env)
    if size == "3G":  # in another process, since this process reads all that it writes
        done = subprocess.run(
            command("mke2fs", *line, image, size),
            env=environment(env),
            capture_output=True,
            text=True,
            check=False,
        )
        found = Done(done.returncode, done.stdout, done.stderr)
    else:
        found = ours(*line, image, size, env=env)
    assert found.status == expected.status == 0, found.stderr
    assert lines(found) == [line for line in lines(expected) if not line.startswith("Creating reg")]
    if size == "3G":
        watch.damaged(image)
        watch.damaged(other)
        assert run(["e2fsck", "-fn", image]).returncode == 0
    else:
        judge(image, "quick")
    for path in files:
        assert _huge(image, path) == _huge(other, path)
    if usage == "many":
        assert not contents(image, files[-1]).strip(b"\0")


def _huge(image: Path, path: str) -> tuple[object, ...]:
    """All facts about a file except where the nodes of its extent tree are."""
    node = debugfs.inode(image, path)
    leaves = [each for each in debugfs.ex(image, path) if each.level == each.depth]
    return node.ino, node.mode, node.uid, node.gid, node.size, leaves if node.size > MIB else ()


@pytest.mark.parametrize("options", [["-T", "many", "-O", "^extent,^64bit"], ["-T", "large"]])
def test_impossible_huge_files_are_reported(options: list[str], tmp_path: Path) -> None:
    """The file system is created without them, as by mke2fs, unless --strict forbids it."""
    require("mke2fs")
    config, image, other = tmp_path / "mke2fs.conf", tmp_path / "image", tmp_path / "other"
    config.write_text(HUGE_FILES)
    env = {"MKE2FS_CONFIG": str(config)}
    line = ["-q", "-t", "ext4", *options]
    expected, found = theirs(*line, other, "60M", env=env), ours(*line, image, "60M", env=env)
    assert found.status == expected.status == 0
    for done in (found, expected):
        assert "while creating huge files\n" in done.stderr
    judge(image, "quick")
    strict = ours("--strict", *line, tmp_path / "third", "60M", env=env)
    assert strict.status == 1 and "while creating huge files\n" in strict.stderr
    assert not (tmp_path / "third").exists()


def test_losses_are_reported_on_standard_error(folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    arguments = ["-q", "-I", "128", "-d", folder, image, "4M"]
    done = ours(*arguments)
    assert done.status == 0 and "not kept exactly: /file: " in done.stderr
    done = ours("--strict", *arguments)
    assert done.status == 1 and "--strict" in done.stderr


CONFIG = """
a comment before the first section
[options]
\tproceed_delay = 1
[defaults]
\tbase_features = sparse_super,filetype,dir_index,ext_attr
\tdefault_mntopts = "user_xattr"
\tblocksize = 2048
\tinode_size = 128   # of old
\tinode_ratio = 8192
\treserved_ratio = 2.5
\terrors = remount-ro
\tenable_periodic_fsck = true
\twarn_y2038_dates = 0

[fs_types]
\text4 = {
\t\tfeatures = has_journal,extent,flex_bg
\t\tflex_bg_size = 8
\t\toptions = test_fs,stride=8
\t}
\tplenty =
\t{
\t\tinode_ratio = 4096
\t\tinode_size = 256
\t}
"""


@pytest.mark.parametrize(
    "arguments", ["-t ext4 IMAGE 64M", "-t ext4 -T plenty IMAGE 64M", "-T plenty,none IMAGE 9M"]
)
def test_a_configuration_has_the_same_effect_as_with_mke2fs(arguments: str, tmp_path: Path) -> None:
    require("mke2fs")
    config, image = tmp_path / "mke2fs.conf", tmp_path / "image"
    config.write_text(CONFIG)
    env = {"MKE2FS_CONFIG": str(config)}
    line = ["-n", "-v", *(str(image) if word == "IMAGE" else word for word in arguments.split())]
    image.touch()
    expected, found = theirs(*line, env=env), ours(*line, env=env)
    assert (found.status, lines(found)) == (expected.status, lines(expected))
    assert ours(*line[2:], env=env).status == 0
    shown = dumpe2fs(image)
    assert (shown["Errors behavior"], shown["Check interval"]) == (
        "Remount read-only",
        "15552000 (6 months)",
    )
    assert 20 <= int(shown["Maximum mount count"]) < 40


@pytest.mark.parametrize("inode_size", ["", "inode_size=128", "inode_size=256"])
def test_only_requested_small_inodes_cause_a_warning(inode_size: str, tmp_path: Path) -> None:
    require("mke2fs")
    config, image = tmp_path / "mke2fs.conf", tmp_path / "image"
    config.write_text(f"[defaults]\n{inode_size}\n")
    image.touch()
    found, expected = (
        lines(run("-n", image, "16M", env={"MKE2FS_CONFIG": str(config)})) for run in (ours, theirs)
    )
    assert found == expected
    assert ("128-byte inodes" in found[0]) == (inode_size == "inode_size=128")


@pytest.mark.parametrize(
    "files",
    [
        {"20-types": 4096, "10_size": 2048},
        {"10_size": 2048, ".hidden": 1024, "00.conf": 1024, "05~": 1024, "0/below": 1024},
        {".hidden": 1024},
        {},
    ],
    ids=len,
)
def test_a_configuration_in_several_files(files: dict[str, int], tmp_path: Path) -> None:
    require("mke2fs")
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    image.touch()
    for name, size in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        types = "[fs_types]\n\text4 = {\n\t\tinode_ratio = 32768\n\t}\n"
        (folder / name).write_text(f"[defaults]\n\tblocksize = {size}\n{types}")
    env = {"MKE2FS_CONFIG": str(folder)}
    expected, found = (
        run("-n", "-v", "-t", "ext4", image, "700M", env=env) for run in (theirs, ours)
    )
    assert expected.status == found.status == 0
    assert lines(found) == lines(expected)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[defaults]\n\tblocksize\n", "line #2"),
        ("[defaults\n", "line #1"),
        ("[a]\n}\n", "line #2"),
        ("[a]\nb = c d\n", "line #2"),
    ],
)
def test_an_invalid_mke2fs_configuration_is_refused(
    text: str, problem: str, tmp_path: Path
) -> None:
    config = tmp_path / "mke2fs.conf"
    config.write_text(text)
    done = ours(tmp_path / "image", "4M", env={"MKE2FS_CONFIG": str(config)})
    assert done.status == 1 and problem in done.stderr


def test_sectors_decide_the_block_size(tmp_path: Path) -> None:
    env = {"MKE2FS_DEVICE_SECTSIZE": "2048"}
    assert ours("-q", tmp_path / "image", "9M", env=env).status == 0
    assert dumpe2fs(tmp_path / "image")["Block size"] == "2048"
    done = ours("-q", "-b", "1024", tmp_path / "image", "9M", env=env)
    assert done.status == 1 and "too small for device" in done.stderr


def test_the_user_may_decline(tmp_path: Path) -> None:
    """On a terminal, the existing content is shown first; a script gets no question."""
    image = tmp_path / "image"
    assert ours("-q", "-L", "mine", image, "4M").status == 0
    before = image.read_bytes()
    for answer, status in ((b"n\n", 1), (b"y\n", 0)):
        master, slave = open_terminal()
        process = subprocess.Popen(
            command("mke2fs", image, "4M"),
            env=environment(),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        os.write(master, answer)
        shown = b""
        try:
            while data := os.read(master, 1 << 16):
                shown += data
        except OSError:  # the other side is closed
            pass
        assert process.wait() == status
        os.close(master)
        assert b"contains a ext2 file system labelled 'mine'" in shown
        assert b"Proceed anyway? (y,N) " in shown
        assert (image.read_bytes() == before) is (status == 1)


def test_proceed_delay_of_the_configuration(tmp_path: Path) -> None:
    """proceed_delay: after this number of seconds, no answer means yes."""
    config, image = tmp_path / "mke2fs.conf", tmp_path / "image"
    config.write_text("[options]\n\tproceed_delay = 1\n")
    assert ours("-q", image, "4M").status == 0
    master, slave = open_terminal()
    done = subprocess.run(
        command("mke2fs", "-q", image, "4M"),
        env=environment({"MKE2FS_CONFIG": str(config)}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        check=False,
    )
    os.close(slave)
    shown = os.read(master, 1 << 16)
    os.close(master)
    assert done.returncode == 0
    assert b"(or wait 1 seconds to proceed) ? (y,N) <proceeding>" in shown


def test_the_version_is_that_of_options_and_of_this_program() -> None:
    done = ours("-V", program="mkfs.ext4")
    assert (done.status, done.stdout) == (0, "")
    assert re.match(r"mke2fs 1\.47\.[0-9] \([0-9]+-[A-Z][a-z]+-20[0-9]{2}\)", done.stderr)
    assert f"\tUsing ext4writer {__version__}\n" in done.stderr


def test_output_is_not_in_its_own_tree(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    image = folder / "image"
    image.touch()
    (folder / "file").write_bytes(b"x")
    assert ours("-q", "-d", folder, image, "4M").status == 0
    listed = debugfs.debugfs(image, "ls /")
    assert "file" in listed and "image" not in listed


@pytest.mark.parametrize(("system", "number"), [("gnu", 1), ("lites", 4)])
def test_systems_whose_features_linux_cannot_use(
    system: str, number: int, tmp_path: Path, watch: Watch
) -> None:
    """No Spec requests them. mke2fs creates them, and the reason is how Linux handles them."""
    require_loop_mount()
    image = tmp_path / "image"
    watch.damaged(image)
    shown = []
    for make in (theirs, ours):
        image.unlink(missing_ok=True)
        done = make("-q", "-t", "ext4", "-b", "1024", "-o", system, image, "40M")
        assert done.status == 0, done.stderr
        told = dumpe2fs(image)
        shown.append((told["Filesystem features"], told["Filesystem OS type"]))
        data = image.read_bytes()
        for group in (0, 1, 3):
            at = (1 + group * 8192) * 1024
            assert SUPERBLOCK.parse(data[at : at + 1024])["s_creator_os"] == number
    assert shown[0] == shown[1]
    judge(image, "quick")
    if system == "gnu":
        with pytest.raises(AssertionError, match="mount of"), kernel.mounted(image):
            pass
        return
    with kernel.mounted(image, rw=True) as point:
        (point / "new").write_bytes(b"new")
    assert "checksum does not match" in e2fsck(image, "-n").output
