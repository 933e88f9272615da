"""A closure, from wherever it is read: its store objects as nodes, and its registration."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import click

from ext4writer import Crew, Node
from ext4writer.progress import Cancel, ProgressCallback

from ..spool import Spool
from . import STORE
from .archives import Archive, beginning, read_archives
from .assemble import make_canonical
from .cache import cache_folder, read_cache
from .decompression import MAGIC_BYTES, format_of
from .errors import NixError
from .hashing import check_hash, check_size, describe, verify
from .live import read_objects
from .options import ClosureOptions
from .registration import Registration, check_same, read_registration, write_registration
from .store_paths import base_name, check_base_name, full_path, read_list


@dataclass(frozen=True)
class Closure:
    """All objects, in canonical form, by base name."""

    objects: Mapping[str, Node]
    registration: Registration
    verified: bool
    """Whether every object was hashed and found as it was registered before."""
    spooled: int = 0
    """Bytes of temporary file that the objects lie in."""


@dataclass(frozen=True)
class Context:
    """How a closure is read."""

    options: ClosureOptions
    spool: Spool
    crew: Crew
    progress: ProgressCallback | None = None
    cancel: Cancel | None = None

    @property
    def workers(self) -> int:
        """Threads that hash and unpack: as many as there are processes."""
        return self.crew.processes


def check_options(options: ClosureOptions) -> None:
    """Raise a usage error unless ``options`` name one closure in one place."""
    if options.closure is not None:
        for name in ("store_paths", "registration"):
            if getattr(options, name) is not None:
                raise click.UsageError(
                    f"--closure has store paths and a registration; --{name.replace('_', '-')} "
                    "contradicts it"
                )
    listed = options.closure is not None or options.store_paths is not None
    if options.nar and (listed or options.cache is not None):
        raise click.UsageError("--nar names store paths itself; give no others")
    if options.root and options.cache is None:
        raise click.UsageError("--root needs --cache")
    if not (listed or options.nar or options.root):
        raise click.UsageError("give --closure, --store-paths, --cache with --root, or --nar")
    compared = options.closure or options.registration or options.cache
    if options.verify and not compared:
        raise click.UsageError("--verify has nothing to compare with: give a --registration")
    if options.store_dir is not None and (options.cache is not None or options.nar):
        raise click.UsageError("--store-dir is no place to look for what --cache or --nar has")


def without_registration(options: ClosureOptions) -> ClosureOptions:
    """The same store paths, with a registration that is computed.

    Raises a usage error where ``options`` ask for what only one that is given can do.
    """
    check_options(options)
    if options.registration is not None:
        raise click.UsageError("--registration is what this command makes")
    if options.closure is None:
        return options
    listed = os.path.join(options.closure, "store-paths")
    options = replace(options, closure=None, store_paths=listed)
    check_options(options)
    return options


def read_closure(context: Context) -> Closure:
    """Read the closure that the options name; ``NixError`` for one that is not whole."""
    options = context.options
    read: Callable[[Context, Registration | None], Closure]
    if options.cache is not None:
        read = _from_cache
    elif options.nar:
        read = _from_archives
    else:
        read = _from_store
    file = options.registration
    if options.closure is not None:
        file = os.path.join(options.closure, "registration")
    return read(context, None if file is None else read_registration(file))


def _listed(options: ClosureOptions) -> list[str]:
    """The names that a file lists, and those that stand in the command.

    There may be none where a registration says so too, as for an image that holds files alone.
    """
    names = []
    if options.closure is not None:
        names += read_list(os.path.join(options.closure, "store-paths"))
    if options.store_paths is not None:
        names += read_list(options.store_paths)
    names += [_name(path, "--root") for path in options.root]
    if not (names or options.closure or options.registration):
        assert options.store_paths is not None
        raise NixError(options.store_paths, "lists no store path")
    return sorted(set(names))


def _name(path: str, where: str) -> str:
    """The base name of a store path that is given whole or by its base name."""
    if "/" in path:
        return base_name(path, where)
    check_base_name(path, where)
    return path


def _from_store(context: Context, registration: Registration | None) -> Closure:
    options, workers, cancel = context.options, context.workers, context.cancel
    names = _listed(options)
    if registration is not None:
        check_same(names, registration.infos)
    objects = read_objects(
        names,
        options.store_dir or STORE,
        processes=context.crew,
        progress=context.progress,
        cancel=cancel,
    )
    for name, root in objects.items():
        make_canonical(name, root)
    if registration is None:
        computed = write_registration(describe(objects, workers=workers, cancel=cancel))
        return Closure(objects, computed, verified=False)
    if options.verify:
        verify(objects, registration.infos, workers=workers, cancel=cancel)
    return Closure(objects, registration, options.verify)


def _from_cache(context: Context, registration: Registration | None) -> Closure:
    assert context.options.cache is not None
    folder = cache_folder(context.options.cache)
    described = read_cache(folder, _listed(context.options), context.cancel)
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
        archives, context.spool, workers=context.workers, cancel=context.cancel
    )
    return Closure(objects, registration, verified=True, spooled=spooled)


def _named_archive(text: str) -> tuple[str, str]:
    """The base name and the file of ``PATH=FILE``; both may hold further equals signs."""
    first, _, file = text.partition("=")
    path = first
    while file and not os.path.exists(file) and "=" in file:
        more, _, file = file.partition("=")
        path = f"{path}={more}"
    if not os.path.exists(file):
        path, file = first, text.partition("=")[2]
    if not file:
        raise click.UsageError(f"--nar: {text!r} is not PATH=FILE, a store path and its archive")
    return _name(path, "--nar"), file


def _from_archives(context: Context, registration: Registration | None) -> Closure:
    archives: dict[str, Archive] = {}
    for text in context.options.nar:
        name, file = _named_archive(text)
        if name in archives:
            raise NixError(full_path(name), "is given twice with --nar")
        archives[name] = Archive(name, file, format_of(beginning(file, MAGIC_BYTES)))
    if registration is not None:
        check_same(archives, registration.infos)
        for name, archive in archives.items():
            archives[name] = replace(archive, info=registration.infos[name])
    objects, spooled = read_archives(
        list(archives.values()), context.spool, workers=context.workers, cancel=context.cancel
    )
    objects = dict(sorted(objects.items()))
    verified = registration is not None
    if registration is None:
        found = describe(objects, workers=context.workers, cancel=context.cancel)
        registration = write_registration(found)
    return Closure(objects, registration, verified, spooled)
