"""The drawing, with title, labels and legend."""

from __future__ import annotations

from collections.abc import Iterator

from ...arithmetic import ceil_div
from ...bits import log2
from ...errors import display_path
from ...read import Image
from ..usage import DATA, Usage
from ..words import many, text_of
from .cells import Counts, Scale, counted
from .classes import Class, Classes

LEFT, TOP, WIDTH = 132, 64, 1024
MARGIN = 20
LINE, STEP, ROW_GAP = 10, 13, 5
FEW_LINE, FEW_STEP = 24, 29
STRIP = 2
LEGEND_COLUMNS, LEGEND_STEP = 3, 20
LABEL_STEP = 14
LABEL_LETTERS = 16
FEW_ROWS = 24

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def human(count: int) -> str:
    """Return a number of bytes as text with a binary unit."""
    if count < 1024:
        return f"{count} bytes"
    power = min(log2(count) // 10, len(_UNITS) - 1)
    amount = count * 10 >> 10 * power
    whole, tenth = divmod(amount, 10)
    return f"{whole}.{tenth} {_UNITS[power]}" if tenth else f"{whole} {_UNITS[power]}"


def escaped(text: str) -> str:
    """Return text with the special characters of XML escaped."""
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    )


class Drawing:
    """One map: its geometry and its parts."""

    def __init__(self, image: Image, used: Usage, scale: Scale, classes: Classes) -> None:
        self.image, self.usage, self.scale, self.classes = image, used, scale, classes
        self.cell_width = WIDTH // scale.columns
        few = scale.columns * scale.cell_blocks < 128
        self.line, self.step = (FEW_LINE, FEW_STEP) if few else (LINE, STEP)
        # Rows with one line each need no gap.
        self.gap = ROW_GAP if scale.lines_per_row > 1 else 0
        lines = sum(map(scale.lines_of, range(scale.rows)))
        self.grid_height = lines * self.step + (scale.rows - 1) * self.gap
        self.counts = counted(scale, ((use.first, use.end, classes.of(use)) for use in used.uses))
        self.blocks = self._totals()
        size = image.block_size
        end = min(image.blocks_count * size, image.store.size)
        self.stored = list(image.store.stored(0, end))
        self.stored_bytes = sum(last - first for first, last in self.stored)
        self.hole_bytes = end - self.stored_bytes
        shown = [place for place, count in enumerate(self.blocks) if count]
        self.shown = shown
        self.legend: dict[str, list[int]] = {}
        """Label -> the classes with that label."""
        for place in shown:
            self.legend.setdefault(classes.classes[place].label, []).append(place)
        legend_lines = ceil_div(len(self.legend) + (self.hole_bytes > 0), LEGEND_COLUMNS)
        self.height = TOP + self.grid_height + 34 + legend_lines * LEGEND_STEP + 8
        self.width = LEFT + WIDTH + MARGIN

    def _totals(self) -> list[int]:
        totals = [0] * len(self.classes.classes)
        for use in self.usage.uses:
            totals[self.classes.of(use)] += use.count
        return totals

    # -- geometry ----------------------------------------------------------------------------------

    def top_of(self, line: int) -> int:
        """Return the vertical position of a line of cells, in pixels from the top."""
        return TOP + line * self.step + line // self.scale.lines_per_row * self.gap

    def as_svg(self) -> str:
        """Return the complete drawing."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" '
            f'aria-label="{escaped(self.title)}">\n'
            f"<style>\n{self.style()}</style>\n" + "\n".join(self._parts()) + "\n</svg>\n"
        )

    @property
    def title(self) -> str:
        """A one-line description of the image."""
        image = self.image
        label = text_of(image.superblock["s_volume_name"])
        files = len({use.ino for use in self.usage.uses if use.kind == DATA})
        size = image.block_size
        parts = [
            f"{many(image.blocks_count, 'blocks')} of {human(size)}",
            human(image.blocks_count * size),
        ]
        if image.format.journal_dev:
            parts.append("an external journal")
        else:
            parts += [many(image.counted_groups, "groups"), f"{many(files, 'files')} with blocks"]
        return (f"{display_path(label)}: " if label else "") + ", ".join(parts)

    def _scale_text(self) -> str:
        scale, size = self.scale, self.image.block_size
        line = scale.cell_blocks * scale.columns
        cell = f"A cell is {many(scale.cell_blocks, 'blocks')} ({human(scale.cell_blocks * size)})"
        text = f"{cell}, a line {human(line * size)}"
        if scale.groups_per_row > 1:
            text += f", or {scale.groups_per_row} groups"
        elif scale.lines_per_row == 1:
            text += ", or a group" if scale.rows > 1 else ""
        else:
            text += f", and a group {scale.lines_per_row} lines" if scale.rows > 1 else ""
        if scale.cell_blocks > 1:
            text += "; a cell with several uses shows each in proportion to its blocks"
        if not self.usage.is_complete:
            text += "; damage maps blocks so often that some uses are left out"
        return text + "."

    def style(self) -> str:
        """Return the style sheet for both themes."""
        light = [f".c{place}{{fill:{row.light}}}" for place, row in self._used()]
        dark = [f".c{place}{{fill:{row.dark}}}" for place, row in self._used()]
        return (
            "svg{font:12px system-ui,sans-serif;background:#fff}text{fill:#1f2328}"
            ".q{fill:#59636e}.l{text-anchor:end}.t{font-size:15px;font-weight:600}"
            ".s{fill:#1f2328}.p{fill:#8b949e}"
            + "".join(light)
            + "\n@media(prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#e6edf3}"
            ".q{fill:#9198a1}.s{fill:#d0d7de}.p{fill:#6e7681}" + "".join(dark) + "}\n"
        )

    def _used(self) -> Iterator[tuple[int, Class]]:
        for place in self.shown:
            yield place, self.classes.classes[place]

    def _parts(self) -> Iterator[str]:
        yield f'<text class="t" x="{MARGIN}" y="26">{escaped(self.title)}</text>'
        yield f'<text class="q" x="{MARGIN}" y="46">{escaped(self._scale_text())}</text>'
        yield from self._labels()
        yield from self._cells()
        if self.hole_bytes:
            yield from self._strips()
        yield from self._legend()

    def _labels(self) -> Iterator[str]:
        scale = self.scale
        height = scale.lines_per_row * self.step + self.gap
        every = max(1, ceil_div(LABEL_STEP, height))
        for row in range(0, scale.rows, every):
            group = row * scale.groups_per_row
            last = min(group + scale.groups_per_row, self.image.counted_groups) - 1
            text = f"group {group}" if last == group else f"groups {group}-{last}"
            if self.image.format.journal_dev:
                text = "journal"
            if len(text) > LABEL_LETTERS:
                text = text.removeprefix("groups ")
            y = self.top_of(row * scale.lines_per_row) + self.line - 1
            yield f'<text class="q l" x="{LEFT - 10}" y="{y}">{text}</text>'
            if scale.lines_of(row) > 1:
                start = scale.first + row * scale.row_blocks
                yield (
                    f'<text class="q l" x="{LEFT - 10}" y="{y + LABEL_STEP}">from {start:,}</text>'
                )

    # -- cells -------------------------------------------------------------------------------------

    def _cells(self) -> Iterator[str]:
        """Yield a path for each class; that of the free class is below all others."""
        paths: dict[int, list[str]] = {self.classes.free: list(self._background())}
        for cells, stack in self._stretches():
            cell, count = cells
            line, column = divmod(cell, self.scale.columns)
            x, width = LEFT + column * self.cell_width, count * self.cell_width
            bottom = 10 * (self.top_of(line) + self.line)
            for number, height in stack:
                bottom -= height
                if number != self.classes.free:
                    paths.setdefault(number, []).append(_rectangle(x, bottom, width, height))
        for number in sorted(paths, key=lambda number: (number != self.classes.free, number)):
            if paths[number]:
                yield f'<path class="c{number}" d="{"".join(paths[number])}"/>'

    def _background(self) -> Iterator[str]:
        if not self.blocks[self.classes.free]:
            return
        scale, line = self.scale, 0
        for row in range(scale.rows):
            for place in range(scale.lines_of(row)):
                first = (line + place) * scale.columns
                cells = sum(
                    1
                    for cell in range(first, first + scale.columns)
                    if scale.range_of(cell)[0] < scale.range_of(cell)[1]
                )
                top = 10 * self.top_of(line + place)
                yield _rectangle(LEFT, top, cells * self.cell_width, 10 * self.line)
            line += scale.lines_per_row

    def _stretches(self) -> Iterator[tuple[tuple[int, int], tuple[tuple[int, int], ...]]]:
        """Yield ((first cell, count), stack) for adjacent cells of a line with equal stacks."""
        start, count = 0, 0
        stack: tuple[tuple[int, int], ...] = ()
        for cell in sorted(self.counts):
            new = self._stack(self.counts[cell])
            if count and cell == start + count and new == stack and cell % self.scale.columns:
                count += 1
                continue
            if count:
                yield (start, count), stack
            start, count, stack = cell, 1, new
        if count:
            yield (start, count), stack

    def _stack(self, here: dict[int, int]) -> tuple[tuple[int, int], ...]:
        """Return (class, height in tenths of a pixel) from the bottom up; no class vanishes."""
        whole, total = 10 * self.line, sum(here.values())
        if len(here) == 1:
            return ((next(iter(here)), whole),)
        least = min(10, whole // len(here))
        heights = {number: max(least, whole * here[number] // total) for number in sorted(here)}
        # The largest class compensates for minimum heights and rounding.
        largest = max(heights, key=lambda number: (heights[number], number))
        heights[largest] = max(least, heights[largest] + whole - sum(heights.values()))
        return tuple(heights.items())

    def _strips(self) -> Iterator[str]:
        """Yield strips below each line that mark the blocks stored in the image file."""
        size = self.image.block_size
        stored: Counts = counted(
            self.scale, ((first // size, ceil_div(last, size), 0) for first, last in self.stored)
        )
        for name, whole in (("s", True), ("p", False)):
            parts = []
            start, count = -2, 0
            for cell in [*sorted(stored), -1]:
                if cell >= 0:
                    low, high = self.scale.range_of(cell)
                    if (stored[cell][0] >= high - low) is not whole:
                        continue
                    if cell == start + count and cell % self.scale.columns:
                        count += 1
                        continue
                if count:
                    line, column = divmod(start, self.scale.columns)
                    x, top = LEFT + column * self.cell_width, self.top_of(line) + self.line
                    width = count * self.cell_width
                    parts.append(_rectangle(x, 10 * top, width, 10 * STRIP))
                start, count = cell, 1
            if parts:
                yield f'<path class="{name}" d="{"".join(parts)}"/>'

    # -- legend ------------------------------------------------------------------------------------

    def _legend(self) -> Iterator[str]:
        size = self.image.block_size
        rows = []
        for label, places in self.legend.items():
            count = sum(self.blocks[place] for place in places)
            rows.append(([f"c{place}" for place in places], label, _amount(count, size)))
        if self.hole_bytes > 0:
            text = f"{human(self.stored_bytes)}; {human(self.hole_bytes)} are holes"
            rows.append((["s"], "line below: stored in the file", text))
        column = (self.width - 2 * MARGIN) // LEGEND_COLUMNS
        lines = ceil_div(len(rows), LEGEND_COLUMNS)
        top = TOP + self.grid_height + 34
        for place, (names, label, amount) in enumerate(rows):
            x = MARGIN + place // lines * column
            y = top + place % lines * LEGEND_STEP
            height, lower = (11, 0) if names != ["s"] else (STRIP, 8)
            width = max(14 // len(names), 5)
            for number, name in enumerate(names):
                yield (
                    f'<rect class="{name}" x="{x + number * width}" y="{y - 10 + lower}" '
                    f'width="{width}" height="{height}"/>'
                )
            yield (
                f'<text x="{x + 8 + len(names) * width}" y="{y}">{escaped(_short(label))} '
                f'<tspan class="q">{amount}</tspan></text>'
            )


def _amount(blocks: int, size: int) -> str:
    return f"{many(blocks, 'blocks')} ({human(blocks * size)})"


def _short(label: str) -> str:
    return label if len(label) <= 32 else f"{label[:29]}..."


def _rectangle(x: int, top: int, width: int, height: int) -> str:
    """Return a rectangle as path data; ``top`` and ``height`` are in tenths of a pixel."""
    return f"M{x} {_tenths(top)}h{width}v{_tenths(height)}h-{width}z"


def _tenths(number: int) -> str:
    whole, tenth = divmod(number, 10)
    return f"{whole}.{tenth}" if tenth else f"{whole}"
