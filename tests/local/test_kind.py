"""What `make kind` applies is at least what an API server accepts; Docker isn't everywhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from agentrelease.local import builds

ROOT = Path(__file__).parents[2]


def documents():
    return list(yaml.safe_load_all((ROOT / "examples" / "kind" / "platform.yaml").read_text()))


@pytest.mark.parametrize(
    "document", documents(), ids=lambda found: f"{found['kind']} {found['metadata']['name']}"
)
def test_the_api_server_accepts_it(control_plane, namespace, document):
    space = namespace()
    if "namespace" in document["metadata"]:
        document["metadata"]["namespace"] = space
    else:
        document["metadata"]["name"] = space  # other tests may have a class of that name on the same server
    arguments = ["kubectl", f"--kubeconfig={control_plane.kubeconfig}", "apply", "-f", "-"]
    applied = subprocess.run(
        [builds.controlplane(), *arguments, "--dry-run=server", "--validate=strict"],
        input=yaml.safe_dump(document),
        capture_output=True,
        text=True,
        check=False,
    )
    assert applied.returncode == 0, applied.stderr


def test_the_nodes_look_at_their_config_maps_every_second():
    cluster = yaml.safe_load((ROOT / "kind-config.yaml").read_text())
    (patch,) = cluster["kubeadmConfigPatches"]
    assert yaml.safe_load(patch)["syncFrequency"] == "1s"
