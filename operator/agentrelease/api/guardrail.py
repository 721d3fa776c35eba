"""GuardrailPolicy: metrics, how much worse is too much, and what a breach causes.

A guardrail is a metric, two margins and a consequence. Worse than ``tolerance``, proven, brings the
consequence; harm as large as ``maxHarm`` excluded allows promotion; neither is a hold.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from agentrelease.api.base import Duration, Model, Name
from agentrelease.api.schema import keyed_by, rule, rules, unique, whole
from agentrelease.api.vocabulary import Action, Autonomy, MetricClass

MetricName = Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", max_length=200)]
LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=63)]
LabelValue = Annotated[str, Field(max_length=128)]
_OF_SERVICE = r"^([a-zA-Z0-9_.:/|-]|\{service\}|\{namespace\})+$"
_LABELS = rule(
    "self.all(label, label.matches('^[a-zA-Z_][a-zA-Z0-9_]{0,62}$') && !label.startsWith('__'))",
    "a label's name is a letter or underscore, then letters, digits and underscores, at most 63",
)
_NOT_OURS = rule(
    "self.all(label, !(label in ['agent', 'namespace', 'release']))",
    "agent, namespace and release are set by the operator, for each revision that it compares",
)


class Selector(Model):
    """A Prometheus counter and the label values that pick its series."""

    metric: MetricName
    """The counter's name. Example: `agentrelease_tasks_total`."""
    match: dict[str, LabelValue] = Field(
        default_factory=dict, max_length=8, json_schema_extra=rules(_LABELS, _NOT_OURS)
    )
    """Label values, each exactly; empty takes all series. Example: `{outcome: completed}`."""


class Ratio(Model):
    """A share of tasks: exactly one of ``good`` and ``bad``, out of ``of``."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.good) != has(self.bad)", "a ratio counts exactly one of good and bad, out of `of`")
        )
    )

    good: Selector | None = None
    """Counts tasks that went well; fewer are worse."""
    bad: Selector | None = None
    """Counts tasks that went wrong; more are worse."""
    of: Selector
    """Counts all tasks, good and bad."""


class Event(Model):
    """A counter of which one increase is enough."""

    metric: MetricName
    """The counter's name. Example: `agentrelease_actions_total`."""
    match: dict[str, LabelValue] = Field(
        default_factory=dict, max_length=8, json_schema_extra=rules(_LABELS, _NOT_OURS)
    )
    """Label values, each exactly. Example: `{disposition: executed}`."""


class Latency(Model):
    """The share of tasks slower than a bucket edge of a histogram; never a quantile."""

    histogram: MetricName
    """The histogram's name, without `_bucket`. Example: `agentrelease_task_duration_seconds`."""
    slower_than: Duration = Field(
        json_schema_extra=rules(rule("duration(self) > duration('0s')", "must be longer than nothing"))
    )
    """Slower than this is bad; must be one of the histogram's bucket edges. Example: `8s`."""


class Cost(Model):
    """Mean cost per task, each task's cost capped, from a counter of cost and one of tasks."""

    metric: MetricName
    """The counter of cost, in any currency. Example: `agentrelease_task_cost_total`."""
    of: Selector
    """Counts the tasks that cost it."""
    cap: float = Field(gt=0, le=1e9)
    """What one task can cost at most, in the metric's unit; bounds the statistic. Example: `2.5`."""


class Offline(Model):
    """An evaluation over a fixed set of cases, run outside and reported in counters: docs/telemetry.md."""

    evaluator: Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$", max_length=63)]
    """The evaluator, as the label `evaluator` names it. Example: `gold-incidents`."""
    cases: int = Field(ge=1, le=10_000_000)
    """How many cases a run has at least; a smaller run is incomplete. Example: `120`."""
    dataset: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """The set of cases, as the label `dataset` names it; absent takes the newest run over any set."""
    passing: list[Annotated[str, Field(min_length=1, max_length=32)]] = Field(
        default_factory=lambda: ["pass"],
        min_length=1,
        max_length=6,
        json_schema_extra=unique()
        | rules(rule("!('error' in self)", "a case that ended in an error can't be a passing one")),
    )
    """Values of `label` that are good; all others are bad."""
    measure: Literal["passed", "score"] = "passed"
    """What is compared: the share of cases that passed, or the mean score between 0 and 1."""


class Missing(Model):
    """Requests without a task; there is nothing to set but the margins."""


