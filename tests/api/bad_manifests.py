"""What people get wrong, and what the API server must answer: the field, and a sentence that helps.

Each entry: what is wrong, the manifest, the field that the answer must name, words it must contain.
"""

from __future__ import annotations

from typing import Any

from tests.api.manifests import GONE, SHA, approval, changed, incident, policy, release, revision

Bad = tuple[str, dict[str, Any], str, str]


def _release(wrong: str, changes: dict[str, Any], field: str, words: str) -> Bad:
    return wrong, changed(release(), changes), field, words


def _policy(wrong: str, changes: dict[str, Any], field: str, words: str) -> Bad:
    return wrong, changed(policy(), changes), field, words


OFFLINE: dict[str, Any] = {
    "name": "gold",
    "class": "quality",
    "offline": {"evaluator": "gold-incidents", "cases": 120},
    "floor": 0.9,
    "onBreach": "rollback",
}

B = "spec/bundle"
LAYERS = (
    "model",
    "prompts",
    "retrieval",
    "tools",
    "connectors",
    "policies",
    "routing",
    "postProcessing",
    "memory",
    "workflow",
)
EXACT = "must be an exact version"
PHASE = {"name": "more", "autonomy": "limited-action"}

BUNDLES = [
    *(
        _release(
            f"layer {layer} is missing", {f"{B}/{layer}": GONE}, f"spec.bundle.{layer}", "Required value"
        )
        for layer in LAYERS
    ),
    _release("no prompts at all", {f"{B}/prompts": []}, "spec.bundle.prompts", "at least 1 items"),
    *(
        _release(
            f"floating model version {version!r}",
            {f"{B}/model/version": version},
            "spec.bundle.model.version",
            EXACT,
        )
        for version in ("latest", "Latest", "stable", "main", "HEAD", "1.x", "v2.latest", "nightly")
    ),
    *(
        _release(
            f"version range {version!r}",
            {f"{B}/connectors/0/version": version},
            "spec.bundle.connectors[0].version",
            EXACT,
        )
        for version in ("^3.2.1", "~3.2", ">=3", "3.*", "3.1 || 3.2", "<4")
    ),
    _release("empty version", {f"{B}/memory/version": ""}, "spec.bundle.memory.version", "at least 1 chars"),
    _release(
        "version is a number",
        {f"{B}/memory/version": 5},
        "spec.bundle.memory.version",
        "must be of type string",
    ),
    _release(
        "floating routing version", {f"{B}/routing/version": "latest"}, "spec.bundle.routing.version", EXACT
    ),
    _release(
        "floating workflow version", {f"{B}/workflow/version": "edge"}, "spec.bundle.workflow.version", EXACT
    ),
    _release(
        "floating prompt version",
        {f"{B}/prompts/0/version": "latest"},
        "spec.bundle.prompts[0].version",
        EXACT,
    ),
    _release(
        "floating snapshot",
        {f"{B}/retrieval/0/snapshot": "current"},
        "spec.bundle.retrieval[0].snapshot",
        EXACT,
    ),
    _release(
        "floating fallback",
        {f"{B}/model/fallback/version": "latest"},
        "spec.bundle.model.fallback.version",
        EXACT,
    ),
    _release(
        "model name that the provider moves",
        {f"{B}/model/name": "provider/model-latest"},
        "spec.bundle.model.name",
        "use a name that stays",
    ),
    _release(
        "model without a version", {f"{B}/model/version": GONE}, "spec.bundle.model.version", "Required value"
    ),
    _release(
        "prompt without a digest",
        {f"{B}/prompts/0/digest": GONE},
        "spec.bundle.prompts[0].digest",
        "Required value",
    ),
    _release(
        "retrieval without a digest",
        {f"{B}/retrieval/0/digest": GONE},
        "spec.bundle.retrieval[0].digest",
        "Required value",
    ),
    _release(
        "digest of another kind",
        {f"{B}/policies/0/digest": "md5:0123"},
        "spec.bundle.policies[0].digest",
        "should match",
    ),
    _release(
        "digest too short",
        {f"{B}/policies/0/digest": "sha256:abc"},
        "spec.bundle.policies[0].digest",
        "should match",
    ),
    _release(
        "digest in capitals",
        {f"{B}/policies/0/digest": SHA.upper()},
        "spec.bundle.policies[0].digest",
        "should match",
    ),
    _release(
        "unpinned tool schema", {f"{B}/tools/1/schema": GONE}, "spec.bundle.tools[1].schema", "Required value"
    ),
    _release(
        "tool schema by version", {f"{B}/tools/1/schema": "v3"}, "spec.bundle.tools[1].schema", "should match"
    ),
    _release(
        "unknown tool effect",
        {f"{B}/tools/0/effect": "harmless"},
        "spec.bundle.tools[0].effect",
        'supported values: "read", "write", "irreversible"',
    ),
    _release(
        "tool through an unknown connector",
        {f"{B}/tools/1/connector": "crm"},
        "spec.bundle.tools",
        "a tool names a connector that the bundle's connectors layer doesn't pin",
    ),
    _release(
        "two tools of one name", {f"{B}/tools/1/name": "kb.search"}, "spec.bundle.tools[1]", "Duplicate value"
    ),
    _release(
        "tool name with a space",
        {f"{B}/tools/0/name": "kb search"},
        "spec.bundle.tools[0].name",
        "should match",
    ),
    _release(
        "too many tools",
        {f"{B}/tools": [{"name": f"t{i}", "schema": SHA} for i in range(129)]},
        "spec.bundle.tools",
        "at most 128 items",
    ),
    _release(
        "parameter is an object",
        {f"{B}/model/parameters/extra": {"a": 1}},
        "spec.bundle.model.parameters.extra",
        "at most 0 items",
    ),
    _release(
        "parameter is a list",
        {f"{B}/model/parameters/stop": ["x"]},
        "spec.bundle.model.parameters.stop",
        "at most 0 items",
    ),
    _release(
        "parameter beyond exact integers",
        {f"{B}/model/parameters/seed": 2**53},
        "spec.bundle.model.parameters.seed",
        "less than or equal to",
    ),
    _release(
        "parameter far too long",
        {f"{B}/model/parameters/effort": "x" * 257},
        "spec.bundle.model.parameters.effort",
        "Too long",
    ),
]

