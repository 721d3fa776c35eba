"""Change one thing of a module of ``core/``: an operator, constant, condition, call or returned value."""

from __future__ import annotations

import ast
import copy
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType

CORE = Path(__file__).resolve().parent.parent / "operator" / "agentrelease" / "core"
MODULES = sorted(path.stem for path in CORE.glob("[!_]*.py"))
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
NOT_RUN = {"annotation", "returns", "decorator_list", "keywords"}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}

Names = frozenset[str]


@dataclass(frozen=True)
class Mutant:
    module: str
    lines: range
    """Of the changed expression; what is reached there can notice."""
    names: Names
    """Of what is defined, if the change is outside functions and is felt wherever these are used."""
    was: str
    now: str
    code: CodeType

    def __str__(self) -> str:
        return f"{self.module}.py:{self.lines.start}: {self.was!r} -> {self.now!r}"


def path(module: str) -> Path:
    return CORE / f"{module}.py"


def mutants(module: str) -> Iterator[Mutant]:
    """Make every mutant of a module; line numbers stay those of the file."""
    tree = ast.parse(path(module).read_text())
    for node, names, change in [(n, names, c) for n, names in _code(tree) for c in _changes(n)]:
        was = ast.unparse(node)
        undo = copy.copy(node.__dict__)
        asked = node.test if isinstance(node, ast.If) else node
        lines = range(asked.lineno, (asked.end_lineno or asked.lineno) + 1)
        change(node)
        ast.fix_missing_locations(tree)
        now = ast.unparse(node)
        code = compile(tree, str(path(module)), "exec", dont_inherit=True)
        node.__dict__.clear()
        node.__dict__.update(undo)
        if was != now:
            yield Mutant(module, lines, names, was, now, code)


def sample(modules: list[str], each: int | None, seed: int) -> list[Mutant]:
    """Draw ``each`` mutants a module, in rounds, so that an early end has asked all alike."""
    drawn = []
    for module in modules:
        found = list(mutants(module))
        random.Random(f"{seed} {module}").shuffle(found)
        drawn += list(enumerate(found[:each]))
    return [mutant for _, mutant in sorted(drawn, key=lambda item: item[0])]


def shuffled(modules: list[str], seed: int) -> list[Mutant]:
    """Return every mutant in an order by chance: the first ones are a random sample of all."""
    found = [mutant for module in modules for mutant in mutants(module)]
    random.Random(f"{seed}").shuffle(found)
    return found


def _code(tree: ast.AST, names: Names | None = frozenset()) -> Iterator[tuple[ast.AST, Names]]:
    """Walk what runs: no annotations, docstrings, messages or type-checking imports.

    Outside functions each comes with the names that it helps to define.
    """
    inside = isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for field, value in ast.iter_fields(tree):
        if field in NOT_RUN and not isinstance(tree, ast.Call):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(
                child, (ast.JoinedStr, ast.ImportFrom, ast.Raise)
            ):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            within = None if names is None or (inside and field == "body") else _defined(child) or names
            yield child, within or frozenset()
            yield from _code(child, within)


def felt(names: Names) -> Names:
    """Return the names, and all that is defined outside functions by use of them."""
    found = names
    while True:
        more = frozenset().union(*(defined for defined, used in _definitions() if used & found))
        if more <= found:
            return found
        found |= more


@cache
def _definitions() -> list[tuple[Names, Names]]:
    """Return for each assignment outside functions what it defines and what it uses."""
    bodies = [ast.parse(path(module).read_text()).body for module in MODULES]
    nodes = [node for body in bodies for node in body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    return [
        (_defined(node), frozenset(one.id for one in ast.walk(node) if isinstance(one, ast.Name)))
        for node in nodes
    ]


def _defined(node: ast.AST) -> Names:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    named = {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(named | ({node.name} if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else set()))


def _changes(node: ast.AST) -> Iterator[Callable[[ast.AST], None]]:
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
