"""Container images: OCI image layouts, and the archives of ``docker save``."""

from __future__ import annotations

import os
from functools import partial
from typing import BinaryIO, Unpack

from ...checked import checked
from ...tree import Tree
from ..inputs import inputs_of
from ..tar_archive import read_members
from ..tar_archive.inputs import archive_path
from ..tar_archive.limits import Usage
from .blobs import ArchiveFiles, Files, FolderFiles, blob_name, find_blob, is_folder
from .docker import DockerArchive
from .documents import LAYER_TYPE, parse_descriptor, parse_platform
from .image import ContainerImage, ImageConfig, parse_config, parse_diff_ids
from .platforms import DEFAULT_PLATFORM, Platform
from .select import Layout
from .stack import Keywords, LayerBlob, Options, apply_layers

__all__ = [
    "DEFAULT_PLATFORM",
    "ContainerImage",
    "ImageConfig",
    "Platform",
    "docker_archive",
    "oci",
]

Source = str | bytes | os.PathLike[str] | BinaryIO
"""A path, or a binary file with an archive; the file need not be seekable."""


@checked("source")
def oci(
    source: Source,
    reference: str | None = None,
    *,
    platform: Platform | str | None = None,
    **options: Unpack[Keywords],
) -> ContainerImage:
    """Read an image from an OCI image layout, either a directory or a tar archive of one.

    ``reference`` is a name from the layout's index or a digest in the layout; it may be omitted if
    there is only one image. ``platform`` is ``os/arch[/variant]``; the default is the only
    platform, or linux/amd64 if there are several.

    Further keywords are those of :func:`~ext4writer.sources.tar`: ``spool`` receives the
    decompressed content of layers; without one it stays in memory, within ``limits``, which apply
    to all layers together. ``xattrs``, ``keep_times``, ``secure_symlinks``, ``exclude``,
    ``progress`` and ``cancel`` are the same.

    Raises :class:`ArchiveError` for a damaged layout, a wrong digest or size, or an ambiguous
    image; :class:`SourceError`, :class:`LimitError`, :class:`OutputError` and
    :class:`CancelledError` as for a tar archive.
    """
    chosen, requested = Options(**options), _platform(platform)
    usage = Usage(archive_path(source), chosen.limits)
    layout = Layout(_open(source, usage, chosen))
    descriptor = layout.find(reference, requested)
    manifest = layout.manifest(descriptor)
    _, config = layout.config(manifest)
    described = [parse_descriptor(one) for one in manifest.objects("layers")]
    diff_ids = parse_diff_ids(config, len(described))
    for layer in described:
        if not LAYER_TYPE.fullmatch(layer.media_type):
            raise manifest.error(f"has a layer of the unsupported type {layer.media_type!r}")
        find_blob(layout.files, layer)
    layers = [
        LayerBlob(blob_name(one.digest), partial(find_blob, layout.files, one), one.digest, diff_id)
        for one, diff_id in zip(described, diff_ids, strict=True)
    ]
    return ContainerImage(
        tree=_with_inputs(apply_layers(layout.files.path, layers, usage, chosen), source),
        config=parse_config(config),
        platform=parse_platform(config),
        digest=descriptor.digest,
        names=tuple(descriptor.names),
        layers=tuple(diff_ids),
    )


@checked("source")
def docker_archive(
    source: Source,
    reference: str | None = None,
    *,
    platform: Platform | str | None = None,
    **options: Unpack[Keywords],
) -> ContainerImage:
    """Read an image from an archive of ``docker save``, compressed or not.

    ``reference`` is a name listed in the archive, such as ``alpine:3.20``, or the digest of a
    configuration. Both ``reference`` and ``platform`` may be omitted if there is only one image.
    For the other keywords and the errors see :func:`oci`.
    """
    chosen, requested = Options(**options), _platform(platform)
    usage = Usage(archive_path(source), chosen.limits)
    archive = DockerArchive(_open(source, usage, chosen))
    entry, config, digest = archive.find(reference, requested)
    layers = archive.layers(entry, config)
    return ContainerImage(
        tree=_with_inputs(apply_layers(archive.files.path, layers, usage, chosen), source),
        config=parse_config(config),
        platform=parse_platform(config),
        digest=digest,
        names=tuple(entry.strings("RepoTags")),
        layers=tuple(layer.diff_id for layer in layers),
    )


def _with_inputs(tree: Tree, source: Source) -> Tree:
    """Record the inputs of ``tree``: the archive, or the files of the layout in a directory."""
    if isinstance(source, str | bytes | os.PathLike) and is_folder(os.fsencode(source)):
        names = (b"blobs", b"index.json", b"oci-layout", b"manifest.json")
        tree.inputs.update(inputs_of(*(os.path.join(os.fsencode(source), one) for one in names)))
    else:
        tree.inputs.update(inputs_of(source))
    return tree


def _platform(platform: Platform | str | None) -> Platform | None:
    return Platform.parse(platform) if isinstance(platform, str) else platform


def _open(source: Source, usage: Usage, options: Options) -> Files:
    """The files of a directory or of a tar archive."""
    path = archive_path(source)
    if isinstance(source, str | bytes | os.PathLike) and is_folder(path):
        return FolderFiles(path)
    files = ArchiveFiles(path, usage)
    for member in read_members(
        source, spool=options.spool, xattrs=False, usage=usage, cancel=options.cancel
    ):
        files.add(member)
    # These members are not entries of the image; only their decompressed bytes stay counted.
    usage.members = 0
    usage.content_bytes = 0
    usage.inside = usage.expanded_bytes > 0
    return files
