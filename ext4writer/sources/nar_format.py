"""The tokens of a Nix archive (NAR), shared by its reader and its writer.

The format is a sequence of strings: a little-endian 64-bit length, the bytes, and zeros up to the
next multiple of eight (Nix manual, "Nix Archive (NAR) Format"; Dolstra's thesis, figure 5.2):

    nar       = "nix-archive-1" node
    node      = "(" "type" ( regular | symlink | directory ) ")"
    regular   = "regular" [ "executable" "" ] "contents" bytes
    symlink   = "symlink" "target" bytes
    directory = "directory" { "entry" "(" "name" name "node" node ")" }, names ascending as bytes
"""

from __future__ import annotations

from .. import arithmetic

LENGTH_BYTES = 8
ALIGNMENT = 8

EXECUTABLE = 0o100
"""The only mode bit that an archive stores: whether the owner may execute a file."""

EXECUTABLE_MODE = 0o555
FILE_MODE = 0o444
DIRECTORY_MODE = 0o555
SYMLINK_MODE = 0o777
"""The modes that Nix sets when it unpacks an archive into a store."""


def padding(size: int) -> int:
    """Number of zero bytes after a string of ``size`` bytes."""
    return arithmetic.padding(size, ALIGNMENT)


def word(data: bytes) -> bytes:
    """``data`` encoded as a string of the archive."""
    return len(data).to_bytes(LENGTH_BYTES, "little") + data + bytes(padding(len(data)))


def words(*texts: bytes) -> bytes:
    """Several strings, encoded and concatenated."""
    return b"".join(map(word, texts))


MAGIC = words(b"nix-archive-1")
NODE = words(b"(", b"type")
REGULAR = words(b"regular")
EXECUTABLE_MARK = words(b"executable", b"")
CONTENTS = words(b"contents")
SYMLINK = words(b"symlink", b"target")
DIRECTORY = words(b"directory")
ENTRY = words(b"entry", b"(", b"name")
ENTRY_NODE = words(b"node")
CLOSE = words(b")")
