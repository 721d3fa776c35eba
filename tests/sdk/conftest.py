"""A flag file as a kubelet mounts it, read by the real OpenFeature SDK and flagd provider."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from agentrelease.sdk import AgentFlags, FlagSource

FIXTURE = Path(__file__).with_name("support.flagd.json")
LEASE_IN_FIXTURE = "1780000000"


class Clock:
    """Monotonic seconds that only move when told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class FlagFile:
    """One key of a ConfigMap volume: a link to ``..data``, which is swapped as a whole."""

    def __init__(self, root):
        self.path = root / "support.flagd.json"
        self._root = root
        self._number = 0

    @staticmethod
    def document(lease=None):
        """The document that the operator writes, its candidate's lease ending at a unix second."""
        return json.loads(
            FIXTURE.read_text().replace(LEASE_IN_FIXTURE, str(int(lease or time.time() + 3600)))
        )

    def write(self, document):
        self.write_text(json.dumps(document))

    def write_text(self, text):
        self._number += 1
        folder = self._root / f"..{self._number}"
        folder.mkdir()
        (folder / self.path.name).write_text(text)
        link = self._root / "..data_tmp"
        link.symlink_to(folder.name)
        link.rename(self._root / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to(f"..data/{self.path.name}")

    def delete(self):
        (self._root / "..data" / self.path.name).unlink()

    @property
    def target(self):
        return self.path.resolve()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def flag_file(tmp_path):
    root = tmp_path / "flags"
    root.mkdir()
    return FlagFile(root)


@pytest.fixture
def read_flags(flag_file, clock):
    """Start reading the flag file as one release; everything is stopped afterwards."""
    started = []

    def start(release="support-v7", ttl=60.0):
        source = FlagSource(path=str(flag_file.path), ttl=ttl, poll=0.01)
        started.append(AgentFlags("support", release, source, clock))
        return started[-1]

    yield start
    for flags in started:
        flags.close()


@pytest.fixture
def eventually(clock):
    """Wait for a condition, letting the agent's own clock run along by milliseconds."""

    def wait(condition, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition never came true"
            clock.now += 0.011
            time.sleep(0.005)

    return wait
