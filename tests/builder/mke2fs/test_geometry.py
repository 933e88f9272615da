"""The counts and sizes of a file system equal those of mke2fs for the same arguments."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.judges.fsck import judge
from tests.judges.tools import require
from tests.judges.watch import Watch

from .front import dumpe2fs, dumped_groups, ours, pairwise, theirs

AXES: dict[str, list[str]] = {
    "type": [
        *("", "-t ext2", "-t ext3", "-t ext4", "-t ext4 -T small", "-t ext4 -T news"),
        *("-T largefile", "-t ext4 -T largefile4", "-t ext4 -T huge", "-t ext4 -T floppy,big"),
    ],
    "size": [
        *("64k", "200k", "1m", "2047k", "3m", "5000k", "9m", "17m", "63m", "129m", "300m"),
        *("511m", "513m", "2g", "5g", "16390m", "40g", "1t", "4t", "15t", "17t", "64t"),
    ],
    "block": ["", "-b 1024", "-b 2048", "-b 4096", "-b -2048"],
    "inodes": [
        *("", "-i 1024", "-i 8192", "-i 65536", "-N 16", "-N 1000", "-N 50000"),
    ],
    "inode": ["", "-I 128", "-I 256", "-I 512", "-I 1024"],
    "reserve": ["", "-m 0", "-m 1.7", "-m 33.3", "-m 50"],
    "features": [
        *("", "-O ^resize_inode", "-O ^has_journal", "-O ^flex_bg", "-O ^64bit", "-O none"),
        *("-O ^metadata_csum,uninit_bg", "-O sparse_super2,^resize_inode", "-O ^metadata_csum"),
        "-O sparse_super2",
        *("-O ^sparse_super,^resize_inode", "-O mmp", "-O metadata_csum_seed,orphan_file"),
        *("-O meta_bg,^resize_inode", "-O bigalloc", "-O bigalloc -C 16384", "-O quota"),
        *(
            "-O quota,project",
            "-O inline_data",
            "-O large_dir",
            "-O casefold",
            "-O fast_commit,has_journal",
        ),
    ],
    "journal": ["", "-j", "-J size=4", "-J size=32"],
    "flex": ["", "-G 1", "-G 4", "-G 64"],
    "group": ["", "-g 256", "-g 1024", "-g 8000"],
    "extended": [
        *("", "-E resize=100000000", "-E stride=4,stripe-width=16", "-E num_backup_sb=1"),
        *("-E root_owner=5:6,test_fs", "-E desc_size=128", "-E quotatype=usr"),
    ],
    "other": ["", "-e panic", "-M /mnt/x", "-L name", "-o Lites"],
}

SHOWN = (
    *("Last mounted on", "Filesystem magic number", "Filesystem revision #", "Journal inode"),
    *("Filesystem features", "Filesystem flags", "Default mount options", "Filesystem state"),
    *("Errors behavior", "Filesystem OS type", "Inode count", "Block count", "First block"),
    *("Free blocks", "Free inodes"),
    *("Reserved block count", "Block size", "Fragment size", "Cluster size", "RAID stride"),
    *("Group descriptor size", "Reserved GDT blocks", "Blocks per group", "Inodes per group"),
    *(
        "Fragments per group",
        "Clusters per group",
        "Inode blocks per group",
        "First meta block group",
    ),
    *("RAID stripe width", "Flex block group size", "Maximum mount count", "Check interval"),
    *("Reserved blocks uid", "Reserved blocks gid", "First inode", "Inode size"),
    *("Required extra isize", "Desired extra isize", "Default directory hash", "Journal backup"),
    *("Checksum type", "Total journal size", "Total journal blocks", "Max transaction length"),
    *("Fast commit length", "Orphan file inode", "MMP update interval", "Character encoding"),
    *("User quota inode", "Group quota inode", "Project quota inode", "Filesystem volume name"),
)
"""The lines of dumpe2fs -h that must be equal."""


def rows() -> list[list[str]]:
    """The arguments of every row of the pairwise table, the size last.

    Options that conflict with the rest of a row are dropped, because mke2fs would only report the
    conflict. So is what 1.47.0 gets wrong: a large reserve in small groups, or with metagroups.
    """
    found = []
    for row in pairwise(AXES):
        texts = {name: str(value) for name, value in row.items()}
        is_ext4 = "ext4" in texts["type"]
        if not is_ext4 and ("bigalloc" in texts["features"] or "large_dir" in texts["features"]):
            texts["type"] = "-t ext4"
        if not is_ext4 or texts["features"] in ("-O ^flex_bg", "-O none"):
            texts["flex"] = ""
        if not is_ext4 or texts["features"] in ("-O ^64bit", "-O none"):
            texts["extended"] = texts["extended"].replace("-E desc_size=128", "")
        if texts["size"][-1] in "tg" or texts["size"] == "16390m":
            texts["extended"] = texts["extended"].replace("resize=1", "resize=90")
        else:
            texts["inodes"] = texts["inodes"].replace("50000", "40")
        if texts["features"] in ("-O meta_bg,^resize_inode", "-O sparse_super2,^resize_inode"):
            texts["extended"] = texts["extended"].replace("-E resize=100000000", "")
        if texts["features"] in ("-O quota,project", "-O inline_data"):
            texts["inode"] = texts["inode"].replace("128", "256")
        if texts["group"] or ("floppy" in texts["type"] and texts["size"][-1] == "t"):
            texts["extended"] = re.sub("-E resize.*", "", texts["extended"])
        size = texts.pop("size")
        found.append([*" ".join(texts.values()).split(), size])
    return found


def without(arguments: list[str], option: str) -> list[str]:
    """The arguments without one option and its value."""
    if option not in arguments:
        return arguments
    at = arguments.index(option)
    return arguments[:at] + arguments[at + 2 :]


def plain(text: str) -> str:
    """The text without values that differ each time, and without version-specific words."""
    text = re.sub("Filesystem UUID: .*\n", "", text)
    return "\n".join(
        line
        for line in text.splitlines()
        if not line.startswith(("Warning: blocksize", "mke2fs 1."))
    )


def groups_of(arguments: list[str]) -> int:
    """Roughly how many groups the arguments produce, to skip those that take minutes."""
    size = arguments[-1]
    bytes_ = int(size[:-1]) << {"k": 10, "m": 20, "g": 30, "t": 40}[size[-1]]
    block = 1024 if "1024" in arguments else 4096
    per_group = int(arguments[arguments.index("-g") + 1]) if "-g" in arguments else 8 * block
    return bytes_ // (block * per_group)


def test_hundreds_of_combinations_have_the_same_numbers(tmp_path: Path) -> None:
    """``-n -v`` prints all counts, without writing anything."""
    require("mke2fs")
    device, compared, wrong = tmp_path / "image", 0, []
    device.touch()
    for arguments in rows():
        if groups_of(arguments) > 1 << 20:
            arguments = without(arguments, "-g")
        line = ["-n", "-v", "-F", *arguments[:-1], str(device), arguments[-1]]
        expected, found = theirs(*line), ours(*line)
        if (found.status, found.stdout.count("\n8 inodes")) == (0, 0) and (
            "\n8 inodes" in expected.stdout
        ):
            continue  # e2fsprogs 1.47.0 creates fewer than it reserves, and fails later
        compared += found.status == 0
        if (found.status, plain(found.stdout)) != (expected.status, plain(expected.stdout)):
            wrong.append((" ".join(arguments), found, expected))
    assert not wrong, f"{len(wrong)} differ, such as {wrong[:3]}"
    assert compared > 300


def written(arguments: list[str]) -> bool:
    """Whether the tests write a row: it takes no minutes, and fits most file systems."""
    return arguments[-1][-1] in "km" and groups_of(arguments) < 1000


ALL = bool(os.environ.get("EXT4WRITER_ALL_GEOMETRIES"))
SAMPLED = 14
"""One in this number of rows is written, unless the environment requests all."""
WRITTEN = [arguments for arguments in rows() if written(arguments)]


@pytest.mark.parametrize("arguments", WRITTEN if ALL else WRITTEN[::SAMPLED], ids=" ".join)
def test_dumpe2fs_shows_the_same(arguments: list[str], tmp_path: Path, watch: Watch) -> None:
    require("mke2fs")
    one, other = tmp_path / "ours", tmp_path / "theirs"
    watch.damaged(one)  # e2fsck clears the flag test_fs, and writes the mmp block
    watch.damaged(other)
    expected = theirs("-q", "-F", *arguments[:-1], other, arguments[-1])
    found = ours("-q", "-F", *arguments[:-1], one, arguments[-1])
    if "Could not allocate inode" in expected.stderr or "Illegal inode" in expected.stderr:
        # e2fsprogs 1.47.0 creates fewer than it reserves.
        assert not found.status
        return
    assert found.status == expected.status, (found.stderr, expected.stderr)
    if found.status:
        assert not one.exists()
        return
    if "test_fs" not in " ".join(arguments):
        judge(one, "quick")
    shown, wanted = dumpe2fs(one), dumpe2fs(other)
    if "has_journal" not in wanted["Filesystem features"]:
        # mke2fs leaves the flag of fast commits even without a journal.
        wanted["Filesystem features"] = wanted["Filesystem features"].replace("fast_commit ", "")
    different = {
        name: (shown.get(name), wanted.get(name))
        for name in SHOWN
        if shown.get(name) != wanted.get(name)
    }
    assert not different
    assert dumped_groups(one) == dumped_groups(other)


BAD = "2100 2101 5000 5003 900 9000 12000 600"
"""Blocks among inode tables, and among files."""
GROUPS = (
    # The gaps of a full flex group in a single group, with system files in them.
    *("-t ext4 -b 1024 8M", "-t ext4 -O quota,project,mmp,orphan_file -b 1024 -J size=1 8M"),
    # Tables that continue after a backup, or precede it if they end before it.
    *("-t ext4 -b 1024 -i 1024 -I 512 130M", "-t ext4 -b 1024 -G 128 -g 512 -i 1024 63M"),
    *("-t ext4 -O ^sparse_super,^resize_inode -b 1024 -G 64 -g 256 -N 20000 63M",),
    # Inodes of the second group are in use.
    *("-t ext4 -b 1024 -N 16 63M", "-t ext4 -O quota,project -N 24 -b 1024 -I 512 63M"),
    # Bitmaps move from group to group.
    *("-t ext3 -b 1024 -E stride=77 64M", "-t ext4 -O ^flex_bg -E stride=5000 -b 1024 -g 1024 33M"),
    *("-t ext4 -G 1 -b 1024 -E stride=33 33M", "-t ext4 -E packed_meta_blocks -b 1024 63M"),
    *("-t ext4 -O bigalloc -b 1024 63M", "-t ext4 -O bigalloc,^flex_bg -C 65536 5G"),
    *("-t ext4 -O meta_bg,^resize_inode,^flex_bg -b 1024 129M",),
    # The journal's group is the one with the most free blocks, not with the most clusters.
    *("-t ext4 -O bigalloc,^flex_bg -b 1024 -C 4096 -g 512 -E stride=333 97M",),
    # The block of the journal's mapping precedes the journal.
    *("-t ext4 -N 16 -J size=600 4G", "-t ext4 -J size=16,location=20M 130M"),
    *("-t ext4 -l BAD 63M", "-t ext4 -b 1024 -l BAD 63M", "-t ext3 -b 1024 -l BAD 63M"),
)


@pytest.mark.parametrize("line", GROUPS)
def test_groups_are_the_same(line: str, tmp_path: Path, watch: Watch) -> None:
    """Bitmaps, tables and free ranges, also where mke2fs does not just place them in sequence."""
    require("mke2fs")
    bad, one, other = (tmp_path / name for name in ("bad", "ours", "theirs"))
    bad.write_text(BAD.replace(" ", "\n"))
    for path in (one, other):
        watch.damaged(path)
    *arguments, size = (os.fspath(bad) if word == "BAD" else word for word in line.split())
    for run, path in ((theirs, other), (ours, one)):
        done = run("-q", "-F", *arguments, path, size)
        assert not done.status, done.stderr
    assert dumped_groups(one) == dumped_groups(other)
    judge(one, "quick")


ZEROED = (
    *("", "-K", "-E nodiscard", "-E lazy_itable_init=0", "-E nodiscard,lazy_itable_init=0"),
    *("-E nodiscard,lazy_itable_init", "-E assume_storage_prezeroed,nodiscard"),
)


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("option", ZEROED)
def test_tables_are_marked_zeroed_as_by_mke2fs(option: str, exists: bool, tmp_path: Path) -> None:
    require("mke2fs")
    shown = []
    for run in (theirs, ours):
        image = tmp_path / run.__name__
        if exists:
            image.write_bytes(b"")
            os.truncate(image, 4 << 20)
        assert run("-q", "-F", "-t", "ext4", *option.split(), image, "8M").status == 0
        shown.append(dumped_groups(image))
    assert shown[0] == shown[1]
    assert ("ITABLE_ZEROED" in shown[0][0]) is (
        "=0" in option or "assume" in option or (exists and option == "")
    )


def test_the_tree_of_option_d_moves_no_table(tmp_path: Path) -> None:
    require("mke2fs")
    folder, places = tmp_path / "folder", []
    (folder / "below").mkdir(parents=True)
    for number in range(300):
        (folder / "below" / f"{number}").write_bytes(b"x" * 100 * number)
    for run in (theirs, ours):
        image = tmp_path / run.__name__
        line = ("-q", "-F", "-t", "ext4", "-b", "1024", "-d", folder, image, "63M")
        assert run(*line).status == 0
        kinds = ("bitmap at", "table at", "superblock at", "blocks at")
        places.append([line for line in dumped_groups(image) if any(map(line.__contains__, kinds))])
    assert places[0] == places[1]
