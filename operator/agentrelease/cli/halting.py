"""Stopping an agent with one write of its flags; the operator may be down, Prometheus too.

The halt flag's default is set, and every other flag stays as it is, in each object that carries the agent's
flags. A document that is missing or broken is replaced by one that says nothing but halt: an agent that finds
no autonomy flag observes. Starting again is another matter: that needs a document that can be read.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agentrelease.cli.orders import Impossible
from agentrelease.edges.fence import difference
from agentrelease.edges.flags.document import EVERYONE, OPERATOR, PERSON, halted_by, halts, text, version_of
from agentrelease.edges.kinds import CONFIG_MAP, FEATURE_FLAG
from agentrelease.engine.ports import ClusterError, Conflict, Ref

if TYPE_CHECKING:
    from agentrelease.engine.ports import Cluster, Object

_ATTEMPTS = 20


def flags_refs(release: Object) -> tuple[Ref, ...]:
    """Return the addresses of a release's flags, its ConfigMap first; it need not be valid otherwise."""
    meta = release["metadata"]
    try:
        named = release["spec"]["delivery"]["flags"]
        config_map, feature_flag = named["configMap"], named.get("featureFlag")
    except (KeyError, TypeError, AttributeError):
        raise Impossible(
            f"spec.delivery.flags.configMap: {meta['namespace']}/{meta['name']} names no ConfigMap, "
            f"so there is no flag to set; take its traffic away at the route instead"
        ) from None
    refs = [Ref(CONFIG_MAP, meta["namespace"], str(config_map))]
    if feature_flag:
        refs.append(Ref(FEATURE_FLAG, meta["namespace"], str(feature_flag)))
    return tuple(refs)


async def set_halt(cluster: Cluster, release: Object, *, halted: bool, by: str = PERSON) -> bool:
    """Set or clear the flag in every object; returns whether anything had to be written.

    ``by`` everyone leaves what a single agent's halt says as it is. Each object is written whatever happened
    to the one before; then the first failure is raised.
    """
    failed: list[ClusterError | Impossible] = []
    written = False
    for ref in flags_refs(release):
        try:
            written |= await _set(cluster, ref, release["metadata"]["name"], halted=halted, by=by)
        except (ClusterError, Impossible) as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return written


async def _set(cluster: Cluster, ref: Ref, agent: str, *, halted: bool, by: str) -> bool:
    """Write one object. Lost races are repeated: somebody else's write must not keep an agent running."""
    for _ in range(_ATTEMPTS):
        stored = await cluster.get(ref)
        document = _changed(
            _document(stored, ref, agent), agent, halted=halted, where=_named(ref, agent), by=by
        )
        if document is None:
            return False
        try:
            await _write(cluster, ref, stored, _with(stored, ref, agent, document))
        except Conflict:
            continue
        return True
    raise Impossible(f"{ref}: {_ATTEMPTS} writes in a row met another writer; try again")


async def is_halted(cluster: Cluster, release: Object) -> bool:
    """Whether a release's flags stop its agent now; flags that aren't there or can't be read don't say so."""
    agent, ref = release["metadata"]["name"], flags_refs(release)[0]
    try:
        return halts(json.loads(_document(await cluster.get(ref), ref, agent)), agent)
    except ValueError:
        return False


def _changed(stored: str, agent: str, *, halted: bool, where: str, by: str = PERSON) -> dict[str, Any] | None:
    """Return the document to write, ``None`` when it says so, or another's halt is not ours to end."""
    try:
        document = json.loads(stored)
        flags = dict(document["flags"])
    except (ValueError, KeyError, TypeError) as error:
        if not halted and by == EVERYONE:
            return None
        if not halted:
            raise Impossible(f"{where}: no readable flag document ({error}); nothing to clear") from None
        document, flags = {}, {}
    if by == EVERYONE and not _theirs(document, agent, halted=halted):
        return None
    flag = _flag(halted=halted, by=by)
    if flags.get(f"{agent}.halt") == flag and halts(document, agent) == halted:
        return None
    known = document.get("metadata")
    metadata = {**(known if isinstance(known, dict) else {}), "version": str(version_of(document) + 1)}
    return {**document, "metadata": metadata, "flags": {**flags, f"{agent}.halt": flag}}


def _theirs(document: object, agent: str, *, halted: bool) -> bool:
    """Whether an order for all agents changes this one: it halts who isn't, and ends its own kind alone."""
    who = halted_by(document, agent)
    return who in ("", OPERATOR) if halted else who in (EVERYONE, OPERATOR)


def _flag(*, halted: bool, by: str) -> dict[str, Any]:
    """Return the flag as a constant: no rule can outvote a person, and the operator knows whose it is."""
    flag = {
        "state": "ENABLED",
        "defaultVariant": "on" if halted else "off",
        "variants": {"on": True, "off": False},
    }
    return {**flag, "metadata": {"by": by}} if halted else flag


def _named(ref: Ref, agent: str) -> str:
    return f"{ref}, key {agent}.flagd.json" if ref.kind == CONFIG_MAP else f"{ref}, spec.flagSpec"


def _document(stored: Object | None, ref: Ref, agent: str) -> str:
    """Return the text of the document in an object; empty where there is none."""
    if ref.kind == CONFIG_MAP:
        return str(((stored or {}).get("data") or {}).get(f"{agent}.flagd.json", ""))
    return json.dumps(((stored or {}).get("spec") or {}).get("flagSpec"))


def _with(stored: Object | None, ref: Ref, agent: str, document: dict[str, Any]) -> Object:
    meta = {"name": ref.name, "namespace": ref.namespace}
    obj = deepcopy(stored) or {"apiVersion": ref.kind.api_version, "kind": ref.kind.name, "metadata": meta}
    if ref.kind == CONFIG_MAP:
        obj["data"] = (obj.get("data") or {}) | {f"{agent}.flagd.json": text(document)}
    else:
        obj["spec"] = (obj.get("spec") or {}) | {"flagSpec": document}
    return obj


async def _write(cluster: Cluster, ref: Ref, stored: Object | None, wanted: Object) -> None:
    if stored is None:
        await cluster.create(wanted)
        return
    version = {"metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]}}
    await cluster.merge(ref, difference(stored, wanted) | version)
