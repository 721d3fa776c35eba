"""Prometheus: one query per counter serves all releases; whatever is odd is a problem, not a number.

Raw samples are read over a range that covers the current block and a little before it, so that each
series' increase can be taken exactly. Times are Prometheus' own. An answer with warnings, of a wrong
type, too large, too late or not at all is reported as unread; no answer is ever read as zero.
No text of a tenant becomes part of a query: metric names match a pattern in the schema and here, and where
one agent's past is asked for, names of objects are checked to be names.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from agentrelease.core import births
from agentrelease.core.counters import Sample
from agentrelease.core.series import Snapshot, Source
from agentrelease.edges.answers import Groups, Unreadable, data_of, series_of, values_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Iterable, Mapping
    from pathlib import Path

    from agentrelease.core.series import Picked, Series, Stretch, Target, Wanted

_K = TypeVar("_K")
_T = TypeVar("_T")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_OBJECT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_SERVICE = re.compile(r"[a-zA-Z0-9_.:/|-]+")
MAX_ANSWER = 64 * 1024 * 1024
PARALLEL = 4
BEHIND = 1
"""Queries of the past at once, of those: what exposure depends on must never stand in line behind them."""

MEMORY = 86_400
"""Seconds for which a series that was silent is still known."""

WATCHED = 0.5
"""Part of the look-back for which an agent must have been seen before a series of it counts as new."""

MAX_NEWCOMERS = 32
"""Agents with new series whose past is asked for in one look; beyond, they count from their first sample."""


class Prometheus:
    """The administrator's Prometheus.

    ``grid`` is the block length and ``settle`` how long a sample may take to arrive, both in
    seconds; ``lookback`` is how far before a block samples are read. ``replicas`` are labels by which
    several servers mark what they scraped from the same target.
    """

    def __init__(
        self,
        url: str,
        *,
        grid: float,
        settle: float,
        lookback: float,
        replicas: Collection[str] = (),
        bearer: Path | None = None,
        ca: Path | None = None,
    ) -> None:
        self._grid, self._settle, self._lookback = grid, settle, lookback
        self._replicas = tuple(replicas)
        self._bearer = bearer
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            timeout=httpx.Timeout(5.0, connect=1.0),
            follow_redirects=False,  # a redirect could carry the bearer token away
            verify=True if ca is None else str(ca),
            trust_env=False,
        )
        self._parallel = asyncio.Semaphore(PARALLEL)
        self._behind = asyncio.Semaphore(BEHIND)

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def look(self, wanted: Iterable[Wanted], since: float | None) -> Snapshot:
        """Read counters from ``since`` (the oldest block start needed; ``None`` = one block) until now."""
        wanted = tuple(wanted)
        try:
            at = await self._time()
        except Unreadable as error:
            return Snapshot(at=0.0, end=0.0, since=0.0, problem=f"Prometheus: {error}")
        end = math.floor((at - self._settle) / self._grid) * self._grid
        start = min(since if since is not None else end, end - self._grid)
        ours = [one for one in wanted if not one.labels]
        routers = [one for one in wanted if one.labels]
        (series, unread), (routed, silent), (targets, failed) = await asyncio.gather(
            _gathered({one.metric: self._range(one.metric, "", (start, end), one.reach) for one in ours}),
            _gathered({one.metric: self._routed(one, (start, end)) for one in routers}),
            _gathered({"up": self._down()}),
        )
        down: frozenset[Target] = frozenset()
        if series:
            down = targets.get("up", down)
            unread |= failed
        problem = f"Prometheus: {next(iter(unread.values()))}" if unread and not series else ""
        unread |= silent
        since = start - self._lookback
        return Snapshot(at, end, since, series, problem, unread, down, routed=routed)

    async def glance(self, metrics: Iterable[str], since: float) -> Snapshot:
        """Read counters from ``since`` until now, settled or not."""
        try:
            at = await self._time()
        except Unreadable as error:
            return Snapshot(at=0.0, end=0.0, since=0.0, problem=f"Prometheus: {error}")
        series, unread = await _gathered({name: self._range(name, "", (since, at)) for name in metrics})
        problem = f"Prometheus: {next(iter(unread.values()))}" if unread else ""
        return Snapshot(at, at, since - self._lookback, series, problem, unread)

    async def totals(self, picked: Iterable[Picked]) -> Mapping[tuple[Picked, Source], float]:
        """Return counters' values now, by whose they are; what can't be read lacks."""
        read, _ = await _gathered({one: self._totals(one) for one in picked})
        return {(one, source): value for one, values in read.items() for source, value in values.items()}

    async def past(self, metrics: Iterable[str], stretch: Stretch) -> Snapshot:
        """Read one agent's counters over a stretch of the past; like ``look``, it raises nothing."""
        named = {"namespace": stretch.namespace, "agent": stretch.agent}
        series, unread = await _gathered(
            {name: self._past(name, named, stretch) for name in sorted(set(metrics))}
        )
        problem = f"Prometheus: {next(iter(unread.values()))}" if unread else ""
        since = stretch.start - self._lookback
        return Snapshot(stretch.end, stretch.end, since, series, problem, unread)

    async def _totals(self, picked: Picked) -> dict[Source, float]:
        if not _NAME.fullmatch(picked.metric) or not all(_NAME.fullmatch(label) for label, _ in picked.match):
            raise Unreadable(f"{picked.metric!r} is no metric name, or a label of it is none")
        match = "".join(f",{label}={json.dumps(value, ensure_ascii=False)}" for label, value in picked.match)
        data = await self._query(
            f'sum by (namespace, agent, release) ({picked.metric}{{agent!=""{match}}})', None
        )
        named = ((dict(labels), value) for labels, value in values_of(data, ()).items())
        return {
            Source(own.get("namespace", ""), own.get("agent", ""), own.get("release", "")): value
            for own, value in named
        }

    async def _time(self) -> float:
        data = await self._query("time()", None)
        if data.get("resultType") != "scalar":
            raise Unreadable("time() did not answer with a scalar")
        return float(data["result"][1])

    async def _down(self) -> frozenset[Target]:
        without = f"without ({', '.join(self._replicas)}) " if self._replicas else ""
        data = await self._query(f"max {without}(up) == 0" if without else "up == 0", None)
        labels = (dict(found) for found in values_of(data, self._replicas))
        return frozenset((one.get("job", ""), one.get("instance", "")) for one in labels)

    async def _past(self, name: str, named: Mapping[str, str], stretch: Stretch) -> Groups:
        async with self._behind:
            return await self._of_stretch(name, named, stretch)

    async def _of_stretch(self, name: str, named: Mapping[str, str], stretch: Stretch) -> Groups:
        groups: dict[tuple[str, str], tuple[Any, ...]] = {}
        # of all together, because a series is only new beside others of its agent
        for more in [{"release": revision} for revision in stretch.revisions] or [{}]:
            picked = _equal({**named, **more})
            reading = self._steps if stretch.step else self._all
            for key, series in (await reading(name, picked, stretch)).items():
                groups[key] = (*groups.get(key, ()), *series)
        return groups

    async def _all(self, name: str, picked: str, stretch: Stretch) -> Groups:
        return await self._range(name, picked, (stretch.start, stretch.end))

    async def _steps(self, name: str, picked: str, stretch: Stretch) -> Groups:
        """Read a counter at the multiples of a step; what it showed first is only a point to count from."""
        if not _NAME.fullmatch(name):
            raise Unreadable(f"{name!r} is no metric name")
        whole = math.ceil(1000 * (stretch.end - stretch.start + stretch.step))  # the start is one, too
        steps = f"[{whole}ms:{math.ceil(1000 * stretch.step)}ms]"
        data = await self._query(f'{name}{{agent!=""{picked}}}{steps}', stretch.end)
        groups = series_of(data, self._replicas)
        return {key: tuple(replace(one, from_zero=False) for one in found) for key, found in groups.items()}

    async def _range(self, name: str, picked: str, block: tuple[float, float], reach: float = 0.0) -> Groups:
        """Read a counter from a look-back before a block, and how series that spoke up since then began.

        ``reach`` is how many seconds more before it are needed.
        """
        start, end = block
        if not _NAME.fullmatch(name):
            raise Unreadable(f"{name!r} is no metric name")
        begin = start - self._lookback - reach
        milliseconds = math.ceil((end - begin) * 1000)
        data = await self._query(f'{name}{{agent!=""{picked}}}[{milliseconds}ms]', end)
        groups = series_of(data, self._replicas)
        young = [key for key, series in groups.items() if births.newcomers(series, start)]
        earlier: dict[births.Labels, Sample] = {}
        for key in young[:MAX_NEWCOMERS]:
            earlier |= await self._earlier(name, key, begin)
        watched = WATCHED * self._lookback
        return {key: births.joined(series, earlier, start, watched) for key, series in groups.items()}

    async def _routed(self, one: Wanted, block: tuple[float, float]) -> tuple[Series, ...]:
        """Read a router's counter; what it showed first is only a point to count from."""
        if not _NAME.fullmatch(one.metric):
            raise Unreadable(f"{one.metric!r} is no metric name")
        start, end = block
        milliseconds = math.ceil((end - start + self._lookback + one.reach) * 1000)
        picked = ",".join(f'{label}=~"{_any_of(values)}"' for label, values in one.labels)
        data = await self._query(f"{one.metric}{{{picked}}}[{milliseconds}ms]", end)
        found = series_of(data, self._replicas)
        return tuple(replace(series, from_zero=False) for group in found.values() for series in group)

    async def _earlier(self, name: str, key: tuple[str, str], at: float) -> dict[births.Labels, Sample]:
        """Return the last samples of one agent's series before ``at``; none for what is not our object."""
        namespace, agent = key
        if not (_OBJECT.fullmatch(namespace) and _OBJECT.fullmatch(agent)):
            return {}
        picked = _equal({"namespace": namespace, "agent": agent})
        data = await self._query(f'last_over_time({name}{{agent!=""{picked}}}[{MEMORY}s])', at)
        return {labels: Sample(at, value) for labels, value in values_of(data, self._replicas).items()}

    async def _query(self, query: str, at: float | None) -> dict[str, Any]:
        body = {"query": query, "timeout": "4s"} | ({"time": f"{at:.3f}"} if at is not None else {})
        async with self._parallel:
            try:
                text = await self._post("/api/v1/query", body)
            except httpx.HTTPError as error:
                raise Unreadable(f"unreachable ({type(error).__name__})") from None
            except TimeoutError:
                raise Unreadable("the answer took too long") from None
        return data_of(text)

    async def _post(self, path: str, body: dict[str, str]) -> bytes:
        headers = {}
        if self._bearer is not None:  # read anew, so that a rotated token is used
            headers["Authorization"] = f"Bearer {self._bearer.read_text().strip()}"
        chunks, size = [], 0
        async with (
            asyncio.timeout(6.0),
            self._client.stream("POST", path, data=body, headers=headers) as response,
        ):
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > MAX_ANSWER:
                    raise Unreadable(f"the answer is larger than {MAX_ANSWER >> 20} MiB")
                chunks.append(chunk)
            if response.status_code != httpx.codes.OK:
                raise Unreadable(f"HTTP {response.status_code}")
        return b"".join(chunks)


async def _gathered(reading: Mapping[_K, Awaitable[_T]]) -> tuple[dict[_K, _T], dict[_K, str]]:
    """Return what could be read, and why the rest could not."""
    answers = await asyncio.gather(*reading.values(), return_exceptions=True)
    read: dict[_K, _T] = {}
    unread: dict[_K, str] = {}
    for name, answer in zip(reading, answers, strict=True):
        if isinstance(answer, Unreadable):
            unread[name] = str(answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            read[name] = answer
    return read, unread


def _any_of(values: Iterable[str]) -> str:
    """Return a pattern of exactly these values, which nothing can break out of."""
    values = tuple(values)
    for value in values:
        if not _SERVICE.fullmatch(value):
            raise Unreadable(f"{value!r} can't name a Service in a router's label")
    return "|".join("".join(f"[{c}]" if c in ".|" else c for c in value) for value in values)


def _equal(labels: Mapping[str, str]) -> str:
    """Return matchers for labels that must be names of objects, which nothing can break out of."""
    for name, value in labels.items():
        if not _OBJECT.fullmatch(value):
            raise Unreadable(f"{value!r} is no {name}'s name")
    return "".join(f',{name}="{value}"' for name, value in labels.items())
