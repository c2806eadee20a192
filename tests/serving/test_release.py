import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse, ModelVersionStatus
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigResponse
from tensorflow_serving.apis.model_service_pb2_grpc import (
    ModelServiceServicer,
    add_ModelServiceServicer_to_server,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.waiting import PATIENCE
from tfxmodal.commands import release
from tfxmodal.errors import InputError
from tfxmodal.serving.model_server import free_ports
from tfxmodal.serving.release import model_servers

State = ModelVersionStatus.State
DEPLOYED = Path(__file__).resolve().parents[2] / "export/deploy/config/models.config"

CONFIG = """\
# Of the search servers.
# Two models.
model_config_list {{
  config {{
    name: "other"  # not ours
    base_path: "/models/other"
    model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 2 }} }}
  }}
  config {{
    name: "m"
    base_path: "{base}"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 1 }} }}
    version_labels {{ key: "stable" value: 1 }}
    version_labels {{ key: "canary" value: 1 }}
  }}
}}
"""


class StrictService(ModelServiceServicer):
    """Loads what a configuration wants some looks later, and labels no version before that."""

    def __init__(self):
        self.loaded, self.broken, self.wanted = {1}, set(), {1}
        self.looks, self.looks_to_load, self.configs = 0, 2, []
        self.failed_before, self.reloads_left = set(), 100
        self.unloads, self.takes = set(), threading.Event()
        self.takes.set()

    def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        self.takes.wait(PATIENCE)
        if not self.reloads_left:
            context.abort(grpc.StatusCode.UNAVAILABLE, "dead")
        self.reloads_left -= 1
        model = _entry(request.config)
        for version in model.version_labels.values():
            if version not in self.loaded:
                context.abort(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model m, which is not "
                    "currently available for inference",
                )
        self.configs.append(request.config)
        self.wanted = set(model.model_version_policy.specific.versions)
        self.loaded &= self.wanted
        self.looks = 0
        return ReloadConfigResponse()

    def GetModelStatus(self, request, context):  # noqa: N802
        self.looks += 1
        if self.looks >= self.looks_to_load:
            self.loaded = self.wanted - self.broken
        response = GetModelStatusResponse()
        for version in self.wanted:
            status = response.model_version_status.add(version=version, state=State.LOADING)
            if version in self.unloads and self.configs:
                status.state = State.END
            elif version in self.loaded:
                status.state = State.AVAILABLE
            elif (
                version in self.failed_before
                if self.looks < self.looks_to_load
                else version in self.broken
            ):
                status.state = State.END
                status.status.error_code, status.status.error_message = 3, "no variable dense/bias"
        return response


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(model_servers, "POLL_SECONDS", 0.02)


@contextmanager
def listening(service):
    """The service at a free port, as HOST:PORT."""
    server = grpc.server(ThreadPoolExecutor(4))
    add_ModelServiceServicer_to_server(service, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def service():
    return StrictService()


@pytest.fixture
def server(service):
    with listening(service) as target:
        yield target


@pytest.fixture
def models(tmp_path):
    """Versions 1 to 4 of the model m, empty."""
    for version in range(1, 5):
        (tmp_path / "models" / "m" / str(version)).mkdir(parents=True)
    return tmp_path / "models"


@pytest.fixture
def config(tmp_path, models):
    path = tmp_path / "models.config"
    path.write_text(CONFIG.format(base=models / "m"))
    return path


def _entry(config: ModelServerConfig):
    return next(each for each in config.model_config_list.config if each.name == "m")


def labels(config):
    """Labels and versions in the file."""
    entry = _entry(text_format.Parse(config.read_text(), ModelServerConfig()))
    return dict(entry.version_labels), list(entry.model_version_policy.specific.versions)


def run(action, config, *flags):
    release.main([action, "--config", str(config), "--model", "m", "--wait", "3", *flags])


def test_a_canary_is_loaded_before_its_label_moves(config, server, service):
    run("canary", config, "--version", "2", "--server", server)
    first, second = map(_entry, service.configs)
    assert list(first.model_version_policy.specific.versions) == [1, 2]
    assert dict(first.version_labels) == {"stable": 1, "canary": 1}
    assert dict(second.version_labels) == {"stable": 1, "canary": 2}
    assert labels(config) == ({"stable": 1, "canary": 2}, [1, 2])


def test_promote_keeps_the_previous_version_loaded_and_rollback_returns_to_it(
    config, server, service
):
    run("canary", config, "--version", "2", "--server", server)
    run("promote", config, "--server", server)
    assert labels(config) == ({"stable": 2, "canary": 2, "previous": 1}, [1, 2])
    assert service.loaded == {1, 2}
    run("rollback", config, "--server", server)
    assert labels(config) == ({"stable": 1, "canary": 1}, [1])
    assert service.loaded == {1}


def test_a_release_drops_the_versions_without_a_label(config, server):
    for version in "23":
        run("canary", config, "--version", version, "--server", server)
        run("promote", config, "--server", server)
    assert labels(config) == ({"stable": 3, "canary": 3, "previous": 2}, [2, 3])
    run("canary", config, "--version", "4", "--server", server)
    run("rollback", config, "--server", server)
    assert labels(config) == ({"stable": 2, "canary": 4}, [2, 4])


def test_versions_can_be_named(config, server):
    run("promote", config, "--version", "3", "--server", server)
    assert labels(config) == ({"stable": 3, "canary": 1, "previous": 1}, [1, 3])
    run("rollback", config, "--version", "2", "--server", server)
    assert labels(config) == ({"stable": 2, "canary": 1}, [1, 2])


def test_other_models_and_the_comments_at_the_head_stay(config, server):
    before = text_format.Parse(config.read_text(), ModelServerConfig())
    run("canary", config, "--version", "2", "--server", server)
    after = text_format.Parse(config.read_text(), ModelServerConfig())
    assert after.model_config_list.config[0] == before.model_config_list.config[0]
    assert config.read_text().startswith("# Of the search servers.\n# Two models.\nmodel_config")


def test_every_server_is_waited_for(config, server, service):
    slower = StrictService()
    with listening(slower) as other:
        run("canary", config, "--version", "2", "--server", server, other)
    assert service.loaded == slower.loaded == {1, 2}


def test_servers_that_poll_the_file_are_looked_at_and_sent_nothing(config, server, service, capsys):
    polled = ("--polled", "--server", server)
    canary = ("--version", "2", *polled)
    run("canary", config, *canary)
    assert labels(config) == ({"stable": 1, "canary": 1}, [1, 2])
    assert "the same command again" in capsys.readouterr().out
    loading = config.read_text()
    with pytest.raises(InputError, match="2 of m at .* is not AVAILABLE after 0.1 s, but unknown"):
        run("canary", config, *canary, "--wait", "0.1")
    assert config.read_text() == loading
    service.wanted = {1, 2}  # It has read the file.
    run("canary", config, *canary)
    assert labels(config) == ({"stable": 1, "canary": 2}, [1, 2])
    service.wanted = {1}  # One that has not: it was given another.
    with pytest.raises(InputError, match="loads version 2 of m, but at .* it is unknown"):
        run("promote", config, *polled)
    assert labels(config) == ({"stable": 1, "canary": 2}, [1, 2])
    service.wanted = {1, 2}
    run("promote", config, *polled)
    assert labels(config) == ({"stable": 2, "canary": 2, "previous": 1}, [1, 2])
    assert not service.configs


def test_a_pod_that_is_gone_does_not_stop_what_loads_nothing(
    config, server, service, unused_port, capsys
):
    text, gone = config.read_text(), f"localhost:{unused_port}"
    text = text.replace("versions: 1 }", "versions: 1 versions: 2 }")
    text = text.replace('"canary" value: 1', '"previous" value: 2')
    config.write_text(text)
    service.wanted = {1, 2}
    with pytest.raises(InputError, match=f"answers at {gone} .* leave it out of `server` if it is"):
        run("canary", config, "--version", "3", "--polled", "--server", server, gone)
    with pytest.raises(InputError, match=f"answers at {gone} "):
        run("rollback", config, "--polled", "--server", gone)
    with pytest.raises(InputError, match=f"answers at {gone} "):
        run("rollback", config, "--server", server, gone)
    assert config.read_text() == text and not service.configs
    run("rollback", config, "--polled", "--server", gone, server)
    assert labels(config) == ({"stable": 2}, [2])
    assert f"{gone} is left out: No server answers" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["canary", "promote", "rollback"])
def test_no_label_moves_to_what_nobody_looked_at(config, action):
    before = config.read_text()
    with pytest.raises(InputError, match="`server` is empty, .* every server .* `polled` where"):
        run(action, config, "--version", "2")
    assert config.read_text() == before


def test_a_version_that_failed_before_may_load_now(config, server, service):
    service.failed_before, service.looks_to_load = {2}, 3
    run("canary", config, "--version", "2", "--server", server)
    assert labels(config) == ({"stable": 1, "canary": 2}, [1, 2])


def test_a_version_that_does_not_load_is_taken_back(config, server, service, monkeypatch):
    monkeypatch.setattr(model_servers, "ENDED_FOR", 0.1)
    service.broken = {2}
    before = config.read_text()
    with pytest.raises(InputError, match="version 2 of m at .* no variable dense/bias"):
        run("canary", config, "--version", "2", "--server", server)
    assert config.read_text() == before
    assert service.wanted == {1}


def test_a_version_that_takes_too_long_is_taken_back(config, server, service):
    service.looks_to_load = 100
    before = config.read_text()
    with pytest.raises(InputError, match="version 2 of m .* after 0.1 s, but LOADING: .* `wait`"):
        run("canary", config, "--version", "2", "--server", server, "--wait", "0.1")
    assert config.read_text() == before


def test_a_server_that_does_not_take_the_configuration_is_told(
    config, server, service, monkeypatch
):
    before = config.read_text()
    service.takes.clear()
    monkeypatch.setattr(model_servers, "TO_ANSWER", 0.5)
    try:
        told = f"{server} did not take the new configuration within 0.5 s: .* a longer `wait`"
        with pytest.raises(InputError, match=told):
            run("canary", config, "--version", "2", "--server", server, "--wait", "0.1")
    finally:
        service.takes.set()
    assert config.read_text() == before


def test_a_refused_step_is_taken_back(config, server, service):
    """A server that was restarted without the stable version: its labels are no longer there."""
    service.loaded = {7}
    before = config.read_text()
    with pytest.raises(InputError, match="assign label to version 1 .* not currently available"):
        run("canary", config, "--version", "2", "--server", server)
    assert config.read_text() == before


@pytest.mark.parametrize("dead_first", [True, False])
def test_all_servers_but_a_dead_one_are_set_back(config, server, service, capsys, dead_first):
    dead, before = StrictService(), config.read_text()
    dead.reloads_left = 1
    with listening(dead) as other, pytest.raises(InputError, match=f"No server answers at {other}"):
        servers = (other, server) if dead_first else (server, other)
        run("canary", config, "--version", "2", "--server", *servers)
    assert dead.wanted == {1, 2}
    assert service.wanted == {1}
    assert dict(_entry(service.configs[-1]).version_labels) == {"stable": 1, "canary": 1}
    assert config.read_text() == before
    told = capsys.readouterr().out
    assert f"{other} could not be set back: No server answers" in told and server not in told


def test_a_server_that_is_not_there_changes_nothing(config, unused_port):
    before = config.read_text()
    with pytest.raises(InputError, match=f"No server answers at localhost:{unused_port}"):
        run("canary", config, "--version", "2", "--server", f"localhost:{unused_port}")
    assert config.read_text() == before


@pytest.fixture
def unused_port():
    return free_ports(1)[0]


@pytest.mark.parametrize(
    ("action", "flags", "message"),
    [
        ("status", ("--version", "2"), "`version` is read by canary, .* and not by status"),
        ("canary", (), "Which `version` is the canary"),
        ("canary", ("--version", "9"), "no version 9 of m .*/m/9.*: export it, or .* `models`"),
        (
            "rollback",
            (),
            r"no label 'previous' \(it has: canary, stable\): roll back to a `version`",
        ),
    ],
)
def test_bad_input_is_told(config, action, flags, message):
    before = config.read_text()
    with pytest.raises(InputError, match=message):
        run(action, config, *flags)
    assert config.read_text() == before


@pytest.mark.parametrize("wait", ["0", "-1", "nan"])
def test_a_time_that_nothing_takes_is_refused(config, wait):
    for action in ("canary", "status"):
        with pytest.raises(InputError, match="`wait` must be above 0; received"):
            run(action, config, "--wait", wait)


def test_a_model_without_labels_begins_with_stable(config, server):
    text = config.read_text()
    config.write_text("".join(line for line in text.splitlines(True) if "labels" not in line))
    for action, missing in [("canary", "stable"), ("promote", "canary"), ("rollback", "stable")]:
        flags = ("--version", "2") if action == "canary" else ()
        with pytest.raises(InputError, match=rf"no label '{missing}' \(it has: none\)"):
            run(action, config, *flags)
    run("promote", config, "--version", "1", "--server", server)
    assert labels(config) == ({"stable": 1}, [1])


def test_a_file_that_leaves_the_versions_to_the_server_is_told_what_to_write(config, capsys):
    """`other` has the labels of an operator's own, and its policy is the newest two versions."""
    stable = '} }\n    version_labels { key: "stable" value: 1 }'
    config.write_text(config.read_text().replace("} }", stable, 1))
    policy = "model_version_policy { specific { versions: 1 } }"
    for text in (config.read_text(), config.read_text().replace(policy, "")):
        config.write_text(text)
        for action in ("canary", "promote", "rollback"):
            model = "other" if policy in text else "m"
            flags = ["--config", str(config), "--model", model, "--version", "2"]
            with pytest.raises(InputError, match=r"versions of .* it loads: name .* versions: 1 }"):
                release.main([action, *flags])
            assert config.read_text() == text
    run("status", config)
    assert "stable" in capsys.readouterr().out


def test_an_unknown_model_and_a_damaged_file_are_told(config):
    with pytest.raises(InputError, match="Unknown model in .* 'n'; use one of: m, other"):
        release.main(["status", "--config", str(config), "--model", "n"])
    config.write_text("model_config_list {")
    with pytest.raises(InputError, match="is no models.config"):
        run("status", config)


def test_models_may_lie_elsewhere_here(config, models, server):
    config.write_text(config.read_text().replace(str(models), "/on/the/server"))
    with pytest.raises(InputError, match="/on/the/server/m/2.*`models`"):
        run("canary", config, "--version", "2")
    run("canary", config, "--version", "2", "--models", str(models), "--server", server)
    assert labels(config)[1] == [1, 2]


def test_a_version_in_a_bucket_is_for_the_servers_to_find(
    config, models, server, service, monkeypatch
):
    """The service's image, in which a release runs, has no TensorFlow, and no key of the bucket."""
    monkeypatch.setattr(model_servers, "ENDED_FOR", 0.1)
    config.write_text(config.read_text().replace(str(models), "gs://bucket"))
    before = config.read_text()
    service.broken = {9}
    with pytest.raises(InputError, match="version 9 of m at .* does not load"):
        run("canary", config, "--version", "9", "--server", server)
    assert config.read_text() == before
    run("canary", config, "--version", "2", "--server", server)
    assert labels(config) == ({"stable": 1, "canary": 2}, [1, 2])


def test_status_shows_labels_and_states(config, server, capsys):
    run("canary", config, "--version", "2", "--server", server)
    capsys.readouterr()
    run("status", config, "--server", server)
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines() if "AVAILABLE" in line] == [
        ["│", "1", "│", "stable", "│", "AVAILABLE", "│"],
        ["│", "2", "│", "canary", "│", "AVAILABLE", "│"],
    ]


