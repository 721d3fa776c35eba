"""The six kinds as CustomResourceDefinitions, made from the models.

``RESOURCES`` is the whole table: names, short names, columns. ``definitions()`` is what ``crds/`` holds,
byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from agentrelease.api.approval import ApprovalSpec
from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.incident import IncidentSpec
from agentrelease.api.release import ReleaseSpec
from agentrelease.api.revision import RevisionSpec, RevisionStatus
from agentrelease.api.schema import VALIDATIONS, rule
from agentrelease.api.status import ReleaseStatus
from agentrelease.api.structural import structural
from agentrelease.api.vocabulary import GROUP, VERSION

if TYPE_CHECKING:
    from pydantic import BaseModel

CATEGORY = "agents"
HEADER = "# Made from the models in operator/agentrelease/api by `make crds`; change those.\n"
_READY = '.status.conditions[?(@.type=="Ready")]'


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``; ``wide`` ones only show with ``-o wide``."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False

    def to_object(self) -> dict[str, Any]:
        """The column as the CRD has it."""
        made = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**made, "priority": 1} if self.wide else made


# Every kind says which agent it is about in the same column, so that `kubectl get agents` reads as one.
_AGENT = Column("Agent", ".spec.release")
_AGE = Column("Age", ".metadata.creationTimestamp", "date")


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind: its names, what it is for, its two halves and its columns."""

    kind: str
    plural: str
    short: str
    about: str
    spec: type[BaseModel]
    columns: tuple[Column, ...]
    status: type[BaseModel] | None = None
    namespaced: bool = True
    longest_name: int = 0

    @property
    def file_name(self) -> str:
        """The file below ``crds/``."""
        return f"{GROUP}_{self.plural}.yaml"


RESOURCES = (
    Resource(
        "AgentRelease",
        "agentreleases",
        "arel",
        "One agent: the bundle it shall have, how that is delivered, the phases it goes through and the "
        "guardrails that judge it. The object's name is the agent's name.",
        ReleaseSpec,
        (
            Column("Agent", ".metadata.name"),
            Column("Phase", ".status.phase"),
            Column("Weight", ".status.weight", "number"),
            Column("Autonomy", ".status.autonomy"),
            Column("Verdict", ".status.verdict"),
            Column("Ready", f"{_READY}.status"),
            Column("Stable", ".status.stable.revision", wide=True),
            Column("Candidate", ".status.candidate.revision", wide=True),
            Column("Digest", ".status.candidate.digest", wide=True),
            Column("Reason", f"{_READY}.reason", wide=True),
            _AGE,
        ),
        status=ReleaseStatus,
        # A revision's name adds eleven characters and must fit into a label's 63.
        longest_name=52,
    ),
    Resource(
        "AgentRevision",
        "agentrevisions",
        "arev",
        "An immutable snapshot of one bundle, with what changed since its parent and how it fared. Written "
        "by the operator; named after the release and the bundle's digest.",
        RevisionSpec,
        (
            _AGENT,
            Column("Outcome", ".status.outcome"),
            Column("Parent", ".spec.parent"),
            Column("Held-By", r".metadata.annotations.agentrelease\.dev/held-by"),
            Column("Digest", ".spec.digest", wide=True),
            Column("Reason", ".status.reason", wide=True),
            _AGE,
        ),
        status=RevisionStatus,
        longest_name=63,
    ),
    Resource(
        "GuardrailPolicy",
        "guardrailpolicies",
        "guard",
        "Metrics, how much worse than stable is too much, and what a breach causes; for the releases of one "
        "namespace.",
        GuardrailPolicySpec,
        (
            Column("Unit", ".spec.unit"),
            Column("False-Rollback", ".spec.falseRollback", "number"),
            Column("Metrics", ".spec.metrics[*].name", wide=True),
            _AGE,
        ),
        longest_name=63,
    ),
    Resource(
        "ClusterGuardrailPolicy",
        "clusterguardrailpolicies",
        "cguard",
        "Metrics, how much worse than stable is too much, and what a breach causes; for releases of any "
        "namespace.",
        GuardrailPolicySpec,
        (
            Column("Unit", ".spec.unit"),
            Column("False-Rollback", ".spec.falseRollback", "number"),
            Column("Metrics", ".spec.metrics[*].name", wide=True),
            _AGE,
        ),
        namespaced=False,
        longest_name=63,
    ),
    Resource(
        "AgentApproval",
        "agentapprovals",
        "aappr",
        "A person's immutable consent that one bundle may enter one phase. Only someone with the verb "
        "`approve` on the release, who isn't the bundle's author, can create it.",
        ApprovalSpec,
        (
            _AGENT,
            Column("From", ".spec.from"),
            Column("To", ".spec.to"),
            Column("Approver", ".spec.approver"),
            Column("Expires", ".spec.expires"),
            Column("Digest", ".spec.digest", wide=True),
            Column("Reason", ".spec.reason", wide=True),
            _AGE,
        ),
    ),
    Resource(
        "AgentIncident",
        "agentincidents",
        "ainc",
        "What broke, where and how badly; opened by the operator, labelled by people, the source of "
        "regression cases.",
        IncidentSpec,
        (
            _AGENT,
            Column("Severity", ".spec.severity"),
            Column("Symptom", ".spec.symptom"),
            Column("Layer", ".spec.label.layer"),
            Column("Closed", ".spec.closed", "boolean"),
            Column("Revision", ".spec.revision", wide=True),
            _AGE,
        ),
    ),
)


def definition(resource: Resource) -> dict[str, Any]:
    """Return the CustomResourceDefinition of one kind."""
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root(resource)},
        "additionalPrinterColumns": [column.to_object() for column in resource.columns],
    }
    if resource.status is not None:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": [resource.short],
                "categories": [CATEGORY],
            },
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [version],
        },
    }


def definitions() -> dict[str, str]:
    """Return file name → YAML text of all kinds."""
    return {r.file_name: HEADER + as_yaml(definition(r)) for r in RESOURCES}


def as_yaml(document: dict[str, Any]) -> str:
    """Return block-style YAML in the order in which things were put, without anchors."""
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)


def _root(resource: Resource) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "apiVersion": {"type": "string", "description": f"`{GROUP}/{VERSION}`."},
        "kind": {"type": "string", "description": f"`{resource.kind}`."},
        "metadata": {"type": "object"},
        "spec": structural(resource.spec),
    }
    if resource.status is not None:
        properties["status"] = structural(resource.status, tell_defaults=False)
    root: dict[str, Any] = {
        "type": "object",
        "description": resource.about,
        "required": ["spec"],
        "properties": properties,
    }
    if resource.longest_name:
        root[VALIDATIONS] = [_name_rule(resource.longest_name)]
    return root


def _name_rule(longest: int) -> dict[str, Any]:
    return rule(
        f"self.metadata.name.matches('^[a-z]([-a-z0-9]{{0,{longest - 2}}}[a-z0-9])?$')",
        f"the name must start with a letter and have at most {longest} lower-case letters, digits and "
        "dashes: it appears in labels, flags and metrics",
    )


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # The API server's YAML takes a bare n for false; PyYAML would leave it bare.
    style = '"' if text.lower() in ("y", "n") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Plain.add_representer(str, _text)
