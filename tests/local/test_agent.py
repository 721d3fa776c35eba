"""The demo agent, a real process: what it serves, obeys, counts and remembers."""

import json
import socket
from collections import Counter

import httpx
import pytest

from agentrelease.api.bundle import Bundle
from agentrelease.core.bundle import canonical, digest_of
from agentrelease.local.agent.server import is_shadow

READ, WRITE, REFUND = "kb.search", "tickets.comment", "payments.refund"
BILLING = {"session": "s1", "workflow_class": "billing", "risk_tier": "low"}


def dispositions(answers, effect=None):
    taken = [action for answer in answers for action in answer["actions"]]
    return {a["disposition"] for a in taken if effect in (None, a["effect"])}


def test_it_serves_the_release_that_its_bundle_is(agent):
    who = agent.whoami()
    assert who["release"] == agent.release
    assert who["bundleDigest"] == digest_of(agent.bundle)
    reply = agent.client.post("/task", headers={"x-session": "s7"})
    assert reply.headers["x-agent-release"] == agent.release == reply.json()["release"]
    assert reply.json()["session"] == "s7"
    assert agent.value("agentrelease_info", release=agent.release, bundle_digest=who["bundleDigest"]) == 1


def test_a_label_that_comes_late_finds_its_task_by_the_request(start_agent):
    agent = start_agent(AGENT_LABEL_WINDOW="3600")
    agent.wait(agent.ready)
    agent.client.post("/task", headers={"x-request-id": "r-1"})

    def said(request):
        return agent.client.post("/label", json={"request": request, "label": "corrected"}).json()

    assert said("r-1") == {"counted": True}
    assert said("r-2") == {"counted": False}
    assert agent.client.post("/label", content="{}").status_code == 400
    assert agent.value("agentrelease_matured_tasks_total") == 0


def test_a_task_that_hangs_has_begun_and_nothing_more(start_agent):
    agent = start_agent()
    agent.wait(agent.ready)
    agent.client.post("/behaviour", json={"hangs": 1})
    with pytest.raises(httpx.TimeoutException):
        agent.client.post("/task", timeout=0.3)
    assert agent.value("agentrelease_started_tasks_total") == 1
    assert agent.value("agentrelease_tasks_total") == 0


def test_an_empty_slot_is_not_ready_and_serves_nobody(start_agent):
    agent = start_agent(release="", wait=False)
    health = agent.client.get("/healthz")
    assert health.status_code == 503
    assert "no release" in health.json()["reason"]
    assert agent.client.post("/task").status_code == 503
    assert agent.client.get("/metrics").text == ""


def test_a_bundle_of_another_release_is_not_served_until_the_right_one_is_there(start_agent):
    agent = start_agent(wait=False, release="support-0123456789")
    agent.wait(lambda: "is not release" in agent.client.get("/healthz").text)
    assert agent.client.post("/task").status_code == 503


def test_a_bundle_that_comes_late_is_loaded_and_then_never_exchanged(start_agent):
    agent = start_agent(wait=False)
    path = agent.root / "bundle.json"
    agent.wait(agent.ready)
    other = Bundle.model_validate(agent.bundle.to_object() | {"memory": {"version": "m6"}})
    path.write_bytes(canonical(other))
    agent.ask(3)
    assert agent.whoami()["bundleDigest"] == digest_of(agent.bundle)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"prompts": []}'])
def test_what_is_no_bundle_is_named_as_such(start_agent, text):
    agent = start_agent(wait=False, release="support")
    # The release's name has no digest, so only the content speaks.
    assert agent.stop() == 0
    (agent.root / "bundle.json").write_text(text)
    agent.start()
    agent.wait(lambda: "is no bundle" in agent.client.get("/healthz").text)


def test_without_flags_it_answers_and_does_nothing(start_agent):
    agent = start_agent()
    answers = agent.ask(40, **BILLING)
    assert dispositions(answers) == {"blocked"}
    assert {a["autonomy"] for a in answers} == {"observe"}
    assert agent.client.get("/actions").json()["actions"] == []


