"""Each corruption of the catalogue causes exactly its codes, with the installed e2fsck."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from ext4writer.damage.answers import ANSWERS, HANGS, KERNEL
from ext4writer.damage.bases import BASES, Base
from ext4writer.damage.catalogue import CASE, CASES, KERNELS, Case, coverage
from ext4writer.damage.problems import NAMES, name_of
from ext4writer.inspection.check import check_image
from ext4writer.read import open_image
from tests.builder.command import run as command
from tests.guest.kernel_package import unpacked_kernel
from tests.judges.fsck import assert_clean, write_sparse
from tests.judges.tools import require
from tests.makers.catalogue_update import checked, logged, mounted

pytestmark = pytest.mark.damaged

ASKED_RELEASE = "1.47.0"
"""The release of e2fsck that gave the recorded answers."""

SAMPLE = 8
"""Every run judges one in this number of cases."""

UNLIKE = {
    # Times in the future depend on the clock of the host that checks.
    *("sb-mount-tomorrow", "sb-mount-in-future", "sb-write-tomorrow", "sb-write-in-future"),
    # e2fsck refuses these by its exit status, and logs no problem.
    *("sb-unknown-incompat", "sb-unknown-ro-compat", "sb-encoding", "mmp-fsck", "jr-external"),
    # e2fsck ignores that the kernel met errors.
    "jr-errno",
    # The inode can hold the time; e2fsck offers to change it, and ends with 0.
    "inode-time-far",
    # The checker treats the list of bad blocks as such, whatever its flags are.
    "bad-blocks-invalid",
}
"""Cases for which e2fsck and our checker may disagree on whether they are clean."""


def release() -> str:
    done = subprocess.run([require("e2fsck"), "-V"], capture_output=True, text=True, check=False)
    found = re.search(r"e2fsck (\S+)", done.stderr)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_the_undamaged_image_is_clean(base: Base, tmp_path: Path) -> None:
    path = tmp_path / "image"
    write_sparse(path, base.image())
    assert_clean(path)
    with open_image(base.image()) as image:
        assert check_image(image).is_clean


def ask(case: Case, folder: Path) -> None:
    answer, path = ANSWERS[case.name], folder / "image"
    image = case.image()
    assert image != case.base.image()
    if case.name not in UNLIKE:
        assert bool(checked(image)) == bool(answer.found), f"{case.name}: {checked(image)}"
    exact = release() == ASKED_RELEASE
    for option, expected in (("-n", answer.found), ("-y", answer.repaired)):
        if HANGS in expected:
            continue
        write_sparse(path, image)
        found = logged(path, option)
        path.unlink()
        if exact:
            assert found == expected, f"{case.name} {option}"
        elif HANGS not in found:
            # Another release may find more; it finds something wherever this one does.
            assert bool(found) or not expected


@pytest.mark.parametrize(
    "part",
    [pytest.param(part, marks=[pytest.mark.slow] if part else []) for part in range(SAMPLE)],
)
def test_each_case_gives_its_codes(part: int, tmp_path: Path) -> None:
    for case in CASES[part::SAMPLE]:
        ask(case, tmp_path)


@pytest.mark.qemu
def test_a_kernel_reacts_as_the_catalogue_says(tmp_path: Path) -> None:
    """One boot mounts some of the images, in a guest that may crash."""
    cases = CASES[3::30]
    found = mounted(cases, tmp_path)
    assert set(found) == {case.name for case in cases}
    if "linux-image-6.1." in unpacked_kernel().name:
        assert found == {case.name: ANSWERS[case.name].kernel for case in cases}


def test_the_catalogue_is_complete() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 600
    assert set(ANSWERS) == set(CASE)
    assert {case.group for case in CASES} == set(KERNELS)
    assert all(case.why and case.overrides for case in CASES)
    assert {answer.kernel for answer in ANSWERS.values()} == set(KERNEL)
    codes = {code for answer in ANSWERS.values() for code in (*answer.found, *answer.repaired)} - {
        HANGS
    }
    assert codes <= set(NAMES)
    assert len(coverage()) == len(codes) >= 260


def test_each_public_bug_has_a_seed() -> None:
    years = [("2018", number) for number in (1092, 1093, 1094, *range(10876, 10884))]
    wanted = {f"cve-{year}-{number}" for year, number in years}
    wanted |= {"cve-2022-1184", "cve-2024-57256", *(f"lwext4-{n}" for n in range(89, 94))}
    assert {case.name for case in CASES if case.group == "public"} == wanted


def test_the_command_lists_and_writes(tmp_path: Path) -> None:
    done = command("fuzz", "cases")
    assert done.returncode == 0
    assert f"{len(CASES)} cases; all {len(CASES)} reach {len(coverage())} of" in done.stdout
    done = command("fuzz", "cases", "eh-magic", "[verity]", "--json", "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)["cases"]
    names = [row["name"] for row in rows]
    assert names[0] == "eh-magic" and all(row["group"] in ("extents", "verity") for row in rows)
    assert rows[0]["e2fsck"] == list(CASE["eh-magic"].codes)
    assert rows[0]["e2fsck"][0] == name_of("010081")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"{name}.img" for name in names
    )
    for name in names:
        assert (tmp_path / "out" / f"{name}.img").read_bytes() == CASE[name].image()
    for arguments, words in (
        (("eh-magic", "-o", tmp_path / "out"), "exists already"),
        (("nonsense",), "no such case: nonsense"),
        (("eh-magic", "-o", tmp_path / "out" / "eh-magic.img"), "is not a folder"),
    ):
        done = command("fuzz", "cases", *arguments)
        assert done.returncode in (1, 2)
        assert words in done.stderr


def test_a_case_is_the_same_on_every_machine() -> None:
    for case in CASES[::40]:
        assert case.image() == case.image()
