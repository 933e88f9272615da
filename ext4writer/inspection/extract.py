"""Extraction: writes the files of an image into one directory of the host, and nowhere else.

Every file is created relative to the descriptor of a directory that was created or checked here,
and no link is followed. Names and links of a hostile image therefore cannot lead outside. Existing
files are not changed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence

from ..errors import DamageError, ImageError, NotFoundError, OutputError
from ..inode_flags import flag_names, taken_flags
from ..nodes import Loss, LossCode
from ..progress import Cancel, Progress, ProgressCallback, check_cancelled
from ..read import Found, Image, Inode
from ..read.first_names import FirstNames
from .host_flags import set_flags, set_project

CHUNK = 1 << 20
RATIO_MAX = 20
SPARE_BYTES = 1 << 30
"""By default, at most :data:`RATIO_MAX` times the size of the image plus this is extracted."""

_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID
_CASEFOLD = 0x40000000
_IMMUTABLE_OR_APPEND = 0x30
"""IMMUTABLE and APPEND: once set, a file can be neither changed nor linked."""


class Extraction:
    """What was written, and how it differs from the image."""

    def __init__(self) -> None:
        self.entries = 0
        self.bytes_written = 0
        self._lost: dict[tuple[LossCode, str], tuple[bytes, int]] = {}

    def lose(self, path: bytes, what: str, code: LossCode = "attributes-not-taken") -> None:
        """Record that ``path`` lost something; equal losses of several paths are merged."""
        first, count = self._lost.get((code, what), (path, 0))
        self._lost[code, what] = first, count + 1

    @property
    def losses(self) -> list[Loss]:
        """One loss for each distinct text, with the first path and the number of paths."""
        return [
            Loss(path, what if count == 1 else f"{what} (and {count - 1} more)", code)
            for (code, what), (path, count) in self._lost.items()
        ]


def extract(
    image: Image,
    directory: str | bytes | os.PathLike[str],
    paths: Sequence[bytes] = (),
    *,
    max_bytes: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Extraction:
    """Write the files of ``image`` below ``directory``, which is created if it is missing.

    ``paths`` are absolute paths in the image without links or ``..``. Each is written, with
    everything below it, to the same path below ``directory``; no paths means everything. Owners,
    modes, times, extended attributes, holes, hard links and devices are kept as far as this process
    is allowed to; the returned object lists what was lost. Existing files are not changed, but
    existing directories are filled.

    ``max_bytes`` limits the content, by default to 20 times the size of the image plus 1 GiB:
    damage can map the same blocks again and again. Raises :class:`~ext4writer.NotFoundError`,
    :class:`~ext4writer.OutputError` if nothing more can be written,
    :class:`~ext4writer.ImageError` beyond ``max_bytes``, :class:`~ext4writer.CancelledError`.
    """
    most = RATIO_MAX * image.store.size + SPARE_BYTES if max_bytes is None else max_bytes
    return _Extractor(image, os.fsencode(directory), most, progress, cancel).run(paths)


def chosen(image: Image, paths: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """Return the components of each of ``paths``; no paths means everything.

    Raises :class:`~ext4writer.NotFoundError` for a path that is missing, has ``..`` or leads
    through a link.
    """
    wanted = []
    for path in paths:
        names = tuple(name for name in path.split(b"/") if name not in (b"", b"."))
        inode = image.lookup(path, follow=False)
        if b".." in names or path.startswith(b"<"):
            raise NotFoundError(path, "must be a path without '..', and not an inode number")
        here = image.root
        for name in names[:-1]:
            here = image.lookup(b"<%d>" % _child(image, here, name, path), follow=False)
            if not here.is_directory:
                raise NotFoundError(path, "leads through a link; give the path without links")
        assert inode is not None
        wanted.append(names)
    return wanted


def _child(image: Image, directory: Inode, name: bytes, path: bytes) -> int:
    for entry in image.entries(directory):
        if entry.name == name:
            return entry.ino
    raise NotFoundError(path, "no such file or directory")


def is_wanted(found: Found, wanted: list[tuple[bytes, ...]]) -> bool:
    """Return whether a file is one of the chosen paths, below one, or on the way to one.

    Files whose names cannot be part of a path never are.
    """
    if not found.is_path:
        return False
    if not wanted:
        return True
    names = tuple(found.path.split(b"/")[1:])
    return any(
        names[: len(want)] == want[: len(names)] and (len(names) >= len(want) or _is_dir(found))
        for want in wanted
    )


def _is_dir(found: Found) -> bool:
    return found.inode.is_directory


class _Extractor:
    def __init__(
        self,
        image: Image,
        directory: bytes,
        most: int,
        progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> None:
        self.image = image
        self.directory = directory
        self.most = most
        self.progress = progress
        self.cancel = cancel
        self.result = Extraction()
        self.wanted: list[tuple[bytes, ...]] = []
        # A hard link is created from the path of the first name, relative to the top.
        self.first_names = FirstNames(image, self._walk, lambda found: found.path[1:])
        self.refused: set[bytes] = set()
        """Directories that could not be created or filled; nothing below them is written."""
        self.immutable: list[tuple[bytes, Inode]] = []
        """Files that become IMMUTABLE or APPEND when everything else is done."""

    def run(self, paths: Sequence[bytes]) -> Extraction:
        if not hasattr(os, "O_DIRECTORY") or os.open not in os.supports_dir_fd:
            raise OutputError(
                self.directory,
                "cannot be filled on this system, which cannot confine the links of an image to a "
                "folder; write an archive with --tar",
            )
        self.wanted = chosen(self.image, paths)
        try:
            try:
                os.mkdir(self.directory, 0o700)
                is_new = True
            except FileExistsError:
                is_new = False
            top = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise OutputError(self.directory, f"cannot be written: {error.strerror}") from error
        self.top = top
        # The open directory; and the directories entered, whose attributes are set on leaving.
        self.here = os.dup(top)
        above: list[tuple[bytes, Inode | None]] = []
        try:
            for found in self._walk():
                if not found.is_path:
                    text = "its encrypted name cannot be part of a path"
                    self.result.lose(found.path, text, "left-out")
                    continue
                check_cancelled(self.cancel)
                while len(above) >= found.depth:
                    self._leave(*above.pop())
                self._one(found, above)
            while above:
                self._leave(*above.pop())
            if is_new:
                self._attributes(self.here, b"/", self.image.root)
            for path, inode in reversed(self.immutable):
                self._make_immutable(path, inode)
        except OSError as error:
            raise OutputError(
                error.filename or self.directory, f"cannot be written: {error.strerror}"
            ) from error
        finally:
            os.close(self.here)
            os.close(self.top)
        return self.result

    def _walk(self) -> Iterator[Found]:
        """Yield the files to write, and those whose names cannot be part of a path."""
        wanted = self.wanted
        for found in self.image.walk(
            descend=lambda found: found.path not in self.refused and is_wanted(found, wanted)
        ):
            if not found.is_path or is_wanted(found, wanted):
                yield found

    def _one(self, found: Found, above: list[tuple[bytes, Inode | None]]) -> None:
        self.result.entries += 1
        if self.progress is not None and self.result.entries % 256 == 0:
            done = self.result.bytes_written
            self.progress(Progress("write", self.result.entries, 0, done, 0))
        inode, path = found.inode, found.path
        try:
            if inode.is_directory:
                self._enter(found, path, above)
                return
            if self._make(found, path):
                self.first_names.took(found, path[1:])
                return
        except FileExistsError:
            self.result.lose(path, "already exists and is not changed", "left-out")
        except DamageError as error:
            self.image.damage(error)
            self.result.lose(path, "cannot be read completely", "left-out")
        except NotImplementedError:
            self.result.lose(path, "cannot be created on this host", "left-out")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
                raise
            if inode.is_directory:
                self.refused.add(path)
            self.result.lose(path, f"cannot be created: {error.strerror}", "left-out")
        if not inode.is_directory:
            self.first_names.left_out(found)

    # -- directories -----------------------------------------------------------------------------

    def _enter(self, found: Found, path: bytes, above: list[tuple[bytes, Inode | None]]) -> None:
        name, inode, is_new = found.name, found.inode, True
        try:
            os.mkdir(name, 0o700, dir_fd=self.here)
        except FileExistsError:
            is_new = False
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        try:
            below = os.open(name, flags, dir_fd=self.here)
        except OSError as error:
            if is_new or error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EACCES):
                raise
            self.refused.add(path)
            text = "already exists and is not a directory that can be filled"
            self.result.lose(path, text, "left-out")
            return
        if is_new and inode.flags & _CASEFOLD:
            self._set_flags(below, path, _CASEFOLD)  # possible only while the directory is empty
        os.close(self.here)
        self.here = below
        above.append((path, inode if is_new else None))

    def _leave(self, path: bytes, inode: Inode | None) -> None:
        """Go up one level; set the attributes of the directory, which is now complete."""
        up = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.here)
        if inode is not None:
            self._attributes(self.here, path, inode)
        os.close(self.here)
        self.here = up

    # -- everything else -------------------------------------------------------------------------

    def _make(self, found: Found, path: bytes) -> bool:
        """Create or link a file that is not a directory; return whether that succeeded."""
        name, inode = found.name, found.inode
        first = self.first_names.of(found)
        if first is not None:
            try:
                os.link(
                    first, name, src_dir_fd=self.top, dst_dir_fd=self.here, follow_symlinks=False
                )
            except FileExistsError:
                raise
            except OSError as error:
                self.result.lose(path, f"is a separate file, not a link: {error.strerror}")
            else:
                return True
        kind = inode.file_type
        if inode.is_file:
            return self._file(name, path, inode)
        if inode.is_symlink:
            target = inode.target()
            if b"\0" in target:
                self.result.lose(path, "is a link whose target cannot be a path", "left-out")
                return False
            os.symlink(target, name, dir_fd=self.here)
            self._attributes_of_name(name, path, inode)
        elif inode.kind == "unknown":
            inode.wrong("i_mode", f"is {inode.mode:#o}, which has no valid file type")
            return False
        else:
            device = os.makedev(*inode.device) if inode.is_device else 0
            os.mknod(name, kind | 0o600, device, dir_fd=self.here)
            self._attributes_of_name(name, path, inode)
        return True

    def _file(self, name: bytes, path: bytes, inode: Inode) -> bool:
        with self.image.open(inode) as reader:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            fd = os.open(name, flags, 0o600, dir_fd=self.here)
            try:
                try:
                    os.ftruncate(fd, reader.size)
                except OSError as error:
                    if error.errno not in (errno.EFBIG, errno.EINVAL, errno.EOVERFLOW):
                        raise
                    os.unlink(name, dir_fd=self.here)
                    text = f"has {reader.size} bytes, more than the host can store in a file"
                    self.result.lose(path, text, "left-out")
                    return False
                is_damaged = False
                for start, end in reader.data:
                    while start < end:
                        check_cancelled(self.cancel)
                        data, is_whole = reader.read_around(start, min(CHUNK, end - start))
                        is_damaged |= not is_whole
                        self._count(len(data))
                        _write_all(fd, data, start)
                        start += len(data)
                self._attributes(fd, path, inode)
            finally:
                os.close(fd)
        if is_damaged:
            text = "cannot be read completely; the rest is zeros"
            self.result.lose(path, text, "left-out")
        return True

    def _count(self, count: int) -> None:
        self.result.bytes_written += count
        if self.result.bytes_written > self.most:
            raise ImageError(
                self.image.name,
                f"holds more than {self.most} bytes of content; max_bytes (--max-size) sets the "
                "limit",
            )

    # -- attributes ------------------------------------------------------------------------------

    def _attributes(self, fd: int, path: bytes, inode: Inode) -> None:
        """Set owner, xattrs, mode, times and flags, in an order in which none undoes another."""
        mode = inode.mode & 0o7777
        try:
            os.chown(fd, inode.uid, inode.gid)
        except OSError:
            self.result.lose(path, "its owner is not kept")
            if mode & _SPECIAL_BITS:
                self.result.lose(path, "its setuid and setgid bits are not kept")
                mode &= ~_SPECIAL_BITS
        self._xattrs(fd, path, inode)
        os.chmod(fd, mode)
        os.utime(fd, ns=(inode.atime_ns, inode.mtime_ns))
        self._flags(fd, path, inode)

    def _flags(self, fd: int, path: bytes, inode: Inode) -> None:
        """Set chattr's flags and the project; flags that forbid changes are set at the end."""
        flags = inode.flags & taken_flags(inode.file_type) & ~_CASEFOLD
        if flags & ~_IMMUTABLE_OR_APPEND:
            self._set_flags(fd, path, flags & ~_IMMUTABLE_OR_APPEND)
        if flags & _IMMUTABLE_OR_APPEND:
            self.immutable.append((path, inode))
        if inode.projid:
            try:
                set_project(fd, inode.projid)
            except OSError as error:
                why = error.strerror
                self.result.lose(path, f"its project {inode.projid} is not kept: {why}")

    def _set_flags(self, fd: int, path: bytes, flags: int) -> None:
        try:
            set_flags(fd, flags, flags)
        except OSError as error:
            if flags & (flags - 1):  # several bits
                # One flag that the host does not support makes all of them fail.
                for place in range(flags.bit_length()):
                    if flags >> place & 1:
                        self._set_flags(fd, path, 1 << place)
                return
            text = f"its inode flags {flag_names(flags)} are not kept: {error.strerror}"
            self.result.lose(path, text)

    def _make_immutable(self, path: bytes, inode: Inode) -> None:
        fd = os.dup(self.top)
        try:
            *above, name = [part for part in path.split(b"/") if part] or [b"."]
            for part in above:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = below
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
            os.close(fd)
            fd = file
            self._set_flags(fd, path, inode.flags & _IMMUTABLE_OR_APPEND)
        except OSError as error:
            names = flag_names(inode.flags & _IMMUTABLE_OR_APPEND)
            self.result.lose(path, f"its inode flags {names} are not kept: {error.strerror}")
        finally:
            os.close(fd)

    def _attributes_of_name(self, name: bytes, path: bytes, inode: Inode) -> None:
        """Do the same as :meth:`_attributes` for a file that cannot be opened."""
        try:
            os.chown(name, inode.uid, inode.gid, dir_fd=self.here, follow_symlinks=False)
        except OSError:
            self.result.lose(path, "its owner is not kept")
        self._xattrs(b"/proc/self/fd/%d/%s" % (self.here, name), path, inode)
        flags = inode.flags & taken_flags(inode.file_type)
        if flags:
            self.result.lose(path, f"its inode flags {flag_names(flags)} are not kept")
        if not inode.is_symlink:
            os.chmod(name, inode.mode & 0o777, dir_fd=self.here)
        times = (inode.atime_ns, inode.mtime_ns)
        os.utime(name, ns=times, dir_fd=self.here, follow_symlinks=False)

    def _xattrs(self, place: int | bytes, path: bytes, inode: Inode) -> None:
        for name, value in inode.xattrs().items():
            if not hasattr(os, "setxattr"):
                self.result.lose(path, "its attributes are not kept on this host", "xattr-left-out")
                return
            try:
                if isinstance(place, int):
                    os.setxattr(place, name, value)
                else:
                    os.setxattr(place, name, value, follow_symlinks=False)
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "not supported by the host"
                shown = name.decode("utf-8", "backslashreplace")
                self.result.lose(
                    path, f"the attribute {shown} is not kept: {why}", "xattr-left-out"
                )


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view = view[count:]
        offset += count
