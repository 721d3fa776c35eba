"""A guardrail that is judged by answers to the same request."""

COMPLETION = {
    "name": "completion-rate",
    "class": "quality",
    "ratio": {
        "good": {"metric": "agentrelease_tasks_total", "match": {"outcome": "completed"}},
        "of": {"metric": "agentrelease_tasks_total"},
    },
    "pairs": "completion",
    "tolerance": {"absolute": 0.01},
    "maxHarm": {"absolute": 0.03},
    "onBreach": "rollback",
}
