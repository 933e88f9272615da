"""Reads the closure that the options of the command name."""

from __future__ import annotations

import os

import click

from ext4writer import OutputError, ProcessPool
from ext4writer.late_dataclasses import dataclass, replace
from ext4writer.nix import Closure, NixError, read_closure
from ext4writer.nix.archives import SPOOL
from ext4writer.nix.store_paths import STORE, base_name, check_base_name, full_path, read_list
from ext4writer.progress import Cancel, ProgressCallback

from ..spool import Spool
from .options import ClosureOptions


@dataclass(frozen=True)
class Context:
    """What reading a closure needs besides store paths."""

    options: ClosureOptions
    spool: Spool
    pool: ProcessPool
    progress: ProgressCallback | None = None
    cancel: Cancel | None = None


def check_options(options: ClosureOptions) -> None:
    """Raise a usage error unless ``options`` name exactly one closure."""
    if options.closure is not None:
        for name in ("store_paths", "registration"):
            if getattr(options, name) is not None:
                raise click.UsageError(
                    f"--closure contains store paths and a registration; omit it or "
                    f"--{name.replace('_', '-')}"
                )
    listed = options.closure is not None or options.store_paths is not None
    if options.nar and (listed or options.cache is not None):
        raise click.UsageError(
            "--nar names store paths itself; do not combine it with --closure, --store-paths or "
            "--cache"
        )
    if options.root and options.cache is None:
        raise click.UsageError("--root needs --cache")
    if not (listed or options.nar or options.root):
        raise click.UsageError("give --closure, --store-paths, --cache with --root, or --nar")
    compared = options.closure or options.registration or options.cache
    if options.verify and not compared:
        raise click.UsageError("--verify has nothing to compare with; add --registration")
    if options.store_dir is not None and (options.cache is not None or options.nar):
        raise click.UsageError("--store-dir cannot be combined with --cache or --nar")


def without_registration(options: ClosureOptions) -> ClosureOptions:
    """Return options for the same store paths without their registration, to compute it.

    Raises a usage error if ``options`` require a given registration.
    """
    check_options(options)
    if options.registration is not None:
        raise click.UsageError("this command computes the registration; omit --registration")
    if options.closure is None:
        return options
    listed = os.path.join(options.closure, "store-paths")
    options = replace(options, closure=None, store_paths=listed)
    check_options(options)
    return options


def read_named_closure(context: Context) -> Closure:
    """Read the closure that the options name; raises ``NixError`` if it is incomplete."""
    options = context.options
    registration = options.registration
    if options.closure is not None:
        registration = os.path.join(options.closure, "registration")
    store_dir = options.store_dir
    if not options.nar and options.cache is None:
        store_dir = os.path.abspath(store_dir or STORE)
    try:
        return read_closure(
            () if options.nar else _listed(options),
            registration=registration,
            store_dir=store_dir,
            cache=options.cache,
            archives=_archives(options.nar),
            case_hack=options.undoes_case_hack,
            verify=options.verify,
            spool=context.spool.open,
            limits=options.limits(),
            processes=context.pool,
            progress=context.progress,
            cancel=context.cancel,
        )
    except OutputError as error:
        if error.path != SPOOL or context.spool.folder is None:
            raise
        # The spool has no name, so the library cannot say which directory it is in.
        raise OutputError(context.spool.folder, f"{SPOOL} {error.problem}") from error


def _listed(options: ClosureOptions) -> list[str]:
    """The base names of store paths that files and --root list.

    The list may be empty with a registration, as for an image that holds only other files.
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
    return names


def _name(path: str, where: str) -> str:
    """The base name of a store path that is given in full or by its base name."""
    if "/" in path:
        return base_name(path, where)
    check_base_name(path, where)
    return path


def _archives(named: tuple[str, ...]) -> dict[str, str]:
    """Base name of a store path -> path of its archive."""
    archives: dict[str, str] = {}
    for text in named:
        name, file = _named_archive(text)
        if name in archives:
            raise NixError(full_path(name), "is given twice with --nar")
        archives[name] = file
    return archives


def _named_archive(text: str) -> tuple[str, str]:
    """Split ``PATH=FILE``, both of which may contain equals signs, into base name and file."""
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
