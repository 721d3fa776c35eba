"""The engine's stage without a gateway: the stored flag splits, as flagd's Python core reads it.

A thousand sessions ask the stored flag every second; the tasks go where the answers send them. ``slots`` says
whether each revision has pods of its own, or all pods serve whatever the flags name.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from tests.support.stage import AGENT, NAMESPACE, POLICY, SPEC, Behaviour, Stage, _deployment, _policy

from agentrelease.edges import kinds
from agentrelease.edges.flags.configmap import ConfigMapFlags
from agentrelease.edges.flags.document import parse
from agentrelease.edges.levers import Side
from agentrelease.edges.traffic.httproute import HTTPRouteTraffic
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from agentrelease.engine.levers import Lever

SESSIONS = [f"session-{number}" for number in range(1000)]
FLAGS = Ref(kinds.CONFIG_MAP, NAMESPACE, "support-flags")
INTERNAL = {"attribute": {"name": "audience", "value": "internal"}}
PHASES: list[dict[str, Any]] = [
    {"name": "internal", "cohort": INTERNAL, "autonomy": "observe"},
    {"name": "canary-10", "weight": 10, "autonomy": "suggestion-only"},
    {"name": "half", "weight": 50, "autonomy": "limited-action"},
    {"name": "all", "weight": 100, "autonomy": "limited-action"},
    {"name": "full", "weight": 100, "autonomy": "full-action"},
]


class FlagStage(Stage):
    """One agent whose sessions are split by its own flags."""

    def __init__(self, *, slots: bool, rate: int = 100, seed: int = 7, turns: int = 1) -> None:
        self.slots = slots
        self.turns = turns  # tasks of a session, one after the other
        self.arms: list[dict[str, str]] = []  # session → revision, a second each
        super().__init__(rate=rate, seed=seed)

    def levers(self) -> tuple[Lever, Lever]:
        """The same sides as in production: no route is named, so the traffic's side has nothing to do."""
        return (
            Side("flags", [ConfigMapFlags(self.cluster, jitter=lambda: 0.0)]),
            Side("traffic", [HTTPRouteTraffic(self.cluster, jitter=lambda: 0.0)]),
        )

    async def install(self, policy: dict[str, Any] | None = None) -> None:
        """No route, and with slots two Deployments."""
        for slot in ("blue", "green") if self.slots else ():
            await self.cluster.create(_deployment(f"{AGENT}-{slot}"))
        await self.cluster.create(_policy(policy or POLICY))

    async def apply(self, prompt: str, behaviour: Behaviour | None = None, **spec: Any) -> str:
        """Apply a bundle; phases and delivery are those of a release without a route."""
        delivery = {"flags": SPEC["delivery"]["flags"]}
        if self.slots:
            delivery["slots"] = SPEC["delivery"]["slots"]
        return await super().apply(prompt, behaviour, **({"delivery": delivery, "phases": PHASES} | spec))

    def served(self, session: str, **said: str) -> str:
        """Return the revision that the stored flag names to a session at this moment."""
        (found,) = self._asked([EvaluationContext(session, said)])
        return found

    def reach(self) -> dict[str, tuple[float, float]]:
        """Revision → (share of the sessions, no mirror)."""
        answers = self._asked([EvaluationContext(session) for session in SESSIONS])
        self.arms.append(dict(zip(SESSIONS, answers, strict=True)))
        names = set(answers) | {revision for revision, _ in self.tallies}
        return {name: (answers.count(name) / len(SESSIONS), 0.0) for name in names if name}

    def cohort(self) -> str:
        return self.served("colleague", audience="internal")

    def _traffic(self) -> None:
        """As with a gateway, but tasks of one session go where the session goes."""
        reach = self.reach()
        chosen = self.random.choices(SESSIONS, k=self.rate // self.turns)
        tasks = Counter(self.arms[-1][session] for session in chosen)
        for revision, (weight, _) in reach.items():
            self._work(revision, tasks[revision] * self.turns)
            self.exposed.append((self.now, revision, weight))
        if self.cohort():
            self._work(self.cohort(), self.rate // 10, "internal")

    def _asked(self, contexts: list[EvaluationContext]) -> list[str]:
        stored = self.cluster.objects.get(FLAGS)
        if stored is None:
            return [""] * len(contexts)
        text = stored["data"][f"{AGENT}.flagd.json"]
        said = parse(json.loads(text), AGENT)
        lease = said.candidate.lease_until if said.candidate else None
        if lease is not None and lease <= self.now:  # the evaluator's own clock is years behind the stage's
            return [said.stable.revision if said.stable else ""] * len(contexts)
        core = FlagdCore()
        core.set_flags(text)
        return [
            str(core.resolve_object_value(f"{AGENT}.release", {}, one).value["revision"]) for one in contexts
        ]

    async def _controllers(self) -> None:
        """Pods without slots report every bundle that they find."""
        await super()._controllers()
        shared = self.cluster.objects.get(Ref(kinds.CONFIG_MAP, NAMESPACE, f"{AGENT}-bundles"))
        for key in (shared or {}).get("data", {}):
            revision = key.removesuffix(".json")
            if (revision, "external") not in self.tallies:
                self._work(revision, 0)

    def _runs(self, revision: str) -> bool:
        if self.slots:
            return super()._runs(revision)
        shared = self.cluster.objects.get(Ref(kinds.CONFIG_MAP, NAMESPACE, f"{AGENT}-bundles"))
        return f"{revision}.json" in (shared or {}).get("data", {})
