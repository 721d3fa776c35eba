"""A demo agent as a process of its own, with its bundle and its flags mounted from a directory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from agentrelease.api.bundle import Bundle
from agentrelease.core.bundle import canonical, digest_of, revision_name

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
            "model": {"name": "provider/model-x", "version": "2026-10-14"},
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
        self.process.terminate()
        self.process.stdout.close()
        return self.process.wait(timeout=20)

    def grant(self, level: str, allow=(), ask=(), *, halt=False):
        """Write the flag document that gives every release this level and these tools."""
        document = {
            "flags": {
                "support.autonomy-level": _flag(level),
                "support.tool-policy": _flag({"allow": list(allow), "requireApproval": list(ask)}),
                "support.halt": _flag(halt),
            }
        }
        beside = self.root / "beside"
        beside.write_text(json.dumps(document))
        beside.rename(self.root / "support.flagd.json")
        self.wait(lambda: self.whoami()["autonomy"] == (level if not halt else "observe"))
        self.wait(lambda: self.whoami()["halted"] is halt)

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


@pytest.fixture
def start_agent(tmp_path):
    """Start demo agents; each is stopped afterwards and must have ended well."""
    running = []

    def start(bundle=None, *, prompts="v2", wait=True, **options):
        root = tmp_path / f"agent-{len(running)}"
        root.mkdir()
        running.append(AgentProcess(root, bundle or bundle_of(prompts), **options).start())
        if wait:
            running[-1].wait(running[-1].ready)
        return running[-1]

    yield start
    for agent in running:
        assert agent.stop() == 0
        assert (agent.root / "stderr").read_text() == ""
