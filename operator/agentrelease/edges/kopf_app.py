"""kopf as the feed, and all that this operator knows of kopf.

One read-only ``on.event`` handler per watched kind passes each event on and does nothing else. No
timers, daemons, indices, state or patches: a kopf timer ends silently at one failed patch, an index
starts in quadratic time, and both keep ghosts. Errors of the API server never end the feed: it tries
again for ever, within seconds; ``engine/watchdog.py`` judges whether it has gone blind.

How to run it:

* kopf's end is the process's end. When ``kopf.operator`` returns it cancels every task that was
  created after its start, so start workers and the leader's election *before* ``run``.
* kopf takes SIGINT and SIGTERM when it starts. Wait for ``ready``, then install other handlers, let
  the workers finish, and set ``stop`` last.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import kopf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agentrelease.edges.credentials import Credentials
    from agentrelease.engine.ports import Kind, Object
    from agentrelease.engine.watchdog import Watched

    OnEvent = Callable[[Kind, str, str, str, Object], None]

_TOKEN_LIFE = timedelta(minutes=10)
_LOGIN_PAUSE = 1.0


class FeedError(Exception):
    """The feed has ended by itself; the message says why, in one line."""


class Patience:
    """Endless pauses between attempts, in seconds; kopf iterates it anew for each request."""

    def __iter__(self) -> Iterator[float]:
        return chain((0.2, 0.5, 1.0, 2.0), repeat(3.0))


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no last-handled configuration: nothing is written on anybody's object."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:  # noqa: ARG002  kopf names them
        """Return an empty essence, which spares three deep copies of each object."""
        return {}

    def fetch(self, *, body: Any) -> None:
        """Return nothing, ever."""

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        """Store nothing."""


class NoProgress(kopf.ProgressStorage):
    """Remembers no handler's progress."""

    def fetch(self, *, key: Any, body: Any) -> None:
        """Return nothing, ever."""

    def store(self, *, key: Any, record: Any, body: Any, patch: Any) -> None:
        """Store nothing."""

    def purge(self, *, key: Any, body: Any, patch: Any) -> None:
        """Purge nothing."""

    def touch(self, *, body: Any, patch: Any, value: Any) -> None:
        """Touch nothing."""

    def clear(self, *, essence: Any) -> Any:
        """Return the essence as it is."""
        return essence


class KopfFeed:
    """Watches kinds and passes every event to ``on_event(kind, namespace, name, type, object)``.

    ``type`` is ADDED, MODIFIED, DELETED, or empty for an object of the first list. ``on_event`` must
    return at once and not raise. No namespaces means the whole cluster.
    """

    def __init__(
        self,
        credentials: Credentials,
        watched: Sequence[Watched],
        on_event: OnEvent,
        *,
        namespaces: Sequence[str] = (),
    ) -> None:
        self._namespaces = tuple(namespaces)
        self._registry = kopf.OperatorRegistry()
        self._settings = _settings(watched)
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()
        _register_login(self._registry, credentials)
        for item in watched:
            _register(self._registry, item.kind, on_event)

    async def run(self) -> None:
        """Feed until ``stop`` is set or a signal comes; raise ``FeedError`` if kopf gives up."""
        try:
            await kopf.operator(
                registry=self._registry,
                settings=self._settings,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                ready_flag=self.ready,
                stop_flag=self.stop,
            )
        except Exception as error:
            raise FeedError(f"The watch has ended: {type(error).__name__}: {error}") from error


def _register(registry: kopf.OperatorRegistry, kind: Kind, on_event: OnEvent) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, id=kind.plural, registry=registry)
    async def handle(event: Any, **_: Any) -> None:
        # the items of a list come without their type
        obj = {"apiVersion": kind.api_version, "kind": kind.name, **event["object"]}
        metadata = obj["metadata"]
        on_event(kind, metadata.get("namespace", ""), metadata["name"], event["type"] or "", obj)


def _register_login(registry: kopf.OperatorRegistry, credentials: Credentials) -> None:
    logins = iter(chain((0.0,), repeat(_LOGIN_PAUSE)))

    @kopf.on.login(registry=registry, backoff=_LOGIN_PAUSE)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        # kopf asks again at once after every 401; without a pause a revoked token would be a hot loop
        await asyncio.sleep(next(logins))
        return await _connection(credentials)


async def _connection(credentials: Credentials) -> kopf.ConnectionInfo:
    configuration = await credentials.load()
    authorization = await configuration.get_api_key_with_prefix("BearerToken") or ""
    scheme, _, token = authorization.partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token.strip() or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
        # Always set: kopf refuses to log in again with credentials equal to those that failed, and
        # a service account's token is rotated under us.
        expiration=datetime.now(UTC) + _TOKEN_LIFE,
    )


def _settings(watched: Sequence[Watched]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True  # start-up checks that the kinds are served; see ApiServer.serves
    settings.networking.request_timeout = 15
    settings.networking.connect_timeout = 2
    settings.networking.error_backoffs = Patience()
    settings.watching.connect_timeout = 2
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.watching.chunk_size = 500
    settings.queueing.error_delays = (1, 2, 3, 5)
    settings.execution.default_backoff = 1
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.process.ultimate_exiting_timeout = None  # the pod's grace period ends what hangs
    for item in watched:
        if item.labels:
            selector = ",".join(f"{key}={value}" for key, value in sorted(item.labels.items()))
            settings.watching.label_selectors[item.kind.group, item.kind.version, item.kind.plural] = selector
    return settings
