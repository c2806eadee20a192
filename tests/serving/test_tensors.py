"""Arrays on the wire, against TensorFlow's own functions."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from tensorflow.core.framework import tensor_pb2

from tfxmodal.encoders.text.bag_of_words import to_bytes
from tfxmodal.errors import InputError
from tfxmodal.serving.client.protos import serving_pb2 as pb
from tfxmodal.serving.client.tensors import FIELDS, decode, encode, to_array, to_tensor, type_name

SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMBERS = st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.bool_])
BYTES = arrays_of.arrays(object, SHAPES, elements=st.binary(max_size=5), fill=st.nothing())
ARRAYS = st.one_of(NUMBERS.flatmap(lambda dtype: arrays_of.arrays(dtype, SHAPES)), BYTES)


def theirs(tensor: pb.TensorProto) -> tensor_pb2.TensorProto:
    return tensor_pb2.TensorProto.FromString(tensor.SerializeToString())


def ours(tensor: tensor_pb2.TensorProto) -> pb.TensorProto:
    return pb.TensorProto.FromString(tensor.SerializeToString())


def assert_same(found: np.ndarray, wanted: np.ndarray):
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted, strict=True)


@given(ARRAYS)
def test_tensorflow_reads_what_is_sent(array):
    assert_same(tf.make_ndarray(theirs(encode(array))), array)


@given(ARRAYS)
def test_what_tensorflow_sends_is_read(array):
    assert_same(decode(ours(tf.make_tensor_proto(array))), array)


@given(st.sampled_from(sorted(FIELDS)), SHAPES, st.data())
def test_values_that_are_left_out_repeat_the_last(kind, shape, data):
    """As a server may send them: value by value, or fewer of them."""
    dtype, field = FIELDS[kind]
    tensor = pb.TensorProto(dtype=kind)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    sizes = st.integers(0, np.prod(shape, dtype=int))
    values = st.binary(max_size=3) if dtype.hasobject else arrays_of.from_dtype(dtype)
    getattr(tensor, field).extend(data.draw(st.lists(values, max_size=data.draw(sizes))))
    wanted = tf.make_ndarray(theirs(tensor))
    if dtype.hasobject:
        wanted[wanted == ""] = b""  # with which TensorFlow fills up
    assert_same(decode(tensor), wanted)


@pytest.mark.parametrize("shape, values", [([3], [1.0] * 4), ([-1], []), ([2, -1], [1.0, 2.0])])
def test_values_that_do_not_fill_the_shape(shape, values):
    tensor = pb.TensorProto(dtype=pb.DT_FLOAT, float_val=values)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    with pytest.raises(InputError, match="A tensor of shape .* holds"):
        decode(tensor)


def test_types_that_cannot_be_sent_or_read():
    with pytest.raises(InputError, match="array of float16 cannot be sent: give one of float32, "):
        encode(np.zeros(2, np.float16))
    with pytest.raises(InputError, match="A tensor of float16 cannot be read here"):
        decode(pb.TensorProto(dtype=pb.DT_HALF))


def test_half_of_a_surrogate_pair_is_sent_as_in_training():
    text = "half \udc80"
    assert to_tensor([text]).string_val[:] == [to_bytes([text]).numpy()[0]] == [b"half ?"]


def test_lists_become_strings_or_float32():
    assert decode(to_tensor(["ä", b"\x00\x00"])).tolist() == ["ä".encode(), b"\x00\x00"]
    assert to_array(to_tensor(np.array(["ä", "b"]))).tolist() == ["ä", "b"]
    assert decode(to_tensor([1, 2])).dtype == np.float32
    assert decode(to_tensor([])).dtype == object


def test_types_have_the_names_that_tensorflow_gives_them():
    for kind in pb.DataType.values()[1:]:
        assert type_name(kind) == tf.as_dtype(kind).name
    assert type_name(999) == "type 999"
