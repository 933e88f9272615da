"""Reads store objects from a store of the host."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..forked import ProcessPool
from ..progress import Cancel, ProgressCallback
from ..sources.directory import directory
from ..tree import Node
from .errors import NixError
from .store_paths import STORE, full_path


def read_objects(
    names: Iterable[str],
    store_dir: str = STORE,
    *,
    processes: int | ProcessPool = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> dict[str, Node]:
    """Scan the objects ``names`` of the store in ``store_dir``.

    Extended attributes and hard links of the host are ignored. ``processes`` is as for
    :func:`ext4writer.sources.directory`. Raises ``NixError`` for a missing object, and what that
    function raises.
    """
    store, objects = store_dir, list(names)
    for name in objects:
        path = os.path.join(store, name)
        try:
            os.stat(path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            missing = f"is missing; {store} does not have it"
            raise NixError(full_path(name), missing) from None
        except OSError as error:
            raise NixError(path, f"cannot be read: {error.strerror}") from error
    if not objects:
        return {}
    tree = directory(
        store,
        names=objects,
        xattrs=False,
        hard_links=False,
        processes=processes,
        progress=progress,
        cancel=cancel,
    )
    for loss in tree.losses:
        raise NixError(store + os.fsdecode(loss.path), loss.what)
    children = tree.root.children
    return {name: children[name.encode()] for name in objects}
