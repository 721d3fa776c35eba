"""The control plane from ready-made binaries, in place of our own build: KUBEBUILDER_ASSETS=directory.

Takes the same commands as the Go program, `serve` and `user`, and keeps the same directory, so that
nobody else has to know. The directory must hold etcd, kube-apiserver, kube-controller-manager and
kubectl. What setup-envtest downloads lacks the third, without which no Deployment gets pods; then the
embedded program is used.

Run so far with Kubernetes 1.37.2 binaries built from its modules; not with downloaded ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentrelease.local.certificates import Authority
from agentrelease.local.ports import Ports
from agentrelease.local.processes import Command, Processes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["binaries", "main"]

_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
_CONTROLLERS = (
    "namespace-controller,serviceaccount-controller,replicaset-controller,deployment-controller,job-controller,"
    "garbage-collector-controller,clusterrole-aggregation-controller"
)
_AUDIT_POLICY = Path(__file__).parent / "controlplane" / "audit-policy.yaml"
_STATE = "controlplane.json"
_WATCH_SECONDS, _READY_SECONDS = 0.2, 120.0


def binaries() -> Path | None:
    """Give the directory of KUBEBUILDER_ASSETS if it has all that a rollout needs; says so if it hasn't."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if not named:
        return None
    missing = [name for name in _PROGRAMS if not os.access(Path(named) / name, os.X_OK)]
    if missing:
        print(  # noqa: T201 - somebody set this on purpose and should know
            f"KUBEBUILDER_ASSETS has no {', '.join(missing)}; using the embedded control plane",
            file=sys.stderr,
        )
        return None
    return Path(named)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The administrator's kubectl."""

    program: Path
    kubeconfig: Path

    async def __call__(self, *arguments: str) -> None:
        """Run it; raises CalledProcessError."""
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments]
        await asyncio.to_thread(
            subprocess.run, command, check=True, stdout=sys.stderr, stdin=subprocess.DEVNULL
        )

    async def ready(self) -> bool:
        """Whether the API server says that it is, and has its first namespace."""
        try:
            await self("get", "--raw=/readyz")
            await self("get", "namespace", "default")
        except subprocess.CalledProcessError:
            return False
        return True


async def _serve(options: argparse.Namespace, assets: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with Ports() as ports:
        async with Processes() as processes:
            starting = asyncio.create_task(_bring_up(processes, ports, options, assets))
            while not stop.is_set() and (not options.watch_pid or _alive(options.watch_pid)):
                if starting.done():
                    starting.result()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _WATCH_SECONDS)
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting


async def _bring_up(processes: Processes, ports: Ports, options: argparse.Namespace, assets: Path) -> None:
    directory: Path = options.dir
    authority = Authority(directory / "pki")
    authority.create()
    etcd, peer = (f"http://127.0.0.1:{ports.take()}" for _ in range(2))
    port = ports.take(options.port or None)
    server = f"https://127.0.0.1:{port}"
    await processes.start(_command(assets / "etcd", directory, _etcd_flags(directory, etcd, peer)))
    (directory / "kubeconfig").write_text(authority.kubeconfig(server, "admin", "system:masters"))
    kubectl = Kubectl(assets / "kubectl", directory / "kubeconfig")
    server_command = _command(assets / "kube-apiserver", directory, _server_flags(directory, etcd, port))
    await processes.start(server_command, kubectl.ready, _READY_SECONDS)
    managed = [f"--kubeconfig={directory / 'kubeconfig'}", f"--controllers={_CONTROLLERS}", "--secure-port=0"]
    managed.append("--leader-elect=false")
    await processes.start(_command(assets / "kube-controller-manager", directory, managed))
    for crds in options.crds:
        await kubectl("apply", "--server-side", f"--filename={crds}")
        await kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    state = {"ready": True, "server": server, "dir": str(directory), "pid": os.getpid(), "etcd": etcd}
    state |= {"kubeconfig": str(directory / "kubeconfig"), "auditLog": str(directory / "audit.log")}
    fresh = directory / f".{_STATE}"
    fresh.write_text(json.dumps(state))
    fresh.rename(directory / _STATE)


def _command(program: Path, directory: Path, flags: Sequence[str]) -> Command:
    return Command(program.name, [str(program), *flags], directory / f"{program.name}.log", stop_seconds=5)


def _etcd_flags(directory: Path, client: str, peer: str) -> list[str]:
    return [
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    ]


def _server_flags(directory: Path, etcd: str, port: int) -> list[str]:
    pki = directory / "pki"
    return [
        f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--tls-cert-file={pki / 'server.crt'}",
        f"--tls-private-key-file={pki / 'server.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        "--authorization-mode=RBAC",
        "--anonymous-auth=false",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        f"--service-account-key-file={pki / 'service-account.key'}",
        "--service-cluster-ip-range=10.0.0.0/16",
        f"--audit-log-path={directory / 'audit.log'}",
        f"--audit-policy-file={_AUDIT_POLICY}",
        "--shutdown-send-retry-after=true",
    ]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main(arguments: Sequence[str]) -> int:
    """Be `controlplane`, with the commands `serve` and `user`."""
    parser = argparse.ArgumentParser(prog="python -m agentrelease.local.assets")
    parser.add_argument("command", choices=["serve", "user"])
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--crds", action="append", default=[])
    parser.add_argument("--watch-pid", type=int, default=0)
    parser.add_argument("--name")
    parser.add_argument("--group", action="append", default=[])
    options = parser.parse_args(arguments)
    if options.command == "user":
        server = json.loads((options.dir / _STATE).read_text())["server"]
        sys.stdout.write(Authority(options.dir / "pki").kubeconfig(server, options.name, *options.group))
        return 0
    found = binaries()
    if found is None:
        return 1
    options.dir.mkdir(parents=True, exist_ok=True)
    if any(options.dir.iterdir()) and not (options.dir / _STATE).exists():
        sys.stderr.write(f"{options.dir} is neither empty nor a control plane's directory\n")
        return 1
    (options.dir / _STATE).write_text("{}")
    try:
        asyncio.run(_serve(options, found))
    finally:
        (options.dir / _STATE).write_text("{}")
        if not options.keep:
            shutil.rmtree(options.dir)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
