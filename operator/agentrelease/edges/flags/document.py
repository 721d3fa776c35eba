"""The flag document that an agent obeys, as a value, and back from JSON to the value.

One flag set per agent, in flagd's format (https://flagd.dev/schema/v0/flags.json): what each revision
may do, a kill switch and, where no route splits, which revision serves a session. ``parse`` accepts
exactly what ``FlagSet.document`` can have written; all else is a problem and never passes for "lower".

* Whose permission it is, until when and for which requests are rules: see ``rules``.
* Who meets the candidate is a rule too, and only where the flag splits: see ``share``.
* A model to fall back to has no lease: it is a lowering, and outlives the operator.
* A release name is compared as data. It is never a key, a variant or part of a rule's text.
* ``halt`` is written as a value, not as ``state: DISABLED``, which means "code default" to a caller.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.strata import Permission, Stratum
from agentrelease.edges.flags.rules import Rule, rules_of, targeting
from agentrelease.edges.flags.share import CANDIDATE, NOBODY, STABLE, Share, share_of

if TYPE_CHECKING:
    from agentrelease.engine.levers import Arm, Placement

Json = dict[str, Any]

DENY_ALL = "deny-all"
OPERATOR = "operator"
PERSON = "person"
EVERYONE = "everyone"
"""Who halted: the operator, a person this agent, or a person all agents at once."""

_LEVELS = {
    "observe": Autonomy.OBSERVE,
    "suggest": Autonomy.SUGGESTION_ONLY,
    "limited": Autonomy.LIMITED_ACTION,
    "full": Autonomy.FULL_ACTION,
}
_VARIANTS = {level: variant for variant, level in _LEVELS.items()}
_ROLES = (STABLE, CANDIDATE)
_OWN_MODEL = "bundle"


class Unreadable(ValueError):
    """A document that this operator has not written; the text says where it differs."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one revision may do until a moment in unix seconds; ``None`` is without end.

    ``model`` is the one to use in place of the bundle's own, as ``name@version``; empty for none.
    """

    revision: str
    autonomy: Autonomy = Autonomy.OBSERVE
    allow: frozenset[str] = frozenset()
    asking: frozenset[str] = frozenset()
    lease_until: int | None = None
    strata: tuple[Stratum, ...] = ()
    model: str = ""

    @classmethod
    def of(cls, arm: Arm | None) -> Grant | None:
        """Return an arm's grant."""
        if arm is None:
            return None
        exposure = arm.exposure
        return cls(
            arm.revision,
            exposure.autonomy,
            exposure.tools,
            arm.asking,
            arm.lease_until,
            exposure.strata,
            arm.model,
        )

    @property
    def rest(self) -> Permission:
        """What requests may do that belong to no stratum."""
        return Permission(self.autonomy, self.allow, self.asking)

    def variants(self, role: str) -> dict[str, Permission]:
        """Return the variants of the tool policy that this grant needs, by name."""
        strata = {f"{role}-{place}": one.permission for place, one in enumerate(self.strata)}
        return {role: self.rest} | strata