class Router(Model):
    """Where the router counts the requests that it sends to each Service."""

    requests: Selector
    """Counts requests sent. Example: `{metric: envoy_cluster_upstream_rq_total}`."""
    retries: Selector | None = None
    """Counts those of them that repeat another one; they are taken off."""
    service: dict[str, Annotated[str, Field(max_length=200, pattern=_OF_SERVICE)]] = Field(
        min_length=1,
        max_length=4,
        json_schema_extra=rules(
            _LABELS,
            rule(
                "self.exists(label, self[label].contains('{service}'))",
                "no label tells one Service from another: write {service} in one of the values",
            ),
        ),
    )
    """Labels that a Service's series have; `{service}` and `{namespace}` stand for the slot's.
    Example: `{destination_service_name: "{service}", destination_service_namespace: "{namespace}"}`."""


class Margin(Model):
    """A bound on the candidate's bad rate: ``relative × stable + absolute``."""

    relative: float = Field(default=1.0, ge=0.5, le=10)
    """Times the stable revision's bad rate. `1.1` lets a tenth more go wrong."""
    absolute: float = Field(default=0.0, ge=0, le=1)
    """Plus this, as a share of tasks. `0.01` lets one task in a hundred more go wrong."""


_AT_ONCE = (
    "['agentrelease_tasks_total', 'agentrelease_started_tasks_total', 'agentrelease_corrected_tasks_total', "
    "'agentrelease_escalated_tasks_total', 'agentrelease_policy_violations_total']"
)
_RATIO_READS = (
    "[self.ratio.of.metric, has(self.ratio.good) ? self.ratio.good.metric : self.ratio.of.metric, "
    "has(self.ratio.bad) ? self.ratio.bad.metric : self.ratio.of.metric]"
)
_BAD_RATE = "[has(self.ratio), has(self.latency), has(self.cost), has(self.missing)].exists(given, given)"
_AT_ZERO = "(has(self.{0}.absolute) ? self.{0}.absolute : 0.0)"
_AT_ONE = "((has(self.{0}.relative) ? self.{0}.relative : 1.0) + " + _AT_ZERO + ")"


def _beyond(harm: str) -> dict[str, object]:
    """``tolerance`` below this margin at every stable rate; two lines are compared at both ends."""
    zero, one = (tuple(end.format(name) for name in ("tolerance", harm)) for end in (_AT_ZERO, _AT_ONE))
    return rule(
        f"!has(self.tolerance) || !has(self.{harm}) || ({zero[0]} <= {zero[1]} && {one[0]} <= {one[1]}"
        f" && ({zero[0]} < {zero[1]} || {one[0]} < {one[1]}))",
        f"tolerance must be smaller than {harm}: what is tolerated can't also be the harm to exclude",
        field=f".{harm}",
    )


def _harmful(harm: str) -> dict[str, object]:
    return rule(
        f"!has(self.{harm}) || {_AT_ONE.format(harm)} > 1.0",
        f"{harm} is no harm: it must allow more than 1 × stable, in relative or absolute terms",
        field=f".{harm}",
    )


