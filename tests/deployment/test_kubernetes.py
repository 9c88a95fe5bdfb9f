"""deploy/kubernetes: valid, confined, and each name that refers to another is there."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from abaco import settings
from abaco.command_line import _parser
from abaco.workers.fleet import bell
from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.29", "1.37")
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
RESOURCES: list[dict[str, Any]] = [
    resource
    for name in KUSTOMIZATION["resources"]
    for resource in yaml.safe_load_all((FOLDER / name).read_text())
]
KEDA = "keda.sh/v1alpha1"
SECRETS = {"pipelinejobs-platform", "pipelinejobs-jobs", "pipelinejobs-rabbitmq"}
SETTINGS = settings.load(FOLDER / "abaco.yml.sample")


def of(kind: str) -> dict[str, dict[str, Any]]:
    """Return the resources of a kind, by name."""
    return {each["metadata"]["name"]: each for each in RESOURCES if each["kind"] == kind}


WORKLOADS = {**of("Deployment"), **of("Job")}


def pod_of(name: str) -> dict[str, Any]:
    pod: dict[str, Any] = WORKLOADS[name]["spec"]["template"]["spec"]
    return pod


def container_of(name: str) -> dict[str, Any]:
    (container,) = pod_of(name)["containers"]
    return dict(container)


def all_values(thing: Any, key: str) -> Iterator[Any]:
    """Yield what a key has, anywhere in something."""
    if isinstance(thing, dict):
        if key in thing:
            yield thing[key]
        thing = list(thing.values())
    if isinstance(thing, list):
        for each in thing:
            yield from all_values(each, key)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_resource_is_valid(version: str) -> None:
    core = [each for each in RESOURCES if each["apiVersion"] != KEDA]
    assert len(core) > 10
    for each in core:
        kubernetes_validate.validate(each, version, strict=True)


def test_kustomize_has_all_files_and_replaces_the_image() -> None:
    files = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files
    images = {container_of(name)["image"] for name in WORKLOADS}
    assert images == {image["name"] for image in KUSTOMIZATION["images"]}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not found")
def test_kubectl_builds_the_same() -> None:
    built = subprocess.run(
        [shutil.which("kubectl") or "kubectl", "kustomize", str(FOLDER)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = list(yaml.safe_load_all(built.stdout))
    assert sorted((each["kind"], each["metadata"]["name"]) for each in found) == sorted(
        (each["kind"], each["metadata"]["name"]) for each in RESOURCES
    )
    namespace = KUSTOMIZATION["namespace"]
    assert {each["metadata"].get("namespace", namespace) for each in found} == {namespace}


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_pod_is_confined(name: str) -> None:
    pod, container = pod_of(name), container_of(name)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} == set(container["resources"])
    assert container["resources"]["limits"]["memory"]


def test_each_name_that_refers_to_another_is_there() -> None:
    named = set(all_values(RESOURCES, "secretName"))
    named |= {each["name"] for each in all_values(RESOURCES, "secretRef")}
    named |= {each["name"] for refs in all_values(RESOURCES, "secretTargetRef") for each in refs}
    assert named == SECRETS
    page = (ROOT / "docs" / "fleet.md").read_text()
    for secret in SECRETS:
        assert f"kubectl create secret generic {secret}" in page
    assert set(all_values(RESOURCES, "serviceAccountName")) <= set(of("ServiceAccount"))
    for name in WORKLOADS:
        volumes = {each["name"] for each in pod_of(name)["volumes"]}
        mounts = {each["name"] for each in container_of(name)["volumeMounts"]}
        assert mounts == volumes
    for scaled in of("ScaledObject").values():
        assert scaled["spec"]["scaleTargetRef"]["name"] in of("Deployment")
        for trigger in scaled["spec"]["triggers"]:
            assert trigger["authenticationRef"]["name"] in of("TriggerAuthentication")
    assert KUSTOMIZATION["namespace"] in of("Namespace")


def test_each_selector_finds_pods() -> None:
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in WORKLOADS.values()]
    selectors = [each["spec"]["selector"] for each in of("Service").values()]
    selectors += [
        each for each in all_values(RESOURCES, "matchLabels") if "kubernetes.io" in str(each)
    ]
    own = [each for each in selectors if "kubernetes.io/metadata.name" not in each]
    assert len(own) > 7
    assert [each for each in own if each not in labels] == []
    for each in of("Deployment").values():
        assert (
            each["spec"]["selector"]["matchLabels"]
            == each["spec"]["template"]["metadata"]["labels"]
        )


def test_ports_and_paths_are_those_of_the_settings() -> None:
    for name in of("Deployment"):
        (port,) = container_of(name)["ports"]
        assert port["containerPort"] == SETTINGS.port
        probes = [each for key, each in container_of(name).items() if key.endswith("Probe")]
        assert {each["httpGet"]["port"] for each in probes} == {port["name"]}
        annotations = WORKLOADS[name]["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(SETTINGS.port)
    paths = {each["httpGet"]["path"] for each in all_values(pod_of("gateway"), "readinessProbe")}
    assert paths == {"/readyz"}
    (service,) = of("Service")["gateway"]["spec"]["ports"]
    assert service["targetPort"] == container_of("gateway")["ports"][0]["name"]
    reached = {each["port"] for ports in all_values(of("NetworkPolicy"), "ports") for each in ports}
    assert {SETTINGS.port, 5432, 5671, 5672, 27017} <= reached


def test_a_node_has_time_to_end_what_it_runs() -> None:
    grace = pod_of("worker")["terminationGracePeriodSeconds"]
    assert grace > SETTINGS.limits.execution_seconds + SETTINGS.limits.stop_seconds


def test_what_the_pods_run_is_what_this_version_has() -> None:
    for name, workload in WORKLOADS.items():
        assert _parser().parse_args(container_of(name)["args"]).run, workload
    assert SETTINGS.engine == settings.CELERY
    assert importlib.import_module(str(SETTINGS.setup)).prepare
    assert {"/run/secrets", str(SETTINGS.data.parent)} <= {
        each["mountPath"] for each in container_of("worker")["volumeMounts"]
    }


def test_nodes_are_scaled_by_the_queues_of_all_actors_down_to_none() -> None:
    spec = of("ScaledObject")["worker"]["spec"]
    assert spec["minReplicaCount"] == 0
    assert "replicas" not in WORKLOADS["worker"]["spec"]
    (trigger,) = spec["triggers"]
    queues = re.compile(trigger["metadata"]["queueName"])
    for stateless in (True, False):
        assert queues.match(bell.name_of("3Zb8XQkKOvWwD", stateless=stateless))
    assert not queues.match(bell.DEAD)
