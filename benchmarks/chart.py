"""A bar chart in plain SVG, for a README."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from .figures import Outcome, Record, Results, Spread, seconds

WIDTH = 760
MARGIN = 16
LABELS = 176
VALUES = 96
BAR = 14
STEP = 22
TITLE = 30
GAP = 14
HEAD = 44

STYLE = """\
text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
.head { font-size: 16px; font-weight: 600; }
.title { font-weight: 600; }
.small { font-size: 11px; fill: #59636e; }
.paper { fill: #ffffff; }
.ours { fill: #1a7f37; }
.other { fill: #9ba4ae; }
.range { stroke: #1f2328; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .small { fill: #9198a1; }
  .paper { fill: #0d1117; }
  .ours { fill: #3fb950; }
  .other { fill: #656c76; }
  .range { stroke: #e6edf3; }
}"""


def chart(results: Results, subtitle: str) -> str:
    """Draw the seconds of each tool as bars, one group for each workload; return SVG."""
    body: list[str] = []
    top = HEAD + MARGIN
    for outcome in results.values():
        bars = list(_bars(outcome)) if outcome.chart else []
        if bars:
            body += _group(outcome.chart, bars, top)
            top += TITLE + len(bars) * STEP + GAP
    height = top + MARGIN
    area = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    head = "Time to make an image; shorter is better"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {area} role="img" aria-labelledby="title">',
            f'<title id="title">{head}</title>',
            f"<style>\n{STYLE}\n</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
            _text(MARGIN, 28, head, "head"),
            _text(MARGIN, 46, escape(subtitle), "small"),
            *body,
            "</svg>",
            "",
        ]
    )


def _bars(outcome: Outcome) -> Iterator[tuple[Record, Spread]]:
    for record in outcome.records.values():
        wall = record.spread("wall")
        if record.charted and wall is not None:
            yield record, wall


def _group(title: str, bars: list[tuple[Record, Spread]], top: int) -> Iterator[str]:
    room = WIDTH - 2 * MARGIN - LABELS - VALUES
    scale = room / max(wall.high for _, wall in bars)
    left = MARGIN + LABELS
    yield _text(MARGIN, top + 16, escape(title), "title")
    for number, (record, wall) in enumerate(bars):
        y = top + TITLE + number * STEP
        middle = y + BAR / 2
        low, high = left + wall.low * scale, left + wall.high * scale
        kind = "ours" if record.ours else "other"
        yield _text(left - 8, y + 12, escape(record.label), anchor="end")
        yield (
            f'<rect class="{kind}" x="{left}" y="{y}" width="{max(1, wall.median * scale):.1f}" '
            f'height="{BAR}" rx="2"/>'
        )
        if high - low >= 1:
            yield (
                f'<path class="range" d="M{low:.1f} {middle}H{high:.1f}'
                f'M{low:.1f} {middle - 3}v6M{high:.1f} {middle - 3}v6"/>'
            )
        yield _text(max(high, left + 1) + 8, y + 12, escape(seconds(wall.median)))


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y}"{attributes}>{text}</text>'
