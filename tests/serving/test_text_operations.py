import pytest
import tensorflow as tf
import tensorflow_text

from tfxmodal.serving.verification.text_operations import (
    SINCE_LATER,
    foreign,
    oldest_server,
    operations,
    unknown,
)


def operations_of(function) -> set[str]:
    strings = tf.TensorSpec([None], tf.string)
    return operations(tf.function(function, [strings]).get_concrete_function().graph.as_graph_def())


def test_core_operations_are_no_foreign_ones():
    assert foreign(operations_of(lambda texts: tf.strings.length(texts))) == set()


@pytest.mark.parametrize(
    "function, name, server",
    [
        (tensorflow_text.case_fold_utf8, "CaseFoldUTF8", "2.12.1"),
        (lambda texts: tensorflow_text.utf8_binarize(texts), "TFText>Utf8Binarize", "2.20"),
    ],
)
def test_the_oldest_server_follows_from_the_operations(function, name, server):
    names = foreign(operations_of(function))
    assert names == {name} and unknown(names) == set()
    assert oldest_server(names) == server


def test_an_operation_of_nobody_is_unknown():
    assert unknown({"NoSuchOp", *SINCE_LATER}) == {"NoSuchOp"}
