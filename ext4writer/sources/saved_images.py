"""Detects container images that are read as ordinary archives or directories.

The output of ``docker save`` is also a tar archive, and an OCI image layout is also a directory.
Read as such, they yield a tree of layers and manifests instead of the files of the image.
"""

from __future__ import annotations

from ..errors import SourceError
from ..tree import Directory, Loss, RegularFile, Tree

DOCUMENT_BYTES = 8 << 20
"""Most bytes of a document in a container image (containers/documents.py)."""


def note_saved_image(tree: Tree, *, is_folder: bool) -> None:
    """Add a loss if ``tree`` is a container image that was read as ordinary files.

    ``is_folder``: the source was a directory of the host, not an archive.
    """
    children = tree.root.children
    layout = isinstance(children.get(b"oci-layout"), RegularFile) and isinstance(
        children.get(b"index.json"), RegularFile
    )
    kinds = []
    if _lists_images(children.get(b"manifest.json")):
        kinds.append(("docker-archive:", "docker_archive", "what docker save writes"))
    if layout and isinstance(children.get(b"blobs"), Directory):
        kinds.append(("oci:", "oci", "an OCI image layout"))
    if not kinds:
        return
    prefix, function, what = kinds[0]
    what += ", unpacked" if is_folder and prefix != "oci:" else ""
    tree.losses.append(
        Loss(
            b"/",
            f"the source is {what}, and its layers are taken as plain files; for the files of the "
            f"image write {prefix} before its name, or call sources.{function}",
            "saved-image",
        )
    )


def _lists_images(node: object) -> bool:
    """Whether ``node`` is the ``manifest.json`` of ``docker save``."""
    if not isinstance(node, RegularFile) or not 0 < node.content.size <= DOCUMENT_BYTES:
        return False
    import json  # late: few trees have such a file

    try:
        listed = json.loads(node.content.read_bytes())
    except (SourceError, ValueError, RecursionError):
        return False  # an unreadable file is reported when its content is needed
    if not isinstance(listed, list) or not listed:
        return False
    return all(isinstance(one, dict) and {"Config", "Layers"} <= one.keys() for one in listed)
