"""What an operator deploys: every file is sound, and Compose and Kubernetes say the same."""

import json
import re
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.serving import tiny
from tfxmodal.dev_server.batching import Batching
from tfxmodal.dev_server.server import DevServer
from tfxmodal.serving.client.client import Client
from tfxmodal.serving.model_config import model_config
from tfxmodal.serving.model_server import free_port

DEPLOY = Path(__file__).resolve().parents[2] / "export" / "deploy"
CONFIG = DEPLOY / "config"
PROBE = CONFIG / "probe.sh"
SERVERS = ("search", "matrix")

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
        name: load(f"kubernetes/{name}.yaml")[0]["spec"]["template"]["spec"]["containers"][0]
        for name in SERVERS
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


def test_metrics_are_where_prometheus_looks_for_them():
    text = (CONFIG / "monitoring.config").read_text()
    served = text_format.Parse(text, _message(prometheus_config="Prometheus")()).prometheus_config
    (job,) = load("monitoring/prometheus.yaml")[0]["scrape_configs"]
    assert served.enable and served.path == job["metrics_path"]
    assert job["static_configs"][0]["targets"] == [f"{name}:8501" for name in SERVERS]


def test_the_tls_template_is_a_config_of_pem_text():
    fields = {"server_key": str, "server_cert": str, "custom_ca": str, "client_verify": bool}
    text = (CONFIG / "ssl.config.template").read_text()
    ssl = text_format.Parse(text, _message(**fields)())
    for pem, kind in ((ssl.server_key, "PRIVATE KEY"), (ssl.server_cert, "CERTIFICATE")):
        assert re.fullmatch(rf"-----BEGIN {kind}-----\n.*\n-----END {kind}-----\n", pem)


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
    ports = {str(port["containerPort"]) for port in container["ports"]}
    assert {port.split(":")[1] for port in service["ports"]} == ports
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
        deployment = load(f"kubernetes/{name}.yaml")[0]
        volumes = {v["name"]: v for v in deployment["spec"]["template"]["spec"]["volumes"]}
        assert volumes["config"]["configMap"]["name"] == config["name"]
        (claim,) = load("kubernetes/models.yaml")
        assert volumes["models"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
@pytest.mark.parametrize("gpu", [False, True])
def test_kustomize_builds_it(tmp_path, gpu):
    folder = shutil.copytree(DEPLOY, tmp_path / "deploy")
    if gpu:
        path = folder / "kustomization.yaml"
        path.write_text(path.read_text().replace("# components:", "components:"))
    build = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True
    )
    built = {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(build.stdout)}
    search = built["Deployment", "search"]["spec"]["template"]["spec"]["containers"][0]
    assert search["image"].endswith("-gpu") == gpu
    assert ("nvidia.com/gpu" in search["resources"]["limits"]) == gpu
    names = {path.name for path in [*CONFIG.glob("*.config"), PROBE]}
    assert built["ConfigMap", "serving"]["data"].keys() == names


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
    assert not alive(f"localhost:{free_port()}")


def test_the_probe_finds_a_server_without_a_thread_left(base):
    """Two requests without rows hold both threads; no check but a real request sees it."""
    options = {"batching": Batching(), "workers": 2, "log": lambda line: None}
    with DevServer(model_config([base]), **options) as server:
        target = f"localhost:{server.port}"
        with Client(target, "tiny", deadline=30) as client:
            empty = tiny.request(text=tf.constant([], tf.string))
            held = [client._stub.predict.future(empty, timeout=30) for _ in range(2)]
            assert not alive(target, seconds=1)
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
