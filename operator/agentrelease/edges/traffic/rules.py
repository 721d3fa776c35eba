"""The rules of a user's HTTPRoute, as far as they are ours to write. Pure.

A rule is *marked* when one of its backendRefs is the Service of a slot. In marked rules we write three
things and nothing else: the weights of the slots' backendRefs, one RequestMirror filter to the candidate,
and, in front of the rule, a copy of it for the cohort. The copy is known by its name,
``agentrelease-cohort.<agent>.<n>``, is made anew at every write, and is gone when there is no cohort.
Filters, time-outs, matches, other backends and other rules stay as they are.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agentrelease.core.exposure import Cohort, Exposure
from agentrelease.edges.traffic.split import COARSE, exposed, units, weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentrelease.engine.levers import Placement

Json = dict[str, Any]

_EVERYTHING: Json = {"path": {"type": "PathPrefix", "value": "/"}}


def service_of(ref: Json, placement: Placement) -> str | None:
    """Return the slot's Service that a backendRef names, or ``None`` for any other backend."""
    ours = (
        ref.get("group", "") in ("", "core")
        and ref.get("kind", "Service") == "Service"
        and ref.get("namespace", placement.namespace) == placement.namespace
        and ref.get("name") in placement.services
    )
    return str(ref["name"]) if ours else None


def base_rules(rules: Iterable[Json], placement: Placement) -> list[Json]:
    """Return the marked rules that are the user's own."""
    return [rule for rule in rules if _marked(rule, placement) and not _is_copy(rule, placement)]


def written(rules: Iterable[Json], placement: Placement) -> list[Json]:
    """Return the rules as the placement wants them; what was passed in stays untouched."""
    result: list[Json] = []
    for rule in rules:
        if _is_copy(rule, placement):
            continue
        if not _marked(rule, placement):
            result.append(deepcopy(rule))
            continue
        copy = _cohort_copy(rule, placement, sum(_marked(r, placement) for r in result))
        result += [copy] if copy else []
        result.append(_rule(rule, placement))
    return result


def obstacle(rules: Iterable[Json], placement: Placement) -> str:
    """Say why these rules can't carry the placement's exposure; empty when they can."""
    marked = base_rules(rules, placement)
    if not marked:
        return f"no rule has a backendRef to one of {', '.join(placement.services)}"
    if placement.candidate is None:
        return ""
    exposure = placement.candidate.exposure
    answering = {name for name, weight in weights(placement).items() if weight and exposure.weight}
    answering |= {placement.candidate.service} if exposure.cohort else set()
    for rule in marked:
        absent = sorted(answering - _listed(rule, placement))
        if absent:
            return f"a rule has no backendRef to Service {absent[0]}; add it with weight 0"
        if exposure.weight > 0 and _foreign(rule, placement):
            return "a rule gives weight to a backend that is no slot, so shares can't be kept exactly"
    return ""


def reading(rules: Iterable[Json], placement: Placement) -> tuple[Exposure | None, str]:
    """Return what the rules allow anybody but stable, the highest of all rules, and why they disagree."""
    rules = list(rules)
    marked = base_rules(rules, placement)
    if not marked:
        return None, ""
    reached = exposed(placement)
    shares = {_share(rule, reached, placement) for rule in marked}
    mirrors = {_mirrored(rule, reached, placement) for rule in marked}
    copies = [rule for rule in rules if _is_copy(rule, placement) and _share(rule, reached, placement) > 0]
    cohorts = {_cohort_of(rule) for rule in copies}
    said = Exposure(max(mirrors), min(cohorts, key=str, default=None), max(shares))
    disagree = len(shares) > 1 or len(mirrors) > 1 or len(cohorts) > 1
    return said, "the rules of the route disagree about the candidate" if disagree else ""


def _marked(rule: Json, placement: Placement) -> bool:
    return any(service_of(ref, placement) for ref in rule.get("backendRefs") or ())


def _is_copy(rule: Json, placement: Placement) -> bool:
    return str(rule.get("name", "")).startswith(f"agentrelease-cohort.{placement.agent}.")


def _listed(rule: Json, placement: Placement) -> set[str]:
    return {name for ref in rule["backendRefs"] if (name := service_of(ref, placement))}


def _foreign(rule: Json, placement: Placement) -> int:
    """Return the weight of backends that are not ours."""
    return sum(ref.get("weight", 1) for ref in rule["backendRefs"] if not service_of(ref, placement))


