"""What is decided next, rule by rule: what is missing holds, and nothing that is missing stops a lowering."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from tests.support.situations import HALF, LOADING, NOW, WITHDRAWING, judged, standing, with_
from tests.support.stage import SPEC

from agentrelease.api.status import Outcome, Stage
from agentrelease.api.vocabulary import Action, Autonomy
from agentrelease.core import edits, intent
from agentrelease.core.decision import Direction, decide
from agentrelease.core.exposure import NOTHING
from agentrelease.core.situation import Desired, Live, Measured, Situation
from agentrelease.core.steps import Move


def test_what_has_everything_goes_on_to_the_next_phase() -> None:
    found = decide(standing(), NOW)
    assert (found.step.move, found.step.phase, found.direction) == (Move.ENTER, HALF + 1, Direction.RAISE)
    assert found.intended.weight == 100.0


HOLDS = {
    "no lease": ({"leading": False}, "NotLeading"),
    "a halt": ({"halt": "somebody halted all agents"}, "Halted"),
    "a halt flag": ({"live": {"halted": True}}, "Halted"),
    "another owner": ({"claim": "another release has the route"}, "Blocked"),
    "an unreadable lever": ({"live": {"exposure": None}}, "NotInSync"),
    "an unconfirmed lever": ({"live": {"traffic": "the route isn't accepted"}}, "NotInSync"),
    "another share measured": ({"measured": {"disagreement": "7 % arrive"}}, "NotMeasured"),
    "no evidence": ({"blind": "Prometheus is away"}, "EvidenceMissing"),
    "no judgement": ({"assessment": None}, "EvidenceMissing"),
    "too little": ({"assessment": judged(minutes=2)}, "Collecting"),
    "a closed window": ({"closed": "it is Friday"}, "WindowClosed"),
    "a missing approval": ({"approval": "nobody approved"}, "AwaitingApproval"),
}


@pytest.mark.parametrize("name", HOLDS)
def test_whatever_is_missing_holds_the_candidate_where_it_is(name: str) -> None:
    changed, cause = HOLDS[name]
    s = standing()
    found = decide(with_(s, changed), NOW)
    assert (found.step.move, found.step.cause) == (Move.KEEP, cause)
    assert found.intended == intent.exposure(s.release)
    assert found.direction is not Direction.RAISE


def overdue(then: str, **phase: str) -> dict[str, Any]:
    """Return a spec in which the phase ``half`` was to be decided long ago."""
    phases = deepcopy(SPEC["phases"])
    phases[HALF] |= {"deadline": "60s", "onDeadline": then, **phase}
    return {"phases": phases}


BREACHES = {
    "pause": (Action.PAUSE, "HeldByGuardrail"),
    "requireApproval": (Action.REQUIRE_APPROVAL, "ApprovalRequired"),
    "notify": (Action.NOTIFY, "GuardrailBreached"),
}
DEADLINES = {"hold": "DeadlinePassed", "requireApproval": "ApprovalRequired"}
MILD = [*(("breach", name) for name in BREACHES), *(("deadline", name) for name in DEADLINES)]


def mildly(kind: str, name: str, **candidate: Any) -> Situation:
    """A candidate that is held by a guardrail or a passed deadline, and by nothing else."""
    if kind == "deadline":
        return standing(spec=overdue(name), **candidate)
    return with_(standing(**candidate), {"assessment": judged(bad=12, minutes=15, action=BREACHES[name][0])})


@pytest.mark.parametrize(("kind", "name"), MILD)
def test_a_mild_breach_and_a_patient_deadline_hold(kind: str, name: str) -> None:
    found = decide(mildly(kind, name), NOW)
    cause = DEADLINES[name] if kind == "deadline" else BREACHES[name][1]
    assert (found.step.move, found.step.cause) == (Move.KEEP, cause)
    assert found.direction is not Direction.RAISE


@pytest.mark.parametrize(("kind", "name"), MILD)
def test_neither_stops_what_takes_exposure_back(kind: str, name: str) -> None:
    s = mildly(kind, name)
    raised = with_(s, {"live": Live(replace(intent.exposure(s.release), weight=90.0))})
    assert decide(raised, NOW).step.cause == "DriftUndone"
    blind = with_(mildly(kind, name, blindSince=NOW - 86_400), {"blind": "Prometheus is away"})
    assert decide(blind, NOW).step.move is Move.DRAIN
    unknown = decide(with_(s, {"live": Live(None)}), NOW)
    assert not unknown.step.running, "no clock runs while nobody knows what is live"


@pytest.mark.parametrize("name", BREACHES)
def test_a_mild_breach_does_not_keep_a_phase_beyond_its_deadline(name: str) -> None:
    s = with_(
        standing(spec=overdue("rollback")),
        {"assessment": judged(bad=12, minutes=15, action=BREACHES[name][0])},
    )
    found = decide(s, NOW)
    assert (found.step.move, found.step.cause) == (Move.WITHDRAW, "DeadlinePassed")


ENDS = {
    "a breach": ({"assessment": judged(bad=12, minutes=15)}, {}, "GuardrailBreached"),
    "an order": ({}, {"spec": {"rollback": {"to": "support-before"}}}, "RollbackOrdered"),
    "a newer bundle": ({"desired": Desired("sha256:" + "c" * 64, "support-newer")}, {}, "Superseded"),
    "the stable bundle": (
        {"desired": Desired("sha256:" + "b" * 64, "support-before")},
        {},
        "ReturnedToStable",
    ),
}


@pytest.mark.parametrize("ending", ENDS)
@pytest.mark.parametrize(
    "name", [name for name, (changed, _) in HOLDS.items() if "assessment" not in changed]
)
def test_nothing_that_is_missing_stops_a_withdrawal(ending: str, name: str) -> None:
    changed, made, cause = ENDS[ending]
    found = decide(with_(standing(**made), HOLDS[name][0] | changed), NOW)
    assert (found.step.move, found.step.cause) == (Move.WITHDRAW, cause)
    assert (found.direction, found.intended) == (Direction.LOWER, NOTHING)
    candidate = found.status.candidate
    assert candidate is not None
    assert candidate.stage is Stage.WITHDRAWING
    by_itself = ending in {"a newer bundle", "the stable bundle"}
    assert candidate.outcome is (Outcome.SUPERSEDED if by_itself else Outcome.ROLLED_BACK)


def test_a_withdrawal_goes_on_lowering_while_a_lever_cannot_be_read() -> None:
    s = with_(standing(**WITHDRAWING), {"live": {"exposure": None, "traffic": "the route can't be read"}})
    found = decide(s, NOW)
    assert (found.step.move, found.direction) == (Move.KEEP, Direction.LOWER)
    assert (found.step.cause, found.step.reason) == ("RollbackIncomplete", "the route can't be read")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"measured": {"recent": 3.0}}, "telemetry still shows 3 tasks of the candidate"),
        ({"measured": {"autonomy": Autonomy.LIMITED_ACTION}}, "the agents still report limited-action"),
        (
            {"measured": {"at": 0.0}, "blind": "it is away"},
            "telemetry cannot show that the candidate's traffic",
        ),
    ],
)
def test_a_withdrawal_ends_when_nothing_shows_the_candidate_any_more(changed, said: str) -> None:
    s = standing(**WITHDRAWING)
    quiet = {"recent": 0.0, "autonomy": Autonomy.OBSERVE} | changed.get("measured", {})
    s = with_(s, {"live": {"exposure": NOTHING}} | changed | {"measured": quiet})
    found = decide(s, NOW)
    assert found.step.move is (Move.KEEP if said else Move.FINISH)
    assert found.step.reason.startswith(said)


def test_what_is_left_of_a_withdrawal_is_named_and_taken_back() -> None:
    before = standing()
    s = replace(standing(**WITHDRAWING), live=before.live)
    found = decide(s, NOW)
    assert found.direction is Direction.LOWER
    assert found.step.reason == (
        "the route still leads 50 % of the traffic, the cohort x-audience=internal to the candidate; "
        "the flags still allow limited-action"
    )


@pytest.mark.parametrize(
    ("lever", "said"),
    [
        (replace(NOTHING, weight=1.0), "the route still leads 1 % of the traffic to the candidate"),
        (replace(NOTHING, mirror=5.0), "the route still leads copies of 5 % of the traffic to the candidate"),
        (replace(NOTHING, autonomy=Autonomy.LIMITED_ACTION), "the flags still allow limited-action"),
    ],
)
def test_one_lever_that_is_left_is_enough_for_a_withdrawal_to_go_on(lever, said: str) -> None:
    quiet = {"recent": 0.0, "autonomy": Autonomy.OBSERVE}
    s = with_(standing(**WITHDRAWING), {"live": {"exposure": lever}, "measured": quiet})
    found = decide(s, NOW).step
    assert (found.move, found.cause, found.reason) == (Move.KEEP, "RollbackIncomplete", said)


def test_a_phase_that_was_intended_and_not_written_is_written_by_who_may() -> None:
    """Its author may have died in between; a replica that doesn't lead, or a halt, raises nothing."""
    s = replace(standing(confirmedAt=0.0, activeSeconds=0.0), live=Live(NOTHING, traffic="not written"))
    assert decide(s, NOW).direction is Direction.RAISE
    for forbidden in ({"leading": False}, {"halt": "somebody halted all agents"}):
        assert decide(with_(s, forbidden), NOW).direction is Direction.KEEP


