"""CloudEvents to sinks, over real HTTP."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import Webhook, WebhookVerificationError
from tests.support.receiver import Receiver
from tests.support.stage import NAMESPACE, Behaviour, Stage

from agentrelease.edges.announcing import Announcement, announcements
from agentrelease.edges.endpoints import SinkEndpoint
from agentrelease.edges.sinks import Patience, Sink, Sinks
from agentrelease.engine.ports import Unavailable

SECRET = b"a secret of the administrator"
MOMENT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
HASTE = Patience(queue=5, first=0.01, longest=0.02, patience=5.0, farewell=0.1)


@pytest.fixture
def secret(tmp_path):
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    return file


def event(name, kind="dev.agentrelease.release.promoted"):
    return Announcement(name, kind, json.dumps({"id": name}).encode(), "application/cloudevents+json")


@asynccontextmanager
async def running(receiver, secret, patience=HASTE, **options):
    endpoint = SinkEndpoint(name="audit", url=receiver.url, hmac_secret_file=secret, timeout=0.5, **options)
    sink = Sink(endpoint, clock=asyncio.get_running_loop().time, jitter=lambda: 1.0, patience=patience)
    task = asyncio.create_task(sink.run())
    try:
        yield sink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sink.close()


async def emptied(sink):
    async with asyncio.timeout(20):
        while sink.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_receiver_verifies_the_signature_with_a_library_of_others(secret):
    async with Receiver() as receiver, running(receiver, secret) as sink:
        sink.offer(event("e1"))
        (got,) = await receiver.until(1)
        headers = {name.lower(): value for name, value in got.headers.items()}
        assert Webhook(SECRET).verify(got.body, headers) == {"id": "e1"}
        assert headers["webhook-id"] == "e1"
        assert headers["content-type"] == "application/cloudevents+json"
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(got.body + b" ", headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(b"another").verify(got.body, headers)


async def test_a_rotated_secret_counts_at_once(secret):
    async with Receiver() as receiver, running(receiver, secret) as sink:
        sink.offer(event("e1"))
        await receiver.until(1)
        secret.write_bytes(b"new")
        sink.offer(event("e2"))
        got = (await receiver.until(2))[1]
        assert Webhook(b"new").verify(got.body, dict(got.headers))


async def test_what_fails_is_sent_again_under_the_same_id_and_in_order(secret):
    async with Receiver(500, 503, 0) as receiver, running(receiver, secret) as sink:
        for name in ("e1", "e2", "e3"):
            sink.offer(event(name))
        await receiver.until(6)
        await emptied(sink)
        assert [json.loads(got.body)["id"] for got in receiver.got] == ["e1"] * 4 + ["e2", "e3"]
        assert (sink.sent, sink.dropped) == (3, 0)


async def test_a_redirect_is_not_followed_and_the_event_is_given_up(secret):
    async with Receiver() as thief, Receiver(thief.url) as receiver, running(receiver, secret) as sink:
        sink.offer(event("e1"))
        sink.offer(event("e2"))
        await emptied(sink)
        assert thief.got == []
        assert (sink.sent, sink.dropped) == (1, 1)


async def test_a_refused_event_holds_nobody_up(secret):
    async with Receiver(400) as receiver, running(receiver, secret) as sink:
        sink.offer(event("e1"))
        sink.offer(event("e2"))
        await emptied(sink)
        assert [json.loads(got.body)["id"] for got in receiver.got] == ["e1", "e2"]
        assert sink.dropped == 1


async def test_a_full_queue_lets_the_oldest_go_and_counts_it(secret):
    async with Receiver() as receiver:
        endpoint = SinkEndpoint(name="audit", url=receiver.url, hmac_secret_file=secret)
        sink = Sink(endpoint, clock=asyncio.get_running_loop().time, patience=HASTE)
        for number in range(8):
            sink.offer(event(f"e{number}"))
        assert (sink.waiting, sink.dropped) == (5, 3)
        task = asyncio.create_task(sink.run())
        await emptied(sink)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sink.close()
        assert [json.loads(got.body)["id"] for got in receiver.got] == [f"e{n}" for n in range(3, 8)]


async def test_a_dead_sink_delays_neither_its_neighbour_nor_the_teller(secret):
    async with (
        Receiver(default=0) as dead,
        Receiver() as alive,
        running(dead, secret) as stuck,
        running(alive, secret) as sink,
    ):
        sinks = Sinks([stuck, sink], origin="/agentrelease")
        for number in range(5):
            sinks.offer(event(f"e{number}"))
        await emptied(sink)
        assert sink.sent == 5
        assert stuck.sent == 0


async def test_a_sink_hears_only_what_it_wants(secret):
    async with Receiver() as receiver, running(receiver, secret, types=("dev.agentrelease.phase.",)) as sink:
        sink.offer(event("e1"))
        sink.offer(event("e2", "dev.agentrelease.phase.entered"))
        (got,) = await receiver.until(1)
        assert json.loads(got.body)["id"] == "e2"


async def test_an_answer_of_a_sink_without_its_secret_is_waited_for(secret):
    async with Receiver() as receiver, running(receiver, secret) as sink:
        secret.unlink()
        sink.offer(event("e1"))
        await asyncio.sleep(0)
        secret.write_bytes(SECRET)
        await receiver.until(1)
        await emptied(sink)
        assert (sink.sent, sink.dropped) == (1, 0)


# ---- what is told ------------------------------------------------------------------------------------


class Listening(Stage):
    """A stage whose decisions are turned into events as well."""

    def new_operator(self):
        self.told.decided, self.events = self._decided, getattr(self, "events", [])
        return super().new_operator()

    def _decided(self, release, decision, epoch):
        self.told.causes.append(decision.step.cause)
        made = announcements(release, decision, epoch, origin="/agentrelease", at=MOMENT)
        self.events += [JSONFormat().read(CloudEvent, one.body) for one in made]


async def test_a_rollout_and_a_rollback_are_told_as_cloudevents():
    stage = Listening()
    await stage.install()
    await stage.apply("v1")
    await stage.run(120, until="Promoted")
    bad = await stage.apply("v2", Behaviour(completion=0.4))
    await stage.run(200, until="RolledBack")
    types = [one.get_type().removeprefix("dev.agentrelease.") for one in stage.events]
    order = [
        "release.started",
        "release.promoted",
        "phase.entered",
        "guardrail.breached",
        "rollback.started",
        "release.rolledback",
    ]
    places = [types.index(name) for name in order]
    assert places == sorted(places)
    last = next(one for one in stage.events if one.get_type().endswith("release.rolledback"))
    assert last.get_source() == f"/agentrelease/namespaces/{NAMESPACE}/agentreleases/support"
    assert last.get_subject() == bad == last.get_data()["revision"]
    assert last.get_time() == MOMENT
    ids = [one.get_id() for one in stage.events]
    assert len(ids) == len(set(ids))


async def test_a_decision_taken_twice_has_one_id():
    stage = Listening()
    await stage.install()
    await stage.apply("v1")
    await stage.run(120, until="Promoted")
    lost = []

    async def lose_once(verb, ref):
        told = stage.events[-1].get_type().endswith("rollback.started")
        if verb == "replace" and ref.kind.name == "AgentRelease" and told and not lost:
            lost.append(ref)
            raise Unavailable("a lost write")

    stage.cluster.before = lose_once
    await stage.apply("v2", Behaviour(completion=0.4))
    await stage.run(200, until="RolledBack")
    assert lost
    ids = [one.get_id() for one in stage.events if one.get_type().endswith("rollback.started")]
    assert len(ids) == 2
    assert len(set(ids)) == 1
