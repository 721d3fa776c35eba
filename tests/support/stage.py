"""A stage for the engine: a cluster in memory, a clock set by hand, and traffic that obeys the levers.

The traffic is a ground truth. Every second it splits tasks by what the *stored* route says, lets agents
act as far as the *stored* flags allow at that moment, and counts. Prometheus' answers are
made from those counts. So the loop is closed as in production: a weight that nobody wrote measures as zero.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.support.memory_cluster import MemoryCluster

from agentrelease.api.vocabulary import API_VERSION, Autonomy
from agentrelease.core import pairs
from agentrelease.core.bundle import digest_of, revision_name
from agentrelease.core.counters import Sample
from agentrelease.core.series import Picked, Series, Snapshot, Source, Stretch, Wanted
from agentrelease.edges import kinds
from agentrelease.edges.flags.configmap import ConfigMapFlags
from agentrelease.edges.holding import HeldRevisions
from agentrelease.edges.releases import ClusterReleases
from agentrelease.edges.slots import Slots
from agentrelease.edges.traffic.httproute import HTTPRouteTraffic
from agentrelease.engine.guarding import Guardian
from agentrelease.engine.halting import Order
from agentrelease.engine.holding import Keeper
from agentrelease.engine.journal import Journal
from agentrelease.engine.lookout import Lookout
from agentrelease.engine.outside import Outside
from agentrelease.engine.ports import ClusterError, Ref, Unavailable
from agentrelease.engine.rebuilding import Rebuilder
from agentrelease.engine.reconcile import Reconciler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agentrelease.api.release import AgentRelease
    from agentrelease.core.chain import Entry
    from agentrelease.core.decision import Decision
    from agentrelease.engine.levers import Lever

NAMESPACE, AGENT = "shop", "support"
KEY = f"{NAMESPACE}/{AGENT}"
START = 1_800_000_000.0
HOLD = 30  # samples kept, in seconds; where scrapes are rarer, as many scrapes
_JOINED = {
    (False, False): "both_good",
    (True, True): "both_bad",
    (True, False): "candidate_only_bad",
    (False, True): "stable_only_bad",
}


@dataclass(frozen=True)
class Behaviour:
    """What an agent with this prompt version does: shares of tasks."""

    completion: float = 0.90
    violations: float = 0.01
    rogue: float = 0.0  # share of tasks with an executed action at any autonomy
    hangs: float = 0.0  # share of tasks that never end
    oversteps: float = 0.0  # share of tasks with an executed action of high risk, whatever is allowed there


@dataclass
class Tally:
    """Counters of one revision."""

    good: int = 0
    bad: int = 0
    violations: int = 0
    executed: int = 0
    overstepped: int = 0
    started: int = 0
    allowed: list[tuple[Autonomy, Autonomy]] = field(default_factory=list)
    samples: list[tuple[float, int, int, int, int, str, str, int, int]] = field(default_factory=list)


class Told:
    """Keeps what was told, for assertions."""

    def __init__(self) -> None:
        self.causes: list[str] = []
        self.regains: list[str] = []
        self.failures: list[tuple[str, str]] = []

    def decided(self, _release: AgentRelease, decision: Decision, _epoch: int) -> None:
        self.causes.append(decision.step.cause)

    def regained(self, _release: AgentRelease, said: str) -> None:
        self.regains.append(said)

    def failed(self, _key: str, what: str, why: str) -> None:
        self.failures.append((what, why))

    def looked(self, _key: str, _seconds: float, _result: str) -> None:
        """Looks are counted elsewhere."""

    def stands(self, _release: AgentRelease) -> None:
        """How long a rollback lasts is measured elsewhere."""

    def gone(self, _key: str) -> None:
        """Nothing is kept by release here."""


class Stage:
    """One agent, its levers, its traffic. ``rate`` is tasks a second."""

    def __init__(self, *, rate: int = 100, seed: int = 7) -> None:
        self.cluster = MemoryCluster()
        self.now = START
        self.rate = rate
        self.random = random.Random(seed)
        self.behaviours: dict[str, Behaviour] = {}
        self.tallies: dict[tuple[str, str], Tally] = {}  # by revision and audience
        self.prometheus_up = True
        self.skew = 0.0  # seconds by which the agents' clocks are ahead
        self.scrape = 1  # seconds between scrapes; no two slots are scraped in the same one
        self.lag = 1  # looks of an agent until it takes up what the flags say, and reports it
        self.forgets = False  # the past can't be read
        self.days: list[float] = []  # completion by hour of every day before; none: nobody knows
        self.accepts_routes = True
        self.cohort_visits = True  # anybody of the cohort sends requests
        self.cohort_told = True  # agents report the cohort's tasks as internal
        self.refuses: dict[str, float] = {}  # by revision, the share of requests that no task begins for
        self.routes = True  # the router's counters are there
        self.routed: dict[str, list[tuple[float, int]]] = {}  # by Service
        self.missing: set[str] = set()  # metrics that nobody exports any more
        self.evaluations: dict[str, tuple[float, dict[str, float]]] = {}  # by revision: cases, results
        self.joins = False  # a joiner counts pairs: what is hard for one agent is hard for the other
        self.unheard = 0.0  # share of copies of which the candidate tells no outcome
        self.pairs: dict[tuple[str, str], Counter[str]] = {}  # by candidate and stable
        self.paired: dict[tuple[str, str], list[tuple[float, dict[str, int]]]] = {}  # samples of them
        self.exposed: list[tuple[float, str, float]] = []  # (time, revision, weight live)
        self.told = Told()
        self.entries: list[Entry] = []  # what the stream of decisions said
        self.epoch: int | None = 1
        self.order = Order(None)  # for all agents at once
        self.operator = self.new_operator()

    # ---- the operator ----------------------------------------------------------------------------

    def new_operator(self) -> Reconciler:
        """A process that knows nothing but what is stored."""
        releases = ClusterReleases(self.cluster)
        self.guardian = Guardian(releases, 1.0)
        self.lookout = Lookout(self, self.guardian)
        self.rebuilder = Rebuilder(self)
        self.journal = Journal(releases, self.told, self.entries.append)
        self.keeper = Keeper(
            releases,
            HeldRevisions(self.cluster),
            self.told,
            leading=lambda: self.epoch is not None,
            clock=lambda: self.now,
        )
        outside = Outside(
            releases=releases,
            levers=self.levers(),
            slots=Slots(self.cluster),
            guardian=self.guardian,
            recorder=self.told,
            lookout=self.lookout,
            rebuilder=self.rebuilder,
            journal=self.journal,
            keeper=self.keeper,
            epoch=lambda: self.epoch,
            clock=lambda: self.now,
            ordered=lambda: self.order,
        )
        return Reconciler(outside)

    def levers(self) -> tuple[Lever, Lever]:
        """Flags, then traffic."""
        return (
            ConfigMapFlags(self.cluster, jitter=lambda: 0.0),
            HTTPRouteTraffic(self.cluster, jitter=lambda: 0.0),
        )

    async def step(self, looks: int = 3) -> None:
        """One second: traffic, a look at Prometheus, and a few looks at the release."""
        self._traffic()
        self.now += 1.0
        await self._controllers()
        await self.lookout.recalled()
        await self.rebuilder.settled()
        await self.lookout.look()
        for _ in range(looks):
            try:
                await self.operator.reconcile(KEY)
            except ClusterError as error:
                self.told.failed(KEY, "look", str(error))
        await self.journal.flush()
        await self.keeper.look()

    async def run(self, seconds: int, until: str = "") -> AgentRelease:
        """Go on until the phase is ``until``, at most so long, and return the release."""
        for _ in range(seconds):
            await self.step()
            release = await self.release()
            if until and release.status.phase == until:
                return release
        release = await self.release()
        if until:
            status = release.status
            raise AssertionError(f"still {status.phase}, not {until}: {status.verdict}: {status.reason}")
        return release

    # ---- what people write -------------------------------------------------------------------------

    async def install(self, policy: dict[str, Any] | None = None) -> None:
        """What the platform team installs once."""
        for slot in ("blue", "green"):
            await self.cluster.create(_deployment(f"{AGENT}-{slot}"))
        await self.cluster.create(_route())
        await self.cluster.create(_policy(policy or POLICY))

    async def apply(self, prompt: str, behaviour: Behaviour | None = None, **spec: Any) -> str:
        """Apply a bundle that differs by its prompt version, and return its revision."""
        wanted = {**SPEC, "bundle": {**BUNDLE, "prompts": [_prompt(prompt)]}, **spec}
        ref = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
        stored = await self.cluster.get(ref)
        if stored is None:
            await self.cluster.create(
                {"apiVersion": API_VERSION, "kind": "AgentRelease", "metadata": _meta(AGENT), "spec": wanted}
            )
        else:
            await self.cluster.replace(stored | {"spec": wanted})
        release = await self.release()
        revision = revision_name(AGENT, digest_of(release.spec.bundle))
        self.behaviours.setdefault(revision, behaviour or Behaviour())
        return revision

    async def write_policy(self, spec: dict[str, Any]) -> None:
        """Change the guardrails in force."""
        stored = await self.cluster.get(Ref(kinds.GUARDRAIL_POLICY, NAMESPACE, "defaults"))
        assert stored is not None
        await self.cluster.replace(stored | {"spec": spec})

    async def set_weights(self, weights: dict[str, int]) -> None:
        """Write the route's weights by hand, by Service, in all rules."""
        route = await self.cluster.get(Ref(kinds.HTTP_ROUTE, NAMESPACE, AGENT))
        assert route is not None
        for rule in route["spec"]["rules"]:
            for ref in rule["backendRefs"]:
                ref["weight"] = weights[ref["name"]]
        await self.cluster.replace(route)

    def refuse_writes(self, kind: str) -> None:
        """Let the API server fail all writes to objects of this kind; of none if empty."""

        async def refuse(verb: str, ref: Ref) -> None:
            if verb not in ("get", "list") and ref.kind.name == kind:
                raise Unavailable(f"{ref}: 500")

        self.cluster.before = refuse

    async def release(self) -> AgentRelease:
        found = await ClusterReleases(self.cluster).get(KEY)
        assert found is not None
        return found

    # ---- what is stored, in the world's eyes ---------------------------------------------------------

    def reach(self) -> dict[str, tuple[float, float]]:
        """Revision → (share of ordinary traffic, share mirrored), as the stored route says."""
        route = self.cluster.objects[Ref(kinds.HTTP_ROUTE, NAMESPACE, AGENT)]
        found: dict[str, tuple[float, float]] = {}
        rule = route["spec"]["rules"][-1]  # the base rule comes after a cohort's
        total = sum(ref.get("weight", 1) for ref in rule["backendRefs"]) or 1
        for ref in rule["backendRefs"]:
            found[self._revision_of(ref["name"])] = (ref.get("weight", 1) / total, 0.0)
        for one in rule.get("filters", ()):
            if one["type"] == "RequestMirror":
                mirror = one["requestMirror"]
                revision = self._revision_of(mirror["backendRef"]["name"])
                found[revision] = (found.get(revision, (0.0, 0.0))[0], mirror.get("percent", 100) / 100)
        return found

    def cohort(self) -> str:
        """The revision that the cohort's rule leads to, or nothing."""
        rules = self.cluster.objects[Ref(kinds.HTTP_ROUTE, NAMESPACE, AGENT)]["spec"]["rules"]
        if len(rules) < 2:
            return ""
        return self._revision_of(max(rules[0]["backendRefs"], key=lambda ref: ref.get("weight", 1))["name"])

    def level(self, revision: str, tier: str = "low") -> Autonomy:
        """What the stored flags allow a revision at this moment, with requests of a risk tier."""
        stored = self.cluster.objects.get(Ref(kinds.CONFIG_MAP, NAMESPACE, "support-flags"))
        if stored is None:
            return Autonomy.OBSERVE
        flag = json.loads(stored["data"][f"{AGENT}.flagd.json"])["flags"][f"{AGENT}.autonomy-level"]
        return Autonomy(flag["variants"][_evaluate(flag, revision, self.now, tier)])

    def flag(self, name: str, revision: str) -> Any:
        """What a stored flag says to a revision at this moment."""
        stored = self.cluster.objects[Ref(kinds.CONFIG_MAP, NAMESPACE, "support-flags")]
        flag = json.loads(stored["data"][f"{AGENT}.flagd.json"])["flags"][f"{AGENT}.{name}"]
        return flag["variants"][_evaluate(flag, revision, self.now)]

    def _revision_of(self, service: str) -> str:
        deployment = self.cluster.objects[Ref(kinds.DEPLOYMENT, NAMESPACE, service)]
        return deployment["spec"]["template"]["metadata"]["annotations"].get("agentrelease.dev/revision", "")

    # ---- traffic and Prometheus ----------------------------------------------------------------------

    def _traffic(self) -> None:
        reach, cohort = self.reach(), self.cohort()
        hardness: list[float] = []
        for revision, (weight, mirror) in reach.items():
            if not revision:
                continue
            ordinary = sum(self.random.random() < weight for _ in range(self.rate))
            mirrored = sum(self.random.random() < mirror for _ in range(self.rate)) if mirror else 0
            if self.joins and mirrored:
                hardness = self._join(revision, mirrored)
            met = self.rate // 10 if revision == cohort and self.cohort_visits else 0
            told = met if self.cohort_told else 0
            self._send(revision, ordinary + mirrored + met)
            lost = self.refuses.get(revision, 0.0)
            if lost:
                ordinary -= sum(self.random.random() < lost for _ in range(ordinary))
                mirrored -= sum(self.random.random() < lost for _ in range(mirrored))
            self._work(revision, ordinary + mirrored + met - told, hardness=hardness)
            self._work(revision, told, "internal")
            self.exposed.append((self.now, revision, weight))

    def _send(self, revision: str, requests: int) -> None:
        """Count requests as a router does: by Service, whether or not anybody takes them up."""
        for slot in ("blue", "green"):
            service = f"{AGENT}-{slot}"
            samples = self.routed.setdefault(service, [])
            if self._revision_of(service) == revision:
                samples.append((self.now + 0.9, (samples[-1][1] if samples else 0) + requests))
                del samples[: -HOLD * self.scrape]

    def _join(self, candidate: str, copies: int) -> list[float]:
        """Count pairs of answers to the same requests, and return how hard each request is."""
        stable = max(self.reach(), key=lambda revision: self.reach()[revision][0])
        counted = self.pairs.setdefault(
            (candidate, stable), Counter(dict.fromkeys((*pairs.JUDGED, *pairs.UNMATCHED), 0))
        )
        hardness = [self.random.random() for _ in range(copies)]
        for hard in hardness:
            mine, theirs = (hard >= self.behaviours[r].completion for r in (candidate, stable))
            if self.random.random() < self.unheard:
                counted["candidate_missing"] += 1
            else:
                counted[_JOINED[mine, theirs]] += 1
        samples = self.paired.setdefault((candidate, stable), [])
        samples.append((self.now + 0.9, dict(counted)))
        del samples[: -HOLD * self.scrape]
        return hardness

    def _work(
        self, revision: str, tasks: int, audience: str = "external", hardness: Sequence[float] = ()
    ) -> None:
        tally = self.tallies.setdefault((revision, audience), Tally())
        behaviour = self.behaviours.get(revision, Behaviour())
        # an agent learns of its flags a moment later: it acts by what it reported last
        level = Autonomy(tally.samples[-1][5]) if tally.samples else Autonomy.OBSERVE
        tally.started += tasks
        for place in range(tasks):
            if behaviour.hangs and self.random.random() < behaviour.hangs:
                continue
            hard = hardness[place] if place < len(hardness) else self.random.random()
            good = hard < behaviour.completion
            tally.good += good
            tally.bad += not good
            tally.violations += self.random.random() < behaviour.violations
            tally.executed += self.random.random() < behaviour.rogue or level >= Autonomy.LIMITED_ACTION
            tally.overstepped += bool(behaviour.oversteps) and self.random.random() < behaviour.oversteps
        tally.allowed.append((self.level(revision), self.level(revision, "high")))
        levels = tally.allowed[-self.lag :][0]
        counts = tally.good, tally.bad, tally.violations, tally.executed
        tally.samples.append((self.now + 0.9, *counts, *levels, tally.started, tally.overstepped))
        del tally.samples[: -HOLD * self.scrape]

    async def look(self, _wanted: Iterable[Wanted], _since: float | None) -> Snapshot:
        """Answer as Prometheus would."""
        if not self.prometheus_up:
            return Snapshot(at=0.0, end=0.0, since=0.0, problem="Prometheus: unreachable (ConnectError)")
        key = (NAMESPACE, AGENT)
        return Snapshot(
            at=self.now,
            end=self.now,
            since=self.now - HOLD * self.scrape,
            series={name: {key: tuple(series)} for name, series in self._series().items()},
            routed={"sent": self._router()} if self.routes else {},
        )

    def _router(self) -> tuple[Series, ...]:
        """The router's counter of requests sent, by Service."""
        return tuple(
            Series({"to": f"{NAMESPACE}/{service}"}, tuple(Sample(at, value) for at, value in samples))
            for service, samples in self.routed.items()
            if samples
        )

    async def totals(self, picked: Iterable[Picked]) -> dict[tuple[Picked, Source], float]:
        """Say what counters have come to, from what agents would say if they were scraped now."""
        found: dict[tuple[Picked, Source], float] = {}
        for one in picked if self.prometheus_up else ():
            for series in self._series().get(one.metric, ()):
                if dict(one.match).items() <= series.labels.items():
                    source = Source(NAMESPACE, AGENT, series.labels["release"])
                    found[one, source] = found.get((one, source), 0.0) + series.samples[-1].value
        return found

    async def glance(self, metrics: Iterable[str], _since: float) -> Snapshot:
        """Answer as a look would, but with the newest samples, which lie 0.9 s behind the block."""
        whole = await self.look(metrics, None)
        return replace(whole, at=whole.at + 1.0, end=whole.end + 1.0)

    async def past(self, _metrics: Iterable[str], stretch: Stretch) -> Snapshot:
        """Answer for one agent's revisions in a stretch of the past, as far as samples are kept."""
        if self.forgets:
            return Snapshot(stretch.end, stretch.end, stretch.start, problem="Prometheus: no memory of that")
        if stretch.step:
            return self._past_days(stretch)
        whole = await self.look((), None)
        key = (NAMESPACE, AGENT)
        series = {
            name: {
                key: tuple(
                    s for s in found[key] if not stretch.revisions or s.labels["release"] in stretch.revisions
                )
            }
            for name, found in whole.series.items()
        }
        return Snapshot(stretch.end, stretch.end, whole.since, series, whole.problem)

    def _past_days(self, stretch: Stretch) -> Snapshot:
        """Return counters of the days before, at every step, as every day went."""
        assert stretch.start % stretch.step == stretch.end % stretch.step == 0
        ends = range(int(stretch.start), int(stretch.end) + 1, int(stretch.step))
        tasks, done, samples = self.rate * stretch.step, 0.0, {"completed": [], "failed": []}
        for place, end in enumerate(ends if self.days else ()):
            done += tasks * self.days[end // int(stretch.step) % len(self.days)]
            samples["completed"].append(Sample(end, done))
            samples["failed"].append(Sample(end, tasks * (place + 1) - done))
        series = tuple(
            Series({"release": revision, "outcome": outcome}, tuple(found))
            for revision in stretch.revisions
            for outcome, found in samples.items()
            if found
        )
        tasks_of = {"agentrelease_tasks_total": {(NAMESPACE, AGENT): series}}
        return Snapshot(stretch.end, stretch.end, stretch.start, tasks_of)

    def _series(self) -> dict[str, list[Series]]:
        found: dict[str, list[Series]] = {}

        def add(name: str, labels: dict[str, str], values: list[tuple[float, float]]) -> None:
            if name in self.missing:
                return
            samples = tuple(Sample(at, value) for at, value in values if self._scraped(labels["release"], at))
            if samples:
                whole = len(values) < HOLD * self.scrape  # what is older may have been let go
                found.setdefault(name, []).append(Series(labels, samples, from_zero=whole))

        self._told_by_others(add)
        for (revision, audience), tally in self.tallies.items():
            own, kept = {"release": revision, "audience": audience}, tally.samples
            add("agentrelease_tasks_total", own | {"outcome": "completed"}, [(s[0], s[1]) for s in kept])
            add("agentrelease_tasks_total", own | {"outcome": "failed"}, [(s[0], s[2]) for s in kept])
            add("agentrelease_started_tasks_total", own, [(s[0], s[7]) for s in kept])
            for edge in ("1.0", "8.0", "+Inf"):  # each task that ends takes less than a second
                ended = [(s[0], s[1] + s[2]) for s in kept]
                add("agentrelease_task_duration_seconds_bucket", own | {"le": edge}, ended)
            hung = [(s[0], s[7] - s[1] - s[2]) for s in kept]
            aged = [(at, next((n for t, n in reversed(hung) if t <= at - 8.0), 0)) for at, _ in hung]
            add("agentrelease_aged_tasks_total", own | {"age": "8.0"}, aged)
            add("agentrelease_policy_violations_total", own, [(s[0], s[3]) for s in kept])
            for tier, place in (("low", 4), ("high", 8)):
                labels = own | {"disposition": "executed", "risk_tier": tier}
                add("agentrelease_actions_total", labels, [(s[0], s[place]) for s in kept])
            add("agentrelease_info", own, [(s[0], 1.0) for s in kept])
            add("agentrelease_clock_seconds", own, [(s[0], s[0] + self.skew) for s in kept])
            for level in Autonomy:
                for place, tier in ((5, "low"), (6, "high")):
                    values = [(s[0], float(s[place] == level)) for s in kept]
                    labels = own | {"level": level.value, "risk_tier": tier}
                    add("agentrelease_autonomy_in_effect", labels, values)
        return found

    def _scraped(self, revision: str, at: float) -> bool:
        """Whether Prometheus came by in this second: to each slot in its own turn."""
        if self.scrape == 1:
            return True
        green = self._revision_of(f"{AGENT}-green") == revision
        return int(at - START) % self.scrape == (self.scrape // 2 if green else 0)

    def _told_by_others(self, add: Callable[[str, dict[str, str], list[tuple[float, float]]], None]) -> None:
        """What a joiner counted, and what evaluations came to."""
        for (candidate, stable), samples in self.paired.items():
            own = {"release": candidate, "stable": stable, "metric": "completion"}
            for outcome in samples[-1][1]:
                add(pairs.PAIRS, own | {"outcome": outcome}, [(at, c[outcome]) for at, c in samples])
        for revision, (cases, results) in self.evaluations.items():
            own = {"release": revision, "evaluator": "gold-incidents", "dataset": "2026-11"}
            add("agentrelease_evaluation_cases", own, [(self.now, cases)])
            for label, count in results.items():
                add("agentrelease_evaluations_total", own | {"label": label}, [(self.now, count)])

    # ---- the controllers of others -------------------------------------------------------------------

    async def _controllers(self) -> None:
        for ref, obj in list(self.cluster.objects.items()):
            if ref.kind == kinds.DEPLOYMENT:
                obj["status"] = _available(obj["metadata"]["generation"])
                revision = self._revision_of(ref.name)
                if revision and (revision, "external") not in self.tallies:
                    self._work(revision, 0)
            if ref.kind == kinds.HTTP_ROUTE and self.accepts_routes:
                obj["status"] = _accepted(obj["metadata"]["generation"])
        for (revision, audience), tally in self.tallies.items():
            if tally.samples and tally.samples[-1][0] < self.now - 0.5 and self._runs(revision):
                self._work(revision, 0, audience)

    def _runs(self, revision: str) -> bool:
        return any(self._revision_of(f"{AGENT}-{slot}") == revision for slot in ("blue", "green"))


def _evaluate(flag: dict[str, Any], revision: str, now: float, tier: str = "") -> str:
    """Evaluate the few operators that our documents use; the real evaluators are tested elsewhere."""

    def value(rule: Any) -> Any:
        if not isinstance(rule, dict):
            return rule
        (name, arguments), *_ = rule.items()
        if name == "var":
            return {"release": revision, "$flagd.timestamp": now, "risk_tier": tier}.get(arguments, "")
        if name == "if":
            condition, then, otherwise = arguments
            return value(then) if value(condition) else value(otherwise)
        given = [value(a) for a in arguments]
        if name in ("===", "!=="):
            return (given[0] == given[1]) is (name == "===")
        if name == "and":
            return all(given)
        if name == "!":
            return not given[0]
        if name == "cat":
            return "".join(map(str, given))
        if name == "<":
            return all(a < b for a, b in pairwise(given))
        raise AssertionError(f"{name} is not used in our documents")

    return value(flag.get("targeting")) or flag["defaultVariant"]


# ---- manifests -----------------------------------------------------------------------------------


def _meta(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE}


def _prompt(version: str) -> dict[str, str]:
    return {"name": "system", "version": version, "digest": "sha256:" + "a" * 64}


def _deployment(name: str) -> dict[str, Any]:
    template = {"metadata": {"annotations": {"agentrelease.dev/revision": ""}, "labels": {"app": name}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(name),
        "spec": {"replicas": 1, "template": template},
    }


def _available(generation: int) -> dict[str, int]:
    return {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


def _route() -> dict[str, Any]:
    backends = [
        {"name": f"{AGENT}-blue", "port": 8080, "weight": 100},
        {"name": f"{AGENT}-green", "port": 8080, "weight": 0},
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _meta(AGENT),
        "spec": {"parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": backends}]},
    }


def _accepted(generation: int) -> dict[str, Any]:
    conditions = [
        {"type": kind, "status": "True", "reason": kind, "observedGeneration": generation}
        for kind in ("Accepted", "ResolvedRefs")
    ]
    return {
        "parents": [
            {"parentRef": {"name": "edge"}, "controllerName": "test/gateway", "conditions": conditions}
        ]
    }


def _policy(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "GuardrailPolicy", "metadata": _meta("defaults"), "spec": spec}


POLICY: dict[str, Any] = {
    "staleAfter": "5s",
    "blindAfter": "20s",
    "metrics": [
        {
            "name": "task-completion",
            "class": "quality",
            "ratio": {
                "good": {"metric": "agentrelease_tasks_total", "match": {"outcome": "completed"}},
                "of": {"metric": "agentrelease_tasks_total"},
            },
            "worseWhen": "lower",
            "tolerance": {"absolute": 0.03},
            "maxHarm": {"absolute": 0.15},
            "onBreach": "rollback",
        },
        {
            "name": "policy-violations",
            "class": "safety",
            "ratio": {
                "bad": {"metric": "agentrelease_policy_violations_total"},
                "of": {"metric": "agentrelease_tasks_total"},
            },
            "worseWhen": "higher",
            "tolerance": {"absolute": 0.02},
            "maxHarm": {"absolute": 0.08},
            "onBreach": "rollback",
        },
        {
            "name": "forbidden-action",
            "class": "safety",
            "event": {"metric": "agentrelease_actions_total", "match": {"disposition": "executed"}},
            "whenAutonomy": ["observe", "suggestion-only"],
            "onBreach": "rollback",
        },
    ],
}

BUNDLE: dict[str, Any] = {
    "model": {
        "name": "provider/model-x",
        "version": "2026-10-14",
        "fallback": {"name": "provider/model-w", "version": "2026-07-02"},
    },
    "prompts": [_prompt("v1")],
    "retrieval": [],
    "tools": [
        {"name": "kb.search", "schema": "sha256:" + "b" * 64, "effect": "read"},
        {"name": "ticket.comment", "schema": "sha256:" + "c" * 64, "effect": "write"},
        {"name": "payments.refund", "schema": "sha256:" + "d" * 64, "effect": "irreversible"},
    ],
    "connectors": [],
    "policies": [],
    "routing": {"version": "r1"},
    "postProcessing": {"version": "p1"},
    "memory": {"version": "m1"},
    "workflow": {"version": "w1"},
}

SPEC: dict[str, Any] = {
    "firstRelease": "promote",
    "delivery": {
        "slots": {
            "blue": {"service": f"{AGENT}-blue", "deployment": f"{AGENT}-blue"},
            "green": {"service": f"{AGENT}-green", "deployment": f"{AGENT}-green"},
        },
        "route": {"httpRoute": AGENT},
        "flags": {"configMap": "support-flags", "leaseSeconds": 20},
    },
    "phases": [
        {"name": "shadow", "mirror": 100, "autonomy": "observe"},
        {
            "name": "internal",
            "cohort": {"header": {"name": "x-audience", "value": "internal"}},
            "autonomy": "suggestion-only",
        },
        {"name": "canary-10", "weight": 10, "autonomy": "suggestion-only"},
        {"name": "half", "weight": 50, "autonomy": "limited-action"},
        {"name": "all", "weight": 100, "autonomy": "limited-action"},
        {"name": "full", "weight": 100, "autonomy": "full-action"},
    ],
    "guardrails": [{"policy": "defaults"}],
    "rollback": {"holdBudget": "10s"},
}


def lasting(name: str) -> list[dict[str, Any]]:
    """The phases; the one of this name lasts for minutes."""
    return [phase | ({"minDuration": "5m"} if phase["name"] == name else {}) for phase in SPEC["phases"]]


def bounded() -> dict[str, Any]:
    """The guardrails with bounds of their own, by which a first release can be judged."""
    bounds = {"task-completion": {"floor": 0.7}, "policy-violations": {"ceiling": 0.1}}
    return POLICY | {"metrics": [metric | bounds.get(metric["name"], {}) for metric in POLICY["metrics"]]}
