"""What an agent imports: what it may do comes in by flags, what it did goes out by metrics.

    flags = AgentFlags("support", "support-3f9a0c11de", FlagSource.from_env(os.environ))
    metrics = AgentMetrics(Identity("support", flags.release, digest), flags=flags)

    with metrics.task("billing", "high", "external") as task:
        may = flags.permissions(session, risk_tier="high", workflow_class="billing")
        if may.may("payments.refund", "irreversible") == "execute": ...
        task.completed()

Where no gateway splits, the flags say which revision serves a conversation, and a process may serve several:

    chosen = flags.serving(session, {"audience": "internal"})   # a revision, and its Service if it has one
    may = flags.of(chosen.revision).permissions(session, …)

The agent's *tool layer* asks, not the model: a level that only a prompt enforces is a wish. Whatever
goes wrong on the way from the operator to here (no file, a broken file, a lapsed lease, an exception)
ends at the lowest level, never at a higher one. Nothing in here logs, and no prompt passes through.
"""

from agentrelease.sdk.actions import ActionLog, ActionRecord
from agentrelease.sdk.flags import AgentFlags, Serving
from agentrelease.sdk.maturing import Late
from agentrelease.sdk.metrics import AgentMetrics, Identity, Strata, page_of
from agentrelease.sdk.permissions import LOWEST, Permissions, Verdict
from agentrelease.sdk.provider import FlagSource
from agentrelease.sdk.task import Task

__all__ = [
    "LOWEST",
    "ActionLog",
    "ActionRecord",
    "AgentFlags",
    "AgentMetrics",
    "FlagSource",
    "Identity",
    "Late",
    "Permissions",
    "Serving",
    "Strata",
    "Task",
    "Verdict",
    "page_of",
]
