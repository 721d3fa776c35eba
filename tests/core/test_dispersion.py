"""Correlated outcomes: seen where they are, not imagined where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from agentrelease.core.dispersion import believed, dispersion, dispersions
from agentrelease.core.evidence import Count


def history(rng: np.random.Generator, rate: float, cluster: int, drift: bool = False) -> list[Count]:
    made = []
    for minute in range(400):
        p = rate * (1 + 0.6 * np.sin(minute / 60)) if drift else rate
        groups = rng.poisson(600 / cluster)
        made.append(Count(cluster * groups, cluster * rng.binomial(groups, p)))
    return made


@pytest.mark.parametrize("cluster", [1, 3, 5])
def test_dispersion_of_clusters_is_their_size(cluster: int) -> None:
    phi, pairs = dispersion([history(np.random.default_rng(1), 0.1, cluster) for _ in range(3)])
    assert phi == pytest.approx(cluster, rel=0.25)
    assert pairs == 600


def test_drift_is_not_dispersion() -> None:
    phi, pairs = dispersion([history(np.random.default_rng(2), 0.1, 1, drift=True)])
    assert believed(phi, pairs) == 1.0


def test_independent_outcomes_are_believed_to_be_independent() -> None:
    rng = np.random.default_rng(3)
    found = [dispersions({"a": [history(rng, 0.1, 1)]})["a"] for _ in range(40)]
    assert sum(phi > 1.0 for phi in found) <= 5


def test_doubt_counts_to_the_safe_side() -> None:
    assert believed(3.0, 200) == pytest.approx(3.3)
    assert believed(1.19, 200) == 1.0
    assert believed(0.4, 200) == 1.0
    assert believed(9.0, 0) == 1.0


def test_rare_metrics_get_at_least_the_median_of_all() -> None:
    rng = np.random.default_rng(4)
    found = dispersions({
        "a": [history(rng, 0.1, 3)], "b": [history(rng, 0.08, 3)], "rare": [[Count(600, 0)] * 400],
    })  # fmt: skip
    assert found["rare"] == sorted(found.values())[1] > 2.0
    assert found["a"] >= found["rare"] or found["b"] >= found["rare"]


def test_blocks_without_traffic_or_harm_say_nothing() -> None:
    assert dispersion([[Count(0, 0), Count(10, 1)], [Count(10, 0), Count(10, 0)], [Count(5, 1)]]) == (1.0, 0)
    assert dispersions({}) == {}
