"""What the demo's own eyes make of routes, flag documents, samples and sightings."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agentrelease.api.release import AgentRelease
from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges.flags.document import FlagSet, Grant, text
from agentrelease.local.demo_exposure import Reach, autonomy, reach
from agentrelease.local.demo_measuring import increases
from agentrelease.local.demo_observer import Exposed, Observer, Sighting
from agentrelease.local.demo_story import CHAPTERS, ending_of, revision_in
from agentrelease.local.demo_summary import Happened, Stopped, Summary


def backends(blue: int, green: int) -> list[dict]:
    return [{"name": "support-blue", "weight": blue}, {"name": "support-green", "weight": green}]


def route(*rules: dict) -> dict:
    return {"spec": {"rules": list(rules)}}


COHORT = {
    "matches": [{"headers": [{"name": "x-audience", "value": "internal"}]}],
    "backendRefs": backends(0, 1),
}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"backendRefs": backends(100, 0)}], Reach()),
        ([{"backendRefs": backends(95, 5)}], Reach(weight=5.0)),
        ([COHORT, {"backendRefs": backends(1, 0)}], Reach(cohort=True)),
        ([{**COHORT, "backendRefs": backends(1, 0)}, {"backendRefs": backends(1, 0)}], Reach()),
        ([{"backendRefs": [{"name": "support-green"}]}], Reach(weight=100.0)),
        ([{"backendRefs": backends(0, 0)}], Reach()),
    ],
)
def test_a_route_reaches_a_service_by_weight_or_by_cohort(rules, expected):
    assert reach(route(*rules), "support-green") == expected


@pytest.mark.parametrize(
    ("mirror", "share"),
    [({}, 100.0), ({"percent": 20}, 20.0), ({"fraction": {"numerator": 1, "denominator": 1000}}, 0.1)],
)
def test_a_mirror_reaches_without_answering(mirror, share):
    item = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "support-green"}, **mirror}}
    found = reach(route({"backendRefs": backends(1, 0), "filters": [item]}), "support-green")
    assert found == Reach(mirror=share)
    assert found.reached
    assert not found.answers


@pytest.mark.parametrize(
    ("lease", "level"), [(None, "limited-action"), (2**40, "limited-action"), (1, "observe")]
)
def test_flags_are_evaluated_as_an_agent_would_with_its_lease(lease, level):
    stable = Grant("support-good", Autonomy.FULL_ACTION)
    candidate = Grant("support-new", Autonomy.LIMITED_ACTION, lease_until=lease)
    document = text(FlagSet("support", 3, stable, candidate).document())
    assert autonomy(document, "support", "support-good") == "full-action"
    assert autonomy(document, "support", "support-new") == level
    assert autonomy(document, "support", "support-unheard-of") == "observe"


@pytest.mark.parametrize("broken", ["", "{", "[]", "null", '{"flags": {}}', '{"flags": 3}'])
def test_flags_that_cannot_be_evaluated_count_as_observe(broken):
    assert autonomy(broken, "support", "support-1") == "observe"


def test_a_rising_counter_is_noticed_at_the_sample_that_shows_it_and_a_first_sample_is_none():
    assert increases([(1.0, 5.0), (2.0, 5.0), (3.0, 6.0), (4.0, 2.0), (5.0, 3.0)]) == [3.0, 5.0]
    assert increases([(1.0, 5.0)]) == []


def seen(*sightings: Sighting) -> Observer:
    observer = Observer(Path("none"), "support", "support")
    observer.sightings += sightings
    return observer


def test_a_revision_is_safe_since_the_last_change_that_left_it_so():
    observer = seen(
        Sighting(1.0, "bad", Reach(), "observe"),
        Sighting(2.0, "bad", Reach(mirror=100.0), "observe"),
        Sighting(3.0, "bad", Reach(cohort=True), "observe"),
        Sighting(3.1, "bad", Reach(cohort=True), "suggestion-only"),
        Sighting(5.0, "bad", Reach(cohort=True, weight=10.0), "suggestion-only"),
        Sighting(7.0, "bad", Reach(cohort=True, weight=10.0), "observe"),
        Sighting(7.2, "bad", Reach(), "observe"),
        Sighting(9.0, "good", Reach(weight=100.0), "full-action"),
    )
    found = observer.exposed("bad")
    assert found == Exposed(since=5.0, users=True, route_safe=7.2, flags_safe=7.0)
    assert found.safe == 7.2


def test_a_revision_that_is_still_exposed_is_not_safe_and_one_that_never_was_has_no_times():
    observer = seen(
        Sighting(3.0, "bad", Reach(weight=5.0), "limited-action"), Sighting(4.0, "shy", Reach(), "observe")
    )
    assert observer.exposed("bad") == Exposed(since=3.0, users=True)
    assert observer.exposed("bad").safe is None
    assert observer.exposed("shy") == Exposed()


def test_a_revision_that_was_stopped_as_a_shadow_is_timed_from_its_first_copies():
    observer = seen(
        Sighting(2.0, "bad", Reach(mirror=100.0), "observe"),
        Sighting(5.0, "bad", Reach(), "observe"),
    )
    assert observer.exposed("bad") == Exposed(since=2.0, route_safe=5.0, flags_safe=2.0)


EXAMPLES = Path(__file__).parents[2] / "examples" / "support-agent"


def release_with(**status) -> AgentRelease:
    manifest = yaml.safe_load((EXAMPLES / "v1.yaml").read_text())
    meta = {"name": "support", "namespace": "support", "uid": "u", "resourceVersion": "1"}
    return AgentRelease.from_object({"metadata": meta, "spec": manifest["spec"], "status": status})


def test_a_revision_ends_by_its_name_so_that_the_state_before_an_apply_is_no_ending():
    revisions = [revision_in(EXAMPLES / chapter.manifest) for chapter in CHAPTERS]
    first, second, third = revisions
    assert len(set(revisions)) == 3
    digest = "sha256:" + "0" * 64
    serving = {"revision": second, "digest": digest, "slot": "green", "autonomy": "full-action"}
    coming = {"revision": third, "digest": digest, "slot": "blue"}
    refused = [{"revision": third, "digest": digest}]
    assert ending_of(first, release_with(phase="Promoted", stable=serving)) == ""
    assert ending_of(second, release_with(phase="Promoted", stable=serving)) == "Promoted"
    assert ending_of(third, release_with(phase="RolledBack", stable=serving, candidate=coming)) == ""
    assert ending_of(third, release_with(phase="RolledBack", stable=serving, refused=refused)) == "RolledBack"


def test_the_summary_says_how_quickly_how_many_and_where_to_look():
    stopped = Stopped(
        revision="support-bad",
        violation=100.0,
        flags_safe=102.1,
        route_safe=102.4,
        answers=41,
        requests=2050,
        tasks=900,
        why="policy-violations: proven worse",
    )
    summary = Summary(
        timeline=(Happened(0.0, "v1 applied"), Happened(80.25, "v3 rolled back")),
        stopped=stopped,
        failures=(),
        shadows=0,
        seconds=92.0,
        look={"operator log": "build/demo/operator.log"},
    )
    said = "\n".join(summary.lines())
    assert "first violating sample → all safe    2.4 s" in said
    assert "… to flags at observe              2.1 s" in said
    assert "41 of 2050 (2.0 %)" in said
    assert "operator log  build/demo/operator.log" in said
    assert summary.succeeded
    assert "v2 was promoted and v3 was rolled back (92 s)" in said


def test_what_was_not_seen_is_not_shown_as_a_number():
    stopped = Stopped("support-bad", None, None, 102.4, 0, 0, 0, "why")
    assert stopped.seconds is None
    said = "\n".join(Summary((), stopped, ("v3: not rolled back within 60 s",), 2, 92.0).lines())
    assert "all safe    not seen" in said
    assert "The demo failed" in said
    assert "v3: not rolled back within 60 s" in said
    assert "2 shadow answers reached users" in said
