"""Namespaces in which the admission policies are in force, and people with different rights there."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.api.manifests import SHA, approval, changed, release, revision
from tests.api.server import Answer, Server
from tests.support.controlplane import api_of, wait_until

from agentrelease.api.admission import bound_to, policies

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from agentrelease.local.controlplane import ControlPlane

OPERATOR = "system:serviceaccount:agentrelease-system:agentrelease-operator"
GITOPS = "system:serviceaccount:flux-system:kustomize-controller"
EVERYTHING = {"apiGroups": ["agentrelease.dev"], "resources": ["*"], "verbs": ["*"]}
APPROVALS = {"apiGroups": ["agentrelease.dev"], "resources": ["agentapprovals"], "verbs": ["*"]}
APPROVE = {
    "apiGroups": ["agentrelease.dev"],
    "resources": ["agentreleases"],
    "resourceNames": ["support"],
    "verbs": ["approve"],
}


@dataclass
class Guarded:
    """One label's namespaces; ``become`` gives a person's view of one of them."""

    plane: ControlPlane
    admin: ApiClient
    label: str = field(default_factory=lambda: f"guarded-{uuid.uuid4().hex[:8]}")
    home: str = ""
    clients: dict[tuple[str, ...], ApiClient] = field(default_factory=dict)
    made: list[tuple[str, str]] = field(default_factory=list)

    def become(self, name: str, namespace: str = "", *, master: bool = False) -> Server:
        groups = ("system:masters",) if master else ()
        if (name, *groups) not in self.clients:
            self.clients[name, *groups] = api_of(self.plane.user(name, *groups))
        return Server(self.clients[name, *groups], namespace or self.home)

    def open(self, namespace: str) -> str:
        made = Server(self.admin).create(
            {"kind": "Namespace", "metadata": {"name": namespace, "labels": {"guarded": self.label}}}
        )
        assert made.accepted, made.body
        self.made.append(("Namespace", namespace))
        return namespace

    def permit(self, namespace: str, name: str, *rules: dict[str, Any]) -> None:
        server, group = Server(self.admin, namespace), "rbac.authorization.k8s.io"
        server.create({"kind": "Role", "metadata": {"name": name}, "rules": list(rules)})
        made = server.create(
            {
                "kind": "RoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
                "subjects": [{"kind": "User", "apiGroup": group, "name": name}],
            }
        )
        assert made.accepted, made.body

    def enforce(self) -> None:
        server = Server(self.admin)
        manifests = bound_to({"guarded": self.label}, f"{self.label}-", policies(OPERATOR, [GITOPS]))
        for manifest in manifests:
            self.made.append((manifest["kind"], manifest["metadata"]["name"]))
            assert server.create(manifest).accepted, manifest["metadata"]["name"]

    def offer(self, namespace: str, author: str, digest: str = SHA) -> None:
        """Put the release there, with a candidate of that digest, written by ``author``."""
        wanted = changed(
            release(),
            {
                "spec/phases/3/approval": "required",
                "metadata/annotations": {"agentrelease.dev/author": author},
            },
        )
        made = self.become(author, namespace, master=True).create(wanted)
        assert made.accepted, made.body
        self.candidate(namespace, digest)

    def candidate(self, namespace: str, digest: str) -> None:
        patch = {"status": {"candidate": {"revision": "support-x", "digest": digest, "slot": "green"}}}
        operator = self.become(OPERATOR, namespace, master=True)
        assert operator.merge("AgentRelease", "support", patch, "status").accepted

    def close(self) -> None:
        server = Server(self.admin)
        for kind, name in sorted(self.made, key=lambda entry: entry[0] == "Namespace"):
            server.delete(kind, name)
        for api in self.clients.values():
            api.close()


def in_force(guarded: Guarded) -> None:
    """Wait until every policy answers; the API server notices new ones by itself, but not at once."""
    admin = Server(guarded.admin, guarded.home)

    def refused(answer: Answer, words: str) -> bool:
        return not answer.accepted and words in answer.message

    forged = {"status": {"phase": "Promoted"}}

    def all_answer() -> bool:
        long_name = changed(release("probe"), {"spec/bundle/model/parameters": {"x" * 64: 1}})
        gated = changed(release("probe"), {"spec/phases/3/approval": "required"})
        return (
            refused(admin.create(approval(approver="nobody"), dry_run=True), "in another name")
            and refused(admin.create(long_name, dry_run=True), "63 letters")
            and refused(admin.create(gated, dry_run=True), "say who that is")
            and refused(admin.create(revision(), dry_run=True), "are written by")
            and refused(admin.merge("AgentRelease", "probe", forged, "status"), "written by")
        )

    created = admin.create(release("probe"))
    assert created.accepted, created.body
    wait_until(all_answer, 60, "the admission policies are in force")
    # Two more look at other objects, by caches of their own: fed once they know this release and approval.
    who = "prober"
    guarded.permit(guarded.home, who, EVERYTHING)
    prober = guarded.become(who)
    yes = changed(approval("probe", who), {"spec/release": "probe", "spec/expires": soon()})
    wait_until(
        lambda: refused(prober.create(yes, dry_run=True), "nobody knows who wrote"), 60, "four eyes look"
    )
    assert admin.delete("AgentRelease", "probe").accepted
    other = changed(yes, {"spec/release": "ghost"})
    guarded.offer(guarded.home, "alice")
    wait_until(
        lambda: prober.create(other).accepted, 60, "an approval of an unknown release is a mere object"
    )
    wait_until(
        lambda: refused(admin.create(release("ghost"), dry_run=True), "delete it first"), 60, "no replay"
    )
    assert admin.delete("AgentApproval", "probe").accepted


def soon(days: float = 1) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
