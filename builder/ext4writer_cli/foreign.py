"""Answers to options and sources of other programs: what to use here instead."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from .foreign_options import ROWS

if TYPE_CHECKING:
    from .source_arguments import SourceArgument

KINDS = (
    "a folder, a tar archive, '-' for one on standard input, an ext4 image, image:DISK:PARTITION, "
    "oci:LAYOUT[:REF], docker-archive:FILE[:REF] or manifest:FILE"
)

OPTIONS = {option: answer for answer, options in ROWS for option in options.split()}
"""Option of mke2fs, mksquashfs, tar and others -> the answer to it.

Options that the command has itself are never looked up.
"""


def refuse_single_dash(arguments: list[str], ctx: click.Context) -> None:
    """Raise :class:`click.UsageError` for a long option with one dash, as in mksquashfs.

    Parsed as short options, ``-one-file-system`` would mean an output named ``ne-file-system``.
    """
    for argument in arguments:
        word = argument.partition("=")[0]
        if argument == "--":
            return
        if len(word) < 3 or word[0] != "-" or word[1] == "-":
            continue
        if word in OPTIONS:
            raise click.UsageError(_answer(word), ctx)
        if f"-{word}" in _flags_of(ctx):
            raise click.UsageError(f"There is no {word} here: write -{word}.", ctx)


def _answer(option: str) -> str:
    answer = OPTIONS[option]
    return f"There is no {option} here: {f'write {answer}' if answer.startswith('-') else answer}."


def _flags_of(ctx: click.Context | None) -> set[str]:
    """All flags of the command that is called."""
    return {
        flag
        for param in (ctx.command.params if ctx is not None else [])
        if isinstance(param, click.Option)
        for flag in (*param.opts, *param.secondary_opts)
    }


def with_answer(error: click.NoSuchOption, arguments: list[str]) -> click.UsageError:
    """Return an error with the answer for a foreign option in ``arguments``, or else ``error``."""
    ours = _flags_of(error.ctx)
    for argument in arguments:
        word = argument.partition("=")[0]
        if word in ours or not word.startswith("-"):
            continue
        # A value may be attached, as in -N1000, and click splits -all-root into -a -l -l ...
        for flag in (word, word[:2]):
            if flag in OPTIONS and flag not in ours and _is_meant(error, flag, word):
                return click.UsageError(_answer(flag), error.ctx)
    if error.option_name in ("-o", "--output"):
        text = "this command writes no file; 'ext4writer build' has -o."
        return click.UsageError(f"There is no {error.option_name} here: {text}", error.ctx)
    return error


def _is_meant(error: click.NoSuchOption, flag: str, word: str) -> bool:
    """Whether click failed at ``flag``, with which ``word`` begins."""
    if flag.startswith("--"):
        return error.option_name == flag
    return error.option_name[:2] == flag[:2] or (flag == word and len(flag) > 2)


_SKOPEO = "fetch it with 'skopeo copy {text} oci:image:latest' and give oci:image:latest"
_PODMAN = "save it with 'podman save -o image.tar {rest}' and give docker-archive:image.tar"
_CURL = "fetch it with 'curl -fLO {text}' and give the file, or pipe it to '-'"
_OCI = "use oci:{rest}"
_GIT = "fetch it with 'git clone' and give the folder, or pipe 'git archive HEAD' to '-'"

_TO_TAR = "pipe 'bsdtar -cf - @{rest}' to '-'"
_SQUASHFS = "pipe 'sqfs2tar {rest}' to '-'"
_TO_RAW = "convert it with 'qemu-img convert {rest} disk.img' and give image:disk.img:1"
_MOUNT = "mount it, and give the folder"
_UNPACK = "decompress it first, or pipe the decompressed data to '-'"
_LXC = "give its root folder, such as /var/lib/lxc/{rest}/rootfs"

ANSWERS = {
    "docker": "fetch it with 'skopeo copy docker://{rest} oci:image:latest' and give "
    "oci:image:latest",
    "dir": _SKOPEO,
    "atomic": _SKOPEO,
    "docker-daemon": "save it with 'docker save -o image.tar {rest}' and give "
    "docker-archive:image.tar",
    "containers-storage": _PODMAN,
    "podman": _PODMAN,
    "oci-archive": _OCI,
    "oci-layout": _OCI,
    "ostree": "check it out with 'ostree checkout' and give the folder",
    "tar": "a tar archive is given without a prefix, {rest}",
    "lxc": _LXC,
    "lxd": "export it with 'lxc export {rest} backup.tar' and give "
    "backup.tar:/backup/container/rootfs",
    "incus": "export it with 'incus export {rest} backup.tar' and give "
    "backup.tar:/backup/container/rootfs",
    "squashfs": _SQUASHFS,
    "sqfs": _SQUASHFS,
    "cpio": _TO_TAR,
    "initramfs": _TO_TAR,
    "iso": _TO_TAR,
    "zip": _TO_TAR,
    "rpm": _TO_TAR,
    "deb": "pipe 'dpkg-deb --fsys-tarfile {rest}' to '-'",
    "erofs": _MOUNT,
    "btrfs": _MOUNT,
    "xfs": _MOUNT,
    "qcow2": "a disk is given without a prefix, a partition of one as image:{rest}:1",
    "vmdk": _TO_RAW,
    "vdi": _TO_RAW,
    "vhd": _TO_RAW,
    "vhdx": _TO_RAW,
    "nbd": "copy it with 'nbdcopy {text} disk.img' and give disk.img",
    "mtree": "a manifest is given as manifest:{rest}",
    "nar": "unpack it with 'nix-store --restore folder <{rest}' and give the folder",
    "file": "a path is given without a prefix, {path}",
    "http": _CURL,
    "https": _CURL,
    "ftp": _CURL,
    "s3": "pipe 'aws s3 cp {text} -' to '-'",
    "gs": "pipe 'gcloud storage cat {text}' to '-'",
    "ssh": "pipe 'ssh HOST tar -C FOLDER -c .' to '-'",
    "sftp": "fetch it with 'sftp {text}' and give the file",
    "rsync": "fetch it with 'rsync -aHAX {text} folder' and give the folder",
    "git": _GIT,
    "git+https": _GIT,
    "git+ssh": _GIT,
    "nix": "use the command 'ext4writer nix', which accepts store paths",
    **dict.fromkeys(("ext2", "ext3", "ext4"), "an ext4 image is given without a prefix, {rest}"),
    "raw": "an ext4 image is given without a prefix, a partition of a disk as image:{rest}:1",
}
"""Prefix of a source in other programs -> what to do instead."""

_PREFIX = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9+.-]+):(?P<rest>.*)", re.DOTALL)


OF_FORMATS = {
    "text": "a manifest is given as manifest:{rest}",
    "the boot sector of a disk": "its first partition is image:{rest}:1",
    "zip": _TO_TAR,
    "7-zip": _TO_TAR,
    "RAR": _TO_TAR,
    "cpio": _TO_TAR,
    "RPM": _TO_TAR,
    "ar": "if it is a Debian package, pipe 'dpkg-deb --fsys-tarfile {rest}' to '-'",
    "SquashFS": _SQUASHFS,
    "Android sparse image": "convert it with 'simg2img {rest} image' and give the image",
    "VMDK": _TO_RAW,
    "VHD": _TO_RAW,
    "VHDX": _TO_RAW,
    "XFS": _MOUNT,
    "cramfs": _MOUNT,
    "NAR": ANSWERS["nar"],
    **dict.fromkeys(("compress", "lz4", "lzop", "lzip", "lzma"), _UNPACK),
}
"""Format that cannot be a SOURCE, as the archive reader names it -> what to do instead."""


def hint_for_file(path: str) -> str:
    """A hint, after a semicolon, for a file that is neither an archive nor an image, or ``""``."""
    from ext4writer.sources.tar_archive.decoders import (
        compression_of,
        foreign_format,
        looks_like,
    )

    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError:
        return ""
    how = OF_FORMATS.get(foreign_format(head) or looks_like(head) or "") if head else None
    if compression_of(head) is not None:
        how = "decompress an image first"
    return "" if how is None else f"; {how.format(rest=path, text=path)}"


_OF_REGISTRY = re.compile(
    r"(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]+)?/|localhost(?::[0-9]+)?/)?"
    r"[a-z0-9._-]+(?:/[a-z0-9._-]+)*(?P<tag>:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?"
    r"(?P<digest>@sha256:[0-9a-f]{64})?"
)


def fetch_command(argument: SourceArgument) -> str:
    """A command that creates the missing file of an ``oci:`` or ``docker-archive:`` source."""
    place, name = argument.place, argument.reference or "NAME:TAG"
    if argument.kind == "oci":
        image = argument.reference or "latest"
        return f"'skopeo copy docker://NAME oci:{place}:{image}' fetches an image into a layout"
    return f"'docker save -o {place} {name}' or 'podman save -o {place} {name}' saves an image"


def hint_for_missing(text: str) -> str:
    """A hint, after a semicolon or a period, for a SOURCE that does not exist, or ``""``."""
    path, colon, rest = text.partition(":")
    before, doubled, folder = text.partition("::")
    if doubled and os.path.lexists(before):
        return f"; a folder in the image begins with a slash: {before}::/{folder}"
    if colon and rest.isdecimal() and os.path.isfile(path):
        return f"; partition {rest} of a disk is image:{text}"
    if colon and os.path.isdir(path) and os.path.exists(os.path.join(path, "oci-layout")):
        return f"; an image in an OCI layout is oci:{text}"
    matched = _OF_REGISTRY.fullmatch(text)
    kinds = f". A SOURCE is {KINDS}" if colon else ""
    is_named = matched is not None and (matched["host"] or matched["tag"] or matched["digest"])
    if is_named and not os.path.lexists(text.partition("/")[0]):
        how = ANSWERS["docker"].format(rest=text)
        return f"; if it is an image in a registry, {how}{kinds}"
    return kinds


def check_prefix(text: str) -> None:
    """Raise ``ValueError`` if ``text`` names an unsupported kind of source.

    It is not raised if a file of that name exists.
    """
    matched = _PREFIX.fullmatch(text)
    if matched is None or os.path.lexists(text):
        return
    name, rest = matched["name"].lower(), matched["rest"]
    if name not in ANSWERS and not rest.startswith("//"):
        return
    answer = ANSWERS.get(name, "nothing is downloaded here; give what another program downloaded")
    path = re.sub("^//(localhost)?", "", rest)
    how = answer.format(text=text, rest=rest.removeprefix("//"), path=path)
    raise ValueError(f"{text!r} is not a SOURCE: {how}. A SOURCE is {KINDS}")