class Metric(Model):
    """One guardrail: a metric, two margins and a consequence."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.ratio), has(self.event), has(self.latency), has(self.cost), has(self.offline), "
                "has(self.missing)]"
                ".filter(given, given).size() == 1",
                "a guardrail measures exactly one of ratio, event, latency, cost, offline, missing",
            ),
            rule(
                "!has(self.offline) || has(self.floor) || has(self.ceiling) || has(self.tolerance)",
                "what must the results reach: set floor or ceiling, or tolerance against stable's own run",
                field=".offline",
            ),
            rule(
                "!has(self.offline) || !(has(self.maxHarm) || has(self.maxHarmStratum) || has(self.weight)"
                " || has(self.alpha) || has(self.worseWhen)"
                " || (has(self.whenAutonomy) && self.whenAutonomy.size() > 0))",
                "results over a fixed set are no estimates: an offline metric takes floor, ceiling and "
                "tolerance, and no maxHarm, weight, alpha, worseWhen or whenAutonomy",
                field=".offline",
            ),
            rule(
                f"!{_BAD_RATE} || has(self.ceiling) || has(self.floor) || has(self.tolerance)",
                "how much worse than stable is bearable: set tolerance, or an absolute ceiling or floor",
                field=".tolerance",
            ),
            rule(
                f"!{_BAD_RATE} || has(self.ceiling) || has(self.floor) || has(self.maxHarm)",
                "which harm must be excluded before promotion: set maxHarm, or an absolute ceiling or floor",
                field=".maxHarm",
            ),
            rule(
                "has(self.offline) || has(self.tolerance) == has(self.maxHarm)",
                "tolerance and maxHarm belong together: one proves harm, the other excludes it",
            ),
            rule(
                "!has(self.maxHarmStratum) || has(self.maxHarm)",
                "maxHarmStratum widens maxHarm for single strata; set maxHarm too",
                field=".maxHarm",
            ),
            _beyond("maxHarm"),
            _beyond("maxHarmStratum"),
            _harmful("maxHarm"),
            _harmful("maxHarmStratum"),
            rule(
                "!has(self.event) || !(has(self.tolerance) || has(self.maxHarm) || has(self.maxHarmStratum)"
                " || has(self.ceiling) || has(self.floor) || has(self.weight) || has(self.alpha))",
                "of an event one is enough: it takes no margin, no bound, no weight and no alpha",
                field=".event",
            ),
            rule(
                "!has(self.labelWindow) || has(self.ratio)",
                "labels come late to shares of tasks alone; labelWindow needs a ratio",
                field=".labelWindow",
            ),
            rule(
                f"!has(self.labelWindow) || !has(self.ratio) || !{_RATIO_READS}.exists(m, m in {_AT_ONCE})",
                "with labelWindow a ratio counts matured tasks, such as agentrelease_matured_tasks_total; "
                "this one also reads a counter that counts tasks at once, which are others",
                field=".labelWindow",
            ),
            rule(
                f"has(self.labelWindow) || !has(self.ratio) || "
                f"!{_RATIO_READS}.exists(m, m.startsWith('agentrelease_matured_'))",
                "matured counters are late by the agents' label window; say how long it is in labelWindow",
                field=".labelWindow",
            ),
            rule(
                "!has(self.worseWhen) || !has(self.ratio)"
                " || (self.worseWhen == 'lower') == has(self.ratio.good)",
                "worseWhen contradicts the ratio: fewer good are worse (lower), more bad are worse (higher)",
                field=".worseWhen",
            ),
            rule(
                "!has(self.worseWhen) || has(self.ratio) || self.worseWhen == 'higher'",
                "events, slow tasks and cost are worse when higher",
                field=".worseWhen",
            ),
            rule(
                "!has(self.pairs) || has(self.ratio) || has(self.latency)",
                "pairs compare two answers that are good or bad each: set them on a ratio or a latency",
                field=".pairs",
            ),
        )
    )

    name: Name
    """Unique in the policy; appears in status, Events and the decision log. Example: `task-completion`."""
    class_: MetricClass = Field(alias="class")
    """What the metric is about: `safety` outranks `quality`, `efficiency` and `business`."""
    ratio: Ratio | None = None
    """A share of tasks that went well or wrong."""
    event: Event | None = None
    """Something of which one is enough, for example a forbidden action that was executed."""
    latency: Latency | None = None
    """The share of tasks that took too long."""
    cost: Cost | None = None
    """Mean cost of a task."""
    offline: Offline | None = None
    """Results of an evaluation of this very revision; absent, incomplete or broken ones are never a pass."""
    missing: Missing | None = None
    """The share of requests that the router sent and no agent began a task for; needs `spec.router`."""
    pairs: (
        Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9_.:]*[a-zA-Z0-9])?$", max_length=63)] | None
    ) = None
    """What both agents judge their answers by while requests are mirrored: the label `metric` of
    `agentrelease_shadow_pairs_total`. Absent compares the arms' counts. Example: `completion`."""
    worse_when: Literal["higher", "lower"] | None = None
    """Which direction is worse; follows from the metric and may be written for readers."""
    tolerance: Margin | None = None
    """Worse than this, proven, brings `onBreach`. Example: `{absolute: 0.01}`."""
    max_harm: Margin | None = None
    """Harm as large as this must be excluded before promotion; larger than `tolerance`."""
    max_harm_stratum: Margin | None = None
    """The same for each required stratum by itself; usually wider than `maxHarm`."""
    ceiling: float | None = Field(default=None, gt=0, lt=1)
    """The bad rate must stay below this share, whatever stable does. Example: `0.005`."""
    floor: float | None = Field(default=None, gt=0, lt=1)
    """The good rate must stay above this share, whatever stable does. Example: `0.9`."""
    when_autonomy: list[Autonomy] = Field(default_factory=list, max_length=4, json_schema_extra=unique())
    """Count only while the candidate has one of these levels; empty means always."""
    label_window: Duration | None = Field(
        default=None,
        json_schema_extra=rules(
            rule(
                "duration(self) >= duration('1s') && duration(self) <= duration('168h')",
                "a label window is between a second and seven days",
            )
        ),
    )
    """Labels come this long after a task ended, and its counters count it only then, as the SDK's matured
    ones do. A phase is judged by tasks that ended in it, so it lasts at least as long. Example: `10m`."""
    weight: float | None = Field(default=None, gt=0, le=1)
    """This metric's share of `falseRollback`; absent takes an equal part of what is left."""
    alpha: float | None = Field(default=None, gt=0, le=0.2)
    """Risk of promoting although harm is as large as `maxHarm`. Example: `0.01` for safety."""
    on_breach: Action
    """What a proven breach causes, from mild to strong: `notify`, `pause`, `requireApproval`,
    `fallbackModel`, `reduceTools`, `lowerAutonomy`, `stepBack`, `rollback`."""


