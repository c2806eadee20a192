import re
from pathlib import Path

import pytest
import tensorflow as tf

from tfxmodal.io.datasets import records, untuned

ROOT = Path(__file__).resolve().parents[2]
IN_GRAPHS = ROOT / "tfxmodal/serving/export/inputs.py"
"""Its datasets are read by a graph, in one element, which waits for no tuning."""


def test_a_dataset_is_the_same_without_tuning():
    dataset = tf.data.Dataset.range(5).map(lambda x: 2 * x).prefetch(2)
    assert not untuned(dataset).options().autotune.enabled
    assert list(untuned(dataset).as_numpy_iterator()) == [0, 2, 4, 6, 8]


def test_records_are_those_of_the_file(tmp_path):
    path, written = tmp_path / "some.tfrecord", [b"one", b"", b"\xff" * 9]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in written:
            writer.write(record)
    assert list(records(path)) == written
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(tf.errors.DataLossError):
        list(records(path))


@pytest.mark.parametrize("package", ["tfxmodal", "export"])
def test_every_dataset_that_python_reads_is_untuned(package):
    for path in {*(ROOT / package).rglob("*.py")} - {IN_GRAPHS}:
        text = path.read_text("utf-8")
        made = len(re.findall(r"tf\.data\.\w*Dataset[.(]", text))
        given = len(re.findall(r"untuned\(\w|with_options\(options\)", text))
        assert made <= given, path
