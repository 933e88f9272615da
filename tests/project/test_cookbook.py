"""The recipes of docs/cookbook do what they say; each is run unchanged."""

from __future__ import annotations

import hashlib
import os
import re
import select
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ext4writer
from ext4writer import BytesContent, Directory, RegularFile, Symlink, sources
from ext4writer.read import open_image
from tests.builder.command import command, environment
from tests.guest.initramfs import build
from tests.guest.kernel_package import unpacked_kernel
from tests.judges import debugfs, fsck, tools
from tests.makers.containers import Entry, Layout, layer_tar

COOKBOOK = Path(__file__).parents[2] / "docs" / "cookbook"
INDEX = (COOKBOOK / "README.md").read_text()


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A search path on which ``ext4writer`` is the one of this working copy."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "ext4writer"
    words = " ".join(f"'{word}'" for word in command())
    program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{tools.SEARCH_PATH}"


@pytest.fixture
def cook(path: str, tmp_path: Path):
    """A function that runs a recipe in ``tmp_path`` and returns the finished process."""

    def run(
        recipe: str, *arguments: str | Path, status: int = 0
    ) -> subprocess.CompletedProcess[str]:
        script = COOKBOOK / recipe
        program = [sys.executable, script] if recipe.endswith(".py") else ["sh", script]
        done = subprocess.run(
            [*program, *arguments],
            cwd=tmp_path,
            env=environment({"PATH": path}),
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    folder = tmp_path / "rootfs"
    for name in ("bin", "etc", "dev", "lib"):
        (folder / name).mkdir(parents=True)
    (folder / "bin" / "tool").write_text("#!/bin/sh\n")
    (folder / "bin" / "tool").chmod(0o755)
    (folder / "etc" / "hostname").write_text("base\n")
    return folder


def make_tar(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w") as file:
        file.add(folder, ".")


def test_the_index_has_every_recipe_and_a_test_runs_each() -> None:
    listed = set(re.findall(r"\]\(([^)]+)\)", INDEX))
    there = {each.name for each in COOKBOOK.iterdir()} - {"README.md", "__pycache__"}
    assert listed == there
    ours = Path(__file__).read_text()
    for name in listed:
        assert f'"{name}"' in ours, name
        if name.endswith((".sh", ".py")):
            assert os.access(COOKBOOK / name, os.X_OK), name


@pytest.mark.parametrize("arguments", [(), ("one", "two", "three", "four")], ids=["none", "many"])
def test_wrong_arguments_are_answered_with_the_usage(arguments: Sequence[str], cook) -> None:
    for script in sorted([*COOKBOOK.glob("*.sh"), *COOKBOOK.glob("*.py")]):
        done = cook(script.name, *arguments, status=2)
        assert done.stderr.startswith(f"usage: {script.name} "), script
        assert not done.stdout


def test_a_microvm_root(cook, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    entries = [
        Entry(b"", Directory()),
        Entry(b"usr", Directory()),
        Entry(b"usr/sbin", Directory()),
        Entry(b"sbin", Symlink(b"usr/sbin")),
        Entry(b"etc", Directory()),
        Entry(b"etc/resolv.conf", RegularFile(BytesContent(b""))),
    ]
    layout.index([layout.image([layer_tar(entries)])])
    cook("microvm-root.sh", "oci:layout", "root.img", "/usr/bin/server")
    with open_image(tmp_path / "root.img") as image:
        assert b"exec /usr/bin/server\n" in image.open("/usr/sbin/init").read()
        assert image.open("/etc/resolv.conf").read() == b"nameserver 1.1.1.1\n"
    init = debugfs.inode(tmp_path / "root.img", "/usr/sbin/init")
    assert (init.mode, init.uid, init.gid) == (0o755, 0, 0)
    assert debugfs.inode(tmp_path / "root.img", "/etc/resolv.conf").mode == 0o644
    free = debugfs.superblock(tmp_path / "root.img")
    assert int(free["Free blocks"]) * 4096 >= 512 << 20


@pytest.mark.judged("quick")
def test_many_roots(cook, rootfs: Path, tmp_path: Path) -> None:
    make_tar(rootfs, tmp_path / "base.tar")
    said = cook("thousand-roots.py", "base.tar", "roots", "3").stdout
    assert said.startswith("3 images, ")
    uuids = set()
    for number in range(3):
        with open_image(tmp_path / "roots" / f"vm-{number:04}.img") as image:
            assert image.open("/etc/hostname").read() == b"vm-%04d\n" % number
            assert image.open("/bin/tool").read() == b"#!/bin/sh\n"
            uuids.add(bytes(image.superblock["s_uuid"]))
    assert len(uuids) == 3


def test_a_gpt_disk(cook, rootfs: Path, tmp_path: Path) -> None:
    tools.require("sfdisk")
    cook("gpt-disk.sh", "rootfs", "disk.img", "64")
    said = tools.run(["sfdisk", "--verify", tmp_path / "disk.img"]).stdout
    assert "No errors detected" in said
    part = tmp_path / "part.img"
    with open(tmp_path / "disk.img", "rb") as disk:
        disk.seek(1 << 20)
        part.write_bytes(disk.read(62 << 20))
    fsck.assert_clean(part)
    assert "bin/tool" in (tmp_path / "disk.img.mtree").read_text()
    whole = (tmp_path / "disk.img").read_bytes()
    done = cook("gpt-disk.sh", "rootfs", "disk.img", "32", status=1)
    assert done.stderr == "gpt-disk.sh: disk.img: exists; remove it, or give another name\n"
    assert (tmp_path / "disk.img").read_bytes() == whole


@pytest.mark.parametrize(
    "script, arguments",
    [
        ("gpt-disk.sh", ("missing", "made")),
        ("thousand-roots.py", ("missing", "made")),
        ("web_service.py", ("missing", "0")),
        ("range_server.py", ("missing", "0")),
    ],
)
def test_a_missing_source_is_one_line_and_leaves_no_file(
    script: str, arguments: Sequence[str], cook, tmp_path: Path
) -> None:
    if script == "gpt-disk.sh":
        tools.require("sfdisk")
    done = cook(script, *arguments, status=1)
    assert re.fullmatch(
        r"\S+: (\S*/)?missing: cannot be read: No such file or directory.*\n", done.stderr
    )
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_a_root_like_buildroots(cook, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "table").write_text(
        "/dev d 755 0 0 - - - - -\n"
        "/dev/console c 622 0 0 5 1 - - -\n"
        "/bin/tool f 4755 0 0 - - - - -\n"
    )
    (rootfs / "THIS_IS_NOT_YOUR_ROOT_FILESYSTEM").touch()
    cook("buildroot-root.sh", "rootfs", "table", "rootfs.ext4")
    image = tmp_path / "rootfs.ext4"
    assert image.stat().st_size == 60 << 20
    with open_image(image) as read:
        console = read.lookup("/dev/console")
        assert console.kind == "character device"
        assert console.mode & 0o7777 == 0o622
    assert debugfs.inode(image, "/bin/tool").mode == 0o4755
    assert "THIS_IS" not in debugfs.debugfs(image, "ls /")


def test_labels_of_a_partition(cook, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "contexts").write_text(
        "/(/.*)?                u:object_r:rootfs:s0\n"
        "/vendor(/.*)?          u:object_r:vendor_file:s0\n"
        "/vendor/bin/tool       u:object_r:vendor_tool_exec:s0\n"
    )
    (tmp_path / "no-programs" / "bin").mkdir(parents=True)
    for folder in ("no-programs", "no-programs/bin"):
        cook("selinux-vendor.sh", folder, "contexts", "vendor.img")
    (rootfs / "bin" / "busybox").write_text("")
    (rootfs / "bin" / "sh").symlink_to("busybox")
    cook("selinux-vendor.sh", "rootfs", "contexts", "vendor.img")
    image = tmp_path / "vendor.img"
    for name, label in (("/", "vendor_file"), ("/bin/tool", "vendor_tool_exec")):
        said = debugfs.debugfs(image, f"ea_get {name} security.selinux")
        assert f"u:object_r:{label}:s0" in said
    assert debugfs.inode(image, "/bin/tool").gid == 2000


def test_comparing_two_builds(cook, rootfs: Path, tmp_path: Path, path: str) -> None:
    def made(name: str, *options: str) -> None:
        done = subprocess.run(
            ["ext4writer", "build", "rootfs", "-o", name, "-q", *options],
            cwd=tmp_path,
            env=environment({"PATH": path}),
        )
        assert done.returncode == 0

    made("one.img")
    made("same.img")
    made("other-label.img", "--label", "x")
    (rootfs / "etc" / "hostname").write_text("diff\n")
    made("changed.img", "--all-times", "0")
    assert "are equal" in cook("compare-builds.sh", "one.img", "same.img").stdout
    said = cook("compare-builds.sh", "one.img", "other-label.img", status=1).stdout
    assert "the entries are equal" in said
    cook("compare-builds.sh", "one.img", "missing.img", status=2)
    said = cook("compare-builds.sh", "one.img", "changed.img", status=1).stdout
    assert "etc/hostname" in said and "sha256" in said


@pytest.mark.parametrize(
    ("page", "steps"),
    [("github-actions.yml", r"- run: \|\n((?: {10}.*\n)+)"), ("gitlab-ci.yml", r" {4}- (.*)\n")],
)
def test_snippets_of_ci(page: str, steps: str, rootfs: Path, tmp_path: Path, path: str) -> None:
    """Run them without the lines that install ext4writer; test_distribution.py covers these."""
    text = (COOKBOOK / page).read_text()
    lines = "\n".join(re.findall(steps, text.partition("artifacts:")[0]))
    script = "\n".join(line.strip() for line in lines.splitlines() if "pip install" not in line)
    assert "ext4writer build" in script
    made = [tools.require("git"), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "empty"]):
        subprocess.run([*made, *arguments], cwd=tmp_path, check=True)
    subprocess.run(
        ["sh", "-eu", "-c", script], cwd=tmp_path, env=environment({"PATH": path}), check=True
    )
    image = tmp_path / "rootfs.img.zst"
    said = (tmp_path / "rootfs.img.zst.sha256").read_text()
    assert said.split()[0] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert '"schema": "ext4writer.report/1"' in (tmp_path / "report.json").read_text()
    assert not (rootfs / "report.json").exists()


class Arguments:
    """``ctx.actions.args()`` of Bazel, with the methods that the rule uses."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def add(self, *words: Any) -> None:
        self.words += [getattr(word, "path", word) for word in words]

    def add_all(self, words: Sequence[str]) -> None:
        self.words += words


class Target:
    """A target of Bazel that produces one file."""

    def __init__(self, file: Any) -> None:
        self.files = SimpleNamespace(to_list=lambda: [file])


def test_the_rule_for_bazel(rootfs: Path, tmp_path: Path, path: str) -> None:
    """Run the rule as Python, which includes Starlark, and its action where Bazel would run it."""
    make_tar(rootfs, tmp_path / "base.tar")
    make_tar(rootfs, tmp_path / "app.tar")
    attr = SimpleNamespace(
        **dict.fromkeys(
            ("label_list", "label_keyed_string_dict", "string_list", "label"),
            lambda **_: None,
        )
    )
    names: dict[str, Any] = {
        "attr": attr,
        "rule": lambda implementation, attrs: (implementation, attrs),
        "DefaultInfo": lambda files: files,
        "depset": list,
    }
    exec((COOKBOOK / "ext4_image.bzl").read_text(), names)
    implementation, attrs = names["ext4_image"]
    assert set(attrs) == {"srcs", "targets", "options", "ext4writer"}
    base, app = (SimpleNamespace(path=f"{name}.tar") for name in ("base", "app"))
    target = Target(app)
    ran: list[dict[str, Any]] = []
    actions = SimpleNamespace(
        declare_file=lambda name: SimpleNamespace(path=name),
        args=Arguments,
        run=lambda **what: ran.append(what),
    )
    [image] = implementation(
        SimpleNamespace(
            label=SimpleNamespace(name="root"),
            actions=actions,
            attr=SimpleNamespace(
                targets={target: "/srv/app"}, options=["--label", "root", "--owner", "0:0"]
            ),
            files=SimpleNamespace(srcs=[base, app]),
            executable=SimpleNamespace(ext4writer="ext4writer"),
        )
    )
    assert [each.path for each in image] == ["root.img"]
    [action] = ran
    subprocess.run(
        [action["executable"], *action["arguments"][0].words],
        cwd=tmp_path,
        env=environment({"PATH": path}),
        check=True,
    )
    with open_image(tmp_path / "root.img") as read:
        assert read.open("/srv/app/etc/hostname").read() == b"base\n"
        assert read.open("/etc/hostname").read() == b"base\n"


@contextmanager
def serving(script: str, rootfs: Path) -> Iterator[str]:
    """The address of a web service that serves ``rootfs``."""
    process = subprocess.Popen(
        [sys.executable, COOKBOOK / script, rootfs, "0"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_a_server_of_ranges(rootfs: Path, tmp_path: Path) -> None:
    image = tmp_path / "written.img"
    ext4writer.write_image(sources.directory(rootfs), image)
    data = image.read_bytes()
    with serving("range_server.py", rootfs) as service:
        for wanted, expected in (
            ("bytes=1024-2047", data[1024:2048]),
            (f"bytes={len(data) - 5}-", data[-5:]),
            ("bytes=0-", data),
        ):
            asked = urllib.request.Request(service, headers={"Range": wanted})
            with urllib.request.urlopen(asked) as answer:
                assert (answer.status, answer.read()) == (206, expected)
        beyond = urllib.request.Request(service, headers={"Range": f"bytes={len(data)}-"})
        with pytest.raises(urllib.request.HTTPError, match="416"):
            urllib.request.urlopen(beyond)


@pytest.fixture
def service(rootfs: Path) -> Iterator[str]:
    """The address of the web service."""
    with serving("web_service.py", rootfs) as address:
        yield address


def test_a_web_service(service: str, tmp_path: Path) -> None:
    for name in ("box-1", "box-2"):
        with urllib.request.urlopen(f"{service}/{name}.img") as answer:
            data = answer.read()
            assert len(data) == int(answer.headers["Content-Length"])
        image = tmp_path / f"{name}.img"
        image.write_bytes(data)
        fsck.assert_clean(image)
        with open_image(image) as read:
            assert read.open("/etc/hostname").read() == name.encode() + b"\n"
    with pytest.raises(urllib.request.HTTPError, match="404"):
        urllib.request.urlopen(f"{service}/../etc/passwd")


INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /dev /target
/bin/busybox mount -t devtmpfs devtmpfs /dev
for round in 1 2 3 4 5; do
    for module in /modules/*; do /bin/busybox insmod $module 2>/dev/null; done
done
/bin/busybox mount -t ext4 /dev/vda /target
/bin/busybox mount -t devtmpfs devtmpfs /target/dev
exec /bin/busybox switch_root -c /dev/console /target /sbin/init
"""


@pytest.mark.qemu
def test_a_login_prompt(path: str, rootfs: Path, tmp_path: Path) -> None:
    """A busybox system stands in for Debian, which would take minutes and a network."""
    tools.require("qemu-system-x86_64")
    busybox = tools.require("busybox")
    kernel = unpacked_kernel()
    shutil.copy(busybox, rootfs / "bin" / "busybox")
    (rootfs / "sbin").mkdir()
    for name in ("sbin/init", "bin/sh", "bin/login", "sbin/getty"):
        (rootfs / name).symlink_to("/bin/busybox")
    (rootfs / "etc" / "inittab").write_text("::respawn:/sbin/getty -L ttyS0 115200 vt100\n")
    (rootfs / "etc" / "passwd").write_text("root::0:0:root:/:/bin/sh\n")
    make_tar(rootfs, tmp_path / "debian.tar")
    initrd = tmp_path / "initrd"
    initrd.write_bytes(build(kernel, "", (), {"init": INIT.encode()}))
    vmlinuz = next(iter(kernel.glob("boot/vmlinuz-*")))
    process = subprocess.Popen(
        ["sh", COOKBOOK / "debian-login.sh", "debian.tar", vmlinuz, initrd],
        cwd=tmp_path,
        env=environment({"PATH": path, "MACHINE": "q35,accel=tcg"}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    shown, deadline = b"", time.monotonic() + 180
    try:
        while b" login:" not in shown:
            assert select.select([process.stdout], [], [], deadline - time.monotonic())[0], shown
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece, shown.decode("utf-8", "replace")
            shown += piece
    finally:
        process.kill()
        process.communicate()