def test_a_server_answers_to_the_labels(base, publish, serving, tmp_path):
    publish(base, 2)
    path = tmp_path / "released.config"
    path.write_text(
        f"""model_config_list {{ config {{
          name: "m" base_path: "{base}" model_platform: "tensorflow"
          model_version_policy {{ specific {{ versions: 1 }} }}
          version_labels {{ key: "stable" value: 1 }}
        }} }}"""
    )
    server = serving(config=path.read_text())

    def release_and_ask(action, *flags):
        run(action, path, "--server", server.target, "--wait", "120", *flags)
        answers = {}
        for label in labels(path)[0]:
            with server.client("m", label=label) as client:
                answers[label] = client.metadata()[0]
        return answers

    assert release_and_ask("canary", "--version", "2") == {"stable": 1, "canary": 2}
    assert release_and_ask("promote") == {"stable": 2, "canary": 2, "previous": 1}
    assert release_and_ask("rollback") == {"stable": 1, "canary": 1}


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (1, "version 2 of retrieval at .* is not AVAILABLE after 1 s, but unknown: .* base_path"),
        (2, "`config` loads version 1 of retrieval, but at .* it is unknown: give the file that"),
    ],
)
def test_the_documented_steps_on_an_unedited_file_take_no_server_down(
    base, publish, serving, tmp_path, served, message
):
    """The server runs with a file of its own; in the one that is given, base_path is not there."""
    publish(base, 2)
    models = tmp_path / "models"
    models.mkdir()
    folder = base.rename(models / "retrieval")
    own = f"""model_config_list {{ config {{
      name: "retrieval" base_path: "{folder}" model_platform: "tensorflow"
      model_version_policy {{ specific {{ versions: {served} }} }}
    }} }}"""
    server, path = serving(config=own), tmp_path / "unedited.config"
    shutil.copy(DEPLOYED, path)
    steps = ["canary", "--version", "2", "--models", str(models), "--server", server.target]
    with pytest.raises(InputError, match=message):
        release.main([*steps, "--config", str(path), "--wait", "1"])
    assert path.read_text() == DEPLOYED.read_text()
    with server.client("retrieval") as client:
        assert client.status()[served] == "AVAILABLE"
        assert client.embed_texts(["red"]).shape == (1, 4)


def test_a_server_that_serves_what_the_file_does_not_load_is_told_nothing(config, server, service):
    service.wanted, service.loaded = {1, 2}, {1, 2}
    with pytest.raises(InputError, match="serves version 2 of m, which `config` does not load"):
        run("canary", config, "--version", "2", "--server", server)
    assert not service.configs


def test_a_version_that_is_unloaded_meanwhile_ends_the_wait(config, server, service):
    service.unloads = {1}
    before = config.read_text()
    with pytest.raises(InputError, match="has unloaded version 1 of m: base_path in `config`"):
        run("canary", config, "--version", "2", "--server", server)
    assert config.read_text() == before


def test_a_release_that_was_killed_is_given_again(config, server, service):
    text = config.read_text()
    config.write_text(text.replace("versions: 1 }", "versions: 1 versions: 2 }"))
    run("canary", config, "--version", "2", "--server", server)
    assert labels(config) == ({"stable": 1, "canary": 2}, [1, 2])
