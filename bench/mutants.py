"""``python -m bench.mutants``: do the tests of the judgement notice when it is changed?

Mutation testing of ``core/`` without a tool of its own: ready-made ones rewrite the source tree or start a
fresh interpreter for each mutant, and importing the scientific stack costs more than most tests here.
This one collects the tests of core and engine once. A first fork records which of them reach which line
and what they cost; then a fork for each mutant puts the changed code in place and runs those that reach
it, the module's own first, then the quickest, until one fails. What is read at import (constants,
defaults) is changed before the import instead. Survivors are printed; ``docs/decisions/mutation.md``
gives a reason for each.
"""

from __future__ import annotations

import argparse
import gc
import importlib.abc
import importlib.util
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict
from itertools import pairwise
from math import inf
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

import pytest
import scipy.optimize
import scipy.special
import scipy.stats  # noqa: F401 - imported here so that no child has to
from hypothesis import Phase, settings

from bench import mutation
from bench.reach import ROOMS, ROOT, Reach, recorded, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.mutation import Mutant

PATIENCE = 20.0
"""CPU seconds on top of three times what the tests take by themselves; more is a loop without end."""
MEMORY = 8 << 30
KILLED = {1, 2}
"""Ends of pytest: tests failed, or could not be imported. Other ends than these and 0 are our own faults."""


class Asking:
    """In a fork of the collected session: run the named tests, in that order, until one fails."""

    def __init__(self, then: Callable[[Callable[[list[str]], None]], None]) -> None:
        self._then = then
        self._failed = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session) -> bool:
        settings.register_profile("unshrunk", settings(), phases=[Phase.explicit, Phase.generate])
        settings.load_profile("unshrunk")  # a kill needs no minimal example
        items = {item.nodeid: item for item in session.items}

        def run(tests: list[str]) -> None:
            for test, following in pairwise([*(test for test in tests if test in items), None]):
                item = items[test]
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=items.get(following))
                if self._failed:
                    os._exit(1)
            os._exit(0)

        self._then(run)
        return True

    def pytest_runtest_logreport(self, report) -> None:
        self._failed = self._failed or report.failed


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the mutant instead of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = f"agentrelease.core.{mutant.module}"

    def find_spec(self, name, _path=None, _target=None):
        return importlib.util.spec_from_loader(name, self) if name == self._name else None

    def exec_module(self, module) -> None:
        exec(self._mutant.code, module.__dict__)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _codes(inner)


def _put_in_place(mutant: Mutant, functions: dict[str, list[FunctionType]]) -> None:
    """Give every function of the module that was already imported its mutated code."""
    changed = {(code.co_qualname, code.co_firstlineno): code for code in _codes(mutant.code)}
    for function in functions[str(mutation.path(mutant.module))]:
        function.__code__ = changed[function.__code__.co_qualname, function.__code__.co_firstlineno]


def _functions() -> dict[str, list[FunctionType]]:
    """Return what was imported of core, by file."""
    found: dict[str, list[FunctionType]] = defaultdict(list)
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename.startswith(str(mutation.CORE)):
            found[thing.__code__.co_filename].append(thing)
    return dict(found)


def _forked(work: Callable[[], object], seconds: float) -> int:
    child = os.fork()
    if child:
        return child
    said = os.dup(2)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
        work()
    except BaseException:  # noqa: BLE001 - a child never goes on as its parent
        os.write(said, traceback.format_exc().encode())
    os._exit(99)


def each_killed(
    asked: Iterable[Mutant], reach: Reach, work: Callable[[Mutant, list[str]], object], processes: int
) -> Iterator[tuple[Mutant, bool | None]]:
    """Fork for each mutant; a failing test, a crash and no end are kills; ``None`` is our own fault."""
    alive: dict[int, Mutant] = {}

    def ended() -> tuple[Mutant, bool | None]:
        child, status = os.wait()
        mutant, code = alive.pop(child), os.waitstatus_to_exitcode(status)
        return mutant, None if code > 0 and code not in KILLED else code != 0

    try:
        for mutant in asked:
            tests = reach.tests(mutant)
            if not tests:
                yield mutant, False
                continue
            seconds = PATIENCE + 3 * sum(reach.seconds[test] for test in tests)
            alive[_forked(lambda m=mutant, t=tests: work(m, t), seconds)] = mutant
            if len(alive) >= processes:
                yield ended()
        while alive:
            yield ended()
    finally:
        for child in alive:
            os.kill(child, signal.SIGKILL)


def _imported_changed(mutant: Mutant, tests: list[str]) -> None:
    sys.meta_path.insert(0, _Loader(mutant))
    os._exit(told(list(dict.fromkeys(test.split("::")[0] for test in tests)), Asking(lambda run: run(tests))))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", default=mutation.MODULES)
    parser.add_argument(
        "--each", type=int, help="so many mutants a module, drawn with --seed, instead of all"
    )
    parser.add_argument(
        "--sample", metavar="FIRST:END", help="this part of all mutants, in an order by chance from --seed"
    )
    parser.add_argument(
        "--again", type=Path, help="of these, ask those alone that this output calls survivors"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=inf, help="stop after so long, wherever that is")
    parser.add_argument(
        "--enough", type=float, default=40.0, help="CPU seconds of tests that a survivor has lived through"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--reach",
        type=Path,
        default=ROOT / "build" / "reach.json",
        help="kept between runs; remove it when lines of core moved",
    )
    return parser.parse_args()


def _drawn(options: argparse.Namespace) -> list[Mutant]:
    if options.sample:
        first, _, end = options.sample.partition(":")
        drawn = mutation.shuffled(options.modules, options.seed)[int(first) : int(end)]
    else:
        drawn = mutation.sample(options.modules, options.each, options.seed)
    if options.again:
        lived = set(re.findall("SURVIVED (.*)", options.again.read_text()))
        drawn = [mutant for mutant in drawn if str(mutant) in lived]
    return drawn


def main() -> int:
    options = _options()
    os.chdir(ROOT)
    until = time.monotonic() + 60 * options.minutes
    reach = recorded(options.reach, options.enough, options.processes)
    tried: Counter[str] = Counter()
    killed: Counter[str] = Counter()

    def count(asked: list[Mutant], work: Callable[[Mutant, list[str]], object]) -> None:
        timely = (mutant for mutant in asked if time.monotonic() < until)
        for mutant, is_killed in each_killed(timely, reach, work, options.processes):
            if is_killed is None:
                print(f"could not be asked: {mutant}", flush=True)
                continue
            tried[mutant.module] += 1
            killed[mutant.module] += is_killed
            if not is_killed:
                print(f"SURVIVED {mutant}", flush=True)
            if tried.total() % 20 == 0:
                print(f"{tried.total()}: {100 * killed.total() / tried.total():.1f} % killed", flush=True)

    drawn = _drawn(options)

    def in_functions(run: Callable[[list[str]], None]) -> None:
        functions = _functions()
        gc.freeze()  # only now: what is frozen is not found
        sound = _forked(lambda: run(reach.quickest(reach.seconds)), 600.0)
        if os.waitpid(sound, 0)[1]:
            raise RuntimeError("tests fail in this order without any mutant")
        count([m for m in drawn if not m.names], lambda m, tests: (_put_in_place(m, functions), run(tests)))

    count([m for m in drawn if m.names], _imported_changed)
    told(ROOMS, Asking(in_functions))
    for module, number in sorted(tried.items()):
        print(f"| `{module}` | {number} | {killed[module]} |")
    print(f"| all | {tried.total()} | {killed.total()} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
