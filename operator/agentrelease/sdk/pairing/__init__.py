"""Shadow outcomes in pairs: two agents answer the same request, and somebody puts their judgements together.

While requests are mirrored, both agents judge their own answer and tell the joiner: the request's id (the
gateway gives the copy the id of the original), who they are, whether theirs was the copy, and what was bad.
The joiner counts each pair once, in ``agentrelease_shadow_pairs_total``, from zero for each set of labels.

* No text of a request or an answer comes here: ids, labels and yes/no.
* A copy of which one side stays silent for the window is counted as unmatched, never guessed. A candidate
  tells when it *begins* with a copy, so one that hangs or dies is missed and not forgotten.
* Memory and time are bounded: a window in seconds, a number of requests, a number of pairs of revisions.
* One joiner serves one namespace and runs as one process: both halves of a pair must come to the same. The
  ``namespace`` of its series is that of its Pod, so what it is told can move no other tenant's release.

``python -m agentrelease.sdk.pairing`` runs it.
"""

from agentrelease.sdk.pairing.joiner import JUDGED, OUTCOMES, UNMATCHED, Joiner, Told
from agentrelease.sdk.pairing.reporter import PairReporter

__all__ = ["JUDGED", "OUTCOMES", "UNMATCHED", "Joiner", "PairReporter", "Told"]
