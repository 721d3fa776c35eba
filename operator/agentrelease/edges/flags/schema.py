"""Whether a flag document is one that every flagd takes: asked before each write.

flagd publishes a JSON schema (https://flagd.dev/schema/v0/flags.json), and no package that can be depended
on carries it. So this is a schema of our own for what we write, and stricter: whatever passes here passes
there (``tests/edges/test_flag_schema.py`` holds it to the compiled one of flagd's JavaScript core), and
besides, every name that a rule can return is a variant, which the published one doesn't ask.

It does not ask whether a document *says* the right thing; that is ``document.parse``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Json = dict[str, Any]

FLAG_KEYS = frozenset({"state", "variants", "defaultVariant", "targeting", "metadata"})
"""The five keys of a flag that every evaluator knows; one of them rejects a whole document for a sixth."""

HEAVIEST = 2**31 - 1
"""The largest sum of the weights of one ``fractional`` rule."""

_SAFE = 2**53 - 1  # the largest integer that a double, and so every evaluator, holds exactly
_DEEPEST = 60
_MANY = 1_000
_ARGUMENTS = {
    "if": (3, 3),
    "===": (2, 2),
    "!==": (2, 2),
    "!": (1, 1),
    "<": (2, 3),
    "and": (1, _MANY),
    "cat": (1, _MANY),
}


class Invalid(ValueError):
    """A document that flagd would refuse, or might; the text says where."""


def problem(document: object) -> str:
    """Say where a document leaves the schema; empty when it is valid. Never raises."""
    try:
        _document(document)
    except Invalid as error:
        return str(error)
    except RecursionError:
        return "the document: nested too deeply"
    return ""


def _document(document: object) -> None:
    found = _object(document, "the document", {"flags", "metadata"}, required={"flags"})
    _metadata(found.get("metadata", {}), "metadata")
    for key, flag in _object(found["flags"], "flags").items():
        _text(key, "a flag's key")
        _flag(flag, f"flags.{key}")


def _flag(flag: object, at: str) -> None:
    found = _object(flag, at, FLAG_KEYS, required={"state", "variants", "defaultVariant"})
    if found["state"] not in ("ENABLED", "DISABLED"):
        raise Invalid(f"{at}.state: neither ENABLED nor DISABLED")
    variants = _variants(found["variants"], f"{at}.variants")
    if _text(found["defaultVariant"], f"{at}.defaultVariant") not in variants:
        raise Invalid(f"{at}.defaultVariant: not a variant")
    if "targeting" in found:
        _result(found["targeting"], f"{at}.targeting", variants, 0)
    _metadata(found.get("metadata", {}), f"{at}.metadata")


def _variants(variants: object, at: str) -> frozenset[str]:
    found = _object(variants, at)
    if not found:
        raise Invalid(f"{at}: there is none")
    if len({type(value) for value in found.values()}) != 1:
        raise Invalid(f"{at}: of several types")
    for name, value in found.items():
        _text(name, f"{at}: a name")
        _VARIANT.get(type(value), _no_variant)(value, f"{at}.{name}")
    return frozenset(found)


def _result(rule: object, at: str, variants: frozenset[str], depth: int) -> None:
    """Check what a flag's targeting may come to: the name of a variant, or nothing."""
    if rule is None:
        return
    if isinstance(rule, str):
        if rule not in variants:
            raise Invalid(f"{at}: {rule!r} is not a variant")
        return
    operator, arguments = _operation(rule, at, depth)
    if operator == "fractional":
        _fractional(arguments, at, variants, depth)
    elif operator == "if":
        condition, *results = _counted(operator, arguments, at)
        _argument(condition, f"{at}.if[0]", depth + 1)
        for place, result in enumerate(results, 1):
            _result(result, f"{at}.if[{place}]", variants, depth + 1)
    else:
        raise Invalid(f"{at}: {operator} doesn't come to a variant")


