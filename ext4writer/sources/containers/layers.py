"""Layers: archives of changes, applied to a tree in order.

Source: OCI image-spec 1.1, layer.md. Where that is silent, layers behave as in overlayfs, on which
containers run: a layer does not see the links in the layers below.
"""

from __future__ import annotations

from ...losses import LossRecord
from ...resolution import resolve
from ...tree import S_IFLNK, Directory, Loss, Node, Tree
from ..tar_archive import HARD_LINK, Member
from ..tar_archive.assembly import Assembly
from ..tar_archive.limits import Usage

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
RESERVED = b".wh..wh."
"""Prefix of internal files of AUFS; containerd skips them, too."""


class Layer(Assembly):
    """The changes that one layer makes to ``lower``, the tree of the layers below it.

    Members are added in archive order; :meth:`apply` then makes the changes. If a member's path
    goes through a symbolic link of this layer, the link is followed inside the image, as every
    program that unpacks layers does. A symbolic link of a lower layer is replaced by a directory.
    """

    def __init__(
        self,
        lower: Tree,
        usage: Usage,
        losses: list[Loss],
        record: LossRecord,
        *,
        secure_symlinks: bool = False,
    ) -> None:
        """``losses`` collects the losses of this layer; ``record`` has those of applied layers."""
        super().__init__({}, usage, losses, secure_symlinks=secure_symlinks)
        self._lower = lower
        self._record = record
        self._whiteouts: set[bytes] = set()
        self._opaque: set[bytes] = set()
        self._has_links = False

    def add(self, member: Member) -> None:
        """Add a member; raises :class:`ArchiveError` if it cannot be unpacked."""
        if WHITEOUT in member.path and self._record_whiteout(member):
            return
        member.path = self._resolve_parents(member.path, member)
        super().add(member)
        if member.kind in (S_IFLNK, HARD_LINK):
            self._has_links = True

    def apply(self) -> None:
        """Change the lower tree, and keep in the record only the losses that still apply."""
        self.resolve_pending_links()
        for path in sorted(self._whiteouts):
            head, _, name = path.rpartition(b"/")
            parent = _directory_at(self._lower.root, head)
            if parent is not None and parent.children.pop(name, None) is not None:
                self._record.drop_below(path)
            self._create_implied(head)
        for path in sorted(self._opaque):
            directory = _directory_at(self._lower.root, path)
            if directory is not None:
                for name in directory.children:
                    self._record.drop_below(path + b"/" + name)
                directory.children.clear()
            self._create_implied(path)
        self._record.drop_covered(self.root)
        self._record.add(self.losses_by_tree_path())
        self._lower.apply_layer(Tree(self.root))

    def _create_implied(self, path: bytes) -> None:
        """Create a directory at ``path``, which has a whiteout, unless this layer has a file there.

        A file is possible: when it replaces a directory, umoci also whites out the old entries.
        """
        folder = self.root
        for name in path.split(b"/") if path else ():
            node = folder.children.get(name)
            if node is None:
                node = folder.children[name] = Directory(implied=True)
                self._usage.add_implied(path)
            if not isinstance(node, Directory):
                return
            folder = node

    def _record_whiteout(self, member: Member) -> bool:
        """Record a whiteout, represented by any kind of file; False for other members."""
        *above, name = member.path.split(b"/")
        reserved = [one for one in above if one.startswith(WHITEOUT)]
        if any(not one.startswith(RESERVED) for one in reserved):
            raise self._error(member, "is below a whiteout, which is not a directory")
        if reserved or (name.startswith(RESERVED) and name != OPAQUE):
            self._usage.add_loss(
                self._losses,
                b"/" + member.path,
                "is reserved for internal use by AUFS; left out",
                "left-out",
            )
            return True
        if not name.startswith(WHITEOUT):
            return False
        place = self._resolve_parents(member.path, member)
        folder, _, _ = place.rpartition(b"/")
        self._usage.keep(len(place), member.path, member.offset)
        if name == OPAQUE:
            self._opaque.add(folder)
            return True
        hidden = name[len(WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise self._error(member, "is a whiteout of something that cannot be a name")
        self._whiteouts.add(folder + b"/" + hidden if folder else hidden)
        return True

    def _resolve_parents(self, path: bytes, member: Member) -> bytes:
        """``path`` with the symbolic links of this layer among its parents resolved."""
        head = path.rpartition(b"/")[0]
        if not self._has_links or head in self._folders:
            return path
        place = resolve(path.split(b"/"), [self.root])
        if place.is_endless:
            raise self._error(member, place.problem)
        if place.links:
            self._record_links(place, "is", member)
        return b"/".join(place.names)

    def _find_outside(self, path: bytes) -> Node | None:
        """The node at ``path`` in the layers below, before whiteouts take effect."""
        roots = [self.root, self._lower.root]
        place = resolve(path.split(b"/"), roots)
        if place.is_endless or not place.names:
            return None
        *above, name = place.names
        for root in roots:
            parent = _directory_at(root, b"/".join(above))
            if parent is not None and name in parent.children:
                return parent.children[name]
        return None


def _directory_at(root: Directory, path: bytes) -> Directory | None:
    """The directory at ``path``; None if there is none. Links are not followed."""
    node: Node | None = root
    for name in path.split(b"/") if path else ():
        if not isinstance(node, Directory):
            return None
        node = node.children.get(name)
    return node if isinstance(node, Directory) else None
