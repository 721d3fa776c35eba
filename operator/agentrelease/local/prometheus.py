"""A real Prometheus on loopback, scraping every second.

Pods are scraped where they say so (`discovery.py`). Their series get `namespace` and `pod`, and the pod's
labels as `pod_label_…`: under their own names they would push an agent's `release` aside.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from agentrelease.local import builds
from agentrelease.local.discovery import discover
from agentrelease.local.processes import Command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from agentrelease.local.ports import Ports
    from agentrelease.local.processes import Child, Processes

__all__ = ["Prometheus", "Scraping", "configuration", "serve"]

_READY_SECONDS = 60.0
_PODS = "pods.json"


@dataclass(frozen=True, slots=True)
class Scraping:
    """What to scrape: pods that `kubeconfig` may list (all or some namespaces), and fixed targets by job.

    `paths` is by job where a page is not at `/metrics`.
    """

    kubeconfig: Path | None = None
    namespaces: Sequence[str] = ()
    targets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    interval: str = "1s"
    paths: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running server."""

    url: str
    child: Child


def configuration(scraping: Scraping, pods: Path) -> dict[str, Any]:
    """Give the content of prometheus.yml; `pods` is the file that discovery writes."""
    pace = {"scrape_interval": scraping.interval, "scrape_timeout": scraping.interval}
    # The file is watched; reading it now and then as well is for file systems that don't tell.
    found = {"files": [str(pods)], "refresh_interval": "5s"}
    jobs: list[dict[str, Any]] = [{"job_name": "pods", "file_sd_configs": [found]}]
    for job, targets in scraping.targets.items():
        path = scraping.paths.get(job, "/metrics")
        jobs.append({"job_name": job, "metrics_path": path, "static_configs": [{"targets": list(targets)}]})
    return {"global": pace, "scrape_configs": jobs}


@asynccontextmanager
async def serve(
    processes: Processes, ports: Ports, directory: Path, scraping: Scraping
) -> AsyncIterator[Prometheus]:
    """Run a server with its data and log in `directory`. Raises Died, NotReady.

    The server ends with `processes`; the search for pods ends with this context.
    """
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a local directory, at once
    server = await _start(processes, ports, directory, scraping)
    if scraping.kubeconfig is None:
        yield server
        return
    search = discover(scraping.kubeconfig, scraping.namespaces, directory / _PODS)
    searching = asyncio.create_task(search)
    try:
        yield server
    finally:
        searching.cancel()
        with suppress(asyncio.CancelledError):
            await searching


async def _start(processes: Processes, ports: Ports, directory: Path, scraping: Scraping) -> Prometheus:
    config = directory / "prometheus.yml"
    config.write_text(yaml.safe_dump(configuration(scraping, directory / _PODS), sort_keys=False))
    program = await asyncio.to_thread(builds.prometheus)
    address = f"127.0.0.1:{ports.take()}"
    arguments = [
        str(program),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    command = Command("prometheus", arguments, directory / "prometheus.log", directory=directory)
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=2, trust_env=False) as client:

        async def ready() -> bool:
            try:
                return (await client.get("/-/ready")).is_success
            except httpx.TransportError:
                return False

        child = await processes.start(command, ready, _READY_SECONDS)
    return Prometheus(f"http://{address}", child)
