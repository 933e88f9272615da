"""Container images: what they hold as a tree, and what their configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...tree import Tree
from .documents import DIGEST, Document
from .platforms import Platform


@dataclass(frozen=True)
class ImageConfig:
    """What an image says about the programs that run in it; no file of the tree says it."""

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
    """Of the manifest; of the configuration where there is no manifest with a digest."""
    names: tuple[str, ...]
    """What its layout or archive calls it."""
    layers: tuple[str, ...]
    """The digests of the unpacked layers, the lowest first."""


def parse_config(document: Document) -> ImageConfig:
    """What a configuration says about running; :class:`ArchiveError` if it is malformed."""
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
    """The digests of the unpacked layers, of which there must be as many as ``layers``."""
    found = document.below("rootfs").strings("diff_ids")
    if len(found) != layers:
        raise document.error(f"has {len(found)} diff_ids for {layers} layers")
    for digest in found:
        if not DIGEST.fullmatch(digest):
            raise document.error(f"{digest!r} is no digest of sha256 or sha512")
    return found
