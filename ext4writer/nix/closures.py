"""Reads closures from any input: store objects as nodes, and their registration."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from ..arguments import path_of
from ..checked import checked, converted_argument
from ..content import FileId
from ..errors import SpecError
from ..forked import ProcessPool, as_pool
from ..late_dataclasses import dataclass, field, replace
from ..progress import Cancel, ProgressCallback
from ..sources.inputs import inputs_of
from ..sources.tar_archive.limits import DEFAULT_LIMITS, Limits
from ..tree import Directory, Loss, Node, Tree
from .archives import Archive, SpoolMaker, beginning, read_archives
from .assemble import image_tree, make_canonical
from .cache import cache_folder, narinfo_path, read_cache
from .case_hack import has_case_hack, undo_case_hack
from .contents import Entry
from .decompression import MAGIC_BYTES, format_of
from .dedupe import link_equal_files
from .hashing import check_hash, check_size, describe, verify_objects
from .live import read_objects
from .registration import Registration, check_same, read_registration, write_registration
from .store_paths import STORE, base_name, check_base_name, full_path

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Closure:
    """The objects of a closure by base name, in canonical form, and their registration."""

    objects: Mapping[str, Node]
    registration: Registration
    verified: bool
    """Whether every object was hashed and compared with an existing registration or narinfo."""
    spooled: int = 0
    """Number of bytes of the spool that the objects use."""
    inputs: Mapping[FileId, bytes] = field(default_factory=dict)
    """The files that were read, except objects in a store: archives, narinfos and registrations."""
    losses: Sequence[Loss] = ()
    """Warnings about objects that may not be intended as they are."""


@dataclass(frozen=True)
class _Means:
    """The resources with which a closure is read."""

    pool: ProcessPool
    spool: SpoolMaker | None
    limits: Limits
    progress: ProgressCallback | None
    cancel: Cancel | None

    @property
    def workers(self) -> int:
        """Number of threads that hash and decompress: the number of processes."""
        return self.pool.processes


@checked("store_paths", "registration", "archives", "contents")
def closure(
    store_paths: Iterable[str] = (),
    *,
    registration: Registration | Path | None = None,
    store_dir: Path | None = None,
    cache: Path | None = None,
    archives: Mapping[str, Path] | None = None,
    files: Tree | None = None,
    store_at: str = STORE,
    contents: Sequence[Entry] = (),
    register: bool = True,
    database: bool = False,
    system: str | None = None,
    case_hack: bool = False,
    verify: bool = False,
    dedupe: bool = False,
    spool: SpoolMaker | None = None,
    limits: Limits = DEFAULT_LIMITS,
    processes: int | ProcessPool = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Tree:
    """The tree of an image of a closure: the store, its registration, and ``files``.

    For ``files``, ``store_at``, ``contents``, ``register``, ``database`` and ``system`` see
    :func:`image_tree`, for all other arguments :func:`read_closure`. ``dedupe`` replaces equal
    files of the store with hard links. Raises what these functions raise. The contents of the tree
    stay in the store, the archives and the spool until an image is written.
    """
    read = read_closure(
        store_paths,
        registration=registration,
        store_dir=store_dir,
        cache=cache,
        archives=archives,
        case_hack=case_hack,
        verify=verify,
        spool=spool,
        limits=limits,
        processes=processes,
        progress=progress,
        cancel=cancel,
    )
    tree = image_tree(
        read.objects,
        read.registration,
        files,
        store_at=store_at,
        contents=contents,
        register=register,
        database=database,
        system=system,
        case_hack=case_hack,
    )
    tree.losses += read.losses
    tree.inputs.update(read.inputs)
    if dedupe:
        store = tree[store_at]
        assert isinstance(store, Directory)
        link_equal_files(store, cancel)
    return tree


@checked("store_paths", "registration", "archives")
def read_closure(
    store_paths: Iterable[str] = (),
    *,
    registration: Registration | Path | None = None,
    store_dir: Path | None = None,
    cache: Path | None = None,
    archives: Mapping[str, Path] | None = None,
    case_hack: bool = False,
    verify: bool = False,
    spool: SpoolMaker | None = None,
    limits: Limits = DEFAULT_LIMITS,
    processes: int | ProcessPool = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Closure:
    """Read the store objects ``store_paths``, given as full paths or base names.

    They are read from the store in ``store_dir`` on this host, by default ``/nix/store``; or from
    the binary cache in the folder ``cache``, with their closure. Instead of ``store_paths``,
    ``archives`` may map store paths to files with their archives.

    ``registration`` is a file for ``nix-store --load-db``, or the result of reading one. Without
    it, hashes, sizes and references are computed; then only references among the given paths are
    found. ``verify`` compares the hashes of objects in a store with the registration. Archives are
    always compared with all known hashes and sizes.

    ``case_hack`` removes ``~nix~case~hack~1`` and similar suffixes from names in a store, as Nix
    on macOS does.

    ``spool`` creates the file, open for reading and writing, into which compressed archives are
    unpacked; without it they are refused. ``limits`` apply to all archives together, the ratio only
    above 128 MiB. ``processes`` is the number of processes that scan a store, and the number of
    threads that hash and decompress.

    Raises :class:`NixError` for anything missing, damaged, or different from its registration;
    :class:`LimitError`; :class:`SourceError` for files that cannot be read; :class:`SpecError` for
    contradictory arguments; :class:`OutputError` for a spool that cannot be written;
    :class:`CancelledError`.
    """
    names = sorted({_name(path, "store_paths") for path in _paths(store_paths)})
    if archives is not None and not isinstance(archives, Mapping):
        raise SpecError("archives", f"{archives!r:.80} does not map store paths to files")
    if archives and (names or cache is not None):
        raise SpecError("archives", "name store paths themselves; give no others")
    if store_dir is not None and (cache is not None or archives):
        raise SpecError("store_dir", "cannot be combined with a cache or archives")
    if verify and registration is None and cache is None:
        raise SpecError("verify", "has nothing to compare with; give a registration")
    inputs = {} if archives is None else inputs_of(*archives.values())
    if registration is not None and not isinstance(registration, Registration):
        place = _host_path("registration", registration)
        inputs.update(inputs_of(place))
        registration = read_registration(place)
    with as_pool(processes) as pool:
        means = _Means(pool, spool, limits, progress, cancel)
        if cache is not None:
            read = _from_cache(names, _host_path("cache", cache), registration, means)
        elif archives:
            read = _from_archives(archives, registration, means)
        else:
            place = _host_path("store_dir", store_dir or STORE)
            read = _from_store(names, place, registration, verify, case_hack, means)
    return replace(read, inputs={**read.inputs, **inputs})


def _paths(given: object) -> list[str]:
    """Store paths as strings; a single path becomes a list of one."""
    if isinstance(given, str | bytes | os.PathLike):
        given = [given]
    if not isinstance(given, Iterable):
        raise SpecError("store_paths", f"{given!r:.80} is not a list of store paths")
    return [_host_path("store_paths", path) for path in given]


def _host_path(option: str, given: object) -> str:
    return os.fsdecode(converted_argument(option, given, path_of))


def _name(path: str, where: str) -> str:
    """The base name of a store path, given as a full path or a base name."""
    if "/" in path:
        return base_name(path, where)
    check_base_name(path, where)
    return path


def _from_store(
    names: list[str],
    store_dir: str,
    registration: Registration | None,
    verify: bool,
    case_hack: bool,
    means: _Means,
) -> Closure:
    if registration is not None:
        check_same(names, registration.infos)
    objects = read_objects(
        names, store_dir, processes=means.pool, progress=means.progress, cancel=means.cancel
    )
    losses = []
    for name, root in objects.items():
        make_canonical(name, root)
        if case_hack:
            undo_case_hack(full_path(name), root)
        elif not verify and has_case_hack(root):
            losses.append(
                Loss(
                    full_path(name).encode(),
                    "has names with ~nix~case~hack~, as stores on macOS do, and keeps them; "
                    "nothing undoes them without the case hack",
                    "case-hack",
                )
            )
    if registration is None:
        infos = describe(objects, workers=means.workers, cancel=means.cancel)
        return Closure(objects, write_registration(infos), verified=False, losses=losses)
    if verify:
        verify_objects(objects, registration.infos, workers=means.workers, cancel=means.cancel)
    return Closure(objects, registration, verify, losses=losses)


def _from_cache(
    names: list[str], cache: str, registration: Registration | None, means: _Means
) -> Closure:
    folder = cache_folder(cache)
    described = read_cache(folder, names, means.cancel)
    infos = {name: each.info for name, each in described.items()}
    if registration is None:
        registration = write_registration(infos)
    else:
        check_same(infos, registration.infos)
        for name, info in infos.items():
            check_size(registration.infos[name], info.nar_size)
            check_hash(registration.infos[name], info.nar_hash)
    archives = [
        Archive(
            name,
            os.path.join(folder, each.url),
            each.compression,
            each.info,
            each.file_hash,
            each.file_size,
        )
        for name, each in described.items()
    ]
    objects, spooled = read_archives(
        archives,
        means.spool,
        limits=means.limits,
        workers=means.workers,
        cancel=means.cancel,
    )
    narinfos = [narinfo_path(folder, name) for name in described]
    inputs = inputs_of(*(archive.path for archive in archives), *narinfos)
    return Closure(objects, registration, verified=True, spooled=spooled, inputs=inputs)


def _from_archives(
    files: Mapping[str, Path], registration: Registration | None, means: _Means
) -> Closure:
    archives: dict[str, Archive] = {}
    for store_path, file in files.items():
        name, path = _name(store_path, "archives"), os.fspath(file)
        archives[name] = Archive(name, path, format_of(beginning(path, MAGIC_BYTES)))
    if registration is not None:
        check_same(archives, registration.infos)
        for name, archive in archives.items():
            archives[name] = replace(archive, info=registration.infos[name])
    objects, spooled = read_archives(
        list(archives.values()),
        means.spool,
        limits=means.limits,
        workers=means.workers,
        cancel=means.cancel,
    )
    objects = dict(sorted(objects.items()))
    verified = registration is not None
    if registration is None:
        found = describe(objects, workers=means.workers, cancel=means.cancel)
        registration = write_registration(found)
    return Closure(objects, registration, verified, spooled)
