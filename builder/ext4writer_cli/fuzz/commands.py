"""The commands that make images from seeds, run programs on them, and minimize findings."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

import click

from ..options import PATH, Count, GroupedCommand, parsed
from ..signals import cancel_on_signals

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ext4writer.fuzzing import Recipe

    from .oracles import Oracle


def parse_seeds(text: str) -> range:
    """The seeds ``A:B`` without B, or the single seed ``A``; raises ``ValueError``."""
    matched = re.fullmatch(r"([0-9]{1,18})(?::([0-9]{1,18}))?", text, re.ASCII)
    if matched is None:
        raise ValueError(f"{text!r} is neither A:B nor one number")
    first = int(matched[1])
    return range(first, int(matched[2]) if matched[2] else first + 1)


SEEDS = parsed(parse_seeds)
seeds_option = click.option(
    "--seed",
    "--seeds",
    "seeds",
    type=SEEDS,
    required=True,
    metavar="A:B",
    help="The seeds from A up to, but not including, B; or the single seed A.",
)
overrides_option = click.option(
    "--overrides",
    type=Count(0, 16),
    default=1,
    show_default=True,
    metavar="N",
    help="Most fields to corrupt in an image; 0 makes correct images.",
)
oracles_option = click.option(
    "--oracle",
    "oracles",
    multiple=True,
    default=("e2fsck", "check"),
    show_default=True,
    metavar="NAME|'COMMAND {}'",
    help="A program that judges each image: a name that 'fuzz oracles' lists, or a command in "
    "which {} stands for the image. May be repeated.",
)
seconds_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="CPU time for an oracle and an image; elapsed time may be four times as long.",
)
memory_option = click.option(
    "--memory",
    type=Count(min=0),
    default=2048,
    show_default=True,
    metavar="MIB",
    help="Memory for an oracle; 0 sets no limit, which AddressSanitizer needs.",
)


def _new_path(folder: str, name: str) -> str:
    """The path of a new file; raises ``OutputError`` if it exists."""
    from ext4writer.errors import OutputError

    path = os.path.join(folder, name)
    if os.path.lexists(path):
        raise OutputError(path, "exists already; choose another name, or an empty folder")
    return path


def _folder(path: str) -> str:
    from ext4writer.errors import OutputError

    if os.path.lexists(path) and not os.path.isdir(path):
        raise OutputError(path, "is not a folder")
    os.makedirs(path, exist_ok=True)
    return path


_ZEROS = bytes(4096)


def _save(path: str, data: bytes | str) -> None:
    """Write a new file in which blocks of zeros are holes; remove it if that fails."""
    with open(path, "xb") as file:
        try:
            _write_sparsely(file, data.encode() if isinstance(data, str) else data)
            file.flush()
        except BaseException as error:
            with suppress(OSError):
                file.close()
            os.unlink(path)
            if isinstance(error, OSError):
                from ext4writer.errors import OutputError

                raise OutputError(path, f"cannot be written: {error.strerror}") from error
            raise


def _write_sparsely(file: BinaryIO, content: bytes) -> None:
    start = 0
    with memoryview(content) as view:
        for offset in range(0, len(content), len(_ZEROS)):
            # A shorter block of zeros at the end is written.
            if content.startswith(_ZEROS, offset):
                if start < offset:
                    file.seek(start)
                    file.write(view[start:offset])
                start = offset + len(_ZEROS)
        file.seek(start)
        file.write(view[start:])
        file.truncate(len(content))


def _recipe(path: str) -> Recipe:
    from ext4writer.errors import SourceError
    from ext4writer.fuzzing import Recipe

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(1 << 20)
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        text = "is not a recipe, which is a text file; 'fuzz make' writes recipes"
        raise SourceError(path, text) from error
    return Recipe.parse(text)


@click.command(cls=GroupedCommand)
@click.argument("name", nargs=-1)
@click.option(
    "-o", "--output", type=PATH, metavar="DIR", help="Write NAME.img for each shape into DIR."
)
@click.option("--recipes", is_flag=True, help="Print the recipe of each shape.")
def shapes(name: tuple[str, ...], output: str | None, recipes: bool) -> None:
    """List unusual but correct images, one for each choice that the format leaves open."""
    from ext4writer.fuzzing.shapes import shapes as all_shapes

    known = {shape.name: shape for shape in all_shapes()}
    unknown = [each for each in name if each not in known]
    if unknown:
        raise click.UsageError(f"no such shape: {unknown[0]}; 'ext4writer fuzz shapes' lists them")
    chosen = [shape for shape in known.values() if not name or shape.name in name]
    small = 0
    with cancel_on_signals(at_once=True):
        for shape in chosen:
            if output is None:
                size = shape.image_bytes()
            else:
                path, image = _new_path(_folder(output), f"{shape.name}.img"), shape.recipe.image()
                _save(path, image)
                size = len(image)
            small += size < 1 << 20
            click.echo(f"{shape.name}: {shape.about} {size >> 10} KiB")
            if recipes:
                click.echo(str(shape.recipe))
    if output is None and not recipes:
        click.echo(f"{len(chosen)} shapes, {small} of them below 1 MiB; the others have a journal")


@click.command(cls=GroupedCommand)
@seeds_option
@overrides_option
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="DIR", help="A folder for the images."
)
@click.option("--recipes-only", is_flag=True, help="Write only the recipes, no images.")
def make(seeds: range, overrides: int, output: str, recipes_only: bool) -> None:
    """Make SEED.img and SEED.recipe for each seed, with random tree, features, layout and faults.

    The same seed makes the same bytes on every machine, and so does 'fuzz replay' from the recipe.
    """
    from ext4writer.fuzzing import random_image

    folder = _folder(output)
    with cancel_on_signals(at_once=True):
        for seed in seeds:
            recipe, image = random_image(seed, overrides=overrides)
            _save(_new_path(folder, f"{seed}.recipe"), str(recipe))
            if not recipes_only:
                _save(_new_path(folder, f"{seed}.img"), image)
    click.echo(f"{len(seeds)} recipes in {folder}")


@click.command(cls=GroupedCommand)
@click.argument("recipe", type=PATH)
@click.option("-o", "--output", type=PATH, metavar="IMAGE", help="The image to write.")
@click.option("--script", is_flag=True, help="Print a Python program that makes the image.")
@click.option("--hex", "as_hex", is_flag=True, help="Print a hex patch with the corrupted bytes.")
@click.option("--syz", is_flag=True, help="Print a syzkaller program that mounts the image.")
def replay(recipe: str, output: str | None, script: bool, as_hex: bool, syz: bool) -> None:
    """Make the image of RECIPE again, or a script, hex patch or syzkaller program for it."""
    from ext4writer.fuzzing import witness

    if not (output or script or as_hex or syz):
        raise click.UsageError("give --output IMAGE, --script, --hex or --syz")
    parsed_recipe = _recipe(recipe)
    with cancel_on_signals(at_once=True):
        if output is not None:
            path = _new_path(os.path.dirname(output), os.path.basename(output))
            _save(path, parsed_recipe.image())
        for wanted, text in (
            (script, witness.script),
            (as_hex, witness.hex_patch),
            (syz, witness.syz_program),
        ):
            if wanted:
                click.echo(text(parsed_recipe), nl=False)


def _parse_oracles(texts: tuple[str, ...]) -> list[Oracle]:
    """The oracles; raises a usage error if one is unknown or not installed."""
    from .oracles import Oracle

    found = []
    for text in texts:
        try:
            oracle = Oracle.parse(text)
        except ValueError as error:
            raise click.UsageError(f"--oracle: {error}") from None
        if missing := oracle.missing():
            raise click.UsageError(f"--oracle {text}: {missing}")
        found.append(oracle)
    return found


@click.command(cls=GroupedCommand)
@seeds_option
@oracles_option
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    metavar="DIR",
    help="A folder for results.jsonl and the kept recipes. Seeds that already have results there "
    "are not tried again.",
)
@overrides_option
@seconds_option
@memory_option
@click.option("--workers", type=Count(min=1), metavar="N", help="Number of processes.")
def run(
    seeds: range,
    oracles: tuple[str, ...],
    output: str,
    overrides: int,
    timeout: float,
    memory: int,
    workers: int | None,
) -> None:
    """Run oracles on the images of many seeds; keep those on which oracles crash or disagree.

    The exit status is 1 if anything was kept. After an interruption, the same command continues.
    """
    from ..options import WORKERS_MAX, usable_cpus
    from .campaign import kept_before, stop_workers
    from .campaign import run as run_campaign

    _parse_oracles(oracles)
    folder = _folder(output)
    # Seeds kept before an interruption count as well.
    kept = kept_before(seeds, oracles, folder)
    count = workers or min(usable_cpus(), WORKERS_MAX)
    with (
        cancel_on_signals(at_once=True),
        _workers(count) as executor,
    ):
        try:
            for finding in run_campaign(
                seeds,
                oracles,
                folder,
                executor,
                seconds=timeout,
                memory=memory << 20,
                overrides=overrides,
            ):
                kept.add(finding.seed)
                click.echo(f"{finding.seed}: {finding.reason}")
        except BaseException:
            stop_workers()
            raise
    click.echo(f"{len(seeds)} seeds, {len(kept)} kept in {folder}")
    if kept:
        raise SystemExit(1)


def _workers(count: int) -> Executor:
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    from .campaign import prepare_worker

    try:
        return ProcessPoolExecutor(count, initializer=prepare_worker)
    except (OSError, ImportError, NotImplementedError) as error:
        # Shared semaphores need /dev/shm, which some sandboxes lack.
        click.echo(f"one seed at a time: cannot start worker processes ({error})", err=True)
        return ThreadPoolExecutor(1)


@click.command(cls=GroupedCommand)
def oracles() -> None:
    """List the oracles that 'fuzz run' can call by name, and whether they are installed."""
    from .oracles import ORACLES

    for oracle in ORACLES.values():
        missing = oracle.missing()
        click.echo(f"{oracle.name}{f'  ({missing})' if missing else ''}")


@click.command(cls=GroupedCommand)
@click.argument("recipe", type=PATH)
@oracles_option
@click.option("--shows", metavar="TEXT", help="Keep only reasons that contain TEXT.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    help="The file for the smaller recipe; next to it go a Python script (.py), a hex patch "
    "(.hex) and a syzkaller program (.syz) for the same image.",
)
@seconds_option
@memory_option
def minimize(
    recipe: str,
    oracles: tuple[str, ...],
    shows: str | None,
    output: str | None,
    timeout: float,
    memory: int,
) -> None:
    """Reduce RECIPE to what still triggers its finding: first fields, then layout, then files.

    This needs Hypothesis: pip install 'ext4writer[hypothesis]'.
    """
    from tempfile import TemporaryDirectory

    from .campaign import shows as reason_of

    given = _recipe(recipe)
    asked = _parse_oracles(oracles)
    if output is not None:
        _witness_paths(output)  # fail before the work, not after

    def reason(one: Recipe) -> str:
        return reason_of(one, asked, seconds=timeout, memory=memory << 20)

    with cancel_on_signals(at_once=True), TemporaryDirectory(prefix="ext4writer-") as scratch:
        # Otherwise Hypothesis creates a folder in the current directory.
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", scratch)
        try:
            from ext4writer.fuzzing.minimize import minimize as make_smaller
        except ImportError:
            raise click.UsageError(
                "minimize needs the package hypothesis: pip install 'ext4writer[hypothesis]'"
            ) from None
        found = reason(given)
        wanted = shows if shows is not None else _kind(found)
        if not wanted or wanted not in found:
            raise click.UsageError(f"{recipe} triggers no such finding with these oracles")
        smaller = make_smaller(given, lambda one: wanted in reason(one))
        if output is not None:
            _save_witnesses(output, smaller)
    click.echo(str(smaller), nl=False)


def _witness_paths(output: str) -> tuple[str, str, str, str]:
    """The paths of recipe, script, hex patch and syzkaller program; raises if one exists."""
    folder, name = os.path.split(output)
    base = name.removesuffix(".recipe")
    recipe, script, as_hex, syz = (
        _new_path(folder, each) for each in (name, f"{base}.py", f"{base}.hex", f"{base}.syz")
    )
    return recipe, script, as_hex, syz


def _save_witnesses(output: str, recipe: Recipe) -> None:
    from ext4writer.fuzzing import witness

    texts = (
        str(recipe),
        witness.script(recipe),
        witness.hex_patch(recipe),
        witness.syz_program(recipe),
    )
    for path, text in zip(_witness_paths(output), texts, strict=True):
        _save(path, text)


def _kind(reason: str) -> str:
    """The part of a reason that does not vary between images."""
    return reason.partition(" (")[0]


@click.command(cls=GroupedCommand)
@click.argument("folders", type=PATH, nargs=-1, required=True)
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="DIR", help="A folder without results."
)
def merge(folders: tuple[str, ...], output: str) -> None:
    """Combine the results of several campaigns, such as those of several machines."""
    from ext4writer.errors import OutputError

    from .campaign import RESULTS
    from .campaign import merge as put_together

    if os.path.lexists(os.path.join(output, RESULTS)):
        raise OutputError(output, "has results already; choose an empty folder")
    merged = put_together(folders, _folder(output))
    click.echo(f"{merged.seeds} seeds, {merged.kept} kept in {output}")


AFL_LARGEST = 1 << 20
"""Largest seed in bytes: MAX_FILE in config.h of AFL++, which skips larger ones."""


@click.command(cls=GroupedCommand)
@click.option("-o", "--output", type=PATH, metavar="DIR", help="Write the images, too.")
@click.option(
    "--for",
    "program",
    type=click.Choice(["afl", "syzkaller"]),
    help="Write seeds for this fuzzer: for AFL++ and libFuzzer only images without a journal, of "
    "at most 1 MiB; for syzkaller, programs that 'syz-db pack' accepts.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def corpus(output: str | None, program: str | None, as_json: bool) -> None:
    """Make a small corpus that covers all pairs of features, sizes and file types."""
    from ext4writer.fuzzing.pairs import corpus as all_of_it

    if program and output is None:
        raise click.UsageError("--for needs --output")
    made = all_of_it(journal=program != "afl")
    if output is not None:
        folder = _folder(output)
        for recipe in made.recipes:
            _save_seed(folder, recipe, program)
    if as_json:
        rows = {
            "recipes": [recipe.name for recipe in made.recipes],
            "pairs": made.pairs,
            "impossible": [list(pair) for pair in made.impossible],
        }
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo(f"{len(made.recipes)} images cover {made.pairs} pairs")
    for first, second in made.impossible:
        click.echo(f"  not together: {first} and {second}")


def _save_seed(folder: str, recipe: Recipe, program: str | None) -> None:
    from ext4writer.fuzzing import witness

    if program == "syzkaller":
        _save(_new_path(folder, recipe.name), witness.syz_program(recipe))
        return
    image = recipe.image()
    if program == "afl":
        if len(image) <= AFL_LARGEST:
            _save(_new_path(folder, recipe.name), image)
        return
    _save(_new_path(folder, f"{recipe.name}.img"), image)
    _save(_new_path(folder, f"{recipe.name}.recipe"), str(recipe))


COMMANDS: tuple[click.Command, ...] = (
    *(shapes, make, replay, run, oracles, minimize, merge, corpus),
)