RELEASES = [
    ("no spec", changed(release(), {"spec": GONE}), "spec", "Required value"),
    ("name too long for labels", release("a" * 53), "", "at most 52 lower-case letters"),
    ("name with a dot", release("support.eu"), "", "it appears in labels, flags and metrics"),
    ("name starts with a digit", release("1support"), "", "the name must start with a letter"),
    _release("only one slot", {"spec/delivery/slots/green": GONE}, "spec.delivery.slots", "at least 2"),
    _release(
        "three slots",
        {"spec/delivery/slots/red": {"service": "r", "deployment": "r"}},
        "spec.delivery.slots",
        "at most 2",
    ),
    _release(
        "slots share a Service",
        {"spec/delivery/slots/green/service": "support-blue"},
        "spec.delivery.slots",
        "both slots name the same Service",
    ),
    _release(
        "slots share a Deployment",
        {"spec/delivery/slots/green/deployment": "support-blue"},
        "spec.delivery.slots",
        "both slots name the same Deployment",
    ),
    _release(
        "slot name in capitals",
        {"spec/delivery/slots/green": GONE, "spec/delivery/slots/GREEN": {"service": "g", "deployment": "g"}},
        "spec.delivery.slots",
        "lower-case letters, digits and dashes",
    ),
    _release(
        "slot without a Service",
        {"spec/delivery/slots/blue/service": GONE},
        "spec.delivery.slots.blue.service",
        "Required value",
    ),
    _release("no flags", {"spec/delivery/flags": GONE}, "spec.delivery.flags", "Required value"),
    _release(
        "lease too short",
        {"spec/delivery/flags/leaseSeconds": 1},
        "spec.delivery.flags.leaseSeconds",
        "greater than or equal to 5",
    ),
    _release(
        "lease is a duration",
        {"spec/delivery/flags/leaseSeconds": "60s"},
        "spec.delivery.flags.leaseSeconds",
        "must be of type integer",
    ),
    _release(
        "route in another namespace",
        {"spec/delivery/route/httpRoute": "other/support"},
        "spec.delivery.route.httpRoute",
        "should match",
    ),
    _release(
        "two objects that split the traffic",
        {"spec/delivery/route/virtualService": "support"},
        "spec.delivery.route",
        "only one object may split the traffic",
    ),
    _release(
        "a route of one's own beside an adopted one",
        {"spec/delivery/route/owned": {"parentRefs": [{"name": "edge"}], "port": 80}},
        "spec.delivery.route",
        "only one object may split the traffic",
    ),
    _release(
        "an owned route that no Gateway serves",
        {"spec/delivery/route": {"owned": {"parentRefs": [], "port": 80}}},
        "spec.delivery.route.owned.parentRefs",
        "at least 1 items",
    ),
    _release(
        "an owned route for a regular expression",
        {
            "spec/delivery/route": {
                "owned": {"parentRefs": [{"name": "edge"}], "port": 80, "pathPrefix": "/a.*|/"}
            }
        },
        "spec.delivery.route.owned.pathPrefix",
        "should match",
    ),
    _release("a route that is none", {"spec/delivery/route": {}}, "spec.delivery.route", "leave route out"),
    _release(
        "a route but nothing to split between",
        {"spec/delivery/slots": GONE},
        "spec.delivery.slots",
        "give slots, or leave route out and let the flags split",
    ),
    _release(
        "a mirror without a route",
        {"spec/delivery/route": GONE, "spec/phases/1/cohort": {"attribute": {"name": "a", "value": "b"}}},
        "spec.phases",
        "without delivery.route no phase can mirror",
    ),
    _release(
        "sessions to drain without a route",
        {
            "spec/delivery/route": GONE,
            "spec/phases/0/mirror": GONE,
            "spec/phases/0/weight": 1,
            "spec/rollback/sessions": {"cookie": "arm"},
        },
        "spec.rollback",
        "leave sessions out",
    ),
    _release(
        "a session told by two things",
        {"spec/rollback/sessions": {"cookie": "arm", "header": "x-arm"}},
        "spec.rollback.sessions",
        "exactly one thing: header or cookie",
    ),
    _release(
        "sessions drained for no time",
        {"spec/rollback/sessions": {"cookie": "arm", "drainFor": "0s"}},
        "spec.rollback.sessions.drainFor",
        "answers: cut",
    ),
    _release(
        "effects undone of more than a day",
        {"spec/watch": {"compensationWindow": "25h"}},
        "spec.watch.compensationWindow",
        "older effects are for people",
    ),
    _release(
        "a cohort by header without a route",
        {"spec/delivery/route": GONE, "spec/phases/0/mirror": GONE, "spec/phases/0/weight": 1},
        "spec.phases",
        "to the flags, where no route splits, by attribute",
    ),
    _release(
        "a cohort by attribute beside a route",
        {"spec/phases/1/cohort": {"attribute": {"name": "audience", "value": "internal"}}},
        "spec.phases",
        "told to a route by header, cookie or claim",
    ),
    _release(
        "an attribute with a path in its name",
        {"spec/phases/1/cohort": {"attribute": {"name": "user.audience", "value": "internal"}}},
        "spec.phases[1].cohort.attribute.name",
        "should match",
    ),
    _release(
        "compensations without slots",
        {
            "spec/delivery/route": GONE,
            "spec/delivery/slots": GONE,
            "spec/phases/0": {"name": "first", "weight": 1, "autonomy": "observe"},
            "spec/phases/1/cohort": GONE,
            "spec/phases/1/weight": 2,
            "spec/rollback/compensations": [{"effect": "write", "hook": "undo"}],
        },
        "spec.rollback",
        "give delivery.slots",
    ),
    _release("no phases", {"spec/phases": []}, "spec.phases", "at least 1 items"),
    _release("phases missing", {"spec/phases": GONE}, "spec.phases", "Required value"),
    _release(
        "weight 101", {"spec/phases/4/weight": 101}, "spec.phases[4].weight", "less than or equal to 100"
    ),
    _release("weight 0", {"spec/phases/2/weight": 0}, "spec.phases[2].weight", "greater than 0"),
    _release("negative weight", {"spec/phases/2/weight": -5}, "spec.phases[2].weight", "greater than 0"),
    _release(
        "weight with a percent sign",
        {"spec/phases/2/weight": "5%"},
        "spec.phases[2].weight",
        "must be of type number",
    ),
    _release(
        "mirror 101", {"spec/phases/0/mirror": 101}, "spec.phases[0].mirror", "less than or equal to 100"
    ),
    _release(
        "two kinds of exposure",
        {"spec/phases/2/mirror": 10},
        "spec.phases[2]",
        "exactly one way: mirror, cohort or weight",
    ),
    _release(
        "no exposure",
        {"spec/phases/2/weight": GONE},
        "spec.phases[2]",
        "exactly one way: mirror, cohort or weight",
    ),
    _release(
        "a mirrored candidate that acts",
        {"spec/phases/0/autonomy": "limited-action"},
        "spec.phases[0].autonomy",
        "a mirrored candidate may only observe",
    ),
    _release(
        "unknown autonomy",
        {"spec/phases/2/autonomy": "yolo"},
        "spec.phases[2].autonomy",
        'supported values: "observe", "suggestion-only", "limited-action", "full-action"',
    ),
    _release(
        "autonomy missing", {"spec/phases/2/autonomy": GONE}, "spec.phases[2].autonomy", "Required value"
    ),
    _release("weight shrinks", {"spec/phases/3/weight": 2}, "spec.phases", "weight must not shrink"),
    _release(
        "autonomy shrinks",
        {"spec/phases/2/autonomy": "full-action"},
        "spec.phases",
        "autonomy must not shrink",
    ),
    _release(
        "cohort after weight",
        {"spec/phases/3/weight": GONE, "spec/phases/3/cohort": {"header": {"name": "x-a", "value": "b"}}},
        "spec.phases",
        "first mirror, then cohort, then weight",
    ),
    _release(
        "mirror shrinks",
        {"spec/phases/1": {"name": "again", "mirror": 10, "autonomy": "observe"}},
        "spec.phases",
        "the mirrored share must not shrink",
    ),
    _release(
        "last phase below 100",
        {"spec/phases/4/weight": 90},
        "spec.phases",
        "the last phase must have weight 100",
    ),
    _release(
        "a stratum above its phase",
        {"spec/phases/1/strata": [{"match": {"risk_tier": "high"}, "autonomy": "full-action"}]},
        "spec.phases[1].strata",
        "a stratum stays at the phase's autonomy or below",
    ),
    _release(
        "a stratum told by a label that no flag sees",
        {"spec/phases/1/strata": [{"match": {"tier": "high"}, "autonomy": "observe"}]},
        "spec.phases[1].strata[0].match",
        "risk_tier, workflow_class or both",
    ),
    _release(
        "a stratum of nobody in particular",
        {"spec/phases/1/strata": [{"match": {}, "autonomy": "observe"}]},
        "spec.phases[1].strata[0].match",
        "at least 1",
    ),
    _release(
        "one stratum twice",
        {"spec/phases/1/strata": [{"match": {"risk_tier": "high"}, "autonomy": "observe"}] * 2},
        "spec.phases[1].strata",
        "two strata of a phase match the same requests",
    ),
    _release(
        "a stratum that shrinks",
        {"spec/phases/3/strata": [{"match": {"risk_tier": "high"}, "autonomy": "observe"}]},
        "spec.phases",
        "a stratum's autonomy must not shrink",
    ),
    _release("two phases of one name", {"spec/phases/3/name": "canary"}, "spec.phases[3]", "Duplicate value"),
    _release("phase without a name", {"spec/phases/3/name": GONE}, "spec.phases[3].name", "Required value"),
    _release(
        "phase name with a space", {"spec/phases/3/name": "half way"}, "spec.phases[3].name", "should match"
    ),
    _release(
        "unknown action on deadline",
        {"spec/phases/2/onDeadline": "promote"},
        "spec.phases[2].onDeadline",
        'supported values: "hold"',
    ),
    _release(
        "onDeadline without a deadline",
        {"spec/phases/2/deadline": GONE},
        "spec.phases[2].deadline",
        "onDeadline without a deadline never happens",
    ),
    _release(
        "deadline before minDuration",
        {"spec/phases/2/deadline": "1h"},
        "spec.phases[2].deadline",
        "deadline must be longer than minDuration",
    ),
    _release(
        "duration in days", {"spec/phases/2/minDuration": "1d"}, "spec.phases[2].minDuration", "should match"
    ),
    _release(
        "duration without a unit",
        {"spec/phases/2/minDuration": "60"},
        "spec.phases[2].minDuration",
        "should match",
    ),
    _release(
        "negative duration",
        {"spec/phases/2/minDuration": "-1h"},
        "spec.phases[2].minDuration",
        "should match",
    ),
    _release(
        "negative samples",
        {"spec/phases/2/minSamples": -1},
        "spec.phases[2].minSamples",
        "greater than or equal to 0",
    ),
    _release(
        "half a sample",
        {"spec/phases/2/minSamples": 0.5},
        "spec.phases[2].minSamples",
        "must be of type int64",
    ),
    _release(
        "approval is a boolean",
        {"spec/phases/3/approval": True},
        "spec.phases[3].approval",
        "must be of type string",
    ),
    _release(
        "approval by a new word",
        {"spec/phases/3/approval": "yes"},
        "spec.phases[3].approval",
        'supported values: "none", "required"',
    ),
    _release(
        "header name with a colon",
        {"spec/phases/1/cohort/header/name": "x:y"},
        "spec.phases[1].cohort.header.name",
        "should match",
    ),
    _release(
        "header value with a line break",
        {"spec/phases/1/cohort/header/value": "a\nb"},
        "spec.phases[1].cohort.header.value",
        "should match",
    ),
    _release(
        "a cohort whose evidence is neither required nor optional",
        {"spec/phases/1/cohort/evidence": "none"},
        "spec.phases[1].cohort.evidence",
        "supported values",
    ),
    _release(
        "a cohort by two things",
        {"spec/phases/1/cohort/cookie": {"name": "beta", "value": "1"}},
        "spec.phases[1].cohort",
        "exactly one thing: header, cookie, claim or attribute",
    ),
    _release(
        "a cohort by nothing",
        {"spec/phases/1/cohort": {}},
        "spec.phases[1].cohort",
        "exactly one thing: header, cookie, claim or attribute",
    ),
    _release(
        "a cookie's value with a semicolon",
        {"spec/phases/1/cohort": {"cookie": {"name": "beta", "value": "1;a=b"}}},
        "spec.phases[1].cohort.cookie.value",
        "should match",
    ),
    _release(
        "a claim by a URL",
        {"spec/phases/1/cohort": {"claim": {"name": "https://a.b/c", "value": "1"}}},
        "spec.phases[1].cohort.claim.name",
        "should match",
    ),
    _release("no guardrails", {"spec/guardrails": []}, "spec.guardrails", "at least 1 items"),
    _release(
        "guardrail names nothing",
        {"spec/guardrails": [{}]},
        "spec.guardrails[0]",
        "exactly one of policy and clusterPolicy",
    ),
    _release(
        "guardrail names two",
        {"spec/guardrails": [{"policy": "a", "clusterPolicy": "b"}]},
        "spec.guardrails[0]",
        "exactly one of policy and clusterPolicy",
    ),
    _release(
        "unknown firstRelease",
        {"spec/firstRelease": "skip"},
        "spec.firstRelease",
        'supported values: "promote", "phases"',
    ),
    _release(
        "rollback budget in words",
        {"spec/rollback/holdBudget": "soon"},
        "spec.rollback.holdBudget",
        "should match",
    ),
    _release("paused in words", {"spec/paused": "yes"}, "spec.paused", "must be of type boolean"),
]

