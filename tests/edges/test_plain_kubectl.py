"""The commands that docs/levers.md gives to a person whose operator is away do what it says they do."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.exposure import Exposure
from agentrelease.edges.flags.configmap import ConfigMapFlags
from agentrelease.engine.levers import Arm, Placement
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
