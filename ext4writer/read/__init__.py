"""Reads ext2, ext3 and ext4 images that any program has written; nothing in them is trusted.

    with open_image("root.img") as image:
        image.superblock["s_blocks_count"]          # each number of the superblock
        image.format                                # what its features and sizes mean
        image.lookup("/etc/passwd").size            # an Inode, found through the index
        image.open("/etc/passwd").read()            # a raw, seekable file object
        for found in image.walk():                  # Found: path, entry, inode
            found.path, found.inode.kind, found.inode.xattrs()

For programs that need more details:

=========================  ===========================================================
``Image``                  ``superblock``, ``format``, ``block``, ``read``, ``descriptor(group)``,
                           ``inode(ino)``, ``inodes()``, ``unit_runs()``, ``damage(error)``
``Inode``                  decoded numbers, ``raw`` bytes and ``offset``, ``runs()``,
                           ``mapping()`` with the blocks of its tree, ``expected_checksum()``
``directories``            ``blocks``, ``block_entries``, ``find``, ``expected_checksum``
``xattrs``                 ``in_inode``, ``in_block``, ``value_of``, ``encryption_context``
``partitions``             the partition tables of MBR and GPT disks
=========================  ===========================================================

Damage is a :class:`~ext4writer.DamageError` with record, field and byte offset. Without
``on_damage`` the first one is raised. With ``on_damage``, each one is passed to it, and reading
continues with what can still be read. Damage that makes it impossible to continue is always raised.
Work and memory are bounded by the size of the image, since nothing is followed twice.
"""

from __future__ import annotations

from ..errors import DamageError, ImageError, NotFoundError
from ..ondisk.units import Unit, UnitKind, UnitRun
from .directories import Entry
from .files import FileReader
from .image import Image, OnDamage, open_image
from .inodes import Inode
from .mapping import FileExtent, TreeBlock
from .partitions import Partition
from .stores import Source
from .walk import Found

__all__ = [
    "DamageError",
    "Entry",
    "FileReader",
    "Found",
    "Image",
    "ImageError",
    "Inode",
    "NotFoundError",
    "OnDamage",
    "Partition",
    "FileExtent",
    "Source",
    "TreeBlock",
    "Unit",
    "UnitKind",
    "UnitRun",
    "open_image",
]
