"""A bundle's identity, and what differs between two of them.

Identity is the SHA-256 of the canonical JSON (RFC 8785) of the bundle as the models write it, so it
does not depend on key order, whitespace, YAML style, number spelling (``1`` or ``1.0``), the machine
or the Python. The order of a list is content: tools and prompts reach the model in that order.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import rfc8785

from agentrelease.api.bundle import LAYERS
from agentrelease.api.revision import ChangeKind, LayerChange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentrelease.api.bundle import Bundle

REVISION_DIGITS = 10
MAX_CHANGES_PER_LAYER = 24
MAX_VALUE = 128


def canonical(bundle: Bundle) -> bytes:
    """Return the bundle as RFC 8785 JSON, UTF-8. This is what pods read and what digests cover."""
    return bytes(rfc8785.dumps(bundle.to_object()))


def digest_of(bundle: Bundle) -> str:
    """Return ``sha256:<64 hex digits>`` of the canonical form."""
    return _sha256(canonical(bundle))


def layer_digests(bundle: Bundle) -> dict[str, str]:
    """Return each layer's own digest by layer name, all ten, in the order of ``LAYERS``."""
    content = bundle.to_object()
    return {layer: _sha256(rfc8785.dumps(content[layer])) for layer in LAYERS}


def revision_name(release: str, digest: str) -> str:
    """Return ``<release>-<first ten hex digits>``, for example ``support-3f9a0c11de``."""
    return f"{release}-{digest.removeprefix('sha256:')[:REVISION_DIGITS]}"


def changes(old: Bundle, new: Bundle) -> tuple[LayerChange, ...]:
    """Return what differs, layer by layer in the order of ``LAYERS``; empty only for equal bundles.

    A layer with more than ``MAX_CHANGES_PER_LAYER`` differences ends with one entry of kind ``more``
    that counts the rest, which keeps a revision small however much changed.
    """
    before, after = old.to_object(), new.to_object()
    found: list[LayerChange] = []
    for layer in LAYERS:
        entries = list(_layer_changes(layer, before[layer], after[layer]))
        found += entries[:MAX_CHANGES_PER_LAYER]
        if len(entries) > MAX_CHANGES_PER_LAYER:
            rest = len(entries) - MAX_CHANGES_PER_LAYER
            found.append(LayerChange(layer=layer, change=ChangeKind.MORE, to=str(rest)))
    return tuple(found)


def _layer_changes(layer: str, before: Any, after: Any) -> Iterator[LayerChange]:
    if not isinstance(before, list):
        yield from _field_changes(layer, "", before, after)
        return
    old, new = {i["name"]: i for i in before}, {i["name"]: i for i in after}
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield _change(layer, name, "", ChangeKind.ADDED, to=_pin(new[name]))
        elif name not in new:
            yield _change(layer, name, "", ChangeKind.REMOVED, from_=_pin(old[name]))
        else:
            yield from _field_changes(layer, name, old[name], new[name])
    kept_before = [name for name in old if name in new]
    kept_after = [name for name in new if name in old]
    if kept_before != kept_after:
        yield _change(
            layer, "", "", ChangeKind.REORDERED, from_=", ".join(kept_before), to=", ".join(kept_after)
        )


def _field_changes(layer: str, name: str, before: Any, after: Any) -> Iterator[LayerChange]:
    old, new = dict(_leaves(before)), dict(_leaves(after))
    for field in sorted(old.keys() | new.keys()):
        if field not in old:
            yield _change(layer, name, field, ChangeKind.ADDED, to=new[field])
        elif field not in new:
            yield _change(layer, name, field, ChangeKind.REMOVED, from_=old[field])
        elif old[field] != new[field]:
            yield _change(layer, name, field, ChangeKind.CHANGED, from_=old[field], to=new[field])


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield ``(dotted path, text)`` of everything below.

    Only parameters may be other than strings, so only there a string keeps its quotes and ``"1"``
    stays apart from ``1``.
    """
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, f"{path}.{key}" if path else key)
    elif isinstance(value, str) and not path.startswith("parameters."):
        yield path, value
    else:
        yield path, rfc8785.dumps(value).decode()


def _pin(item: dict[str, Any]) -> str:
    """What pins an item, for people: its version or snapshot, else its digest."""
    return str(item.get("version") or item.get("snapshot") or item.get("schema") or item.get("digest"))


def _change(
    layer: str, name: str, field: str, kind: ChangeKind, *, from_: str = "", to: str = ""
) -> LayerChange:
    return LayerChange(
        layer=layer, name=name, field=_short(field), change=kind, from_=_short(from_), to=_short(to)
    )


def _short(text: str) -> str:
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