@dataclass(frozen=True, slots=True)
class FlagSet:
    """All flags of one agent. ``version`` counts writes and only ever grows.

    ``halted_by`` remembers who wrote the kill switch last, so that the operator can take back its own
    halt and never a person's. A person who patches the switch leaves it as it was. ``splits`` says
    whether sessions are split by flag, ``share`` how many meet the candidate then, and ``service`` where
    stable is reached.
    """

    agent: str
    version: int
    stable: Grant | None = None
    candidate: Grant | None = None
    halted: bool = False
    halted_by: str = ""
    splits: bool = False
    share: Share | None = None
    service: str = ""

    @property
    def grants(self) -> tuple[tuple[str, Grant], ...]:
        """Roles and grants in the order in which an evaluator tries them."""
        both = zip(_ROLES, (self.stable, self.candidate), strict=True)
        return tuple((role, grant) for role, grant in both if grant is not None)

    def grant(self, revision: str) -> Grant:
        """Return what an agent that names this revision gets while its lease lasts."""
        for _, grant in self.grants:
            if grant.revision == revision:
                return grant
        return Grant(revision)

    def document(self) -> Json:
        """Return the document as flagd reads it."""
        flags = {
            f"{self.agent}.autonomy-level": self._levels(),
            f"{self.agent}.tool-policy": self._policies(),
            f"{self.agent}.model": self._models(),
            f"{self.agent}.halt": self._halt(),
        }
        if self.splits:
            flags[f"{self.agent}.release"] = self._release()
        return {
            "metadata": {"flagSetId": f"agents/{self.agent}", "version": str(self.version)},
            "flags": flags,
        }

    def _levels(self) -> Json:
        rules = [
            Rule(
                grant.revision,
                _VARIANTS[grant.autonomy],
                tuple((one.labels, _VARIANTS[one.permission.autonomy]) for one in grant.strata),
                grant.lease_until,
            )
            for _, grant in self.grants
        ]
        return _flag({variant: str(level) for variant, level in _LEVELS.items()}, "observe", rules)

    def _policies(self) -> Json:
        variants: Json = {DENY_ALL: _policy(Permission())}
        rules = []
        for role, grant in self.grants:
            named = grant.variants(role)
            variants |= {name: _policy(permission) for name, permission in named.items()}
            labels = (one.labels for one in grant.strata)
            chosen = tuple(zip(labels, list(named)[1:], strict=True))
            rules.append(Rule(grant.revision, role, chosen, grant.lease_until))
        return _flag(variants, DENY_ALL, rules)

    def _models(self) -> Json:
        """Say which model replaces the bundle's own, if one does."""
        fallen = [(role, grant) for role, grant in self.grants if grant.model]
        variants = {_OWN_MODEL: ""} | {role: grant.model for role, grant in fallen}
        return _flag(variants, _OWN_MODEL, [Rule(grant.revision, role) for role, grant in fallen])

    def _release(self) -> Json:
        """Say which revision serves: stable, or nobody before there is one; and who meets the candidate.

        Without a lease nobody does: a split that would outlive the operator is not written.
        """
        rest = STABLE if self.stable else NOBODY
        variants = {rest: _served(self.stable, self.service)}
        flag: Json = {"state": "ENABLED", "defaultVariant": rest, "variants": variants}
        candidate = self.candidate
        if self.share is not None and candidate is not None and candidate.lease_until is not None:
            variants[CANDIDATE] = _served(candidate, self.share.service)
            flag["targeting"] = self.share.json(candidate.revision, rest, candidate.lease_until)
        return flag

    def _halt(self) -> Json:
        flag: Json = {
            "state": "ENABLED",
            "defaultVariant": "on" if self.halted else "off",
            "variants": {"on": True, "off": False},
        }
        if self.halted_by:
            flag["metadata"] = {"by": self.halted_by}
        return flag


def flag_set(placement: Placement, version: int, *, halted_by: str = "") -> FlagSet:
    """Return what a placement says; ``halted_by`` names who else keeps the kill switch on."""
    by = halted_by or (OPERATOR if placement.halted else "")
    stable, candidate = Grant.of(placement.stable), Grant.of(placement.candidate)
    return FlagSet(
        placement.agent,
        version,
        stable,
        candidate,
        halted=bool(by),
        halted_by=by,
        splits=placement.splits,
        share=Share.of(placement.candidate) if placement.splits else None,
        service=placement.stable.service if placement.splits and placement.stable else "",
    )


def build(placement: Placement, version: int) -> Json:
    """Return the document that carries out a placement."""
    return flag_set(placement, version).document()