def test_missing_evidence_is_borne_for_the_hold_budget_and_is_no_verdict_on_the_bundle() -> None:
    dark = {"blind": "Prometheus is away", "assessment": None}
    borne = decide(with_(standing(blindSince=NOW - 9.0), dark), NOW)
    spent = decide(with_(standing(blindSince=NOW - 10.0), dark), NOW)
    assert (borne.step.move, borne.direction) == (Move.KEEP, Direction.KEEP)
    assert (spent.step.move, spent.step.cause, spent.direction) == (
        Move.DRAIN, "EvidenceMissing", Direction.LOWER,
    )  # fmt: skip
    assert not spent.status.refused
    assert decide(standing(blindSince=NOW - 10.0), NOW).step.move is Move.ENTER, "it is there again"


@pytest.mark.parametrize(
    ("action", "move"),
    [
        (Action.NOTIFY, Move.KEEP),
        (Action.PAUSE, Move.KEEP),
        (Action.REQUIRE_APPROVAL, Move.KEEP),
        (Action.LOWER_AUTONOMY, Move.CAP),
        (Action.STEP_BACK, Move.STEP_BACK),
        (Action.ROLLBACK, Move.WITHDRAW),
    ],
)
def test_a_breach_does_what_its_guardrail_asks_for(action: Action, move: Move) -> None:
    s = standing()
    found = decide(replace(s, assessment=judged(12, 15, action)), NOW)
    assert found.step.move is move
    assert found.intended.within(intent.exposure(s.release))
    assert (found.direction is Direction.LOWER) == (move is not Move.KEEP)


