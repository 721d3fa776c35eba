"""The observer and the screen over hand-made objects, as a watch would have left them."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges.flags.document import FlagSet, Grant, text
from agentrelease.local.demo_exposure import Reach
from agentrelease.local.demo_observer import Observer
from agentrelease.local.demo_screen import Screen, served
from agentrelease.local.kubeapi import KubeApi
from agentrelease.local.reflector import Reflector
from agentrelease.local.traffic import Served, Traffic

EXAMPLES = Path(__file__).parents[2] / "examples" / "support-agent"
DIGEST = "sha256:" + "0" * 64
OLD = {"revision": "support-old", "digest": DIGEST, "slot": "blue", "autonomy": "full-action"}
NEW = {
    "revision": "support-new",
    "digest": DIGEST,
    "slot": "green",
    "stage": "Running",
    "phaseIndex": 2,
    "phaseName": "canary-10",
}


@pytest.fixture
def observer():
    made = Observer(Path("none"), "support", "support")
    for plural in ("agentreleases", "httproutes", "configmaps"):
        made._mirrors[plural] = Reflector(KubeApi(Path("none")), "/", made.changed.set)
    return made


def put(observer: Observer, plural: str, name: str, obj: dict) -> None:
    observer._mirrors[plural].objects["support", name] = obj


def see(observer: Observer, version: int, weight: int, level: Autonomy, **status) -> None:
    """What three watches bring when the candidate has this weight and level."""
    spec = yaml.safe_load((EXAMPLES / "v2.yaml").read_text())["spec"]
    meta = {"name": "support", "namespace": "support", "uid": "u", "resourceVersion": str(version)}
    put(
        observer,
        "agentreleases",
        "support",
        {"metadata": meta, "spec": spec, "status": {"stable": OLD, **status}},
    )
    arms = [{"name": "support-blue", "weight": 100 - weight}, {"name": "support-green", "weight": weight}]
    put(observer, "httproutes", "support", {"spec": {"rules": [{"backendRefs": arms}]}})
    grants = FlagSet(
        "support", version, Grant("support-old", Autonomy.FULL_ACTION), Grant("support-new", level)
    )
    put(observer, "configmaps", "support-flags", {"data": {"support.flagd.json": text(grants.document())}})
    observer._note(float(version))


def test_exposure_of_every_revision_is_noted_when_it_changes_and_only_then(observer):
    see(observer, 1, 0, Autonomy.OBSERVE, candidate=NEW)
    see(observer, 2, 10, Autonomy.SUGGESTION_ONLY, candidate=NEW)
    see(observer, 3, 10, Autonomy.SUGGESTION_ONLY, candidate=NEW)
    see(observer, 4, 0, Autonomy.OBSERVE)  # rolled back: the status names it no more, its slot still holds it
    new = [sighting for sighting in observer.sightings if sighting.revision == "support-new"]
    assert [(s.at, s.reach, s.autonomy) for s in new] == [
        (1.0, Reach(), "observe"),
        (2.0, Reach(weight=10.0), "suggestion-only"),
        (4.0, Reach(), "observe"),
    ]
    assert observer.exposed("support-new").safe == 4.0
    assert observer.exposed("support-old").safe is None


def traffic_so_far() -> Traffic:
    traffic = Traffic("http://127.0.0.1:1/task")
    traffic.totals.sent = 41
    traffic.totals.releases["support-old"] = Served(answers=40)
    return traffic


async def test_without_a_terminal_a_change_is_a_line_with_its_time(observer):
    told = asyncio.Event()

    class Told(io.StringIO):
        def flush(self) -> None:
            told.set()

    console = Console(file=Told(), width=120)
    screen = Screen(console)
    async with screen.following("v2", observer, traffic_so_far()):
        see(observer, 1, 0, Autonomy.OBSERVE, candidate=NEW, verdict="Soaking", reason="2 s of 5s are over")
        observer.changed.set()
        async with asyncio.timeout(10):
            await told.wait()
    [line] = console.file.getvalue().splitlines()
    assert line.startswith("[")
    assert line.endswith("s]   canary-10, phase 3 of 6: Soaking: 2 s of 5s are over")


def test_on_a_terminal_the_picture_fits_between_its_title_and_the_traffic(observer):
    see(
        observer,
        1,
        10,
        Autonomy.SUGGESTION_ONLY,
        candidate=NEW,
        verdict="Soaking",
        reason="2 s of 5s are over",
    )
    console = Console(file=io.StringIO(), width=80, height=24)
    console.print(Screen(console)._drawn("v2: better", observer, traffic_so_far()))
    lines = console.file.getvalue().splitlines()
    assert lines[0].startswith("v2: better")
    assert lines[-1] == "traffic: 41 requests; answered by support-old 40"
    assert any("canary-10, phase 3 of 6" in line for line in lines)
    assert len(lines) < 24


def test_failed_requests_are_said():
    traffic = traffic_so_far()
    traffic.totals.failed = 3
    assert served(traffic) == "traffic: 41 requests, 3 failed; answered by support-old 40"


def test_a_command_is_printed_as_one_would_type_it():
    console = Console(file=io.StringIO(), width=80)
    Screen(console).command(["kubectl", "apply", "-f", "a file.yaml"])
    assert console.file.getvalue().endswith("$ kubectl apply -f 'a file.yaml'\n")
