"""An image with a name that ends in ``.zst`` is compressed while it is written."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.builder.command import assert_one_line, assert_untouched, run
from tests.builder.test_bad_input import AT_STAGE
from tests.judges import tools


def test_a_compressed_image_is_the_plain_one(source: Path, out: Path) -> None:
    (source / "text").write_text("".join(f"line {number}\n" for number in range(300_000)))
    assert run("build", source, "-o", out / "a.img").returncode == 0
    found = set()
    for workers in ("1", "3"):
        options = ["--workers", workers, "--quiet", "-o", out / "a.img.zst"]
        done = run("build", source, *options)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        found.add((out / "a.img.zst").read_bytes())
    assert len(found) == 1
    said = tools.run(["zstd", "-lv", out / "a.img.zst"]).stdout
    assert f"({(out / 'a.img').stat().st_size} B)" in said
    tools.run(["zstd", "-q", "-d", out / "a.img.zst", "-o", out / "b.img"])
    assert (out / "b.img").read_bytes() == (out / "a.img").read_bytes()
    assert sorted(os.listdir(out)) == ["a.img", "a.img.zst", "b.img"]


def test_vast_images_of_nothing_are_small(source: Path, out: Path) -> None:
    options = ["--free", "2G", "--quiet"]
    assert run("build", source, *options, "-o", out / "a.img.zst").returncode == 0
    assert (out / "a.img.zst").stat().st_size < 1 << 20
    tools.run(["zstd", "-q", "-t", out / "a.img.zst"])


def test_a_compression_level_needs_a_compressed_name(source: Path, out: Path) -> None:
    for output in ("-", out / "a.img"):
        done = run("build", source, "--zstd-level", "3", "-o", output)
        assert_one_line(done, 2, "--zstd-level", ".zst")
    assert_untouched(out)


@pytest.mark.parametrize("stage", ["scan", "plan", "write"])
@pytest.mark.parametrize("twice", [False, True])
def test_a_signal_leaves_the_older_image(stage: str, twice: bool, source: Path, out: Path) -> None:
    image = out / "a.img.zst"
    image.write_bytes(b"older")
    kill = "os.kill(os.getpid(), signal.SIGTERM)"
    script = AT_STAGE.format(stage=stage, times=1, do=f"{kill}; {kill}" if twice else kill)
    done = run("build", source, "--workers", "2", "-o", image, script=script)
    assert_one_line(done, 128 + signal.SIGTERM, "SIGTERM")
    assert image.read_bytes() == b"older"
    assert os.listdir(out) == ["a.img.zst"]
