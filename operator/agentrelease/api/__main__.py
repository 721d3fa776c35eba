"""``python -m agentrelease.api [ROOT]`` writes what is made from the models.

``crds/`` and ``docs/api.md`` for people and tests; and, below ``charts/agentrelease/files/``, the copies
that the chart renders, because Helm reads nothing outside of a chart.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agentrelease.api import admission
from agentrelease.api.crd import definitions
from agentrelease.api.reference import reference


def made() -> dict[str, str]:
    """Return path below the repository's root → text."""
    crds = definitions()
    chart = "charts/agentrelease/files"
    return {
        **{f"crds/{name}": text for name, text in crds.items()},
        **{f"{chart}/crds/{name}": text for name, text in crds.items()},
        f"{chart}/admission.yaml": admission.source(),
        "docs/api.md": reference(),
    }


def main(arguments: list[str]) -> None:
    """Write every file below the root, by default the working directory; leave other files alone."""
    parser = argparse.ArgumentParser(
        prog="python -m agentrelease.api", description="Write crds/, docs and chart copies."
    )
    parser.add_argument(
        "root", nargs="?", type=Path, default=Path(), help="the repository's root; default: here"
    )
    root = parser.parse_args(arguments).root
    for name, text in made().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
