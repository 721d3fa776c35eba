"""Flags from a flagd over its sync stream, without a file."""

import json
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc

from agentrelease.api.vocabulary import Autonomy
from agentrelease.sdk import LOWEST, AgentFlags, FlagSource

PROVIDERS_THREADS = (
    "(_run_initialize)",
    "(_shutdown_provider)",
    "(_run)",
    "FlagdGrpcSyncServiceMonitorThread",
    "FlagdGrpcSyncWorkerThread",
)


class Flagd(sync_pb2_grpc.FlagSyncServiceServicer):
    """Serves one flag set at a time on flagd.sync.v1, as the daemon does."""

    def __init__(self, document):
        self._news = queue.SimpleQueue()
        self.say(document)

    def say(self, document):
        self._news.put(json.dumps(document))

    def hang_up(self):
        self._news.put(None)

    def SyncFlags(self, request, context):  # noqa: N802 - the protocol's name
        while (text := self._news.get()) is not None:
            yield sync_pb2.SyncFlagsResponse(flag_configuration=text)

    def GetMetadata(self, request, context):  # noqa: N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")


@contextmanager
def listening(flagd, port=0):
    server = grpc.server(ThreadPoolExecutor(4))
    sync_pb2_grpc.add_FlagSyncServiceServicer_to_server(flagd, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield bound
    finally:
        flagd.hang_up()
        server.stop(None).wait()


@pytest.fixture
def read_stream(monkeypatch, clock, caplog, eventually):
    caplog.set_level("CRITICAL", logger="openfeature")
    started = []

    def start(port):
        monkeypatch.setenv("FLAGD_HOST", "127.0.0.1")
        monkeypatch.setenv("FLAGD_PORT", str(port))
        started.append(AgentFlags("support", "support-v7", FlagSource.from_env({}), clock))
        return started[-1]

    yield start
    # gRPC's threads raise when their channel is closed under them; that is the end they have.
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    for flags in started:
        flags.close()
    eventually(lambda: not [t for t in threading.enumerate() if t.name.endswith(PROVIDERS_THREADS)])


def test_grants_come_over_the_stream_and_change_with_it(flag_file, read_stream, eventually):
    document = flag_file.document()
    flagd = Flagd(document)
    with listening(flagd) as port:
        flags = read_stream(port)
        eventually(lambda: flags.permissions("s1").autonomy is Autonomy.LIMITED_ACTION)
        document["flags"]["support.halt"]["defaultVariant"] = "on"
        flagd.say(document)
        eventually(lambda: flags.permissions("s1") == LOWEST)


def test_a_flagd_that_is_gone_is_believed_for_the_ttl_and_no_longer(
    flag_file, read_stream, eventually, clock
):
    with listening(Flagd(flag_file.document())) as port:
        flags = read_stream(port)
        eventually(lambda: flags.permissions("s1").autonomy is Autonomy.LIMITED_ACTION)
    eventually(lambda: flags.age > 0)
    assert flags.permissions("s1").autonomy is Autonomy.LIMITED_ACTION
    clock.now += 61
    assert flags.permissions("s1") == LOWEST


def test_without_a_flagd_nothing_is_granted(read_stream, unused_tcp_port):
    assert read_stream(unused_tcp_port).permissions("s1") == LOWEST
