"""What each command does, as functions of a session; ``app.py`` only parses."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.api.status import Outcome
from agentrelease.cli import halting
from agentrelease.cli.halting_all import sweep, switch
from agentrelease.cli.history import history_tables
from agentrelease.cli.listing import release_list
from agentrelease.cli.orders import address, carried_out, fetch, plan_rollback, read
from agentrelease.cli.revisions import revisions_of
from agentrelease.cli.view import view
from agentrelease.cli.watching import HALTED, until, watch
from agentrelease.edges.kinds import AGENT_RELEASE
from agentrelease.engine.ports import ClusterError

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.cli.session import Session


@dataclass(frozen=True, slots=True)
class Everywhere:
    """An order for all agents: of one namespace, or of all with the operator's own (``operator``)."""

    namespace: str | None
    operator: str
    reason: str = ""


_GIT = "If Git manages this object, change it there too, or the next sync undoes this."


async def list_releases(session: Session, *, everywhere: bool, as_json: bool) -> None:
    """Print the releases of a namespace, or of all."""
    found = await session.cluster.list(AGENT_RELEASE, None if everywhere else session.namespace)
    if as_json:
        session.dump({"apiVersion": "v1", "kind": "List", "items": list(found)})
        return
    if not found:
        where = "any namespace" if everywhere else f"namespace {session.namespace}; try -A"
        session.say(f"No AgentRelease in {where}.")
        return
    releases = [(read(obj), str(obj["metadata"].get("creationTimestamp", ""))) for obj in found]
    session.console.print(release_list(releases, session.frame(), namespaces=everywhere))


async def status(session: Session, name: str, *, watching: bool, as_json: bool) -> None:
    """Print where a release stands, once or for as long as the person looks."""
    if watching and not as_json:
        await watch(session, name)
        return
    obj = await fetch(session.cluster, session.namespace, name)
    if as_json:
        session.dump(obj)
        return
    notes = (HALTED,) if await halting.is_halted(session.cluster, obj) else ()
    session.console.print(view(read(obj), time.time(), notes=notes))


async def history(session: Session, name: str, *, as_json: bool) -> None:
    """Print the transitions of a release, what it refuses, and its revisions."""
    obj = await fetch(session.cluster, session.namespace, name)
    revisions = await revisions_of(session, name)
    if as_json:
        recorded = obj.get("status", {})
        kept = {key: recorded.get(key, []) for key in ("history", "refused")}
        session.dump({**kept, "revisions": revisions})
        return
    for part in history_tables(read(obj), revisions, session.frame()):
        session.console.print(part)


async def rollback(session: Session, name: str, *, to: str | None, reason: str, wait: float | None) -> None:
    """Order a return to the stable revision, or after a promotion to the one before."""
    release = read(await fetch(session.cluster, session.namespace, name))
    order = plan_rollback(release, to, await _kept(session, release))
    why = f"{session.target.user}: {reason or 'no reason given'}"
    await session.cluster.merge(address(session.namespace, name), order.patch(why))
    kind = "candidate" if order.in_flight else "promoted revision"
    session.say(f"Ordered: withdraw the {kind} {order.of}, serve with {order.to}.")
    if wait is not None:
        await until(
            session, name, lambda r: carried_out(r, order), seconds=wait, what=f"{order.to} serving alone"
        )
        session.say(f"Done: {order.to} serves, and {order.of} is exposed nowhere.")
    session.say(f"{order.of} stays refused while spec.rollback names it. {_GIT}")
    session.say(f"Look at: kubectl agent-release status {name} -n {session.namespace} --watch")


async def _kept(session: Session, release: AgentRelease) -> frozenset[str]:
    """Return the release's revisions that were promoted once and are not refused now."""
    refused = {one.revision for one in release.status.refused}
    objs = await revisions_of(session, release.name)
    promoted = {o["metadata"]["name"] for o in objs if o.get("status", {}).get("outcome") == Outcome.PROMOTED}
    return frozenset(promoted - refused)


async def pause(session: Session, name: str, *, paused: bool) -> None:
    """Keep a release where it is, or let it go on; guardrails judge in either case."""
    obj = await fetch(session.cluster, session.namespace, name)
    word = "paused" if paused else "running"
    if bool(obj.get("spec", {}).get("paused", False)) == paused:
        session.say(f"{name} is {word} already.")
        return
    await session.cluster.merge(address(session.namespace, name), {"spec": {"paused": paused}})
    if paused:
        session.say(f"Paused {name}: exposure stays where it is and is still taken back on a breach. {_GIT}")
        session.say(f"Go on with: kubectl agent-release resume {name} -n {session.namespace}")
        return
    session.say(f"Resumed {name}. {_GIT}")
    session.say(f"Look at: kubectl agent-release status {name} -n {session.namespace} --watch")


async def halt(session: Session, name: str, *, halted: bool) -> None:
    """Stop every revision of an agent by its flag, or let it work again; needs no operator."""
    obj = await fetch(session.cluster, session.namespace, name)
    changed = await halting.set_halt(session.cluster, obj, halted=halted)
    ref = " and ".join(str(ref) for ref in halting.flags_refs(obj))
    if not changed:
        session.say(f"{name} is {'halted' if halted else 'not halted'} already: {ref} says so.")
        return
    if halted:
        session.say(f"Halted {name}: {name}.halt is on in {ref}; agents obey when they next read it.")
        session.say(f"Start it again with: kubectl agent-release unhalt {name} -n {session.namespace}")
        return
    session.say(f"{name} may work again: {name}.halt is off in {ref}.")
    session.say(f"Look at: kubectl agent-release status {name} -n {session.namespace} --watch")


async def halt_all(session: Session, where: Everywhere, *, halted: bool) -> int:
    """Stop every agent, or end that; returns 1 if any of them could not be reached."""
    failed = False
    if where.namespace is None:
        try:
            ref = await switch(
                session.cluster, where.operator, halted=halted, by=session.target.user, reason=where.reason
            )
            session.say(f"{ref} says {'on: the operator raises nothing' if halted else 'off'}.")
        except ClusterError as error:
            failed = True
            session.say(f"The operator's switch could not be turned: {error}. See --operator-namespace.")
    swept = await sweep(session.cluster, where.namespace, halted=halted)
    done = "halted" if halted else "may work again"
    session.say(f"{len(swept.changed)} {done}, {len(swept.same)} unchanged, {len(swept.failed)} failed.")
    for name, why in swept.failed.items():
        session.say(f"{name}: {why}")
    if not halted and swept.same:
        session.say("Unchanged are those that weren't halted, and those that somebody halted by name.")
    return int(failed or bool(swept.failed))
