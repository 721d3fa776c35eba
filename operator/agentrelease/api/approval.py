"""AgentApproval: one person's immutable consent to one raise of one bundle.

It is void when the release's digest changes, when it has expired, or when it names another step. Who may
write it is the admission policy's to say; that it never changes is said here.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field

from agentrelease.api.base import Digest, Instant, Model, Name
from agentrelease.api.schema import rule, rules


class ApprovalSpec(Model):
    """What is approved, by whom, and until when. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self == oldSelf",
                "an approval never changes; delete it and give a new one",
            ),
            rule(
                "!has(self.from) || self.from != self.to",
                "an approval leads from one phase to another; from and to are the same",
                field=".to",
            ),
        )
    )

    release: Name
    """The AgentRelease in this namespace. Example: `support`."""
    digest: Digest
    """The bundle that is approved, as `status.candidate.digest` shows it; void for any other."""
    from_: Name | None = Field(default=None, alias="from")
    """The phase that the candidate leaves; absent for the first one. Example: `canary-5`."""
    to: Name
    """The phase that the candidate may enter. Example: `half`."""
    approver: str = Field(min_length=1, max_length=253)
    """The person's user name, as the API server knows it; `kubectl auth whoami` prints it."""
    expires: Instant
    """Void from then on; at most 30 days after creation. Example: `2026-11-30T12:00:00Z`."""
    reason: str = Field(default="", max_length=1024)
    """Why, for those who read it later. Example: `reviewed 40 shadow answers`."""
