"""Prometheus: one query per counter serves all releases; whatever is odd is a problem, not a number.

Raw samples are read over a range that covers the current block and a little before it, so that each
series' increase can be taken exactly. Times are Prometheus' own. An answer with warnings, of a wrong
type, too large, too late or not at all is reported as unread; no answer is ever read as zero.
No text of a tenant becomes part of a query: metric names match a pattern in the schema and here.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import TYPE_CHECKING, Any

import httpx

from agentrelease.core.counters import Sample
from agentrelease.core.series import Series, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
MAX_ANSWER = 64 * 1024 * 1024
PARALLEL = 4


class Unreadable(Exception):
    """Prometheus did not give an answer that can be relied on; the text says why."""


class Prometheus:
    """The administrator's Prometheus.

    ``grid`` is the block length and ``settle`` how long a sample may take to arrive, both in
    seconds; ``lookback`` is how far before a block a series' last sample is searched for.
    """

    def __init__(
        self,
        url: str,
        *,
        grid: float,
        settle: float,
        lookback: float,
        bearer: Path | None = None,
        ca: Path | None = None,
    ) -> None:
        self._grid, self._settle, self._lookback = grid, settle, lookback
        self._bearer = bearer
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            timeout=httpx.Timeout(5.0, connect=1.0),
            follow_redirects=False,  # a redirect could carry the bearer token away
            verify=True if ca is None else str(ca),
            trust_env=False,
        )
        self._parallel = asyncio.Semaphore(PARALLEL)

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def look(self, metrics: Iterable[str], since: float | None) -> Snapshot:
        """Read counters from ``since`` (the oldest block start needed; ``None`` = one block) until now."""
        try:
            at = await self._time()
        except Unreadable as error:
            return Snapshot(at=0.0, end=0.0, since=0.0, problem=f"Prometheus: {error}")
        end = math.floor((at - self._settle) / self._grid) * self._grid
        start = min(since if since is not None else end, end - self._grid) - self._lookback
        names = sorted(set(metrics))
        answers = await asyncio.gather(
            *(self._range(name, start, end) for name in names), return_exceptions=True
        )
        series: dict[str, Mapping[tuple[str, str], tuple[Series, ...]]] = {}
        unread: dict[str, str] = {}
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, Unreadable):
                unread[name] = str(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                series[name] = answer
        problem = f"Prometheus: {next(iter(unread.values()))}" if names and len(unread) == len(names) else ""
        return Snapshot(at=at, end=end, since=start, series=series, problem=problem, unread=unread)

    async def _time(self) -> float:
        data = await self._query("time()", None)
        if data.get("resultType") != "scalar":
            raise Unreadable("time() did not answer with a scalar")
        return float(data["result"][1])

    async def _range(
        self, name: str, start: float, end: float
    ) -> Mapping[tuple[str, str], tuple[Series, ...]]:
        if not _NAME.fullmatch(name):
            raise Unreadable(f"{name!r} is no metric name")
        milliseconds = math.ceil((end - start) * 1000)
        data = await self._query(f'{name}{{agent!=""}}[{milliseconds}ms]', end)
        if data.get("resultType") != "matrix":
            raise Unreadable(f"{name} is not a range of samples")
        return _grouped(data["result"])

    async def _query(self, query: str, at: float | None) -> dict[str, Any]:
        body = {"query": query, "timeout": "4s"} | ({"time": f"{at:.3f}"} if at is not None else {})
        async with self._parallel:
            try:
                text = await self._post("/api/v1/query", body)
            except httpx.HTTPError as error:
                raise Unreadable(f"unreachable ({type(error).__name__})") from None
        return _data(text)

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


def _data(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text, parse_constant=_no_constant)
        data = answer["data"]
    except (ValueError, KeyError, TypeError):
        raise Unreadable("the answer is not the JSON of a query") from None
    if answer.get("status") != "success":
        raise Unreadable("the query failed")
    if answer.get("warnings"):
        raise Unreadable("the answer carries warnings, it may be partial")
    if not isinstance(data, dict):
        raise Unreadable("the answer has no data")
    return data


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _grouped(result: list[dict[str, Any]]) -> Mapping[tuple[str, str], tuple[Series, ...]]:
    groups: dict[tuple[str, str], list[Series]] = {}
    for entry in result:
        labels = {name: value for name, value in entry["metric"].items() if name != "__name__"}
        samples = tuple(Sample(float(at), float(value)) for at, value in entry.get("values", ()))
        if not samples or any(not math.isfinite(s.value) or s.value < 0 for s in samples):
            continue  # a counter that is no number is no evidence: its stratum stays unknown
        groups.setdefault((labels.get("namespace", ""), labels.get("agent", "")), []).append(
            Series(labels, samples)
        )
    return {key: tuple(series) for key, series in groups.items()}
