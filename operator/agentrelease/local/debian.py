"""Programs out of Debian's and Ubuntu's packages: downloaded and unpacked, not installed.

Nothing is configured and no service starts, so it needs no root. Only the package lists may have to be
fetched first, for which root or password-less sudo is used where there is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from agentrelease.local.artefacts import Artefact, digest, ensure, root
from agentrelease.local.toolchain import ToolMissing

__all__ = ["unpack"]

_UPDATE_SECONDS, _DOWNLOAD_SECONDS = 300, 300


def unpack(package: str) -> Path:
    """Give a directory with the package's files below it; raises ToolMissing where apt can't provide it."""
    release = Path("/etc/os-release")
    key = digest(package, *([release] if release.exists() else []))
    return ensure(Artefact(root() / "debian" / package, key), partial(_unpack, package))


def _unpack(package: str, target: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ToolMissing(f"{package}: this machine has no apt-get")
    with tempfile.TemporaryDirectory() as scratch:
        if _apt("download", package, seconds=_DOWNLOAD_SECONDS, cwd=scratch):
            _update_lists()
            if problem := _apt("download", package, seconds=_DOWNLOAD_SECONDS, cwd=scratch):
                raise ToolMissing(f"{package}: {problem}")
        (archive,) = Path(scratch).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, target], check=True)


def _update_lists() -> None:
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and not shutil.which("sudo"):
        return  # the download that follows says what is missing
    _apt("update", seconds=_UPDATE_SECONDS, prefix=as_root)


def _apt(*arguments: str, seconds: float, cwd: str | None = None, prefix: list[str] | None = None) -> str:
    """Run apt-get; give its complaint, or nothing."""
    # The sandbox user can't write into our directory, and apt says so at length.
    command = [*(prefix or []), "apt-get", "-qq", "-o", "APT::Sandbox::User=root", *arguments]
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=cwd,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return f"apt-get {arguments[0]} did not end within {seconds:.0f} s"
    return done.stderr.strip() or "apt-get failed" if done.returncode else ""
