"""A small Linux guest in QEMU, for what the host's kernel cannot or must not do."""

from .qemu import run_guest

__all__ = ["run_guest"]
