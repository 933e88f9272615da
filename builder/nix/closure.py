"""A closure: its store objects as trees, and its registration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import click

from ext4writer import Node
from ext4writer.progress import Cancel, ProgressCallback

from . import STORE
from .assemble import make_canonical
from .live import read_objects
from .options import ClosureOptions
from .registration import Registration, check_same, read_registration
from .store_paths import read_list


@dataclass(frozen=True)
class Closure:
    """All objects, in canonical form, by base name; ``registration`` is None if none was given."""

    objects: Mapping[str, Node]
    registration: Registration | None


def check_options(options: ClosureOptions) -> None:
    """Raise a usage error unless ``options`` name one closure."""
    if (options.closure is None) == (options.store_paths is None):
        raise click.UsageError("give either --closure or --store-paths")
    if options.closure is not None and options.registration is not None:
        raise click.UsageError("--closure has a registration; --registration contradicts it")
    if options.store_paths is not None and options.registration is None:
        raise click.UsageError("--store-paths needs --registration")


def read_closure(
    options: ClosureOptions,
    *,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Closure:
    """Read the closure that ``options`` name; ``NixError`` for one that is not whole."""
    if options.closure is not None:
        list_file = os.path.join(options.closure, "store-paths")
        registration_file: str | None = os.path.join(options.closure, "registration")
    else:
        assert options.store_paths is not None
        list_file, registration_file = options.store_paths, options.registration
    names = read_list(list_file)
    registration = None
    if registration_file is not None:
        registration = read_registration(registration_file)
        check_same(names, registration.infos)
    objects = read_objects(names, options.store_dir or STORE, progress=progress, cancel=cancel)
    for name, root in objects.items():
        make_canonical(name, root)
    return Closure(objects, registration)
