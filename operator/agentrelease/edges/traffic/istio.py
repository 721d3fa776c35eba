"""How an Istio VirtualService spells a rule: ``spec.http[]`` of ``networking.istio.io/v1``.

* A lone destination without a weight takes everything; beside others it takes nothing.
* Mirrors are written into ``mirrors[]``. A rule with somebody's own ``mirror`` can't have both.
* Header names must be lower-case. The cohort's name as it was given is kept as the match's name, which
  Istio uses for its logs only; by it the cohort is found again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentrelease.core.exposure import Cohort
from agentrelease.edges.traffic import cookies
from agentrelease.edges.traffic.split import COARSE

if TYPE_CHECKING:
    from collections.abc import Collection

    from agentrelease.engine.levers import Placement

Json = dict[str, Any]

_SINGLE = ("mirror", "mirrorPercentage", "mirrorPercent", "mirror_percent")


class Istio:
    """The dialect of VirtualService."""

    def backends(self, rule: Json) -> list[Json]:
        """Return the weighted destinations."""
        return rule.get("route") or []

    def service(self, backend: Json, placement: Placement) -> str | None:
        """Return the slot's Service, by its short name or its name in this namespace."""
        host = str(backend["destination"]["host"])
        for name in placement.services:
            local = f"{name}.{placement.namespace}"
            if host in (name, local, f"{local}.svc") or host.startswith(f"{local}.svc."):
                return name
        return None

    def weight(self, backend: Json, *, alone: bool) -> int:
        """Return the weight; without one, a lone destination has everything and others nothing."""
        return int(backend.get("weight") or (100 if alone else 0))

    def mirrored(self, rule: Json, services: Collection[str], placement: Placement) -> float:
        """Return the largest share of a mirror to one of the services."""
        found = [
            _percent(item.get("percentage"))
            for item in rule.get("mirrors") or ()
            if self.service(item, placement) in services
        ]
        if self._single(rule, placement) in services:
            found.append(_single_percent(rule))
        return max(found, default=0.0)

    def set_mirror(self, rule: Json, placement: Placement, service: str | None, share: float) -> None:
        """Leave one entry of ``mirrors`` to a slot, in the place of an earlier one, or none."""
        if self._single(rule, placement):
            for key in _SINGLE:
                rule.pop(key, None)
        mirrors = rule.get("mirrors") or []
        kept = [item for item in mirrors if not self.service(item, placement)]
        if service is not None and "mirror" not in rule:
            first = (n for n, item in enumerate(mirrors) if self.service(item, placement))
            mirror = {
                "destination": self._destination(rule, placement, service),
                "percentage": {"value": share},
            }
            kept.insert(next(first, len(kept)), mirror)
        if kept:
            rule["mirrors"] = kept
        elif mirrors:
            del rule["mirrors"]

    def mirror_obstacle(self, rule: Json, placement: Placement) -> str:
        """Say that the rule has somebody's own single mirror."""
        if "mirror" not in rule or self._single(rule, placement):
            return ""
        return "a rule has a mirror of its own; write it into mirrors[], so that there can be two"

    def narrow(self, rule: Json, cohort: Cohort) -> bool:
        """Add the cohort's header to every match that it doesn't contradict."""
        name = cookies.HEADER if cohort.cookie else cohort.name
        key = name.lower()
        wanted = {"regex": cookies.expression(cohort)} if cohort.cookie else {"exact": cohort.value}
        matches = [
            match | {"name": name, "headers": (match.get("headers") or {}) | {key: wanted}}
            for match in rule.get("match") or [{}]
            if (match.get("headers") or {}).get(key, wanted) == wanted
        ]
        rule["match"] = matches
        return bool(matches)

    def cohort(self, rule: Json) -> Cohort | None:
        """Return the header that the matches are named after."""
        named = [(m.get("name", ""), m.get("headers") or {}) for m in rule.get("match") or [{}]]
        found = {(name, *_matched(headers.get(name.lower()) or {})) for name, headers in named}
        name, how, value = found.pop()
        if found or not name:
            return None
        if how == "regex" and name == cookies.HEADER:
            return cookies.cohort_of(value)
        return Cohort(name, value) if how == "exact" else None

    def settle(self, rule: Json, placement: Placement) -> None:
        """Give a rule without any weight a destination: stable, or for want of it the other slot.

        A weight of zero is no weight to Istio: a lone destination would get everything, and several
        without any are refused.
        """
        backends = self.backends(rule)
        if any(item.get("weight") for item in backends):
            return
        if placement.stable is not None:
            stable = self._destination(rule, placement, placement.stable.service)
            backends.append({"destination": stable, "weight": COARSE})
            return
        candidate = placement.candidate.service if placement.candidate else None
        for item in backends:
            if self.service(item, placement) not in (None, candidate):
                item["weight"] = COARSE
                return

    def _single(self, rule: Json, placement: Placement) -> str | None:
        target = rule.get("mirror")
        return self.service({"destination": target}, placement) if target else None

    def _destination(self, rule: Json, placement: Placement, service: str) -> Json:
        """Return the candidate's destination as the rule has it, or one like stable's."""
        ours = [b for b in self.backends(rule) if self.service(b, placement)]
        same = next((b for b in ours if self.service(b, placement) == service), None)
        if same is not None:
            return dict(same["destination"])
        port = {key: value for key, value in ours[0]["destination"].items() if key == "port"}
        return {"host": f"{service}.{placement.namespace}.svc.cluster.local"} | port


def _matched(header: Json) -> tuple[str, str]:
    """Return how a header is matched and with what; nothing where it is matched in no single way."""
    (how, value), *more = header.items() or [("", "")]
    return ("", "") if more else (how, str(value))


def _percent(percentage: Json | None) -> float:
    return 100.0 if percentage is None else float(percentage.get("value", 0.0))


def _single_percent(rule: Json) -> float:
    for key in ("mirrorPercent", "mirror_percent"):
        if key in rule:
            return float(rule[key])
    return _percent(rule.get("mirrorPercentage"))