def test_each_level_does_what_it_says_and_no_more(agent):
    def effects():
        return agent.client.get("/actions", params={"since": 10**9}).json()["next"]

    lists, before = {"allow": (READ, WRITE), "ask": (REFUND,)}, effects()
    agent.grant("observe", **lists)
    assert dispositions(agent.ask(60, **BILLING)) == {"simulated"}
    agent.grant("suggestion-only", **lists)
    assert dispositions(agent.ask(60, **BILLING)) == {"suggested"}
    assert effects() == before
    agent.grant("limited-action", **lists)
    answers = agent.ask(200, **BILLING)
    assert dispositions(answers, "read") == dispositions(answers, "write") == {"executed"}
    assert dispositions(answers, "irreversible") <= {"approved", "rejected"}
    assert effects() > before
    agent.grant("full-action", allow=(READ, WRITE, REFUND))
    assert dispositions(agent.ask(60, **BILLING)) == {"executed"}
    agent.grant("full-action", allow=(READ, WRITE, REFUND), halt=True)
    assert dispositions(agent.ask(20, **BILLING)) == {"blocked"}


def test_it_answers_with_the_fallback_model_when_the_flags_say_so_and_with_no_other(start_agent):
    agent = start_agent()
    own, other = agent.bundle.model, agent.bundle.model.fallback
    agent.grant("observe")
    assert {a["model"] for a in agent.ask(5)} == {f"{own.name}@{own.version}"}
    agent.grant("observe", model=f"{other.name}@{other.version}")
    agent.wait(lambda: {a["model"] for a in agent.ask(1)} == {f"{other.name}@{other.version}"})
    agent.forget()
    assert {a["model"] for a in agent.ask(20)} == {f"{other.name}@{other.version}"}
    assert agent.grown("agentrelease_task_cost_total") == pytest.approx(20 * 0.002)
    agent.grant("observe", model="provider/unheard-of@1")
    agent.wait(lambda: {a["model"] for a in agent.ask(1)} == {f"{own.name}@{own.version}"})


def test_what_it_did_is_in_the_log_once_and_in_the_metrics(start_agent):
    agent = start_agent()
    agent.grant("limited-action", allow=(READ, WRITE), ask=(REFUND,))
    answers = agent.ask(150, **BILLING)
    happened = [
        (action["tool"], action["disposition"])
        for answer in answers
        for action in answer["actions"]
        if action["disposition"] in ("executed", "approved")
    ]
    logged, cursor = [], 0
    while page := agent.client.get("/actions", params={"since": cursor, "limit": 50}).json()["actions"]:
        logged += page
        cursor = page[-1]["seq"]
    assert [(r["tool"], r["disposition"]) for r in logged] == happened
    assert len({r["id"] for r in logged}) == len(logged)
    assert {r["release"] for r in logged} == {agent.release}
    counted = Counter(disposition for _, disposition in happened)
    for disposition, count in counted.items():
        assert agent.grown("agentrelease_actions_total", disposition=disposition) == count


def test_its_answers_and_its_counters_agree(agent):
    agent.behave(violations=0.3, completion=0.6)
    answers = agent.ask(100, **BILLING, audience="internal")
    stratum = {"workflow_class": "billing", "risk_tier": "low", "audience": "internal"}
    counted = {
        "agentrelease_tasks_total": 100,
        "agentrelease_policy_violations_total": sum(a["violation"] for a in answers),
    }
    for name, count in counted.items():
        assert agent.grown(name, **stratum) == agent.grown(name) == count
    completed = sum(a["outcome"] == "completed" for a in answers)
    assert agent.grown("agentrelease_tasks_total", outcome="completed") == completed
    assert agent.grown("agentrelease_task_duration_seconds_count") == 100
    assert 0 < completed < 100


