"""The hash chain by itself: whatever is done to it is found, and an untouched one holds."""

from __future__ import annotations

import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrelease.api.revision import MAX_DECISIONS, MAX_DROPPED, Dropped, RevisionStatus
from agentrelease.core import copies, packing
from agentrelease.core.chain import Entry, FaultKind, Link, check, name_of
from agentrelease.core.record import digest

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def chain(reasons: list[str], revision: str = "support-1") -> list[Entry]:
    entries: list[Entry] = []
    for sequence, reason in enumerate(reasons, 1):
        content = {
            "sequence": sequence,
            "id": name_of(sequence),
            "at": "2026-11-23T10:00:00.000Z",
            "previous": entries[-1].hash if entries else "",
            "revision": revision,
            "phase": "half",
            "inputs": {"release": {"status": {}}},
            "outcome": {"move": "Keep", "cause": "Collecting", "verdict": "hold", "reason": reason},
        }
        entries.append(Entry(content, digest(content)))
    return entries


def links(entries: list[Entry]) -> list[Link]:
    return [Link.of(copy.deepcopy(dict(entry.content)), entry.hash) for entry in entries]


CHAINS = st.lists(TEXTS, min_size=3, max_size=12).map(chain)


@given(CHAINS)
def test_an_untouched_chain_holds_even_where_entries_were_told_twice(entries):
    found = links(entries)
    assert check(found, entries[-1].head) == ()
    assert check([*found[:2], found[1], *found[2:], found[-1]], entries[-1].head) == ()


@given(CHAINS, st.data())
def test_a_changed_entry_is_found_even_when_its_hash_was_made_to_fit(entries, data):
    place = data.draw(st.integers(0, len(entries) - 1))
    content = copy.deepcopy(dict(entries[place].content))
    content["outcome"]["reason"] += "!"
    for stated in (entries[place].hash, digest(content)):
        found = links(entries)
        found[place] = Link.of(content, stated)
        faults = check(found, entries[-1].head)
        assert (faults[0].kind, faults[0].id) == (FaultKind.CHANGED, name_of(place + 1))


@given(CHAINS, st.data())
def test_a_missing_entry_is_found_wherever_it_was(entries, data):
    place = data.draw(st.integers(0, len(entries) - 1))
    found = links(entries)
    del found[place]
    assert [(f.kind, f.id) for f in check(found, entries[-1].head)] == [
        (FaultKind.MISSING, name_of(place + 1))
    ]


@given(CHAINS, st.data())
def test_entries_that_changed_places_are_found(entries, data):
    first = data.draw(st.integers(0, len(entries) - 2))
    second = data.draw(st.integers(first + 1, len(entries) - 1))
    found = links(entries)
    found[first], found[second] = found[second], found[first]
    faults = check(found, entries[-1].head)
    assert {f.kind for f in faults} == {FaultKind.REORDERED}
    assert name_of(first + 1) in {f.id for f in faults}


@given(CHAINS, st.data())
def test_an_entry_under_another_number_is_found(entries, data):
    place = data.draw(st.integers(0, len(entries) - 1))
    found = links(entries)
    moved = found[place]
    found[place] = Link(len(entries) + 1, moved.hash, moved.previous, moved.entry)
    assert check(found, entries[-1].head)


def test_a_gap_of_many_is_one_sentence():
    entries = chain([str(n) for n in range(9)])
    (fault,) = check(links(entries)[6:], entries[-1].head)
    assert fault.sentence == "d-000001 is missing: nothing is there up to d-000006"


def test_a_log_that_goes_on_after_what_the_status_names_was_forged():
    entries = chain(["a", "b", "c"])
    (fault,) = check(links(entries), entries[1].head)
    assert "ends at d-000002" in fault.sentence


def test_a_forged_beginning_is_found_although_everything_after_it_was_made_to_fit():
    honest, forged = chain(["a", "b", "c"]), chain(["x", "b", "c"])
    assert check(links(forged)) == ()
    assert check(links(forged), honest[-1].head)[0].kind is FaultKind.CHANGED


def test_a_log_that_has_not_begun_lacks_nothing():
    assert check([]) == ()


