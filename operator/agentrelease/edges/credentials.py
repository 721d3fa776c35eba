"""Where the API server is and who we are, from a kubeconfig or from the pod's service account.

The official client's loaders do the reading (exec plugins, token files, certificates); both the
gateway in ``cluster.py`` and kopf's login take their credentials from here, so that the two can
never talk to different clusters or as different users.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

DEFAULT_KUBECONFIG = Path("~/.kube/config")

# what the official loader raises on a file that is YAML but no kubeconfig
_MISSHAPEN = (ValueError, KeyError, TypeError, AttributeError)


class CredentialsError(Exception):
    """No usable credentials; the message is one sentence for the person who starts the operator."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A source of credentials that can be read again when a token has expired.

    ``kubeconfig`` is a file's path, ``None`` means the service account of the pod we run in.
    """

    kubeconfig: Path | None

    @classmethod
    def find(cls, kubeconfig: Path | None) -> Credentials:
        """Prefer the given file, then the pod's service account, then ``~/.kube/config``."""
        if kubeconfig is not None:
            return cls(kubeconfig.expanduser())
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            return cls(None)
        return cls(DEFAULT_KUBECONFIG.expanduser())

    async def load(self) -> Any:
        """Read the credentials now and return them as a ``kubernetes.aio`` Configuration."""
        configuration = Configuration()
        try:
            if self.kubeconfig is None:
                config.load_incluster_config(client_configuration=configuration)
            else:
                _require(self.kubeconfig)
                # persist_config would let the library write refreshed tokens into the user's own file
                await config.load_kube_config(
                    config_file=str(self.kubeconfig), client_configuration=configuration, persist_config=False
                )
        except (config.ConfigException, OSError, yaml.YAMLError, *_MISSHAPEN) as error:
            raise CredentialsError(f"Can't use {self}: {error}") from error
        return configuration

    def __str__(self) -> str:
        return f"kubeconfig {self.kubeconfig}" if self.kubeconfig else "the pod's service account"


def _require(path: Path) -> None:
    # KUBECONFIG may be a list of files, of which some needn't exist
    if not any(Path(part).expanduser().is_file() for part in str(path).split(os.pathsep)):
        raise CredentialsError(
            f"No kubeconfig at {path}, and no service account of a pod: set AGENTRELEASE_KUBECONFIG "
            "or KUBECONFIG to the file of the cluster to work on."
        )