def _fractional(arguments: object, at: str, variants: frozenset[str], depth: int) -> None:
    listed = _list(arguments, f"{at}.fractional")
    if len(listed) < 3:
        raise Invalid(f"{at}.fractional: takes what is hashed, then two shares or more")
    hashed, *shares = listed
    _operation(hashed, f"{at}.fractional[0]", depth + 1)
    _argument(hashed, f"{at}.fractional[0]", depth + 1)
    total = 0
    for place, share in enumerate(shares, 1):
        where = f"{at}.fractional[{place}]"
        name, weight = _pair(share, where)
        if not isinstance(name, str) or name not in variants:
            raise Invalid(f"{where}: {name!r} is not a variant")
        if type(weight) is not int or weight < 0:
            raise Invalid(f"{where}: a weight is a whole number, not {weight!r}")
        total += weight
    if not 0 < total <= HEAVIEST:
        raise Invalid(f"{at}.fractional: the weights' sum {total} is not between 1 and {HEAVIEST}")


def _argument(argument: object, at: str, depth: int) -> None:
    """Check an operand: a plain value, or a rule of the operators that we use."""
    if argument is None or isinstance(argument, bool):
        return
    if isinstance(argument, str):
        _encodable(argument, at)
        return
    if isinstance(argument, int):
        if abs(argument) > _SAFE:
            raise Invalid(f"{at}: {argument} is not held exactly by every evaluator")
        return
    operator, arguments = _operation(argument, at, depth)
    if operator == "var":
        _variable(arguments, f"{at}.var")
        return
    for place, one in enumerate(_counted(operator, arguments, at)):
        _argument(one, f"{at}.{operator}[{place}]", depth + 1)


def _variable(name: object, at: str) -> None:
    if _text(name, at).startswith("$flagd.") and name != "$flagd.timestamp":
        raise Invalid(f"{at}: flagd has no {name}")


def _operation(rule: object, at: str, depth: int) -> tuple[str, object]:
    found = _object(rule, at)
    if depth > _DEEPEST:
        raise Invalid(f"{at}: nested too deeply")
    if len(found) != 1:
        raise Invalid(f"{at}: a rule has one operator")
    ((operator, arguments),) = found.items()
    if operator not in _ARGUMENTS and operator not in ("var", "fractional"):
        raise Invalid(f"{at}: {operator!r} is not an operator that we use")
    return operator, arguments


def _counted(operator: str, arguments: object, at: str) -> list[Any]:
    if operator not in _ARGUMENTS:
        raise Invalid(f"{at}: {operator} has no place here")
    listed = _list(arguments, f"{at}.{operator}")
    fewest, most = _ARGUMENTS[operator]
    if not fewest <= len(listed) <= most:
        raise Invalid(f"{at}.{operator}: takes {fewest} to {most} operands, not {len(listed)}")
    return listed


def _metadata(metadata: object, at: str) -> None:
    for key, value in _object(metadata, at).items():
        _text(key, f"{at}: a key")
        _encodable(value, f"{at}.{key}")


def _object(value: object, at: str, known: Iterable[str] | None = None, required: Iterable[str] = ()) -> Json:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Invalid(f"{at}: not an object")
    unknown = sorted(value.keys() - set(known)) if known is not None else []
    if unknown:
        raise Invalid(f"{at}: {unknown[0]!r} is not a key that every evaluator knows")
    missing = sorted(set(required) - value.keys())
    if missing:
        raise Invalid(f"{at}: {missing[0]} is missing")
    return value


def _list(value: object, at: str) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid(f"{at}: not a list")
    return value


def _pair(value: object, at: str) -> tuple[Any, Any]:
    listed = _list(value, at)
    if len(listed) != 2:
        raise Invalid(f"{at}: a share is a variant and its weight")
    return listed[0], listed[1]


def _text(value: object, at: str) -> str:
    if _encodable(value, at) == "":
        raise Invalid(f"{at}: empty")
    return str(value)


def _encodable(value: object, at: str) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{at}: not a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{at}: not a text that can be stored") from None
    return value


def _texts_in(value: object, at: str) -> None:
    """Check an object variant: texts, and lists of them."""
    for name, found in _object(value, at).items():
        _text(name, f"{at}: a key")
        for place, one in enumerate(found if isinstance(found, list) else [found]):
            _encodable(one, f"{at}.{name}[{place}]" if isinstance(found, list) else f"{at}.{name}")


def _no_variant(_value: object, at: str) -> None:
    raise Invalid(f"{at}: not a boolean, a text or an object")


_VARIANT: dict[type, Callable[[Any, str], object]] = {
    bool: lambda _value, _at: None,
    str: _encodable,
    dict: _texts_in,
}