def test_no_log_has_an_entry_before_its_first():
    (first,) = links(chain(["a"]))
    faults = check([Link(0, "", "", None), first])
    assert [(fault.kind, fault.id) for fault in faults] == [(FaultKind.CHANGED, name_of(0))]


# ---- the bounded copy ------------------------------------------------------------------------------


def kept(entries: list[Entry], room: int = copies.ROOM) -> RevisionStatus:
    status = RevisionStatus()
    for entry in entries:
        status = copies.with_entry(status, "support-1", entry, room)
    return status


def test_what_was_packed_is_read_back_and_the_chain_still_holds():
    entries = chain(["<&>", "ü" * 300, ""])
    status = RevisionStatus.model_validate(kept(entries).to_object())
    found = list(copies.links(status))
    assert [link.entry for link in found] == [entry.content for entry in entries]
    assert check(found, entries[-1].head) == ()


@given(st.integers(2_000, 60_000), st.integers(1, 3 * MAX_DECISIONS))
def test_a_copy_never_outgrows_its_room_and_says_what_it_let_go(room, count):
    entries = chain([f"{n}<>&" * 200 for n in range(count)])
    status = kept(entries, room)
    assert sum(copies._size(one) for one in status.decisions) <= room
    assert len(status.decisions) <= MAX_DECISIONS
    found = list(copies.links(status))
    assert check(found, entries[-1].head, copies.dropped([status])) == ()
    if found:
        assert found[-1].sequence == count


def test_what_a_copy_let_go_is_forgotten_by_place_and_does_not_hide_another_gap():
    entries = chain([str(n) for n in range(MAX_DECISIONS + 10)])
    status = kept(entries)
    found = [link for link in copies.links(status) if link.sequence != 30]
    (fault,) = check(found, entries[-1].head, copies.dropped([status]))
    assert fault.id == name_of(30)


def test_a_copy_keeps_so_many_entries_and_lets_the_oldest_go_first():
    status = kept(chain([str(n) for n in range(MAX_DECISIONS)]))
    assert (len(status.decisions), status.dropped) == (MAX_DECISIONS, [])
    status = kept(chain([str(n) for n in range(MAX_DECISIONS + 3)]))
    assert [one.sequence for one in status.decisions] == list(range(4, MAX_DECISIONS + 4))
    assert copies.dropped([status]) == {1, 2, 3}


def test_a_gap_excuses_the_places_in_it_and_no_earlier_one():
    status = RevisionStatus(dropped=[Dropped(first=5, last=6), Dropped(first=9, last=9)])
    assert copies.dropped([status, RevisionStatus()]) == {5, 6, 9}


def test_a_copy_is_measured_as_the_api_server_writes_it():
    """Which escapes ``<``, ``>`` and ``&``: what fits to the byte stays whole, and short when it is short."""

    def written(status: RevisionStatus) -> int:
        text = json.dumps(status.decisions[0].to_object(), ensure_ascii=False)
        return len(re.sub("[<>&]", r"\\u0000", text).encode())

    entries = chain(["<ä> & <b>"])
    whole = kept(entries)
    short = kept(entries, written(whole) - 1)
    assert kept(entries, written(whole)) == whole
    assert [bool(one.entry) for one in (*whole.decisions, *short.decisions)] == [True, False]
    assert kept(entries, written(short)) == short
    gone = kept(entries, written(short) - 1)
    assert (gone.decisions, copies.dropped([gone])) == ([], {1})


def test_a_revision_and_its_copy_never_outgrow_what_an_object_may_have_together():
    small, large = {"spec": "x" * 10}, {"spec": "x" * (copies.WHOLE_OBJECT - 5000)}
    assert copies.room_beside(small) == copies.ROOM
    assert copies.room_beside(large | {"status": "x" * 9999}) == copies.room_beside(large)
    assert copies.room_beside(large) + len(json.dumps(large)) == copies.WHOLE_OBJECT
    assert copies.room_beside({"spec": "x" * copies.WHOLE_OBJECT}) == 0


