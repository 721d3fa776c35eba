"""What the local parts need built: `python -m agentrelease.local.builds [name …]`.

Without names: the control plane, Gateway API's CRDs and Prometheus, which the demo and the tests need. `helm`
and the CRDs of Istio and prometheus-operator are made when they're asked for.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agentrelease.local import debian, gobuild, thirdparty
from agentrelease.local.artefacts import root
from agentrelease.local.toolchain import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BUILDS", "controlplane", "crds", "helm", "kubectl", "main", "prometheus"]

KUBERNETES = "1.37.2"  # go.mod's k8s.io/kubernetes, checked by a test
_PROMETHEUS = "v0.315.0"  # v0.316.0 does not build outside of its own tree
_VERSION = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES.split(".")

_CONTROLPLANE = gobuild.GoProgram(
    "controlplane",
    ".",
    directory=Path(__file__).parent / "controlplane",
    # Clients refuse a server that calls itself v0.0.0.
    stamps=(
        (f"{_VERSION}.gitVersion", f"v{KUBERNETES}"),
        (f"{_VERSION}.gitMajor", _MAJOR),
        (f"{_VERSION}.gitMinor", _MINOR),
        (f"{_VERSION}.gitTreeState", "clean"),
    ),
)

_HELM = gobuild.GoProgram(
    "helm",
    "helm.sh/helm/v3/cmd/helm",
    # A module of its own, with the control plane's Kubernetes: most of it is compiled already then.
    directory=Path(__file__).parent / "helm",
    stamps=(
        ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor", _MAJOR),
        ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor", _MINOR),
    ),
)


def controlplane() -> Path:
    """Give the program `controlplane`; the first time this takes minutes."""
    return gobuild.install(_CONTROLPLANE)


def crds(project: str = "gateway-api") -> Path:
    """Give a directory of another project's CRDs: gateway-api, istio or prometheus-operator."""
    return thirdparty.crds(project)


def helm() -> Path:
    """Give the real Helm."""
    return gobuild.install(_HELM)


def prometheus() -> Path:
    """Give a Prometheus server: the machine's, else out of Debian's package, else built from its module."""
    if own := shutil.which("prometheus"):
        return Path(own)
    try:
        return debian.unpack("prometheus") / "usr" / "bin" / "prometheus"
    except ToolMissing:
        package = "github.com/prometheus/prometheus/cmd/prometheus"
        return gobuild.install(gobuild.GoProgram("prometheus", package, _PROMETHEUS))


def kubectl() -> Path:
    """Give the machine's kubectl, else the one inside `controlplane`, under the name that it listens to."""
    if own := shutil.which("kubectl"):
        return Path(own)
    ours, program = root() / "bin" / "kubectl", controlplane()
    if not ours.is_symlink():
        ours.symlink_to(program.name)
    return ours


BUILDS: dict[str, Callable[[], Path]] = {
    "controlplane": controlplane,
    "gateway-api": crds,
    "prometheus": prometheus,
    "kubectl": kubectl,
    "helm": helm,
    "istio": lambda: crds("istio"),
    "prometheus-operator": lambda: crds("prometheus-operator"),
}
_NEEDED = ("controlplane", "gateway-api", "prometheus", "kubectl")


def main(names: Sequence[str]) -> int:
    """Build what is named and print where it is; 1 with one sentence where that fails."""
    unknown = [name for name in names if name not in BUILDS]
    if unknown:
        print(f"nothing is called {', '.join(unknown)}; there are {', '.join(BUILDS)}", file=sys.stderr)  # noqa: T201
        return 2
    for name in names or _NEEDED:
        try:
            print(f"{name}: {BUILDS[name]()}", flush=True)  # noqa: T201
        except (ToolMissing, gobuild.BuildFailed) as failure:
            print(failure, file=sys.stderr)  # noqa: T201
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
