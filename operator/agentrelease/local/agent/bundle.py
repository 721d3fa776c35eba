"""Loading the slot's bundle, and refusing to serve one that is not the release's.

The bundle is a mounted ConfigMap that the operator overwrites when it loads the slot with another
revision. A container that restarts in that moment would serve new content under an old name; the
revision's name carries its digest, so this is found out here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from agentrelease.api.bundle import Bundle
from agentrelease.core.bundle import REVISION_DIGITS, digest_of

if TYPE_CHECKING:
    from pathlib import Path

_DIGEST_SUFFIX = re.compile(rf"-([0-9a-f]{{{REVISION_DIGITS}}})$")


class NotLoaded(Exception):
    """There is nothing to serve yet; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """A bundle as it was read, and its ``sha256:…`` digest."""

    content: Bundle
    digest: str


def load_bundle(path: Path, release: str) -> LoadedBundle:
    """Read the bundle that this release names; raises ``NotLoaded``.

    A release whose name ends in no digest is taken at its word.
    """
    if not release:
        raise NotLoaded("no release is loaded into this slot")
    try:
        content = Bundle.model_validate_json(path.read_bytes())
    except OSError as error:
        raise NotLoaded(f"no bundle at {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise NotLoaded(f"{path} is no bundle: {where}: {first['msg']}") from error
    digest = digest_of(content)
    named = _DIGEST_SUFFIX.search(release)
    if named is not None and not digest.startswith(f"sha256:{named.group(1)}"):
        raise NotLoaded(f"{path} holds {digest[:17]}…, which is not release {release}")
    return LoadedBundle(content, digest)
