"""Whose clock ends a lease: that of the agent that evaluates it, so a skew moves the end by just itself."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest

from agentrelease.api.vocabulary import Autonomy

EVALUATOR = "openfeature.contrib.tools.flagd.core.targeting.targeting"


@pytest.mark.parametrize("skew", [-10, 0, 10])
def test_a_skewed_clock_moves_the_end_of_a_lease_by_just_that(
    skew, flag_file, read_flags, eventually, monkeypatch
):
    operators_time = int(time.time())
    until = operators_time + 60
    monkeypatch.setattr(sys.modules[EVALUATOR], "time", SimpleNamespace(time=lambda: operators_time + skew))
    flag_file.write(flag_file.document(lease=until))
    flags = read_flags()
    eventually(lambda: flags.permissions("s1").autonomy is Autonomy.LIMITED_ACTION)
    for passed, level in ((60 - skew - 1, Autonomy.LIMITED_ACTION), (60 - skew, Autonomy.OBSERVE)):
        agents_time = operators_time + passed + skew
        monkeypatch.setattr(sys.modules[EVALUATOR], "time", SimpleNamespace(time=lambda at=agents_time: at))
        assert flags.permissions("s1").autonomy is level
