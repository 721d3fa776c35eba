"""``python -m agentrelease.api [DIRECTORY]`` writes the CRDs, by default to ``crds/``."""

from __future__ import annotations

import sys
from pathlib import Path

from agentrelease.api.crd import definitions


def main(arguments: list[str]) -> None:
    """Write every definition into the directory; leave other files alone."""
    directory = Path(arguments[0] if arguments else "crds")
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in definitions().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
