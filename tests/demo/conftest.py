"""The demo's run comes last: it takes minutes, and whatever is broken says so sooner elsewhere."""

from __future__ import annotations


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name == "test_demo.py")
