"""``make demo`` as people and CI run it: to its end, and interrupted; nothing may be left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

from agentrelease.local import artefacts

MARK = "AGENTRELEASE_DEMO_TEST"
ROOT = Path(__file__).parents[2]
LONGEST = 600  # seconds; a good run comes nowhere near


@contextmanager
def demo():
    """Run the demo with a mark that every process it starts inherits."""
    mark = uuid.uuid4().hex
    environment = {**os.environ, MARK: mark, "KEEP": "0", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    environment.pop("KUBECONFIG", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "agentrelease.local.demo"],
        cwd=ROOT, env=environment, text=True, encoding="utf-8", start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        with process:
            yield process, mark
    finally:
        for pid in left_by(process, mark):
            os.kill(pid, signal.SIGKILL)


def left_by(process: subprocess.Popen, mark: str) -> list[int]:
    """What still runs of a demo: what has its mark, or (pods inherit nothing) its directory."""
    directory = next(iter((artefacts.root() / "demo").glob(f"*-{process.pid}")), None)
    signs = [f"{MARK}={mark}".encode(), *([f"{directory}/".encode()] if directory else [])]
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            known = (place / "environ").read_bytes() + (place / "cmdline").read_bytes()
        except OSError:
            continue  # it ended, or is not ours
        if any(sign in known for sign in signs):
            found.append(int(place.name))
    return found


def test_v2_is_promoted_v3_is_rolled_back_and_no_process_is_left_behind():
    with demo() as (process, mark):
        said, _ = process.communicate(timeout=LONGEST)
        left = left_by(process, mark)
    assert process.returncode == 0, said
    assert left == []
    for manifest in ("platform", "v1", "v2", "v3"):
        assert f"$ kubectl apply -n support -f examples/support-agent/{manifest}.yaml" in said
    assert "The demo succeeded: v2 was promoted and v3 was rolled back" in said
    assert "policy-violations" in said
    assert re.search(r"first violating sample → all safe +\d+\.\d s", said), said
    assert re.search(r"users' requests that it answered +[1-9]\d* of \d+", said), said
    assert "shadow answers reached users" not in said
    assert "Traceback" not in said
    [log] = re.findall(r"decisions +(\S+)", said)
    assert "Traceback" not in Path(log).read_text(encoding="utf-8")


def test_an_interrupted_demo_leaves_no_process_behind():
    with demo() as (process, mark):
        for line in process.stdout:
            if "v2.yaml" in line:
                running = len(left_by(process, mark))
                process.send_signal(signal.SIGINT)
                break
        rest, _ = process.communicate(timeout=LONGEST)
        left = left_by(process, mark)
    assert process.returncode == 130, rest
    assert running > 5  # the demo, control plane, Envoy, Prometheus, operator, agents
    assert "Interrupted; everything that was started has ended." in rest
    assert "Traceback" not in rest
    assert left == []
