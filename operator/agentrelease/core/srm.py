"""Sample-ratio mismatch: whether the arms get the traffic that the route was told to give them.

A mismatch means that the comparison itself is broken (a cache, a retry loop, a bot in one arm), so
no evidence may raise exposure until it is explained. The test may be looked at after every block.
"""

from __future__ import annotations

from math import lgamma, log

STRENGTH = 100.0
"""How concentrated the alternative is around the intended shares."""


def log_e_value(share: float, candidate: float, stable: float) -> float:
    """Return the log e-value against "each unit goes to the candidate with probability ``share``".

    A Dirichlet-multinomial mixture over other shares (Lindon, Malek, "Anytime-valid inference for
    multinomial count data", 2022). ``candidate`` and ``stable`` count randomised units.
    """
    if not 0.0 < share < 1.0:
        return 0.0
    prior = (STRENGTH * share, STRENGTH * (1.0 - share))
    mixture = _log_beta(prior[0] + candidate, prior[1] + stable) - _log_beta(*prior)
    return mixture - candidate * log(share) - stable * log(1.0 - share)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
