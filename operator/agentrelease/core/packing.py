"""An entry of the decision log as short text, for where the API server keeps one."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNPACKED = 4 * 1024 * 1024


def packed(content: Mapping[str, Any], longest: int) -> str:
    """Return an entry's JSON, compressed, as text; empty when it is longer than that even so.

    Canonical JSON is made anew of what is unpacked, to check its hash. Here it would cost five times as much.
    """
    line = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    text = base64.b64encode(zlib.compress(line.encode(), 9)).decode()
    return text if len(text) <= longest else ""


def unpacked(text: str) -> Mapping[str, Any] | None:
    """Return the entry that was packed; an entry of nothing for what can't be read, ``None`` for no text."""
    if not text:
        return None
    try:
        content = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _UNPACKED)
        found = json.loads(content)
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
