"""Flags in a ConfigMap that agents mount as a directory: one key per agent, ``<agent>.flagd.json``.

Other keys belong to others and stay as they are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agentrelease.edges.flags.document import text
from agentrelease.edges.flags.kept import KeptFlags
from agentrelease.edges.kinds import CONFIG_MAP

if TYPE_CHECKING:
    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Object


class ConfigMapFlags(KeptFlags):
    """The lever for agents that read a mounted file."""

    name = "configmap"
    kind = CONFIG_MAP

    def named(self, placement: Placement) -> str | None:
        """Return the ConfigMap that the release names."""
        return placement.config_map or None

    def found(self, obj: Object, placement: Placement) -> Any:
        """Return the JSON under this agent's key, or the key's text where that is no JSON."""
        kept = (obj.get("data") or {}).get(_key(placement))
        if kept is None:
            return None
        try:
            document = json.loads(kept)
        except (ValueError, RecursionError):
            return kept
        return kept if document is None else document

    def put(self, obj: Object, placement: Placement, document: dict[str, Any]) -> None:
        """Write this agent's key."""
        obj["data"] = (obj.get("data") or {}) | {_key(placement): text(document)}


def _key(placement: Placement) -> str:
    return f"{placement.agent}.flagd.json"
