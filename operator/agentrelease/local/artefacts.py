"""Things that are built once and kept: programs, CRDs of other projects, a Go toolchain.

* An artefact is a file or a directory below `root()`, with a key over everything it is made from beside
  it. A different key, and it is made again.
* It appears whole or not at all: it is made in a scratch directory and renamed. Two processes that want
  the same one make it once; the second waits on a file lock, which the kernel drops when its holder dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Artefact", "claim", "digest", "ensure", "root"]


def root() -> Path:
    """Give the directory of all artefacts: `build/` in a checkout, otherwise the user's cache."""
    if chosen := os.environ.get("AGENTRELEASE_BUILD_DIR"):
        return Path(chosen).absolute()
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").exists():
        return checkout / "build"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentrelease"


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file or directory, and the digest of what it is made from."""

    path: Path
    key: str

    @property
    def stamp(self) -> Path:
        """Where the key of what is there is written."""
        return self.path.with_name(f".{self.path.name}.key")

    @property
    def took(self) -> Path:
        """Where the seconds that making it took are written, for `make bench`."""
        return self.path.with_name(f".{self.path.name}.seconds")

    @property
    def fresh(self) -> bool:
        """Whether it is there, made from the same things."""
        return self.path.exists() and self.stamp.exists() and self.stamp.read_text() == self.key


def digest(*parts: str | Path) -> str:
    """Give a key over texts and files' names and contents."""
    total = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        name = part.name if isinstance(part, Path) else ""
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def ensure(artefact: Artefact, make: Callable[[Path], None]) -> Path:
    """Give the artefact's path; `make` is called with the path to create first, where that is needed."""
    if artefact.fresh:
        return artefact.path
    with claim(artefact.path):
        if not artefact.fresh:
            with tempfile.TemporaryDirectory(dir=artefact.path.parent, prefix=".making-") as scratch:
                made = Path(scratch) / artefact.path.name
                began = time.monotonic()
                make(made)
                _replace(made, artefact)
                artefact.took.write_text(f"{time.monotonic() - began:.1f}")
    return artefact.path


@contextmanager
def claim(path: Path) -> Iterator[None]:
    """Hold the lock that belongs to `path`, across processes; waits for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(made: Path, artefact: Artefact) -> None:
    artefact.stamp.unlink(missing_ok=True)
    if artefact.path.is_dir():
        shutil.rmtree(artefact.path)
    made.replace(artefact.path)
    artefact.stamp.write_text(artefact.key)
