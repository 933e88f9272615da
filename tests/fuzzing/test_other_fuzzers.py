"""AFL++ and atheris call our mutators and use our seeds; checksums stay right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import ext4writer
from ext4writer.damage import reseal
from ext4writer.fuzzing import Recipe, afl, custom_mutator, mutate
from ext4writer_cli.cli import commands
from tests.judges.tools import require, require_importable

from .test_findings import image_of

pytestmark = pytest.mark.damaged

SEED = Recipe.parse("ext4writer recipe 1\nfile /f size=100\nspec journal=none\n")


def search_path() -> str:
    """Where AFL++'s own Python finds the library and its dependencies."""
    package = Path(ext4writer.__file__).parents[1]
    return os.pathsep.join([str(package), *sys.path[1:]])


def test_both_forms_of_a_mutator() -> None:
    image = SEED.image()
    assert custom_mutator(image, 1 << 20, 7) == mutate(image, 7, 1 << 20) != image
    first = []
    for _ in range(2):
        afl.init(5)
        first.append([afl.fuzz(bytearray(image), None, 1 << 20) for _ in range(3)])
        afl.deinit()
    assert first[0] == first[1] and len({bytes(each) for each in first[0]}) == 3
    assert all(reseal(bytes(each)) == each for each in first[0])
    assert len(afl.fuzz(bytearray(image), bytearray(b"x"), 5)) == 5


def test_afl_plus_plus_calls_it(tmp_path: Path) -> None:
    fuzzer = require("afl-fuzz")
    for name in ("in", "seen"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "seed").write_bytes(SEED.image())
    target = tmp_path / "target"
    target.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/seen/$$\n')
    target.chmod(0o755)
    environment = {
        "AFL_PYTHON_MODULE": "ext4writer.fuzzing.afl",
        "PYTHONPATH": search_path(),
        **dict.fromkeys(("AFL_CUSTOM_MUTATOR_ONLY", "AFL_NO_UI", "AFL_NO_AFFINITY"), "1"),
        **dict.fromkeys(("AFL_SKIP_CPUFREQ", "AFL_BENCH_UNTIL_CRASH"), "1"),
        "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1",
    }
    done = subprocess.run(
        [fuzzer, "-n", "-s", "1", "-V", "3", "-i", "in", "-o", "out", "--", str(target), "@@"],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    seen = [path.read_bytes() for path in (tmp_path / "seen").iterdir()]
    assert len(seen) > 10, done.stdout[-2000:]
    assert len(set(seen)) > 8 and all(reseal(image) == image for image in seen)


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="atheris has no wheels for it")
def test_atheris_calls_it(tmp_path: Path) -> None:
    require_importable("atheris", "atheris")
    harness = tmp_path / "harness.py"
    harness.write_text(
        "import sys, atheris\n"
        "from ext4writer.damage import reseal\n"
        "from ext4writer.fuzzing import custom_mutator\n"
        "@atheris.instrument_func\n"
        "def look(data):\n"
        "    if len(data) > 2000:\n"
        "        print('sealed' if reseal(data) == data else 'broken', flush=True)\n"
        "        if data[1080] == 0x53: print('magic')\n"
        "atheris.Setup(sys.argv, look, custom_mutator=custom_mutator)\n"
        "atheris.Fuzz()\n"
    )
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "seed").write_bytes(SEED.image())
    done = subprocess.run(
        [sys.executable, harness, "-runs=100", "-seed=1", "-max_len=1048576", corpus],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": search_path()},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sealed") > 50 and "broken" not in done.stdout


@pytest.mark.slow
def test_seeds_in_the_form_of_other_fuzzers(tmp_path: Path) -> None:
    for program in ("afl", "syzkaller"):
        arguments = ["fuzz", "corpus", "--for", program, "-o", str(tmp_path / program)]
        assert CliRunner().invoke(commands, arguments).exit_code == 0
    images = [path.read_bytes() for path in (tmp_path / "afl").iterdir()]
    assert len(images) > 25 and max(map(len, images)) <= 1 << 20
    assert {image[1080:1082] for image in images} == {b"\x53\xef"}
    programs = list((tmp_path / "syzkaller").iterdir())
    assert len(programs) > 25
    assert all(image_of(program)[1080:1082] == b"\x53\xef" for program in programs[:5])
    assert CliRunner().invoke(commands, ["fuzz", "corpus", "--for", "afl"]).exit_code == 2
