"""Exceptions that end the command with a message."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 (not always an error: the user may have answered no)
    """Ends the command with status 1. The message, if any, is printed unchanged."""

    def __init__(self, message: str = "", *, to_stdout: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.to_stdout = to_stdout


class Mistake(Refusal):
    """A refusal whose message is printed after the program's name, as com_err(3) prints it."""


def unsupported(what: str, why: str) -> Mistake:
    """Return the refusal of a function of mke2fs that this program lacks."""
    return Mistake(f"{what} is not supported: {why}")
