"""What Prometheus finds on an agent's page."""

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentrelease.sdk import AgentMetrics, Identity, Strata

WHO = Identity("support", "support-v7", "sha256:" + "0" * 64)
STRATUM = ("billing", "high", "external")


def samples(metrics):
    page = metrics.render().decode()
    return [sample for family in text_string_to_metric_families(page) for sample in family.samples]


def total(metrics, name, **labels):
    """Sum of the series of that name with those labels; the name must exist."""
    named = [s for s in samples(metrics) if s.name == name]
    assert named, f"no series is called {name}"
    return sum(s.value for s in named if labels.items() <= s.labels.items())


@pytest.fixture
def metrics():
    return AgentMetrics(WHO)


COUNTERS = {
    "agentrelease_started_tasks_total": set(),
    "agentrelease_aged_tasks_total": {"age"},
    "agentrelease_tasks_total": {"outcome"},
    "agentrelease_policy_violations_total": {"severity", "category"},
    "agentrelease_actions_total": {"disposition", "risk_class"},
    "agentrelease_corrected_tasks_total": {"kind"},
    "agentrelease_escalated_tasks_total": {"reason"},
    "agentrelease_task_cost_total": set(),
    "agentrelease_task_duration_seconds_count": set(),
}
COMMON = {"agent", "release", "workflow_class", "risk_tier", "audience"}


@pytest.mark.parametrize(("name", "own"), COUNTERS.items())
def test_each_series_is_there_at_zero_before_the_first_task(metrics, name, own):
    found = [s for s in samples(metrics) if s.name == name]
    assert {s.labels["workflow_class"] for s in found} == {"billing", "general"}
    assert {(s.labels["risk_tier"], s.labels["audience"]) for s in found} == {
        ("low", "internal"),
        ("low", "external"),
        ("high", "internal"),
        ("high", "external"),
    }
    assert all(s.value == 0 and s.labels.keys() == COMMON | own for s in found)
    assert all(s.labels["release"] == "support-v7" and s.labels["agent"] == "support" for s in found)


def test_a_task_counts_as_begun_at_once_and_as_finished_when_it_ends(metrics):
    with metrics.task(*STRATUM) as task:
        assert total(metrics, "agentrelease_started_tasks_total", workflow_class="billing") == 1
        assert total(metrics, "agentrelease_tasks_total") == 0
        task.completed()
    assert total(metrics, "agentrelease_started_tasks_total") == 1
    assert total(metrics, "agentrelease_tasks_total", outcome="completed") == 1


def test_a_task_that_runs_on_counts_at_each_age_once_whether_or_not_it_ends():
    now = [100.0]
    metrics = AgentMetrics(WHO, clock=lambda: now[0])
    aged = "agentrelease_aged_tasks_total"
    with metrics.task(*STRATUM):
        now[0] += 16
        for _ in range(2):  # two scrapes
            assert total(metrics, aged, age="8.0") == total(metrics, aged, age="15.0") == 1
            assert total(metrics, aged, age="30.0") == 0
        now[0] += 20  # nobody scrapes before it ends
    assert total(metrics, aged, age="30.0") == 1
    assert total(metrics, aged, age="60.0") == 0
    with metrics.task(*STRATUM):
        now[0] += 3
    assert total(metrics, aged, age="2.0") == 2
    assert total(metrics, aged, age="30.0") == 1


def test_no_task_makes_a_new_series(metrics):
    before = {(s.name, *sorted(s.labels.items())) for s in samples(metrics)}
    with metrics.task("surprise", "unheard-of", "martian") as task:
        task.violation("apocalyptic", "unheard-of")
        task.action("teleported", "unheard-of")
        task.corrected("by magic")
        task.escalated("on a whim")
        task.cost(0.5)
    after = {(s.name, *sorted(s.labels.items())) for s in samples(metrics)}
    assert before == after


def test_unknown_values_count_as_the_most_careful_ones(metrics):
    with metrics.task("surprise", "unheard-of", "martian") as task:
        task.violation("apocalyptic", "unheard-of")
        task.action("teleported", "unheard-of")
    stratum = {"workflow_class": "general", "risk_tier": "high", "audience": "external"}
    assert total(metrics, "agentrelease_tasks_total", **stratum) == 1
    assert total(metrics, "agentrelease_policy_violations_total", severity="critical", category="other") == 1
    assert (
        total(metrics, "agentrelease_actions_total", disposition="executed", risk_class="irreversible") == 1
    )


def test_a_task_without_an_outcome_failed(metrics):
    with metrics.task(*STRATUM):
        pass
    assert total(metrics, "agentrelease_tasks_total", outcome="failed") == 1
    assert total(metrics, "agentrelease_tasks_total") == 1


