"""Tables for the terminal and the same numbers as Markdown for the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from bench.decisions.agreement import Sampled
    from bench.decisions.goals import Goal
    from bench.decisions.rollouts import Whole
    from bench.decisions.study import Delay, Row

Lines = list[list[str]]
_WHOLE = "rolled back", "promoted", "returned in the watch"


def summary(rows: Sequence[Row]) -> tuple[list[str], Lines]:
    """Mean over scenarios, worst in brackets, by rule and traffic."""
    volumes = sorted({row.per_minute for row in rows})
    head = ["rule"]
    for what in ("false rollback", "bad promoted", "good promoted"):
        head += [f"{what}, {volume:g}/min" for volume in volumes]
    lines: Lines = []
    for rule in dict.fromkeys(row.rule for row in rows):
        line = [rule]
        for good, field in ((True, "rolled_back"), (False, "promoted"), (True, "promoted")):
            for volume in volumes:
                shares = [getattr(r, field) for r in _of(rows, rule, volume) if r.good == good and not r.late]
                worst = min(shares) if (good and field == "promoted") else max(shares)
                line.append(f"{100 * sum(shares) / len(shares):.1f} ({100 * worst:.1f})")
        lines.append(line)
    return head, lines


def detail(rows: Sequence[Row], volume: float) -> tuple[list[str], Lines]:
    """Each scenario at one traffic: rolled back / promoted in per cent; tasks and excess harm until then."""
    rules = list(dict.fromkeys(row.rule for row in rows))
    lines: Lines = []
    for scenario in dict.fromkeys(row.scenario for row in rows):
        line = [scenario]
        for rule in rules:
            row = next(r for r in _of(rows, rule, volume) if r.scenario == scenario)
            said = f"{100 * row.rolled_back:.0f} / {100 * row.promoted:.0f}"
            if row.rolled_back > 0 and not row.good:
                said += f", {row.tasks:,.0f} ({row.excess:,.0f})"
            line.append(said)
        lines.append(line)
    return ["scenario", *rules], lines


def delay_lines(delays: Sequence[Delay]) -> tuple[list[str], Lines]:
    head = ["effect", "information bound", "mean tasks to rollback", "ratio", "median"]
    return head, [
        [d.effect, f"{d.bound:,.0f}", f"{d.mean:,.0f}", f"{d.ratio:.2f}", f"{d.median:,.0f}"] for d in delays
    ]


def whole_lines(wholes: Sequence[Whole]) -> tuple[list[str], Lines]:
    """Whole rollouts: per cent of the runs at each traffic."""
    volumes = sorted({w.per_minute for w in wholes})
    head = ["scenario"] + [f"{what}, {v:g}/min" for v in volumes for what in _WHOLE]
    lines: Lines = []
    for scenario in dict.fromkeys(w.scenario for w in wholes):
        line = [scenario]
        for volume in volumes:
            one = next(w for w in wholes if w.scenario == scenario and w.per_minute == volume)
            watched = f"{100 * one.returned:.1f}" if one.good or one.later else "–"
            after = f" ({one.hours:,.1f} h after)" if one.later and one.returned else ""
            line += [f"{100 * one.rolled_back:.1f}", f"{100 * one.promoted:.1f}", watched + after]
        lines.append(line)
    return head, lines


def installed_lines(rows: Sequence[Row]) -> tuple[list[str], Lines]:
    """The operator alone, in blocks of five seconds; ticks are blocks."""
    head = ["scenario", "rolled back", "promoted", "tasks to rollback", "minutes to promotion, median"]
    lines: Lines = []
    for row in rows:
        line = [row.scenario, f"{100 * row.rolled_back:.1f}", f"{100 * row.promoted:.1f}"]
        line.append(f"{row.tasks:,.0f}" if row.rolled_back > 0 and not row.good else "–")
        line.append(f"{row.minutes_to_promote / 12:,.0f}" if row.promoted > 0 else "–")
        lines.append(line)
    return head, lines


def agreement_lines(sampled: Sequence[Sampled]) -> tuple[list[str], Lines]:
    """Which runs were played twice, and where both did not agree."""
    differ = [one for one in sampled if not one.same]
    cases = len({one.case for one in sampled})
    lines = [[f"{len(sampled):,} runs of {cases} cases", f"{len(sampled) - len(differ):,}", str(len(differ))]]
    lines += [[f"{one.case}, run {one.run}", one.said, "DIFFERS"] for one in differ]
    return ["played by the arrays and by the operator's own functions", "agree", "differ"], lines


def goal_lines(goals: Sequence[Goal]) -> tuple[list[str], Lines]:
    return ["goal", "measured", "limit", ""], [
        [
            g.text,
            f"{g.value:,.3g} {g.unit}" if g.value < 1000 else f"{g.value:,.0f} {g.unit}",
            f"{g.limit:,g} {g.unit}",
            "pass" if g.met else "FAIL",
        ]
        for g in goals
    ]


def table(console: Console, title: str, head: list[str], lines: Lines) -> None:
    drawn = Table(title=title, title_justify="left", header_style="bold")
    for place, column in enumerate(head):
        drawn.add_column(column, justify="left" if place == 0 else "right")
    for line in lines:
        style = "red" if line[-1] == "FAIL" else None
        drawn.add_row(*line, style=style)
    console.print(drawn)


def markdown(title: str, head: list[str], lines: Lines) -> str:
    rows = [f"| {' | '.join(row)} |" for row in (head, ["---", *["---:"] * (len(head) - 1)], *lines)]
    return f"## {title}\n\n" + "\n".join(rows) + "\n"


def _of(rows: Sequence[Row], rule: str, volume: float) -> list[Row]:
    return [row for row in rows if row.rule == rule and row.per_minute == volume]
