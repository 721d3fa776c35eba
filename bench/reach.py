"""Which tests of core and engine reach which line of ``core/``, and what they cost."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import coverage
import pytest

from bench import mutation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from bench.mutation import Mutant

ROOT = mutation.CORE.parents[2]
ROOMS = [str(ROOT / "tests" / room) for room in ("core", "engine")]
SERVERS = {"control_plane", "admin", "namespace"}
"""Fixtures of tests that need a real API server: they speak for the edges."""


class Reach:
    """Which tests run which lines of ``core/``, and how long they take."""

    def __init__(
        self, lines: dict[str, dict[str, list[str]]], seconds: dict[str, float], enough: float
    ) -> None:
        self._lines = lines
        self._enough = enough
        self.seconds = seconds

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests that may notice."""
        reached = (self._lines.get(module, {}).get(str(line), ()) for module, line in self._places(mutant))
        return self.quickest({test for tests in reached for test in tests})

    def quickest(self, tests: Iterable[str]) -> list[str]:
        """Return the quickest first, for ``enough`` CPU seconds."""
        total, asked = 0.0, []
        for test in sorted(tests, key=lambda test: (self.seconds[test], test)):
            total += self.seconds[test]
            if asked and total > self._enough:
                break
            asked.append(test)
        return asked

    def _places(self, mutant: Mutant) -> Iterator[tuple[str, int]]:
        if not mutant.names:
            yield from ((mutant.module, line) for line in mutant.lines)
            return
        used = re.compile(rf"\b({'|'.join(map(re.escape, mutant.names))})\b")
        for module in mutation.MODULES:
            for number, text in enumerate(mutation.path(module).read_text().splitlines(), 1):
                if used.search(text):
                    yield module, number


class Recording:
    """Runs the collected tests that are not known yet and writes down what each reaches; ends its process."""

    def __init__(self, to: Path) -> None:
        known = json.loads(to.read_text()) if to.exists() else {"lines": {}, "seconds": {}}
        self._to, self._lines, self._seconds = to, known["lines"], known["seconds"]
        self._failed: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session) -> bool:
        new = [
            item
            for item in session.items
            if item.nodeid not in self._seconds and not SERVERS & set(item.fixturenames)
        ]
        seen = coverage.Coverage(data_file=None, config_file=False, include=[f"{mutation.CORE}/*"])
        seen.start()
        for item, following in pairwise([*new, None]):
            seen.switch_context(item.nodeid)
            began = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self._seconds[item.nodeid] = time.process_time() - began
        seen.stop()
        there = {item.nodeid for item in session.items} - self._failed
        for module in mutation.MODULES:
            lines = self._lines.setdefault(module, {})
            for line, tests in seen.get_data().contexts_by_lineno(str(mutation.path(module))).items():
                lines.setdefault(str(line), []).extend(test for test in tests if test)
            self._lines[module] = {line: [t for t in tests if t in there] for line, tests in lines.items()}
        self._seconds = {test: taken for test, taken in self._seconds.items() if test in there}
        self._to.parent.mkdir(parents=True, exist_ok=True)
        self._to.write_text(json.dumps({"lines": self._lines, "seconds": self._seconds}))
        return True

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed:
            self._failed.add(report.nodeid)
            sys.__stderr__.write(f"{report.nodeid} fails without any mutant and is not asked\n")


def told(files: list[str], plugin: object) -> int:
    """Run pytest on files of tests with a plugin that decides what to do with what was collected."""
    early = "ignore::pytest.PytestAssertRewriteWarning"  # of Hypothesis, which is imported here already
    quiet = ["-q", "--tb=no", "-W", early, "-p", "no:cacheprovider", "-o", "timeout=0"]
    return int(pytest.main([*quiet, f"--rootdir={ROOT}", *files], plugins=[plugin]))


def recorded(to: Path, enough: float) -> Reach:
    """Return which tests reach what; in a fork, ask those tests first of which that isn't known yet."""
    child = os.fork()
    if child == 0:
        os._exit(told(ROOMS, Recording(to)))
    os.waitpid(child, 0)
    return Reach(**json.loads(to.read_text()), enough=enough)
