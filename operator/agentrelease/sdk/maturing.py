"""Labels that come late: a task counts once, with all that was said of it, when its time for that is over.

A person corrects an answer minutes after it was given. Whoever sets the corrections of a minute against the
tasks of that minute sets them against other tasks: while a canary's traffic grows, its corrections look few,
and while it shrinks, many. So a task and its labels are counted together, ``window`` seconds after it ended.

What is not mature is not counted: tasks of the last ``window`` at a shutdown, and the oldest ones when more
than ``capacity`` wait, of which a counter says how many there were. No text is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from agentrelease.sdk.counts import Counts

WAITING = 20_000
"""Tasks that may wait at once; a few megabytes."""


@dataclass(frozen=True, slots=True)
class Late:
    """How long labels may take, in seconds after a task's end, and how many tasks may wait for theirs."""

    window: float
    capacity: int = WAITING


@dataclass(slots=True)
class _Waiting:
    ended: float
    counts: Counts
    labels: set[str] = field(default_factory=set)


class Maturing:
    """Tasks that ended and still wait for labels, in the order in which they ended; thread-safe."""

    def __init__(self, late: Late, clock: Callable[[], float]) -> None:
        self.window = late.window
        self._capacity = late.capacity
        self._clock = clock
        self._waiting: OrderedDict[Hashable, _Waiting] = OrderedDict()
        self._lock = Lock()

    def ended(self, key: Hashable, counts: Counts, labels: set[str]) -> None:
        """Take a task whose answer was given; labels that are known already come with it."""
        with self._lock:
            self._ripen()
            known = self._waiting.pop(key, None)
            if known is not None:  # another task under the same id: the first one can't be told from it
                known.counts.unmatured()
            self._waiting[key] = _Waiting(self._clock(), counts, set(labels))
            while len(self._waiting) > self._capacity:
                self._waiting.popitem(last=False)[1].counts.unmatured()

    def label(self, key: Hashable, label: str) -> bool:
        """Add a label to a task, once; say whether it came in time and the task was known."""
        with self._lock:
            self._ripen()
            found = self._waiting.get(key)
            if found is not None:
                found.labels.add(label)
            return found is not None

    def ripen(self) -> None:
        """Count what is mature by now."""
        with self._lock:
            self._ripen()

    def _ripen(self) -> None:
        due = self._clock() - self.window
        while self._waiting:
            key, first = next(iter(self._waiting.items()))
            if first.ended > due:
                return
            del self._waiting[key]
            first.counts.matured(first.labels)
