"""Odd command lines end as with mke2fs: the same status, and an image if it writes one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.builder.command import command, environment
from tests.judges.tools import require
from tests.judges.watch import Watch

from .front import dumpe2fs, ours, theirs

LINES = {
    "-O": [
        *(
            "64bit,,extent",
            ",64bit",
            "^64bit,",
            "^64bit,,",
            "  ^64bit",
            "64bit extent",
            "64bit;extent",
        ),
        *("+64bit", "-64bit", "none", "clear", "^none", "EXTENT", "extents", "uninit_groups"),
        *("gdt_csum", "fast_commit", "shared_blocks", "FEATURE_C9", "0x10", "", "^", "+-extent"),
        *("has_journal,^has_journal", "sparse_super2", "journal_dev", "^extent,^64bit"),
    ],
    "-m": ["0x5", "0x1p2", "0x.8p1", "1e1", "1e", "5%", "+5", "-1", " 5", "5 ", ".5", "inf", "1_0"],
    "-J": [
        *("size=-4", "size=0", "size=4M", "size=010", "size= 4", "size=99999999999", "", ","),
        *("size=4,,location=0", "size=4,", "location=x", "v1_superblock=1", "SIZE=4", "device"),
    ],
    "-E": [
        *(
            "stride=8,,test_fs",
            ",",
            "stride=8,",
            "",
            "revision",
            " stride=8",
            "stride= 8",
            "stride=8k",
        ),
        *(
            "offset=x",
            "packed_meta_blocks=x",
            "root_owner",
            "root_owner=5",
            "discard=1",
            "num_backup_sb=3",
        ),
        *(
            "encoding=ascii",
            "encoding_flags=strict",
            "hash_seed=",
            "orphan_file_size=0",
            "resize=1",
        ),
    ],
    "-b": ["1k", "4096s", "1", "-1", "-0", "3000", "0x1000", "010000", " 4096", "-"],
    "-g": ["0", "8", "248", "1000", "999999", "256k"],
    "-G": ["0", "3", "-1", "4294967296", "0x10"],
    "-i": ["0", "-1", "64M", "65M", "8k", "4s"],
    "-I": ["0", "100", "64", "0x100", " 256", "8192"],
    "-N": ["0", "-1", "1k", "0x100", "9999999"],
    "-o": ["LINUX", "gnu", "3", "plan9"],
    "-r": ["1", "01", "2", "x"],
    "-t": ["ext5", "ext4,small", "EXT4", "hurd"],
    "-T": [",", "small,", "xyz,news", "small news"],
    "-U": ["RANDOM", "Clear", "x", "12345678123412341234123456789abc"],
}


@pytest.mark.parametrize("option", LINES)
def test_the_end_is_the_same(option: str, tmp_path: Path, watch: Watch) -> None:
    require("mke2fs")
    device, wrong = tmp_path / "image", []
    watch.damaged(device)
    env = {"E2FSPROGS_SKIP_PROGRESS": "1"}
    for value in LINES[option]:
        for kind in ("ext2", "ext4") if option != "-t" else ("",):
            line = [option, value, *(["-t", kind] if kind else []), str(device), "16M"]
            ends = []
            for run in (theirs, ours):
                device.unlink(missing_ok=True)
                done = run("-q", *line, env=env)
                # mke2fs leaves an incomplete file.
                made = done.status == 0 and device.stat().st_size
                ends.append((done.status, made))
            if ends[0] != ends[1]:
                wrong.append((line, *ends))
    assert not wrong


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("-E encoding=utf8,encoding_flags=x", "mke2fs: -E encoding_flags: 'x' is neither strict"),
        ("-t ext4 -J location=99999M", "mke2fs: -J location: "),
        ("-E stride=99999", "mke2fs: -E stride: 99999 is not between"),
        ("-t ext4 -O orphan_file -E orphan_file_size=3M", "mke2fs: -E orphan_file_size: 3145728"),
        ("-E offset=-1", "Invalid offset: -1\n"),
        ("-t ext4 -O quota -E quotatype=^usr", "Quota types ^usr leave none"),
    ],
)
def test_messages_name_the_option_that_was_given(
    arguments: str, problem: str, tmp_path: Path
) -> None:
    done = ours(*arguments.split(), tmp_path / "image", "64M")
    assert done.status == 1 and problem in done.stderr
    assert not (tmp_path / "image").exists()


def test_a_line_comes_after_the_name_of_the_file(tmp_path: Path) -> None:
    require("mke2fs")
    image = tmp_path / "image"
    shown = []
    for run in (theirs, ours):
        image.unlink(missing_ok=True)
        shown.append(run("-F", "-t", "ext5", image, "16M").stdout.splitlines()[:3])
    assert shown[0] == shown[1] and shown[0][0].startswith("Creating regular file")


@pytest.mark.parametrize("closed", [True, False])
def test_an_image_is_written_even_without_output_streams(closed: bool, tmp_path: Path) -> None:
    image = tmp_path / "image"
    line = command("mke2fs", "-t", "ext4", image, "16M")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            line,
            env=environment(),
            stdout=None if closed else full,
            stderr=subprocess.PIPE,
            preexec_fn=(lambda: os.close(1)) if closed else None,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "extent" in dumpe2fs(image)["Filesystem features"]
