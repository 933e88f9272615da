"""``ext4writer nix`` reads a store that a real Nix filled."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.builder.command import report, run
from tests.judges import debugfs, tools
from tests.judges.compare import assert_dirs_equal
from tests.judges.kernel import mounted
from tests.nix.host import NixHost

from .conftest import RealClosure

MIB = 1 << 20
UUID = "44444444-4444-4444-8888-888888888888"


def facts_of(registration: str) -> dict[str, tuple[int, list[str]]]:
    """Size and references of each path of a registration."""
    lines = iter(registration.splitlines())
    facts = {}
    for path in lines:
        _, size, _ = next(lines), int(next(lines)), next(lines)
        facts[path] = (size, sorted(next(lines) for _ in range(int(next(lines)))))
    return facts


def registered(host_store: Path, home: Path) -> list[str]:
    """The paths registered in the store in a folder, as listed by a real Nix."""
    said = nix_store(host_store, home, "--dump-db").stdout
    return sorted(facts_of(said))


def nix_store(store: Path, home: Path, *arguments: str, stdin: bytes = b"", check: bool = True):
    """Run ``nix-store`` on the store in the folder ``store``; its warnings are kept separate."""
    done = subprocess.run(
        [tools.require("nix-store"), "--store", store, *arguments],
        input=stdin,
        capture_output=True,
        env={**os.environ, "HOME": str(home), "NIX_CONFIG": "build-users-group =\n"},
    )
    assert not check or done.returncode == 0, done.stderr
    done.stdout = done.stdout.decode()
    done.stderr = done.stderr.decode()
    return done


def test_the_image_has_the_content_of_the_store(closure: RealClosure, out: Path) -> None:
    tools.require_root()
    image = out / "a.img"
    facts = report("nix", *closure.options, "--verify", "-L", "NIXOS_SD", "-o", image)
    assert os.listdir(out) == ["a.img"]
    registration = closure.folder / "registration"
    sizes = facts_of(registration.read_text())
    assert facts["store_paths"] == len(closure.paths) == 5
    assert facts["verified"] is True
    assert facts["nar_size"] == sum(size for size, _ in sizes.values())
    assert facts["output_size"] == facts["size"] == image.stat().st_size
    assert facts["peak_disk"] == image.stat().st_blocks * 512 < facts["size"]
    assert facts["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert facts["available"] >= 16 * MIB
    assert facts["free_inodes"] >= 1024
    assert facts["grow_to"] >= 256 << 30
    assert (facts["uuid"], facts["label"]) == (UUID, "NIXOS_SD")
    assert facts["losses"] == []
    with mounted(image) as root:
        assert sorted(os.listdir(root)) == ["lost+found", "nix", "nix-path-registration"]
        assert (root / "nix-path-registration").read_bytes() == registration.read_bytes()
        assert os.listdir(root / "nix") == ["store"]
        names = sorted(os.listdir(root / "nix" / "store"))
        assert [f"/nix/store/{name}" for name in names] == closure.paths
        for name in names:
            one, other = closure.store / name, root / "nix" / "store" / name
            if one.is_dir():
                assert_dirs_equal(one, other, xattrs=False)
            else:
                assert one.read_bytes() == other.read_bytes()


def test_owners_stamps_and_modes(closure: RealClosure, out: Path, source: Path) -> None:
    """Each entry is checked, with four timestamps from the kernel and debugfs."""
    tools.require_root()
    image = out / "a.img"
    assert run("nix", *closure.options, "--files", source, "-o", image).returncode == 0
    with mounted(image) as root:
        count = 0
        for folder, folders, files in os.walk(os.fsencode(root)):
            for name in [*folders, *files]:
                path = os.path.join(folder, name)
                status = os.lstat(path)
                count += 1
                assert (status.st_uid, status.st_gid) == (0, 0), path
                stamps = {status.st_mtime_ns, status.st_atime_ns, status.st_ctime_ns}
                assert stamps == {10**9}, path
                assert os.listxattr(path, follow_symlinks=False) == [], path
                if b"/nix/store/" in path:
                    mode = stat.S_IMODE(status.st_mode)
                    kind = stat.S_IFMT(status.st_mode)
                    assert status.st_nlink == 1 or kind == stat.S_IFDIR
                    assert (
                        mode
                        in {
                            stat.S_IFDIR: (0o555,),
                            stat.S_IFREG: (0o444, 0o555),
                            stat.S_IFLNK: (0o777,),
                        }[kind]
                    )
        assert count > 1600
        assert stat.S_IMODE(os.stat(root / "nix" / "store").st_mode) == 0o755
        [odd] = [path for path in closure.paths if path.endswith("-odd")]
        assert stat.S_IMODE(os.stat(f"{root}{odd}/bin/tool").st_mode) == 0o555
        assert stat.S_IMODE(os.stat(f"{root}{odd}/private").st_mode) == 0o444
    for path in ("/", "/nix/store", f"{odd}/bin/tool", "/etc/hosts"):
        said = debugfs.debugfs(image, f'stat "{path}"')
        for stamp in ("ctime", "atime", "mtime", "crtime"):
            assert f"{stamp}: 0x00000001:00000000" in said


def test_the_first_boot_registers_every_path(
    closure: RealClosure, out: Path, tmp_path: Path
) -> None:
    """A copy of the mounted image is a store in which a real Nix misses nothing."""
    tools.require_root()
    image = out / "a.img"
    assert run("nix", *closure.options, "-o", image).returncode == 0
    copy, home = tmp_path / "copy", tmp_path / "home"
    with mounted(image) as root:
        tools.run(["cp", "-a", root, copy])
    text = (copy / "nix-path-registration").read_bytes()
    assert registered(copy, home) == []
    nix_store(copy, home, "--load-db", stdin=text)
    assert registered(copy, home) == closure.paths
    said = nix_store(copy, home, "--verify", "--check-contents").stderr
    assert "checking store hashes" in said
    assert "modified" not in said and "disappeared" not in said
    assert registered(copy, home) == closure.paths
    # Nix would have noticed a change:
    [word] = [path for path in closure.paths if path.endswith("-word")]
    damaged = copy / word[1:]
    damaged.chmod(0o644)
    damaged.write_text("another word\n")
    done = nix_store(copy, home, "--verify", "--check-contents", check=False)
    assert "modified" in done.stderr and word in done.stderr
    tools.run(["chmod", "-R", "u+w", copy])


def test_an_optimised_store_gives_the_same_bytes(
    out: Path, tmp_path: Path, closure: RealClosure
) -> None:
    """Hard links and attributes of the host's store are ignored."""
    host = NixHost(tmp_path)
    tools.run(["cp", "-a", closure.host.nix / "store", host.nix])
    (host.nix / "var/nix/db").mkdir(parents=True)
    registration = (closure.folder / "registration").read_bytes()
    host.run("nix-store", "--load-db", stdin=registration)
    options = ["--closure", closure.folder, "--store-dir", host.nix / "store"]
    first = report("nix", *options, "-o", out / "before.img")
    host.run("nix-store", "--optimise")
    # rglob follows links, and fails on one with a target longer than a name may be.
    found = (
        Path(folder, name) for folder, _, names in os.walk(host.nix / "store") for name in names
    )
    files = [path for path in found if not path.is_symlink()]
    assert sum(path.stat().st_nlink > 1 for path in files) > 150
    if os.geteuid() == 0:
        for path in files[:50]:
            os.setxattr(path, "user.host", b"leaks", follow_symlinks=False)
    second = report("nix", *options, "-o", out / "after.img")
    assert first["sha256"] == second["sha256"]
    assert (out / "before.img").read_bytes() == (out / "after.img").read_bytes()
    host.run("chmod", "-R", "u+w", "/nix")