@pytest.mark.parametrize(
    ("asked", "move"),
    [
        ("rollback", Move.WITHDRAW),
        ("stepBack", Move.STEP_BACK),
        ("hold", Move.KEEP),
        ("requireApproval", Move.KEEP),
    ],
)
def test_a_deadline_counts_from_the_entry_of_the_phase_whatever_is_known(asked: str, move: Move) -> None:
    phases = [
        p | {"deadline": "600s", "onDeadline": asked} if p["name"] == "half" else p for p in SPEC["phases"]
    ]
    dark = {"blind": "Prometheus is away", "assessment": None, "leading": False}
    late = with_(standing(spec={"phases": phases}), dark)
    assert decide(late, NOW).step.move is move
    assert "half was not decided within" in decide(late, NOW).step.reason
    assert decide(late, NOW - 1.0).step.cause == "NotLeading"


def test_a_raise_from_outside_is_taken_back_and_a_lowering_is_left() -> None:
    s = standing()
    mine = intent.exposure(s.release)
    raised = decide(replace(s, live=Live(replace(mine, weight=60.0))), NOW)
    lowered = decide(replace(s, live=Live(replace(mine, weight=40.0))), NOW)
    assert (raised.step.cause, raised.direction, raised.intended) == ("DriftUndone", Direction.LOWER, mine)
    assert "exceeds intended" in raised.drift
    assert (lowered.step.cause, lowered.direction) == ("LoweredFromOutside", Direction.KEEP)
    assert lowered.drift == ""


def test_a_phase_is_entered_from_loading_only_when_its_telemetry_is_seen() -> None:
    s = replace(standing(**LOADING), live=Live(NOTHING))
    assert decide(s, NOW).step.phase == 0
    waiting = with_(s, {"slot": {"available": False, "problem": "0 of 2 pods are ready"}})
    assert decide(waiting, NOW).step.reason == "0 of 2 pods are ready"
    assert decide(with_(waiting, {"slot": {"problem": ""}}), NOW).step.reason == "the slot is loading"
    for missing in (
        {"slot": {"available": False}},
        {"slot": {"revision": "support-other"}},
        {"slot": None},
        {"measured": {"reporting": False}},
        {"slot": {"silent": True}, "measured": {"reporting": False}},
        {"blind": "Prometheus is away"},
        {"closed": "it is Friday"},
        {"approval": "nobody approved"},
    ):
        found = decide(with_(s, missing), NOW)
        assert (found.step.move, found.intended) == (Move.KEEP, NOTHING), missing


