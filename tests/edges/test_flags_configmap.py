"""Flags in a ConfigMap, on the real API server."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agentrelease.api.vocabulary import EPOCH_ANNOTATION, LOWERED_ANNOTATION, Autonomy
from agentrelease.core.exposure import NOTHING, Exposure
from agentrelease.core.recovery import Told
from agentrelease.edges.flags.configmap import ConfigMapFlags
from agentrelease.edges.flags.document import FlagSet, parse, text
from agentrelease.edges.kinds import CONFIG_MAP
from agentrelease.engine.levers import Arm, Placement, Reading
from agentrelease.engine.ports import Conflict, Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.edges.cluster import ApiServer
    from agentrelease.engine.ports import Object

STABLE, CANDIDATE = "support-3f9a0c11de", "support-77aa00bb12"
TOOLS = frozenset({"kb.search", "ticket.comment"})
LIMITED = Exposure(weight=5, autonomy=Autonomy.LIMITED_ACTION, tools=TOOLS)
KEY = "support.flagd.json"


def placed(namespace: str, exposure: Exposure = LIMITED, *, note: str = "", **more: Any) -> Placement:
    return Placement(
        namespace=namespace,
        agent="support",
        route=None,
        config_map="support-flags",
        stable=Arm(STABLE, "support-blue", Exposure(autonomy=Autonomy.FULL_ACTION)),
        candidate=Arm(CANDIDATE, "support-green", exposure, frozenset(), more.pop("lease", 2_000_000_000)),
        services=("support-blue", "support-green"),
        note=note,
        **more,
    )


def where(placement: Placement) -> Ref:
    return Ref(CONFIG_MAP, placement.namespace, placement.config_map)


async def stored(server: ApiServer, placement: Placement) -> Object:
    found = await server.get(where(placement))
    assert found is not None
    return found


async def carried(server: ApiServer, placement: Placement) -> FlagSet:
    return parse(json.loads((await stored(server, placement))["data"][KEY]), "support")


async def raised(lever: ConfigMapFlags, placement: Placement, epoch: int = 1) -> None:
    await lever.read(placement)
    await lever.raise_(placement, epoch)


@pytest.fixture
def lever(server: ApiServer) -> ConfigMapFlags:
    return ConfigMapFlags(server)


async def test_where_there_is_no_document_nothing_is_exposed(
    lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    assert await lever.read(placement) == Reading(missing=True)
    assert "does not exist" in str(await lever.confirm(placement))


async def test_what_was_raised_is_read_back_with_its_epoch(
    lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await raised(lever, placement, epoch=3)
    assert await lever.read(placement) == Reading(
        candidate=Exposure(autonomy=Autonomy.LIMITED_ACTION, tools=TOOLS),
        stable_autonomy=Autonomy.FULL_ACTION,
        epoch=3,
        lease_until=2_000_000_000,
        in_sync=True,
        serving=Told(placement.stable.revision, Autonomy.FULL_ACTION),
    )
    assert await lever.confirm(placement) is None


async def test_a_lowering_leaves_its_reason_and_keeps_the_epoch_and_a_raise_takes_the_reason_away(
    server: ApiServer, lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await raised(lever, placement, epoch=3)
    await lever.lower(replace(placed(placement.namespace, NOTHING), note=f"{CANDIDATE}: it broke a rule"))
    reading = await lever.read(placement)
    assert (reading.lowered, reading.epoch) == (f"{CANDIDATE}: it broke a rule", 3)
    assert reading.candidate == NOTHING
    assert not reading.in_sync
    await raised(lever, placement, epoch=3)
    assert LOWERED_ANNOTATION not in (await stored(server, placement))["metadata"]["annotations"]


async def test_a_lowering_makes_a_missing_configmap_owned_by_its_release(
    server: ApiServer, lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    owner_map = await server.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "stands-for-the-release", "namespace": ns},
        }
    )
    owner = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "stands-for-the-release",
        "uid": owner_map["metadata"]["uid"],
        "blockOwnerDeletion": "true",
    }
    placement = placed(ns, NOTHING, owner=owner)
    await lever.lower(placement)
    metadata = (await stored(server, placement))["metadata"]
    assert metadata["labels"] == {
        "app.kubernetes.io/managed-by": "agentrelease-operator",
        "agentrelease.dev/release": "support",
    }
    assert [ref["name"] for ref in metadata["ownerReferences"]] == ["stands-for-the-release"]
    assert "blockOwnerDeletion" not in metadata["ownerReferences"][0]
    assert EPOCH_ANNOTATION not in metadata.get("annotations", {})


async def test_a_raise_loses_against_anybody_who_wrote_since_the_read(
    server: ApiServer, lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await lever.lower(placed(placement.namespace, NOTHING))
    await lever.read(placement)
    await server.merge(where(placement), {"metadata": {"labels": {"touched": "yes"}}})
    with pytest.raises(Conflict):
        await lever.raise_(placement, 1)
    assert (await carried(server, placement)).grant(CANDIDATE).autonomy is Autonomy.OBSERVE


async def test_a_raise_without_a_read_is_a_conflict(
    lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    with pytest.raises(Conflict):
        await lever.raise_(placed(namespace()), 1)


async def test_a_writer_of_an_older_epoch_is_refused_to_raise_and_free_to_lower(
    server: ApiServer, lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace(), replace(LIMITED, autonomy=Autonomy.SUGGESTION_ONLY))
    await raised(lever, placement, epoch=7)
    with pytest.raises(Refused, match="epoch 7"):
        await raised(lever, placed(placement.namespace), epoch=6)
    await lever.lower(placed(placement.namespace, NOTHING))
    reading = await lever.read(placement)
    assert (reading.candidate, reading.epoch) == (NOTHING, 7)


async def test_versions_only_grow_and_an_unchanged_placement_is_not_written(
    server: ApiServer, lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await raised(lever, placement)
    first = await stored(server, placement)
    await lever.raise_(placement, 1)
    await lever.lower(placement)
    assert await stored(server, placement) == first
    await raised(lever, placed(placement.namespace, lease=2_000_000_020))
    assert (await carried(server, placement)).version == 2
    await server.delete(where(placement))
    await lever.lower(placement)
    assert (await carried(server, placement)).version == 3


@pytest.mark.parametrize("garbage", ["", "{", "[]", "null", '{"flags": {}}', "[" * 5000])
async def test_garbage_is_a_problem_and_a_lowering_replaces_only_our_key(
    server: ApiServer, lever: ConfigMapFlags, namespace: Callable[[], str], garbage: str
) -> None:
    placement = placed(namespace(), NOTHING)
    neighbours = {"billing.flagd.json": "{}", "notes": "ours"}
    await server.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": placement.config_map, "namespace": placement.namespace},
            "data": neighbours | {KEY: garbage},
        }
    )
    reading = await lever.read(placement)
    assert reading.candidate is None
    assert reading.problem
    assert not reading.in_sync
    await lever.lower(placement)
    data = (await stored(server, placement))["data"]
    assert {key: data[key] for key in neighbours} == neighbours
    assert await lever.confirm(placement) is None


async def patched_by_a_person(server: ApiServer, placement: Placement, default: str) -> None:
    document = json.loads((await stored(server, placement))["data"][KEY])
    document["flags"]["support.halt"]["defaultVariant"] = default
    await server.merge(where(placement), {"data": {KEY: text(document)}})


async def test_a_persons_halt_survives_every_write_until_a_person_ends_it(
    server: ApiServer, lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await raised(lever, placement)
    await patched_by_a_person(server, placement, "on")
    assert (await lever.read(placement)).halted
    await lever.lower(placed(placement.namespace, NOTHING))
    await raised(lever, placement)
    await raised(lever, replace(placement, halted=True))
    await raised(lever, placement)
    reading = await lever.read(placement)
    assert reading.halted
    assert not reading.problem
    await patched_by_a_person(server, placement, "off")
    assert not (await lever.read(placement)).halted
    await lever.lower(placed(placement.namespace, NOTHING))
    assert not (await carried(server, placement)).halted


async def test_the_operators_own_halt_ends_with_its_cause(
    lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await lever.lower(replace(placement, halted=True))
    assert (await lever.read(placement)).halted
    await raised(lever, placement)
    assert not (await lever.read(placement)).halted


async def test_a_halt_in_one_plain_patch_is_kept_when_the_rest_is_mended(
    server: ApiServer, lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace(), NOTHING)
    await lever.lower(placement)
    switch = {"state": "ENABLED", "defaultVariant": "on", "variants": {"on": True, "off": False}}
    await server.merge(where(placement), {"data": {KEY: json.dumps({"flags": {"support.halt": switch}})}})
    reading = await lever.read(placement)
    assert reading.halted
    assert reading.problem
    await lever.lower(placement)
    assert (await carried(server, placement)).halted
    assert await lever.confirm(placement) is None


async def test_lowering_wins_against_a_neighbour_who_never_stops_writing(
    server: ApiServer, lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await raised(lever, placement)
    stop = asyncio.Event()

    async def write() -> int:
        writes = 0
        while not stop.is_set():
            writes += 1
            await server.merge(where(placement), {"data": {"noise": str(writes)}})
        return writes

    writers = [asyncio.create_task(write()) for _ in range(3)]
    try:
        for _ in range(3):
            await lever.lower(placed(placement.namespace, NOTHING, note=f"{CANDIDATE}: enough"))
            assert (await lever.read(placement)).candidate == NOTHING
            await lever.lower(placement)  # up again, so that there is something to lower
    finally:
        stop.set()
        written = await asyncio.gather(*writers)
    assert sum(written) > 0
    assert "noise" in (await stored(server, placement))["data"]


async def test_other_revisions_that_still_hold_a_grant_count_as_exposure(
    lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await raised(lever, placement)
    newer = replace(placement, candidate=Arm("support-0000000001", "support-green", NOTHING))
    reading = await lever.read(newer)
    assert reading.candidate == Exposure(autonomy=Autonomy.LIMITED_ACTION, tools=TOOLS)
    assert not reading.in_sync


async def test_the_switch_from_a_lease_to_no_lease_is_a_difference_and_its_renewal_is_not(
    lever: ConfigMapFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await raised(lever, placement)
    assert (await lever.read(placed(placement.namespace, lease=2_000_000_500))).in_sync
    assert not (await lever.read(placed(placement.namespace, lease=None))).in_sync


async def test_a_namespace_that_is_going_away_is_no_error(
    server: ApiServer, lever: ConfigMapFlags, namespace: Callable[[], str], admin: Any
) -> None:
    from kubernetes import client

    placement = placed(namespace(), NOTHING)
    core = client.CoreV1Api(admin)
    core.create_namespaced_config_map(
        placement.namespace, {"metadata": {"name": "holds-it", "finalizers": ["example.com/hold"]}}
    )
    core.delete_namespace(placement.namespace)
    await lever.lower(placement)
    assert await lever.read(placement) == Reading(missing=True)
    core.patch_namespaced_config_map("holds-it", placement.namespace, {"metadata": {"finalizers": None}})
