"""Loopback ports for programs that can't be told to take any free one.

A port that was only looked up can be gone when it is used. Two causes are ruled out: another process of
ours (each claims its port by an abstract Unix socket, which the kernel frees when the process ends), and
outgoing connections (ports come from below the range that the kernel takes those from). What remains is a
stranger who binds the same port in the same moment; then the program says so, and its start fails.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Self

__all__ = ["NoPorts", "Ports"]

_LOWEST = 20_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 200


class NoPorts(RuntimeError):
    """No free port was found; something on this machine holds nearly all of them."""


class Ports:
    """Ports held for this process until `release`."""

    def __init__(self, choice: random.Random | None = None) -> None:
        self._choice = choice or random.SystemRandom()
        self._claims: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self, preferred: int | None = None) -> int:
        """Give a port of 127.0.0.1 that nobody listens on: the preferred one where it is free."""
        if preferred and self._claim(preferred):
            return preferred
        highest = _highest()
        for _ in range(_TRIES):
            port = self._choice.randrange(_LOWEST, highest)
            if self._claim(port):
                return port
        raise NoPorts(f"none of {_TRIES} ports tried between {_LOWEST} and {highest} is free")

    def release(self) -> None:
        """Let others choose our ports."""
        while self._claims:
            self._claims.pop().close()

    def _claim(self, port: int) -> bool:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0agentrelease-port-{port}")
        except OSError:
            claim.close()
            return False
        if not _free(port):
            claim.close()
            return False
        self._claims.append(claim)
        return True


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _highest() -> int:
    try:
        lowest_ephemeral = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError):
        lowest_ephemeral = 0
    # Some machines let outgoing connections use nearly everything; then there is no better range.
    return lowest_ephemeral if lowest_ephemeral > _LOWEST + 1000 else 60_000
