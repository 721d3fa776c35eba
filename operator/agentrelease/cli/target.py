"""Which cluster, as whom, and in which namespace: kubectl's rules, from the same files.

``--kubeconfig``, then ``KUBECONFIG`` (which may name several files), then ``~/.kube/config``; in a
pod without any of them its service account. Unlike the operator, a person may pick a context.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from agentrelease.edges.credentials import DEFAULT_KUBECONFIG, Credentials, CredentialsError

_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Chosen(Credentials):
    """Credentials of one context of one or several kubeconfig files."""

    files: str = ""  # as KUBECONFIG writes them
    context: str | None = None

    async def load(self) -> Any:
        """Read the credentials now; raises ``CredentialsError`` with one sentence."""
        configuration = Configuration()
        try:
            await config.load_kube_config(
                config_file=self.files,
                context=self.context,
                client_configuration=configuration,
                persist_config=False,
            )
        except _UNREADABLE as error:
            raise CredentialsError(f"Can't use kubeconfig {self.files}: {error}") from error
        return configuration


_UNREADABLE = (config.ConfigException, OSError, ValueError, KeyError, TypeError, yaml.YAMLError)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command works: credentials, the namespace by default, and the user's name for the record."""

    credentials: Credentials
    namespace: str
    user: str


def choose(kubeconfig: str | None, context: str | None, namespace: str | None) -> Target:
    """Apply kubectl's rules; raises ``CredentialsError`` with what to do."""
    files = kubeconfig or os.environ.get("KUBECONFIG", "") or str(DEFAULT_KUBECONFIG.expanduser())
    if not any(Path(name).is_file() for name in files.split(os.pathsep)):
        return _in_pod(files, namespace)
    try:
        contexts, current = config.list_kube_config_contexts(files)
    except _UNREADABLE as error:
        raise CredentialsError(f"Can't use kubeconfig {files}: {error}") from error
    named = {entry["name"]: entry.get("context") or {} for entry in contexts}
    name = context or (current or {}).get("name")
    if name not in named:
        known = ", ".join(sorted(named)) or "none at all"
        raise CredentialsError(f"--context: no context {name!r} in {files}; it has {known}.")
    chosen = named[name]
    return Target(
        credentials=Chosen(None, files=files, context=name),
        namespace=namespace or chosen.get("namespace") or "default",
        user=chosen.get("user") or "unknown",
    )


def _in_pod(files: str, namespace: str | None) -> Target:
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise CredentialsError(
            f"--kubeconfig: there is no file {files}; name one with --kubeconfig or in KUBECONFIG."
        )
    own = _SERVICE_ACCOUNT_NAMESPACE
    return Target(
        credentials=Credentials(None),
        namespace=namespace or (own.read_text().strip() if own.is_file() else "default"),
        user="service account",
    )
