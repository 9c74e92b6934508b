"""etc/kubernetes: valid by the published schemas, restricted, consistent in itself, and naming only what the product has.

The schema of ServiceMonitor is not among the published ones (it is the Prometheus operator's own): its structure is checked by the part
of it that is used here."""

import copy
import fcntl
import os
import pathlib
import re
import shutil

import jsonschema
import kubernetes_validate
import pytest
import yaml

from lab.client import get
from lab.stack import Stack, service_user
from lab.waiting import until

PROJECT = pathlib.Path(__file__).resolve().parents[2]
MANIFESTS = PROJECT / "etc" / "kubernetes"
ROLES = ("genie", "agent")
#: The oldest and the newest that the validator has schemas of, and one that clusters run.
VERSIONS = sorted({"1.25", "1.31", kubernetes_validate.latest_version()})

SERVICE_MONITOR = {
    "type": "object", "additionalProperties": False, "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"}, "kind": {"const": "ServiceMonitor"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object", "additionalProperties": False, "required": ["selector", "endpoints"],
            "properties": {
                "selector": {"type": "object", "additionalProperties": False, "required": ["matchLabels"],
                             "properties": {"matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}}},
                "endpoints": {"type": "array", "minItems": 1, "items": {
                    "type": "object", "additionalProperties": False, "required": ["port"],
                    "properties": {"port": {"type": "string"}, "path": {"type": "string", "pattern": "^/"},
                                   "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
                                   "scrapeTimeout": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}}}},
            },
        },
    },
}


def load(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def resources():
    """(file, document) of everything that is no kustomization."""
    return [(path, document) for path in sorted(MANIFESTS.rglob("*.yaml")) if path.name != "kustomization.yaml" for document in load(path)]


def one(role, kind, name=None):
    found = [document for path, document in resources() if document["kind"] == kind
             and document["metadata"].get("labels", {}).get("app.kubernetes.io/name") == f"hive-{role}"
             and (name is None or document["metadata"]["name"] == name)]
    assert len(found) == 1, (role, kind, name, len(found))
    return found[0]


def pod(role):
    return one(role, "StatefulSet")["spec"]["template"]


def container(role):
    [found] = pod(role)["spec"]["containers"]
    return found


def selects(selector, labels):
    return bool(selector) and selector.items() <= labels.items()


def dockerfile(role):
    """The last stage's ENV, EXPOSE, USER and the default of ARG VERSION."""
    text = (PROJECT / f"Dockerfile.{role}").read_text().replace("\\\n", " ")
    last = text[text.rindex("\nFROM "):]
    environment = dict(re.findall(r"(\w+)=(\S*)", " ".join(re.findall(r"^ENV (.*)$", last, re.M))))
    [port], [user], [version] = (re.findall(pattern, last, re.M) for pattern in (r"^EXPOSE (\d+)", r"^USER (\S+)", r"^ARG VERSION=(\S+)"))
    return environment, int(port), user, version


# --- the schemas -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid_by_the_published_schema(version):
    checked = 0
    for path, document in resources():
        if document["kind"] == "ServiceMonitor":
            jsonschema.validate(document, SERVICE_MONITOR)
        else:
            kubernetes_validate.validate(document, version, strict=True)
            checked += 1
    assert checked == 9


@pytest.mark.parametrize("where,what", [
    (("spec", "replicas"), "one"), (("spec", "serviceName"), 7), (("spec", "template", "spec", "terminationGracePeriod"), 15),
    (("spec", "template", "spec", "containers"), {}), (("spec", "template", "spec", "securityContext", "runAsNonroot"), True),
])
def test_the_validator_sees_a_mistake(where, what):
    document = copy.deepcopy(one("genie", "StatefulSet"))
    inside = document
    for key in where[:-1]:
        inside = inside[key]
    inside[where[-1]] = what
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_each_kustomization_has_every_file_beside_it():
    for file in MANIFESTS.rglob("kustomization.yaml"):
        [document] = load(file)
        assert document["apiVersion"] == "kustomize.config.k8s.io/v1beta1" and document["kind"] == "Kustomization"
        beside = {path.name for path in file.parent.iterdir() if path.is_dir() or path.suffix == ".yaml"} - {"kustomization.yaml"}
        # What asks for the Prometheus operator is applied by itself.
        assert set(document["resources"]) == beside - {"monitoring"}, file
        for image in document.get("images", []):
            assert image["name"] == container(file.parent.name)["image"]


def test_both_roles_are_the_same_but_for_the_role():
    for name in ("statefulset.yaml", "services.yaml", "networkpolicy.yaml", "kustomization.yaml"):
        genie, agent = ((MANIFESTS / role / name).read_text() for role in ROLES)
        assert genie.replace("genie", "agent").replace("48886", "38886") == agent


# --- restricted ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_the_pod_meets_the_restricted_standard(role):
    """kubernetes.io/docs/concepts/security/pod-security-standards, and a root filesystem that nobody writes."""
    spec, main = pod(role)["spec"], container(role)
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys() and not any("hostPort" in port for port in main["ports"])
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True and context["runAsUser"] != 0 and context["seccompProfile"]["type"] == "RuntimeDefault"
    assert "sysctls" not in context
    context = main["securityContext"]
    assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]} and "privileged" not in context
    assert context["readOnlyRootFilesystem"] is True and "runAsUser" not in context
    assert all(set(volume) & {"emptyDir", "secret", "persistentVolumeClaim", "configMap"} for volume in spec["volumes"])
    assert spec["automountServiceAccountToken"] is False
    [namespace] = load(MANIFESTS / "namespace.yaml")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    [top] = load(MANIFESTS / "kustomization.yaml")
    assert top["namespace"] == namespace["metadata"]["name"]


