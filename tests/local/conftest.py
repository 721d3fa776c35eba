"""A demo agent as a process of its own, with its bundle and its flags mounted from a directory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentrelease.api.bundle import Bundle
from agentrelease.core.bundle import canonical, digest_of, revision_name
from agentrelease.local.agent.behaviour import behaviour_of

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "sha256:" + hashlib.sha256(b"").hexdigest()
TOOLS = [
    {"name": "kb.search", "schema": DIGEST, "effect": "read"},
    {"name": "tickets.comment", "schema": DIGEST, "effect": "write"},
    {"name": "payments.refund", "schema": DIGEST},
]


def bundle_of(prompts="v2"):
    """A bundle whose prompts have that version."""
    return Bundle.model_validate(
        {
            "model": {
                "name": "provider/model-x",
                "version": "2026-10-14",
                "fallback": {"name": "provider/model-w", "version": "2026-07-02"},
            },
            "prompts": [{"name": "system", "version": prompts, "digest": DIGEST}],
            "retrieval": [],
            "tools": TOOLS,
            "connectors": [],
            "policies": [],
            "routing": {"version": "r3"},
            "postProcessing": {"version": "p2"},
            "memory": {"version": "m5"},
            "workflow": {"version": "w9"},
        }
    )


class AgentProcess:
    """One slot's pod: directories as its mounts, environment as its manifest."""

    def __init__(self, root: Path, bundle: Bundle | None, release: str | None = None, **env: str):
        self.root = root
        self.bundle = bundle
        self._before = {}
        if bundle is not None:
            (root / "bundle.json").write_bytes(canonical(bundle))
        named = revision_name("support", digest_of(bundle)) if bundle is not None else ""
        self.release = named if release is None else release
        self._env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "AGENT_RELEASE": self.release,
            "HOST": "127.0.0.1",
            "PORT": "0",
            "BUNDLE_PATH": str(root / "bundle.json"),
            "FLAGD_OFFLINE_FLAG_SOURCE_PATH": str(root / "support.flagd.json"),
            "AGENTRELEASE_FLAGS_POLL": "0.05",
            **env,
        }

    def start(self) -> AgentProcess:
        with (self.root / "stderr").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agentrelease.local.agent"],
                env=self._env,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        line = self.process.stdout.readline()
        assert line, (self.root / "stderr").read_text()
        self.url = f"http://127.0.0.1:{json.loads(line)['port']}"
        self.client = httpx.Client(base_url=self.url, timeout=10, trust_env=False)
        return self

    def stop(self) -> int:
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(timeout=20)
        self.process.stdout.close()  # not before its end: its last line would have nowhere to go
        return code

    def grant(self, level: str, allow=(), ask=(), *, halt=False, model=""):
        """Write the flag document that gives every release this level and these tools."""
        document = {
            "flags": {
                "support.autonomy-level": _flag(level),
                "support.tool-policy": _flag({"allow": list(allow), "requireApproval": list(ask)}),
                "support.halt": _flag(halt),
            }
        }
        if model:
            document["flags"]["support.model"] = _flag(model)
        beside = self.root / "beside"
        beside.write_text(json.dumps(document))
        beside.rename(self.root / "support.flagd.json")
        self.wait(lambda: self.whoami()["autonomy"] == (level if not halt else "observe"))
        self.wait(lambda: self.whoami()["halted"] is halt)

    def value(self, name, **labels):
        """Sum of the series of that name with these labels."""
        found = [(own, value) for (key, own), value in self._series().items() if key == name]
        assert found, f"no series is called {name}"
        return sum(value for own, value in found if labels.items() <= dict(own).items())

    def grown(self, name, **labels):
        """By how much a counter has grown since ``forget``."""
        before = [
            v for (key, own), v in self._before.items() if key == name and labels.items() <= dict(own).items()
        ]
        return self.value(name, **labels) - sum(before)

    def forget(self):
        """Count from here."""
        self._before = self._series()

    def _series(self):
        families = text_string_to_metric_families(self.client.get("/metrics").text)
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    def whoami(self):
        return self.client.get("/whoami").json()

    def ask(self, times=1, **headers):
        """Send tasks one after the other; returns the answers' JSON."""
        named = {f"x-{key.replace('_', '-')}" if key != "host" else key: v for key, v in headers.items()}
        return [self.client.post("/task", json={}, headers=named).json() for _ in range(times)]

    def behave(self, **fields):
        reply = self.client.post("/behaviour", json=fields)
        assert reply.status_code == 200, reply.text

    @staticmethod
    def wait(condition, seconds=30.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition never came true"
            time.sleep(0.02)

    def ready(self):
        return self.client.get("/healthz").status_code == 200


def _flag(value):
    return {"state": "ENABLED", "variants": {"it": value}, "defaultVariant": "it", "targeting": {}}


@contextmanager
def _agents(folder):
    running = []

    def start(bundle=None, *, prompts="v2", wait=True, **options):
        root = folder / f"agent-{len(running)}"
        root.mkdir()
        running.append(AgentProcess(root, bundle or bundle_of(prompts), **options).start())
        if wait:
            running[-1].wait(running[-1].ready)
        return running[-1]

    yield start
    for agent in running:
        assert agent.stop() == 0
        assert (agent.root / "stderr").read_text() == ""


@pytest.fixture
def start_agent(tmp_path):
    """Start demo agents; each is stopped afterwards and must have ended well."""
    with _agents(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def _shared_agent(tmp_path_factory):
    with _agents(tmp_path_factory.mktemp("shared")) as start:
        yield start()


@pytest.fixture
def agent(_shared_agent):
    """One agent for many tests: it observes, behaves as v2 does, and counts from zero."""
    usual = behaviour_of(_shared_agent.bundle).with_fields({"latency": 0.0})
    _shared_agent.behave(**{k: v for k, v in asdict(usual).items() if v is not None})
    _shared_agent.grant("observe")
    _shared_agent.forget()
    return _shared_agent
