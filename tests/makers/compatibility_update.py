"""Tests every reader with every feature: ``python -m tests.makers.compatibility_update``.

This writes docs/compatibility.md. A reader passes if it returns every file unchanged.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import ext4writer
from ext4writer import FeatureSet, RegularFile, Spec, Tree
from ext4writer.ondisk.features import DEFAULT_FEATURES, FEATURES
from ext4writer.planning.profiles import PROFILES, U_BOOT
from ext4writer.planning.profiles import READERS as PROFILE_READERS
from tests.guest.qemu import GuestError
from tests.guest.u_boot import u_boot
from tests.judges import debugfs, foreign
from tests.judges.tools import run

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"

HEAD = """\
# What reads which images

This page shows which programs read which features and sizes, and the profiles that keep to them.
`python -m tests.makers.compatibility_update` measured this and wrote the page.

Each line is an image that has that feature together with the default ones, and content that uses
it. `yes` means that a reader returned every file correctly, `no` that it refused the image or
failed, and `**wrong**` that it returned something else without an error. Linux has no column: it
mounts all these images since the release that introduced the feature, and other tests check that.

The readers are grub-fstest of Debian's GRUB 2.06, U-Boot 2023.01 for x86, fuse2fs and
`debugfs -R rdump` of e2fsprogs 1.47.0, 7-Zip 26.02, pytsk3 20260715 (The Sleuth Kit), dissect.extfs
3.15, ext4 1.4.1 of PyPI, and libfsext-python 20260821. Other releases differ: GRUB 2.06 without
Debian's patches refuses `metadata_csum_seed` and `large_dir`, so the profile `boot` refuses them
too.
"""
FEATURES_TEXT = """\
`meta_bg` has blocks of 1024 bytes and small groups here, so that some inodes are in groups whose
descriptors are not after the first superblock. `encrypt` has an empty folder with a policy. Each
image is large enough for a journal, and `dumpe2fs` must list the features of its line.
"""
OTHER_TEXT = """\
The default is blocks of 4096 bytes and inodes of 256 bytes. The first block of a file with data is
a hole only with `--leading-hole`. Images for descriptor sizes have two groups. Groups of 256 blocks
are too small for the blocks reserved for growth, so that image has `meta_bg`, too.

With `^extent`, and in the tables below, a file has 60 pieces with holes between them. The image
with blocks of 1024 has a directory of 2,100 names, whose index has two levels. In such a directory
pytsk3 may show names that do not exist. It does so with other blocks, too: with blocks of 4096 in
directories of about 30,000 names and more. Names that it marks as deleted do not count.
"""
POLICIES_TEXT = """\
`--policy NAME` chooses legal layouts that mkfs never writes; this table lists those that some
reader fails on. Readers that do not recover a journal do not see the changes that it holds.
"""
PROFILES_TEXT = """\
`--profile NAME` and `Spec.of_profile(NAME)` select these features and sizes; further options change
them. An option that adds something that a reader of the profile cannot read, by the tables above,
is an error that names the profile, the feature and the reader. So is an option that contradicts the
profile. An image does not record its profile: giving the same options one by one gives the same
bytes.

What depends on the size is not refused. Descriptors that fill three quarters of a group need
`meta_bg`: above about 700 GiB with blocks of 1024 bytes, and above 180 TiB with blocks of 4096.
"""

YES, NO, WRONG = "yes", "no", "**wrong**"
"""A reader returns everything; refuses or fails; silently returns something else."""

UNUSUAL = (
    *("block-maps:2", "unwritten-holes", "deep-index", "empty-blocks", "deleted-names"),
    "journal-transactions",
)
"""Policies with images that some reader cannot read."""

DRIVES_MAX = 12
"""The number of images per U-Boot."""

FAILURES = (AssertionError, subprocess.SubprocessError, OSError)


@dataclass(frozen=True)
class Row:
    """One row of the table, and the image behind it."""

    name: str
    spec: Spec
    content: str = ""
    """The additional content of this row's tree."""
    features: FeatureSet | None = None
    """The features of the image, if they differ from the Spec's."""


USING = ("inline_data", "casefold", "ea_inode", "verity", "encrypt", "meta_bg")
USED = {name: name for name in USING}
"""Features that take effect only with special content in the tree."""


def feature_spec(name: str) -> Spec:
    """The Spec of an image with this feature and the default features that fit it."""
    row = next(each for each in FEATURES if each.name == name)
    excluded = [each.name for each in FEATURES if name in each.conflicts]
    features = DEFAULT_FEATURES.without(*row.conflicts, *excluded).with_(name, *row.needs)
    if name == "meta_bg":
        # Enough groups that some have their descriptors elsewhere
        return Spec(features=features, block_size=1024, blocks_per_group=256, free=0, free_inodes=0)
    return Spec(features=features, free=room())