def test_a_reason_is_cut_to_what_a_revision_may_say():
    (entry,) = chain(["because " * 999])
    entry.content["outcome"]["move"] = "Promote"
    status = RevisionStatus.model_validate(kept([entry]).to_object())
    assert status.reason.startswith("because because")
    assert status.decisions[0].reason.startswith("because because")


def test_an_entry_is_kept_once_however_often_it_is_given():
    entries = chain(["a", "b"])
    assert kept([*entries, *entries]) == kept(entries)


def test_places_beside_each_other_are_one_gap_and_where_there_are_too_many_the_oldest_become_one():
    def gaps(*places: int) -> list[tuple[int, int]]:
        found = []
        for place in places:
            found = copies._gaps(found, place)
        return [(gap.first, gap.last) for gap in found]

    assert gaps(1, 2, 3, 5) == [(1, 3), (5, 5)]
    assert gaps(5, 3, 4) == [(3, 5)]
    assert gaps(3, 3) == [(3, 3)]
    apart = range(1, 3 * MAX_DROPPED + 5, 3)
    assert gaps(*apart[:-1]) == [(1, 4), *((place, place) for place in apart[2:-1])]
    assert gaps(*apart) == [(1, 7), *((place, place) for place in apart[3:])]


def test_places_that_were_let_go_never_outgrow_their_list():
    gaps = []
    for place in range(1, 6 * MAX_DROPPED, 3):
        gaps = copies._gaps(gaps, place)
    assert len(gaps) == MAX_DROPPED


@pytest.mark.parametrize("text", ["!", "AAAA", "eJwDAAAAAAE=", "e30="])
def test_a_packing_that_was_damaged_is_a_changed_entry(text):
    entries = chain(["a", "b", "c"])
    status = kept(entries)
    damaged = [status.decisions[0], status.decisions[1].model_copy(update={"entry": text})]
    status = status.model_copy(update={"decisions": [*damaged, status.decisions[2]]})
    (fault,) = check(list(copies.links(status)), entries[-1].head)
    assert (fault.kind, fault.id) == (FaultKind.CHANGED, name_of(2))


def test_content_that_has_no_canonical_form_and_numbers_out_of_this_world_are_changed_entries():
    entries = chain(["a", "b"])
    found = links(entries)
    found[1] = Link.of({**entries[1].content, "epoch": 2**70}, entries[1].hash)
    assert check(found, entries[-1].head)[0].kind is FaultKind.CHANGED
    found[1] = Link(10**15, entries[1].hash, entries[0].hash, None)
    assert {f.kind for f in check(found, entries[-1].head)} == {FaultKind.CHANGED, FaultKind.MISSING}


def test_a_packing_bomb_is_not_unpacked():
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(b"[" * 50_000_000, 9)).decode()
    assert packing.unpacked(bomb) == {}


@pytest.mark.parametrize(
    ("move", "before", "outcome"),
    [
        ("Promote", {"candidate": {}}, "Promoted"),
        ("Finish", {"candidate": {"outcome": "RolledBack"}}, "RolledBack"),
        ("Finish", {"candidate": {}}, "Superseded"),
        ("Return", {}, "RolledBack"),
    ],
)
def test_how_a_revision_ended_is_said_with_the_time_and_the_reason(move, before, outcome):
    (begun, ended) = chain(["loading it", "because"])
    begun.content["outcome"]["move"], ended.content["outcome"]["move"] = "Start", move
    ended.content["inputs"]["release"]["status"] = before
    status = kept([begun])
    at = ended.content["at"]
    assert (status.started_at, status.ended_at, status.outcome, status.reason) == (at, "", "", "")
    status = kept([begun, ended])
    assert (status.started_at, status.ended_at, status.outcome, status.reason) == (at, at, outcome, "because")
    other = copies.with_entry(RevisionStatus(), "support-2", ended, copies.ROOM)
    assert (other.ended_at, other.outcome) == ("", ""), "an entry about another revision says nothing of this"


def test_an_entry_is_kept_up_to_the_length_that_there_is_room_for():
    content = {"id": name_of(1), "reason": "it is better"}
    text = packing.packed(content, 10_000)
    assert packing.unpacked(text) == content
    assert packing.packed(content, len(text)) == text
    assert packing.packed(content, len(text) - 1) == ""
