"""The options of ``ext4writer nix``, beside those that it shares with ``build``."""

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
"""No card is larger for now, and beyond the reserve the kernel goes on with meta_bg, where U-Boot
2023.01 reads nothing."""
PATH_OF_IMAGE = parsed(parse_path)
"""No file of the host has anything to do with it."""
SIZE_OF_BLOCKS = parsed(parse_size, auto="auto")
SMALL_BLOCKS, LARGE_BLOCKS = 1024, 4096
SMALL_IMAGE_BYTES = 512 << 20
"""Below this mke2fs makes blocks of 1 KiB (misc/mke2fs.c, parse_fs_type; mke2fs.conf, small)."""
ALIGN = 1 << 20
"""Tools that put an image into a partition count in MiB, and cut off what is no whole one."""


@dataclass(init=False, eq=False, repr=False)
class ClosureOptions(HasLimits):
    """Which store objects an image holds, and where they are read."""

    HEADING = "The closure"

    closure: str | None = row(
        "--closure",
        type=PATH,
        metavar="DIR",
        about="Folder with the files store-paths and registration, as closureInfo makes it.",
    )
    store_paths: str | None = row(
        "--store-paths",
        type=PATH,
        metavar="FILE",
        about="File that lists the store paths, one a line.",
    )
    registration: str | None = row(
        "--registration",
        type=PATH,
        metavar="FILE",
        about="Registration of these paths, as nix-store --load-db reads it.  [default: computed "
        "from what they hold]",
    )
    store_dir: str | None = row(
        "--store-dir",
        type=PATH,
        metavar="DIR",
        about="Folder of the store on this host, such as a chroot store; in the image it is "
        f"{STORE}.  [default: {STORE}]",
    )
    cache: str | None = row(
        "--cache",
        type=PATH,
        metavar="DIR",
        about="Read from the binary cache in DIR, also file://DIR, instead of a store: the paths "
        "of --root, --store-paths or --closure and all that they refer to.",
    )
    root: tuple[str, ...] = row(
        "--root",
        multiple=True,
        metavar="PATH",
        default=(),
        about="Store path whose closure is taken from --cache. May be given again.",
    )
    nar: tuple[str, ...] = row(
        "--nar",
        multiple=True,
        metavar="PATH=FILE",
        default=(),
        about="Take the store path PATH from the archive FILE, .nar or compressed; instead of a "
        "store. May be given again.",
    )
    case_hack: bool | None = row(
        "--case-hack/--literal-names",
        default=None,
        about="Take ~nix~case~hack~N off the names in the store, which Nix adds where two names "
        "differ in case only.  [default: on macOS, as Nix has it]",
    )
    verify: bool = row(
        "--verify",
        is_flag=True,
        default=False,
        about="Hash every store path and compare it with the registration. What comes from --cache "
        "or --nar is always compared.",
    )
    limit: tuple[tuple[str, int], ...] = limit_row()

    @property
    def undoes_case_hack(self) -> bool:
        """``case_hack`` with its default filled in."""
        return sys.platform == "darwin" if self.case_hack is None else self.case_hack


@dataclass(init=False, eq=False, repr=False)
class ContentOptions(OptionGroup):
    """What is made of the closure."""

    HEADING = "What the image holds"

    files: str | None = row(
        "--files",
        type=PATH,
        metavar="DIR",
        about="Copy what DIR holds into the root of the image; owner and times as in the store.",
    )
    contents: str | None = row(
        "--contents",
        type=PATH,
        metavar="FILE",
        about="Copy further files: a list in JSON of source, target, mode, user and group, as "
        "make-disk-image.nix has them.",
    )
    store_at: str = row(
        "--store-at",
        type=PATH_OF_IMAGE,
        metavar="PATH",
        default=STORE,
        show_default=True,
        about="Folder of the image in which the store paths lie: / for an image that is mounted at "
        "/nix/store, /store for one at /nix.",
    )
    no_registration: bool = row(
        "--no-registration",
        is_flag=True,
        default=False,
        about="Leave out /nix-path-registration, which the first boot loads.",
    )
    database: bool = row(
        "--database",
        is_flag=True,
        default=False,
        about="Make Nix's database, in which all paths are registered already.",
    )
    system: str | None = row(
        "--system",
        type=PATH_OF_IMAGE,
        metavar="PATH",
        about="Store path of a NixOS system that becomes the first generation of its profile, with "
        "/sbin/init and /etc/NIXOS.",
    )
    no_xattrs: bool = row(
        "--no-xattrs",
        is_flag=True,
        default=False,
        about="Do not take extended attributes over from --files; none are taken from a store.",
    )
    dedupe: bool = row(
        "--dedupe",
        is_flag=True,
        default=False,
        about="Make files of the store that are equal in content and attributes hard links of one.",
    )


@dataclass(init=False, eq=False, repr=False)
class WorkOptions(OptionGroup):
    """How a command runs that writes no image."""

    HEADING = "How it runs"

    workers: int | None = row(
        "--workers",
        type=Count(min=1),
        metavar="N",
        about=f"Threads that hash.  [default: the usable CPUs, at most {WORKERS_MAX}]",
    )


@dataclass(init=False, eq=False, repr=False)
class NixImageOptions(ImageOptions):
    """The Spec of an image that NixOS boots from."""

    free_inodes: int | None = same_row(
        ImageOptions,
        "free_inodes",
        default_text=f"{FREE_INODES_MIN}, {FREE_INODES_PERCENT}% of the entries, or one for 16K of "
        "--free, whatever is most",
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
        about="Size of a block in bytes: 1024, 2048 or 4096; 'auto' is 1024 in an image of less "
        "than 512M, as mke2fs has it, else 4096.",
    )
    uuid: UUID | str | None = same_row(
        ImageOptions,
        "uuid",
        default=UUID_OF_IMAGE,
        default_text=UUID_OF_IMAGE,
    )
    epoch: int | None = same_row(ImageOptions, "epoch", default=EPOCH, default_text=f"{EPOCH}")

    def spec(self) -> Spec:
        """As for any image; blocks of ``auto`` are large ones, unless the size is given."""
        if self.block_size != "auto":
            return super().spec()
        small = isinstance(self.size, int) and self.size < SMALL_IMAGE_BYTES
        return replace(self, block_size=SMALL_BLOCKS if small else LARGE_BLOCKS).spec()

    def sized(self, output: Output | None) -> Self:
        """As for any image; where its size is that of the output, large blocks do."""
        if isinstance(self.size, str) and self.block_size == "auto":
            return replace(self, block_size=LARGE_BLOCKS).sized(output)
        return super().sized(output)

    def may_have_small_blocks(self, least_bytes: int) -> bool:
        """Whether an image with this much in it could be one of small blocks."""
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