@pytest.mark.parametrize("reporting", [True, False])
def test_who_returns_to_a_served_revision_waits_for_telemetry_only_where_nothing_else_tells(
    reporting,
) -> None:
    s = replace(standing(**LOADING, recalled=True), live=Live(NOTHING))
    seen = with_(s, {"measured": {"reporting": reporting}})
    assert decide(seen, NOW).step.move is Move.PROMOTE
    silent = decide(with_(seen, {"slot": {"silent": True}}), NOW).step
    assert silent.move is (Move.PROMOTE if reporting else Move.KEEP)


def test_a_deletion_waits_for_telemetry_a_minute_beyond_the_last_grant_and_no_longer() -> None:
    s = standing(**WITHDRAWING)
    lease = s.release.spec.delivery.flags.lease_seconds
    unseen: dict[str, Any] = {
        "live": {"exposure": NOTHING}, "measured": {"recent": None, "autonomy": None, "at": 0.0},
        "blind": "Prometheus is away",
    }  # fmt: skip
    for deleting, waited, move in (
        (True, lease + 59.0, Move.KEEP),
        (True, lease + 60.0, Move.FINISH),
        (False, lease + 3600.0, Move.KEEP),
    ):
        began = standing(**WITHDRAWING, enteredAt=NOW - waited)
        release = began.release.model_copy(update={"deleting": deleting})
        found = decide(replace(with_(began, unseen), release=release), NOW)
        assert found.step.move is move
        assert "telemetry cannot show" in found.step.reason


def test_a_route_that_served_before_us_is_not_taken_away_by_a_candidate_that_loads() -> None:
    there = Live(replace(NOTHING, weight=100.0))
    loading = with_(standing(**LOADING), {"leading": False, "measured": Measured(), "live": there})
    bare = loading.release.status.model_copy(update={"stable": None})
    first = replace(loading, release=loading.release.model_copy(update={"status": bare}))
    assert decide(first, NOW).direction is Direction.KEEP
    assert decide(loading, NOW).direction is Direction.LOWER, "beside a stable it is the candidate's"
    running = standing()
    bare = running.release.status.model_copy(update={"stable": None})
    running = replace(running, release=running.release.model_copy(update={"status": bare}), live=there)
    assert decide(running, NOW).direction is Direction.LOWER, "nor is what its first phase exposes"


def test_a_decision_is_announced_when_its_cause_is_another_one() -> None:
    s = with_(standing(), {"closed": "it is Friday"})
    assert decide(s, NOW).announce
    again = s.release.model_copy(update={"status": decide(s, NOW).status})
    assert not decide(replace(s, release=again), NOW + 1).announce


def test_a_candidate_that_nobody_ever_reached_is_out_whatever_telemetry_says() -> None:
    seen: dict[str, Any] = {"live": {"exposure": NOTHING}, "measured": {"recent": 3.0}}
    for index, made, move in (
        (0, {"confirmedAt": 0.0}, Move.FINISH),
        (1, {"confirmedAt": 0.0}, Move.KEEP),
        (0, {"confirmedAt": NOW - 9}, Move.KEEP),
        (0, {"confirmedAt": 0.0, "interventions": 1}, Move.KEEP),
    ):
        s = with_(standing(**WITHDRAWING, phaseIndex=index, **made), seen)
        assert decide(s, NOW).step.move is move


@pytest.mark.parametrize(("why", "said"), [(": it breached", "it breached"), ("", "a rollback had begun")])
def test_a_rollback_whose_author_died_is_taken_up(why: str, said: str) -> None:
    s = standing()
    note = {"live": {"lowered": f"{s.desired.revision}{why}"}}
    found = decide(with_(s, note), NOW).step
    assert (found.move, found.cause, found.reason) == (Move.WITHDRAW, "RollbackResumed", said)
    for other in (standing(confirmedAt=0.0), standing(**LOADING)):
        assert decide(with_(other, note), NOW).step.cause != "RollbackResumed"
    old = with_(s, {"live": {"lowered": "support-other: it breached"}})
    assert decide(old, NOW).step.cause != "RollbackResumed"


