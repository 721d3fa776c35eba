"""Plots as plain SVG: no plotting library, the same file on every machine."""

from __future__ import annotations

from html import escape
from math import log10
from typing import TYPE_CHECKING

from bench.decisions.study import OURS, Delay, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

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
            parts += [_bar(LEFT + offset, y, half, "none"), _bar(LEFT + offset, y, half * mean, color)]
            parts.append(_dot(LEFT + offset + half * worst, y + BAR / 2, INK))
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
        parts.append(_line((at(ticks), 48), (at(ticks), height - 20), LINE))
        parts.append(_text(at(ticks), 44, f"{ticks:,}", anchor="middle"))
    for place, one in enumerate(delays):
        y = 62 + place * (BAR + GAP)
        parts.append(_text(LEFT - 10, y + 4, one.effect, anchor="end"))
        parts.append(_line((at(one.bound), y), (at(one.mean), y), OUR))
        parts.append(_line((at(one.bound), y - 7), (at(one.bound), y + 7), INK))
        parts += [_dot(at(one.median), y, "white"), _dot(at(one.mean), y, OUR)]
        parts.append(_text(at(one.mean) + 9, y + 4, f"{one.ratio:.2f} x"))
    return _svg(height, parts)


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _bar(x: float, y: float, width: float, fill: str) -> str:
    edge = f' stroke="{LINE}"' if fill == "none" else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" fill="{fill}"{edge}/>'


def _dot(x: float, y: float, fill: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{INK}"/>'


def _line(start: tuple[float, float], end: tuple[float, float], color: str) -> str:
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="2"/>'
    )


def _svg(height: float, parts: list[str]) -> str:
    head = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    font = f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {head} {font}>',
            '<rect width="100%" height="100%" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )
