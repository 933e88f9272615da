"""The checker and e2fsck agree on which images are clean, from any maker, with any fault."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from ext4writer import DEFAULT_FEATURES, Spec, Tree, policy, write_image
from ext4writer.damage.problems import name_of
from ext4writer.errors import DamageError, ImageError
from ext4writer.inspection.check import Result, check_opened
from ext4writer.ondisk.superblock import SUPERBLOCK
from ext4writer.read import open_image
from tests.builder.command import run
from tests.judges import tools
from tests.judges.fsck import e2fsck, problems
from tests.read.foreign_images import MAKERS, make

from . import agreement

pytestmark = pytest.mark.damaged

MKE2FS_QUOTA = "0x060002"


def checked(path: Path | bytes, *, data: bool = False) -> Result:
    met: list[DamageError] = []
    with open_image(path, on_damage=met.append) as image:
        return check_opened(image, met, data=data)


def is_clean(path: Path) -> bool:
    try:
        return checked(path).is_clean
    except (DamageError, ImageError):
        return False


def lines(result: Result) -> str:
    return "\n".join(problem.line for problem in result.problems)


# -- images without a fault ------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.parametrize("name", MAKERS)
def test_foreign_images(name: str, tmp_path: Path) -> None:
    tools.require_root()
    image = make(name, tmp_path / "image", far=1 << 30)
    result = checked(image, data=True)
    found = problems(image)
    if found == [MKE2FS_QUOTA] or set(found) == {MKE2FS_QUOTA}:
        # mke2fs -d writes wrong quota files; both report this.
        assert {problem.code for problem in result.problems} == {"PR_6_UPDATE_QUOTAS"}
        return
    assert not found
    assert not result.problems, lines(result)


def some_tree() -> Tree:
    tree = Tree()
    tree.directory("/many")
    for number in range(400):
        tree.file(f"/many/a rather long name {number}", b"%d" % number * number)
    tree.file("/holes", b"a" + bytes(500_000) + b"b" + bytes(400_000))
    tree.symlink("/short", "many")
    tree.symlink("/long", "x" * 300)
    tree.file("/attributes", b"", xattrs={b"user.a": b"1" * 40, b"user.b": b"2" * 600})
    tree.link("/hard", "/holes")
    tree.fifo("/fifo")
    tree.device("/null", "c", 1, 3)
    return tree


SPECS = {
    "default": Spec(),
    "1k": Spec(block_size=1024),
    "inode-128": Spec(inode_size=128),
    "no checksums": Spec(features=DEFAULT_FEATURES.without("metadata_csum")),
    "uninit_bg": Spec(features=DEFAULT_FEATURES.without("metadata_csum").with_("uninit_bg")),
    "seed": Spec(features=DEFAULT_FEATURES.with_("metadata_csum_seed")),
    "32-bit": Spec(features=DEFAULT_FEATURES.without("64bit")),
    "no journal": Spec(journal="none"),
    "full": Spec(free=0),
    "groups": Spec(size=700 << 20),
    **{
        f"random {seed}": Spec(block_size=1024, policy=policy(f"random:{seed}"))
        for seed in range(8)
    },
}


@pytest.mark.parametrize("name", SPECS)
def test_our_images(name: str, tmp_path: Path) -> None:
    write_image(some_tree(), tmp_path / "image", SPECS[name])
    assert not problems(tmp_path / "image")
    result = checked(tmp_path / "image", data=True)
    assert not result.problems, lines(result)
    assert result.inodes > 400


# -- images with a fault ---------------------------------------------------------------------------

BASES = {
    "ext4": "-t ext4 -b 1024",
    "plain": "-t ext4 -b 1024 -O ^metadata_csum,^resize_inode",
    "ext2": "-t ext2 -b 1024",
    "inline": "-t ext4 -b 1024 -O ^metadata_csum,ea_inode,inline_data,quota",
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    source = folder / "source"
    (source / "d" / "e").mkdir(parents=True)
    for number in range(120):
        (source / "d" / f"a long name of number {number:04}").write_bytes(b"%d" % number * number)
    (source / "big").write_bytes(bytes(range(256)) * 4000)
    (source / "link").symlink_to("x" * 100)
    found = {}
    for name, options in BASES.items():
        image = folder / name
        mke2fs = [tools.require("mke2fs"), "-q", "-F", "-d", source, *options.split(), image, "8M"]
        subprocess.run(mke2fs, check=True, capture_output=True)
        subprocess.run(["e2fsck", "-fyD", image], capture_output=True)
        assert not problems(image)
        found[name] = image
    return found


def damage(image: Path, command: str) -> None:
    subprocess.run(["debugfs", "-w", "-R", command, image], capture_output=True, check=True)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> list[agreement.Base]:
    tools.require("debugfs")
    return list(agreement.bases(tmp_path_factory.mktemp("kinds")))


@pytest.mark.parametrize("seed", range(3))
def test_damage_is_found_where_e2fsck_finds_it(
    seed: int, kinds: list[agreement.Base], tmp_path: Path
) -> None:
    """docs/checking.md lists where they may differ; 97 of 100 must agree."""
    count = 70
    differ = []
    for case in agreement.cases(kinds, count, seed, tmp_path):
        theirs, ours = agreement.verdicts(case, tmp_path)
        if bool(theirs) is not bool(ours):
            differ.append(f"{case.base}: {case.what}: {theirs} {ours}")
    assert len(differ) <= 2, "\n".join(differ)


NAMED = [
    ("plain", "set_inode_field <2> links_count 9", "PR_4_BAD_REF_COUNT"),
    ("plain", "set_inode_field <2> mode 0x81a4", "PR_1_ROOT_NO_DIR"),
    ("plain", "set_inode_field /big block[5] 1", "PR_1_EXTENT_BAD_START_BLK"),
    ("plain", "set_inode_field /big blocks 3", "PR_1_BAD_I_BLOCKS"),
    ("plain", "set_inode_field /big size 1", "PR_1_BAD_I_SIZE"),
    ("plain", "set_inode_field /big dtime 0x70000000", "PR_1_SET_DTIME"),
    ("plain", "set_inode_field /big flags 0", "PR_1_UNSET_EXTENT_FL"),
    ("plain", "set_inode_field /d mode 0x81a4", "PR_3_BAD_DOT_DOT"),
    ("ext2", "set_inode_field /big block[0] 0xffffff", "PR_1_ILLEGAL_BLOCK_NUM"),
    ("plain", "set_block_group 0 free_blocks_count 1", "PR_5_FREE_BLOCK_COUNT_GROUP"),
    ("plain", "set_block_group 0 used_dirs_count 1", "PR_5_FREE_DIR_COUNT_GROUP"),
    ("plain", "set_super_value free_inodes_count 1", "PR_5_FREE_INODE_COUNT"),
    ("ext4", "set_block_group 0 checksum 1", "PR_0_GDT_CSUM"),
    ("plain", "unlink /big", "PR_4_UNATTACHED_INODE"),
    ("plain", "unlink /d/e", "PR_3_UNCONNECTED_DIR"),
    ("plain", "freei /big", "PR_5_INODE_USED"),
    ("plain", "freeb 900 20", "PR_5_BLOCK_USED"),
    ("inline", "ea_rm /link system.data", "PR_1_INLINE_DATA_NO_ATTR"),
]


@pytest.mark.parametrize(("base", "command", "code"), NAMED, ids=lambda each: str(each)[:40])
def test_a_problem_has_the_name_that_e2fsck_has_for_it(
    base: str, command: str, code: str, bases: dict[str, Path], tmp_path: Path
) -> None:
    image = tmp_path / "image"
    shutil.copy(bases[base], image)
    damage(image, command)
    if not problems(image):
        pytest.skip("this debugfs left the image clean")
    result = checked(image)
    if code == "PR_3_BAD_DOT_DOT":
        assert not result.is_clean
        return
    assert code in {problem.code for problem in result.problems}, lines(result)


ALIKE = [
    # What only the kernel rejects, in inodes that no directory names.
    ("ext4", "set_inode_field <8> extra_isize 0x100"),
    ("ext4", "set_inode_field <8> file_acl 0xffff"),
    ("ext4", "set_inode_field <8> flags 0x80800"),
    ("ext4", "set_inode_field <7> flags 0x121a"),
    ("ext4", "set_inode_field <8> flags 0x81000"),
    ("ext4", "set_inode_field <3> flags 0x1000"),
    ("ext4", "set_inode_field <3> extra_isize 0x8000"),
    ("ext4", "set_inode_field <1> flags 0x10000000"),
    ("ext4", "set_inode_field <500> dtime 16"),
    ("ext4", "set_super_value usr_quota_inum 4"),
    ("ext4", "set_super_value feature_ro_compat 0x1046b"),
    # A directory that once had too many links; only one with an index keeps the count 1.
    ("ext4", "set_inode_field /d links_count 1"),
    ("plain", "set_inode_field / links_count 1"),
    ("ext2", "mknod /char c 4 5"),
]


@pytest.mark.parametrize(("base", "command"), ALIKE, ids=lambda each: str(each)[:40])
def test_images_clean_for_e2fsck_are_clean(
    base: str, command: str, bases: dict[str, Path], tmp_path: Path
) -> None:
    image = tmp_path / "image"
    shutil.copy(bases[base], image)
    damage(image, command)
    assert bool(problems(image)) is not checked(image).is_clean, lines(checked(image))


def test_inodes_in_bad_blocks_of_a_table_are_not_checked(tmp_path: Path) -> None:
    """They count as in use, and unnamed inodes there are not a problem."""
    image, bad = tmp_path / "image", tmp_path / "bad"
    bad.write_text("5000\n5001\n")
    command = [tools.require("mke2fs"), "-q", "-F", "-t", "ext2", "-I", "128", "-b", "1024"]
    subprocess.run(
        [*command, "-l", bad, "-O", "^resize_inode", image, "8M"], check=True, capture_output=True
    )
    assert not problems(image) and checked(image).is_clean
    with open_image(image) as opened:
        table = opened.descriptor(0)["bg_inode_table"]
        ours = range(8 * 10 + 1, 8 * 11 + 1)
    damage(image, f"set_inode_field <1> block[1] {table + 10}")
    damage(image, "freeb 5001")
    for ino in ours:
        damage(image, f"seti <{ino}>")
    damage(image, f"set_inode_field <{ours[0]}> mode 0100644")
    damage(image, f"set_inode_field <{ours[0]}> links_count 1")
    theirs = {name_of(code.removeprefix("0x")) for code in problems(image)}
    found = {problem.code for problem in checked(image).problems if not problem.is_warning}
    assert found == {code for code in theirs if not code.endswith(("_HEADER", "_END"))}
    assert found and not found & {"PR_4_UNATTACHED_INODE", "PR_1_BLOCK_OVERLAPS_METADATA"}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("set_super_value free_inodes_count 1", "PR_5_FREE_INODE_COUNT"),
        ("set_block_group 0 checksum 1", "PR_0_GDT_CSUM"),
    ],
)
def test_problems_that_e2fsck_logs_and_forgets_are_errors(
    command: str, code: str, bases: dict[str, Path], tmp_path: Path
) -> None:
    image = tmp_path / "image"
    shutil.copy(bases["ext4"], image)
    damage(image, command)
    assert problems(image) and e2fsck(image, "-n").status == 0
    [problem] = checked(image).problems
    assert problem.code == code and not problem.is_warning
    assert run("check", image).returncode == 4


def test_copies_that_differ_are_warnings(tmp_path: Path) -> None:
    """e2fsck never reads them, but a repair that needs them would."""
    image = tmp_path / "image"
    write_image(some_tree(), image, Spec(block_size=1024, size=40 << 20))
    copy = (1 + 8192) * 1024
    with image.open("r+b") as file:
        file.seek(copy + SUPERBLOCK.offset("s_inodes_per_group"))
        file.write(b"\1\0\0\0")
    assert not problems(image)
    result = checked(image)
    assert result.is_clean and result.warnings
    [problem] = result.problems
    assert (problem.code, problem.field) == ("BACKUP_SUPERBLOCK", "s_inodes_per_group")
    assert problem.offset == copy + SUPERBLOCK.offset("s_inodes_per_group")
    assert run("check", image).returncode == 0
    assert run("check", image, "--strict").returncode == 4


def test_mutated_images_end_without_a_traceback(tmp_path: Path) -> None:
    """Bytes anywhere in the metadata, with checksums stale: an answer, or one error of ours."""
    image = bytearray()
    write_image(some_tree(), image, Spec(block_size=1024, free=0, journal="none"))
    numbers = random.Random(11)
    places = [at for at in range(1024, min(len(image), 600 << 10)) if image[at]]
    for _ in range(300):
        broken = bytearray(image)
        for at in numbers.choices(places, k=numbers.choice((1, 3, 30))):
            broken[at] = numbers.randrange(256)
        with suppress(DamageError, ImageError):
            assert checked(bytes(broken), data=True).problems is not None


# -- the command -----------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, bases: dict[str, Path]) -> None:
    done = run("check", bases["ext4"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("clean: ")
    image = tmp_path / "image"
    shutil.copy(bases["plain"], image)
    damage(image, "set_inode_field /big links_count 5")
    before = image.read_bytes()
    done = run("check", image)
    assert done.returncode == 4
    assert "/big: inode.i_links_count at byte " in done.stdout
    assert "[PR_4_BAD_REF_COUNT]" in done.stdout
    report = json.loads(run("check", image, "--json").stdout)
    assert (report["status"], report["errors"]) == (4, 1)
    [problem] = report["problems"]
    assert (problem["path"], problem["code"]) == ("/big", "PR_4_BAD_REF_COUNT")
    assert image.read_bytes() == before
    (tmp_path / "text").write_text("no image at all" * 1000)
    done = run("check", tmp_path / "text")
    assert done.returncode == 8 and done.stderr.count("\n") == 1
    assert run("check", tmp_path / "nothing").returncode == 8
