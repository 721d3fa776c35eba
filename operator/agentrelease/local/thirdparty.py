"""CRDs of other projects, taken out of their Go modules. Never committed: they are the projects' own."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agentrelease.local.artefacts import Artefact, digest, ensure, root
from agentrelease.local.gobuild import BuildFailed
from agentrelease.local.toolchain import go

__all__ = ["PROJECTS", "crds"]


@dataclass(frozen=True, slots=True)
class Project:
    """A module, the checksum that go.sum would hold for it, and which of its files are CRDs."""

    module: str
    version: str
    checksum: str
    files: str


PROJECTS = {
    "gateway-api": Project(
        "sigs.k8s.io/gateway-api",
        "v1.6.3",
        "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
        "config/crd/standard/*.yaml",
    ),
    "istio": Project(
        "istio.io/api",
        "v1.31.1",
        "h1:5Yb5ihcz4YQsCkciusK7DnFpBMwRB6EFWeUKH1Atuyk=",
        "kubernetes/customresourcedefinitions.gen.yaml",
    ),
    "prometheus-operator": Project(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd/*.yaml",
    ),
}


def crds(name: str) -> Path:
    """Give the directory with the project's CRDs as YAML files; raises KeyError, BuildFailed."""
    project = PROJECTS[name]
    key = digest(project.module, project.version, project.checksum, project.files)
    return ensure(Artefact(root() / "crds" / name, key), partial(_extract, project))


def _extract(project: Project, target: Path) -> None:
    asked = subprocess.run(
        [go().program, "mod", "download", "-json", f"{project.module}@{project.version}"],
        check=False,
        cwd="/",
        env=go().environment() | {"GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if asked.returncode:
        raise BuildFailed(f"{project.module}: {asked.stdout}{asked.stderr}")
    answer = json.loads(asked.stdout)
    if answer["Sum"] != project.checksum:
        raise BuildFailed(
            f"{project.module} {project.version} has checksum {answer['Sum']}, not {project.checksum}"
        )
    found = sorted(Path(answer["Dir"]).glob(project.files))
    if not found:
        raise BuildFailed(f"{project.module} {project.version} has no {project.files}")
    target.mkdir()
    for file in found:
        shutil.copyfile(file, target / file.name)
