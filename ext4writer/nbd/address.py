"""Addresses of servers: ``unix:PATH``, or ``HOST:PORT`` on this machine."""

from __future__ import annotations

import socket

from ..checked import check_fields, checked, refuse_unknown
from ..errors import SpecError
from ..late_dataclasses import dataclass

OPTION = "nbd"
PORT_MOST = 65535
DEFAULT_PORT = 10809
"""The port that IANA assigned to NBD."""


@dataclass(frozen=True)
class Address:
    """An address to listen at: the ``path`` of a Unix socket, or ``host`` and ``port``."""

    _refuse_unknown = refuse_unknown

    path: str = ""
    host: str = ""
    port: int = DEFAULT_PORT

    def __post_init__(self) -> None:
        """Raises :class:`SpecError` for a value of the wrong type."""
        check_fields(self)

    @classmethod
    @checked()
    def parse(cls, text: str) -> Address:
        """Parse ``unix:PATH``, ``HOST:PORT``, ``[IPV6]:PORT`` or ``HOST``.

        Raises :class:`SpecError` for anything else.
        """
        kind, _, path = text.partition(":")
        if kind == "unix":
            if not path:
                raise SpecError(OPTION, "unix: needs the path of the socket after it")
            return cls(path=path)
        host, port = text, str(DEFAULT_PORT)
        if text.startswith("["):
            host, _, rest = text[1:].partition("]")
            port = rest.removeprefix(":") or port
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        if not host or host.isdecimal():  # the resolver takes a number for an IPv4 address
            raise SpecError(OPTION, f"{text!r} is neither unix:PATH nor HOST:PORT")
        if not (port.isascii() and port.isdigit() and int(port) <= PORT_MOST):
            raise SpecError(OPTION, f"{port!r} is not a port; ports are 0 to {PORT_MOST}")
        return cls(host=host, port=int(port))

    def check_is_local(self) -> None:
        """Raise :class:`SpecError` for an address that other machines can reach."""
        if self.path:
            return
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise SpecError(OPTION, f"{self.host}: {error.strerror}") from error
        except UnicodeError:
            raise SpecError(OPTION, f"{self.host!r:.80} is not a host name") from None
        import ipaddress  # late: most servers listen at a path

        for *_, place in found:
            if not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback:
                raise SpecError(
                    OPTION,
                    f"{place[0]} can be reached by other machines, and this server has neither "
                    "passwords nor encryption; use --listen-anywhere if that is intended",
                )

    @property
    def uri(self) -> str:
        """The NBD URI for clients."""
        if self.path:
            from urllib.parse import quote

            return f"nbd+unix:///?socket={quote(self.path)}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"nbd://{host}:{self.port}"
