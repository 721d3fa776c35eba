"""The admission policies as manifests: ``admission.yaml`` with the operator's and the GitOps accounts.

The chart renders the same file; tests and the demo take it from here. A test may bind the policies to
its own namespaces and under its own names, so that several can share one API server.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ACCOUNT = re.compile(r"[A-Za-z0-9:._@/-]{1,253}")
_BINDING = "ValidatingAdmissionPolicyBinding"


def source() -> str:
    """Return the text of ``admission.yaml``, not filled in."""
    return files(__package__).joinpath("admission.yaml").read_text(encoding="utf-8")


def policies(operator: str, gitops: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return all policies and bindings for these user names; raise ``ValueError`` for a strange one."""
    for account in (operator, *gitops):
        if not _ACCOUNT.fullmatch(account):
            raise ValueError(f"{account!r} can't be a user name in an admission policy")
    accounts = ", ".join(f"'{account}'" for account in gitops)
    text = source().replace("OPERATOR_USER", operator).replace("GITOPS_ACCOUNTS", accounts)
    return list(yaml.safe_load_all(text))


def bound_to(
    namespaces: Mapping[str, str], prefix: str, manifests: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the same under names with a prefix, in force only where a namespace has these labels."""
    made = []
    for manifest in manifests:
        spec = dict(manifest["spec"])
        if manifest["kind"] == _BINDING:
            spec["policyName"] = prefix + spec["policyName"]
            spec["matchResources"] = {"namespaceSelector": {"matchLabels": dict(namespaces)}}
        name = prefix + manifest["metadata"]["name"]
        made.append({**manifest, "metadata": {**manifest["metadata"], "name": name}, "spec": spec})
    return made
