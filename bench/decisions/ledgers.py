"""Many ledgers at once: what ``core.ledger``, ``core.wealth`` and ``core.standing`` do to one, on arrays.

Rounded as the core rounds, so that both take the same decisions in the same block:
``bench.decisions.agreement`` plays a sample of the runs of every scenario through the core and compares.

Shapes: R runs, M metrics, S strata; alternatives first.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from agentrelease.core import contrast, ledger, srm, standing, statistics, wealth
from agentrelease.core.evidence import Count
from bench.decisions.evalues import against_bound, against_stable, harmful
from bench.decisions.scatters import Scatters, short
from bench.decisions.world import HIGH, STRATA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.core.guardrails import Plan
    from bench.decisions.world import World

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_SCATTER = ("seen", "pairs", "n", "x")
NEVER = -1e9
"""Wealth, in steps of the core's, of what has not begun to bet."""


@dataclass
class Counts:
    """One block of all runs: ``n`` (R, S), ``x`` (R, M, S), which arm is known (R), and how it is compared.

    ``share`` is the candidate's intended one, NaN where the split is not judged; ``frozen`` compares with the
    record instead of stable.
    """

    n_c: Floats
    x_c: Floats
    n_b: Floats
    x_b: Floats
    seen_c: Flags
    seen_b: Flags
    share: Floats
    frozen: Flags


