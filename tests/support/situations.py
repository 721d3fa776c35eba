"""A release's situation for rules that are pure: all is well but for what a test says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.core.conftest import absorbed, block, guardrail, plan
from tests.support.stage import AGENT, BUNDLE, NAMESPACE, SPEC

from agentrelease.api.release import AgentRelease
from agentrelease.api.vocabulary import Action, Autonomy, MetricClass
from agentrelease.core import edits, intent
from agentrelease.core.assess import Assessment, Requirements, assess
from agentrelease.core.bundle import digest_of, revision_name
from agentrelease.core.situation import Desired, Live, Measured, Situation, SlotState

NOW = 1_800_000_000.0
HALF = 3
WITHDRAWING: dict[str, Any] = {"stage": "Withdrawing", "reason": "it failed", "outcome": "RolledBack"}
LOADING: dict[str, Any] = {"stage": "Loading", "phaseIndex": -1, "phaseName": "", "granted": None}


def judged(
    bad: int = 3,
    minutes: int = 40,
    action: Action = Action.ROLLBACK,
    of: MetricClass = MetricClass.QUALITY,
) -> Assessment:
    """Judge so many bad of 30 tasks a minute; stable has 10 % of bad ones."""
    made = plan(guardrail(on_breach=action, metric_class=of))
    blocks = [block(n, {"failures": {"": ((30, bad), (570, 57))}}) for n in range(minutes)]
    ledger = absorbed(made, blocks)
    return assess(made, ledger, ledger.through + 1.0, Requirements())


def standing(*, spec: dict[str, Any] | None = None, **candidate: Any) -> Situation:
    """A good candidate in the phase ``half``, confirmed, with all that is needed to go on."""
    wanted = {**SPEC, "bundle": BUNDLE, **(spec or {})}
    release = AgentRelease.from_object(
        {
            "metadata": {"name": AGENT, "namespace": NAMESPACE, "uid": "u", "resourceVersion": "1"},
            "spec": wanted,
        }
    )
    digest = digest_of(release.spec.bundle)
    revision = revision_name(AGENT, digest)
    of_phase = edits.granted(release, HALF, rises=True).model_dump(by_alias=True)
    status = {
        "stable": {
            "revision": "support-before",
            "digest": "sha256:" + "b" * 64,
            "slot": "blue",
            "autonomy": "full-action",
        },
        "candidate": {
            "revision": revision, "digest": digest, "slot": "green", "stage": "Running",
            "phaseIndex": HALF, "phaseName": "half", "granted": of_phase, "startedAt": NOW - 900,
            "enteredAt": NOW - 600, "confirmedAt": NOW - 590, "activeSeconds": 580, "tickedAt": NOW - 1,
            **candidate,
        },
    }  # fmt: skip
    release = AgentRelease.from_object(
        {
            "metadata": {"name": AGENT, "namespace": NAMESPACE, "uid": "u", "resourceVersion": "1"},
            "spec": wanted,
            "status": status,
        }
    )
    return Situation(
        release=release,
        desired=Desired(digest, revision),
        live=Live(intent.exposure(release)),
        slot=SlotState(revision, available=True),
        measured=Measured(50.0, 1000.0, 10.0, Autonomy.LIMITED_ACTION, reporting=True, at=NOW),
        assessment=judged(),
        leading=True,
    )


def with_(s: Situation, changed: dict[str, Any]) -> Situation:
    """Return the situation with parts, or fields of parts, replaced."""
    parts = {
        name: replace(getattr(s, name), **value) if isinstance(value, dict) else value
        for name, value in changed.items()
    }
    return replace(s, **parts)
