"""The agent's environment, as a pod's manifest sets it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agentrelease.sdk import FlagSource

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Settings:
    """``release`` is empty in a slot that was never loaded. ``faults`` are behaviour fields to start with.

    ``pairing`` is the address of the namespace's joiner; empty tells nobody.
    ``bundles_path`` is the directory of a process that serves every bundle in it, as the flags say.
    ``late`` is how many seconds after a task labels may come; 0 waits for none.
    """

    agent: str
    release: str
    host: str
    port: int
    bundle_path: Path
    bundles_path: Path | None
    flags: FlagSource
    seed: str
    faults: dict[str, Any] = field(default_factory=dict)
    pairing: str = ""
    late: float = 0.0

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the variables; raises ``ValueError`` for a port or JSON that is none."""
        release = env.get("AGENT_RELEASE", "").strip()
        return cls(
            agent=env.get("AGENT_NAME", "support"),
            release=release,
            host=env.get("POD_IP") or env.get("HOST") or "127.0.0.1",
            port=int(env.get("PORT", "8080")),
            bundle_path=Path(env.get("BUNDLE_PATH", "/etc/agentrelease/bundle/bundle.json")),
            bundles_path=Path(env["BUNDLES_PATH"]) if env.get("BUNDLES_PATH") else None,
            flags=FlagSource.from_env(env),
            seed=env.get("AGENT_SEED", release),
            faults=json.loads(env.get("AGENT_BEHAVIOUR", "{}")),
            pairing=env.get("AGENTRELEASE_PAIRING_URL", ""),
            late=float(env.get("AGENT_LABEL_WINDOW", "0")),
        )
