"""What an operator deploys: every file is sound, and Compose and Kubernetes say the same."""

import json
import re
import shutil
import subprocess
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from packaging.requirements import Requirement
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.serving import tiny
from tests.waiting import eventually
from tfxmodal.commands import cli, search_service
from tfxmodal.dev_server.batching import Batching
from tfxmodal.dev_server.server import DevServer
from tfxmodal.service import access, observing, pictures
from tfxmodal.service.config import Limits
from tfxmodal.serving.client.client import Client
from tfxmodal.serving.model_config import model_config
from tfxmodal.serving.model_server import free_ports

DEPLOY = Path(__file__).resolve().parents[2] / "export" / "deploy"
CONFIG = DEPLOY / "config"
PROBE = CONFIG / "probe.sh"
SERVERS = ("search", "matrix")
IN_KUBERNETES = {"search": "kubernetes/search.yaml", "matrix": "kubernetes/matrix/matrix.yaml"}

# Of tensorflow_model_server 2.20, without those for TPUs, TFLite and experiments.
KNOWN_FLAGS = set(
    "port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms "
    "rest_api_enable_cors_support enable_batching allow_version_labels_for_unavailable_models "
    "batching_parameters_file enable_per_model_batching_parameters model_config_file "
    "model_config_file_poll_wait_seconds model_name model_base_path num_load_threads "
    "num_unload_threads max_num_load_retries load_retry_interval_micros "
    "file_system_poll_wait_seconds flush_filesystem_caches tensorflow_session_parallelism "
    "tensorflow_session_config_file tensorflow_intra_op_parallelism "
    "tensorflow_inter_op_parallelism use_alts_credentials ssl_config_file platform_config_file "
    "per_process_gpu_memory_fraction saved_model_tags grpc_channel_arguments grpc_max_threads "
    "enable_model_warmup num_request_iterations_for_warmup version monitoring_config_file "
    "remove_unused_fields_from_bundle_metagraph enable_signature_method_name_check "
    "xla_cpu_compilation_enabled xla_gpu_compilation_enabled enable_profiler "
    "thread_pool_factory_config_file mixed_precision enable_grpc_healthcheck_service "
    "enable_serialization_as_tensor_content".split()
)

# What TensorFlow Serving exports, with the labels of each.
METRICS = {
    "serving:request_count": {"model_name", "status"},
    "serving:request_latency_bucket": {"model_name", "API", "entrypoint", "le"},
    "serving:runtime_latency_bucket": {"model_name", "API", "runtime", "le"},
    "serving:batching_session:queuing_latency_bucket": {"thread_pool_name", "le"},
    "serving:batching_session:wrapped_run_count": {"instance"},
    "serving:model_warmup_latency_sum": {"model_path", "status"},
    "cc:saved_model:load_attempt_count": {"model_path", "status"},
}


def load(name: str) -> list:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def flags(command: list[str]) -> dict[str, str]:
    """The flags of a command line, by name."""
    return dict(argument.removeprefix("--").split("=", 1) for argument in command)


def models_of(container: dict) -> list[str]:
    """Names of the models that a server is configured to hold."""
    file = flags(container["args"])["model_config_file"].removeprefix("/")
    config = text_format.Parse((DEPLOY / file).read_text(), ModelServerConfig())
    return [model.name for model in config.model_config_list.config]


@pytest.fixture(scope="module")
def compose():
    return load("compose.yaml")[0]["services"]


