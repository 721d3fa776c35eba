"""The example without a gateway: the API server takes it, and the agent has what it names."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.api.server import Server

from agentrelease.api.release import ReleaseSpec
from agentrelease.core.bundle import digest_of

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER = EXAMPLES / "flag-split"


def objects(name):
    return list(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_the_api_server_takes_each_release_and_the_model_knows_each_field(admin, name):
    (obj,) = objects(name)
    answer = Server(admin, "default").create(obj, dry_run=True, strict=True)
    assert answer.accepted, answer.body
    spec = ReleaseSpec.model_validate(obj["spec"], extra="forbid")
    assert (spec.delivery.route, spec.delivery.slots) == (None, None)


def test_it_releases_the_bundles_of_the_other_example():
    for name in ("v1", "v2"):
        other = yaml.safe_load((EXAMPLES / "support-agent" / f"{name}.yaml").read_text(encoding="utf-8"))
        (mine,) = objects(name)
        assert mine["spec"]["bundle"] == other["spec"]["bundle"]
    bundles = [ReleaseSpec.model_validate(objects(name)[0]["spec"]).bundle for name in ("v1", "v2")]
    assert digest_of(bundles[0]) != digest_of(bundles[1])


def test_the_pods_mount_what_the_operator_writes():
    kinds = {obj["kind"]: obj for obj in objects("platform")}
    assert sorted(kinds) == ["Deployment", "GuardrailPolicy", "Service"]
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    sources = {v["name"]: v["configMap"] for v in pod["volumes"]}
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert sources["bundles"] == {"name": "support-bundles", "optional": True}
    assert sources["flags"] == {"name": "support-flags", "optional": True}
    assert env["BUNDLES_PATH"] == mounts["bundles"]
    assert env["FLAGD_OFFLINE_FLAG_SOURCE_PATH"] == f"{mounts['flags']}/support.flagd.json"
    assert "AGENT_RELEASE" not in env
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert kinds["Service"]["spec"]["selector"].items() <= labels.items()
