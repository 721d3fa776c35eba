"""The frozen record of stable's rates: what a revision is compared with when nothing runs beside it.

Taken when all traffic moves to the candidate, from the counts that both arms collected side by
side until then. Small enough for status.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agentrelease.core.evidence import Count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.core.ledger import Ledger


def write_reference(ledger: Ledger) -> str:
    """Return what is known of stable as compact JSON; empty when nothing is.

    That is its counts of this phase, or those of the whole rollout and of the history before it, the older
    the less they weigh, whichever is more: a phase may be over after a few seconds, and a record of so few
    tasks could neither prove nor excuse anything later.
    """
    known = {
        name: {key: max(s.stable, s.past, key=lambda count: count.n) for key, s in state.strata.items()}
        for name, state in ledger.metrics.items()
    }
    record = {
        name: {key: [count.n, count.x] for key, count in strata.items() if count.n}
        for name, strata in known.items()
    }
    record = {name: strata for name, strata in record.items() if strata}
    return json.dumps(record, separators=(",", ":"), sort_keys=True) if record else ""


def read_reference(text: str) -> Mapping[str, Mapping[str, Count]]:
    """Read what ``write_reference`` wrote; anything else is no reference."""
    try:
        record = json.loads(text) if text else {}
        return {
            str(name): {str(key): Count(float(n), float(x)) for key, (n, x) in strata.items()}
            for name, strata in record.items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}
