"""How the command ends when it does not do what it was asked for."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 (it ends the command as mke2fs ends)
    """Ends the command with status 1. The message is printed as it is, if there is one."""

    def __init__(self, message: str = "", *, to_stdout: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.to_stdout = to_stdout


class Mistake(Refusal):
    """The same, with the name of the program before the message, as com_err(3) prints it."""


def not_here(what: str, why: str) -> Mistake:
    """The refusal of something that mke2fs does and this program does not."""
    return Mistake(f"{what} is not supported: {why}")