def _rule(rule: Json, placement: Placement) -> Json:
    rule = deepcopy(rule)
    # Beside a backend of somebody else, our part of the rule's traffic stays what it is.
    ours = sum(ref.get("weight", 1) for ref in rule["backendRefs"] if service_of(ref, placement))
    left = weights(placement, ours if _foreign(rule, placement) else None)
    if {name for name, weight in left.items() if weight} - _listed(rule, placement):
        # Where the arm that takes the rest is not listed, any weight would be all of the traffic.
        left |= dict.fromkeys(exposed(placement), 0)
    for ref in rule["backendRefs"]:
        name = service_of(ref, placement)
        if name is not None:
            ref["weight"] = left.get(name, 0)
            left[name] = 0  # a Service that is listed twice gets its share once
    _set_mirror(rule, placement)
    return rule


def _set_mirror(rule: Json, placement: Placement) -> None:
    """Leave exactly one mirror to a slot, in the place of an earlier one, or none."""
    filters = rule.get("filters") or []
    kept = [item for item in filters if not _mirror_target(item, placement)]
    mirror = _mirror(rule, placement)
    if mirror is not None:
        first = next((n for n, item in enumerate(filters) if _mirror_target(item, placement)), len(kept))
        kept.insert(first, mirror)
    if kept:
        rule["filters"] = kept
    elif filters:
        del rule["filters"]


def _mirror(rule: Json, placement: Placement) -> Json | None:
    candidate = placement.candidate
    if candidate is None or candidate.exposure.mirror <= 0:
        return None
    refs = [ref for ref in rule["backendRefs"] if service_of(ref, placement)]
    like = next((ref for ref in refs if ref["name"] == candidate.service), refs[0])
    target = {"group": "", "kind": "Service", "name": candidate.service, "port": like["port"]}
    share = candidate.exposure.mirror
    part: Json = (
        {"percent": int(share)}
        if share == int(share)
        else {"fraction": {"numerator": units(share, COARSE), "denominator": COARSE}}
    )
    return {"type": "RequestMirror", "requestMirror": {"backendRef": target} | part}


def _mirror_target(item: Json, placement: Placement) -> str | None:
    if item.get("type") != "RequestMirror":
        return None
    return service_of(item["requestMirror"]["backendRef"], placement)


def _cohort_copy(rule: Json, placement: Placement, number: int) -> Json | None:
    candidate = placement.candidate
    if candidate is None or candidate.exposure.cohort is None:
        return None
    cohort = candidate.exposure.cohort
    copy = deepcopy(rule)
    matches = [_narrowed(match, cohort) for match in copy.get("matches") or [_EVERYTHING]]
    copy["matches"] = [match for match in matches if match is not None]
    if not copy["matches"]:
        return None
    copy["name"] = f"agentrelease-cohort.{placement.agent}.{number}"
    copy["filters"] = [item for item in copy.get("filters") or () if not _mirror_target(item, placement)]
    if not copy["filters"]:
        del copy["filters"]
    given = False
    for ref in copy["backendRefs"]:
        chosen = service_of(ref, placement) == candidate.service and not given
        ref["weight"] = COARSE if chosen else 0
        given = given or chosen
    return copy


def _narrowed(match: Json, cohort: Cohort) -> Json | None:
    """Return the match with the cohort's header last; ``None`` where it can never hold."""
    headers = list(match.get("headers") or ())
    same = [header for header in headers if header["name"].lower() == cohort.header.lower()]
    if any(h.get("type", "Exact") != "Exact" or h["value"] != cohort.value for h in same):
        return None
    others = [header for header in headers if header not in same]
    added = {"type": "Exact", "name": cohort.header, "value": cohort.value}
    return deepcopy(match) | {"headers": [*others, added]}


def _cohort_of(rule: Json) -> Cohort:
    header = rule["matches"][0]["headers"][-1]
    return Cohort(header["name"], header["value"])


def _share(rule: Json, services: frozenset[str], placement: Placement) -> float:
    """Return the per cent of a rule's requests that these services answer."""
    by_ref = [(service_of(ref, placement), ref.get("weight", 1)) for ref in rule["backendRefs"]]
    total = sum(weight for _, weight in by_ref)
    return 100 * sum(weight for name, weight in by_ref if name in services) / total if total else 0.0


def _mirrored(rule: Json, services: frozenset[str], placement: Placement) -> float:
    """Return the per cent of a rule's requests that are copied to these services."""
    mirrors = [
        item["requestMirror"]
        for item in rule.get("filters") or ()
        if _mirror_target(item, placement) in services
    ]
    return max((_percent(mirror) for mirror in mirrors), default=0.0)


def _percent(mirror: Json) -> float:
    fraction = mirror.get("fraction")
    if fraction:
        return float(100 * fraction["numerator"] / fraction.get("denominator", 100))
    return float(mirror.get("percent", 100))
