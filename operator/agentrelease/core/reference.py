"""The frozen record of stable's rates: what a revision is compared with when nothing runs beside it.

Taken when all traffic moves to the candidate, from the counts that both arms collected side by
side until then. Small enough for status.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agentrelease.core.evidence import Count, Recorded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from agentrelease.core.ledger import Ledger


STRATA, METRICS = "$strata", "$metrics"
"""Keys of the record as it is written; no metric has such a name."""


def write_reference(ledger: Ledger) -> str:
    """Return what is known of stable as compact JSON; empty when nothing is.

    That is its counts of this phase, or those of the whole rollout and of the history before it, the older
    the less they weigh, whichever is more: a phase may be over after a few seconds, and a record of so few
    tasks could neither prove nor excuse anything later. Beside it stand the rates of stable's past days,
    where they are known.
    """
    known = {
        name: {key: state.recorded for key, state in metric.strata.items()}
        for name, metric in ledger.metrics.items()
    }
    record = {
        name: {key: _written(one) for key, one in strata.items() if one.count.n}
        for name, strata in known.items()
    }
    names = sorted({key for strata in record.values() for key in strata})
    if not names:
        return ""
    places = {key: place for place, key in enumerate(names)}
    rows = {
        name: [[places[key], *numbers] for key, numbers in sorted(strata.items())]
        for name, strata in record.items()
        if strata
    }
    return json.dumps({STRATA: names, METRICS: rows}, separators=(",", ":"), sort_keys=True)


def _written(one: Recorded) -> list[float]:
    return [one.count.n, one.count.x, *([one.usual, one.highest] if one.highest else [])]


def read_reference(text: str) -> Mapping[str, Mapping[str, Recorded]]:
    """Read what ``write_reference`` wrote; anything else is no reference."""
    try:
        record = _by_stratum(json.loads(text) if text else {})
        return {
            str(name): {
                str(key): Recorded(Count(float(n), float(x)), *map(float, days))
                for key, (n, x, *days) in strata.items()
            }
            for name, strata in record.items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}


def _by_stratum(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the rows by metric and stratum; before strata were listed once, they were written so."""
    if METRICS not in record:
        return record
    names = record[STRATA]
    return {
        name: {names[place]: numbers for place, *numbers in rows} for name, rows in record[METRICS].items()
    }
