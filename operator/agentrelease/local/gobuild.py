"""Programs built from Go modules, with progress."""

from __future__ import annotations

import subprocess
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.local.artefacts import Artefact, digest, ensure, root
from agentrelease.local.progress import counting, say
from agentrelease.local.toolchain import go

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["BuildFailed", "GoProgram", "cold_seconds_file", "install"]

# No debug information: nobody debugs these programs, and it costs a tenth of the build.
_FLAGS = ("-trimpath", "-gcflags=all=-dwarf=false")
_SOURCES = {".go", ".mod", ".sum", ".yaml"}
_LAST_LINES = 30
_COLD = 0.9  # of its packages; a compiler's cache may hold the standard library's


class BuildFailed(RuntimeError):
    """The compiler refused; the message has its last lines."""


@dataclass(frozen=True, slots=True)
class GoProgram:
    """A main package: in a directory of ours, or (with `version`) in a published module.

    `stamps` are linker variables and their values.
    """

    name: str
    package: str
    version: str = ""
    directory: Path | None = None
    stamps: tuple[tuple[str, str], ...] = ()

    def artefact(self) -> Artefact:
        """Where it goes, and what it depends on: sources, locked modules, flags, compiler."""
        files = sorted(self.directory.iterdir()) if self.directory else []
        sources = [file for file in files if file.suffix in _SOURCES]
        parts = (go().version, *self.build_arguments(), self.package, self.version)
        return Artefact(root() / "bin" / self.name, digest(*parts, *sources))

    def build_arguments(self) -> list[str]:
        """Give flags for `go build` and `go install`."""
        linked = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in self.stamps)])
        return ["-v", *_FLAGS, f"-ldflags={linked}"]


def install(program: GoProgram) -> Path:
    """Give the program's path, built if it isn't yet; raises BuildFailed."""
    return ensure(program.artefact(), lambda target: _build(program, target))


def cold_seconds_file(program: GoProgram) -> Path:
    """Where the seconds stand that the last build from nothing took."""
    path = program.artefact().path
    return path.with_name(f".{path.name}.seconds")


def _build(program: GoProgram, target: Path) -> None:
    if not program.directory:
        arguments = ["install", *program.build_arguments(), f"{program.package}@{program.version}"]
        _compile(program, arguments, None, {"GOBIN": str(target.parent)})
        return
    began = time.monotonic()
    say(f"building {program.name}: fetching its modules")
    total, stale = _packages(program)
    _compile(program, ["build", *program.build_arguments(), "-o", str(target), program.package], stale, {})
    if stale >= _COLD * total:
        cold_seconds_file(program).write_text(f"{time.monotonic() - began:.0f}")


def _packages(program: GoProgram) -> tuple[int, int]:
    """Count all packages of the program, and those still to be compiled."""
    listed = subprocess.run(
        [go().program, "list", "-deps", "-f", "{{.Stale}}", *_FLAGS, program.package],
        check=False,
        cwd=program.directory,
        env=go().environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if listed.returncode:
        raise BuildFailed(f"{program.name}: {listed.stderr}")
    answers = listed.stdout.split()
    return len(answers), answers.count("true")


def _compile(
    program: GoProgram, arguments: Sequence[str], packages: int | None, environment: dict[str, str]
) -> None:
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with (
        counting(f"building {program.name}", "packages", packages) as step,
        subprocess.Popen(
            [go().program, *arguments],
            cwd=program.directory,
            env=go().environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as compiler,
    ):
        for line in compiler.stderr or ():
            if " " in line.strip():  # a package's name stands alone
                last.append(line)
            else:
                step()
    if compiler.returncode:
        raise BuildFailed(f"{program.name} does not build:\n{''.join(last)}")