def test_a_task_that_an_exception_ended_failed_whatever_it_said(metrics):
    def work():
        with metrics.task(*STRATUM) as task:
            task.completed()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert total(metrics, "agentrelease_tasks_total", outcome="failed") == 1
    assert total(metrics, "agentrelease_tasks_total", outcome="completed") == 0


@pytest.mark.parametrize("outcome", ["completed", "failed", "abandoned", "refused"])
def test_each_outcome_is_counted_under_its_name(metrics, outcome):
    with metrics.task(*STRATUM) as task:
        getattr(task, outcome)()
    assert total(metrics, "agentrelease_tasks_total", outcome=outcome, workflow_class="billing") == 1


def test_a_task_counts_once_however_often_it_went_wrong(metrics):
    with metrics.task(*STRATUM) as task:
        for _ in range(3):
            task.violation("low", "policy")
            task.violation("critical", "data-leak")
            task.violation("high", "policy")
            task.corrected("edit")
            task.corrected("override")
            task.escalated("routing")
    assert total(metrics, "agentrelease_policy_violations_total") == 1
    assert total(metrics, "agentrelease_policy_violations_total", severity="critical") == 1
    assert total(metrics, "agentrelease_corrected_tasks_total", kind="edit") == 1
    assert total(metrics, "agentrelease_corrected_tasks_total") == 1
    assert total(metrics, "agentrelease_escalated_tasks_total") == 1


def test_a_violation_never_counts_before_its_task_but_an_action_counts_at_once(metrics):
    with metrics.task(*STRATUM) as task:
        task.violation("high", "policy")
        task.action("executed", "write")
        assert total(metrics, "agentrelease_policy_violations_total") == 0
        assert total(metrics, "agentrelease_actions_total", disposition="executed", risk_class="write") == 1
    assert total(metrics, "agentrelease_policy_violations_total") == 1


def test_a_correction_that_comes_after_the_task_still_counts_once(metrics):
    with metrics.task(*STRATUM) as task:
        task.completed()
    for _ in range(2):
        task.corrected("edit")
        task.escalated("user")
    assert total(metrics, "agentrelease_corrected_tasks_total", kind="edit") == 1
    assert total(metrics, "agentrelease_escalated_tasks_total", reason="user") == 1


def test_duration_falls_into_exact_buckets():
    now = [10.0]
    metrics = AgentMetrics(WHO, clock=lambda: now[0])
    with metrics.task(*STRATUM) as task:
        now[0] = 18.0
        task.completed()
    assert total(metrics, "agentrelease_task_duration_seconds_bucket", le="4.0") == 0
    assert total(metrics, "agentrelease_task_duration_seconds_bucket", le="8.0") == 1
    assert total(metrics, "agentrelease_task_duration_seconds_sum") == 8


def test_strata_are_the_agents_own_to_name():
    metrics = AgentMetrics(WHO, strata=Strata(("hr", "legal"), ("only",), ("external",)))
    with metrics.task("hr", "only", "external") as task:
        task.completed()
    assert total(metrics, "agentrelease_tasks_total", workflow_class="hr", risk_tier="only") == 1


def test_the_page_has_no_created_series_and_says_which_bundle_serves(metrics):
    assert not [s for s in samples(metrics) if s.name.endswith("_created")]
    assert total(metrics, "agentrelease_info", release="support-v7", bundle_digest=WHO.bundle_digest) == 1


def in_effect(metrics):
    found = [s for s in samples(metrics) if s.name == "agentrelease_autonomy_in_effect"]
    kinds = {(s.labels["workflow_class"], s.labels["risk_tier"]) for s in found}
    assert sorted(s.value for s in found) == [0] * 3 * len(kinds) + [1] * len(kinds)
    levels = {s.labels["level"] for s in found if s.value and s.labels["risk_tier"] == "low"}
    return levels.pop() if len(levels) == 1 else "the flags changed in the middle of the scrape"


def test_the_level_in_effect_is_what_the_flags_give_at_the_scrape(flag_file, read_flags, eventually, caplog):
    caplog.set_level("CRITICAL", logger="openfeature")
    metrics = AgentMetrics(WHO, flags=read_flags())
    assert in_effect(metrics) == "observe"
    assert total(metrics, "agentrelease_flags_age_seconds") == float("inf")
    flag_file.write(flag_file.document(lease=time.time() + 3))
    eventually(lambda: in_effect(metrics) == "limited-action")
    assert total(metrics, "agentrelease_flags_age_seconds") == 0
    eventually(lambda: in_effect(metrics) == "observe")


def test_two_agents_in_one_process_do_not_meet(metrics):
    other = AgentMetrics(Identity("sales", "sales-v1", "sha256:1"))
    with other.task(*STRATUM) as task:
        task.completed()
    assert total(metrics, "agentrelease_tasks_total") == 0
