"""``kubectl agent-release``: see a release, stop it, take it back.

Every command is one screen or one write, and says what to look at next. What a command does can
be done with plain ``kubectl patch`` as well.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from agentrelease.cli import commands, logbook
from agentrelease.cli.commands import Everywhere
from agentrelease.cli.session import Session, Where, run, run_offline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_EVERYWHERE = "Every command takes -n/--namespace, --context and --kubeconfig as kubectl does."
_PLACE = ("-n", "--namespace", "--context", "--kubeconfig")


class Output(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the AgentRelease, which is the agent's.")]
Format = Annotated[Output, typer.Option("-o", "--output", help="table or json.")]

app = typer.Typer(
    help="See releases of AI agents, and stop them or take them back with one command.",
    epilog=_EVERYWHERE,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Be the program ``kubectl-agent_release``; exit code 1 for everything that went wrong."""
    try:
        app(args=hoisted(sys.argv[1:]), prog_name="kubectl agent-release")
    except SystemExit as end:
        sys.exit(1 if end.code == 2 else end.code)


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Put the options that say where to work first, so that they may stand anywhere, as with kubectl."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in _PLACE:
            first += [word, *[value for value in [next(words, None)] if value is not None]]
        elif word.startswith(tuple(f"{option}=" for option in _PLACE[1:])):
            first.append(word)
        else:
            rest.append(word)
    return first + rest


@app.callback()
def _place(
    context: typer.Context,
    namespace: Annotated[
        str | None, typer.Option("-n", "--namespace", help="Default: the context's namespace.")
    ] = None,
    kube_context: Annotated[
        str | None, typer.Option("--context", help="A context of the kubeconfig.")
    ] = None,
    kubeconfig: Annotated[
        str | None, typer.Option("--kubeconfig", help="Default: KUBECONFIG, then ~/.kube/config.")
    ] = None,
) -> None:
    context.obj = Where(kubeconfig, kube_context, namespace)


def _do(context: typer.Context, work: Callable[[Session], Awaitable[int | None]]) -> None:
    raise typer.Exit(run(context.obj, work))


@app.command("list", epilog=_EVERYWHERE)
def _list(
    context: typer.Context,
    everywhere: Annotated[bool, typer.Option("-A", "--all-namespaces", help="In all namespaces.")] = False,
    output: Format = Output.TABLE,
) -> None:
    """List releases: phase, exposure, verdict."""
    _do(context, lambda s: commands.list_releases(s, everywhere=everywhere, as_json=output is Output.JSON))


@app.command("status", epilog=_EVERYWHERE)
def _status(
    context: typer.Context,
    name: Name,
    watching: Annotated[bool, typer.Option("-w", "--watch", help="Keep showing it; Ctrl-C ends.")] = False,
    output: Format = Output.TABLE,
) -> None:
    """Show what is exposed, why, and how far the proof is."""
    _do(context, lambda s: commands.status(s, name, watching=watching, as_json=output is Output.JSON))


@app.command("history", epilog=_EVERYWHERE)
def _history(context: typer.Context, name: Name, output: Format = Output.TABLE) -> None:
    """Show a release's revisions and every change of exposure with its reason."""
    _do(context, lambda s: commands.history(s, name, as_json=output is Output.JSON))


File = Annotated[
    str | None,
    typer.Option("--file", metavar="FILE", help="Read the operator's stdout from a file (-: stdin) instead."),
]


@app.command("log", epilog=_EVERYWHERE)
def _log(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="May be left out with --file.")] = None,
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Only check the chain of hashes.")] = False,
    file: File = None,
    output: Format = Output.TABLE,
) -> None:
    """Show the decision log and check its chain; exit code 1 for a changed, moved or missing entry."""
    shown = logbook.Shown(verify=verify, as_json=output is Output.JSON)
    if file is not None:
        where: Where = context.obj
        raise typer.Exit(run_offline(lambda p: logbook.log_of_file(p, file, where.namespace, name, shown)))
    if name is None:
        raise typer.BadParameter("is needed without --file", param_hint="NAME")
    _do(context, lambda s: logbook.log(s, name, shown))


@app.command("explain", epilog=_EVERYWHERE)
def _explain(
    context: typer.Context,
    name: Name,
    *,
    at: Annotated[
        str | None, typer.Option("--at", metavar="ID", help="Default: the newest decision.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run every decision again, a line each.")] = False,
    file: File = None,
    output: Format = Output.TABLE,
) -> None:
    """Decide again on what a decision rested on, and show how it came about; exit code 1 if it differs."""
    asked = logbook.Asked(at=at, everything=everything, as_json=output is Output.JSON)
    if file is not None:
        where: Where = context.obj
        raise typer.Exit(
            run_offline(lambda p: logbook.explain_of_file(p, file, where.namespace, name, asked))
        )
    _do(context, lambda s: logbook.explain_release(s, name, asked))


@app.command("rollback", epilog=_EVERYWHERE)
def _rollback(
    context: typer.Context,
    name: Name,
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="REVISION", help="Default: stable, or previous.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Recorded with the order.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the status shows it.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait at most.")] = 120.0,
) -> None:
    """Withdraw the candidate; after a promotion, go back to the revision before."""
    _do(
        context,
        lambda s: commands.rollback(s, name, to=to, reason=reason, wait=timeout if wait else None),
    )


@app.command("pause", epilog=_EVERYWHERE)
def _pause(context: typer.Context, name: Name) -> None:
    """Keep exposure where it is; breaches still take it back."""
    _do(context, lambda s: commands.pause(s, name, paused=True))


@app.command("resume", epilog=_EVERYWHERE)
def _resume(context: typer.Context, name: Name) -> None:
    """Let a paused release go on."""
    _do(context, lambda s: commands.pause(s, name, paused=False))


Agent = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Name of the AgentRelease; not with --all.")
]
All = Annotated[bool, typer.Option("--all", help="Every agent: of the whole cluster, or of -n NAMESPACE.")]
Operators = Annotated[
    str, typer.Option("--operator-namespace", help="With --all: where the operator's Lease and switch are.")
]


@app.command("halt", epilog=_EVERYWHERE)
def _halt(
    context: typer.Context,
    name: Agent = None,
    *,
    everyone: All = False,
    operator: Operators = "agentrelease",
    reason: Annotated[str, typer.Option("--reason", help="With --all: recorded with the order.")] = "",
) -> None:
    """Stop an agent, every revision of it, by its flag, or with --all every agent; needs no operator."""
    _stop(
        context, name, Everywhere(context.obj.namespace, operator, reason) if everyone else None, halted=True
    )


@app.command("unhalt", epilog=_EVERYWHERE)
def _unhalt(
    context: typer.Context,
    name: Agent = None,
    *,
    everyone: All = False,
    operator: Operators = "agentrelease",
) -> None:
    """Let a halted agent work again, or with --all those that --all halted."""
    _stop(context, name, Everywhere(context.obj.namespace, operator) if everyone else None, halted=False)


def _stop(context: typer.Context, name: str | None, where: Everywhere | None, *, halted: bool) -> None:
    if (name is None) == (where is None):
        raise typer.BadParameter("give a name, or --all for every agent", param_hint="NAME")
    if where is not None:
        _do(context, lambda s: commands.halt_all(s, where, halted=halted))
    agent = name or ""
    _do(context, lambda s: commands.halt(s, agent, halted=halted))
