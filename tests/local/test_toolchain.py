"""The programs that we don't write are the machine's, or are brought."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from agentrelease.local.artefacts import root
from agentrelease.local.toolchain import find_uv


def go_found(path, build_directory):
    """What `go()` finds in a process that finds `path` first."""
    environment = {
        **os.environ,
        "PATH": f"{path}:/usr/bin:/bin",
        "UV": find_uv(),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "AGENTRELEASE_BUILD_DIR": str(build_directory),
    }
    code = "from agentrelease.local.toolchain import go; print(go().program, go().version)"
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    program, version = said.stdout.split()
    return program, version


@pytest.fixture
def machine_with_go(tmp_path):
    """A PATH with a Go that calls itself by that version."""

    def make(version):
        program = tmp_path / "go"
        program.write_text(f"#!/bin/sh\necho go{version}\n")
        program.chmod(0o755)
        return tmp_path

    return make


def test_the_machines_own_go_is_used(machine_with_go):
    path = machine_with_go("1.26.0")
    assert go_found(path, root()) == (str(path / "go"), "go1.26.0")


def test_where_it_is_too_old_go_comes_from_its_python_package(machine_with_go):
    program, version = go_found(machine_with_go("1.25.9"), root())
    assert program.startswith(str(root()))
    assert version == "go1.26.6"
