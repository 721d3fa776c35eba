"""Plots as plain SVG: no plotting library, the same file on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10

from bench.decisions.study import OURS, Delay, Row

WIDTH, LEFT, BAR, GAP = 760, 150, 13, 16
OUR, THEIR, LINE, INK = "#1a7f5a", "#8a94a6", "#d0d5dd", "#1f2937"


def errors(rows: Sequence[Row], volume: float) -> str:
    """Two wrongs side by side: good releases rolled back, bad ones promoted; means over scenarios."""
    rules = list(dict.fromkeys(row.rule for row in rows))
    half = (WIDTH - LEFT - 60) / 2
    height = 70 + len(rules) * (BAR + GAP)
    parts = [
        _text(
            LEFT,
            24,
            f"Wrong decisions at {volume:g} requests a minute, mean over scenarios (dot: worst)",
            bold=True,
        ),
        _text(LEFT, 48, "good releases rolled back, %"),
        _text(LEFT + half + 40, 48, "bad releases promoted, %"),
    ]
    for place, rule in enumerate(rules):
        y = 60 + place * (BAR + GAP)
        parts.append(_text(LEFT - 10, y + BAR - 2, rule, anchor="end", bold=rule == OURS))
        for offset, good, field in ((0.0, True, "rolled_back"), (half + 40, False, "promoted")):
            shares = [
                getattr(r, field) for r in rows
                if r.rule == rule and r.per_minute == volume and r.good == good and not r.late
            ]  # fmt: skip
            mean, worst = sum(shares) / len(shares), max(shares)
            color = OUR if rule == OURS else THEIR
            parts.append(
                f'<rect x="{LEFT + offset:.1f}" y="{y}" width="{half:.1f}" height="{BAR}" fill="none" stroke="{LINE}"/>'
            )
            parts.append(
                f'<rect x="{LEFT + offset:.1f}" y="{y}" width="{half * mean:.1f}" height="{BAR}" fill="{color}"/>'
            )
            parts.append(
                f'<circle cx="{LEFT + offset + half * worst:.1f}" cy="{y + BAR / 2}" r="3.5" fill="{INK}"/>'
            )
            parts.append(_text(LEFT + offset + half * mean + 6, y + BAR - 2, f"{100 * mean:.1f}"))
    return _svg(height, parts)


def delay(delays: Sequence[Delay]) -> str:
    """Tasks until rollback against the information bound, on a logarithmic axis."""
    height = 80 + len(delays) * (BAR + GAP)
    low, high = 1.5, 4.0
    scale = (WIDTH - LEFT - 60) / (high - low)
    at = lambda tasks: LEFT + scale * (log10(max(tasks, 32)) - low)  # noqa: E731
    parts = [_text(LEFT, 24, "Candidate tasks until rollback: bound (line), median, mean", bold=True)]
    for ticks in (100, 1000, 10000):
        parts.append(
            f'<line x1="{at(ticks):.1f}" y1="48" x2="{at(ticks):.1f}" y2="{height - 20}" stroke="{LINE}"/>'
        )
        parts.append(_text(at(ticks), 44, f"{ticks:,}", anchor="middle"))
    for place, one in enumerate(delays):
        y = 62 + place * (BAR + GAP)
        parts.append(_text(LEFT - 10, y + 4, one.effect, anchor="end"))
        parts.append(
            f'<line x1="{at(one.bound):.1f}" y1="{y}" x2="{at(one.mean):.1f}" y2="{y}" stroke="{OUR}" stroke-width="2"/>'
        )
        parts.append(
            f'<line x1="{at(one.bound):.1f}" y1="{y - 7}" x2="{at(one.bound):.1f}" y2="{y + 7}" stroke="{INK}" stroke-width="2"/>'
        )
        parts.append(f'<circle cx="{at(one.median):.1f}" cy="{y}" r="3.5" fill="white" stroke="{OUR}"/>')
        parts.append(f'<circle cx="{at(one.mean):.1f}" cy="{y}" r="4.5" fill="{OUR}"/>')
        parts.append(_text(at(one.mean) + 9, y + 4, f"{one.ratio:.2f} x"))
    return _svg(height, parts)


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _svg(height: float, parts: list[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
