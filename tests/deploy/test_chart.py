"""The Helm chart: its values agree with the program, and its pods have no rights on the node."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from audit_trail.secret_files import file_variable
from audit_trail.settings import Settings, secret_settings
from tests.installed import installed

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "audit-trail"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
PARTS = ("ingest", "project", "guard", "serve", "watch", "forward")
VARIABLES = {f"AUDIT_TRAIL_{name.upper()}" for name in Settings.model_fields} | set(
    map(file_variable, secret_settings())
)


def helm(*arguments: str | Path) -> str:
    program = installed("helm")
    assert program
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, env={"HOME": "/nonexistent"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rendered(*options: str) -> dict[tuple[str, str], Any]:
    documents = yaml.safe_load_all(helm("template", "trail", CHART, *options))
    return {(each["kind"], each["metadata"]["name"]): each for each in documents if each}


def test_the_values_name_every_part_and_only_settings_that_exist() -> None:
    assert set(VALUES["parts"]) == set(PARTS)
    for part in (*VALUES["parts"].values(), VALUES["migrate"]):
        assert part["existingSecret"]
        assert {f"AUDIT_TRAIL_{key}_FILE" for key in part["secretKeys"]} <= VARIABLES
    assert {f"AUDIT_TRAIL_{name}" for name in VALUES["settings"]} <= VARIABLES
    assert [name for name in PARTS if "LOG_KEY" in VALUES["parts"][name]["secretKeys"]] == ["ingest"]


def test_the_chart_has_no_dependency_and_the_version_and_user_of_the_image() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert "dependencies" not in chart
    version = re.findall(r"^version = (\S+)$", (ROOT / "setup.cfg").read_text(encoding="utf-8"), re.MULTILINE)
    assert [chart["version"]] == [chart["appVersion"]] == version
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert f"USER {VALUES['runAsUser']}:{VALUES['runAsUser']}" in dockerfile


@pytest.mark.needs_program("helm")
def test_helm_finds_no_fault() -> None:
    helm("lint", "--strict", CHART)


@pytest.mark.needs_program("helm")
@pytest.mark.needs_program("kubernetes-validate")
@pytest.mark.parametrize("version", ["1.25", "1.37"])
def test_the_manifests_match_the_schemas_of_kubernetes(version: str, tmp_path: Path) -> None:
    file = tmp_path / "manifests.yaml"
    file.write_text(helm("template", "trail", CHART), encoding="utf-8")
    command = [installed("kubernetes-validate") or "", "--strict", "--kubernetes-version", version, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs_program("helm")
def test_each_part_is_a_deployment_without_rights_on_the_node() -> None:
    found = rendered()
    assert set(found) == {
        *(("Deployment", f"trail-{part}") for part in PARTS),
        ("Job", "trail-migrate"),
        ("Service", "trail-serve"),
        ("ConfigMap", "trail-watch"),
    }
    for part in (*PARTS, "migrate"):
        kind = "Job" if part == "migrate" else "Deployment"
        pod = found[kind, f"trail-{part}"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["args"] == (["forward", "run"] if part == "forward" else [part])
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        security = container["securityContext"]
        assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
        assert security["capabilities"] == {"drop": ["ALL"]}
        variables = [each["name"] for each in container["env"]]
        assert set(variables) <= VARIABLES | ({"TMPDIR"} if part == "serve" else set())
        assert len(variables) == len(set(variables))
        assert all(isinstance(each["value"], str) for each in container["env"])
    for part in PARTS:
        template = found["Deployment", f"trail-{part}"]["spec"]["template"]
        pod, (container,) = template["spec"], template["spec"]["containers"]
        assert pod["terminationGracePeriodSeconds"] > 30
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == ("/healthz" if part == "serve" else "/livez")
        assert container["resources"]["limits"]["memory"]
        selector = found["Deployment", f"trail-{part}"]["spec"]["selector"]["matchLabels"]
        assert selector.items() <= template["metadata"]["labels"].items()
    selected = found["Service", "trail-serve"]["spec"]["selector"].items()
    assert selected <= found["Deployment", "trail-serve"]["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.needs_program("helm")
def test_exports_of_several_pods_share_a_claim_and_without_one_each_pod_has_its_own() -> None:
    for options, folder, volume in (
        ((), ("TMPDIR", "/exports"), {"name": "exports", "emptyDir": {"sizeLimit": "11Gi"}}),
        (
            ("--set", "exports.existingClaim=shared"),
            ("AUDIT_TRAIL_EXPORT_FOLDER", "/exports"),
            {"name": "exports", "persistentVolumeClaim": {"claimName": "shared"}},
        ),
    ):
        found = rendered(*options)
        for part in PARTS:
            pod = found["Deployment", f"trail-{part}"]["spec"]["template"]["spec"]
            variables = {(each["name"], each["value"]) for each in pod["containers"][0]["env"]}
            assert (folder in variables) is (part == "serve")
            assert (volume in pod["volumes"]) is (part == "serve")


@pytest.mark.needs_program("helm")
def test_the_file_of_followers_and_its_secrets_reach_the_part_that_forwards_alone() -> None:
    found = rendered("--set", "forwarding.existingSecret=receivers")
    for part in PARTS:
        pod = found["Deployment", f"trail-{part}"]["spec"]["template"]["spec"]
        mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
        variables = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
        if part == "forward":
            assert (mounts["followers"], mounts["receivers"]) == (
                "/etc/audit-trail",
                "/run/secrets/forwarding",
            )
            assert variables["AUDIT_TRAIL_FORWARDING_FILE"] == "/etc/audit-trail/forwarding.toml"
        else:
            assert not {"followers", "receivers"} & mounts.keys()
    assert found["Deployment", "trail-forward"]["spec"]["replicas"] == 0


@pytest.mark.needs_program("helm")
def test_values_reach_the_pods() -> None:
    digest = f"sha256:{'0' * 64}"
    found = rendered(
        *("--set", f"image.digest={digest}"),
        *("--set", "parts.serve.settings.HTTP_ROOT_PATH=/audit"),
        *("--set", "settings.MAX_PAGE_SIZE=50"),
        *("--set", "migrate.enabled=false"),
    )
    assert ("Job", "trail-migrate") not in found
    for part in PARTS:
        (container,) = found["Deployment", f"trail-{part}"]["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"audit-trail@{digest}"
        variables = {each["name"]: each["value"] for each in container["env"]}
        assert variables["AUDIT_TRAIL_MAX_PAGE_SIZE"] == "50"
        assert variables.get("AUDIT_TRAIL_HTTP_ROOT_PATH") == ("/audit" if part == "serve" else None)