WINDOW = {"days": ["Mon"], "from": "09:00", "to": "16:00", "timeZone": "Europe/Zurich"}
FREEZE = {"first": "2026-12-20", "last": "2027-01-03"}


def _window(wrong: str, changes: dict[str, Any], field: str, words: str) -> Bad:
    return _release(
        f"window: {wrong}", {"spec/windows": [WINDOW | changes]}, f"spec.windows[0]{field}", words
    )


def _freeze(wrong: str, changes: dict[str, Any], field: str, words: str) -> Bad:
    return _release(
        f"freeze: {wrong}", {"spec/freezes": [FREEZE | changes]}, f"spec.freezes[0]{field}", words
    )


TIMES = [
    _window("no days", {"days": []}, ".days", "at least 1 items"),
    _window("a day twice", {"days": ["Mon", "Mon"]}, ".days[1]", "Duplicate value"),
    _window("a day in full", {"days": ["Monday"]}, ".days[0]", 'supported values: "Mon"'),
    _window("hour 25", {"from": "25:00"}, ".from", "should match"),
    _window("never open", {"to": "09:00"}, ".to", "never open"),
    _window("zone with a space", {"timeZone": "Central European"}, ".timeZone", "should match"),
    _freeze("month 13", {"last": "2027-13-01"}, ".last", "must be of type date"),
    _freeze("ends before it begins", {"last": "2026-12-01"}, ".last", "ends before it begins"),
    (
        "approval that ends at a time without a zone",
        changed(approval(), {"spec/expires": "2036-11-30T12:00:00"}),
        "spec.expires",
        "should match",
    ),
]

