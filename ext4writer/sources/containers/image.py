"""Container images: their files as a tree, and their configuration."""

from __future__ import annotations

from collections.abc import Mapping

from ...late_dataclasses import dataclass, field
from ...tree import Tree
from .documents import DIGEST, Document
from .platforms import Platform


@dataclass(frozen=True)
class ImageConfig:
    """What an image says about running programs in it; no file of the tree holds this."""

    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ContainerImage:
    """One image, its layers applied."""

    tree: Tree
    config: ImageConfig
    platform: Platform
    digest: str
    """Of the manifest, or of the configuration if there is no manifest with a digest."""
    names: tuple[str, ...]
    """Its names in the layout or archive."""
    layers: tuple[str, ...]
    """The digests of the unpacked layers, lowest first."""


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
    """The digests of the unpacked layers; there must be exactly ``layers`` of them."""
    found = document.below("rootfs").strings("diff_ids")
    if len(found) != layers:
        raise document.error(f"has {len(found)} diff_ids for {layers} layers")
    for digest in found:
        if not DIGEST.fullmatch(digest):
            raise document.error(f"{digest!r} is no digest of sha256 or sha512")
    return found
