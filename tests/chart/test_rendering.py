"""What the chart asks for, and what it refuses to take."""

import pytest
import yaml
from tests.chart.conftest import CHART, KUBE_VERSION, NEEDED

from agentrelease.api.admission import policies
from agentrelease.api.crd import RESOURCES, definition
from agentrelease.api.release import ReleaseSpec
from agentrelease.edges.endpoints import read as read_endpoints
from agentrelease.settings import Settings

EXAMPLES = CHART.parents[1] / "examples"
USER = "system:serviceaccount:agents:agentrelease"
READS = {"get", "list", "watch"}


def of_kind(objects, kind, name=None):
    return [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]


def operator_rules(objects, kind):
    """Rules of the roles that are bound to the operator, by role name."""
    bindings = of_kind(objects, f"{kind}Binding")
    bound = {(b["roleRef"]["name"], b["metadata"].get("namespace")) for b in bindings}
    return {
        (r["metadata"]["name"], r["metadata"].get("namespace")): r["rules"]
        for r in of_kind(objects, kind)
        if (r["metadata"]["name"], r["metadata"].get("namespace")) in bound
    }


def test_helm_finds_nothing_to_say(helm):
    linted = helm("lint", "--strict", str(CHART), *KUBE_VERSION, *NEEDED)
    assert linted.returncode == 0, linted.stdout
    assert "[WARNING]" not in linted.stdout


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("prometheus.url=", "/prometheus/url"),
        ("prometheus.url=file:///etc/passwd", "/prometheus/url"),
        ("namespaces[0]=Support Team", "/namespaces/0"),
        ("admission.gitopsAccounts[0]=x' || true", "/admission/gitopsAccounts/0"),
        ("image.tag=latest", "/image/tag"),
        ("image.digest=abc", "/image/digest"),
        ("replicas=0", "/replicas"),
        ("logLevel=loud", "/logLevel"),
        ("admission.enable=true", "/admission"),
        ("endpoints.sinks[0].name=a,endpoints.sinks[0].url=http://me@x/", "/endpoints/sinks/0/url"),
        ("extraEnv[0].name=PATH,extraEnv[0].value=x", "/extraEnv/0/name"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm, value, named):
    made = helm("template", "x", str(CHART), *KUBE_VERSION, *NEEDED, "--set", value)
    assert made.returncode != 0
    assert f"at '{named}'" in made.stderr


def test_an_old_cluster_is_refused(helm):
    made = helm("template", "x", str(CHART), "--kube-version", "1.29.0", *NEEDED)
    assert "chart requires kubeVersion" in made.stderr


def test_the_crds_are_the_models_and_survive_the_chart(render):
    found = {crd["metadata"]["name"]: crd for crd in of_kind(render(), "CustomResourceDefinition")}
    for resource in RESOURCES:
        wanted = definition(resource)
        crd = found.pop(wanted["metadata"]["name"])
        assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert crd == wanted
    assert found == {}
    assert not of_kind(render("crds.install=false"), "CustomResourceDefinition")
    unkept = of_kind(render("crds.keep=false"), "CustomResourceDefinition")
    assert unkept == [definition(resource) for resource in RESOURCES] or sorted(
        unkept, key=lambda crd: crd["metadata"]["name"]
    ) == sorted(map(definition, RESOURCES), key=lambda crd: crd["metadata"]["name"])


def test_the_admission_policies_are_the_ones_that_tests_prove(render):
    gitops = ["system:serviceaccount:flux-system:kustomize-controller", "system:serviceaccount:argocd:a"]
    for accounts in ([], gitops):
        values = [f"admission.gitopsAccounts[{i}]={account}" for i, account in enumerate(accounts)]
        objects = [o for o in render(*values) if o["kind"].startswith("ValidatingAdmission")]
        assert sorted(objects, key=_address) == sorted(policies(USER, accounts), key=_address)
    assert not of_kind(render("admission.enabled=false"), "ValidatingAdmissionPolicy")


def _address(obj):
    return obj["kind"], obj["metadata"]["name"]


def test_cluster_wide_the_operator_writes_its_own_kinds_only(render):
    (rules,) = operator_rules(render(), "ClusterRole").values()
    for rule in rules:
        assert rule["apiGroups"] == ["agentrelease.dev"]
        assert "*" not in rule["resources"] + rule["verbs"]
        if "approve" in rule["verbs"] or "agentapprovals" in rule["resources"]:
            assert set(rule["verbs"]) <= READS


def test_routes_maps_and_deployments_are_granted_by_namespace_and_never_deleted(render):
    objects = render("namespaces={support,billing}")
    levers = {
        namespace: rules
        for (name, namespace), rules in operator_rules(objects, "Role").items()
        if name.endswith("-levers")
    }
    assert set(levers) == {"support", "billing"}
    for rules in levers.values():
        granted = {resource for rule in rules for resource in rule["resources"]}
        routes, flags = {"httproutes", "virtualservices"}, {"configmaps", "featureflags"}
        assert granted == routes | flags | {"deployments", "services", "events"}
        assert not {"delete", "deletecollection", "*"} & {verb for rule in rules for verb in rule["verbs"]}


def test_without_namespaces_the_operator_serves_its_own(render):
    levers = [key for key in operator_rules(render(), "Role") if key[0].endswith("-levers")]
    assert levers == [("agentrelease-levers", "agents")]
    assert environment(render())["AGENTRELEASE_NAMESPACES"] == "agents"


