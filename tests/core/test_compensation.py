"""Which effects have to be undone, and in which order."""

from hypothesis import given
from hypothesis import strategies as st

from agentrelease.api.bundle import Tool
from agentrelease.api.vocabulary import Effect
from agentrelease.core.compensation import (
    PART,
    Bits,
    Bounds,
    EffectRecord,
    belonging,
    due,
    missed,
    older,
    to_let_go,
)

SCHEMA = "sha256:" + "a" * 64
TOOLS = [
    Tool(name="note", schema=SCHEMA, effect="write"),
    Tool(name="pay", schema=SCHEMA, effect="irreversible"),
]
BOTH = Bounds("r-1", 100.0, frozenset({Effect.WRITE, Effect.IRREVERSIBLE}))


def record(seq, *, tool="note", session="s", moment=200.0, release="r-1", disposition="executed"):
    name = f"log-{seq}"
    return EffectRecord(
        name, "log", seq, tool, Effect.WRITE, session, release, disposition, "", moment, "sha256:0"
    )


@given(st.sets(st.integers(0, 10_000)))
def test_a_set_of_places_survives_its_text(places):
    bits = Bits()
    for place in places:
        bits = bits.with_(place)
    again = Bits.from_text(str(bits))
    assert again == bits
    assert len(again) == len(places)
    assert all(place in again for place in places)
    assert len(str(bits)) <= 2048


def test_a_set_takes_no_more_text_than_its_highest_place_needs():
    assert [len(str(Bits().with_(place))) for place in (0, 23, 24)] == [4, 4, 8]
    assert str(Bits()) == ""


def test_a_damaged_set_is_empty_so_that_effects_are_undone_again():
    assert len(Bits.from_text("not base64!")) == 0


def test_the_class_is_the_bundles_and_an_unknown_tool_is_irreversible():
    found = belonging([record(1, tool="pay"), record(2, tool="other"), record(3)], BOTH, TOOLS, ())
    assert [one.effect for one in found] == [Effect.IRREVERSIBLE, Effect.IRREVERSIBLE, Effect.WRITE]


def test_what_did_not_happen_or_not_here_or_not_now_does_not_belong():
    records = [
        record(1, disposition="suggested"),
        record(2, release="r-2"),
        record(3, moment=90.0),
        record(4),
        record(5, disposition="approved"),
    ]
    assert [one.seq for one in belonging(records, BOTH, TOOLS, {"log-4"})] == [5]


def test_a_class_without_a_hook_does_not_belong():
    only = Bounds("r-1", 100.0, frozenset({Effect.WRITE}))
    assert [one.seq for one in belonging([record(1), record(2, tool="pay")], only, TOOLS, ())] == [1]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=20))
def test_within_a_session_everything_is_undone_newest_first(drawn):
    book = [record(n, session=session, moment=float(moment)) for n, (session, moment) in enumerate(drawn)]
    settled, order = Bits(), []
    while places := list(due(book, settled, {}, 0.0)):
        assert len({book[place].session for place in places}) == len(places)
        for place in places:
            settled = settled.with_(place)
            order.append(place)
    assert sorted(order) == list(range(len(book)))
    for session in "abc":
        own = [(book[p].moment, book[p].seq) for p in order if book[p].session == session]
        assert own == sorted(own, reverse=True)


def test_a_waiting_effect_holds_up_its_own_session_only():
    book = [record(1, moment=1.0), record(2, moment=2.0), record(3, session="other", moment=0.0)]
    assert list(due(book, Bits(), {1: 50.0}, 10.0)) == [2]
    assert list(due(book, Bits(), {1: 50.0}, 50.0)) == [1, 2]
    assert list(due(book, Bits().with_(1), {}, 10.0)) == [0, 2]


def test_effects_without_a_session_depend_on_nothing():
    book = [record(1, session=""), record(2, session="")]
    assert list(due(book, Bits(), {1: 99.0}, 0.0)) == [0]


def test_records_that_a_log_dropped_before_they_were_read_are_missed():
    assert [missed(0, 1), missed(3, 4), missed(3, 6), missed(9, 2)] == [0, 0, 2, 0]


def test_what_happened_before_it_counts_stays_and_the_agents_clock_may_be_a_little_behind():
    book = [record(1, moment=94.9), record(2, moment=95.0), record(3, moment=90.0)]
    assert [place in older(book, 100.0) for place in range(3)] == [True, False, True]


def test_only_whole_parts_that_are_too_old_are_let_go():
    old = [record(n, moment=10.0) for n in range(PART + 3)]
    assert to_let_go(old[: PART - 1], 100.0) == 0
    assert to_let_go(old, 100.0) == PART
    assert to_let_go([record(0), *old], 100.0) == 0
    assert to_let_go(old, 10.0) == 0
