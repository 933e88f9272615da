"""Images as virtual disks: qcow2, Android sparse images, and fixed disks of Virtual PC.

Zeros take no space in any of them. The bytes never written are zeros.
"""

from __future__ import annotations

from .disk_facts import DiskFacts
from .sink import Sink


def open_disk(kind: str, path: bytes, size: int, facts: DiskFacts, *, sync: bool) -> Sink:
    """The sink for a virtual disk of ``kind``, a value of ``formats.DISKS``."""
    if kind == "qcow2":
        from .qcow2 import Qcow2Sink

        return Qcow2Sink(path, size, is_compressed=facts.is_compressed, sync=sync)
    if kind == "simg":
        from .android_sparse import SparseImageSink

        return SparseImageSink(path, size, facts.unused, sync=sync)
    from .vhd import VhdSink

    return VhdSink(path, size, facts.uuid, facts.epoch, sync=sync)
