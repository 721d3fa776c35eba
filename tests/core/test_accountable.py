"""Whose effects are kept, and from when on they count."""

from typing import Any

from tests.support.stage import BUNDLE, SPEC

from agentrelease.api.release import AgentRelease
from agentrelease.core.accountable import Followed, TakenBack, followed, taken_back
from agentrelease.core.instants import exact_stamp

PROMOTED, WINDOW, LEASE = 1_800_000_000.0, 3600.0, 20.0
STABLE = {"revision": "r-2", "digest": "sha256:2", "slot": "green", "autonomy": "full-action"}
OLDER = {"revision": "r-1", "digest": "sha256:1", "slot": "blue", "startedAt": PROMOTED + 9e5}


def release(window: str = "1h", hooks: bool = True, **status: Any) -> AgentRelease:
    hook = [{"effect": "write", "hook": "undo"}] if hooks else []
    spec = {**SPEC, "bundle": BUNDLE, "watch": {"compensationWindow": window}}
    spec["rollback"] = {"compensations": hook}
    status = {"stable": STABLE | {"since": exact_stamp(PROMOTED)}} | status
    meta = {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    return AgentRelease.from_object({"metadata": meta, "spec": spec, "status": status})


def refused(at: float, served_from: float = 0.0) -> dict[str, Any]:
    one = {"digest": "sha256:2", "revision": "r-2", "at": exact_stamp(at)}
    return {"refused": [one | ({"servedFrom": exact_stamp(served_from)} if served_from else {})]}


def test_what_serves_is_followed_while_it_is_watched_and_never_further_back_than_its_promotion() -> None:
    watched = release(watch={"since": PROMOTED})
    for later, counts_from in ((60.0, PROMOTED), (WINDOW + 60.0, PROMOTED + 60.0)):
        (one,) = followed(watched, PROMOTED + later)
        assert one == Followed("r-2", "green", PROMOTED, counts_from, serves=True)
    assert not list(followed(release(), PROMOTED))
    assert not list(followed(release(window="0s", watch={"since": PROMOTED}), PROMOTED))
    assert not list(followed(release(hooks=False, watch={"since": PROMOTED}), PROMOTED))


def test_what_serves_is_followed_on_while_an_order_loads_an_older_bundle() -> None:
    now = PROMOTED + 1e6
    began = Followed("r-1", "blue", PROMOTED + 9e5, PROMOTED + 9e5)
    served = Followed("r-2", "green", PROMOTED, now - WINDOW, serves=True, begins=False)
    assert list(followed(release(candidate=OLDER | {"recalled": True}), now)) == [began, served]
    assert list(followed(release(candidate=OLDER), now)) == [began]


def test_a_candidate_is_undone_from_its_beginning_and_what_served_from_the_windows() -> None:
    ended = PROMOTED + 7200.0
    assert taken_back(release(**refused(ended)), "r-2", PROMOTED) == TakenBack(PROMOTED, ended)
    served = release(**refused(ended, served_from=PROMOTED))
    assert taken_back(served, "r-2", PROMOTED - 900.0) == TakenBack(ended - WINDOW, ended + LEASE)
    brief = release(**refused(ended, served_from=ended - 5.0))
    assert taken_back(brief, "r-2", PROMOTED) == TakenBack(ended - 5.0, ended + LEASE)
    none = release(window="0s", **refused(ended, served_from=PROMOTED))
    assert taken_back(none, "r-2", PROMOTED) == TakenBack(None, ended + LEASE)


def test_a_refusal_of_an_earlier_rollout_and_of_others_undoes_nothing() -> None:
    assert taken_back(release(**refused(PROMOTED - 60.0)), "r-2", PROMOTED) is None
    assert taken_back(release(**refused(PROMOTED)), "r-1", PROMOTED) is None


def test_a_refusal_in_the_rollouts_first_moment_is_its_own_although_stamps_are_cut_to_milliseconds() -> None:
    since = PROMOTED + 0.0007
    found = taken_back(release(**refused(since)), "r-2", since)
    assert found is not None
    assert found.until == PROMOTED
    assert taken_back(release(**refused(PROMOTED - 0.5)), "r-2", since) is None
