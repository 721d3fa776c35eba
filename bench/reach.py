"""Which tests of core and engine reach which line of ``core/``, and what they cost."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, TypedDict

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


class Reached(TypedDict):
    """As it is kept: the tests of each line of each module, and the CPU seconds of each test.

    Infinitely many seconds mean a test that is never asked.
    """

    lines: dict[str, dict[str, list[str]]]
    seconds: dict[str, float]


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
        return self.quickest({test for tests in reached for test in tests}, f"/test_{mutant.module}.py::")

    def quickest(self, tests: Iterable[str], own: str = "") -> list[str]:
        """Return the module's own tests first, then the quickest, for ``enough`` CPU seconds."""
        total, asked = 0.0, []
        for test in sorted(tests, key=lambda test: (own not in test, self.seconds[test], test)):
            total += self.seconds[test]
            if asked and total > self._enough:
                break
            asked.append(test)
        return asked

    def _places(self, mutant: Mutant) -> Iterator[tuple[str, int]]:
        if not mutant.names:
            yield from ((mutant.module, line) for line in mutant.lines)
            return
        used = re.compile(rf"\b({'|'.join(map(re.escape, mutation.felt(mutant.names)))})\b")
        for module in mutation.MODULES:
            for number, text in enumerate(mutation.path(module).read_text().splitlines(), 1):
                if used.search(text):
                    yield module, number


class _TooDear(BaseException):
    """A test has taken so long that no mutant will ever be asked it; nothing catches this but pytest."""


def _end_it(_signal: int, _frame: object) -> None:
    raise _TooDear


class Recording:
    """Runs every ``of``-th collected test that is not known yet and writes down what each reaches."""

    def __init__(self, to: Path, known: Reached, part: int, of: int, dearest: float) -> None:
        self._to, self._known, self._part, self._of, self._dearest = to, known, part, of, dearest
        self._failed: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session) -> bool:
        asked = [item for item in session.items if not SERVERS & set(item.fixturenames)]
        new = [item for item in asked if item.nodeid not in self._known["seconds"]][self._part :: self._of]
        there = {item.nodeid for item in session.items}
        seconds = {test: taken for test, taken in self._known["seconds"].items() if test in there}
        seen = coverage.Coverage(data_file=None, config_file=False, include=[f"{mutation.CORE}/*"])
        signal.signal(signal.SIGPROF, _end_it)
        seen.start()
        for item, following in pairwise([*new, None]):
            seen.switch_context(item.nodeid)
            began = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, self._dearest, 1.0)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            seconds[item.nodeid] = inf if item.nodeid in self._failed else time.process_time() - began
        seen.stop()
        lines: dict[str, dict[str, list[str]]] = {}
        for module in mutation.MODULES:
            found = {str(line): tests for line, tests in self._known["lines"].get(module, {}).items()}
            data = seen.get_data() if new else coverage.CoverageData(no_disk=True)  # without new tests: none
            for line, tests in data.contexts_by_lineno(str(mutation.path(module))).items():
                found[str(line)] = [*found.get(str(line), []), *(test for test in tests if test)]
            lines[module] = {
                line: [test for test in tests if seconds.get(test, inf) < inf]
                for line, tests in found.items()
            }
        self._to.write_text(json.dumps({"lines": lines, "seconds": seconds}))
        return True

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed:
            self._failed.add(report.nodeid)
            sys.__stderr__.write(f"{report.nodeid} fails without any mutant, or is too dear: not asked\n")


def told(files: list[str], plugin: object) -> int:
    """Run pytest on files of tests with a plugin that decides what to do with what was collected."""
    early = "ignore::pytest.PytestAssertRewriteWarning"  # of Hypothesis, which is imported here already
    quiet = ["-q", "--tb=no", "-W", early, "-p", "no:cacheprovider", "-o", "timeout=0"]
    return int(pytest.main([*quiet, f"--rootdir={ROOT}", *files], plugins=[plugin]))


def recorded(to: Path, enough: float, processes: int) -> Reach:
    """Return which tests reach what; in forks, ask those tests first of which that isn't known yet.

    A test that takes twice ``enough`` CPU seconds while it is recorded is broken off and never asked.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    known: Reached = json.loads(to.read_text()) if to.exists() else {"lines": {}, "seconds": {}}
    parts = [to.with_suffix(f".{part}.json") for part in range(processes)]
    children = []
    for number, part in enumerate(parts):
        child = os.fork()
        if child == 0:
            os._exit(told(ROOMS, Recording(part, known, number, processes, 2.0 * enough)))
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    lines: dict[str, dict[str, set[str]]] = {}
    seconds: dict[str, float] = {}
    for part in parts:
        found = json.loads(part.read_text())
        part.unlink()
        seconds |= found["seconds"]
        for module, reached in found["lines"].items():
            for line, tests in reached.items():
                lines.setdefault(module, {}).setdefault(line, set()).update(tests)
    whole = {module: {line: sorted(tests) for line, tests in of.items()} for module, of in lines.items()}
    to.write_text(json.dumps({"lines": whole, "seconds": seconds}))
    asked = {test: taken for test, taken in seconds.items() if taken < inf}
    return Reach(whole, asked, enough)