def room(block_size: int = 4096) -> int:
    """Free bytes that are enough for a journal, which has at least 2048 blocks."""
    # lib/ext2fs/mkjournal.c:ext2fs_default_journal_size
    return max(12 << 20, 3072 * block_size)


def feature_rows() -> list[Row]:
    """One row for each feature that we write."""
    return [
        Row(f"`{each.name}`", feature_spec(each.name), USED.get(each.name, ""))
        for each in FEATURES
        if each.support == "write"
    ]


def other_rows() -> list[Row]:
    """Rows that are not about a feature, or about a missing one."""
    free = room()
    small = Spec(block_size=1024, free=free)
    bigalloc = feature_spec("bigalloc")
    tiny = Spec(block_size=1024, blocks_per_group=256, free=0, free_inodes=0)
    with_meta_bg = DEFAULT_FEATURES.without("resize_inode").with_("meta_bg")
    return [
        Row("blocks of 1024", small, "large directory"),
        *(
            Row(f"blocks of {size}", Spec(block_size=size, free=room(size)))
            for size in (2048, 4096, 8192, 65536)
        ),
        Row("clusters of 1024-byte blocks", replace(bigalloc, block_size=1024)),
        *(
            Row(f"inodes of {size}", Spec(inode_size=size, free=free))
            for size in (128, 512, 1024, 2048, 4096)
        ),
        Row(
            "inodes of 32768, blocks of 65536",
            Spec(inode_size=1 << 15, block_size=1 << 16, free=room(1 << 16)),
        ),
        Row(
            "inodes of 1024 with `inline_data`",
            Spec(inode_size=1024, features="inline_data", free=free),
            "inline_data",
        ),
        *(
            Row(
                f"descriptors of {size}",
                Spec(desc_size=size, blocks_per_group=8192, free=40 << 20, free_inodes=0),
            )
            for size in (64, 128, 1024)
        ),
        Row("256 blocks in a group", tiny, "meta_bg", with_meta_bg),
        Row(
            "the same with descriptors of 1024",
            replace(tiny, desc_size=1024, inode_size=1024),
            "large directory",
            with_meta_bg,
        ),
        *(
            Row(f"flex groups of {groups}", Spec(groups_per_flex=groups, free=free))
            for groups in (1, 1 << 15, 1 << 16)
        ),
        *(
            Row(f"hash {name}", Spec(hash_alg=name, free=free))
            for name in ("tea", "legacy_unsigned")
        ),
        Row("extents in two levels", Spec(free=free), "pieces"),
        Row("`^extent`", Spec(features="^extent,^64bit", free=free), "pieces"),
        Row("`^has_journal`", Spec(features="^has_journal", free=free)),
        Row("`^filetype`", Spec(features="^filetype", free=free)),
        Row("`^metadata_csum`", Spec(features="^metadata_csum", free=free)),
        Row(
            "`^metadata_csum`, blocks of 65536",
            Spec(features="^metadata_csum", block_size=1 << 16, free=room(1 << 16)),
        ),
        Row("first block is a hole", Spec(leading_hole=True, free=free), "leading_hole"),
    ]


def policy_rows() -> list[Row]:
    """Layouts of policies that some reader cannot read."""
    waiting = DEFAULT_FEATURES.with_("needs_recovery")
    return [
        Row(
            f"`{name.partition(':')[0]}`",
            Spec(policy=name, free=room()),
            "pieces",
            waiting if name.startswith("journal") else None,
        )
        for name in UNUSUAL
    ]


def profile_rows() -> list[Row]:
    """Each profile, with little free space."""
    return [Row(f"`{name}`", Spec.of_profile(name, free=room()), "pieces") for name in PROFILES]


def sample(content: str = "") -> Tree:
    """A tree with small files of many kinds and what ``content`` names."""
    noise = random.Random(content).randbytes
    tree = Tree()
    tree.directory("boot")
    tree.file("boot/kernel", noise(9_000_000 if content == "meta_bg" else 300_000))
    tree.file("boot/small", b"set timeout=5\n")
    tree.file("boot/holes", noise(5000) + bytes(200_000) + noise(5000))
    same = noise(20_000)
    tree.file("boot/same", same)
    tree.file("boot/copy", same)
    tree.file("empty", b"")
    tree.symlink("short", "boot/small")
    tree.symlink("long", "boot/" + "./" * 60 + "small")
    tree.directory("folder", flags="casefold" if content == "casefold" else "none")
    for number in range(300):
        tree.file(f"folder/Name-{number:03}{'n' * 30}", noise(number % 90))
    if content == "large directory":
        # In blocks of 1024 bytes, its index has two levels
        for number in range(1800):
            tree.file(f"folder/Other-{number:04}{'o' * 60}", b"")
    large = {b"user.large": noise(20_000)} if content == "ea_inode" else {}
    tree.file("attributes", b"x", xattrs={b"user.note": b"n" * 300, **large})
    if content == "inline_data":
        tree.directory("inline")
        for number in range(6):  # too much for i_block, but not for the inode
            tree.file(f"inline/{number}", b"x")
    if content == "verity":
        tree.file("verity", noise(90_000), flags="verity")
    if content == "pieces":
        tree.file("pieces", b"".join(noise(1 << 16) + bytes(1 << 16) for _ in range(60)))
    if content == "leading_hole":
        tree.file("leading-hole", bytes(100_000) + noise(5000))
    if content == "encrypt":
        tree.directory("vault")
    return tree


