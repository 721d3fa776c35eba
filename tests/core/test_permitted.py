"""Which level each kind of request has, and what is forbidden there."""

from agentrelease.api.phase import PhaseStratum
from agentrelease.api.status import Candidate
from agentrelease.api.vocabulary import Action, Autonomy, MetricClass
from agentrelease.core import strata
from agentrelease.core.exposure import Exposure
from agentrelease.core.guardrails import Guardrail, Kind
from agentrelease.core.permitted import Levels, falls, of_candidate

HIGH = PhaseStratum(match={"risk_tier": "high"}, autonomy=Autonomy.SUGGESTION_ONLY)
LEVELS = Levels.of(Autonomy.LIMITED_ACTION, [HIGH])


def event(*when: Autonomy) -> Guardrail:
    return Guardrail(
        "forbidden", MetricClass.SAFETY, Kind.EVENT, Action.ROLLBACK, when_autonomy=frozenset(when)
    )


def exposed(level: Autonomy, *held: PhaseStratum) -> Exposure:
    return Exposure(weight=50.0, autonomy=level, strata=strata.of(held, level, ()))


def test_a_counter_belongs_to_a_stratum_only_where_it_says_so() -> None:
    assert LEVELS.at({"risk_tier": "high", "audience": "external"}) is Autonomy.SUGGESTION_ONLY
    assert LEVELS.at({"risk_tier": "low"}) is Autonomy.LIMITED_ACTION
    assert LEVELS.at({}) is Autonomy.LIMITED_ACTION
    assert Levels.read(LEVELS.rest, LEVELS.text) == LEVELS
    assert Levels.read(Autonomy.OBSERVE, Levels(Autonomy.OBSERVE).text) == Levels(Autonomy.OBSERVE)


def test_where_the_rest_may_act_only_a_stratums_own_counters_may_not_grow() -> None:
    suggesting = event(Autonomy.OBSERVE, Autonomy.SUGGESTION_ONLY)
    assert list(LEVELS.forbidding(suggesting)) == [(("risk_tier", "high"),)]
    assert list(LEVELS.forbidding(event(Autonomy.LIMITED_ACTION))) == [()]
    assert list(LEVELS.forbidding(event())) == [()]
    assert not list(LEVELS.forbidding(event(Autonomy.OBSERVE)))


def test_until_a_lowering_is_taken_up_the_level_before_it_counts_for_each_kind_of_request() -> None:
    acted = Candidate(
        revision="r", digest="d", slot="green", permitted=Autonomy.LIMITED_ACTION, permitted_strata=[]
    )
    lower = exposed(Autonomy.LIMITED_ACTION, HIGH)
    assert falls(lower, acted)
    assert of_candidate(lower, acted).at({"risk_tier": "high"}) is Autonomy.LIMITED_ACTION
    suggested = acted.model_copy(update={"permitted": Autonomy.SUGGESTION_ONLY})
    assert not falls(lower, suggested)
    assert of_candidate(lower, suggested) == LEVELS


def test_the_levels_of_strata_are_told_beside_the_rests() -> None:
    assert LEVELS.lower == {Autonomy.SUGGESTION_ONLY}
    assert Levels(Autonomy.OBSERVE).lower == frozenset()


def test_a_stratum_of_several_labels_needs_all_of_them() -> None:
    both = PhaseStratum(match={"risk_tier": "high", "region": "eu"}, autonomy=Autonomy.OBSERVE)
    levels = Levels.of(Autonomy.LIMITED_ACTION, [both])
    assert levels.at({"risk_tier": "high", "region": "eu"}) is Autonomy.OBSERVE
    assert levels.at({"risk_tier": "high", "region": "us"}) is Autonomy.LIMITED_ACTION
