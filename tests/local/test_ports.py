"""Ports that we give away stay ours."""

from __future__ import annotations

import random
import socket
import subprocess
import sys

from agentrelease.local.ports import Ports


class Fixed(random.Random):
    """Chooses these numbers, in turn."""

    def __init__(self, *numbers):
        self._numbers = iter(numbers)

    def randrange(self, *_):
        return next(self._numbers)


def a_free_port():
    with Ports() as ports:
        return ports.take()


def test_a_port_that_somebody_listens_on_is_passed_over():
    free = a_free_port()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        with Ports(Fixed(taken, free)) as ports:
            assert ports.take() == free


def test_a_preferred_port_is_given_where_it_is_free():
    wanted = a_free_port()
    with Ports() as ports:
        assert ports.take(wanted) == wanted


def test_a_preferred_port_in_use_gives_way():
    with socket.create_server(("127.0.0.1", 0)) as busy, Ports() as ports:
        assert ports.take(busy.getsockname()[1]) != busy.getsockname()[1]


def test_a_port_is_given_to_one_process_only():
    with Ports() as ports:
        mine, other = ports.take(), a_free_port()
        code = (
            "import random, sys\n"
            "from agentrelease.local.ports import Ports\n"
            "class Fixed(random.Random):\n"
            f"    def randrange(self, *_, n=iter([{mine}, {other}])): return next(n)\n"
            "print(Ports(Fixed()).take())"
        )
        path = {"PYTHONPATH": ":".join(sys.path)}
        said = subprocess.run(
            [sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True
        )
    assert int(said.stdout) == other
    assert int(said.stdout) != mine


def test_a_released_port_can_be_had_again():
    port = a_free_port()
    with Ports() as ports:
        assert ports.take(port) == port
