"""What one process serves: the slot's one release, or every bundle in a directory that the flags may name.

A release that was loaded stays loaded and never changes; a directory that gets another file gets another
release. Files of revisions that left the directory may still be served to whom the flags send here.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from agentrelease.local.agent.behaviour import Behaviour, behaviour_of
from agentrelease.local.agent.bundle import LoadedBundle, NotLoaded, load_bundle
from agentrelease.local.agent.conversation import Conversation
from agentrelease.sdk import ActionLog, AgentMetrics, Identity, Late

if TYPE_CHECKING:
    from pathlib import Path

    from agentrelease.local.agent.settings import Settings
    from agentrelease.sdk import AgentFlags
    from agentrelease.sdk.pairing.reporter import PairReporter


@dataclass(slots=True)
class Hosted:
    """One release in this process, with everything that counts under its name."""

    release: str
    bundle: LoadedBundle
    behaviour: Behaviour
    metrics: AgentMetrics
    log: ActionLog
    conversation: Conversation


class Hosting:
    """The releases of this process, by name."""

    def __init__(self, settings: Settings, flags: AgentFlags, pairing: PairReporter | None) -> None:
        self._settings = settings
        self._pairing = pairing
        self._flags = flags
        self.releases: dict[str, Hosted] = {}
        self.missing = "starting"

    def look(self) -> None:
        """Load what there is to load and isn't yet; ``missing`` says why something could not be."""
        for release, path in self._found():
            if release in self.releases:
                continue
            try:
                bundle = load_bundle(path, release)
            except NotLoaded as problem:
                self.missing = str(problem)
            else:
                self.releases[release] = self._host(release, bundle)

    def _found(self) -> list[tuple[str, Path]]:
        settings = self._settings
        if settings.bundles_path is None:
            return [(settings.release, settings.bundle_path)]
        files = sorted(settings.bundles_path.glob("*.json"))
        if not files:
            self.missing = f"no bundle in {settings.bundles_path}"
        return [(path.stem, path) for path in files]

    def _host(self, release: str, bundle: LoadedBundle) -> Hosted:
        settings, flags = self._settings, self._flags.of(release)
        identity = Identity(settings.agent, release, bundle.digest)
        late = Late(settings.late) if settings.late else None
        metrics = AgentMetrics(identity, flags=flags, pairing=self._pairing, late=late)
        log = ActionLog(release)
        rng = Random(settings.seed or release)  # noqa: S311 - a simulation that can be repeated
        behaviour = behaviour_of(bundle.content).with_fields(settings.faults)
        return Hosted(
            release, bundle, behaviour, metrics, log, Conversation(bundle, flags, metrics, log, rng)
        )
