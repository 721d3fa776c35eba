"""A stage whose candidate has a Pod with a real action log, and hooks behind real HTTP."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web
from tests.support.memory_cluster import MemoryCluster
from tests.support.stage import AGENT, NAMESPACE, SPEC, Stage

from agentrelease.api.vocabulary import REVISION_ANNOTATION
from agentrelease.edges import kinds
from agentrelease.edges.accounts import RevisionAccounts
from agentrelease.edges.action_logs import PodActionLogs
from agentrelease.edges.endpoints import HttpHook
from agentrelease.edges.hooks import EndpointHooks
from agentrelease.edges.releases import ClusterReleases
from agentrelease.engine.aftermath import Aftermath, Pace
from agentrelease.engine.compensating import Compensator
from agentrelease.engine.ports import Ref
from agentrelease.sdk import ActionLog

WRITE_AND_IRREVERSIBLE = [
    {"effect": "write", "hook": "undo-writes"},
    {"effect": "irreversible", "hook": "refund-back"},
]
ROLLBACK = {**SPEC["rollback"], "compensations": WRITE_AND_IRREVERSIBLE}


class Ledger:
    """Somebody's books: undoes each key once, fails as told, and remembers every call."""

    def __init__(self):
        self.failures = 0
        self.status = 503
        self.calls = []
        self.undone = {}
        self.reply_lost = 0

    async def answer(self, request):
        body = await request.json()
        key = request.headers["idempotency-key"]
        assert key == body["key"] == request.headers["webhook-id"]
        self.calls.append(body["effect"]["id"])
        if self.failures:
            self.failures -= 1
            return web.Response(status=self.status)
        self.undone.setdefault(key, body["effect"])
        if self.reply_lost:
            self.reply_lost -= 1
            return web.Response(status=502)
        return web.Response(status=204)


class Notes:
    """Keeps what was told, for assertions."""

    def __init__(self):
        self.troubles, self.failures, self.results, self.states = [], [], [], []

    def undone(self, key, hook, result):
        self.results.append(result)

    def trouble(self, key, cause, why):
        self.troubles.append((cause, why))

    def account(self, key, status):
        self.states.append(status.state)

    def failed(self, key, what, why):
        self.failures.append((what, why))


class Scene(Stage):
    """A stage whose candidate has one Pod with a real action log behind real HTTP."""

    def __init__(self, url, port, secret):
        super().__init__()
        self.url, self.secret, self.port = url, secret, port
        self.ledger, self.notes = Ledger(), Notes()
        self.log = None
        self.hooks = [
            HttpHook(name=name, url=f"{url}/undo", hmac_secret_file=secret, timeout=60)
            for name in ("undo-writes", "refund-back")
        ]
        self.compensator = self.logs = self.undoing = None

    async def begin(self):
        await self.install()
        for slot in ("blue", "green"):
            ref = Ref(kinds.DEPLOYMENT, NAMESPACE, f"{AGENT}-{slot}")
            selector = {"matchLabels": {"slot": slot}}
            await self.cluster.merge(ref, {"spec": {"selector": selector}})
            await self.cluster.create(service(f"{AGENT}-{slot}", self.port))
        await self.apply("v1", rollback=ROLLBACK)
        await self.run(60, until="Promoted")

    async def process(self, pace=None):
        """A process that knows nothing but what is stored; the one before it is gone."""
        await self.close()
        self.logs = PodActionLogs(self.cluster)
        self.undoing = EndpointHooks(self.hooks, self.cluster)
        self.compensator = Compensator(
            Aftermath(
                releases=ClusterReleases(self.cluster),
                accounts=RevisionAccounts(self.cluster),
                logs=self.logs,
                hooks=self.undoing,
                recorder=self.notes,
                active=lambda: [f"{NAMESPACE}/{AGENT}"],
                leading=lambda: True,
                clock=lambda: self.now,
            ),
            pace or Pace(),
        )

    async def close(self):
        if self.compensator is not None:
            await self.logs.close()
            await self.undoing.close()

    async def candidate(self, behaviour=None, **spec):
        """Roll a bundle out until it may act, with a Pod."""
        revision = await self.apply("v2", behaviour, rollback=ROLLBACK, **spec)
        self.log = ActionLog(revision, now=lambda: datetime.fromtimestamp(self.now, UTC))
        await self.run(5)
        await self.cluster.create(pod("green-1", "green", revision))
        await self.compensator.look()
        return revision

    def act(self, tool, effect, session="s1", disposition="executed"):
        self.now += 0.01
        return self.log.append(tool, effect, session, {"order": 7}, disposition).id

    async def roll_back(self, revision):
        release = await self.cluster.get(Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT))
        order = {**ROLLBACK, "to": "elsewhere", "of": revision}
        await self.cluster.replace(release | {"spec": {**release["spec"], "rollback": order}})
        await self.run(60, until="RolledBack")

    async def account(self, revision):
        obj = await self.cluster.get(Ref(kinds.AGENT_REVISION, NAMESPACE, revision))
        return obj["status"]["compensation"]

    async def settle(self, revision, rounds=40):
        for _ in range(rounds):
            await self.compensator.look()
            account = await self.account(revision)
            if account["state"] not in ("Collecting", "Undoing"):
                return account
            self.now += 5.0
        raise AssertionError(f"still {account['state']}")


