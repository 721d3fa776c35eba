"""A real control plane on this machine: `python -m agentrelease.local.controlplane [--keep] [--dir DIR]`.

etcd, kube-apiserver and seven controllers in one process, built from `controlplane/` beside this file
(`builds.py`). It watches the process that started it and ends with it. Where KUBEBUILDER_ASSETS is set,
those binaries take its place (`assets.py`).

Whoever runs tests all day starts one with `--dir`, and names that directory in AGENTRELEASE_CONTROLPLANE:
then it is used instead of a new one. With USE_KIND=1 a running kind cluster is used instead: the one of
KUBECONFIG's current context, which must be called `kind-…`, so that nobody's real cluster is ever taken
for a toy. That way was written without a kind cluster at hand and has not been run; there is no audit log
then, and no `user`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from agentrelease.local import assets, builds
from agentrelease.local.artefacts import digest
from agentrelease.local.processes import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.local.processes import Processes

__all__ = ["ControlPlane", "NoControlPlane", "command", "default_crds", "existing", "main", "read", "start"]

_STATE = "controlplane.json"  # written by serve.go, last
_READY_SECONDS = 180.0  # a start takes three; a busy machine gets its time


class NoControlPlane(RuntimeError):
    """The control plane that was asked for can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Where an API server is, and how to be somebody there. `kubeconfig` is an administrator's."""

    kubeconfig: Path
    server: str
    pid: int = 0
    directory: Path | None = None
    audit_log: Path | None = None

    def user(self, name: str, *groups: str) -> Path:
        """Give a kubeconfig for any user name and groups, by a client certificate of its own."""
        if self.directory is None:
            raise NoControlPlane(
                "this cluster's certificate authority is not ours, so it can't be asked for users"
            )
        users = self.directory / "users"
        users.mkdir(exist_ok=True)
        written = users / f"{digest(name, *groups)[:16]}.kubeconfig"
        if not written.exists():
            wanted = ["--name", name, *(f"--group={group}" for group in groups)]
            arguments = [*_program(), "user", f"--dir={self.directory}", *wanted]
            made = subprocess.run(
                arguments, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
            ).stdout
            fresh = written.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(made)
            fresh.rename(written)  # others read it at the same time
        return written


def default_crds() -> list[Path]:
    """Give the directories whose CRDs every local control plane has: Gateway API's and ours."""
    ours = Path(__file__).resolve().parents[3] / "crds"
    return [builds.crds(), *([ours] if any(ours.glob("*.yaml")) else [])]


def command(
    directory: Path, *, crds: Sequence[Path] = (), keep: bool = False, port: int = 0, watch: int = 0
) -> list[str]:
    """Give the command line. `directory`: new, empty, or of an earlier run; `watch`: a pid to end with."""
    flags = [
        f"--dir={directory}",
        f"--port={port}",
        f"--watch-pid={watch}",
        *(f"--crds={path}" for path in crds),
    ]
    return [*_program(), "serve", *flags, *(["--keep"] if keep else [])]


def _program() -> list[str]:
    if assets.binaries() is not None:
        return [sys.executable, "-m", "agentrelease.local.assets"]
    return [str(builds.controlplane())]


def read(directory: Path) -> ControlPlane | None:
    """Give the control plane that serves from `directory`, None if it isn't ready (yet)."""
    try:
        state = json.loads((directory / _STATE).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if not state.get("ready") or not _alive(state["pid"]):
        return None
    return ControlPlane(
        Path(state["kubeconfig"]), state["server"], state["pid"], Path(state["dir"]), Path(state["auditLog"])
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def existing() -> ControlPlane | None:
    """Give the one that serves from AGENTRELEASE_CONTROLPLANE, or the kind cluster of USE_KIND=1, or None.

    Raises NoControlPlane where one is asked for that isn't there.
    """
    if chosen := os.environ.get("AGENTRELEASE_CONTROLPLANE"):
        found = read(Path(chosen))
        if found is None:
            raise NoControlPlane(f"AGENTRELEASE_CONTROLPLANE is set, but nothing serves from {chosen}")
        return found
    if os.environ.get("USE_KIND", "") in ("", "0"):
        return None
    kubeconfig = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    if not kubeconfig.exists():
        raise NoControlPlane(f"USE_KIND is set, but there is no {kubeconfig}; run `make kind`")
    config = yaml.safe_load(kubeconfig.read_text())
    current = config.get("current-context", "")
    if not current.startswith("kind-"):
        raise NoControlPlane(
            f"USE_KIND is set, but the context {current!r} of {kubeconfig} is not a kind cluster's"
        )
    contexts = {entry["name"]: entry["context"] for entry in config["contexts"]}
    clusters = {entry["name"]: entry["cluster"] for entry in config["clusters"]}
    return ControlPlane(kubeconfig, clusters[contexts[current]["cluster"]]["server"])


async def start(
    processes: Processes, log: Path, *, directory: Path | None = None, keep: bool = False, port: int = 0
) -> ControlPlane:
    """Start one among `processes` with the default CRDs, or use the existing one. Raises Died, NotReady."""
    if found := await asyncio.to_thread(existing):
        return found
    place = directory or Path(tempfile.mkdtemp(prefix="agentrelease-controlplane-"))
    crds = await asyncio.to_thread(default_crds)
    arguments = await asyncio.to_thread(command, place, crds=crds, keep=keep, port=port, watch=os.getpid())

    async def ready() -> bool:
        return read(place) is not None

    await processes.start(Command("controlplane", arguments, log, watches_us=True), ready, _READY_SECONDS)
    plane = read(place)
    assert plane is not None
    return plane


def main(arguments: Sequence[str]) -> None:
    """Become the program, with the default CRDs; --help shows its flags."""
    program = _program()
    crds = [f"--crds={path}" for path in default_crds()]
    os.execv(program[0], [*program, "serve", *crds, *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
