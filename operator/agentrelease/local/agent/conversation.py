"""One conversation turn: what the simulated agent does, within what the flags let it do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentrelease.api.vocabulary import Effect
from agentrelease.local.agent.behaviour import on_model

if TYPE_CHECKING:
    from random import Random

    from agentrelease.api.bundle import Tool
    from agentrelease.local.agent.behaviour import Behaviour
    from agentrelease.local.agent.bundle import LoadedBundle
    from agentrelease.sdk import ActionLog, AgentFlags, AgentMetrics, Permissions, Task

# How often a turn wants a tool of this effect. Refunds belong to billing alone.
_APPETITE = {Effect.READ: 1.0, Effect.WRITE: 0.4, Effect.IRREVERSIBLE: 0.15}
_APPROVED = 0.9
_DISPOSITIONS = {"execute": "executed", "suggest": "suggested", "simulate": "simulated", "block": "blocked"}
_HAPPENED = ("executed", "approved")


@dataclass(frozen=True, slots=True)
class Turn:
    """A request as it arrived. ``live`` is false for mirrored traffic: nobody reads the answer.

    ``request`` is the gateway's id of it, the same for the original and its copy.
    """

    session: str
    audience: str
    risk_tier: str
    workflow_class: str
    live: bool
    request: str = ""


class Conversation:
    """The agent's working part: bundle, flags, metrics and log come from outside."""

    def __init__(
        self, bundle: LoadedBundle, flags: AgentFlags, metrics: AgentMetrics, log: ActionLog, rng: Random
    ) -> None:
        self._bundle = bundle
        self._flags = flags
        self._metrics = metrics
        self._log = log
        self._rng = rng
        model = bundle.content.model
        self._own = f"{model.name}@{model.version}"
        self._others = {f"{pin.name}@{pin.version}": on_model(pin) for pin in (model.fallback,) if pin}

    async def answer(self, turn: Turn, behaviour: Behaviour) -> dict[str, Any]:
        """Work on one turn and return the answer's JSON."""
        stratum = self._metrics.stratum(turn.workflow_class, turn.risk_tier, turn.audience)
        workflow_class, risk_tier, _ = stratum
        may = self._flags.permissions(
            turn.session, risk_tier=risk_tier, workflow_class=workflow_class, cohort=turn.audience
        )
        model = may.model if may.model in self._others else self._own  # no other model is in the bundle
        behaviour = behaviour.with_fields(self._others.get(model, {}))
        with self._metrics.task(*stratum, request=turn.request, mirrored=not turn.live) as task:
            if behaviour.hangs and self._rng.random() < behaviour.hangs:
                await asyncio.Event().wait()
            await asyncio.sleep(behaviour.latency * self._rng.lognormvariate(0, 0.25))
            actions = self._act(turn, may, behaviour, task)
            completed, violated = self._talk(turn, behaviour, task)
        return {
            "release": self._flags.release,
            "session": turn.session,
            "model": model,
            "autonomy": may.autonomy,
            "halted": may.halted,
            "shadow": not turn.live,
            "outcome": "completed" if completed else "failed",
            "violation": violated,
            "actions": actions,
        }

    def _talk(self, turn: Turn, behaviour: Behaviour, task: Task) -> tuple[bool, bool]:
        chance = self._rng.random
        task.cost(behaviour.cost)
        completed = chance() < behaviour.completion
        if completed:
            task.completed()
        pushed = turn.live and turn.audience == "external"
        violated = chance() < behaviour.violation_rate(pushed=pushed)
        if violated:
            task.violation("high", "policy")
        if chance() < behaviour.corrected:
            task.corrected("edit")
        if chance() < behaviour.escalated:
            task.escalated("low_confidence")
        return completed, violated

    def _act(self, turn: Turn, may: Permissions, behaviour: Behaviour, task: Task) -> list[dict[str, str]]:
        taken = []
        for tool in self._bundle.content.tools:
            if tool.effect is Effect.IRREVERSIBLE and turn.workflow_class != "billing":
                continue
            if self._rng.random() >= _APPETITE[tool.effect]:
                continue
            disposition = self._disposition(turn, may, behaviour, tool)
            task.action(disposition, tool.effect)
            if disposition in _HAPPENED:
                arguments = {"session": turn.session, "workflow": turn.workflow_class}
                self._log.append(tool.name, tool.effect, turn.session, arguments, disposition)
            taken.append({"tool": tool.name, "effect": tool.effect, "disposition": disposition})
        return taken

    def _disposition(self, turn: Turn, may: Permissions, behaviour: Behaviour, tool: Tool) -> str:
        if behaviour.rogue:
            return "executed"
        if not turn.live:
            return "simulated"  # whatever the flags say, mirrored traffic has no effects
        verdict = may.may(tool.name, tool.effect)
        if verdict == "ask":
            return "approved" if self._rng.random() < _APPROVED else "rejected"
        return _DISPOSITIONS[verdict]
