"""The examples for evidence: the real API server takes them as they are, every field of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from kubernetes.dynamic import DynamicClient

if TYPE_CHECKING:
    from kubernetes import client

FOLDER = Path(__file__).parents[2] / "examples" / "evidence"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_applied_whole(admin: client.ApiClient, namespace, path: Path) -> None:
    cluster, home = DynamicClient(admin), namespace()
    for obj in yaml.safe_load_all(path.read_text()):
        resource = cluster.resources.get(api_version=obj["apiVersion"], kind=obj["kind"])
        cluster.server_side_apply(
            resource, body=obj, name=obj["metadata"]["name"], namespace=home, field_manager="test",
            query_params=[("fieldValidation", "Strict")],
        )  # fmt: skip
        stored = resource.get(name=obj["metadata"]["name"], namespace=home).to_dict()
        _within(obj["spec"], stored["spec"], obj["kind"])


def _within(written, stored, path: str) -> None:
    """What was written is there; the server may have added defaults."""
    if isinstance(written, dict):
        for key, value in written.items():
            assert key in stored, f"{path}.{key} was lost"
            _within(value, stored[key], f"{path}.{key}")
    elif isinstance(written, list):
        assert len(written) == len(stored), path
        for place, (one, other) in enumerate(zip(written, stored, strict=True)):
            _within(one, other, f"{path}[{place}]")
    else:
        assert written == stored, path