def test_no_role_reads_secrets_or_grants_more_than_it_names(render):
    for role in of_kind(render(), "ClusterRole") + of_kind(render(), "Role"):
        for rule in role["rules"]:
            assert not {"secrets", "*", "pods/exec"} & set(rule["resources"])
            assert not {"*", "escalate", "bind", "impersonate"} & set(rule["verbs"])


def environment(objects):
    (deployment,) = of_kind(objects, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value") for entry in container["env"]}


def test_every_setting_that_the_chart_makes_exists(render):
    values = (
        "prometheus.bearerSecret.name=token",
        "prometheus.caConfigMap.name=ca",
        "evaluationInterval=2",
    )
    given = environment(render(*values))
    known = {f"AGENTRELEASE_{name.upper()}" for name in Settings.model_fields}
    assert set(given) <= known
    fixed = {k.removeprefix("AGENTRELEASE_").lower(): v for k, v in given.items() if v is not None}
    read = Settings(**fixed)
    assert read.namespaces == ("agents",)
    assert read.evaluation_interval == 2
    assert read.listen_port == 8080
    assert str(read.prometheus_bearer_file) == "/etc/agentrelease/bearer/token"


def test_image_and_pod_agree_on_port_and_user(render):
    (deployment,) = of_kind(render(), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    dockerfile = (CHART.parents[1] / "operator" / "Dockerfile").read_text(encoding="utf-8")
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in dockerfile
    assert f"EXPOSE {pod['containers'][0]['ports'][0]['containerPort']}" in dockerfile
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_budget_only_where_there_is_more_than_one(render):
    assert of_kind(render(), "PodDisruptionBudget")
    assert not of_kind(render("replicas=1"), "PodDisruptionBudget")


def test_a_digest_wins_over_a_tag(render):
    digest = "sha256:" + "ab" * 32
    (deployment,) = of_kind(render(f"image.digest={digest}", "image.tag=v1"), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"agentrelease/operator@{digest}"


ENDPOINTS = (
    "endpoints.hooks[0].name=undo-writes",
    "endpoints.hooks[0].url=https://undo.example/v1",
    "endpoints.hooks[0].hmacSecretFile=/etc/agentrelease/secrets/undo",
    "endpoints.sinks[0].name=audit",
    "endpoints.sinks[0].url=https://audit.example/in",
    "endpoints.sinks[0].bearerFile=/etc/agentrelease/secrets/audit",
    "endpoints.secret=agentrelease-endpoints",
    "endpoints.source=//cluster-a/agentrelease",
)


def test_hooks_and_sinks_reach_the_operator_as_it_reads_them(render, tmp_path):
    objects = render(*ENDPOINTS)
    (config,) = of_kind(objects, "ConfigMap", "agentrelease-endpoints")
    file = tmp_path / "endpoints.yaml"
    file.write_text(config["data"]["endpoints.yaml"])
    found = read_endpoints(file)
    assert [hook.name for hook in found.hooks] == ["undo-writes"]
    assert str(found.sinks[0].bearer_file) == "/etc/agentrelease/secrets/audit"
    (deployment,) = of_kind(objects, "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    env = {e["name"]: e.get("value") for e in spec["containers"][0]["env"]}
    assert env["AGENTRELEASE_ENDPOINTS_FILE"] == "/etc/agentrelease/endpoints/endpoints.yaml"
    assert env["AGENTRELEASE_EVENT_SOURCE"] == "//cluster-a/agentrelease"
    mounted = {m["name"]: m["mountPath"] for m in spec["containers"][0]["volumeMounts"]}
    assert mounted["endpoints"] == "/etc/agentrelease/endpoints"
    assert mounted["secrets"] == "/etc/agentrelease/secrets"
    assert {v["name"] for v in spec["volumes"]} == set(mounted)


def test_the_example_of_endpoints_names_the_hooks_that_its_release_asks_for(render, tmp_path):
    objects = render(files=(EXAMPLES / "endpoints" / "values.yaml",))
    (config,) = of_kind(objects, "ConfigMap", "agentrelease-endpoints")
    file = tmp_path / "endpoints.yaml"
    file.write_text(config["data"]["endpoints.yaml"])
    found = read_endpoints(file)
    for one in (*found.hooks, *found.sinks):
        assert getattr(one, "hmac_secret_file", None) or one.job["template"]["spec"]["containers"]
    release = yaml.safe_load((EXAMPLES / "support-agent" / "v2.yaml").read_text())["spec"]
    patch = yaml.safe_load((EXAMPLES / "endpoints" / "compensations.yaml").read_text())["spec"]
    release["rollback"] |= patch.pop("rollback")
    spec = ReleaseSpec.model_validate(release | patch, extra="forbid")
    usable = {hook.name for hook in found.hooks if "support" in hook.namespaces}
    assert {one.hook for one in spec.rollback.compensations} == usable
    (sink,) = found.sinks
    assert all(kind.startswith("dev.agentrelease.") for kind in sink.types)


def test_pods_and_jobs_are_only_for_those_who_name_hooks(render):
    def granted(*values):
        rules = [r for rules in operator_rules(render(*values), "Role").values() for r in rules]
        return {(name, verb) for r in rules for name in r["resources"] for verb in r["verbs"]}

    assert not {name for name, _ in granted()} & {"pods", "jobs"}
    assert ("pods", "list") in granted(*ENDPOINTS)
    assert "jobs" not in {name for name, _ in granted(*ENDPOINTS)}
    job = (
        "endpoints.hooks[0].name=undo",
        "endpoints.hooks[0].job.template.spec.containers[0].name=undo",
    )
    assert {verb for name, verb in granted(*job) if name == "jobs"} == {"get", "create"}