M = "spec/metrics"
POLICIES = [
    _policy("no metrics", {M: []}, "spec.metrics", "at least 1 items"),
    _policy("no consequence", {f"{M}/0/onBreach": GONE}, "spec.metrics[0].onBreach", "Required value"),
    _policy(
        "unknown action",
        {f"{M}/0/onBreach": "explode"},
        "spec.metrics[0].onBreach",
        'supported values: "notify", "pause"',
    ),
    _policy(
        "unknown class", {f"{M}/0/class": "vibes"}, "spec.metrics[0].class", 'supported values: "safety"'
    ),
    _policy(
        "two measures",
        {f"{M}/0/event": {"metric": "x"}},
        "spec.metrics[0]",
        "exactly one of ratio, event, latency, cost, offline",
    ),
    _policy(
        "no measure",
        {f"{M}/0/ratio": GONE, f"{M}/0/worseWhen": GONE},
        "spec.metrics[0]",
        "exactly one of ratio, event, latency, cost, offline",
    ),
    _policy(
        "ratio with good and bad",
        {f"{M}/0/ratio/bad": {"metric": "x"}},
        "spec.metrics[0].ratio",
        "exactly one of good and bad",
    ),
    _policy(
        "ratio with neither",
        {f"{M}/0/ratio/good": GONE},
        "spec.metrics[0].ratio",
        "exactly one of good and bad",
    ),
    _policy("ratio out of nothing", {f"{M}/0/ratio/of": GONE}, "spec.metrics[0].ratio.of", "Required value"),
    _policy(
        "no tolerance",
        {f"{M}/0/tolerance": GONE, f"{M}/0/maxHarm": GONE},
        "spec.metrics[0].tolerance",
        "set tolerance, or an absolute ceiling or floor",
    ),
    _policy(
        "no maxHarm",
        {f"{M}/3/maxHarm": GONE},
        "spec.metrics[3].maxHarm",
        "set maxHarm, or an absolute ceiling or floor",
    ),
    _policy(
        "half a pair of margins",
        {f"{M}/1/maxHarm": GONE},
        "spec.metrics[1]",
        "tolerance and maxHarm belong together",
    ),
    _policy(
        "tolerance equals maxHarm",
        {f"{M}/0/tolerance/absolute": 0.03},
        "spec.metrics[0].maxHarm",
        "tolerance must be smaller than maxHarm",
    ),
    _policy(
        "tolerance above maxHarm",
        {f"{M}/1/tolerance/relative": 3},
        "spec.metrics[1].maxHarm",
        "tolerance must be smaller than maxHarm",
    ),
    _policy(
        "tolerance above the stratum's maxHarm",
        {f"{M}/1/maxHarmStratum": {"relative": 1.05}},
        "spec.metrics[1].maxHarmStratum",
        "tolerance must be smaller than maxHarmStratum",
    ),
    _policy(
        "maxHarm that is no harm",
        {f"{M}/4/tolerance": {"relative": 0.8}, f"{M}/4/maxHarm": {"relative": 0.9}},
        "spec.metrics[4].maxHarm",
        "maxHarm is no harm",
    ),
    _policy(
        "relative margin too small",
        {f"{M}/1/tolerance/relative": 0.1},
        "spec.metrics[1].tolerance.relative",
        "greater than or equal to 0.5",
    ),
    _policy(
        "absolute margin in percent",
        {f"{M}/0/maxHarm/absolute": 3},
        "spec.metrics[0].maxHarm.absolute",
        "less than or equal to 1",
    ),
    _policy(
        "event with a margin",
        {f"{M}/2/tolerance": {"absolute": 0.1}, f"{M}/2/maxHarm": {"absolute": 0.2}},
        "spec.metrics[2].event",
        "of an event one is enough",
    ),
    _policy(
        "direction against the ratio",
        {f"{M}/0/worseWhen": "higher"},
        "spec.metrics[0].worseWhen",
        "worseWhen contradicts the ratio",
    ),
    _policy(
        "latency that is worse when lower",
        {f"{M}/3/worseWhen": "lower"},
        "spec.metrics[3].worseWhen",
        "are worse when higher",
    ),
    _policy(
        "pairs of a cost",
        {f"{M}/4/pairs": "cost"},
        "spec.metrics[4].pairs",
        "pairs compare two answers that are good or bad each",
    ),
    _policy(
        "an evaluation without anything to reach",
        {f"{M}/0": {k: v for k, v in OFFLINE.items() if k != "floor"}},
        "spec.metrics[0].offline",
        "what must the results reach: set floor or ceiling, or tolerance",
    ),
    _policy(
        "an evaluation with a weight",
        {f"{M}/0": {**OFFLINE, "weight": 0.1}},
        "spec.metrics[0].offline",
        "results over a fixed set are no estimates",
    ),
    _policy(
        "an evaluation with maxHarm",
        {f"{M}/0": {**OFFLINE, "tolerance": {"absolute": 0.1}, "maxHarm": {"absolute": 0.2}}},
        "spec.metrics[0].offline",
        "and no maxHarm",
    ),
    _policy(
        "an evaluation in pairs",
        {f"{M}/0": {**OFFLINE, "pairs": "completion"}},
        "spec.metrics[0].pairs",
        "set them on a ratio or a latency",
    ),
    _policy(
        "an evaluation and a ratio",
        {f"{M}/0/offline": OFFLINE["offline"]},
        "spec.metrics[0]",
        "exactly one of ratio, event, latency, cost, offline",
    ),
    _policy(
        "an evaluation that lets errors pass",
        {f"{M}/0": {**OFFLINE, "offline": {**OFFLINE["offline"], "passing": ["pass", "error"]}}},
        "spec.metrics[0].offline.passing",
        "a case that ended in an error can't be a passing one",
    ),
    _policy(
        "an evaluation of no cases",
        {f"{M}/0": {**OFFLINE, "offline": {**OFFLINE["offline"], "cases": 0}}},
        "spec.metrics[0].offline.cases",
        "greater than or equal to 1",
    ),
    _policy(
        "an evaluation without a number of cases",
        {f"{M}/0": {**OFFLINE, "offline": {"evaluator": "gold"}}},
        "spec.metrics[0].offline.cases",
        "Required value",
    ),
    _policy(
        "an evaluator with a quote",
        {f"{M}/0": {**OFFLINE, "offline": {**OFFLINE["offline"], "evaluator": 'a"b'}}},
        "spec.metrics[0].offline.evaluator",
        "should match",
    ),
    _policy(
        "an evaluation measured by a new word",
        {f"{M}/0": {**OFFLINE, "offline": {**OFFLINE["offline"], "measure": "rank"}}},
        "spec.metrics[0].offline.measure",
        'supported values: "passed", "score"',
    ),
    _policy("pairs with a brace", {f"{M}/0/pairs": "a{b}"}, "spec.metrics[0].pairs", "should match"),
    _policy(
        "unknown direction",
        {f"{M}/0/worseWhen": "sideways"},
        "spec.metrics[0].worseWhen",
        'supported values: "higher", "lower"',
    ),
    _policy(
        "metric name with PromQL",
        {f"{M}/0/ratio/of/metric": "x{a='b'}"},
        "spec.metrics[0].ratio.of.metric",
        "should match",
    ),
    _policy(
        "label with a dash",
        {f"{M}/0/ratio/of/match": {"risk-tier": "high"}},
        "spec.metrics[0].ratio.of.match",
        "a label's name is a letter or underscore",
    ),
    *(
        _policy(
            f"match sets {label}",
            {f"{M}/2/event/match": {label: "x"}},
            "spec.metrics[2].event.match",
            "are set by the operator",
        )
        for label in ("agent", "release", "namespace")
    ),
    _policy("ceiling of 1", {f"{M}/1/ceiling": 1}, "spec.metrics[1].ceiling", "less than 1"),
    _policy("floor of 0", {f"{M}/0/floor": 0}, "spec.metrics[0].floor", "greater than 0"),
    _policy("weights above 1", {f"{M}/1/weight": 0.9}, "spec.metrics", "weights share out one risk"),
    _policy(
        "nothing left for the others",
        {f"{M}/1/weight": 0.7},
        "spec.metrics",
        "leave something for the metrics without a weight",
    ),
    _policy("alpha too large", {f"{M}/1/alpha": 0.5}, "spec.metrics[1].alpha", "less than or equal to 0.2"),
    _policy("falseRollback of 0", {"spec/falseRollback": 0}, "spec.falseRollback", "greater than 0"),
    _policy(
        "falseRollback too large",
        {"spec/falseRollback": 0.5},
        "spec.falseRollback",
        "less than or equal to 0.2",
    ),
    _policy(
        "a stratum's margin without the common one",
        {f"{M}/1/maxHarm": GONE, f"{M}/1/tolerance": GONE},
        "spec.metrics[1].maxHarm",
        "set maxHarm too",
    ),
    _policy(
        "missing requests without a router",
        {
            "spec/metrics/0/ratio": GONE,
            "spec/metrics/0/worseWhen": GONE,
            "spec/metrics/0/missing": {},
        },
        "spec.router",
        "say in `router` where it counts them",
    ),
    _policy(
        "a router that tells no Service from another",
        {"spec/router": {"requests": {"metric": "sent"}, "service": {"cluster": "all"}}},
        "spec.router.service",
        "write {service} in one of the values",
    ),
    _policy(
        "a router's label that breaks out of a query",
        {"spec/router": {"requests": {"metric": "sent"}, "service": {"cluster": '{service}"} or {a="'}}},
        "spec.router.service",
        "should match",
    ),
    _policy(
        "a label window on tasks that count at once",
        {"spec/metrics/0/labelWindow": "10m"},
        "spec.metrics[0].labelWindow",
        "a ratio counts matured tasks",
    ),
    _policy(
        "matured tasks without a window",
        {
            "spec/metrics/0/ratio": {
                "bad": {"metric": "agentrelease_matured_labelled_tasks_total"},
                "of": {"metric": "agentrelease_matured_tasks_total"},
            },
            "spec/metrics/0/worseWhen": "higher",
        },
        "spec.metrics[0].labelWindow",
        "say how long it is",
    ),
    _policy(
        "a label window of a month",
        {"spec/metrics/0/labelWindow": "720h"},
        "spec.metrics[0].labelWindow",
        "between a second and seven days",
    ),
    _policy(
        "a deadline of nothing",
        {"spec/outcomes": {"deadline": "0s"}},
        "spec.outcomes.deadline",
        "between a second and half an hour",
    ),
    _policy(
        "a deadline of a day",
        {"spec/outcomes": {"deadline": "24h"}},
        "spec.outcomes.deadline",
        "longer work is several tasks",
    ),
    _policy("stale at once", {"spec/staleAfter": "0s"}, "spec.staleAfter", "at least a second"),
    _policy("unknown unit", {"spec/unit": "request"}, "spec.unit", 'supported values: "task", "session"'),
    _policy("blind before stale", {"spec/blindAfter": "30s"}, "spec.blindAfter", "staleAfter <= blindAfter"),
    _policy(
        "two metrics of one name", {f"{M}/1/name": "task-completion"}, "spec.metrics[1]", "Duplicate value"
    ),
    _policy(
        "required stratum by an unknown label",
        {"spec/strata/required": [{"tenant": "x"}]},
        "spec.strata.required",
        "names a label that isn't in strata.labels",
    ),
    _policy(
        "empty required stratum", {"spec/strata/required": [{}]}, "spec.strata.required[0]", "at least 1"
    ),
    _policy(
        "a label twice",
        {"spec/strata/labels": ["risk_tier", "risk_tier"]},
        "spec.strata.labels[1]",
        "Duplicate value",
    ),
    _policy(
        "level twice",
        {f"{M}/2/whenAutonomy": ["observe", "observe"]},
        "spec.metrics[2].whenAutonomy[1]",
        "Duplicate value",
    ),
    _policy(
        "latency of nothing",
        {f"{M}/3/latency/slowerThan": "0s"},
        "spec.metrics[3].latency.slowerThan",
        "must be longer than nothing",
    ),
    _policy("cost without a cap", {f"{M}/4/cost/cap": GONE}, "spec.metrics[4].cost.cap", "Required value"),
]

