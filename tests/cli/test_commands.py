"""The plugin as a program, against the real API server, with statuses written in the operator's stead."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from tests.api.manifests import revision

GROUP = ("agentrelease.dev", "v1alpha1")
PLUGIN = Path(sys.executable).parent / "kubectl-agent_release"


class Shop:
    """A namespace with one release, and the plugin at work in it."""

    def __init__(self, api, kubeconfig: Path, namespace: str) -> None:
        self.objects = client.CustomObjectsApi(api)
        self.core = client.CoreV1Api(api)
        self.kubeconfig, self.namespace = kubeconfig, namespace

    def apply(self, obj) -> None:
        body = {**obj, "metadata": {"name": obj["metadata"]["name"], "namespace": self.namespace}}
        status = body.pop("status")
        self.objects.create_namespaced_custom_object(*GROUP, self.namespace, "agentreleases", body)
        self.report(status)

    def report(self, status) -> None:
        self.objects.patch_namespaced_custom_object_status(
            *GROUP, self.namespace, "agentreleases", "support", {"status": status}
        )

    def keep(self, name: str, outcome: str) -> None:
        """Store a revision of the release, and how it fared."""
        body = {**revision(), "metadata": {"name": name}}
        self.objects.create_namespaced_custom_object(*GROUP, self.namespace, "agentrevisions", body)
        self.objects.patch_namespaced_custom_object_status(
            *GROUP, self.namespace, "agentrevisions", name, {"status": {"outcome": outcome}}
        )

    @property
    def release(self):
        return self.objects.get_namespaced_custom_object(*GROUP, self.namespace, "agentreleases", "support")

    def flags(self):
        data = self.core.read_namespaced_config_map("support-flags", self.namespace).data
        return json.loads(data["support.flagd.json"])

    def environment(self):
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "COLUMNS": "120", "PYTHONUTF8": "1"}

    def run(self, *arguments: str, here: bool = True):
        where = ["-n", self.namespace] if here else []
        return subprocess.run(
            [PLUGIN, *arguments, *where],
            env=self.environment(), capture_output=True, encoding="utf-8", timeout=180, check=False,
        )  # fmt: skip


@pytest.fixture
def shop(admin, control_plane, namespace, recorded):
    made = Shop(admin, control_plane.kubeconfig, namespace())
    made.apply(recorded.object(recorded.canary))
    return made


def test_list_shows_one_line_a_release_with_what_is_exposed(shop):
    done = shop.run("list")
    assert done.returncode == 0, done.stderr
    header, line = done.stdout.splitlines()
    assert header.split() == ["name", "phase", "step", "autonomy", "weight", "verdict", "stable", "age"]
    assert line.split()[:7] == ["support", "canary-5", "4/7", "suggestion-only", "5", "%", "Collecting"]
    everywhere = shop.run("list", "-A", here=False).stdout
    assert shop.namespace in everywhere


def test_a_namespace_without_releases_is_said_in_words(shop):
    done = shop.run("list", "-n", "default", here=False)
    assert (done.returncode, done.stdout) == (0, "No AgentRelease in namespace default; try -A.\n")


def test_status_prints_the_view_once_and_json_as_it_is_stored(shop):
    done = shop.run("status", "support")
    assert done.returncode == 0, done.stderr
    assert f"{shop.namespace}/support  canary-5, phase 4 of 7" in done.stdout
    assert "policy-violations" in done.stdout
    assert json.loads(shop.run("status", "support", "-o", "json").stdout) == shop.release


async def test_a_watch_on_a_pipe_prints_a_line_for_every_change(shop):
    process = await asyncio.create_subprocess_exec(
        PLUGIN, "status", "support", "--watch", "-n", shop.namespace,
        env=shop.environment(), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            assert b"Collecting: policy-violations" in await process.stdout.readline()
            await asyncio.to_thread(shop.report, {"verdict": "Soaking", "reason": "half of it is over"})
            assert b"canary-5, phase 4 of 7: Soaking: half of it is over" in await process.stdout.readline()
    finally:
        process.terminate()
        await process.wait()


def test_rollback_orders_the_withdrawal_of_the_candidate_and_records_who_and_why(shop, recorded):
    done = shop.run("rollback", "support", "--reason", "looks wrong")
    assert done.returncode == 0, done.stderr
    assert shop.release["spec"]["rollback"] == {
        "to": recorded.stable["revision"],
        "of": recorded.canary["candidate"]["revision"],
    }
    annotations = shop.release["metadata"]["annotations"]
    assert annotations["agentrelease.dev/rollback-reason"] == "admin: looks wrong"
    assert "kubectl agent-release status support" in done.stdout


def test_rollback_goes_to_any_kept_revision_that_was_promoted_and_to_no_other(shop, recorded):
    shop.report({"candidate": None, "phase": "Promoted", "verdict": "Promoted"})
    shop.keep("support-1111111111", "Promoted")
    shop.keep("support-2222222222", "RolledBack")
    for wrong in ("support-2222222222", "support-9999999999"):
        done = shop.run("rollback", "support", "--to", wrong)
        assert done.returncode == 1
        assert f"Error: --to: {wrong} is no kept revision" in done.stderr
        assert "there is support-1111111111." in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert "rollback" not in shop.release["spec"]
    serving = recorded.stable["revision"]
    done = shop.run("rollback", "support", "--to", serving)
    assert (done.returncode, "serves" in done.stderr) == (1, True)
    done = shop.run("rollback", "support", "--to", "support-1111111111", "--reason", "two steps back")
    assert done.returncode == 0, done.stderr
    assert shop.release["spec"]["rollback"] == {"to": "support-1111111111", "of": serving}
    note = shop.release["metadata"]["annotations"]["agentrelease.dev/rollback-reason"]
    assert note == "admin: two steps back"


def test_rollback_with_wait_ends_when_the_status_shows_it(shop):
    waiting = subprocess.Popen(
        [PLUGIN, "rollback", "support", "--wait", "-n", shop.namespace],
        env=shop.environment(), stdout=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    with waiting:
        assert "Ordered" in waiting.stdout.readline()
        shop.report({"candidate": None, "phase": "RolledBack"})
        rest, _ = waiting.communicate(timeout=180)
    assert waiting.returncode == 0
    assert "serves, and support-77aa01b2c3 is exposed nowhere" in rest


def test_a_wait_that_is_not_fulfilled_says_where_the_release_stands(shop):
    done = shop.run("rollback", "support", "--wait", "--timeout", "0.1")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "Error: --timeout: support-3f9a0c11de serving alone did not show within 0.1 s"
    )


def test_pause_and_resume_change_one_field_of_the_spec(shop):
    before = shop.release["spec"]
    assert shop.run("pause", "support").returncode == 0
    assert shop.release["spec"] == {**before, "paused": True}
    assert "already" in shop.run("pause", "support").stdout
    assert shop.run("resume", "support").returncode == 0
    assert shop.release["spec"] == {**before, "paused": False}


def test_halt_stops_the_agent_even_where_no_flags_exist_yet_and_unhalt_takes_it_back(shop):
    done = shop.run("halt", "support")
    assert done.returncode == 0, done.stderr
    assert shop.flags()["flags"]["support.halt"]["defaultVariant"] == "on"
    assert "already" in shop.run("halt", "support").stdout
    assert "HALTED" in shop.run("status", "support").stdout
    assert shop.run("unhalt", "support").returncode == 0
    assert shop.flags()["flags"]["support.halt"]["defaultVariant"] == "off"
    assert "HALTED" not in shop.run("status", "support").stdout


def test_all_agents_of_a_namespace_are_halted_and_let_work_again(shop):
    done = shop.run("halt", "--all")
    assert done.returncode == 0, done.stderr
    assert "1 halted, 0 unchanged, 0 failed" in done.stdout
    assert "HALTED" in shop.run("status", "support").stdout
    assert "1 may work again" in shop.run("unhalt", "--all").stdout
    assert shop.flags()["flags"]["support.halt"]["defaultVariant"] == "off"


@pytest.mark.parametrize("arguments", [("halt",), ("halt", "support", "--all"), ("unhalt",)])
def test_halt_takes_a_name_or_all_and_says_so(shop, arguments):
    done = shop.run(*arguments)
    assert done.returncode == 1
    assert "--all for every agent" in done.stderr


def test_history_shows_transitions_with_their_reasons(shop):
    done = shop.run("history", "support")
    assert done.returncode == 0, done.stderr
    assert "canary-1 → canary-5" in done.stdout
    assert json.loads(shop.run("history", "support", "-o", "json").stdout)["history"]


def test_kubectl_finds_it_as_a_plugin(shop):
    from agentrelease.local import builds

    environment = {**shop.environment(), "PATH": f"{PLUGIN.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [builds.kubectl(), "agent-release", "list", "-n", shop.namespace],
        env=environment, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "support" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["status", "nobody"], "Error: NAME: there is no AgentRelease 'nobody'"),
        (["status", "support", "--context", "moon"], "Error: --context: no context 'moon'"),
        (["status", "support", "--kubeconfig", "/nowhere"], "Error: --kubeconfig: there is no file /nowhere"),
        (["rollback", "support", "--to", "support-0"], "Error: --to: support-0 is in no slot"),
        (["status"], "Missing argument 'NAME'"),
        (["stop", "support"], "No such command 'stop'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_one(shop, arguments, sentence):
    done = shop.run(*arguments)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_does_not_answer_is_one_sentence(shop, tmp_path):
    text = shop.kubeconfig.read_text()
    server = next(line.split("server:")[1].strip() for line in text.splitlines() if "server:" in line)
    broken = tmp_path / "kubeconfig"
    broken.write_text(text.replace(server, "https://127.0.0.1:1"))
    done = shop.run("status", "support", "--kubeconfig", str(broken))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The API server can't be asked")
    assert len(done.stderr.splitlines()) == 1


def test_a_person_who_may_not_is_told_so_in_one_line(shop, control_plane):
    done = shop.run("pause", "support", "--kubeconfig", str(control_plane.user("eve")))
    assert done.returncode == 1
    assert "forbidden" in done.stderr.lower()
    assert "kubectl auth can-i --list" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    with pytest.raises(ApiException):
        shop.core.read_namespaced_config_map("support-flags", shop.namespace)
