"""Run the benchmarks: ``make bench``, or ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import compileall
import fcntl
import os
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from . import tools, trees
from .bench import ATTIC, Bench, drop_removed_inodes, say
from .chart import chart
from .earlier import Earlier, NoRevisionError, installed
from .figures import Outcome
from .kinds import Scale, Workload
from .measure import Runner
from .report import Report, read_results
from .rows import COMPARED, FULL, QUICK, workloads

REPORTS = tools.REPOSITORY / "build" / "bench"
PUBLISHED_CHART = tools.REPOSITORY / "docs" / "benchmarks.svg"
PUBLISHED_TEXT = tools.REPOSITORY / "docs" / "benchmarks.md"
WORK = "ext4writer-bench"
"""Name of the folder for everything large, which is removed at the end."""
MARKED = re.compile(r"(<!-- results -->\n).*(<!-- end of results -->\n)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the requested workloads; return 1 if ext4writer failed, 2 for unusable options."""
    chosen = parser().parse_args(arguments)
    if not sys.platform.startswith("linux"):
        return refuse("the benchmarks run on Linux only")
    if chosen.publish and (chosen.quick or (chosen.only and not chosen.add)):
        return refuse("only a full run can be published")
    if chosen.publish and chosen.against:
        return refuse("--against cannot be combined with --publish; its report is only a file")
    absent = tools.missing(("e2fsck", "mke2fs"))
    if absent:
        return refuse(absent)
    if not tools.COMMAND.exists():
        return refuse(f"{tools.COMMAND.name} is not installed with this Python; use make bench")

    scale = QUICK if chosen.quick else COMPARED if chosen.against else FULL
    if chosen.rounds:
        scale = replace(scale, rounds=chosen.rounds)
    work = work_folder(chosen.work)
    lock = os.open(work, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return refuse(f"another run is using {work}")
    try:
        against = installed(chosen.against, work) if chosen.against else nullcontext()
        with against as earlier:
            return choose(scale, work, chosen, earlier)
    except NoRevisionError as reason:
        return refuse(f"--against {chosen.against}: {reason}")
    finally:
        trees.remove(work / ATTIC if chosen.keep else work)


def choose(scale: Scale, work: Path, chosen: argparse.Namespace, earlier: Earlier | None) -> int:
    """Run the requested workloads, comparing each row with the ``earlier`` revision, if any."""
    table = workloads(scale, chosen.quick, chosen.tree, work)
    if earlier is not None:
        table = tuple(filter(None, map(earlier.beside, table)))
    known = [workload.key for workload in table]
    wanted = chosen.only.split(",") if chosen.only else known
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        return refuse(f"no workload {', '.join(unknown)}; the workloads are {', '.join(known)}")
    stored = {}
    if chosen.add:
        stored = read_results(report_file(earlier, "json").read_text(), table)
    measured = [each for each in table if each.key in wanted]
    lacking = set(known) - stored.keys() - set(wanted)
    if chosen.publish and lacking:
        return refuse(f"not measured yet: {', '.join(sorted(lacking))}")
    return run(scale, measured, work, chosen, earlier, stored, known)


def report_file(earlier: Earlier | None, suffix: str) -> Path:
    """The path of the report; runs with an ``earlier`` revision have separate reports."""
    name = "benchmarks" if earlier is None else f"beside-{earlier.name}"
    return REPORTS / f"{name}.{suffix}"


def run(
    scale: Scale,
    table: list[Workload],
    work: Path,
    chosen: argparse.Namespace,
    earlier: Earlier | None,
    stored: dict[str, Outcome],
    known: list[str],
) -> int:
    """Run ``table`` and write the reports, which include the earlier results ``stored``.

    ``known`` is the order of all workloads. Return 1 if there are faults, otherwise 0.
    """
    # Runs must not spend time on compiling modules, nor write them into a tree that is read.
    for package in ("ext4writer", "builder", "benchmarks"):
        compileall.compile_dir(tools.REPOSITORY / package, quiet=2)
    (work / "mke2fs.conf").write_text(tools.MKE2FS_CONF)
    runner = Runner(tools.environment(work), work / "log")
    busy = tools.is_busy()
    if busy:
        say("Other work is running on this machine; the figures will be unreliable.")
    report = Report(
        results={},
        quick=chosen.quick,
        version=version("ext4writer"),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=tools.machine(work),
        versions=tools.versions(),
        least_memory=runner.least_memory(),
        busy=busy,
        against=earlier.name if earlier else "",
    )
    profiles = REPORTS / "profiles" if chosen.profile else None
    bench = Bench(scale, work, runner, chosen.keep, profiles)
    if not chosen.quick:  # getting memory back from a host takes longer than small trees
        drop_removed_inodes()
    try:
        bench.run(table)
    finally:
        results = stored | bench.results
        in_order = {key: results[key] for key in known if key in results}
        report = replace(report, results=in_order)
        write(report, earlier, chosen.publish)
    print(report.summary())
    for fault in report.faults:
        print(f"FAULT: {fault}")
    print(f"The report is {os.path.relpath(report_file(earlier, 'md'))}.")
    return 1 if report.faults else 0


def write(report: Report, earlier: Earlier | None, publish: bool) -> None:
    """Write the report in all formats, and into ``docs`` if ``publish`` is set.

    The chart compares programs, so a comparison of two revisions has none.
    """
    REPORTS.mkdir(parents=True, exist_ok=True)
    text = report.markdown()
    report_file(earlier, "md").write_text(f"# Benchmarks\n\n{text}\n")
    report_file(earlier, "json").write_text(report.as_json() + "\n")
    if earlier is not None:
        return
    machine = report.machine
    picture = chart(
        report.results,
        f"ext4writer {report.version}, {machine['processor']}, {machine['memory']}, "
        f"{machine['kernel']}, {machine['file system']}, {report.date}; warm cache, medians",
    )
    report_file(None, "svg").write_text(picture)
    if publish:
        PUBLISHED_CHART.write_text(picture)
        image = f"![Time to make an image]({PUBLISHED_CHART.name})"
        inner = re.sub("^## ", "### ", text, flags=re.MULTILINE)
        page = PUBLISHED_TEXT.read_text()
        PUBLISHED_TEXT.write_text(
            MARKED.sub(lambda found: f"{found[1]}\n{image}\n\n{inner}\n\n{found[2]}", page)
        )


def work_folder(wanted: Path | None) -> Path:
    """The folder for everything large, created if missing; an earlier run may have kept it."""
    parent = wanted or Path(os.environ.get("TMPDIR") or REPORTS)
    work = parent.absolute() / WORK
    work.mkdir(parents=True, exist_ok=True)
    return work


def refuse(reason: str) -> int:
    """Print why nothing is run; return the exit status 2."""
    print(f"benchmarks: {reason}", file=sys.stderr)
    return 2


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    found = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    found.add_argument("--quick", action="store_true", help="use small workloads and two rounds")
    found.add_argument("--rounds", type=int, metavar="N", help="number of runs of each contender")
    found.add_argument(
        "--against",
        metavar="REVISION",
        help="compare with an earlier revision instead of other programs",
    )
    found.add_argument("--only", metavar="KEY[,...]", help="run only these workloads")
    found.add_argument(
        "--add", action="store_true", help="keep the other workloads of the last report"
    )
    found.add_argument("--tree", type=Path, metavar="DIR", help="the system tree to read")
    found.add_argument("--work", type=Path, metavar="DIR", help="the folder for the workloads")
    found.add_argument("--keep", action="store_true", help="keep the workloads for another run")
    found.add_argument(
        "--profile", action="store_true", help="also write profiles of ext4writer's runs"
    )
    found.add_argument("--publish", action="store_true", help="put the results into docs/")
    return found


if __name__ == "__main__":
    sys.exit(main())
