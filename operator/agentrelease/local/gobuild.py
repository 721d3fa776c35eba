"""Programs built from Go modules, with progress."""

from __future__ import annotations

import subprocess
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.local.artefacts import Artefact, digest, ensure, root
from agentrelease.local.progress import counting
from agentrelease.local.toolchain import go

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["BuildFailed", "GoProgram", "install"]

# No debug information: nobody debugs these programs, and it costs a tenth of the build.
_FLAGS = ("-trimpath", "-gcflags=all=-dwarf=false")
_SOURCES = {".go", ".mod", ".sum", ".yaml"}
_LAST_LINES = 30


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


def _build(program: GoProgram, target: Path) -> None:
    if program.directory:
        packages = _packages(program)
        arguments = ["build", *program.build_arguments(), "-o", str(target), program.package]
        _compile(program, arguments, packages, {})
    else:
        arguments = ["install", *program.build_arguments(), f"{program.package}@{program.version}"]
        _compile(program, arguments, None, {"GOBIN": str(target.parent)})


def _packages(program: GoProgram) -> frozenset[str]:
    """Give the packages that are still to be compiled."""
    stale = "{{if .Stale}}{{.ImportPath}}{{end}}"
    listed = subprocess.run(
        [go().program, "list", "-deps", "-f", stale, *_FLAGS, program.package],
        check=False,
        cwd=program.directory,
        env=go().environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if listed.returncode:
        raise BuildFailed(f"{program.name}: {listed.stderr}")
    return frozenset(listed.stdout.split())


def _compile(
    program: GoProgram, arguments: Sequence[str], packages: frozenset[str] | None, environment: dict[str, str]
) -> None:
    last: deque[str] = deque(maxlen=_LAST_LINES)
    total = len(packages) if packages else None
    with (
        counting(f"building {program.name}", "packages", total) as step,
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