def test_a_mirrored_request_has_no_effect_and_neither_it_nor_a_colleague_shows_the_fault_of_v3(start_agent):
    agent = start_agent(prompts="v3")
    agent.grant("full-action", allow=(READ, WRITE, REFUND))
    agent.behave(userViolations=1.0, violations=0.0)
    shadow = agent.ask(30, **BILLING, host="support.example-shadow:8080")
    assert dispositions(shadow) == {"simulated"}
    assert not any(a["violation"] for a in shadow)
    assert all(a["shadow"] for a in shadow)
    assert not any(a["violation"] for a in agent.ask(5, **BILLING, audience="internal"))
    live = agent.ask(5, **BILLING)
    assert all(a["violation"] and not a["shadow"] for a in live)
    assert agent.grown("agentrelease_tasks_total") == 40


@pytest.mark.parametrize(
    ("host", "shadow"),
    [
        ("support-shadow", True),
        ("support-shadow:8080", True),
        ("127.0.0.1-shadow", True),
        ("support", False),
        ("shadow.example:80", False),
    ],
)
def test_envoys_mark_on_mirrored_requests_is_known(host, shadow):
    assert is_shadow(host) is shadow


def test_a_rogue_agent_acts_against_its_flags_and_its_metrics_tell(agent):
    agent.grant("observe")
    agent.behave(rogue=True)
    assert dispositions(agent.ask(5, **BILLING)) == {"executed"}
    assert agent.grown("agentrelease_actions_total", disposition="executed") > 0
    billing = {"workflow_class": "billing", "risk_tier": "low"}
    assert agent.value("agentrelease_autonomy_in_effect", level="observe", **billing) == 1


def test_a_silent_agent_has_no_metrics_and_still_answers(agent):
    agent.behave(silent=True)
    assert agent.client.get("/metrics").status_code == 503
    assert agent.ask(1)[0]["outcome"] in ("completed", "failed")


def test_an_unready_agent_says_so_and_still_answers(agent):
    agent.behave(unready=True)
    assert agent.client.get("/healthz").status_code == 503
    assert agent.ask(1)[0]["outcome"] in ("completed", "failed")
    agent.behave(unready=False)
    assert agent.client.get("/healthz").status_code == 200


def test_faults_may_be_there_from_the_start(start_agent):
    agent = start_agent(AGENT_BEHAVIOUR=json.dumps({"violations": 1.0}))
    assert all(a["violation"] for a in agent.ask(5))


@pytest.mark.parametrize("body", ['{"speed": 1}', '{"rogue": 1}', '{"violations": "many"}', "[]", "no JSON"])
def test_a_fault_that_does_not_exist_is_refused_in_a_sentence(agent, body):
    reply = agent.client.post("/behaviour", content=body)
    assert reply.status_code == 400
    assert reply.json()["error"]


@pytest.mark.parametrize("header", ["x-request-id", "x-forwarded-proto"])
def test_faults_are_not_injected_through_a_gateway(agent, header):
    reply = agent.client.post("/behaviour", json={"rogue": True}, headers={header: "x"})
    assert reply.status_code == 403


def test_the_same_seed_tells_the_same_story(start_agent):
    stories = [
        [(a["outcome"], a["violation"], a["actions"]) for a in start_agent(AGENT_SEED="7").ask(30, **BILLING)]
        for _ in range(2)
    ]
    assert stories[0] == stories[1]


def test_a_bad_cursor_is_refused(agent):
    assert agent.client.get("/actions", params={"since": "yesterday"}).status_code == 400


def test_an_answer_under_way_is_finished_before_the_process_ends(start_agent):
    agent = start_agent()
    agent.behave(latency=0.4)
    with socket.create_connection(("127.0.0.1", httpx.URL(agent.url).port), timeout=30) as caller:
        caller.sendall(b"POST /task HTTP/1.1\r\nHost: support\r\nContent-Length: 0\r\n\r\n")
        agent.whoami()  # asked later on another connection, so the task has begun
        agent.process.terminate()
        answer = caller.makefile("rb").read()
    assert agent.release.encode() in answer
    assert agent.process.wait(timeout=30) == 0
