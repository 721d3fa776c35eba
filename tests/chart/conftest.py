"""The chart, rendered by the real Helm."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from agentrelease.local import builds

if TYPE_CHECKING:
    from collections.abc import Callable

CHART = Path(__file__).parents[2] / "charts" / "agentrelease"
NEEDED = ("--set", "prometheus.url=http://prometheus.monitoring:9090")
KUBE_VERSION = ("--kube-version", builds.KUBERNETES)

Helm = "Callable[..., subprocess.CompletedProcess[str]]"


@pytest.fixture(scope="session")
def helm(tmp_path_factory) -> Helm:
    """Run Helm with homes of its own; gives the finished process, whatever its exit code."""
    program, home = builds.helm(), tmp_path_factory.mktemp("helm")
    places = {f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}

    def run(*arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = os.environ | places | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})
        return subprocess.run(
            [str(program), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
            env=environment,
        )

    return run


@pytest.fixture(scope="session")
def render(helm) -> Callable[..., list[dict[str, Any]]]:
    """Render with ``--set`` values, and files of values, into objects."""

    def rendered(
        *values: str, name: str = "agentrelease", namespace: str = "agents", files: tuple[Path, ...] = ()
    ) -> list[dict[str, Any]]:
        sets = [part for value in values for part in ("--set", value)]
        sets += [part for file in files for part in ("--values", str(file))]
        made = helm("template", name, str(CHART), "-n", namespace, *KUBE_VERSION, *NEEDED, *sets)
        assert made.returncode == 0, made.stderr
        return [obj for obj in yaml.safe_load_all(made.stdout) if obj]

    return rendered