def service(name, port):
    ports = [
        {"name": "metrics", "port": 9, "targetPort": 9},
        {"name": "http", "port": 80, "targetPort": port},
    ]
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}}


def pod(name, slot, revision, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"slot": slot},
            "annotations": {REVISION_ANNOTATION: revision},
        },
        "spec": {"containers": [], **spec},
        "status": {"podIP": "127.0.0.1", "phase": "Running"},
    }


class PodsWithStatus(MemoryCluster):
    """Creating a Pod keeps its status, as if its node had reported at once."""

    async def create(self, obj):
        made = await super().create(obj)
        if obj["kind"] == "Pod":
            self.objects[Ref(kinds.POD, NAMESPACE, obj["metadata"]["name"])]["status"] = obj["status"]
        return made


@asynccontextmanager
async def on_stage(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"shared with the hook")
    holder = {}

    async def actions(request):
        scene = holder["scene"]
        query = request.query
        return web.json_response(scene.log.page(int(query["since"]), int(query["limit"])))

    async def undo(request):
        return await holder["scene"].ledger.answer(request)

    app = web.Application()
    app.add_routes([web.get("/actions", actions), web.post("/undo", undo)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    scene = holder["scene"] = Scene(f"http://127.0.0.1:{port}", port, secret)
    scene.cluster = PodsWithStatus()
    scene.operator = scene.new_operator()
    await scene.process()
    await scene.begin()
    try:
        yield scene
    finally:
        await scene.close()
        await runner.cleanup()


async def look_until_killed(scene, number):
    """Let one write through after another, and end the process at the given one, before its reply."""

    class Killed(BaseException):
        pass

    left = number

    async def kill(verb, ref):
        nonlocal left
        if verb in ("create", "replace", "merge"):
            left -= 1
            if left == 0:
                raise Killed

    scene.cluster.after = kill
    try:
        for _ in range(5):
            await scene.compensator.look()
            scene.now += 5.0
    except Killed:
        return True
    finally:
        scene.cluster.after = nothing
    return False


async def nothing(verb, ref):
    """Let every request through."""


async def undone_though_killed(scene, number, revision, effects):
    """Kill the process at a write; the next undoes each effect once. Return whether it came to that."""
    killed = await look_until_killed(scene, number)
    await scene.process()
    account = await scene.settle(revision)
    assert sorted(one["id"] for one in scene.ledger.undone.values()) == sorted(effects)
    assert (account["state"], account["undone"]) == ("Done", len(effects))
    return killed