class Strata(Model):
    """Which labels split the traffic into strata, and which strata must be proven safe by themselves."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.required) || self.required.all(stratum, stratum.all(label, "
                "has(self.labels) && label in self.labels))",
                "a required stratum names a label that isn't in strata.labels",
                field=".required",
            )
        )
    )

    labels: list[LabelName] = Field(default_factory=list, max_length=3, json_schema_extra=unique())
    """Labels whose values make the strata. Example: `[workflow_class, risk_tier]`."""
    required: list[Annotated[dict[str, LabelValue], Field(min_length=1, max_length=3)]] = Field(
        default_factory=list, max_length=8, json_schema_extra=whole()
    )
    """Strata that need their own proof of safety. Example: `[{risk_tier: high}]`."""


class Outcomes(Model):
    """When a task must have had its outcome; one that hangs is in no counter of finished tasks."""

    deadline: Duration = Field(
        json_schema_extra=rules(
            rule(
                "duration(self) >= duration('1s') && duration(self) <= duration('30m')",
                "a deadline is between a second and half an hour; longer work is several tasks",
            )
        )
    )
    """A task that began this long ago and has no outcome counts as one that went wrong, in both arms. Agents
    then have to count tasks when they begin: `agentrelease_started_tasks_total`. Example: `30s`."""


_TESTED = "self.metrics.filter(m, !has(m.event) && !has(m.offline))"
_WEIGHTS = f"{_TESTED}.filter(m, has(m.weight)).map(m, m.weight).sum()"


class GuardrailPolicySpec(Model):
    """The guardrails of one or many releases."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"{_TESTED}.exists(m, !has(m.weight)) ? {_WEIGHTS} < 0.999999 : "
                f"{_TESTED}.size() == 0 || ({_WEIGHTS} > 0.999999 && {_WEIGHTS} < 1.000001)",
                "weights share out one risk: they must sum to 1 over all metrics but events and offline "
                "ones, or leave something for the metrics without a weight",
                field=".metrics",
            ),
            rule(
                "duration(has(self.staleAfter) ? self.staleAfter : '60s') <= "
                "duration(has(self.blindAfter) ? self.blindAfter : '5m')",
                "evidence goes stale before the release counts as blind: staleAfter <= blindAfter",
                field=".blindAfter",
            ),
            rule(
                "has(self.router) || !self.metrics.exists(m, has(m.missing))",
                "only a router can tell which requests are missing: say in `router` where it counts them",
                field=".router",
            ),
        )
    )

    strata: Strata = Field(default_factory=Strata)
    """How traffic is split so that harm to a part of it shows."""
    false_rollback: float = Field(default=0.05, gt=0, le=0.2)
    """Risk that a good release is ever rolled back, over all metrics, all strata and all time."""
    unit: Literal["task", "session"] = "task"
    """What is independent: single tasks, or sessions of several tasks."""
    stale_after: Duration = Field(
        default=Duration("60s"),
        json_schema_extra=rules(rule("duration(self) >= duration('1s')", "must be at least a second")),
    )
    """Evidence older than this is missing."""
    blind_after: Duration = Duration("5m")
    """Missing for longer than this, exposure is stepped down."""
    outcomes: Outcomes | None = None
    """How long a task may take before it counts as failed. Absent, one that never ends is not counted."""
    router: Router | None = None
    """The router's own counters, by which the split is measured. Absent, agents' counters have to do."""
    metrics: list[Metric] = Field(min_length=1, max_length=24, json_schema_extra=keyed_by("name"))
    """The guardrails. A release is promoted only when none stands in its way."""


class GuardrailPolicy(Model):
    """The object as the API server stores it; ClusterGuardrailPolicy has the same spec."""

    name: str
    namespace: str | None = None
    generation: int = 0
    spec: GuardrailPolicySpec
