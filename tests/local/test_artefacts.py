"""What is built once is built once, whole, and again when what it is made from changes."""

from __future__ import annotations

import threading

import pytest

from agentrelease.local import builds
from agentrelease.local.artefacts import Artefact, digest, ensure


def test_it_is_made_once(tmp_path):
    made = []

    def make(target):
        made.append(target)
        target.write_text("x")

    thing = Artefact(tmp_path / "thing", "k")
    assert ensure(thing, make).read_text() == "x"
    assert ensure(thing, make).read_text() == "x"
    assert len(made) == 1


def test_another_key_makes_it_again():
    assert digest("a", "bc") != digest("ab", "c")


def test_a_directory_is_replaced_as_a_whole(tmp_path):
    def make(name):
        def write(target):
            target.mkdir()
            (target / name).touch()

        return write

    ensure(Artefact(tmp_path / "thing", "1"), make("old"))
    ensure(Artefact(tmp_path / "thing", "2"), make("new"))
    assert [found.name for found in (tmp_path / "thing").iterdir()] == ["new"]


def test_an_attempt_that_fails_leaves_what_was_there(tmp_path):
    ensure(Artefact(tmp_path / "thing", "1"), lambda target: target.write_text("good"))

    def fail(target):
        target.write_text("half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        ensure(Artefact(tmp_path / "thing", "2"), fail)
    assert (tmp_path / "thing").read_text() == "good"
    assert not Artefact(tmp_path / "thing", "2").fresh


def test_two_that_want_it_at_once_make_it_once(tmp_path):
    making, finish = threading.Event(), threading.Event()
    made = []

    def make(target):
        made.append(target)
        making.set()
        assert finish.wait(30)
        target.write_text("x")

    thing = Artefact(tmp_path / "thing", "k")
    first = threading.Thread(target=ensure, args=(thing, make))
    first.start()
    assert making.wait(30)
    second = threading.Thread(target=ensure, args=(thing, make))
    second.start()
    finish.set()
    first.join()
    second.join()
    assert len(made) == 1


def test_a_name_that_is_not_built_is_told_apart(capsys):
    assert builds.main(["controlplan"]) == 2
    assert "nothing is called controlplan; there are controlplane" in capsys.readouterr().err