def test_equal_files_become_one(closure: RealClosure, out: Path) -> None:
    tools.require_root()
    expected: dict[tuple[bytes, int], int] = {}
    for folder, _, names in os.walk(closure.store):
        for name in names:
            path = Path(folder, name)
            if str(path).startswith(str(closure.store / ".links")) or path.is_symlink():
                continue
            real = f"/nix/store/{path.relative_to(closure.store).parts[0]}"
            if real in closure.paths:
                key = path.read_bytes(), path.stat().st_mode & 0o100
                expected[key] = expected.get(key, 0) + 1
    linked = sum(count - 1 for count in expected.values())
    saved = sum((count - 1) * len(data) for (data, _), count in expected.items())
    images = [out / "1.img", out / "2.img"]
    plain = report("nix", *closure.options, "-o", out / "plain.img")
    for image, workers in zip(images, ("1", "3"), strict=True):
        facts = report("nix", *closure.options, "--dedupe", "--workers", workers, "-o", image)
        assert (facts["linked_files"], facts["linked_bytes"]) == (linked, saved)
        assert facts["entries"]["hard_link"] == linked > 150
        assert facts["size"] < plain["size"]
    assert images[0].read_bytes() == images[1].read_bytes()
    with mounted(images[0]) as root:
        [odd] = [path for path in closure.paths if path.endswith("-odd")]
        one, two, three = (f"{root}{odd}/{name}" for name in ("same", "same too", "bin/same"))
        assert os.path.samefile(one, two)
        assert not os.path.samefile(one, three)  # it is executable
        for path in closure.paths:
            if (closure.host.real(path)).is_dir():
                tools.run(
                    ["diff", "-r", "--no-dereference", closure.host.real(path), f"{root}{path}"]
                )


