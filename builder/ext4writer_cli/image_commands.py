"""The commands that read an image: info, ls, tree, cat, stat, find, extract, show."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from .image_argument import ImageLocation, image_argument
from .options import PATH, SIZE, Count, GroupedCommand
from .signals import cancel_on_signals

if TYPE_CHECKING:
    from ext4writer import Loss
    from ext4writer.inspection.show import Row
    from ext4writer.read import Image, Inode, Unit

CHUNK = 1 << 20
KINDS = ("f", "d", "l", "c", "b", "p", "s")

as_json = click.option("--json", is_flag=True, help="Print JSON.")
one_path = click.argument("path", default="/")
paths = click.argument("path", nargs=-1, required=True)


def print_json(value: Any) -> None:
    """Print a value as JSON in ASCII, which any terminal can show."""
    click.echo(json.dumps(value, indent=2))


@click.command(cls=GroupedCommand)
@image_argument
@as_json
def info(place: ImageLocation, json: bool) -> None:
    """Show what IMAGE is: kind, label, sizes, features, times, journal.

    IMAGE is a file or block device; DISK:N is partition N of a disk.
    """
    from ext4writer.inspection.info import facts

    with place.open() as image:
        found = facts(image)
        if json:
            print_json(found)
            return
        for name, value in found.items():
            click.echo(f"{name.replace('_', ' '):18} {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {each}" for name, each in value.items() if each)
    return "none" if value in (None, "") else str(value)


@click.command(cls=GroupedCommand)
@image_argument
@one_path
@click.option("-l", "long", is_flag=True, help="Show modes, owners, sizes and times (UTC).")
@click.option("-R", "recursive", is_flag=True, help="List subdirectories recursively.")
@click.option("-Z", "label", is_flag=True, help="Show SELinux labels, too.")
@as_json
def ls(
    place: ImageLocation, path: str, long: bool, recursive: bool, label: bool, json: bool
) -> None:
    """List PATH in IMAGE, by default the root. <12> is inode 12."""
    from ext4writer.inspection.listing import facts

    with place.open() as image:
        top, name = image.lookup(os.fsencode(path)), os.fsencode(path)
        rows: list[dict[str, Any]] = []
        for heading, children in _listed(image, top, name, recursive):
            if json:
                base = heading.rstrip(b"/")
                for child, inode in children:
                    full = child if heading == b"" else base + b"/" + child
                    rows.append(facts(inode, path=full))
                continue
            if recursive:
                click.echo(f"{_text(heading)}:")
            for child, inode in children:
                click.echo(_line(child, inode, long, label))
            if recursive:
                click.echo()
        if json:
            print_json(rows)


def _text(name: bytes) -> str:
    from ext4writer.errors import display_path

    return display_path(name)


def _line(name: bytes, inode: Inode, long: bool, label: bool) -> str:
    from ext4writer.inspection.listing import label_of, long_line

    if long:
        return long_line(name, inode, label)
    return f"{label_of(inode)} {_text(name)}" if label else _text(name)


def _listed(image: Image, top: Inode, name: bytes, recursive: bool) -> Any:
    """Yield (path, its (name, inode) pairs) of each directory to list.

    The pairs are an iterator. For a file, the only pair is the file itself.
    """
    from ext4writer.inspection.listing import children_in_order

    if not top.is_directory:
        yield b"", [(name, top)]
        return
    pending, seen = [(name, top)], {top.ino}
    while pending:
        path, directory = pending.pop()
        below: list[tuple[bytes, Inode]] = []
        yield path, _noting(children_in_order(image, directory), path.rstrip(b"/"), below)
        if recursive:
            pending += reversed([pair for pair in below if pair[1].ino not in seen])
            seen.update(inode.ino for _, inode in below)


def _noting(
    children: Iterator[tuple[bytes, Inode]], above: bytes, below: list[tuple[bytes, Inode]]
) -> Iterator[tuple[bytes, Inode]]:
    """Yield ``children``, and add the directories among them to ``below``."""
    for name, inode in children:
        if inode.is_directory:
            below.append((above + b"/" + name, inode))
        yield name, inode


@click.command(cls=GroupedCommand)
@image_argument
@one_path
def tree(place: ImageLocation, path: str) -> None:
    """Draw the tree below PATH in IMAGE, by default below the root."""
    from ext4writer.errors import counted
    from ext4writer.inspection.listing import sorted_children, target_of

    with place.open() as image:
        top = image.lookup(os.fsencode(path))
        click.echo(_text(os.fsencode(path)))
        if not top.is_directory:
            return
        seen, directories, others = {top.ino}, 0, 0
        stack = [(sorted_children(image, top), 0, "")]
        while stack:
            children, position, indent = stack.pop()
            if position == len(children):
                continue
            name, inode = children[position]
            stack.append((children, position + 1, indent))
            is_last = position + 1 == len(children)
            text = _text(name)
            if inode.is_symlink:
                text += f" -> {_text(target_of(inode))}"
            click.echo(f"{indent}{'└── ' if is_last else '├── '}{text}")
            directories += inode.is_directory
            others += not inode.is_directory
            if inode.is_directory and inode.ino not in seen:
                seen.add(inode.ino)
                below = sorted_children(image, inode)
                stack.append((below, 0, indent + ("    " if is_last else "│   ")))
        folders = counted(directories, "directory", "directories")
        click.echo(f"\n{folders}, {counted(others, 'other file', 'other files')}")


@click.command(cls=GroupedCommand)
@image_argument
@paths
def cat(place: ImageLocation, path: tuple[str, ...]) -> None:
    """Write the content of each PATH in IMAGE to standard output."""
    from ext4writer.errors import NotFoundError

    with place.open() as image:
        for name in path:
            inode = image.lookup(os.fsencode(name))
            if inode.is_directory:
                raise NotFoundError(os.fsencode(name), "is a directory")
            with image.open(inode) as reader:
                offset = 0
                while data := reader.read_at(offset, CHUNK):
                    sys.stdout.buffer.write(data)
                    offset += len(data)


@click.command(cls=GroupedCommand)
@image_argument
@paths
@as_json
def stat(place: ImageLocation, path: tuple[str, ...], json: bool) -> None:
    """Show everything about each PATH in IMAGE: inode, times, flags, attributes, blocks.

    A symbolic link is not followed. <12> is inode 12.
    """
    from ext4writer.inspection.listing import facts

    with place.open() as image:
        found = []
        for name in path:
            inode = image.lookup(os.fsencode(name), follow=False)
            inode.check()
            found.append(facts(inode, path=os.fsencode(name), close=True))
        if json:
            print_json(found)
            return
        for number, each in enumerate(found):
            if number:
                click.echo()
            for key, value in each.items():
                _print_fact(key, value)


def _print_fact(key: str, value: Any) -> None:
    if key == "runs":
        for run in value:
            last = run["logical"] + run["length"] - 1
            end = run["physical"] + run["length"] - 1
            unwritten = " unwritten" if run["unwritten"] else ""
            place = f"{run['logical']}-{last} at blocks {run['physical']}-{end}"
            click.echo(f"{'run':12} {place}{unwritten}")
    elif key == "xattrs":
        for name, digits in value.items():
            click.echo(f"{'xattr':12} {name} = {_text(bytes.fromhex(digits))}")
    else:
        click.echo(f"{key:12} {_shown(value)}")


@click.command(cls=GroupedCommand)
@image_argument
@one_path
@click.option("--name", metavar="GLOB", help="Print only entries whose name matches GLOB.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(KINDS),
    help="Print only entries of this type, as in find(1).",
)
@click.option("--larger", type=SIZE, metavar="SIZE", help="Print only entries larger than SIZE.")
@click.option("--inode", type=Count(min=1), metavar="N", help="Print only names of inode N.")
@click.option(
    "--block",
    type=Count(min=0),
    metavar="N",
    help="Print only what owns block N: files or metadata.",
)
@as_json
def find(
    place: ImageLocation,
    path: str,
    name: str | None,
    kind: str | None,
    larger: int | None,
    inode: int | None,
    block: int | None,
    json: bool,
) -> None:
    """Print the paths below PATH in IMAGE that meet all given conditions."""
    from ext4writer.inspection import listing

    with place.open() as image:
        if block is not None:
            if not 0 <= block < image.blocks_count:
                raise click.UsageError(f"the image has blocks 0 to {image.blocks_count - 1}")
            rows = list(listing.owners(image, block))
            if json:
                print_json(rows)
            for row in [] if json else rows:
                click.echo(_owner(row))
            return
        prefix = b"" if path.strip("/") == "" else os.fsencode(path.rstrip("/"))
        found = listing.find(
            image,
            image.lookup(os.fsencode(path)),
            name=None if name is None else os.fsencode(name),
            kind=None if kind is None else listing.LETTERS[kind],
            larger=larger,
            ino=inode,
        )
        if json:
            print_json([listing.facts(each.inode, path=prefix + each.path) for each in found])
            return
        for each in found:
            click.echo(_text(prefix + each.path))


def _owner(row: dict[str, Any]) -> str:
    if "group" in row:
        return f"group {row['group']}: {row['kind']}"
    if "inode" not in row:
        return str(row["kind"])
    where = f", block {row['block_of_file']}" if "block_of_file" in row else ""
    return f"{' '.join(row['paths'])} (inode {row['inode']}): {row['kind']}{where}"


@click.command(cls=GroupedCommand)
@image_argument
@click.argument("path", nargs=-1)
@click.option(
    "-C",
    "--directory",
    type=PATH,
    metavar="DIR",
    help="Write below DIR, which is created if missing.",
)
@click.option(
    "--tar", type=PATH, metavar="FILE", help="Write a tar archive; '-' is standard output."
)
@click.option(
    "--max-size",
    type=SIZE,
    metavar="SIZE",
    help="Write at most SIZE bytes of file content.  [default: 20 times the size of IMAGE, plus "
    "1 GiB]",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Fail if anything is not kept exactly; files already written stay.",
)
@click.option("-q", "--quiet", is_flag=True, help="Do not report what is not kept exactly.")
def extract(
    place: ImageLocation,
    path: tuple[str, ...],
    directory: str | None,
    tar: str | None,
    max_size: int | None,
    strict: bool,
    quiet: bool,
) -> None:
    """Extract each PATH in IMAGE and everything below it; without a PATH, all of IMAGE.

    Owners, modes, times, attributes, holes, hard links and devices are kept as far as your
    privileges allow; the rest is reported. Nothing is written outside DIR, and no existing file is
    changed.
    """
    if (directory is None) == (tar is None):
        raise click.UsageError("give either -C DIR or --tar FILE")

    from ext4writer.inspection.extract import extract as extract_files

    wanted = [os.fsencode(each) for each in path]
    with place.open() as image:
        if tar is not None:
            losses = _write_archive(image, tar, wanted, max_size)
        else:
            assert directory is not None
            with cancel_on_signals() as cancel:
                losses = extract_files(
                    image, directory, wanted, max_bytes=max_size, cancel=cancel
                ).losses
        if losses and not quiet:
            from .report import print_losses

            print_losses(losses)
        if strict and losses:
            raise click.exceptions.Exit(1)


def _write_archive(image: Image, tar: str, paths: list[bytes], max_size: int | None) -> list[Loss]:
    """Write an archive to standard output, or to a file that must not exist."""
    from ext4writer.errors import OutputError
    from ext4writer.inspection.tar_output import write_tar

    if tar == "-":
        if sys.stdout.isatty():
            raise click.UsageError("standard output is a terminal; redirect it to a file or a pipe")
        return write_tar(image, sys.stdout.buffer, paths, max_bytes=max_size)
    try:
        file = open(tar, "xb")  # noqa: SIM115 (only a file created here may be removed below)
    except FileExistsError:
        raise OutputError(tar, "exists already; remove it, or name another file") from None
    try:
        with file:
            return write_tar(image, file, paths, max_bytes=max_size)
    except BaseException:
        os.unlink(tar)
        raise


@click.command(cls=GroupedCommand)
@image_argument
@click.argument("what", nargs=-1, required=True)
@click.option("--annotate", is_flag=True, help="Show every byte, including unused ones.")
@as_json
def show(place: ImageLocation, what: tuple[str, ...], annotate: bool, json: bool) -> None:
    """Show metadata of IMAGE field by field: byte offset, value, meaning.

    WHAT is superblock [GROUP], group N, inode N, a PATH, block N, directory PATH, xattrs PATH,
    journal, or units.
    """
    with ExitStack() as opened:
        image = opened.enter_context(place.open())
        if what == ("units",):
            _show_units(image, json)
            return
        from ext4writer.inspection.show import explain

        if what == ("journal",):
            image = opened.enter_context(place.open_journal(image))
        sections = []
        for unit in _units_to_show(image, *what):
            rows = [row for row in explain(image, unit) if annotate or row.name != "unused"]
            if json:
                rows_as_json = [row.as_json() for row in rows]
                sections.append({**_unit_facts(unit), "rows": rows_as_json})
                continue
            facts = _unit_facts(unit)
            number = f" number {facts['number']}" if unit.number else ""
            sections.append({})
            head = f"{facts['kind']} of {unit.owner}{number} at byte {unit.offset}"
            click.echo(f"{head}, {unit.size} bytes")
            for row in rows:
                _print_row(row, annotate)
            click.echo()
        if what[0] == "journal":
            sections += _transactions(image, json)
        if what[0] == "block" and not sections:
            sections += _owners_of(image, int(what[1]), json)
        if json:
            print_json(sections)


def _transactions(image: Image, json: bool) -> list[dict[str, Any]]:
    """Print what the journal would replay: each transaction with its blocks, and fast commits.

    Returns the same as JSON values.
    """
    from ext4writer.read.fast_commits import tags
    from ext4writer.read.journal import Journal

    found: list[dict[str, Any]] = []
    journal = Journal(image)
    transactions = journal.transactions()
    for transaction in transactions:
        blocks = [tag.block for tag, _ in transaction.blocks]
        found.append(
            {"transaction": transaction.sequence, "blocks": blocks, "revoked": transaction.revoked}
        )
        if not json:
            click.echo(f"transaction {transaction.sequence}: {len(blocks)} blocks")
            click.echo(f"  blocks  {_ranges(blocks)}")
            if transaction.revoked:
                click.echo(f"  revoked {_ranges(transaction.revoked)}")
    if not json and not found:
        click.echo("no transactions to recover")
    for tag in tags(journal, journal.sequence_after(transactions)) if transactions else []:
        found.append({"tag": tag.name, "offset": tag.offset, "value": tag.value.hex()})
        if not json:
            click.echo(f"fast commit at byte {tag.offset}: {tag.name} {tag.value[:40].hex()}")
    return found


def _ranges(numbers: list[int]) -> str:
    """The numbers in ascending order, consecutive ones as ranges, such as ``3, 5-8``."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def _owners_of(image: Image, block: int, json: bool) -> list[dict[str, Any]]:
    """Print which files own a block that is not metadata; return them as JSON values."""
    from ext4writer.inspection.listing import owners

    found = list(owners(image, block))
    if not json:
        for row in found:
            click.echo(_owner(row))
        if not found:
            click.echo(f"block {block} has no owner")
    return found


