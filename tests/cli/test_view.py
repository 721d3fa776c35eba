"""The live view, as text, against recorded pictures (``AGENTRELEASE_REDRAW=1`` draws them anew)."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from agentrelease.cli.view import view

PICTURES = Path(__file__).parent / "pictures"
SIZES = {"100x35": (100, 35), "80x24": (80, 24), "pipe": (100, None)}


def drawn(release, now, columns=100, rows=None, *, encoding="utf-8", colour=False):
    sink = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(
        file=sink,
        width=columns,
        height=rows or 35,
        force_terminal=colour,
        color_system="standard" if colour else None,
    )
    console.print(view(release, now, rows))
    sink.flush()
    return sink.buffer.getvalue().decode(encoding)


def same_as(picture: str, text: str) -> None:
    path = PICTURES / f"{picture}.txt"
    lines = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    if os.environ.get("AGENTRELEASE_REDRAW"):
        path.write_text(lines, encoding="utf-8")
    assert lines == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("size", SIZES)
def test_a_canary_shows_exposure_three_times_and_both_proofs_of_every_guardrail(recorded, size):
    columns, rows = SIZES[size]
    same_as(f"canary-{size}", drawn(recorded.release(recorded.canary), recorded.now, columns, rows))


def test_a_terminal_without_unicode_gets_the_same_picture_in_ascii(recorded):
    text = drawn(recorded.release(recorded.canary), recorded.now, 80, 24, encoding="ascii")
    same_as("canary-ascii", text)


def test_a_release_the_operator_has_not_seen_says_so(recorded):
    same_as("unseen", drawn(recorded.release({}), recorded.now))


def test_a_candidate_that_is_loading_exposes_nothing_and_names_its_slot(recorded):
    loading = {"stage": "Loading", "phaseIndex": -1, "phaseName": "", "confirmedAt": 0}
    status = {
        "phase": "Loading",
        "verdict": "SlotLoading",
        "reason": "0 of 2 pods of support-green run support-77aa01b2c3",
        "stable": recorded.stable,
        "candidate": {**recorded.canary["candidate"], **loading},
    }
    same_as("loading", drawn(recorded.release(status), recorded.now))


def test_a_withdrawal_shows_where_the_objects_still_expose_more_than_was_intended(recorded):
    status = {
        **recorded.canary,
        "phase": "RollingBack",
        "verdict": "RollbackIncomplete",
        "reason": "the route still leads 5 % of the traffic to the candidate",
        "candidate": {**recorded.canary["candidate"], "stage": "Withdrawing", "outcome": "RolledBack"},
        "exposure": {**recorded.canary["exposure"], "intended": {}},
    }
    same_as("withdrawing", drawn(recorded.release(status), recorded.now))


def test_a_rolled_back_release_keeps_showing_the_guardrail_that_stopped_it(recorded):
    harm = {**recorded.canary["metrics"][1], "verdict": "harm", "harmEvidence": 1.31, "needed": None}
    reason = "policy-violations: proven worse than tolerated, 9 of 240 tasks against 2 of 4100 at stable"
    status = {
        "phase": "RolledBack",
        "verdict": "Refused",
        "reason": f"support-77aa01b2c3 was rolled back before: {reason}",
        "stable": recorded.stable,
        "metrics": [harm],
        "refused": [{"digest": "sha256:" + "2" * 64, "revision": "support-77aa01b2c3", "reason": reason}],
        "history": recorded.canary["history"],
    }
    same_as("rolled-back", drawn(recorded.release(status), recorded.now))


def test_a_promoted_release_has_every_phase_behind_it(recorded):
    status = {
        "phase": "Promoted",
        "verdict": "Promoted",
        "reason": "support-3f9a0c11de serves at full-action",
        "stable": recorded.stable,
        "previous": recorded.previous,
    }
    same_as("promoted", drawn(recorded.release(status), recorded.now))


@pytest.mark.parametrize("rows", [24, 30, 35])
def test_it_never_grows_over_the_rows_it_has_however_many_guardrails_there_are(recorded, rows):
    many = [{**recorded.canary["metrics"][0], "name": f"metric-{n}"} for n in range(40)]
    status = {**recorded.canary, "metrics": many, "reason": "word " * 150}
    assert len(drawn(recorded.release(status), recorded.now, 80, rows).splitlines()) <= rows


def test_when_not_all_guardrails_fit_the_urgent_ones_come_first(recorded):
    quiet = [{**recorded.canary["metrics"][0], "name": f"metric-{n}"} for n in range(40)]
    harm = {**recorded.canary["metrics"][1], "name": "the-one-that-hurts", "verdict": "harm"}
    text = drawn(recorded.release({**recorded.canary, "metrics": [*quiet, harm]}), recorded.now, 80, 24)
    assert "the-one-that-hurts" in text
    assert "more" in text


def test_text_from_the_cluster_cannot_send_commands_to_the_terminal(recorded):
    status = {**recorded.canary, "reason": "a\x1b]0;owned\x07b\r\nc [red]not markup[/red]"}
    text = drawn(recorded.release(status), recorded.now)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]not markup[/red]" in text


def test_colour_adds_nothing_that_the_words_do_not_say(recorded):
    release = recorded.release(recorded.canary)
    plain = drawn(release, recorded.now, 100, 35)
    coloured = drawn(release, recorded.now, 100, 35, colour=True)
    assert "\x1b[" in coloured
    assert Console(width=200).render_str(plain).plain  # it is text to begin with
    import re

    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_a_paused_release_says_so_in_its_first_line(recorded):
    text = drawn(recorded.release(recorded.canary, paused=True), recorded.now)
    assert "PAUSED" in text.splitlines()[0]


def test_what_the_status_does_not_know_stands_in_the_first_line(recorded):
    release = recorded.release(recorded.canary)
    console = Console(file=io.StringIO(), width=100)
    console.print(view(release, recorded.now, notes=("HALTED",)))
    assert "HALTED" in console.file.getvalue().splitlines()[0]


def test_an_operator_that_has_not_looked_for_long_is_noticed_from_the_status_alone(recorded):
    release = recorded.release(recorded.canary)
    assert "last look" not in drawn(release, recorded.now + 50)
    assert "last look 2m01s ago" in drawn(release, recorded.now + 120).splitlines()[0]


def test_evidence_that_begins_anew_is_said_with_its_reason(recorded):
    said = "the evidence was lost and can't be rebuilt: the guardrails were changed; it is earned anew"
    for status, shown in (("False", True), ("True", False), ("Unknown", False)):
        kept = {"type": "EvidenceKept", "status": status, "reason": "BegunAnew", "message": said}
        text = drawn(recorded.release({**recorded.canary, "conditions": [kept]}), recorded.now, 120, 35)
        assert (f"evidence: {said}" in text) is shown


PAIRED = {
    "name": "task-completion",
    "class": "quality",
    "verdict": "collecting",
    "compared": "pairs",
    "why": "412 pairs of answers to the same request: 31 bad only in the candidate, 4 only in stable",
}
GOLD = {
    "name": "gold-incidents",
    "class": "quality",
    "verdict": "harm",
    "compared": "evaluation",
    "why": "11 of 100 cases bad (11 %) of gold-incidents: worse than the bound of 10 %",
}


@pytest.mark.parametrize("size", SIZES)
def test_pairs_and_evaluations_are_said_in_words_and_everything_still_fits(recorded, size):
    columns, rows = SIZES[size]
    status = {**recorded.canary, "metrics": [*recorded.canary["metrics"], PAIRED, GOLD]}
    lines = drawn(recorded.release(status), recorded.now, columns, rows).splitlines()
    assert any(line.startswith("gold-incidents: 11 of 100 cases bad (11 %)") for line in lines)
    assert any(line.startswith("task-completion: 412 pairs of answers to the same request") for line in lines)
    assert all(len(line) <= columns for line in lines)
    assert rows is None or len(lines) <= rows
