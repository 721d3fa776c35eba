"""A way to the API server that can be cut and mended."""

from __future__ import annotations

import asyncio
import contextlib

import yaml


class Proxy:
    """A TCP proxy in front of the API server that can be cut and mended."""

    def __init__(self, plane):
        self._plane = plane
        host, port = plane.server.removeprefix("https://").split(":")
        self._target, self._cut, self._open = (host, int(port)), False, set()

    async def __aenter__(self):
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._listener.close()
        self.cut()
        await asyncio.gather(*self._open, return_exceptions=True)

    def kubeconfig(self, directory):
        """Write a kubeconfig that goes through here."""
        config = yaml.safe_load(self._plane.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.port}"
        written = directory / "proxied.kubeconfig"
        written.write_text(yaml.safe_dump(config))
        return written

    def cut(self):
        """End every connection and refuse new ones."""
        self._cut = True
        for task in self._open:
            task.cancel()

    def mend(self):
        self._cut = False

    async def _accept(self, reader, writer):
        task = asyncio.current_task()
        self._open.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            if not self._cut:
                onwards = await asyncio.open_connection(*self._target)
                with contextlib.closing(onwards[1]):
                    await asyncio.gather(_pipe(reader, onwards[1]), _pipe(onwards[0], writer))
        self._open.discard(task)


async def _pipe(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
