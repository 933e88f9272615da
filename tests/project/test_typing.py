"""Programs that use the library pass ``mypy --strict``, and behave as their types say."""

from __future__ import annotations

import subprocess
import sys
import typing
from pathlib import Path

import pytest

import ext4writer
from tests.makers import clients

ROOT = Path(__file__).parents[2]


def mypy(path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Check ``path`` as a program in a separate folder, with the library installed."""
    cache = ROOT / ".mypy_cache" / "clients"
    options = ["--strict", "--no-error-summary", "--config-file=", f"--cache-dir={cache}"]
    return subprocess.run(
        [sys.executable, "-m", "mypy", *options, path], cwd=cwd, capture_output=True, text=True
    )


def test_clients_pass_mypy(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(Path(clients.__file__).read_text())
    done = mypy(program, tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "line",
    [
        "Spec(label=5)",
        "Spec(block_size=None)",
        "Spec(features=['extent'])",
        "write_image(Tree(), 5)",
        "from ext4writer import Output; output: Output = 'image'",
        "write_image('rootfs', 'image')",
        "Tree().file('/f', 5)",
        "Tree().file('/f', b'', mode=None)",
        "label: str = Spec().label",
        "from ext4writer import plane",
        "from ext4writer.sources import zip",
    ],
)
def test_a_type_error_is_found(line: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"from ext4writer import Spec, Tree, write_image\n\n{line}\n")
    done = mypy(program, tmp_path)
    assert done.returncode == 1 and "program.py:3: error: " in done.stdout, done.stdout


def test_an_output_is_a_protocol_with_write() -> None:
    assert typing.Protocol in ext4writer.Output.__mro__
    methods = {name for name in vars(ext4writer.Output) if not name.startswith("_")}
    assert methods == {"write"}
    assert ext4writer.Output in typing.get_args(ext4writer.OutputLike)


def test_clients_run(tmp_path: Path) -> None:
    clients.main(tmp_path)
