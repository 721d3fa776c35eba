"""Finding levers, and moving several objects of one side as one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.support.memory_cluster import MemoryCluster

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.exposure import NOTHING, Cohort, Exposure
from agentrelease.edges.flags.configmap import ConfigMapFlags
from agentrelease.edges.flags.featureflag import FeatureFlagFlags
from agentrelease.edges.kinds import CONFIG_MAP, FEATURE_FLAG
from agentrelease.edges.levers import LeverError, Side, discover, joined
from agentrelease.engine.levers import Arm, Placement, Reading
from agentrelease.engine.ports import Ref, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

LIMITED = Exposure(autonomy=Autonomy.LIMITED_ACTION, tools=frozenset({"kb.search"}))


def placed(exposure: Exposure = LIMITED, **objects: str) -> Placement:
    return Placement(
        namespace="support",
        agent="support",
        route=None,
        config_map="support-flags",
        stable=Arm("support-3f9a0c11de", "support-blue", NOTHING),
        candidate=Arm("support-77aa00bb12", "support-green", exposure, lease_until=2_000_000_000),
        services=("support-blue", "support-green"),
        objects=objects,
    )


BOTH = placed(featureflag="support")


def flags(cluster: MemoryCluster) -> Side:
    return Side("flags", [ConfigMapFlags(cluster), FeatureFlagFlags(cluster)])


async def test_our_levers_are_found_by_their_entry_points() -> None:
    sides = discover(MemoryCluster())
    assert [(side.name, [lever.name for lever in side._levers]) for side in sides] == [
        ("flags", ["configmap", "featureflag"]),
        ("traffic", ["httproute", "virtualservice"]),
    ]


def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Put a package with a lever of its own on the path, as pip would."""
    (tmp_path / "theirs.py").write_text(code)
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[agentrelease.levers]\ntheirs = theirs:Theirs\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_lever_of_somebody_elses_package_is_found_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(
        tmp_path,
        monkeypatch,
        "class Theirs:\n    name = 'theirs'\n    side = 'traffic'\n    def __init__(self, cluster): pass\n",
    )
    _, traffic = discover(MemoryCluster())
    assert [lever.name for lever in traffic._levers] == ["httproute", "theirs", "virtualservice"]


@pytest.mark.parametrize(
    "code",
    ["raise OSError('broken')", "class Theirs:\n    side = 'up'\n    def __init__(self, cluster): pass\n"],
)
def test_a_lever_that_can_not_be_loaded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    installed(tmp_path, monkeypatch, code)
    monkeypatch.delitem(__import__("sys").modules, "theirs", raising=False)
    with pytest.raises(LeverError, match="theirs"):
        discover(MemoryCluster())


async def test_a_side_without_a_named_object_has_nothing_to_do() -> None:
    cluster = MemoryCluster()
    side = Side("flags", [FeatureFlagFlags(cluster)])
    assert await side.read(placed()) == Reading(in_sync=True)
    await side.lower(placed())
    await side.raise_(placed(), 1)
    assert await side.confirm(placed()) is None
    assert cluster.writes == []


async def test_configmap_and_featureflag_carry_the_same_flag_set() -> None:
    cluster = MemoryCluster()
    side = flags(cluster)
    await side.read(BOTH)
    await side.raise_(BOTH, 1)
    flag = cluster.objects[Ref(FEATURE_FLAG, "support", "support")]
    kept = cluster.objects[Ref(CONFIG_MAP, "support", "support-flags")]
    assert flag["spec"]["flagSpec"] == json.loads(kept["data"]["support.flagd.json"])
    reading = await side.read(BOTH)
    assert (reading.candidate, reading.in_sync, reading.lease_until) == (LIMITED, True, 2_000_000_000)


@pytest.mark.parametrize("broken", [CONFIG_MAP, FEATURE_FLAG])
async def test_one_object_that_can_not_be_written_does_not_keep_the_other_up(broken: object) -> None:
    cluster = MemoryCluster()
    side = flags(cluster)
    await side.read(BOTH)
    await side.raise_(BOTH, 1)

    async def fault(verb: str, ref: Ref) -> None:
        if ref.kind == broken and verb == "replace":
            raise Unavailable("the store is away")

    cluster.before = fault
    down = replace(BOTH, candidate=replace(BOTH.candidate, exposure=NOTHING))
    with pytest.raises(Unavailable):
        await side.lower(down)
    reading = await side.read(down)
    assert reading.candidate == LIMITED, "the higher of the two counts"
    assert not reading.in_sync
    assert "does not carry the flags" in str(await side.confirm(down))
    levels = [(await lever.read(down)).candidate for lever in side._levers]
    assert sorted(levels, key=lambda level: level.autonomy) == [NOTHING, LIMITED]


def test_joining_takes_the_higher_view_of_everything() -> None:
    one = Reading(Exposure(weight=5, mirror=1), Autonomy.OBSERVE, 3, 100, "", in_sync=True)
    two = Reading(LIMITED, Autonomy.FULL_ACTION, 4, 90, "a: b", problem="odd", halted=True)
    expected = Exposure(mirror=1, weight=5, autonomy=Autonomy.LIMITED_ACTION, tools=frozenset({"kb.search"}))
    assert joined([one, two]) == Reading(
        expected, Autonomy.FULL_ACTION, 4, 90, "a: b", problem="odd", halted=True
    )
    assert joined([one, Reading(in_sync=True)]) == one


def test_a_missing_object_adds_no_exposure_but_is_not_in_sync() -> None:
    cohort = Exposure(cohort=Cohort("x-audience", "internal"))
    assert joined([Reading(cohort, in_sync=True), Reading()]) == Reading(cohort)
