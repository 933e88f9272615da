"""Names of file contents in a manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ..content import Content, PathContent
from ..errors import TreeError
from ..sources.host import HostFile
from ..sources.manifest_content import CheckedContent
from ..tree import Loss

Store = Callable[[bytes, Content], bytes]
"""(path in the tree, content that is not a file of the host) -> path of a new file with it."""


class ContentNames:
    """Names the files of the host that hold contents, relative to ``root`` if they are below it.

    With ``unpacked``, content without such a file gets the path of its file in the tree.
    """

    def __init__(
        self,
        root: str | bytes | os.PathLike[str] | None,
        store: Store | None,
        *,
        unpacked: bool = False,
    ) -> None:
        self._unpacked = unpacked
        self._count = 0
        self._root = None if root is None else os.path.realpath(os.fsencode(root)).rstrip(b"/")
        self._store = store
        self._folders: dict[bytes, bytes] = {}

    def get(self, path: bytes, content: Content, names: Sequence[bytes] = ()) -> bytes:
        """The name for the content of the file at ``path``, whose paths are ``names``.

        Raises :class:`TreeError` for content without a file.
        """
        place = host_path(content)
        if place is None:
            if self._store is None and self._unpacked:
                self._count += 1
                return path[1:]
            if self._store is None:
                raise TreeError(
                    path,
                    f"its {content.size:,} bytes are not a file of the host that a manifest could "
                    "name; have them stored in one",
                )
            place = self._store(path, content)
        elif len(names) > 1:
            place = _first_of(place, names)
        folder, name = os.path.split(place)
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = self._named(os.path.realpath(folder))
        return known + name

    def losses(self) -> list[Loss]:
        """A loss with the number of contents that were named as if unpacked, if any."""
        if not self._count:
            return []
        files = "one file" if self._count == 1 else f"{self._count:,} files"
        what = f"the content of {files} does not exist until the tree is unpacked"
        return [Loss(b"/", what, "content-elsewhere")]

    def _named(self, folder: bytes) -> bytes:
        """``folder`` relative to the root, with a final slash unless it is the root itself."""
        if self._root is not None:
            if folder == self._root:
                return b""
            if folder.startswith(self._root + b"/"):
                return folder[len(self._root) + 1 :] + b"/"
        return folder.rstrip(b"/") + b"/"


def _first_of(place: bytes, names: Sequence[bytes]) -> bytes:
    """The path of the same file under the first of ``names``, if the host has that name.

    Otherwise the result would depend on the order in which the host lists a directory.
    """
    for name in names:
        if place.endswith(name):
            first = place[: -len(name)] + names[0]
            try:
                if _identity(first) == _identity(place):
                    return first
            except OSError:
                pass
    return place


def _identity(path: bytes) -> tuple[int, int]:
    status = os.stat(path, follow_symlinks=False)
    return status.st_dev, status.st_ino


def host_path(content: Content) -> bytes | None:
    """The full path of ``content`` if it is a file of the host; otherwise None."""
    if isinstance(content, CheckedContent):
        content = content.content
    if isinstance(content, HostFile):
        return content.path()
    return content.path if isinstance(content, PathContent) else None
