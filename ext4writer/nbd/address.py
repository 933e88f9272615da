"""Where a server listens: ``unix:PATH``, or ``HOST:PORT`` on this machine."""

from __future__ import annotations

import socket

from ..checked import check_fields, checked, refuse_unknown
from ..errors import SpecError
from ..late_dataclasses import dataclass

OPTION = "nbd"
PORT_MOST = 65535
DEFAULT_PORT = 10809
"""The port that IANA gave to NBD."""


@dataclass(frozen=True)
class Address:
    """A place to listen at; ``path`` is that of a unix socket, or else ``host`` and ``port``."""

    _refuse_unknown = refuse_unknown

    path: str = ""
    host: str = ""
    port: int = DEFAULT_PORT

    def __post_init__(self) -> None:
        """Raises :class:`SpecError` for a value of another type."""
        check_fields(self)

    @classmethod
    @checked()
    def parse(cls, text: str) -> Address:
        """``unix:PATH``, ``HOST:PORT``, ``[IPV6]:PORT`` or ``HOST``; SpecError for others."""
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
        if not host or host.isdecimal():  # the resolver takes a number for an address of IPv4
            raise SpecError(OPTION, f"{text!r} is neither unix:PATH nor HOST:PORT")
        if not (port.isascii() and port.isdigit() and int(port) <= PORT_MOST):
            raise SpecError(OPTION, f"{port!r} is no port; there are 0 to {PORT_MOST}")
        return cls(host=host, port=int(port))

    def check_is_local(self) -> None:
        """Raise :class:`SpecError` for an address that other machines reach."""
        if self.path:
            return
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise SpecError(OPTION, f"{self.host}: {error.strerror}") from error
        except UnicodeError:
            raise SpecError(OPTION, f"{self.host!r:.80} is no name of a host") from None
        import ipaddress  # late: most servers listen at a path

        for *_, place in found:
            if not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback:
                raise SpecError(
                    OPTION,
                    f"{place[0]} is no address of this machine alone: the protocol has neither "
                    "passwords nor encryption here; ask for --listen-anywhere if that is meant",
                )

    @property
    def uri(self) -> str:
        """As clients take it."""
        if self.path:
            from urllib.parse import quote

            return f"nbd+unix:///?socket={quote(self.path)}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"nbd://{host}:{self.port}"
