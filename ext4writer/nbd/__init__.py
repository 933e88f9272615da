"""Serves a planned image as a read-only network block device, over a socket.

The protocol is that of https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md: fixed
newstyle negotiation, structured replies and the metadata context ``base:allocation``.
"""

from .address import Address
from .server import Server

__all__ = ["Address", "Server"]
