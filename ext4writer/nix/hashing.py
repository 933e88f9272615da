"""Hashes store objects as archives in several threads, to verify or to register them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping

from ..progress import Cancel, check_cancelled
from ..sources.nar_dump import dump_nar, nar_size
from ..threads import helpers
from ..tree import Node
from .errors import NixError
from .hashes import to_base32
from .references import Candidates, ReferenceScanner
from .registration import PathInfo
from .store_paths import full_path


def verify_objects(
    objects: Mapping[str, Node],
    infos: Mapping[str, PathInfo],
    *,
    workers: int = 1,
    cancel: Cancel | None = None,
) -> None:
    """Hash every object; raise ``NixError`` for the first, by name, that is not as registered."""
    sizes = {name: nar_size(root) for name, root in objects.items()}
    for name, size in sizes.items():
        check_size(infos[name], size)

    def check(name: str) -> None:
        digest = hashlib.sha256()
        dump_nar(objects[name], digest.update, cancel)
        check_hash(infos[name], digest.digest())

    in_parallel(check, largest_first(sizes), workers, cancel)


def check_size(info: PathInfo, size: int) -> None:
    """Raise ``NixError`` unless ``size`` is the registered size of the archive in bytes."""
    if size != info.nar_size:
        raise NixError(
            full_path(info.name),
            f"its archive has {size} bytes, and {info.nar_size} are registered; "
            "it was changed after registration",
        )


def check_hash(info: PathInfo, nar_hash: bytes) -> None:
    """Raise ``NixError`` unless ``nar_hash`` is the registered hash of the archive."""
    if nar_hash != info.nar_hash:
        raise NixError(
            full_path(info.name),
            f"its archive has the hash sha256:{to_base32(nar_hash)}, and "
            f"sha256:{to_base32(info.nar_hash)} is registered; it was changed after registration",
        )


def describe(
    objects: Mapping[str, Node], *, workers: int = 1, cancel: Cancel | None = None
) -> dict[str, PathInfo]:
    """Compute hash, size and references of every object; only references to ``objects`` count."""
    candidates = Candidates(objects)
    found: dict[str, PathInfo] = {}

    def look(name: str) -> None:
        digest = hashlib.sha256()
        scanner = ReferenceScanner(candidates)

        def take(piece: memoryview) -> None:
            digest.update(piece)
            scanner.feed(piece)

        size = dump_nar(objects[name], take, cancel)
        found[name] = PathInfo(name, digest.digest(), size, tuple(sorted(scanner.found)))

    sizes = {name: nar_size(root) for name, root in objects.items()}
    in_parallel(look, largest_first(sizes), workers, cancel)
    return {name: found[name] for name in objects}


def largest_first(sizes: Mapping[str, int]) -> list[str]:
    """The names, largest first, the order in which several threads finish soonest."""
    return sorted(sizes, key=lambda name: (-sizes[name], name))


def in_parallel(
    work: Callable[[str], None], names: Iterable[str], workers: int, cancel: Cancel | None
) -> None:
    """Call ``work`` for each of ``names`` in ``workers`` threads, including the calling one.

    After the first error, no more calls are started. Of several errors, the one for the smallest
    name is raised.
    """
    pending = iter(names)
    failures: list[tuple[str, BaseException]] = []
    lock = threading.Lock()

    def run() -> None:
        while not failures:
            with lock:
                name = next(pending, None)
            if name is None:
                return
            try:
                check_cancelled(cancel)
                work(name)
            except BaseException as error:
                failures.append((name if isinstance(error, Exception) else "", error))

    threads = helpers(run, workers - 1)
    try:
        run()
    finally:
        for thread in threads:
            thread.join()
    if failures:
        raise min(failures, key=lambda failure: failure[0])[1]
