"""The course of a candidate's evidence: what was done with a ledger, in which order, without any counts.

Counts can be read again from Prometheus. What nobody could read again is which blocks there were, under
which terms they were compared, and what happened between them. That is the course: with it a ledger that
was lost is folded anew, block by block, and comes out bit for bit the same.

* The last step carries the digest of the ledger that it led to. So a rebuilt ledger proves itself, and a
  stored one that was changed or cut is known for what it is.
* Blocks of one length under the same terms are one run, whatever their number, and runs that follow each
  other are one step.
* A course that grows beyond ``LONGEST`` is given up: what is lost then begins anew, as without one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from agentrelease.core.evidence import Absolute, Comparison, Concurrent, Frozen, Paired
from agentrelease.core.reference import read_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agentrelease.api.vocabulary import Autonomy
    from agentrelease.core.span import Span

LONGEST = 8_000
"""Characters of a course as it is stored."""

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Terms:
    """What blocks have in common: whose they are, how compared, at which level, and if they may raise."""

    candidate: str
    stable: str | None
    audience: str
    stable_audience: str
    since: float
    mirrored: bool
    comparison: str
    share: float | None
    autonomy: str
    usable: bool
    candidate_service: str = ""
    stable_service: str = ""
    held: str = ""
    early: bool = False

    @classmethod
    def of(cls, span: Span, comparison: Comparison, autonomy: Autonomy, *, usable: bool) -> Terms:
        """Return the terms of one block."""
        return cls(
            candidate=span.candidate,
            stable=span.stable,
            audience=span.audience,
            stable_audience=span.stable_audience,
            since=span.since,
            mirrored=span.mirrored,
            comparison=type(comparison).__name__,
            share=comparison.share if isinstance(comparison, Concurrent) else None,
            autonomy=str(autonomy),
            usable=usable,
            candidate_service=span.services.candidate,
            stable_service=span.services.stable,
            held=span.levels.text if span.levels else "",
            early=span.early,
        )

    def against(self, reference: str) -> Comparison:
        """Return the comparison; ``reference`` is the record of stable as it was frozen."""
        match self.comparison:
            case "Concurrent":
                return Concurrent(self.share)
            case "Paired":
                return Paired()
            case "Frozen":
                return Frozen(read_reference(reference))
            case _:
                return Absolute()


@dataclass(frozen=True, slots=True)
class Course:
    """Steps in their order, each ``[word, …]``, and the digest of the policy that they are about.

    ``new at`` · ``past start end stable said`` · ``days start end stable said`` · ``terms …`` ·
    ``to start length count length count …`` · ``enter at`` · ``forgive at names answered`` ·
    ``alarm at level counts held`` · ``through at`` · ``frozen`` · ``proof digest problems``. Times are unix
    seconds.
    """

    policy: str
    steps: tuple[tuple[Any, ...], ...] = ()

    @classmethod
    def begun(cls, policy: str, at: float) -> Course:
        """Return the course of a new ledger."""
        return cls(policy, (("new", at),))

    def then(self, *step: Any) -> Course:
        """Return the course with one more step."""
        return replace(self, steps=(*self.steps, step))

    @property
    def open(self) -> Course:
        """The course without its proof, to go on from the ledger that it led to."""
        return replace(self, steps=self.steps[:-1]) if self.proof else self

    @property
    def proof(self) -> str:
        """The digest of the ledger, where the last step says it."""
        return str(self.steps[-1][1]) if self.steps and self.steps[-1][0] == "proof" else ""

    def absorbed(self, terms: Terms, start: float, end: float) -> Course:
        """Return the course with one more block ``(start, end]``."""
        written = ("terms", *asdict(terms).values())
        last = next((step for step in reversed(self.steps) if step[0] == "terms"), None)
        course = self if last == written else self.then(*written)
        word, *rest = course.steps[-1]
        if word == "to":
            *before, length, count = rest
            *_, (first, _, _) = runs(*rest)
            if first + count * length == start:
                as_long = first + (count + 1) * length == end
                more = (*before, length, count + 1) if as_long else (*rest, end - start, 1)
                return replace(course, steps=(*course.steps[:-1], ("to", *more)))
        return course.then("to", start, end - start, 1)

    def sealed(self, evidence: str, problems: Iterable[str]) -> Course:
        """Return the course with the proof of the ledger that it led to."""
        return self.then("proof", digest_of(evidence), list(problems))

    def to_json(self) -> str:
        """Return compact JSON; empty for a course that has become too long to be kept."""
        document = {"v": _VERSION, "p": self.policy, "s": self.steps}
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        return text if len(text) <= LONGEST else ""

    @classmethod
    def from_json(cls, text: str) -> Course | None:
        """Read what :meth:`to_json` wrote; ``None`` for anything else."""
        try:
            document = json.loads(text) if text else {}
            if document.get("v") != _VERSION:
                return None
            return cls(str(document["p"]), tuple(tuple(step) for step in document["s"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def runs(start: float, *lengths: float) -> Iterator[tuple[float, float, int]]:
    """Return the runs of blocks that a step ``to`` is of: when each starts, the blocks' length, how many."""
    for length, count in zip(lengths[::2], lengths[1::2], strict=True):
        yield start, length, int(count)
        start += length * count


def digest_of(text: str) -> str:
    """Return sixteen hex digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def policy_of(spec: Mapping[str, Any]) -> str:
    """Return the digest of a policy, by which blocks are counted and judged."""
    return digest_of(json.dumps(spec, sort_keys=True))


def missing(evidence: str, course: Course | None) -> bool:
    """Whether evidence that a course led to is gone, or is not what was stored."""
    if course is None:
        return False
    return course.proof != digest_of(evidence) or not evidence
