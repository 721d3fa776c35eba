"""Plain JSON verbs on the real API server, with its refusals as values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubernetes.client import ApiException

from agentrelease.api.crd import RESOURCES
from agentrelease.api.vocabulary import API_VERSION

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

PLURALS = {resource.kind: resource.plural for resource in RESOURCES}
CLUSTER_WIDE = {resource.kind for resource in RESOURCES if not resource.namespaced}
OTHERS = {
    "ConfigMap": "/api/v1/namespaces/{ns}/configmaps",
    "Namespace": "/api/v1/namespaces",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{ns}/httproutes",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": (
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
    ),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: the object, or its refusal."""

    code: int
    body: dict[str, Any]

    @property
    def accepted(self) -> bool:
        return self.code < 300

    @property
    def message(self) -> str:
        return self.body.get("message", "")

    @property
    def causes(self) -> list[tuple[str, str]]:
        """``(field, message)`` of everything that was wrong."""
        causes = (self.body.get("details") or {}).get("causes") or []
        return [(cause.get("field", ""), cause.get("message", "")) for cause in causes]


class Server:
    """One user's view of the server, in one namespace."""

    def __init__(self, api: ApiClient, namespace: str = "") -> None:
        self._api = api
        self.namespace = namespace

    def create(self, obj: dict[str, Any], *, dry_run: bool = False, strict: bool = False) -> Answer:
        options = [*(["dryRun=All"] if dry_run else []), *(["fieldValidation=Strict"] if strict else [])]
        query = f"?{'&'.join(options)}" if options else ""
        return self._call("POST", f"{self._collection(obj['kind'])}{query}", obj)

    def get(self, kind: str, name: str) -> Answer:
        return self._call("GET", f"{self._collection(kind)}/{name}")

    def replace(self, obj: dict[str, Any], subresource: str = "") -> Answer:
        return self._call("PUT", self._object(obj["kind"], obj["metadata"]["name"], subresource), obj)

    def merge(self, kind: str, name: str, patch: dict[str, Any], subresource: str = "") -> Answer:
        return self._call(
            "PATCH", self._object(kind, name, subresource), patch, "application/merge-patch+json"
        )

    def apply(self, obj: dict[str, Any], subresource: str = "", manager: str = "tests") -> Answer:
        path = self._object(obj["kind"], obj["metadata"]["name"], subresource)
        return self._call(
            "PATCH", f"{path}?fieldManager={manager}&force=true", obj, "application/apply-patch+yaml"
        )

    def delete(self, kind: str, name: str, *, dry_run: bool = False) -> Answer:
        return self._call("DELETE", self._object(kind, name) + ("?dryRun=All" if dry_run else ""))

    def delete_all(self, kind: str) -> Answer:
        return self._call("DELETE", self._collection(kind))

    def _collection(self, kind: str) -> str:
        if kind in OTHERS:
            return OTHERS[kind].format(ns=self.namespace)
        scope = "" if kind in CLUSTER_WIDE else f"/namespaces/{self.namespace}"
        return f"/apis/{API_VERSION}{scope}/{PLURALS[kind]}"

    def _object(self, kind: str, name: str, subresource: str = "") -> str:
        return f"{self._collection(kind)}/{name}" + (f"/{subresource}" if subresource else "")

    def _call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Answer:
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        url = self._api.configuration.host + path
        try:
            answer = self._api.rest_client.request(method, url, headers=headers, body=body)
        except ApiException as refusal:
            return Answer(refusal.status, _parsed(refusal.body))
        answer.read()
        return Answer(answer.status, _parsed(answer.data))


def _parsed(text: str | bytes | None) -> dict[str, Any]:
    try:
        return json.loads(text or "{}")
    except json.JSONDecodeError:
        return {"message": str(text)}
