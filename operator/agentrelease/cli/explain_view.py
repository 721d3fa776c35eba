"""How a decision came about, for people: what was known, which rules were looked at, and the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import MetricStatus
from agentrelease.cli.guardrail_table import guardrail_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from agentrelease.cli.session import Printer
    from agentrelease.core.chain import Link
    from agentrelease.core.explanation import Explanation


def whole_entries(links: Iterable[Link]) -> list[Mapping[str, Any]]:
    """Return the entries that are whole enough to be run again."""
    return [link.entry for link in links if link.entry and "inputs" in link.entry]


def print_explanation(printer: Printer, entry: Mapping[str, Any], explanation: Explanation) -> None:
    """Print a decision, what it rested on, the rules in their order, and whether it came out the same."""
    outcome, inputs = entry["outcome"], entry["inputs"]
    printer.say(
        f"{entry['id']} at {entry['at']}, {entry['namespace']}/{entry['release']}, "
        f"revision {entry['revision']}, epoch {entry['epoch']}"
    )
    printer.say(f"{outcome['move']}: {outcome['cause']}: {outcome['reason']}")
    printer.say(f"exposure: {outcome['direction']}; intended from now on: {_exposure(outcome['intended'])}")
    printer.say("")
    printer.say("what was known")
    for sentence in _known(inputs, outcome):
        printer.say(f"  {sentence}")
    printer.say("")
    printer.say("rules, in their order; the first that applies decides")
    for one in explanation.considered:
        sign = printer.frame().glyphs.current if one.step else printer.frame().glyphs.ahead
        said = f": {one.step.move}, {one.step.cause}: {one.step.reason}" if one.step else ""
        printer.say(f"  {sign} {one.rule}{said}")
    if outcome["metrics"]:
        metrics = [MetricStatus.model_validate(metric) for metric in outcome["metrics"]]
        printer.say("")
        printer.console.print(guardrail_table(metrics, printer.frame(), len(metrics)))
        for metric in metrics:
            place = f" in {metric.stratum}" if metric.stratum else ""
            printer.say(f"  {metric.name}{place}: {metric.why}{_evidence(metric)}")
    printer.say("")
    if explanation.reproduced:
        printer.say(f"Decided again on the same inputs: the same, bit for bit; status {outcome['status']}.")
    else:
        printer.say(f"Decided again on the same inputs: DIFFERENT in {', '.join(explanation.differs)}.")


def _evidence(metric: MetricStatus) -> str:
    """Say the evidence both ways as odds, each with the odds that decide; nothing where nothing is tested."""
    said = [
        f"{what} {_odds(evidence)} ({_odds(bound)} proves it)"
        for what, evidence, bound in (
            ("for harm", metric.harm_evidence, metric.harm_bound),
            ("for safety", metric.safe_evidence, metric.safe_bound),
        )
        if bound > 0 and (what == "for harm" or metric.safe_evidence or metric.needed)
    ]
    return f"; evidence {', '.join(said)}" if said else ""


def _odds(decimal_log: float) -> str:
    """Write an e-value of which the decimal logarithm is given; one below 1 speaks for the contrary."""
    if decimal_log <= 0:
        return "none"
    return "more than a million to 1" if decimal_log > 6 else f"{float(f'{10**decimal_log:.2g}'):,g} to 1"


def _known(inputs: Mapping[str, Any], outcome: Mapping[str, Any]) -> Iterator[str]:
    status, live, measured = inputs["release"]["status"], inputs["live"], inputs["measured"]
    candidate = status.get("candidate")
    if candidate:
        where = candidate.get("phaseName") or candidate["stage"]
        yield f"candidate {candidate['revision']} in {where}, desired {inputs['desired']['revision']}"
    else:
        yield f"no candidate, desired {inputs['desired']['revision']}"
    yield f"live: {_exposure(live['exposure']) if live['exposure'] else 'unknown'}"
    for missing in (live["flags"], live["traffic"], live["lowered"] and f"lowered: {live['lowered']}"):
        if missing:
            yield f"live: {missing}"
    if measured["at"]:
        weight = "unknown" if measured["weight"] is None else f"{measured['weight']:.2f} %"
        tasks = "unknown" if measured["tasks"] is None else f"{measured['tasks']:g}"
        yield f"measured: weight {weight}, {tasks} tasks, autonomy {measured['autonomy'] or 'unknown'}"
    if outcome["verdict"]:
        yield f"evidence: {outcome['verdict']}" + (f", {outcome['action']}" if outcome["action"] else "")
    for word in ("blind", "regained", "closed", "approval", "claim", "halt"):
        if inputs.get(word):
            yield f"{word}: {inputs[word]}"
    if not inputs["leading"]:
        yield "this replica did not lead"


def _exposure(exposure: Mapping[str, Any]) -> str:
    cohort = exposure["cohort"]
    parts = [f"weight {exposure['weight']:g} %", str(exposure["autonomy"])]
    parts += [f"mirror {exposure['mirror']:g} %"] if exposure["mirror"] else []
    parts += [f"cohort {cohort['name']}={cohort['value']}"] if cohort else []
    return ", ".join(parts)
