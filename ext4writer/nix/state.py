"""Nix's state directory ``var/nix``, next to the store: the database, profiles and GC roots."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..errors import SpecError, TreeError
from ..late_dataclasses import dataclass
from ..tree import Directory, Node, RegularFile, Tree, components
from .database import SCHEMA_VERSION, make_database
from .derivations import SUFFIX, outputs_of
from .errors import NixError
from .registration import Registration
from .store_paths import STORE, full_path

STATE = "/nix/var/nix"
"""The path of the state directory on the running system."""

FOLDERS = (
    *("db", "gcroots", "gcroots/auto", "gcroots/per-user"),
    *("profiles", "profiles/per-user", "temproots"),
)
"""The folders that Nix creates when it opens a store (``src/libstore/local-store.cc``)."""

PROFILE = "profiles/system"


@dataclass(frozen=True)
class State:
    """The state directory in an image."""

    path: str
    """Its path in the image."""
    is_root: bool
    """Whether the image is the root file system, not only ``/nix``."""

    @classmethod
    def next_to(cls, store_at: str, *, needed: bool) -> State:
        """The state directory next to a store at ``store_at``.

        If it is ``needed``, raises :class:`SpecError` for a store that is not called ``store``.
        """
        *above, last = [b"", *components(store_at)]
        if needed and last != b"store":
            raise SpecError(
                "store_at",
                f"{store_at!r} is not called 'store', so {STATE} cannot be next to it",
            )
        prefix = b"/".join(above).decode("utf-8", "surrogateescape")
        return cls(f"{prefix}/var/nix", "/" + store_at.strip("/") == STORE)

    def add_database(self, tree: Tree, registration: Registration, store: Directory) -> None:
        """Add the database of ``registration`` to ``tree``; ``store`` has its derivations.

        Raises :class:`TreeError` if ``tree`` has a database already, and :class:`NixError` for an
        invalid derivation.
        """
        self._make_folders(tree)
        path = f"{self.path}/db/db.sqlite"
        if path in tree:
            raise TreeError(path, "of the files to add is a database already; omit the other one")
        outputs = {
            name: list(_outputs(name, store.children[name.encode()]))
            for name in registration.infos
            if name.endswith(SUFFIX)
        }
        tree.file(path, make_database(registration.infos, outputs), mode=0o644)
        schema = f"{self.path}/db/schema"
        if schema in tree:
            tree.remove(schema)
        tree.file(schema, SCHEMA_VERSION, mode=0o644)

    def add_system(self, tree: Tree, system: str, names: Collection[str]) -> None:
        """Make ``system``, a store path or its base name, the generation to boot.

        Raises :class:`NixError` if it is not among ``names``, and :class:`TreeError` if ``tree``
        has a system profile already.
        """
        name = system.removeprefix(f"{STORE}/")
        if name not in names:
            raise NixError(system, "is to be the system, but is not in the closure")
        self._make_folders(tree)
        for link, target in (
            (f"{PROFILE}-1-link", full_path(name)),
            (PROFILE, "system-1-link"),
        ):
            path = f"{self.path}/{link}"
            if path in tree:
                raise TreeError(path, "of the files to add is a profile of the system already")
            tree.symlink(path, target)
        if not self.is_root:
            return
        if "/etc/NIXOS" not in tree:
            _make_folder(tree, "/etc")
            tree.file("/etc/NIXOS", b"", mode=0o644)
        if "/sbin/init" not in tree:
            _make_folder(tree, "/sbin")
            tree.symlink("/sbin/init", f"{STATE}/{PROFILE}/init")

    def _make_folders(self, tree: Tree) -> None:
        for folder in FOLDERS:
            _make_folder(tree, f"{self.path}/{folder}")
        roots = f"{self.path}/gcroots/profiles"
        if roots not in tree:
            tree.symlink(roots, f"{STATE}/profiles")


def _make_folder(tree: Tree, path: str) -> None:
    """Create a folder and its missing parents; existing folders are not changed."""
    names = components(path)
    for depth in range(1, len(names) + 1):
        above = b"/" + b"/".join(names[:depth])
        if above not in tree:
            tree.directory(above, mode=0o755)
        elif not isinstance(tree[above], Directory):
            raise TreeError(above, "of the files to add must be a directory")


def _outputs(name: str, node: Node) -> Iterable[tuple[str, str]]:
    if not isinstance(node, RegularFile):
        raise NixError(full_path(name), f"is not a derivation, although its name ends in {SUFFIX}")
    data = node.content.read_bytes()
    try:
        return outputs_of(data)
    except ValueError as error:
        raise NixError(full_path(name), str(error)) from None
