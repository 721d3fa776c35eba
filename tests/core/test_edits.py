"""Phases edited under a candidate: a phase is known by its name, less counts at once, more is never taken."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.situations import HALF, LOADING, NOW, WITHDRAWING, standing
from tests.support.stage import SPEC

from agentrelease.api.phase import Phase
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import edits, gates, intent, phases
from agentrelease.core.decision import Direction, decide
from agentrelease.core.exposure import NOTHING, Cohort
from agentrelease.core.steps import Move

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease


def release(*listed: dict[str, Any], **candidate: Any) -> AgentRelease:
    """A release whose candidate entered ``half`` as it was, with other phases in its spec now."""
    s = standing(**candidate)
    if not listed:
        return s.release
    now = [Phase.model_validate(phase) for phase in listed]
    return s.release.model_copy(update={"spec": s.release.spec.model_copy(update={"phases": now})})


def listed(name: str = "half", **change: Any) -> list[dict[str, Any]]:
    """The phases with one of them changed; ``None`` takes a field out."""
    found = deepcopy(SPEC["phases"])
    place = next(n for n, phase in enumerate(found) if phase["name"] == name)
    found[place] = {key: value for key, value in (found[place] | change).items() if value is not None}
    return found


def test_an_untouched_phase_is_what_it_was_entered_with():
    same = release()
    assert edits.lowered(same) is None
    assert not edits.raised(same)
    assert edits.followed(same) is same
    assert (intent.exposure(same).weight, intent.exposure(same).cohort) == (
        50.0,
        Cohort("x-audience", "internal"),
    )


@pytest.mark.parametrize("change", [{"weight": 20}, {"autonomy": "observe"}])
def test_less_counts_at_once_and_the_phase_begins_anew(change: dict[str, Any]):
    less = release(*listed(**change))
    now = intent.exposure(less)
    assert (now.weight, now.autonomy) == (
        change.get("weight", 50),
        Autonomy(change.get("autonomy", "limited-action")),
    )
    assert edits.lowered(less) == ("phase half was edited to expose less, or others", HALF)
    assert not edits.raised(less)


@pytest.mark.parametrize("change", [{"weight": 80}, {"autonomy": "full-action"}])
def test_more_is_not_taken_before_the_phase_is_entered_again(change: dict[str, Any]):
    more = release(*listed(**change))
    assert intent.exposure(more) == intent.exposure(release())
    assert edits.lowered(more) is None
    assert edits.raised(more)
    assert gates.next_phase(more) == HALF, "the same phase once more"
    assert gates.next_phase(release()) == HALF + 1
    entered = edits.granted(more, HALF, rises=True)
    assert (entered.weight, str(entered.autonomy)) == (
        change.get("weight", 50),
        change.get("autonomy", "limited-action"),
    )
    kept = edits.granted(more, HALF, rises=False)
    assert (kept.weight, kept.autonomy, kept.cohort) == (50, Autonomy.LIMITED_ACTION, "x-audience=internal")


def test_more_of_one_and_less_of_another_is_what_both_allow():
    mixed = release(*listed(weight=80, autonomy="observe"))
    assert (intent.exposure(mixed).weight, intent.exposure(mixed).autonomy) == (50.0, Autonomy.OBSERVE)
    assert edits.raised(mixed)
    assert edits.lowered(mixed) == ("phase half was edited to expose less, or others", HALF)


def test_other_people_are_nobody_who_was_agreed_to():
    others = {"header": {"name": "x-audience", "value": "partners"}}
    inside = standing().release
    entered = edits.granted(inside, 1, rises=True).model_dump(by_alias=True)
    moved = release(*listed("internal", cohort=others), phaseIndex=1, phaseName="internal", granted=entered)
    assert not intent.exposure(moved).answers
    assert edits.lowered(moved) == ("phase internal was edited to expose less, or others", 0)


def test_a_phase_that_is_gone_leads_to_the_last_one_that_exposes_no_more():
    rest = [phase for phase in SPEC["phases"] if phase["name"] != "half"]
    assert edits.lowered(release(*rest)) == ("phase half was taken out of the list", 2)
    assert intent.exposure(release(*rest)) == intent.exposure(release()), "until it is taken back"
    higher = [phase for phase in SPEC["phases"] if phase["name"] in ("all", "full")]
    assert edits.lowered(release(*higher)) == ("phase half was taken out of the list", None)


def test_a_phase_is_known_by_its_name_wherever_it_moves_to():
    moved = release({"name": "first", "mirror": 1, "autonomy": "observe"}, *SPEC["phases"])
    followed = edits.followed(moved).status.candidate
    assert followed is not None
    assert (followed.phase_index, followed.phase_name) == (HALF + 1, "half")
    assert edits.lowered(moved) is None
    going = release({"name": "first", "mirror": 1, "autonomy": "observe"}, *SPEC["phases"], **WITHDRAWING)
    assert edits.followed(going) is going, "who is on its way out is in no phase"


def test_a_candidate_in_no_phase_is_touched_by_no_edit():
    loading = release(*listed(weight=80), **LOADING)
    assert not edits.raised(loading)
    assert edits.lowered(loading) is None
    assert edits.followed(loading) is loading
    status = loading.status.model_copy(update={"candidate": None})
    nobody = loading.model_copy(update={"status": status})
    assert edits.followed(nobody) is nobody
    assert not edits.raised(nobody)
    assert edits.lowered(nobody) is None
    assert edits.granted(nobody, HALF, rises=False).weight == 80
    assert gates.next_phase(nobody) is None


def test_what_exposes_as_little_nowhere_begins_anew():
    s = standing()
    higher = [Phase.model_validate(phase) for phase in SPEC["phases"] if phase["name"] in ("all", "full")]
    release = s.release.model_copy(update={"spec": s.release.spec.model_copy(update={"phases": higher})})
    found = decide(replace(s, release=release), NOW)
    assert (found.step.move, found.step.cause, found.direction) == (
        Move.DRAIN, "PhasesEdited", Direction.LOWER,
    )  # fmt: skip
    assert found.step.reason == (
        "phase half was taken out of the list; no phase exposes as little, so it begins anew"
    )
    assert found.intended == NOTHING


# ---- which phase comes next ------------------------------------------------------------------------------


def test_a_first_release_passes_over_mirrors_in_both_directions():
    with_stable = release()
    first = with_stable.model_copy(update={"status": with_stable.status.model_copy(update={"stable": None})})
    assert [phases.following(with_stable, n) for n in (-1, 0, 4, 5)] == [0, 1, 5, None]
    assert [phases.preceding(with_stable, n) for n in (0, 1, 2, 9)] == [None, 0, 1, 5]
    assert [phases.following(first, n) for n in (-1, 0, 5)] == [1, 1, None]
    assert [phases.preceding(first, n) for n in (0, 1, 2)] == [None, None, 1]
    assert [phases.passes_through(first, n) for n in (0, 1)] == [False, True]
    shadow, *_ = SPEC["phases"]
    between = [SPEC["phases"][1], *(shadow | {"name": name} for name in ("one", "two")), SPEC["phases"][2]]
    several = release(*between)
    several = several.model_copy(update={"status": first.status})
    assert (phases.following(several, 0), phases.preceding(several, 3)) == (3, 0)
