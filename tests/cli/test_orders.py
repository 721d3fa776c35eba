"""What a rollback withdraws and where it goes, and what halting writes, without a cluster."""

from __future__ import annotations

import json

import pytest
from tests.support.memory_cluster import MemoryCluster

from agentrelease.api.vocabulary import API_VERSION
from agentrelease.cli import halting
from agentrelease.cli.app import hoisted
from agentrelease.cli.halting_all import sweep, switch
from agentrelease.cli.orders import Impossible, carried_out, plan_rollback, read
from agentrelease.edges.flags.document import OPERATOR, PERSON, FlagSet, halts, kept_halt, text
from agentrelease.edges.halt import order_of
from agentrelease.edges.kinds import CONFIG_MAP, FEATURE_FLAG
from agentrelease.engine.halting import Order
from agentrelease.engine.ports import Ref, Unavailable


def test_with_a_candidate_a_rollback_withdraws_it_and_keeps_stable(recorded):
    order = plan_rollback(recorded.release(recorded.canary), None)
    assert (order.of, order.to, order.in_flight) == ("support-77aa01b2c3", "support-3f9a0c11de", True)
    assert order.patch("ada: looks wrong") == {
        "metadata": {"annotations": {"agentrelease.dev/rollback-reason": "ada: looks wrong"}},
        "spec": {"rollback": {"to": "support-3f9a0c11de", "of": "support-77aa01b2c3"}},
    }


def test_after_a_promotion_a_rollback_goes_back_to_the_revision_before(recorded):
    status = {"phase": "Promoted", "stable": recorded.stable, "previous": recorded.previous}
    order = plan_rollback(recorded.release(status), None)
    assert (order.of, order.to, order.in_flight) == ("support-3f9a0c11de", "support-0a0a0a0a0a", False)


def test_a_first_release_has_nowhere_to_go_back_to_and_is_told_how_to_stop(recorded):
    status = {"candidate": recorded.canary["candidate"]}
    with pytest.raises(Impossible, match=r"status\.stable.*kubectl agent-release halt support -n shop"):
        plan_rollback(recorded.release(status), None)


def test_a_revision_that_is_in_no_slot_is_refused_with_the_one_that_is(recorded):
    with pytest.raises(Impossible, match=r"--to: support-unknown .* can return to support-3f9a0c11de"):
        plan_rollback(recorded.release(recorded.canary), "support-unknown")


def test_an_order_is_carried_out_when_the_candidate_is_gone_and_the_target_serves(recorded):
    order = plan_rollback(recorded.release(recorded.canary), None)
    assert not carried_out(recorded.release(recorded.canary), order)
    assert carried_out(recorded.release({"stable": recorded.stable}), order)


def test_an_object_that_cannot_be_read_is_one_sentence_with_the_field(recorded):
    with pytest.raises(
        Impossible, match=r"phase: Input should be a valid string in AgentRelease shop/support"
    ):
        read(recorded.object({"phase": 3}))


DOCUMENT = {
    "metadata": {"version": "42"},
    "flags": {
        "support.autonomy-level": {
            "state": "ENABLED",
            "defaultVariant": "observe",
            "variants": {"observe": "observe"},
        },
        "support.halt": {"state": "ENABLED", "defaultVariant": "off", "variants": {"on": True, "off": False}},
    },
}


def test_halting_changes_the_halt_flag_and_nothing_else():
    changed = halting._changed(json.dumps(DOCUMENT), "support", halted=True, where="")
    assert changed is not None
    assert halts(changed, "support")
    assert kept_halt(changed, "support") == PERSON
    assert changed["flags"]["support.autonomy-level"] == DOCUMENT["flags"]["support.autonomy-level"]
    back = halting._changed(json.dumps(changed), "support", halted=False, where="")
    assert back == {**DOCUMENT, "metadata": {"version": "44"}}


def test_a_flag_that_says_so_already_is_not_written_again():
    assert halting._changed(json.dumps(DOCUMENT), "support", halted=False, where="") is None


def test_a_targeting_rule_cannot_outvote_a_person_who_halts():
    flag = {
        **DOCUMENT["flags"]["support.halt"],
        "defaultVariant": "on",
        "targeting": {"if": [True, "off", None]},
    }
    changed = halting._changed(
        json.dumps({"flags": {"support.halt": flag}}), "support", halted=True, where=""
    )
    assert changed is not None
    assert "targeting" not in changed["flags"]["support.halt"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"flags": 3}', "null"])
