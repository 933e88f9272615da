"""The options of ``ext4writer nix`` that it does not share with ``build``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, Self
from uuid import UUID

from ext4writer.arithmetic import ceil_div
from ext4writer.late_dataclasses import dataclass, replace
from ext4writer.nix import STORE

from ..options import (
    PATH,
    WORKERS_MAX,
    Count,
    HasLimits,
    ImageOptions,
    OfSpec,
    OptionGroup,
    limit_row,
    parse_path,
    parsed,
    row,
    same_row,
)
from ..units import parse_size

if TYPE_CHECKING:
    from ext4writer import Spec

    from ..output import Output

EPOCH = 1
UUID_OF_IMAGE = "44444444-4444-4444-8888-888888888888"
FREE_INODES_MIN = 1024
FREE_INODES_PERCENT = 5
BYTES_PER_INODE = 16 << 10
GROW_AT_LEAST = 4 << 40
"""No SD card is larger now. Beyond the reserved descriptors the kernel grows the file system with
meta_bg, which U-Boot 2023.01 cannot read."""
PATH_OF_IMAGE = parsed(parse_path)
"""A path in the image, not of a file of the host, so that a shell completes no file names."""
SIZE_OF_BLOCKS = parsed(parse_size, auto="auto")
SMALL_BLOCKS, LARGE_BLOCKS = 1024, 4096
SMALL_IMAGE_BYTES = 512 << 20
"""Below this size mke2fs uses 1 KiB blocks (misc/mke2fs.c, parse_fs_type; mke2fs.conf, small)."""
ALIGN = 1 << 20
"""Tools that copy an image into a partition count in MiB, and drop an incomplete last one."""


@dataclass(init=False, eq=False, repr=False)
class ClosureOptions(HasLimits):
    """Which store objects an image holds, and where they are read from."""

    HEADING = "The closure"

    closure: str | None = row(
        "--closure",
        type=PATH,
        metavar="DIR",
        about="Folder with the files store-paths and registration, as made by closureInfo.",
    )
    store_paths: str | None = row(
        "--store-paths",
        type=PATH,
        metavar="FILE",
        about="File that lists the store paths, one on each line.",
    )
    registration: str | None = row(
        "--registration",
        type=PATH,
        metavar="FILE",
        about="Registration of these paths, in the format that nix-store --load-db reads.  "
        "[default: computed from their content]",
    )
    store_dir: str | None = row(
        "--store-dir",
        type=PATH,
        metavar="DIR",
        about="Folder of the store on this host, such as a chroot store; in the image, paths refer "
        f"to {STORE}.  [default: {STORE}]",
    )
    cache: str | None = row(
        "--cache",
        type=PATH,
        metavar="DIR",
        about="Read from the binary cache in DIR, or file://DIR, instead of a store: the paths of "
        "--root, --store-paths or --closure, and all paths that they refer to.",
    )
    root: tuple[str, ...] = row(
        "--root",
        multiple=True,
        metavar="PATH",
        default=(),
        about="Store path whose closure is read from --cache. May be repeated.",
    )
    nar: tuple[str, ...] = row(
        "--nar",
        multiple=True,
        metavar="PATH=FILE",
        default=(),
        about="Read the store path PATH from the archive FILE, a plain or compressed .nar, instead "
        "of a store. May be repeated.",
    )
    case_hack: bool | None = row(
        "--case-hack/--literal-names",
        default=None,
        about="Remove the suffix ~nix~case~hack~N, which Nix adds to names in the store that "
        "differ only in case.  [default: on macOS only, as in Nix]",
    )
    verify: bool = row(
        "--verify",
        is_flag=True,
        default=False,
        about="Hash every store path and compare it with the registration. Paths from --cache or "
        "--nar are always compared.",
    )
    limit: tuple[tuple[str, int], ...] = limit_row()

    @property
    def undoes_case_hack(self) -> bool:
        """Whether to remove the suffix, with the default filled in."""
        return sys.platform == "darwin" if self.case_hack is None else self.case_hack


@dataclass(init=False, eq=False, repr=False)
class ContentOptions(OptionGroup):
    """What the image holds besides the closure, and how the closure is stored."""

    HEADING = "What the image holds"

    files: str | None = row(
        "--files",
        type=PATH,
        metavar="DIR",
        about="Copy the content of DIR into the root of the image, with owner and times as in the "
        "store.",
    )
    contents: str | None = row(
        "--contents",
        type=PATH,
        metavar="FILE",
        about="Copy further files, from a JSON list with source, target, mode, user and group, as "
        "in make-disk-image.nix.",
    )
    store_at: str = row(
        "--store-at",
        type=PATH_OF_IMAGE,
        metavar="PATH",
        default=STORE,
        show_default=True,
        about="Folder of the image for the store paths: / for an image to mount at /nix/store, "
        "/store for one to mount at /nix.",
    )
    no_registration: bool = row(
        "--no-registration",
        is_flag=True,
        default=False,
        about="Leave out /nix-path-registration, which is loaded at the first boot.",
    )
    database: bool = row(
        "--database",
        is_flag=True,
        default=False,
        about="Create Nix's database, with all paths registered.",
    )
    system: str | None = row(
        "--system",
        type=PATH_OF_IMAGE,
        metavar="PATH",
        about="Store path of a NixOS system to make the first generation of the system profile, "
        "with /sbin/init and /etc/NIXOS.",
    )
    no_xattrs: bool = row(
        "--no-xattrs",
        is_flag=True,
        default=False,
        about="Do not copy extended attributes from --files; none are copied from a store.",
    )
    dedupe: bool = row(
        "--dedupe",
        is_flag=True,
        default=False,
        about="Make store files with equal content and attributes hard links to one file.",
    )


@dataclass(init=False, eq=False, repr=False)
class WorkOptions(OptionGroup):
    """How a command that writes no image runs."""

    HEADING = "How it runs"

    workers: int | None = row(
        "--workers",
        type=Count(min=1),
        metavar="N",
        about=f"Number of threads that hash.  [default: the usable CPUs, at most {WORKERS_MAX}]",
    )


@dataclass(init=False, eq=False, repr=False)
class NixImageOptions(ImageOptions):
    """The Spec of an image that NixOS boots from."""

    free_inodes: int | None = same_row(
        ImageOptions,
        "free_inodes",
        default_text=f"the largest of {FREE_INODES_MIN}, {FREE_INODES_PERCENT}% of the entries, "
        "and one for each 16K of --free",
    )
    grow_to: OfSpec = same_row(
        ImageOptions, "grow_to", default_text="4T, or 1024 times the size if that is more"
    )
    inode_ratio: OfSpec = same_row(
        ImageOptions, "inode_ratio", default_text="16K, or a cluster or two inodes if that is more"
    )
    align: OfSpec = same_row(ImageOptions, "align", default_text="1M")
    block_size: int | Literal["auto"] = same_row(  # type: ignore[assignment]
        ImageOptions,
        "block_size",
        type=SIZE_OF_BLOCKS,
        metavar="auto|SIZE",
        about="Size of a block in bytes: 1024, 2048 or 4096; 'auto' is 1024 in an image smaller "
        "than 512M, as in mke2fs, and otherwise 4096.",
    )
    uuid: UUID | str | None = same_row(
        ImageOptions,
        "uuid",
        default=UUID_OF_IMAGE,
        default_text=UUID_OF_IMAGE,
    )
    epoch: int | None = same_row(ImageOptions, "epoch", default=EPOCH, default_text=f"{EPOCH}")

    def spec(self) -> Spec:
        """The Spec; with ``auto``, blocks are small only if a given size is below 512 MiB."""
        if self.block_size != "auto":
            return super().spec()
        small = isinstance(self.size, int) and self.size < SMALL_IMAGE_BYTES
        return replace(self, block_size=SMALL_BLOCKS if small else LARGE_BLOCKS).spec()

    def sized(self, output: Output | None) -> Self:
        """Return these options with a size in bytes, if the output determines the size.

        With ``auto``, blocks are then large.
        """
        if isinstance(self.size, str) and self.block_size == "auto":
            return replace(self, block_size=LARGE_BLOCKS).sized(output)
        return super().sized(output)

    def may_have_small_blocks(self, least_bytes: int) -> bool:
        """Whether an image with at least this much content may need small blocks (``auto``)."""
        return self.block_size == "auto" and self.size is None and least_bytes < SMALL_IMAGE_BYTES

    def spec_for(self, entries: int) -> Spec:
        """The Spec of an image with this number of entries."""
        spec = replace(self.spec(), grow_at_least=GROW_AT_LEAST)
        if spec.inode_ratio is None:
            spec = replace(spec, inode_ratio=spec.growth_inode_ratio)
        if spec.size is None and spec.align is None:
            spec = replace(spec, align=ALIGN)
        if spec.free_inodes is not None:
            return spec
        free_inodes = max(
            FREE_INODES_MIN,
            ceil_div(entries * FREE_INODES_PERCENT, 100),
            ceil_div(spec.free or 0, BYTES_PER_INODE)
            if spec.size is not None
            else ceil_div(spec.fitted_free, BYTES_PER_INODE),
        )
        return replace(spec, free_inodes=free_inodes)
