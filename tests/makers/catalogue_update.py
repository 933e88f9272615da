"""Runs e2fsck and the checker on each case of the catalogue, and records their answers.

    python -m tests.makers.catalogue_update [--kernel] [NAME...]

Run it with e2fsck 1.47.0 after changing cases, and review the difference. With ``--kernel``, the
guest's kernel mounts these images too.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ext4writer import DamageError, ImageError, Spec, Tree, write_image
from ext4writer.damage import answers
from ext4writer.damage.answers import ANSWERS, CLOCK, HANGS, Answer, answer_of
from ext4writer.damage.catalogue import CASES, Case
from ext4writer.inspection.check import check_opened
from ext4writer.read import open_image
from tests.guest import run_guest
from tests.judges.fsck import write_sparse
from tests.judges.tools import require

_CODE = re.compile(r'<problem code="0x([0-9a-f]{6})"')
SECONDS = 10
AT_ONCE = 120
"""The number of cases per boot of the guest."""


def logged(image: Path, option: str) -> tuple[str, ...]:
    """The codes that e2fsck logs for a case, without duplicates. e2fsck may change the image."""
    log = image.with_name("log.xml")
    log.unlink(missing_ok=True)
    command = [require("e2fsck"), "-f", option, "-E", f"problem_log={log}", str(image)]
    try:
        subprocess.run(
            command,
            env={"E2FSCK_TIME": str(CLOCK), "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return (HANGS,)
    text = log.read_text("utf-8", "replace") if log.exists() else ""
    return tuple(dict.fromkeys(_CODE.findall(text)))


def checked(image: bytes) -> tuple[str, ...]:
    """The names of the errors that our checker finds, without duplicates."""
    met: list[DamageError] = []
    try:
        with open_image(image, on_damage=met.append) as opened:
            result = check_opened(opened, met)
    except (DamageError, ImageError) as error:
        return (type(error).__name__,)
    found = [problem.code for problem in result.problems if not problem.is_warning]
    return tuple(sorted(dict.fromkeys(found)))


def ask(case: Case, folder: Path) -> Answer:
    """The answers of e2fsck and the checker for a case, without the kernel."""
    path, image = folder / "image", case.image()
    write_sparse(path, image)
    found = logged(path, "-n")
    path.unlink()
    write_sparse(path, image)
    repaired = logged(path, "-y")
    path.unlink()
    return Answer(found, repaired, checked(image))


SCRIPT = r"""
mkdir -p /images /mnt /tmp; mount -t ext4 /dev/vda /images
set +e
for f in /images/*.img; do
  n=${f##*/}; dmesg -c > /dev/null; : > /tmp/failed
  if mount -t ext4 -o loop,errors=continue $f /mnt 2> /dev/null; then
    did=mounts
    timeout 10 ls -laR /mnt > /dev/null 2>> /tmp/failed
    timeout 10 find /mnt -type f -exec cat {} + > /dev/null 2>> /tmp/failed
    echo x 2>> /tmp/failed > /mnt/new || echo not written >> /tmp/failed
    rm -f /mnt/new 2>> /tmp/failed; sync
    [ -s /tmp/failed ] && did=fails
    umount /mnt 2> /dev/null || umount -l /mnt
  else did=refuses; fi
  dmesg -c > /tmp/log
  bugs=$(grep -c 'BUG:\|WARNING: CPU' /tmp/log)
  echo "= ${n%.img} $did $(grep -c 'EXT4-fs error' /tmp/log) $bugs"
done
"""
_DID = re.compile(r"^= (\S+) (\w+) (\d+) (\d+)$", re.MULTILINE)


def mounted(cases: Sequence[Case], folder: Path) -> dict[str, str]:
    """How the guest's kernel reacts to each case, as a word for the table.

    Raises AssertionError if the kernel reports a bug in itself.
    """
    tree = Tree()
    for case in cases:
        tree.file(f"/{case.name}.img", case.image())
    carrier = folder / "carrier"
    write_image(tree, carrier, Spec(hole_size=4096, free="300M"))
    told = run_guest(SCRIPT, [carrier], 590, modules=["loop"], snapshot=True, check=False)
    carrier.unlink()
    words = {}
    for name, did, errors, bugs in _DID.findall(told):
        assert bugs == "0", f"{name}: {told}"
        logged = "reports" if did != "refuses" and errors != "0" else did
        words[name] = "trusts" if logged == "mounts" else logged
    return words


def lines(name: str, answer: Answer) -> list[str]:
    """The lines of the table for one case."""
    result = [name]
    for mark, values in zip("nyck", [*answer[:3], [answer.kernel]], strict=True):
        result += textwrap.wrap(
            " ".join(values), 98, initial_indent=f"{mark} ", subsequent_indent=f"{mark} ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return result


def main(names: list[str]) -> None:
    """Run these cases, or all of them, and write the table."""
    table: list[str] = []
    words: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="ext4writer-catalogue-") as folder:
        if "--kernel" in names:
            names = [name for name in names if name != "--kernel"]
            asked = [case for case in CASES if not names or case.name in names]
            for part in range(0, len(asked), AT_ONCE):
                words |= mounted(asked[part : part + AT_ONCE], Path(folder))
        for case in CASES:
            if not names or case.name in names or case.name not in ANSWERS:
                kernel = words.get(case.name, answer_of(case.name).kernel)
                answer = ask(case, Path(folder))._replace(kernel=kernel)
                if answer != answer_of(case.name):
                    print(case.name, *answer)
            else:
                answer = answer_of(case.name)
            table += lines(case.name, answer)
    path = Path(answers.__file__)
    text = path.read_text()
    start = text.index('_TABLE = """\n') + len('_TABLE = """\n')
    end = text.index('"""\n', start)
    path.write_text(text[:start] + "\n".join(table) + "\n" + text[end:])


if __name__ == "__main__":
    main(sys.argv[1:])
