"""Tells Prometheus which pods to scrape, by a file that it watches (`file_sd_configs`).

Prometheus can ask an API server itself, but Debian builds its package without that. The rules are those
of the annotations that everybody knows: `prometheus.io/scrape: "true"`, `prometheus.io/port`, and
`prometheus.io/path` if it isn't /metrics.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from agentrelease.local.kubeapi import KubeApi, collection
from agentrelease.local.reflector import Reflector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from agentrelease.local.kubeapi import Json

__all__ = ["discover", "target_of"]

_PREFIX = "prometheus.io/"
_NOT_IN_A_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_SETTLE_SECONDS = 0.05


async def discover(kubeconfig: Path, namespaces: Sequence[str], file: Path) -> None:
    """Keep `file` equal to what pods of the namespaces (none named: all) ask for; ends by cancellation."""
    changed = asyncio.Event()
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(KubeApi(kubeconfig))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        scopes: Iterable[str | None] = namespaces or [None]
        mirrors = [Reflector(api, collection("v1", "pods", scope), changed.set) for scope in scopes]
        for mirror in mirrors:
            tasks.create_task(mirror.run())
        while True:
            await changed.wait()
            await asyncio.sleep(_SETTLE_SECONDS)  # pods come in groups
            changed.clear()
            targets = [target_of(pod) for mirror in mirrors for pod in mirror.objects.values()]
            _write(file, [target for target in targets if target])


def target_of(pod: Json) -> Json | None:
    """Give the target that the pod asks for, with its labels; None if it asks for none, or can't answer."""
    meta, status = pod["metadata"], pod.get("status", {})
    annotations = meta.get("annotations", {})
    address, port = status.get("podIP"), annotations.get(f"{_PREFIX}port")
    if annotations.get(f"{_PREFIX}scrape") != "true" or not address or not port:
        return None
    # A pod that has ended keeps its address, which may be somebody else's by now.
    if status.get("phase") != "Running":
        return None
    labels = {
        f"pod_label_{_NOT_IN_A_LABEL.sub('_', key)}": value for key, value in meta.get("labels", {}).items()
    }
    labels |= {"namespace": meta["namespace"], "pod": meta["name"]}
    labels["__metrics_path__"] = annotations.get(f"{_PREFIX}path", "/metrics")
    return {"targets": [f"{address}:{port}"], "labels": labels}


def _write(file: Path, targets: list[Json]) -> None:
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(targets, indent=1))
    beside.replace(file)