def test_halting_works_on_a_broken_document_and_starting_again_does_not(text):
    changed = halting._changed(text, "support", halted=True, where="")
    assert changed is not None
    assert list(changed["flags"]) == ["support.halt"]
    assert halts(changed, "support")
    with pytest.raises(Impossible, match="nothing to clear"):
        halting._changed(text, "support", halted=False, where="ConfigMap shop/support-flags")


def test_options_that_say_where_may_stand_anywhere_as_with_kubectl():
    assert hoisted(["status", "support", "-n", "shop", "--context=prod", "-o", "json"]) == [
        "-n", "shop", "--context=prod", "status", "support", "-o", "json",
    ]  # fmt: skip
    assert hoisted(["rollback", "support", "--", "-n"]) == ["rollback", "support", "--", "-n"]


# ---- every agent at once ---------------------------------------------------------------------------


def agent(name: str, namespace: str, feature_flag: str = ""):
    flags = {"configMap": f"{name}-flags"} | ({"featureFlag": name} if feature_flag else {})
    return {
        "apiVersion": API_VERSION,
        "kind": "AgentRelease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"delivery": {"flags": flags}},
    }


def flags(cluster, name, namespace, kind=CONFIG_MAP):
    if kind == CONFIG_MAP:
        data = cluster.objects[Ref(kind, namespace, f"{name}-flags")]["data"]
        return json.loads(data[f"{name}.flagd.json"])
    return cluster.objects[Ref(kind, namespace, name)]["spec"]["flagSpec"]


@pytest.fixture
async def cluster():
    made = MemoryCluster()
    for one in (agent("a", "shop"), agent("b", "shop", "too"), agent("c", "bank")):
        await made.create(one)
    return made


async def test_halt_all_stops_every_agent_in_every_object_of_its_flags(cluster):
    swept = await sweep(cluster, None, halted=True)
    assert swept.changed == ["bank/c", "shop/a", "shop/b"]
    places = (("a", "shop"), ("b", "shop"), ("c", "bank"))
    assert all(halts(flags(cluster, name, where), name) for name, where in places)
    assert halts(flags(cluster, "b", "shop", FEATURE_FLAG), "b")
    assert (await sweep(cluster, None, halted=True)).changed == []
    swept = await sweep(cluster, None, halted=False)
    assert len(swept.changed) == 3
    assert not halts(flags(cluster, "b", "shop", FEATURE_FLAG), "b")


async def test_a_namespace_alone_can_be_stopped(cluster):
    assert (await sweep(cluster, "bank", halted=True)).changed == ["bank/c"]


async def test_who_was_halted_by_name_stays_halted_when_all_others_may_work(cluster):
    await halting.set_halt(cluster, agent("a", "shop"), halted=True)
    await sweep(cluster, None, halted=True)
    assert (await sweep(cluster, None, halted=False)).same == ["shop/a"]
    assert halts(flags(cluster, "a", "shop"), "a")


async def test_a_name_after_all_is_a_persons_word_about_that_agent(cluster):
    await sweep(cluster, None, halted=True)
    await halting.set_halt(cluster, agent("c", "bank"), halted=True)
    assert (await sweep(cluster, None, halted=False)).same == ["bank/c"]


async def test_what_the_operator_halted_for_all_ends_with_it(cluster):
    await cluster.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a-flags", "namespace": "shop"},
            "data": {"a.flagd.json": text(FlagSet("a", 1, halted=True, halted_by=OPERATOR).document())},
        }
    )
    assert "shop/a" in (await sweep(cluster, None, halted=False)).changed
    assert not halts(flags(cluster, "a", "shop"), "a")


async def test_one_agent_that_cannot_be_reached_does_not_keep_the_others_running(cluster):
    async def fail(_verb, ref):
        if ref.name == "a-flags":
            raise Unavailable("500")

    cluster.before = fail
    swept = await sweep(cluster, None, halted=True)
    assert swept.changed == ["bank/c", "shop/b"]
    assert swept.failed == {"shop/a": "500"}


async def test_the_switch_is_made_where_there_is_none_and_turned_where_there_is_one(cluster):
    ref = await switch(cluster, "agentrelease", halted=True, by="ada", reason="leak")
    assert order_of(cluster.objects[ref]) == Order(halt=True, why="ada halted all agents: leak")
    await switch(cluster, "agentrelease", halted=False, by="ada", reason="")
    assert order_of(cluster.objects[ref]).halt is False