def write(row: Row, image: Path) -> Tree:
    """Write the image of a row; return its tree."""
    tree = sample(row.content)
    spec = row.spec
    if row.content == "encrypt":
        spec = replace(spec, encryption_policies={"vault": "0123456789abcdef" * 2})
    ext4writer.write_image(tree, image, spec)
    return tree


def assert_has_features(image: Path, row: Row) -> None:
    """Assert that an image has exactly the features of its row.

    An image that is too small for a journal has no ``has_journal``, even if it was requested.
    """
    found = set(debugfs.superblock(image)["Filesystem features"].split())
    wanted = set((row.features or row.spec.features).names())
    assert found == wanted, f"{sorted(wanted - found)} missing, {sorted(found - wanted)} unexpected"


def files_in(tree: Tree) -> dict[str, bytes]:
    """Absolute path -> content of every regular file."""
    found = {}
    for path, node in tree.walk():
        if isinstance(node, RegularFile):
            data = bytearray(node.content.size)
            node.content.read_whole(memoryview(data))
            found[path.decode()] = bytes(data)
    return found


def _files_below(folder: Path) -> dict[str, bytes]:
    return {
        f"/{path.relative_to(folder)}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def _listed(list_image: Callable[[Path], foreign.Listing]) -> Callable[[Path, Tree], bool]:
    def read(image: Path, tree: Tree) -> bool:
        found = list_image(image)
        found.pop(b"/lost+found", None)
        return found == foreign.tree_listing(tree, Spec(lost_and_found=False))

    return read


def _names_in_folder(tree: Tree) -> set[str]:
    """The names in the large directory of :func:`sample`."""
    return {name.decode() for name in tree.root.children[b"folder"].children}  # type: ignore[attr-defined]


def _some(files: Mapping[str, bytes]) -> list[str]:
    """The paths of all files, but only four from the large directory."""
    in_folder = [path for path in files if path.startswith("/folder/")]
    few = in_folder[1 :: len(in_folder) // 4]
    return [path for path in files if not path.startswith("/folder/")] + few


def _grub(image: Path, tree: Tree) -> bool:
    names = foreign.grub_names(image, "/folder")
    if not names:
        raise AssertionError("GRUB finds no file system here")
    if not _names_in_folder(tree) <= names:
        return False
    files = files_in(tree)
    for path in _some(files):
        foreign.assert_grub_reads(image, path, files[path])
    for link in ("/short", "/long"):
        foreign.assert_grub_reads(image, link, files["/boot/small"])
    return True


def _seven_zip(image: Path, tree: Tree) -> bool:
    foreign.seven_zip_test(image)
    with tempfile.TemporaryDirectory(prefix="ext4writer-7zz-") as scratch:
        # It may complain about links, which are not compared
        run(["7zz", "x", "-y", f"-o{scratch}", image.absolute()], check=False)
        found = _files_below(Path(scratch))
        wanted = files_in(tree)
        return {path: found.get(path) for path in wanted} == wanted


def _debugfs(image: Path, tree: Tree) -> bool:
    with tempfile.TemporaryDirectory(prefix="ext4writer-rdump-") as scratch:
        done = run(["debugfs", "-R", f"rdump / {scratch}", image.absolute()], check=False)
        found = _files_below(Path(scratch))
        if not found:
            raise AssertionError(done.stderr)
        return found == files_in(tree)


def _dissect(image: Path) -> foreign.Listing:
    return foreign._in_another_process("dissect.extfs", "dissect.extfs", "list_dissect", image)


READERS: dict[str, Callable[[Path, Tree], bool]] = {
    "GRUB": _grub,
    "fuse2fs": _listed(foreign.list_fuse2fs),
    "debugfs": _debugfs,
    "7zz": _seven_zip,
    "pytsk3": _listed(foreign.list_tsk),
    "dissect.extfs": _listed(_dissect),
    "ext4": _listed(foreign.list_ext4),
    "libfsext": _listed(foreign.list_fsext),
}
"""Every reader that is a program or module of the host; U-Boot runs in a guest."""

READER_NAMES = PROFILE_READERS


def verdict(reader: str, image: Path, tree: Tree) -> str:
    """The verdict of one reader of :data:`READERS` on an image."""
    try:
        return YES if READERS[reader](image, tree) else WRONG
    except FAILURES as error:
        return WRONG if "differ" in str(error) and reader == "GRUB" else NO


def u_boot_verdicts(images: Mapping[Path, Tree]) -> dict[Path, str]:
    """U-Boot's verdict on each image. An image that crashes U-Boot is read alone."""
    found: dict[Path, str] = {}
    waiting = list(images)
    while waiting:
        some, waiting = waiting[:DRIVES_MAX], waiting[DRIVES_MAX:]
        try:
            with u_boot(some, timeout=600.0) as loader:
                for number, image in enumerate(some):
                    found[image] = _u_boot_verdict(loader, f"virtio {number:x}", images[image])
        except GuestError:
            left = [image for image in some if image not in found]
            found[left[0]] = NO
            waiting = left[1:] + waiting
    return found


def _u_boot_verdict(loader: object, where: str, tree: Tree) -> str:
    files = files_in(tree)
    chosen = [path for path in _some(files) if files[path]]
    files |= {"/short": files["/boot/small"], "/long": files["/boot/small"]}
    try:
        listed = loader.listing(where, "/folder")  # type: ignore[attr-defined]
        if not _names_in_folder(tree) <= listed.keys():
            return NO
        for path in (*chosen, "/short", "/long"):
            loader.assert_reads(where, path, files[path])  # type: ignore[attr-defined]
    except AssertionError as error:
        return WRONG if "==>" in str(error) else NO
    return YES


def measured(
    rows: Iterable[Row], folder: Path, readers: Iterable[str] = READER_NAMES
) -> dict[str, dict[str, str]]:
    """Write an image for each row into ``folder``, and return row -> reader -> verdict."""
    table: dict[str, dict[str, str]] = {}
    trees: dict[Path, Tree] = {}
    known: dict[tuple[str, str], Path] = {}
    images: dict[str, Path] = {}
    for row in rows:
        # Most default features produce the same image
        image = known.setdefault((row.content, repr(row.spec)), folder / f"{len(known)}")
        images[row.name] = image
        if image not in trees:
            trees[image] = write(row, image)
            assert_has_features(image, row)
    programs = [reader for reader in readers if reader in READERS]
    found = {
        image: {reader: verdict(reader, image, tree) for reader in programs}
        for image, tree in trees.items()
    }
    if U_BOOT in readers:
        for image, cell in u_boot_verdicts(trees).items():
            found[image][U_BOOT] = cell
    for name, image in images.items():
        table[name] = found[image]
    return table


def page(table: Mapping[str, Mapping[str, str]]) -> str:
    """The text of docs/compatibility.md."""
    lines = [HEAD]
    for heading, text, rows in (
        ("## Features", FEATURES_TEXT, feature_rows()),
        ("## Sizes, and what is left out", OTHER_TEXT, other_rows()),
        ("## Layouts of policies", POLICIES_TEXT, policy_rows()),
        ("## Profiles", PROFILES_TEXT, profile_rows()),
    ):
        lines += [heading, "", text]
        lines += ["| |" + "|".join(f" {reader} " for reader in READER_NAMES) + "|"]
        lines += ["|---|" + "---|" * len(READER_NAMES)]
        for row in rows:
            cells = (table[row.name][reader] for reader in READER_NAMES)
            lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["## What profiles are", ""]
    lines += ["| profile | | features | readers | refuses, besides what they do not read |"]
    lines += ["|---|---|---|---|---|"]
    for profile in PROFILES.values():
        every = set(profile.readers) == set(READER_NAMES)
        readers = "all of the table" if every else ", ".join(profile.readers)
        refused = ", ".join(f"`{name}`" for name in sorted(profile.refuses)) or "nothing"
        features = ", ".join(f"`{name}`" for name in profile.features.names())
        lines.append(f"| `{profile.name}` | {profile.about} | {features} | {readers} | {refused} |")
    return "\n".join(lines) + "\n"


def pinned() -> dict[str, dict[str, str]]:
    """The verdicts in docs/compatibility.md, in the form that :func:`measured` returns."""
    table = {}
    for line in PAGE.read_text().splitlines():
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if len(cells) == len(READER_NAMES) and cells[0] in (YES, NO, WRONG):
            table[name] = dict(zip(READER_NAMES, cells, strict=True))
    return table


def main() -> None:
    """Run all readers, and write the page."""
    with tempfile.TemporaryDirectory(prefix="ext4writer-compatibility-") as scratch:
        rows = [*feature_rows(), *other_rows(), *policy_rows(), *profile_rows()]
        table = measured(rows, Path(scratch))
    PAGE.write_text(page(table))


if __name__ == "__main__":
    main()
