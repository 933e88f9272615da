"""Store objects that lie in a store of the host."""

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
    """Scan each object ``names`` of the store that lies at ``store_dir``.

    Neither attributes nor hard links of the host are taken. Raises ``NixError`` for an object that
    is missing, and what :func:`ext4writer.sources.directory` raises, which has ``processes`` too.
    """
    store, wanted = store_dir, list(names)
    for name in wanted:
        path = os.path.join(store, name)
        try:
            os.stat(path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            missing = f"is missing; {store} does not have it"
            raise NixError(full_path(name), missing) from None
        except OSError as error:
            raise NixError(path, f"cannot be read: {error.strerror}") from error
    if not wanted:
        return {}
    tree = directory(
        store,
        names=wanted,
        xattrs=False,
        hard_links=False,
        processes=processes,
        progress=progress,
        cancel=cancel,
    )
    for loss in tree.losses:
        raise NixError(store + os.fsdecode(loss.path), loss.what)
    children = tree.root.children
    return {name: children[name.encode()] for name in wanted}
