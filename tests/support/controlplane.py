"""One control plane for a whole test run, started by the first test that needs it.

pytest's main process owns it, whichever xdist worker started it: it watches the main process, and is
stopped when that one ends. Tests share it and take a namespace each.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from agentrelease.local import artefacts, controlplane
from agentrelease.local.processes import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubernetes import client

    from agentrelease.local.controlplane import ControlPlane

_RUN = "AGENTRELEASE_TEST_RUN"  # directory of this run; workers inherit it
_OWNER = "AGENTRELEASE_TEST_OWNER"  # pid of pytest's main process
_START_SECONDS, _STOP_SECONDS = 180, 30


def open_run() -> None:
    """Call in pytest_configure: the main process makes the run's directory, workers find it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        runs = artefacts.root() / "test-runs"
        runs.mkdir(parents=True, exist_ok=True)
        for old in runs.iterdir():  # of runs that were killed; their control planes have ended by themselves
            if not Path(f"/proc/{old.name}").exists():
                shutil.rmtree(old, ignore_errors=True)
        run = runs / str(os.getpid())
        run.mkdir(exist_ok=True)
        os.environ |= {_RUN: str(run), _OWNER: str(os.getpid())}


def close_run() -> None:
    """Call in pytest_unconfigure: stops what was started, in the main process only."""
    if os.environ.get(_OWNER) != str(os.getpid()):
        return
    run = Path(os.environ.pop(_RUN))
    del os.environ[_OWNER]
    if plane := controlplane.read(run / "controlplane"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(plane.pid, signal.SIGTERM)
        wait_until(lambda: not plane.directory.exists(), _STOP_SECONDS, "the control plane stops")
    shutil.rmtree(run)


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Return once the condition holds; fails with `what` after that long, which no good run comes near."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


@pytest.fixture(scope="session")
def control_plane() -> ControlPlane:
    """The run's API server, with Gateway API's CRDs and ours. `.user(name, *groups)` gives a kubeconfig."""
    if found := controlplane.existing():
        return found
    directory, log = Path(os.environ[_RUN]) / "controlplane", Path(os.environ[_RUN]) / "controlplane.log"
    with artefacts.claim(directory):
        if controlplane.read(directory) is None:
            _start(directory, log)
    return controlplane.read(directory)


def _start(directory: Path, log: Path) -> None:
    owner = int(os.environ[_OWNER])
    arguments = controlplane.command(directory, crds=controlplane.default_crds(), watch=owner)
    with log.open("ab") as sink:
        # Not the worker's child to the end: it outlives the worker, and Ctrl-C is the main process's.
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )
    deadline = time.monotonic() + _START_SECONDS
    while controlplane.read(directory) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the control plane did not start:\n{tail(log)}")
        time.sleep(0.05)
    process.returncode = 0  # it runs on, and Popen must not complain about that


@pytest.fixture(scope="session")
def admin(control_plane: ControlPlane) -> Iterator[client.ApiClient]:
    """The synchronous Kubernetes client, as an administrator."""
    from kubernetes import config  # takes most of a second, and most tests do without

    with config.new_client_from_config(str(control_plane.kubeconfig)) as api:
        yield api


@pytest.fixture
def namespace(admin: client.ApiClient, request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """A function that makes a namespace, ready for pods; all are deleted after the test."""
    from kubernetes import client

    core = client.CoreV1Api(admin)
    made: list[str] = []
    stem = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")[:40]

    def make() -> str:
        name = f"{stem.strip('-')}-{uuid.uuid4().hex[:8]}"
        core.create_namespace({"metadata": {"name": name}})
        made.append(name)
        wait_until(lambda: _has_service_account(core, name), 120, f"{name} gets its service account")
        return name

    yield make
    for name in made:
        with contextlib.suppress(client.ApiException):
            core.delete_namespace(name)


def _has_service_account(core: client.CoreV1Api, name: str) -> bool:
    return bool(core.list_namespaced_service_account(name).items)


def api_of(kubeconfig: Path) -> client.ApiClient:
    """A synchronous client for that kubeconfig; the caller closes it."""
    from kubernetes import config

    return config.new_client_from_config_dict(yaml.safe_load(kubeconfig.read_text()))
