"""`python -m agentrelease.local.gateway --kubeconfig FILE [--port N]`: serve until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from agentrelease.local.background import until_stopped
from agentrelease.local.gateway import Gateway


async def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="agentrelease.local.gateway", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--namespace", action="append", help="only this namespace (repeatable)")
    await until_stopped(serve(parser.parse_args(arguments)))


async def serve(chosen: argparse.Namespace) -> None:
    """Say the address, once it answers there; raises what stops it from serving."""
    async with Gateway(chosen.kubeconfig, port=chosen.port, namespaces=chosen.namespace) as gateway:
        print(f"gateway {gateway.url} admin {gateway.admin_url}", flush=True)  # noqa: T201 - its one line of output
        await gateway.failed()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