def test_how_long_sessions_are_still_answered_is_said() -> None:
    sessions = {"cookie": "agent-session", "answers": "drain", "drainFor": "60s"}
    spec = {"rollback": {"sessions": sessions}}
    found = decide(standing(spec=spec, **WITHDRAWING, drainUntil=NOW + 20), NOW).step
    assert (found.move, found.cause) == (Move.KEEP, "Draining")
    assert "for 20 s more" in found.reason
    assert decide(standing(spec=spec, **WITHDRAWING, drainUntil=NOW), NOW).step.move is Move.CUT_SESSIONS


EDITS = {
    "less": ({"weight": 20}, (Move.STEP_BACK, HALF)),
    "a lower level": ({"autonomy": "observe"}, (Move.STEP_BACK, HALF)),
    "more": ({"weight": 70}, (Move.KEEP, -1)),
    "nothing": ({}, (Move.KEEP, -1)),
    "another name": ({"name": "other"}, (Move.STEP_BACK, HALF)),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_the_phase_takes_at_once_and_gives_nothing(name: str) -> None:
    change, (move, index) = EDITS[name]
    entered = standing().release.status.candidate
    assert entered is not None
    assert entered.granted is not None
    phases = deepcopy(SPEC["phases"])
    phases[HALF] |= change
    kept = entered.granted.model_dump(by_alias=True)
    s = with_(standing(spec={"phases": phases}, granted=kept), {"closed": "it is Friday"})
    found = decide(s, NOW)
    assert (found.step.move, found.step.phase) == (move, index)
    assert found.intended.weight <= 50.0
    if move is Move.STEP_BACK:
        assert (found.step.cause, found.direction) == ("PhasesEdited", Direction.LOWER)
    loading = standing(spec={"phases": phases}, **LOADING | {"granted": kept})
    assert decide(loading, NOW).step.cause != "PhasesEdited"


def test_a_phase_lasts_its_time_to_the_second() -> None:
    phases = deepcopy(SPEC["phases"])
    phases[HALF] |= {"minDuration": "10m"}
    for seconds, found in ((599.0, (Move.KEEP, "Soaking")), (600.0, (Move.ENTER, "PhaseEntered"))):
        step = decide(standing(spec={"phases": phases}, activeSeconds=seconds), NOW).step
        assert (step.move, step.cause) == found


def test_where_stables_traffic_ends_it_is_said_what_is_known_of_its_days() -> None:
    assert (
        "compared with stable's record (its past days were not read)" in decide(standing(), NOW).step.reason
    )
    phases = deepcopy(SPEC["phases"])
    phases[HALF + 1] |= {"weight": 90}
    less = decide(standing(spec={"phases": phases}), NOW).step.reason
    assert "record" not in less


def test_where_stable_serves_nobody_any_more_its_days_are_not_said_again() -> None:
    of_all = edits.granted(standing().release, HALF + 1, rises=True).model_dump(by_alias=True)
    all_ = standing(phaseIndex=HALF + 1, phaseName="all", granted=of_all)
    assert intent.exposure(all_.release).weight == 100.0
    found = decide(all_, NOW).step
    assert (found.move, found.phase) == (Move.ENTER, HALF + 2)
    assert "record" not in found.reason


def test_a_hold_says_what_it_waits_for() -> None:
    waits = with_(standing(spec=overdue("requireApproval")), {"approval": "nobody approved"})
    said = decide(waits, NOW).step.reason
    assert said.startswith("phase half was not decided within 60s")
    assert said.endswith("; nobody approved")
    assert decide(standing(spec=overdue("requireApproval")), NOW).step.reason in said
    unread = decide(with_(standing(), {"live": {"exposure": None}}), NOW).step.reason
    assert unread == "a lever could not be read"


def test_what_nobody_raised_is_no_drift_and_what_somebody_raised_is_said_in_numbers() -> None:
    s = standing()
    assert decide(s, NOW).drift == ""
    assert decide(with_(s, {"closed": "it is Friday"}), NOW).drift == ""
    raised = with_(s, {"live": Live(replace(intent.exposure(s.release), weight=90.0))})
    assert "90" in decide(raised, NOW).drift
    assert decide(replace(raised, release=standing(**LOADING).release), NOW).drift == ""
