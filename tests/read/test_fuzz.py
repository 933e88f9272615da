"""Reading damaged images ends deliberately; ``python -m tests.read.fuzz`` tests more of them."""

from __future__ import annotations

import random
from pathlib import Path

from click.testing import CliRunner

from ext4writer import Ext4WriterError
from ext4writer_cli.cli import commands
from tests.judges import tools
from tests.judges.watch import Watch

from . import fuzz


def test_damaged_images_are_read_to_a_deliberate_end() -> None:
    seen = fuzz.run(120)
    assert seen["damage heard"] > 20 and seen["nothing heard"] > 5


def test_intact_images_are_read_without_errors() -> None:
    for seed in fuzz.seeds():
        heard: list[Exception] = []
        fuzz.read_everything(fuzz.Mutant(seed.data), heard)
        assert not heard, (seed.name, heard[:3])
    tools.require("mke2fs")  # it created most of them


def test_seeds_that_failed_once() -> None:
    """A root that is no directory, a table without inodes, an inline file of terabytes.

    A journal without a file system, asked for its root; descriptors of missing groups.
    """
    for number in (24, 1080, 1810, 21656):
        fuzz.run(1, number)
    for number in (100011922, 300021749):
        fuzz.run(1, number, files=fuzz.FEW_FILES)


COMMANDS = (
    ("info",),
    ("ls", "-l", "-R"),
    ("tree",),
    ("stat", "/many", "/a", "/holes"),
    ("cat", "/holes"),
    ("find", "--type", "f"),
    ("find", "--block", "77"),
    ("show", "superblock"),
    ("show", "group", "0"),
    ("show", "directory", "/many"),
    ("show", "xattrs", "/a"),
    ("show", "units"),
    ("show", "journal"),
    ("show", "block", "5", "--annotate"),
    ("check", "--data"),
    ("manifest",),
    ("info", "--replay"),
)


def test_every_command_ends_deliberately_on_damage(tmp_path: Path, watch: Watch) -> None:
    runner = CliRunner()
    image = tmp_path / "image"
    watch.damaged(image)
    for number in range(300, 310):
        chance = random.Random(number)
        image.write_bytes(fuzz.damaged(chance.choice(fuzz.seeds()), chance).whole())
        out = tmp_path / f"out{number}"
        writing = (
            ("extract", "-C", str(out)),
            ("extract", "--tar", f"{out}.tar"),
            ("map", "-o", f"{out}.svg"),
            ("map", "-o", f"{out}.html"),
            ("diff", str(image)),
        )
        for name, *rest in (*COMMANDS, *writing):
            done = runner.invoke(commands, [name, str(image), *rest])
            if done.exception is not None and not isinstance(done.exception, SystemExit):
                assert isinstance(done.exception, Ext4WriterError), (number, name, done.exc_info)
        fuzz.unsealed(str(tmp_path))
    assert {entry.name[:3] for entry in tmp_path.iterdir()} == {"ima", "out"}
