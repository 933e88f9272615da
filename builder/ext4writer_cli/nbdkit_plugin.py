"""A plugin for nbdkit that serves an image without writing it; all nbdkit filters work on it.

    nbdkit python nbdkit_plugin.py plan=root.plan
    nbdkit --filter=cow python nbdkit_plugin.py source=rootfs free=512M

``plan`` names a plan saved by ``ext4writer plan --save``. ``source`` names a folder or a tar
archive; with several, later ones overlay earlier ones. ``profile`` names a profile, and any other
key is an option of the Spec. nbdkit-python-plugin(3) describes the functions.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import nbdkit  # exists only inside nbdkit

from ext4writer import Layout, Spec, Tree, plan, sources
from ext4writer.errors import Ext4WriterError
from ext4writer.virtual import VirtualImage

API_VERSION = 2

_plans: list[str] = []
_sources: list[str] = []
_options: dict[str, Any] = {}
_images: list[VirtualImage] = []


def thread_model() -> int:
    """Requests may arrive in parallel."""
    model: int = nbdkit.THREAD_MODEL_PARALLEL
    return model


def config(key: str, value: str) -> None:
    """Store one KEY=VALUE of the command line."""
    if key == "plan":
        _plans.append(str(Path(value).absolute()))
    elif key == "source":
        _sources.append(str(Path(value).absolute()))
    else:
        _options[key] = value


def config_complete() -> None:
    """Raise ``RuntimeError`` unless the keys name one plan, or at least one source."""
    if bool(_plans) == bool(_sources) or len(_plans) > 1:
        raise RuntimeError("give one plan=PLAN, or at least one source=FOLDER")
    if _plans and _options:
        raise RuntimeError(f"{next(iter(_options))} cannot change a plan; give it when planning")


def get_ready() -> None:
    """Read the sources and plan the image before any client connects."""
    if _plans:
        layout = Layout.load(_plans[0])
    else:
        tree = Tree()
        for source in _sources:
            is_folder = Path(source).is_dir()
            tree.overlay(sources.directory(source) if is_folder else sources.tar(source))
        layout = plan(tree, _spec(**_options))
    _images.append(layout.open())


def _spec(profile: str | None = None, **options: Any) -> Spec:
    return Spec(**options) if profile is None else Spec.of_profile(profile, **options)


def open(readonly: bool) -> VirtualImage:  # noqa: A001, ARG001 (nbdkit's names)
    """Return the image, which all clients share."""
    return _images[0]


def get_size(image: VirtualImage) -> int:
    """The size in bytes."""
    return image.size


def can_write(image: VirtualImage) -> bool:  # noqa: ARG001
    """False; nbdkit's filter cow can make the image writable."""
    return False


def can_multi_conn(image: VirtualImage) -> bool:  # noqa: ARG001
    """True: all connections read the same bytes."""
    return True


def can_extents(image: VirtualImage) -> bool:  # noqa: ARG001
    """True: clients can ask where the zeros are and skip them."""
    return True


def pread(image: VirtualImage, buffer: Any, offset: int, flags: int) -> None:  # noqa: ARG001
    """Fill ``buffer`` with the image's bytes from byte ``offset``."""
    try:
        image.preadinto(offset, buffer)
    except Ext4WriterError as error:
        nbdkit.set_error(errno.EIO)
        raise RuntimeError(str(error)) from error


def extents(
    image: VirtualImage,
    count: int,
    offset: int,
    flags: int,  # noqa: ARG001
) -> list[tuple[int, int, int]]:
    """Offset, length (both in bytes) and type of each extent of a range."""
    hole = nbdkit.EXTENT_HOLE | nbdkit.EXTENT_ZERO
    return [
        (start, end - start, hole if is_zero else 0)
        for start, end, is_zero in image.allocation(offset, count)
    ]