class Ledgers:
    """R ledgers at time 0 (seconds). ``keep`` drops runs that are decided."""

    _BY_RUN = (
        "past_n", "past_x", "safe", "required", "n_c", "n_b", "x_b", "known_at", "blocks", "phase_blocks",
        "arm_share", "arm_c", "arm_b", "family", "record_n", "record_x", "usual", "highest",
    )  # fmt: skip

    def __init__(self, plan: Plan, runs: int) -> None:
        self.plan = plan
        tested = plan.tested
        m, s = len(tested), len(STRATA)
        self.margins = [_margins(tested, name) for name in ("tolerance", "max_harm", "max_harm_stratum")]
        self.weight = np.log([g.weight for g in tested])
        self.alpha = -np.log([g.alpha for g in tested])
        self.expected = np.array([g.expected for g in tested])[None, :, None]
        steps = len(statistics.HORIZONS)
        self.pooled = np.full((runs, steps, m), NEVER)
        self.strata = np.full((runs, steps, m, s), NEVER)
        self.past_n, self.past_x = np.zeros((runs, m, s)), np.zeros((runs, m, s))
        self.usual, self.highest = np.zeros((runs, m, s)), np.zeros((runs, m, s))
        self.scatter = Scatters((runs, m))
        self.safe = np.zeros((runs, len(statistics.SAFE_STEPS), m))
        self.required = np.zeros((runs, m))
        self.n_c, self.n_b, self.x_b = np.zeros(runs), np.zeros((runs, s)), np.zeros((runs, m, s))
        self.known_at, self.family = np.zeros(runs), np.zeros(runs)
        self.blocks, self.phase_blocks = np.zeros(runs), np.zeros(runs)
        self.arm_share, self.arm_c, self.arm_b = np.zeros(runs), np.zeros(runs), np.zeros(runs)
        self.record_n, self.record_x = np.zeros((runs, m, s)), np.zeros((runs, m, s))

    def keep(self, kept: Flags) -> None:
        for name in (*self._BY_RUN, "pooled", "strata"):
            setattr(self, name, getattr(self, name)[kept])
        for name in _SCATTER:
            setattr(self.scatter, name, getattr(self.scatter, name)[kept])

    def taken(self, which: Flags) -> Ledgers:
        """Return a copy of some of them."""
        other = copy(self)
        other.scatter = copy(self.scatter)
        other.keep(which)
        return other

    @classmethod
    def joined(cls, parts: Sequence[Ledgers]) -> Ledgers:
        """Return all of them, in their order."""
        whole = copy(parts[0])
        whole.scatter = copy(whole.scatter)
        for held, names in (
            (lambda p: p, (*cls._BY_RUN, "pooled", "strata")),
            (lambda p: p.scatter, _SCATTER),
        ):
            for name in names:
                setattr(held(whole), name, np.concatenate([getattr(held(p), name) for p in parts]))
        return whole

    def warmed(self, past: World) -> None:
        """Put stable's past before the first block: ``Ledger.warmed``."""
        for tick in range(past.ticks):
            n, x, known = past.n_b[:, tick], past.x_b[:, tick], past.seen_b[:, tick]
            self._fade(n, x, known)
            self.scatter.after(*_all_strata(n, x, known))
        if past.days is not None:
            self._remember(past.days)

    def _remember(self, days: World) -> None:
        """Learn what stable's past days came back to: ``Ledger.remembering``."""
        phi, hours, at = self.scatter.phi(), days.ticks, np.ndindex(self.past_n.shape)
        for run, m, s in at:
            n, x = days.n_b[run, :, s], days.x_b[run, :, m, s]
            known = {hours - 1 - t: Count(float(n[t]), float(x[t])) for t in range(hours)}
            state = wealth.used_to(wealth.StratumState(), known, float(phi[run, m]), len(STRATA))
            self.usual[run, m, s], self.highest[run, m, s] = state.recorded.usual, state.recorded.highest

    def enter_phase(self, which: Flags, at: float) -> None:
        self.safe[which], self.required[which] = 0.0, 0.0
        self.n_c[which], self.n_b[which], self.x_b[which] = 0.0, 0.0, 0.0
        self.known_at[which] = np.maximum(at, self.known_at[which])
        self.phase_blocks[which] = 0
        self.arm_share[which], self.arm_c[which], self.arm_b[which] = 0.0, 0.0, 0.0

    def forgiven(self, which: Flags, names: Flags, at: float) -> None:
        """Begin a fresh window; the harm of ``names`` (R, M) begins anew with what does not wait."""
        self.enter_phase(which, at)
        anew = which[:, None] & names
        begun = 1.0 - _waiting(self.blocks)
        with np.errstate(divide="ignore"):
            fresh = np.maximum(np.rint(wealth.UNIT * np.log(begun)), NEVER)
        self.pooled = np.where(anew[:, None, :], fresh[:, None, None], self.pooled)
        self.strata = np.where(anew[:, None, :, None], fresh[:, None, None, None], self.strata)

    def freeze(self, which: Flags) -> None:
        """Take the record that is compared with when stable gets no traffic: ``write_reference``."""
        phase = np.broadcast_to(self.n_b[:, None, :], self.past_n.shape)
        longer = phase >= self.past_n
        n, x = np.where(longer, phase, self.past_n), np.where(longer, self.x_b, self.past_x)
        self.record_n = np.where(which[:, None, None], n, self.record_n)
        self.record_x = np.where(which[:, None, None], x, self.record_x)

    def absorb(self, block: Counts, end: float, which: Flags) -> None:
        """``Ledger.absorb`` for the runs in ``which``."""
        before, after = _waiting(self.blocks), _waiting(self.blocks + 1)
        phi = self.scatter.phi()[:, :, None]
        self._start(before - after, which)
        harm, safe, alone = self._gains(block)
        known = which & block.seen_c & (block.frozen | block.seen_b)
        self._bet(harm, safe, alone, phi, known)
        self.known_at = np.where(known, end, self.known_at)
        taken = which & block.seen_c
        self.n_c += np.where(taken, block.n_c.sum(axis=1), 0.0)
        both = taken & block.seen_b
        self.n_b += np.where(both[:, None], block.n_b, 0.0)
        self.x_b += np.where(both[:, None, None], block.x_b, 0.0)
        if block.seen_b.any():
            self._fade(block.n_b, block.x_b, both)
            self.scatter.after(*_all_strata(block.n_b, block.x_b, which & block.seen_b))
        self._arms(block, which)
        self.blocks += which
        self.phase_blocks += which

    def _gains(self, block: Counts) -> tuple[list[Floats], list[Floats], Floats]:
        """Log e-values of harm, safety, and the required stratum's, by what each run is compared with."""
        if not block.frozen.any():
            found = self._concurrent(block)
        elif block.frozen.all():
            found = self._frozen(block)
        else:
            mask = block.frozen[:, None, None]
            both = zip(self._frozen(block), self._concurrent(block), strict=True)
            found = [np.where(mask, new, old) for new, old in both]
        steps = len(statistics.HORIZONS)
        return found[:steps], found[steps:-1], found[-1]

    def _concurrent(self, block: Counts) -> list[Floats]:
        rate = (self.past_x + wealth.PSEUDO_TASKS * self.expected) / (self.past_n + wealth.PSEUDO_TASKS)
        rate = np.clip(rate, 1e-6, 0.999)
        arms = block.n_c[:, None, :], block.x_c, block.n_b[:, None, :], block.x_b
        tolerance, max_harm, own = self.margins
        edge = tolerance[0] * rate + tolerance[1]
        harm = [against_stable(tolerance, harmful(edge, h), rate, arms) for h in statistics.HORIZONS]
        inside = contrast.INSIDE * (max_harm[0] * rate + max_harm[1])
        safe = [
            against_stable(max_harm, np.minimum(rate * step, inside), rate, arms)
            for step in statistics.SAFE_STEPS
        ]
        high = tuple(part[..., HIGH:] for part in arms)
        rate = rate[..., HIGH:]
        step = np.minimum(rate * statistics.SAFE_STEPS[0], contrast.INSIDE * (own[0] * rate + own[1]))
        return [*harm, *safe, against_stable(own, step, rate, high)]

    def _frozen(self, block: Counts) -> list[Floats]:
        n, x = np.maximum(self.record_n, 1.0), self.record_x
        risk = np.log(2.0 * len(STRATA) / contrast.RECORD_RISK)
        low = np.maximum(0.0, np.sqrt(x + risk / 6.0) - np.sqrt(risk / 2.0)) ** 2 / n
        low = np.maximum(low, self.usual)
        high = np.maximum((np.sqrt(risk / 2.0) + np.sqrt(x + risk / 2.0)) ** 2 / n, self.highest)
        rate = np.maximum((x + 0.5) / (self.record_n + 1.0), self.usual)
        arm = block.n_c[:, None, :], block.x_c
        tolerance, max_harm, own = self.margins
        edge = tolerance[0] * high + tolerance[1]
        found = [against_bound(edge, harmful(edge, h), *arm) for h in statistics.HORIZONS]
        edge = max_harm[0] * low + max_harm[1]
        found += [
            against_bound(edge, np.minimum(rate * step, contrast.INSIDE * edge), *arm)
            for step in statistics.SAFE_STEPS
        ]
        edge = own[0] * low + own[1]
        step = np.minimum(rate * statistics.SAFE_STEPS[0], contrast.INSIDE * edge)
        return [*found, against_bound(edge, step, *arm)[..., HIGH:]]

    def _start(self, fresh: Floats, which: Flags) -> None:
        begins = which & (fresh > 0)
        if begins.any():
            log = np.log(np.where(begins, fresh, 1.0))
            for name, shape in (("pooled", (-1, 1, 1)), ("strata", (-1, 1, 1, 1))):
                held = getattr(self, name)
                more = np.rint(wealth.UNIT * np.logaddexp(held / wealth.UNIT, log.reshape(shape)))
                setattr(self, name, np.where(begins.reshape(shape), more, held))

    def _bet(self, harm: list[Floats], safe: list[Floats], alone: Floats, phi: Floats, known: Flags) -> None:
        one, two = known[:, None], known[:, None, None]
        for place, gain in enumerate(harm):
            tempered = np.where(two, gain / phi, 0.0)
            self.strata[:, place] += np.rint(wealth.UNIT * tempered)
            self.pooled[:, place] += np.rint(wealth.UNIT * tempered.sum(axis=2))
        for place, gain in enumerate(safe):
            self.safe[:, place] += np.where(one, np.rint(wealth.UNIT * (gain.sum(axis=2) / phi[..., 0])), 0.0)
        self.required += np.where(one, np.rint(wealth.UNIT * (alone[..., 0] / phi[..., 0])), 0.0)

    def _fade(self, n: Floats, x: Floats, which: Flags) -> None:
        mask = which[:, None, None]
        self.past_n = np.where(mask, short(self.past_n * wealth.DECAY + n[:, None, :], 4), self.past_n)
        self.past_x = np.where(mask, short(self.past_x * wealth.DECAY + x, 4), self.past_x)

    def _arms(self, block: Counts, which: Flags) -> None:
        judged = ~np.isnan(block.share)
        goes_on = judged & (self.arm_share == block.share)
        n_c, n_b = block.n_c.sum(axis=1), block.n_b.sum(axis=1)
        told = block.seen_c & block.seen_b
        for name, more in (("arm_c", np.where(told, n_c, 0.0)), ("arm_b", np.where(told, n_b, 0.0))):
            held = np.where(judged, np.where(goes_on, getattr(self, name), 0.0) + more, 0.0)
            setattr(self, name, np.where(which, held, getattr(self, name)))
        self.arm_share = np.where(which, np.where(judged, block.share, 0.0), self.arm_share)

    def harm(self) -> tuple[Floats, Floats]:
        """Weighted log evidence by metric (R, M), and of the family (R)."""
        waits = np.log(_waiting(self.blocks))
        steps = np.log(len(statistics.HORIZONS))
        strata = _total(self.strata / wealth.UNIT, 1) - steps
        pooled = _total(self.pooled / wealth.UNIT, 1) - steps
        strata = np.logaddexp(strata, waits[:, None, None])
        pooled = np.logaddexp(pooled, waits[:, None]) + np.log(standing.POOLED_SHARE)
        share = np.log((1 - standing.POOLED_SHARE) / len(STRATA))
        metric = np.logaddexp(pooled, _total(strata + share, 2)) + self.weight
        return metric, _total(metric, 1)

    def breached(self) -> tuple[Flags, Flags]:
        """Which metrics are breached (R, M), and where the family at least is suspect (R)."""
        metric, family = self.harm()
        self.family = family
        bound = -np.log(self.plan.false_rollback)
        own = metric >= bound
        leads = np.arange(metric.shape[1]) == metric.argmax(axis=1)[:, None]
        only = (family >= bound) & ~own.any(axis=1)
        return own | (only[:, None] & leads), family >= np.log(self.plan.suspect_at)

    def excluded(self) -> Flags:
        """Whether every metric excludes its harm, in the required stratum by itself, too (R)."""
        safe = _total(self.safe / wealth.UNIT, 1) - np.log(len(statistics.SAFE_STEPS))
        return ((safe >= self.alpha) & (self.required / wealth.UNIT >= self.alpha)).all(axis=1)

    def mismatched(self) -> Flags:
        """Whether the split is not the intended one: ``srm.log_e_value`` (R)."""
        share = np.where(self.arm_share > 0, self.arm_share, 0.5)
        a, b = srm.STRENGTH * share, srm.STRENGTH * (1 - share)
        found = betaln(a + self.arm_c, b + self.arm_b) - betaln(a, b)
        found -= self.arm_c * np.log(share) + self.arm_b * np.log(1 - share)
        return (self.arm_share > 0) & (self.arm_share < 1) & (found >= np.log(self.plan.mismatch_at))


def _total(logs: Floats, axis: int) -> Floats:
    """The logarithm of the sum; ``np.logaddexp.reduce`` is three times as slow."""
    high = logs.max(axis=axis)
    return high + np.log(np.exp(logs - np.expand_dims(high, axis)).sum(axis=axis))


def _waiting(blocks: Floats) -> Floats:
    epochs = np.ceil(blocks / ledger.EPOCH_BLOCKS)
    return np.where(epochs > 0, ledger.LATER / np.maximum(epochs, 1), 1.0)


def _all_strata(n: Floats, x: Floats, known: Flags) -> tuple[Floats, Floats]:
    total = np.where(known, n.sum(axis=1), 0.0)
    return np.broadcast_to(total[:, None], x.shape[:2]), x.sum(axis=2)


def _margins(tested, name: str) -> tuple[Floats, Floats]:
    pairs = np.array([getattr(g, name).pair() for g in tested])
    return pairs[:, 0][None, :, None], pairs[:, 1][None, :, None]
