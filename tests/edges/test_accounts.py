"""The book of effects in ConfigMaps."""

from tests.support.memory_cluster import MemoryCluster
from tests.support.stage import BUNDLE

from agentrelease.api.revision import CompensationStatus
from agentrelease.api.vocabulary import API_VERSION, Effect
from agentrelease.core.compensation import MAX_EFFECTS, MAX_SERVED, PART, EffectRecord
from agentrelease.edges import kinds
from agentrelease.edges.accounts import RevisionAccounts
from agentrelease.engine.aftermath import RevisionKey

KEY = RevisionKey("shop", "support", "support-0123456789")
AT = "2026-11-23T07:00:00Z"


def record(number: int) -> EffectRecord:
    own = (f"log-{number}", "log", number, "ticket.comment", Effect.WRITE, "s", KEY.revision)
    return EffectRecord(*own, "executed", AT, 1795417200.0, "sha256:0")


async def test_a_book_that_lets_go_of_its_oldest_parts_needs_no_more_objects_than_a_full_one() -> None:
    cluster = MemoryCluster()
    meta = {"name": KEY.revision, "namespace": KEY.namespace}
    revision = {"apiVersion": API_VERSION, "kind": "AgentRevision", "metadata": meta, "spec": BUNDLE}
    await cluster.create(revision)
    accounts, status, book = RevisionAccounts(cluster), CompensationStatus(since=1.5), []
    for start in range(0, 3 * MAX_EFFECTS, 7 * PART // 2):
        new = [record(number) for number in range(start + 1, start + 7 * PART // 2 + 1)]
        await accounts.append(KEY, status, book, new)
        book += new
        gone = max(0, len(book) - MAX_SERVED) // PART * PART
        book, status = book[gone:], status.model_copy(update={"first": status.first + gone})
        assert await accounts.book(KEY, status) == book
    parts = [ref for ref in cluster.objects if ref.kind == kinds.CONFIG_MAP]
    assert len(parts) <= MAX_EFFECTS // PART + 2
    assert await accounts.book(KEY, CompensationStatus(since=1.5)) == []  # what went is no beginning
    assert await accounts.book(KEY, status.model_copy(update={"since": 2.5})) == []