RECORDS = [
    (
        "approval without a digest",
        changed(approval(), {"spec/digest": GONE}),
        "spec.digest",
        "Required value",
    ),
    ("approval of a tag", changed(approval(), {"spec/digest": "latest"}), "spec.digest", "should match"),
    ("approval to nowhere", changed(approval(), {"spec/to": GONE}), "spec.to", "Required value"),
    (
        "approval that goes nowhere",
        changed(approval(), {"spec/to": "canary"}),
        "spec.to",
        "from one phase to another",
    ),
    (
        "approval without an end",
        changed(approval(), {"spec/expires": GONE}),
        "spec.expires",
        "Required value",
    ),
    (
        "approval that ends some day",
        changed(approval(), {"spec/expires": "next week"}),
        "spec.expires",
        "must be of type date-time",
    ),
    ("approval by nobody", changed(approval(), {"spec/approver": ""}), "spec.approver", "at least 1 chars"),
    (
        "revision without a layer",
        changed(revision(), {"spec/bundle/memory": GONE}),
        "spec.bundle.memory",
        "Required value",
    ),
    (
        "revision with a wrong digest",
        changed(revision(), {"spec/digest": "x"}),
        "spec.digest",
        "should match",
    ),
    (
        "incident of no severity",
        changed(incident(), {"spec/severity": "meh"}),
        "spec.severity",
        'supported values: "low"',
    ),
    (
        "incident with an unknown code",
        changed(incident(), {"spec/label/asi": "ASI11"}),
        "spec.label.asi",
        "should match",
    ),
]

BAD: list[Bad] = [*BUNDLES, *RELEASES, *TIMES, *POLICIES, *RECORDS]