@pytest.fixture(scope="module")
def containers():
    return {
        name: load(path)[0]["spec"]["template"]["spec"]["containers"][0]
        for name, path in IN_KUBERNETES.items()
    }


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.y*ml")), ids=lambda path: path.name)
def test_every_yaml_file_parses(path):
    assert all(isinstance(document, dict) for document in yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize(
    ("file", "model"),
    [("models.config", "retrieval"), ("matrix_models.config", "retrieval_matrix")],
)
def test_models_are_served_by_label(file, model):
    config = text_format.Parse((CONFIG / file).read_text(), ModelServerConfig())
    (entry,) = config.model_config_list.config
    assert (entry.name, entry.base_path) == (model, f"/models/{model}")
    assert entry.version_labels.keys() == {"stable", "canary"}
    assert set(entry.model_version_policy.specific.versions) == set(entry.version_labels.values())


def _message(**fields) -> type:
    """A message with these fields; tensorflow-serving-api ships no such configuration protos."""
    kinds = {str: 9, bool: 8, int: 3}
    file = descriptor_pb2.FileDescriptorProto(name="m.proto", package="m", syntax="proto3")
    wrapper = file.message_type.add(name="Value")
    wrapper.field.add(name="value", number=1, type=3, label=1)
    prometheus = file.message_type.add(name="Prometheus")
    prometheus.field.add(name="enable", number=1, type=8, label=1)
    prometheus.field.add(name="path", number=2, type=9, label=1)
    message = file.message_type.add(name="Message")
    for number, (name, kind) in enumerate(fields.items(), start=1):
        if isinstance(kind, str):
            message.field.add(name=name, number=number, type=11, label=1, type_name=f".m.{kind}")
        elif isinstance(kind, list):
            message.field.add(name=name, number=number, type=kinds[kind[0]], label=3)
        else:
            message.field.add(name=name, number=number, type=kinds[kind], label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("m.Message"))


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_batching_parameters_are_sound(kind):
    path = CONFIG / f"batching_{kind}.config"
    message = _message(
        max_batch_size="Value",
        batch_timeout_micros="Value",
        max_enqueued_batches="Value",
        num_batch_threads="Value",
        allowed_batch_sizes=[int],
    )()
    text_format.Parse(path.read_text(), message)
    assert not message.allowed_batch_sizes  # A request without rows would end the server.
    assert (message.batch_timeout_micros.value == 0) == (kind == "cpu")
    ours = Batching.read(path)  # the development server takes the same files
    assert (ours.max_batch_size, ours.batch_timeout_micros, ours.allowed_batch_sizes) == (
        message.max_batch_size.value,
        message.batch_timeout_micros.value,
        (),
    )


def test_metrics_are_where_prometheus_looks_for_them(compose):
    text = (CONFIG / "monitoring.config").read_text()
    served = text_format.Parse(text, _message(prometheus_config="Prometheus")()).prometheus_config
    *jobs, own = load("monitoring/prometheus.yaml")[0]["scrape_configs"]
    assert served.enable and {served.path} == {job["metrics_path"] for job in jobs}
    search, matrix = jobs
    assert tuple(job["job_name"] for job in jobs) == SERVERS
    assert search["static_configs"][0]["targets"] == ["search:8501"]
    # The profile of the other one need not be up, and is no alarm then.
    assert matrix["dns_sd_configs"] == [{"names": ["matrix"], "type": "A", "port": 8501}]
    (target,) = own["static_configs"][0]["targets"]
    assert f"--metrics-port={target.removeprefix('service:')}" in compose["service"]["command"]


def test_the_tls_template_is_a_config_of_pem_text():
    fields = {"server_key": str, "server_cert": str, "custom_ca": str, "client_verify": bool}
    text = (CONFIG / "ssl.config.template").read_text()
    ssl = text_format.Parse(text, _message(**fields)())
    for pem, kind in ((ssl.server_key, "PRIVATE KEY"), (ssl.server_cert, "CERTIFICATE")):
        assert re.fullmatch(rf"-----BEGIN {kind}-----\n.*\n-----END {kind}-----\n", pem)
    assert not ssl.client_verify  # None of our clients has a certificate to show.


@pytest.mark.parametrize("name", SERVERS)
def test_compose_and_kubernetes_agree(compose, containers, name):
    service, container = compose[name], containers[name]
    assert service["image"] == container["image"]
    assert re.fullmatch(r"tensorflow/serving:2\.(2\d|[3-9]\d)\.\d+", service["image"])
    assert service["entrypoint"] == container["command"] == ["tensorflow_model_server"]
    assert service["init"]
    assert service["command"] == container["args"]
    # Compose has one check for both of Kubernetes' probes.
    *shell, ready = container["readinessProbe"]["exec"]["command"]
    alive = " ".join(container["livenessProbe"]["exec"]["command"])
    assert service["healthcheck"]["test"][1:] == [*shell, f"{ready} && {alive}"]
    (model,) = models_of(container)
    assert alive == f"bash /config/{PROBE.name} {model}"
    assert "ports" not in service and service["networks"] == ["models"]
    limits = container["resources"]["limits"]
    ours = service["deploy"]["resources"]["limits"]
    assert (ours["cpus"], ours["memory"]) == (limits["cpu"], limits["memory"].lower()[:-1])


@pytest.mark.parametrize("name", SERVERS)
def test_flags_are_known_and_name_files_that_are_there(compose, name):
    given = flags(compose[name]["command"])
    assert given.keys() <= KNOWN_FLAGS
    for flag, value in given.items():
        if flag.endswith("_file"):
            assert (DEPLOY / value.removeprefix("/")).is_file()
    assert given["allow_version_labels_for_unavailable_models"] == "true"
    assert int(given["num_load_threads"]) > 1  # A version that fails holds up no other.
    cpus = compose[name]["deploy"]["resources"]["limits"]["cpus"]
    assert given["tensorflow_intra_op_parallelism"] == given["tensorflow_inter_op_parallelism"]
    assert given["tensorflow_intra_op_parallelism"] == cpus


def test_the_matrix_server_alone_does_not_batch(compose):
    search, matrix = (flags(compose[name]["command"]) for name in SERVERS)
    assert {name: search[name] for name in search.keys() - matrix.keys()} == {
        "enable_batching": "true",
        "batching_parameters_file": "/config/batching_cpu.config",
    }
    changed = {name for name in matrix if matrix[name] != search[name]}
    assert changed == {"model_config_file"}


def test_a_gpu_changes_the_image_and_the_batching(compose, containers):
    (gpu,) = load("compose.gpu.yaml")[0]["services"].values()
    assert gpu["image"] == compose["search"]["image"] + "-gpu"
    other = "--batching_parameters_file=/config/batching_gpu.config"
    wanted = [other if "batching_param" in f else f for f in compose["search"]["command"]]
    assert gpu["command"] == wanted
    patch = yaml.safe_load(load("kubernetes/gpu/kustomization.yaml")[0]["patches"][0]["patch"])
    image, argument, _ = patch
    assert image["value"] == gpu["image"]
    number = int(argument["path"].rpartition("/")[2])
    args = containers["search"]["args"]
    assert [*args[:number], argument["value"], *args[number + 1 :]] == wanted


def test_kubernetes_takes_the_files_that_compose_mounts():
    base = load("kustomization.yaml")[0]
    (config,) = base["configMapGenerator"]
    assert {DEPLOY / file for file in config["files"]} == {*CONFIG.glob("*.config"), PROBE}
    for name in SERVERS:
        deployment = load(IN_KUBERNETES[name])[0]
        volumes = {v["name"]: v for v in deployment["spec"]["template"]["spec"]["volumes"]}
        assert volumes["config"]["configMap"]["name"] == config["name"]
        claims = {claim["metadata"]["name"] for claim in load("kubernetes/volumes.yaml")}
        assert volumes["models"]["persistentVolumeClaim"]["claimName"] in claims


@pytest.fixture(scope="module")
def compose_program() -> list[str]:
    """Compose: Docker's plugin, or a program of its own."""
    plugin = ["docker", "compose"]
    asked = [*plugin, "version"]
    if shutil.which("docker") and not subprocess.run(asked, capture_output=True).returncode:
        return plugin
    if not shutil.which("docker-compose"):
        pytest.skip("needs Compose, as the plugin of docker or as docker-compose")
    return ["docker-compose"]


@pytest.mark.parametrize(
    "files", [["compose.yaml"], ["compose.yaml", "compose.gpu.yaml"]], ids=["cpu", "gpu"]
)
def test_compose_takes_its_files_with_every_profile(compose_program, compose, files):
    profiles = {profile for each in compose.values() for profile in each.get("profiles", [])}
    given = [f"--file={DEPLOY / name}" for name in files]
    given += [f"--profile={name}" for name in sorted(profiles)]
    command = [*compose_program, *given, "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """`build("gpu", ...)`: what Kustomize makes with these components, by kind and name."""
    if not shutil.which("kubectl"):
        pytest.skip("needs kubectl")

    @cache
    def built(*components: str) -> dict[tuple[str, str], dict]:
        folder = shutil.copytree(DEPLOY, tmp_path_factory.mktemp("kustomize") / "deploy")
        with open(folder / "kustomization.yaml", "a") as file:
            file.write(
                f"\ncomponents: {json.dumps([f'kubernetes/{each}' for each in components])}\n"
            )
        done = subprocess.run(
            ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True
        )
        documents = yaml.safe_load_all(done.stdout)
        return {(each["kind"], each["metadata"]["name"]): each for each in documents}

    return built


def container(document: dict) -> dict:
    """The one container of a Deployment."""
    (found,) = document["spec"]["template"]["spec"]["containers"]
    return found


def test_a_gpu_is_a_component(build):
    for gpu in (False, True):
        search = container(build(*["gpu"] * gpu)["Deployment", "search"])
        assert search["image"].endswith("-gpu") == gpu
        assert ("nvidia.com/gpu" in search["resources"]["limits"]) == gpu


def test_the_configuration_is_that_of_compose(build):
    names = {path.name for path in [*CONFIG.glob("*.config"), PROBE]}
    assert build()["ConfigMap", "serving"]["data"].keys() == names


def test_tls_reaches_from_the_service_to_the_model_server(build):
    plain, tls = build(), build("tls")
    for name, flag in (("search", "--ssl_config_file="), ("service", "--tls=")):
        before, after = (container(each["Deployment", name]) for each in (plain, tls))
        (added,) = set(after["args"]) - set(before["args"])
        assert added.startswith(f"{flag}/tls/")
        assert {m["mountPath"] for m in after["volumeMounts"]} - {
            m["mountPath"] for m in before["volumeMounts"]
        } == {"/tls"}
    probe = container(tls["Deployment", "search"])["livenessProbe"]
    assert "tcpSocket" in probe and "exec" not in probe


def test_every_pod_is_confined(build):
    pods = [
        d["spec"]["template"]["spec"]
        for (kind, _), d in build("matrix").items()
        if kind == "Deployment"
    ]
    pods.append(load("kubernetes/upload.yaml")[0]["spec"])
    assert len(pods) == 4
    for pod in pods:
        (only,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        rights = only["securityContext"]
        assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"]
        assert rights["capabilities"] == {"drop": ["ALL"]} and only["resources"]["limits"]
        assert ":" in only["image"] and not only["image"].endswith(":latest")


def test_a_server_waits_for_no_export_that_is_not_asked_for(build):
    """A matrix server without its export is never ready, and an apply never done."""
    assert ("Deployment", "matrix") not in build() and ("Service", "matrix") not in build()
    assert build().items() <= build("matrix").items()
    assert {("Deployment", "matrix"), ("Service", "matrix")} <= build("matrix").keys()


def test_an_upload_copies_each_version_and_can_ask_by_tls(build):
    text = (DEPLOY / "kubernetes/upload.yaml").read_text()
    for source, to in re.findall(r"kubectl cp (\S+) upload:(\S+)", text):
        assert to == f"/{source}" and f"mkdir -p {to.rpartition('/')[0]}\n" in text
        assert re.fullmatch(r"models/\w+/\d+", source)
    pod = load("kubernetes/upload.yaml")[0]["spec"]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "tls"]
    (volume,) = [v["secret"] for v in pod["volumes"] if v["name"] == "tls"]
    (wanted,) = {
        arg for arg in container(build("tls")["Deployment", "service"])["args"] if "tls" in arg
    }
    assert wanted == f"--tls={mount['mountPath']}/{volume['items'][0]['path']}"
    assert volume["optional"] and wanted.replace("=", " ") in text


@pytest.mark.parametrize("name", SERVERS)
def test_servers_end_connections_so_that_new_pods_are_found(containers, name):
    """gRPC asks for addresses again when a connection ends, and no server ends one by itself."""
    given = flags(containers[name]["args"])["grpc_channel_arguments"]
    values = dict(each.split("=") for each in given.split(","))
    assert 10_000 <= int(values["grpc.max_connection_age_ms"]) <= 120_000
    # Longer than what callers wait for an answer.
    assert int(values["grpc.max_connection_age_grace_ms"]) > 1e3 * Limits().deadline


def test_pods_go_and_come_without_a_failed_request(build):
    built = build("matrix")
    for name in ("search", "service"):
        spec = built["Deployment", name]["spec"]
        pod = spec["template"]["spec"]
        assert "replicas" not in spec  # An apply would undo the autoscaler's.
        assert built["HorizontalPodAutoscaler", name]["spec"]["minReplicas"] > 1
        labels = spec["selector"]["matchLabels"]
        assert built["PodDisruptionBudget", name]["spec"]["selector"]["matchLabels"] == labels
        assert pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] == labels
        _, seconds = container(built["Deployment", name])["lifecycle"]["preStop"]["exec"]["command"]
        assert int(seconds) + 20 <= pod["terminationGracePeriodSeconds"]
    for name in SERVERS:  # As process 1 the server ignores SIGTERM.
        assert built["Deployment", name]["spec"]["template"]["spec"]["shareProcessNamespace"]


def test_the_service_and_the_release_alone_reach_the_model_servers(build):
    built = build("matrix")
    policies = {name: d["spec"] for (kind, name), d in built.items() if kind == "NetworkPolicy"}
    nobody, models = policies["tfxmodal-nobody"], policies["tfxmodal-models"]
    assert nobody["policyTypes"] == ["Ingress"] and "ingress" not in nobody
    for (kind, _), document in built.items():
        if kind == "Deployment":
            labels = document["spec"]["template"]["metadata"]["labels"]
            assert nobody["podSelector"]["matchLabels"].items() <= labels.items()
    (grpc_rule,) = [r for r in models["ingress"] if {"port": "grpc"} in r["ports"]]
    (peer,) = grpc_rule["from"]
    assert peer.keys() == {"podSelector"}
    (named,) = peer["podSelector"]["matchExpressions"]
    assert (named["operator"], named["values"]) == ("In", ["service", "release"])
    upload = load("kubernetes/upload.yaml")[0]["metadata"]["labels"]  # Releases run there.
    assert upload.items() > peer["podSelector"]["matchLabels"].items()
    assert upload[named["key"]] in named["values"]
    assert models["podSelector"]["matchExpressions"][0]["values"] == [*SERVERS]


def test_compose_lets_users_reach_the_service_alone(compose):
    published = {name: each["ports"] for name, each in compose.items() if "ports" in each}
    assert published.keys() == {"service", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    document = load("compose.yaml")[0]
    assert document["networks"]["models"]["internal"]
    for each in compose.values():
        assert each["read_only"] and each["cap_drop"] == ["ALL"] and each["user"][0] != "0"
    assert compose["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == (
        f"/run/secrets/{compose['grafana']['secrets'][0]}"
    )


def test_the_service_runs_alike_with_flags_that_it_takes(compose, monkeypatch):
    kubernetes = container(load("kubernetes/service.yaml")[0])
    service, ours = compose["service"], flags(compose["service"]["command"][1:])
    assert service["image"] == kubernetes["image"]
    assert kubernetes["args"][0] == service["command"][0] == "serve"
    assert ours == flags(kubernetes["args"][1:])
    # A file would be mounted as it is now, and a key that is taken out of it would go on.
    assert any(volume.endswith("/keys:/keys:ro") for volume in service["volumes"])
    assert "secrets" not in service
    read = cli.parse(search_service.Flags, "", service["command"])
    assert (read.server, str(read.folder), read.metrics_port) == ("search:8500", "/gallery", 9090)
    ports = {port["containerPort"] for port in kubernetes["ports"]}
    assert ports == {read.port, read.metrics_port}
    for probe in ("readinessProbe", "livenessProbe"):
        assert kubernetes[probe]["httpGet"]["path"] in access.OPEN


@pytest.mark.parametrize(
    ("image", "extras"), [("training", []), ("service", ["service", "lancedb", "serving"])]
)
def test_an_image_has_what_pyproject_asks(image, extras):
    project = tomllib.loads((DEPLOY.parents[1] / "pyproject.toml").read_text())["project"]
    asked = sum((project["optional-dependencies"][e] for e in extras), project["dependencies"])
    ranges = {each.name: each.specifier for each in map(Requirement, asked)}
    lines = (DEPLOY / image / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert all(ranges[name].contains(version) for name, version in pinned.items())
    assert extras or pinned.keys() == ranges.keys()  # The service needs no TensorFlow.
    ours, of_the_service = (
        (DEPLOY / each / "Dockerfile").read_text().partition("\nFROM ")[2].splitlines()
        for each in (image, "service")
    )
    assert ours[0] == of_the_service[0]
    assert "RUN pip install --no-cache-dir -r /tmp/requirements.txt" in ours


def test_the_rules_are_the_operators_and_ask_for_metrics_that_exist():
    groups = load("monitoring/alerts.yaml")[0]["groups"]
    assert load("kubernetes/monitoring/rules.yaml")[0]["spec"]["groups"] == groups
    registry = observing.Metrics().registry
    own = {f"{each.name}{end}" for each in registry.collect() for end in ("_total", "_bucket", "")}
    for rule in groups[0]["rules"]:
        served = set(re.findall(r":tensorflow:([\w:]+)", rule["expr"]))
        assert served <= METRICS.keys()
        asked = set(re.findall(r"\btfxmodal_\w+", rule["expr"]))
        assert asked <= own and (asked or served or "up{" in rule["expr"])
    assert "/etc/prometheus/alerts.yaml" in load("monitoring/prometheus.yaml")[0]["rule_files"]


def test_what_is_gone_or_fails_from_its_beginning_is_an_alarm():
    rules = {r["alert"]: r["expr"] for r in load("monitoring/alerts.yaml")[0]["groups"][0]["rules"]}
    jobs = {job["job_name"] for job in load("monitoring/prometheus.yaml")[0]["scrape_configs"]}
    services = {
        document["metadata"]["name"]
        for path in (*IN_KUBERNETES.values(), "kubernetes/service.yaml")
        for document in load(path)
        if document["kind"] == "Service"
    }
    assert jobs == services  # By which the operator names its jobs.
    down = {name: {*re.findall(r'job=~?"([\w|]+)"', e)} for name, e in rules.items() if "up{" in e}
    assert {job for each in down.values() for names in each for job in names.split("|")} == jobs
    for name in down:  # Without a target there is no `up` at all.
        assert "or absent(up{" in rules[name]
    assert '"/ready|/health"' in rules["SearchErrors"]
    writes = set(re.search(r'method=~"(.*?)"', rules["WritesFail"])[1].split("|"))
    assert writes == {*access.WRITES}
    for name, expression in rules.items():  # A counter may appear with its last value.
        if "increase(" in expression:
            assert 'status="507"' in expression or "unless" in expression, name


def test_what_requests_may_need_fits_into_the_container(compose):
    limits, limited = Limits(), compose["service"]["deploy"]["resources"]["limits"]
    kubernetes = container(load("kubernetes/service.yaml")[0])
    given = flags(compose["service"]["command"][1:])
    assert not {"max-requests", "max-upload"} & given.keys()  # Those of `Limits` are shipped.
    told = re.search(r"may need ([\d.]+) GB: ([\d.]+) .* ([\d.]+) for", Limits.__doc__)
    total, base, decoded = map(float, told.groups())
    needed = base + pictures.AT_ONCE * decoded + 3e-3 * limits.max_requests * limits.max_upload
    assert needed <= total + 0.05 and total < float(limited["memory"].removesuffix("g"))
    assert kubernetes["resources"]["limits"]["memory"] == limited["memory"].upper() + "i"


def test_logs_of_containers_have_a_limit(compose):
    for name, each in compose.items():
        options = each["logging"]["options"]
        assert options["max-size"] and int(options["max-file"]) < 10, name


def test_the_dashboard_asks_for_metrics_that_exist():
    dashboard = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text())
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    asked = {name for e in expressions for name in re.findall(r":tensorflow:([\w:]+)", e)}
    assert asked == METRICS.keys()
    for expression in expressions:
        labels = set().union(*(METRICS[m] for m in re.findall(r":tensorflow:([\w:]+)", expression)))
        groups = re.findall(r"by \((.*?)\)", expression)
        used = {name for group in groups for name in group.split(", ")}
        used |= set(re.findall(r'(\w+)(?:=~|!=|=)"', expression))
        assert used <= labels
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.parametrize("code", [200, 400, 404, 503])
def test_readiness_asks_for_the_stable_version(containers, code):
    class Rest(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            asked.append(self.path)
            self.send_response(code)
            self.end_headers()
            self.wfile.write(b'{"not the status": " 200 "}')

        def log_message(self, *_):
            pass

    asked = []
    command = [*containers["search"]["readinessProbe"]["exec"]["command"]]
    with HTTPServer(("127.0.0.1", 0), Rest) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        command[-1] = command[-1].replace("8501", str(server.server_port))
        status = subprocess.run(command, timeout=10, check=False).returncode
        thread.join()
    assert asked == ["/v1/models/retrieval/labels/stable/metadata"]
    assert (status == 0) == (code == 200)


def alive(target: str, model: str = "tiny", seconds: int = 8) -> bool:
    port = target.rpartition(":")[2]
    command = ["bash", str(PROBE), model, port, str(seconds)]
    return not subprocess.run(command, timeout=30, check=False).returncode


def test_the_probe_sends_a_request_that_is_answered(server):
    assert alive(server.target)
    assert alive(server.target, "m" * 100)  # No restart would bring a model that is not there.
    assert not alive(f"localhost:{free_ports(1)[0]}")


def test_the_probe_finds_a_server_without_a_thread_left(base):
    """Two requests without rows hold both threads; no check but a real request sees it."""
    options = {"batching": Batching(), "workers": 2, "log": lambda line: None}
    with DevServer(model_config([base]), **options) as server:
        target = f"localhost:{server.port}"
        with Client(target, "tiny", deadline=30) as client:
            empty = tiny.request(text=tf.constant([], tf.string))
            held = [client._stub.predict.future(empty, timeout=30) for _ in range(2)]
            eventually(lambda: not alive(target, seconds=1))  # They may come later than it.
            for call in held:
                call.cancel()
            assert alive(target)


@pytest.mark.parametrize("code", ["OK", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "INVALID_ARGUMENT"])
def test_the_probe_takes_any_answer_but_that_there_is_no_thread(code):
    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802
            asked.append(request)
            if code != "OK":
                context.abort(grpc.StatusCode[code], "grpc-status: 8")
            return predict_pb2.PredictResponse()

    asked = []
    server = grpc.server(ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        assert alive(f"localhost:{port}", "retrieval") == (code != "RESOURCE_EXHAUSTED")
    finally:
        server.stop(0).wait()
    assert asked == [tiny.request("embed_text", "retrieval", text=["a"])]
