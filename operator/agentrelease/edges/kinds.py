"""Every resource type this operator reads or writes, named once.

A type that isn't in this table can't be addressed, which is the point: what we touch is what the
chart's RBAC has to grant, and both can be compared.
"""

from __future__ import annotations

from agentrelease.api.vocabulary import GROUP, VERSION
from agentrelease.engine.ports import Kind, Object, Ref

AGENT_RELEASE = Kind(GROUP, VERSION, "agentreleases", "AgentRelease")
AGENT_REVISION = Kind(GROUP, VERSION, "agentrevisions", "AgentRevision")
GUARDRAIL_POLICY = Kind(GROUP, VERSION, "guardrailpolicies", "GuardrailPolicy")
CLUSTER_GUARDRAIL_POLICY = Kind(
    GROUP, VERSION, "clusterguardrailpolicies", "ClusterGuardrailPolicy", namespaced=False
)
AGENT_APPROVAL = Kind(GROUP, VERSION, "agentapprovals", "AgentApproval")
AGENT_INCIDENT = Kind(GROUP, VERSION, "agentincidents", "AgentIncident")

HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
VIRTUAL_SERVICE = Kind("networking.istio.io", "v1", "virtualservices", "VirtualService")
FEATURE_FLAG = Kind("core.openfeature.dev", "v1beta1", "featureflags", "FeatureFlag")

CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
SERVICE = Kind("", "v1", "services", "Service")
POD = Kind("", "v1", "pods", "Pod")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
REPLICA_SET = Kind("apps", "v1", "replicasets", "ReplicaSet")
JOB = Kind("batch", "v1", "jobs", "Job")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
EVENT = Kind("events.k8s.io", "v1", "events", "Event")

OWN = (
    AGENT_RELEASE,
    AGENT_REVISION,
    GUARDRAIL_POLICY,
    CLUSTER_GUARDRAIL_POLICY,
    AGENT_APPROVAL,
    AGENT_INCIDENT,
)
OTHERS = (
    HTTP_ROUTE,
    VIRTUAL_SERVICE,
    FEATURE_FLAG,
    CONFIG_MAP,
    SERVICE,
    POD,
    DEPLOYMENT,
    REPLICA_SET,
    JOB,
    LEASE,
    EVENT,
)

_BY_NAME = {(kind.api_version, kind.name): kind for kind in OWN + OTHERS}


def kind_of(obj: Object) -> Kind:
    """Return the type of an object by its apiVersion and kind; ``KeyError`` for one we never touch."""
    key = (obj["apiVersion"], obj["kind"])
    if key not in _BY_NAME:
        raise KeyError(f"{key[1]} {key[0]} is not among the resource types this operator touches")
    return _BY_NAME[key]


def ref_of(obj: Object) -> Ref:
    """Return an object's address; the name is empty where the API server has to generate it."""
    metadata = obj["metadata"]
    return Ref(kind_of(obj), metadata.get("namespace", ""), metadata.get("name", ""))
