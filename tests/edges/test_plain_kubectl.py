"""The commands that docs/levers.md gives to a person whose operator is away do what it says they do."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.api.manifests import release

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.exposure import Exposure
from agentrelease.edges.flags.configmap import ConfigMapFlags
from agentrelease.edges.flags.document import halts
from agentrelease.edges.halt import NAME, HaltSwitch
from agentrelease.edges.kinds import CONFIG_MAP
from agentrelease.engine.halting import Order
from agentrelease.engine.levers import Arm, Placement
from agentrelease.engine.ports import Ref
from agentrelease.local import builds

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.edges.cluster import ApiServer
    from agentrelease.local.controlplane import ControlPlane

DOCS = Path(__file__).parents[2] / "docs" / "levers.md"


def command(resource: str) -> list[str]:
    """Return the documented patch of a kind of object, as a shell would take it apart."""
    [found] = re.findall(rf"^(kubectl patch {resource} .*)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    return shlex.split(found)[1:]


@pytest.mark.parametrize("write", ["lower", "raise"])
async def test_the_documented_patch_halts_an_agent_and_the_operators_next_write_keeps_it_halted(
    control_plane: ControlPlane, server: ApiServer, namespace: Callable[[], str], write: str
) -> None:
    exposure = Exposure(weight=5, autonomy=Autonomy.LIMITED_ACTION)
    placement = Placement(
        namespace=namespace(),
        agent="support",
        route=None,
        config_map="support-flags",
        stable=Arm("support-3f9a0c11de", "support-blue", exposure),
        candidate=Arm("support-77aa00bb12", "support-green", exposure),
        services=("support-blue", "support-green"),
    )
    lever = ConfigMapFlags(server)
    await lever.read(placement)
    await lever.raise_(placement, 1)
    where = ["--kubeconfig", control_plane.kubeconfig, "--namespace", placement.namespace]
    patch = [builds.kubectl(), *where, *command("configmap")]
    await asyncio.to_thread(subprocess.run, patch, check=True, timeout=60)
    reading = await lever.read(placement)
    assert reading.halted
    assert reading.problem, "the rest of the document is gone, so everything else is the agent's own default"
    if write == "raise":
        await lever.raise_(placement, 1)
    else:
        await lever.lower(placement)
    after = await lever.read(placement)
    assert after.halted
    assert not after.problem


async def test_the_documented_loop_halts_every_agent_without_an_operator(
    control_plane: ControlPlane, server: ApiServer, namespace: Callable[[], str], tmp_path: Path
) -> None:
    """As it stands in the docs, but for one namespace: other tests share this API server."""
    here = namespace()
    where = {"support": "support-flags", "billing": "support-flags", "third": "third-flags"}
    for name, flags in where.items():
        manifest = release(name) | {"metadata": {"name": name, "namespace": here}}
        manifest["spec"]["delivery"]["flags"]["configMap"] = flags
        await server.create(manifest)
    for flags in sorted(set(where.values())):
        meta = {"name": flags, "namespace": here}
        await server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    found = re.findall(r"^(kubectl get agentreleases -A (?:.*\n)+?done)$", DOCS.read_text(), re.MULTILINE)
    [loop] = found
    (tmp_path / "kubectl").symlink_to(builds.kubectl())
    shell = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    shell |= {"KUBECONFIG": str(control_plane.kubeconfig)}
    script = ["bash", "-euc", loop.replace(" -A ", f" -n {here} ")]
    await asyncio.to_thread(subprocess.run, script, check=True, timeout=120, env=shell)
    for name, flags in where.items():
        stored = await server.get(Ref(CONFIG_MAP, here, flags))
        assert stored is not None
        assert halts(json.loads(stored["data"][f"{name}.flagd.json"]), name)


async def test_the_documented_patch_turns_the_operators_switch(
    control_plane: ControlPlane, server: ApiServer, namespace: Callable[[], str]
) -> None:
    here = namespace()
    meta = {"name": NAME, "namespace": here}
    await server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    switch = HaltSwitch(server, here)
    await switch.look()
    assert switch() == Order(None)
    [found] = re.findall(r"^kubectl -n agentrelease (patch .*)$", DOCS.read_text(), re.MULTILINE)
    patch = [builds.kubectl(), "--kubeconfig", control_plane.kubeconfig, "-n", here, *shlex.split(found)]
    await asyncio.to_thread(subprocess.run, patch, check=True, timeout=60)
    await switch.look()
    assert switch() == Order(halt=True, why="all agents are halted: data leak")
