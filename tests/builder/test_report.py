from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ext4writer import Loss, Spec, plan, sources
from ext4writer.planning.report_text import DIGESTS_SHOWN, LOSSES_SHOWN
from ext4writer.units import exact_bytes, parse_size
from ext4writer_cli.report import Report
from tests.builder.command import run

REPORT = Report(
    image="out/a.img",
    size=20480,
    block_size=1024,
    blocks=20,
    free_blocks=4,
    inodes=32,
    free_inodes=20,
    available=4096,
    grow_to=1 << 30,
    inodes_per_gib=2048,
    table_bytes_for_growth=0,
    uuid="12345678-1234-5678-1234-567812345678",
    hash_seed="87654321-1234-5678-1234-567812345678",
    label="root",
    features=("has_journal", "extent"),
    entries={"directory": 2, "file": 1234, "socket": 0},
    content=10000,
    shared=0,
    space={"data": 12288, "free": 8192, "journal": 0},
    journal_device=None,
    verity={},
    losses=(),
    seconds={"scan": 0.12345, "plan": 0.5},
)


def losses(count: int) -> tuple[Loss, ...]:
    return tuple(Loss(b"/file-%d\xff\n" % number, "lost") for number in range(count))


def test_text_is_plain_and_names_everything() -> None:
    assert (
        REPORT.as_text()
        == """\
out/a.img: 20.0 KiB (20,480 bytes)
  UUID       12345678-1234-5678-1234-567812345678
  hash seed  87654321-1234-5678-1234-567812345678
  label      root
  blocks     20 of 1,024 bytes, 4 free
  inodes     32, 20 free
  room       4.0 KiB for every user
  growth     up to 1.0 GiB, 2,048 inodes for each GiB
  features   has_journal extent
Entries
  directories      2
  files        1,234
Space
  data    12,288   60.0 %
  free     8,192   40.0 %
  in all  20,480  100.0 %
Seconds
  scan  0.12
  plan  0.50"""
    )


def test_text_says_where_the_image_is() -> None:
    assert replace(REPORT, image=None).as_text().startswith("The image would have 20.0 KiB")
    assert replace(REPORT, image="-").as_text().startswith("standard output: ")
    assert replace(REPORT, label="").as_text().count("(none)") == 1


def test_text_lists_the_first_digests() -> None:
    digests = {f"/bin/{number}\udcff": f"sha256:{number:064x}" for number in range(1000)}
    lines = replace(REPORT, verity=digests).as_text().splitlines()
    assert "Files with verity" in lines
    assert lines.count(f"  sha256:{7:064x} /bin/7\\xff") == 1
    assert f"  and {1000 - DIGESTS_SHOWN} more; --json lists all" in lines


@pytest.mark.parametrize("more", [0, 1, 5000])
def test_text_lists_the_first_losses_in_one_line_each(more: int) -> None:
    lines = replace(REPORT, losses=losses(LOSSES_SHOWN + more)).as_text().splitlines()
    assert lines.count("  /file-7\\xff\\x0a: lost") == 1
    assert sum(line.endswith(": lost") for line in lines) == LOSSES_SHOWN
    assert (f"  and {more:,} more; --json lists all" in lines) == (more > 0)


def test_json_lists_every_loss() -> None:
    text = replace(REPORT, losses=losses(100)).as_json()
    assert text.isascii()
    facts = json.loads(text)
    assert len(facts["losses"]) == 100
    assert facts["losses"][3] == {"path": "/file-3\udcff\n", "what": "lost", "code": "other"}
    assert facts["seconds"] == {"scan": 0.123, "plan": 0.5}
    assert sum(facts["space"].values()) == facts["size"]


def test_the_report_of_the_library_is_printed_as_the_command_prints_it(tmp_path: Path) -> None:
    """Except for what only the command has: the image's name, its sources, and the times."""
    (tmp_path / "f").write_bytes(b"f" * 5000)
    os.utime(tmp_path / "f", (2e9, 2e9))
    os.utime(tmp_path, (5, 5))
    printed = run("plan", tmp_path, "--epoch", "1000", "--label", "root").stdout
    tree = sources.directory(tmp_path)
    report = plan(tree, Spec(epoch=1000, label="root")).report()
    facts, _, rest = printed.partition("Sources\n")
    contents = rest[rest.index("Entries") :].partition("\nSeconds")[0]
    assert str(report).splitlines()[0] == f"The image has {exact_bytes(report.size)}"
    assert str(report).splitlines()[1:] == [*facts.splitlines()[1:], *contents.splitlines()]
    assert parse_size(facts.splitlines()[0].partition(" have ")[2]) == report.size
    assert "Not kept exactly" in contents
    assert "1,000 more; report.losses has all" in str(
        replace(report, losses=losses(LOSSES_SHOWN + 1000))
    )
