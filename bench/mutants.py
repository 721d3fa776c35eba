"""``python -m bench.mutants``: do the tests of the judgement notice when it is changed?

Mutation testing of ``core/`` without a tool of its own: ready-made ones rewrite the source tree or start a
fresh interpreter for each mutant, and importing the scientific stack costs more than most tests here.
This one imports that once and forks: the child loads one mutated module, runs the module's tests until
one fails, and is gone. Survivors are printed; ``docs/decisions/mutation.md`` gives a reason for each.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import scipy.optimize
import scipy.special
import scipy.stats  # noqa: F401 - imported here so that no child has to
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "operator" / "agentrelease" / "core"
TESTS = {
    "statistics": ["core/block_e_value", "core/assess"],
    "bounded": ["core/block_e_value", "core/assess"],
    "srm": ["core/block_e_value"],
    "contrast": ["core/assess", "core/pairs"],
    "wealth": ["core/ledger", "core/assess"],
    "ledger": ["core/ledger", "core/assess"],
    "standing": ["core/ledger", "core/assess"],
    "guardrails": ["core/plan", "core/assess"],
    "plan": ["core/plan"],
    "assess": ["core/assess"],
    "grounds": ["core/assess"],
    "report": ["core/assess"],
    "words": ["core/assess"],
    "counters": ["core/counters"],
    "planner": ["core/planner"],
    "forecast": ["core/forecast"],
    "spread": ["core/spread"],
    "dispersion": ["core/dispersion"],
    "evidence": ["core/plan", "core/ledger", "core/assess"],
    "births": ["core/births"],
    "series": ["core/births", "core/pairs"],
    "blocks": ["core/overdue", "core/pairs", "engine/rollout"],
    "overdue": ["core/overdue"],
    "unanswered": ["core/overdue"],
    "pairs": ["core/pairs"],
    "offline": ["core/offline"],
    "bundle": ["core/bundle"],
    "chain": ["core/chain"],
    "copies": ["core/chain", "engine/journal"],
    "record": ["core/chain", "core/notation"],
    "notation": ["core/notation"],
    "compensation": ["core/compensation"],
    "fitting": ["core/fitting"],
    "strata": ["core/strata"],
    "exposure": ["core/strata", "engine/rollout", "engine/strata"],
    "gates": ["core/gates", "engine/gates"],
    "decision": ["engine/rollout", "engine/interventions", "engine/status_lost"],
    "drift": ["engine/contended", "engine/safety"],
    "interventions": ["engine/interventions"],
    "lowering": ["engine/rollout", "engine/safety"],
    "raising": ["engine/rollout", "engine/gates"],
    "recovery": ["engine/status_lost"],
    "reference": ["engine/watch"],
    "reporting": ["engine/rollout", "engine/gates"],
    "rollout": ["engine/rollout"],
    "serving": ["engine/rollout", "engine/recall"],
    "skew": ["engine/skew"],
    "succession": ["engine/rollout", "engine/interventions", "engine/watch"],
    "watch": ["engine/watch"],
}
"""By module of ``core/`` the tests that speak for it; rules are spoken for by the engine in virtual time."""

SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
PATIENCE = 300.0


@dataclass(frozen=True)
class Mutant:
    module: str
    line: int
    was: str
    now: str
    source: str


def mutants(module: str) -> Iterator[Mutant]:
    tree = ast.parse((CORE / f"{module}.py").read_text())
    places = [(node, change) for node in _code(tree) for change in _changes(node)]
    for node, change in places:
        was = ast.unparse(node)
        undo = copy.copy(node.__dict__)
        change(node)
        now = ast.unparse(node)
        source = ast.unparse(tree)
        node.__dict__.clear()
        node.__dict__.update(undo)
        if was != now:
            yield Mutant(module, getattr(node, "lineno", 0), was, now, source)


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs: no annotations, docstrings, messages or type-checking imports."""
    for name, value in ast.iter_fields(tree):
        if name in {"annotation", "returns", "decorator_list", "keywords"} and not isinstance(tree, ast.Call):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(
                child, (ast.JoinedStr, ast.ImportFrom, ast.Raise)
            ):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            yield child
            yield from _code(child)


def _changes(node: ast.AST):
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield lambda n: setattr(n, "ops", [SWAPS[type(n.ops[0])](), *n.ops[1:]])
    if isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in SWAPS:
        yield lambda n: setattr(n, "op", SWAPS[type(n.op)]())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield lambda n: setattr(n, "op", ast.UAdd())
    if isinstance(node, (ast.If, ast.IfExp)):
        yield lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        yield lambda n: setattr(n, "value", n.value * 2 + 1)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
        yield lambda n: setattr(n, "func", ast.Name(CALLS[n.func.id], ast.Load()))
    if isinstance(node, ast.Return) and node.value is not None:
        yield lambda n: setattr(n, "value", ast.Constant(None))


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = f"agentrelease.core.{mutant.module}"

    def find_spec(self, name, _path=None, _target=None):
        return importlib.util.spec_from_loader(name, self) if name == self._name else None

    def exec_module(self, module) -> None:
        exec(compile(self._mutant.source, f"<{self._name}>", "exec"), module.__dict__)


def _tested(tests: list[str]) -> int:
    settings.register_profile("unshrunk", phases=[Phase.explicit, Phase.generate])
    settings.load_profile("unshrunk")  # a kill needs no minimal example
    places = [name.split("/") for name in tests]
    files = [str(ROOT / "tests" / room / f"test_{name}.py") for room, name in places]
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
    return int(pytest.main(["-x", "-q", *quiet, f"--confcutdir={ROOT / 'tests' / 'core'}", *files]))


def survives(mutant: Mutant | None, tests: list[str]) -> bool:
    """Run the tests in a fork; time-out and crash are kills."""
    child = os.fork()
    if child == 0:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        if mutant is not None:
            sys.meta_path.insert(0, _Loader(mutant))
        os._exit(_tested(tests))
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def in_turn(modules: list[str], each: int | None, seed: int) -> list[Mutant]:
    """Return a sample of ``each`` mutants a module, in rounds, so that an early end has asked all alike."""
    drawn = []
    for module in modules:
        found = list(mutants(module))
        random.Random(f"{seed} {module}").shuffle(found)
        drawn += [(place, mutant) for place, mutant in enumerate(found[:each])]
    return [mutant for _, mutant in sorted(drawn, key=lambda item: item[0])]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", default=list(TESTS))
    parser.add_argument(
        "--each", type=int, help="so many mutants a module, drawn with --seed, instead of all"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=inf, help="stop after so long, wherever that is")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    tried: Counter[str] = Counter()
    killed: Counter[str] = Counter()
    sound: dict[str, bool] = {}
    for mutant in in_turn(options.modules, options.each, options.seed):
        if time.monotonic() > until:
            break
        module = mutant.module
        if not sound.setdefault(module, survives(None, TESTS[module])):
            print(f"the tests of {module} fail without any mutant")
            return 2
        tried[module] += 1
        if survives(mutant, TESTS[module]):
            print(f"SURVIVED {module}.py:{mutant.line}: {mutant.was!r} -> {mutant.now!r}", flush=True)
        else:
            killed[module] += 1
        if tried.total() % 20 == 0:
            print(f"{tried.total()}: {100 * killed.total() / tried.total():.1f} % killed", flush=True)
    for module, number in sorted(tried.items()):
        print(f"| `{module}` | {number} | {killed[module]} |")
    print(f"| all | {tried.total()} | {killed.total()} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
