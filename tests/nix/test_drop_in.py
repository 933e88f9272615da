"""The drop-in for make-ext4-fs.nix, evaluated and built by a real Nix."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zstandard

from tests.builder.command import run
from tests.judges import debugfs
from tests.judges.compare import assert_dirs_equal
from tests.judges.kernel import mounted
from tests.judges.tools import require_root
from tests.judges.tools import run as run_tool

from .drop_in import DROP_IN, LABEL, Build, BuildError
from .host import NixHost


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


def test_plain_equals_the_command(build: Build, tmp_path: Path) -> None:
    image = build.image()
    assert image.name.endswith("-ext4-fs.img")
    assert image.read_bytes() == build.command(tmp_path / "command.img").read_bytes()


def test_compressed_equals_the_command(build: Build, tmp_path: Path) -> None:
    image = build.image("compressImage = true;")
    assert image.name.endswith("-ext4-fs.img.zst")
    data = image.read_bytes()
    assert data == build.command(tmp_path / "command.img.zst").read_bytes()
    plain = build.image("compressImage = false;").read_bytes()
    assert zstandard.get_frame_parameters(data).content_size == len(plain)
    assert zstandard.decompress(data) == plain


def test_nix_finds_that_a_second_build_is_equal(build: Build) -> None:
    for arguments in ("", "compressImage = true;"):
        build.image(arguments)
        build.image(arguments, "--check")


def test_what_the_image_holds(build: Build, tmp_path: Path) -> None:
    """The kernel sees the closure, the files and the registration, as on a NixOS root."""
    require_root()
    image = build.image()
    registration = build.closure() / "registration"
    with mounted(image) as root:
        assert sorted(os.listdir(root)) == [
            *(".config", ".dotted", "boot", "etc", "lost+found"),
            *("nix", "nix-path-registration", "run"),
        ]
        assert (root / "nix-path-registration").read_bytes() == registration.read_bytes()
        objects = build.host.closure(build.system)
        assert len(objects) == 3
        assert [f"/nix/store/{name}" for name in sorted(os.listdir(root / "nix/store"))] == objects
        for path in objects:
            assert_dirs_equal(build.host.real(path), root / path[1:])
        for folder, folders, files in os.walk(root):
            for name in (".", *folders, *files):
                status = os.lstat(os.path.join(folder, name))
                assert (status.st_uid, status.st_gid) == (0, 0)
                assert (status.st_atime, status.st_mtime, status.st_ctime) == (1, 1, 1)
                assert status.st_nlink == 1 or os.path.isdir(os.path.join(folder, name))
        assert (root / "etc/key").stat().st_mode & 0o7777 == 0o600
        assert (root / ".config").stat().st_mode & 0o7777 == 0o700
        assert os.readlink(root / "run") == "/nix/var/nix/profiles/system"
    assert debugfs.superblock(image)["Filesystem UUID"] == "44444444-4444-4444-8888-888888888888"


def test_our_registration_is_that_of_closure_info(build: Build) -> None:
    """It is byte for byte equal, computed from the content of the store paths."""
    build.image()
    closure, store = build.closure(), build.host.nix / "store"
    done = run("nix", "registration", "--closure", closure, "--store-dir", store, text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (closure / "registration").read_bytes()


def test_every_new_argument_works(build: Build) -> None:
    seed = "01234567-89ab-cdef-8123-456789abcdef"
    uuid = "fedcba98-7654-3210-8fed-cba987654321"
    image = build.image(
        f"""
        uuid = "{uuid}";
        freeSpace = "64M";
        freeInodes = 9999;
        growTo = "1T";
        hashSeed = "{seed}";
        extraArgs = [ "--features" "^64bit" "--journal" "8M" ];
        """,
        label="it's a root",
    )
    found = debugfs.superblock(image)
    assert found["Filesystem volume name"] == "it's a root"
    assert found["Filesystem UUID"] == uuid
    assert found["Directory Hash Seed"] == seed
    assert int(found["Free blocks"]) * 4096 >= 64 << 20
    assert int(found["Free inodes"]) >= 9999
    assert int(found["Reserved GDT blocks"]) >= (1 << 40) // (128 << 20) * 32 // 4096 - 1
    assert "64bit" not in found["Filesystem features"]
    assert found["Total journal size"] == "8M"


def test_the_arguments_of_the_old_function_are_accepted(build: Build) -> None:
    """nixpkgs passes them; those that only the old function needs change nothing."""
    image = build.image()
    old = 'e2fsprogs = { bin = "/usr"; }; libfaketime = null; perl = null; fakeroot = null; '
    assert build.image(old + "zstd = null; lkl = null;") == image


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('freespace = "64M";', ("called with unexpected argument", "freespace")),
        ("storepaths = [ ];", ("called with unexpected argument", "storepaths")),
        ('label = "other";', ("label and volumeLabel have different values",)),
        ('freeSpace = "1M"; additionalSpace = "2M";', ("additionalSpace and freeSpace",)),
        ('uuid = "random";', ("--uuid random would make a different image each time",)),
        ("contents = [ { source = /etc/hosts; target = /; } ];", ("contents",)),
    ],
)
def test_arguments_that_are_errors(build: Build, arguments: str, words: tuple[str, ...]) -> None:
    with pytest.raises(BuildError) as caught:
        build.image(arguments)
    for word in words:
        assert word in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_arguments_of_make_disk_image(build: Build, tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("Welcome.\n")
    image = build.image(
        f"""
        label = "{LABEL}";
        diskSize = 96;
        contents = [
          {{ source = {tmp_path}/motd; target = "/etc/motd"; mode = "640"; user = "7"; }}
        ];
        """
    )
    assert image.stat().st_size == 96 << 20
    said = debugfs.debugfs(image, "stat /etc/motd")
    assert "Mode:  0640" in said and "User:     7" in said
    assert "Welcome." in debugfs.debugfs(image, "cat /etc/motd")


def test_a_system_that_needs_no_first_boot(build: Build, tmp_path: Path) -> None:
    """A real Nix finds everything registered in a copy of the mount, and collects nothing."""
    require_root()
    system = f'builtins.storePath "{build.system}"'
    image = build.image(f"systemProfile = {system}; database = true; registration = false;")
    (tmp_path / "booted").mkdir()
    host = NixHost(tmp_path / "booted")
    with mounted(image) as root:
        assert not (root / "nix-path-registration").exists()
        run_tool(["cp", "-a", f"{root}/nix/.", host.nix])
    said = host.run("nix-store", "--verify", "--check-contents").stdout
    assert "checking store hashes" in said
    for word in ("error", "modified", "disappeared", "missing"):
        assert word not in said
    host.run("nix-store", "--gc", alone=True)
    assert host.closure(build.system) == build.host.closure(build.system)
    run_tool(["chmod", "-R", "u+w", host.nix])


def test_ignored_settings_of_mke2fs_are_reported(build: Build) -> None:
    """Its configuration or another e2fsprogs has no effect, and both are reported."""
    drop_in = build.folder / "overridden.nix"
    drop_in.write_text(
        f"""
        {{ pkgs, lib, ... }}@arguments:
        (import {DROP_IN} (arguments // {{ e2fsprogs.bin = "/other"; }})).overrideAttrs (old: {{
          MKE2FS_CONFIG = "/etc/mke2fs.conf";
          buildCommand = old.buildCommand + "echo the image is $(stat -c %s $img); ls files";
        }})
        """
    )
    done = build.image(drop_in=drop_in)
    log = build.log(done)
    assert "MKE2FS_CONFIG is ignored" in log
    assert f"the image is {done.stat().st_size}" in log
    assert "warning: make-ext4-fs.nix: e2fsprogs is ignored" in build.said
    assert "warning" not in build.log(build.image())
    assert "warning" not in build.said


def test_features_and_blocks(build: Build) -> None:
    features = 'features = [ "^metadata_csum" "^64bit" ];'
    image = build.image(f'{features} blockSize = "auto"; inodeRatio = "4K";')
    found = debugfs.superblock(image)
    assert "metadata_csum" not in found["Filesystem features"]
    assert found["Block size"] == "1024"
    assert int(found["Inodes per group"]) == (8 << 20) // (4 << 10)


def test_the_commands_do_not_meet_our_package(build: Build) -> None:
    image = build.image(populate='echo "$PATH" > files/path; ! command -v ext4writer')
    assert debugfs.debugfs(image, "cat /path").splitlines()[-1] == "/usr/bin:/bin"


def test_files_may_be_empty(build: Build) -> None:
    require_root()
    with mounted(build.image(populate="")) as root:
        assert sorted(os.listdir(root)) == ["lost+found", "nix", "nix-path-registration"]


@pytest.mark.parametrize(
    ("arguments", "populate", "words"),
    [
        ("", "false\necho not reached", ""),
        ("", "ln -s a files/nix-path-registration", " /nix-path-registration:"),
        ('freeSpace = "much";', "", "--free"),
        ('extraArgs = [ "--size" "1M" ];', "", "--size"),
    ],
    ids=["populate fails", "file in the way", "wrong argument", "too small"],
)
def test_a_failure_leaves_no_output(
    build: Build, arguments: str, populate: str, words: str
) -> None:
    with pytest.raises(BuildError) as caught:
        build.image(arguments, populate=populate)
    assert words in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert not list((build.host.nix / "store").glob("*-ext4-fs.img"))


def test_the_log_has_the_report_and_no_bar(build: Build) -> None:
    log = build.log(build.image())
    assert "NAR size" in log and "SHA-256" in log
    assert "\x1b" not in log
