"""Stopping an agent with one write of its flags; the operator may be down, Prometheus too.

The halt flag's default is set, and every other flag stays as it is. A document that is missing or
broken is replaced by one that says nothing but halt: an agent that finds no autonomy flag observes.
Starting again is another matter: that needs a document that can be read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agentrelease.cli.orders import Impossible
from agentrelease.edges.flags.document import PERSON, halts, text, version_of
from agentrelease.edges.kinds import CONFIG_MAP
from agentrelease.engine.ports import Conflict, Ref

if TYPE_CHECKING:
    from agentrelease.engine.ports import Cluster, Object

_ATTEMPTS = 20


def flags_ref(release: Object) -> Ref:
    """Return the address of the ConfigMap with a release's flags; it need not be valid otherwise."""
    meta = release["metadata"]
    try:
        name = release["spec"]["delivery"]["flags"]["configMap"]
    except (KeyError, TypeError):
        raise Impossible(
            f"spec.delivery.flags.configMap: {meta['namespace']}/{meta['name']} names no ConfigMap, "
            f"so there is no flag to set; take its traffic away at the route instead"
        ) from None
    return Ref(CONFIG_MAP, meta["namespace"], str(name))


async def set_halt(cluster: Cluster, release: Object, *, halted: bool) -> bool:
    """Set or clear the flag; returns whether anything had to be written.

    Lost races are repeated, because somebody writing at the same time must not keep an agent running.
    """
    ref, agent = flags_ref(release), release["metadata"]["name"]
    key = f"{agent}.flagd.json"
    for _ in range(_ATTEMPTS):
        stored = await cluster.get(ref)
        found = str(((stored or {}).get("data") or {}).get(key, ""))
        document = _changed(found, agent, halted=halted, where=f"{ref}, key {key}")
        if document is None:
            return False
        data = {key: text(document)}
        try:
            await _write(cluster, ref, stored, data)
        except Conflict:
            continue
        return True
    raise Impossible(f"{ref}: {_ATTEMPTS} writes in a row met another writer; try again")


async def is_halted(cluster: Cluster, release: Object) -> bool:
    """Whether a release's flags stop its agent now; flags that aren't there or can't be read don't say so."""
    agent = release["metadata"]["name"]
    stored = await cluster.get(flags_ref(release))
    try:
        return halts(json.loads(((stored or {}).get("data") or {})[f"{agent}.flagd.json"]), agent)
    except (KeyError, ValueError):
        return False


def _changed(stored: str, agent: str, *, halted: bool, where: str) -> dict[str, Any] | None:
    """Return the document to write, ``None`` when it says so already."""
    try:
        document = json.loads(stored)
        flags = dict(document["flags"])
    except (ValueError, KeyError, TypeError) as error:
        if not halted:
            raise Impossible(f"{where}: no readable flag document ({error}); nothing to clear") from None
        document, flags = {}, {}
    flag = _flag(halted=halted)
    if flags.get(f"{agent}.halt") == flag and halts(document, agent) == halted:
        return None
    known = document.get("metadata")
    metadata = {**(known if isinstance(known, dict) else {}), "version": str(version_of(document) + 1)}
    return {**document, "metadata": metadata, "flags": {**flags, f"{agent}.halt": flag}}


def _flag(*, halted: bool) -> dict[str, Any]:
    """Return the flag as a constant: no rule can outvote a person, and the operator knows whose it is."""
    flag = {
        "state": "ENABLED",
        "defaultVariant": "on" if halted else "off",
        "variants": {"on": True, "off": False},
    }
    return {**flag, "metadata": {"by": PERSON}} if halted else flag


async def _write(cluster: Cluster, ref: Ref, stored: Object | None, data: dict[str, str]) -> None:
    if stored is None:
        meta = {"name": ref.name, "namespace": ref.namespace}
        await cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
        return
    version = stored["metadata"]["resourceVersion"]
    await cluster.merge(ref, {"metadata": {"resourceVersion": version}, "data": data})
