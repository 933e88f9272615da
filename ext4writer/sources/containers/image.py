"""Container images: their files as a tree, and their configuration."""

from __future__ import annotations

from collections.abc import Mapping

from ...late_dataclasses import dataclass, field
from ...tree import Tree
from .documents import DIGEST, Document
from .platforms import Platform


@dataclass(frozen=True)
class ImageConfig:
    """How an image says to run programs in it; this is not in any file of the tree."""

    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ContainerImage:
    """One image, with its layers applied."""

    tree: Tree
    config: ImageConfig
    platform: Platform
    digest: str
    """Digest of the manifest, or of the configuration if no manifest has a digest."""
    names: tuple[str, ...]
    """Its names in the layout or archive."""
    layers: tuple[str, ...]
    """The digests of the uncompressed layers, lowest first."""


def parse_config(document: Document) -> ImageConfig:
    """Read a configuration; raises :class:`ArchiveError` if it is malformed."""
    config = document.below("config")
    labels = config.get("Labels", dict, {})
    if not all(isinstance(value, str) for value in labels.values()):
        raise document.error("its 'Labels' are not all strings")
    return ImageConfig(
        user=config.get("User", str, ""),
        env=tuple(config.strings("Env")),
        entrypoint=tuple(config.strings("Entrypoint")),
        cmd=tuple(config.strings("Cmd")),
        working_dir=config.get("WorkingDir", str, ""),
        labels=labels,
    )


def parse_diff_ids(document: Document, layers: int) -> list[str]:
    """The digests of the uncompressed layers.

    Raises :class:`ArchiveError` unless there are exactly ``layers`` valid ones.
    """
    found = document.below("rootfs").strings("diff_ids")
    if len(found) != layers:
        raise document.error(f"has {len(found)} diff_ids for {layers} layers")
    for digest in found:
        if not DIGEST.fullmatch(digest):
            raise document.error(f"{digest!r} is not a digest of sha256 or sha512")
    return found
