"""Which revision serves a session, as an agent reads it where no route splits."""

import time

import pytest

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.exposure import Cohort
from agentrelease.edges.flags.document import FlagSet, Grant
from agentrelease.edges.flags.share import Share
from agentrelease.sdk import AgentMetrics, Identity, Serving, page_of

STABLE, CANDIDATE = "support-aaaaaaaaaa", "support-bbbbbbbbbb"
INTERNAL = Cohort("audience", "internal", attribute=True)
SESSIONS = [f"session-{number}" for number in range(300)]


@pytest.fixture(autouse=True)
def quiet_provider(caplog):
    caplog.set_level("CRITICAL", logger="openfeature")


def document(weight, version=1, lease=None, **changes):
    until = int(lease or time.time() + 3600)
    candidate = Grant(CANDIDATE, Autonomy.SUGGESTION_ONLY, lease_until=until)
    share = Share(weight, 100, INTERNAL, "support-green")
    known = {"splits": True, "share": share, "service": "support-blue"} | changes
    return FlagSet("support", version, Grant(STABLE, Autonomy.FULL_ACTION), candidate, **known).document()


def test_a_session_gets_a_revision_its_service_and_what_that_revision_may_do(flag_file, read_flags):
    flag_file.write(document(0))
    flags = read_flags("")
    chosen = flags.serving("s1", {"audience": "internal"})
    assert chosen == Serving(CANDIDATE, "support-green")
    assert flags.serving("s1") == Serving(STABLE, "support-blue")
    assert flags.of(CANDIDATE).permissions("s1").autonomy is Autonomy.SUGGESTION_ONLY
    assert flags.of(STABLE).permissions("s1").autonomy is Autonomy.FULL_ACTION
    assert flags.permissions("s1").autonomy is Autonomy.OBSERVE


def test_a_conversation_keeps_its_revision_while_the_share_grows_and_leaves_it_on_a_rollback(
    flag_file, read_flags, eventually
):
    flags = read_flags("")
    before: set[str] = set()
    for version, weight in enumerate((0, 10, 50, 100), 1):
        flag_file.write(document(weight, version))
        eventually(lambda expected=weight: near(flags, expected))
        now = met(flags)
        assert before <= now
        before = now
    flag_file.write(document(0, 9, share=None))
    eventually(lambda: not met(flags))


def near(flags, weight):
    return abs(len(met(flags)) / len(SESSIONS) - weight / 100) < 0.1


def met(flags):
    return {one for one in SESSIONS if (found := flags.serving(one)) and found.revision == CANDIDATE}


def test_a_share_ends_with_its_lease_without_anybodys_help(flag_file, read_flags, eventually):
    lease = int(time.time()) + 2
    flag_file.write(document(100, lease=lease))
    flags = read_flags("")
    assert flags.serving("s1") == Serving(CANDIDATE, "support-green")
    eventually(lambda: flags.serving("s1") == Serving(STABLE, "support-blue"))
    assert time.time() >= lease


@pytest.mark.parametrize("session", ["", None, 7, ["s1"]])
def test_who_names_no_session_gets_what_serves(session, flag_file, read_flags):
    flag_file.write(document(100))
    assert read_flags("").serving(session) in (Serving(STABLE, "support-blue"), None)


def test_nobody_is_chosen_where_a_route_splits_or_there_is_no_document(flag_file, read_flags):
    assert read_flags("").serving("s1") is None
    flag_file.write(FlagSet("support", 1, Grant(STABLE)).document())
    assert read_flags("").serving("s1") is None


def test_before_the_first_promotion_nobody_serves(flag_file, read_flags):
    flag_file.write(FlagSet("support", 1, splits=True).document())
    assert read_flags("").serving("s1") == Serving("", "")


@pytest.mark.parametrize("value", [{}, {"revision": 5, "service": ""}, {"revision": "a"}])
def test_what_is_not_understood_chooses_nobody(value, flag_file, read_flags):
    wrong = document(0)
    wrong["flags"]["support.release"]["variants"]["stable"] = value
    flag_file.write(wrong)
    assert read_flags("").serving("s1") is None


def test_one_page_tells_of_every_release_that_a_process_serves():
    both = [AgentMetrics(Identity("support", name, "sha256:0")) for name in (STABLE, CANDIDATE)]
    with both[1].task("billing", "low", "external") as task:
        task.completed()
    page = page_of(both).decode()
    assert page.count("# TYPE agentrelease_tasks_total counter") == 1
    told = [line for line in page.splitlines() if line.startswith("agentrelease_info{")]
    assert [STABLE in told[0], CANDIDATE in told[1]] == [True, True]
    counted = f'release="{CANDIDATE}",risk_tier="low",workflow_class="billing"}} 1.0'
    assert any(
        line.startswith("agentrelease_tasks_total") and counted in line and 'outcome="completed"' in line
        for line in page.splitlines()
    )