@pytest.mark.parametrize("role", ROLES)
def test_no_secret_is_in_a_manifest(role):
    assert all(document["kind"] != "Secret" for _, document in resources())
    for variable in container(role)["env"]:
        assert "valueFrom" not in variable and not re.search("PASSWORD$|TOKEN$|KEY$", variable["name"]), variable


# --- one fits the other ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_services_policy_and_monitor_mean_this_pod_and_its_port(role):
    labels = pod(role)["metadata"]["labels"]
    others = pod("agent" if role == "genie" else "genie")["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for port in container(role)["ports"]}
    stateful = one(role, "StatefulSet")
    assert selects(stateful["spec"]["selector"]["matchLabels"], labels)
    headless, clients = one(role, "Service", f"{role}-pods"), one(role, "Service", role)
    assert stateful["spec"]["serviceName"] == headless["metadata"]["name"] and headless["spec"]["clusterIP"] == "None"
    for service in (headless, clients):
        assert selects(service["spec"]["selector"], labels) and not selects(service["spec"]["selector"], others)
        assert [ports[port["targetPort"]] for port in service["spec"]["ports"]] == [port["port"] for port in service["spec"]["ports"]]
    policy = one(role, "NetworkPolicy")["spec"]
    assert selects(policy["podSelector"]["matchLabels"], labels) and not selects(policy["podSelector"]["matchLabels"], others)
    assert policy["policyTypes"] == ["Ingress", "Egress"] and policy["egress"] == []
    [rule] = policy["ingress"]
    assert rule["from"] and all(source.get("podSelector") for source in rule["from"])
    assert [port["port"] for port in rule["ports"]] == list(ports) == ["api"]
    monitor = one(role, "ServiceMonitor")["spec"]
    seen = [document["metadata"]["name"] for _, document in resources() if document["kind"] == "Service"
            and selects(monitor["selector"]["matchLabels"], document["metadata"]["labels"])]
    assert seen == [role]
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == [port["name"] for port in clients["spec"]["ports"]]


@pytest.mark.parametrize("role", ROLES)
def test_every_mount_has_its_volume_and_every_volume_its_mount(role):
    stateful, main = one(role, "StatefulSet")["spec"], container(role)
    volumes = [volume["name"] for volume in pod(role)["spec"]["volumes"]]
    volumes += [claim["metadata"]["name"] for claim in stateful["volumeClaimTemplates"]]
    assert sorted(volumes) == sorted(mount["name"] for mount in main["volumeMounts"]) and len(set(volumes)) == len(volumes)


# --- what they name is the product's ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_ports_paths_user_and_variables_are_the_images(role):
    environment, exposed, user, version = dockerfile(role)
    spec, main = pod(role)["spec"], container(role)
    assert [port["containerPort"] for port in main["ports"]] == [exposed] == [int(environment["HIVE_PORT"])]
    context = spec["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    mounts = {mount["name"]: mount["mountPath"] for mount in main["volumeMounts"]}
    assert mounts["data"] == environment["HIVE_DATA"] and mounts["logs"] == environment["HIVE_LOG_DIR"]
    assert mounts["backups"] == environment["HIVE_BACKUP_DIR"]
    for name in ("HIVE_RUN_DIR", "HIVESUP_SOCKET"):
        assert environment[name].startswith(mounts["run"] + "/"), name
    documented = "".join((PROJECT / "docs" / name).read_text() for name in ("environment.md", "postgres.md", "api.md"))
    given = {variable["name"]: variable["value"] for variable in main["env"]}
    for name in given:
        assert f"`{name}`" in documented, name
    [secret] = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert [f"{mounts['secrets']}/{item['path']}" for item in secret["items"]] == [given["HIVE_DB_PASSWORD_FILE"]]
    # Group-readable, and the group is the pod's: it is root's file.
    assert secret["defaultMode"] == 0o440 and context["fsGroup"]
    [kustomization] = load(MANIFESTS / role / "kustomization.yaml")
    assert [image["newTag"] for image in kustomization["images"]] == [version]


@pytest.mark.parametrize("role", ROLES)
def test_the_kubelet_waits_longer_than_hivesup_needs(role):
    [deadline] = re.findall(r"^shutdown_timeout=(\d+)$", (PROJECT / "etc" / role / "hivesup.conf").read_text(), re.M)
    assert int(deadline) < pod(role)["spec"]["terminationGracePeriodSeconds"] <= int(deadline) + 10


@pytest.mark.parametrize("role", ROLES)
def test_the_probes_and_the_metrics_are_answered_as_the_manifests_ask(directory, mode, role):
    """On the port that they ask, in every state: starting, healthy, without the API, without the database."""
    main = container(role)
    paths = {kind: main[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert all(main[f"{kind}Probe"]["httpGet"]["port"] == "api" for kind in paths)
    [endpoint] = one(role, "ServiceMonitor")["spec"]["endpoints"]

    def answers(stack):
        return {kind: get(stack.port, path).status for kind, path in paths.items()}

    stack = Stack(directory, role, mode=mode)
    # Somebody else has the volume for a while: the start waits.
    private = stack.data / ".hivesup"
    private.mkdir(mode=0o700)
    with open(private / "lock", "w") as lock:
        if os.geteuid() == 0:
            shutil.chown(private, service_user())
            shutil.chown(private / "lock", service_user())
        fcntl.flock(lock, fcntl.LOCK_EX)
        stack.start()
        stack.find()
        try:
            stack.ready()
            assert answers(stack) == {"startup": 503, "readiness": 503, "liveness": 200}
            assert b"postgres-init" in get(stack.port, paths["startup"]).body
        except BaseException:
            stack.destroy()
            raise
    with stack_ending(stack):
        stack.wait_healthy()
        assert answers(stack) == {"startup": 200, "readiness": 200, "liveness": 200}
        for path in paths.values():
            answer = get(stack.port, path)
            assert answer.body == b"ok\n" and answer.headers["content-type"].startswith("text/plain"), path
        metrics = get(stack.port, endpoint["path"])
        assert metrics.status == 200 and metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert f'container="{role}"'.encode() in metrics.body and b"\npostgresql_up 1\n" in metrics.body

        # Without the API PID 1 answers: alive, started, not ready.
        assert stack.control.post("/v1/programs/hive-service/stop").status == 200
        assert answers(stack) == {"startup": 200, "readiness": 503, "liveness": 200}
        assert b"hive-service" in get(stack.port, paths["readiness"]).body
        assert get(stack.port, endpoint["path"]).status == 200
        assert stack.control.post("/v1/programs/hive-service/start").status == 200
        until(lambda: answers(stack)["readiness"] == 200, "ready again", 60, 0.05)

        # Without the database the API answers, with PID 1's verdict.
        assert stack.control.post("/v1/programs/postgresql/stop").status == 200
        assert answers(stack) == {"startup": 200, "readiness": 503, "liveness": 200}
        assert b"postgresql" in get(stack.port, paths["readiness"]).body


class stack_ending:
    """Stops the stack after the block, in order where nothing went wrong."""

    def __init__(self, stack):
        self.stack = stack

    def __enter__(self):
        return self.stack

    def __exit__(self, *error):
        return self.stack.__exit__(*error)