def test_a_saving_of_nothing_is_reported(closure: RealClosure, out: Path, tmp_path: Path) -> None:
    [word] = [path for path in closure.paths if path.endswith("-word")]
    (tmp_path / "paths").write_text(f"{word}\n")
    options = ["--store-paths", tmp_path / "paths", "--store-dir", closure.store]
    for dedupe, count in (([], None), (["--dedupe"], 0)):
        facts = report("nix", *options, *dedupe, "-o", out / "a.img")
        assert (facts["linked_files"], facts["linked_bytes"]) == (count, count)
        text = run("nix", *options, *dedupe, "-o", out / "a.img").stdout
        assert ("equal files  0 linked, 0 bytes saved" in text) == bool(dedupe)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("uid=7", "User:     7"),
        ("gid=7", "Group:     7"),
        ("mode=0400", "Mode:  0400"),
        ("mtime=0", "mtime: 0x00000000"),
        ("xattr:user.x=1", 'user.x (1) = "1"'),
    ],
)
def test_equal_files_with_different_rules_are_not_linked(
    key: str, shown: str, closure: RealClosure, out: Path
) -> None:
    image, rule = out / "a.img", f"nix/store/*-odd/same: {key}"
    facts = report("nix", *closure.options, "--dedupe", "--set", rule, "-o", image)
    whole = report("nix", *closure.options, "--dedupe", "-o", out / "b.img")
    assert facts["linked_files"] == whole["linked_files"] - 1
    [odd] = [path for path in closure.paths if path.endswith("-odd")]
    one, two = (debugfs.debugfs(image, f'stat "{odd}/{name}"') for name in ("same", "same too"))
    assert shown in one and shown not in two
    assert "Links: 1" in one and "Links: 1" in two


def test_a_compressed_image_is_the_plain_one(closure: RealClosure, out: Path) -> None:
    plain = report("nix", *closure.options, "-o", out / "a.img")
    digests = set()
    for workers in ("1", "2", "5"):
        facts = report("nix", *closure.options, "--workers", workers, "-o", out / "a.img.zst")
        data = (out / "a.img.zst").read_bytes()
        digests.add(hashlib.sha256(data).hexdigest())
        assert facts["sha256"] == hashlib.sha256(data).hexdigest()
        assert facts["output_size"] == facts["peak_disk"] == len(data) < plain["size"] / 3
        assert facts["size"] == plain["size"]
    assert len(digests) == 1
    assert sorted(os.listdir(out)) == ["a.img", "a.img.zst"]
    said = tools.run(["zstd", "-lv", out / "a.img.zst"]).stdout
    assert "# Zstandard Frames: 1" in said
    assert f"({plain['size']} B)" in said
    assert "XXH64" in said
    tools.run(["zstd", "-d", out / "a.img.zst", "-o", out / "b.img"])
    assert (out / "b.img").read_bytes() == (out / "a.img").read_bytes()


def test_the_level_of_compression(closure: RealClosure, out: Path) -> None:
    sizes = []
    for level in ("1", "9"):
        image = out / f"{level}.img.zst"
        assert run("nix", *closure.options, "--zstd-level", level, "-o", image).returncode == 0
        sizes.append(image.stat().st_size)
    assert sizes[1] < sizes[0]