def text(document: Json) -> str:
    """Return a document as it is stored: one text for one content, and readable."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _exact(document: object) -> str:
    """Return one text for one content, fast; values are not compared, because True equals 1."""
    return json.dumps(document, sort_keys=True)


def parse(document: object, agent: str) -> FlagSet:
    """Return the flag set that a document of this agent carries, or raise ``Unreadable``."""
    try:
        found = _extract(document, agent)
        same = _exact(found.document()) == _exact(document)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise Unreadable(f"not a flag document of agent {agent}: {type(error).__name__} {error}") from error
    if not same:
        raise Unreadable(f"the flag document of agent {agent} is not one that this operator writes")
    return found


def halts(document: object, agent: str) -> bool:
    """Whether a document, ours or a person's own short one, stops the agent by its kill switch.

    A switch with rules, which we never write, stops somebody; a disabled one leaves it to the agent's
    code, and that says halt.
    """
    try:
        flag = document["flags"][f"{agent}.halt"]  # type: ignore[index] # any JSON; guarded
        if flag.get("targeting") or flag.get("state") == "DISABLED":
            return True
        return flag["variants"][flag["defaultVariant"]] is True
    except (KeyError, TypeError, IndexError, AttributeError):
        return False


def halted_by(document: object, agent: str) -> str:
    """Return whose halt a document carries; a person's, if nobody signed it, and nothing without a halt."""
    if not halts(document, agent):
        return ""
    try:
        by = document["flags"][f"{agent}.halt"]["metadata"]["by"]  # type: ignore[index]
    except (KeyError, TypeError):
        return PERSON
    return by if by in (OPERATOR, EVERYONE) else PERSON


def kept_halt(document: object, agent: str) -> str:
    """Return who halts where it is not the operator, else nothing."""
    by = halted_by(document, agent)
    return "" if by == OPERATOR else by


def version_of(document: object) -> int:
    """Return a document's version, or 0 where there is none to be found."""
    try:
        return max(0, int(document["metadata"]["version"]))  # type: ignore[index]
    except (KeyError, TypeError, ValueError, IndexError):
        return 0


def _flag(variants: Json, default: str, rules: list[Rule]) -> Json:
    flag: Json = {"state": "ENABLED", "defaultVariant": default, "variants": variants}
    rule = targeting(rules, default)
    if rule is not None:
        flag["targeting"] = rule
    return flag


def _served(grant: Grant | None, service: str) -> Json:
    return {"revision": grant.revision if grant else "", "service": service}


def _policy(permission: Permission) -> Json:
    return {"allow": sorted(permission.tools), "requireApproval": sorted(permission.asking)}


def _extract(document: Any, agent: str) -> FlagSet:
    """Pick the values out; what is left over is found by writing them again."""
    flags = document["flags"]
    level, policy, model, halt = (
        flags[f"{agent}.{name}"] for name in ("autonomy-level", "tool-policy", "model", "halt")
    )
    roles = [rule.rest for rule in rules_of(policy)]
    models = {rule.rest: model["variants"][rule.rest] for rule in rules_of(model)}
    if not all(isinstance(name, str) for name in models.values()):
        raise TypeError("a model's name is no text")
    grants = {
        role: _grant(role, rule, policy["variants"], models.get(role, ""))
        for role, rule in zip(roles, rules_of(level), strict=True)
    }
    by = halt.get("metadata", {}).get("by", "")
    if by not in ("", OPERATOR, PERSON, EVERYONE):
        raise ValueError(f"unknown author of a halt: {by!r}")
    release = flags.get(f"{agent}.release")
    service = release["variants"][STABLE]["service"] if release and STABLE in grants else ""
    if not isinstance(service, str):
        raise TypeError("a Service's name is no text")
    return FlagSet(
        agent,
        version_of(document),
        grants.get(STABLE),
        grants.get(CANDIDATE),
        halted=halt["defaultVariant"] == "on",
        halted_by=by,
        splits=release is not None,
        share=None if release is None else share_of(release),
        service=service,
    )


def _grant(role: str, rule: Rule, policies: Json, model: str) -> Grant:
    rest = _permission(rule.rest, policies[role])
    strata = tuple(
        Stratum(labels, _permission(variant, policies[f"{role}-{place}"]))
        for place, (labels, variant) in enumerate(rule.strata)
    )
    return Grant(rule.revision, rest.autonomy, rest.tools, rest.asking, rule.until, strata, model)


def _permission(variant: str, tools: Json) -> Permission:
    return Permission(_LEVELS[variant], _names(tools["allow"]), _names(tools["requireApproval"]))


def _names(listed: list[Any]) -> frozenset[str]:
    if not all(isinstance(name, str) for name in listed):
        raise TypeError("a tool's name is no string")
    return frozenset(listed)
