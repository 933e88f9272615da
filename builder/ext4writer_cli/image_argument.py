"""What all commands that read an image share: the argument IMAGE, and reports of damage."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from .options import PATH, SIZE, GroupedOption

if TYPE_CHECKING:
    from ext4writer import DamageError
    from ext4writer.read import Image, OnDamage

Command = Callable[..., Any]

DAMAGE_SHOWN = 20
HEADING = "The image"


class ImageLocation:
    """Where an image is and how to open it; see :func:`image_argument`."""

    def __init__(
        self,
        image: str,
        offset: int,
        superblock: int | None,
        replay: bool,
        journal: str | None = None,
    ) -> None:
        self.path, self.partition = _partition(image)
        self.offset = offset
        self.superblock = superblock
        self.replay = replay or journal is not None
        self.journal = journal

    @contextmanager
    def open(self, damage: DamageLog | None = None) -> Iterator[Image]:
        """Yield the image. Damage that does not stop reading is printed, and the status is 1.

        ``damage`` collects that damage, if given.
        """
        damage = DamageLog() if damage is None else damage
        try:
            with self.open_with(damage.add) as image:
                if image.format.needs_recovery and not self.replay:
                    click.echo("the journal needs recovery; --replay applies it", err=True)
                yield image
        finally:
            damage.print()
        if damage.count:
            raise click.exceptions.Exit(1)

    @contextmanager
    def open_journal(self, image: Image) -> Iterator[Image]:
        """Yield the image that holds the journal of ``image``: itself, or the --journal device.

        Raises a usage error if there is no journal, or if it is on a device that was not named.
        """
        from ext4writer.read import open_image
        from ext4writer.read.journal import Journal

        fmt = image.format
        if self.journal is not None:
            with open_image(self.journal, on_damage=image.on_damage) as device:
                Journal(image, device)  # refuses the journal of another file system
                yield device
            return
        if fmt.has_journal and not image.number("s_journal_inum"):
            raise click.UsageError(
                f"the journal of {self.path} is on an external device; name it with --journal"
            )
        if not fmt.has_journal and not fmt.journal_dev:
            raise click.UsageError(f"{self.path} has no journal")
        yield image

    def open_with(self, on_damage: OnDamage) -> Image:
        """Return the image; ``on_damage`` is called for damage that does not stop reading."""
        from ext4writer.read import open_image

        return open_image(
            self.path,
            offset=self.offset,
            partition=self.partition,
            superblock=self.superblock,
            replay=self.replay,
            journal=self.journal,
            on_damage=on_damage,
        )


def _partition(text: str) -> tuple[str, int | None]:
    """Split ``DISK:N`` into path and partition number, unless a file has that entire name."""
    matched = re.fullmatch(r"(.+):([0-9]{1,4})", text, re.DOTALL)
    if matched is None or os.path.exists(text):
        return text, None
    return matched[1], int(matched[2])


class DamageLog:
    """Collects damage: how often it was reported, and the first few messages."""

    def __init__(self) -> None:
        self.count = 0
        self._lines: dict[str, None] = {}

    def add(self, error: DamageError) -> None:
        """Count one report of damage; equal messages are kept once."""
        self.count += 1
        if len(self._lines) <= DAMAGE_SHOWN:
            self._lines[str(error)] = None

    def print(self) -> None:
        """Print the messages on standard error."""
        for line in list(self._lines)[:DAMAGE_SHOWN]:
            click.echo(f"damaged: {line}", err=True)
        if len(self._lines) > DAMAGE_SHOWN:
            click.echo("and more; 'ext4writer check' prints all", err=True)


def image_argument(command: Command) -> Command:
    """Add the argument IMAGE and the options that locate the file system in it."""
    return image_arguments("image")(command)


def image_arguments(*names: str) -> Callable[[Command], Command]:
    """Add an argument for each image, and options that locate the file system in all of them.

    The command receives a :class:`ImageLocation` for each image, in their order.
    """

    def decorate(command: Command) -> Command:
        def run(
            offset: int,
            superblock: int | None,
            replay: bool,
            journal: str | None,
            *arguments: Any,
            **chosen: Any,
        ) -> None:
            places = [
                ImageLocation(chosen.pop(name), offset, superblock, replay, journal)
                for name in names
            ]
            command(*places, *arguments, **chosen)

        run.__doc__, run.__name__ = command.__doc__, command.__name__
        # The options that click has recorded below this decorator.
        run.__dict__.update(command.__dict__)
        decorated: Command = click.option(
            "--journal",
            type=PATH,
            metavar="DEVICE",
            cls=GroupedOption,
            heading=HEADING,
            help="Apply the external journal on DEVICE while reading; nothing is written.",
        )(run)
        decorated = click.option(
            "--replay",
            is_flag=True,
            cls=GroupedOption,
            heading=HEADING,
            help="Apply a journal that needs recovery while reading; nothing is written.",
        )(decorated)
        for flag, help_text in (
            ("--superblock", "Use the superblock backup at this byte of the file system."),
            ("--offset", "The file system begins at this byte of IMAGE, or of the partition."),
        ):
            decorated = click.option(
                flag,
                type=SIZE,
                metavar="SIZE",
                default="0" if flag == "--offset" else None,
                cls=GroupedOption,
                heading=HEADING,
                help=help_text,
            )(decorated)
        for name in reversed(names):
            decorated = click.argument(name, type=PATH, metavar=name.upper())(decorated)
        return decorated

    return decorate
