"""Rules give an ordinary user's tree what only root can really do to files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ext4writer import Tree
from tests.builder.command import command, environment, report, run
from tests.judges import tools
from tests.judges.kernel import mounted
from tests.judges.tools import require_root
from tests.makers.host_tree import materialise

NOBODY = 65534
TIME = 1_600_000_000
NANOSECONDS = 1_000_000_000

AS_NOBODY = f"""
import os, sys
from contextlib import suppress
from ext4writer_cli.cli import main
arguments = sys.argv[1:]
# All modules are loaded by root, because the user nobody may not look into root's folders.
with suppress(SystemExit):
    main([*arguments, "-o", "of root.img"])
os.unlink("of root.img")
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
try:
    os.chown(sys.argv[2], 0, 0)
except PermissionError:
    main([*arguments, "-o", "nobody.img"])
raise AssertionError("the process is still root")
"""

CONTEXTS = """\
/.*                 system_u:object_r:default_t:s0
/etc(/.*)?          system_u:object_r:etc_t:s0
/usr/bin(/.*)?  --  system_u:object_r:bin_t:s0
/depot              <<none>>
/depot/.*           system_u:object_r:home_t:s0
"""
DEVICES = """\
/dev       d 755 0 0 - - - - -
/dev/null  c 666 0 0 1 3 - - -
/dev/tty   c 620 0 5 4 0 0 1 3
/dev/log   s 666 0 0 - - - - -
/dev/pipe  p 600 0 0 - - - - -
"""
RULES = """\
# one a line
etc/note: xattr:user.note='two words'
depot/box/**: uid=1000 gid=1001
"""


def users_tree() -> Tree:
    tree = Tree()
    tree.root.mode = 0o777
    for folder in ("/etc", "/usr", "/usr/bin", "/depot", "/depot/box", "/cache"):
        tree.directory(folder, mode=0o777)
    tree.file("/usr/bin/su", b"su", mode=0o777)
    tree.file("/usr/bin/ping", b"ping", mode=0o777)
    tree.link("/usr/bin/ping6", "/usr/bin/ping")
    tree.file("/etc/note", b"note", mode=0o666)
    tree.file("/depot/box/diary", b"diary" * 5000, mode=0o600)
    tree.file("/cache/a.pyc", b"is left out")
    tree.file("/cache/keep.pyc", b"is kept")
    tree.symlink("/sh", "usr/bin/su")
    for _, node in tree.walk():
        node.uid = node.gid = NOBODY
    return tree


def roots_tree(folder: Path) -> None:
    """Do the same with the calls that only root may make."""
    tree = users_tree()
    tree.remove("/cache/a.pyc")
    for _, node in tree.walk():
        node.uid = node.gid = 0
        if node.file_type != tree["/sh"].file_type:
            node.mode &= 0o7755
    tree["/depot/box/diary"].uid, tree["/depot/box/diary"].gid = 1000, 1001
    tree["/usr/bin/su"].mode = 0o4755
    tree["/etc/note"].xattrs = {b"user.note": b"two words"}
    tree.directory("/dev", mode=0o755)
    tree.device("/dev/null", "c", 1, 3, mode=0o666)
    for number in range(3):
        tree.device(f"/dev/tty{number}", "c", 4, number, mode=0o620, gid=5)
    tree.socket("/dev/log", mode=0o666)
    tree.fifo("/dev/pipe", mode=0o600)
    materialise(tree, folder)
    tools.run([tools.require("setcap"), "cap_net_raw=ep", folder / "usr/bin/ping"])
    for path, node in tree.walk():
        place = os.fsencode(folder) + path
        label = label_of(path, stat_is_regular=node.file_type == tree["/etc/note"].file_type)
        if label:
            os.setxattr(place, "security.selinux", label + b"\0", follow_symlinks=False)
        os.utime(place, ns=(0, TIME * NANOSECONDS), follow_symlinks=False)


def label_of(path: bytes, *, stat_is_regular: bool) -> bytes:
    kind = b"default_t"
    if path == b"/depot":
        return b""
    if path.startswith(b"/depot/"):
        kind = b"home_t"
    elif path.startswith(b"/etc"):
        kind = b"etc_t"
    elif path.startswith(b"/usr/bin/") and stat_is_regular:
        kind = b"bin_t"
    return b"system_u:object_r:" + kind + b":s0"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of the user nobody, with its tree and the rule files."""
    require_root()
    for above in (tmp_path, *tmp_path.parents[:-1]):
        if not os.stat(above).st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    folder = tmp_path / "nobody"
    folder.mkdir()
    materialise(users_tree(), folder / "tree")
    for name, text in (("contexts", CONTEXTS), ("devices", DEVICES), ("rules", RULES)):
        (folder / name).write_text(text)
    os.chown(folder, NOBODY, NOBODY)
    return folder


OPTIONS = [
    *("--exclude", "*.pyc", "--include", "keep.pyc"),
    *("--uid-map", f"{NOBODY}:0:1", "--gid-map", f"{NOBODY}:0:1", "--mode-mask", "7755"),
    *("--rules", "rules", "--set", "usr/bin/su: mode=u+s"),
    *("--set", "usr/bin/ping: caps=cap_net_raw=ep", "-D", "devices"),
    *("--file-contexts", "contexts", "--all-times", str(TIME)),
]


@pytest.mark.root
def test_the_image_of_nobody_equals_that_of_root(place: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "build", "tree", "--strict", *OPTIONS],
        env=environment(),
        cwd=place,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    image = place / "nobody.img"
    assert image.stat().st_uid == NOBODY
    roots_tree(tmp_path / "really")
    facts = report("build", tmp_path / "really", "-o", tmp_path / "root.img")
    assert facts["losses"] == []
    assert image.read_bytes() == (tmp_path / "root.img").read_bytes()
    with mounted(image) as point:
        said = tools.run([tools.require("getcap"), point / "usr/bin/ping6"]).stdout
        assert said.split()[1] == "cap_net_raw=ep"
        assert os.getxattr(point / "etc/note", "user.note") == b"two words"
        status = os.lstat(point / "usr/bin/su")
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o4755, 0, 0)
        assert os.lstat(point / "dev/tty2").st_rdev == os.makedev(4, 2)
        assert sorted(os.listdir(point / "cache")) == ["keep.pyc"]


@pytest.mark.root
def test_every_source_accepts_the_same_rules(place: Path, tmp_path: Path) -> None:
    tools.run(["tar", "-C", place / "tree", "--numeric-owner", "-cf", place / "tree.tar", "."])
    manifest = run("manifest", "tree", "-o", "tree.mtree", cwd=place)
    assert (manifest.returncode, manifest.stderr) == (0, "")
    made = []
    for number, source in enumerate(("tree", "tree.tar", "manifest:tree.mtree")):
        image = tmp_path / f"{number}.img"
        facts = report("build", source, "-o", image, "--strict", *OPTIONS, cwd=place)
        assert facts["losses"] == []
        made.append(image.read_bytes())
    assert len(set(made)) == 1


@pytest.mark.parametrize(
    ("order", "owner"),
    [
        (("--owner", "1:1", "--set", "etc: uid=2"), (2, 1)),
        (("--set", "etc: uid=2", "--owner", "1:1"), (1, 1)),
        (("--owner", "1:1", "--uid-map", "1:7:1"), (7, 1)),
        (("--uid-map", "1:7:1", "--owner", "1:1"), (1, 1)),
    ],
)
def test_rules_apply_in_the_order_of_the_command(
    order: tuple[str, ...], owner: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "tree" / "etc").mkdir(parents=True)
    done = run("manifest", "tree", *order, "--quiet", cwd=tmp_path)
    assert done.returncode == 0
    [line] = [line for line in done.stdout.splitlines() if line.startswith("./etc ")]
    assert f" uid={owner[0]} gid={owner[1]} " in line


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--set", "nothing/here: mode=644"), "nothing/here"),
        (("--exclude", "*.nothing"), "nothing"),
    ],
)
def test_a_rule_that_matches_nothing(options: tuple[str, str], word: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    facts = report("build", tmp_path / "tree", "-o", tmp_path / "a.img", *options)
    assert any(word in loss["what"] for loss in facts["losses"])
    done = subprocess.run(
        command("build", tmp_path / "tree", "-o", tmp_path / "b.img", "--strict", *options),
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and word in done.stderr
    assert not (tmp_path / "b.img").exists()