def test_the_raw_image_is_never_on_the_disk(closure: RealClosure, out: Path) -> None:
    """No file may become larger than the compressed image."""
    size = report("nix", *closure.options, "-o", out / "a.img.zst")["output_size"]
    assert size < 8 * MIB

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = run("nix", *closure.options, "-o", out / "b.img.zst", preexec_fn=limit)
    assert (done.returncode, done.stderr) == (0, "")
    done = run("nix", *closure.options, "-o", out / "c.img", preexec_fn=limit)
    assert done.returncode == 1 and "a limit" in done.stderr
    assert sorted(os.listdir(out)) == ["a.img.zst", "b.img.zst"]


def test_standard_output_takes_the_same_bytes(closure: RealClosure, out: Path) -> None:
    with open(out / "stream.img", "wb") as stream:
        done = run("nix", *closure.options, "-o", "-", "--json", stdout=stream)
    assert done.returncode == 0
    facts = report("nix", *closure.options, "-o", out / "a.img")
    data = (out / "stream.img").read_bytes()
    assert hashlib.sha256(data).hexdigest() == facts["sha256"]
    assert json.loads(done.stderr)["sha256"] == facts["sha256"]


def test_the_digest_of_a_device_is_that_of_the_image(
    closure: RealClosure, out: Path, tmp_path: Path
) -> None:
    """Bytes after the image on a larger device are not part of the output."""
    tools.require_loop_mount()
    backing = tmp_path / "backing"
    backing.write_bytes(b"\xff" * (64 * MIB))
    plain = report("nix", *closure.options, "-o", out / "a.img")
    device = tools.run(["losetup", "--find", "--show", backing]).stdout.strip()
    try:
        facts = report("nix", *closure.options, "-o", device)
    finally:
        tools.run(["losetup", "--detach", device])
    assert facts["sha256"] == plain["sha256"]
    assert facts["output_size"] == plain["size"]
    data = backing.read_bytes()
    assert data[: plain["size"]] == (out / "a.img").read_bytes()
    assert set(data[plain["size"] :]) == {0xFF}


