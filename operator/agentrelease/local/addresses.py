"""Loopback addresses for Pods: a /16 of 127.0.0.0/8 for every node on the machine, without a registry.

The claim is a bound abstract Unix socket: the kernel releases it when we end in whatever way, and it is
scoped to the network namespace, as loopback addresses are.
"""

from __future__ import annotations

import itertools
import os
import socket
from typing import Self

__all__ = ["Addresses", "NoAddresses"]

_FIRST, _LAST = 2, 254  # 127.0.0.0/16 and 127.1.0.0/16 are other people's habits


class NoAddresses(RuntimeError):
    """More than 250 nodes run on this machine, or it isn't Linux."""


class Addresses:
    """Gives addresses of one claimed /16 in turn; `release` frees the claim."""

    def __init__(self) -> None:
        self._claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.network = self._take()
        hosts = ((third, fourth) for third in range(256) for fourth in range(1, 255))
        self._hosts = itertools.cycle(hosts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def next(self) -> str:
        """Give the next address; it comes round again after 65,024 others."""
        third, fourth = next(self._hosts)
        return f"127.{self.network}.{third}.{fourth}"

    def release(self) -> None:
        self._claim.close()

    def _take(self) -> int:
        size = _LAST - _FIRST + 1
        for step in range(size):
            network = _FIRST + (os.getpid() + step) % size
            try:
                self._claim.bind(f"\0agentrelease-node-127.{network}")
            except OSError:
                continue
            return network
        self._claim.close()
        raise NoAddresses("no free 127.x.0.0/16 on this machine")
