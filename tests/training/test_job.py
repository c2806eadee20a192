"""The Job that trains on Kubernetes: its files agree, and each pod gets its TF_CONFIG."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tfxmodal.commands import train
from tfxmodal.methods import METHODS
from tfxmodal.training.cluster import task_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "export" / "deploy" / "training"
DOCUMENTS = {
    each["kind"]: each for each in yaml.safe_load_all((FOLDER / "job.yaml").read_text("utf-8"))
}
JOB = DOCUMENTS["Job"]["spec"]
POD = JOB["template"]
(CONTAINER,) = POD["spec"]["containers"]
ENVIRONMENT = {each["name"]: each["value"] for each in CONTAINER["env"]}


@pytest.mark.parametrize("index", [0, 1])
def test_a_pod_gets_its_place(index):
    environment = os.environ | ENVIRONMENT | {"JOB_COMPLETION_INDEX": str(index)}
    command = ["sh", str(FOLDER / Path(CONTAINER["command"][1]).name), "printenv", "TF_CONFIG"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    task = task_of({"TF_CONFIG": told.stdout})
    job, service = (DOCUMENTS[kind]["metadata"]["name"] for kind in ("Job", "Service"))
    port = CONTAINER["ports"][0]["containerPort"]
    # As Kubernetes names the pods of indexed Jobs.
    addresses = [f"{job}-{number}.{service}:{port}" for number in range(JOB["completions"])]
    assert (task.index, list(task.addresses.values())) == (index, addresses)


def test_the_workers_find_each_other():
    service = DOCUMENTS["Service"]["spec"]
    assert service["clusterIP"] == "None" and service["publishNotReadyAddresses"]
    assert service["selector"].items() <= POD["metadata"]["labels"].items()
    assert POD["spec"]["subdomain"] == DOCUMENTS["Service"]["metadata"]["name"]
    assert JOB["completionMode"] == "Indexed" and JOB["parallelism"] == JOB["completions"]
    policy = DOCUMENTS["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == POD["metadata"]["labels"]


def test_the_workers_share_their_storage():
    claim = DOCUMENTS["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    volumes = {each["name"]: each for each in POD["spec"]["volumes"]}
    assert volumes["work"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    mounts = {each["name"]: each["mountPath"] for each in CONTAINER["volumeMounts"]}
    assert CONTAINER["workingDir"] == mounts["work"]


def test_the_workers_have_no_rights_and_hear_signals():
    pod, rights = POD["spec"], CONTAINER["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
    assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"]
    assert rights["capabilities"] == {"drop": ["ALL"]} and pod["shareProcessNamespace"]


def test_the_command_is_one_that_trains_on_several_machines():
    program, command, method, *words = CONTAINER["args"]
    assert (program, command) == ("tfxmodal", "train")
    flags, forms, _ = train.parse(METHODS[method], words)
    assert flags.training.strategy == "multi_worker" and flags.resume
    assert len(forms) == 1


def test_the_image_holds_what_the_package_is_built_from():
    copied = re.findall(
        r"^COPY (.*) \S+$", (FOLDER / "Dockerfile").read_text("utf-8"), re.MULTILINE
    )
    assert all((ROOT / path).exists() for line in copied for path in line.split())
    assert CONTAINER["image"] == kustomization()["images"][0]["name"]


def kustomization() -> dict:
    return yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
def test_kustomize_builds_it():
    command = ["kubectl", "kustomize", str(FOLDER)]
    build = subprocess.run(command, capture_output=True, text=True, check=True)
    built = {each["kind"]: each for each in yaml.safe_load_all(build.stdout)}
    spec = built["Job"]["spec"]["template"]["spec"]
    given = kustomization()["images"][0]
    assert spec["containers"][0]["image"] == f"{given['newName']}:{given['newTag']}"
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert volumes["config"]["configMap"]["name"] == built["ConfigMap"]["metadata"]["name"]
    assert "worker.sh" in built["ConfigMap"]["data"]
