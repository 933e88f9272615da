"""``ext4writer build`` and ``plan``, run as separate programs."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from tests.builder.command import assert_one_line, assert_untouched, report, run
from tests.judges import debugfs, fsck, tools


def test_builds_a_clean_image_and_reports_it(source: Path, out: Path) -> None:
    image = out / "a.img"
    facts = report("build", source, "-o", image, "-L", "root")
    fsck.assert_clean(image)
    assert os.listdir(out) == ["a.img"]
    assert facts["image"] == str(image)
    assert facts["label"] == "root"
    assert facts["size"] == image.stat().st_size == sum(facts["space"].values())
    assert facts["size"] == facts["blocks"] * facts["block_size"] + facts["space"].get(
        "unused_tail", 0
    )
    assert {kind: count for kind, count in facts["entries"].items() if count} == {
        "directory": 3,  # with lost+found
        "file": 3,
        "symlink": 1,
        "hard_link": 1,
        "fifo": 1,
    }
    assert facts["available"] >= 16 << 20
    assert facts["losses"] == []
    assert set(facts["seconds"]) == {"scan", "plan", "write"}


def test_the_image_is_sparse(source: Path, out: Path) -> None:
    report("build", source, "-o", out / "a.img", "--free", "1G")
    status = (out / "a.img").stat()
    assert status.st_size > 1 << 30
    assert status.st_blocks * 512 < 32 << 20


def test_human_report(source: Path, out: Path) -> None:
    done = run("build", source, "-o", out / "a.img")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{out / 'a.img'}: ")
    assert "\x1b" not in done.stdout
    for heading in ("Entries", "Space", "Seconds"):
        assert f"\n{heading}\n" in done.stdout
    assert "Not kept exactly" not in done.stdout


def test_quiet(source: Path, out: Path) -> None:
    done = run("build", source, "-o", out / "a.img", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(run("build", source, "-o", out / "a.img", "--quiet", "--json").stdout)


def test_plan_reports_what_build_does_and_writes_nothing(source: Path, out: Path) -> None:
    planned = report("plan", source, cwd=out)
    assert_untouched(out)
    built = report("build", source, "-o", out / "a.img")
    assert planned.pop("image") is None
    del planned["seconds"], built["seconds"], built["image"]
    assert planned == built
    assert run("plan", source).stdout.startswith("The image would have ")


def test_standard_output_gives_the_same_bytes(source: Path, out: Path) -> None:
    run("build", source, "-o", out / "a.img")
    with (out / "b.img").open("wb") as stream:
        done = run("build", source, "-o", "-", stdout=stream)
    assert done.returncode == 0
    assert done.stderr.startswith("standard output: ")
    assert (out / "a.img").read_bytes() == (out / "b.img").read_bytes()


def test_standard_output_goes_into_a_pipe(source: Path, out: Path) -> None:
    run("build", source, "-o", out / "a.img")
    done = run("build", source, "-o", "-", "--json", text=False)
    assert done.stdout == (out / "a.img").read_bytes()
    assert json.loads(done.stderr)["image"] == "-"


def test_standard_output_is_written_from_its_position(source: Path, out: Path) -> None:
    run("build", source, "-o", out / "a.img")
    with (out / "b.img").open("wb") as stream:
        stream.write(b"before")
        stream.flush()
        assert run("build", source, "-o", "-", "-q", stdout=stream).returncode == 0
        stream.seek(0, os.SEEK_END)
        stream.write(b"after")
    assert (out / "b.img").read_bytes() == b"before" + (out / "a.img").read_bytes() + b"after"


def test_options_of_the_file_system_arrive(source: Path, out: Path) -> None:
    facts = report(
        *("build", source, "-o", out / "a.img", "--size", "48M", "-b", "1024", "-I", "512"),
        *("-U", "12345678-1234-5678-1234-567812345678", "-O", "^resize_inode", "--journal", "none"),
        *("--hash-seed", "87654321-1234-5678-1234-567812345678", "-m", "5", "--policy", "random:3"),
    )
    fsck.assert_clean(out / "a.img")
    assert facts["size"] == 48 << 20
    assert facts["block_size"] == 1024
    assert facts["uuid"] == "12345678-1234-5678-1234-567812345678"
    assert facts["hash_seed"] == "87654321-1234-5678-1234-567812345678"
    assert not {"resize_inode", "has_journal"} & set(facts["features"])


def test_promises_of_a_fitted_image(source: Path) -> None:
    facts = report("plan", source, "--free", "200M", "--free-inodes", "50000", "--grow-to", "1T")
    assert 200 << 20 <= facts["available"] < 210 << 20
    assert facts["free_inodes"] >= 50000
    assert facts["grow_to"] >= 1 << 40


def test_excluded_names_stay_out(source: Path) -> None:
    entries = report("plan", source, "--exclude", "large", "--exclude", "etc/hosts")["entries"]
    assert (entries["file"], entries.get("hard_link", 0)) == (2, 0)


def test_workers_do_not_change_the_bytes(source: Path, out: Path) -> None:
    for workers in ("1", "2", "7"):
        report("build", source, "-o", out / workers, "--workers", workers)
    one = (out / "1").read_bytes()
    assert (out / "2").read_bytes() == one
    assert (out / "7").read_bytes() == one


@pytest.mark.damaged
def test_an_override_changes_the_field(source: Path, out: Path) -> None:
    run("build", source, "-o", out / "a.img", "--override", "inode[/etc/hosts].i_links_count=7")
    assert fsck.problems(out / "a.img")


def test_times_past_the_epoch_are_reported(source: Path) -> None:
    losses = report("plan", source, "--epoch", "1600000000")["losses"]
    assert "/etc/hosts" in [loss["path"] for loss in losses]
    done = run("plan", source, "--epoch", "1600000000")
    assert "\nNot kept exactly\n" in done.stdout
    assert "  /etc/hosts: mtime 1700000000 was clamped to 1600000000\n" in done.stdout


def test_the_environment_gives_the_epoch(source: Path) -> None:
    late = {"SOURCE_DATE_EPOCH": "1600000000"}
    assert report("plan", source, env=late)["losses"]
    assert not report("plan", source, "--epoch", "1800000000", env=late)["losses"]


def test_all_times_and_owners(source: Path, out: Path) -> None:
    arguments = ("build", source, "--all-times", "5", "--owner", "7:8", "--root-owner", "0:9")
    report(*arguments, "-o", out / "a.img")
    for path in source.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000), follow_symlinks=False)
    report(*arguments, "-o", out / "b.img")
    assert (out / "a.img").read_bytes() == (out / "b.img").read_bytes()
    dumped = tools.run(["debugfs", "-R", "stat /etc/hosts", str(out / "a.img")]).stdout
    assert "User:     7   Group:     8" in dumped
    assert "mtime: 0x00000005" in dumped
    dumped = tools.run(["debugfs", "-R", "stat /", str(out / "a.img")]).stdout
    assert "User:     0   Group:     9" in dumped


def test_strict_refuses_a_policy_that_has_nothing_to_choose(source: Path, out: Path) -> None:
    image = out / "a.img"
    arguments = ("build", source, "-o", image, "--policy", "journal-wrap", "--journal", "none")
    assert_one_line(run(*arguments, "--strict"), 1, "--strict", "journal-wrap", "needs a journal")
    assert not image.exists()
    [loss] = report(*arguments)["losses"]
    assert (loss["path"], loss["code"]) == ("/", "policy-unused")


def test_strict_refuses_before_anything_is_written(source: Path, out: Path) -> None:
    arguments = ("build", source, "-o", out / "a.img", "--strict")
    done = run(*arguments, "--epoch", "1600000000")
    assert_one_line(done, 1, "--strict", "clamped", "more")
    assert_untouched(out)
    assert run(*arguments).returncode == 0


def test_an_image_inside_the_source_is_left_out(source: Path) -> None:
    image = source / "a.img"
    assert report("build", source, "-o", image)["losses"] == []
    first = os.stat(image).st_size
    facts = report("build", source, "-o", image)
    assert [loss["path"] for loss in facts["losses"]] == ["/a.img"]
    assert facts["size"] == first
    assert_one_line(run("build", source, "-o", image, "--strict"), 1, "/a.img")
    assert report("build", source, "-o", image, "--exclude", "a.img")["losses"] == []


@pytest.mark.parametrize(
    "option", ["--bmap", "--chunks", "--dm-verity", "--journal-device", "plan --save"]
)
def test_files_beside_an_image_inside_the_source_are_left_out(source: Path, option: str) -> None:
    """The command can be repeated; the report names the older files that it skipped."""
    made = source / "beside"
    image = source / "a.img"
    if option == "plan --save":
        arguments = ("plan", source, "--save", made, "--json")
        names = ["/beside"]
    else:
        arguments = ("build", source, "-o", image, option, made)
        names = ["/a.img", "/beside"]
    os.utime(source, (1, 1))
    assert report(*arguments)["losses"] == []
    os.utime(source, (1, 1))
    # The plan records the losses, so the second one differs.
    first = b"" if "--save" in arguments else made.read_bytes()
    written = image.read_bytes() if image.exists() else b""
    facts = report(*arguments)
    assert [loss["path"] for loss in facts["losses"]] == names
    assert made.read_bytes().startswith(first)
    assert (image.read_bytes() if image.exists() else b"") == written
    assert_one_line(run(*arguments, "--strict"), 1, names[0])


@pytest.mark.parametrize(
    "option", ["--bmap", "--chunks", "--dm-verity", "--journal-device", "--save"]
)
def test_files_of_the_source_are_not_mistaken_for_older_outputs(source: Path, option: str) -> None:
    """Only files that the option wrote are skipped; all others belong to the user."""
    theirs = source / "theirs"
    theirs.write_bytes(b"\x7fELF and the like" * 1000)
    before = theirs.read_bytes()
    if option == "--save":
        done = run("plan", source, "--save", theirs)
    else:
        done = run("build", source, "-o", source / "a.img", option, theirs)
    assert_one_line(done, 1, "theirs", "does not overwrite")
    assert theirs.read_bytes() == before and not (source / "a.img").exists()


def test_a_second_name_of_an_older_image_outside_the_source_stays(source: Path, out: Path) -> None:
    os.link(source / "large", out / "a.img")
    facts = report("build", source, "-o", out / "a.img")
    assert facts["losses"] == []
    assert facts["entries"]["file"] == 3


def test_standard_output_inside_the_source_is_left_out(source: Path) -> None:
    with (source / "a.img").open("wb") as stream:
        done = run("build", source, "-o", "-", "--json", stdout=stream)
    assert [loss["path"] for loss in json.loads(done.stderr)["losses"]] == ["/a.img"]
    fsck.assert_clean(source / "a.img")


def test_an_existing_image_is_replaced_only_by_a_complete_one(source: Path, out: Path) -> None:
    image = out / "a.img"
    image.write_bytes(b"older")
    assert run("build", source, "-o", image, "--size", "64K").returncode == 1
    assert image.read_bytes() == b"older"
    report("build", source, "-o", image)
    fsck.assert_clean(image)


def test_the_umask_decides_the_mode_of_the_image(source: Path, out: Path) -> None:
    for umask, mode in ((0o022, 0o644), (0o077, 0o600)):
        image = out / f"{umask}"
        assert run("build", source, "-o", image, "-q", umask=umask).returncode == 0
        assert stat.S_IMODE(image.stat().st_mode) == mode


@pytest.mark.parametrize("name", [b"\xff\xfe.img", b"new\nline.img", "ä.img".encode()])
def test_the_image_may_have_any_name(name: bytes, source: Path, out: Path) -> None:
    path = os.fsdecode(os.path.join(os.fsencode(out), name))
    done = run("build", source, "-o", path)
    assert done.returncode == 0, done.stderr
    assert os.listdir(os.fsencode(out)) == [name]


def test_a_dry_run_is_a_plan(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs" / "file").write_text("text")
    options = ["--epoch", "5", "--free", "10%"]
    planned = report("plan", "rootfs", *options, cwd=tmp_path)
    for more in ([], ["-o", "image"], ["-o", "no/such/folder/image.zst", "--zstd-level", "9"]):
        dry = report("build", "rootfs", "--dry-run", *options, *more, cwd=tmp_path)
        assert {**dry, "seconds": {}} == {**planned, "seconds": {}}
    assert os.listdir(tmp_path) == ["rootfs"]


def test_options_of_the_format(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs" / "zeros").write_bytes(bytes(1 << 20))
    image = tmp_path / "image"
    made = ["build", tmp_path / "rootfs", "-o", image]
    facts = report(*made, "--no-lost-and-found", "--hole-size", "0", "-N", "5000")
    assert facts["inodes"] >= 5000 and facts["inodes"] < 5000 + 256
    assert facts["content"] == 1 << 20
    superblock = debugfs.superblock(image)
    assert int(superblock["Inode count"]) == facts["inodes"]
    assert "lost+found" not in debugfs.debugfs(image, "ls /")
    assert report(*made)["content"] < 1 << 20
    assert_one_line(run(*made, "--inodes", "5"), 2, "--inodes", "5 are fewer")
    assert_one_line(run(*made, "--inodes", "50", "--free-inodes", "9"), 2, "--inodes")
