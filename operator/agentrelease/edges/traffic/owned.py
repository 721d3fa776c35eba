"""An HTTPRoute that the operator makes by itself and owns whole.

* It is known by two labels. A route of the same name without them is somebody else's: never written.
* It carries no ownerReference: a release may be deleted, and those whom its stable revision serves must
  not notice. What is left serves stable alone, and a new release of the same name takes it up again.
* Everything is spelled out that the API server would fill in, so that any difference is an edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentrelease.api.vocabulary import MANAGED_BY_LABEL, OPERATOR_NAME, RELEASE_LABEL
from agentrelease.edges.kinds import HTTP_ROUTE

if TYPE_CHECKING:
    from agentrelease.api.delivery import ParentRef
    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Object

Json = dict[str, Any]


def made(placement: Placement) -> Object | None:
    """Return the route as it is before any exposure is written; ``None`` where the release owns none."""
    owned = placement.owned
    if owned is None:
        return None
    spec: Json = {
        "parentRefs": [_parent(ref) for ref in owned.parent_refs],
        "rules": [
            {
                "name": "agent",
                "matches": [{"path": {"type": "PathPrefix", "value": owned.path_prefix}}],
                "backendRefs": [
                    {"group": "", "kind": "Service", "name": name, "port": owned.port, "weight": 0}
                    for name in placement.services
                ],
            }
        ],
    }
    if owned.hostnames:
        spec["hostnames"] = list(owned.hostnames)
    metadata = {"name": placement.route, "namespace": placement.namespace, "labels": _labels(placement)}
    return {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": HTTP_ROUTE.name,
        "metadata": metadata,
        "spec": spec,
    }


def foreign(route: Object, placement: Placement) -> str:
    """Say that a route was not made for this release; empty where it was, or where none is owned."""
    labels = route["metadata"].get("labels") or {}
    if placement.owned is None or _labels(placement).items() <= labels.items():
        return ""
    return (
        f"HTTPRoute {placement.namespace}/{placement.route} was not made for this release; "
        "name it as route.httpRoute, or give route.owned another name"
    )


def _labels(placement: Placement) -> dict[str, str]:
    return {MANAGED_BY_LABEL: OPERATOR_NAME, RELEASE_LABEL: placement.agent}


def _parent(ref: ParentRef) -> Json:
    parent: Json = {"group": HTTP_ROUTE.group, "kind": "Gateway", "name": ref.name}
    optional = {"namespace": ref.namespace, "sectionName": ref.section_name}
    return parent | {key: value for key, value in optional.items() if value is not None}
