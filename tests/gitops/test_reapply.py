"""A pipeline applies Git's route again in mid-rollout, with and without the rules that docs/levers.md gives.

Real kubectl against the real API server: client-side apply as Argo CD does by default, and server-side apply
as Flux does and as Argo CD does on request. What a pipeline does *before* it applies is done here by its own
documented rule: Argo CD with RespectIgnoreDifferences puts the live values into the ignored paths, Flux
leaves an object alone that exists and says ``IfNotPresent``. No Argo CD and no Flux runs here.
"""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.world import kubectl

from agentrelease.core.exposure import NOTHING, Exposure
from agentrelease.edges.cluster import ApiServer
from agentrelease.edges.credentials import Credentials
from agentrelease.edges.kinds import HTTP_ROUTE
from agentrelease.edges.traffic.httproute import HTTPRouteTraffic
from agentrelease.engine.levers import Arm, Placement
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from agentrelease.engine.ports import Object

LEVERS = Path(__file__).parents[2] / "docs" / "levers.md"
BLUE, GREEN = "support-blue", "support-green"
CLIENT_SIDE = ("apply", "-f", "-")
SERVER_SIDE = ("apply", "--server-side", "--force-conflicts", "--field-manager=pipeline", "-f", "-")


def written(about: str) -> Any:
    """Return the YAML of the docs that begins with this comment."""
    blocks = re.findall(r"```yaml\n(.*?)```", LEVERS.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if block.startswith(f"# {about}")]
    return yaml.safe_load(found)


def manifest(namespace: str, green: int = 0) -> Object:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "support", "namespace": namespace, "labels": {"app": "support"}},
        "spec": {
            "parentRefs": [{"name": "edge"}],
            "rules": [
                {
                    "backendRefs": [
                        {"name": BLUE, "port": 80, "weight": 100},
                        {"name": GREEN, "port": 80, "weight": green},
                    ]
                }
            ],
        },
    }


def placed(namespace: str, exposure: Exposure) -> Placement:
    return Placement(
        namespace=namespace,
        agent="support",
        route="support",
        config_map="support-flags",
        stable=Arm("support-3f9a0c11de", BLUE, NOTHING),
        candidate=Arm("support-77aa00bb12", GREEN, exposure),
        services=(BLUE, GREEN),
    )


def argo(live: Object, git: Object) -> Object:
    """Put the live values into the paths that the Application of the docs ignores."""
    application = written("Argo CD, in the Application")["spec"]
    assert "RespectIgnoreDifferences=true" in application["syncPolicy"]["syncOptions"]
    target = deepcopy(git)
    for ignored in application["ignoreDifferences"]:
        if (ignored["group"], ignored["kind"]) != (HTTP_ROUTE.group, HTTP_ROUTE.name):
            continue
        assert ignored["name"] == git["metadata"]["name"]
        for path in ignored["jqPathExpressions"]:
            *parents, last = path.removeprefix(".").split(".")
            source, goal = live, target
            for key in parents:
                source, goal = source[key], goal[key]
            goal[last] = source[last]
    return target


@pytest.fixture
async def server(control_plane):
    async with await ApiServer.connect(Credentials(control_plane.kubeconfig)) as connected:
        yield connected


async def canary(control_plane, server: ApiServer, namespace: str, apply: tuple[str, ...], git: Object):
    """Git's route, applied, and then raised to 5 % by the operator."""
    await kubectl(control_plane, [git], *apply)
    lever, five = HTTPRouteTraffic(server), placed(namespace, Exposure(weight=5))
    await lever.read(five)
    await lever.raise_(five, 1)
    live = await server.get(Ref(HTTP_ROUTE, namespace, "support"))
    assert live is not None
    return lever, five, live


@pytest.mark.parametrize("apply", [CLIENT_SIDE, SERVER_SIDE], ids=["client-side", "server-side"])
async def test_argo_cd_with_the_documented_rules_leaves_the_weights_and_still_syncs_the_rest(
    control_plane, server, namespace, apply
) -> None:
    ns = namespace()
    git = manifest(ns)
    lever, five, live = await canary(control_plane, server, ns, apply, git)
    git["metadata"]["labels"]["team"] = "support"
    await kubectl(control_plane, [argo(live, git)], *apply)
    reading = await lever.read(five)
    assert (reading.candidate, reading.in_sync) == (Exposure(weight=5), True)
    after = await server.get(Ref(HTTP_ROUTE, ns, "support"))
    assert after["metadata"]["labels"] == {"app": "support", "team": "support"}
    assert after["metadata"]["annotations"]["agentrelease.dev/epoch"] == "1"


@pytest.mark.parametrize("apply", [CLIENT_SIDE, SERVER_SIDE], ids=["client-side", "server-side"])
async def test_the_weights_can_still_be_lowered_after_such_a_sync(
    control_plane, server, namespace, apply
) -> None:
    ns = namespace()
    git = manifest(ns)
    lever, five, live = await canary(control_plane, server, ns, apply, git)
    await kubectl(control_plane, [argo(live, git)], *apply)
    await lever.lower(placed(ns, NOTHING))
    assert (await lever.read(five)).candidate == NOTHING


@pytest.mark.parametrize("green", [0, 50])
@pytest.mark.parametrize("apply", [CLIENT_SIDE, SERVER_SIDE], ids=["client-side", "server-side"])
async def test_without_the_rules_a_sync_puts_gits_weights_back_and_a_raise_is_taken_back(
    control_plane, server, namespace, apply, green
) -> None:
    ns = namespace()
    git = manifest(ns, green)
    lever, five, _ = await canary(control_plane, server, ns, apply, git)
    await kubectl(control_plane, [git], *apply)
    reading = await lever.read(five)
    assert reading.candidate is not None
    assert not reading.in_sync
    assert reading.candidate.weight == pytest.approx(100 * green / (100 + green))
    await lever.lower(five if green else placed(ns, NOTHING))
    assert (await lever.read(five)).candidate == Exposure(weight=5 if green else 0)


def test_flux_is_told_to_leave_an_object_alone_that_exists() -> None:
    annotations = written("Flux, on the object in Git")["metadata"]["annotations"]
    assert annotations == {"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}
