"""Flags in an OpenFeature FeatureFlag, on the real API server.

The OpenFeature operator's CRD can't be had where these tests run. The one here is written by hand after
its Go types: the same group, version, required fields, and the same parts kept as they are.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client
from tests.support.controlplane import wait_until

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.exposure import NOTHING, Exposure
from agentrelease.core.recovery import Told
from agentrelease.edges.flags.document import build, parse
from agentrelease.edges.flags.featureflag import FeatureFlagFlags
from agentrelease.edges.kinds import FEATURE_FLAG
from agentrelease.engine.levers import Arm, Placement, Reading
from agentrelease.engine.ports import Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.edges.cluster import ApiServer
    from agentrelease.engine.ports import Object

DOCS = Path(__file__).parents[2] / "docs" / "levers.md"
FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
FLAG = {
    "type": "object",
    "required": ["state", "variants", "defaultVariant"],
    "properties": {
        "state": {"type": "string", "enum": ["ENABLED", "DISABLED"]},
        "defaultVariant": {"type": "string"},
        "variants": FREE,
        "targeting": FREE,
        "metadata": FREE,
    },
}
FLAG_SPEC = {
    "type": "object",
    "required": ["flags"],
    "properties": {
        "flags": {"type": "object", "additionalProperties": FLAG},
        "metadata": FREE,
        "$evaluators": FREE,
    },
}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "featureflags.core.openfeature.dev"},
    "spec": {
        "group": "core.openfeature.dev",
        "scope": "Namespaced",
        "names": {"plural": "featureflags", "kind": "FeatureFlag", "shortNames": ["ff"]},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"flagSpec": FLAG_SPEC}},
                            "status": {"type": "object"},
                        },
                    }
                },
            }
        ],
    },
}

LIMITED = Exposure(autonomy=Autonomy.LIMITED_ACTION, tools=frozenset({"kb.search"}))


def placed(namespace: str, exposure: Exposure = LIMITED) -> Placement:
    return Placement(
        namespace=namespace,
        agent="support",
        route=None,
        config_map="",
        stable=Arm("support-3f9a0c11de", "support-blue", Exposure(autonomy=Autonomy.FULL_ACTION)),
        candidate=Arm("support-77aa00bb12", "support-green", exposure, lease_until=2_000_000_000),
        services=("support-blue", "support-green"),
        objects={"featureflag": "support"},
    )


@pytest.fixture(scope="session")
def feature_flags(admin: client.ApiClient) -> None:
    """The kind, served."""
    extensions = client.ApiextensionsV1Api(admin)
    try:
        extensions.create_custom_resource_definition(CRD)
    except client.ApiException as error:
        if error.status != 409:  # another worker was faster
            raise

    def served() -> bool:
        found = extensions.read_custom_resource_definition(CRD["metadata"]["name"])
        conditions = found.status.conditions or ()
        return any(c.type == "Established" and c.status == "True" for c in conditions)

    wait_until(served, 30, "FeatureFlag is served")


@pytest.fixture
def lever(server: ApiServer, feature_flags: None) -> FeatureFlagFlags:
    return FeatureFlagFlags(server)


async def stored(server: ApiServer, namespace: str) -> Object:
    found = await server.get(Ref(FEATURE_FLAG, namespace, "support"))
    assert found is not None
    return found


async def test_the_object_carries_the_document_as_it_is(
    server: ApiServer, lever: FeatureFlagFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    assert await lever.read(placement) == Reading(missing=True)
    await lever.raise_(placement, 2)
    assert (await stored(server, placement.namespace))["spec"]["flagSpec"] == build(placement, 1)
    assert await lever.read(placement) == Reading(
        candidate=LIMITED,
        stable_autonomy=Autonomy.FULL_ACTION,
        epoch=2,
        lease_until=2_000_000_000,
        in_sync=True,
        serving=Told(placement.stable.revision, Autonomy.FULL_ACTION),
    )
    assert await lever.confirm(placement) is None


async def test_lowering_keeps_other_fields_and_says_why(
    server: ApiServer, lever: FeatureFlagFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await lever.read(placement)
    await lever.raise_(placement, 2)
    await lever.lower(replace(placed(placement.namespace, NOTHING), note="support-77aa00bb12: unsafe"))
    reading = await lever.read(placement)
    assert (reading.candidate, reading.lowered) == (NOTHING, "support-77aa00bb12: unsafe")


async def test_one_plain_patch_halts_the_agent_and_no_write_of_ours_undoes_it(
    server: ApiServer, lever: FeatureFlagFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await lever.read(placement)
    await lever.raise_(placement, 2)
    ref = Ref(FEATURE_FLAG, placement.namespace, "support")
    [documented] = re.findall(r"^kubectl patch featureflag .* -p '(.*)'$", DOCS.read_text(), re.MULTILINE)
    await server.merge(ref, json.loads(documented))
    assert (await lever.read(placement)).halted
    await lever.lower(placed(placement.namespace, NOTHING))
    await lever.read(placement)
    await lever.raise_(placement, 2)
    document = (await stored(server, placement.namespace))["spec"]["flagSpec"]
    assert parse(document, "support").halted


async def test_rules_of_somebody_elses_are_a_problem_and_go_at_the_next_lowering(
    server: ApiServer, lever: FeatureFlagFlags, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace(), NOTHING)
    document: dict[str, Any] = deepcopy(build(placement, 8))
    document["flags"]["support.autonomy-level"]["targeting"] = {"if": [True, "full", None]}
    await server.create(
        {
            "apiVersion": "core.openfeature.dev/v1beta1",
            "kind": "FeatureFlag",
            "metadata": {"name": "support", "namespace": placement.namespace},
            "spec": {"flagSpec": document},
        }
    )
    reading = await lever.read(placement)
    assert reading.candidate is None
    assert reading.problem
    await lever.lower(placement)
    kept = (await stored(server, placement.namespace))["spec"]["flagSpec"]
    assert kept == build(placement, 9)


async def test_a_release_that_names_no_featureflag_can_not_use_it(lever: FeatureFlagFlags) -> None:
    with pytest.raises(Refused, match="names no FeatureFlag"):
        await lever.read(replace(placed("support"), objects={}))
