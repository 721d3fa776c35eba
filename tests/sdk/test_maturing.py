"""A task and its late labels are counted together, once, when the time for labels is over."""

from __future__ import annotations

import pytest
from tests.sdk.test_metrics import STRATUM, WHO, samples, total

from agentrelease.sdk import AgentMetrics, Late

MATURED, LABELLED = "agentrelease_matured_tasks_total", "agentrelease_matured_labelled_tasks_total"
UNMATURED = "agentrelease_unmatured_tasks_total"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def agent(clock, **late):
    return AgentMetrics(WHO, late=Late(**({"window": 60.0} | late)), clock=clock)


def work(metrics, request=""):
    with metrics.task(*STRATUM, request=request) as task:
        task.completed()
    return task


def test_a_correction_in_time_counts_with_its_task_and_not_before(clock):
    metrics = agent(clock)
    work(metrics, "a")
    work(metrics, "b")
    clock.now += 59
    assert metrics.label("a", "corrected")
    assert total(metrics, MATURED) == 0
    assert total(metrics, LABELLED) == 0
    clock.now += 1
    assert total(metrics, MATURED, workflow_class="billing") == 2
    assert total(metrics, LABELLED, label="corrected") == 1


def test_a_correction_after_the_window_does_not_count(clock):
    metrics = agent(clock)
    work(metrics, "a")
    clock.now += 60
    assert not metrics.label("a", "corrected")
    assert not metrics.label("nobody", "corrected")
    assert total(metrics, LABELLED) == 0


def test_each_label_counts_once_a_task_and_those_before_its_end_as_well(clock):
    metrics = agent(clock)
    with metrics.task(*STRATUM, request="a") as task:
        task.violation("high", "policy")
    task.corrected("edit")
    assert metrics.label("a", "corrected")
    clock.now += 60
    assert total(metrics, LABELLED, label="violated") == 1
    assert total(metrics, LABELLED, label="corrected") == 1
    assert total(metrics, LABELLED) == 2


def test_a_task_without_an_id_is_labelled_by_whoever_holds_it(clock):
    metrics = agent(clock)
    work(metrics).corrected("edit")
    work(metrics)
    clock.now += 60
    assert total(metrics, MATURED) == 2
    assert total(metrics, LABELLED) == 1


def test_of_too_many_the_oldest_are_given_up_and_counted_as_that(clock):
    metrics = agent(clock, capacity=3)
    for number in range(5):
        work(metrics, str(number))
    assert not metrics.label("1", "corrected")
    assert metrics.label("2", "corrected")
    clock.now += 60
    assert total(metrics, UNMATURED) == 2
    assert total(metrics, MATURED) == 3


def test_what_is_not_mature_when_the_process_ends_was_never_counted(clock):
    metrics = agent(clock)
    work(metrics, "a")
    clock.now += 30
    work(metrics, "b")
    clock.now += 30
    assert total(metrics, MATURED) == 1  # the last scrape


def test_everything_is_at_zero_from_the_start_and_absent_where_nobody_waits(clock):
    assert total(agent(clock), MATURED) == total(agent(clock), LABELLED) == 0
    assert MATURED not in {sample.name for sample in samples(AgentMetrics(WHO))}
    assert not AgentMetrics(WHO).label("a", "corrected")
