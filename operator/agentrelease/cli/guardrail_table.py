"""The guardrails of a release: both arms, the interval, and how far either proof has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.cli.figures import count, percent, points
from agentrelease.cli.frame import style_of, tone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text

    from agentrelease.api.status import ArmCount, MetricStatus
    from agentrelease.cli.frame import Frame

_NO_NEED = {"harm", "unjudged"}
"""Verdicts that no number of tasks changes."""

_URGENCY = ("bad", "warn", "wait", "plain", "good")


def toward(evidence: float, bound: float) -> float:
    """Return how far evidence has come toward its bound, 0 to 1 and beyond; without a bound it is nowhere."""
    return evidence / bound if bound > 0 else 0.0


def guardrail_table(metrics: Sequence[MetricStatus], frame: Frame, rows: int) -> Table:
    """Return the table with at most ``rows`` guardrails; the most urgent ones if not all fit."""
    wide = ["class"] if frame.wide else []
    table = frame.table(
        "guardrail",
        *wide,
        ">candidate",
        ">stable",
        ">points",
        "harm",
        "safe",
        "verdict",
        ">needs",
        yielding=0,
    )
    names = list(dict.fromkeys(metric.name for metric in metrics))
    shown = sorted(metrics, key=lambda metric: names.index(metric.name))  # strata below their metric
    if len(shown) > rows:
        shown = sorted(shown, key=lambda m: _URGENCY.index(tone(m.verdict)))[: max(rows - 1, 1)]
    before = ""
    for metric in shown:
        table.add_row(*_row(metric, frame, before))
        before = metric.name
    if len(shown) < len(metrics) and rows > 1:
        table.add_row(frame.text(f"and {len(metrics) - len(shown)} more", "dim"))
    return table


def guardrail_words(metrics: Sequence[MetricStatus], frame: Frame, rows: int) -> list[Text]:
    """Say in words what figures of two arms can't: pairs of answers, their absence, and evaluations."""
    told = [metric for metric in metrics if metric.compared and not metric.stratum]
    told.sort(key=lambda metric: _URGENCY.index(tone(metric.verdict)))
    return [frame.text(f"{metric.name}: {metric.why}", "dim") for metric in told[: max(rows, 0)]]


def _row(metric: MetricStatus, frame: Frame, before: str) -> list[Text]:
    glyphs = frame.glyphs
    wide = [frame.text(metric.class_, "dim")] if frame.wide else []
    return [
        frame.text(_name(metric, before)),
        *wide,
        frame.text(_arm(metric.candidate, glyphs.unknown)),
        frame.text(_rate(metric.stable, glyphs.unknown)),
        frame.text(_difference(metric, glyphs.unknown)),
        _bar(metric.harm_evidence, metric.harm_bound, "red", frame),
        _bar(metric.safe_evidence, metric.safe_bound, "green", frame),
        frame.text(f"{_sign(metric.verdict, frame)} {metric.verdict}", style_of(metric.verdict)),
        frame.text(count(metric.needed) if metric.needed and metric.verdict not in _NO_NEED else ""),
    ]


def _bar(evidence: float, bound: float, style: str, frame: Frame) -> Text:
    """Draw evidence toward its bound; nothing where one occurrence is enough and there is no bound."""
    if bound <= 0:
        return frame.text("")
    return frame.text(frame.glyphs.bar(toward(evidence, bound), 6 if frame.wide else 4), style)


def _name(metric: MetricStatus, before: str) -> str:
    if not metric.stratum:
        return metric.name
    return f"  {metric.stratum}" if before == metric.name else f"{metric.name} {metric.stratum}"


def _arm(arm: ArmCount | None, unknown: str) -> str:
    if arm is None:
        return unknown
    if arm.n <= 0:
        return count(arm.x) if arm.x else unknown
    return f"{count(arm.x)}/{count(arm.n)} {percent(arm.x / arm.n):>6}"


def _rate(arm: ArmCount | None, unknown: str) -> str:
    return unknown if arm is None or arm.n <= 0 else percent(arm.x / arm.n)


def _difference(metric: MetricStatus, unknown: str) -> str:
    if metric.low is not None and metric.high is not None:
        return points(metric.low, metric.high)
    return unknown if metric.difference is None else f"{metric.difference * 100:+.1f}"


def _sign(verdict: str, frame: Frame) -> str:
    glyphs = frame.glyphs
    return {"good": glyphs.good, "bad": glyphs.bad, "warn": "!"}.get(tone(verdict), glyphs.waiting)
