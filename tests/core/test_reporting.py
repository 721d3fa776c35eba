"""What a status tells people and GitOps tools of a decision."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest
from tests.core.conftest import guardrail, plan
from tests.core.test_succession import having
from tests.support.situations import LOADING, NOW, WITHDRAWING, judged, standing, with_

from agentrelease.api.status import MAX_MESSAGE, Condition, Refused, ReleaseStatus
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import reporting
from agentrelease.core.assess import Requirements, assess
from agentrelease.core.decision import decide
from agentrelease.core.exposure import NOTHING, Cohort, Exposure
from agentrelease.core.forecast import Outlook
from agentrelease.core.guardrails import MetricVerdict
from agentrelease.core.instants import stamp
from agentrelease.core.ledger import Ledger
from agentrelease.core.offline import Judged
from agentrelease.core.situation import Desired, Live, Measured, Situation


def told(s: Situation) -> ReleaseStatus:
    return decide(s, NOW).status


def condition(s: Situation, kind: str) -> tuple[str, str, str]:
    (one,) = [one for one in told(s).conditions if one.type == kind]
    return one.status, one.reason, one.message


def alone(**status: Any) -> Situation:
    """Stable serves by itself; the spec has what serves."""
    s = standing()
    stable = s.release.status.stable
    assert stable is not None
    s = replace(s, desired=Desired(stable.digest, stable.revision), live=Live(NOTHING), assessment=None)
    return having(s, **{"candidate": None, **status})


@pytest.mark.parametrize(
    ("situation", "word", "weight", "autonomy"),
    [
        (standing(), "all", 100.0, "limited-action"),
        (with_(standing(), {"closed": "Friday"}), "half", 50.0, "limited-action"),
        (standing(**LOADING), "Loading", 0.0, "observe"),
        (standing(**WITHDRAWING), "RollingBack", 0.0, "observe"),
        (alone(), "Promoted", 100.0, "full-action"),
    ],
)
def test_one_word_a_share_and_a_level_say_where_a_release_stands(situation, word, weight, autonomy) -> None:
    if word == "Loading":
        situation = with_(situation, {"measured": Measured(), "leading": False})
    status = told(situation)
    assert (status.phase, status.weight, str(status.autonomy)) == (word, weight, autonomy)


def test_who_waits_behind_a_refusal_is_rolled_back_and_who_serves_in_spite_of_one_is_promoted() -> None:
    s = alone()
    stable = s.release.status.stable
    assert stable is not None
    out = Refused(digest="sha256:out", revision="support-out", reason="it failed", at="then")
    waiting = replace(having(s, refused=[out]), desired=Desired(out.digest, out.revision))
    assert (told(waiting).phase, told(waiting).verdict) == ("RolledBack", "Refused")
    assert told(having(waiting, stable=None)).phase == "RolledBack"
    assert told(having(s, refused=[out])).phase == "Promoted"
    served = out.model_copy(update={"digest": stable.digest})
    assert told(having(s, refused=[served])).phase == "Promoted"
    other = out.model_copy(update={"digest": "sha256:other"})
    assert told(having(waiting, refused=[other, out])).phase == "RolledBack"
    assert told(having(replace(waiting, leading=False), refused=[other])).phase == "Promoted"
    mine = out.model_copy(update={"digest": standing().desired.digest})
    again = with_(having(standing(), refused=[mine]), {"closed": "Friday"})
    assert told(again).phase == "half", "who was let in again is where it is"
    assert reporting.phase_word(ReleaseStatus()) == "Pending"


def test_exposure_is_told_as_intended_as_written_and_as_measured() -> None:
    live = Exposure(
        mirror=5.0, cohort=Cohort("x-audience", "internal"), weight=12.5, autonomy=Autonomy.OBSERVE
    )
    s = with_(standing(), {"closed": "Friday", "live": Live(live)})
    s = with_(s, {"measured": Measured(12.3456, 99.9, 10.0, Autonomy.OBSERVE, reporting=True, at=NOW - 30)})
    found = told(s).exposure
    assert found is not None
    assert (found.intended.weight, found.intended.cohort) == (50.0, "x-audience=internal")
    assert found.live is not None
    assert (found.live.mirror, found.live.weight, found.live.autonomy) == (5.0, 12.5, Autonomy.OBSERVE)
    assert "internal" in found.live.cohort
    assert found.measured is not None
    assert (found.measured.weight, found.measured.tasks) == (12.35, 99)
    assert (found.measured.autonomy, found.measured.at) == (Autonomy.OBSERVE, stamp(NOW - 30))
    unread = told(with_(s, {"live": Live(None), "measured": Measured()})).exposure
    assert unread is not None
    assert (unread.live, unread.measured) == (None, None)


SESSIONS = {"rollback": {"sessions": {"header": "x-revision", "answers": "drain", "drainFor": "120s"}}}
CONDITIONS = {
    "in a phase": (standing(), "Reconciling", ("True", "PhaseEntered", None)),
    "in a phase, ready": (standing(), "Ready", ("False", "PhaseEntered", None)),
    "held": (with_(standing(), {"closed": "Friday"}), "Reconciling", ("True", "WindowClosed", None)),
    "serving": (alone(), "Reconciling", ("False", "Promoted", None)),
    "another replica leads": (
        replace(alone(), desired=Desired("sha256:new", "support-new"), leading=False),
        "Stalled", ("False", "NotLeading", None),
    ),
    "another replica starts it": (
        replace(alone(), desired=Desired("sha256:new", "support-new"), leading=False),
        "Reconciling", ("True", "NotLeading", None),
    ),
    "starting": (
        replace(alone(), desired=Desired("sha256:new", "support-new")),
        "Reconciling", ("True", "RolloutStarted", None),
    ),
    "approval": (
        with_(standing(), {"approval": "nobody approved"}),
        "AwaitingApproval", ("True", "ApprovalMissing", "nobody approved"),
    ),
    "no approval": (standing(), "AwaitingApproval", ("False", "NothingToApprove", "")),
    "digest": (alone(), "BundlePinned", ("True", "DigestKnown", "sha256:" + "b" * 64)),
    "blind": (
        with_(standing(), {"blind": "Prometheus is away"}),
        "TelemetryAvailable", ("False", "EvidenceMissing", "Prometheus is away"),
    ),
    "seeing": (standing(), "TelemetryAvailable", ("True", "Reading", "")),
    "nobody to see": (alone(), "TelemetryAvailable", ("Unknown", "NotAsked", None)),
    "in sync": (standing(), "TrafficInSync", ("True", "InSync", "")),
    "not in sync": (
        with_(standing(), {"live": {"flags": "the flags are old"}}),
        "FlagsInSync", ("False", "NotInSync", "the flags are old"),
    ),
    "not in effect": (
        with_(standing(), {"measured": {"disagreement": "7 % arrive"}}),
        "AutonomyInEffect", ("False", "NotInSync", "7 % arrive"),
    ),
    "not in effect yet": (
        with_(standing(**LOADING), {"leading": False, "measured": {"disagreement": "7 % arrive"}}),
        "AutonomyInEffect", ("True", "InSync", ""),
    ),
    "withdrawing": (
        standing(**WITHDRAWING), "RollbackIncomplete", ("True", "RollbackIncomplete", None),
    ),
    "draining": (
        standing(spec=SESSIONS, **WITHDRAWING, drainUntil=NOW + 60.0),
        "RollbackIncomplete", ("False", "Draining", None),
    ),
    "not withdrawing": (standing(), "RollbackIncomplete", ("False", "NoRollback", "")),
    "kept": (standing(), "EvidenceKept", ("True", "Kept", "")),
    "nothing to keep": (alone(), "EvidenceKept", ("Unknown", "NotAsked", None)),
    "rebuilt": (
        replace(standing(), regained="Rebuilt: from Prometheus"),
        "EvidenceKept", ("True", "Rebuilt", "from Prometheus"),
    ),
    "begun anew": (
        replace(standing(), regained="BegunAnew: it was lost"),
        "EvidenceKept", ("False", "BegunAnew", "it was lost"),
    ),
    "never judged": (alone(), "EvalsPassed", ("Unknown", "NotJudged", None)),
    "no evaluations": (standing(), "EvalsPassed", ("Unknown", "NotConfigured", None)),
}  # fmt: skip


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_say_how_it_is_and_why(name: str) -> None:
    s, kind, (value, reason, message) = CONDITIONS[name]
    found = condition(s, kind)
    assert found[:2] == (value, reason)
    assert message is None or found[2] == message


def test_a_loss_of_evidence_stays_told_for_as_long_as_that_evidence_counts() -> None:
    before = Condition(
        type="EvidenceKept", status="False", reason="BegunAnew", message="it was lost",
        observed_generation=1, last_transition_time="then",
    )  # fmt: skip
    assert condition(having(standing(), conditions=[before]), "EvidenceKept")[1:] == (
        "BegunAnew",
        "it was lost",
    )
    s = replace(having(alone(), conditions=[before]), desired=Desired("sha256:new", "support-new"))
    assert condition(s, "EvidenceKept")[1] == "Kept", "another candidate begins with evidence of its own"


def test_a_condition_keeps_its_time_while_it_is_so() -> None:
    first = told(with_(standing(), {"closed": "Friday"})).conditions
    aged = [one.model_copy(update={"last_transition_time": "then"}) for one in first]
    s = having(with_(standing(), {"closed": "x" * 2 * MAX_MESSAGE, "blind": ""}), conditions=aged)
    found = {one.type: one for one in told(s).conditions}
    assert {one.last_transition_time for one in found.values()} == {"then"}
    assert max(len(one.message) for one in found.values()) <= MAX_MESSAGE
    blind = {one.type: one for one in told(with_(s, {"blind": "away"})).conditions}
    changed = {kind for kind, one in blind.items() if one.last_transition_time == stamp(NOW)}
    assert changed == {"TelemetryAvailable"}


def test_numbers_of_a_metric_are_those_of_the_judgement() -> None:
    s = with_(standing(), {"assessment": judged(bad=3, minutes=10)})
    assert s.assessment is not None
    (report,) = s.assessment.metrics
    (found,) = told(s).metrics
    assert (found.name, found.verdict, found.why) == (report.name, report.verdict, report.why)
    assert found.candidate is not None
    assert found.stable is not None
    assert (found.candidate.n, found.candidate.x) == (300, 30)
    assert (found.stable.n, found.stable.x) == (5700, 570)
    assert report.interval is not None
    exact = [report.estimate, *report.interval, report.harm_evidence, report.safe_evidence]
    shown = [found.difference, found.low, found.high, found.harm_evidence, found.safe_evidence]
    assert shown == pytest.approx(exact, abs=0.0006)
    assert (found.harm_bound, found.safe_bound) == (
        pytest.approx(report.harm_bound, abs=0.0006), pytest.approx(report.safe_bound, abs=0.0006),
    )  # fmt: skip
    assert found.needed is not None
    assert report.needed <= found.needed < report.needed + 1
    assert reporting._metric(replace(report, needed=inf)).needed is None
    assert len(reporting._metric(replace(report, why="x" * 600)).why) == 512, "more is not accepted"


def test_what_was_judged_is_not_the_judgement_of_what_begins() -> None:
    s = alone(metrics=told(standing()).metrics)
    begins = replace(s, desired=Desired("sha256:new", "support-new"), assessment=judged())
    assert told(begins).metrics == []
    assert [one.name for one in told(replace(s, assessment=judged())).metrics] == ["failures"]
    kept = told(s).metrics
    assert [one.name for one in kept] == ["failures"], "without a judgement the last one stands"


def test_what_is_foreseen_is_told_while_a_candidate_is_on_its_way_and_kept_until_it_is_foreseen_anew() -> (
    None
):
    one = Outlook("half", 100, 12.345, "failures", 0.1234567, 7.89, "x" * 300, "failures")
    s = replace(standing(), outlook=(one,))
    (found,) = told(s).outlook
    assert (found.phase, found.tasks, found.seconds, found.decided_by) == ("half", 100, 12.3, "failures")
    assert (found.smallest, found.caught_by, found.bad) == (0.123457, "failures", 7.9)
    assert len(found.warning) == 256
    assert told(having(standing(), outlook=[found])).outlook == [found]
    assert told(having(alone(), outlook=[found])).outlook == []
    long = told(replace(s, outlook=(replace(one, decided_by="x" * 300, caught_by="y" * 300),))).outlook[0]
    assert (len(long.decided_by), len(long.caught_by)) == (256, 256)
    unknown = Outlook("half", None, None, "", None, None)
    (found,) = told(replace(s, outlook=(unknown,))).outlook
    assert (found.tasks, found.seconds, found.smallest, found.bad) == (None, None, None, None)


def test_a_status_has_no_more_metrics_than_it_has_room_for() -> None:
    many = plan(*(guardrail(f"failures-{number}", weight=1 / 60) for number in range(60)))
    judgement = assess(many, Ledger.new(many, NOW - 1.0), NOW, Requirements())
    assert len(told(replace(standing(), assessment=judgement)).metrics) == 48


def test_telemetry_is_asked_for_from_the_look_after_a_candidate_began() -> None:
    starts = replace(alone(), desired=Desired("sha256:new", "support-new"), blind="Prometheus is away")
    assert condition(starts, "TelemetryAvailable")[1] == "NotAsked"


def evaluated(*found: tuple[MetricVerdict, bool]) -> Situation:
    """Offline evaluations with these verdicts, and whether each ended in an error."""
    s = standing()
    assert s.assessment is not None
    made = {
        f"set-{n}": Judged(verdict, f"said of {n}", errored=errored)
        for n, (verdict, errored) in enumerate(found)
    }
    grounds = replace(s.assessment.grounds, evaluated=made)
    return with_(s, {"closed": "Friday", "assessment": replace(s.assessment, grounds=grounds)})


PASS, HARM = (MetricVerdict.PASS, False), (MetricVerdict.HARM, False)
WAITING, BROKEN = (MetricVerdict.COLLECTING, False), (MetricVerdict.COLLECTING, True)


@pytest.mark.parametrize(
    ("found", "value", "reason"),
    [
        ((PASS, PASS), "True", "EvaluationsPassed"),
        ((PASS, HARM), "False", "EvaluationFailed"),
        ((BROKEN, HARM), "False", "EvaluationFailed"),
        ((PASS, BROKEN), "False", "EvaluationErrored"),
        ((PASS, WAITING), "Unknown", "EvaluationPending"),
    ],
)
def test_evaluations_are_passed_only_when_all_are(found, value: str, reason: str) -> None:
    said = condition(evaluated(*found), "EvalsPassed")
    assert said == (value, reason, "set-0: said of 0; set-1: said of 1")


def test_what_was_found_of_evaluations_is_of_one_candidate() -> None:
    """Without a judgement the last one stands, until another candidate begins."""
    kept = told(evaluated(PASS)).conditions
    s = having(with_(standing(), {"assessment": None}), conditions=kept)
    assert condition(s, "EvalsPassed")[:2] == ("True", "EvaluationsPassed")
    begins = having(replace(alone(), desired=Desired("sha256:new", "support-new")), conditions=kept)
    assert condition(begins, "EvalsPassed")[:2] == ("Unknown", "NotJudged")
    served = having(alone(), conditions=kept)
    assert condition(served, "EvalsPassed")[:2] == ("True", "EvaluationsPassed")