def _units_to_show(image: Image, kind: str, *rest: str) -> Iterator[Unit]:
    """Return the units that the arguments of the command name; raises a usage error."""
    from ext4writer.inspection import show as showing
    from ext4writer.read import UnitKind

    if kind in ("superblock", "group", "inode", "block"):
        number = _number(kind, rest)
        if kind == "superblock":
            return showing.superblock_units(image, number)
        if kind == "group":
            return showing.group_units(image, number)
        if kind == "inode":
            return iter((showing.inode_unit(image.inode(number)),))
        if not 0 <= number < image.blocks_count:
            raise click.UsageError(f"the image has blocks 0 to {image.blocks_count - 1}")
        return showing.block_units(image, number)
    if kind == "journal" and not rest:
        return showing.journal_units(image)
    if kind in ("directory", "xattrs") and len(rest) == 1:
        inode = image.lookup(os.fsencode(rest[0]), follow=False)
        own = iter((showing.inode_unit(inode),))
        if kind == "xattrs":
            return chain(own, showing.units_of_inode(inode, UnitKind.XATTR_BLOCK))
        if not inode.is_directory:
            raise click.UsageError(f"{rest[0]} is not a directory.")
        kinds = (UnitKind.DX_ROOT, UnitKind.DX_NODE, UnitKind.DIR_BLOCK)
        return own if inode.has_inline_data else showing.units_of_inode(inode, *kinds)
    if kind.startswith(("/", "<")) and not rest:
        inode = image.lookup(os.fsencode(kind), follow=False)
        trees = (UnitKind.EXTENT_BLOCK, UnitKind.INDIRECT_BLOCK, UnitKind.XATTR_BLOCK)
        own = iter((showing.inode_unit(inode),))
        of_trees = showing.units_of_inode(inode, *trees)
        return chain(own, of_trees, showing.descriptor_units(inode))
    raise click.UsageError(f"{' '.join((kind, *rest))!r} cannot be shown; see WHAT.")


