import weakref
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis.model_pb2 import ModelSpec

from tests.serving import tiny
from tests.waiting import eventually
from tfxmodal.dev_server.model_store import ModelStore
from tfxmodal.serving.client.client import ServerError
from tfxmodal.serving.client.tensors import to_array
from tfxmodal.serving.model_config import model_config
from tfxmodal.serving.verification.served_model import ServedModel

CONFIG = """model_config_list {{ config {{
  name: "tiny" base_path: "{base}" model_platform: "tensorflow" {more}
}} }}"""
ALL = "model_version_policy { all {} } "
RED = tf.constant(["red"]).numpy()


def test_new_version_takes_over_without_a_failed_request(serving, base, publish, versions):
    loaded = {n: tf.saved_model.load(str(path)) for n, path in versions.items()}
    true = {
        n: model.signatures["embed_text"](tf.constant(["red"]))["embedding"]
        for n, model in loaded.items()
    }
    with serving(base).client(retries=0) as client, ThreadPoolExecutor(4) as pool:
        seen = set()

        def ask():
            while seen != {1, 2}:
                response = client._stub.predict(tiny.request(text=RED))
                version = response.model_spec.version.value
                answer = to_array(response.outputs["embedding"])
                np.testing.assert_allclose(answer, true[version], rtol=1e-5)
                seen.add(version)

        askers = [pool.submit(ask) for _ in range(4)]
        eventually(lambda: 1 in seen)
        publish(base, 2)
        for asker in askers:
            asker.result()
        eventually(lambda: client.status() == {2: "AVAILABLE", 1: "END"})


def test_partial_version_is_reported_while_the_old_one_serves_on(serving, base, publish):
    served = serving(base)
    with served.client() as client:
        (base / ".3").mkdir()
        (base / "2").mkdir()
        (base / "2" / "signatures.json").write_text("{}")
        eventually(lambda: 2 in client.status())
        assert client.embed_texts(["red"]).shape == (1, 4)
        assert client.metadata()[0] == 1
        assert client.status()[1] == "AVAILABLE" and client.status()[2] != "AVAILABLE"
        publish(base, 2, "3")
        eventually(lambda: client.status().get(3) == "AVAILABLE")


def test_a_base_path_that_is_gone_unloads_nothing(base):
    """As in TensorFlow Serving: a disk may be away for a moment."""
    store = ModelStore(ServedModel, log=lambda line: None)
    store.configure(model_config([base]))
    base.rename(base.with_name("elsewhere"))
    store.poll()
    assert store.find(ModelSpec(name="tiny"))[0] == 1


def test_version_that_is_unloaded_leaves_memory(base, publish):
    store = ModelStore(ServedModel, log=lambda line: None)
    store.configure(model_config([base]))
    first = weakref.ref(store.find(ModelSpec(name="tiny"))[1])
    publish(base, 2)
    store.poll()
    assert store.find(ModelSpec(name="tiny"))[0] == 2
    assert first() is None


@pytest.mark.parametrize("serving", ["development"], indirect=True)
def test_version_that_was_partial_is_tried_again(serving, base, versions):
    """TensorFlow Serving does so, too, but as often and as late as its flags say."""
    with serving(base).client() as client:
        (base / "2").mkdir()
        eventually(lambda: "does not load" in client.status().get(2, ""))
        for path in versions[2].iterdir():
            (base / "2" / path.name).symlink_to(path)
        eventually(lambda: client.status() == {2: "AVAILABLE", 1: "END"})
        assert client.metadata()[0] == 2


def reload(client, text):
    made = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, made.config)
    return client._stub.reload(made)


def test_labels_move_in_two_steps(serving, base, publish):
    publish(base, 2)

    def labels(stable, canary):
        stable, canary = (
            f'version_labels {{ key: "{name}" value: {number} }} '
            for name, number in (("stable", stable), ("canary", canary))
        )
        return CONFIG.format(base=base, more=ALL + stable + canary)

    served = serving(config=labels(1, 2))

    def answering(label):
        with served.client(label=label) as client:
            return client.metadata()[0]

    with served.client() as client:
        eventually(lambda: list(client.status().values()) == ["AVAILABLE"] * 2)
        assert (answering("stable"), answering("canary")) == (1, 2)
        with pytest.raises(grpc.RpcError) as refusal:
            reload(client, labels(3, 2))
        assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert (answering("stable"), answering("canary")) == (1, 2)
        reload(client, labels(2, 2))
        assert (answering("stable"), answering("canary")) == (2, 2)


def test_specific_versions_and_removed_models(serving, base, publish, tmp_path):
    publish(base, 2)
    other = tmp_path / "other"
    other.mkdir()
    publish(other, 2)
    served = serving(
        other,
        config=CONFIG.format(base=base, more="model_version_policy { specific { versions: 1 } }"),
    )
    with served.client() as client, served.client("other") as second:
        assert client.metadata()[0] == 1
        assert second.metadata()[0] == 2
        reload(client, CONFIG.format(base=base, more=""))
        eventually(lambda: client.metadata()[0] == 2)
        eventually(lambda: "AVAILABLE" not in second.status().values())
        with pytest.raises(ServerError, match="'other' .* has no version the latest: it has none"):
            second.metadata()


def test_warm_up_that_fails_keeps_a_version_from_loading(serving, base, publish):
    served = serving(base)
    with served.client() as client:
        tiny.warm_up(publish(base, 2, ".2"), tiny.request(text=RED), tiny.request("nope", text=RED))
        (base / ".2").rename(base / "2")
        eventually(lambda: "nope" in served.log())
        assert client.metadata()[0] == 1
        tiny.warm_up(publish(base, 2, ".4"), tiny.request(text=RED))
        (base / ".4").rename(base / "4")
        eventually(lambda: client.status().get(4) == "AVAILABLE")
