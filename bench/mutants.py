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
from dataclasses import dataclass
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
    "statistics": ["block_e_value", "assess"],
    "bounded": ["block_e_value", "assess"],
    "srm": ["block_e_value"],
    "contrast": ["assess"],
    "wealth": ["ledger", "assess"],
    "ledger": ["ledger", "assess"],
    "standing": ["ledger", "assess"],
    "guardrails": ["plan", "assess"],
    "plan": ["plan"],
    "assess": ["assess"],
    "grounds": ["assess"],
    "counters": ["counters"],
    "planner": ["planner"],
    "spread": ["spread"],
    "dispersion": ["dispersion"],
    "evidence": ["plan", "ledger", "assess"],
}
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
    files = [str(ROOT / "tests" / "core" / f"test_{name}.py") for name in tests]
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", default=list(TESTS))
    parser.add_argument("--sample", type=int, help="that many mutants, drawn with --seed, instead of all")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = [mutant for module in options.modules for mutant in mutants(module)]
    if options.sample and options.sample < len(found):
        found = random.Random(options.seed).sample(found, options.sample)
    for module in sorted({mutant.module for mutant in found}):
        if not survives(None, TESTS[module]):
            print(f"the tests of {module} fail without any mutant")
            return 2
    alive = 0
    for place, mutant in enumerate(found, 1):
        if survives(mutant, TESTS[mutant.module]):
            alive += 1
            print(f"SURVIVED {mutant.module}.py:{mutant.line}: {mutant.was!r} -> {mutant.now!r}", flush=True)
        if place % 10 == 0 or place == len(found):
            print(f"{place}/{len(found)}: {100 * (place - alive) / place:.1f} % killed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