def test_paths_named_twice_count_once(closure: RealClosure, out: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice"
    twice.mkdir()
    for name in ("store-paths", "registration"):
        text = (closure.folder / name).read_text()
        (twice / name).write_text(text + text)
    options = ["--closure", twice, "--store-dir", closure.store]
    assert report("nix", *options, "-o", out / "a.img")["store_paths"] == 5
    assert run("nix", *closure.options, "-o", out / "b.img").returncode == 0
    assert (out / "a.img").read_bytes() == (out / "b.img").read_bytes()


def test_files_are_added_to_the_root(closure: RealClosure, out: Path, tmp_path: Path) -> None:
    tools.require_root()
    files = tmp_path / "files"
    (files / "boot").mkdir(parents=True)
    (files / "boot" / "kernel").write_bytes(b"kernel" * 1000)
    (files / "boot" / "kernel").chmod(0o750)
    (files / ".hidden").write_text("dot")
    (files / "nix" / "var").mkdir(parents=True)
    (files / "nix").chmod(0o711)
    os.chown(files / ".hidden", 1000, 1000)
    os.setxattr(files / ".hidden", "security.selinux", b"host_t\0")
    os.setxattr(files / ".hidden", "user.kept", b"yes")
    assert run("nix", *closure.options, "--files", files, "-o", out / "a.img").returncode == 0
    with mounted(out / "a.img") as root:
        assert_dirs_equal(files / "boot", root / "boot", owners=False, mtimes=False, xattrs=False)
        assert (root / ".hidden").read_text() == "dot"
        assert sorted(os.listdir(root / "nix")) == ["store", "var"]
        assert stat.S_IMODE((root / "nix").stat().st_mode) == 0o711
        status = (root / ".hidden").stat()
        assert (status.st_uid, status.st_gid, status.st_mtime_ns) == (0, 0, 10**9)
        assert os.listxattr(root / ".hidden") == ["user.kept"]


def test_files_alone(out: Path, tmp_path: Path) -> None:
    """closureInfo without store paths gives an image with an empty store."""
    tools.require_root()
    empty, files = tmp_path / "empty", tmp_path / "files"
    empty.mkdir()
    files.mkdir()
    for name in ("store-paths", "registration"):
        (empty / name).touch()
    (files / "greeting").write_text("hello\n")
    options = ["--closure", empty, "--files", files, "--verify", "--dedupe"]
    facts = report("nix", *options, "-o", out / "a.img")
    assert (facts["store_paths"], facts["nar_size"], facts["linked_files"]) == (0, 0, 0)
    with mounted(out / "a.img") as root:
        assert os.listdir(root / "nix" / "store") == []
        assert (root / "nix-path-registration").read_bytes() == b""
        assert (root / "greeting").read_text() == "hello\n"


def test_exclusions_are_paths_of_the_image(closure: RealClosure, out: Path) -> None:
    facts = report(
        "nix", *closure.options, "--exclude", "nix/store/*-many/folder 1*", "-o", out / "a.img"
    )
    whole = report("nix", *closure.options, "-o", out / "b.img")
    gone = list(closure.store.glob("*-many/folder 1*"))
    assert whole["entries"]["directory"] - facts["entries"]["directory"] == len(gone) == 11


def test_free_inodes_follow_from_the_entries(closure: RealClosure, out: Path) -> None:
    few = ["--free-inodes", "7", "--inode-ratio", "0"]
    assert report("nix", *closure.options, *few, "-o", out / "a.img")["free_inodes"] < 100
    facts = report("nix", *closure.options, "-o", out / "a.img")
    assert facts["inodes_per_gib"] == 65_536 and facts["size"] % MIB == 0
    assert facts["grow_to"] >= 4 << 40
    clusters = ["-O", "bigalloc", "--cluster-size", "64K"]
    assert (
        report("nix", *closure.options, *clusters, "-o", out / "a.img")["inodes_per_gib"] == 1 << 14
    )
    facts = report("nix", *closure.options, "--free", "64M", "-o", out / "a.img")
    assert facts["free_inodes"] >= 4096
    assert facts["available"] >= 64 * MIB


# -- a registration of our own ---------------------------------------------------------------------


def test_the_registration_equals_that_of_nix(closure: RealClosure) -> None:
    """Hashes, sizes and references follow from the content of the paths, and equal Nix's."""
    done = run("nix", "registration", *closure.listed)
    assert (done.returncode, done.stderr) == (0, "")
    ours = facts_of(done.stdout)
    assert ours == facts_of((closure.folder / "registration").read_text())
    assert list(ours) == closure.paths
    for path, (_, references) in ours.items():
        said = closure.host.run("nix-store", "-q", "--references", path).stdout.split()
        assert sorted(said) == references
    assert sorted(len(references) for _, references in ours.values()) == [0, 0, 0, 2, 3]
    for path, digest in zip(done.stdout.splitlines(), done.stdout.splitlines()[1:], strict=False):
        if path in closure.paths and digest.startswith("sha256:"):
            assert closure.host.run("nix-store", "-q", "--hash", path).stdout.strip() == digest


def test_an_image_without_a_given_registration_has_a_computed_one(
    closure: RealClosure, out: Path
) -> None:
    done = run("nix", "registration", *closure.listed, text=False)
    facts = report("nix", *closure.listed, "-o", out / "a.img")
    assert facts["verified"] is False  # there was nothing to compare with
    debugfs.debugfs(out / "a.img", f"dump /nix-path-registration {out}/dumped")
    assert (out / "dumped").read_bytes() == done.stdout
    with_one = out / "registration"
    with_one.write_bytes(done.stdout)
    again = report("nix", *closure.listed, "--registration", with_one, "-o", out / "b.img")
    assert facts["sha256"] == again["sha256"]


def test_our_registration_is_loaded_by_nix(closure: RealClosure, tmp_path: Path) -> None:
    text = run("nix", "registration", *closure.listed, text=False).stdout
    copy, home = tmp_path / "copy", tmp_path / "home"
    (copy / "nix").mkdir(parents=True)
    shutil.copytree(closure.store, copy / "nix" / "store", symlinks=True)
    nix_store(copy, home, "--load-db", stdin=text)
    said = nix_store(copy, home, "--verify", "--check-contents").stderr
    assert "modified" not in said and "disappeared" not in said
    assert set(closure.paths) == set(registered(copy, home))
    tools.run(["chmod", "-R", "u+w", copy])