def _number(kind: str, rest: tuple[str, ...]) -> int:
    if kind == "superblock" and not rest:
        return 0
    if len(rest) != 1 or not rest[0].isdecimal() or len(rest[0]) > 18:
        raise click.UsageError(f"{kind} needs one number.")
    return int(rest[0])


def _unit_facts(unit: Unit) -> dict[str, Any]:
    return {
        "kind": unit.kind.value,
        "owner": unit.owner,
        "number": unit.number,
        "offset": unit.offset,
        "size": unit.size,
    }


def _print_row(row: Row, annotate: bool) -> None:
    value = row.value if isinstance(row.value, list) else [row.value]
    text = " ".join(map(str, value))
    if isinstance(row.value, str) and len(text) > 64 and not annotate:
        text = f"{text[:61]}..."
    means = f"  {row.means}" if row.means else ""
    size = f" {row.size:4}" if annotate else ""
    click.echo(f"{row.offset:#10x}{size} {row.name:36} {text}{means}")


def _show_units(image: Image, json: bool) -> None:
    """List all metadata, with adjacent units of one kind in one row."""
    rows = []
    for run in image.unit_runs():
        first, last = run.unit(0), run.unit(run.count - 1)
        if json:
            rows.append({**_unit_facts(first), "count": run.count})
            continue
        owners = f"{first.owner}" + (f"-{last.owner}" if last.owner != first.owner else "")
        numbers = f"{first.number}" + (f"-{last.number}" if last.number != first.number else "")
        place = f"{run.offset:12} {run.size:6} x {run.count:<7}"
        click.echo(f"{place} {run.kind.value:18} owner {owners:14} number {numbers}")
    if json:
        print_json(rows)
