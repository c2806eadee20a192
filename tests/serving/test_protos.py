"""Our messages against those of tensorflow_serving: the same numbers and types on the wire."""

import pytest
from google.protobuf.descriptor import FieldDescriptor
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from tfxmodal.serving.client.protos import serving_pb2

PAIRS = {
    name: (getattr(serving_pb2, name).DESCRIPTOR, getattr(module, name).DESCRIPTOR)
    for module, names in {
        predict_pb2: ("PredictRequest", "PredictResponse"),
        get_model_metadata_pb2: (
            "GetModelMetadataRequest",
            "GetModelMetadataResponse",
            "SignatureDefMap",
        ),
        get_model_status_pb2: ("GetModelStatusRequest", "GetModelStatusResponse"),
        model_management_pb2: ("ReloadConfigRequest", "ReloadConfigResponse"),
    }.items()
    for name in names
}
WHOLE = {"ModelServerConfig", "ModelConfigList", "ModelConfig", "LoggingConfig", "SamplingConfig"}
"""Messages of a models.config, of which no field may be lost."""


def differences(ours, theirs, seen: set[str]) -> list[str]:
    """Where a message and those in it differ from TensorFlow Serving's."""
    if ours.full_name in seen or ours.full_name.startswith("google."):
        return []
    seen.add(ours.full_name)
    found = []
    if ours.name in WHOLE and set(ours.fields_by_name) != set(theirs.fields_by_name):
        found.append(f"{ours.name} lacks fields")
    for field in ours.fields:
        other = theirs.fields_by_name.get(field.name)
        if other is None or _wire(field) != _wire(other):
            found.append(f"{ours.name}.{field.name}")
        elif field.enum_type:
            numbers = {value.name: value.number for value in other.enum_type.values}
            wrong = (v.name for v in field.enum_type.values if numbers.get(v.name) != v.number)
            found += [f"{ours.name}.{field.name} {name}" for name in wrong]
        elif field.message_type:
            found += differences(field.message_type, other.message_type, seen)
    return found


def _wire(field: FieldDescriptor) -> tuple:
    return field.number, field.type, field.is_repeated


@pytest.mark.parametrize("name", PAIRS)
def test_fields_have_the_numbers_and_types_of_tensorflow_serving(name):
    seen = set()
    assert differences(*PAIRS[name], seen) == []
    assert len(seen) > 1 or name.startswith("Reload")


def test_a_field_of_another_number_is_seen():
    ours, theirs = PAIRS["PredictRequest"][0], PAIRS["PredictResponse"][1]
    assert differences(ours, theirs, set())[0] == "PredictRequest.model_spec"


def test_our_messages_and_those_of_tensorflow_live_in_one_process():
    """Both are imported here: of one name, the later would have failed."""
    names = [module.TensorProto.DESCRIPTOR.full_name for module in (serving_pb2, tensor_pb2)]
    assert names == ["tfxmodal.serving.TensorProto", "tensorflow.TensorProto"]
