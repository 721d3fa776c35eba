"""Flags in an OpenFeature ``FeatureFlag`` (``core.openfeature.dev/v1beta1``), which flagd watches.

``spec.flagSpec`` is the same document as in a ConfigMap, and all of it is this release's: two releases
never share one. The kind has no status worth reading, so what agents have of it must be measured. Its CRD
must keep ``flagSpec.metadata``, which holds the version; older CRDs prune it, and that reads as a problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentrelease.edges.claims import FLAGS
from agentrelease.edges.flags.kept import KeptFlags
from agentrelease.edges.kinds import FEATURE_FLAG

if TYPE_CHECKING:
    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Object


class FeatureFlagFlags(KeptFlags):
    """The lever for agents that ask flagd, or a flagd that watches the cluster."""

    name = "featureflag"
    kind = FEATURE_FLAG
    claimed = (FLAGS,)

    def named(self, placement: Placement) -> str | None:
        """Return the FeatureFlag that the release names."""
        return placement.objects.get(self.name)

    def found(self, obj: Object, placement: Placement) -> Any:  # noqa: ARG002 - one document an object
        """Return ``spec.flagSpec``."""
        return (obj.get("spec") or {}).get("flagSpec")

    def put(self, obj: Object, placement: Placement, document: dict[str, Any]) -> None:  # noqa: ARG002
        """Write ``spec.flagSpec``."""
        obj["spec"] = (obj.get("spec") or {}) | {"flagSpec": document}
